//! Channels whose newest record gateways refuse, because approvals or signatures of owners are
//! missing, or because a revoked key signed it. A plan against such a record hides changes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::project::{Ended, Project};

const RELEASE: [&str; 3] = ["--key", "keys/release.pem", "--yes"];

fn run(project: &Project, command: &[&str], more: &[&str]) -> Ended {
    project.run(&[command, &RELEASE, more].concat())
}

/// Releases the sources with an acknowledgement of each change.
fn release(project: &Project, more: &[&str]) {
    let trust: Vec<&str> = match more {
        ["--trust", file] => vec!["--trust", file],
        _ => Vec::new(),
    };
    let acks = project.acks(&trust);
    let acks: Vec<&str> = acks.iter().map(String::as_str).collect();
    run(project, &["apply"], &[more, &acks].concat()).with(0);
}

/// Opens an operation of the sources to everyone.
fn open(project: &Project) {
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
}

/// Commands that compare with the newest record, or continue its release, are refused.
fn is_refused(project: &Project, code: &str) {
    let code = format!("error[{code}]");
    let plan = project.run(&["plan"]).with(4);
    plan.contains(&code)
        .contains("may hide changes")
        .contains("`gwc rollback`");
    run(project, &["apply"], &[]).with(4).contains(&code);
    project.run(&["trust", "floor"]).with(4).contains(&code);
}

#[test]
fn record_without_approvals_is_no_base_of_a_plan() {
    let project = Project::new();
    for owner in ["ann", "bob"] {
        let keygen = ["keygen", owner, "--roles", "approve"];
        project.run(&keygen).with(0);
    }
    project.edit("gateway.yaml", "gates: [weaken]", "gates: []");
    run(&project, &["apply"], &[]).with(0);
    let first = project.history()[0].1.clone();
    project.write("open.json", project.read("trust.json"));
    project.run(&["trust", "approvals", "2"]).with(0);
    let before = project.read("orders.yaml");
    open(&project);
    release(&project, &["--trust", "open.json"]);
    project.change("6s");
    is_refused(&project, "approvals-missing");
    let approve = ["approve", "--key", "keys/ann.pem", "--yes"];
    let approve = project.run(&approve).with(4);
    approve
        .contains("error[approvals-missing]")
        .contains("--accept-head");
    // The version before is the one that gateways run.
    run(&project, &["rollback"], &[]).with(0);
    assert_eq!(project.history()[0].1, first);
    let plan = project.run(&["plan"]);
    plan.contains("open to everyone").contains("timeout");
    project.write("orders.yaml", before);
    let plan = project.run(&["plan"]);
    assert!(!plan.out.contains("everyone"), "{}", plan.out);
    // A rollback goes past a refused record in the middle of the history, too.
    project.change("7s");
    for owner in ["ann", "bob"] {
        let key = format!("keys/{owner}.pem");
        project.run(&["approve", "--key", &key, "--yes"]).with(0);
    }
    release(&project, &[]);
    open(&project);
    release(&project, &["--trust", "open.json"]);
    project.run(&["trust", "approvals", "2"]).with(4);
    run(&project, &["rollback", "-2"], &[]).with(0);
    assert_eq!(project.history()[0].1, first);
}

/// The rules of the refused record do not decide about the next plan, either.
#[test]
fn rules_of_a_refused_record_do_not_count() {
    let project = Project::new();
    project
        .run(&["keygen", "ann", "--roles", "approve"])
        .with(0);
    run(&project, &["apply"], &[]).with(0);
    project.write("open.json", project.read("trust.json"));
    project.run(&["trust", "approvals", "1"]).with(0);
    project.edit("gateway.yaml", "gates: [weaken]", "gates: []");
    project.change("9s");
    release(&project, &["--trust", "open.json"]);
    run(&project, &["rollback"], &[]).with(0);
    open(&project);
    project.run(&["plan"]).contains("gate `weaken` is tripped");
    let approve = ["approve", "--key", "keys/ann.pem", "--yes"];
    project.run(&approve).with(1).contains("gate-tripped");
}

