//! WebSockets and unfinished responses. They survive a switch of versions, and end when their
//! credential is revoked.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bundle::digest::Digest;
use bytes::Bytes;
use policy::Revoked;

use crate::fixture::*;
use crate::http2::{Http2, http2};
use crate::websocket::{HANDSHAKE, agree};

/// A WebSocket frame with the text `abc`, without a mask.
const FRAME: &str = "\u{1}\u{3}abc";

/// A WebSocket handshake with an API key.
fn with_key() -> String {
    HANDSHAKE.replace(
        "host: shop.example\r\n",
        "host: shop.example\r\nx-key: letmein\r\n",
    )
}

fn letmein() -> [u8; 32] {
    *Digest::of(b"letmein").as_bytes()
}

/// Starts an upstream that accepts WebSocket handshakes, stores all received bytes and echoes them.
fn keeping(kept: &Arc<Mutex<Vec<u8>>>) -> Upstream {
    let kept = Arc::clone(kept);
    Upstream::start(move |_, stream: &mut TcpStream| {
        let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut buffer = [0; 4_096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            kept.lock().unwrap().extend_from_slice(&buffer[..read]);
            let _gone = stream.write_all(&buffer[..read]);
        }
        kept.lock().unwrap().extend_from_slice(b"the end");
        Then::Close
    })
}

fn shop_with_websockets(upstream: &Upstream) -> Shop {
    let ops = vec![
        op("GET", "/ws").websocket().secured("key"),
        op("GET", "/open").websocket(),
    ];
    shop(upstream.address, ops)
}

fn open(served: &Served, handshake: &str) -> Client {
    let mut client = Client::connect(served.address);
    client.send(handshake);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

fn talks(client: &mut Client) {
    client.send(FRAME);
    assert_eq!(client.some(FRAME.len()), FRAME);
}

#[test]
fn websocket_ends_when_its_credential_is_withdrawn() {
    let kept = Arc::default();
    let upstream = keeping(&kept);
    let mut served = shop_with_websockets(&upstream).serve();
    let mut client = open(&served, &with_key());
    talks(&mut client);
    served.node.revoke(Revoked::new([letmein()]));
    assert_eq!(client.bytes(4), [0x88, 0x02, 0x03, 0xF0], "1008");
    // Bytes that the client sends from here on are not forwarded.
    client.send(FRAME);
    eventually("the connection to the upstream has ended", || {
        kept.lock().unwrap().ends_with(b"the end")
    });
    let came = kept.lock().unwrap().clone();
    let (before, close) = came.split_at(FRAME.len());
    assert_eq!(before, FRAME.as_bytes());
    let [0x88, 0x82, a, b, _, _, high, low, b't', ..] = close[..] else {
        panic!("{close:?}")
    };
    assert_eq!([high ^ a, low ^ b], [0x03, 0xF0], "masked, 1008");
    client
        .another()
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    assert!(client.closed());
    eventually("the revocation is counted", || {
        let labels = ["status_code=\"101\"", "credential_revoked"];
        served.metric("http_server_request_duration_seconds_count", &labels) == 1.0
    });
    let mut again = Client::connect(served.address);
    again.send(&with_key());
    assert_eq!(again.answer().status, 401);
}

#[test]
fn other_websockets_go_on() {
    let upstream = keeping(&Arc::default());
    let mut served = shop_with_websockets(&upstream).serve();
    let mut keyed = open(&served, &with_key());
    let public = HANDSHAKE.replace("/ws", "/open");
    let mut anonymous = open(&served, &public);
    // A credential that the operation did not require is irrelevant to its stream.
    let mut generous = open(&served, &with_key().replace("/ws", "/open"));
    served.node.revoke(Revoked::new([[7; 32]]));
    talks(&mut keyed);
    served.node.revoke(Revoked::new([[7; 32], letmein()]));
    assert_eq!(keyed.bytes(4), [0x88, 0x02, 0x03, 0xF0]);
    talks(&mut anonymous);
    talks(&mut generous);
}

#[test]
fn stalled_message_ends_with_its_credential() {
    let upstream = Upstream::start(|_, stream: &mut TcpStream| {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x82\x0Aabc";
        stream.write_all(head).unwrap();
        // Keep the connection open, so that only the gateway can end it.
        Then::Leave
    });
    let settings = gwd::node::Settings {
        websocket_drain: Duration::from_millis(200),
        ..settings()
    };
    let mut served = shop_with_websockets(&upstream).serve_by(settings);
    let mut client = open(&served, &with_key());
    assert_eq!(client.bytes(5), b"\x82\x0Aabc");
    let start = Instant::now();
    served.node.revoke(Revoked::new([letmein()]));
    assert!(client.closed(), "no Close can be inside a frame");
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn websocket_survives_a_switch_without_its_operation() {
    let upstream = Upstream::start(agree);
    let mut shop = shop_with_websockets(&upstream);
    let mut served = shop.serve();
    let mut client = open(&served, &with_key());
    client.bytes(7);
    shop.ops.remove(0);
    let two = shop.build(&mut served.node, Digest::of(b"two"));
    served.node.bind(&two).unwrap();
    served.node.publish(&two, 2);
    talks(&mut client);
    let mut again = Client::connect(served.address);
    again.send(&with_key());
    assert_eq!(again.answer().status, 404);
    // The credential is still checked against revocation lists.
    served.node.revoke(Revoked::new([letmein()]));
    assert_eq!(client.bytes(4), [0x88, 0x02, 0x03, 0xF0]);
}

/// Starts an upstream that starts a chunked response, and ends it when the test sends on the
/// returned channel.
fn slow(fields: &'static str) -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (go, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        let begin = format!("transfer-encoding: chunked\r\n{fields}");
        say(stream, &begin, "5\r\n\0\0\0\0\0\r\n");
        let _ends_with_the_test = wait.lock().unwrap().recv();
        let _gone = stream.write_all(b"3\r\nend\r\n0\r\ngrpc-status: 0\r\n\r\n");
        Then::Keep
    });
    (upstream, go)
}

