//! Listening addresses that are added, removed and exchanged under load. No connection to a served
//! address is refused, and each accepted connection gets a response (release.md §9).

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bundle::digest::Digest;

use gwd::node::{AccessLog, Version};

use crate::fixture::*;

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

/// Clients that repeatedly connect, send one request and read the response.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the clients. `pause` is the time between connecting and sending.
    fn on(address: SocketAddr, clients: usize, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counter = Arc::<AtomicU64>::default;
        let (answered, refused, lost) = (counter(), counter(), counter());
        let client = || {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let (refused, lost) = (Arc::clone(&refused), Arc::clone(&lost));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let count = match ask(address, pause) {
                        Attempt::Answered => &answered,
                        Attempt::Refused => {
                            std::thread::park_timeout(Duration::from_millis(1));
                            &refused
                        }
                        Attempt::Lost => &lost,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads = (0..clients).map(|_| client()).collect();
        Self {
            stop,
            answered,
            refused,
            lost,
            threads,
        }
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until this number of further requests has been answered.
    fn goes_on(&self, more: u64) {
        let before = self.answered();
        eventually("requests are answered", || self.answered() >= before + more);
    }

    /// Ends the load. Returns the numbers of answered, refused and lost requests.
    fn end(self) -> (u64, u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (
            value(&self.answered),
            value(&self.refused),
            value(&self.lost),
        )
    }
}

enum Attempt {
    Answered,
    /// The connection was refused.
    Refused,
    /// The connection was accepted, but no response came.
    Lost,
}

fn ask(address: SocketAddr, pause: Duration) -> Attempt {
    // The timeout is shorter than a second, after which a dropped SYN is sent again.
    let mut stream = match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        Ok(stream) => stream,
        Err(error) => {
            let kinds = [ErrorKind::ConnectionRefused, ErrorKind::TimedOut];
            assert!(kinds.contains(&error.kind()), "{error}");
            return Attempt::Refused;
        }
    };
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    if !pause.is_zero() {
        std::thread::park_timeout(pause);
    }
    let mut answer = [0; 512];
    let wrote = stream.write_all(REQUEST);
    match wrote.and_then(|()| stream.read(&mut answer)) {
        Ok(read) if answer[..read].starts_with(b"HTTP/1.1 200") => Attempt::Answered,
        _ => Attempt::Lost,
    }
}

fn version(served: &mut Served, shop: &Shop, name: &str) -> Version {
    let id = Digest::of(name.as_bytes());
    let version = shop.build(&mut served.node, id);
    served.node.bind(&version).unwrap();
    version
}

/// Two configurations: the first listens on `public`, the second also on `second`. The second
/// configuration runs.
fn one_and_two(upstream: &Upstream, ports: Option<u16>) -> (Served, [Version; 2], SocketAddr) {
    let one = shop(upstream.address, vec![op("GET", "/a")]);
    let mut two = one.clone();
    let address = format!("127.0.0.1:{}", ports.unwrap_or(0));
    two.more_listeners = vec![listener("second", &address)];
    two.mount.listeners = vec!["public".into(), "second".into()];
    let mut served = one.serve_with(2, AccessLog::Off);
    let first = version(&mut served, &one, "one");
    let both = version(&mut served, &two, "two");
    served.node.publish(&both, 2);
    let second = served.node.listeners()["second"];
    (served, [first, both], second)
}

#[test]
fn listener_that_leaves_and_returns_loses_nothing() {
    let upstream = Upstream::saying("ok");
    let (mut served, [first, both], second) = one_and_two(&upstream, None);
    let stays = Load::on(served.address, 2, Duration::ZERO);
    let comes_and_goes = [
        Load::on(second, 3, Duration::ZERO),
        // These clients are connected when the address is removed, and send their request after
        // that.
        Load::on(second, 3, Duration::from_millis(20)),
    ];
    let mut serial = 3;
    for round in 0..12 {
        comes_and_goes.iter().for_each(|load| load.goes_on(20));
        served.node.publish(&first, serial);
        if round % 3 == 0 {
            // In this round, wait until the socket has stopped listening. In other rounds, the
            // address is added again before that.
            eventually("the removed address refuses connections", || {
                TcpStream::connect_timeout(&second, Duration::from_millis(50))
                    .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            });
        } else {
            stays.goes_on(20);
        }
        served.node.publish(&both, serial + 1);
        serial += 2;
    }
    for load in comes_and_goes {
        let (answered, refused, lost) = load.end();
        assert_eq!(lost, 0, "of {answered}, with {refused} refused");
        assert!(answered > 200);
    }
    let (answered, refused, lost) = stays.end();
    assert_eq!(
        (refused, lost),
        (0, 0),
        "of {answered} at the other address"
    );
}

#[test]
fn swapped_listener_addresses_lose_no_connection() {
    let upstream = Upstream::saying("ok");
    // Use explicit ports: a socket with port 0 would be identified by its listener.
    let ports: Vec<u16> = (0..2)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
        .map(|free| free.local_addr().unwrap().port())
        .collect();
    let on = |a: u16, b: u16| {
        let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
        shop.listener = listener("public", &format!("127.0.0.1:{a}"));
        shop.more_listeners = vec![listener("second", &format!("127.0.0.1:{b}"))];
        shop.mount.listeners = vec!["public".into(), "second".into()];
        shop
    };
    let straight = on(ports[0], ports[1]);
    let mut served = straight.serve_with(2, AccessLog::Off);
    let straight = version(&mut served, &straight, "straight");
    let crossed = version(&mut served, &on(ports[1], ports[0]), "crossed");
    let loads: Vec<Load> = ports
        .iter()
        .map(|port| Load::on(([127, 0, 0, 1], *port).into(), 3, Duration::ZERO))
        .collect();
    // An idle connection survives, too, when the two listeners swap their addresses.
    let mut kept = Client::connect(([127, 0, 0, 1], ports[0]).into());
    for serial in 2..42 {
        let version = if serial % 2 == 0 { &crossed } else { &straight };
        served.node.publish(version, serial);
        let public = served.node.listeners()["public"].port();
        assert_eq!(public, ports[usize::from(serial % 2 == 0)]);
        kept.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        let answer = kept.answer();
        assert_eq!((answer.status, answer.field("connection").len()), (200, 0));
        loads.iter().for_each(|load| load.goes_on(3));
    }
    for load in loads {
        let (answered, refused, lost) = load.end();
        assert_eq!((refused, lost), (0, 0), "of {answered}");
    }
}

#[test]
fn connection_at_a_removed_address_gets_one_response() {
    let upstream = Upstream::saying("ok");
    let (mut served, [first, _both], second) = one_and_two(&upstream, None);
    let mut kept = Client::connect(second);
    kept.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    let answer = kept.answer();
    assert_eq!((answer.status, answer.field("connection").len()), (200, 0));
    let mut fresh = Client::connect(second);
    let mut silent = Client::connect(second);
    served.node.publish(&first, 3);
    for client in [&mut kept, &mut fresh] {
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("connection"), ["close"]);
        assert!(client.closed());
    }
    assert!(silent.closed(), "the drain does not wait for idle clients");
    eventually("the previous version is freed", || {
        served.node.tidy(std::slice::from_ref(&first));
        served.node.connections() == 0
    });
}

