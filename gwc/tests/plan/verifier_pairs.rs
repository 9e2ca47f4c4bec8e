//! Exhaustive tests of the order of verifiers (stricter or weaker). Every pair of requirements of
//! one or two verifiers for one credential is compared, with every credential that the settings
//! distinguish. `access` compares random requirements with more settings.

use bundle::ir::{self, Set};
use plan::security::{Verdict, Who};
use policy::auth::{self, Place};
use policy::declared::{Checked, Scalar, Settings, Value};

/// Verifiers of one kind, and the credentials with which they are tested.
struct World<'w> {
    place: Place,
    verifiers: Vec<auth::Checked>,
    /// Number of credentials.
    credentials: usize,
    /// True if a verifier (first index) accepts a credential (second index).
    accepts: &'w dyn Fn(usize, usize) -> bool,
}

/// Requirement: one verifier, one of two verifiers, or two verifiers that must both accept the
/// credential.
#[derive(Clone, Copy, Debug)]
enum Requirement {
    One(usize),
    Either(usize, usize),
    Both(usize, usize),
}

impl World<'_> {
    fn requirements(&self) -> Vec<Requirement> {
        let all = 0..self.verifiers.len();
        let pairs: Vec<(usize, usize)> = all
            .clone()
            .flat_map(|one| (0..one).map(move |other| (one, other)))
            .collect();
        let ones = all.map(Requirement::One);
        let either = pairs
            .iter()
            .map(|(one, two)| Requirement::Either(*one, *two));
        let both = pairs.iter().map(|(one, two)| Requirement::Both(*one, *two));
        ones.chain(either).chain(both).collect()
    }

    fn admitted(&self, requirement: Requirement) -> Vec<bool> {
        let accepts = |verifier, credential| (self.accepts)(verifier, credential);
        let admits = |credential: usize| match requirement {
            Requirement::One(one) => accepts(one, credential),
            Requirement::Either(one, two) => accepts(one, credential) || accepts(two, credential),
            Requirement::Both(one, two) => accepts(one, credential) && accepts(two, credential),
        };
        (0..self.credentials).map(admits).collect()
    }

    fn built(&self, requirement: Requirement) -> Who {
        let alternatives = match requirement {
            Requirement::One(one) => vec![vec![one]],
            Requirement::Either(one, two) => vec![vec![one], vec![two]],
            Requirement::Both(one, two) => vec![vec![one, two]],
        };
        let used = alternatives.iter().map(|uses| {
            let uses = uses.iter().map(|verifier| ir::SchemeUse {
                scheme: verifier.to_string(),
                scopes: Vec::new(),
                roles: Vec::new(),
            });
            ir::Alternative(uses.collect())
        });
        let security = ir::Security(used.collect());
        let named: std::collections::BTreeSet<usize> = alternatives.into_iter().flatten().collect();
        let schemes = named.iter().map(|verifier| ir::Scheme {
            name: verifier.to_string(),
            place: self.place.clone(),
            verify: ir::Verify::Auth(verifier.to_string()),
            strip_credential: false,
            declared: Settings::default(),
            passes: ir::Passes::default(),
        });
        let verifiers = named.iter().map(|verifier| ir::Verifier {
            name: verifier.to_string(),
            checked: self.verifiers[*verifier].clone(),
        });
        let schemes = Set::new(schemes.collect()).expect("unique names");
        let verifiers = Set::new(verifiers.collect()).expect("unique names");
        Who::of(&security, &schemes, &verifiers)
    }

    /// Compares every pair of requirements. Returns the number of incomparable pairs.
    fn compare(&self) -> usize {
        let all = self.requirements().into_iter();
        let all = all.map(|one| (one, self.built(one), self.admitted(one)));
        let all: Vec<(Requirement, Who, Vec<bool>)> = all.collect();
        let mut incomparable = 0;
        for (a, old, was) in &all {
            for (b, new, is) in &all {
                let within = |one: &[bool], two: &[bool]| one.iter().zip(two).all(|(a, b)| a <= b);
                let expected = Verdict::of(within(was, is), within(is, was));
                let (a, b) = (self.described(*a), self.described(*b));
                assert_eq!(old.verdict(new), expected, "{a}\n{b}");
                incomparable += usize::from(expected == Verdict::Incomparable);
            }
        }
        incomparable
    }

    fn described(&self, requirement: Requirement) -> impl std::fmt::Display {
        let (Requirement::One(one) | Requirement::Either(one, _) | Requirement::Both(one, _)) =
            requirement;
        let (Requirement::One(two) | Requirement::Either(_, two) | Requirement::Both(_, two)) =
            requirement;
        let (one, two) = (
            self.verifiers[one].settings(),
            self.verifiers[two].settings(),
        );
        std::fmt::from_fn(move |f| write!(f, "{requirement:?} {one:?} {two:?}"))
    }
}

