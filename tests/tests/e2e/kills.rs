//! Crash tests of `gwc apply`, `gwc gc` and gwd. Half of the kills (`kill -9`) happen at fault
//! points, half at random moments.
//!
//! Each program is killed at least 30 times (100 with `GWC_TEST_FULL`), and at every fault point at
//! least once. The test checks all files after each kill. `GWC_TEST_SEED` repeats the random
//! moments.

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use e2e::audit::{self, Audit};
use e2e::binaries;
use e2e::gateway::{Gateway, Options};
use e2e::process::{self, Random};
use e2e::project::Project;
use e2e::wait;

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: which version answers, version: \"1\"}
paths:
  /version: {get: {operationId: version, x-gateway: {public: true, policies: [say]}, responses: {}}}
";

fn gateway(version: usize) -> String {
    format!(
        "version: 1\nname: kills\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:1\"}}}}}}}}\n\
         policies: {{say: {{kind: respond, status: 200, body: v{version}}}}}\n\
         defaults: {{upstream: u}}\n"
    )
}

fn released() -> Project {
    let project = Project::with(&gateway(1), DOCUMENT);
    project.keygen();
    project.apply();
    project
}

/// Table of fault points. Each row: name of the point, and the passes (from 1) at which the program
/// is killed.
type Points = &'static [(&'static str, &'static [u32])];

/// Fault points of `gwc apply`, which makes four transactions: bundle, source artifact, build
/// statement, and record with its link.
const APPLY: Points = &[
    ("store.temporary.created", &[1, 4, 8]),
    ("store.temporary.written", &[1, 8]),
    ("store.temporary.synced", &[1, 8]),
    ("store.blob.renamed", &[1, 2, 7]),
    ("store.blobs.synced", &[1, 4]),
    ("store.link.due", &[1]),
    ("store.link.linked", &[1]),
    ("store.folder.synced", &[1, 4]),
    ("store.index.written", &[1, 3]),
    ("store.index.renamed", &[1, 3]),
    ("apply.bundle.put", &[1]),
    ("apply.record.signed", &[1]),
    ("apply.record.linked", &[1]),
];

const GC: Points = &[
    ("store.sweep.removed", &[1, 2, 3, 6, 9, 12, 15]),
    ("store.temporary.created", &[1]),
    ("store.index.written", &[1]),
    ("store.index.renamed", &[1]),
];

/// Fault points of gwd, which builds one bundle at its start and one after a release.
const GWD: Points = &[
    ("store.temporary.created", &[1, 4, 8]),
    ("store.temporary.written", &[1, 6]),
    ("store.temporary.synced", &[1, 6]),
    ("store.blob.renamed", &[1, 5]),
    ("store.blobs.synced", &[1]),
    ("store.link.due", &[1]),
    ("store.link.linked", &[1]),
    ("store.file.renamed", &[1]),
    ("store.folder.synced", &[1]),
    ("store.index.written", &[1]),
    ("store.index.renamed", &[1]),
    ("activate.built", &[1, 2]),
    ("activate.persisted", &[1, 2]),
    ("activate.published", &[1, 2]),
];

/// Moment at which a program is killed.
#[derive(Clone, Debug)]
enum Kill {
    At(String),
    /// After this fraction, in thousandths, of the program's usual duration.
    After(u64),
}

/// Kills at each listed pass of each fault point, and the same number of kills at random moments.
fn kills(points: Points, random: &mut Random) -> Vec<Kill> {
    let named: Vec<String> = points
        .iter()
        .flat_map(|(name, passings)| passings.iter().map(move |nth| format!("{name}:{nth}:kill")))
        .collect();
    let half = (if prerequisite::is_full() { 50 } else { 15 }).max(named.len());
    let named = named.iter().cycle().take(half);
    named
        .map(|fault| Kill::At(fault.clone()))
        .chain((0..half).map(|_| Kill::After(random.below(1_000))))
        .collect()
}

