//! Revocation lists by keys for one channel, in a store with several channels.

use std::collections::BTreeSet;

use bundle::channel::{Context, Memory};
use bundle::digest::Digest;
use bundle::follow;
use bundle::publish::{self, Revocation};
use bundle::refused::Refused;
use bundle::revocation;
use bundle::statement::Statement;
use bundle::statement::predicate::{Pointer, Revoke, Role};
use bundle::store::memory::Memory as Store;
use bundle::store::{Chain, Store as _};
use bundle::trust::{Floors, KeyState, Scope, Thresholds, Trust, When};

use crate::fixture::*;

/// Trust file in which `tia` may revoke in the channel `test`, and `rob` in all channels.
fn with_tester() -> Trust {
    let mut tia = trusted("tia", &[Role::Revoke]);
    tia.channels = [Scope::Channel("test".parse().unwrap())].into();
    trust_of(vec![
        trusted("ci", &[Role::Build]),
        trusted("rita", &[Role::Release]),
        trusted("rob", &[Role::Revoke]),
        tia,
    ])
}

fn credential(name: &str) -> Revocation {
    Revocation {
        credentials: [Digest::of(name.as_bytes())].into(),
        ..Revocation::default()
    }
}

fn publish(store: &Store, known: &[Pointer], entry: &str, signer: &str) -> Pointer {
    let known: BTreeSet<Pointer> = known.iter().copied().collect();
    let list = (&prod(), &known, credential(entry));
    let trust = with_tester();
    publish::revoke(store, Some(&trust), project(), list, NOON, &[&key(signer)]).unwrap()
}

/// Adds a list that continues no other list.
fn forge(store: &Store, serial: u64, signer: &str) -> Pointer {
    let Revocation { credentials, .. } = credential("forged");
    let list = Revoke {
        project: project(),
        serial,
        previous: None,
        created: NOON,
        bundles: BTreeSet::new(),
        credentials,
        keys: BTreeSet::new(),
    };
    let statement = Statement {
        subject: list.subject(),
        predicate: list,
    };
    let envelope = publish::sign(&statement, &[&key(signer)]).unwrap();
    let digest = publish::put_statement(store, &envelope, None).unwrap();
    store
        .create_link(&Chain::Revocations, serial, &digest)
        .unwrap();
    Pointer { digest, serial }
}

#[test]
fn list_counts_in_the_channels_of_its_keys() {
    let trust = with_tester();
    let (prod, test) = (prod(), "test".parse().unwrap());
    let context = context(&trust, &prod);
    let of_test = Context {
        channel: &test,
        ..context
    };
    let store = Store::default();
    ship(&store, "one");
    let accept = |context: &Context<'_>, revocations| {
        let memory = Memory {
            revocations,
            ..nothing()
        };
        follow::revocations(&store, context, &memory).map(|list| list.pointer())
    };
    let none = revocation::Revocations::none;
    let one = publish(&store, &[], "one", "tia");
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    assert_eq!(head.revocations_refused, None);
    assert_eq!(head.accepted.revocations().serial(), 0);
    assert_eq!(accept(&of_test, none()), Ok(Some(one)));
    // A gateway of each channel accepts the next list.
    let known_one = revocation::recall(&store, &of_test, one).unwrap();
    let two = publish(&store, &[one], "two", "rob");
    assert_eq!(two.serial, 2);
    assert_eq!(accept(&context, none()), Ok(Some(two)));
    assert_eq!(accept(&of_test, known_one), Ok(Some(two)));
    // A list that continues no other list is not continued.
    let known_two = revocation::recall(&store, &context, two).unwrap();
    let forged = forge(&store, 3, "tia");
    let four = publish(&store, &[two], "four", "rob");
    assert_eq!(four.serial, 4);
    assert_eq!(accept(&context, known_two.clone()), Ok(Some(four)));
    assert_eq!(accept(&of_test, known_two), Ok(Some(four)));
    let known = [two, forged].into();
    let conflict = revocation::predecessor(&store, Some(&trust), &prod, &known);
    assert_eq!(conflict, Err(Refused::Forked { serial: 3 }));
    // A list of the other channel whose serial is far ahead is not continued.
    forge(&store, bundle::json::INTEGER_MAX, "tia");
    let five = publish(&store, &[four], "five", "rob");
    assert_eq!(five.serial, 5);
    let missing = Digest::of(b"missing");
    store.create_link(&Chain::Revocations, 6, &missing).unwrap();
    let unusable = revocation::newest(&store, Some(&trust), &prod).unwrap_err();
    assert_eq!(unusable.reason(), "blob-missing");
}

