//! `WWW-Authenticate` challenges of refusals (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1).
//!
//! The challenge for a request without a credential has no error code. The challenge for a refused
//! token has `invalid_token`, without the reason. The challenge for a token that lacks a scope has
//! the required scopes.

use bundle::ir;
use http::HeaderValue;
use policy::auth::{Checked, Place};

/// Challenges by kind of refusal, without duplicates.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    /// Challenges for a request without a credential, or with an invalid credential that is not a
    /// token. Certificates have no challenge, because they have no registered authentication
    /// scheme.
    pub(super) missing: Vec<HeaderValue>,
    /// Challenges for a refused token.
    pub(super) invalid: Vec<HeaderValue>,
    /// Challenges for a token without a required scope.
    pub(super) scope: Vec<HeaderValue>,
    /// Challenge for a refused signature of the request.
    pub(super) signature: Vec<HeaderValue>,
    /// Values of `Accept-Signature` (RFC 9421 §5.1): the components that clients should sign.
    pub(super) accept: Vec<HeaderValue>,
    /// Challenge for a refused proof of possession (RFC 9449 §7.1).
    pub(super) proof: Vec<HeaderValue>,
    /// Challenge for a proof that lacks a nonce of the gateway (RFC 9449 §9).
    pub(super) nonce: Vec<HeaderValue>,
}

impl Challenges {
    /// Adds the challenges for one scheme of an alternative. `metadata` is the URL of the protected
    /// resource's metadata (RFC 9728). `None`: the verifier names no URL.
    pub(super) fn add(
        &mut self,
        wanted: &ir::SchemeUse,
        place: &Place,
        (verifier, metadata): (Option<&Checked>, Option<&str>),
    ) {
        let add = |list: &mut Vec<HeaderValue>, text: String| {
            let value = HeaderValue::try_from(text);
            let value = value.unwrap_or(HeaderValue::from_static("ApiKey"));
            if !list.contains(&value) {
                list.push(value);
            }
        };
        let mut plain = plain(place, verifier);
        if let Some(Checked::HmacSignature(signed)) = verifier {
            add(&mut self.signature, plain.clone());
            if let Some(wanted) = signed.accept_signature() {
                add(&mut self.accept, wanted);
            }
        }
        if !verifier.is_some_and(Checked::takes_tokens) {
            add(&mut self.missing, plain.clone());
            add(&mut self.invalid, plain);
            return;
        }
        if let Some(url) = metadata {
            plain.push_str(&format!(", resource_metadata=\"{}\"", quoted(url)));
        }
        let invalid = format!("{plain}, error=\"invalid_token\"");
        if !wanted.scopes.is_empty() {
            let scope = scope_parameter(&wanted.scopes);
            let text = format!("{plain}, error=\"insufficient_scope\"{scope}");
            add(&mut self.scope, text);
        }
        if let Some(Checked::Dpop(_)) = verifier {
            let proof = format!("{plain}, error=\"invalid_dpop_proof\"");
            let nonce = format!("{plain}, error=\"use_dpop_nonce\"");
            add(&mut self.proof, proof);
            add(&mut self.nonce, nonce);
        }
        add(&mut self.missing, plain);
        add(&mut self.invalid, invalid);
    }
}

/// Escapes a text as the content of a quoted string (RFC 9110 §5.6.4).
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Parameter `scope` of a challenge with these scopes. Empty if a scope contains a character that
/// is not allowed in the parameter (RFC 6749 §3.3).
fn scope_parameter(scopes: &[String]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let mut bytes = scopes.iter().flat_map(|scope| scope.bytes());
    match bytes.all(is_plain) {
        true => format!(", scope=\"{}\"", scopes.join(" ")),
        false => String::new(),
    }
}

/// Challenge without an error code. API keys have no registered scheme; their challenge tells
/// developers the location of the key.
fn plain(place: &Place, verifier: Option<&Checked>) -> String {
    match (place, verifier) {
        (_, Some(Checked::Dpop(dpop))) => {
            let mut names: Vec<&str> = dpop.algorithms().iter().map(|one| one.name()).collect();
            if names.contains(&"EdDSA") {
                names.push("Ed25519");
            }
            format!("DPoP realm=\"gateway\", algs=\"{}\"", names.join(" "))
        }
        // These authentication schemes are not registered; the challenges inform developers.
        (Place::Authorization(scheme), Some(Checked::HmacSignature(_))) => {
            format!("{} realm=\"gateway\"", capital(scheme))
        }
        (_, Some(Checked::HmacSignature(_))) => "Signature realm=\"gateway\"".to_owned(),
        // This authentication scheme is not registered; the challenge informs developers.
        (_, Some(Checked::Oidc(_))) => "OpenIdConnect realm=\"gateway\"".to_owned(),
        (_, Some(one)) if one.takes_tokens() => "Bearer realm=\"gateway\"".to_owned(),
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
        (Place::Certificate, _) => "ClientCertificate realm=\"gateway\"".to_owned(),
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
