//! Source location of each field of an operation, and of the values that the field overrides.

use bundle::ir::Link;
use diag::{NodeRef, Span};

use super::{FieldSource, Fields, From, Place};
use crate::compile::Compiled;
use crate::rest::Rest;
use crate::settings::Settings;
use crate::{Api, Operation, Origin, Valued};

/// Nodes that may set fields of an API's operations.
pub(super) struct Setters<'c> {
    compiled: &'c Compiled,
    settings: &'c Settings,
    api: &'c Api,
    /// Key `defaults` of the document's `x-gateway`.
    defaults: Option<NodeRef<'c>>,
}

/// Nodes that may set fields of one operation.
struct Nodes<'c> {
    defaults: Option<NodeRef<'c>>,
    path: Option<NodeRef<'c>>,
    operation: Option<NodeRef<'c>>,
}

impl<'c> Setters<'c> {
    pub(super) fn new(compiled: &'c Compiled, settings: &'c Settings, api: &'c Api) -> Self {
        let root = api.spec.x_gateway.map(|id| compiled.files.tree.at(id));
        Self {
            compiled,
            settings,
            api,
            defaults: root.and_then(|root| root.get("defaults")),
        }
    }

    /// Sources of an operation's fields. A field that is not set is included only if every
    /// operation has it ([`Self::always`]).
    pub(super) fn of(&self, operation: &Operation) -> Fields {
        let item = &self.api.spec.paths[operation.place.0];
        let written = &item.operations[operation.place.1];
        let tree = &self.compiled.files.tree;
        let nodes = Nodes {
            defaults: self.defaults,
            path: item.x_gateway.map(|id| tree.at(id)),
            operation: written.x_gateway.map(|id| tree.at(id)),
        };
        let origins = [
            &operation.security.origin,
            &operation.upstream.origin,
            &operation.timeout_ms.origin,
            &operation.max_body_bytes.origin,
            &operation.path_readings.origin,
            &operation.closes_streams.origin,
        ];
        let mut fields = self.always(origins, &operation.chain, &nodes);
        let of_path = [
            ("trailing_slash", nodes.path, "trailing_slash"),
            ("priority", nodes.path, "priority"),
            ("case_insensitive", nodes.path, "case_insensitive"),
            // In an operation, `match` has another meaning than in a path item.
            ("path.match", nodes.path, "match"),
        ];
        let conditions = [("conditions", nodes.operation, "match")];
        for (name, node, key) in of_path.into_iter().chain(conditions) {
            let node = node.and_then(|node| node.get(key));
            if let Some(node) = node.filter(|node| !node.is_null()) {
                fields.insert(name.to_owned(), self.written(&[node.span()]));
            }
        }
        for setting in operation.settings().iter() {
            let spans = self.declared(&setting.path, &nodes, operation);
            if !spans.is_empty() {
                fields.insert(setting.path.join("."), self.written(&spans));
            }
        }
        // Add all other keys of the operation.
        for (entry, _) in nodes.operation.into_iter().flat_map(NodeRef::entries) {
            let key = entry.key.trim_start_matches('+').to_owned();
            let written = || self.written(&[entry.key_span]);
            fields.entry(key).or_insert_with(written);
        }
        fields
    }

    /// Returns the fields of an operation for undescribed requests.
    pub(super) fn of_rest(&self, rest: &Rest) -> Fields {
        let nodes = Nodes {
            defaults: self.defaults,
            path: None,
            operation: None,
        };
        let origins = [
            &rest.security.origin,
            &rest.upstream.origin,
            &rest.timeout_ms.origin,
            &rest.max_body_bytes.origin,
            &rest.path_readings.origin,
            &rest.closes_streams.origin,
        ];
        self.always(origins, &rest.chain, &nodes)
    }

    /// Fields that every operation has: `security`, `upstream`, `timeout`, `max_body`,
    /// `path_readings`, `streams` and the policies. `origins` are the origins of the first six, in
    /// this order.
    fn always(&self, origins: [&Origin; 6], chain: &[Valued<Link>], nodes: &Nodes<'c>) -> Fields {
        let names = [
            "security",
            "upstream",
            "timeout",
            "max_body",
            "path_readings",
            "streams",
        ];
        let named = names.into_iter().zip(origins);
        let mut fields: Fields = named
            .map(|(name, origin)| (name.to_owned(), self.field(origin)))
            .collect();
        for link in chain {
            if let Link::Shared(name) | Link::Own(name) = &link.value {
                let mut source = self.field(&link.origin);
                if let FieldSource::Written { from, .. } = &mut source {
                    *from = link.span().and_then(|span| self.policy_level(span, nodes));
                }
                fields.insert(format!("policies/{name}"), source);
            }
        }
        fields
    }

