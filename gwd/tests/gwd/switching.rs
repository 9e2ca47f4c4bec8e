//! Switches from one version to the next under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bundle::digest::Digest;
use gwd::node::AccessLog;

use crate::fixture::*;

#[test]
fn switch_loses_no_request_and_mixes_no_versions() {
    const SWITCHES: u64 = 60;
    let upstream = Upstream::echoing();
    // Each version has its own path. Every second version sets the response field `x-edge`.
    let make = |edited: bool| {
        let mut one = op("GET", "/a");
        if edited {
            one = one.policy("edits");
        }
        let mut shop = shop(upstream.address, vec![one]);
        shop.policies = vec![edits("edits")];
        shop.expose_bundle = true;
        shop
    };
    let mut served = make(false).serve_with(2, AccessLog::Off);
    let versions: Vec<_> = [false, true]
        .into_iter()
        .map(|edited| {
            let id = Digest::of(if edited { b"edited" } else { b"plain" });
            let version = make(edited).build(&mut served.node, id);
            served.node.bind(&version).unwrap();
            (version, id.short())
        })
        .collect();
    served.node.publish(&versions[0].0, 2);
    let edited_id = versions[1].1.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let total = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, total, edited_id) =
                (Arc::clone(&stop), Arc::clone(&total), edited_id.clone());
            let address = served.address;
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
                    let answer = client.answer();
                    assert_eq!(answer.status, 200);
                    let edited = answer.field("x-gateway-bundle") == [edited_id.as_str()];
                    assert_eq!(!answer.field("x-edge").is_empty(), edited, "{answer:?}");
                    assert_eq!(answer.text().contains("hunter2"), edited, "{answer:?}");
                    total.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for switch in 0..SWITCHES {
        let version = &versions[usize::try_from(switch % 2).unwrap()];
        served.node.publish(&version.0, switch + 3);
        // A request that begins after the switch is served by the new version only.
        let answer = get(served.address, "/a");
        assert_eq!(answer.field("x-gateway-bundle"), [version.1.as_str()]);
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    assert!(total.load(Ordering::Relaxed) > SWITCHES);
    let seen: std::collections::BTreeSet<usize> =
        upstream.seen().iter().map(|seen| seen.connection).collect();
    assert!(seen.len() < 64, "pools outlive versions: {}", seen.len());
}

#[test]
fn unused_versions_are_freed_under_idle_connections() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut served = shop.serve();
    let mut idle = Client::connect(served.address);
    idle.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(idle.answer().status, 200);
    for number in 0..20u8 {
        let id = Digest::of(&[number]);
        let version = shop.build(&mut served.node, id);
        served.node.bind(&version).unwrap();
        served.node.publish(&version, u64::from(number) + 2);
    }
    eventually("only the running version is left", || {
        served.node.snapshots_live() == 1
    });
    assert_eq!(served.metric("gwd_bundle_snapshots_live", &[]), 1.0);
    idle.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(idle.answer().status, 200, "the idle connection lived on");
}

#[test]
fn a_worker_that_lets_a_version_go_does_not_free_it() {
    let (proceed, wait) = gate();
    let upstream = Upstream::start(move |seen, stream| {
        if seen.head.starts_with("GET /slow") {
            wait.lock().unwrap().recv().unwrap();
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let shop = shop(
        upstream.address,
        vec![op("GET", "/slow"), op("GET", "/fast")],
    );
    let mut served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("the upstream has the request", || {
        !upstream.seen().is_empty()
    });
    let second = shop.build(&mut served.node, Digest::of(b"two"));
    served.node.publish(&second, 2);
    let live = |served: &Served| served.metric("gwd_bundle_snapshots_live", &[]);
    assert_eq!(live(&served), 2.0, "the exchange has the first one");
    proceed.send(()).unwrap();
    assert_eq!(client.answer().status, 200);
    client.send("GET /fast HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.answer().status, 200, "the first exchange is over");
    assert_eq!(live(&served), 2.0, "it lies in the bin");
    assert_eq!(
        served.node.snapshots_live(),
        1,
        "the control thread frees it"
    );
}

#[test]
fn a_long_response_goes_on_over_switches() {
    let (proceed, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        say(stream, "content-length: 10\r\n", "first");
        wait.lock().unwrap().recv().unwrap();
        let _gone = std::io::Write::write_all(stream, b"after");
        Then::Keep
    });
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    client.head();
    assert_eq!(client.some(5), "first");
    for number in 0..5u8 {
        let id = Digest::of(&[number]);
        let version = shop.build(&mut served.node, id);
        served.node.publish(&version, u64::from(number) + 2);
    }
    eventually("the stream's version is freed", || {
        served.node.snapshots_live() == 1
    });
    proceed.send(()).unwrap();
    assert_eq!(client.some(5), "after");
}

#[test]
fn listeners_follow_the_version_and_keep_addresses() {
    let upstream = Upstream::saying("ok");
    let one = shop(upstream.address, vec![op("GET", "/a")]);
    let mut two = one.clone();
    two.more_listeners = vec![listener("second", "127.0.0.1:0")];
    two.mount.listeners = vec!["public".into(), "second".into()];
    let mut served = one.serve();
    let with = |served: &mut Served, shop: &Shop, name: &[u8]| {
        let id = Digest::of(name);
        let version = shop.build(&mut served.node, id);
        served.node.bind(&version).unwrap();
        version
    };
    let first = with(&mut served, &one, b"one");
    let both = with(&mut served, &two, b"two");
    served.node.publish(&both, 2);
    let second = served.node.listeners()["second"];
    assert_eq!(get(second, "/a").status, 200);
    let mut kept = Client::connect(second);
    kept.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(kept.answer().status, 200);
    served.node.publish(&first, 3);
    assert!(kept.closed(), "its connections end");
    assert!(std::net::TcpStream::connect(second).is_err());
    assert_eq!(
        get(served.address, "/a").status,
        200,
        "the other is untouched"
    );
    served.node.tidy(&[first.clone(), both.clone()]);
    served.node.publish(&both, 4);
    assert_eq!(
        served.node.listeners()["second"],
        second,
        "without binding again"
    );
    assert_eq!(get(second, "/a").status, 200);
}

#[test]
fn busy_port_refuses_the_version_and_changes_nothing() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut served = shop.serve();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut other = shop;
    other.listener = listener("public", &taken.local_addr().unwrap().to_string());
    let version = other.build(&mut served.node, Digest::of(b"busy"));
    let refused = served.node.bind(&version).unwrap_err();
    assert_eq!(refused.reason(), "port-busy");
    assert!(!refused.permanent());
    assert_eq!(get(served.address, "/a").status, 200);
}

#[test]
fn revoked_credential_stops_at_once_in_any_version() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/mine").secured("key")]);
    let mut served = shop.serve();
    let status =
        |served: &Served| fetch(served.address, "GET", "/mine", "x-key: letmein\r\n").status;
    assert_eq!(status(&served), 200);
    let hash = *Digest::of(b"letmein").as_bytes();
    served.node.revoke(policy::Revoked::new([hash]));
    assert_eq!(status(&served), 401);
}

/// Reads the resident memory of a process, in bytes.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// Starts an upstream that answers `ok` to every request, and stores none of them.
fn forgetful() -> std::net::SocketAddr {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        let _gone = stream.write_all(response);
                    }
                }
            });
        }
    });
    address
}

