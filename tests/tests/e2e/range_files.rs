//! Tests of `ip_filter` with files of address ranges. A running gateway follows changes of the
//! files. While a file is unusable, the gateway keeps the last valid ranges.

use std::path::Path;

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /denied: {get: {operationId: denied, security: [], x-gateway: {public: true, policies: [blocked]}, responses: {"200": {description: ok}}}}
  /allowed: {get: {operationId: allowed, security: [], x-gateway: {public: true, policies: [known]}, responses: {"200": {description: ok}}}}
"#;

/// Replaces a file by a rename, as a program that maintains the file does.
fn replace(folder: &Path, name: &str, content: &str) {
    let new = folder.join("new");
    std::fs::write(&new, content).expect("it is written");
    std::fs::rename(new, folder.join(name)).expect("it is renamed");
}

fn status(gateway: &Gateway, path: &str) -> u16 {
    gateway.ask(&format!("GET {path} HTTP/1.1\nhost: h")).status
}

fn becomes(gateway: &Gateway, path: &str, expected: u16) {
    wait::until(&format!("{path} is {expected}"), || {
        (status(gateway, path) == expected).then_some(())
    });
}

#[test]
fn ranges_follow_their_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("it exists");
    let upstream = Upstream::start();
    let file = |name: &str| format!("\"${{file:{}}}\"", root.join(name).display());
    let gateway = format!(
        r#"version: 1
name: s
apis: {{s: {{path: openapi.yaml}}}}
upstreams: {{u: {{targets: {{a: {{url: "{}"}}}}}}}}
policies:
  blocked: {{kind: ip_filter, deny_file: {}}}
  known: {{kind: ip_filter, allow: [192.0.2.0/24], allow_file: {}}}
defaults: {{upstream: u}}
required: {{allow_public: ["s/*"]}}
"#,
        upstream.url(),
        file("blocked"),
        file("known"),
    );
    // This list is as long as the lists of reputation services. It contains no loopback address.
    let mut long: String = (0..50_000u32)
        .map(|number| {
            format!(
                "{}/28\n",
                std::net::Ipv4Addr::from(0x0B00_0000 + number * 32)
            )
        })
        .collect();
    replace(&root, "blocked", &long);
    replace(&root, "known", "127.0.0.0/8 # this machine\n");
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let secrets = root.display().to_string();
    let options = Options::of(&project).arguments(&["--secret-dir", &secrets]);
    let gateway = options.start();
    assert_eq!(status(&gateway, "/denied"), 200);
    assert_eq!(status(&gateway, "/allowed"), 200);

    long.push_str("127.0.0.1 ; reported\n");
    replace(&root, "blocked", &long);
    becomes(&gateway, "/denied", 403);
    replace(&root, "known", "::1\n");
    becomes(&gateway, "/allowed", 403);

    // gwd ignores an unusable file, keeps the last ranges, and reports the file.
    replace(&root, "blocked", "127.0.0.0/8 fine\nnot a range\n");
    wait::until("it is reported", || {
        let stale = gateway.metrics().sum("gwd_secret_stale", &["blocked"]);
        (stale == 1.0).then_some(())
    });
    assert_eq!(status(&gateway, "/denied"), 403);
    replace(&root, "blocked", "192.0.2.0/24\n");
    becomes(&gateway, "/denied", 200);
    gateway.stops_clean();
}
