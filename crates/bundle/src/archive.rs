//! Archives: a store in one file, as a plain tar of the folder layout.
//!
//! Archives are deterministic (sorted, no times, no owners, mode 0644): the same content gives the
//! same bytes. Reading accepts only regular files at paths of the layout, within limits, and checks
//! each blob against its digest. Paths in an archive are never used as paths on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use crate::digest::Digest;
use crate::manifest::BLOB_BYTES_MAX;
use crate::oci::ImageManifest;
use crate::refused::Refused;
use crate::statement::stored;
use crate::verify::Unverified;

use crate::store::folder::{self, Index, LAYOUT, Links};
use crate::store::memory::{Content, Memory};
use crate::store::{Blobs, Chain, Store, WriteError};

/// Maximum number of files in an archive.
pub const ENTRIES_MAX: usize = 16_384;
/// Maximum length of an archive, in bytes.
pub const ARCHIVE_BYTES_MAX: u64 = 512 << 20;

const WHAT: &str = "archive";

/// Copies a bundle with all its blobs, and the given statements, into a new store in memory.
///
/// # Errors
/// [`Refused::BlobMissing`] or [`Refused::BadDigest`] if a blob is missing or damaged; any other
/// error of reading a blob.
pub fn collect(
    blobs: &dyn Blobs,
    bundle: Digest,
    statements: &[Digest],
) -> Result<Memory, WriteError> {
    let memory = Memory::default();
    let unverified = Unverified::open(blobs, bundle)?;
    let config = std::iter::once(unverified.config_blob());
    for layer in unverified.layers().iter().chain(config) {
        memory.put(&crate::store::read_exact(blobs, layer)?)?;
    }
    memory.put(unverified.manifest())?;
    for digest in statements {
        let manifest = crate::store::read(blobs, digest, crate::oci::MANIFEST_BYTES_MAX)?;
        memory.put(crate::oci::EMPTY_BLOB)?;
        memory.put(&crate::store::read_exact(
            blobs,
            &stored::layer(&manifest)?,
        )?)?;
        memory.put(&manifest)?;
    }
    Ok(memory)
}

/// Writes the content of a store as a tar.
#[must_use]
pub fn write(content: &Content) -> Vec<u8> {
    let Content { blobs, links } = content;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    files.insert("oci-layout".to_owned(), LAYOUT.into());
    files.insert("index.json".to_owned(), index(content));
    for (digest, bytes) in blobs {
        files.insert(format!("blobs/sha256/{}", digest.hex()), bytes.clone());
    }
    for ((chain, serial), digest) in links {
        let name = folder::file_name(*serial);
        let path = match chain {
            Chain::Channel(channel) => format!("channels/{channel}/{name}"),
            Chain::Revocations => format!("revocations/{name}"),
        };
        files.insert(path, format!("{digest}\n").into_bytes());
    }
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in &files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(tar::EntryType::Regular);
        tar.append_data(&mut header, path, bytes.as_slice())
            .expect("paths of a layout are short, and writing to a Vec cannot fail");
    }
    tar.into_inner().expect("writing to a Vec cannot fail")
}

