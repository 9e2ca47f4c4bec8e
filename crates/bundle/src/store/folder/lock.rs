//! Locks of a folder store. Writers hold the first lock shared, and clean-up holds it exclusively.
//! The second lock is for the index and always exclusive.
//!
//! Locks are kernel locks (`flock`), which are released when their process ends. Waiting is
//! limited, so that a stopped process that holds a lock does not block all others forever.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::refused::Refused;

use super::files::{open_regular, unreachable};

/// Default maximum wait for a lock: 10 seconds.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two attempts to take a lock: 10 milliseconds.
const PAUSE: Duration = Duration::from_millis(10);

/// A lock that is released when this value is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Mode of a lock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hold {
    /// Shared with other holders of this mode.
    Shared,
    /// Exclusive.
    Alone,
}

impl Lock {
    /// Acquires a lock. `who` describes the program that may hold the lock, for the error message.
    /// `lock_timeout` is the maximum wait.
    pub(super) fn take(
        path: &Path,
        hold: Hold,
        who: &str,
        lock_timeout: Duration,
    ) -> Result<Self, Refused> {
        let file = match open_regular(path, OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW) {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Err(Refused::malformed("lock", "not a regular file"));
            }
            result => result.map_err(|error| unreachable(path, &error))?,
        };
        let tries = lock_timeout.as_millis().div_ceil(PAUSE.as_millis());
        for _ in 0..tries.max(1) {
            let tried = match hold {
                Hold::Shared => file.try_lock_shared(),
                Hold::Alone => file.try_lock(),
            };
            match tried {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(unreachable(path, &error)),
            }
        }
        Err(Refused::StoreUnreachable {
            why: format!(
                "{who} has held the lock `{}` for more than {lock_timeout:?}; try again later",
                path.display(),
            ),
        })
    }
}
