//! Client of the gateways' admin interface, over TCP or a UNIX socket.
//!
//! The client uses hyper's connection-level API. The workspace already depends on hyper, the API
//! works over any stream including UNIX sockets, and one request per connection is sufficient. The
//! admin interface is plain HTTP on loopback, a private network or a socket file, so TLS is not
//! needed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use model::exit::{Exit, Failure};

/// Timeout for the response of one gateway: 5s.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a response, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Admin interface of a gateway.
#[derive(Clone, Debug)]
pub struct Node {
    /// Address as written by the user.
    pub name: String,
    at: At,
}

#[derive(Clone, Debug)]
enum At {
    Tcp { authority: String, address: String },
    Unix(PathBuf),
}

/// Gateways to query.
pub struct Nodes {
    nodes: Vec<Node>,
    token: Option<String>,
    runtime: tokio::runtime::Runtime,
}

/// Status of a gateway, from `GET /v1/status`.
#[derive(Clone, Debug)]
pub struct Status {
    /// Id of the bundle that the gateway runs. `None`: the gateway runs no bundle.
    pub bundle: Option<String>,
    /// Serial of the newest record that the gateway has accepted. `None`: none yet.
    pub serial: Option<u64>,
    /// Project of the gateway.
    pub project: Option<String>,
    /// Channel that the gateway follows.
    pub channel: Option<String>,
    /// Hold that is active on the gateway (the gateway is pinned to its bundle). `None`: no hold.
    pub hold: Option<Value>,
    /// Bundles in the gateway's memory, to which it can switch immediately.
    pub resident: Vec<String>,
    /// Error of the last activation. `None`: the activation succeeded.
    pub last_error: Option<Value>,
    /// Complete response.
    pub all: Value,
}

/// Bundles known to a gateway.
#[derive(Clone, Debug)]
pub struct Bundles {
    /// All bundles on the gateway.
    pub all: Vec<NodeBundle>,
    /// Bundles that have run, newest first.
    pub ran: Vec<PastRun>,
}

/// Bundle on a gateway.
#[derive(Clone, Debug)]
pub struct NodeBundle {
    /// Id of the bundle.
    pub bundle: String,
    /// True if the bundle is in memory and nothing prevents a switch to it.
    pub ready: bool,
    /// Reason why the bundle is not ready, such as `on-disk`. `None` if it is ready.
    pub not_ready: Option<String>,
}

/// Bundle that has run on a gateway.
#[derive(Clone, Debug)]
pub struct PastRun {
    /// Id of the bundle.
    pub bundle: String,
    /// Serial of the record that activated the bundle.
    pub serial: Option<u64>,
    /// Time of the activation (RFC 3339). `None`: unknown.
    pub since: Option<String>,
}

impl Node {
    /// Parses `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// Returns a usage error if the text has none of these forms.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let wrong = |why: &str| Failure::usage(format!("`--node {text}`: {why}"));
        let name = text.to_owned();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(wrong("write unix:PATH").into());
            }
            return Ok(Self {
                name,
                at: At::Unix(path.into()),
            });
        }
        if text.starts_with("https://") {
            return Err(wrong(
                "the admin interface serves plain HTTP; use http://, a unix socket, or a tunnel",
            )
            .into());
        }
        let authority = text.strip_prefix("http://").unwrap_or(text);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let parsed: http::uri::Authority = authority
            .parse()
            .map_err(|_| wrong("write http://HOST:PORT or unix:PATH"))?;
        if authority.contains('@') {
            return Err(wrong("give the token with --admin-token-file").into());
        }
        let port = parsed
            .port_u16()
            .ok_or_else(|| wrong("the port is missing: write http://HOST:PORT or unix:PATH"))?;
        let host = parsed.host().trim_matches(['[', ']']);
        let address = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        Ok(Self {
            name,
            at: At::Tcp {
                authority: authority.to_owned(),
                address,
            },
        })
    }
}

