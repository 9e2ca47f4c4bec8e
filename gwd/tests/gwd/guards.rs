//! Guards of progressive releases: a node of the share returns to the base by itself if its errors
//! or slow requests have grown (release.md §6).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bundle::digest::Digest;
use bundle::statement::predicate::{Guard, RecordKind, Rollout};
use serde_json::{Value, json};

use crate::fixture::*;
use crate::rollouts::{head, names, notify, runs_after_notify, status_of};
use crate::world::{Process, World, numbered};

/// Number of requests before the switch.
const BEFORE: usize = 400;

fn guard() -> Guard {
    Guard {
        errors_ppm: Some(10_000),
        for_ms: 600_000,
        p99_ppm: Some(500_000),
        requests: 50,
    }
}

/// Node of the first step that runs version 1, with a healthy upstream. Version 2 has the upstream
/// of a test.
struct Stage {
    world: World,
    name: String,
    gwd: Process,
    one: Upstream,
    two: Upstream,
    base: Digest,
    candidate: Digest,
    rollout: Rollout,
}

impl Stage {
    fn new(two: Upstream, guard: Guard) -> Self {
        let one = Upstream::saying("ok");
        let world = World::new();
        let base = world.release(&numbered(&one, 1));
        let (candidate, _) = world.put(&numbered(&two, 2), &[], "ci");
        let rollout = Rollout::first(head(&world), &[500_000], Some(guard)).unwrap();
        let name = names(&candidate, 0..500_000, 1).pop().unwrap();
        let gwd = world.start_node(&name);
        Self {
            world,
            name,
            gwd,
            one,
            two,
            base,
            candidate,
            rollout,
        }
    }

    fn publish(&self, kind: RecordKind, rollout: Option<Rollout>) {
        self.world.release_with(&numbered(&self.two, 2), |draft| {
            draft.kind = kind;
            draft.rollout = rollout;
        });
    }

    fn begin(&self) {
        self.publish(RecordKind::Release, Some(self.rollout.clone()));
        let status = notify(&self.gwd);
        assert_eq!(status["rollout"]["belongs"], true, "{status:#}");
    }

    fn guard(&self) -> Value {
        self.gwd.status()["rollout"]["guard"].clone()
    }

    fn count(&self, result: &str) -> f64 {
        let label = format!("result=\"{result}\"");
        self.gwd.metric("gwd_release_guard_total", &[&label])
    }
}

/// Clients that send requests until the value is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    bad: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(gwd: &Process, clients: usize) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (good, bad) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let address = gwd.public();
        let client = |_| {
            let (stop, good, bad) = (Arc::clone(&stop), Arc::clone(&good), Arc::clone(&bad));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    client.send("GET /a HTTP/1.1\r\nhost: shop\r\n\r\n");
                    let count = match client.answer().status {
                        200 => &good,
                        _ => &bad,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    std::thread::park_timeout(Duration::from_millis(1));
                }
            })
        };
        let clients = (0..clients).map(client).collect();
        Self {
            stop,
            good,
            bad,
            clients,
        }
    }

    /// Waits until this number of requests was answered with 200, from now on.
    fn wait_good(&self, count: usize) {
        let before = self.good.load(Ordering::Relaxed);
        eventually("requests are answered with 200", || {
            self.good.load(Ordering::Relaxed) >= before + count
        });
    }

    fn wait_bad(&self, count: usize) {
        eventually("requests fail", || {
            self.bad.load(Ordering::Relaxed) >= count
        });
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ended = client.join();
        }
    }
}

