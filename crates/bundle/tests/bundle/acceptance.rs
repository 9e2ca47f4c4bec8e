//! Acceptance of records: one row per rule of release.md §5.

use bundle::channel::{self, Context, Memory};
use bundle::digest::Digest;
use bundle::moment::Moment;
use bundle::publish;
use bundle::revocation::Revocations;
use bundle::statement::Statement;
use bundle::statement::predicate::{Pointer, Record, RecordKind};
use bundle::store::memory::Memory as Store;
use bundle::store::{Chain, Store as _};
use bundle::trust::{Floors, Trust};

use crate::fixture::*;

/// Signs and stores a record without a link.
pub(crate) fn forge(store: &Store, bundle: Digest, record: Record, signer: &str) -> Pointer {
    let serial = record.serial;
    let statement = Statement {
        subject: vec![bundle],
        predicate: record,
    };
    let envelope = publish::sign(&statement, &[&key(signer)]).unwrap();
    let digest = publish::put_statement(store, &envelope, None).unwrap();
    Pointer { digest, serial }
}

pub(crate) fn record(serial: u64, previous: Option<Pointer>) -> Record {
    Record {
        project: project(),
        channel: prod(),
        serial,
        previous: previous.map(|pointer| pointer.digest),
        merges: [].into(),
        kind: RecordKind::Release,
        actor: "rita".to_owned(),
        reason: String::new(),
        created: NOON,
        expires: None,
        plan: None,
        source: None,
        evidence: [].into(),
        revocations: None,
        rollout: None,
        override_freeze: None,
        withdraw: [].into(),
        streams: None,
    }
}

struct World {
    store: Store,
    trust: Trust,
    bundle: Digest,
    /// Pointers to records 1 to 5, each of which follows the previous one.
    chain: Vec<Pointer>,
}

impl World {
    fn new() -> Self {
        let store = Store::default();
        let bundle = Digest::of(b"some bundle");
        let mut chain: Vec<Pointer> = Vec::new();
        for serial in 1..=5 {
            let record = record(serial, chain.last().copied());
            chain.push(forge(&store, bundle, record, "rita"));
        }
        Self {
            store,
            trust: trust(),
            bundle,
            chain,
        }
    }

    fn remembering(&self, serial: usize) -> Memory {
        Memory {
            record: Some(self.chain[serial - 1]),
            ..Memory::default()
        }
    }

    fn accept(&self, memory: &Memory, candidate: Pointer) -> Result<(), String> {
        self.accept_at(NOON, memory, candidate)
    }

    fn accept_at(&self, now: Moment, memory: &Memory, candidate: Pointer) -> Result<(), String> {
        let channel = prod();
        let context = Context {
            trust: &self.trust,
            channel: &channel,
            now,
        };
        channel::accept(&self.store, &context, memory, candidate)
            .map(drop)
            .map_err(|refused| refused.reason().into_owned())
    }

    fn forge(&self, record: Record) -> Pointer {
        forge(&self.store, self.bundle, record, "rita")
    }
}

fn refused(reason: &str) -> Result<(), String> {
    Err(reason.to_owned())
}

#[test]
fn newer_records_are_accepted_and_older_ones_refused() {
    let world = World::new();
    for from in 1..=5 {
        for to in 1..=5 {
            let expected = if to < from {
                refused("replayed")
            } else {
                Ok(())
            };
            let candidate = world.chain[to - 1];
            assert_eq!(
                world.accept(&world.remembering(from), candidate),
                expected,
                "{from} {to}"
            );
        }
    }
    for to in 1..=5 {
        assert_eq!(world.accept(&nothing(), world.chain[to - 1]), Ok(()));
    }
}

