//! Progressive releases: several gateways follow a channel whose head names its bundle for a share
//! of them (release.md §6).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use bundle::digest::Digest;
use bundle::history;
use bundle::publish;
use bundle::statement::Statement;
use bundle::statement::predicate::{Pointer, Record, RecordKind, Rollout, Step};
use bundle::store::{Chain, Store as _};
use serde_json::{Value, json};

use crate::fixture::*;
use crate::world::{Process, World, key, numbered};

/// Shares of the two steps, in parts per million.
const STEPS: [u32; 2] = [200_000, 600_000];

/// Newest record of the channel.
pub(crate) fn head(world: &World) -> Pointer {
    let prod = "prod".parse().unwrap();
    let head = history::head(&world.store, None, &prod).unwrap();
    head.expect("a record").pointer
}

/// Position of a node in the releases of a bundle, computed as `docs/bundle-format.md` says.
pub(crate) fn position_ppm(node: &str, bundle: &Digest) -> u128 {
    let hash = Digest::of(format!("{bundle}\n{node}").as_bytes()).hex();
    let first = u128::from_str_radix(&hash[..16], 16).unwrap();
    (first * 1_000_000) >> 64
}

/// Names of `count` nodes with positions in this range.
pub(crate) fn names(
    bundle: &Digest,
    positions: std::ops::Range<u128>,
    count: usize,
) -> Vec<String> {
    (0..)
        .map(|number| format!("gw-{number}"))
        .filter(|node| positions.contains(&position_ppm(node, bundle)))
        .take(count)
        .collect()
}

/// Release of version 1, and then of version 2 in steps. Version 2 is not released yet.
pub(crate) struct Release {
    pub(crate) world: World,
    upstream: Upstream,
    base: Digest,
    candidate: Digest,
    rollout: Rollout,
}

impl Release {
    fn new() -> Self {
        let upstream = Upstream::saying("ok");
        let world = World::new();
        let base = world.release(&numbered(&upstream, 1));
        let (candidate, _) = world.put(&numbered(&upstream, 2), &[], "ci");
        let rollout = Rollout::first(head(&world), &STEPS, None).unwrap();
        Self {
            world,
            upstream,
            base,
            candidate,
            rollout,
        }
    }

    /// Publishes a record of version 2. `rollout`: its step, or `None` for all nodes.
    fn publish(&self, kind: RecordKind, rollout: Option<Rollout>) {
        let two = numbered(&self.upstream, 2);
        self.world.release_with(&two, |draft| {
            draft.kind = kind;
            draft.rollout = rollout;
        });
    }

    fn begin(&self) {
        self.publish(RecordKind::Release, Some(self.rollout.clone()));
    }

    /// Publishes a rollback of all nodes to version 1.
    fn abort(&self) {
        let one = numbered(&self.upstream, 1);
        self.world
            .release_with(&one, |draft| draft.kind = RecordKind::Rollback);
    }

    /// Name of a node of the first step, and of a node outside of it.
    fn inside_and_outside(&self) -> [String; 2] {
        [0..200_000, 600_000..1_000_000].map(|positions| {
            let mut names = names(&self.candidate, positions, 1);
            names.pop().unwrap()
        })
    }
}

/// Reads the store at once, and returns the status.
pub(crate) fn notify(gwd: &Process) -> Value {
    gwd.ask("POST", "/v1/notify", "").json()
}

pub(crate) fn runs_after_notify(gwd: &Process, bundle: &Digest) {
    let status = notify(gwd);
    assert_eq!(status["bundle"], bundle.to_string(), "{status:#}");
}

