//! Files that gwd must write before activation, and the time that writing takes.
//!
//! `cargo test -p bundle --features folder keeping -- --nocapture` prints the times.

use std::time::{Duration, Instant};

use bundle::digest::Digest;
use bundle::follow;
use bundle::manifest::{ApiPart, Bundle, Config, FORMAT, Parts};
use bundle::moment::Moment;
use bundle::publish;
use bundle::store::folder::Folder;
use bundle::store::{Chain, Store as _};

use crate::fixture::*;

const APIS: usize = 100;

/// Creates a bundle of 100 APIs of 30 kB each. Versions differ in one API only.
fn many(version: usize) -> Bundle {
    let config = Config {
        format: FORMAT,
        project: project(),
        needs: [].into(),
        counts: [].into(),
    };
    let apis = (0..APIS).map(|n| {
        let own = if n == 0 { version } else { 0 };
        let text = format!("{n} {own} ");
        ApiPart {
            name: format!("api-{n:03}"),
            behaviour: text.repeat(30_000 / text.len()).into_bytes(),
            contract: format!("contract {text}").into_bytes(),
        }
    });
    let parts = Parts {
        shared: b"shared".to_vec(),
        consumers: None,
        apis: apis.collect(),
        documents: Vec::new(),
    };
    Bundle::assemble(config, parts).unwrap()
}

fn release(store: &Folder, version: usize) -> Digest {
    let bundle = many(version);
    let evidence = put(store, &bundle);
    crate::fixture::release(store, draft(bundle.id(), &[evidence])).unwrap();
    bundle.id()
}

#[test]
fn change_to_one_of_100_apis_writes_few_files() {
    let root = tempfile::tempdir().unwrap();
    let store = Folder::create(&root.path().join("store")).unwrap();
    let state = Folder::create(&root.path().join("state")).unwrap();
    let (trust, prod) = (trust(), prod());
    let mut context = context(&trust, &prod);
    let mut times: Vec<Duration> = Vec::new();
    for version in 1..=9 {
        let id = release(&store, version);
        context.now = Moment::from_unix_s(context.now.unix_s() + 1);
        let memory = follow::remember(&state, &context).unwrap();
        let head = follow::head(&store, &context, &memory).unwrap().unwrap();
        let verified = follow::bundle(&store, &context, &head.accepted, &[]).unwrap();
        let began = Instant::now();
        let batch = follow::to_keep(&store, &state, &head.accepted, &verified).unwrap();
        let files = [("gwd.json", id.hex().into_bytes())];
        let files = files
            .each_ref()
            .map(|(name, bytes)| (*name, bytes.as_slice()));
        state.commit_with(&batch, &files).unwrap();
        let took = began.elapsed();
        assert_eq!(batch.links.len(), 1);
        if version == 1 {
            println!("kept 100 new APIs in {took:?}");
            assert!(batch.blobs.len() > APIS);
            continue;
        }
        // 7 blobs: one API, the bundle manifest, two statements (build, record), their two
        // manifests, and `{}`.
        assert_eq!(batch.blobs.len(), 7, "unchanged blobs are not even read");
        times.push(took);
    }
    times.sort();
    println!(
        "kept 1 of 100 changed APIs in {:?} (median), {:?} (least)",
        times[times.len() / 2],
        times[0]
    );

    // A restart needs only the copied files: remove the store.
    std::fs::remove_dir_all(store.root()).unwrap();
    let memory = follow::remember(&state, &context).unwrap();
    assert_eq!(memory.record.map(|record| record.serial), Some(9));
    let kept = follow::stored_records(&state, &context, &memory.revocations, 1).unwrap();
    let kept = kept.accepted.first().unwrap();
    let verified = follow::bundle(&state, &context, kept, &[]).unwrap();
    verified.load_runtime(&state).unwrap();
    assert_eq!(
        state.serials(&Chain::Channel(prod.clone())).unwrap().len(),
        9
    );
    assert!(
        publish::build_statements(&state, &many(9).id())
            .unwrap()
            .len()
            == 1
    );
}
