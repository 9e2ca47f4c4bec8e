//! Fuzz targets for signed tokens before the verification of the signature, and for key sets and
//! provider metadata.

use policy::auth::mtls::{PresentedCertificates, Source, canonical, san, spiffe};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use policy::RequestHead;
use policy::auth::dpop::{Proof, ClientUrl};
use policy::auth::hmac_signature::Message;
use policy::auth::jwt::{Algorithm, discovery, json, parse, read_key_set, signed_part};
use serde::de::IgnoredAny;

/// Fuzz target for tokens, DPoP proofs, key sets and provider metadata. A parsed token must contain
/// its signed part and its signature. serde_json must accept each JSON object that the project's
/// parser accepts.
pub fn token(data: &[u8]) {
    if let Ok(token) = parse(data, 64 << 10) {
        let signature = data.strip_prefix(token.signed).and_then(|rest| rest.strip_prefix(b"."));
        // Base64url encodes three bytes as four characters.
        let characters = (token.signature.len() * 4).div_ceil(3);
        assert_eq!(signature.map(<[u8]>::len), Some(characters));
        assert!(signed_part(data).is_some());
        assert!(token.claims.iter().count() <= data.len());
    }
    if let Ok(proof) = Proof::read(data, &[Algorithm::Es256, Algorithm::EdDsa]) {
        assert!(proof.text("jti").is_ok_and(|id| !id.is_empty()));
        assert!(proof.key.fits(Algorithm::Es256) || proof.key.fits(Algorithm::EdDsa));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(url) = ClientUrl::new("https", text, None, "/a".to_owned())
    {
        let same = |path: &str| Some(path.to_owned());
        assert!(url.is(&format!("https://{text}/a?b"), same), "{text}");
        assert!(!url.is(&format!("https://{text}x/a"), same), "{text}");
    }
    if let Ok(keys) = read_key_set(data) {
        assert!((1..=100).contains(&keys.len()));
        assert!(keys.iter().all(|key| !key.material.thumbprint().is_empty()));
    }
    if let Ok(endpoint) = discovery::jwks_uri(data, "https://i") {
        assert_eq!(endpoint.origin, "https://i");
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

/// Sample inputs: tokens, claims, a key set and metadata.
pub(crate) fn samples() -> Vec<Vec<u8>> {
    let texts = [
        "eyJhbGciOiJFUzI1NiIsImtpZCI6InAifQ.eyJpc3MiOiJpIn0.DtEhU3ljbEg8L38VWAfUAqOyKAM6",
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODB9.dBjftJeZ4CVP",
        r#"{"iss":"https://i","aud":["a","b"],"exp":1800000300,"nbf":1.5,"o":{"x":[null,true,"\u00e9\ud83d\ude00"]}}"#,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
        r#"{"issuer":"https://i","jwks_uri":"https://i:443/keys?v=1"}"#,
        // RFC 9449 §7.1.
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9",
        "API.example:8443",
        "[::1]:80",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Fuzz target for a value of `Client-Cert`, or a name in a certificate. Parsed names must have the
/// form in which the gateway compares names.
pub fn client_cert(data: &[u8]) {
    let presented = PresentedCertificates::new(Some(data));
    let field = presented.get(Source::Field, Some(data));
    let own = presented.get(Source::Connection, None);
    for certificate in field.into_iter().chain(own).flatten() {
        assert!(certificate.sans().iter().all(|name| san(name).as_deref() == Some(&**name)));
        assert!(certificate.spiffe().is_none_or(|id| spiffe::is_id(id) && spiffe::matches(id, id)));
        assert!(certificate.identity().key.is_some());
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for form in [san, canonical] {
        if let Some(name) = form(text) {
            assert_eq!(form(&name).as_deref(), Some(&*name), "{text:?}");
        }
    }
    if spiffe::is_pattern(text) {
        let all = spiffe::expanded(text);
        assert!(all.iter().all(|one| spiffe::matches(text, one)), "{text:?}");
    }
}

/// Fuzz target for HTTP message signatures (RFC 9421). Input: a request target on the first line,
/// then one header field per line. No value of the request may add a line to the signature base.
pub fn signature(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let target = lines.next().and_then(|line| PathAndQuery::try_from(line).ok());
    let Some(target) = target else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in lines.take(100) {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    let head = RequestHead {
        method: Method::GET,
        target,
        host: "h".into(),
        headers,
        is_ambiguous: false,
    };
    let url = ClientUrl::new("https", "h", None, head.path().to_owned());
    let Ok(bases) = Message::new(&head, None, url).bases() else {
        return;
    };
    for (base, components) in bases {
        let lines: Vec<&[u8]> = base.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), components.len() + 1, "{base:?}");
        let (last, others) = lines.split_last().expect("at least one line");
        assert!(last.starts_with(b"\"@signature-params\": ("), "{base:?}");
        for (line, component) in others.iter().zip(&components) {
            let name = component.split(';').next().unwrap_or_default();
            let start = format!("\"{name}\"");
            assert!(line.starts_with(start.as_bytes()), "{component}");
        }
        for (index, component) in components.iter().enumerate() {
            assert!(!components[..index].contains(component), "{component}");
        }
    }
}

/// Sample inputs: requests with signatures.
pub(crate) fn signed() -> Vec<Vec<u8>> {
    let texts = [
        "/foo?param=Value&Pet=dog\nsignature-input: a=(\"date\" \"@authority\" \"content-type\" \"@query-param\";name=\"Pet\");created=1618884473;keyid=\"k\"\ndate: x\ncontent-type: a/b",
        "/a?x=%C3%A9+1\nsignature-input: a=(\"@method\" \"@target-uri\" \"@scheme\" \"@request-target\" \"@path\" \"@query\" \"@query-param\";name=\"x\"), b=()\nx: 1",
        "/\nsignature-input: a=(\"x-a\";bs \"x-a\";key=\"b\" \"x-a\" \"priority\";sf);nonce=\"n\"\nx-a: a=1\nx-a: b=:AA==:;c=@1\npriority: u=1,  i",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Sample inputs: a certificate as a field value and in DER, and names.
pub(crate) fn certificates() -> Vec<Vec<u8>> {
    let table = include_str!("../../crates/policy/src/auth/mtls/tests/certificates.tsv");
    let lines = table.lines().filter_map(|line| line.split_once('\t'));
    let small = lines.filter(|(_, text)| text.len() < 1_000);
    let fields = small.map(|(_, text)| format!(":{text}:").into_bytes());
    let names = [
        r#"CN=alice,O=Acme\, \"Inc\",1.2.3=#1603616263"#,
        "spiffe://example.org/ns/*/sa/**",
        "Alice@Example.org",
    ];
    let names = names.map(|text| text.as_bytes().to_vec());
    fields.chain(names).collect()
}
