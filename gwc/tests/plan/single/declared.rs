//! Edits of access settings: tokens, addresses, browser pages, connections.

use serde_json::{Value, json};

use super::project::Operation;
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
    ("old keys count longer", |case| {
        token(case, "weaken", "stale_for", json!("1h"), json!("2h"))
    }),
    ("tokens are asked about elsewhere", |case| {
        let [old, new] = ["https://idp/in", "https://idq/in"].map(Value::from);
        change_introspection(case, "incomparable", "url", old, new)?;
        // The lines about the credentials and the secret are of the same operations.
        let line = case
            .expected
            .iter()
            .find_map(|line| {
                line.strip_prefix("security incomparable verifier-changed security: ")
            })?
            .to_owned();
        case.expect(&format!(
            "security moved credentials-sent credentials to idq: {line}"
        ));
        case.expect(&format!(
            "security weaken secret-flow-added auth idp client_secret: {line}"
        ));
        Some(())
    }),
    ("another client asks about tokens", |case| {
        change_introspection(case, "incomparable", "client_id", json!("a"), json!("b"))
    }),
    ("tokens of any issuer are asked about", |case| {
        change_introspection(case, "weaken", "issuer", json!("https://idp"), Value::Null)
    }),
    ("an audience of asked tokens more", |case| {
        let (old, new) = (json!(["orders"]), json!(["orders", "shop"]));
        change_introspection(case, "weaken", "audience", old, new)
    }),
    ("asked tokens for any audience", |case| {
        change_introspection(case, "weaken", "audience", json!(["orders"]), Value::Null)
    }),
    ("an answer needs a member more", |case| {
        change_introspection(
            case,
            "strengthen",
            "required_claims",
            json!(["a"]),
            json!(["a", "b"]),
        )
    }),
    ("answers are kept longer", |case| {
        change_introspection(case, "weaken", "cache", json!("30s"), Value::Null)
    }),
    ("answers are kept for a shorter time", |case| {
        change_introspection(case, "strengthen", "cache", Value::Null, json!("59s"))
    }),
    ("old answers count in an outage", |case| {
        change_introspection(
            case,
            "weaken",
            "on_outage",
            json!("closed"),
            json!("cached"),
        )
    }),
    ("the default of an outage is written", |case| {
        with_introspection(case);
        case.new.gateway["auth"]["idp"]["on_outage"] = "closed".into();
        Some(())
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
    ("an expression is added", |case| {
        policy(
            case,
            json!({"kind": "authorize", "groups": ["staff"]}),
            ("expression", json!("request.method == 'GET'")),
            "strengthen authorization-changed authorize",
        )
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
        let admins = json!({"kind": "authorize", "expression": "request.path == 'a'"});
        policy(
            case,
            admins,
            ("expression", json!("request.path == 'b'")),
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
        case.expect("upstream changed upstream-added upstream https://asq.example");
        case.expect("upstream changed upstream-removed upstream https://ask.example");
        let some = with_policy(case, &ask);
        case.new.gateway["policies"]["one"]["url"] = json!("https://asq.example/");
        case.expect_of(
            "security incomparable authorization-changed authorize",
            &some,
        );
        case.expect_of(
            "security moved credentials-sent credentials to asq.example",
            &some,
        );
        Some(())
    }),
    ("another service is asked without credentials", |case| {
        let ask = json!({"kind": "forward_auth", "url": "https://ask.example/", "request_headers": ["Accept"]});
        case.expect("upstream changed upstream-added upstream https://asq.example");
        case.expect("upstream changed upstream-removed upstream https://ask.example");
        let some = with_policy(case, &ask);
        case.new.gateway["policies"]["one"]["url"] = json!("https://asq.example/");
        case.expect_of(
            "security incomparable authorization-changed authorize",
            &some,
        );
        case.expect_of("security moved service-asked answers of asq.example", &some);
        Some(())
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
    ("parameters that are not described are forwarded", |case| {
        case.old.api["x-gateway"]["undeclared_params"] = json!("reject");
        case.new.api["x-gateway"]["undeclared_params"] = json!("strip");
        let all = case.new.operations();
        let line = "security weaken undeclared-params-changed undeclared_params";
        case.expect_of(line, &all);
        Some(())
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

/// Makes some operations require a token with these scopes. Returns these operations.
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

/// Changes a key of the JWT verifier from `old` to `new`. Null: the key is absent.
fn token(case: &mut Case, class: &str, key: &str, old: Value, new: Value) -> Option<()> {
    let some = with_token(case, &json!(["read"]));
    for (project, value) in [(&mut case.old, old), (&mut case.new, new)] {
        let idp = project.gateway["auth"]["idp"].as_object_mut()?;
        if key == "jwks_url" {
            idp.remove("jwks");
        }
        if key == "stale_for" {
            idp.remove("jwks");
            idp.insert("jwks_url".into(), "https://idp/keys".into());
        }
        match value {
            Value::Null => idp.remove(key),
            value => idp.insert(key.into(), value),
        };
    }
    if key == "jwks_url" {
        case.expect("upstream changed upstream-added upstream https://idq");
        case.expect("upstream changed upstream-removed upstream https://idp");
    }
    case.expect_of(
        &format!("security {class} verifier-changed security"),
        &some,
    );
    Some(())
}

/// Makes some operations require a token that is verified by introspection. Returns these
/// operations.
fn with_introspection(case: &mut Case) -> Vec<Operation> {
    let some = with_token(case, &json!([]));
    case.both(|project| {
        project.gateway["auth"]["idp"] = json!({
            "kind": "introspection", "url": "https://idp/in", "client_id": "a",
            "client_secret": "${env:GWS_IDP}", "audience": ["orders"],
        });
    });
    some
}

/// Changes a key of the introspection verifier from `old` to `new`. Null: the key is absent.
fn change_introspection(
    case: &mut Case,
    class: &str,
    key: &str,
    old: Value,
    new: Value,
) -> Option<()> {
    let some = with_introspection(case);
    for (project, value) in [(&mut case.old, old), (&mut case.new, new)] {
        let idp = project.gateway["auth"]["idp"].as_object_mut()?;
        match value {
            Value::Null => idp.remove(key),
            value => idp.insert(key.into(), value),
        };
    }
    if key == "url" {
        case.expect("upstream changed upstream-added upstream https://idq");
        case.expect("upstream changed upstream-removed upstream https://idp");
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

/// Changes `required.auth` from `old` to `new`. Public operations stay public.
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

/// Adds a policy to some operations. Returns these operations.
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
        // The existing origin stays in the list.
        ("origins", "weaken") => json!(["https://b.example", to[0]]),
        _ => to,
    };
    policy(case, web, (key, to), &format!("{class} cors-changed cors"))
}

/// Adds a policy to some operations, and removes it from one of them in the new version.
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
