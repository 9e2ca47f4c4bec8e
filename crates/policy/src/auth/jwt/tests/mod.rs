//! Tests of token verification: a table of attacks, the examples of RFC 7515, and identities.

mod cost;
mod costly;
pub(in crate::auth) mod fetched;
mod vectors;

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::auth::binding::tests::as_bearer;
use crate::secret::{Form, SecretCell, SecretUnavailable, Secrets};

/// Table of tokens. Columns: case, verifier, header, claims, signature, edit, result.
const TOKENS: &str = include_str!("tokens.tsv");

/// Time of all rows (Unix time, seconds).
const NOW_S: u64 = 1_800_000_000;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Key pairs that sign the tokens of `tokens.tsv`. `foreign` is not in any key set.
pub(in crate::auth) struct Pairs {
    pub(in crate::auth) p256: EcdsaKeyPair,
    pub(in crate::auth) foreign: EcdsaKeyPair,
    pub(in crate::auth) ed25519: Ed25519KeyPair,
    pub(in crate::auth) rsa: RsaKeyPair,
}

pub(in crate::auth) static PAIRS: LazyLock<Pairs> = LazyLock::new(|| {
    let p256 = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    Pairs {
        p256: p256(),
        foreign: p256(),
        ed25519: Ed25519KeyPair::generate().unwrap(),
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
    }
});

pub(in crate::auth) struct OneSecret;

impl Secrets for OneSecret {
    fn cell(&self, _: &SecretRef, form: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        assert!(form.fits(SECRET));
        Ok(SecretCell::new(SECRET.to_vec()))
    }
}

fn keys() -> KeySource {
    let point = PAIRS.p256.public_key().as_ref();
    let rsa = RsaPublicKeyComponents::<Vec<u8>>::from(PAIRS.rsa.public_key());
    let key = |kid: &str, algorithm, material| PublicKey {
        kid: Some(kid.to_owned()),
        algorithm,
        material,
    };
    KeySource::Set(vec![
        key(
            "p",
            None,
            Material::P256(point[1..33].into(), point[33..].into()),
        ),
        key(
            "e",
            None,
            Material::Ed25519(PAIRS.ed25519.public_key().as_ref().into()),
        ),
        key("r", Some(Algorithm::Rs256), Material::Rsa(rsa.n, rsa.e)),
    ])
}

/// Settings of a verifier with default values for all optional settings.
fn checked(keys: KeySource, algorithms: &[Algorithm]) -> Checked {
    Checked {
        issuer: "https://idp.example".into(),
        audience: vec!["orders".into(), "shop".into()],
        algorithms: algorithms.to_vec(),
        keys,
        leeway_ms: LEEWAY_MS,
        max_lifetime_ms: None,
        types: TYPES.iter().map(|one| (*one).to_owned()).collect(),
        token_bytes: TOKEN_BYTES,
        required_claims: Vec::new(),
        consumer_claim: None,
        scope_claim: SCOPE_CLAIM.into(),
        groups_claim: GROUPS_CLAIM.into(),
        stale_for_ms: None,
        binding: None,
        resource_metadata: None,
    }
}

pub(in crate::auth) fn verifier(name: &str) -> Verifier {
    use Algorithm::{EdDsa, Es256, Hs256, Rs256};
    let secret = || KeySource::Secret(SecretRef::Env("S".into()));
    let checked = match name {
        "keys" => checked(keys(), &[Rs256, Es256, EdDsa]),
        "secret" => checked(secret(), &[Hs256]),
        // gwc never writes such a verifier. A bundle that mixes shared secrets and key pairs must
        // be safe as well.
        "both" => checked(keys(), &[Rs256, Es256, EdDsa, Hs256]),
        "strict" => Checked {
            leeway_ms: 0,
            max_lifetime_ms: Some(600_000),
            types: vec!["at+jwt".into()],
            required_claims: vec!["sub".into(), "tenant".into()],
            token_bytes: 1024,
            ..checked(keys(), &[Es256])
        },
        // Verifier whose keys have not been fetched yet.
        "fetched" => checked(KeySource::Discovered, &[Es256]),
        other => panic!("no verifier {other}"),
    };
    checked.verifier(&OneSecret).unwrap()
}

/// Encodes the header or the claims of a row: JSON, or `raw:` with a text that is already encoded.
/// See [`unescaped`] for repetitions.
fn part(text: &str) -> String {
    match text.strip_prefix("raw:") {
        Some(raw) => raw.to_owned(),
        None => URL_SAFE_NO_PAD.encode(unescaped(text)),
    }
}

