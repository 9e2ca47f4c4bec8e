//! Server of the admin interface.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONNECTION, HOST, HeaderValue, WWW_AUTHENTICATE};
use http::uri::Authority;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};

use zeroize::Zeroizing;

use super::connections::{Connection, Connections};
use super::replies::{
    Reply, bad_request, failure, full, health, json_reply, lines, problem, stopping, tool,
};
use super::slow_readers::InTime;
use super::{explain, order, scrape, tail, upstreams, validation};
use crate::control::{Event, OperatorError, Status, Switch};
use crate::listen::unix_socket;
use crate::metrics::caches;
use crate::metrics::registry::Registry;
use crate::published::Shared;
use crate::runtime::program_log::{self, Audit, Level, OK, event};

/// Maximum length of the body of a request to the admin interface, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Maximum time to receive a request's head, which also limits how long a connection is idle: 2s.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum time to receive the body of a request to the admin interface: 2s.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Address of the admin interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// State and channels that the admin interface uses.
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) status: Arc<ArcSwap<Status>>,
    pub(crate) events: Sender<Event>,
    /// Token that requests to `/v1/` must carry over TCP. Without a configured token, these
    /// requests are refused.
    pub(crate) token: Option<Token>,
    pub(crate) draining: Arc<AtomicBool>,
    /// Host names that the interface accepts over TCP, in addition to IP addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
    /// Notified when another gwd process has taken over the admin interface.
    pub(crate) left: Arc<Notify>,
    /// Semaphore with one permit, which writing `/metrics` or a status needs. A health check
    /// therefore waits for at most one of these large responses.
    pub(crate) writing: Semaphore,
}

/// Admin token, compared in constant time and never logged.
pub(crate) struct Token(Zeroizing<Vec<u8>>);

/// Transport over which a request to the admin interface arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    Tcp(SocketAddr),
    Unix,
}

// === impl Admin ===

