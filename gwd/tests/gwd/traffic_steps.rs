//! Progressive releases by share of the requests: one gateway serves the base and the candidate
//! (release.md §6).

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bundle::digest::Digest;
use bundle::ir;
use bundle::publish;
use bundle::statement::predicate::{Guard, RecordKind, Rollout, Step, Sticky, Testers};
use serde_json::{Value, json};

use crate::fixture::*;
use crate::rollouts::{head, notify, position_ppm};
use crate::world::{Process, World, numbered};

/// Shares of the requests in the two steps, in parts per million.
const SHARES: [u32; 2] = [200_000, 600_000];
/// Number of users that send requests in the tests.
const USERS: u32 = 60;

/// Release of version 1, and then of version 2 in steps of requests. Version 2 is not released yet.
pub(crate) struct Split {
    pub(crate) world: World,
    pub(crate) base: Digest,
    pub(crate) candidate: Digest,
    pub(crate) versions: [ir::Gateway; 2],
    pub(crate) rollout: Rollout,
}

impl Split {
    fn new() -> Self {
        let upstream = Upstream::saying("ok");
        Self::of([numbered(&upstream, 1), numbered(&upstream, 2)], None)
    }

    pub(crate) fn of(versions: [ir::Gateway; 2], guard: Option<Guard>) -> Self {
        Self::after(World::new(), versions, guard)
    }

    /// `world`: project that may have earlier versions.
    fn after(world: World, versions: [ir::Gateway; 2], guard: Option<Guard>) -> Self {
        let base = world.release(&versions[0]);
        let (candidate, _) = world.put(&versions[1], &[], "ci");
        let steps = SHARES.map(|traffic_ppm| Step {
            nodes_ppm: 1_000_000,
            traffic_ppm,
            shadow_ppm: 0,
        });
        let mut rollout = Rollout::first(head(&world), &steps, guard).unwrap();
        rollout.sticky = Some(Sticky::Header("x-user".to_owned()));
        rollout.testers = Some(Testers {
            header: "x-release".to_owned(),
        });
        Self {
            world,
            base,
            candidate,
            versions,
            rollout,
        }
    }

    /// Publishes a record of version 2. `rollout`: its step, or `None` for all requests.
    pub(crate) fn publish(&self, kind: RecordKind, rollout: Option<Rollout>) {
        self.world.release_with(&self.versions[1], |draft| {
            draft.kind = kind;
            draft.rollout = rollout;
        });
    }

    pub(crate) fn begin(&self) {
        self.publish(RecordKind::Release, Some(self.rollout.clone()));
    }

    /// Starts a gateway that runs version 1, and begins the release.
    pub(crate) fn begun(&self) -> Process {
        let gwd = self.world.start();
        assert!(gwd.runs(&self.base));
        self.begin();
        self.assert_serves_two(&notify(&gwd));
        gwd
    }

    pub(crate) fn assert_serves_two(&self, status: &Value) {
        let rollout = &status["rollout"];
        assert_eq!(status["bundle"], self.base.to_string(), "{status:#}");
        assert_eq!(rollout["candidate"], self.candidate.to_string());
        assert!(rollout["requests"].is_object(), "{status:#}");
        assert_eq!(rollout["candidate_refused"], Value::Null);
    }

    pub(crate) fn assert_serves_base_alone(&self, gwd: &Process, status: &Value) {
        assert_eq!(status["bundle"], self.base.to_string(), "{status:#}");
        assert_eq!(status["rollout"]["requests"], Value::Null, "{status:#}");
        assert!((0..USERS).all(|user| !self.is_candidate(gwd, user)));
    }

    /// True if version 2 serves a request of this user.
    fn is_candidate(&self, gwd: &Process, user: u32) -> bool {
        self.served(gwd, &format!("x-user: user-{user}\r\n")) == self.candidate
    }

    /// Bundle that serves a request with these fields.
    fn served(&self, gwd: &Process, fields: &str) -> Digest {
        let answer = fetch(gwd.public(), "GET", "/a", fields);
        assert_eq!(answer.status, 200, "{answer:?}");
        let bundle = answer.field("x-gateway-bundle")[0].to_owned();
        let both = [self.base, self.candidate];
        let found = both.into_iter().find(|id| id.short() == bundle);
        found.unwrap_or_else(|| panic!("{bundle}"))
    }

