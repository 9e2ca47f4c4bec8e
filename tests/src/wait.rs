//! Waiting for events by polling, with a time limit.

use std::time::{Duration, Instant};

/// Time limit of a wait: 20s. The limit is generous, because a wait ends as soon as its event
/// occurs.
pub const WAIT_MAX: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

/// Polls until `ask` returns a value. Panics with `what` after [`WAIT_MAX`].
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    within(WAIT_MAX, &mut ask).unwrap_or_else(|| panic!("waited {WAIT_MAX:?} in vain: {what}"))
}

/// Polls until `ask` returns a value. Returns `None` after `timeout`.
pub fn within<T>(timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + timeout;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}
