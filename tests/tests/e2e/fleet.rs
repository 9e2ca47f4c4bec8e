//! Fleets of gateways that follow one registry: three, and a hundred with `GWC_TEST_FULL`.
//!
//! The tests measure the time until a release has reached all gateways, the memory of each gateway
//! and the requests at the registry. Clients send requests during all of it, and none may be lost.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use e2e::gateway::Gateway;
use e2e::project::Project;
use e2e::wait;

use crate::progressive::position_ppm;
use crate::registries::{DOCUMENT, gateway};
use crate::registry_proxy::{Failure, ProxiedRegistry};
use crate::steady_client::{Sent, SteadyClient};

/// Maximum time from the notification of all gateways until all run a release: 2s.
const NOTIFIED_MAX: Duration = Duration::from_secs(2);
/// Share of the time, in percent, in which processes wait for a CPU, above which the machine is too
/// busy for [`NOTIFIED_MAX`].
const WAITING_MAX: f64 = 60.0;
/// Time for a poll and an activation, also on a busy machine: 10s.
const ACTIVATION_MAX: Duration = Duration::from_secs(10);
/// Number of gateways that are started at once.
const STARTS: usize = 10;
/// Number of gateways to which one thread of clients sends requests.
const GATEWAYS_OF_A_CLIENT: usize = 25;

/// Gateways that follow one registry, with clients.
struct Fleet {
    gateways: Vec<Gateway>,
    clients: Vec<SteadyClient>,
}

impl Fleet {
    /// Starts gateways with one worker each, and a client that sends a request to each gateway per
    /// `pace`.
    fn start(
        registry: &ProxiedRegistry,
        project: &Project,
        (names, poll): (&[String], &str),
        pace: Duration,
    ) -> Self {
        let mut gateways = Vec::new();
        for some in names.chunks(STARTS) {
            let mut started: Vec<Gateway> = some
                .iter()
                .map(|name| {
                    let options = registry.gateway(project, poll).workers(1);
                    options.node(name).spawn()
                })
                .collect();
            started.iter_mut().for_each(Gateway::wait_ready);
            gateways.extend(started);
        }
        let addresses: Vec<SocketAddr> = gateways.iter().map(Gateway::address).collect();
        let clients = addresses.chunks(GATEWAYS_OF_A_CLIENT);
        let clients = clients.map(|some| SteadyClient::start(some.to_owned(), pace));
        Self {
            clients: clients.collect(),
            gateways,
        }
    }

    /// Waits until all gateways run a bundle. Returns the time that this took.
    fn wait_bundle(&self, id: &str, timeout: Duration) -> Duration {
        let began = Instant::now();
        for gateway in &self.gateways {
            let left = timeout.saturating_sub(began.elapsed());
            let runs = wait::within(left, || (gateway.status()["bundle"] == id).then_some(()));
            assert!(
                runs.is_some(),
                "{id} not within {timeout:?}\n{}",
                gateway.log()
            );
        }
        began.elapsed()
    }

    /// Notifies all gateways at the same time, and waits until all run a bundle. Returns the time
    /// that this took.
    fn notify(&self, id: &str) -> Duration {
        self.notify_during(|| {
            let began = Instant::now();
            self.wait_bundle(id, wait::WAIT_MAX);
            began.elapsed()
        })
    }

    /// Notifies all gateways at the same time, and runs `f` meanwhile. Returns when all have polled.
    fn notify_during<T>(&self, f: impl FnOnce() -> T) -> T {
        let begin = Barrier::new(self.gateways.len() + 1);
        thread::scope(|scope| {
            for gateway in &self.gateways {
                scope.spawn(|| {
                    begin.wait();
                    gateway.notify();
                });
            }
            begin.wait();
            f()
        })
    }

    /// Resident memory of each gateway in bytes, in ascending order.
    fn memory(&self) -> Vec<u64> {
        let mut memory: Vec<u64> = self.gateways.iter().map(Gateway::memory_bytes).collect();
        memory.sort_unstable();
        memory
    }

    /// Writes the admin addresses of all gateways into a file of the project.
    fn list(&self, project: &Project) {
        let addresses = self.gateways.iter();
        let addresses = addresses.map(|it| format!("unix:{}\n", it.admin().display()));
        project.write("gateways.txt", addresses.collect::<String>());
    }