/// Clients that send requests to a gateway until the value is stopped. A failed request panics.
struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(gateways: &[&Process]) -> Self {
        let (stop, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = gateways.iter().map(|gwd| {
            let (address, stop, count) = (gwd.public(), Arc::clone(&stop), Arc::clone(&count));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    client.send("GET /a HTTP/1.1\r\nhost: shop\r\n\r\n");
                    assert_eq!(client.answer().status, 200);
                    count.fetch_add(1, Ordering::Relaxed);
                    std::thread::park_timeout(std::time::Duration::from_millis(1));
                }
            })
        });
        let clients = clients.collect();
        Self {
            stop,
            count,
            clients,
        }
    }

    /// Stops the clients. Panics if a request failed.
    fn stop(self) {
        let sent = self.count.load(Ordering::Relaxed);
        eventually("requests are sent until the end", || {
            self.count.load(Ordering::Relaxed) > sent + self.clients.len()
        });
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("every request is answered with 200");
        }
    }
}

pub(crate) fn status_of(gwd: &Process, path: &str) -> u16 {
    let mut client = Client::connect(gwd.public());
    client.send(&format!("GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n"));
    client.answer().status
}

#[test]
fn each_step_reaches_exactly_its_nodes() {
    let release = Release::new();
    let positions = [0..200_000, 200_000..600_000, 600_000..1_000_000];
    let names = positions.map(|positions| names(&release.candidate, positions, 2));
    let start = |name: &String| release.world.start_node(name);
    let nodes: Vec<Process> = names.iter().flatten().map(start).collect();
    let all: Vec<&Process> = nodes.iter().collect();
    let load = Load::on(&all);
    let check = |reached: usize, step: Option<u32>| {
        for (at, gwd) in nodes.iter().enumerate() {
            let (runs, belongs) = match at < reached {
                true => (release.candidate, true),
                false => (release.base, false),
            };
            runs_after_notify(gwd, &runs);
            let status = gwd.status();
            let rollout = &status["rollout"];
            assert_eq!(rollout["step"], json!(step), "{status:#}");
            let path = if belongs { "/v2" } else { "/v1" };
            assert_eq!(status_of(gwd, path), 200, "node {at}");
            let Some(step) = step else {
                assert_eq!(*rollout, Value::Null);
                continue;
            };
            assert_eq!(rollout["belongs"], belongs, "node {at}");
            assert_eq!(
                (&rollout["of"], &rollout["base_serial"]),
                (&json!(3), &json!(1))
            );
            assert_eq!(rollout["base"], release.base.to_string());
            assert_eq!(rollout["candidate"], release.candidate.to_string());
            assert_eq!(status["accepted"]["serial"], 1 + step);
            let labels = [&*format!("belongs=\"{belongs}\""), "of=\"3\""];
            assert_eq!(gwd.metric("gwd_release_step", &labels), f64::from(step));
        }
    };
    release.begin();
    check(2, Some(1));
    release.publish(RecordKind::Pin, release.rollout.next());
    check(4, Some(2));
    release.publish(RecordKind::Pin, None);
    check(6, None);
    load.stop();
    let outside = nodes.last().expect("six nodes");
    assert!(
        outside
            .logged("this node is outside of the share")
            .is_some()
    );
    assert!(nodes[0].logged("this node belongs to the share").is_some());
    assert!(!outside.open("/metrics").text().contains("gwd_release_step"));
}

#[test]
fn abort_returns_every_node_to_the_base() {
    let release = Release::new();
    let [inside, outside] = release
        .inside_and_outside()
        .map(|name| release.world.start_node(&name));
    let load = Load::on(&[&inside, &outside]);
    release.begin();
    runs_after_notify(&inside, &release.candidate);
    runs_after_notify(&outside, &release.base);
    release.abort();
    for gwd in [&inside, &outside] {
        runs_after_notify(gwd, &release.base);
        let status = gwd.status();
        assert_eq!(
            (&status["rollout"], &status["serial"]),
            (&Value::Null, &json!(3))
        );
        assert_eq!(status["hold"], Value::Null);
    }
    load.stop();
    // The bundle of the ended release can be released again.
    release.publish(RecordKind::Release, None);
    runs_after_notify(&outside, &release.candidate);
}

