//! Requests in lines of access logs. Formats: gwd's own format, the combined format of NGINX and
//! Apache, the default format of Envoy, and JSON lines with the field names of these programs.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr_iter;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Maximum length of a line, in bytes: 1 MiB.
pub const LINE_MAX: usize = 1 << 20;
/// Minimum ratio of a sampled log: a line counts for at most a million requests.
const RATIO_MIN: f64 = 1e-6;

/// Request of an access log. Fields other than `Host` are not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoggedRequest<'l> {
    /// Name of the listener. `None` if the log does not contain the listener.
    pub listener: Option<Cow<'l, str>>,
    /// Name of the consumer. `None` if the log does not contain the consumer, or the caller has
    /// none.
    pub consumer: Option<Cow<'l, str>>,
    /// Security scheme whose credential gwd accepted, by its name in the bundle. `None` if the log
    /// does not contain the scheme, or gwd accepted no credential.
    pub scheme: Option<Cow<'l, str>>,
    /// Scopes of the caller's token, separated by spaces. `None` if the log does not contain them,
    /// or the credential is no token.
    pub scope: Option<Cow<'l, str>>,
    /// Reason of gwd's refusal or failure. `None` if the log does not contain it, or there is none.
    pub reason: Option<Cow<'l, str>>,
    /// Address of the client. `None` if the log does not contain it.
    pub client_ip: Option<Cow<'l, str>>,
    /// HTTP method.
    pub method: Cow<'l, str>,
    /// Host, maybe with a port. `None` if the log does not contain the host.
    pub host: Option<Cow<'l, str>>,
    /// Path, and the query if the log contains it.
    pub target: Cow<'l, str>,
    /// True if the line has a field for the path alone (`uri`) and none for the query. The request
    /// may then have had a query.
    pub lacks_query: bool,
    /// Share of such requests that are in the log, if gwd sampled the log. Range: above 0, below 1.
    /// `None`: the line counts for one request.
    pub sample_ratio: Option<f64>,
}

/// Fields of a JSON line. The first names are gwd's names. The aliases are the names in the usual
/// JSON formats of Envoy and NGINX.
#[derive(Deserialize)]
struct Fields<'l> {
    #[serde(borrow, default)]
    listener: Option<Cow<'l, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    consumer_id: Option<Cow<'l, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    auth_method: Option<Cow<'l, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    scope: Option<Cow<'l, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    reason: Option<Cow<'l, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    client_ip: Option<Cow<'l, str>>,
    #[serde(borrow, default, alias = "method", alias = "request_method")]
    http_method: Option<Cow<'l, str>>,
    #[serde(borrow, default, alias = "authority", alias = ":authority")]
    host: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    path: Option<Cow<'l, str>>,
    /// Target as received, NGINX's variable `request_uri`.
    #[serde(borrow, default, deserialize_with = "text")]
    request_uri: Option<Cow<'l, str>>,
    /// Request line, NGINX's variable `request`.
    #[serde(borrow, default, deserialize_with = "text")]
    request: Option<Cow<'l, str>>,
    /// Path without the query, after decoding and redirects inside NGINX: its variable `uri`.
    /// All other fields with a path take precedence.
    #[serde(borrow, default, deserialize_with = "text")]
    uri: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    query: Option<Cow<'l, str>>,
    /// Query, NGINX's variable `args`.
    #[serde(borrow, default, deserialize_with = "text")]
    args: Option<Cow<'l, str>>,
    /// Query, another name of NGINX's variable `args`. Apache writes a leading `?`.
    #[serde(borrow, default, deserialize_with = "text")]
    query_string: Option<Cow<'l, str>>,
    #[serde(default, deserialize_with = "ratio")]
    sample_ratio: Option<f64>,
}

/// Reads a line. `None` for a line without a request, such as a line about a malformed head.
#[must_use]
pub fn read(line: &[u8]) -> Option<LoggedRequest<'_>> {
    match line.first()? {
        b'{' => of_json(line),
        _ => of_text(line),
    }
}