impl Admin {
    /// Binds the interface, or uses a socket inherited from another process, and serves it on a
    /// separate thread. Returns its address, and a copy of the socket for a later handover.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub(crate) fn start(
        self,
        interface: Interface,
        inherited: Option<OwnedFd>,
    ) -> io::Result<(Interface, OwnedFd)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let admin = Arc::new(self);
        match interface {
            Interface::Tcp(address) => {
                let listener = {
                    let _inside = runtime.enter();
                    let listener = match inherited {
                        Some(socket) => socket.into(),
                        None => std::net::TcpListener::bind(address)?,
                    };
                    listener.set_nonblocking(true)?;
                    tokio::net::TcpListener::from_std(listener)?
                };
                let real = listener.local_addr()?;
                let socket = listener.as_fd().try_clone_to_owned()?;
                spawn(runtime, async move {
                    let mut connections = Connections::default();
                    loop {
                        let accepted = tokio::select! {
                            accepted = listener.accept() => accepted,
                            () = admin.left.notified() => break,
                        };
                        match accepted {
                            Ok((stream, peer)) => {
                                if let Some(connection) = connections.admit() {
                                    admin.serve(stream, Via::Tcp(peer), connection);
                                }
                            }
                            Err(_) => pause().await,
                        }
                    }
                    drop(listener);
                    // Keep the runtime alive, so that requests in progress still get their
                    // responses.
                    std::future::pending::<()>().await;
                })?;
                Ok((Interface::Tcp(real), socket))
            }
            Interface::Unix(path) => {
                let listener = match inherited {
                    Some(socket) => socket.into(),
                    None => unix_socket::bind(&path)?,
                };
                listener.set_nonblocking(true)?;
                let socket = listener.as_fd().try_clone_to_owned()?;
                let listener = {
                    let _inside = runtime.enter();
                    tokio::net::UnixListener::from_std(listener)?
                };
                spawn(runtime, async move {
                    let mut connections = Connections::default();
                    loop {
                        let accepted = tokio::select! {
                            accepted = listener.accept() => accepted,
                            () = admin.left.notified() => break,
                        };
                        match accepted {
                            Ok((stream, _)) => {
                                if let Some(connection) = connections.admit() {
                                    admin.serve(stream, Via::Unix, connection);
                                }
                            }
                            Err(_) => pause().await,
                        }
                    }
                    drop(listener);
                    std::future::pending::<()>().await;
                })?;
                Ok((Interface::Unix(path), socket))
            }
        }
    }

    fn serve<I>(self: &Arc<Self>, io: I, via: Via, connection: Arc<Connection>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(InTime::new(io));
        let admin = Arc::clone(self);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (admin, busy) = (Arc::clone(&admin), connection.busy());
                let reserved = connection.is_reserved();
                async move {
                    let reply = match reserved && !is_health(request.uri().path()) {
                        true => full(),
                        false => admin.answer(request, via).await,
                    };
                    drop(busy);
                    Ok::<_, Infallible>(reply)
                }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(io, service);
            tokio::select! {
                // A client that closes early is not an error.
                _broken_off = serving => {}
                () = connection.wait_until_closed() => {}
            }
        });
    }

    async fn answer(&self, request: Request<Incoming>, via: Via) -> Reply {
        let path = request.uri().path().to_owned();
        let methods: &[Method] = match path.as_str() {
            "/livez" | "/healthz" | "/readyz" | "/startupz" | "/metrics" | "/v1/status"
            | "/v1/bundles" | "/v1/routes" => &[Method::GET],
            "/v1/explain" | "/v1/activate" | "/v1/rollback" | "/v1/resume" | "/v1/drain"
            | "/v1/notify" | "/v1/tail" => &[Method::POST],
            "/v1/log-level" | "/v1/validation" => &[Method::PUT],
            _ => return problem(404, "not-found", "the admin interface has no such path"),
        };
        let head = request.method() == Method::HEAD && methods.contains(&Method::GET);
        if !head && !methods.contains(request.method()) {
            let mut reply = problem(405, "method-not-allowed", "use another method");
            let allow = methods[0].as_str();
            if let Ok(value) = HeaderValue::from_str(allow) {
                reply.headers_mut().insert(ALLOW, value);
            }
            return reply;
        }
        // Check the host only for `/metrics`: requests below `/v1/` need the token, and responses
        // of health checks reveal nothing.
        if path == "/metrics" && via != Via::Unix && !self.is_for_us(&request) {
            return problem(
                421,
                "host-not-allowed",
                "write an IP address or `localhost` as the host, send the admin token, or name the host with --admin-host",
            );
        }
        match path.as_str() {
            "/livez" | "/healthz" => {
                let lives = self.shared.lives();
                health(lives, if lives { "pass" } else { "fail" }, &json!({}))
            }
            "/readyz" => self.readiness(),
            "/startupz" => {
                let ready = self.status.load().ready;
                health(ready, if ready { "pass" } else { "fail" }, &json!({}))
            }
            "/metrics" => {
                let _writing = self.may_write().await;
                scrape::metrics(&self.registry, request.headers())
            }
            _ => match self.refuse(&request, via) {
                Some(refusal) => {
                    log_refused_change(&path, via, &refusal);
                    refusal
                }
                None => self.changes(&path, request, via).await,
            },
        }
    }

    /// Waits until a large response may be written. Other connections are served between two large
    /// responses.
    async fn may_write(&self) -> Option<SemaphorePermit<'_>> {
        let writing = self.writing.acquire().await.ok();
        tokio::task::yield_now().await;
        writing
    }

    /// True if the request has at most one `Host` field and names only allowed hosts, in this field
    /// and in its target. HTTP/1.1 requests must name a host. Allowed hosts are IP addresses,
    /// `localhost` and the configured names; with the token, any host. This protects against DNS
    /// rebinding: a web page can make its own host name resolve to this interface, but cannot name
    /// an allowed host.
    fn is_for_us(&self, request: &Request<Incoming>) -> bool {
        let is_ours = |authority: &Authority| {
            let host = authority.host();
            let address = host.trim_start_matches('[').trim_end_matches(']');
            address.parse::<IpAddr>().is_ok()
                || host.eq_ignore_ascii_case("localhost")
                || self.hosts.iter().any(|one| one.eq_ignore_ascii_case(host))
                || self.has_token(request)
        };
        let target = request.uri().authority();
        let mut fields = request.headers().get_all(HOST).iter();
        let (first, more) = (fields.next(), fields.next());
        let of_field = match first {
            None => request.version() == Version::HTTP_10 || target.is_some(),
            Some(host) => {
                let parsed = host.to_str().unwrap_or_default().parse();
                parsed.is_ok_and(|authority| is_ours(&authority))
            }
        };
        more.is_none() && of_field && target.is_none_or(is_ours)
    }

    fn readiness(&self) -> Reply {
        let draining = self.draining.load(Ordering::Relaxed);
        let status = self.status.load();
        let runs = status.ready;
        let protected = status.revocations_protected;
        let outcome = |fine: bool| if fine { "pass" } else { "fail" };
        let ready = runs && !draining;
        health(
            ready,
            outcome(ready),
            &json!({
                "bundle": [{"status": outcome(runs)}],
                "draining": [{"status": outcome(!draining)}],
                "key_sets": [{"status": if status.has_keys { "pass" } else { "warn" }}],
                "revocations": [{"status": if protected { "pass" } else { "warn" }}],
            }),
        )
    }

    /// Returns the refusal of a request without permission. TCP requires the token, which a web
    /// page cannot know. Over the Unix socket everything is allowed: the socket's file permissions
    /// decide who can connect.
    fn refuse(&self, request: &Request<Incoming>, via: Via) -> Option<Reply> {
        if via == Via::Unix {
            return None;
        }
        if self.token.is_none() {
            return Some(problem(
                403,
                "no-admin-token",
                "this gwd was started without --admin-token-file; start it with one, or use a unix socket",
            ));
        }
        if self.has_token(request) {
            return None;
        }
        let mut reply = problem(
            401,
            "admin-token-needed",
            "send the admin token as a Bearer token",
        );
        reply
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Some(reply)
    }

    fn has_token(&self, request: &Request<Incoming>) -> bool {
        let given = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        let token = self.token.as_ref();
        token.is_some_and(|token| given.is_some_and(|(_, given)| token.is(given)))
    }

    async fn changes(&self, path: &str, request: Request<Incoming>, via: Via) -> Reply {
        let who = match via {
            Via::Tcp(peer) => format!("admin token from {peer}"),
            Via::Unix => "unix socket".to_owned(),
        };
        match path {
            "/v1/status" => {
                let _writing = self.may_write().await;
                json_reply(200, &self.status_now())
            }
            "/v1/bundles" => json_reply(200, &self.status.load().bundles),
            "/v1/routes" => {
                let _writing = self.may_write().await;
                json_reply(200, &explain::routes(&self.shared))
            }
            _ => match read_body(request).await {
                Ok(body) => self.order(path, &body, who).await,
                Err(reply) => reply,
            },
        }
    }

    /// Executes an operator's command from its JSON body. Unknown keys are rejected: ignoring them
    /// could ignore what the operator intended.
    async fn order(&self, path: &str, body: &[u8], who: String) -> Reply {
        let switch = match path {
            "/v1/log-level" => return set_level(body, &who),
            "/v1/validation" => {
                let carried_out = validation::order(&self.shared, body, &who);
                return carried_out.map_or_else(
                    |why| bad_request(&why),
                    |()| json_reply(200, &self.status_now()),
                );
            }
            "/v1/explain" => {
                let explained =
                    order::read(body).and_then(|it| explain::explain(&self.shared, &it));
                return explained.map_or_else(|why| bad_request(&why), |it| json_reply(200, &it));
            }
            "/v1/tail" => return self.tail(body, &who),
            "/v1/activate" => Some(Switch::Activate),
            "/v1/rollback" => Some(Switch::Rollback),
            _ => None,
        };
        if let Some(what) = switch {
            return match order::requested(what, body) {
                Ok(order) => {
                    self.ask(|answer| Event::Switch { order, who, answer })
                        .await
                }
                Err(why) => bad_request(&why),
            };
        }
        if let Err(why) = order::read::<order::Nothing>(body) {
            return bad_request(&why);
        }
        match path {
            "/v1/resume" => self.ask(|answer| Event::Resume { who, answer }).await,
            "/v1/notify" => self.ask(Event::Notified).await,
            _ => match self.events.send(Event::Stop { who }) {
                Ok(()) => json_reply(202, &self.status_now()),
                Err(_) => stopping(),
            },
        }
    }

    /// Sends the access log lines of all requests that end from now on and fit the filters.
    fn tail(&self, body: &[u8], who: &str) -> Reply {
        let filter = order::read(body).and_then(tail::Filter::new);
        let filter = match filter {
            Ok(filter) => filter,
            Err(why) => return bad_request(&why),
        };
        let Some(tail) = self.shared.tails.subscribe() else {
            let why = "too many `gwd tail` are connected; end one of them";
            return problem(503, "too-many-tails", why);
        };
        event(
            Level::Info,
            "an operator follows the access log (`gwd tail`)",
            json!({"who": who}),
        );
        lines(tail::Lines::new(tail, filter))
    }

    /// Reads the latest status of the control thread and adds the current states of upstreams,
    /// validation limit, caches, memory and drain.
    fn status_now(&self) -> Value {
        let mut status = self.status.load().status.clone();
        if let Some(status) = status.as_object_mut() {
            status.insert("upstreams".into(), upstreams::status_value(&self.shared));
            let limit = self.shared.validation_limit.status();
            status.insert("validation_limit".into(), limit);
            status.insert("caches".into(), caches::status_value(&self.shared));
            let memory = &self.shared.budgets.memory;
            let value = json!({
                "max_bytes": memory.max(),
                "used_bytes": memory.used(),
                "buffered_bytes": memory.buffered(),
            });
            status.insert("memory".into(), value);
            if self.draining.load(Ordering::Relaxed) {
                status.insert("ready".into(), false.into());
                status.insert("draining".into(), true.into());
            }
        }
        status
    }

    /// Sends a request to the control thread and waits for the response.
    async fn ask(
        &self,
        event: impl FnOnce(oneshot::Sender<Result<Value, OperatorError>>) -> Event,
    ) -> Reply {
        // Yield, so that the connection is polled once more: if the client has disconnected, this
        // future is dropped.
        tokio::task::yield_now().await;
        let (answer, answered) = oneshot::channel();
        if self.events.send(event(answer)).is_err() {
            return stopping();
        }
        match answered.await {
            Ok(Ok(status)) => json_reply(200, &status),
            Ok(Err(error)) => failure(error.status, &error.code, &error.message, error.exit),
            Err(_) => stopping(),
        }
    }
}

