//! Tests of a release store in a container registry: Debian's docker-registry with TLS and a
//! password. The tests cover the path from `gwc apply` to the responses of gateways.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use e2e::binaries;
use e2e::gateway::{Gateway, Options};
use e2e::project::{Ended, Project};
use e2e::server::free_port;
use e2e::wait;
use serde_json::{Value, json};

pub(crate) const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: which version answers, version: \"1\"}
paths:
  /version: {get: {operationId: version, x-gateway: {public: true, policies: [say]}, responses: {}}}
";
/// Password of `ann`, and the entry in the file of passwords (bcrypt).
const PASSWORD: &str = "s3cret";
const HTPASSWD: &str = "ann:$2y$04$nQArrjmnbAppqN1tpZdYKu2CwsWggQt1t3pXAWYOic5SGoRwP3Y/y\n";

pub(crate) fn gateway(version: &str) -> String {
    format!(
        "version: 1\nname: shop\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:1\"}}}}}}}}\n\
         policies: {{say: {{kind: respond, status: 200, body: {version}}}}}\n\
         defaults: {{upstream: u}}\n"
    )
}

/// docker-registry process on a free port.
pub(crate) struct Registry {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Registry {
    /// Starts a registry. `None` if it is not installed.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        if !prerequisite::program("docker-registry") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=registry", "-addext"])
            .args(["basicConstraints=critical,CA:FALSE", "-addext"])
            .args(["subjectAltName=DNS:localhost", "-keyout", &at("key.pem")])
            .args(["-out", &at("cert.pem")]);
        Ended::of(&mut openssl).succeeds();
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("ann:{PASSWORD}"));
        let docker = json!({"auths": {(format!("localhost:{port}")): {"auth": auth}}});
        for (name, content) in [
            ("htpasswd", HTPASSWD.to_owned()),
            ("config.json", docker.to_string()),
            (
                "config.yml",
                format!(
                    "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                     http: {{addr: \"127.0.0.1:{port}\", tls: {{certificate: {}, key: {}}}}}\n\
                     auth: {{htpasswd: {{realm: r, path: {}}}}}\n",
                    at("data"),
                    at("cert.pem"),
                    at("key.pem"),
                    at("htpasswd")
                ),
            ),
        ] {
            std::fs::write(folder.path().join(name), content).expect("a file");
        }
        let config = folder.path().join("config.yml");
        Some(Self {
            child: Self::spawn(&config, port),
            port,
            folder,
        })
    }

    /// Starts a pull-through cache beside this registry: it has the same certificate and passwords,
    /// and reads from a third one, which serves the content of this registry without a password.
    /// docker-registry 2.8 cannot send passwords as a cache.
    fn neighbour(&self) -> Neighbour {
        let [port, open] = [free_port(), free_port()];
        let at = |name: &str| self.folder.path().join(name);
        let read = |name: &str| std::fs::read_to_string(at(name)).expect("a file");
        let write = |name: &str, text: String| std::fs::write(at(name), text).expect("a file");
        let own = read("config.yml");
        let storage = |name: &str| at(name).display().to_string();
        let head = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n",
            storage("data")
        );
        write(
            "open.yml",
            format!("{head}http: {{addr: \"127.0.0.1:{open}\"}}\n"),
        );
        let cached = own.replace(&storage("data"), &storage("kept"));
        let cached = cached.replace(&format!(":{}\"", self.port), &format!(":{port}\""));
        write(
            "neighbour.yml",
            format!("{cached}proxy: {{remoteurl: \"http://127.0.0.1:{open}\"}}\n"),
        );
        let mut docker: Value = serde_json::from_str(&read("config.json")).expect("JSON");
        let entry = docker["auths"][format!("localhost:{}", self.port)].clone();
        docker["auths"][format!("localhost:{port}")] = entry;
        write("config.json", docker.to_string());
        let children = [
            Self::spawn(&at("open.yml"), open),
            Self::spawn(&at("neighbour.yml"), port),
        ];
        Neighbour { children, port }
    }

    fn spawn(config: &Path, port: u16) -> Child {
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().expect("it starts");
        wait::until("the registry listens", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        child
    }

    pub(crate) fn stop(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it ended");
        let gone = TcpStream::connect(("127.0.0.1", self.port));
        assert!(gone.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));
    }

    pub(crate) fn restart(&mut self) {
        self.child = Self::spawn(&self.folder.path().join("config.yml"), self.port);
    }

    fn store(&self) -> String {
        format!("oci://localhost:{}/shop/releases", self.port)
    }

    /// Options of gwc and gwd for this registry.
    fn options(&self) -> [String; 4] {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        [
            "--registry-config".to_owned(),
            self.folder.path().display().to_string(),
            "--registry-ca-file".to_owned(),
            path("cert.pem"),
        ]
    }

    /// Runs gwc with this registry as its store.
    pub(crate) fn gwc(&self, project: &Project, arguments: &[&str]) -> Ended {
        let mut command = project.command();
        command.args(arguments).args(["--store", &self.store()]);
        command.args(self.options());
        Ended::of(&mut command)
    }

    /// Releases a version. Returns the bundle's id.
    pub(crate) fn release(&self, project: &Project, version: &str) -> String {
        project.write("gateway.yaml", gateway(version));
        let apply = [
            "apply",
            "--key",
            "keys/release.pem",
            "--yes",
            "--format",
            "json",
        ];
        let applied = self.gwc(project, &apply).succeeds().json();
        applied["bundle"].as_str().expect("an id").to_owned()
    }

    /// Options of a gwd that follows this registry and polls it at the interval `poll`.
    pub(crate) fn gateway(&self, project: &Project, poll: &str) -> Options {
        let options = self.options();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Options::of(project)
            .store(self.store().as_ref())
            .arguments(&options)
            .arguments(&["--registry-poll", poll])
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// docker-registry processes: a pull-through cache, and the one from which it reads.
struct Neighbour {
    children: [Child; 2],
    port: u16,
}

impl Neighbour {
    fn store(&self) -> String {
        format!("oci://localhost:{}/shop/releases", self.port)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

/// Shell script and YAML files of the tutorial in docs/registry.md. The script also contains the
/// page's section about copies. Ports are replaced.
fn tutorial(registry: u16, ports: [u16; 2]) -> (String, String) {
    let page = binaries::workspace().join("docs/registry.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let section = |title: &str| {
        let (_, behind) = page.split_once(title).expect("the section");
        behind.split("\n## ").next().expect("its text").to_owned()
    };
    let blocks = |text: &str, language: &str| {
        let fence = format!("```{language}\n");
        let blocks = text.split(&fence).skip(1);
        let blocks = blocks.map(|block| block.split("```").next().expect("it ends").to_owned());
        blocks.collect::<Vec<_>>()
    };
    let tutorial = section("## Tutorial");
    let [install, serve, release, gateways, change] = &blocks(&tutorial, "sh")[..] else {
        panic!("other blocks than expected");
    };
    assert!(install.contains("docker-registry"));
    let [copies] = &blocks(&section("## Copies"), "sh")[..] else {
        panic!("one block of copies");
    };
    let wait = "for node in a b; do\n\
         until gwd status --admin unix:$node.sock --timeout 1s; do sleep 0.1; done\n\
         done\n";
    let script = format!(
        "trap 'kill $(jobs -p)' EXIT\n{serve}{release}{gateways}{wait}{change}{copies}\
         gwd status --admin unix:a.sock --format json > a.json\n\
         gwd status --admin unix:b.sock --format json > b.json\n"
    );
    let script = script
        .replace("localhost:5000", &format!("localhost:{registry}"))
        .replace("127.0.0.1:8081", &format!("127.0.0.1:{}", ports[0]))
        .replace("127.0.0.1:8082", &format!("127.0.0.1:{}", ports[1]));
    let config = blocks(&tutorial, "yaml").concat();
    (
        script,
        config.replace("localhost:5000", &format!("localhost:{registry}")),
    )
}

#[test]
fn tutorial_releases_to_two_gateways() {
    if !prerequisite::program("docker-registry") {
        return;
    }
    let (script, config) = tutorial(free_port(), [free_port(), free_port()]);
    let project = Project::new();
    project.write("registry.yml", config);
    project.write("openapi.yaml", DOCUMENT.replace(", policies: [say]", ""));
    let programs = [binaries::gwc(), binaries::gwd()].map(|path| path.parent().expect("a folder"));
    let path = std::env::var_os("PATH").expect("PATH");
    let path = std::env::join_paths(
        programs
            .map(PathBuf::from)
            .into_iter()
            .chain(std::env::split_paths(&path)),
    );
    let mut command = Command::new("bash");
    command.args(["-euc", &script]).current_dir(project.root());
    command.env("PATH", path.expect("a path"));
    Ended::of(&mut command).succeeds();
    let status = |name: &str| -> Value {
        serde_json::from_slice(&project.read(&format!("shop/{name}.json"))).expect("JSON")
    };
    let (a, b) = (status("a"), status("b"));
    assert_eq!(a["serial"], 2, "{a:#}");
    assert_eq!((&a["serial"], &a["bundle"]), (&b["serial"], &b["bundle"]));
    // Both sources of `gwc pull` contain the releases, so the folder contains them after the pull.
    let history = project
        .command()
        .current_dir(project.path("shop"))
        .args(["history", "--format", "json"])
        .output()
        .expect("gwc runs");
    let history: Value = serde_json::from_slice(&history.stdout).expect("JSON");
    assert_eq!(history["records"].as_array().map(Vec::len), Some(2));
}

#[track_caller]
pub(crate) fn answers(gateway: &Gateway, version: &str) {
    assert_eq!(
        gateway.ask("GET /version HTTP/1.1\nhost: h").text(),
        version
    );
}

#[test]
fn a_release_reaches_gateways_through_a_registry() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    let plan = ["plan", "--exit-code"];
    registry.gwc(&project, &plan).exits(2);
    let first = registry.release(&project, "v1");
    registry.gwc(&project, &plan).succeeds();
    let status = registry.gwc(&project, &["status", "--format", "json"]);
    assert_eq!(status.succeeds().json()["bundle"], first);
    registry.gwc(&project, &["verify", &first]).succeeds();
    registry
        .gwc(&project, &["verify", &first[7..15]])
        .succeeds();
    assert!(!project.path("releases").exists(), "no store in a folder");

    let notified = registry.gateway(&project, "10m").start();
    let polling = registry.gateway(&project, "200ms").start();
    answers(&notified, "v1");
    let second = registry.release(&project, "v2");
    polling.wait_bundle(&second);
    answers(&polling, "v2");
    answers(&notified, "v1");
    notified.notify();
    answers(&notified, "v2");

    let back = ["rollback", "--key", "keys/release.pem", "--yes"];
    registry.gwc(&project, &back).succeeds();
    notified.notify();
    answers(&notified, "v1");
    let history = registry.gwc(&project, &["history", "--format", "json"]);
    let records = history.succeeds().json()["records"]
        .as_array()
        .map(Vec::len);
    assert_eq!(records, Some(3));
    let revoke = ["revoke", &second, "--key", "keys/release.pem", "--yes"];
    registry.gwc(&project, &revoke).succeeds();
    notified.notify();
    assert_eq!(notified.status()["revocations"], 1);
    notified.stops_clean();
    polling.stops_clean();
}

/// Line `registry` of the output of `gwd status`.
#[track_caller]
fn registry_line(gateway: &Gateway) -> String {
    let mut command = Command::new(binaries::gwd());
    let admin = format!("unix:{}", gateway.admin().display());
    command.args(["status", "--admin", &admin]);
    let text = Ended::of(&mut command).succeeds().stdout.clone();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("registry   "));
    line.unwrap_or_else(|| panic!("no line `registry`:\n{text}"))
        .to_owned()
}

#[test]
fn status_shows_the_registry_and_its_last_poll() {
    let Some(mut registry) = Registry::start() else {
        return;
    };
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    let first = registry.release(&project, "v1");
    let state = project.path("state");
    let options = registry.gateway(&project, "10m").state(&state);
    let mut running = options.start();
    let at = format!("{} channel prod, ", registry.store());
    let (ok, failed) = ("result=\"ok\"", "result=\"failed\"");
    let polls = |gateway: &Gateway, result| {
        let metrics = gateway.metrics();
        metrics.sum("gwd_registry_polls_total", &[result])
    };

    let shown = running.status()["registry"].clone();
    assert_eq!(shown["host"], format!("localhost:{}", registry.port));
    assert_eq!(shown["repository"], "shop/releases");
    assert_eq!(shown["channel"], "prod");
    assert_eq!(shown["newest"]["serial"], 1, "{shown:#}");
    assert_eq!(shown["newest"]["bundle"], first);
    let record = running.status()["accepted"]["record"].clone();
    assert_eq!(shown["newest"]["digest"], record);
    assert!(shown["polled"].is_string() && shown["polled_age_s"].is_u64());
    let line = registry_line(&running);
    let rest = line.strip_prefix(&format!("{at}polled ")).expect(&line);
    let newest = format!(" ago: serial 1, bundle {first}");
    assert!(rest.ends_with(&newest), "{line}");
    assert_eq!((polls(&running, ok), polls(&running, failed)), (1.0, 0.0));

    // After the registry has stopped, the status shows the error of the failed poll, and keeps the
    // last update.
    let updated = shown["updated"].clone();
    registry.stop();
    running.notify();
    let shown = running.status()["registry"].clone();
    assert_eq!(shown["updated"], updated, "{shown:#}");
    assert_eq!(shown["newest"]["bundle"], first);
    assert!(shown["polled_age_s"].as_u64() <= shown["age_s"].as_u64());
    let why = shown["error"].as_str().expect("an error");
    let line = registry_line(&running);
    let rest = line
        .strip_prefix(&format!("{at}POLL FAILED "))
        .expect(&line);
    assert!(rest.contains(why) && rest.ends_with(&newest), "{line}");
    assert!(rest.contains("; last update "), "{line}");
    assert_eq!((polls(&running, ok), polls(&running, failed)), (1.0, 1.0));
    running.stop();

    // After a restart, the status shows the last update of the earlier process.
    let restarted = options.start();
    let shown = restarted.status()["registry"].clone();
    assert_eq!(
        (&shown["updated"], &shown["newest"]["bundle"]),
        (&updated, &first.into())
    );
    assert_eq!(
        (polls(&restarted, ok), polls(&restarted, failed)),
        (0.0, 1.0)
    );
    restarted.stops_clean();
}

/// Folder with the credential helper `docker-credential-fake`, and a `PATH` with this folder first.
struct Helper {
    folder: tempfile::TempDir,
    path: String,
}

impl Helper {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = std::env::var("PATH").expect("PATH");
        let path = format!("{}:{path}", folder.path().display());
        Self { folder, path }
    }

    /// Writes the shell script of the helper.
    fn write(&self, script: &str) {
        // Install a copy of the script. A child process of another test may still have the script
        // open for writing, and Linux does not execute such a file.
        let source = self.folder.path().join("source");
        std::fs::write(&source, format!("#!/bin/sh\n{script}\n")).expect("a file");
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(&source);
        install.arg(self.folder.path().join("docker-credential-fake"));
        Ended::of(&mut install).succeeds();
    }
}

