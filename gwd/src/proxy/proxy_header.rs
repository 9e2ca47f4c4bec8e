//! Reads the PROXY header of a connection, and no byte after it, because the rest belongs to TLS or
//! HTTP.
//!
//! Bytes are peeked before they are read. While the header is incomplete, all peeked bytes belong
//! to it and are read. Once it is complete, only its own bytes are read.

use std::io;
use std::net::IpAddr;

use engine::proxy_protocol::{HEADER_BYTES_MAX, Header, Malformed, parse};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::proxy::connection::in_time;
use crate::runtime::deadlines::Slot;
use crate::worker::Worker;

/// Number of bytes to peek at a time; enough for most headers.
const LOOK_BYTES: usize = 256;

/// Reason why a connection with a missing or unacceptable PROXY header is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The peer may not send a PROXY header.
    Untrusted,
    /// The first bytes are not a PROXY header.
    Absent,
    /// The header is malformed.
    Invalid,
    /// The header did not arrive in time.
    TimedOut,
    /// The peer closed the connection. `without_data`: true if the peer sent no byte.
    Closed { without_data: bool },
}

/// Reads a PROXY header and returns the client's address. `None` if the balancer made the
/// connection for itself, for example as a health check.
///
/// # Errors
/// If the connection must be closed. The error is the reason.
pub(super) async fn read(
    stream: &mut TcpStream,
    deadline: &Slot,
) -> Result<Option<IpAddr>, Refused> {
    match in_time(deadline, header(stream)).await {
        Some(read) => read,
        None => Err(Refused::TimedOut),
    }
}

async fn header(stream: &mut TcpStream) -> Result<Option<IpAddr>, Refused> {
    let mut bytes = Vec::with_capacity(LOOK_BYTES);
    loop {
        let received = bytes.len();
        let gone = |_: io::Error| Refused::Closed {
            without_data: received == 0,
        };
        bytes.resize((received + LOOK_BYTES).min(HEADER_BYTES_MAX), 0);
        let waiting = stream.peek(&mut bytes[received..]).await.map_err(gone)?;
        if waiting == 0 {
            return Err(gone(io::ErrorKind::UnexpectedEof.into()));
        }
        bytes.truncate(received + waiting);
        let parsed = parse(&bytes)?;
        if let Header::Whole { length, .. } = parsed {
            bytes.truncate(length);
        }
        let rest = &mut bytes[received..];
        stream.read_exact(rest).await.map_err(gone)?;
        if let Header::Whole { client, .. } = parsed {
            return Ok(client);
        }
    }
}

// === impl Refused ===

impl Refused {
    /// Counts the reason in the metrics. A peer that closes without sending a byte is not counted:
    /// it is a balancer's health check.
    pub(super) fn count(self, worker: &Worker) {
        let reason = match self {
            Self::Untrusted => "proxy_header_untrusted",
            Self::Absent => "proxy_header_missing",
            Self::Invalid
            | Self::Closed {
                without_data: false,
            } => "proxy_header_invalid",
            Self::TimedOut => "proxy_header_timeout",
            Self::Closed { without_data: true } => return,
        };
        worker.shard.rejected_early(reason);
    }
}

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Absent => Self::Absent,
            Malformed::Invalid => Self::Invalid,
        }
    }
}