    /// Stops clients and gateways. Checks that no request was lost. Returns the number of requests.
    fn stop(self) -> usize {
        let answered = self.clients.into_iter().map(SteadyClient::stop).sum();
        self.gateways.into_iter().for_each(Gateway::stops_clean);
        answered
    }
}

/// Registry with a release of version 1, and a fleet of gateways that run it.
struct World {
    registry: ProxiedRegistry,
    project: Project,
    fleet: Fleet,
}

impl World {
    /// Starts a registry with its proxy, and a fleet. `None` if docker-registry is not installed.
    /// `poll`: interval of polls.
    #[track_caller]
    fn start(count: usize, poll: &str) -> Option<Self> {
        Some(Self::of(ProxiedRegistry::start()?, count, poll))
    }

    /// Releases version 1 to a registry, and starts a fleet. `poll`: interval of polls.
    fn of(registry: ProxiedRegistry, count: usize, poll: &str) -> Self {
        let project = Project::with(&gateway("v1"), DOCUMENT);
        project.keygen();
        let first = registry.release(&project, "v1", &[]);
        let names: Vec<String> = (0..count).map(|at| format!("gw-{at}")).collect();
        // A trickle for many gateways: the machine also runs the gateways.
        let pace = Duration::from_millis(20.max(count as u64 * 5 / 2));
        let fleet = Fleet::start(&registry, &project, (&names, poll), pace);
        fleet.wait_bundle(&first, Duration::ZERO);
        fleet.list(&project);
        Self {
            registry,
            project,
            fleet,
        }
    }

    /// Releases a version without notifying gateways, and begins to count requests.
    fn release(&self, version: &str) -> String {
        let id = self.registry.release(&self.project, version, &[]);
        self.registry.reset(None);
        id
    }

    /// Stops the fleet, and prints the result of a test. A registry without the proxy counts 0
    /// requests.
    fn stop(self, result: &str) {
        let count = self.fleet.gateways.len();
        let requests = self.registry.requests().len();
        let memory = self.fleet.memory();
        let sent = self.fleet.stop();
        eprintln!(
            "{count} gateways: {result}; {:.1} counted requests of each; memory of a \
             gateway {} MiB (median), {} MiB (maximum); {sent} requests of clients, none lost",
            requests as f64 / count as f64,
            memory[count / 2] >> 20,
            memory[count - 1] >> 20,
        );
    }
}

/// The gateways do not poll during this test. They use the registry without the proxy, which needs
/// two connections and a thread for each request, and so takes the CPU from a hundred gateways.
fn notified_release_reaches_all(count: usize) {
    let Some(registry) = ProxiedRegistry::start_without_proxy() else {
        return;
    };
    let world = World::of(registry, count, "10m");
    let list = ["--nodes", "gateways.txt"];
    let drift = [&["drift", "--format", "json"], &list[..]].concat();
    let drift = world.registry.gwc(&world.project, &drift);
    assert_eq!(drift.succeeds().json()["counts"]["agree"], count);

    // gwc notifies the gateways, and waits for all of them.
    let wait = [&list[..], &["--wait", "60s"]].concat();
    let second = world.registry.release(&world.project, "v2", &wait);
    world.fleet.wait_bundle(&second, Duration::ZERO);

    let third = world.release("v3");
    let others = waiting_percent();
    let time = world.fleet.notify(&third);
    world.stop(&format!("a notified release ran on all after {time:?}"));
    // A few gateways are fast on a busy machine, too.
    match count > STARTS && others > WAITING_MAX {
        true => eprintln!("processes wait for a CPU in {others} % of the time: no limit of time"),
        false => assert!(time < NOTIFIED_MAX, "{time:?}"),
    }
}

/// Share of the last 10 s in which a process of this machine waited for a CPU, in percent (`some` in
/// `/proc/pressure/cpu`). 0: unknown.
fn waiting_percent() -> f64 {
    let pressure = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let average = pressure.split_whitespace();
    let average = average
        .filter_map(|word| word.strip_prefix("avg10="))
        .next();
    average
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0)
}

