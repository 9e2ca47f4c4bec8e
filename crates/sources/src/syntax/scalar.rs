//! Types of plain scalars: the core schema of YAML 1.2 (§10.3.2).

use diag::Kind;

/// Resolves the type of a plain scalar. `yes`, `no`, `on` and `y` are strings, as in YAML 1.2.
pub(super) fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ if is_number(text) => Kind::Number(text.into()),
        _ => Kind::String(text.into()),
    }
}

/// Resolves the type of a scalar with an explicit tag of the core schema.
pub(super) fn tagged(tag: &str, text: &str) -> Kind {
    match tag {
        "null" | "bool" | "int" | "float" => plain(text),
        _ => Kind::String(text.into()),
    }
}

fn is_number(text: &str) -> bool {
    // Only these first bytes can begin a number. This check rejects most scalars.
    if !matches!(text.as_bytes()[0], b'0'..=b'9' | b'-' | b'+' | b'.') {
        return false;
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fine = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fine = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fine && exponent_fine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for text in [
            "0", "-1", "+12", "0o17", "0xFf", "1.5", ".5", "5.", "1e3", "-.5E-2", ".inf", "-.INF",
            ".NaN", "090",
        ] {
            assert_eq!(plain(text), Kind::Number(text.into()), "{text}");
        }
        for text in [
            "yes", "no", "on", "y", "1.2.3", "0o8", "0x", "-", "+", ".", "-.", "1e", "e1", "1_000",
            "..5", "10s", "- 1", "tRue", "0b1", "+.nan", "1:30",
        ] {
            assert_eq!(plain(text), Kind::String(text.into()), "{text}");
        }
        assert_eq!(plain("~"), Kind::Null);
        assert_eq!(plain("TRUE"), Kind::Bool(true));
    }
}
