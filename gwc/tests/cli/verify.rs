//! Tests of `gwc verify` and of its output.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::project::{Project, command, run};

fn signed() -> (Project, String) {
    let project = Project::new();
    let id = project.build();
    project
        .run(&["sign", &id, "--key", "keys/release.pem"])
        .with(0);
    (project, id)
}

#[test]
fn signed_bundle_verifies_and_unsigned_one_does_not() {
    let project = Project::new();
    let id = project.build();
    let ended = project.run(&["verify", &id, "--extract", "x", "--format", "json"]);
    let document = ended.with(4).json("verify/v1");
    assert_eq!(document["reason"], "unsigned");
    project
        .run(&["sign", &id, "--key", "keys/release.pem"])
        .with(0);
    let ended = project.run(&["verify", &id, "--extract", "x", "--format", "json"]);
    let document = ended.with(0).json("verify/v1");
    assert_eq!(document["verified"], true);
    assert_eq!(document["statements"][0]["role"], "build");
}

#[test]
fn threshold_of_two_needs_both_signatures() {
    let (project, id) = signed();
    project
        .run(&["keygen", "second", "--roles", "build"])
        .with(0);
    project.edit("trust.json", "\"build\": 1", "\"build\": 2");
    project
        .run(&["verify", &id, "--extract", "x"])
        .with(4)
        .contains("below-threshold");
    project
        .run(&["sign", &id, "--key", "keys/second.pem"])
        .with(0)
        .contains("second");
    project.run(&["verify", &id, "--extract", "x"]).with(0);
}

#[test]
fn printed_openssl_commands_verify() {
    let (project, id) = signed();
    project
        .run(&["apply", "--key", "keys/release.pem", "--yes"])
        .with(0);
    let ended = project
        .run(&["verify", &id, "--extract", "by hand's"])
        .with(0);
    let lines: Vec<&str> = ended
        .out
        .lines()
        .skip_while(|line| !line.starts_with("The same by hand"))
        .skip(1)
        .collect();
    assert!(
        lines.iter().filter(|line| line.contains("openssl")).count() == 2,
        "{lines:?}"
    );
    let script = format!("set -e\n{}\n", lines.join("\n"));
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(project.path())
        .output()
        .expect("a POSIX shell and openssl are there");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{script}{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(text.matches("Verified OK").count(), 2, "{text}");
}

#[test]
fn damaged_blob_and_unknown_key_are_refused() {
    let (project, id) = signed();
    let other = Project::new();
    let trust = other.file("trust.json");
    project
        .run(&[
            "verify",
            &id,
            "--extract",
            "x",
            "--trust",
            trust.to_str().unwrap(),
        ])
        .with(4)
        .contains("unknown-key");
    project
        .run(&["verify", &id, "--trust", "missing.json"])
        .with(65);
    let inspected = project.run(&["inspect", &id, "--format", "json"]).with(0);
    let layer = inspected.json("inspect/v1")["layers"][0]["digest"].clone();
    let hex = layer
        .as_str()
        .unwrap()
        .strip_prefix("sha256:")
        .unwrap()
        .to_owned();
    let blob = project.file(&format!("releases/blobs/sha256/{hex}"));
    let mut bytes = fs::read(&blob).unwrap();
    bytes[10] ^= 1;
    fs::write(&blob, bytes).unwrap();
    project
        .run(&["verify", &id, "--extract", "x"])
        .with(4)
        .contains("bad-digest");
}

#[test]
fn one_file_carries_its_signatures() {
    let project = Project::new();
    let id = project.build();
    project
        .run(&["sign", &id, "--key", "keys/release.pem", "-o", "one.tar"])
        .with(0);
    project
        .run(&["verify", "one.tar", "--extract", "x"])
        .with(0);
    // Verification needs only the archive and the trust file.
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["one.tar", "trust.json"] {
        fs::copy(project.file(name), elsewhere.path().join(name)).unwrap();
    }
    let mut command = command(elsewhere.path());
    command.args([
        "verify",
        "one.tar",
        "--trust",
        "trust.json",
        "--extract",
        "x",
    ]);
    run(&mut command).with(0);
    // Damage one byte in the middle of a blob.
    let mut bytes = fs::read(project.file("one.tar")).unwrap();
    let at = bytes.windows(4).position(|four| four == b"shop").unwrap();
    bytes[at] ^= 1;
    project.write("damaged.tar", bytes);
    project.run(&["verify", "damaged.tar"]).with(4);
    project.write(
        "cut.tar",
        &fs::read(project.file("one.tar")).unwrap()[..100],
    );
    project.run(&["verify", "cut.tar"]).with(65);
}

#[test]
fn temporary_folders_are_private_and_distinct() {
    let (project, id) = signed();
    let temporary = project.file("tmp");
    fs::create_dir(&temporary).unwrap();
    for _ in 0..2 {
        let mut verify = command(project.path());
        run(verify.env("TMPDIR", &temporary).args(["verify", &id])).with(0);
    }
    let folders: Vec<_> = fs::read_dir(&temporary).unwrap().flatten().collect();
    assert_eq!(folders.len(), 2, "{folders:?}");
    for folder in folders {
        let mode = folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{folder:?}");
    }
}
