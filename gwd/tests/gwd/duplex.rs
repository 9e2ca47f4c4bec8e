//! Exchanges in which request and response bodies are transferred at the same time.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;

use bytes::Bytes;

use crate::client_groups::bare_upstream;
use crate::fixture::*;
use crate::http2::{Http2, to};
use crate::http2_upstream::{Http2Upstream, ReceivedRequest};

/// Bytes sent in each direction over HTTP/1, more than all sockets and buffers on the path hold.
/// HTTP/2 windows hold less.
const OF_HTTP1: usize = 24 << 20;
const OF_HTTP2: usize = 4 << 20;

/// A gateway with a service that reads and answers at the same time, and ends its response when it
/// has read the whole request.
struct Duplex {
    shop: Shop,
    uploaded: mpsc::Receiver<usize>,
    _server: Option<Http2Upstream>,
}

impl Duplex {
    fn over_http1(volume: usize) -> Self {
        let (sender, uploaded) = mpsc::channel();
        let address = bare_upstream(move |mut stream| {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let mut reading = stream.try_clone().unwrap();
            let upload = std::thread::spawn(move || {
                let mut body = vec![0; volume];
                reading.read_exact(&mut body).map_or(0, |()| volume)
            });
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {volume}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let _gone = stream.write_all(&vec![b'~'; volume - 1]);
            // Report before the end of the response, because that end also ends the upload.
            sender.send(upload.join().unwrap()).unwrap();
            let _gone = stream.write_all(b"~");
        });
        let mut shop = shop(address, vec![op("POST", "/a")]);
        shop.listener.http2 = true;
        Self {
            shop,
            uploaded,
            _server: None,
        }
    }

    fn over_http2(volume: usize) -> Self {
        let (sender, uploaded) = mpsc::channel();
        let upstream = Http2Upstream::start(move |_, exchange: ReceivedRequest| {
            let sender = sender.clone();
            async move {
                let (request, mut respond) = exchange;
                let mut body = request.into_body();
                let head = http::Response::new(());
                let mut sending = respond.send_response(head, false).unwrap();
                let most = Bytes::from(vec![b'~'; volume - 1]);
                sending.send_data(most, false).unwrap();
                let mut total = 0;
                while let Some(Ok(data)) = body.data().await {
                    total += data.len();
                    body.flow_control().release_capacity(data.len()).unwrap();
                }
                sender.send(total).unwrap();
                let _gone = sending.send_data(Bytes::from_static(b"~"), true);
            }
        });
        Self {
            shop: upstream.behind(vec![op("POST", "/a")]),
            uploaded,
            _server: Some(upstream),
        }
    }

    fn was_uploaded(&self, volume: usize) {
        assert_eq!(self.uploaded.recv_timeout(WAIT_MAX), Ok(volume));
    }
}

#[test]
fn a_client_may_send_all_before_it_takes_anything() {
    for duplex in [Duplex::over_http1(OF_HTTP1), Duplex::over_http2(OF_HTTP1)] {
        let served = duplex.shop.serve();
        let mut stream = TcpStream::connect(served.address).unwrap();
        stream.set_write_timeout(Some(WAIT_MAX)).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let head = format!(
            "POST /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {OF_HTTP1}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
            .write_all(&vec![b'u'; OF_HTTP1])
            .expect("the upload goes on though the response waits");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
        let downloaded = answer.iter().filter(|byte| **byte == b'~').count();
        assert_eq!(downloaded, OF_HTTP1);
        duplex.was_uploaded(OF_HTTP1);
    }
}

#[test]
fn http2_client_may_send_all_before_it_reads() {
    for duplex in [Duplex::over_http1(OF_HTTP2), Duplex::over_http2(OF_HTTP2)] {
        let served = duplex.shop.serve();
        let mut client = Http2::connect(served.address);
        // This client reads the response only after it has sent everything. Its window is closed
        // until then.
        let body = Bytes::from(vec![b'u'; OF_HTTP2]);
        let mut request = to("POST", "/a");
        let length = OF_HTTP2.to_string().parse().unwrap();
        request.headers_mut().insert("content-length", length);
        let begun = client.begin(request, Some(body));
        let whole = client.end(begun).unwrap();
        assert_eq!(
            (whole.head.status().as_u16(), whole.body.len()),
            (200, OF_HTTP2)
        );
        duplex.was_uploaded(OF_HTTP2);
    }
}
