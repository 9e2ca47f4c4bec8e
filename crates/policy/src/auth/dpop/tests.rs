//! Tests of proofs: a table of rows, the example of RFC 9449, nonces and bindings.

use std::sync::Arc;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method};
use sha2::{Digest as _, Sha256};

use super::{Checked, ClientUrl, ValidProof, Verifier, WINDOW_MS};
use crate::ask::{Answer, Answered, Answers, Effect, Outage};
use crate::auth::introspection::tests as introspection_tests;
use crate::auth::jwt::tests::{OneSecret, PAIRS, token, verifier as jwt};
use crate::auth::jwt::{Algorithm, Verification};
use crate::auth::token::{TokenRequest, TokenVerifier};
use crate::head::RequestHead;

/// Table of proofs. Columns: case, verifier, header, claims, signature, edit, result.
const PROOFS: &str = include_str!("proofs.tsv");

const NOW_S: u64 = 1_800_000_000;

/// Members of the JWK of a test key, without braces. `name` is `p`, `foreign`, `e` or `r`.
fn jwk(name: &str) -> String {
    let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = |bytes: &[u8]| {
        let (x, y) = (base64(&bytes[1..33]), base64(&bytes[33..]));
        format!(r#""kty":"EC","crv":"P-256","x":"{x}","y":"{y}""#)
    };
    match name {
        "p" => point(PAIRS.p256.public_key().as_ref()),
        "foreign" => point(PAIRS.foreign.public_key().as_ref()),
        "e" => {
            let x = base64(PAIRS.ed25519.public_key().as_ref());
            format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#)
        }
        "r" => {
            let rsa = PublicKeyComponents::<Vec<u8>>::from(PAIRS.rsa.public_key());
            let (n, e) = (base64(&rsa.n), base64(&rsa.e));
            format!(r#""kty":"RSA","n":"{n}","e":"{e}""#)
        }
        other => panic!("no key {other}"),
    }
}

/// Thumbprint of a key (RFC 7638): the hash of its members in the order of their names.
fn thumbprint(name: &str) -> String {
    let members = jwk(name);
    let mut members: Vec<&str> = members.split(',').collect();
    members.sort_unstable();
    let canonical = format!("{{{}}}", members.join(","));
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

/// Creates a token for the verifier `keys`, with this claim `cnf`.
fn bound(cnf: &str) -> Vec<u8> {
    let claims = format!(
        r#"{{"iss":"https://idp.example","aud":"orders","exp":1800000300,"sub":"u-1"{cnf}}}"#
    );
    token([r#"{"alg":"ES256","kid":"p"}"#, &claims, "p", "-"])
}

fn own() -> Vec<u8> {
    bound(&format!(r#","cnf":{{"jkt":"{}"}}"#, thumbprint("p")))
}

fn checked(nonce: bool) -> Checked {
    use Algorithm::{EdDsa, Es256, Rs256};
    Checked {
        token: "idp".into(),
        algorithms: vec![Rs256, Es256, EdDsa],
        window_ms: WINDOW_MS,
        nonce,
        nonce_secret: None,
        store: None,
    }
}

fn verifier(settings: &Checked) -> Verifier {
    let token = TokenVerifier::Jwt(Box::new(jwt("keys")));
    settings.verifier(Arc::new(token), &OneSecret).unwrap()
}

fn head(method: Method, path: &str, proofs: &[&[u8]]) -> RequestHead {
    let mut headers = HeaderMap::new();
    for proof in proofs {
        // Skip proofs with bytes that no HTTP field value can contain.
        if let Ok(value) = HeaderValue::from_bytes(proof) {
            headers.append("dpop", value);
        }
    }
    RequestHead {
        is_ambiguous: false,
        method,
        target: path.parse().unwrap(),
        host: "api.example".into(),
        headers,
    }
}

/// Verifies a token with the proofs in a request head.
fn verify(verifier: &Verifier, token: &[u8], head: &RequestHead, unix_s: u64) -> Verification {
    let answers = Answers::default();
    verify_answers(verifier, token, (head, "api.example"), unix_s, &answers)
}

fn verify_answers(
    verifier: &Verifier,
    token: &[u8],
    (head, host): (&RequestHead, &str),
    unix_s: u64,
    answers: &Answers,
) -> Verification {
    let seen = || ClientUrl::new("https", host, None, head.path().to_owned());
    verifier.verify(
        token,
        &TokenRequest {
            unix_s,
            cache: None,
            answers,
            presented: None,
            client_cert: None,
            head,
            url: &seen,
            received: None,
            normalise: |path| Some(path.replace("%7E", "~")),
        },
    )
}

fn label(verification: &Verification) -> String {
    match verification {
        Verification::ValidProof(..) => "ok".to_owned(),
        Verification::Valid(_) => panic!("a proof is always remembered"),
        Verification::Fault(reason) => format!("token {}", reason.label()),
        Verification::Unproved(reason) => reason.label().to_owned(),
        Verification::Ask(_) => "ask".to_owned(),
        Verification::Signed(..) | Verification::Unsigned(_) => panic!("no signature of a request"),
        Verification::Session(..) | Verification::NoSession(_) => panic!("no session of a browser"),
    }
}

/// Replaces the placeholders for keys, hashes and the nonce in one column of the table.
fn filled(text: &str, token: &[u8], nonce: &str) -> String {
    let mut text = text.to_owned();
    for name in ["p", "foreign", "e", "r"] {
        text = text.replace(&format!("$jwk {name}$"), &jwk(name));
    }
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
    text.replace("$ath", &hash).replace("$nonce", nonce)
}

#[test]
fn proofs_of_the_table_are_verified() {
    let (plain, nonced) = (verifier(&checked(false)), verifier(&checked(true)));
    let mut wrong = Vec::new();
    let mut labels = Vec::new();
    for line in PROOFS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let columns: Vec<&str> = line.split('\t').collect();
        let [case, name, header, claims, signer, edit, expected] = columns[..] else {
            panic!("seven columns: {line}");
        };
        let access = match name {
            "unbound" => bound(""),
            "other" => bound(&format!(r#","cnf":{{"jkt":"{}"}}"#, thumbprint("foreign"))),
            "ed25519" => bound(&format!(r#","cnf":{{"jkt":"{}"}}"#, thumbprint("e"))),
            "rsa" => bound(&format!(r#","cnf":{{"jkt":"{}"}}"#, thumbprint("r"))),
            "both" => bound(&format!(
                r#","cnf":{{"jkt":"{}","x5t#S256":"{}"}}"#,
                thumbprint("p"),
                "A".repeat(43)
            )),
            "forged" => [&own()[..], b"x"].concat(),
            _ => own(),
        };
        let verifier = if name == "nonce" { &nonced } else { &plain };
        let nonce = nonced.fresh_nonce(NOW_S).unwrap();
        let filled = |text: &str| filled(text, &access, nonce.to_str().unwrap());
        let proof = token([&filled(header), &filled(claims), signer, edit]);
        let proofs: Vec<&[u8]> = match name {
            "twice" => vec![&proof, &proof],
            "absent" => Vec::new(),
            _ => vec![&proof],
        };
        let head = head(Method::POST, "/a/~b?q=1", &proofs);
        let found = label(&verify(verifier, &access, &head, NOW_S));
        if found != expected {
            wrong.push(format!("{case}: {found}, not {expected}"));
        }
        labels.push(expected.to_owned());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(labels.len() > 80, "{} rows", labels.len());
    for reason in super::Reason::ALL {
        // The crate `engine`, not the verifier, refuses repeated proofs. No key of the table is
        // expensive.
        let elsewhere = [
            "replayed",
            "full",
            "store_unavailable",
            "signature_unverified",
        ];
        let elsewhere = elsewhere.contains(&reason.label());
        let is_here = labels.iter().any(|label| label == reason.label());
        assert_ne!(is_here, elsewhere, "{}", reason.label());
    }
}

/// Verifies proofs that are signed with a P-384 key, whose signature is checked on another thread.
#[test]
fn proof_of_an_expensive_key_is_checked_elsewhere() {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = pair.public_key().as_ref();
    let (x, y) = (base64(&point[1..49]), base64(&point[49..]));
    let canonical = format!(r#"{{"crv":"P-384","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let thumbprint = base64(&Sha256::digest(canonical));
    let access = bound(&format!(r#","cnf":{{"jkt":"{thumbprint}"}}"#));
    let header = format!(
        r#"{{"typ":"dpop+jwt","alg":"ES384","jwk":{{"kty":"EC","crv":"P-384","x":"{x}","y":"{y}"}}}}"#
    );
    let claims = format!(
        r#"{{"jti":"1","htm":"GET","htu":"https://api.example/","iat":{NOW_S},"ath":"{}"}}"#,
        base64(&Sha256::digest(&access))
    );
    let signed = format!(
        "{}.{}",
        base64(header.as_bytes()),
        base64(claims.as_bytes())
    );
    let verifier = verifier(&Checked {
        algorithms: vec![Algorithm::Es384],
        ..checked(false)
    });
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    for (bytes, expected) in [(signature.as_ref(), "ok"), (&[1; 96], "signature")] {
        let proof = format!("{signed}.{}", base64(bytes));
        let head = RequestHead {
            is_ambiguous: false,
            method: Method::GET,
            target: "/".parse().unwrap(),
            host: "api.example".into(),
            headers: HeaderMap::from_iter([(
                http::HeaderName::from_static("dpop"),
                HeaderValue::try_from(proof).unwrap(),
            )]),
        };
        let result = |answers: &Answers| {
            verify_answers(&verifier, &access, (&head, "api.example"), NOW_S, answers)
        };
        let Verification::Ask(effect) = result(&Answers::default()) else {
            panic!("no check")
        };
        let Effect::Signature(check) = &*effect else {
            panic!("{effect:?}")
        };
        let status = match check.holds() {
            true => http::StatusCode::OK,
            false => http::StatusCode::FORBIDDEN,
        };
        let mut answers = Answers::default();
        answers.add(effect.id(), Answer::Http(Arc::new(Answered::empty(status))));
        assert_eq!(label(&result(&answers)), expected);
        let mut answers = Answers::default();
        answers.add(effect.id(), Answer::Outage(Outage::Overflow));
        assert_eq!(label(&result(&answers)), "signature_unverified");
    }
}

/// Verifies the example of RFC 9449 §7.1, figure 13. The expected thumbprint is that of §6.1.
#[test]
fn example_of_the_rfc_is_verified() {
    const TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    const AT_S: u64 = 1_562_262_618;
    let inner = introspection_tests::checked()
        .verifier(&introspection_tests::Known)
        .unwrap();
    let inner = TokenVerifier::Introspection(Box::new(inner));
    let settings = Checked {
        algorithms: vec![Algorithm::Es256],
        ..checked(false)
    };
    let verifier = settings
        .verifier(Arc::new(inner), &introspection_tests::Known)
        .unwrap();
    let head = head(Method::GET, "/protectedresource", &[PROOF.as_bytes()]);
    let result = |answers: &Answers, host, at_s| {
        verify_answers(&verifier, TOKEN, (&head, host), at_s, answers)
    };
    let host = "resource.example.org";
    let mut answers = Answers::default();
    let Verification::Ask(effect) = result(&answers, host, AT_S) else {
        panic!("the effect goes to its issuer");
    };
    let active = r#"{"active":true,"iss":"https://idp.example","aud":"orders","token_type":"DPoP","cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}"#;
    answers.add(effect.id(), introspection_tests::active(active));
    let Verification::ValidProof(_, proved) = result(&answers, host, AT_S) else {
        panic!("the proof is valid");
    };
    let expected = AT_S + WINDOW_MS / 1_000 + 1;
    let ValidProof {
        life, needs_nonce, ..
    } = proved;
    assert_eq!((life.ends_s, needs_nonce), (expected, false));
    assert_eq!(label(&result(&answers, "other.example", AT_S)), "url");
    assert_eq!(label(&result(&answers, host, AT_S + 61)), "age");
}

#[test]
fn nonce_is_renewed_before_it_ends() {
    let verifier = verifier(&checked(true));
    let access = own();
    let made = verifier.fresh_nonce(NOW_S).unwrap();
    let nonce_result = |at_s: u64| {
        let claims = format!(
            r#"{{"jti":"1","htm":"POST","htu":"https://api.example/a","iat":{at_s},"ath":"$ath","nonce":"$nonce"}}"#
        );
        let claims = filled(&claims, &access, made.to_str().unwrap());
        let header = format!(
            r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{{{}}}}}"#,
            jwk("p")
        );
        let proof = token([&header, &claims, "p", "-"]);
        match verify(
            &verifier,
            &access,
            &head(Method::POST, "/a", &[&proof]),
            at_s,
        ) {
            Verification::ValidProof(_, proved) => Ok(proved.needs_nonce),
            other => Err(label(&other)),
        }
    };
    assert_eq!(nonce_result(NOW_S + 10), Ok(false));
    assert_eq!(nonce_result(NOW_S + 40), Ok(true));
    assert_eq!(nonce_result(NOW_S + 70), Err("nonce".to_owned()));
    let other = self::verifier(&checked(false));
    assert_eq!(other.fresh_nonce(NOW_S), None);
}

#[test]
fn proof_is_known_by_its_key_and_id() {
    let (one, access) = (verifier(&checked(false)), own());
    let hash = |id: &str, iat: u64, path: &str| {
        let claims = format!(
            r#"{{"jti":"{id}","htm":"POST","htu":"https://api.example{path}","iat":{iat},"ath":"$ath"}}"#
        );
        let claims = filled(&claims, &access, "");
        let header = format!(
            r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{{{}}}}}"#,
            jwk("p")
        );
        let proof = token([&header, &claims, "p", "-"]);
        match verify(&one, &access, &head(Method::POST, path, &[&proof]), NOW_S) {
            Verification::ValidProof(_, proved) => proved.proof,
            other => panic!("{}", label(&other)),
        }
    };
    let first = hash("1", NOW_S, "/a");
    assert_eq!(hash("1", NOW_S - 5, "/b"), first);
    assert_ne!(hash("2", NOW_S, "/a"), first);
}
