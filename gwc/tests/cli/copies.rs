//! `gwc push` and `gwc pull` between stores in folders.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use crate::project::Project;

/// Stand-in for a registry that answers each request with 401.
struct RefusingRegistry {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl RefusingRegistry {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().filter_map(Result::ok) {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                seen.lock().expect("no panic").push(head);
                let _gone = stream.write_all(
                    b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"r\"\r\n\
                      content-length: 0\r\nconnection: close\r\n\r\n",
                );
            }
        });
        Self { address, heads }
    }

    fn name(&self) -> String {
        format!("oci://{}/shop", self.address)
    }

    /// Numbers of requests since the last call: all, and those with the token.
    fn requests(&self) -> (usize, usize) {
        let heads = std::mem::take(&mut *self.heads.lock().expect("no panic"));
        let has_token = |head: &&String| head.contains("authorization: bearer s3cret");
        (heads.len(), heads.iter().filter(has_token).count())
    }
}

fn exists(project: &Project, path: &str) -> bool {
    project.file(path).exists()
}

#[test]
fn pushed_store_is_equal_and_can_be_pulled() {
    let project = Project::released();
    project.change("6s");
    project.apply("second").with(0);
    let pushed = project.run(&["push", "mirror", "usb", "--format", "json"]);
    let pushed = pushed.with(0).json("push/v1");
    assert_eq!(pushed["to"].as_array().map(Vec::len), Some(2));
    assert_eq!(pushed["to"][0]["links"], 2);
    assert_eq!(pushed["to"][0]["bundles"], 2);
    let history = project.history();
    let again = project.run(&["push", "mirror"]).with(0);
    again.contains("has everything already");
    // The copy has all records, and each bundle verifies.
    let listed = project.run(&["history", "--store", "mirror", "--format", "json"]);
    let listed = listed.with(0).json("history/v1");
    assert_eq!(
        listed["records"].as_array().map(Vec::len),
        Some(history.len())
    );
    for (_, id) in &history {
        project.run(&["verify", id, "--store", "mirror"]).with(0);
    }
    std::fs::remove_dir_all(project.file("releases")).unwrap();
    let pulled = project.run(&["pull", "nowhere", "usb", "--format", "json"]);
    let pulled = pulled.with(0);
    assert!(pulled.err.contains("warning"), "{}", pulled.err);
    let pulled = pulled.json("pull/v1");
    assert_eq!(pulled["from"], "usb");
    assert_eq!(project.history(), history);
    project.run(&["status"]).with(0);
}

#[test]
fn a_fork_is_not_overwritten() {
    let project = Project::released();
    project.run(&["push", "mirror"]).with(0);
    project.change("6s");
    project.apply("second").with(0);
    let other = [
        "apply",
        "--store",
        "mirror",
        "--key",
        "keys/release.pem",
        "--yes",
    ];
    let reason = ["--reason", "another second"];
    project.run(&[&other[..], &reason].concat()).with(0);
    for command in ["push", "pull"] {
        let ended = project.run(&[command, "mirror"]).with(3);
        assert!(ended.err.contains("serial 2"), "{}", ended.err);
    }
}

#[test]
fn unknown_channels_and_places_are_refused() {
    let project = Project::released();
    let missing = project
        .run(&["push", "mirror", "--channel", "test"])
        .with(65);
    assert!(missing.err.contains("no channel `test`"), "{}", missing.err);
    assert!(!exists(&project, "mirror"));
    project
        .run(&["push", "mirror", "--channel", "prod"])
        .with(0);
    project.run(&["push", "s3://bucket/x"]).with(64);
    project.run(&["push", "oci://registry.example"]).with(64);
    let secret = project
        .run(&["push", "oci://ann:s3cret@registry.example/x"])
        .with(64);
    assert!(!secret.err.contains("s3cret"), "{}", secret.err);
    project.run(&["pull", "nowhere"]).with(69);
    project
        .run(&["gc", "--store", "oci://registry.example/x"])
        .with(64);
}

