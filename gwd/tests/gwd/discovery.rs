//! Discovery of hosts by DNS and from files. Hosts appear and disappear under load, and no request
//! fails.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bundle::digest::Digest;
use bundle::ir;
use gwd::discovery::{Settings as Discovery, Times};
use gwd::node::Settings;
use policy::declared::{Scalar, Settings as Written, Value};
use policy::upstream::{Active, Lb, Passive};

use crate::asking::ASK;
use crate::fixture::*;
use crate::name_server::{A, AAAA, NameServer, Record, Reply, SRV, v4, v6};

const NAME: &str = "orders.test";

/// Upstreams at 127.0.0.1, 127.0.0.2, …, on one port. Each answers with the last number of its
/// address.
fn hosts(count: u8) -> Vec<Upstream> {
    let listeners = loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let rest =
            (2..=count).map(|last| TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)));
        if let Ok(rest) = rest.collect::<Result<Vec<_>, _>>() {
            break std::iter::once(first).chain(rest).collect::<Vec<_>>();
        }
    };
    listeners.into_iter().map(host_on).collect()
}

fn host_on(listener: TcpListener) -> Upstream {
    let name = listener.local_addr().unwrap().ip().to_string();
    let name = name.rsplit(['.', ':']).next().unwrap().to_owned();
    Upstream::on(listener, move |_, stream| {
        say(
            stream,
            &format!("content-length: {}\r\n", name.len()),
            &name,
        );
        Then::Keep
    })
}

fn dns(name: &str, port: Option<u16>) -> Option<ir::Discovery> {
    Some(ir::Discovery::Dns(ir::Dns {
        name: name.to_owned(),
        port,
        refresh_ms: None,
    }))
}

/// A gateway whose upstream is discovered by this DNS name.
fn found(name: &str, port: Option<u16>) -> Shop {
    let mut shop = shop(([127, 0, 0, 1], 1).into(), vec![op("GET", "/a")]);
    shop.upstreams[0].targets = ir::Set::default();
    shop.upstreams[0].discovery = dns(name, port);
    shop
}

/// Time limits that are a hundredth of the defaults.
fn fast() -> Times {
    Times {
        ttl_min_ms: 10,
        ttl_max_ms: 3_000,
        failed_max_ms: 100,
        absent_ms: 300,
    }
}

fn settings_with(server: &NameServer, times: Times) -> Settings {
    Settings {
        discovery: Discovery {
            name_servers: vec![server.address],
            times,
        },
        ..settings()
    }
}

/// Sends `count` requests. Returns the sorted names of the hosts that answered.
fn answers(served: &Served, count: usize) -> String {
    let mut all: Vec<String> = (0..count)
        .map(|_| get(served.address, "/a").text().to_owned())
        .collect();
    all.sort();
    all.dedup();
    all.concat()
}

fn endpoints(served: &Served) -> f64 {
    served.metric("gwd_upstream_endpoints", &["main"])
}

fn records(last: &[u8], ttl: u32) -> Reply {
    Reply::Records(last.iter().map(|last| v4(*last)).collect(), ttl)
}

