//! `gwc revoke`.

use bundle::store::folder::Folder;
use bundle::store::{Chain, Store as _};

use crate::project::Project;

#[test]
fn revocation_of_the_running_bundle_needs_then() {
    let project = Project::released();
    let first = project.history()[0].1.clone();
    project.change("6s");
    project.apply("second").with(0);
    let head = project.history()[0].1.clone();
    let key = ["--key", "keys/release.pem", "--reason", "leak"];
    let run = |more: &[&str]| {
        let mut arguments = vec!["revoke"];
        arguments.extend(more);
        arguments.extend(key);
        project.run(&arguments)
    };
    run(&[&head]).with(64).contains("--then rollback:");
    run(&[&head, "--then", "later"]).with(64);
    run(&[&head, "--then", "rollback:-1"])
        .with(64)
        .contains("--yes");
    run(&[&head, "--then", &format!("rollback:{head}"), "--yes"]).with(64);
    assert_eq!(project.history().len(), 2);
    let document = run(&[&head, "--then", "rollback:-1", "--yes", "--format", "json"])
        .with(0)
        .json("revoke/v1");
    assert_eq!(
        (&document["list"], &document["serial"]),
        (&1.into(), &3.into())
    );
    assert_eq!(project.history()[0].1, first);
    project.apply("again").with(4).contains("revoked");
}

#[test]
fn revoked_signing_key_invalidates_its_records() {
    let project = Project::new();
    project
        .run(&["keygen", "second", "--owner", "second"])
        .with(0);
    project
        .run(&[
            "apply",
            "--key",
            "keys/second.pem",
            "--yes",
            "--reason",
            "first",
        ])
        .with(0);
    project.change("6s");
    project.apply("by the thief").with(0);
    let trust: serde_json::Value = serde_json::from_str(&project.read("trust.json")).unwrap();
    let id = |at: usize| trust["keys"][at]["id"].as_str().unwrap().to_owned();
    let run = |stolen: &str, by: &str| {
        let key = format!("keys/{by}.pem");
        project.run(&["revoke", "--signing-key", stolen, "--key", &key, "--yes"])
    };
    run("nonsense", "second").with(64).contains("64 lower-case");
    run(&"0".repeat(64), "second").with(64).contains("no key");
    run(&id(0), "release").with(4).contains("revoked");
    run(&id(0), "second")
        .with(0)
        .contains("goes back from serial 2 to serial 1")
        .contains("revocation list 1");
    project.apply("again").with(4).contains("revoked");
    let history = project.run(&["history"]).with(0).out;
    assert!(!history.contains("by the thief"), "{history}");
    // Recovery: publish a record with a higher serial than the attacker's, signed with a key that
    // is still valid.
    project
        .run(&[
            "apply",
            "--key",
            "keys/second.pem",
            "--yes",
            "--reason",
            "ours",
        ])
        .with(0)
        .contains("serial 3");
}

/// The newest record is valid, and the bundle that it names was built with the stolen key.
#[test]
fn bundle_of_a_stolen_key_is_signed_again() {
    let project = Project::new();
    project.run(&["keygen", "second"]).with(0);
    project.apply("first").with(0);
    project.change("6s");
    project.apply("second").with(0);
    let second = ["--key", "keys/second.pem", "--yes"];
    project.run(&[&["rollback"], &second[..]].concat()).with(0);
    let stolen = project.key_id("release");
    project
        .run(&[&["revoke", "--signing-key", &stolen], &second[..]].concat())
        .with(0)
        .contains("cannot restart until `gwc apply` with another key signs the bundle again");
    project
        .run(&["plan"])
        .with(4)
        .contains("error[revoked-key]");
    // The sources of the running bundle.
    project.edit("gateway.yaml", "timeout: 6s", "timeout: 5s");
    let bundle = project.history()[0].1.clone();
    assert_eq!(project.build(), bundle);
    // Gateways run this version: an operator says so.
    project.run(&[&["apply"], &second[..]].concat()).with(4);
    project.run(&["trust", "floor", "--accept-head"]).with(0);
    project
        .run(&[&["apply"], &second[..]].concat())
        .with(0)
        .contains("serial 4");
    assert_eq!(project.history()[0].1, bundle);
    project.run(&["verify", &bundle]).with(0);
    project.run(&["plan"]).with(0);
    let again = project.run(&[&["apply"], &second[..]].concat()).with(0);
    again.contains("nothing to do");
}

