//! Approvals: which approvals count for a record, and when a gateway refuses a record without them.

mod rollouts;

use std::collections::BTreeSet;

use bundle::approval::{self, Approved};
use bundle::channel::{self, Memory};
use bundle::digest::Digest;
use bundle::moment::Moment;
use bundle::pending;
use bundle::publish;
use bundle::refused::Refused;
use bundle::replicate::replicate;
use bundle::revocation::Revocations;
use bundle::statement::Statement;
use bundle::statement::predicate::{
    Approve, Base, Pointer, Record, RecordKind, Revoke, Role, Rollout,
};
use bundle::statement::stored;
use bundle::store::Blobs as _;
use bundle::store::folder::Folder;
use bundle::store::memory::Memory as Store;
use bundle::sweep;
use bundle::trust::{KeyState, Thresholds, Trust, TrustedKey};

use crate::acceptance::{forge, record};
use crate::fixture::*;

fn plan() -> Digest {
    Digest::of(b"plan")
}

/// Keys of a builder, a releaser and three approvers.
fn keys() -> Vec<TrustedKey> {
    let mut keys = vec![
        trusted("ci", &[Role::Build]),
        trusted("rita", &[Role::Release]),
        trusted("rob", &[Role::Revoke]),
    ];
    keys.extend(["ann", "bob", "eve"].map(|owner| trusted(owner, &[Role::Approve])));
    keys
}

/// Trust file that requires approvals of two owners in the channel `prod`.
fn two(keys: Vec<TrustedKey>) -> Trust {
    trust_of(keys).with_approvals(prod(), 2, None).unwrap()
}

fn approve(base: Option<Pointer>) -> Approve {
    Approve {
        project: project(),
        channel: prod(),
        base: base.map(|base| Base {
            record: base.digest,
            serial: base.serial,
        }),
        plan: plan(),
        acked: [].into(),
        expires: NOON.plus_s(60),
    }
}

/// Signs and stores an approval of a bundle.
fn signed(store: &Store, bundle: Digest, approve: Approve, signer: &str) -> Digest {
    let statement = Statement {
        subject: vec![bundle],
        predicate: approve,
    };
    let envelope = publish::sign(&statement, &[&key(signer)]).unwrap();
    publish::put_statement(store, &envelope, None).unwrap()
}

/// Store with a record of the bundle `old`, which gateways have accepted without approvals.
struct World {
    store: Store,
    base: Pointer,
    old: Digest,
    new: Digest,
}

impl World {
    fn new() -> Self {
        let store = Store::default();
        let [old, new] = [Digest::of(b"old"), Digest::of(b"new")];
        let base = forge(&store, old, record(1, None), "rita");
        Self {
            store,
            base,
            old,
            new,
        }
    }

    /// Approvals of the change from the base to the bundle `new`.
    fn approvals(&self, signers: &[&str]) -> BTreeSet<Digest> {
        let signers = signers.iter();
        signers
            .map(|signer| signed(&self.store, self.new, approve(Some(self.base)), signer))
            .collect()
    }

    /// Record of the bundle `new` after the base.
    fn next(&self, evidence: &BTreeSet<Digest>) -> Record {
        Record {
            plan: Some(plan()),
            evidence: evidence.clone(),
            ..record(2, Some(self.base))
        }
    }

    fn forge(&self, bundle: Digest, record: Record) -> Pointer {
        forge(&self.store, bundle, record, "rita")
    }

    /// Checks a record as a gateway does that has accepted `known`.
    fn accept(
        &self,
        trust: &Trust,
        known: Option<Pointer>,
        pointer: Pointer,
    ) -> Result<(), Refused> {
        let memory = Memory {
            record: known,
            ..Memory::default()
        };
        let prod = prod();
        let context = context(trust, &prod);
        channel::accept(&self.store, &context, &memory, pointer).map(drop)
    }

    /// Accepts a record of the bundle `new` with this evidence, on a gateway with the base.
    fn accept_next(&self, trust: &Trust, evidence: &BTreeSet<Digest>) -> Result<(), Refused> {
        let pointer = self.forge(self.new, self.next(evidence));
        self.accept(trust, Some(self.base), pointer)
    }
}

fn missing(owners: u32) -> Result<(), Refused> {
    Err(Refused::ApprovalsMissing { owners, needed: 2 })
}