#[test]
fn record_needs_role_project_and_channel() {
    let world = World::new();
    let mut other_project = record(6, Some(world.chain[4]));
    other_project.project = "bank".parse().unwrap();
    let mut other_channel = record(6, Some(world.chain[4]));
    other_channel.channel = "staging".parse().unwrap();
    let good = record(6, Some(world.chain[4]));
    let by = |signer| forge(&world.store, world.bundle, good.clone(), signer);
    let memory = world.remembering(5);
    let table = [
        (by("rita"), Ok(())),
        (by("ci"), refused("wrong-role")),
        (by("rob"), refused("wrong-role")),
        (by("stranger"), refused("unknown-key")),
        (world.forge(other_project), refused("wrong-project")),
        (world.forge(other_channel), refused("wrong-channel")),
    ];
    for (number, (candidate, expected)) in table.into_iter().enumerate() {
        assert_eq!(world.accept(&memory, candidate), expected, "row {number}");
    }
    // Publish an old record under a new serial.
    let moved = Pointer {
        serial: 6,
        ..world.chain[1]
    };
    assert_eq!(world.accept(&memory, moved), refused("replayed"));
    // A statement with two subjects.
    let statement = Statement {
        subject: vec![world.bundle, Digest::of(b"another")],
        predicate: good,
    };
    let envelope = publish::sign(&statement, &[&key("rita")]).unwrap();
    let digest = publish::put_statement(&world.store, &envelope, None).unwrap();
    let two = Pointer { digest, serial: 6 };
    assert_eq!(world.accept(&memory, two), refused("wrong-subject"));
}

#[test]
fn time() {
    let world = World::new();
    let memory = world.remembering(5);
    let created = |at| {
        world.forge(Record {
            created: at,
            ..record(6, Some(world.chain[4]))
        })
    };
    let expires = |at| {
        world.forge(Record {
            expires: Some(at),
            ..record(6, Some(world.chain[4]))
        })
    };
    assert_eq!(world.accept(&memory, created(NOON.plus_s(300))), Ok(()));
    assert_eq!(
        world.accept(&memory, created(NOON.plus_s(301))),
        refused("from-the-future")
    );
    assert_eq!(world.accept(&memory, expires(NOON.plus_s(1))), Ok(()));
    assert_eq!(world.accept(&memory, expires(NOON)), refused("expired"));

    // A clock that was set back does not revive expired records: the newest accepted `created` is
    // later.
    let memory = Memory {
        created: Some(NOON),
        ..memory
    };
    let at_epoch = world.accept_at(Moment::EPOCH, &memory, expires(NOON));
    assert_eq!(at_epoch, refused("expired"));
    assert_eq!(
        world.accept_at(Moment::EPOCH, &memory, created(NOON)),
        Ok(())
    );
    // Without an accepted record, a machine whose clock is at 1970 accepts no record.
    let at_epoch = world.accept_at(Moment::EPOCH, &nothing(), created(NOON));
    assert_eq!(at_epoch, refused("key-not-yet-valid"));
}

#[test]
fn expiry_after_acceptance_is_an_alarm_only() {
    let world = World::new();
    let candidate = world.forge(Record {
        expires: Some(NOON.plus_s(10)),
        ..record(6, Some(world.chain[4]))
    });
    let (trust, channel) = (&world.trust, &prod());
    let at = |now| Context {
        trust,
        channel,
        now,
    };
    let memory = world.remembering(5);
    let accepted = channel::accept(&world.store, &at(NOON), &memory, candidate).unwrap();
    assert!(!accepted.expired());
    let later = at(NOON.plus_s(11));
    let again = channel::accept(&world.store, &later, &accepted.memory(), candidate).unwrap();
    assert!(again.expired());
    // The record also stays accepted after the expiry of its signing key.
    let later = at(NOON.plus_s(200 * DAY_S));
    assert!(channel::accept(&world.store, &later, &accepted.memory(), candidate).is_ok());
    let new = world.forge(record(7, Some(candidate)));
    let refused = channel::accept(&world.store, &later, &accepted.memory(), new).unwrap_err();
    assert_eq!(refused.reason(), "key-expired");
}