// === impl Token ===

impl Token {
    /// Takes the token from the content of the token file, without surrounding white space.
    ///
    /// # Errors
    /// If the token has fewer than 16 characters.
    pub(crate) fn new(file: &[u8]) -> Result<Self, &'static str> {
        let token = file.trim_ascii();
        if token.len() < 16 {
            return Err("the admin token has less than 16 characters");
        }
        Ok(Self(Zeroizing::new(token.to_vec())))
    }

    /// Compares the token with `given`, in a time that depends only on their lengths.
    fn is(&self, given: &[u8]) -> bool {
        let given = given.trim_ascii();
        let mut differs = u8::from(given.len() != self.0.len());
        for (index, byte) in self.0.iter().enumerate() {
            differs |= byte ^ given.get(index).copied().unwrap_or(!byte);
        }
        std::hint::black_box(differs) == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

fn spawn(
    runtime: tokio::runtime::Runtime,
    serve: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || runtime.block_on(serve))?;
    Ok(())
}

async fn pause() {
    event(
        Level::Warn,
        "the admin interface cannot accept connections; gwd tries again",
        json!({}),
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Reads a request body, within its maximum size and time.
async fn read_body(request: Request<Incoming>) -> Result<Bytes, Reply> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
    match tokio::time::timeout(BODY_TIMEOUT, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(problem(
            413,
            "body-too-large",
            "send a body of at most 64 KiB",
        )),
        Err(_) => {
            let mut reply = problem(408, "body-timeout", "send the body within 2 s");
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(CONNECTION, close);
            Err(reply)
        }
    }
}

/// Writes an audit line for a change that was refused for lack of permission.
fn log_refused_change(path: &str, via: Via, refusal: &Reply) {
    let what = match path {
        "/v1/activate" => "operator-activate",
        "/v1/rollback" => "operator-rollback",
        "/v1/resume" => "resume",
        "/v1/drain" => "drain",
        "/v1/log-level" => "log-level",
        "/v1/validation" => "validation",
        _ => return,
    };
    let who = match via {
        Via::Tcp(peer) => format!("unauthenticated client from {peer}"),
        Via::Unix => return,
    };
    let unknown = refusal.status() == StatusCode::UNAUTHORIZED;
    Audit {
        what,
        who: &who,
        from: None,
        to: None,
        why: None,
        result: if unknown {
            "admin-token-needed"
        } else {
            "no-admin-token"
        },
    }
    .write(
        "a change by an unauthenticated client was refused",
        json!({}),
    );
}

fn set_level(body: &[u8], who: &str) -> Reply {
    let before = program_log::level();
    let read = order::read::<order::LevelOrder>(body);
    let name = read.as_ref().ok().map(|order| order.level.as_str());
    let audit = Audit {
        what: "log-level",
        who,
        from: Some(before.as_str().to_owned()),
        to: name.map(str::to_owned),
        why: None,
        result: OK,
    };
    let Some(level) = name.and_then(Level::parse) else {
        let result = "bad-request";
        Audit { result, ..audit }.write("the log level was not changed", json!({}));
        let why = read.err();
        let why = why.as_deref();
        return bad_request(why.unwrap_or("`level` is error, warn, info or debug"));
    };
    program_log::set_level(level);
    audit.write("the log level was set", json!({}));
    json_reply(
        200,
        &json!({
            "schema": "log-level/v1",
            "result": "ok",
            "tool": tool(),
            "environment": Value::Null,
            "level": level.as_str(),
        }),
    )
}

/// True for paths of health checks. Connections of the reserve serve only these paths.
fn is_health(path: &str) -> bool {
    matches!(path, "/livez" | "/healthz" | "/readyz" | "/startupz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_compared_whole_and_never_shown() {
        let token = Token::new(b"0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789abcdef0",
            b"0123456789abcdeg",
        ] {
            assert!(!token.is(wrong));
        }
        assert!(!format!("{token:?}").contains("0123"));
        assert!(Token::new(b"short").is_err());
    }
}
