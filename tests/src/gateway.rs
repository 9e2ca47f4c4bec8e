//! gwd process under test. The system chooses its ports, and all of its files are in one temporary
//! folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::access_log::AccessLog;
use crate::binaries;
use crate::client::{Connection, Response};
use crate::project::Project;
use crate::wait;

/// gwd process. Dropping this value kills it.
pub struct Gateway {
    child: Child,
    folder: TempDir,
    admin: PathBuf,
    listeners: BTreeMap<String, SocketAddr>,
}

/// Options for starting a gwd.
#[derive(Clone, Debug)]
pub struct Options {
    /// Store that gwd follows.
    store: PathBuf,
    trust: Option<PathBuf>,
    channel: String,
    state: Option<PathBuf>,
    admin: Option<PathBuf>,
    pre_stop: String,
    workers: usize,
    node: String,
    listeners: Vec<String>,
    more: Vec<String>,
    environment: Vec<(String, String)>,
}

// === impl Options ===

impl Options {
    /// Options for the releases of a project, with its trust file and the listener `public`.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        Self {
            store: project.path("releases"),
            trust: Some(project.path("trust.json")),
            channel: "prod".to_owned(),
            state: None,
            admin: None,
            pre_stop: "0s".to_owned(),
            workers: 2,
            node: "test".to_owned(),
            listeners: vec!["public".to_owned()],
            more: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Follows another channel than `prod`.
    #[must_use]
    pub fn channel(mut self, name: &str) -> Self {
        name.clone_into(&mut self.channel);
        self
    }

    /// Sets the store.
    #[must_use]
    pub fn store(mut self, store: &Path) -> Self {
        store.clone_into(&mut self.store);
        self
    }

    /// Sets the trust file, or starts gwd without one.
    #[must_use]
    pub fn trust(mut self, trust: Option<&Path>) -> Self {
        self.trust = trust.map(Path::to_owned);
        self
    }

    /// Sets a state folder, which outlives the process.
    #[must_use]
    pub fn state(mut self, state: &Path) -> Self {
        self.state = Some(state.to_owned());
        self
    }

    /// Sets the path of the admin interface's socket, for processes that follow one another.
    #[must_use]
    pub fn admin(mut self, socket: &Path) -> Self {
        self.admin = Some(socket.to_owned());
        self
    }

    /// Sets the time for which gwd accepts connections after SIGTERM. Default: `0s`.
    #[must_use]
    pub fn pre_stop(mut self, time: &str) -> Self {
        time.clone_into(&mut self.pre_stop);
        self
    }

    /// Sets the listeners. Each listener gets a free port. Default: `public`.
    #[must_use]
    pub fn listeners(mut self, names: &[&str]) -> Self {
        self.listeners = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Sets the number of worker threads. Default: 2.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Sets the name of the node. Default: `test`.
    #[must_use]
    pub fn node(mut self, name: &str) -> Self {
        name.clone_into(&mut self.node);
        self
    }

    /// Adds arguments to the command line.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.more
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts gwd without waiting.
    #[must_use]
    pub fn spawn(&self) -> Gateway {
        let folder = tempfile::Builder::new()
            .prefix("gwd-")
            .tempdir()
            .expect("a temporary folder can be made");
        let at = |name: &str| folder.path().join(name);
        let create = |name: &str| File::create(at(name)).expect("a file can be made");
        let admin = self.admin.clone().unwrap_or_else(|| at("admin.sock"));
        let mut command = Command::new(binaries::gwd());
        command
            .arg("run")
            .arg("--store")
            .arg(&self.store)
            .args(["--channel", &self.channel])
            .arg("--state")
            .arg(self.state.clone().unwrap_or_else(|| at("state")))
            .arg("--admin")
            .arg(format!("unix:{}", admin.display()))
            .args(["--workers", &self.workers.to_string()])
            .arg("--access-log")
            .arg(at("access.log"))
            .args([
                "--node",
                &self.node,
                "--pre-stop",
                &self.pre_stop,
                "--drain-timeout",
                "5s",
            ])
            .args(&self.more)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(create("stdout"))
            .stderr(create("stderr"));
        for name in &self.listeners {
            command.args(["--listen", &format!("{name}=127.0.0.1:0")]);
        }
        if let Some(trust) = &self.trust {
            command.arg("--trust").arg(trust);
        }
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("gwd cannot be run: {error}"));
        Gateway {
            child,
            folder,
            admin,
            listeners: BTreeMap::new(),
        }
    }

    /// Starts gwd and waits until it is ready.
    #[must_use]
    pub fn start(&self) -> Gateway {
        let mut gateway = self.spawn();
        gateway.wait_ready();
        gateway
    }
}

// === impl Gateway ===

