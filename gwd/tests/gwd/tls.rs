//! TLS with independent clients: `openssl s_client` and curl.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use bundle::digest::Digest;
use bundle::ir;
use gwd::node::Node;
use policy::SecretRef;
use rcgen::{PKCS_RSA_SHA256, date_time_ymd};

use crate::fixture::*;
use crate::pki::{Authority, Pem, Secrets, this_year};
use crate::slow_clients::Files;
use crate::world::{Process, World};

// === the gateway

pub(crate) fn tls(certificates: Vec<ir::Certificate>) -> ir::ListenerTls {
    ir::ListenerTls {
        certificates: ir::Set::new(certificates).unwrap(),
        min_version: ir::TlsVersion::V1_2,
        client_auth: None,
    }
}

/// Enables TLS with a certificate for `shop.example`. The certificate files exist until the
/// returned value is dropped.
pub(crate) fn with_certificate(shop: &mut Shop) -> tempfile::TempDir {
    with_certificate_of(&Authority::new("ca"), shop)
}

/// Enables TLS with a certificate of this authority.
pub(crate) fn with_certificate_of(authority: &Authority, shop: &mut Shop) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pem = authority.issue(&["shop.example"]);
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        SecretRef::File(path.display().to_string())
    };
    shop.listener.protocol = ir::Protocol::Https(tls(vec![ir::Certificate {
        name: "main".into(),
        cert: file("cert", &pem.cert),
        key: file("key", &pem.key),
    }]));
    folder
}

pub(crate) fn https(upstream: &Upstream, tls: ir::ListenerTls) -> ir::Gateway {
    let mut shop = shop(upstream.address, vec![op("GET", "/a").prefix()]);
    shop.listener.protocol = ir::Protocol::Https(tls);
    shop.listener.http2 = true;
    shop.gateway()
}

pub(crate) fn start(world: &World, gateway: &ir::Gateway) -> Process {
    let bundle = world.release(gateway);
    let log = world.path("access.log");
    let gwd = Process::spawn(world.trusted().arg("--access-log").arg(log));
    gwd.wait_for(&bundle);
    gwd
}

// === clients

/// Connects with `openssl s_client`, sends `input` and returns the output of openssl.
pub(crate) fn s_client(address: SocketAddr, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _refused = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Requests `https://HOST/a` with curl. Returns the exit code and the output.
pub(crate) fn curl(address: SocketAddr, host: &str, arguments: &[&str]) -> (i32, String) {
    let port = address.port();
    let output = Command::new("curl")
        .args(["-s", "-S", "-k", "--max-time", "10"])
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .args(["-w", "\n%{http_version} %{http_code}"])
        .args(arguments)
        .arg(format!("https://{host}:{port}/a"))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code().unwrap_or(-1), text)
}

fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.path(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

pub(crate) const REQUEST: &str =
    "GET /a HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";

// === tests

#[test]
fn clients_negotiate_version_name_key_and_protocol() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let rsa = authority.issue_as(&["shop.example"], &PKCS_RSA_SHA256, 7, 2);
    let gwd = start(
        &world,
        &https(
            &upstream,
            tls(vec![
                secrets.certificate("a-default", &authority.issue(&["default.example"])),
                secrets.certificate("shop-ec", &authority.issue(&["shop.example"])),
                secrets.certificate("shop-rsa", &rsa),
                secrets.certificate("wild", &authority.issue(&["*.shop.example"])),
            ]),
        ),
    );
    let address = gwd.public();
    let subject = |arguments: &[&str]| {
        let output = s_client(address, arguments, "");
        let line = output.lines().find(|line| line.starts_with("subject="));
        line.unwrap_or(&output).replace(' ', "")
    };
    let named = |name: &str| subject(&["-servername", name]);
    assert_eq!(named("shop.example"), "subject=CN=shop.example");
    assert_eq!(named("SHOP.example"), "subject=CN=shop.example");
    assert_eq!(named("a.shop.example"), "subject=CN=*.shop.example");
    assert_eq!(named("a.b.shop.example"), "subject=CN=default.example");
    assert_eq!(subject(&["-noservername"]), "subject=CN=default.example");

    let kind = |schemes: &str| {
        let arguments = ["-servername", "shop.example", "-sigalgs", schemes];
        let output = s_client(address, &arguments, "");
        let line = output.lines().find(|line| line.contains("signature type"));
        line.unwrap_or(&output).to_owned()
    };
    assert!(kind("ecdsa_secp256r1_sha256").contains("ECDSA"));
    assert!(kind("rsa_pss_rsae_sha256").contains("RSA"));
    assert!(kind("ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256").contains("ECDSA"));

    for (version, protocol) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let output = s_client(address, &[version, "-servername", "shop.example"], "");
        assert!(output.contains(&format!("New, {protocol}")), "{output}");
    }
    let old = s_client(address, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "");
    assert!(old.contains("New, (NONE)"), "{old}");

    let (_, output) = curl(address, "shop.example", &["--http2"]);
    assert!(output.ends_with("\n2 200"), "{output}");
    assert!(output.contains("x-forwarded-proto: https"), "{output}");
    let (_, output) = curl(address, "shop.example", &["--http1.1"]);
    assert!(output.ends_with("\n1.1 200"), "{output}");
    let none = s_client(address, &["-alpn", "smtp"], "");
    assert!(none.contains("no application protocol"), "{none}");
    assert_eq!(
        gwd.metric("gwd_tls_handshakes_total", &["no_application_protocol"]),
        1.0
    );
    for field in [
        "\"tls_version\":\"TLSv1.3\"",
        "\"tls_cipher\":\"TLS13_",
        "\"sni\":\"shop.example\"",
    ] {
        eventually(field, || {
            let log = std::fs::read_to_string(world.path("access.log")).unwrap();
            log.contains(field)
        });
    }
    let requests = "http_server_request_duration_seconds_count";
    assert_eq!(gwd.metric(requests, &["url_scheme=\"https\""]), 2.0);
    assert_eq!(gwd.metric(requests, &["url_scheme=\"http\""]), 0.0);
}

#[test]
fn request_for_another_certificate_is_misdirected() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let both = authority.issue(&["a.example", "b.example"]);
    let gwd = start(
        &world,
        &https(
            &upstream,
            tls(vec![
                secrets.certificate("both", &both),
                secrets.certificate("own", &authority.issue(&["own.example"])),
            ]),
        ),
    );
    let status = |sni: &str, host: &str, protocol: &str| {
        let field = format!("host: {host}");
        let (_, output) = curl(gwd.public(), sni, &[protocol, "-H", &field]);
        output.lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(status("a.example", "a.example", "--http2"), "2 200");
    assert_eq!(status("a.example", "b.example", "--http2"), "2 200");
    assert_eq!(status("a.example", "own.example", "--http2"), "2 421");
    assert_eq!(status("own.example", "a.example", "--http2"), "2 421");
    assert_eq!(
        status("a.example", "own.example", "--http1.1"),
        "1.1 200",
        "an HTTP/1 client does not share connections between hosts"
    );
}

