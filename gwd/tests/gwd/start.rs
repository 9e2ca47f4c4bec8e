//! Start and stop: exit codes, options, signals.

use rustix::process::Signal;

use crate::fixture::*;
use crate::world::{Process, World};

fn gateway(upstream: &Upstream) -> bundle::ir::Gateway {
    shop(upstream.address, vec![op("GET", "/a")]).gateway()
}

#[test]
fn exit_codes_identify_the_cause_of_a_failed_start() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let code = |command: &mut std::process::Command| {
        let output = world.fails(command);
        (
            output.status.code().unwrap(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (exit, stderr) = code(&mut world.command());
    assert_eq!(exit, 4, "{stderr}");
    assert!(stderr.contains("no trust file"), "{stderr}");
    let (exit, _) = code(world.command().args(["--trust", "/nowhere/trust.json"]));
    assert_eq!(exit, 4);
    let (exit, _) = code(world.trusted().arg("--nonsense"));
    assert_eq!(exit, 64);
    let (exit, _) = code(world.trusted().args(["--listen", "public"]));
    assert_eq!(exit, 64);
    for name in ["", "a\nbundle     sha256:0"] {
        let mut command = world.command_of(name, "state");
        let trust = world.path("trust.json");
        let (exit, stderr) = code(command.arg("--trust").arg(trust));
        assert_eq!(exit, 64, "{stderr}");
        assert!(stderr.contains("no control characters"), "{stderr}");
    }
    let (exit, _) = code(world.trusted().args(["--config", "/nowhere/gwd.toml"]));
    assert_eq!(exit, 65);
    let (exit, stderr) = code(world.trusted().args(["--store", "/nowhere/store"]));
    assert_eq!(exit, 64, "given twice: {stderr}");
    std::fs::rename(world.path("store"), world.path("elsewhere")).unwrap();
    let (exit, stderr) = code(&mut world.trusted());
    assert_eq!(exit, 69, "{stderr}");
    std::fs::rename(world.path("elsewhere"), world.path("store")).unwrap();
    world.release_as(&gateway(&upstream), &[], "mallory", "ci");
    let (exit, stderr) = code(&mut world.trusted());
    assert_eq!(exit, 4, "{stderr}");
    assert!(stderr.contains("unknown-key"), "{stderr}");
}

#[test]
fn one_process_per_state_folder() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let _first = world.start();
    let output = world.fails(&mut world.trusted());
    assert_eq!(output.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another gwd"));
}

#[test]
fn unsigned_bundles_run_only_with_an_explicit_option() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release_as(&gateway(&upstream), &[], "mallory", "mallory");
    let gwd = Process::spawn(world.command().arg("--insecure-allow-unsigned"));
    assert!(gwd.runs(&one));
    assert_eq!(gwd.status()["insecure_allow_unsigned"], true);
    assert_eq!(gwd.metric("gwd_insecure_allow_unsigned", &[]), 1.0);
    assert!(gwd.logged("INSECURE").is_some());
}

#[test]
fn a_signal_drains_and_a_second_one_ends_at_once() {
    let (proceed, wait) = gate();
    let (arrived, there) = std::sync::mpsc::channel();
    let upstream = Upstream::start(move |_, stream| {
        arrived.send(()).unwrap();
        let _ends_with_the_test = wait.lock().unwrap().recv();
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let world = World::new();
    world.release(&gateway(&upstream));
    let mut gwd = world.start();
    let mut busy = Client::connect(gwd.public());
    busy.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    there.recv().unwrap();
    gwd.signal(Signal::TERM);
    eventually("/readyz fails", || gwd.open("/readyz").status == 503);
    assert_eq!(gwd.open("/livez").status, 200);
    proceed.send(()).unwrap();
    assert_eq!(busy.answer().text(), "ok");
    assert_eq!(gwd.wait().code(), Some(0));

    let mut gwd = world.start();
    let mut busy = Client::connect(gwd.public());
    busy.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    there.recv().unwrap();
    gwd.signal(Signal::TERM);
    eventually("/readyz fails", || gwd.open("/readyz").status == 503);
    gwd.signal(Signal::TERM);
    assert_eq!(gwd.wait().code(), Some(0));
    let stopped = gwd.logged("stopped").unwrap();
    assert_eq!(stopped["forced_closes"], 1);
}

#[test]
fn connections_are_accepted_during_the_drain_delay() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let mut command = world.trusted();
    command.env("GWD_DRAIN_TIMEOUT", "1s");
    let config = world.path("gwd.toml");
    std::fs::write(&config, "keep = 3\n").unwrap();
    command.arg("--config").arg(&config);
    let mut gwd = Process::spawn(command.args(["--pre-stop", "60s"]));
    let public = gwd.public();
    gwd.signal(Signal::TERM);
    eventually("/readyz fails", || gwd.open("/readyz").status == 503);
    assert_eq!(
        get(public, "/a").status,
        200,
        "load balancers need a moment to notice"
    );
    gwd.signal(Signal::TERM);
    assert_eq!(gwd.wait().code(), Some(0));
}

#[test]
fn check_reports_what_would_run_and_binds_nothing() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener = listener("public", &taken.local_addr().unwrap().to_string());
    let one = world.release(&shop.gateway());
    let check = || world.check();
    let output = check();
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checked["schema"], "check/v1");
    assert_eq!(checked["result"], "ok");
    assert_eq!(checked["bundle"], one.to_string());
    assert_eq!(checked["routes"], 1);
    assert_eq!(output.status.code(), Some(0));
    assert!(!world.path("no-state").exists());
    world.release_as(&shop.gateway(), &[], "mallory", "ci");
    let output = check();
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(
        (&checked["result"], &checked["error"]["exit"]),
        (&"error".into(), &4.into())
    );
}

