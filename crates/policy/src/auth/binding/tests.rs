//! Tables of `cnf` claims, and of requests with and without the required proofs.

use std::sync::LazyLock;

use super::*;
use crate::ask::Answers;
use crate::auth::jwt::json;
use crate::auth::mtls::PresentedCertificates;
use crate::head::RequestHead;

/// Table of client certificates: name, and value of `Client-Cert` (RFC 9440). [`ALICE`] is the
/// thumbprint of the certificate `alice`: `openssl x509 -outform DER | openssl dgst -sha256 -binary
/// | basenc --base64url`.
const CERTIFICATES: &str = include_str!("../mtls/tests/certificates.tsv");
const ALICE: &str = "E5Ju62lfOvPEPGyh6AcQTZaMjTucTlNCISPlVx4gssw";
const NOW_S: u64 = 1_800_000_000;

fn request<'r>(
    answers: &'r Answers,
    shown: Option<(&'r PresentedCertificates, Option<&'r [u8]>)>,
    unix_s: u64,
) -> TokenRequest<'r> {
    static HEAD: LazyLock<RequestHead> = LazyLock::new(|| RequestHead {
        is_ambiguous: false,
        method: http::Method::GET,
        target: "/".parse().unwrap(),
        host: "h".into(),
        headers: http::HeaderMap::new(),
    });
    TokenRequest {
        head: &HEAD,
        url: &|| None,
        received: None,
        normalise: |_| None,
        unix_s,
        cache: None,
        answers,
        presented: shown.map(|(presented, _)| presented),
        client_cert: shown.and_then(|(_, field)| field),
    }
}

fn claims(cnf: &str) -> Object {
    json::object(format!(r#"{{"sub":"a"{cnf}}}"#).as_bytes()).unwrap()
}

/// Checks a token with this binding, for a verifier without binding settings.
pub(in crate::auth) fn as_bearer(bound: Option<&Confirmation>) -> Result<(), Reason> {
    let answers = Answers::default();
    check(None, bound, None, &request(&answers, None, NOW_S))
}

#[test]
fn confirmation_demands_only_what_can_be_proved() {
    let hash = "A".repeat(43);
    let (short, long) = ("A".repeat(42), "A".repeat(44));
    for (cnf, expected) in [
        (String::new(), Some((false, false))),
        (
            format!(r#","cnf":{{"x5t#S256":"{hash}"}}"#),
            Some((true, false)),
        ),
        (format!(r#","cnf":{{"jkt":"{hash}"}}"#), Some((false, true))),
        (
            format!(r#","cnf":{{"jkt":"{hash}","x5t#S256":"{hash}"}}"#),
            Some((true, true)),
        ),
        (r#","cnf":null"#.to_owned(), None),
        (r#","cnf":{}"#.to_owned(), None),
        (r#","cnf":[]"#.to_owned(), None),
        (format!(r#","cnf":"{hash}""#), None),
        (format!(r#","cnf":{{"x5t#S256":"{hash}","kid":"1"}}"#), None),
        (format!(r#","cnf":{{"kid":"{hash}"}}"#), None),
        (format!(r#","cnf":{{"x5t":"{hash}"}}"#), None),
        (format!(r#","cnf":{{"x5t#s256":"{hash}"}}"#), None),
        (format!(r#","cnf":{{"x5t#S256":["{hash}"]}}"#), None),
        (format!(r#","cnf":{{"x5t#S256":"{hash}="}}"#), None),
        (format!(r#","cnf":{{"x5t#S256":"{short}"}}"#), None),
        (format!(r#","cnf":{{"x5t#S256":"{long}"}}"#), None),
        (r#","cnf":{"jkt":""}"#.to_owned(), None),
    ] {
        let found = Confirmation::of(&claims(&cnf));
        let found = found.map(|one| {
            one.map_or((false, false), |one| {
                (one.certificate.is_some(), one.key.is_some())
            })
        });
        assert_eq!(found, expected.ok_or(Reason::Binding), "{cnf}");
    }
}

#[test]
fn bound_token_needs_its_certificate_each_time() {
    let mut lines = CERTIFICATES
        .lines()
        .filter_map(|line| line.split_once('\t'));
    let (_, base64) = lines.find(|(name, _)| *name == "alice").unwrap();
    let field = format!(":{base64}:");
    let bound = claims(&format!(r#","cnf":{{"x5t#S256":"{ALICE}"}}"#));
    let bound = Confirmation::of(&bound).unwrap();
    let other = claims(&format!(
        r#","cnf":{{"x5t#S256":"{}"}}"#,
        ALICE.replace('E', "F")
    ));
    let other = Confirmation::of(&other).unwrap();
    let both = Confirmation {
        key: Some([1; 32]),
        ..bound.unwrap()
    };
    let binding = |required, source| Some(Binding { required, source });
    let optional = binding(false, Source::Field);
    let required = binding(true, Source::Field);
    let ends_s = 1_893_456_000;
    for (case, binding, demanded, key, shown, at_s, expected) in [
        ("proved", optional, bound, None, true, NOW_S, true),
        ("required", required, bound, None, true, NOW_S, true),
        ("none shown", optional, bound, None, false, NOW_S, false),
        ("another", optional, other, None, true, NOW_S, false),
        ("not compared", None, bound, None, true, NOW_S, false),
        (
            "other source",
            binding(false, Source::Connection),
            bound,
            None,
            true,
            NOW_S,
            false,
        ),
        ("ended", optional, bound, None, true, ends_s + 1, false),
        ("unbound", optional, None, None, true, NOW_S, true),
        ("not bound", required, None, None, true, NOW_S, false),
        ("bearer", None, None, None, false, NOW_S, true),
        ("of a key", optional, Some(both), None, true, NOW_S, false),
        (
            "both",
            optional,
            Some(both),
            Some([1; 32]),
            true,
            NOW_S,
            true,
        ),
        (
            "other key",
            optional,
            Some(both),
            Some([2; 32]),
            true,
            NOW_S,
            false,
        ),
        (
            "proof of nothing",
            optional,
            bound,
            Some([1; 32]),
            true,
            NOW_S,
            false,
        ),
    ] {
        let presented = PresentedCertificates::new(None);
        let field = shown.then_some(field.as_bytes());
        let answers = Answers::default();
        let request = request(&answers, Some((&presented, field)), at_s);
        let found = check(binding, demanded.as_ref(), key.as_ref(), &request);
        assert_eq!(found.is_ok(), expected, "{case}");
    }
}

/// Certificate of RFC 8705, appendix A, in DER and base64. Valid from 2018-10-18 to 2022-05-02.
const OF_THE_RFC: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoX\
DTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA\
BNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsD\
Sb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeOR\
Wz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

#[test]
fn example_of_rfc_8705_is_bound() {
    let bound = claims(r#","cnf":{"x5t#S256":"A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}"#);
    let bound = Confirmation::of(&bound).unwrap();
    let binding = Some(Binding {
        required: true,
        source: Source::Field,
    });
    let field = format!(":{OF_THE_RFC}:");
    for (unix_s, expected) in [(1_600_000_000, true), (1_700_000_000, false)] {
        let presented = PresentedCertificates::new(None);
        let answers = Answers::default();
        let request = request(&answers, Some((&presented, Some(field.as_bytes()))), unix_s);
        let found = check(binding, bound.as_ref(), None, &request);
        assert_eq!(found.is_ok(), expected, "{unix_s}");
    }
}
