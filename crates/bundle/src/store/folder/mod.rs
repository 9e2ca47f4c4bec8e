//! Store in a folder, in the format of an OCI image layout. Needs no server.
//!
//! Files of blobs and links are created once and never changed: `blobs/sha256/<hex>`, and the links
//! `channels/<name>/<20 digits>` and `revocations/<20 digits>`, each with the text `sha256:<hex>`
//! and a line feed. Each file is first written and synced as a temporary file in the same folder,
//! so that it is complete or absent. Links are created by `link(2)`, which fails if another writer
//! was faster. Blobs are created by `rename(2)`, which also replaces a damaged blob. `index.json`
//! is derived from blobs and links, for people and tools.
//!
//! Writers hold `store.lock` shared, and clean-up holds it exclusively. Clean-up can therefore not
//! remove a blob that a writer has found and will link to. release.md §3; OCI image specification
//! 1.1, `image-layout.md`.

mod files;
mod index;
mod lock;
mod transaction;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

use crate::digest::Digest;
use crate::manifest::BUNDLE;
use crate::moment::Moment;
use crate::oci::{ImageManifest, MANIFEST_BYTES_MAX};
use crate::refused::Refused;

use super::{Batch, Blobs, Chain, Store, WriteError, WriterGuard};
use files::{make_below, make_root, names, read_limited, unreachable};
use lock::{Hold, LOCK_TIMEOUT};

pub(crate) use index::{Index, Links};
pub use lock::Lock;

/// Content of the file `oci-layout`.
pub const LAYOUT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";

/// First bytes of every manifest that this crate writes.
const MANIFEST_BEGINS: &[u8] =
    b"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",";

/// A store in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
    /// Maximum wait for a lock.
    lock_timeout: Duration,
}

/// Prefix of the names of temporary files. Temporary files of a killed writer are harmless, and the
/// next clean-up removes them.
const TEMPORARY: &str = ".tmp-";

impl Folder {
    /// Opens the store in a folder. Creates the store if the folder is empty or absent.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the folder cannot be read or created,
    /// [`Refused::NotABundle`] if the folder has other contents.
    pub fn create(root: &Path) -> Result<Self, Refused> {
        Self::create_beside(root, &[])
    }

