//! State folder: everything that a restart needs if the store and the network are unavailable.
//!
//! The folder has the layout of a store. Its bundles, statements and records are verified again
//! whenever they are read. In addition, `gwd.json` says which bundles ran and whether an operator
//! holds a bundle, and `gwd.lock` prevents two processes from using the folder (release.md §6).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle::channel;
use bundle::digest::Digest;
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::store::folder::Folder;
use bundle::store::{Batch, Chain, Store as _};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::replica;
use super::rollback_history::RollbackHistory;
use crate::listen::handover;
use crate::quotas;
use crate::runtime::files::{UNLINKED, read_file};

/// File with the history of running bundles and the hold.
const HISTORY_FILE: &str = "gwd.json";
/// Maximum length of [`HISTORY_FILE`], in bytes.
const RAN_BYTES_MAX: u64 = 1 << 20;
/// Maximum number of bundles in [`RunHistory::ran`].
const RAN_MAX: usize = 20;
/// Maximum number of activations in [`RunHistory::runs`].
const RUNS_MAX: usize = 100;

/// Maximum wait for the lock on the folder's index: 300ms. The wait is short because releases and
/// rollbacks must not stall.
const LOCK_TIMEOUT: Duration = Duration::from_millis(300);
/// Files that gwd stores in addition to the OCI layout. A folder that has no other files counts as
/// empty.
const OWN: [&str; 7] = [
    HISTORY_FILE,
    replica::FOLDER,
    "channels",
    "revocations",
    handover::SOCKET,
    quotas::FILE,
    quotas::DAMAGED,
];

/// Open state folder. Dropping this value releases its lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) layout: Folder,
    /// Identity of the folder when it was opened, to detect that the path names another folder now.
    root: Identity,
    lock: Lock,
}

/// Lock that prevents other processes from using the state folder.
#[derive(Debug)]
struct Lock {
    file: File,
    /// Path that was opened: the lock file, or the folder if the file cannot be created.
    path: PathBuf,
    writable: bool,
}

/// Identity of a file or folder: its device and inode numbers.
type Identity = (u64, u64);

/// Content of `gwd.json`: history of running bundles, and the hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunHistory {
    /// Bundles that ran, newest first.
    pub(crate) ran: Vec<Digest>,
    pub(crate) hold: Option<Hold>,
    /// Activations with their times, newest first.
    #[serde(default)]
    pub(crate) runs: Vec<Run>,
    /// History from which rollbacks on this node determine their target.
    #[serde(default, alias = "way")]
    pub(crate) rollbacks: RollbackHistory,
}

/// Activation of a bundle, with the serial of the record that names the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) bundle: Digest,
    pub(crate) serial: u64,
    pub(crate) since: Moment,
}

/// Hold: an operator or the guard of a release switched to a different bundle on this node, and the
/// channel's head is not activated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    /// Bundle that the operator switched away from.
    pub(crate) from: Digest,
    /// Bundle that the operator switched to.
    pub(crate) to: Digest,
    /// Newest accepted serial of the channel at the time of the switch.
    pub(crate) at_serial: u64,
    /// True if the hold blocks every other bundle until `gwd resume`; false if it only blocks
    /// `from`.
    pub(crate) sticky: bool,
    /// Comparison for which the guard of a progressive release failed (`errors`, `p99`). `None`: an
    /// operator switched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) guard: Option<String>,
}

impl State {
    /// Opens or creates the folder and takes its lock. A read-only folder is accepted, because it
    /// is sufficient for a start.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`] if the folder cannot be used or another process uses it.
    pub(crate) fn open(root: &Path) -> Result<Self, Refused> {
        let layout = layout(root)?;
        let lock = Lock::take(root)?;
        Ok(Self {
            layout,
            root: identity(root).map_err(|error| unusable(root, &error))?,
            lock,
        })
    }

    /// Opens the folder with a lock that another process handed over.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`] if the folder cannot be used, or the lock belongs to another
    /// folder.
    pub(crate) fn taken_over(root: &Path, lock: File) -> Result<Self, Refused> {
        let layout = layout(root)?;
        let lock = Lock::taken_over(root, lock)?;
        Ok(Self {
            layout,
            root: identity(root).map_err(|error| unusable(root, &error))?,
            lock,
        })
    }

