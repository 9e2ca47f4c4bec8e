//! Problem responses as HTML pages, for people who follow a link. [`engine::accept`] decides which
//! clients get a page.
//!
//! Nothing that a client has sent stands in a page but the id of its request, which is letters,
//! digits, `.`, `_` and `-`.

use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};

/// A page.
pub(crate) fn page(status: u16, code: &str, title: &str, detail: &str, id: &str) -> String {
    let request = match id {
        "" => String::new(),
        id => format!(", request <code>{id}</code>"),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{status} {title}</title>\n<h1>{title}</h1>\n<p>{detail}</p>\n\
         <p><code>{status} {code}</code>{request}</p>\n</html>\n"
    )
}

/// The fields that a page has beside those of a problem document. It runs nothing and loads
/// nothing.
pub(crate) fn fields(headers: &mut HeaderMap) {
    let text = HeaderValue::from_static;
    headers.insert(CONTENT_TYPE, text("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, text("default-src 'none'"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, text("nosniff"));
    // Caches must not give it to those who want JSON; the other way round does no harm.
    headers.append(VARY, text("accept"));
}