#[test]
fn credential_helpers_log_in_at_a_registry() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    registry.release(&project, "v1");
    let helper = Helper::new();
    let gwc = || {
        let mut command = project.command();
        command.args(["status", "--store", &registry.store()]);
        command.args(registry.options()).env("PATH", &helper.path);
        Ended::of(&mut command)
    };
    let gwd = || {
        registry
            .gateway(&project, "10m")
            .variable("PATH", &helper.path)
    };
    let authority = format!("localhost:{}", registry.port);
    let works = format!(
        "read key; [ \"$1 $key\" = 'get {authority}' ] || exit 9\n\
         echo '{{\"Username\":\"ann\",\"Secret\":\"{PASSWORD}\"}}'"
    );
    for config in [
        json!({"credHelpers": {(authority.clone()): "fake"}}),
        json!({"auths": {(authority): {}}, "credsStore": "fake"}),
    ] {
        let file = registry.folder.path().join("config.json");
        std::fs::write(file, config.to_string()).expect("a file");
        helper.write(&works);
        gwc().succeeds();
        let running = gwd().start();
        answers(&running, "v1");
        running.stops_clean();

        // Messages and logs must not contain any output of a failing credential helper.
        helper.write(&format!("echo {PASSWORD}; echo {PASSWORD} >&2; exit 3"));
        let why = "the credential helper `docker-credential-fake`: exit status: 3";
        let failed = gwc();
        let shown = format!("{}{}", failed.exits(69).stdout, failed.stderr);
        assert!(shown.contains(why) && !shown.contains(PASSWORD), "{shown}");
        let mut ended = gwd().spawn();
        assert_eq!(ended.wait_end(), Some(69));
        let log = ended.log();
        assert!(log.contains(why) && !log.contains(PASSWORD), "{log}");
    }
}

