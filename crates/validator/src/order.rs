//! Comparison of numbers in schemas.

use std::cmp::Ordering;

use bundle::ir::Value;

/// Largest integer up to which `f64` represents every integer: 2^53.
const EXACT_MAX: i64 = 1 << 53;

/// Order of two numbers. `None` if the order is not certain.
pub(crate) fn compared(one: &Value, other: &Value) -> Option<Ordering> {
    let number = |value: &Value| -> Option<f64> {
        match value {
            #[expect(clippy::cast_precision_loss, reason = "the integer is exact in f64")]
            Value::Integer(value) if (-EXACT_MAX..=EXACT_MAX).contains(value) => {
                Some(*value as f64)
            }
            Value::Decimal(text) => text.parse().ok(),
            _ => None,
        }
    };
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => Some(one.cmp(other)),
        (one, other) if one == other => Some(Ordering::Equal),
        (one, other) => {
            let order = number(one)?.partial_cmp(&number(other)?)?;
            // Different decimals may have the same floating-point value, so equality is not
            // certain.
            (order != Ordering::Equal).then_some(order)
        }
    }
}
