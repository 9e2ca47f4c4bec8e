//! HTTP/1.1 connection to a service.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::endpoint::Endpoint;
use crate::runtime::clock::delta_seconds;
use crate::runtime::informational::InformationalLimit;

/// Maximum length of a service's response body, in bytes.
const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// HTTP/1.1 connection to a service.
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

/// Request of a service by POST, without its body.
#[derive(Debug)]
pub(crate) struct Post<'p> {
    pub(crate) endpoint: &'p Endpoint,
    /// Fields of the request, in addition to those of each request.
    pub(crate) headers: &'p [(HeaderName, HeaderValue)],
    pub(crate) content_type: HeaderValue,
}

/// Response of a service.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    /// Value of `Retry-After` in seconds.
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) body: Bytes,
}

impl Connection {
    /// Connects to a service.
    ///
    /// # Errors
    /// If the service cannot be reached. The error is the reason.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, String> {
        let connected = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
        let stream = connected.map_err(|error| format!("no connection: {error}"))?;
        let _best_effort = stream.set_nodelay(true);
        match &endpoint.tls {
            None => Self::over(stream).await,
            Some(tls) => {
                let name = ServerName::try_from(endpoint.host.clone());
                let name = name.map_err(|error| error.to_string())?;
                let stream = tls.connect(name, stream).await;
                Self::over(stream.map_err(|error| format!("TLS: {error}"))?).await
            }
        }
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, String> {
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        // The task ends when `sender` is dropped. Its errors are also those of the requests.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self(sender))
    }

    /// True if the service has closed the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Sends a request and returns the service's response.
    ///
    /// # Errors
    /// As for [`Self::begin`], and if the body of the response is not complete or too long.
    pub(crate) async fn post(&mut self, post: &Post<'_>, body: Bytes) -> Result<Response, String> {
        let (head, body) = self.begin(post, body).await?.into_parts();
        let retry_after = head.headers.get(RETRY_AFTER);
        Ok(Response {
            status: head.status,
            retry_after_s: retry_after.and_then(|value| delta_seconds(value.to_str().ok()?)),
            body: read(body).await?,
        })
    }

    /// Sends a request and returns the service's response with its body still to be read.
    ///
    /// # Errors
    /// If the connection breaks, if the response is not valid, or after too many informational
    /// responses. The error is the reason.
    pub(crate) async fn begin(
        &mut self,
        post: &Post<'_>,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, String> {
        let mut request = request(post, body)?;
        let limit = InformationalLimit::of(&mut request);
        let reason = |error: hyper::Error| error.to_string();
        self.0.ready().await.map_err(reason)?;
        let sent = self.0.send_request(request);
        limit.within(async { sent.await.map_err(reason) }).await
    }
}

/// Reads the body of a response.
///
/// # Errors
/// If the body is not complete or too long. The error is the reason.
pub(crate) async fn read(body: Incoming) -> Result<Bytes, String> {
    let body = Limited::new(body, RESPONSE_BYTES_MAX).collect().await;
    let body = body.map_err(|error| format!("its response: {error}"))?;
    Ok(body.to_bytes())
}

/// Request with its body.
fn request(post: &Post<'_>, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    let path = post.endpoint.path.parse::<Uri>();
    *request.uri_mut() = path.map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    headers.insert(HOST, post.endpoint.authority.clone());
    let agent = concat!("gwd/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in post.headers {
        headers.insert(name, value.clone());
    }
    headers.insert(CONTENT_TYPE, post.content_type.clone());
    Ok(request)
}
