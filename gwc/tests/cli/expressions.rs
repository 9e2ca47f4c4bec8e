//! Tests that mistakes in `authorize` expressions are reported at their position inside the
//! expression.

use crate::project::Project;

const DOCUMENT: &str = "openapi: 3.1.0\ninfo: {title: s, version: \"1\"}\n\
    x-gateway:\n  policies:\n    own:\n      kind: authorize\n      expression: |\n        auth.subject == 'a'\n          && auth.grups == 1\n\
    paths:\n  /a: {get: {operationId: a, security: [], x-gateway: {public: true, policies: [own, shared, quoted]}, responses: {\"200\": {description: ok}}}}\n";

const GATEWAY: &str = "version: 1\nname: s\napis: {s: {path: s.yaml}}\n\
    upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9\"}}}}\ndefaults: {upstream: u}\n\
    policies:\n  shared: {kind: authorize, expression: 'auth.groups.exists(g, g == \"a\")'}\n  quoted: {kind: authorize, expression: \"true && request.path\"}\n";

#[test]
fn mistake_in_an_expression_is_found_at_its_place() {
    let project = Project::empty();
    project.write("gateway.yaml", GATEWAY);
    project.write("s.yaml", DOCUMENT);
    let ended = project.run(&["lint", "--format", "json"]).with(1);
    let report = ended.json("lint/v1");
    let findings = report["findings"].as_array().expect("findings");
    let place_of = |message: &str| {
        let mut all = findings.iter();
        let found = all.find(|one| {
            one["name"] == "bad-expression"
                && one["message"]
                    .as_str()
                    .is_some_and(|text| text.contains(message))
        });
        let found = found.unwrap_or_else(|| panic!("no `{message}` in {report}"));
        let place = found;
        (
            place["file"].as_str().map(str::to_owned),
            place["line"].as_u64(),
            place["column"].as_u64(),
            found["help"].as_str().map(str::to_owned),
        )
    };
    let at = |file: &str, line, column, help: &str| {
        (
            Some(file.to_owned()),
            Some(line),
            Some(column),
            Some(help.to_owned()),
        )
    };
    assert_eq!(
        place_of("`auth` has no field `grups`"),
        at("s.yaml", 9, 19, "did you mean `groups`?")
    );
    assert_eq!(
        place_of("`exists` is not available"),
        at(
            "gateway.yaml",
            7,
            54,
            "write `x in list`, or conditions joined by `&&` and `||`"
        )
    );
    assert_eq!(
        place_of("a condition is needed here, not string"),
        at("gateway.yaml", 8, 50, "write a comparison")
    );
}
