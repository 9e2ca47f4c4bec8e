//! Detection of damage. A flipped bit in any byte that a gateway reads is refused with a reason. A
//! flipped bit elsewhere has no effect.

use std::collections::BTreeSet;

use bundle::channel::Context;
use bundle::digest::Digest;
use bundle::follow;
use bundle::publish::{self, Revocation};
use bundle::refused::Refused;
use bundle::source;
use bundle::store::memory::{Content, Memory as Store};
use bundle::verify::{Runtime, Unverified};

use crate::fixture::*;

/// Creates a store with a revocation list, a source artifact and two successive releases.
fn content() -> (Content, Digest) {
    let store = Store::default();
    ship(&store, "one");
    let added = Revocation {
        credentials: [Digest::of(b"secret")].into(),
        ..Revocation::default()
    };
    revoke(&store, added, "rob");
    let two = bundle("two");
    let descriptor = publish::put_bundle(&store, &two).unwrap();
    let source = source::put(&store, b"{\"explains\":1}", descriptor.clone()).unwrap();
    let evidence =
        publish::put_build(&store, descriptor, build(Some(source)), &[&key("ci")]).unwrap();
    let mut draft = draft(two.id(), &[evidence]);
    draft.source = Some(source);
    release(&store, draft).unwrap();
    (store.into_content(), source)
}

fn run(store: &Store, state: &Store, context: &Context<'_>) -> Result<Runtime, Refused> {
    let memory = follow::remember(state, context)?;
    let head = follow::head(store, context, &memory)?.expect("there are records");
    let verified = follow::bundle(store, context, &head.accepted, &[])?;
    let runtime = verified.load_runtime(store)?;
    follow::keep(store, state, &head.accepted, &verified).expect("what was read can be kept");
    let _poorer = follow::keep_source(store, state, &head.accepted);
    Ok(runtime)
}

/// Blobs that a gateway reads to run the head.
fn read_blobs(content: &Content, context: &Context<'_>) -> BTreeSet<Digest> {
    let all: Vec<Digest> = content.blobs.keys().copied().collect();
    let needed = all.into_iter().filter(|digest| {
        let mut without = content.clone();
        without.blobs.remove(digest);
        run(&Store::new(without), &Store::default(), context).is_err()
    });
    needed.collect()
}

#[test]
fn flipped_byte_is_refused_by_name_or_never_read() {
    let (content, source) = content();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let good = run(&Store::new(content.clone()), &Store::default(), &context).unwrap();
    let read = read_blobs(&content, &context);
    // Manifest and envelope of the record, of the evidence and of the list (6 blobs); manifest,
    // config, shared part, consumers, behaviour and document of the bundle (6 blobs).
    assert_eq!(read.len(), 12);
    let two = bundle("two");
    let contract = two.layers().apis[0].contract.digest;
    assert!(!read.contains(&contract));
    assert!(!read.contains(&source));

    let mut flips = 0;
    for digest in content.blobs.keys() {
        // Test only a sample of the bytes of blobs that are never read.
        let step = if read.contains(digest) { 1 } else { 64 };
        for position in (0..content.blobs[digest].len()).step_by(step) {
            let mut damaged = content.clone();
            let bytes = damaged.blobs.get_mut(digest).unwrap();
            bytes[position] ^= 1 << (position % 8);
            let result = run(&Store::new(damaged), &Store::default(), &context);
            flips += 1;
            match read.contains(digest) {
                true => assert_eq!(
                    result,
                    Err(Refused::BadDigest { expected: *digest }),
                    "{digest} at {position}"
                ),
                false => assert_eq!(result.as_ref(), Ok(&good), "{digest} at {position}"),
            }
        }
    }
    assert!(flips > 4_000, "{flips}");
}

#[test]
fn a_shorter_or_longer_blob_is_refused() {
    let (content, _) = content();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    for digest in read_blobs(&content, &context) {
        for change in [
            |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1),
            |bytes: &mut Vec<u8>| bytes.push(b' '),
            |bytes: &mut Vec<u8>| bytes.clear(),
        ] {
            let mut damaged = content.clone();
            change(damaged.blobs.get_mut(&digest).unwrap());
            let refused = run(&Store::new(damaged), &Store::default(), &context).unwrap_err();
            assert_eq!(refused, Refused::BadDigest { expected: digest });
        }
    }
}

