//! Tests of faults of the disk and of other writers. Files are never left half-written, and each
//! fault is reported.
//!
//! Where the system permits it, the tests use real full and read-only file systems (`unshare -rm`,
//! tmpfs). On other systems the tests inject faults instead, and report the skipped part.

use std::path::Path;
use std::process::{Child, Command};

use e2e::audit::{Audit, age};
use e2e::gateway::Options;
use e2e::process;
use e2e::project::{Ended, Project};
use e2e::wait;

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: which version answers, version: \"1\"}
paths:
  /version: {get: {operationId: version, x-gateway: {public: true, policies: [say]}, responses: {}}}
";

const APPLY: [&str; 4] = ["apply", "--key", "keys/release.pem", "--yes"];

fn gateway(version: &str) -> String {
    format!(
        "version: 1\nname: faults\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:1\"}}}}}}}}\n\
         policies: {{say: {{kind: respond, status: 200, body: {version}}}}}\n\
         defaults: {{upstream: u}}\n"
    )
}

fn released() -> Project {
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    project.apply();
    project
}

fn change(project: &Project, version: &str) {
    project.write("gateway.yaml", gateway(version));
}

fn audit(project: &Project) -> Audit {
    Audit::of(&project.path("releases"), "prod", 20)
}

/// Starts gwc with an injected fault.
fn start(project: &Project, arguments: &[&str], fault: &str) -> Child {
    let mut command = project.command();
    process::start(command.args(arguments).env("GWC_FAULT", fault))
}

fn end(child: Child) -> Ended {
    let output = child.wait_with_output().expect("it is our child");
    Ended::from_output("gwc".to_owned(), &output)
}

fn with_fault(project: &Project, fault: &str) -> Ended {
    end(start(project, &APPLY, fault))
}

/// Runs a shell script as root in new user and mount namespaces. `None` if the system does not
/// permit new namespaces.
fn unshared(project: &Project, script: &str) -> Option<Ended> {
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["-rm", "sh", "-euc", script])
            .current_dir(project.root());
        command
            .env("GWC", e2e::binaries::gwc())
            .env("NO_COLOR", "1");
        Ended::of(&mut command)
    };
    let permitted = Command::new("unshare").arg("--version").output().is_ok()
        && run("mkdir -p probe; mount -t tmpfs -o size=64k none probe").code == Some(0);
    if !permitted {
        prerequisite::skip("`unshare -rm` is not permitted: no file system of its own");
    }
    permitted.then(|| run(script))
}

#[test]
fn full_disk_is_reported_and_leaves_the_store_whole() {
    let project = released();
    // The file system of the store has 5 MB. In each round, the script fills the file system and
    // leaves some free space.
    let script = "
        cp -a releases origin
        mount -t tmpfs -o size=5m none releases
        cp -a origin/. releases/
        failed=0
        for free in 0 4 8 12 16 24 32 48; do
            sed -i \"s/body: .*}}/body: full$free}}/\" gateway.yaml
            dd if=/dev/zero of=releases/.tmp-filler bs=4096 2>/dev/null || true
            truncate -s -${free}K releases/.tmp-filler
            code=0
            $GWC apply --key keys/release.pem --yes >out 2>&1 || code=$?
            if [ $code != 0 ]; then
                [ $code = 69 ] && grep -q 'No space left on device' out || { cat out; exit 1; }
                failed=$((failed + 1))
            fi
            rm releases/.tmp-filler
            $GWC history >/dev/null
            $GWC apply --key keys/release.pem --yes >out 2>&1 || { cat out; exit 1; }
        done
        echo $failed failed
        cp -a releases back";
    if let Some(ended) = unshared(&project, script) {
        let failed = ended
            .succeeds()
            .stdout
            .split(' ')
            .next()
            .and_then(|n| n.parse::<u32>().ok());
        assert!(failed.is_some_and(|failed| failed >= 2), "{ended}");
        let back = Audit::of(&project.path("back"), "prod", 20);
        assert_eq!(back.head(), 9, "each change is there once");
        back.check_index(&project.path("back"));
    }
}

