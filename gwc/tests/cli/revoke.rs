//! `gwc revoke`.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::keys::PrivateKey;
use bundle::publish;
use bundle::statement::Statement;
use bundle::statement::predicate::Revoke;
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
    // The stolen key signed the records with the release rules, so nobody vouches for them.
    let plan = project.run(&["plan", "--format", "json"]).with(1);
    let plan = plan.json("plan/v1");
    assert_eq!(plan["changes"][0]["id"], "rules-unknown");
    let ack = format!("{}=x", plan["changes"][0]["fingerprint"].as_str().unwrap());
    project
        .run(&[&["apply", "--ack", &ack], &second[..]].concat())
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
        .contains("channel prod of the same store runs bundle ")
        .contains("--all-channels");
    // What gateways of a channel run is unknown if its newest record cannot be read.
    let newest = project.file("releases/channels/prod/00000000000000000001");
    let kept = std::fs::read(&newest).unwrap();
    project.write(
        "releases/channels/prod/00000000000000000001",
        format!("sha256:{}\n", "0".repeat(64)),
    );
    project
        .run(&revoke)
        .with(64)
        .contains("it is unknown what the gateways of channel prod run");
    std::fs::write(&newest, kept).unwrap();
    let forced = [&revoke[..], &["--all-channels"]].concat();
    let forced = project.run(&forced).with(0);
    forced.contains("warning: channel prod of the same store runs bundle ");
}

/// A stolen key that signed the newest record of another channel.
#[test]
fn keys_of_other_channels_are_considered() {
    let project = Project::new();
    project.run(&["keygen", "second"]).with(0);
    let key = ["--key", "keys/release.pem", "--yes"];
    project
        .run(&[&["apply"], &key[..], &["--channel", "test"]].concat())
        .with(0);
    project
        .run(&["apply", "--key", "keys/second.pem", "--yes"])
        .with(0);
    let id = project.key_id("second");
    let revoke = ["revoke", "--signing-key", &id, "--channel", "test"];
    let revoke = [&revoke[..], &key].concat();
    project
        .run(&revoke)
        .with(64)
        .contains("every record of channel prod was signed by such a key");
    project
        .run(&[&revoke[..], &["--all-channels"]].concat())
        .with(0)
        .contains("warning: every record of channel prod");
}