#[test]
fn two_owners_approve_one_after_the_other() {
    let world = World::new();
    let trust = two(keys());
    assert_eq!(world.accept_next(&trust, &[].into()), missing(0));
    let one = world.approvals(&["ann"]);
    assert_eq!(world.accept_next(&trust, &one), missing(1));
    let both = world.approvals(&["ann", "bob"]);
    assert_eq!(world.accept_next(&trust, &both), Ok(()));
    let refused = missing(1).unwrap_err();
    assert_eq!(refused.reason(), "approvals-missing");
    assert_eq!(
        refused.to_string(),
        "1 of the 2 owners that must approve this change have approved it"
    );
    // A trust file without `approvals`, and a different channel, require no approvals.
    let none = trust_of(keys());
    assert_eq!(world.accept_next(&none, &[].into()), Ok(()));
    let staging = "staging".parse().unwrap();
    let other = trust_of(keys()).with_approvals(staging, 2, None).unwrap();
    assert_eq!(world.accept_next(&other, &[].into()), Ok(()));
    // `thresholds.approve` raises the required number of owners.
    let thresholds = Thresholds {
        approve: 3,
        ..Thresholds::ONE
    };
    let three = two(keys()).with_thresholds(thresholds).unwrap();
    let refused = world.accept_next(&three, &both).unwrap_err();
    let expected = Refused::ApprovalsMissing {
        owners: 2,
        needed: 3,
    };
    assert_eq!(refused, expected);
    let all = world.approvals(&["ann", "bob", "eve"]);
    assert_eq!(world.accept_next(&three, &all), Ok(()));
}

#[test]
fn two_keys_of_one_owner_count_once() {
    let world = World::new();
    let mut same = trusted("bob", &[Role::Approve]);
    same.owner = "ann".to_owned();
    let trust = two(vec![
        trusted("rita", &[Role::Release]),
        trusted("ann", &[Role::Approve]),
        same,
    ]);
    let both = world.approvals(&["ann", "bob"]);
    assert_eq!(world.accept_next(&trust, &both), missing(1));
    // Two owners who sign the same statement count as two.
    let statement = Statement {
        subject: vec![world.new],
        predicate: approve(Some(world.base)),
    };
    let envelope = publish::sign(&statement, &[&key("ann"), &key("eve")]).unwrap();
    let digest = publish::put_statement(&world.store, &envelope, None).unwrap();
    let joint = world.accept_next(&two(keys()), &[digest].into());
    assert_eq!(joint, Ok(()));
}

#[test]
fn approval_of_another_change_does_not_count() {
    let world = World::new();
    let trust = two(keys());
    let good = approve(Some(world.base));
    let other = Pointer {
        digest: Digest::of(b"other"),
        serial: 1,
    };
    let staging = "staging".parse().unwrap();
    let table = [
        ("the same change", good.clone(), Ok(())),
        ("no base", approve(None), missing(1)),
        ("another base", approve(Some(other)), missing(1)),
        (
            "another channel",
            Approve {
                channel: staging,
                ..good.clone()
            },
            missing(1),
        ),
        (
            "another project",
            Approve {
                project: "bank".parse().unwrap(),
                ..good.clone()
            },
            missing(1),
        ),
        (
            "another plan",
            Approve {
                plan: Digest::of(b"another plan"),
                ..good.clone()
            },
            missing(1),
        ),
        (
            "expired at the signing time of the record",
            Approve {
                expires: NOON,
                ..good.clone()
            },
            missing(1),
        ),
        (
            "expires after it",
            Approve {
                expires: NOON.plus_s(1),
                ..good.clone()
            },
            Ok(()),
        ),
    ];
    for (what, approve, expected) in table {
        let mut evidence = world.approvals(&["ann"]);
        evidence.insert(signed(&world.store, world.new, approve, "bob"));
        assert_eq!(world.accept_next(&trust, &evidence), expected, "{what}");
    }
    let mut evidence = world.approvals(&["ann"]);
    evidence.insert(signed(&world.store, world.old, good, "bob"));
    assert_eq!(world.accept_next(&trust, &evidence), missing(1), "bundle");
    // A record without a plan has no approvals.
    let mut unplanned = world.next(&world.approvals(&["ann", "bob"]));
    unplanned.plan = None;
    let pointer = world.forge(world.new, unplanned);
    assert_eq!(world.accept(&trust, Some(world.base), pointer), missing(0));
}