fn of_json(line: &[u8]) -> Option<LoggedRequest<'_>> {
    let fields: Fields<'_> = serde_json::from_slice(line).ok()?;
    let line = fields.request.as_deref().and_then(request_line);
    let method = fields
        .http_method
        .or_else(|| line.map(|(method, _)| method.to_owned().into()))?;
    let whole = fields
        .path
        .or(fields.request_uri)
        .or_else(|| line.map(|(_, target)| target.to_owned().into()));
    let is_path_alone = whole.is_none();
    let path = whole.or(fields.uri)?;
    let queries = [fields.query, fields.args, fields.query_string];
    let has_query = path.contains('?') || queries.iter().any(Option::is_some);
    let mut queries = queries.iter().flatten().map(|query| query_of(query));
    let query = queries.find(|query| !query.is_empty());
    let target = match query {
        Some(query) if !path.contains('?') => Cow::Owned(format!("{path}?{query}")),
        Some(_) | None => path,
    };
    Some(LoggedRequest {
        listener: fields.listener,
        consumer: fields.consumer_id,
        scheme: fields.auth_method,
        scope: fields.scope,
        reason: fields.reason,
        client_ip: fields.client_ip,
        method,
        host: fields.host.filter(|host| !host.is_empty()),
        target,
        lacks_query: is_path_alone && !has_query,
        sample_ratio: fields.sample_ratio,
    })
}

/// Query of a field, without a leading `?`. Empty for `-`, which NGINX and Apache write for an empty
/// value.
fn query_of(field: &str) -> &str {
    match field {
        "-" => "",
        text => text.strip_prefix('?').unwrap_or(text),
    }
}

/// Reads the ratio of a sampled log. `None` for a value that is no ratio.
fn ratio<'l, D: Deserializer<'l>>(field: D) -> Result<Option<f64>, D::Error> {
    let value = serde_json::Value::deserialize(field)?;
    let ratio = value.as_f64().filter(|ratio| *ratio > 0.0 && *ratio < 1.0);
    Ok(ratio.map(|ratio| ratio.max(RATIO_MIN)))
}

/// Reads a field that is text in gwd's log. `None` for a value of another type: other programs may
/// use the name for something else.
fn text<'l, D: Deserializer<'l>>(field: D) -> Result<Option<Cow<'l, str>>, D::Error> {
    struct Text;

    impl<'l> Visitor<'l> for Text {
        type Value = Option<Cow<'l, str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value")
        }

        fn visit_borrowed_str<E>(self, text: &'l str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Borrowed(text)))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(text.to_owned())))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'l>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }

        fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }

    field.deserialize_any(Text)
}

/// Method and target of a request line (RFC 9112 §3).
fn request_line(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_line = version.starts_with("HTTP/") && words.next().is_none();
    is_line.then_some((method, target))
}

/// Index of the quoted text with the host in Envoy's default format, after the request line,
/// `X-Forwarded-For`, `User-Agent` and `X-Request-Id`.
const ENVOY_HOST: usize = 4;

