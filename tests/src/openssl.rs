//! Calls of the `openssl` program, so that tests compute hashes independently of the code under
//! test.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Computes the SHA-256 of the bytes with openssl, in hexadecimal digits.
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

/// RSA key in a temporary file, of 2048 bits by default.
pub struct RsaKey(tempfile::NamedTempFile);

impl RsaKey {
    /// Creates a new key.
    ///
    /// # Panics
    /// If openssl is not installed.
    #[must_use]
    pub fn new() -> Self {
        Self::of_bits(2_048)
    }

    /// Creates a new key of this length in bits.
    ///
    /// # Panics
    /// If openssl is not installed.
    #[must_use]
    pub fn of_bits(bits: u32) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        let path = file.path().display().to_string();
        run(&["genrsa", "-out", &path, &bits.to_string()], &[]);
        Self(file)
    }

    /// Modulus in base64url, as in the member `n` of a JWK.
    #[must_use]
    pub fn modulus(&self) -> String {
        let text = run(&["rsa", "-noout", "-modulus", "-in", &self.path()], &[]);
        let text = String::from_utf8_lossy(&text).into_owned();
        let hex = text.trim().trim_start_matches("Modulus=").to_owned();
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("openssl writes digits");
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        base64url(&bytes)
    }

    /// Signs the bytes with openssl: RSASSA-PKCS1-v1_5 with SHA-256.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        run(
            &["dgst", "-sha256", "-sign", &self.path(), "-binary"],
            bytes,
        )
    }

    fn path(&self) -> String {
        self.0.path().display().to_string()
    }
}

impl Default for RsaKey {
    fn default() -> Self {
        Self::new()
    }
}

/// Key on the curve P-384 in a temporary file.
pub struct P384Key(tempfile::NamedTempFile);

impl P384Key {
    /// Creates a new key.
    ///
    /// # Panics
    /// If openssl is not installed.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a new key is random")]
    pub fn new() -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        let path = file.path().display().to_string();
        run(
            &[
                "ecparam",
                "-name",
                "secp384r1",
                "-genkey",
                "-noout",
                "-out",
                &path,
            ],
            &[],
        );
        Self(file)
    }

    /// Coordinates of the public key in base64url, as in the members `x` and `y` of a JWK.
    #[must_use]
    pub fn point(&self) -> [String; 2] {
        let path = self.0.path().display().to_string();
        let der = run(&["ec", "-in", &path, "-pubout", "-outform", "DER"], &[]);
        let point = &der[der.len() - 96..];
        [&point[..48], &point[48..]].map(base64url)
    }

    /// Signs the bytes with openssl: ECDSA with SHA-384, as the two numbers of a JWS.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let path = self.0.path().display().to_string();
        let der = run(&["dgst", "-sha384", "-sign", &path, "-binary"], bytes);
        // A sequence of two integers, each with a length of one byte.
        let first_bytes = usize::from(der[3]);
        let (first, second) = (&der[4..4 + first_bytes], &der[6 + first_bytes..]);
        let number = |digits: &[u8]| {
            let digits = &digits[digits.len().saturating_sub(48)..];
            [vec![0; 48 - digits.len()], digits.to_vec()].concat()
        };
        [number(first), number(second)].concat()
    }
}

/// Encodes bytes in base64url without padding (RFC 4648 §5).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    let text = run(&["base64", "-A"], bytes);
    let text = String::from_utf8_lossy(&text);
    text.trim()
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}

/// Runs openssl with an input, and returns its output.
fn run(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(input).expect("openssl reads");
    drop(stdin);
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}
