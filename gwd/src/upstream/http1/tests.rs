//! Tests of the client. The peer is a test that writes raw bytes, in pieces of several sizes.

use std::sync::Arc;

use engine::forward::Outbound;
use http::{HeaderValue, StatusCode};
use http_body::Body as _;
use policy::RequestHead;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let timeout = std::time::Duration::from_secs(20);
    runtime.block_on(async { tokio::time::timeout(timeout, test).await.expect("in time") })
}

/// Prepares a request on a connection.
fn prepared(
    mut connection: Box<Connection<DuplexStream>>,
    method: &str,
) -> Box<Connection<DuplexStream>> {
    let mut headers = HeaderMap::new();
    headers.insert("x-a", HeaderValue::from_static("1"));
    headers.insert("host", HeaderValue::from_static("h"));
    let head = RequestHead {
        is_ambiguous: false,
        method: method.parse().unwrap(),
        target: "/a?b=c".parse().unwrap(),
        host: "h".into(),
        headers,
    };
    connection.begin(Call {
        client: None,
        head: &mut Outbound::whole(&head),
        body: RequestBody::Empty,
        fields: HeaderMap::new(),
    });
    connection
}

/// Outcome of a response.
#[derive(Debug, PartialEq, Eq)]
enum ResponseOutcome {
    /// Complete response: status, body, number of trailers, and true if the connection can be
    /// reused.
    Whole(u16, String, usize, bool),
    /// The head arrived, but reading the body failed. Status and error.
    Broken(u16, String),
    Refused(String),
}

async fn got(connection: Box<Connection<DuplexStream>>, method: &str) -> ResponseOutcome {
    let mut answer = match prepared(connection, method).answer(None).await {
        Ok(answer) => answer,
        Err(refused) => return ResponseOutcome::Refused(refused.error.to_string()),
    };
    let status = answer.status().as_u16();
    let (mut body, mut trailers) = (Vec::new(), 0);
    while let Some(frame) = poll_fn(|cx| answer.body_mut().poll_frame(cx)).await {
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers += frame.into_trailers().unwrap().len(),
            },
            Err(error) => return ResponseOutcome::Broken(status, error.to_string()),
        }
    }
    let body = String::from_utf8(body).unwrap();
    let again = answer.into_body().into_connection().is_some();
    ResponseOutcome::Whole(status, body, trailers, again)
}

/// Sends a request to a peer that reads the head, writes `text` in pieces of `size` bytes, and
/// closes the connection if `end` is true.
async fn response_to(text: &str, size: usize, method: &str, end: bool) -> ResponseOutcome {
    let (near, mut far) = duplex(64);
    let text = text.as_bytes().to_vec();
    let peer = async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(far.read_u8().await.unwrap());
        }
        for piece in text.chunks(size) {
            if far.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        if !end {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        got = got(Connection::new(near), method) => got,
        got = async { peer.await; std::future::pending().await } => got,
    }
}

fn in_pieces(text: &str, method: &str, end: bool) -> ResponseOutcome {
    let whole = run(response_to(text, text.len().max(1), method, end));
    for size in [1, 2, 3, 7] {
        assert_eq!(
            run(response_to(text, size, method, end)),
            whole,
            "{text:?} by {size}"
        );
    }
    whole
}

fn whole(status: u16, body: &str, again: bool) -> ResponseOutcome {
    ResponseOutcome::Whole(status, body.to_owned(), 0, again)
}

