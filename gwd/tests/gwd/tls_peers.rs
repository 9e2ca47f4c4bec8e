//! TLS tested by independent scanners: testssl.sh and `openssl s_client`.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fixture::*;
use crate::pki::{Authority, Secrets};
use crate::tls::{self, https, start, tls};
use crate::world::{Process, World};

/// Starts a gateway with a certificate for `localhost`.
fn gateway(world: &World, upstream: &Upstream) -> Process {
    let secrets = Secrets::of(world);
    let pem = Authority::new("ca").issue(&["localhost"]);
    start(
        world,
        &https(upstream, tls(vec![secrets.certificate("main", &pem)])),
    )
}

/// Output of `openssl s_client` for `localhost`, with `typed` as its input.
fn s_client(address: SocketAddr, arguments: &[&str], typed: &str) -> String {
    let arguments = [&["-servername", "localhost"], arguments].concat();
    tls::s_client(address, &arguments, typed)
}

#[test]
fn nothing_old_or_weak_can_be_agreed_on() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = gateway(&world, &upstream);
    let address = gwd.public();
    let agreed = |arguments: &[&str]| {
        let output = s_client(address, arguments, "");
        !output.contains("New, (NONE)") && output.contains("New, TLSv1")
    };
    assert!(agreed(&["-tls1_2"]) && agreed(&["-tls1_3"]));
    for weak in [
        "aNULL", "eNULL", "RC4", "3DES", "kRSA", "CBC", "DSS", "PSK", "SRP", "CAMELLIA", "ARIA",
    ] {
        let list = format!("{weak}:@SECLEVEL=0");
        assert!(!agreed(&["-tls1_2", "-cipher", &list]), "{weak}");
    }
    for old in ["-tls1", "-tls1_1"] {
        assert!(!agreed(&[old, "-cipher", "ALL:@SECLEVEL=0"]), "{old}");
    }
    assert!(!agreed(&["-curves", "secp521r1:brainpoolP256r1"]));
    assert!(agreed(&["-curves", "X25519"]) && agreed(&["-curves", "P-384"]));
    let output = s_client(address, &["-tls1_2"], "");
    assert!(output.contains("Compression: NONE"), "{output}");
    assert!(output.contains("Extended master secret: yes"), "{output}");
    assert!(
        output.contains("Secure Renegotiation IS supported"),
        "{output}"
    );
}

#[test]
fn there_is_no_renegotiation_and_no_early_data() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = gateway(&world, &upstream);
    let request = "GET /a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    // `R` on its own line makes `s_client` request a renegotiation.
    let began = std::time::Instant::now();
    let output = s_client(gwd.public(), &["-tls1_2"], &format!("R\n{request}"));
    assert!(began.elapsed() < WAIT_MAX, "the refusal waits");
    assert!(output.contains("RENEGOTIATING"), "{output}");
    assert!(!output.contains("HTTP/1.1 200"), "{output}");
    let session = world.path("session").display().to_string();
    let early = world.path("early");
    std::fs::write(&early, request).unwrap();
    let early = early.display().to_string();
    let output = s_client(
        gwd.public(),
        &["-tls1_3", "-sess_out", &session, "-ign_eof"],
        request,
    );
    assert!(output.contains("HTTP/1.1 200"), "{output}");
    assert!(output.contains("Max Early Data: 0"), "{output}");
    let output = s_client(
        gwd.public(),
        &[
            "-tls1_3",
            "-sess_in",
            &session,
            "-early_data",
            &early,
            "-ign_eof",
        ],
        request,
    );
    assert!(
        output.contains("Early data was not sent") || output.contains("Early data was rejected"),
        "{output}"
    );
    assert_eq!(output.matches("HTTP/1.1 200").count(), 1, "{output}");
}

/// Takes a minute, so it runs only with the slow test suites.
#[test]
fn testssl_finds_nothing() {
    if !prerequisite::slow("testssl takes a minute") {
        return;
    }
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = gateway(&world, &upstream);
    let found = world.path("found.json");
    let ended = Command::new("testssl")
        .args([
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "off",
            "--ip",
            "one",
        ])
        .args(["-p", "-s", "-f", "-U", "--jsonfile"])
        .arg(&found)
        .arg(gwd.public().to_string())
        .stdin(Stdio::null())
        .output();
    if ended.is_err() {
        prerequisite::skip("there is no testssl; apt installs testssl.sh");
        return;
    }
    let text = std::fs::read_to_string(&found).unwrap();
    let found: Vec<Value> = serde_json::from_str(&text).unwrap();
    let wrong: Vec<&Value> = found
        .iter()
        .filter(|one| {
            let severity = one["severity"].as_str().unwrap_or_default();
            ["LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"].contains(&severity)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The scan must have run these tests. Later versions of testssl.sh use another name for forward
    // secrecy.
    let ids = [
        "SSLv3",
        "TLS1_2",
        "TLS1_3",
        "heartbleed",
        "ROBOT",
        "SWEET32",
        "LUCKY13",
        "RC4",
        "PFS FS",
    ];
    for id in ids {
        let mut all = found.iter();
        let one = all.find(|one| id.split(' ').any(|id| one["id"] == id));
        let severity = one.map(|one| &one["severity"]);
        assert_eq!(severity, Some(&Value::from("OK")), "{id}: {one:?}");
    }
}
