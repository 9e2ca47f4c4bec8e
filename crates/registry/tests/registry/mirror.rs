//! Tests of the copy of a channel in a folder.

use std::path::{Path, PathBuf};

use bundle::channel;
use bundle::moment::Moment;
use bundle::publish::{self, Revocation};
use bundle::refused::Refused;
use bundle::statement::predicate::RecordKind;
use bundle::store::folder::Folder;
use bundle::store::{Blobs as _, Chain, Store as _, WriteError};
use registry::Registry;
use registry::mirror::{Behind, Chains, Extent, Mirror, ReaderNeeds};

use crate::fixture::{self, NOON, bundle, prod, ship};
use crate::server::Server;

fn records() -> Chain {
    Chain::Channel(prod())
}

/// Copy in a temporary folder.
struct Copy {
    folder: tempfile::TempDir,
    mirror: Mirror,
}

impl Copy {
    fn of(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("copy");
        let mirror = Mirror::new(server.open(), &root, prod());
        Self { folder, mirror }
    }

    /// Copies from a different server into the same folder.
    fn other(&self, server: &Server) -> Mirror {
        Mirror::new(server.open(), &self.root(), prod())
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("copy")
    }

    fn store(&self) -> Folder {
        Folder::open(&self.root()).unwrap()
    }

    fn update(&mut self, extent: Extent) -> Result<bool, WriteError> {
        let chains = (Chains::BOTH, Behind::Copied);
        let updated = self
            .mirror
            .update(extent, chains, &ReaderNeeds::default(), NOON)?;
        Ok(updated.changed)
    }

    /// Updates the copy at this time if the heads have moved.
    fn update_for(&mut self, wanted: &ReaderNeeds, now: Moment) -> Result<bool, WriteError> {
        let chains = (Chains::BOTH, Behind::Copied);
        let updated = self.mirror.update(Extent::Heads, chains, wanted, now)?;
        Ok(updated.changed)
    }

    fn serials(&self) -> Vec<u64> {
        self.store().serials(&records()).unwrap()
    }

    fn has_bundle(&self, content: &str) -> bool {
        let bundle = bundle(content);
        let store = self.store();
        let layers = bundle.layers().runtime().map(|layer| layer.digest);
        let mut needed = layers.chain([bundle.id()]);
        needed.all(|digest| store.size(&digest).unwrap().is_some())
    }
}

fn remove_tag(server: &Server, tag: &str) {
    let tags = "data/docker/registry/v2/repositories/shop/releases/_manifests/tags";
    std::fs::remove_dir_all(server.path(tags).join(tag)).unwrap();
}

fn blobs(root: &Path) -> usize {
    std::fs::read_dir(root.join("blobs/sha256"))
        .unwrap()
        .count()
}

#[test]
fn copy_follows_the_channel() {
    let Some(server) = Server::plain() else {
        return;
    };
    let mut copy = Copy::of(&server);
    assert_eq!(
        copy.update(Extent::Links),
        Ok(false),
        "nothing is there yet"
    );
    assert!(copy.serials().is_empty());
    let store = server.open();
    let first = ship(&store, "one");
    assert_eq!(copy.update(Extent::Heads), Ok(true));
    assert_eq!(copy.serials(), [1]);
    assert_eq!(copy.store().link(&records(), 1), Ok(Some(first.digest)));
    assert!(copy.has_bundle("one"));
    let contract = bundle("one").layers().apis[0].contract.digest;
    assert_eq!(
        copy.store().size(&contract),
        Ok(None),
        "gwd needs no contract"
    );
    assert_eq!(copy.update(Extent::Heads), Ok(false));
    assert_eq!(copy.update(Extent::Links), Ok(false));

    let second = ship(&store, "two");
    revoke(&store);
    assert_eq!(copy.update(Extent::Heads), Ok(true));
    assert_eq!(copy.serials(), [1, 2]);
    assert_eq!(copy.store().serials(&Chain::Revocations), Ok(vec![1]));
    let read = channel::read(&copy.store(), &second.digest).unwrap();
    assert_eq!(read.bundle, bundle("two").id());
}

/// Publishes a list that revokes the bundle `one`.
fn revoke(store: &Registry) {
    let revocation = Revocation {
        bundles: [bundle("one").id()].into(),
        ..Revocation::default()
    };
    let rob = fixture::key("rob");
    let trust = fixture::trust();
    publish::revoke(
        store,
        Some(&trust),
        fixture::project(),
        (&prod(), revocation),
        NOON,
        &[&rob],
    )
    .unwrap();
}