/// Expands `⟦TEXT×N⟧` to N copies of the text.
fn unescaped(text: &str) -> String {
    let Some((before, rest)) = text.split_once('⟦') else {
        return text.to_owned();
    };
    let (inner, after) = rest.split_once('⟧').unwrap();
    let (repeated, times) = inner.rsplit_once('×').unwrap();
    let times: usize = times.parse().unwrap();
    [before, &repeated.repeat(times), &unescaped(after)].concat()
}

fn signature(kind: &str, signed: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let ecdsa = |pair: &EcdsaKeyPair| pair.sign(&random, signed).unwrap().as_ref().to_vec();
    let rsa = |padding: &'static dyn RsaEncoding| {
        let mut bytes = vec![0; PAIRS.rsa.public_modulus_len()];
        PAIRS
            .rsa
            .sign(padding, &random, signed, &mut bytes)
            .unwrap();
        bytes
    };
    let mac = |key: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, signed).as_ref().to_vec()
    };
    match kind {
        "p" => ecdsa(&PAIRS.p256),
        "foreign" => ecdsa(&PAIRS.foreign),
        "e" => PAIRS.ed25519.sign(signed).as_ref().to_vec(),
        "r" => rsa(&RSA_PKCS1_SHA256),
        "r-pss" => rsa(&RSA_PSS_SHA256),
        "hs" => mac(SECRET),
        "hs-empty" => mac(b""),
        // Public keys that an attacker uses as shared secrets.
        "hs-point" => mac(PAIRS.p256.public_key().as_ref()),
        "hs-x" => mac(&PAIRS.p256.public_key().as_ref()[1..33]),
        "hs-ed" => mac(PAIRS.ed25519.public_key().as_ref()),
        "hs-n" => mac(&RsaPublicKeyComponents::<Vec<u8>>::from(PAIRS.rsa.public_key()).n),
        "none" => Vec::new(),
        "zero" => vec![0; 64],
        // Signature in which r and s equal the order of the group.
        "order" => {
            let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
            let byte = |at: usize| u8::from_str_radix(&order[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..64).step_by(2).map(byte).collect();
            bytes.repeat(2)
        }
        other => panic!("no signature {other}"),
    }
}

/// Token of a row, with the row's edit applied.
pub(in crate::auth) fn token([header, claims, signer, edit]: [&str; 4]) -> Vec<u8> {
    let signed = format!("{}.{}", part(header), part(claims));
    let bytes = signature(signer, signed.as_bytes());
    let encoded = URL_SAFE_NO_PAD.encode(&bytes);
    let whole = format!("{signed}.{encoded}");
    let last = |text: &str| text.chars().next_back().unwrap();
    match edit {
        "-" => whole,
        "pad" => whole + "==",
        // Unused low bits of the last base64 character.
        "stray-bits" => {
            const ALPHABET: &[u8] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let at = ALPHABET
                .iter()
                .position(|one| char::from(*one) == last(&whole));
            let twin = char::from(ALPHABET[at.unwrap() | 1]);
            assert_ne!(twin, last(&whole), "64 bytes end in free bits");
            format!("{}{twin}", &whole[..whole.len() - 1])
        }
        "standard-alphabet" => whole.replace('-', "+").replace('_', "/") + "+/",
        "flip" => {
            let mut bytes = bytes;
            bytes[7] ^= 1;
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
        }
        "truncate" => format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() - 1])
        ),
        "der" => format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode([&[0x30, 0x44][..], &bytes].concat())
        ),
        "two-parts" => signed,
        "four-parts" => whole + ".AAAA",
        "five-parts" => whole + ".AAAA.AAAA",
        "blank-before" => format!(" {whole}"),
        "blank-after" => format!("{whole} "),
        "line-feed" => format!("{whole}\n"),
        "nul" => format!("{whole}\0"),
        "comma" => format!("{whole},{whole}"),
        "dot-first" => format!(".{whole}"),
        "empty" => String::new(),
        "dots" => "..".to_owned(),
        "high-byte" => return [whole.as_bytes(), &[0xff]].concat(),
        other => panic!("no edit {other}"),
    }
    .into_bytes()
}

