//! Tests that only signed bundles run. gwd refuses a faulty release, reports the reason in log,
//! metric and status, and keeps serving the current version.

use std::path::PathBuf;
use std::process::Command;

use e2e::gateway::{Gateway, Options};
use e2e::project::{Ended, Project};
use e2e::store::Store;
use e2e::wait;
use serde_json::{Value, json};

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: which version answers, version: \"1\"}
paths:
  /version: {get: {operationId: version, x-gateway: {public: true, policies: [say]}, responses: {}}}
";

fn gateway(version: &str) -> String {
    format!(
        "version: 1\nname: trust\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:1\"}}}}}}}}\n\
         policies: {{say: {{kind: respond, status: 200, body: {version}}}}}\n\
         defaults: {{upstream: u}}\n"
    )
}

/// gwd that runs version `v1`, with a separate store and a separate trust file.
struct Scene {
    project: Project,
    store: Store,
    gateway: Gateway,
    first: String,
}

impl Scene {
    fn new() -> Self {
        Self::with_trust(|_| {})
    }

    /// Starts gwd with a changed copy of the project's trust file.
    fn with_trust(change: impl Fn(&mut Value)) -> Self {
        let project = Project::with(&gateway("v1"), DOCUMENT);
        project.keygen();
        let first = project.apply();
        let store = Store::new();
        store.take(&project);
        let scene_trust = Self::trust_file(&project);
        std::fs::copy(project.path("trust.json"), &scene_trust).expect("a copy");
        edit(&scene_trust, change);
        let gateway = Options::of(&project)
            .store(store.root())
            .trust(Some(&scene_trust))
            .start();
        let scene = Self {
            project,
            store,
            gateway,
            first,
        };
        scene.answers("v1");
        scene
    }

    fn trust_file(project: &Project) -> PathBuf {
        project.path("gwd-trust.json")
    }

    fn release(&self, version: &str, arguments: &[&str]) -> String {
        self.project.write("gateway.yaml", gateway(version));
        let mut all = vec!["apply", "--yes", "--format", "json"];
        all.extend(arguments);
        let ended = self.project.gwc(&all);
        let bundle = ended.succeeds().json()["bundle"]
            .as_str()
            .map(str::to_owned);
        bundle.expect("an id")
    }

    #[track_caller]
    fn answers(&self, version: &str) {
        let response = self.gateway.ask("GET /version HTTP/1.1\nhost: h");
        assert_eq!((response.status, response.text().as_str()), (200, version));
    }

    /// Checks that gwd refused the newest channel head for this reason, and that gwd still serves
    /// as before.
    #[track_caller]
    fn refused(&self, expected: &str) {
        let mut connection = self.gateway.connect();
        self.gateway.notify();
        let status = wait::until("gwd tells a last error", || {
            let status = self.gateway.status();
            (!status["last_error"].is_null()).then_some(status)
        });
        let reason = status["last_error"]["reason"].as_str().unwrap_or_default();
        assert_eq!(reason, expected, "{status:#}");
        assert_eq!(status["bundle"], self.first.as_str(), "{status:#}");
        assert_eq!(status["ready"], true);
        let label = format!("reason=\"{reason}\"");
        let metrics = self.gateway.metrics();
        let failed = metrics.sum(
            "gwd_bundle_activations_total",
            &["result=\"failed\"", &label],
        );
        assert!(failed >= 1.0, "{}", metrics.0);
        let log = self.gateway.log();
        assert!(log.contains(&format!("\"reason\":\"{reason}\"")), "{log}");
        let response = connection
            .ask("GET /version HTTP/1.1\nhost: h")
            .expect("connections are not touched");
        assert_eq!(response.text(), "v1");
        self.answers("v1");
    }
}

fn edit(file: &std::path::Path, change: impl Fn(&mut Value)) {
    let text = std::fs::read_to_string(file).expect("a trust file");
    let mut trust: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut trust);
    let text = serde_json::to_string_pretty(&trust).expect("JSON");
    std::fs::write(file, text).expect("a trust file");
}

#[test]
fn a_good_release_runs() {
    let scene = Scene::new();
    let second = scene.release("v2", &["--key", "keys/release.pem"]);
    scene.store.take(&scene.project);
    scene.gateway.wait_bundle(&second);
    scene.answers("v2");
    scene.gateway.stops_clean();
}