/// A list counts only in the channels of its keys, and blocks no other channel.
#[test]
fn lists_count_in_the_channels_of_their_keys() {
    let project = Project::released();
    for channel in ["test", "prod"] {
        let roles = ["--roles", "build,release,revoke", "--channels", channel];
        project
            .run(&[&["keygen", channel], &roles[..]].concat())
            .with(0);
    }
    let key = |name: &str| format!("keys/{name}.pem");
    let signed = |command: &[&str], name: &str| {
        let key = key(name);
        project.run(&[command, &["--key", &key, "--yes"]].concat())
    };
    let acks = project.acks(&[]);
    let acks: Vec<&str> = acks.iter().map(String::as_str).collect();
    signed(&[&["apply"], &acks[..]].concat(), "release").with(0);
    signed(&["apply", "--channel", "test"], "test").with(0);
    let hashes: Vec<String> = ["a", "b", "c", "d"].map(|digit| digit.repeat(64)).into();
    let revoke = |channel: &str, hash: &str, name: &str| {
        let command = ["revoke", "--channel", channel, "--credential", hash];
        signed(&command, name).with(0);
    };
    let in_force = |channel: &str| -> (u64, Vec<String>) {
        let list = ["revoke", "--list", "--channel", channel, "--format", "json"];
        let list = project.run(&list).with(0).json("revocations/v1");
        let credentials = list["credentials"].as_array().unwrap().iter();
        let credentials = credentials.map(|one| one.as_str().unwrap()[..1].to_owned());
        (list["list"].as_u64().unwrap(), credentials.collect())
    };
    let entries = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
    revoke("test", &hashes[0], "test");
    assert_eq!(in_force("test"), (1, entries("a")));
    assert_eq!(in_force("prod"), (0, entries("")));
    // The list of the other channel blocks nothing here.
    project.change("6s");
    project.run(&["plan"]).with(0);
    signed(&["apply"], "prod").with(0);
    signed(&["rollback"], "prod").with(0);
    project.run(&["trust", "floor"]).with(0);
    revoke("prod", &hashes[1], "prod");
    assert_eq!(in_force("prod"), (2, entries("b")));
    assert_eq!(in_force("test"), (1, entries("a")));
    // A list for all channels repeats the lists of all channels, if an operator agrees: somebody
    // with a key for one channel could otherwise revoke what the others run.
    let all = ["revoke", "--credential", &hashes[2]];
    let refused = signed(&all, "release").with(64);
    refused
        .contains("not in force in channel prod until now: credential aaa")
        .contains("not in force in channel test until now: credential bbb");
    signed(&[&all[..], &["--all-channels"]].concat(), "release").with(0);
    assert_eq!(in_force("prod"), (3, entries("abc")));
    assert_eq!(in_force("test"), (3, entries("abc")));
    revoke("test", &hashes[3], "test");
    assert_eq!(in_force("test"), (4, entries("abcd")));
    assert_eq!(in_force("prod"), (3, entries("abc")));
    for channel in ["test", "prod"] {
        signed(&["apply", "--channel", channel], channel).with(0);
    }
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

/// Anyone who can write to the store can add such a link. Every message names it.
#[test]
fn unusable_list_is_named() {
    let project = Project::released();
    project.change("6s");
    project.apply("second").with(0);
    std::fs::create_dir(project.file("releases/revocations")).unwrap();
    let link = "releases/revocations/00000000000000000001";
    project.write(link, format!("sha256:{}\n", "0".repeat(64)));
    project.change("7s");
    let credential = "1".repeat(64);
    let key = ["--key", "keys/release.pem", "--yes"];
    for command in [
        &["plan"][..],
        &["apply"],
        &["approve"],
        &["rollback"],
        &["revoke", "--credential", &credential],
        &["trust", "floor"],
        &["gc"],
        &["history"],
    ] {
        let keys = match command[0] {
            "plan" | "gc" | "history" | "trust" => &[][..],
            "approve" => &key[..2],
            _ => &key[..],
        };
        let ended = project.run(&[command, keys].concat()).with(4);
        let error = ended.err.split("error[").last().unwrap();
        assert!(
            error.contains("`revocations/00000000000000000001`"),
            "{command:?}: {}",
            ended.err
        );
        assert!(!error.contains("--accept-head"), "{command:?}: {error}");
    }
    std::fs::remove_file(project.file(link)).unwrap();
    project.apply("third").with(0);
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

/// A list of another channel that continues no list.
#[test]
fn forked_list_of_another_channel_ends_nothing() {
    let project = Project::released();
    let keygen = ["keygen", "tester", "--channels", "test"];
    project.run(&keygen).with(0);
    let tester = ["apply", "--channel", "test", "--key", "keys/tester.pem"];
    project.run(&[&tester[..], &["--yes"]].concat()).with(0);
    let key = ["--key", "keys/release.pem", "--yes"];
    let revoke = |what: &[&str]| project.run(&[&["revoke"], what, &key[..]].concat());
    let hashes = ["1".repeat(64), "2".repeat(64)];
    revoke(&["--credential", &hashes[0]]).with(0);
    let pem = project.read("keys/tester.pem");
    let stolen = PrivateKey::from_pem(&pem).unwrap();
    let list = Revoke {
        project: "shop".parse().unwrap(),
        serial: 2,
        previous: None,
        created: gwc::release::now(),
        bundles: BTreeSet::new(),
        credentials: [Digest::of(b"x")].into(),
        keys: BTreeSet::new(),
    };
    let statement = Statement {
        subject: list.subject(),
        predicate: list,
    };
    let store = Folder::open(&project.file("releases")).unwrap();
    let envelope = publish::sign(&statement, &[&stolen]).unwrap();
    let digest = publish::put_statement(&store, &envelope, None).unwrap();
    store.create_link(&Chain::Revocations, 2, &digest).unwrap();
    revoke(&["--credential", &hashes[1], "--all-channels"])
        .with(0)
        .contains("revocation list 3");
}
