//! Choice of a request's host: cookies, hash keys, zones, many targets, and targets that change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bundle::digest::Digest;
use policy::traffic::retry::Condition;
use policy::upstream::{HashOn, Lb, Passive};

use crate::fixture::*;
use crate::retries::retries;

#[test]
fn cookie_keeps_a_client_at_its_host_and_is_opaque() {
    let hosts: Vec<Upstream> = ["a", "b", "c"].map(Upstream::saying).into();
    let mut shop = shop(hosts[0].address, vec![op("GET", "/a")]);
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let mut main = service("main", &addresses);
    main.balance.lb = Lb::Maglev;
    main.balance.hash_on = Some(HashOn::Cookie("stay".into()));
    shop.upstreams = vec![main];
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let first = get(served.address, "/a");
        let [cookie] = first.field("set-cookie")[..] else {
            panic!("{first:?}")
        };
        assert!(
            cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
            "{cookie}"
        );
        assert!(!cookie.contains("127.0.0.1"));
        let pair = cookie.split(';').next().unwrap();
        for _ in 0..4 {
            let again = fetch(
                served.address,
                "GET",
                "/a",
                &format!("cookie: x=y; {pair}\r\n"),
            );
            assert_eq!(again.text(), first.text());
            assert!(again.field("set-cookie").is_empty());
        }
        seen.insert(first.text().to_owned());
    }
    assert!(seen.len() > 1, "newcomers are spread");
    let forged = fetch(served.address, "GET", "/a", "cookie: stay=0000\r\n");
    assert_eq!(forged.status, 200);
    assert_eq!(forged.field("set-cookie").len(), 1);
}

#[test]
fn cookie_of_a_tls_client_is_secure() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let balance = &mut shop.upstreams[0].balance;
    (balance.lb, balance.hash_on) = (Lb::Ketama, Some(HashOn::Cookie("stay".into())));
    shop.listener.trusted_proxies = vec![bundle::ir::Cidr::parse("127.0.0.0/8").unwrap()];
    let served = shop.serve();
    for (scheme, secure) in [("https", true), ("http", false)] {
        let field = format!("x-forwarded-proto: {scheme}\r\n");
        let answer = fetch(served.address, "GET", "/a", &field);
        let cookie = answer.field("set-cookie")[0];
        assert_eq!(cookie.ends_with("; Secure"), secure, "{cookie}");
    }
}

