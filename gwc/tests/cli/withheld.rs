//! Commands against a registry that lists records but does not have them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};

use crate::project::Project;

/// Starts a registry that lists two records of the channel, and answers all other requests with
/// 404.
fn registry() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            let _end = lines.find(String::is_empty);
            let (status, body) = match first.contains("/tags/list") {
                true => ("200 OK", TAGS),
                false => ("404 Not Found", ""),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _gone = (&stream).write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn withheld_records_are_no_empty_channel() {
    let project = Project::new();
    let store = format!("oci://{}/shop", registry());
    let apply = ["apply", "--dry-run", "--key", "keys/release.pem"];
    for command in [&["plan"][..], &["history"], &["status"], &apply] {
        let at = ["--store", &store, "--registry-plain-http"];
        let ended = project.run(&[command, &at[..]].concat()).with(4);
        ended
            .contains("serial 2 is listed, but missing")
            .lacks("is empty")
            .lacks("revoked");
    }
}

const TAGS: &str = r#"{"tags": ["ch-prod-00000000000000000001", "ch-prod-00000000000000000002"]}"#;