#[test]
fn hosts_change_under_load_without_lost_requests() {
    let hosts = hosts(3);
    let server = NameServer::start();
    server.set_reply(NAME, A, records(&[1], 0));
    let shop = found(NAME, Some(hosts[0].address.port()));
    let served = shop.serve_by(Settings {
        workers: 2,
        ..settings_with(&server, fast())
    });
    assert_eq!(answers(&served, 4), "1");
    let over = Arc::new(AtomicBool::new(false));
    let requests = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (over, requests, address) =
                (Arc::clone(&over), Arc::clone(&requests), served.address);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !over.load(Ordering::SeqCst) {
                    client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
                    let answer = client.answer();
                    assert_eq!(answer.status, 200, "{answer:?}");
                    requests.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for (now, expected) in [
        (&[1, 2][..], "12"),
        (&[2, 3], "23"),
        (&[3], "3"),
        (&[1, 2, 3], "123"),
        (&[2], "2"),
    ] {
        server.set_reply(NAME, A, records(now, 0));
        eventually(expected, || answers(&served, 12) == expected);
        let so_far = requests.load(Ordering::SeqCst);
        eventually("the load continues", || {
            requests.load(Ordering::SeqCst) > so_far + 200
        });
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn removed_host_finishes_and_closes_idle_connections() {
    let server = NameServer::start();
    let (open, wait) = gate();
    let (closed, closing) = gate();
    let (listener, other) = loop {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = one.local_addr().unwrap().port();
        if let Ok(two) = TcpListener::bind(("127.0.0.2", port)) {
            break (one, two);
        }
    };
    let port = listener.local_addr().unwrap().port();
    let leaving = Upstream::on(listener, move |seen, stream| {
        if seen.connection == 0 {
            let _open = wait.lock().unwrap().recv();
        } else {
            // Report when the gateway closes the second connection, which stays idle.
            let mut watched = stream.try_clone().unwrap();
            let closed = closed.clone();
            say(stream, "content-length: 4\r\n", "fast");
            std::thread::spawn(move || {
                use std::io::Read as _;
                let ended = watched.read(&mut [0; 1]);
                let _over = closed.send(());
                drop(ended);
            });
            return Then::Keep;
        }
        say(stream, "content-length: 4\r\n", "slow");
        Then::Keep
    });
    let staying = host_on(other);
    server.set_reply(NAME, A, records(&[1], 0));
    let served = found(NAME, Some(port)).serve_by(settings_with(&server, fast()));
    let mut slow = Client::connect(served.address);
    slow.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    eventually("the host gets the request", || leaving.seen().len() == 1);
    assert_eq!(get(served.address, "/a").text(), "fast");
    server.set_reply(NAME, A, records(&[2], 0));
    // Without another request, the periodic sweep closes the connection.
    closing.lock().unwrap().recv_timeout(WAIT_MAX).unwrap();
    assert_eq!(answers(&served, 5), "2");
    open.send(()).unwrap();
    assert_eq!(slow.answer().text(), "slow");
    assert_eq!(leaving.seen().len(), 2);
    assert_eq!(staying.seen().len(), 5);
}

#[test]
fn unanswered_lookup_keeps_hosts_and_shows_their_age() {
    let hosts = hosts(2);
    let server = NameServer::start();
    server.set_reply(NAME, A, records(&[1, 2], 0));
    let shop = found(NAME, Some(hosts[0].address.port()));
    let served = shop.serve_by(settings_with(&server, fast()));
    let age = || served.metric("gwd_upstream_endpoint_age_seconds", &["main"]);
    let failed = || served.metric("gwd_upstream_discovery_total", &["main", "failed"]);
    assert_eq!(answers(&served, 6), "12");
    server.set_reply(NAME, A, Reply::Code(2));
    eventually("three lookups have failed", || failed() >= 3.0);
    // Wait for longer than the time after which a name without records counts as absent.
    eventually("the hosts are older than 500 ms", || age() > 0.5);
    assert_eq!(
        (endpoints(&served), answers(&served, 6).as_str()),
        (2.0, "12")
    );
    server.set_reply(NAME, A, records(&[2], 0));
    eventually("only host 2 serves", || answers(&served, 6) == "2");
    assert!(age() < 0.5, "{}", age());
}

#[test]
fn nonexistent_name_counts_after_repetition() {
    let hosts = hosts(1);
    for gone in [Reply::Code(3), Reply::Code(0)] {
        let server = NameServer::start();
        server.set_reply(NAME, A, records(&[1], 0));
        let shop = found(NAME, Some(hosts[0].address.port()));
        let served = shop.serve_by(settings_with(&server, fast()));
        server.set_reply(NAME, A, gone.clone());
        server.set_reply(NAME, AAAA, gone);
        let absent = || served.metric("gwd_upstream_discovery_total", &["main", "absent"]);
        eventually("an absent name is counted", || absent() >= 1.0);
        // The known hosts are used for a while longer, because the answer may be a temporary
        // mistake.
        let began = std::time::Instant::now();
        let early = get(served.address, "/a").status;
        assert!(early == 200 || began.elapsed() > Duration::from_millis(200));
        eventually("the upstream has no hosts", || endpoints(&served) == 0.0);
        let answer = get(served.address, "/a");
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (503, "dns_failed")
        );
        assert_eq!(answer.field("proxy-status"), ["gwd; error=dns_error"]);
        server.set_reply(NAME, A, records(&[1], 0));
        eventually("the host serves again", || {
            get(served.address, "/a").status == 200
        });
    }
}

#[test]
fn answer_too_large_for_a_datagram_uses_tcp() {
    let hosts = hosts(1);
    let server = NameServer::start();
    // The gateway chooses the first host at random. None of these 200 addresses has a host that
    // listens, so every choice gives the same status.
    let many: Vec<Record> = (2..=201).map(v4).collect();
    server.set_reply(NAME, A, Reply::Truncated(many, 60));
    let shop = found(NAME, Some(hosts[0].address.port()));
    let served = shop.serve_by(settings_with(&server, fast()));
    assert_eq!(endpoints(&served), 200.0);
    assert_eq!(server.query_counts(NAME, A), (1, 1));
    assert_eq!(get(served.address, "/a").status, 502);
}

#[test]
fn ttl_of_a_week_or_0_is_bounded() {
    let hosts = hosts(2);
    for (ttl, times) in [
        (
            7 * 86_400,
            Times {
                ttl_max_ms: 50,
                ..fast()
            },
        ),
        (
            0,
            Times {
                ttl_min_ms: 50,
                ..fast()
            },
        ),
    ] {
        let server = NameServer::start();
        server.set_reply(NAME, A, records(&[1], ttl));
        let shop = found(NAME, Some(hosts[0].address.port()));
        let began = std::time::Instant::now();
        let served = shop.serve_by(settings_with(&server, times));
        assert_eq!(answers(&served, 3), "1");
        server.set_reply(NAME, A, records(&[2], ttl));
        eventually("only host 2 serves", || answers(&served, 3) == "2");
        eventually("the name is queried five times", || {
            server.query_counts(NAME, A).0 >= 5
        });
        let most = began.elapsed().as_millis() / 45 + 1;
        assert!((server.query_counts(NAME, A).0 as u128) <= most, "{most}");
    }
}

#[test]
fn services_have_ports_weights_and_priorities() {
    let hosts: Vec<Upstream> = (0..3)
        .map(|_| {
            Upstream::start(|seen, stream| {
                let host = seen.field("host")[0].to_owned();
                say(
                    stream,
                    &format!("content-length: {}\r\n", host.len()),
                    &host,
                );
                Then::Keep
            })
        })
        .collect();
    let name = "_http._tcp.orders.test";
    let port = |at: usize| hosts[at].address.port();
    let service = |priority, weight, port| Record::Service(priority, weight, port, "pod.test");
    let server = NameServer::start();
    let all = vec![
        service(10, 30, port(0)),
        service(10, 10, port(1)),
        service(20, 99, port(2)),
    ];
    server.set_reply(name, SRV, Reply::Records(all, 0));
    server.set_reply("pod.test", A, records(&[1], 0));
    let mut shop = found(name, None);
    shop.upstreams[0].host_header = ir::HostHeader::Upstream;
    let served = shop.serve_by(settings_with(&server, fast()));
    for _ in 0..40 {
        let answer = get(served.address, "/a");
        let ports = [port(0), port(1)].map(|port| format!("orders.test:{port}"));
        assert!(
            ports.contains(&answer.text().to_owned()),
            "{}",
            answer.text()
        );
    }
    let seen: Vec<usize> = hosts.iter().map(|host| host.seen().len()).collect();
    // Allow small differences: the round robin starts again when the hosts are updated.
    assert!(
        (28..=32).contains(&seen[0]) && seen[0] + seen[1] == 40,
        "{seen:?}"
    );
    // The hosts of the first two priorities are dead, so all requests go to the next priority.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_port = dead.local_addr().unwrap().port();
    drop(dead);
    let all = vec![service(10, 30, closed_port), service(20, 99, port(2))];
    server.set_reply(name, SRV, Reply::Records(all, 0));
    eventually("both hosts are known", || endpoints(&served) == 2.0);
    for _ in 0..10 {
        assert_eq!(
            get(served.address, "/a").text(),
            format!("orders.test:{}", port(2))
        );
    }
    // An SRV target of `.` says that there is no such service.
    let none = vec![Record::Service(0, 0, 0, ".")];
    server.set_reply(name, SRV, Reply::Records(none, 0));
    eventually("requests are refused", || {
        get(served.address, "/a").status == 503
    });
}

#[test]
fn addresses_of_one_name_share_its_weight() {
    let hosts = hosts(3);
    let port = hosts[0].address.port();
    let server = NameServer::start();
    server.set_reply("many.test", A, records(&[1, 2], 60));
    server.set_reply("one.test", A, records(&[3], 60));
    let mut shop = found(NAME, None);
    let main = &mut shop.upstreams[0];
    main.discovery = None;
    let target = |name: &str, weight| ir::Target {
        name: name.to_owned(),
        host: format!("{name}.test"),
        port,
        path: format!("/{name}"),
        weight,
        zone: None,
        tls: false,
    };
    main.targets = ir::Set::new(vec![target("many", 1), target("one", 2)]).unwrap();
    let served = shop.serve_by(settings_with(&server, fast()));
    for _ in 0..42 {
        assert_eq!(get(served.address, "/a").status, 200);
    }
    let seen: Vec<usize> = hosts.iter().map(|host| host.seen().len()).collect();
    assert_eq!(seen, [7, 7, 28]);
    assert_eq!(hosts[0].seen()[0].line(), "GET /many/a HTTP/1.1");
    assert_eq!(hosts[2].seen()[0].line(), "GET /one/a HTTP/1.1");
}

#[test]
fn name_without_ipv4_uses_its_ipv6_addresses() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        prerequisite::skip("there is no IPv6 here");
        return;
    };
    let host = host_on(listener);
    let server = NameServer::start();
    server.set_reply(NAME, A, Reply::Code(0));
    server.set_reply(NAME, AAAA, Reply::Records(vec![v6()], 60));
    let shop = found(NAME, Some(host.address.port()));
    let served = shop.serve_by(settings_with(&server, fast()));
    assert_eq!(get(served.address, "/a").text(), "1");
    assert_eq!(endpoints(&served), 1.0);
}

