//! Responses to browsers: redirects and cookies.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, REFERRER_POLICY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::reject::Reject;
use crate::reply::Reply;

/// Redirect with status 303 to a URL or path (RFC 9110 §15.4.4), to which the browser sends GET.
/// `None` if the location is not a valid field value.
pub(super) fn redirect(location: &str, refusal: Option<&'static Reject>) -> Option<Box<Reply>> {
    let location = HeaderValue::try_from(location).ok()?;
    let no_referrer = HeaderValue::from_static("no-referrer");
    Some(Box::new(Reply {
        status: StatusCode::SEE_OTHER,
        headers: HeaderMap::from_iter([(LOCATION, location), (REFERRER_POLICY, no_referrer)]),
        body: Bytes::new(),
        refusal,
    }))
}

/// Page that opens a path of the same site. After this page, a browser sends cookies with
/// `SameSite=Strict`. After a redirect that another site began, it does not.
pub(super) fn page(path: &str) -> Option<Box<Reply>> {
    let mut escaped = String::with_capacity(path.len());
    for char in path.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            char => escaped.push(char),
        }
    }
    let body = format!(
        "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={escaped}\">\
         <title>Logged in</title><a href=\"{escaped}\">Continue</a>\n"
    );
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let policy = HeaderName::from_static("content-security-policy");
    let closed = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    let no_referrer = HeaderValue::from_static("no-referrer");
    Some(Box::new(Reply {
        status: StatusCode::OK,
        headers: HeaderMap::from_iter([
            (CONTENT_TYPE, html),
            (policy, closed),
            (REFERRER_POLICY, no_referrer),
        ]),
        body: Bytes::from(body),
        refusal: None,
    }))
}

/// Response with status 200 and one line of text.
pub(super) fn text(text: &'static str) -> Box<Reply> {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Box::new(Reply {
        status: StatusCode::OK,
        headers: HeaderMap::from_iter([(CONTENT_TYPE, plain)]),
        body: Bytes::from_static(text.as_bytes()),
        refusal: None,
    })
}

/// `SameSite` of a cookie (RFC 6265bis).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SameSite {
    Lax,
    Strict,
}

/// Value of `Set-Cookie` with the attributes that the prefix `__Host-` requires. A lifetime of 0
/// removes the cookie.
pub(super) fn cookie(
    name: &str,
    value: &str,
    lifetime_s: u64,
    same_site: SameSite,
) -> Option<HeaderValue> {
    let same_site = match same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
    };
    let text = format!(
        "{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={lifetime_s}"
    );
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
