//! `gwd run`: starts the gateway, serves and stops. Also `gwd check`.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::exit::Exit;
use super::options::{Resolved, RunOptions};
use super::systemd;
use crate::admin::{Admin, Interface, Token};
use crate::control::{Control, Ending, Event, Plan, StartError, Status, TrustSource};
use crate::limits::descriptors;
use crate::listen::handover::{self, HandoverConnection};
use crate::listen::inherited::InheritedSockets;
use crate::node::{Node, Settings, TimeLimits};
use crate::published::Shared;
use crate::runtime::files::read_file;
use crate::runtime::program_log::{self, Audit, Level, OK, event};

/// File descriptor limit below which a warning is logged. Each request needs two descriptors.
const DESCRIPTORS_LOW: u64 = 4_096;

/// Maximum length of the file with the admin token, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 << 10;
/// Time for a stop in addition to `--pre-stop` and `--drain-timeout`: 5s. After this time the
/// process ends even if the stop is not complete.
const STUCK: Duration = Duration::from_secs(5);
/// Maximum wait after a second signal before the process ends: 1s.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Runs the gateway until a signal, a drain or a handover ends it.
pub(super) fn run(options: &RunOptions, resolved: &Resolved) -> Exit {
    let served = start(options, resolved).and_then(|running| running.serve(resolved));
    match served {
        Ok(exit) | Err(exit) => exit,
    }
}

/// Running gateway process, which serves a bundle or waits for its first one.
struct Running {
    control: Control,
    events: Sender<Event>,
    inbox: Receiver<Event>,
    status: Arc<ArcSwap<Status>>,
    /// State that the control thread shares with the workers.
    shared: Arc<Shared>,
    /// Address and socket of the admin interface.
    admin: (Interface, OwnedFd),
    /// True once the process has begun to stop.
    draining: Arc<AtomicBool>,
    /// Notification that another process has taken over the sockets (`--take-over`).
    left: Arc<Notify>,
    /// Number of signals to stop that this process has received.
    stops: Arc<AtomicU32>,
    /// True if this process has taken over from another one.
    takes_over: bool,
}

/// Resources that the previous process hands over. Empty if there is no previous process.
#[derive(Default)]
struct Predecessor {
    /// Connection to the previous process, which waits until this process serves. `None`: no
    /// take-over.
    promise: Option<HandoverConnection>,
    /// Lock of the state folder. `None`: this process takes the lock itself.
    lock: Option<File>,
    admin_socket: Option<OwnedFd>,
}

/// Starts all threads, and activates the first bundle if there is one.
///
/// # Errors
/// If gwd cannot start. The error is the exit code; the reason is in the log.
fn start(options: &RunOptions, resolved: &Resolved) -> Result<Running, Exit> {
    let mut inherited = prepare(resolved);
    let plan = plan(resolved).map_err(|(exit, why)| {
        event(
            Level::Error,
            "gwd does not start",
            json!({"error": why, "exit": exit.code()}),
        );
        exit
    })?;
    let token = admin_token(resolved)?;
    let (events, inbox) = mpsc::channel();
    let draining = Arc::new(AtomicBool::new(false));
    let left = Arc::new(Notify::new());
    let signals = Signals {
        events: events.clone(),
        options: options.clone(),
        stops: Arc::default(),
        draining: Arc::clone(&draining),
        stop_max: resolved.pre_stop + resolved.drain_timeout + STUCK,
    };
    let stops = signals.watch();
    let stops = stops.map_err(|error| unusable("signals cannot be handled", &error))?;
    let predecessor = predecessor(resolved, &mut inherited)?;
    let takes_over = predecessor.promise.is_some();
    let node = Node::start(settings(resolved));
    let mut node = node.map_err(|error| unusable("the process cannot be set up", &error))?;
    node.inherit(inherited);
    let shared = Arc::clone(&node.shared);
    let status = Arc::new(ArcSwap::from_pointee(not_ready()));
    let admin = Admin {
        shared: Arc::clone(&node.shared),
        registry: Arc::clone(&node.registry),
        status: Arc::clone(&status),
        events: events.clone(),
        token,
        draining: Arc::clone(&draining),
        hosts: resolved.admin_hosts.clone(),
        left: Arc::clone(&left),
        writing: tokio::sync::Semaphore::new(1),
    };
    let start_admin = || admin.start(resolved.admin.clone(), predecessor.admin_socket);
    let start_control = || {
        let lock = predecessor.lock;
        let started = Control::start(plan, node, lock, events.clone(), Arc::clone(&status));
        started.map_err(|error| not_started(&error))
    };
    let (control, admin) = match predecessor.promise {
        // Start the admin interface before the first bundle: operators need the status to see why a
        // node is not ready.
        None => {
            let admin = start_admin().map_err(|error| no_admin(&error, resolved))?;
            (start_control()?, admin)
        }
        // Until this process is ready, the previous process serves the admin interface. If this
        // process never becomes ready, the previous one continues.
        Some(promise) => {
            let control = start_control()?;
            let admin = start_admin();
            if status.load().ready && admin.is_ok() {
                promise.keep();
            }
            (control, admin.map_err(|error| no_admin(&error, resolved))?)
        }
    };
    if takes_over && !status.load().ready {
        return Err(no_successor(&status.load()));
    }
    Ok(Running {
        control,
        events,
        inbox,
        status,
        shared,
        admin,
        draining,
        left,
        stops,
        takes_over,
    })
}