    /// Source locations of a setting in [`Operation::settings`]: the location of the effective
    /// value, then the locations of the values that it overrides.
    fn declared(&self, path: &[String], nodes: &Nodes<'c>, operation: &Operation) -> Vec<Span> {
        let below = |node: NodeRef<'c>, path: &[String]| {
            let mut node = node;
            for key in path {
                let Some(next) = node.get(key) else { break };
                node = next;
            }
            node.span()
        };
        let item = &self.api.spec.paths[operation.place.0];
        let written = &item.operations[operation.place.1];
        let at = |id| self.compiled.files.tree.at(id);
        let [first, rest @ ..] = path else {
            return Vec::new();
        };
        match (first.as_str(), rest) {
            ("validate", rest) => {
                let nearest = [nodes.operation, nodes.defaults].into_iter().flatten();
                let nearest = nearest.filter_map(|node| node.get("validate"));
                let nearest = nearest.filter(|node| !node.is_null());
                let nearest = nearest.map(|node| below(node, rest));
                nearest.chain(self.settings.defaults.validate_at).collect()
            }
            ("parameters", [key, rest @ ..]) => {
                let mut all = written.parameters.iter();
                let named =
                    all.find(|one| *key == format!("{} {}", one.place.name(), one.name.value));
                let node = named.and_then(|one| one.x_gateway).map(at);
                node.map(|node| below(node, rest)).into_iter().collect()
            }
            ("responses", [key, rest @ ..]) => {
                let mut all = written.responses.iter();
                let named = all.find(|one| one.status.value.eq_ignore_ascii_case(key));
                let node = named.and_then(|one| one.x_gateway).map(at);
                node.map(|node| below(node, rest)).into_iter().collect()
            }
            ("servers", _) => {
                let all = [&written.servers, &item.servers, &self.api.spec.servers];
                let nearest = all.into_iter().find(|servers| !servers.is_empty());
                let index = rest.first().and_then(|index| index.parse::<usize>().ok());
                let server = nearest.zip(index).and_then(|(all, index)| all.get(index));
                server.map(|server| server.url.span).into_iter().collect()
            }
            _ => nodes
                .operation
                .map(|node| below(node, path))
                .into_iter()
                .collect(),
        }
    }

    /// Level that added a policy to the chain. `span` is the source location of the policy's name.
    /// `None` if no list of policies contains this location.
    fn policy_level(&self, span: Span, nodes: &Nodes<'c>) -> Option<From> {
        let named = |names: &[diag::Spanned<String>]| names.iter().any(|name| name.span == span);
        let listed = |node: Option<NodeRef<'c>>| {
            let lists = ["policies", "+policies"].map(|key| node.and_then(|node| node.get(key)));
            let mut items = lists.into_iter().flatten().flat_map(NodeRef::items);
            items.any(|item| item.span() == span)
        };
        match () {
            () if named(&self.settings.required.policies) => Some(From::Required),
            () if named(&self.settings.defaults.policies) => Some(From::Defaults),
            () if listed(nodes.operation) => Some(From::Operation),
            () if listed(nodes.path) => Some(From::Path),
            () if listed(nodes.defaults) => Some(From::Document),
            () => None,
        }
    }

    fn field(&self, origin: &Origin) -> FieldSource {
        match origin {
            Origin::Written { span, overrides } => {
                let all: Vec<Span> = std::iter::once(span).chain(overrides).copied().collect();
                self.written(&all)
            }
            Origin::Default(name) => FieldSource::Default {
                default: (*name).to_owned(),
            },
        }
    }

    /// Creates the source of a field from spans, the nearest first. If a variable or a patch of an
    /// environment supplies the value at a span, also adds the location of the original value.
    fn written(&self, spans: &[Span]) -> FieldSource {
        let places = spans.iter().flat_map(|span| self.behind(*span));
        let mut places = places.map(|span| Place::of(&self.compiled.files.sources, span));
        FieldSource::Written {
            place: places.next().unwrap_or_default(),
            overrides: places.collect(),
            from: None,
        }
    }

    fn behind(&self, span: Span) -> Vec<Span> {
        let mut chain = vec![span];
        while let Some(next) = chain
            .last()
            .and_then(|last| self.compiled.origins.behind(*last))
        {
            if chain.contains(&next) {
                break;
            }
            chain.push(next);
        }
        chain
    }
}