#[test]
fn gateways_outlive_their_registry() {
    let Some(mut registry) = Registry::start() else {
        return;
    };
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    let first = registry.release(&project, "v1");
    let state = project.path("state");
    let options = registry.gateway(&project, "10m").state(&state);
    let mut running = options.start();
    let second = registry.release(&project, "v2");
    running.notify();
    answers(&running, "v2");
    let updated = "gwd_registry_last_update_timestamp_seconds";
    assert!(running.metrics().sum(updated, &[]) > 1.6e9);
    assert_eq!(running.status()["registry"]["error"], Value::Null);

    registry.stop();
    running.notify();
    let status = running.status();
    assert_eq!(status["registry"]["address"], registry.store());
    assert!(status["registry"]["age_s"].is_u64(), "{status:#}");
    assert_eq!(status["last_error"]["reason"], "store-unreachable");
    answers(&running, "v2");
    running.stop();

    // Without the registry, gwd starts from its state folder and can roll back on the node.
    let restarted = options.start();
    answers(&restarted, "v2");
    let status = restarted.status();
    assert!(status["registry"]["age_s"].is_u64(), "{status:#}");
    let why = status["registry"]["error"].as_str().expect("an error");
    assert!(!why.contains(PASSWORD), "{why}");
    let back = restarted.admin_ask("POST", "/v1/rollback", &json!({}));
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(restarted.status()["bundle"], first);
    answers(&restarted, "v1");

    // A node without any copy cannot start.
    let mut empty = registry.gateway(&project, "10m").spawn();
    assert_eq!(empty.wait_end(), Some(69), "{}", empty.log());

    registry.restart();
    let third = registry.release(&project, "v3");
    assert_ne!(third, second);
    restarted.notify();
    let status = restarted.status();
    assert_eq!(status["bundle"], third);
    assert_eq!(status["registry"]["error"], Value::Null);
    answers(&restarted, "v3");
    assert!(!restarted.log().contains(PASSWORD));
    restarted.stops_clean();
}

