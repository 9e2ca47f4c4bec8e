//! Tests of `gwc test`: fields that gwd adds to its own responses.

use serde_json::json;

use crate::decisions::{failures, tested};
use crate::project::Project;

#[test]
fn fields_that_gwd_always_adds_are_compared() {
    let project = tested("[]\n");
    let request = "GET /nowhere";
    let not_compared =
        || project.run(&["test", "--format", "json"]).json("test/v1")["not_compared"].clone();
    for (name, actual) in [
        ("proxy-status", "gwd; error=http_request_denied"),
        ("x-*", "(any value)"),
        ("content-type", "application/problem+json"),
    ] {
        let without = format!("response: {{without: [\"{name}\"]}}");
        assert_eq!(
            failures(&project, request, &without),
            [format!(
                "response.headers.{name}: (no such field) / {actual}"
            )]
        );
    }
    assert_eq!(
        failures(
            &project,
            request,
            "response: {headers: {content-type: text/html}}"
        ),
        ["response.headers.content-type: text/html / application/problem+json"]
    );
    let none: [String; 0] = [];
    // Expectations, and the number of those that gwc cannot compare.
    for (right, count) in [
        (
            "headers: {content-type: \"application/problem+json*\", x-request-id: \"*\"}",
            0,
        ),
        ("without: [server, location, x-powered-by]", 0),
        ("headers: {x-request-id: \"7*\"}", 1),
        ("without: [\"*-length\", date, server]", 2),
    ] {
        let response = format!("response: {{{right}}}");
        assert_eq!(failures(&project, request, &response), none, "{right}");
        assert_eq!(not_compared(), json!(count), "{right}");
    }
    project.run(&["test"]).with(0).contains(
        "not compared: 2 expectations about fields that are not known before the response",
    );
}

#[test]
fn absent_field_that_a_policy_may_add_is_uncompared() {
    let project = Project::bare();
    let gateway = project.read("gateway.yaml");
    let defined = "policies: {hide: {kind: headers, response: {set: {X-A: a}}}, ";
    let not_compared = |policies: &str, name: &str| {
        let gateway = gateway
            .replace("policies: {", defined)
            .replace("policies: [slow]", policies);
        project.write("gateway.yaml", format!("{gateway}tests: [t.yaml]\n"));
        let expect = format!("{{response: {{without: [{name}]}}}}");
        project.write(
            "t.yaml",
            format!("- {{name: t, request: GET /orders, expect: {expect}}}\n"),
        );
        let ended = project.run(&["test", "--format", "json"]).with(0);
        ended.json("test/v1")["not_compared"].clone()
    };
    assert_eq!(not_compared("policies: [slow]", "server"), json!(0));
    // `rate_limit` may add the field, and `headers` any field.
    assert_eq!(not_compared("policies: [slow]", "retry-after"), json!(1));
    assert_eq!(not_compared("policies: [slow, hide]", "server"), json!(1));
}
