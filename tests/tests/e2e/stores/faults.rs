//! Tests of store faults: the responses under each value of `on_outage`, and the cost of the fault.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

/// Proxy in front of a redis-server. The proxy delays the replies of the server by `delay_ms`.
pub(super) struct Proxy {
    pub(super) port: u16,
    delay_ms: Arc<AtomicU64>,
}

impl Proxy {
    pub(super) fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let delay = Arc::clone(&delay_ms);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let server = TcpStream::connect(("127.0.0.1", server)).expect("a server");
                let other = |stream: &TcpStream| stream.try_clone().expect("a socket");
                pass(other(&client), other(&server), None);
                pass(server, client, Some(Arc::clone(&delay)));
            }
        });
        Self { port, delay_ms }
    }

    pub(super) fn delay(&self, ms: u64) {
        self.delay_ms.store(ms, Ordering::Relaxed);
    }
}

/// Forwards bytes on a separate thread until one peer closes its connection.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Option<Arc<AtomicU64>>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 1 << 12];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let ms = delay.as_ref().map_or(0, |ms| ms.load(Ordering::Relaxed));
            // The sleep is the injected fault.
            std::thread::sleep(Duration::from_millis(ms));
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _closed = to.shutdown(std::net::Shutdown::Both);
    });
}

/// Breaks a store under each value of `on_outage`, and repairs the store. Checks the responses, the
/// cost and reports of the outage, and that the store counts after the repair.
fn acts_as_written(breaks: impl Fn(&Server, &Proxy), mends: impl Fn(&Server, &Proxy)) {
    let upstream = Upstream::start();
    for (on_outage, status) in [("local", 429), ("open", 200), ("closed", 503)] {
        let server = Server::start(&[]);
        let proxy = Proxy::start(server.port);
        // The limit is high enough that the store still admits, and so writes, when it breaks.
        let project = project(
            &upstream,
            "kind: rate_limit, limit: 6/d, burst: 6",
            on_outage,
        );
        let url = format!("redis://:s3cret@127.0.0.1:{}/0", proxy.port);
        let gwd = Options::of(&project).variable("GWS_STORE", &url).start();
        // The first request connects to the store. Further requests meanwhile would be counted here
        // and moved to the store, and so use up the limit.
        let _connects = ask(&gwd);
        wait::until("the store is up", || is_up(&gwd).then_some(()));
        wait::until("the store counts", || ask(&gwd).1.is_none().then_some(()));
        // On a busy machine, late responses of the store can have used up the limit. A store that
        // only refuses writes nothing, and so is no outage as a read-only replica.
        server.ask(&["FLUSHALL"]);
        breaks(&server, &proxy);
        wait::until("the circuit opens", || {
            let _response = ask(&gwd);
            // Read the log: `gwd_store_up` is 0 before the circuit breaker opens.
            gwd.log().contains("a store does not answer").then_some(())
        });
        let verdict = Some(format!("\"shared\";verdict={on_outage}"));
        let outages = || {
            let metrics = gwd.metrics();
            let late = |outcome| metrics.sum("gwd_policy_calls_total", &["\"store\"", outcome]);
            late("\"timeout\"") + late("\"failed\"")
        };
        let before = outages();
        for _ in 0..20 {
            // The local counters admit six requests, including requests since the beginning of the
            // outage.
            let (answered, outage) = ask(&gwd);
            assert_eq!(outage, verdict);
            assert!(answered == status || (on_outage, answered) == ("local", 200));
        }
        assert_eq!(ask(&gwd), (status, verdict), "{on_outage}");
        assert_eq!(outages(), before, "no request waits for the store any more");
        wait::until("log and status report the outage", || {
            let lines = gwd.access_log().lines();
            let is_logged = lines.iter().any(|line| line["store_outage"] == on_outage);
            let report = gwd.status();
            let is_reported = report["alarms"].to_string().contains("store-unreachable");
            (is_logged && is_reported && report["stores"][0]["up"] == false).then_some(())
        });
        mends(&server, &proxy);
        wait::until("the store counts again", || {
            let (status, outage) = ask(&gwd);
            (status == 429 && outage.is_none() && is_up(&gwd)).then_some(())
        });
    }
}

