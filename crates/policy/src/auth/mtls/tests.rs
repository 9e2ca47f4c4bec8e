//! Tests of verifiers with one or several lists of names, with certificates from a table.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Certificate, Checked, PresentedCertificates, Reason, Source};

const TABLE: &str = include_str!("tests/certificates.tsv");
/// Time in the validity period of all certificates (Unix time, seconds).
const NOW_S: u64 = 1_800_000_000;
const BEGINS_S: u64 = 1_577_836_800;
const ENDS_S: u64 = 1_893_456_000;

const ORDERS: &str = "spiffe://example.org/ns/shop/sa/orders";

fn der(name: &str) -> Vec<u8> {
    let mut lines = TABLE.lines().filter_map(|line| line.split_once('\t'));
    let (_, text) = lines.find(|(known, _)| *known == name).expect("a name");
    STANDARD.decode(text).expect("base64")
}

fn read(name: &str) -> Result<Certificate, Reason> {
    Certificate::parse(&der(name))
}

fn checked(sans: &[&str], spiffe: &[&str], subjects: &[&str]) -> Checked {
    let sorted = |all: &[&str]| {
        let mut all: Vec<String> = all.iter().map(|one| (*one).to_owned()).collect();
        all.sort();
        all
    };
    Checked {
        sans: sorted(sans),
        spiffe: sorted(spiffe),
        subjects: sorted(subjects),
        source: Source::Connection,
    }
}

#[test]
fn names_of_certificates_have_one_form() {
    let alice = read("alice").unwrap();
    let sans: Vec<&str> = alice.sans().iter().map(|one| &**one).collect();
    let expected = [
        "Alice@example.org",
        "alice.example",
        "https://alice.example/X",
    ];
    assert_eq!(sans, expected);
    assert_eq!(alice.subject(), r"CN=alice,O=Acme\, \22Inc\22,DC=example");
    assert_eq!(alice.spiffe(), None);
    // Fingerprint as printed by `openssl x509 -fingerprint -sha256`.
    let fingerprint = "sha256 13926eeb695f3af3c43c6ca1e807104d968c8d3b9c4e53422123e5571e20b2cc";
    assert_eq!(&*alice.credentials()[0], fingerprint);
    assert_eq!(&*alice.credentials()[2], "san alice.example");
    let odd = read("odd-names").unwrap();
    assert!(odd.sans().is_empty(), "{:?}", odd.sans());
    assert_eq!(odd.spiffe(), None);
    for name in ["many", "two-lists"] {
        assert_eq!(read(name).unwrap_err(), Reason::Malformed, "{name}");
    }
}

#[test]
fn certificate_needs_a_name_of_each_list() {
    let table: &[(&str, Checked, bool)] = &[
        ("bob", checked(&[], &[], &[]), true),
        ("alice", checked(&["alice.example"], &[], &[]), true),
        (
            "alice",
            checked(&["b.example", "alice.example"], &[], &[]),
            true,
        ),
        ("alice", checked(&["Alice@example.org"], &[], &[]), true),
        ("alice", checked(&["alice@example.org"], &[], &[]), false),
        (
            "alice",
            checked(&["https://alice.example/X"], &[], &[]),
            true,
        ),
        (
            "alice",
            checked(&["https://alice.example/x"], &[], &[]),
            false,
        ),
        ("alice", checked(&["example"], &[], &[]), false),
        ("alice", checked(&["alice.example.org"], &[], &[]), false),
        ("bob", checked(&["bob"], &[], &[]), false),
        ("bob", checked(&[], &[], &["CN=bob"]), true),
        ("bob", checked(&[], &[], &["CN=bo", "CN=bobby"]), false),
        ("nobody", checked(&[], &[], &["CN=bob"]), false),
        (
            "alice",
            checked(&["alice.example"], &[], &["CN=bob"]),
            false,
        ),
        ("orders", checked(&[], &[ORDERS], &[]), true),
        (
            "orders",
            checked(&[], &["spiffe://example.org/ns/*/sa/orders"], &[]),
            true,
        ),
        (
            "orders",
            checked(&[], &["spiffe://example.org/**"], &[]),
            true,
        ),
        (
            "orders",
            checked(&[], &["spiffe://example.org/*"], &[]),
            false,
        ),
        (
            "orders",
            checked(&[], &["spiffe://example.com/**"], &[]),
            false,
        ),
        (
            "two-uris",
            checked(&[], &["spiffe://example.org/**"], &[]),
            false,
        ),
        (
            "authority",
            checked(&[], &["spiffe://example.org/**"], &[]),
            false,
        ),
        (
            "odd-names",
            checked(&[], &["spiffe://example.org/**"], &[]),
            false,
        ),
        ("odd-names", checked(&["x.example.org"], &[], &[]), false),
        ("odd-names", checked(&["partner.example"], &[], &[]), false),
        ("odd-names", checked(&["10.0.0.1"], &[], &[]), false),
        (
            "bob",
            checked(&[], &["spiffe://example.org/**"], &[]),
            false,
        ),
    ];
    for (name, verifier, admitted) in table {
        let certificate = read(name).unwrap();
        let expected = if *admitted { Ok(()) } else { Err(Reason::Name) };
        let found = verifier.verify(&certificate, NOW_S);
        assert_eq!(found, expected, "{name} {verifier:?}");
    }
}

