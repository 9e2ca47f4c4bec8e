//! Metadata of an issuer (OpenID Connect Discovery 1.0 §4, RFC 8414 §3): only the URL of its key
//! set is read.

use super::json::{self, Json};
use crate::endpoint::Endpoint;

/// Paths at which an issuer may serve its metadata, in the order in which gwd tries them.
#[must_use]
pub fn paths(issuer: &str) -> [String; 2] {
    let target = Endpoint::of(issuer).map_or(String::new(), |endpoint| endpoint.target);
    let path = target.trim_end_matches('/');
    [
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/oauth-authorization-server{path}"),
    ]
}

/// URL of the key set in an issuer's metadata. The metadata must name `issuer`, and the URL must
/// have the same origin as the issuer.
///
/// # Errors
/// Text of the reason why the metadata cannot be used.
pub fn jwks_uri(metadata: &[u8], issuer: &str) -> Result<Endpoint, &'static str> {
    let metadata = json::object(metadata).map_err(|_| "the metadata is not a JSON object")?;
    if metadata.get("issuer").and_then(Json::as_text) != Some(issuer) {
        return Err("the metadata names another issuer");
    }
    let url = metadata.get("jwks_uri").and_then(Json::as_text);
    let url = url.ok_or("the metadata has no `jwks_uri`")?;
    let endpoint = Endpoint::of(url).ok_or("`jwks_uri` is not a URL")?;
    let own = Endpoint::of(issuer).ok_or("the issuer is not a URL")?;
    match endpoint.origin == own.origin {
        true => Ok(endpoint),
        false => Err("`jwks_uri` is at another origin than the issuer; write it as `jwks_url`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares paths with OpenID Connect Discovery 1.0 §4.1 and RFC 8414 §3.1.
    #[test]
    fn metadata_is_below_and_before_the_issuers_path() {
        for (issuer, first, second) in [
            (
                "https://idp.example",
                "/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server",
            ),
            (
                "https://idp.example/realms/a/",
                "/realms/a/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/realms/a",
            ),
        ] {
            assert_eq!(paths(issuer), [first.to_owned(), second.to_owned()]);
        }
    }

    #[test]
    fn metadata_must_be_the_issuers_own() {
        let read = |issuer: &str, uri: &str| {
            let text = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#);
            jwks_uri(text.as_bytes(), "https://a.example/x")
        };
        let good = read("https://a.example/x", "https://A.example:443/keys").unwrap();
        assert_eq!(
            (good.origin.as_str(), good.target.as_str()),
            ("https://a.example", "/keys")
        );
        for (issuer, uri) in [
            ("https://a.example/x/", "https://a.example/keys"),
            ("https://a.example", "https://a.example/keys"),
            ("https://a.example/x", "https://b.example/keys"),
            ("https://a.example/x", "http://a.example/keys"),
            ("https://a.example/x", "/keys"),
        ] {
            assert!(read(issuer, uri).is_err(), "{issuer} {uri}");
        }
        assert!(jwks_uri(b"{}", "https://a.example/x").is_err());
        assert!(jwks_uri(b"<html>", "https://a.example/x").is_err());
    }
}