#[test]
fn unanswered_name_at_start_delays_no_other() {
    let hosts = hosts(1);
    let server = NameServer::start();
    server.set_reply(NAME, A, Reply::Silence);
    let mut shop = found(NAME, Some(hosts[0].address.port()));
    shop.upstreams.push(service("other", &[hosts[0].address]));
    shop.ops.push(op("GET", "/other").upstream("other"));
    let mut node = gwd::node::Node::start(settings_with(&server, fast())).unwrap();
    let version = shop.build(&mut node, Digest::of(b"one"));
    let began = std::time::Instant::now();
    node.wait_for_hosts(&version, Duration::from_millis(50));
    assert!(began.elapsed() >= Duration::from_millis(50));
    node.bind(&version).unwrap();
    node.publish(&version, 1);
    let address = node.listeners()["public"];
    let served = Served { node, address };
    assert_eq!(get(served.address, "/other").status, 200);
    assert_eq!(get(served.address, "/a").status, 503);
    server.set_reply(NAME, A, records(&[1], 60));
    eventually("the host serves", || {
        get(served.address, "/a").status == 200
    });
}

#[test]
fn localhost_needs_no_name_server() {
    let hosts = hosts(1);
    let shop = found("localhost", Some(hosts[0].address.port()));
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").text(), "1");
}

