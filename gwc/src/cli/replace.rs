//! Writing a file whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// Writes a file so that a reader sees the old one or the new one, whole. A file that is there
/// keeps its permissions; a link stays, and what it leads to is replaced. What is no regular
/// file (a pipe, `/dev/stdout`) is written to.
///
/// # Errors
/// The file's name and what the system says.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    written(file, bytes).with_context(|| format!("cannot write `{}`", file.display()))
}

fn written(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let there = fs::metadata(file).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        return OpenOptions::new().write(true).open(file)?.write_all(bytes);
    }
    let real = if there.is_some() {
        file.canonicalize()?
    } else {
        file.to_owned()
    };
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let waiting = real.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = || {
        let mut open = File::create_new(&waiting)?;
        if let Some(there) = &there {
            open.set_permissions(there.permissions())?;
        }
        open.write_all(bytes)?;
        open.sync_all()?;
        fs::rename(&waiting, &real)
    };
    written().inspect_err(|_| drop(fs::remove_file(&waiting)))
}
