//! End-to-end tests of discovered upstream hosts: by DNS name (`dns`) and from a file (`file`).

use e2e::gateway::Options;
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};

fn saying(name: &'static str) -> Upstream {
    Upstream::scripted(move |_| Answer::ok(name))
}

fn project(upstream: &str) -> Project {
    let project = Project::new();
    project.write(
        "openapi.yaml",
        "openapi: 3.1.0\ninfo: {title: found, version: \"1\"}\npaths:\n  /a: {get: {operationId: a, responses: {}}}\n",
    );
    project.write(
        "gateway.yaml",
        format!(
            "version: 1\nname: found\napis: {{a: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {upstream}}}\n\
             defaults: {{upstream: u, security: upstream}}\n"
        ),
    );
    project.keygen();
    project.apply();
    project
}

#[test]
fn configured_name_is_resolved_and_its_host_serves() {
    let upstream = saying("found");
    let port = upstream.address().port();
    let project = project(&format!(
        "{{dns: {{name: localhost, port: {port}, refresh: 30s}}, host_header: upstream}}"
    ));
    let gwd = Options::of(&project).start();
    let answer = gwd.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(answer.text(), "found");
    let seen = upstream.take();
    assert_eq!(seen[0].header("host"), Some(&*format!("localhost:{port}")));
}

#[test]
fn configured_file_is_watched_and_status_shows_errors() {
    let (one, two) = (saying("one"), saying("two"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts.json");
    let write = |upstream: &Upstream| {
        let address = upstream.address();
        let next = folder.path().join("next");
        let text = format!("{{\"targets\": [{{\"address\": \"{address}\"}}]}}");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, &path).unwrap();
    };
    write(&one);
    let project = project(&format!("{{file: {{path: \"{}\"}}}}", path.display()));
    let gwd = Options::of(&project).start();
    let get = || gwd.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").text();
    assert_eq!(get(), "one");
    write(&two);
    e2e::wait::until("the other host", || (get() == "two").then_some(()));
    std::fs::write(&path, "{").unwrap();
    e2e::wait::until("status tells it", || {
        let status = gwd.status();
        let found_by = &status["upstreams"][0]["found_by"][0];
        found_by["error"]
            .as_str()
            .is_some_and(|why| why.contains("it is truncated"))
            .then_some(())
    });
    assert_eq!(get(), "two");
}
