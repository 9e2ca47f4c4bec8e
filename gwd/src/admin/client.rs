//! Client of the admin interface for gwd's commands: one request, over TCP or a Unix socket.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Interface;

/// Maximum length of a response of the admin interface, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Maximum length of a line of a response that is read line by line, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Maximum time without a line: 45s. The node then counts as unreachable. gwd sends an empty line
/// every 15s.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Address of a running gwd's admin interface, with its token.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) interface: Interface,
    pub(crate) token: Option<String>,
    /// Maximum time from the start of a request to its complete response.
    pub(crate) timeout: Duration,
}

/// Response of the admin interface.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Node {
    /// Sends one request to the admin interface, and returns its response.
    ///
    /// # Errors
    /// If the node cannot be reached, if the response is late, or if the response is not HTTP with
    /// a JSON body.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: gwd\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            text.len()
        );
        if let Some(token) = &self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        let request = format!("{head}\r\n{text}");
        // Use a separate thread: connecting to a Unix socket has no timeout, and a response that
        // arrives byte by byte would restart a read timeout.
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        let (interface, timeout) = (self.interface.clone(), self.timeout);
        std::thread::spawn(move || {
            let _too_late = done.send(interface.exchange(&request, timeout));
        });
        match answer.recv_timeout(timeout) {
            Ok(answer) => answer,
            Err(_) => bail!(
                "gwd did not answer within {timeout:?}: a command that had not started is cancelled; check `gwd status` and the log of gwd, or use a longer --timeout"
            ),
        }
    }
}

impl Node {
    /// Sends one request to the admin interface, and passes each line of the response to `line`
    /// until it returns `Break`. Returns the response if it is a refusal, which has no lines.
    ///
    /// # Errors
    /// If the node cannot be reached, closes the connection, or sends nothing for 45 seconds.
    pub(crate) fn follow(
        &self,
        path: &str,
        body: &Value,
        mut line: impl FnMut(&str) -> ControlFlow<()>,
    ) -> anyhow::Result<Option<Answer>> {
        let text = body.to_string();
        // Use HTTP/1.0, so that the response ends with the connection and is not chunked.
        let mut request = format!(
            "POST {path} HTTP/1.0\r\nhost: gwd\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            text.len()
        );
        if let Some(token) = &self.token {
            request.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        let mut stream = self.interface.connect(self.timeout)?;
        stream.wait_at_most(self.timeout)?;
        stream.write_all(format!("{request}\r\n{text}").as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let left = LINE_BYTES_MAX - head.len() as u64;
            let read = (&mut reader).take(left).read_line(&mut head);
            if read.context("gwd sent no response")? == 0 {
                bail!("the response is not valid HTTP");
            }
        }
        let status = status_of(&head)?;
        if status >= 300 {
            let mut body = Vec::new();
            reader.take(ANSWER_BYTES_MAX).read_to_end(&mut body)?;
            let body = serde_json::from_slice(&body)
                .context("the response is not from gwd: its body is not JSON")?;
            return Ok(Some(Answer { status, body }));
        }
        reader.get_ref().wait_at_most(SILENCE_MAX)?;
        loop {
            let mut bytes = Vec::new();
            let read = (&mut reader)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut bytes);
            read.context("gwd has sent nothing for 45s")?;
            let Some(own) = bytes.strip_suffix(b"\n") else {
                bail!("gwd closed the connection");
            };
            let own = std::str::from_utf8(own).context("the response is not UTF-8 text")?;
            if !own.is_empty() && line(own).is_break() {
                return Ok(None);
            }
        }
    }
}

/// Connection to the admin interface.
trait Connection: Read + Write {
    /// Sets the maximum time that a read waits.
    fn wait_at_most(&self, time: Duration) -> io::Result<()>;
}

impl Connection for TcpStream {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Connection for UnixStream {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Interface {
    fn connect(&self, timeout: Duration) -> anyhow::Result<Box<dyn Connection>> {
        let connected: io::Result<Box<dyn Connection>> = match self {
            Self::Tcp(address) => {
                TcpStream::connect_timeout(address, timeout).map(|one| Box::new(one) as _)
            }
            Self::Unix(path) => UnixStream::connect(path).map(|one| Box::new(one) as _),
        };
        connected.with_context(|| match self {
            Self::Tcp(address) => format!("no gwd can be reached at `{address}`"),
            Self::Unix(path) => format!("no gwd can be reached at `{}`", path.display()),
        })
    }

    fn exchange(&self, request: &str, timeout: Duration) -> anyhow::Result<Answer> {
        exchange(self.connect(timeout)?, request)
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> anyhow::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).context("the response is not UTF-8 text")?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("the response is not valid HTTP");
    };
    let status = status_of(head)?;
    let body =
        serde_json::from_str(body).context("the response is not from gwd: its body is not JSON")?;
    Ok(Answer { status, body })
}

/// Status in the head of a response.
fn status_of(head: &str) -> anyhow::Result<u16> {
    let status = head.split(' ').nth(1);
    let status = status.and_then(|status| status.get(..3)?.parse().ok());
    status.context("the response is not valid HTTP")
}
