//! Tests of the requests of a log that a break of clients concerns (`gwc plan --replay`).

use serde_json::{Value, json};

use crate::project::Project;

const GATEWAY: &str = "version: 1
name: a
apis: {a: {path: a.yaml, mount: {base_path: /v1, listeners: [inner]}}}
listeners: {inner: {address: \"127.0.0.1:8080\"}}
upstreams: {u: {targets: {x: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, timeout: 5s}
";

/// Document with these maximum values of the parameters, this list of further parameters, and this
/// schema of the response.
fn document([id, n]: [u32; 2], more: &str, response: &str) -> String {
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
security: []
paths:
  /items/{{id}}:
    parameters: [{{name: id, in: path, required: true, schema: {{type: integer, maximum: {id}}}}}]
    get:
      operationId: read
      x-gateway: {{public: true}}
      parameters: [{{name: n, in: query, schema: {{type: integer, maximum: {n}}}}}, {{name: x-n, in: header, schema: {{type: integer, maximum: {n}}}}}{more}]
      responses: {{\"200\": {{description: fine, content: {{application/json: {{schema: {response}}}}}}}}}
"
    )
}

fn compared() -> Project {
    let project = Project::empty();
    for (folder, text) in [
        ("old", document([1000, 100], "", "{type: integer}")),
        (
            "new",
            document(
                [100, 50],
                ", {name: p, in: query, required: true, schema: {type: string}}",
                "{type: string}",
            ),
        ),
    ] {
        std::fs::create_dir(project.file(folder)).unwrap();
        project.write(&format!("{folder}/gateway.yaml"), GATEWAY);
        project.write(&format!("{folder}/a.yaml"), text);
    }
    project
}

/// Plan of `new` against `old` with this log.
fn plan(project: &Project, log: &str, format: &str) -> String {
    project.write("new/gwd.log", log);
    let mut command = crate::project::command(&project.file("new"));
    command.args(["plan", "--against", "../old", "--replay", "gwd.log"]);
    command.args(["--format", format]);
    crate::project::run(&mut command).with(0).out
}

/// Requests of consumers: name, target, number.
fn log(requests: &[(&str, &str, usize)]) -> String {
    let lines = requests.iter().map(|(consumer, target, count)| {
        let line = json!({"http_method": "GET", "path": target, "consumer_id": consumer});
        format!("{line}\n").repeat(*count)
    });
    lines.collect()
}

const REQUESTS: [(&str, &str, usize); 5] = [
    ("acme", "/v1/items/7?n=10&p=x", 5),
    ("zeta", "/v1/items/7?n=70&p=x", 3),
    ("acme", "/v1/items/500?n=70&p=x", 2),
    ("beta", "/v1/items/7", 4),
    // Both versions refuse the value, so that no version breaks the request.
    ("beta", "/v1/items/7?n=700&p=x", 1),
];

#[test]
fn break_of_a_parameter_counts_refused_requests() {
    let project = compared();
    let text = plan(&project, &log(&REQUESTS), "json");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let changes = document["changes"].as_array().expect("a list").iter();
    let mut breaks: Vec<(String, Value)> = changes
        .filter(|change| change["class"] == "break")
        .map(|change| {
            let path = change["message"]["path"].as_str().unwrap_or_default();
            (path.to_owned(), change["log"].clone())
        })
        .collect();
    breaks.sort_by(|a, b| a.0.cmp(&b.0));
    let exact = |path: &str, requests: u64, consumers: Value| {
        let log = json!({"requests": requests, "consumers": consumers, "others": 0, "at_most": false, "estimated": false});
        (path.to_owned(), log)
    };
    let bound = |path: &str| {
        let consumers = json!({"acme": 7, "beta": 5, "zeta": 3});
        let log = json!({"requests": 15, "consumers": consumers, "others": 0, "at_most": true, "estimated": false});
        (path.to_owned(), log)
    };
    assert_eq!(
        breaks,
        [
            bound("header x-n"),
            exact("path id", 2, json!({"acme": 2})),
            exact("query n", 5, json!({"acme": 2, "zeta": 3})),
            exact("query p", 4, json!({"beta": 4})),
            bound("response 200 body"),
        ]
    );
}

#[test]
fn breaks_name_the_consumers_of_their_requests() {
    let project = compared();
    let log = log(&REQUESTS);
    for (format, exact, bound) in [
        (
            "human",
            "meets 5 requests of the logs, by zeta (3), acme (2)",
            "meets at most 15 requests",
        ),
        (
            "markdown",
            "meets `5 requests of the logs, by zeta (3), acme (2)`",
            "meets `at most 15 requests",
        ),
        (
            "html",
            "Meets 5 requests of the logs, by zeta (3), acme (2)",
            "Meets at most 15 requests",
        ),
    ] {
        let text = plan(&project, &log, format);
        assert!(text.contains(exact), "{format}: {text}");
        assert!(text.contains(bound), "{format}: {text}");
    }
}

#[test]
fn query_of_a_break_is_read_from_args() {
    let project = compared();
    let line = |fields: &str| format!("{{\"request_method\":\"GET\",{fields}}}\n").repeat(2);
    let uri = "\"uri\":\"/v1/items/7\"";
    for name in ["args", "query_string"] {
        let log = line(&format!("{uri},\"{name}\":\"n=70&p=x\""));
        let text = plan(&project, &log, "human");
        assert!(text.contains("meets 2 requests of the logs"), "{text}");
    }
    // Without the query, the count is an upper bound.
    let text = plan(&project, &line(uri), "human");
    assert!(!text.contains("meets 0 requests"), "{text}");
    assert!(!text.contains("meets 2 requests of the logs"), "{text}");
    assert!(text.contains("meets at most 2 requests"), "{text}");
}

/// The result of the logs stands between the counts of the plan and everything else.
#[test]
fn result_of_the_logs_follows_the_counts() {
    let project = compared();
    let log = log(&REQUESTS);
    for (format, before, after) in [
        ("human", "existing clients fail", "\nBREAKING"),
        ("markdown", "existing clients fail", "<details>"),
        ("html", "existing clients fail", "<section id=\"breaking\""),
    ] {
        let text = plan(&project, &log, format);
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        let sentence = at("logs: 15 of 15 requests");
        assert!(at(before) < sentence && sentence < at(after), "{text}");
        assert_eq!(text.matches("logs: 15 of 15 requests").count(), 1, "{text}");
    }
}
