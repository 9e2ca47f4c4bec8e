//! Request bodies of the admin interface, parsed strictly: an unknown key is rejected with a list
//! of the known keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::control::{RequestedSwitch, Switch, Target};

/// Minimum number of hex digits in an abbreviated bundle id.
const PREFIX_MIN: usize = 4;

/// Body of `/v1/activate` and `/v1/rollback`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchOrder {
    bundle: Option<Value>,
    sticky: Option<bool>,
    reason: Option<String>,
}

/// Body of `/v1/log-level`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LevelOrder {
    #[serde(default)]
    pub(super) level: String,
}

/// Body of `/v1/validation`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ValidationOrder {
    #[serde(default)]
    pub(super) mode: String,
    pub(super) reason: Option<String>,
}

/// Body of `/v1/explain`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    pub(super) method: Option<String>,
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) listener: Option<String>,
    pub(super) peer: Option<String>,
}

/// Body of a command without parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Parses a body. An empty body means that no parameter is set.
///
/// # Errors
/// If the body is invalid, with the reason and the known keys.
pub(super) fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, String> {
    match body.trim_ascii().first() {
        None => Ok(T::default()),
        Some(b'{') => serde_json::from_slice(body).map_err(|error| error.to_string()),
        Some(_) => Err("the body must be a JSON object: {…}".to_owned()),
    }
}

/// Parses an operator's request to activate a bundle or to roll back.
///
/// # Errors
/// If the body is invalid ([`read`]), or if it contains an invalid bundle reference.
pub(super) fn requested(what: Switch, body: &[u8]) -> Result<RequestedSwitch, String> {
    let order: SwitchOrder = read(body)?;
    let bundle = order.bundle.unwrap_or_default();
    let to = match what {
        Switch::Activate => bundle_target(&bundle)?,
        Switch::Rollback => rollback_target(&bundle)?,
    };
    Ok(RequestedSwitch {
        what,
        to,
        sticky: order.sticky.unwrap_or(false),
        why: order.reason,
    })
}

/// Parses a bundle id or its first digits (at least four), with or without `sha256:`.
fn bundle_target(value: &Value) -> Result<Target, String> {
    let text = value
        .as_str()
        .ok_or("name a bundle: {\"bundle\": \"sha256:…\"}")?;
    if let Ok(id) = text.parse() {
        return Ok(Target::Bundle(id));
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hex || !(PREFIX_MIN..=64).contains(&digits.len()) {
        return Err(format!(
            "name a bundle by its id (`sha256:` and 64 hex digits) or by at least {PREFIX_MIN} of \
its first digits"
        ));
    }
    Ok(Target::Prefix(digits.to_ascii_lowercase()))
}

/// Parses a bundle id or a negative number of steps back. Default: -1.
fn rollback_target(value: &Value) -> Result<Target, String> {
    let steps = match value {
        Value::Null => Some(-1),
        Value::Number(number) => number.as_i64(),
        Value::String(text) if text.starts_with('-') => text.parse::<i64>().ok(),
        Value::String(_) => return bundle_target(value),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    steps
        .filter(|steps| *steps < 0)
        .and_then(|steps| usize::try_from(steps.unsigned_abs()).ok())
        .map(Target::Back)
        .ok_or_else(|| "`bundle` is a bundle's id or its first digits, or -1, -2, …".to_owned())
}

#[cfg(test)]
mod tests {
    use bundle::digest::Digest;
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_keys_are_refused_with_the_known_ones() {
        let why = |body: &str| requested(Switch::Rollback, body.as_bytes()).unwrap_err();
        for body in ["{\"to\": -1}", "{\"stick\": true}"] {
            let why = why(body);
            assert!(why.contains("unknown field"), "{why}");
            assert!(why.contains("`bundle`, `sticky`, `reason`"), "{why}");
        }
        assert!(why("{\"sticky\": true, \"sticky\": false}").contains("duplicate field"));
        for body in [
            "[-1]",
            "-1",
            "null",
            "\"x\"",
            "{",
            "{\"sticky\": 1}",
            "{\"reason\": 1}",
        ] {
            assert!(
                requested(Switch::Rollback, body.as_bytes()).is_err(),
                "{body}"
            );
        }
        for body in [
            "",
            " \n",
            "{}",
            "{\"bundle\": null, \"sticky\": null, \"reason\": null}",
        ] {
            let order = requested(Switch::Rollback, body.as_bytes()).unwrap();
            assert_eq!((order.to, order.sticky), (Target::Back(1), false), "{body}");
        }
        assert!(requested(Switch::Activate, b"").is_err());
        assert!(
            read::<Nothing>(b"{\"now\": 1}")
                .unwrap_err()
                .contains("`now`")
        );
    }

    #[test]
    fn rollback_targets_are_ids_or_steps_back() {
        let target = |value: Value| rollback_target(&value).map(|to| format!("{to:?}"));
        assert_eq!(target(Value::Null).unwrap(), "Back(1)");
        assert_eq!(target(json!(-2)).unwrap(), "Back(2)");
        assert_eq!(target(json!("-1")).unwrap(), "Back(1)");
        // `i64::MIN` is accepted, although its negation overflows an `i64`.
        assert!(target(json!(i64::MIN)).is_ok());
        let id = Digest::of(b"x").to_string();
        assert_eq!(target(json!(id)).unwrap(), format!("Bundle({id})"));
        for bad in [json!(1), json!(0), json!("x"), json!({}), json!(true)] {
            assert!(target(bad.clone()).is_err(), "{bad}");
        }
        for (prefix, digits) in [
            ("1234", "1234"),
            ("sha256:ABcd", "abcd"),
            ("deadbeef", "deadbeef"),
        ] {
            let parsed = rollback_target(&json!(prefix)).unwrap();
            assert_eq!(parsed, Target::Prefix(digits.to_owned()));
        }
        for bad in ["123", "sha256:123", "-", "-0", "sha512:abcd", "12 34", ""] {
            assert!(target(json!(bad)).is_err(), "{bad}");
        }
    }
}
