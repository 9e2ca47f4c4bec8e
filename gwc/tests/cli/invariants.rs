//! Tests of `invariants`: conditions on operations, which each compilation proves.

use crate::git::{commit, git};
use crate::project::Project;
use crate::route::shop;

/// Creates the project of the `gwc route` tests, with these invariants.
pub(crate) fn with_invariants(invariants: &str) -> Project {
    let project = shop();
    let gateway = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{gateway}invariants: [rules.yaml]\n"),
    );
    project.write("rules.yaml", invariants);
    project
}

/// Lints a project with one invariant. Returns the keys of the operations that violate it, in the
/// order of the findings.
pub(crate) fn violated(selection: &str, require: &str) -> Vec<String> {
    let project = with_invariants(&format!(
        "- {{name: one, where: {selection}, require: {require}}}\n"
    ));
    let ended = project.run(&["lint", "--format", "concise"]);
    let lines = ended
        .out
        .lines()
        .filter(|line| line.contains("violates the invariant `one`"));
    let keys: Vec<String> = lines
        .map(|line| line.split('`').nth(1).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(ended.code, i32::from(!keys.is_empty()), "{}", ended.out);
    keys
}

const ALL: &str = "{path: /**}";
const NONE: [&str; 0] = [];

#[test]
fn each_selection_finds_its_operations() {
    for (selection, keys) in [
        (
            "{path: /v1/orders/*}",
            vec!["orders/getOrder", "orders/latest", "orders/headAny"],
        ),
        (
            "{path: /orders}",
            vec!["orders/listOrders", "orders/addOrder"],
        ),
        ("{path: /v1/other}", vec![]),
        ("{methods: [POST]}", vec!["orders/addOrder"]),
        (
            "{methods: [HEAD], path: /orders/*}",
            vec!["orders/getOrder", "orders/latest", "orders/headAny"],
        ),
        (
            "{operations: [\"*Order\"]}",
            vec!["orders/addOrder", "orders/getOrder"],
        ),
        ("{apis: [orders], methods: [DELETE]}", vec![]),
        (
            "{listeners: [public], operations: [orders/latest]}",
            vec!["orders/latest"],
        ),
        ("{listeners: [other]}", vec![]),
        (
            "{upstreams: [orders], methods: [POST]}",
            vec!["orders/addOrder"],
        ),
        ("{upstreams: [payments]}", vec![]),
        ("{anonymous: true}", vec![]),
        ("{tags: [x]}", vec![]),
        ("{owners: [x]}", vec![]),
    ] {
        assert_eq!(
            violated(selection, "{unreachable: true}"),
            keys,
            "{selection}"
        );
    }
}

#[test]
fn each_requirement_holds_or_is_violated() {
    let every = [
        "orders/listOrders",
        "orders/addOrder",
        "orders/getOrder",
        "orders/latest",
        "orders/headAny",
    ];
    for (holds, violates) in [
        ("{authenticated: true}", "{unreachable: true}"),
        ("{auth: [keys]}", "{auth: [staff]}"),
        ("{policies: [slow, mark]}", "{policies: [slow, other]}"),
        ("{kinds: [quota, rate_limit]}", "{kinds: [quota]}"),
        ("{upstreams: [\"ord*\"]}", "{upstreams: [payments]}"),
        ("{not_upstreams: [payments]}", "{not_upstreams: [\"*\"]}"),
        ("{listeners: [public]}", "{listeners: [internal]}"),
        ("{not_kinds: [cache]}", "{not_kinds: [rate_limit]}"),
        ("{timeout: 4s}", "{timeout: 2s}"),
    ] {
        assert_eq!(violated(ALL, holds), NONE, "{holds}");
        assert_eq!(violated(ALL, violates), every, "{violates}");
    }
    // An operation without a body limit violates every `max_body`.
    assert_eq!(violated(ALL, "{max_body: 1GiB}"), every);
    let project = with_invariants("- {name: one, require: {max_body: 1KiB}}\n");
    project.edit(
        "gateway.yaml",
        "timeout: 5s}",
        "timeout: 5s, max_body: 1KiB}",
    );
    project.run(&["lint"]).with(0);
    project.edit("gateway.yaml", "max_body: 1KiB}", "max_body: 2KiB}");
    project
        .run(&["lint"])
        .with(1)
        .contains("its `max_body` is 2048 bytes");
    // One operation has a shorter timeout than the others.
    assert_eq!(violated(ALL, "{timeout: 3s}").len(), 4);
}

#[test]
fn responses_to_anonymous_callers_are_not_cached() {
    let invariant =
        "- {name: no shared responses, where: {anonymous: true}, require: {not_kinds: [cache]}}\n";
    let project = with_invariants(invariant);
    project.edit(
        "gateway.yaml",
        "policies: {",
        "policies: {kept: {kind: cache, ttl: 5s}, ",
    );
    let own = "{timeout: 3s}";
    project.edit("orders.yaml", own, "{timeout: 3s, +policies: [kept]}");
    project.run(&["lint", "--format", "concise"]).with(0);
    project.edit(
        "orders.yaml",
        "{timeout: 3s, +policies: [kept]}",
        "{timeout: 3s, +policies: [kept], public: true, security: []}",
    );
    project
        .run(&["lint", "--format", "concise"])
        .with(1)
        .contains("a policy of the kind `cache` runs");
}

#[test]
fn invariant_includes_upstreams_of_split_and_mirror() {
    for setting in [
        "split: [{upstream: pay, weight: 1}]",
        "split: [{upstream: orders, weight: 9}, {upstream: pay, weight: 1}]",
        "mirror: {upstream: pay}",
    ] {
        let project = with_invariants("- {name: no pay, require: {not_upstreams: [pay]}}\n");
        project.edit(
            "gateway.yaml",
            "upstreams: {",
            "upstreams: {pay: {targets: {a: {url: \"http://127.0.0.1:9007\"}}}, ",
        );
        project.edit(
            "orders.yaml",
            "{timeout: 3s}",
            &format!("{{timeout: 3s, {setting}}}"),
        );
        let ended = project.run(&["lint", "--format", "concise"]).with(1);
        let expected =
            "`orders/listOrders` violates the invariant `no pay`: it uses the upstream `pay`";
        assert!(ended.out.contains(expected), "{setting}: {}", ended.out);
    }
}

#[test]
fn literals_of_a_path_are_normalised() {
    for (template, pattern) in [
        ("/my-orders", "/my%2Dorders/**"),
        ("/café", "/caf%c3%a9/**"),
        ("/café", "/café"),
        ("/a b", "\"/a b/**\""),
    ] {
        let project = with_invariants(&format!(
            "- {{name: one, where: {{path: {pattern}}}, require: {{unreachable: true}}}}\n"
        ));
        project.edit("orders.yaml", "  /orders:", &format!("  {template}:"));
        let ended = project.run(&["lint", "--format", "concise"]).with(1);
        let expected = "`orders/listOrders` violates the invariant `one`";
        assert!(
            ended.out.contains(expected),
            "{template} {pattern}: {}",
            ended.out
        );
    }
}

#[test]
fn one_open_alternative_violates_an_invariant() {
    let project =
        with_invariants("- {name: staff, where: {path: /orders/**}, require: {auth: [keys]}}\n");
    project.edit(
        "orders.yaml",
        "operationId: getOrder,",
        "operationId: getOrder, security: [{key: []}, {}],",
    );
    let ended = project.run(&["lint", "--format", "concise"]).with(1);
    assert!(
        ended.out.contains("`orders/getOrder` violates the invariant `staff`: it admits callers whose credential `keys` does not check"),
        "{}",
        ended.out
    );
    assert_eq!(ended.out.matches("violates the invariant").count(), 1);
}

#[test]
fn undescribed_requests_are_operations_too() {
    let project = with_invariants(
        "- {name: no admin, where: {path: /admin/users/**}, require: {unreachable: true}}\n",
    );
    project.run(&["lint"]).with(0);
    project.edit(
        "gateway.yaml",
        "orders: {path: orders.yaml,",
        "orders: {path: orders.yaml, unmatched: orders,",
    );
    let ended = project.run(&["lint"]).with(1);
    let out = ended.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        out.contains("`orders#unmatched` violates the invariant `no admin`"),
        "{out}"
    );
    assert!(
        out.contains("for example the request `GET /admin/users"),
        "{out}"
    );
}

