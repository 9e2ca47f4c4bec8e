//! Hand-written HTTP/2 frames (RFC 9113 §4.1) that no library would send.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::fixture::WAIT_MAX;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flag END_STREAM, which is also the flag ACK of SETTINGS and PING.
pub(crate) const END: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Encodes a field for HPACK without its tables (RFC 7541 §6.2.2).
pub(crate) fn field(name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let text = |text: &[u8]| {
        assert!(text.len() < 127, "{text:?}");
        [&[u8::try_from(text.len()).unwrap()], text].concat()
    };
    [vec![0], text(name.as_bytes()), text(value.as_ref())].concat()
}

/// Encoded head of `GET http://shop.example/a`, or of another method, with further fields.
pub(crate) fn request(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own = [
        (":method", method),
        (":scheme", "http"),
        (":path", "/a"),
        (":authority", "shop.example"),
    ];
    fields(&[&own, more].concat())
}

pub(crate) fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    all.iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

/// A complete request without a body.
pub(crate) fn asks(stream: u32) -> Vec<u8> {
    frame(HEADERS, END | END_HEADERS, stream, &request("GET", &[]))
}

/// The head of a request whose body follows.
pub(crate) fn begins(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", &[]))
}

pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// Frame that the gateway sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Error code of a RST_STREAM or GOAWAY frame.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Status of a response head. Only statuses in HPACK's static table are supported.
    pub(crate) fn status(&self) -> u16 {
        match self.payload.first().map(|byte| byte & 0x7F) {
            Some(8) => 200,
            Some(12) => 400,
            Some(13) => 404,
            Some(14) => 500,
            _ => 0,
        }
    }
}

/// Connection over which a test sends arbitrary bytes.
pub(crate) struct Raw(
    pub(crate) TcpStream,
    /// True if the last read reached its time limit: the gateway neither answered nor closed.
    pub(crate) bool,
);

impl Raw {
    /// Opens a connection, sends the preface and empty settings, and acknowledges the gateway's
    /// settings.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut raw = Self::bare(address);
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(&frame(SETTINGS, 0, 0, &[]));
        raw.send(&frame(SETTINGS, END, 0, &[]));
        raw
    }

    /// Opens a connection without sending anything.
    pub(crate) fn bare(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.set_write_timeout(Some(WAIT_MAX)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream, false)
    }

    /// Sends bytes. Returns false if the gateway has closed the connection.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Reads the next frame. `None` if the gateway has closed the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.read(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.read(&mut payload)?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    fn read(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.0.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) => {
                self.1 = error.kind() == io::ErrorKind::WouldBlock;
                None
            }
        }
    }

    /// Reads frames until a frame meets the condition, and returns this frame. `None` if the
    /// gateway closes the connection before.
    pub(crate) fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Reads frames until the connection ends. Returns the error code of the last GOAWAY frame.
    /// `None` if the connection ends without a GOAWAY frame.
    pub(crate) fn goodbye(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }
}
