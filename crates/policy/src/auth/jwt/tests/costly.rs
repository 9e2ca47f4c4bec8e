//! Tests of signatures by expensive keys, which gwd verifies on another thread.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, RSA_PKCS1_SHA256};

use super::*;
use crate::ask::{Answer, Answered, Answers, Effect, Outage};

/// Verifier with a key of each kind, and a valid token of each key by key id. The keys `p384` and
/// `rsa4096` are slow ([`Material::is_costly`]).
fn world() -> (Verifier, Vec<(&'static str, Vec<u8>)>) {
    let random = SystemRandom::new();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let large = RsaKeyPair::generate(KeySize::Rsa4096).unwrap();
    let point = p384.public_key().as_ref();
    let rsa = RsaPublicKeyComponents::<Vec<u8>>::from(large.public_key());
    let key = |kid: &str, material| PublicKey {
        kid: Some(kid.to_owned()),
        algorithm: None,
        material,
    };
    let KeySource::Set(mut all) = keys() else {
        panic!("a set")
    };
    all.push(key(
        "p384",
        Material::P384(point[1..49].into(), point[49..].into()),
    ));
    all.push(key("rsa4096", Material::Rsa(rsa.n, rsa.e)));
    let algorithms = [
        Algorithm::Es384,
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::EdDsa,
    ];
    let verifier = checked(KeySource::Set(all), &algorithms)
        .verifier(&OneSecret)
        .unwrap();
    let rsa = |pair: &RsaKeyPair, signed: &[u8]| {
        let mut bytes = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut bytes)
            .unwrap();
        bytes
    };
    let tokens = [
        ("p384", "ES384"),
        ("rsa4096", "RS256"),
        ("p", "ES256"),
        ("e", "EdDSA"),
        ("r", "RS256"),
    ]
    .map(|(kid, algorithm)| {
        let head = format!(r#"{{"alg":"{algorithm}","kid":"{kid}"}}"#);
        let signed = format!("{}.{}", part(&head), part(PLAIN));
        let bytes = match kid {
            "p384" => p384
                .sign(&random, signed.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            "rsa4096" => rsa(&large, signed.as_bytes()),
            "r" => rsa(&PAIRS.rsa, signed.as_bytes()),
            kid => signature(kid, signed.as_bytes()),
        };
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
        (kid, token.into_bytes())
    });
    (verifier, tokens.into())
}

/// Token with another claim, so that its signature is wrong.
fn forged(token: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(token.to_vec()).unwrap();
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let claims = part(&PLAIN.replacen('{', r#"{"forged":1,"#, 1));
    format!("{head}.{claims}.{signature}").into_bytes()
}

fn check_of(found: Verification) -> Box<crate::signature::Check> {
    match found {
        Verification::Ask(effect) => match *effect {
            Effect::Signature(check) => check,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_expensive_keys_are_verified_elsewhere() {
    let (verifier, tokens) = world();
    for (kid, token) in tokens {
        for (token, is_valid) in [(forged(&token), false), (token, true)] {
            let (cache, mut answers) = (TokenCache::default(), Answers::default());
            let verify =
                |answers: &Answers| verifier.verify_or_ask(&token, NOW_S, Some(&cache), answers);
            let mut found = verify(&answers);
            if ["p384", "rsa4096"].contains(&kid) {
                let check = check_of(found);
                assert_eq!(check.holds(), is_valid, "{kid}");
                let status = match check.holds() {
                    true => http::StatusCode::OK,
                    false => http::StatusCode::FORBIDDEN,
                };
                let answer = Answer::Http(Arc::new(Answered::empty(status)));
                answers.add(Effect::Signature(check).id(), answer);
                found = verify(&answers);
            }
            match found {
                Verification::Valid(_) => assert!(is_valid, "{kid}"),
                Verification::Fault(Reason::Signature) => assert!(!is_valid, "{kid}"),
                other => panic!("{kid}: {other:?}"),
            }
            // The cache of tokens has the result, so that the next verification needs no answer.
            let again = verify(&Answers::default());
            assert!(!matches!(again, Verification::Ask(_)), "{kid}");
        }
    }
}

#[test]
fn signature_without_a_result_is_unverified() {
    let (verifier, tokens) = world();
    let (_, token) = &tokens[0];
    let cache = TokenCache::default();
    for outage in [Outage::Overflow, Outage::Timeout, Outage::Failed] {
        let mut answers = Answers::default();
        let check = check_of(verifier.verify_or_ask(token, NOW_S, Some(&cache), &answers));
        answers.add(Effect::Signature(check).id(), Answer::Outage(outage));
        let found = verifier.verify_or_ask(token, NOW_S, Some(&cache), &answers);
        assert!(
            matches!(found, Verification::Fault(Reason::Unverified)),
            "{found:?}"
        );
    }
}

#[test]
fn unverified_token_of_another_issuer_asks_nothing() {
    let (verifier, tokens) = world();
    let text = String::from_utf8(tokens[0].1.clone()).unwrap();
    let [head, _, signature] = text.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let claims = part(&PLAIN.replace("idp.example", "other.example"));
    let token = format!("{head}.{claims}.{signature}");
    let found = verifier.verify_or_ask(token.as_bytes(), NOW_S, None, &Answers::default());
    assert!(
        matches!(found, Verification::Fault(Reason::Issuer)),
        "{found:?}"
    );
}