#[test]
fn paused_store_acts_as_written() {
    if is_missing() {
        return;
    }
    acts_as_written(
        |server, _| server.signal("-STOP"),
        |server, _| server.signal("-CONT"),
    );
}

/// Responses that are always late open the circuit breaker, even if the store answers each test
/// call.
#[test]
fn slow_store_acts_as_written() {
    if is_missing() {
        return;
    }
    acts_as_written(|_, proxy| proxy.delay(50), |_, proxy| proxy.delay(0));
}

#[test]
fn read_only_replica_acts_as_written() {
    if is_missing() {
        return;
    }
    // A server that becomes a replica keeps its counters, but rejects writes.
    acts_as_written(
        |server, _| drop(server.ask(&["REPLICAOF", "127.0.0.1", "1"])),
        |server, _| drop(server.ask(&["REPLICAOF", "NO", "ONE"])),
    );
}

#[test]
fn store_out_of_memory_acts_as_written() {
    if is_missing() {
        return;
    }
    acts_as_written(
        |server, _| drop(server.ask(&["CONFIG", "SET", "maxmemory", "1"])),
        |server, _| drop(server.ask(&["CONFIG", "SET", "maxmemory", "0"])),
    );
}

#[test]
fn flushed_scripts_are_loaded_again() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let project = project(&upstream, "kind: rate_limit, limit: 9/d", "closed");
    let gwd = gateway(&project, &server);
    // The server does not know the script after `SCRIPT FLUSH`. This is no outage.
    let answers = undisturbed(&[&gwd], &server, || {
        [(); 3].map(|()| {
            server.ask(&["SCRIPT", "FLUSH"]);
            ask(&gwd)
        })
    });
    assert_eq!(answers, [(); 3].map(|()| (200, None)));
    assert!(is_up(&gwd));
}

#[test]
fn flushed_store_begins_again() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let project = project(&upstream, "kind: rate_limit, limit: 2/d", "closed");
    let gwd = gateway(&project, &server);
    for _ in 0..2 {
        let answers = undisturbed(&[&gwd], &server, || [(); 3].map(|()| ask(&gwd)));
        assert_eq!(answers, [(200, None), (200, None), (429, None)]);
    }
}

/// A gateway with a slow or fast clock names an earlier or later calendar period. The clock of the
/// store decides when a period ends.
#[test]
fn wrong_clock_of_a_gateway_resets_no_quota() {
    if is_missing() {
        return;
    }
    let server = Server::start(&[]);
    let script = include_str!("../../../../gwd/src/stores/count.lua");
    let time = server.ask(&["TIME"]);
    let seconds = time.lines().next().expect("seconds");
    let now_min = seconds.parse::<u64>().expect("a number") / 60;
    const DAY_MIN: u64 = 24 * 60;
    let take = |key: &str, end_min: u64| {
        let (day_ms, end) = ((DAY_MIN * 60_000).to_string(), end_min.to_string());
        let call = ["calendar", "2", &day_ms, "2", "1", &end];
        let answer = server.ask(&[&["EVAL", script, "1", key][..], &call[..]].concat());
        answer.lines().next() == Some("1")
    };
    let (right, behind, ahead) = (
        now_min + 60,
        now_min + 60 - 9 * DAY_MIN,
        now_min + 3 * DAY_MIN,
    );
    for (key, ends, admitted) in [
        ("behind", [behind; 4], [true, true, false, false]),
        ("ahead", [ahead; 4], [true, true, false, false]),
        (
            "both",
            [right, behind, ahead, right],
            [true, true, false, false],
        ),
        (
            "first",
            [behind, right, right, behind],
            [true, true, false, false],
        ),
    ] {
        assert_eq!(ends.map(|end| take(key, end)), admitted, "{key}");
    }
}

/// A store that sends an endless reply must not use up memory. Limits with this store apply
/// `on_outage`.
#[test]
fn endless_reply_is_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a connection");
            let _sent = client.write_all(b"$500000000\r\n");
            while client.write_all(&[b'x'; 1 << 16]).is_ok() {}
        }
    });
    let upstream = Upstream::start();
    let project = project(&upstream, "kind: rate_limit, limit: 2/d", "closed");
    let url = format!("redis://:s3cret@127.0.0.1:{port}/0");
    let gwd = Options::of(&project).variable("GWS_STORE", &url).start();
    let before = gwd.memory_bytes();
    let refused = (503, Some("\"shared\";verdict=closed".to_owned()));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        assert_eq!(ask(&gwd), refused);
    }
    let grown = gwd.memory_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
}

