//! Parts of gwd that must never block: the control thread, the admin interface, and a stop.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::*;
use crate::world::{Process, World, numbered};

/// Creates a named pipe without a writer.
fn pipe(path: &Path) {
    let _absent = std::fs::remove_file(path);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
}

/// Runs a `gwd` command against the gwd at this Unix socket. Returns its exit code and its output.
fn command(socket: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gwd"))
        .env_clear()
        .args(arguments)
        .arg("--admin")
        .arg(format!("unix:{}", socket.display()))
        .output()
        .unwrap();
    let output_bytes = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8(output_bytes).unwrap(),
    )
}

#[test]
fn trust_file_as_pipe_or_too_large_is_only_an_alarm() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let mut gwd = world.start();
    let path = world.path("trust.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let alarmed = || gwd.status()["alarms"] == json!(["trust-unreadable"]);
    pipe(&path);
    eventually("the alarm is raised", alarmed);
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &text).unwrap();
    eventually("the alarm ends", || gwd.status()["alarms"] == json!([]));
    let blanks = " ".repeat(2 << 20);
    std::fs::write(&path, format!("{text}{blanks}")).unwrap();
    eventually("the alarm is raised again", alarmed);
    pipe(&path);
    assert_eq!(gwd.ask("POST", "/v1/rollback", "").status, 200);
    gwd.signal(Signal::TERM);
    assert_eq!(gwd.wait().code(), Some(0));
    let output = world.fails(&mut world.trusted());
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a regular file"));
}

#[test]
fn foreign_lock_in_the_state_folder_blocks_nothing() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let path = world.path("state/index.lock");
    let file = std::fs::File::create(&path).unwrap();
    file.lock().unwrap();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    eventually("the clean-up fails", || {
        gwd.logged("cannot be cleaned up").is_some()
    });
    let began = Instant::now();
    assert_eq!(gwd.ask("POST", "/v1/rollback", "").status, 200);
    assert!(began.elapsed() < Duration::from_secs(3));
    pipe(&path);
    let three = world.release(&numbered(&upstream, 3));
    gwd.wait_for(&three);
    assert_eq!(gwd.ask("POST", "/v1/rollback", "").status, 200);
}

/// Child process that is killed when the value is dropped.
struct Running(std::process::Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Starts gwd so that its control thread blocks in the middle of an activation. Dropping the
/// returned pipe lets the thread continue.
fn hanging(start: &mut Command, activation: usize) -> (Process, std::io::PipeWriter) {
    let (stdin, go_on) = std::io::pipe().unwrap();
    start.env("GWC_FAULT", format!("activate.built:{activation}:hang"));
    (Process::spawn(start.stdin(stdin)), go_on)
}

fn hangs(gwd: &Process) {
    eventually("the control thread hangs", || {
        gwd.events().contains(&json!("hangs"))
    });
}

#[test]
fn order_without_a_waiting_client_is_not_run() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let mut start = world.trusted();
    let socket = world.path("admin.sock");
    let at = format!("unix:{}", socket.display());
    replace(&mut start, "127.0.0.1:0", &at);
    let (gwd, go_on) = hanging(&mut start, 3);
    let status = || -> Value {
        let output = command(&socket, &["status", "--format", "json"]).1;
        serde_json::from_str(&output).unwrap_or_default()
    };
    let two = world.release(&numbered(&upstream, 2));
    eventually("gwd runs bundle two", || {
        status()["bundle"] == two.to_string()
    });
    let three = world.release(&numbered(&upstream, 3));
    hangs(&gwd);
    for order in ["resume", "rollback"] {
        let (code, output) = command(&socket, &[order, "--timeout", "500ms"]);
        assert_eq!(code, Some(69), "{output}");
        assert!(output.contains("did not answer within 500ms"), "{output}");
        assert!(output.contains("--timeout"), "{output}");
    }
    // The admin interface still responds, although earlier clients have disconnected.
    assert_eq!(status()["bundle"], two.to_string());
    drop(go_on);
    eventually("gwd runs bundle three", || {
        status()["bundle"] == three.to_string()
    });
    world.release_as(&numbered(&upstream, 4), &["policy:teleport"], "rita", "ci");
    eventually("bundle four is refused", || {
        status()["last_error"]["reason"] == "needs:policy:teleport"
    });
    assert_eq!(status()["bundle"], three.to_string(), "not rolled back");
    assert!(
        gwd.logged("an admin command was cancelled: its client disconnected")
            .is_some()
    );
    gwd.kill();
}

/// Replaces the argument `old` of a command with `new`.
fn replace(command: &mut Command, old: &str, new: &str) {
    let mut fresh = Command::new(command.get_program());
    fresh.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            fresh.env(name, value);
        }
    }
    for argument in command.get_args() {
        if argument == old {
            fresh.arg(new);
        } else {
            fresh.arg(argument);
        }
    }
    *command = fresh;
}

#[test]
fn second_signal_ends_a_stuck_process() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let (mut gwd, _for_ever) = hanging(&mut world.trusted(), 2);
    world.release(&numbered(&upstream, 2));
    hangs(&gwd);
    gwd.signal(Signal::TERM);
    eventually("the first signal is received", || {
        gwd.open("/readyz").status == 503
    });
    gwd.signal(Signal::TERM);
    assert_eq!(gwd.wait().code(), Some(143));
}

