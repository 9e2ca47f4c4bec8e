//! Key sets that gwd fetches from identity providers. All versions that name the same source share
//! one cell, which holds the source's current key set. A copy in the state folder lets a gateway
//! start while the provider is unreachable (release.md §7).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bundle::digest::Digest;
use bytes::Bytes;
use policy::key_cell::{KeyCell, Read, Remote};
use serde_json::json;

use super::secrets::IDLE_MS;
use crate::runtime::clock;
use crate::runtime::files;
use crate::runtime::program_log::{Level, event};

/// First word of a stored copy of a key set: the version of the file format.
const FORM: &str = "gwd-key-set-1";
/// Maximum length of a stored copy in bytes: a key set of 1 MiB and its first line.
const BYTES_MAX: u64 = (1 << 20) + 4_096;
/// Maximum time by which the fetch time in a copy may be ahead of the clock, in seconds. A copy
/// with a later fetch time is not used.
const AHEAD_MAX_S: u64 = 300;

/// Current key set of each source, and the folder with the stored copies of the key sets.
#[derive(Debug, Default)]
pub(crate) struct KeySets {
    /// Folder of the copies, or `None` if no copies are kept.
    folder: Option<PathBuf>,
    cells: RefCell<BTreeMap<Remote, Entry>>,
}

#[derive(Debug)]
struct Entry {
    cell: Arc<KeyCell>,
    /// Time since which no version names the source, in milliseconds. `None` while a version names
    /// the source.
    idle_since_ms: Option<u64>,
}

impl KeySets {
    /// Creates an empty collection whose copies are in a state folder.
    pub(crate) fn of(state: &Path) -> Self {
        Self {
            folder: Some(state.join("key-sets")),
            cells: RefCell::default(),
        }
    }

    /// Returns the cell with the current key set of a source. A new cell starts with the copy that
    /// an earlier process has stored, if there is one.
    pub(crate) fn cell(&self, source: &Remote, read: Read) -> Arc<KeyCell> {
        let mut cells = self.cells.borrow_mut();
        let entry = cells.entry(source.clone()).or_insert_with(|| Entry {
            cell: self.restored(source, read),
            idle_since_ms: None,
        });
        Arc::clone(&entry.cell)
    }

    /// Writes copies of the key sets that were fetched since the last call. Drops the key sets of
    /// sources that no version has named for the idle time. `now_ms`: time of a monotonic clock.
    pub(crate) fn tidy(&self, now_ms: u64) {
        let mut cells = self.cells.borrow_mut();
        for entry in cells.values() {
            self.save(&entry.cell);
        }
        cells.retain(|_, entry| {
            let in_use = Arc::strong_count(&entry.cell) > 1;
            entry.idle_since_ms = match (in_use, entry.idle_since_ms) {
                (true, _) => None,
                (false, since) => Some(since.unwrap_or(now_ms)),
            };
            let since = entry.idle_since_ms;
            since.is_none_or(|since| now_ms.saturating_sub(since) < IDLE_MS)
        });
    }

    fn save(&self, cell: &KeyCell) {
        let Some(folder) = &self.folder else { return };
        let Some((set, fetched_s)) = cell.take_unsaved() else {
            return;
        };
        let path = path(folder, cell.source());
        if let Err(error) = write(folder, &path, &text(cell.source(), &set, fetched_s)) {
            event(
                Level::Warn,
                "the copy of a key set cannot be written; after a restart gwd fetches the key set before using it",
                json!({"source": cell.source().url(), "error": error.to_string()}),
            );
        }
    }

    fn restored(&self, source: &Remote, read_set: Read) -> Arc<KeyCell> {
        let cell = KeyCell::new(source.clone(), read_set);
        let Some(folder) = &self.folder else {
            return cell;
        };
        let path = path(folder, source);
        let read = match files::read_file(&path, BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return cell,
            Err(error) => Err(error.to_string()),
            Ok(bytes) => read(source, bytes)
                .and_then(|(set, fetched_s)| cell.restored(&set, fetched_s).map_err(str::to_owned)),
        };
        if let Err(why) = read {
            event(
                Level::Warn,
                "the copy of a key set is damaged and not used",
                json!({"source": source.url(), "file": path.display().to_string(), "error": why}),
            );
        }
        cell
    }
}

/// Path of the file with the stored copy of a source's key set.
fn path(folder: &Path, source: &Remote) -> PathBuf {
    let kind = match source {
        Remote::Set(_) => "set",
        Remote::Issuer(_) => "issuer",
        Remote::Provider(_) => "provider",
    };
    let name = Digest::of(format!("{kind} {}", source.url()).as_bytes());
    folder.join(name.to_string().trim_start_matches("sha256:"))
}