    /// True if this user's requests belong to a share, by the documented hash.
    pub(crate) fn belongs(&self, user: u32, share_ppm: u32) -> bool {
        position_ppm(&format!("user-{user}"), &self.candidate) < u128::from(share_ppm)
    }

    /// Checks the version of each user. Returns the number of users of version 2.
    fn check_users(&self, gwd: &Process, share_ppm: u32) -> u32 {
        let users = 0..USERS;
        let users = users.filter(|user| {
            let is_candidate = self.is_candidate(gwd, *user);
            assert_eq!(is_candidate, self.belongs(*user, share_ppm), "{user}");
            is_candidate
        });
        u32::try_from(users.count()).unwrap()
    }
}

fn requests(gwd: &Process, version: &str) -> f64 {
    let label = format!("version=\"{version}\"");
    gwd.metric("gwd_release_requests_total", &[&label])
}

#[test]
fn clients_stay_with_their_version_over_all_steps() {
    let split = Split::new();
    let gwd = split.begun();
    let status = gwd.status();
    let rollout = &status["rollout"];
    assert_eq!(
        (&rollout["nodes"], &rollout["traffic"], &rollout["belongs"]),
        (&json!("100%"), &json!("20%"), &json!(true))
    );
    let few = split.check_users(&gwd, SHARES[0]);
    assert!((1..USERS).contains(&few), "{few}");
    let counted = |version: &str, count: u32| {
        let difference = requests(&gwd, version) - f64::from(count);
        difference.abs() < f64::EPSILON
    };
    eventually("the requests are counted by version", || {
        counted("candidate", few) && counted("base", USERS - few)
    });
    let seen = notify(&gwd)["rollout"]["requests"].clone();
    assert_eq!(seen, json!({"base": USERS - few, "candidate": few}));

    split.publish(RecordKind::Pin, split.rollout.next());
    split.assert_serves_two(&notify(&gwd));
    assert!(split.check_users(&gwd, SHARES[1]) > few);
    split.publish(RecordKind::Pin, None);
    let status = notify(&gwd);
    assert_eq!(status["bundle"], split.candidate.to_string());
    assert_eq!(status["rollout"], Value::Null);
    assert_eq!(split.check_users(&gwd, 1_000_000), USERS);
    // Requests of a single version are not counted by version.
    assert!(requests(&gwd, "candidate") < f64::from(3 * USERS));
}

#[test]
fn access_log_names_the_version_that_served() {
    let split = Split::new();
    let log = split.world.path("access.log");
    let mut command = split.world.trusted();
    command.arg("--access-log").arg(&log);
    let gwd = Process::spawn(&mut command);
    split.begin();
    split.assert_serves_two(&notify(&gwd));
    for version in ["base", "candidate"] {
        split.served(&gwd, &format!("x-release: {version}\r\n"));
    }
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("both lines are written", || lines().lines().count() == 2);
    // The workers write their lines independently of each other.
    let lines = lines();
    for bundle in [split.base, split.candidate] {
        let named = lines.lines().filter(|line| line.contains(&bundle.short()));
        assert_eq!(named.count(), 1, "{bundle} {lines}");
    }
}

#[test]
fn secrets_of_either_version_never_reach_the_log() {
    let upstream = Upstream::saying("ok");
    let open = shop(upstream.address, vec![op("GET", "/a")]).gateway();
    let ops = vec![op("GET", "/a"), op("GET", "/b").secured("query")];
    let secured = shop(upstream.address, ops).gateway();
    for versions in [[open.clone(), secured.clone()], [secured, open]] {
        let split = Split::of(versions, None);
        let log = split.world.path("access.log");
        let mut command = split.world.trusted();
        command.arg("--access-log").arg(&log);
        let gwd = Process::spawn(&mut command);
        split.begin();
        split.assert_serves_two(&notify(&gwd));
        // No operation describes the path, so that it is logged as sent.
        let answer = fetch(gwd.public(), "GET", "/%00;shopkey=letmein", "");
        assert_eq!(answer.status, 400);
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        eventually("the line is written", || text().contains("path_invalid"));
        assert!(!text().contains("letmein"), "{}", text());
    }
}

