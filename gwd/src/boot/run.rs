//! `gwd run`: start, serve, stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::exit::Exit;
use super::options::{Resolved, RunOptions};
use crate::admin::{Admin, Interface, Token};
use crate::control::{Control, Event, Plan, StartError, Status, TrustSource};
use crate::files::read_file;
use crate::node::{Node, Settings};
use crate::telemetry::process;
use crate::telemetry::program::{self, Audit, Level, OK, event};

/// File descriptors below which a warning is due: every request needs two.
const DESCRIPTORS_LOW: u64 = 4_096;

/// Bytes of a token file.
const TOKEN_BYTES_MAX: u64 = 64 << 10;
/// How long a stop may take beyond its own times before the process ends without it.
const STUCK: Duration = Duration::from_secs(5);
/// How long a second signal waits for what it hastens.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long the last line of the log may take.
const LAST_LINE: Duration = Duration::from_millis(200);

/// Runs until told to stop.
pub(super) fn run(options: &RunOptions, resolved: &Resolved) -> Exit {
    program::set_level(resolved.log_level.level());
    if let Some(limit) = process::raise_descriptor_limit()
        && limit < DESCRIPTORS_LOW
    {
        event(
            Level::Warn,
            "few file descriptors are allowed; every request needs two",
            json!({"limit": limit, "do": "raise LimitNOFILE"}),
        );
    }
    let plan = match plan(resolved) {
        Ok(plan) => plan,
        Err((exit, why)) => {
            event(
                Level::Error,
                "gwd does not start",
                json!({"error": why, "exit": exit.code()}),
            );
            return exit;
        }
    };
    let token = match admin_token(resolved) {
        Ok(token) => token,
        Err(exit) => return exit,
    };
    let (events, inbox) = mpsc::channel();
    let draining = Arc::new(AtomicBool::new(false));
    let signals = Signals {
        events: events.clone(),
        options: options.clone(),
        stops: Arc::default(),
        draining: Arc::clone(&draining),
        stop_max: resolved.pre_stop + resolved.drain_timeout + STUCK,
    };
    let stops = match signals.watch() {
        Ok(stops) => stops,
        Err(error) => return unusable("signals cannot be watched", &error),
    };
    let node = match Node::start(settings(resolved)) {
        Ok(node) => node,
        Err(error) => return unusable("the process cannot be set up", &error),
    };
    let status = Arc::new(ArcSwap::from_pointee(Status {
        status: json!({"schema": "status/v1", "result": "ok", "ready": false}),
        bundles: json!({"schema": "bundles/v1", "result": "ok", "bundles": []}),
        ready: false,
    }));
    let admin = Admin {
        shared: Arc::clone(&node.shared),
        registry: Arc::clone(&node.registry),
        status: Arc::clone(&status),
        events: events.clone(),
        token,
        draining: Arc::clone(&draining),
    };
    // Before the first bundle: who starts a node wants to see why it is not ready.
    let admin_at = match admin.start(resolved.admin.clone()) {
        Ok(at) => at,
        Err(error) => {
            let advice = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "make the socket's folder first; it cannot be a state folder that is not there yet"
                }
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
            return Exit::Input;
        }
    };
    event(
        Level::Info,
        "the admin interface is up",
        json!({"admin": admin_text(&admin_at)}),
    );
    let control = match Control::start(plan, node, events, Arc::clone(&status)) {
        Ok(control) => control,
        Err(error) => return not_started(&error),
    };
    {
        let status = status.load();
        event(
            Level::Info,
            if status.ready { "serving" } else { "not ready" },
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "bundle": status.status["bundle"],
                "listeners": status.status["listeners"],
                "admin": admin_text(&admin_at),
                "workers": resolved.workers,
            }),
        );
    }
    let node = control.run(&inbox);
    draining.store(true, Ordering::Relaxed);
    stop(node, resolved, &stops);
    if let Interface::Unix(path) = &admin_at {
        let _gone_already = std::fs::remove_file(path);
    }
    Exit::Done
}

