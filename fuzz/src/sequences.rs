//! Fuzz target for sequences. The gateway checks the items of a sequence while it forwards the
//! body.

use std::sync::LazyLock;

use bundle::ir::{Body, ContractOperation, MediaType, Set, Value};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use validator::{BodyKind, BodyUse, Cone, Operation, Piece};

const TYPES: [&str; 3] = [
    "application/x-ndjson",
    "application/json-seq",
    "text/event-stream",
];

static OPERATION: LazyLock<Operation> = LazyLock::new(operation);

fn map(entries: &[(&str, Value)]) -> Value {
    let entries = entries.iter();
    let entries = entries.map(|(key, value)| ((*key).into(), value.clone()));
    Value::Map(entries.collect())
}

/// API operation whose bodies are sequences of objects. The member `data` of an object contains
/// JSON text.
fn operation() -> Operation {
    let text = |text: &str| Value::Text(text.into());
    let content = map(&[("type", text("object"))]);
    let data = map(&[
        ("contentMediaType", text("application/json")),
        ("contentSchema", content),
    ]);
    let item = map(&[
        ("properties", map(&[("data", data)])),
        ("type", text("object")),
    ]);
    let media_types = TYPES.map(|name| MediaType {
        name: name.into(),
        definition: map(&[("itemSchema", item.clone())]),
    });
    let operation = ContractOperation {
        key: "a/b".into(),
        deprecated: false,
        parameters: Vec::new(),
        body: Some(Body {
            required: true,
            media_types: Set::new(media_types.into()).expect("distinct names"),
        }),
        responses: Vec::new(),
        security: None,
    };
    Operation::compile(&Cone::of(&operation, &[])).expect("the schemas compile")
}

/// Splits a sequence that arrives in these parts into items.
fn items<'d>(kind: &BodyKind, parts: impl Iterator<Item = &'d [u8]>) -> Vec<Vec<u8>> {
    let mut splitter = OPERATION.splitter(kind).expect("a sequence");
    let (mut items, mut item) = (Vec::new(), Vec::new());
    for mut rest in parts {
        while !rest.is_empty() {
            let (length, is_item, ends) = match splitter.next(rest) {
                Piece::Between(length) => (length, false, false),
                Piece::Inside(length) => (length, true, false),
                Piece::End(length) => (length, true, true),
            };
            assert!(length > 0 || ends && !item.is_empty());
            assert!(is_item || item.is_empty());
            if is_item {
                item.extend_from_slice(&rest[..length]);
            }
            if ends {
                items.push(std::mem::take(&mut item));
            }
            rest = &rest[length..];
        }
    }
    if splitter.end() {
        items.push(item);
    }
    items
}

/// Fuzz target for sequences. The items must not depend on the parts in which the sequence arrives.
/// The first byte selects the media type, the second byte the length of the parts.
pub fn sequence(data: &[u8]) {
    let [name, length, body @ ..] = data else {
        return;
    };
    let value = HeaderValue::from_static(TYPES[usize::from(*name) % TYPES.len()]);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
    let Ok(BodyUse::Split(kind)) = OPERATION.body_use(&headers, false) else {
        panic!("the body is a sequence");
    };
    let whole = items(&kind, std::iter::once(body));
    let parts = items(&kind, body.chunks(1 + usize::from(*length) % 64));
    assert_eq!(whole, parts);
    let single = items(&kind, body.chunks(1));
    assert_eq!(whole, single);
    let mut index = 0;
    let mut findings = Vec::new();
    for item in &whole {
        if let Some(found) = OPERATION.item(&kind, index, item) {
            findings.extend(found);
            index += 1;
        }
    }
    findings.truncate(20);
    assert_eq!(OPERATION.sequence(&kind, body), findings);
}
