//! Tests of other readings of a path: bounds of the search, and paths of which servers read a part
//! as the query.

use serde_json::json;

use crate::project::Project;
use crate::route::explained;

/// Tests a path with 64 readings and as many letter cases, at a host with 40 APIs at `/`.
#[test]
fn search_for_other_paths_has_a_bound() {
    let project = Project::bare();
    project.write(
        "gateway.yaml",
        "version: 1\nname: s\napis_glob: [\"api*.json\"]\nauth: {keys: {kind: api_key}}\n\
         consumers: {}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9\"}}}}\n\
         defaults: {upstream: u}\nlint: {way-round: \"off\"}\n",
    );
    for number in 0..40 {
        let operation =
            |id: &str| json!({"operationId": id, "responses": {"200": {"description": "ok"}}});
        let parameter =
            json!({"name": "p", "in": "path", "required": true, "schema": {"type": "string"}});
        let document = json!({
            "openapi": "3.1.0",
            "info": {"title": "x", "version": "1"},
            "security": [{"key": []}],
            "components": {"securitySchemes": {"key": {
                "type": "apiKey", "in": "header", "name": "X-Key", "x-gateway": {"auth": "keys"},
            }}},
            "paths": {
                format!("/t{number}/items"): {"get": operation("list")},
                format!("/files{number}/{{p}}"): {
                    "parameters": [parameter],
                    "x-gateway": {"match": "prefix"},
                    "get": {
                        "operationId": "file", "security": [], "x-gateway": {"public": true},
                        "responses": {"200": {"description": "ok"}},
                    },
                },
            },
        });
        project.write(&format!("api{number}.json"), document.to_string());
    }
    let answer = |path: &str| explained(&project, &["GET", &format!("http://a.test{path}")]);
    let long = answer(&format!(
        "/files0/Items/{}x.y;qy%2f%252fy%5cy%3byz",
        "y/".repeat(100)
    ));
    let text = long.to_string();
    assert!(text.contains("in too many ways"), "{text}");
}

/// Project with the operation `/q/{x}`. `gateway`: further lines of gateway.yaml; the policy `p`,
/// if one is defined, is in its chain. `scheme`: place of the credential. `more`: a further path
/// item.
fn project_with(gateway: &str, scheme: &str, more: &str) -> Project {
    let project = Project::bare();
    let chain = if gateway.contains("p:") { "p" } else { "" };
    project.write(
        "gateway.yaml",
        format!(
            "version: 1\nname: s\napis: {{s: {{path: s.yaml}}}}\nauth: {{keys: {{kind: api_key}}}}\n\
             consumers: {{}}\nupstreams:\n  u: {{targets: {{a: {{url: \"http://127.0.0.1:9\"}}}}}}\n  \
             w: {{targets: {{a: {{url: \"http://127.0.0.1:8\"}}}}}}\n{gateway}\n\
             defaults: {{upstream: u, policies: [{chain}]}}\n"
        ),
    );
    project.write(
        "s.yaml",
        format!(
            "openapi: 3.1.0\ninfo: {{title: s, version: \"1\"}}\npaths:\n  /q/{{x}}:\n    \
             parameters: [{{name: x, in: path, required: true, schema: {{type: string}}}}]\n    \
             get: {{operationId: q, security: [], x-gateway: {{public: true}}, responses: {{}}}}\n{more}\
             components: {{securitySchemes: {{key: {{type: apiKey, {scheme}, x-gateway: {{auth: keys}}}}}}}}\n"
        ),
    );
    project
}