/// A configuration that differs from all others in route, timeout, rate limit and second host.
fn different(upstream: std::net::SocketAddr, number: u32) -> Shop {
    // Metrics keep names for ten minutes, so reuse a few paths.
    let paths = ["/v0", "/v1", "/v2", "/v3", "/v4", "/v5", "/v6", "/v7"];
    let mut one = op("GET", paths[number as usize % paths.len()]).policy("few");
    one.timeout_ms = 1_000 + u64::from(number);
    let [_, _, high, low] = number.to_be_bytes();
    let other = std::net::SocketAddr::from(([127, 1, high, low], 9));
    let mut shop = shop(upstream, vec![one, op("GET", "/a")]);
    shop.upstreams = vec![service("main", &[upstream])];
    shop.upstreams.push(service("other", &[upstream, other]));
    shop.upstreams[1].idle_timeout_ms = 1_000 + u64::from(number);
    shop.ops.push(op("GET", "/other").upstream("other"));
    shop.policies = vec![rate_limit("few", 100_000 + u64::from(number))];
    shop
}

#[test]
fn thousands_of_versions_leave_nothing_behind() {
    const INSIDE: &str = "GWD_TEST_VERSIONS";
    const FIRST: u32 = 200;
    let full = prerequisite::is_full();
    let total: u32 = if full { 20_000 } else { 2_000 };
    // Run the test again in its own process, because other tests change the memory use of this
    // process.
    if std::env::var_os(INSIDE).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "switching::thousands_of_versions_leave_nothing_behind";
        let mut again = std::process::Command::new(this);
        again
            .args(["--exact", name, "--nocapture"])
            .env(INSIDE, "1");
        let done = again.output().unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr);
        return assert!(done.status.success(), "{stderr}");
    }
    let upstream = forgetful();
    let mut served = different(upstream, 0).serve_with(2, AccessLog::Off);
    let mut client = Client::connect(served.address);
    let mut early = 0;
    for number in 1..=total {
        let version =
            different(upstream, number).build(&mut served.node, Digest::of(&number.to_be_bytes()));
        served.node.bind(&version).unwrap();
        served.node.publish(&version, u64::from(number) + 1);
        for path in [format!("/v{}", number % 8).as_str(), "/other"] {
            client.send(&format!(
                "GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"
            ));
            // Half of the requests choose the second host, fail to connect, and are retried at the
            // first host.
            assert_eq!(client.answer().text(), "ok", "{number} {path}");
        }
        if number % 50 == 0 {
            // Call `tidy`, as the control thread does every few seconds.
            served.node.tidy(std::slice::from_ref(&version));
        }
        if number == FIRST {
            early = resident_bytes();
        }
    }
    assert_eq!(served.node.snapshots_live(), 1);
    let grown = resident_bytes().saturating_sub(early);
    // Each leaked version would take more than 10,000 bytes. The allocator itself keeps a few
    // million bytes.
    let most = if full { 24 << 20 } else { 8 << 20 };
    assert!(
        grown < most,
        "{grown} bytes more after {total} versions than after {FIRST}"
    );
}
