//! Commands that query many gateways (`--nodes`): a thousand simulated gateways in one thread.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::project::{Ended, Project, command, run};

/// Maximum number of gateways that gwc queries at once, as documented.
const PARALLEL: usize = 128;
/// Descriptors that the gwc of these tests may open. 1,000 connections at once need more.
const DESCRIPTORS: usize = 256;

/// Simulated gateways.
struct Gateways {
    addresses: Vec<String>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    /// Bundle that the channel names.
    bundle: String,
    /// Bundle before it.
    old: String,
    behaviour: BTreeMap<usize, Behaviour>,
    /// Requests of each kind that each gateway has received.
    requests: BTreeMap<(usize, &'static str), usize>,
    open: usize,
    open_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    /// Accepts the connection and never answers.
    Silent,
    /// Follows another channel.
    OtherChannel,
    /// Runs the old bundle.
    Old,
    /// Runs the old bundle in its first responses, then the new one.
    Late(usize),
}

impl Gateways {
    fn start(count: usize, bundle: &str) -> Self {
        allow_descriptors(count as u64 + 500);
        let listeners: Vec<std::net::TcpListener> = (0..count)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        Self::serve(listeners, bundle)
    }

    fn serve(listeners: Vec<std::net::TcpListener>, bundle: &str) -> Self {
        let addresses = listeners.iter();
        let addresses = addresses
            .map(|listener| listener.local_addr().unwrap().to_string())
            .collect();
        let shared = Arc::new(Mutex::new(Shared {
            bundle: bundle.to_owned(),
            old: format!("sha256:{}", "0".repeat(64)),
            behaviour: BTreeMap::new(),
            requests: BTreeMap::new(),
            open: 0,
            open_max: 0,
        }));
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                for (at, listener) in listeners.into_iter().enumerate() {
                    listener.set_nonblocking(true).unwrap();
                    let listener = TcpListener::from_std(listener).unwrap();
                    let shared = Arc::clone(&serving);
                    tokio::task::spawn_local(async move {
                        while let Ok((stream, _)) = listener.accept().await {
                            tokio::task::spawn_local(answer(at, stream, Arc::clone(&shared)));
                        }
                    });
                }
                std::future::pending::<()>().await;
            });
        });
        Self { addresses, shared }
    }

    fn set(&self, at: usize, behaviour: Behaviour) {
        let mut shared = self.shared.lock().unwrap();
        shared.behaviour.insert(at, behaviour);
    }

    fn requests(&self, at: usize, kind: &'static str) -> usize {
        let shared = self.shared.lock().unwrap();
        shared.requests.get(&(at, kind)).copied().unwrap_or(0)
    }

    /// Writes the addresses into a file of the project, after `first`.
    fn list(&self, project: &Project, first: &[&str]) {
        let mut lines = vec!["# all gateways", ""];
        lines.extend(first);
        lines.extend(self.addresses.iter().map(String::as_str));
        project.write("gateways.txt", lines.join("\n"));
    }
}

async fn answer(at: usize, mut stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    {
        let mut shared = shared.lock().unwrap();
        shared.open += 1;
        shared.open_max = shared.open_max.max(shared.open);
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read_buf(&mut head).await, Ok(1..)) {}
    let body = {
        let head = String::from_utf8_lossy(&head);
        let kinds = ["/v1/status", "/v1/bundles", "/v1/notify"];
        let kind = kinds.into_iter().find(|kind| head.contains(kind));
        shared.lock().unwrap().body(at, kind.unwrap_or("other"))
    };
    match body {
        None => drop(stream.read_buf(&mut head).await),
        Some(body) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
        }
    }
    drop(stream);
    shared.lock().unwrap().open -= 1;
}

impl Shared {
    /// Body of a response. `None`: the gateway does not answer.
    fn body(&mut self, at: usize, kind: &'static str) -> Option<String> {
        let count = self.requests.entry((at, kind)).or_default();
        *count += 1;
        let behaviour = self.behaviour.get(&at).copied();
        let (channel, bundle) = match behaviour {
            Some(Behaviour::Silent) => return None,
            Some(Behaviour::OtherChannel) => ("staging", &self.bundle),
            Some(Behaviour::Old) => ("prod", &self.old),
            Some(Behaviour::Late(first)) if *count <= first => ("prod", &self.old),
            Some(Behaviour::Late(_)) | None => ("prod", &self.bundle),
        };
        let known = json!({"bundle": self.old, "resident": true, "ready": true, "not_ready": null});
        let body = match kind {
            "/v1/bundles" => json!({"schema": "bundles/v1", "bundles": [known], "ran": []}),
            _ => json!({"schema": "status/v1", "node": format!("gw-{at}"), "bundle": bundle,
                        "serial": 1, "channel": channel, "resident": [bundle], "hold": null,
                        "last_error": null}),
        };
        Some(body.to_string())
    }
}

