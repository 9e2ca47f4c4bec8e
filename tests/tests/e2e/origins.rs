//! Tests of request smuggling (RFC 9112 §11.2) with third-party origins. Each request that the
//! gateway accepts reaches the origin as exactly one request with the same body. A refused request
//! does not reach the origin.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use e2e::binaries;
use e2e::gateway::Options;
use e2e::peers;
use e2e::project::Project;
use e2e::server::{Server, free_port};
use e2e::wait;

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: behind the gateway, version: \"1\"}
paths:
  /a/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: read, responses: {}}
    post: {operationId: write, responses: {}}
";

/// Request that the client hides in the bytes of another request. No origin may receive the hidden
/// request.
const SMUGGLED: &str = "GET /a/smuggled HTTP/1.1\r\nhost: h\r\n\r\n";
/// Text of [`SMUGGLED`] inside a body, in the notation of the origins' reports.
const SMUGGLED_REPORT: &str = r"GET /a/smuggled HTTP/1.1\x0D\x0Ahost: h\x0D\x0A\x0D\x0A";

/// Bytes that a client sends, and the request that the origin must receive. `received` is `None` if
/// the gateway must refuse the bytes.
struct Row {
    name: &'static str,
    bytes: String,
    received: Option<String>,
}

fn refused(name: &'static str, head: &str, body: &str) -> Row {
    Row {
        name,
        bytes: format!("{head}{body}{SMUGGLED}"),
        received: None,
    }
}

/// Row: the gateway must refuse a POST with these header fields.
fn fields(name: &'static str, fields: &str) -> Row {
    let head = format!("POST /a/x HTTP/1.1\r\nhost: h\r\n{fields}\r\n");
    refused(name, &head, "5\r\nhello\r\n0\r\n\r\n")
}

/// Row: the gateway must refuse a POST with these chunks.
fn chunks(name: &'static str, chunks: &str) -> Row {
    let head = "POST /a/x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    refused(name, head, chunks)
}

fn taken(name: &'static str, head: &str, body: &str, report: &str) -> Row {
    Row {
        name,
        bytes: format!("{head}\r\nhost: h\r\n{body}"),
        received: Some(report.to_owned()),
    }
}

