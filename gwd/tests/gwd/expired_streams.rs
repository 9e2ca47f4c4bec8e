//! Responses and WebSockets of operations with `streams: close` end when the credential of their
//! request expires. Responses and WebSockets of other operations continue.

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::fixture::*;
use crate::http2::{Http2, http2};
use crate::websocket::{HANDSHAKE, agree};

/// A Close frame of the gateway with the code 1008.
const CLOSED: [u8; 4] = [0x88, 0x02, 0x03, 0xF0];

/// Expiry of a test's credential in Unix time: two to three seconds from now.
fn soon() -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Some(now.as_secs() + 3)
}

/// A shop whose API key expires soon. `/close` and `/keep` require the key; `/close` and `/open`
/// have `streams: close`.
fn ending(upstream: &Upstream, method: &'static str, of: impl Fn(Op) -> Op) -> Shop {
    let ops = vec![
        of(op(method, "/close").secured("key")).closing_streams(),
        of(op(method, "/keep").secured("key")),
        of(op(method, "/open")).closing_streams(),
    ];
    let mut shop = shop(upstream.address, ops);
    shop.key_ends_s = soon();
    shop
}

/// Sends a request for a path on a new connection and reads the head of the response. Returns the
/// connection.
fn begun(served: &Served, request: &str, path: &str) -> Client {
    let mut client = Client::connect(served.address);
    client.send(&request.replace("/ws", path));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 "), "{head}");
    assert!(!head.starts_with("HTTP/1.1 4"), "{head}");
    client
}

/// Waits until the gateway has counted a request that ended because its credential expired.
fn is_recorded(served: &Served, status: &str) {
    eventually("the request is counted", || {
        let status = format!("status_code=\"{status}\"");
        let labels = [status.as_str(), "credential_expired"];
        served.metric("http_server_request_duration_seconds_count", &labels) == 1.0
    });
}

#[test]
fn websocket_closes_when_its_credential_ends() {
    let upstream = Upstream::start(agree);
    let served = ending(&upstream, "GET", Op::websocket).serve();
    let request = HANDSHAKE.replace("host:", "x-key: letmein\r\nhost:");
    let [mut kept, mut open, mut closed] =
        ["/keep", "/open", "/close"].map(|path| begun(&served, &request, path));
    for client in [&mut kept, &mut open, &mut closed] {
        client.bytes(7);
    }
    assert_eq!(closed.bytes(4), CLOSED);
    let _end = closed.another().shutdown(std::net::Shutdown::Write);
    assert!(closed.closed());
    is_recorded(&served, "101");
    for client in [&mut kept, &mut open] {
        client.send("\u{1}\u{3}abc");
        assert_eq!(client.some(5), "\u{1}\u{3}abc");
    }
    let mut again = Client::connect(served.address);
    again.send(&request.replace("/ws", "/keep"));
    assert_eq!(again.answer().status, 401);
}

/// Starts an upstream that begins a chunked response to each request, and ends the response when
/// the test sends on the returned channel.
fn slow(fields: &'static str) -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (go, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        let begin = format!("transfer-encoding: chunked\r\n{fields}");
        say(stream, &begin, "5\r\n\0\0\0\0\0\r\n");
        let _ends_with_the_test = wait.lock().unwrap().recv();
        let _gone = stream.write_all(b"3\r\nend\r\n0\r\n\r\n");
        Then::Keep
    });
    (upstream, go)
}

#[test]
fn event_stream_breaks_when_its_credential_ends() {
    let (upstream, go) = slow("content-type: text/event-stream\r\n");
    let served = ending(&upstream, "GET", |mut op| {
        op.forwarding.stream = true;
        op
    })
    .serve();
    let request = "GET /ws HTTP/1.1\r\nhost: h\r\nx-key: letmein\r\n\r\n";
    let [mut kept, mut closed] = ["/keep", "/close"].map(|path| begun(&served, request, path));
    for client in [&mut kept, &mut closed] {
        assert_eq!(client.bytes(10), b"5\r\n\0\0\0\0\0\r\n");
    }
    // Without the final chunk, the client knows that the body is not complete.
    assert!(closed.closed());
    is_recorded(&served, "200");
    for _ in 0..2 {
        let _gone = go.send(());
    }
    assert_eq!(kept.bytes(13), b"3\r\nend\r\n0\r\n\r\n");
}