#[test]
fn testers_select_their_version_by_a_field() {
    let split = Split::new();
    let gwd = split.begun();
    for user in 0..USERS {
        let with = |value: &str| {
            let fields = format!("x-user: user-{user}\r\nx-release: {value}\r\n");
            split.served(&gwd, &fields)
        };
        assert_eq!(with("candidate"), split.candidate);
        assert_eq!(with("base"), split.base);
        assert_eq!(
            with("other") == split.candidate,
            split.belongs(user, SHARES[0])
        );
    }
}

#[test]
fn clients_without_the_field_go_by_address() {
    let split = Split::new();
    let gwd = split.begun();
    let by_address = split.served(&gwd, "");
    assert_eq!(split.served(&gwd, "x-user: \r\n"), by_address);
    assert_eq!(
        split.served(&gwd, "x-user: user-1\r\nx-user: user-2\r\n"),
        by_address
    );
    // Requests of one connection go to their own versions.
    let mut client = Client::connect(gwd.public());
    for user in 0..USERS {
        client.send(&format!(
            "GET /a HTTP/1.1\r\nhost: shop\r\nx-user: user-{user}\r\n\r\n"
        ));
        let answer = client.answer();
        let is_candidate = answer.field("x-gateway-bundle") == [split.candidate.short()];
        assert_eq!(is_candidate, split.belongs(user, SHARES[0]), "{user}");
    }
}

#[test]
fn address_of_one_version_is_served_by_it() {
    let upstream = Upstream::saying("ok");
    let with = |path: &'static str, name: &str| {
        let mut shop = shop(upstream.address, vec![op("GET", "/a"), op("GET", path)]);
        shop.expose_bundle = true;
        shop.more_listeners = vec![listener(name, "127.0.0.1:0")];
        shop.mount.listeners = vec!["public".into(), name.into()];
        shop.gateway()
    };
    let split = Split::of([with("/v1", "first"), with("/v2", "second")], None);
    let gwd = split.begun();
    let listeners = gwd.status()["listeners"].clone();
    for (name, path) in [("first", "/v1"), ("second", "/v2")] {
        let address = listeners[name].as_str().expect("it listens");
        for user in 0..10 {
            let fields = format!("x-user: user-{user}\r\nx-release: base\r\n");
            let answer = fetch(address.parse().unwrap(), "GET", path, &fields);
            assert_eq!(answer.status, 200, "{name}");
        }
    }
    split.check_users(&gwd, SHARES[0]);
    // An abort leaves the address of the candidate.
    split.world.release_with(&split.versions[0], |draft| {
        draft.kind = RecordKind::Rollback
    });
    let status = notify(&gwd);
    assert_eq!(status["listeners"]["second"], Value::Null, "{status:#}");
    assert!(status["listeners"]["first"].is_string());
    split.assert_serves_base_alone(&gwd, &status);
}

#[test]
fn candidate_that_cannot_run_leaves_all_to_the_base() {
    let upstream = Upstream::saying("ok");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut two = shop(upstream.address, vec![op("GET", "/a"), op("GET", "/v2")]);
    two.expose_bundle = true;
    let address = taken.local_addr().unwrap().to_string();
    two.more_listeners = vec![listener("second", &address)];
    two.mount.listeners = vec!["public".into(), "second".into()];
    let split = Split::of([numbered(&upstream, 1), two.gateway()], None);
    let gwd = split.world.start();
    split.begin();
    let status = notify(&gwd);
    split.assert_serves_base_alone(&gwd, &status);
    assert_eq!(status["rollout"]["candidate_refused"], "port-busy");
    assert_eq!(status["last_error"]["reason"], "port-busy");
    eventually("the refusal is logged", || {
        gwd.logged("a bundle was refused").is_some()
    });
    assert_eq!(status["ready"], true);
    drop(taken);
    eventually("the candidate is tried again", || {
        gwd.status()["rollout"]["requests"].is_object()
    });
    split.assert_serves_two(&gwd.status());
    assert_eq!(gwd.status()["last_error"], Value::Null);
    split.check_users(&gwd, SHARES[0]);
}

