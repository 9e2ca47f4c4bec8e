//! Parsed content of a signature in any style, before the MAC is verified. Also builds parts of the
//! signed text of the styles `aliyun` and `tencent`.

use http::HeaderMap;

use super::content::Content;
use super::structured::combined;
use super::{Algorithm, Message, Reason};

/// Parsed signature that is not verified yet, with the text that its client signed.
#[derive(Debug)]
pub(super) struct Claim {
    /// Key id.
    pub(super) key_id: String,
    /// Algorithm in the signature. `None` if the signature contains none.
    pub(super) algorithm: Option<Algorithm>,
    /// Time at which the signature was made (Unix time, milliseconds).
    pub(super) created_ms: u64,
    /// Expiry in the signature (Unix time, seconds). `None` if the signature contains none.
    pub(super) expires_s: Option<u64>,
    /// Nonce of the signature. A key may use each nonce once.
    pub(super) nonce: Option<String>,
    /// Digests of the content that the signature covers. `None` if the signature covers no content.
    pub(super) content: Option<Content>,
    /// Text that was signed.
    pub(super) text: Vec<u8>,
    /// Identifiers of the covered components.
    pub(super) covered: Vec<String>,
    /// The MAC.
    pub(super) mac: Vec<u8>,
}

/// Value of a field that must not occur twice. `None` if the field is absent.
///
/// # Errors
/// The field occurs twice, is longer than 8 KiB, or is not ASCII.
pub(super) fn unique<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Reason> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Reason::Malformed),
        (Some(line), None) if line.len() > super::structured::BYTES_MAX => Err(Reason::TooLarge),
        (Some(line), None) => match line.to_str() {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(Reason::Malformed),
        },
    }
}

/// Value of a field: its lines, joined by commas. `None` if the field is absent.
///
/// # Errors
/// The value is not ASCII.
pub(super) fn field(headers: &HeaderMap, name: &str) -> Result<Option<String>, Reason> {
    let Some(value) = combined(headers, name) else {
        return Ok(None);
    };
    let is_plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    match value.iter().all(is_plain) {
        true => Ok(String::from_utf8(value.into_owned()).ok()),
        false => Err(Reason::Component),
    }
}

/// Path with the decoded query parameters, sorted by name. A parameter with an empty value has no
/// `=`.
///
/// # Errors
/// A different query would have the same signed text. A name occurs twice, a decoded name or value
/// contains a separator, or the query contains an unescaped `;` or `%`.
pub(super) fn sorted_target(message: &Message<'_>) -> Result<String, Reason> {
    let query = message.target.query().unwrap_or_default();
    let mut parameters: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if pair.contains(';') || !has_only_escapes(pair) {
            return Err(Reason::Component);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        let is_clear = !name.is_empty() && !name.contains(['=', '&']) && !value.contains('&');
        if !is_clear || parameters.iter().any(|(other, _)| *other == name) {
            return Err(Reason::Component);
        }
        parameters.push((name, value));
    }
    parameters.sort_unstable();
    let mut text = message.path().into_owned();
    for (index, (name, value)) in parameters.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(name);
        if !value.is_empty() {
            text.push('=');
            text.push_str(value);
        }
    }
    Ok(text)
}

/// True if two hexadecimal digits follow each `%`.
fn has_only_escapes(text: &str) -> bool {
    let mut escapes = text.split('%').skip(1);
    escapes.all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn decoded(text: &str) -> Result<String, Reason> {
    let bytes = crate::auth::place::decode(text).into_owned();
    String::from_utf8(bytes).map_err(|_| Reason::Component)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::RequestHead;

    /// The styles `aliyun` and `tencent` sign decoded parameters. A query that servers can read in
    /// different ways must therefore be refused.
    #[test]
    fn query_with_the_text_of_another_is_refused() {
        let text = |target: &str| {
            let head = RequestHead {
                is_ambiguous: false,
                method: Method::GET,
                target: target.parse().unwrap(),
                headers: HeaderMap::new(),
                host: "h".into(),
            };
            sorted_target(&Message::new(&head, None, None))
        };
        assert_eq!(text("/p?b=2&a=x%3Bc=1"), Ok("/p?a=x;c=1&b=2".to_owned()));
        assert_eq!(text("/p?a=%25u0061"), Ok("/p?a=%u0061".to_owned()));
        for target in [
            "/p?a=x;c=1",
            "/p?a;c=1",
            "/p?a=%u0061",
            "/p?a=5%",
            "/p?a=1&a=2",
        ] {
            assert!(text(target).is_err(), "{target}");
        }
    }
}
