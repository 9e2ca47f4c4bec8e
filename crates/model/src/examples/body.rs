//! Examples of request bodies: of the media type (`example`, `examples`), otherwise of its schema.

use std::fmt::Write as _;

use diag::NodeRef;
use openapi::spec::reference::Resolver;
use openapi::spec::{MediaType, Operation};
use openapi::strip::write;

use validator::escaped;

/// Maximum size of an example, in bytes. Larger examples are left out.
const BYTES_MAX: usize = 1 << 20;

/// Media type of a form whose fields are in the body.
const FORM: &str = "application/x-www-form-urlencoded";

/// Example of a request body.
#[derive(Clone)]
pub(super) struct BodyExample {
    /// Name under `examples`. Empty: `example` of the media type, or an example of its schema.
    pub(super) name: String,
    /// Media type of the body.
    pub(super) media_type: String,
    /// Content of the body.
    pub(super) text: String,
}

/// Examples of an operation's request body, in the order of the document.
#[derive(Default)]
pub(super) struct Bodies {
    /// Examples that are sent.
    pub(super) sent: Vec<BodyExample>,
    /// Examples that gwc cannot serialise, each as `NAME (MEDIA TYPE)`: values of media types that
    /// are neither JSON nor forms, and fields of forms that are objects.
    pub(super) unsent: Vec<String>,
}

/// Examples of an operation's request body.
pub(super) fn all(described: &Operation, resolver: &Resolver<'_>) -> Bodies {
    let mut bodies = Bodies::default();
    let types = described.request_body.iter();
    for one in types.flat_map(|body| &body.media_types) {
        let Some(media_type) = concrete(&one.name.value) else {
            continue;
        };
        for (name, text) in of_media_type(one, media_type, resolver) {
            match text {
                Some(text) => bodies.sent.push(BodyExample {
                    name,
                    media_type: media_type.to_owned(),
                    text,
                }),
                None => {
                    let label = format!("{name} ({media_type})");
                    bodies.unsent.push(label.trim_start().to_owned());
                }
            }
        }
    }
    bodies
}

/// Names and serialised values of the examples of a media type. `None`: gwc cannot serialise the
/// value.
fn of_media_type(
    one: &MediaType,
    media_type: &str,
    resolver: &Resolver<'_>,
) -> Vec<(String, Option<String>)> {
    let node = resolver.node(one.node);
    let encoding = node.get("encoding");
    let text_of = |value: NodeRef<'_>| serialise(media_type, value, encoding);
    if let Some(examples) = node.get("examples").filter(|examples| examples.is_map()) {
        let named = examples.entries().filter_map(|(entry, written)| {
            let written = resolver.resolve(written)?;
            // `serializedValue` is the body itself (OpenAPI 3.2).
            let serialised = written.get("serializedValue").and_then(NodeRef::as_str);
            let value = written.get("dataValue").or_else(|| written.get("value"));
            let text = serialised.map(str::to_owned);
            Some((entry.key.to_string(), text.or_else(|| text_of(value?))))
        });
        return named.collect();
    }
    let of_schema = || {
        let schema = resolver.resolve(resolver.node(one.schema?))?;
        let first = || schema.get("examples")?.items().next();
        schema.get("example").or_else(first)
    };
    let value = node.get("example").or_else(of_schema);
    let only = value.map(|value| (String::new(), text_of(value)));
    only.into_iter().collect()
}

/// Media type of a request for the key of a description. `None` for a range of types other than
/// JSON, such as `image/*`.
fn concrete(key: &str) -> Option<&str> {
    match key {
        "*/*" | "application/*" => Some("application/json"),
        key => (!key.contains('*')).then_some(key),
    }
}

/// Serialises an example. `None` for a value of a media type that is neither JSON nor a form, for a
/// form with an object or with a list that has its own `encoding`, and for a value that is too large.
fn serialise(
    media_type: &str,
    value: NodeRef<'_>,
    encoding: Option<NodeRef<'_>>,
) -> Option<String> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if essence.ends_with("/json") || essence.ends_with("+json") {
        return write::json_line(value, BYTES_MAX);
    }
    // A string is the serialised form of the value.
    if let Some(text) = value.as_str() {
        return (text.len() <= BYTES_MAX).then(|| text.to_owned());
    }
    if essence != FORM || !value.is_map() {
        return None;
    }
    let mut text = String::new();
    for (entry, value) in value.entries() {
        let values: Vec<NodeRef<'_>> = match value.is_list() {
            // By default, each item of a list is a field of its own (`style: form`, `explode`).
            true if encoding.is_some_and(|all| all.get(&entry.key).is_some()) => return None,
            true => value.items().collect(),
            false => vec![value],
        };
        for value in values {
            let separator = if text.is_empty() { "" } else { "&" };
            let (name, value) = (escaped(&entry.key), escaped(value.scalar_text()?));
            // Writing into a string cannot fail.
            let _ = write!(text, "{separator}{name}={value}");
        }
    }
    Some(text)
}
