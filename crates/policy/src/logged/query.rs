//! Queries for logs and reports, without credentials and other hidden values.

use std::ops::Range;
use std::sync::LazyLock;

use super::form::{LogForm, shown_path};
use super::names::{LoggedParameters, MemberNames, SecretParameters};
use crate::auth::{decode_query, without_equals};

/// Query parameters that contain a credential in some APIs and are therefore never shown.
const SECRET_PARAMETERS: [&str; 20] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "client_assertion",
    "client_secret",
    "code",
    "id_token",
    "jwt",
    "key",
    "password",
    "refresh_token",
    "secret",
    "session",
    "sig",
    "signature",
    "token",
    "x-amz-security-token",
    "x-amz-signature",
];

/// Table of [`SECRET_PARAMETERS`].
static SECRET_NAMES: LazyLock<MemberNames> =
    LazyLock::new(|| MemberNames::resembling(SECRET_PARAMETERS.iter().map(|name| name.as_bytes())));

/// Parameters whose values logs do not show in the default form: those of security schemes, and
/// those of the operation.
pub type HiddenParameters<'p> = (&'p SecretParameters, &'p LoggedParameters);

/// True if values of a parameter with this name are hidden by default, because the name is usual
/// for credentials.
#[must_use]
pub fn is_secret_parameter(name: &str) -> bool {
    SECRET_NAMES.find(name.as_bytes()).is_some()
}

/// Returns a query in which the values of credentials, and of parameters that logs do not show, are
/// replaced by the results of `hide`. `hide` gets the form and the value. Credentials are the
/// parameters in `names` and in [`SECRET_PARAMETERS`], and parameters whose names some servers
/// treat as equal to these. `parameters` are the operation's parameters with a form for logs.
/// `None` if the query has no value to hide.
#[must_use]
pub fn shown_query(
    query: &str,
    (names, parameters): HiddenParameters<'_>,
    hide: impl Fn(LogForm, &str) -> String,
) -> Option<String> {
    let form = |name: &str| form_in_query(&decode_query(name), (names, parameters));
    let mut pairs = query.split('&');
    if pairs.all(|pair| secret_value(pair, form).is_none()) {
        return None;
    }
    let mut shown = String::with_capacity(query.len());
    for (number, pair) in query.split('&').enumerate() {
        if number > 0 {
            shown.push('&');
        }
        match secret_value(pair, form) {
            Some((name, (form, is_inner))) => {
                let own = &pair[name.clone()];
                let inner = own.find(['[', '.', '%']).filter(|_| is_inner);
                shown.push_str(&pair[..name.start + inner.unwrap_or(own.len())]);
                if inner.is_some() {
                    shown.push_str("[REDACTED]");
                }
                shown.push('=');
                shown.push_str(&hide(form, &pair[name.end + 1..]));
            }
            None => shown.push_str(pair),
        }
    }
    Some(shown)
}

/// Form in which logs show the values of a query parameter, given its decoded name. The flag is true
/// for a member of a redacted object, whose name may be data of the client. `None`: as sent.
fn form_in_query(
    name: &[u8],
    (names, parameters): HiddenParameters<'_>,
) -> Option<(LogForm, bool)> {
    // Also hide the value if the decoded name still has an escape or is not UTF-8: a server could
    // decode the name to that of a credential.
    if name.contains(&b'%') || std::str::from_utf8(name).is_err() || names.has(name) {
        return Some((LogForm::Redact, false));
    }
    if let Some(own) = parameters.own_form(name) {
        // Names inside a redacted object may be data of the client.
        let is_inner = own.form == LogForm::Redact && has_inner_name(name, &own.name);
        return (own.form != LogForm::Keep).then_some((own.form, is_inner));
    }
    let is_known = SECRET_NAMES.find(name).is_some();
    is_known.then_some((LogForm::Redact, false))
}

/// Form in which logs show the values of a query parameter of a security scheme, or of an operation
/// that hides it. Usual names of credentials are not hidden here. `None`: as sent.
pub(crate) fn own_form_in_query(
    name: &str,
    (names, parameters): HiddenParameters<'_>,
) -> Option<LogForm> {
    // A server could decode the name to that of a credential.
    if name.contains('%') || names.has(name.as_bytes()) {
        return Some(LogForm::Redact);
    }
    let own = parameters.own_form(name.as_bytes())?;
    (own.form != LogForm::Keep).then_some(own.form)
}

