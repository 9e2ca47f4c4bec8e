//! Tests of a provider that stops sending usable keys after the gateway has its key set, and of
//! `stale_for`.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use super::*;

/// Function that sends the response of a provider.
type Respond = fn(&mut TcpStream) -> std::io::Result<()>;

/// Head of a response whose framing and body follow.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// Outages: name, text in the failure of the key set, and the provider's response. `None`: the
/// provider does not listen.
const OUTAGES: [(&str, &str, Option<Respond>); 8] = [
    ("dead", "/keys: failed", None),
    (
        "no HTTP",
        "/keys: failed",
        Some(|stream| {
            pause();
            stream.write_all(b"\x00\xffSSH-2.0-garbage\r\n\r\n")
        }),
    ),
    (
        "garbage",
        "not a JSON object",
        Some(|stream| whole(stream, "200 OK", "", "\u{1}<html>sign in")),
    ),
    (
        "500",
        "status 500",
        Some(|stream| whole(stream, "500 x", "", "")),
    ),
    (
        "redirect",
        "status 302",
        Some(|stream| whole(stream, "302 x", "location: /keys\r\n", "")),
    ),
    (
        "100 MB",
        "too_large",
        Some(|stream| {
            stream.write_all(OK)?;
            floods(stream)
        }),
    ),
    (
        "one byte a second",
        "timeout",
        Some(|stream| {
            stream.write_all(OK)?;
            drips(stream)
        }),
    ),
    (
        "empty set",
        "no usable public key",
        Some(|stream| whole(stream, "200 OK", "", "{\"keys\": []}")),
    ),
];

/// Keeps a request open for a moment, so that equal requests meet it.
fn pause() {
    thread::sleep(Duration::from_millis(300));
}

fn whole(stream: &mut TcpStream, status: &str, fields: &str, body: &str) -> std::io::Result<()> {
    pause();
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{fields}content-length: {length}\r\n");
    stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes())
}

/// Provider with a good key set until a test breaks it. It counts its requests.
struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    set: String,
    mode: Mutex<Mode>,
    requests: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Mode {
    Works,
    Broken(Respond),
    /// The provider does not listen.
    Dead,
}

impl Provider {
    fn of(key: &RsaKey) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            set: set(&[("a", key)]).to_string(),
            mode: Mutex::new(Mode::Works),
            requests: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mode = *accepting.mode.lock().expect("no panic");
                if matches!(mode, Mode::Dead) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(stream, mode));
            }
        });
        Self { address, shared }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Sets the response. `None`: the provider stops listening.
    fn breaks(&self, respond: Option<Respond>) {
        *self.shared.mode.lock().expect("no panic") = respond.map_or(Mode::Dead, Mode::Broken);
        if respond.is_none() {
            // Connect to wake the accepting thread, which then closes the listener.
            let _woken = TcpStream::connect(self.address);
            wait::until("the provider stops listening", || {
                TcpStream::connect(self.address).is_err().then_some(())
            });
        }
    }

    fn sends_its_keys_again(&self) {
        *self.shared.mode.lock().expect("no panic") = Mode::Works;
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream, mode: Mode) {
        if !matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
            return;
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        // Ignore errors: gwd may close the connection at any time.
        let _ended = match mode {
            Mode::Works => whole(&mut stream, "200 OK", "", &self.set),
            Mode::Broken(respond) => respond(&mut stream),
            Mode::Dead => Ok(()),
        };
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sleeps until the key set of this successful fetch is older than this time.
fn sleep_until_older(gateway: &Gateway, fetch: u64, seconds: u64) {
    let age = &reported(gateway, |set| set["fetches"] == fetch)["age_s"];
    let left_s = (seconds + 1).saturating_sub(age.as_u64().expect("an age"));
    thread::sleep(Duration::from_secs(left_s));
}

/// Requires that tokens of known keys and requests without a token are admitted without delay.
fn serves_at_once(gateway: &Gateway, known: &str, what: &str) {
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(shown(gateway, known).0, 200, "{what}");
        assert_eq!(open(gateway), 200, "{what}");
        assert!(began.elapsed() < Duration::from_secs(2), "{what}");
    }
}

/// Each outage has a gateway of its own, so that all gateways wait for the end of their cool-down
/// at the same time.
#[test]
fn provider_breaks_later_and_known_keys_still_admit() {
    thread::scope(|scope| {
        for (name, why, respond) in OUTAGES {
            scope.spawn(move || keeps_its_keys(name, why, respond));
        }
    });
}

fn keeps_its_keys(name: &str, why: &str, respond: Option<Respond>) {
    let (key, other) = (RsaKey::new(), RsaKey::new());
    let provider = Provider::of(&key);
    let scene = Scene::by_url(&provider.url());
    let gateway = scene.start();
    let (known, unknown) = (token("tests", "a", &key), token("tests", "b", &other));
    assert_eq!(shown(&gateway, &known).0, 200, "{name}");
    provider.breaks(respond);
    // An unknown key id causes no fetch within 30 s after the last one.
    assert_eq!(shown(&gateway, &unknown).0, 401, "{name}");
    assert_eq!(provider.requests(), 1, "{name}");
    sleep_until_older(&gateway, 1, 30);
    let memory = gateway.memory_bytes();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| shown(&gateway, &unknown)))
            .collect();
        serves_at_once(&gateway, &known, name);
        for one in waiting {
            let (status, body) = one.join().expect("no panic");
            assert_eq!(status, 401, "{name}: {body}");
            assert!(body.contains("token_invalid"), "{name}: {body}");
        }
    });
    assert_eq!(fetches(&gateway, "failed"), 1.0, "{name}");
    assert!(provider.requests() <= 2, "{name}: {}", provider.requests());
    assert!(
        provider.shared.most_open.load(Ordering::SeqCst) <= 1,
        "{name}"
    );
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
fn keys_older_than_stale_for_are_503_until_a_fetch() {
    const STALE_S: u64 = 8;
    let key = RsaKey::new();
    let provider = Provider::of(&key);
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
    provider.breaks(Some(|stream| whole(stream, "500 x", "", "")));
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
    provider.sends_its_keys_again();
    wait::until("the keys are fetched", || {
        (shown(&gateway, &token).0 == 200).then_some(())
    });
}
