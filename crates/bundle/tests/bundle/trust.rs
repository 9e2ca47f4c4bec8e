//! Trust file: refused contents, and the signatures that count.

use bundle::moment::Moment;
use bundle::publish;
use bundle::statement::Statement;
use bundle::statement::envelope::Envelope;
use bundle::statement::predicate::Role;
use bundle::trust::{Floors, KeyState, Scope, Thresholds, Trust, TrustedKey, When};

use crate::fixture::*;

fn signed(owners: &[&str]) -> Envelope {
    let statement = Statement {
        subject: vec![bundle("one").id()],
        predicate: build(None),
    };
    let keys: Vec<_> = owners.iter().map(|owner| key(owner)).collect();
    publish::sign(&statement, &keys.iter().collect::<Vec<_>>()).unwrap()
}

fn check_key(key: &TrustedKey, when: When) -> Result<(), String> {
    let trust = trust_of(vec![key.clone()]);
    let channel = prod();
    let signers = trust.authorized_signers(&signed(&["ci"]), Role::Build, Some(&channel), when);
    signers
        .map(drop)
        .map_err(|refused| refused.reason().into_owned())
}

#[test]
fn when_and_where_a_key_counts() {
    let good = trusted("ci", &[Role::Build]);
    let (first, past) = (When::First(NOON), When::Past(NOON));
    let with = |change: fn(&mut TrustedKey)| {
        let mut key = good.clone();
        change(&mut key);
        key
    };
    let refused = |reason: &str| Err(reason.to_owned());
    let ended = with(|key| key.not_after = NOON);
    let begins = with(|key| key.not_before = NOON.plus_s(1));
    let retired = with(|key| key.state = KeyState::Retired);
    let revoked = with(|key| key.state = KeyState::Revoked);
    let elsewhere = with(|key| key.channels = [Scope::Channel("staging".parse().unwrap())].into());
    let here = with(|key| key.channels = [Scope::Channel("prod".parse().unwrap())].into());
    let other_role = with(|key| key.roles = [Role::Release, Role::Revoke].into());
    let stranger = trusted("stranger", &[Role::Build]);
    let table = [
        (&good, first, Ok(())),
        (&good, past, Ok(())),
        (&here, first, Ok(())),
        (&ended, first, refused("key-expired")),
        (&ended, past, refused("key-expired")),
        (
            &ended,
            When::Past(Moment::from_unix_s(NOON.unix_s() - 1)),
            Ok(()),
        ),
        (&ended, When::Ever, Ok(())),
        (&begins, first, refused("key-not-yet-valid")),
        (&begins, When::First(NOON.plus_s(1)), Ok(())),
        (&retired, first, refused("key-expired")),
        (&retired, past, Ok(())),
        (&revoked, first, refused("revoked-key")),
        (&revoked, past, refused("revoked-key")),
        (&revoked, When::Ever, refused("revoked-key")),
        (&elsewhere, first, refused("wrong-channel")),
        (&other_role, first, refused("wrong-role")),
        (&stranger, first, refused("unknown-key")),
    ];
    for (number, (key, when, expected)) in table.into_iter().enumerate() {
        assert_eq!(check_key(key, when), expected, "row {number}");
    }
}

#[test]
fn thresholds_count_owners_not_keys_or_signatures() {
    let two = Thresholds {
        build: 2,
        ..Thresholds::ONE
    };
    let mut second = trusted("ci-second-key", &[Role::Build]);
    second.owner = "ci".to_owned();
    let trust = trust_of(vec![
        trusted("ci", &[Role::Build]),
        second,
        trusted("ann", &[Role::Build]),
    ])
    .with_thresholds(two)
    .unwrap();
    let signers_of = |owners: &[&str]| {
        trust.authorized_signers(&signed(owners), Role::Build, None, When::First(NOON))
    };
    assert_eq!(signers_of(&["ci"]).unwrap_err().reason(), "below-threshold");
    let refused = signers_of(&["ci", "ci-second-key", "stranger"]).unwrap_err();
    assert_eq!(refused.reason(), "below-threshold");
    assert_eq!(
        refused.to_string(),
        "only 1 of the 2 owners that role `build` needs have signed"
    );
    let signers = signers_of(&["ci", "ann"]).unwrap();
    assert_eq!(signers.owners.len(), 2);
}

#[test]
fn variants_of_one_signature_count_once() {
    // A signature with the id of another key still counts for the owner of the signing key.
    let envelope = signed(&["ci"]);
    let text = String::from_utf8(envelope.encode().unwrap()).unwrap();
    let mine = key("ci").public().id().to_string();
    let other = "f".repeat(64);
    let moved = text.replace(&mine, &other);
    let moved = Envelope::decode(moved.as_bytes()).unwrap();
    let trust = trust_of(vec![
        trusted("ci", &[Role::Build]),
        trusted("ann", &[Role::Build]),
    ]);
    let signers = trust
        .authorized_signers(&moved, Role::Build, None, When::First(NOON))
        .unwrap();
    assert_eq!(signers.owners.len(), 1, "the key id is only a hint");
    assert!(signers.keys.contains(&key("ci").public().id()));
}