/// Reads an archive into a store in memory.
///
/// # Errors
/// [`Refused::TooLarge`] beyond the limits of an archive; [`Refused::Malformed`] for a file outside
/// the layout; [`Refused::BadDigest`] for a blob whose bytes do not match its name.
pub fn read(bytes: &[u8]) -> Result<Memory, Refused> {
    if bytes.len() as u64 > ARCHIVE_BYTES_MAX {
        return Err(Refused::TooLarge {
            what: WHAT,
            limit: ARCHIVE_BYTES_MAX,
        });
    }
    let not_a_tar = |_| Refused::malformed(WHAT, "not a tar archive, or truncated");
    let mut content = Content::default();
    let mut has_layout = false;
    let mut derived = BTreeSet::new();
    let mut archive = tar::Archive::new(bytes);
    for (count, entry) in archive.entries().map_err(not_a_tar)?.enumerate() {
        let mut entry = entry.map_err(not_a_tar)?;
        if count >= ENTRIES_MAX {
            return Err(Refused::TooLarge {
                what: "number of files in the archive",
                limit: ENTRIES_MAX as u64,
            });
        }
        let path = entry.path_bytes().into_owned();
        let path = std::str::from_utf8(&path).map_err(|_| NOT_A_PLACE)?;
        let place = Place::of(path)?;
        match entry.header().entry_type() {
            tar::EntryType::Directory => continue,
            tar::EntryType::Regular => {}
            _ => {
                return Err(Refused::malformed(
                    WHAT,
                    "contains an entry that is not a file",
                ));
            }
        }
        if entry.size() > BLOB_BYTES_MAX {
            return Err(Refused::TooLarge {
                what: "blob",
                limit: BLOB_BYTES_MAX,
            });
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(not_a_tar)?;
        let repeated = match place {
            Place::Above => false,
            Place::Derived => !derived.insert(path.to_owned()),
            Place::Layout => {
                folder::check_layout(&bytes)?;
                std::mem::replace(&mut has_layout, true)
            }
            Place::Blob(digest) => {
                if Digest::of(&bytes) != digest {
                    return Err(Refused::BadDigest { expected: digest });
                }
                content.blobs.insert(digest, bytes).is_some()
            }
            Place::Link(chain, serial) => {
                let digest = folder::read_link(&bytes)?;
                content.links.insert((chain, serial), digest).is_some()
            }
        };
        if repeated {
            return Err(Refused::malformed(WHAT, "contains a file twice"));
        }
    }
    if !has_layout {
        return Err(Refused::NotABundle { what: WHAT });
    }
    Ok(Memory::new(content))
}

/// Meaning of a path in an archive.
enum Place {
    Layout,
    /// Lock files and `index.json`, which reading ignores.
    Derived,
    /// Folder of the layout, which reading ignores.
    Above,
    Blob(Digest),
    Link(Chain, u64),
}

const NOT_A_PLACE: Refused =
    Refused::malformed(WHAT, "contains a file that is not part of a layout");

impl Place {
    /// Parses the path of a file in an archive. Accepts a leading `./` and a trailing `/`, which
    /// other tar programs write.
    fn of(path: &str) -> Result<Self, Refused> {
        let path = path.strip_prefix("./").unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let parts: Vec<_> = path.split('/').collect();
        Ok(match parts[..] {
            ["" | "." | "blobs" | "channels" | "revocations"] | ["blobs", "sha256"] => Self::Above,
            ["oci-layout"] => Self::Layout,
            ["index.json" | "index.lock" | "store.lock"] => Self::Derived,
            ["blobs", "sha256", hex] => Self::Blob(Digest::from_hex(hex)?),
            ["channels", name] => {
                name.parse::<crate::name::ChannelName>()?;
                Self::Above
            }
            ["channels", name, serial] => {
                let serial = folder::serial(serial).ok_or(NOT_A_PLACE)?;
                Self::Link(Chain::Channel(name.parse()?), serial)
            }
            ["revocations", serial] => {
                let serial = folder::serial(serial).ok_or(NOT_A_PLACE)?;
                Self::Link(Chain::Revocations, serial)
            }
            _ => return Err(NOT_A_PLACE),
        })
    }
}

fn index(content: &Content) -> Vec<u8> {
    let mut manifests = BTreeMap::new();
    for (digest, bytes) in &content.blobs {
        if let Ok(manifest) = ImageManifest::decode("manifest", bytes) {
            manifests.insert(*digest, manifest);
        }
    }
    let mut links = Links::new();
    for ((chain, serial), digest) in &content.links {
        let known = links.entry(*digest).or_default();
        known.insert((chain.clone(), *serial));
    }
    Index::of(&manifests, &links).encode()
}
