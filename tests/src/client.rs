//! HTTP/1.1 client that can send any bytes, and reads responses.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Maximum time to wait for data: 30s.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Connection to a server, or accepted from a client.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Head of a request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Request line or status line.
    pub line: String,
    /// Fields in order, with names in lower case.
    pub headers: Vec<(String, String)>,
}

/// Received response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Head of the response.
    pub head: Head,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Status codes of the interim responses before this response.
    pub interim: Vec<u16>,
}

// === impl Connection ===

impl Connection {
    /// Connects over TCP.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        Ok(Self::over(stream))
    }

    /// Connects to a Unix socket.
    pub fn open_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self::over(stream))
    }

    /// Uses a connection that was accepted.
    #[must_use]
    pub fn accepted(stream: TcpStream) -> Self {
        Self::over(stream)
    }

    fn over(stream: impl Read + Write + Send + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
        }
    }

    /// Sends raw bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a request and reads the response. `text`: head with `\n` or `\r\n` as line ends,
    /// without the empty line.
    pub fn ask(&mut self, text: &str) -> io::Result<Response> {
        let mut bytes = text.trim_end().replace("\r\n", "\n").replace('\n', "\r\n");
        bytes.push_str("\r\n\r\n");
        self.send(bytes.as_bytes())?;
        self.read_response(text.starts_with("HEAD "))
    }

    /// Reads one response. `to_head`: true if the request method was HEAD, so that the response has
    /// no body.
    pub fn read_response(&mut self, to_head: bool) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let head = self.read_head()?;
            let status = head.status()?;
            if status < 200 {
                interim.push(status);
                continue;
            }
            let body = if to_head || matches!(status, 204 | 304) {
                Vec::new()
            } else {
                self.read_body(&head, Until::Close)?
            };
            return Ok(Response {
                status,
                head,
                body,
                interim,
            });
        }
    }

    /// Reads a head, up to and including the empty line.
    pub fn read_head(&mut self) -> io::Result<Head> {
        let mut from = 0;
        let end = loop {
            if let Some(at) = find(&self.buffer[from..], b"\r\n\r\n") {
                break from + at + 4;
            }
            from = self.buffer.len().saturating_sub(3);
            self.fill()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        Head::parse(&String::from_utf8_lossy(&head))
    }

    /// Reads a body with the framing of its head. `silent`: end of the body if the head has no
    /// framing.
    pub fn read_body(&mut self, head: &Head, silent: Until) -> io::Result<Vec<u8>> {
        if head.has("transfer-encoding", "chunked") {
            return self.read_chunks();
        }
        match (head.get("content-length"), silent) {
            (Some(length), _) => {
                let length = length.parse().map_err(io::Error::other)?;
                self.read_exactly(length)
            }
            (None, Until::Nothing) => Ok(Vec::new()),
            (None, Until::Close) => self.read_to_end(),
        }
    }

    /// True if the peer has closed the connection without sending more bytes.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty()
            && matches!(self.fill(), Err(error) if error.kind() != io::ErrorKind::WouldBlock)
    }

    /// Reads everything until the peer closes the connection.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads this number of bytes.
    pub fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn read_line(&mut self) -> io::Result<String> {
        let end = loop {
            match find(&self.buffer, b"\r\n") {
                Some(at) => break at,
                None => self.fill()?,
            }
        };
        let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
        String::from_utf8(line).map_err(io::Error::other)
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.read_line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.read_exactly(size)?);
            self.read_exactly(2)?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&piece[..read]);
                Ok(())
            }
        }
    }
}

/// End of a body whose head has no framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// There is no body, as in a request without framing.
    Nothing,
    /// The body ends when the connection ends, as in a response.
    Close,
}

// === impl Head ===

impl Head {
    fn parse(text: &str) -> io::Result<Self> {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| io::Error::other(format!("not a field: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Self { line, headers })
    }

    fn status(&self) -> io::Result<u16> {
        let status = self
            .line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5));
        status
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| io::Error::other(format!("not a status line: {:?}", self.line)))
    }

    /// Value of the first field with this name, in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut of_name = self.headers.iter().filter(|(known, _)| known == name);
        of_name.next().map(|(_, value)| value.as_str())
    }

    /// Values of all fields with this name, in lower case.
    pub fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        let of_name = self.headers.iter().filter(move |(known, _)| known == name);
        of_name.map(|(_, value)| value.as_str())
    }

    /// True if a comma-separated list field contains this word.
    #[must_use]
    pub fn has(&self, name: &str, word: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(word))
    }
}

// === impl Response ===

impl Response {
    /// Value of the first field with this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// Body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Body as text, with the request id of the response removed.
    #[must_use]
    pub fn text_without_id(&self) -> String {
        let id = self.header("x-request-id").unwrap_or("-");
        self.text().replace(id, "")
    }

    /// Body, parsed as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON: {error}: {}", self.text()))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