#[test]
fn fallback_answers_for_a_dead_neighbour() {
    let Some(mut registry) = Registry::start() else {
        return;
    };
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    registry.release(&project, "v1");
    let neighbour = registry.neighbour();
    let state = project.path("state");
    let fallback = registry.store();
    let options = registry.gateway(&project, "10m").state(&state);
    let options = options
        .store(neighbour.store().as_ref())
        .arguments(&["--registry-fallback", &fallback]);
    let running = options.start();
    answers(&running, "v1");
    let shown = || running.status()["registry"].clone();
    assert_eq!(shown()["answered"], neighbour.store(), "{:#}", shown());
    assert_eq!(shown()["silent"], json!([]));
    registry.release(&project, "v2");
    running.notify();
    answers(&running, "v2");

    // Without the neighbour, the registry itself answers.
    let address = neighbour.store();
    drop(neighbour);
    let third = registry.release(&project, "v3");
    running.notify();
    answers(&running, "v3");
    assert_eq!(shown()["answered"], fallback, "{:#}", shown());
    assert_eq!(shown()["silent"][0]["address"], address);
    assert_eq!(shown()["error"], Value::Null);
    assert_eq!(shown()["newest"]["bundle"], third);
    let line = registry_line(&running);
    assert!(
        line.contains(&format!("; FALLBACK {fallback}, because: ")),
        "{line}"
    );
    let polls = |result: &str| {
        let result = format!("result=\"{result}\"");
        running
            .metrics()
            .sum("gwd_registry_polls_total", &[&result])
    };
    assert_eq!(
        (polls("ok"), polls("fallback"), polls("failed")),
        (2.0, 1.0, 0.0)
    );

    // The program log shows the change once.
    running.notify();
    let polled = running.log();
    let lines = |text: &str| polled.lines().filter(|line| line.contains(text)).count();
    assert_eq!(
        lines("another registry answers instead of the first one"),
        1
    );
    assert_eq!(lines("the registry of --store answers again"), 0);

    // If no registry can be reached, the status has the error of the first registry.
    registry.stop();
    running.notify();
    assert_eq!(shown()["error"], shown()["silent"][0]["error"]);
    assert_eq!(shown()["silent"][1]["address"], fallback);
    assert_eq!(polls("failed"), 1.0);
    answers(&running, "v3");
    assert!(!running.log().contains(PASSWORD));
    running.stops_clean();
}
