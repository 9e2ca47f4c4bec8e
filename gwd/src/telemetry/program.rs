//! The program log: JSON lines on standard error, one per event, with a level.
//!
//! Messages are for somebody at three in the morning: what happened, to which bundle, why, and
//! what to do. Every change has an audit line.

use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Map, Value};

/// How bad it is.
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

/// Shows events of this level and worse from now on.
pub(crate) fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// The level that is shown.
pub(crate) fn level() -> Level {
    let shown = LEVEL.load(Ordering::Relaxed);
    Level::ALL
        .into_iter()
        .find(|level| *level as u8 == shown)
        .unwrap_or(Level::Info)
}

/// Writes one event. `fields` stand beside the message.
pub(crate) fn event(level: Level, message: &str, fields: Value) {
    if level > self::level() {
        return;
    }
    write(level.as_str(), message, fields);
}

/// Writes the record of a change, whatever the level.
pub(crate) fn audit(message: &str, fields: Value) {
    write("audit", message, fields);
}

fn write(level: &str, message: &str, fields: Value) {
    let mut stamp = Vec::with_capacity(24);
    crate::clock::write_timestamp(crate::clock::unix_ms(), &mut stamp);
    let mut line = Map::new();
    line.insert(
        "timestamp".into(),
        String::from_utf8_lossy(&stamp).into_owned().into(),
    );
    line.insert("level".into(), level.into());
    line.insert("message".into(), message.into());
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
    let mut bytes = Value::Object(line).to_string().into_bytes();
    bytes.push(b'\n');
    // Nobody reads standard error: nothing to be done about it.
    let _unread = std::io::stderr().write_all(&bytes);
}
