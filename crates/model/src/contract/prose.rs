//! Prose of documents: texts for readers. Plans show changes of prose in the section DOCS; a bundle
//! never contains prose.
//!
//! The source artifact contains the first characters of each text, and a digest if the text is
//! longer. The prose of schemas is one set per API: names of schemas have no meaning, and the same
//! schema may be written once or many times. In prose and in contracts, a digest replaces each
//! private key.

use std::collections::{BTreeMap, BTreeSet};

use bundle::digest::Digest;
use diag::{Kind, NodeRef, Span};

use openapi::spec::reference::Resolver;
use openapi::spec::{In, Method, Operation, PathItem, Version};
use sources::project::files::{Document, Files};

/// Maximum number of characters of a text that are stored.
const KEPT_MAX: usize = 120;

/// Subject of the text with the servers of a document or an operation.
pub const SERVERS: &str = "servers";

/// Reader of the prose of one document.
pub(crate) struct Prose<'a> {
    resolver: Resolver<'a>,
}

/// Texts of schemas by keyword. Equal texts are stored once.
pub(crate) type SchemaProse = BTreeMap<String, BTreeSet<String>>;

/// Collects the prose of one schema, excluding nested schemas.
pub(super) fn of_schema(files: &Files, schema: NodeRef<'_>, texts: &mut SchemaProse) {
    const KEYWORDS: [&str; 6] = [
        "title",
        "description",
        "$comment",
        "example",
        "examples",
        "externalDocs",
    ];
    for (entry, value) in schema.entries() {
        if KEYWORDS.contains(&&*entry.key) {
            let text = shortened(&text_of(files, value));
            match texts.get_mut(&*entry.key) {
                Some(all) => all.insert(text),
                None => {
                    texts.insert(entry.key.to_string(), BTreeSet::from([text]));
                    true
                }
            };
        }
    }
}

/// Prose of a document by subject, such as `parameter query limit description`. Each text has its
/// source location.
pub(crate) type Texts = BTreeMap<String, (String, Span)>;

impl<'a> Prose<'a> {
    pub(crate) fn new(files: &'a Files, document: &'a Document) -> Self {
        Self {
            resolver: Resolver::new(files, document),
        }
    }

    /// Prose of an operation, except its own summary, description and tags. Includes the servers of
    /// the operation, or those of its path item.
    pub(crate) fn of_operation(&self, item: &PathItem, written: &Operation) -> Texts {
        let mut texts = Texts::new();
        let node = self.resolver.node(written.node);
        if !self.servers(&mut texts, node) {
            self.servers(&mut texts, self.resolver.node(item.node));
        }
        self.say(&mut texts, "", node, &["externalDocs"]);
        for parameter in &written.parameters {
            let name = match parameter.place {
                In::Header => parameter.name.value.to_ascii_lowercase(),
                In::Path | In::Query | In::Cookie | In::Querystring => parameter.name.value.clone(),
            };
            let about = format!("parameter {} {name}", parameter.place.name());
            self.value(&mut texts, &about, self.resolver.node(parameter.node));
        }
        if let Some(body) = &written.request_body {
            self.value(&mut texts, "body", self.resolver.node(body.node));
        }
        for response in &written.responses {
            let about = format!("response {}", response.status.value.to_ascii_lowercase());
            let node = self.resolver.node(response.node);
            self.value(&mut texts, &about, node);
            for (name, header) in self.entries(node, "headers") {
                let about = format!("{about} header {}", name.to_ascii_lowercase());
                self.value(&mut texts, &about, header);
            }
        }
        for (name, callback) in self.entries(node, "callbacks") {
            for (entry, item) in callback.entries() {
                if let Some(item) = self.resolver.resolve(item) {
                    self.called(&mut texts, &format!("callback {name} {}", entry.key), item);
                }
            }
        }
        texts
    }

    /// Prose of the document itself: `info`, tags and external documentation.
    pub(crate) fn of_document(&self) -> Texts {
        let mut texts = Texts::new();
        let root = self.resolver.root();
        self.say(&mut texts, "", root, &["externalDocs"]);
        if let Some(info) = self.field(root, "info") {
            for (entry, value) in info.entries() {
                if !entry.key.starts_with("x-") {
                    self.put(&mut texts, format!("info {}", entry.key), value);
                }
            }
        }
        let tags = self.field(root, "tags");
        for tag in tags.into_iter().flat_map(NodeRef::items) {
            if let Some(name) = tag.get("name").and_then(NodeRef::as_str) {
                let about = format!("tag {name}");
                self.say(
                    &mut texts,
                    &about,
                    tag,
                    &["summary", "description", "externalDocs"],
                );
            }
        }
        for (name, item) in self.entries(root, "webhooks") {
            self.called(&mut texts, &format!("webhook {name}"), item);
        }
        self.flows(&mut texts, root);
        self.servers(&mut texts, root);
        texts
    }

