//! Names in the OpenAPI document of an API, in the files to which it refers, and in its overlays.

use std::collections::HashSet;
use std::ops::Range;

use diag::shape::is_name;
use diag::{NodeId, NodeRef, Span};
use model::Api;
use openapi::overlay::plain::{Selector, located};
use openapi::overlay::target::Step;
use openapi::spec::objects::{self, DOCUMENT};
use openapi::spec::reference::Resolver;

use super::collect::Collector;
use super::name::{Name, Role, SCHEME, Scope};
use crate::shapes::{self, Place};

/// Start of the reference to a security scheme.
const SCHEMES: &str = "/components/securitySchemes/";

/// Adds the names in the files of an API.
pub(super) fn names<'c>(collector: &mut Collector<'c, '_>, api: &'c Api) {
    let files = &collector.compiled.files;
    let mut walk = Walk {
        scope: Scope::Api(&api.name),
        resolver: Resolver::new(files, &api.document),
        api,
        collector,
        seen: HashSet::new(),
    };
    // An overlay can replace names of the document, so both forms of the document are read.
    let written = files.root(api.document.file);
    for root in [Some(api.document.root), written].into_iter().flatten() {
        walk.value(files.tree.at(root), Place::OpenapiObject(&DOCUMENT));
    }
    for overlay in &api.document.overlays {
        if let Some(root) = files.root(*overlay) {
            walk.overlay(files.tree.at(root));
        }
    }
}

struct Walk<'c, 'n, 'w> {
    collector: &'w mut Collector<'c, 'n>,
    api: &'c Api,
    scope: Scope<'c>,
    resolver: Resolver<'c>,
    /// Nodes that were read, with the vocabulary that applied.
    seen: HashSet<(NodeId, u8)>,
}

impl<'c> Walk<'c, '_, '_> {
    /// Collects the names in a value of the document.
    fn value(&mut self, node: NodeRef<'c>, place: Place) {
        match place {
            Place::Shape(shape) => self.collector.node((node, None), shape, self.scope),
            Place::Object(object) => self.collector.object(node, object, self.scope),
            Place::KindOf(_) => {}
            Place::OpenapiObject(object) => {
                if self.seen.insert((node.id(), object.bit)) {
                    self.openapi_object(node, object);
                }
            }
            Place::Openapi(_) => {
                for item in node.items() {
                    for place in shapes::items(place) {
                        self.value(item, place);
                    }
                }
                self.entries(node, place);
            }
        }
    }

    fn openapi_object(&mut self, node: NodeRef<'c>, object: &'static objects::Object) {
        if let Some(reference) = node.get("$ref") {
            self.reference(reference, object);
        }
        if object.fields.iter().any(|field| field.key == "security") {
            let alternatives = node.get("security").into_iter().flat_map(NodeRef::items);
            for (entry, _) in alternatives.flat_map(NodeRef::entries) {
                self.scheme((&entry.key, entry.key_span), Role::Reference);
            }
        }
        if is_schemes(object) {
            for (entry, _) in node.entries() {
                self.scheme((&entry.key, entry.key_span), Role::Definition);
            }
        }
        self.entries(node, Place::OpenapiObject(object));
    }

    fn entries(&mut self, node: NodeRef<'c>, place: Place) {
        for (entry, value) in node.entries() {
            for place in shapes::below(place, &entry.key, None) {
                self.value(value, place);
            }
        }
    }

    /// Follows a reference to another file. A reference to a security scheme of the document is a
    /// name.
    fn reference(&mut self, reference: NodeRef<'c>, object: &'static objects::Object) {
        let Ok(target) = self.resolver.target(reference) else {
            return;
        };
        if target.span().file != reference.span().file {
            self.value(target, Place::OpenapiObject(object));
        }
        let Some(text) = reference.as_str() else {
            return;
        };
        if target.span().file == self.api.document.file
            && let Some((_, name)) = text.split_once(SCHEMES)
        {
            let whole = self.name((text, reference.span()), Role::Reference);
            let start = text.len() - name.len();
            self.collector.push(whole.part(SCHEME, start, text.len()));
        }
    }

