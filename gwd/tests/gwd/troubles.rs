//! Reports about unreachable upstreams for operators: the client's response, the access log, the
//! program log and `gwd status`.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::ir::UpstreamTls;
use policy::StateId;
use policy::declared::Settings;
use policy::traffic::circuit_breaker::{self, Scope};
use policy::upstream::Passive;
use serde_json::{Value, json};

use crate::fixture::*;
use crate::pki::{Authority, Secrets};
use crate::upstream_tls::{TlsUpstream, behind, checked, server};
use crate::world::{Process, World};

/// A running gateway with an access log.
struct Running {
    world: World,
    gwd: Process,
}

impl Running {
    fn start(world: World, shop: &Shop) -> Self {
        let bundle = world.release(&shop.gateway());
        let mut command = world.trusted();
        command.arg("--access-log").arg(world.path("access.log"));
        let gwd = Process::spawn(command.args(["--workers", "1"]));
        gwd.wait_for(&bundle);
        Self { world, gwd }
    }

    /// Waits until the access log has this number of lines, and returns the last one.
    fn line(&self, number: usize) -> Value {
        let mut line = Value::Null;
        eventually("the request is logged", || {
            let text = std::fs::read_to_string(self.world.path("access.log")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            line = lines.get(number).map_or(Value::Null, |line| {
                serde_json::from_str(line).expect("JSON")
            });
            !line.is_null()
        });
        line
    }

    fn host(&self) -> Value {
        self.gwd.status()["upstreams"][0]["hosts"][0].clone()
    }

    /// Runs `gwd status` and returns its output about the upstream.
    fn shown(&self) -> String {
        let admin = self.gwd.admin.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gwd"));
        let output = command
            .args(["status", "--admin", &admin, "--admin-token-file"])
            .arg(self.world.path("token"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with("upstream"));
        line.unwrap_or_else(|| panic!("{text}")).to_owned()
    }

    fn event(&self, message: &str) -> Value {
        let mut event = None;
        eventually(message, || {
            event = self.gwd.logged(message);
            event.is_some()
        });
        event.unwrap()
    }
}

fn plain(address: SocketAddr) -> Shop {
    shop(address, vec![op("GET", "/a")])
}

#[test]
fn refusing_host_is_reported_with_count_and_time() {
    let reserved = dead();
    let running = Running::start(World::new(), &plain(reserved));
    let answer = get(running.gwd.public(), "/a");
    assert_eq!(answer.problem(), "upstream_connect_failed");
    let text = String::from_utf8_lossy(&answer.body).into_owned() + &answer.head;
    assert!(
        !text.contains(&reserved.to_string()),
        "not the client's business"
    );
    let refused = format!("connecting to {reserved}: Connection refused (os error 111)");
    let line = running.line(0);
    assert_eq!(line["reason"], "upstream_connect_failed");
    assert_eq!(line["reason_detail"], refused.as_str());
    assert_eq!(line["upstream"], "main");
    assert_eq!(line["upstream_host"], reserved.to_string());
    let event = running.event("a host cannot be reached");
    assert_eq!(event["level"], "warn");
    assert_eq!(event["upstream"], "main");
    assert_eq!(event["host"], reserved.to_string());
    assert_eq!(event["error"], refused.as_str());
    assert_eq!(
        event["help"],
        "check that the service runs and listens there, and that the upstream names this address"
    );
    get(running.gwd.public(), "/a");
    let host = format!("host=\"{reserved}\"");
    let missed = ["upstream=\"main\"", host.as_str()];
    let metric = "gwd_upstream_connect_failures_total";
    assert_eq!(running.gwd.metric(metric, &missed), 2.0);
    let unreachable = &running.host()["unreachable"];
    assert_eq!(unreachable["attempts"], 2);
    assert_eq!(unreachable["error"], refused.as_str());
    assert!(unreachable["for_ms"].as_u64().is_some());
    let shown = running.shown();
    assert!(shown.contains("main 0 of 1 hosts available; "), "{shown}");
    let expected = format!("s, 2 attempts: {refused}");
    assert!(shown.contains(&expected), "{shown}");

    let upstream = Upstream::saying("ok");
    let two = running.world.release(&plain(upstream.address).gateway());
    running.gwd.wait_for(&two);
    assert_eq!(get(running.gwd.public(), "/a").status, 200);
    assert_eq!(running.host()["unreachable"], Value::Null);
    assert!(running.shown().contains("main 1 of 1 hosts available"));
}

#[test]
fn host_reached_again_is_reported() {
    let (socket, address) = reserved();
    let mut shop = plain(address);
    shop.upstreams[0].health.passive = Some(Passive {
        consecutive_5xx: 1,
        ejection_ms: 1_000,
        ..Passive::default()
    });
    let running = Running::start(World::new(), &shop);
    assert_eq!(get(running.gwd.public(), "/a").status, 502);
    running.event("a host cannot be reached");
    let event = running.event("a host is ejected");
    assert_eq!(event["host"], address.to_string());
    assert!(event["for_ms"].as_u64().is_some_and(|left| left <= 1_000));
    socket.listen(16).unwrap();
    let _upstream = Upstream::on(socket.into(), |_, stream| {
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    eventually("requests are served", || {
        get(running.gwd.public(), "/a").status == 200
    });
    for message in ["a host can be reached again", "a host gets requests again"] {
        let event = running.event(message);
        assert_eq!(event["level"], "info");
        assert_eq!(event["host"], address.to_string());
    }
}

#[test]
fn silent_host_is_reported_with_the_timeout() {
    // A host that accepts connections and never sends a byte, so that the TLS handshake stalls.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap();
    let mut shop = behind(address, UpstreamTls::default());
    shop.upstreams[0].connect_timeout_ms = 150;
    let running = Running::start(World::new(), &shop);
    let answer = get(running.gwd.public(), "/a");
    assert_eq!(answer.problem(), "upstream_connect_timeout");
    let expected = format!("connecting to {address} took longer than 150 ms (`timeouts.connect`)");
    assert_eq!(running.line(0)["reason_detail"], expected.as_str());
    let event = running.event("a host cannot be reached");
    assert_eq!(event["error"], expected.as_str());
    let help = event["help"].as_str().unwrap();
    assert!(help.contains("`timeouts.connect`"), "{help}");
    assert_eq!(running.host()["unreachable"]["error"], expected.as_str());
}

#[test]
fn certificate_mismatch_reports_both_names() {
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let pem = authority.issue(&["orders.internal"]);
    let upstream = TlsUpstream::start(server(&pem, None, &[]));
    let address = upstream.address;
    let mut tls = checked(&secrets, &authority);
    tls.sni = Some("shop.internal".to_owned());
    let running = Running::start(world, &behind(address, tls));
    let answer = get(running.gwd.public(), "/a");
    assert_eq!(answer.problem(), "upstream_tls_certificate");
    let event = running.event("a host cannot be reached");
    let why = event["error"].as_str().unwrap();
    assert!(why.starts_with(&format!("TLS with {address}: ")), "{why}");
    for name in ["shop.internal", "orders.internal"] {
        assert!(why.contains(name), "{why}");
    }
    let help = event["help"].as_str().unwrap();
    assert!(help.contains("`tls.sni`"), "{help}");
    assert_eq!(running.line(0)["reason_detail"], event["error"]);
    assert!(running.shown().contains("shop.internal"));
}

#[test]
fn opened_breaker_is_reported() {
    let mut shop = plain(dead());
    let settings = Settings::default();
    let mut breaker = circuit_breaker::Checked::of(&settings);
    breaker.numbers.consecutive_failures = Some(1);
    shop.upstreams[0].circuit_breaker = Some(breaker);
    let running = Running::start(World::new(), &shop);
    assert_eq!(get(running.gwd.public(), "/a").status, 502);
    assert_eq!(get(running.gwd.public(), "/a").problem(), "circuit_open");
    assert_eq!(running.line(1)["circuit_state"], "open");
    let event = running.event("a circuit breaker is open");
    assert_eq!(event["upstream"], "main");
    assert!(running.shown().contains(", circuit open"));
}

#[test]
fn circuit_state_of_an_attempt_is_in_the_log() {
    for scope in [Scope::Upstream, Scope::Target] {
        let status = Arc::new(AtomicUsize::new(500));
        let upstream = Upstream::telling(&status);
        let mut shop = plain(upstream.address);
        let mut breaker = circuit_breaker::Checked::of(&Settings::default());
        let numbers = &mut breaker.numbers;
        (numbers.consecutive_failures, numbers.open_ms) = (Some(1), 300);
        breaker.scope = scope;
        shop.upstreams[0].circuit_breaker = Some(breaker);
        let running = Running::start(World::new(), &shop);
        let get = || get(running.gwd.public(), "/a").status;
        assert_eq!(get(), 500);
        status.store(200, Ordering::SeqCst);
        eventually("a probe", || get() == 200);
        assert_eq!(get(), 200);
        let states = |line: &Value| (line["status"].clone(), line["circuit_state"].clone());
        assert_eq!(states(&running.line(0)), (json!(500), Value::Null));
        let mut lines = (1..).map(|number| states(&running.line(number)));
        let first = lines.find(|(status, _)| *status == 200);
        assert_eq!(first.unwrap().1, "half-open", "{scope:?}");
        assert_eq!(lines.next().unwrap(), (json!(200), Value::Null));
    }
}

#[test]
fn open_breaker_of_a_policy_reports_the_policy() {
    let upstream = Upstream::telling(&Arc::new(AtomicUsize::new(500)));
    let mut shop = shop(
        upstream.address,
        vec![op("GET", "/a").policy("breaker"), op("GET", "/b")],
    );
    let mut breaker = circuit_breaker::Checked::of(&Settings::default());
    breaker.numbers.consecutive_failures = Some(1);
    breaker.numbers.open_ms = 60_000;
    shop.policies.push(bundle::ir::Policy {
        name: "breaker".into(),
        state: StateId(7),
        checked: policy::Checked::CircuitBreaker(breaker),
    });
    let running = Running::start(World::new(), &shop);
    let public = running.gwd.public();
    let circuits = || running.gwd.status()["upstreams"][0]["policies"].clone();
    assert_eq!(
        circuits(),
        json!([{"policy": "breaker", "circuit": "closed"}])
    );
    assert_eq!(get(public, "/a").status, 500);
    assert_eq!(get(public, "/a").problem(), "circuit_open");
    assert_eq!(get(public, "/b").status, 500, "another chain");
    assert_eq!(
        circuits(),
        json!([{"policy": "breaker", "circuit": "open"}])
    );
    let state = running
        .gwd
        .metric("gwd_circuit_state", &["main", "policy=\"breaker\""]);
    assert_eq!(state, 2.0);
    let shown = running.shown();
    assert!(shown.contains("policy breaker: circuit open"), "{shown}");
    let event = running.event("a circuit breaker is open");
    assert_eq!(
        (&event["upstream"], &event["policy"]),
        (&json!("main"), &json!("breaker"))
    );
}
