//! Location of a credential in a request, as in OpenAPI's security schemes.

use std::borrow::Cow;
use std::fmt;

use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use minicbor::{Decode, Encode};

use super::spelling::{
    cookie_name, is_cookie_read_as, within_ascii, without, without_invalid_utf8,
};
use crate::head::RequestHead;

/// Location of a credential in a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Place {
    /// Request field, named in lower case.
    #[n(0)]
    Header(#[n(0)] String),
    /// Query parameter.
    #[n(1)]
    Query(#[n(0)] String),
    /// Cookie.
    #[n(2)]
    Cookie(#[n(0)] String),
    /// `Authorization` with this authentication scheme, in lower case (RFC 9110 §11.4).
    #[n(3)]
    Authorization(#[n(0)] String),
    /// Client certificate of the connection; not part of the request.
    #[n(4)]
    Certificate,
}

/// Credential that was found at its location in a request.
#[derive(PartialEq, Eq)]
pub enum FoundCredential<'h> {
    /// No credential.
    Absent,
    /// Exactly one credential. A credential from the query is percent-decoded.
    One(Cow<'h, [u8]>),
    /// More than one credential. The gateway does not know which of them the upstream would use.
    Several,
}

/// Formats the variant without the credential.
impl fmt::Debug for FoundCredential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::One(_) => "One(…)",
            Self::Several => "Several",
        })
    }
}

impl Place {
    /// Finds the credential in a request.
    #[must_use]
    pub fn find<'h>(&self, head: &'h RequestHead) -> FoundCredential<'h> {
        match self {
            Self::Header(name) => one(head
                .headers
                .get_all(name.as_str())
                .iter()
                .map(|value| Cow::Borrowed(value.as_bytes()))),
            Self::Query(name) => one(query_values(head.query().unwrap_or_default(), name)),
            Self::Cookie(name) => one(cookie_values(&head.headers, name).map(Cow::Borrowed)),
            Self::Authorization(scheme) => authorization(&head.headers, scheme),
            Self::Certificate => FoundCredential::Absent,
        }
    }

    /// Removes the credential from the header fields. Returns true if a field changed.
    #[must_use]
    pub fn strip_headers(&self, headers: &mut HeaderMap) -> bool {
        match self {
            Self::Header(name) => headers.remove(name.as_str()).is_some(),
            Self::Authorization(_) => headers.remove(AUTHORIZATION).is_some(),
            Self::Cookie(name) => strip_cookie(headers, name),
            Self::Query(_) | Self::Certificate => false,
        }
    }

    /// Removes this credential from a query. `None` if the query does not contain the credential.
    /// Also removes parameters whose names some servers treat as the same name. A `;` separates
    /// parameters like `&`, because some servers do so.
    #[must_use]
    pub fn strip_query(&self, query: &str) -> Option<String> {
        let Self::Query(wanted) = self else {
            return None;
        };
        without(query, wanted)
    }
}

/// Decodes the `user:password` of a Basic credential. `None` if the credential is malformed.
#[must_use]
pub fn decode_basic(token: &[u8], base64: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let decoded = base64(token)?;
    (decoded.contains(&b':') && !decoded.iter().any(u8::is_ascii_control)).then_some(decoded)
}

fn one<'h>(mut values: impl Iterator<Item = Cow<'h, [u8]>>) -> FoundCredential<'h> {
    match (values.next(), values.next()) {
        (None, _) => FoundCredential::Absent,
        (Some(value), None) if value.is_empty() => FoundCredential::Absent,
        (Some(value), None) => FoundCredential::One(value),
        (Some(_), Some(_)) => FoundCredential::Several,
    }
}

fn authorization<'h>(headers: &'h HeaderMap, scheme: &str) -> FoundCredential<'h> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return FoundCredential::Absent;
    };
    if values.next().is_some() {
        return FoundCredential::Several;
    }
    let bytes = value.as_bytes();
    // The scheme is a token (RFC 9110 §5.6.2), which any other character ends. Lenient servers read
    // `Bearer<tab>TOKEN` as the scheme `Bearer`, so that it must not count as absent.
    let ends = |byte: &u8| !is_token(*byte);
    let split = bytes.iter().position(ends).unwrap_or(bytes.len());
    let (found, rest) = bytes.split_at(split);
    // The scheme is followed by spaces only (RFC 9110 §11.4: 1*SP). Another character is a part of
    // the credential, which no verifier accepts.
    let spaces = rest.iter().take_while(|b| **b == b' ').count();
    let token = rest[spaces..].trim_ascii_end();
    if found.eq_ignore_ascii_case(scheme.as_bytes()) && !token.is_empty() {
        FoundCredential::One(Cow::Borrowed(token))
    } else {
        FoundCredential::Absent
    }
}

