//! Tests of recovery after a stolen key, after the expiry of a key, and after a restart.

use bundle::channel::Context;
use bundle::digest::Digest;
use bundle::follow;
use bundle::history;
use bundle::json::INTEGER_MAX;
use bundle::publish::{self, Revocation};
use bundle::statement::predicate::{RecordKind, Role};
use bundle::store::memory::Memory as Store;
use bundle::store::{Chain, Store as _};
use bundle::trust::{Floors, KeyState, Thresholds};

use crate::acceptance::{forge, record};
use crate::fixture::*;

#[test]
fn stolen_key_at_the_last_serial_is_recovered_from() {
    let mut mallory = trusted("mallory", &[Role::Release]);
    let base = || {
        vec![
            trusted("ci", &[Role::Build]),
            trusted("rita", &[Role::Release]),
            trusted("rob", &[Role::Revoke]),
        ]
    };
    let mut keys = base();
    keys.push(mallory.clone());
    let before = trust_of(keys);
    let prod = prod();
    let context = context(&before, &prod);
    let (store, state) = (Store::default(), Store::default());
    let honest = ship(&store, "one");
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    let verified = follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
    follow::keep(&store, &state, &head.accepted, &verified).unwrap();

    // The attacker publishes records with the highest serial, and with the next free one.
    let chain = Chain::Channel(prod.clone());
    for serial in [2, INTEGER_MAX] {
        let stolen = record(serial, Some(honest));
        let stolen = forge(&store, bundle("one").id(), stolen, "mallory");
        store.create_link(&chain, serial, &stolen.digest).unwrap();
    }
    // Readers ignore a serial far ahead, so one record cannot use up all serials.
    let memory = follow::remember(&state, &context).unwrap();
    let refused = follow::head(&store, &context, &memory).unwrap_err();
    assert_eq!(refused.reason(), "forked");
    let read = history::head(&store, Some(&before), &prod).unwrap_err();
    assert_eq!(read.reason(), "forked");
    let floors = Floors {
        min_serial: INTEGER_MAX,
        min_revocations: 0,
    };
    let raised = before.clone().with_floors(prod.clone(), floors).unwrap();
    let read = history::head(&store, Some(&raised), &prod).unwrap();
    assert_eq!(read.unwrap().pointer.serial, INTEGER_MAX);

    // The operator revokes the key, so that the records that it signed are ignored.
    mallory.state = KeyState::Revoked;
    let mut keys = base();
    keys.push(mallory);
    let after = trust_of(keys);
    let context = Context {
        trust: &after,
        ..context
    };
    let memory = follow::remember(&state, &context).unwrap();
    assert_eq!(memory.record, Some(honest));
    let head = follow::head(&store, &context, &memory).unwrap().unwrap();
    assert_eq!(head.accepted.pointer(), honest);
    assert_eq!(head.skipped, [INTEGER_MAX, 2]);

    // The next valid record follows the last valid one, at the next free serial.
    let two = bundle("two");
    let evidence = put(&store, &two);
    let draft = draft(two.id(), &[evidence]);
    let next = publish::release(&store, Some(&after), draft, None, &[&key("rita")]).unwrap();
    assert_eq!(next.serial, 3);
    let head = follow::head(&store, &context, &memory).unwrap().unwrap();
    assert_eq!(head.accepted.bundle(), two.id());
    let found = history::walk(&store, Some(&after), &prod, 10).unwrap();
    let serials: Vec<_> = found.entries.iter().map(|e| e.pointer.serial).collect();
    assert_eq!(serials, [3, 1]);
}

#[test]
fn forged_records_in_store_and_state_are_skipped() {
    let full = prerequisite::is_full();
    let forged = if full { 5_000 } else { 1_200 };
    assert!(forged > u64::try_from(history::SKIPPED_MAX).unwrap());
    let mut mallory = trusted("mallory", &[Role::Release]);
    mallory.state = KeyState::Revoked;
    let keys = |mallory| {
        vec![
            trusted("ci", &[Role::Build]),
            trusted("rita", &[Role::Release]),
            mallory,
        ]
    };
    let (trust, prod) = (trust_of(keys(mallory)), prod());
    let context = context(&trust, &prod);
    let store = Store::default();
    let honest = ship(&store, "one");
    let chain = Chain::Channel(prod.clone());
    let mut previous = honest;
    for serial in 2..forged + 2 {
        let stolen = record(serial, Some(previous));
        previous = forge(&store, bundle("one").id(), stolen, "mallory");
        store.create_link(&chain, serial, &previous.digest).unwrap();
    }
    // A gateway that accepted the attacker's records before has copies of all of them.
    let content = store.into_content();
    let (store, state) = (Store::new(content.clone()), Store::new(content));
    let memory = follow::remember(&state, &context).unwrap();
    assert_eq!(memory.record, Some(honest));
    let kept = follow::stored_records(&state, &context, &memory.revocations, 200).unwrap();
    assert_eq!(kept.accepted[0].pointer(), honest);
    assert_eq!(kept.refused.len(), 200, "bounded");
    let mut passed = follow::SkippedRecords::default();
    for _ in 0..2 {
        let head = follow::head_past(&store, &context, &memory, &mut passed);
        let head = head.unwrap().unwrap();
        assert_eq!(head.accepted.pointer(), honest);
        assert_eq!(head.skipped.len(), history::SKIPPED_MAX, "bounded");
    }
    let two = bundle("two");
    let evidence = put(&store, &two);
    let draft = draft(two.id(), &[evidence]);
    let next = publish::release(&store, Some(&trust), draft, None, &[&key("rita")]).unwrap();
    assert_eq!(next.serial, forged + 2, "the next free one");
    let head = follow::head(&store, &context, &memory).unwrap().unwrap();
    assert_eq!(head.accepted.bundle(), two.id());
}