#[test]
fn certificates_follow_swaps_unless_broken() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, secrets.path(name)).unwrap();
    };
    let put = |version: &str, pem: &Pem| {
        let folder = secrets.path(version);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), &pem.cert).unwrap();
        std::fs::write(folder.join("tls.key"), &pem.key).unwrap();
        link(version, "..tmp");
        std::fs::rename(secrets.path("..tmp"), secrets.path("..data")).unwrap();
    };
    let end = |years: i32| f64::from(u32::try_from(unix_s(this_year() + years)).unwrap());
    let issue = |serial: u64, years: i32| {
        authority.issue_as(
            &["shop.example"],
            &rcgen::PKCS_ECDSA_P256_SHA256,
            serial,
            years,
        )
    };
    put("..1", &issue(0x11, 1));
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let reference = |name: &str| SecretRef::File(secrets.path(name).display().to_string());
    let certificate = ir::Certificate {
        name: "main".into(),
        cert: reference("tls.crt"),
        key: reference("tls.key"),
    };
    let gwd = start(&world, &https(&upstream, tls(vec![certificate])));
    let serial = || serial(gwd.public(), &world);
    let metric = || gwd.metric("gwd_tls_cert_not_after_timestamp_seconds", &["main"]);
    assert_eq!(serial(), "serial=11");
    assert_eq!(metric(), end(1));
    for (number, years) in [(2, 2), (3, 3), (4, 4)] {
        put(&format!("..{number}"), &issue(0x10 + number, years));
        let wanted = format!("serial=1{number}");
        eventually("the new certificate is served", || serial() == wanted);
        eventually("the metric has the new expiry", || metric() == end(years));
    }
    // Neither a key of another certificate nor an expired certificate is used.
    let mut mixed = issue(0x15, 2);
    mixed.key = issue(0x15, 2).key;
    for (version, broken, why) in [
        ("..5", mixed, "does not belong to the certificate"),
        ("..6", issue(0x16, -1), "the certificate has expired"),
    ] {
        put(version, &broken);
        eventually("status names the certificate", || {
            gwd.status()["broken_certificates"]
                .to_string()
                .contains(why)
        });
        assert_eq!(serial(), "serial=14", "{version}");
        let shown = shown(&gwd, &world);
        let path = secrets.path("tls.crt").display().to_string();
        let broken = shown.lines().find(|line| line.starts_with("BROKEN "));
        let broken = broken.unwrap_or_else(|| panic!("{shown}"));
        assert!(broken.contains(&path) && broken.contains(why), "{shown}");
        assert!(shown.contains("ALARM      certificate-unusable"), "{shown}");
        assert_eq!(gwd.metric("gwd_alarm", &["certificate-unusable"]), 1.0);
    }
    put("..7", &issue(0x17, 2));
    eventually("the valid certificate is served", || {
        serial() == "serial=17"
    });
    eventually("status names no certificate", || {
        gwd.status()["broken_certificates"] == serde_json::json!([])
    });
    let logged = gwd
        .events()
        .iter()
        .map(ToString::to_string)
        .collect::<String>();
    assert!(!logged.contains("PRIVATE KEY"));
}

/// Runs `gwd status` and returns its output.
fn shown(gwd: &Process, world: &World) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gwd"))
        .args(["status", "--admin", &gwd.admin.to_string()])
        .arg("--admin-token-file")
        .arg(world.path("token"))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Unix time of the beginning of a year.
fn unix_s(year: i32) -> i64 {
    date_time_ymd(year, 1, 1).unix_timestamp()
}

/// Connects and returns the serial number of the gateway's certificate. If there is no certificate:
/// the output of openssl.
fn serial(address: SocketAddr, world: &World) -> String {
    let text = s_client(address, &["-servername", "shop.example"], "");
    let Some(at) = text.find("-----BEGIN") else {
        return text;
    };
    let path = file(world, "shown.pem", &text[at..]);
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-serial", "-in", &path])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn bundle_with_an_unusable_certificate_is_refused() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let good = authority.issue(&["shop.example"]);
    let first = https(&upstream, tls(vec![secrets.certificate("main", &good)]));
    let gwd = start(&world, &first);
    let over = authority.issue_as(&["x"], &rcgen::PKCS_ECDSA_P256_SHA256, 3, -1);
    let text = |cert: &str, key: &str| Pem {
        cert: cert.into(),
        key: key.into(),
    };
    for (name, pem, why) in [
        ("over", over, "its notAfter has passed"),
        (
            "empty",
            text("", &good.key),
            "there is no certificate in PEM",
        ),
        ("keyless", text(&good.cert, "x"), "there is no private key"),
        (
            "mixed",
            text(&good.cert, &authority.issue(&["x"]).key),
            "does not belong to the certificate",
        ),
    ] {
        let certificate = secrets.certificate(name, &pem);
        world.release(&https(&upstream, tls(vec![certificate])));
        eventually(name, || {
            let status = gwd.status();
            let error = &status["last_error"];
            error["reason"] == "certificate-unusable" && error["message"].to_string().contains(why)
        });
        let (_, output) = curl(gwd.public(), "shop.example", &[]);
        assert!(output.ends_with(" 200"), "{output}");
        assert!(!gwd.status().to_string().contains("PRIVATE KEY"));
    }
}

