//! Tests of listeners that let clients choose who they are: proxies that are newly trusted, and
//! certificates that are newly requested. Also of weaker listeners that newly serve an API or send
//! its requests.

use plan::{Class, Section, compare};

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

const KEYED: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{k1: []}]
paths:
  /PATH: {get: {operationId: x, responses: {\"200\": {description: d}}}}
components:
  securitySchemes:
    k1: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: k1}}
";

/// Lines about the listener `second` that trip the gates `weaken` and `relax`: class, id, setting
/// and operations. Each side has an API with a name at some listeners. `settings`: of the listeners
/// `first`, `second` and `third`, of which the last two also serve another API on both sides.
fn newly_reached(settings: [&str; 3], old: (&str, &str), new: (&str, &str)) -> Vec<String> {
    let tls = "certificates: {m: {cert: \"${file:/c}\", key: \"${file:/k}\"}}";
    let [first, second, third] = settings.map(|one| one.replace("TLS", tls));
    let of = |(api, listeners): (&str, &str)| {
        let gateway = format!(
            "version: 1
name: g
apis:
  {api}: {{path: api.yaml, mount: {{listeners: [{listeners}]}}}}
  other: {{path: other.yaml, mount: {{listeners: [second, third]}}}}
listeners:
  first: {{address: \"127.0.0.1:8443\", {first}}}
  second: {{address: \"127.0.0.1:8444\", {second}}}
  third: {{address: \"127.0.0.1:8445\", {third}}}
auth: {{k1: {{kind: api_key}}}}
upstreams: {{u: {{targets: {{t: {{url: \"http://127.0.0.1:1\"}}}}}}}}
defaults: {{upstream: u}}
"
        );
        side(&[
            ("gateway.yaml", &gateway),
            ("api.yaml", &KEYED.replace("PATH", "x")),
            ("other.yaml", &KEYED.replace("PATH", "other")),
        ])
    };
    let plan = compare(Some(&of(old)), &of(new)).expect("both sides build");
    let classes = [Class::Weaken, Class::Incomparable, Class::Relax];
    let changes = plan.changes.iter();
    let changes = changes.filter(|one| classes.contains(&one.class));
    let lines = changes.filter_map(|one| {
        let setting = one.subject.strip_prefix("listener second ")?;
        let operations = one.operations.join(" ");
        Some(format!(
            "{} {} {setting} of {operations}",
            one.class.name(),
            one.id
        ))
    });
    lines.collect()
}

/// Settings of a listener, weaker settings, and the line about them.
const WEAKER: [(&str, &str, &str); 8] = [
    (
        "protocol: http",
        "protocol: http, trusted_proxies: [0.0.0.0/0]",
        "weaken trusted-proxy-added trusted_proxies",
    ),
    (
        "protocol: http, trusted_proxies: [10.0.0.0/8]",
        "protocol: http, trusted_proxies: [10.0.0.0/7]",
        "weaken trusted-proxy-added trusted_proxies",
    ),
    (
        "protocol: https, tls: {TLS}",
        "protocol: http",
        "weaken listener-protocol-changed protocol",
    ),
    (
        "protocol: https, tls: {TLS, min_version: \"1.3\"}",
        "protocol: https, tls: {TLS}",
        "weaken listener-tls-version-changed tls.min_version",
    ),
    (
        "trusted_proxies: [10.0.0.0/8]",
        "trusted_proxies: [10.0.0.0/8], forward_client_cert: pass",
        "weaken client-cert-fields-changed forward_client_cert",
    ),
    (
        "trusted_proxies: [10.0.0.0/8], forwarding_fields: [x-forwarded-for]",
        "trusted_proxies: [10.0.0.0/8], forwarding_fields: [x-forwarded-for, x-forwarded-host]",
        "weaken forwarding-fields-changed forwarding_fields",
    ),
    (
        "protocol: http",
        "protocol: http, merge_slashes: true",
        "weaken listener-setting-changed merge_slashes",
    ),
    (
        "protocol: http, limits: {header_timeout: 1s}",
        "protocol: http, limits: {header_timeout: 9s}",
        "relax listener-header-timeout-changed limits.header_timeout",
    ),
];

#[test]
fn weaker_listener_of_an_api_is_reported() {
    for (strict, weak, line) in WEAKER {
        let settings = [strict, weak, strict];
        for (names, api) in [("first, second", "a"), ("second", "a"), ("second", "b")] {
            let found = newly_reached(settings, ("a", "first"), (api, names));
            assert_eq!(found, [format!("{line} of {api}/x")], "{strict} → {weak}");
        }
        // The other direction.
        let stricter = newly_reached([weak, strict, weak], ("a", "first"), ("a", "second"));
        assert_eq!(stricter, [""; 0], "{weak} → {strict}");
        // The API was reachable on a listener that is as weak.
        let settings = [strict, weak, weak];
        let known = newly_reached(
            settings,
            ("a", "first, third"),
            ("a", "first, second, third"),
        );
        assert_eq!(known, [""; 0], "{strict} → {weak}");
    }
}

#[test]
fn listener_without_proxy_headers_admits_more_peers() {
    let headers = "proxy_protocol: {from: [10.0.0.0/8]}";
    let plain = "protocol: http";
    let found = newly_reached(
        [headers, plain, headers],
        ("a", "first"),
        ("a", "first, second"),
    );
    assert_eq!(found, ["weaken peers-admitted proxy_protocol of a/x"]);
    let found = newly_reached([plain, headers, plain], ("a", "first"), ("a", "second"));
    assert_eq!(
        found,
        ["weaken trusted-proxy-added proxy_protocol.from of a/x"]
    );
}

/// Project of two APIs: `a` has the operation `x` at `/x`, and `b` has the operation `y` at the
/// listener `second`.
#[derive(Clone, Copy)]
struct Scene<'t> {
    /// Mounts of `a`.
    mounts: &'t str,
    /// Path of `y`, and further keys of the operation.
    y: (&'t str, &'t str),
    /// Ports of the upstreams `u`, which is the default, and `v`.
    ports: [u16; 2],
}

const SCENE: Scene<'_> = Scene {
    mounts: "mount: {listeners: [first]}",
    y: ("other", ""),
    ports: [1, 2],
};

/// Mounts of `a`: `/x` at `first`, `/v2/x` at `second`.
const TWO: &str =
    "mounts: [{name: d, listeners: [first]}, {name: n, base_path: /v2, listeners: [second]}]";

impl Scene<'_> {
    fn files(self, settings: [&str; 2]) -> [(&'static str, String); 3] {
        let tls = "certificates: {m: {cert: \"${file:/c}\", key: \"${file:/k}\"}}";
        let [first, second] = settings.map(|one| one.replace("TLS", tls));
        let Self { mounts, y, ports } = self;
        let gateway = format!(
            "version: 1
name: g
apis:
  a: {{path: api.yaml, {mounts}}}
  b: {{path: other.yaml, mount: {{listeners: [second]}}}}
listeners:
  first: {{address: \"127.0.0.1:8443\", {first}}}
  second: {{address: \"127.0.0.1:8444\", {second}}}
auth: {{k1: {{kind: api_key}}}}
upstreams:
  u: {{targets: {{t: {{url: \"http://127.0.0.1:{}\"}}}}}}
  v: {{targets: {{t: {{url: \"http://127.0.0.1:{}\"}}}}}}
defaults: {{upstream: u}}
",
            ports[0], ports[1]
        );
        let other = KEYED.replace("PATH", y.0);
        let other = other.replace("operationId: x,", &format!("operationId: y, {}", y.1));
        [
            ("gateway.yaml", gateway),
            ("api.yaml", KEYED.replace("PATH", "x")),
            ("other.yaml", other),
        ]
    }
}

/// Lines about listeners that trip the gates `weaken` and `relax`: class, id, listener, setting and
/// operations.
fn of_listeners(old: &[(&str, String)], new: &[(&str, String)]) -> Vec<String> {
    let of = |files: &[(&str, String)]| {
        let files = files.iter().map(|(name, text)| (*name, text.as_str()));
        side(&files.collect::<Vec<_>>())
    };
    let plan = compare(Some(&of(old)), &of(new)).expect("both sides build");
    let classes = [Class::Weaken, Class::Incomparable, Class::Relax];
    let changes = plan.changes.iter();
    let changes = changes.filter(|one| classes.contains(&one.class));
    let changes = changes.filter(|one| one.subject.starts_with("listener "));
    let lines = changes.map(|one| {
        let (class, operations) = (one.class.name(), one.operations.join(" "));
        format!("{class} {} {} of {operations}", one.id, one.subject)
    });
    lines.collect()
}

const REWRITTEN: &str = "x-gateway: {rewrite: {path: /x}},";
const AT_V: &str = "x-gateway: {upstream: v},";
const ANY: &str = "parameters: [{name: q, in: path, required: true, schema: {type: string}}],";

#[test]
fn listener_that_newly_sends_a_request_is_compared() {
    let stripped = TWO.replace("/v2,", "/v2, strip_base_path: true,");
    let further = TWO.replace("[first]", "[first, second]");
    let mounted = |mounts| Scene { mounts, ..SCENE };
    let with = |y| Scene { y, ..SCENE };
    for (old, new, operation) in [
        (mounted(TWO), mounted(&stripped), "a/x"),
        (mounted(TWO), mounted(&further), "a/x"),
        (with(("y", "")), with(("y", REWRITTEN)), "b/y"),
        (with(("other", "")), with(("y", REWRITTEN)), "b/y"),
        (with(("x", AT_V)), with(("x", "")), "b/y"),
        // The server of `u` is now a target of `v`.
        (
            with(("x", AT_V)),
            Scene {
                ports: [1, 1],
                ..with(("x", AT_V))
            },
            "b/y",
        ),
        // The upstream of both requests has another target.
        (
            mounted(TWO),
            Scene {
                ports: [3, 2],
                ..mounted(&stripped)
            },
            "a/x",
        ),
        // `second` sent only some of the requests.
        (with(("pub", "")), with(("{q}", ANY)), "b/y"),
    ] {
        for (strict, weak, line) in WEAKER {
            let (id, setting) = line.rsplit_once(' ').expect("a setting");
            let [before, after] = [old, new].map(|one| one.files([strict, weak]));
            let found = of_listeners(&before, &after);
            let expected = format!("{id} listener second {setting} of {operation}");
            assert_eq!(found, [expected], "{after:?}");
            for settings in [[weak, strict], [weak, weak]] {
                let [before, after] = [old, new].map(|one| one.files(settings));
                assert_eq!(of_listeners(&before, &after), [""; 0], "{after:?}");
            }
        }
    }
}

/// An operation at the weaker listener already sends the request, but admits other callers, or never
/// received the clients' requests for it.
#[test]
fn other_operation_at_the_listener_hides_no_line() {
    let denied = "x-gateway: {rewrite: {path: /x}, policies: [denied]},";
    let ended = "deprecated: true, x-gateway: {rewrite: {path: /x}, deprecated: {since: \"2020-01-01\", sunset: \"2020-02-01\"}},";
    let beside = |files: [(&'static str, String); 3], path: &str, settings: &str| {
        let decoy = format!(
            "paths:\n  /{path}: {{get: {{operationId: decoy, {settings} responses: {{\"200\": {{description: d}}}}}}}}\n"
        );
        files.map(|(name, text)| match name {
            "other.yaml" => (name, text.replace("paths:\n", &decoy)),
            "gateway.yaml" => {
                let policies =
                    "policies: {denied: {kind: ip_filter, allow: [192.0.2.1/32]}}\ndefaults:";
                (name, text.replace("defaults:", policies))
            }
            _ => (name, text),
        })
    };
    let with = |y| Scene { y, ..SCENE };
    let (strict, weak, line) = WEAKER[0];
    let (id, setting) = line.rsplit_once(' ').expect("a setting");
    let expected = format!("{id} listener second {setting} of b/y");
    for (path, settings) in [("d", denied), ("d", ended), ("{q}", ANY)] {
        let sides = [with(("x", AT_V)), with(("x", ""))];
        let [before, after] = sides.map(|one| beside(one.files([strict, weak]), path, settings));
        assert_eq!(
            of_listeners(&before, &after),
            [expected.as_str()],
            "{settings}"
        );
    }
}

/// The only old operation whose path matches never received the requests: another one did, and sent
/// them elsewhere.
#[test]
fn request_that_no_operation_sent_has_a_line() {
    let side = |mounts, settings: [&str; 2], upstream: &str| {
        let files = Scene { mounts, ..SCENE }.files(settings);
        files.map(|(name, text)| match name {
            "api.yaml" => {
                let admin = format!(
                    "paths:\n  /x: {{get: {{operationId: admin, {upstream} responses: {{\"200\": {{description: d}}}}}}}}\n"
                );
                let text = text.replace("/x: {get: {operationId: x,", &format!("/{{q}}: {{get: {{operationId: x, {ANY}"));
                (name, text.replace("paths:\n", &admin))
            }
            _ => (name, text),
        })
    };
    let (strict, weak, line) = WEAKER[0];
    let (id, setting) = line.rsplit_once(' ').expect("a setting");
    let before = side("mount: {listeners: [first]}", [strict, weak], AT_V);
    let after = side("mount: {listeners: [first, second]}", [strict, weak], "");
    let found = of_listeners(&before, &after).join("\n");
    for operation in ["a/admin", "a/x"] {
        assert!(found.contains(operation), "{found}");
    }
    assert!(
        found.contains(&format!("{id} listener second {setting}")),
        "{found}"
    );
}

#[test]
fn request_that_a_listener_already_sent_has_no_line() {
    let old = Scene {
        mounts: "mount: {listeners: [first, second]}",
        y: ("o/{q}", ANY),
        ..SCENE
    };
    let settings = [
        "protocol: http",
        "protocol: http, trusted_proxies: [0.0.0.0/0]",
    ];
    let before = old.files(settings);
    assert_eq!(of_listeners(&before, &before), [""; 0]);
    for (from, to) in [
        ("  a: {", "  c: {"),
        ("  v: {", "  w: {"),
        ("127.0.0.1:1\"", "127.0.0.1:3\""),
        ("second", "other"),
        ("/x: {", "/z: {"),
        ("operationId: x", "operationId: z"),
    ] {
        let after = before.clone();
        let after = after.map(|(name, text)| (name, text.replace(from, to)));
        assert_eq!(of_listeners(&before, &after), [""; 0], "{from} → {to}");
    }
    let renamed = before.clone().map(|(name, text)| {
        let text = text.replace("  u: {", "  w: {");
        (name, text.replace("upstream: u", "upstream: w"))
    });
    assert_eq!(of_listeners(&before, &renamed), [""; 0]);
    // The old operation sent `/o/w` from `second`. No operation sent `/p/{q}`.
    for y in [("o/w", ""), ("p/{q}", ANY)] {
        let after = Scene { y, ..old }.files(settings);
        assert_eq!(of_listeners(&before, &after), [""; 0], "{y:?}");
    }
}

/// Each single setting of the new listener is as strict as on one of the known listeners.
#[test]
fn combination_of_weak_settings_is_weaker() {
    let required =
        "protocol: https, tls: {TLS, client_auth: {ca: \"${file:/ca}\", mode: required}}";
    for (strict, weak, line) in [
        (
            "protocol: https, tls: {TLS}",
            "protocol: http",
            "weaken listener-protocol-changed protocol of a/x",
        ),
        (
            required,
            "protocol: https, tls: {TLS}",
            "weaken client-auth-changed tls.client_auth.mode of a/x",
        ),
    ] {
        let trusts = |one: &str| format!("{one}, trusted_proxies: [0.0.0.0/0]");
        let (first, second) = (trusts(strict), trusts(weak));
        let found = newly_reached(
            [&first, &second, weak],
            ("a", "first, third"),
            ("a", "first, second, third"),
        );
        assert_eq!(found, [line], "{strict}");
        let known = newly_reached(
            [&first, &second, &second],
            ("a", "first, third"),
            ("a", "first, second, third"),
        );
        assert_eq!(known, [""; 0], "{strict}");
    }
}
