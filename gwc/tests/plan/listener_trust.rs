//! Tests of listeners that let clients choose who they are: proxies that are newly trusted, and
//! certificates that are newly requested.

use plan::{Section, compare};

use crate::side;

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{mt: []}, {k1: []}]
paths:
  /x: {get: {operationId: x, responses: {\"200\": {description: d}}}}
components:
  securitySchemes:
    mt: {type: mutualTLS, x-gateway: {auth: mt}}
    k1: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: k1}}
";

/// Lines of a plan between two versions of the listener `public`, as `CLASS ID`.
fn between(old: &str, new: &str) -> Vec<String> {
    between_with("mt: {kind: mtls}, ", DOCUMENT, old, new)
}

/// Like [`between`], with other verifiers and another document.
fn between_with(verifiers: &str, document: &str, old: &str, new: &str) -> Vec<String> {
    let tls = "certificates: {m: {cert: \"${file:/c}\", key: \"${file:/k}\"}}";
    let gateway = |public: &str| {
        let public = public.replace("TLS", tls);
        format!(
            "version: 1
name: g
apis: {{a: {{path: api.yaml}}}}
listeners:
  partners: {{address: \"127.0.0.1:8443\", protocol: https, tls: {{{tls}, client_auth: {{ca: \"${{file:/ca}}\", mode: optional}}}}}}
  public: {{address: \"127.0.0.1:8444\", {public}}}
auth: {{{verifiers}k1: {{kind: api_key}}}}
upstreams: {{u: {{targets: {{t: {{url: \"http://127.0.0.1:1\"}}}}}}}}
defaults: {{upstream: u, listeners: [partners, public]}}
"
        )
    };
    let of = |public: &str| side(&[("gateway.yaml", &gateway(public)), ("api.yaml", document)]);
    let plan = compare(Some(&of(old)), &of(new)).expect("both sides build");
    let changes = plan.changes.iter();
    let lines = changes.map(|one| format!("{} {}", one.class.name(), one.id));
    lines.collect()
}

#[test]
fn newly_requested_certificates_are_incomparable() {
    let plain = "protocol: https, tls: {TLS}";
    let with = |mode: &str| {
        format!(
            "protocol: https, tls: {{TLS, client_auth: {{ca: \"${{file:/other}}\", mode: {mode}}}}}"
        )
    };
    let expected = "incomparable client-auth-changed".to_owned();
    for (old, new) in [
        (plain.to_owned(), with("optional")),
        (plain.to_owned(), with("required")),
        (with("off"), with("optional")),
        ("protocol: http".to_owned(), with("optional")),
    ] {
        let lines = between(&old, &new);
        assert!(lines.contains(&expected), "{old} → {new}: {lines:?}");
    }
    let lines = between(&with("optional"), &with("required"));
    assert_eq!(lines, ["strengthen client-auth-changed"]);
}

/// With `verify: upstream`, the gateway checks only that the client has a certificate.
#[test]
fn newly_requested_certificates_satisfy_a_scheme() {
    let document = DOCUMENT.replace("{auth: mt}", "{verify: upstream}");
    let asks = "protocol: https, tls: {TLS, client_auth: {ca: \"${file:/other}\", mode: optional}}";
    let expected = "incomparable client-auth-changed".to_owned();
    for old in ["protocol: https, tls: {TLS}", "protocol: http"] {
        let lines = between_with("", &document, old, asks);
        assert!(lines.contains(&expected), "{old}: {lines:?}");
    }
    // No scheme and no verifier reads a certificate.
    let keys = DOCUMENT.replace("{mt: []}, ", "");
    let at = keys.find("    mt: {").expect("the scheme");
    let end = keys[at..].find('\n').expect("a line") + at + 1;
    let keys = format!("{}{}", &keys[..at], &keys[end..]);
    let lines = between_with("", &keys, "protocol: https, tls: {TLS}", asks);
    assert!(!lines.contains(&expected), "{lines:?}");
    assert!(lines.contains(&"strengthen client-auth-changed".to_owned()));
}

#[test]
fn peers_of_proxy_headers_are_no_forwarding_proxies() {
    let shown = "protocol: http, proxy_protocol: {from: [10.0.0.0/8]}";
    let both = format!("{shown}, trusted_proxies: [10.0.0.0/8]");
    let lines = between(shown, &both);
    let expected = "weaken trusted-proxy-added".to_owned();
    assert!(lines.contains(&expected), "{lines:?}");
    let lines = between(&both, shown);
    let expected = "incomparable trusted-proxy-removed".to_owned();
    assert!(lines.contains(&expected), "{lines:?}");
}

/// Security lines of a plan that adds a listener `further` with these settings to the API, as
/// `CLASS ID`. Lines about all exposed operations and about places of secrets are left out. The
/// API's listener before has `client_auth`.
fn of_further(client_auth: &str, document: &str, further: &str) -> Vec<String> {
    let tls = "certificates: {m: {cert: \"${file:/c}\", key: \"${file:/k}\"}}";
    let gateway = |further: &str, names: &str| {
        format!(
            "version: 1
name: g
apis: {{a: {{path: api.yaml}}}}
listeners:
  public: {{address: \"127.0.0.1:8443\", protocol: https, tls: {{{tls}, {client_auth}}}}}
{further}auth: {{mt: {{kind: mtls}}, k1: {{kind: api_key}}}}
upstreams: {{u: {{targets: {{t: {{url: \"http://127.0.0.1:1\"}}}}}}}}
defaults: {{upstream: u, listeners: [{names}]}}
"
        )
    };
    let further = further.replace("TLS", tls);
    let further = format!("  further: {{address: \"127.0.0.1:8444\", {further}}}\n");
    let of = |gateway: &str| side(&[("gateway.yaml", gateway), ("api.yaml", document)]);
    let lines_of = |old: &str, new: &str| -> Vec<String> {
        let plan = compare(Some(&of(old)), &of(new)).expect("both sides build");
        let ids = ["client-authority-changed", "client-revocation-changed"];
        let changes = plan.changes.iter().filter(|one| {
            ids.contains(&one.id)
                || one.id == "listener-setting-changed" && one.section == Section::Security
        });
        let lines = changes.map(|one| format!("{} {} {}", one.class.name(), one.id, one.subject));
        lines.collect()
    };
    let new = gateway(&further, "public, further");
    let lines = lines_of(&gateway("", "public"), &new);
    // A listener that already exists, and newly serves the API.
    let unmounted = gateway(&further, "public");
    assert_eq!(lines_of(&unmounted, &new), lines, "{further}");
    lines
}

#[test]
fn further_listener_with_another_ca_weakens() {
    let asks = |more: &str| format!("client_auth: {{ca: \"${{file:/ca}}\", {more}mode: optional}}");
    let with = |client_auth: &str| format!("protocol: https, tls: {{TLS, {client_auth}}}");
    let (plain, listed) = (asks(""), asks("crl: \"${file:/crl}\", "));
    let other = plain.replace("/ca", "/other");
    let ca = "weaken client-authority-changed listener further tls.client_auth.ca";
    let crl = "client-revocation-changed listener further tls.client_auth.crl";
    let off = plain.replace("optional", "\"off\"");
    for (old, new, expected) in [
        (&plain, with(&other), vec![ca.to_owned()]),
        (&listed, with(&plain), vec![format!("weaken {crl}")]),
        (
            &listed,
            with(&listed.replace("/crl", "/crl2")),
            vec![format!("incomparable {crl}")],
        ),
        (&plain, with(&plain), vec![]),
        (&plain, with(&listed), vec![]),
        (&listed, with(&listed), vec![]),
        (&plain, with(&off), vec![]),
        (&plain, "protocol: http".to_owned(), vec![]),
    ] {
        assert_eq!(of_further(old, DOCUMENT, &new), expected, "{old} → {new}");
    }
    // No operation reads a certificate, unless the listener forwards it to upstreams.
    let keys = DOCUMENT.replace("{mt: []}, ", "");
    assert_eq!(of_further(&plain, &keys, &with(&other)), [""; 0]);
    let forwarding = format!("forward_client_cert: xfcc, {}", with(&other));
    assert_eq!(of_further(&plain, &keys, &forwarding), [ca]);
}

#[test]
fn further_listener_that_merges_slashes_weakens() {
    let asks = "client_auth: {ca: \"${file:/ca}\", mode: optional}";
    let further = format!("merge_slashes: true, protocol: https, tls: {{TLS, {asks}}}");
    assert_eq!(
        of_further(asks, DOCUMENT, &further),
        ["weaken listener-setting-changed listener further merge_slashes"]
    );
}
