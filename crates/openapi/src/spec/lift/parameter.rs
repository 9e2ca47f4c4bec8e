//! Conversion of Swagger 2.0 parameters, including those that describe a request body.

use std::collections::HashSet;

use diag::tree::Entry;
use diag::{Diagnostic, Kind, NodeId, Span, suggest};

use super::nodes::Map;
use super::{Lift, MEDIA_TYPE_DEFAULT, MediaTypes, TargetType};
use crate::spec::lints::{MISSING_FIELD, SEVERAL_BODIES, UNKNOWN_VALUE, UNRESOLVED_REFERENCE};
use crate::spec::reference::{Fault, Resolver, reference};

const PLACES: &[&str] = &["query", "header", "path", "formData", "body"];
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// Fields of a 2.0 parameter or header that become part of its schema in 3.0.
const OF_SCHEMA: &[&str] = &[
    "type",
    "format",
    "items",
    "default",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "enum",
    "multipleOf",
    "x-nullable",
];

/// Parameters of one list, grouped by their counterpart in OpenAPI 3.0: parameter or request body.
#[derive(Default)]
pub(super) struct GroupedParameters {
    /// Parameters that are still parameters in 3.0, already lifted. `body` and `form` are not
    /// lifted yet.
    pub(super) parameters: Vec<NodeId>,
    body: Option<NodeId>,
    form: Vec<NodeId>,
}

