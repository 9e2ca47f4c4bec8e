//! Time of a token's verification, by algorithm, with and without the cache of tokens.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaPublicKeyComponents,
};

use super::*;

/// Number of verifications whose time is averaged.
const ROUNDS: u32 = 50;

/// Average time of [`ROUNDS`] calls: the best of five measurements.
fn best(mut run: impl FnMut()) -> Duration {
    let measured = (0..5).map(|_| {
        let began = Instant::now();
        (0..ROUNDS).for_each(|_| run());
        began.elapsed() / ROUNDS
    });
    measured.min().expect("five")
}

fn rsa(padding: &'static dyn RsaEncoding, signed: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; PAIRS.rsa.public_modulus_len()];
    let random = SystemRandom::new();
    PAIRS
        .rsa
        .sign(padding, &random, signed, &mut bytes)
        .expect("a signature");
    bytes
}

/// Prints the time of a verification for docs/performance.md (`bench/access`). Run with
/// `--nocapture`.
#[test]
fn cost_of_a_verification_is_printed() {
    use Algorithm::{EdDsa, Es256, Es384, Hs256, Ps256, Rs256, Rs512};
    let random = SystemRandom::new();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
    let sign = |algorithm, signed: &[u8]| match algorithm {
        Rs256 => rsa(&RSA_PKCS1_SHA256, signed),
        Rs512 => rsa(&RSA_PKCS1_SHA512, signed),
        Ps256 => rsa(&RSA_PSS_SHA256, signed),
        Es384 => p384.sign(&random, signed).expect("signed").as_ref().into(),
        Es256 => signature("p", signed),
        EdDsa => signature("e", signed),
        _ => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed)
            .as_ref()
            .into(),
    };
    let material = |algorithm| match algorithm {
        Es384 => {
            let point = p384.public_key().as_ref();
            Material::P384(point[1..49].into(), point[49..].into())
        }
        Es256 => {
            let point = PAIRS.p256.public_key().as_ref();
            Material::P256(point[1..33].into(), point[33..].into())
        }
        EdDsa => Material::Ed25519(PAIRS.ed25519.public_key().as_ref().into()),
        _ => {
            let rsa = RsaPublicKeyComponents::<Vec<u8>>::from(PAIRS.rsa.public_key());
            Material::Rsa(rsa.n, rsa.e)
        }
    };
    println!("| algorithm | verified | cached |");
    for algorithm in [Rs256, Rs512, Ps256, Es256, Es384, EdDsa, Hs256] {
        let keys = match algorithm {
            Hs256 => KeySource::Secret(SecretRef::Env("S".into())),
            _ => KeySource::Set(vec![PublicKey {
                kid: Some("k".into()),
                algorithm: None,
                material: material(algorithm),
            }]),
        };
        let verifier = checked(keys, &[algorithm])
            .verifier(&OneSecret)
            .expect("a verifier");
        let head = format!(r#"{{"alg":"{}","kid":"k"}}"#, algorithm.name());
        let signed = format!("{}.{}", part(&head), part(PLAIN));
        let bytes = sign(algorithm, signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes)).into_bytes();
        let cache = TokenCache::default();
        let verify = |cache: Option<&TokenCache>| {
            let found = verifier.verify_now(&token, NOW_S, cache);
            assert!(found.is_ok(), "{algorithm:?}: {:?}", found.err());
        };
        let verified = best(|| verify(None));
        let cached = best(|| verify(Some(&cache)));
        println!("| {} | {verified:?} | {cached:?} |", algorithm.name());
        // Shared secrets are not cached: their verification is as fast as a look-up.
        let hits = cache.take_counts().0;
        assert_eq!(hits > 0, algorithm != Hs256, "{algorithm:?}: {hits} hits");
    }
}

/// Prints the time of a look-up in a full cache, without the verification. The look-ups alternate
/// between four times as many tokens as fit into the cache.
#[test]
fn cost_of_a_miss_is_printed() {
    let whole = token([r#"{"alg":"ES256","kid":"p"}"#, PLAIN, "p", "-"]);
    let verifier = verifier("keys");
    let bytes = verifier
        .identity_of(&whole, u64::MAX)
        .expect("valid")
        .bytes();
    let fit = (8 << 20) / (128 + bytes);
    for (name, admits_all) in [("all admitted", true), ("repeated ones admitted", false)] {
        let cache = TokenCache::default();
        let mut misses = Duration::ZERO;
        for round in 0..2 {
            for number in 0..4 * fit as u32 {
                let key = cache_key(number);
                let identity = Arc::new(verifier.identity_of(&whole, u64::MAX).expect("valid"));
                let began = Instant::now();
                if cache.get(&key, NOW_S).is_none() {
                    match admits_all {
                        true => cache.keep(key, &identity, bytes, NOW_S..identity.ends_s),
                        false => cache.keep_repeated(key, &identity, bytes, NOW_S..identity.ends_s),
                    }
                }
                drop(identity);
                if round > 0 {
                    misses += began.elapsed();
                }
            }
        }
        let (hits, missed) = cache.take_counts();
        let one = misses / (4 * fit as u32);
        println!(
            "look-up in a full cache, {name}: {one:?}, {hits} hits, {missed} misses, {bytes} bytes"
        );
        assert_eq!(hits > 0, !admits_all, "{name}");
    }
}
