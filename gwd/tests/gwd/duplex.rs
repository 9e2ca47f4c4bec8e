//! Both directions of an exchange at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;

use bytes::Bytes;

use crate::crowds::bare_upstream;
use crate::fixture::*;
use crate::http2_upstream::{Asked, Http2Upstream};

/// More than sockets and buffers on the way hold, in each direction.
const VOLUME: usize = 24 << 20;

/// Sends a whole request before it looks for a response, as simple clients do; the response has
/// begun long before.
fn sends_all_and_then_takes_all(shop: &Shop) {
    let served = shop.serve();
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {VOLUME}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
        .write_all(&vec![b'u'; VOLUME])
        .expect("the upload goes on though the response waits");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    let downloaded = answer.iter().filter(|byte| **byte == b'~').count();
    assert_eq!(downloaded, VOLUME);
}

#[test]
fn a_client_may_send_all_before_it_takes_anything() {
    let (told, uploaded) = mpsc::channel();
    let address = bare_upstream(move |mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let mut reading = stream.try_clone().unwrap();
        let upload = std::thread::spawn(move || {
            let mut body = vec![0; VOLUME];
            reading.read_exact(&mut body).is_ok()
        });
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {VOLUME}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let _gone = stream.write_all(&vec![b'~'; VOLUME - 1]);
        // A response that has ended is the end of its upload.
        told.send(upload.join().unwrap()).unwrap();
        let _gone = stream.write_all(b"~");
    });
    sends_all_and_then_takes_all(&shop(address, vec![op("POST", "/a")]));
    assert_eq!(uploaded.recv_timeout(PATIENCE), Ok(true));
}

#[test]
fn so_it_may_where_the_upstream_speaks_http2() {
    let (told, uploaded) = mpsc::channel();
    let upstream = Http2Upstream::start(move |_, asked: Asked| {
        let told = told.clone();
        async move {
            let (request, mut respond) = asked;
            let mut body = request.into_body();
            let mut sending = respond
                .send_response(http::Response::new(()), false)
                .unwrap();
            sending
                .send_data(Bytes::from(vec![b'~'; VOLUME - 1]), false)
                .unwrap();
            let mut total = 0;
            while let Some(Ok(data)) = body.data().await {
                total += data.len();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            told.send(total).unwrap();
            sending.send_data(Bytes::from_static(b"~"), true).unwrap();
        }
    });
    sends_all_and_then_takes_all(&upstream.behind(vec![op("POST", "/a")]));
    assert_eq!(uploaded.recv_timeout(PATIENCE), Ok(VOLUME));
}
