//! Metadata of an OpenID provider (OpenID Connect Discovery 1.0 §3): the endpoints of a login.

use std::sync::Arc;

use crate::auth::jwt::json::{self, Json, Object};
use crate::endpoint::Endpoint;
use crate::key_cell::{KeySet, Keys};

/// Endpoints that the metadata of a provider names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) issuer: Box<str>,
    pub(super) authorization: Box<str>,
    pub(super) token: Option<Box<str>>,
    pub(super) end_session: Option<Box<str>>,
    /// True if the client secret must be sent in the form, because the token endpoint does not
    /// accept Basic authentication.
    pub(super) secret_in_form: bool,
    /// True if each authorization response has `iss` (RFC 9207 §3).
    pub(super) names_issuer: bool,
}

impl Metadata {
    /// Provider's metadata in the content of a key cell. `None` if the cell contains keys.
    pub(super) fn of(set: &KeySet) -> Option<&Self> {
        set.keys.downcast_ref()
    }
}

/// Parses a provider's metadata, to be stored in a cell.
///
/// # Errors
/// Text of the reason why no login is possible with the metadata.
pub(super) fn read(metadata: &[u8]) -> Result<Keys, &'static str> {
    parse(metadata).map(|metadata| -> Keys { (Arc::new(metadata), 1) })
}

fn parse(metadata: &[u8]) -> Result<Metadata, &'static str> {
    let all = json::object(metadata).map_err(|_| "the metadata is not a JSON object")?;
    let text = |name: &str| all.get(name).and_then(Json::as_text);
    // Parses the URL of a page of the provider to which browsers are redirected.
    let page = |name: &str| {
        let url = text(name).filter(|url| url.bytes().all(|byte| byte.is_ascii_graphic()));
        url.filter(|url| Endpoint::of(url).is_some_and(|it| it.is_safe()))
    };
    let issuer = text("issuer").ok_or("the metadata has no `issuer`")?;
    let authorization = page("authorization_endpoint");
    let authorization =
        authorization.ok_or("the metadata has no usable `authorization_endpoint`")?;
    Ok(Metadata {
        issuer: issuer.into(),
        authorization: authorization.into(),
        token: text("token_endpoint").map(Into::into),
        end_session: page("end_session_endpoint").map(Into::into),
        secret_in_form: is_form_only(&all),
        names_issuer: matches!(
            all.get("authorization_response_iss_parameter_supported"),
            Some(Json::Bool(true))
        ),
    })
}

/// True if the token endpoint accepts the client secret in the form, but not with Basic
/// authentication.
fn is_form_only(all: &Object) -> bool {
    let methods = all.get("token_endpoint_auth_methods_supported");
    let methods = methods.and_then(Json::texts).unwrap_or_default();
    methods.contains(&"client_secret_post") && !methods.contains(&"client_secret_basic")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"issuer":"https://i","authorization_endpoint":"https://i/a",
        "token_endpoint":"https://i/t","end_session_endpoint":"https://i/e",
        "token_endpoint_auth_methods_supported":["client_secret_post"],
        "authorization_response_iss_parameter_supported":true}"#;

    #[test]
    fn endpoints_are_read() {
        let read = parse(FULL.as_bytes()).unwrap();
        assert_eq!(&*read.authorization, "https://i/a");
        assert_eq!(read.end_session.as_deref(), Some("https://i/e"));
        assert!(read.secret_in_form && read.names_issuer);
        let both = FULL.replace("_post\"", "_post\",\"client_secret_basic\"");
        assert!(!parse(both.as_bytes()).unwrap().secret_in_form);
    }

    #[test]
    fn pages_without_encryption_are_not_used() {
        for (from, to) in [
            ("https://i/a", "http://i.example/a"),
            ("https://i/a", "javascript:alert(1)"),
            ("https://i/a", "/a"),
            ("\"issuer\"", "\"other\""),
        ] {
            assert!(parse(FULL.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        let plain = FULL.replace("https://i/e", "http://i.example/e");
        assert_eq!(parse(plain.as_bytes()).unwrap().end_session, None);
        assert!(parse(b"<html>").is_err());
    }
}
