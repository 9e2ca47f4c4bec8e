//! Examples of requests in findings about violated invariants.

use crate::invariants::with_invariants;
use crate::project::Project;
use crate::route::explained;

#[test]
fn violation_names_a_request_of_its_operation() {
    let rule = |selection: &str| {
        format!("- {{name: one, where: {selection}, require: {{unreachable: true}}}}\n")
    };
    for (selection, expected) in [
        (
            "{path: /v1/orders/*}",
            &[
                (
                    "orders/getOrder",
                    "GET http://api.shop.example/v1/orders/1 --credential key=valid",
                ),
                (
                    "orders/latest",
                    "GET http://api.shop.example/v1/orders/latest -H \"x-version: 2\" --credential key=valid",
                ),
                (
                    "orders/headAny",
                    "HEAD http://api.shop.example/v1/orders/latest --credential key=valid",
                ),
            ][..],
        ),
        (
            "{path: /orders}",
            &[
                ("orders/listOrders", "GET /orders --credential key=valid"),
                ("orders/addOrder", "POST /orders --credential key=valid"),
            ],
        ),
        (
            "{operations: [orders/headAny], path: \"/*/latest\"}",
            &[("orders/headAny", "HEAD /1/latest --credential key=valid")],
        ),
    ] {
        let project = with_invariants(&rule(selection));
        let found = project
            .run(&["lint", "--format", "json"])
            .with(1)
            .json("lint/v1");
        let findings = found["findings"].as_array().expect("a list").iter();
        let violations = findings.filter(|one| one["name"] == "violated-invariant");
        let examples: Vec<(String, String)> = violations
            .map(|one| {
                let quoted = |key: &str| {
                    let text = one[key].as_str().expect("a text");
                    text.split('`').nth(1).expect("quoted text").to_owned()
                };
                (quoted("message"), quoted("help"))
            })
            .collect();
        let known = examples
            .iter()
            .map(|(key, request)| (key.as_str(), request.as_str()));
        assert_eq!(known.collect::<Vec<_>>(), expected, "{selection}");
        // The engine confirms the requests.
        project.edit("gateway.yaml", "invariants: [rules.yaml]\n", "");
        for (key, request) in expected {
            let words = words(request);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let answer = explained(&project, &words);
            assert_eq!(answer["operation"]["key"], *key, "{request}");
            assert_eq!(answer["decision"], "forward", "{request}");
        }
    }
}

/// Arguments of a command, separated by spaces outside of quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in text.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words
}

/// Examples in the findings about this invariant.
fn examples(rule: &str, security: &str) -> Vec<String> {
    let project = with_invariants(&format!("- {{name: one, {rule}}}\n"));
    project.edit("orders.yaml", "security: [{key: []}]", security);
    let found = project.run(&["lint", "--format", "json"]).with(1);
    let found = found.json("lint/v1");
    let findings = found["findings"].as_array().expect("a list").iter();
    let violations = findings.filter(|one| one["name"] == "violated-invariant");
    violations
        .map(|one| {
            let help = one["help"].as_str().expect("a text");
            let example = help.strip_prefix("for example the request ").expect(help);
            example.split_once(';').expect("a rest").0.to_owned()
        })
        .collect()
}

#[test]
fn example_has_the_credentials_that_violate() {
    let open = "security: [{key: []}, {}]";
    let select = "where: {operations: [orders/listOrders]}";
    for (rule, security, expected) in [
        (
            "require: {authenticated: true}",
            open,
            "GET /orders` without a credential",
        ),
        (
            "require: {kinds: [cors]}",
            open,
            "GET /orders` without a credential",
        ),
        (
            "require: {not_kinds: [rate_limit]}",
            "security: [{key: []}]",
            "GET /orders --credential key=valid`",
        ),
    ] {
        let found = examples(&format!("{select}, {rule}"), security);
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        assert!(
            found[0].ends_with(expected.trim_start_matches("GET ")),
            "{rule}: {found:?}"
        );
    }
}