    /// Adds the list of `servers` of a node as one text. Clients send their requests and
    /// credentials to these URLs, generated clients to the first. Each server is its URL, followed
    /// by `;NAME=DEFAULT|VALUE` for each variable. `*` stands for any value, without `enum`. Returns false for a node without a list.
    fn servers(&self, texts: &mut Texts, node: NodeRef<'a>) -> bool {
        let Some(list) = self
            .field(node, SERVERS)
            .filter(|list| list.items().len() > 0)
        else {
            return false;
        };
        let all: Vec<String> = list.items().filter_map(|one| self.server(one)).collect();
        texts.insert(SERVERS.to_owned(), (all.join(" "), list.span()));
        true
    }

    /// Text of one server. `None` if it has no URL.
    fn server(&self, server: NodeRef<'a>) -> Option<String> {
        let mut text = server.get("url")?.as_str()?.to_owned();
        let variables: BTreeMap<&str, NodeRef<'a>> =
            self.entries(server, "variables").into_iter().collect();
        for (name, variable) in variables {
            let default = variable.get("default").and_then(NodeRef::as_str);
            let list = variable.get("enum");
            let values = list.into_iter().flat_map(NodeRef::items);
            let values: BTreeSet<&str> = values.filter_map(NodeRef::as_str).collect();
            let any = list.is_none().then_some("*");
            let others = values.into_iter().filter(|value| Some(*value) != default);
            let values: Vec<&str> = default.into_iter().chain(others).chain(any).collect();
            text.push_str(&format!(";{name}={}", values.join("|")));
        }
        let words: Vec<String> = shortened(&text)
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        Some(words.join("%20"))
    }

    /// Collects the URLs from which clients get tokens, of all security schemes, and the scopes of
    /// OAuth flows. Leaves out the names of the schemes, because they have no meaning.
    fn flows(&self, texts: &mut Texts, root: NodeRef<'a>) {
        let schemes = self.field(root, "components");
        let schemes = schemes.map(|components| self.entries(components, "securitySchemes"));
        let mut all: BTreeMap<String, (BTreeSet<String>, Span)> = BTreeMap::new();
        for (_, scheme) in schemes.into_iter().flatten() {
            for key in ["openIdConnectUrl", "oauth2MetadataUrl"] {
                let url = self.field(scheme, key);
                if let Some((url, text)) = url.and_then(|url| Some((url, url.as_str()?))) {
                    let known = all
                        .entry(format!("oauth {key}"))
                        .or_insert_with(|| (BTreeSet::new(), url.span()));
                    known.0.insert(text.to_owned());
                }
            }
            for (flow, node) in self.entries(scheme, "flows") {
                let mut add = |key: &str, value: &str, span: Span| {
                    let about = format!("oauth flow {flow} {key}");
                    let known = all.entry(about).or_insert_with(|| (BTreeSet::new(), span));
                    known.0.insert(value.to_owned());
                };
                for key in [
                    "authorizationUrl",
                    "deviceAuthorizationUrl",
                    "tokenUrl",
                    "refreshUrl",
                ] {
                    let url = node.get(key);
                    if let Some((url, text)) = url.and_then(|url| Some((url, url.as_str()?))) {
                        add(key, text, url.span());
                    }
                }
                for (scope, node) in self.entries(node, "scopes") {
                    add("scopes", scope, node.span());
                }
            }
        }
        for (about, (values, span)) in all {
            let values: Vec<String> = values.into_iter().collect();
            texts.insert(about, (shortened(&values.join(" ")), span));
        }
    }

    /// Collects the prose of the requests that the API itself sends.
    fn called(&self, texts: &mut Texts, about: &str, item: NodeRef<'a>) {
        for (entry, called) in item.entries() {
            if Method::of_key(&entry.key, Version::V32).is_none() {
                continue;
            }
            let about = format!("{about} {}", entry.key);
            self.say(
                texts,
                &about,
                called,
                &["summary", "description", "externalDocs"],
            );
            if let Some(body) = self.field(called, "requestBody") {
                self.value(texts, &format!("{about} body"), body);
            }
            for (status, response) in self.entries(called, "responses") {
                self.value(texts, &format!("{about} response {status}"), response);
            }
            let list = self.field(called, "parameters");
            for item in list.into_iter().flat_map(NodeRef::items) {
                let parameter = self.resolver.resolve(item);
                let name = |parameter: NodeRef<'a>| parameter.get("name")?.as_str();
                if let Some((parameter, name)) = parameter.and_then(|it| Some((it, name(it)?))) {
                    self.value(texts, &format!("{about} parameter {name}"), parameter);
                }
            }
        }
    }