#[test]
fn signature_in_another_role_does_not_count() {
    let world = World::new();
    let trust = two(keys());
    for signer in ["ci", "rita", "rob", "nobody"] {
        let evidence = world.approvals(&["ann", signer]);
        assert_eq!(world.accept_next(&trust, &evidence), missing(1), "{signer}");
    }
    // A statement of a different type is no approval, even if an approver signed it.
    let statement = Statement {
        subject: vec![world.new],
        predicate: build(None),
    };
    let envelope = publish::sign(&statement, &[&key("bob")]).unwrap();
    let mut evidence = world.approvals(&["ann"]);
    evidence.insert(publish::put_statement(&world.store, &envelope, None).unwrap());
    assert_eq!(world.accept_next(&trust, &evidence), missing(1));
    // A releaser with a key for both roles can approve, and counts as one owner.
    let mut both = keys();
    both.retain(|key| key.owner != "rita");
    both.push(trusted("rita", &[Role::Release, Role::Approve]));
    let evidence = world.approvals(&["rita", "ann"]);
    assert_eq!(world.accept_next(&two(both), &evidence), Ok(()));
}

#[test]
fn key_counts_only_while_it_is_valid() {
    let world = World::new();
    let evidence = world.approvals(&["ann", "bob"]);
    let with = |change: fn(&mut TrustedKey)| {
        let mut keys = keys();
        let bob = keys.iter_mut().find(|key| key.owner == "bob").unwrap();
        change(bob);
        world.accept_next(&two(keys), &evidence)
    };
    assert_eq!(with(|key| key.state = KeyState::Revoked), missing(1));
    assert_eq!(with(|key| key.not_after = NOON), missing(1));
    assert_eq!(with(|key| key.not_before = NOON.plus_s(1)), missing(1));
    let staging = || bundle::trust::Scope::Channel("staging".parse().unwrap());
    let elsewhere = |key: &mut TrustedKey| key.channels = BTreeSet::from([staging()]);
    let mut keys = keys();
    keys.iter_mut()
        .filter(|key| key.owner == "bob")
        .for_each(elsewhere);
    assert_eq!(world.accept_next(&two(keys), &evidence), missing(1));
    assert_eq!(with(|key| key.state = KeyState::Retired), missing(1));
    let mut keys = self::keys();
    let of_bob = keys.iter_mut().filter(|key| key.owner == "bob");
    of_bob.for_each(|key| key.state = KeyState::Retired);
    let pointer = world.forge(world.new, world.next(&evidence));
    assert_eq!(world.accept(&two(keys), None, pointer), Ok(()));
}

/// A thief of a release key merges the accepted record into a branch with an approved change.
#[test]
fn record_beside_the_accepted_ones_approves_nothing() {
    let world = World::new();
    let evidence = world.approvals(&["ann", "bob"]);
    let released = world.forge(Digest::of(b"other"), record(2, Some(world.base)));
    let beside = world.forge(world.new, world.next(&evidence));
    let mut stolen = Record {
        kind: RecordKind::Rollback,
        serial: 3,
        previous: Some(beside.digest),
        ..world.next(&evidence)
    };
    let unmerged = world.forge(world.new, stolen.clone());
    stolen.merges.insert(released.digest);
    let merged = world.forge(world.new, stolen);
    let trust = two(keys());
    for known in [Some(released), Some(world.base), None] {
        assert_eq!(world.accept(&trust, known, merged), missing(0));
    }
    assert_eq!(world.accept(&trust, Some(world.base), unmerged), Ok(()));
}

#[test]
fn approval_by_a_key_of_the_list_does_not_count() {
    let world = World::new();
    let trust = two(keys());
    let list = Revoke {
        project: project(),
        serial: 1,
        previous: None,
        created: NOON,
        bundles: [].into(),
        credentials: [].into(),
        keys: [key("bob").public().id()].into(),
    };
    let statement = Statement {
        subject: list.subject(),
        predicate: list,
    };
    let envelope = publish::sign(&statement, &[&key("rob")]).unwrap();
    let digest = publish::put_statement(&world.store, &envelope, None).unwrap();
    let mut next = world.next(&world.approvals(&["ann", "bob"]));
    next.revocations = Some(Pointer { digest, serial: 1 });
    let pointer = world.forge(world.new, next);
    assert_eq!(world.accept(&trust, Some(world.base), pointer), missing(1));
}

