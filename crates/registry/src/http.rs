//! HTTP/1.1 client with limits: sizes, deadlines, redirects.
//!
//! The client uses hyper's connection-level API. A registry is untrusted: it may send endless
//! bodies, or one byte a minute. Each response therefore has a maximum size and a maximum time,
//! which are fixed before it is read.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::url::{Origin, Url};

/// Maximum time for a TCP connection and its TLS handshake: 5s.
const CONNECT: Duration = Duration::from_secs(5);
/// Maximum time between two pieces of a body: 10s.
const PIECE: Duration = Duration::from_secs(10);
/// Minimum rate of a body, in bytes per second. The maximum time for a body is its length divided
/// by this rate, plus [`Patience::body`]. Without a `Content-Length`, its maximum length counts.
const RATE: u64 = 16 << 10;
/// Maximum length of the head of a response, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Maximum number of header fields of a response.
const FIELDS_MAX: usize = 100;
/// Maximum number of redirects of a request.
const REDIRECTS_MAX: usize = 5;
/// Maximum number of idle connections to one server.
const IDLE_MAX: usize = 8;
/// Maximum wait before another attempt: 5s.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// First wait before another attempt: 100ms. It doubles with each attempt.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Maximum length, in bytes, of an unwanted body that is read so that the connection can be reused.
const DRAIN_BYTES_MAX: u64 = 64 << 10;

/// Deadlines and attempts of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Maximum time from the request to the head of the response.
    head: Duration,
    /// Constant part of the maximum time for a body.
    body: Duration,
    /// Maximum number of attempts of a request. The client repeats a request after status 429 or
    /// 503, or if it receives no response.
    attempts: u32,
    /// Maximum time for the list of all tags. A registry can send it in many small pages.
    pub(crate) list: Duration,
    /// Maximum time for all requests of an update of a copy. The next update continues with the
    /// missing blobs, but reads a blob that was not complete again from its beginning.
    pub(crate) update: Duration,
}

impl Patience {
    /// Limits for the only registry: 20s per attempt, four attempts, two minutes for a list, half
    /// an hour for an update.
    pub(crate) const LONG: Self = Self {
        head: Duration::from_secs(20),
        body: Duration::from_secs(20),
        attempts: 4,
        list: Duration::from_secs(120),
        update: Duration::from_secs(1_800),
    };
    /// Limits for one of several registries: 5s, one attempt, 30s for a list, five minutes for an
    /// update. A slow registry must not keep the others from being queried.
    pub(crate) const SHORT: Self = Self {
        head: Duration::from_secs(5),
        body: Duration::from_secs(5),
        attempts: 1,
        list: Duration::from_secs(30),
        update: Duration::from_secs(300),
    };
}

/// HTTP client with a pool of idle connections.
pub(crate) struct Client {
    tls: TlsConnector,
    pub(crate) patience: Patience,
    idle: Mutex<BTreeMap<Origin, Vec<Sender>>>,
}

type Sender = SendRequest<Full<Bytes>>;

/// Request without its authorization.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
}

/// Head of a response whose body was not read yet.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    /// URL of the request that was answered, after redirects.
    pub(crate) url: Url,
    body: Incoming,
    sender: Sender,
}

/// Reason why a request has no usable response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server cannot be reached, or the connection ended.
    Network(String),
    /// The server does not use TLS.
    NotTls,
    /// The response is longer than this maximum, in bytes.
    TooLong(u64),
    /// The response is invalid, or the server refuses the request.
    Answer(String),
}

/// Received bytes of a body. `failure` is set if the body is incomplete.
pub(crate) struct Partial {
    pub(crate) bytes: Vec<u8>,
    pub(crate) failure: Option<Failure>,
}

impl Client {
    pub(crate) fn new(tls: TlsConnector, patience: Patience) -> Self {
        Self {
            tls,
            patience,
            idle: Mutex::default(),
        }
    }

