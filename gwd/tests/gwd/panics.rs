//! Panics in gwd. A panic in one exchange is reported and counted, and everything else continues. A
//! panic in a vital part of a worker ends the process, so that its supervisor restarts it.

use crate::fixture::*;
use crate::http2::{Http2, http2, to};
use crate::world::{Process, World};

/// Starts a gateway that panics at a fault point. `at`: the fault point, and the number of the pass
/// at which the gateway panics. Requests to `/slow` wait for the test.
fn panicking(at: &str) -> (Process, World, std::sync::mpsc::Sender<()>, Upstream) {
    let (proceed, wait) = gate();
    let upstream = Upstream::start(move |seen, stream| {
        if seen.line().starts_with("GET /slow") {
            let _gone = wait.lock().unwrap().recv();
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let ops = vec![op("GET", "/a"), op("GET", "/slow")];
    let world = World::new();
    world.release(&http2(shop(upstream.address, ops)).gateway());
    let gwd = Process::spawn(world.trusted().env("GWC_FAULT", format!("{at}:panic")));
    (gwd, world, proceed, upstream)
}

fn await_panic_event(gwd: &Process) {
    eventually("the panic is counted", || {
        gwd.metric("gwd_panics_total", &[]) == 1.0
    });
    let line = || {
        let mut events = gwd.events().into_iter();
        events.find(|event| event["panic"].is_string())
    };
    eventually("the panic is logged", || line().is_some());
    let line = line().unwrap();
    assert!(
        line.to_string().contains("GWC_FAULT requests this panic"),
        "{line}"
    );
    assert_eq!(gwd.metric("http_server_active_requests", &[]), 0.0);
}

#[test]
fn panic_in_a_decision_is_a_500() {
    let (gwd, _world, _proceed, _upstream) = panicking("exchange.decided:2");
    let mut client = Client::connect(gwd.public());
    let mut ask = || {
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        client.answer()
    };
    assert_eq!(ask().status, 200);
    let answer = ask();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (500, "internal_error")
    );
    assert_eq!(get(gwd.public(), "/a").status, 200);
    await_panic_event(&gwd);
    gwd.kill();
}

#[test]
fn panic_over_http2_leaves_other_streams_alone() {
    for at in ["exchange.decided:2", "exchange.body:1"] {
        let (gwd, _world, proceed, upstream) = panicking(at);
        let mut client = Http2::connect(gwd.public());
        let slow = client.begin(to("GET", "/slow"), None);
        eventually("the upstream has the slow request", || {
            upstream.seen().len() == 1
        });
        let broken = client.begin(to("GET", "/a"), None);
        match client.end(broken) {
            Ok(whole) => {
                assert_eq!(whole.head.status(), 500);
                assert!(whole.text().contains("internal_error"));
            }
            // The response head was already sent, so the stream is reset.
            Err(error) => assert!(
                at.starts_with("exchange.body") && error.is_reset(),
                "{error}"
            ),
        }
        proceed.send(()).unwrap();
        let slow = client.end(slow).unwrap();
        assert_eq!((slow.head.status().as_u16(), slow.text()), (200, "ok"));
        assert_eq!(client.get("/a").text(), "ok");
        await_panic_event(&gwd);
        gwd.kill();
    }
}

#[test]
fn panic_in_an_http1_body_truncates_the_response() {
    let (gwd, _world, _proceed, _upstream) = panicking("exchange.body:1");
    let mut client = Client::connect(gwd.public());
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(!client.rest().ends_with("ok"));
    assert_eq!(get(gwd.public(), "/a").text(), "ok");
    await_panic_event(&gwd);
    gwd.kill();
}

#[test]
fn panic_in_a_vital_part_ends_the_process_with_a_log() {
    let world = World::new();
    let upstream = Upstream::saying("ok");
    world.release(&shop(upstream.address, vec![op("GET", "/a")]).gateway());
    // Each of the two workers passes this fault point once a second, so the fifth pass is in the
    // third second.
    let mut gwd = Process::spawn(world.trusted().env("GWC_FAULT", "worker.swept:5:panic"));
    assert_eq!(get(gwd.public(), "/a").status, 200);
    assert_eq!(gwd.wait().code(), Some(70));
    let line = gwd.logged("a worker panicked").unwrap();
    assert_eq!(
        (&line["level"], &line["exit"]),
        (&"error".into(), &70.into())
    );
    let bug = gwd
        .events()
        .into_iter()
        .find(|event| event["panic"].is_string());
    let bug = bug.expect("an earlier line has the place");
    assert!(bug["place"].as_str().unwrap().contains("fault"), "{bug}");
    assert!(
        bug["thread"].as_str().unwrap().starts_with("worker-"),
        "{bug}"
    );
}

#[test]
fn stalled_worker_fails_livez_and_others_serve() {
    if !prerequisite::slow("a stalled worker is noticed after 15 seconds") {
        return;
    }
    let world = World::new();
    let upstream = Upstream::saying("ok");
    world.release(&shop(upstream.address, vec![op("GET", "/a")]).gateway());
    let mut command = world.trusted();
    // The worker hangs until gwd's standard input is closed.
    command
        .env("GWC_FAULT", "worker.swept:5:hang")
        .stdin(std::process::Stdio::piped());
    let gwd = Process::spawn(&mut command);
    assert_eq!(gwd.open("/livez").status, 200);
    eventually("/livez fails", || gwd.open("/livez").status == 503);
    assert_eq!(gwd.open("/livez").json()["status"], "fail");
    gwd.kill();
}