#[test]
fn certificate_is_valid_in_its_period_only() {
    let (anyone, bob) = (checked(&[], &[], &[]), read("bob").unwrap());
    for (at_s, expected) in [
        (0, Err(Reason::NotYetValid)),
        (BEGINS_S - 1, Err(Reason::NotYetValid)),
        (BEGINS_S, Ok(())),
        (ENDS_S, Ok(())),
        (ENDS_S + 1, Err(Reason::Expired)),
        (u64::MAX, Err(Reason::Expired)),
    ] {
        assert_eq!(anyone.verify(&bob, at_s), expected, "{at_s}");
    }
}

#[test]
fn claims_of_a_certificate_are_its_names() {
    let alice = read("alice").unwrap();
    let identity = alice.identity();
    assert_eq!(identity.subject.as_deref(), Some("Alice@example.org"));
    assert!(identity.has_claim("san", "alice.example"));
    assert!(!identity.has_claim("san", "b.example"));
    assert_eq!(identity.claims.get("subject"), Some(alice.subject()));
    assert_eq!(identity.claims.get("issuer"), Some("CN=authority"));
    assert_eq!(identity.claims.get("x5t#S256").map(str::len), Some(43));
    let orders = read("orders").unwrap();
    assert_eq!(orders.identity().subject.as_deref(), Some(ORDERS));
    assert_eq!(orders.identity().claims.get("spiffe"), Some(ORDERS));
    let unnamed = read("nobody").unwrap();
    assert_eq!(unnamed.identity().subject, None);
    let keys = [&alice, &orders, &unnamed].map(|one| one.identity().key.clone());
    assert!(keys[0] != keys[1] && keys[1] != keys[2]);
    assert!(keys.iter().flatten().all(|key| key.starts_with(b"\0x")));
}

#[test]
fn field_of_a_proxy_has_one_spelling() {
    let der = der("bob");
    let text = STANDARD.encode(&der);
    let presented = PresentedCertificates::new(None);
    let get = |field: &str| presented.get(Source::Field, Some(field.as_bytes()));
    let good = get(&format!(":{text}:")).unwrap().unwrap();
    assert_eq!(good.subject(), "CN=bob");
    let again = get(&format!(":{text}:")).unwrap().unwrap();
    assert!(Arc::ptr_eq(&good, &again), "it is read once");
    let more = STANDARD.encode([&der[..], b"\0"].concat());
    for wrong in [
        String::new(),
        ":".into(),
        "::".into(),
        text.clone(),
        format!(":{text}"),
        format!("{text}:"),
        format!(":{text}:;a=1"),
        format!(":{text}:, :{text}:"),
        format!(": {text}:"),
        format!(":{}:", &text[..text.len() - 4]),
        format!(":{}:", text.replace('A', "\t")),
        format!(":{more}:"),
        format!("\"{text}\""),
        format!("-----BEGIN CERTIFICATE-----{text}"),
    ] {
        let found = get(&wrong).unwrap().map(|_| ());
        assert_eq!(found, Err(Reason::Malformed), "{wrong}");
    }
    assert!(presented.get(Source::Field, None).is_none());
    assert!(presented.get(Source::Connection, Some(b":AAAA:")).is_none());
    let own = PresentedCertificates::new(Some(&der));
    assert!(own.get(Source::Connection, None).unwrap().is_ok());
    assert!(own.get(Source::Field, None).is_none(), "the proxy's own");
    let field = format!(":{}:", STANDARD.encode(self::der("alice")));
    let client = own.get(Source::Field, Some(field.as_bytes()));
    let client = client.unwrap().unwrap();
    assert_eq!(client.sans(), read("alice").unwrap().sans());
    assert_ne!(client.sans(), good.sans());
    let unreadable = PresentedCertificates::new(Some(b"0")).get(Source::Connection, None);
    assert_eq!(unreadable.unwrap().map(|_| ()), Err(Reason::Malformed));
}
