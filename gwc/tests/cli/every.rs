//! Tests that plans without `--env` cover every environment of both versions, and list each change
//! once.

use serde_json::Value;

use crate::git::{commit, committed, git};
use crate::project::{Ended, Project};

const PUBLIC: &str = "operationId: listOrders, security: [], x-gateway: {public: true},";

/// Creates a project on `main` with two environments; `prod` has a patch.
fn project() -> Project {
    let project = committed();
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{text}environments:\n  test: {{release: {{channel: test}}}}\n  prod: {{patch: prod.yaml}}\n"),
    );
    project.write("prod.yaml", "policies: {slow: {limit: 20/s}}\n");
    commit(&project, "environments");
    project
}

fn plan(project: &Project, more: &[&str]) -> Ended {
    let base = ["plan", "--against", "git:main", "--format", "json"];
    project.run(&[&base, more].concat())
}

/// Changes of a plan, as `CLASS ID SUBJECT [ENVIRONMENTS]`.
fn lines(ended: &Ended) -> Vec<String> {
    let plan = ended.json("plan/v1");
    let changes = plan["changes"].as_array().expect("a list").iter();
    changes.map(line).collect()
}

fn line(change: &Value) -> String {
    let text = |field: &str| change[field].as_str().expect("a text");
    let environments = change["environments"].as_array().expect("a list").iter();
    let environments: Vec<&str> = environments.filter_map(Value::as_str).collect();
    format!(
        "{} {} {} [{}]",
        text("class"),
        text("id"),
        text("subject"),
        environments.join(" ")
    )
}

#[test]
fn plan_without_env_compares_each_environment() {
    let project = project();
    project.edit("prod.yaml", "20/s", "30/s");
    let ended = plan(&project, &[]).with(0);
    assert_eq!(
        lines(&ended),
        ["relax rate-changed policy slow limit [prod]"]
    );
    let arguments = ["plan", "--against", "git:main"];
    project
        .run(&arguments)
        .with(0)
        .contains("policy slow limit (in prod)");
}

#[test]
fn change_of_every_environment_is_one_line() {
    let project = project();
    project.edit("orders.yaml", "operationId: listOrders,", PUBLIC);
    let ended = plan(&project, &[]).with(1);
    let weaken: Vec<String> = lines(&ended)
        .into_iter()
        .filter(|line| line.starts_with("weaken"))
        .collect();
    assert_eq!(
        weaken,
        ["weaken security-requirement-removed security [prod test]"]
    );
    let arguments = ["plan", "--against", "git:main"];
    let human = project.run(&arguments).with(1);
    assert!(!human.out.contains("(in "), "{}", human.out);
}

#[test]
fn patch_that_weakens_one_environment_trips_a_gate() {
    let project = project();
    project.write(
        "prod.yaml",
        "policies: {slow: {limit: 20/s}}\nlisteners: {public: {address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8]}}\n",
    );
    let ended = plan(&project, &[]).with(1);
    let found = lines(&ended);
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("weaken trusted-proxy-added") && line.ends_with("[prod]")),
        "{found:?}"
    );
    // An acknowledgement from the plan of all environments also applies to the release of one
    // environment.
    let changes = ended.json("plan/v1");
    let changes = changes["changes"].as_array().expect("a list").iter();
    let weaken = changes.filter(|change| change["class"] == "weaken");
    for change in weaken {
        let ack = format!("{}=seen", change["fingerprint"].as_str().expect("digits"));
        plan(&project, &["--ack", &ack]).with(0);
        plan(&project, &["--env", "prod", "--ack", &ack]).with(0);
    }
}

#[test]
fn added_or_removed_environment_is_one_line() {
    let project = project();
    project.edit(
        "gateway.yaml",
        "  prod: {patch",
        "  stage: {vars: {}}\n  prod: {patch",
    );
    assert_eq!(
        lines(&plan(&project, &[]).with(0)),
        ["added environment-added environment stage [stage]"]
    );
    commit(&project, "stage");
    project.edit("gateway.yaml", "  stage: {vars: {}}\n", "");
    let removed = ["removed environment-removed environment stage [stage]"];
    assert_eq!(lines(&plan(&project, &[]).with(0)), removed);
    assert_eq!(
        lines(&plan(&project, &["--gate", "remove"]).with(1)),
        removed
    );
    let diff = ["diff", "git:main", ".", "--format", "json"];
    assert_eq!(lines(&project.run(&diff).with(0)), removed);
}