#[test]
fn mistakes_and_empty_selections_are_findings() {
    for (text, expected, code) in [
        (
            "- {name: a, require: {auht: [x]}}\n",
            "did you mean `auth`",
            1,
        ),
        (
            "- {name: a, where: {path: admin}, require: {unreachable: true}}\n",
            "a path such as",
            1,
        ),
        ("- {name: a, require: {}}\n", "a requirement", 1),
        ("- {name: a, require: {kinds: [quotaa]}}\n", "`quota`", 1),
        ("- {require: {unreachable: true}}\n", "name", 1),
        (
            "- {name: a, require: {authenticated: true}}\n- {name: a, require: {authenticated: true}}\n",
            "two invariants have the same name",
            1,
        ),
        (
            "- {name: a, where: {path: /amdin/x/y/**}, require: {authenticated: true}}\n",
            "no operation is selected by the invariant `a`",
            0,
        ),
    ] {
        let ended = with_invariants(text)
            .run(&["lint"])
            .with(code)
            .contains(expected);
        assert!(ended.out.contains("[rules.yaml:"), "{}", ended.out);
    }
}

#[test]
fn change_of_an_invariant_is_a_change_of_the_rules() {
    let project = with_invariants(
        "- {name: each, require: {authenticated: true}}\n- {name: slow, require: {kinds: [rate_limit]}}\n",
    );
    let gateway = project.read("gateway.yaml");
    project.write("gateway.yaml", format!("{gateway}gates: [weaken]\n"));
    git(project.path(), &["init", "-q", "-b", "main"]);
    commit(&project, "one");
    let plan = |invariants: &str| {
        project.write("rules.yaml", invariants);
        project.run(&["plan", "--against", "git:main"])
    };
    // Another order of the keys is not a change.
    plan("- {require: {kinds: [rate_limit]}, name: slow}\n- {name: each, require: {authenticated: true}}\n")
        .with(0)
        .contains("No changes");
    let removed = plan("- {name: each, require: {authenticated: true}}\n").with(1);
    assert!(removed.out.contains("invariant slow"), "{}", removed.out);
    let changed = plan(
        "- {name: each, where: {methods: [GET]}, require: {authenticated: true}}\n- {name: slow, require: {kinds: [rate_limit]}}\n",
    )
    .with(1);
    assert!(changed.out.contains("invariant each"), "{}", changed.out);
    // An old version that violates its invariants is still compared.
    project.write(
        "rules.yaml",
        "- {name: each, require: {unreachable: true}}\n",
    );
    commit(&project, "two");
    plan("- {name: each, require: {unreachable: true}}\n")
        .with(1)
        .contains("violates the invariant");
    project.write(
        "gateway.yaml",
        project
            .read("gateway.yaml")
            .replace("invariants: [rules.yaml]\n", ""),
    );
    project
        .run(&["plan", "--against", "git:main"])
        .with(1)
        .contains("invariant each");
}

