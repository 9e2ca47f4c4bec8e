//! `openssl`, the program: what the tests compute, they compute without our code.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// The sha256 of some bytes, in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let mut input = child.stdin.take().expect("stdin is piped");
    input.write_all(bytes).expect("openssl reads");
    drop(input);
    let output = child.wait_with_output().expect("openssl ends");
    let text = String::from_utf8_lossy(&output.stdout);
    let hex = text.split(' ').next().unwrap_or_default().to_owned();
    assert_eq!(hex.len(), 64, "{text}");
    hex
}
