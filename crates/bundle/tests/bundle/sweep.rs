//! Clean-up removes unused bundles, but never records.

use std::collections::BTreeSet;

use bundle::follow;
use bundle::history;
use bundle::moment::Moment;
use bundle::publish;
use bundle::revocation::Revocations;
use bundle::source;
use bundle::store::folder::Folder;
use bundle::store::{Blobs as _, Store as _};
use bundle::sweep;
use bundle::verify::Unverified;

use crate::fixture::*;

#[test]
fn old_bundles_go_and_records_stay() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    for name in ["one", "two", "three"] {
        ship(&store, name);
    }
    let never_released = bundle("four");
    put(&store, &never_released);
    let added = publish::Revocation {
        bundles: BTreeSet::from([bundle("one").id()]),
        ..publish::Revocation::default()
    };
    revoke(&store, added, "rob");

    let keep = sweep::retained(&store, 2).unwrap();
    assert_eq!(
        keep,
        BTreeSet::from(["two", "three"].map(|name| bundle(name).id()))
    );
    // All files are recent: nothing is removed.
    assert_eq!(sweep::garbage(&store, &keep, Moment::EPOCH).unwrap(), []);
    let garbage = sweep::garbage(&store, &keep, Moment::MAX).unwrap();
    sweep::remove(&store, &garbage).unwrap();

    for name in ["two", "three"] {
        let unverified = Unverified::open(&store, bundle(name).id()).unwrap();
        unverified.load_full(&store).unwrap();
    }
    for name in ["one", "four"] {
        assert_eq!(store.size(&bundle(name).id()).unwrap(), None, "{name}");
        assert!(
            publish::build_statements(&store, &bundle(name).id())
                .unwrap()
                .is_empty()
        );
    }
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let found = history::walk(&store, Some(&trust), &prod, 10).unwrap();
    assert_eq!((found.entries.len(), found.broken), (3, None));
    let head = follow::head(&store, &context, &nothing()).unwrap().unwrap();
    follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
    assert!(head.accepted.revocations().has_bundle(&bundle("one").id()));
    assert_eq!(sweep::garbage(&store, &keep, Moment::MAX).unwrap(), []);
}

#[test]
fn sources_go_with_their_bundles_and_stay_with_them() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let released = ["one", "two", "three"].map(|name| {
        let bundle = bundle(name);
        let descriptor = publish::put_bundle(&store, &bundle).unwrap();
        let text = format!("{{\"explains\":\"{name}\"}}");
        let source = source::put(&store, text.as_bytes(), descriptor.clone()).unwrap();
        let evidence =
            publish::put_build(&store, descriptor, build(Some(source)), &[&key("ci")]).unwrap();
        let mut draft = draft(bundle.id(), &[evidence]);
        draft.source = Some(source);
        release(&store, draft).unwrap();
        source
    });
    let keep = sweep::retained(&store, 2).unwrap();
    let garbage = sweep::garbage(&store, &keep, Moment::MAX).unwrap();
    sweep::remove(&store, &garbage).unwrap();
    let readable = released.map(|source| source::read(&store, &source).is_ok());
    assert_eq!(readable, [false, true, true]);
}

/// Statements and sources of an unreleased bundle stay as long as the bundle.
#[test]
fn statements_and_sources_of_a_kept_bundle_stay() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let [kept, dropped] = ["one", "two"].map(|name| {
        let bundle = bundle(name);
        let descriptor = publish::put_bundle(&store, &bundle).unwrap();
        let text = format!("{{\"explains\":\"{name}\"}}");
        let source = source::put(&store, text.as_bytes(), descriptor.clone()).unwrap();
        let built =
            publish::put_build(&store, descriptor, build(Some(source)), &[&key("ci")]).unwrap();
        (bundle.id(), source, built)
    });
    let keep = BTreeSet::from([kept.0]);
    let garbage = sweep::garbage(&store, &keep, Moment::MAX).unwrap();
    sweep::remove(&store, &garbage).unwrap();
    assert!(source::read(&store, &kept.1).is_ok());
    assert!(store.size(&kept.2).unwrap().is_some(), "the statement");
    assert!(source::read(&store, &dropped.1).is_err());
    assert!(store.size(&dropped.2).unwrap().is_none());
}

/// A writer stores blobs first and the manifest last; a blob may be much older than its bundle.
#[test]
fn a_young_bundle_keeps_its_old_blobs() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let one = bundle("one");
    put(&store, &one);
    let blobs = root.path().join("blobs/sha256");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
    for file in std::fs::read_dir(&blobs).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap().to_str() != Some(&*one.id().hex()) {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(long_ago).unwrap();
        }
    }
    let garbage = sweep::garbage(&store, &BTreeSet::new(), Moment::from_unix_s(2_000)).unwrap();
    assert_eq!(garbage, []);
    let unverified = Unverified::open(&store, one.id()).unwrap();
    unverified.load_full(&store).unwrap();
}

#[test]
fn nothing_is_removed_if_a_record_is_unreadable() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let first = ship(&store, "one");
    store.put(b"garbage").unwrap();
    let path = root.path().join("blobs/sha256").join(first.digest.hex());
    std::fs::write(path, "damaged").unwrap();
    assert!(sweep::garbage(&store, &BTreeSet::new(), Moment::MAX).is_err());
}

#[test]
fn a_state_folder_is_cleaned_too() {
    let root = tempfile::tempdir().unwrap();
    let state = Folder::create(root.path()).unwrap();
    let store = bundle::store::memory::Memory::default();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    for name in ["one", "skipped", "two", "three"] {
        ship(&store, name);
        if name == "skipped" {
            continue;
        }
        let memory = follow::remember(&state, &context).unwrap();
        let head = follow::head(&store, &context, &memory).unwrap().unwrap();
        let verified = follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
        follow::keep(&store, &state, &head.accepted, &verified).unwrap();
    }
    let keep = BTreeSet::from([bundle("three").id()]);
    let garbage = sweep::garbage(&state, &keep, Moment::MAX).unwrap();
    sweep::remove(&state, &garbage).unwrap();
    let kept = follow::stored_records(&state, &context, &Revocations::none(), 10).unwrap();
    let runs: Vec<_> = kept
        .accepted
        .iter()
        .map(|accepted| follow::bundle(&state, &context, accepted, &[]).is_ok())
        .collect();
    assert_eq!(runs, [true, false, false], "records stay, bundles go");
}
