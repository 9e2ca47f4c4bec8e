//! HTTP/2 upstream whose responses a test defines.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::ir::UpstreamProtocol;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::fixture::*;
use crate::http2::http2;

/// Received request, and the handle for its response.
pub(crate) type ReceivedRequest = (Request<RecvStream>, SendResponse<Bytes>);

/// HTTP/2 upstream that runs until it is dropped.
pub(crate) struct Http2Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

impl Http2Upstream {
    /// Starts an upstream. `answer` receives each request with the number of its connection,
    /// counted from 0.
    pub(crate) fn start<F>(
        answer: impl Fn(usize, ReceivedRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with(h2::server::Builder::new(), usize::MAX, answer)
    }

    /// Starts an upstream that sends GOAWAY on each connection after `goodbye` requests, while it
    /// is still answering these requests.
    pub(crate) fn with<F>(
        builder: h2::server::Builder,
        goodbye: usize,
        answer: impl Fn(usize, ReceivedRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::inside(None, builder, goodbye, answer)
    }

    /// Starts an upstream with TLS.
    pub(crate) fn over_tls<F>(
        config: rustls::ServerConfig,
        answer: impl Fn(usize, ReceivedRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let builder = h2::server::Builder::new();
        Self::inside(Some(config), builder, usize::MAX, answer)
    }

    /// Starts an upstream, with TLS if `tls` is given.
    pub(crate) fn inside<F>(
        tls: Option<rustls::ServerConfig>,
        builder: h2::server::Builder,
        goodbye: usize,
        answer: impl Fn(usize, ReceivedRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tls = tls.map(|tls| tokio_rustls::TlsAcceptor::from(Arc::new(tls)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (Arc::clone(&connections), Arc::new(answer));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (builder, answer) = (builder.clone(), Arc::clone(&answer));
                let tls = tls.clone();
                tokio::spawn(async move {
                    let answer = |exchange| answer(number, exchange);
                    match tls {
                        None => talk(socket, builder, goodbye, answer).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                talk(socket, builder, goodbye, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            _runtime: runtime,
        }
    }

    /// Gateway in front of this upstream, for HTTP/1 and HTTP/2 clients.
    pub(crate) fn behind(&self, ops: Vec<Op>) -> Shop {
        let mut shop = http2(shop(self.address, ops));
        shop.upstreams[0].protocol = UpstreamProtocol::H2c;
        shop
    }
}

async fn talk<F>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    builder: h2::server::Builder,
    goodbye: usize,
    answer: impl Fn(ReceivedRequest) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    // A connection without requests may not even send the preface.
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else {
        return;
    };
    let mut requests = 0;
    while let Some(Ok(exchange)) = connection.accept().await {
        requests += 1;
        if requests == goodbye {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(exchange));
    }
}

pub(crate) fn head(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}

/// Reads a complete body with its trailers.
pub(crate) async fn whole(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, body.trailers().await?))
}

/// Sends all bytes, waiting for flow-control window if necessary.
pub(crate) async fn pour(stream: &mut h2::SendStream<Bytes>, mut bytes: Bytes) {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let Some(Ok(room)) = poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return;
        };
        stream
            .send_data(bytes.split_to(room.min(bytes.len())), false)
            .unwrap();
    }
}

/// Answers with the body `ok`.
pub(crate) async fn ok((_, mut respond): ReceivedRequest) {
    let mut stream = respond.send_response(head(200), false).unwrap();
    stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
}
