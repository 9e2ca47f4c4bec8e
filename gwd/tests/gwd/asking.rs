//! Policies that call another service: `forward_auth`.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bundle::ir;
use gwd::node::AccessLog;
use minicbor::Encoder;
use policy::declared::Settings;
use policy::traffic::circuit_breaker;

use crate::fixture::*;

/// Settings of a `forward_auth` policy.
pub(crate) struct Ask {
    pub(crate) upstream: &'static str,
    pub(crate) timeout_ms: u64,
    pub(crate) open: bool,
    pub(crate) cache_ms: Option<u64>,
}

pub(crate) const ASK: Ask = Ask {
    upstream: "identity",
    timeout_ms: 10_000,
    open: false,
    cache_ms: None,
};

impl Ask {
    fn policy(&self, name: &str) -> ir::Policy {
        let mut e = Encoder::new(Vec::new());
        e.array(2).unwrap().u8(14).unwrap().array(1).unwrap();
        e.map(5 + u64::from(self.cache_ms.is_some())).unwrap();
        e.u8(0).unwrap().str(self.upstream).unwrap();
        e.u8(2).unwrap().str("/check?a=b").unwrap();
        e.u8(4).unwrap().array(1).unwrap().str("x-user").unwrap();
        e.u8(5).unwrap().u64(self.timeout_ms).unwrap();
        e.u8(6).unwrap().bool(self.open).unwrap();
        if let Some(ms) = self.cache_ms {
            e.u8(7).unwrap().u64(ms).unwrap();
        }
        encoded(name, &e.into_writer())
    }

    /// A gateway with two operations: `/asked` has the policy, `/open` does not.
    pub(crate) fn shop(&self, main: &Upstream, identity: SocketAddr) -> Shop {
        let operation = op("GET", "/asked").policy("ask");
        let mut shop = shop(main.address, vec![operation, op("GET", "/open")]);
        shop.upstreams.push(service("identity", &[identity]));
        shop.policies.push(self.policy("ask"));
        shop
    }
}

/// Starts an identity service that answers every request with this status and these fields.
fn answering(status: u16, fields: &'static str) -> Upstream {
    Upstream::start(move |_, stream| {
        let head = format!("HTTP/1.1 {status} Told\r\n{fields}content-length: 2\r\n\r\nno");
        let _gone = stream.write_all(head.as_bytes());
        Then::Keep
    })
}

/// Starts an identity service that never answers.
fn hanging() -> Upstream {
    Upstream::start(|_, _| Then::Leave)
}

fn policy_calls(served: &Served, outcome: &str) -> f64 {
    let labels = ["kind=\"forward_auth\"", &format!("outcome=\"{outcome}\"")];
    served.metric("gwd_policy_calls_total", &labels)
}

