//! Tests of the order of access requirements (stricter or weaker), with single callers. An
//! independent evaluator decides if each caller is admitted.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bundle::ir::{self, Set};
use plan::security::{Verdict, Who};
use policy::auth::{self, Place};
use policy::declared::{Checked, Scalar, Settings, Value};

use crate::dice::Dice;

const ISSUERS: [&str; 2] = ["i1", "i2"];
const AUDIENCES: [&str; 2] = ["x", "y"];
const ALGORITHMS: [&str; 2] = ["ES256", "RS256"];
const NAMES: [&str; 2] = ["a.test", "b.test"];
/// Patterns of ids, and ids that match different patterns.
const PATTERNS: [&str; 5] = [
    "spiffe://t/a",
    "spiffe://t/*",
    "spiffe://t/*/b",
    "spiffe://t/a/**",
    "spiffe://t/**",
];
const IDS: [&str; 7] = [
    "spiffe://t/a",
    "spiffe://t/x",
    "spiffe://t/a/b",
    "spiffe://t/a/x",
    "spiffe://t/x/b",
    "spiffe://t/x/y",
    "spiffe://t/a/x/y/z",
];
/// Index of the credential place `client certificate`. The indices below it are request fields.
const CERTIFICATE: usize = 2;
/// Bindings that a token verifier accepts: `none`, to the certificate of the connection, or to the
/// certificate that a proxy forwards.
const BINDINGS: [&[&str]; 5] = [
    &["none"],
    &["none", "connection"],
    &["connection"],
    &["none", "client-cert"],
    &["client-cert"],
];
const KEYS: [&str; 2] = ["https://a/keys", "https://b/keys"];

/// Verifier in the model of the test.
#[derive(Clone, Debug)]
enum Verifier {
    Key,
    Token {
        keys: &'static str,
        issuer: &'static str,
        audience: Vec<&'static str>,
        algorithms: Vec<&'static str>,
        leeway_ms: u64,
        claim: bool,
        bindings: &'static [&'static str],
    },
    Certificate {
        from_proxy: bool,
        names: Vec<&'static str>,
        ids: Vec<&'static str>,
    },
}

/// Requirement of a credential at a place. Without a verifier, any credential at this place is
/// sufficient.
#[derive(Clone, Debug)]
struct Use {
    place: usize,
    verifier: Option<usize>,
    scopes: Vec<&'static str>,
    roles: Vec<&'static str>,
}

/// Credential of a caller at one place.
#[derive(Clone, Debug)]
enum CallerCredential {
    Nothing,
    Forged,
    Known(Facts),
    Certificate {
        of_connection: bool,
        of_proxy: bool,
        names: Vec<&'static str>,
        id: Option<&'static str>,
    },
}

/// Properties of a known credential.
#[derive(Clone, Debug)]
struct Facts {
    /// True for an API key of a consumer.
    key: bool,
    /// Names of the key sets whose keys signed the token.
    keys: Vec<&'static str>,
    issuer: &'static str,
    audience: Vec<&'static str>,
    algorithm: &'static str,
    late_ms: u64,
    claim: bool,
    scope: bool,
    /// True if the owner of the credential has the role `r`.
    role: bool,
    /// Binding that the request proves: `none`, `connection` or `client-cert`.
    bound: &'static str,
}