    /// Sends a request. Repeats it if the server is busy or the connection ends, and follows
    /// redirects of GET and HEAD. `authorization` is sent only to the origin of the first request.
    pub(crate) async fn send(
        &self,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let authorization = authorization.filter(|_| url.origin == call.url.origin);
            let answer = self.attempts(call, &url, authorization).await?;
            let follows = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308)
                && (call.method == Method::GET || call.method == Method::HEAD);
            if !follows {
                return Ok(answer);
            }
            let location = text(&answer.fields, LOCATION)
                .ok_or_else(|| Failure::Answer("a redirect without a Location".to_owned()))?;
            url = url
                .join(&location)
                .map_err(|why| Failure::Answer(format!("a redirect: {why}")))?;
            self.finish(answer).await;
        }
        Err(Failure::Answer("too many redirects".to_owned()))
    }

    async fn attempts(
        &self,
        call: &Call,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        let mut pause = PAUSE_MIN;
        for attempt in 1.. {
            let last = attempt == self.patience.attempts;
            match self.once(call, url, authorization).await {
                Ok(answer) if !last && is_busy(answer.status) => {
                    let seconds = text(&answer.fields, RETRY_AFTER);
                    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
                    let wanted = seconds.map_or(pause, Duration::from_secs);
                    self.finish(answer).await;
                    tokio::time::sleep(wanted.min(PAUSE_MAX)).await;
                }
                Err(Failure::Network(_)) if !last => tokio::time::sleep(pause).await,
                other => return other,
            }
            pause = pause.saturating_mul(2);
        }
        Err(Failure::Network("no answer".to_owned()))
    }

    async fn once(
        &self,
        call: &Call,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        // The server may have closed an idle connection. Use a new connection if the request fails.
        if let Some(mut sender) = self.take(&url.origin)
            && let Ok(Ok(answer)) = timeout(
                self.patience.head,
                sender.send_request(request(call, url, authorization)?),
            )
            .await
        {
            return Ok(received(answer, url, sender));
        }
        let mut sender = self.connect(&url.origin).await?;
        let sent = sender.send_request(request(call, url, authorization)?);
        match timeout(self.patience.head, sent).await {
            Err(_) => Err(Failure::Network(format!(
                "no answer within {} seconds",
                self.patience.head.as_secs()
            ))),
            Ok(Err(error)) => Err(Failure::Network(format!(
                "no usable answer: {}",
                deepest(&error)
            ))),
            Ok(Ok(answer)) => Ok(received(answer, url, sender)),
        }
    }

    async fn connect(&self, origin: &Origin) -> Result<Sender, Failure> {
        let connected = timeout(CONNECT, async {
            let stream = TcpStream::connect((origin.host.as_str(), origin.port)).await;
            let stream = stream.map_err(|error| Failure::Network(error.to_string()))?;
            let _slower = stream.set_nodelay(true);
            if !origin.tls {
                return handshake(stream).await;
            }
            let name = ServerName::try_from(origin.host.clone())
                .map_err(|error| Failure::Answer(error.to_string()))?;
            match self.tls.connect(name, stream).await {
                Ok(stream) => handshake(stream).await,
                Err(error) => Err(failed_handshake(&error)),
            }
        });
        match connected.await {
            Ok(connected) => connected,
            Err(_) => Err(Failure::Network(
                "no connection within 5 seconds".to_owned(),
            )),
        }
    }

    fn take(&self, origin: &Origin) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.get_mut(origin)?;
        loop {
            let sender = senders.pop()?;
            if !sender.is_closed() {
                return Some(sender);
            }
        }
    }

    /// Returns a connection to the pool of idle connections.
    fn put(&self, origin: &Origin, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.entry(origin.clone()).or_default();
        if !sender.is_closed() && senders.len() < IDLE_MAX {
            senders.push(sender);
        }
    }

    /// Reads the body of a response, at most `max` bytes.
    pub(crate) async fn read(&self, answer: Answer, max: u64) -> Result<Vec<u8>, Failure> {
        let Partial { bytes, failure } = self.read_partial(answer, max).await;
        match failure {
            None => Ok(bytes),
            Some(failure) => Err(failure),
        }
    }

    /// Reads the body of a response, at most `max` bytes. Keeps the bytes received before a
    /// failure, so that the caller can request the remaining bytes.
    pub(crate) async fn read_partial(&self, answer: Answer, max: u64) -> Partial {
        let Answer {
            url,
            mut body,
            sender,
            fields,
            ..
        } = answer;
        let mut bytes = Vec::new();
        let announced: Option<u64> =
            text(&fields, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        if announced.is_some_and(|length| length > max) {
            let failure = Some(Failure::TooLong(max));
            return Partial { bytes, failure };
        }
        let length = announced.unwrap_or(max);
        let whole = self.patience.body + Duration::from_secs(length / RATE);
        let read = timeout(whole, async {
            loop {
                let piece = match timeout(PIECE, body.frame()).await {
                    Err(_) => return Some(Failure::Network("the answer stalls".to_owned())),
                    Ok(None) => return None,
                    Ok(Some(Err(error))) => {
                        let why = format!("the answer is cut off: {}", deepest(&error));
                        return Some(Failure::Network(why));
                    }
                    Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                };
                if bytes.len() as u64 + piece.len() as u64 > max {
                    return Some(Failure::TooLong(max));
                }
                bytes.extend_from_slice(&piece);
            }
        });
        let failure = match read.await {
            Ok(failure) => failure,
            Err(_) => Some(Failure::Network("the answer is too slow".to_owned())),
        };
        if failure.is_none() {
            self.put(&url.origin, sender);
        }
        Partial { bytes, failure }
    }

    /// Reads and ignores a short body, so that the connection can be reused.
    pub(crate) async fn finish(&self, answer: Answer) {
        let _longer = self.read(answer, DRAIN_BYTES_MAX).await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(why) | Self::Answer(why) => f.write_str(why),
            Self::NotTls => f.write_str("the server does not use TLS"),
            Self::TooLong(max) => write!(f, "an answer is longer than {max} bytes"),
        }
    }
}

