//! `gwc replay`: requests of access logs at two versions, in every format.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::project::{self, Ended, Project};

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: a.yaml}}
listeners: {public: {address: \"127.0.0.1:8080\"}, inner: {address: \"127.0.0.1:8081\"}}
upstreams: {u: {targets: {x: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, timeout: 5s}
";

/// Document with these paths. Each operation has its path as operationId.
fn document(paths: &[&str]) -> String {
    let paths = paths.iter().map(|path| {
        let (path, more) = path.split_once(' ').unwrap_or((path, ""));
        format!(
            "  {path}: {{get: {{operationId: \"{path}\", x-gateway: {{public: true{more}}}, responses: {{\"200\": {{description: fine}}}}}}}}\n"
        )
    });
    let paths: String = paths.collect();
    format!("openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nsecurity: []\npaths:\n{paths}")
}

fn compared() -> Project {
    let project = Project::empty();
    for (folder, paths) in [
        ("old", ["/same", "/gone", "/moves/x", "/slower", "/chosen"]),
        (
            "new",
            [
                "/same",
                "/new",
                "/moves/{id}",
                "/slower , timeout: 9s",
                "/chosen , match: {headers: {x-v: {exact: \\\"2\\\"}}}",
            ],
        ),
    ] {
        std::fs::create_dir(project.file(folder)).unwrap();
        project.write(&format!("{folder}/gateway.yaml"), GATEWAY);
        let paths = paths.map(|path| path.replace('\\', ""));
        let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        paths.retain(|path| !path.is_empty());
        let text = document(&paths).replace(
            "/moves/{id}: {get: {",
            "/moves/{id}: {parameters: [{name: id, in: path, required: true, schema: {type: string}}], get: {",
        );
        project.write(&format!("{folder}/a.yaml"), text);
    }
    project
}

fn replay(project: &Project, log: &str, options: &[&str]) -> Ended {
    let arguments = ["replay", log, "--old", "old", "--new", "new"];
    let all = [&arguments[..], options, &["--format", "json"]].concat();
    project.run(&all).with(0)
}

/// Counts of a replay: `[requests, unread, refused, served, moved, rerouted, changed, undetermined,
/// same]`.
fn counts(ended: &Ended) -> [u64; 9] {
    let document = ended.json("replay/v1");
    let of = |key: &str| document["counts"][key].as_u64().unwrap();
    let all = |key: &str| document[key].as_u64().unwrap();
    [
        all("requests"),
        all("unread"),
        of("refused"),
        of("served"),
        of("moved"),
        of("rerouted"),
        of("changed"),
        of("undetermined"),
        of("same"),
    ]
}

/// Request targets. The log contains the first target once, the second one twice, and so on.
const TARGETS: [&str; 7] = [
    "/gone",
    "/new",
    "/moves/x",
    "/slower?a=1",
    "/chosen",
    "/same",
    "/nowhere",
];
const EXPECTED: [u64; 9] = [28, 0, 1, 2, 3, 0, 4, 5, 13];

/// Log with the lines for [`TARGETS`]. `line` creates a line from a target.
fn log(line: impl Fn(&str) -> String) -> String {
    let targets = (1usize..).zip(TARGETS);
    let lines = targets.flat_map(|(times, target)| vec![line(target) + "\n"; times]);
    lines.collect()
}

fn of_gwd(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    json!({"timestamp": "x", "http_method": "GET", "listener": "inner", "host": "a.test", "path": path,
        "query": query, "status": 200})
    .to_string()
}

#[test]
fn each_format_gives_the_same_counts() {
    let project = compared();
    let nginx = |target: &str| {
        format!(
            "192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] \"GET {target} HTTP/1.1\" 200 5 \"-\" \"curl\""
        )
    };
    let envoy = |target: &str| {
        format!(
            "[2026-10-10T13:55:36.000Z] \"GET {target} HTTP/2\" 200 - 0 5 1 0 \"-\" \"curl\" \"id\" \"a.test\" \"-\""
        )
    };
    let nginx_json = |target: &str| {
        json!({"remote_addr": "192.0.2.1", "request": format!("GET {target} HTTP/1.1"), "host": "a.test", "status": "200"})
            .to_string()
    };
    let entries: Vec<Value> = log(str::to_owned)
        .lines()
        .map(|target| json!({"request": {"method": "GET", "url": format!("https://a.test{target}")}}))
        .collect();
    project.write("gwd.log", log(of_gwd));
    project.write("nginx.log", log(nginx));
    project.write("envoy.log", log(envoy));
    project.write("nginx-json.log", log(nginx_json));
    let har = json!({"log": {"entries": entries}}).to_string();
    project.write("page.har", &har);
    project.write("marked.har", format!("\u{feff}{har}"));
    project.write("marked.log", format!("\u{feff}{}", log(of_gwd)));
    let packed = |text: &str| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    project.write("gwd.log.1.gz", packed(&log(of_gwd)));
    project.write("page.har.gz", packed(&har));
    for name in [
        "gwd.log",
        "nginx.log",
        "nginx-json.log",
        "envoy.log",
        "page.har",
        "marked.har",
        "marked.log",
        "gwd.log.1.gz",
        "page.har.gz",
    ] {
        assert_eq!(counts(&replay(&project, name, &[])), EXPECTED, "{name}");
        let file = std::fs::File::open(project.file(name)).unwrap();
        let mut command = project::command(project.path());
        command.args(["replay", "-", "--old", "old", "--new", "new"]);
        command
            .args(["--listener", "inner", "--format", "json"])
            .stdin(file);
        assert_eq!(counts(&project::run(&mut command)), EXPECTED, "{name}");
    }
}

#[test]
fn groups_have_owners_and_classes() {
    let project = compared();
    project.write("gwd.log", log(of_gwd));
    let document = replay(&project, "gwd.log", &["--top", "9"]).json("replay/v1");
    let groups = document["groups"].as_array().unwrap().iter();
    let groups: Vec<String> = groups
        .map(|group| {
            let text = |key: &str| group[key].as_str().unwrap().to_owned();
            let (effect, old, new) = (text("effect"), text("old"), text("new"));
            format!(
                "{effect} {} {old} {new} {}",
                group["count"], group["classes"]
            )
        })
        .collect();
    let expected = [
        "refused 1 a//gone no_route []",
        "served 2 no_route a//new []",
        "moved 3 a//moves/x a//moves/{id} []",
        "changed 4 a//slower a//slower [\"relax\"]",
        "undetermined 5 a//chosen depends on conditions []",
    ];
    assert_eq!(groups, expected);
    let short = replay(&project, "gwd.log", &["--top", "1"]).json("replay/v1");
    assert_eq!(
        (
            short["groups"].as_array().unwrap().len(),
            &short["left_out"]
        ),
        (1, &json!(4))
    );
}

#[test]
fn each_operation_of_a_changed_definition_is_counted() {
    let project = Project::empty();
    let paths: Vec<String> = (0..150).map(|at| format!("/p{at}")).collect();
    let names: Vec<&str> = paths.iter().map(String::as_str).collect();
    for (folder, port) in [("old", "9000"), ("new", "9009")] {
        std::fs::create_dir(project.file(folder)).unwrap();
        let gateway = GATEWAY.replace(":9000", &format!(":{port}"));
        project.write(&format!("{folder}/gateway.yaml"), gateway);
        project.write(&format!("{folder}/a.yaml"), document(&names));
    }
    let log: String = names.iter().map(|path| of_gwd(path) + "\n").collect();
    project.write("gwd.log", log);
    let counts = counts(&replay(&project, "gwd.log", &[]));
    assert_eq!(counts, [150, 0, 0, 0, 0, 150, 0, 0, 0]);
}

#[test]
fn plan_counts_the_requests_of_a_log() {
    let project = compared();
    project.write("new/gwd.log", log(of_gwd));
    let plan = |format: &str| {
        let mut command = project::command(&project.file("new"));
        let logs = ["--replay", "gwd.log", "--format", format];
        command.args([&["plan", "--against", "../old"], &logs[..]].concat());
        project::run(&mut command).with(0)
    };
    let sentence = "logs: 15 of 28 requests would be treated differently, or may be: 1 refused, \
        2 served, 3 moved, 4 changed, 5 undetermined";
    assert!(
        plan("human").out.contains(sentence),
        "{}",
        plan("human").out
    );
    assert!(plan("markdown").out.contains(sentence));
    let notes = plan("json").json("plan/v1")["notes"].to_string();
    assert!(notes.contains(sentence), "{notes}");
}

#[test]
fn unreadable_lines_are_counted_and_shown_as_text() {
    let project = compared();
    let long = "x".repeat(3 << 20);
    let lines = [
        "not a request",
        "{\"status\": 400, \"reason\": \"head_invalid\"}",
        "{\"http_method\": \"GET\", \"path\": \"no slash\", \"host\": \"a\"}",
        &long,
        "{\"http_method\": \"G\\u001b[31m\", \"path\": \"/\"}",
        "",
        "{\"http_method\": \"GET\", \"path\": \"/gone\", \"host\": \"a\"}",
    ];
    project.write("gwd.log", lines.join("\n"));
    assert_eq!(
        counts(&replay(&project, "gwd.log", &[])),
        [1, 5, 1, 0, 0, 0, 0, 0, 0]
    );
    project.write("page.har", "{}");
    let run = |log: &str, options: &[&str]| {
        project.run(&[&["replay", log, "--old", "old", "--new", "new"], options].concat())
    };
    run("page.har", &[]).with(65);
    // No line has a request.
    for text in [
        "not a request\n",
        "{\"status\": 400}\n\n",
        "{\"log\": {\"a\": 1}}\n",
    ] {
        project.write("other.log", text);
        run("other.log", &[]).with(65);
    }
    project.write("empty.log", "\n");
    run("empty.log", &[]).with(0);
    run("missing.log", &[]).with(65);
    run("gwd.log", &["--listener", "none"]).with(64);
    let text = run("gwd.log", &[]).with(0).out;
    assert!(
        text.starts_with("1 of 1 request would be treated differently"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn samples_have_no_hidden_values() {
    let project = Project::empty();
    let operation = |extra: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n  /people/{{name}}: {{get: {{\
             operationId: person, security: [{{key: []}}], {extra}parameters: [\
             {{name: name, in: path, required: true, schema: {{type: string}}, x-gateway: {{log: redact}}}}, \
             {{name: mail, in: query, schema: {{type: string, x-gateway: {{redact: true}}}}}}], \
             responses: {{\"200\": {{description: fine}}}}}}}}\n\
             components: {{securitySchemes: {{key: {{type: apiKey, in: query, name: sid, x-gateway: {{auth: keys}}}}}}}}\n"
        )
    };
    let gateway = format!("{GATEWAY}auth: {{keys: {{kind: api_key}}}}\n");
    for (folder, extra) in [("old", ""), ("new", "x-gateway: {timeout: 9s}, ")] {
        std::fs::create_dir(project.file(folder)).unwrap();
        project.write(&format!("{folder}/gateway.yaml"), &gateway);
        project.write(&format!("{folder}/a.yaml"), operation(extra));
    }
    for (target, expected) in [
        (
            "/people/PLANTED?a=1&access_token=PLANTED&sid=PLANTED&mail=PLANTED",
            "GET /people/REDACTED?a=1&access_token=REDACTED&sid=REDACTED&mail=REDACTED",
        ),
        (
            "/people/PLANTED?Sid[]=PLANTED&client%5Fsecret=PLANTED",
            "GET /people/REDACTED?Sid[]=REDACTED&client%5Fsecret=REDACTED",
        ),
    ] {
        let line =
            format!("192.0.2.1 - - [10/Oct/2026:13:55:36 +0000] \"GET {target} HTTP/1.1\" 200 5\n");
        project.write("access.log", line);
        let ended = replay(&project, "access.log", &[]);
        assert!(!ended.out.contains("PLANTED"), "{}", ended.out);
        let document = ended.json("replay/v1");
        assert_eq!(document["groups"][0]["sample"], expected, "{}", ended.out);
    }
}

#[test]
fn removed_operation_names_the_consumers_of_the_log() {
    let project = compared();
    let line = |consumer: &str, path: &str| {
        format!("{{\"http_method\": \"GET\", \"path\": \"{path}\"{consumer}}}\n")
    };
    let acme = ", \"consumer_id\": \"acme\"";
    let zeta = ", \"consumer_id\": \"zeta\"";
    let log = [
        line(acme, "/gone"),
        line(acme, "/gone"),
        line(zeta, "/gone"),
        line("", "/gone"),
        line(zeta, "/same"),
    ];
    project.write("gwd.log", log.concat());
    project.write("new/gwd.log", project.read("gwd.log"));
    let plan = |format: &str| {
        let mut command = project::command(&project.file("new"));
        let logs = ["--replay", "gwd.log", "--format", format];
        command.args([&["plan", "--against", "../old"], &logs[..]].concat());
        project::run(&mut command).with(0)
    };
    let document = plan("json").json("plan/v1");
    let changes = document["changes"].as_array().expect("a list").iter();
    let mut removed = changes.filter(|one| one["id"] == "operation-removed");
    let change = removed.find(|one| one["operation"]["key"] == "a//gone");
    assert_eq!(
        change.expect("it is removed")["log"],
        json!({"requests": 4, "consumers": {"acme": 2, "zeta": 1}, "others": 0, "at_most": false, "estimated": false})
    );
    plan("human").contains(
        "meets 4 requests of the logs, by acme (2), zeta (1), callers without a name (1)",
    );
    plan("markdown").contains("meets `4 requests of the logs, by acme (2)");
    plan("html").contains("Meets 4 requests of the logs, by acme (2)");
}

/// Line of a request that only the old version serves.
const GONE: &str =
    "127.0.0.1 - - [01/Dec/2026:03:20:44 +0000] \"GET /gone HTTP/1.1\" 200 312 \"-\" \"curl/8\"\n";

#[test]
fn host_that_no_request_has_is_refused() {
    let project = compared();
    project.write("c.log", GONE);
    for host in [
        "https://shop.example",
        "shop.example/",
        "",
        "*.example",
        "a b",
    ] {
        let arguments = [
            "replay", "c.log", "--old", "old", "--new", "new", "--host", host,
        ];
        let ended = project.run(&arguments).with(64);
        ended.contains("such as shop.example");
    }
    let ended = replay(&project, "c.log", &["--host", "shop.example:8443"]);
    assert_eq!(ended.json("replay/v1")["counts"]["refused"], 1);
}

/// Without `--new`, the new version is the project of the command: that of `--project`, or the
/// nearest one above the working folder.
#[test]
fn new_version_is_the_project_by_default() {
    let project = compared();
    project.write("c.log", GONE);
    std::fs::create_dir(project.file("new/below")).unwrap();
    std::fs::create_dir(project.file("other")).unwrap();
    for name in ["gateway.yaml", "a.yaml"] {
        project.write(
            &format!("other/{name}"),
            project.read(&format!("old/{name}")),
        );
    }
    for (folder, options) in [
        ("new", &[][..]),
        ("new/below", &[]),
        ("old", &["--project", "../new"]),
        ("other", &["--project", "../new"]),
    ] {
        let up = "../".repeat(folder.split('/').count());
        let (log, old) = (format!("{up}c.log"), format!("{up}old"));
        let mut command = project::command(&project.file(folder));
        command.args([&["replay", &log, "--old", &old][..], options].concat());
        let ended = project::run(&mut command).with(0);
        assert!(ended.out.contains("1 refused"), "{folder}: {}", ended.out);
    }
}

/// A log of another gateway names other listeners. Its requests decide nothing about this one. NGINX
/// writes an empty host for HTTP/1.0.
#[test]
fn unknown_listeners_and_empty_hosts_decide_nothing() {
    let project = compared();
    let line = |key: &str, value: &str| {
        let mut line =
            json!({"http_method": "GET", "path": "/gone", "host": "a.test", "listener": "inner"});
        line[key] = value.into();
        format!("{line}\n")
    };
    let found = |key: &str, value: &str| {
        project.write("one.log", line(key, value));
        counts(&replay(&project, "one.log", &[]))
    };
    assert_eq!(found("listener", "nope"), [1, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(found("listener", "public"), [1, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(found("host", ""), [1, 0, 1, 0, 0, 0, 0, 0, 0]);
}
