//! A JWK set as it is written in a project (RFC 7517, RFC 7518 §6, RFC 8037 §2).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::auth::jwt::algorithm::{Algorithm, Family};
use crate::auth::jwt::keys::{Material, PublicKey};

/// Most keys of a set.
const KEYS_MAX: usize = 100;

/// Members of private keys and of shared secrets.
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Encodings of the points of small order, for which one signature fits many messages.
const SMALL_ORDER: [[u8; 32]; 7] = [
    with_ends(0, 0, 0),
    with_ends(1, 0, 0),
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// A key that cannot be read, is private or weak.
pub static BAD_KEY: Lint = Lint {
    code: "GW0560",
    name: "bad-key",
    level: Level::Error,
    summary: "a key of a key set is private, weak or cannot be read",
    explain: "A verifier needs public keys only: a private half in a project is known to everybody who reads the \
project, and must be replaced. RSA keys need 2048 bits (RFC 7518 §3.3), points must be on their curve, and two keys \
of one kind need two key ids, because a token says by `kid` which one signed it.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: AAAA}]}}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}}\n",
    )],
};

/// An algorithm that no key of the set can check.
pub static ALGORITHM_WITHOUT_KEY: Lint = Lint {
    code: "GW0561",
    name: "algorithm-without-key",
    level: Level::Error,
    summary: "an algorithm is allowed that no key of the set can check",
    explain: "Tokens of this algorithm are refused, whoever signed them. RS and PS algorithms need an RSA key, ES256 a \
key of the curve P-256, ES384 one of P-384, EdDSA one of Ed25519; a key with `alg` checks that algorithm only, and a \
key for encryption (`use: enc`) checks none.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA, ES256], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}}\n",
    )],
};

/// A key that no allowed algorithm uses.
pub static UNUSED_KEY: Lint = Lint {
    code: "GW0562",
    name: "unused-key",
    level: Level::Warn,
    summary: "a key of a key set is used by no allowed algorithm",
    explain: "The key is left out of the bundle. Its kind is not known, or `algorithms` names none that it can check: \
tokens that it signed are refused. Add its algorithm, or take the key out of the set.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}, {kty: OKP, crv: X25519, x: hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo}]}}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}}\n",
    )],
};

/// Reason why a key is not taken.
enum Wrong {
    /// A key that cannot be trusted or read.
    Bad(String, &'static str),
    /// A key of an unknown kind.
    Unknown(String),
}

/// Reads the keys of a set that the verifier's algorithms use, sorted. `verifier` is the node of
/// the verifier.
pub fn read(set: NodeRef<'_>, verifier: NodeRef<'_>, sink: &mut Sink) -> Vec<PublicKey> {
    let algorithms = super::algorithms(verifier);
    let before = sink.findings().len();
    let bad = |node: NodeRef<'_>, message: &str, help: &str| {
        Diagnostic::new(&BAD_KEY, node.span(), message).help(help)
    };
    let keys = set.get("keys").filter(|keys| keys.is_list());
    let Some(keys) = keys.filter(|keys| (1..=KEYS_MAX).contains(&keys.items().len())) else {
        let help = "write `{\"keys\": […]}` with 1 to 100 keys (RFC 7517 §5)";
        sink.push(bad(set, "this is no JWK set", help));
        return Vec::new();
    };
    let mut found: Vec<(PublicKey, NodeRef<'_>)> = Vec::new();
    for node in keys.items() {
        let unused = |why: String| {
            let help = "add its algorithm to `algorithms`, or take the key out";
            Diagnostic::new(&UNUSED_KEY, node.span(), why).help(help)
        };
        if is_for_encryption(node) {
            continue;
        }
        match key(node) {
            Err(Wrong::Bad(message, help)) => sink.push(bad(node, &message, help)),
            Err(Wrong::Unknown(message)) => sink.push(unused(message)),
            Ok(key) if !algorithms.iter().any(|algorithm| key.fits(*algorithm)) => {
                sink.push(unused("no allowed algorithm uses this key".to_owned()));
            }
            Ok(key) => {
                let clashes = |known: &&(PublicKey, NodeRef<'_>)| {
                    let one_has_none = known.0.kid.is_none() || key.kid.is_none();
                    (one_has_none || known.0.kid == key.kid)
                        && known.0.material.family() == key.material.family()
                };
                if let Some((_, first)) = found.iter().find(clashes) {
                    let help = "give each key a `kid` of its own";
                    let finding = bad(node, "`kid` does not tell two keys of one kind apart", help);
                    sink.push(finding.related(first.span(), "the other key"));
                    continue;
                }
                found.push((key, node));
            }
        }
    }
    let clean = sink.findings().len() == before;
    let written = verifier.get("algorithms").into_iter();
    for node in written.flat_map(NodeRef::items).filter(|_| clean) {
        let Some(algorithm) = node.scalar_text().and_then(Algorithm::of) else {
            continue;
        };
        if !found.iter().any(|(key, _)| key.fits(algorithm)) {
            let message = format!("no key can check `{}`", algorithm.name());
            let finding = Diagnostic::new(&ALGORITHM_WITHOUT_KEY, node.span(), message);
            sink.push(finding.help("take it out, or add a key of its kind to the set"));
        }
    }
    let mut keys: Vec<PublicKey> = found.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys
}

/// True if a key is for encryption, not for signatures (RFC 7517 §4.2, §4.3).
fn is_for_encryption(node: NodeRef<'_>) -> bool {
    let text = |key: &str| node.get(key).and_then(NodeRef::as_str);
    let operations = node.get("key_ops").map(|all| {
        let mut all = all.items().filter_map(NodeRef::as_str);
        all.any(|one| one == "verify")
    });
    text("use").is_some_and(|purpose| purpose != "sig") || operations == Some(false)
}

fn key(node: NodeRef<'_>) -> Result<PublicKey, Wrong> {
    if let Some(private) = PRIVATE.iter().find(|name| node.get(name).is_some()) {
        return Err(Wrong::Bad(
            format!("`{private}` is the private part of a key"),
            "replace the key everywhere, and write its public members only",
        ));
    }
    let text = |name: &str| node.get(name).and_then(NodeRef::as_str);
    let material = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => rsa(node)?,
        (Some("EC"), Some("P-256")) => point(node, Family::P256, 32)?,
        (Some("EC"), Some("P-384")) => point(node, Family::P384, 48)?,
        (Some("OKP"), Some("Ed25519")) => point(node, Family::Ed25519, 32)?,
        (Some(kty), curve) => {
            let curve = curve.map_or(String::new(), |curve| {
                format!(" with `crv` `{}`", curve.escape_debug())
            });
            let kty = kty.escape_debug();
            return Err(Wrong::Unknown(format!(
                "`kty` `{kty}`{curve} is not a kind of key that is known"
            )));
        }
        (None, _) => {
            return Err(Wrong::Bad(
                "this is no key: it has no `kty`".to_owned(),
                "write a JWK (RFC 7517 §4)",
            ));
        }
    };
    let algorithm = match text("alg") {
        None => None,
        Some(name) => match Algorithm::of(name) {
            Some(algorithm) if algorithm.family() == material.family() => Some(algorithm),
            _ => {
                let name = name.escape_debug();
                return Err(Wrong::Unknown(format!(
                    "`alg` `{name}` is not for this key"
                )));
            }
        },
    };
    Ok(PublicKey {
        kid: text("kid").map(str::to_owned),
        algorithm,
        material,
    })
}

