//! Tests of limits that change between counters in the gateways and counters in a store. The
//! change keeps what was used.

use super::faults::Proxy;
use super::*;

/// Limits of 60 requests, one of each algorithm.
const LIMITS: [&str; 3] = [
    "kind: quota, limit: 60, period: month",
    "kind: quota, limit: 60, window: 300d",
    "kind: rate_limit, limit: 60/d, burst: 60",
];

/// Three gateways whose limit can change its store.
struct Fleet {
    project: Project,
    gateways: Vec<Gateway>,
    /// The settings with counters in the store.
    shared: String,
}

impl Fleet {
    /// Starts gateways with a limit whose counters are in the store (`is_shared`) or local.
    fn start(upstream: &Upstream, server: &Server, limit: &str, is_shared: bool) -> Self {
        let project = project(upstream, limit, "closed");
        let text = project.read("gateway.yaml");
        let shared = String::from_utf8(text).expect("UTF-8");
        let mut fleet = Self {
            project,
            gateways: Vec::new(),
            shared,
        };
        fleet.release(is_shared);
        fleet.gateways = [0, 1, 2].map(|node| fleet.start_node(server, node)).into();
        fleet
    }

    /// Starts one gateway, with a state folder that outlives the process.
    fn start_node(&self, server: &Server, node: u8) -> Gateway {
        Options::of(&self.project)
            .state(&self.project.path(&format!("state{node}")))
            .variable("GWS_STORE", &server.url())
            .start()
    }

    /// Releases the limit with counters in the store or with local counters, and waits until all
    /// gateways serve it.
    fn release(&self, is_shared: bool) {
        let text = match is_shared {
            true => self.shared.clone(),
            false => self.shared.replace(", store: shared", ""),
        };
        self.project.write("gateway.yaml", text);
        let bundle = self.project.apply();
        for gwd in &self.gateways {
            gwd.wait_bundle(&bundle);
        }
    }

    /// Sends `each` requests to each gateway, one after the other. Returns the number of admitted
    /// requests.
    fn admitted(&self, each: usize) -> usize {
        let gateways = self.gateways.iter();
        let of = |gwd| (0..each).filter(|_| ask(gwd).0 == 200).count();
        gateways.map(of).sum()
    }

    /// True if each call to the store was answered in time.
    fn is_undisturbed(&self) -> bool {
        let all: Vec<&Gateway> = self.gateways.iter().collect();
        outages(&all) == 0.0
    }
}

/// Runs a scenario with each limit. Repeats it with new gateways and an empty store if a call to
/// the store was late, which a busy machine can cause.
fn with_each_limit<T: PartialEq + std::fmt::Debug>(
    is_shared: bool,
    expected: &T,
    scenario: impl Fn(&Fleet, &Server) -> T,
) {
    let upstream = Upstream::start();
    for limit in LIMITS {
        let server = Server::start(&[]);
        let result = wait::until("no call to the store is late", || {
            server.ask(&["FLUSHALL"]);
            let fleet = Fleet::start(&upstream, &server, limit, is_shared);
            let result = scenario(&fleet, &server);
            fleet.is_undisturbed().then_some(result)
        });
        assert_eq!(result, *expected, "{limit}");
    }
}

/// Each gateway adds what it has counted itself to the counter in the store, once.
#[test]
fn store_begins_with_the_counts_of_all_gateways() {
    if is_missing() {
        return;
    }
    with_each_limit(false, &(30, 30, 1), |fleet, server| {
        let local = fleet.admitted(10);
        fleet.release(true);
        // Each gateway adds its count with its first request.
        let shared = fleet.admitted(1) + fleet.admitted(40);
        let keys = server.ask(&["KEYS", "stores:{*}"]);
        (local, shared, keys.lines().count())
    });
}

/// Each gateway begins with what the whole fleet has counted. Back in the store, the counter gets
/// only what the gateways have counted since.
#[test]
fn local_counters_begin_with_the_count_of_the_store() {
    if is_missing() {
        return;
    }
    with_each_limit(true, &(15, 15, 30, 0), |fleet, _| {
        let shared = fleet.admitted(5);
        fleet.release(false);
        let local = fleet.admitted(5);
        fleet.release(true);
        // Each gateway adds its count with its first request.
        let rest = fleet.admitted(1) + fleet.admitted(40);
        // The counter in the store is used up, so each local counter is, too.
        fleet.release(false);
        (shared, local, rest, fleet.admitted(40))
    });
}

