//! Tests of the formats for people that long values show what differs in one line, and that many
//! changes of access share one line.

use plan::report::{Report, Subject};
use plan::{Plan, Review, human, json, markdown};

use crate::meaning::between;
use crate::side;

/// Calls a function with the report on a plan.
fn report<T>(plan: &Plan, of: impl Fn(&Report<'_>) -> T) -> T {
    let (review, subject) = (Review::default(), Subject::default());
    of(&Report {
        plan,
        subject: &subject,
        review: &review,
    })
}

#[test]
fn long_values_show_what_differs() {
    let pattern = |end: &str| format!("^({}{end})$", "alternative|".repeat(40));
    let schema = |end: &str| format!("{{type: string, pattern: '{}'}}", pattern(end));
    let plan = between("request", &schema("old"), &schema("new"));
    report(&plan, |report| {
        let text = human::render(report, human::Look::default());
        for text in [text, markdown::render(report)] {
            assert!(text.contains("old)$ → …"), "{text}");
            assert!(text.contains("|new)$"), "{text}");
        }
        let change = &json::document(report)["changes"][0];
        assert_eq!(change["old"], pattern("old"));
        assert_eq!(change["new"], pattern("new"));
    });
}

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";

/// Plan between two versions of five operations. `scope` returns the scope that an operation
/// requires on the old side (false) and on the new side (true).
fn of_scopes(scope: impl Fn(usize, bool) -> String) -> Plan {
    let document = |is_new: bool| {
        let mut text = "openapi: 3.1.0
info: {title: t, version: \"1\"}
components: {securitySchemes: {token: {type: http, scheme: bearer}}}
paths:
"
        .to_owned();
        for at in 0..5 {
            let scope = scope(at, is_new);
            text.push_str(&format!(
                "  /p{at}: {{get: {{operationId: get{at}, security: [{{token: [\"{scope}\"]}}], \
                 responses: {{\"200\": {{description: d}}}}}}}}\n"
            ));
        }
        side(&[("gateway.yaml", GATEWAY), ("api.yaml", &text)])
    };
    plan::compare(Some(&document(false)), &document(true)).expect("both sides build")
}

#[test]
fn many_changes_of_access_are_one_line() {
    let own = |at: usize| format!("p{at}:read");
    for (plan, access) in [
        (
            of_scopes(|at, is_new| if is_new { own(at) } else { "read".to_owned() }),
            "bearer by *upstream with read → 5 requirements (bearer by *upstream with p0:read; ",
        ),
        (
            of_scopes(|at, is_new| if is_new { "read".to_owned() } else { own(at) }),
            "5 requirements (bearer by *upstream with p0:read; ",
        ),
    ] {
        assert_eq!(plan.changes.len(), 5);
        report(&plan, |report| {
            let comment = markdown::render(report);
            let folded = |text: &str| {
                assert_eq!(text.matches(" → ").count(), 1, "{text}");
                assert!(text.contains("5 operations of a"), "{text}");
                assert!(text.contains("GET /p0, GET /p1, GET /p2"), "{text}");
                assert!(text.contains(&format!("access: {access}")), "{text}");
            };
            folded(&comment);
            folded(&human::render(report, human::Look::default()));
            let look = human::Look {
                all: true,
                ..human::Look::default()
            };
            let all = human::render(report, look);
            assert_eq!(all.matches(" → ").count(), 5, "{all}");
        });
    }
}
