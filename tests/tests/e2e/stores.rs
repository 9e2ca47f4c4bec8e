//! Tests of rate-limit counters in a store that several gateways share: Debian's redis-server and
//! Valkey, healthy and with faults.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::gateway::{Gateway, Options};
use e2e::process;
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;

use crate::tls_peers::Certificates;

mod clocks;
mod faults;
mod moves;
mod nonces;
mod outages;
mod permissions;
mod synced;
mod topologies;
mod valkey;

/// Program of Debian's Redis server.
const REDIS: &str = "redis-server";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: stores, version: \"1\"}
paths:
  /a: {get: {operationId: a, responses: {}}}
";

/// Finds a free port P. P plus 10,000 is also free, because a node uses that port for its cluster
/// bus.
fn free_port() -> u16 {
    wait::until("a free port", || {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        let bus = TcpListener::bind(("127.0.0.1", port.checked_add(10_000)?));
        bus.is_ok().then_some(port)
    })
}

/// Transport of the Redis protocol (cleartext or TLS), as settings of redis-server and redis-cli.
#[derive(Clone, Default)]
struct Security {
    /// Lines of the configuration file of redis-server. Empty for cleartext.
    server: Vec<[String; 2]>,
    /// Arguments of redis-cli.
    client: Vec<String>,
}

impl Security {
    /// TLS settings with a new certificate for 127.0.0.1.
    fn tls(certificates: &Certificates) -> Self {
        certificates.issue("redis", "redis", "IP:127.0.0.1");
        let path = |name| certificates.path(name).display().to_string();
        let lines = [
            ("tls-cert-file", path("redis.pem")),
            ("tls-key-file", path("redis.key")),
            ("tls-ca-cert-file", path("ca.pem")),
            ("tls-auth-clients", "no".to_owned()),
            ("tls-replication", "yes".to_owned()),
            ("tls-cluster", "yes".to_owned()),
        ];
        Self {
            server: lines.map(|(key, value)| [key.to_owned(), value]).to_vec(),
            client: vec!["--tls".to_owned(), "--cacert".to_owned(), path("ca.pem")],
        }
    }

    fn scheme(&self) -> &'static str {
        match self.server.is_empty() {
            true => "redis",
            false => "rediss",
        }
    }

    /// Configuration lines of redis-server, including the port.
    fn lines(&self, port: u16) -> Vec<[String; 2]> {
        let own = |key: &str, port: u16| [key.to_owned(), port.to_string()];
        match self.server.is_empty() {
            true => vec![own("port", port)],
            false => [&[own("port", 0), own("tls-port", port)], &self.server[..]].concat(),
        }
    }
}

/// Process of redis-server or valkey-server on a free port, with a password.
struct Server {
    program: PathBuf,
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    security: Security,
}

impl Server {
    fn start(more: &[&str]) -> Self {
        Self::start_with(&Security::default(), more)
    }

    fn start_with(security: &Security, more: &[&str]) -> Self {
        Self::start_program(Path::new(REDIS), security, more)
    }