#[test]
fn client_certificates_are_verified_and_not_revoked() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let (authority, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let mut tls = tls(vec![
        secrets.certificate("main", &authority.issue(&["shop.example"])),
    ]);
    tls.client_auth = Some(ir::ClientAuth {
        ca: secrets.write("ca.pem", &authority.pem),
        crl: Some(secrets.write("crl.pem", &authority.takes_back(66))),
        mode: ir::ClientAuthMode::Required,
    });
    let gwd = start(&world, &https(&upstream, tls.clone()));
    let issue = |from: &Authority, name: &str, serial: u64| {
        let pem = from.issue_as(&[name], &rcgen::PKCS_ECDSA_P256_SHA256, serial, 2);
        file(&world, name, &format!("{}{}", pem.cert, pem.key))
    };
    let alice = issue(&authority, "alice", 65);
    let mallory = issue(&authority, "mallory", 66);
    let trudy = issue(&stranger, "trudy", 67);
    let with = |cert: &str| curl(gwd.public(), "shop.example", &["--cert", cert]);
    let without = || curl(gwd.public(), "shop.example", &[]);
    let handshakes = |result: &str| gwd.metric("gwd_tls_handshakes_total", &[result]);
    assert!(with(&alice).1.ends_with("2 200"), "{:?}", with(&alice));
    assert_ne!(with(&mallory).0, 0, "taken back");
    assert_ne!(with(&trudy).0, 0, "of another authority");
    assert_ne!(without().0, 0, "none");
    assert_eq!(handshakes("\"client_certificate_revoked\""), 1.0);
    assert_eq!(handshakes("\"bad_client_certificate\""), 1.0);
    assert_eq!(handshakes("\"no_client_certificate\""), 1.0);
    let timed = gwd.metric("gwd_tls_handshake_duration_seconds_count", &[]);
    assert_eq!(timed, handshakes("\"ok\"") + handshakes("\"resumed\""));
    eventually("alice is in the access log", || {
        let log = std::fs::read_to_string(world.path("access.log")).unwrap();
        log.contains("\"mtls_subject\":\"CN=alice\"")
    });

    // Replace the revocation list while the gateway runs.
    secrets.write("crl.pem", &authority.takes_back(65));
    eventually("alice is refused", || with(&alice).0 != 0);
    eventually("mallory is accepted", || with(&mallory).0 == 0);

    // Two connections are older than the list. The client with the revoked certificate is refused,
    // and the other client is still served.
    let connect = |name: &str, serial: u64| {
        let shown = authority.issue_as(&[name], &rcgen::PKCS_ECDSA_P256_SHA256, serial, 2);
        let socket = std::net::TcpStream::connect(gwd.public()).unwrap();
        let session = authority.client_with("shop.example", &shown);
        rustls::StreamOwned::new(session, socket)
    };
    let ask = |stream: &mut rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>| {
        let request = b"GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut reader = std::io::BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let mut length = 0;
        let mut field = String::new();
        while reader.read_line(&mut field).unwrap() > 2 {
            if let Some(digits) = field.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = digits.trim().parse().unwrap();
            }
            field.clear();
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    let (mut victor, mut walter) = (connect("victor", 68), connect("walter", 69));
    assert_eq!(
        (ask(&mut victor), ask(&mut walter)),
        ("200".into(), "200".into())
    );
    secrets.write("crl.pem", &authority.takes_back(68));
    eventually("mallory and alice are accepted", || {
        with(&mallory).0 == 0 && with(&alice).0 == 0
    });
    assert_eq!(
        (ask(&mut victor), ask(&mut walter)),
        ("421".into(), "200".into())
    );

    // Switch to a version with another mode of client authentication.
    let client_auth = tls.client_auth.as_mut().unwrap();
    client_auth.mode = ir::ClientAuthMode::Optional;
    let optional = world.release(&https(&upstream, tls));
    gwd.wait_for(&optional);
    assert!(without().1.ends_with("2 200"));
    assert_ne!(with(&trudy).0, 0, "a presented certificate must be valid");
}

#[test]
fn sessions_resume_across_versions_not_authorities() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let mut tls = tls(vec![
        secrets.certificate("main", &authority.issue(&["shop.example"])),
    ]);
    tls.client_auth = Some(ir::ClientAuth {
        ca: secrets.write("ca.pem", &authority.pem),
        crl: None,
        mode: ir::ClientAuthMode::Optional,
    });
    let gwd = start(&world, &https(&upstream, tls.clone()));
    let session = world.path("session").display().to_string();
    let client = authority.issue(&["client"]);
    let cert = file(&world, "client.pem", &client.cert);
    let key = file(&world, "client.key", &client.key);
    let connect = |version: &str, option: &str| {
        let arguments = [
            version,
            "-servername",
            "shop.example",
            "-cert",
            &cert,
            "-key",
            &key,
            option,
            &session,
            "-ign_eof",
        ];
        s_client(gwd.public(), &arguments, REQUEST)
    };
    let resumed = |output: &str| {
        assert!(output.contains("HTTP/1.1 200"), "{output}");
        output.contains("\nReused, ")
    };
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(!resumed(&connect(version, "-sess_out")));
        assert!(resumed(&connect(version, "-sess_in")), "{version}");
    }
    // Switch to a version with the same TLS settings.
    let mut shop = https(&upstream, tls);
    shop.shared.expose_bundle = true;
    let second = world.release(&shop);
    gwd.wait_for(&second);
    assert!(resumed(&connect("-tls1_3", "-sess_in")));
    // Change the trusted certificate authorities.
    let more = format!("{}{}", authority.pem, Authority::new("more").pem);
    secrets.write("ca.pem", &more);
    eventually("the new CA certificate is logged", || {
        gwd.logged("a CA certificate for clients was replaced")
            .is_some()
    });
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(!resumed(&connect(version, "-sess_out")));
    }
    secrets.write("ca.pem", &authority.pem);
    eventually("the session is not resumed", || {
        !resumed(&connect("-tls1_3", "-sess_in"))
    });
    let of = |result: &str| gwd.metric("gwd_tls_handshakes_total", &[result]);
    assert!(of("\"resumed\"") >= 3.0);
    let timed = gwd.metric("gwd_tls_handshake_duration_seconds_count", &[]);
    assert_eq!(timed, of("\"resumed\"") + of("\"ok\""));
}

