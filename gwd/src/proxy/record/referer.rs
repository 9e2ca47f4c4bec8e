//! `Referer` in the access log: without user, query and fragment, which may contain credentials.

use http::{HeaderMap, header};

/// Maximum length in the log, in bytes. The rest is left out.
const BYTES_MAX: usize = 512;

/// Value as the log shows it. `hides_paths`: an operation has values in its path that the log
/// hides, so that only the origin is shown. `None`: there is no such field, several, or one that is
/// not a URL in UTF-8.
pub(super) fn shown(headers: &HeaderMap, hides_paths: bool) -> Option<&str> {
    let mut lines = headers.get_all(header::REFERER).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let url = std::str::from_utf8(line.as_bytes()).ok()?;
    let start = url.find("://")? + "://".len();
    let authority = url[start..].find(['/', '\\', '?', '#', ';', '%']);
    let authority = authority.map_or(url.len(), |end| start + end);
    if url[..authority].contains('@') {
        return None;
    }
    let end = match hides_paths || has_user(&url[authority..]) {
        true => authority,
        false => path_end(url, authority),
    };
    Some(&url[..url.floor_char_boundary(end.min(BYTES_MAX))])
}

/// True if the path may contain another URL with a user (`USER:PASSWORD@`).
fn has_user(path: &str) -> bool {
    path.contains('@') || path.contains("%40")
}

/// End of the path that begins at `start`. Some servers read the rest of a path behind `;`, or
/// behind an escaped `?`, `#` or `;`, as another part of the URL.
fn path_end(url: &str, start: usize) -> usize {
    let path = &url[start..];
    let escaped = ["%3f", "%23", "%3b"];
    let marks = path.char_indices().find(|(at, c)| {
        let escape = path.get(*at..*at + 3).unwrap_or_default();
        "?#;".contains(*c) || escaped.iter().any(|one| escape.eq_ignore_ascii_case(one))
    });
    marks.map_or(url.len(), |(at, _)| start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origin_and_path_are_shown() {
        for (value, path, origin) in [
            (
                "https://a.example/b/c",
                "https://a.example/b/c",
                "https://a.example",
            ),
            (
                "https://a.example/b?token=x",
                "https://a.example/b",
                "https://a.example",
            ),
            (
                "https://a.example?token=x",
                "https://a.example",
                "https://a.example",
            ),
            ("https://a/b#token=x", "https://a/b", "https://a"),
            ("https://a/b;sid=x/c", "https://a/b", "https://a"),
            ("https://a/b%3Ftoken=x", "https://a/b", "https://a"),
            ("https://a/http://u:p@h", "https://a", "https://a"),
            ("https://a/u:p%40h?x", "https://a", "https://a"),
            (
                "https://a:8443/%E2%9C%93",
                "https://a:8443/%E2%9C%93",
                "https://a:8443",
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::REFERER, value.parse().unwrap());
            assert_eq!(shown(&headers, false), Some(path), "{value}");
            assert_eq!(shown(&headers, true), Some(origin), "{value}");
        }
    }

    #[test]
    fn other_values_are_not_shown() {
        for value in ["https://u:p@a/b", "/b?c", "about:blank", "b@c"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::REFERER, value.parse().unwrap());
            assert_eq!(shown(&headers, false), None, "{value}");
        }
        let mut headers = HeaderMap::new();
        headers.append(header::REFERER, "https://a/".parse().unwrap());
        headers.append(header::REFERER, "https://b/".parse().unwrap());
        assert_eq!(shown(&headers, false), None, "two");
        let long = format!("https://a/{}", "x".repeat(1_000));
        let mut headers = HeaderMap::new();
        headers.insert(header::REFERER, long.parse().unwrap());
        assert_eq!(shown(&headers, false), Some(&long[..512]));
    }
}