/// Creates a released project whose next records need two owners. `one.json`: trust file before.
fn with_two_owners() -> Project {
    let project = Project::released();
    let keygen = ["keygen", "second", "--owner", "second"];
    project.run(&keygen).with(0);
    project.write("one.json", project.read("trust.json"));
    project.edit("trust.json", "\"release\": 1", "\"release\": 2");
    project
}

#[test]
fn record_with_too_few_owners_is_no_base_of_a_plan() {
    let project = with_two_owners();
    let both = ["--key", "keys/second.pem"];
    project.change("6s");
    // The threshold is new. An operator accepts the records before it.
    is_refused(&project, "below-threshold");
    let accept = ["trust", "floor", "--accept-head"];
    project.run(&accept).with(0).contains("min_serial 1");
    release(&project, &both);
    let good = project.history()[0].1.clone();
    open(&project);
    release(&project, &["--trust", "one.json"]);
    let bad = project.history()[0].1.clone();
    project.change("7s");
    is_refused(&project, "below-threshold");
    run(&project, &["apply"], &both).with(4);
    run(&project, &["rollback", &bad], &both)
        .with(4)
        .contains("is impossible");
    run(&project, &["rollback"], &both).with(0);
    assert_eq!(project.history()[0].1, good);
    project.run(&["plan"]).contains("open to everyone");
}

/// A minimum serial names no record: somebody can put another record in its place.
#[test]
fn minimum_serial_accepts_no_record() {
    let project = with_two_owners();
    project.run(&["trust", "floor", "--accept-head"]).with(0);
    let accepted = project.read("trust.json");
    let both = ["--key", "keys/second.pem"];
    project.change("6s");
    release(&project, &both);
    project
        .run(&["trust", "floor"])
        .with(0)
        .contains("min_serial 2");
    assert!(accepted.contains("accepted_until"), "{accepted}");
    let link = format!("releases/channels/prod/{:020}", 2);
    std::fs::remove_file(project.file(&link)).expect("a link");
    open(&project);
    release(&project, &["--trust", "one.json"]);
    project.change("7s");
    is_refused(&project, "below-threshold");
}

/// Every gateway refuses a record of a revoked bundle.
#[test]
fn record_of_a_revoked_bundle_is_no_base() {
    let project = Project::released();
    let opened = project.history()[0].1.clone();
    project.change("6s");
    run(&project, &["apply"], &[]).with(0);
    let running = project.history()[0].1.clone();
    run(&project, &["revoke", &opened], &[]).with(0);
    let trust = project.file("trust.json");
    std::fs::rename(&trust, project.file("away.json")).expect("a trust file");
    run(&project, &["rollback", &opened], &[]).with(0);
    std::fs::rename(project.file("away.json"), &trust).expect("a trust file");
    project.change("7s");
    is_refused(&project, "revoked");
    run(&project, &["rollback", &running], &[]).with(0);
    project.run(&["plan"]).with(0);
}