#[test]
fn known_hosts_keep_their_state_when_others_come() {
    let port_of = hosts(3);
    let port = port_of[0].address.port();
    let server = NameServer::start();
    server.set_reply(NAME, A, records(&[1, 2], 0));
    let mut shop = found(NAME, Some(port));
    shop.upstreams[0].health.passive = Some(Passive {
        consecutive_5xx: 1,
        max_ejected_ppm: 1_000_000,
        ejection_ms: 60_000,
        ..Passive::default()
    });
    shop.upstreams[0].health.active = Some(Active::of(
        &Written::default()
            .with(&["interval"], Value::One(Scalar::Duration(20)))
            .with(&["timeout"], Value::One(Scalar::Duration(20)))
            .with(
                &["statuses"],
                Value::Set(vec![Scalar::Number(299)].into_iter().collect()),
            )
            .with(&["unchecked"], Value::One(Scalar::Text("wait".into()))),
    ));
    let served = shop.serve_by(settings_with(&server, fast()));
    let healthy = |last: u8| {
        let host = format!("127.0.0.{last}:{port}");
        served.metric("gwd_upstream_host_healthy", &[&host])
    };
    let checks = || served.metric("gwd_upstream_health_checks_total", &["failed"]);
    eventually("both hosts fail their checks", || {
        healthy(1) + healthy(2) == 0.0 && checks() >= 2.0
    });
    assert_eq!(get(served.address, "/a").status, 503);
    server.set_reply(NAME, A, records(&[2, 3], 0));
    let third = format!("127.0.0.3:{port}");
    let checked = || served.metric("gwd_upstream_health_checks_total", &[&third, "failed"]);
    eventually("the new host is checked", || checked() >= 1.0);
    assert_eq!(get(served.address, "/a").status, 503);
    eventually("the first host is removed", || {
        !served.node.metrics().contains(&format!("127.0.0.1:{port}"))
    });
}