    fn scheme(&mut self, place: (&'c str, Span), role: Role) {
        let name = self.name(place, role);
        self.collector.push(name);
    }

    fn name(&self, (text, span): (&'c str, Span), role: Role) -> Name<'c> {
        Name {
            kind: SCHEME,
            text,
            compiled: self.collector.compiled,
            span,
            scope: self.scope,
            role,
            is_selector: false,
        }
    }

    /// Collects the names in the targets and values of an overlay.
    fn overlay(&mut self, root: NodeRef<'c>) {
        for action in root.get("actions").into_iter().flat_map(NodeRef::items) {
            if let Some(source) = action.get("copy") {
                self.target(source);
            }
            let places = action.get("target").map(|target| self.target(target));
            let Some(update) = action.get("update") else {
                continue;
            };
            match places {
                Some(Some(places)) => self.update(update, &places),
                _ => self.opaque_values(update),
            }
        }
    }

    fn update(&mut self, update: NodeRef<'c>, places: &[Target]) {
        for place in places {
            match place {
                Target::Place(place) => self.value(update, *place),
                Target::Security => {
                    let alternatives = update.items().chain([update]);
                    for (entry, _) in alternatives.flat_map(NodeRef::entries) {
                        self.scheme((&entry.key, entry.key_span), Role::Reference);
                    }
                }
            }
        }
    }

    /// Collects the names in a target. Returns the vocabulary of the values that it selects, or
    /// `None` if it is not known.
    fn target(&mut self, target: NodeRef<'c>) -> Option<Vec<Target>> {
        let text = target.as_str()?;
        let whole = self.name((text, target.span()), Role::Opaque);
        let Some((selectors, rest)) = located(text) else {
            self.collector.push(whole);
            return None;
        };
        let mut places = vec![Target::Place(Place::OpenapiObject(&DOCUMENT))];
        for (selector, range) in &selectors {
            if let Selector::One(Step::Key(key)) = selector {
                self.selector(&whole, (key, range.clone()), &places);
            }
            places = places
                .iter()
                .flat_map(|place| place.below(selector))
                .collect();
        }
        if rest.is_empty() {
            return Some(places);
        }
        // A filter, a list or `..`: the rest of the target may contain names.
        self.collector.push(whole);
        None
    }

    /// Adds a selector that is a name.
    fn selector(
        &mut self,
        whole: &Name<'c>,
        (key, range): (&str, Range<usize>),
        places: &[Target],
    ) {
        let text = &whole.text[range.clone()];
        let start = range.start + text.find(key).unwrap_or_default();
        for place in places {
            let Some((kind, role)) = place.key_kind() else {
                continue;
            };
            let name = Name { role, ..*whole };
            let mut name = name.part(kind, start, start + key.len());
            // `.name` takes fewer characters than a name can have, so brackets may be needed.
            name.is_selector = text.starts_with('.');
            self.collector.push(name);
        }
    }

    /// Adds every text of a value whose vocabulary is not known.
    fn opaque_values(&mut self, node: NodeRef<'c>) {
        for (entry, value) in node.entries() {
            self.opaque((&entry.key, entry.key_span));
            self.opaque_values(value);
        }
        for item in node.items() {
            self.opaque_values(item);
        }
        if let Some(text) = node.scalar_text() {
            self.opaque((text, node.span()));
        }
    }

    fn opaque(&mut self, (text, span): (&'c str, Span)) {
        if is_name(text) {
            let name = self.name((text, span), Role::Opaque);
            self.collector.push(name);
        }
    }
}

/// Vocabulary of a value that a target selects.
#[derive(Clone, Copy)]
enum Target {
    Place(Place),
    /// Value of `security`, or an alternative of it.
    Security,
}

impl Target {
    /// Vocabulary of the values that a selector selects in this one.
    fn below(&self, selector: &Selector) -> Vec<Self> {
        let Self::Place(place) = self else {
            return vec![Self::Security];
        };
        let places = match selector {
            Selector::One(Step::Key(key)) => {
                if is_security(*place, key) {
                    return vec![Self::Security];
                }
                shapes::below(*place, key, None)
            }
            Selector::One(Step::Index(_)) => shapes::items(*place),
            Selector::Every => shapes::children(*place),
        };
        places.into_iter().map(Self::Place).collect()
    }

    /// Kind and role of the keys of the value, if they are names.
    fn key_kind(&self) -> Option<(&'static str, Role)> {
        use diag::shape::{NameKeys, Shape};
        match self {
            Self::Security => Some((SCHEME, Role::Reference)),
            Self::Place(Place::OpenapiObject(object)) if is_schemes(object) => {
                Some((SCHEME, Role::Definition))
            }
            Self::Place(Place::Shape(Shape::ByName(NameKeys::Define(kind), _))) => {
                Some((kind, Role::Definition))
            }
            Self::Place(Place::Shape(Shape::ByName(NameKeys::Refer([kind]), _))) => {
                Some((kind, Role::Reference))
            }
            Self::Place(_) => None,
        }
    }
}

/// True if `key` is the field `security` of an OpenAPI object.
fn is_security(place: Place, key: &str) -> bool {
    let Place::OpenapiObject(object) = place else {
        return false;
    };
    key == "security" && object.fields.iter().any(|field| field.key == key)
}

/// True for the object `components.securitySchemes`.
fn is_schemes(object: &'static objects::Object) -> bool {
    object.bit == objects::SECURITY_SCHEMES.bit
}