/// All channels of a store have the same revocation lists.
#[test]
fn other_channels_of_the_store_are_considered() {
    let project = Project::released();
    let bundle = project.history()[0].1.clone();
    let key = ["--key", "keys/release.pem", "--yes"];
    let other = ["--channel", "test"];
    project
        .run(&[&["apply"], &key[..], &other].concat())
        .with(0);
    project.change("6s");
    project
        .run(&[&["apply"], &key[..], &other].concat())
        .with(0);
    let revoke = [&["revoke", &bundle], &key[..], &other].concat();
    project
        .run(&revoke)
        .with(64)
        .contains("channel prod of the same store runs this bundle, too")
        .contains("--all-channels");
    let keygen = [
        "keygen",
        "tester",
        "--roles",
        "revoke",
        "--channels",
        "test",
    ];
    project.run(&keygen).with(0);
    let hash = "ab".repeat(32);
    let tester = ["--key", "keys/tester.pem", "--yes"];
    let credential = [&["revoke", "--credential", &hash], &tester[..], &other].concat();
    project
        .run(&credential)
        .with(64)
        .contains("a key is not for channel prod");
    let forced = [&revoke[..], &["--all-channels"]].concat();
    project.run(&forced).with(0);
}

#[test]
fn credential_is_revoked_by_its_hash_only() {
    let project = Project::released();
    let run = |text: &str| {
        project.run(&[
            "revoke",
            "--credential",
            text,
            "--key",
            "keys/release.pem",
            "--yes",
        ])
    };
    let failed = run("my-secret-token").with(64);
    assert!(!failed.err.contains("my-secret-token"), "{}", failed.err);
    run(&"ab".repeat(32))
        .with(0)
        .contains("no consumer of the bundle of channel prod")
        .contains("revocation list 1");
    run(&"cd".repeat(32)).with(0).contains("revocation list 2");
    project
        .run(&["revoke", "--key", "keys/release.pem"])
        .with(64);
    project.run(&["keygen", "ci", "--roles", "build"]).with(0);
    project
        .run(&[
            "revoke",
            "--credential",
            &"ef".repeat(32),
            "--key",
            "keys/ci.pem",
            "--yes",
        ])
        .with(4)
        .contains("role `revoke`");
}

#[test]
fn token_is_revoked_without_being_shown() {
    let project = Project::released();
    // Header `{"alg":"ES256"}` and payload `{"iss":"i"}`.
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJpIn0.c2VjcmV0LXNpZ25hdHVyZQ";
    project.write("stolen.txt", format!("{token}\n"));
    project.write("none.txt", "hunter2.is.no-token");
    let run = |source: &str| {
        project.run(&[
            "revoke",
            "--token",
            source,
            "--key",
            "keys/release.pem",
            "--yes",
        ])
    };
    let done = run("stolen.txt").with(0).contains("revocation list 1");
    for shown in [&done.out, &done.err] {
        assert!(
            !shown.contains("c2VjcmV0") && !shown.contains("warning"),
            "{shown}"
        );
    }
    let failed = run("none.txt").with(64).contains("neither a signed token");
    assert!(!failed.err.contains("hunter2"), "{}", failed.err);
    run("env:GWC_NO_SUCH_TOKEN")
        .with(64)
        .contains("cannot be read");
    run("no-such-file").with(64).contains("cannot be read");
}

#[test]
fn record_after_a_revocation_names_the_newest_list() {
    let project = Project::released();
    let hash = "ab".repeat(32);
    let key = ["--key", "keys/release.pem", "--reason", "leak"];
    let arguments = ["revoke", "--credential", &hash, "--yes"];
    project.run(&[&arguments[..], &key].concat()).with(0);
    project
        .apply("nothing new")
        .with(0)
        .contains("nothing to do")
        .contains("names revocation list 0, but the store has list 1");
    let named = |project: &Project| {
        let store = Folder::open(&project.file("releases")).unwrap();
        let chain = Chain::Channel("prod".parse().unwrap());
        let newest = *store.serials(&chain).unwrap().last().unwrap();
        let digest = store.link(&chain, newest).unwrap().unwrap();
        let record = bundle::channel::read(&store, &digest).unwrap().record;
        record.revocations.map_or(0, |list| list.serial)
    };
    assert_eq!(named(&project), 0);
    project.change("6s");
    project.apply("the next").with(0);
    assert_eq!(named(&project), 1);
    let back = ["rollback", "-1", "--yes"];
    project.run(&[&back[..], &key].concat()).with(0);
    assert_eq!(named(&project), 1);
}

/// Checks that every command that moves the channel is refused with this message, and writes
/// nothing.
#[track_caller]
fn moves_nothing(project: &Project, says: &str) {
    let links = || {
        let mut names: Vec<_> = ["channels/prod", "revocations"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(project.file("releases").join(folder)))
            .flatten()
            .map(|entry| entry.expect("it can be read").path())
            .collect();
        names.sort();
        names
    };
    let before = links();
    let key = ["--key", "keys/release.pem", "--yes", "--reason", "x"];
    let credential = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    for command in [
        &["apply"][..],
        &["rollback"],
        &["revoke", "--credential", credential],
    ] {
        project
            .run(&[command, &key].concat())
            .with(4)
            .contains("error[revocations-withheld]")
            .contains(says);
        assert_eq!(links(), before, "{command:?}");
    }
    let plan = project.run(&["plan"]).with(4);
    plan.contains("error[revocations-withheld]").contains(says);
}

