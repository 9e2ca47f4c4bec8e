//! `gwc replay` and `gwc plan --replay` with logs that gwd has sampled (`sample_ratio`).

use serde_json::json;

use crate::project::Project;

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: a.yaml}}
listeners: {public: {address: \"127.0.0.1:8080\"}}
upstreams: {u: {targets: {x: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, timeout: 5s}
";

fn compared() -> Project {
    let project = Project::empty();
    for (folder, paths) in [("old", &["/kept", "/gone"][..]), ("new", &["/kept"])] {
        std::fs::create_dir(project.file(folder)).unwrap();
        project.write(&format!("{folder}/gateway.yaml"), GATEWAY);
        let paths = paths.iter().map(|path| {
            format!(
                "  {path}: {{get: {{operationId: \"{path}\", x-gateway: {{public: true}}, responses: {{\"200\": {{description: fine}}}}}}}}\n"
            )
        });
        let paths: String = paths.collect();
        let head = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: []\npaths:\n";
        project.write(&format!("{folder}/a.yaml"), format!("{head}{paths}"));
    }
    project
}

/// Lines of gwd's log: 30 requests of 0.3 of all, one that is always logged, and ten of 0.01.
fn log() -> String {
    let line = |path: &str, consumer: &str, ratio: Option<f64>| {
        let mut line = json!({"http_method": "GET", "host": "a.test", "path": path,
            "consumer_id": consumer, "status": 200});
        if let Some(ratio) = ratio {
            line["sample_ratio"] = ratio.into();
        }
        format!("{line}\n")
    };
    let kept = (0..30).map(|_| line("/kept", "acme", Some(0.3)));
    let gone = (0..10).map(|_| line("/gone", "zeta", Some(0.01)));
    let slow = std::iter::once(line("/gone", "acme", None));
    kept.chain(gone).chain(slow).collect()
}

const REPLAY: [&str; 6] = ["replay", "gwd.log", "--old", "old", "--new", "new"];

#[test]
fn sampled_lines_count_for_the_requests_left_out() {
    let project = compared();
    project.write("gwd.log", log());
    let json = [&REPLAY[..], &["--format", "json"]].concat();
    let document = project.run(&json).with(0).json("replay/v1");
    assert_eq!(document["requests"], 100 + 1_000 + 1);
    assert_eq!(document["sampled"], 40);
    assert_eq!(document["counts"]["same"], 100);
    assert_eq!(document["counts"]["refused"], 1_001);
    let human = project.run(&REPLAY).with(0);
    for expected in [
        "about 1001 of about 1101 requests would be treated differently",
        "40 lines of a sampled log, each counted for 1 / sample_ratio requests",
    ] {
        assert!(human.out.contains(expected), "{}", human.out);
    }
}

#[test]
fn plan_names_callers_of_a_sampled_log() {
    let project = compared();
    project.write("gwd.log", log());
    std::fs::rename(project.file("gwd.log"), project.file("new/gwd.log")).unwrap();
    let mut command = crate::project::command(&project.file("new"));
    command.args(["plan", "--against", "../old", "--replay", "gwd.log"]);
    let ended = crate::project::run(&mut command);
    for expected in [
        "about 1001 of about 1101 requests would be treated differently",
        "meets about 1001 requests of the logs, by zeta (1000), acme (1)",
    ] {
        assert!(ended.out.contains(expected), "{}", ended.out);
    }
}