fn rows() -> Vec<Row> {
    let post = "POST /a/x HTTP/1.1";
    let hello = "POST /a/x hello";
    let length = SMUGGLED.len();
    let smuggled_by = |method: &str| format!("{method} /a/x {SMUGGLED_REPORT}");
    vec![
        // Two contradicting lengths
        fields(
            "a length before chunked",
            "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        ),
        fields(
            "a length behind chunked",
            "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        ),
        fields("two lengths", "content-length: 0\r\ncontent-length: 60\r\n"),
        fields("two lengths in a list", "content-length: 0, 60\r\n"),
        fields(
            "chunked twice",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ),
        fields(
            "chunked and identity",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        ),
        // Transfer codings that do not exist, or that some servers accept as `chunked`
        fields("xchunked", "transfer-encoding: xchunked\r\n"),
        fields(
            "identity, chunked",
            "transfer-encoding: identity, chunked\r\n",
        ),
        fields(
            "chunked, identity",
            "transfer-encoding: chunked, identity\r\n",
        ),
        fields(
            "chunked with a parameter",
            "transfer-encoding: chunked;a=b\r\n",
        ),
        fields("chunked in quotes", "transfer-encoding: \"chunked\"\r\n"),
        fields(
            "chunked behind a control byte",
            "transfer-encoding: \u{b}chunked\r\n",
        ),
        fields("chunked behind NUL", "transfer-encoding: \0chunked\r\n"),
        fields(
            "chunked on a folded line",
            "transfer-encoding:\r\n chunked\r\n",
        ),
        fields(
            "a folded line before a length",
            "x: y\r\n z\r\ncontent-length: 5\r\n",
        ),
        fields(
            "a space before the colon",
            "transfer-encoding : chunked\r\n",
        ),
        fields("a space before the name", " transfer-encoding: chunked\r\n"),
        fields("a tab behind the name", "content-length\t: 5\r\n"),
        fields("NUL in the name", "content-length\0: 5\r\n"),
        fields("NUL in a value", "x: a\0b\r\ncontent-length: 5\r\n"),
        fields("CR alone in a value", "x: a\rcontent-length: 5\r\n"),
        fields(
            "LF alone behind a field",
            "x: a\ntransfer-encoding: chunked\r\n",
        ),
        fields("a field without a colon", "transfer-encoding\r\n"),
        fields("a second host", "host: other\r\ncontent-length: 5\r\n"),
        refused(
            "chunked in HTTP/1.0",
            "POST /a/x HTTP/1.0\r\nhost: h\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        refused(
            "a head whose lines end with LF",
            "POST /a/x HTTP/1.1\nhost: h\ncontent-length: 5\n\n",
            "hello",
        ),
        // Lengths with spellings that some servers parse as numbers
        fields("a plus", "content-length: +5\r\n"),
        fields("a minus", "content-length: -5\r\n"),
        fields("hexadecimal", "content-length: 0x5\r\n"),
        fields("a fraction", "content-length: 5.0\r\n"),
        fields("an exponent", "content-length: 5e0\r\n"),
        fields("a space in it", "content-length: 5 5\r\n"),
        fields("an underscore in it", "content-length: 5_0\r\n"),
        fields("no digits", "content-length: \r\n"),
        fields("2^64 and 5", "content-length: 18446744073709551621\r\n"),
        // Malformed chunks
        chunks("a size with a plus", "+5\r\nhello\r\n0\r\n\r\n"),
        chunks("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        chunks("a size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        chunks("a space before a size", " 5\r\nhello\r\n0\r\n\r\n"),
        chunks("an empty size", "\r\nhello\r\n0\r\n\r\n"),
        chunks(
            "2^64 and 5 bytes",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        chunks("LF alone behind a size", "5\nhello\r\n0\r\n\r\n"),
        chunks("LF alone in an extension", "5;\nhello\r\n0\r\n\r\n"),
        chunks("CR alone in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        chunks("NUL in an extension", "5;\0\r\nhello\r\n0\r\n\r\n"),
        chunks("more than was said", "5\r\nhello!\r\n0\r\n\r\n"),
        chunks("less than was said", "9\r\nhello\r\n0\r\n\r\n"),
        chunks("LF alone behind a chunk", "5\r\nhello\n0\r\n\r\n"),
        chunks(
            "an endless extension",
            &format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(70_000)),
        ),
        chunks(
            "a trailer that folds",
            "5\r\nhello\r\n0\r\nx: y\r\n content-length: 9\r\n\r\n",
        ),
        // Requests that every server reads in the same way
        taken("a length", post, "content-length: 5\r\n\r\nhello", hello),
        taken(
            "a length in other letters",
            post,
            "cOnTeNt-LeNgTh: 5\r\n\r\nhello",
            hello,
        ),
        taken(
            "a length with zeros",
            post,
            "content-length: 0005\r\n\r\nhello",
            hello,
        ),
        taken(
            "chunks in other letters",
            post,
            "tRaNsFeR-eNcOdInG: ChUnKeD\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            hello,
        ),
        taken(
            "chunks with extensions",
            post,
            "transfer-encoding: chunked\r\n\r\n2;a=\"b;c\"\r\nhe\r\n003;x\r\nllo\r\n00;z\r\n\r\n",
            hello,
        ),
        taken(
            "trailers that speak of framing",
            post,
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ncontent-length: 60\r\ntransfer-encoding: chunked\r\nhost: other\r\n\r\n",
            hello,
        ),
        taken(
            "a length that `Connection` nominates",
            post,
            &format!("connection: content-length\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"),
            &smuggled_by("POST"),
        ),
        taken(
            "a coding that `Connection` nominates",
            post,
            &format!(
                "connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
            ),
            &smuggled_by("POST"),
        ),
        taken(
            "names that are nearly a length's",
            post,
            "content_length: 60\r\ncontent-length: 5\r\ntransfer_encoding: chunked\r\n\r\nhello",
            hello,
        ),
        taken(
            "GET with a body",
            "GET /a/x HTTP/1.1",
            &format!("content-length: {length}\r\n\r\n{SMUGGLED}"),
            &smuggled_by("GET"),
        ),
        taken(
            "GET in chunks",
            "GET /a/x HTTP/1.1",
            &format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            &smuggled_by("GET"),
        ),
        taken(
            "an upgrade with a body",
            post,
            &format!(
                "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"
            ),
            &smuggled_by("POST"),
        ),
    ]
}

/// Third-party server that reports each complete request that it receives.
struct Origin {
    port: u16,
    log: Reports,
    _server: Server,
    _folder: Option<Project>,
}

enum Reports {
    Lines(Arc<Mutex<Vec<String>>>),
    File(PathBuf),
}

impl Origin {
    /// Starts a script that prints its port, and then one line for each complete request.
    fn script(program: &str, script: &str) -> Option<Self> {
        Self::announced(Command::new(program).arg(peer(script)), |line| {
            Some(line.to_owned())
        })
    }

    /// Starts a program that prints its port, and then one line for each complete request, which
    /// `report` converts.
    fn announced(command: &mut Command, report: fn(&str) -> Option<String>) -> Option<Self> {
        let mut child = Self::spawn(command)?;
        let mut lines = BufReader::new(child.0.stdout.take().expect("piped")).lines();
        let port = lines.next()?.ok()?.parse().ok()?;
        Some(Self::reporting(port, child, lines, report))
    }

    fn spawn(command: &mut Command) -> Option<Server> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).spawn().ok().map(Server)
    }

    /// Server whose lines are reports. `report` converts a line; it returns `None` for a line that
    /// is no report.
    fn reporting(
        port: u16,
        server: Server,
        lines: Lines<BufReader<ChildStdout>>,
        report: fn(&str) -> Option<String>,
    ) -> Self {
        let reports = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&reports);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter_map(|line| report(&line)) {
                log.lock().expect("not poisoned").push(line);
            }
        });
        Self {
            port,
            log: Reports::Lines(reports),
            _server: server,
            _folder: None,
        }
    }

    fn tomcat() -> Option<Self> {
        let folder = Project::new();
        let mut java = Command::new("java");
        let java = java.arg("-cp").arg(peers::tomcat()?);
        let java = java.arg(peer("TomcatOrigin.java")).arg(folder.root());
        let mut origin = Self::announced(java, of_hex)?;
        origin._folder = Some(folder);
        Some(origin)
    }

    /// Starts HAProxy, which responds once it has the complete body and logs the body in
    /// hexadecimal digits. It runs one thread: of two threads that write to standard output at the
    /// same time, HAProxy drops the line of one (`fd_write_frag_line`).
    fn haproxy() -> Option<Self> {
        let (folder, port) = (Project::new(), free_port());
        let config = format!(
            "global\n nbthread 1\n log stdout format raw local0\n\
             defaults\n mode http\n timeout client 10s\n timeout http-request 10s\n log global\n\
             frontend requests\n bind 127.0.0.1:{port}\n \
             log-format \"%ST %HM %HU %[var(txn.body)]\"\n \
             http-request wait-for-body time 10s\n \
             http-request set-var(txn.body) req.body,hex\n \
             http-request return status 200 content-type text/plain string ok\n"
        );
        folder.write("haproxy.cfg", &config);
        let mut haproxy = Command::new("haproxy");
        let mut server = Self::spawn(haproxy.arg("-f").arg(folder.path("haproxy.cfg")))?;
        let lines = BufReader::new(server.0.stdout.take().expect("piped")).lines();
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        wait::within(wait::WAIT_MAX, || listens().then_some(()));
        let mut origin = Self::reporting(port, server, lines, of_hex);
        origin._folder = Some(folder);
        Some(origin)
    }

    /// Starts NGINX as a proxy in front of itself. NGINX then logs only requests with a complete
    /// body.
    fn nginx() -> Option<Self> {
        let folder = Project::new();
        let port = free_port();
        let (inner, log) = (folder.path("inner"), folder.path("requests"));
        let server = format!(
            "listen unix:{inner}; return 200 ok; }}\n\
             map $status $fine {{ 200 1; default 0; }}\n\
             log_format requests '$request_method $request_uri $request_body';\n\
             server {{ listen 127.0.0.1:{port}; access_log {log} requests if=$fine; \
             client_body_buffer_size 256k; client_body_in_single_buffer on; \
             location / {{ proxy_pass http://unix:{inner}; }}",
            inner = inner.display(),
            log = log.display(),
        );
        let server = Server::nginx(folder.root(), port, &server)?;
        Some(Self {
            port,
            log: Reports::File(log),
            _server: server,
            _folder: Some(folder),
        })
    }

    /// Reads the requests that the server has reported.
    fn reports(&self) -> Vec<String> {
        match &self.log {
            Reports::Lines(lines) => lines.lock().expect("not poisoned").clone(),
            Reports::File(path) => {
                let text = std::fs::read_to_string(path).unwrap_or_default();
                text.lines().map(str::to_owned).collect()
            }
        }
    }
}

