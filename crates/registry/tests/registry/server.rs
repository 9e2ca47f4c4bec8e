//! Test server: Debian's docker-registry on a free port.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use registry::{Address, Registry, Settings};
use tempfile::TempDir;

/// User, password, and the corresponding entry of an htpasswd file (bcrypt).
const USER: &str = "ann";
const PASSWORD: &str = "s3cret";
const HTPASSWD: &str = "ann:$2y$04$nQArrjmnbAppqN1tpZdYKu2CwsWggQt1t3pXAWYOic5SGoRwP3Y/y\n";

/// Running registry.
pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
    is_secured: bool,
}

impl Server {
    /// Starts a registry with TLS and a password. `None` if docker-registry is not installed.
    #[track_caller]
    pub(crate) fn secured() -> Option<Self> {
        prerequisite::program("docker-registry").then(|| Self::start(true))
    }

    /// Starts a registry that uses HTTP without a password. `None` if docker-registry is not
    /// installed.
    #[track_caller]
    pub(crate) fn plain() -> Option<Self> {
        prerequisite::program("docker-registry").then(|| Self::start(false))
    }

    fn start(is_secured: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let at = |name: &str| folder.path().join(name);
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n",
            at("data").display()
        );
        if is_secured {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(at("cert.pem"), made.cert.pem()).unwrap();
            std::fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
            std::fs::write(at("htpasswd"), HTPASSWD).unwrap();
            config.push_str(&format!(
                "  tls: {{certificate: {}, key: {}}}\nauth:\n  htpasswd: {{realm: r, path: {}}}\n",
                at("cert.pem").display(),
                at("key.pem").display(),
                at("htpasswd").display()
            ));
            std::fs::create_dir(at("docker")).unwrap();
        }
        std::fs::write(at("config.yml"), config).unwrap();
        let server = Self {
            child: spawn(&at("config.yml"), port),
            port,
            folder,
            is_secured,
        };
        server.log_in(PASSWORD);
        server
    }

    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the registry again with the same content.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.path("config.yml"), self.port);
    }

    /// Writes docker's configuration with a password for this registry.
    pub(crate) fn log_in(&self, password: &str) {
        if !self.is_secured {
            return;
        }
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
        let config = format!(
            "{{\"auths\":{{\"localhost:{}\":{{\"auth\":\"{auth}\"}}}}}}",
            self.port
        );
        std::fs::write(self.path("docker/config.json"), config).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn address(&self) -> Address {
        format!("oci://localhost:{}/shop/releases", self.port)
            .parse()
            .unwrap()
    }

    pub(crate) fn settings(&self) -> Settings {
        match self.is_secured {
            true => Settings {
                docker: Some(self.path("docker")),
                ca_file: Some(self.path("cert.pem")),
                ..Settings::default()
            },
            false => Settings::default(),
        }
    }

    pub(crate) fn open(&self) -> Registry {
        Registry::open(self.address(), &self.settings()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn spawn(config: &Path, port: u16) -> Child {
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "the registry does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
