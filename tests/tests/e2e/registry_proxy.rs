//! Registry without a password, and a proxy in front of it that counts requests and fails.
//!
//! The registry is Debian's docker-registry over plain HTTP, which gwc and gwd accept on the same
//! machine. The proxy answers one request per connection, so that each request can be counted and
//! cut.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use e2e::gateway::Options;
use e2e::project::{Ended, Project};
use e2e::server::free_port;
use e2e::wait;

use crate::registries::gateway;

/// Maximum time for one read of the proxy: 30s.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// First byte of a TLS connection (RFC 8446 §5.1: `handshake`).
const TLS_HANDSHAKE: u8 = 0x16;
/// Response to a TLS handshake, as docker-registry without TLS sends it. gwc and gwd then use HTTP.
const NOT_TLS: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// Maximum length of the head of a message, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// docker-registry process with a proxy in front.
pub(crate) struct ProxiedRegistry {
    child: Child,
    /// Port of the proxy.
    port: u16,
    /// Port of the store that the programs use: that of the proxy, or that of the registry.
    store: u16,
    shared: Arc<Shared>,
    folder: tempfile::TempDir,
}

struct Shared {
    registry: u16,
    plan: Mutex<Plan>,
    is_stopped: AtomicBool,
}

#[derive(Default)]
struct Plan {
    /// Requests since the last reset.
    requests: Vec<Seen>,
    /// Connections that were refused since the last reset, with their time.
    refused: Vec<Instant>,
    /// Failure that begins with the request of this index.
    failure: Option<(usize, Failure)>,
}

/// Request that the proxy has read.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    /// Method and path.
    pub(crate) line: String,
}

/// Failure of a registry at a request. The registry refuses all later connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request does not reach the registry.
    Request,
    /// The registry processes the request, and the client gets no response.
    Response,
    /// The client gets the first half of the response.
    Half,
}

/// Messages of an exchange that the proxy relays.
#[derive(Clone, Copy)]
enum Relays {
    Nothing,
    Request,
    HalfOfResponse,
    All,
}

impl ProxiedRegistry {
    /// Starts a registry and its proxy. `None` if docker-registry is not installed.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        if !prerequisite::program("docker-registry") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let registry = free_port();
        let config = folder.path().join("config.yml");
        let data = folder.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:{registry}\"}}\n",
            data.display()
        );
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().expect("it starts");
        wait::until("the registry listens", || {
            TcpStream::connect(("127.0.0.1", registry)).ok()
        });
        let shared = Arc::new(Shared {
            registry,
            plan: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("an address").port();
        let serving = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &serving));
        Some(Self {
            child,
            port,
            store: port,
            shared,
            folder,
        })
    }

    /// Registry that the programs use without the proxy, with connections that they keep. Its
    /// requests are not counted, and it does not fail.
    #[track_caller]
    pub(crate) fn start_without_proxy() -> Option<Self> {
        let mut registry = Self::start()?;
        registry.store = registry.shared.registry;
        Some(registry)
    }

    /// Address of the store.
    pub(crate) fn store(&self) -> String {
        format!("oci://127.0.0.1:{}/shop/releases", self.store)
    }

    /// Folder of the registry's content.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Begins to count anew, and plans a failure: its request, from 0, and its kind. `None`: the
    /// registry works.
    pub(crate) fn reset(&self, failure: Option<(usize, Failure)>) {
        *self.shared.plan.lock().expect("no panic") = Plan {
            failure,
            ..Plan::default()
        };
    }

    /// Requests since the last reset.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.shared.plan.lock().expect("no panic").requests.clone()
    }

    /// Times of the connections that were refused since the last reset.
    pub(crate) fn refused(&self) -> Vec<Instant> {
        self.shared.plan.lock().expect("no panic").refused.clone()
    }

    /// Command of gwc with this registry as its store.
    pub(crate) fn gwc(&self, project: &Project, arguments: &[&str]) -> Ended {
        let mut command = project.command();
        command.args(arguments).args(["--store", &self.store()]);
        Ended::of(&mut command)
    }

    /// Releases a version of the project `shop` with further options. Returns the bundle's id.
    pub(crate) fn release(&self, project: &Project, version: &str, more: &[&str]) -> String {
        project.write("gateway.yaml", gateway(version));
        let applied = self.apply(project, more);
        let applied = applied.succeeds().json();
        applied["bundle"].as_str().expect("an id").to_owned()
    }

    /// Runs `gwc apply`.
    pub(crate) fn apply(&self, project: &Project, more: &[&str]) -> Ended {
        let apply = [
            "apply",
            "--key",
            "keys/release.pem",
            "--yes",
            "--format",
            "json",
        ];
        self.gwc(project, &[&apply[..], more].concat())
    }

    /// Options of a gwd that follows this registry and polls it at the interval `poll`.
    pub(crate) fn gateway(&self, project: &Project, poll: &str) -> Options {
        Options::of(project)
            .store(self.store().as_ref())
            .arguments(&["--registry-poll", poll])
    }
}

