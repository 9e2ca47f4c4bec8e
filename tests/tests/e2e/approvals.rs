//! Approvals: the tutorial of docs/approvals.md, and owners who approve through a registry.

use std::path::PathBuf;
use std::process::Command;

use e2e::binaries;
use e2e::project::{Ended, Project};
use e2e::server::free_port;
use serde_json::{Value, json};

use crate::registries::{DOCUMENT, Registry, answers, gateway};

/// Shell blocks of the tutorial as one script, with other ports. The script waits for the gateway
/// and writes what it shows to files.
fn script(ports: [u16; 2]) -> String {
    let page = binaries::workspace().join("docs/approvals.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let blocks = page.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|block| block.split("```").next().expect("it ends"))
        .collect();
    let [project, copy, gateway, refused, approve, release] = blocks[..] else {
        panic!("other blocks than expected");
    };
    let wait = "until gwd status --admin 127.0.0.1:9901 --admin-token-file admin-token \
                --timeout 1s; do sleep 0.1; done\n";
    let show = "gwd status --admin 127.0.0.1:9901 --admin-token-file admin-token --format json \
                >gateway.json\ngwc history --format json >history.json\n";
    let refused = refused.replace("echo \"exit code $?\"", "echo $? >refused");
    let script = format!(
        "trap 'kill $(jobs -p)' EXIT\n{project}{copy}{gateway}{wait}{refused}{approve}{release}\
         {show}"
    );
    script
        .replace("127.0.0.1:9901", &format!("127.0.0.1:{}", ports[0]))
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", ports[1]))
}

#[test]
fn tutorial_of_approvals_runs() {
    let project = Project::new();
    project.write("orders.yaml", DOCUMENT.replace(", policies: [say]", ""));
    let programs = [binaries::gwc(), binaries::gwd()].map(|path| path.parent().expect("a folder"));
    let path = std::env::var_os("PATH").expect("PATH");
    let folders = programs.map(PathBuf::from).into_iter();
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)));
    let mut command = Command::new("bash");
    command.args(["-euc", &script([free_port(), free_port()])]);
    command.current_dir(project.root());
    command.env("PATH", path.expect("a path"));
    Ended::of(&mut command).succeeds();
    assert_eq!(project.read("shop/refused"), b"4\n");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&project.read(&format!("shop/{name}.json"))).expect("JSON")
    };
    let (history, status) = (read("history"), read("gateway"));
    let newest = &history["records"][0];
    assert_eq!(newest["approvals"]["owners"], json!(["ann", "bob"]));
    assert_eq!(status["bundle"], newest["bundle"]);
    assert_eq!(status["serial"], 2);
}

/// Approves the project's sources with the key of an owner.
fn approve(registry: &Registry, project: &Project, owner: &str) -> Ended {
    let key = format!("keys/{owner}.pem");
    registry.gwc(project, &["approve", "--key", &key, "--yes"])
}

#[test]
fn owners_approve_through_a_registry() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let one = Project::with(&gateway("v1"), DOCUMENT);
    one.keygen();
    for owner in ["ann", "bob"] {
        let mut keygen = one.command();
        keygen.args(["keygen", owner, "--roles", "approve"]);
        Ended::of(&mut keygen).succeeds();
    }
    registry.release(&one, "v1");
    registry.gwc(&one, &["trust", "approvals", "2"]).succeeds();
    let gwd = registry.gateway(&one, "10m").start();
    answers(&gwd, "v1");

    // Another machine has the same sources and the key of bob.
    let two = Project::with(&gateway("v2"), DOCUMENT);
    two.write("trust.json", one.read("trust.json"));
    two.write("keys/bob.pem", one.read("keys/bob.pem"));
    one.write("gateway.yaml", gateway("v2"));
    let apply = ["apply", "--key", "keys/release.pem", "--yes"];
    let refused = |owners: &str| {
        let ended = registry.gwc(&one, &apply);
        assert_eq!(ended.code, Some(4), "{ended:?}");
        assert!(ended.stderr.contains(owners), "{}", ended.stderr);
    };
    refused("0 of the 2 owners");
    approve(&registry, &one, "ann").succeeds();
    refused("approved by: ann");
    let approved = approve(&registry, &two, "bob").succeeds().stdout.clone();
    assert!(
        approved.contains("2 of 2 owners have approved this change: ann, bob"),
        "{approved}"
    );
    registry.gwc(&one, &apply).succeeds();
    gwd.notify();
    answers(&gwd, "v2");

    // A rollback needs no new approvals.
    let back = ["rollback", "--key", "keys/release.pem", "--yes"];
    registry.gwc(&one, &back).succeeds();
    gwd.notify();
    answers(&gwd, "v1");
    gwd.stops_clean();
}
