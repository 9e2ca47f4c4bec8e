//! Tests of bypasses: a rewritten request reaches the upstream path of a protected operation. Tests
//! the finding, and the change that creates a bypass.

use model::compile::{self, Purpose};
use plan::Plan;
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::{compiled, lines};

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
auth: {keys: {kind: api_key}}
upstreams:
  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}
  v: {targets: {a: {url: \"http://other.example:9000\"}}}
policies:
  office: {kind: ip_filter, allow: [10.0.0.0/8]}
defaults: {upstream: u}
";

fn document(open: &str, secret: &str) -> String {
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /open/{{x}}:
    parameters: [{{name: x, in: path, required: true, schema: {{type: string}}}}]
    get: {{operationId: open, security: [], x-gateway: {{public: true{open}}}, responses: {{\"200\": {{description: fine}}}}}}
  /secret/{{x}}:
    parameters: [{{name: x, in: path, required: true, schema: {{type: string}}}}]
    get: {{operationId: secret, {secret}, responses: {{\"200\": {{description: fine}}}}}}
components:
  securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}
"
    )
}

const KEY: &str = "security: [{key: []}]";

/// Messages of the finding `way-round`.
fn found(gateway: &str, document: &str) -> Vec<String> {
    let files = [("gateway.yaml", gateway), ("api.yaml", document)];
    let files = Files::in_memory(files, Limits::default());
    let compiled = compile::project(files, &Vec::new());
    let findings = compiled.findings.into_iter();
    let found = findings.filter(|finding| finding.lint.name == "way-round");
    found.map(|finding| finding.message).collect()
}

fn planned(old: (&str, &str), new: (&str, &str)) -> Plan {
    let side = |(gateway, document)| {
        let files = [("gateway.yaml", gateway), ("api.yaml", document)];
        compiled(&files, Purpose::Route).expect("it compiles")
    };
    plan::compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Lines `way-round-added` of a plan.
fn rounds(old: (&str, &str), new: (&str, &str)) -> Vec<String> {
    let plan = planned(old, new);
    let lines = lines(&plan).into_iter();
    lines.filter(|line| line.contains("way-round")).collect()
}

const ADDED: &str = "security weaken way-round-added a/open";

#[test]
fn rewrite_to_a_protected_path_weakens() {
    let plain = document("", KEY);
    assert_eq!(found(GATEWAY, &plain), [""; 0]);
    for path in [
        "/secret/1",
        "/secret/{x}",
        "/SECRET/1",
        "/secret/1/",
        "/secret/1.",
        "//secret/1",
        "/x/../secret/1",
        "/x/..;/secret/1",
        "/secret;v=1/1",
        "/%73ecret/1",
        "/%2573ecret%2f1",
    ] {
        let to = document(&format!(", rewrite: {{path: \"{path}\"}}"), KEY);
        assert_eq!(
            found(GATEWAY, &to),
            ["`a/open` may bypass the protection of `a/secret` at the upstream"],
            "{path}"
        );
        assert_eq!(rounds((GATEWAY, &plain), (GATEWAY, &to)), [ADDED], "{path}");
        // The plan has no line if the bypass existed before, or is removed.
        assert_eq!(rounds((GATEWAY, &to), (GATEWAY, &to)), [""; 0]);
        assert_eq!(rounds((GATEWAY, &to), (GATEWAY, &plain)), [""; 0]);
    }
}

#[test]
fn rewrite_elsewhere_is_no_way_round() {
    for (open, secret) in [
        (", rewrite: {path: \"/public/1\"}", KEY),
        (", rewrite: {path: \"/secret/1\", method: POST}", KEY),
        (", rewrite: {path: \"/secret/1\"}, upstream: v", KEY),
        (
            ", rewrite: {path: \"/secret/1\"}",
            "security: [], x-gateway: {public: true}",
        ),
    ] {
        let document = document(open, secret);
        assert_eq!(found(GATEWAY, &document), [""; 0], "{open}");
    }
}

#[test]
fn method_rewritten_to_a_protected_one_weakens() {
    let document = |open: &str| {
        document(open, KEY)
            .replace("/secret/{x}:", "/open/{y}:")
            .replace("parameters: [{name: x, in: path, required: true, schema: {type: string}}]\n    get: {operationId: secret", "parameters: [{name: y, in: path, required: true, schema: {type: string}}]\n    delete: {operationId: secret")
    };
    let (plain, to) = (document(""), document(", rewrite: {method: DELETE}"));
    assert_eq!(found(GATEWAY, &plain), [""; 0]);
    assert_eq!(
        found(GATEWAY, &to),
        ["`a/open` may bypass the protection of `a/secret` at the upstream"]
    );
    assert_eq!(rounds((GATEWAY, &plain), (GATEWAY, &to)), [ADDED]);
    assert_eq!(rounds((GATEWAY, &to), (GATEWAY, &plain)), [""; 0]);
    // A policy rewrites the request of the protected operation.
    let policy = GATEWAY.replace(
        "policies:\n",
        "policies:\n  goes: {kind: rewrite, method: DELETE}\n",
    );
    let by_policy = document(", policies: [goes]");
    assert_eq!(rounds((&policy, &plain), (&policy, &by_policy)), [ADDED]);
    let secret = "delete: {operationId: secret, security: [{key: []}],";
    let protected = plain.replace(
        secret,
        &format!(
            "{} x-gateway: {{rewrite: {{method: GET}}}},",
            secret.replace("delete", "put")
        ),
    );
    assert_eq!(found(GATEWAY, &protected).len(), 1);
    let other = document(", rewrite: {method: PUT}");
    assert_eq!(found(GATEWAY, &other), [""; 0]);
}

#[test]
fn names_of_the_local_machine_are_one_host() {
    for url in [
        "http://localhost:9000",
        "http://0.0.0.0:9000",
        "http://[::1]:9000",
        "http://[::ffff:127.0.0.1]:9000",
    ] {
        let gateway = GATEWAY.replace("http://other.example:9000", url);
        let to = document(", upstream: v, rewrite: {path: /secret/1}", KEY);
        assert_eq!(found(&gateway, &to).len(), 1, "{url}");
    }
    let ports = GATEWAY.replace("http://127.0.0.1:9000", "https://other.example");
    let ports = ports.replace("http://other.example:9000", "http://OTHER.example.:443");
    let to = document(", upstream: v, rewrite: {path: /secret/1}", KEY);
    assert_eq!(found(&ports, &to).len(), 1);
}

#[test]
fn mirror_split_and_target_path_are_ways_round() {
    let based = GATEWAY.replace("http://other.example:9000", "http://127.0.0.1:9000/secret");
    let open = |more: &str| document(more, KEY).replace("/open/{x}", "/{x}");
    for (gateway, document) in [
        (&based, open(", upstream: v")),
        (&based, open(", mirror: {upstream: v}")),
        (
            &based,
            open(", split: [{upstream: u, weight: 1}, {upstream: v, weight: 1}]"),
        ),
    ] {
        assert_eq!(found(gateway, &document).len(), 1, "{document}");
        assert_eq!(
            rounds((gateway, &open("")), (gateway, &document)),
            [ADDED],
            "{document}"
        );
    }
}

#[test]
fn stripped_base_path_is_a_way_round() {
    let apis = "apis: {a: {path: api.yaml}}";
    let two = |strip: bool| {
        GATEWAY.replace(
            apis,
            &format!("apis: {{a: {{path: api.yaml}}, b: {{path: b.yaml, mount: {{base_path: /b, strip_base_path: {strip}}}}}}}"),
        )
    };
    let other = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /secret/1: {get: {operationId: other, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}\n";
    let side = |strip: bool| {
        let document = document("", KEY);
        let gateway = two(strip);
        let files = [
            ("gateway.yaml", gateway.as_str()),
            ("api.yaml", &document),
            ("b.yaml", other),
        ];
        compiled(&files, Purpose::Route).expect("it compiles")
    };
    let plan = plan::compare(Some(&side(false)), &side(true)).expect("both build");
    assert!(
        lines(&plan).contains(&"security weaken way-round-added b/other".to_owned()),
        "{:?}",
        lines(&plan)
    );
}

#[test]
fn address_filter_and_certificate_protect() {
    let open = "security: [], x-gateway: {public: true, policies: [office]}";
    let filtered = document(", rewrite: {path: /secret/1}", open);
    assert_eq!(found(GATEWAY, &filtered).len(), 1);
    let both = document(", policies: [office], rewrite: {path: /secret/1}", open);
    assert_eq!(found(GATEWAY, &both), [""; 0]);

    // One API is at a listener that requires client certificates, and the other at a listener that
    // does not.
    let gateway = GATEWAY.replace(
        "apis: {a: {path: api.yaml}}",
        "apis:\n  a: {path: api.yaml, mount: {listeners: [inner]}}\n  b: {path: b.yaml, mount: {listeners: [public]}}\n\
listeners:\n  public: {address: \"127.0.0.1:8080\"}\n  inner: {address: \"127.0.0.1:8443\", protocol: https, tls: {certificates: {main: {cert: \"${file:/t/c.pem}\", key: \"${file:/t/k.pem}\"}}, client_auth: {mode: required, ca: \"${file:/t/ca.pem}\"}}}\n",
    );
    let inner = document("", "security: [], x-gateway: {public: true}");
    let other = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /secret/1: {get: {operationId: other, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}\n";
    let files = [
        ("gateway.yaml", gateway.as_str()),
        ("api.yaml", &inner),
        ("b.yaml", other),
    ];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let found: Vec<&str> = compiled
        .findings
        .iter()
        .filter(|finding| finding.lint.name == "way-round")
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(
        found,
        ["`b/other` may bypass the protection of `a/secret` at the upstream"],
        "{:?}",
        compiled.findings
    );
}

/// Both operations admit the same callers, but check their requests differently.
#[test]
fn operation_with_fewer_checks_is_a_way_round() {
    let body = |schema: &str| {
        format!(
            "requestBody: {{required: true, content: {{application/json: {{schema: {schema}}}}}}}"
        )
    };
    let role = body("{type: object, required: [role], properties: {role: {enum: [user]}}}");
    let limits = GATEWAY.replace(
        "policies:\n",
        "policies:\n  few: {kind: rate_limit, limit: 5/s, key: address}\n  many: {kind: rate_limit, limit: 50/s, key: address}\n  scan: {kind: threat, rules: [sql_union]}\n",
    );
    let operation = |path: &str, id: &str, own: &str, more: &str| {
        format!(
            "  {path}:\n    post: {{operationId: {id}, {KEY}, x-gateway: {{max_body: 1MiB{own}}}, {more} responses: {{\"200\": {{description: fine}}}}}}\n"
        )
    };
    let document = |operations: &[String]| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n{}components:\n  securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}\n",
            operations.concat()
        )
    };
    let block = ", validate: {request: block}";
    let with = |described: &str| format!("{described},");
    for (own, described, other, other_described, is_way_round) in [
        // Both operations have the same checks.
        (block, with(&role), block, with(&role), false),
        (
            block,
            with(&role),
            block,
            with(&body(
                "{type: object, required: [role], properties: {role: {const: user}}}",
            )),
            false,
        ),
        (
            ", policies: [few]",
            String::new(),
            ", policies: [few]",
            String::new(),
            false,
        ),
        // The other operation has fewer checks.
        (block, with(&role), block, String::new(), true),
        (
            block,
            with(&role),
            block,
            with(&body("{type: object}")),
            true,
        ),
        (block, with(&role), "", with(&role), true),
        (
            block,
            with(&role),
            ", validate: {request: log}",
            with(&role),
            true,
        ),
        (
            ", policies: [few]",
            String::new(),
            ", policies: [many]",
            String::new(),
            true,
        ),
        (", policies: [few]", String::new(), "", String::new(), true),
        (", policies: [scan]", String::new(), "", String::new(), true),
        // The other operation has more checks.
        (
            "",
            String::new(),
            ", policies: [few, scan]",
            String::new(),
            false,
        ),
    ] {
        let protected = operation("/orders", "made", own, &described);
        for (path, to) in [
            ("/orders/", ""),
            ("/ORDERS", ""),
            ("/things", ", rewrite: {path: /orders}"),
        ] {
            let other = operation(path, "other", &format!("{other}{to}"), &other_described);
            let old = document(std::slice::from_ref(&protected));
            let new = document(&[protected.clone(), other]);
            let expected: &[&str] = match is_way_round {
                true => &["security weaken way-round-added a/other"],
                false => &[],
            };
            let found = rounds((&limits, &old), (&limits, &new));
            assert_eq!(found, expected, "{own} {described} {path} {to}");
            assert_eq!(rounds((&limits, &new), (&limits, &new)), [""; 0]);
        }
    }
}

#[test]
fn added_protection_creates_no_way_round() {
    let to = ", rewrite: {path: /secret/1}";
    let (old, new) = (
        document(to, "security: [], x-gateway: {public: true}"),
        document(to, KEY),
    );
    // Every caller could already reach the operation, so the change creates no bypass. Only the
    // finding reports it.
    assert_eq!(rounds((GATEWAY, &old), (GATEWAY, &new)), [""; 0]);
    assert_eq!(found(GATEWAY, &new).len(), 1);
}

#[test]
fn acknowledged_way_round_binds_its_path() {
    let plain = document("", KEY);
    let fingerprint = |path: &str| {
        let to = document(&format!(", rewrite: {{path: \"{path}\"}}"), KEY);
        let plan = planned((GATEWAY, &plain), (GATEWAY, &to));
        let mut changes = plan.changes.into_iter();
        let change = changes.find(|change| change.id == "way-round-added");
        change.expect("the plan has the change").fingerprint
    };
    assert_ne!(fingerprint("/secret/1"), fingerprint("/secret/2"));
}

#[cfg(debug_assertions)]
#[test]
fn bound_of_comparisons_reached_is_reported() {
    let document = document("", KEY);
    let moved = document.replace("/open/{x}", "/secret/{x}/more");
    let sides = ((GATEWAY, &*document), (GATEWAY, &*moved));
    // Below the maximum number of comparisons, gwc reports no missing comparison.
    assert_eq!(found(GATEWAY, &document), Vec::<String>::new());
    assert!(
        planned(sides.0, sides.1)
            .notes
            .iter()
            .all(|note| !note.contains("comparisons"))
    );
    model::outbound::with_comparisons(0, || {
        let expected = "not compared with all protected operations for a bypass";
        let reported = found(GATEWAY, &document);
        assert!(
            reported.iter().any(|reported| reported.contains(expected)),
            "{reported:?}"
        );
        let plan = planned(sides.0, sides.1);
        let not_compared = lines(&plan)
            .into_iter()
            .filter(|line| line.contains("way-round-not-compared"));
        // The line names only the changed operation, not the protected operation.
        assert_eq!(
            not_compared.collect::<Vec<_>>(),
            ["security incomparable way-round-not-compared a/open"]
        );
        let notes = plan.notes;
        assert!(
            notes.iter().any(|note| note.contains(expected)),
            "{notes:?}"
        );
    });
}

#[test]
fn discovered_server_is_the_same_server() {
    let targets = "u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}";
    let secret = document("", KEY);
    let open = document(", upstream: v, rewrite: {path: \"/secret/1\"}", KEY);
    for (u, v, found_one) in [
        (
            "targets: {a: {url: \"http://svc:9000\"}}",
            "dns: {name: SVC., port: 9000}",
            true,
        ),
        (
            "dns: {name: svc, port: 9000}",
            "targets: {a: {url: \"http://svc:9000\"}}",
            true,
        ),
        (
            "dns: {name: localhost, port: 9000}",
            "targets: {a: {url: \"http://[::ffff:127.0.0.1]:9000\"}}",
            true,
        ),
        (
            "dns: {name: svc, port: 9000}",
            "dns: {name: svc, port: 9001}",
            false,
        ),
    ] {
        let other = "v: {targets: {a: {url: \"http://other.example:9000\"}}}";
        let gateway = GATEWAY.replace(targets, &format!("u: {{{u}}}"));
        let gateway = gateway.replace(other, &format!("v: {{{v}}}"));
        let expected: &[&str] = if found_one { &[ADDED] } else { &[] };
        assert_eq!(
            rounds((&gateway, &secret), (&gateway, &open)),
            expected,
            "{u} {v}"
        );
    }
}

/// Settings with which an operation sends no request to `u`, and settings with which it does.
const BEGINNINGS: [(&str, &str); 7] = [
    (", policies: [away]", ""),
    (", policies: [closed]", ""),
    (
        ", upstream: v, split: [{upstream: v}, {upstream: u, weight: 0}]",
        ", upstream: v, split: [{upstream: v}, {upstream: u, weight: 1}]",
    ),
    // The last split selects the upstream.
    (", split: [{upstream: v}]", ""),
    (
        ", policies: [first], split: [{upstream: v}]",
        ", policies: [first]",
    ),
    (", upstream: v, mirror: {upstream: u}", ""),
    (
        ", deprecated: {since: \"2020-01-01\", sunset: \"2020-02-01\"}",
        ", deprecated: {since: \"2020-01-01\", sunset: \"2120-02-01\"}",
    ),
];

/// Gateway with the policies of [`BEGINNINGS`].
fn beginning() -> String {
    let policies = "policies:
  away: {kind: redirect, host: b.example}
  empty: {kind: respond, status: 204}
  found: {kind: respond, status: 302, headers: {Location: /y}}
  closed: {kind: respond, status: 403}
  first: {kind: split, among: [{upstream: u}]}
";
    GATEWAY.replace("policies:\n", policies)
}

const TO_SECRET: &str = ", rewrite: {path: /secret/1}";

#[test]
fn way_that_sent_nothing_before_is_added() {
    let gateway = beginning();
    for (idle, sending) in BEGINNINGS {
        let side = |settings: &str| document(&format!("{settings}{TO_SECRET}"), KEY);
        let (old, new) = (side(idle), side(sending));
        assert_eq!(
            rounds((&gateway, &old), (&gateway, &new)),
            [ADDED],
            "{idle}"
        );
        for (from, to) in [(&old, &old), (&new, &new), (&new, &old)] {
            let found = rounds((&gateway, from), (&gateway, to));
            assert_eq!(found, [""; 0], "{from} → {to}");
        }
    }
    // A target gets its first share of the requests.
    let open = document(&format!(", upstream: v{TO_SECRET}"), KEY);
    let weighted = |weight: u32| {
        let targets = format!(
            "a: {{url: \"http://other.example:9000\"}}, b: {{url: \"http://127.0.0.1:9000\", weight: {weight}}}"
        );
        GATEWAY.replace("a: {url: \"http://other.example:9000\"}", &targets)
    };
    let (old, new) = (weighted(0), weighted(1));
    assert_eq!(rounds((&old, &open), (&new, &open)), [ADDED]);
    assert_eq!(rounds((&new, &open), (&old, &open)), [""; 0]);
    assert_eq!(rounds((GATEWAY, &open), (&old, &open)), [""; 0]);
}

/// A second operation has the same upstream path. It hides the way round only if it sends requests
/// there.
#[test]
fn operation_that_sends_nothing_hides_no_way() {
    let gateway = beginning();
    let side = |open: &str, method: &str, settings: &str| {
        let decoy = format!(
            "  /decoy:\n    {method}: {{operationId: decoy, security: [], x-gateway: {{public: true{settings}}}, responses: {{\"200\": {{description: fine}}}}}}\ncomponents:"
        );
        document(open, KEY).replace("components:", &decoy)
    };
    let idle = BEGINNINGS.map(|(idle, _)| ("get", format!("{idle}{TO_SECRET}"), true));
    let others = [
        (
            "trace",
            ", rewrite: {path: /secret/1, method: GET}".to_owned(),
            true,
        ),
        ("get", TO_SECRET.to_owned(), false),
    ];
    for (method, settings, is_added) in idle.into_iter().chain(others) {
        let old = side("", method, &settings);
        let new = side(TO_SECRET, method, &settings);
        let expected: &[&str] = if is_added { &[ADDED] } else { &[] };
        let found = rounds((&gateway, &old), (&gateway, &new));
        assert_eq!(found, expected, "{method} {settings}");
    }
}

/// An operation that ends later than before is a longer way, and one that ends earlier is not.
#[test]
fn later_sunset_makes_the_way_longer() {
    let side = |day: &str| {
        let until =
            format!(", deprecated: {{since: \"2020-01-01\", sunset: \"{day}\"}}{TO_SECRET}");
        document(&until, KEY)
    };
    let (early, late) = (side("2120-01-01"), side("2120-01-02"));
    assert_eq!(rounds((GATEWAY, &early), (GATEWAY, &late)), [ADDED]);
    assert_eq!(rounds((GATEWAY, &late), (GATEWAY, &early)), [""; 0]);
    let unchanged = GATEWAY.replace("[10.0.0.0/8]", "[10.0.0.0/9]");
    assert_eq!(rounds((GATEWAY, &late), (&unchanged, &late)), [""; 0]);
}

#[test]
fn removed_reply_exposes_the_operation() {
    let gateway = beginning();
    let exposed = |old: &str, new: &str| -> Vec<String> {
        let lines = lines(&planned((&gateway, old), (&gateway, new))).into_iter();
        lines.filter(|line| line.contains("exposed")).collect()
    };
    for (security, public, class) in [
        (KEY, "", "expose"),
        ("security: []", "public: true, ", "weaken"),
    ] {
        let side = |policies: &str| {
            let own = format!("{security}, x-gateway: {{{public}policies: [{policies}]}}");
            document("", &own)
        };
        for reply in ["away", "empty", "found"] {
            let answered = side(reply);
            for after in ["", "office"] {
                let line = format!("security {class} operation-exposed a/secret");
                assert_eq!(exposed(&answered, &side(after)), [line], "{reply} {after}");
            }
            assert_eq!(exposed(&side(""), &answered), [""; 0], "{reply}");
            let still = side(&format!("office, {reply}"));
            assert_eq!(exposed(&answered, &still), [""; 0], "{reply}");
        }
    }
}

#[test]
fn operation_that_sends_nothing_is_no_finding() {
    let gateway = beginning();
    for (settings, count) in [
        ("", 1),
        (", policies: [away]", 0),
        (", policies: [closed]", 0),
        (", split: [{upstream: v}]", 0),
        (", upstream: v, mirror: {upstream: u}", 1),
    ] {
        let open = document(&format!("{settings}{TO_SECRET}"), KEY);
        assert_eq!(found(&gateway, &open).len(), count, "{settings}");
    }
}

/// A catch-all operation is open, but the router never sent the protected path to it: another
/// operation received these requests.
#[test]
fn separated_path_was_no_earlier_way() {
    let gateway = beginning();
    // `c` is the separating operation, at the path of the protected one on another host.
    let other = |c: &str, open: &str| {
        format!(
            "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /secret/1:
    get: {{operationId: c, security: [], x-gateway: {{public: true{c}}}, responses: {{\"200\": {{description: fine}}}}}}
  /y:
    get: {{operationId: open, security: [], x-gateway: {{public: true{open}}}, responses: {{\"200\": {{description: fine}}}}}}
  /:
    x-gateway: {{match: prefix}}
    get: {{operationId: all, security: [], x-gateway: {{public: true}}, responses: {{\"200\": {{description: fine}}}}}}
"
        )
    };
    let gateway = gateway.replace(
        "apis: {a: {path: api.yaml}}",
        "apis: {a: {path: api.yaml, mount: {hosts: [a.example]}}, b: {path: other.yaml, mount: {hosts: [b.example]}}}",
    );
    let protected = document("", KEY);
    let added = |old: &str, new: &str| -> Vec<String> {
        let side = |other: &str| {
            let files = [
                ("gateway.yaml", gateway.as_str()),
                ("api.yaml", protected.as_str()),
                ("other.yaml", other),
            ];
            compiled(&files, Purpose::Route).expect("it compiles")
        };
        let plan = plan::compare(Some(&side(old)), &side(new)).expect("both sides build");
        let lines = lines(&plan).into_iter();
        lines.filter(|line| line.contains("way-round")).collect()
    };
    for c in [
        ", upstream: v",
        ", policies: [closed]",
        ", policies: [away]",
    ] {
        let (old, new) = (other(c, ""), other(c, TO_SECRET));
        let line = "security weaken way-round-added b/open";
        assert_eq!(added(&old, &new), [line], "{c}");
        let opened = other("", "");
        let line = "security weaken way-round-added b/c";
        assert_eq!(added(&old, &opened), [line], "{c}");
    }
    // An operation with conditions leaves requests to the catch-all.
    let c = ", upstream: v, match: {headers: {X-Beta: {present: true}}}";
    assert_eq!(added(&other(c, ""), &other(c, TO_SECRET)), [""; 0]);
    // The router sent the path to the upstream before.
    let (old, new) = (other("", ""), other("", TO_SECRET));
    assert_eq!(added(&old, &new), [""; 0]);
}
