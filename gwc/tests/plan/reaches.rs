//! Tests of the list of operations that a changed definition affects.

use plan::{Change, Plan};

use crate::{DOCUMENT, GATEWAY, edit, plan, side};

fn only<'p>(plan: &'p Plan, subject: &str) -> &'p Change {
    let mut found = plan
        .changes
        .iter()
        .filter(|change| change.subject == subject);
    match (found.next(), found.next()) {
        (Some(one), None) => one,
        _ => panic!("{subject}: {:#?}", plan.changes),
    }
}

fn reached(change: &Change) -> Vec<&str> {
    let operations = change.reaches.iter().flat_map(|reach| &reach.operations);
    operations.map(String::as_str).collect()
}

const ALL: [&str; 5] = [
    "a/createOrder",
    "a/deleteOrder",
    "a/getOrder",
    "a/getStatus",
    "a/listOrders",
];

#[test]
fn changed_definition_names_its_operations() {
    let faster = edit(GATEWAY, "10/s", "20/s");
    let changed = plan((GATEWAY, DOCUMENT), (&faster, DOCUMENT));
    assert_eq!(reached(only(&changed, "policy slow limit")), ALL);

    let other = edit(GATEWAY, "9001", "9009");
    let moved = plan((GATEWAY, DOCUMENT), (&other, DOCUMENT));
    let unused = moved
        .changes
        .iter()
        .find(|change| change.subject.starts_with("upstream v"));
    assert_eq!(reached(unused.expect("a line")), [""; 0], "nothing uses it");
    let document = edit(
        DOCUMENT,
        "x-gateway: {public: true}",
        "x-gateway: {public: true, upstream: v}",
    );
    let moved = plan((GATEWAY, &document), (&other, &document));
    let used = moved
        .changes
        .iter()
        .find(|change| change.subject.starts_with("upstream v"));
    assert_eq!(reached(used.expect("a line")), ["a/getStatus"]);
    // Only the old version uses the upstream.
    let moved = plan((GATEWAY, &document), (&other, DOCUMENT));
    let used = moved
        .changes
        .iter()
        .find(|change| change.subject.starts_with("upstream v"));
    assert_eq!(reached(used.expect("a line")), ["a/getStatus"]);
}

#[test]
fn reach_is_no_part_of_the_fingerprint() {
    let faster = edit(GATEWAY, "10/s", "20/s");
    let more = edit(
        DOCUMENT,
        "  /status:\n",
        "  /more:\n    get: {operationId: more, responses: {\"200\": {description: fine}}}\n  /status:\n",
    );
    let few = plan((GATEWAY, DOCUMENT), (&faster, DOCUMENT));
    let many = plan((GATEWAY, &more), (&faster, &more));
    let (few, many) = (
        only(&few, "policy slow limit"),
        only(&many, "policy slow limit"),
    );
    assert_eq!(few.fingerprint, many.fingerprint);
    let count = |change: &Change| change.reaches.as_ref().map(|reach| reach.count);
    assert_eq!((count(few), count(many)), (Some(5), Some(6)));
}

#[test]
fn reach_is_in_every_format() {
    use plan::report::{Report, Subject};
    use plan::review::Review;
    let faster = edit(GATEWAY, "10/s", "20/s");
    let old = side(&[("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)]);
    let new = side(&[("gateway.yaml", &faster), ("api.yaml", DOCUMENT)]);
    let plan = plan::compare(Some(&old), &new).expect("both sides build");
    let review = Review::new(&plan, Vec::new(), None, Vec::new(), 0);
    let subject = Subject::default();
    let report = Report {
        plan: &plan,
        subject: &subject,
        review: &review,
    };
    let expected = "reaches 5 operations: a/createOrder, a/deleteOrder, a/getOrder, …";
    let human = plan::human::render(&report, plan::human::Look::default());
    assert!(human.contains(expected), "{human}");
    let comment = plan::markdown::render(&report);
    assert!(comment.contains(expected), "{comment}");
    let document = plan::json::document(&report);
    let change = &document["changes"][0];
    assert_eq!(change["reaches"]["count"], 5, "{change:#}");
    assert_eq!(change["reaches"]["operations"][4], "a/listOrders");
}
