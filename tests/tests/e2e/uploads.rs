//! Tests of uploads that are longer than the bodies which `validate` checks: what is checked, and
//! how much memory they need.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::wait;

const PIECE: usize = 1 << 20;
const MIB: u64 = 1 << 20;

/// Starts an upstream that counts the bytes of bodies and does not keep them. Returns its URL, and
/// the lengths of the received bodies.
fn counter() -> (String, Receiver<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (counted, lengths) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, counted) = (stream.expect("a connection"), counted.clone());
            std::thread::spawn(move || count(stream, &counted));
        }
    });
    (format!("http://{address}"), lengths)
}

/// Answers each request of a connection after the last byte of its body.
fn count(mut stream: TcpStream, counted: &Sender<u64>) {
    let mut buffer = vec![0; PIECE];
    loop {
        let mut head = Vec::new();
        let end = loop {
            match stream.read(&mut buffer) {
                Ok(length @ 1..) => head.extend_from_slice(&buffer[..length]),
                _ => return,
            }
            let mut at = head.windows(4);
            if let Some(end) = at.position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = String::from_utf8_lossy(&head[..end]).to_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<u64>().ok());
        let length = length.expect("a length");
        let mut received = (head.len() - end) as u64;
        while received < length {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => received += read as u64,
                _ => return,
            }
        }
        let _sent = counted.send(received);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// Starts a gateway that validates uploads with this `max_body`.
fn start(upstream: &str, max_body: &str) -> Gateway {
    let document = format!(
        "openapi: 3.1.0
info: {{title: uploads, version: \"1\"}}
paths:
  /files:
    post:
      operationId: upload
      x-gateway: {{max_body: {max_body}}}
      parameters: [{{in: query, name: n, schema: {{type: integer}}}}]
      requestBody:
        required: true
        content:
          multipart/form-data: {{schema: {{type: object, properties: {{count: {{type: integer}}, file: {{type: string}}}}}}}}
      responses: {{\"200\": {{description: ok}}}}
"
    );
    let gateway = format!(
        "version: 1\nname: uploads\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"{upstream}\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream, validate: {{request: block}}}}\n"
    );
    let project = Project::with(&gateway, &document);
    project.keygen();
    project.apply();
    Options::of(&project).start()
}

/// First part, whose value the schema does not allow, and the beginning of a file.
const INVALID: &str = "--x\r\ncontent-disposition: form-data; name=\"count\"\r\n\r\nmany\r\n\
                       --x\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n";
const END: &str = "\r\n--x--\r\n";
const FORM: &str = "multipart/form-data; boundary=x";

/// Sends a head, and a body with [`INVALID`] and this many bytes of a file. Returns the status, and
/// the response's text.
fn upload(gwd: &Gateway, query: &str, media_type: &str, file: u64) -> (u16, String) {
    let length = INVALID.len() as u64 + file + END.len() as u64;
    let head = format!(
        "POST /files{query} HTTP/1.1\r\nhost: h\r\ncontent-type: {media_type}\r\n\
         content-length: {length}\r\n\r\n{INVALID}"
    );
    let mut connection = gwd.connect();
    let mut is_open = connection.send(head.as_bytes()).is_ok();
    let piece = vec![b'a'; PIECE];
    let mut left = file;
    // gwd may respond and close the connection before the end of the body.
    while is_open && left > 0 {
        let next = left.min(PIECE as u64);
        is_open = connection.send(&piece[..next as usize]).is_ok();
        left -= next;
    }
    let _sent = connection.send(END.as_bytes());
    let response = connection.read_response(false).expect("a response");
    (response.status, response.text())
}

fn unchecked(gwd: &Gateway) -> f64 {
    let labels = ["kind=\"validate\"", "outcome=\"unchecked\""];
    gwd.metrics().sum("gwd_policy_calls_total", &labels)
}

/// A multipart body of more than 8 MiB is streamed if `max_body` allows it. Its parameters and its
/// media type are checked, its parts are not. The memory of gwd does not depend on its length.
#[test]
fn long_upload_is_streamed_in_flat_memory() {
    let (mebibytes, max_body) = match prerequisite::is_full() {
        true => (2_048, "3GiB"),
        false => (64, "96MiB"),
    };
    let (upstream, lengths) = counter();
    let gwd = start(&upstream, max_body);
    let short = wait::until("a compiled validator", || {
        let (status, text) = upload(&gwd, "", FORM, 100);
        (!text.contains("validator_unavailable")).then_some((status, text))
    });
    assert_eq!(short.0, 400, "{}", short.1);
    assert!(short.1.contains("\"pointer\":\"#/count\""), "{}", short.1);
    let refused = upload(&gwd, "?n=x", FORM, 20 * MIB);
    assert_eq!(refused.0, 400, "{}", refused.1);
    assert!(refused.1.contains("\"name\":\"n\""), "{}", refused.1);
    let refused = upload(&gwd, "", "text/csv", 20 * MIB);
    assert_eq!(refused.0, 415, "{}", refused.1);
    assert_eq!(unchecked(&gwd), 0.0);
    assert!(lengths.try_recv().is_err(), "the upstream got no request");
    // An upload that is just longer than the bodies that are checked needs the same memory.
    let passed = upload(&gwd, "?n=1", FORM, 9 * MIB);
    assert_eq!(passed.0, 200, "{}", passed.1);
    let before = gwd.peak_memory_bytes();
    let file = mebibytes * MIB;
    let passed = upload(&gwd, "?n=1", FORM, file);
    assert_eq!(passed.0, 200, "{}", passed.1);
    let grown = gwd.peak_memory_bytes() - before;
    assert!(grown < 16 * MIB, "{grown} bytes for {mebibytes} MiB");
    assert_eq!(unchecked(&gwd), 2.0);
    let timeout = Duration::from_secs(20);
    let received = [(); 2].map(|()| lengths.recv_timeout(timeout).expect("a body"));
    let framing = (INVALID.len() + END.len()) as u64;
    assert_eq!(received, [9 * MIB + framing, file + framing]);
    // `max_body` applies to uploads that are streamed, too.
    let refused = upload(&gwd, "?n=1", FORM, 2 * file);
    assert_eq!(refused.0, 413, "{}", refused.1);
    gwd.stops_clean();
}