#[test]
fn forks() {
    let world = World::new();
    let memory = world.remembering(3);
    // Another record with the same serial as an accepted one.
    let twin = world.forge(Record {
        reason: "another".to_owned(),
        ..record(3, Some(world.chain[1]))
    });
    assert_eq!(world.accept(&memory, twin), refused("forked"));
    // A chain that does not contain the accepted record.
    let beside = world.forge(record(4, Some(twin)));
    assert_eq!(world.accept(&memory, beside), refused("forked"));
    let around = world.forge(record(9, Some(world.chain[1])));
    assert_eq!(world.accept(&memory, around), refused("forked"));
    let rootless = world.forge(record(9, None));
    assert_eq!(world.accept(&memory, rootless), refused("forked"));
    // The new record, or one of its predecessors, names the accepted record in `merges`.
    let merging = world.forge(Record {
        merges: [world.chain[2].digest].into(),
        ..record(5, Some(beside))
    });
    assert_eq!(world.accept(&memory, merging), Ok(()));
    let after = world.forge(record(6, Some(merging)));
    assert_eq!(world.accept(&memory, after), Ok(()));
    let unrelated = world.forge(Record {
        merges: [world.chain[4].digest].into(),
        ..record(6, Some(beside))
    });
    assert_eq!(world.accept(&memory, unrelated), refused("forked"));
    // A chain in which an earlier record has a higher serial.
    let climbing = world.forge(record(4, Some(merging)));
    assert_eq!(world.accept(&memory, climbing), refused("forked"));
}

#[test]
fn missing_record_in_the_chain_is_waited_for() {
    let world = World::new();
    let mut content = world.store.into_content();
    content.blobs.remove(&world.chain[3].digest);
    let store = Store::new(content);
    let (trust, channel) = (trust(), prod());
    let context = context(&trust, &channel);
    let memory = Memory {
        record: Some(world.chain[2]),
        ..Memory::default()
    };
    let refused = channel::accept(&store, &context, &memory, world.chain[4]).unwrap_err();
    assert_eq!(refused.reason(), "chain-incomplete");
    assert!(!refused.permanent());
}

#[test]
fn floors() {
    let mut world = World::new();
    let floors = Floors {
        min_serial: 4,
        min_revocations: 0,
    };
    world.trust = world.trust.with_floors(prod(), floors).unwrap();
    let expected = [
        refused("below-floor"),
        refused("below-floor"),
        refused("below-floor"),
        Ok(()),
        Ok(()),
    ];
    for (candidate, expected) in world.chain.iter().zip(expected) {
        assert_eq!(world.accept(&nothing(), *candidate), expected);
    }
}

#[test]
fn revocation_lists_only_grow() {
    let world = World::new();
    let store = &world.store;
    let revoke = |name: &[u8]| {
        let added = publish::Revocation {
            bundles: [Digest::of(name)].into(),
            ..publish::Revocation::default()
        };
        publish::revoke(
            store,
            Some(&trust()),
            project(),
            (&prod(), added),
            NOON,
            &[&key("rob")],
        )
        .unwrap()
    };
    let (one, two) = (revoke(b"1"), revoke(b"2"));
    let channel = prod();
    let context = context(&world.trust, &channel);
    let known = |pointer| {
        let revocations =
            bundle::revocation::accept(store, &context, &Revocations::none(), pointer).unwrap();
        Memory {
            revocations,
            ..world.remembering(5)
        }
    };
    let with = |revocations| {
        world.forge(Record {
            revocations,
            ..record(6, Some(world.chain[4]))
        })
    };
    let forged = Pointer {
        digest: world.chain[0].digest,
        serial: 2,
    };
    let renumbered = Pointer { serial: 3, ..two };
    let table = [
        (world.remembering(5), with(None), Ok(())),
        (world.remembering(5), with(Some(two)), Ok(())),
        (known(one), with(Some(one)), Ok(())),
        (known(one), with(Some(two)), Ok(())),
        (known(two), with(Some(one)), refused("revocations-withheld")),
        (known(two), with(None), refused("revocations-withheld")),
        (
            world.remembering(5),
            with(Some(forged)),
            refused("wrong-role"),
        ),
        (known(two), with(Some(renumbered)), refused("replayed")),
    ];
    for (number, (memory, candidate, expected)) in table.into_iter().enumerate() {
        assert_eq!(world.accept(&memory, candidate), expected, "row {number}");
    }
    // A store that has the known list does not withhold it, even if a record names an older list.
    for (memory, candidate, shown, expected) in [
        (known(two), with(Some(one)), 2, Ok(())),
        (known(two), with(None), 2, Ok(())),
        (known(two), with(None), 1, refused("revocations-withheld")),
    ] {
        let accepted = channel::accept_with_store_list(store, &context, &memory, candidate, shown);
        let lists = accepted.as_ref().map(|it| it.revocations().serial()).ok();
        assert_eq!(lists, expected.is_ok().then_some(2));
        let reason = accepted.map(drop).map_err(|it| it.reason().into_owned());
        assert_eq!(reason, expected);
    }
    // A minimum serial in the trust file (floor) has the same effect as an accepted record.
    let floors = Floors {
        min_serial: 0,
        min_revocations: 2,
    };
    let trust = trust().with_floors(prod(), floors).unwrap();
    let context = Context {
        trust: &trust,
        ..context
    };
    for (revocations, expected) in [(None, false), (Some(one), false), (Some(two), true)] {
        let accepted = channel::accept(store, &context, &nothing(), with(revocations));
        match expected {
            true => drop(accepted.unwrap()),
            false => assert_eq!(accepted.unwrap_err().reason(), "revocations-withheld"),
        }
    }
}

