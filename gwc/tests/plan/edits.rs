//! Tests of single edits that change behaviour: the plan must have exactly the expected classes for
//! exactly the expected operations.

use model::acknowledge;
use plan::{Outcome, Review, compare, ids};

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

/// Lines of the plan for an edit of the document.
fn document(from: &str, to: &str) -> Vec<String> {
    lines(&plan(
        (GATEWAY, DOCUMENT),
        (GATEWAY, &edit(DOCUMENT, from, to)),
    ))
}

/// Lines of the plan for an edit of gateway.yaml.
fn gateway(from: &str, to: &str) -> Vec<String> {
    lines(&plan(
        (GATEWAY, DOCUMENT),
        (&edit(GATEWAY, from, to), DOCUMENT),
    ))
}

pub(crate) const LIST: &str = "{operationId: listOrders, summary: List,";

#[test]
fn removed_requirement_opens_the_operation() {
    let opened = edit(
        DOCUMENT,
        LIST,
        "{operationId: listOrders, security: [], x-gateway: {public: true}, summary: List,",
    );
    let plan = plan((GATEWAY, DOCUMENT), (GATEWAY, &opened));
    assert_eq!(
        lines(&plan),
        ["security weaken security-requirement-removed a/listOrders"]
    );
    let witness = plan.changes[0].witness.as_ref().expect("a witness");
    assert_eq!(
        (
            witness.method.as_str(),
            witness.url.as_str(),
            witness.credentials.len()
        ),
        ("GET", "http://gateway/orders", 0)
    );
    assert_eq!(witness.old, Outcome::Refused { status: 401 });
    assert_eq!(
        witness.new,
        Outcome::Served {
            operation: "a/listOrders".into(),
            upstream: Some("u".into()),
        }
    );
    assert_eq!(plan.tripped(&["weaken".into()], &[]).len(), 1);
    let fingerprint = plan.changes[0].fingerprint.clone();
    assert!(plan.tripped(&["weaken".into()], &[fingerprint]).is_empty());
}

#[test]
fn a_requirement_that_is_added_closes_it() {
    let closed = document("security: [], x-gateway: {public: true}, ", "");
    assert_eq!(
        closed,
        ["security strengthen security-requirement-added a/getStatus"]
    );
}

#[test]
fn alternative_added_weakens_and_removed_strengthens() {
    assert_eq!(
        document(
            LIST,
            "{operationId: listOrders, security: [{key: []}, {pair: []}], summary: List,"
        ),
        ["security weaken security-requirement-changed a/listOrders"]
    );
    assert_eq!(
        document("security: [{key: []}, {pair: []}], ", ""),
        ["security strengthen security-requirement-changed a/createOrder"]
    );
}

#[test]
fn a_combination_that_is_split_weakens() {
    assert_eq!(
        document("[{key: [], pair: []}]", "[{key: []}]"),
        ["security weaken security-requirement-changed a/deleteOrder"]
    );
    assert_eq!(
        document("[{key: [], pair: []}]", "[{key: []}, {pair: []}]"),
        ["security weaken security-requirement-changed a/deleteOrder"]
    );
}

#[test]
fn another_credential_is_incomparable() {
    assert_eq!(
        document(
            LIST,
            "{operationId: listOrders, security: [{pair: []}], summary: List,"
        ),
        ["security incomparable security-requirement-changed a/listOrders"]
    );
}

#[test]
fn empty_alternative_weakens() {
    let optional = document(
        LIST,
        "{operationId: listOrders, security: [{key: []}, {}], x-gateway: {public: true}, summary: List,",
    );
    assert_eq!(
        optional,
        ["security weaken security-requirement-removed a/listOrders"]
    );
}

#[test]
fn credential_moved_to_the_query_is_incomparable() {
    let lines = document("in: header, name: X-Key", "in: query, name: key");
    assert_eq!(
        lines,
        [
            "security incomparable security-requirement-changed a/createOrder",
            "security incomparable security-requirement-changed a/deleteOrder",
            "security incomparable security-requirement-changed a/getOrder+a/listOrders",
        ]
    );
}

