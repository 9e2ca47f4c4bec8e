//! Edits of the protection of connections: TLS of listeners and upstreams, client certificates,
//! trusted proxies.

use serde_json::{Value, json};

use super::project::Project;
use super::{Case, Kind};

pub(super) const KINDS: &[Kind] = &[
    ("an older TLS", |case| {
        tls(case, |tls| tls["min_version"] = "1.2".into());
        case.expect("security weaken listener-tls-version-changed listener public tls.min_version");
        Some(())
    }),
    ("client certificates become optional", |case| {
        tls(case, |tls| tls["client_auth"]["mode"] = "optional".into());
        case.expect("security weaken client-auth-changed listener public tls.client_auth.mode");
        Some(())
    }),
    ("another authority of clients", |case| {
        tls(case, |tls| {
            tls["client_auth"]["ca"] = "${file:/run/key.pem}".into()
        });
        case.expect(
            "security incomparable client-authority-changed listener public tls.client_auth.ca",
        );
        case.expect("security changed secret-flow-added listener public tls.client_auth.ca");
        Some(())
    }),
    ("certificates of clients are passed on", |case| {
        client_certificate(case, None, "pass", "security weaken")
    }),
    (
        "certificates of clients are written, not passed on",
        |case| client_certificate(case, Some("pass"), "xfcc", "security incomparable"),
    ),
    ("certificates of clients are no longer passed on", |case| {
        client_certificate(case, Some("pass"), "none", "security strengthen")
    }),
    ("certificates of clients are written", |case| {
        client_certificate(case, None, "client_cert", "security incomparable")
    }),
    (
        "certificates of clients are asked for and written",
        |case| {
            tls(case, |_| ());
            for project in [&mut case.old, &mut case.new] {
                project.gateway["listeners"]["public"]["forward_client_cert"] = "xfcc".into();
            }
            let tls = &mut case.old.gateway["listeners"]["public"]["tls"];
            tls["client_auth"]["mode"] = "off".into();
            case.expect(
                "security strengthen client-auth-changed listener public tls.client_auth.mode",
            );
            case.expect(
            "security incomparable client-cert-fields-changed listener public forward_client_cert",
        );
            Some(())
        },
    ),
    ("certificates of clients in another form", |case| {
        client_certificate(case, Some("client_cert"), "xfcc", "security incomparable")
    }),
    ("certificates of clients are no longer told", |case| {
        client_certificate(case, Some("client_cert"), "none", "security incomparable")
    }),
    ("certificates of clients are taken back", |case| {
        tls(case, |tls| {
            tls["client_auth"]["crl"] = "${file:/run/crl.pem}".into();
        });
        case.expect(
            "security strengthen client-revocation-changed listener public tls.client_auth.crl",
        );
        case.expect("security changed secret-flow-added listener public tls.client_auth.crl");
        Some(())
    }),
    ("a listener in the clear", |case| {
        tls(case, |_| ());
        case.both(|project| {
            let tls = project.gateway["listeners"]["public"]["tls"].as_object_mut();
            tls.expect("TLS").remove("client_auth");
        });
        case.new.gateway["listeners"]["public"] = json!({"address": "127.0.0.1:8080"});
        case.expect("security weaken listener-protocol-changed listener public protocol");
        case.expect(
            "policy changed listener-setting-changed listener public tls.certificates.main.cert",
        );
        Some(())
    }),
    ("an upstream is not checked", |case| {
        upstream_tls(case, |upstream| upstream["tls"]["verify"] = false.into());
        case.expect("security weaken upstream-verification-changed upstream w tls.verify");
        Some(())
    }),
    ("another name of an upstream", |case| {
        upstream_tls(case, |upstream| {
            upstream["tls"]["sni"] = "b.internal".into()
        });
        case.expect("security incomparable upstream-name-changed upstream w tls.sni");
        Some(())
    }),
    ("another authority of an upstream", |case| {
        upstream_tls(case, |upstream| {
            upstream["tls"]["ca"] = "${file:/run/b.pem}".into()
        });
        case.expect("security incomparable upstream-authority-changed upstream w tls.ca");
        case.expect("security changed secret-flow-added upstream w tls.ca");
        Some(())
    }),
    ("an upstream in the clear", |case| {
        upstream_tls(case, |upstream| {
            upstream["targets"]["a"]["url"] = "http://a.internal".into();
        });
        case.expect("security weaken upstream-protocol-changed upstream w targets.a.url");
        case.expect("upstream moved targets-changed upstream w targets.a.url");
        Some(())
    }),
    ("requests go to an upstream in the clear", |case| {
        upstream_tls(case, |_| ());
        let operation = case.operation();
        case.old.extension(&operation)["upstream"] = "w".into();
        case.expect_of(
            "security weaken upstream-transport-changed upstream",
            std::slice::from_ref(&operation),
        );
        case.expect_of("routing moved upstream-changed upstream", &[operation]);
        Some(())
    }),
    ("a proxy is trusted", |case| {
        case.new.gateway["listeners"]["public"]["trusted_proxies"] = json!(["10.0.0.0/8"]);
        case.expect("security weaken trusted-proxy-added listener public trusted_proxies");
        Some(())
    }),
    ("a proxy is trusted no more", |case| {
        let listener = &mut case.old.gateway["listeners"]["public"];
        listener["trusted_proxies"] = json!(["10.0.0.0/8", "192.0.2.0/24"]);
        case.new.gateway["listeners"]["public"]["trusted_proxies"] = json!(["10.0.0.0/8"]);
        case.expect("security incomparable trusted-proxy-removed listener public trusted_proxies");
        Some(())
    }),
    ("proxies write another forwarding field", |case| {
        for side in [&mut case.old, &mut case.new] {
            side.gateway["listeners"]["public"]["trusted_proxies"] = json!(["10.0.0.0/8"]);
        }
        case.new.gateway["listeners"]["public"]["forwarding_fields"] = json!(["forwarded"]);
        case.expect(
            "security incomparable forwarding-fields-changed listener public forwarding_fields",
        );
        Some(())
    }),
    ("trusted proxies in other words", |case| {
        let (old, new) = (json!(["10.0.0.0/8"]), json!(["10.0.0.0/8", "10.1.0.0/16"]));
        case.old.gateway["listeners"]["public"]["trusted_proxies"] = old;
        case.new.gateway["listeners"]["public"]["trusted_proxies"] = new;
        case.expect("security changed trusted-proxies-restated listener public trusted_proxies");
        Some(())
    }),
];

