//! Members of JSON objects whose names some servers read as the name of a described member: Go and
//! ASP.NET ignore letter case.

use serde_json::Value as Json;

use crate::kinds::Kinds;

/// Calls `found` for each object of a JSON value that has an undescribed member whose name differs
/// from a described name only in letter case. The arguments are the JSON pointer of the object and
/// the described name. Ends if a call returns true.
pub(crate) fn in_other_case(
    value: &Json,
    kinds: &Kinds,
    found: &mut dyn FnMut(&str, &str) -> bool,
) {
    walk(value, kinds, &mut String::new(), found);
}

fn walk(
    value: &Json,
    kinds: &Kinds,
    at: &mut String,
    found: &mut dyn FnMut(&str, &str) -> bool,
) -> bool {
    let length = at.len();
    match value {
        Json::Object(all) => all.iter().any(|(name, value)| {
            if let Some(described) = kinds.in_other_case(name) {
                return found(at, described);
            }
            if !matches!(value, Json::Object(_) | Json::Array(_)) {
                return false;
            }
            at.push('/');
            at.push_str(&name.replace('~', "~0").replace('/', "~1"));
            let ends = walk(value, kinds.property(name), at, found);
            at.truncate(length);
            ends
        }),
        Json::Array(all) => all.iter().enumerate().any(|(index, value)| {
            if !matches!(value, Json::Object(_) | Json::Array(_)) {
                return false;
            }
            at.push_str(&format!("/{index}"));
            let ends = walk(value, kinds.item(), at, found);
            at.truncate(length);
            ends
        }),
        _ => false,
    }
}