#[test]
fn silent_connections_do_not_block_the_admin_api() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let idle: Vec<TcpStream> = (0..600)
        .map(|_| TcpStream::connect(gwd.admin).unwrap())
        .collect();
    for path in ["/livez", "/readyz", "/startupz"] {
        let began = Instant::now();
        assert_eq!(gwd.open(path).status, 200);
        assert!(began.elapsed() < Duration::from_secs(1), "{path}");
    }
    assert_eq!(gwd.status()["ready"], true);
    // Even the last idle connection is closed, at its timeout or earlier.
    let mut last = idle.last().unwrap();
    last.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let mut rest = Vec::new();
    let _closed = last.read_to_end(&mut rest);
}

/// A client sends requests for `/metrics` without a pause and reads all responses. Health checks
/// are answered between them.
#[test]
fn pipelined_metrics_do_not_delay_health_checks() {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let mut stream = TcpStream::connect(gwd.admin).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let answered = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let requests = "GET /metrics HTTP/1.1\r\nhost: admin\r\n\r\n".repeat(100);
            while stream.write_all(requests.as_bytes()).is_ok() {}
        });
        scope.spawn(|| {
            let mut piece = vec![0; 1 << 20];
            while let Ok(1..) = reader.read(&mut piece) {
                answered.store(true, Ordering::Relaxed);
            }
        });
        let responses = || answered.swap(false, Ordering::Relaxed);
        eventually("the responses have begun", responses);
        for path in ["/livez", "/readyz", "/startupz"].repeat(5) {
            assert_eq!(gwd.open(path).status, 200);
        }
        answered.store(false, Ordering::Relaxed);
        eventually("further responses arrive", responses);
        gwd.signal(Signal::KILL);
    });
}

#[test]
fn body_with_an_unknown_field_changes_nothing() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let two = world.release(&numbered(&upstream, 2));
    gwd.wait_for(&two);
    for (method, path, body, known) in [
        ("POST", "/v1/rollback", "{\"to\": -1}", "`bundle`"),
        ("POST", "/v1/rollback", "{\"stciky\": true}", "`sticky`"),
        ("POST", "/v1/activate", "{\"bundel\": \"abcd\"}", "`bundle`"),
        ("POST", "/v1/resume", "{\"bundle\": \"abcd\"}", "no fields"),
        ("POST", "/v1/drain", "{\"timeout\": 1}", "no fields"),
        ("POST", "/v1/notify", "{\"x\": 1}", "no fields"),
        ("POST", "/v1/explain", "{\"uri\": \"http://h/\"}", "`url`"),
        ("PUT", "/v1/log-level", "{\"lvl\": \"debug\"}", "`level`"),
        ("POST", "/v1/rollback", "[-1]", "JSON object"),
    ] {
        let refused = gwd.ask(method, path, body);
        assert_eq!(refused.status, 400, "{path} {body}: {}", refused.text());
        let message = refused.json()["error"]["message"].to_string();
        assert!(message.contains(known), "{path} {body}: {message}");
    }
    assert!(gwd.runs(&two));
    assert_eq!(gwd.open("/readyz").status, 200);
}

#[test]
fn command_exit_code_names_the_kind_of_failure() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secret = world.path("secrets").canonicalize().unwrap().join("token");
    std::fs::write(&secret, "hunter2").unwrap();
    let mut edited = shop(upstream.address, vec![op("GET", "/a").policy("edits")]);
    edited.policies = vec![edits_from("edits", &secret)];
    let mut start = world.trusted();
    let socket = world.path("admin.sock");
    replace(
        &mut start,
        "127.0.0.1:0",
        &format!("unix:{}", socket.display()),
    );
    start.args(["--keep", "1"]);
    let one = world.release(&edited.gateway());
    let gwd = Running::start(start.stderr(std::process::Stdio::null()));
    let json = |arguments: &[&str]| -> (Option<i32>, Value) {
        let (code, output) = command(&socket, &[arguments, &["--format", "json"]].concat());
        (code, serde_json::from_str(&output).unwrap_or_default())
    };
    let runs = |bundle: String| json(&["status"]).1["bundle"] == bundle;
    eventually("gwd runs bundle one", || runs(one.to_string()));
    let failure = |arguments: &[&str]| {
        let (code, output) = json(arguments);
        let reason = output["error"]["code"].as_str().unwrap_or("-").to_owned();
        (code.unwrap_or(-1), reason)
    };
    assert_eq!(failure(&["rollback"]), (65, "nothing-before".to_owned()));
    assert_eq!(
        failure(&["activate", "0000"]),
        (65, "bundle-not-here".to_owned())
    );
    assert_eq!(failure(&["activate", "zz"]), (64, "bad-request".to_owned()));
    let two = world.release(&numbered(&upstream, 2));
    eventually("gwd runs bundle two", || runs(two.to_string()));
    std::fs::remove_file(&secret).unwrap();
    // Restart gwd: the version is no longer in memory, so that its activation must read the secret
    // again.
    drop(gwd);
    let _gwd = Running::start(&mut start);
    eventually("gwd runs bundle two again", || runs(two.to_string()));
    assert_eq!(failure(&["rollback"]), (5, "secret-missing".to_owned()));
    std::fs::write(&secret, "hunter2").unwrap();
    let manifest = world.path("state/blobs/sha256").join(one.hex());
    std::fs::write(manifest, "damaged").unwrap();
    assert_eq!(failure(&["rollback"]), (4, "bad-digest".to_owned()));
}
