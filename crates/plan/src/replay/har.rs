//! Requests of a HAR file (HTTP Archive 1.2), as browsers export them.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::log_line::LoggedRequest;

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Exchange {
        request: Request,
    },
    /// Entry without a method and a URL.
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Request {
    method: String,
    url: String,
}

/// Parses the requests of a HAR file, in the file's order. `None` if the text is not a HAR file. An
/// entry without a method and an absolute URL is `None` in the list.
#[must_use]
pub fn read(text: &[u8]) -> Option<Vec<Option<LoggedRequest<'static>>>> {
    let har: Har = serde_json::from_slice(without_mark(text)).ok()?;
    let entries = har.log.entries.into_iter();
    let requests = entries.map(|entry| {
        let Request { method, url } = match entry {
            Entry::Exchange { request } => request,
            Entry::Other(IgnoredAny) => return None,
        };
        let url: http::Uri = url.parse().ok()?;
        Some(LoggedRequest {
            method: method.into(),
            host: Some(url.authority()?.as_str().to_owned().into()),
            target: url.path_and_query()?.as_str().to_owned().into(),
            ..LoggedRequest::default()
        })
    });
    Some(requests.collect())
}

/// True if a text begins as a HAR file: with an object whose first key is `log`, an object.
#[must_use]
pub fn is_begun(text: &[u8]) -> bool {
    let mut rest = without_mark(text);
    for token in [&b"{"[..], b"\"log\"", b":", b"{"] {
        match rest.trim_ascii_start().strip_prefix(token) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    true
}

/// Text without the byte order mark at its beginning.
#[must_use]
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_method_host_and_target() {
        let text = br#"{"log": {"version": "1.2", "entries": [
            {"request": {"method": "GET", "url": "https://a.test:8443/o?x=1", "headers": []}},
            {"request": {"method": "GET", "url": "data:text/plain,x"}}]}}"#;
        let requests = read(text).unwrap();
        let first = requests[0].as_ref().unwrap();
        assert_eq!(first.host.as_deref(), Some("a.test:8443"));
        assert_eq!((&*first.method, &*first.target), ("GET", "/o?x=1"));
        assert_eq!(requests[1], None);
        assert_eq!(read(b"{}"), None);
        assert_eq!(read(b""), None);
    }

    #[test]
    fn entry_without_a_url_is_no_request() {
        let text = br#"{"log": {"entries": [{"request": {"method": "GET"}}, null, {"request": 7}, {},
            {"request": {"method": "GET", "url": null}},
            {"request": {"method": "GET", "url": "https://a.test/o", "headers": []}, "time": 0.5}]}}"#;
        let requests = read(text).unwrap();
        let (last, others) = requests.split_last().unwrap();
        assert_eq!(last.as_ref().unwrap().target, "/o");
        assert!(others.len() == 5 && others.iter().all(Option::is_none));
    }

    #[test]
    fn beginning_of_a_har_file_is_known() {
        for begun in [
            "{\"log\":{",
            " { \"log\" :\n{\"entries\"",
            "\u{feff}{\"log\": {}",
        ] {
            assert!(is_begun(begun.as_bytes()), "{begun}");
        }
        for other in [
            "",
            "{",
            "{\"log\": \"text\"}",
            "{\"method\": \"GET\"}",
            "{}",
        ] {
            assert!(!is_begun(other.as_bytes()), "{other}");
        }
    }
}
