//! Removal of text from files that Git does not track. Such files may contain credentials that CI
//! jobs write, and the author of a change chooses which files gwc reads.

use model::source_map::ConcealedTexts;
use serde_json::Value;

use crate::{Plan, Witness};

/// Reason for a missing witness.
const WHY_NONE: &str = "it would show text of a file that Git does not track";

/// Replaces text from concealed files in all lines of a plan by a placeholder. Fingerprints do not
/// change.
pub(super) fn conceal(plan: &mut Plan, concealed: &ConcealedTexts) {
    if concealed.is_empty() {
        return;
    }
    for schema in plan.schemas.values_mut() {
        *schema = without(concealed, std::mem::take(schema));
    }
    for change in &mut plan.changes {
        change.old = without(concealed, std::mem::take(&mut change.old));
        change.new = without(concealed, std::mem::take(&mut change.new));
        if let Some(path) = concealed.shown_by(&change.subject) {
            change.subject = hint(path);
        }
        if let Some(message) = &mut change.message
            && let Some(path) = concealed.shown_by(&message.path)
        {
            message.path = hint(path);
        }
        // A value that shows a break can contain literals of the schemas.
        if let Some(message) = &mut change.message {
            let is_shown = |value: &Value| without(concealed, value.clone()) != *value;
            if message.witness.take_if(|value| is_shown(value)).is_some() {
                change.why_none = Some(WHY_NONE);
                message.body = None;
            }
            message.body.take_if(|value| is_shown(value));
        }
        for member in &mut change.members {
            if let Some(path) = concealed.shown_by(&member.about) {
                member.about = hint(path);
            }
        }
        // The messages of a witness can contain values from the OpenAPI document, such as a value
        // of an `enum`.
        if let Some(witness) = &change.witness
            && is_shown(concealed, witness)
        {
            change.witness = None;
            change.why_none = Some(WHY_NONE);
        }
    }
}

/// True if the request or the response of a witness contains text of a concealed file.
fn is_shown(concealed: &ConcealedTexts, witness: &Witness) -> bool {
    let response = witness.response.as_ref();
    let of_response = response.map(|one| one.headers.iter().chain(&one.body));
    let headers = witness.headers.iter();
    let headers = headers.chain(of_response.into_iter().flatten());
    let texts = headers.flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    let mut texts = texts
        .chain([witness.url.as_str()])
        .chain(witness.body.as_deref());
    texts.any(|text| concealed.shown_by(text).is_some())
}

fn hint(path: &str) -> String {
    format!("… ({path} is not tracked by Git)")
}

fn without(concealed: &ConcealedTexts, value: Value) -> Value {
    match value {
        Value::String(text) => match concealed.shown_by(&text) {
            Some(path) => hint(path).into(),
            None => text.into(),
        },
        Value::Number(number) => match concealed.shown_by(&number.to_string()) {
            Some(path) => hint(path).into(),
            None => number.into(),
        },
        Value::Array(items) => {
            let items = items.into_iter();
            Value::Array(items.map(|item| without(concealed, item)).collect())
        }
        Value::Object(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let key = match concealed.shown_by(&key) {
                    Some(path) => hint(path),
                    None => key,
                };
                (key, without(concealed, value))
            });
            Value::Object(entries.collect())
        }
        Value::Null | Value::Bool(_) => value,
    }
}
