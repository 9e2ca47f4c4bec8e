//! Upstreams of the two versions in a release by share of the requests: what happens to requests of
//! the candidate takes no host from the base (release.md §6).

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::ir;
use bundle::statement::predicate::RecordKind;
use policy::traffic::circuit_breaker::Scope;
use policy::upstream::Passive;

use crate::breakers::breaker;
use crate::fixture::*;
use crate::health::{checked, text};
use crate::rollouts::{head, notify};
use crate::traffic_steps::Split;
use crate::world::{Process, numbered};

/// Version `number` with other settings of its upstream.
fn edited(upstream: &Upstream, number: u32, edit: impl Fn(&mut ir::Upstream)) -> ir::Gateway {
    let mut gateway = numbered(upstream, number);
    let mut upstreams: Vec<ir::Upstream> = gateway.shared.upstreams.iter().cloned().collect();
    edit(&mut upstreams[0]);
    gateway.shared.upstreams = ir::Set::new(upstreams).unwrap();
    gateway
}

/// Version `number` with a circuit breaker that opens after two failures, for a minute.
fn with_breaker(upstream: &Upstream, number: u32, scope: Scope) -> ir::Gateway {
    edited(upstream, number, |main| {
        let mut breaker = breaker(2, scope);
        (breaker.numbers.open_ms, breaker.numbers.open_max_ms) = (60_000, 60_000);
        main.circuit_breaker = Some(breaker);
    })
}

/// Status of a request that selects its version.
fn status(gwd: &Process, version: &str) -> u16 {
    let fields = format!("x-release: {version}\r\n");
    fetch(gwd.public(), "GET", "/a", &fields).status
}

#[test]
fn failing_candidate_opens_no_breaker_of_the_base() {
    let upstream = Upstream::start(|seen, stream| {
        let status = match seen.field("x-release")[..] {
            ["candidate"] => "500 Internal Server Error",
            _ => "200 OK",
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Then::Keep
    });
    for scope in [Scope::Upstream, Scope::Target] {
        let versions = [1, 2].map(|number| with_breaker(&upstream, number, scope));
        let split = Split::of(versions, None);
        let gwd = split.begun();
        let candidate = [(); 3].map(|()| status(&gwd, "candidate"));
        assert_eq!(candidate, [500, 500, 503]);
        assert_eq!(status(&gwd, "base"), 200);
    }
}

#[test]
fn next_candidate_begins_with_closed_breakers() {
    for scope in [Scope::Upstream, Scope::Target] {
        let told = Arc::new(AtomicUsize::new(500));
        let upstream = Upstream::telling(&told);
        let [one, two, three] = [1, 2, 3].map(|number| with_breaker(&upstream, number, scope));
        let mut split = Split::of([one, two], None);
        let gwd = split.begun();
        let candidate = [(); 3].map(|()| status(&gwd, "candidate"));
        assert_eq!(candidate, [500, 500, 503]);
        // The next step of the same candidate does not close its breaker.
        split.publish(RecordKind::Pin, split.rollout.next());
        split.assert_serves_two(&notify(&gwd));
        assert_eq!(status(&gwd, "candidate"), 503);
        // The release is aborted, and another one begins.
        split.world.release_with(&split.versions[0], |draft| {
            draft.kind = RecordKind::Rollback;
        });
        told.store(200, Ordering::SeqCst);
        split.rollout.base = head(&split.world);
        (split.candidate, _) = split.world.put(&three, &[], "ci");
        split.versions[1] = three;
        split.begin();
        split.assert_serves_two(&notify(&gwd));
        assert_eq!(status(&gwd, "candidate"), 200);
    }
}

#[test]
fn broken_candidate_ejects_no_host_of_the_base() {
    let start = || {
        Upstream::start(|seen, stream| {
            if seen.field("x-release")[..] == ["candidate"] {
                return Then::Close;
            }
            say(stream, "content-length: 2\r\n", "ok");
            Then::Keep
        })
    };
    let (first, second) = (start(), start());
    let versions = [1, 2].map(|number| {
        edited(&first, number, |main| {
            main.targets = service("main", &[first.address, second.address]).targets;
            main.health.passive = Some(Passive {
                consecutive_5xx: 1,
                max_ejected_ppm: 1_000_000,
                ..Passive::default()
            });
        })
    });
    let split = Split::of(versions, None);
    let gwd = split.begun();
    for _ in 0..10 {
        assert_eq!(status(&gwd, "candidate"), 502);
        assert_eq!(status(&gwd, "base"), 200);
    }
    let ejected = gwd.metric("gwd_upstream_ejections_total", &[]);
    assert!(ejected < 1.0, "{ejected}");
}

#[test]
fn failed_checks_of_the_candidate_spare_the_base() {
    let upstream = Upstream::start(|seen, stream| {
        let status = match seen.line().contains("/health") {
            true => "500 Internal Server Error",
            false => "200 OK",
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let _gone = stream.write_all(head.as_bytes());
        Then::Keep
    });
    let two = edited(&upstream, 2, |main| {
        main.health.active = checked(|all| text(all, "path", "/health"));
    });
    let split = Split::of([numbered(&upstream, 1), two], None);
    let gwd = split.begun();
    eventually("the candidate gets no host", || {
        status(&gwd, "candidate") == 503
    });
    assert_eq!(status(&gwd, "base"), 200);
}