/// Verifiers of a kind with these settings.
fn declared(kind: &str, settings: impl Iterator<Item = Settings>) -> Vec<auth::Checked> {
    let verifiers = settings.map(|settings| {
        auth::Checked::Declared(Checked {
            kind: kind.to_owned(),
            settings,
        })
    });
    verifiers.collect()
}

fn text(text: &str) -> Scalar {
    Scalar::Text(text.to_owned())
}

fn set(texts: &[&str]) -> Value {
    Value::Set(texts.iter().map(|one| text(one)).collect())
}

#[test]
fn token_type_and_lifetime_agree_with_every_token() {
    const TYPES: [&[&str]; 6] = [
        // The default value: omitted, and written explicitly.
        &[],
        &["", "at+jwt", "jwt"],
        &["at+jwt"],
        &["", "jwt"],
        &["at+jwt", "x"],
        &["x"],
    ];
    const LIFETIMES_MS: [Option<u64>; 3] = [None, Some(3_600_000), Some(7_200_000)];
    /// Lifetimes of tokens. `None`: the token has no `iat`.
    const LASTING_MS: [Option<u64>; 4] = [None, Some(3_600_000), Some(7_200_000), Some(9_000_000)];
    const OWN_TYPES: [&str; 4] = ["", "jwt", "at+jwt", "x"];
    let settings = |types: &[&str], lifetime_ms: Option<u64>| {
        let mut settings = Settings::default()
            .with(&["jwks_url"], Value::One(text("https://a/keys")))
            .with(&["issuer"], Value::One(text("i")))
            .with(&["audience"], set(&["x"]))
            .with(&["algorithms"], set(&["ES256"]));
        if !types.is_empty() {
            settings = settings.with(&["types"], set(types));
        }
        match lifetime_ms {
            Some(ms) => settings.with(&["max_lifetime"], Value::One(Scalar::Duration(ms))),
            None => settings,
        }
    };
    let written: Vec<(&[&str], Option<u64>)> = TYPES
        .into_iter()
        .flat_map(|types| LIFETIMES_MS.map(|ms| (types, ms)))
        .collect();
    let accepts = |verifier: usize, token: usize| {
        let (types, most_ms) = written[verifier];
        let types = if types.is_empty() { TYPES[1] } else { types };
        let (own, lasts_ms) = (OWN_TYPES[token % 4], LASTING_MS[token / 4]);
        let is_short = match (most_ms, lasts_ms) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(most_ms), Some(ms)) => ms <= most_ms,
        };
        types.contains(&own) && is_short
    };
    let world = World {
        place: Place::Header("authorization".to_owned()),
        verifiers: declared("jwt", written.iter().map(|one| settings(one.0, one.1))),
        credentials: 16,
        accepts: &accepts,
    };
    assert!(world.compare() > 1_000);
}

