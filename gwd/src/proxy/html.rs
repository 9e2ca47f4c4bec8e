//! Error pages: problem responses as HTML, for people who follow a link. [`engine::accept`] decides
//! which clients get a page.
//!
//! A page contains no client data except the request id, which has only letters, digits, `.`, `_`
//! and `-`.

use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};

/// Renders the HTML page for a problem.
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

/// Changes the header fields of a problem document to those of an HTML page. The page may run no
/// scripts and load no resources.
pub(crate) fn fields(headers: &mut HeaderMap) {
    let text = HeaderValue::from_static;
    headers.insert(CONTENT_TYPE, text("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, text("default-src 'none'"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, text("nosniff"));
    // Caches must not serve this page to clients that prefer JSON.
    headers.append(VARY, text("accept"));
}