#[test]
fn revoked_credential_is_refused_at_a_removed_address() {
    let upstream = Upstream::saying("ok");
    let mut two = shop(upstream.address, vec![op("GET", "/mine").secured("key")]);
    let one = two.clone();
    two.more_listeners = vec![listener("second", "127.0.0.1:0")];
    two.mount.listeners = vec!["public".into(), "second".into()];
    let mut served = two.serve();
    let second = served.node.listeners()["second"];
    let first = version(&mut served, &one, "less");
    let mut clients = [Client::connect(second), Client::connect(second)];
    let ask = |client: &mut Client| {
        client.send("GET /mine HTTP/1.1\r\nhost: h\r\nx-key: letmein\r\n\r\n");
        client.answer().status
    };
    served.node.publish(&first, 2);
    assert_eq!(ask(&mut clients[0]), 200);
    let hash = *Digest::of(b"letmein").as_bytes();
    served.node.revoke(policy::Revoked::new([hash]));
    assert_eq!(ask(&mut clients[1]), 401);
}

#[test]
fn added_listener_answers_its_first_connection() {
    let upstream = Upstream::saying("ok");
    let one = shop(upstream.address, vec![op("GET", "/a")]);
    let mut served = one.serve_with(2, AccessLog::Off);
    for round in 0..20 {
        let mut more = one.clone();
        let name = format!("more{round}");
        more.more_listeners = vec![listener(&name, "127.0.0.1:0")];
        more.mount.listeners = vec!["public".into(), name.clone()];
        more.mount.listeners.sort();
        let version = version(&mut served, &more, &name);
        served.node.publish(&version, round + 2);
        let address = served.node.listeners()[&name];
        for _ in 0..8 {
            assert!(matches!(ask(address, Duration::ZERO), Attempt::Answered));
        }
    }
}

