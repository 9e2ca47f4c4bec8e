//! Client of the admin interface for gwd's commands: one request, over TCP or a Unix socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Interface;

/// Maximum length of a response of the admin interface, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

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

impl Interface {
    fn exchange(&self, request: &str, timeout: Duration) -> anyhow::Result<Answer> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, timeout)
                    .with_context(|| format!("no gwd can be reached at `{address}`"))?;
                exchange(stream, request)
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)
                    .with_context(|| format!("no gwd can be reached at `{}`", path.display()))?;
                exchange(stream, request)
            }
        }
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
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("the response is not valid HTTP")?;
    let body =
        serde_json::from_str(body).context("the response is not from gwd: its body is not JSON")?;
    Ok(Answer { status, body })
}