#[test]
fn accepted_record_stays_accepted() {
    let world = World::new();
    let pointer = world.forge(world.new, world.next(&world.approvals(&["ann"])));
    let without = trust_of(keys());
    assert_eq!(world.accept(&without, Some(world.base), pointer), Ok(()));
    // The trust file requires approvals later than the record, and an approver's key is revoked.
    let mut revoked = keys();
    revoked.iter_mut().for_each(|key| {
        if key.owner == "ann" {
            key.state = KeyState::Revoked;
        }
    });
    let trust = two(revoked);
    assert_eq!(world.accept(&trust, Some(pointer), pointer), Ok(()));
    let prod = prod();
    let context = context(&trust, &prod);
    let memory = Memory {
        revocations: Revocations::none(),
        ..Memory::default()
    };
    channel::recall(&world.store, &context, &memory, pointer).unwrap();
    // A node without state refuses the record.
    assert_eq!(world.accept(&trust, None, pointer), missing(0));
}

#[test]
fn missing_or_damaged_approval_is_refused_by_name() {
    let world = World::new();
    let trust = two(keys());
    let mut evidence = world.approvals(&["ann", "bob"]);
    let absent = Digest::of(b"absent");
    evidence.insert(absent);
    let refused = world.accept_next(&trust, &evidence).unwrap_err();
    assert_eq!(refused, Refused::BlobMissing { digest: absent });
    assert!(!refused.permanent());
    let many: BTreeSet<Digest> = (0..65_u8).map(|one| Digest::of(&[one])).collect();
    let refused = world.accept_next(&trust, &many).unwrap_err();
    assert_eq!(refused.reason(), "too-large");
}

/// Releases `new` with two approvals, then `newer` with two approvals. Returns the records, and the
/// approvals of `new`.
fn two_releases(world: &World) -> ([Pointer; 2], BTreeSet<Digest>) {
    let evidence = world.approvals(&["ann", "bob"]);
    let one = world.forge(world.new, world.next(&evidence));
    let newer = Digest::of(b"newer");
    let approvals = ["ann", "eve"]
        .map(|signer| signed(&world.store, newer, approve(Some(one)), signer))
        .into();
    let next = Record {
        plan: Some(plan()),
        evidence: approvals,
        ..record(3, Some(one))
    };
    ([one, world.forge(newer, next)], evidence)
}

#[test]
fn rollback_repeats_the_approvals_of_its_bundle() {
    let world = World::new();
    let trust = two(keys());
    let ([one, newer], evidence) = two_releases(&world);
    let back = |kind, evidence: &BTreeSet<Digest>| {
        let back = Record {
            kind,
            plan: Some(Digest::of(b"plan of the rollback")),
            evidence: evidence.clone(),
            created: NOON.plus_s(200),
            ..record(4, Some(newer))
        };
        let pointer = world.forge(world.new, back);
        world.accept(&trust, Some(newer), pointer)
    };
    for kind in [RecordKind::Rollback, RecordKind::Pin] {
        assert_eq!(back(kind, &evidence), Ok(()), "{kind}");
        assert_eq!(back(kind, &[].into()), missing(0), "{kind}");
    }
    // A release needs approvals of its own.
    assert_eq!(back(RecordKind::Release, &evidence), missing(0));
    assert_eq!(world.accept(&trust, Some(one), newer), Ok(()));
}

#[test]
fn rollback_to_an_unapproved_bundle_is_refused() {
    let world = World::new();
    let trust = two(keys());
    let ([_, head], evidence) = two_releases(&world);
    // A thief of a release key publishes a record without approvals, which is refused …
    let evil = Digest::of(b"evil");
    let stolen = world.forge(evil, record(4, Some(head)));
    assert_eq!(world.accept(&trust, Some(head), stolen), missing(0));
    // … and then records that repeat its bundle. Approvals of other bundles do not help.
    for kind in [RecordKind::Rollback, RecordKind::Pin] {
        let back = Record {
            kind,
            evidence: evidence.clone(),
            ..record(5, Some(stolen))
        };
        let pointer = world.forge(evil, back);
        assert_eq!(world.accept(&trust, Some(head), pointer), missing(0));
    }
    // A valid record after the stolen one is accepted, so that the thief cannot block the channel …
    let good = Record {
        kind: RecordKind::Rollback,
        evidence: evidence.clone(),
        ..record(5, Some(stolen))
    };
    let good = world.forge(world.new, good);
    assert_eq!(world.accept(&trust, Some(head), good), Ok(()));
    // … but this does not approve the bundle of the refused record.
    let again = Record {
        kind: RecordKind::Rollback,
        evidence,
        ..record(6, Some(good))
    };
    let again = world.forge(evil, again);
    assert_eq!(world.accept(&trust, Some(good), again), missing(0));
}