#[test]
fn token_is_sent_to_one_registry_only() {
    let project = Project::released();
    project.write("token", "s3cret");
    let (own, other) = (RefusingRegistry::start(), RefusingRegistry::start());
    let options = ["--registry-token-file", "token", "--registry-plain-http"];
    let run = |arguments: &[&str]| project.run(&[arguments, &options[..]].concat());
    let (own_name, other_name) = (own.name(), other.name());
    run(&["pull", &other_name, "--store", &own_name]);
    let (requests, with_token) = other.requests();
    assert!(requests > 0 && with_token == 0, "{requests} {with_token}");
    run(&["push", &other_name, "--store", &own_name]);
    assert_ne!(own.requests().1, 0, "the registry of the store");
    assert_eq!(other.requests().1, 0, "the target");
    // The project's store is a folder: the token belongs to the registry of the command.
    run(&["push", &other_name]);
    assert_ne!(other.requests().1, 0, "the only registry");
    let refused = run(&["push", &other_name, &own_name]).with(64);
    assert!(refused.err.contains("one registry"), "{}", refused.err);
    assert_eq!((own.requests().0, other.requests().0), (0, 0));
}

/// A source with a record of a key that the project does not trust.
#[test]
fn pull_copies_nothing_from_an_untrusted_source() {
    let project = Project::released();
    project.run(&["push", "mirror"]).with(0);
    let trusted = project.read("trust.json");
    project.run(&["keygen", "stranger"]).with(0);
    project.change("6s");
    let plan = project.run(&["plan", "--format", "json"]);
    let new_key = plan.json("plan/v1")["changes"][0]["fingerprint"].clone();
    let ack = format!("{}=x", new_key.as_str().unwrap());
    let apply = ["apply", "--store", "mirror", "--yes", "--ack", &ack];
    project
        .run(&[&apply[..], &["--key", "keys/stranger.pem"]].concat())
        .with(0);
    project.write("trust.json", &trusted);
    let refused = project.run(&["pull", "mirror"]).with(4);
    for part in [
        "error[unknown-key]",
        "record 2 of channel prod",
        "`channels/prod/00000000000000000002`",
        "`ch-prod-00000000000000000002`",
        "nothing was copied",
    ] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    assert_eq!(project.history().len(), 1);
    project.apply("second").with(0);
}

/// As in the state folder of a gateway, which has no contracts.
#[test]
fn bundles_without_all_parts_are_left_out() {
    let project = Project::released();
    project.run(&["push", "mirror"]).with(0);
    let blob = |digest: &str| format!("mirror/blobs/sha256/{}", digest.replace("sha256:", ""));
    let manifest = project.read(&blob(&project.history()[0].1));
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    let contracts = layers.filter(|layer| layer["mediaType"] == bundle::manifest::CONTRACT);
    for layer in contracts {
        std::fs::remove_file(project.file(&blob(layer["digest"].as_str().unwrap()))).unwrap();
    }
    std::fs::remove_dir_all(project.file("releases")).unwrap();
    let pulled = project.run(&["pull", "mirror"]).with(0);
    let pulled = pulled.contains("1 records and lists, 0 bundles");
    pulled.contains("1 bundles were left out");
    project.run(&["status"]).with(0);
}

/// The list that the newest record names is withheld.
#[test]
fn pull_needs_the_lists_that_records_name() {
    let project = Project::released();
    let key = ["--key", "keys/release.pem", "--yes"];
    let credential = "1".repeat(64);
    let revoke = ["revoke", "--credential", &credential];
    project.run(&[&revoke[..], &key].concat()).with(0);
    project.change("6s");
    project.apply("second").with(0);
    project.run(&["push", "mirror"]).with(0);
    std::fs::remove_dir_all(project.file("mirror/revocations")).unwrap();
    std::fs::remove_dir_all(project.file("releases")).unwrap();
    let refused = project.run(&["pull", "mirror"]).with(4);
    assert!(
        refused.err.contains("revocations-withheld"),
        "{}",
        refused.err
    );
    assert!(!exists(&project, "releases/channels/prod"));
}
