//! Tests that a plan reports differences without a specific kind of change, even if it reports
//! others.

use crate::{DOCUMENT, GATEWAY, edit, plan, side};

/// Changes as lines `ID OPERATION-OR-SUBJECT`, after the kind of change `id` is disabled.
fn without(id: &'static str, old: (&str, &str), new: (&str, &str)) -> Vec<String> {
    let sides = [old, new]
        .map(|(gateway, document)| side(&[("gateway.yaml", gateway), ("api.yaml", document)]));
    let compare = || plan::compare(Some(&sides[0]), &sides[1]).expect("both sides build");
    let plan = plan::ids::without(id, compare);
    let line = |change: &plan::Change| match change.operations.is_empty() {
        true => format!("{} {}", change.id, change.subject),
        false => format!(
            "{} {} {}",
            change.id,
            change.subject,
            change.operations.join("+")
        ),
    };
    plan.changes.iter().map(line).collect()
}

/// Adds metadata to a consumer, which no request reads.
fn noted(gateway: &str) -> String {
    edit(gateway, "acme: {", "acme: {metadata: {owner: bob}, ")
}

#[test]
fn other_changes_mask_no_undescribed_operation() {
    let new = noted(&edit(GATEWAY, "timeout: 5s", "timeout: 6s"));
    let lines = without("timeout-changed", (GATEWAY, DOCUMENT), (&new, DOCUMENT));
    let all = "a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders";
    let expected = [
        "consumer-changed consumer acme metadata.owner".to_owned(),
        format!("unclassified timeout {all}"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn changes_of_an_operation_mask_no_other_field() {
    let document = |more: &str| {
        edit(
            DOCUMENT,
            "{operationId: listOrders,",
            &format!("{{operationId: listOrders, x-gateway: {{{more}}},"),
        )
    };
    let old = document("timeout: 5s, max_body: 1KiB, upstream: u");
    for (id, new, field) in [
        (
            "timeout-changed",
            "timeout: 6s, max_body: 2KiB, upstream: u",
            "timeout",
        ),
        (
            "max-body-changed",
            "timeout: 6s, max_body: 2KiB, upstream: u",
            "max_body",
        ),
        (
            "upstream-changed",
            "timeout: 6s, max_body: 1KiB, upstream: v",
            "upstream",
        ),
        (
            "operation-setting-changed",
            "timeout: 6s, max_body: 1KiB, upstream: u, websocket: true",
            "settings",
        ),
        (
            "policies-changed",
            "timeout: 6s, max_body: 1KiB, upstream: u, policies: []",
            "policies",
        ),
    ] {
        let lines = without(id, (GATEWAY, &old), (GATEWAY, &document(new)));
        let line = format!("unclassified {field} a/listOrders");
        assert!(lines.contains(&line), "{id}: {lines:?}");
        assert!(lines.len() > 1, "{id}: {lines:?}");
    }
}

#[test]
fn changes_mask_no_undescribed_definition() {
    let more = |gateway: &str, extra: &str| noted(&format!("{gateway}{extra}"));
    let upstream = edit(GATEWAY, "127.0.0.1:9001\"}}", "127.0.0.1:9002\"}}");
    let limit = edit(GATEWAY, "limit: 10/s", "limit: 20/s");
    for (id, new, part) in [
        ("targets-changed", noted(&upstream), "upstream v"),
        ("rate-changed", noted(&limit), "policy slow"),
        (
            "gateway-setting-changed",
            more(GATEWAY, "errors: {no_route: {status: 410}}\n"),
            "gateway",
        ),
    ] {
        let lines = without(id, (GATEWAY, DOCUMENT), (&new, DOCUMENT));
        let line = format!("unclassified {part}");
        assert!(lines.contains(&line), "{id}: {lines:?}");
    }
}

#[test]
fn schemes_of_internal_operations_change_nothing() {
    let scheme =
        "  securitySchemes:\n    zz: {type: apiKey, in: query, name: n, x-gateway: {auth: keys}}\n";
    let internal = |security: &str| {
        let document = edit(DOCUMENT, "  securitySchemes:\n", scheme);
        let operation = format!(
            "  /hidden:\n    get: {{operationId: hidden, {security}x-gateway: {{internal: true}}, responses: {{\"200\": {{description: fine}}}}}}\ncomponents:\n"
        );
        edit(&document, "components:\n", &operation)
    };
    let (old, new) = (internal(""), internal("security: [{zz: []}], "));
    let sides =
        [&old, &new].map(|document| side(&[("gateway.yaml", GATEWAY), ("api.yaml", document)]));
    assert_eq!(sides[0].bundle, sides[1].bundle);
    let plan = plan((GATEWAY, &old), (&noted(GATEWAY), &new));
    let ids: Vec<&str> = plan.changes.iter().map(|change| change.id).collect();
    assert_eq!(ids, ["consumer-changed"]);
}
