//! Files of a layout, read within limits. Errors contain the path.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::refused::Refused;

/// Reads at most `bytes_max + 1` bytes of a file, so that the caller can detect a longer file.
/// `None` if the file does not exist.
pub(super) fn read_limited(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused> {
    let kind = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(|error| unreachable(path, &error))?,
    };
    if !kind.is_file() {
        // Do not open a FIFO, because opening it would block.
        return Err(odd(path, "not a regular file"));
    }
    let file = match File::open(path) {
        // A clean-up has removed the file after it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(|error| unreachable(path, &error))?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreachable(path, &error))?;
    Ok(Some(bytes))
}

/// Error for a file that does not belong to a layout. Contains the path, so that the operator can
/// remove the file.
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

/// UTF-8 file names in a folder. Empty if the folder does not exist.
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
    // The last ancestor of a relative path is empty and stands for the current directory.
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
