//! Signed tokens, as far as they are read before their signature is checked.

use policy::auth::jwt::{json, parse, signed_part};
use serde::de::IgnoredAny;

/// A token: what is parsed has its signed part and its signature in it. And the JSON inside: what is
/// read is JSON for another reader, too.
pub fn token(data: &[u8]) {
    if let Ok(token) = parse(data, 64 << 10) {
        let text = [token.signed, b".", token.signature.as_bytes()].concat();
        assert_eq!(text, data);
        assert!(signed_part(data).is_some());
        assert!(token.claims.iter().count() <= data.len());
    }
    if let Ok(object) = json::object(data) {
        let other: Result<IgnoredAny, _> = serde_json::from_slice(data);
        assert!(other.is_ok(), "{:?}", String::from_utf8_lossy(data));
        if let Ok(serde_json::Value::Object(other)) = serde_json::from_slice(data) {
            let own: Vec<&str> = object.iter().map(|(name, _)| name).collect();
            let names: Vec<&String> = other.keys().collect();
            assert_eq!(own, names);
        }
    }
}

/// Tokens and claims.
pub(crate) fn samples() -> Vec<Vec<u8>> {
    let texts = [
        "eyJhbGciOiJFUzI1NiIsImtpZCI6InAifQ.eyJpc3MiOiJpIn0.DtEhU3ljbEg8L38VWAfUAqOyKAM6",
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODB9.dBjftJeZ4CVP",
        r#"{"iss":"https://i","aud":["a","b"],"exp":1800000300,"nbf":1.5,"o":{"x":[null,true,"\u00e9\ud83d\ude00"]}}"#,
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
