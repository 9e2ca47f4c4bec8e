//! Clients of the load test. Each client repeats one kind of request and reports errors.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::Plan;
use crate::faults::Faults;
use crate::sockets::{self, Side};
use crate::upstream::pattern;

/// Interval between two messages of a WebSocket or stream. Each stream begins at a different
/// moment.
const TALK: Duration = Duration::from_millis(500);
/// Maximum duration of one step of a client.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Maximum number of WebSockets or gRPC streams on one HTTP/2 connection.
const TOGETHER: usize = 50;

type Failed = Box<dyn std::error::Error + Send + Sync>;
type Client = Arc<Faults>;

/// Starts all clients of a plan against the gateway at `to`.
pub(crate) fn begin(to: SocketAddr, plan: &Plan, faults: &Client) -> Vec<JoinHandle<()>> {
    let mut all = Vec::new();
    for number in 0..plan.clients {
        all.push(spawn_reporting(
            faults,
            "HTTP/1.1",
            plain(to, number, Arc::clone(faults)),
        ));
        all.push(spawn_reporting(
            faults,
            "HTTP/2",
            multiplexed(to, number, Arc::clone(faults)),
        ));
        all.push(spawn_reporting(
            faults,
            "events",
            events(to, Arc::clone(faults)),
        ));
    }
    let over_http1 = plan.sockets / 2;
    for number in 0..over_http1 {
        all.push(spawn_reporting(
            faults,
            "WebSocket",
            socket(to, number, Arc::clone(faults)),
        ));
    }
    for (count, kind) in [
        (plan.sockets - over_http1, Kind::Socket),
        (plan.streams, Kind::Call),
    ] {
        for from in (0..count).step_by(TOGETHER) {
            let count = TOGETHER.min(count - from);
            all.push(spawn_reporting(
                faults,
                "streams",
                streams(to, kind, count, Arc::clone(faults)),
            ));
        }
    }
    all
}

fn spawn_reporting(
    faults: &Client,
    what: &'static str,
    client: impl Future<Output = Result<(), Failed>> + Send + 'static,
) -> JoinHandle<()> {
    let faults = Arc::clone(faults);
    tokio::spawn(async move {
        if let Err(error) = client.await {
            faults.add(format!("{what}: {error}"));
        }
    })
}

