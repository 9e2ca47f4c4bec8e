//! Framing table: how plain hyper and the gateway each parse a client's bytes (data-plane.md §11).
//! Differences between the columns come from the gateway's own rules. If hyper's column changes
//! with a new version, review that row.
//!
//! A cell contains the result: a request as `METHOD TARGET BYTES`, a refusal as its status. The
//! cell's last character says that a further request is answered (`+`), that the connection is
//! closed (`x`), or that the server waits for more bytes (`…`).

mod bodies;
mod heads;

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::fixture::*;

/// Request that is sent after every row. The server parses this request only if it finds the end of
/// the row's message where the test expects it.
const NEXT: &str = "GET /next HTTP/1.1\r\nhost: h\r\n\r\n";
/// Maximum wait for a response before the row counts as waiting.
const WAIT: Duration = Duration::from_millis(500);

struct Row {
    name: &'static str,
    bytes: String,
    hyper: &'static str,
    gwd: &'static str,
}

fn row(
    name: &'static str,
    bytes: impl Into<String>,
    hyper: &'static str,
    gwd: &'static str,
) -> Row {
    Row {
        name,
        bytes: bytes.into(),
        hyper,
        gwd,
    }
}

/// A POST request with these fields after `host`, and this body.
fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nhost: h\r\n{fields}\r\n{body}")
}

fn line(line: &str) -> String {
    format!("{line}\r\nhost: h\r\n\r\n")
}

fn field(field: &str) -> String {
    format!("GET /a HTTP/1.1\r\nhost: h\r\n{field}\r\n\r\n")
}

fn chunked(body: &str) -> String {
    post("transfer-encoding: chunked\r\n", body)
}

fn rows() -> Vec<Row> {
    [heads::rows(), bodies::rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// Sends these bytes to a server and returns the result as a cell of the table.
pub(crate) fn understood(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    let _closed = stream.write_all(bytes.as_bytes());
    let _closed = stream.write_all(NEXT.as_bytes());
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        let text = String::from_utf8_lossy(&got);
        if text.ends_with("GET /next 0\n") {
            break "+";
        }
        match stream.read(&mut buffer) {
            Ok(0) => break "x",
            Ok(read) => got.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break "…",
            Err(_) => break "x",
        }
    };
    let text = String::from_utf8_lossy(&got).into_owned();
    let mut cells = Vec::new();
    for answer in text.split("HTTP/1.").skip(1) {
        let status = answer.get(2..5).unwrap_or("?");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        if status == "200" {
            // One of the two servers may send a chunked body: find the line with the request
            // between the chunk-size lines.
            let request = body
                .lines()
                .find(|line| line.contains('/') || line.contains('*'));
            cells.push(request.unwrap_or("?").to_owned());
        } else if status != "100" {
            cells.push(status.to_owned());
        }
    }
    if end == "+" {
        cells.pop();
    }
    cells.push(end.to_owned());
    cells.join(" ")
}

/// Starts a server of plain hyper that answers each request with its parsed method, target and body
/// length.
pub(crate) fn hyper_alone() -> SocketAddr {
    use http_body_util::{BodyExt as _, Full};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let service = hyper::service::service_fn(
                    |request: http::Request<hyper::body::Incoming>| async move {
                        let (parts, body) = request.into_parts();
                        let Ok(body) = body.collect().await else {
                            let mut gone = http::Response::new(Full::new(bytes::Bytes::new()));
                            *gone.status_mut() = http::StatusCode::BAD_REQUEST;
                            return Ok::<_, Infallible>(gone);
                        };
                        let length = body.to_bytes().len();
                        let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                        let text = format!("{} {target} {length}\n", parts.method);
                        Ok(http::Response::new(Full::new(bytes::Bytes::from(text))))
                    },
                );
                let stream = hyper_util::rt::TokioIo::new(stream);
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
                tokio::spawn(serving);
            }
        });
    });
    address
}

/// Starts a gateway whose upstream answers each request with its parsed method, target and body
/// length.
pub(crate) fn telling() -> (Upstream, Served) {
    let upstream = Upstream::start(|seen, stream| {
        let line = seen.line().trim_end_matches(" HTTP/1.1").to_owned();
        let body = format!("{line} {}\n", seen.body.len());
        say(
            stream,
            &format!("content-length: {}\r\n", body.len()),
            &body,
        );
        Then::Keep
    });
    let mut ops = vec![op("GET", "/").prefix(), op("POST", "/").prefix()];
    ops.push(op("OPTIONS", "/").prefix());
    let served = shop(upstream.address, ops).serve();
    (upstream, served)
}

#[test]
fn row_is_parsed_as_listed_by_hyper_and_the_gateway() {
    let (_upstream, served) = telling();
    let (hyper, gateway) = (hyper_alone(), served.address);
    let rows = rows();
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let pieces: Vec<_> = rows
            .chunks(rows.len().div_ceil(8))
            .map(|rows| {
                scope.spawn(move || {
                    let mut wrong = Vec::new();
                    for row in rows {
                        let hyper = understood(hyper, &row.bytes);
                        let gwd = understood(gateway, &row.bytes);
                        if (&*hyper, &*gwd) != (row.hyper, row.gwd) {
                            wrong.push(format!("{:40} {hyper:?}, {gwd:?}", row.name));
                        }
                    }
                    wrong
                })
            })
            .collect();
        for piece in pieces {
            wrong.extend(piece.join().unwrap());
        }
    });
    assert!(
        wrong.is_empty(),
        "{}\n{} rows",
        wrong.join("\n"),
        rows.len()
    );
}
