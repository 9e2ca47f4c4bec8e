//! Tests of invariants that select operations by their verifiers and policies.

use crate::git::{commit, git};
use crate::invariants::{violated, with_invariants};

#[test]
fn verifiers_and_policies_select_operations() {
    for (selection, keys) in [
        ("{auth: [keys], methods: [POST]}", vec!["orders/addOrder"]),
        ("{auth: [\"k*\"], methods: [POST]}", vec!["orders/addOrder"]),
        ("{auth: [staff]}", vec![]),
        (
            "{policies: [slow], methods: [POST]}",
            vec!["orders/addOrder"],
        ),
        ("{policies: [other]}", vec![]),
        (
            "{kinds: [rate_limit], methods: [POST]}",
            vec!["orders/addOrder"],
        ),
        ("{kinds: [cache]}", vec![]),
    ] {
        let found = violated(selection, "{unreachable: true}");
        assert_eq!(found, keys, "{selection}");
    }
}

/// An operation that loses the selecting verifier or policy evades the invariant: a plan reports
/// it.
#[test]
fn operation_that_loses_its_setting_is_reported() {
    for (selection, from, to) in [
        (
            "{auth: [keys]}",
            "operationId: getOrder,",
            "operationId: getOrder, security: [], x-gateway: {public: true},",
        ),
        (
            "{kinds: [headers]}",
            "operationId: getOrder,",
            "operationId: getOrder, x-gateway: {policies: []},",
        ),
        (
            "{policies: [mark]}",
            "operationId: getOrder,",
            "operationId: getOrder, x-gateway: {policies: []},",
        ),
    ] {
        let project = with_invariants(&format!(
            "- {{name: held, where: {selection}, require: {{timeout: 9s}}}}\n"
        ));
        git(project.path(), &["init", "-q", "-b", "main"]);
        commit(&project, "one");
        project.edit("orders.yaml", from, to);
        let ended = project.run(&["plan", "--against", "git:main", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
        let changes = plan["changes"].as_array().expect("changes").iter();
        let lines = changes.filter(|change| change["id"] == "invariant-narrowed");
        assert_eq!(lines.count(), 1, "{selection}: {}", ended.out);
    }
}

/// An unreadable document has no operations, so that the invariant may be right.
#[test]
fn empty_selection_beside_errors_is_no_finding() {
    let project = with_invariants(
        "- {name: a, where: {operations: [orders/addOrder]}, require: {authenticated: true}}\n",
    );
    project.run(&["lint"]).with(0).lacks("is selected");
    let document = "orders.yaml";
    let text = project.read(document);
    project.write(document, format!("{text}\n  - : [\n"));
    let ended = project.run(&["lint"]).with(65);
    ended.lacks("no operation is selected");
}
