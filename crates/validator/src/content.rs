//! Custom keyword for JSON inside a string (`contentMediaType: application/json` with
//! `contentSchema`), such as the `data` of an event.
//!
//! JSON Schema leaves the check of such content to the application. Only the items of event streams
//! are checked (OpenAPI 3.2).

use std::cell::RefCell;
use std::sync::Arc;

use bundle::ir::Value;
use jsonschema::{Keyword, ValidationError};
use serde_json::Value as Json;

use crate::steps::{self, Schema};

/// Name of the keyword in the converted schema. Its value is the index of a schema in [`Contents`].
pub(crate) const KEYWORD: &str = "x-gwd-content";
/// Separator between the pointer and the text in an error message of [`KEYWORD`].
const SEPARATOR: char = '\0';

/// Function that converts an error inside the content to a pointer and a text.
pub(crate) type Describe = fn(&ValidationError<'_>) -> (String, String);

/// Schemas of the JSON inside strings, and the conversion of their errors. Clones share the
/// schemas.
#[derive(Clone, Default)]
pub(crate) struct Contents(Arc<[Schema]>, Option<Describe>);

/// Implementation of [`KEYWORD`].
pub(crate) struct Content {
    contents: Contents,
    index: usize,
}

/// String whose content is checked: the string, and its JSON value or the reason why the string is
/// not valid JSON.
struct Parsed {
    text: String,
    value: Result<Json, &'static str>,
}

thread_local! {
    /// String that the current check parses as JSON. All alternatives of the check share the
    /// result.
    static PARSED: RefCell<Option<Parsed>> = const { RefCell::new(None) };
}

/// Schema of the JSON inside a string, from the schema of the string. `None` if that schema does
/// not describe JSON.
pub(crate) fn schema<'a>(nodes: &'a [Value], schema: &'a Value) -> Option<&'a Value> {
    let text = |key: &str| match schema.get(key) {
        Some(Value::Node(node)) => nodes.get(*node as usize),
        other => other,
    };
    let Some(Value::Text(media_type)) = text("contentMediaType") else {
        return None;
    };
    let essence = media_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence.ends_with("+json");
    let is_plain = schema.get("contentEncoding").is_none();
    schema.get("contentSchema").filter(|_| is_json && is_plain)
}

/// Runs `check`. While it runs, the keyword [`KEYWORD`] uses the JSON value of `text`, which `read`
/// parses.
pub(crate) fn with_text<T>(
    text: &str,
    read: impl FnOnce(&[u8]) -> Result<Json, &'static str>,
    check: impl FnOnce() -> T,
) -> T {
    let value = read(text.as_bytes());
    let nodes = value.as_ref().map_or(1, steps::nodes);
    let text = text.to_owned();
    PARSED.set(Some(Parsed { text, value }));
    let result = steps::with_content(nodes, check);
    PARSED.set(None);
    result
}

/// Splits an error message of [`KEYWORD`] into the pointer and the text.
pub(crate) fn parts(message: &str) -> (&str, &str) {
    message.split_once(SEPARATOR).unwrap_or(("", message))
}

// === impl Contents ===

impl Contents {
    pub(crate) fn new(schemas: Vec<Schema>, describe: Describe) -> Self {
        Self(schemas.into(), Some(describe))
    }
}

// === impl Content ===

impl Content {
    /// Reads the value of the keyword.
    pub(crate) fn of(index: &Json, contents: &Contents) -> Self {
        Self {
            contents: contents.clone(),
            index: index.as_u64().map_or(usize::MAX, |index| index as usize),
        }
    }

    /// Calls `check` with the JSON value of a string. Returns `accepted` if the value is not a
    /// string, or not the string that [`with_text`] parsed.
    fn read<T>(
        &self,
        value: &Json,
        accepted: T,
        check: impl FnOnce(&Schema, &Result<Json, &'static str>) -> T,
    ) -> T {
        let (Json::String(text), Some(schema)) = (value, self.contents.0.get(self.index)) else {
            return accepted;
        };
        PARSED.with_borrow(|parsed| match parsed {
            Some(parsed) if parsed.text == *text => check(schema, &parsed.value),
            _ => accepted,
        })
    }
}

impl<'i> Keyword<'i> for Content {
    fn validate(&self, value: &'i Json) -> Result<(), ValidationError<'i>> {
        let fault = self.read(value, None, |schema, value| {
            let value = match value {
                Ok(value) => value,
                Err(fault) => return Some(format!("{SEPARATOR}{fault}")),
            };
            let error = schema.error_inside(value)?;
            let describe = self.contents.1?;
            let (pointer, detail) = describe(&error);
            Some(format!("{pointer}{SEPARATOR}{detail}"))
        });
        fault.map_or(Ok(()), |fault| Err(ValidationError::custom(fault)))
    }

    fn is_valid(&self, value: &'i Json) -> bool {
        self.read(value, true, |schema, value| match value {
            Ok(value) => schema.is_valid_inside(value),
            Err(_) => false,
        })
    }
}
