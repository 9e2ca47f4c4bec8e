//! Tests of operations behind a policy that answers all requests (`respond`, `redirect`). If the
//! policy is removed, the upstream gets requests that it never got before.

use plan::Plan;

use crate::side;

const GATEWAY: &str = "version: 1
name: g
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://s.example:9001\"}}}}
policies:
  empty: {kind: respond, status: 204}
  away: {kind: redirect, host: x.example}
  closed: {kind: respond, status: 403}
defaults: {upstream: u, timeout: 5s}
";

fn operation(method: &str, path: &str, id: &str, settings: &str) -> String {
    let names = path
        .split('{')
        .skip(1)
        .filter_map(|part| part.split('}').next());
    let parameters: Vec<String> = names
        .map(|name| format!("{{name: {name}, in: path, required: true, schema: {{type: string}}}}"))
        .collect();
    format!(
        "  {path}:\n    {method}: {{operationId: {id}, parameters: [{}], \
         responses: {{\"200\": {{description: d}}}}, x-gateway: {{public: true{settings}}}}}\n",
        parameters.join(", ")
    )
}

fn between(old: &str, new: &str) -> Plan {
    let of = |paths: &str| {
        let head = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n";
        side(&[
            ("gateway.yaml", GATEWAY),
            ("api.yaml", &format!("{head}{paths}")),
        ])
    };
    plan::compare(Some(&of(old)), &of(new)).expect("both sides build")
}

/// True if the plan reports access of everyone to requests that no upstream got before.
#[track_caller]
fn exposes(old: &str, new: &str) -> bool {
    let plan = between(old, new);
    assert_eq!(plan.bugs, Vec::<String>::new());
    let mut changes = plan.changes.iter();
    let found = changes.any(|one| one.id == "operation-exposed");
    assert_eq!(found, !plan.tripped(&["weaken".to_owned()], &[]).is_empty());
    found
}

#[test]
fn requests_behind_a_removed_reply_are_exposed() {
    for reply in ["empty", "away"] {
        let policies = format!(", policies: [{reply}]");
        let answered = operation("delete", "/admin/{x}", "d", &policies);
        let sent = operation("delete", "/admin/{x}", "d", "");
        assert!(exposes(&answered, &sent), "{reply}");
        let renamed = operation("delete", "/admin/{y}", "d", "");
        assert!(exposes(&answered, &renamed), "{reply}: another name");
        let other = operation("delete", "/admin/a", "e", "");
        let beside = format!("{answered}{other}");
        assert!(exposes(&answered, &beside), "{reply}: a part");
        let all = operation("delete", "/{z}/{w}", "f", "");
        let before = format!("{answered}{all}");
        assert!(exposes(&before, &all), "{reply}: another operation");
        assert!(!exposes(&sent, &answered), "{reply}: added");
        let still = operation("delete", "/admin/{y}", "d", &policies);
        assert!(!exposes(&answered, &still), "{reply}: the same");
        let closed = operation("delete", "/admin/{x}", "d", ", policies: [closed]");
        assert!(!exposes(&answered, &closed), "{reply}: refused");
    }
}
