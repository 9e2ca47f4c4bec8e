//! Check of a string from a URL against a schema. The type of such a string is not known.

use diag::NodeRef;

use super::{Pattern, Schemas, number};
use crate::spec::reference::reference;

/// Maximum depth to which `allOf` is followed.
const DEPTH_MAX: usize = 16;

impl<'a> Schemas<'_, 'a> {
    /// True if the text may be a valid value in at least one interpretation (string, number, …).
    /// Checks types, `enum`, `const`, lengths, `pattern` and the format `uuid`. Assumes that all
    /// other keywords are satisfied.
    #[must_use]
    pub fn may_be(&self, schema: NodeRef<'a>, text: &str) -> bool {
        self.may_be_at(schema, text, 0)
    }

    fn may_be_at(&self, schema: NodeRef<'a>, text: &str, depth: usize) -> bool {
        let Some(schema) = self.resolver.resolve(schema) else {
            return true;
        };
        if let Some(all) = schema.as_bool() {
            return all;
        }
        let is_string = schema.get("type").and_then(NodeRef::as_str) == Some("string");
        let length = || number::length(text.chars().count());
        schema.entries().all(|(entry, argument)| match &*entry.key {
            "type" => is_of(argument, text),
            "enum" => {
                let same = |item: NodeRef<'_>| item.scalar_text().is_none_or(|item| item == text);
                reference(argument).is_some() || argument.items().any(same)
            }
            "const" => argument.scalar_text().is_none_or(|value| value == text),
            "format" if argument.as_str() == Some("uuid") && is_string => is_uuid(text),
            "minLength" if is_string => {
                number::count(argument).is_none_or(|least| length() >= least)
            }
            "maxLength" if is_string => number::count(argument).is_none_or(|most| length() <= most),
            "pattern" if is_string => match argument.as_str().map(|text| self.pattern(text)) {
                Some(pattern) => match &*pattern {
                    Pattern::Runs(regex) => regex.is_match(text),
                    Pattern::NotLinear(_) | Pattern::TooLarge | Pattern::Malformed(_) => true,
                },
                None => true,
            },
            "allOf" if depth < DEPTH_MAX => argument
                .items()
                .all(|schema| self.may_be_at(schema, text, depth + 1)),
            _ => true,
        })
    }
}

/// True if a text can be read as a value of a type, or of one type of a list.
fn is_of(types: NodeRef<'_>, text: &str) -> bool {
    let one = |name: &str| match name {
        "integer" => text
            .parse::<f64>()
            .is_ok_and(|number| number.fract() == 0.0),
        "number" => text.parse::<f64>().is_ok(),
        "boolean" => matches!(text, "true" | "false"),
        _ => true,
    };
    match types.as_str() {
        Some(name) => one(name),
        None => types.items().len() == 0 || types.items().any(|item| item.as_str().is_none_or(one)),
    }
}

/// True if a text has the form of a UUID (RFC 9562 §4).
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && groups
            .iter()
            .all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}
