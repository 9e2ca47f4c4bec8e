//! Tests that the commands printed by `gwc verify` run with `openssl` alone.

use std::path::Path;
use std::process::Command;

use bundle::by_hand;
use bundle::store::memory::Memory;
use bundle::trust::When;

use crate::fixture::*;

fn run(folder: &Path, line: &str) -> (bool, String) {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .output();
    let output = output.expect("a POSIX shell is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[test]
fn openssl_agrees() {
    let version = Command::new("openssl").arg("version").output();
    assert!(
        version.is_ok_and(|output| output.status.success()),
        "this test needs the openssl command: install the package `openssl`"
    );
    let store = Memory::default();
    let statement = put(&store, &bundle("one"));
    let report = by_hand::report(&store, &trust(), None, statement, When::First(NOON)).unwrap();
    assert!(report.signers.unwrap().owners.contains("ci"));
    let [signature] = &report.signatures[..] else {
        panic!("one signature")
    };
    assert_eq!(
        (signature.owner.as_deref(), signature.fits),
        (Some("ci"), Some(true))
    );
    let by_hand = signature.by_hand.as_ref().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &by_hand.files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    assert_eq!(
        run(folder.path(), &by_hand.line),
        (true, "Verified OK\n".to_owned())
    );

    // A changed payload is detected.
    let (payload, bytes) = &by_hand.files[0];
    let mut changed = bytes.clone();
    changed[40] ^= 1;
    std::fs::write(folder.path().join(payload), changed).unwrap();
    let (ok, _) = run(folder.path(), &by_hand.line);
    assert!(!ok, "openssl took a changed payload");
}

#[test]
fn openssl_keys_and_signatures_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (ok, _) = run(
        folder.path(),
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem \
         && openssl pkey -in key.pem -pubout -out public.pem \
         && openssl pkey -in key.pem -pubout -outform DER | sha256sum | cut -c1-64 >id",
    );
    assert!(
        ok,
        "this test needs the openssl command: install the package `openssl`"
    );
    let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let private = bundle::keys::PrivateKey::from_pem(&read("key.pem")).unwrap();
    let public = bundle::keys::PublicKey::from_pem(&read("public.pem")).unwrap();
    assert_eq!(private.public(), public);
    assert_eq!(public.id().to_string(), read("id").trim());
    assert_eq!(public.to_pem(), read("public.pem"));
    let pem = private.to_pem();
    let text: &str = pem.as_ref();
    assert_eq!(text, read("key.pem"));
}
