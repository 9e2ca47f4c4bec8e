//! Tests of a provider that sends no usable keys or metadata, at the first start or later, and of
//! `stale_for`.

use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use super::*;

/// Head of a response whose framing and body follow.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// Maximum time in seconds for which a request waits for a provider: 5 s of gwd, and time for the
/// threads of the test.
const WAIT_MAX_S: u64 = 9;

/// Document that a provider stops sending.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Key set. The settings have its URL.
    Keys,
    /// Metadata by OpenID Connect Discovery 1.0 §4.
    OpenId,
    /// Metadata by RFC 8414 §3. The provider has no other metadata.
    OAuth,
}

/// Response of a broken provider.
#[derive(Clone, Copy)]
enum Response {
    /// Status, fields and body.
    Whole(&'static str, &'static str, &'static str),
    /// Bytes that are not HTTP.
    Bytes(&'static [u8]),
    /// Function that sends framing and body without an end. Its error is the end of the connection.
    Endless(Body),
    /// The provider does not listen.
    Dead,
}

/// Name of an outage, text in the failure of the key set, and the provider's response.
type Outage = (&'static str, &'static str, Response);

/// Outages of each document.
const OUTAGES: [Outage; 8] = [
    ("dead", ": failed", Response::Dead),
    (
        "no HTTP",
        ": failed",
        Response::Bytes(b"\x00\xffSSH-2.0-garbage\r\n\r\n"),
    ),
    (
        "garbage",
        "not a JSON object",
        Response::Whole("200 OK", "", "\u{1}<html>sign in"),
    ),
    ("500", "status 500", Response::Whole("500 x", "", "")),
    (
        "redirect",
        "status 302",
        Response::Whole("302 x", "location: /moved\r\n", ""),
    ),
    ("100 MB", "too_large", Response::Endless(floods)),
    ("one byte a second", "timeout", Response::Endless(drips)),
    ("hangs after the head", "timeout", Response::Endless(hangs)),
];

/// Outages of key sets only.
const KEY_SET_OUTAGES: [Outage; 1] = [(
    "empty set",
    "no usable public key",
    Response::Whole("200 OK", "", "{\"keys\": []}"),
)];

/// Outages of metadata only.
const METADATA_OUTAGES: [Outage; 2] = [
    (
        "another issuer",
        "names another issuer",
        Response::Whole(
            "200 OK",
            "",
            "{\"issuer\": \"https://idp.example\", \"jwks_uri\": \"https://idp.example/keys\"}",
        ),
    ),
    (
        "no issuer",
        "names another issuer",
        Response::Whole("200 OK", "", "{}"),
    ),
];

/// Sends the first byte of a body, and waits for the end of the connection.
fn hangs(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"content-length: 1000\r\n\r\n{")?;
    stream.read_exact(&mut [0])
}

fn message(status: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{fields}content-length: {length}\r\n");
    format!("{head}connection: close\r\n\r\n{body}").into_bytes()
}

impl Part {
    fn path(self) -> &'static str {
        match self {
            Self::Keys => "/keys",
            Self::OpenId => "/.well-known/openid-configuration",
            Self::OAuth => "/.well-known/oauth-authorization-server",
        }
    }

    fn outages(self) -> Vec<Outage> {
        let more = match self {
            Self::Keys => &KEY_SET_OUTAGES[..],
            Self::OpenId | Self::OAuth => &METADATA_OUTAGES,
        };
        [&OUTAGES, more].concat()
    }

    /// Number of requests of a fetch whose last request is for this document.
    fn requests(self) -> usize {
        match self {
            Self::Keys | Self::OpenId => 1,
            // The first request is for the other metadata, and its response is 404.
            Self::OAuth => 2,
        }
    }

    /// Runs a test with each outage. Each outage has a gateway of its own, so that all gateways
    /// wait for the end of their cool-down at the same time.
    fn each_outage(self, test: fn(Self, Outage)) {
        thread::scope(|scope| {
            for outage in self.outages() {
                scope.spawn(move || test(self, outage));
            }
        });
    }
}

