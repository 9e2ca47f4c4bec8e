//! A small shop behind a gateway: an upstream that does what a test says, a client that sends
//! what a test writes, and the gateway's meaning in between.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bundle::digest::Digest;
use bundle::ir;
use gwd::node::{AccessLog, Node, Settings, Version};
use policy::auth::{self, Place};
use policy::{Form, SecretCell, SecretRef, SecretUnavailable, Secrets, StateId};

/// Nothing here takes this long; a test that waits fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

// === the upstream

/// A request as the upstream got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Which connection, counted from 0.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The values of a field, as they came.
    pub(crate) fn field(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }
}

fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close,
}

/// A server whose answers a test writes.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// `answer` gets each request and writes to the connection.
    pub(crate) fn start(
        answer: impl Fn(&Seen, &mut TcpStream) -> Then + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(answer);
        let (log, count) = (Arc::clone(&seen), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                stream.set_nodelay(true).unwrap();
                let connection = count.fetch_add(1, Ordering::SeqCst);
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(head) = read_head(&mut reader) {
                        if !fields(&head, "expect").is_empty() {
                            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
                        }
                        let body = read_body(&head, &mut reader);
                        let request = Seen {
                            head,
                            body,
                            connection,
                        };
                        log.lock().unwrap().push(request.clone());
                        if answer(&request, &mut stream) == Then::Close {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            address,
            seen,
            connections,
        }
    }

    /// Answers everything with 200 and this body.
    pub(crate) fn saying(body: &'static str) -> Self {
        Self::start(move |_, stream| {
            say(stream, &format!("content-length: {}\r\n", body.len()), body);
            Then::Keep
        })
    }

    /// Answers with the request's head and body.
    pub(crate) fn echoing() -> Self {
        Self::start(|seen, stream| {
            let body = format!("{}\n{}", seen.head, String::from_utf8_lossy(&seen.body));
            say(
                stream,
                &format!("content-length: {}\r\n", body.len()),
                &body,
            );
            Then::Keep
        })
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The one request that came.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }
}

pub(crate) fn say(stream: &mut TcpStream, fields: &str, body: &str) {
    let _gone = stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}").as_bytes());
}

fn read_head(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            return Some(head);
        }
        head.push_str(&line);
    }
}

fn read_body(head: &str, reader: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut body = Vec::new();
    if let [length] = fields(head, "content-length")[..] {
        let _broken = reader.take(length.parse().unwrap()).read_to_end(&mut body);
    } else if !fields(head, "transfer-encoding").is_empty() {
        loop {
            let mut size = String::new();
            if reader.read_line(&mut size).unwrap_or(0) == 0 {
                break;
            }
            let size = u64::from_str_radix(size.trim(), 16).unwrap();
            let _broken = reader.take(size).read_to_end(&mut body);
            let mut end = String::new();
            let _broken = reader.read_line(&mut end);
            if size == 0 {
                break;
            }
        }
    }
    body
}

// === the client

/// A raw connection to the gateway.
pub(crate) struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

/// A response as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    pub(crate) fn send(&mut self, text: &str) {
        // The gateway may have closed already: what it said is read all the same.
        let _closed = self.stream.write_all(text.as_bytes());
    }

    /// The head of the next response.
    pub(crate) fn head(&mut self) -> String {
        read_head(&mut self.reader).expect("a response")
    }

    /// The next response whole; `1xx` are passed over.
    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        let head = self.head();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        if (100..200).contains(&status) {
            return self.answer_to(method);
        }
        let mut body = Vec::new();
        if method == "HEAD" || status == 204 || status == 304 {
        } else if fields(&head, "content-length").is_empty()
            && fields(&head, "transfer-encoding").is_empty()
        {
            let _reset = self.reader.read_to_end(&mut body);
        } else {
            body = read_body(&head, &mut self.reader);
        }
        Answer { status, head, body }
    }

    /// Whatever comes until the gateway closes.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _reset = self.reader.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// A head, or whatever came before the gateway closed.
    pub(crate) fn rest_or_head(&mut self) -> String {
        read_head(&mut self.reader).unwrap_or_default()
    }

    /// So many bytes, whatever they are.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The same connection, to write to.
    pub(crate) fn another(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// So many bytes.
    pub(crate) fn some(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) fn closed(&mut self) -> bool {
        self.rest().is_empty()
    }
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The code of a problem document, after everything about it was checked.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.field("content-type"), ["application/problem+json"]);
        let problem = self.json();
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(problem["type"], format!("urn:gwd:problem:{code}"));
        assert_eq!(problem["status"], self.status);
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        if let [id] = self.field("x-request-id")[..] {
            assert_eq!(problem["request_id"], id);
            assert_eq!(problem["instance"], format!("urn:request-id:{id}"));
        }
        let [proxy_status] = self.field("proxy-status")[..] else {
            panic!("{self:?}")
        };
        assert!(proxy_status.starts_with("gwd; error="), "{proxy_status}");
        code
    }
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    fetch(address, "GET", path, "")
}

