//! Progressive releases: the tutorial of docs/progressive-release.md, and gateways that follow a
//! registry.

use std::path::PathBuf;
use std::process::Command;

use e2e::binaries;
use e2e::gateway::Gateway;
use e2e::project::{Ended, Project};
use e2e::server::free_port;
use serde_json::Value;

use crate::registries::{DOCUMENT, Registry, answers, gateway};

/// Shell blocks of the tutorial as one script. Ports are replaced, and the script waits for the
/// gateways. Each command that shows the gateways also writes its result to a file.
fn script(ports: &[u16; 6]) -> String {
    let page = binaries::workspace().join("docs/progressive-release.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let blocks = page.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|block| block.split("```").next().expect("it ends"))
        .collect();
    let [project, gateways, first, status, end, revert] = blocks[..] else {
        panic!("other blocks than expected");
    };
    let wait = "for n in 1 2 3; do\n\
         until gwd status --admin 127.0.0.1:990$n --admin-token-file admin-token --timeout 1s; do\n\
         sleep 0.1; done; done\n";
    let show = |name: &str| {
        let command = status.trim_end();
        format!("{command} --format json >{name}.json\n")
    };
    let (promote, abort) = end.split_once("gwc abort").expect("both commands");
    let script = format!(
        "trap 'kill $(jobs -p)' EXIT\n{project}{gateways}{wait}{first}{status}{}{promote}{}\
         gwc abort{abort}{}{revert}gwc apply --key keys/release.pem --yes --format json >four.json\n",
        show("one"),
        show("two"),
        show("three")
    );
    // A port of the loop is `990$n`: replace it by the element of a list.
    let list = |ports: &[u16]| {
        ports
            .iter()
            .map(u16::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut script = script
        .replace("990$n", "${admin[$n]}")
        .replace("808$n", "${public[$n]}");
    for (at, port) in (1..).zip(&ports[..3]) {
        script = script.replace(&format!("127.0.0.1:990{at}"), &format!("127.0.0.1:{port}"));
    }
    format!(
        "admin=(0 {})\npublic=(0 {})\n{script}",
        list(&ports[..3]),
        list(&ports[3..])
    )
}

#[test]
fn tutorial_of_progressive_releases_runs() {
    let project = Project::new();
    project.write("orders.yaml", DOCUMENT.replace(", policies: [say]", ""));
    let programs = [binaries::gwc(), binaries::gwd()].map(|path| path.parent().expect("a folder"));
    let path = std::env::var_os("PATH").expect("PATH");
    let folders = programs.map(PathBuf::from).into_iter();
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)));
    let ports = [(); 6].map(|()| free_port());
    let mut command = Command::new("bash");
    command.args(["-euc", &script(&ports)]);
    command.current_dir(project.root());
    command.env("PATH", path.expect("a path"));
    Ended::of(&mut command).succeeds();
    let read = |name: &str| -> Value {
        serde_json::from_slice(&project.read(&format!("shop/{name}.json"))).expect("JSON")
    };
    let [one, two, three, four] = ["one", "two", "three", "four"].map(read);
    for (step, document) in [(1, &one), (2, &two)] {
        assert_eq!(document["rollout"]["step"], step, "{document:#}");
        for node in document["nodes"].as_array().expect("three gateways") {
            let runs = match node["belongs"] == true {
                true => &document["bundle"],
                false => &document["base_bundle"],
            };
            assert_eq!(&node["bundle"], runs, "{document:#}");
        }
    }
    assert_eq!(three["rollout"], Value::Null);
    assert_eq!(three["bundle"], one["base_bundle"]);
    // After the sources were reverted, there is nothing to release.
    assert_eq!(four["bundle"], one["base_bundle"], "{four:#}");
    let nodes = three["nodes"].as_array().expect("three gateways");
    assert!(
        nodes.iter().all(|node| node["bundle"] == three["bundle"]),
        "{three:#}"
    );
}

/// Position of a node, as docs/progressive-release.md describes it.
fn position_ppm(node: &str, bundle: &str) -> u128 {
    let text = format!("printf '%s\\n%s' {bundle} {node} | sha256sum | cut -c1-16");
    let mut command = Command::new("bash");
    let first = Ended::of(command.args(["-c", &text]))
        .succeeds()
        .stdout
        .clone();
    let first = u128::from_str_radix(first.trim(), 16).expect("hexadecimal digits");
    (first * 1_000_000) >> 64
}

#[test]
fn steps_reach_gateways_through_a_registry() {
    let Some(mut registry) = Registry::start() else {
        return;
    };
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    registry.release(&project, "v1");
    let steps = format!("{}release: {{steps: [{{nodes: 50%}}]}}\n", gateway("v2"));
    project.write("gateway.yaml", &steps);
    let bundle = project.build();
    let find = |inside: bool| {
        let mut names = (0..).map(|number| format!("gw-{number}"));
        let name = names.find(|name| (position_ppm(name, &bundle) < 500_000) == inside);
        name.expect("a name")
    };
    let [inside, outside] = [true, false].map(find);
    let options = |name: &str| {
        let state = project.path(&format!("state-{name}"));
        registry.gateway(&project, "10m").state(&state).node(name)
    };
    let (first, second) = (options(&inside), options(&outside));
    let one = first.start();
    let key = ["--key", "keys/release.pem", "--yes"];
    let gwc = |registry: &Registry, command: &str| {
        let mut arguments = vec![command];
        arguments.extend(key);
        registry.gwc(&project, &arguments).succeeds();
    };
    gwc(&registry, "apply");
    one.notify();
    answers(&one, "v2");
    // A new gateway outside of the share gets the base from the registry.
    let two = second.start();
    answers(&two, "v1");
    assert_eq!(two.status()["rollout"]["belongs"], false);

    // Both restart without the registry, at the same versions.
    registry.stop();
    let restart = |gateway: Gateway, options: &e2e::gateway::Options| {
        gateway.stops_clean();
        options.start()
    };
    let (one, two) = (restart(one, &first), restart(two, &second));
    answers(&one, "v2");
    answers(&two, "v1");
    registry.restart();
    gwc(&registry, "promote");
    for gateway in [&one, &two] {
        gateway.notify();
        answers(gateway, "v2");
    }
    one.stops_clean();
    two.stops_clean();
}
