//! Values of `format` that are enforced. All other formats are annotations and never refuse a
//! value.

/// Enforced format: its name, and the check of a string. `None` for formats of numbers.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) check: Option<fn(&str) -> bool>,
}

/// Formats that are enforced. Other formats of JSON Schema (such as `email`, `uri` and `hostname`)
/// are left out, because programs interpret them differently.
pub(crate) const FORMATS: &[Format] = &[
    Format {
        name: "int32",
        check: None,
    },
    Format {
        name: "int64",
        check: None,
    },
    Format {
        name: "date",
        check: Some(is_date),
    },
    Format {
        name: "date-time",
        check: Some(is_date_time),
    },
    Format {
        name: "uuid",
        check: Some(is_uuid),
    },
    Format {
        name: "ipv4",
        check: Some(is_ipv4),
    },
    Format {
        name: "ipv6",
        check: Some(is_ipv6),
    },
];

/// Effect of a `format` on the check of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatCheck {
    /// Values are checked.
    Enforced,
    /// There is nothing to check: the format allows every value of its type.
    AllowsAll,
    /// The format is registered, but values are not checked.
    Ignored,
    /// The format is in no registry.
    Unknown,
}

/// Formats of the registries of OpenAPI and JSON Schema (2020-12) that allow every value of their
/// type.
const ALLOW_ALL: &[&str] = &[
    "binary",
    "commonmark",
    "double",
    "float",
    "html",
    "password",
];

/// Formats of OpenAPI and JSON Schema (2020-12) whose values are not checked.
const IGNORED: &[&str] = &[
    "base64url",
    "byte",
    "char",
    "decimal",
    "decimal128",
    "double-int",
    "duration",
    "email",
    "hostname",
    "http-date",
    "idn-email",
    "idn-hostname",
    "int16",
    "int8",
    "iri",
    "iri-reference",
    "json-pointer",
    "media-range",
    "regex",
    "relative-json-pointer",
    "sf-binary",
    "sf-boolean",
    "sf-decimal",
    "sf-integer",
    "sf-string",
    "sf-token",
    "time",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "unixtime",
    "uri",
    "uri-reference",
    "uri-template",
];

/// Effect of the format with this name.
#[must_use]
pub fn format_check(name: &str) -> FormatCheck {
    if FORMATS.iter().any(|format| format.name == name) {
        return FormatCheck::Enforced;
    }
    if ALLOW_ALL.contains(&name) {
        return FormatCheck::AllowsAll;
    }
    match IGNORED.contains(&name) {
        true => FormatCheck::Ignored,
        false => FormatCheck::Unknown,
    }
}

/// Names of all registered formats.
pub fn registered_formats() -> impl Iterator<Item = &'static str> {
    let enforced = FORMATS.iter().map(|format| format.name);
    let others = ALLOW_ALL.iter().chain(IGNORED).copied();
    enforced.chain(others)
}

/// True if the format with this name is enforced for strings.
pub(crate) fn of_strings(name: &str) -> bool {
    let mut all = FORMATS.iter();
    all.any(|format| format.name == name && format.check.is_some())
}

/// Bounds of the integers of a numeric format. `None` for other formats.
pub(crate) fn bounds(name: &str) -> Option<[i64; 2]> {
    match name {
        "int32" => Some([i32::MIN.into(), i32::MAX.into()]),
        "int64" => Some([i64::MIN, i64::MAX]),
        _ => None,
    }
}

/// True if the text is a `full-date` of RFC 3339.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = bytes.get(from..to)?;
        digits.iter().all(u8::is_ascii_digit).then(|| {
            digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
        })
    };
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// True if the text is a `date-time` of RFC 3339. Accepts second 60 at any minute.
fn is_date_time(text: &str) -> bool {
    let Some((date, rest)) = text.split_at_checked(10) else {
        return false;
    };
    let Some(time) = rest.strip_prefix(['T', 't', ' ']) else {
        return false;
    };
    let Some((time, zone)) = time.split_at_checked(8) else {
        return false;
    };
    let zone = match zone.strip_prefix('.') {
        None => zone,
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
    };
    let zone = match zone.strip_prefix(['+', '-']) {
        Some(offset) => is_clock(offset, &[23, 59]),
        None => matches!(zone, "Z" | "z"),
    };
    is_date(date) && is_clock(time, &[23, 59, 60]) && zone
}

/// True if a text consists of two-digit numbers separated by colons. `most`: maximum of each
/// number.
fn is_clock(text: &str, most: &[u8]) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let fits = |(part, most): (&&str, &u8)| {
        part.len() == 2
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse::<u8>().is_ok_and(|number| number <= *most)
    };
    parts.len() == most.len() && parts.iter().zip(most).all(fits)
}

/// True if the text is a UUID (RFC 9562 §4): 8-4-4-4-12 hexadecimal digits, in any case.
fn is_uuid(text: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, u8)| match dash(at) {
        true => byte == b'-',
        false => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok()
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_valid_and_refuse_invalid_values() {
        let rows: &[(&str, &str, bool)] = &[
            ("date", "2024-02-29", true),
            ("date", "2023-02-29", false),
            ("date", "1900-02-29", false),
            ("date", "2000-02-29", true),
            ("date", "2024-13-01", false),
            ("date", "2024-00-01", false),
            ("date", "2024-1-01", false),
            ("date", "2024-01-0a", false),
            ("date-time", "2024-01-01T00:00:00Z", true),
            ("date-time", "2024-01-01t23:59:60.5+23:59", true),
            ("date-time", "2024-01-01 00:00:00z", true),
            ("date-time", "2024-01-01T00:00:00", false),
            ("date-time", "2024-01-01T24:00:00Z", false),
            ("date-time", "2024-01-01T00:00:00.Z", false),
            ("date-time", "2024-01-01T00:00:00+2:00", false),
            ("date-time", "2024-01-01", false),
            ("date-time", "2024-01-é1T00:00:00Z", false),
            ("uuid", "123E4567-e89b-12d3-a456-426614174000", true),
            ("uuid", "123E4567-e89b-12d3-a456-42661417400", false),
            ("uuid", "123E4567+e89b-12d3-a456-426614174000", false),
            ("ipv4", "192.0.2.1", true),
            ("ipv4", "192.0.2.256", false),
            ("ipv6", "2001:db8::1", true),
            ("ipv6", "2001:db8::1::", false),
        ];
        for (format, text, valid) in rows {
            let check = FORMATS.iter().find(|one| one.name == *format);
            let check = check.and_then(|one| one.check).unwrap();
            assert_eq!(check(text), *valid, "{format} {text}");
        }
    }
}
