//! `WWW-Authenticate` challenges of refusals (RFC 9110 §11.6.1, RFC 6750 §3).
//!
//! A request without a credential gets no error code; a token that is refused gets `invalid_token`
//! and nothing about the reason; one that lacks a scope gets the scopes that it needs.

use bundle::ir;
use http::HeaderValue;
use policy::auth::{Checked, Place};

/// Challenges by kind of refusal, each once.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    /// No credential, or a wrong one that is no token.
    pub(super) missing: Vec<HeaderValue>,
    /// A token that is refused.
    pub(super) invalid: Vec<HeaderValue>,
    /// A token without a scope.
    pub(super) scope: Vec<HeaderValue>,
}

impl Challenges {
    /// Adds the challenges for one scheme of an alternative.
    pub(super) fn add(
        &mut self,
        wanted: &ir::SchemeUse,
        place: &Place,
        verifier: Option<&Checked>,
    ) {
        let add = |list: &mut Vec<HeaderValue>, text: String| {
            let value = HeaderValue::try_from(text);
            let value = value.unwrap_or(HeaderValue::from_static("ApiKey"));
            if !list.contains(&value) {
                list.push(value);
            }
        };
        let plain = plain(place, verifier);
        if !matches!(verifier, Some(Checked::Jwt(_))) {
            add(&mut self.missing, plain.clone());
            add(&mut self.invalid, plain);
            return;
        }
        let invalid = format!("{plain}, error=\"invalid_token\"");
        if !wanted.scopes.is_empty() {
            let scope = scope_parameter(&wanted.scopes);
            let text = format!("{plain}, error=\"insufficient_scope\"{scope}");
            add(&mut self.scope, text);
        }
        add(&mut self.missing, plain);
        add(&mut self.invalid, invalid);
    }
}

/// The scopes as a parameter; nothing if one of them cannot be written (RFC 6749 §3.3).
fn scope_parameter(scopes: &[String]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let mut bytes = scopes.iter().flat_map(|scope| scope.bytes());
    match bytes.all(is_plain) {
        true => format!(", scope=\"{}\"", scopes.join(" ")),
        false => String::new(),
    }
}

/// The challenge without an error. Keys have no registered scheme: the challenge names the place,
/// so that a developer knows what is missing.
fn plain(place: &Place, verifier: Option<&Checked>) -> String {
    match (place, verifier) {
        (_, Some(Checked::Jwt(_))) => "Bearer realm=\"gateway\"".to_owned(),
        (Place::Authorization(scheme), Some(Checked::Basic(basic))) => {
            format!(
                "{} realm=\"{}\", charset=\"UTF-8\"",
                capital(scheme),
                basic.realm().unwrap_or("gateway")
            )
        }
        (Place::Authorization(scheme), _) => capital(scheme),
        (Place::Header(name), _) => format!("ApiKey in=\"header\", name=\"{name}\""),
        (Place::Query(name), _) => format!("ApiKey in=\"query\", name=\"{name}\""),
        (Place::Cookie(name), _) => format!("ApiKey in=\"cookie\", name=\"{name}\""),
        (Place::Certificate, _) => "Mutual".to_owned(),
    }
}

fn capital(scheme: &str) -> String {
    let mut chars = scheme.chars();
    chars
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(chars)
        .collect()
}