#[test]
fn hashes_are_looked_up_among_the_hosts_of_now() {
    let hosts = hosts(4);
    let port = hosts[0].address.port();
    let server = NameServer::start();
    for lb in [Lb::Ketama, Lb::Maglev] {
        server.set_reply(NAME, A, records(&[1, 2, 3], 0));
        let mut shop = found(NAME, Some(port));
        shop.upstreams[0].balance.lb = lb;
        shop.upstreams[0].balance.hash_on = Some(policy::upstream::HashOn::Header("x-user".into()));
        let served = shop.serve_by(settings_with(&server, fast()));
        let map = || -> Vec<String> {
            let ask = |key: usize| {
                let answer = fetch(served.address, "GET", "/a", &format!("x-user: {key}\r\n"));
                answer.text().to_owned()
            };
            (0..60).map(ask).collect()
        };
        let before = map();
        assert_eq!(before, map(), "a key has its host");
        server.set_reply(NAME, A, records(&[1, 2, 3, 4], 0));
        eventually("all four hosts are known", || endpoints(&served) == 4.0);
        let after = map();
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b);
        let (mut count, mut strays) = (0, 0);
        for (_, to) in moved {
            count += 1;
            strays += usize::from(to != "4");
        }
        assert!((4..40).contains(&count), "{lb:?}: {count} of 60 moved");
        // Ketama moves keys only to the new host. A table-based algorithm may also move a few keys
        // between other hosts.
        let most = if lb == Lb::Ketama { 0 } else { 12 };
        assert!(strays <= most, "{lb:?}: {strays}");
    }
}

#[test]
fn versions_with_one_source_share_its_answers() {
    let hosts = hosts(1);
    let server = NameServer::start();
    server.set_reply(NAME, A, records(&[1], 60));
    let mut shop = found(NAME, Some(hosts[0].address.port()));
    let mut served = shop.serve_by(settings_with(&server, Times::default()));
    assert_eq!(get(served.address, "/a").text(), "1");
    server.set_reply(NAME, A, Reply::Silence);
    shop.upstreams[0].connect_timeout_ms = 1_000;
    let version = shop.build(&mut served.node, Digest::of(b"two"));
    served.node.wait_for_hosts(&version, Duration::ZERO);
    served.node.publish(&version, 2);
    assert_eq!(get(served.address, "/a").text(), "1");
    assert_eq!(server.query_counts(NAME, A).0, 1);
}

/// A gateway whose hosts are listed in a file.
fn in_file(path: &std::path::Path) -> Shop {
    let mut shop = found(NAME, None);
    let path = path.to_str().unwrap().to_owned();
    shop.upstreams[0].discovery = Some(ir::Discovery::File(ir::HostFile { path }));
    shop
}

fn listed(hosts: &[&Upstream]) -> String {
    let targets = hosts.iter();
    let targets = targets.map(|host| format!("{{\"address\": \"{}\"}}", host.address));
    format!(
        "{{\"targets\": [{}]}}",
        targets.collect::<Vec<_>>().join(",")
    )
}

#[test]
fn replaced_file_replaces_hosts_unless_broken() {
    let hosts = hosts(3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts.json");
    let exchange = |text: &str| {
        let next = folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, &path).unwrap();
    };
    exchange(&listed(&[&hosts[0]]));
    let served = in_file(&path).serve();
    assert_eq!(answers(&served, 3), "1");
    exchange(&listed(&[&hosts[1], &hosts[2]]));
    eventually("hosts 2 and 3 serve", || answers(&served, 6) == "23");
    // Rewrite the file in place, first longer, then shorter.
    std::fs::write(&path, listed(&[&hosts[0], &hosts[1], &hosts[2]])).unwrap();
    eventually("all hosts serve", || answers(&served, 9) == "123");
    let age = || served.metric("gwd_upstream_endpoint_age_seconds", &["main"]);
    let failed = || served.metric("gwd_upstream_discovery_total", &["main", "failed"]);
    assert_eq!(failed(), 0.0);
    for broken in [
        "",
        "{\"targets\": [",
        "{\"targets\": [{\"address\": \"hunter2\"}]}",
    ] {
        let before = failed();
        exchange(broken);
        eventually("the broken file is counted", || failed() > before);
        assert_eq!(answers(&served, 9), "123", "{broken}");
    }
    std::fs::remove_file(&path).unwrap();
    let before = failed();
    eventually("another failed read is counted", || failed() > before);
    eventually("the hosts are older than 600 ms", || age() > 0.6);
    assert_eq!(answers(&served, 9), "123");
    exchange(&listed(&[&hosts[1]]));
    eventually("only host 2 serves", || answers(&served, 3) == "2");
    eventually("the age of the hosts is reset", || age() < 0.5);
    // An empty list removes all hosts.
    exchange(&listed(&[]));
    eventually("requests are refused", || {
        get(served.address, "/a").status == 503
    });
}

