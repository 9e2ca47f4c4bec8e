//! The state folder: what a restart needs when store and network are gone.
//!
//! It is a store itself: bundles, statements and records, verified again whenever they are read.
//! `gwd.json` beside them says only which bundle ran and whether an operator holds it; `gwd.lock`
//! keeps a second process out (release.md §6).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use bundle::digest::Digest;
use bundle::moment::Moment;
use bundle::refused::Refused;
use bundle::store::Batch;
use bundle::store::folder::Folder;
use serde::{Deserialize, Serialize};

use super::way::Way;

/// The file that says what ran.
const RAN: &str = "gwd.json";
/// Bundles whose order of running is remembered.
const RAN_MAX: usize = 20;
/// Runs that are remembered.
const RUNS_MAX: usize = 100;

/// An open state folder; the lock is held as long as this lives.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) layout: Folder,
    writable: bool,
    _lock: File,
}

/// What ran, and whether it is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ran {
    /// The bundles that ran, the last one first.
    pub(crate) ran: Vec<Digest>,
    pub(crate) hold: Option<Hold>,
    /// What ran when, the last one first.
    #[serde(default)]
    pub(crate) runs: Vec<Run>,
    /// The way that led here: where a rollback on this node goes.
    #[serde(default)]
    pub(crate) way: Way,
}

/// A bundle began to run under a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) bundle: Digest,
    pub(crate) serial: u64,
    pub(crate) since: Moment,
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
    /// Opens or makes the folder and takes its lock. A folder that can only be read is taken too:
    /// it is enough to start from.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`] if it cannot be used or another process has it.
    pub(crate) fn open(root: &Path) -> Result<Self, Refused> {
        let not_durable = |why: String| Refused::StateNotDurable { why };
        let layout = Folder::create(root).map_err(|refused| not_durable(refused.to_string()))?;
        let path = root.join("gwd.lock");
        let (lock, writable) = open_lock(&path)
            .map_err(|error| not_durable(format!("`{}`: {error}", path.display())))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => not_durable(format!(
                "another gwd uses `{}`; give each process a state folder of its own",
                root.display()
            )),
            TryLockError::Error(error) => {
                not_durable(format!("`{}` cannot be locked: {error}", path.display()))
            }
        })?;
        Ok(Self {
            layout,
            writable,
            _lock: lock,
        })
    }

    /// Whether it could be written when it was opened.
    pub(crate) const fn writable(&self) -> bool {
        self.writable
    }

    /// What ran before; nothing where the file is absent. It only points: whatever it names is
    /// verified.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`] if it cannot be read, [`Refused::Malformed`] if it is damaged.
    pub(crate) fn ran(&self) -> Result<Ran, Refused> {
        let bytes = match fs::read(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ran::default()),
            result => result.map_err(|error| Refused::StateNotDurable {
                why: format!("`{}`: {error}", self.path().display()),
            })?,
        };
        serde_json::from_slice(&bytes).map_err(|error| Refused::Malformed {
            what: "gwd.json in the state folder",
            why: format!("{} at line {}", reason(&error), error.line()).into(),
        })
    }

    /// Writes durably what ran: a new file, synced, takes the place of the old one.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn write(&self, ran: &Ran) -> Result<(), Refused> {
        self.commit(&Batch::default(), Some(ran))
    }

    /// Keeps a batch and, after its blobs, what runs: one transaction of the folder.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`]; [`Refused::Forked`] if another record has the serial.
    pub(crate) fn commit(&self, batch: &Batch<'_>, ran: Option<&Ran>) -> Result<(), Refused> {
        let text = ran.map(serde_json::to_vec).transpose();
        let text = text.expect("digests, numbers and booleans always have a JSON form");
        let file = text.as_ref().map(|text| (RAN, text.as_slice()));
        let written = self.layout.commit_with(batch, file.as_slice());
        written.map_err(super::keep::not_durable)
    }

    fn path(&self) -> PathBuf {
        self.layout.root().join(RAN)
    }
}

/// The lock's file, and whether it could be opened for writing. On a file system that is read-only
/// a lock is taken on what is there, if need be on the folder itself.
fn open_lock(path: &Path) -> io::Result<(File, bool)> {
    let options = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    let error = match options {
        Ok(lock) => return Ok((lock, true)),
        Err(error) => error,
    };
    let folder = path.parent().unwrap_or(path);
    let readable = File::open(path).or_else(|_| File::open(folder));
    readable.map(|lock| (lock, false)).map_err(|_| error)
}

/// What is wrong with the file, without a word of what stands in it.
fn reason(error: &serde_json::Error) -> &'static str {
    if error.is_eof() {
        "it ends too early"
    } else if error.is_data() {
        "it is not what gwd writes"
    } else {
        "it is not JSON"
    }
}

impl Ran {
    /// The bundle that ran last.
    pub(crate) fn last(&self) -> Option<Digest> {
        self.ran.first().copied()
    }

    /// A bundle runs now, under the record of this serial. A restart is no other run.
    pub(crate) fn runs(&mut self, bundle: Digest, serial: u64, since: Moment) {
        self.ran.retain(|known| *known != bundle);
        self.ran.insert(0, bundle);
        self.ran.truncate(RAN_MAX);
        let run = Run {
            bundle,
            serial,
            since,
        };
        let newest = self.runs.first();
        if newest.is_some_and(|newest| (newest.bundle, newest.serial) == (bundle, serial)) {
            return;
        }
        self.runs.insert(0, run);
        self.runs.truncate(RUNS_MAX);
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
        let mut ran = state.ran().unwrap();
        assert_eq!(ran, Ran::default());
        for (serial, bundle) in [(1, one), (2, two), (3, one)] {
            ran.runs(bundle, serial, Moment::EPOCH.plus_s(serial));
        }
        ran.hold = Some(Hold {
            from: two,
            to: one,
            at_serial: 3,
            sticky: true,
        });
        state.write(&ran).unwrap();
        drop(state);
        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.ran().unwrap(), ran);
        assert_eq!(ran.last(), Some(one));
        let serials: Vec<u64> = ran.runs.iter().map(|run| run.serial).collect();
        assert_eq!(serials, [3, 2, 1]);
        for serial in 4..200 {
            ran.runs(one, serial, Moment::EPOCH);
        }
        assert_eq!((ran.runs.len(), ran.runs[0].serial), (RUNS_MAX, 199));
        // Damage is told by name: nobody is to think that nothing ran.
        let path = folder.path().join("gwd.json");
        let whole = fs::read_to_string(&path).unwrap();
        for damaged in [
            "",
            "{",
            &whole[..whole.len() / 2],
            &whole.replace("sha256", "sha255"),
        ] {
            fs::write(&path, damaged).unwrap();
            let refused = state.ran().unwrap_err();
            assert_eq!(refused.reason(), "malformed");
            assert!(refused.to_string().contains("gwd.json"), "{refused}");
        }
    }
}
