//! Tests of a store in Debian's docker-registry, with TLS and a password, and without both.

use bundle::channel::{Context, Memory};
use bundle::digest::Digest;
use bundle::follow;
use bundle::manifest::BLOB_BYTES_MAX;
use bundle::publish;
use bundle::refused::Refused;
use bundle::store::{self, Blobs as _, Chain, Store as _, WriteError};
use registry::store::ChainState;
use registry::tags::Tag;
use registry::{Registry, Settings};

use crate::fixture::{self, bundle, draft, prod, put, release, ship};
use crate::server::Server;

fn channel() -> Chain {
    Chain::Channel(prod())
}

#[test]
fn releases_are_read_back_with_tls_and_password() {
    let Some(server) = Server::secured() else {
        return;
    };
    let store = server.open();
    assert_eq!(store.serials(&channel()), Ok(vec![]), "no repository yet");
    assert_eq!(store.channels(), Ok(vec![]));
    let first = ship(&store, "one");
    let second = ship(&store, "two");
    assert_eq!((first.serial, second.serial), (1, 2));

    // A new store has nothing in memory, as in another process.
    let store = server.open();
    assert_eq!(store.serials(&channel()), Ok(vec![1, 2]));
    assert_eq!(store.link(&channel(), 1), Ok(Some(first.digest)));
    assert_eq!(store.link(&channel(), 3), Ok(None));
    assert_eq!(store.channels(), Ok(vec!["prod".to_owned()]));
    let mut bundles = store.bundles().unwrap();
    bundles.sort();
    let mut expected = vec![bundle("one").id(), bundle("two").id()];
    expected.sort();
    assert_eq!(bundles, expected);
    let (trust, prod) = (fixture::trust(), prod());
    let context = Context {
        trust: &trust,
        channel: &prod,
        now: fixture::NOON,
    };
    let head = follow::head(&store, &context, &Memory::default());
    let accepted = head.unwrap().unwrap().accepted;
    assert_eq!(accepted.pointer(), second);
    let verified = follow::bundle(&store, &context, &accepted, &[]).unwrap();
    let layers: Vec<_> = verified.layers().iter().cloned().collect();
    assert_eq!(layers.len(), 5);
    for layer in layers {
        let bytes = store::read_exact(&store, &layer).unwrap();
        assert_eq!(store.size(&layer.digest), Ok(Some(bytes.len() as u64)));
    }
    let missing = Digest::of(b"missing");
    assert_eq!(store.fetch(&missing, BLOB_BYTES_MAX), Ok(None));
    assert_eq!(store.size(&missing), Ok(None));
}

#[test]
fn statements_are_listed_under_their_bundle() {
    let Some(server) = Server::plain() else {
        return;
    };
    let store = server.open();
    let one = bundle("one");
    let statement = put(&store, &one);
    put(&store, &one);
    let store = server.open();
    let statements = publish::build_statements(&store, &one.id());
    assert_eq!(statements, Ok(vec![statement]));
    // docker-registry does not support the referrers API, so the store must write the referrers tag
    // of the specification.
    let tags = std::fs::read_dir(
        server.path("data/docker/registry/v2/repositories/shop/releases/_manifests/tags"),
    );
    let names = tags
        .unwrap()
        .map(|tag| tag.unwrap().file_name().into_string().unwrap());
    let fallback = format!("sha256-{}", one.id().hex());
    assert!(names.into_iter().any(|name| name == fallback));
    assert_eq!(store.tags(), Ok(vec![Tag::Bundle(one.id())]));
}