#[test]
fn records_until_the_rule_need_no_approvals() {
    let world = World::new();
    let second = world.forge(world.new, record(2, Some(world.base)));
    let trust = trust_of(keys());
    let trust = trust
        .with_approvals(prod(), 2, Some(second.digest))
        .unwrap();
    // A new gateway starts with the newest record, and older bundles are targets of rollbacks.
    assert_eq!(world.accept(&trust, None, second), Ok(()));
    let mut back = record(3, Some(second));
    back.kind = RecordKind::Rollback;
    let never = world.forge(Digest::of(b"never released"), back.clone());
    let back = world.forge(world.old, back);
    for known in [Some(second), None] {
        assert_eq!(world.accept(&trust, known, back), Ok(()));
        assert_eq!(world.accept(&trust, known, never), missing(0));
    }
    // A fork from an earlier record does not count as a record before `approvals_after`.
    let fork = world.forge(Digest::of(b"evil"), record(2, Some(world.base)));
    assert_eq!(world.accept(&trust, None, fork), missing(0));
    let next = world.forge(Digest::of(b"later"), record(3, Some(second)));
    assert_eq!(world.accept(&trust, Some(second), next), missing(0));
}

#[test]
fn base_of_a_rollout_needs_approvals() {
    let world = World::new();
    let trust = two(keys());
    let ([one, _], evidence) = two_releases(&world);
    let step = |base: Pointer, previous: Pointer, kind| {
        let next = Record {
            kind,
            evidence: evidence.clone(),
            rollout: Rollout::first(base, &[50_000], None),
            ..record(previous.serial + 1, Some(previous))
        };
        world.forge(world.new, next)
    };
    // The thief's complete record is the base of a step whose own bundle is approved.
    let stolen = world.forge(Digest::of(b"evil"), record(3, Some(one)));
    let bad = step(stolen, stolen, RecordKind::Pin);
    assert_eq!(world.accept(&trust, Some(one), bad), missing(0));
    let good = step(one, one, RecordKind::Pin);
    assert_eq!(world.accept(&trust, Some(one), good), Ok(()));
}

#[test]
fn each_step_repeats_the_approvals_of_the_first() {
    let world = World::new();
    let trust = trust_of(keys());
    let trust = trust
        .with_approvals(prod(), 2, Some(world.base.digest))
        .unwrap();
    let evidence = world.approvals(&["ann", "bob"]);
    let mut first = world.next(&evidence);
    first.rollout = Rollout::first(world.base, &[50_000], None);
    let first = world.forge(world.new, first);
    assert_eq!(world.accept(&trust, Some(world.base), first), Ok(()));
    let complete = Record {
        kind: RecordKind::Pin,
        plan: Some(plan()),
        evidence,
        ..record(3, Some(first))
    };
    let complete = world.forge(world.new, complete);
    assert_eq!(world.accept(&trust, Some(first), complete), Ok(()));
    assert_eq!(world.accept(&trust, None, complete), Ok(()));
    let prod = prod();
    let read = channel::read(&world.store, &complete.digest).unwrap();
    let context = context(&trust, &prod);
    let digest = Some(complete.digest);
    let approved = approval::check(&world.store, &context, digest, read.bundle, &read.record);
    let owners = ["ann", "bob"].map(str::to_owned);
    assert_eq!(approved, Ok(Approved::By(owners.into())));
}

/// Store in a folder with a release of `one`, and an approval of `two` as the next change.
fn with_pending(root: &std::path::Path) -> (Folder, Pointer, Digest) {
    let store = Folder::create(root).unwrap();
    let base = ship(&store, "one");
    let next = bundle("two");
    put(&store, &next);
    let descriptor = publish::put_bundle(&store, &next).unwrap();
    let digest = pending::put(&store, &descriptor, approve(Some(base)), &[&key("ann")]).unwrap();
    (store, base, digest)
}