impl Drop for ProxiedRegistry {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _accepted = TcpStream::connect(("127.0.0.1", self.port));
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_stopped.load(Ordering::Acquire) {
            return;
        }
        let Ok(client) = client else { continue };
        if shared.refuses() {
            continue;
        }
        let shared = Arc::clone(shared);
        // An error ends the connection, which the client notices.
        thread::spawn(move || drop(shared.relay(client)));
    }
}

impl Shared {
    /// True if the registry has failed. Counts the connection.
    fn refuses(&self) -> bool {
        let mut plan = self.plan.lock().expect("no panic");
        let has_failed = match plan.failure {
            None => false,
            Some((at, _)) => plan.requests.len() > at,
        };
        if has_failed {
            plan.refused.push(Instant::now());
        }
        has_failed
    }

    /// Relays one request and its response.
    fn relay(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(READ_TIMEOUT))?;
        client.set_nodelay(true)?;
        let mut first = [0];
        if client.peek(&mut first)? == 1 && first[0] == TLS_HANDSHAKE {
            let _hello = client.read(&mut [0; 16 << 10])?;
            return client.write_all(NOT_TLS.as_bytes());
        }
        let (head, mut body) = read_head(&mut client)?;
        let length = content_length(&head);
        let missing = length.saturating_sub(body.len());
        let read = body.len();
        body.resize(read + missing, 0);
        client.read_exact(&mut body[read..])?;
        let relays = self.register(&head);
        if let Relays::Nothing = relays {
            return Ok(());
        }
        let mut registry = TcpStream::connect(("127.0.0.1", self.registry))?;
        registry.set_read_timeout(Some(READ_TIMEOUT))?;
        registry.set_nodelay(true)?;
        registry.write_all(with_close(&head).as_bytes())?;
        registry.write_all(&body)?;
        let mut response = Vec::new();
        registry.read_to_end(&mut response)?;
        match relays {
            Relays::Nothing | Relays::Request => Ok(()),
            Relays::HalfOfResponse => client.write_all(&response[..response.len() / 2]),
            Relays::All => client.write_all(&response),
        }
    }

    /// Counts a request, unless the registry has failed before it. Returns what the proxy relays.
    fn register(&self, head: &str) -> Relays {
        let mut plan = self.plan.lock().expect("no panic");
        let at = plan.requests.len();
        let relays = match plan.failure {
            Some((first, _)) if at > first => return Relays::Nothing,
            Some((first, failure)) if at == first => match failure {
                Failure::Request => Relays::Nothing,
                Failure::Response => Relays::Request,
                Failure::Half => Relays::HalfOfResponse,
            },
            Some(_) | None => Relays::All,
        };
        let line = head.lines().next().unwrap_or_default();
        plan.requests.push(Seen {
            at: Instant::now(),
            line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        });
        relays
    }
}

/// Reads the head of a message. Returns the head and the bytes behind it.
fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut piece = [0; 8 << 10];
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = read.split_off(end + 4);
            let head = String::from_utf8(read).map_err(io::Error::other)?;
            return Ok((head, body));
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read.extend_from_slice(&piece[..count]),
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the head is too long"));
        }
    }
}

fn content_length(head: &str) -> usize {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.map_or(0, |(_, length)| length.trim().parse().expect("a number"))
}

/// Head with a field that makes the registry close the connection after its response.
fn with_close(head: &str) -> String {
    let (line, fields) = head.split_once("\r\n").expect("a request line");
    format!("{line}\r\nConnection: close\r\n{fields}")
}