#[test]
fn one_key_of_any_kind_goes_to_one_host() {
    let hosts: Vec<Upstream> = ["a", "b", "c"].map(Upstream::saying).into();
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let query = |key: u32| (format!("/a?x=1&user={key}"), String::new());
    let address = |key: u32| {
        let field = format!("x-forwarded-for: 203.0.113.{key}\r\n");
        ("/a".to_owned(), field)
    };
    type Asks<'a> = &'a dyn Fn(u32) -> (String, String);
    let kinds: [(HashOn, Asks<'_>); 2] = [
        (HashOn::Query("user".into()), &query),
        (HashOn::Address, &address),
    ];
    for (hash_on, asks) in kinds {
        let mut shop = shop(addresses[0], vec![op("GET", "/a")]);
        let mut main = service("main", &addresses);
        main.balance.lb = Lb::Maglev;
        main.balance.hash_on = Some(hash_on.clone());
        shop.upstreams = vec![main];
        shop.listener.trusted_proxies = vec![bundle::ir::Cidr::parse("127.0.0.0/8").unwrap()];
        let served = shop.serve_with(2, gwd::node::AccessLog::Off);
        let mut all = std::collections::BTreeSet::new();
        for key in 0..12 {
            let (path, field) = asks(key);
            let bodies = (0..4).map(|_| {
                fetch(served.address, "GET", &path, &field)
                    .text()
                    .to_owned()
            });
            let bodies: std::collections::BTreeSet<String> = bodies.collect();
            assert_eq!(bodies.len(), 1, "{hash_on:?} {key}");
            all.extend(bodies);
        }
        assert!(all.len() > 1, "{hash_on:?}");
    }
}

#[test]
fn one_key_goes_to_one_host_whichever_worker_gets_it() {
    let hosts: Vec<Upstream> = ["a", "b", "c"].map(Upstream::saying).into();
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    for lb in [Lb::Ketama, Lb::Maglev] {
        let mut shop = shop(addresses[0], vec![op("GET", "/a")]);
        let mut main = service("main", &addresses);
        main.balance.lb = lb;
        main.balance.hash_on = Some(HashOn::Header("x-user".into()));
        shop.upstreams = vec![main];
        let served = shop.serve_with(2, gwd::node::AccessLog::Off);
        let mut bodies = std::collections::BTreeSet::new();
        for user in 0..8 {
            let field = format!("x-user: {user}\r\n");
            let texts =
                (0..4).map(|_| fetch(served.address, "GET", "/a", &field).text().to_owned());
            let texts: std::collections::BTreeSet<String> = texts.collect();
            assert_eq!(texts.len(), 1, "{user}");
            bodies.extend(texts);
        }
        assert!(bodies.len() > 1);
    }
}

#[test]
fn consumer_keeps_its_host_for_any_worker_or_key() {
    let hosts: Vec<Upstream> = ["a", "b", "c"].map(Upstream::saying).into();
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let credential = |text: &str| bundle::ir::Credential {
        sha256: *Digest::of(text.as_bytes()).as_bytes(),
        not_after: None,
        password: None,
    };
    for lb in [Lb::Ketama, Lb::Maglev] {
        let mut shop = shop(addresses[0], vec![op("GET", "/a").secured("key")]);
        let mut main = service("main", &addresses);
        main.balance.lb = lb;
        main.balance.hash_on = Some(HashOn::Consumer);
        shop.upstreams = vec![main];
        let mut gateway = shop.gateway();
        // Each consumer has two keys.
        let consumers = (0..12).map(|number| {
            let mut keys = [0, 1]
                .map(|key| credential(&format!("key-{number}-{key}")))
                .to_vec();
            keys.sort();
            bundle::ir::Consumer {
                name: format!("consumer-{number}"),
                keys,
                basic: Vec::new(),
                declared: policy::declared::Settings::default(),
                groups: Vec::new(),
                metadata: policy::declared::Settings::default(),
                certificates: Vec::new(),
                plan: None,
                tokens: Vec::new(),
                claims: policy::declared::Settings::default(),
            }
        });
        gateway.shared.consumers = bundle::ir::Set::new(consumers.collect()).unwrap();
        let mut node = gwd::node::Node::start(gwd::node::Settings {
            workers: 4,
            ..settings()
        })
        .unwrap();
        let assembly = node.parts().assemble(&gateway).unwrap();
        let version = node
            .build(&assembly, Digest::of(b"one"), &TestSecrets)
            .unwrap();
        node.bind(&version).unwrap();
        node.publish(&version, 1);
        let address = node.listeners()["public"];
        let mut all = std::collections::BTreeSet::new();
        for number in 0..12 {
            let bodies = (0..8).map(|nth| {
                let field = format!("x-key: key-{number}-{}\r\n", nth % 2);
                let answer = fetch(address, "GET", "/a", &field);
                assert_eq!(answer.status, 200);
                answer.text().to_owned()
            });
            let bodies: std::collections::BTreeSet<String> = bodies.collect();
            assert_eq!(bodies.len(), 1, "{lb:?}: consumer-{number}");
            all.extend(bodies);
        }
        assert!(all.len() > 1, "{lb:?}");
    }
}

#[test]
fn more_than_sixty_four_targets_are_all_reached() {
    let last = Upstream::saying("ok");
    let mut addresses: Vec<SocketAddr> = (0..3).map(|_| dead()).collect();
    addresses.push(last.address);
    let mut shop = shop(last.address, vec![op("GET", "/a")]);
    let mut main = service("main", &addresses);
    let mut targets: Vec<_> = main.targets.iter().cloned().collect();
    for number in 0..100 {
        let mut target = targets[3].clone();
        target.name = format!("t{number}");
        targets.push(target);
    }
    main.targets = bundle::ir::Set::new(targets).unwrap();
    shop.upstreams = vec![main];
    let served = shop.serve();
    for _ in 0..120 {
        assert_eq!(get(served.address, "/a").status, 200);
    }
}

#[test]
fn backends_replaced_one_by_one_lose_no_request() {
    // One of three backends, which restart in turn: each stops listening, closes its connections
    // and starts again. The next backend stops when the gateway uses this one again.
    struct Backend {
        address: SocketAddr,
        up: Arc<AtomicBool>,
        is_used: Arc<AtomicBool>,
    }
    fn serve(listener: &std::net::TcpListener, up: &Arc<AtomicBool>, is_used: &AtomicBool) {
        use std::io::{BufRead as _, BufReader, Write as _};
        listener.set_nonblocking(true).unwrap();
        while up.load(Ordering::SeqCst) {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::park_timeout(Duration::from_millis(1));
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            is_used.store(true, Ordering::SeqCst);
            let up = Arc::clone(up);
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                while up.load(Ordering::SeqCst)
                    && reader.read_line(&mut line).is_ok_and(|read| read > 0)
                {
                    if line == "\r\n" {
                        let _gone =
                            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                    }
                    line.clear();
                }
            });
        }
    }
    let begin = |address: &str| {
        let listener = loop {
            // The port is free again once the backend's last connection has ended.
            match std::net::TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(_) => std::thread::park_timeout(Duration::from_millis(1)),
            }
        };
        let address = listener.local_addr().unwrap();
        let up = Arc::new(AtomicBool::new(true));
        let is_used = Arc::new(AtomicBool::new(false));
        let (stop, used) = (Arc::clone(&up), Arc::clone(&is_used));
        std::thread::spawn(move || serve(&listener, &stop, &used));
        Backend {
            address,
            up,
            is_used,
        }
    };
    let mut backends: Vec<Backend> = (0..3).map(|_| begin("127.0.0.1:0")).collect();
    let addresses: Vec<SocketAddr> = backends.iter().map(|one| one.address).collect();
    let mut shop = shop(addresses[0], vec![op("GET", "/a")]);
    let mut main = service("main", &addresses);
    // When a listener closes, the kernel resets connections that the backend has not accepted yet.
    let mut retry = retries(4, &[Condition::ConnectFailure, Condition::Reset]);
    // All four clients may reach a backend that is stopping, so more retries are needed than the
    // default minimum of 3.
    retry.times.budget_min = 8;
    main.retries = Some(retry);
    shop.upstreams = vec![main];
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let stop = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let until_stop = SetOnDrop(&stop);
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(served.address);
                    while !stop.load(Ordering::SeqCst) {
                        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
                        let answer = client.answer();
                        assert_eq!(answer.status, 200, "{answer:?}");
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for backend in &mut backends {
            for _ in 0..2 {
                let mark = sent.load(Ordering::SeqCst) + 200;
                eventually("200 more requests are sent", || {
                    sent.load(Ordering::SeqCst) > mark
                });
                backend.up.store(false, Ordering::SeqCst);
                let mark = sent.load(Ordering::SeqCst) + 200;
                eventually("200 more requests are sent without the host", || {
                    sent.load(Ordering::SeqCst) > mark
                });
                *backend = begin(&backend.address.to_string());
                eventually("the gateway uses the host again", || {
                    backend.is_used.load(Ordering::SeqCst)
                });
            }
        }
        drop(until_stop);
        for client in clients {
            client.join().unwrap();
        }
    });
}