/// Adds a listener with client certificates to both versions, and changes it in the new version.
fn tls(case: &mut Case, change: impl Fn(&mut Value)) {
    case.both(|project| {
        project.gateway["listeners"]["public"] = json!({
            "address": "127.0.0.1:8080", "protocol": "https",
            "tls": {
                "certificates": {"main": {"cert": "${file:/run/cert.pem}", "key": "${file:/run/key.pem}"}},
                "min_version": "1.3", "client_auth": {"ca": "${file:/run/ca.pem}", "mode": "required"},
            },
        });
    });
    change(&mut case.new.gateway["listeners"]["public"]["tls"]);
}

/// Adds an upstream with TLS to both versions, and changes it in the new version.
fn upstream_tls(case: &mut Case, change: impl Fn(&mut Value)) {
    let with = |project: &mut Project| {
        project.gateway["upstreams"]["w"] = json!({
            "targets": {"a": {"url": "https://a.internal"}},
            "tls": {"sni": "a.internal", "ca": "${file:/run/a.pem}"},
        });
    };
    case.both(with);
    change(&mut case.new.gateway["upstreams"]["w"]);
}

/// Sets the handling of fields with the client's certificate at the only listener: `old` and `new`.
fn client_certificate(case: &mut Case, old: Option<&str>, new: &str, class: &str) -> Option<()> {
    tls(case, |_| ());
    // `pass` requires trusted proxies.
    case.both(|project| {
        project.gateway["listeners"]["public"]["trusted_proxies"] = json!(["10.0.0.0/8"]);
    });
    if let Some(old) = old {
        case.old.gateway["listeners"]["public"]["forward_client_cert"] = old.into();
    }
    case.new.gateway["listeners"]["public"]["forward_client_cert"] = new.into();
    let subject = "listener public forward_client_cert";
    case.expect(&format!("{class} client-cert-fields-changed {subject}"));
    Some(())
}
