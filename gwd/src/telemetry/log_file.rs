//! Log file: reopened after it was moved, rotated when it is full, and composed of complete lines
//! even after the disk was full.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Mode of new log files: readable and writable by the user, readable by the group.
const MODE: u32 = 0o640;

/// Limits of a log file and its rotated predecessors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Size in bytes beyond which the file is rotated.
    pub max_bytes: u64,
    /// Number of rotated files to keep. `NAME.1` is the newest.
    pub keep: u32,
}

/// Log file that is appended to.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    rotation: Option<Rotation>,
    /// True if the last line in the file is incomplete.
    is_last_incomplete: bool,
}

impl LogFile {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn open(path: &Path, rotation: Option<Rotation>) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: append(path)?,
            rotation,
            is_last_incomplete: false,
        })
    }

    /// Opens the path again. On failure, the previously opened file stays in use.
    pub(crate) fn reopen(&mut self) {
        if let Ok(fresh) = append(&self.path) {
            // If the file was not moved, the path still names the same file, whose last line may be
            // incomplete.
            self.is_last_incomplete &= identity(fresh.metadata()) == identity(self.file.metadata());
            self.file = fresh;
        }
    }

    /// Writes complete lines. Returns the number of lines that could not be written, for example
    /// because the disk is full. The next write ends an incomplete line first.
    pub(crate) fn write(&mut self, lines: &[u8]) -> u64 {
        if !self.is_at_its_path() {
            self.reopen();
        }
        self.rotate(lines.len() as u64);
        if self.is_last_incomplete && self.file.write_all(b"\n").is_err() {
            return count(lines);
        }
        self.is_last_incomplete = false;
        let mut left = lines;
        while !left.is_empty() {
            match self.file.write(left) {
                Ok(0) => break,
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let written = &lines[..lines.len() - left.len()];
        self.is_last_incomplete = written.last().is_some_and(|byte| *byte != b'\n');
        count(left)
    }

    /// True if the path still names the open file. External log rotation may have moved or removed
    /// it.
    fn is_at_its_path(&self) -> bool {
        let named = identity(std::fs::metadata(&self.path));
        named.is_some() && named == identity(self.file.metadata())
    }

    /// Rotates the file if it would exceed its maximum size with `more` bytes. If the file cannot
    /// be renamed, it grows beyond the maximum, because lines are more important than the limit.
    fn rotate(&mut self, more: u64) {
        let Some(Rotation { max_bytes, keep }) = self.rotation else {
            return;
        };
        let Ok(bytes) = self.file.metadata().map(|data| data.len()) else {
            return;
        };
        if bytes == 0 || bytes.saturating_add(more) <= max_bytes {
            return;
        }
        for number in (1..keep).rev() {
            // Ignore an error: the file may not exist yet.
            let _missing = std::fs::rename(self.numbered(number), self.numbered(number + 1));
        }
        if std::fs::rename(&self.path, self.numbered(1)).is_ok() {
            self.reopen();
        }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Identity of a file: its device and inode numbers.
fn identity(data: io::Result<Metadata>) -> Option<(u64, u64)> {
    data.ok().map(|data| (data.dev(), data.ino()))
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true);
    match options.clone().create_new(true).mode(MODE).open(path) {
        Ok(file) => {
            // Set the mode explicitly, because the umask may have removed bits.
            file.set_permissions(Permissions::from_mode(MODE))?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create(true).mode(MODE).open(path)
        }
        Err(error) => Err(error),
    }
}

/// Number of lines that end in `bytes`.
fn count(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::{AsRawFd as _, OwnedFd};

    use super::*;

    fn text(folder: &Path, name: &str) -> Option<String> {
        std::fs::read_to_string(folder.join(name)).ok()
    }

    #[test]
    fn full_file_is_rotated_and_the_oldest_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation {
            max_bytes: 8,
            keep: 3,
        };
        let path = folder.path().join("log");
        let mut log = LogFile::open(&path, Some(rotation)).unwrap();
        // Two lines fit. A single batch that exceeds the limit is written completely.
        for lines in ["one\n", "two\n", "three\n", "four, five\nsix\n", "seven\n"] {
            assert_eq!(log.write(lines.as_bytes()), 0);
        }
        // The size of an existing file counts towards the maximum.
        let mut log = LogFile::open(&path, Some(rotation)).unwrap();
        assert_eq!(log.write(b"eight\n"), 0);
        let names = ["log", "log.1", "log.2", "log.3", "log.4"];
        let kept = names.map(|name| text(folder.path(), name));
        let expected = [
            Some("eight\n"),
            Some("seven\n"),
            Some("four, five\nsix\n"),
            Some("three\n"),
            None,
        ];
        assert_eq!(kept, expected.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn a_file_that_cannot_be_moved_is_written_on() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = Rotation {
            max_bytes: 4,
            keep: 1,
        };
        let path = folder.path().join("log");
        std::fs::create_dir_all(folder.path().join("log.1/in the way")).unwrap();
        let mut log = LogFile::open(&path, Some(rotation)).unwrap();
        assert_eq!(log.write(b"one\n"), 0);
        assert_eq!(log.write(b"two\n"), 0);
        assert_eq!(text(folder.path(), "log").as_deref(), Some("one\ntwo\n"));
    }

    /// Simulates a full disk with a full pipe, which accepts only part of a write.
    #[test]
    fn a_line_that_was_cut_is_ended_before_the_next() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let mut log = LogFile {
            path: path.into(),
            file: File::from(OwnedFd::from(writer)),
            rotation: None,
            is_last_incomplete: false,
        };
        let line = format!("{}\n", "z".repeat(99));
        let lost = log.write(line.repeat(1_000).as_bytes());
        // The capacity of a pipe is 64 KiB.
        assert_eq!(lost, 1_000 - 65_536 / 100);
        let mut read = vec![0; 65_536];
        reader.read_exact(&mut read).unwrap();
        // Reopen without a moved file: the incomplete line is still the last one.
        log.reopen();
        assert_eq!(log.write(b"next\nlast\n"), 0);
        drop(log);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "\nnext\nlast\n");
    }

    #[test]
    fn lines_lost_on_a_full_disk_are_counted() {
        let mut full = LogFile::open(Path::new("/dev/full"), None).unwrap();
        assert_eq!(full.write(b"one\ntwo\n"), 2);
    }
}