#[test]
fn lists_of_two_branches_are_both_in_force() {
    let channel = prod();
    let trust = trust();
    let context = context(&trust, &channel);
    let (here, there) = (Store::default(), Store::default());
    let revoke = |store: &Store, name: &[u8]| {
        let added = publish::Revocation {
            bundles: [Digest::of(name)].into(),
            ..publish::Revocation::default()
        };
        revoke(store, added, "rob")
    };
    let one = revoke(&here, b"1");
    let other = revoke(&there, b"2");
    let other_second = revoke(&there, b"3");
    let known = bundle::revocation::accept(&here, &context, &Revocations::none(), one).unwrap();
    let mut all = known;
    for pointer in [other, other_second] {
        all = bundle::revocation::accept(&there, &context, &all, pointer).unwrap();
    }
    let has = |name: &[u8]| all.has_bundle(&Digest::of(name));
    assert!(has(b"1") && has(b"2") && has(b"3"));
}

#[test]
fn second_publisher_with_the_same_base_is_refused() {
    let store = Store::default();
    let first = ship(&store, "one");
    let two = bundle("two");
    let evidence = put(&store, &two);
    let publish = |base| {
        let draft = draft(two.id(), &[evidence]);
        publish::release(&store, Some(&trust()), draft, Some(base), &[&key("rita")])
    };
    let second = publish(Some(first)).unwrap();
    let conflict = publish(Some(first)).unwrap_err();
    assert_eq!(conflict, bundle::store::WriteError::Conflict { serial: 2 });
    assert!(publish(None).is_err());
    assert_eq!(publish(Some(second)).unwrap().serial, 3);
    // Two records, both prepared before either is published.
    let prepare = |actor: &str| {
        let mut draft = draft(two.id(), &[evidence]);
        draft.actor = actor.to_owned();
        let statement = publish::prepare(&store, None, draft, None).unwrap();
        publish::sign(&statement, &[&key("rita")]).unwrap()
    };
    let (ann, bob) = (prepare("ann"), prepare("bob"));
    assert_eq!(publish::publish(&store, &bob).unwrap().serial, 4);
    let conflict = publish::publish(&store, &ann).unwrap_err();
    assert_eq!(conflict, bundle::store::WriteError::Conflict { serial: 4 });
}

#[test]
fn nothing_is_published_that_cannot_be_read() {
    let store = Store::default();
    let one = bundle("one");
    let evidence = put(&store, &one);
    let absent = draft(bundle("absent").id(), &[evidence]);
    let missing = draft(one.id(), &[Digest::of(b"no statement")]);
    for draft in [absent, missing] {
        let refused = release(&store, draft).unwrap_err();
        assert!(matches!(
            refused,
            bundle::store::WriteError::Refused(refused) if refused.reason() == "blob-missing"
        ));
    }
    assert!(store.serials(&Chain::Channel(prod())).unwrap().is_empty());
}
