//! Framing table: how plain hyper and the gateway each parse a client's bytes (data-plane.md §11).
//! Differences between the columns come from the gateway's own rules. If hyper's column changes
//! with a new version, review that row.
//!
//! A cell lists the result: a request as `METHOD TARGET BYTES`, a refusal as its status. Its last
//! character says that a further request is answered (`+`), that the connection is closed (`x`), or
//! that the server waits for more (`…`).

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::fixture::*;

/// Request after every row. It is parsed only if the server agrees where the row's message ends.
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
    vec![
        // RFC 9112 §3: request lines
        row("plain", line("GET /a HTTP/1.1"), "GET /a 0 +", "GET /a 0 +"),
        row(
            "empty lines before",
            format!("\r\n\r\n{}", line("GET /a HTTP/1.1")),
            "GET /a 0 +",
            "GET /a 0 +",
        ),
        row(
            "bare LF before",
            format!("\n{}", line("GET /a HTTP/1.1")),
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "LF in the request line",
            "GET /a HTTP/1.1\nhost: h\r\n\r\n",
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "LF in a field",
            "GET /a HTTP/1.1\r\nhost: h\nx: y\r\n\r\n",
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "LF at the end of the head",
            "GET /a HTTP/1.1\r\nhost: h\r\n\n",
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "CR alone in the request line",
            "GET /a HTTP/1.1\rhost: h\r\n\r\n",
            "400 x",
            "400 x",
        ),
        row(
            "CR CR LF",
            "GET /a HTTP/1.1\r\r\nhost: h\r\n\r\n",
            "400 x",
            "400 x",
        ),
        row("two spaces", line("GET  /a HTTP/1.1"), "400 x", "400 x"),
        row(
            "a tab for a space",
            line("GET\t/a HTTP/1.1"),
            "400 x",
            "400 x",
        ),
        row(
            "a space behind the version",
            line("GET /a HTTP/1.1 "),
            "400 x",
            "400 x",
        ),
        row(
            "a space before the method",
            line(" GET /a HTTP/1.1"),
            "400 x",
            "400 x",
        ),
        row(
            "a space in the target",
            line("GET /a b HTTP/1.1"),
            "400 x",
            "400 x",
        ),
        row("no target", line("GET HTTP/1.1"), "400 x", "400 x"),
        row("no version (HTTP/0.9)", "GET /a\r\n\r\n", "400 x", "400 x"),
        row(
            "version in small letters",
            line("GET /a http/1.1"),
            "400 x",
            "400 x",
        ),
        row("version 1.2", line("GET /a HTTP/1.2"), "400 x", "400 x"),
        row("version 2.0", line("GET /a HTTP/2.0"), "400 x", "400 x"),
        row("version 1.10", line("GET /a HTTP/1.10"), "400 x", "400 x"),
        row(
            "version 1.0",
            line("GET /a HTTP/1.0"),
            "GET /a 0 x",
            "GET /a 0 x",
        ),
        row(
            "1.0 keeps the connection",
            "GET /a HTTP/1.0\r\nhost: h\r\nconnection: keep-alive\r\n\r\n",
            "GET /a 0 +",
            "GET /a 0 +",
        ),
        row(
            "a method with a bracket",
            line("GE(T /a HTTP/1.1"),
            "400 x",
            "400 x",
        ),
        row(
            "a method of its own",
            line("BREW /a HTTP/1.1"),
            "BREW /a 0 +",
            "405 +",
        ),
        row(
            "a method in small letters",
            line("get /a HTTP/1.1"),
            "get /a 0 +",
            "405 +",
        ),
        row(
            "a fragment",
            line("GET /a#b HTTP/1.1"),
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "NUL in the target",
            line("GET /a\0 HTTP/1.1"),
            "400 x",
            "400 x",
        ),
        row(
            "DEL in the target",
            line("GET /a\u{7f} HTTP/1.1"),
            "400 x",
            "400 x",
        ),
        row(
            "UTF-8 in the target",
            line("GET /ä HTTP/1.1"),
            "GET /ä 0 +",
            "400 x",
        ),
        row(
            "%00 in the path",
            line("GET /a%00 HTTP/1.1"),
            "GET /a%00 0 +",
            "400 x",
        ),
        row(
            "half an escape",
            line("GET /a%2 HTTP/1.1"),
            "GET /a%2 0 +",
            "400 x",
        ),
        row(
            "no hex in an escape",
            line("GET /a%zz HTTP/1.1"),
            "GET /a%zz 0 +",
            "400 x",
        ),
        row(
            "a backslash",
            line("GET /a\\b HTTP/1.1"),
            "GET /a\\b 0 +",
            "400 x",
        ),
        row(
            "dot segments",
            line("GET /a/b/../c HTTP/1.1"),
            "GET /a/b/../c 0 +",
            "GET /a/c 0 +",
        ),
        row(
            "escaped dot segments",
            line("GET /a/%2e%2e/c HTTP/1.1"),
            "GET /a/%2e%2e/c 0 +",
            "GET /c 0 +",
        ),
        row(
            "dot segments above the root",
            line("GET /../../a HTTP/1.1"),
            "GET /../../a 0 +",
            "400 x",
        ),
        row(
            "absolute form",
            line("GET http://h/a HTTP/1.1"),
            "GET /a 0 +",
            "GET /a 0 +",
        ),
        row(
            "absolute form, another host",
            line("GET http://other/a HTTP/1.1"),
            "GET /a 0 +",
            "GET /a 0 +",
        ),
        row(
            "absolute form, ftp",
            line("GET ftp://h/a HTTP/1.1"),
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "absolute form with userinfo",
            line("GET http://u@h/a HTTP/1.1"),
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "authority form with GET",
            line("GET h:80 HTTP/1.1"),
            "GET / 0 +",
            "400 x",
        ),
        row(
            "asterisk form",
            line("OPTIONS * HTTP/1.1"),
            "OPTIONS * 0 +",
            "OPTIONS * 0 +",
        ),
        row(
            "asterisk form with GET",
            line("GET * HTTP/1.1"),
            "GET * 0 +",
            "400 x",
        ),
        row(
            "CONNECT",
            "CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n",
            "? x",
            "405 x",
        ),
        row("TRACE", line("TRACE /a HTTP/1.1"), "TRACE /a 0 +", "405 +"),
        // RFC 9112 §5: fields
        row("no host", "GET /a HTTP/1.1\r\n\r\n", "GET /a 0 +", "400 x"),
        row(
            "no host in 1.0",
            "GET /a HTTP/1.0\r\n\r\n",
            "GET /a 0 x",
            "400 x",
        ),
        row(
            "two hosts",
            "GET /a HTTP/1.1\r\nhost: h\r\nhost: h\r\n\r\n",
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "an empty host",
            "GET /a HTTP/1.1\r\nhost:\r\n\r\n",
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "a host with a comma",
            "GET /a HTTP/1.1\r\nhost: a,b\r\n\r\n",
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "a host with a path",
            "GET /a HTTP/1.1\r\nhost: h/b\r\n\r\n",
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "a host with userinfo",
            "GET /a HTTP/1.1\r\nhost: u@h\r\n\r\n",
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "port 0",
            "GET /a HTTP/1.1\r\nhost: h:0\r\n\r\n",
            "GET /a 0 +",
            "400 x",
        ),
        row(
            "port 65536",
            "GET /a HTTP/1.1\r\nhost: h:65536\r\n\r\n",
            "GET /a 0 +",
            "400 x",
        ),
        row("space before the colon", field("x : y"), "400 x", "400 x"),
        row("tab before the colon", field("x\t: y"), "400 x", "400 x"),
        row("an empty name", field(": y"), "400 x", "400 x"),
        row("no colon", field("x"), "400 x", "400 x"),
        row("a folded line", field("x: a\r\n b"), "400 x", "400 x"),
        row(
            "a folded first line",
            "GET /a HTTP/1.1\r\n host: h\r\n\r\n",
            "400 x",
            "400 x",
        ),
        row("NUL in a name", field("x\0y: a"), "400 x", "400 x"),
        row("NUL in a value", field("x: a\0b"), "400 x", "400 x"),
        row("CR in a value", field("x: a\rb"), "400 x", "400 x"),
        row("DEL in a value", field("x: a\u{7f}b"), "400 x", "400 x"),
        row(
            "a control byte in a value",
            field("x: a\u{1}b"),
            "400 x",
            "400 x",
        ),
        row(
            "a tab in a value",
            field("x: a\tb"),
            "GET /a 0 +",
            "GET /a 0 +",
        ),
        row(
            "UTF-8 in a value",
            field("x: ä"),
            "GET /a 0 +",
            "GET /a 0 +",
        ),
        row("a bracket in a name", field("x(y): a"), "400 x", "400 x"),
        row(
            "an unknown expectation",
            field("expect: miracles"),
            "GET /a 0 +",
            "417 x",
        ),
        // RFC 9112 §6.2: Content-Length
        row(
            "a length",
            post("content-length: 3\r\n", "abc"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "the same length twice",
            post("content-length: 3\r\ncontent-length: 3\r\n", "abc"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "the same length in a list",
            post("content-length: 3, 3\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "two lengths",
            post("content-length: 3\r\ncontent-length: 4\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "two lengths in a list",
            post("content-length: 3, 4\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "a length with a plus",
            post("content-length: +3\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "a length with a minus",
            post("content-length: -3\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "a hexadecimal length",
            post("content-length: 0x3\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "a length with a fraction",
            post("content-length: 3.0\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "a length with a space",
            post("content-length: 1 0\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "an empty length",
            post("content-length:\r\n", ""),
            "400 x",
            "400 x",
        ),
        row(
            "a length that overflows",
            post("content-length: 18446744073709551616\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "a length with zeros",
            post("content-length: 0003\r\n", "abc"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "a length behind a control byte",
            post("content-length: \u{b}3\r\n", "abc"),
            "400 x",
            "400 x",
        ),
        row(
            "a length with an underscore",
            post("content_length: 3\r\n", ""),
            "POST /a 0 +",
            "POST /a 0 +",
        ),
        row(
            "GET with a body",
            "GET /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc",
            "GET /a 3 +",
            "GET /a 3 +",
        ),
        row(
            "POST without a length",
            post("", ""),
            "POST /a 0 +",
            "POST /a 0 +",
        ),
        row(
            "chunked",
            chunked("3\r\nabc\r\n0\r\n\r\n"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "Chunked",
            post("transfer-encoding: Chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "a length before chunked",
            post(
                "content-length: 3\r\ntransfer-encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            "POST /a 0 x",
            "400 x",
        ),
        row(
            "a length behind chunked",
            post(
                "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
                "0\r\n\r\n",
            ),
            "POST /a 0 x",
            "400 x",
        ),
        row(
            "chunked twice in a list",
            post("transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"),
            "POST /a 0 +",
            "400 x",
        ),
        row(
            "chunked in two lines",
            post(
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            "POST /a 0 +",
            "400 x",
        ),
        row(
            "gzip, chunked",
            post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"),
            "POST /a 0 +",
            "400 x",
        ),
        row(
            "chunked, gzip",
            post("transfer-encoding: chunked, gzip\r\n", "0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "identity",
            post("transfer-encoding: identity\r\n", "0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "xchunked",
            post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "chunked in quotes",
            post("transfer-encoding: \"chunked\"\r\n", "0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "chunked behind a control byte",
            post("transfer-encoding: \u{b}chunked\r\n", "0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "chunked with a parameter",
            post("transfer-encoding: chunked;q=1\r\n", "0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "an empty coding",
            post("transfer-encoding:\r\n", "0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "chunked on a folded line",
            post("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "chunked with a space before the colon",
            post("transfer-encoding : chunked\r\n", "0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "chunked with an underscore",
            post("transfer_encoding: chunked\r\n", ""),
            "POST /a 0 +",
            "POST /a 0 +",
        ),
        row(
            "chunked in 1.0",
            "POST /a HTTP/1.0\r\nhost: h\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "400 x",
            "400 x",
        ),
        // RFC 9112 §7.1: chunks
        row(
            "capital digits",
            chunked("A\r\n0123456789\r\n0\r\n\r\n"),
            "POST /a 10 +",
            "POST /a 10 +",
        ),
        row(
            "leading zeros",
            chunked("003\r\nabc\r\n0\r\n\r\n"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "an extension",
            chunked("3;a=b\r\nabc\r\n0\r\n\r\n"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "a quoted extension",
            chunked("3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "LF behind a size",
            chunked("3\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "LF behind an extension",
            chunked("3;a\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "CR alone in an extension",
            chunked("3;a\rb\r\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "a control byte in an extension",
            chunked("3;\u{1}\r\nabc\r\n0\r\n\r\n"),
            "POST /a 3 +",
            "400 x",
        ),
        row(
            "LF behind a chunk",
            chunked("3\r\nabc\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "a chunk that is longer than said",
            chunked("3\r\nabcd\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "a chunk that is shorter than said",
            chunked("5\r\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "a size with a sign",
            chunked("+3\r\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "a size with 0x",
            chunked("0x3\r\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "a size that overflows",
            chunked("11111111111111111\r\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "a space behind a size",
            chunked("3 \r\nabc\r\n0\r\n\r\n"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "a space before a size",
            chunked(" 3\r\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "an empty size",
            chunked("\r\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "a size of no digits",
            chunked("g\r\nabc\r\n0\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "a trailer",
            chunked("3\r\nabc\r\n0\r\nx: y\r\n\r\n"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "a trailer with LF",
            chunked("3\r\nabc\r\n0\r\nx: y\n\r\n"),
            "POST /a 3 …",
            "400 x",
        ),
        row(
            "a trailer that sets a length",
            chunked("3\r\nabc\r\n0\r\ncontent-length: 5\r\n\r\n"),
            "POST /a 3 +",
            "POST /a 3 +",
        ),
        row(
            "a trailer without a colon",
            chunked("3\r\nabc\r\n0\r\nxy\r\n\r\n"),
            "400 x",
            "400 x",
        ),
        row(
            "LF at the end of the trailers",
            chunked("3\r\nabc\r\n0\r\n\n"),
            "POST /a 3 …",
            "400 x",
        ),
        row(
            "no end of the chunks",
            chunked("3\r\nabc\r\n"),
            "400 x",
            "400 x",
        ),
        // RFC 9112 §9: connections
        row(
            "close",
            field("connection: close"),
            "GET /a 0 x",
            "GET /a 0 x",
        ),
        row(
            "two requests",
            format!("{0}{0}", line("GET /a HTTP/1.1")),
            "GET /a 0 GET /a 0 +",
            "GET /a 0 GET /a 0 +",
        ),
        row(
            "an upgrade that is not served",
            field("connection: upgrade\r\nupgrade: h2c"),
            "GET /a 0 +",
            "GET /a 0 +",
        ),
        row(
            "an HTTP/2 preface",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "x",
            "400 x",
        ),
        row(
            "TLS",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}",
            "400 x",
            "400 x",
        ),
    ]
}

/// Result of a server for these bytes, as a cell of the table.
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
            // The response body may be chunked for only one of the two servers.
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

/// A server of plain hyper that answers each request with its parsed method, target and body
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

/// A gateway whose upstream answers each request with its parsed method, target and body length.
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
