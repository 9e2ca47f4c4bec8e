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

/// All metrics in the format that the request prefers (RFC 9110 §12.5.1): OpenMetrics, or the text
/// format of Prometheus by default. With `Accept-Encoding: gzip` they are compressed.
pub(super) fn metrics(registry: &Registry, request: &HeaderMap) -> Reply {
    let open = quality(request, &ACCEPT, "application/openmetrics-text");
    let plain = quality(request, &ACCEPT, "text/plain").unwrap_or(0.0);
    let (text, kind) = match open.is_some_and(|open| open > 0.0 && open >= plain) {
        true => (
            openmetrics::encode(&registry.collect()),
            openmetrics::MEDIA_TYPE,
        ),
        false => (registry.text(), TEXT),
    };
    let gzip = quality(request, &ACCEPT_ENCODING, "gzip");
    let compressed = match gzip.is_some_and(|gzip| gzip > 0.0) {
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

/// Quality of the first item of a field with this name, such as a media type: 1 unless the item
/// says another. `None`: the field has no such item.
fn quality(request: &HeaderMap, field: &HeaderName, name: &str) -> Option<f32> {
    let values = request.get_all(field).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut items = values.flat_map(|value| value.split(','));
    items.find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next()?.eq_ignore_ascii_case(name);
        let quality = parts.find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        is_named.then(|| quality.map_or(1.0, |text| text.parse().unwrap_or(0.0)))
    })
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

    #[test]
    fn quality_is_that_of_the_item() {
        for (value, name, expected) in [
            ("text/plain", "text/plain", Some(1.0)),
            (
                "a/b;q=0.5, text/plain;version=0.0.4;q=0.3",
                "text/plain",
                Some(0.3),
            ),
            ("text/plain; q=0", "text/plain", Some(0.0)),
            ("text/plain; q=x", "text/plain", Some(0.0)),
            ("GZIP, br", "gzip", Some(1.0)),
            ("gzipped", "gzip", None),
            ("", "gzip", None),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(ACCEPT, value.parse().unwrap());
            assert_eq!(quality(&fields, &ACCEPT, name), expected, "{value}");
        }
    }
}
