//! HTTP/2 from clients (RFC 9113) by prior knowledge, with upstreams that use HTTP/1.1.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, StatusCode};

use crate::fixture::*;

/// Client connection to the gateway, driven in the background.
pub(crate) struct Http2 {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// Complete response.
pub(crate) struct Whole {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Http2 {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_after(address, b"")
    }

    /// Connects, and sends `header` before the HTTP/2 preface.
    pub(crate) fn connect_after(address: SocketAddr, header: &[u8]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (send, connection) = runtime.block_on(async {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, header)
                .await
                .unwrap();
            let (send, connection) = h2::client::handshake(stream).await.unwrap();
            (send, tokio::spawn(connection))
        });
        Self {
            runtime,
            send,
            connection,
        }
    }

    /// Sends a request. A body is sent in frames of 16 KiB.
    pub(crate) fn begin(
        &mut self,
        request: Request<()>,
        body: Option<Bytes>,
    ) -> tokio::task::JoinHandle<Result<Whole, h2::Error>> {
        let send = self.send.clone();
        self.runtime.spawn(async move {
            let mut send = send.ready().await?;
            let (response, mut stream) = send.send_request(request, body.is_none())?;
            if let Some(mut body) = body {
                while !body.is_empty() {
                    stream.reserve_capacity(body.len().min(16 << 10));
                    let granted = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                    let granted = granted.expect("an open stream")?;
                    let piece = body.split_to(granted.min(body.len()));
                    stream.send_data(piece, body.is_empty())?;
                }
            }
            let (head, mut incoming) = response.await?.into_parts();
            let mut body = Vec::new();
            while let Some(data) = incoming.data().await {
                let data = data?;
                incoming.flow_control().release_capacity(data.len())?;
                body.extend_from_slice(&data);
            }
            let trailers = incoming.trailers().await?;
            Ok(Whole {
                head: Response::from_parts(head, ()),
                body,
                trailers,
            })
        })
    }

    pub(crate) fn end(
        &self,
        begun: tokio::task::JoinHandle<Result<Whole, h2::Error>>,
    ) -> Result<Whole, h2::Error> {
        let patient = async { tokio::time::timeout(WAIT_MAX, begun).await };
        self.runtime.block_on(patient).expect("in time").unwrap()
    }

    pub(crate) fn get(&mut self, path: &str) -> Whole {
        let begun = self.begin(to("GET", path), None);
        self.end(begun).unwrap()
    }
}