#[test]
fn swapped_folder_link_is_followed_each_time() {
    use std::os::unix::fs::symlink;
    let hosts = hosts(3);
    let folder = tempfile::tempdir().unwrap();
    let swap = |round: usize, text: &str| {
        let data = folder.path().join(format!("..{round}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("hosts.json"), text).unwrap();
        let next = folder.path().join("..data_tmp");
        symlink(format!("..{round}"), &next).unwrap();
        std::fs::rename(&next, folder.path().join("..data")).unwrap();
    };
    swap(0, &listed(&[&hosts[0]]));
    let path = folder.path().join("hosts.json");
    symlink("..data/hosts.json", &path).unwrap();
    let served = in_file(&path).serve();
    assert_eq!(answers(&served, 3), "1");
    for (round, host) in [(1, 1), (2, 2), (3, 0)] {
        let began = std::time::Instant::now();
        swap(round, &listed(&[&hosts[host]]));
        let expected = (host + 1).to_string();
        eventually("the new host serves", || answers(&served, 1) == expected);
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    }
}

#[test]
fn hosts_of_a_file_have_weights_zones_and_names() {
    let hosts: Vec<Upstream> = (0..2).map(|_| Upstream::saying("ok")).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts.json");
    let text = format!(
        "{{\"targets\": [{{\"address\": \"{}\", \"weight\": 3}},
                         {{\"address\": \"{}\", \"zone\": \"east\"}}]}}",
        hosts[0].address, hosts[1].address
    );
    std::fs::write(&path, text).unwrap();
    let mut shop = in_file(&path);
    shop.upstreams[0].host_header = ir::HostHeader::Upstream;
    let request_counts = |settings: Settings| {
        let before: Vec<usize> = hosts.iter().map(|host| host.seen().len()).collect();
        let served = shop.serve_by(settings);
        for _ in 0..8 {
            assert_eq!(get(served.address, "/a").status, 200);
        }
        let seen = hosts.iter().map(|host| host.seen().len());
        seen.zip(before)
            .map(|(now, before)| now - before)
            .collect::<Vec<_>>()
    };
    assert_eq!(request_counts(settings()), [6, 2]);
    let east = Settings {
        zone: Some("east".into()),
        ..settings()
    };
    assert_eq!(request_counts(east), [0, 8]);
    let name = hosts[1].address.to_string();
    assert_eq!(hosts[1].seen()[0].field("host"), [name]);
}

/// Calls of policies and verifiers use the name servers of upstreams.
#[test]
fn service_of_a_policy_is_found_by_its_name() {
    let (main, identity) = (Upstream::saying("hello"), hosts(2));
    let server = NameServer::start();
    server.set_reply("identity.test", A, records(&[1], 0));
    let mut shop = ASK.shop(&main, identity[0].address);
    let target = ir::Target {
        host: "identity.test".to_owned(),
        ..shop.upstreams[1].targets[0].clone()
    };
    shop.upstreams[1].targets = ir::Set::new(vec![target]).unwrap();
    let served = shop.serve_by(settings_with(&server, fast()));
    assert_eq!(get(served.address, "/asked").text(), "hello");
    assert_eq!(identity[0].only().line(), "GET /check?a=b HTTP/1.1");
    server.set_reply("identity.test", A, records(&[2], 0));
    eventually("the service is called at its new address", || {
        assert_eq!(get(served.address, "/asked").text(), "hello");
        !identity[1].seen().is_empty()
    });
}