/// Runs a command and kills it as `kill` specifies. Returns true if the command was killed, and
/// false if it ended by itself. A command that ends by itself updates `usual`, the usual duration.
fn run(command: &mut Command, kill: &Kill, usual: &mut Duration) -> bool {
    match kill {
        Kill::At(fault) => {
            let mut child = process::start(command.env("GWC_FAULT", fault));
            let killed = ended(&mut child);
            assert!(
                killed,
                "{fault}: the point was not passed so often: {command:?}"
            );
            true
        }
        Kill::After(part) => {
            let began = Instant::now();
            let mut child = process::start(command);
            let moment = *usual * u32::try_from(*part).expect("small") / 1_000;
            while began.elapsed() < moment {
                if child.try_wait().expect("it is our child").is_some() {
                    *usual = began.elapsed();
                    return false;
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            let _or_it_has_ended = child.kill();
            ended(&mut child)
        }
    }
}

fn ended(child: &mut Child) -> bool {
    let mut status = None;
    wait::until("the program ends", || {
        status = child.try_wait().expect("it is our child");
        status
    });
    status.is_some_and(|status| status.code().is_none())
}

fn apply(project: &Project) -> Command {
    let mut command = project.command();
    command.args(["apply", "--key", "keys/release.pem", "--yes"]);
    command
}

/// Checks that `gwc history` verifies the record chain back to the first record.
#[track_caller]
fn history_verifies(project: &Project, head: u64) {
    let history = project.gwc(&["history", "--format", "json"]);
    let history = history.succeeds().json();
    assert_eq!(history["result"], "ok", "{history:#}");
    let records = history["records"].as_array().expect("records");
    assert_eq!(records.len() as u64, head, "{history:#}");
}

#[test]
fn the_tables_here_have_every_point() {
    let source = binaries::workspace().join("crates/fault/src/lib.rs");
    let source = std::fs::read_to_string(source).expect("the source");
    let behind = source
        .split("POINTS: &[&str] = &[")
        .nth(1)
        .expect("a table");
    let table = behind.split("];").next().expect("it ends");
    // gwd's own tests cover the fault points `exchange.*` and `worker.*`.
    let table = table.split('"').skip(1).step_by(2);
    let table: BTreeSet<&str> = table
        .filter(|name| !name.starts_with("exchange.") && !name.starts_with("worker."))
        .collect();
    let tested = [APPLY, GC, GWD].concat();
    let tested: BTreeSet<&str> = tested.iter().map(|(name, _)| *name).collect();
    assert_eq!(tested, table);
}

#[test]
fn apply_may_be_killed_anywhere() {
    let mut random = Random::new("apply");
    let project = released();
    let store = project.path("releases");
    let began = Instant::now();
    project.write("gateway.yaml", gateway(2));
    project.apply();
    let mut usual = began.elapsed();
    let mut before = Audit::of(&store, "prod", 20);
    let mut killed = 0;
    let mut version = 2;
    for kill in &kills(APPLY, &mut random) {
        loop {
            version += 1;
            project.write("gateway.yaml", gateway(version));
            if run(&mut apply(&project), kill, &mut usual) {
                break;
            }
            before = Audit::of(&store, "prod", 2);
        }
        killed += 1;
        let after = Audit::of(&store, "prod", 2);
        for (serial, bundle) in &before.records {
            assert_eq!(
                after.records.get(serial),
                Some(bundle),
                "{kill:?}: serial {serial} is lost"
            );
        }
        assert!(after.head() <= before.head() + 1, "{kill:?}");
        history_verifies(&project, after.head());
        // The next apply succeeds. It moves the channel if the killed apply did not.
        let bundle = project.apply();
        let next = Audit::of(&store, "prod", 2);
        assert_eq!(next.head(), before.head() + 1, "{kill:?}");
        assert_eq!(next.records[&next.head()], bundle);
        before = next;
    }
    // A `gwc apply` without changes writes nothing. The next apply that writes a manifest repairs
    // the index.
    project.write("gateway.yaml", gateway(0));
    project.apply();
    Audit::of(&store, "prod", 20).check_index(&store);
    eprintln!("{killed} kills of gwc apply");
}

#[test]
fn gc_may_be_killed_anywhere() {
    let mut random = Random::new("gc");
    let project = released();
    for version in 2..=5 {
        project.write("gateway.yaml", gateway(version));
        project.apply();
    }
    let (store, aside) = (project.path("releases"), project.path("aside"));
    audit::age(&store);
    shell(&project, "cp -a releases aside");
    let gc = || {
        let mut command = project.command();
        command.args(["gc", "--keep", "2"]);
        command
    };
    let began = Instant::now();
    project.gwc(&["gc", "--keep", "2"]).succeeds();
    let mut usual = began.elapsed();
    let clean = Audit::of(&store, "prod", 2);
    clean.check_index(&store);
    assert!(clean.blobs.len() < Audit::of(&aside, "prod", 5).blobs.len());
    let mut killed = 0;
    for kill in kills(GC, &mut random) {
        shell(&project, "rm -rf releases && cp -a aside releases");
        while !run(&mut gc(), &kill, &mut usual) {
            shell(&project, "rm -rf releases && cp -a aside releases");
        }
        killed += 1;
        let after = Audit::of(&store, "prod", 2);
        assert_eq!(after.records, clean.records, "{kill:?}");
        history_verifies(&project, 5);
        project.gwc(&["verify", &clean.records[&5]]).succeeds();
        // The next clean-up completes the interrupted clean-up.
        project.gwc(&["gc", "--keep", "2"]).succeeds();
        let next = Audit::of(&store, "prod", 2);
        assert_eq!(next, clean, "{kill:?}");
        next.check_index(&store);
    }
    project.write("gateway.yaml", gateway(6));
    project.apply();
    eprintln!("{killed} kills of gwc gc");
}

#[test]
fn gwd_may_be_killed_anywhere() {
    let mut random = Random::new("gwd");
    let project = released();
    let (store, hidden) = (project.path("releases"), project.path("hidden"));
    let state = project.path("state");
    let options = Options::of(&project).state(&state).workers(1);
    drop(options.start());
    let mut known = 1;
    let mut killed = 1;
    for (n, kill) in kills(GWD, &mut random).iter().enumerate() {
        let mut gateway = match kill {
            Kill::At(fault) => options.clone().variable("GWC_FAULT", fault).spawn(),
            Kill::After(_) => options.spawn(),
        };
        // gwd that is killed during its clean-up may leave files for the next start to remove.
        gateway.wait_ready_or_end();
        project.write("gateway.yaml", self::gateway(n + 2));
        project.apply();
        // gwd finds the new channel record without a notification from gwc.
        match kill {
            Kill::At(_) => assert_eq!(gateway.wait_end(), None, "{kill:?}"),
            Kill::After(part) => std::thread::sleep(Duration::from_micros(60 * part)),
        }
        drop(gateway);
        killed += 1;

        // The state folder is intact, and gwd can run from it without the store.
        let releases = Audit::of(&store, "prod", 1);
        let kept = Audit::of(&state, "prod", 0);
        let head = releases.head();
        assert!(
            kept.head() >= known,
            "{kill:?}: an accepted record is forgotten"
        );
        std::fs::rename(&store, &hidden).expect("the store can be hidden");
        let gateway = options.start();
        let status = gateway.status();
        let serial = status["serial"].as_u64().expect("a serial");
        assert!(serial == head || serial == known, "{kill:?}: {status:#}");
        assert_eq!(
            status["bundle"],
            releases.records[&serial].as_str(),
            "{kill:?}"
        );
        if is_after_persisting(kill) {
            assert_eq!(serial, head, "{kill:?}");
        }
        answers(&gateway);

        // When the store is available again, gwd follows the store to the newest record.
        std::fs::rename(&hidden, &store).expect("the store can be shown");
        gateway.notify();
        gateway.wait_bundle(&releases.records[&head]);
        assert_eq!(Audit::of(&state, "prod", 0).head(), head);
        known = head;
    }
    assert_eq!(Audit::of(&store, "prod", 20).head(), known);
    options.start().stops_clean();
    eprintln!("{killed} kills of gwd");
}

#[test]
fn loading_an_earlier_version_persists_nothing() {
    let project = released();
    let options = Options::of(&project)
        .state(&project.path("state"))
        .workers(1);
    let gateway = options.start();
    project.write("gateway.yaml", self::gateway(2));
    gateway.wait_bundle(&project.apply());
    drop(gateway);

    // The start passes the point once. Two seconds later gwd loads the first version, so that a
    // rollback to it needs no disk access.
    let fault = "activate.persisted:2:kill";
    let mut gateway = options.variable("GWC_FAULT", fault).spawn();
    gateway.wait_ready_or_end();
    wait::until("both versions are in memory", || {
        let status = gateway.status();
        let resident = status["resident"].as_array().map(Vec::len);
        (resident == Some(2)).then_some(())
    });
    project.write("gateway.yaml", self::gateway(3));
    project.apply();
    assert_eq!(gateway.wait_end(), None, "the release is the second pass");
}

/// True if gwd has written the new bundle to its history before the kill. gwd passes these fault
/// points for the first time at its start, so only the second pass counts.
fn is_after_persisting(kill: &Kill) -> bool {
    let after = ["activate.persisted:2", "activate.published:2"];
    matches!(kill, Kill::At(fault) if after.iter().any(|point| fault.starts_with(point)))
}

#[track_caller]
fn answers(gateway: &Gateway) {
    let response = gateway.ask("GET /version HTTP/1.1\nhost: h");
    assert_eq!(response.status, 200, "{}", gateway.log());
}

fn shell(project: &Project, line: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(project.root());
    assert!(
        command.status().is_ok_and(|status| status.success()),
        "{line}"
    );
}
