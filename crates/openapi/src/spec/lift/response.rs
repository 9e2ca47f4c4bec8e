//! Conversion of Swagger 2.0 responses and their headers.

use diag::{NodeId, Span};

use super::nodes::Map;
use super::separators::RESPONSE_HEADER;
use super::{Lift, MediaTypes, TargetType};

impl Lift<'_> {
    /// Lifts a response. A reference is replaced by its target.
    pub(super) fn response(&mut self, node: NodeId, produces: MediaTypes) -> NodeId {
        let Some(response) = self
            .resolved(node, "responses")
            .filter(|node| self.nodes.is_map(*node))
        else {
            return node;
        };
        self.once(response, TargetType::Response(produces), |lift| {
            let mut lifted = Map::new(lift.nodes.span(response));
            let mut schema = None;
            let mut examples = None;
            for entry in lift.nodes.entries(response) {
                match &*entry.key {
                    "schema" => schema = Some((entry.key_span, lift.schema(entry.value))),
                    "examples" => examples = Some(entry.value),
                    "headers" => {
                        let headers = lift.headers(entry.value);
                        lifted.put("headers", entry.key_span, headers);
                    }
                    _ => lifted.keep(&entry),
                }
            }
            if let Some(content) = lift.content(schema, examples, produces) {
                let at = lift.nodes.span(content);
                lifted.put("content", at, content);
            }
            lift.nodes.map(lifted)
        })
    }

    /// Builds `content` of a response, with the media types of `produces` and of `examples`. `None`
    /// if there are no media types.
    fn content(
        &mut self,
        schema: Option<(Span, NodeId)>,
        examples: Option<NodeId>,
        produces: MediaTypes,
    ) -> Option<NodeId> {
        let examples = examples.map(|examples| self.nodes.entries(examples));
        let examples = examples.unwrap_or_default();
        let mut names = if schema.is_some() {
            self.media_types(produces)
        } else {
            Vec::new()
        };
        for example in &examples {
            let is_new = names.iter().all(|(name, _)| *name != *example.key);
            if is_new && example.key.contains('/') {
                names.push((example.key.to_string(), example.key_span));
            }
        }
        let (_, at) = names.first()?;
        let mut content = Map::new(*at);
        for (name, span) in names {
            let mut media = Map::new(span);
            if let Some((key_span, schema)) = schema {
                media.put("schema", key_span, schema);
            }
            if let Some(example) = examples.iter().find(|example| *example.key == *name) {
                media.put("example", example.key_span, example.value);
            }
            let media = self.nodes.map(media);
            content.put(&name, span, media);
        }
        Some(self.nodes.map(content))
    }

    fn headers(&mut self, node: NodeId) -> NodeId {
        if !self.nodes.is_map(node) {
            return node;
        }
        let mut lifted = Map::new(self.nodes.span(node));
        for entry in self.nodes.entries(node) {
            let header = self.header(entry.value);
            lifted.put(&entry.key, entry.key_span, header);
        }
        self.nodes.map(lifted)
    }

    fn header(&mut self, node: NodeId) -> NodeId {
        if !self.nodes.is_map(node) {
            return node;
        }
        self.once(node, TargetType::Header, |lift| {
            let mut lifted = Map::new(lift.nodes.span(node));
            for entry in lift.nodes.entries(node) {
                if &*entry.key == "description" || entry.key.starts_with("x-") {
                    lifted.keep(&entry);
                }
            }
            lift.separators(node, RESPONSE_HEADER, &mut lifted);
            let (at, schema) = lift.value_schema(node);
            lifted.put("schema", at, schema);
            lift.nodes.map(lifted)
        })
    }
}