/// The gateways are not notified in this test. `poll`: interval of polls.
fn polled_release_reaches_all(count: usize, poll: Duration) {
    let Some(world) = World::start(count, &format!("{}ms", poll.as_millis())) else {
        return;
    };
    let second = world.release("v2");
    // The interval varies by a quarter.
    let time_max = poll * 5 / 4 + ACTIVATION_MAX;
    let time = world.fleet.wait_bundle(&second, time_max);
    let requests = world.registry.requests().len();
    assert!(requests >= count, "{requests} requests");
    world.stop(&format!(
        "a release ran on all after {time:?}, with a poll every {poll:?}"
    ));
}

/// Counts what a fleet sends to a registry during an outage, and when the registry returns.
fn returning_registry_gets_no_herd(count: usize) {
    const POLL: Duration = Duration::from_millis(500);
    /// Time after which the interval of polls no longer grows: 0.5 s, 0.5 s, 1 s, 2 s and the time
    /// of the attempts, with a quarter more.
    const GROWN: Duration = Duration::from_secs(10);
    /// Times in which connections are counted: at the beginning of the outage, and later.
    const EARLY: Duration = Duration::from_secs(2);
    const LATE: Duration = Duration::from_secs(10);
    /// Time in which only a part of the gateways may poll after the outage.
    const PART: Duration = Duration::from_millis(250);
    let Some(world) = World::start(count, &format!("{}ms", POLL.as_millis())) else {
        return;
    };
    world.registry.reset(Some((0, Failure::Request)));
    // All gateways poll at the same time, and get no answer. Without jitter they would do so again.
    let began = world.fleet.notify_during(Instant::now);
    let rate = |from: Duration, time: Duration| {
        let times = world.registry.refused().into_iter();
        let part = began + from..began + from + time;
        times.filter(|at| part.contains(at)).count() as f64 / time.as_secs_f64()
    };
    wait_for(GROWN + LATE);
    let (early, late) = (rate(Duration::ZERO, EARLY), rate(GROWN, LATE));
    // A poll has four attempts within 0.7 s. An early poll follows 0.5 s or 1 s later, a late one 4 s.
    assert!(
        late * 2.0 < early,
        "{early} connections a second, then {late}"
    );

    world.registry.reset(None);
    let back = Instant::now();
    let has_polled = |gateway: &Gateway| gateway.status()["registry"]["error"].is_null();
    wait::until("all gateways have polled the registry", || {
        world.fleet.gateways.iter().all(has_polled).then_some(())
    });
    let time = back.elapsed();
    // Each poll reads the tag of the channel's newest record.
    let polls = world.registry.requests().into_iter();
    let polls = polls.filter(|seen| seen.line.ends_with("/manifests/ch-prod"));
    let polls: Vec<Instant> = polls.map(|seen| seen.at).take(count).collect();
    let in_part = |from: &Instant| {
        let part = *from..*from + PART;
        polls.iter().filter(|at| part.contains(at)).count()
    };
    let most = polls.iter().map(in_part).max().unwrap_or(0);
    world.stop(&format!(
        "{early:.0} refused connections a second at the beginning of an outage, {late:.0} after \
         {GROWN:?}; at most {most} of the first {count} polls within {PART:?} after it, and of all \
         gateways within {time:?}"
    ));
    assert!(most * 4 < count * 3, "{most} polls within {PART:?}");
}

