//! Files of a folder store, read within limits. Errors contain the path.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::refused::Refused;

/// Opens a regular file without waiting, and creates it if `flags` contains `CREATE`. Checks the
/// kind of file before opening, because opening a device can have effects. Checks again afterwards,
/// because another process may have replaced the file by a FIFO.
///
/// With `NOFOLLOW`, also refuses a symbolic link, which could name a file outside the store.
///
/// # Errors
/// The error of the system; `InvalidInput` if the file is not a regular one.
pub(super) fn open_regular(path: &Path, flags: OFlags) -> io::Result<File> {
    let there = match flags.contains(OFlags::NOFOLLOW) {
        true => fs::symlink_metadata(path),
        false => fs::metadata(path),
    };
    if there.is_ok_and(|there| !there.is_file()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    let opened = rustix::fs::open(path, flags, mode).map_err(|error| match error {
        // The path is a socket; or a FIFO that is opened for writing and that no process reads; or,
        // with `NOFOLLOW`, a symbolic link.
        Errno::NXIO | Errno::LOOP => io::ErrorKind::InvalidInput.into(),
        error => io::Error::from(error),
    });
    let file = File::from(opened?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Reads at most `bytes_max + 1` bytes of a file, so that the caller can detect a longer file.
/// `None` if the file does not exist.
pub(super) fn read_limited(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused> {
    let file = match open_regular(path, OFlags::RDONLY) {
        // The file may be missing because a clean-up removed it after it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(odd(path, "not a regular file"));
        }
        result => result.map_err(|error| unreachable(path, &error))?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreachable(path, &error))?;
    Ok(Some(bytes))
}

/// Error for a file that does not belong to a folder store. Contains the path, so that the operator
/// can remove the file.
pub(super) fn odd(path: &Path, why: &str) -> Refused {
    Refused::Malformed {
        what: "store",
        why: format!(
            "`{}`: {why}; restore the original file, or remove this one",
            path.display()
        )
        .into(),
    }
}

/// Lists the UTF-8 file names in a folder. Empty if the folder does not exist.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, Refused> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(|error| unreachable(folder, &error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreachable(folder, &error))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Creates a folder and the folders between it and `root`, and syncs their parents. Fails if the
/// root does not exist, because a new root would hide that the store is lost.
pub(super) fn make_below(root: &Path, folder: &Path) -> Result<(), Refused> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let above = folder_of(folder);
    make_below(root, above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(unreachable(folder, &error))
        }
        _ => sync(above),
    }
}

/// Creates the root folder of a store and its parent folders, and syncs the parents.
pub(super) fn make_root(root: &Path) -> Result<(), Refused> {
    let missing = root.ancestors().take_while(|folder| !folder.is_dir());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    // Ignore the empty last ancestor of a relative path, which means the current directory.
    missing.retain(|folder| !folder.as_os_str().is_empty());
    for folder in missing.iter().rev() {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(unreachable(folder, &error));
            }
            _ => {}
        }
        match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => sync(above)?,
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .expect("every file of a layout lies in a folder")
}

pub(super) fn sync(folder: &Path) -> Result<(), Refused> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| unreachable(folder, &error))
}

pub(super) fn unreachable(path: &Path, error: &io::Error) -> Refused {
    Refused::StoreUnreachable {
        why: format!("`{}`: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opening must not wait if a FIFO has replaced a file after the check.
    #[test]
    fn fifo_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RWXU).unwrap();
        for flags in [OFlags::RDONLY, OFlags::WRONLY | OFlags::CREATE] {
            let error = open_regular(&fifo, flags).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{flags:?}");
        }
        assert!(read_limited(&fifo, 10).is_err());
        assert!(read_limited(Path::new("/dev/null"), 10).is_err());
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        assert_eq!(read_limited(&file, 10).unwrap().unwrap(), b"text");
        assert_eq!(read_limited(&folder.path().join("none"), 10).unwrap(), None);
    }

    #[test]
    fn a_lock_creates_nothing_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW;
        for _ in ["no target", "a file as target"] {
            let error = open_regular(&link, flags).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            fs::write(&target, "text").unwrap();
        }
        assert_eq!(read_limited(&link, 10).unwrap().unwrap(), b"text");
    }
}
