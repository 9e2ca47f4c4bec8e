//! The state folder: what a restart needs when store and network are gone.
//!
//! It is a store itself: bundles, statements and records, verified again whenever they are read.
//! `gwd.json` beside them says only which bundle ran and whether an operator holds it; `gwd.lock`
//! keeps a second process out (release.md §6).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bundle::digest::Digest;
use bundle::refused::Refused;
use bundle::store::folder::Folder;
use serde::{Deserialize, Serialize};

/// Bundles whose order of running is remembered.
const RAN_MAX: usize = 20;

/// An open state folder; the lock is held as long as this lives.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) layout: Folder,
    root: PathBuf,
    _lock: File,
}

/// What ran, and whether it is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ran {
    /// The bundles that ran, the last one first.
    pub(crate) ran: Vec<Digest>,
    pub(crate) hold: Option<Hold>,
}

/// An operator went back on this node: what the channel says has to wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    /// The bundle that was left.
    pub(crate) from: Digest,
    /// The bundle that is held.
    pub(crate) to: Digest,
    /// The channel's serial at that time.
    pub(crate) at_serial: u64,
    /// Also against other bundles than the one that was left, until `resume`.
    pub(crate) sticky: bool,
}

impl State {
    /// Opens or makes the folder and takes its lock.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`] if it cannot be used or another process has it.
    pub(crate) fn open(root: &Path) -> Result<Self, Refused> {
        let not_durable = |why: String| Refused::StateNotDurable { why };
        let layout = Folder::create(root).map_err(|refused| not_durable(refused.to_string()))?;
        let path = root.join("gwd.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| not_durable(format!("`{}`: {error}", path.display())))?;
        lock.try_lock().map_err(|_| {
            not_durable(format!(
                "another gwd uses `{}`; give each process a state folder of its own",
                root.display()
            ))
        })?;
        Ok(Self {
            layout,
            root: root.to_owned(),
            _lock: lock,
        })
    }

    /// What ran before; nothing where the file is absent or damaged. It only points: whatever
    /// it names is verified.
    pub(crate) fn ran(&self) -> Ran {
        fs::read(self.path())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Writes it durably: a new file, synced, takes the place of the old one.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn write(&self, ran: &Ran) -> Result<(), Refused> {
        self.replace(ran).map_err(|error| Refused::StateNotDurable {
            why: format!("`{}`: {error}", self.path().display()),
        })
    }

    fn replace(&self, ran: &Ran) -> io::Result<()> {
        let fresh = self.root.join(".tmp-gwd.json");
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(ran)?)?;
        file.sync_all()?;
        fs::rename(&fresh, self.path())?;
        File::open(&self.root)?.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.root.join("gwd.json")
    }
}

impl Ran {
    /// The bundle that ran last.
    pub(crate) fn last(&self) -> Option<Digest> {
        self.ran.first().copied()
    }

    /// The one before it.
    pub(crate) fn previous(&self) -> Option<Digest> {
        self.ran.get(1).copied()
    }

    /// A bundle runs now.
    pub(crate) fn runs(&mut self, bundle: Digest) {
        self.ran.retain(|known| *known != bundle);
        self.ran.insert(0, bundle);
        self.ran.truncate(RAN_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_per_folder_and_what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let again = State::open(folder.path()).unwrap_err();
        assert!(again.to_string().contains("another gwd"), "{again}");
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let mut ran = state.ran();
        assert_eq!(ran, Ran::default());
        ran.runs(one);
        ran.runs(two);
        ran.runs(one);
        ran.hold = Some(Hold {
            from: two,
            to: one,
            at_serial: 3,
            sticky: true,
        });
        state.write(&ran).unwrap();
        drop(state);
        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.ran(), ran);
        assert_eq!((ran.last(), ran.previous()), (Some(one), Some(two)));
        fs::write(folder.path().join("gwd.json"), "{").unwrap();
        assert_eq!(state.ran(), Ran::default());
    }
}
