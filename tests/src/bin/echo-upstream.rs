//! Demo service behind a gateway: it responds to every request with a description of the request.
//! It uses only the standard library, so that the demo has no further dependencies.
//!
//! `echo-upstream ADDRESS` prints `listening on ADDRESS` (with the actual port) and serves until it
//! is killed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;

/// Maximum length of a line in a request head, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Maximum number of lines in a request head.
const LINES_MAX: usize = 256;

/// Received request.
struct Request {
    method: String,
    target: String,
    host: String,
    body_bytes: u64,
    close: bool,
}

fn main() -> ExitCode {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    match serve(&address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "echo-upstream: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let mut out = io::stdout();
    writeln!(out, "listening on {}", listener.local_addr()?)?;
    out.flush()?;
    // Ignore connections that fail while they are accepted.
    for stream in listener.incoming().flatten() {
        thread::spawn(move || drop(converse(&stream)));
    }
    Ok(())
}

fn converse(stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read(&mut reader)? {
        io::copy(&mut (&mut reader).take(request.body_bytes), &mut io::sink())?;
        let body = format!(
            "{{\"method\": \"{}\", \"target\": \"{}\", \"host\": \"{}\", \"body_bytes\": {}}}\n",
            escaped(&request.method),
            escaped(&request.target),
            escaped(&request.host),
            request.body_bytes
        );
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        writer.write_all(answer.as_bytes())?;
        if request.method != "HEAD" {
            writer.write_all(body.as_bytes())?;
        }
        if request.close {
            break;
        }
    }
    Ok(())
}

/// Reads a request head. `None` if the connection has ended.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    reader.take(LINE_BYTES_MAX).read_line(&mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let mut parts = line.split_whitespace();
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else {
        return Err(bad("no request line"));
    };
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        host: String::new(),
        body_bytes: 0,
        close: false,
    };
    for _ in 0..LINES_MAX {
        let mut line = String::new();
        reader.take(LINE_BYTES_MAX).read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(request));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("no field"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "host" => value.clone_into(&mut request.host),
            "content-length" => {
                request.body_bytes = value.parse().map_err(|_| bad("no length"))?;
            }
            "connection" => request.close = value.eq_ignore_ascii_case("close"),
            "transfer-encoding" => return Err(bad("chunks are not read here")),
            _ => {}
        }
    }
    Err(bad("too many fields"))
}

/// Escapes text for a JSON string. Control characters are replaced by `?`.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            c if c.is_control() => vec!['?'],
            c => vec![c],
        })
        .collect()
}
