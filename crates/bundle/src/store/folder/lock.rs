//! Locks of a folder: writers beside each other, clean-up alone, one writer of the index.
//!
//! A lock is the kernel's (`flock`), so that it ends with its process, however that ends. Nobody
//! waits for ever: a holder that was stopped must not stop everybody else.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::refused::Refused;

use super::files::unreachable;

/// Default maximum wait for a lock.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// A lock that is held as long as this lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Mode of a lock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hold {
    /// With others of this kind.
    Shared,
    /// Alone.
    Alone,
}

impl Lock {
    /// Takes a lock; `who` says who might hold it otherwise.
    pub(super) fn take(
        path: &Path,
        hold: Hold,
        who: &str,
        patience: Duration,
    ) -> Result<Self, Refused> {
        if std::fs::metadata(path).is_ok_and(|data| !data.is_file()) {
            // Opening a pipe would wait for ever.
            return Err(Refused::malformed("lock", "something else than a file"));
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|error| unreachable(path, &error))?;
        let tries = patience.as_millis().div_ceil(PAUSE.as_millis());
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
                "`{}` is held by {who} for more than {patience:?}; try again when that has ended",
                path.display(),
            ),
        })
    }
}