#[test]
fn union_of_build_statements_reaches_the_threshold() {
    let two = Thresholds {
        build: 2,
        ..Thresholds::ONE
    };
    let trust = trust_of(vec![
        trusted("ci", &[Role::Build]),
        trusted("ann", &[Role::Build]),
        trusted("rita", &[Role::Release]),
    ])
    .with_thresholds(two)
    .unwrap();
    let prod = prod();
    let context = context(&trust, &prod);
    let store = bundle::store::memory::Memory::default();
    let one = bundle("one");
    let by_ci = put(&store, &one);
    release(&store, draft(one.id(), &[by_ci])).unwrap();
    let head = bundle::follow::head(&store, &context, &nothing())
        .unwrap()
        .unwrap();
    let refused = bundle::follow::bundle(&store, &context, &head.accepted, &[]).unwrap_err();
    assert_eq!(refused.reason(), "below-threshold");

    let mut rebuilt = build(None);
    rebuilt.builder.commit = Some("rebuilt".to_owned());
    let by_ann = publish::put_build(&store, one.descriptor(), rebuilt, &[&key("ann")]).unwrap();
    release(&store, draft(one.id(), &[by_ci, by_ann])).unwrap();
    let head = bundle::follow::head(&store, &context, &nothing())
        .unwrap()
        .unwrap();
    let verified = bundle::follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
    assert_eq!(verified.builders().owners.len(), 2);
    assert_eq!(verified.builds().len(), 2);
}

#[test]
fn a_trust_file_is_read_back_and_read_strictly() {
    let floors = Floors {
        min_serial: 12,
        min_revocations: 2,
    };
    let trust = trust().with_floors(prod(), floors).unwrap();
    let text = trust.to_json();
    assert_eq!(Trust::parse(text.as_bytes()).unwrap(), trust);
    assert_eq!(trust.floors(&prod()), floors);
    let id = key("ci").public().id().to_string();
    let other = key("rita").public().id().to_string();
    let changes = [
        (
            "\"project\": \"shop\"",
            "\"project\": \"shop\", \"project\": \"shop\"",
        ),
        (
            "\"project\": \"shop\"",
            "\"project\": \"shop\", \"projects\": 1",
        ),
        ("\"project\": \"shop\"", "\"project\": \"../shop\""),
        (
            "\"prod\": {",
            "\"prod\": {\"min_serial\": 1, \"min_revocations\": 1}, \"prod\": {",
        ),
        ("\"min_serial\": 12", "\"min_serial\": -1"),
        ("\"min_serial\": 12", "\"min_serial\": 9007199254740992"),
        ("\"min_serial\": 12", "\"min_serial\": 12, \"max\": 1"),
        (id.as_str(), other.as_str()),
        ("\"owner\": \"ci\"", "\"owner\": \"\""),
        ("\"owner\": \"ci\"", "\"owner\": \"ci \""),
        ("\"owner\": \"ci\",", ""),
        ("\"build\"\n", "\"builds\"\n"),
        ("\"*\"", ""),
        ("\"state\": \"active\"", "\"state\": \"aktiv\""),
        ("\"build\": 1", "\"build\": 0"),
        ("\"build\": 1", "\"build\": 1, \"build\": 1"),
        ("\"spki\": \"M", "\"spki\": \"N"),
    ];
    for (from, to) in changes {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} is not there");
        let refused = Trust::parse(changed.as_bytes()).unwrap_err();
        assert_eq!(refused.reason(), "malformed", "{from} to {to}");
    }
    assert!(
        trust.add_key(trusted("ci", &[Role::Release])).is_err(),
        "one key, listed twice"
    );
}

#[test]
fn omission_in_a_trust_file_disables_no_check() {
    let text = trust().to_json();
    for key in [
        "roles",
        "channels",
        "not_before",
        "not_after",
        "state",
        "spki",
        "id",
    ] {
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["keys"][0]
            .as_object_mut()
            .unwrap()
            .remove(key)
            .unwrap();
        assert!(Trust::parse(value.to_string().as_bytes()).is_err(), "{key}");
    }
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value.as_object_mut().unwrap().remove("thresholds").unwrap();
    let trust = Trust::parse(value.to_string().as_bytes()).unwrap();
    assert_eq!(trust.threshold(Role::Release), 1);
    let empty = Trust::new(project());
    let refused = empty.authorized_signers(&signed(&["ci"]), Role::Build, None, When::First(NOON));
    assert_eq!(refused.unwrap_err().reason(), "unknown-key");
    let unsigned = Envelope::new(&Statement {
        subject: vec![bundle("one").id()],
        predicate: build(None),
    })
    .unwrap();
    let refused = trust.authorized_signers(&unsigned, Role::Build, None, When::First(NOON));
    assert_eq!(refused.unwrap_err().reason(), "unsigned");
}

#[test]
fn unsigned_mode_still_checks_everything_else() {
    let trust = Trust::insecure_allow_unsigned(project());
    let prod = prod();
    let context = context(&trust, &prod);
    let store = bundle::store::memory::Memory::default();
    let one = bundle("one");
    let descriptor = publish::put_bundle(&store, &one).unwrap();
    let evidence = publish::put_build(&store, descriptor, build(None), &[]).unwrap();
    let first = draft(one.id(), &[evidence]);
    publish::release(&store, None, first, None, &[]).unwrap();
    let head = bundle::follow::head(&store, &context, &nothing())
        .unwrap()
        .unwrap();
    bundle::follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
    let foreign = Trust::insecure_allow_unsigned("bank".parse().unwrap());
    let context = crate::fixture::context(&foreign, &prod);
    let refused = bundle::follow::head(&store, &context, &nothing()).unwrap_err();
    assert_eq!(refused.reason(), "wrong-project");
}
