//! Test of the tutorial "Mutual TLS with SPIFFE" (docs/mutual-tls.md). The tutorial's commands
//! create certificates, its files compile without warnings, and its gateway responds as the page
//! says.

use std::path::Path;
use std::process::Command;

use e2e::binaries;
use e2e::gateway::Options;
use e2e::project::Project;
use e2e::upstream::Upstream;

/// Reads the code blocks with this language from a section of docs/mutual-tls.md.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let path = binaries::workspace().join("docs/mutual-tls.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let (_, rest) = page
        .split_once(&format!("\n## {section}"))
        .unwrap_or_else(|| panic!("no section {section}"));
    let section = rest.split("\n## ").next().expect("a section ends");
    let begin = format!("```{language}\n");
    let blocks = section.split(begin.as_str()).skip(1);
    blocks
        .map(|block| block.split("```").next().expect("a block ends").to_owned())
        .collect()
}

/// Runs a block of commands in a folder. Returns its standard output.
fn sh(folder: &Path, commands: &str) -> String {
    let output = Command::new("sh")
        .args(["-ec", commands])
        .current_dir(folder)
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{commands}\n{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn tutorial_admits_workloads_by_spiffe_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let [make] = &blocks("1.", "sh")[..] else {
        panic!("one block of commands");
    };
    sh(folder.path(), make);
    let project = Project::new();
    for block in blocks("2.", "yaml") {
        let (name, text) = block.split_once('\n').expect("lines");
        project.write(name.strip_prefix("# ").expect("the name of a file"), text);
    }
    project.gwc(&["lint", "--fail-on", "warn"]).succeeds();
    let route = |credential: &[&str]| {
        let url = "https://shop.example.org:8443/orders";
        let words = [&["route", "GET", url], credential].concat();
        project.gwc(&words).succeeds().stdout.clone()
    };
    assert!(route(&[]).contains("credential_missing"), "{}", route(&[]));
    let valid = route(&["--credential", "mesh=valid"]);
    assert!(valid.contains("forwarded to `shop`"), "{valid}");
    // Replace the secrets folder, the upstream URL and the port of docs/mutual-tls.md by those of
    // the test.
    let upstream = Upstream::start();
    let secrets = folder.path().display().to_string();
    let text = String::from_utf8(project.read("gateway.yaml")).expect("text");
    let text = text.replace("/run/secrets", &secrets);
    let text = text.replace("http://127.0.0.1:9000", &upstream.url());
    project.write(
        "gateway.yaml",
        text.replace("127.0.0.1:8443", "127.0.0.1:0"),
    );
    project.keygen();
    project.apply();
    let options = Options::of(&project).arguments(&["--secret-dir", &secrets]);
    let gateway = options.start();
    let port = gateway.listener("public").port().to_string();
    let [calls] = &blocks("4.", "sh")[..] else {
        panic!("one block of calls");
    };
    let answers = sh(folder.path(), &calls.replace("8443", &port));
    assert_eq!(
        answers.lines().collect::<Vec<_>>(),
        ["200", "200", "200", "403"]
    );
    let refused = std::fs::read_to_string(folder.path().join("response")).expect("a problem");
    assert!(refused.contains("\"not_authorized\""), "{refused}");
    let workloads: Vec<String> = upstream
        .take()
        .iter()
        .map(|request| request.header("x-workload").unwrap_or_default().to_owned())
        .collect();
    let id = |name: &str| format!("spiffe://example.org/ns/shop/sa/{name}");
    assert_eq!(workloads, [id("orders"), id("orders"), id("web")]);
    // With `mode: required`, the TLS handshake fails for a client without a certificate.
    let (function, _) = calls.split_once('\n').expect("a function");
    let bare = format!(
        "{}\n! call https://shop.example.org:{port}/orders 2>/dev/null",
        function.replace("8443", &port)
    );
    sh(folder.path(), &bare);
}