#[test]
fn session_resumes_at_every_worker_of_one_process() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let pem = Authority::new("ca").issue(&["shop.example"]);
    let tls = tls(vec![secrets.certificate("main", &pem)]);
    let bundle = world.release(&https(&upstream, tls));
    let gwd = Process::spawn(world.trusted().args(["--workers", "4"]));
    gwd.wait_for(&bundle);
    let session = world.path("session").display().to_string();
    let connect = |gwd: &Process, version: &str, option: &str| {
        let arguments = [
            version,
            "-servername",
            "shop.example",
            option,
            &session,
            "-ign_eof",
        ];
        let output = s_client(gwd.public(), &arguments, REQUEST);
        assert!(output.contains("HTTP/1.1 200"), "{output}");
        output.contains("\nReused, ")
    };
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(!connect(&gwd, version, "-sess_out"));
        // All 16 connections reach the worker that issued the ticket with a probability of one in
        // four thousand million.
        for _ in 0..16 {
            assert!(connect(&gwd, version, "-sess_in"), "{version}");
        }
    }
    gwd.kill();
    // The ticket keys are random and only in memory, so a restart invalidates tickets.
    let gwd = world.start();
    gwd.wait_for(&bundle);
    assert!(!connect(&gwd, "-tls1_3", "-sess_in"));
    gwd.kill();
}

