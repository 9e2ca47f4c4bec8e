//! Finding about security schemes that need client certificates although no listener requests them.
//! An operation requires a certificate, or compares tokens with a certificate. But the listeners of
//! its API neither request client certificates nor trust a proxy that could forward one.

use bundle::ir::{self, ClientAuthMode};
use diag::{Diagnostic, Sink, Span};
use policy::auth::{Checked, mtls};

use super::{Api, Settings, verifiers};
use vocab::lints::CERTIFICATE_NOT_REQUESTED;

/// Reports each scheme whose client certificate no listener requests, once, at its definition.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    for api in apis {
        let listeners: Vec<&ir::Listener> = listeners(settings, api).collect();
        for scheme in &api.schemes {
            let Some(source) = source(settings, api, scheme) else {
                continue;
            };
            if !listeners.iter().any(|one| has_certificates(one, source)) {
                report(api, (scheme, source), sink);
            }
        }
    }
}

fn report(api: &Api, (scheme, source): (&ir::Scheme, mtls::Source), sink: &mut Sink) {
    let written = api.scheme_names.iter();
    let name = written.filter(|(_, canonical)| **canonical == scheme.name);
    let name = name.map(|(name, _)| name).next();
    let defined = api.spec.schemes.iter();
    let defined = defined
        .map(|one| &one.name)
        .find(|one| Some(&one.value) == name);
    let span: Span = defined.map_or(api.span, |name| name.span);
    let name = defined
        .map_or(&*scheme.name, |name| &*name.value)
        .escape_debug();
    let (why, help) = match source {
        mtls::Source::Connection => (
            "no listener of the API requests client certificates",
            "write `tls: {client_auth: {ca: \"${file:PATH}\", mode: optional}}` at the listener",
        ),
        mtls::Source::Field => (
            "no listener of the API trusts a proxy that could send `Client-Cert`",
            "write `trusted_proxies: [10.0.0.0/8]` at the listener",
        ),
    };
    let message = format!("no request has the certificate of `{name}`: {why}");
    sink.push(Diagnostic::new(&CERTIFICATE_NOT_REQUESTED, span, message).help(help));
}

/// Source of the client certificate of a security scheme. `None` if the scheme needs no
/// certificate.
fn source(settings: &Settings, api: &Api, scheme: &ir::Scheme) -> Option<mtls::Source> {
    let verifier = verifiers::of_scheme(settings, api, scheme)?;
    match &verifier.value.checked {
        Checked::Mtls(mtls) => Some(mtls.source()),
        checked => checked.binding().map(|binding| binding.source),
    }
}

fn has_certificates(listener: &ir::Listener, source: mtls::Source) -> bool {
    let client_auth = listener.tls().and_then(|tls| tls.client_auth.as_ref());
    match source {
        mtls::Source::Connection => client_auth.is_some_and(|one| one.mode != ClientAuthMode::Off),
        mtls::Source::Field => !listener.trusted_proxies.is_empty(),
    }
}

/// Listeners that serve an API.
pub(super) fn listeners<'m>(
    settings: &'m Settings,
    api: &'m Api,
) -> impl Iterator<Item = &'m ir::Listener> {
    let names = api.mounts.iter().flat_map(|mount| &mount.value.listeners);
    names.filter_map(|name| {
        let mut listeners = settings.listeners.iter();
        let found = listeners.find(|listener| listener.value.name == *name);
        found.map(|listener| &listener.value)
    })
}
