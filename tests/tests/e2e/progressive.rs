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

/// Programs of the tutorial, besides those of this project.
const PROGRAMS: [&str; 2] = ["curl", "python3"];
/// Ports in the tutorial: the admin interfaces and the listeners of the gateways, the service, and
/// its wrong address.
const PORTS: [&str; 8] = [
    "9901", "9902", "9903", "8081", "8082", "8083", "9000", "9009",
];

/// Blocks of the tutorial in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    let block = |text: &str| text.split("```").next().expect("it ends").to_owned();
    blocks.map(block).collect()
}

/// Shell blocks of the tutorial as one script. Ports are replaced, and the script waits for the
/// gateways and the service. Each command that shows the gateways also writes its result to a file.
fn script(page: &str, ports: &[u16; 8]) -> String {
    let blocks = blocks(page, "sh");
    let [project, gateways, first, status, end, revert, rest @ ..] = &blocks[..] else {
        panic!("other blocks than expected");
    };
    let [service, failing, requests, failed, leave] = rest else {
        panic!("other blocks than expected");
    };
    let wait = "for n in 1 2 3; do\n\
         until gwd status --admin 127.0.0.1:990$n --admin-token-file admin-token --timeout 1s; do\n\
         sleep 0.1; done; done\n";
    let show = |name: &str| {
        let command = status.trim_end();
        format!("{command} --format json >{name}.json\n")
    };
    // The project has the tutorial's port of the service: replaces it before the first release.
    let keys = "gwc keygen release\n";
    let own_port = format!("{keys}sed -i 's/:90''00\"/:9000\"/' gateway.yaml\n");
    let project = project.replace(keys, &own_port);
    let (promote, abort) = end.split_once("gwc abort").expect("both commands");
    let serves = "until curl -fs http://127.0.0.1:9000/orders; do sleep 0.1; done\n";
    // Guards compare four times a second. All users then get answers of the base.
    let returned = format!(
        "for n in $(seq 100); do {}\
         test \"$(grep -o '\"by\": *\"errors\"' five.json | wc -l)\" = 3 && break; sleep 0.1; done\n\
         for user in $(seq 20); do\n\
         curl -fsS -o /dev/null -H \"x-user: $user\" \"http://127.0.0.1:{{8081,8082,8083}}/orders\"\n\
         done\n",
        show("five")
    );
    let script = [
        "trap 'kill $(jobs -p)' EXIT\n",
        &project,
        gateways,
        wait,
        first,
        status,
        &show("one"),
        promote,
        &show("two"),
        "gwc abort",
        abort,
        &show("three"),
        revert,
        "gwc apply --key keys/release.pem --yes --format json >four.json\n",
        service,
        serves,
        failing,
        requests,
        &returned,
        failed,
        "code=0; gwc promote --key keys/release.pem --yes || code=$?; test $code = 5\n",
        leave,
        &show("six"),
        "gwc apply --key keys/release.pem --yes --format json >seven.json\n",
    ];
    with_ports(&script.concat(), ports)
}

/// Replaces the ports of the tutorial. A port of the loop is `990$n`: replaces it by the element of
/// a list.
fn with_ports(script: &str, ports: &[u16; 8]) -> String {
    let list = |ports: &[u16]| {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        ports.join(" ")
    };
    let mut script = script
        .replace("990$n", "${admin[$n]}")
        .replace("808$n", "${public[$n]}");
    // In two passes, because a free port may be one of the tutorial's.
    for (at, written) in PORTS.iter().enumerate() {
        script = script.replace(written, &format!("@PORT{at}@"));
    }
    for (at, port) in ports.iter().enumerate() {
        script = script.replace(&format!("@PORT{at}@"), &port.to_string());
    }
    format!(
        "admin=(0 {})\npublic=(0 {})\n{script}",
        list(&ports[..3]),
        list(&ports[3..6])
    )
}

#[test]
fn tutorial_of_progressive_releases_runs() {
    if !PROGRAMS.into_iter().all(prerequisite::program) {
        return;
    }
    let page = binaries::workspace().join("docs/progressive-release.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let project = Project::new();
    project.write("orders.yaml", &blocks(&page, "yaml")[0]);
    let programs = [binaries::gwc(), binaries::gwd()].map(|path| path.parent().expect("a folder"));
    let path = std::env::var_os("PATH").expect("PATH");
    let folders = programs.map(PathBuf::from).into_iter();
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)));
    let ports = [(); 8].map(|()| free_port());
    let mut command = Command::new("bash");
    command.args(["-euc", &script(&page, &ports)]);
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
    all_returned(&one, ["five", "six", "seven"].map(read));
}

/// Checks the last section of the tutorial. `one`: state in the first release.
fn all_returned(one: &Value, [five, six, seven]: [Value; 3]) {
    // The channel still names the candidate, and all gateways serve the base alone.
    let base = &one["base_bundle"];
    assert_eq!(five["rollout"]["traffic"], "50%", "{five:#}");
    assert_eq!(five["base_bundle"], *base);
    assert_ne!(five["bundle"], *base);
    for node in five["nodes"].as_array().expect("three gateways") {
        assert_eq!(node["guard"]["result"], "failed", "{five:#}");
        assert_eq!(node["guard"]["by"], "errors");
        assert_eq!(node["bundle"], *base);
        assert_eq!(node["requests"], Value::Null);
        assert_eq!(node["hold"]["from"], five["bundle"]);
    }
    assert_eq!(six["rollout"], Value::Null);
    assert_eq!([&six["bundle"], &seven["bundle"]], [base, base]);
}

/// Position of a node, as docs/progressive-release.md describes it.
pub(crate) fn position_ppm(node: &str, bundle: &str) -> u128 {
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