#[test]
fn a_damaged_contract_is_refused_by_gwc_only() {
    let (mut content, _) = content();
    let two = bundle("two");
    let contract = two.layers().apis[0].contract.digest;
    content.blobs.get_mut(&contract).unwrap()[0] ^= 1;
    let store = Store::new(content);
    let unverified = Unverified::open(&store, two.id()).unwrap();
    let refused = unverified.load_full(&store).unwrap_err();
    assert_eq!(refused, Refused::BadDigest { expected: contract });
    let (trust, prod) = (trust(), prod());
    assert!(run(&store, &Store::default(), &context(&trust, &prod)).is_ok());
}

#[test]
fn a_damaged_state_folder_is_refused_by_name_too() {
    let (content, source) = content();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let state = Store::default();
    run(&Store::new(content), &state, &context).unwrap();
    let state = state.into_content();
    let restart = |state: Content| -> Result<Runtime, Refused> {
        let state = Store::new(state);
        let memory = follow::remember(&state, &context)?;
        let mut kept = follow::stored_records(&state, &context, &memory.revocations, 10)?;
        if let Some((_, refused)) = kept.refused.pop() {
            return Err(refused);
        }
        let newest = kept.accepted.remove(0);
        let verified = follow::bundle(&state, &context, &newest, &[])?;
        verified.load_runtime(&state)
    };
    let good = restart(state.clone()).unwrap();
    let mut refused = 0;
    let mut poorer = 0;
    for digest in state.blobs.keys() {
        let mut damaged = state.clone();
        damaged.blobs.get_mut(digest).unwrap()[1] ^= 4;
        match restart(damaged.clone()) {
            Err(reason) => {
                assert_eq!(reason, Refused::BadDigest { expected: *digest });
                refused += 1;
            }
            Ok(runtime) => {
                assert_eq!(runtime, good);
                let damaged = Store::new(damaged);
                poorer += u32::from(source::read(&damaged, &source).is_err());
            }
        }
    }
    // A restart refuses damage to 10 of the 12 blobs that gwd reads. Damage to the other two, those
    // of the revocation list, changes neither number: the list is not remembered, and is fetched
    // again. Two more damaged blobs only make the source artifact unreadable.
    assert_eq!((refused, poorer), (10, 2));
}

#[test]
fn damaged_record_or_list_admits_no_older_store() {
    let (content, _) = content();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let store = Store::new(content);
    let older = Store::default();
    ship(&older, "one");
    let state = Store::default();
    run(&store, &state, &context).unwrap();
    let newest = follow::remember(&state, &context).unwrap();
    let (record, list) = (
        newest.record.unwrap(),
        newest.revocations.pointer().unwrap(),
    );
    assert!(record.serial > 1, "there is something older");
    let state = state.into_content();
    for damaged in [record, list] {
        let mut content = state.clone();
        content.blobs.get_mut(&damaged.digest).unwrap()[1] ^= 4;
        let memory = follow::remember(&Store::new(content), &context).unwrap();
        let refused = follow::head(&older, &context, &memory).unwrap_err();
        let reasons = ["replayed", "revocations-withheld"];
        assert!(reasons.contains(&&*refused.reason()), "{refused}");
        // `store` has intact copies of the record and the list, so gwd accepts its head.
        let head = follow::head(&store, &context, &memory).unwrap().unwrap();
        assert_eq!(head.accepted.pointer(), record);
        assert_eq!(head.accepted.revocations().serial(), list.serial);
    }
}

/// There is no revocation list, so only the serial of the damaged record can cause the refusal of
/// the older store.
#[test]
fn a_damaged_record_keeps_its_serial_as_a_floor() {
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let mut content = Content::default();
    let [first, second, third] = ["one", "two", "three"].map(|name| {
        let store = Store::new(std::mem::take(&mut content));
        ship(&store, name);
        content = store.into_content();
        Store::new(content.clone())
    });
    let state = Store::default();
    run(&first, &state, &context).unwrap();
    run(&third, &state, &context).unwrap();
    let newest = follow::remember(&state, &context).unwrap().record.unwrap();
    assert_eq!(newest.serial, 3);
    let mut state = state.into_content();
    state.blobs.get_mut(&newest.digest).unwrap()[1] ^= 4;
    let memory = follow::remember(&Store::new(state), &context).unwrap();
    assert_eq!(
        memory.record.unwrap().serial,
        1,
        "the first record is intact"
    );
    let refused = follow::head(&second, &context, &memory).unwrap_err();
    assert_eq!(refused.reason(), "replayed");
    // The third store has an intact copy of the damaged record, so gwd accepts its head.
    let head = follow::head(&third, &context, &memory).unwrap().unwrap();
    assert_eq!(head.accepted.pointer(), newest);
}