fn allow_descriptors(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < count) {
        let wanted = Rlimit {
            current: Some(count),
            maximum,
        };
        setrlimit(Resource::Nofile, wanted).expect("the hard limit of descriptors suffices");
    }
}

/// Runs gwc with few descriptors.
fn bounded(project: &Project, arguments: &[&str]) -> Ended {
    let gwc = command(project.path());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("ulimit -n {DESCRIPTORS} && exec \"$@\"")])
        .arg("sh")
        .arg(gwc.get_program())
        .args(arguments)
        .current_dir(project.path());
    for (name, value) in gwc.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    run(&mut shell)
}

#[test]
fn thousand_gateways_are_summarised_and_listed() {
    let project = Project::released();
    let id = project.history()[0].1.clone();
    let short = &id["sha256:".len()..][..12];
    let gateways = Gateways::start(1_000, &id);
    let ask = |arguments: &[&str]| {
        let list = ["--nodes", "gateways.txt"];
        bounded(&project, &[arguments, &list[..]].concat())
    };
    gateways.list(&project, &[]);
    let all = ask(&["status"]).with(0);
    let lines: Vec<&str> = all.out.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "  1000 gateways: 1000 as the channel says, 0 different, 0 unreachable".to_owned(),
            format!("  1000 gateways: runs {short}, serial 1"),
        ],
        "{}",
        all.out
    );
    ask(&["drift"]).with(0);

    gateways.set(3, Behaviour::OtherChannel);
    gateways.set(500, Behaviour::Old);
    gateways.set(501, Behaviour::Old);
    let drift = ask(&["drift", "--format", "json"]).with(1).json("drift/v1");
    assert_eq!(
        drift["counts"],
        json!({"gateways": 1000, "agree": 997, "differ": 3, "unreachable": 0})
    );

    // Nobody listens at the port of a listener that is gone.
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    gateways.set(7, Behaviour::Silent);
    gateways.list(&project, &[&format!("http://{dead}   # rack 7")]);
    let status = ask(&["status"]).with(69);
    let lines: Vec<&str> = status.out.lines().skip(1).collect();
    let [slow, other, old, older] = [7, 3, 500, 501].map(|at: usize| &gateways.addresses[at]);
    assert_eq!(
        lines[..4],
        [
            "  1001 gateways: 996 as the channel says, 3 different, 2 unreachable",
            &format!("  996 gateways: runs {short}, serial 1"),
            "  2 gateways: runs 000000000000, serial 1  <- differs from the channel",
            &format!("    {old}, {older}"),
        ],
        "{}",
        status.out
    );
    let rest = lines[4..].join("\n");
    for expected in [
        format!(
            "1 gateway: runs {short}, serial 1  <- follows channel `staging`, not `prod`\n    {other}"
        ),
        format!("1 gateway: unreachable: no answer within 5 seconds\n    {slow}"),
        format!("Connection refused (os error 111)\n    http://{dead}"),
    ] {
        assert!(rest.contains(&expected), "{expected}\n{rest}");
    }
    assert_eq!(lines.len(), 10, "{}", status.out);

    let document = ask(&["status", "--format", "json"])
        .with(69)
        .json("fleet/v1");
    let nodes = document["nodes"].as_array().unwrap();
    let names: Vec<&str> = nodes.iter().filter_map(|it| it["node"].as_str()).collect();
    let dead = format!("http://{dead}");
    let expected = std::iter::once(&dead).chain(&gateways.addresses);
    assert_eq!(names, expected.map(String::as_str).collect::<Vec<_>>());
    assert_eq!(nodes[900]["status"]["node"], "gw-899");
    let open_max = gateways.shared.lock().unwrap().open_max;
    assert!((2..=PARALLEL).contains(&open_max), "{open_max}");
}