#[test]
fn path_with_a_query_is_refused_where_it_decides() {
    let header = "in: header, name: X-Key";
    let policy = |text: &str| format!("policies: {{p: {{{text}}}}}");
    let split = "kind: split, among: [{upstream: u, when: {query: {a: {present: true}}}}, {upstream: w, weight: 1}]";
    let condition = "  /c:\n    get: {operationId: c, security: [], \
        x-gateway: {public: true, match: {query: {a: {present: true}}}}, responses: {}}\n";
    let used = "  /k:\n    get: {operationId: k, security: [{key: []}], responses: {}}\n";
    for (name, gateway, scheme, more, refuses) in [
        ("nothing", String::new(), header, "", false),
        (
            "a limit by a field",
            policy("kind: rate_limit, limit: 9/s, key: \"header:X-A\""),
            header,
            "",
            false,
        ),
        (
            "a limit",
            policy("kind: rate_limit, limit: 9/s, key: [address, \"query:a\"]"),
            header,
            "",
            true,
        ),
        (
            "a quota",
            policy("kind: quota, limit: 9, period: day, key: \"query:a\""),
            header,
            "",
            true,
        ),
        (
            "concurrency",
            policy("kind: concurrency, limit: 9, key: \"query:a\""),
            header,
            "",
            true,
        ),
        (
            "an expression",
            policy("kind: authorize, expression: \"!('a' in request.query)\""),
            header,
            "",
            true,
        ),
        (
            "another one",
            policy("kind: authorize, expression: \"request.method != 'PUT'\""),
            header,
            "",
            false,
        ),
        ("a split", policy(split), header, "", true),
        (
            "validation in another mode",
            policy("kind: validate, request: log"),
            header,
            "",
            false,
        ),
        (
            "a service",
            policy("kind: forward_auth, upstream: w, path: /check"),
            header,
            "",
            true,
        ),
        (
            "a credential",
            String::new(),
            "in: query, name: a",
            used,
            true,
        ),
        ("a condition", String::new(), header, condition, true),
        (
            "a rewrite of the query",
            policy("kind: rewrite, query: {remove: [a]}"),
            header,
            "",
            true,
        ),
        (
            "a rewrite of the path",
            policy("kind: rewrite, path: \"/r/{x}\""),
            header,
            "",
            false,
        ),
        (
            "rules of a scan",
            policy("kind: threat, rules: [sql_union]"),
            header,
            "",
            true,
        ),
    ] {
        let project = project_with(&gateway, scheme, more);
        for path in ["/q/x;a=1", "/q/x%3Ba=1", "/q/x%3Fa=1"] {
            let answer = explained(&project, &["GET", &format!("http://a.test{path}")]);
            let is_refused = answer["reason"] == "path_ambiguous";
            assert_eq!(is_refused, refuses, "{name} {path}: {answer}");
        }
    }
}

#[test]
fn validation_refuses_semicolons_but_no_escapes() {
    let policy = "policies: {p: {kind: validate, request: block}}";
    let project = project_with(policy, "in: header, name: X-Key", "");
    for (path, refuses) in [
        ("/q/x;a=1", true),
        ("/q/x%3Ba=1", false),
        ("/q/x%3Fa=1", false),
    ] {
        let answer = explained(&project, &["GET", &format!("http://a.test{path}")]);
        let is_refused = answer["reason"] == "path_ambiguous";
        assert_eq!(is_refused, refuses, "{path}: {answer}");
    }
}

#[test]
fn parameter_that_is_not_forwarded_refuses_semicolons() {
    let project = project_with("", "in: header, name: X-Key", "");
    let path = "get: {operationId: q,";
    let parameter = "parameters: [{name: a, in: query, schema: {type: string}, \
                     x-gateway: {forward: false}}],";
    let before = explained(&project, &["GET", "http://a.test/q/b;a=1"]);
    assert_eq!(before["decision"], "forward", "{before}");
    project.edit("s.yaml", path, &format!("{path} {parameter}"));
    let after = explained(&project, &["GET", "http://a.test/q/b;a=1"]);
    let text = after.to_string();
    assert!(
        text.contains("path_ambiguous") && text.contains("as the query"),
        "{text}"
    );
}

#[test]
fn described_marks_are_no_query() {
    let policy = "policies: {p: {kind: authorize, expression: \"!('a' in request.query)\"}}";
    let item = |path: &str| {
        let parameter = if path.contains("{y}") {
            "parameters: [{name: y, in: path, required: true, schema: {type: string}}]\n    "
        } else {
            ""
        };
        format!(
            "  {path}:\n    {parameter}get: {{operationId: d, security: [], \
             x-gateway: {{public: true}}, responses: {{}}}}\n"
        )
    };
    for (described, path, refuses) in [
        ("/why%3F", "/why%3F", false),
        ("/faq/{y}%3F", "/faq/b%3F", false),
        ("/faq/{y}%3F", "/faq/b;a=1%3F", true),
        ("/lab%3Bel", "/lab%3Bel", false),
        ("/a;b", "/a;b", false),
        ("/c/{y}", "/c/b%23a", true),
        ("/c/{y}", "/c/b%3Fa", true),
    ] {
        let project = project_with(policy, "in: header, name: X-Key", &item(described));
        let answer = explained(&project, &["GET", &format!("http://a.test{path}")]).to_string();
        assert_eq!(answer.contains("as the query"), refuses, "{path}: {answer}");
    }
}

