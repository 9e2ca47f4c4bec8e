//! Every JSON Schema that this program publishes; `schemas/` holds them as files.

use serde_json::Value;

/// The schemas by name.
#[must_use]
pub fn all() -> Vec<(&'static str, Value)> {
    crate::vocab::schemas()
}
