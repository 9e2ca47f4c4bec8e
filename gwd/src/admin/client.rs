//! The commands' side: one request to a running gwd, over TCP or a unix socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Interface;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Where a running gwd is, and what lets us in.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) interface: Interface,
    pub(crate) token: Option<String>,
}

/// What it said.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Node {
    /// Sends one request.
    ///
    /// # Errors
    /// If the node cannot be reached or does not answer as gwd does.
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
        match &self.interface {
            Interface::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)
                    .with_context(|| format!("no gwd can be reached at `{address}`"))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, &request)
            }
            Interface::Unix(path) => {
                let stream = UnixStream::connect(path)
                    .with_context(|| format!("no gwd can be reached at `{}`", path.display()))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, &request)
            }
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> anyhow::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).context("the answer is not text")?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("the answer is not HTTP");
    };
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("the answer is not HTTP")?;
    let body = serde_json::from_str(body).context("the answer is not gwd's")?;
    Ok(Answer { status, body })
}
