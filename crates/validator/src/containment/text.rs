//! Values of parameters and header fields. They are sent as text, which does not show the JSON
//! type: `5` may be a number or a string.

use serde_json::Value as Json;

/// Values that a server may read from the text of a value. The server may choose any of them that
/// its schema accepts. `None` if the value is no scalar. Also `None` if the text has characters
/// other than letters, digits, `-` and `_`. Servers may read these characters differently: a space,
/// for example, separates items of a list.
pub(super) fn readings(value: &Json) -> Option<Vec<Json>> {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Bool(flag) => flag.to_string(),
        Json::Null => "null".to_owned(),
        Json::Array(_) | Json::Object(_) => return None,
    };
    let is_kept = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if text.is_empty() || !text.chars().all(is_kept) {
        return None;
    }
    let typed = serde_json::from_str::<Json>(&text).ok();
    let typed = typed.filter(|typed| !typed.is_string());
    let scalars: Vec<Json> = typed.into_iter().chain([Json::String(text)]).collect();
    // A server that expects a list reads one item, and a server that expects an object may ignore
    // the text.
    let lists = scalars.iter().map(|one| Json::Array(vec![one.clone()]));
    let objects = [Json::Object(serde_json::Map::new())];
    let lists: Vec<Json> = lists.collect();
    Some(scalars.into_iter().chain(lists).chain(objects).collect())
}

/// Like [`readings`], for a list that is written as several occurrences of a name. A server that
/// expects no list refuses several occurrences.
pub(super) fn exploded(value: &Json) -> Option<Vec<Json>> {
    let Json::Array(items) = value else {
        return readings(value);
    };
    let items: Option<Vec<Vec<Json>>> = items.iter().map(readings).collect();
    let items = items.filter(|items| items.len() > 1)?;
    // Scalars come first: the typed value, if there is one, and the string.
    let typed = items.iter().filter_map(|all| all.first().cloned());
    let strings = items.iter().filter_map(|all| {
        let mut all = all.iter();
        all.find(|one| one.is_string()).cloned()
    });
    Some(vec![value.clone(), typed.collect(), strings.collect()])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_of_a_value_has_each_type() {
        let all = readings(&json!("a")).unwrap_or_default();
        assert_eq!(all, [json!("a"), json!(["a"]), json!({})]);
        for (value, expected) in [
            (json!(5), Some(vec![json!(5), json!("5")])),
            (json!("5"), Some(vec![json!(5), json!("5")])),
            (json!(true), Some(vec![json!(true), json!("true")])),
            (json!("null"), Some(vec![Json::Null, json!("null")])),
            (json!("a-b"), Some(vec![json!("a-b")])),
            (json!("a b"), None),
            (json!(""), None),
            (json!(" a"), None),
            (json!("a,b"), None),
            (json!(1.5), None),
            (json!("é"), None),
            (json!(["a"]), None),
            (Json::Null, Some(vec![Json::Null, json!("null")])),
        ] {
            let scalars = readings(&value).map(|all| {
                let scalars = all
                    .into_iter()
                    .filter(|one| !one.is_array() && !one.is_object());
                scalars.collect::<Vec<_>>()
            });
            assert_eq!(scalars, expected, "{value}");
        }
    }
}
