//! Minimal WebSocket implementation (RFC 6455 §5.2) for short text messages.

use std::io;

use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Example key of a handshake (RFC 6455 §1.3).
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const TEXT: u8 = 0x81;
const MASK: [u8; 4] = [1, 2, 3, 4];

/// Sender of a WebSocket frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The client, which masks its frames.
    Client,
    Server,
}

/// `Sec-WebSocket-Accept` value for the key of a handshake (RFC 6455 §4.2.2).
pub(crate) fn accept(key: &[u8]) -> String {
    use base64::Engine as _;
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

/// Encodes a text message of less than 126 bytes as a frame.
pub(crate) fn frame(text: &str, side: Side) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    assert!(length < 126, "short");
    match side {
        Side::Server => [&[TEXT, length], text.as_bytes()].concat(),
        Side::Client => {
            let masked = text.bytes().zip(MASK.iter().cycle());
            let mut bytes = vec![TEXT, 0x80 | length];
            bytes.extend(MASK);
            bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
            bytes
        }
    }
}

/// Writes a text message as one frame.
pub(crate) async fn write(
    io: &mut (impl AsyncWrite + Unpin),
    text: &str,
    side: Side,
) -> io::Result<()> {
    io.write_all(&frame(text, side)).await?;
    io.flush().await
}

/// Reads the next message. Fails if the message is not a short text in one frame.
pub(crate) async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = [0; 2];
    io.read_exact(&mut head).await?;
    if head[0] != TEXT {
        return Err(io::Error::other(format!("a frame that begins {head:02x?}")));
    }
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        io.read_exact(&mut mask).await?;
    }
    let mut text = vec![0; usize::from(head[1] & 0x7F)];
    io.read_exact(&mut text).await?;
    for (byte, mask) in text.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    String::from_utf8(text).map_err(io::Error::other)
}