#[test]
fn failing_release_returns_to_the_base_by_itself() {
    let status = Arc::new(AtomicUsize::new(500));
    let stage = Stage::new(Upstream::telling(&status), guard());
    let load = Load::on(&stage.gwd, 4);
    load.wait_good(BEFORE);
    stage.begin();
    load.wait_bad(1);
    let failed = Instant::now();
    load.wait_good(1);
    let took = failed.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    stage.gwd.wait_for(&stage.base);
    let status = stage.gwd.status();
    assert_eq!(status["hold"]["from"], stage.candidate.to_string());
    assert_eq!(status["hold"]["sticky"], false);
    assert_eq!(status["hold"]["guard"], "errors");
    let guard = &status["rollout"]["guard"];
    assert_eq!(
        (&guard["result"], &guard["by"]),
        (&json!("failed"), &json!("errors"))
    );
    let alarm = || stage.gwd.status()["alarms"].clone();
    assert_eq!(alarm(), json!(["release-guard-failed"]));
    assert!((stage.count("failed") - 1.0).abs() < f64::EPSILON);
    let line = stage.gwd.logged("the guard of a release failed").unwrap();
    assert_eq!(
        (&line["what"], &line["why"]),
        (&json!("release-guard"), &json!("errors"))
    );
    assert_eq!(line["to"], stage.base.to_string());

    // The node stays at the base, also after a restart and later steps.
    runs_after_notify(&stage.gwd, &stage.base);
    stage.publish(RecordKind::Pin, None);
    runs_after_notify(&stage.gwd, &stage.base);
    drop(load);
    let Stage {
        world, name, gwd, ..
    } = stage;
    gwd.kill();
    let gwd = world.start_node(&name);
    assert!(gwd.runs(&stage.base));
    eventually("the alarm is raised again", || {
        gwd.status()["alarms"] == json!(["release-guard-failed"])
    });
    // An abort ends hold and alarm.
    world.release_with(&numbered(&stage.one, 1), |draft| {
        draft.kind = RecordKind::Rollback
    });
    runs_after_notify(&gwd, &stage.base);
    assert_eq!(gwd.status()["hold"], Value::Null);
    eventually("the alarm ends", || gwd.status()["alarms"] == json!([]));
    assert_eq!(status_of(&gwd, "/v1"), 200);
}

#[test]
fn slow_release_returns_to_the_base_by_itself() {
    let slow = Upstream::start(|_, stream| {
        std::thread::park_timeout(Duration::from_millis(300));
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let stage = Stage::new(slow, guard());
    let load = Load::on(&stage.gwd, 16);
    load.wait_good(BEFORE);
    stage.begin();
    assert_eq!(notify(&stage.gwd)["bundle"], stage.candidate.to_string());
    eventually("the guard fails", || stage.guard()["result"] == "failed");
    assert_eq!(stage.guard()["by"], "p99");
    stage.gwd.wait_for(&stage.base);
    assert_eq!(load.bad.load(Ordering::Relaxed), 0, "no request was lost");
    load.wait_good(BEFORE);
    // After `gwd resume`, the node follows the release again, under a new guard.
    let resumed = stage.gwd.ask("POST", "/v1/resume", "").json();
    assert_eq!(resumed["bundle"], stage.candidate.to_string());
    assert_eq!(stage.guard()["result"], "testing");
    drop(load);
}

#[test]
fn equal_release_passes_its_guard() {
    let guard = Guard {
        for_ms: 1_000,
        p99_ppm: None,
        ..guard()
    };
    let stage = Stage::new(Upstream::saying("ok"), guard);
    let load = Load::on(&stage.gwd, 4);
    load.wait_good(BEFORE);
    stage.begin();
    eventually("the guard passes", || stage.guard()["result"] == "passed");
    assert!(stage.gwd.runs(&stage.candidate));
    assert_eq!(stage.gwd.status()["alarms"], json!([]));
    assert!((stage.count("passed") - 1.0).abs() < f64::EPSILON);
    assert_eq!(load.bad.load(Ordering::Relaxed), 0, "no request was lost");
    drop(load);
}

#[test]
fn node_without_earlier_requests_does_not_judge() {
    let status = Arc::new(AtomicUsize::new(500));
    let stage = Stage::new(Upstream::telling(&status), guard());
    stage.begin();
    assert_eq!(stage.guard()["result"], "no-baseline");
    let load = Load::on(&stage.gwd, 4);
    load.wait_bad(200);
    drop(load);
    runs_after_notify(&stage.gwd, &stage.candidate);
    assert!(stage.gwd.logged("had too few requests").is_some());
}
