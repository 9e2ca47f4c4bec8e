//! Detection of key material: files that are keys, and private keys in strings of sources.
//!
//! A file that is itself a key is never read as a source. If a string contains a private key, an
//! untracked file is refused, and a tracked file gets a finding. The key is never shown.

use diag::{Diagnostic, NodeRef, Sink, Span, Tree};

use super::der_key;
use super::lints::KEY_IN_SOURCE;
use super::refusal::Refusal;

/// Maximum size of a file that is searched for a private JWK, in bytes.
const JWK_BYTES_MAX: usize = 1 << 20;

/// Minimum length of a run of key characters in a real key. Keys in samples have `...` instead of
/// such a run.
const RUN_MIN: usize = 24;

/// Base64 of the first PEM line of private keys, as in a kubeconfig: PKCS#8, RSA, EC, OpenSSH.
const ENCODED: [&str; 4] = [
    "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS",
    "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt",
    "LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS",
    "LS0tLS1CRUdJTiBPUEVOU1NIIFBSSVZBVEUgS0VZ",
];

/// Number of bytes after a key's first line that are searched for the key's content.
const BODY_BYTES: usize = 400;

/// Refuses a file that contains a private key. An untracked file must not contain a private key
/// anywhere. In a tracked file, only a key at the start of a line is refused, because a key inside
/// a longer string counts as an example.
pub(super) fn check(bytes: &[u8], is_tracked: bool) -> Result<(), Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let inner = || (!is_tracked).then(|| private_key(bytes)).flatten();
    match key_line(bytes).or_else(inner) {
        Some(at) => Err(Refusal::Key {
            line: line_of(bytes, at),
        }),
        None => Ok(()),
    }
}

/// Line number of an offset, from 1.
pub(super) fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// Spans of strings that contain a private key and of maps that are private JWKs, sorted.
pub(super) fn in_strings(tree: &Tree) -> Vec<Span> {
    let keys = tree.nodes().filter(|node| is_key(*node));
    let mut spans: Vec<Span> = keys.map(NodeRef::span).collect();
    spans.sort_unstable();
    spans.dedup();
    spans
}

/// True if one of these nodes is key material.
pub(super) fn is_any<'t>(mut nodes: impl Iterator<Item = NodeRef<'t>>) -> bool {
    nodes.any(is_key)
}

/// Reports key material in the strings of a file.
pub(super) fn report(keys: &[Span], sink: &mut Sink) {
    for key in keys {
        let finding = Diagnostic::new(&KEY_IN_SOURCE, *key, "there is a private key in this value")
            .label("not shown")
            .help("write a placeholder (`...`) between the first and the last line of the key; replace the key wherever it is in use");
        sink.push(finding);
    }
}

/// True for a string with a private key, and for a map that is a private JWK.
fn is_key(node: NodeRef<'_>) -> bool {
    match node.as_str() {
        Some(text) => text.len() >= RUN_MIN && holds_private_key(text),
        None => is_jwk(node),
    }
}

/// True if a string contains the content of a private key, and not only its first line.
fn holds_private_key(text: &str) -> bool {
    let has_body = |from: usize| {
        let end = text.floor_char_boundary(from + BODY_BYTES);
        let is_other = |c: char| !(c.is_ascii_alphanumeric() || "+/=-_".contains(c));
        let mut runs = text[from..end].split(is_other);
        runs.any(|run| run.trim_matches('-').len() >= RUN_MIN)
    };
    let pem = text.match_indices("-----BEGIN ").any(|(at, begin)| {
        let label = at + begin.len();
        let rest = &text[label..];
        let Some(end) = rest.find("-----") else {
            return false;
        };
        rest[..end].contains("PRIVATE KEY") && has_body(label + end + 5)
    });
    let mut age = text.match_indices("AGE-SECRET-KEY-1");
    let mut encoded = ENCODED.iter();
    pem || encoded.any(|mark| text.contains(mark))
        || age.any(|(at, mark)| has_body(at + mark.len()))
        || text.starts_with("PuTTY-User-Key-File-") && text.contains("Private-Lines:")
        || der_key::find(text.as_bytes()).is_some()
}

/// True if a map is a private JWK (RFC 7517, RFC 7518).
fn is_jwk(node: NodeRef<'_>) -> bool {
    const KINDS: [&str; 4] = ["EC", "RSA", "OKP", "oct"];
    let text = |key: &str| node.get(key).and_then(NodeRef::as_str);
    let is_content = |text: &str| {
        let is_digit = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        text.len() >= RUN_MIN && text.chars().all(is_digit)
    };
    node.is_map()
        && text("kty").is_some_and(|kind| KINDS.contains(&kind))
        && ["d", "k"]
            .iter()
            .any(|key| text(key).is_some_and(is_content))
}