    /// Lock file, for its handover to another process.
    pub(crate) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.file.as_fd()
    }

    /// True if the folder could be written when it was opened.
    pub(crate) const fn writable(&self) -> bool {
        self.lock.writable
    }

    /// Checks that the path still names the folder that was opened, with its layout and the lock of
    /// this process. Otherwise the folder was emptied, replaced or renamed: writes would be lost,
    /// or another process may use the folder.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`] with the reason, if the path no longer names this folder, with
    /// its layout and lock.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let root = self.layout.root();
        let at = identity(root).map_err(|error| unusable(root, &error))?;
        let why = if at != self.root {
            "was replaced by another folder while gwd runs"
        } else if !self.lock.is_in_place() {
            "no longer has the lock file of this process"
        } else if Folder::open(root).is_err() || !root.join("blobs/sha256").is_dir() {
            "was emptied"
        } else {
            return Ok(());
        };
        Err(Refused::StateNotDurable {
            why: format!("`{}` {why}", root.display()),
        })
    }

    /// Uses the folder that the path names now as the state folder. Files in it stay.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`] if the folder cannot be used or another process uses it.
    pub(crate) fn retake(&mut self) -> Result<(), Refused> {
        let root = self.layout.root().to_owned();
        if !self.lock.is_in_place() {
            *self = Self::open(&root)?;
            return Ok(());
        }
        self.layout = layout(&root)?;
        self.root = identity(&root).map_err(|error| unusable(&root, &error))?;
        Ok(())
    }

    /// True if the file with the history exists.
    pub(crate) fn has_ran(&self) -> bool {
        self.path().is_file()
    }

    /// Reads the history of this folder. See [`read_history`].
    ///
    /// # Errors
    /// The errors of [`read_history`].
    pub(crate) fn ran(&self) -> Result<RunHistory, Refused> {
        read_history(self.layout.root())
    }

    /// Writes the history durably: a new, synced file replaces the old one.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`] if the folder cannot be written.
    pub(crate) fn write(&self, ran: &RunHistory) -> Result<(), Refused> {
        self.commit(&Batch::default(), Some(ran))
    }

    /// Commits a batch of blobs and records, and then the history, in one transaction of the
    /// folder.
    ///
    /// # Errors
    /// [`Refused::StateNotDurable`] if the folder cannot be written; [`Refused::Forked`] if a
    /// different record has the same serial.
    pub(crate) fn commit(
        &self,
        batch: &Batch<'_>,
        ran: Option<&RunHistory>,
    ) -> Result<(), Refused> {
        self.check()?;
        let text = ran.map(serde_json::to_vec).transpose();
        let text = text.expect("digests, numbers and booleans always have a JSON form");
        let file = text.as_ref().map(|text| (HISTORY_FILE, text.as_slice()));
        let written = self.layout.commit_with(batch, file.as_slice());
        written.map_err(super::keep::not_durable)
    }

    fn path(&self) -> PathBuf {
        self.layout.root().join(HISTORY_FILE)
    }
}

/// Reads the history in a state folder. Returns an empty history if the file does not exist. The
/// file contains only references: the bundles are verified before use.
///
/// # Errors
/// [`Refused::StateNotDurable`] if the file cannot be read, [`Refused::Malformed`] if it is
/// damaged.
pub(crate) fn read_history(root: &Path) -> Result<RunHistory, Refused> {
    let path = root.join(HISTORY_FILE);
    let bytes = match read_file(&path, RAN_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(RunHistory::default());
        }
        result => result.map_err(|error| unusable(&path, &error))?,
    };
    serde_json::from_slice(&bytes).map_err(|error| Refused::Malformed {
        what: "gwd.json in the state folder",
        why: format!("{} at line {}", reason(&error), error.line()).into(),
    })
}

/// Highest serial of a record of a channel that a history of runs names and that the state folder
/// has lost. 0 if there is no such record. The folder may have been used for other channels before.
/// The newest run with a record of a different channel, and all older runs, therefore do not count.
///
/// # Errors
/// [`Refused::StoreUnreachable`] if the folder cannot be listed.
pub(crate) fn lost_record(
    folder: &Folder,
    name: &ChannelName,
    history: &RunHistory,
) -> Result<u64, Refused> {
    let own = Chain::Channel(name.clone());
    let newest = folder.serials(&own)?.last().copied().unwrap_or(0);
    let others = folder.channels()?.into_iter();
    let others = others.filter_map(|name| Some(Chain::Channel(name.parse().ok()?)));
    let others: Vec<Chain> = others.filter(|chain| *chain != own).collect();
    let is_of = |chain: &Chain, run: &Run| {
        let digest = folder.link(chain, run.serial).ok().flatten();
        let record = digest.and_then(|digest| channel::read(folder, &digest).ok());
        record.is_some_and(|record| record.bundle == run.bundle)
    };
    let is_of_another = |run: &&Run| others.iter().any(|chain| is_of(chain, run));
    let runs = history.runs.iter().take_while(|run| !is_of_another(run));
    let highest = runs.map(|run| run.serial).max();
    Ok(highest.filter(|serial| *serial > newest).unwrap_or(0))
}

// === impl Lock ===

