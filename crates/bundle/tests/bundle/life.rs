//! Life cycle of a change: build, sign, release, follow, copy, roll back, revoke.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::follow;
use bundle::history;
use bundle::publish::{self, Revocation};
use bundle::source;
use bundle::statement::predicate::RecordKind;
use bundle::store::folder::Folder;

use crate::fixture::*;

#[test]
fn bundle_survives_build_rollback_and_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = Folder::create(&folder.path().join("store")).unwrap();
    let state = Folder::create(&folder.path().join("state")).unwrap();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);

    // As gwc: make two releases.
    let one = bundle("one");
    let descriptor = publish::put_bundle(&store, &one).unwrap();
    let source = source::put(&store, b"{}", descriptor.clone()).unwrap();
    let evidence =
        publish::put_build(&store, descriptor, build(Some(source)), &[&key("ci")]).unwrap();
    let mut first = draft(one.id(), &[evidence]);
    first.source = Some(source);
    let first = release(&store, first).unwrap();
    assert_eq!(first.serial, 1);

    // As gwd: follow the channel, load the bundle, copy it.
    let memory = follow::remember(&state, &context).unwrap();
    assert_eq!(memory, nothing());
    let head = follow::head(&store, &context, &memory).unwrap().unwrap();
    assert_eq!(head.accepted.bundle(), one.id());
    assert_eq!(head.revocations_refused, None);
    let verified = follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
    let runtime = verified.load_runtime(&store).unwrap();
    assert_eq!(runtime.shared.bytes, b"shared one");
    assert_eq!(runtime.apis[0].bytes, b"behaviour one");
    assert_eq!(runtime.documents[0].bytes, b"document one");
    let full = verified.load_full(&store).unwrap();
    assert_eq!(full.contracts[0].bytes, b"contract one");
    follow::keep(&store, &state, &head.accepted, &verified).unwrap();
    assert!(
        source::read(&state, &source).is_err(),
        "nothing waits for it"
    );
    follow::keep_source(&store, &state, &head.accepted).unwrap();

    let second = ship(&store, "two");
    let memory = follow::remember(&state, &context).unwrap();
    assert_eq!(memory.record, Some(first));
    let head = follow::head(&store, &context, &memory).unwrap().unwrap();
    assert_eq!(head.accepted.pointer(), second);
    let verified = follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
    follow::keep(&store, &state, &head.accepted, &verified).unwrap();

    // As gwc: publish a rollback, which is a new record.
    let mut back = draft(one.id(), &[evidence]);
    back.kind = RecordKind::Rollback;
    let third = release(&store, back).unwrap();
    assert_eq!(third.serial, 3);
    let memory = follow::remember(&state, &context).unwrap();
    let head = follow::head(&store, &context, &memory).unwrap().unwrap();
    assert_eq!(head.accepted.bundle(), one.id());
    let verified = follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
    follow::keep(&store, &state, &head.accepted, &verified).unwrap();

    let history = history::walk(&store, Some(&trust), &prod, 100).unwrap();
    let serials: Vec<_> = history.entries.iter().map(|e| e.pointer.serial).collect();
    assert_eq!(serials, [3, 2, 1]);
    assert_eq!(history.broken, None);
    let entry = &history.entries[0];
    assert!(
        entry
            .signed
            .as_ref()
            .unwrap()
            .as_ref()
            .unwrap()
            .owners
            .contains("rita")
    );
    assert_eq!(entry.build.as_ref().unwrap().builder.gwc, "0.1.0");

    // As gwd: start from the state folder, without the store.
    drop(store);
    let state = Folder::open(&folder.path().join("state")).unwrap();
    let memory = follow::remember(&state, &context).unwrap();
    assert_eq!(memory.record, Some(third));
    let kept = follow::stored_records(&state, &context, &memory.revocations, 10).unwrap();
    assert_eq!((kept.accepted.len(), kept.refused.len()), (3, 0));
    for accepted in kept.accepted {
        let verified = follow::bundle(&state, &context, &accepted, &[]).unwrap();
        verified.load_runtime(&state).unwrap();
        assert!(
            verified.load_full(&state).is_err(),
            "contracts are not kept"
        );
    }
    assert_eq!(source::read(&state, &source).unwrap(), b"{}");
}

#[test]
fn revoked_bundle_never_runs_and_credential_is_known() {
    let store = bundle::store::memory::Memory::default();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    ship(&store, "one");
    let bad = bundle("one").id();
    let credential = Digest::of(b"secret");
    let added = Revocation {
        bundles: BTreeSet::from([bad]),
        credentials: BTreeSet::from([credential]),
        ..Revocation::default()
    };
    let list = publish::revoke(
        &store,
        Some(&trust),
        project(),
        (&crate::fixture::prod(), added),
        NOON,
        &[&key("rob")],
    );
    let list = list.unwrap();
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    assert_eq!(head.accepted.revocations().pointer(), Some(list));
    assert!(head.accepted.revocations().has_credential(&credential));
    let refused = follow::bundle(&store, &context, &head.accepted, &[]).unwrap_err();
    assert_eq!(refused.reason(), "revoked");
}