/// Provider with good documents until a test breaks one of them. It counts its requests.
struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    part: Part,
    set: String,
    metadata: String,
    /// Response to requests for `part`. `None`: the good document.
    broken: Mutex<Option<Response>>,
    requests: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    /// Number of responses of 100 MB that gwd received completely.
    received_whole: AtomicUsize,
}

impl Provider {
    fn of(key: &RsaKey, part: Part) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let url = format!("http://{address}");
        let shared = Arc::new(Shared {
            part,
            set: set(&[("a", key)]).to_string(),
            metadata: json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string(),
            broken: Mutex::default(),
            requests: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            received_whole: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.is_dead() {
                    return;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Issuer of the tokens that this provider's keys verify.
    fn issuer(&self) -> String {
        match self.shared.part {
            Part::Keys => "tests".to_owned(),
            Part::OpenId | Part::OAuth => self.url(),
        }
    }

    fn scene(&self) -> Scene {
        match self.shared.part {
            Part::Keys => Scene::by_url(&self.url()),
            Part::OpenId | Part::OAuth => Scene::new(&format!("issuer: \"{}\"", self.url())),
        }
    }

    fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    fn breaks(&self, response: Response) {
        *self.shared.broken.lock().expect("no panic") = Some(response);
        if self.shared.is_dead() {
            // Connect to wake the accepting thread, which then closes the listener.
            let _woken = TcpStream::connect(self.address);
            wait::until("the provider stops listening", || {
                TcpStream::connect(self.address).is_err().then_some(())
            });
        }
    }

    fn works_again(&self) {
        *self.shared.broken.lock().expect("no panic") = None;
    }

    /// Requires that gwd sent one request at a time, and received no response of 100 MB completely.
    fn was_spared(&self, name: &str) {
        let most = self.shared.most_open.load(Ordering::SeqCst);
        assert!(most <= 1, "{name}: {most} at once");
        let whole = self.shared.received_whole.load(Ordering::SeqCst);
        assert_eq!(whole, 0, "{name}");
    }
}

impl Shared {
    fn broken(&self) -> Option<Response> {
        *self.broken.lock().expect("no panic")
    }

    fn is_dead(&self) -> bool {
        matches!(self.broken(), Some(Response::Dead))
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut head = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut head) else {
            return;
        };
        let head = String::from_utf8_lossy(&head[..length]);
        let target = head.split(' ').nth(1).unwrap_or_default();
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        // Keep the request open for a moment, so that other requests meet it. Count after a part of
        // this time: by then, the end of an earlier request is counted.
        thread::sleep(Duration::from_millis(100));
        let open = self.open.load(Ordering::SeqCst);
        self.most_open.fetch_max(open, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(200));
        let is_part = target == self.part.path();
        let content = match self.broken().filter(|_| is_part) {
            Some(Response::Endless(respond)) => return self.respond_without_end(stream, respond),
            Some(Response::Whole(status, fields, body)) => message(status, fields, body),
            Some(Response::Bytes(bytes)) => bytes.to_vec(),
            Some(Response::Dead) => Vec::new(),
            None => self.good(target),
        };
        self.open.fetch_sub(1, Ordering::SeqCst);
        // Ignore errors: gwd may close the connection at any time.
        let _ended = stream.write_all(&content);
    }

    /// Response with a good document. `/moved` is the target of the redirect.
    fn good(&self, target: &str) -> Vec<u8> {
        let is_part = target == self.part.path() || target == "/moved";
        match target {
            "/keys" => message("200 OK", "", &self.set),
            _ if is_part && self.part == Part::Keys => message("200 OK", "", &self.set),
            _ if is_part => message("200 OK", "", &self.metadata),
            _ => message("404 x", "", ""),
        }
    }

    fn respond_without_end(&self, mut stream: TcpStream, respond: Body) {
        let mut watched = stream.try_clone().expect("a descriptor");
        thread::scope(|scope| {
            scope.spawn(move || {
                // gwd sends no further request, so the read ends with the connection.
                let _end = watched.read(&mut [0]);
                self.open.fetch_sub(1, Ordering::SeqCst);
            });
            let head = stream.write_all(OK);
            if head.and_then(|()| respond(&mut stream)).is_ok() {
                self.received_whole.fetch_add(1, Ordering::SeqCst);
            }
            let _closed = stream.shutdown(Shutdown::Both);
        });
    }
}

/// Sleeps until the key set of this successful fetch is older than this time.
fn sleep_until_older(gateway: &Gateway, fetch: u64, seconds: u64) {
    let age = &reported(gateway, |set| set["fetches"] == fetch)["age_s"];
    let left_s = (seconds + 1).saturating_sub(age.as_u64().expect("an age"));
    thread::sleep(Duration::from_secs(left_s));
}

/// Requires that requests without a token are served without delay.
fn serves_open_at_once(gateway: &Gateway, what: &str) {
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(open(gateway), 200, "{what}");
        assert!(began.elapsed() < Duration::from_secs(2), "{what}");
    }
}

/// Requires that tokens of known keys and requests without a token are admitted without delay.
fn serves_at_once(gateway: &Gateway, known: &str, what: &str) {
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(shown(gateway, known).0, 200, "{what}");
        assert!(began.elapsed() < Duration::from_secs(2), "{what}");
    }
    serves_open_at_once(gateway, what);
}

