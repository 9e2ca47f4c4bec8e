//! Secrets: resolves secret references, only within the sources that the operator allows
//! (release.md §8).
//!
//! The process holds each secret's value in a cell, and versions hold references to cells. A
//! changed value therefore reaches all versions, and a rollback never brings back an old value. If
//! a source vanishes, the last value stays in use. A cell that no version in memory uses is removed
//! after [`IDLE_MS`]. If a new version needs an unused cell, its source is read again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::Assembly;
use policy::key_cell::{KeyCell, Read, Remote};
use policy::ranges::{self, RangesCell};
use policy::{Form, SecretCell, SecretRef, SecretUnavailable, SecretValue, Secrets};
use serde_json::json;

use super::Control;
use super::key_sets::KeySets;
use crate::runtime::files::NONBLOCK;
use crate::runtime::program_log::{Level, event};

/// Delay before a changed value is read a second time, because its file may still be being written.
const SETTLE: Duration = Duration::from_millis(20);
/// Time for which an unused secret cell is kept: 10 minutes. A cell is unused if no version in
/// memory refers to it.
pub(super) const IDLE_MS: u64 = 10 * 60_000;

/// Allowed sources of secrets, and a cell for each secret in use, which holds the secret's current
/// value.
#[derive(Debug)]
pub(crate) struct Registry {
    folder: PathBuf,
    env_prefix: String,
    cells: RefCell<BTreeMap<SecretRef, Entry>>,
    ranges: RefCell<BTreeMap<SecretRef, Ranges>>,
    key_sets: KeySets,
}

#[derive(Debug)]
struct Entry {
    cell: Arc<SecretCell>,
    /// Time since which no version uses the secret, in milliseconds of the clock. `None` while a
    /// version uses it.
    idle_since_ms: Option<u64>,
    /// Formats that the settings which use this secret require of its value.
    forms: BTreeSet<Form>,
    /// True if the source is missing or its value cannot be used.
    stale: bool,
}

/// Address ranges from a file, with the content of the file.
#[derive(Debug)]
struct Ranges {
    cell: Arc<RangesCell>,
    /// Content of the file with the address ranges.
    content: Arc<SecretCell>,
    /// Content from which the current ranges in `cell` were parsed.
    parsed: Arc<SecretValue>,
}

#[derive(Debug)]
enum Unavailable {
    NotAllowed,
    Missing,
    Unusable,
}

// === impl Registry ===

impl Registry {
    pub(crate) fn new(folder: PathBuf, env_prefix: String) -> Self {
        Self {
            folder,
            env_prefix,
            cells: RefCell::default(),
            ranges: RefCell::default(),
            key_sets: KeySets::default(),
        }
    }

    /// Adds a state folder, in which gwd stores copies of key sets.
    pub(crate) fn with_copies(mut self, state: &Path) -> Self {
        self.key_sets = KeySets::of(state);
        self
    }

    /// Reads the sources of all secrets again. Changed values take effect in all versions at once.
    /// Cells that were unused for [`IDLE_MS`] are dropped. `now_ms`: time of a monotonic clock.
    pub(crate) fn refresh(&self, now_ms: u64) {
        self.key_sets.tidy(now_ms);
        self.ranges
            .borrow_mut()
            .retain(|_, one| Arc::strong_count(&one.cell) > 1);
        let mut cells = self.cells.borrow_mut();
        cells.retain(|_, entry| {
            entry.idle_since_ms = match (entry.in_use(), entry.idle_since_ms) {
                (true, _) => None,
                (false, since) => Some(since.unwrap_or(now_ms)),
            };
            let since = entry.idle_since_ms;
            since.is_none_or(|since| now_ms.saturating_sub(since) < IDLE_MS)
        });
        let read = |reference: &SecretRef, entry: &Entry| self.read(reference, &entry.forms);
        let changed: Vec<SecretRef> = cells
            .iter()
            .filter(|(reference, entry)| {
                read(reference, entry).is_ok_and(|value| value != *entry.cell.value())
            })
            .map(|(reference, _)| reference.clone())
            .collect();
        if !changed.is_empty() {
            std::thread::sleep(SETTLE);
        }
        for (reference, entry) in &mut *cells {
            let first = changed.contains(reference);
            let value = read(reference, entry);
            let stale = value.is_err();
            // A secret that changes only after the first read is replaced at the next refresh.
            if let Ok(value) = value
                && first
                && value != *entry.cell.value()
            {
                entry.cell.store(value);
                log_secret(Level::Info, "a secret was replaced", reference);
            }
            match (entry.stale, stale) {
                (false, true) => log_secret(
                    Level::Warn,
                    "a secret is missing or unusable; its last value stays in use",
                    reference,
                ),
                (true, false) => log_secret(Level::Info, "a secret can be read again", reference),
                (false, false) | (true, true) => {}
            }
            entry.stale = stale;
        }
        for one in self.ranges.borrow_mut().values_mut() {
            let content = one.content.value();
            if !Arc::ptr_eq(&content, &one.parsed)
                && let Some(parsed) = ranges::parse(&content)
            {
                one.cell.store(parsed);
                one.parsed = content;
            }
        }
    }

