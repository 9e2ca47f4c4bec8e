//! Suggestions for durations, sizes and rates in the notation of other programs (`10 seconds`,
//! `64KB`, `100rps`). Used only in help texts, never as values.

use crate::tree::NodeRef;

/// Common names of time units, with their value in milliseconds.
const TIMES: &[(&[&str], u64)] = &[
    (&["ms", "msec", "msecs", "millisecond", "milliseconds"], 1),
    (&["s", "sec", "secs", "second", "seconds"], 1_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000),
    (&["d", "day", "days"], 86_400_000),
];

/// Common names of size units, their exponent for base 1024 or 1000, and the decimal unit.
const SIZES: &[(&[&str], u32, &str)] = &[
    (&["b", "byte", "bytes"], 0, "B"),
    (&["k", "kb", "kib"], 1, "kB"),
    (&["m", "mb", "mib"], 2, "MB"),
    (&["g", "gb", "gib"], 3, "GB"),
];

/// Returns the correction (`write …`) for a duration. `None` if there is no correction.
pub(crate) fn duration(node: NodeRef<'_>) -> Option<String> {
    let text = node.scalar_text()?.to_lowercase();
    let mut rest = text.trim();
    let mut ms: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = part(rest)?;
        let factor = time(unit)?;
        ms = ms.checked_add(number.times(factor)?)?;
        rest = after;
    }
    (ms > 0).then(|| format!("write `{}`", written_ms(ms)))
}

/// Writes a duration as in gateway.yaml, with the largest unit that gives an integer, up to hours:
/// `90s`, not `1.5m`.
#[must_use]
pub fn written_ms(ms: u64) -> String {
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let mut fitting = units
        .into_iter()
        .filter(|(_, factor)| ms > 0 && ms.is_multiple_of(*factor));
    let (unit, factor) = fitting.next().unwrap_or(("ms", 1));
    format!("{}{unit}", ms / factor)
}

/// Returns the correction (`write …`) for a size. Names both the binary and the decimal unit if the
/// user's unit is ambiguous.
pub(crate) fn size(node: NodeRef<'_>) -> Option<String> {
    let text = node.scalar_text()?.to_lowercase();
    let (number, unit, "") = part(text.trim())? else {
        return None;
    };
    let (_, power, decimal) = SIZES.iter().find(|(names, ..)| names.contains(&unit))?;
    let bytes = number.times(1024u64.pow(*power))?;
    let units = [("GiB", 3), ("MiB", 2), ("KiB", 1), ("B", 0)];
    let (shown, factor) = units
        .into_iter()
        .map(|(name, power)| (name, 1024u64.pow(power)))
        .find(|(_, factor)| bytes.is_multiple_of(*factor))?;
    let first = format!("`{}{shown}`", bytes / factor);
    let is_binary = unit.ends_with("ib") || *power == 0;
    let (false, Some(whole)) = (is_binary, number.times(1)) else {
        return (bytes > 0).then(|| format!("write {first}"));
    };
    let tens = number.times(1000u64.pow(*power))?;
    (bytes > 0)
        .then(|| format!("write {first} ({bytes} bytes) or `{whole}{decimal}` ({tens} bytes)"))
}

/// Returns the correction (`write …`) for a rate. `None` if there is no correction.
pub(crate) fn rate(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let (number, behind, "") = part(text.trim())? else {
        return None;
    };
    let count = number.times(1).filter(|count| *count > 0)?;
    let period = match behind {
        "rps" | "qps" => "s",
        "rpm" => "min",
        "rph" => "h",
        _ => {
            let requests = ["requests", "request", "reqs", "req", "r"];
            let named = requests
                .into_iter()
                .find_map(|word| behind.strip_prefix(word));
            let named = named.unwrap_or(behind).trim_start();
            let period = named
                .strip_prefix('/')
                .or_else(|| named.strip_prefix("per "))?;
            match time(period.trim())? {
                1_000 => "s",
                60_000 => "min",
                3_600_000 => "h",
                86_400_000 => "d",
                _ => return None,
            }
        }
    };
    Some(format!("write `{count}/{period}`"))
}

/// Decimal number: its digits without the point, and the number of digits after the point.
struct Decimal {
    digits: u64,
    fraction: u32,
}

impl Decimal {
    /// Product of the number and `factor`, if it is an integer.
    fn times(&self, factor: u64) -> Option<u64> {
        let scale = 10u64.checked_pow(self.fraction)?;
        let product = self.digits.checked_mul(factor)?;
        (product.is_multiple_of(scale)).then(|| product / scale)
    }
}

/// Splits a text such as `5m30s` into a number, the unit after it, and the remaining text.
fn part(text: &str) -> Option<(Decimal, &str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}").parse().ok()?;
    let fraction = u32::try_from(fraction.len()).ok()?;
    let end = rest
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    Some((Decimal { digits, fraction }, word.trim(), after))
}

fn time(word: &str) -> Option<u64> {
    let (_, factor) = TIMES.iter().find(|(names, _)| names.contains(&word))?;
    Some(*factor)
}