/// Prepares the process: log level, file modes and file descriptors. Returns sockets that systemd
/// has opened.
fn prepare(resolved: &Resolved) -> Vec<InheritedSockets> {
    program_log::set_level(resolved.log_level.level());
    program_log::set_format(resolved.log_format);
    // Files of gwd are private to its user, whatever the umask; logs set their own mode.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let inherited = systemd::sockets();
    if let Some(limit) = descriptors::raise()
        && limit < DESCRIPTORS_LOW
    {
        event(
            Level::Warn,
            "the limit of file descriptors is low; every request needs two",
            json!({"limit": limit, "do": "raise LimitNOFILE"}),
        );
    }
    inherited
}

/// Takes over from the previous process if `--take-over` is set. Adds the listening sockets of that
/// process to `inherited`.
fn predecessor(
    resolved: &Resolved,
    inherited: &mut Vec<InheritedSockets>,
) -> Result<Predecessor, Exit> {
    if !resolved.take_over {
        return Ok(Predecessor::default());
    }
    let taken = handover::ask(&resolved.state)
        .map_err(|error| unusable("the take-over from the previous gwd failed", &error))?;
    let Some(taken) = taken else {
        return Ok(Predecessor::default());
    };
    inherited.extend(taken.listeners);
    // If the configured address has changed, do not use the inherited socket.
    let admin = taken.admin;
    let admin = admin.filter(|(at, _)| same_interface(at, &resolved.admin));
    Ok(Predecessor {
        promise: Some(taken.promise),
        lock: Some(taken.lock),
        admin_socket: admin.map(|(_, socket)| socket),
    })
}

/// Status that the admin interface reports before the first bundle runs.
fn not_ready() -> Status {
    Status {
        status: json!({"schema": "status/v1", "result": "ok", "ready": false}),
        bundles: json!({"schema": "bundles/v1", "result": "ok", "bundles": []}),
        ready: false,
        revocations_protected: false,
        has_keys: true,
    }
}

impl Running {
    /// Serves until a stop is requested or another process has taken over, then drains.
    ///
    /// # Errors
    /// If systemd cannot be notified. The error is the exit code.
    fn serve(self, resolved: &Resolved) -> Result<Exit, Exit> {
        let (admin_at, admin_socket) = self.admin;
        log_serving(&self.status.load(), &admin_at, resolved);
        let shared = self.shared;
        systemd::watch(self.status, self.takes_over, move || shared.lives())
            .map_err(|error| unusable("systemd cannot be notified", &error))?;
        let events = self.events;
        let take = move |successor| events.send(Event::HandOver(successor)).is_ok();
        if let Err(error) = handover::serve(&resolved.state, take) {
            event(
                Level::Warn,
                "another gwd cannot take over from this one without an interruption",
                json!({"error": error.to_string(), "state": resolved.state.display().to_string()}),
            );
        }
        let admin = (admin_text(&admin_at), admin_socket);
        let (node, ending) = self.control.run(&self.inbox, Some(&admin));
        self.draining.store(true, Ordering::Relaxed);
        match ending {
            Ending::HandedOver => {
                self.left.notify_one();
                leave(node, resolved, &self.stops);
            }
            Ending::Stop | Ending::PortBusy => {
                systemd::notify("STOPPING=1");
                if ending == Ending::Stop {
                    stop(node, resolved, &self.stops);
                }
                if let Interface::Unix(path) = &admin_at {
                    let _gone_already = std::fs::remove_file(path);
                }
            }
        }
        Ok(match ending {
            Ending::PortBusy => Exit::Unreachable,
            Ending::HandedOver | Ending::Stop => Exit::Done,
        })
    }
}

fn log_serving(status: &Status, admin_at: &Interface, resolved: &Resolved) {
    event(
        Level::Info,
        if status.ready { "serving" } else { "not ready" },
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "bundle": status.status["bundle"],
            "listeners": status.status["listeners"],
            "admin": admin_text(admin_at),
            "workers": resolved.workers,
        }),
    );
}