#[test]
fn failed_operation_is_reported_and_next_apply_works() {
    let project = released();
    let errors = [
        ("enospc", "No space left on device"),
        ("erofs", "Read-only file system"),
        ("eio", "Input/output error"),
    ];
    let points = [
        "store.temporary.created",
        "store.temporary.written",
        "store.temporary.synced",
        "store.blob.renamed",
        "store.blobs.synced",
        "store.link.linked",
    ];
    let mut cases: Vec<(String, &str)> = Vec::new();
    for (at, point) in points.iter().enumerate() {
        // The first fault point gets every kind of error. Each other point gets one error.
        for (error, message) in errors
            .iter()
            .cycle()
            .skip(at)
            .take(if at == 0 { 3 } else { 1 })
        {
            cases.push((format!("{point}:1:{error}"), message));
        }
    }
    for (n, (fault, message)) in cases.iter().enumerate() {
        change(&project, &format!("v{}", n + 2));
        let before = audit(&project).head();
        let failed = with_fault(&project, fault);
        assert!(
            failed.exits(69).stderr.contains(message),
            "{fault}: {failed}"
        );
        // A fault after the creation of the link is an error, because the link may not be durable.
        // The channel has moved anyway.
        let moved = u64::from(fault.starts_with("store.link"));
        assert_eq!(audit(&project).head(), before + moved, "{fault}");
        project.apply();
        assert_eq!(audit(&project).head(), before + 1, "{fault}");
    }
    // A failure to write derived files is ignored: the channel has moved, and gwc reports that.
    change(&project, "derived");
    let before = audit(&project).head();
    with_fault(&project, "store.index.written:3:enospc").succeeds();
    assert_eq!(audit(&project).head(), before + 1);
    change(&project, "next");
    project.apply();
    audit(&project).check_index(&project.path("releases"));
}

#[test]
fn file_system_without_hard_links_is_reported() {
    let project = released();
    change(&project, "v2");
    let failed = with_fault(&project, "store.link.due:1:enotsup");
    failed.exits(69);
    let stderr = &failed.stderr;
    assert!(
        stderr.contains("hard links") && stderr.contains("another file system"),
        "{failed}"
    );
    assert_eq!(audit(&project).head(), 1);
}

#[test]
fn a_read_only_store_can_be_read_and_not_written() {
    let project = released();
    let id = audit(&project).records[&1].clone();
    change(&project, "v2");
    let script = format!(
        "
        mount --bind releases releases
        mount -o remount,ro,bind releases
        $GWC history
        $GWC plan
        $GWC verify {}
        $GWC gc --dry-run
        for command in 'apply --key keys/release.pem --yes' 'build' 'gc'; do
            code=0
            $GWC $command >out 2>&1 || code=$?
            [ $code = 69 ] && grep -q 'Read-only file system' out || {{ echo $command; cat out; exit 1; }}
        done",
        &id["sha256:".len()..][..12],
    );
    if let Some(ended) = unshared(&project, &script) {
        ended.succeeds();
    }
    assert_eq!(audit(&project).head(), 1);
}

#[test]
fn release_that_cannot_be_stored_waits_until_it_can() {
    for fault in [
        "store.temporary.created:1:enospc",
        "store.temporary.written:1:erofs",
        "store.blobs.synced:1:eio",
        "store.file.renamed:1:eio",
    ] {
        let project = released();
        let state = project.path("state");
        let options = Options::of(&project).state(&state);
        drop(options.start());
        let gateway = options.clone().variable("GWC_FAULT", fault).start();
        change(&project, "v2");
        let second = project.apply();
        // The failure has a temporary cause, so gwd retries.
        gateway.wait_bundle(&second);
        let log = gateway.log();
        assert!(
            log.contains("\"reason\":\"state-not-durable\""),
            "{fault}: {log}"
        );
        let failed = gateway.metrics().sum(
            "gwd_bundle_activations_total",
            &["result=\"failed\"", "reason=\"state-not-durable\""],
        );
        assert!(failed >= 1.0);
        gateway.stops_clean();
        assert_eq!(Audit::of(&state, "prod", 0).head(), 2);
    }
}

#[test]
fn store_lost_during_apply_is_reported_not_recreated() {
    for point in [
        "apply.bundle.put",
        "apply.record.signed",
        "store.temporary.synced",
    ] {
        let project = released();
        change(&project, "v2");
        let child = start(&project, &APPLY, &format!("{point}:1:stop"));
        process::wait_stopped(&child);
        std::fs::remove_dir_all(project.path("releases")).expect("the store can be removed");
        process::go_on(&child);
        let failed = end(child);
        assert!(
            failed.exits(69).stderr.contains("No such file"),
            "{point}: {failed}"
        );
        assert!(!project.path("releases").exists(), "{point}");
        project.apply();
        assert_eq!(audit(&project).head(), 1, "{point}");
    }
}

#[test]
fn second_writer_fails_because_the_channel_moved() {
    for point in [
        "apply.bundle.put",
        "apply.record.signed",
        "store.blobs.synced",
    ] {
        let project = released();
        change(&project, "v2");
        let child = start(&project, &APPLY, &format!("{point}:1:stop"));
        process::wait_stopped(&child);
        change(&project, "v3");
        let third = project.apply();
        process::go_on(&child);
        let lost = end(child);
        assert!(
            lost.exits(3)
                .stderr
                .contains("another process moved the channel meanwhile"),
            "{point}: {lost}"
        );
        assert_eq!(audit(&project).records[&2], third);
    }
}

