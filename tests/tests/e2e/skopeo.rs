//! Tests of a release store as an OCI image layout. skopeo copies the store to a mirror and back
//! with the commands of docs/bundle-format.md, and to a registry and back with those of
//! docs/registry.md. gwc verifies the copy, and gwd runs it.

use std::path::Path;
use std::process::Command;

use e2e::audit::Audit;
use e2e::binaries;
use e2e::gateway::Options;
use e2e::project::{Ended, Project};

use crate::registries::{DOCUMENT, gateway};
use crate::registry_proxy::ProxiedRegistry;

/// Shell scripts of a section of a page.
fn scripts(page: &str, section: &str) -> Vec<String> {
    let text = binaries::workspace().join(page);
    let text = std::fs::read_to_string(text).expect("the page");
    let (_, behind) = text.split_once(section).expect("the section");
    let section = behind.split("\n##").next().expect("its text");
    let scripts = section.split("```sh\n").skip(1);
    let scripts = scripts.map(|block| block.split("```").next().expect("it ends").to_owned());
    scripts.collect()
}

/// Runs a script with `$FROM` and `$TO`. `home`: home folder with the configuration of skopeo.
fn run(script: &str, from: &Path, to: &Path, home: Option<&Path>) {
    let mut command = Command::new("sh");
    command.args(["-euc", script]);
    command.env("FROM", from).env("TO", to);
    if let Some(home) = home {
        command.env("HOME", home).env_remove("XDG_CONFIG_HOME");
    }
    Ended::of(&mut command).succeeds();
}

fn mirror(from: &Path, to: &Path) {
    let [script] = &scripts("docs/bundle-format.md", "### Mirrors")[..] else {
        panic!("one script of mirrors");
    };
    run(script, from, to, None);
}

/// Project whose second release is revoked, with a rollback to the first one. Returns the ids of
/// both bundles.
fn released() -> (Project, String, String) {
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    let first = project.apply();
    project.write("gateway.yaml", gateway("v2"));
    let second = project.apply();
    let revoke = ["revoke", &second, "--then", "rollback:-1"];
    let key = ["--key", "keys/release.pem", "--yes"];
    project.gwc(&[&revoke[..], &key].concat()).succeeds();
    (project, first, second)
}

#[test]
fn store_copied_by_skopeo_is_the_same_and_runs() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        prerequisite::skip("there is no skopeo; `make tools` installs it where that is allowed");
        return;
    }
    let (project, first, second) = released();
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
    let running = Options::of(&project).start();
    let status = running.status();
    assert_eq!(
        (&status["bundle"], &status["serial"]),
        (&first.as_str().into(), &3.into())
    );
    assert_eq!(running.ask("GET /version HTTP/1.1\nhost: h").text(), "v1");
    running.stops_clean();
    // `gwc apply` can continue the copied store.
    project.write("gateway.yaml", gateway("v3"));
    project.apply();
    let after = Audit::of(&store, "prod", 20);
    assert_eq!(after.head(), 4);
    after.check_index(&store);
}

#[test]
fn store_copied_to_a_registry_and_back_runs() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        prerequisite::skip("there is no skopeo; `make tools` installs it where that is allowed");
        return;
    }
    let Some(registry) = ProxiedRegistry::start() else {
        return;
    };
    let (project, first, _) = released();
    let [to_registry, to_folder] = &scripts("docs/registry.md", "## Copies by skopeo")[..] else {
        panic!("two scripts");
    };
    let (store, copied) = (project.path("releases"), project.path("copied"));
    let before = Audit::of(&store, "prod", 20);
    let repository = registry.store();
    let repository = Path::new(repository.trim_start_matches("oci://"));
    let host = repository.components().next().expect("a host");
    let host = host.as_os_str().display();
    let insecure = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    project.write("home/.config/containers/registries.conf", insecure);
    let home = project.path("home");

    // From the folder to the registry: gwc and gwd use it as if gwc had written it.
    run(to_registry, &store, repository, Some(&home));
    let history = registry.gwc(&project, &["history", "--format", "json"]);
    let history = history.succeeds().json();
    assert_eq!(history["records"].as_array().map(Vec::len), Some(3));
    let follower = registry.gateway(&project, "10m").start();
    assert_eq!(follower.ask("GET /version HTTP/1.1\nhost: h").text(), "v1");
    assert_eq!(follower.status()["revocations"], 1);
    registry.release(&project, "v3", &[]);
    follower.notify();
    assert_eq!(follower.status()["serial"], 4);
    assert_eq!(follower.ask("GET /version HTTP/1.1\nhost: h").text(), "v3");
    follower.stops_clean();

    // From a repository that gwc has written to a folder.
    let written = registry.store().replace("shop/releases", "shop/written");
    project.gwc(&["push", &written]).succeeds();
    let written = Path::new(written.trim_start_matches("oci://"));
    run(to_folder, written, &copied, Some(&home));
    assert_eq!(
        Audit::of(&copied, "prod", 20),
        before,
        "every digest is kept"
    );
    let running = Options::of(&project).store(&copied).start();
    assert_eq!(running.status()["bundle"], first);
    running.stops_clean();
    project.write("gateway.yaml", gateway("v4"));
    let apply = [
        "apply",
        "--key",
        "keys/release.pem",
        "--yes",
        "--store",
        "copied",
    ];
    project.gwc(&apply).succeeds();
    let after = Audit::of(&copied, "prod", 20);
    assert_eq!(after.head(), 4);
    after.check_index(&copied);
}
