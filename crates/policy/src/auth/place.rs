//! Place of a credential in a request, as in OpenAPI's security schemes.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName};
use minicbor::{Decode, Encode};

use crate::head::RequestHead;

/// Place of a credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Place {
    /// A request field; the name in lower case.
    #[n(0)]
    Header(#[n(0)] String),
    /// A query parameter.
    #[n(1)]
    Query(#[n(0)] String),
    /// A cookie.
    #[n(2)]
    Cookie(#[n(0)] String),
    /// `Authorization` with this scheme, in lower case (RFC 9110 §11.4).
    #[n(3)]
    Authorization(#[n(0)] String),
    /// The client's certificate; no request carries it.
    #[n(4)]
    Certificate,
}

/// Credentials found at a place.
#[derive(Debug, PartialEq, Eq)]
pub enum Held<'h> {
    /// Nothing.
    Absent,
    /// One credential; percent-decoded where it stands in the query.
    One(Cow<'h, [u8]>),
    /// More than one: nobody can say which counts.
    Several,
}

impl Place {
    /// The credential in a request.
    #[must_use]
    pub fn held<'h>(&self, head: &'h RequestHead) -> Held<'h> {
        match self {
            Self::Header(name) => one(head
                .headers
                .get_all(name.as_str())
                .iter()
                .map(|value| Cow::Borrowed(value.as_bytes()))),
            Self::Query(name) => one(query_values(head.query().unwrap_or_default(), name)),
            Self::Cookie(name) => one(cookie_values(&head.headers, name).map(Cow::Borrowed)),
            Self::Authorization(scheme) => authorization(&head.headers, scheme),
            Self::Certificate => Held::Absent,
        }
    }

    /// Takes the credential out of a request; whether the query changed is told by the result.
    #[must_use]
    pub fn strip_headers(&self, headers: &mut HeaderMap) -> bool {
        match self {
            Self::Header(name) => headers.remove(name.as_str()).is_some(),
            Self::Authorization(_) => headers.remove(AUTHORIZATION).is_some(),
            Self::Cookie(name) => strip_cookie(headers, name),
            Self::Query(_) | Self::Certificate => false,
        }
    }

    /// The query without this credential; none where it is not in it.
    #[must_use]
    pub fn strip_query(&self, query: &str) -> Option<String> {
        let Self::Query(name) = self else { return None };
        let keep: Vec<&str> = query
            .split('&')
            .filter(|pair| decode(pair.split('=').next().unwrap_or_default()) != name.as_bytes())
            .collect();
        let stripped = keep.join("&");
        (stripped.len() != query.len()).then_some(stripped)
    }
}

/// The decoded `user:password` of a Basic credential; none where it is malformed.
#[must_use]
pub fn decode_basic(token: &[u8], base64: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let decoded = base64(token)?;
    (decoded.contains(&b':') && !decoded.iter().any(u8::is_ascii_control)).then_some(decoded)
}

fn one<'h>(mut values: impl Iterator<Item = Cow<'h, [u8]>>) -> Held<'h> {
    match (values.next(), values.next()) {
        (None, _) => Held::Absent,
        (Some(value), None) if value.is_empty() => Held::Absent,
        (Some(value), None) => Held::One(value),
        (Some(_), Some(_)) => Held::Several,
    }
}

fn authorization<'h>(headers: &'h HeaderMap, scheme: &str) -> Held<'h> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Held::Absent;
    };
    if values.next().is_some() {
        return Held::Several;
    }
    let bytes = value.as_bytes();
    let split = bytes.iter().position(|b| *b == b' ').unwrap_or(bytes.len());
    let (said, rest) = bytes.split_at(split);
    let token = rest.trim_ascii();
    if said.eq_ignore_ascii_case(scheme.as_bytes()) && !token.is_empty() {
        Held::One(Cow::Borrowed(token))
    } else {
        Held::Absent
    }
}

fn query_values<'h>(query: &'h str, name: &str) -> impl Iterator<Item = Cow<'h, [u8]>> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name.as_bytes()).then(|| decode(value))
    })
}

fn cookie_values<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h [u8]> {
    let pairs = headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    pairs.filter_map(move |pair| {
        let pair = pair.trim_ascii();
        let split = pair.iter().position(|b| *b == b'=')?;
        (&pair[..split] == name.as_bytes()).then(|| &pair[split + 1..])
    })
}

