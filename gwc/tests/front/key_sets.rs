//! Tests of key sets in gateway.yaml: refused sets, ignored keys, and accepted keys.

use bundle::ir::Verifier;
use model::compile;
use policy::auth::Checked;
use policy::auth::jwt::{KeySource, Material};
use sources::project::files::Files;
use sources::syntax::Limits;

/// Public keys of RFC 7515 (appendix A.2, A.3) and RFC 8037 (appendix A).
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const POINT: &str = "x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const ED: &str = "kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// Findings about a JWT verifier with these algorithms and keys, and the ids of the accepted keys.
fn findings_and_keys(algorithms: &str, keys: &str) -> (Vec<&'static str>, Vec<String>) {
    let gateway = format!(
        "version: 1\nname: s\nauth:\n  idp: {{kind: jwt, issuer: i, audience: [a], algorithms: [{algorithms}], jwks: {{keys: [{keys}]}}}}\n"
    );
    let files = Files::in_memory([("gateway.yaml", gateway.as_str())], Limits::default());
    let compiled = compile::project(files, &Vec::new());
    let lints = [
        "bad-key",
        "unused-key",
        "algorithm-without-key",
        "key-in-source",
    ];
    let found = compiled.findings.iter().map(|finding| finding.lint.name);
    let found = found.filter(|name| lints.contains(name)).collect();
    let auth = compiled.model.map(|model| model.settings.auth);
    let mut taken = Vec::new();
    for Verifier { checked, .. } in auth.into_iter().flatten().map(|one| one.value) {
        if let Checked::Jwt(jwt) = checked
            && let KeySource::Set(keys) = jwt.keys()
        {
            taken.extend(keys.iter().map(|key| match key.material {
                Material::Rsa(..) => "RSA".to_owned(),
                Material::P256(..) => "P-256".to_owned(),
                Material::P384(..) => "P-384".to_owned(),
                Material::Ed25519(_) => "Ed25519".to_owned(),
            }));
        }
    }
    (found, taken)
}

#[test]
fn keys_without_a_fitting_algorithm_are_reported() {
    let rsa = format!("{{kty: RSA, kid: r, n: {N}, e: AQAB}}");
    let zero = "{kty: RSA, kid: r, n: AAAA, e: AAEAAQ}";
    let ec = format!("{{kty: EC, crv: P-256, kid: p, {POINT}}}");
    let ed = format!("{{{ED}, kid: e}}");
    let none: &[&str] = &[];
    let all = [rsa.as_str(), &ec, &ed].join(", ");
    for (algorithms, keys, findings, taken) in [
        (
            "RS256, ES256, EdDSA",
            all.as_str(),
            none,
            &["Ed25519", "P-256", "RSA"][..],
        ),
        ("PS512", &rsa, none, &["RSA"]),
        ("EdDSA", &all, &["unused-key", "unused-key"], &["Ed25519"]),
        ("ES384", &ec, &["algorithm-without-key", "unused-key"], &[]),
        ("RS256", zero, &["bad-key"], &[]),
    ] {
        let (found, mut keys) = findings_and_keys(algorithms, keys);
        keys.sort();
        let taken: Vec<String> = taken.iter().map(|one| (*one).to_owned()).collect();
        assert_eq!((found.as_slice(), keys), (findings, taken), "{algorithms}");
    }
}

