//! Guards of progressive releases: a node of the share returns to the base by itself if its errors
//! or slow requests have grown (release.md §6).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bundle::digest::Digest;
use bundle::ir;
use bundle::statement::predicate::{Guard, RecordKind, Rollout};
use serde_json::{Value, json};

use crate::fixture::*;
use crate::rollouts::{head, names, notify, runs_after_notify, status_of};
use crate::world::{Process, World};

/// Number of requests before the switch.
pub(crate) const BEFORE: usize = 400;

pub(crate) fn guard() -> Guard {
    Guard {
        errors_ppm: Some(10_000),
        for_ms: 600_000,
        p99_ppm: Some(500_000),
        refusals_ppm: None,
        requests: 50,
        webhook: None,
    }
}

/// Request of a client, and a call of a gRPC client over HTTP/1.1.
const REQUEST: &str = "GET /a HTTP/1.1\r\nhost: shop\r\n\r\n";
const CALL: &str = "POST /call HTTP/1.1\r\nhost: shop\r\ncontent-type: application/grpc\r\n\
                    te: trailers\r\ncontent-length: 0\r\n\r\n";

/// A gateway with the paths `/a`, `/call` and `/vN`, where N is the number of the version.
fn version(upstream: &Upstream, number: usize) -> ir::Gateway {
    let path = ["/v0", "/v1", "/v2"][number];
    let ops = vec![op("GET", "/a"), op("POST", "/call"), op("GET", path)];
    shop(upstream.address, ops).gateway()
}

/// Node of the first step that runs version 1, with a healthy upstream. Version 2 has the upstream
/// of a test.
pub(crate) struct Stage {
    pub(crate) world: World,
    name: String,
    pub(crate) gwd: Process,
    one: Upstream,
    /// Upstream of version 2. It serves until the end of the test.
    _two: Upstream,
    next: ir::Gateway,
    pub(crate) base: Digest,
    pub(crate) candidate: Digest,
    pub(crate) rollout: Rollout,
}

impl Stage {
    fn new(two: Upstream, guard: Guard) -> Self {
        Self::between(Upstream::saying("ok"), two, guard, &[])
    }

    /// `options`: further options of `gwd run`.
    fn between(one: Upstream, two: Upstream, guard: Guard, options: &[&str]) -> Self {
        let next = version(&two, 2);
        Self::releasing((one, two), next, guard, options)
    }

    /// `next`: version 2.
    pub(crate) fn releasing(
        (one, two): (Upstream, Upstream),
        next: ir::Gateway,
        guard: Guard,
        options: &[&str],
    ) -> Self {
        let world = World::new();
        let base = world.release(&version(&one, 1));
        let (candidate, _) = world.put(&next, &[], "ci");
        let rollout = Rollout::first(head(&world), &[500_000], Some(guard)).unwrap();
        let name = names(&candidate, 0..500_000, 1).pop().unwrap();
        let mut command = world.command_of(&name, &format!("state-{name}"));
        command.arg("--trust").arg(world.path("trust.json"));
        let gwd = Process::spawn(command.args(options));
        Self {
            world,
            name,
            gwd,
            one,
            _two: two,
            next,
            base,
            candidate,
            rollout,
        }
    }

    pub(crate) fn publish(&self, kind: RecordKind, rollout: Option<Rollout>) {
        self.world.release_with(&self.next, |draft| {
            draft.kind = kind;
            draft.rollout = rollout;
        });
    }

    pub(crate) fn begin(&self) {
        self.publish(RecordKind::Release, Some(self.rollout.clone()));
        let status = notify(&self.gwd);
        assert_eq!(status["rollout"]["belongs"], true, "{status:#}");
    }

    pub(crate) fn guard(&self) -> Value {
        self.gwd.status()["rollout"]["guard"].clone()
    }

    fn count(&self, result: &str) -> f64 {
        let label = format!("result=\"{result}\"");
        self.gwd.metric("gwd_release_guard_total", &[&label])
    }

    pub(crate) fn wait_for_result(&self, result: &str) {
        eventually(result, || self.guard()["result"] == result);
    }

    /// Waits for an event of the program log, and returns it.
    fn wait_for_event(&self, message: &str) -> Value {
        eventually(message, || self.gwd.logged(message).is_some());
        self.gwd.logged(message).unwrap()
    }

    fn alarms(&self) -> Value {
        self.gwd.status()["alarms"].clone()
    }
}

