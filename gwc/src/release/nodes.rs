//! Client of the gateways' admin interface, over TCP or a UNIX socket.
//!
//! The client uses hyper's connection-level API. The workspace already depends on hyper, the API
//! works over any stream including UNIX sockets, and one request per connection is sufficient. The
//! admin interface is plain HTTP on loopback, a private network or a socket file, so TLS is not
//! needed. A bounded number of gateways is queried at once, so that a thousand gateways need no
//! more file descriptors than usual limits allow.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::node::{At, Node};
use super::node_list;
use model::exit::{Exit, Failure};

/// Timeout for the response of one gateway: 5s.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of gateways that are queried at once.
const PARALLEL: usize = 128;
/// Maximum size of a response, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

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
    /// Serial of the record whose bundle serves the requests of the gateway: in a step with a share
    /// of the requests, that of the base. `None`: the gateway runs no bundle.
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

impl Status {
    /// Serial of the newest record that the gateway has accepted. `None`: none yet.
    #[must_use]
    pub fn accepted(&self) -> Option<u64> {
        self.all["accepted"]["serial"].as_u64().max(self.serial)
    }
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

impl Nodes {
    /// Creates the list of gateways from `--node` and `--nodes` options, with the token for their
    /// admin interface. A gateway that `lists` repeat is queried once.
    ///
    /// # Errors
    /// Returns a usage error if an option is invalid, an input error if a file cannot be read, and
    /// exit code 69 if a name has no address.
    pub fn new(
        texts: &[String],
        lists: &[String],
        token_file: Option<&Path>,
    ) -> anyhow::Result<Self> {
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
        let nodes = texts.iter().map(|text| Node::parse(text));
        let mut nodes: Vec<Node> = nodes.collect::<anyhow::Result<_>>()?;
        let mut known: BTreeSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
        for list in lists {
            let listed = node_list::read(list)?.into_iter();
            nodes.extend(listed.filter(|node| known.insert(node.name.clone())));
        }
        Ok(Self {
            nodes,
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

    /// Requests the status of every gateway, in the order of the options.
    #[must_use]
    pub fn status(&self) -> Vec<(String, anyhow::Result<Status>)> {
        self.status_of(&self.places())
    }

    /// Indexes of all gateways, for [`Self::status_of`].
    #[must_use]
    pub fn places(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }

    /// Requests the status of the gateways with these indexes, in this order.
    #[must_use]
    pub fn status_of(&self, places: &[usize]) -> Vec<(String, anyhow::Result<Status>)> {
        let answers = self.query(places, "GET", "/v1/status").into_iter();
        answers
            .map(|(name, answer)| (name, answer.and_then(|bytes| read(&bytes))))
            .collect()
    }

    /// Requests the resident and previous bundles of every gateway.
    #[must_use]
    pub fn bundles(&self) -> Vec<(String, anyhow::Result<Bundles>)> {
        let answers = self.query(&self.places(), "GET", "/v1/bundles").into_iter();
        answers
            .map(|(name, answer)| (name, answer.and_then(|bytes| read_bundles(&bytes))))
            .collect()
    }

    /// Requests an immediate poll of the store from every gateway. Ignores gateways that do not
    /// respond, because they poll later anyway.
    pub fn notify(&self) {
        drop(self.query(&self.places(), "POST", "/v1/notify"));
    }

    /// Queries gateways in parallel, at most [`PARALLEL`] at once. The order of the result is that
    /// of `places`.
    fn query(
        &self,
        places: &[usize],
        method: &'static str,
        path: &'static str,
    ) -> Vec<(String, anyhow::Result<Bytes>)> {
        let ask = |at: usize, node: Node, token: Option<String>| async move {
            let answer = tokio::time::timeout(
                RESPONSE_TIMEOUT,
                call(&node, token.as_deref(), method, path),
            );
            let answer = answer.await.unwrap_or_else(|_| {
                bail!("no answer within {} seconds", RESPONSE_TIMEOUT.as_secs());
            });
            (at, answer)
        };
        let mut answers: Vec<Option<anyhow::Result<Bytes>>> = Vec::new();
        answers.resize_with(places.len(), || None);
        self.runtime.block_on(async {
            let mut running = JoinSet::new();
            for (at, place) in places.iter().enumerate() {
                if running.len() >= PARALLEL
                    && let Some(Ok((at, answer))) = running.join_next().await
                {
                    answers[at] = Some(answer);
                }
                running.spawn(ask(at, self.nodes[*place].clone(), self.token.clone()));
            }
            while let Some(ended) = running.join_next().await {
                if let Ok((at, answer)) = ended {
                    answers[at] = Some(answer);
                }
            }
        });
        let names = places.iter().map(|place| self.nodes[*place].name.clone());
        let lost = || Err(anyhow::anyhow!("the request was interrupted"));
        names
            .zip(answers)
            .map(|(name, answer)| (name, answer.unwrap_or_else(lost)))
            .collect()
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