#[test]
fn restart_in_a_traffic_step_serves_both_versions() {
    let split = Split::new();
    let gwd = split.begun();
    gwd.kill();
    let gwd = split.world.start();
    split.assert_serves_two(&gwd.status());
    split.check_users(&gwd, SHARES[0]);
    gwd.kill();
    // The state folder has both bundles.
    let (store, away) = (split.world.path("store"), split.world.path("away"));
    std::fs::rename(&store, &away).unwrap();
    let gwd = split.world.start();
    split.assert_serves_two(&gwd.status());
    split.check_users(&gwd, SHARES[0]);
    std::fs::rename(&away, &store).unwrap();
}

#[test]
fn revoked_version_is_left_at_once() {
    let revoked = |bundle| publish::Revocation {
        bundles: [bundle].into(),
        ..publish::Revocation::default()
    };
    let split = Split::new();
    let gwd = split.begun();
    split.world.revoke(revoked(split.candidate));
    let status = notify(&gwd);
    split.assert_serves_base_alone(&gwd, &status);
    assert_eq!(status["alarms"], json!([]));
    gwd.kill();
    let gwd = split.world.start();
    split.assert_serves_base_alone(&gwd, &gwd.status());

    let split = Split::new();
    let gwd = split.begun();
    split.world.revoke(revoked(split.base));
    let status = notify(&gwd);
    assert_eq!(status["bundle"], split.candidate.to_string(), "{status:#}");
    assert!((0..USERS).all(|user| split.is_candidate(&gwd, user)));
}

#[test]
fn rollback_by_hand_leaves_only_the_candidate() {
    let split = Split::new();
    let gwd = split.begun();
    assert_eq!(gwd.status()["rollback_to"], split.base.to_string());
    assert_eq!(gwd.status()["previous"], Value::Null);
    let back = gwd.ask("POST", "/v1/rollback", "").json();
    assert_eq!(back["bundle"], split.base.to_string());
    assert_eq!(back["hold"]["from"], split.candidate.to_string());
    split.assert_serves_base_alone(&gwd, &gwd.status());
    split.publish(RecordKind::Pin, split.rollout.next());
    split.assert_serves_base_alone(&gwd, &notify(&gwd));
    gwd.kill();
    let gwd = split.world.start();
    split.assert_serves_base_alone(&gwd, &gwd.status());
    let resumed = gwd.ask("POST", "/v1/resume", "").json();
    assert_eq!(resumed["hold"], Value::Null);
    split.assert_serves_two(&resumed);
    split.check_users(&gwd, SHARES[1]);
}

#[test]
fn second_rollback_by_hand_goes_further_back() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let earlier = world.release(&numbered(&upstream, 3));
    let gwd = world.start();
    let versions = [numbered(&upstream, 1), numbered(&upstream, 2)];
    let split = Split::after(world, versions, None);
    gwd.wait_for(&split.base);
    split.begin();
    split.assert_serves_two(&notify(&gwd));
    for expected in [split.base, earlier] {
        let status = gwd.status();
        assert_eq!(status["previous"], earlier.to_string());
        assert_eq!(status["rollback_to"], expected.to_string());
        let back = gwd.ask("POST", "/v1/rollback", "").json();
        assert_eq!(back["bundle"], expected.to_string());
        assert_eq!(back["hold"]["from"], split.candidate.to_string());
    }
    assert_eq!(notify(&gwd)["bundle"], earlier.to_string());
    let resumed = gwd.ask("POST", "/v1/resume", "").json();
    split.assert_serves_two(&resumed);
}

