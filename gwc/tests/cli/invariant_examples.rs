//! Examples of requests in findings about violated invariants.

use crate::invariants::with_invariants;
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
                ("orders/getOrder", "GET http://api.shop.example/v1/orders/1"),
                (
                    "orders/latest",
                    "GET http://api.shop.example/v1/orders/latest",
                ),
                (
                    "orders/headAny",
                    "HEAD http://api.shop.example/v1/orders/latest",
                ),
            ][..],
        ),
        (
            "{path: /orders}",
            &[
                ("orders/listOrders", "GET /orders"),
                ("orders/addOrder", "POST /orders"),
            ],
        ),
        (
            "{operations: [orders/headAny], path: \"/*/latest\"}",
            &[("orders/headAny", "HEAD /1/latest")],
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
            let (method, url) = request.split_once(' ').expect("a request");
            // This operation has a condition on a field.
            let field = ["-H", "X-Version: 2"];
            let field = if *key == "orders/latest" {
                &field[..]
            } else {
                &[]
            };
            let answer = explained(&project, &[&[method, url], field].concat());
            assert_eq!(answer["operation"]["key"], *key, "{request}");
        }
    }
}

#[test]
fn example_belongs_to_no_other_operation() {
    let project = with_invariants(
        "- {name: one, where: {operations: [orders/getOrder]}, require: {unreachable: true}}\n",
    );
    project.edit("orders.yaml", "/orders/latest:", "/orders/1:");
    let found = project.run(&["lint"]).with(1).out;
    let out = found.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = "for example the request `GET http://api.shop.example/v1/orders/x`";
    assert!(out.contains(expected), "{out}");
}
