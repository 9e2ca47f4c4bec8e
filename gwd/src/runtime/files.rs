//! Reading of files that other programs write, without blocking and with a size limit.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Flag for `open`, so that opening a named pipe does not wait for a writer.
pub(crate) const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// Flags for `open` of a file that only gwd writes: a symbolic link in its place is not followed.
pub(crate) const UNLINKED: i32 =
    (rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NOCTTY.bits()) as i32 | NONBLOCK;

/// Reads a regular file of at most `bytes_max` bytes.
///
/// # Errors
/// If the file cannot be read, is not a regular file, or is too large.
pub(crate) fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    read_limited(file, bytes_max)
}

fn read_limited(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!(
            "it is larger than {bytes_max} bytes"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read_file(&path, 4).unwrap(), b"four");
        let why = |path: &Path, max| read_file(path, max).unwrap_err().to_string();
        assert_eq!(why(&path, 3), "it is larger than 3 bytes");
        assert_eq!(why(folder.path(), 4), "it is not a regular file");
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(why(&pipe, 4), "it is not a regular file");
    }
}