/// True for the characters of tokens (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(crate) fn query_values<'h>(query: &'h str, name: &str) -> impl Iterator<Item = Cow<'h, [u8]>> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name.as_bytes()).then(|| decode(value))
    })
}

fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    pairs.map(<[u8]>::trim_ascii)
}

pub(crate) fn cookie_values<'h>(
    headers: &'h HeaderMap,
    name: &str,
) -> impl Iterator<Item = &'h [u8]> {
    cookie_pairs(headers).filter_map(move |pair| {
        let split = pair.iter().position(|b| *b == b'=')?;
        (&pair[..split] == name.as_bytes()).then(|| &pair[split + 1..])
    })
}

/// Decoded value of a cookie, without the quotes around it (RFC 6265 §4.1.1). Some servers decode
/// escapes and remove quotes, and some do not. `None` if the cookie is absent or repeated. Also
/// `None` if some servers treat the name of a different cookie as equal, or read a different value.
/// ASP.NET Core ends a value at a comma, and `http.cookies` of Python at white space or a
/// backslash. Many servers remove white space outside ASCII at the ends of a value (RFC 6265 allows
/// no such bytes).
pub(crate) fn only_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<Cow<'h, [u8]>> {
    let mut found = None;
    for pair in cookie_pairs(headers) {
        let split = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let value = pair.get(split + 1..);
        match (&pair[..split] == name.as_bytes(), value) {
            (true, Some(value)) if found.is_none() => found = Some(value),
            (true, _) => return None,
            (false, _) if is_cookie(cookie_name(pair), name) => return None,
            (false, _) => {}
        }
        if inner_names(pair).any(|inner| is_cookie(inner, name)) {
            return None;
        }
    }
    let value = found?;
    let ends = |byte: &u8| matches!(byte, b',' | b'\\' | 0x0B) || byte.is_ascii_whitespace();
    let mut borders = value.first().into_iter().chain(value.last());
    if value.iter().any(ends) || borders.any(|byte| !byte.is_ascii()) {
        return None;
    }
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let value = quoted.unwrap_or(value);
    Some(std::str::from_utf8(value).map_or(Cow::Borrowed(value), decode))
}

/// Names of the cookies of a request.
pub(crate) fn cookie_names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    cookie_pairs(headers).filter_map(|pair| {
        let split = pair.iter().position(|b| *b == b'=')?;
        Some(&pair[..split])
    })
}

/// Removes the cookie `name` and its parts, whose names are `name` with a `.` and a suffix. Also
/// removes cookies whose names some servers treat as one of these names.
pub fn strip_cookies_of(headers: &mut HeaderMap, name: &str) {
    strip_pairs(headers, |pair| is_part_of(pair, name));
}

/// Removes `Set-Cookie` fields of a response that set the cookie `name` or its parts, as
/// [`strip_cookies_of`] removes them from requests.
pub fn strip_set_cookies_of(headers: &mut HeaderMap, name: &str) {
    let sets = |value: &HeaderValue| {
        let mut parts = value.as_bytes().split(|b| *b == b';');
        is_part_of(parts.next().unwrap_or_default(), name)
    };
    if !headers.get_all(SET_COOKIE).iter().any(sets) {
        return;
    }
    let kept = headers.get_all(SET_COOKIE).iter();
    let kept: Vec<HeaderValue> = kept.filter(|value| !sets(value)).cloned().collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// True if some servers read the cookie `pair` (`NAME=VALUE`) as the cookie `wanted` or as a part
/// of it.
fn is_part_of(pair: &[u8], wanted: &str) -> bool {
    let decoded = decoded_cookie(cookie_name(pair));
    let whole = within_ascii(&decoded);
    let (begin, rest) = whole.split_at_checked(wanted.len()).unwrap_or((whole, b""));
    let is_longer = matches!(rest.first(), Some(b'.' | b'_' | b' ' | b'['));
    is_cookie_read_as(whole, wanted.as_bytes())
        || is_longer && is_cookie_read_as(begin, wanted.as_bytes())
}

/// Removes a cookie, and cookies whose names some servers treat as the same name.
fn strip_cookie(headers: &mut HeaderMap, wanted: &str) -> bool {
    strip_cookies_in(headers, |name| is_cookie_read_as(name, wanted.as_bytes()))
}

/// Removes the cookies for whose percent-decoded names `is_unwanted` returns true. Returns true if
/// a cookie was removed.
pub(super) fn strip_cookies_in(
    headers: &mut HeaderMap,
    is_unwanted: impl Fn(&[u8]) -> bool,
) -> bool {
    strip_pairs(headers, |pair| has_reading(cookie_name(pair), &is_unwanted))
}

/// True if some servers treat the name of a cookie, as written, as equal to `wanted`.
fn is_cookie(name: &[u8], wanted: &str) -> bool {
    has_reading(name, |name| is_cookie_read_as(name, wanted.as_bytes()))
}

/// True if `is_known` is true for the decoded name of a cookie, or for this name without the bytes
/// that are not UTF-8.
fn has_reading(name: &[u8], is_known: impl Fn(&[u8]) -> bool) -> bool {
    let decoded = decoded_cookie(name);
    is_known(&decoded) || without_invalid_utf8(&decoded).is_some_and(|name| is_known(&name))
}

/// Percent-decoded name of a cookie. A name that is not UTF-8 is not decoded.
fn decoded_cookie(name: &[u8]) -> Cow<'_, [u8]> {
    let decoded = std::str::from_utf8(name).map(decode);
    decoded.unwrap_or(Cow::Borrowed(name))
}

