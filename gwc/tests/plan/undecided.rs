//! Tests of differences whose effect on clients is undecided. Formats for people write `may break`
//! with the reason. Gates treat such a difference like a break.

use plan::changelog::{Changelog, Kind};
use plan::report::{Report, Subject};
use plan::{Plan, Review, findings, github, html, human, json, markdown};

use crate::meaning::between;
use crate::{DOCUMENT, GATEWAY, edit, plan};

/// Calls a function with the report on a plan with these gates.
fn report<T>(plan: &Plan, gates: &[&str], of: impl Fn(&Report<'_>) -> T) -> T {
    let gates = gates.iter().map(|gate| (*gate).to_owned()).collect();
    let review = Review::new(plan, gates, None, Vec::new(), 0);
    let subject = Subject::default();
    of(&Report {
        plan,
        subject: &subject,
        review: &review,
    })
}

/// First heading of the comment.
fn heading(plan: &Plan, gates: &[&str]) -> String {
    let comment = report(plan, gates, markdown::render);
    comment.lines().nth(1).unwrap_or_default().to_owned()
}

/// Pair with an undecided difference.
const UNDECIDED: (&str, &str) = (
    "{type: string, format: email}",
    "{type: string, format: uri}",
);

#[test]
fn undecided_difference_may_break() {
    let plan = between("request", UNDECIDED.0, UNDECIDED.1);
    let reason = "the effect of `format` cannot be decided";
    report(&plan, &["break"], |report| {
        let comment = markdown::render(report);
        assert!(!comment.contains("**break**"), "{comment}");
        for part in [
            "### Gateway plan: blocked, worst: may break (existing clients may fail)\n",
            "**1** may break (existing clients may fail)",
            " **may break** `POST /x (a/x)`",
            &format!("\n  - may break: {reason}\n"),
            "- gate `break` is tripped by 1 change\n",
        ] {
            assert!(comment.contains(part), "{part}\n{comment}");
        }
        let text = human::render(report, human::Look::default());
        for part in [
            "\n  1 may break    existing clients may fail\n",
            "\n  ! may break    POST /x (a/x)",
            &format!("\n      may break: {reason}\n"),
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let page = html::render(report);
        assert!(page.contains("<span class=\"class\">may break</span>"));
        assert!(page.contains(reason));
        assert!(github::render(report).contains("may break trips a gate"));
        let messages = findings::of(report);
        assert!(messages[0].message.starts_with("may break: POST /x"));
        let document = json::document(report);
        let change = &document["changes"][0];
        assert_eq!(change["class"], "break");
        assert_eq!(change["message"]["verdict"], "undecided");
        assert_eq!(change["message"]["why_undecided"], reason);
        let groups = &Changelog::of(report).apis[0].groups;
        assert_eq!(groups[0].0, Kind::MayBreak);
    });
}

#[test]
fn shown_break_is_no_undecided_one() {
    let plan = between("request", "{type: string}", "{type: integer}");
    report(&plan, &[], |report| {
        let comment = markdown::render(report);
        assert!(comment.contains(" **break** `"), "{comment}");
        assert!(!comment.contains("may break"), "{comment}");
        let document = json::document(report);
        let message = &document["changes"][0]["message"];
        assert_eq!(message["why_undecided"], serde_json::Value::Null);
    });
}

#[test]
fn reason_names_what_cannot_be_decided() {
    for (direction, old, new, reason) in [
        (
            "request",
            "{type: string}",
            "{type: string, pattern: '^(?=a)b'}",
            "the effect of `pattern` cannot be decided",
        ),
        (
            "response",
            "{type: string, format: uri}",
            "{type: string}",
            "the effect of `format` cannot be decided",
        ),
    ] {
        let plan = between(direction, old, new);
        let doubts = plan.changes.iter().filter_map(plan::Change::doubt);
        assert_eq!(doubts.collect::<Vec<_>>(), [reason], "{old}");
    }
}

#[test]
fn heading_names_the_worst_class() {
    let none: &[&str] = &[];
    let both =
        |from: &str, to: &str| plan((GATEWAY, DOCUMENT), (GATEWAY, &edit(DOCUMENT, from, to)));
    let open = both(
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    let removed = both(
        "delete: {operationId: deleteOrder",
        "patch: {operationId: deleteOrder",
    );
    let gateway = edit(GATEWAY, "version: 1", "version: 1\ngates: [weaken]");
    let rules = plan((&gateway, DOCUMENT), (GATEWAY, DOCUMENT));
    let prose = both("description: fine", "description: good");
    for (plan, gates, expected) in [
        (&open, none, "changes, worst: weaken (admits more callers)"),
        (
            &open,
            &["weaken"][..],
            "blocked, worst: weaken (admits more callers)",
        ),
        (&removed, none, "changes, worst: removed (no longer served)"),
        (&rules, none, "changes, worst: rules (release rules differ)"),
        (
            &rules,
            &["rules"][..],
            "blocked, worst: rules (release rules differ)",
        ),
        (&prose, none, "no changes (only descriptions differ)"),
    ] {
        let expected = format!("### Gateway plan: {expected}");
        assert_eq!(heading(plan, gates), expected);
    }
    let same = plan((GATEWAY, DOCUMENT), (GATEWAY, DOCUMENT));
    assert_eq!(heading(&same, none), "### Gateway plan: no changes");
}