    fn start_program(program: &Path, security: &Security, more: &[&str]) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("a folder");
        let child = Self::spawn(program, (port, security), folder.path(), more);
        let server = Self {
            program: program.to_owned(),
            child,
            port,
            folder,
            security: security.clone(),
        };
        server.wait_ready();
        server
    }

    fn spawn(
        program: &Path,
        (port, security): (u16, &Security),
        folder: &Path,
        more: &[&str],
    ) -> Child {
        let mut command = Command::new(program);
        for [key, value] in security.lines(port) {
            command.args([format!("--{key}"), value]);
        }
        command
            .args(["--bind", "127.0.0.1"])
            .args(["--save", "", "--requirepass", "s3cret", "--dir"])
            .arg(folder)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        process::start(&mut command)
    }

    /// Starts the server again, on the same port and without its data.
    fn restart(&mut self) {
        self.kill();
        let place = (self.port, &self.security);
        self.child = Self::spawn(&self.program, place, self.folder.path(), &[]);
        self.wait_ready();
    }

    fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it ended");
    }

    fn wait_ready(&self) {
        wait::until("the server answers", || {
            (self.ask(&["PING"]) == "PONG").then_some(())
        });
    }

    fn ask(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["--no-auth-warning", "-a", "s3cret", "-p"])
            .arg(self.port.to_string())
            .args(&self.security.client)
            .args(command)
            .output()
            .expect("redis-cli can be run");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    fn url(&self) -> String {
        let scheme = self.security.scheme();
        format!("{scheme}://:s3cret@127.0.0.1:{}/0", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL also ends a process that was stopped.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn project(upstream: &Upstream, limit: &str, on_outage: &str) -> Project {
    let key = match limit.contains("key:") {
        true => "",
        false => ", key: address",
    };
    let gateway = format!(
        "version: 1\nname: stores\napis: {{s: {{path: openapi.yaml}}}}\n\
         stores: {{shared: {{kind: redis, url: \"${{env:GWS_STORE}}\", on_outage: {on_outage}}}}}\n\
         policies:\n  some: {{{limit}{key}, store: shared}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream, policies: [some]}}\n",
        upstream.url()
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    project
}

fn gateway(project: &Project, server: &Server) -> Gateway {
    let gwd = Options::of(project)
        .variable("GWS_STORE", &server.url())
        .start();
    // The first request that counts opens the connection to the store.
    wait::until("the store counts", || {
        (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
    });
    gwd
}

/// Sends a request. Returns the status, and the field `store-outage`, which reports an outage of
/// the store.
fn ask(gwd: &Gateway) -> (u16, Option<String>) {
    let response = gwd.ask("GET /a HTTP/1.1\nhost: h");
    let outage = response.header("store-outage").map(str::to_owned);
    (response.status, outage)
}

fn is_up(gwd: &Gateway) -> bool {
    gwd.metrics().sum("gwd_store_up", &["shared"]) == 1.0
}

/// Number of calls to the store with one of these outcomes.
fn calls_of(gateways: &[&Gateway], outcomes: &[&str]) -> f64 {
    let of = |gwd: &&Gateway| {
        let metrics = gwd.metrics();
        let calls = |outcome: &&str| {
            let outcome = format!("outcome=\"{outcome}\"");
            metrics.sum("gwd_policy_calls_total", &["kind=\"store\"", &outcome])
        };
        outcomes.iter().map(calls).sum::<f64>()
    };
    gateways.iter().map(of).sum()
}

/// Number of failed calls to the store: calls that were late, failed, or were skipped because the
/// circuit breaker was open.
fn outages(gateways: &[&Gateway]) -> f64 {
    calls_of(gateways, &["timeout", "failed", "circuit_open"])
}

/// Repeats a scenario until no call to the store is late during the scenario. Each call has 20 ms,
/// which a busy machine can exceed. Each repetition begins with an empty store.
fn undisturbed<T>(gateways: &[&Gateway], server: &Server, mut run: impl FnMut() -> T) -> T {
    wait::until("no call to the store is late", || {
        for gwd in gateways {
            wait::until("the store counts", || {
                (ask(gwd).1.is_none() && is_up(gwd)).then_some(())
            });
        }
        server.ask(&["FLUSHALL"]);
        let before = outages(gateways);
        let result = run();
        (outages(gateways) == before).then_some(result)
    })
}

fn admitted(gateways: &[&Gateway], each: usize) -> usize {
    std::thread::scope(|scope| {
        let threads = gateways
            .iter()
            .map(|gwd| scope.spawn(move || (0..each).filter(|_| ask(gwd).0 == 200).count()));
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|one| one.join().expect("no panic"))
            .sum()
    })
}

/// Result of sending requests to three gateways ([`open_loop`]).
struct Load {
    seconds: f64,
    sent: f64,
    admitted: f64,
    /// Longest time between two responses of any gateways.
    pause: Duration,
    /// Number of failed calls to the store. `answered`: number of answered calls.
    outages: f64,
    answered: f64,
}

/// Sends one request every 15 ms to each of three gateways, without waiting for responses (open
/// loop).
fn open_loop(gateways: &[Gateway; 3], duration: Duration) -> Load {
    let all = gateways.each_ref();
    let counts = || (outages(&all), calls_of(&all, &["answered"]));
    let before = counts();
    let begin = Instant::now();
    let end = begin + duration;
    let answers: Vec<Vec<(Instant, bool)>> = std::thread::scope(|scope| {
        let clients = all.map(|gwd| {
            scope.spawn(move || {
                let mut answers = Vec::new();
                while Instant::now() < end {
                    let due = begin + Duration::from_millis(15) * answers.len() as u32;
                    std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
                    let is_admitted = ask(gwd).0 == 200;
                    answers.push((Instant::now(), is_admitted));
                }
                answers
            })
        });
        let joined = clients.map(|one| one.join().expect("no panic"));
        joined.into()
    });
    let mut answers = answers.concat();
    answers.sort_unstable();
    let pauses = answers.windows(2).map(|two| two[1].0 - two[0].0);
    let seconds = begin.elapsed().as_secs_f64();
    let after = counts();
    Load {
        seconds,
        sent: answers.len() as f64,
        admitted: answers.iter().filter(|answer| answer.1).count() as f64,
        pause: pauses.max().expect("several responses"),
        outages: after.0 - before.0,
        answered: after.1 - before.1,
    }
}

/// Sends twice as many requests as a limit of 100/s allows, and checks that at most `most` requests
/// are admitted. On a busy machine, the load may be too low, or may have a pause in which a bucket
/// with a burst of 10 becomes full and loses tokens. Calls to the store may be late. Then sends the
/// load again.
fn twice_the_limit(gateways: &[Gateway; 3], seconds: u64, most: impl Fn(f64) -> f64) -> Load {
    const ATTEMPTS: usize = 10;
    let duration = Duration::from_secs(if prerequisite::is_full() { 30 } else { seconds });
    for _ in 0..ATTEMPTS {
        let load = open_loop(gateways, duration);
        let (admitted, most) = (load.admitted, most(load.seconds));
        assert!(admitted <= most, "{admitted} of {}, {most}", load.sent);
        let is_twice = load.sent >= 190.0 * load.seconds;
        let is_steady = load.pause < Duration::from_millis(90);
        if is_twice && is_steady && load.outages * 100.0 <= load.sent {
            return load;
        }
        eprintln!(
            "again: {} requests in {}s, {:?} without a response, {} failed calls",
            load.sent, load.seconds, load.pause, load.outages
        );
    }
    panic!("{ATTEMPTS} attempts without a steady load at twice the limit");
}

fn is_missing() -> bool {
    !prerequisite::program(REDIS)
}

#[test]
fn gateways_share_one_quota_exactly() {
    if !is_missing() {
        share_quotas(&Server::start(&[]));
    }
}

/// Three gateways together admit as many requests as the limit allows, with each algorithm.
fn share_quotas(server: &Server) {
    let upstream = Upstream::start();
    for limit in [
        "kind: quota, limit: 60, period: month",
        "kind: quota, limit: 60, window: 300d",
        "kind: rate_limit, limit: 60/d, burst: 60",
    ] {
        server.ask(&["FLUSHALL"]);
        let project = project(&upstream, limit, "closed");
        let gateways = [(); 3].map(|()| gateway(&project, server));
        let all = gateways.each_ref();
        let answers = undisturbed(&all, server, || (admitted(&all, 40), ask(all[0])));
        assert_eq!(answers, (60, (429, None)), "{limit}");
        let keys = server.ask(&["KEYS", "stores:{*"]);
        assert_eq!(keys.lines().count(), 1, "{keys}");
        let ttl: i64 = server.ask(&["TTL", &keys]).parse().expect("a time to live");
        assert!(ttl > 0, "{ttl}");
    }
}

/// Three gateways together receive twice as many requests as the limit allows. The number of
/// admitted requests is at least the rate, and at most the rate plus the burst. The tolerance is 1
/// % and the requests of one interval.
#[test]
fn gateways_share_one_rate_at_twice_the_limit() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let project = project(
        &upstream,
        "kind: rate_limit, limit: 100/s, burst: 10",
        "closed",
    );
    let gateways = [(); 3].map(|()| gateway(&project, &server));
    let most = |seconds: f64| (100.0 * seconds).mul_add(1.01, 10.0) + 1.0;
    let load = twice_the_limit(&gateways, 4, most);
    // The store may have counted a request of which the gateway got no answer in time.
    let least = (100.0 * load.seconds) * 0.99 - 3.0 - load.outages;
    let (admitted, sent) = (load.admitted, load.sent);
    assert!(admitted >= least, "{admitted} of {sent}, {least}");
}

/// One server over TLS. A gateway that does not trust its certificate does not use it.
#[test]
fn encrypted_server_counts() {
    if is_missing() {
        return;
    }
    let certificates = Certificates::new();
    let server = Server::start_with(&Security::tls(&certificates), &[]);
    let upstream = Upstream::start();
    let project = project(&upstream, "kind: quota, limit: 3, period: month", "closed");
    let ca = certificates.path("ca.pem").display().to_string();
    let options = || Options::of(&project).variable("GWS_STORE", &server.url());
    let gwd = options().variable("SSL_CERT_FILE", &ca).start();
    wait::until("the store counts", || {
        (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
    });
    let answers = undisturbed(&[&gwd], &server, || [(); 4].map(|()| ask(&gwd).0));
    assert_eq!(answers, [200, 200, 200, 429]);
    let other = options().start();
    wait::until("the connection failed", || {
        (ask(&other).0 == 503 && !is_up(&other)).then_some(())
    });
}

#[test]
fn killed_store_acts_as_written_and_returns() {
    if !is_missing() {
        lose_store(Path::new(REDIS));
    }
}

/// Kills a store under each value of `on_outage`, and starts it again.
fn lose_store(program: &Path) {
    let upstream = Upstream::start();
    for (on_outage, statuses) in [
        ("local", [200, 200, 429]),
        ("open", [200, 200, 200]),
        ("closed", [503, 503, 503]),
    ] {
        let mut server = Server::start_program(program, &Security::default(), &[]);
        let project = project(&upstream, "kind: rate_limit, limit: 2/d", on_outage);
        let gwd = gateway(&project, &server);
        server.kill();
        wait::until("the outage is noticed", || {
            let _response = ask(&gwd);
            (!is_up(&gwd)).then_some(())
        });
        // The local counters include the requests since the beginning of the outage.
        let verdict = Some(format!("\"shared\";verdict={on_outage}"));
        match on_outage {
            "local" => assert_eq!(ask(&gwd).1, verdict),
            _ => assert_eq!(
                [(); 3].map(|()| ask(&gwd)),
                statuses.map(|s| (s, verdict.clone()))
            ),
        }
        wait::until("the outage is in the access log", || {
            let lines = gwd.access_log().lines();
            let is_logged = lines.iter().any(|line| line["store_outage"] == on_outage);
            is_logged.then_some(())
        });
        wait::until("the alarm is raised", || {
            let alarms = gwd.status()["alarms"].to_string();
            alarms.contains("store-unreachable").then_some(())
        });
        server.restart();
        wait::until("the store counts again", || {
            let (status, outage) = ask(&gwd);
            (status == 429 && outage.is_none()).then_some(())
        });
        let log = gwd.log();
        assert!(!log.contains("s3cret"), "{log}");
    }
}

#[test]
fn paused_store_costs_its_deadline_once() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let project = project(&upstream, "kind: rate_limit, limit: 100000/s", "open");
    let gwd = gateway(&project, &server);
    // A busy machine can delay the requests, too. The scenario is then repeated.
    let longest = wait::until("no request waits much longer than the deadline", || {
        let late = || calls_of(&[&gwd], &["timeout", "failed"]);
        let skipped = || calls_of(&[&gwd], &["circuit_open"]);
        let (late_before, skipped_before) = (late(), skipped());
        server.signal("-STOP");
        let waited = [(); 50].map(|()| {
            let begin = Instant::now();
            assert_eq!(ask(&gwd).0, 200);
            begin.elapsed()
        });
        let (late, skipped) = (late() - late_before, skipped() - skipped_before);
        assert!((1.0..=5.0).contains(&late), "{late} {waited:?}");
        assert!(skipped >= 45.0, "{skipped} {waited:?}");
        server.signal("-CONT");
        wait::until("the store counts again", || {
            (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
        });
        let longest = waited.into_iter().max().expect("50 requests");
        (longest < Duration::from_millis(200)).then_some(longest)
    });
    assert!(longest >= Duration::from_millis(20), "{longest:?}");
}

/// A late response makes the store suspect, and gwd sends a test call. The store answers the test
/// call, so no circuit opens and no new connection is made.
#[test]
fn one_late_answer_opens_no_circuit() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let project = project(&upstream, "kind: rate_limit, limit: 100000/s", "open");
    let gwd = gateway(&project, &server);
    let timeouts = || {
        let metrics = gwd.metrics();
        metrics.sum("gwd_policy_calls_total", &["kind=\"store\"", "\"timeout\""])
    };
    let connections = || {
        let info = server.ask(&["INFO", "stats"]);
        let mut lines = info.lines();
        let line = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        line.map_or(0, |count| count.trim().parse::<u64>().expect("a number"))
    };
    // On a busy machine the test call may be late as well.
    wait::until("only the question is late", || {
        let (before, opened) = (timeouts(), connections());
        let outages = gwd.log().matches("a store does not answer").count();
        server.ask(&["CLIENT", "PAUSE", "70", "ALL"]);
        let late = ask(&gwd).1;
        wait::until("the store counts again", || {
            (ask(&gwd).1.is_none() && is_up(&gwd)).then_some(())
        });
        // redis-cli makes the two new connections: one for the call in `connections`, one for the
        // call that pauses the server.
        let is_tested = late.is_some()
            && timeouts() > before
            && connections() == opened + 2
            && gwd.log().matches("a store does not answer").count() == outages;
        is_tested.then_some(())
    });
}

/// A later limit refuses the request, so the earlier limit returns its tokens to the store.
#[test]
fn refused_request_returns_its_tokens_to_the_store() {
    if is_missing() {
        return;
    }
    let (upstream, server) = (Upstream::start(), Server::start(&[]));
    let project = project(&upstream, "kind: quota, limit: 3, period: month", "closed");
    let text = String::from_utf8(project.read("gateway.yaml")).expect("UTF-8");
    let text = text
        .replace(
            "\nupstreams:",
            "\n  one: {kind: rate_limit, limit: 1/d, key: \"header:x-k\"}\nupstreams:",
        )
        .replace("policies: [some]", "policies: [some, one]");
    project.write("gateway.yaml", text);
    project.apply();
    let gwd = gateway(&project, &server);
    let mut round = 0;
    let statuses = undisturbed(&[&gwd], &server, || {
        round += 1;
        let ask = |key: &str| {
            let request = format!("GET /a HTTP/1.1\nhost: h\nx-k: {key}{round}");
            gwd.ask(&request).status
        };
        let statuses = ["a"; 6].map(ask);
        // Only one request is admitted. After the refused requests have returned their tokens, the
        // store has counted one token.
        let before = outages(&[&gwd]);
        wait::until("the tokens are returned", || {
            let key = server.ask(&["KEYS", "stores:{*"]);
            let is_returned = server.ask(&["GET", &key]).ends_with(":1");
            (is_returned || statuses.contains(&503) || outages(&[&gwd]) > before).then_some(())
        });
        (statuses, ["b", "c", "d"].map(ask))
    });
    let refused = 429;
    assert_eq!(
        statuses,
        (
            [200, refused, refused, refused, refused, refused],
            [200, 200, refused]
        )
    );
}
