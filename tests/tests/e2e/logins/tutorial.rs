//! Test of the tutorial "Log browsers in" (docs/log-browsers-in.md). The tutorial's files compile
//! without warnings, and the gateway logs a browser in.

use e2e::binaries;

use super::*;

/// Reads the YAML files from the code blocks of the page, by file name.
fn files() -> BTreeMap<String, String> {
    let path = binaries::workspace().join("docs/log-browsers-in.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let blocks = page.split("```yaml\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().expect("a block ends"));
    let named = blocks.map(|block| block.split_once('\n').expect("lines"));
    named
        .map(|(name, text)| {
            let name = name.strip_prefix("# ").expect("the name of a file");
            (name.to_owned(), text.to_owned())
        })
        .collect()
}

#[test]
fn tutorial_logs_a_browser_in() {
    let Some(provider) = Peer::python("login_provider.py", &[""; 0]) else {
        return prerequisite::skip(peers::MISSING);
    };
    let issuer = format!("http://127.0.0.1:{}", provider.greeting());
    let project = Project::new();
    for (name, text) in files() {
        project.write(&name, text);
    }
    project.gwc(&["lint", "--fail-on", "warn"]).succeeds();
    let output = project
        .gwc(&["route", "GET", "/orders"])
        .succeeds()
        .stdout
        .clone();
    assert!(output.contains("credential_missing"), "{output}");
    // Replace the tutorial's provider and application by the test's provider and upstream.
    let upstream = Upstream::start();
    let secrets = [("oidc", SECRET), ("session-keys", KEY)];
    let mut text = String::from_utf8(project.read("gateway.yaml")).expect("text");
    for (name, _) in secrets {
        let variable = name.to_uppercase().replace('-', "_");
        let file = format!("${{file:/run/secrets/{name}}}");
        text = text.replace(&file, &format!("${{env:GWS_{variable}}}"));
    }
    text = text.replace("https://login.example.org", &issuer);
    text = text.replace("http://127.0.0.1:9000", &upstream.url());
    text = text.replace(
        "client_id: shop",
        "client_id: the gateway, algorithms: [ES256]",
    );
    let text = text.replace("client_id: the gateway, ", "client_id: the gateway\n    ");
    project.write("gateway.yaml", text);
    project.keygen();
    project.apply();
    let options = Options::of(&project).variable("GWS_OIDC", SECRET);
    let gateway = options.variable("GWS_SESSION_KEYS", KEY).start();
    let scene = Scene {
        provider,
        project,
        upstream,
        gateway,
        issuer,
    };
    let mut browser = Browser::default();
    let done = browser.log_in(&scene, "/orders");
    assert_eq!(
        (done.status, location(&done)),
        (303, "/orders"),
        "{}",
        done.text()
    );
    assert_eq!(browser.open(&scene, "/orders").status, 200);
    let seen = scene.upstream.take();
    assert_eq!(seen[0].header("x-user"), Some("alice"));
    assert_eq!(seen[0].header("x-email"), Some("alice@example.org"));
    let out = browser.send(&scene.gateway, "GET /logout", "sec-fetch-site: none");
    assert!(
        location(&out).starts_with(&scene.issuer),
        "{}",
        location(&out)
    );
    assert_eq!(browser.open(&scene, "/goodbye").status, 200);
    assert_eq!(browser.open(&scene, "/orders").status, 303);
}
