//! Conversion of settings to the values that a plan shows.

use policy::Checked;
use policy::declared::{Scalar, Settings, Value as Written};
use serde_json::Value;

/// Value for display. Secrets are shown as their references.
pub(crate) fn shown(value: Option<&Written>) -> Value {
    let scalar = |scalar: &Scalar| match scalar {
        Scalar::Flag(flag) => Value::Bool(*flag),
        Scalar::Number(number) => (*number).into(),
        other => other.to_string().into(),
    };
    match value {
        None => Value::Null,
        Some(Written::One(one)) => scalar(one),
        Some(Written::Set(all) | Written::List(all)) => all.iter().map(scalar).collect(),
        Some(Written::Empty) => Value::Object(serde_json::Map::new()),
    }
}

/// All settings of an added or removed definition, for display.
pub(super) fn all(settings: &Settings) -> Value {
    let settings = settings.iter();
    let settings = settings.map(|one| (one.path.join("."), shown(Some(&one.value))));
    settings.collect::<serde_json::Map<_, _>>().into()
}

/// Text of a policy for display. Secrets are shown as their references.
pub(super) fn policy_value(checked: &Checked) -> Value {
    let settings = checked.settings();
    let kind = ("kind".to_owned(), Value::from(checked.kind()));
    let settings = settings
        .iter()
        .map(|one| (one.path.join("."), shown(Some(&one.value))));
    std::iter::once(kind)
        .chain(settings)
        .collect::<serde_json::Map<_, _>>()
        .into()
}
