//! Revocation lists by keys for one channel, in a store with several channels.

use std::collections::BTreeSet;

use bundle::channel::{Context, Memory};
use bundle::digest::Digest;
use bundle::follow;
use bundle::lists;
use bundle::publish::{self, Revocation};
use bundle::refused::Refused;
use bundle::revocation::{self, Revocations};
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

fn publish(store: &Store, entry: &str, signer: &str) -> Pointer {
    let list = (&prod(), credential(entry));
    let trust = with_tester();
    publish::revoke(store, Some(&trust), project(), list, NOON, &[&key(signer)]).unwrap()
}

/// Lists that a gateway accepts. `known`: lists that it has accepted before.
fn accept(store: &Store, context: &Context<'_>, known: &Revocations) -> Revocations {
    let memory = Memory {
        revocations: known.clone(),
        ..nothing()
    };
    follow::revocations(store, context, &memory).unwrap()
}

fn has(lists: &Revocations, entry: &str) -> bool {
    lists.has_credential(&Digest::of(entry.as_bytes()))
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
    let none = Revocations::none();
    publish(&store, "one", "tia");
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    assert_eq!(head.revocations_refused, None);
    assert_eq!(head.accepted.revocations().serial(), 0);
    let known_one = accept(&store, &of_test, &none);
    assert!(has(&known_one, "one"));
    // The entries of all lists are in force, even if a later list does not repeat them.
    let two = publish(&store, "two", "rob");
    assert_eq!(two.serial, 2);
    let in_prod = accept(&store, &context, &none);
    assert_eq!(in_prod.pointer(), Some(two));
    assert!(has(&in_prod, "two") && !has(&in_prod, "one"));
    for known in [&none, &known_one] {
        let in_test = accept(&store, &of_test, known);
        assert!(has(&in_test, "one") && has(&in_test, "two"));
    }
    // A list that continues no other list ends no entry.
    forge(&store, 3, "tia");
    let four = publish(&store, "four", "rob");
    assert_eq!(four.serial, 4);
    for context in [&context, &of_test] {
        let lists = accept(&store, context, &in_prod);
        assert!(has(&lists, "two") && has(&lists, "four"));
    }
    let missing = Digest::of(b"missing");
    store.create_link(&Chain::Revocations, 5, &missing).unwrap();
    let unusable = lists::in_force(&store, Some(&trust), &prod, NOON).unwrap_err();
    assert_eq!(unusable.reason(), "blob-missing");
}

/// A stolen key that may only sign revocation lists.
#[test]
fn no_list_removes_the_entry_of_another_one() {
    let trust = with_tester();
    let prod = prod();
    let context = context(&trust, &prod);
    let store = Store::default();
    publish(&store, "ours", "rob");
    let known = accept(&store, &context, &Revocations::none());
    forge(&store, 2, "rob");
    let read = lists::in_force(&store, Some(&trust), &prod, NOON).unwrap();
    for lists in [
        accept(&store, &context, &Revocations::none()),
        accept(&store, &context, &known),
        read,
    ] {
        assert!(has(&lists, "ours") && has(&lists, "forged"));
    }
}

/// A thief removes a list from the store, so that the next list gets the same serial.
#[test]
fn list_with_the_serial_of_another_one_is_accepted() {
    let trust = with_tester();
    let prod = prod();
    let context = context(&trust, &prod);
    let (store, emptied) = (Store::default(), Store::default());
    forge(&store, 1, "rob");
    let known = accept(&store, &context, &Revocations::none());
    publish(&emptied, "one", "rob");
    let lists = accept(&emptied, &context, &known);
    assert!(has(&lists, "forged") && has(&lists, "one"));
}

/// A thief with a key publishes a list, and hides the owners' list, which a record names.
#[test]
fn list_that_a_record_names_is_read() {
    let trust = with_tester();
    let prod = prod();
    let context = context(&trust, &prod);
    let store = Store::default();
    ship(&store, "one");
    publish(&store, "ours", "rob");
    ship(&store, "two");
    forge(&store, 3, "rob");
    let third = revocation::accept(
        &store,
        &context,
        &Revocations::none(),
        Pointer {
            digest: store.link(&Chain::Revocations, 3).unwrap().unwrap(),
            serial: 3,
        },
    );
    let third = third.unwrap();
    assert!(!has(&third, "ours"));
    let memory = Memory {
        revocations: third,
        ..nothing()
    };
    let head = follow::head(&store, &context, &memory).unwrap().unwrap();
    assert!(has(head.accepted.revocations(), "ours"));
    assert!(has(&accept(&store, &context, &memory.revocations), "ours"));
}

/// Reason why gwc refuses the lists of a store.
fn revocation_error(store: &Store, trust: &Trust) -> String {
    let refused = lists::in_force(store, Some(trust), &prod(), NOON).unwrap_err();
    refused.reason().into_owned()
}

