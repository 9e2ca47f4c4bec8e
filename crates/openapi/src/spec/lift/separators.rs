//! Conversion of `collectionFormat` of Swagger 2.0: the separators of list items.

use diag::tree::Entry;
use diag::{Diagnostic, NodeId, Span, suggest};

use super::nodes::Map;
use super::{COLLECTION_FORMAT, Lift};
use crate::spec::lints::UNKNOWN_VALUE;

/// Values of `collectionFormat`.
const FORMATS: &[&str] = &["csv", "ssv", "tsv", "pipes", "multi"];
/// Default of `collectionFormat`.
const FORMAT_DEFAULT: &str = "csv";
/// Place of the header of a response, beside the values of `in`.
pub(super) const RESPONSE_HEADER: &str = "response header";
/// Maximum depth of nested lists that are read. The reader of documents refuses deeper nesting.
const DEPTH_MAX: usize = 256;

impl Lift<'_> {
    /// Converts `collectionFormat` of a parameter, header or form field, and of the lists in its
    /// `items`. Adds `style` and `explode`, and [`COLLECTION_FORMAT`] for all separators that
    /// OpenAPI 3.0 cannot express.
    pub(super) fn separators(&mut self, node: NodeId, place: &str, lifted: &mut Map) {
        let mut inexpressible = Vec::new();
        if let Some(entry) = self.nodes.entry(node, "collectionFormat") {
            let format = self.separator(&entry, place, lifted);
            inexpressible.extend(format.filter(|_| self.is_list(node)));
        }
        if self.is_list(node) && !lifted.has("style") && matches!(place, "query" | "formData") {
            // By default, 2.0 separates items by commas, and 3.0 repeats the name.
            let at = self.nodes.span(node);
            self.put_style(("form", false), (at, at), lifted);
        }
        let mut path = "items".to_owned();
        let mut list = node;
        for _ in 0..DEPTH_MAX {
            let items = self.nodes.get(list, "items");
            let Some(items) = items.filter(|items| self.is_list(*items)) else {
                break;
            };
            if let Some(entry) = self.nodes.entry(items, "collectionFormat")
                && let Some(format) = self.known_format(&entry)
                && format != FORMAT_DEFAULT
            {
                self.no_counterpart(&entry, &format, "a list in a list");
                inexpressible.push(format!("{path}: {format}"));
            }
            path.push_str(".items");
            list = items;
        }
        if !inexpressible.is_empty() {
            let at = self.nodes.span(node);
            let text = self.nodes.text(&inexpressible.join(", "), at);
            lifted.put(COLLECTION_FORMAT, at, text);
        }
    }

    fn is_list(&self, node: NodeId) -> bool {
        self.nodes.string_of(node, "type").as_deref() == Some("array")
    }

    /// Converts `collectionFormat` of a whole value to `style` and `explode`. Returns the format if
    /// it has no counterpart.
    fn separator(&mut self, entry: &Entry, place: &str, lifted: &mut Map) -> Option<String> {
        let format = self.known_format(entry)?;
        let in_query = matches!(place, "query" | "formData");
        let (style, explode) = match format.as_str() {
            "csv" if in_query => ("form", false),
            "multi" if in_query => ("form", true),
            "ssv" if in_query => ("spaceDelimited", false),
            "pipes" if in_query => ("pipeDelimited", false),
            "csv" => ("simple", false),
            _ => {
                let what = match place {
                    RESPONSE_HEADER => "a response header".to_owned(),
                    _ => format!("a {place} parameter"),
                };
                self.no_counterpart(entry, &format, &what);
                return Some(format);
            }
        };
        let at = self.nodes.span(entry.value);
        self.put_style((style, explode), (entry.key_span, at), lifted);
        None
    }

    fn put_style(
        &mut self,
        (style, explode): (&str, bool),
        (key_span, at): (Span, Span),
        lifted: &mut Map,
    ) {
        let style = self.nodes.text(style, at);
        let explode = self.nodes.bool(explode, at);
        lifted.put("style", key_span, style);
        lifted.put("explode", key_span, explode);
    }

    /// Value of `collectionFormat`. Reports an unknown value and returns `None`.
    fn known_format(&mut self, entry: &Entry) -> Option<String> {
        let text = self.nodes.string(entry.value).unwrap_or_default();
        if FORMATS.contains(&text.as_str()) {
            return Some(text);
        }
        let message = format!("`{}` is an unknown value", text.escape_debug());
        self.sink.push(
            Diagnostic::new(&UNKNOWN_VALUE, self.nodes.span(entry.value), message)
                .label(suggest::one_of(FORMATS.iter().copied(), 8)),
        );
        None
    }

    fn no_counterpart(&mut self, entry: &Entry, format: &str, what: &str) {
        let message = format!("`{format}` has no counterpart for {what} in OpenAPI 3");
        self.sink.push(
            Diagnostic::new(&UNKNOWN_VALUE, self.nodes.span(entry.value), message)
                .help("its values are read as one string")
                .level(diag::Level::Warn),
        );
    }
}
