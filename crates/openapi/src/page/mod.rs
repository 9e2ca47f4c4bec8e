//! HTML page that shows a public document: operations by tag, with parameters, bodies, responses
//! and schemas.
//!
//! The page has no scripts and no outside resources. It follows the colour scheme of the reader and
//! is usable by keyboard. The page contains its only style sheet, so that a Content Security Policy
//! can admit nothing but the hash of that style sheet. Descriptions are shown as plain text.

use std::cell::Cell;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diag::NodeRef;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::strip::{Removed, operations, resolved, write};

const STYLE: &str = include_str!("page.css");

/// HTML page that shows a document.
#[derive(Clone, Debug)]
pub struct Page {
    /// Text of the page.
    pub html: String,
    /// Hash of the style sheet, as a source of a Content Security Policy: `sha256-…`.
    pub style_hash: String,
}

/// Makes the page of a document. Leaves out the removed entries. `None` if the page would be larger
/// than `bytes_max` bytes.
#[must_use]
pub fn page(root: NodeRef<'_>, removed: &Removed, bytes_max: usize) -> Option<Page> {
    let view = View {
        root,
        removed,
        left: Cell::new(bytes_max),
    };
    let title = view.text(view.get(root, "info"), "title");
    let title = title.unwrap_or("API");
    let body = view.document(title)?;
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    let html = html.into_string();
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    (html.len() <= bytes_max).then(|| Page {
        html,
        style_hash: format!("sha256-{hash}"),
    })
}

/// Document, and the number of bytes by which its page may still grow.
struct View<'n, 'r> {
    root: NodeRef<'n>,
    removed: &'r Removed,
    left: Cell<usize>,
}

/// Operation with its path and method.
struct Operation<'n> {
    method: String,
    path: &'n str,
    item: NodeRef<'n>,
    node: NodeRef<'n>,
}