impl Lift<'_> {
    /// Groups the parameters of a list. `None` if the value is not a list.
    pub(super) fn parameters(&mut self, list: NodeId) -> Option<GroupedParameters> {
        let list = self.resolved(list, "parameters")?;
        if !self.nodes.files.tree.at(list).is_list() {
            return None;
        }
        let mut grouped = GroupedParameters::default();
        for item in self.nodes.items(list) {
            let Some(node) = self
                .resolved(item, "parameters")
                .filter(|node| self.nodes.is_map(*node))
            else {
                // The structure check reports the broken reference.
                grouped.parameters.push(item);
                continue;
            };
            match self.nodes.string_of(node, "in").as_deref() {
                Some("body") => {
                    if let Some(other) = grouped.body.or(grouped.form.first().copied()) {
                        self.second_body(node, other);
                    }
                    grouped.body = grouped.body.or(Some(node));
                }
                Some("formData") => {
                    if let Some(other) = grouped.body {
                        self.second_body(node, other);
                    }
                    grouped.form.push(node);
                }
                Some(place) if !PLACES.contains(&place) => self.unknown_place(node, place),
                _ => {
                    let parameter = self.parameter(node);
                    grouped.parameters.push(parameter);
                }
            }
        }
        Some(grouped)
    }

    /// Converts a shared parameter in the root of a Swagger 2.0 document to a parameter or a
    /// request body of 3.0.
    pub(super) fn shared_parameter(
        &mut self,
        entry: &Entry,
        consumes: MediaTypes,
        parameters: &mut Map,
        bodies: &mut Map,
    ) {
        let node = entry.value;
        let place = self.nodes.string_of(node, "in");
        match place.as_deref() {
            Some("body") => {
                let (_, body) = self.whole_body(node, consumes);
                bodies.put(&entry.key, entry.key_span, body);
            }
            Some("formData") => {
                let (_, body) = self.form_body(&[node], consumes);
                bodies.put(&entry.key, entry.key_span, body);
            }
            Some(place) if !PLACES.contains(&place) => self.unknown_place(node, place),
            _ => {
                let lifted = self.parameter(node);
                parameters.put(&entry.key, entry.key_span, lifted);
            }
        }
    }

    fn unknown_place(&mut self, node: NodeId, place: &str) {
        let at = self.nodes.get(node, "in");
        let at = at.map_or(self.nodes.span(node), |node| self.nodes.span(node));
        let message = format!("`{}` is an unknown value", place.escape_debug());
        let finding = Diagnostic::new(&UNKNOWN_VALUE, at, message)
            .label(suggest::one_of(PLACES.iter().copied(), 8));
        self.sink
            .push(match suggest::nearest(place, PLACES.iter().copied()) {
                Some(near) => finding
                    .help(format!("did you mean `{near}`?"))
                    .fix(at, near),
                None => finding,
            });
    }

    /// Lifts a parameter that is still a parameter in 3.0.
    fn parameter(&mut self, node: NodeId) -> NodeId {
        if !self.nodes.is_map(node) {
            return node;
        }
        self.once(node, TargetType::Parameter, |lift| {
            let mut lifted = Map::new(lift.nodes.span(node));
            let place = lift.nodes.string_of(node, "in").unwrap_or_default();
            for entry in lift.nodes.entries(node) {
                match &*entry.key {
                    "collectionFormat" => {}
                    key if OF_SCHEMA.contains(&key) => {}
                    _ => lifted.keep(&entry),
                }
            }
            lift.separators(node, &place, &mut lifted);
            let (at, schema) = lift.value_schema(node);
            lifted.put("schema", at, schema);
            lift.nodes.map(lifted)
        })
    }

    /// Returns the schema of a parameter, a header or a form field, and the span of its `type`.
    pub(super) fn value_schema(&mut self, node: NodeId) -> (Span, NodeId) {
        let mut schema = Map::new(self.nodes.span(node));
        let mut at = None;
        for entry in self.nodes.entries(node) {
            if OF_SCHEMA.contains(&&*entry.key) {
                at = at.or((&*entry.key == "type").then_some(entry.key_span));
                schema.keep(&entry);
            }
        }
        let first = crate::spec::first_key(self.nodes.files.tree.at(node));
        if at.is_none() {
            self.sink.push(
                Diagnostic::new(&MISSING_FIELD, first, "the field `type` is missing")
                    .label("Swagger 2.0 needs it for each parameter and header"),
            );
        }
        let schema = self.nodes.map(schema);
        (at.unwrap_or(first), self.schema(schema))
    }

    /// Returns the request body that the parameters of an operation (`own`) or of its path
    /// (`shared`) describe. The span is that of the first parameter's first key. `None` if there is
    /// no body.
    pub(super) fn body(
        &mut self,
        own: &GroupedParameters,
        shared: &GroupedParameters,
        consumes: MediaTypes,
    ) -> Option<(Span, NodeId)> {
        if own.body.is_some() || !own.form.is_empty() {
            shared.body.into_iter().for_each(|body| self.dropped(body));
        }
        let mixed = match (own.body, own.form.first(), shared.body, shared.form.first()) {
            (Some(mine), _, _, Some(other)) => Some((mine, *other)),
            (None, Some(mine), Some(other), _) => Some((*mine, other)),
            _ => None,
        };
        if let Some((mine, other)) = mixed {
            self.second_body(mine, other);
        }
        if let Some(body) = own.body {
            return Some(self.whole_body(body, consumes));
        }
        if own.form.is_empty()
            && let Some(body) = shared.body
        {
            return Some(self.whole_body(body, consumes));
        }
        let name = |lift: &Self, node| lift.nodes.string_of(node, "name");
        let mut fields = own.form.clone();
        for field in &shared.form {
            if !own
                .form
                .iter()
                .any(|other| name(self, *other) == name(self, *field))
            {
                fields.push(*field);
            }
        }
        (!fields.is_empty()).then(|| self.form_body(&fields, consumes))
    }

    /// Reports a second request body of an operation. The second body is ignored.
    fn second_body(&mut self, node: NodeId, other: NodeId) {
        let place = |node| crate::spec::first_key(self.nodes.files.tree.at(node));
        let finding = Diagnostic::new(
            &SEVERAL_BODIES,
            place(node),
            "the body is already described",
        )
        .related(place(other), "by this parameter")
        .help("keep one parameter with `in: body`, or only parameters with `in: formData`");
        self.sink.push(finding);
        self.dropped(node);
    }

    /// Checks the references inside a node that is left out, so that broken references are still
    /// reported.
    fn dropped(&mut self, node: NodeId) {
        let files = &*self.nodes.files;
        let resolver = Resolver::new(files, &self.document);
        let mut seen = HashSet::new();
        let mut waiting = vec![files.tree.at(node)];
        while let Some(node) = waiting.pop() {
            if !seen.insert(node.id()) {
                continue;
            }
            if let Some(text) = reference(node)
                && let Err(Fault::NotFound { .. } | Fault::BadPointer(_)) = resolver.target(text)
            {
                let written = text.as_str().unwrap_or_default().escape_debug();
                let message = format!("`{written}` does not exist");
                self.sink
                    .push(Diagnostic::new(&UNRESOLVED_REFERENCE, text.span(), message));
            }
            waiting.extend(node.items());
            waiting.extend(node.entries().map(|(_, value)| value));
        }
    }

    /// Converts a parameter with `in: body` to a request body. The span is that of the parameter's
    /// first key.
    fn whole_body(&mut self, node: NodeId, consumes: MediaTypes) -> (Span, NodeId) {
        let at = crate::spec::first_key(self.nodes.files.tree.at(node));
        let mut body = Map::new(self.nodes.span(node));
        let mut schema = None;
        for entry in self.nodes.entries(node) {
            match &*entry.key {
                "name" | "in" => {}
                "schema" => schema = Some((entry.key_span, self.schema(entry.value))),
                _ => body.keep(&entry),
            }
        }
        if schema.is_none() {
            self.sink.push(
                Diagnostic::new(&MISSING_FIELD, at, "the field `schema` is missing")
                    .label("Swagger 2.0 needs it for a body"),
            );
        }
        let media_types = self.media_types(consumes);
        let mut content = Map::new(at);
        for (name, span) in media_types {
            let mut media = Map::new(span);
            if let Some((key_span, schema)) = schema {
                media.put("schema", key_span, schema);
            }
            let media = self.nodes.map(media);
            content.put(&name, span, media);
        }
        let content = self.nodes.map(content);
        body.put("content", at, content);
        (at, self.nodes.map(body))
    }

    /// Converts parameters with `in: formData` to a request body with one object schema. The span
    /// is that of the first parameter's first key.
    fn form_body(&mut self, fields: &[NodeId], consumes: MediaTypes) -> (Span, NodeId) {
        let first = fields.first().map(|field| self.nodes.files.tree.at(*field));
        let at = first.map_or(self.nodes.span(self.document.root), crate::spec::first_key);
        let mut properties = Map::new(at);
        let mut encoding = Map::new(at);
        let mut required = Vec::new();
        let mut is_file = false;
        for field in fields {
            let Some(name_node) = self.nodes.get(*field, "name") else {
                let at = crate::spec::first_key(self.nodes.files.tree.at(*field));
                self.sink.push(
                    Diagnostic::new(&MISSING_FIELD, at, "the field `name` is missing")
                        .label("a parameter needs a name"),
                );
                continue;
            };
            let name = self.nodes.string(name_node).unwrap_or_default();
            let name_span = self.nodes.span(name_node);
            is_file |= self.nodes.string_of(*field, "type").as_deref() == Some("file");
            let (_, schema) = self.value_schema(*field);
            properties.put(&name, name_span, schema);
            if self.nodes.is_true(*field, "required") {
                required.push(self.nodes.text(&name, name_span));
            }
            let mut how = Map::new(name_span);
            self.separators(*field, "formData", &mut how);
            if !how.is_empty() {
                let how = self.nodes.map(how);
                encoding.put(&name, name_span, how);
            }
        }
        let mut schema = Map::new(at);
        let kind = self.nodes.text("object", at);
        schema.put("type", at, kind);
        let properties = self.nodes.map(properties);
        schema.put("properties", at, properties);
        let any_required = !required.is_empty();
        if any_required {
            let required = self.nodes.push(at, Kind::List(required));
            schema.put("required", at, required);
        }
        let schema = self.nodes.map(schema);
        let encoding = (!encoding.is_empty()).then(|| self.nodes.map(encoding));
        let media_types = self.media_types(consumes);
        let mut media_types: Vec<(String, Span)> = media_types
            .into_iter()
            .filter(|(name, _)| name == FORM && !is_file || name == MULTIPART)
            .collect();
        if media_types.is_empty() {
            media_types.push((if is_file { MULTIPART } else { FORM }.to_owned(), at));
        }
        let mut content = Map::new(at);
        for (name, span) in media_types {
            let mut media = Map::new(span);
            media.put("schema", at, schema);
            if let Some(encoding) = encoding {
                media.put("encoding", at, encoding);
            }
            let media = self.nodes.map(media);
            content.put(&name, span, media);
        }
        let mut body = Map::new(at);
        if any_required {
            let yes = self.nodes.bool(true, at);
            body.put("required", at, yes);
        }
        let content = self.nodes.map(content);
        body.put("content", at, content);
        (at, self.nodes.map(body))
    }

    /// Media types of `consumes` or `produces`, with their spans. Default: `application/json`.
    pub(super) fn media_types(&self, list: MediaTypes) -> Vec<(String, Span)> {
        let named = |node: &NodeId| Some((self.nodes.string(*node)?, self.nodes.span(*node)));
        let items = list.map(|list| self.nodes.items(list)).unwrap_or_default();
        let mut found: Vec<(String, Span)> = items.iter().filter_map(named).collect();
        if found.is_empty() {
            let at = list.unwrap_or(self.document.root);
            let at = crate::spec::first_key(self.nodes.files.tree.at(at));
            found.push((MEDIA_TYPE_DEFAULT.to_owned(), at));
        }
        found
    }
}