/// Content of a stored copy of a key set. The first line has the format, the digest of the rest and
/// the time of the fetch. The second line has the source. The key set follows as received.
fn text(source: &Remote, set: &Bytes, fetched_s: u64) -> Vec<u8> {
    let rest = [format!("{fetched_s}\n{}\n", source.url()).as_bytes(), set].concat();
    let digest = Digest::of(&rest);
    [format!("{FORM} {digest}\n").as_bytes(), &rest].concat()
}

fn read(source: &Remote, bytes: Vec<u8>) -> Result<(Bytes, u64), String> {
    let mut rest = Bytes::from(bytes);
    let first = line(&mut rest).unwrap_or_default();
    let digest = first.strip_prefix(FORM).map(str::trim);
    let digest = digest.ok_or("its format is unknown")?;
    if Digest::of(&rest).to_string() != digest {
        return Err("its digest does not match".to_owned());
    }
    let fetched_s: u64 = line(&mut rest)
        .and_then(|text| text.parse().ok())
        .unwrap_or(u64::MAX);
    if line(&mut rest).as_deref() != Some(source.url()) {
        return Err("it belongs to another source".to_owned());
    }
    if fetched_s > clock::unix_ms() / 1_000 + AHEAD_MAX_S {
        return Err("its time is in the future".to_owned());
    }
    Ok((rest, fetched_s))
}

/// Removes the first line from `rest` and returns it. `None` if there is no line end, or the line
/// is not valid UTF-8.
fn line(rest: &mut Bytes) -> Option<String> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = rest.split_to(end + 1);
    String::from_utf8(line[..end].to_vec()).ok()
}

/// Writes a file atomically: a reader, also one after a crash, finds either the old or the new
/// content.
fn write(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(true).write(true);
    let mut file = options.custom_flags(files::UNLINKED).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = b"{\"keys\": []}\n";

    fn any(_: &[u8]) -> Result<policy::key_cell::Keys, &'static str> {
        Ok((Arc::new(()), 1))
    }

    fn source() -> Remote {
        Remote::Set("https://idp.example/keys".to_owned())
    }

    /// Creates a state folder with the stored copy of one key set, and returns the path of the
    /// copy.
    fn saved() -> (tempfile::TempDir, PathBuf) {
        let state = tempfile::tempdir().unwrap();
        let sets = KeySets::of(state.path());
        let cell = sets.cell(&source(), any);
        cell.fetched(&Bytes::from_static(SET), 1_000, None, 0)
            .unwrap();
        sets.tidy(0);
        let file = path(&state.path().join("key-sets"), &source());
        assert!(file.is_file());
        (state, file)
    }

    fn keys(state: &Path) -> Option<u64> {
        let cell = KeySets::of(state).cell(&source(), any);
        cell.set().map(|set| set.fetched_s)
    }

    #[test]
    fn copy_is_there_after_a_restart() {
        let (state, _) = saved();
        assert_eq!(keys(state.path()), Some(1_000));
        let other = KeySets::of(state.path()).cell(&Remote::Issuer(source().url().to_owned()), any);
        assert!(other.set().is_none(), "it belongs to another source");
    }

    #[test]
    fn every_changed_byte_of_a_copy_is_noticed() {
        let (state, file) = saved();
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&file, &damaged).unwrap();
            assert_eq!(keys(state.path()), None, "byte {at}");
        }
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(keys(state.path()), None);
        fs::write(&file, &whole).unwrap();
        assert_eq!(keys(state.path()), Some(1_000));
    }

    #[test]
    fn copy_from_the_future_is_not_used() {
        let (state, file) = saved();
        let late_s = clock::unix_ms() / 1_000 + 2 * AHEAD_MAX_S;
        fs::write(&file, text(&source(), &Bytes::from_static(SET), late_s)).unwrap();
        assert_eq!(keys(state.path()), None);
    }

    #[test]
    fn versions_share_a_cell_until_it_was_idle() {
        let sets = KeySets::default();
        let cell = sets.cell(&source(), any);
        assert!(Arc::ptr_eq(&cell, &sets.cell(&source(), any)));
        sets.tidy(0);
        drop(cell);
        sets.tidy(1);
        sets.tidy(IDLE_MS);
        assert_eq!(sets.cells.borrow().len(), 1);
        sets.tidy(IDLE_MS + 1);
        assert_eq!(sets.cells.borrow().len(), 0);
    }
}
