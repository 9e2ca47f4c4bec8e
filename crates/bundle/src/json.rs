//! Canonical JSON: each value has exactly one encoding.
//!
//! Keys are sorted by their bytes. There is no white space, and there are no floats. Integers are
//! below 2^53. Strings have the shortest escapes: `\" \\ \b \f \n \r \t`, `\u00xx` for other
//! control characters, and UTF-8 for everything else. For the ASCII keys used here this equals RFC
//! 8785.
//!
//! Reading is strict: input is refused unless its value re-encodes to the same bytes. Unknown and
//! duplicate keys, white space, other escapes and other number formats are therefore refused.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::refused::Refused;

/// Largest integer that every JSON parser represents exactly.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Canonical bytes of a value.
///
/// # Errors
/// [`Refused::Malformed`] for a float, or an integer of 2^53 or more.
pub fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, Refused> {
    let value = serde_json::to_value(value)
        .map_err(|_| Refused::malformed(what, "cannot be written as JSON"))?;
    let mut bytes = Vec::new();
    write(what, &value, &mut bytes)?;
    Ok(bytes)
}

/// Decodes canonical JSON.
///
/// # Errors
/// [`Refused::Malformed`] if the bytes are not JSON of this type, [`Refused::NotCanonical`] if the
/// bytes are not the canonical encoding.
pub fn decode<T: Serialize + DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, Refused> {
    let value: T = serde_json::from_slice(bytes).map_err(|error| malformed(what, &error))?;
    if encode(what, &value)? != bytes {
        return Err(Refused::NotCanonical { what });
    }
    Ok(value)
}

/// Error with the category and the column that serde_json reports. Contains no text of the
/// document.
pub(crate) fn malformed(what: &'static str, error: &serde_json::Error) -> Refused {
    Refused::Malformed {
        what,
        why: format!("{} (column {})", category(error), error.column()).into(),
    }
}

fn category(error: &serde_json::Error) -> &'static str {
    use serde_json::error::Category;
    match error.classify() {
        Category::Io => "unreadable",
        Category::Syntax => "not JSON",
        Category::Data => "unknown, missing, repeated or wrongly typed key",
        Category::Eof => "cut short",
    }
}

fn write(what: &'static str, value: &Value, bytes: &mut Vec<u8>) -> Result<(), Refused> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => {
            serde_json::to_writer(&mut *bytes, value).expect("writing to a Vec cannot fail");
        }
        Value::Number(number) => {
            let Some(integer) = number.as_u64().filter(|n| *n <= INTEGER_MAX) else {
                return Err(Refused::malformed(what, "not an integer from 0 to 2^53-1"));
            };
            bytes.extend_from_slice(integer.to_string().as_bytes());
        }
        Value::Array(items) => {
            bytes.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    bytes.push(b',');
                }
                write(what, item, bytes)?;
            }
            bytes.push(b']');
        }
        Value::Object(members) => {
            // Sort here: the order of serde_json's maps depends on a feature that another crate may
            // enable.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            bytes.push(b'{');
            for (position, (key, item)) in members.into_iter().enumerate() {
                if position > 0 {
                    bytes.push(b',');
                }
                serde_json::to_writer(&mut *bytes, key).expect("writing to a Vec cannot fail");
                bytes.push(b':');
                write(what, item, bytes)?;
            }
            bytes.push(b'}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        zeta: u64,
        alpha: String,
        maybe: Option<u64>,
    }

    #[test]
    fn keys_are_sorted_and_strings_shortest() {
        let sample = Sample {
            zeta: 1,
            alpha: "é\"\\\n\u{1}/".into(),
            maybe: None,
        };
        let bytes = encode("sample", &sample).unwrap();
        let text = r#"{"alpha":"é\"\\\n\u0001/","maybe":null,"zeta":1}"#;
        assert_eq!(String::from_utf8_lossy(&bytes), text);
        assert_eq!(decode::<Sample>("sample", &bytes), Ok(sample));
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [
            r#"{"alpha":"","maybe":null,"zeta":1} "#,
            r#"{ "alpha":"","maybe":null,"zeta":1}"#,
            r#"{"alpha":"","zeta":1}"#,
            r#"{"alpha":"","zeta":1,"maybe":null}"#,
            r#"{"alpha":"","alpha":"","maybe":null,"zeta":1}"#,
            r#"{"alpha":"","maybe":null,"other":1,"zeta":1}"#,
            r#"{"alpha":"\u0041","maybe":null,"zeta":1}"#,
            r#"{"alpha":"\/","maybe":null,"zeta":1}"#,
            r#"{"alpha":"","maybe":null,"zeta":1.0}"#,
            r#"{"alpha":"","maybe":null,"zeta":1e0}"#,
            r#"{"alpha":"","maybe":null,"zeta":-1}"#,
            r#"{"alpha":"","maybe":null,"zeta":9007199254740992}"#,
            r#"{"alpha":"","maybe":null,"zeta":1}{}"#,
            r"[]",
            "",
            "\u{feff}{}",
        ] {
            assert!(decode::<Sample>("sample", bad.as_bytes()).is_err(), "{bad}");
        }
        let most = r#"{"alpha":"","maybe":9007199254740991,"zeta":0}"#;
        assert!(decode::<Sample>("sample", most.as_bytes()).is_ok());
    }
}