/// Shows a token in eight requests at once, and calls `meanwhile`. Requires the same status and
/// code for all of them, within the time limit.
fn all_get(
    gateway: &Gateway,
    token: &str,
    (status, code): (u16, &str),
    what: &str,
    meanwhile: impl FnOnce(),
) {
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let began = Instant::now();
                    (shown(gateway, token), began.elapsed())
                })
            })
            .collect();
        meanwhile();
        for one in waiting {
            let ((got, body), time) = one.join().expect("no panic");
            assert_eq!(got, status, "{what}: {body}");
            assert!(body.contains(code), "{what}: {body}");
            assert!(time < Duration::from_secs(WAIT_MAX_S), "{what}: {time:?}");
        }
    });
}

#[test]
fn provider_breaks_later_and_known_keys_still_admit() {
    Part::Keys.each_outage(keeps_its_keys);
}

#[test]
fn openid_metadata_breaks_later_and_keys_still_admit() {
    Part::OpenId.each_outage(keeps_its_keys);
}

#[test]
fn oauth_metadata_breaks_later_and_keys_still_admit() {
    Part::OAuth.each_outage(keeps_its_keys);
}

fn keeps_its_keys(part: Part, (name, why, response): Outage) {
    let (key, other) = (RsaKey::new(), RsaKey::new());
    let provider = Provider::of(&key, part);
    let (scene, issuer) = (provider.scene(), provider.issuer());
    let gateway = scene.start();
    let (known, unknown) = (token(&issuer, "a", &key), token(&issuer, "b", &other));
    assert_eq!(shown(&gateway, &known).0, 200, "{name}");
    provider.breaks(response);
    // An unknown key id causes no fetch within 30 s after the last one.
    assert_eq!(shown(&gateway, &unknown).0, 401, "{name}");
    let requests = part.requests() + usize::from(part != Part::Keys);
    assert_eq!(provider.requests(), requests, "{name}");
    sleep_until_older(&gateway, 1, 30);
    let memory = gateway.memory_bytes();
    all_get(&gateway, &unknown, (401, "token_invalid"), name, || {
        serves_at_once(&gateway, &known, name);
    });
    // One fetch for all requests that wait. On a busy machine the next one can be due meanwhile.
    let failed = fetches(&gateway, "failed");
    assert!((1.0..=2.0).contains(&failed), "{name}: {failed}");
    let all = provider.requests();
    let most = requests + part.requests() * if failed > 1.0 { 2 } else { 1 };
    assert!(all <= most, "{name}: {all}");
    provider.was_spared(name);
    let report = reported(&gateway, |set| set["failure"].to_string().contains(why));
    assert_eq!(report["keys"], 1, "{name}: {report}");
    let status = status_of(&gateway);
    for part in ["1 key, ", "the last fetch failed", why] {
        assert!(status.contains(part), "{name}: {status}");
    }
    serves_at_once(&gateway, &known, name);
    let grown = gateway.memory_bytes().saturating_sub(memory);
    assert!(grown < 32 << 20, "{name}: {grown} bytes more");
}