pub(crate) fn fetch(address: SocketAddr, method: &str, path: &str, fields: &str) -> Answer {
    let mut client = Client::connect(address);
    client.send(&format!(
        "{method} {path} HTTP/1.1\r\nhost: shop.example\r\n{fields}\r\n"
    ));
    client.answer_to(method)
}

// === the gateway's meaning

/// One operation of the shop.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) upstream: &'static str,
    pub(crate) chain: Vec<ir::Link>,
    pub(crate) security: ir::Security,
    pub(crate) timeout_ms: u64,
    pub(crate) max_body_bytes: Option<u64>,
    pub(crate) prefix: bool,
    pub(crate) forwarding: ir::Forwarding,
    pub(crate) retries: Option<policy::traffic::retry::Checked>,
}

pub(crate) fn op(method: &'static str, path: &'static str) -> Op {
    Op {
        method,
        path,
        upstream: "main",
        chain: Vec::new(),
        security: ir::Security::default(),
        timeout_ms: 15_000,
        max_body_bytes: None,
        prefix: false,
        forwarding: ir::Forwarding::default(),
        retries: None,
    }
}

impl Op {
    pub(crate) fn upstream(mut self, name: &'static str) -> Self {
        self.upstream = name;
        self
    }

    pub(crate) fn policy(mut self, name: &str) -> Self {
        self.chain.push(ir::Link::Shared(name.to_owned()));
        self
    }

    /// Needs a credential of a scheme of the shop: `key`, `query` or `basic`.
    pub(crate) fn secured(mut self, scheme: &str) -> Self {
        self.security = ir::Security(vec![ir::Alternative(vec![ir::SchemeUse {
            scheme: scheme.to_owned(),
            scopes: Vec::new(),
        }])]);
        self.chain.push(ir::Link::Authenticate);
        self
    }

    pub(crate) fn websocket(mut self) -> Self {
        self.forwarding.websocket = true;
        self
    }

    pub(crate) fn prefix(mut self) -> Self {
        self.prefix = true;
        self
    }
}

/// A gateway in the making; every part can be changed before [`Shop::gateway`].
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) listener: ir::Listener,
    pub(crate) more_listeners: Vec<ir::Listener>,
    pub(crate) upstreams: Vec<ir::Upstream>,
    pub(crate) policies: Vec<ir::Policy>,
    pub(crate) ops: Vec<Op>,
    pub(crate) mount: ir::Mount,
    pub(crate) expose_bundle: bool,
}

pub(crate) fn shop(upstream: SocketAddr, ops: Vec<Op>) -> Shop {
    Shop {
        listener: listener("public", "127.0.0.1:0"),
        more_listeners: Vec::new(),
        upstreams: vec![service("main", &[upstream])],
        policies: Vec::new(),
        ops,
        mount: ir::Mount {
            name: "shop".into(),
            hosts: Vec::new(),
            base_path: String::new(),
            strip_base_path: false,
            listeners: vec!["public".into()],
        },
        expose_bundle: false,
    }
}

pub(crate) fn listener(name: &str, address: &str) -> ir::Listener {
    ir::Listener {
        name: name.into(),
        address: address.into(),
        protocol: ir::Protocol::Http,
        limits: ir::ListenerLimits {
            connections: 10_000,
            header_bytes: 65_536,
            headers: 100,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 60_000,
            target_bytes: 16_384,
        },
        trusted_proxies: Vec::new(),
        http2: false,
        declared: policy::declared::Settings::default(),
    }
}

pub(crate) fn service(name: &str, targets: &[SocketAddr]) -> ir::Upstream {
    let targets = targets.iter().map(|target| ir::Target {
        name: target.to_string(),
        host: target.ip().to_string(),
        port: target.port(),
        path: String::new(),
        weight: 1,
        zone: None,
    });
    ir::Upstream {
        name: name.into(),
        state: state(name),
        targets: ir::Set::new(targets.collect()).unwrap(),
        connect_timeout_ms: 2_000,
        idle_timeout_ms: 30_000,
        host_header: ir::HostHeader::Preserve,
        balance: policy::upstream::Balance::default(),
        health: policy::upstream::Health::default(),
        retries: None,
        circuit_breaker: None,
        limits: policy::upstream::Limits::default(),
        protocol: ir::UpstreamProtocol::default(),
        declared: policy::declared::Settings::default(),
    }
}