#[test]
fn node_outside_of_the_share_serves_the_base() {
    let split = Split::new();
    let mut rollout = split.rollout.clone();
    let position = position_ppm("node-1", &split.candidate);
    let inside = u32::try_from(position).unwrap() + 1;
    for (nodes_ppm, belongs) in [(inside - 1, false), (inside, true)] {
        rollout.steps = vec![Step {
            nodes_ppm: nodes_ppm.max(1),
            traffic_ppm: SHARES[0],
            shadow_ppm: 0,
        }];
        let kind = match belongs {
            false => RecordKind::Release,
            true => RecordKind::Pin,
        };
        split.publish(kind, Some(rollout.clone()));
        let gwd = split.world.start();
        let status = notify(&gwd);
        assert_eq!(status["rollout"]["belongs"], belongs);
        match belongs {
            true => split.assert_serves_two(&status),
            false => split.assert_serves_base_alone(&gwd, &status),
        }
        gwd.kill();
    }
}

/// Release whose version 2 has another upstream, with a guard.
fn guarded(two: &Upstream, for_ms: u64) -> Split {
    let one = Upstream::saying("ok");
    let guard = Guard {
        errors_ppm: Some(10_000),
        for_ms,
        p99_ppm: None,
        refusals_ppm: None,
        requests: 50,
        webhook: None,
    };
    Split::of([numbered(&one, 1), numbered(two, 2)], Some(guard))
}

/// Sends requests of users until the guard has another result than `testing`. Returns the guard.
fn until_result(gwd: &Process) -> Value {
    until_result_from(gwd, &[1])
}

/// Like [`until_result`], with clients whose addresses have these last numbers.
pub(crate) fn until_result_from(gwd: &Process, addresses: &[u8]) -> Value {
    let client = |last: &u8| Client::connect_from([127, 0, 0, *last], gwd.public());
    let mut clients: Vec<Client> = addresses.iter().map(client).collect();
    let mut user = 0;
    loop {
        for _ in 0..50 {
            user += 1;
            let count = clients.len();
            let client = &mut clients[user % count];
            client.send(&format!(
                "GET /a HTTP/1.1\r\nhost: shop\r\nx-user: user-{user}\r\n\r\n"
            ));
            client.answer();
        }
        let guard = gwd.status()["rollout"]["guard"].clone();
        // On a busy machine, the time of a short guard ends before it has enough requests.
        if !["testing", "too-few-requests"].contains(&guard["result"].as_str().unwrap()) {
            return guard;
        }
        assert!(user < 100_000, "{guard}");
    }
}

#[test]
fn failed_guard_gives_all_requests_to_the_base() {
    let status = Arc::new(AtomicUsize::new(500));
    let split = guarded(&Upstream::telling(&status), 600_000);
    let gwd = split.begun();
    let guard = until_result(&gwd);
    assert_eq!(
        (&guard["result"], &guard["by"]),
        (&json!("failed"), &json!("errors"))
    );
    let status = gwd.status();
    split.assert_serves_base_alone(&gwd, &status);
    assert_eq!(status["hold"]["from"], split.candidate.to_string());
    assert_eq!(status["hold"]["guard"], "errors");
    assert_eq!(status["alarms"], json!(["release-guard-failed"]));
    let message = "the guard of a release failed";
    eventually(message, || gwd.logged(message).is_some());
    let line = gwd.logged(message).unwrap();
    assert_eq!(line["what"], "release-guard");
    assert_eq!(line["from"], split.candidate.to_string());
    assert_eq!(line["to"], split.base.to_string());
    // The node stays at the base in later steps, and after a restart.
    split.publish(RecordKind::Pin, split.rollout.next());
    split.assert_serves_base_alone(&gwd, &notify(&gwd));
    gwd.kill();
    let gwd = split.world.start();
    split.assert_serves_base_alone(&gwd, &gwd.status());
    assert_eq!(gwd.status()["rollout"]["guard"]["result"], "failed");
    // An abort ends the hold.
    split.world.release_with(&split.versions[0], |draft| {
        draft.kind = RecordKind::Rollback
    });
    assert_eq!(notify(&gwd)["hold"], Value::Null);
}