fn number(node: NodeRef<'_>, name: &str) -> Result<Vec<u8>, Wrong> {
    let text = node.get(name).and_then(NodeRef::as_str);
    let bytes = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes.ok_or_else(|| {
        Wrong::Bad(
            format!("`{name}` is not base64url without padding"),
            "write a JWK (RFC 7518 §6)",
        )
    })
}

fn rsa(node: NodeRef<'_>) -> Result<Material, Wrong> {
    let plain = |bytes: Vec<u8>| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let (n, e) = (plain(number(node, "n")?), plain(number(node, "e")?));
    let bits =
        (n.len() * 8).saturating_sub(n.first().map_or(0, |top| top.leading_zeros() as usize));
    if !(2048..=8192).contains(&bits) {
        return Err(Wrong::Bad(
            format!("an RSA key of {bits} bits"),
            "use a key of 2048 to 8192 bits (RFC 7518 §3.3)",
        ));
    }
    let remainder = |divisor: u32| {
        n.iter()
            .fold(0u32, |rest, byte| (rest << 8 | u32::from(*byte)) % divisor)
    };
    if (2..1000).any(|divisor| remainder(divisor) == 0) {
        return Err(Wrong::Bad(
            "the modulus has a small factor".to_owned(),
            "make a new key: this one can be broken",
        ));
    }
    let fits = e.len() <= 4 && e != [1] && e.last().is_some_and(|last| last % 2 == 1);
    if !fits {
        return Err(Wrong::Bad(
            "the exponent is not odd, or is not in 3 to 2^32".to_owned(),
            "make a new key with the exponent 65537",
        ));
    }
    Ok(Material::Rsa(n, e))
}

fn point(node: NodeRef<'_>, family: Family, bytes: usize) -> Result<Material, Wrong> {
    let off = || {
        Wrong::Bad(
            "the key is not a point of its curve".to_owned(),
            "write the public members of the key as they are",
        )
    };
    let x = number(node, "x")?;
    if x.len() != bytes {
        return Err(off());
    }
    if family == Family::Ed25519 {
        let mut unsigned: [u8; 32] = x.as_slice().try_into().map_err(|_| off())?;
        unsigned[31] &= 0x7f;
        if SMALL_ORDER.contains(&unsigned) {
            return Err(Wrong::Bad(
                "the key is a point of small order".to_owned(),
                "make a new key: anyone can sign for this one",
            ));
        }
        ParsedPublicKey::new(&ED25519, &x).map_err(|_| off())?;
        return Ok(Material::Ed25519(x));
    }
    let y = number(node, "y")?;
    let whole = [&[4], x.as_slice(), y.as_slice()].concat();
    if y.len() != bytes {
        return Err(off());
    }
    if family == Family::P256 {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &whole).map_err(|_| off())?;
        return Ok(Material::P256(x, y));
    }
    ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &whole).map_err(|_| off())?;
    Ok(Material::P384(x, y))
}
