//! Numbers and lengths in the keywords of schemas.

use bundle::ir::Value;

/// Number of decimal places of exact comparisons. Numbers with more places prove nothing.
const PLACES: i64 = 12;
/// The number 1 in the units of [`exact`].
pub(super) const ONE: i128 = 1_000_000_000_000;

/// Exact value, times [`ONE`]. `None` if the number has too many digits.
pub(super) fn exact(value: &Value) -> Option<i128> {
    match value {
        Value::Integer(value) => Some(i128::from(*value) * ONE),
        Value::Decimal(text) => {
            let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
            let power: i64 = power.parse().ok()?;
            let digits: i128 = digits.parse().ok()?;
            let scale = power.checked_add(PLACES)?;
            let scale = u32::try_from(scale).ok().filter(|scale| *scale <= 30)?;
            digits.checked_mul(10_i128.checked_pow(scale)?)
        }
        _ => None,
    }
}

/// Value of a keyword that limits a length or a number of items. `None` if the value is not a
/// non-negative number.
pub(super) fn length(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}
