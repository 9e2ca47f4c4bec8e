//! Subjects of certificates as text (RFC 4514): `CN=alice,O=Acme`, the most specific part first.

use std::fmt::Write as _;

use x509_parser::der_parser::asn1_rs::{Any, ToDer as _};
use x509_parser::x509::X509Name;

/// Short names of attribute types (RFC 4514 §3).
const SHORT: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// Formats a distinguished name. `"`, `\` and everything except printable ASCII are escaped as
/// hexadecimal pairs, so that the name can be quoted.
#[must_use]
pub fn rfc4514(name: &X509Name<'_>) -> String {
    let mut line = String::new();
    let mut parts: Vec<_> = name.iter_rdn().collect();
    parts.reverse();
    for (number, part) in parts.into_iter().enumerate() {
        line.push_str(if number == 0 { "" } else { "," });
        for (number, attribute) in part.iter().enumerate() {
            line.push_str(if number == 0 { "" } else { "+" });
            let kind = attribute.attr_type().to_id_string();
            let short = SHORT.iter().find(|(id, _)| **id == *kind);
            match (short, attribute.as_str()) {
                (Some((_, short)), Ok(text)) => {
                    let _infallible = write!(line, "{short}=");
                    escape(&mut line, text.as_bytes());
                }
                _ => {
                    let _infallible = write!(line, "{kind}=#");
                    hexadecimal(&mut line, attribute.attr_value());
                }
            }
        }
    }
    line
}

/// Converts a distinguished name of the configuration to the form of [`rfc4514`]: types in upper
/// case, no spaces around the parts, the same escapes. `None` for an invalid name.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    let mut line = String::new();
    for (number, part) in unescaped(text, ',').into_iter().enumerate() {
        line.push_str(if number == 0 { "" } else { "," });
        for (number, attribute) in unescaped(part, '+').into_iter().enumerate() {
            line.push_str(if number == 0 { "" } else { "+" });
            let (kind, value) = attribute.split_once('=')?;
            let kind = kind.trim().to_ascii_uppercase();
            let is_id = |kind: &str| {
                let mut numbers = kind.split('.');
                kind.contains('.')
                    && numbers.all(|one| !one.is_empty() && one.bytes().all(|b| b.is_ascii_digit()))
            };
            let is_short = SHORT.iter().any(|(_, short)| *short == kind);
            match value.trim().strip_prefix('#') {
                Some(hex) if is_id(&kind) && is_hexadecimal(hex) => {
                    let _infallible = write!(line, "{kind}=#{}", hex.to_ascii_lowercase());
                }
                None if is_short => {
                    let _infallible = write!(line, "{kind}=");
                    escape(&mut line, &plain(value)?);
                }
                Some(_) | None => return None,
            }
        }
    }
    Some(line)
}

/// Splits a text at the separators that are not escaped.
fn unescaped(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin, mut escaped) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            one if one == separator => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// Decodes an attribute value: removes escapes and surrounding spaces. `None` for an empty value or
/// an invalid escape.
fn plain(value: &str) -> Option<Vec<u8>> {
    let value = value.trim_start_matches(' ').as_bytes();
    let (mut bytes, mut kept, mut at) = (Vec::new(), 0, 0);
    while at < value.len() {
        if value[at] != b'\\' {
            bytes.push(value[at]);
            at += 1;
            kept = if bytes.last() == Some(&b' ') {
                kept
            } else {
                bytes.len()
            };
            continue;
        }
        let digit = |at: usize| char::from(*value.get(at)?).to_digit(16);
        let byte = match (digit(at + 1), digit(at + 2)) {
            (Some(high), Some(low)) => {
                at += 3;
                u8::try_from(high << 4 | low).ok()?
            }
            _ => {
                let special = *value.get(at + 1)?;
                at += 2;
                b" \"#+,;<=>\\".contains(&special).then_some(special)?
            }
        };
        bytes.push(byte);
        kept = bytes.len();
    }
    bytes.truncate(kept);
    (!bytes.is_empty()).then_some(bytes)
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Appends an escaped attribute value (RFC 4514 §2.4).
fn escape(line: &mut String, text: &[u8]) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.iter().copied().enumerate() {
        let _infallible = match byte {
            b'+' | b',' | b';' | b'<' | b'>' => write!(line, "\\{}", char::from(byte)),
            b'#' if at == 0 => write!(line, "\\#"),
            b' ' if at == 0 || at == last => write!(line, "\\ "),
            b'"' | b'\\' => write!(line, "\\{byte:02X}"),
            b' '..=b'~' => write!(line, "{}", char::from(byte)),
            _ => write!(line, "\\{byte:02X}"),
        };
    }
}

/// Appends the DER encoding of an attribute value in hexadecimal (RFC 4514 §2.4).
fn hexadecimal(line: &mut String, value: &Any<'_>) {
    for byte in value.to_der_vec().unwrap_or_default() {
        let _infallible = write!(line, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_subjects_have_one_form() {
        for (written, expected) in [
            ("CN=alice,O=Acme", "CN=alice,O=Acme"),
            ("cn = alice , o=Acme Inc", "CN=alice,O=Acme Inc"),
            (r#"O=Acme\, \"Inc\""#, r"O=Acme\, \22Inc\22"),
            (r"O=Acme\2C Inc", r"O=Acme\, Inc"),
            (r"CN=\ a \ ", r"CN=\ a \ "),
            (r"CN=\#a", r"CN=\#a"),
            (r"CN=a\5Cb", r"CN=a\5Cb"),
            ("CN=é", r"CN=\C3\A9"),
            ("CN=a+UID=1,DC=b", "CN=a+UID=1,DC=b"),
            ("1.2.3=#1603ABCD", "1.2.3=#1603abcd"),
        ] {
            assert_eq!(canonical(written).as_deref(), Some(expected), "{written}");
            assert_eq!(canonical(expected).as_deref(), Some(expected), "{written}");
        }
        for wrong in [
            "",
            "alice",
            "CN=",
            "CN= ",
            "XX=a",
            "CN=a,",
            "CN=a,,O=b",
            r"CN=a\",
            r"CN=a\z",
            "CN=#1601",
            "1.2.3=a",
            "1.2.3=#1",
            "1..3=#16",
        ] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }
}
