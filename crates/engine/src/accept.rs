//! Content negotiation of problem responses by `Accept` (RFC 9110 §12.5.1). The gateway can write a
//! problem as HTML or as JSON.

use http::header::{ACCEPT, HeaderMap};

/// Maximum number of media ranges in `Accept` that are read. Later ranges are ignored. Browsers
/// send about ten.
const RANGES_MAX: usize = 32;

/// True if `Accept` names `text/html` with a higher weight than JSON, as browsers do. `*/*` and
/// `application/*` count as JSON. `text/*` counts as neither, because browsers name `text/html`.
#[must_use]
pub fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = (Preference::default(), Preference::default());
    let lines = headers.get_all(ACCEPT).iter();
    let lines = lines.map(|line| line.to_str().unwrap_or_default());
    for range in lines.flat_map(|line| line.split(',')).take(RANGES_MAX) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let (preference, exact) = if is("text/html") {
            (&mut html, 2)
        } else if is("application/problem+json") {
            (&mut json, 3)
        } else if is("application/json") {
            (&mut json, 2)
        } else if is("application/*") {
            (&mut json, 1)
        } else if is("*/*") {
            (&mut json, 0)
        } else {
            continue;
        };
        preference.is(exact, parts.find_map(weight).unwrap_or(1_000));
    }
    html.weight > json.weight
}

/// Weight of a media type in `Accept`. The most specific range that matches the type determines the
/// weight.
#[derive(Default)]
struct Preference {
    exact: u8,
    /// Weight in thousandths: 0 to 1000.
    weight: u32,
}

impl Preference {
    fn is(&mut self, exact: u8, weight: u32) {
        if exact >= self.exact {
            *self = Self { exact, weight };
        }
    }
}

/// Weight in a `q` parameter, in thousandths (RFC 9110 §12.4.2). `None` if `parameter` is not a `q`
/// parameter.
fn weight(parameter: &str) -> Option<u32> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, parts) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = parts.len() <= 3 && parts.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = [100, 10, 1].into_iter().zip(parts.bytes());
    let thousandths = thousandths.map(|(place, digit)| place * u32::from(digit.wrapping_sub(b'0')));
    match (whole, digits.then(|| thousandths.sum())) {
        ("0", Some(parts)) => Some(parts),
        ("1", Some(0)) => Some(1_000),
        // A malformed weight counts as 0.
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn html_needs_a_higher_weight_than_json() {
        for (accept, wanted) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("text/html", true),
            ("TEXT/HTML;charset=utf-8", true),
            ("text/*", false),
            ("text/*, application/json;q=0.1", false),
            ("text/*;q=0.1, text/html", true),
            ("application/json;q=0.5, text/html;level=1;q=0.7", true),
            ("*/*;q=0.1, text/html;q=0.2", true),
            (
                "application/problem+json;q=0, application/json, text/html;q=0.1",
                true,
            ),
            ("*/*", false),
            ("", false),
            ("application/json", false),
            ("text/html, application/json", false),
            ("text/html, */*", false),
            ("text/html;q=0", false),
            ("text/html;q=0.8, application/*;q=0.9", false),
            ("text/html;q=2", false),
            ("text/html;q=0.1234", false),
            ("text/html;q=x", false),
            ("text/html;q=0, text/*", false),
            ("image/png", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_html(&headers), wanted, "{accept}");
        }
        let mut lines = HeaderMap::new();
        lines.append(ACCEPT, HeaderValue::from_static("text/html"));
        assert!(prefers_html(&lines));
        lines.append(ACCEPT, HeaderValue::from_static("application/json"));
        assert!(!prefers_html(&lines));
        assert!(!prefers_html(&HeaderMap::new()));
        let many = format!("{}text/html", "a,".repeat(RANGES_MAX));
        lines.insert(ACCEPT, HeaderValue::try_from(many).expect("letters"));
        assert!(!prefers_html(&lines));
    }
}