/// A server may read a path of a public operation as the path of a protected operation, which has
/// another listener or host.
#[test]
fn reading_on_another_listener_or_host_is_refused() {
    let plain = "apis: {s: {path: s.yaml}}";
    let listeners = "listeners: {out: {address: \"127.0.0.1:8080\"}, in: {address: \"127.0.0.1:8081\"}}\n\
        apis: {s: {path: s.yaml, mount: {listeners: [out]}}, t: {path: t.yaml, mount: {listeners: [in]}}}";
    let hosts = "apis: {s: {path: s.yaml, mount: {hosts: [a.test]}}, t: {path: t.yaml, mount: {hosts: [b.test]}}}";
    let path = "..%2fadmin%2fx";
    for (apis, url) in [
        (listeners, "http://127.0.0.1:8080/q/"),
        (hosts, "http://a.test/q/"),
    ] {
        for (upstream, refuses) in [("u", true), ("w", false)] {
            let project = project_with("", "in: header, name: X-Key", "");
            project.edit("gateway.yaml", plain, apis);
            project.edit(
                "s.yaml",
                "/q/{x}:\n",
                "/q/{x}:\n    x-gateway: {path_readings: keep}\n",
            );
            project.write(
                "t.yaml",
                format!(
                    "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n\
                     x-gateway: {{defaults: {{upstream: {upstream}}}}}\npaths:\n  /admin/x:\n    \
                     get: {{operationId: admin, security: [{{key: []}}], responses: {{}}}}\n\
                     components: {{securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, \
                     x-gateway: {{auth: keys}}}}}}}}\n"
                ),
            );
            let answer = explained(&project, &["GET", &format!("{url}{path}")]).to_string();
            let is_refused = answer.contains("path_ambiguous") && answer.contains("t/admin");
            assert_eq!(is_refused, refuses, "{url} {upstream}: {answer}");
            let other = explained(&project, &["GET", &format!("{url}a%2fb")]);
            assert_eq!(other["decision"], "forward", "{url} {upstream}: {other}");
        }
    }
}

#[test]
fn condition_on_another_host_refuses_no_path() {
    let more = "  /c:\n    get: {operationId: c, security: [], \
        x-gateway: {public: true, match: {query: {a: {present: true}}}}, responses: {}}\n";
    for (hosts, refuses) in [("[b.test]", false), ("[a.test]", true)] {
        let project = project_with("", "in: header, name: X-Key", "");
        let other = project.read("s.yaml");
        let other = other
            .replace("/q/{x}", "/other/{x}")
            .replace("operationId: q", "operationId: o");
        project.write(
            "t.yaml",
            other.replace("components:", &format!("{more}components:")),
        );
        project.edit(
            "gateway.yaml",
            "{path: s.yaml}",
            &format!(
                "{{path: s.yaml, mounts: [{{name: m, hosts: [a.test]}}]}}, \
                 t: {{path: t.yaml, mounts: [{{name: m, hosts: {hosts}}}]}}"
            ),
        );
        let answer = explained(&project, &["GET", "http://a.test/q/b;a=1"]).to_string();
        assert_eq!(
            answer.contains("as the query"),
            refuses,
            "{hosts}: {answer}"
        );
    }
}

#[test]
fn ambiguous_condition_is_explained() {
    let project = project_with("", "in: header, name: X-Key", "");
    let document = project.read("s.yaml");
    let more = "  /c:\n    get: {operationId: c, security: [], \
        x-gateway: {public: true, match: {query: {a: {present: true}}}}, responses: {}}\n";
    project.write(
        "s.yaml",
        document.replace("components:", &format!("{more}components:")),
    );
    for (query, refuses) in [("a=1", false), ("=a=1", true), ("A=1", true)] {
        let answer = explained(&project, &["GET", &format!("http://a.test/c?{query}")]).to_string();
        let is_explained = answer.contains("about a condition (`match`)");
        assert_eq!(is_explained, refuses, "{query}: {answer}");
    }
}
