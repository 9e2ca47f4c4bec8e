//! Limits on concurrent requests (`concurrency`): requests that get a permit, the time at which a
//! permit is returned, and the response to refused requests.

use std::sync::mpsc;

use bundle::ir;

use crate::fixture::*;

/// A concurrency limit of `limit` requests, counted per value of the field `header`, or per route
/// if `header` is `None`.
fn few(name: &str, limit: u64, header: Option<&str>) -> ir::Policy {
    patient(name, limit, header, None)
}

/// Like [`few`], but requests above the limit wait for at most `wait_ms` milliseconds.
fn patient(name: &str, limit: u64, header: Option<&str>, wait_ms: Option<u64>) -> ir::Policy {
    with_numbers(name, limit, header, &[(3, wait_ms)])
}

/// Like [`few`], with additional numeric settings. `numbers`: key of each setting in the bundle,
/// and its value.
fn with_numbers(
    name: &str,
    limit: u64,
    header: Option<&str>,
    numbers: &[(u8, Option<u64>)],
) -> ir::Policy {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().u8(9).unwrap().array(1).unwrap();
    let numbers = numbers
        .iter()
        .filter_map(|(key, number)| Some((*key, (*number)?)));
    e.map(2 + numbers.clone().count() as u64).unwrap();
    e.u8(0).unwrap().u64(limit).unwrap();
    e.u8(1).unwrap().array(2).unwrap();
    match header {
        None => e.u8(2).unwrap().array(0).unwrap(),
        Some(name) => e.u8(3).unwrap().array(1).unwrap().str(name).unwrap(),
    };
    for (key, number) in numbers {
        e.u8(key).unwrap().u64(number).unwrap();
    }
    encoded(name, &e.into_writer())
}

/// Starts an upstream that sends half of its response, and the other half when the test sends on
/// the returned channel.
fn halting() -> (Upstream, mpsc::Sender<()>) {
    let (open, wait) = gate();
    let upstream = Upstream::start(move |seen, stream| {
        use std::io::Write as _;
        if seen.line().contains("/quick") {
            say(stream, "content-length: 2\r\n", "ok");
            return Then::Keep;
        }
        say(stream, "content-length: 8\r\n", "half");
        let _released = wait.lock().unwrap().recv();
        let _gone = stream.write_all(b"half");
        Then::Keep
    });
    (upstream, open)
}

fn serve(upstream: &Upstream, limit: u64, header: Option<&str>) -> Served {
    let ops = ["/a", "/quick"].map(|path| op("GET", path).policy("few"));
    let mut shop = shop(upstream.address, ops.into());
    shop.policies = vec![few("few", limit, header)];
    shop.serve_with(2, gwd::node::AccessLog::Off)
}

#[test]
fn permit_is_in_use_until_the_last_byte_was_sent() {
    let (upstream, open) = halting();
    let served = serve(&upstream, 1, None);
    let mut first = Client::connect(served.address);
    first.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    let head = first.head();
    assert!(head.contains("ratelimit: \"few\";r=0"), "{head}");
    let refused = get(served.address, "/a");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (429, "concurrency_limited")
    );
    let policy = "\"few\";q=1;qu=\"concurrent-requests\"";
    assert_eq!(refused.field("ratelimit-policy"), [policy]);
    assert_eq!(refused.field("ratelimit"), ["\"few\";r=0"]);
    assert_eq!(refused.field("retry-after"), [""; 0]);
    // Another operation has its own permits.
    let other = get(served.address, "/quick");
    assert_eq!(
        (other.status, other.field("ratelimit")),
        (200, vec!["\"few\";r=0"])
    );
    open.send(()).unwrap();
    assert_eq!(first.some(8), "halfhalf");
    open.send(()).unwrap();
    eventually("the permit is released", || {
        get(served.address, "/a").status == 200
    });
    assert_eq!(
        served.metric("gwd_rejections_total", &["concurrency_limited"]),
        1.0
    );
}

#[test]
fn a_client_that_gives_up_gives_its_place_back() {
    let (upstream, open) = halting();
    let served = serve(&upstream, 1, None);
    for _ in 0..3 {
        // The test never lets the upstream send the second half of the response. The permit is
        // therefore released only if the gateway ends the exchange when the client leaves.
        let mut first = Client::connect(served.address);
        eventually("the permit is released", || {
            first = Client::connect(served.address);
            first.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
            first.head().starts_with("HTTP/1.1 200")
        });
        assert_eq!(get(served.address, "/a").status, 429);
        drop(first);
    }
    drop(open);
}

