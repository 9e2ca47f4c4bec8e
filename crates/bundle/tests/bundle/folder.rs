//! Tests of the folder store: an OCI image layout with atomic writes, in which only one writer can
//! create a link.

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use bundle::digest::Digest;
use bundle::follow;
use bundle::publish;
use bundle::refused::Refused;
use bundle::store::folder::Folder;
use bundle::store::{self, Batch, Blobs as _, Chain, Link, Store as _, WriteError};

use crate::fixture::*;

fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap();
                found.push(name.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_layout_is_what_the_specification_says() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let pointer = ship(&store, "one");
    let link = fs::read_to_string(root.path().join("channels/prod/00000000000000000001")).unwrap();
    assert_eq!(link, format!("{}\n", pointer.digest));
    let layout = fs::read_to_string(root.path().join("oci-layout")).unwrap();
    assert_eq!(layout, r#"{"imageLayoutVersion":"1.0.0"}"#);
    let others: Vec<_> = files(root.path())
        .into_iter()
        .filter(|name| !name.starts_with("blobs/sha256/"))
        .collect();
    let expected = [
        "channels/prod/00000000000000000001",
        "index.json",
        "index.lock",
        "oci-layout",
        "store.lock",
    ];
    assert_eq!(others, expected);
    for name in files(&root.path().join("blobs/sha256")) {
        let bytes = fs::read(root.path().join("blobs/sha256").join(&name)).unwrap();
        assert_eq!(Digest::of(&bytes).hex(), name);
    }
    let index = fs::read(root.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let build = publish::build_statements(&store, &bundle("one").id()).unwrap()[0];
    let mut names: Vec<(String, String)> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            (text(name), text(&entry["digest"]))
        })
        .collect();
    names.sort();
    let expected = [
        (
            format!("b-{}", bundle("one").id().hex()),
            bundle("one").id(),
        ),
        ("ch-prod-1".to_owned(), pointer.digest),
        (format!("s-{}", build.hex()), build),
    ];
    assert_eq!(
        names,
        expected.map(|(name, digest)| (name, digest.to_string()))
    );
}

#[test]
fn two_writers_at_once_have_one_winner() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let chain = Chain::Channel(prod());
    let digests: Vec<_> = (0..8u8).map(|n| Digest::of(&[n])).collect();
    for serial in 1..=20 {
        let barrier = Barrier::new(digests.len());
        let results: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = digests
                .iter()
                .map(|digest| {
                    let (barrier, chain) = (&barrier, &chain);
                    let store = Folder::open(root.path()).unwrap();
                    scope.spawn(move || {
                        barrier.wait();
                        store.create_link(chain, serial, digest)
                    })
                })
                .collect();
            writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect()
        });
        let winners: Vec<_> = (0..8).filter(|n| results[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        let losers = results
            .iter()
            .filter(|r| **r == Err(WriteError::Conflict { serial }));
        assert_eq!(losers.count(), 7);
        assert_eq!(
            store.link(&chain, serial).unwrap(),
            Some(digests[winners[0]])
        );
    }
    assert_eq!(store.serials(&chain).unwrap(), (1..=20).collect::<Vec<_>>());
    assert!(files(root.path()).iter().all(|name| !name.contains("tmp")));
}