#[test]
fn restart_in_a_rollout_keeps_the_bundle() {
    let release = Release::new();
    let names = release.inside_and_outside();
    let expected = [release.candidate, release.base];
    for name in &names {
        let gwd = release.world.start_node(name);
        gwd.kill();
    }
    release.begin();
    for (name, bundle) in names.iter().zip(&expected) {
        // The node finds the release at a start.
        let gwd = release.world.start_node(name);
        runs_after_notify(&gwd, bundle);
        gwd.kill();
        let gwd = release.world.start_node(name);
        assert!(gwd.runs(bundle), "restart with the store");
        gwd.kill();
    }
    let (store, away) = (release.world.path("store"), release.world.path("away"));
    std::fs::rename(&store, &away).unwrap();
    for (name, bundle) in names.iter().zip(&expected) {
        let gwd = release.world.start_node(name);
        assert!(gwd.runs(bundle), "restart without the store");
        let status = gwd.status();
        assert_eq!(status["accepted"]["serial"], 2, "the head is remembered");
        let belongs = *bundle == release.candidate;
        assert_eq!(status["rollout"]["belongs"], belongs, "{status:#}");
        gwd.kill();
    }
    std::fs::rename(&away, &store).unwrap();
    release.publish(RecordKind::Pin, None);
    let gwd = release.world.start_node(&names[1]);
    runs_after_notify(&gwd, &release.candidate);
}