#[test]
fn each_value_of_a_field_has_its_own_places() {
    let (upstream, open) = halting();
    let served = serve(&upstream, 1, Some("x-tenant"));
    let ask = |tenant: &str| {
        let mut client = Client::connect(served.address);
        let request =
            format!("GET /a HTTP/1.1\r\nhost: shop.example\r\nx-tenant: {tenant}\r\n\r\n");
        client.send(&request);
        let head = client.head();
        (client, head[9..12].to_owned())
    };
    let (_one, status) = ask("one");
    assert_eq!(status, "200");
    assert_eq!(ask("one").1, "429");
    let (_two, status) = ask("two");
    assert_eq!(status, "200");
    drop(open);
}

#[test]
fn a_refusal_further_down_the_chain_keeps_no_place() {
    let (upstream, open) = halting();
    let mut shop = shop(
        upstream.address,
        vec![op("GET", "/a").policy("few").policy("closed")],
    );
    shop.policies = vec![few("few", 1, None), closed("closed")];
    let served = shop.serve();
    for _ in 0..5 {
        assert_eq!(get(served.address, "/a").status, 503);
    }
    drop(open);
}

#[test]
fn a_websocket_has_its_place_until_it_ends() {
    let upstream = Upstream::start(crate::websocket::agree);
    let ops = vec![op("GET", "/ws").websocket().policy("few")];
    let mut shop = shop(upstream.address, ops);
    shop.policies = vec![few("few", 1, None)];
    let served = shop.serve();
    let connect = || {
        let mut client = Client::connect(served.address);
        client.send(crate::websocket::HANDSHAKE);
        let head = client.head();
        (client, head[9..12].to_owned())
    };
    let (first, status) = connect();
    assert_eq!(status, "101");
    assert_eq!(connect().1, "429");
    drop(first);
    eventually("the permit is released", || connect().1 == "101");
}

fn in_progress(served: &Served) -> f64 {
    served.metric("http_server_active_requests", &[])
}

/// Waits until this many requests are in progress. A request that is sent earlier could take one of
/// their permits.
fn all_in_progress(served: &Served, count: u32) {
    eventually("all requests are in progress", || {
        in_progress(served) == f64::from(count)
    });
}

#[test]
fn slow_uploads_hold_half_of_a_concurrency_limit() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("POST", "/a").policy("few")]);
    shop.policies = vec![few("few", 5, None)];
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let uploads: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = Client::connect(served.address);
            client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc");
            client
        })
        .collect();
    all_in_progress(&served, 5);
    let refused = fetch(served.address, "POST", "/a", "content-length: 0\r\n");
    assert_eq!(refused.status, 429);
    // Each upload becomes slow after a second without bytes. Two of the slow uploads may continue.
    eventually("the slow uploads leave permits", || {
        fetch(served.address, "POST", "/a", "content-length: 0\r\n").status == 200
    });
    eventually("two uploads are in progress", || {
        in_progress(&served) == 2.0
    });
    drop(uploads);
}

/// Starts an upstream whose response to `/big` has 64 MiB.
fn big() -> Upstream {
    Upstream::start(|request, stream| {
        use std::io::Write as _;
        let pieces = if request.line().contains("/big") {
            1_024
        } else {
            0
        };
        let piece = [b'z'; 65_536];
        say(
            stream,
            &format!("content-length: {}\r\n", pieces * piece.len()),
            "",
        );
        for _ in 0..pieces {
            if stream.write_all(&piece).is_err() {
                return Then::Close;
            }
        }
        Then::Keep
    })
}

/// Clients that request 64 MiB and read nothing of the response.
fn standing(served: &Served, count: usize) -> Vec<Client> {
    let begin = |_| {
        let mut client = Client::connect(served.address);
        client.send("GET /big HTTP/1.1\r\nhost: h\r\n\r\n");
        client
    };
    (0..count).map(begin).collect()
}

fn serve_big(upstream: &Upstream, limit: u64) -> Served {
    let ops = [("GET", "/big"), ("GET", "/a"), ("POST", "/a")];
    let ops = ops.map(|(method, path)| op(method, path).policy("few"));
    let mut shop = shop(upstream.address, ops.into());
    shop.policies = vec![few("few", limit, Some("x-key"))];
    shop.serve_with(2, gwd::node::AccessLog::Off)
}