impl Gateway {
    /// Waits until gwd is ready, and reads the ports of its listeners.
    pub fn wait_ready(&mut self) {
        let ready = wait::within(wait::WAIT_MAX, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("gwd ended with {status} instead of serving\n{}", self.log());
            }
            // The admin socket is created shortly after the start.
            let mut admin = Connection::open_unix(&self.admin()).ok()?;
            let ready = admin.ask("GET /readyz HTTP/1.1\nhost: admin").ok()?;
            (ready.status == 200).then_some(())
        });
        assert!(ready.is_some(), "gwd does not become ready\n{}", self.log());
        let status = self.status();
        let listeners = status["listeners"].as_object().expect("listeners");
        self.listeners = listeners
            .iter()
            .map(|(name, address)| {
                let address = address.as_str().and_then(|text| text.parse().ok());
                (name.clone(), address.expect("status tells real ports"))
            })
            .collect();
    }

    /// Waits until gwd is ready, or has ended.
    pub fn wait_ready_or_end(&mut self) {
        let admin = self.admin();
        let child = &mut self.child;
        wait::until("gwd serves or ends", || {
            if child.try_wait().expect("it is our child").is_some() {
                return Some(());
            }
            let mut admin = Connection::open_unix(&admin).ok()?;
            let ready = admin.ask("GET /readyz HTTP/1.1\nhost: admin").ok()?;
            (ready.status == 200).then_some(())
        });
    }

    /// Address of the listener `public`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener("public")
    }

    /// Address of a listener.
    #[must_use]
    pub fn listener(&self, name: &str) -> SocketAddr {
        self.listeners[name]
    }

    /// Opens a connection to the listener `public`.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(self.address()).expect("gwd accepts")
    }

    /// Sends one request on a new connection.
    #[must_use]
    pub fn ask(&self, text: &str) -> Response {
        self.connect().ask(text).unwrap_or_else(|error| {
            panic!("no response: {error}\n{text}\n{}", self.log());
        })
    }

    /// Path of the admin interface's socket.
    #[must_use]
    pub fn admin(&self) -> PathBuf {
        self.admin.clone()
    }

    /// Sends a request to the admin interface. For a `Null` body, sends no content.
    #[must_use]
    pub fn admin_ask(&self, method: &str, path: &str, body: &Value) -> Response {
        let mut admin = Connection::open_unix(&self.admin()).expect("the admin interface is up");
        let body = match body {
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        admin
            .send(head.as_bytes())
            .expect("the admin interface reads");
        admin
            .read_response(method == "HEAD")
            .expect("the admin interface answers")
    }

    /// Status of the gateway (`status/v1`).
    #[must_use]
    pub fn status(&self) -> Value {
        let response = self.admin_ask("GET", "/v1/status", &Value::Null);
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    /// Current metrics.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics(self.admin_ask("GET", "/metrics", &Value::Null).text())
    }

    /// Makes gwd read the store now, and waits until the read has ended.
    pub fn notify(&self) {
        let response = self.admin_ask("POST", "/v1/notify", &Value::Null);
        assert_eq!(response.status, 200, "{}", response.text());
    }

    /// Waits until a bundle is running.
    pub fn wait_bundle(&self, id: &str) {
        wait::until(&format!("gwd runs {id}"), || {
            (self.status()["bundle"] == id).then_some(())
        });
    }

    /// Access log of the gateway.
    #[must_use]
    pub fn access_log(&self) -> AccessLog {
        AccessLog::new(self.folder.path().join("access.log"))
    }

    /// Reads the program log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads the resident memory of the process, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory_of("VmRSS:")
    }

    /// Reads the largest resident memory that the process has had, in bytes.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        self.memory_of("VmHWM:")
    }

    /// Reads a number of bytes from the status of the process.
    fn memory_of(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: u64 = line
            .and_then(|line| line.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .expect("the kernel reports it");
        kib << 10
    }

    /// Waits until gwd ends without a signal from the test. Returns the exit code of gwd.
    pub fn wait_end(&mut self) -> Option<i32> {
        let child = &mut self.child;
        wait::until("gwd ends", || child.try_wait().expect("it is our child")).code()
    }

    /// Sends SIGTERM to gwd and waits until gwd ends. Returns the exit code of gwd.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill -TERM {pid}"
        );
        self.wait_end()
    }

    /// Stops gwd, and checks that the exit code is 0 and that there was no panic.
    #[track_caller]
    pub fn stops_clean(mut self) {
        let code = self.stop();
        assert_eq!(code, Some(0), "{}", self.log());
        assert!(!self.log().contains("\"panic\""), "{}", self.log());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Ignore errors: the process may have ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Text of `/metrics`.
#[derive(Clone, Debug)]
pub struct Metrics(pub String);

impl Metrics {
    /// Sum of all series with this name whose labels contain each of `labels`, such as `a="b"`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.0
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| {
                let (own, inside) = series.split_once('{').unwrap_or((series, ""));
                own == name && labels.iter().all(|label| inside.contains(label))
            })
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }
}
