//! Tests of the projects in `examples/`. Each project is compiled, released and served, and the
//! test runs the cases in its `cases.http`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::binaries;
use e2e::cases;
use e2e::gateway::{Gateway, Options};
use e2e::project::{Ended, Project};
use e2e::upstream::{Answer, Upstream};

use crate::cases::{by_gwc, by_gwd};
use crate::tls_peers::Certificates;

macro_rules! examples {
    ($($name:ident $folder:literal $listeners:expr, $options:expr, $route:expr;)*) => {
        /// Examples whose cases need neither TLS nor another protocol than HTTP/1.1.
        const PLAIN: &[&str] = &[$($folder),*];
        $(#[test] fn $name() { run($folder, &$listeners, &$options, &$route); })*
    };
}

examples! {
    browser "browser" ["public"], [], [];
    canary "canary" ["public"], [], [];
    jwt "jwt" ["public"], [], [];
    keys_and_limits "keys-and-limits" ["public"], [], [];
    many_teams "many-teams" ["public", "inside"], [], ["--listener", "public"];
    monorepo "monorepo" ["public"], ["--env", "prod"], ["--env", "prod"];
    museum "museum" ["public"], [], [];
    versions "versions" ["public"], [], [];
}

#[test]
fn example_without_test_or_readme_is_found() {
    let folder = binaries::workspace().join("examples");
    let index = std::fs::read_to_string(folder.join("README.md")).expect("a list of examples");
    for entry in folder.read_dir().expect("a folder").filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.path().is_dir() {
            continue;
        }
        assert!(
            index.contains(&format!("[{name}]({name})")),
            "{name} is not in the list"
        );
        assert!(
            entry.path().join("README.md").is_file(),
            "{name} has no README.md"
        );
        let tested = PLAIN.iter().chain(&["grpc", "orders", "tls", "websocket"]);
        assert!(
            tested.into_iter().any(|tested| *tested == name),
            "{name} has no test"
        );
    }
}

/// Ports of the service addresses in a file of an example. Service addresses begin with
/// `127.0.0.1:9`.
fn service_ports(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("127.0.0.1:9")
        .filter_map(|(at, _)| text.get(at + 10..at + 14))
}

/// Copies the YAML and JSON files below a folder into a project, and replaces the addresses of
/// services.
fn copy(from: &Path, to: &Project, inside: &str, change: &mut dyn FnMut(&str) -> String) {
    for entry in from.read_dir().expect("a folder").filter_map(Result::ok) {
        let name = format!("{inside}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            copy(&entry.path(), to, &format!("{name}/"), change);
        } else if name.ends_with(".yaml") || name.ends_with(".json") {
            let text = std::fs::read_to_string(entry.path()).expect("YAML is text");
            to.write(&name, change(&text));
        }
    }
}

/// Copies an example. Replaces each address of a service by the address of a test upstream.
/// Responses of the upstream have the original port in `x-served-by`.
fn project(example: &str) -> (Project, Vec<Upstream>) {
    let project = Project::new();
    let mut upstreams: BTreeMap<String, Upstream> = BTreeMap::new();
    let folder = binaries::workspace().join("examples").join(example);
    copy(&folder, &project, "", &mut |text| {
        let mut changed = text.to_owned();
        for port in service_ports(text) {
            let upstream = upstreams.entry(port.to_owned()).or_insert_with(|| {
                let port = port.to_owned();
                Upstream::scripted(move |seen| {
                    let mut answer = Answer::as_requested(seen);
                    answer
                        .headers
                        .push(("x-served-by".to_owned(), port.clone()));
                    answer
                })
            });
            let written = format!("127.0.0.1:{port}");
            changed = changed.replace(&written, &upstream.address().to_string());
        }
        changed
    });
    (project, upstreams.into_values().collect())
}

fn release(project: &Project, options: &[&str]) {
    project.keygen();
    let apply = ["apply", "--key", "keys/release.pem", "--yes"];
    project.gwc(&[&apply, options].concat()).succeeds();
}

/// Runs the cases of an example through `gwc route` and gwd.
fn run(example: &str, listeners: &[&str], options: &[&str], route: &[&str]) {
    let (gateway, _upstreams) = served(example, listeners, options, route);
    gateway.stops_clean();
}