fn state(name: &str) -> StateId {
    let digest = Digest::of(name.as_bytes());
    StateId(u64::from_le_bytes(
        digest.as_bytes()[..8].try_into().unwrap(),
    ))
}

/// `count` per minute, all at once; keyed by the client's address.
pub(crate) fn rate_limit(name: &str, count: u64) -> ir::Policy {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().u8(1).unwrap().array(1).unwrap();
    e.map(4).unwrap();
    e.u8(0).unwrap().u64(count).unwrap();
    e.u8(1).unwrap().u64(60_000).unwrap();
    e.u8(2).unwrap().u64(count).unwrap();
    e.u8(3)
        .unwrap()
        .array(2)
        .unwrap()
        .u8(1)
        .unwrap()
        .array(0)
        .unwrap();
    encoded(name, &e.into_writer())
}

/// Answers 503 `closed`.
pub(crate) fn closed(name: &str) -> ir::Policy {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().u8(3).unwrap().array(1).unwrap();
    e.map(4).unwrap();
    e.u8(0).unwrap().u16(503).unwrap();
    e.u8(1).unwrap().str("text/plain").unwrap();
    e.u8(2).unwrap().str("closed\n").unwrap();
    e.u8(3).unwrap().array(0).unwrap();
    encoded(name, &e.into_writer())
}

/// Sets `x-edge` on request and response, the request's from a secret.
pub(crate) fn edits(name: &str) -> ir::Policy {
    edits_with(name, 0, "GWS_EDGE")
}

/// The same with a secret in a file.
pub(crate) fn edits_from(name: &str, path: &std::path::Path) -> ir::Policy {
    edits_with(name, 1, path.to_str().unwrap())
}

/// `kind` is 0 for a variable and 1 for a file.
fn edits_with(name: &str, kind: u8, secret: &str) -> ir::Policy {
    fn one(
        e: &mut minicbor::Encoder<Vec<u8>>,
        value: impl FnOnce(&mut minicbor::Encoder<Vec<u8>>),
    ) {
        e.map(3).unwrap();
        e.u8(0).unwrap().array(0).unwrap();
        e.u8(1)
            .unwrap()
            .array(1)
            .unwrap()
            .array(2)
            .unwrap()
            .str("x-edge")
            .unwrap();
        value(e);
        e.u8(2).unwrap().array(0).unwrap();
    }
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().u8(2).unwrap().array(1).unwrap();
    e.map(2).unwrap();
    e.u8(0).unwrap();
    one(&mut e, |e| {
        e.array(2).unwrap().u8(1).unwrap().array(1).unwrap();
        e.array(2)
            .unwrap()
            .u8(kind)
            .unwrap()
            .array(1)
            .unwrap()
            .str(secret)
            .unwrap();
    });
    e.u8(1).unwrap();
    one(&mut e, |e| {
        e.array(2)
            .unwrap()
            .u8(0)
            .unwrap()
            .array(1)
            .unwrap()
            .str("said")
            .unwrap();
    });
    encoded(name, &e.into_writer())
}

/// A policy as a bundle has it.
pub(crate) fn encoded(name: &str, bytes: &[u8]) -> ir::Policy {
    ir::Policy {
        name: name.into(),
        state: state(name),
        checked: minicbor::decode(bytes).unwrap(),
    }
}