/// Part of a path behind the first `;`, or behind an escape of `;`, `?` or `#`. Some servers read
/// this part as the query. `None` if the part has no value that logs hide. `values`: as for
/// [`shown_query`].
#[must_use]
pub fn query_in_path(path: &str, values: HiddenParameters<'_>) -> Option<(Range<usize>, LogForm)> {
    // Most paths contain neither `;` nor `%`.
    path.bytes().position(|byte| matches!(byte, b';' | b'%'))?;
    let marks = [";", "%3B", "%3b", "%3F", "%3f", "%23"].into_iter();
    let ends = marks.filter_map(|mark| Some(path.find(mark)? + mark.len()));
    let start = ends.min()?;
    shown_query(&path[start..], values, |_, _| String::new())?;
    Some((start..path.len(), LogForm::Redact))
}

/// Request target in which `hidden` replaces the values that logs do not show. Replaces values in
/// the query, and in a part of the path that servers read as the query. `values`: as for
/// [`shown_query`].
#[must_use]
pub fn shown_target(target: &str, values: HiddenParameters<'_>, hidden: &str) -> String {
    let hide = |_, _: &str| hidden.to_owned();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut shown = shown_path(
        path,
        query_in_path(path, values).into_iter().collect(),
        hide,
    );
    if let Some(query) = query {
        shown.push('?');
        match shown_query(query, values, hide) {
            Some(query) => shown.push_str(&query),
            None => shown.push_str(query),
        }
    }
    shown
}

/// True if a decoded name is the name of a member of the object `parameter`, as `a[b]` for `a`.
fn has_inner_name(name: &[u8], parameter: &str) -> bool {
    let is_list = name
        .strip_suffix(b"[]")
        .is_some_and(|name| !name.contains(&b'['));
    name != parameter.as_bytes() && !is_list && name.iter().any(|byte| b"[.".contains(byte))
}

/// Byte range of the first name with a form in `pair`, and the form. `pair` is a part of the query
/// between `&`. The value of the name extends to the end of `pair` even if it contains `;`, because
/// only some servers separate parameters at `;`. A value can be a URL with a query of its own.
fn secret_value<F>(pair: &str, form: impl Fn(&str) -> Option<F>) -> Option<(Range<usize>, F)> {
    let mut start = 0;
    for part in pair.split([';', '?']) {
        let bare = without_equals(part);
        let before = start + part.len() - bare.len();
        if let Some((name, _)) = bare.split_once('=')
            && let Some(form) = form(name)
        {
            return Some((before..before + name.len(), form));
        }
        start += part.len() + 1;
    }
    let (name, value) = pair.split_once('=')?;
    Some((0..name.len(), inner_form(value, form)?))
}

/// Form of a parameter inside of an encoded value, such as a URL with a query. `None`: the value has
/// no such parameter.
fn inner_form<F>(value: &str, form: impl Fn(&str) -> Option<F>) -> Option<F> {
    // Most values contain no escaped `=`.
    if !value.contains("%3D") && !value.contains("%3d") {
        return None;
    }
    let decoded = decode_query(value);
    let decoded = String::from_utf8_lossy(&decoded);
    let mut parts = decoded.split(['?', '&', ';', '#']);
    parts.find_map(|part| form(part.split_once('=')?.0))
}

#[cfg(test)]
mod tests {
    use super::{query_in_path, shown_query, shown_target};
    use crate::logged::{
        LogForm, LoggedLocation, LoggedParameter, LoggedParameters, REDACTED, SecretParameters,
    };