/// One gateway of `count` gets a version with a dead upstream, and returns to the base by itself.
fn failing_release_returns_at_its_share(count: usize) {
    const SHARE: &str = "release: {steps: [{nodes: 5%}], guard: {errors: 5%, requests: 50}}\n";
    const SHARE_PPM: u128 = 50_000;
    /// Least number of requests of the guard.
    const REQUESTS: usize = 50;
    const RETURN_MAX: Duration = Duration::from_secs(1);
    let Some(registry) = ProxiedRegistry::start() else {
        return;
    };
    // The names of the gateways decide which of them belong to the share, with the bundle.
    let dead = DOCUMENT.replace(", policies: [say]", "");
    let next = format!("{}{SHARE}", gateway("v2"));
    let project = Project::with(&next, &dead);
    project.keygen();
    let candidate = project.build();
    let belongs = |name: &String| position_ppm(name, &candidate) < SHARE_PPM;
    let mut names = (0..).map(|at| format!("gw-{at}"));
    let inside = names.find(belongs).expect("a name");
    let outside = (0..).map(|at| format!("gw-{at}"));
    let outside = outside.filter(|name| !belongs(name)).take(count - 1);
    let names: Vec<String> = std::iter::once(inside).chain(outside).collect();
    project.write("openapi.yaml", DOCUMENT);
    let base = registry.release(&project, "v1", &[]);
    let fleet = Fleet::start(
        &registry,
        &project,
        (&names, "10m"),
        Duration::from_millis(10),
    );
    // The guard compares with requests before the switch.
    let share = &fleet.gateways[0];
    wait::until("requests before the switch", || {
        let requests = share
            .metrics()
            .sum("http_server_request_duration_seconds_count", &[]);
        (requests >= 4.0 * REQUESTS as f64).then_some(())
    });

    project.write("openapi.yaml", &dead);
    project.write("gateway.yaml", &next);
    let applied = registry.apply(&project, &[]).succeeds().json();
    assert_eq!(applied["bundle"], candidate);
    fleet.notify_during(|| share.wait_bundle(&candidate));
    let status = wait::until("the gateway has returned", || {
        let status = share.status();
        (status["bundle"] == base).then_some(status)
    });
    assert_eq!(status["hold"]["guard"], "errors", "{status:#}");
    assert_eq!(status["rollout"]["guard"]["result"], "failed");
    for gateway in &fleet.gateways[1..] {
        let status = gateway.status();
        assert_eq!(status["rollout"]["belongs"], false, "{status:#}");
        assert_eq!(status["bundle"], base);
    }

    let addresses: Vec<SocketAddr> = fleet.gateways.iter().map(Gateway::address).collect();
    let sent = fleet.clients.into_iter();
    let sent: Vec<Sent> = sent.map(SteadyClient::stop_with_failed).collect();
    fleet.gateways.into_iter().for_each(Gateway::stops_clean);
    let answered: usize = sent.iter().map(|sent| sent.answered).sum();
    let failed: Vec<(SocketAddr, Instant)> = sent.into_iter().flat_map(|it| it.failed).collect();
    let (servers, times): (Vec<SocketAddr>, Vec<Instant>) = failed.into_iter().unzip();
    assert!(servers.iter().all(|server| *server == addresses[0]));
    let last = times.last().expect("failed requests");
    let time = last.saturating_duration_since(times[REQUESTS.min(times.len()) - 1]);
    eprintln!(
        "{count} gateways, 5 % with a failing release: {} failed requests of one gateway; returned \
         {time:?} after {REQUESTS} of them; {answered} other requests, none lost",
        times.len()
    );
    assert!(time < RETURN_MAX, "{time:?}");
}

/// Lets time pass while an outage lasts.
fn wait_for(time: Duration) {
    wait::within(time, || None::<()>);
}

#[test]
fn registry_that_returns_gets_no_herd() {
    let count = if prerequisite::is_full() { 100 } else { 12 };
    returning_registry_gets_no_herd(count);
}

#[test]
fn failing_release_returns_at_one_of_four_gateways() {
    failing_release_returns_at_its_share(4);
}

#[test]
fn failing_release_returns_at_5_percent_of_twenty() {
    if prerequisite::slow("starts twenty gateways") {
        failing_release_returns_at_its_share(20);
    }
}

#[test]
fn notified_release_reaches_three_gateways() {
    notified_release_reaches_all(3);
}

#[test]
fn polled_release_reaches_three_gateways() {
    polled_release_reaches_all(3, Duration::from_secs(2));
}

#[test]
fn notified_release_reaches_a_hundred_gateways() {
    if prerequisite::slow("starts a hundred gateways") {
        notified_release_reaches_all(100);
    }
}

#[test]
fn polled_release_reaches_a_hundred_gateways() {
    if prerequisite::slow("starts a hundred gateways") {
        polled_release_reaches_all(100, Duration::from_secs(15));
    }
}