/// Value of a header field as text. `None` if the field is absent or not ASCII.
pub(crate) fn text(fields: &HeaderMap, name: http::HeaderName) -> Option<String> {
    let value = fields.get(name)?;
    value.to_str().ok().map(|value| value.trim().to_owned())
}

fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 503)
}

fn received(answer: http::Response<Incoming>, url: &Url, sender: Sender) -> Answer {
    let (head, body) = answer.into_parts();
    Answer {
        status: head.status,
        fields: head.headers,
        url: url.clone(),
        body,
        sender,
    }
}

fn request(
    call: &Call,
    url: &Url,
    authorization: Option<&HeaderValue>,
) -> Result<Request<Full<Bytes>>, Failure> {
    const AGENT: HeaderValue = HeaderValue::from_static(concat!("gwc/", env!("CARGO_PKG_VERSION")));
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = url.target.clone().into();
    let fields = request.headers_mut();
    *fields = call.fields.clone();
    let host = HeaderValue::try_from(url.origin.authority());
    fields.insert(
        HOST,
        host.map_err(|error| Failure::Answer(error.to_string()))?,
    );
    fields.insert(USER_AGENT, AGENT);
    if let Some(authorization) = authorization {
        fields.insert(AUTHORIZATION, authorization.clone());
    }
    Ok(request)
}

async fn handshake<S>(stream: S) -> Result<Sender, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let made = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, connection) = made.map_err(|error| Failure::Network(error.to_string()))?;
    // The task ends with the connection. Ignore its errors, because the requests on the connection
    // report them.
    drop(tokio::spawn(connection));
    Ok(sender)
}

fn failed_handshake(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => Failure::NotTls,
        Some(inner) => Failure::Answer(format!("TLS: {inner}")),
        None => Failure::Network(format!("TLS: {error}")),
    }
}

/// Text of the innermost error, which states the cause.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
