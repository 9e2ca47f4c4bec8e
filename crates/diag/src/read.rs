//! Readers of scalars with units and of other short strings.
//!
//! Each reader returns the value, or `Err` with the mistake and its correction. [`crate::shape`]
//! converts an error to a finding at the node.

use crate::tree::{Kind, NodeRef};
use crate::units;

/// Error of a reader: the kind of mistake and the expected value.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Kind of mistake, which selects the lint.
    pub kind: WrongKind,
    /// Description of the expected value. Messages show it after "expected ".
    pub expected: &'static str,
    /// Correction as help text. `None`: no correction is known.
    pub help: Option<String>,
}

/// Kind of a mistake in a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongKind {
    /// Wrong type of node.
    Type,
    /// Bare number without the required unit.
    UnitMissing,
    /// Right type, but an invalid value.
    Value,
}

type Read<T> = Result<T, Wrong>;

/// Rate: a number per period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Number of events, such as requests, in each period.
    pub count: u64,
    /// Period in milliseconds.
    pub period_ms: u64,
}

const DURATION: &str = "a duration such as `250ms`, `10s`, `5m` or `1h`";
const RATE: &str = "a rate such as `10/s`, `600/min` or `5000/h`";
const SIZE: &str = "a size such as `512B`, `64KiB`, `10MiB` or `1GiB`";
const PERCENT: &str = "a percentage such as `5%`";

/// Reads a duration in milliseconds: `250ms`, `10s`, `5m`, `1h`, `1d`.
pub fn duration_ms(node: NodeRef<'_>) -> Read<u64> {
    let (number, unit) = number_and_unit(node, DURATION, &["ms", "s", "m", "h"])?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(value(DURATION, units::duration(node))),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| value(DURATION, None))
}

/// Reads a duration of at least one millisecond, because a timeout of zero would refuse every
/// request.
pub fn timeout_ms(node: NodeRef<'_>) -> Read<u64> {
    match duration_ms(node)? {
        0 => Err(value(DURATION, Some("write at least `1ms`".to_owned()))),
        ms => Ok(ms),
    }
}

/// Reads a size in bytes: `512B`, `64KiB`, `10MiB`, `1GiB`, and the decimal `kB`, `MB`, `GB`.
pub fn size_bytes(node: NodeRef<'_>) -> Read<u64> {
    let (number, unit) = number_and_unit(node, SIZE, &["B", "KiB", "MiB"])?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(value(SIZE, units::size(node))),
    };
    number.checked_mul(factor).ok_or_else(|| value(SIZE, None))
}

/// Reads a rate of at least one event per period: `10/s`, `600/min`, `5000/h`, `10000/d`.
pub fn rate(node: NodeRef<'_>) -> Read<Rate> {
    let text = match node.kind() {
        Kind::String(text) => text,
        Kind::Number(text) => return Err(unit_missing(RATE, text, &["/s", "/min", "/h"])),
        _ => return Err(wrong_type(RATE)),
    };
    let Some((count, period)) = text.split_once('/') else {
        return Err(value(RATE, units::rate(text)));
    };
    let count: u64 = whole(count).ok_or_else(|| value(RATE, units::rate(text)))?;
    let period_ms = match period {
        "s" => 1_000,
        "min" | "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(value(RATE, units::rate(text))),
    };
    if count == 0 {
        return Err(value(
            "a rate of at least one per period; to refuse everything use `respond`",
            None,
        ));
    }
    Ok(Rate { count, period_ms })
}