#[test]
fn second_writer_of_a_serial_gets_a_conflict() {
    let Some(server) = Server::plain() else {
        return;
    };
    let (ann, bob) = (server.open(), server.open());
    let one = bundle("one");
    let evidence = put(&ann, &one);
    let drafted = draft(one.id(), &[evidence]);
    let trust = fixture::trust();
    let key = fixture::key("rita");
    let statement = |store: &Registry, reason: &str| {
        let mut drafted = drafted.clone();
        drafted.reason = reason.to_owned();
        let statement = publish::prepare(store, Some(&trust), drafted, None).unwrap();
        publish::sign(&statement, &[&key]).unwrap()
    };
    let (first, second) = (statement(&ann, "ann"), statement(&bob, "bob"));
    let published = publish::publish(&ann, &first).unwrap();
    let conflict = publish::publish(&bob, &second);
    assert_eq!(conflict, Err(WriteError::Conflict { serial: 1 }));
    assert_eq!(
        server.open().link(&channel(), 1),
        Ok(Some(published.digest))
    );
    // Two writers publish at the same time: at most one succeeds, and its record remains.
    let (first, second) = (statement(&ann, "ann"), statement(&bob, "bob"));
    let results = std::thread::scope(|scope| {
        let ann = scope.spawn(|| publish::publish(&ann, &first));
        let bob = scope.spawn(|| publish::publish(&bob, &second));
        [ann.join().unwrap(), bob.join().unwrap()]
    });
    let winners: Vec<_> = results.iter().flatten().collect();
    assert!(winners.len() <= 1, "{results:?}");
    let link = server.open().link(&channel(), 2).unwrap().unwrap();
    assert!(winners.iter().all(|winner| winner.digest == link));
    // The next release follows the record that remains.
    let next = release(&server.open(), drafted).unwrap();
    assert_eq!(next.serial, 3);
}

#[test]
fn polls_notice_a_new_head_only() {
    let Some(server) = Server::plain() else {
        return;
    };
    let store = server.open();
    let mut seen = ChainState::default();
    assert_eq!(store.changed(&channel(), &mut seen), Ok(false));
    ship(&store, "one");
    assert_eq!(store.changed(&channel(), &mut seen), Ok(true));
    assert_eq!(store.changed(&channel(), &mut seen), Ok(false));
    ship(&store, "two");
    assert_eq!(store.changed(&channel(), &mut seen), Ok(true));
    assert_eq!(store.changed(&channel(), &mut seen), Ok(false));
    assert_eq!(store.changed(&Chain::Revocations, &mut seen), Ok(true));
}

#[test]
fn only_changed_blobs_are_stored_again() {
    let Some(server) = Server::plain() else {
        return;
    };
    let store = server.open();
    put(&store, &bundle("one"));
    let uploads = || {
        let blobs = std::fs::read_dir(server.path("data/docker/registry/v2/blobs/sha256"));
        blobs
            .unwrap()
            .flat_map(|part| std::fs::read_dir(part.unwrap().path()).unwrap())
            .count()
    };
    let before = uploads();
    put(&server.open(), &bundle("one"));
    assert_eq!(uploads(), before);
    // New blobs: shared blob, behaviour, contract, document, manifest, and the statement with its
    // envelope and its index. The blobs of consumers and config are unchanged.
    put(&server.open(), &bundle("two"));
    assert_eq!(uploads() - before, 8);
}

#[test]
fn wrong_credentials_and_certificates_are_refused() {
    let Some(server) = Server::secured() else {
        return;
    };
    let why = |settings: Settings| {
        let store = Registry::open(server.address(), &settings).unwrap();
        match store.serials(&channel()) {
            Err(refused @ Refused::StoreUnreachable { .. }) => refused.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let anonymous = Settings {
        docker: None,
        ..server.settings()
    };
    assert!(why(anonymous).contains("needs credentials"));
    server.log_in("wrong-pass");
    let refused = why(server.settings());
    assert!(refused.contains("refuses the credentials"), "{refused}");
    assert!(!refused.contains("wrong-pass"));
    // The certificate is unknown, so gwc must not fall back to HTTP.
    let strange = Settings {
        ca_file: None,
        ..server.settings()
    };
    let refused = why(strange);
    assert!(
        refused.contains("TLS") && refused.contains("certificate"),
        "{refused}"
    );
    let plain = Settings {
        plain_http: true,
        ..server.settings()
    };
    assert!(why(plain).contains("the registry answers 400"));
}