#[test]
fn an_unsigned_record_is_refused() {
    let scene = Scene::new();
    scene.release("v2", &["--key", "keys/release.pem"]);
    scene.store.forge(&scene.project, |envelope| {
        envelope["dsseEnvelope"]["signatures"] = json!([]);
        // The hint names the key of the first signature. Clear the hint, because no signature is
        // left.
        envelope["verificationMaterial"]["publicKey"]["hint"] = json!("");
    });
    scene.refused("unsigned");
}

#[test]
fn record_with_changed_text_is_refused() {
    let scene = Scene::new();
    scene.release("v2", &["--key", "keys/release.pem"]);
    scene.store.forge(&scene.project, |envelope| {
        let payload = envelope["dsseEnvelope"]["payload"].as_str().expect("text");
        // Change one bit of the payload. The payload remains valid base64.
        let at = payload.len() / 2;
        let other = if payload.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        let payload = format!("{}{other}{}", &payload[..at], &payload[at + 1..]);
        envelope["dsseEnvelope"]["payload"] = payload.into();
    });
    scene.refused("bad-signature");
}

#[test]
fn a_key_that_gwd_does_not_know_is_refused() {
    let scene = Scene::new();
    scene.project.gwc(&["keygen", "stranger"]).succeeds();
    scene.release("v2", &["--key", "keys/stranger.pem"]);
    scene.store.take(&scene.project);
    scene.refused("unknown-key");
}

#[test]
fn a_key_of_another_role_is_refused() {
    let scene = Scene::new();
    scene.project.gwc(&["keygen", "builder"]).succeeds();
    // The trust file of gwd permits this key to sign build statements only.
    let trust = Scene::trust_file(&scene.project);
    std::fs::copy(scene.project.path("trust.json"), &trust).expect("a copy");
    edit(&trust, |trust| trust["keys"][1]["roles"] = json!(["build"]));
    scene.release("v2", &["--key", "keys/builder.pem"]);
    scene.store.take(&scene.project);
    scene.refused("wrong-role");
}

#[test]
fn a_key_whose_time_is_over_is_refused() {
    let scene = Scene::new();
    scene.project.gwc(&["keygen", "late"]).succeeds();
    let trust = Scene::trust_file(&scene.project);
    std::fs::copy(scene.project.path("trust.json"), &trust).expect("a copy");
    edit(&trust, |trust| {
        trust["keys"][1]["not_before"] = json!("2020-01-01T00:00:00Z");
        trust["keys"][1]["not_after"] = json!("2021-01-01T00:00:00Z");
    });
    scene.release("v2", &["--key", "keys/late.pem"]);
    scene.store.take(&scene.project);
    scene.refused("key-expired");
}

#[test]
fn bundle_without_an_authorized_builder_is_refused() {
    // The key of the channel record is trusted, but the builder's key is unknown to gwd.
    let scene = Scene::new();
    scene.project.gwc(&["keygen", "builder"]).succeeds();
    scene.release(
        "v2",
        &[
            "--key",
            "keys/release.pem",
            "--build-key",
            "keys/builder.pem",
        ],
    );
    scene.store.take(&scene.project);
    scene.refused("unknown-key");
}

#[test]
fn a_flipped_byte_is_refused_wherever_gwd_reads() {
    let changed = DOCUMENT.replace(
        "operationId: version,",
        "operationId: version, deprecated: true,",
    );
    let changed = changed.replace("public: true,", "public: true, timeout: 9s,");
    let release = |scene: &Scene| {
        scene.project.write("openapi.yaml", &changed);
        scene.release("v2", &["--key", "keys/release.pem"])
    };
    let scene = Scene::new();
    release(&scene);
    let pieces = scene.store.news(&scene.project);
    drop(scene);
    let mut names: Vec<&str> = pieces.iter().map(|piece| piece.what.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "api",
        "build manifest",
        "build statement",
        "bundle manifest",
        "channel head",
        "contract",
        "record manifest",
        "record statement",
        "shared",
        "source",
        "source manifest",
    ];
    assert_eq!(names, expected, "what a release adds to a store");

    for what in expected {
        let scene = Scene::new();
        let second = release(&scene);
        let pieces = scene.store.news(&scene.project);
        let piece = pieces.iter().find(|piece| piece.what == what);
        let path = &piece.expect("every release adds the same").path;
        scene.store.take_with(&scene.project, |other, mut bytes| {
            if other == path {
                let middle = bytes.len() / 2;
                // The channel head is a hexadecimal digest, and must remain one after the change.
                bytes[middle] = match (what, bytes[middle]) {
                    ("channel head", b'0') => b'1',
                    ("channel head", _) => b'0',
                    (_, byte) => byte ^ 1,
                };
            }
            bytes
        });
        // gwd can run a bundle without its contracts and sources. Only plans use contracts.
        if what.starts_with("source") || what == "contract" {
            scene.gateway.wait_bundle(&second);
            scene.answers("v2");
            continue;
        }
        eprintln!("a flipped byte in {what}");
        let reason = if what == "channel head" {
            "blob-missing"
        } else {
            "bad-digest"
        };
        scene.refused(reason);
    }
}

