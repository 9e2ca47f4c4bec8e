//! Upstream service for tests: records requests, and responds as the test or the request specifies.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::client::{Connection, Head, Until};

/// Running upstream. It stops when this value is dropped.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Recorded request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method of the request.
    pub method: String,
    /// Path and query, as received.
    pub target: String,
    /// Head of the request.
    pub head: Head,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Number of the connection on which the request arrived.
    pub connection: usize,
}

/// Response of an upstream.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Fields in addition to the framing.
    pub headers: Vec<(String, String)>,
    /// Body of the response.
    pub body: Vec<u8>,
    /// Delay before the head is sent.
    pub delay: Duration,
    /// True if the response never ends: `body` is its first chunk, and no further chunk follows.
    pub is_endless: bool,
}

type Script = dyn Fn(&Seen) -> Answer + Send + Sync;

struct Shared {
    seen: Mutex<Vec<Seen>>,
    notes: AtomicBool,
    connections: AtomicUsize,
    stop: AtomicBool,
    script: Box<Script>,
}

// === impl Upstream ===

impl Upstream {
    /// Starts an upstream that responds as the request's `x-answer` field specifies. Without the
    /// field, it responds with `200` and `ok`.
    #[must_use]
    pub fn start() -> Self {
        Self::scripted(Answer::as_requested)
    }

    /// Starts an upstream whose responses `script` creates.
    #[must_use]
    pub fn scripted(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            notes: AtomicBool::new(true),
            connections: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            script: Box::new(script),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&accepting);
                let number = shared.connections.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || shared.serve(stream, number));
            }
        });
        Self { address, shared }
    }

    /// Address on which the upstream listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base URL: `http://ADDRESS`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops recording requests. For tests under load.
    pub fn forgets(&self) {
        self.shared.notes.store(false, Ordering::Relaxed);
    }

    /// Returns the requests that were recorded since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.shared.lock())
    }

    /// Number of connections that the upstream has accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Connect to wake the accepting thread. Ignore an error: the thread may have ended already.
        let _woken = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Serves one connection until the connection ends or an error occurs.
    fn serve(&self, stream: TcpStream, number: usize) {
        let _nagle = stream.set_nodelay(true);
        let mut connection = Connection::accepted(stream);
        while let Ok(head) = connection.read_head() {
            if head.has("expect", "100-continue")
                && connection.send(b"HTTP/1.1 100 Continue\r\n\r\n").is_err()
            {
                return;
            }
            let Ok(body) = connection.read_body(&head, Until::Nothing) else {
                return;
            };
            let mut words = head.line.split(' ');
            let mut word = || words.next().unwrap_or_default().to_owned();
            let seen = Seen {
                method: word(),
                target: word(),
                head,
                body,
                connection: number,
            };
            let answer = (self.script)(&seen);
            let to_head = seen.method == "HEAD";
            if self.notes.load(Ordering::Relaxed) {
                self.lock().push(seen);
            }
            if !answer.delay.is_zero() {
                std::thread::sleep(answer.delay);
            }
            if connection.send(&answer.bytes(to_head)).is_err() {
                return;
            }
            if answer.is_endless {
                // Wait until the gateway closes the connection. Ignore errors.
                let _closed = connection.read_to_end();
                return;
            }
        }
    }
}

// === impl Seen ===

impl Seen {
    /// Value of the first field with this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }
}

// === impl Answer ===

impl Answer {
    /// Response with status 200 and a body.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
            delay: Duration::ZERO,
            is_endless: false,
        }
    }

    /// Response that the field `x-answer` of a request specifies. Format:
    /// `status=503; delay_ms=50; NAME=VALUE`. `body` sets the body. Every other NAME adds a field
    /// to the response.
    #[must_use]
    pub fn as_requested(seen: &Seen) -> Self {
        let mut answer = Self::ok("ok");
        let wishes = seen.header("x-answer").unwrap_or_default();
        for wish in wishes.split(';').filter_map(|wish| wish.split_once('=')) {
            let (name, value) = (wish.0.trim(), wish.1.trim());
            let number = || value.parse().expect("a number stands in x-answer");
            match name {
                "status" => answer.status = u16::try_from(number()).expect("a status"),
                "delay_ms" => answer.delay = Duration::from_millis(number()),
                "body" => answer.body = value.as_bytes().to_vec(),
                _ => answer.headers.push((name.to_owned(), value.to_owned())),
            }
        }
        answer
    }

    fn bytes(&self, to_head: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} x\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.is_endless {
            text.push_str(&format!(
                "transfer-encoding: chunked\r\n\r\n{:x}\r\n",
                self.body.len()
            ));
            return [text.as_bytes(), &self.body, b"\r\n"].concat();
        }
        if !matches!(self.status, 204 | 304) {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if !to_head && !matches!(self.status, 204 | 304) {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}