#[test]
fn new_environment_that_opens_trips_until_acked() {
    let project = project();
    project.write(
        "open.yaml",
        "listeners: {public: {address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8]}}\n",
    );
    // Rename the strict environment.
    project.edit(
        "gateway.yaml",
        "  prod: {patch: prod.yaml}",
        "  live: {patch: open.yaml}",
    );
    let ended = plan(&project, &[]).with(1);
    let found = lines(&ended);
    assert_eq!(
        found,
        [
            "weaken environment-added environment live [live]",
            "removed environment-removed environment prod [prod]",
        ]
    );
    let changes = ended.json("plan/v1");
    let change = &changes["changes"][0];
    let text = change["new"].as_str().expect("a text");
    assert!(
        text.contains("admits more than no environment, prod, test"),
        "{text}"
    );
    let ack = format!("{}=seen", change["fingerprint"].as_str().expect("digits"));
    plan(&project, &["--ack", &ack]).with(0);
    // If the patch of the environment changes, the change needs a new acknowledgement.
    project.edit("open.yaml", "10.0.0.0/8", "0.0.0.0/0");
    plan(&project, &["--ack", &ack]).with(1);
}

/// The acknowledgement of an environment on a channel of its own is not for another channel.
#[test]
fn new_environment_names_its_channel() {
    let project = project();
    project.write(
        "open.yaml",
        "listeners: {public: {address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8]}}\n",
    );
    project.edit(
        "gateway.yaml",
        "  prod: {patch",
        "  own: {patch: open.yaml, release: {channel: own}}\n  prod: {patch",
    );
    let own = plan(&project, &[]).with(1).contains("; channel own");
    let changes = own.json("plan/v1")["changes"].clone();
    let fingerprint = changes[0]["fingerprint"].as_str().expect("digits");
    let ack = ["--ack", &format!("{fingerprint}=seen")];
    plan(&project, &ack).with(0);
    project.edit("gateway.yaml", "channel: own", "channel: prod");
    let taken = plan(&project, &ack).with(1);
    taken.contains("; channel prod, replaces prod");
}

#[test]
fn renamed_environment_hides_no_gated_change() {
    for (patch, class) in [
        ("policies: {slow: {limit: 20/s}}\n", "added"),
        ("policies: {slow: {limit: 20000/s}}\n", "relax"),
        (
            "policies: {slow: {limit: 20/s}}\nupstreams: {orders: {targets: {a: {url: \"http://10.6.6.6:80\"}}}}\n",
            "moved",
        ),
    ] {
        let project = project();
        project.edit("gateway.yaml", "  prod: {patch", "  live: {patch");
        project.write("prod.yaml", patch);
        let gates = ["--gate", "relax", "--gate", "move"];
        let ended = plan(&project, &gates).with(i32::from(class != "added"));
        let mut found = lines(&ended);
        found.sort();
        let mut expected = [
            "removed environment-removed environment prod [prod]".to_owned(),
            format!("{class} environment-added environment live [live]"),
        ];
        expected.sort();
        assert_eq!(found, expected);
    }
}