/// Completes the requests of open connections after another process has taken over.
fn leave(mut node: Node, resolved: &Resolved, stops: &AtomicU32) {
    let impatient = || stops.load(Ordering::Relaxed) > 0;
    let forced = node.leave_to_successor(resolved.drain_timeout, &impatient);
    event(Level::Info, "stopped", json!({"forced_closes": forced}));
}

/// Exit code of a process that cannot serve after a take-over. The previous gwd keeps serving.
fn no_successor(status: &Status) -> Exit {
    event(
        Level::Error,
        "take-over failed: this gwd is not ready; the previous one keeps serving",
        json!({"last_error": status.status["last_error"], "exit": Exit::Input.code()}),
    );
    Exit::Input
}

fn no_admin(error: &std::io::Error, resolved: &Resolved) -> Exit {
    let advice = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "create the folder of the socket first, even if it is the state folder"
        }
        std::io::ErrorKind::AlreadyExists => "name a file that does not exist, or a socket",
        std::io::ErrorKind::PermissionDenied => {
            "this user may not bind there: choose another --admin ADDR or unix:PATH"
        }
        _ => "another gwd may have it: give each its own --admin ADDR or unix:PATH",
    };
    event(
        Level::Error,
        "the admin interface cannot be bound",
        json!({
            "admin": admin_text(&resolved.admin),
            "error": error.to_string(),
            "do": advice,
            "exit": 65,
        }),
    );
    Exit::Input
}

/// Stops with a drain (semantics.md §16): `/readyz` fails at once; gwd accepts connections for
/// `--pre-stop`, and then lets open requests finish for `--drain-timeout`. A second signal ends the
/// wait.
fn stop(mut node: Node, resolved: &Resolved, stops: &AtomicU32) {
    let impatient = || stops.load(Ordering::Relaxed) > 1;
    let end = Instant::now() + resolved.pre_stop;
    while Instant::now() < end && !impatient() {
        std::thread::sleep(Duration::from_millis(10).min(resolved.pre_stop));
    }
    let timeout = if impatient() {
        Duration::ZERO
    } else {
        resolved.drain_timeout
    };
    let forced = node.drain(timeout, &impatient);
    event(Level::Info, "stopped", json!({"forced_closes": forced}));
}

/// Implements `gwd check`. Returns the report as JSON, or the exit code with the reason.
pub(super) fn check(resolved: &Resolved) -> Result<Value, (Exit, String)> {
    let plan = plan(resolved)?;
    let node = Node::start(Settings {
        workers: 1,
        access_log: crate::node::AccessLog::Off,
        traces: None,
        metric_export: None,
        log_export: None,
        ..settings(resolved)
    })
    .map_err(|error| (Exit::Input, error.to_string()))?;
    Control::check(&plan, node).map_err(|error| (exit_of(&error), error.to_string()))
}

fn settings(resolved: &Resolved) -> Settings {
    Settings {
        name: resolved.node.clone(),
        channel: Some(resolved.channel.clone()),
        zone: resolved.zone.clone(),
        workers: resolved.workers,
        access_log: resolved.access_log.clone(),
        access_log_sampling: resolved.access_log_sampling,
        bounds: resolved.bounds,
        time_limits: TimeLimits::OF_LISTENERS,
        websocket_drain: resolved.websocket_drain,
        listen: resolved.listen.clone(),
        traces: resolved.exports.traces.clone(),
        metric_export: resolved.exports.metrics.clone(),
        log_export: resolved.exports.logs.clone(),
        discovery: crate::discovery::Settings {
            name_servers: resolved.name_servers.clone(),
            times: crate::discovery::Times::default(),
        },
    }
}

fn plan(resolved: &Resolved) -> Result<Plan, (Exit, String)> {
    let channel = resolved
        .channel
        .parse()
        .map_err(|error| (Exit::Usage, format!("--channel: {error}")))?;
    let trust = match (&resolved.trust, resolved.insecure_allow_unsigned) {
        (_, true) => TrustSource::Disabled,
        (Some(path), false) => TrustSource::File(path.clone()),
        (None, false) => {
            return Err((
                Exit::Untrusted,
                "no trust file, and gwd needs one; pass --trust FILE (`gwc keygen` \
                 makes it)"
                    .to_owned(),
            ));
        }
    };
    Ok(Plan {
        store: resolved.store.clone(),
        registry: resolved.registry.clone(),
        channel,
        trust,
        state: resolved.state.clone(),
        keep: resolved.keep,
        secret_dir: resolved.secret_dir.clone(),
        secret_env_prefix: resolved.secret_env_prefix.clone(),
    })
}

fn admin_token(resolved: &Resolved) -> Result<Option<Token>, Exit> {
    let Some(path) = &resolved.admin_token_file else {
        return Ok(None);
    };
    let token = read_file(path, TOKEN_BYTES_MAX)
        .map_err(|error| error.to_string())
        .and_then(|bytes| Token::new(&bytes).map_err(str::to_owned));
    match token {
        Ok(token) => Ok(Some(token)),
        Err(error) => {
            event(
                Level::Error,
                "the admin token cannot be used",
                json!({"file": path.display().to_string(), "error": error}),
            );
            Err(Exit::Input)
        }
    }
}

