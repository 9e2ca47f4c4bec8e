//! Writer of output files. It writes atomically and follows no links inside a project. It
//! overwrites a file that Git tracks only if gwc wrote this file.
//!
//! A pull request can add symbolic links and files of any name. Therefore, no component of a path
//! inside a project or a work tree may be a link, and foreign tracked files are not overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::OFlags;

use crate::release::links;
use sources::project::repository::WorkTree;

/// Number of bytes at the start of a file that are searched for [`MARKS`].
const MARKED_BYTES_MAX: u64 = 64 << 10;

/// Marks that identify a report written by gwc.
const MARKS: [&[u8]; 4] = [
    b"\"name\": \"gwc\"",
    b"\"name\":\"gwc\"",
    b"<testsuites name=\"gwc lint\"",
    b"<checkstyle version=\"4.3\">",
];

/// Possible names of the first entry in a one-file bundle (tar archive). They identify a bundle
/// that gwc wrote.
const BUNDLE_BEGINS: [&[u8]; 3] = [b"oci-layout\0", b"index.json\0", b"blobs/"];

/// Writes a file of the project (a source or the trust file) atomically. An existing file keeps its
/// permissions. A pipe or a device is written to directly.
///
/// # Errors
/// Returns an error if the path contains a link. Also returns the system's errors, with the file
/// name.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    written(file, bytes).with_context(|| format!("cannot write `{}`", file.display()))
}

/// Writes a report or a bundle to the file of an option, as [`replace`] does.
///
/// # Errors
///
/// Returns the errors of [`replace`], and an error for a tracked file that gwc did not write.
pub(super) fn output(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    check_owner(file)
        .and_then(|()| written(file, bytes))
        .with_context(|| format!("cannot write `{}`", file.display()))
}

/// Creates a folder and its parents.
///
/// # Errors
/// Returns an error if the path contains a link, or the error of the system.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    links::check_written(folder)?;
    fs::create_dir_all(folder)
}

/// Refuses a path that contains a symbolic link below `root`.
///
/// # Errors
/// Returns an error with the path of the link.
pub(super) fn check_links_below(root: &Path, path: &Path) -> io::Result<()> {
    let mut so_far = root.to_owned();
    for part in path.components() {
        so_far.push(part);
        if so_far.is_symlink() {
            return Err(links::is_link(&so_far));
        }
    }
    Ok(())
}

/// Refuses a file that Git tracks and that gwc did not write.
fn check_owner(file: &Path) -> io::Result<()> {
    // Skip pipes and devices: opening a pipe blocks until its other end is opened, and opening a
    // device can have effects.
    if !fs::symlink_metadata(file).is_ok_and(|there| there.is_file()) {
        return Ok(());
    }
    let Ok(open) = File::open(file) else {
        return Ok(());
    };
    if open.metadata()?.len() == 0 {
        return Ok(());
    }
    let is_tracked = || {
        let tree = WorkTree::find(file).ok()?;
        Some(tree.tracks(&tree.inside(file)?))
    };
    if !is_tracked().unwrap_or(false) {
        return Ok(());
    }
    let mut start = Vec::new();
    open.take(MARKED_BYTES_MAX).read_to_end(&mut start)?;
    let has = |mark: &&[u8]| start.windows(mark.len()).any(|window| window == *mark);
    if MARKS.iter().any(has) || BUNDLE_BEGINS.iter().any(|name| start.starts_with(name)) {
        return Ok(());
    }
    Err(io::Error::other(
        "Git tracks this file, and gwc did not make it; name another file",
    ))
}

fn written(file: &Path, bytes: &[u8]) -> io::Result<()> {
    // `/dev/stdout` is a link to the file that the shell opened. Write through this link.
    if ["/dev", "/proc"].iter().any(|top| file.starts_with(top)) {
        return OpenOptions::new().write(true).open(file)?.write_all(bytes);
    }
    let there = fs::symlink_metadata(file).ok();
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    links::check_written(folder.unwrap_or(Path::new(".")))?;
    if there.as_ref().is_some_and(fs::Metadata::is_symlink) {
        return Err(links::is_link(file));
    }
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        let flags = OFlags::NOFOLLOW | OFlags::NOCTTY;
        let mut options = OpenOptions::new();
        let options = options.write(true).custom_flags(flags.bits() as i32);
        return options.open(file)?.write_all(bytes);
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let waiting = file.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = || {
        let mut open = File::create_new(&waiting)?;
        if let Some(there) = &there {
            open.set_permissions(there.permissions())?;
        }
        open.write_all(bytes)?;
        open.sync_all()?;
        fs::rename(&waiting, file)
    };
    written().inspect_err(|_| drop(fs::remove_file(&waiting)))
}