#[test]
fn bad_keys_are_refused() {
    let small = N[..200].to_owned();
    let even = format!("{}g", &N[..N.len() - 1]);
    let ed = |x: &str| format!("{{kty: OKP, crv: Ed25519, x: {x}}}");
    let rows = [
        (
            "RS256",
            format!("{{kty: RSA, n: {small}, e: AQAB}}"),
            "bad-key",
        ),
        (
            "RS256",
            format!("{{kty: RSA, n: {even}, e: AQAB}}"),
            "bad-key",
        ),
        ("RS256", format!("{{kty: RSA, n: {N}, e: AQ}}"), "bad-key"),
        ("RS256", format!("{{kty: RSA, n: {N}, e: AQAC}}"), "bad-key"),
        (
            "RS256",
            format!("{{kty: RSA, n: \"{N}==\", e: AQAB}}"),
            "bad-key",
        ),
        ("RS256", format!("{{kty: RSA, n: {N}}}"), "bad-key"),
        ("RS256", "{n: AQAB, e: AQAB}".to_owned(), "bad-key"),
        (
            "ES256",
            format!("{{kty: EC, crv: P-256, {}}}", POINT.replace("f83", "f84")),
            "bad-key",
        ),
        (
            "ES256",
            format!("{{kty: EC, crv: P-256, {}}}", POINT.replace("f83O", "")),
            "bad-key",
        ),
        (
            "ES384",
            format!("{{kty: EC, crv: P-384, {POINT}}}"),
            "bad-key",
        ),
        (
            "ES256",
            format!(
                "{{kty: EC, kid: k, {POINT}, crv: P-256}}, {{kty: EC, crv: secp256k1, {POINT}}}"
            ),
            "unused-key",
        ),
        (
            "EdDSA",
            ed("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            "bad-key",
        ),
        (
            "EdDSA",
            ed("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            "bad-key",
        ),
        (
            "EdDSA",
            ed("7P_______________________________________38"),
            "bad-key",
        ),
        (
            "EdDSA",
            ed("JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU"),
            "bad-key",
        ),
        (
            "EdDSA",
            ed("xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o"),
            "bad-key",
        ),
        ("EdDSA", "{kty: oct, k: c2VjcmV0}".to_owned(), "bad-key"),
        (
            "EdDSA",
            format!("{{{ED}}}, {{kty: AKP, kid: a, alg: ML-DSA-44, pub: AAAA}}"),
            "unused-key",
        ),
        (
            "EdDSA",
            format!("{{{ED}}}, {{{ED}, kid: a, alg: ES256}}"),
            "unused-key",
        ),
        ("EdDSA", format!("{{{ED}}}, {{{ED}, kid: a}}"), "bad-key"),
        (
            "EdDSA",
            format!("{{{ED}, kid: a}}, {{{ED}, kid: a}}"),
            "bad-key",
        ),
        (
            "EdDSA",
            format!("{{{ED}, use: enc}}"),
            "algorithm-without-key",
        ),
        (
            "EdDSA",
            format!("{{{ED}, key_ops: [sign]}}"),
            "algorithm-without-key",
        ),
        (
            "EdDSA, ES256",
            format!("{{{ED}, key_ops: [verify]}}"),
            "algorithm-without-key",
        ),
        (
            "RS256, RS384",
            format!("{{kty: RSA, n: {N}, e: AQAB, alg: RS256}}"),
            "algorithm-without-key",
        ),
        ("EdDSA", String::new(), "bad-key"),
    ];
    for (algorithms, keys, expected) in rows {
        let (found, _) = findings_and_keys(algorithms, &keys);
        assert_eq!(found, [expected], "{algorithms} {keys}");
    }
}

#[test]
fn algorithm_lacks_a_key_if_the_only_key_is_unused() {
    for (algorithms, keys) in [
        ("EdDSA", "{kty: AKP, alg: ML-DSA-44, pub: AAAA}".to_owned()),
        ("EdDSA", format!("{{{ED}, alg: ES256}}")),
        ("RS256", format!("{{{ED}}}, {{{ED}, kid: a}}")),
    ] {
        let (mut found, taken) = findings_and_keys(algorithms, &keys);
        found.dedup();
        assert_eq!(found, ["algorithm-without-key", "unused-key"], "{keys}");
        assert_eq!(taken, [""; 0]);
    }
    // The set has a key that cannot be read. It may be the key for the algorithm, so gwc does not
    // report a missing key.
    let (found, _) = findings_and_keys("RS256", "{kty: RSA, n: AAAA, e: AQAB}");
    assert_eq!(found, ["bad-key"]);
}

#[test]
fn private_halves_of_keys_are_refused() {
    let d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let (found, taken) = findings_and_keys("EdDSA", &format!("{{{ED}, d: {d}}}"));
    assert!(found.contains(&"bad-key"), "{found:?}");
    assert_eq!(taken, Vec::<String>::new());
}