#[test]
fn targets_of_the_own_zone_come_first_while_half_work() {
    let hosts: Vec<Upstream> = ["1", "2", "3"].map(Upstream::saying).into();
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let mut shop = shop(addresses[0], vec![op("GET", "/a")]);
    let mut main = service("main", &addresses);
    let zones = main.targets.iter().cloned().map(|mut target| {
        let far = target.port == addresses[2].port();
        target.zone = Some(if far { "west" } else { "east" }.to_owned());
        target
    });
    main.targets = bundle::ir::Set::new(zones.collect()).unwrap();
    main.health.passive = Some(Passive {
        consecutive_5xx: 1,
        max_ejected_ppm: 1_000_000,
        ..Passive::default()
    });
    shop.upstreams = vec![main];
    let answers = |zone: Option<&str>, dead: &[usize]| {
        let mut shop = shop.clone();
        let mut targets: Vec<_> = shop.upstreams[0].targets.iter().cloned().collect();
        for at in dead {
            let port = addresses[*at].port();
            let target = targets.iter_mut().find(|target| target.port == port);
            target.unwrap().port = self::dead().port();
        }
        shop.upstreams[0].targets = bundle::ir::Set::new(targets).unwrap();
        let mut node = gwd::node::Node::start(gwd::node::Settings {
            zone: zone.map(str::to_owned),
            ..settings()
        })
        .unwrap();
        let version = shop.build(&mut node, Digest::of(b"one"));
        node.bind(&version).unwrap();
        node.publish(&version, 1);
        let address = node.listeners()["public"];
        // The first requests detect the dead hosts.
        (0..12).for_each(|_| drop(get(address, "/a")));
        let mut all: Vec<String> = (0..12)
            .map(|_| get(address, "/a").text().to_owned())
            .collect();
        all.sort();
        all.dedup();
        all.concat()
    };
    assert_eq!(answers(Some("east"), &[]), "12");
    assert_eq!(answers(Some("west"), &[]), "3");
    assert_eq!(answers(None, &[]), "123");
    assert_eq!(answers(Some("north"), &[]), "123", "nobody is there");
    assert_eq!(answers(Some("east"), &[0]), "2", "half of them");
    assert_eq!(answers(Some("west"), &[2]), "12", "less than half");
}