/// Runs the cases of an example. Returns the gateway, which still serves the example, and the
/// upstreams.
fn served(
    example: &str,
    listeners: &[&str],
    options: &[&str],
    route: &[&str],
) -> (Gateway, Vec<Upstream>) {
    let folder = binaries::workspace().join("examples").join(example);
    let cases = cases::of(&folder);
    assert!(!cases.is_empty(), "no cases in {example}");
    let (project, upstreams) = project(example);
    let mut lint = vec!["lint", "--fail-on", "warn"];
    lint.extend(options);
    project.gwc(&lint).succeeds();
    let mut wrong = by_gwc(&project, &cases, route);
    release(&project, options);
    let gateway = Options::of(&project).listeners(listeners).start();
    let authority = upstreams[0].address().to_string();
    for case in &cases {
        wrong.extend(by_gwd(&gateway, &upstreams, case, &authority));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    (gateway, upstreams)
}

#[test]
fn orders() {
    let (gateway, upstreams) = served(
        "orders",
        &["public", "inside"],
        &[],
        &["--listener", "public"],
    );
    let url = format!("http://{}/stock/items/7", gateway.listener("inside"));
    let response = curl(&["--user", "warehouse:picking-example", &url]);
    assert!(response.stdout.starts_with("HTTP/1.1 200"), "{response}");
    let seen: Vec<String> = upstreams
        .iter()
        .flat_map(Upstream::take)
        .map(|seen| seen.target)
        .collect();
    assert_eq!(seen, ["/internal/items/7"]);
    let response = curl(&[&url]);
    assert!(response.stdout.starts_with("HTTP/1.1 401"), "{response}");
    assert!(upstreams.iter().all(|upstream| upstream.take().is_empty()));
    gateway.stops_clean();
}

#[test]
fn tls() {
    let certificates = Certificates::new();
    let (project, upstreams) = project("tls");
    // Use the test's folder of secrets instead of `/run/secrets`.
    let text = String::from_utf8(project.read("gateway.yaml")).expect("YAML is text");
    let secrets = certificates.path(".").display().to_string();
    let text = text
        .replace(
            "/run/secrets/tls/fullchain.pem",
            &format!("{secrets}/server.pem"),
        )
        .replace("/run/secrets/tls/key.pem", &format!("{secrets}/server.key"));
    project.write("gateway.yaml", text);
    project.gwc(&["lint", "--fail-on", "warn"]).succeeds();
    release(&project, &[]);
    let gateway = Options::of(&project)
        .listeners(&["public", "plain"])
        .arguments(&["--secret-dir", &secrets])
        .start();
    let secure = gateway.listener("public");
    let response = curl(&[
        "--cacert",
        &certificates.path("ca.pem").display().to_string(),
        "--resolve",
        &format!("orders.internal:{}:127.0.0.1", secure.port()),
        &format!("https://orders.internal:{}/notes/7", secure.port()),
    ]);
    assert!(response.stdout.starts_with("HTTP/2 200"), "{response}");
    let seen = upstreams[0].take();
    assert_eq!(seen[0].header("x-forwarded-proto"), Some("https"));
    let plain = gateway.listener("plain");
    let response = curl(&[&format!("http://{plain}/notes/7?a=b")]);
    assert!(response.stdout.starts_with("HTTP/1.1 308"), "{response}");
    let location = "location: https://127.0.0.1:8443/notes/7?a=b";
    assert!(
        response.stdout.to_ascii_lowercase().contains(location),
        "{response}"
    );
    gateway.stops_clean();
}

/// Runs curl with these arguments. Standard output contains the response head.
fn curl(arguments: &[&str]) -> Ended {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--max-time", "20"]);
    let ended = Ended::of(command.args(arguments));
    ended.succeeds();
    ended
}

/// Runs a third-party server as the example's upstream, and a third-party client that calls the
/// example. `None` if a library is not installed.
fn talks(example: &str, server: &str, client: &str, url: fn(&Gateway) -> String) -> Option<Ended> {
    let peer = |name: &str| binaries::workspace().join("tests/peers").join(name);
    let (_server, port) = e2e::server::Server::announced("python3", &[peer(server)])?;
    let project = Project::new();
    let folder = binaries::workspace().join("examples").join(example);
    copy(&folder, &project, "", &mut |text| {
        text.replace("127.0.0.1:9001", &format!("127.0.0.1:{port}"))
    });
    project.gwc(&["lint", "--fail-on", "warn"]).succeeds();
    release(&project, &[]);
    let gateway = Options::of(&project).start();
    let mut command = Command::new("python3");
    command
        .arg(peer(client))
        .arg(url(&gateway))
        .stdin(Stdio::null());
    let ended = Ended::of(&mut command);
    gateway.stops_clean();
    Some(ended)
}

#[test]
fn websocket() {
    let url = |gateway: &Gateway| format!("ws://{}/ws", gateway.address());
    let Some(ended) = talks("websocket", "websockets_echo.py", "websockets_talk.py", url) else {
        return prerequisite::skip("websockets is missing");
    };
    assert_eq!(ended.succeeds().stdout.trim(), "fine");
}

#[test]
fn grpc() {
    let url = |gateway: &Gateway| gateway.address().to_string();
    let Some(ended) = talks("grpc", "grpc_server.py", "grpc_client.py", url) else {
        return prerequisite::skip("grpcio is missing");
    };
    assert_eq!(ended.succeeds().stdout.trim(), "fine");
}