/// State and time limits that the signal handlers use.
struct Signals {
    events: Sender<Event>,
    options: RunOptions,
    stops: Arc<AtomicU32>,
    draining: Arc<AtomicBool>,
    /// Maximum time of a stop. After this time the process ends even if the stop is not complete.
    stop_max: Duration,
}

impl Signals {
    /// Installs the signal handlers. SIGTERM and SIGINT stop the process; a second signal skips the
    /// drain. SIGHUP reloads the log level and reopens the log. SIGXFSZ (file size limit) is
    /// ignored. The process ends even if the control thread is blocked, but then without a drain.
    fn watch(self) -> std::io::Result<Arc<AtomicU32>> {
        use tokio::signal::unix::{SignalKind, signal};
        let stops = Arc::clone(&self.stops);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut term, mut int, mut hup) = {
            let _inside = runtime.enter();
            // With this handler, a write beyond the file size limit fails with an error, as on a
            // full disk (setrlimit(2)), instead of ending the process. The signal itself needs no
            // action.
            let _unread = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
            (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
            )
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                runtime.block_on(async move {
                    loop {
                        tokio::select! {
                            _ = term.recv() => self.stop("SIGTERM", 143),
                            _ = int.recv() => self.stop("SIGINT", 130),
                            _ = hup.recv() => hang_up(&self.options),
                        }
                    }
                });
            })?;
        Ok(stops)
    }

    fn stop(&self, who: &'static str, code: i32) {
        self.draining.store(true, Ordering::Relaxed);
        let first = self.stops.fetch_add(1, Ordering::Relaxed) == 0;
        let _stopping = self.events.send(Event::Stop {
            who: who.to_owned(),
        });
        let timeout = if first { self.stop_max } else { AT_ONCE };
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            end_undrained(who, code);
        });
    }
}

/// Ends the process without a drain if the control thread is blocked, for example by a disk or a
/// network file system.
#[expect(
    clippy::exit,
    reason = "the thread that would return the exit code does not answer"
)]
fn end_undrained(who: &'static str, code: i32) {
    event(
        Level::Error,
        "ended without a drain: the control thread did not respond",
        json!({"signal": who, "exit": code, "do": "check the disks and network file systems that \
            gwd uses"}),
    );
    std::process::exit(code);
}

fn hang_up(options: &RunOptions) {
    systemd::notify(&format!(
        "RELOADING=1\nMONOTONIC_USEC={}",
        crate::runtime::clock::monotonic_us()
    ));
    crate::telemetry::access_log::reopen();
    match options.resolve() {
        Ok(resolved) => {
            let before = program_log::level();
            program_log::set_level(resolved.log_level.level());
            program_log::set_format(resolved.log_format);
            Audit {
                what: "log-level",
                who: "SIGHUP",
                from: Some(before.as_str().to_owned()),
                to: Some(program_log::level().as_str().to_owned()),
                why: None,
                result: OK,
            }
            .write(
                "SIGHUP: the log level was reloaded and the access log reopened",
                json!({}),
            );
        }
        Err(error) => event(
            Level::Error,
            "SIGHUP: the options cannot be read again; nothing was changed",
            json!({"error": format!("{error:?}")}),
        ),
    }
    systemd::notify("READY=1");
}

fn unusable(message: &str, error: &std::io::Error) -> Exit {
    event(Level::Error, message, json!({"error": error.to_string()}));
    Exit::Input
}

fn not_started(error: &StartError) -> Exit {
    let exit = exit_of(error);
    event(
        Level::Error,
        "gwd does not start",
        json!({"error": error.to_string(), "exit": exit.code()}),
    );
    exit
}

const fn exit_of(error: &StartError) -> Exit {
    match error {
        StartError::Untrusted(_) => Exit::Untrusted,
        StartError::State(_) => Exit::Input,
        StartError::Unreachable(_) => Exit::Unreachable,
    }
}

/// True if the previous process serves the admin interface at the configured address. Port 0
/// matches any port.
fn same_interface(at: &str, wanted: &Interface) -> bool {
    match wanted {
        Interface::Tcp(address) if address.port() == 0 => {
            let at: Option<SocketAddr> = at.parse().ok();
            at.is_some_and(|at| at.ip() == address.ip())
        }
        Interface::Tcp(_) | Interface::Unix(_) => at == admin_text(wanted),
    }
}

fn admin_text(at: &Interface) -> String {
    match at {
        Interface::Tcp(address) => address.to_string(),
        Interface::Unix(path) => format!("unix:{}", path.display()),
    }
}