#[test]
fn chain_that_is_behind_is_skipped_alone() {
    let (Some(server), Some(other)) = (Server::plain(), Server::plain()) else {
        return;
    };
    let (store, ahead) = (server.open(), other.open());
    ship(&store, "one");
    ship(&ahead, "one");
    ship(&ahead, "two");
    let mut copy = Copy::of(&other);
    assert_eq!(copy.update(Extent::Links), Ok(true));
    // The reader has accepted serial 2. The other registry has serial 1 and a list of revocations.
    revoke(&store);
    let mut behind = copy.other(&server);
    let wanted = ReaderNeeds {
        since: 2,
        ..ReaderNeeds::default()
    };
    let update = |mirror: &mut Mirror, wanted: &ReaderNeeds| {
        mirror.compare_all();
        let chains = (Chains::BOTH, Behind::Skipped);
        mirror.update(Extent::Heads, chains, wanted, NOON).unwrap()
    };
    let updated = update(&mut behind, &wanted);
    assert!(updated.changed && updated.skipped.channel && !updated.skipped.revocations);
    let why = updated.why.unwrap().to_string();
    assert!(
        why.contains("the newest serial is 1, this node has accepted 2"),
        "{why}"
    );
    assert_eq!(copy.serials(), [1, 2]);
    assert!(copy.has_bundle("two"));
    assert_eq!(copy.store().serials(&Chain::Revocations), Ok(vec![1]));
    // The registry that is ahead has no list, and removes none that the reader has accepted.
    let accepted = ReaderNeeds {
        revocations_since: 1,
        ..wanted
    };
    let updated = update(&mut copy.mirror, &accepted);
    assert!(!updated.skipped.channel && updated.skipped.revocations);
    assert_eq!(copy.store().serials(&Chain::Revocations), Ok(vec![1]));
}

#[test]
fn link_of_a_thief_is_removed_by_another_registry() {
    let (Some(server), Some(other)) = (Server::plain(), Server::plain()) else {
        return;
    };
    for store in [server.open(), other.open()] {
        ship(&store, "one");
    }
    // A writer without a key gives the record of serial 1 a high serial.
    let tags = other.path("data/docker/registry/v2/repositories/shop/releases/_manifests/tags");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(tags.join("ch-prod-00000000000000000001"))
        .arg(tags.join("ch-prod-00000000000000099999"))
        .status();
    assert!(copied.unwrap().success());
    let mut copy = Copy::of(&other);
    assert_eq!(copy.update(Extent::Links), Ok(true));
    assert_eq!(copy.serials(), [1, 99_999]);
    // The reader accepts serial 1 only. The other registry is not behind, and its links apply.
    let wanted = ReaderNeeds {
        since: 1,
        ..ReaderNeeds::default()
    };
    let chains = (Chains::BOTH, Behind::Skipped);
    let updated = copy
        .other(&server)
        .update(Extent::Heads, chains, &wanted, NOON)
        .unwrap();
    assert!(updated.changed && updated.why.is_none());
    assert_eq!(copy.serials(), [1]);
}

#[test]
fn links_without_a_head_tag_are_found() {
    let Some(server) = Server::plain() else {
        return;
    };
    let store = server.open();
    ship(&store, "one");
    let mut copy = Copy::of(&server);
    copy.update(Extent::Links).unwrap();
    // Simulate a writer that ended before it moved the head tag.
    ship(&store, "two");
    let tags = server.path("data/docker/registry/v2/repositories/shop/releases/_manifests/tags");
    let link = |tag: &str| tags.join(tag).join("current/link");
    let first = link("ch-prod-00000000000000000001");
    std::fs::copy(first, link("ch-prod")).unwrap();
    assert_eq!(copy.update(Extent::Heads), Ok(false));
    assert_eq!(copy.update(Extent::Links), Ok(true));
    assert_eq!(copy.serials(), [1, 2]);
    assert!(copy.has_bundle("two"));
}

#[test]
fn removed_links_are_removed_from_the_copy() {
    let Some(server) = Server::plain() else {
        return;
    };
    let store = server.open();
    let first = ship(&store, "one");
    ship(&store, "two");
    let mut copy = Copy::of(&server);
    copy.update(Extent::Links).unwrap();
    // Also remove the head tag: otherwise the next writer finds the record through the head tag.
    remove_tag(&server, "ch-prod-00000000000000000002");
    remove_tag(&server, "ch-prod");
    assert_eq!(copy.update(Extent::Links), Ok(true));
    assert_eq!(copy.serials(), [1]);
    // Move the newest tag to another statement.
    let other = ship(&store, "other");
    assert_eq!(other.serial, 2);
    assert_eq!(copy.update(Extent::Links), Ok(true));
    assert_eq!(copy.store().link(&records(), 2), Ok(Some(other.digest)));
    assert_eq!(copy.store().link(&records(), 1), Ok(Some(first.digest)));
}