/// Offset of key material that makes the whole file a key: PEM, PuTTY, age, or a private JWK. Only
/// line starts count, because YAML indents the lines of a multi-line string.
fn key_line(bytes: &[u8]) -> Option<usize> {
    const STARTS: [&[u8]; 4] = [
        b"-----BEGIN ",
        b"---- BEGIN SSH2",
        b"PuTTY-User-Key-File-",
        b"AGE-SECRET-KEY-1",
    ];
    let mut at = 0;
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        if STARTS.iter().any(|start| line.starts_with(start)) {
            return Some(at);
        }
        at += line.len() + 1;
    }
    is_private_jwk(bytes).then_some(0)
}

/// Offset of the first marker of a private key anywhere in a file.
fn private_key(bytes: &[u8]) -> Option<usize> {
    const MARKS: [&[u8]; 3] = [
        b"PRIVATE KEY-----",
        b"PRIVATE KEY BLOCK-----",
        b"AGE-SECRET-KEY-1",
    ];
    let found = |mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark);
    let encoded = ENCODED.iter().map(|mark| mark.as_bytes());
    let marks = MARKS.iter().copied().chain(encoded);
    marks.filter_map(found).chain(der_key::find(bytes)).min()
}

/// True if the JSON root, an item of its `keys`, or the YAML root is a private JWK (RFC 7517, RFC
/// 7518).
fn is_private_jwk(bytes: &[u8]) -> bool {
    let has_type = bytes.windows(3).any(|window| window == b"kty");
    if !has_type || bytes.len() > JWK_BYTES_MAX {
        return false;
    }
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let begins = |key: &[u8]| lines.iter().any(|line| line.starts_with(key));
    if begins(b"kty:") && (begins(b"d:") || begins(b"k:")) {
        return true;
    }
    let is_private = |key: &serde_json::Value| {
        key.get("kty").is_some() && (key.get("d").is_some() || key.get("k").is_some())
    };
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|root| {
        let keys = root.get("keys").and_then(serde_json::Value::as_array);
        is_private(&root) || keys.is_some_and(|keys| keys.iter().any(is_private))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDB";

    const CERTIFICATE: &str = "MIIBbjCCAROgAwIBAgIURm2/AzU5GrFEgGFPdIMwwTpEydUwCgYI";

    #[test]
    fn key_material_in_any_form_is_refused() {
        let keys: [(&[u8], usize); 8] = [
            (b"-----BEGIN PRIVATE KEY-----\nAA\n", 1),
            (b"\xef\xbb\xbf-----BEGIN CERTIFICATE-----\r\nAA\r\n", 1),
            (b"a: 1\n-----BEGIN EC PRIVATE KEY-----\n", 2),
            (b"PuTTY-User-Key-File-3: ed25519\n", 1),
            (b"# created\nAGE-SECRET-KEY-1QQQ\n", 2),
            (br#"{"kty": "EC", "crv": "P-256", "d": "AA"}"#, 1),
            (br#"{"keys": [{"kty": "oct", "k": "AA"}]}"#, 1),
            (b"kty: EC\nd: AA\n", 1),
        ];
        for (key, line) in keys {
            let text = String::from_utf8_lossy(key);
            assert_eq!(check(key, true), Err(Refusal::Key { line }), "{text}");
        }
        let public = br#"{"keys": [{"kty": "EC", "x": "AA", "y": "AA"}]}"#;
        assert_eq!(check(public, false), Ok(()));
        for inside in ["PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
            let example = format!("example: |\n  -----BEGIN {inside}-----\n  AA\n");
            assert_eq!(check(example.as_bytes(), true), Ok(()));
            let refused = Err(Refusal::Key { line: 2 });
            assert_eq!(check(example.as_bytes(), false), refused);
        }
    }

    #[test]
    fn private_key_in_a_text_is_found() {
        for text in [
            format!("-----BEGIN PRIVATE KEY-----\n{BODY}\n"),
            format!("key:\n  -----BEGIN RSA PRIVATE KEY-----\n  {BODY}\n"),
            format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n{BODY}\n"),
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\\n{BODY}"),
            format!("AGE-SECRET-KEY-1{}", BODY.to_uppercase()),
            "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSQ==".to_owned(),
            format!("the key is {BODY}"),
        ] {
            assert!(holds_private_key(&text), "{text}");
        }
        for text in [
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----".to_owned(),
            format!("-----BEGIN CERTIFICATE-----\n{}\n", CERTIFICATE),
            "a PEM private key, from `-----BEGIN PRIVATE KEY-----` to its end".to_owned(),
        ] {
            assert!(!holds_private_key(&text), "{text}");
        }
    }
}