#[test]
fn a_process_killed_at_any_moment_starts_again() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let mut last = world.release(&gateway(&upstream));
    for round in 0..6u64 {
        let gwd = world.start();
        assert!(gwd.runs(&last), "{}", gwd.status());
        let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
        shop.upstreams[0].connect_timeout_ms += round + 1;
        last = world.release(&shop.gateway());
        std::thread::park_timeout(std::time::Duration::from_micros(700 * round));
        gwd.kill();
    }
}

#[test]
fn help_has_examples_and_every_option_is_a_variable() {
    let help = |command: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gwd"))
            .args([command, "--help"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let run = help("run");
    assert!(run.contains("Examples:"), "{run}");
    for line in run
        .lines()
        .filter(|line| line.trim_start().starts_with("--"))
    {
        let option = line.trim_start()[2..]
            .split([' ', '[', '='])
            .next()
            .unwrap();
        if matches!(option, "format" | "help" | "version") {
            continue;
        }
        let variable = format!("GWD_{}", option.replace('-', "_").to_uppercase());
        assert!(run.contains(&variable), "{variable}: {run}");
    }
    assert!(help("rollback").contains("-1"));
}

#[test]
fn listeners_can_be_moved_and_names_are_resolved() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener = listener("public", &taken.local_addr().unwrap().to_string());
    let mut target = shop.upstreams[0].targets[0].clone();
    target.host = "localhost".into();
    shop.upstreams[0].targets = bundle::ir::Set::new(vec![target]).unwrap();
    world.release(&shop.gateway());
    let gwd = Process::spawn(world.trusted().args(["--listen", "public=127.0.0.1:0"]));
    assert_eq!(get(gwd.public(), "/a").status, 200);
    drop(gwd);
    let gwd = Process::spawn(&mut world.trusted());
    assert_eq!(gwd.status()["last_error"]["reason"], "port-busy");
    assert_eq!(
        gwd.status()["bundle"].as_str(),
        None,
        "the busy port is waited for"
    );
    drop(taken);
    eventually("gwd is ready once the port is free", || {
        gwd.status()["ready"] == true
    });
}

#[test]
fn first_start_on_a_port_that_stays_busy_ends() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let address = taken.local_addr().unwrap().to_string();
    shop.listener = listener("public", &address);
    world.release(&shop.gateway());
    let mut gwd = Process::spawn(&mut world.trusted());
    assert_eq!(gwd.wait().code(), Some(69));
    let cause = format!("cannot listen on {address}: another process uses this address");
    let refused = gwd.logged("a bundle was refused; this node serves nothing yet");
    let refused = refused.expect("the refusal is logged");
    assert_eq!(refused["error"], cause);
    let advice = refused["do"].as_str().unwrap();
    assert!(advice.contains("--listen NAME=ADDR"), "{advice}");
    let line = gwd.logged("gwd does not start: it cannot listen on an address");
    assert_eq!(line.expect("the end is logged")["error"], cause);
}

