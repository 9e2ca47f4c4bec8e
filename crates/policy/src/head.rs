//! Request and response heads, as policies see them.

use std::fmt;

use bytes::Bytes;
use http::header::COOKIE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// Request head after gwd's checks of a received request: one host, no hop-by-hop fields, a
/// normalised path. The same values are matched, authorised, logged and forwarded.
#[derive(Clone)]
pub struct RequestHead {
    /// Request method.
    pub method: Method,
    /// Normalised path, and the query as the client sent it.
    pub target: PathAndQuery,
    /// Host in lower case, without port and final dot. Empty if an HTTP/1.0 request has none.
    pub host: Box<str>,
    /// Header fields.
    pub headers: HeaderMap,
    /// True if common upstreams may interpret the path differently. The router then also matches
    /// each of these other paths.
    pub is_ambiguous: bool,
}

impl RequestHead {
    /// The normalised path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The query without `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }
}

/// Names of fields. Leaves out texts that are no names; gwc refuses them.
pub(crate) fn field_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Box<[HeaderName]> {
    let names = names.into_iter();
    names
        .filter_map(|name| HeaderName::try_from(name).ok())
        .collect()
}

/// Joins the lines of a field to one line, with `, ` (RFC 9110 §5.3), or with `; ` for `Cookie`
/// (RFC 9113 §8.2.3). If a field has several lines, servers differ in the line that they use.
pub fn join_lines(headers: &mut HeaderMap, name: &HeaderName) {
    let mut lines = headers.get_all(name).iter();
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return;
    };
    let separator: &[u8] = if *name == COOKIE { b"; " } else { b", " };
    let mut joined = first.as_bytes().to_vec();
    for line in std::iter::once(second).chain(lines) {
        joined.extend_from_slice(separator);
        joined.extend_from_slice(line.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(name, joined);
    }
}

/// Response head on its way to the client.
#[derive(Clone)]
pub struct ResponseHead {
    /// Status code.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
}

/// Names of header fields, for `Debug`. Values are omitted, because they may be credentials.
pub struct FieldNames<'h>(pub &'h HeaderMap);

impl fmt::Debug for FieldNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("host", &self.host)
            .field("path", &self.path())
            .field("headers", &FieldNames(&self.headers))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("headers", &FieldNames(&self.headers))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fmt::Debug;

    use super::*;
    use crate::ask::Answered;
    use crate::auth::FoundCredential;
    use crate::secret::SecretCell;
    use crate::step::Reply;

    #[test]
    fn debug_output_has_no_credentials() {
        let fields = ["authorization", "cookie", "x-key", "set-cookie"];
        let value = HeaderValue::from_static("PLANTED");
        let fields = fields.map(|name| (HeaderName::from_static(name), value.clone()));
        let headers = HeaderMap::from_iter(fields);
        let request = RequestHead {
            method: Method::GET,
            target: PathAndQuery::from_static("/p?key=PLANTED"),
            host: "h".into(),
            headers: headers.clone(),
            is_ambiguous: false,
        };
        let body = Bytes::from_static(b"PLANTED");
        let mut answered = Answered::empty(StatusCode::OK);
        answered.headers = headers.clone();
        answered.body = body.clone();
        let reply = Reply {
            status: StatusCode::OK,
            headers: headers.clone(),
            body,
            refusal: None,
        };
        let response = ResponseHead {
            status: StatusCode::OK,
            headers,
        };
        let cell = SecretCell::new(b"PLANTED".to_vec());
        let credential = FoundCredential::One(Cow::Borrowed(b"PLANTED"));
        let all: [&dyn Debug; 6] = [&request, &response, &reply, &answered, &cell, &credential];
        for one in all {
            let text = format!("{one:?}");
            // The bytes of the secret must not appear as numbers either, in which form `Debug`
            // prints a list of bytes.
            assert!(
                !text.contains("PLANTED") && !text.contains("80, 76"),
                "{text}"
            );
        }
        assert!(format!("{request:?}").contains("authorization"));
    }
}
