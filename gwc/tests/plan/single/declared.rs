//! Access settings that cannot run yet: tokens, addresses, pages, connections.

use serde_json::{Value, json};

use super::project::{Operation, Project};
use super::{Case, Kind};

pub(super) const KINDS: &[Kind] = &[
    ("an audience more", |case| {
        token(
            case,
            "weaken",
            "audience",
            json!(["orders"]),
            json!(["orders", "shop"]),
        )
    }),
    ("an audience fewer", |case| {
        token(
            case,
            "strengthen",
            "audience",
            json!(["orders", "shop"]),
            json!(["shop"]),
        )
    }),
    ("another audience", |case| {
        token(
            case,
            "incomparable",
            "audience",
            json!(["orders"]),
            json!(["shop"]),
        )
    }),
    ("another issuer", |case| {
        token(
            case,
            "incomparable",
            "issuer",
            json!("https://idp"),
            json!("https://idq"),
        )
    }),
    ("an algorithm more", |case| {
        token(
            case,
            "weaken",
            "algorithms",
            json!(["RS256"]),
            json!(["ES256", "RS256"]),
        )
    }),
    ("an algorithm fewer", |case| {
        token(
            case,
            "strengthen",
            "algorithms",
            json!(["ES256", "RS256"]),
            json!(["ES256"]),
        )
    }),
    ("another source of keys", |case| {
        let urls = ["https://idp/keys", "https://idq/keys"].map(Value::from);
        let [old, new] = urls;
        token(case, "incomparable", "jwks_url", old, new)
    }),
    ("later tokens are believed", |case| {
        token(case, "weaken", "leeway", json!("30s"), json!("50s"))
    }),
    ("later tokens are believed by default", |case| {
        token(case, "weaken", "leeway", json!("30s"), Value::Null)
    }),
    ("fewer late tokens are believed", |case| {
        token(case, "strengthen", "leeway", json!("30s"), json!("10s"))
    }),
    ("tokens may live longer", |case| {
        token(case, "weaken", "max_lifetime", json!("1h"), json!("2h"))
    }),
    ("tokens may live as long as they say", |case| {
        token(case, "weaken", "max_lifetime", json!("1h"), Value::Null)
    }),
    ("a claim fewer is asked for", |case| {
        token(
            case,
            "weaken",
            "required_claims",
            json!(["a", "b"]),
            json!(["a"]),
        )
    }),
    ("a type of token more", |case| {
        token(
            case,
            "weaken",
            "types",
            json!(["at+jwt"]),
            json!(["JWT", "at+jwt"]),
        )
    }),
    ("a scope is removed", |case| {
        scopes(case, "weaken", json!(["read", "write"]), json!(["read"]))
    }),
    ("a scope is added", |case| {
        scopes(case, "strengthen", json!([]), json!(["write"]))
    }),
    ("another scope is asked for", |case| {
        scopes(case, "incomparable", json!(["read"]), json!(["write"]))
    }),
    ("a required policy is dropped", |case| {
        let waf = json!({"kind": "threat", "json": {"depth": 32}});
        case.both(|project| project.gateway["policies"]["waf"] = waf.clone());
        case.old.gateway["required"] = json!({"policies": ["waf"]});
        let all = case.old.operations();
        case.expect("rules weaken required-policy-dropped required policies waf");
        case.expect_of("security weaken guard-removed threat", &all);
        case.expect_of("policy changed policies-changed policies", &all);
        Some(())
    }),
    ("a required policy is added", |case| {
        let waf = json!({"kind": "threat", "json": {"depth": 32}});
        case.both(|project| project.gateway["policies"]["waf"] = waf.clone());
        case.new.gateway["required"] = json!({"policies": ["waf"]});
        let all = case.old.operations();
        case.expect("rules strengthen required-policy-added required policies waf");
        case.expect_of("security strengthen guard-added threat", &all);
        case.expect_of("policy changed policies-changed policies", &all);
        Some(())
    }),
    ("a required verifier is dropped", |case| {
        required_auth(case, &["keys", "staff", "idp"], &["keys", "staff"]);
        case.expect("rules strengthen required-auth-dropped required auth idp");
        Some(())
    }),
    ("a required verifier is added", |case| {
        required_auth(case, &["keys", "staff"], &["keys", "staff", "idp"]);
        case.expect("rules weaken required-auth-added required auth idp");
        Some(())
    }),
    ("no verifier is required any more", |case| {
        let all = case.old.operations();
        for operation in &all {
            case.both(|project| project.ask(operation, json!([{"key": []}])));
        }
        required_auth(case, &["keys"], &[]);
        case.expect("rules weaken required-auth-dropped required auth keys");
        Some(())
    }),
    ("more may be public", |case| {
        public(case, "weaken", &["a/*"], &["*"])
    }),
    ("less may be public", |case| {
        public(case, "strengthen", &["*"], &["a/*"])
    }),
    ("more addresses are let through", |case| {
        let (old, new) = (json!(["10.0.0.0/8"]), json!(["10.0.0.0/7"]));
        policy(
            case,
            json!({"kind": "ip_filter", "allow": old}),
            ("allow", new),
            "weaken address-filter-changed from",
        )
    }),
    ("fewer addresses are let through", |case| {
        let (old, new) = (json!(["10.0.0.0/8", "192.0.2.0/24"]), json!(["10.0.0.0/8"]));
        policy(
            case,
            json!({"kind": "ip_filter", "allow": old}),
            ("allow", new),
            "strengthen address-filter-changed from",
        )
    }),
    ("an address fewer is refused", |case| {
        let (old, new) = (json!(["10.0.0.0/8", "192.0.2.1/32"]), json!(["10.0.0.0/8"]));
        policy(
            case,
            json!({"kind": "ip_filter", "deny": old}),
            ("deny", new),
            "weaken address-filter-changed from",
        )
    }),
    ("other addresses are let through", |case| {
        let (old, new) = (json!(["10.0.0.0/8"]), json!(["192.0.2.0/24"]));
        policy(
            case,
            json!({"kind": "ip_filter", "allow": old}),
            ("allow", new),
            "incomparable address-filter-changed from",
        )
    }),
    ("a filter of addresses is dropped", |case| {
        let office = json!({"kind": "ip_filter", "allow": ["10.0.0.0/8"]});
        dropped(case, office, "weaken address-filter-removed from")
    }),
    ("more pages may call", |case| {
        cors(case, ("origins", json!(["https://*.a.example"])), "weaken")
    }),
    ("fewer pages may call", |case| {
        cors(
            case,
            ("origins", json!(["https://b.example"])),
            "strengthen",
        )
    }),
    ("pages may send credentials", |case| {
        cors(case, ("credentials", json!(true)), "weaken")
    }),
    ("pages may use another method", |case| {
        cors(case, ("methods", json!(["PUT", "DELETE"])), "weaken")
    }),
    ("pages may send another field", |case| {
        cors(case, ("headers", json!(["X-A", "X-B"])), "weaken")
    }),
    ("pages may read another field", |case| {
        cors(case, ("expose", json!(["X-A", "X-B"])), "weaken")
    }),
    ("pages may call a private network", |case| {
        cors(case, ("private_network", json!(true)), "weaken")
    }),
    ("pages may call no more", |case| {
        let web = json!({"kind": "cors", "origins": ["https://b.example"]});
        dropped(case, web, "incomparable cors-removed cors")
    }),
    ("foreign pages are only logged", |case| {
        let page = json!({"kind": "csrf", "mode": "block"});
        policy(
            case,
            page,
            ("mode", json!("log")),
            "weaken csrf-changed csrf",
        )
    }),
    ("another page may send forms", |case| {
        let page = json!({"kind": "csrf", "mode": "block", "origins": ["https://a.example"]});
        let more = json!(["https://a.example", "https://b.example"]);
        policy(case, page, ("origins", more), "weaken csrf-changed csrf")
    }),
    ("foreign pages are let in", |case| {
        let page = json!({"kind": "csrf", "mode": "block"});
        dropped(case, page, "weaken csrf-removed csrf")
    }),
    ("another group may call", |case| {
        let admins = json!({"kind": "authorize", "groups": ["admin"]});
        policy(
            case,
            admins,
            ("groups", json!(["admin", "staff"])),
            "weaken authorization-changed authorize",
        )
    }),
    ("another scope must be held", |case| {
        let admins = json!({"kind": "authorize", "scopes": ["write"]});
        policy(
            case,
            admins,
            ("scopes", json!(["write", "delete"])),
            "strengthen authorization-changed authorize",
        )
    }),
    ("another role may call", |case| {
        let admins = json!({"kind": "authorize", "roles": ["a"]});
        policy(
            case,
            admins,
            ("roles", json!(["a", "b"])),
            "weaken authorization-changed authorize",
        )
    }),
    ("another expression must hold", |case| {
        let admins = json!({"kind": "authorize", "expression": "a"});
        policy(
            case,
            admins,
            ("expression", json!("b")),
            "incomparable authorization-changed authorize",
        )
    }),
    ("silence means yes", |case| {
        let ask =
            json!({"kind": "forward_auth", "url": "https://ask.example/", "on_outage": "closed"});
        policy(
            case,
            ask,
            ("on_outage", json!("open")),
            "weaken authorization-changed authorize",
        )
    }),
    ("another service is asked", |case| {
        let ask = json!({"kind": "forward_auth", "url": "https://ask.example/"});
        policy(
            case,
            ask,
            ("url", json!("https://asq.example/")),
            "incomparable authorization-changed authorize",
        )
    }),
    ("nobody is asked any more", |case| {
        let admins = json!({"kind": "authorize", "groups": ["admin"]});
        dropped(case, admins, "weaken authorization-removed authorize")
    }),
    ("wrong requests are only logged", |case| {
        validates(case, "request", "block", "log", "weaken")
    }),
    ("wrong requests are refused", |case| {
        validates(case, "request", "off", "block", "strengthen")
    }),
    ("wrong responses are let through", |case| {
        validates(case, "response", "block", "off", "weaken")
    }),
    ("a group is gained", |case| {
        case.new.gateway["consumers"]["acme"]["groups"] = json!(["partners"]);
        case.expect("security grant consumer-right-added consumer acme groups");
        Some(())
    }),
    ("a group is lost", |case| {
        case.old.gateway["consumers"]["acme"]["groups"] = json!(["partners"]);
        case.expect("security strengthen consumer-right-removed consumer acme groups");
        Some(())
    }),
    ("a claim is gained", |case| {
        case.new.gateway["consumers"]["acme"]["claims"] = json!({"tier": "gold"});
        case.expect("security grant consumer-right-added consumer acme claims.tier");
        Some(())
    }),
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
        |case| client_certificate(case, Some("pass"), "xfcc", "security strengthen"),
    ),
    ("certificates of clients in another form", |case| {
        client_certificate(case, Some("client_cert"), "xfcc", "policy changed")
    }),
    ("certificates of clients are no longer told", |case| {
        client_certificate(case, Some("client_cert"), "none", "policy changed")
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
        for path in ["cert", "key"] {
            case.expect(&format!(
                "policy changed listener-setting-changed listener public tls.certificates.main.{path}"
            ));
        }
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
        case.expect("security strengthen trusted-proxy-removed listener public trusted_proxies");
        Some(())
    }),
    ("trusted proxies in other words", |case| {
        let (old, new) = (json!(["10.0.0.0/8"]), json!(["10.0.0.0/8", "10.1.0.0/16"]));
        case.old.gateway["listeners"]["public"]["trusted_proxies"] = old;
        case.new.gateway["listeners"]["public"]["trusted_proxies"] = new;
        case.expect("security changed trusted-proxies-restated listener public trusted_proxies");
        Some(())
    }),
    ("a secret flows somewhere new", |case| {
        let edge = &mut case.new.gateway["policies"]["edge"];
        edge["request"] = json!({"set": {"Authorization": "${env:GWS_TOKEN}"}});
        case.expect("security weaken secret-flow-added policy edge request.set.authorization");
        case.expect("policy changed policy-changed policy edge request.set.authorization");
        let all = case.old.operations();
        case.expect_of(
            "security incomparable identity-field-changed request header authorization",
            &all,
        );
        Some(())
    }),
];