#[test]
fn service_sees_the_request_and_its_fields_go_on() {
    let main = Upstream::echoing();
    let identity = answering(200, "x-user: alice\r\nx-other: b\r\n");
    let served = ASK.shop(&main, identity.address).serve();
    let fields = "authorization: Bearer t\r\nx-user: mallory\r\nx_user: mallory\r\nx-forwarded-uri: /forged\r\n";
    let answer = fetch(served.address, "GET", "/asked?x=1", fields);
    assert_eq!(answer.status, 200);
    let question = identity.only();
    assert_eq!(question.line(), "GET /check?a=b HTTP/1.1");
    for (name, value) in [
        ("authorization", "Bearer t"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/asked?x=1"),
        ("x-original-uri", "/asked?x=1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(question.field(name), [value], "{name}");
    }
    assert!(question.field("x-user").is_empty());
    let seen = main.only();
    assert_eq!(seen.field("x-user"), ["alice"]);
    assert!(seen.field("x_user").is_empty() && seen.field("x-other").is_empty());
    eventually("the answer is counted", || {
        policy_calls(&served, "answered") == 1.0
    });
}

#[test]
fn refusal_reaches_the_client_and_not_the_upstream() {
    let main = Upstream::saying("main");
    for (status, fields) in [
        (302, "location: /login\r\nset-cookie: s=1\r\n"),
        (401, "www-authenticate: Basic\r\nx-user: alice\r\n"),
        (403, ""),
    ] {
        let identity = answering(status, fields);
        let served = ASK.shop(&main, identity.address).serve();
        let answer = get(served.address, "/asked");
        assert_eq!((answer.status, answer.text()), (status, "no"));
        assert!(answer.field("x-user").is_empty());
        let passed = ["location", "set-cookie", "www-authenticate"];
        let passed = passed.iter().filter(|name| !answer.field(name).is_empty());
        assert_eq!(
            passed.count(),
            [2, 1, 0][usize::from(status == 401) + 2 * usize::from(status == 403)]
        );
        let labels = ["policy=\"ask\"", "reason=\"forward_auth_denied\""];
        eventually("the rejection is counted", || {
            served.metric("gwd_rejections_total", &labels) == 1.0
        });
    }
    assert!(main.seen().is_empty());
}

#[test]
fn outage_refuses_and_passes_only_if_open() {
    let main = Upstream::saying("main");
    let (silent, broken) = (hanging(), Upstream::start(|_, _| Then::Close));
    let failing = answering(500, "");
    let large = Upstream::start(|_, stream| {
        let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\nx");
        Then::Leave
    });
    let endless = Upstream::start(|_, stream| {
        let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while stream.write_all(chunk.as_bytes()).is_ok() {}
        Then::Close
    });
    let half = Upstream::start(|_, stream| {
        let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx");
        Then::Leave
    });
    for (address, timeout_ms, outcome) in [
        (silent.address, 100, "timeout"),
        (half.address, 100, "timeout"),
        (dead(), 10_000, "failed"),
        (broken.address, 10_000, "failed"),
        (failing.address, 10_000, "answered"),
        (large.address, 10_000, "too_large"),
        (endless.address, 10_000, "too_large"),
    ] {
        for open in [false, true] {
            let ask = Ask {
                timeout_ms,
                open,
                ..ASK
            };
            let served = ask.shop(&main, address).serve();
            let answer = fetch(served.address, "GET", "/asked", "x-user: mallory\r\n");
            match open {
                false => assert_eq!(answer.problem(), "forward_auth_unavailable", "{outcome}"),
                true => assert_eq!(answer.text(), "main", "{outcome}"),
            }
            eventually("the outcome is counted", || {
                policy_calls(&served, outcome) == 1.0
            });
        }
    }
    let seen = main.seen();
    assert_eq!(seen.len(), 7);
    assert!(seen.iter().all(|one| one.field("x-user").is_empty()));
}

/// A refusal whose body cannot be read counts as a refusal, not as an outage. Otherwise a caller
/// could get past a policy with `on_outage: open` by making the body too large.
#[test]
fn refusal_with_an_unreadable_body_refuses() {
    let main = Upstream::saying("main");
    let bodies = [
        "content-length: 70000\r\n\r\nx",
        "content-length: 9\r\n\r\nx",
    ];
    for (status, body) in [401, 302, 403]
        .iter()
        .flat_map(|status| bodies.map(|body| (status, body)))
    {
        let head = format!("HTTP/1.1 {status} Told\r\nlocation: /login\r\n{body}");
        let service = Upstream::start(move |_, stream| {
            let _gone = stream.write_all(head.as_bytes());
            Then::Close
        });
        let ask = Ask { open: true, ..ASK };
        let served = ask.shop(&main, service.address).serve();
        assert_eq!(get(served.address, "/asked").status, *status, "{body}");
    }
    assert_eq!(main.seen().len(), 0);
}

#[test]
fn equal_questions_are_sent_once_by_all_workers() {
    let main = Upstream::saying("main");
    let (go, wait) = gate();
    let identity = Upstream::start(move |_, stream| {
        let _released = wait.lock().unwrap().recv();
        say(stream, "content-length: 0\r\n", "");
        Then::Keep
    });
    let shop = ASK.shop(&main, identity.address);
    let served = shop.serve_with(2, AccessLog::Off);
    let address = served.address;
    let clients: Vec<_> = (0..12)
        .map(|_| std::thread::spawn(move || get(address, "/asked").status))
        .collect();
    eventually("all requests wait", || {
        served.metric("http_server_active_requests", &[]) == 12.0
    });
    // A request with other fields does not share the answer: the gateway sends it to the service as
    // well.
    let other =
        std::thread::spawn(move || fetch(address, "GET", "/asked", "cookie: a=b\r\n").status);
    eventually("the service gets another request", || {
        identity.seen().len() == 2
    });
    // Requests without the policy do not wait.
    assert_eq!(get(served.address, "/open").text(), "main");
    for _ in 0..2 {
        go.send(()).unwrap();
    }
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!(other.join().unwrap(), 200);
    assert_eq!(identity.seen().len(), 2);
    eventually("shared answers are counted", || {
        policy_calls(&served, "joined") == 11.0
    });
}

#[test]
fn admission_is_kept_for_equal_requests_only() {
    let main = Upstream::saying("main");
    let status = Arc::new(AtomicUsize::new(200));
    let identity = Upstream::telling(&status);
    let cached = Ask {
        cache_ms: Some(600_000),
        ..ASK
    };
    let served = cached.shop(&main, identity.address).serve();
    for _ in 0..3 {
        assert_eq!(get(served.address, "/asked").status, 200);
    }
    assert_eq!(identity.seen().len(), 1);
    status.store(403, Ordering::SeqCst);
    assert_eq!(get(served.address, "/asked").status, 200, "it is kept");
    for path in ["/asked?x=1", "/asked?x=1"] {
        assert_eq!(
            get(served.address, path).status,
            403,
            "refusals are not kept"
        );
    }
    let cookie = fetch(served.address, "GET", "/asked", "cookie: a=b\r\n");
    assert_eq!(cookie.status, 403);
    assert_eq!(identity.seen().len(), 4);
    eventually("cached answers are counted", || {
        policy_calls(&served, "kept") == 3.0
    });
}

#[test]
fn dead_reused_connection_is_replaced() {
    let main = Upstream::saying("main");
    let identity = Upstream::start(|_, stream| {
        say(stream, "content-length: 0\r\n", "");
        Then::Close
    });
    let served = ASK.shop(&main, identity.address).serve();
    for _ in 0..20 {
        assert_eq!(get(served.address, "/asked").status, 200);
    }
}

#[test]
fn question_outlives_the_client_that_caused_it() {
    let main = Upstream::saying("main");
    let (go, wait) = gate();
    let identity = Upstream::start(move |_, stream| {
        let _released = wait.lock().unwrap().recv();
        say(stream, "content-length: 0\r\n", "");
        Then::Keep
    });
    let served = ASK.shop(&main, identity.address).serve();
    let mut first = Client::connect(served.address);
    first.send("GET /asked HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("the service gets the request", || {
        identity.seen().len() == 1
    });
    let address = served.address;
    let second = std::thread::spawn(move || get(address, "/asked").status);
    eventually("both requests wait", || {
        served.metric("http_server_active_requests", &[]) == 2.0
    });
    drop(first);
    // gwd ends the first authorization request and sends the one of the client that waits.
    eventually("the question is sent again", || identity.seen().len() == 2);
    for _ in 0..2 {
        go.send(()).unwrap();
    }
    assert_eq!(second.join().unwrap(), 200);
    assert_eq!(identity.seen().len(), 2);
}

#[test]
fn question_ends_with_the_only_client_that_waits() {
    let main = Upstream::saying("main");
    let (sender, closed) = mpsc::channel();
    let sender = Mutex::new(sender);
    let identity = Upstream::start(move |_, stream| {
        let read = stream.read(&mut [0]);
        let _sent = sender.lock().unwrap().send(read.unwrap_or(0));
        Then::Close
    });
    let served = ASK.shop(&main, identity.address).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /asked HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("the service gets the request", || {
        identity.seen().len() == 1
    });
    drop(client);
    assert_eq!(closed.recv_timeout(Duration::from_secs(10)), Ok(0));
    eventually("no request is left", || {
        served.metric("http_server_active_requests", &[]) == 0.0
    });
    assert!(main.seen().is_empty());
}

#[test]
fn open_breaker_of_the_service_is_an_outage() {
    let main = Upstream::saying("main");
    for open in [false, true] {
        let identity = answering(500, "");
        let ask = Ask { open, ..ASK };
        let mut shop = ask.shop(&main, identity.address);
        let mut breaker = circuit_breaker::Checked::of(&Settings::default());
        breaker.numbers.consecutive_failures = Some(1);
        (breaker.numbers.open_ms, breaker.numbers.open_max_ms) = (60_000, 60_000);
        let service = shop.upstreams.iter_mut().find(|one| one.name == "identity");
        service.expect("the service").circuit_breaker = Some(breaker);
        let served = shop.serve();
        for _ in 0..3 {
            let answer = get(served.address, "/asked");
            match open {
                false => assert_eq!(answer.problem(), "forward_auth_unavailable"),
                true => assert_eq!(answer.text(), "main"),
            }
        }
        // The first request to the service opens the circuit breaker; the later ones do not reach
        // the service.
        assert_eq!(identity.seen().len(), 1, "{open}");
        eventually("all outcomes are counted", || {
            policy_calls(&served, "answered") + policy_calls(&served, "circuit_open") == 3.0
        });
        let labels = ["upstream=\"identity\"", "http_response_status_code=\"500\""];
        let name = "http_client_request_duration_seconds_count";
        assert_eq!(served.metric(name, &labels), 1.0);
        assert!(served.metric("gwd_circuit_state", &["identity"]) > 0.0);
        // Other operations are served.
        assert_eq!(get(served.address, "/open").text(), "main");
    }
}