/// Names that some servers find inside of a cookie, behind a comma or white space: `b` in
/// `a=1, b=2` and in `a b=2`. ASP.NET Core separates cookies at commas, `http.cookies` of Python at
/// white space. A name can have `=` before it (see [`cookie_name`]).
fn inner_names(pair: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_separator = |byte: &u8| matches!(byte, b',' | 0x0B) || byte.is_ascii_whitespace();
    let mut words = pair.split(is_separator).filter(|word| !word.is_empty());
    if pair.first().is_some_and(|byte| !is_separator(byte)) {
        words.next();
    }
    // Visit each part between separators once: clients choose the length, and a search from each
    // `=` would be quadratic.
    let mut before = None;
    let names = words.flat_map(
        move |word| match word.iter().position(|byte| *byte == b'=') {
            None => {
                before = Some(word);
                [None, None]
            }
            Some(0) => [before.take(), Some(cookie_name(word))],
            Some(at) => {
                before = None;
                [Some(&word[..at]), None]
            }
        },
    );
    names.flatten()
}

/// Removes the cookies for which `is_match` is true, and cookies inside of which some servers find
/// such a cookie (see [`inner_names`]). `is_match` gets a cookie as `NAME=VALUE`, or a name alone.
/// Returns true if a cookie was removed.
fn strip_pairs(headers: &mut HeaderMap, is_match: impl Fn(&[u8]) -> bool) -> bool {
    let is_match = |pair: &[u8]| is_match(pair) || inner_names(pair).any(&is_match);
    if !cookie_pairs(headers).any(&is_match) {
        return false;
    }
    let kept = cookie_pairs(headers).filter(|pair| !pair.is_empty() && !is_match(pair));
    let kept: Vec<Vec<u8>> = kept.map(<[u8]>::to_vec).collect();
    headers.remove(COOKIE);
    if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
        && !kept.is_empty()
    {
        headers.insert(HeaderName::from_static("cookie"), value);
    }
    true
}

