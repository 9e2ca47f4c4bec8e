//! Tests of operations that replace another operation at its upstream: clients send a different
//! request, but the upstream receives the same request.

use model::compile::Purpose;
use plan::{Class, Plan};

use crate::compiled;

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
auth: {keys: {kind: api_key}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
consumers:
  acme: {claims: {roles: [admin]}, keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}
policies:
  office: {kind: ip_filter, allow: [10.0.0.0/8]}
  halves: {kind: ip_filter, allow: [10.0.0.0/9, 10.128.0.0/9]}
  admins: {kind: authorize, roles: [admin]}
  slow: {kind: rate_limit, limit: 10/s}
  waf: {kind: threat, json: {depth: 4}}
defaults: {upstream: u}
";

const BODY: &str = "requestBody: {content: {application/json: {schema: {type: object}}}}";

/// Document with one operation.
fn document(path: &str, method: &str, settings: &str) -> String {
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  {path}:
    {method}: {{operationId: make, {BODY}, {settings}, responses: {{\"200\": {{description: fine}}}}}}
components:
  securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}
"
    )
}

fn planned(old: (&str, &str), new: (&str, &str)) -> Plan {
    let side = |(gateway, document)| {
        let files = [("gateway.yaml", gateway), ("api.yaml", document)];
        compiled(&files, Purpose::Route).expect("it compiles")
    };
    plan::compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Ids of the changes that trip the gates `weaken` and `relax`.
fn gated(plan: &Plan) -> Vec<&'static str> {
    let classes = [Class::Weaken, Class::Incomparable, Class::Relax];
    let changes = plan.changes.iter();
    let changes = changes.filter(|change| classes.contains(&change.class));
    changes.map(|change| change.id).collect()
}

#[test]
fn moved_path_hides_no_weaker_access() {
    let old = document(
        "/items",
        "post",
        "security: [{key: [admin]}], x-gateway: {validate: {request: block}, policies: [office, admins, slow, waf]}",
    );
    for (security, settings, expected) in [
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [office, admins, slow, waf]",
            [].as_slice(),
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [halves, admins, slow, waf]",
            &[],
        ),
        (
            "[{key: []}]",
            "validate: {request: block}, policies: [office, admins, slow, waf]",
            &["security-requirement-changed"],
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [office, slow, waf]",
            &["authorization-removed"],
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [admins, slow, waf]",
            &["address-filter-removed"],
        ),
        (
            "[{key: [admin]}]",
            "policies: [office, admins, slow, waf]",
            &["request-validation-changed"],
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [office, admins, slow]",
            &["guard-removed"],
        ),
        (
            "[{key: [admin]}]",
            "validate: {request: block}, policies: [office, admins, waf]",
            &["policies-changed"],
        ),
    ] {
        // Each edit changes the path, the method, or the base path or hosts of the mount.
        let moves = [
            ("/things", "post", "rewrite: {path: /items}, ", ""),
            ("/items", "put", "rewrite: {method: POST}, ", ""),
            (
                "/items",
                "post",
                "",
                ", mount: {base_path: /v1, strip_base_path: true}",
            ),
            ("/items", "post", "", ", mount: {hosts: [b.example]}"),
        ];
        for (path, method, rewrite, mount) in moves {
            let settings = format!("security: {security}, x-gateway: {{{rewrite}{settings}}}");
            let new = document(path, method, &settings);
            let gateway = GATEWAY.replace("api.yaml", &format!("api.yaml{mount}"));
            let plan = planned((GATEWAY, &old), (&gateway, &new));
            assert_eq!(gated(&plan), expected, "{path} {method}{mount} {settings}");
            // Renaming the operation in addition must not hide a change.
            let renamed = new.replace("operationId: make", "operationId: create");
            let plan = planned((GATEWAY, &old), (&gateway, &renamed));
            assert_eq!(gated(&plan), expected, "{path} {method}{mount} {settings}");
        }
    }
}

/// Without a `rewrite`, or with another address of the upstream, the upstream receives another
/// request, too. Then only the API and the `operationId` identify the operation.
#[test]
fn moved_operation_hides_no_access() {
    let key = |roles: &str, settings: &str| {
        format!("security: [{{key: [{roles}]}}], x-gateway: {{{settings}}}")
    };
    let policies = "policies: [office, admins, waf], validate: {request: block}";
    let cases: [(String, &[&str]); 6] = [
        (key("admin", policies), &[]),
        (key("", policies), &["security-requirement-changed"]),
        (
            key(
                "admin",
                "policies: [admins, waf], validate: {request: block}",
            ),
            &["address-filter-removed"],
        ),
        (
            key(
                "admin",
                "policies: [office, waf], validate: {request: block}",
            ),
            &["authorization-removed"],
        ),
        (
            key(
                "admin",
                "policies: [office, admins], validate: {request: block}",
            ),
            &["guard-removed"],
        ),
        (
            key("admin", "policies: [office, admins, waf]"),
            &["request-validation-changed"],
        ),
    ];
    let old = document("/items", "post", &cases[0].0);
    for (settings, expected) in cases {
        let rewritten = settings.replace("x-gateway: {", "x-gateway: {rewrite: {path: /items}, ");
        for (path, settings, from, to) in [
            ("/things", &settings, "path: api.yaml", "path: api.yaml"),
            (
                "/items",
                &settings,
                "path: api.yaml",
                "path: api.yaml, mount: {base_path: /v2}",
            ),
            (
                "/things",
                &rewritten,
                "http://127.0.0.1:9000",
                "http://127.0.0.1:9009",
            ),
        ] {
            let gateway = GATEWAY.replace(from, to);
            let new = document(path, "post", settings);
            let plan = planned((GATEWAY, &old), (&gateway, &new));
            assert_eq!(gated(&plan), expected, "{path} {to} {settings}");
            let back = planned((&gateway, &new), (GATEWAY, &old));
            assert_eq!(gated(&back), [""; 0], "back: {path} {to} {settings}");
            let stricter = back.changes.iter();
            let stricter = stricter.filter(|change| change.class == Class::Strengthen);
            let ids: Vec<&str> = stricter.map(|change| change.id).collect();
            assert_eq!(ids.len(), expected.len(), "back: {ids:?}");
        }
    }
}

/// An operation that has the name of another one and serves its requests did not move.
#[test]
fn exchanged_names_are_no_move() {
    let both = |[items, things]: [&str; 2]| {
        let plain = document("/items", "post", "security: [{key: [admin]}]");
        let (_, operation) = plain.split_once("/items:").expect("a path");
        let (operation, _) = operation.split_once("components:").expect("its end");
        let other = operation.replace("operationId: make", &format!("operationId: {things}"));
        let other = other.replace("[admin]", "[]");
        plain
            .replace("operationId: make", &format!("operationId: {items}"))
            .replace("components:", &format!("  /things:{other}components:"))
    };
    let (old, new) = (both(["make", "other"]), both(["other", "make"]));
    let plan = planned((GATEWAY, &old), (GATEWAY, &new));
    assert_eq!(gated(&plan), [""; 0]);
}

#[test]
fn moved_path_hides_no_wider_check() {
    let checked = "security: [{key: []}], x-gateway: {validate: {request: block}}";
    let moved = checked.replace("{validate", "{rewrite: {path: /items}, validate");
    let narrow =
        |document: String| document.replace("{type: object}", "{type: object, maxProperties: 3}");
    let old = narrow(document("/items", "post", checked));
    let wide = document("/things", "post", &moved);
    let plan = planned((GATEWAY, &old), (GATEWAY, &wide));
    assert_eq!(gated(&plan), ["request-check-widened"]);
    let plan = planned((GATEWAY, &old), (GATEWAY, &narrow(wide)));
    assert_eq!(gated(&plan), [""; 0]);
}

#[test]
fn line_names_the_request_and_its_old_operation() {
    let key = "security: [{key: [admin]}], x-gateway: {rewrite: {path: /items}}";
    let old = document("/items", "post", "security: [{key: [admin]}]");
    let new = document("/things", "post", &key.replace("[admin]", "[]"));
    let new = new.replace("operationId: make", "operationId: create");
    let plan = planned((GATEWAY, &old), (GATEWAY, &new));
    let mut changes = plan.changes.iter();
    let change = changes.find(|change| change.id == "security-requirement-changed");
    let change = change.expect("a line");
    assert_eq!(
        change.subject,
        "security of POST localhost:9000/items, before: a/make"
    );
    assert_eq!(change.old, "header x-key by keys with role admin");
    assert_eq!(change.new, "header x-key by keys");
    assert_eq!(change.operations, ["a/create"]);
}

#[test]
fn access_that_existed_before_is_no_change() {
    // In the old version, `/things` leads to the upstream path `/items` and requires a key without
    // a role.
    let both = |items: &str, things: &str| {
        let plain = document("/items", "post", "security: [{key: [admin]}]");
        let (_, operation) = plain.split_once("/items:").expect("a path");
        let (operation, _) = operation.split_once("components:").expect("its end");
        let other = operation.replace("operationId: make", "operationId: other");
        let other = other.replace("security: [{key: [admin]}]", things);
        let second = format!("  /things:{other}components:");
        plain
            .replace("security: [{key: [admin]}]", items)
            .replace("components:", &second)
    };
    let there = "security: [{key: []}], x-gateway: {rewrite: {path: /items}}";
    let old = both("security: [{key: [admin]}]", there);
    let new = document(
        "/others",
        "post",
        "security: [{key: []}], x-gateway: {rewrite: {path: /items}}",
    );
    let plan = planned((GATEWAY, &old), (GATEWAY, &new));
    assert_eq!(gated(&plan), [""; 0]);
    // In the old version, requests for `/items` belong to the operation that requires a role, and
    // never to `/{x}`.
    let wide = both("security: [{key: [admin]}]", "security: [{key: []}]");
    let wide = wide.replace(
        "  /things:",
        "  /{x}:\n    parameters: [{name: x, in: path, required: true, schema: {type: string}}]",
    );
    let plan = planned((GATEWAY, &wide), (GATEWAY, &new));
    assert!(
        gated(&plan).contains(&"security-requirement-changed"),
        "{:?}",
        gated(&plan)
    );
}

#[test]
fn way_round_that_existed_is_not_added() {
    let old = "security: [], x-gateway: {public: true, policies: [office]}";
    let with = |guard: &str| {
        let open =
            "security: [], x-gateway: {public: true, policies: [GUARD], rewrite: {path: /items}}";
        let plain = document("/items", "post", old);
        let (_, operation) = plain.split_once("/items:").expect("a path");
        let (operation, _) = operation.split_once("components:").expect("its end");
        let other = operation.replace("operationId: make", "operationId: other");
        let other = other.replace(old, &open.replace("GUARD", guard));
        let items = old.replace("[office]", "[office, admins]");
        plain
            .replace(old, &items.replace("security: []", "security: [{key: []}]"))
            .replace("components:", &format!("  /things:{other}components:"))
    };
    let plan = planned((GATEWAY, &with("office")), (GATEWAY, &with("halves")));
    let ids: Vec<&str> = plan.changes.iter().map(|change| change.id).collect();
    assert!(!ids.contains(&"way-round-added"), "{ids:?}");
    let wider = GATEWAY.replace("10.0.0.0/9, 10.128.0.0/9", "10.0.0.0/7");
    let plan = planned((GATEWAY, &with("office")), (&wider, &with("halves")));
    assert!(
        gated(&plan).contains(&"way-round-added"),
        "{:?}",
        gated(&plan)
    );
}

#[test]
fn certificate_is_part_of_the_access_before() {
    let listeners = "listeners:\n  public: {address: \"127.0.0.1:8080\"}\n  inner: {address: \"127.0.0.1:8443\", protocol: https, tls: {certificates: {main: {cert: \"${file:/t/c.pem}\", key: \"${file:/t/k.pem}\"}}, client_auth: {mode: required, ca: \"${file:/t/ca.pem}\"}}}\n";
    let side = |listener: &str, path: &str, settings: &str| {
        let mount = format!("api.yaml, mount: {{listeners: [{listener}]}}");
        let gateway = GATEWAY.replace("api.yaml", &mount) + listeners;
        let settings = format!("security: [{{key: []}}], x-gateway: {{{settings}}}");
        (gateway, document(path, "post", &settings))
    };
    let (old, new) = (
        side("inner", "/items", ""),
        side("public", "/things", "rewrite: {path: /items}"),
    );
    let plan = planned((&old.0, &old.1), (&new.0, &new.1));
    let expected = ["client-auth-changed", "listener-protocol-changed"];
    assert_eq!(gated(&plan), expected);
}

/// Edits of an operation `POST /items` after which the upstream gets the same request for another
/// request of clients: path, method, keys of `x-gateway`, and keys of the API in gateway.yaml.
const MOVES: [(&str, &str, &str, &str); 4] = [
    ("/things", "post", "rewrite: {path: /items}, ", ""),
    ("/items", "put", "rewrite: {method: POST}, ", ""),
    (
        "/items",
        "post",
        "",
        ", mount: {base_path: /v1, strip_base_path: true, hosts: [a.example]}",
    ),
    ("/items", "post", "", ", mount: {hosts: [b.example]}"),
];

/// A policy that decides by the path, host or method of clients' requests.
#[test]
fn policy_decides_on_another_request() {
    let expression = |text: &str| format!("authorize, expression: \"{text}\"");
    for (policy, expected) in [
        (
            expression("request.path != '/items' || 'adm' in auth.groups"),
            [true, false, true, false],
        ),
        (
            expression("request.method != 'POST' || 'adm' in auth.groups"),
            [false, true, false, false],
        ),
        (
            expression("request.host != 'a.example' || 'adm' in auth.groups"),
            [false, false, false, true],
        ),
        (
            "forward_auth, upstream: v".to_owned(),
            [true, true, true, true],
        ),
    ] {
        let gateway = |mount: &str| {
            let policy = format!("policies:\n  decides: {{kind: {policy}}}\n");
            let v = "upstreams:\n  v: {targets: {a: {url: \"http://127.0.0.1:9100\"}}}\n  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}\n";
            let upstreams = "upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n";
            assert!(GATEWAY.contains(upstreams));
            GATEWAY
                .replace("policies:\n", &policy)
                .replace(upstreams, v)
                .replace("api.yaml", &format!("api.yaml{mount}"))
        };
        let of = |path: &str, method: &str, settings: &str| {
            let settings =
                format!("security: [{{key: []}}], x-gateway: {{{settings}policies: [decides]}}");
            document(path, method, &settings)
        };
        let here = ", mount: {hosts: [a.example]}";
        let (before, old) = (gateway(here), of("/items", "post", ""));
        for ((path, method, rewrite, mount), is_other) in MOVES.into_iter().zip(expected) {
            let after = gateway(if mount.is_empty() { here } else { mount });
            let new = of(path, method, rewrite);
            let plan = planned((&before, &old), (&after, &new));
            let lines: &[&str] = if is_other {
                &["authorization-changed"]
            } else {
                &[]
            };
            assert_eq!(gated(&plan), lines, "{policy} {path} {method}{mount}");
        }
        // The same request of clients.
        let tighter = of("/items", "post", "timeout: 1s, ");
        let plan = planned((&before, &old), (&before, &tighter));
        assert_eq!(gated(&plan), [""; 0], "{policy}");
        let any = gateway("");
        let plan = planned((&any, &old), (&before, &old));
        assert_eq!(gated(&plan), [""; 0], "{policy}");
    }
}

#[test]
fn line_names_the_path_that_a_policy_reads() {
    let policy = "policies:\n  decides: {kind: authorize, expression: \"request.path != '/items' || 'adm' in auth.groups\"}\n";
    let gateway = GATEWAY.replace("policies:\n", policy);
    let settings = "security: [{key: []}], x-gateway: {policies: [decides]}";
    let old = document("/items", "post", settings);
    let further = "api.yaml, mounts: [{name: default}, {name: second, base_path: /v2, strip_base_path: true}]";
    let mounted = gateway.replace("api.yaml", further);
    let plan = planned((&gateway, &old), (&mounted, &old));
    let mut changes = plan.changes.iter();
    let change = changes.find(|change| change.id == "authorization-changed");
    let change = change.expect("a line");
    assert_eq!(change.class, Class::Incomparable);
    assert_eq!(
        change.subject,
        "authorize of POST localhost:9000/items, before: a/make"
    );
    let [was, is] = [&change.old, &change.new].map(|value| value.as_str().unwrap_or_default());
    assert!(was.ends_with("request.path is /items"), "{was}");
    assert!(is.ends_with("request.path is /v2/items"), "{is}");
}

/// Another operation, with the same request to the upstream, lacks a setting of the old operation.
#[test]
fn successor_loses_protecting_settings() {
    let parameter = |settings: &str| {
        format!(
            "parameters: [{{name: q, in: query, schema: {{type: string}}, x-gateway: {{{settings}}}}}], "
        )
    };
    let (redacted, kept) = (parameter("log: redact"), parameter("forward: false"));
    for (own, settings) in [
        ("", "streams: close, "),
        (redacted.as_str(), ""),
        (kept.as_str(), ""),
    ] {
        let of = |path: &str, id: &str, own: &str, settings: &str| {
            let own =
                format!("{own}security: [{{key: []}}], x-gateway: {{{settings}max_body: 1MiB}}");
            document(path, "post", &own).replace("operationId: make", &format!("operationId: {id}"))
        };
        let old = of("/items", "make", own, settings);
        let rewritten = "rewrite: {path: /items}, ";
        let same = of("/things", "create", own, &format!("{rewritten}{settings}"));
        let plan = planned((GATEWAY, &old), (GATEWAY, &same));
        assert_eq!(gated(&plan), [""; 0], "{own}{settings}");
        let lost = of("/things", "create", "", rewritten);
        let plan = planned((GATEWAY, &old), (GATEWAY, &lost));
        let changes = plan.changes.iter();
        let weaker = changes.filter(|change| change.class == Class::Weaken);
        let subjects: Vec<&str> = weaker.map(|change| change.subject.as_str()).collect();
        let is_of_pair = |subject: &&str| subject.contains("before: a/make");
        assert!(
            subjects.iter().any(is_of_pair),
            "{own}{settings}: {subjects:?}"
        );
    }
}

/// The operation before redacts its path parameter in the access log. A setting that the new path
/// has for its own parameter replaces only the same setting.
#[test]
fn renamed_path_parameter_keeps_only_the_same_setting() {
    let of = |path: &str, id: &str, name: &str, settings: &str, rewrite: &str| {
        let parameter = format!(
            "parameters: [{{name: {name}, in: path, required: true, schema: {{type: string}}, \
             x-gateway: {{{settings}}}}}], security: [{{key: []}}], x-gateway: {{{rewrite}}}"
        );
        document(path, "post", &parameter)
            .replace("operationId: make", &format!("operationId: {id}"))
    };
    let old = of("/items/{id}", "make", "id", "log: redact", "max_body: 1MiB");
    let rewrite = "rewrite: {path: \"/items/{key}\"}, max_body: 1MiB";
    for (settings, is_lost) in [("log: redact", false), ("log: hash", true), ("", true)] {
        let new = of("/things/{key}", "create", "key", settings, rewrite);
        let plan = planned((GATEWAY, &old), (GATEWAY, &new));
        let mut changes = plan.changes.iter();
        let found = changes.any(|change| {
            change.class == Class::Weaken && change.subject.starts_with("parameters.path.")
        });
        assert_eq!(found, is_lost, "{settings}: {:?}", gated(&plan));
    }
}

/// Document with these operations, each with its path, `operationId` and settings.
fn several(operations: &[(&str, &str, &str)]) -> String {
    let whole = document("/first", "post", "security: [{key: []}]");
    let (before, rest) = whole.split_once("  /first:").expect("a path");
    let (_, after) = rest.split_once("components:").expect("its end");
    let operations = operations.iter().map(|(path, id, settings)| {
        format!(
            "  {path}:\n    post: {{operationId: {id}, {BODY}, {settings}, responses: {{\"200\": {{description: fine}}}}}}\n"
        )
    });
    format!(
        "{before}{}components:{after}",
        operations.collect::<String>()
    )
}

const ADMIN: &str = "security: [{key: [admin]}]";
const ANY_KEY: &str = "security: [{key: []}]";

/// The target of the upstream changes together with the operation that replaces another one.
#[test]
fn changed_target_hides_no_successor() {
    let rewritten =
        |security: &str| format!("{security}, x-gateway: {{rewrite: {{path: /items}}}}");
    let (weaker, equal) = (rewritten(ANY_KEY), rewritten(ADMIN));
    let old = several(&[("/items", "make", ADMIN), ("/z", "other", ANY_KEY)]);
    let targets = [
        "http://127.0.0.1:9000",
        "http://127.0.0.1:9009",
        "http://b.example:9000",
        "http://127.0.0.1:9000/base",
    ];
    let renamed = |gateway: &str| {
        let gateway = gateway.replace("{u: {targets", "{w: {targets");
        gateway.replace("upstream: u}", "upstream: w}")
    };
    let gateways = targets.map(|target| GATEWAY.replace("http://127.0.0.1:9000", target));
    let renamed = gateways.each_ref().map(|gateway| renamed(gateway));
    for gateway in gateways.iter().chain(&renamed) {
        // The old operation moves to the path of another one, or the other one replaces it.
        for id in ["make", "other"] {
            let new = several(&[("/z", id, weaker.as_str())]);
            let found = gated(&planned((GATEWAY, &old), (gateway, &new)));
            assert_eq!(found, ["security-requirement-changed"], "{id} {gateway}");
            let equal = several(&[("/z", id, equal.as_str())]);
            let found = gated(&planned((GATEWAY, &old), (gateway, &equal)));
            assert_eq!(found, [""; 0], "{id} {gateway}");
        }
        // Only the target changes.
        let found = gated(&planned((GATEWAY, &old), (gateway, &old)));
        assert_eq!(found, [""; 0], "{gateway}");
    }
}

/// The names of two upstreams are exchanged, so that no server gets other requests.
#[test]
fn exchanged_names_of_upstreams_have_no_line() {
    let one = "u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}";
    let both = |ports: [&str; 2]| {
        let [u, v] =
            ports.map(|port| format!("{{targets: {{a: {{url: \"http://127.0.0.1:{port}\"}}}}}}"));
        GATEWAY.replace(one, &format!("u: {u}, v: {v}"))
    };
    let side = |[items, things]: [&str; 2]| {
        let at = |security: &str, name: &str| {
            format!("{security}, x-gateway: {{upstream: {name}, rewrite: {{path: /same}}}}")
        };
        let (items, things) = (at(ADMIN, items), at(ANY_KEY, things));
        several(&[
            ("/items", "make", items.as_str()),
            ("/things", "other", things.as_str()),
        ])
    };
    let (was, is) = (both(["9000", "9001"]), both(["9001", "9000"]));
    let (old, new) = (side(["u", "v"]), side(["v", "u"]));
    let plan = planned((&was, &old), (&is, &new));
    assert_eq!(gated(&plan), [""; 0]);
}

/// An operation that sends no request gave no access to the request before.
#[test]
fn operation_that_sends_nothing_hides_no_successor() {
    let gateway = GATEWAY.replace(
        "policies:\n",
        "policies:\n  away: {kind: redirect, host: b.example}\n",
    );
    let to_items =
        |more: &str| format!("{ANY_KEY}, x-gateway: {{rewrite: {{path: /items}}{more}}}");
    let moved = to_items("");
    for (decoy, is_open) in [("", true), (", policies: [away]", false)] {
        let settings = to_items(decoy);
        let decoy = ("/decoy", "decoy", settings.as_str());
        let old = several(&[("/items", "make", ADMIN), decoy]);
        let new = several(&[("/things", "make", moved.as_str()), decoy]);
        let found = gated(&planned((&gateway, &old), (&gateway, &new)));
        let expected: &[&str] = match is_open {
            true => &[],
            false => &["security-requirement-changed"],
        };
        assert_eq!(found, expected, "{}", decoy.2);
    }
}