#[test]
fn tokens_of_the_table_are_verified() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in TOKENS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let columns: Vec<&str> = line.split('\t').collect();
        let [case, name, header, claims, signer, edit, expected] = columns[..] else {
            panic!("seven columns: {line}");
        };
        let token = token([header, claims, signer, edit]);
        let found = verifier(name).verify(&token, NOW_S);
        let found = match found.and_then(|one| as_bearer(one.bound.as_ref())) {
            Ok(_) => "ok",
            Err(reason) => reason.label(),
        };
        if found != expected {
            wrong.push(format!("{case}: {found}, not {expected}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 100, "{count} rows");
}

#[test]
fn every_reason_is_in_the_table() {
    let found: Vec<&str> = TOKENS
        .lines()
        .filter_map(|line| line.rsplit('\t').next())
        .collect();
    for reason in Reason::ALL {
        // Skip reasons that other tests cover: the crate `engine` checks revocation, and the other
        // reasons are about introspection.
        let elsewhere = [
            Reason::Revoked,
            Reason::Inactive,
            Reason::Introspection,
            Reason::Unusable,
            // Only for keys that this table does not have: see `costly`.
            Reason::Unverified,
        ];
        let is_here = found.contains(&reason.label());
        assert_ne!(is_here, elsewhere.contains(reason), "{}", reason.label());
    }
}

#[test]
fn a_token_gives_its_identity() {
    let claims = r#"{"iss":"https://idp.example","aud":"orders","exp":1800000300,"sub":"u-1","azp":"app","scope":"write read  read","groups":["b","a"],"tier":"gold","seat":7,"beta":true,"roles":["x"],"none":null}"#;
    let token = token([r#"{"alg":"ES256","kid":"p"}"#, claims, "p", "-"]);
    let identity = verifier("keys").verify(&token, NOW_S).unwrap();
    assert_eq!(&*identity.issuer, "https://idp.example");
    assert_eq!(identity.subject.as_deref(), Some("u-1"));
    assert_eq!(identity.client.as_deref(), Some("app"));
    assert_eq!(identity.consumer, None, "no claim names it");
    assert_eq!(identity.ends_s, 1_800_000_360);
    let text = |all: &[Box<str>]| all.join(",");
    assert_eq!(text(&identity.scopes), "read,write");
    assert_eq!(text(&identity.groups), "a,b");
    let wanted = |scopes: &[&str]| {
        let scopes: Vec<Box<str>> = scopes.iter().map(|one| (*one).into()).collect();
        identity.has_scopes(&scopes)
    };
    assert!(wanted(&[]) && wanted(&["read"]) && wanted(&["read", "write"]));
    assert!(!wanted(&["read", "admin"]) && !wanted(&["rea"]) && !wanted(&["read write"]));
    for (name, value) in [
        ("tier", Some("gold")),
        ("seat", Some("7")),
        ("beta", Some("true")),
        ("roles", None),
        ("none", None),
    ] {
        assert_eq!(identity.claims.get(name), value, "{name}");
    }
}

#[test]
fn twin_signatures_are_one_token() {
    let claims = r#"{"iss":"https://idp.example","aud":"orders","exp":1800000300,"sub":"u-1"}"#;
    let row = [r#"{"alg":"ES256","kid":"p"}"#, claims, "p", "-"];
    let (one, two) = (token(row), token(row));
    assert_ne!(one, two, "ECDSA signs with a random number");
    let verify = |token: &[u8]| verifier("keys").verify(token, NOW_S).unwrap().sha256;
    assert_eq!(verify(&one), verify(&two));
    assert_eq!(signed_part(&one), Some(verify(&two)));
    assert_eq!(signed_part(b"x"), None);
}

#[test]
fn callers_of_two_issuers_have_two_keys() {
    let key = |issuer: &str, subject, client| identity::key(issuer, subject, client);
    let all = [
        key("a", Some("b"), None),
        key("ab", Some(""), None),
        key("a", None, Some("b")),
        key("", Some("ab"), None),
        key("a", Some("c"), Some("b")),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(one), "{one:?}");
    }
    assert_eq!(key("a", None, None), None);
}

const PLAIN: &str =
    r#"{"iss":"https://idp.example","aud":"orders","exp":1800000300,"nbf":1800000000,"sub":"u-1"}"#;

#[test]
fn cached_token_ends_as_its_claims_say() {
    let (cache, verifier) = (TokenCache::default(), verifier("keys"));
    let token = token([r#"{"alg":"ES256","kid":"p"}"#, PLAIN, "p", "-"]);
    let verify = |unix_s| {
        let found = verifier.verify_now(&token, unix_s, Some(&cache));
        (found.map(|one| one.ends_s), cache.take_counts())
    };
    let valid = Ok(NOW_S + 360);
    assert_eq!(verify(NOW_S), (valid, (0, 1)));
    assert_eq!(verify(NOW_S), (valid, (1, 0)));
    assert_eq!(verify(NOW_S + 359), (valid, (1, 0)));
    assert_eq!(verify(NOW_S - 30), (valid, (0, 1)), "the clock went back");
    assert_eq!(verify(NOW_S - 100), (Err(Reason::NotYetValid), (0, 1)));
    assert_eq!(verify(NOW_S + 360), (Err(Reason::Expired), (0, 1)));
}

#[test]
fn cached_token_is_bound_to_verifier_and_signature() {
    let cache = TokenCache::default();
    let whole = token([r#"{"alg":"ES256","kid":"p"}"#, PLAIN, "p", "-"]);
    let verify = |name: &str, token: &[u8]| {
        let found = verifier(name).verify_now(token, NOW_S, Some(&cache));
        found.map(|_| ()).map_err(Reason::label)
    };
    assert_eq!(verify("keys", &whole), Ok(()));
    assert_eq!(verify("strict", &whole), Err("type"));
    let other = token([r#"{"alg":"ES256","kid":"p"}"#, PLAIN, "foreign", "-"]);
    for _ in 0..2 {
        assert_eq!(verify("keys", &other), Err("signature"));
    }
    // Verifiers with the same settings share cached tokens.
    cache.take_counts();
    assert_eq!(verify("keys", &whole), Ok(()));
    assert_eq!(cache.take_counts(), (1, 0));
}

#[test]
fn wrong_signature_is_refused_for_ten_seconds() {
    let cache = TokenCache::default();
    let made = |kid: &str, signer: &str| {
        let head = format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#);
        token([&head, PLAIN, signer, "-"])
    };
    let [forged, unknown, valid] =
        [("p", "foreign"), ("unknown", "p"), ("p", "p")].map(|(kid, signer)| made(kid, signer));
    let verified = |token: &[u8], unix_s: u64| {
        let found = verifier("keys").verify_now(token, unix_s, Some(&cache));
        (
            found.map(|_| ()).map_err(Reason::label),
            cache.take_counts(),
        )
    };
    let wrong = Err("signature");
    assert_eq!(verified(&forged, NOW_S), (wrong, (0, 1)));
    assert_eq!(verified(&forged, NOW_S + 9), (wrong, (1, 0)));
    assert_eq!(verified(&forged, NOW_S + 10), (wrong, (0, 1)));
    // The clock went back: the stored result is not used.
    assert_eq!(verified(&forged, NOW_S + 9), (wrong, (0, 1)));
    // A token of an unknown key is verified each time, because the key may have been fetched since.
    for _ in 0..2 {
        assert_eq!(verified(&unknown, NOW_S), (Err("key"), (0, 1)));
    }
    assert_eq!(verified(&valid, NOW_S), (Ok(()), (0, 1)));
    // The table of refused tokens has a maximum size.
    let key = |number: u32| {
        let mut key = [1; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    };
    for number in 0..20_000 {
        cache.refuse(key(number), NOW_S);
    }
    let known = (0..20_000).filter(|number| cache.is_refused(&key(*number), NOW_S));
    assert!((4_096..=8_192).contains(&known.count()));
}

#[test]
fn cache_is_bounded_and_keeps_used_entries() {
    let cache = TokenCache::default();
    let whole = token([r#"{"alg":"ES256","kid":"p"}"#, PLAIN, "p", "-"]);
    let identity = Arc::new(verifier("keys").verify(&whole, NOW_S).unwrap());
    let key = |number: u32| {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    };
    cache.keep(key(0), &identity, 8192, NOW_S..identity.ends_s);
    for number in 1..2000 {
        cache.keep(key(number), &identity, 8192, NOW_S..identity.ends_s);
        assert!(cache.bytes() <= 8 << 20);
        assert!(cache.get(&key(0), NOW_S).is_some(), "{number}");
    }
    assert!(cache.get(&key(1), NOW_S).is_none(), "not requested since");
    let growth = cache.take_growth();
    assert_eq!(growth.bytes, cache.bytes() as i64);
    assert_eq!(growth.entries + growth.evicted as i64, 2_000);
    assert_eq!(cache.take_growth(), Growth::default());
}

/// Key of the cached token with this number. The key is a hash, because the cache recognises a
/// repeated token by parts of the key.
fn cache_key(number: u32) -> [u8; 32] {
    Sha256::digest(number.to_le_bytes()).into()
}

#[test]
fn crowded_cache_keeps_repeated_tokens_only() {
    let cache = TokenCache::default();
    let whole = token([r#"{"alg":"ES256","kid":"p"}"#, PLAIN, "p", "-"]);
    let identity = Arc::new(verifier("keys").verify(&whole, NOW_S).unwrap());
    let keep = |number| {
        let key = cache_key(number);
        cache.keep_repeated(key, &identity, 8192, NOW_S..identity.ends_s);
        cache.get(&key, NOW_S).is_some()
    };
    // Do not look up any token here, because a look-up counts as a use.
    for number in 0..1_200 {
        let key = cache_key(number);
        cache.keep_repeated(key, &identity, 8192, NOW_S..identity.ends_s);
    }
    let full = cache.take_growth();
    assert!(full.entries < 1_200, "{full:?}");
    assert_eq!(full.bytes, cache.bytes() as i64);
    for number in 2_000..3_000 {
        assert!(!keep(number), "{number}: first verification");
    }
    // The tokens that filled the cache are still cached, also those of the older generation.
    let known = (0..1_200).filter(|number| cache.get(&cache_key(*number), NOW_S).is_some());
    assert_eq!(known.count() as i64, full.entries);
    assert_eq!(cache.take_growth(), Growth::default());
    assert!(keep(2_999) && keep(2_998), "second verification");
    let growth = cache.take_growth();
    assert_eq!(growth.entries + growth.evicted as i64, 2);
    // When cached tokens are used again, the cache is not crowded, and new tokens are cached at
    // their first verification.
    for number in 2_000..3_000 {
        keep(number);
        assert!(cache.get(&cache_key(2_999), NOW_S).is_some());
    }
    assert!(keep(5_000), "first verification");
    let moved = cache.take_growth();
    assert!(moved.evicted > 0, "{moved:?}");
    assert!(cache.bytes() <= 8 << 20);
}

#[test]
fn tokens_of_one_caller_evict_no_other_caller() {
    let cache = TokenCache::default();
    let identity = |subject: &str| {
        let claims = PLAIN.replace("u-1", subject);
        let whole = token([r#"{"alg":"ES256","kid":"p"}"#, &claims, "p", "-"]);
        Arc::new(verifier("keys").verify(&whole, NOW_S).unwrap())
    };
    let (alice, flood) = (identity("alice"), identity("flood"));
    let keep = |number: u32, identity: &Arc<Identity>| {
        cache.keep_repeated(cache_key(number), identity, 8192, NOW_S..identity.ends_s);
    };
    (0..100).for_each(|number| keep(number, &alice));
    (1_000..5_000).for_each(|number| {
        keep(number, &flood);
        // Each token is verified twice, so that a crowded cache accepts it.
        keep(number, &flood);
        cache.refuse(cache_key(10_000 + number), NOW_S);
    });
    assert!((0..100).all(|number| cache.get(&cache_key(number), NOW_S).is_some()));
    assert!(cache.bytes() <= 8 << 20);
    // The tokens of a caller that comes later still get room in the cache.
    let bob = identity("bob");
    (6_000..6_100).for_each(|number| {
        keep(number, &bob);
        keep(number, &bob);
    });
    (7_000..9_000).for_each(|number| {
        keep(number, &flood);
        keep(number, &flood);
    });
    let found = (6_000..6_100).filter(|number| cache.get(&cache_key(*number), NOW_S).is_some());
    assert_eq!(found.count(), 100);
}

#[test]
fn room_of_tokens_that_moved_is_used() {
    let cache = TokenCache::default();
    let whole = token([r#"{"alg":"ES256","kid":"p"}"#, PLAIN, "p", "-"]);
    let identity = Arc::new(verifier("keys").verify(&whole, NOW_S).unwrap());
    let keep = |numbers: Range<u32>| {
        for number in numbers {
            let key = cache_key(number);
            cache.keep_repeated(key, &identity, 8192, NOW_S..identity.ends_s);
        }
    };
    keep(0..600);
    // These tokens are in the older generation. The look-up moves them to the younger one.
    assert!((0..200).all(|number| cache.get(&cache_key(number), NOW_S).is_some()));
    keep(10_000..11_000);
    let growth = cache.take_growth();
    assert_eq!((growth.entries, growth.evicted), (1_008, 0));
}