/// Two owners signed the list in force, and one of their keys is revoked later: readers skip the list.
/// Gateways that accepted it find it in the chain of the next list.
#[test]
fn list_of_two_owners_one_of_them_revoked_is_skipped() {
    let owners = ["rob", "ria", "rex"].map(|owner| trusted(owner, &[Role::Revoke]));
    let both = Thresholds {
        revoke: 2,
        ..Thresholds::ONE
    };
    let trust = trust_of(owners.to_vec()).with_thresholds(both).unwrap();
    let store = Store::default();
    let sign = |trust: &Trust, known: &[Pointer], entry: &str, signers: [&str; 2]| {
        let known = known.iter().copied().collect();
        let list = (&prod(), &known, credential(entry));
        let [one, two] = signers.map(key);
        publish::revoke(&store, Some(trust), project(), list, NOON, &[&one, &two]).unwrap()
    };
    let one = sign(&trust, &[], "one", ["rob", "ria"]);
    let left = trust
        .clone()
        .with_revoked(&[key("rob").public().id()].into());
    let prod = prod();
    let newest = |trust: &Trust| revocation::newest(&store, Some(trust), &prod);
    assert_eq!(newest(&trust), Ok(Some(one)));
    assert_eq!(newest(&left), Ok(None));
    let revoked = revocation::newest_revoked(&store, &left, &prod, |_| true).unwrap();
    assert_eq!(revoked.map(|(pointer, _)| pointer), Some(one));
    let signers = revocation::revoked_signers(&store, &left, &one);
    assert_eq!(signers, Ok([key("rob").public().id()].into()));
    let of_left = context(&left, &prod);
    let accept = |known: &revocation::Revocations| {
        let memory = Memory {
            revocations: known.clone(),
            ..nothing()
        };
        follow::revocations(&store, &of_left, &memory).map(|list| list.pointer())
    };
    let none = revocation::Revocations::none();
    assert_eq!(accept(&none), Ok(None));
    let known = revocation::recall(&store, &context(&trust, &prod), one).unwrap();
    let two = sign(&left, &[], "two", ["ria", "rex"]);
    assert_eq!(accept(&none), Ok(Some(two)));
    assert_eq!(accept(&known), Ok(Some(two)));
    let one_signer = forge(&store, 3, "ria");
    assert!(newest(&left).is_err_and(|why| why.reason() == "below-threshold"));
    assert_eq!(one_signer.serial, 3);
}

/// A release with several keys, one of which was stolen. Signatures are sorted by key.
#[test]
fn revoked_key_among_others_is_the_reason() {
    let mut rita = trusted("rita", &[Role::Release]);
    rita.state = KeyState::Revoked;
    let mut tia = trusted("tia", &[Role::Release]);
    tia.channels = [Scope::Channel("test".parse().unwrap())].into();
    let record = Statement {
        subject: vec![bundle("one").id()],
        predicate: crate::acceptance::record(1, None),
    };
    let prod = prod();
    for builder in ["ci", "b1", "b2", "b3", "b4", "b5"] {
        let trusted = vec![trusted(builder, &[Role::Build]), rita.clone(), tia.clone()];
        let trust = trust_of(trusted);
        let reason = |keys: &[&str]| {
            let keys: Vec<_> = keys.iter().map(|name| key(name)).collect();
            let envelope = publish::sign(&record, &keys.iter().collect::<Vec<_>>()).unwrap();
            trust.signers(&envelope, Role::Release, Some(&prod), When::Ever)
        };
        let all = reason(&[builder, "rita", "tia", "stranger"]);
        assert_eq!(all, Err(Refused::RevokedKey), "{builder}");
        let channel = Refused::WrongChannel {
            expected: prod.clone(),
        };
        assert_eq!(reason(&[builder, "tia"]), Err(channel), "{builder}");
    }
}

/// A stolen key can raise the minimum serial of a trust file far above the last valid record.
#[test]
fn next_serial_is_not_below_the_floor() {
    let floors = Floors {
        min_serial: 1_000,
        min_revocations: 2_000,
    };
    let trust = with_tester().with_floors(prod(), floors).unwrap();
    let store = Store::default();
    let evidence = put(&store, &bundle("one"));
    let next = draft(bundle("one").id(), &[evidence]);
    let rita = key("rita");
    let record = publish::release(&store, Some(&trust), next, None, &[&rita]).unwrap();
    assert_eq!(record.serial, 1_000);
    let list = (&prod(), &BTreeSet::new(), credential("one"));
    let list = publish::revoke(&store, Some(&trust), project(), list, NOON, &[&key("rob")]);
    assert_eq!(list.unwrap().serial, 2_000);
}