#[test]
fn grpc_call_ends_unauthenticated() {
    let (upstream, _go) = slow("content-type: application/grpc\r\n");
    let served = http2(ending(&upstream, "POST", |op| op)).serve();
    let mut client = Http2::connect(served.address);
    let request = http::Request::post("http://shop.example/close")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-key", "letmein")
        .body(())
        .unwrap();
    let begun = client.begin(request, Some(Bytes::from_static(&[0; 5])));
    let whole = client.end(begun).unwrap();
    assert_eq!(whole.body, b"\0\0\0\0\0"[..]);
    let trailers = whole.trailers.unwrap();
    assert_eq!(trailers["grpc-status"], "16");
    is_recorded(&served, "200");
}

#[test]
fn upload_ends_when_its_credential_ends() {
    let upstream = Upstream::saying("done");
    let served = ending(&upstream, "POST", |op| op).serve();
    let request = "POST /close HTTP/1.1\r\nhost: h\r\nx-key: letmein\r\n\
        transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let [mut kept, mut open, mut whole, mut closed] =
        ["/keep", "/open", "/close", "/close"].map(|path| {
            let mut client = Client::connect(served.address);
            client.send(&request.replace("/close", path));
            client
        });
    whole.send("0\r\n\r\n");
    assert_eq!(whole.answer().status, 200);
    let answer = closed.answer();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.problem(), "credential_expired");
    assert_eq!(answer.field("www-authenticate").len(), 1);
    assert!(closed.closed());
    is_recorded(&served, "401");
    for client in [&mut kept, &mut open] {
        client.send("0\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    eventually("the upload ends at the upstream", || {
        let seen = upstream.seen();
        let close: Vec<bool> = seen
            .iter()
            .filter(|one| one.line().contains("/close"))
            .map(|one| one.is_whole)
            .collect();
        close == [true, false]
    });
}

/// The time limit of an upload that has ended does not apply to the response.
#[test]
fn late_response_to_an_upload_is_complete() {
    let (go, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        let _ends_with_the_test = wait.lock().unwrap().recv();
        say(stream, "content-length: 4\r\n", "done");
        Then::Keep
    });
    let shop = ending(&upstream, "POST", |op| op);
    let ends_s = shop.key_ends_s.unwrap();
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("POST /close HTTP/1.1\r\nhost: h\r\nx-key: letmein\r\ncontent-length: 2\r\n\r\nh");
    eventually("the upstream has a connection", || {
        upstream.connections.load(Ordering::SeqCst) == 1
    });
    client.send("i");
    eventually("the upstream has the request", || {
        upstream.seen().len() == 1
    });
    eventually("the credential expires", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() > ends_s
    });
    go.send(()).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"done"[..]));
}

#[test]
fn late_response_is_complete() {
    let (upstream, go) = {
        let (go, wait) = gate();
        let upstream = Upstream::start(move |_, stream| {
            let _ends_with_the_test = wait.lock().unwrap().recv();
            say(stream, "content-length: 4\r\n", "done");
            Then::Keep
        });
        (upstream, go)
    };
    let shop = ending(&upstream, "GET", |op| op);
    let ends_s = shop.key_ends_s.unwrap();
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("GET /close HTTP/1.1\r\nhost: h\r\nx-key: letmein\r\n\r\n");
    eventually("the upstream has the request", || {
        upstream.seen().len() == 1
    });
    let start = Instant::now();
    eventually("the credential expires", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() >= ends_s
    });
    assert!(start.elapsed().as_secs() < 5);
    go.send(()).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"done"[..]));
}