/// Reads a line with a quoted request line (RFC 9112 §3). A line that begins with `[` has the
/// default format of Envoy.
fn of_text(line: &[u8]) -> Option<LoggedRequest<'_>> {
    let mut quotes = memchr_iter(b'"', line).filter(|at| *at == 0 || line[*at - 1] != b'\\');
    let mut quoted = || {
        let (start, end) = (quotes.next()? + 1, quotes.next()?);
        std::str::from_utf8(line.get(start..end)?).ok()
    };
    let (method, target) = request_line(quoted()?)?;
    let host = match line[0] {
        b'[' => (1..=ENVOY_HOST)
            .filter_map(|_| quoted())
            .nth(ENVOY_HOST - 1),
        _ => None,
    };
    Some(LoggedRequest {
        method: method.into(),
        host: host.filter(|host| *host != "-").map(Cow::Borrowed),
        target: target.into(),
        ..LoggedRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'l>(
        listener: Option<&'l str>,
        method: &'l str,
        host: Option<&'l str>,
        target: &'l str,
    ) -> LoggedRequest<'l> {
        LoggedRequest {
            listener: listener.map(Cow::Borrowed),
            method: method.into(),
            host: host.map(Cow::Borrowed),
            target: target.into(),
            ..LoggedRequest::default()
        }
    }

    #[test]
    fn each_format_has_the_request() {
        let lines = [
            (
                r#"{"timestamp":"x","http_method":"GET","listener":"public","host":"a.test","path":"/o","query":"a=1","status":200}"#,
                request(Some("public"), "GET", Some("a.test"), "/o?a=1"),
            ),
            (
                r#"{"method":"POST","authority":"a.test:81","path":"/o?b=\"","duration":3}"#,
                request(None, "POST", Some("a.test:81"), "/o?b=\""),
            ),
            (
                r#"192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] "GET /o/1?x=%22 HTTP/1.1" 200 5 "http://r/" "curl \"x\"""#,
                request(None, "GET", None, "/o/1?x=%22"),
            ),
            (
                r#"[2026-10-10T13:55:36.000Z] "PUT /o HTTP/2" 200 - 0 5 1 0 "192.0.2.1" "curl" "id" "a.test" "10.0.0.1:80""#,
                request(None, "PUT", Some("a.test"), "/o"),
            ),
        ];
        for (line, expected) in lines {
            assert_eq!(read(line.as_bytes()), Some(expected), "{line}");
        }
    }

    /// Target of a JSON line with the method and these fields, and true if it lacks the query.
    fn target(fields: &str) -> Option<(String, bool)> {
        let line = format!("{{\"request_method\":\"GET\",{fields}}}");
        let request = read(line.as_bytes())?;
        Some((request.target.into_owned(), request.lacks_query))
    }

    #[test]
    fn query_of_a_json_line_has_several_names() {
        for (fields, expected, lacks_query) in [
            (r#""uri":"/o","args":"a=1""#, "/o?a=1", false),
            (r#""uri":"/o","query_string":"a=1""#, "/o?a=1", false),
            (r#""uri":"/o","query_string":"?a=1""#, "/o?a=1", false),
            (r#""path":"/o","query":"","args":"a=1""#, "/o?a=1", false),
            (r#""uri":"/o?a=1","args":"a=1""#, "/o?a=1", false),
            (r#""uri":"/o","args":"""#, "/o", false),
            (r#""uri":"/o","args":"-""#, "/o", false),
            (r#""uri":"/o""#, "/o", true),
            (r#""uri":"/o","args":null"#, "/o", true),
            (r#""path":"/o""#, "/o", false),
            (
                r#""uri":"/o","args":"b=2","request_uri":"/o?a=1""#,
                "/o?a=1",
                false,
            ),
            (
                r#""uri":"/index","request":"GET /o?a=1 HTTP/1.1""#,
                "/o?a=1",
                false,
            ),
        ] {
            let expected = Some((expected.to_owned(), lacks_query));
            assert_eq!(target(fields), expected, "{fields}");
        }
    }

    #[test]
    fn line_of_gwd_has_the_caller() {
        let line = |more: &str| format!("{{\"http_method\":\"GET\",\"path\":\"/o\"{more}}}");
        let given = line(
            r#","consumer_id":"acme","auth_method":"header x-key by keys","scope":"a b","reason":"rate_limited","client_ip":"192.0.2.1""#,
        );
        let known = read(given.as_bytes()).unwrap();
        assert_eq!(known.consumer.as_deref(), Some("acme"));
        assert_eq!(known.scheme.as_deref(), Some("header x-key by keys"));
        assert_eq!(known.scope.as_deref(), Some("a b"));
        assert_eq!(known.reason.as_deref(), Some("rate_limited"));
        assert_eq!(known.client_ip.as_deref(), Some("192.0.2.1"));
        // Other programs use the names for values of other types.
        for value in [
            "null",
            "7",
            "-7",
            "0.5",
            "true",
            "[\"a\", {}]",
            "{\"a\": [1]}",
        ] {
            let names = ["consumer_id", "auth_method", "scope", "reason", "client_ip"];
            let fields = names.map(|name| format!(",\"{name}\":{value}")).concat();
            let line = line(&fields);
            let expected = request(None, "GET", None, "/o");
            assert_eq!(read(line.as_bytes()), Some(expected), "{line}");
        }
    }

    #[test]
    fn ratio_of_a_sampled_line_is_bounded() {
        for (value, expected) in [
            ("0.25", Some(0.25)),
            ("1e-300", Some(1e-6)),
            ("1", None),
            ("0", None),
            ("-0.5", None),
            ("null", None),
            ("\"0.25\"", None),
            ("[0.25]", None),
        ] {
            let line =
                format!("{{\"http_method\":\"GET\",\"path\":\"/o\",\"sample_ratio\":{value}}}");
            let ratio = read(line.as_bytes()).unwrap().sample_ratio;
            assert_eq!(ratio, expected, "{line}");
        }
    }

    #[test]
    fn lines_without_a_request_are_none() {
        for line in [
            "",
            "{",
            "{}",
            r#"{"reason":"head_invalid","status":400}"#,
            r#"192.0.2.1 - - [x] "-" 400 0"#,
            r#"192.0.2.1 - - [x] "\x16\x03\x01" 400 0"#,
            r#"192.0.2.1 - - [x] "GET /a b HTTP/1.1" 400 0"#,
            "\"",
            "[\"GET / HTTP/1.1",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