/// During an outage and at the return of the store, a gateway opens one connection at a time,
/// regardless of the number of requests.
#[test]
fn returning_store_meets_no_herd() {
    if is_missing() {
        return;
    }
    let (upstream, mut server) = (Upstream::start(), Server::start(&[]));
    let project = project(&upstream, "kind: rate_limit, limit: 100000/s", "open");
    let gwd = gateway(&project, &server);
    server.kill();
    let listener = TcpListener::bind(("127.0.0.1", server.port)).expect("the port is free");
    let attempts = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&attempts);
    let accepting = std::thread::spawn(move || {
        // The listener closes each connection immediately. The test itself opens the last
        // connection, which ends the thread.
        for client in listener.incoming() {
            let mut bytes = [0; 3];
            let mut client = client.expect("a connection");
            if client.read_exact(&mut bytes).is_ok() && &bytes == b"END" {
                return;
            }
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while begin.elapsed() < Duration::from_secs(2) {
                    assert_eq!(ask(&gwd).0, 200);
                }
            });
        }
    });
    let attempts = attempts.load(Ordering::Relaxed);
    assert!((1..=12).contains(&attempts), "{attempts}");
    let mut end = TcpStream::connect(("127.0.0.1", server.port)).expect("our listener");
    end.write_all(b"END").expect("our listener");
    accepting.join().expect("no panic");
    server.restart();
    wait::until("the store counts again", || {
        (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
    });
    let info = server.ask(&["INFO", "clients"]);
    // One connection belongs to the gateway, and one to redis-cli.
    assert!(info.contains("connected_clients:2"), "{info}");
}

/// Server without Redis: closes each connection at once, and records when it was opened.
struct ClosedServer {
    port: u16,
    opened: Arc<Mutex<Vec<Instant>>>,
}

impl ClosedServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let opened: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let recorded = Arc::clone(&opened);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                recorded.lock().expect("no panic").push(Instant::now());
                drop(client);
            }
        });
        Self { port, opened }
    }

    /// Times between the first attempts to connect, if there were seven.
    fn pauses(&self) -> Option<[Duration; 6]> {
        let opened = self.opened.lock().expect("no panic");
        let pauses = opened.windows(2).map(|pair| pair[1] - pair[0]);
        pauses.take(6).collect::<Vec<_>>().try_into().ok()
    }
}

/// Gateways that lost their store at the same time must not return to it at the same time.
#[test]
fn gateways_reconnect_at_different_times() {
    let upstream = Upstream::start();
    let project = project(&upstream, "kind: rate_limit, limit: 100000/s", "open");
    let servers = [(); 4].map(|()| ClosedServer::start());
    let gateways = servers.each_ref().map(|server| {
        let url = format!("redis://127.0.0.1:{}", server.port);
        Options::of(&project).variable("GWS_STORE", &url).start()
    });
    // The first request that counts opens the connection to the store.
    for gwd in &gateways {
        assert_eq!(ask(gwd).0, 200);
    }
    let pauses = wait::until("seven attempts of each gateway", || {
        let pauses: Option<Vec<[Duration; 6]>> = servers.iter().map(ClosedServer::pauses).collect();
        pauses
    });
    // The pauses double, each with a random factor from 0.5 to 1.5.
    let mut differing = 0;
    for (at, nominal_ms) in [50, 100, 200, 400, 800, 1_600].into_iter().enumerate() {
        let nominal = Duration::from_millis(nominal_ms);
        let of_all = || pauses.iter().map(|pauses| pauses[at]);
        let (least, most) = (of_all().min(), of_all().max());
        let (least, most) = (least.expect("four"), most.expect("four"));
        assert!(least >= nominal / 2, "{at}: {pauses:?}");
        // Other work on the machine delays long pauses less than by a quarter.
        differing += usize::from(nominal_ms >= 400 && most >= least.mul_f64(1.25));
    }
    assert!(differing >= 1, "{pauses:?}");
}
