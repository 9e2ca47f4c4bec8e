//! Numbers compared by value, not by notation: `1`, `1.0`, `10e-1` and `0x1` are equal.

use bundle::ir::Value;

/// Exact value of a number. The text itself for `.inf` and `.nan`, and for a number whose exponent
/// is out of range.
pub(super) fn value(text: &str) -> Value {
    decimal(text).unwrap_or_else(|| Value::Decimal(text.to_ascii_lowercase().into()))
}

fn decimal(text: &str) -> Option<Value> {
    if let Some(digits) = text.strip_prefix("0x") {
        return Some(of_digits(
            "",
            &u128::from_str_radix(digits, 16).ok()?.to_string(),
            0,
        ));
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return Some(of_digits(
            "",
            &u128::from_str_radix(digits, 8).ok()?.to_string(),
            0,
        ));
    }
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, power) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let power: i64 = power.parse().ok()?;
    let power = power.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    Some(of_digits(sign, &digits, power))
}

/// Decimal number `digits × 10^power` without leading and trailing zeros.
fn of_digits(sign: &str, digits: &str, power: i64) -> Value {
    let digits = digits.trim_start_matches('0');
    let shorter = digits.trim_end_matches('0');
    if shorter.is_empty() {
        return Value::Integer(0);
    }
    let zeros = i64::try_from(digits.len() - shorter.len()).unwrap_or(0);
    let power = power.saturating_add(zeros);
    if let Ok(zeros @ 0..=18) = usize::try_from(power)
        && let Ok(whole) = format!("{sign}{shorter}{}", "0".repeat(zeros)).parse()
    {
        return Value::Integer(whole);
    }
    let power = if power == 0 {
        String::new()
    } else {
        format!("e{power}")
    };
    Value::Decimal(format!("{sign}{shorter}{power}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_in_other_notations_are_equal() {
        for all in [
            &["1", "1.0", "10e-1", "0x1", "+1", "0.1E1", "1.", "0o1"][..],
            &["0", "-0", "0.0", "0e9", "-0.00e-3"],
            &["1.5", "15e-1", "0.15e1", "1.50", "+1.5"],
            &["-100", "-1e2", "-100.000", "-0.1e3"],
            &["9223372036854775807", "9223372036854775807.0"],
            &["9223372036854775808", "9.223372036854775808e18"],
            &["1e400", "10e399", "0.1e401"],
            &["0.1", "1e-1", ".1"],
        ] {
            for text in all {
                assert_eq!(value(text), value(all[0]), "{text}");
            }
        }
    }

    #[test]
    fn different_numbers_have_different_values() {
        let all = [
            "1",
            "-1",
            "10",
            "0",
            "0.1",
            "1e400",
            "1e401",
            ".inf",
            "-.inf",
            "9223372036854775807",
            "9223372036854775808",
            "0.30000000000000001",
            "0.3",
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert_ne!(value(one), value(other), "{one} {other}");
            }
        }
    }
}