/// Clients that send requests until the value is dropped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    bad: Arc<AtomicUsize>,
    /// Times of the answers that were not good.
    bad_at: Arc<Mutex<Vec<Instant>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(gwd: &Process, clients: usize) -> Self {
        Self::sending(REQUEST, gwd, clients)
    }

    fn sending(request: &'static str, gwd: &Process, clients: usize) -> Self {
        let address = gwd.public();
        Self::connecting(
            request,
            (0..clients).map(|_| move || Client::connect(address)),
        )
    }

    /// `clients`: a function for each client that connects it.
    pub(crate) fn connecting<C>(request: &'static str, clients: impl Iterator<Item = C>) -> Self
    where
        C: FnOnce() -> Client + Send + 'static,
    {
        let stop = Arc::<AtomicBool>::default();
        let (good, bad) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let bad_at = Arc::<Mutex<Vec<Instant>>>::default();
        let client = |connect: C| {
            let (stop, good, bad) = (Arc::clone(&stop), Arc::clone(&good), Arc::clone(&bad));
            let bad_at = Arc::clone(&bad_at);
            std::thread::spawn(move || {
                let mut client = connect();
                while !stop.load(Ordering::Relaxed) {
                    client.send(request);
                    let answer = client.answer();
                    let has_failed = answer.field("grpc-status").iter().any(|code| *code != "0");
                    let count = match answer.status {
                        200 if !has_failed => &good,
                        _ => {
                            bad_at.lock().unwrap().push(Instant::now());
                            &bad
                        }
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    std::thread::park_timeout(Duration::from_millis(1));
                }
            })
        };
        let clients = clients.map(client).collect();
        Self {
            stop,
            good,
            bad,
            bad_at,
            clients,
        }
    }

    /// Waits until this number of requests was answered with 200, from now on.
    pub(crate) fn wait_good(&self, count: usize) {
        let before = self.good.load(Ordering::Relaxed);
        eventually("requests are answered with 200", || {
            self.good.load(Ordering::Relaxed) >= before + count
        });
    }

    pub(crate) fn wait_bad(&self, count: usize) {
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
    let line = stage.wait_for_event("the guard of a release failed");
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
    world.release_with(&version(&stage.one, 1), |draft| {
        draft.kind = RecordKind::Rollback
    });
    runs_after_notify(&gwd, &stage.base);
    assert_eq!(gwd.status()["hold"], Value::Null);
    eventually("the alarm ends", || gwd.status()["alarms"] == json!([]));
    assert_eq!(status_of(&gwd, "/v1"), 200);
}

/// The guard has seen enough after its least number of requests, if all of them fail. On a busy
/// machine, a round can take longer; a guard that is evaluated too rarely fails all of them.
#[test]
fn node_returns_within_a_second_of_the_verdict() {
    let status = Arc::new(AtomicUsize::new(500));
    let stage = Stage::new(Upstream::telling(&status), guard());
    let load = Load::on(&stage.gwd, 4);
    load.wait_good(BEFORE);
    let enough = usize::try_from(guard().requests).unwrap();
    let mut took = Vec::new();
    for round in 0..3 {
        let before = load.bad_at.lock().unwrap().len();
        match round {
            0 => stage.begin(),
            _ => {
                let resumed = stage.gwd.ask("POST", "/v1/resume", "").json();
                assert_eq!(resumed["bundle"], stage.candidate.to_string());
            }
        }
        load.wait_bad(before + enough);
        stage.gwd.wait_for(&stage.base);
        load.wait_good(BEFORE);
        let bad_at = load.bad_at.lock().unwrap();
        let mut bad_at = bad_at[before..].to_vec();
        bad_at.sort();
        took.push(bad_at[bad_at.len() - 1] - bad_at[enough - 1]);
        if took[round] < Duration::from_secs(1) {
            return;
        }
    }
    panic!("the last failures came {took:?} after enough of them");
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
    stage.wait_for_event("had too few requests");
}

#[test]
fn completed_release_ends_its_guard() {
    let status = Arc::new(AtomicUsize::new(200));
    let stage = Stage::new(Upstream::telling(&status), guard());
    let load = Load::on(&stage.gwd, 4);
    load.wait_good(BEFORE);
    stage.begin();
    stage.publish(RecordKind::Pin, stage.rollout.next());
    runs_after_notify(&stage.gwd, &stage.candidate);
    eventually("the guard has ended", || stage.count("ended") > 0.0);
    stage.wait_for_event("has ended, because the release");
    status.store(500, Ordering::SeqCst);
    load.wait_bad(BEFORE);
    runs_after_notify(&stage.gwd, &stage.candidate);
    assert_eq!(stage.alarms(), json!([]));
    assert!(stage.count("failed") < 0.5);
    drop(load);
}

#[test]
fn new_trust_without_the_store_keeps_the_guard() {
    let status = Arc::new(AtomicUsize::new(200));
    let stage = Stage::new(Upstream::telling(&status), guard());
    let load = Load::on(&stage.gwd, 4);
    load.wait_good(BEFORE);
    stage.begin();
    let (store, away) = (stage.world.path("store"), stage.world.path("away"));
    std::fs::rename(&store, &away).unwrap();
    let trust = stage.world.path("trust.json");
    let text = std::fs::read_to_string(&trust).unwrap();
    std::fs::write(&trust, text + "\n").unwrap();
    notify(&stage.gwd);
    stage.wait_for_event("the trust file was read again");
    assert_eq!(
        stage.gwd.status()["rollout"]["base"],
        stage.base.to_string()
    );
    status.store(500, Ordering::SeqCst);
    stage.gwd.wait_for(&stage.base);
    load.wait_good(1);
    assert_eq!(stage.guard()["result"], "failed");
    drop(load);
}

#[test]
fn refused_return_is_tried_again() {
    let status = Arc::new(AtomicUsize::new(200));
    let two = Upstream::telling(&status);
    // With one version in memory, the node reads the base from its state folder.
    let stage = Stage::between(Upstream::saying("ok"), two, guard(), &["--keep", "1"]);
    let load = Load::on(&stage.gwd, 4);
    load.wait_good(BEFORE);
    stage.begin();
    let blob = |folder: &str| {
        let folder = stage.world.path(folder);
        folder.join("blobs/sha256").join(stage.base.hex())
    };
    let [blob, away] = [format!("state-{}", stage.name), "store".to_owned()].map(|it| blob(&it));
    let bytes = std::fs::read(&blob).unwrap();
    std::fs::remove_file(&blob).unwrap();
    std::fs::remove_file(&away).unwrap();
    status.store(500, Ordering::SeqCst);
    eventually("the return is refused", || {
        stage.guard()["return_refused"].is_string()
    });
    assert_eq!(stage.guard()["result"], "failed");
    assert!(stage.gwd.runs(&stage.candidate));
    eventually("the alarm is raised", || {
        stage
            .alarms()
            .as_array()
            .unwrap()
            .contains(&json!("release-guard-failed"))
    });
    std::fs::write(&blob, bytes).unwrap();
    stage.gwd.wait_for(&stage.base);
    load.wait_good(1);
    assert_eq!(stage.gwd.status()["hold"]["guard"], "errors");
    assert!((stage.count("failed") - 1.0).abs() < f64::EPSILON);
    drop(load);
}

#[test]
fn errors_of_one_client_end_no_release() {
    let stage = Stage::new(Upstream::saying("ok"), guard());
    let load = Load::on(&stage.gwd, 4);
    load.wait_good(BEFORE);
    stage.begin();
    let hops = ["1.1 gwd"; 12].join(", ");
    for _ in 0..100 {
        let mut client = Client::connect(stage.gwd.public());
        client.send(&format!(
            "GET /a HTTP/1.1\r\nhost: shop\r\nvia: {hops}\r\n\r\n"
        ));
        assert_eq!(client.answer().status, 508);
    }
    load.wait_good(BEFORE);
    let seen = || {
        stage.guard()["errors"]["after"]["requests"]
            .as_u64()
            .unwrap()
    };
    let until = seen() + 1;
    eventually("the guard has looked again", || seen() >= until);
    assert_eq!(stage.guard()["errors"]["after"]["events"], 0);
    assert_eq!(stage.guard()["result"], "testing");
    drop(load);
}

/// Starts an upstream that ends each gRPC call with this status.
fn ending_calls(code: u32) -> Upstream {
    Upstream::start(move |_, stream| {
        let fields = "content-type: application/grpc\r\ncontent-length: 0\r\n";
        say(stream, &format!("{fields}grpc-status: {code}\r\n"), "");
        Then::Keep
    })
}

#[test]
fn failing_calls_return_to_the_base() {
    let stage = Stage::between(ending_calls(0), ending_calls(14), guard(), &[]);
    let load = Load::sending(CALL, &stage.gwd, 4);
    load.wait_good(BEFORE);
    stage.begin();
    stage.gwd.wait_for(&stage.base);
    load.wait_good(1);
    assert_eq!(stage.guard()["by"], "errors");
    drop(load);
}

/// Starts an upstream that answers after 60 ms, or after one second on a new connection.
fn warming_up() -> Upstream {
    let known = Mutex::<HashSet<usize>>::default();
    Upstream::start(move |seen, stream| {
        let is_new = known.lock().unwrap().insert(seen.connection);
        let wait = if is_new { 1_000 } else { 60 };
        std::thread::park_timeout(Duration::from_millis(wait));
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    })
}

#[test]
fn new_connections_of_an_equal_release_pass() {
    let guard = Guard {
        for_ms: 4_000,
        p99_ppm: Some(1_000_000),
        ..guard()
    };
    let stage = Stage::between(warming_up(), warming_up(), guard, &[]);
    let load = Load::on(&stage.gwd, 32);
    load.wait_good(4_000);
    stage.begin();
    stage.wait_for_result("passed");
    assert!(stage.gwd.runs(&stage.candidate));
    assert_eq!(load.bad.load(Ordering::Relaxed), 0);
    drop(load);
}

#[test]
fn guard_without_clients_has_too_few_requests() {
    let guard = Guard {
        for_ms: 1_000,
        p99_ppm: None,
        ..guard()
    };
    let stage = Stage::new(Upstream::saying("ok"), guard);
    let load = Load::on(&stage.gwd, 4);
    load.wait_good(BEFORE);
    drop(load);
    stage.begin();
    stage.wait_for_result("too-few-requests");
    stage.wait_for_event("had too few requests within");
    assert!((stage.count("too-few-requests") - 1.0).abs() < f64::EPSILON);
    // The guard goes on.
    let load = Load::on(&stage.gwd, 4);
    stage.wait_for_result("passed");
    drop(load);
}
