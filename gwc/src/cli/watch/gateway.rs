//! Process of the local gateway: start, state and end.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use bundle::ir::{Gateway, Protocol};
use model::exit::{Exit, Failure};

use super::super::saves::{Event, Message, Saves};
use super::super::say;
use super::local::{LocalReleases, Version};
use crate::release::nodes::{Nodes, Status};

/// Maximum time in which the gateway activates a version: 30s.
const ACTIVATION: Duration = Duration::from_secs(30);
/// Interval between two queries of the gateway's state: 20ms.
const LOOK: Duration = Duration::from_millis(20);
/// Maximum time in which the gateway ends after SIGTERM: 5s.
const ENDING: Duration = Duration::from_secs(5);
/// Maximum length of a line of the gateway's log, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Options for the local gateway.
#[derive(Debug, clap::Args)]
pub(super) struct GatewayOptions {
    /// Program of the local gateway [default: `gwd` beside gwc, otherwise the one in PATH]
    #[arg(long, value_name = "FILE")]
    gwd: Option<PathBuf>,
    /// Address of a listener, instead of the project's; may be given several times. Addresses that
    /// others can reach become 127.0.0.1 by default
    #[arg(long, value_name = "NAME=ADDR")]
    listen: Vec<String>,
    /// Write the gateway's access log to standard output
    #[arg(long)]
    access_log: bool,
}

/// Running local gateway.
pub(super) struct LocalGateway {
    child: Child,
    nodes: Nodes,
    /// Values of the `--listen` options with which the process was started.
    listen: Vec<String>,
}

/// Result of an activation.
pub(super) enum Activated {
    /// The gateway serves the version at these URLs.
    Serving(Vec<String>),
    /// The gateway refused the version, or ended. The text is the reason.
    Refused(String),
    /// Signal that ends the command, as the command's exit code.
    Signal(u8),
}

impl GatewayOptions {
    /// Returns the path of the program gwd.
    ///
    /// # Errors
    /// Returns an error if the program is not found.
    pub(super) fn program(&self) -> Result<PathBuf, Failure> {
        let missing = |what: String| {
            let message = format!("{what}; install gwd, or name it with --gwd FILE");
            Failure::new(Exit::INPUT, "no-gwd", message)
        };
        if let Some(file) = &self.gwd {
            let found = file.is_file().then(|| file.clone());
            return found.ok_or_else(|| missing(format!("there is no file {}", say::path(file))));
        }
        let own = std::env::current_exe().ok();
        let beside = own.and_then(|own| Some(own.parent()?.to_owned()));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = beside.into_iter().chain(std::env::split_paths(&path));
        let mut files = folders.map(|folder| folder.join("gwd"));
        let found = files.find(|file| file.is_file());
        found.ok_or_else(|| missing("there is no gwd beside gwc or in PATH".to_owned()))
    }

    /// Values of the `--listen` options for a gateway: those of the command line, and one for each
    /// other listener with a non-loopback address. That value is the loopback address with the same
    /// port.
    pub(super) fn listen(&self, gateway: &Gateway) -> Vec<String> {
        let mut all = self.listen.clone();
        for listener in &gateway.shared.listeners {
            let is_given = |option: &String| {
                let name = option.split_once('=').map(|(name, _)| name);
                name == Some(&*listener.name)
            };
            let address = listener.address.parse::<SocketAddr>().ok();
            let open = address.filter(|address| !address.ip().is_loopback());
            if let Some(address) = open.filter(|_| !self.listen.iter().any(is_given)) {
                let ip = match address.ip() {
                    IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
                };
                let address = SocketAddr::new(ip, address.port());
                all.push(format!("{}={address}", listener.name));
            }
        }
        all
    }

    /// Starts the gateway in its own process group. Ctrl-C therefore reaches only gwc, which ends
    /// the gateway.
    ///
    /// # Errors
    /// Returns an error if the program cannot be started.
    pub(super) fn start(
        &self,
        program: &Path,
        releases: &LocalReleases,
        (listen, sender): (Vec<String>, Sender<Message>),
    ) -> anyhow::Result<LocalGateway> {
        let admin = format!("unix:{}", releases.folder().join("admin.sock").display());
        let mut command = Command::new(program);
        command
            .arg("run")
            .arg("--store")
            .arg(releases.store())
            .args(["--channel", releases.channel()])
            .arg("--trust")
            .arg(releases.trust_file())
            .arg("--state")
            .arg(releases.folder().join("state"))
            .args(["--admin", &admin, "--node", "local"])
            .args(["--pre-stop", "0s", "--drain-timeout", "1s"])
            .args(["--websocket-drain", "1s"])
            .args(["--log-level", "warn", "--log-format", "human"])
            .args([
                "--access-log",
                if self.access_log { "stdout" } else { "off" },
            ])
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        for option in &listen {
            command.args(["--listen", option]);
        }
        let child = command.spawn();
        let mut child = child.map_err(|error| {
            let message = format!("{} cannot be run: {error}", say::path(program));
            Failure::new(Exit::INPUT, "no-gwd", message)
        })?;
        if let Some(log) = child.stderr.take() {
            follow(log, sender)?;
        }
        Ok(LocalGateway {
            child,
            nodes: Nodes::new(&[admin], &[], None)?,
            listen,
        })
    }
}

