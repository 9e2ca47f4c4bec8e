//! Progress of a command that takes over a second: one line on standard error, only on a terminal.
//!
//! The line shows the command, its stage and the seconds since the start. Every other output of the
//! command erases the line first.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::terminal;

/// Time before the line appears, and time between two updates: 1s.
const TICK: Duration = Duration::from_secs(1);

/// Erases the current line of a terminal (ECMA-48: CR, EL 2).
const ERASE: &str = "\r\u{1b}[2K";

static PROGRESS: Mutex<Progress> = Mutex::new(Progress {
    command: "",
    stage: Cow::Borrowed("working"),
    since: None,
    shown: false,
});
static ENDED: Condvar = Condvar::new();

struct Progress {
    command: &'static str,
    stage: Cow<'static, str>,
    /// Start of the command. `None`: no progress is shown.
    since: Option<Instant>,
    /// True while the terminal shows the line.
    shown: bool,
}

/// Guard of a running command. The command's progress is shown until the guard is dropped.
pub(super) struct Running;

/// Begins to show the progress of a command. Does nothing if standard error is not a terminal.
pub(super) fn start(command: &'static str) -> Option<Running> {
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    if is_dumb || !std::io::stderr().is_terminal() {
        return None;
    }
    let mut progress = lock();
    progress.command = command;
    progress.since = Some(Instant::now());
    drop(progress);
    std::thread::spawn(show);
    Some(Running)
}

/// Sets the name of the command's current stage.
pub(super) fn stage(name: impl Into<Cow<'static, str>>) {
    lock().stage = name.into();
}

/// True if the progress of this command is shown.
pub(super) fn is_shown() -> bool {
    lock().since.is_some()
}

/// Erases the progress line before other output.
pub(super) fn erase() {
    lock().erase();
}

/// Erases the line and shows no further progress, for example before a question to the user.
pub(super) fn end() {
    let mut progress = lock();
    progress.erase();
    progress.since = None;
    ENDED.notify_all();
}

impl Drop for Running {
    fn drop(&mut self) {
        end();
    }
}

impl Progress {
    fn erase(&mut self) {
        if std::mem::take(&mut self.shown) {
            // Ignore an error: if the terminal is gone, there is no line to erase.
            let _ = std::io::stderr().write_all(ERASE.as_bytes());
        }
    }

    fn draw(&mut self, since: Instant) {
        let seconds = since.elapsed().as_secs();
        let text = format!("gwc {}: {}, {seconds}s", self.command, self.stage);
        // A longer line would wrap, and only its last part would be erased.
        let columns_max = terminal::columns(&std::io::stderr()).unwrap_or(80) - 1;
        let text: String = text.chars().take(columns_max).collect();
        let _ = write!(std::io::stderr(), "{ERASE}{text}");
        self.shown = true;
    }
}

fn lock() -> MutexGuard<'static, Progress> {
    PROGRESS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws the line every second until [`end`] is called.
fn show() {
    let mut progress = lock();
    while let Some(since) = progress.since {
        let waited = ENDED.wait_timeout(progress, TICK);
        let (next, ended) = waited.unwrap_or_else(PoisonError::into_inner);
        progress = next;
        if ended.timed_out() && progress.since.is_some() {
            progress.draw(since);
        }
    }
}