/// Lets some operations ask for a token.
fn with_token(case: &mut Case, scopes: &Value) -> Vec<Operation> {
    let some = case.some();
    case.both(|project| {
        project.gateway["auth"]["idp"] = json!({
            "kind": "jwt", "issuer": "https://idp", "audience": ["orders"],
            "jwks": key_set(), "algorithms": ["RS256"],
        });
        let flow = json!({"tokenUrl": "https://idp/t", "scopes": {"read": "r", "write": "w"}});
        project.api["components"]["securitySchemes"]["token"] = json!({
            "type": "oauth2", "flows": {"clientCredentials": flow}, "x-gateway": {"auth": "idp"},
        });
        for operation in &some {
            project.ask(operation, json!([{"token": scopes}]));
        }
    });
    some
}

/// Keys of RFC 7515 (appendix A) and RFC 8037 (appendix A), one of each kind.
fn key_set() -> Value {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    json!({"keys": [
        {"kty": "RSA", "kid": "r", "n": n, "e": "AQAB"},
        {
            "kty": "EC", "kid": "p", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        {"kty": "OKP", "kid": "e", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    ]})
}

/// Another value of a key of the verifier; null: it is not written.
fn token(case: &mut Case, class: &str, key: &str, old: Value, new: Value) -> Option<()> {
    let some = with_token(case, &json!(["read"]));
    for (project, value) in [(&mut case.old, old), (&mut case.new, new)] {
        let idp = project.gateway["auth"]["idp"].as_object_mut()?;
        if key == "jwks_url" {
            idp.remove("jwks");
        }
        match value {
            Value::Null => idp.remove(key),
            value => idp.insert(key.into(), value),
        };
    }
    case.expect_of(
        &format!("security {class} verifier-changed security"),
        &some,
    );
    Some(())
}

fn scopes(case: &mut Case, class: &str, old: Value, new: Value) -> Option<()> {
    let some = with_token(case, &old);
    let operation = case.dice.pick(&some);
    case.new.ask(&operation, json!([{"token": new}]));
    let line = format!("security {class} security-requirement-changed security");
    case.expect_of(&line, &[operation]);
    Some(())
}

/// Sets the required verifiers; public operations stay public.
fn required_auth(case: &mut Case, old: &[&str], new: &[&str]) {
    case.both(|project| {
        project.gateway["auth"]["idp"] = json!({
            "kind": "jwt", "issuer": "https://idp", "audience": ["orders"],
            "jwks_url": "https://idp/keys", "algorithms": ["RS256"],
        });
    });
    case.old.gateway["required"] = json!({"auth": old, "allow_public": ["*"]});
    case.new.gateway["required"] = json!({"auth": new, "allow_public": ["*"]});
}

fn public(case: &mut Case, class: &str, old: &[&str], new: &[&str]) -> Option<()> {
    case.old.gateway["required"] = json!({"allow_public": old});
    case.new.gateway["required"] = json!({"allow_public": new});
    case.expect(&format!(
        "rules {class} allow-public-changed required allow_public"
    ));
    Some(())
}

/// A policy of some operations.
fn with_policy(case: &mut Case, policy: &Value) -> Vec<Operation> {
    let some = case.some();
    case.both(|project| {
        project.gateway["policies"]["one"] = policy.clone();
        for operation in &some {
            project.extension(operation)["+policies"] = json!(["one"]);
        }
    });
    some
}

fn policy(case: &mut Case, policy: Value, (key, to): (&str, Value), line: &str) -> Option<()> {
    let some = with_policy(case, &policy);
    case.new.gateway["policies"]["one"][key] = to;
    case.expect_of(&format!("security {line}"), &some);
    Some(())
}

fn cors(case: &mut Case, change: (&str, Value), class: &str) -> Option<()> {
    let web = json!({
        "kind": "cors", "origins": ["https://b.example", "https://x.a.example"],
        "methods": ["PUT"], "headers": ["X-A"], "expose": ["X-A"],
    });
    let (key, to) = change;
    let to = match (key, class) {
        // The page of its own stays.
        ("origins", "weaken") => json!(["https://b.example", to[0]]),
        _ => to,
    };
    policy(case, web, (key, to), &format!("{class} cors-changed cors"))
}

/// One of the operations has the policy no more.
fn dropped(case: &mut Case, policy: Value, line: &str) -> Option<()> {
    let some = with_policy(case, &policy);
    let operation = case.dice.pick(&some);
    let extension = case.new.extension(&operation).as_object_mut()?;
    extension.remove("+policies");
    let one = std::slice::from_ref(&operation);
    case.expect_of(&format!("security {line}"), one);
    case.expect_of("policy changed policies-changed policies", one);
    Some(())
}

fn validates(case: &mut Case, side: &str, old: &str, new: &str, class: &str) -> Option<()> {
    let operation = case.operation();
    case.old.extension(&operation)["validate"] = json!({side: old});
    case.new.extension(&operation)["validate"] = json!({side: new});
    let line = format!("security {class} {side}-validation-changed validate.{side}");
    case.expect_of(&line, &[operation]);
    Some(())
}

/// A listener with client certificates.
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

/// An upstream behind TLS.
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

/// The fields with the client's certificate of the only listener.
fn client_certificate(case: &mut Case, old: Option<&str>, new: &str, said: &str) -> Option<()> {
    tls(case, |_| ());
    // `pass` needs somebody to trust.
    case.both(|project| {
        project.gateway["listeners"]["public"]["trusted_proxies"] = json!(["10.0.0.0/8"]);
    });
    if let Some(old) = old {
        case.old.gateway["listeners"]["public"]["forward_client_cert"] = old.into();
    }
    case.new.gateway["listeners"]["public"]["forward_client_cert"] = new.into();
    let subject = "listener public forward_client_cert";
    case.expect(&format!("{said} client-cert-fields-changed {subject}"));
    Some(())
}
