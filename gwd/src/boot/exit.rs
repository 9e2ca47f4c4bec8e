//! Exit codes of all commands of gwd (operate.md).

use serde_json::json;

use crate::runtime::program_log::{Level, event};

/// Reason why the program ends, which determines its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Success.
    Done,
    /// No trust file, or verification failed and no other bundle can run.
    Untrusted,
    /// Temporary failure; a retry may succeed.
    Unfinished,
    /// Wrong usage.
    Usage,
    /// Unreadable input.
    Input,
    /// Unreachable store or gateway.
    Unreachable,
    /// Bug in gwd.
    Bug,
}

impl Exit {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Untrusted => 4,
            Self::Unfinished => 5,
            Self::Usage => 64,
            Self::Input => 65,
            Self::Unreachable => 69,
            Self::Bug => 70,
        }
    }

    /// Exit for the code that a running gwd sent with an error; [`Exit::Bug`] for unknown codes.
    pub(super) fn of_code(code: Option<u64>) -> Self {
        [
            Self::Untrusted,
            Self::Unfinished,
            Self::Usage,
            Self::Input,
            Self::Unreachable,
        ]
        .into_iter()
        .find(|exit| Some(u64::from(exit.code())) == code)
        .unwrap_or(Self::Bug)
    }
}

/// Prints the argument parser's message and returns gwd's exit code.
pub(super) fn of_clap(error: &clap::Error) -> Exit {
    use clap::error::ErrorKind;
    // Ignore a failed write: the reader may have closed the output.
    let _unread = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        ErrorKind::Io | ErrorKind::Format => Exit::Bug,
        _ => Exit::Usage,
    }
}

/// Installs a panic hook that logs each panic with its source location.
pub(super) fn install_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or("no message").to_owned();
        let place = panic.location().map(ToString::to_string);
        event(
            Level::Error,
            "a bug in gwd; report it with this line",
            json!({
                "panic": why,
                "place": place,
                "thread": std::thread::current().name(),
                "version": env!("CARGO_PKG_VERSION"),
            }),
        );
    }));
}
