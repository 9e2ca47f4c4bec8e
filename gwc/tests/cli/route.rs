//! Tests of `gwc route`: the operation that receives a request, the reasons why other operations do
//! not, the policies that run, and the source of each setting.

use serde_json::{Value, json};

use crate::git::{commit, git};
use crate::project::{Ended, Project};

const GATEWAY: &str = "version: 1
name: shop
apis:
  orders: {path: orders.yaml, mounts: [{name: main, hosts: [api.shop.example], base_path: /v1, strip_base_path: true}, {name: any}]}
auth: {keys: {kind: api_key}}
consumers:
  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}
upstreams: {orders: {targets: {a: {url: \"http://127.0.0.1:9000/api\", weight: 3}, b: {url: \"http://127.0.0.2:9000\"}}}}
policies: {slow: {kind: rate_limit, limit: 10/s, burst: 5}, mark: {kind: headers, request: {set: {X-Mark: \"${env:GWS_MARK}\"}}}}
required: {policies: [slow]}
defaults: {upstream: orders, policies: [mark], timeout: 5s}
release: {store: releases}
";

const ORDERS: &str = "openapi: 3.1.0
info: {title: Orders, version: \"1\"}
security: [{key: []}]
x-gateway: {defaults: {timeout: 4s}}
paths:
  /orders:
    x-gateway: {trailing_slash: redirect}
    get: {operationId: listOrders, x-gateway: {timeout: 3s}, responses: {\"200\": {description: fine}}}
    post: {operationId: addOrder, responses: {\"200\": {description: fine}}}
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: getOrder, responses: {\"200\": {description: fine}}}
  /orders/latest:
    get: {operationId: latest, x-gateway: {match: {headers: {X-Version: {exact: \"2\"}}}}, responses: {\"200\": {description: fine}}}
  /{any}/latest:
    parameters: [{name: any, in: path, required: true, schema: {type: string}}]
    x-gateway: {priority: 2}
    head: {operationId: headAny, responses: {\"200\": {description: fine}}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

const AT: &str = "http://api.shop.example/v1";

pub(crate) fn shop() -> Project {
    let project = Project::bare();
    project.write("gateway.yaml", GATEWAY);
    project.write("orders.yaml", ORDERS);
    project
}

pub(crate) fn ask(project: &Project, arguments: &[&str]) -> Ended {
    let mut all = vec!["route", "--format", "json"];
    all.extend(arguments);
    project.run(&all)
}

pub(crate) fn explained(project: &Project, arguments: &[&str]) -> Value {
    ask(project, arguments).with(0).json("route/v1")
}

/// Candidates of a list that do not receive the request, as `KEY by: REASON`.
fn lost(answer: &Value, list: &str) -> Vec<String> {
    let all = answer[list].as_array().expect("a list").iter();
    all.map(|one| {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (key, by) = (text(&one["operation"]["key"]), text(&one["by"]));
        format!("{key} {by}: {}", text(&one["lost"]))
    })
    .collect()
}

fn place(line: u32, column: u32, file: &str) -> Value {
    json!({"file": file, "line": line, "column": column})
}

#[test]
fn candidates_have_the_reason_they_lost_by() {
    let project = shop();
    let latest = format!("{AT}/orders/latest");
    let second = explained(&project, &["GET", &latest, "-H", "X-Version: 2"]);
    assert_eq!(second["operation"]["key"], "orders/latest");
    assert_eq!(second["operation"]["host"], "api.shop.example");
    assert_eq!(second["operation"]["source"], place(14, 5, "orders.yaml"));
    assert_eq!(
        lost(&second, "candidates"),
        [
            "orders/getOrder template: segment 3: `{id}` is less specific than `latest`",
            "orders/headAny method: its method is HEAD",
        ]
    );
    let first = explained(&project, &["GET", &latest, "-H", "X-Version: 1"]);
    assert_eq!(first["operation"]["key"], "orders/getOrder");
    assert_eq!(
        lost(&first, "candidates")[0],
        "orders/headAny method: its method is HEAD"
    );
    assert_eq!(
        lost(&first, "candidates")[1],
        "orders/latest condition: it needs `x-version: 2`; the request has `1`"
    );
    let head = explained(&project, &["HEAD", &latest]);
    assert_eq!(head["operation"]["key"], "orders/headAny");
    assert_eq!(
        lost(&head, "candidates")[0],
        "orders/getOrder priority: its priority is 0, the selected route's is 2"
    );
    let delete = explained(&project, &["DELETE", &format!("{AT}/orders")]);
    assert_eq!(
        (&delete["decision"], &delete["status"], &delete["allow"]),
        (&json!("reject"), &json!(405), &json!("GET, HEAD, POST"))
    );
}

#[test]
fn hidden_hosts_and_near_routes_are_shown() {
    let project = shop();
    // The mount with the host owns all requests of that host, including those that match none of
    // its templates.
    let hidden = explained(&project, &["GET", "http://api.shop.example/orders"]);
    assert_eq!(hidden["decision"], "none");
    assert_eq!(
        lost(&hidden, "candidates"),
        [
            "orders/listOrders host: its mount has no hosts; another mount has the host `api.shop.example` and receives all its requests"
        ]
    );
    let near = explained(&project, &["GET", "/Orders"]);
    assert_eq!(
        lost(&near, "near"),
        [
            "orders/listOrders template: segment 1 is `orders`: the letter case differs",
            "orders/addOrder template: segment 1 is `orders`: the letter case differs",
        ]
    );
    // If every mount has a host, the request must have a host, too.
    project.edit("gateway.yaml", ", {name: any}", "");
    let unserved = explained(&project, &["GET", "/v1/orders"]);
    assert_eq!(
        unserved["why"],
        "no mount of the listener `public` serves the host `gateway`; name a host: only \
`api.shop.example` is known"
    );
    assert_eq!(
        lost(&unserved, "candidates"),
        ["orders/listOrders host: its mount has the host `api.shop.example`, not `gateway`"]
    );
}

#[test]
fn chain_shows_the_origin_and_result_of_each_step() {
    let project = shop();
    let steps = |arguments: &[&str]| {
        let answer = explained(&project, arguments);
        let all = answer["chain"].as_array().expect("a list").iter();
        let steps = all.map(|step| {
            let fields = ["phase", "policy", "kind", "from", "outcome", "reason"];
            fields
                .map(|field| step[field].as_str().unwrap_or("-").to_owned())
                .join(" ")
        });
        (steps.collect::<Vec<_>>(), answer)
    };
    let (refused, answer) = steps(&["GET", "/orders"]);
    assert_eq!(
        refused,
        [
            "admission public listener - continue -",
            "authenticate authenticate security - reject credential_missing",
            "limit slow rate_limit required not run -",
            "transform mark headers defaults not run -",
        ]
    );
    assert_eq!(
        answer["chain"][2]["settings"],
        json!({"limit": "10/s", "burst": "5", "key": "consumer"})
    );
    assert_eq!(answer["chain"][2]["source"], place(10, 23, "gateway.yaml"));
    let challenge =
        json!([{"name": "www-authenticate", "value": "ApiKey in=\"header\", name=\"x-key\""}]);
    assert_eq!(
        answer["response"],
        json!({"status": 401, "headers": challenge})
    );
    let (edge, answer) = steps(&["GET", "/orders/%00"]);
    assert_eq!(edge, ["admission public listener - reject path_invalid"]);
    assert_eq!(answer["status"], 400);
    // Policies of the operation, of the path item, and of the document.
    project.edit(
        "orders.yaml",
        "{timeout: 3s}",
        "{timeout: 3s, +policies: [late]}",
    );
    project.edit(
        "orders.yaml",
        "{trailing_slash: redirect}",
        "{trailing_slash: redirect, +policies: [late2]}",
    );
    project.edit(
        "orders.yaml",
        "{defaults: {timeout: 4s}}",
        "{defaults: {timeout: 4s, +policies: [late3]}}",
    );
    let kind = "{kind: headers, request: {set: {X-A: a}}}";
    project.edit(
        "gateway.yaml",
        "policies: {slow",
        &format!("policies: {{late: {kind}, late2: {kind}, late3: {kind}, slow"),
    );
    let (steps, _) = steps(&["GET", "/orders", "--credential", "key=valid"]);
    assert_eq!(
        steps[3..],
        [
            "transform mark headers defaults continue -",
            "transform late3 headers document continue -",
            "transform late2 headers path continue -",
            "transform late headers operation continue -",
        ]
    );
}

#[test]
fn value_shows_its_origin_and_what_it_overrides() {
    let project = shop();
    project.edit(
        "gateway.yaml",
        "release:",
        "environments: {prod: {patch: prod.yaml}}\nrelease:",
    );
    project.write("prod.yaml", "defaults: {timeout: 9s}\n");
    let field = |name: &str, arguments: &[&str]| {
        let answer = explained(&project, arguments);
        let all = answer["effective"].as_array().expect("a list").iter();
        let found = all.into_iter().find(|field| field["field"] == name);
        found.cloned().unwrap_or(Value::Null)
    };
    let list = ["GET", "/orders", "--env", "prod"];
    assert_eq!(
        field("timeout", &list),
        json!({"field": "timeout", "value": "3s", "source": place(8, 57, "orders.yaml"), "overrides": [
            place(4, 33, "orders.yaml"), place(1, 21, "prod.yaml"), place(11, 57, "gateway.yaml")]})
    );
    assert_eq!(
        field("trailing_slash", &list),
        json!({"field": "trailing_slash", "value": "redirect", "source": place(7, 33, "orders.yaml"), "overrides": []})
    );
    assert_eq!(
        field("max_body", &list),
        json!({"field": "max_body", "value": "no limit", "source": {"default": "max_body"}, "overrides": []})
    );
    // Defaults are shown only with `--all`.
    assert_eq!(field("priority", &list), Value::Null);
    let all = ["GET", "/orders", "--env", "prod", "--all"];
    assert_eq!(
        field("priority", &all)["source"],
        json!({"default": "priority"})
    );
    assert_eq!(
        field("upstream orders timeouts.connect", &all)["value"],
        "5s"
    );
    assert_eq!(field("mount any base_path", &all)["value"], "/");
    // The requirement of an operation replaces that of the document.
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [{key: []}],",
    );
    assert_eq!(
        field("security", &["GET", "/orders"])["overrides"],
        json!([place(3, 11, "orders.yaml")])
    );
    let (of_operation, match_of) = (
        ["HEAD", "/a/latest"],
        ["GET", "/orders/latest", "-H", "X-Version: 2"],
    );
    assert_eq!(field("priority", &of_operation)["value"], "2");
    assert_eq!(
        field("conditions", &match_of)["source"],
        place(14, 51, "orders.yaml")
    );
}

#[test]
fn unsupported_policy_is_listed_as_left_out() {
    let project = shop();
    project.edit(
        "gateway.yaml",
        "policies: {slow",
        "policies: {waf: {kind: graphql_guard, depth: 32}, slow",
    );
    project.edit("gateway.yaml", "policies: [slow]", "policies: [waf, slow]");
    project.edit(
        "orders.yaml",
        "{timeout: 3s}",
        "{timeout: 3s, validate: {request: block}}",
    );
    let answer = explained(&project, &["GET", "/orders", "--credential", "key=valid"]);
    assert_eq!(answer["left_out"], json!(["policy waf (graphql_guard)"]));
    let mut steps = answer["chain"].as_array().unwrap().iter();
    let guard = steps.find(|step| step["kind"] == "graphql_guard").unwrap();
    assert_eq!(
        (&guard["phase"], &guard["outcome"]),
        (&json!("validate"), &json!("left out"))
    );
    let fields = answer["effective"].as_array().unwrap().iter();
    let validate = fields
        .into_iter()
        .find(|field| field["field"] == "validate.request");
    assert_eq!(validate.unwrap()["source"], place(8, 81, "orders.yaml"));
    let human = project.run(&["route", "GET", "/orders"]).with(0);
    human
        .contains("decided without the parts that this version cannot run")
        .contains("policy waf (graphql_guard)");
    project.run(&["build"]).with(1);
}

#[test]
fn route_is_the_same_for_sources_revision_and_bundle() {
    let project = shop();
    project.write(".gitignore", "/releases/\n*.tar\n");
    git(project.path(), &["init", "-q", "-b", "main"]);
    commit(&project, "one");
    let id = project.build();
    project.run(&["build", "-o", "one.tar"]).with(0);
    let answer = |arguments: &[&str]| {
        let mut all = vec!["GET", "/orders", "--credential", "key=valid", "--all"];
        all.extend(arguments);
        let mut answer = explained(&project, &all);
        // Remove the sources of settings: source locations are known only for sources, or for a
        // bundle with a source artifact.
        for field in answer["effective"].as_array_mut().unwrap() {
            field["source"] = Value::Null;
        }
        answer
    };
    let here = answer(&[]);
    assert_eq!(here["bundle"], id);
    let digits = id["sha256:".len()..][..12].to_owned();
    for bundle in ["git:HEAD", &digits] {
        assert_eq!(answer(&["--bundle", bundle]), here, "{bundle}");
    }
    let file = answer(&["--bundle", "one.tar"]);
    assert_eq!(
        (&file["operation"]["key"], &file["upstream"]["targets"]),
        (&here["operation"]["key"], &here["upstream"]["targets"])
    );
    // The current sources differ from the released ones.
    project.edit("orders.yaml", "{timeout: 3s}", "{timeout: 2s}");
    assert_eq!(answer(&["--bundle", "git:HEAD"]), here);
    assert_ne!(answer(&[])["bundle"], id);
    // For a single document, the output must say that its gateway settings are assumed.
    let document = project.run(&["--project", "orders.yaml", "route", "GET", "/orders"]);
    document
        .with(0)
        .contains("are assumed")
        .contains("listOrders");
}

#[test]
fn request_of_a_plan_line_is_replayed_on_both_sides() {
    let project = shop();
    project.write(".gitignore", "/releases/\n*.json\n");
    git(project.path(), &["init", "-q", "-b", "main"]);
    commit(&project, "one");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [],",
    );
    project.edit(
        "orders.yaml",
        "{timeout: 3s}",
        "{timeout: 2s, public: true}",
    );
    let plan = [
        "plan",
        "--against",
        "git:HEAD",
        "-o",
        "plan.json",
        "--format",
        "json",
    ];
    let plan = project.run(&plan).with(0).json("plan/v1");
    let line = |class: &str| {
        let changes = plan["changes"].as_array().unwrap().iter();
        let mut of_class = changes.filter(|change| change["class"] == class);
        of_class.next().expect("it is there")["fingerprint"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let weaken = line("weaken");
    let now = explained(&project, &["--witness", &weaken, "plan.json"]);
    assert_eq!(now["decision"], "forward");
    let before = explained(
        &project,
        &[
            "--witness",
            &weaken[..6],
            "plan.json",
            "--bundle",
            "git:HEAD",
        ],
    );
    assert_eq!(before["status"], 401);
    let replay = |words: &[&str]| project.run(&[&["route", "--witness"], words].concat());
    replay(&[&line("tighten"), "plan.json"])
        .with(64)
        .contains("has no example request");
    replay(&["0123456789ab", "plan.json"])
        .with(64)
        .contains("no line of plan.json");
    replay(&[&weaken, "gateway.yaml"])
        .with(65)
        .contains("is not a plan");
    replay(&[&weaken, "none.json"])
        .with(65)
        .contains("cannot read none.json");
    replay(&[&weaken]).with(64).contains("needs one plan");
}

#[test]
fn invalid_route_request_says_what_to_write() {
    let project = shop();
    let cases: [(&[&str], &str); 6] = [
        (&["GET"], "a method and a URL are needed"),
        (
            &["GET", "orders"],
            "neither a URL (http://HOST/PATH) nor a path",
        ),
        (&["G@T", "/orders"], "is not a method"),
        (&["GET", "/orders", "-H", "nothing"], "write NAME: VALUE"),
        (
            &["GET", "/orders", "--listener", "inner"],
            "there is no listener `inner`: only `public` is known",
        ),
        (
            &["GET", "/orders", "--credential", "key"],
            "write SCHEME=valid or SCHEME=forged",
        ),
    ];
    for (arguments, wrong) in cases {
        ask(&project, arguments).with(64).contains(wrong);
    }
}

#[test]
fn every_kind_of_candidate_has_its_reason() {
    let project = Project::bare();
    project.write("gateway.yaml", GATEWAY);
    project.write(
        "orders.yaml",
        "openapi: 3.1.0
info: {title: Orders, version: \"1\"}
security: [{key: []}]
paths:
  /files:
    x-gateway: {match: prefix}
    get: {operationId: files, responses: {\"200\": {description: fine}}}
  /files/{name}:
    parameters: [{name: name, in: path, required: true, schema: {type: string}}]
    get: {operationId: getFile, responses: {\"200\": {description: fine}}}
    head: {operationId: headFile, responses: {\"200\": {description: fine}}}
  /a:
    x-gateway: {trailing_slash: ignore}
    get: {operationId: a, responses: {\"200\": {description: fine}}}
  /a/:
    get: {operationId: aSlash, responses: {\"200\": {description: fine}}}
  /c:
    get: {operationId: c, responses: {\"200\": {description: fine}}}
  /c?kind=old:
    get: {operationId: cOld, responses: {\"200\": {description: fine}}}
  /fold:
    x-gateway: {case_insensitive: true}
    get: {operationId: fold, responses: {\"200\": {description: fine}}}
  /FOLD:
    get: {operationId: exact, responses: {\"200\": {description: fine}}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
",
    );
    let cases: [(&[&str], &str, &[&str]); 6] = [
        (
            &["GET", "/files/7"],
            "getFile",
            &[
                "orders/files prefix: it matches everything below its 1 segment; the selected \
route is more specific",
                "orders/headFile method: its method is HEAD",
            ],
        ),
        (
            &["HEAD", "/files/7"],
            "headFile",
            &[
                "orders/getFile head: GET serves HEAD only if no operation declares HEAD",
                "orders/files prefix: it matches everything below its 1 segment; the selected \
route is more specific",
            ],
        ),
        (
            &["GET", "/a/"],
            "aSlash",
            &[
                "orders/a slash: the selected route declares the path as it was requested; this one matches \
it by `trailing_slash: ignore`",
            ],
        ),
        (
            &["GET", "/c?kind=old"],
            "cOld",
            &[
                "orders/c conditions: its conditions (none) are less specific than those of the selected route (`?kind=old`)",
            ],
        ),
        (
            &["GET", "/c?kind=new"],
            "c",
            &["orders/cOld condition: it needs `?kind=old`; the request has `new`"],
        ),
        (
            &["GET", "/FOLD"],
            "exact",
            &[
                "orders/fold template: segment 1: `fold` in any letter case is less specific than \
`FOLD`",
            ],
        ),
    ];
    for (request, owner, losers) in cases {
        let answer = explained(&project, request);
        assert_eq!(answer["operation"]["id"], owner, "{request:?}");
        assert_eq!(lost(&answer, "candidates"), losers, "{request:?}");
    }
}

#[test]
fn url_selects_the_listener_with_its_port() {
    let project = shop();
    project.write(
        "gateway.yaml",
        format!(
            "{GATEWAY}listeners:
  open: {{address: \"127.0.0.1:8080\"}}
  inner: {{address: \"127.0.0.1:9090\"}}
  other: {{address: \"127.0.0.2:9090\"}}
"
        )
        .replace(
            "{name: any}",
            "{name: any, listeners: [inner]}, {name: far, listeners: [other], base_path: /far}",
        ),
    );
    let mount = |url: &str| explained(&project, &["GET", url])["operation"]["mount"].clone();
    assert_eq!(mount("http://x.example:8080/orders"), Value::Null);
    assert_eq!(mount("http://x.example:9090/orders"), "any");
    assert_eq!(mount("http://127.0.0.1:9090/orders"), "any");
    assert_eq!(mount("http://127.0.0.2:9090/orders"), Value::Null);
    assert_eq!(mount("http://127.0.0.2:9090/far/orders"), "far");
    assert_eq!(mount("http://api.shop.example:8080/v1/orders"), "main");
    // Without a port, the first listener by name is used, as behind a load balancer.
    assert_eq!(mount("http://api.shop.example/v1/orders"), "main");
    assert_eq!(mount("/orders"), "any");
    ask(&project, &["GET", "http://x.example:8081/orders"])
        .with(64)
        .contains("no listener has the port of `http://x.example:8081/orders`: `inner` has 127.0.0.1:9090");
    // An explicit `--listener` has precedence.
    let named = ["GET", "http://x.example:8081/orders", "--listener", "inner"];
    assert_eq!(explained(&project, &named)["operation"]["mount"], "any");
    ask(&project, &["GET", "https://api.shop.example/v1/orders"])
        .with(0)
        .contains("a proxy in front of it that ends TLS");
}

#[test]
fn note_names_listener_with_another_decision() {
    let project = shop();
    let listeners = "listeners:
  inner: {address: \"127.0.0.1:9090\"}
  open: {address: \"127.0.0.1:8080\"}
";
    project.write(
        "gateway.yaml",
        format!("{GATEWAY}{listeners}").replace("{name: any}", "{name: any, listeners: [inner]}"),
    );
    let expected = "note: the listener `inner` is assumed, but `open` would decide differently; select one \
         with --listener";
    ask(&project, &["GET", "/orders"])
        .with(0)
        .contains(expected);
    // Two mounts are named `main`; a port or the name of a listener selects one of them.
    let main = ["GET", "/v1/orders", "-H", "host: api.shop.example"];
    let requests: [&[&str]; 3] = [
        &main,
        &["GET", "http://x.example:9090/orders"],
        &["GET", "/orders", "--listener", "inner"],
    ];
    for request in requests {
        let ended = ask(&project, request).with(0);
        assert!(
            !ended.err.contains("is assumed"),
            "{request:?}: {}",
            ended.err
        );
    }
}

#[test]
fn request_id_of_a_trusted_peer_is_forwarded() {
    let project = shop();
    project.edit(
        "gateway.yaml",
        "required:",
        "listeners: {public: {address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8]}}\nrequired:",
    );
    let request = [
        "GET",
        "/orders",
        "-H",
        "X-Request-Id: mine-1",
        "--credential",
        "key=valid",
    ];
    let upstream = |peer: &str| {
        explained(&project, &[&request[..], &["--peer", peer]].concat())["upstream"].clone()
    };
    let trusted = upstream("10.0.0.1");
    assert_eq!(
        trusted["request"]["headers"]["x-request-id"], "mine-1",
        "{trusted:#}"
    );
    assert_eq!(trusted["added"]["x-request-id"], Value::Null, "{trusted:#}");
    let stranger = upstream("203.0.113.1");
    assert_eq!(
        stranger["added"]["x-request-id"], "(one per request)",
        "{stranger:#}"
    );
}

#[test]
fn split_says_if_the_request_selects_the_share() {
    let project = shop();
    for (sticky, by_request) in [
        ("", false),
        ("sticky: true, ", false),
        ("sticky: false, ", true),
    ] {
        let split = format!(
            "policies: {{canary: {{kind: split, {sticky}among: [{{upstream: orders}}, {{upstream: next}}]}}, slow"
        );
        let text = GATEWAY
            .replace("policies: {slow", &split)
            .replace("[mark]", "[mark, canary]")
            .replace(
                "upstreams: {",
                "upstreams: {next: {targets: {a: {url: \"http://127.0.0.1:9002\"}}}, ",
            );
        project.write("gateway.yaml", text);
        let orders = format!("{AT}/orders");
        let known = ["GET", orders.as_str(), "-H", "X-Key: test"];
        let upstream = &explained(&project, &known)["upstream"];
        assert_eq!(upstream["by_request"], by_request, "{sticky}{upstream}");
        assert_eq!(
            upstream["shares"].as_array().map(Vec::len),
            Some(2),
            "{upstream}"
        );
    }
}

#[test]
fn names_with_line_breaks_stay_in_their_line() {
    let project = shop();
    // CI systems run lines such as `::error::text` as commands.
    let owner = "x-gateway: {timeout: 3s, owner: \"team\\n::error::text\\u202e\"}";
    let named = ORDERS.replace("x-gateway: {timeout: 3s}", owner);
    project.write(
        "orders.yaml",
        named.replace("{listOrders", "{\"list\\n::error::\""),
    );
    let text = project.run(&["route", "GET", &format!("{AT}/orders")]);
    assert!(text.out.contains("team"), "{}", text.out);
    let is_command = |line: &str| line.trim_start().starts_with("::");
    assert!(!text.out.lines().any(is_command), "{}", text.out);
}