    /// Secrets in use whose source is unreadable or has an unusable value.
    pub(crate) fn stale(&self) -> BTreeSet<SecretRef> {
        let cells = self.cells.borrow();
        let stale = cells
            .iter()
            .filter(|(_, entry)| entry.stale && entry.in_use());
        stale.map(|(reference, _)| reference.clone()).collect()
    }

    /// Folders to watch for changes of secret files: the folders of the files, and of the files
    /// that symbolic links lead to.
    pub(crate) fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for reference in self.cells.borrow().keys() {
            let SecretRef::File(path) = reference else {
                continue;
            };
            let path = Path::new(path);
            folders.extend(path.parent().map(Path::to_owned));
            let real = path.canonicalize().ok();
            folders.extend(real.as_deref().and_then(Path::parent).map(Path::to_owned));
        }
        folders
    }

    /// Reads a secret's value, and checks that the value has each format of `forms`.
    fn read(
        &self,
        reference: &SecretRef,
        forms: &BTreeSet<Form>,
    ) -> Result<SecretValue, Unavailable> {
        let bytes_max = forms.iter().map(|form| form.bytes_max()).max().unwrap_or(0);
        let mut value = SecretValue::new(self.read_source(reference, bytes_max)?);
        // Drop trailing line breaks: editors and `echo` add one that is not part of the secret.
        while value
            .last()
            .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
        {
            value.pop();
        }
        if forms.iter().all(|form| form.fits(&value)) {
            Ok(value)
        } else {
            Err(Unavailable::Unusable)
        }
    }

    fn read_source(&self, reference: &SecretRef, bytes_max: u64) -> Result<Vec<u8>, Unavailable> {
        match reference {
            SecretRef::Env(name) => {
                if self.env_prefix.is_empty() || !name.starts_with(&self.env_prefix) {
                    return Err(Unavailable::NotAllowed);
                }
                let value = std::env::var_os(name).ok_or(Unavailable::Missing)?;
                Ok(value.into_encoded_bytes())
            }
            SecretRef::File(path) => self.read_file(Path::new(path), bytes_max),
        }
    }

    /// Reads a file in the allowed folder. A symbolic link may lead to another place in the folder
    /// (such as a mounted volume's `..data`), but not out of it.
    fn read_file(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, Unavailable> {
        let plain = path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || !path.starts_with(&self.folder) {
            return Err(Unavailable::NotAllowed);
        }
        let real = path.canonicalize().map_err(|_| Unavailable::Missing)?;
        let folder = self
            .folder
            .canonicalize()
            .map_err(|_| Unavailable::Missing)?;
        if !real.starts_with(&folder) {
            return Err(Unavailable::NotAllowed);
        }
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).custom_flags(NONBLOCK);
        let file = options.open(&real).map_err(|_| Unavailable::Missing)?;
        let data = file.metadata().map_err(|_| Unavailable::Missing)?;
        if !data.is_file() {
            return Err(Unavailable::NotAllowed);
        }
        let mut value = Vec::new();
        file.take(bytes_max + 1)
            .read_to_end(&mut value)
            .map_err(|_| Unavailable::Missing)?;
        if value.len() as u64 > bytes_max {
            return Err(Unavailable::NotAllowed);
        }
        Ok(value)
    }
}

impl Entry {
    fn in_use(&self) -> bool {
        Arc::strong_count(&self.cell) > 1
    }
}

impl Secrets for Registry {
    fn keys(&self, source: &Remote, read: Read) -> Arc<KeyCell> {
        self.key_sets.cell(source, read)
    }

