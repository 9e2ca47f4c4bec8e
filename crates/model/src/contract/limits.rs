//! `limits` of a schema in the contract.

use bundle::ir::Value;
use diag::{NodeRef, read};

/// Limits in the `x-gateway` of a schema, as numbers. Empty if there are none. Leaves out values of
/// a wrong form, which the check of `x-gateway` reports.
pub(super) fn of(extension: NodeRef<'_>) -> Value {
    let most = |name: &str| {
        let value = extension.get("limits")?.get(name)?;
        match name {
            "bytes" => i64::try_from(read::size_bytes(value).ok()?).ok(),
            _ => read::integer(value, 1, i64::MAX).ok(),
        }
    };
    let names = ["bytes", "depth", "items"].into_iter();
    let limits = names.filter_map(|name| Some((name.into(), Value::Integer(most(name)?))));
    Value::Map(limits.collect())
}