#[test]
fn certificate_names_agree_with_every_certificate() {
    const SUBJECTS: [&[&str]; 5] = [&[], &["CN=a"], &["CN=b"], &["CN=a", "CN=b"], &["CN=c"]];
    const NAMES: [&[&str]; 4] = [&[], &["a.test"], &["b.test"], &["a.test", "b.test"]];
    const OWN_SUBJECTS: [&str; 4] = ["CN=a", "CN=b", "CN=c", "CN=d"];
    let written: Vec<(&[&str], &[&str])> = SUBJECTS
        .into_iter()
        .flat_map(|subjects| NAMES.map(|names| (subjects, names)))
        .collect();
    let settings = |(subjects, names): (&[&str], &[&str])| {
        let lists = [("subjects", subjects), ("sans", names)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        lists.fold(Settings::default(), |all, (key, list)| {
            all.with(&[key], set(list))
        })
    };
    let accepts = |verifier: usize, certificate: usize| {
        let (subjects, names) = written[verifier];
        let (subject, own) = (OWN_SUBJECTS[certificate % 4], NAMES[certificate / 4]);
        (subjects.is_empty() || subjects.contains(&subject))
            && (names.is_empty() || names.iter().any(|name| own.contains(name)))
    };
    let world = World {
        place: Place::Certificate,
        verifiers: declared("mtls", written.iter().map(|one| settings(*one))),
        credentials: 16,
        accepts: &accepts,
    };
    assert!(world.compare() > 1_000);
}

#[test]
fn introspection_agrees_with_every_answer() {
    const AUDIENCES: [&[&str]; 4] = [&[], &["x"], &["y"], &["x", "y"]];
    const CLAIMS: [&[&str]; 2] = [&[], &["c"]];
    const ISSUERS: [Option<&str>; 3] = [None, Some("i"), Some("j")];
    let mut written: Vec<(&[&str], &[&str], Option<&str>)> = Vec::new();
    for audience in AUDIENCES {
        for claims in CLAIMS {
            written.extend(ISSUERS.map(|issuer| (audience, claims, issuer)));
        }
    }
    let settings = |(audience, claims, issuer): (&[&str], &[&str], Option<&str>)| {
        let mut settings = Settings::default()
            .with(&["url"], Value::One(text("https://a/in")))
            .with(&["client_id"], Value::One(text("g")));
        for (key, list) in [("audience", audience), ("required_claims", claims)] {
            if !list.is_empty() {
                settings = settings.with(&[key], set(list));
            }
        }
        match issuer {
            Some(issuer) => settings.with(&["issuer"], Value::One(text(issuer))),
            None => settings,
        }
    };
    // The last issuer of the responses is not named in any verifier.
    const OWN_ISSUERS: [&str; 3] = ["i", "j", "k"];
    let accepts = |verifier: usize, answer: usize| {
        let (audience, claims, issuer) = written[verifier];
        let own = AUDIENCES[answer % 4];
        let has_claim = answer / 4 % 2 == 1;
        (audience.is_empty() || audience.iter().any(|one| own.contains(one)))
            && (claims.is_empty() || has_claim)
            && issuer.is_none_or(|issuer| issuer == OWN_ISSUERS[answer / 8])
    };
    let world = World {
        place: Place::Header("authorization".to_owned()),
        verifiers: declared("introspection", written.iter().map(|one| settings(*one))),
        credentials: 24,
        accepts: &accepts,
    };
    assert!(world.compare() > 1_000);
}

#[test]
fn signed_requests_agree_with_every_signature() {
    const ALGORITHMS: [&[&str]; 3] = [&[], &["hmac-sha512"], &["hmac-sha256", "hmac-sha512"]];
    /// Allowed age of a signature, in milliseconds. `None`: the default.
    const WINDOWS_MS: [Option<u64>; 3] = [None, Some(60_000), Some(300_000)];
    const OWN_ALGORITHMS: [&str; 2] = ["hmac-sha256", "hmac-sha512"];
    const AGES_MS: [u64; 3] = [60_000, 300_000, 300_001];
    let mut written: Vec<(&[&str], Option<u64>, bool, bool)> = Vec::new();
    for algorithms in ALGORITHMS {
        for window_ms in WINDOWS_MS {
            written.extend([true, false].map(|nonce| (algorithms, window_ms, nonce, true)));
        }
        written.push((algorithms, None, true, false));
    }
    let settings = |one: (&[&str], Option<u64>, bool, bool)| {
        let (algorithms, window_ms, nonce, digest) = one;
        let secret = policy::SecretRef::parse("${env:S}").expect("a reference");
        let secret = Value::One(Scalar::Secret(secret));
        let mut settings = Settings::default().with(&["secrets", "acme"], secret);
        if !algorithms.is_empty() {
            settings = settings.with(&["algorithms"], set(algorithms));
        }
        if let Some(ms) = window_ms {
            settings = settings.with(&["window"], Value::One(Scalar::Duration(ms)));
        }
        if !nonce {
            settings = settings.with(&["nonce"], Value::One(text("optional")));
        }
        match digest {
            true => settings,
            false => settings.with(&["content_digest"], Value::One(Scalar::Flag(false))),
        }
    };
    let accepts = |verifier: usize, signature: usize| {
        let (algorithms, window_ms, nonce, digest) = written[verifier];
        let algorithms = match algorithms.is_empty() {
            true => &OWN_ALGORITHMS[..1],
            false => algorithms,
        };
        let age_ms = AGES_MS[signature / 2 % 3];
        let [has_nonce, has_digest] = [6, 12].map(|bit| signature / bit % 2 == 1);
        algorithms.contains(&OWN_ALGORITHMS[signature % 2])
            && age_ms <= window_ms.unwrap_or(300_000)
            && (!nonce || has_nonce)
            && (!digest || has_digest)
    };
    let world = World {
        place: Place::Header("signature".to_owned()),
        verifiers: declared("hmac_signature", written.iter().map(|one| settings(*one))),
        credentials: 24,
        accepts: &accepts,
    };
    assert!(world.compare() > 1_000);
}

#[test]
fn fetched_keys_agree_with_every_age() {
    const AUDIENCES: [&[&str]; 3] = [&["x"], &["y"], &["x", "y"]];
    const HOUR_MS: u64 = 3_600_000;
    /// Maximum ages of fetched keys, in milliseconds. `None`: the default, 24 hours, which is also
    /// written explicitly.
    const STALE_MS: [Option<u64>; 4] =
        [None, Some(HOUR_MS), Some(24 * HOUR_MS), Some(48 * HOUR_MS)];
    /// Time since the last successful fetch of the keys, in milliseconds.
    const AGES_MS: [u64; 4] = [HOUR_MS / 2, 2 * HOUR_MS, 30 * HOUR_MS, 50 * HOUR_MS];
    let written: Vec<(&[&str], Option<u64>)> = AUDIENCES
        .into_iter()
        .flat_map(|audience| STALE_MS.map(|ms| (audience, ms)))
        .collect();
    let settings = |(audience, stale_ms): (&[&str], Option<u64>)| {
        let settings = Settings::default()
            .with(&["jwks_url"], Value::One(text("https://a/keys")))
            .with(&["issuer"], Value::One(text("i")))
            .with(&["audience"], set(audience))
            .with(&["algorithms"], set(&["ES256"]));
        match stale_ms {
            Some(ms) => settings.with(&["stale_for"], Value::One(Scalar::Duration(ms))),
            None => settings,
        }
    };
    let accepts = |verifier: usize, token: usize| {
        let (audience, stale_ms) = written[verifier];
        let own = AUDIENCES[token % 3];
        audience.iter().any(|one| own.contains(one))
            && AGES_MS[token / 3] < stale_ms.unwrap_or(24 * HOUR_MS)
    };
    let world = World {
        place: Place::Header("authorization".to_owned()),
        verifiers: declared("jwt", written.iter().map(|one| settings(*one))),
        credentials: 12,
        accepts: &accepts,
    };
    assert!(world.compare() > 1_000);
}

#[test]
fn proofs_agree_with_every_proof() {
    const ALGORITHMS: [&[&str]; 4] = [&[], &["EdDSA"], &["ES256", "EdDSA"], &["ES256"]];
    /// Allowed age of a proof, in milliseconds. `None`: the default, one minute.
    const WINDOWS_MS: [Option<u64>; 3] = [None, Some(30_000), Some(300_000)];
    const OWN_ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];
    const AGES_MS: [u64; 4] = [30_000, 60_000, 300_000, 300_001];
    let mut written: Vec<(&[&str], Option<u64>, bool)> = Vec::new();
    for algorithms in ALGORITHMS {
        for window_ms in WINDOWS_MS {
            written.extend([false, true].map(|nonce| (algorithms, window_ms, nonce)));
        }
    }
    let settings = |(algorithms, window_ms, nonce): (&[&str], Option<u64>, bool)| {
        let mut settings = Settings::default();
        if !algorithms.is_empty() {
            settings = settings.with(&["algorithms"], set(algorithms));
        }
        if let Some(ms) = window_ms {
            settings = settings.with(&["window"], Value::One(Scalar::Duration(ms)));
        }
        match nonce {
            true => settings.with(&["nonce"], Value::One(Scalar::Flag(true))),
            false => settings,
        }
    };
    let accepts = |verifier: usize, proof: usize| {
        let (algorithms, window_ms, nonce) = written[verifier];
        let algorithms = match algorithms.is_empty() {
            true => &OWN_ALGORITHMS[..1],
            false => algorithms,
        };
        algorithms.contains(&OWN_ALGORITHMS[proof % 3])
            && AGES_MS[proof / 3 % 4] <= window_ms.unwrap_or(60_000)
            && (!nonce || proof / 12 == 1)
    };
    let world = World {
        place: Place::Header("authorization".to_owned()),
        verifiers: declared("dpop", written.iter().map(|one| settings(*one))),
        credentials: 24,
        accepts: &accepts,
    };
    assert!(world.compare() > 1_000);
}