    /// Returns the address ranges that a file contains, in a cell that all versions share.
    fn ranges(&self, reference: &SecretRef) -> Result<Option<Arc<RangesCell>>, SecretUnavailable> {
        let content = self.cell(reference, Form::Ranges)?;
        let mut all = self.ranges.borrow_mut();
        if let Some(known) = all.get(reference)
            && Arc::ptr_eq(&known.content, &content)
        {
            return Ok(Some(Arc::clone(&known.cell)));
        }
        let parsed = content.value();
        let Some(ranges) = ranges::parse(&parsed) else {
            return Err(SecretUnavailable {
                reference: reference.clone(),
                reason: "secret-unusable",
            });
        };
        let cell = RangesCell::new(ranges);
        let one = Ranges {
            cell: Arc::clone(&cell),
            content,
            parsed,
        };
        all.insert(reference.clone(), one);
        Ok(Some(cell))
    }

    /// Returns the cell that holds a secret's current value. If a version in memory already uses
    /// the cell, the source is not read. A rollback therefore works without the source. Otherwise
    /// the source must exist. In both cases, the value must have the format `form`.
    fn cell(
        &self,
        reference: &SecretRef,
        form: Form,
    ) -> Result<Arc<SecretCell>, SecretUnavailable> {
        let unavailable = |why: Unavailable| SecretUnavailable {
            reference: reference.clone(),
            reason: match why {
                Unavailable::NotAllowed => "secret-not-allowed",
                Unavailable::Missing => "secret-missing",
                Unavailable::Unusable => "secret-unusable",
            },
        };
        let mut cells = self.cells.borrow_mut();
        if let Some(known) = cells.get_mut(reference).filter(|known| known.in_use()) {
            if !form.fits(&known.cell.value()) {
                return Err(unavailable(Unavailable::Unusable));
            }
            known.forms.insert(form);
            return Ok(Arc::clone(&known.cell));
        }
        let forms = BTreeSet::from([form]);
        let value = self.read(reference, &forms).map_err(unavailable)?;
        if let Some(known) = cells.get_mut(reference) {
            known.cell.store(value);
            known.idle_since_ms = None;
            known.forms = forms;
            known.stale = false;
            return Ok(Arc::clone(&known.cell));
        }
        let cell = SecretCell::new(value);
        let entry = Entry {
            cell: Arc::clone(&cell),
            idle_since_ms: None,
            forms,
            stale: false,
        };
        cells.insert(reference.clone(), entry);
        Ok(cell)
    }
}

// === impl Control ===

impl Control {
    /// Reads all secrets again and updates certificates, alarms and metrics.
    pub(super) fn refresh_secrets(&mut self) {
        self.secrets.refresh(self.now_ms());
        self.node.refresh_tls();
        let broken = self.node.tls.broken();
        self.alarm("certificate-unusable", !broken.is_empty());
        let stale = self.secrets.stale();
        let stale = stale.iter().map(ToString::to_string).collect();
        self.node.registry.bundles().stale_secrets = stale;
    }
}

/// Secrets that a gateway configuration references.
pub(super) fn references(gateway: &Assembly) -> BTreeSet<SecretRef> {
    let own = gateway.apis.iter().flat_map(|api| api.policies());
    let policies = gateway.shared.policies.iter().chain(own);
    let listeners = gateway.shared.listeners.iter();
    let tls = listeners.filter_map(|listener| listener.tls());
    let mut references: BTreeSet<SecretRef> = tls.flat_map(|tls| tls.secrets().cloned()).collect();
    let upstreams = gateway.shared.upstreams.iter();
    let tls = upstreams.filter_map(|upstream| upstream.tls.as_ref());
    references.extend(tls.flat_map(|tls| tls.secrets().cloned()));
    for policy in policies {
        // Policies of unsupported kinds need no check here: the build refuses them.
        references.extend(policy.checked.secrets().into_iter().cloned());
    }
    references
}