#[test]
fn copy_outlives_the_registry_and_continues() {
    let Some(mut server) = Server::secured() else {
        return;
    };
    ship(&server.open(), "one");
    let mut copy = Copy::of(&server);
    copy.update(Extent::Links).unwrap();
    ship(&server.open(), "two");
    server.stop();
    let failed = copy.update(Extent::Heads);
    let unreachable = |result| {
        matches!(
            result,
            Err(WriteError::Refused(Refused::StoreUnreachable { .. }))
        )
    };
    assert!(unreachable(failed));
    assert_eq!(copy.serials(), [1]);
    assert!(copy.has_bundle("one"));
    // Simulate an interrupted copy: remove a blob from the folder after the copy.
    server.restart();
    copy.update(Extent::Heads).unwrap();
    let two = bundle("two");
    let layer = two.layers().shared.digest;
    std::fs::remove_file(copy.root().join("blobs/sha256").join(layer.hex())).unwrap();
    assert!(!copy.has_bundle("two"));
    assert_eq!(copy.update(Extent::Links), Ok(true));
    assert!(copy.has_bundle("two"));
    // A damaged blob is replaced.
    std::fs::write(
        copy.root().join("blobs/sha256").join(layer.hex()),
        "damaged",
    )
    .unwrap();
    assert_eq!(copy.update(Extent::Links), Ok(true));
    let bytes = copy.store().fetch(&layer, 1_000).unwrap().unwrap();
    assert_eq!(bytes, b"shared two");
}

#[test]
fn older_bundles_are_copied_on_request() {
    let Some(server) = Server::plain() else {
        return;
    };
    let store = server.open();
    let first = ship(&store, "one");
    for content in ["two", "three", "four", "five"] {
        ship(&store, content);
    }
    let mut copy = Copy::of(&server);
    copy.update(Extent::Links).unwrap();
    assert_eq!(copy.serials(), [1, 2, 3, 4, 5]);
    assert!(copy.has_bundle("five") && !copy.has_bundle("one"));
    let wanted = ReaderNeeds {
        since: 5,
        records: [first.digest].into(),
        ..ReaderNeeds::default()
    };
    assert_eq!(copy.update_for(&wanted, NOON), Ok(true));
    assert!(copy.has_bundle("one"));
    // The clean-up runs at a time far in the future, so all files are old.
    let later = Moment::from_unix_s(99_000_000_000);
    ship(&store, "six");
    let before = blobs(&copy.root());
    assert_eq!(copy.update_for(&wanted, later), Ok(true));
    assert!(
        copy.has_bundle("one") && copy.has_bundle("six"),
        "wanted and newest"
    );
    ship(&store, "seven");
    copy.update_for(&ReaderNeeds::default(), later).unwrap();
    assert!(!copy.has_bundle("one") && copy.has_bundle("seven"));
    assert!(blobs(&copy.root()) <= before + 10);
}

#[test]
fn records_until_the_release_of_a_rollback_are_copied() {
    let Some(server) = Server::plain() else {
        return;
    };
    let store = server.open();
    let shipped = ["one", "two", "three"].map(|content| ship(&store, content));
    let one = bundle("one");
    let evidence = fixture::put(&store, &one);
    let mut back = fixture::draft(one.id(), &[evidence]);
    back.kind = RecordKind::Rollback;
    fixture::release(&store, back).unwrap();
    // The first two records have no tags, like records before the newest 50.
    for serial in [1, 2] {
        remove_tag(&server, &format!("ch-prod-{serial:020}"));
    }
    let mut copy = Copy::of(&server);
    assert_eq!(copy.update(Extent::Links), Ok(true));
    assert_eq!(copy.serials(), [3, 4]);
    for record in &shipped {
        let read = channel::read(&copy.store(), &record.digest);
        assert!(read.is_ok(), "serial {}", record.serial);
    }
}

#[test]
fn a_strange_folder_is_made_anew() {
    let Some(server) = Server::plain() else {
        return;
    };
    ship(&server.open(), "one");
    let mut copy = Copy::of(&server);
    std::fs::create_dir(copy.root()).unwrap();
    std::fs::write(copy.root().join("oci-layout"), "no layout").unwrap();
    assert_eq!(copy.update(Extent::Links), Ok(true));
    assert_eq!(copy.serials(), [1]);
}
