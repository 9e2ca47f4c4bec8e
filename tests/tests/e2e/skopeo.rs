//! Test of a release store as an OCI image layout. skopeo copies the store to a mirror and back
//! with the commands of docs/bundle-format.md. gwc verifies the copy, and gwd runs it.

use std::path::Path;
use std::process::Command;

use e2e::audit::Audit;
use e2e::binaries;
use e2e::gateway::Options;
use e2e::project::{Ended, Project};

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: which version answers, version: \"1\"}
paths:
  /version: {get: {operationId: version, x-gateway: {public: true, policies: [say]}, responses: {}}}
";

fn gateway(version: &str) -> String {
    format!(
        "version: 1\nname: mirror\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:1\"}}}}}}}}\n\
         policies: {{say: {{kind: respond, status: 200, body: {version}}}}}\n\
         defaults: {{upstream: u}}\n"
    )
}

/// Reads the shell script under *Mirrors* in docs/bundle-format.md.
fn script() -> String {
    let text = binaries::workspace().join("docs/bundle-format.md");
    let text = std::fs::read_to_string(text).expect("the page");
    let (_, behind) = text.split_once("### Mirrors").expect("the section");
    let (_, behind) = behind.split_once("```sh\n").expect("a script");
    behind.split("```").next().expect("it ends").to_owned()
}

fn mirror(from: &Path, to: &Path) {
    let mut command = Command::new("sh");
    command.args(["-euc", &script()]);
    command.env("FROM", from).env("TO", to);
    Ended::of(&mut command).succeeds();
}

#[test]
fn store_copied_by_skopeo_is_the_same_and_runs() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        prerequisite::skip("there is no skopeo; `make tools` installs it where that is allowed");
        return;
    }
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    let first = project.apply();
    project.write("gateway.yaml", gateway("v2"));
    let second = project.apply();
    let revoke = [
        "revoke",
        &second,
        "--then",
        "rollback:-1",
        "--key",
        "keys/release.pem",
        "--yes",
    ];
    project.gwc(&revoke).succeeds();
    let store = project.path("releases");
    let before = Audit::of(&store, "prod", 20);
    assert_eq!(before.head(), 3);

    mirror(&store, &project.path("elsewhere"));
    std::fs::remove_dir_all(&store).expect("the store can be removed");
    mirror(&project.path("elsewhere"), &store);

    assert_eq!(
        Audit::of(&store, "prod", 20),
        before,
        "every digest is kept"
    );
    for id in [&first, &second] {
        let hex = id.trim_start_matches("sha256:");
        assert!(store.join("blobs/sha256").join(hex).is_file());
    }
    project.gwc(&["verify", &first]).succeeds();
    project.gwc(&["verify", &second]).exits(4);
    let history = project.gwc(&["history", "--format", "json"]);
    assert_eq!(history.succeeds().json()["result"], "ok");
    let gateway = Options::of(&project).start();
    let status = gateway.status();
    assert_eq!(
        (&status["bundle"], &status["serial"]),
        (&first.as_str().into(), &3.into())
    );
    assert_eq!(gateway.ask("GET /version HTTP/1.1\nhost: h").text(), "v1");
    gateway.stops_clean();
    // `gwc apply` can continue the copied store.
    project.write("gateway.yaml", self::gateway("v3"));
    project.apply();
    let after = Audit::of(&store, "prod", 20);
    assert_eq!(after.head(), 4);
    after.check_index(&store);
}