fn log_secret(level: Level, message: &str, reference: &SecretRef) {
    event(level, message, json!({"reference": reference.to_string()}));
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn reason(secrets: &Registry, reference: &SecretRef) -> String {
        match secrets.cell(reference, Form::FieldValue) {
            Ok(cell) => String::from_utf8(cell.value().to_vec()).unwrap(),
            Err(unavailable) => unavailable.reason.to_owned(),
        }
    }

    fn file(path: &Path) -> SecretRef {
        SecretRef::File(path.display().to_string())
    }

    #[test]
    fn a_symbolic_link_out_of_the_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::write(root.join("token"), "hunter2\n").unwrap();
        std::fs::write(outside.path().join("x"), "x").unwrap();
        let link = |target: &Path, name: &str| {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        };
        link(&outside.path().join("x"), "out");
        link(outside.path(), "folder");
        link(&root.join("out"), "twice");
        link(Path::new("/proc/self/environ"), "environ");
        link(&root.join("token"), "in");
        let secrets = Registry::new(root.clone(), "GWS_".into());
        let read = |name: &str| reason(&secrets, &file(&root.join(name)));
        assert_eq!(read("token"), "hunter2");
        assert_eq!(read("in"), "hunter2");
        for escape in ["out", "folder/x", "twice", "environ", "../x"] {
            assert_eq!(read(escape), "secret-not-allowed", "{escape}");
        }
        assert_eq!(read("none"), "secret-missing");
        assert_eq!(
            reason(&secrets, &file(Path::new("/etc/passwd"))),
            "secret-not-allowed"
        );
    }

    #[test]
    fn mounted_volumes_data_link_and_swap_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (version, value) in [("..1", "one"), ("..2", "two")] {
            std::fs::create_dir(root.join(version)).unwrap();
            std::fs::write(root.join(version).join("token"), value).unwrap();
        }
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        };
        link("..1", "..data");
        link("..data/token", "token");
        let secrets = Registry::new(root.clone(), String::new());
        let cell = secrets
            .cell(&file(&root.join("token")), Form::FieldValue)
            .unwrap();
        assert_eq!(**cell.value(), b"one");
        assert_eq!(
            secrets.folders(),
            [root.clone(), root.join("..1")].into(),
            "both are watched"
        );
        link("..2", "..data_tmp");
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        secrets.refresh(0);
        assert_eq!(**cell.value(), b"two");
    }

    #[test]
    fn only_variables_with_the_prefix_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let env = |secrets: &Registry, name: &str| reason(secrets, &SecretRef::Env(name.into()));
        let secrets = Registry::new(root.clone(), "GWS_".into());
        assert_eq!(env(&secrets, "PATH"), "secret-not-allowed");
        assert_eq!(env(&secrets, "XGWS_A"), "secret-not-allowed");
        assert_eq!(env(&secrets, "GWS_NONE"), "secret-missing");
        let closed = Registry::new(root, String::new());
        assert_eq!(env(&closed, "PATH"), "secret-not-allowed");
    }

    #[test]
    fn only_regular_secret_files_up_to_64_kib_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(root.join("pipe"))
            .status();
        assert!(made.unwrap().success());
        std::fs::write(root.join("large"), vec![b'x'; (64 << 10) + 1]).unwrap();
        let secrets = Registry::new(root.clone(), String::new());
        for name in ["pipe", "large", ""] {
            let why = reason(&secrets, &file(&root.join(name)));
            assert_eq!(why, "secret-not-allowed", "{name}");
        }
    }

    #[test]
    fn rotated_value_reaches_cells_and_missing_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let path = root.join("token");
        std::fs::write(&path, "one").unwrap();
        let secrets = Registry::new(root, String::new());
        let reference = file(&path);
        let cell = secrets.cell(&reference, Form::FieldValue).unwrap();
        std::fs::write(&path, "two").unwrap();
        secrets.refresh(0);
        assert_eq!(**cell.value(), b"two");
        assert!(secrets.stale().is_empty());
        std::fs::remove_file(&path).unwrap();
        secrets.refresh(0);
        assert_eq!(**cell.value(), b"two");
        assert_eq!(secrets.stale(), [reference.clone()].into());
        assert!(
            secrets.cell(&reference, Form::FieldValue).is_ok(),
            "a rollback can use the last value"
        );
        std::fs::write(&path, "three").unwrap();
        secrets.refresh(0);
        assert!(secrets.stale().is_empty());
        assert_eq!(**cell.value(), b"three");
    }

    #[test]
    fn ranges_follow_their_file_and_outlive_a_bad_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let path = root.join("ranges");
        let secrets = Registry::new(root, String::new());
        let reference = file(&path);
        let reason = |secrets: &Registry| secrets.ranges(&reference).map_err(|one| one.reason);
        assert_eq!(reason(&secrets).unwrap_err(), "secret-missing");
        std::fs::write(&path, "# nothing\n").unwrap();
        assert_eq!(reason(&secrets).unwrap_err(), "secret-unusable");
        std::fs::write(&path, "192.0.2.0/24\n").unwrap();
        let cell = reason(&secrets).unwrap().unwrap();
        let again = reason(&secrets).unwrap().unwrap();
        assert!(Arc::ptr_eq(&cell, &again), "versions share it");
        drop(again);
        let holds = |address: &str| cell.contains(address.parse().unwrap());
        assert!(holds("192.0.2.1") && !holds("198.51.100.1"));
        std::fs::write(&path, "198.51.100.0/24\n").unwrap();
        secrets.refresh(0);
        assert!(!holds("192.0.2.1") && holds("198.51.100.1"));
        for bad in ["", "198.51.100.0/24\nall\n"] {
            std::fs::write(&path, bad).unwrap();
            secrets.refresh(0);
            assert!(holds("198.51.100.1"), "{bad}");
            assert_eq!(secrets.stale(), [reference.clone()].into());
        }
        std::fs::remove_file(&path).unwrap();
        secrets.refresh(0);
        assert!(holds("198.51.100.1"));
        // Without the file, the secret still resolves to the cell with the last valid ranges.
        assert!(Arc::ptr_eq(&reason(&secrets).unwrap().unwrap(), &cell));
        std::fs::write(&path, "203.0.113.0/24\n").unwrap();
        secrets.refresh(0);
        assert!(secrets.stale().is_empty() && holds("203.0.113.1"));
        drop(cell);
        secrets.refresh(1);
        assert!(secrets.ranges.borrow().is_empty());
    }

    #[test]
    fn unusable_value_is_refused_first_and_ignored_later() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let path = root.join("token");
        let secrets = Registry::new(root, String::new());
        let reference = file(&path);
        let unusable: [&[u8]; 6] = [b"", b"\n", b"a\nb", b"a\0b", b"a\r\nx: y\r\n", b"\x7f"];
        for value in unusable {
            std::fs::write(&path, value).unwrap();
            assert_eq!(reason(&secrets, &reference), "secret-unusable", "{value:?}");
        }
        std::fs::write(&path, "one\r\n").unwrap();
        let cell = secrets.cell(&reference, Form::FieldValue).unwrap();
        assert_eq!(**cell.value(), b"one");
        for value in unusable {
            std::fs::write(&path, value).unwrap();
            secrets.refresh(0);
            assert_eq!(**cell.value(), b"one", "{value:?}");
            assert_eq!(secrets.stale(), [reference.clone()].into());
        }
        std::fs::write(&path, "two").unwrap();
        secrets.refresh(0);
        assert_eq!(**cell.value(), b"two");
        assert!(secrets.stale().is_empty());
    }

    #[test]
    fn file_being_written_is_read_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let path = root.join("token");
        std::fs::write(&path, "old").unwrap();
        let secrets = Registry::new(root, String::new());
        let cell = secrets.cell(&file(&path), Form::FieldValue).unwrap();
        // Write half of the value now, and the rest while gwd reads.
        let began = Instant::now();
        std::fs::write(&path, "ne").unwrap();
        let rest = std::thread::spawn(move || {
            std::thread::sleep(SETTLE / 4);
            std::fs::write(&path, "new").unwrap();
            began.elapsed()
        });
        let mut seen = Vec::new();
        while **cell.value() != b"new" {
            secrets.refresh(0);
            seen.push(cell.value().to_vec());
        }
        // Half of the value may be read only if the rest was written after the delay.
        if rest.join().unwrap() < SETTLE {
            assert!(!seen.contains(&b"ne".to_vec()), "{seen:?}");
        }
    }

    #[test]
    fn unnamed_cell_is_dropped_after_ten_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let path = root.join("token");
        std::fs::write(&path, "one").unwrap();
        let secrets = Registry::new(root, String::new());
        let reference = file(&path);
        let known = || secrets.cells.borrow().len();
        drop(secrets.cell(&reference, Form::FieldValue).unwrap());
        secrets.refresh(1_000);
        secrets.refresh(1_000 + IDLE_MS - 1);
        assert_eq!(known(), 1);
        // A version that uses the cell again ends the cell's idle time. The idle time restarts when
        // the version drops the cell.
        let cell = secrets.cell(&reference, Form::FieldValue).unwrap();
        secrets.refresh(1_000 + IDLE_MS);
        drop(cell);
        secrets.refresh(2_000 + IDLE_MS);
        secrets.refresh(1_999 + 2 * IDLE_MS);
        assert_eq!(known(), 1);
        secrets.refresh(2_000 + 2 * IDLE_MS);
        assert_eq!(known(), 0);
        // Without its source, a new version cannot use an unused cell, even if the cell still
        // exists.
        drop(secrets.cell(&reference, Form::FieldValue).unwrap());
        std::fs::remove_file(&path).unwrap();
        let refused = secrets.cell(&reference, Form::FieldValue).unwrap_err();
        assert_eq!(refused.reason, "secret-missing");
    }
}