#[test]
fn store_that_lost_its_list_moves_no_channel() {
    let project = Project::released();
    project.change("6s");
    project.apply("second").with(0);
    let revoke = |credential: &str| {
        let key = ["--key", "keys/release.pem", "--yes"];
        project
            .run(&[&["revoke", "--credential", credential][..], &key].concat())
            .with(0);
    };
    revoke(&"1".repeat(64));
    revoke(&"2".repeat(64));
    project.change("7s");
    project.apply("third").with(0);
    let store = Folder::open(&project.file("releases")).unwrap();
    let blob = store
        .link(&Chain::Revocations, 2)
        .unwrap()
        .expect("it is there");
    let link = project.file("releases/revocations/00000000000000000002");
    let kept = std::fs::read(&link).unwrap();
    let blob = project.file("releases/blobs/sha256").join(blob.hex());
    for change in ["8s", "7s"] {
        project.change(change);
        std::fs::remove_file(&link).unwrap();
        moves_nothing(&project, "names revocation list 2");
        moves_nothing(&project, "list 1 as its newest list");
        std::fs::write(&link, &kept).unwrap();
        let away = project.file("away");
        std::fs::rename(&blob, &away).unwrap();
        project.apply("x").with(4);
        std::fs::rename(&away, &blob).unwrap();
    }
    // A minimum serial in the trust file has the same effect as a record that names the list.
    project.run(&["trust", "floor"]).with(0);
    let folder = project.file("releases/revocations");
    std::fs::rename(&folder, project.file("gone")).unwrap();
    std::fs::create_dir(&folder).unwrap();
    moves_nothing(&project, "has no list");
    std::fs::remove_dir(&folder).unwrap();
    std::fs::rename(project.file("gone"), &folder).unwrap();
    project.change("9s");
    project.apply("fourth").with(0);
}

#[test]
fn revocation_without_a_terminal_needs_yes() {
    let project = Project::released();
    let hash = "ab".repeat(32);
    let run = |more: &[&str]| {
        let base = ["revoke", "--credential", &hash, "--key", "keys/release.pem"];
        project.run(&[&base[..], more].concat())
    };
    run(&[]).with(64).contains("pass --yes");
    let list = project.run(&["revoke", "--list"]).with(0);
    assert!(list.out.contains("nothing is revoked"), "{}", list.out);
    run(&["--yes"])
        .with(0)
        .contains("revocation list 1 is published");
}

#[test]
fn list_shows_what_is_revoked() {
    let project = Project::released();
    let first = project.history()[0].1.clone();
    project.change("6s");
    project.apply("second").with(0);
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let key = ["--key", "keys/release.pem", "--yes"];
    for what in [
        &["--credential", &*one, "--credential", &*two][..],
        &[&*first],
    ] {
        project.run(&[&["revoke"], what, &key[..]].concat()).with(0);
    }
    let human = project.run(&["revoke", "--list"]).with(0);
    for line in [
        "revocation list 2 of project shop",
        &format!("credential   {one}"),
        &format!("credential   {two}"),
        &format!("bundle       {first}"),
    ] {
        assert!(human.out.contains(line), "{line}: {}", human.out);
    }
    let json = project
        .run(&["revoke", "--list", "--format", "json"])
        .with(0);
    let json = json.json("revocations/v1");
    assert_eq!(json["list"], 2);
    assert_eq!(json["credentials"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["bundles"][0], first);
    project
        .run(&["revoke", "--list", "--credential", &one])
        .with(64);
}

#[test]
fn known_revocation_makes_no_list() {
    let project = Project::released();
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let run = |hashes: &[&str]| {
        let mut arguments = vec!["revoke", "--key", "keys/release.pem", "--yes"];
        for hash in hashes {
            arguments.extend(["--credential", hash]);
        }
        project.run(&[&arguments[..], &["--format", "json"]].concat())
    };
    let list = |ended: crate::project::Ended| {
        let json = ended.with(0).json("revoke/v1");
        (json["list"].as_u64(), json["no_op"].as_bool())
    };
    assert_eq!(list(run(&[&one])), (Some(1), Some(false)));
    assert_eq!(list(run(&[&one])), (Some(1), Some(true)));
    assert_eq!(list(run(&[&one, &two])), (Some(2), Some(false)));
    assert_eq!(list(run(&[&two, &one])), (Some(2), Some(true)));
    let store = Folder::open(&project.file("releases")).unwrap();
    assert_eq!(store.serials(&Chain::Revocations).unwrap(), [1, 2]);
}
