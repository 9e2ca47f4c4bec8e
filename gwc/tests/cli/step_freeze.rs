//! Freeze windows: `release.freeze` and `--override-freeze`.

use serde_json::{Value, json};

use crate::project::Project;
use crate::steps::{begun, records, with};

/// Window that contains the time of the test.
const NOW: &str = "{from: 2020-01-01, to: 9998-12-30, reason: end of the year}";
/// Text about this window in messages.
const UNTIL: &str = "is frozen until 9998-12-31T00:00:00Z";

/// Adds a freeze window to a project.
fn freeze(project: &Project, window: &str) {
    let store = "release: {store: releases, ";
    let freeze = format!("{store}freeze: [{window}], ");
    project.edit("gateway.yaml", store, &freeze);
}

#[test]
fn release_in_a_freeze_needs_a_reason() {
    let project = Project::released();
    freeze(&project, NOW);
    let plan = project.run(&["plan", "--format", "json"]);
    let changes = plan.json("plan/v1")["changes"].clone();
    assert_eq!(changes[0]["id"], "release-freeze-changed");
    let window = "2020-01-01T00:00 to 9998-12-31T00:00 UTC: end of the year";
    assert_eq!(
        (&changes[0]["old"], &changes[0]["new"]),
        (&Value::Null, &json!(window))
    );
    plan.contains(UNTIL);
    let ack = format!("{}=agreed", changes[0]["fingerprint"].as_str().unwrap());
    let ack = ["--ack", &*ack];
    for more in [&[][..], &["--dry-run"]] {
        with(&project, "apply", &[&ack[..], more].concat())
            .with(5)
            .contains("error[frozen]")
            .contains(UNTIL)
            .contains("end of the year")
            .contains("--override-freeze");
    }
    assert_eq!(records(&project).len(), 1);
    let empty = [&ack[..], &["--override-freeze", " "]].concat();
    with(&project, "apply", &empty).with(64);
    let reason = [&ack[..], &["--override-freeze", "incident 7"]].concat();
    with(&project, "apply", &reason)
        .with(0)
        .contains("proceeding in a freeze of channel prod until 9998-12-31T00:00:00Z");
    assert_eq!(records(&project)[0]["override_freeze"], "incident 7");
    project
        .run(&["history"])
        .contains("in a freeze window, because: incident 7");
}

#[test]
fn promote_in_a_freeze_is_refused() {
    let (project, before, bundle) = begun();
    freeze(&project, NOW);
    with(&project, "promote", &[])
        .with(5)
        .contains("error[frozen]")
        .contains(UNTIL);
    assert_eq!(records(&project).len(), 3);
    with(&project, "promote", &["--override-freeze", "incident 8"]).with(0);
    assert_eq!(records(&project)[0]["override_freeze"], "incident 8");
    // The way back is always open.
    with(&project, "abort", &[]).with(0);
    let newest = &records(&project)[0];
    assert_eq!(newest["bundle"], before.as_str());
    assert_eq!(newest["override_freeze"], Value::Null);
    with(&project, "rollback", &[&bundle]).with(0);
    assert_eq!(records(&project).len(), 6);
}

#[test]
fn release_outside_of_a_freeze_has_no_reason() {
    let (project, ..) = begun();
    freeze(&project, "{from: 2020-01-01, to: 2020-01-02, reason: past}");
    with(&project, "promote", &["--override-freeze", "unneeded"])
        .with(0)
        .contains("there is no freeze now");
    assert_eq!(records(&project)[0]["override_freeze"], Value::Null);
}

#[test]
fn freeze_window_without_valid_times_is_a_finding() {
    for (window, message) in [
        ("{reason: a}", "a window without a time"),
        ("{from: 2026-12-20, reason: a}", "belong together"),
        (
            "{from: \"18:00\", to: \"18:00\", reason: a}",
            "a window of no length",
        ),
        (
            "{from: \"24:00\", to: \"06:00\", reason: a}",
            "is no beginning",
        ),
        (
            "{from: 2026-12-20, to: \"06:00\", reason: a}",
            "a date and a time of day",
        ),
        (
            "{from: 2026-12-20, to: 2026-12-19, reason: a}",
            "`to` is not after `from`",
        ),
        (
            "{from: 2026-02-30, to: 2026-03-01, reason: a}",
            "this time does not exist",
        ),
        (
            "{from: 2026-12-20, to: 2026-12-21, days: [mon], reason: a}",
            "`days` together",
        ),
        (
            "{from: noon, to: midnight, reason: a}",
            "time of day such as",
        ),
        ("{days: [friday], reason: a}", "friday"),
        ("{days: [fri], zone: Berlin, reason: a}", "Europe/Berlin"),
        ("{days: [fri]}", "reason"),
    ] {
        let project = Project::bare();
        freeze(&project, window);
        project.run(&["lint"]).with(1).contains(message);
    }
    let project = Project::bare();
    freeze(
        &project,
        "{days: [fri, sat], from: \"22:00\", to: \"06:00\", zone: Asia/Tokyo, reason: a}",
    );
    project.run(&["lint"]).with(0);
}