#[test]
fn sessions_agree_with_every_session() {
    const MINUTE_MS: u64 = 60_000;
    /// Maximum lifetimes of a session, in milliseconds. `None`: the default, one hour.
    const LIFETIMES_MS: [Option<u64>; 3] = [None, Some(30 * MINUTE_MS), Some(480 * MINUTE_MS)];
    /// Maximum idle times of a session, in milliseconds. `None`: only the lifetime limits a
    /// session.
    const IDLE_MS: [Option<u64>; 3] = [None, Some(10 * MINUTE_MS), Some(20 * MINUTE_MS)];
    /// Age of the session, and time since its last request, both in minutes.
    const TIMES_MIN: [(u64, u64); 9] = [
        (15, 5),
        (15, 15),
        (25, 25),
        (45, 5),
        (45, 15),
        (45, 45),
        (120, 5),
        (120, 15),
        (120, 90),
    ];
    let mut written: Vec<(Option<u64>, Option<u64>, bool)> = Vec::new();
    for lifetime_ms in LIFETIMES_MS {
        for idle_ms in IDLE_MS {
            written.extend([false, true].map(|strict| (lifetime_ms, idle_ms, strict)));
        }
    }
    let settings = |(lifetime_ms, idle_ms, strict): (Option<u64>, Option<u64>, bool)| {
        let secret = policy::SecretRef::parse("${env:S}").expect("a reference");
        let mut settings = Settings::default()
            .with(&["issuer"], Value::One(text("i")))
            .with(&["client_id"], Value::One(text("c")))
            .with(&["session", "secret"], Value::One(Scalar::Secret(secret)));
        for (key, ms) in [("lifetime", lifetime_ms), ("idle", idle_ms)] {
            if let Some(ms) = ms {
                settings = settings.with(&["session", key], Value::One(Scalar::Duration(ms)));
            }
        }
        match strict {
            true => settings.with(&["session", "same_site"], Value::One(text("strict"))),
            false => settings,
        }
    };
    let accepts = |verifier: usize, session: usize| {
        let (lifetime_ms, idle_ms, strict) = written[verifier];
        let (age_min, quiet_min) = TIMES_MIN[session / 2];
        let is_cross_site = session % 2 == 1;
        age_min * MINUTE_MS < lifetime_ms.unwrap_or(60 * MINUTE_MS)
            && idle_ms.is_none_or(|ms| quiet_min * MINUTE_MS < ms)
            && !(strict && is_cross_site)
    };
    let world = World {
        place: Place::Cookie("__Host-session".to_owned()),
        verifiers: declared("oidc", written.iter().map(|one| settings(*one))),
        credentials: 18,
        accepts: &accepts,
    };
    assert!(world.compare() > 1_000);
}