#[test]
fn lists_with_the_same_letters_differ() {
    let rule = |operations: &str| {
        format!(
            "- {{name: none, where: {{operations: [{operations}]}}, require: {{unreachable: true}}}}\n"
        )
    };
    let project = with_invariants(&rule("orders/a, orders/b"));
    git(project.path(), &["init", "-q", "-b", "main"]);
    commit(&project, "one");
    project.write("rules.yaml", rule("\"orders/a, orders/b\""));
    let ended = project.run(&["plan", "--against", "git:main"]);
    assert!(ended.out.contains("invariant none"), "{}", ended.out);
}

/// Lints a small project with these policies and this `x-gateway` of its operation. Returns the
/// keys of the operations that violate `require: {kinds: [validate, rate_limit]}`.
fn unenforced(policies: &str, of_operation: &str) -> Vec<String> {
    let project = Project::new();
    project.write(
        "gateway.yaml",
        format!(
            "version: 1
name: shop
apis: {{a: {{path: a.yaml}}}}
upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}
policies: {policies}
defaults: {{upstream: u, security: upstream}}
invariants: [rules.yaml]
"
        ),
    );
    project.write(
        "a.yaml",
        format!(
            "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /one: {{get: {{operationId: one, x-gateway: {of_operation}, responses: {{\"200\": {{description: d}}}}}}}}
  /two: {{get: {{operationId: two, x-gateway: {{validate: {{request: block}}}}, responses: {{\"200\": {{description: d}}}}}}}}
"
        ),
    );
    project.write(
        "rules.yaml",
        "- {name: one, require: {kinds: [validate, rate_limit]}}\n",
    );
    let ended = project.run(&["lint", "--format", "concise"]);
    let lines = ended.out.lines();
    let lines = lines.filter(|line| line.contains("violates the invariant `one`"));
    lines
        .map(|line| line.split('`').nth(1).unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn only_policies_that_run_and_enforce_count() {
    let limit = |mode: &str| {
        format!("{{p: {{kind: rate_limit, limit: 10/s, burst: 5, key: address, mode: {mode}}}}}")
    };
    let named = "{policies: [p]}";
    let valid = |mode: &str| format!("{{p: {{kind: validate, request: {mode}}}}}");
    assert_eq!(unenforced(&limit("block"), named), NONE);
    assert_eq!(unenforced(&limit("log"), named), ["a/one"]);
    assert_eq!(unenforced(&valid("block"), named), NONE);
    assert_eq!(unenforced(&valid("log"), named), ["a/one"]);
    assert_eq!(unenforced(&valid("off"), named), ["a/one"]);
    for (mode, violates) in [("block", false), ("log", true), ("off", true)] {
        let field = format!("{{validate: {{request: {mode}}}, policies: [p]}}");
        let found = unenforced("{p: {kind: headers, request: {set: {X-A: b}}}}", &field);
        assert_eq!(found == ["a/one"], violates, "{mode}: {found:?}");
    }
}

#[test]
fn policies_after_an_answer_do_not_run() {
    let project = |order: &str| {
        let project = Project::new();
        project.write(
            "gateway.yaml",
            "version: 1
name: shop
apis: {a: {path: a.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
policies:
  answer: {kind: respond, status: 200}
  marks: {kind: rewrite, path: /x}
defaults: {upstream: u, security: upstream}
invariants: [rules.yaml]
",
        );
        project.write(
            "a.yaml",
            format!(
                "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /one: {{get: {{operationId: one, x-gateway: {{policies: {order}}}, responses: {{\"200\": {{description: d}}}}}}}}
"
            ),
        );
        project.write(
            "rules.yaml",
            "- {name: kind, require: {kinds: [rewrite]}}\n- {name: named, require: {policies: [marks]}}\n",
        );
        let out = project.run(&["lint", "--format", "concise"]).out;
        let lines = out
            .lines()
            .filter(|line| line.contains("violates the invariant"));
        lines.count()
    };
    assert_eq!(project("[marks, answer]"), 0);
    assert_eq!(project("[answer, marks]"), 2);
    assert_eq!(project("[answer]"), 2);
}

/// Tags, owners and ids of operations do not affect requests, but invariants select operations by
/// them. If an edit removes an operation from the selection of an invariant, a plan must report
/// this.
#[test]
fn operation_that_leaves_an_invariant_is_reported() {
    for (selection, from, to) in [
        ("{tags: [pii]}", "tags: [pii]", "tags: [other]"),
        ("{tags: [pii]}", "tags: [pii], ", ""),
        ("{owners: [team]}", "owner: team", "owner: others"),
        (
            "{operations: [orders/getOrder]}",
            "operationId: getOrder",
            "operationId: readOrder",
        ),
    ] {
        let project = with_invariants(&format!(
            "- {{name: held, where: {selection}, require: {{auth: [keys]}}}}\n- {{name: path, where: {{path: /orders/**}}, require: {{auth: [keys]}}}}\n"
        ));
        let gateway = project.read("gateway.yaml");
        project.write("gateway.yaml", format!("{gateway}gates: [weaken]\n"));
        project.edit(
            "orders.yaml",
            "operationId: getOrder,",
            "operationId: getOrder, tags: [pii], x-gateway: {owner: team},",
        );
        git(project.path(), &["init", "-q", "-b", "main"]);
        commit(&project, "one");
        project.edit("orders.yaml", from, to);
        let ended = project
            .run(&["plan", "--against", "git:main", "--format", "json"])
            .with(1);
        let plan: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
        let rules: Vec<&serde_json::Value> = plan["changes"]
            .as_array()
            .expect("changes")
            .iter()
            .filter(|change| change["id"] == "invariant-narrowed")
            .collect();
        let [change] = rules[..] else {
            panic!("{selection}: {}", ended.out)
        };
        assert_eq!(change["class"], "rules");
        let old = change["old"].as_str().expect("a text");
        assert!(old.starts_with("GET /orders/{}, GET /v1/orders/{}"));
    }
}

/// With a `rewrite`, the client's path or method can change while the request to the upstream stays
/// the same.
#[test]
fn rewritten_request_leaves_no_invariant_silently() {
    for (selection, from, to) in [
        ("{path: /orders/**}", "/orders/{id}:", "/things/{id}:"),
        (
            "{methods: [GET]}",
            "get: {operationId: getOrder,",
            "put: {operationId: getOrder,",
        ),
    ] {
        let project = with_invariants(&format!(
            "- {{name: held, where: {selection}, require: {{auth: [keys]}}}}\n"
        ));
        git(project.path(), &["init", "-q", "-b", "main"]);
        commit(&project, "one");
        project.edit("orders.yaml", from, to);
        project.edit(
            "orders.yaml",
            "operationId: getOrder,",
            "operationId: getOrder, x-gateway: {rewrite: {path: \"/orders/{id}\", method: GET}},",
        );
        let plan = project.run(&["plan", "--against", "git:main", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_str(&plan.out).expect("JSON");
        let changes = plan["changes"].as_array().expect("changes").iter();
        let narrowed: Vec<&serde_json::Value> = changes
            .filter(|change| change["id"] == "invariant-narrowed")
            .collect();
        let [change] = narrowed[..] else {
            panic!("{selection}: {plan}")
        };
        let old = change["old"].as_str().expect("a text");
        let lost = "GET localhost:9000/orders/* at the upstream";
        assert!(old.contains(lost), "{selection}: {old}");
    }
}

/// Names of listeners and upstreams do not affect requests, but invariants select operations by
/// them.
#[test]
fn renamed_listener_or_upstream_narrows_invariants() {
    for (selection, from, to, lost) in [
        (
            "{listeners: [public]}",
            "public: {address",
            "other: {address",
            "/orders at 127.0.0.1:8080",
        ),
        (
            "{upstreams: [orders]}",
            "upstreams: {orders: {",
            "upstreams: {renamed: {",
            "/orders to localhost:9000",
        ),
    ] {
        let project = with_invariants(&format!(
            "- {{name: held, where: {selection}, require: {{auth: [keys]}}}}\n"
        ));
        let gateway = project.read("gateway.yaml");
        project.write(
            "gateway.yaml",
            format!(
                "{gateway}gates: [weaken]\nlisteners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n"
            ),
        );
        git(project.path(), &["init", "-q", "-b", "main"]);
        commit(&project, "one");
        project.edit("gateway.yaml", from, to);
        if to.contains("renamed") {
            project.edit(
                "gateway.yaml",
                "defaults: {upstream: orders",
                "defaults: {upstream: renamed",
            );
        }
        let plan = project.run(&["plan", "--against", "git:main", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_str(&plan.out).expect("JSON");
        let changes = plan["changes"].as_array().expect("changes").iter();
        let narrowed: Vec<&serde_json::Value> = changes
            .filter(|change| change["id"] == "invariant-narrowed")
            .collect();
        let [change] = narrowed[..] else {
            panic!("{selection}: {plan}")
        };
        let old = change["old"].as_str().expect("a text");
        assert!(old.contains(lost), "{old}");
    }
}

#[test]
fn other_name_of_a_server_evades_no_invariant() {
    for (selection, require) in [
        ("{upstreams: [pay]}", "{unreachable: true}"),
        (ALL, "{not_upstreams: [pay]}"),
    ] {
        let count = |target: &str| {
            let project = with_invariants(&format!(
                "- {{name: no pay, where: {selection}, require: {require}}}\n"
            ));
            let pay = "upstreams: {pay: {targets: {a: {url: \"http://pay.example:8080\"}}}, orders: {targets: {c: {url: \"TARGET\"}, ";
            project.edit(
                "gateway.yaml",
                "upstreams: {orders: {targets: {",
                &pay.replace("TARGET", target),
            );
            let ended = project.run(&["lint", "--format", "concise"]);
            let lines = ended.out.lines();
            lines
                .filter(|line| line.contains("violates the invariant `no pay`"))
                .count()
        };
        assert_eq!(count("http://other.example:8080"), 0, "{selection}");
        assert!(count("https://PAY.example:8080/v1") > 0, "{selection}");
    }
}

/// gwc knows no servers of a file or an SRV name, but upstreams with the same source have the same
/// servers.
#[test]
fn other_name_of_a_discovery_evades_no_invariant() {
    let lint = |selection: &str, require: &str, [pay, orders]: [&str; 2]| {
        let project = with_invariants(&format!(
            "- {{name: no pay, where: {selection}, require: {require}}}\n"
        ));
        let written = "upstreams: {orders: {targets: {a: {url: \"http://127.0.0.1:9000/api\", weight: 3}, b: {url: \"http://127.0.0.2:9000\"}}}}";
        let both = format!("upstreams: {{pay: {{{pay}}}, orders: {{{orders}}}}}");
        project.edit("gateway.yaml", written, &both);
        project.run(&["lint", "--format", "concise"])
    };
    let file = "file: {path: /run/pay.json}";
    for (selection, require) in [
        ("{upstreams: [pay]}", "{unreachable: true}"),
        (ALL, "{not_upstreams: [pay]}"),
    ] {
        for (pay, orders, is_same) in [
            (file, file, true),
            (file, "file: {path: /run/orders.json}", false),
            (
                "dns: {name: _http._tcp.pay.example}",
                "dns: {name: _HTTP._tcp.Pay.example.}",
                true,
            ),
            (
                "dns: {name: _http._tcp.pay.example}",
                "dns: {name: _grpc._tcp.pay.example}",
                false,
            ),
        ] {
            let out = lint(selection, require, [pay, orders]).out;
            let is_violated = out.contains("violates the invariant `no pay`");
            assert_eq!(is_violated, is_same, "{selection} {orders}: {out}");
        }
    }
    // A file has one spelling.
    for path in ["/run//pay.json", "/run/./pay.json", "/run/x/../pay.json"] {
        let other = format!("file: {{path: {path}}}");
        lint(ALL, "{not_upstreams: [pay]}", [file, &other])
            .with(1)
            .contains("cannot be used here");
    }
}

#[test]
fn urls_of_services_count_as_upstreams() {
    const SCHEME: &str = "type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}";
    let ask = "{kind: introspection, url: \"URL\", client_id: gw, client_secret: \"${env:GWS}\"}";
    let proof = format!("{{kind: dpop, token: tokens}}, tokens: {ask}");
    let bearer = "type: http, scheme: bearer, x-gateway: {auth: keys}";
    for (from, to, scheme) in [
        (
            "mark: {",
            "ask: {kind: forward_auth, url: \"URL\"}, mark: {",
            SCHEME,
        ),
        ("{kind: api_key}", ask, bearer),
        (
            "{kind: api_key}",
            &proof,
            "type: http, scheme: dpop, x-gateway: {auth: keys}",
        ),
    ] {
        for (selection, require) in [
            ("{upstreams: [pay]}", "{unreachable: true}"),
            (ALL, "{not_upstreams: [pay]}"),
            (ALL, "{upstreams: [orders, \"https://other.*\"]}"),
        ] {
            let count = |url: &str| {
                let rule = format!("- {{name: one, where: {selection}, require: {require}}}\n");
                let project = with_invariants(&rule);
                let pay = "upstreams: {pay: {targets: {a: {url: \"http://pay.example:8080\"}}}, ";
                project.edit("gateway.yaml", "upstreams: {", pay);
                project.edit("gateway.yaml", from, &to.replace("URL", url));
                if to.contains("ask: {") {
                    project.edit("gateway.yaml", "[mark]", "[mark, ask]");
                } else {
                    project.edit("gateway.yaml", "consumers:\n  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}\n", "");
                }
                project.edit("orders.yaml", SCHEME, scheme);
                let ended = project.run(&["lint", "--format", "concise"]);
                let faults = ended.out.lines().filter(|line| line.contains("error"));
                let (own, other): (Vec<&str>, Vec<&str>) =
                    faults.partition(|line| line.contains("violates the invariant `one`"));
                assert!(other.is_empty(), "{other:?}");
                own.len()
            };
            assert_eq!(
                count("https://other.example:8080/x"),
                0,
                "{to} {selection} {require}"
            );
            assert!(
                count("https://PAY.example:8080/x") > 0,
                "{to} {selection} {require}"
            );
        }
    }
}