#[test]
fn two_releases_at_once_have_one_winner() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let evidence: Vec<_> = ["one", "two"]
        .map(|name| put(&store, &bundle(name)))
        .to_vec();
    let barrier = Barrier::new(2);
    let results: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = ["one", "two"]
            .into_iter()
            .zip(evidence)
            .map(|(name, evidence)| {
                let (barrier, store) = (&barrier, &store);
                scope.spawn(move || {
                    let draft = draft(bundle(name).id(), &[evidence]);
                    let statement = publish::prepare(store, None, draft, Some(None)).unwrap();
                    let envelope = publish::sign(&statement, &[&key("rita")]).unwrap();
                    barrier.wait();
                    publish::publish(store, &envelope)
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    let won = results.iter().filter(|result| result.is_ok()).count();
    let lost = results
        .iter()
        .filter(|r| **r == Err(WriteError::Conflict { serial: 1 }))
        .count();
    assert_eq!((won, lost), (1, 1), "{results:?}");
}

#[test]
fn concurrent_writers_leave_a_whole_index() {
    let root = tempfile::tempdir().unwrap();
    Folder::create(root.path()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = Folder::open(root.path()).unwrap();
            scope.spawn(move || {
                for n in 0..5 {
                    put(&store, &bundle(&format!("{}", (writer + n) % 5)));
                }
            });
        }
    });
    let store = Folder::open(root.path()).unwrap();
    let before = fs::read(root.path().join("index.json")).unwrap();
    assert_eq!(store.manifests().unwrap().len(), 10);
    assert_eq!(
        fs::read(root.path().join("index.json")).unwrap(),
        before,
        "it was right"
    );
}

#[test]
fn a_wrong_index_is_rebuilt_and_never_followed() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    ship(&store, "one");
    let path = root.path().join("index.json");
    let good = fs::read(&path).unwrap();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let damages: [&[u8]; 4] = [b"", b"{}", b"not json", &good[..good.len() / 2]];
    for damage in damages {
        fs::write(&path, damage).unwrap();
        assert!(follow::head(&store, &context, &nothing()).is_ok());
        put(&store, &bundle("one"));
        assert_eq!(fs::read(&path).unwrap(), good);
    }
    // A well-formed index that lacks a manifest, or has a wrong name.
    let text = String::from_utf8(good.clone()).unwrap();
    let first = text.find(",{\"mediaType\"").unwrap();
    let second = text.find("]}").unwrap();
    let lacking = [&good[..first], &good[second..]].concat();
    for wrong in [lacking, text.replace("ch-prod-1", "ch-prod-2").into_bytes()] {
        assert_ne!(wrong, good);
        fs::write(&path, wrong).unwrap();
        // Readers do not use the index.
        let builds = publish::build_statements(&store, &bundle("one").id()).unwrap();
        assert_eq!(builds.len(), 1);
        store.refresh_index().unwrap();
        assert_eq!(fs::read(&path).unwrap(), good);
    }
    fs::remove_file(&path).unwrap();
    store.refresh_index().unwrap();
    assert_eq!(fs::read(&path).unwrap(), good);
}

#[test]
fn a_damaged_link_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    ship(&store, "one");
    let path = root.path().join("channels/prod/00000000000000000001");
    let good = fs::read(&path).unwrap();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    for position in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[position] ^= 1 << bit;
            fs::write(&path, &bad).unwrap();
            let refused = follow::head(&store, &context, &nothing()).unwrap_err();
            assert!(
                ["malformed", "blob-missing"].contains(&refused.kind()),
                "{refused:?}"
            );
        }
    }
    for bad in [
        &good[..0],
        &good[..71],
        &[good.clone(), good.clone()].concat(),
    ] {
        fs::write(&path, bad).unwrap();
        let refused = follow::head(&store, &context, &nothing()).unwrap_err();
        assert_eq!(refused.kind(), "malformed");
    }
}

#[test]
fn other_files_among_the_links_are_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    ship(&store, "one");
    let folder = root.path().join("channels/prod");
    for name in [
        ".tmp-1-1",
        "2",
        "000000000000000000002",
        "0000000000000000000a",
        "+0000000000000000002",
        "00000000000000000000",
        "99999999999999999999",
        "00000000000000000002~",
    ] {
        fs::write(folder.join(name), "x").unwrap();
    }
    assert_eq!(store.serials(&Chain::Channel(prod())).unwrap(), [1]);
}