#[test]
fn client_gone_in_its_upload_is_logged_as_499() {
    let (_proceed, wait) = gate();
    let upstream = Upstream::start(move |_, _| {
        let _ended = wait.lock().unwrap().recv();
        Then::Close
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let served = http2(shop(upstream.address, vec![op("POST", "/a")]))
        .serve_with(1, gwd::node::AccessLog::File(path.clone()));
    let client = Http2::connect(served.address);
    let mut send = client.send.clone();
    let _open = client.runtime.block_on(async {
        let (response, mut stream) = send.send_request(to("POST", "/a"), false).unwrap();
        stream
            .send_data(Bytes::from_static(b"some"), false)
            .unwrap();
        (response, stream)
    });
    eventually("the upstream has a connection", || {
        upstream
            .connections
            .load(std::sync::atomic::Ordering::SeqCst)
            == 1
    });
    client.connection.abort();
    let mut line = String::new();
    eventually("the request is logged", || {
        line = std::fs::read_to_string(&path).unwrap_or_default();
        !line.is_empty()
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["status"], 499, "{line}");
    assert_eq!(
        (&line["error_origin"], &line["reason"]),
        (&"client".into(), &"client_closed".into())
    );
}

pub(crate) fn to(method: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("http://shop.example{path}"))
        .body(())
        .unwrap()
}

impl Whole {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn http2(mut shop: Shop) -> Shop {
    shop.listener.http2 = true;
    shop
}

/// A limit by `Host` counts the authority for which requests are routed, in all three forms:
/// `Host`, the authority of the target, and `:authority`.
#[test]
fn policies_read_the_effective_authority() {
    let upstream = Upstream::echoing();
    let limited = op("GET", "/a").policy("limit");
    let mut shop = http2(shop(upstream.address, vec![limited]));
    shop.policies.push(rate_limit_by_header("limit", "host"));
    let served = shop.serve();
    let mut http1 = Client::connect(served.address);
    let mut status = |target: &str, host: &str| {
        http1.send(&format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        http1.answer().status
    };
    let mut http2 = Http2::connect(served.address);
    assert_eq!(status("/a", "shop.example"), 200);
    for number in 0..2 {
        let other = format!("other-{number}.example");
        assert_eq!(status("http://shop.example/a", &other), 200);
        assert_eq!(http2.get("/a").head.status(), StatusCode::OK);
    }
    assert_eq!(status("/a", "shop.example"), 429);
    assert_eq!(status("http://shop.example/a", "new.example"), 429);
    assert_eq!(http2.get("/a").head.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status("/a", "other-0.example"), 200);
}

#[test]
fn http1_and_cleartext_http2_share_one_address() {
    let upstream = Upstream::echoing();
    let served = http2(shop(upstream.address, vec![op("GET", "/a").prefix()])).serve();
    let mut client = Http2::connect(served.address);
    let answer = client.get("/a/x?q=1");
    assert_eq!(answer.head.status(), StatusCode::OK);
    assert!(
        answer.text().starts_with("GET /a/x?q=1 HTTP/1.1"),
        "{}",
        answer.text()
    );
    let seen = upstream.only();
    assert_eq!(
        seen.field("host"),
        ["shop.example"],
        "`:authority` becomes Host"
    );
    assert_eq!(seen.field("via"), ["2 gwd"]);
    assert!(answer.head.headers().contains_key("x-request-id"));
    assert!(answer.head.headers().contains_key("date"));
    assert_eq!(get(served.address, "/a/y").status, 200);
    // Bytes that begin like the HTTP/2 preface and then differ.
    let mut slow = Client::connect(served.address);
    for piece in ["P", "RI"] {
        slow.send(piece);
    }
    slow.send("VATE /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(slow.answer().status, 405);
}

#[test]
fn a_listener_without_http2_does_not_speak_it() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert!(client.closed());
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_stream_that_waits_holds_up_no_other() {
    let (open, shut) = gate();
    let upstream = Upstream::start(move |seen, stream| {
        if seen.line().contains("/slow") {
            shut.lock().unwrap().recv().unwrap();
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let served = http2(shop(upstream.address, vec![op("GET", "/a").prefix()])).serve();
    let mut client = Http2::connect(served.address);
    let slow = client.begin(to("GET", "/a/slow"), None);
    for i in 0..50 {
        assert_eq!(client.get(&format!("/a/{i}")).text(), "ok");
    }
    open.send(()).unwrap();
    assert_eq!(client.end(slow).unwrap().text(), "ok");
    let (scope, other) = (
        "http_server_request_duration_seconds_count",
        "network_protocol_version=\"2\"",
    );
    assert_eq!(served.metric(scope, &[other]), 51.0);
}

#[test]
fn bodies_above_every_window_pass_in_both_directions() {
    const SIZE: usize = 6 << 20;
    let upstream = Upstream::start(|seen, stream| {
        use std::io::Write as _;
        say(
            stream,
            &format!("content-length: {}\r\n", seen.body.len()),
            "",
        );
        stream.write_all(&seen.body).unwrap();
        Then::Keep
    });
    let served = http2(shop(upstream.address, vec![op("POST", "/a")])).serve();
    let mut client = Http2::connect(served.address);
    let body: Vec<u8> = (0..SIZE).map(|i| (i * 31 % 251) as u8).collect();
    let begun: Vec<_> = (0..3)
        .map(|_| client.begin(to("POST", "/a"), Some(Bytes::from(body.clone()))))
        .collect();
    for one in begun {
        let whole = client.end(one).unwrap();
        assert!(whole.body == body, "{} bytes", whole.body.len());
    }
}

#[test]
fn trailers_of_an_upstream_reach_the_client() {
    let upstream = Upstream::start(|_, stream| {
        say(
            stream,
            "transfer-encoding: chunked\r\ntrailer: x-sum\r\n",
            "2\r\nok\r\n0\r\nx-sum: 42\r\n\r\n",
        );
        Then::Keep
    });
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let mut client = Http2::connect(served.address);
    let whole = client.get("/a");
    assert_eq!(whole.text(), "ok");
    assert_eq!(whole.trailers.unwrap()["x-sum"], "42");
}

#[test]
fn reset_stream_cancels_its_call_only() {
    let (seen_end, ended) = std::sync::mpsc::channel();
    let upstream = Upstream::start(move |seen, stream| {
        use std::io::Read as _;
        if seen.line().contains("/hang") {
            let mut byte = [0];
            // The gateway closes the upstream connection of a call whose client has left.
            let end = matches!(stream.read(&mut byte), Ok(0) | Err(_));
            seen_end.send(end).unwrap();
            return Then::Close;
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let served = http2(shop(upstream.address, vec![op("GET", "/a").prefix()])).serve();
    let mut client = Http2::connect(served.address);
    let hang = client.begin(to("GET", "/a/hang"), None);
    eventually("the upstream has the request", || {
        !upstream.seen().is_empty()
    });
    hang.abort();
    assert!(
        ended.recv_timeout(WAIT_MAX).unwrap(),
        "the call was cancelled"
    );
    assert_eq!(client.get("/a/other").text(), "ok");
    eventually("the reset is counted", || {
        let reset = ["error_type=\"client_closed\""];
        served.metric("http_server_request_duration_seconds_count", &reset) == 1.0
    });
}

#[test]
fn authority_and_host_that_differ_are_refused() {
    let upstream = Upstream::saying("ok");
    let served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let mut client = Http2::connect(served.address);
    let mut request = to("GET", "/a");
    request
        .headers_mut()
        .insert("host", "other.example".parse().unwrap());
    let begun = client.begin(request, None);
    assert_eq!(
        client.end(begun).unwrap().head.status(),
        StatusCode::BAD_REQUEST
    );
    let mut request = to("GET", "/a");
    request
        .headers_mut()
        .insert("host", "SHOP.example".parse().unwrap());
    let begun = client.begin(request, None);
    assert_eq!(client.end(begun).unwrap().head.status(), StatusCode::OK);
    assert_eq!(upstream.only().field("host").len(), 1);
}

#[test]
fn a_drain_lets_streams_end_and_says_goodbye() {
    let (open, shut) = gate();
    let upstream = Upstream::start(move |_, stream| {
        shut.lock().unwrap().recv().unwrap();
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut served = http2(shop(upstream.address, vec![op("GET", "/a")])).serve();
    let mut client = Http2::connect(served.address);
    let begun = client.begin(to("GET", "/a"), None);
    eventually("the upstream has the request", || {
        !upstream.seen().is_empty()
    });
    let draining = std::thread::spawn(move || {
        let forced = served.node.drain(Duration::from_secs(10), &|| false);
        (served, forced)
    });
    open.send(()).unwrap();
    assert_eq!(client.end(begun).unwrap().text(), "ok");
    let (_served, forced) = draining.join().unwrap();
    assert_eq!(forced, 0);
    eventually("the connection ends", || client.connection.is_finished());
}