/// Reads a percentage in parts per million: `5%`, `0.5%`. Maximum: 100 %.
pub fn percent_ppm(node: NodeRef<'_>) -> Read<u32> {
    let text = match node.kind() {
        Kind::String(text) => text,
        Kind::Number(text) => return Err(unit_missing(PERCENT, text, &["%"])),
        _ => return Err(wrong_type(PERCENT)),
    };
    let digits = text.strip_suffix('%').ok_or_else(|| value(PERCENT, None))?;
    let (whole_part, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = 4usize
        .checked_sub(fraction.len())
        .ok_or_else(|| value(PERCENT, None))?;
    let whole_part = whole(whole_part).ok_or_else(|| value(PERCENT, None))?;
    let fraction = if fraction.is_empty() {
        0
    } else {
        whole(fraction).ok_or_else(|| value(PERCENT, None))?
    };
    let ppm = whole_part
        .checked_mul(10_000)
        .and_then(|ppm| ppm.checked_add(fraction * 10u64.pow(u32::try_from(scale).unwrap_or(0))))
        .filter(|ppm| *ppm <= 1_000_000)
        .ok_or_else(|| value("a percentage from `0%` to `100%`", None))?;
    Ok(u32::try_from(ppm).unwrap_or(1_000_000))
}

/// Reads an integer from `min` to `max`.
pub fn integer(node: NodeRef<'_>, min: i64, max: i64) -> Read<i64> {
    const WHOLE: &str = "a whole number";
    let Kind::Number(text) = node.kind() else {
        return Err(wrong_type(WHOLE));
    };
    let number: i64 = text.parse().map_err(|_| wrong_type(WHOLE))?;
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    let range = match max {
        i64::MAX => format!("write at least {min}"),
        max if max == min => format!("write `{min}`"),
        max => format!("write a number from {min} to {max}"),
    };
    Err(value("a whole number in range", Some(range)))
}

/// Reads a SHA-256 in hexadecimal: 64 digits.
pub fn sha256_hex(node: NodeRef<'_>) -> Read<[u8; 32]> {
    const HASH: &str = "a sha256 in hexadecimal (64 digits)";
    let Some(text) = node.scalar_text() else {
        return Err(wrong_type(HASH));
    };
    let help = || {
        Some("print one with `printf %s \"$CREDENTIAL\" | sha256sum`; never put the credential itself here".to_owned())
    };
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return Err(value(HASH, help()));
    }
    let mut hash = [0u8; 32];
    for (byte, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
        let digit = |b: u8| {
            char::from(b)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            return Err(value(HASH, help()));
        };
        *byte = high << 4 | low;
    }
    Ok(hash)
}