#[test]
fn address_of_no_resident_version_is_released() {
    let upstream = Upstream::saying("ok");
    let (mut served, [first, both], second) = one_and_two(&upstream, None);
    served.node.publish(&first, 3);
    served.node.tidy(&[first.clone(), both]);
    let mut other = shop(upstream.address, vec![op("GET", "/a")]);
    other.listener = listener("public", &second.to_string());
    let taken = std::net::TcpListener::bind(second);
    assert!(taken.is_err(), "a resident version names it");
    served.node.tidy(&[first]);
    eventually("the address is released", || {
        std::net::TcpListener::bind(second).is_ok()
    });
}

/// True if connections are refused. False while the socket still listens and only drops new
/// handshakes, because the client then gets no answer.
fn is_gone(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(50))
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_drain_answers_who_had_connected_before_it() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let served = shop.serve();
    let mut fresh = Client::connect(served.address);
    let mut node = served.node;
    let draining = std::thread::spawn(move || node.drain(WAIT_MAX, &|| false));
    eventually("new connections are refused", || is_gone(served.address));
    fresh.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    let answer = fresh.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, vec!["close"])
    );
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn a_drain_answers_once_more_who_keeps_a_connection() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let served = shop.serve();
    let mut kept = Client::connect(served.address);
    let mut ask = || {
        kept.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        let answer = kept.answer();
        (answer.status, answer.field("connection").join(", "))
    };
    assert_eq!(ask(), (200, String::new()));
    let mut node = served.node;
    let draining = std::thread::spawn(move || node.drain(WAIT_MAX, &|| false));
    eventually("new connections are refused", || is_gone(served.address));
    assert_eq!(ask(), (200, "close".to_owned()));
    assert!(kept.closed());
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn listener_moves_between_one_and_all_addresses() {
    let upstream = Upstream::saying("ok");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let on = |address: &str| {
        let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
        shop.listener = listener("public", &format!("{address}:{port}"));
        shop
    };
    let one = on("127.0.0.1");
    let mut served = one.serve_with(2, AccessLog::Off);
    let one = version(&mut served, &one, "one address");
    let all = version(&mut served, &on("0.0.0.0"), "all addresses");
    let load = Load::on(([127, 0, 0, 1], port).into(), 3, Duration::ZERO);
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], port));
    for round in 0..4 {
        load.goes_on(20);
        served.node.publish(&all, round * 2 + 2);
        assert!(matches!(ask(elsewhere, Duration::ZERO), Attempt::Answered));
        load.goes_on(20);
        served.node.publish(&one, round * 2 + 3);
        load.goes_on(20);
        eventually("the other address refuses connections", || {
            TcpStream::connect_timeout(&elsewhere, Duration::from_millis(50))
                .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
    }
    // While the more specific address is removed, new SYNs are dropped and sent again after a
    // second. `ask` gives up after 300 ms, so the attempt counts as refused, not as lost.
    let (answered, refused, lost) = load.end();
    assert_eq!(lost, 0, "of {answered}, with {refused} refused");
}

#[test]
fn colliding_listeners_are_refused_for_good() {
    let upstream = Upstream::saying("ok");
    let one = shop(upstream.address, vec![op("GET", "/a")]);
    let mut served = one.serve();
    for (a, b) in [
        ("127.0.0.1:18080", "127.0.0.1:18080"),
        ("127.0.0.1:18080", "0.0.0.0:18080"),
    ] {
        let mut two = one.clone();
        two.listener = listener("public", a);
        two.more_listeners = vec![listener("second", b)];
        let refused = two
            .try_build(&mut served.node, Digest::of(b"two"))
            .unwrap_err();
        assert_eq!(refused.reason(), "listener-conflict");
        assert!(refused.permanent());
        assert!(refused.to_string().contains("`public` and `second`"));
    }
    assert_eq!(get(served.address, "/a").status, 200);
}

#[test]
fn colliding_overrides_are_refused_by_name() {
    let upstream = Upstream::saying("ok");
    let mut two = shop(upstream.address, vec![op("GET", "/a")]);
    two.more_listeners = vec![listener("second", "127.0.0.1:0")];
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut node = gwd::node::Node::start(gwd::node::Settings {
        listen: [("public".into(), address), ("second".into(), address)].into(),
        ..settings()
    })
    .unwrap();
    let version = two.build(&mut node, Digest::of(b"two"));
    let refused = node.bind(&version).unwrap_err();
    assert_eq!(refused.reason(), "port-busy");
    assert!(refused.to_string().contains("--listen gives"), "{refused}");
}
