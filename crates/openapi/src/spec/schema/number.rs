//! Numbers in documents, compared by value, not by spelling.

use std::cmp::Ordering;

use diag::{Kind, NodeRef};

/// Returns the value of a number node. `None` if the node is not a number.
#[must_use]
pub(super) fn of(node: NodeRef<'_>) -> Option<f64> {
    match node.kind() {
        Kind::Number(text) => parse(text),
        _ => None,
    }
}

/// Parses a number. YAML has more notations than JSON, such as `0x1f`, `0o17`, `.5`, `+1` and
/// `.inf`.
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

/// Exact value of a number that is written as an integer. `None` for other numbers and values.
fn whole(node: NodeRef<'_>) -> Option<i128> {
    match node.kind() {
        Kind::Number(text) => text.parse().ok(),
        _ => None,
    }
}

/// Compares two numbers. `None` if one of them is NaN or not a number.
#[must_use]
pub(super) fn compare(a: NodeRef<'_>, b: NodeRef<'_>) -> Option<Ordering> {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => of(a)?.partial_cmp(&of(b)?),
    }
}

/// True if a number has no fraction.
#[must_use]
pub(super) fn is_whole(node: NodeRef<'_>) -> bool {
    whole(node).is_some() || of(node).is_some_and(|number| number.fract() == 0.0)
}

/// True if `value` is a multiple of `step`. Computed exactly if the digits fit, otherwise with
/// floats. `None` if the result is uncertain.
#[must_use]
pub(super) fn is_multiple(value: NodeRef<'_>, step: NodeRef<'_>) -> Option<bool> {
    let exact = Decimal::of(value).zip(Decimal::of(step));
    if let Some(fits) = exact.and_then(|(value, step)| value.is_multiple_of(step)) {
        return Some(fits);
    }
    let (value, step) = (of(value)?, of(step)?);
    let quotient = value / step;
    if step <= 0.0 || !quotient.is_finite() {
        return None;
    }
    // Allow for rounding: 19.99 / 0.01 gives 1998.9999999999998.
    let off = (quotient - quotient.round()).abs();
    Some(off <= 1e-9 * quotient.abs().max(1.0))
}

/// Absolute value of a JSON number: `digits × 10^exponent`. Exact, because floats cannot decide if
/// 19.99 is a multiple of 0.01, or 1e308 of 0.1.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u128,
    exponent: i32,
}

impl Decimal {
    fn of(node: NodeRef<'_>) -> Option<Self> {
        let Kind::Number(text) = node.kind() else {
            return None;
        };
        let text = text.strip_prefix('-').unwrap_or(text);
        let (number, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let power: i32 = power.parse().ok()?;
        Some(Self {
            digits: digits.parse().ok()?,
            exponent: power.checked_sub(i32::try_from(fraction.len()).ok()?)?,
        })
    }

    /// True if the value is a multiple of `step`. `None` if `step` is zero or a number has too many
    /// digits.
    fn is_multiple_of(self, step: Self) -> Option<bool> {
        // With a 64-bit modulus, the product of two remainders fits into 128 bits.
        let modulus = u128::from(
            u64::try_from(step.digits)
                .ok()
                .filter(|digits| *digits > 0)?,
        );
        let shift = self.exponent.checked_sub(step.exponent)?;
        if self.digits == 0 {
            return Some(true);
        }
        if shift < 0 {
            let scale = 10_u128.checked_pow(shift.unsigned_abs());
            let unit = scale.and_then(|scale| scale.checked_mul(modulus));
            // If `unit` overflows, it is greater than `self.digits`, so the value is not a multiple
            // of it.
            return Some(unit.is_some_and(|unit| self.digits.is_multiple_of(unit)));
        }
        let (mut rest, mut base) = (self.digits % modulus, 10 % modulus);
        let mut left = shift.unsigned_abs();
        while left > 0 {
            if left & 1 == 1 {
                rest = rest * base % modulus;
            }
            base = base * base % modulus;
            left >>= 1;
        }
        Some(rest == 0)
    }
}

/// Value of a keyword for a length or count, such as `maxLength`. `None` if the value is negative
/// or not a number.
#[must_use]
pub(super) fn count(node: NodeRef<'_>) -> Option<f64> {
    of(node).filter(|number| *number >= 0.0)
}

/// Converts a length to a float, to compare it with a keyword's number.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "no list or text has 2^53 members"
)]
pub(super) fn length(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        let mut tree = diag::Tree::default();
        let span = diag::Span::start_of(diag::FileId(0));
        let node = tree.push(span, Kind::Number(text.into()));
        Decimal::of(tree.at(node)).expect("it is decimal")
    }

    #[test]
    fn multiples_of_decimals_are_exact() {
        for (value, step, fits) in [
            ("19.99", "0.01", true),
            ("0.3", "0.1", true),
            ("0.35", "0.1", false),
            ("1e308", "0.123456789", false),
            ("1e308", "0.1", true),
            ("1e-300", "1e300", false),
            ("12391239123", "1e-8", true),
            ("-7.5", "2.5", true),
            ("0", "3", true),
            ("0.0", "1e9", true),
            ("4.0", "2", true),
            ("1E+2", "1e1", true),
        ] {
            let is_multiple = decimal(value).is_multiple_of(decimal(step));
            assert_eq!(is_multiple, Some(fits), "{value} by {step}");
        }
        assert!(decimal("1").is_multiple_of(decimal("0")).is_none());
    }
}
