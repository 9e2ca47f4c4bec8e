//! TLS handshakes with RSA signatures, which run outside the workers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rcgen::PKCS_RSA_SHA256;

use crate::fixture::*;
use crate::pki::{Authority, Secrets};
use crate::tls::{REQUEST, curl, https, s_client, start, tls};
use crate::world::World;

/// A socket that sends one byte at a time.
struct Dribble(TcpStream);

impl std::io::Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::io::Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn rsa_signatures_run_on_their_own_threads() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let secrets = Secrets::of(&world);
    let authority = Authority::new("ca");
    let rsa = authority.issue_as(&["shop.example"], &PKCS_RSA_SHA256, 7, 2);
    let ec = authority.issue(&["ec.example"]);
    let certificates = vec![
        secrets.certificate("ec", &ec),
        secrets.certificate("rsa", &rsa),
    ];
    let gwd = start(&world, &https(&upstream, tls(certificates)));
    let address = gwd.public();
    let signers = || {
        let tasks = std::fs::read_dir(gwd.root().with_file_name("task")).unwrap();
        let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
        names
            .filter(|name| name.as_ref().is_ok_and(|name| name.trim() == "gwd-compute"))
            .count()
    };
    let (_, output) = curl(address, "ec.example", &[]);
    assert!(output.ends_with(" 200"), "{output}");
    assert_eq!(signers(), 0, "no request needs them");
    for version in ["1.2", "1.3"] {
        let (_, output) = curl(address, "shop.example", &["--tls-max", version]);
        assert!(output.ends_with(" 200"), "{version}: {output}");
    }
    assert!(signers() > 0);
    // Send the first handshake message in many pieces.
    let session = authority.client("shop.example");
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut stream = rustls::StreamOwned::new(session, Dribble(socket));
    stream.write_all(REQUEST.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    // A client without a common TLS version gets an alert, and bytes that are not TLS are counted.
    let old = s_client(
        address,
        &[
            "-servername",
            "shop.example",
            "-tls1_1",
            "-cipher",
            "ALL:@SECLEVEL=0",
        ],
        "",
    );
    assert!(old.contains("SSL alert number"), "{old}");
    let strange = s_client(
        address,
        &["-servername", "shop.example", "-tls1_3", "-curves", "P-521"],
        "",
    );
    assert!(strange.contains("SSL alert number"), "{strange}");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut alert = Vec::new();
    let _reset = stream.read_to_end(&mut alert);
    assert_eq!(alert.first(), Some(&21), "an alert: {alert:?}");
    eventually("the failed handshake is counted", || {
        gwd.metric("gwd_tls_handshakes_total", &["\"not_tls\""]) == 1.0
    });
}