fn some(dice: &mut Dice, from: &[&'static str]) -> Vec<&'static str> {
    let chosen: Vec<&'static str> = from.iter().copied().filter(|_| dice.chance(5)).collect();
    if chosen.is_empty() {
        vec![dice.pick(from)]
    } else {
        chosen
    }
}

fn verifier(dice: &mut Dice) -> Verifier {
    if dice.chance(3) {
        return Verifier::Key;
    }
    Verifier::Token {
        // Two verifiers usually have the same keys and issuer, because differences in other fields
        // would otherwise rarely matter.
        keys: if dice.chance(9) { KEYS[0] } else { KEYS[1] },
        issuer: if dice.chance(8) {
            ISSUERS[0]
        } else {
            ISSUERS[1]
        },
        audience: some(dice, &AUDIENCES),
        algorithms: some(dice, &ALGORITHMS),
        leeway_ms: dice.pick(&[0, 30_000, 60_000]),
        claim: dice.chance(3),
        bindings: match dice.chance(8) {
            true => BINDINGS[0],
            false => dice.pick(&BINDINGS),
        },
    }
}

/// Random verifier of certificates. Each of its lists may be empty.
fn certificates(dice: &mut Dice) -> Verifier {
    let list = |dice: &mut Dice, of: &[&'static str]| match dice.chance(5) {
        true => some(dice, of),
        false => Vec::new(),
    };
    Verifier::Certificate {
        from_proxy: dice.chance(2),
        names: list(dice, &NAMES),
        ids: list(dice, &PATTERNS),
    }
}

/// Random requirement of two fields, or of a field and a certificate, with scopes or with roles.
fn requirement(dice: &mut Dice, is_certified: bool, by_role: bool) -> Vec<Vec<Use>> {
    let alternatives = dice.below(4);
    (0..alternatives)
        .map(|_| {
            (0..dice.below(3))
                .map(|_| {
                    if is_certified && dice.chance(7) {
                        return Use {
                            place: CERTIFICATE,
                            verifier: dice.chance(9).then(|| 3 + dice.below(2)),
                            scopes: Vec::new(),
                            roles: Vec::new(),
                        };
                    }
                    let verifier = dice.chance(8).then(|| dice.below(3));
                    let has_right = dice.chance(3) && verifier.is_some();
                    Use {
                        place: if is_certified { 0 } else { dice.below(2) },
                        verifier,
                        scopes: Vec::from_iter((has_right && !by_role).then_some("s")),
                        roles: Vec::from_iter((has_right && by_role).then_some("r")),
                    }
                })
                .collect()
        })
        .collect()
}

/// Credentials for all combinations of properties that a requirement can distinguish.
fn credentials() -> Vec<CallerCredential> {
    let subsets = |of: &[&'static str]| -> Vec<Vec<&'static str>> {
        (0..1usize << of.len())
            .map(|bits| {
                let chosen = (0..of.len()).filter(|bit| bits & (1 << bit) != 0);
                chosen.map(|bit| of[bit]).collect()
            })
            .collect()
    };
    let mut all = vec![CallerCredential::Nothing, CallerCredential::Forged];
    for bits in 0..16u8 {
        let [key, claim, scope, role] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        for keys in subsets(&KEYS) {
            for issuer in ISSUERS {
                for audience in subsets(&AUDIENCES) {
                    for algorithm in ALGORITHMS {
                        for late_ms in [0, 30_000, 60_000] {
                            for bound in ["none", "connection", "client-cert"] {
                                all.push(CallerCredential::Known(Facts {
                                    key,
                                    keys: keys.clone(),
                                    issuer,
                                    audience: audience.clone(),
                                    algorithm,
                                    late_ms,
                                    claim,
                                    scope,
                                    role,
                                    bound,
                                }));
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

/// Certificates for all combinations of properties that a requirement can distinguish.
fn shown() -> Vec<CallerCredential> {
    let mut all = vec![CallerCredential::Nothing];
    let ids = IDS.into_iter().map(Some).chain([None]);
    for id in ids {
        for bits in 0..16u8 {
            let names = [1, 2].iter().zip(NAMES);
            let names = names.filter(|(bit, _)| bits & **bit != 0);
            all.push(CallerCredential::Certificate {
                of_connection: bits & 4 != 0,
                of_proxy: bits & 8 != 0,
                names: names.map(|(_, name)| name).collect(),
                id,
            });
        }
    }
    all
}

/// Evaluates an id pattern with a regular expression, independently of the gateway.
fn is_id(pattern: &str, id: &str) -> bool {
    static MATCHES: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
        let of = |pattern: &'static str| {
            let expression = pattern.replace("**", ".+").replace('*', "[^/]+");
            let expression = regex::Regex::new(&format!("^{expression}$"));
            let expression = expression.expect("an expression");
            let ids = IDS.into_iter().filter(move |id| expression.is_match(id));
            ids.map(move |id| (pattern, id))
        };
        PATTERNS.into_iter().flat_map(of).collect()
    });
    MATCHES.contains(&(pattern, id))
}

fn lets_in(
    requirement: &[Vec<Use>],
    verifiers: &[Verifier],
    caller: [&CallerCredential; 3],
) -> bool {
    let satisfied = |wanted: &Use| {
        let facts = match (caller[wanted.place], wanted.verifier) {
            (CallerCredential::Nothing, _) | (CallerCredential::Forged, Some(_)) => return false,
            (
                CallerCredential::Forged
                | CallerCredential::Known(_)
                | CallerCredential::Certificate { .. },
                None,
            ) => return true,
            (
                CallerCredential::Certificate {
                    of_connection,
                    of_proxy,
                    names: own,
                    id,
                },
                Some(verifier),
            ) => {
                let Verifier::Certificate {
                    from_proxy,
                    names,
                    ids,
                } = &verifiers[verifier]
                else {
                    return false;
                };
                let is_there = if *from_proxy { of_proxy } else { of_connection };
                let is_admitted = |id: &str| ids.iter().any(|one| is_id(one, id));
                return *is_there
                    && (names.is_empty() || own.iter().any(|name| names.contains(name)))
                    && (ids.is_empty() || id.is_some_and(is_admitted));
            }
            (CallerCredential::Known(facts), Some(_)) => facts,
        };
        let valid = match &verifiers[wanted.verifier.unwrap_or_default()] {
            Verifier::Key => facts.key,
            Verifier::Certificate { .. } => false,
            Verifier::Token {
                keys,
                issuer,
                audience,
                algorithms,
                leeway_ms,
                claim,
                bindings,
            } => {
                facts.keys.contains(keys)
                    && *issuer == facts.issuer
                    && audience.iter().any(|one| facts.audience.contains(one))
                    && algorithms.contains(&facts.algorithm)
                    && facts.late_ms <= *leeway_ms
                    && (!claim || facts.claim)
                    && bindings.contains(&facts.bound)
            }
        };
        let has_role = wanted.roles.is_empty() || facts.role;
        valid && (wanted.scopes.is_empty() || facts.scope) && has_role
    };
    requirement.is_empty()
        || requirement
            .iter()
            .any(|alternative| alternative.iter().all(satisfied))
}

fn built(requirement: &[Vec<Use>], verifiers: &[Verifier]) -> Who {
    let mut schemes: BTreeMap<String, ir::Scheme> = BTreeMap::new();
    let security = requirement.iter().map(|alternative| {
        let uses = alternative.iter().map(|wanted| {
            let name = format!("{} {:?}", wanted.place, wanted.verifier);
            let verify = match wanted.verifier {
                None => ir::Verify::Upstream,
                Some(index) => ir::Verify::Auth(index.to_string()),
            };
            schemes.entry(name.clone()).or_insert_with(|| ir::Scheme {
                name: name.clone(),
                place: match wanted.place {
                    CERTIFICATE => Place::Certificate,
                    place => Place::Header(place.to_string()),
                },
                verify,
                strip_credential: false,
                declared: Settings::default(),
                passes: ir::Passes::default(),
            });
            let scopes = wanted
                .scopes
                .iter()
                .map(|scope| (*scope).to_owned())
                .collect();
            ir::SchemeUse {
                scheme: name,
                scopes,
                roles: wanted.roles.iter().map(|role| (*role).to_owned()).collect(),
            }
        });
        ir::Alternative(uses.collect())
    });
    let security = ir::Security(security.collect());
    let text = |text: &str| Scalar::Text(text.to_owned());
    let set = |texts: &[&str]| Value::Set(texts.iter().map(|one| text(one)).collect());
    let verifiers = verifiers
        .iter()
        .enumerate()
        .map(|(index, verifier)| ir::Verifier {
            name: index.to_string(),
            checked: match verifier {
                Verifier::Key => auth::Checked::ApiKey(auth::api_key::Checked {}),
                Verifier::Certificate {
                    from_proxy,
                    names,
                    ids,
                } => {
                    let mut settings = Settings::default();
                    for (key, list) in [("sans", names), ("spiffe", ids)] {
                        if !list.is_empty() {
                            settings = settings.with(&[key], set(list));
                        }
                    }
                    if *from_proxy {
                        settings = settings.with(&["header"], Value::One(text("client-cert")));
                    }
                    auth::Checked::Declared(Checked {
                        kind: "mtls".into(),
                        settings,
                    })
                }
                Verifier::Token {
                    keys,
                    issuer,
                    audience,
                    algorithms,
                    leeway_ms,
                    claim,
                    bindings,
                } => {
                    let mut settings = Settings::default()
                        .with(&["jwks_url"], Value::One(text(keys)))
                        .with(&["issuer"], Value::One(text(issuer)))
                        .with(&["audience"], set(audience))
                        .with(&["algorithms"], set(algorithms));
                    // 60s is the default, so writing it changes nothing.
                    if *leeway_ms != 60_000 {
                        settings =
                            settings.with(&["leeway"], Value::One(Scalar::Duration(*leeway_ms)));
                    }
                    if *claim {
                        settings = settings.with(&["required_claims"], set(&["c"]));
                    }
                    let one = |word: &str| Value::One(text(word));
                    if let [.., source @ ("connection" | "client-cert")] = bindings {
                        let word = if bindings.len() == 1 {
                            "required"
                        } else {
                            "optional"
                        };
                        settings = settings.with(&["certificate_binding"], one(word));
                        if *source == "client-cert" {
                            settings = settings.with(&["certificate_header"], one(source));
                        }
                    }
                    auth::Checked::Declared(Checked {
                        kind: "jwt".into(),
                        settings,
                    })
                }
            },
        });
    let schemes = Set::new(schemes.into_values().collect()).unwrap();
    Who::of(&security, &schemes, &Set::new(verifiers.collect()).unwrap())
}

#[test]
fn the_order_of_requirements_agrees_with_every_caller() {
    let pairs = if prerequisite::is_full() {
        400_000
    } else {
        100_000
    };
    let all = credentials();
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let threads: Vec<_> = (0..4u64)
        .map(|seed| {
            let (all, shown) = (all.clone(), shown());
            std::thread::spawn(move || {
                let mut dice = Dice::new(seed);
                let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
                for _ in 0..pairs / 4 {
                    pair(&mut dice, (&all, &shown), &mut verdicts);
                }
                verdicts
            })
        })
        .collect();
    for thread in threads {
        for (verdict, count) in thread.join().expect("no panic") {
            *verdicts.entry(verdict).or_default() += count;
        }
    }
    assert!(
        verdicts.values().all(|count| *count > pairs / 100) && verdicts.len() == 4,
        "{verdicts:?}"
    );
}

/// Compares one pair of requirements with their verifiers. The computed order must agree with the
/// sets of admitted callers. The callers are random, or have exactly the credentials of one
/// alternative.
fn pair(
    dice: &mut Dice,
    (all, shown): (&[CallerCredential], &[CallerCredential]),
    verdicts: &mut BTreeMap<String, usize>,
) {
    let mut old_verifiers: Vec<Verifier> = (0..3).map(|_| verifier(dice)).collect();
    old_verifiers.extend([certificates(dice), certificates(dice)]);
    let mut new_verifiers = old_verifiers.clone();
    if dice.chance(5) {
        new_verifiers[dice.below(3)] = verifier(dice);
        new_verifiers[3 + dice.below(2)] = certificates(dice);
    }
    let is_certified = dice.chance(3);
    let by_role = dice.chance(3);
    let old = requirement(dice, is_certified, by_role);
    let new = if dice.chance(4) {
        old.clone()
    } else {
        requirement(dice, is_certified, by_role)
    };
    let verdict = built(&old, &old_verifiers).verdict(&built(&new, &new_verifiers));
    let (mut more, mut fewer) = (false, false);
    let telling = [0, 1].map(|place| -> Vec<&CallerCredential> {
        let by_token = verifiers_at(place, &old, &old_verifiers);
        let by_token: Vec<(&Verifier, [bool; 2])> = by_token
            .into_iter()
            .chain(verifiers_at(place, &new, &new_verifiers))
            .collect();
        all.iter()
            .filter(|credential| is_telling(credential, &by_token))
            .collect()
    });
    let by_certificate: Vec<(&Verifier, [bool; 2])> =
        verifiers_at(CERTIFICATE, &old, &old_verifiers)
            .into_iter()
            .chain(verifiers_at(CERTIFICATE, &new, &new_verifiers))
            .collect();
    let shown: Vec<&CallerCredential> = shown
        .iter()
        .filter(|credential| is_shown(credential, &by_certificate))
        .collect();
    'all: for first in &telling[0] {
        for second in &telling[1] {
            for third in &shown {
                let caller = [*first, *second, *third];
                let (was, is) = (
                    lets_in(&old, &old_verifiers, caller),
                    lets_in(&new, &new_verifiers, caller),
                );
                more |= is && !was;
                fewer |= was && !is;
                if more && fewer {
                    break 'all;
                }
            }
        }
    }
    let expected = match (more, fewer) {
        (false, false) => Verdict::Equal,
        (true, false) => Verdict::Weaken,
        (false, true) => Verdict::Strengthen,
        (true, true) => Verdict::Incomparable,
    };
    assert_eq!(
        verdict, expected,
        "{old:?} {old_verifiers:?}\n{new:?} {new_verifiers:?}"
    );
    *verdicts.entry(format!("{verdict:?}")).or_default() += 1;
}

/// Verifiers that a requirement uses at a place. The booleans are true if the requirement needs a
/// scope, or a role.
fn verifiers_at<'v>(
    place: usize,
    requirement: &[Vec<Use>],
    verifiers: &'v [Verifier],
) -> Vec<(&'v Verifier, [bool; 2])> {
    let uses = requirement
        .iter()
        .flatten()
        .filter(|wanted| wanted.place == place);
    uses.filter_map(|wanted| {
        let rights = [!wanted.scopes.is_empty(), !wanted.roles.is_empty()];
        Some((&verifiers[wanted.verifier?], rights))
    })
    .collect()
}

/// True if the credential has only properties that at least one of the requirements checks. Other
/// properties make no difference.
fn is_telling(credential: &CallerCredential, requirements: &[(&Verifier, [bool; 2])]) -> bool {
    let CallerCredential::Known(facts) = credential else {
        return true;
    };
    let tokens = || {
        requirements
            .iter()
            .filter_map(|(verifier, _)| match verifier {
                Verifier::Key | Verifier::Certificate { .. } => None,
                Verifier::Token {
                    keys,
                    issuer,
                    audience,
                    algorithms,
                    leeway_ms,
                    claim,
                    bindings,
                } => Some((
                    keys, issuer, audience, algorithms, leeway_ms, claim, bindings,
                )),
            })
    };
    let is_key = |(verifier, _): &(&Verifier, [bool; 2])| matches!(verifier, Verifier::Key);
    let no_token = tokens().next().is_none();
    (!facts.key || requirements.iter().any(is_key))
        && (!facts.scope || requirements.iter().any(|(_, [scope, _])| *scope))
        && (!facts.role || requirements.iter().any(|(_, [_, role])| *role))
        && (!facts.claim || tokens().any(|token| *token.5))
        && facts
            .keys
            .iter()
            .all(|key| tokens().any(|token| token.0 == key))
        && facts
            .audience
            .iter()
            .all(|to| tokens().any(|token| token.2.contains(to)))
        && match no_token {
            // Keep only one of several credentials that differ in unchecked properties.
            true => {
                facts.issuer == ISSUERS[0]
                    && facts.algorithm == ALGORITHMS[0]
                    && facts.late_ms == 0
                    && facts.bound == "none"
            }
            false => {
                tokens().any(|token| *token.1 == facts.issuer)
                    && tokens().any(|token| token.3.contains(&facts.algorithm))
                    && tokens().any(|token| *token.4 == facts.late_ms)
                    && tokens().any(|token| token.6.contains(&facts.bound))
            }
        }
}

/// True if the certificate has only properties that at least one of the requirements checks.
fn is_shown(credential: &CallerCredential, requirements: &[(&Verifier, [bool; 2])]) -> bool {
    let CallerCredential::Certificate {
        of_connection,
        of_proxy,
        names: own,
        id,
    } = credential
    else {
        return true;
    };
    let certificates = || {
        requirements
            .iter()
            .filter_map(|(verifier, _)| match verifier {
                Verifier::Certificate {
                    from_proxy,
                    names,
                    ids,
                } => Some((*from_proxy, names, ids)),
                Verifier::Key | Verifier::Token { .. } => None,
            })
    };
    (!of_connection || certificates().any(|one| !one.0))
        && (!of_proxy || certificates().any(|one| one.0))
        && own
            .iter()
            .all(|name| certificates().any(|one| one.1.contains(name)))
        && (id.is_none() || certificates().any(|one| !one.2.is_empty()))
}