#[test]
fn project_that_gets_environments_is_compared() {
    let project = committed();
    project.edit("orders.yaml", "operationId: listOrders,", PUBLIC);
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{text}environments: {{prod: {{}}}}\n").replace("gates: [weaken]\n", ""),
    );
    let ended = plan(&project, &[]).with(1);
    let found = lines(&ended);
    for expected in [
        "weaken security-requirement-removed security []",
        "weaken environment-added environment prod [prod]",
        "rules gate-removed gate weaken [prod]",
    ] {
        assert!(
            found.iter().any(|line| line == expected),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn plan_of_channels_reads_each_of_them() {
    let project = project();
    let key = ["--key", "keys/release.pem", "--yes", "--reason", "first"];
    for environment in ["test", "prod"] {
        let apply = [&["apply", "--env", environment], &key[..]].concat();
        project.run(&apply).with(0);
    }
    let plan = || project.run(&["plan", "--format", "json"]);
    assert_eq!(lines(&plan().with(0)), [""; 0]);
    project.edit("prod.yaml", "20/s", "30/s");
    let ended = plan().with(0);
    assert_eq!(
        lines(&ended),
        ["relax rate-changed policy slow limit [prod]"]
    );
    let document = ended.json("plan/v1");
    let each = document["environments"].as_array().expect("a list").iter();
    let channels: Vec<_> = each
        .map(|one| (one["name"].as_str(), one["base"]["channel"].as_str()))
        .collect();
    assert_eq!(
        channels,
        [(Some("prod"), Some("prod")), (Some("test"), Some("test"))]
    );
    project.run(&["plan", "-o", "plan.json"]).with(0);
    let apply = [&["apply", "plan.json"], &key[..]].concat();
    project
        .run(&apply)
        .with(64)
        .contains("covers several environments");
}

#[test]
fn new_environment_is_compared_with_the_base() {
    for (patch, class, gate) in [
        ("policies: {slow: {limit: 20000/s}}\n", "relax", "relax"),
        (
            "upstreams: {orders: {targets: {a: {url: \"http://10.6.6.6:80\"}}}}\n",
            "moved",
            "move",
        ),
        (
            "apis: {orders: {overlays: [over.yaml]}}\n",
            "break",
            "break",
        ),
    ] {
        let project = project();
        project.write(
            "over.yaml",
            "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions:\n- {target: \"$.paths['/orders'].get\", update: {parameters: [{name: q, in: query, required: true, schema: {type: string}}]}}\n",
        );
        project.write(
            "stage.yaml",
            format!("release: {{channel: stage}}\n{patch}"),
        );
        project.edit(
            "gateway.yaml",
            "  prod: {patch",
            "  stage: {patch: stage.yaml}\n  prod: {patch",
        );
        let ended = plan(&project, &["--gate", gate]).with(1);
        let expected = format!("{class} environment-added environment stage [stage]");
        assert_eq!(lines(&ended), [expected]);
    }
}

#[test]
fn rules_of_a_new_environment_are_compared() {
    let project = project();
    project.write(
        "stage.yaml",
        "release: {channel: stage}\ngates: []\nlint: {way-round: \"off\"}\n",
    );
    git(project.path(), &["add", "stage.yaml"]);
    project.edit(
        "gateway.yaml",
        "  prod: {patch",
        "  stage: {patch: stage.yaml}\n  prod: {patch",
    );
    let ended = plan(&project, &[]).with(1);
    let mut found = lines(&ended);
    found.sort();
    assert_eq!(
        found,
        [
            "added environment-added environment stage [stage]",
            "rules gate-removed gate weaken [stage]",
            "rules lint-level-changed lint way-round [stage]",
        ]
    );
}

#[test]
fn plan_of_a_new_environment_is_no_error() {
    let project = project();
    project.write(
        "stage.yaml",
        "release: {channel: stage}\nlisteners: {public: {address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8]}}\n",
    );
    project.edit(
        "gateway.yaml",
        "  prod: {patch",
        "  stage: {patch: stage.yaml}\n  prod: {patch",
    );
    let stage = ["--env", "stage"];
    let ended = plan(&project, &stage).with(1);
    assert_eq!(
        lines(&ended),
        ["weaken environment-added environment stage [stage]"]
    );
    // The acknowledgement from the plan of every environment also applies here.
    let every = plan(&project, &[]).with(1);
    let fingerprint = |ended: &Ended| ended.json("plan/v1")["changes"][0]["fingerprint"].clone();
    assert_eq!(fingerprint(&ended), fingerprint(&every));
    let diff = ["diff", "git:main", ".", "--format", "json"];
    let diff = project.run(&[&diff[..], &stage].concat()).with(0);
    assert_eq!(lines(&diff), lines(&ended));
    project
        .run(&["plan", "--against", "git:main", "--env", "stag"])
        .with(64)
        .contains("did you mean `stage`?");
}

#[test]
fn renamed_environment_keeps_the_gates_of_the_old() {
    for (channel, goes) in [("", true), ("release: {channel: live}\n", false)] {
        let project = committed();
        let text = project
            .read("gateway.yaml")
            .replace("gates: [weaken]\n", "");
        project.write(
            "gateway.yaml",
            format!("{text}environments:\n  prod: {{patch: prod.yaml}}\n"),
        );
        project.write("prod.yaml", format!("gates: [weaken]\n{channel}"));
        commit(&project, "gates of an environment");
        let renamed = match goes {
            true => ("  prod: {patch: prod.yaml}", "  prd: {patch: prd.yaml}"),
            // Add another environment with the same channel.
            false => ("  prod: {patch", "  prd: {patch: prd.yaml}\n  prod: {patch"),
        };
        project.edit("gateway.yaml", renamed.0, renamed.1);
        // The new environment must have the same gates.
        project.write("prd.yaml", format!("gates: [weaken]\n{channel}"));
        plan(&project, &[]).with(0);
        project.write("prd.yaml", format!("gates: []\n{channel}"));
        let found = lines(&plan(&project, &[]).with(1));
        assert!(
            found.contains(&"rules gate-removed gate weaken [prd]".to_owned()),
            "{found:?}"
        );
    }
}

#[test]
fn gates_of_a_removed_environment_still_apply() {
    let project = committed();
    let text = project
        .read("gateway.yaml")
        .replace("gates: [weaken]\n", "");
    project.write(
        "gateway.yaml",
        format!("{text}environments:\n  prod: {{patch: prod.yaml}}\n  next: {{release: {{channel: prod}}}}\n"),
    );
    project.write("prod.yaml", "gates: [weaken]\n");
    commit(&project, "two environments of one channel");
    project.edit("gateway.yaml", "  prod: {patch: prod.yaml}\n", "");
    project.edit("orders.yaml", "operationId: listOrders,", PUBLIC);
    plan(&project, &[]).with(1);
}

#[test]
fn plan_of_one_environment_names_removed_ones() {
    let project = project();
    let key = ["--key", "keys/release.pem", "--yes", "--reason", "first"];
    for environment in ["test", "prod"] {
        let apply = [&["apply", "--env", environment], &key[..]].concat();
        project.run(&apply).with(0);
    }
    project.run(&["plan", "--env", "test"]).with(0);
    project.write("live.yaml", "release: {channel: live}\n");
    project.edit(
        "gateway.yaml",
        "  prod: {patch: prod.yaml}",
        "  live: {patch: live.yaml}",
    );
    let live = ["--env", "live"];
    let against = lines(&plan(&project, &live));
    assert!(
        against.contains(&"removed environment-removed environment prod [prod]".to_owned()),
        "{against:?}"
    );
    // Without `--against`, gwc compares only channels of environments.
    project
        .run(&["plan", "--env", "live"])
        .contains("channel prod belongs to no environment of gateway.yaml")
        .contains("(serial 1)");
    for used in [&["--env", "live", "--channel", "live"][..], &[]] {
        let ended = project.run(&[&["plan"], used].concat());
        assert!(
            !ended.out.contains("belongs to no environment"),
            "{}",
            ended.out
        );
    }
    // The store has a channel that gateway.yaml no longer names.
    project.edit("gateway.yaml", "channel: prod}", "channel: live}");
    project
        .run(&["plan"])
        .contains("channel prod belongs to no environment");
}

#[test]
fn printed_entry_covers_each_environment() {
    let project = project();
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{text}acknowledge: reviewed.yaml\n"),
    );
    project.write("reviewed.yaml", "[]\n");
    commit(&project, "acknowledge");
    project.edit("orders.yaml", "operationId: listOrders,", PUBLIC);
    let ended = project.run(&["plan", "--against", "git:main"]).with(1);
    let mut all = ended.out.lines();
    let line = all.find_map(|line| line.trim().strip_prefix("- {"));
    let line = line.expect("a line for the file");
    let line = line.replace("WHY", "\"seen\"").replace("WHO", "ann");
    let (before, rest) = line.split_once("environments: [").expect("the names");
    let (names, after) = rest.split_once(']').expect("the end of the list");
    assert!(
        names.contains("\"prod\"") && names.contains("\"test\""),
        "{names}"
    );
    let one = ["--env", "prod"];
    for (names, code) in [(names, 0), ("\"prod\"", 1), ("\"test\"", 1)] {
        let entry = format!("- {{{before}environments: [{names}]{after}\n");
        project.write("reviewed.yaml", entry);
        plan(&project, &[]).with(code);
        plan(&project, &one).with(code);
    }
    // Without the key `environments`, the fingerprint must be that of a plan with exactly the same
    // environments.
    project.write(
        "reviewed.yaml",
        format!("- {{{before}{}\n", after.trim_start_matches(", ")),
    );
    plan(&project, &[]).with(0);
    plan(&project, &one).with(1);
}
