//! Resolution of paths with symbolic links that stay within a folder.
//!
//! The author of a pull request writes the links of a project. A link to a path outside must not
//! show which files the machine has. Therefore, no link is followed out of the folder, and the
//! result does not depend on the existence of a file outside.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::refusal::Refusal;

/// Maximum number of symbolic links in a path, as in Linux (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Resolves a path relative to `root` into a path without symbolic links. `outer` is `root` or a
/// folder above `root`. Both `root` and `outer` are canonical.
///
/// # Errors
/// Returns [`Refusal::Outside`] if the path or a link leaves `outer`, [`Refusal::Missing`] if
/// nothing in `outer` has this path, and [`Refusal::Unreadable`] for other errors.
pub(super) fn resolve(root: &Path, outer: &Path, path: &str) -> Result<PathBuf, Refusal> {
    let mut real = root.to_owned();
    let mut waiting = names(Path::new(path))?;
    let mut links = 0;
    while let Some(name) = waiting.pop() {
        if name == ".." {
            if real == outer || !real.pop() {
                return Err(Refusal::Outside);
            }
            continue;
        }
        let next = real.join(name);
        let kind = next
            .symlink_metadata()
            .map_err(|error| unreadable(&error))?
            .file_type();
        if !kind.is_symlink() {
            real = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Refusal::Unreadable("too many symbolic links".to_owned()));
        }
        let target = next.read_link().map_err(|error| unreadable(&error))?;
        if target.is_absolute() {
            // Do not resolve the target: the result would show which folders exist outside.
            let inner = target.strip_prefix(outer).map_err(|_| Refusal::Outside)?;
            waiting.extend(names(inner)?);
            outer.clone_into(&mut real);
        } else {
            waiting.extend(names(&target)?);
        }
    }
    Ok(real)
}

/// Names of a relative path, the last one first.
fn names(path: &Path) -> Result<Vec<OsString>, Refusal> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir | Component::Normal(_) => {
                names.push(part.as_os_str().to_owned());
            }
            Component::RootDir | Component::Prefix(_) => return Err(Refusal::Outside),
        }
    }
    names.reverse();
    Ok(names)
}

/// Converts an error of the file system to a refusal.
pub(super) fn unreadable(error: &std::io::Error) -> Refusal {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Refusal::Missing,
        _ => Refusal::Unreadable(error.to_string()),
    }
}