#[test]
fn leaving_the_check_to_the_upstream_weakens() {
    let lines = document("x-gateway: {auth: keys}", "x-gateway: {verify: upstream}");
    assert!(
        lines.iter().all(|line| line.starts_with("security weaken")),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_new_operation_is_added_and_exposed() {
    let added = document(
        "  /status:",
        "  /new: {get: {operationId: getNew, responses: {\"200\": {description: fine}}}}\n  /status:",
    );
    assert_eq!(
        added,
        [
            "security expose operation-exposed a/getNew",
            "routing added operation-added a/getNew"
        ]
    );
    let open = document(
        "  /status:",
        "  /new: {get: {operationId: getNew, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}\n  /status:",
    );
    assert_eq!(
        open,
        [
            "security weaken operation-exposed a/getNew",
            "routing added operation-added a/getNew"
        ]
    );
}

#[test]
fn an_operation_that_is_gone_is_removed() {
    let removed = document(
        "    post: {operationId: createOrder, security: [{key: []}, {pair: []}], responses: {\"201\": {description: made}}}\n",
        "",
    );
    assert_eq!(removed, ["routing removed operation-removed a/createOrder"]);
}

#[test]
fn an_internal_operation_is_removed_from_the_outside() {
    assert_eq!(
        document(
            LIST,
            "{operationId: listOrders, x-gateway: {internal: true}, summary: List,"
        ),
        ["routing removed operation-removed a/listOrders"]
    );
}

#[test]
fn a_path_that_captures_others_requests_moves_them() {
    let captured = document(
        "  /status:",
        "  /orders/latest: {get: {operationId: latest, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}\n  /status:",
    );
    assert_eq!(
        captured,
        [
            "security weaken security-requirement-removed a/latest",
            "routing moved owner-changed a/latest"
        ]
    );
}

#[test]
fn a_path_that_gives_requests_back_moves_them() {
    let with = edit(
        DOCUMENT,
        "  /status:",
        "  /orders/latest: {get: {operationId: latest, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}\n  /status:",
    );
    let given_back = lines(&plan((GATEWAY, &with), (GATEWAY, DOCUMENT)));
    assert_eq!(
        given_back,
        [
            "security strengthen security-requirement-added a/getOrder",
            "routing moved owner-changed a/getOrder"
        ]
    );
}

#[test]
fn renamed_operation_has_a_line() {
    assert_eq!(
        document("operationId: getOrder", "operationId: readOrder"),
        ["docs changed operation-renamed a/readOrder"]
    );
}

#[test]
fn a_moved_path_is_removed_and_added() {
    let moved = document("  /status:", "  /health:");
    assert_eq!(
        moved,
        [
            "security weaken operation-exposed a/getStatus",
            "routing added requests-added a/getStatus",
            "routing removed requests-removed a/getStatus"
        ]
    );
}

#[test]
fn another_upstream_moves_the_requests() {
    assert_eq!(
        document(
            LIST,
            "{operationId: listOrders, x-gateway: {upstream: v}, summary: List,"
        ),
        ["routing moved upstream-changed a/listOrders"]
    );
}

#[test]
fn mount_restricted_to_a_host_removes_requests() {
    let lines = gateway(
        "{path: api.yaml}",
        "{path: api.yaml, mount: {hosts: [api.shop.example]}}",
    );
    let removed = lines
        .iter()
        .filter(|line| line.starts_with("routing removed"))
        .count();
    assert_eq!(removed, 5, "any other host gets nothing now: {lines:?}");
}

#[test]
fn numbers_relax_and_tighten() {
    assert_eq!(
        gateway("limit: 10/s", "limit: 20/s"),
        ["policy relax rate-changed policy slow limit"]
    );
    assert_eq!(
        gateway("limit: 10/s", "limit: 100/min"),
        ["policy tighten rate-changed policy slow limit"]
    );
    assert_eq!(
        gateway("burst: 5", "burst: 4"),
        ["policy tighten burst-changed policy slow burst"]
    );
    let slower = gateway("timeout: 5s", "timeout: 6s");
    assert_eq!(
        slower,
        [
            "policy relax timeout-changed a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders"
        ]
    );
    let limited = gateway("timeout: 5s", "timeout: 5s, max_body: 1MiB");
    assert_eq!(
        limited,
        [
            "policy tighten max-body-changed a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders"
        ]
    );
}

#[test]
fn changed_policy_lists_and_settings_have_lines() {
    assert_eq!(
        document(
            LIST,
            "{operationId: listOrders, x-gateway: {policies: [edge]}, summary: List,"
        ),
        ["policy relax policies-changed a/listOrders"]
    );
    assert_eq!(
        document(
            LIST,
            "{operationId: listOrders, x-gateway: {policies: [slow]}, summary: List,"
        ),
        [
            "security weaken response-field-changed a/listOrders",
            "policy changed policies-changed a/listOrders",
        ]
    );
    assert_eq!(
        gateway("remove: [Server]", "remove: [Server, Via]"),
        [
            "security strengthen response-field-changed a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders",
            "policy changed policy-changed policy edge response.remove",
        ]
    );
}

#[test]
fn consumers_are_granted_and_withdrawn() {
    let more = gateway(
        "consumers:\n",
        "consumers:\n  new: {keys: [{sha256: 1111111111111111111111111111111111111111111111111111111111111111}]}\n",
    );
    assert_eq!(more, ["security grant credential-added consumer new"]);
    let ends = gateway("0f00a08}", "0f00a08, not_after: 2030-01-01}");
    assert_eq!(
        ends,
        ["security strengthen credential-shortened consumer acme"]
    );
    let fewer = gateway(
        "{keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}",
        "{}",
    );
    assert_eq!(
        fewer,
        ["security strengthen credential-removed consumer acme"]
    );
}

#[test]
fn changed_target_is_in_the_section_upstream() {
    assert_eq!(
        gateway(":9001", ":9002"),
        ["upstream moved targets-changed upstream v targets.a.url"]
    );
}

#[test]
fn changed_contract_and_prose_have_their_sections() {
    assert_eq!(
        document(
            "{\"201\": {description: made}}",
            "{\"201\": {description: made}, \"400\": {description: no}}"
        ),
        ["breaking changed response-non-success-status-added a/createOrder"]
    );
    assert_eq!(
        document("summary: List", "summary: Lists"),
        ["docs doc prose-changed a/listOrders"]
    );
}

#[test]
fn the_same_project_has_an_empty_plan() {
    let side = crate::side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let plan = compare(Some(&side), &side).unwrap();
    assert!(plan.no_op && plan.bugs.is_empty());
}

#[test]
fn operations_at_witness_values_hide_no_opening() {
    // For each value that a witness could use for `{id}`, the document has a separate operation.
    let neighbours: String = ["x", "0", "xy", "x1", "~", "00000000-0000-4000-8000-000000000000"]
        .iter()
        .enumerate()
        .map(|(number, value)| {
            format!(
                "  /orders/{value}: {{get: {{operationId: n{number}, responses: {{\"200\": {{description: fine}}}}}}}}\n"
            )
        })
        .collect();
    let old = edit(DOCUMENT, "  /status:", &format!("{neighbours}  /status:"));
    let new = edit(
        &old,
        "{operationId: getOrder,",
        "{operationId: getOrder, security: [], x-gateway: {public: true},",
    );
    let plan = plan((GATEWAY, &old), (GATEWAY, &new));
    assert_eq!(
        lines(&plan),
        ["security weaken security-requirement-removed a/getOrder"]
    );
    assert_eq!(plan.tripped(&["weaken".into()], &[]).len(), 1);
}

#[test]
fn mount_at_the_host_of_witnesses_hides_no_opening() {
    for (exact, pattern) in [
        ("gateway", ""),
        ("any.example.org", "hosts: [\"*.example.org\"]"),
    ] {
        let both = edit(
            GATEWAY,
            "apis: {a: {path: api.yaml}}",
            &format!(
                "apis:\n  a: {{path: api.yaml, mount: {{{pattern}}}}}\n  b: {{path: b.yaml, mount: {{hosts: [{exact}]}}}}"
            ),
        );
        let other = DOCUMENT.replace("/orders", "/others");
        let open = edit(
            DOCUMENT,
            LIST,
            "{operationId: listOrders, security: [], x-gateway: {public: true}, summary: List,",
        );
        let side = |document: &str| {
            crate::side(&[
                ("gateway.yaml", &both),
                ("api.yaml", document),
                ("b.yaml", &other),
            ])
        };
        let plan = compare(Some(&side(DOCUMENT)), &side(&open)).unwrap();
        assert_eq!(
            lines(&plan),
            ["security weaken security-requirement-removed a/listOrders"],
            "{exact}"
        );
    }
}

#[test]
fn credential_no_longer_stripped_weakens() {
    let stripped = edit(
        DOCUMENT,
        "{auth: keys}",
        "{auth: keys, strip_credential: true}",
    );
    let lines = lines(&plan((GATEWAY, &stripped), (GATEWAY, DOCUMENT)));
    assert_eq!(
        lines,
        [
            "security weaken credential-forwarded a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders"
        ]
    );
}

#[test]
fn policy_moved_with_new_settings_is_redefined() {
    let local = edit(
        DOCUMENT,
        "info:",
        "x-gateway: {policies: {slow: {kind: rate_limit, limit: 1000000/s, burst: 5000}}}\ninfo:",
    );
    let gateway = edit(
        GATEWAY,
        "  slow: {kind: rate_limit, limit: 10/s, burst: 5}\n",
        "",
    );
    let gateway = edit(
        &gateway,
        "policies: [slow, edge], timeout",
        "policies: [edge], timeout",
    );
    let local = edit(
        &local,
        LIST,
        "{operationId: listOrders, x-gateway: {policies: [slow, edge]}, summary: List,",
    );
    let lines = lines(&plan((GATEWAY, DOCUMENT), (&gateway, &local)));
    assert!(
        lines.contains(&"policy changed policy-redefined a/listOrders".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn renamed_operation_hides_no_other_change() {
    assert_eq!(
        document(
            "operationId: getOrder,",
            "operationId: readOrder, x-gateway: {policies: [edge], timeout: 50s},"
        ),
        [
            "policy relax policies-changed a/readOrder",
            "policy relax timeout-changed a/readOrder",
            "docs changed operation-renamed a/readOrder",
        ]
    );
}

#[test]
fn secret_in_a_new_field_weakens() {
    let lines = gateway(
        "response: {remove: [Server]}",
        "request: {set: {Authorization: \"${env:GWS_TOKEN}\"}}, response: {remove: [Server]}",
    );
    assert_eq!(
        lines,
        [
            "security weaken secret-flow-added policy edge request.set.authorization",
            "security incomparable identity-field-changed a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders",
            "policy changed policy-changed policy edge request.set.authorization",
        ]
    );
}

#[test]
fn removed_explicit_head_opens_the_get_below_it() {
    let with = edit(
        DOCUMENT,
        "    get: {operationId: getStatus,",
        "    head: {operationId: headStatus, responses: {\"200\": {description: fine}}}\n    get: {operationId: getStatus,",
    );
    let lines = lines(&plan((GATEWAY, &with), (GATEWAY, DOCUMENT)));
    assert_eq!(
        lines,
        [
            "security weaken security-requirement-removed a/getStatus",
            "routing moved owner-changed a/getStatus",
        ]
    );
}

#[test]
fn policy_that_stops_refusing_everybody_is_exposure() {
    let gateway = edit(
        GATEWAY,
        "policies:\n",
        "policies:\n  closed: {kind: respond, status: 403}\n",
    );
    let closed = |operation: &str, more: &str| {
        edit(
            DOCUMENT,
            &format!("{{operationId: {operation},{more}"),
            &format!("{{operationId: {operation},{more} x-gateway: {{+policies: [closed]}},"),
        )
    };
    let list = closed("listOrders", "");
    let plan = plan((&gateway, &list), (&gateway, DOCUMENT));
    let lines = lines(&plan);
    assert!(
        lines.contains(&"security expose operation-exposed a/listOrders".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"routing moved upstream-changed a/listOrders".to_owned()),
        "{lines:?}"
    );
    let exposure = plan
        .changes
        .iter()
        .find(|change| change.id == "operation-exposed");
    let witness = exposure
        .and_then(|exposure| exposure.witness.clone())
        .expect("a witness");
    assert_eq!(witness.old, Outcome::Refused { status: 403 });
    assert_eq!(plan.tripped(&["expose".into()], &[]).len(), 1);
}

#[test]
fn witness_without_a_difference_is_a_bug() {
    let opened = edit(
        DOCUMENT,
        LIST,
        "{operationId: listOrders, security: [], x-gateway: {public: true}, summary: List,",
    );
    let old = crate::side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let new = crate::side(&[("gateway.yaml", GATEWAY), ("api.yaml", &opened)]);
    let compared = || compare(Some(&old), &new).expect("both sides build");
    assert!(compared().bugs.is_empty());
    let planted = ids::with_false_witnesses(compared);
    assert_eq!(planted.bugs.len(), 1, "{:?}", planted.bugs);
    assert!(
        planted
            .changes
            .iter()
            .all(|change| change.witness.is_none())
    );
    // The plan lists all changes, and a line about the failed check. That line trips each gate
    // until it is acknowledged.
    assert_eq!(lines(&planted).len(), lines(&compared()).len() + 1);
    let mut failed = planted.changes.iter();
    let failed = failed.find(|change| change.id == "self-check-failed");
    let failed = failed.expect("a line about the failed check");
    let gates = ["relax".to_owned(), "move".to_owned()];
    let acknowledged = std::slice::from_ref(&failed.fingerprint);
    assert_eq!(planted.tripped(&gates, &[]).len(), 2);
    assert_eq!(planted.tripped(&gates, acknowledged), []);
    let acknowledgement = acknowledge::option(&format!("{}=reported", failed.fingerprint));
    let acknowledgement = acknowledgement.expect("an acknowledgement");
    for (given, unconfirmed) in [(vec![], 1), (vec![acknowledgement], 0)] {
        let review = Review::new(&planted, Vec::new(), None, given, 0);
        assert_eq!(review.unconfirmed(&planted).len(), unconfirmed);
    }
}

#[test]
fn path_readings_keep_is_weaken() {
    let keep = "security weaken path-readings-changed";
    let all = [
        "a/createOrder",
        "a/deleteOrder",
        "a/getOrder",
        "a/getStatus",
        "a/listOrders",
    ];
    assert_eq!(
        gateway("timeout: 5s}", "timeout: 5s, path_readings: keep}"),
        [format!("{keep} {}", all.join("+"))]
    );
    assert_eq!(
        document(
            "paths:\n",
            "x-gateway: {defaults: {path_readings: keep}}\npaths:\n"
        ),
        [format!("{keep} {}", all.join("+"))]
    );
    assert_eq!(
        document(
            "  /orders:\n",
            "  /orders:\n    x-gateway: {path_readings: keep}\n"
        ),
        [format!("{keep} a/createOrder+a/listOrders")]
    );
    let kept = edit(GATEWAY, "timeout: 5s}", "timeout: 5s, path_readings: keep}");
    let plan = plan((&kept, DOCUMENT), (GATEWAY, DOCUMENT));
    let found = lines(&plan);
    assert_eq!(
        found,
        [format!(
            "security strengthen path-readings-changed {}",
            all.join("+")
        )]
    );
}
