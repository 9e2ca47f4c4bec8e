//! Check of the items of a sequence by the `itemSchema` of its media type (OpenAPI 3.2).
//!
//! An item is the JSON value of a line or record, or an event of an event stream. An event is an
//! object with the strings `data`, `event` and `id`, and the number `retry`. Members that the block
//! does not contain are absent. As for receivers (WHATWG HTML §9.2.6), a block without `data` is no
//! event, and other fields and comments are ignored.

use bundle::ir::Value;
use policy::invalid::{Finding, Part};
use serde_json::{Map, Value as Json};

use crate::compile::{Uncompilable, ValidatorBuilder};
use crate::media::{MediaType, SequenceFormat};
use crate::members::Members;
use crate::splitter::{SEPARATOR, is_blank};
use crate::steps::Schema;
use crate::{content, json, words};

/// Validator of the items of a sequence.
pub(crate) struct ItemSchema {
    pub(crate) format: SequenceFormat,
    schema: Schema,
    members: Members,
    /// True if the schema describes JSON inside the `data` of an event.
    has_content: bool,
}

impl ItemSchema {
    /// Compiles the `itemSchema` of a media type. `None` without `itemSchema`, or if the media type
    /// is no known sequence format.
    pub(crate) fn of<'a>(
        media_type: &MediaType,
        definition: &'a Value,
        compiling: &mut ValidatorBuilder<'a>,
    ) -> Result<Option<Self>, Uncompilable> {
        let (Some(format), Some(schema)) = (media_type.sequence(), definition.get("itemSchema"))
        else {
            return Ok(None);
        };
        let members = compiling.members(schema);
        let (schema, has_content) = match format {
            SequenceFormat::Events => compiling.validator_with_content(schema, words::described)?,
            SequenceFormat::Lines | SequenceFormat::Records => {
                (compiling.validator(schema)?, false)
            }
        };
        Ok(Some(Self {
            format,
            schema,
            members,
            has_content,
        }))
    }

    /// Checks the bytes of an item. `None` if the bytes contain no item, such as an empty record.
    pub(crate) fn check(&self, bytes: &[u8]) -> Option<Vec<Finding>> {
        let value = match self.format {
            SequenceFormat::Lines => json::read(bytes),
            SequenceFormat::Records => record(bytes).transpose()?,
            SequenceFormat::Events => event(bytes).transpose()?,
        };
        let value = match value {
            Ok(value) => value,
            Err(fault) => return Some(vec![words::finding(Part::Body, "", fault)]),
        };
        let mut findings = Vec::new();
        let mut check = || {
            let schema = (&self.schema, &self.members);
            words::check(schema, &value, &Part::Body, &mut findings);
        };
        match value.get("data") {
            Some(Json::String(text)) if self.has_content => {
                content::with_text(text, json::read, check);
            }
            _ => check(),
        }
        Some(findings)
    }
}

/// JSON value of a record of a JSON text sequence. `None` for an empty record.
fn record(bytes: &[u8]) -> Result<Option<Json>, &'static str> {
    let Some(text) = bytes.strip_prefix(&[SEPARATOR]) else {
        return Err("must begin with a record separator");
    };
    if text.iter().all(|byte| is_blank(*byte)) {
        return Ok(None);
    }
    let value = json::read(text)?;
    // Without white space after it, a number may be cut off (RFC 7464 §2.4).
    let has_own_end = value.is_string() || value.is_array() || value.is_object();
    match has_own_end || text.last().is_some_and(|byte| is_blank(*byte)) {
        true => Ok(Some(value)),
        false => Err("must end with a line feed"),
    }
}

/// Converts a block of an event stream to an object. `None` for a block without `data`.
fn event(bytes: &[u8]) -> Result<Option<Json>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    let mut members = Map::new();
    let mut data: Option<String> = None;
    // Splitting at CR LF gives empty lines, which contain no field.
    for line in text.split(['\r', '\n']) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut data {
                None => data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            "event" => drop(members.insert("event".to_owned(), value.into())),
            "id" if !value.contains('\0') => drop(members.insert("id".to_owned(), value.into())),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                if let Ok(ms) = value.parse::<u64>() {
                    members.insert("retry".to_owned(), ms.into());
                }
            }
            _ => {}
        }
    }
    Ok(data.map(|data| {
        members.insert("data".to_owned(), data.into());
        members.into()
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn event_is_split_as_receivers_split_it() {
        let read = |text: &str| event(text.as_bytes()).unwrap();
        // Only CR, LF and CR LF end a line.
        for other in ["\u{2028}", "\u{2029}", "\u{85}", "\u{b}", "\u{c}"] {
            let data = format!("a{other}event: b");
            let text = format!("data: {data}\n");
            assert_eq!(read(&text), Some(json!({"data": data})), "{other:?}");
        }
        assert_eq!(
            read("data:a:b\rdata\r\ndata:  c"),
            Some(json!({"data": "a:b\n\n c"}))
        );
        // The name is all text before the first colon.
        assert_eq!(read("data :x\n"), None);
        assert_eq!(
            read("data:x\ndata :y\n event: z\nid\t: 1\n"),
            Some(json!({"data": "x"}))
        );
    }
}