#[test]
fn approvals_are_listed_by_their_base() {
    let root = tempfile::tempdir().unwrap();
    let (store, base, digest) = with_pending(root.path());
    let next = bundle("two").id();
    let digests = |base| -> Vec<Digest> {
        let listed = pending::listed(&store, base, next).unwrap();
        listed.iter().map(|listed| listed.digest).collect()
    };
    assert_eq!(digests(Some(base.digest)), [digest]);
    assert_eq!(digests(None), []);
    let first = publish::put_bundle(&store, &bundle("two")).unwrap();
    let first = pending::put(&store, &first, approve(None), &[&key("bob")]).unwrap();
    assert_eq!(digests(None), [first]);
    let changes = pending::next_changes(&store, &prod()).unwrap();
    assert_eq!((changes.len(), changes[0].bundle), (1, next));
    let empty = pending::next_changes(&store, &"empty".parse().unwrap());
    assert_eq!(empty, Ok(Vec::new()));
}

#[test]
fn clean_up_keeps_approvals_of_the_next_change() {
    let root = tempfile::tempdir().unwrap();
    let (store, base, digest) = with_pending(root.path());
    let next = bundle("two").id();
    let clean = |store: &Folder| {
        let kept = sweep::retained(store, 20).unwrap();
        let garbage = sweep::garbage(store, &kept, Moment::MAX).unwrap();
        sweep::remove(store, &garbage).unwrap();
    };
    clean(&store);
    assert!(stored::open(&store, &digest).is_ok());
    assert!(store.size(&next).unwrap().is_some());
    assert_eq!(publish::build_statements(&store, &next).unwrap().len(), 1);
    assert_eq!(
        pending::listed(&store, Some(base.digest), next)
            .unwrap()
            .len(),
        1
    );
    // The channel moves to another bundle: the approval and its bundle are garbage.
    ship(&store, "three");
    clean(&store);
    assert!(stored::open(&store, &digest).is_err());
    assert_eq!(store.size(&next), Ok(None));
}

#[test]
fn copied_store_has_the_approvals_of_the_next_change() {
    let roots = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (store, base, digest) = with_pending(roots[0].path());
    let copy = Folder::create(roots[1].path()).unwrap();
    let copied = replicate(&store, &copy, &[prod()]).unwrap();
    assert_eq!((copied.links, copied.bundles, copied.approvals), (1, 2, 1));
    let next = bundle("two").id();
    let listed = pending::listed(&copy, Some(base.digest), next).unwrap();
    assert_eq!(listed[0].digest, digest);
    assert_eq!(publish::build_statements(&copy, &next).unwrap().len(), 1);
    let again = replicate(&store, &copy, &[prod()]).unwrap();
    assert_eq!((again.links, again.approvals), (0, 0));
}

#[test]
fn rule_in_the_trust_file_is_checked() {
    let with = |settings: &str| {
        let text = format!(
            "{{\"project\": \"shop\", \"channels\": {{\"prod\": {settings}}}, \"keys\": []}}"
        );
        Trust::parse(text.as_bytes())
    };
    let digest = Digest::of(b"record");
    let trust = with(&format!(
        "{{\"approvals\": 2, \"approvals_after\": \"{digest}\"}}"
    ));
    let trust = trust.unwrap();
    let rule = trust.approvals(&prod()).unwrap();
    assert_eq!((rule.owners, rule.after), (2, Some(digest)));
    assert!(!trust.has_floors(&prod()));
    assert_eq!(Trust::parse(trust.to_json().as_bytes()), Ok(trust));
    assert_eq!(with("{\"approvals\": 0}").unwrap().approvals(&prod()), None);
    assert!(with("{}").unwrap().has_floors(&prod()));
    for bad in [
        "{\"approvals\": 17}",
        "{\"approvals\": -1}",
        "{\"approvals\": 2, \"approvals_after\": \"sha256:12\"}",
        "{\"approvals\": 2, \"approval_after\": null}",
    ] {
        assert_eq!(with(bad).unwrap_err().reason(), "malformed", "{bad}");
    }
    let useless = with(&format!("{{\"approvals_after\": \"{digest}\"}}"));
    assert!(useless.unwrap_err().to_string().contains("no effect"));
    let floors = bundle::trust::Floors {
        min_serial: 3,
        min_revocations: 1,
    };
    let plain = Trust::new(project()).with_floors(prod(), floors).unwrap();
    assert!(!plain.to_json().contains("approvals"), "the bytes are kept");
    let both = plain.with_approvals(prod(), 1, None).unwrap();
    assert_eq!(both.floors(&prod()), floors);
    let approvers = two(keys());
    let names: Vec<&str> = approvers.approvers(&prod(), NOON).into_iter().collect();
    assert_eq!(names, ["ann", "bob", "eve"]);
}
