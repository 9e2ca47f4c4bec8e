//! Numbers of documents, compared by what they are, not by how they are written.

use std::cmp::Ordering;

use diag::{Kind, NodeRef};

/// The value of a number.
#[must_use]
pub(super) fn of(node: NodeRef<'_>) -> Option<f64> {
    match node.kind() {
        Kind::Number(text) => parse(text),
        _ => None,
    }
}

/// YAML writes numbers in more ways than JSON: `0x1f`, `0o17`, `.5`, `+1`, `.inf`.
fn parse(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(as_float);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(as_float);
    }
    text.parse().ok()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers beyond 2^53 are compared as JSON libraries do"
)]
fn as_float(number: u64) -> f64 {
    number as f64
}

/// A whole number that is written as one, exactly.
fn whole(node: NodeRef<'_>) -> Option<i128> {
    match node.kind() {
        Kind::Number(text) => text.parse().ok(),
        _ => None,
    }
}

/// Two numbers; `None` if one is none or not a number.
#[must_use]
pub(super) fn compare(a: NodeRef<'_>, b: NodeRef<'_>) -> Option<Ordering> {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => of(a)?.partial_cmp(&of(b)?),
    }
}

/// Whether a number has no fraction.
#[must_use]
pub(super) fn is_whole(node: NodeRef<'_>) -> bool {
    whole(node).is_some() || of(node).is_some_and(|number| number.fract() == 0.0)
}

/// Whether `value` is a multiple of `step`; `None` where floats cannot say.
#[must_use]
pub(super) fn is_multiple(value: NodeRef<'_>, step: NodeRef<'_>) -> Option<bool> {
    if let (Some(value), Some(step)) = (whole(value), whole(step)) {
        return (step > 0).then(|| value % step == 0);
    }
    let (value, step) = (of(value)?, of(step)?);
    let quotient = value / step;
    if step <= 0.0 || !quotient.is_finite() {
        return None;
    }
    // 19.99 / 0.01 is 1998.9999999999998.
    let off = (quotient - quotient.round()).abs();
    Some(off <= 1e-9 * quotient.abs().max(1.0))
}

/// A keyword's count: `maxLength` and its like.
#[must_use]
pub(super) fn count(node: NodeRef<'_>) -> Option<f64> {
    of(node).filter(|number| *number >= 0.0)
}

/// How many there are, as a number to compare with a keyword's.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "no list or text has 2^53 members"
)]
pub(super) fn length(count: usize) -> f64 {
    count as f64
}