fn strip_cookie(headers: &mut HeaderMap, name: &str) -> bool {
    if cookie_values(headers, name).next().is_none() {
        return false;
    }
    let kept: Vec<Vec<u8>> = headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| {
            !pair.is_empty() && pair.split(|b| *b == b'=').next() != Some(name.as_bytes())
        })
        .map(<[u8]>::to_vec)
        .collect();
    headers.remove(COOKIE);
    if let Ok(value) = http::HeaderValue::from_bytes(&kept.join(&b"; "[..]))
        && !kept.is_empty()
    {
        headers.insert(HeaderName::from_static("cookie"), value);
    }
    true
}

/// Percent-decoding and `+` for a space, as HTML forms write queries. Names and values of a query
/// are compared in this form everywhere: an upstream decodes them, so that another spelling must
/// not be another parameter here.
#[must_use]
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let digits: Vec<u8> = bytes
                    .clone()
                    .take(2)
                    .filter_map(|b| {
                        char::from(b)
                            .to_digit(16)
                            .and_then(|d| u8::try_from(d).ok())
                    })
                    .collect();
                if let [high, low] = digits[..] {
                    decoded.push(high << 4 | low);
                    bytes.by_ref().take(2).for_each(drop);
                } else {
                    decoded.push(b'%');
                }
            }
            other => decoded.push(other),
        }
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Method};

    fn head(target: &str, fields: &[(&'static str, &'static str)]) -> RequestHead {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        RequestHead {
            is_ambiguous: false,
            method: Method::GET,
            target: target.parse().unwrap(),
            host: "h".into(),
            headers,
        }
    }
    fn held(place: &Place, head: &RequestHead) -> String {
        match place.held(head) {
            Held::Absent => "absent".into(),
            Held::Several => "several".into(),
            Held::One(value) => String::from_utf8_lossy(&value).into_owned(),
        }
    }

    #[test]
    fn credentials_are_found_where_the_scheme_says() {
        let request = head(
            "/p?other=1&api%5Fkey=a%2Bb+c",
            &[
                ("x-key", "k1"),
                ("authorization", "bEaReR  tok"),
                ("cookie", "a=1; sid=s1"),
                ("cookie", "b=2"),
            ],
        );
        let cases = [
            (Place::Header("x-key".into()), "k1"),
            (Place::Header("x-other".into()), "absent"),
            (Place::Query("api_key".into()), "a+b c"),
            (Place::Cookie("sid".into()), "s1"),
            (Place::Authorization("bearer".into()), "tok"),
            (Place::Authorization("basic".into()), "absent"),
        ];
        for (place, expected) in cases {
            assert_eq!(held(&place, &request), expected, "{place:?}");
        }
    }

    #[test]
    fn an_empty_credential_is_absent() {
        let fields = [
            ("x-key", ""),
            ("authorization", "Bearer "),
            ("cookie", "sid="),
        ];
        let request = head("/p?k=&j", &fields);
        for place in [
            Place::Header("x-key".into()),
            Place::Authorization("bearer".into()),
            Place::Cookie("sid".into()),
            Place::Query("k".into()),
            Place::Query("j".into()),
        ] {
            assert_eq!(held(&place, &request), "absent", "{place:?}");
        }
    }

    #[test]
    fn two_credentials_in_one_place_are_told() {
        let request = head(
            "/p?k=1&k=2",
            &[
                ("x-key", "a"),
                ("x-key", "b"),
                ("cookie", "s=1; s=2"),
                ("authorization", "Basic a"),
                ("authorization", "Bearer b"),
            ],
        );
        for place in [
            Place::Header("x-key".into()),
            Place::Query("k".into()),
            Place::Cookie("s".into()),
            Place::Authorization("basic".into()),
        ] {
            assert_eq!(held(&place, &request), "several", "{place:?}");
        }
    }

    #[test]
    fn stripping_leaves_the_rest() {
        let mut request = head("/p?a=1&key=2&b=3", &[("cookie", "a=1; sid=s; b=2")]);
        assert_eq!(
            Place::Query("key".into())
                .strip_query(request.query().unwrap())
                .as_deref(),
            Some("a=1&b=3")
        );
        assert!(Place::Cookie("sid".into()).strip_headers(&mut request.headers));
        assert_eq!(request.headers["cookie"], "a=1; b=2");
    }

    #[test]
    fn a_query_key_in_any_spelling_is_stripped() {
        let place = Place::Query("api key".into());
        for (query, left) in [
            ("api+key=s&b=2", Some("b=2")),
            ("a=1&%61pi%20key=s", Some("a=1")),
            ("a=1&api%20%6bey=s&b=2", Some("a=1&b=2")),
            ("api%20%6Bey", Some("")),
            ("api%2520key=s&b=2", None),
            ("API+key=s", None),
        ] {
            assert_eq!(place.strip_query(query).as_deref(), left, "{query}");
        }
    }
}
