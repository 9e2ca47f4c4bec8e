//! Tests of comparisons with an old version that contains mistakes. Old versions cannot be
//! corrected.

use serde_json::Value;

use crate::git::{commit, committed};
use crate::project::{Ended, Project};

/// Valid response in the document. Tests replace it by faulty responses.
const RESPONSE: &str = "\"200\": {description: fine}";

/// Faulty replacements of [`RESPONSE`] that affect neither routing nor access.
const FAULTS: [&str; 6] = [
    "\"200\": {description: fine, content: {application/json: {examples: {a: {$ref: \"#/components/examples/None\"}}}}}",
    "\"200\": {description: fine, content: {application/json: {schema: {$ref: \"#/components/schemas/None\"}}}}",
    "\"200\": {description: fine, content: {application/json: {schema: {$ref: \"none.yaml\"}}}}",
    "\"200\": {description: fine, content: {application/json: {schema: {type: object, properties: {a: {type: strin}}}}}}",
    "\"200\": {$ref: \"#/components/responses/None\"}",
    "\"200\": {description: fine, description: again}",
];

fn notes(ended: &Ended) -> String {
    ended.json("plan/v1")["notes"].to_string()
}

fn ids(ended: &Ended) -> Vec<String> {
    let plan = ended.json("plan/v1");
    let changes = plan["changes"].as_array().expect("a list").iter();
    changes
        .map(|change| change["id"].as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn plan_of_an_old_side_with_faults_compares_the_rest() {
    for fault in FAULTS {
        let project = committed();
        let sound = project.read("orders.yaml");
        project.write("orders.yaml", sound.replacen(RESPONSE, fault, 1));
        commit(&project, "a fault");
        project.write(
            "orders.yaml",
            sound.replace(
                "operationId: getOrder,",
                "operationId: getOrder, security: [], x-gateway: {public: true},",
            ),
        );
        let ended = project
            .run(&["plan", "--against", "git:HEAD", "--format", "json"])
            .with(1);
        assert!(
            ids(&ended).contains(&"security-requirement-removed".to_owned()),
            "{fault}: {ended:?}"
        );
        assert!(
            notes(&ended).contains("not compared") && notes(&ended).contains("HEAD:orders.yaml:6:"),
            "{fault}: {}",
            notes(&ended)
        );
    }
}

#[test]
fn faulty_number_of_the_old_side_is_skipped() {
    for (fault, is_skipped) in [
        ("timeouts: {conect: 1s}", true),
        ("timeouts: {connect: 1sec}", true),
        ("limits: {connections: many}", true),
        (
            "health: {passive: {consecutive_5xx: 5, consecutive5xx: 5}}",
            true,
        ),
        ("tls: {verifi: false}", false),
        ("strategy: random", false),
    ] {
        let project = committed();
        let sound = project.read("gateway.yaml");
        let with = sound.replacen("targets: {", &format!("{fault}, targets: {{"), 1);
        assert_ne!(sound, with);
        project.write("gateway.yaml", &with);
        commit(&project, "a fault");
        project.write("gateway.yaml", sound);
        let orders = project.read("orders.yaml");
        project.write(
            "orders.yaml",
            orders.replace(
                "operationId: getOrder,",
                "operationId: getOrder, security: [], x-gateway: {public: true},",
            ),
        );
        let plan = ["plan", "--against", "git:HEAD", "--format", "json"];
        if !is_skipped {
            project.run(&plan).with(65).contains("has errors");
            continue;
        }
        let ended = project.run(&plan).with(1);
        assert!(
            ids(&ended).contains(&"security-requirement-removed".to_owned()),
            "{fault}: {ended:?}"
        );
        assert!(
            notes(&ended).contains("HEAD:gateway.yaml:"),
            "{fault}: {}",
            notes(&ended)
        );
    }
}

/// Edits of gateway.yaml and of the document that make the old version faulty. The last column is
/// true if gwc skips the faulty part.
const SETTINGS: [(&str, &str, &str, bool); 13] = [
    ("gateway.yaml", "limit: 10/s", "limit: 10/x", true),
    ("gateway.yaml", "limit: 10/s", "limit: 10/s, burts: 3", true),
    ("gateway.yaml", "limit: 10/s, ", "", true),
    ("gateway.yaml", "kind: rate_limit", "kind: rate_limt", false),
    ("gateway.yaml", "timeout: 5s", "timeout: 5sec", true),
    ("gateway.yaml", "timeout: 5s", "timout: 5s", true),
    ("gateway.yaml", "timeout: 5s", "security: upstraem", false),
    ("orders.yaml", GET, "x-gateway: {timeout: soon}, ", true),
    (
        "orders.yaml",
        GET,
        "x-gateway: {retries: {attempts: many}}, ",
        true,
    ),
    ("orders.yaml", GET, "x-gateway: {timeuot: 5s}, ", true),
    ("orders.yaml", GET, "x-gateway: {max_body: 1 KBi}, ", false),
    ("orders.yaml", GET, "x-gateway: {public: maybe}, ", false),
    ("orders.yaml", GET, "x-gateway: {policies: [none]}, ", false),
];

/// Text in the document after which a test inserts `x-gateway`.
const GET: &str = "operationId: getOrder, ";

#[test]
fn faulty_setting_of_the_old_side_is_skipped() {
    for (file, old, new, is_skipped) in SETTINGS {
        let project = committed();
        let sound = project.read(file);
        assert!(sound.contains(old), "{file}: {old}\n{sound}");
        let new = match old == GET {
            true => format!("{GET}{new}"),
            false => new.to_owned(),
        };
        project.write(file, sound.replacen(old, &new, 1));
        commit(&project, "a fault");
        project.write(file, &sound);
        let orders = project.read("orders.yaml");
        project.write(
            "orders.yaml",
            orders.replace(
                "operationId: listOrders,",
                "operationId: listOrders, security: [], x-gateway: {public: true},",
            ),
        );
        let plan = ["plan", "--against", "git:HEAD", "--format", "json"];
        if !is_skipped {
            project.run(&plan).with(65).contains("has errors");
            continue;
        }
        let ended = project.run(&plan).with(1);
        assert!(
            ids(&ended).contains(&"security-requirement-removed".to_owned()),
            "{new}: {ended:?}"
        );
        let place = format!("HEAD:{file}:");
        assert!(notes(&ended).contains(&place), "{new}: {}", notes(&ended));
    }
}

/// Policies with an error in the old version. The last column is true if gwc compares the rest of
/// the policy.
const POLICIES: [(&str, bool); 8] = [
    (
        "kind: headers, request: {remove: [X-Role], set: {\"b ad\": x}}",
        false,
    ),
    (
        "kind: headers, request: {remove: [X-Role], sett: {a: x}}",
        false,
    ),
    ("kind: authorize", false),
    ("kind: body_limit, request: \"1 KBi\"", false),
    ("kind: validate, request: blocks", false),
    (
        "kind: forward_auth, url: \"https://f.example/a\", request_headers: [\"b ad\"]",
        false,
    ),
    (
        "kind: rate_limit, limit: 1/s, algorithm: sliding_window, burst: 5",
        true,
    ),
    ("kind: concurrency, limit: 1, min_limit: 5", true),
];

#[test]
fn faulty_policy_that_decides_access_is_not_skipped() {
    for (faulty, is_compared) in POLICIES {
        let project = committed();
        let sound = project.read("gateway.yaml");
        let with = |policy: &str| {
            let policies = format!("policies: {{other: {{{policy}}}, slow:");
            sound.replacen("policies: {slow:", &policies, 1)
        };
        let old = with(faulty);
        assert_ne!(old, sound, "{sound}");
        project.write("gateway.yaml", &old);
        project.edit(
            "orders.yaml",
            GET,
            &format!("{GET}x-gateway: {{policies: [other]}}, "),
        );
        commit(&project, "a fault");
        let new = match faulty.contains("concurrency") {
            true => "kind: concurrency, limit: 100",
            false => "kind: rate_limit, limit: 100/s",
        };
        project.write("gateway.yaml", with(new));
        let plan = ["plan", "--against", "git:HEAD", "--format", "json"];
        if !is_compared {
            project.run(&plan).with(65).contains("has errors");
            continue;
        }
        let classes = project.run(&plan).json("plan/v1")["changes"].to_string();
        assert!(classes.contains("relax"), "{faulty}: {classes}");
    }
}

#[test]
fn diff_of_two_sides_with_faults_compares_the_rest() {
    for fault in FAULTS {
        let project = Project::bare();
        let broken = project.read("orders.yaml").replacen(RESPONSE, fault, 1);
        project.write("old.yaml", &broken);
        project.write("new.yaml", broken.replace("/orders/{id}:", "/order/{id}:"));
        let ended = project
            .run(&["diff", "old.yaml", "new.yaml", "--format", "json"])
            .with(0);
        assert!(
            ids(&ended).iter().any(|id| id.starts_with("requests-")),
            "{fault}: {ended:?}"
        );
        let notes = notes(&ended);
        assert!(
            notes.contains("old.yaml:6:") && notes.contains("new.yaml:6:"),
            "{fault}: {notes}"
        );
    }
}

#[test]
fn fault_that_decides_access_or_routing_is_refused() {
    let project = Project::bare();
    let orders = project.read("orders.yaml");
    project.write("new.yaml", &orders);
    for (old, new) in [
        ("security: [{key: []}]", "security: [{none: []}]"),
        ("{type: apiKey, in: header,", "{type: apiKey, in: heade,"),
        ("x-gateway: {auth: keys}", "x-gateway: {auth: {}}"),
        ("  /orders:\n", "  /orders/{:\n"),
        (
            "  /orders:\n",
            "  /other: {$ref: \"none.yaml\"}\n  /orders:\n",
        ),
    ] {
        assert!(orders.contains(old), "{old}");
        project.write("old.yaml", orders.replacen(old, new, 1));
        // A mistake in the old document is an input error, not a finding of the comparison.
        project
            .run(&["diff", "old.yaml", "new.yaml", "--fail-on", "any"])
            .with(65)
            .contains("has errors");
    }
}

#[test]
fn path_that_is_never_served_is_a_finding() {
    for path in ["/z%0A", "/z%01", "/z%7f", "/..", "/%2E"] {
        let project = committed();
        let sound = project.read("orders.yaml");
        let path = format!(
            "  {path}:\n    get: {{operationId: z, responses: {{\"200\": {{description: fine}}}}}}\n"
        );
        project.edit("orders.yaml", "components:", &format!("{path}components:"));
        for arguments in [
            &["lint"][..],
            &["build"],
            &["plan", "--against", "git:main"],
            &["route", "GET", "/orders"],
        ] {
            project
                .run(arguments)
                .with(1)
                .contains("unroutable-template");
        }
        // In the old version, the path is not served, too.
        commit(&project, "theirs");
        project.write("orders.yaml", &sound);
        let plan = ["plan", "--against", "git:HEAD"];
        project.run(&plan).with(1).contains("/{segment 1}");
        project.run(&["diff", "git:HEAD~1", "git:HEAD"]).with(0);
    }
}

#[test]
fn levels_of_the_command_line_hold_for_comparisons() {
    let project = committed();
    let sound = project.read("orders.yaml");
    // The schema has an error whose level can be lowered, and which affects neither routing nor
    // access.
    let odd = "\"200\": {description: fine, content: {application/json: {schema: {type: string, pattern: \"[\"}}}}";
    project.write("orders.yaml", sound.replacen(RESPONSE, odd, 1));
    let lint = project.run(&["lint", "--format", "json"]);
    let found: Value = lint.with(1).json("lint/v1");
    let name = found["findings"][0]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let level = format!("{name}=warn");
    let base = ["plan", "--against", "git:HEAD"];
    project.run(&base).with(1).contains(&name);
    project
        .run(&[&base[..], &["--rule", &level]].concat())
        .with(0);
    project
        .run(&["diff", "git:HEAD", ".", "--rule", &level])
        .with(0);
    project
        .run(&["diff", "git:HEAD", ".", "--rule", "none=off"])
        .with(64);
}

/// Old and new version of each case in a table: second and third column of each row.
fn sides(table: &str) -> std::collections::BTreeSet<(String, String)> {
    let lines = table.lines().skip(1);
    lines
        .filter_map(|line| {
            let mut cells = line.split('\t').skip(1).map(|cell| cell.trim().to_owned());
            Some((cells.next()?, cells.next()?))
        })
        .collect()
}

#[test]
fn every_pair_of_another_differ_is_compared() {
    let folder = prerequisite::corpus::folder().join("oasdiff");
    let table = std::fs::read_to_string(folder.join("cases.tsv")).expect("the table is there");
    let sides = sides(&table);
    assert!(sides.len() > 100, "{}", sides.len());
    let nowhere = Project::empty();
    for (old, new) in sides {
        let path = |file: &str| folder.join(file).to_str().expect("a name").to_owned();
        let ended = nowhere.run(&["diff", &path(&old), &path(&new)]);
        assert_eq!(ended.code, 0, "{old}, {new}: {}", ended.err);
    }
}
