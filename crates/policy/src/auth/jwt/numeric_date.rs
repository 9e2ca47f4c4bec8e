//! Times in tokens (RFC 7519 §2, `NumericDate`).

use super::json::Json;
use super::verify::Reason;

/// Latest time in a token: the end of the year 9999 (Unix time, milliseconds).
const TIME_MAX_MS: u64 = 253_402_300_799_999;

/// Parses a time to Unix milliseconds, exactly; parts of a millisecond are cut off. The number may
/// have a fraction and an exponent. Negative times and times after the year 9999 are refused.
///
/// The time and the memory of the function depend only on the length of the number, not on its
/// value.
pub(in crate::auth) fn milliseconds(json: &Json) -> Result<u64, Reason> {
    let Json::Number(text) = json else {
        return Err(Reason::Claims);
    };
    let (decimal, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|byte| byte.is_ascii_digit())
    {
        return Err(Reason::Claims);
    }
    let exponent: i64 = match exponent.parse() {
        Ok(exponent) => exponent,
        Err(_) if exponent.starts_with('-') => i64::MIN,
        Err(_) => i64::MAX,
    };
    // Number of digits before the decimal point of the milliseconds.
    let places = i64::try_from(whole.len()).map_err(|_| Reason::Claims)?;
    let places = places.saturating_add(exponent).saturating_add(3);
    let places = usize::try_from(places.max(0)).unwrap_or(usize::MAX);
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .skip_while(|byte| *byte == b'0');
    let zeros = whole.len() + fraction.len() - digits.clone().count();
    if digits.clone().next().is_none() {
        return Ok(0);
    }
    // Each further digit multiplies the number by ten, so that the loop ends at the limit.
    let mut time_ms: u64 = 0;
    for digit in digits
        .chain(std::iter::repeat(b'0'))
        .take(places.saturating_sub(zeros))
    {
        time_ms = time_ms * 10 + u64::from(digit - b'0');
        if time_ms > TIME_MAX_MS {
            return Err(Reason::Claims);
        }
    }
    Ok(time_ms)
}

#[cfg(test)]
mod tests {
    use super::{TIME_MAX_MS, milliseconds};
    use crate::auth::jwt::json::Json;

    #[test]
    fn numeric_date_is_read_exactly() {
        let read = |text: &str| milliseconds(&Json::Number(text.into())).ok();
        for (text, expected) in [
            ("0", Some(0)),
            ("1800000300.75", Some(1_800_000_300_750)),
            ("1799999940.0019", Some(1_799_999_940_001)),
            ("18e8", Some(1_800_000_000_000)),
            ("1.8E9", Some(1_800_000_000_000)),
            ("1.8000000005e+9", Some(1_800_000_000_500)),
            ("18000000005e-1", Some(1_800_000_000_500)),
            ("0.0018e12", Some(1_800_000_000_000)),
            ("0.00018e00000000000000000013", Some(1_800_000_000_000)),
            ("1e-3", Some(1)),
            ("1e-4", Some(0)),
            ("5e-400", Some(0)),
            ("1e-99999999999999999999999999", Some(0)),
            ("0e99999999999999999999999999", Some(0)),
            ("0.0e400", Some(0)),
            ("253402300799.999", Some(TIME_MAX_MS)),
            ("2.53402300799e11", Some(253_402_300_799_000)),
            ("253402300800", None),
            ("2.534023008e11", None),
            ("1e400", None),
            ("1e99999999999999999999999999", None),
            ("-1", None),
            ("-0", None),
            ("-18e8", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert!(milliseconds(&Json::Text("1800000000".into())).is_err());
    }
}