fn peer(file: &str) -> PathBuf {
    binaries::workspace().join("tests/peers").join(file)
}

/// Converts a line with the body in hexadecimal digits, `STATUS METHOD PATH HEX`. `None` for
/// another status than 200.
fn of_hex(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (status, method, path) = (words.next()?, words.next()?, words.next()?);
    let hex = words.next().filter(|hex| *hex != "-").unwrap_or_default();
    let body = hex.as_bytes().chunks(2).map(|digits| {
        let digits = std::str::from_utf8(digits).expect("hexadecimal digits");
        let byte = u8::from_str_radix(digits, 16).expect("hexadecimal digits");
        match byte {
            0x20..0x7F if !matches!(byte, b'"' | b'\\') => char::from(byte).to_string(),
            _ => format!("\\x{byte:02X}"),
        }
    });
    let body = body.collect::<String>();
    let body = if body.is_empty() { "-" } else { &body };
    (status == "200").then(|| format!("{method} {path} {body}"))
}

/// Sends raw bytes. Returns the status of the response.
fn status(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the gateway listens");
    let timeout = Some(wait::WAIT_MAX);
    stream.set_read_timeout(timeout).expect("a socket");
    let _refused_meanwhile = stream.write_all(bytes.as_bytes());
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).expect("an answer");
    String::from_utf8_lossy(&begin[9..]).into_owned()
}

