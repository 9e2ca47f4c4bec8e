//! Source locations of definitions and keys in gateway.yaml and in documents.

use std::collections::BTreeMap;

use diag::{FileId, NodeId, NodeRef, Span};

use super::{DEFINED, Place};
use crate::compile::Compiled;
use crate::settings::Settings;
use crate::{Api, Model};

/// Source locations of definitions while they are collected, by the subject that plans name.
struct Definitions<'c> {
    compiled: &'c Compiled,
    places: BTreeMap<String, Place>,
}

/// Source locations of all definitions and keys, by subject: `policy NAME`, `scheme API/NAME`,
/// `defaults.policies`, …
pub(super) fn all(compiled: &Compiled, model: &Model) -> BTreeMap<String, Place> {
    let mut all = Definitions {
        compiled,
        places: BTreeMap::new(),
    };
    all.add_shared(&model.settings);
    for api in &model.apis {
        all.add_api(api);
    }
    all.add_rules(&model.settings);
    all.add_keys();
    all.places
}

impl<'c> Definitions<'c> {
    fn place(&self, span: Span) -> Place {
        Place::of(&self.compiled.files.sources, span)
    }

    fn root(&self) -> Option<NodeRef<'c>> {
        let root = self.compiled.files.root(FileId(0));
        root.map(|root| self.compiled.files.tree.at(root))
    }

    /// Adds a definition, and the values inside if `node` is given.
    fn add(&mut self, subject: String, span: Span, node: Option<NodeId>) {
        if let Some(node) = node {
            self.add_inside(&subject, ' ', self.compiled.files.tree.at(node));
        }
        let place = self.place(span);
        self.places.insert(subject, place);
    }

    /// Adds the definitions of gateway.yaml.
    fn add_shared(&mut self, settings: &Settings) {
        for entry in &settings.policies {
            let subject = format!("policy {}", entry.value.name);
            self.add(subject, entry.span, entry.node);
        }
        for entry in &settings.upstreams {
            let subject = format!("upstream {}", entry.value.ir.name);
            self.add(subject, entry.span, entry.node);
        }
        for entry in &settings.auth {
            let subject = format!("auth {}", entry.value.name);
            self.add(subject, entry.span, entry.node);
        }
        for entry in &settings.consumers {
            // A project may have very many consumers, so store only the source locations of each
            // name and of its keys.
            let subject = format!("consumer {}", entry.value.name);
            let keys = entry
                .node
                .and_then(|node| self.compiled.files.tree.at(node).get("keys"));
            if let Some(keys) = keys {
                self.add(format!("{subject} keys"), keys.span(), None);
            }
            self.add(subject, entry.span, None);
        }
        for entry in &settings.listeners {
            let subject = format!("listener {}", entry.value.name);
            self.add(subject, entry.span, entry.node);
        }
    }

    /// Adds an API, with the definitions of its document.
    fn add_api(&mut self, api: &Api) {
        self.add(format!("api {}", api.name), api.span, None);
        for entry in &api.policies {
            let subject = format!("policy {}/{}", api.name, entry.value.name);
            self.add(subject, entry.span, entry.node);
        }
        for entry in &api.upstreams {
            let subject = format!("upstream {}", entry.value.ir.name);
            self.add(subject, entry.span, entry.node);
        }
        for entry in &api.auth {
            let subject = format!("auth {}", entry.value.name);
            self.add(subject, entry.span, entry.node);
        }
        for mount in &api.mounts {
            let subject = format!("mount {}/{}", api.name, mount.value.name);
            self.add(subject, mount.span, mount.node);
        }
        for scheme in &api.spec.schemes {
            let subject = format!("scheme {}/{}", api.name, scheme.name.value);
            self.add(subject, scheme.name.span, Some(scheme.node));
        }
    }

    /// Adds the release rules of the project: acknowledgement file, lint levels, gates, release
    /// settings and `required`.
    fn add_rules(&mut self, settings: &Settings) {
        if let Some(file) = &settings.acknowledge {
            self.add("acknowledge".to_owned(), file.span, None);
        }
        for (name, (_, span)) in &settings.lint {
            self.add(format!("lint {name}"), *span, None);
        }
        for (key, subject) in [("gates", "gate"), ("release", "release")] {
            if let Some(node) = self.root().and_then(|root| root.get(key)) {
                self.add(subject.to_owned(), node.span(), None);
            }
        }
        let required = [
            ("policies", &settings.required.policies),
            ("auth", &settings.required.auth),
        ];
        for (key, names) in required {
            for name in names {
                self.add(format!("required {key} {}", name.value), name.span, None);
            }
        }
    }

    /// Adds every other key of gateway.yaml.
    fn add_keys(&mut self) {
        let others = self.root().into_iter().flat_map(NodeRef::entries);
        let others = others.filter(|(entry, _)| !DEFINED.contains(&&*entry.key));
        for (entry, node) in others {
            self.add_inside(&entry.key, '.', node);
            let own = self.place(entry.key_span);
            self.places.entry(entry.key.to_string()).or_insert(own);
        }
    }

    /// Adds all values inside a definition. The subject of a value consists of the definition's
    /// subject, `separator`, and the key path of the value. In a list of maps, the index of the
    /// entry, with three digits, is part of the key path, as in the settings of policies.
    fn add_inside(&mut self, subject: &str, separator: char, node: NodeRef<'_>) {
        for (entry, value) in node.entries() {
            let subject = format!("{subject}{separator}{}", entry.key);
            self.add_inside(&subject, '.', value);
            // If the patch of an environment sets the value, use the location in the patch, because
            // the key's own location is in gateway.yaml.
            let is_patched = !value.is_map() && value.span().file != entry.key_span.file;
            let span = match is_patched {
                true => value.span(),
                false => entry.key_span,
            };
            let place = self.place(span);
            self.places.insert(subject, place);
        }
        let maps = node.items().enumerate().filter(|(_, item)| item.is_map());
        for (index, item) in maps {
            self.add_inside(&format!("{subject}{separator}{index:03}"), '.', item);
        }
    }
}
