//! Logged requests as a listener receives them.

use engine::Snapshot;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Method, Request, Uri};

use super::log_line::LoggedRequest;
use crate::values::Values;
use validator::escaped;

/// Values of requests that a log does not contain.
pub(super) struct Defaults {
    /// Listener of a request whose log line names none. `None`: the first listener.
    pub(super) listener: Option<String>,
    /// Host of a request whose log line names none.
    pub(super) host: String,
}

impl Defaults {
    /// Index of the listener that receives a request. `None` if the side does not have the
    /// listener.
    pub(super) fn listener(
        &self,
        snapshot: &Snapshot,
        request: &LoggedRequest<'_>,
    ) -> Option<usize> {
        let wanted = request.listener.as_deref().or(self.listener.as_deref());
        let Some(name) = wanted else { return Some(0) };
        let mut listeners = snapshot.listeners().iter();
        listeners.position(|one| *one.name == *name)
    }

    /// Head of a request. `None` if the request is malformed.
    pub(super) fn head(&self, request: &LoggedRequest<'_>) -> Option<http::request::Parts> {
        self.of_target(request, request.target.parse().ok()?)
    }

    /// Head of a request with these credentials. Query parameters with the names in `replaced` are
    /// left out: they contain the credentials of the logged request, or stand for them. `None` if
    /// the request is malformed.
    pub(super) fn head_with(
        &self,
        request: &LoggedRequest<'_>,
        values: &Values,
        replaced: &[&str],
    ) -> Option<http::request::Parts> {
        let target = with_query(&request.target, &values.query, replaced);
        let mut parts = self.of_target(request, target.parse().ok()?)?;
        for (name, value) in &values.headers {
            let name: HeaderName = name.parse().ok()?;
            parts
                .headers
                .append(name, HeaderValue::try_from(value).ok()?);
        }
        Some(parts)
    }

    fn of_target(&self, request: &LoggedRequest<'_>, uri: Uri) -> Option<http::request::Parts> {
        let host = request.host.as_deref().unwrap_or(&self.host);
        let request = Request::builder()
            .method(Method::from_bytes(request.method.as_bytes()).ok()?)
            .uri(uri)
            .header(HOST, host);
        Some(request.body(()).ok()?.into_parts().0)
    }
}

/// Target with additional query parameters, and without those that have a name in `replaced`.
fn with_query(target: &str, added: &[(String, String)], replaced: &[&str]) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_kept = |pair: &&str| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        !pair.is_empty()
            && !replaced
                .iter()
                .any(|one| name == *one || name == escaped(one))
    };
    let kept = query.split('&').filter(is_kept).map(str::to_owned);
    let added = added.iter();
    let added = added.map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    let pairs: Vec<String> = kept.chain(added).collect();
    match pairs.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", pairs.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_queries_are_replaced() {
        let added = [("sid".to_owned(), "a b".to_owned())];
        for (target, added, expected) in [
            ("/o", &[][..], "/o"),
            ("/o?a=1&b", &[], "/o?a=1&b"),
            ("/o?sid=REDACTED", &[], "/o"),
            ("/o", &added, "/o?sid=a%20b"),
            ("/o?a=1&sid=REDACTED&sid", &added, "/o?a=1&sid=a%20b"),
            ("/o?sidd=1", &added, "/o?sidd=1&sid=a%20b"),
        ] {
            assert_eq!(with_query(target, added, &["sid"]), expected, "{target}");
        }
    }
}