/// Drains (semantics.md §16): not ready at once, accepting for a while, then no more; a second
/// signal ends the waiting.
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

/// `gwd check`.
pub(super) fn check(resolved: &Resolved) -> Result<Value, (Exit, String)> {
    let plan = plan(resolved)?;
    let node = Node::start(Settings {
        workers: 1,
        access_log: crate::node::AccessLog::Off,
        ..settings(resolved)
    })
    .map_err(|error| (Exit::Input, error.to_string()))?;
    Control::check(&plan, node).map_err(|error| (exit_of(&error), error.to_string()))
}

fn settings(resolved: &Resolved) -> Settings {
    Settings {
        name: resolved.node.clone(),
        zone: resolved.zone.clone(),
        workers: resolved.workers,
        access_log: resolved.access_log.clone(),
        listen: resolved.listen.clone(),
    }
}

fn plan(resolved: &Resolved) -> Result<Plan, (Exit, String)> {
    let channel = resolved
        .channel
        .parse()
        .map_err(|error| (Exit::Usage, format!("--channel: {error}")))?;
    let trust = match (&resolved.trust, resolved.insecure_allow_unsigned) {
        (_, true) => TrustSource::Nobody,
        (Some(path), false) => TrustSource::File(path.clone()),
        (None, false) => {
            return Err((
                Exit::Untrusted,
                "no trust file, and gwd runs nothing without one; give --trust FILE (`gwc keygen` \
                 makes it)"
                    .to_owned(),
            ));
        }
    };
    Ok(Plan {
        store: resolved.store.clone(),
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

/// What signals act upon.
struct Signals {
    events: Sender<Event>,
    options: RunOptions,
    stops: Arc<AtomicU32>,
    draining: Arc<AtomicBool>,
    /// How long a stop may take.
    stop_max: Duration,
}

impl Signals {
    /// SIGTERM and SIGINT stop, a second one at once; SIGHUP reads level and log again. The
    /// process ends even while the control thread waits for something: then it is not drained.
    fn watch(self) -> std::io::Result<Arc<AtomicU32>> {
        use tokio::signal::unix::{SignalKind, signal};
        let stops = Arc::clone(&self.stops);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut term, mut int, mut hup) = {
            let _inside = runtime.enter();
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
        let patience = if first { self.stop_max } else { AT_ONCE };
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            end_undrained(who, code);
        });
    }
}

/// The control thread waits for something that does not come: a disk, a network file system.
#[expect(
    clippy::exit,
    reason = "the thread that would return the exit code does not answer"
)]
fn end_undrained(who: &'static str, code: i32) {
    // It may be the log that does not take a line any more.
    let (told, was_told) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        event(
            Level::Error,
            "ended without a drain: something that gwd waits for does not come",
            json!({"signal": who, "exit": code, "do": "check the disks and shares that it uses, and who reads its log"}),
        );
        let _ended = told.send(());
    });
    let _not_told = was_told.recv_timeout(LAST_LINE);
    std::process::exit(code);
}

fn hang_up(options: &RunOptions) {
    crate::telemetry::access_log::reopen();
    match options.resolve() {
        Ok(resolved) => {
            let before = program::level();
            program::set_level(resolved.log_level.level());
            Audit {
                what: "log-level",
                who: "SIGHUP",
                from: Some(before.as_str().to_owned()),
                to: Some(program::level().as_str().to_owned()),
                why: None,
                result: OK,
            }
            .tell("SIGHUP: log and level were read again", json!({}));
        }
        Err(error) => event(
            Level::Error,
            "SIGHUP: the options cannot be read again; nothing was changed",
            json!({"error": format!("{error:?}")}),
        ),
    }
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

fn admin_text(at: &Interface) -> String {
    match at {
        Interface::Tcp(address) => address.to_string(),
        Interface::Unix(path) => format!("unix:{}", path.display()),
    }
}