/// Two versions that admit uploads, with a slow upstream and a guard of `p99`.
fn guarded_by_p99() -> Split {
    let upstream = Upstream::start(|_, stream| {
        std::thread::park_timeout(Duration::from_millis(20));
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let guard = Guard {
        errors_ppm: None,
        for_ms: 3_000,
        p99_ppm: Some(1_000_000),
        refusals_ppm: None,
        requests: 20,
        webhook: None,
    };
    let versions = ["/v1", "/v2"].map(|path| {
        let ops = vec![op("GET", "/a"), op("POST", "/a"), op("GET", path)];
        let mut shop = shop(upstream.address, ops);
        shop.expose_bundle = true;
        shop.gateway()
    });
    Split::of(versions, Some(guard))
}

#[test]
fn slow_uploads_of_a_client_fail_no_guard() {
    let split = guarded_by_p99();
    let gwd = split.begun();
    let clients = || [(); 16].map(|()| Client::connect(gwd.public()));
    let (mut base, mut uploads) = (clients(), clients());
    let user = |is_candidate| {
        let mut users = 0..USERS;
        let user = users.find(|user| split.belongs(*user, SHARES[0]) == is_candidate);
        user.expect("a user of each version")
    };
    let (of_base, of_candidate) = (user(false), user(true));
    let head = |method: &str, user: u32, rest: &str| {
        format!("{method} /a HTTP/1.1\r\nhost: shop\r\nx-user: user-{user}\r\n{rest}\r\n")
    };
    let upload = head("POST", of_candidate, "content-length: 2\r\n") + "a";
    for _ in 0..1_000 {
        for client in &mut uploads {
            client.send(&upload);
        }
        // The uploads last ten times as long as a request to the base.
        for _ in 0..10 {
            for client in &mut base {
                client.send(&head("GET", of_base, ""));
            }
            for client in &mut base {
                assert_eq!(client.answer().status, 200);
            }
        }
        for client in &mut uploads {
            client.send("b");
        }
        for client in &mut uploads {
            assert_eq!(client.answer().status, 200);
        }
        let guard = gwd.status()["rollout"]["guard"].clone();
        assert_ne!(guard["result"], "failed", "{guard}");
        if guard["result"] == "passed" {
            return;
        }
    }
    panic!("the guard has no result");
}

/// A client could otherwise send its errors to the candidate only, and block each release.
#[test]
fn requests_that_select_their_version_fail_no_guard() {
    let status = Arc::new(AtomicUsize::new(500));
    let split = guarded(&Upstream::telling(&status), 600_000);
    let gwd = split.begun();
    let mut client = Client::connect(gwd.public());
    for _ in 0..500 {
        for version in ["base", "candidate"] {
            client.send(&format!(
                "GET /a HTTP/1.1\r\nhost: shop\r\nx-release: {version}\r\n\r\n"
            ));
            client.answer();
        }
    }
    eventually("the requests are counted", || {
        requests(&gwd, "candidate") >= 500.0
    });
    let rollout = notify(&gwd)["rollout"].clone();
    assert_eq!(rollout["requests"], json!({"base": 500, "candidate": 500}));
    assert_eq!(rollout["guard"]["result"], "testing", "{rollout:#}");
    let counted = &rollout["guard"]["errors"]["after"]["requests"];
    assert_eq!(counted.as_u64().unwrap_or_default(), 0, "{rollout:#}");
    // Requests of users fail the guard.
    assert_eq!(until_result(&gwd)["result"], "failed");
}

#[test]
fn guard_compares_both_versions_in_the_same_minutes() {
    // Both versions fail: the base has the same upstream.
    let status = Arc::new(AtomicUsize::new(500));
    let upstream = Upstream::telling(&status);
    let guard = Guard {
        errors_ppm: Some(10_000),
        for_ms: 1_000,
        p99_ppm: None,
        refusals_ppm: None,
        requests: 50,
        webhook: None,
    };
    let versions = [numbered(&upstream, 1), numbered(&upstream, 2)];
    let split = Split::of(versions, Some(guard));
    let gwd = split.begun();
    let guard = until_result(&gwd);
    assert_eq!(guard["result"], "passed", "{guard}");
    for version in ["before", "after"] {
        let counts = &guard["errors"][version];
        assert_eq!(counts["requests"], counts["events"], "{guard}");
    }
    split.assert_serves_two(&gwd.status());
    // The next step has a guard of its own.
    split.publish(RecordKind::Pin, split.rollout.next());
    let guard = notify(&gwd)["rollout"]["guard"].clone();
    assert_eq!(guard["result"], "testing", "{guard}");
}