    /// Collects the prose of a parameter, a body, a response or a header, and of its media types.
    fn value(&self, texts: &mut Texts, about: &str, node: NodeRef<'a>) {
        self.say(texts, about, node, &["summary", "description", "example"]);
        self.examples(texts, about, node);
        for (name, media) in self.entries(node, "content") {
            let about = format!("{about} {}", name.to_ascii_lowercase());
            self.say(texts, &about, media, &["example"]);
            self.examples(texts, &about, media);
        }
    }

    fn examples(&self, texts: &mut Texts, about: &str, node: NodeRef<'a>) {
        for (name, example) in self.entries(node, "examples") {
            self.put(texts, format!("{about} example {name}"), example);
        }
    }

    fn say(&self, texts: &mut Texts, about: &str, node: NodeRef<'a>, keys: &[&str]) {
        for key in keys {
            if let Some(value) = self.field(node, key) {
                self.put(texts, format!("{about} {key}").trim().to_owned(), value);
            }
        }
    }

    fn put(&self, texts: &mut Texts, about: String, value: NodeRef<'a>) {
        let text = text_of(self.resolver.files(), value);
        texts.insert(about, (shortened(&text), value.span()));
    }

    fn field(&self, node: NodeRef<'a>, key: &str) -> Option<NodeRef<'a>> {
        self.resolver.resolve(node.get(key)?)
    }

    fn entries(&self, node: NodeRef<'a>, key: &str) -> Vec<(&'a str, NodeRef<'a>)> {
        let entries = self.field(node, key).into_iter().flat_map(NodeRef::entries);
        entries
            .filter_map(|(entry, value)| Some((&*entry.key, self.resolver.resolve(value)?)))
            .collect()
    }
}

/// Shortens a text to its first characters. If it is longer, adds a digest of the whole text.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(KEPT_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!(
            "{}… ({})",
            &text[..end],
            Digest::of(text.as_bytes()).short()
        ),
    }
}

/// Text that replaces a private key: its digest.
pub(crate) fn in_place_of_key(text: &str) -> String {
    format!(
        "(private key, sha256:{})",
        Digest::of(text.as_bytes()).hex()
    )
}

/// Text that replaces a value that is a private key. `None` for other values.
pub(super) fn key_digest(files: &Files, value: NodeRef<'_>) -> Option<String> {
    files
        .is_key(value.span())
        .then(|| in_place_of_key(&plain_text_of(value)))
}

/// Text of a value, in which a digest replaces each private key. Values other than strings become
/// canonical JSON.
fn text_of(files: &Files, value: NodeRef<'_>) -> String {
    written(value, &|value| key_digest(files, value))
}

fn plain_text_of(value: NodeRef<'_>) -> String {
    written(value, &|_| None)
}

/// Renders a value as a text. Replaces each inner value for which `replaced` returns a text by this
/// text.
fn written(value: NodeRef<'_>, replaced: &dyn Fn(NodeRef<'_>) -> Option<String>) -> String {
    fn write(
        value: NodeRef<'_>,
        replaced: &dyn Fn(NodeRef<'_>) -> Option<String>,
        out: &mut String,
    ) {
        if let Some(text) = replaced(value) {
            out.push_str(&bundle::ir::Value::Text(text.into()).to_string());
            return;
        }
        match value.kind() {
            Kind::List(_) => {
                out.push('[');
                for (index, item) in value.items().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    write(item, replaced, out);
                }
                out.push(']');
            }
            Kind::Map(_) => {
                let mut entries: Vec<_> = value.entries().collect();
                entries.sort_by(|a, b| a.0.key.cmp(&b.0.key));
                out.push('{');
                for (index, (entry, value)) in entries.into_iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    out.push_str(&bundle::ir::Value::Text(entry.key.clone()).to_string());
                    out.push_str(": ");
                    write(value, replaced, out);
                }
                out.push('}');
            }
            Kind::Null => out.push_str("null"),
            Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Kind::Number(text) => out.push_str(&super::number::value(text).to_string()),
            Kind::String(text) => {
                out.push_str(&bundle::ir::Value::Text(text.clone()).to_string());
            }
        }
    }
    if let Some(text) = replaced(value) {
        return text;
    }
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let mut out = String::new();
    write(value, replaced, &mut out);
    out
}