#[test]
fn a_list_is_taken_even_if_the_head_is_refused() {
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let (store, state) = (Store::default(), Store::default());
    let one = ship(&store, "one");
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    follow::keep_record(&store, &state, &head.accepted).unwrap();
    let memory = head.accepted.memory();
    let added = Revocation {
        keys: [key("rita").public().id()].into(),
        ..Revocation::default()
    };
    revoke(&store, added, "rob");
    assert!(follow::head(&store, &context, &memory).is_err());
    let list = follow::revocations(&store, &context, &memory).unwrap();
    assert_eq!(list.serial(), 1);
    // The list revokes the key, so that a record signed by it is ignored.
    assert_eq!(memory.record, Some(one));
    let followed = follow::remember_under(&state, &context, list).unwrap();
    assert_eq!(followed.record, None);
}

#[test]
fn a_key_on_the_revocation_list_no_longer_counts() {
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let store = Store::default();
    ship(&store, "one");
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    let memory = head.accepted.memory();
    let added = Revocation {
        keys: [key("rita").public().id()].into(),
        ..Revocation::default()
    };
    revoke(&store, added, "rob");
    ship(&store, "two");
    for memory in [nothing(), memory] {
        let refused = follow::head(&store, &context, &memory).unwrap_err();
        assert!(
            ["revoked-key", "replayed"].contains(&&*refused.reason()),
            "{refused:?}"
        );
    }
}

#[test]
fn a_replayed_head_on_a_fresh_state_folder() {
    // An attacker who controls the store can present an old state of it.
    let old = Store::default();
    ship(&old, "one");
    let (trust, prod) = (trust(), prod());
    let without_floor = context(&trust, &prod);
    let fresh = Store::default();
    let memory = follow::remember(&fresh, &without_floor).unwrap();
    assert!(
        follow::head(&old, &without_floor, &memory).is_ok(),
        "nothing protects from it"
    );
    let floors = Floors {
        min_serial: 2,
        min_revocations: 0,
    };
    let trust = trust.clone().with_floors(prod.clone(), floors).unwrap();
    let with_floor = context(&trust, &prod);
    let refused = follow::head(&old, &with_floor, &memory).unwrap_err();
    assert_eq!(refused.reason(), "below-floor");
}

#[test]
fn store_set_back_is_a_replay_for_a_known_state() {
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let store = Store::default();
    ship(&store, "one");
    ship(&store, "two");
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    let memory = head.accepted.memory();
    let old = Store::default();
    ship(&old, "one");
    let refused = follow::head(&old, &context, &memory).unwrap_err();
    assert_eq!(refused.reason(), "replayed");
    let refused = follow::head(&Store::default(), &context, &memory).unwrap_err();
    assert_eq!(refused.reason(), "replayed");
}