/// The key of the record is trusted, and that of its build statement is not.
#[test]
fn record_with_an_untrusted_build_is_no_base() {
    let project = Project::released();
    project.write("evil.json", project.read("trust.json"));
    let keygen = ["keygen", "evil", "--roles", "build", "--trust", "evil.json"];
    project.run(&keygen).with(0);
    open(&project);
    let evil = ["--trust", "evil.json", "--build-key", "keys/evil.pem"];
    let tripped = run(&project, &["apply"], &evil).with(1);
    let acks: Vec<String> = tripped
        .err
        .split(['(', ')', ',', ' '])
        .filter(|word| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(|word| format!("{word}=x"))
        .collect();
    let acks: Vec<&str> = acks.iter().flat_map(|ack| ["--ack", ack]).collect();
    let blobs = || -> BTreeSet<PathBuf> {
        let folder = std::fs::read_dir(project.file("releases/blobs/sha256"));
        let files = folder.expect("blobs").map(|entry| entry.expect("a blob"));
        files.map(|entry| entry.path()).collect()
    };
    let before = blobs();
    run(&project, &["apply"], &[&evil[..], &acks].concat()).with(0);
    project.change("7s");
    is_refused(&project, "unknown-key");
    // Who can write to the store can also delete what shows this.
    let away = project.file("away");
    for blob in blobs().difference(&before) {
        std::fs::rename(blob, &away).expect("a blob");
        let planned = project.run(&["plan"]);
        assert!(planned.code > 1, "{}: {}", blob.display(), planned.out);
        std::fs::rename(&away, blob).expect("a blob");
    }
    run(&project, &["rollback"], &[]).with(0);
    project.run(&["plan"]).contains("open to everyone");
}

/// The minimum serial of the trust file is that of a record whose key was stolen.
#[test]
fn stolen_key_of_the_floor_blocks_no_release() {
    let project = Project::new();
    project.run(&["keygen", "ops"]).with(0);
    let stolen = project.key_id("release");
    run(&project, &["apply"], &[]).with(0);
    project.change("6s");
    run(&project, &["apply"], &[]).with(0);
    project
        .run(&["trust", "floor"])
        .with(0)
        .contains("min_serial 2");
    let ops = ["--key", "keys/ops.pem", "--yes"];
    let revoke = ["revoke", "--signing-key", &stolen];
    project.run(&[&revoke[..], &ops].concat()).with(0);
    let warning = "a revoked key signed record 2 of channel prod";
    project.run(&["plan"]).with(0).contains(warning);
    let applied = project.run(&[&["apply"], &ops[..]].concat()).with(0);
    applied.contains(warning).contains("serial 3");
    // Without the record of the minimum, the store is still an outdated one.
    for serial in [2, 3] {
        let link = format!("releases/channels/prod/{serial:020}");
        std::fs::remove_file(project.file(&link)).expect("a link");
    }
    project.run(&["plan"]).with(4).contains("below-floor");
}

/// Gateways do not go back below the minimum serial, so the revocation alone would leave them with
/// the version of the thief.
#[test]
fn stolen_key_above_the_floor_needs_a_new_record() {
    let project = Project::new();
    project.run(&["keygen", "ops"]).with(0);
    let stolen = project.key_id("release");
    let ops = ["--key", "keys/ops.pem", "--yes"];
    project.run(&[&["apply"], &ops[..]].concat()).with(0);
    let good = project.history()[0].1.clone();
    project.change("6s");
    run(&project, &["apply"], &[]).with(0);
    project.run(&["trust", "floor"]).with(0);
    let revoke = [&["revoke", "--signing-key", &stolen], &ops[..]].concat();
    project
        .run(&revoke)
        .with(64)
        .contains("below the minimum 2 in the trust file")
        .contains("--then rollback:-1");
    let then = |then: &str| project.run(&[&revoke[..], &["--then", then]].concat());
    then("rollback:-1").with(0).contains("serial 3");
    assert_eq!(project.history()[0].1, good);
    project.run(&["status"]).with(0);
}

/// The stolen key also signed the bundle to which the channel would go back.
#[test]
fn rollback_after_a_revocation_needs_a_valid_target() {
    let project = Project::new();
    project.run(&["keygen", "ops"]).with(0);
    let stolen = project.key_id("release");
    let ops = ["--key", "keys/ops.pem", "--yes"];
    run(&project, &["apply"], &[]).with(0);
    let good = project.history()[0].1.clone();
    project.change("6s");
    run(&project, &["apply"], &[]).with(0);
    let revoke = ["revoke", "--signing-key", &stolen, "--then", "rollback:-1"];
    let revoke = [&revoke[..], &ops].concat();
    project.run(&revoke).with(4).contains("`gwc sign ");
    let list = project.run(&["revoke", "--list"]).with(0);
    list.contains("nothing is revoked");
    project.change("5s");
    project
        .run(&["sign", &good, "--key", "keys/ops.pem"])
        .with(0);
    project.run(&revoke).with(0);
    assert_eq!(project.history()[0].1, good);
    project.run(&["verify", &good]).with(0);
}

/// The next minimum serial, and the accepted record, are those of records that gateways do not skip.
#[test]
fn floor_and_acceptance_skip_revoked_records() {
    let project = Project::new();
    project.run(&["keygen", "ops"]).with(0);
    project
        .run(&["keygen", "ann", "--roles", "approve"])
        .with(0);
    let stolen = project.key_id("release");
    let ops = ["--key", "keys/ops.pem", "--yes"];
    project.run(&[&["apply"], &ops[..]].concat()).with(0);
    project.change("6s");
    run(&project, &["apply"], &[]).with(0);
    let revoke = [&["revoke", "--signing-key", &stolen], &ops[..]].concat();
    project
        .run(&revoke)
        .with(0)
        .contains("goes back from serial 2 to serial 1");
    let floor = project.run(&["trust", "floor", "--accept-head"]).with(0);
    floor
        .contains("min_serial 1, min_revocations 1")
        .contains("this accepts record 1 of channel prod: release of bundle");
    let approvals = ["trust", "approvals", "1", "--accept-head"];
    project.run(&approvals).with(0).contains("after record 1");
    // The accepted record is a rule: a pull request that adds one is reviewed.
    let rules = project.run(&["plan"]).with(1);
    rules.contains("trust accepted_until of channel prod");
}

/// Gateways that follow the channel refuse the record: the key was retired before.
#[test]
fn record_by_a_retired_key_is_no_base() {
    let project = Project::new();
    project.run(&["keygen", "old", "--owner", "old"]).with(0);
    project.write("thief.json", project.read("trust.json"));
    project.set_state("old", "retired");
    project.apply("first").with(0);
    project.change("6s");
    let thief = ["--trust", "thief.json"];
    let acks = project.acks(&thief);
    let acks: Vec<&str> = acks.iter().map(String::as_str).collect();
    let apply = ["apply", "--yes", "--key", "keys/old.pem"];
    project.run(&[&apply[..], &thief, &acks].concat()).with(0);
    is_refused(&project, "key-expired");
    let rollback = ["rollback", "--yes", "--key", "keys/release.pem"];
    project.run(&rollback).with(0);
    let stolen = project.history()[1].1.clone();
    let target = [&rollback[..], &[stolen.as_str()]].concat();
    project.run(&target).with(4).contains("error[key-expired]");
    project
        .run(&["plan"])
        .contains("against channel prod, serial 3");
}

/// A new record vouches for the records before it.
#[test]
fn records_before_a_new_key_stay_targets() {
    let project = Project::new();
    project.run(&["keygen", "old", "--owner", "old"]).with(0);
    let old = ["apply", "--yes", "--key", "keys/old.pem"];
    project.run(&old).with(0);
    project.change("6s");
    project.apply("new key").with(0);
    project.set_state("old", "retired");
    let rollback = ["rollback", "--yes", "--key", "keys/release.pem"];
    project.run(&rollback).with(0);
}

/// A list by a retired key is neither named by the next record nor repeated.
#[test]
fn list_by_a_retired_key_is_not_in_force() {
    let project = Project::new();
    project.run(&["keygen", "old", "--roles", "revoke"]).with(0);
    project.apply("first").with(0);
    project.write("thief.json", project.read("trust.json"));
    project.set_state("old", "retired");
    let (theirs, ours) = ("1".repeat(64), "2".repeat(64));
    let thief = ["--key", "keys/old.pem", "--trust", "thief.json"];
    let revoke = |what: &str, by: &[&str]| {
        let command = ["revoke", "--yes", "--credential", what];
        project.run(&[&command, by].concat())
    };
    revoke(&theirs, &thief).with(0);
    project.change("6s");
    let acks = project.acks(&[]);
    let acks: Vec<&str> = acks.iter().map(String::as_str).collect();
    let apply = ["apply", "--yes", "--key", "keys/release.pem"];
    let applied = project.run(&[&apply[..], &acks].concat()).with(0);
    applied.contains("signed revocation list 1, so 1 credential of it do not count");
    let history = project.run(&["history", "--format", "json"]).with(0);
    let history = history.json("history/v1");
    assert_eq!(
        history["records"][0]["revocations"],
        serde_json::json!(null)
    );
    let release = ["--key", "keys/release.pem"];
    revoke(&ours, &release)
        .with(64)
        .contains("--repeat-list none");
    let none = [&release[..], &["--repeat-list", "none"]].concat();
    revoke(&ours, &none).with(0);
    let list = project.run(&["revoke", "--list"]).with(0);
    list.contains(&ours).lacks(&theirs);
}

/// An accepted record does not stand for records with fewer signatures: all gateways refused them.
#[test]
fn acceptance_does_not_cover_fewer_signatures() {
    let project = with_two_owners();
    let both = ["--key", "keys/second.pem"];
    project.run(&["trust", "floor", "--accept-head"]).with(0);
    project.change("6s");
    release(&project, &both);
    let gated = project.read("gateway.yaml");
    project.edit("gateway.yaml", "gates: [weaken]", "gates: []");
    project.change("7s");
    release(&project, &["--trust", "one.json"]);
    let bad = project.history()[0].1.clone();
    run(&project, &["rollback"], &both).with(0);
    // Later the threshold is raised again.
    let keygen = ["keygen", "third", "--owner", "third"];
    project.run(&keygen).with(0);
    project.edit("trust.json", "\"release\": 2", "\"release\": 3");
    project.run(&["plan"]).with(4);
    project.run(&["trust", "floor", "--accept-head"]).with(0);
    project.write("gateway.yaml", gated);
    open(&project);
    // Nobody vouches for release rules before the rollback.
    let plan = project.run(&["plan"]).with(1);
    plan.contains("open to everyone")
        .contains("unknown (bundle")
        .contains("gate `rules` is tripped");
    let three = [&both[..], &["--key", "keys/third.pem"]].concat();
    run(&project, &["rollback", &bad], &three)
        .with(4)
        .contains("is impossible");
}

/// After `--accept-head`, a rollback to records before the newest one needs no approvals.
#[test]
fn acceptance_needs_refused_bundles_to_be_revoked() {
    let project = Project::new();
    for owner in ["ann", "bob", "cid"] {
        let keygen = ["keygen", owner, "--roles", "approve"];
        project.run(&keygen).with(0);
    }
    project.run(&["keygen", "ops", "--roles", "revoke"]).with(0);
    run(&project, &["apply"], &[]).with(0);
    project.write("open.json", project.read("trust.json"));
    project.run(&["trust", "approvals", "2"]).with(0);
    project.change("6s");
    for owner in ["ann", "bob"] {
        let key = format!("keys/{owner}.pem");
        project.run(&["approve", "--key", &key, "--yes"]).with(0);
    }
    release(&project, &[]);
    project.change("7s");
    release(&project, &["--trust", "open.json"]);
    let bad = project.history()[0].1.clone();
    run(&project, &["rollback"], &[]).with(0);
    let ann = project.key_id("ann");
    let ops = ["--key", "keys/ops.pem", "--yes"];
    let revoke = |what: &[&str]| project.run(&[&["revoke"], what, &ops[..]].concat()).with(0);
    revoke(&["--signing-key", &ann]).contains("record 4 of channel prod needs such a key");
    project.run(&["plan"]).with(4).contains("--accept-head");
    let accept = ["trust", "approvals", "2", "--accept-head"];
    let refused = project.run(&accept).with(4);
    refused
        .contains("gateways refused 1 bundle of channel prod")
        .contains("(record 3)");
    revoke(&[&bad]);
    project
        .run(&accept)
        .with(0)
        .contains("this accepts record 4 of channel prod: rollback");
    project.run(&["plan"]).with(1).contains("approvals_after");
    run(&project, &["rollback", &bad], &[]).with(4);
}

/// The approvers of the newest record have left, so its approvals say nothing about the others.
#[test]
fn acceptance_without_approvers_needs_a_review() {
    let project = Project::new();
    for owner in ["ann", "bob"] {
        let keygen = ["keygen", owner, "--roles", "approve"];
        project.run(&keygen).with(0);
    }
    run(&project, &["apply"], &[]).with(0);
    project.write("open.json", project.read("trust.json"));
    project.run(&["trust", "approvals", "2"]).with(0);
    project.change("6s");
    for owner in ["ann", "bob"] {
        let key = format!("keys/{owner}.pem");
        project.run(&["approve", "--key", &key, "--yes"]).with(0);
    }
    release(&project, &[]);
    project.change("7s");
    release(&project, &["--trust", "open.json"]);
    run(&project, &["rollback"], &[]).with(0);
    let mut left: serde_json::Value = serde_json::from_str(&project.read("trust.json")).unwrap();
    let keys = left["keys"].as_array_mut().unwrap();
    keys.retain(|key| key["owner"] != "ann" && key["owner"] != "bob");
    project.write("trust.json", serde_json::to_string(&left).unwrap());
    for owner in ["cid", "dan"] {
        let keygen = ["keygen", owner, "--roles", "approve"];
        project.run(&keygen).with(0);
    }
    let accept = ["trust", "approvals", "2", "--accept-head"];
    let refused = project.run(&accept).with(4);
    refused.contains("(record 3)").contains("--accept-refused");
    // Somebody takes the record away for a moment.
    let link = project.read(&format!("releases/channels/prod/{:020}", 3));
    let blob = link.trim().replace("sha256:", "releases/blobs/sha256/");
    std::fs::rename(project.file(&blob), project.file("away")).unwrap();
    let refused = project.run(&accept).with(4);
    refused.contains("before the newest one cannot be read");
    std::fs::rename(project.file("away"), project.file(&blob)).unwrap();
    let accepted = [&accept[..], &["--accept-refused"]].concat();
    project.run(&accepted).with(0);
}

/// One of two needed keys publishes a list. Gateways refuse it, so its entries are not in force.
#[test]
fn list_by_too_few_owners_is_not_in_force() {
    let project = Project::released();
    for owner in ["one", "two", "three"] {
        let keygen = ["keygen", owner, "--roles", "revoke", "--owner", owner];
        project.run(&keygen).with(0);
    }
    project.write("thief.json", project.read("trust.json"));
    project.edit("trust.json", "\"revoke\": 1", "\"revoke\": 2");
    let (release, one) = (project.key_id("release"), project.key_id("one"));
    let revoke = |key: &str, keys: &[&str]| {
        let command = ["revoke", "--yes", "--signing-key", key];
        project.run(&[&command, keys].concat())
    };
    let thief = ["--key", "keys/one.pem", "--trust", "thief.json"];
    revoke(&release, &thief).with(0);
    for command in [&["plan"][..], &["trust", "floor"]] {
        let ended = project.run(command).with(4);
        ended
            .contains("error[below-threshold]")
            .contains("`revocations/00000000000000000001`");
    }
    let both = ["--key", "keys/two.pem", "--key", "keys/three.pem"];
    revoke(&one, &both).with(0);
    let plan = project.run(&["plan", "--gate", "remove"]);
    assert!(!plan.err.contains("below-threshold"), "{}", plan.err);
    let list = project.run(&["revoke", "--list"]).with(0);
    assert!(!list.out.contains(&release), "{}", list.out);
}

/// A stolen key without the role signs a record. Its revocation needs no readable head.
#[test]
fn key_that_blocks_a_channel_can_be_revoked() {
    let project = Project::released();
    for (owner, roles) in [("ci", "build"), ("ops", "revoke")] {
        let keygen = ["keygen", owner, "--roles", roles];
        project.run(&keygen).with(0);
    }
    let ci = project.key_id("ci");
    let mut thief: serde_json::Value = serde_json::from_str(&project.read("trust.json")).unwrap();
    for key in thief["keys"].as_array_mut().unwrap() {
        key["roles"] = serde_json::json!(["build", "release", "revoke"]);
    }
    project.write("thief.json", serde_json::to_string(&thief).unwrap());
    project.change("6s");
    let acks = project.acks(&["--trust", "thief.json"]);
    let acks: Vec<&str> = acks.iter().map(String::as_str).collect();
    let apply = ["apply", "--yes", "--key", "keys/ci.pem"];
    let thief = ["--trust", "thief.json"];
    project.run(&[&apply[..], &thief, &acks].concat()).with(0);
    project
        .run(&["plan"])
        .with(4)
        .contains("record 2 of channel prod");
    let revoke = ["revoke", "--yes", "--signing-key", &ci];
    project
        .run(&[&revoke[..], &["--key", "keys/ops.pem"]].concat())
        .with(0);
    let plan = project.run(&["plan"]);
    plan.contains("against channel prod, serial 1");
}