#[test]
fn slow_readers_hold_half_of_a_concurrency_limit() {
    let upstream = big();
    let served = serve_big(&upstream, 5);
    let readers = standing(&served, 5);
    all_in_progress(&served, 5);
    assert_eq!(get(served.address, "/a").status, 429);
    eventually("the slow readers leave permits", || {
        get(served.address, "/a").status == 200
    });
    eventually("two slow readers are in progress", || {
        in_progress(&served) == 2.0
    });
    let shed = served.metric("gwd_overload_shed_total", &["slow_downloads"]);
    assert_eq!(shed, 3.0);
    drop(readers);
}

#[test]
fn slow_client_gives_up_a_limit_of_one() {
    let upstream = big();
    let served = serve_big(&upstream, 1);
    let slow: [fn(&Served) -> Client; 2] = [
        |served| standing(served, 1).remove(0),
        |served| {
            let mut client = Client::connect(served.address);
            client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc");
            client
        },
    ];
    for (begin, gives_up) in slow
        .into_iter()
        .zip(["the reader's permit is free", "the upload's permit is free"])
    {
        let in_progress_client = begin(&served);
        all_in_progress(&served, 1);
        assert_eq!(get(served.address, "/a").status, 429);
        eventually(gives_up, || get(served.address, "/a").status == 200);
        eventually("the request has ended", || in_progress(&served) == 0.0);
        drop(in_progress_client);
    }
    let shed = served.metric("gwd_overload_shed_total", &["slow_downloads"]);
    assert_eq!(shed, 1.0);
}

#[test]
fn slow_client_keeps_a_permit_without_waiters() {
    let upstream = Upstream::saying("ok");
    let served = serve_big(&upstream, 1);
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\nx-key: a\r\ncontent-length: 6\r\n\r\nabc");
    let begun = std::time::Instant::now();
    // Requests with another key need other permits, so that the slow client may keep its permit.
    while begun.elapsed() < std::time::Duration::from_millis(2_500) {
        let other = fetch(served.address, "GET", "/a", "x-key: b\r\n");
        assert_eq!(other.status, 200);
    }
    client.send("def");
    assert!(client.head().starts_with("HTTP/1.1 200"));
}

/// Serves `GET /a` and `GET /quick` with a limit of one concurrent request per route. Further
/// requests wait for a permit for at most `wait_ms`.
fn serve_patiently(upstream: &Upstream, wait_ms: u64) -> Served {
    let ops = ["/a", "/quick"].map(|path| op("GET", path).policy("few"));
    let mut shop = shop(upstream.address, ops.into());
    shop.policies = vec![patient("few", 1, None, Some(wait_ms))];
    shop.serve_with(2, gwd::node::AccessLog::Off)
}

fn begin(served: &Served) -> Client {
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    client
}

/// Waits until this many requests wait for a permit.
fn all_wait(served: &Served, count: u32) {
    eventually("all wait", || {
        served.metric("gwd_concurrency_waiting_requests", &[]) == f64::from(count)
    });
}

fn waits(served: &Served, outcome: &str) -> f64 {
    let labels = ["kind=\"concurrency\"", &format!("outcome=\"{outcome}\"")];
    served.metric("gwd_policy_calls_total", &labels)
}

#[test]
fn waiting_requests_get_the_permit_in_order() {
    let (upstream, open) = halting();
    let served = serve_patiently(&upstream, 60_000);
    let mut clients = Vec::new();
    for number in 0..3 {
        let mut client = begin(&served);
        if number == 0 {
            assert!(client.head().starts_with("HTTP/1.1 200"));
        }
        all_wait(&served, number);
        clients.push(client);
    }
    // Another operation has its own permits.
    assert_eq!(get(served.address, "/quick").status, 200);
    for (number, client) in clients.iter_mut().enumerate() {
        if number > 0 {
            let head = client.head();
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(head.contains("ratelimit: \"few\";r=0"), "{head}");
            all_wait(&served, 2 - u32::try_from(number).unwrap());
        }
        open.send(()).unwrap();
        assert_eq!(client.some(8), "halfhalf");
    }
    assert_eq!(waits(&served, "answered"), 2.0);
}