/// Waits for the result of a future. Fails after [`WAIT_MAX`].
async fn soon<T, E: Into<Failed>>(
    what: &str,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, Failed> {
    match tokio::time::timeout(WAIT_MAX, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{what}: {}", error.into()).into()),
        Err(_) => Err(format!("{what}: nothing for {WAIT_MAX:?}").into()),
    }
}

async fn connect(to: SocketAddr) -> Result<TcpStream, Failed> {
    let stream = soon("connecting", TcpStream::connect(to)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Request that the client `number` sends in this turn, with the length of the request body.
/// `None`: the request has no body, and its path contains the length of the response.
fn requests(number: usize, turn: usize) -> (Method, String, Option<usize>) {
    match (number + turn) % 8 {
        0 => (Method::GET, "/down/1048576".to_owned(), None),
        1 => (Method::POST, "/up".to_owned(), Some(65_536)),
        2 => (Method::POST, "/up".to_owned(), Some(100)),
        _ => (Method::GET, format!("/down/{}", 100 + turn % 900), None),
    }
}

/// Request body of unknown length, sent in pieces.
struct Pieces(Bytes);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.0.len().min(10_000);
        let piece = self.0.split_to(length);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks that a response belongs to its request. `up` is the length of the request body.
async fn check(
    path: &str,
    up: Option<usize>,
    response: http::Response<Incoming>,
) -> Result<(), Failed> {
    let (parts, body) = response.into_parts();
    let body = soon(path, body.collect()).await?.to_bytes();
    let marked = parts.headers.contains_key("x-version");
    let fine = match up {
        Some(length) => body == format!("{length} true"),
        None => {
            let length = path.rsplit('/').next().and_then(|text| text.parse().ok());
            body == pattern(length.unwrap_or(0))
        }
    };
    match parts.status.as_u16() == 200 && marked && fine {
        true => Ok(()),
        false => {
            let start = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            Err(format!("{path}: {} {:?} {start}", parts.status, parts.headers).into())
        }
    }
}

/// Client that sends requests one after the other on one HTTP/1.1 connection.
async fn plain(to: SocketAddr, number: usize, faults: Client) -> Result<(), Failed> {
    let io = TokioIo::new(connect(to).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(connection);
    for turn in 0.. {
        if faults.stopped() {
            break;
        }
        let (method, path, up) = requests(number, turn);
        soon("the connection stays", sender.ready()).await?;
        let request = Request::builder()
            .method(method)
            .uri(&path)
            .header("host", "soak")
            .body(Pieces(pattern(up.unwrap_or(0))))?;
        let response = soon(&path, sender.send_request(request)).await?;
        check(&path, up, response).await?;
        faults.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Client that sends eight requests at a time on one HTTP/2 connection.
async fn multiplexed(to: SocketAddr, number: usize, faults: Client) -> Result<(), Failed> {
    let io = TokioIo::new(connect(to).await?);
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(io).await?;
    tokio::spawn(connection);
    let streams = (0..8).map(|stream| {
        let (mut sender, faults) = (sender.clone(), Arc::clone(&faults));
        tokio::spawn(async move {
            for turn in 0.. {
                if faults.stopped() {
                    break;
                }
                let (method, path, up) = requests(number + stream, turn);
                let body = match up {
                    Some(length) => Full::new(pattern(length)),
                    None => Full::default(),
                };
                let request = Request::builder()
                    .method(method)
                    .version(Version::HTTP_2)
                    .uri(format!("http://soak{path}"))
                    .body(body)?;
                let response = soon(&path, sender.send_request(request)).await?;
                check(&path, up, response).await?;
                faults.answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Failed>(())
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        stream.await??;
    }
    Ok(())
}

/// Client that reads numbered events. No event number may be missing.
async fn events(to: SocketAddr, faults: Client) -> Result<(), Failed> {
    let io = TokioIo::new(connect(to).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(connection);
    let request = Request::get("/events").header("host", "soak");
    let request = request.body(Full::<Bytes>::default())?;
    let mut body = soon("/events", sender.send_request(request))
        .await?
        .into_body();
    let mut text = String::new();
    for number in 0u64.. {
        let event = format!("data: {number}\n\n");
        while text.len() < event.len() {
            let next = async {
                let frame = body.frame().await.ok_or("the events ended")?;
                frame.map_err(Failed::from)
            };
            let frame = soon("an event", next).await?;
            text.push_str(std::str::from_utf8(frame.data_ref().ok_or("no data")?)?);
        }
        text = text.strip_prefix(&event).ok_or(text.clone())?.to_owned();
        faults.messages.fetch_add(1, Ordering::Relaxed);
        if faults.stopped() {
            break;
        }
    }
    Ok(())
}

/// Client that exchanges messages over a WebSocket on HTTP/1.1.
async fn socket(to: SocketAddr, number: usize, faults: Client) -> Result<(), Failed> {
    let mut io = connect(to).await?;
    let handshake = format!(
        "GET /socket HTTP/1.1\r\nhost: soak\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {}\r\n\r\n",
        sockets::KEY
    );
    soon(
        "the handshake",
        tokio::io::AsyncWriteExt::write_all(&mut io, handshake.as_bytes()),
    )
    .await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the handshake", io.read_u8()).await?);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(String::from_utf8_lossy(&head).into_owned().into());
    }
    faults.open.fetch_add(1, Ordering::Relaxed);
    for turn in 0.. {
        let text = format!("{number}: {turn}");
        soon("a message", sockets::write(&mut io, &text, Side::Client)).await?;
        let back = soon("its answer", sockets::read(&mut io)).await?;
        if back != text {
            return Err(format!("{back:?} for {text:?}").into());
        }
        faults.messages.fetch_add(1, Ordering::Relaxed);
        if faults.stopped() {
            break;
        }
        tokio::time::sleep(TALK).await;
    }
    Ok(())
}

/// Protocol of the messages inside an HTTP/2 stream.
#[derive(Clone, Copy)]
enum Kind {
    /// A WebSocket (RFC 8441).
    Socket,
    /// A bidirectional gRPC call.
    Call,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Socket => "WebSocket over HTTP/2",
            Self::Call => "gRPC",
        }
    }

    fn request(self) -> Result<Request<()>, http::Error> {
        match self {
            Self::Socket => Request::builder()
                .method(Method::CONNECT)
                .uri("http://soak/socket")
                .header("sec-websocket-version", "13")
                .extension(Protocol::from_static("websocket")),
            Self::Call => Request::post("http://soak/echo.Echo/Talk")
                .header("content-type", "application/grpc")
                .header("te", "trailers"),
        }
        .version(Version::HTTP_2)
        .body(())
    }

    /// Encoded message, and the bytes that the upstream returns for the message.
    fn message(self, text: &str) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Socket => (
                sockets::frame(text, Side::Client),
                sockets::frame(text, Side::Server),
            ),
            Self::Call => {
                let length = u32::try_from(text.len()).unwrap_or(0).to_be_bytes();
                let message = [&[0], &length[..], text.as_bytes()].concat();
                (message.clone(), message)
            }
        }
    }
}

/// Client that keeps `count` streams open on one HTTP/2 connection.
async fn streams(to: SocketAddr, kind: Kind, count: usize, faults: Client) -> Result<(), Failed> {
    let (sender, connection) = h2::client::handshake(connect(to).await?).await?;
    tokio::spawn(connection);
    let mut sender = soon("room for a stream", sender.ready()).await?;
    if let Kind::Socket = kind {
        // A client may send an extended CONNECT only after it has received the server's settings.
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            sender = soon("the settings", sender.ready()).await?;
        }
    }
    let mut all = Vec::new();
    for number in 0..count {
        sender = soon("room for a stream", sender.ready()).await?;
        let (response, sending) = sender.send_request(kind.request()?, false)?;
        let faults = Arc::clone(&faults);
        all.push(spawn_reporting(
            &Arc::clone(&faults),
            kind.name(),
            async move {
                let response = soon("the head", response).await?;
                if response.status() != 200 {
                    return Err(format!("{response:?}").into());
                }
                talk(kind, number, sending, response.into_body(), &faults).await
            },
        ));
    }
    for one in all {
        one.await?;
    }
    Ok(())
}

async fn talk(
    kind: Kind,
    number: usize,
    mut sending: SendStream<Bytes>,
    mut receiving: RecvStream,
    faults: &Faults,
) -> Result<(), Failed> {
    faults.open.fetch_add(1, Ordering::Relaxed);
    let mut back = BytesMut::new();
    for turn in 0.. {
        let (message, expected) = kind.message(&format!("{number}: {turn}"));
        sending.reserve_capacity(message.len());
        soon("room for a message", async {
            let capacity = poll_fn(|cx| sending.poll_capacity(cx)).await;
            capacity
                .ok_or("the stream is closed")?
                .map_err(Failed::from)
        })
        .await?;
        sending.send_data(Bytes::from(message), false)?;
        while back.len() < expected.len() {
            let next = async {
                receiving
                    .data()
                    .await
                    .ok_or("the stream ended")?
                    .map_err(Failed::from)
            };
            let data = soon("an answer", next).await?;
            receiving.flow_control().release_capacity(data.len())?;
            back.extend_from_slice(&data);
        }
        if back.split_to(expected.len()) != expected {
            return Err("another message came back".into());
        }
        faults.messages.fetch_add(1, Ordering::Relaxed);
        if faults.stopped() {
            break;
        }
        tokio::time::sleep(TALK).await;
    }
    sending.send_data(Bytes::new(), true)?;
    while let Some(data) = receiving.data().await {
        data?;
    }
    if let Kind::Call = kind {
        let trailers = soon("trailers", receiving.trailers()).await?;
        let status = trailers
            .as_ref()
            .and_then(|trailers: &HeaderMap| trailers.get("grpc-status"));
        if status.is_none_or(|status| status != "0") {
            return Err(format!("it ended with {trailers:?}").into());
        }
    }
    Ok(())
}
