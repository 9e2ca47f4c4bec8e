//! Tests of the alerts of `deploy/prometheus/rules.yaml` with a Prometheus server: each of six faults
//! raises one alert, and no other one. The durations of the rules are divided by 60.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use e2e::binaries;
use e2e::client::Connection;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::server::{Server, free_port};
use e2e::upstream::{Answer, Upstream};
use e2e::wait;
use serde_json::Value;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /items: {get: {operationId: items, x-gateway: {public: true}, responses: {"200": {description: ok}}}}
  /limited: {get: {operationId: limited, x-gateway: {public: true, policies: [limit]}, responses: {"200": {description: ok}}}}
  /stock: {get: {operationId: stock, x-gateway: {public: true, upstream: stock}, responses: {"200": {description: ok}}}}
  /token: {get: {operationId: token, security: [{token: []}], responses: {"200": {description: ok}}}}
components:
  securitySchemes:
    token: {type: http, scheme: bearer, x-gateway: {auth: idp}}
"#;

/// Requests per second that each gateway gets during the whole test.
const STEADY: u64 = 250;

/// Time for which a fault lasts after its alert. Other alerts would fire meanwhile.
const AFTER: Duration = Duration::from_secs(8);

/// Maximum wait for an alert to begin or end. The longest window of an alert that these faults can
/// raise is 1h, here 60 s.
const ALERT_MAX: Duration = Duration::from_secs(90);

/// Alerts about the speed of the machine. A busy machine raises them without a fault.
const OF_THE_MACHINE: [&str; 2] = ["GwdOverheadHigh", "GwdWorkerSlow"];

/// Behaviour of the upstreams.
#[derive(Default)]
struct Faults {
    /// The upstream `stock` responds too late.
    stock_is_slow: AtomicBool,
    /// One of the three hosts of `main` responds with 503.
    host_fails: AtomicBool,
}

