//! WebSockets (RFC 6455) over HTTP/1.1 and over HTTP/2 (RFC 8441).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use http::StatusCode;

use crate::fixture::*;
use crate::http2::{Http2, http2, to};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Value of `Sec-WebSocket-Accept` for the sample key (RFC 6455 §1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
pub(crate) const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nhost: shop.example\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: chat\r\n\r\n";

/// Starts an upstream that accepts every handshake with a correct `Sec-WebSocket-Accept`, sends
/// `hello` and echoes all bytes.
fn echo() -> Upstream {
    Upstream::start(agree)
}

/// Accepts a handshake and sends `hello`.
pub(crate) fn agree(seen: &Seen, stream: &mut TcpStream) -> Then {
    let accept = accept_of(seen.field("sec-websocket-key")[0]);
    let protocol = match seen.field("sec-websocket-protocol")[..] {
        [] => "",
        _ => "sec-websocket-protocol: chat\r\n",
    };
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n{protocol}\r\n"
    );
    // The first frame is sent together with the head.
    stream
        .write_all(&[head.as_bytes(), &[0x81, 5], b"hello"].concat())
        .unwrap();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..read]).unwrap();
    }
    Then::Close
}

pub(crate) fn accept_of(key: &str) -> String {
    use std::process::{Command, Stdio};
    if key == KEY {
        return ACCEPT.to_owned();
    }
    // Compute SHA-1 with another implementation than the gateway's.
    let script = format!(
        "printf %s {key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11 | openssl dgst -sha1 -binary | openssl base64"
    );
    let done = Command::new("sh")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .output();
    String::from_utf8(done.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

pub(crate) fn websocket(upstream: &Upstream) -> Shop {
    shop(
        upstream.address,
        vec![op("GET", "/ws").websocket(), op("GET", "/plain")],
    )
}

#[test]
fn a_client_and_an_upstream_talk_through() {
    let upstream = echo();
    let served = websocket(&upstream).serve();
    let mut client = Client::connect(served.address);
    // The client sends its first frame together with the handshake.
    client.send(&format!("{HANDSHAKE}abc"));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains(&format!(
        "sec-websocket-accept: {}",
        ACCEPT.to_ascii_lowercase()
    )));
    assert!(lower.contains("sec-websocket-protocol: chat"));
    assert_eq!(client.bytes(7), [&[0x81, 5][..], b"hello"].concat());
    assert_eq!(client.some(3), "abc");
    for round in 0..100 {
        client.send(&format!("{round:04}"));
        assert_eq!(client.some(4), format!("{round:04}"));
    }
    let seen = upstream.only();
    assert_eq!(seen.field("connection"), ["upgrade"]);
    assert_eq!(seen.field("upgrade"), ["websocket"]);
    assert_eq!(seen.field("sec-websocket-protocol"), ["chat"]);
    drop(client);
    eventually("the tunnel is counted", || {
        served.metric(
            "http_server_request_duration_seconds_count",
            &["status_code=\"101\""],
        ) == 1.0
    });
}

#[test]
fn bytes_beyond_the_sockets_wait_and_none_is_lost() {
    const SIZE: usize = 24 << 20;
    let upstream = echo();
    let served = websocket(&upstream).serve();
    let mut client = Client::connect(served.address);
    client.send(HANDSHAKE);
    client.head();
    client.bytes(7);
    let mut writer = client.another();
    let sent: Vec<u8> = (0..SIZE).map(|i| (i * 7 % 253) as u8).collect();
    let copy = sent.clone();
    let writing = std::thread::spawn(move || writer.write_all(&copy).unwrap());
    let got = client.bytes(SIZE);
    writing.join().unwrap();
    assert!(got == sent);
}

#[test]
fn operation_without_websocket_loses_the_upgrade() {
    let upstream = Upstream::saying("plain");
    let served = websocket(&upstream).serve();
    let mut client = Client::connect(served.address);
    client.send(&HANDSHAKE.replace("/ws", "/plain"));
    assert_eq!(client.answer().text(), "plain");
    assert!(upstream.only().field("upgrade").is_empty());
    assert!(upstream.only().field("connection").is_empty());
}

#[test]
fn invalid_handshake_is_not_forwarded() {
    let upstream = echo();
    let served = websocket(&upstream).serve();
    let version = HANDSHAKE.replace("version: 13", "version: 8");
    let key = HANDSHAKE.replace(KEY, "short");
    for (handshake, status, code) in [
        (version, 426, "websocket_version"),
        (key, 400, "websocket_invalid"),
    ] {
        let mut client = Client::connect(served.address);
        client.send(&handshake);
        let answer = client.answer();
        assert_eq!((answer.status, &*answer.problem()), (status, code));
        let expected = ["gwd; error=http_upgrade_failed"];
        assert_eq!(answer.field("proxy-status"), expected);
        assert_eq!(
            answer.field("sec-websocket-version").len(),
            usize::from(status == 426)
        );
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn an_upstream_that_declines_has_answered() {
    let upstream = Upstream::saying("no");
    let served = websocket(&upstream).serve();
    let mut client = Client::connect(served.address);
    for _ in 0..2 {
        client.send(HANDSHAKE);
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, "no"));
    }
}

#[test]
fn upstream_that_agrees_to_another_protocol_is_502() {
    let agreed =
        format!("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {ACCEPT}\r\n");
    for fields in [
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: AAAA\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\n",
        "",
        // RFC 6455 §4.1: the client offered neither this protocol nor an extension.
        &format!("{agreed}sec-websocket-protocol: other\r\n"),
        &format!("{agreed}sec-websocket-extensions: permessage-deflate\r\n"),
    ] {
        let fields = fields.to_owned();
        let upstream = Upstream::start(move |_, stream| {
            let head = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            Then::Keep
        });
        let served = websocket(&upstream).serve();
        let mut client = Client::connect(served.address);
        client.send(HANDSHAKE);
        let answer = client.answer();
        assert_eq!(
            (answer.status, &*answer.problem()),
            (502, "upstream_protocol_error")
        );
        let expected = ["gwd; error=http_protocol_error"];
        assert_eq!(answer.field("proxy-status"), expected);
    }
}

#[test]
fn a_side_that_ends_ends_the_other() {
    let upstream = Upstream::start(|seen, stream| {
        let accept = accept_of(seen.field("sec-websocket-key")[0]);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\nbye"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
        Then::Close
    });
    let served = websocket(&upstream).serve();
    let mut client = Client::connect(served.address);
    client.send(HANDSHAKE);
    client.head();
    assert_eq!(client.rest(), "bye");
}

#[test]
fn a_drain_says_going_away_between_two_frames() {
    let upstream = echo();
    let mut served = websocket(&upstream).serve();
    let mut client = Client::connect(served.address);
    client.send(HANDSHAKE);
    client.head();
    client.bytes(7);
    let draining = std::thread::spawn(move || {
        let forced = served.node.drain(Duration::from_secs(10), &|| false);
        (served, forced)
    });
    assert_eq!(client.bytes(4), [0x88, 0x02, 0x03, 0xE9]);
    drop(client);
    assert_eq!(draining.join().unwrap().1, 0);
}

#[test]
fn over_http2_a_stream_is_the_tunnel() {
    let upstream = echo();
    let served = http2(websocket(&upstream)).serve();
    let client = Http2::connect(served.address);
    let mut send = client.send.clone();
    let talk = async {
        let mut settings = send.clone().ready().await.unwrap();
        while !settings.is_extended_connect_protocol_enabled() {
            settings = settings.ready().await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut request = to("CONNECT", "/ws");
        request.extensions_mut().insert(Protocol::from("websocket"));
        request
            .headers_mut()
            .insert("sec-websocket-version", "13".parse().unwrap());
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "chat".parse().unwrap());
        let (response, mut stream) = send.send_request(request, false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        assert!(!response.headers().contains_key("sec-websocket-accept"));
        let mut body = response.into_body();
        let mut got = body.data().await.unwrap().unwrap().to_vec();
        stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
        while got.len() < 10 {
            let more = body.data().await.unwrap().unwrap();
            body.flow_control().release_capacity(more.len()).unwrap();
            got.extend_from_slice(&more);
        }
        assert_eq!(got, [&[0x81, 5][..], b"helloabc"].concat());
        stream.send_data(Bytes::new(), true).unwrap();
        while let Some(end) = body.data().await {
            assert!(
                end.unwrap().is_empty(),
                "the upstream's end is the stream's"
            );
        }
    };
    let talk = async { tokio::time::timeout(WAIT_MAX, talk).await };
    client.runtime.block_on(talk).expect("in time");
    let seen = upstream.only();
    assert_eq!(seen.line(), "GET /ws HTTP/1.1");
    assert_eq!(seen.field("upgrade"), ["websocket"]);
    eventually("the tunnel is counted", || {
        let labels = ["status_code=\"200\"", "version=\"2\""];
        served.metric("http_server_request_duration_seconds_count", &labels) == 1.0
    });
}

#[test]
fn over_http2_only_a_websocket_can_be_connected_to() {
    let upstream = echo();
    let served = http2(websocket(&upstream)).serve();
    let mut client = Http2::connect(served.address);
    let mut request = to("CONNECT", "/plain");
    request.extensions_mut().insert(Protocol::from("websocket"));
    request
        .headers_mut()
        .insert("sec-websocket-version", "13".parse().unwrap());
    let begun = client.begin(request, None);
    let whole = client.end(begun).unwrap();
    assert_eq!(whole.head.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(upstream.seen().is_empty());
}

/// A 2xx status would tell the client that the tunnel exists (RFC 8441 §5).
#[test]
fn over_http2_no_tunnel_means_no_success() {
    for (answer, status, code) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            StatusCode::BAD_GATEWAY,
            "upstream_protocol_error",
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            StatusCode::BAD_GATEWAY,
            "upstream_protocol_error",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
            StatusCode::FORBIDDEN,
            "",
        ),
    ] {
        let upstream = Upstream::start(move |_, stream| {
            let _gone = stream.write_all(answer.as_bytes());
            Then::Close
        });
        let served = http2(websocket(&upstream)).serve();
        let mut client = Http2::connect(served.address);
        let mut request = to("CONNECT", "/ws");
        request.extensions_mut().insert(Protocol::from("websocket"));
        request
            .headers_mut()
            .insert("sec-websocket-version", "13".parse().unwrap());
        let begun = client.begin(request, None);
        let whole = client.end(begun).unwrap();
        assert_eq!(whole.head.status(), status, "{answer}");
        let body = String::from_utf8_lossy(&whole.body);
        assert!(body.contains(code), "{answer}: {body}");
    }
}