fn each_row_arrives_as_it_was_read_or_not_at_all(origin: &Origin) {
    let project = Project::with(
        &format!(
            "version: 1\nname: smuggling\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:0\"}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:{}\"}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n",
            origin.port
        ),
        DOCUMENT,
    );
    project.keygen();
    project.apply();
    // Use one worker, so that bytes left on an origin connection would affect the next request.
    let gwd = Options::of(&project).workers(1).start();
    let mut expected = Vec::new();
    for (nth, row) in rows().iter().enumerate() {
        let name = row.name;
        let wanted = if row.received.is_some() { "200" } else { "400" };
        assert_eq!(status(gwd.address(), &row.bytes), wanted, "{name}");
        expected.extend(row.received.clone());
        let next = format!("GET /a/next-{nth} HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(status(gwd.address(), &next), "200", "behind {name}");
        expected.push(format!("GET /a/next-{nth} -"));
        wait::until(name, || {
            (origin.reports().len() >= expected.len()).then_some(())
        });
        assert_eq!(origin.reports(), expected, "{name}");
    }
    gwd.stops_clean();
    assert_eq!(origin.reports(), expected);
}

#[test]
fn to_nginx() {
    match Origin::nginx() {
        Some(origin) => each_row_arrives_as_it_was_read_or_not_at_all(&origin),
        None => prerequisite::skip("there is no nginx"),
    }
}

#[test]
fn to_a_lenient_node() {
    match Origin::script("node", "node_origin.js") {
        Some(origin) => each_row_arrives_as_it_was_read_or_not_at_all(&origin),
        None => prerequisite::skip("there is no node"),
    }
}

#[test]
fn to_a_careless_python() {
    match Origin::script("python3", "python_origin.py") {
        Some(origin) => each_row_arrives_as_it_was_read_or_not_at_all(&origin),
        None => prerequisite::skip("there is no python3"),
    }
}

#[test]
fn to_haproxy() {
    match Origin::haproxy() {
        Some(origin) => each_row_arrives_as_it_was_read_or_not_at_all(&origin),
        None => prerequisite::skip("there is no haproxy"),
    }
}

#[test]
fn to_tomcat() {
    match Origin::tomcat() {
        Some(origin) => each_row_arrives_as_it_was_read_or_not_at_all(&origin),
        None => prerequisite::skip("there is no Tomcat"),
    }
}

#[test]
fn to_the_server_of_the_jdk() {
    let mut java = Command::new("java");
    match Origin::announced(java.arg(peer("JdkOrigin.java")), of_hex) {
        Some(origin) => each_row_arrives_as_it_was_read_or_not_at_all(&origin),
        None => prerequisite::skip("there is no java"),
    }
}
