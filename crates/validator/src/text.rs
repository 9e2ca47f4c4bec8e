//! Percent-encoded texts of paths, queries, forms and cookies (RFC 3986 §2.1).

use std::borrow::Cow;

/// Decodes percent-encoding. An escape without two hexadecimal digits is unchanged. Bytes that are
/// not UTF-8 become U+FFFD.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    decoded(text, plus_is_space, false)
}

/// Decodes a name as System.Web of ASP.NET does: also escapes such as `%u0061`, which are not
/// percent-encoding.
pub(crate) fn decode_unicode(text: &str) -> Cow<'_, str> {
    decoded(text, true, true)
}

/// True if a text has an escape such as `%u0061`.
pub(crate) fn has_unicode(text: &str) -> bool {
    let mut escapes = text.match_indices('%');
    escapes.any(|(at, _)| unit(&text.as_bytes()[at..]).is_some())
}

fn decoded(text: &str, plus_is_space: bool, unicode: bool) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte != b'%' && (byte != b'+' || !plus_is_space);
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    let mut units = Vec::new();
    while let [first, rest @ ..] = bytes {
        while let Some(one) = unit(bytes).filter(|_| unicode) {
            units.push(one);
            bytes = &bytes[UNIT_LENGTH..];
        }
        if !units.is_empty() {
            let text = String::from_utf16_lossy(&units);
            out.extend_from_slice(text.as_bytes());
            units.clear();
            continue;
        }
        bytes = rest;
        match (first, rest) {
            (b'+', _) if plus_is_space => out.push(b' '),
            (b'%', [high, low, rest @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    bytes = rest;
                }
                _ => out.push(b'%'),
            },
            (byte, _) => out.push(*byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Text in folded letter case, to compare names as servers that ignore letter case do. Also folds
/// U+212A and U+017F, which Go reads as `k` and `s`.
pub(crate) fn folded(text: &str) -> Cow<'_, str> {
    let is_folded = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if text.bytes().all(is_folded) {
        return Cow::Borrowed(text);
    }
    let upper = text.chars().flat_map(char::to_uppercase);
    Cow::Owned(upper.flat_map(char::to_lowercase).collect())
}

/// Percent-encodes a text for a path segment or a query: all bytes except unreserved characters (RFC
/// 3986 §2.3).
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Length of an escape such as `%u0061`, in bytes.
const UNIT_LENGTH: usize = 6;

/// UTF-16 code unit of an escape such as `%u0061` at the beginning of a text. `None` without such
/// an escape.
fn unit(text: &[u8]) -> Option<u16> {
    let [b'%', b'u' | b'U', digits @ ..] = text else {
        return None;
    };
    let digits = digits.get(..UNIT_LENGTH - 2)?;
    digits
        .iter()
        .try_fold(0, |value, digit| Some(value << 4 | u16::from(hex(*digit)?)))
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Name and value of each field of a query or form, still encoded. Empty fields are left out.
pub(crate) fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let fields = text.split('&').filter(|field| !field.is_empty());
    fields.map(|field| field.split_once('=').unwrap_or((field, "")))
}

/// Splits a text at a delimiter. `delimiters` are the spellings of the delimiter.
pub(crate) fn split<'t>(text: &'t str, delimiters: &[&str]) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let found = delimiters.iter().find(|one| {
            let head = rest.as_bytes().get(..one.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(one.as_bytes()))
        });
        match found {
            Some(delimiter) => {
                parts.push(&text[begin..at]);
                at += delimiter.len();
                begin = at;
            }
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// Name of a field in lower case, with dots instead of brackets: `a.b` for `a[b]`. `None` for a
/// name without dots and brackets.
pub(crate) fn dotted(name: &str) -> Option<String> {
    if !name.contains(['.', '[']) {
        return None;
    }
    let name = name.replace("[]", "").replace('[', ".").replace(']', "");
    Some(folded(&name).into_owned())
}

/// Name of a field as lenient servers compare it: cut at NUL, trimmed, in lower case, and with `_`
/// instead of dots, blanks and `[`.
pub(crate) fn plain(name: &str) -> String {
    let end = name.find('\0').unwrap_or(name.len());
    let name = name[..end].trim_ascii();
    let separators = name.replace(['.', ' ', '['], "_");
    folded(&separators).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(decode("a%20b%2Fc", false), "a b/c");
        assert_eq!(decode("a+b", true), "a b");
        assert_eq!(decode("a+b", false), "a+b");
        assert_eq!(decode("%2525", true), "%25");
        assert_eq!(decode("100%", true), "100%");
        assert_eq!(decode("%zz%4", true), "%zz%4");
        assert_eq!(decode("%C3%A4%ff", true), "ä\u{fffd}");
    }

    #[test]
    fn unicode_escapes_are_found_and_decoded() {
        assert_eq!(decode_unicode("%u0072ol%65+%uD83D%uDE00"), "role \u{1f600}");
        assert_eq!(decode_unicode("%U00e9%u00%uzzzz"), "\u{e9}%u00%uzzzz");
        assert_eq!(decode("%u0072", true), "%u0072");
        assert!(has_unicode("a%u0061") && !has_unicode("%u006") && !has_unicode("%25u0061"));
    }

    #[test]
    fn delimiters_are_found_in_each_spelling() {
        assert_eq!(split("a,b%2cc", &[",", "%2C"]), ["a", "b", "c"]);
        assert_eq!(split("a,b%2Cc", &[","]), ["a", "b%2Cc"]);
        assert_eq!(split("", &[","]), [""]);
        assert_eq!(split("ä|ö|", &["|"]), ["ä", "ö", ""]);
        let fields: Vec<_> = fields("a=1&&b&c==2").collect();
        assert_eq!(fields, [("a", "1"), ("b", ""), ("c", "=2")]);
    }

    #[test]
    fn letters_that_go_folds_are_one() {
        assert_eq!(folded("\u{212a}ey\u{17f}"), "keys");
        assert_eq!(folded("Stra\u{df}e"), folded("STRASSE"));
        assert!(matches!(folded("plain-1"), Cow::Borrowed(_)));
    }

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(escaped("aZ0-._~"), "aZ0-._~");
        assert_eq!(escaped("a b/c?&%é"), "a%20b%2Fc%3F%26%25%C3%A9");
    }
}
