//! Response to a scrape of `/metrics`: its format and compression, as the request prefers them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, VARY,
};

use super::replies::{Reply, whole};
use crate::metrics::openmetrics;
use crate::metrics::registry::Registry;

/// Media type of the text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Specificity of a range that names a value.
const NAMED: u8 = 2;

/// All metrics in the format that the request prefers (RFC 9110 §12.5.1): OpenMetrics, or the text
/// format of Prometheus by default. With `Accept-Encoding: gzip` they are compressed.
pub(super) fn metrics(registry: &Registry, request: &HeaderMap) -> Reply {
    let (text, kind) = match prefers_openmetrics(request) {
        true => (
            openmetrics::encode(&registry.collect()),
            openmetrics::MEDIA_TYPE,
        ),
        false => (registry.text(), TEXT),
    };
    let compressed = match prefers_gzip(request) {
        true => compressed(text.as_bytes()),
        false => None,
    };
    let mut reply = match compressed {
        None => whole(text),
        Some(bytes) => {
            let mut reply = whole(bytes);
            let gzip = HeaderValue::from_static("gzip");
            reply.headers_mut().insert(CONTENT_ENCODING, gzip);
            reply
        }
    };
    let fields = reply.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    reply
}

/// True if the request names OpenMetrics, and prefers it to the text format.
fn prefers_openmetrics(request: &HeaderMap) -> bool {
    let quality = |name: &str| quality(request, &ACCEPT, name);
    let Some((specificity, open)) = quality("application/openmetrics-text") else {
        return false;
    };
    let plain = quality("text/plain").map_or(0.0, |(_, plain)| plain);
    // A range such as `*/*` gets the default.
    specificity == NAMED && open > 0.0 && open >= plain
}

/// True if the request accepts gzip, and does not prefer a response without it.
fn prefers_gzip(request: &HeaderMap) -> bool {
    let quality = |name: &str| quality(request, &ACCEPT_ENCODING, name);
    let Some((_, gzip)) = quality("gzip") else {
        return false;
    };
    let identity = quality("identity").filter(|(specificity, _)| *specificity == NAMED);
    gzip > 0.0 && identity.is_none_or(|(_, identity)| gzip >= identity)
}

/// Most specific range of a field such as `Accept` that includes a value, and its quality (RFC 9110
/// §12.4.2, §12.5.1). Of several such ranges, that with the highest quality. Default of the quality:
/// 1; if it is not valid: 0. `None`: no range includes the value.
fn quality(request: &HeaderMap, field: &HeaderName, name: &str) -> Option<(u8, f32)> {
    let values = request.get_all(field).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let items = values.flat_map(|value| value.split(','));
    let fitting = items.filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let specificity = specificity(parts.next()?, name)?;
        let quality = parts.find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        let quality: f32 = quality.map_or(1.0, |text| text.parse().unwrap_or(0.0));
        Some((specificity, quality))
    });
    fitting.max_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)))
}

/// Specificity of a range of a field for a value: [`NAMED`] for the value itself, 1 for all subtypes
/// of its type, 0 for everything. `None`: the range does not include the value.
fn specificity(range: &str, name: &str) -> Option<u8> {
    if range.eq_ignore_ascii_case(name) {
        return Some(NAMED);
    }
    if matches!(range, "*" | "*/*") {
        return Some(0);
    }
    let (kind, _) = name.split_once('/')?;
    let of = range.strip_suffix("/*")?;
    of.eq_ignore_ascii_case(kind).then_some(1)
}

/// The bytes in gzip. The fastest level: a scrape of a large gateway has many megabytes.
fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.clone(), value.parse().unwrap())])
    }

    #[test]
    fn quality_is_that_of_the_most_specific_range() {
        for (value, expected) in [
            ("text/plain", Some((2, 1.0))),
            ("a/b;q=0.5, text/plain;version=0.0.4;q=0.3", Some((2, 0.3))),
            ("text/plain; q=0", Some((2, 0.0))),
            ("text/plain; q=x", Some((2, 0.0))),
            (
                "text/plain;q=0.1, TEXT/plain;version=1;q=0.4, */*",
                Some((2, 0.4)),
            ),
            ("*/*;q=0.2, text/*;q=0.1", Some((1, 0.1))),
            ("*/*;q=0.2, texts/*;q=0.1", Some((0, 0.2))),
            ("text/plains", None),
            ("", None),
        ] {
            let found = quality(&fields(&ACCEPT, value), &ACCEPT, "text/plain");
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn openmetrics_is_sent_if_named_and_preferred() {
        for (value, expected) in [
            ("application/openmetrics-text", true),
            ("application/openmetrics-text;q=0.5,text/plain;q=0.5", true),
            (
                "application/openmetrics-text;version=0.0.1;q=0, application/openmetrics-text;version=1.0.0",
                true,
            ),
            ("application/openmetrics-text;q=0.1, */*;q=0.9", false),
            ("application/openmetrics-text;q=0.1, text/*;q=0.9", false),
            ("application/openmetrics-text;q=0", false),
            ("*/*", false),
            ("application/*", false),
        ] {
            let request = fields(&ACCEPT, value);
            assert_eq!(prefers_openmetrics(&request), expected, "{value}");
        }
    }

    #[test]
    fn gzip_is_sent_unless_identity_is_preferred() {
        for (value, expected) in [
            ("GZIP, br", true),
            ("*", true),
            ("gzip;q=0.5, *;q=0.9", true),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("gzip;q=0.1, identity", false),
            ("gzip;q=0, *", false),
            ("gzipped", false),
            ("", false),
        ] {
            let request = fields(&ACCEPT_ENCODING, value);
            assert_eq!(prefers_gzip(&request), expected, "{value}");
        }
    }
}