#[test]
fn begun_response_ends_and_next_request_is_refused() {
    let (upstream, go) = slow("content-type: text/event-stream\r\n");
    let mut events = op("GET", "/events").secured("key");
    events.forwarding.stream = true;
    let mut shop = shop(upstream.address, vec![events]);
    let mut served = shop.serve();
    let mut client = Client::connect(served.address);
    let ask = "GET /events HTTP/1.1\r\nhost: h\r\nx-key: letmein\r\n\r\n";
    client.send(ask);
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    assert_eq!(client.bytes(10), b"5\r\n\0\0\0\0\0\r\n");
    served.node.revoke(Revoked::new([letmein()]));
    shop.ops[0].path = "/elsewhere";
    let two = shop.build(&mut served.node, Digest::of(b"two"));
    served.node.bind(&two).unwrap();
    served.node.publish(&two, 2);
    go.send(()).unwrap();
    assert_eq!(client.bytes(13), b"3\r\nend\r\n0\r\n\r\n");
    client.send(&ask.replace("/events", "/elsewhere"));
    assert_eq!(client.answer().status, 401);
}

#[test]
fn grpc_call_in_progress_survives_a_revocation() {
    let (upstream, go) = slow("content-type: application/grpc\r\n");
    let shop = shop(
        upstream.address,
        vec![op("POST", "/s/Watch").secured("key")],
    );
    let mut served = http2(shop).serve();
    let mut client = Http2::connect(served.address);
    let call = || {
        let request = http::Request::post("http://shop.example/s/Watch");
        let request = request.header("content-type", "application/grpc");
        request
            .header("te", "trailers")
            .header("x-key", "letmein")
            .body(())
            .unwrap()
    };
    let message = || Some(Bytes::from_static(&[0; 5]));
    let begun = client.begin(call(), message());
    eventually("the upstream has the call", || upstream.seen().len() == 1);
    let calls = |served: &Served| served.metric("gwd_grpc_streams_active", &[]);
    assert_eq!(calls(&served), 1.0);
    served.node.revoke(Revoked::new([letmein()]));
    go.send(()).unwrap();
    let whole = client.end(begun).unwrap();
    assert_eq!(whole.body, b"\0\0\0\0\0end"[..]);
    assert_eq!(whole.trailers.unwrap()["grpc-status"], "0");
    eventually("the call has ended", || calls(&served) == 0.0);
    let begun = client.begin(call(), message());
    let refused = client.end(begun).unwrap();
    assert_eq!(refused.head.headers()["grpc-status"], "16");
}