#[test]
fn damaged_revocation_list_is_refused_good_one_holds() {
    let scene = Scene::new();
    let second = scene.release("v2", &["--key", "keys/release.pem"]);
    scene.store.take(&scene.project);
    scene.gateway.wait_bundle(&second);
    // `gwc revoke` withdraws v2, and the channel returns to v1.
    let first = scene.first.clone();
    let revoke = scene.project.gwc(&[
        "revoke",
        &second,
        "--reason",
        "leaks",
        "--key",
        "keys/release.pem",
        "--then",
        &format!("rollback:{first}"),
        "--yes",
    ]);
    revoke.succeeds();
    let pieces = scene.store.news(&scene.project);
    let list = pieces
        .iter()
        .find(|piece| piece.what == "revoke statement")
        .unwrap_or_else(|| panic!("no revocation list in {pieces:#?}"));
    scene.store.take_with(&scene.project, |path, mut bytes| {
        if path == list.path {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        bytes
    });
    scene.gateway.notify();
    let logged = wait::until("gwd tells of the damage", || {
        let log = scene.gateway.log();
        log.contains("bad-digest").then_some(log)
    });
    assert!(!logged.contains("panic"), "{logged}");
    scene.store.repair(&scene.project, &list.path);
    scene.gateway.notify();
    scene.gateway.wait_bundle(&first);
    scene.answers("v1");
    // The operator cannot activate the withdrawn bundle.
    let again = scene
        .gateway
        .admin_ask("POST", "/v1/activate", &json!({"bundle": second}));
    assert!(again.status >= 400, "{}", again.text());
    assert_eq!(scene.gateway.status()["bundle"], first.as_str());
    scene.answers("v1");
}

#[test]
fn no_trust_file_no_start() {
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    project.apply();
    let mut without_trust = Options::of(&project).trust(None).spawn();
    assert_eq!(without_trust.wait_end(), Some(4), "{}", without_trust.log());
    let nowhere = project.path("nowhere.json");
    let mut missing = Options::of(&project).trust(Some(&nowhere)).spawn();
    assert_eq!(missing.wait_end(), Some(4), "{}", missing.log());
}

#[test]
fn the_openssl_lines_that_verify_prints_are_right() {
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    let id = project.apply();
    let by_hand = |id: &str| {
        let ended = project.gwc(&["verify", id, "--extract", "by-hand"]);
        let (_, lines) = ended
            .succeeds()
            .stdout
            .split_once("without gwc:")
            .unwrap_or_else(|| panic!("no lines in {ended}"));
        lines.trim().replace("\n  ", "\n")
    };
    let script = format!("set -e\n{}", by_hand(&id));
    assert_eq!(script.matches("openssl dgst").count(), 2, "{script}");
    let run = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(project.root());
        Ended::of(&mut shell)
    };
    let ended = run();
    assert_eq!(
        ended.succeeds().stdout.matches("Verified OK").count(),
        2,
        "{ended}"
    );

    let files = project.path("by-hand").read_dir().expect("files");
    let statements = files
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| !path.to_string_lossy().ends_with(".pem"));
    for path in statements {
        let good = std::fs::read(&path).expect("a file");
        let mut bad = good.clone();
        let at = bad.len() - 3;
        bad[at] ^= 1;
        std::fs::write(&path, bad).expect("a file");
        assert_ne!(
            run().code,
            Some(0),
            "damage in {} is not seen",
            path.display()
        );
        std::fs::write(&path, good).expect("a file");
    }
    run().succeeds();
}

/// `gwc verify` refuses every bundle that gwd refuses.
#[test]
fn verify_refuses_what_gwd_would() {
    let project = Project::with(&gateway("v1"), DOCUMENT);
    project.keygen();
    let id = project.apply();
    project.gwc(&["verify", &id]).succeeds();
    let unsigned = Project::with(&gateway("v1"), DOCUMENT);
    unsigned.keygen();
    let id = unsigned.build();
    unsigned.gwc(&["verify", &id]).exits(4);
    let other = project.path("trust.json");
    let other = other.to_str().expect("a path");
    unsigned.gwc(&["verify", &id, "--trust", other]).exits(4);
}