impl LocalGateway {
    /// True if the process runs and was started with these `--listen` options.
    pub(super) fn fits(&mut self, listen: &[String]) -> bool {
        self.listen == listen && self.exit().is_none()
    }

    /// Waits until the gateway serves a version or refuses it. Files saved meanwhile are kept for
    /// the next round.
    pub(super) fn activate(
        &mut self,
        version: Version,
        (gateway, saves): (&Gateway, &mut Saves),
    ) -> Activated {
        self.nodes.notify();
        let began = Instant::now();
        while began.elapsed() < ACTIVATION {
            if let Some(Event::Signal(code)) = saves.other_within(LOOK) {
                return Activated::Signal(code);
            }
            if let Some(code) = self.exit() {
                return Activated::Refused(format!("gwd ended with exit code {code}"));
            }
            let status = self.nodes.status().into_iter().next();
            let Some((_, Ok(status))) = status else {
                continue;
            };
            let id = version.bundle.to_string();
            if status.bundle.as_deref() == Some(&*id) {
                return Activated::Serving(urls(&status, gateway));
            }
            let error = status.last_error.filter(|error| error["bundle"] == *id);
            if let Some(reason) = error.as_ref().and_then(|error| error["reason"].as_str()) {
                return Activated::Refused(format!("gwd refused the version: {reason}"));
            }
        }
        let seconds = ACTIVATION.as_secs();
        Activated::Refused(format!("gwd does not serve it within {seconds} seconds"))
    }

    /// True if the process has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        self.exit().is_some()
    }

    /// Exit code of the process. `None` while the process runs.
    fn exit(&mut self) -> Option<i32> {
        let ended = self.child.try_wait().ok().flatten()?;
        Some(ended.code().unwrap_or(-1))
    }
}

impl Drop for LocalGateway {
    /// Ends the process, so that no gateway outlives the command.
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id());
        if let Some(pid) = pid.ok().and_then(rustix::process::Pid::from_raw) {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let began = Instant::now();
        while self.exit().is_none() {
            if began.elapsed() >= ENDING {
                let _gone = self.child.kill();
                let _ended = self.child.wait();
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Copies the gateway's log to standard error, line by line, and sends an event when the gateway
/// ends.
fn follow(log: impl Read + Send + 'static, sender: Sender<Message>) -> anyhow::Result<()> {
    let is_terminal = std::io::stderr().is_terminal();
    std::thread::Builder::new()
        .name("gwd log".to_owned())
        .spawn(move || {
            let mut log = BufReader::new(log);
            let mut line = Vec::new();
            while let Ok(1..) = (&mut log).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end();
                // Skip audit lines, because gwc reports the same events itself.
                let is_audit = text.split(' ').nth(1) == Some("audit");
                if !is_audit {
                    say::note(&match is_terminal {
                        true => format!("gwd: {}", diag::text::printable(text)),
                        false => format!("gwd: {text}"),
                    });
                }
                line.clear();
            }
            let _ended = sender.send(Message::Other(Event::GatewayEnded));
        })?;
    Ok(())
}

/// URLs of the listeners. If there are several listeners, each URL follows the listener's name.
fn urls(status: &Status, gateway: &Gateway) -> Vec<String> {
    let addresses = status.all["listeners"].as_object();
    let addresses: Vec<_> = addresses.into_iter().flatten().collect();
    let is_one = addresses.len() == 1;
    let url = |(name, address): &(&String, &serde_json::Value)| {
        let mut listeners = gateway.shared.listeners.iter();
        let listener = listeners.find(|listener| listener.name == **name);
        let scheme = match listener.map(|listener| &listener.protocol) {
            Some(Protocol::Https(_)) => "https",
            Some(Protocol::Http) | None => "http",
        };
        let address = address.as_str().unwrap_or_default();
        match is_one {
            true => format!("{scheme}://{address}"),
            false => format!("{name} {scheme}://{address}"),
        }
    };
    addresses.iter().map(url).collect()
}