/// Runs 48 concurrent releases (200 with `GWC_TEST_FULL`), at most 16 at a time.
#[test]
fn concurrent_applies_get_own_serials_or_fail() {
    let project = released();
    let count: usize = if prerequisite::is_full() { 200 } else { 48 };
    let next = std::sync::atomic::AtomicUsize::new(0);
    let store = project.path("releases");
    let write = |n: usize| {
        let own = Project::with(&gateway(&format!("many{n}")), DOCUMENT);
        let copy = |name: &str| own.write(name, project.read(name));
        copy("trust.json");
        copy("keys/release.pem");
        let mut command = own.command();
        command
            .args(APPLY)
            .args(["--format", "json", "--store"])
            .arg(&store);
        Ended::of(&mut command)
    };
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let writer = || {
            let mut ended = Vec::new();
            loop {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if n >= count {
                    return ended;
                }
                ended.push(write(n));
            }
        };
        let writers: Vec<_> = (0..16).map(|_| scope.spawn(writer)).collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().expect("a writer"))
            .collect()
    });
    assert_eq!(ended.len(), count);
    let (won, lost): (Vec<_>, Vec<_>) = ended.iter().partition(|ended| ended.code == Some(0));
    for loser in &lost {
        assert!(
            loser
                .exits(3)
                .stderr
                .contains("another process moved the channel meanwhile"),
            "{loser}"
        );
    }
    let after = audit(&project);
    let serials: Vec<u64> = after.records.keys().copied().collect();
    assert_eq!(serials, (1..=won.len() as u64 + 1).collect::<Vec<_>>());
    for winner in won {
        let result = winner.json();
        let serial = result["serial"].as_u64().expect("a serial");
        assert_eq!(
            after.records[&serial],
            result["bundle"].as_str().expect("a bundle")
        );
    }
    assert!(!lost.is_empty(), "nobody raced");
    project.gwc(&["history"]).succeeds();
    change(&project, "after");
    project.apply();
    audit(&project).check_index(&store);
}

/// The clean-up keeps the bundle of a running `gwc apply`, even if the bundle is old and no
/// retained record names the bundle.
#[test]
fn clean_up_keeps_what_an_apply_will_link() {
    for point in [
        "apply.bundle.put",
        "apply.record.signed",
        "store.blobs.synced",
    ] {
        let project = released();
        for version in ["v2", "v3"] {
            change(&project, version);
            project.apply();
        }
        age(&project.path("releases"));
        change(&project, "v1");
        let first = audit(&project).records[&1].clone();
        let apply = start(&project, &APPLY, &format!("{point}:1:stop"));
        process::wait_stopped(&apply);
        let gc = start(
            &project,
            &["gc", "--keep", "1"],
            "store.sweep.removed:999:stop",
        );
        waits_for_a_lock(&gc);
        process::go_on(&apply);
        end(apply).succeeds();
        end(gc).succeeds();
        let after = Audit::of(&project.path("releases"), "prod", 1);
        assert_eq!(after.records[&4], first, "{point}");
        project.gwc(&["verify", &first]).succeeds();
    }
}

/// `gwc apply` must not rely on files that the clean-up (`gwc gc`) is about to remove.
#[test]
fn an_apply_waits_for_a_clean_up_and_writes_what_went() {
    let project = released();
    for version in ["v2", "v3"] {
        change(&project, version);
        project.apply();
    }
    age(&project.path("releases"));
    change(&project, "v1");
    let gc = start(
        &project,
        &["gc", "--keep", "1"],
        "store.sweep.removed:1:stop",
    );
    process::wait_stopped(&gc);
    let apply = start(&project, &APPLY, "apply.record.linked:999:stop");
    waits_for_a_lock(&apply);
    process::go_on(&gc);
    end(gc).succeeds();
    end(apply).succeeds();
    let after = Audit::of(&project.path("releases"), "prod", 1);
    assert_eq!(after.head(), 4);
    after.check_index(&project.path("releases"));
}

/// Waits until a process has opened the store's lock.
fn waits_for_a_lock(child: &Child) {
    let folder = format!("/proc/{}/fd", child.id());
    wait::until("it opens the lock", || {
        let open = Path::new(&folder).read_dir().expect("our child is there");
        let mut targets = open
            .filter_map(Result::ok)
            .filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets
            .any(|path| path.ends_with("store.lock"))
            .then_some(())
    });
}