    #[test]
    fn secrets_behind_a_semicolon_are_hidden() {
        let names = SecretParameters::new(&["sid"]);
        let shown = |path: &'static str| {
            let hidden = query_in_path(path, (&names, LoggedParameters::none()));
            hidden.map_or(path, |(range, _)| &path[..range.start])
        };
        for (path, expected) in [
            ("/a;v=1/b", "/a;v=1/b"),
            ("/a;sid=x", "/a;"),
            ("/a;v=1;token=x/b", "/a;"),
            ("/a;v=1/b;token=x", "/a;"),
            ("/a%3Btoken=x", "/a%3B"),
            ("/a%3Fb=1&api_key=x;c", "/a%3F"),
            ("/a/token=x", "/a/token=x"),
        ] {
            assert_eq!(shown(path), expected, "{path}");
        }
    }

    #[test]
    fn targets_are_shown_without_secrets() {
        let names = SecretParameters::new(&["sid"]);
        for (target, expected) in [
            ("/a", "/a"),
            ("/a?b=1", "/a?b=1"),
            ("/a?sid=x&b=1", "/a?sid=(hidden)&b=1"),
            ("/a;sid=x?b=1", "/a;(hidden)?b=1"),
            ("/a;v=1?", "/a;v=1?"),
        ] {
            assert_eq!(
                shown_target(target, (&names, LoggedParameters::none()), "(hidden)"),
                expected
            );
        }
    }

    #[test]
    fn secrets_in_queries_are_not_shown() {
        let names = SecretParameters::new(&["sid"]);
        let shown = |query: &str| {
            shown_query(query, (&names, LoggedParameters::none()), |_, _| {
                REDACTED.to_owned()
            })
        };
        assert_eq!(shown("a=1&filter%5Bname%5D=2&b&token%3Dx"), None);
        for (query, expected) in [
            ("a=1&API_KEY=x&sid=y", "a=1&API_KEY=REDACTED&sid=REDACTED"),
            ("%61pi_key=x", "%61pi_key=REDACTED"),
            ("%u0061pi_key=x", "%u0061pi_key=REDACTED"),
            ("%2561=x&%C1%A1=y", "%2561=REDACTED&%C1%A1=REDACTED"),
            ("a=1;sid=x&b=2", "a=1;sid=REDACTED&b=2"),
            ("sid=x;y&b=2;c", "sid=REDACTED&b=2;c"),
            ("=sid=x&b;==token=y", "=sid=REDACTED&b;==token=REDACTED"),
            ("api.key=x&Sid[]=y", "api.key=REDACTED&Sid[]=REDACTED"),
            ("access-token=x&s.id=y", "access-token=REDACTED&s.id=y"),
            ("[sid]=x&]token]=y", "[sid]=REDACTED&]token]=REDACTED"),
            ("client.secret[0]=x", "client.secret[0]=REDACTED"),
            (
                "user[password]=x&me.token=y",
                "user[password]=REDACTED&me.token=REDACTED",
            ),
            ("pass%00word=x", "pass%00word=REDACTED"),
            ("q=http://x/?sid=y&b=2", "q=http://x/?sid=REDACTED&b=2"),
            ("q=%2Fx%3Fa%3D1%26sid%3Dy&b=2", "q=REDACTED&b=2"),
            ("q=token%3Dx", "q=REDACTED"),
        ] {
            assert_eq!(shown(query).as_deref(), Some(expected), "{query}");
        }
    }

    #[test]
    fn parameters_are_shown_in_their_own_form() {
        let parameter = |name: &str, form| LoggedParameter {
            place: LoggedLocation::Query,
            name: name.to_owned(),
            form,
        };
        let in_path = LoggedParameter {
            place: LoggedLocation::Path,
            ..parameter("q", LogForm::Redact)
        };
        let own = [
            parameter("code", LogForm::Keep),
            parameter("email", LogForm::Redact),
            parameter("who", LogForm::Hash),
            parameter("filter[tax]", LogForm::Redact),
            parameter("sid", LogForm::Keep),
            in_path,
        ];
        let own = LoggedParameters::new(&own);
        let names = SecretParameters::new(&["sid"]);
        let hide = |form: LogForm, value: &str| format!("<{} {value}>", form.word());
        let shown = |query: &str| shown_query(query, (&names, &own), hide);
        assert_eq!(shown("q=1&code=DE"), None);
        for (query, expected) in [
            ("email=a%40b&q=1", "email=<redact a%40b>&q=1"),
            ("Email[]=a;q=1", "Email[]=<redact a;q=1>"),
            ("q=1;email[PLANTED]=a", "q=1;email[REDACTED]=<redact a>"),
            ("email%5BPLANTED%5D[]=a", "email[REDACTED]=<redact a>"),
            ("q=1;who=b", "q=1;who=<hash b>"),
            ("who[name]=b", "who[name]=<hash b>"),
            (
                "model[email]=b&a.Email=c",
                "model[REDACTED]=<redact b>&a[REDACTED]=<redact c>",
            ),
            ("em%00ail=b", "em%00ail=<redact b>"),
            (
                "email%00x=b&e%0Dmail=c",
                "email%00x=<redact b>&e%0Dmail=<redact c>",
            ),
            (
                "a[filter][tax]=b&filter.tax=c&filter[taxes]=d",
                "a[REDACTED]=<redact b>&filter[REDACTED]=<redact c>&filter[taxes]=d",
            ),
            ("emails=b&who.email=c", "emails=b&who[REDACTED]=<redact c>"),
            // Both are redacted although the operation keeps `code` and `sid`: `Code` differs in
            // case, and `sid` is a credential of a security scheme.
            ("Code=x&sid=y", "Code=<redact x>&sid=<redact y>"),
        ] {
            assert_eq!(shown(query).as_deref(), Some(expected), "{query}");
        }
    }
}