    /// Like [`Folder::create`], for a folder that may also contain the caller's files `own`. A
    /// folder with any other files is not a store.
    ///
    /// # Errors
    /// As [`Folder::create`].
    pub fn create_beside(root: &Path, own: &[&str]) -> Result<Self, Refused> {
        let folder = Self::at(root);
        let layout = root.join("oci-layout");
        check_links(root)?;
        if layout.exists() {
            let opened = Self::open(root)?;
            index::check_own(root)?;
            make_below(root, &opened.blobs())?;
            return Ok(opened);
        }
        let mut entries = match fs::read_dir(root) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreachable(root, &error)),
        };
        // If the folder contains only `blobs`, the creation of the store was interrupted, or
        // another writer is creating it now.
        let foreign = entries.as_mut().is_some_and(|entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| {
                    let name = entry.file_name();
                    let name = name.to_string_lossy();
                    let ours = ["blobs", "oci-layout", "index.json"].contains(&name.as_ref())
                        || own.contains(&name.as_ref());
                    !ours && !name.starts_with(TEMPORARY) && !name.ends_with(".lock")
                })
            })
        });
        if foreign {
            return Err(Refused::NotABundle {
                what: "store: the folder contains other files",
            });
        }
        make_root(root)?;
        make_below(root, &folder.blobs())?;
        transaction::create(&layout, LAYOUT.as_bytes())?;
        Self::open(root)
    }

    /// Opens the existing store in a folder.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the folder has no readable file `oci-layout`;
    /// [`Refused::NotABundle`] if the folder is not an OCI image layout 1.0.0.
    pub fn open(root: &Path) -> Result<Self, Refused> {
        let folder = Self::at(root);
        let text = read_limited(&root.join("oci-layout"), 1024)?.ok_or_else(|| {
            Refused::StoreUnreachable {
                why: format!(
                    "no store at `{}`; check that it is mounted and that --store is right. `gwc apply` creates a store only for the first release of a project",
                    root.display()
                ),
            }
        })?;
        check_layout(&text)?;
        Ok(folder)
    }

    fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            lock_timeout: LOCK_TIMEOUT,
        }
    }

    /// Sets the maximum wait for a lock of the folder. For callers that must not block for long.
    #[must_use]
    pub fn with_lock_timeout(mut self, lock_timeout: Duration) -> Self {
        self.lock_timeout = lock_timeout;
        self
    }

    /// Folder of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Digests of all blobs, for clean-up and rebuilding.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the folder cannot be read.
    pub fn digests(&self) -> Result<Vec<Digest>, Refused> {
        let names = names(&self.blobs())?;
        let mut digests: Vec<_> = names
            .iter()
            .filter_map(|name| Digest::from_hex(name).ok())
            .collect();
        digests.sort();
        Ok(digests)
    }

    /// Chains that have links. Always contains the chain of revocation lists.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the folder cannot be read.
    pub fn chains(&self) -> Result<Vec<Chain>, Refused> {
        let mut chains = vec![Chain::Revocations];
        for name in names(&self.root.join("channels"))? {
            if let Ok(channel) = name.parse() {
                chains.push(Chain::Channel(channel));
            }
        }
        chains.sort();
        Ok(chains)
    }

    /// Reads all blobs and returns the manifests among them, by digest.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the folder cannot be read.
    pub fn manifests(&self) -> Result<BTreeMap<Digest, ImageManifest>, Refused> {
        let mut manifests = BTreeMap::new();
        for digest in self.digests()? {
            if let Some(manifest) = self.sniff(&digest)? {
                manifests.insert(digest, manifest);
            }
        }
        Ok(manifests)
    }

    /// Reads all links, by their target. Ignores damaged links.
    fn links(&self) -> Result<Links, Refused> {
        let mut links = Links::new();
        for chain in self.chains()? {
            for serial in self.serials(&chain)? {
                if let Ok(Some(digest)) = self.link(&chain, serial) {
                    let known = links.entry(digest).or_default();
                    known.insert((chain.clone(), serial));
                }
            }
        }
        Ok(links)
    }

    /// Writes a batch, and the files `files` in the root folder. These files become visible only
    /// after the blobs.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn commit_with(
        &self,
        batch: &Batch<'_>,
        files: &[(&str, &[u8])],
    ) -> Result<(), WriteError> {
        transaction::commit(self, batch, files)
    }

    /// Acquires the exclusive lock for clean-up. No writer can work while the lock is held.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if a writer holds the lock for too long.
    pub fn lock_exclusive(&self) -> Result<Lock, Refused> {
        check_links(&self.root)?;
        Lock::take(
            &self.store_lock(),
            Hold::Alone,
            "another process that writes to the store",
            self.lock_timeout,
        )
    }

    /// Temporary files of active or interrupted writers, for clean-up.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the folder cannot be read.
    pub fn temporaries(&self) -> Result<Vec<PathBuf>, Refused> {
        let mut folders = vec![self.root.clone(), self.blobs()];
        for chain in self.chains()? {
            folders.push(self.chain_folder(&chain));
        }
        let mut found = Vec::new();
        for folder in folders {
            let names = names(&folder)?.into_iter();
            let temporary = names.filter(|name| name.starts_with(TEMPORARY));
            found.extend(temporary.map(|name| folder.join(name)));
        }
        found.sort();
        Ok(found)
    }

    /// Removes files of this store, for clean-up. The files must not include targets of links.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if a file cannot be removed.
    pub(crate) fn remove(&self, files: &[PathBuf]) -> Result<(), Refused> {
        check_links(&self.root)?;
        for path in files {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(unreachable(path, &error));
                }
                _ => {}
            }
            let passed = fault::point("store.sweep.removed");
            passed.map_err(|error| unreachable(path, &error))?;
        }
        if files.is_empty() {
            return Ok(());
        }
        files::sync(&self.blobs())
    }

    /// Removes a link, if the link exists. Use this only in a copy of another store, if the other
    /// store does not have the link.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the link cannot be removed.
    pub fn unlink(&self, chain: &Chain, serial: u64) -> Result<(), Refused> {
        check_links(&self.root)?;
        let path = self.chain_folder(chain).join(file_name(serial));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(unreachable(&path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Number of bytes of all blobs.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the folder cannot be read.
    pub fn bytes(&self) -> Result<u64, Refused> {
        let mut bytes = 0;
        for digest in self.digests()? {
            bytes += self.size(&digest)?.unwrap_or(0);
        }
        Ok(bytes)
    }

    /// Reads the modification time and size of a file. `None` if the file does not exist.
    pub(crate) fn written(&self, path: &Path) -> Result<Option<(Moment, u64)>, Refused> {
        let data = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(|error| unreachable(path, &error))?,
        };
        let modified = data.modified().map_err(|error| unreachable(path, &error))?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Some((Moment::from_unix_s(since.as_secs()), data.len())))
    }

    /// Decodes the blob with this digest as a manifest. `None` if the blob is not a manifest that
    /// this crate wrote.
    fn sniff(&self, digest: &Digest) -> Result<Option<ImageManifest>, Refused> {
        let path = self.blob(digest);
        let beginning = read_limited(&path, MANIFEST_BEGINS.len() as u64)?;
        if !beginning.is_some_and(|bytes| bytes.starts_with(MANIFEST_BEGINS)) {
            return Ok(None);
        }
        let whole = super::read(self, digest, MANIFEST_BYTES_MAX);
        Ok(whole
            .and_then(|bytes| ImageManifest::decode("manifest", &bytes))
            .ok())
    }

    fn store_lock(&self) -> PathBuf {
        self.root.join("store.lock")
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Folder with the links of a chain, for watching: a new file in it is a new link. The folder
    /// does not exist before the first link.
    #[must_use]
    pub fn chain_folder(&self, chain: &Chain) -> PathBuf {
        match chain {
            Chain::Channel(name) => self.root.join("channels").join(name.as_str()),
            Chain::Revocations => self.root.join("revocations"),
        }
    }
}

impl Blobs for Folder {
    fn fetch(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused> {
        read_limited(&self.blob(digest), bytes_max)
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, Refused> {
        let path = self.blob(digest);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => Ok(Some(
                result.map_err(|error| unreachable(&path, &error))?.len(),
            )),
        }
    }
}

impl Store for Folder {
    fn commit(&self, batch: &Batch<'_>) -> Result<(), WriteError> {
        transaction::commit(self, batch, &[])
    }

    fn writing(&self) -> Result<WriterGuard, Refused> {
        check_links(&self.root)?;
        let who = "a clean-up (`gwc gc`)";
        let lock = Lock::take(&self.store_lock(), Hold::Shared, who, self.lock_timeout);
        lock.map(WriterGuard::new)
    }

    /// Rewrites `index.json` without syncing the file to disk. If a power failure damages the file,
    /// the next writer rebuilds it.
    fn refresh_index(&self) -> Result<(), Refused> {
        check_links(&self.root)?;
        let lock = self.root.join("index.lock");
        let _lock = Lock::take(&lock, Hold::Alone, "another writer", self.lock_timeout)?;
        let index = Index::of(&self.manifests()?, &self.links()?).encode();
        let path = self.root.join("index.json");
        if read_limited(&path, u64::MAX)?.as_ref() == Some(&index) {
            return Ok(());
        }
        transaction::replace_derived(&path, &index)
    }

    fn serials(&self, chain: &Chain) -> Result<Vec<u64>, Refused> {
        let names = names(&self.chain_folder(chain))?;
        let mut serials: Vec<_> = names.iter().filter_map(|name| serial(name)).collect();
        serials.sort_unstable();
        Ok(serials)
    }

    fn link(&self, chain: &Chain, serial: u64) -> Result<Option<Digest>, Refused> {
        let path = self.chain_folder(chain).join(file_name(serial));
        match read_limited(&path, 256)? {
            None => Ok(None),
            Some(bytes) => read_link(&bytes)
                .map(Some)
                .map_err(|_| files::odd(&path, "a link must be a digest and a line feed")),
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Refused> {
        let mut manifests = self.manifests()?;
        manifests.retain(|_, manifest| {
            let about = manifest.subject.as_ref();
            about.is_some_and(|about| about.digest == *subject)
        });
        Ok(manifests.into_keys().collect())
    }

    fn channels(&self) -> Result<Vec<String>, Refused> {
        let mut channels = names(&self.root.join("channels"))?;
        channels.sort_unstable();
        Ok(channels)
    }

    fn bundles(&self) -> Result<Vec<Digest>, Refused> {
        let mut manifests = self.manifests()?;
        manifests.retain(|_, manifest| manifest.artifact_type == BUNDLE);
        Ok(manifests.into_keys().collect())
    }
}

/// Fails if a path to which the store writes is a symbolic link, which could lead outside the
/// store. Each function that writes or removes files of a store calls this function.
fn check_links(root: &Path) -> Result<(), Refused> {
    const WRITTEN: [&str; 8] = [
        "oci-layout",
        "index.json",
        "index.lock",
        "store.lock",
        "blobs",
        "blobs/sha256",
        "channels",
        "revocations",
    ];
    let channels = fs::read_dir(root.join("channels")).into_iter().flatten();
    let channels = channels.flatten().map(|entry| entry.path());
    let mut paths = WRITTEN.iter().map(|name| root.join(name)).chain(channels);
    match paths.any(|path| path.is_symlink()) {
        true => Err(Refused::NotABundle {
            what: "store: the folder contains a symbolic link; replace it by the file or folder itself",
        }),
        false => Ok(()),
    }
}

/// File name of a link: 20 digits, so that names sort numerically.
pub(crate) fn file_name(serial: u64) -> String {
    format!("{serial:020}")
}

/// Serial in a link's file name. `None` for any other file.
pub(crate) fn serial(name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    let serial = name.parse().ok().filter(|_| digits)?;
    (serial > 0 && serial <= crate::json::INTEGER_MAX).then_some(serial)
}

/// Parses the digest in the file of a link.
pub(crate) fn read_link(bytes: &[u8]) -> Result<Digest, Refused> {
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| text.strip_suffix('\n'))
        .and_then(|text| text.parse().ok())
        .ok_or(Refused::malformed(
            "link of a chain",
            "not a digest and a line feed",
        ))
}

#[derive(Deserialize)]
struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

/// Checks that a text is the content of the file `oci-layout`.
pub(crate) fn check_layout(text: &[u8]) -> Result<(), Refused> {
    let layout: Result<Layout, _> = serde_json::from_slice(text);
    match layout {
        Ok(layout) if layout.version == "1.0.0" => Ok(()),
        _ => Err(Refused::NotABundle {
            what: "store (an OCI image layout 1.0.0)",
        }),
    }
}
