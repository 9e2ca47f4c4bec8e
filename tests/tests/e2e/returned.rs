//! Tests of `rewrite_responses`. A service is mounted below a base path and receives its own host
//! name. Browsers that follow its redirects and store its cookies stay at the gateway.

use std::process::Command;

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::server::{Server, free_port};
use e2e::upstream::{Answer, Upstream};

const DOCUMENT: &str = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n\
    x-gateway: {defaults: {upstream: u}}\n\
    paths:\n  /login: {get: {operationId: login, x-gateway: {public: true}, responses: {}}}\n  \
    /home: {get: {operationId: home, x-gateway: {public: true}, responses: {}}}\n  \
    /files: {x-gateway: {match: prefix}, get: {operationId: files, x-gateway: {public: true}, responses: {}}}\n";

fn gateway(url: &str, rewrites: &str) -> (Project, Gateway) {
    let project = Project::with(
        &format!(
            "version: 1\nname: returned\n\
             apis: {{s: {{path: openapi.yaml, mount: {{base_path: /shop, strip_base_path: true}}}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{url}\"}}}}, host_header: upstream{rewrites}}}}}\n"
        ),
        DOCUMENT,
    );
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
    (project, gateway)
}

/// Requests a path with a curl that follows redirects and stores cookies. Returns the final status
/// and URL.
fn browse(gateway: &Gateway, path: &str) -> String {
    let output = Command::new("curl")
        .args(["-s", "--max-time", "10", "-L", "-b", "", "-o", "/dev/null"])
        .args(["-w", "%{http_code} %{url_effective}\n"])
        .arg(format!("http://{}{path}", gateway.address()))
        .output()
        .expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn browser_redirected_with_a_cookie_stays_at_gateway() {
    let upstream = Upstream::scripted(|seen| {
        let host = seen.header("host").unwrap_or_default();
        if seen.target == "/v1/login" {
            let mut answer = Answer::ok("");
            answer.status = 302;
            answer.headers = vec![
                (
                    "Location".into(),
                    format!("http://{host}/v1/home?from=login"),
                ),
                (
                    "Set-Cookie".into(),
                    "session=7; Path=/v1; Domain=127.0.0.1; HttpOnly".into(),
                ),
            ];
            return answer;
        }
        Answer::ok(seen.header("cookie").unwrap_or("no cookie"))
    });
    let url = format!("{}/v1", upstream.url());
    let (_project, gateway) = gateway(&url, ", rewrite_responses: [location, cookies]");
    let ended = browse(&gateway, "/shop/login");
    let at = format!("200 http://{}/shop/home?from=login", gateway.address());
    assert_eq!(ended, at);
    let requests: Vec<_> = upstream
        .take()
        .into_iter()
        .map(|seen| {
            (
                seen.target.clone(),
                seen.header("cookie").map(str::to_owned),
            )
        })
        .collect();
    assert_eq!(
        requests,
        [
            ("/v1/login".to_owned(), None),
            (
                "/v1/home?from=login".to_owned(),
                Some("session=7".to_owned())
            ),
        ]
    );
    gateway.stops_clean();
}

#[test]
fn nginx_that_sends_to_a_folder_sends_to_the_gateways() {
    let port = free_port();
    let folder = Project::new();
    folder.write("v1/files/docs/index.html", "the index");
    let root = folder.root().display();
    let server = format!("listen 127.0.0.1:{port}; root {root};");
    let Some(_nginx) = Server::nginx(folder.root(), port, &server) else {
        prerequisite::skip("there is no nginx");
        return;
    };
    let url = format!("http://127.0.0.1:{port}/v1");
    let (_project, rewriting) = gateway(&url, ", rewrite_responses: [location]");
    let at = format!("200 http://{}/shop/files/docs/", rewriting.address());
    assert_eq!(browse(&rewriting, "/shop/files/docs"), at);
    rewriting.stops_clean();
    // Without the setting, the redirect leads away from the gateway.
    let (_project, plain) = gateway(&url, "");
    let at = format!("200 http://127.0.0.1:{port}/v1/files/docs/");
    assert_eq!(browse(&plain, "/shop/files/docs"), at);
    plain.stops_clean();
}