#[test]
fn a_build_key_past_its_end_then_restart_and_rollback() {
    let trust = {
        let mut ci = trusted("ci", &[Role::Build]);
        ci.not_after = NOON.plus_s(DAY_S);
        let mut second = trusted("ci-2", &[Role::Build]);
        second.owner = "ci".to_owned();
        trust_of(vec![ci, second, trusted("rita", &[Role::Release])])
    };
    let prod = prod();
    let context = context(&trust, &prod);
    let (store, state) = (Store::default(), Store::default());
    let one = bundle("one");
    let by_old_key = put(&store, &one);
    let release =
        |draft| publish::release(&store, Some(&trust), draft, None, &[&key("rita")]).unwrap();
    release(draft(one.id(), &[by_old_key]));

    // Two days later: another bundle signed by the new key, then a rollback to the old one.
    let later = NOON.plus_s(2 * DAY_S);
    let two = bundle("two");
    let descriptor = publish::put_bundle(&store, &two).unwrap();
    let by_new_key = publish::put_build(&store, descriptor, build(None), &[&key("ci-2")]).unwrap();
    let mut second = draft(two.id(), &[by_new_key]);
    second.created = later;
    release(second);
    let mut back = draft(one.id(), &[by_old_key]);
    back.created = later;
    back.kind = RecordKind::Rollback;
    release(back);

    let context = Context {
        now: later,
        ..context
    };
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    assert_eq!(head.accepted.bundle(), one.id());
    let verified = follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
    follow::keep(&store, &state, &head.accepted, &verified).unwrap();

    // A restart from the state folder alone, two more days later.
    let context = Context {
        now: later.plus_s(2 * DAY_S),
        ..context
    };
    let kept = follow::stored_records(&state, &context, &nothing().revocations, 10).unwrap();
    let accepted = &kept.accepted[0];
    let verified = follow::bundle(&state, &context, accepted, &[]).unwrap();
    verified.load_runtime(&state).unwrap();

    // A bundle whose first release is after the build key's expiry is refused.
    let three = bundle("three");
    let evidence = put(&store, &three);
    let mut late = draft(three.id(), &[evidence]);
    late.created = later;
    release(late);
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    let refused = follow::bundle(&store, &context, &head.accepted, &[]).unwrap_err();
    assert_eq!(refused.reason(), "key-expired");
}

#[test]
fn list_published_without_a_record_reaches_a_gateway() {
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let (store, state) = (Store::default(), Store::default());
    ship(&store, "one");
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    follow::keep_record(&store, &state, &head.accepted).unwrap();
    let secret = Digest::of(b"secret");
    let added = Revocation {
        credentials: [secret].into(),
        ..Revocation::default()
    };
    revoke(&store, added, "rob");
    let memory = follow::remember(&state, &context).unwrap();
    let head = follow::head(&store, &context, &memory).unwrap().unwrap();
    assert_eq!(Some(head.accepted.pointer()), memory.record);
    assert!(head.accepted.revocations().has_credential(&secret));
    follow::keep_list(&store, &state, head.accepted.revocations()).unwrap();
    let memory = follow::remember(&state, &context).unwrap();
    assert!(memory.revocations.has_credential(&secret));

    // A list by an unauthorised signer has no effect and is reported.
    let added = Revocation {
        credentials: [Digest::of(b"other")].into(),
        ..Revocation::default()
    };
    revoke(&store, added, "rita");
    let head = follow::head(&store, &context, &memory).unwrap().unwrap();
    assert_eq!(head.revocations_refused.unwrap().reason(), "wrong-role");
    assert!(head.accepted.revocations().has_credential(&secret));
}

#[test]
fn list_vouched_by_a_record_outlives_its_retired_key() {
    let store = Store::default();
    ship(&store, "one");
    let added = Revocation {
        credentials: [Digest::of(b"leaked")].into(),
        ..Revocation::default()
    };
    revoke(&store, added, "rob");
    let with = |state: KeyState| {
        let mut rob = trusted("rob", &[Role::Revoke]);
        rob.state = state;
        trust_of(vec![
            trusted("ci", &[Role::Build]),
            trusted("rita", &[Role::Release]),
            rob,
        ])
    };
    let (retired, prod) = (with(KeyState::Retired), prod());
    let context = context(&retired, &prod);
    // No valid key has signed the list now.
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    assert_eq!(head.accepted.revocations().serial(), 0);
    assert_eq!(head.revocations_refused.unwrap().reason(), "key-expired");
    ship(&store, "two");
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    assert!(
        head.accepted
            .revocations()
            .has_credential(&Digest::of(b"leaked"))
    );
    let revoked = with(KeyState::Revoked);
    let refused = follow::head(
        &store,
        &Context {
            trust: &revoked,
            ..context
        },
        &nothing(),
    );
    // The record is refused and not skipped: its own key is valid, and only the key of its
    // revocation list is revoked.
    assert_eq!(refused.unwrap_err().reason(), "revocations-untrusted");
}

#[test]
fn list_with_too_few_owners_counts_for_nothing() {
    let store = Store::default();
    let added = Revocation {
        credentials: [Digest::of(b"leaked")].into(),
        ..Revocation::default()
    };
    revoke(&store, added, "rob");
    ship(&store, "one");
    let two = Thresholds {
        build: 1,
        release: 1,
        revoke: 2,
        approve: 1,
    };
    let (trust, prod) = (trust().with_thresholds(two).unwrap(), prod());
    let refused = follow::head(&store, &context(&trust, &prod), &nothing()).unwrap_err();
    assert_eq!(refused.reason(), "below-threshold");
}
