//! Checks for symbolic links in paths named on the command line.
//!
//! The author of a pull request chooses the targets of committed links.

use std::io;
use std::path::{Component, Path, PathBuf};

use model::exit::{Exit, Failure};
use sources::project::GATEWAY_FILE;
use sources::project::repository::WorkTree;
use sources::project::revision::NoRevision;

/// Refuses a file behind a symbolic link in a work tree, unless that work tree tracks the file.
/// Outside a repository, a link below the current directory may only lead into the folder that
/// contains the link.
///
/// # Errors
/// Returns an input error if the file is missing, not tracked, or outside the work tree.
pub fn check(path: &Path) -> anyhow::Result<()> {
    check_kind(path, "file")
}

fn check_kind(path: &Path, kind: &str) -> anyhow::Result<()> {
    for link in path.ancestors().filter(|path| path.is_symlink()) {
        let parent = link.parent().filter(|path| !path.as_os_str().is_empty());
        let is_tracked = match WorkTree::find(parent.unwrap_or(Path::new("."))) {
            Ok(tree) => tree.inside(path).is_some_and(|path| tree.tracks(&path)),
            Err(NoRevision::NoRepository(_)) => stays(link, path),
            Err(_) => false,
        };
        if !is_tracked {
            let message = format!(
                "`{}` is a symbolic link to a {kind} that its repository does not track or that is outside its folder; \
                 write the path of the {kind} itself, or `git add` the {kind}",
                shown(link)
            );
            return Err(Failure::new(Exit::INPUT, "untracked-link", message).into());
        }
    }
    Ok(())
}

/// Refuses a project's folder behind a symbolic link, as [`check`] does for gateway.yaml. Accepts a
/// folder without gateway.yaml, which is no project.
///
/// # Errors
/// Returns an input error if gateway.yaml is not tracked, or outside the work tree.
pub fn check_folder(folder: &Path) -> anyhow::Result<()> {
    let file = folder.join(GATEWAY_FILE);
    match file.is_file() {
        true => check_kind(&file, "project"),
        false => Ok(()),
    }
}

/// Refuses a project that was entered over a committed symbolic link to a file that the link's
/// repository does not track. `folder`: folder of the project that contains the current directory.
///
/// # Errors
/// Returns an input error with the link.
pub fn check_entered(folder: &Path) -> anyhow::Result<()> {
    let entered = entered_directory()?;
    let file = folder.join(GATEWAY_FILE);
    for link in entered.ancestors().filter(|path| path.is_symlink()) {
        let tree = link.parent().and_then(|parent| WorkTree::find(parent).ok());
        let is_inside = |tree: &WorkTree| tree.inside(&file).is_some_and(|file| tree.tracks(&file));
        if is_tracked(link) && !tree.as_ref().is_some_and(is_inside) {
            let message = format!(
                "the current directory was entered over `{}`, a symbolic link to a project that its \
                 repository does not track; enter the project's folder itself",
                shown(link)
            );
            return Err(Failure::new(Exit::INPUT, "untracked-link", message).into());
        }
    }
    Ok(())
}

/// True if the work tree that contains a symbolic link tracks the link.
#[must_use]
pub fn is_tracked(link: &Path) -> bool {
    let tracked = || {
        let parent = link.parent()?;
        let tree = WorkTree::find(parent).ok()?;
        let path = tree.inside(parent)?.join(link.file_name()?);
        Some(tree.tracks(&path))
    };
    tracked().unwrap_or(false)
}

/// Current directory with the symbolic links over which it was entered: `PWD` if this variable
/// names the current directory, otherwise the physical path.
///
/// # Errors
/// Returns the error of the system.
pub fn entered_directory() -> io::Result<PathBuf> {
    let physical = std::env::current_dir()?;
    let is_here = |path: &PathBuf| {
        path.is_absolute() && path.canonicalize().is_ok_and(|path| path == physical)
    };
    let entered = std::env::var_os("PWD").map(PathBuf::from).filter(is_here);
    Ok(entered.unwrap_or(physical))
}

/// Refuses a path that contains a symbolic link inside a project or a work tree. For paths to which
/// gwc writes.
///
/// # Errors
/// Returns an error with the path of the link.
pub fn check_written(path: &Path) -> io::Result<()> {
    let mut so_far = PathBuf::new();
    let mut is_inside = false;
    for part in std::path::absolute(path)?.components() {
        so_far.push(part);
        if is_inside && matches!(part, Component::Normal(_)) && so_far.is_symlink() {
            return Err(is_link(&so_far));
        }
        let is_top = || {
            let marks = [".git", GATEWAY_FILE].map(|name| so_far.join(name));
            marks.iter().any(|mark| mark.symlink_metadata().is_ok())
        };
        is_inside = is_inside || is_top();
    }
    Ok(())
}

/// Error about a symbolic link in a path to which gwc writes.
#[must_use]
pub fn is_link(path: &Path) -> io::Error {
    io::Error::other(format!(
        "`{}` is a symbolic link, and gwc does not write through links",
        path.display()
    ))
}

/// Path for display: relative to the current directory if the file is inside it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.and_then(|here| path.strip_prefix(here).ok());
    diag::text::printable(&inside.unwrap_or(path).to_string_lossy())
}

/// True if the link is not below the current directory, or leads into the folder that contains the
/// link.
fn stays(link: &Path, path: &Path) -> bool {
    let parent = link.parent().filter(|path| !path.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new(".")).canonicalize();
    let (Ok(parent), Ok(here)) = (parent, std::env::current_dir()) else {
        return false;
    };
    let here = here.canonicalize().unwrap_or(here);
    !parent.starts_with(here) || path.canonicalize().is_ok_and(|end| end.starts_with(parent))
}