#[test]
fn connection_under_older_rules_ends_after_exchange() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let mut tls = tls(vec![
        secrets.certificate("main", &authority.issue(&["shop.example"])),
    ]);
    let gwd = start(&world, &https(&upstream, tls.clone()));
    let mut child = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &gwd.public().to_string()])
        .args(["-servername", "shop.example"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let request = "GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    input.write_all(request.as_bytes()).unwrap();
    let mut read = [0; 4_096];
    let length = std::io::Read::read(&mut output, &mut read).unwrap();
    assert!(read[..length].starts_with(b"HTTP/1.1 200"));
    tls.client_auth = Some(ir::ClientAuth {
        ca: secrets.write("ca.pem", &authority.pem),
        crl: None,
        mode: ir::ClientAuthMode::Required,
    });
    let second = world.release(&https(&upstream, tls));
    gwd.wait_for(&second);
    let _ended = input.write_all(request.as_bytes());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
    assert!(
        rest.is_empty() || rest.contains("connection: close"),
        "{rest}"
    );
    assert_ne!(curl(gwd.public(), "shop.example", &[]).0, 0);
    drop(input);
    child.wait().unwrap();
}

#[test]
fn cleartext_connection_is_refused_after_tls() {
    let upstream = Upstream::echoing();
    let mut shop = shop(upstream.address, vec![op("GET", "/a").prefix()]);
    let mut node = Node::start(settings()).unwrap();
    shop.listener.address = "127.0.0.1:0".into();
    let cleartext = shop.build(&mut node, Digest::of(b"cleartext"));
    node.bind(&cleartext).unwrap();
    node.publish(&cleartext, 1);
    let mut client = Client::connect(node.listeners()["public"]);
    let request = "GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    client.send(request);
    assert_eq!(client.answer().status, 200);
    let _files = with_certificate(&mut shop);
    let assembly = node.parts().assemble(&shop.gateway()).unwrap();
    let encrypted = node.build(&assembly, Digest::of(b"encrypted"), &Files);
    let encrypted = encrypted.unwrap();
    node.bind(&encrypted).unwrap();
    node.publish(&encrypted, 2);
    client.send(request);
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (421, vec!["close"])
    );
    assert!(client.closed());
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn parked_connection_wakes_and_non_tls_bytes_close() {
    let upstream = Upstream::echoing();
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let pem = authority.issue(&["shop.example"]);
    let gwd = start(
        &world,
        &https(&upstream, tls(vec![secrets.certificate("main", &pem)])),
    );
    let mut child = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &gwd.public().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let request = "GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    input.write_all(request.as_bytes()).unwrap();
    eventually("the connection is parked", || {
        gwd.metric("gwd_downstream_connections", &["state=\"idle\""]) == 1.0
    });
    input.write_all(REQUEST.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{text}");
    let mut plain = Client::connect(gwd.public());
    plain.send(REQUEST);
    assert!(!plain.rest().contains("HTTP/1.1"));
    eventually("the failed handshake is counted", || {
        gwd.metric("gwd_tls_handshakes_total", &["\"not_tls\""]) == 1.0
    });
}