impl<'n> View<'n, '_> {
    fn get(&self, node: NodeRef<'n>, key: &str) -> Option<NodeRef<'n>> {
        node.get(key).filter(|_| !self.removed.has(node.id(), key))
    }

    /// Value to which a local `$ref` points, otherwise the node itself.
    fn resolve(&self, node: NodeRef<'n>) -> NodeRef<'n> {
        let reference = node.get("$ref").and_then(NodeRef::as_str);
        let target = reference.and_then(|text| resolved(self.root, text));
        target.unwrap_or(node)
    }

    fn text(&self, node: Option<NodeRef<'n>>, key: &str) -> Option<&'n str> {
        node.and_then(|node| self.get(node, key))?.scalar_text()
    }

    fn entries(&self, node: Option<NodeRef<'n>>) -> Vec<(&'n str, NodeRef<'n>)> {
        let entries = node.into_iter().flat_map(|node| self.removed.left(node));
        let named = entries.filter(|(entry, _)| !entry.key.starts_with("x-"));
        named.map(|(entry, value)| (&*entry.key, value)).collect()
    }

    /// Subtracts the size of a part of the page from the remaining bytes. `before` is the number of
    /// bytes that remained when the part was begun. Inner parts may be subtracted already. `None`
    /// if the page becomes too large.
    fn count(&self, before: usize, part: Markup) -> Option<Markup> {
        let left = before.checked_sub(part.0.len())?;
        self.left.set(left.min(self.left.get()));
        Some(part)
    }

    fn document(&self, title: &str) -> Option<Markup> {
        let info = self.get(self.root, "info");
        let groups = self.groups();
        let mut number = 0;
        let mut links = Vec::new();
        let mut sections = Vec::new();
        for (name, described, operations) in &groups {
            let mut articles = Vec::new();
            let mut items = Vec::new();
            for operation in operations {
                number += 1;
                items.push((format!("op-{number}"), operation));
                articles.push(self.operation(number, operation)?);
            }
            links.push(html! {
                h2 { (name) }
                ul {
                    @for (id, operation) in &items {
                        li { a href={ "#" (id) } { (operation.method) " " (operation.path) } }
                    }
                }
            });
            sections.push(html! {
                section {
                    h2 { (name) }
                    (prose(*described))
                    @for article in &articles { (article) }
                }
            });
        }
        let schemas = self.schemas();
        let mut definitions = Vec::new();
        for (name, schema) in &schemas {
            definitions.push(html! {
                article id=(anchor(name)) {
                    h3 { (name) }
                    (prose(self.text(Some(*schema), "description")))
                    (self.schema(*schema)?)
                }
            });
        }
        Some(html! {
            a.skip href="#operations" { "Skip to the operations" }
            header {
                h1 { (title) }
                @if let Some(version) = self.text(info, "version") { p.soft { "Version " (version) } }
                (prose(self.text(info, "description")))
                (self.servers())
            }
            nav aria-label="Operations" { @for link in &links { (link) } }
            main id="operations" {
                @for section in &sections { (section) }
                @if !definitions.is_empty() {
                    section { h2 { "Schemas" } @for one in &definitions { (one) } }
                }
            }
        })
    }

    fn servers(&self) -> Markup {
        let servers = self.get(self.root, "servers");
        let urls: Vec<&str> = servers
            .into_iter()
            .flat_map(NodeRef::items)
            .filter_map(|server| self.text(Some(server), "url"))
            .collect();
        html! {
            @if !urls.is_empty() {
                p { "Servers: " @for (index, url) in urls.iter().enumerate() {
                    @if index > 0 { ", " }
                    code { (url) }
                } }
            }
        }
    }

    /// Schemas of the document by name.
    fn schemas(&self) -> Vec<(&'n str, NodeRef<'n>)> {
        let components = self.get(self.root, "components");
        let schemas = components.and_then(|node| self.get(node, "schemas"));
        self.entries(schemas.or_else(|| self.get(self.root, "definitions")))
    }

    /// Groups operations by their first tag, in the order of the document's tags, then of the
    /// operations. Each group has the name of the tag, the tag's description and the operations.
    fn groups(&self) -> Vec<(String, Option<&'n str>, Vec<Operation<'n>>)> {
        let mut groups: Vec<(String, Option<&'n str>, Vec<Operation<'n>>)> = Vec::new();
        let mut at: BTreeMap<String, usize> = BTreeMap::new();
        let tags = self.get(self.root, "tags");
        for tag in tags.into_iter().flat_map(NodeRef::items) {
            if let Some(name) = self.text(Some(tag), "name") {
                at.insert(name.to_owned(), groups.len());
                let description = self.text(Some(tag), "description");
                groups.push((name.to_owned(), description, Vec::new()));
            }
        }
        for (key, other) in [("paths", "Operations"), ("webhooks", "Webhooks")] {
            for (path, item) in self.entries(self.get(self.root, key)) {
                let item = self.resolve(item);
                for operation in operations(item) {
                    if self.removed.has(operation.map.id(), operation.key) {
                        continue;
                    }
                    let tags = self.get(operation.value, "tags");
                    let tag = tags.and_then(|tags| tags.items().next());
                    let tag = tag.and_then(NodeRef::scalar_text).unwrap_or(other);
                    let next = groups.len();
                    let index = *at.entry(tag.to_owned()).or_insert(next);
                    if index == next {
                        groups.push((tag.to_owned(), None, Vec::new()));
                    }
                    groups[index].2.push(Operation {
                        method: operation.key.to_uppercase(),
                        path,
                        item,
                        node: operation.value,
                    });
                }
            }
        }
        groups.retain(|(_, _, operations)| !operations.is_empty());
        groups
    }

    fn operation(&self, number: usize, operation: &Operation<'n>) -> Option<Markup> {
        let (node, before) = (operation.node, self.left.get());
        let deprecated = self.get(node, "deprecated").and_then(NodeRef::as_bool);
        let markup = html! {
            article id={ "op-" (number) } {
                h3 {
                    span.method { (operation.method) } " " code { (operation.path) }
                    @if deprecated == Some(true) { " " span.deprecated { "(deprecated)" } }
                }
                @if let Some(summary) = self.text(Some(node), "summary") { p { (summary) } }
                (prose(self.text(Some(node), "description")))
                (self.security(node))
                (self.parameters(operation)?)
                (self.body(node)?)
                (self.responses(node)?)
            }
        };
        self.count(before, markup)
    }

    /// Credentials that an operation requires.
    fn security(&self, node: NodeRef<'n>) -> Markup {
        let requirement = self.get(node, "security");
        let requirement = requirement.or_else(|| self.get(self.root, "security"));
        let alternatives: Vec<String> = requirement
            .into_iter()
            .flat_map(NodeRef::items)
            .map(|alternative| {
                let schemes = alternative.entries().map(|(entry, scopes)| {
                    let scopes: Vec<&str> =
                        scopes.items().filter_map(NodeRef::scalar_text).collect();
                    match scopes.is_empty() {
                        true => entry.key.to_string(),
                        false => format!("{} ({})", entry.key, scopes.join(", ")),
                    }
                });
                let schemes: Vec<String> = schemes.collect();
                match schemes.is_empty() {
                    true => "none".to_owned(),
                    false => schemes.join(" and "),
                }
            })
            .collect();
        html! {
            @if !alternatives.is_empty() {
                p.soft { "Credentials: " (alternatives.join(", or ")) }
            }
        }
    }

    fn parameters(&self, operation: &Operation<'n>) -> Option<Markup> {
        let lists = [operation.item, operation.node].map(|node| self.get(node, "parameters"));
        let mut all: Vec<(&str, &str, NodeRef<'n>)> = Vec::new();
        for parameter in lists.into_iter().flatten().flat_map(NodeRef::items) {
            let parameter = self.resolve(parameter);
            let text = |key| self.text(Some(parameter), key).unwrap_or_default();
            let (place, name) = (text("in"), text("name"));
            // A parameter of the operation replaces a parameter of the path item with the same
            // location and name.
            all.retain(|(other, known, _)| (*other, *known) != (place, name));
            all.push((place, name, parameter));
        }
        if all.is_empty() {
            return Some(Markup::default());
        }
        let mut rows = Vec::new();
        for (place, name, parameter) in all {
            let required = self.get(parameter, "required").and_then(NodeRef::as_bool);
            let schema = self.get(parameter, "schema");
            rows.push(html! {
                tr {
                    td { code { (name) } @if required == Some(true) { " " small { "required" } } }
                    td { (place) }
                    td { (prose(self.text(Some(parameter), "description")))
                        @match schema {
                            Some(schema) => (self.schema(schema)?),
                            None => {
                                @if let Some(kind) = self.text(Some(parameter), "type") { code { (kind) } }
                                (self.content(parameter)?)
                            }
                        }
                    }
                }
            });
        }
        Some(html! {
            h4 { "Parameters" }
            table {
                thead { tr { th scope="col" { "Name" } th scope="col" { "In" } th scope="col" { "Meaning" } } }
                tbody { @for row in &rows { (row) } }
            }
        })
    }

    fn body(&self, node: NodeRef<'n>) -> Option<Markup> {
        let Some(body) = self.get(node, "requestBody") else {
            return Some(Markup::default());
        };
        let body = self.resolve(body);
        let required = self.get(body, "required").and_then(NodeRef::as_bool);
        Some(html! {
            h4 { "Request body" @if required == Some(true) { " " small { "required" } } }
            (prose(self.text(Some(body), "description")))
            (self.content(body)?)
        })
    }

    fn responses(&self, node: NodeRef<'n>) -> Option<Markup> {
        let mut all = Vec::new();
        for (status, response) in self.entries(self.get(node, "responses")) {
            let response = self.resolve(response);
            let schema = self.get(response, "schema");
            all.push(html! {
                h4 { "Response " code { (status) } }
                (prose(self.text(Some(response), "description")))
                (self.content(response)?)
                @if let Some(schema) = schema { (self.schema(schema)?) }
            });
        }
        Some(html! { @for response in &all { (response) } })
    }

    /// Renders media types with their schemas. `None` if the page becomes too large.
    fn content(&self, node: NodeRef<'n>) -> Option<Markup> {
        let mut all = Vec::new();
        for (name, media_type) in self.entries(self.get(node, "content")) {
            let media_type = self.resolve(media_type);
            let schemas = ["schema", "itemSchema"].map(|key| self.get(media_type, key));
            let mut shown = Vec::new();
            for schema in schemas.into_iter().flatten() {
                shown.push(self.schema(schema)?);
            }
            all.push(html! { p { code { (name) } } @for schema in &shown { (schema) } });
        }
        Some(html! { @for one in &all { (one) } })
    }

    /// Renders a schema as JSON, with a link for each reference to a named schema. A schema that
    /// consists only of a reference is rendered as a link. `None` if the schema or the page becomes
    /// too large.
    fn schema(&self, schema: NodeRef<'n>) -> Option<Markup> {
        if let Some(name) = self.name(schema.get("$ref").and_then(NodeRef::as_str))
            && schema.entries().len() == 1
        {
            return Some(html! { p { a href={ "#" (anchor(&name)) } { (name) } } });
        }
        let text = write::json(schema, self.removed)?;
        const REFERENCE: &str = "\"$ref\": \"";
        let mut pieces = text.trim_end().split(REFERENCE);
        let first = pieces.next().unwrap_or_default();
        let code = html! {
            (first)
            @for piece in pieces {
                @let (reference, rest) = piece.split_once('"').unwrap_or((piece, ""));
                "\"$ref\": \""
                @match self.name(Some(reference)) {
                    Some(name) => a href={ "#" (anchor(&name)) } { (reference) },
                    None => (reference),
                }
                "\"" (rest)
            }
        };
        let small = text.len() <= SHOWN_BYTES;
        let shown = html! {
            @if small { pre { code { (code) } } }
            @else { details { summary { "Schema" } pre { code { (code) } } } }
        };
        self.count(self.left.get(), shown)
    }

    /// Name of the schema to which a reference points. `None` unless the reference leads to a named
    /// schema of the document.
    fn name(&self, reference: Option<&str>) -> Option<String> {
        let reference = reference?;
        let prefixes = ["#/components/schemas/", "#/definitions/"];
        let name = prefixes
            .iter()
            .find_map(|prefix| reference.strip_prefix(prefix))?;
        let is_plain = !name.is_empty() && !name.contains(['/', '~', '%', '\\']);
        let named = is_plain && resolved(self.root, reference).is_some();
        named.then(|| name.to_owned())
    }
}

/// Maximum length of a schema that is shown expanded, in bytes of its JSON text. Longer schemas are
/// collapsed.
const SHOWN_BYTES: usize = 400;

/// HTML id of a schema in the page. Bytes that are not letters or digits are written as hexadecimal
/// digits, so that different names have different ids.
fn anchor(name: &str) -> String {
    let mut id = String::from("schema-");
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || byte == b'-' {
            true => id.push(char::from(byte)),
            false => id.push_str(&format!("_{byte:02x}")),
        }
    }
    id
}

fn prose(text: Option<&str>) -> Markup {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    html! { @if let Some(text) = text { p.prose { (text) } } }
}

#[cfg(test)]
mod tests {
    use sources::project::files::Files;
    use sources::syntax::Limits;

    use super::*;

    fn page_of(text: &str, bytes_max: usize) -> Option<Page> {
        let mut files = Files::in_memory([("a.yaml", text)], Limits::default());
        let at = diag::Span::start_of(diag::FileId(0));
        let mut sink = diag::Sink::default();
        let (_, root) = files.load("a.yaml", at, &mut sink).expect("a document");
        page(files.tree.at(root), &Removed::default(), bytes_max)
    }

    const DOCUMENT: &str = r##"
openapi: 3.1.0
info: {title: "T <script>alert(1)</script>", version: "1", description: "a <b> & \"c\""}
servers: [{url: "https://a.example/\"><script>"}]
security: [{key: []}, {login: [read, write]}]
tags: [{name: Second}, {name: First, description: about first}]
paths:
  /a/{id}:
    parameters: [{$ref: "#/components/parameters/Id"}, {name: q, in: query, description: path item}]
    get:
      tags: [First]
      deprecated: true
      parameters: [{name: q, in: query, description: operation}]
      responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/A~1B"}}}}}
    post:
      requestBody: {required: true, content: {text/plain: {schema: {type: array, items: {$ref: "#/components/schemas/Plain"}}}}}
      responses: {}
components:
  parameters: {Id: {name: id, in: path, required: true, schema: {type: integer}}}
  schemas: {A/B: {type: string}, Plain: {type: object, properties: {x: {$ref: "#/components/schemas/Plain"}}}}
"##;

    #[test]
    fn texts_of_the_document_are_escaped() {
        let html = page_of(DOCUMENT, usize::MAX).unwrap().html;
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("a &lt;b&gt; &amp; &quot;c&quot;"), "{html}");
    }

    #[test]
    fn page_has_operations_by_tag_and_links() {
        let html = page_of(DOCUMENT, usize::MAX).unwrap().html;
        let at = |text: &str| {
            html.find(text)
                .unwrap_or_else(|| panic!("{text} in {html}"))
        };
        assert!(at("<h2>First</h2>") < at("<h2>Operations</h2>"));
        assert!(
            !html.contains("<h2>Second</h2>"),
            "no operation has the tag"
        );
        at("(deprecated)");
        at("Credentials: key, or login (read, write)");
        at("<code>id</code> <small>required</small>");
        at(">operation</p>");
        let inherited = html.matches(">path item</p>").count();
        assert_eq!(inherited, 1, "`get` has a parameter of its own");
        at("<a href=\"#schema-Plain\">#/components/schemas/Plain</a>");
        at("<article id=\"schema-Plain\">");
        at("<article id=\"schema-A_2fB\">");
    }

    #[test]
    fn page_above_the_limit_is_not_made() {
        let size = page_of(DOCUMENT, usize::MAX).unwrap().html.len();
        assert!(page_of(DOCUMENT, size).is_some());
        assert!(page_of(DOCUMENT, size - 1).is_none());
        assert!(page_of(DOCUMENT, 100).is_none());
    }

    #[test]
    fn style_hash_is_that_of_the_style_sheet() {
        let page = page_of(DOCUMENT, usize::MAX).unwrap();
        let style = page.html.split("<style>").nth(1).unwrap();
        let style = style.split("</style>").next().unwrap();
        let hash = STANDARD.encode(Sha256::digest(style));
        assert_eq!(page.style_hash, format!("sha256-{hash}"));
    }
}