fn gateway_file(hosts: &[Upstream; 3], stock: &Upstream, more: &str) -> String {
    let [a, b, c] = hosts.each_ref().map(Upstream::url);
    format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams:\n  main:\n    targets: {{a: {{url: \"{a}\"}}, b: {{url: \"{b}\"}}, c: {{url: \"{c}\"}}}}\n    \
             retries: {{on: [connect-failure, refused-stream, gateway-error], attempts: 2}}\n    \
             health: {{passive: {{consecutive_gateway_failures: 5, ejection: 20s, max_ejected: 50%}}}}\n  \
           stock:\n    targets: {{a: {{url: \"{}\"}}}}\n    \
             timeouts: {{request: 200ms}}\n    \
             circuit_breaker: {{consecutive_failures: 2, open: 15s}}\n\
         auth:\n  idp: {{kind: jwt, issuer: https://idp.example, audience: [shop], algorithms: [EdDSA],\n    \
           jwks: {{keys: [{{kty: OKP, crv: Ed25519, kid: k1, x: ZW4_y8suG6rV6h6M67JbdtkNq5vgy1JYj5GmhLAM5y0}}]}}}}\n\
         policies:\n  limit: {{kind: rate_limit, limit: 5/s, key: address}}\n{more}\
         defaults: {{upstream: main, security: enforce}}\n\
         release: {{store: releases, channel: prod}}\n",
        stock.url()
    )
}

/// Forwards TCP connections to the admin socket of a gateway: Prometheus scrapes no UNIX sockets.
fn admin_over_tcp(gateway: &Gateway) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (address, admin) = (listener.local_addr().expect("an address"), gateway.admin());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = UnixStream::connect(&admin) else {
                continue;
            };
            let (mut from, mut to) = (
                client.try_clone().expect("a socket"),
                server.try_clone().expect("a socket"),
            );
            std::thread::spawn(move || {
                let _ended = io::copy(&mut from, &mut to);
                let _closed = to.shutdown(Shutdown::Write);
            });
            let (mut from, mut to) = (server, client);
            std::thread::spawn(move || {
                let _ended = io::copy(&mut from, &mut to);
                let _closed = to.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

/// Divides each duration after this text by 60.
fn divided(text: &str, before: &str) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().expect("a first part").to_owned();
    for part in parts {
        out += before;
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = part[..part.len() - rest.len()].parse::<u64>();
        let unit_s = match rest.chars().next() {
            Some('h') => Some(3600),
            Some('m') => Some(60),
            Some('s') => Some(1),
            _ => None,
        };
        match (number, unit_s) {
            (Ok(number), Some(unit_s)) => {
                out += &format!("{}ms{}", number * unit_s * 1_000 / 60, &rest[1..]);
            }
            _ => out += part,
        }
    }
    out
}

/// Rules of the repository with all durations divided by 60. Nothing else is changed.
fn rules() -> String {
    let path = binaries::workspace().join("deploy/prometheus/rules.yaml");
    let text = std::fs::read_to_string(path).expect("the rules");
    let places = ["[", "for: ", "offset "];
    places
        .iter()
        .fold(text, |text, before| divided(&text, before))
}

/// Prometheus server that scrapes the gateways each second.
struct Prometheus {
    _server: Server,
    _folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts a server. `None` if it is not installed.
    fn start(gateways: [&Gateway; 2]) -> Option<Self> {
        if !prerequisite::program("prometheus") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let [a, b] = gateways.map(admin_over_tcp);
        std::fs::write(folder.path().join("rules.yaml"), rules()).expect("written");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}}\n\
             rule_files: [rules.yaml]\n\
             scrape_configs: [{{job_name: gwd, static_configs: [{{targets: [\"{a}\", \"{b}\"]}}]}}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("written");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ));
        command.arg(format!("--web.listen-address={address}"));
        let server = Server::start(&mut command)?;
        wait::until("Prometheus is ready", || {
            let mut connection = Connection::open(address).ok()?;
            let response = connection
                .ask("GET /-/ready HTTP/1.1\nhost: localhost")
                .ok()?;
            (response.status == 200).then_some(())
        });
        Some(Self {
            _server: server,
            _folder: folder,
            address,
        })
    }

    /// Names of the alerts that fire, without those about the speed of the machine.
    fn firing(&self) -> Vec<String> {
        let mut connection = Connection::open(self.address).expect("Prometheus");
        let request = "GET /api/v1/alerts HTTP/1.1\nhost: localhost\nconnection: close";
        let alerts = connection.ask(request).expect("Prometheus answers").json();
        let alerts = alerts["data"]["alerts"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let is_counted = |alert: &&Value| {
            let name = alert["labels"]["alertname"].as_str().unwrap_or_default();
            alert["state"] == "firing" && !OF_THE_MACHINE.contains(&name)
        };
        let mut names: Vec<String> = alerts
            .iter()
            .filter(is_counted)
            .map(|alert| alert["labels"]["alertname"].to_string().replace('"', ""))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Waits until this alert fires. Asserts that no other alert fires before it and shortly after
    /// it, while the fault lasts.
    fn only(&self, alert: &str) {
        let fired = wait::within(ALERT_MAX, || {
            let firing = self.firing();
            assert!(firing.iter().all(|one| one == alert), "{alert}: {firing:?}");
            (!firing.is_empty()).then_some(())
        });
        assert!(fired.is_some(), "{alert} does not fire");
        let end = Instant::now() + AFTER;
        while Instant::now() < end {
            let firing = self.firing();
            assert!(firing.iter().all(|one| one == alert), "{alert}: {firing:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn none(&self, when: &str) {
        let firing = || self.firing().is_empty().then_some(());
        let ended = wait::within(ALERT_MAX, firing);
        assert!(ended.is_some(), "{when}: {:?}", self.firing());
    }
}

/// Requests of one kind to one gateway, at a rate that a test changes.
struct Load {
    per_second: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts a client. `request` makes the head of the N-th request.
    fn start(
        gateway: &Gateway,
        per_second: u64,
        request: impl Fn(u64) -> String + Send + 'static,
    ) -> Self {
        let address = gateway.address();
        let rate = Arc::new(AtomicU64::new(per_second));
        let stop = Arc::new(AtomicBool::new(false));
        let (current, ended) = (Arc::clone(&rate), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut connection = None;
            let mut next = Instant::now();
            for number in 0.. {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let rate = current.load(Ordering::Relaxed);
                // The sleep keeps the rate of an open load. A late client catches up.
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next += Duration::from_micros(1_000_000 / rate.max(1));
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => match Connection::open(address) {
                        Ok(open) => open,
                        Err(_) => continue,
                    },
                };
                if open.ask(&request(number)).is_ok() {
                    connection = Some(open);
                }
            }
        });
        Self {
            per_second: rate,
            stop,
        }
    }

    fn set(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\nhost: shop.test")
}

/// Request with a token whose signature is wrong. Each number gives another token.
fn forged(number: u64) -> String {
    use base64::Engine as _;
    let encoded = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let claims = r#"{"iss":"https://idp.example","aud":"shop","exp":253402300799,"sub":"u"}"#;
    let mut signature = [7; 64];
    signature[..8].copy_from_slice(&number.to_le_bytes());
    // The last bytes must be a valid scalar, else the signature is refused without a check.
    signature[63] = 0;
    let head = encoded(br#"{"alg":"EdDSA","kid":"k1"}"#);
    let token = format!(
        "{head}.{}.{}",
        encoded(claims.as_bytes()),
        encoded(&signature)
    );
    format!("{}\nauthorization: Bearer {token}", get("/token"))
}

#[test]
fn each_fault_raises_exactly_one_alert() {
    if !prerequisite::slow("six faults with a Prometheus server take minutes") {
        return;
    }
    let faults = Arc::new(Faults::default());
    let main = |fails: bool| {
        let faults = Arc::clone(&faults);
        Upstream::scripted(move |_| {
            let mut answer = Answer::ok("ok");
            if fails && faults.host_fails.load(Ordering::Relaxed) {
                answer.status = 503;
            }
            answer
        })
    };
    let hosts = [main(true), main(false), main(false)];
    let stock_faults = Arc::clone(&faults);
    let stock = Upstream::scripted(move |_| {
        let mut answer = Answer::ok("ok");
        if stock_faults.stock_is_slow.load(Ordering::Relaxed) {
            answer.delay = Duration::from_secs(1);
        }
        answer
    });
    hosts.iter().chain([&stock]).for_each(Upstream::forgets);
    let good = gateway_file(&hosts, &stock, "");
    let project = Project::with(&good, DOCUMENT);
    project.keygen();
    project.apply();
    let gateways = ["a", "b"].map(|node| Options::of(&project).node(node).start());
    let both = gateways.each_ref();
    let Some(prometheus) = Prometheus::start(both) else {
        return;
    };
    let steady = both.map(|one| Load::start(one, STEADY, |_| get("/items")));
    // Less than 0.6 % of the requests: the alerts about the error budget stay quiet.
    let rare = both.map(|one| Load::start(one, 1, |_| get("/stock")));
    prometheus.none("at the start");

    let flood = both.map(|one| Load::start(one, 60, |_| get("/limited")));
    prometheus.only("GwdLimitsRefuseMany");
    drop(flood);
    prometheus.none("after the flood");

    // The failure of a service does not spread: its circuit opens, and other routes work.
    faults.stock_is_slow.store(true, Ordering::Relaxed);
    prometheus.only("GwdCircuitOpen");
    faults.stock_is_slow.store(false, Ordering::Relaxed);
    prometheus.none("after the cascade");
    drop(rare);

    // The release needs a secret that the gateways do not have.
    let more =
        "  mark: {kind: headers, request: {set: {X-Service-Token: \"${env:GWS_MISSING}\"}}}\n";
    let bad = gateway_file(&hosts, &stock, more);
    project.write(
        "gateway.yaml",
        bad.replace("security: enforce", "security: enforce, policies: [mark]"),
    );
    project.apply();
    prometheus.only("GwdActivationFailed");
    project.write("gateway.yaml", &good);
    project.apply();
    prometheus.none("after the failed release");

    // 2,400 requests per second, so that a slow machine also reaches the limit of 500 per gateway.
    let clients = (0..12).flat_map(|client| {
        both.map(|one| Load::start(one, 100, move |number| forged(number * 12 + client)))
    });
    let tokens: Vec<Load> = clients.collect();
    prometheus.only("GwdTokensVerified");
    drop(tokens);
    prometheus.none("after the tokens");

    steady[1].set(10);
    prometheus.only("GwdLoadUneven");
    steady[1].set(STEADY);
    prometheus.none("after the imbalance");

    faults.host_fails.store(true, Ordering::Relaxed);
    prometheus.only("GwdHostsEjected");
    faults.host_fails.store(false, Ordering::Relaxed);
    prometheus.none("after the ejection");
}

/// Code blocks of the tutorial with this language.
fn blocks(language: &str) -> Vec<String> {
    let path = binaries::workspace().join("docs/monitoring.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let begin = format!("```{language}\n");
    let blocks = page.split(begin.as_str()).skip(1);
    blocks
        .map(|block| block.split("```").next().expect("a block ends").to_owned())
        .collect()
}

#[test]
fn tutorial_of_monitoring_runs() {
    if !prerequisite::program("prometheus") || !prerequisite::program("promtool") {
        return;
    }
    let upstream = Upstream::start();
    let project = Project::with(
        &format!(
            "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
             upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             defaults: {{upstream: main, security: upstream}}\n\
             release: {{store: releases, channel: prod}}\n",
            upstream.url()
        ),
        "openapi: 3.1.0\ninfo: {title: s, version: \"1\"}\npaths: {/a: {get: {responses: {\"200\": {description: ok}}}}}\n",
    );
    project.keygen();
    let bundle = project.apply();
    let gateway = Options::of(&project).start();
    let (admin, port) = (admin_over_tcp(&gateway), free_port());
    let [settings] = &blocks("yaml")[..] else {
        panic!("another number of files");
    };
    let [start, ask] = &blocks("sh")[..] else {
        panic!("another number of steps");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings.replace("127.0.0.1:9901", &admin.to_string());
    std::fs::write(folder.path().join("prometheus.yaml"), settings).expect("written");
    // The commands are those of the page, with a free port. They are repeated until the first scrape.
    let script = format!(
        "trap 'kill $(jobs -p)' EXIT\n{start}\
         until promtool query instant http://127.0.0.1:9090 'up == 1' 2>/dev/null | grep -q up; do sleep 0.2; done\n{ask}"
    );
    let mut command = Command::new("bash");
    command.args(["-euc", &script.replace(":9090", &format!(":{port}"))]);
    command
        .current_dir(folder.path())
        .env("REPOSITORY", binaries::workspace());
    let shown = e2e::project::Ended::of(&mut command)
        .succeeds()
        .stdout
        .clone();
    for part in ["SUCCESS: 32 rules found", "up{", "=> 1 @", &bundle[..12]] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("ALERTS{"), "{shown}");
}