/// The engine decides a request before it is shown: another API serves the path of this example.
#[test]
fn example_of_another_operation_is_not_shown() {
    let project = with_invariants(
        "- {name: one, where: {operations: [orders/getOrder], path: /v1/orders/*}, require: {unreachable: true}}\n",
    );
    let has_example = || project.run(&["lint"]).with(1).out.contains("for example");
    assert!(has_example());
    project.write(
        "other.yaml",
        "openapi: 3.1.0
info: {title: Other, version: \"1\"}
security: [{key: []}]
paths:
  /orders/1: {get: {operationId: read, responses: {\"200\": {description: fine}}}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
",
    );
    project.edit(
        "gateway.yaml",
        "auth: {keys",
        "  other: {path: other.yaml, mount: {base_path: /v1, hosts: [api.shop.example]}}\nauth: {keys",
    );
    assert!(!has_example());
}

/// Help of the only finding about the rule that everything below `/admin` needs `staff`. `api`:
/// further settings of the API.
fn help_below_admin(api: &str, paths: &str) -> String {
    let project = Project::empty();
    project.write(
        "gateway.yaml",
        format!(
            "version: 1
name: t
apis: {{a: {{path: a.yaml{api}}}}}
listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}
upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}
auth: {{keys: {{kind: api_key}}, staff: {{kind: api_key}}}}
consumers: {{acme: {{keys: [{{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}}]}}}}
defaults: {{upstream: u, timeout: 5s}}
invariants: [rules.yaml]
"
        ),
    );
    project.write(
        "a.yaml",
        format!(
            "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
security: [{{key: []}}]
paths:
{paths}components:
  securitySchemes:
    key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}
    skey: {{type: apiKey, in: header, name: X-Staff, x-gateway: {{auth: staff}}}}
"
        ),
    );
    project.write(
        "rules.yaml",
        "- {name: r, where: {path: \"/admin/**\"}, require: {auth: [staff]}}\n",
    );
    let found = project.run(&["lint", "--format", "json"]).with(1);
    let found = found.json("lint/v1");
    let findings = found["findings"].as_array().expect("a list").iter();
    let mut all = findings.filter(|one| one["name"] == "violated-invariant");
    let (only, more) = (all.next().expect("a finding"), all.next());
    assert_eq!(more, None);
    only["help"].as_str().expect("a text").to_owned()
}

#[test]
fn path_that_another_operation_receives_is_named() {
    let parameter = |name: &str| {
        format!(
            "parameters: [{{name: {name}, in: path, required: true, schema: {{type: string}}}}]"
        )
    };
    let responses = "responses: {\"200\": {description: fine}}";
    let paths = format!(
        "  /admin/{{name}}: {{get: {{operationId: getAdmin, security: [{{skey: []}}], {}, {responses}}}}}\n  \
         /{{any}}/latest: {{get: {{operationId: latest, {}, {responses}}}}}\n",
        parameter("name"),
        parameter("any"),
    );
    let help = help_below_admin("", &paths);
    let expected = "`GET /admin/latest` matches the invariant and the path of the operation, but \
                    `a/getAdmin` receives it; change the operation";
    assert!(help.starts_with(expected), "{help}");
}

#[test]
fn example_has_a_method_that_is_not_declared() {
    let paths = "  /admin/x: {get: {operationId: x, security: [{skey: []}], responses: {\"200\": {description: fine}}}}\n";
    let help = help_below_admin(", undeclared_methods: pass", paths);
    let expected = "for example the request `POST /admin/x --credential key=valid`;";
    assert!(help.starts_with(expected), "{help}");
}

#[test]
fn example_belongs_to_no_other_operation() {
    let project = with_invariants(
        "- {name: one, where: {operations: [orders/getOrder]}, require: {unreachable: true}}\n",
    );
    project.edit("orders.yaml", "/orders/latest:", "/orders/1:");
    let found = project.run(&["lint"]).with(1).out;
    let out = found.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected =
        "for example the request `GET http://api.shop.example/v1/orders/x --credential key=valid`";
    assert!(out.contains(expected), "{out}");
}

#[test]
fn example_of_excluded_listener_is_sent_there() {
    let project = with_invariants(
        "- {name: one, where: {operations: [orders/getOrder]}, require: {listeners: [inner]}}\n",
    );
    let gateway = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{gateway}listeners: {{inner: {{address: \"127.0.0.1:8081\"}}, public: {{address: \"127.0.0.1:8080\"}}}}\n"),
    );
    let ended = project.run(&["lint"]).with(1);
    let ended = ended.contains("it can be reached at the listener `public`");
    ended.contains("--listener public`");
}