#[test]
fn a_damaged_blob_is_repaired_by_putting_it_again() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let digest = store.put(b"content").unwrap();
    let path = root.path().join("blobs/sha256").join(digest.hex());
    for damage in ["", "contenT", "content and more"] {
        fs::write(&path, damage).unwrap();
        assert!(store::read(&store, &digest, 7).is_err());
        store.put(b"content").unwrap();
        assert_eq!(store::read(&store, &digest, 7).unwrap(), b"content");
        fs::write(&path, damage).unwrap();
        let twice: [&[u8]; 2] = [b"content", b"content"];
        store.commit(&Batch::of(twice)).unwrap();
        assert_eq!(store::read(&store, &digest, 7).unwrap(), b"content");
    }
}

#[test]
fn a_read_is_limited() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let digest = store.put(&[0; 1000]).unwrap();
    assert_eq!(store.fetch(&digest, 10).unwrap().unwrap().len(), 11);
    let refused = store::read(&store, &digest, 999).unwrap_err();
    assert_eq!(refused.kind(), "too-large");
    assert!(store::read(&store, &digest, 1000).is_ok());
}

#[test]
fn folder_with_other_files_is_no_store() {
    let root = tempfile::tempdir().unwrap();
    let open = Folder::open(root.path()).unwrap_err();
    assert_eq!(open.kind(), "store-unreachable");
    fs::write(root.path().join("thesis.doc"), "x").unwrap();
    assert_eq!(
        Folder::create(root.path()).unwrap_err().kind(),
        "not-a-bundle"
    );
    fs::remove_file(root.path().join("thesis.doc")).unwrap();
    fs::write(root.path().join("gwd.lock"), "").unwrap();
    Folder::create(root.path()).unwrap();
    fs::write(
        root.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    assert_eq!(
        Folder::open(root.path()).unwrap_err().kind(),
        "not-a-bundle"
    );
}

#[test]
fn a_folder_in_the_place_of_a_blob_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let digest = Digest::of(b"x");
    fs::create_dir(root.path().join("blobs/sha256").join(digest.hex())).unwrap();
    let refused = store::read(&store, &digest, 10).unwrap_err();
    assert!(matches!(refused, Refused::Malformed { .. }));
}

#[test]
fn batch_with_a_taken_link_keeps_the_other_writer() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let chain = Chain::Channel(prod());
    let first = Digest::of(b"first");
    store.create_link(&chain, 1, &first).unwrap();
    let batch = Batch {
        links: vec![Link {
            chain: chain.clone(),
            serial: 1,
            digest: Digest::of(b"second"),
        }],
        ..Batch::of([b"second".as_slice()])
    };
    let result = store.commit_with(&batch, &[("gwd.json", b"{}")]);
    assert_eq!(result, Err(WriteError::Conflict { serial: 1 }));
    assert_eq!(store.link(&chain, 1).unwrap(), Some(first));
    assert!(
        !root.path().join("gwd.json").exists(),
        "what says that it runs"
    );
    assert_eq!(
        store.temporaries().unwrap(),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn a_store_that_is_gone_is_not_made_again_by_a_link() {
    let above = tempfile::tempdir().unwrap();
    let root = above.path().join("store");
    let store = Folder::create(&root).unwrap();
    fs::remove_dir_all(&root).unwrap();
    let gone = store.create_link(&Chain::Channel(prod()), 1, &Digest::of(b"x"));
    let error = gone.unwrap_err().to_string();
    assert!(error.contains("No such file"), "{error}");
    assert!(!root.exists());
}

#[test]
fn clean_up_and_writers_wait_for_each_other() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(root.path()).unwrap();
    let (one, two) = (store.writing().unwrap(), store.writing().unwrap());
    std::thread::scope(|scope| {
        let locking = scope.spawn(|| {
            store
                .lock_exclusive()
                .map(|_lock| std::time::Instant::now())
        });
        drop(one);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let released = std::time::Instant::now();
        drop(two);
        assert!(locking.join().unwrap().unwrap() >= released);
    });
    store.writing().unwrap();
}