/// Decodes percent-escapes, and `+` to a space, as in HTML forms. Names and values of queries are
/// always compared decoded, because upstreams decode them: an escaped name must not be treated as
/// another parameter.
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
    #[test]
    fn inner_names_are_found_in_one_pass() {
        let names = |pair: &str| -> Vec<String> {
            let names = inner_names(pair.as_bytes());
            names
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect()
        };
        assert_eq!(names("a=1, b=2"), ["b"]);
        assert_eq!(names("a b =2 c=d=e"), ["b", "2", "c"]);
        assert_eq!(names(" a=1"), ["a"]);
        assert_eq!(names("a =1,=2, ,"), ["1", "2"]);
        // The time must not be quadratic in the number of `=`.
        assert_eq!(names(&format!("a=1 {}", "=".repeat(30_000))), [""]);
        assert_eq!(names(&format!("a=1 {}", "x=".repeat(30_000))), ["x"]);
    }

    fn found_at(place: &Place, head: &RequestHead) -> String {
        match place.find(head) {
            FoundCredential::Absent => "absent".into(),
            FoundCredential::Several => "several".into(),
            FoundCredential::One(value) => String::from_utf8_lossy(&value).into_owned(),
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
            assert_eq!(found_at(&place, &request), expected, "{place:?}");
        }
    }

    #[test]
    fn only_spaces_precede_a_credential() {
        let bearer = Place::Authorization("bearer".into());
        for (value, expected) in [
            ("Bearer   tok", "tok"),
            ("Bearer \ttok", "\ttok"),
            ("Bearer\ttok", "\ttok"),
            ("Bearer,tok", ",tok"),
            ("Bearer=tok", "=tok"),
            ("Bearers tok", "absent"),
        ] {
            let request = head("/p", &[("authorization", value)]);
            assert_eq!(found_at(&bearer, &request), expected, "{value:?}");
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
            assert_eq!(found_at(&place, &request), "absent", "{place:?}");
        }
    }

    #[test]
    fn two_credentials_in_one_place_are_found() {
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
            assert_eq!(found_at(&place, &request), "several", "{place:?}");
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
    fn cookie_with_several_readings_is_ambiguous() {
        let only = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.append("cookie", HeaderValue::from_bytes(value).unwrap());
            only_cookie(&headers, "sid").map(Cow::into_owned)
        };
        assert_eq!(only(b"sid=a").as_deref(), Some(&b"a"[..]));
        assert_eq!(
            only("sid=a\u{e9}b".as_bytes()).as_deref(),
            Some("a\u{e9}b".as_bytes())
        );
        for value in [
            &b"sid=a\xc2\xa0"[..],
            b"sid=\xe2\x80\x80a",
            b"sid=a\xa0",
            b"sid=\x85a",
            b"sid=a; =sid=b",
            b"sid=a; ==SID",
            b"sid=a; b=c,=sid=b",
        ] {
            assert_eq!(only(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_cookie_in_any_spelling_is_stripped() {
        let place = Place::Cookie("app_sid".into());
        for (cookies, left) in [
            ("a=1; APP_SID=s; b=2", "a=1; b=2"),
            ("app.sid=s;a=1;app%5Fsid=s", "a=1"),
            ("a=1;app_sid[0]=s; app_sid", "a=1"),
            ("a=1; b=2 app_sid=s", "a=1"),
            ("a=1; b=2,App_sid = s; c=\"3\"\tapp_sid=s", "a=1"),
            ("a=1; b app.sid=s", "a=1"),
            ("a=1; b=2, app_sids=3; app_sid=s", "a=1; b=2, app_sids=3"),
            ("app-sid=s; appsid=s", "app-sid=s; appsid=s"),
            ("a=1; =app_sid=s; ==App.sid=s; = app_sid=s", "a=1"),
            ("a=1; b=2,=app_sid=s; b=2 =app_sid=s", "a=1"),
            ("a==app_sid; b=app_sid=s; =c", "a==app_sid; b=app_sid=s; =c"),
            ("a=1; app%FF_sid=s; app_%C3sid=s", "a=1"),
        ] {
            let mut request = head("/", &[("cookie", cookies)]);
            let is_changed = cookies != left;
            assert_eq!(place.strip_headers(&mut request.headers), is_changed);
            assert_eq!(request.headers["cookie"], left);
        }
    }

    #[test]
    fn set_cookies_of_a_session_are_stripped() {
        let mut headers = HeaderMap::new();
        let kept = ["a=1; Path=/", "__Host-sessions=1", "b=__Host-session=1"];
        let gone = [
            "__Host-session=1; Path=/; Secure",
            " __Host-session.1 = x",
            "__host-session.login-abc=1",
            "=__Host-session=1",
            " = =__Host-session=1; Path=/",
            "__Host-session=; Max-Age=0",
            "__Host-session",
        ];
        for value in gone.iter().chain(&kept) {
            headers.append(SET_COOKIE, HeaderValue::from_static(value));
        }
        strip_set_cookies_of(&mut headers, "__Host-session");
        let left: Vec<&HeaderValue> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(left, kept);
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
            ("API+key=s", Some("")),
            ("a=1&api.key=s&b=2", Some("a=1&b=2")),
            ("Api_Key%5B%5D=s&a=1", Some("a=1")),
            ("a=1;api_key=s;b=2&c", Some("a=1;b=2&c")),
            ("api_key=s;b=2&c", Some("c")),
            ("api_key;b=2&c", Some("c")),
            ("[api_key]=s&%5BApi.Key%5D[x]=s&a=1", Some("a=1")),
            (
                "a=1&]api_key=s&api_key]=s&[[api_key]]=s&[]api_key=s&!api_key=s",
                Some("a=1"),
            ),
            ("api-key=s&apikey=s&x[api_key]=s", None),
        ] {
            assert_eq!(place.strip_query(query).as_deref(), left, "{query}");
        }
    }
}
