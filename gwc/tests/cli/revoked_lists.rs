//! Revocation lists whose keys are revoked later: `gwc revoke --repeat-list`.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::keys::PrivateKey;
use bundle::publish;
use bundle::statement::Statement;
use bundle::statement::predicate::Revoke;
use bundle::store::folder::Folder;
use bundle::store::{Chain, Store as _};

use crate::project::{Ended, Project};

/// Project with a second owner of a key for revocations, and a list by the first one.
fn with_a_list(credential: &str) -> Project {
    let project = Project::new();
    for owner in ["ann", "bob"] {
        let keygen = ["keygen", owner, "--roles", "revoke", "--owner", owner];
        project.run(&keygen).with(0);
    }
    project.apply("first").with(0);
    revoke(&project, &["--credential", credential], "ann").with(0);
    project
}

fn revoke(project: &Project, what: &[&str], by: &str) -> Ended {
    let key = format!("keys/{by}.pem");
    project.run(&[&["revoke", "--yes", "--key", &key], what].concat())
}

fn credentials(project: &Project) -> Vec<String> {
    let list = project.run(&["revoke", "--list", "--format", "json"]);
    let list = list.with(0).json("revocations/v1");
    let credentials = list["credentials"].as_array().unwrap().iter();
    credentials
        .map(|sha256| sha256.as_str().unwrap().to_owned())
        .collect()
}

/// No record names the list: nothing but a decision of the operator brings its entries back.
#[test]
fn new_list_needs_a_decision_about_a_revoked_one() {
    let (first, second) = ("1".repeat(64), "2".repeat(64));
    let project = with_a_list(&first);
    project.set_state("ann", "revoked");
    let warning = "signed revocation list 1, so 1 credential of it do not count in channel prod";
    for command in [&["plan"][..], &["status"], &["revoke", "--list"]] {
        let ended = project.run(command);
        ended.contains(warning).contains("--repeat-list 1");
    }
    let more = ["--credential", second.as_str()];
    let ended = revoke(&project, &more, "bob").with(64);
    ended.contains("pass `--repeat-list 1`");
    for (wrong, says) in [
        ("9", "no readable list 9"),
        ("all", "serial of a revocation list"),
    ] {
        let ended = revoke(
            &project,
            &[&more[..], &["--repeat-list", wrong]].concat(),
            "bob",
        );
        ended.with(64).contains(says);
    }
    let nothing = revoke(&project, &["--repeat-list", "none"], "bob");
    nothing.with(64).contains("there is nothing to revoke");
    assert_eq!(credentials(&project), [""; 0]);
    let repeat = [&more[..], &["--repeat-list", "1"]].concat();
    revoke(&project, &repeat, "bob").with(0);
    assert_eq!(credentials(&project), [first.as_str(), &second]);
    project.run(&["plan"]).lacks("warning: a key");
    revoke(&project, &more, "bob").with(0).contains("nothing");
}

/// The newest record names the list, so that gateways that start refuse this record.
#[test]
fn record_that_names_a_revoked_list_names_the_way_out() {
    let hash = "1".repeat(64);
    for (decision, stays) in [("1", vec![hash.clone()]), ("none", vec![])] {
        let project = with_a_list(&hash);
        project.change("6s");
        project.apply("names list 1").with(0);
        project.set_state("ann", "revoked");
        let ann = project.key_id("ann");
        let advice = format!("`gwc revoke --signing-key {ann} --repeat-list 1 --key FILE`");
        for command in [
            &["plan"][..],
            &["rollback", "--key", "keys/release.pem", "--yes"],
        ] {
            let ended = project.run(command).with(4);
            ended
                .contains("error[revocations-untrusted]")
                .contains(&advice);
        }
        let then = ["--signing-key", &ann, "--then", "rollback:-1"];
        let without = revoke(&project, &then, "release");
        without.with(64).contains("--repeat-list none");
        let chosen = [&then[..], &["--repeat-list", decision]].concat();
        revoke(&project, &chosen, "release")
            .with(0)
            .contains("serial 3");
        assert_eq!(credentials(&project), stays);
        project.run(&["plan"]).lacks("error[rev");
    }
}

/// A thief fills a list, so that a list that repeats it is too large.
#[test]
fn full_list_by_a_stolen_key_can_be_left_out() {
    let hash = "1".repeat(64);
    let project = with_a_list(&hash);
    let store = Folder::open(&project.file("releases")).unwrap();
    let first = store.link(&Chain::Revocations, 1).unwrap();
    let stolen = PrivateKey::from_pem(&project.read("keys/bob.pem")).unwrap();
    let full = |entries: u32| {
        let list = Revoke {
            project: "shop".parse().unwrap(),
            serial: 2,
            previous: first,
            created: gwc::release::now(),
            bundles: BTreeSet::new(),
            credentials: (0..entries)
                .map(|entry| Digest::of(&entry.to_be_bytes()))
                .collect(),
            keys: BTreeSet::new(),
        };
        let statement = Statement {
            subject: list.subject(),
            predicate: list,
        };
        publish::sign(&statement, &[&stolen]).unwrap()
    };
    let mut most = (20_000, 100_000);
    while most.1 - most.0 > 500 {
        let middle = (most.0 + most.1) / 2;
        match full(middle).encode() {
            Ok(_) => most.0 = middle,
            Err(_) => most.1 = middle,
        }
    }
    let envelope = full(most.0);
    let digest = publish::put_statement(&store, &envelope, None).unwrap();
    store.create_link(&Chain::Revocations, 2, &digest).unwrap();
    let bob = project.key_id("bob");
    let spare: Vec<String> = (0u32..600)
        .map(|entry| Digest::of(format!("spare {entry}").as_bytes()).hex())
        .collect();
    let mut what = vec!["--signing-key", &bob];
    for sha256 in &spare {
        what.extend(["--credential", sha256]);
    }
    let ended = revoke(&project, &what, "ann");
    ended
        .with(4)
        .contains("too-large")
        .contains("--repeat-list");
    let chosen = ["--signing-key", &bob, "--repeat-list", "none"];
    revoke(&project, &chosen, "ann").with(0);
    assert_eq!(credentials(&project), [hash]);
    let list = project.run(&["revoke", "--list"]).with(0);
    list.contains("revocation list 3").contains(&bob);
}