#[test]
fn responses_are_framed_as_rfc_9112_says() {
    let head = "HTTP/1.1 200 OK\r\n";
    let cases = [
        ("GET", format!("{head}content-length: 2\r\n\r\nok"), whole(200, "ok", true)),
        ("GET", format!("{head}content-length: 2\r\ncontent-length: 2\r\n\r\nok"), whole(200, "ok", true)),
        ("GET", format!("{head}content-length: 0\r\n\r\n"), whole(200, "", true)),
        ("HEAD", format!("{head}content-length: 9\r\n\r\n"), whole(200, "", true)),
        ("HEAD", format!("{head}transfer-encoding: chunked\r\n\r\n"), whole(200, "", true)),
        ("GET", "HTTP/1.1 204 No\r\n\r\n".into(), whole(204, "", true)),
        ("GET", "HTTP/1.1 304 No\r\ncontent-length: 9\r\n\r\n".into(), whole(304, "", true)),
        ("GET", format!("{head}connection: Close\r\ncontent-length: 2\r\n\r\nok"), whole(200, "ok", false)),
        ("GET", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok".into(), whole(200, "ok", false)),
        ("GET", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok".into(), whole(200, "ok", true)),
        ("GET", "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok".into(), whole(200, "ok", true)),
        ("GET", format!("{head}transfer-encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), whole(200, "ok", true)),
        ("GET", format!("{head}transfer-encoding: chunked\r\n\r\n1;a=b\r\no\r\n01\r\nk\r\n000\r\n\r\n"), whole(200, "ok", true)),
        ("GET", format!("{head}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"), whole(200, "", true)),
        ("GET", format!("{head}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\nx-b: 2\r\nhost: h\r\n\r\n"), ResponseOutcome::Whole(200, "ok".into(), 2, true)),
        ("GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into(), whole(200, "ok", true)),
        // Bytes after the response: the connection must not be reused.
        ("GET", format!("{head}content-length: 2\r\n\r\nokHTTP"), whole(200, "ok", false)),
    ];
    for (method, text, expected) in cases {
        let got = match &expected {
            // In small pieces, the additional bytes may arrive after the response was read.
            ResponseOutcome::Whole(_, _, _, false) if text.ends_with("HTTP") => {
                run(response_to(&text, text.len(), method, false))
            }
            _ => in_pieces(&text, method, false),
        };
        assert_eq!(got, expected, "{text:?}");
    }
    let until_close = "HTTP/1.1 200 OK\r\n\r\nall of it";
    assert_eq!(
        in_pieces(until_close, "GET", true),
        whole(200, "all of it", false)
    );
}

#[test]
fn malformed_response_is_an_error() {
    let head = "HTTP/1.1 200 OK\r\n";
    for text in [
        format!("{head}content-length: 2\r\ncontent-length: 3\r\n\r\nok!"),
        format!("{head}content-length: 2, 2\r\n\r\nok"),
        format!("{head}content-length: +2\r\n\r\nok"),
        format!("{head}content-length:\r\n\r\nok"),
        format!("{head}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}transfer-encoding: identity\r\n\r\n0\r\n\r\n"),
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        format!("{head}x: a\r\n b\r\n\r\n"),
        format!("{head}x y: a\r\n\r\n"),
        format!("{head}x : a\r\n\r\n"),
        "HTTP/2.0 200 OK\r\n\r\n".into(),
        "HTTP/1.1 20 OK\r\n\r\n".into(),
        "HTTP/1.1 099 OK\r\n\r\n".into(),
        "HTTP/1.1 600 OK\r\ncontent-length: 0\r\n\r\n".into(),
        "HTTP/1.1 999 OK\r\ncontent-length: 0\r\n\r\n".into(),
        "ICY 200 OK\r\n\r\n".into(),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(INTERIM_MAX + 1),
        format!("{head}x: {}\r\n\r\n", "v".repeat(300 << 10)),
        format!("{head}{}\r\n", "x: y\r\n".repeat(1_100)),
    ] {
        let got = run(response_to(&text, 4096, "GET", false));
        assert!(
            matches!(got, ResponseOutcome::Refused(_)),
            "{:?}: {got:?}",
            &text[..text.len().min(90)]
        );
    }
    for chunks in [
        "2\nok\r\n0\r\n\r\n",
        "2\r\nokk\r\n0\r\n\r\n",
        "2\r\nok\n0\r\n\r\n",
        "x\r\nok\r\n",
        "+2\r\nok\r\n0\r\n\r\n",
        "2 2\r\nok\r\n0\r\n\r\n",
        "2;\u{1}\r\nok\r\n0\r\n\r\n",
        "11111111111111111\r\nok\r\n",
        "2\r\nok\r\n0\r\nno colon\r\n\r\n",
        "\r\nok\r\n0\r\n\r\n",
    ] {
        let text = format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}");
        let got = in_pieces(&text, "GET", false);
        assert!(
            matches!(got, ResponseOutcome::Broken(200, _)),
            "{chunks:?}: {got:?}"
        );
    }
    let long = format!(
        "{head}transfer-encoding: chunked\r\n\r\n2;{}",
        "a".repeat(8 << 10)
    );
    assert!(matches!(
        run(response_to(&long, 4096, "GET", false)),
        ResponseOutcome::Broken(200, _)
    ));
}

#[test]
fn error_of_an_early_end_names_its_place() {
    let refused = |text: &str| ResponseOutcome::Refused(text.to_owned());
    let middle = "the connection was closed in the middle of the response";
    assert_eq!(
        in_pieces("", "GET", true),
        refused("the connection was closed before any response")
    );
    assert_eq!(in_pieces("HTTP/1.1 2", "GET", true), refused(middle));
    for body in [
        "content-length: 3\r\n\r\nok",
        "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
    ] {
        let got = in_pieces(&format!("HTTP/1.1 200 OK\r\n{body}"), "GET", true);
        assert_eq!(got, ResponseOutcome::Broken(200, middle.to_owned()));
    }
}

#[test]
fn head_has_host_first_and_the_bodys_length() {
    let head = |method: &str| {
        run(async {
            let (near, mut far) = duplex(4096);
            let call = prepared(Connection::new(near), method).answer(None);
            let read = async {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(far.read_u8().await.unwrap());
                }
                String::from_utf8(head).unwrap()
            };
            tokio::select! { biased; head = read => head, _ = call => unreachable!() }
        })
    };
    assert_eq!(
        head("GET"),
        "GET /a?b=c HTTP/1.1\r\nhost: h\r\nx-a: 1\r\n\r\n"
    );
    assert_eq!(
        head("POST"),
        "POST /a?b=c HTTP/1.1\r\nhost: h\r\nx-a: 1\r\ncontent-length: 0\r\n\r\n"
    );
}

#[test]
fn connection_is_reused_and_a_closed_one_is_detected() {
    run(async {
        let (near, mut far) = duplex(4096);
        let mut connection = Connection::new(near);
        for _ in 0..3 {
            assert!(connection.is_quiet());
            far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
            let mut answer = prepared(connection, "GET").answer(None).await.ok().unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let frame = poll_fn(|cx| answer.body_mut().poll_frame(cx))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(frame.into_data().unwrap(), "ok");
            assert!(
                answer.body().is_end_stream(),
                "the last piece is known to be the last"
            );
            connection = answer.into_body().into_connection().unwrap();
        }
        far.write_all(b"HTTP/1.1 408 Slow\r\n\r\n").await.unwrap();
        assert!(!connection.is_quiet(), "the response is unsolicited");
        let (near, far) = duplex(16);
        let mut connection = Connection::new(near);
        drop(far);
        assert!(!connection.is_quiet());
    });
}

#[test]
fn unwritten_request_returns_its_body() {
    run(async {
        let (near, far) = duplex(16);
        drop(far);
        let call = prepared(Connection::new(near), "POST").answer(None);
        let refused = call.await.err().unwrap();
        let body = refused.unsent.expect("not a byte was written");
        assert!(body.is_end_stream());
        let (near, mut far) = duplex(4096);
        far.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
        let call = prepared(Connection::new(near), "POST").answer(None);
        let answer = call.await.ok().unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let mut head = vec![0; 24];
        far.read_exact(&mut head).await.unwrap();
        assert!(head.starts_with(b"POST /a?b=c HTTP/1.1\r\n"));
    });
}

#[test]
fn continue_response_opens_the_gate() {
    run(async {
        let (near, mut far) = duplex(4096);
        let gate = Arc::<Gate>::default();
        far.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        let answer = prepared(Connection::new(near), "GET")
            .answer(Some(&gate))
            .await
            .ok()
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(gate.is_open());
    });
}