/// Command line of the shell that runs a command with its environment.
fn shell_line(command: &std::process::Command) -> String {
    let quoted = |text: &std::ffi::OsStr| {
        let text = text.to_str().unwrap();
        assert!(!text.contains('\''), "{text}");
        format!("'{text}'")
    };
    let variables = command.get_envs().filter_map(|(name, value)| {
        let name = name.to_str().unwrap();
        Some(format!("{name}={}", quoted(value?)))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let parts: Vec<String> = variables.chain(words.map(quoted)).collect();
    parts.join(" ")
}

/// Starts a gwd that cannot listen on its address and returns the first line of its log.
fn line_of_failed_start(terminal: bool, format: Option<&str>) -> String {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener = listener("public", &taken.local_addr().unwrap().to_string());
    world.release(&shop.gateway());
    let mut command = world.trusted();
    command.args(format.map(|name| ["--log-format", name]).iter().flatten());
    let output = match terminal {
        true => {
            let line = shell_line(&command);
            let mut script = std::process::Command::new("script");
            let output = script.args(["-qec", &line, "/dev/null"]).output();
            output.unwrap().stdout
        }
        false => command.output().unwrap().stderr,
    };
    let log = String::from_utf8(output).unwrap();
    let line = log.lines().find(|line| line.contains(NOT_STARTED));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    line.trim_end().to_owned()
}

/// Message of a gwd that cannot listen on its address.
const NOT_STARTED: &str = "gwd does not start: it cannot listen on an address";

#[test]
fn log_is_text_on_a_terminal_and_json_elsewhere() {
    let has_terminal = prerequisite::program("script");
    let check = |(terminal, format, is_text): (bool, Option<&str>, bool)| {
        let line = line_of_failed_start(terminal, format);
        let case = format!("terminal {terminal}, {format:?}: {line}");
        match is_text {
            true => assert!(line.contains(&format!("Z error {NOT_STARTED} ")), "{case}"),
            false => {
                let event: serde_json::Value = serde_json::from_str(&line).expect(&case);
                assert_eq!(event["message"], NOT_STARTED, "{case}");
            }
        }
        assert!(!line.contains('\u{1b}'), "{case}");
    };
    let cases = [
        (false, None, false),
        (false, Some("human"), true),
        (true, None, true),
        (true, Some("json"), false),
    ];
    // gwd tries for 10s to listen, so the cases run at the same time.
    std::thread::scope(|scope| {
        for case in cases.into_iter().filter(|case| has_terminal || !case.0) {
            scope.spawn(move || check(case));
        }
    });
}

#[test]
fn a_rotated_access_log_is_opened_again() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let log = world.path("access.log");
    let gwd = Process::spawn(world.trusted().arg("--access-log").arg(&log));
    let public = gwd.public();
    let lines = |path: &std::path::Path| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .lines()
            .count()
    };
    get(public, "/a");
    eventually("the request is logged", || lines(&log) == 1);
    let old = world.path("access.log.1");
    std::fs::rename(&log, &old).unwrap();
    gwd.signal(Signal::HUP);
    eventually("SIGHUP is logged", || gwd.logged("SIGHUP").is_some());
    get(public, "/a");
    eventually("the request is in the new file", || lines(&log) == 1);
    assert_eq!(lines(&old), 1);
}

#[test]
fn drain_does_not_wait_for_clients_that_never_spoke() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let mut gwd = world.start();
    let _silent: Vec<Client> = (0..20).map(|_| Client::connect(gwd.public())).collect();
    eventually("all connections are accepted", || {
        gwd.metric("gwd_downstream_connections", &[]) >= 20.0
    });
    let began = std::time::Instant::now();
    gwd.signal(Signal::TERM);
    assert_eq!(gwd.wait().code(), Some(0));
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    let stopped = gwd.logged("stopped").unwrap();
    assert_eq!(stopped["forced_closes"], 0);
}