/// A client that can write to the store, but has no key, cannot keep a gateway busy.
#[test]
fn only_the_newest_lists_of_a_store_are_read() {
    let trust = with_tester();
    let prod = prod();
    let context = context(&trust, &prod);
    let store = Store::default();
    let one = publish(&store, "one", "rob");
    for serial in 2..1_000 {
        store
            .create_link(&Chain::Revocations, serial, &one.digest)
            .unwrap();
    }
    let memory = nothing();
    let refused = follow::revocations(&store, &context, &memory).unwrap_err();
    assert_eq!(refused.reason(), "replayed");
    let known = revocation::accept(&store, &context, &Revocations::none(), one).unwrap();
    assert!(has(&known, "one"));
}

/// One list cannot use up the serials, whichever key signed the list.
#[test]
fn list_with_a_serial_far_ahead_is_ignored() {
    let trust = with_tester();
    let prod = prod();
    let context = context(&trust, &prod);
    let store = Store::default();
    publish(&store, "one", "rob");
    let known = accept(&store, &context, &Revocations::none());
    forge(&store, bundle::json::INTEGER_MAX - 1, "rob");
    let memory = Memory {
        revocations: known.clone(),
        ..nothing()
    };
    let refused = follow::revocations(&store, &context, &memory).unwrap_err();
    assert_eq!(refused.reason(), "forked");
    let read = revocation_error(&store, &trust);
    assert_eq!(read, "forked");
    let two = publish(&store, "two", "rob");
    assert_eq!(two.serial, 2);
    let lists = accept(&store, &context, &known);
    assert_eq!(lists.pointer(), Some(two));
    assert!(has(&lists, "two") && !has(&lists, "forged"));
}

/// The key of the list is retired: a gateway that sees the list for the first time refuses the
/// list, and so does gwc.
#[test]
fn list_by_a_retired_key_needs_a_record() {
    let prod = prod();
    let store = Store::default();
    let one = publish(&store, "one", "rob");
    let mut rob = trusted("rob", &[Role::Revoke]);
    rob.state = KeyState::Retired;
    let trust = trust_of(vec![
        trusted("ci", &[Role::Build]),
        trusted("rita", &[Role::Release]),
        rob,
    ]);
    let context = context(&trust, &prod);
    let refused = follow::revocations(&store, &context, &nothing()).unwrap_err();
    assert_eq!(refused.reason(), "key-expired");
    let in_force = || lists::in_force(&store, Some(&trust), &prod, NOON).unwrap();
    assert_eq!(in_force().pointer(), None);
    let lapsed = lists::lapsed(&store, &trust, &prod, NOON, 1).unwrap();
    assert_eq!(lapsed.map(|(pointer, _)| pointer), Some(one));
    // A record by an active key that was signed when the list was in force.
    let evidence = put(&store, &bundle("one"));
    let next = draft(bundle("one").id(), &[evidence]);
    publish::release(&store, Some(&with_tester()), next, None, &[&key("rita")]).unwrap();
    assert_eq!(in_force().pointer(), Some(one));
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    assert!(has(head.accepted.revocations(), "one"));
}

/// Two owners signed the list in force, and the key of one owner is revoked later: readers skip the
/// list.
#[test]
fn list_of_two_owners_one_of_them_revoked_is_skipped() {
    let owners = ["rob", "ria", "rex"].map(|owner| trusted(owner, &[Role::Revoke]));
    let both = Thresholds {
        revoke: 2,
        ..Thresholds::ONE
    };
    let trust = trust_of(owners.to_vec()).with_thresholds(both).unwrap();
    let store = Store::default();
    let sign = |trust: &Trust, entry: &str, signers: [&str; 2]| {
        let list = (&prod(), credential(entry));
        let [one, two] = signers.map(key);
        publish::revoke(&store, Some(trust), project(), list, NOON, &[&one, &two]).unwrap()
    };
    let one = sign(&trust, "one", ["rob", "ria"]);
    let left = trust
        .clone()
        .with_revoked(&[key("rob").public().id()].into());
    let prod = prod();
    let newest = |trust: &Trust| {
        let lists = lists::in_force(&store, Some(trust), &prod, NOON);
        lists.map(|lists| lists.pointer())
    };
    assert_eq!(newest(&trust), Ok(Some(one)));
    assert_eq!(newest(&left), Ok(None));
    let lapsed = lists::newest_lapsed(&store, &left, &prod, NOON, |_| true).unwrap();
    assert_eq!(lapsed.map(|(pointer, _)| pointer), Some(one));
    let signers = lists::revoked_signers(&store, &left, &one);
    assert_eq!(signers, Ok([key("rob").public().id()].into()));
    let of_left = context(&left, &prod);
    let none = Revocations::none();
    assert_eq!(accept(&store, &of_left, &none).pointer(), None);
    let known = accept(&store, &context(&trust, &prod), &none);
    let two = sign(&left, "two", ["ria", "rex"]);
    for known in [none, known] {
        assert_eq!(accept(&store, &of_left, &known).pointer(), Some(two));
    }
    let one_signer = forge(&store, 3, "ria");
    assert!(newest(&left).is_err_and(|why| why.reason() == "below-threshold"));
    assert_eq!(one_signer.serial, 3);
}

/// One of several keys of a release was stolen. Signatures are sorted by key.
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
    let list = (&prod(), credential("one"));
    let list = publish::revoke(&store, Some(&trust), project(), list, NOON, &[&key("rob")]);
    assert_eq!(list.unwrap().serial, 2_000);
}