/// A gateway that has never seen a key reads its counter from the store. The others know it from
/// the answers of the store, so that they need no store at the change.
#[test]
fn local_counters_need_no_store_for_known_keys() {
    if is_missing() {
        return;
    }
    let upstream = Upstream::start();
    for limit in LIMITS {
        let left = wait::until("no call to the store is late", || {
            let mut server = Server::start(&[]);
            let fleet = Fleet::start(&upstream, &server, limit, true);
            let used = fleet.admitted(5);
            let is_undisturbed = fleet.is_undisturbed();
            server.kill();
            fleet.release(false);
            let last = &fleet.gateways[2];
            let left = (0..60).filter(|_| ask(last).0 == 200).count();
            (is_undisturbed && used == 15).then_some(left)
        });
        assert_eq!(left, 45, "{limit}");
    }
}

/// The counters of quotas are in the state folder, with what the store has answered last.
#[test]
fn restarted_gateway_keeps_the_count_of_the_store() {
    if is_missing() {
        return;
    }
    let upstream = Upstream::start();
    for limit in &LIMITS[..2] {
        let left = wait::until("no call to the store is late", || {
            let mut server = Server::start(&[]);
            let mut fleet = Fleet::start(&upstream, &server, limit, true);
            let used = fleet.admitted(5);
            let is_undisturbed = fleet.is_undisturbed();
            fleet.gateways.pop().expect("three gateways").stop();
            server.kill();
            fleet.release(false);
            let gwd = fleet.start_node(&server, 2);
            let left = (0..60).filter(|_| ask(&gwd).0 == 200).count();
            (is_undisturbed && used == 15).then_some(left)
        });
        assert_eq!(left, 45, "{limit}");
    }
}

/// The answers of the store are late, so that the gateway does not know if the store has added its
/// counts, and sends them again. The store adds them once.
#[test]
fn repeated_moves_are_added_once() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let proxy = Proxy::start(server.port);
    let project = project(&upstream, LIMITS[0], "open");
    // Another limit counts in the store from the beginning, so that the connection is open.
    let b = "  /b: {get: {operationId: b, x-gateway: {policies: [other]}, responses: {}}}\n";
    project.write("openapi.yaml", format!("{DOCUMENT}{b}"));
    let other = "\n  other: {kind: rate_limit, limit: 9000/d, key: address, store: shared}";
    let text = String::from_utf8(project.read("gateway.yaml")).expect("UTF-8");
    let shared = text.replace("\nupstreams:", &format!("{other}\nupstreams:"));
    project.write("gateway.yaml", shared.replacen(", store: shared", "", 1));
    project.apply();
    let url = format!("redis://:s3cret@127.0.0.1:{}/0", proxy.port);
    let gwd = Options::of(&project).variable("GWS_STORE", &url).start();
    assert!((0..30).all(|_| ask(&gwd).0 == 200));
    project.write("gateway.yaml", shared);
    gwd.wait_bundle(&project.apply());
    let is_open = || {
        let response = gwd.ask("GET /b HTTP/1.1\nhost: h");
        response.header("store-outage").is_none().then_some(())
    };
    let mut sent = 0;
    let used = || {
        let key = server.ask(&["KEYS", "stores:{*}"]);
        let value = server.ask(&["GET", &key]);
        let used = value.rsplit(':').next().and_then(|used| used.parse().ok());
        used.unwrap_or(0)
    };
    let marks = || server.ask(&["KEYS", "stores:{*}:*"]).lines().count();
    let calls = || calls_of(&[&gwd], &["timeout"]);
    wait::until("a call was late", || {
        // On a busy machine the circuit can be open, and then no request calls the store.
        proxy.delay(0);
        wait::until("the connection is open", is_open);
        server.ask(&["FLUSHALL"]);
        let before = calls();
        proxy.delay(30);
        sent += 1;
        let _late = ask(&gwd);
        (calls() > before).then_some(())
    });
    wait::until("the store has added the counts", || {
        (used() >= 30 && marks() == 1).then_some(())
    });
    proxy.delay(0);
    wait::until("the store answers in time", || {
        sent += 1;
        (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
    });
    // The store counts at most the requests that were sent since the change.
    let used = used();
    assert!((30..30 + sent + 1).contains(&used), "{used} {sent}");
    assert_eq!(marks(), 1);
}
