//! Counters of quotas in the state folder, so that they survive a restart.
//!
//! A separate thread writes the file `quotas.bin` while counters change, at most once a second and
//! less often if the file is large. After a crash, the requests since the last write are not
//! counted. A damaged file is reported, renamed and not used. A write replaces the file atomically.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use policy::saved;
use serde_json::json;

use crate::published::Shared;
use crate::runtime::clock::unix_ms;
use crate::runtime::files::{UNLINKED, read_file};
use crate::runtime::program_log::{Level, event};

/// Name of the file with the counters, in the state folder.
pub(crate) const FILE: &str = "quotas.bin";
/// Name that a damaged file with the counters gets.
pub(crate) const DAMAGED: &str = "quotas.bin.damaged";
/// Maximum length of the file with the counters, in bytes.
const BYTES_MAX: u64 = 64 << 20;
/// Minimum interval between two writes: 1s, or 1s per MiB for a file above 1 MiB.
const PAUSE: Duration = Duration::from_secs(1);

/// Thread that writes the counters. Dropping this value ends the thread. Before its end, the thread
/// writes changed counters, unless another process has taken over the file.
pub(crate) struct QuotaWriter {
    common: Arc<Common>,
    thread: Option<JoinHandle<()>>,
}

struct Common {
    shared: Arc<Shared>,
    folder: PathBuf,
    state: Mutex<State>,
    wake: Condvar,
    fails: AtomicBool,
    /// Lock of the state folder, held until the last write, so that no other process uses the
    /// folder earlier.
    _lock: OwnedFd,
}

#[derive(Default)]
struct State {
    stops: bool,
    /// True while another process writes the file with the counters, after a handover.
    paused: bool,
}

// === impl QuotaWriter ===

impl QuotaWriter {
    /// Reads the counters of an earlier process and starts the thread. Must run before the first
    /// request.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start(shared: &Arc<Shared>, folder: &Path, lock: OwnedFd) -> io::Result<Self> {
        read(shared, folder);
        let common = Arc::new(Common {
            shared: Arc::clone(shared),
            folder: folder.to_owned(),
            state: Mutex::default(),
            wake: Condvar::new(),
            fails: AtomicBool::new(false),
            _lock: lock,
        });
        let thread = std::thread::Builder::new().name("quotas".into()).spawn({
            let common = Arc::clone(&common);
            move || common.run()
        })?;
        Ok(Self {
            common,
            thread: Some(thread),
        })
    }

    /// True if the last write of the file with the counters failed.
    pub(crate) fn fails(&self) -> bool {
        self.common.fails.load(Ordering::Relaxed)
    }

    /// Writes the counters, then stops writing the file, because another process takes the file
    /// over.
    pub(crate) fn pause(&self) {
        let mut state = self.common.lock();
        self.common.write();
        state.paused = true;
    }

    /// Resumes the writes of the file, because the process that was to take over the file has
    /// failed.
    pub(crate) fn resume(&self) {
        self.common.lock().paused = false;
    }
}

impl Drop for QuotaWriter {
    fn drop(&mut self) {
        self.common.lock().stops = true;
        self.common.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // Ignore a panic: the thread has already reported it.
            let _panicked = thread.join();
        }
    }
}

// === impl Common ===

impl Common {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        let mut pause = PAUSE;
        loop {
            let stops = |state: &mut State| !state.stops;
            let woken = self.wake.wait_timeout_while(state, pause, stops);
            (state, _) = woken.unwrap_or_else(PoisonError::into_inner);
            if !state.paused {
                let mebibytes = u32::try_from(self.write() >> 20).unwrap_or(u32::MAX);
                pause = PAUSE.saturating_mul(mebibytes.max(1));
            }
            if state.stops {
                return;
            }
        }
    }

    /// Writes the counters if one of them has changed. Returns the length of the file in bytes, or
    /// 0 if no counter has changed.
    fn write(&self) -> usize {
        let tables = self.shared.limits.tables(true);
        let changed = tables.map(policy::RateTable::take_changed);
        if changed == [false; 2] {
            return 0;
        }
        let now_ns = unix_ms().saturating_mul(1_000_000);
        let saved = tables.into_iter().filter_map(|table| table.save(now_ns));
        let bytes = saved::encode(&saved.collect::<Vec<_>>());
        let written = replace(&self.folder, &bytes);
        if written.is_err() {
            tables.into_iter().for_each(policy::RateTable::mark_changed);
        }
        let failed = self.fails.swap(written.is_err(), Ordering::Relaxed);
        if let Err(error) = written
            && !failed
        {
            event(
                Level::Error,
                "the counters of quotas cannot be saved; after a restart, quotas would continue from older counters",
                json!({
                    "file": self.folder.join(FILE).display().to_string(),
                    "error": error.to_string(),
                    "do": "make the state folder writable and give it space; gwd tries again",
                }),
            );
        }
        bytes.len()
    }
}

/// Replaces the file with the counters atomically and durably.
fn replace(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    // The prefix marks temporary files, which a clean-up of the folder removes.
    let temporary = folder.join(format!(".tmp-quotas-{}", std::process::id()));
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .custom_flags(UNLINKED)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, folder.join(FILE)))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        let _not_there = fs::remove_file(&temporary);
    }
    written
}

/// Reads the counters that an earlier process has saved.
fn read(shared: &Shared, folder: &Path) {
    let path = folder.join(FILE);
    let read = match read_file(&path, BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => Err(error.to_string()),
        Ok(bytes) => saved::decode(&bytes).map_err(str::to_owned),
    };
    match read {
        Ok(saved) => {
            let tables = shared.limits.tables(true).into_iter();
            let lost: usize = tables
                .zip(&saved)
                .map(|(table, one)| table.restore(one))
                .sum();
            if lost > 0 {
                event(
                    Level::Warn,
                    "some saved counters of quotas found no free slot: they begin at zero",
                    json!({"keys": lost}),
                );
            }
        }
        Err(error) => {
            let _stays = fs::rename(&path, folder.join(DAMAGED));
            event(
                Level::Error,
                "the saved counters of quotas cannot be used: all quotas begin at zero",
                json!({"file": path.display().to_string(), "error": error, "kept_as": DAMAGED}),
            );
        }
    }
}
