//! Archives: deterministic, readable by any tar program, and safe against hostile input.

use std::process::Command;

use bundle::archive;
use bundle::follow;
use bundle::store::folder::Folder;
use bundle::store::memory::Memory as Store;
use bundle::store::{Chain, Store as _};
use bundle::verify::Unverified;

use crate::fixture::*;

fn archive_of_one() -> Vec<u8> {
    let store = Store::default();
    ship(&store, "one");
    archive::write(&store.into_content())
}

#[test]
fn bundle_with_statements_survives_the_round_trip() {
    let store = Store::default();
    let one = bundle("one");
    let statement = put(&store, &one);
    ship(&store, "two");
    let collected = archive::collect(&store, one.id(), &[statement]).unwrap();
    let content = collected.into_content();
    let bytes = archive::write(&content);
    assert_eq!(
        bytes,
        archive::write(&content),
        "the same content, the same file"
    );
    let read = archive::read(&bytes).unwrap();
    assert_eq!(read.bundles().unwrap(), [one.id()]);
    let unverified = Unverified::open(&read, one.id()).unwrap();
    unverified.load_full(&read).unwrap();
    assert_eq!(read.into_content(), content);
}

#[test]
fn an_archive_with_channels_can_be_followed() {
    let read = archive::read(&archive_of_one()).unwrap();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let head = follow::head(&read, &context, &nothing()).unwrap().unwrap();
    follow::bundle(&read, &context, &head.accepted, &[]).unwrap();
    assert_eq!(read.serials(&Chain::Channel(prod.clone())).unwrap(), [1]);
}

#[test]
fn tar_reads_our_archive_and_we_read_its_archive() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("one.tar"), archive_of_one()).unwrap();
    std::fs::create_dir(path("store")).unwrap();
    let tar = |args: &[&str]| {
        let status = Command::new("tar")
            .args(args)
            .current_dir(folder.path())
            .status();
        assert!(status.expect("the tar command is there").success());
    };
    tar(&["-xf", "one.tar", "-C", "store"]);
    let store = Folder::open(&path("store")).unwrap();
    let index = std::fs::read(path("store/index.json")).unwrap();
    store.refresh_index().unwrap();
    assert_eq!(
        std::fs::read(path("store/index.json")).unwrap(),
        index,
        "its index was right"
    );
    ship(&store, "two");
    tar(&["-cf", "two.tar", "-C", "store", "."]);
    let read = archive::read(&std::fs::read(path("two.tar")).unwrap()).unwrap();
    assert_eq!(read.serials(&Chain::Channel(prod())).unwrap(), [1, 2]);
}

#[test]
fn no_flipped_byte_changes_what_is_read() {
    let good = archive_of_one();
    let content = archive::read(&good).unwrap().into_content();
    for position in 0..good.len() {
        let mut bad = good.clone();
        bad[position] ^= 1 << (position % 8);
        if let Ok(read) = archive::read(&bad) {
            // A flip in padding, index.json, times or owners has no effect. A flip in a link's
            // digest makes it point to a missing blob.
            assert_eq!(read.into_content().blobs, content.blobs, "at {position}");
        }
    }
}

/// Builds a tar of these entries without any checks.
fn tar(entries: &[(&[u8], tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut layout = vec![(
        b"oci-layout".as_slice(),
        tar::EntryType::Regular,
        br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice(),
    )];
    layout.extend_from_slice(entries);
    for (path, kind, bytes) in layout {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        if kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn hostile_archives_are_refused() {
    use tar::EntryType::{Char, Directory, Fifo, Link, Regular, Symlink};
    let digest = bundle::digest::Digest::of(b"x").hex();
    let blob = format!("blobs/sha256/{digest}");
    let blob = blob.as_bytes();
    let serial = b"channels/prod/00000000000000000001".as_slice();
    let link = format!("sha256:{digest}\n");
    let link = link.as_bytes();
    assert!(archive::read(&tar(&[(blob, Regular, b"x"), (serial, Regular, link)])).is_ok());
    assert!(archive::read(&tar(&[(b"./blobs/", Directory, b"")])).is_ok());
    let hostile: [(&[u8], tar::EntryType, &[u8]); 20] = [
        (b"../evil", Regular, b"x"),
        (b"/etc/passwd", Regular, b"x"),
        (b"blobs/../../evil", Regular, b"x"),
        (b"blobs//sha256", Regular, b"x"),
        (b"channels/../00000000000000000001", Regular, link),
        (b"channels/prod/../../x", Regular, link),
        (b"channels/PROD/00000000000000000001", Regular, link),
        (b"channels/prod/1", Regular, link),
        (b"channels/prod/00000000000000000000", Regular, link),
        (b"channels/prod/99999999999999999999", Regular, link),
        (b"readme.txt", Regular, b"x"),
        (b"\xff\xfe", Regular, b"x"),
        (blob, Regular, b"y"),
        (blob, Symlink, b""),
        (blob, Link, b""),
        (blob, Fifo, b""),
        (blob, Char, b""),
        (serial, Regular, b"sha256:short\n"),
        (serial, Regular, &link[..link.len() - 1]),
        (b"oci-layout", Regular, br#"{"imageLayoutVersion":"1.0.0"}"#),
    ];
    for (number, entry) in hostile.into_iter().enumerate() {
        assert!(archive::read(&tar(&[entry])).is_err(), "row {number}");
    }
    assert!(archive::read(&tar(&[(blob, Regular, b"x"), (blob, Regular, b"x")])).is_err());
    assert!(archive::read(b"").is_err());
    assert!(archive::read(b"not a tar").is_err());
    let cut = archive_of_one();
    for end in (0..cut.len() - 1024).step_by(97) {
        if let Ok(read) = archive::read(&cut[..end]) {
            assert_eq!(end % 512, 0, "cut inside a file at {end}");
            assert!(read.into_content().blobs.len() <= 14);
        }
    }
}

#[test]
fn archive_with_a_huge_size_is_refused_unread() {
    let mut header = tar::Header::new_ustar();
    let digest = bundle::digest::Digest::of(b"x").hex();
    header.set_path(format!("blobs/sha256/{digest}")).unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(1 << 40);
    header.set_cksum();
    let mut bytes = tar(&[]);
    bytes.truncate(1024);
    bytes.extend_from_slice(header.as_bytes());
    let refused = archive::read(&bytes).map(drop).unwrap_err();
    assert_eq!(refused.kind(), "too-large");
}