impl Shop {
    pub(crate) fn gateway(&self) -> ir::Gateway {
        let mut treatments = Vec::new();
        let mut ops = self.ops.clone();
        ops.sort_by_key(key);
        let operations = ops.iter().map(|op| {
            treatments.push(ir::Treatment {
                security: op.security.clone(),
                chain: op.chain.clone(),
                upstream: op.upstream.into(),
                timeout_ms: op.timeout_ms,
                max_body_bytes: op.max_body_bytes,
                retries: op.retries.clone(),
                declared: policy::declared::Settings::default(),
                forwarding: op.forwarding.clone(),
            });
            let template = ir::Template::parse(op.path).unwrap();
            ir::Operation {
                key: key(op),
                method: op.method.into(),
                template: if op.prefix {
                    template.into_prefix()
                } else {
                    template
                },
                conditions: Vec::new(),
                priority: 0,
                treatment: u32::try_from(treatments.len() - 1).unwrap(),
                trailing_slash: ir::TrailingSlash::default(),
            }
        });
        let operations = ir::Set::new(operations.collect()).unwrap();
        let scheme = |name: &str, place: Place, auth: &str| ir::Scheme {
            name: name.into(),
            place,
            verify: ir::Verify::Auth(auth.into()),
            strip_credential: true,
            declared: policy::declared::Settings::default(),
        };
        let api = ir::Api {
            name: "shop".into(),
            mounts: ir::Set::new(vec![self.mount.clone()]).unwrap(),
            schemes: ir::Set::new(vec![
                scheme("key", Place::Header("x-key".into()), "keys"),
                scheme("query", Place::Query("shopkey".into()), "keys"),
                scheme("basic", Place::Authorization("basic".into()), "staff"),
            ])
            .unwrap(),
            policies: ir::Set::default(),
            treatments,
            operations,
            declared: policy::declared::Settings::default(),
        };
        let digest = *Digest::of(&bundle::codec::encode(&api)).as_bytes();
        let credential = |text: &str| ir::Credential {
            sha256: *Digest::of(text.as_bytes()).as_bytes(),
            not_after: None,
        };
        let mut listeners = self.more_listeners.clone();
        listeners.push(self.listener.clone());
        ir::Gateway {
            shared: ir::Shared {
                project: "shop".into(),
                listeners: ir::Set::new(listeners).unwrap(),
                upstreams: ir::Set::new(self.upstreams.clone()).unwrap(),
                auth: ir::Set::new(vec![
                    ir::Verifier {
                        name: "keys".into(),
                        checked: auth::Checked::ApiKey(auth::api_key::Checked {}),
                    },
                    ir::Verifier {
                        name: "staff".into(),
                        checked: auth::Checked::ApiKey(auth::api_key::Checked {}),
                    },
                ])
                .unwrap(),
                consumers: ir::Set::new(vec![ir::Consumer {
                    name: "acme".into(),
                    keys: vec![credential("letmein")],
                    basic: Vec::new(),
                    declared: policy::declared::Settings::default(),
                }])
                .unwrap(),
                policies: ir::Set::new(self.policies.clone()).unwrap(),
                apis: ir::Set::new(vec![ir::ApiRef {
                    name: "shop".into(),
                    digest,
                }])
                .unwrap(),
                expose_bundle: self.expose_bundle,
                required: policy::declared::Settings::default(),
                declared: policy::declared::Settings::default(),
            },
            apis: ir::Set::new(vec![api]).unwrap(),
        }
    }

    /// Builds a version of it.
    pub(crate) fn build(&self, node: &mut Node, bundle: Digest) -> Version {
        self.try_build(node, bundle).unwrap()
    }

    pub(crate) fn try_build(
        &self,
        node: &mut Node,
        bundle: Digest,
    ) -> Result<Version, bundle::refused::Refused> {
        let assembly = node.parts().assemble(&self.gateway()).unwrap();
        node.build(&assembly, bundle, &TestSecrets)
    }

    /// Serves it with one worker and without a log.
    pub(crate) fn serve(&self) -> Served {
        self.serve_with(1, AccessLog::Off)
    }

    pub(crate) fn serve_with(&self, workers: usize, access_log: AccessLog) -> Served {
        let mut node = Node::start(Settings {
            workers,
            access_log,
            ..settings()
        })
        .unwrap();
        let version = self.build(&mut node, Digest::of(b"one"));
        node.bind(&version).unwrap();
        node.publish(&version, 1);
        let address = node.listeners()["public"];
        Served { node, address }
    }
}

/// One worker, and no log.
pub(crate) fn settings() -> Settings {
    Settings {
        name: "test".into(),
        zone: None,
        workers: 1,
        access_log: AccessLog::Off,
        bounds: gwd::node::Bounds::NONE,
        websocket_drain: Duration::from_secs(5),
        listen: std::collections::BTreeMap::new(),
    }
}

fn key(op: &Op) -> String {
    format!("{} shop:{}", op.method, op.path)
}

/// A node that serves a shop.
pub(crate) struct Served {
    pub(crate) node: Node,
    pub(crate) address: SocketAddr,
}

impl Served {
    /// The value of a metric's series whose labels contain all of these.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        metric(&self.node.metrics(), name, labels)
    }
}

pub(crate) fn metric(text: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = text.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Knows one secret.
pub(crate) struct TestSecrets;

impl Secrets for TestSecrets {
    fn cell(&self, reference: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        if *reference == SecretRef::Env("GWS_EDGE".into()) {
            return Ok(SecretCell::new(b"hunter2".to_vec()));
        }
        Err(SecretUnavailable {
            reference: reference.clone(),
            reason: "secret-missing",
        })
    }
}

/// Waits for something that another thread is about to do.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < end, "{what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Lets a test's upstream wait for the test.
pub(crate) fn gate() -> (mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>) {
    let (sender, receiver) = mpsc::channel();
    (sender, Mutex::new(receiver))
}
