//! Fuzz targets for the scans of bodies (`kind: threat`).

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use policy::threat::{JsonLimits, Scan, XmlLimits};

const SCAN: fn() -> Scan = || Scan {
    policy: "waf".into(),
    logs: false,
    json: Some(JsonLimits {
        depth: 100,
        keys: None,
        items: None,
        key_bytes: None,
        string_bytes: None,
        tokens: None,
    }),
    xml: Some(XmlLimits {
        depth: 100,
        children: None,
        attributes: None,
        name_bytes: None,
        text_bytes: None,
        tokens: None,
    }),
    rules: None,
};

/// True if the scan accepts the body. Checks that a scan byte by byte has the same result as a scan
/// of the whole body.
fn accepts(media_type: &'static str, data: &[u8]) -> bool {
    let value = HeaderValue::from_static(media_type);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
    let run = |size: usize| {
        let mut scanner = SCAN().scanner(&headers).expect("the type has limits");
        let mut parts = data.chunks(size);
        parts.try_for_each(|part| scanner.read(part))?;
        scanner.end()
    };
    let whole = run(data.len().max(1));
    assert_eq!(whole, run(1));
    whole.is_ok()
}

/// Fuzz target for scans of JSON. The scan must accept the same bodies as serde_json, up to a depth
/// of 100. Bodies with unpaired surrogates or with long or large numbers may differ.
pub fn threat_json(data: &[u8]) {
    let accepted = accepts("application/json", data);
    let read = serde_json::from_slice::<serde_json::Value>(data);
    if data.iter().filter(|byte| byte.is_ascii_digit()).count() < 100 {
        let parsed = read.as_ref().is_ok_and(|value| depth(value) <= 100);
        let differs = read.is_err_and(|error| {
            let text = error.to_string();
            // An escape of half a surrogate pair is valid JSON (RFC 8259 §8.2), but not valid
            // Unicode.
            text.contains("surrogate")
                || text.contains("hex escape")
                || text.contains("out of range")
        });
        assert!(accepted == parsed || differs, "{accepted}");
    }
    accepts("application/x-ndjson", data);
}

fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Fuzz target for scans of XML. A body that the scan accepts must contain neither a document type
/// nor a NUL.
pub fn threat_xml(data: &[u8]) {
    if accepts("text/xml", data) {
        assert!(!data.contains(&0));
        let is_declared = |part: &[u8]| part.starts_with(b"<!DOCTYPE");
        // The text `<!DOCTYPE` may stand in a comment, a CDATA section or a processing instruction.
        let hides = data
            .windows(2)
            .any(|two| matches!(two, b"--" | b"<?" | b"[C"));
        assert!(hides || !data.windows(9).any(is_declared));
    }
}