fn number_and_unit<'t>(
    node: NodeRef<'t>,
    expected: &'static str,
    units: &[&str],
) -> Read<(u64, &'t str)> {
    let meant = || match expected {
        SIZE => units::size(node),
        _ => units::duration(node),
    };
    let text = match node.kind() {
        Kind::String(text) => text,
        Kind::Number(text) => return Err(unit_missing(expected, text, units)),
        _ => return Err(wrong_type(expected)),
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(|| unit_missing(expected, text, units))?;
    let (number, unit) = text.split_at(split);
    let number = whole(number).ok_or_else(|| value(expected, meant()))?;
    Ok((number, unit))
}

fn whole(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn unit_missing(expected: &'static str, text: &str, units: &[&str]) -> Wrong {
    if text.starts_with('-') {
        return value(expected, Some("it must not be negative".to_owned()));
    }
    if whole(text).is_none() {
        let sample = units
            .first()
            .map_or(String::new(), |unit| format!("25{unit}"));
        let help = format!("write a whole number and its unit, such as `{sample}`");
        return Wrong {
            kind: WrongKind::UnitMissing,
            expected,
            help: Some(help),
        };
    }
    let samples: Vec<String> = units.iter().map(|unit| format!("`{text}{unit}`")).collect();
    Wrong {
        kind: WrongKind::UnitMissing,
        expected,
        help: Some(format!("write {}", samples.join(" or "))),
    }
}

fn wrong_type(expected: &'static str) -> Wrong {
    Wrong {
        kind: WrongKind::Type,
        expected,
        help: None,
    }
}

fn value(expected: &'static str, help: Option<String>) -> Wrong {
    Wrong {
        kind: WrongKind::Value,
        expected,
        help,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileId, Span, Tree};

    fn node<T>(kind: Kind, read: impl Fn(NodeRef<'_>) -> T) -> T {
        let mut tree = Tree::default();
        let id = tree.push(Span::start_of(FileId(0)), kind);
        read(tree.at(id))
    }
    fn text(text: &str) -> Kind {
        Kind::String(text.into())
    }

    #[test]
    fn units_are_read() {
        assert_eq!(node(text("250ms"), duration_ms), Ok(250));
        assert_eq!(node(text("2h"), duration_ms), Ok(7_200_000));
        assert_eq!(node(text("64KiB"), size_bytes), Ok(65_536));
        assert_eq!(
            node(text("600/min"), rate),
            Ok(Rate {
                count: 600,
                period_ms: 60_000
            })
        );
        assert_eq!(node(text("0.5%"), percent_ppm), Ok(5_000));
        assert_eq!(node(text("100%"), percent_ppm), Ok(1_000_000));
    }

    #[test]
    fn number_without_unit_gets_the_units_as_help() {
        let wrong = node(Kind::Number("10".into()), duration_ms).unwrap_err();
        assert_eq!(wrong.kind, WrongKind::UnitMissing);
        assert_eq!(
            wrong.help.as_deref(),
            Some("write `10ms` or `10s` or `10m` or `10h`")
        );
        assert_eq!(
            node(Kind::Number("5".into()), rate).unwrap_err().kind,
            WrongKind::UnitMissing
        );
    }

    #[test]
    fn notations_of_other_programs_get_a_correction() {
        let help = |wrong: Wrong| wrong.help.unwrap_or_default();
        for (written, meant) in [
            ("10 seconds", "`10s`"),
            ("1500 ms", "`1500ms`"),
            ("1m30s", "`90s`"),
            ("0.5s", "`500ms`"),
            ("1.5h", "`90m`"),
            ("2 Hours", "`2h`"),
            ("1h 15min", "`75m`"),
            ("3S", "`3s`"),
        ] {
            let wrong = node(text(written), duration_ms).unwrap_err();
            assert_eq!(help(wrong), format!("write {meant}"), "{written}");
        }
        for (written, meant) in [
            ("64KB", "`64KiB` (65536 bytes) or `64kB` (64000 bytes)"),
            ("1 MiB", "`1MiB`"),
            ("1.5MiB", "`1536KiB`"),
            (
                "2gb",
                "`2GiB` (2147483648 bytes) or `2GB` (2000000000 bytes)",
            ),
            ("512 bytes", "`512B`"),
            ("64K", "`64KiB` (65536 bytes) or `64kB` (64000 bytes)"),
        ] {
            let wrong = node(text(written), size_bytes).unwrap_err();
            assert_eq!(help(wrong), format!("write {meant}"), "{written}");
        }
        for (written, meant) in [
            ("100rps", "`100/s`"),
            ("100/minute", "`100/min`"),
            ("100 / s", "`100/s`"),
            ("5 per hour", "`5/h`"),
            ("10r/s", "`10/s`"),
            ("30rpm", "`30/min`"),
        ] {
            let wrong = node(text(written), rate).unwrap_err();
            assert_eq!(help(wrong), format!("write {meant}"), "{written}");
        }
        // Each value that a message suggests must itself be valid.
        for nonsense in [
            "soon",
            "10 lightyears",
            "",
            "1e400s",
            "99999999999999999999h",
        ] {
            let wrong = node(text(nonsense), duration_ms).unwrap_err();
            assert_eq!(
                wrong
                    .help
                    .as_deref()
                    .filter(|help| help.starts_with("write `")),
                None,
                "{nonsense}"
            );
        }
        let below = node(Kind::Number("-3".into()), size_bytes).unwrap_err();
        assert_eq!(below.kind, WrongKind::Value);
        assert_eq!(help(below), "it must not be negative");
        let fraction = node(Kind::Number("0.5".into()), duration_ms).unwrap_err();
        assert_eq!(
            help(fraction),
            "write a whole number and its unit, such as `25ms`"
        );
        let version = node(Kind::Number("2".into()), |node| integer(node, 1, 1)).unwrap_err();
        assert_eq!(help(version), "write `1`");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            "",
            "s",
            "1 s",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(node(text(bad), duration_ms).is_err(), "{bad}");
        }
        for bad in ["0/s", "1/week", "/s", "1/", "101%"] {
            assert!(node(text(bad), rate).is_err(), "{bad}");
        }
        for bad in ["101%", "1.00001%", "%", ".5%", "5"] {
            assert!(node(text(bad), percent_ppm).is_err(), "{bad}");
        }
        assert!(node(text("zz"), sha256_hex).is_err());
    }
}