impl Lock {
    fn take(root: &Path) -> Result<Self, Refused> {
        let path = root.join("gwd.lock");
        let lock = Self::open(&path).map_err(|error| unusable(&path, &error))?;
        lock.file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Refused::StateNotDurable {
                why: format!(
                    "another gwd uses `{}`; give each process a state folder of its own",
                    root.display()
                ),
            },
            TryLockError::Error(error) => unusable(&lock.path, &error),
        })?;
        if lock.is_in_place() {
            return Ok(lock);
        }
        Err(Refused::StateNotDurable {
            why: format!(
                "another process replaced `{}` while gwd was locking it",
                lock.path.display()
            ),
        })
    }

    /// Takes over a lock. The lock belongs to the open file description, so that every copy of the
    /// descriptor holds it.
    fn taken_over(root: &Path, file: File) -> Result<Self, Refused> {
        let path = root.join("gwd.lock");
        let flags = rustix::fs::fcntl_getfl(&file);
        let lock = Self {
            writable: flags.is_ok_and(|flags| flags.contains(OFlags::WRONLY)),
            file,
            path,
        };
        if lock.is_in_place() {
            return Ok(lock);
        }
        Err(Refused::StateNotDurable {
            why: format!(
                "the lock that was handed over is not `{}`",
                lock.path.display()
            ),
        })
    }

    /// Opens the lock file. On a read-only file system, opens the existing file, or else the folder
    /// itself. A symbolic link is refused.
    fn open(path: &Path) -> io::Result<Self> {
        let options = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .custom_flags(UNLINKED)
            .open(path);
        let of = |file, path: &Path, writable| Self {
            file,
            path: path.to_owned(),
            writable,
        };
        let error = match options {
            Ok(file) => return Ok(of(file, path, true)),
            Err(error) if path.is_symlink() => return Err(error),
            Err(error) => error,
        };
        let folder = path.parent().unwrap_or(path);
        OpenOptions::new()
            .read(true)
            .custom_flags(UNLINKED)
            .open(path)
            .map(|file| of(file, path, false))
            .or_else(|_| File::open(folder).map(|file| of(file, folder, false)))
            .map_err(|_| error)
    }

    /// True if the path still names the file that is locked.
    fn is_in_place(&self) -> bool {
        let locked = self.file.metadata().map(|data| (data.dev(), data.ino()));
        let there = identity(&self.path);
        matches!((locked, there), (Ok(locked), Ok(there)) if locked == there)
    }
}

fn layout(root: &Path) -> Result<Folder, Refused> {
    let layout = Folder::create_beside(root, &OWN);
    let layout = layout.map(|layout| layout.with_lock_timeout(LOCK_TIMEOUT));
    layout.map_err(|refused| Refused::StateNotDurable {
        why: refused.to_string(),
    })
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|data| (data.dev(), data.ino()))
}

fn unusable(path: &Path, error: &io::Error) -> Refused {
    Refused::StateNotDurable {
        why: format!("`{}`: {error}", path.display()),
    }
}

/// Description of a JSON error that reveals nothing of the file's content.
fn reason(error: &serde_json::Error) -> &'static str {
    if error.is_eof() {
        "it is truncated"
    } else if error.is_data() {
        "it is JSON, but not in the format that gwd writes"
    } else {
        "it is not JSON"
    }
}

impl RunHistory {
    /// Bundle that ran last, or `None` if no bundle ran.
    pub(crate) fn last(&self) -> Option<Digest> {
        self.ran.first().copied()
    }

    /// Records that a bundle runs under the record with this serial. A restart with the same bundle
    /// and serial is not recorded as another run.
    pub(crate) fn record_run(&mut self, bundle: Digest, serial: u64, since: Moment) {
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
    fn the_lock_creates_nothing_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        std::os::unix::fs::symlink(&target, folder.path().join("gwd.lock")).unwrap();
        for _ in ["no target", "a file as target"] {
            let refused = Lock::take(folder.path()).unwrap_err();
            assert!(refused.to_string().contains("gwd.lock"), "{refused}");
            fs::write(&target, "text").unwrap();
        }
    }

    #[test]
    fn state_folder_is_locked_and_keeps_its_history() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let again = State::open(folder.path()).unwrap_err();
        assert!(again.to_string().contains("another gwd"), "{again}");
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let mut ran = state.ran().unwrap();
        assert_eq!(ran, RunHistory::default());
        for (serial, bundle) in [(1, one), (2, two), (3, one)] {
            ran.record_run(bundle, serial, Moment::EPOCH.plus_s(serial));
        }
        ran.hold = Some(Hold {
            from: two,
            to: one,
            at_serial: 3,
            sticky: true,
            guard: None,
        });
        state.write(&ran).unwrap();
        drop(state);
        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.ran().unwrap(), ran);
        assert_eq!(ran.last(), Some(one));
        let serials: Vec<u64> = ran.runs.iter().map(|run| run.serial).collect();
        assert_eq!(serials, [3, 2, 1]);
        for serial in 4..200 {
            ran.record_run(one, serial, Moment::EPOCH);
        }
        assert_eq!((ran.runs.len(), ran.runs[0].serial), (RUNS_MAX, 199));
        // Damage must be reported: an operator must not conclude that no bundle ever ran.
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
