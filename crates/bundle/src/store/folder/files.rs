//! Files of a layout, read within limits; errors name their paths.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::refused::Refused;

/// Reads at most one byte more than `bytes_max`; `None` if there is no such file.
pub(super) fn read_limited(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused> {
    let kind = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(|error| unreachable(path, &error))?,
    };
    if !kind.is_file() {
        // Opening a pipe would wait for ever.
        return Err(odd(path, "something else than a file stands here"));
    }
    let file = match File::open(path) {
        // A clean-up was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(|error| unreachable(path, &error))?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreachable(path, &error))?;
    Ok(Some(bytes))
}

/// Foreign file in a layout: told with its path, so that it can be removed.
pub(super) fn odd(path: &Path, why: &str) -> Refused {
    Refused::Malformed {
        what: "store",
        why: format!(
            "`{}`: {why}; put back what was there, or remove it",
            path.display()
        )
        .into(),
    }
}

/// The file names in a folder that are UTF-8; none if there is no such folder.
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

/// Makes a folder and those between it and `root`, and syncs their parents. A root that is gone is
/// not made again: what was in it is gone, too.
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

/// Makes a root and the folders above it, and syncs their parents.
pub(super) fn make_root(root: &Path) -> Result<(), Refused> {
    let missing = root.ancestors().take_while(|folder| !folder.is_dir());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    // The last one of a relative path is the working folder, which has no name.
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