#[test]
fn new_node_outside_of_the_share_runs_the_base() {
    let release = Release::new();
    release.begin();
    let [inside, outside] = release.inside_and_outside();
    let gwd = release.world.start_node(&outside);
    assert!(gwd.runs(&release.base));
    let status = gwd.status();
    assert_eq!(
        (&status["serial"], &status["accepted"]["serial"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(status["head"]["bundle"], release.candidate.to_string());
    gwd.kill();
    // The state folder has everything for a restart.
    let (store, away) = (release.world.path("store"), release.world.path("away"));
    std::fs::rename(&store, &away).unwrap();
    let gwd = release.world.start_node(&outside);
    assert!(gwd.runs(&release.base));
    // An operator's switch to the bundle that the node follows is no hold.
    let body = json!({"bundle": release.base.to_string()}).to_string();
    let activated = gwd.ask("POST", "/v1/activate", &body).json();
    assert_eq!(activated["hold"], Value::Null, "{activated:#}");
    gwd.kill();
    std::fs::rename(&away, &store).unwrap();
    assert!(release.world.start_node(&inside).runs(&release.candidate));
}

#[test]
fn node_leaves_a_revoked_bundle_of_a_rollout() {
    let revoked = |bundle| publish::Revocation {
        bundles: [bundle].into(),
        ..publish::Revocation::default()
    };
    // The candidate is revoked: nodes of the share return to the base.
    let release = Release::new();
    let [inside, _] = release.inside_and_outside();
    let gwd = release.world.start_node(&inside);
    release.begin();
    runs_after_notify(&gwd, &release.candidate);
    release.world.revoke(revoked(release.candidate));
    runs_after_notify(&gwd, &release.base);
    assert_eq!(gwd.status()["alarms"], json!([]));
    gwd.kill();
    assert!(release.world.start_node(&inside).runs(&release.base));

    // The base is revoked: nodes outside of the share follow the head.
    let release = Release::new();
    release.begin();
    let [_, outside] = release.inside_and_outside();
    let gwd = release.world.start_node(&outside);
    runs_after_notify(&gwd, &release.base);
    release.world.revoke(revoked(release.base));
    runs_after_notify(&gwd, &release.candidate);
    // Both are revoked: the running bundle keeps serving, with an alarm.
    release.world.revoke(revoked(release.candidate));
    runs_after_notify(&gwd, &release.candidate);
    assert_eq!(gwd.status()["alarms"], json!(["running-revoked"]));
    assert_eq!(status_of(&gwd, "/a"), 200);
}

/// Signs a record after the head, without the checks of a publisher, and links it.
fn forge(release: &Release, rollout: Rollout) {
    let two = numbered(&release.upstream, 2);
    let (bundle, evidence) = release.world.put(&two, &[], "ci");
    let draft = crate::world::draft(bundle, evidence, RecordKind::Release, "rita");
    let statement: Statement<Record> =
        publish::prepare(&release.world.store, None, draft, None).unwrap();
    let mut forged = statement;
    forged.predicate.rollout = Some(rollout);
    let serial = forged.predicate.serial;
    let envelope = publish::sign(&forged, &[&key("rita")]).unwrap();
    let store = &release.world.store;
    let digest = publish::put_statement(store, &envelope, None).unwrap();
    let chain = Chain::Channel("prod".parse().unwrap());
    store.create_link(&chain, serial, &digest).unwrap();
}

#[test]
fn rollout_that_is_not_valid_is_refused() {
    let wrong: [fn(&Release) -> Rollout; 2] = [
        |release| Rollout {
            steps: [600_000, 200_000].map(Step::from).to_vec(),
            ..release.rollout.clone()
        },
        // The base is not the newest complete record.
        |release| release.rollout.clone(),
    ];
    for (at, wrong) in wrong.into_iter().enumerate() {
        let release = Release::new();
        let [_, outside] = release.inside_and_outside();
        let gwd = release.world.start_node(&outside);
        if at == 1 {
            let one = numbered(&release.upstream, 1);
            release
                .world
                .release_with(&one, |draft| draft.kind = RecordKind::Pin);
        }
        forge(&release, wrong(&release));
        runs_after_notify(&gwd, &release.base);
        let error = gwd.status()["last_error"].clone();
        assert_eq!(error["reason"], "bad-rollout", "{at}");
        assert_eq!(status_of(&gwd, "/v1"), 200);
        if at == 0 {
            // No publisher continues after such a record, as after any other invalid head.
            continue;
        }
        release.publish(RecordKind::Release, None);
        runs_after_notify(&gwd, &release.candidate);
        assert_eq!(gwd.status()["last_error"], Value::Null);
    }
}

#[test]
fn damaged_base_stops_no_running_node() {
    let release = Release::new();
    let [inside, outside] = release.inside_and_outside();
    let running = release.world.start_node(&outside);
    release.begin();
    let blob = release.world.path("store/blobs/sha256");
    let blob = blob.join(release.rollout.base.digest.hex());
    let whole = std::fs::read(&blob).unwrap();
    std::fs::write(&blob, "damaged").unwrap();
    // A node that ran the base has its own copy of the record.
    runs_after_notify(&running, &release.base);
    assert_eq!(running.status()["last_error"], Value::Null);
    assert_eq!(
        running.status()["rollout"]["base"],
        release.base.to_string()
    );
    // A node of the share does not need the base.
    assert!(release.world.start_node(&inside).runs(&release.candidate));
    // A new node outside of the share does not start without it.
    let mut command = release.world.command_of(&outside, "state-new");
    command.arg("--trust").arg(release.world.path("trust.json"));
    let ended = release.world.fails(&mut command);
    assert_eq!(ended.status.code(), Some(4));
    std::fs::write(&blob, whole).unwrap();
    assert!(Process::spawn(&mut command).runs(&release.base));
}

#[test]
fn holds_in_a_rollout_end_as_always() {
    let release = Release::new();
    let [inside, outside] = release
        .inside_and_outside()
        .map(|name| release.world.start_node(&name));
    release.begin();
    runs_after_notify(&inside, &release.candidate);
    // A node that was rolled back by hand stays at the base during later steps.
    let back = inside.ask("POST", "/v1/rollback", "").json();
    assert_eq!(back["bundle"], release.base.to_string());
    release.publish(RecordKind::Pin, release.rollout.next());
    runs_after_notify(&inside, &release.base);
    assert_eq!(
        inside.status()["hold"]["from"],
        release.candidate.to_string()
    );
    let resumed = inside.ask("POST", "/v1/resume", "").json();
    assert_eq!(resumed["bundle"], release.candidate.to_string());
    // `gwd check` checks the bundle that the node follows.
    runs_after_notify(&outside, &release.base);
    let output = release.world.check();
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checked["result"], "ok");
}
