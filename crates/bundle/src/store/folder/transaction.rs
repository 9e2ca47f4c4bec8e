//! Writing of a batch of files, with the smallest number of waits for the disk.
//! ```text
//! write temporary files: blobs, links, other files     (nothing is visible)
//! sync them, all at the same time                      wait 1
//! rename the blobs, sync their folder                  wait 2
//! link the links, rename the other files,
//! sync their folders at the same time                  wait 3
//! ```
//! A link is therefore never durable before its target. After an interruption at any point, every
//! link in the store has its target. Only the last links and files of the batch may be missing. A
//! batch without blobs has two waits.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::Digest;
use crate::refused::Refused;
use crate::store::{Batch, Link, WriteError};

use super::files::{folder_of, make_below, read_limited, sync, unreachable};
use super::{Folder, TEMPORARY, check_links, file_name};

/// Maximum number of files that are synced concurrently.
const SYNCS_MAX: usize = 32;

/// EPERM: error of link(2) on a file system without hard links.
const EPERM: i32 = 1;

/// Writes a batch of blobs and links. After the blobs, also writes `files` in the root folder.
pub(super) fn commit(
    folder: &Folder,
    batch: &Batch<'_>,
    files: &[(&str, &[u8])],
) -> Result<(), WriteError> {
    let Batch { blobs, links } = batch;
    if blobs.is_empty() && links.is_empty() && files.is_empty() {
        return Ok(());
    }
    check_links(folder.root())?;
    let blobs = write_blobs(folder, blobs)?;
    let links = write_links(folder, links)?;
    let files = write_files(folder, files)?;
    let all = blobs.iter().chain(&files).map(|placed| &placed.temporary);
    let all: Vec<&TemporaryFile> = all
        .chain(links.iter().map(|(_, link)| &link.temporary))
        .collect();
    together(&all, |temporary| temporary.sync())?;

    for blob in blobs {
        blob.rename()?;
        passed(&folder.blobs(), fault::point("store.blob.renamed"))?;
    }
    if !batch.blobs.is_empty() {
        // Sync even if no blob was written, because a concurrent writer may have renamed blobs just
        // now.
        sync(&folder.blobs())?;
        passed(&folder.blobs(), fault::point("store.blobs.synced"))?;
    }

    let mut changed = BTreeSet::new();
    for (serial, link) in links {
        changed.insert(folder_of(&link.path).to_owned());
        link.link(serial)?;
        passed(folder.root(), fault::point("store.link.linked"))?;
    }
    for file in files {
        changed.insert(folder.root().to_owned());
        file.rename()?;
        passed(folder.root(), fault::point("store.file.renamed"))?;
    }
    let changed: Vec<PathBuf> = changed.into_iter().collect();
    together(&changed, |folder| sync(folder))?;
    Ok(passed(folder.root(), fault::point("store.folder.synced"))?)
}

/// Writes temporary files for the blobs that are missing or damaged.
fn write_blobs(folder: &Folder, blobs: &[impl AsRef<[u8]>]) -> Result<Vec<PendingFile>, Refused> {
    let place = folder.blobs();
    let mut seen = BTreeSet::new();
    let mut temporary = Vec::new();
    for bytes in blobs {
        let bytes = bytes.as_ref();
        let digest = Digest::of(bytes);
        let path = folder.blob(&digest);
        let there = || -> Result<bool, Refused> {
            Ok(read_limited(&path, bytes.len() as u64)?.as_deref() == Some(bytes))
        };
        if seen.insert(digest) && !there()? {
            let file = TemporaryFile::write(&place, bytes)?;
            temporary.push(PendingFile {
                temporary: file,
                path,
            });
        }
    }
    Ok(temporary)
}

fn write_links(folder: &Folder, links: &[Link]) -> Result<Vec<(u64, PendingFile)>, Refused> {
    let mut temporary = Vec::new();
    for link in links {
        let Link {
            chain,
            serial,
            digest,
        } = link;
        let place = folder.chain_folder(chain);
        make_below(folder.root(), &place)?;
        let file = TemporaryFile::write(&place, format!("{digest}\n").as_bytes())?;
        let path = place.join(file_name(*serial));
        temporary.push((
            *serial,
            PendingFile {
                temporary: file,
                path,
            },
        ));
    }
    Ok(temporary)
}

fn write_files(folder: &Folder, files: &[(&str, &[u8])]) -> Result<Vec<PendingFile>, Refused> {
    let mut temporary = Vec::new();
    for (name, bytes) in files {
        let file = TemporaryFile::write(folder.root(), bytes)?;
        let path = folder.root().join(name);
        temporary.push(PendingFile {
            temporary: file,
            path,
        });
    }
    Ok(temporary)
}

