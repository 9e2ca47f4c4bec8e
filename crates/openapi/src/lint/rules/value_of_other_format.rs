//! Rule for a `default` or `example` that violates the schema's `format`.

use std::net::{Ipv4Addr, Ipv6Addr};

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0743",
    name: "value-of-other-format",
    level: Level::Warn,
    summary: "a `default` or `example` that does not match the schema's `format`",
    explain: "A reader who copies an example, and a generator that uses a default, expect a value \
of the format. With `validate`, gwd refuses values of another format. `date`, `date-time` (RFC \
3339), `uuid` (RFC 9562), `ipv4` and `ipv6` are checked.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: string, format: date, example: 1.2.2024}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: string, format: date, example: '2024-02-01'}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(format) = place.node.get("format") else {
        return;
    };
    let (fits, like): (fn(&str) -> bool, &str) = match format.as_str() {
        Some("date") => (is_date, "2024-02-29"),
        Some("date-time") => (is_date_time, "2024-02-29T13:00:00Z"),
        Some("uuid") => (is_uuid, "0190b6c8-5f4e-7d3a-9c1b-2f6e8d4a7b50"),
        Some("ipv4") => (|text| text.parse::<Ipv4Addr>().is_ok(), "192.0.2.1"),
        Some("ipv6") => (|text| text.parse::<Ipv6Addr>().is_ok(), "2001:db8::1"),
        Some(_) | None => return,
    };
    let single = ["default", "example"].into_iter();
    let single = single.filter_map(|key| place.node.get(key));
    let several = place
        .node
        .get("examples")
        .into_iter()
        .flat_map(NodeRef::items);
    for value in single.chain(several) {
        if let Some(text) = value.as_str().filter(|text| !fits(text)) {
            let name = format.as_str().unwrap_or_default();
            let message = format!(
                "`{}` does not match the format `{name}`",
                text.escape_debug()
            );
            sink.push(
                Diagnostic::new(&LINT, value.span(), message)
                    .related(format.span(), "the format is set here")
                    .help(format!("write a value such as `{like}`")),
            );
        }
    }
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = parts
        .iter()
        .all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if !digits || !parts.iter().map(|part| part.len()).eq([4, 2, 2]) {
        return false;
    }
    let number = |index: usize| parts[index].parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(0), number(1), number(2));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// True if a string is a date and time (RFC 3339 §5.6).
fn is_date_time(text: &str) -> bool {
    let Some((date, rest)) = text.split_once(['T', 't']) else {
        return false;
    };
    let Some(zone) = rest.find(['Z', 'z', '+', '-']) else {
        return false;
    };
    let (time, zone) = rest.split_at(zone);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let clock = |text: &str, most: &[u8]| {
        let parts: Vec<&str> = text.split(':').collect();
        parts.len() == most.len()
            && parts.iter().zip(most).all(|(part, most)| {
                part.len() == 2 && digits(part) && part.parse::<u8>().is_ok_and(|it| it <= *most)
            })
    };
    let zone = matches!(zone, "Z" | "z") || clock(zone.trim_start_matches(['+', '-']), &[23, 59]);
    // Second 60 is allowed for leap seconds.
    is_date(date) && clock(time, &[23, 59, 60]) && digits(fraction) && zone
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_valid_values_only() {
        for fine in [
            "2024-02-29T00:00:00Z",
            "2024-12-31t23:59:60.25+05:30",
            "2024-12-31T23:59:59-00:00",
        ] {
            assert!(is_date_time(fine), "{fine}");
        }
        for wrong in [
            "2023-02-29T00:00:00Z",
            "2024-02-29",
            "2024-02-29 00:00:00Z",
            "2024-02-29T00:00:00",
            "2024-02-29T24:00:00Z",
            "2024-02-29T00:00Z",
            "2024-02-29T00:00:00.Z",
            "2024-02-29T00:00:00+5",
        ] {
            assert!(!is_date_time(wrong), "{wrong}");
        }
        assert!(is_date("0001-01-01") && !is_date("1900-02-29") && !is_date("2024-13-01"));
        assert!(is_date("2024-02-29") && !is_date("2024-2-29") && !is_date("2024-02-30"));
        assert!(is_uuid("0190b6c8-5f4e-7d3a-9c1b-2f6e8d4a7b50"));
        assert!(
            !is_uuid("0190b6c85f4e7d3a9c1b2f6e8d4a7b50")
                && !is_uuid("0190b6c8-5f4e-7d3a-9c1b-2f6e8d4a7b5g")
        );
    }
}
