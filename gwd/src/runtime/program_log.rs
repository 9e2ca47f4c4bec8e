//! Program log: lines with a severity on standard error, one per event, as JSON or as text.
//!
//! Each message has the event, its bundle, its cause, and the action for the operator. Every change
//! has an audit line.
//!
//! Logging never blocks for long. If the log's reader stalls, lines are dropped and counted, and
//! the number of dropped lines is logged once there is room again.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Map, Value, json};

use crate::runtime::log_format::LogFormat;

/// Maximum wait for room for a line: 20ms, in nanoseconds. After a line was dropped, later lines do
/// not wait.
const WAIT_MAX_NS: i64 = 20_000_000;
/// Maximum bytes of one write. A pipe that `poll` reports as writable accepts this number without
/// blocking (`PIPE_BUF`).
const PIECE_BYTES: usize = 4_096;

/// State of the program log's output: dropped lines, and an incomplete last line.
static LOG_OUTPUT: Mutex<LogOutput> = Mutex::new(LogOutput {
    dropped: 0,
    is_last_incomplete: false,
});
static DROPPED: AtomicU64 = AtomicU64::new(0);

struct LogOutput {
    /// Number of lines dropped since the last line that was written.
    dropped: u64,
    /// True if the last line was written only partially.
    is_last_incomplete: bool,
}

/// Number of lines dropped since the start.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    Error = 0,
    Warn = 1,
    Info = 2,
    Debug = 3,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

impl Level {
    pub(crate) const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

/// Sets the minimum severity that is logged.
pub(crate) fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Minimum severity that is logged.
pub(crate) fn level() -> Level {
    let shown = LEVEL.load(Ordering::Relaxed);
    Level::ALL
        .into_iter()
        .find(|level| *level as u8 == shown)
        .unwrap_or(Level::Info)
}

static FORMAT: AtomicU8 = AtomicU8::new(LogFormat::Json as u8);

/// Sets the format of the log.
pub(crate) fn set_format(format: LogFormat) {
    FORMAT.store(format as u8, Ordering::Relaxed);
}

fn format() -> LogFormat {
    match FORMAT.load(Ordering::Relaxed) == LogFormat::Human as u8 {
        true => LogFormat::Human,
        false => LogFormat::Json,
    }
}

/// Logs an event. `fields` are added to the line after the message.
pub(crate) fn event(level: Level, message: &str, fields: Value) {
    if level > self::level() {
        return;
    }
    write(level.as_str(), message, fields);
}

/// Audit line for a change, or for a refused request for a change. Audit lines are written at every
/// log level and have the same fields for all changes.
#[derive(Clone, Debug)]
pub(crate) struct Audit<'a> {
    /// Kind of change. docs/operate.md lists all kinds.
    pub(crate) what: &'static str,
    /// Signer of the record, client of the admin interface, sender of the signal, or [`ACTOR_GWD`].
    pub(crate) who: &'a str,
    /// Previous value: the id of a bundle, a log level, the serial of a list, or the digest of a
    /// file. `None`: there was none.
    pub(crate) from: Option<String>,
    /// New value; the requested one if the change was refused. `None`: the change has no value.
    pub(crate) to: Option<String>,
    /// Reason that the requester stated. `None`: no reason was stated.
    pub(crate) why: Option<&'a str>,
    /// [`OK`], or the reason why the change was refused.
    pub(crate) result: &'a str,
}

/// Value of [`Audit::result`] for a change that was made.
pub(crate) const OK: &str = "ok";
/// Value of [`Audit::who`] for a change that gwd makes without a command, for example when it ends
/// a hold.
pub(crate) const ACTOR_GWD: &str = "gwd";

impl Audit<'_> {
    /// Writes the line. `more` is added after the common fields.
    pub(crate) fn write(self, message: &str, more: Value) {
        let Self {
            what,
            who,
            from,
            to,
            why,
            result,
        } = self;
        let mut fields = json!({"what": what, "who": who, "from": from, "to": to});
        if let Some(fields) = fields.as_object_mut() {
            fields.extend(why.map(|why| ("why".to_owned(), why.into())));
            fields.insert("result".into(), result.into());
            if let Value::Object(more) = more {
                fields.extend(more);
            }
        }
        write("audit", message, fields);
    }
}

fn write(level: &str, message: &str, fields: Value) {
    let mut output = LOG_OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
    let lost = output.dropped;
    if lost > 0 {
        let fields =
            json!({"lines": lost, "do": "check the program that reads gwd's standard error"});
        let notice = line(
            "warn",
            "lines of this log were dropped: the reader is too slow",
            fields,
        );
        if !output.put(&notice) {
            output.drop_one();
            return;
        }
        output.dropped = 0;
    }
    if !output.put(&line(level, message, fields)) {
        output.drop_one();
    }
}

impl LogOutput {
    fn drop_one(&mut self) {
        self.dropped += 1;
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes a line. Returns true if it was written completely.
    fn put(&mut self, line: &[u8]) -> bool {
        let wait_ns = if self.dropped > 0 { 0 } else { WAIT_MAX_NS };
        let end = if self.is_last_incomplete {
            &b"\n"[..]
        } else {
            b""
        };
        let pieces = line.chunks(PIECE_BYTES);
        for piece in std::iter::once(end)
            .chain(pieces)
            .filter(|piece| !piece.is_empty())
        {
            if !has_room(wait_ns) || io::stderr().write_all(piece).is_err() {
                return false;
            }
            self.is_last_incomplete = true;
        }
        self.is_last_incomplete = false;
        true
    }
}

/// True if standard error accepts a piece within `wait_ns`.
fn has_room(wait_ns: i64) -> bool {
    let stderr = io::stderr();
    let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: wait_ns,
    };
    while poll(&mut polled, Some(&timeout)) == Err(Errno::INTR) {}
    polled[0].revents().contains(PollFlags::OUT)
}

fn line(level: &str, message: &str, fields: Value) -> Vec<u8> {
    let mut stamp = Vec::with_capacity(24);
    crate::runtime::clock::write_timestamp(crate::runtime::clock::unix_ms(), &mut stamp);
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let stamp = String::from_utf8_lossy(&stamp);
    format().line(&stamp, level, message, fields)
}
