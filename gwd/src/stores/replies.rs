//! Bounds of the replies of a store (RESP, the protocol of Redis).
//!
//! The client library buffers a reply until it is whole, and a reply announces its own length, up
//! to 512 MB for one string. Replies to the commands of the gateway have a few hundred bytes. A
//! store that sends more is broken or hostile, so the connection fails before the library sees the
//! bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bounds of one reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Maximum number of bytes.
    bytes_max: u64,
    /// Maximum number of values of a list or map.
    values_max: u64,
}

/// Maximum number of bytes of a line that announces a length, with its type byte.
const LENGTH_BYTES_MAX: usize = 24;

impl Bounds {
    /// Replies to counting commands and to sentinels: 64 KiB, 1,024 values.
    pub(super) const COMMANDS: Self = Self {
        bytes_max: 64 << 10,
        values_max: 1_024,
    };
    /// Replies to `CLUSTER SLOTS`: 4 MiB, 16,384 values. Each of the 16,384 slots can be a range of
    /// its own, with a master and a replica.
    pub(super) const SLOTS: Self = Self {
        bytes_max: 4 << 20,
        values_max: 16_384,
    };
}

/// I/O of a connection to a store. Reading fails if a reply exceeds the bounds.
pub(super) struct Bounded<S> {
    stream: S,
    replies: Replies,
}

impl<S> Bounded<S> {
    pub(super) const fn new(stream: S, bounds: Bounds) -> Self {
        Self {
            stream,
            replies: Replies::new(bounds),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = self.replies.read(&buffer.filled()[before..]);
        if read.is_err() {
            buffer.set_filled(before);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Position in a sequence of replies.
#[derive(Debug)]
struct Replies {
    bounds: Bounds,
    /// Number of bytes of the current reply so far.
    bytes: u64,
    /// Number of values that are still missing in the current reply. 0 between two replies.
    values: u64,
    /// Number of bytes that are still missing in the current string, its line end included. 0
    /// outside a string.
    string: u64,
    /// First bytes of the current line, which contain its type and length.
    line: Vec<u8>,
}

impl Replies {
    const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            bytes: 0,
            values: 0,
            string: 0,
            line: Vec::new(),
        }
    }

    /// Updates the position in the replies for received bytes.
    ///
    /// # Errors
    /// If a reply exceeds the bounds, or has a length that is not a number.
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let [first, rest @ ..] = bytes {
            if self.values == 0 {
                (self.values, self.bytes) = (1, 0);
            }
            if self.string > 0 {
                let taken =
                    usize::try_from(self.string).map_or(bytes.len(), |all| all.min(bytes.len()));
                self.count(taken as u64)?;
                self.string -= taken as u64;
                if self.string == 0 {
                    self.values -= 1;
                }
                bytes = &bytes[taken..];
                continue;
            }
            self.count(1)?;
            if *first == b'\n' {
                self.end_line()?;
            } else if self.line.len() < LENGTH_BYTES_MAX {
                self.line.push(*first);
            }
            bytes = rest;
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes += bytes;
        match self.bytes > self.bounds.bytes_max {
            true => Err(refused("a reply is too long")),
            false => Ok(()),
        }
    }

    /// Interprets a line: a value, or the length of a string, list or map.
    fn end_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        let (kind, length) = text.split_first().unwrap_or((&b'+', b""));
        let length = || {
            let text = std::str::from_utf8(length).ok();
            let number = text.and_then(|text| text.parse::<i64>().ok());
            number.ok_or_else(|| refused("a length is not a number"))
        };
        let values = match kind {
            b'$' | b'=' | b'!' => {
                match u64::try_from(length()?) {
                    Ok(bytes) if bytes > self.bounds.bytes_max => {
                        return Err(refused("a reply is too long"));
                    }
                    Ok(bytes) => {
                        self.string = bytes + 2;
                        return Ok(());
                    }
                    // A length of -1 means a null value: no bytes follow.
                    Err(_) => 0,
                }
            }
            b'*' | b'~' | b'>' => u64::try_from(length()?).unwrap_or(0),
            b'%' => u64::try_from(length()?).unwrap_or(0).saturating_mul(2),
            // Attributes are pairs, and the value that they describe follows them.
            b'|' => u64::try_from(length()?)
                .unwrap_or(0)
                .saturating_mul(2)
                .saturating_add(1),
            _ => 0,
        };
        if values > self.bounds.values_max {
            return Err(refused("a reply has too many values"));
        }
        self.values += values;
        self.values -= 1;
        Ok(())
    }
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the bytes at once and one by one. Both results must be equal.
    fn read(bytes: &[u8]) -> Result<u64, String> {
        let mut whole = Replies::new(Bounds::COMMANDS);
        let all = whole.read(bytes).map(|()| whole.values);
        let mut single = Replies::new(Bounds::COMMANDS);
        let mut each = bytes.iter().map(|byte| single.read(&[*byte]));
        let each = each.find(Result::is_err).unwrap_or(Ok(()));
        let each = each.map(|()| single.values);
        let text = |one: io::Result<u64>| one.map_err(|error| error.to_string());
        let (all, each) = (text(all), text(each));
        assert_eq!(all, each);
        all
    }

    #[test]
    fn replies_of_the_commands_pass() {
        for reply in [
            "*3\r\n:1\r\n:99\r\n:0\r\n",
            "$40\r\n0123456789012345678901234567890123456789\r\n",
            "+OK\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "*0\r\n",
            "$0\r\n\r\n",
            "-NOSCRIPT No matching script. Please use EVAL.\r\n",
            "%1\r\n+server\r\n*2\r\n$1\r\na\r\n$2\r\n\r\n\r\n",
            "|1\r\n+a\r\n:1\r\n:2\r\n",
            "!3\r\nERR\r\n=7\r\ntxt:abc\r\n",
        ] {
            assert_eq!(read(reply.as_bytes()), Ok(0), "{reply:?}");
            let many = reply.repeat(10_000);
            assert_eq!(read(many.as_bytes()), Ok(0), "{reply:?}");
        }
        assert_eq!(read(b"*3\r\n:1\r\n"), Ok(2));
    }

    #[test]
    fn replies_beyond_the_bounds_fail() {
        let long = "a long reply\r\n".repeat(10_000);
        let line = format!("+{}", "x".repeat(70_000));
        let nested = "*1\r\n".repeat(20_000);
        let strings = format!(
            "*9\r\n{}",
            format!("$60000\r\n{}\r\n", "x".repeat(60_000)).repeat(2)
        );
        for (reply, why) in [
            ("$2000000000\r\n", "a reply is too long"),
            ("*1\r\n$65537\r\n", "a reply is too long"),
            (&line, "a reply is too long"),
            (&nested, "a reply is too long"),
            (&strings, "a reply is too long"),
            ("*1000000000\r\n", "a reply has too many values"),
            ("%9223372036854775807\r\n", "a reply has too many values"),
            ("|9223372036854775807\r\n", "a reply has too many values"),
            ("$x\r\n", "a length is not a number"),
            ("$?\r\n", "a length is not a number"),
            (
                "$99999999999999999999999999\r\n",
                "a length is not a number",
            ),
        ] {
            assert_eq!(read(reply.as_bytes()), Err(why.to_owned()), "{reply:.40?}");
        }
        // Each line is a separate reply, so that many lines do not exceed the limit of one reply.
        assert_eq!(read(long.as_bytes()), Ok(0));
    }
}
