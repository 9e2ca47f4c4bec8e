//! Comparison of `xml` in XML bodies. gwd checks no XML against schemas, and a value does not show
//! how it is written, so that there are neither proofs nor witnesses.

use bundle::ir::Value;
use vocab::checks::{self, Level};

use super::Pair;

/// Reports a changed `xml`, which names the elements and attributes that clients write or read.
pub(super) fn compare(pair: &mut Pair<'_>) {
    let (old, new) = pair.both("xml");
    let level = match pair.role.is_opaque {
        true => Level::Info,
        false => level(
            old.map(|old| pair.joint.at(old)),
            new.map(|new| pair.joint.at(new)),
        ),
    };
    let values = (pair.json(old), pair.json(new));
    let id = format!("{}-serialization-changed", pair.role.direction());
    let check = checks::of(&id).expect("the table has this id");
    pair.push_check(check, "xml", String::new(), values);
    pair.at_most(level);
}

/// Level of a difference between two values of `xml`.
fn level(old: Option<&Value>, new: Option<&Value>) -> Level {
    let text = |of: Option<&Value>, key: &str| match of.and_then(|of| of.get(key)) {
        Some(Value::Text(text)) => Some(text.to_string()),
        _ => None,
    };
    let flag =
        |of: Option<&Value>, key: &str| of.and_then(|of| of.get(key)) == Some(&Value::Bool(true));
    // OpenAPI 3.2 writes `nodeType: attribute` instead of `attribute: true`.
    let node_type = |of| match text(of, "nodeType") {
        None if flag(of, "attribute") => Some("attribute".to_owned()),
        kind => kind.filter(|kind| kind != "element"),
    };
    let is_other = node_type(old) != node_type(new)
        || flag(old, "wrapped") != flag(new, "wrapped")
        || text(old, "namespace") != text(new, "namespace");
    match (text(old, "name"), text(new, "name")) {
        _ if is_other => Level::Error,
        (old, new) if old == new => Level::Info,
        (Some(_), Some(_)) => Level::Error,
        // The name may be the default: that of the property or of the schema.
        (None, _) | (_, None) => Level::Warn,
    }
}