#[test]
fn wait_ends_at_its_deadline_with_503() {
    let (upstream, open) = halting();
    let served = serve_patiently(&upstream, 50);
    let mut first = begin(&served);
    assert!(first.head().starts_with("HTTP/1.1 200"));
    let late = get(served.address, "/a");
    assert_eq!(
        (late.status, late.problem().as_str()),
        (503, "concurrency_wait_ended")
    );
    assert_eq!(late.field("ratelimit"), ["\"few\";r=0"]);
    all_wait(&served, 0);
    assert_eq!(waits(&served, "timeout"), 1.0);
    drop((first, open));
}

#[test]
fn client_that_leaves_the_queue_holds_no_place() {
    let (upstream, open) = halting();
    let served = serve_patiently(&upstream, 60_000);
    let mut first = begin(&served);
    assert!(first.head().starts_with("HTTP/1.1 200"));
    let gone = begin(&served);
    all_wait(&served, 1);
    let mut last = begin(&served);
    all_wait(&served, 2);
    drop(gone);
    all_wait(&served, 1);
    open.send(()).unwrap();
    assert_eq!(first.some(8), "halfhalf");
    assert!(last.head().starts_with("HTTP/1.1 200"));
    open.send(()).unwrap();
    assert_eq!(last.some(8), "halfhalf");
}

#[test]
fn slow_client_gives_up_a_permit_that_others_await() {
    let upstream = big();
    let ops = [
        op("GET", "/big").policy("few"),
        op("GET", "/a").policy("few"),
    ];
    let mut shop = shop(upstream.address, ops.into());
    shop.policies = vec![patient("few", 1, Some("x-key"), Some(60_000))];
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let slow = standing(&served, 1);
    all_in_progress(&served, 1);
    // The request waits already when the other client begins to count as slow.
    assert_eq!(get(served.address, "/a").status, 200);
    drop(slow);
}

#[test]
fn drain_ends_the_wait_for_a_permit() {
    let (upstream, open) = halting();
    let mut served = serve_patiently(&upstream, 60_000);
    let mut first = begin(&served);
    assert!(first.head().starts_with("HTTP/1.1 200"));
    let mut waiting = begin(&served);
    all_wait(&served, 1);
    let draining = std::thread::spawn(move || {
        let forced = served.node.drain(WAIT_MAX, &|| false);
        (served, forced)
    });
    let refused = waiting.answer();
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "concurrency_wait_ended")
    );
    open.send(()).unwrap();
    assert_eq!(first.some(8), "halfhalf");
    let (_served, forced) = draining.join().unwrap();
    assert_eq!(forced, 0);
}

/// Sends requests one after the other until `stop` is true. Returns the number of refused requests.
fn keep_asking(address: std::net::SocketAddr, stop: &std::sync::atomic::AtomicBool) -> usize {
    let mut refused = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        refused += usize::from(get(address, "/a").status == 429);
    }
    refused
}

#[test]
fn adaptive_limit_follows_injected_latencies() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    // On a busy machine, latencies are many milliseconds longer. That must stay below half of the
    // usual latency, which the algorithm tolerates.
    let (usual_ms, overload_ms) = (40, 400);
    let latency_ms = std::sync::Arc::new(AtomicU64::new(usual_ms));
    let injected = std::sync::Arc::clone(&latency_ms);
    let upstream = Upstream::start(move |_, stream| {
        std::thread::sleep(std::time::Duration::from_millis(
            injected.load(Ordering::Relaxed),
        ));
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a").policy("few")]);
    shop.policies = vec![with_numbers("few", 60, None, &[(4, Some(2))])];
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let limit = || {
        let labels = ["policy=\"few\"", "route="];
        served.metric("gwd_concurrency_limit", &labels)
    };
    let stop = AtomicBool::new(false);
    let address = served.address;
    std::thread::scope(|scope| {
        let until_stop = SetOnDrop(&stop);
        let asking: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| keep_asking(address, &stop)))
            .collect();
        eventually("the limit grows", || limit() > 22.0);
        latency_ms.store(overload_ms, Ordering::Relaxed);
        eventually("the limit falls", || limit() < 10.0);
        latency_ms.store(usual_ms, Ordering::Relaxed);
        eventually("the limit recovers", || limit() > 12.0);
        drop(until_stop);
        let refused = asking.into_iter().map(|asking| asking.join().unwrap());
        assert!(refused.sum::<usize>() > 0, "the low limit refuses requests");
    });
}