impl Nodes {
    /// Creates the list of gateways from `--node` options, with the token for their admin
    /// interface.
    ///
    /// # Errors
    /// Returns a usage error if an option is invalid, and an input error if the token file cannot
    /// be read.
    pub fn new(texts: &[String], token_file: Option<&Path>) -> anyhow::Result<Self> {
        let token = token_file.map(|path| {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| {
                Failure::new(
                    Exit::INPUT,
                    "no-token",
                    format!("the token file `{}`: {error}", path.display()),
                )
            })?;
            let token = text.trim();
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Failure::new(
                    Exit::INPUT,
                    "no-token",
                    format!(
                        "the token file `{}` must contain exactly one line of printable characters",
                        path.display()
                    ),
                ));
            }
            Ok(token.to_owned())
        });
        Ok(Self {
            nodes: texts
                .iter()
                .map(|text| Node::parse(text))
                .collect::<anyhow::Result<_>>()?,
            token: token.transpose()?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }

    /// True if there are no gateways.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Requests the status of every gateway in parallel.
    #[must_use]
    pub fn status(&self) -> Vec<(String, anyhow::Result<Status>)> {
        let answers = self.all("GET", "/v1/status");
        answers
            .into_iter()
            .map(|(name, answer)| (name, answer.and_then(|bytes| read(&bytes))))
            .collect()
    }

    /// Requests the resident and previous bundles of every gateway in parallel.
    #[must_use]
    pub fn bundles(&self) -> Vec<(String, anyhow::Result<Bundles>)> {
        let answers = self.all("GET", "/v1/bundles");
        answers
            .into_iter()
            .map(|(name, answer)| (name, answer.and_then(|bytes| read_bundles(&bytes))))
            .collect()
    }

    /// Requests an immediate poll of the store from every gateway. Ignores gateways that do not
    /// respond, because they poll later anyway.
    pub fn notify(&self) {
        drop(self.all("POST", "/v1/notify"));
    }

    fn all(
        &self,
        method: &'static str,
        path: &'static str,
    ) -> Vec<(String, anyhow::Result<Bytes>)> {
        let ask = |node: Node, token: Option<String>| async move {
            tokio::time::timeout(
                RESPONSE_TIMEOUT,
                call(&node, token.as_deref(), method, path),
            )
            .await
            .unwrap_or_else(|_| {
                bail!("no answer within {} seconds", RESPONSE_TIMEOUT.as_secs());
            })
        };
        self.runtime.block_on(async {
            let mut waiting = Vec::new();
            for node in &self.nodes {
                let task = tokio::spawn(ask(node.clone(), self.token.clone()));
                waiting.push((node.name.clone(), task));
            }
            let mut answers = Vec::new();
            for (name, task) in waiting {
                let answer = task.await.unwrap_or_else(|error| Err(error.into()));
                answers.push((name, answer));
            }
            answers
        })
    }
}

async fn call(node: &Node, token: Option<&str>, method: &str, path: &str) -> anyhow::Result<Bytes> {
    match &node.at {
        At::Tcp { authority, address } => {
            let stream = TcpStream::connect(address).await.context("no connection")?;
            exchange(stream, authority, token, method, path).await
        }
        At::Unix(socket) => {
            let stream = UnixStream::connect(socket).await.context("no connection")?;
            exchange(stream, "localhost", token, method, path).await
        }
    }
}

async fn exchange<S>(
    stream: S,
    authority: &str,
    token: Option<&str>,
    method: &str,
    path: &str,
) -> anyhow::Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", authority)
        .header("accept", "application/json");
    if let Some(token) = token {
        let mut value = http::HeaderValue::try_from(format!("Bearer {token}"))?;
        value.set_sensitive(true);
        request = request.header("authorization", value);
    }
    let response = sender
        .send_request(request.body(Full::<Bytes>::default())?)
        .await
        .context("the connection was interrupted")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("the response cannot be read: {error}"))?;
    connection.abort();
    match status.as_u16() {
        200..=299 => Ok(body.to_bytes()),
        401 | 403 => bail!("the gateway refuses the token ({status}); give --admin-token-file"),
        _ => bail!("it answers {status}"),
    }
}

fn read(bytes: &[u8]) -> anyhow::Result<Status> {
    let all: Value = serde_json::from_slice(bytes).context("the response is not JSON")?;
    if all["schema"] != "status/v1" {
        bail!("the response is not the status of a gwd (schema status/v1)");
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let some = |value: &Value| (!value.is_null()).then(|| value.clone());
    Ok(Status {
        bundle: text(&all["bundle"]),
        serial: all["serial"].as_u64(),
        project: text(&all["project"]),
        channel: text(&all["channel"]),
        hold: some(&all["hold"]),
        resident: all["resident"]
            .as_array()
            .map(|list| list.iter().filter_map(text).collect())
            .unwrap_or_default(),
        last_error: some(&all["last_error"]),
        all,
    })
}

fn read_bundles(bytes: &[u8]) -> anyhow::Result<Bundles> {
    let all: Value = serde_json::from_slice(bytes).context("the response is not JSON")?;
    if all["schema"] != "bundles/v1" {
        bail!("the response is not the bundle list of a gwd (schema bundles/v1)");
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |name: &str| all[name].as_array().into_iter().flatten();
    Ok(Bundles {
        all: list("bundles")
            .filter_map(|known| {
                Some(NodeBundle {
                    bundle: text(&known["bundle"])?,
                    ready: known["ready"].as_bool().unwrap_or(false),
                    not_ready: text(&known["not_ready"]),
                })
            })
            .collect(),
        ran: list("ran")
            .filter_map(|ran| {
                Some(PastRun {
                    bundle: text(&ran["bundle"])?,
                    serial: ran["serial"].as_u64(),
                    since: text(&ran["since"]),
                })
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_addresses_are_parsed_or_refused() {
        for good in [
            "http://127.0.0.1:9000",
            "http://127.0.0.1:9000/",
            "localhost:9000",
            "http://[::1]:9000",
            "unix:/run/gwd/admin.sock",
        ] {
            assert!(Node::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "unix:",
            "https://gateway:9000",
            "http://gateway",
            "http://a:b@gateway:1",
            "http://gateway:9000/path",
            "http://gateway:99999",
        ] {
            assert!(Node::parse(bad).is_err(), "{bad}");
        }
    }
}