#[test]
fn apply_waits_for_a_thousand_gateways() {
    let project = Project::released();
    let old = project.history()[0].1.clone();
    project.change("6s");
    let id = project.build();
    let gateways = Gateways::start(1_000, &id);
    gateways.shared.lock().unwrap().old = old;
    gateways.list(&project, &[]);
    let release = |wait: &str| {
        let key = ["apply", "--key", "keys/release.pem", "--yes"];
        let list = ["--nodes", "gateways.txt", "--wait", wait];
        bounded(&project, &[key, list].concat())
    };
    for at in [2, 40] {
        gateways.set(at, Behaviour::Old);
    }
    let late = release("300ms").with(5);
    let late = late.contains("still runs").err;
    let named = gateways.addresses.iter();
    let named: Vec<&String> = named
        .filter(|it| late.contains(&format!("{it} still runs")))
        .collect();
    assert_eq!(named, [&gateways.addresses[2], &gateways.addresses[40]]);
    assert_eq!(gateways.requests(999, "/v1/notify"), 1);

    let before = gateways.requests(999, "/v1/status");
    for at in [2, 40] {
        let asked = gateways.requests(at, "/v1/status");
        gateways.set(at, Behaviour::Late(asked + 4));
    }
    release("60s").with(0).contains("every gateway runs");
    // The others are queried when the wait begins, and when the last gateway has followed.
    assert_eq!(gateways.requests(999, "/v1/status"), before + 2);
    assert!(gateways.requests(2, "/v1/status") >= 5);
}

#[test]
fn all_addresses_of_a_name_are_queried() {
    let allowed = Command::new("unshare").args(["-rm", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        prerequisite::skip("`unshare -rm` is not permitted: no own file of hosts");
        return;
    }
    let project = Project::released();
    let id = project.history()[0].1.clone();
    let (listeners, port) = on_one_port(["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    let gateways = Gateways::serve(listeners, &id);
    project.write(
        "hosts",
        "127.0.0.4 gateways.test\n127.0.0.2 gateways.test\n127.0.0.3 gateways.test other.test\n",
    );
    // The resolver of the machine is not asked: nothing listens on this address.
    project.write(
        "resolv.conf",
        "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n",
    );
    let ask = |arguments: &[&str]| {
        let mounts = "mount --bind hosts /etc/hosts && mount --bind resolv.conf \
                      \"$(readlink -f /etc/resolv.conf)\" && exec \"$@\"";
        let gwc = command(project.path());
        let mut inside = Command::new("unshare");
        inside
            .args(["-rm", "sh", "-c", mounts, "sh"])
            .arg(gwc.get_program())
            .args(arguments)
            .current_dir(project.path());
        run(&mut inside)
    };
    let name = format!("dns:gateways.test:{port}");
    let document = ask(&["status", "--nodes", &name, "--format", "json"]);
    let document = document.with(0).json("fleet/v1");
    let nodes = document["nodes"].as_array().unwrap().iter();
    let mut names: Vec<&Value> = nodes.map(|node| &node["node"]).collect();
    names.sort_by_key(|name| name.to_string());
    assert_eq!(names, gateways.addresses.iter().collect::<Vec<_>>());
    // A gateway that two lists name is queried once.
    gateways.set(1, Behaviour::Old);
    let other = format!("dns:other.test:{port}");
    ask(&["drift", "--nodes", &name, "--nodes", &other])
        .with(1)
        .contains(&format!("{}: runs 000000000000", gateways.addresses[1]));
    assert_eq!(gateways.requests(1, "/v1/status"), 2);
    ask(&["status", "--nodes", "dns:nowhere.test:9901"])
        .with(69)
        .contains("dns:nowhere.test:9901: the name has no address");
}

#[test]
fn wrong_list_of_gateways_is_refused() {
    let project = Project::released();
    let ask = |list: &str| project.run(&["drift", "--nodes", list]);
    ask("missing.txt").with(65).contains("`missing.txt`");
    project.write("list", "# none yet\n");
    ask("list").with(64).contains("the list has no gateway");
    project.write("list", "127.0.0.1:9901\nhttps://10.0.0.5:9901\n");
    ask("list")
        .with(64)
        .contains("`list` line 2: `https://10.0.0.5:9901`: the admin interface serves plain HTTP");
    ask("dns:gateways").with(64).contains("write dns:NAME:PORT");
}

/// Listeners on these addresses, with the same port.
fn on_one_port(hosts: [&str; 3]) -> (Vec<std::net::TcpListener>, u16) {
    for _ in 0..100 {
        let first = std::net::TcpListener::bind((hosts[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let others = hosts[1..].iter();
        let others = others.map(|host| std::net::TcpListener::bind((*host, port)));
        if let Ok(others) = others.collect::<Result<Vec<_>, _>>() {
            return (std::iter::once(first).chain(others).collect(), port);
        }
    }
    panic!("no port is free on three addresses");
}