/// All tokens except the last three have the id of the key that signed them. A token without a key
/// id is accepted only if exactly one key fits its algorithm, so an additional key can also refuse
/// tokens.
#[test]
fn inline_keys_agree_with_every_token() {
    const KEYS: [&str; 4] = [
        "{kty: OKP, crv: Ed25519, kid: a, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}",
        "{kty: OKP, crv: Ed25519, kid: b, x: ZW4_y8suG6rV6h6M67JbdtkNq5vgy1JYj5GmhLAM5y0}",
        // Another key with the same id as the first key.
        "{kty: OKP, crv: Ed25519, kid: a, x: ZW4_y8suG6rV6h6M67JbdtkNq5vgy1JYj5GmhLAM5y0}",
        "{kty: EC, crv: P-256, kid: c, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}",
    ];
    const SETS: [&[usize]; 9] = [
        &[0],
        &[1],
        &[2],
        &[3],
        &[0, 1],
        &[1, 2],
        &[0, 3],
        &[2, 3],
        &[0, 1, 3],
    ];
    /// Keys that may have signed a token without a key id: indices in [`KEYS`].
    const SIGNERS: [&[usize]; 3] = [&[0], &[1, 2], &[3]];
    let algorithm = |key: &usize| if *key == 3 { "ES256" } else { "EdDSA" };
    let verifiers = SETS.iter().enumerate().map(|(index, keys)| {
        let mut algorithms: Vec<&str> = keys.iter().map(algorithm).collect();
        algorithms.dedup();
        let keys: Vec<&str> = keys.iter().map(|key| KEYS[*key]).collect();
        format!(
            "  v{index}: {{kind: jwt, issuer: i, audience: [x], algorithms: [{}], jwks: {{keys: [{}]}}}}\n",
            algorithms.join(", "),
            keys.join(", ")
        )
    });
    let gateway = format!(
        "version: 1\nname: s\nauth:\n{}",
        verifiers.collect::<String>()
    );
    let side = crate::compiled(
        &[("gateway.yaml", &gateway)],
        model::compile::Purpose::Route,
    );
    let side = side.unwrap_or_else(|errors| panic!("{errors}"));
    let auth = side.lowered.gateway.shared.auth.iter();
    let world = World {
        place: Place::Header("authorization".to_owned()),
        verifiers: auth.map(|verifier| verifier.checked.clone()).collect(),
        credentials: KEYS.len() + SIGNERS.len(),
        accepts: &|verifier, token| match token.checked_sub(KEYS.len()) {
            None => SETS[verifier].contains(&token),
            Some(unnamed) => {
                let signers = SIGNERS[unnamed];
                let keys = SETS[verifier].iter();
                let mut fitting = keys.filter(|key| algorithm(key) == algorithm(&signers[0]));
                let only = fitting.next().filter(|_| fitting.next().is_none());
                only.is_some_and(|key| signers.contains(key))
            }
        },
    };
    assert_eq!(world.verifiers.len(), SETS.len());
    assert!(world.compare() > 500);
}
