//! HTTP/1 clients that disconnect, and connections that the gateway closes. The gateway does not
//! wait for a client that has disconnected. A response announces that its connection closes
//! (`connection: close`).

use std::io::{Read as _, Write as _};

use crate::fixture::*;

/// Starts an upstream that starts its response without reading the request's body, and never
/// finishes it.
fn endless() -> Upstream {
    Upstream::on(
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        |_, stream| {
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nfirst");
            let _gone = stream.read(&mut [0; 64]);
            Then::Close
        },
    )
}

#[test]
fn client_that_leaves_is_noticed_behind_its_bytes() {
    let upstream = endless();
    let mut events = op("GET", "/events");
    events.forwarding.stream = true;
    let served = shop(upstream.address, vec![events]).serve();
    for behind in ["", "\r\n", "X", "GET /events HTTP/1.1\r\nhost: h\r\n\r\n"] {
        let mut client = Client::connect(served.address);
        client.send(&format!("GET /events HTTP/1.1\r\nhost: h\r\n\r\n{behind}"));
        assert!(client.head().starts_with("HTTP/1.1 200"));
        drop(client);
        eventually("the request has ended", || {
            served.metric("http_server_active_requests", &[]) == 0.0
        });
    }
}

#[test]
fn request_refused_unread_gets_connection_close() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("POST", "/a")]).serve();
    let mut client = Client::connect(served.address);
    // The whole body has arrived, so the connection stays open.
    client.send("POST /nobody HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection").len()), (404, 0));
    for fields in [
        "content-length: 3\r\n",
        "transfer-encoding: chunked\r\n",
        "content-length: 3\r\nexpect: 100-continue\r\n",
    ] {
        let mut client = Client::connect(served.address);
        client.send(&format!("POST /nobody HTTP/1.1\r\nhost: h\r\n{fields}\r\n"));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("connection")),
            (404, vec!["close"])
        );
        assert!(client.closed());
    }
}

#[test]
fn large_refused_upload_is_read_until_the_response() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("POST", "/a")]).serve();
    let mut client = Client::connect(served.address);
    let length = 32 << 20;
    client.send(&format!(
        "POST /nobody HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n"
    ));
    // This client sends its whole body before it reads.
    client.another().write_all(&vec![b'x'; length]).unwrap();
    assert_eq!(client.answer().status, 404);
}

#[test]
fn upload_after_a_refusal_is_read_up_to_a_bound() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("POST", "/a")]).serve();
    let client = Client::connect(served.address);
    let mut stream = client.another();
    let head = "POST /nobody HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let pieces = (0..200).take_while(|_| stream.write_all(&piece).is_ok());
    let pieces = pieces.count();
    // Sockets hold data in addition to the limit of 64 MiB.
    assert!((64..100).contains(&pieces), "{pieces} MiB");
}

#[test]
fn a_websocket_handshake_has_no_content() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("GET", "/ws").websocket()]).serve();
    let mut client = Client::connect(served.address);
    client.send(
        "GET /ws HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         content-length: 5\r\n\r\nhello",
    );
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "websocket_invalid")
    );
    assert!(upstream.seen().is_empty());
}

#[test]
fn truncated_close_delimited_response_is_an_error() {
    let upstream = Upstream::start(|_, stream| {
        let _gone =
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
        Then::Close
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.0\r\nhost: h\r\n\r\n");
    let end = client.another().read_to_end(&mut Vec::new());
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