#[test]
fn unusable_openid_metadata_is_503_within_the_limits() {
    Part::OpenId.each_outage(is_unavailable_until_it_works);
}

#[test]
fn unusable_oauth_metadata_is_503_within_the_limits() {
    Part::OAuth.each_outage(is_unavailable_until_it_works);
}

fn is_unavailable_until_it_works(part: Part, (name, why, response): Outage) {
    let key = RsaKey::new();
    let provider = Provider::of(&key, part);
    provider.breaks(response);
    let scene = provider.scene();
    let gateway = scene.start();
    let token = token(&provider.issuer(), "a", &key);
    let memory = gateway.memory_bytes();
    // Without keys, a request causes a fetch 2 s after the last one.
    reported(&gateway, |set| set["failure"].is_string());
    thread::sleep(Duration::from_secs(3));
    let failed = fetches(&gateway, "failed");
    all_get(&gateway, &token, (503, "keys_unavailable"), name, || {
        serves_open_at_once(&gateway, name);
    });
    // The time limit of a request can end before that of the fetch.
    wait::until("the failed fetch is counted", || {
        (fetches(&gateway, "failed") > failed).then_some(())
    });
    provider.was_spared(name);
    let report = reported(&gateway, |set| set["failure"].to_string().contains(why));
    assert_eq!(report["keys"], 0, "{name}: {report}");
    let grown = gateway.memory_bytes().saturating_sub(memory);
    assert!(grown < 32 << 20, "{name}: {grown} bytes more");
    if !matches!(response, Response::Dead) {
        provider.works_again();
        wait::until("the keys are fetched", || {
            (shown(&gateway, &token).0 == 200).then_some(())
        });
    }
}

#[test]
fn keys_older_than_stale_for_are_503_until_a_fetch() {
    const STALE_S: u64 = 8;
    let key = RsaKey::new();
    let provider = Provider::of(&key, Part::Keys);
    let url = provider.url();
    let settings = format!("issuer: tests, jwks_url: \"{url}/keys\", stale_for: {STALE_S}s");
    let scene = Scene::new(&settings);
    let token = token("tests", "a", &key);
    let mut gateway = scene.start();
    assert_eq!(shown(&gateway, &token).0, 200);
    // The provider works: the request fetches the keys that are too old.
    sleep_until_older(&gateway, 1, STALE_S);
    assert_eq!(shown(&gateway, &token).0, 200);
    assert_eq!(provider.requests(), 2);
    provider.breaks(Response::Whole("500 x", "", ""));
    let unavailable = |gateway: &Gateway| {
        let (status, body) = shown(gateway, &token);
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("keys_unavailable"), "{body}");
        assert_eq!(open(gateway), 200);
        assert_eq!(
            reported(gateway, |set| set["failure"].is_string())["keys"],
            1
        );
    };
    sleep_until_older(&gateway, 2, STALE_S);
    unavailable(&gateway);
    // The copy in the state folder is older than `stale_for` as well.
    assert_eq!(gateway.stop(), Some(0));
    let gateway = scene.start();
    unavailable(&gateway);
    provider.works_again();
    wait::until("the keys are fetched", || {
        (shown(&gateway, &token).0 == 200).then_some(())
    });
}