/// A temporary file and its final path.
struct PendingFile {
    temporary: TemporaryFile,
    path: PathBuf,
}

impl PendingFile {
    /// Renames the file to its final path, and replaces any file there.
    fn rename(self) -> Result<(), Refused> {
        let Self { temporary, path } = self;
        fs::rename(&temporary.path, &path).map_err(|error| unreachable(&path, &error))
    }

    /// Links the file to its final path. Fails if the path exists, so that only one of two writers
    /// succeeds.
    fn link(self, serial: u64) -> Result<(), WriteError> {
        let Self { temporary, path } = self;
        let due = fault::point("store.link.due");
        match due.and_then(|()| fs::hard_link(&temporary.path, &path)) {
            // A network file system may repeat a request that has succeeded. It then reports that
            // the file exists.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && temporary.is_linked() => {
                Ok(())
            }
            result => result.map_err(|error| not_linked(&path, serial, &error)),
        }
    }
}

fn not_linked(path: &Path, serial: u64, error: &io::Error) -> WriteError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => WriteError::Conflict { serial },
        io::ErrorKind::Unsupported => no_links(path, error).into(),
        _ if error.raw_os_error() == Some(EPERM) => no_links(path, error).into(),
        _ => unreachable(path, error).into(),
    }
}

fn no_links(path: &Path, error: &io::Error) -> Refused {
    Refused::StoreUnreachable {
        why: format!(
            "`{}`: this file system does not support hard links ({error}), which a store needs to serialize its writers; put the store on another file system",
            path.display()
        ),
    }
}

/// Replaces a derived file in the root folder. Does not sync.
pub(super) fn replace_derived(path: &Path, bytes: &[u8]) -> Result<(), Refused> {
    let temporary = TemporaryFile::write(folder_of(path), bytes)?;
    passed(path, fault::point("store.index.written"))?;
    let path = path.to_owned();
    PendingFile {
        temporary,
        path: path.clone(),
    }
    .rename()?;
    passed(&path, fault::point("store.index.renamed"))
}

/// Creates a file and syncs it, unless the file exists.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), Refused> {
    let temporary = TemporaryFile::write(folder_of(path), bytes)?;
    temporary.sync()?;
    match fs::hard_link(&temporary.path, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result.map_err(|error| match not_linked(path, 0, &error) {
            WriteError::Refused(refused) => refused,
            WriteError::Conflict { .. } => unreachable(path, &error),
        })?,
    }
    drop(temporary);
    sync(folder_of(path))
}

/// Temporary file in the folder of its final path. The temporary name is removed on drop.
struct TemporaryFile {
    file: File,
    path: PathBuf,
}

impl TemporaryFile {
    fn write(folder: &Path, bytes: &[u8]) -> Result<Self, Refused> {
        let mut temporary = Self::create(folder)?;
        let written = fault::point("store.temporary.created");
        let written = written.and_then(|()| temporary.file.write_all(bytes));
        passed(&temporary.path, written)?;
        Ok(temporary)
    }

    /// Creates a temporary file with an unused name. The name contains the process id and a count,
    /// which are not unique if several machines share a folder. After a collision, the next count
    /// is used.
    fn create(folder: &Path) -> Result<Self, Refused> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{TEMPORARY}{}-{count}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { file, path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unreachable(&path, &error)),
            }
        }
    }

    /// True if the file also has another name than its temporary name.
    fn is_linked(&self) -> bool {
        self.file.metadata().is_ok_and(|data| data.nlink() > 1)
    }

    fn sync(&self) -> Result<(), Refused> {
        let synced = fault::point("store.temporary.written")
            .and_then(|()| self.file.sync_all())
            .and_then(|()| fault::point("store.temporary.synced"));
        passed(&self.path, synced)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _renamed_away = fs::remove_file(&self.path);
    }
}

fn passed(path: &Path, result: io::Result<()>) -> Result<(), Refused> {
    result.map_err(|error| unreachable(path, &error))
}

/// Calls `one` for all items concurrently, because a file system commits concurrent syncs together:
/// on ext4, 105 blobs take 80 ms instead of 460 ms.
fn together<T: Sync>(
    all: &[T],
    one: impl Fn(&T) -> Result<(), Refused> + Sync,
) -> Result<(), Refused> {
    if let [only] = all {
        return one(only);
    }
    let share = all.len().div_ceil(SYNCS_MAX).max(1);
    std::thread::scope(|scope| {
        let one = &one;
        let shares: Vec<_> = all
            .chunks(share)
            .map(|share| scope.spawn(move || share.iter().try_for_each(one)))
            .collect();
        shares
            .into_iter()
            .try_for_each(|share| share.join().expect("syncing does not panic"))
    })
}
