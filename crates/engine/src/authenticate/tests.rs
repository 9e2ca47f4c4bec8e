//! Tests of requirements with two alternatives, two credentials and two consumers.

mod full;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bundle::ir;
use http::Method;
use policy::{Limits, Revoked};

use super::*;
use crate::consumers::Consumers;
use crate::verifiers::Verifiers;

const NOW_S: u64 = 1_000;

fn shared() -> (Limits, Revoked) {
    (
        Limits::new(1, std::hash::RandomState::new),
        Revoked::default(),
    )
}

fn head(target: &str, fields: &[(&'static str, &'static str)]) -> RequestHead {
    let fields = fields.iter();
    RequestHead {
        is_ambiguous: false,
        method: Method::GET,
        target: target.parse().unwrap(),
        host: "h".into(),
        headers: fields
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect(),
    }
}

/// Verifiers with one verifier of API keys, `keys`.
fn verifiers() -> Verifiers<'static> {
    static KEYS: LazyLock<ir::Set<ir::Verifier>> = LazyLock::new(|| {
        let keys = ir::Verifier {
            name: "keys".into(),
            // An API key verifier without settings.
            checked: bundle::codec::decode(&[0x82, 1, 0x81, 0xa0]).unwrap(),
        };
        ir::Set::new(vec![keys]).unwrap()
    });
    Verifiers::new(&KEYS, vec![None])
}

/// Consumer with API keys, each with an optional end of validity (Unix time, seconds).
fn consumer(name: &str, keys: &[(&str, Option<u64>)]) -> ir::Consumer {
    let key = |(key, not_after): &(&str, Option<u64>)| ir::Credential {
        sha256: Sha256::digest(key).into(),
        not_after: *not_after,
        password: None,
    };
    let mut keys: Vec<ir::Credential> = keys.iter().map(key).collect();
    keys.sort();
    ir::Consumer {
        name: name.into(),
        keys,
        basic: Vec::new(),
        declared: policy::declared::Settings::default(),
        groups: Vec::new(),
        metadata: policy::declared::Settings::default(),
        certificates: Vec::new(),
        plan: None,
        tokens: Vec::new(),
        claims: policy::declared::Settings::default(),
    }
}

/// Requirement for API keys in the fields `x-one` and `x-two`. Each alternative is a list of
/// required fields.
fn keys_in_two_fields(alternatives: &[&[&str]]) -> Requirement {
    let scheme = |field: &str| ir::Scheme {
        name: field.into(),
        place: Place::Header(field.into()),
        verify: ir::Verify::Auth("keys".into()),
        strip_credential: false,
        declared: policy::declared::Settings::default(),
        passes: ir::Passes::default(),
    };
    let schemes = ir::Set::new(vec![scheme("x-one"), scheme("x-two")]).unwrap();
    let uses = |fields: &&[&str]| {
        let uses = fields.iter().map(|field| ir::SchemeUse {
            scheme: (*field).into(),
            scopes: Vec::new(),
            roles: Vec::new(),
        });
        ir::Alternative(uses.collect())
    };
    let security = ir::Security(alternatives.iter().map(uses).collect());
    Requirement::link(&security, &schemes, &verifiers(), &BTreeSet::new()).unwrap()
}

/// Consumer and scheme of the admitted caller, or the code of the refusal.
fn caller(
    requirement: &Requirement,
    fields: &[(&'static str, &'static str)],
) -> Result<Option<(String, String)>, &'static str> {
    caller_revoking(requirement, fields, &[])
}

/// Like [`caller`], with these keys revoked.
fn caller_revoking(
    requirement: &Requirement,
    fields: &[(&'static str, &'static str)],
    revoked: &[&str],
) -> Result<Option<(String, String)>, &'static str> {
    let consumers = ir::Set::new(vec![
        consumer(
            "acme",
            &[
                ("a1", None),
                ("a2", None),
                ("ended", Some(NOW_S)),
                ("ending", Some(NOW_S + 1)),
            ],
        ),
        consumer("globex", &[("g1", None)]),
    ])
    .unwrap();
    let consumers = Consumers::index(&consumers).unwrap();
    let (limits, _) = shared();
    let revoked = Revoked::new(revoked.iter().map(|key| Sha256::digest(key).into()));
    let mut cx = Cx::new(0, NOW_S, "10.0.0.1".parse().unwrap(), &limits, &revoked);
    let mut head = head("/", &[]);
    for (name, value) in fields {
        let value = HeaderValue::from_static(value);
        head.headers.append(HeaderName::from_static(name), value);
    }
    let Consumers { all, credentials } = &consumers;
    match requirement.check(&mut head, &mut cx, credentials, all) {
        Ok(()) => Ok(cx
            .principal
            .map(|one| (one.consumer.unwrap().to_owned(), one.scheme.to_owned()))),
        Err(Stop::Reject(reject)) => Err(reject.code),
        Err(Stop::Ask(effect)) => panic!("no effect is expected: {effect:?}"),
    }
}

fn acme(scheme: &str) -> Result<Option<(String, String)>, &'static str> {
    Ok(Some(("acme".to_owned(), scheme.to_owned())))
}

#[test]
fn credentials_of_two_consumers_are_a_conflict() {
    let both = keys_in_two_fields(&[&["x-one", "x-two"]]);
    let cases = [
        (["a1", "a1"], acme("x-one")),
        (["a1", "a2"], acme("x-one")),
        (["a1", "g1"], Err("credential_conflict")),
        (["g1", "a1"], Err("credential_conflict")),
        (["a1", "wrong"], Err("credential_invalid")),
        (["wrong", "g1"], Err("credential_invalid")),
    ];
    for ([one, two], expected) in cases {
        let found = caller(&both, &[("x-one", one), ("x-two", two)]);
        assert_eq!(found, expected, "{one} {two}");
    }
    for one in ["x-one", "x-two"] {
        assert_eq!(caller(&both, &[(one, "a1")]), Err("credential_missing"));
    }
}

#[test]
fn conflict_is_refused_by_an_optional_requirement() {
    let optional = keys_in_two_fields(&[&["x-one", "x-two"], &[]]);
    assert_eq!(caller(&optional, &[]), Ok(None));
    let conflict = caller(&optional, &[("x-one", "a1"), ("x-two", "g1")]);
    assert_eq!(conflict, Err("credential_conflict"));
}

#[test]
fn the_first_satisfied_alternative_names_the_caller() {
    let either = keys_in_two_fields(&[&["x-one", "x-two"], &["x-two"], &["x-one"]]);
    let cases = [
        (vec![("x-one", "a1"), ("x-two", "a2")], acme("x-one")),
        (vec![("x-two", "a2")], acme("x-two")),
        (vec![("x-one", "a1")], acme("x-one")),
        (vec![("x-one", "wrong"), ("x-two", "a2")], acme("x-two")),
        (
            vec![("x-one", "a1"), ("x-two", "g1")],
            Ok(Some(("globex".to_owned(), "x-two".to_owned()))),
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(caller(&either, &fields), expected, "{fields:?}");
    }
}

#[test]
fn a_key_is_refused_from_its_not_after_on() {
    let one = keys_in_two_fields(&[&["x-one"]]);
    assert_eq!(caller(&one, &[("x-one", "ending")]), acme("x-one"));
    let ended = caller(&one, &[("x-one", "ended")]);
    assert_eq!(ended, Err("credential_invalid"));
}

fn requirement(
    schemes: &[(&str, Place, Option<&str>, bool)],
    alternatives: &[&[&str]],
) -> Requirement {
    requirement_beside(schemes, alternatives, &[])
}

/// Requirement of an operation. `withheld`: identity fields that other operations of the same
/// upstream write.
fn requirement_beside(
    schemes: &[(&str, Place, Option<&str>, bool)],
    alternatives: &[&[&str]],
    withheld: &[&str],
) -> Requirement {
    let scheme = |(name, place, auth, strip): &(&str, Place, Option<&str>, bool)| ir::Scheme {
        name: (*name).into(),
        place: place.clone(),
        verify: auth.map_or(ir::Verify::Upstream, |auth| ir::Verify::Auth(auth.into())),
        strip_credential: *strip,
        declared: policy::declared::Settings::default(),
        passes: ir::Passes::default(),
    };
    let uses = |names: &&[&str]| {
        ir::Alternative(
            names
                .iter()
                .map(|name| ir::SchemeUse {
                    scheme: (*name).into(),
                    scopes: Vec::new(),
                    roles: Vec::new(),
                })
                .collect(),
        )
    };
    let schemes = ir::Set::new(schemes.iter().map(scheme).collect()).unwrap();
    Requirement::link(
        &ir::Security(alternatives.iter().map(uses).collect()),
        &schemes,
        &verifiers(),
        &withheld.iter().map(|name| (*name).to_owned()).collect(),
    )
    .unwrap()
}

#[test]
fn stripped_credential_is_removed_in_any_alternative() {
    let forwarded = ("held", Place::Header("x-held".into()), None, false);
    let key = ("key", Place::Header("x-key".into()), None, true);
    let token = ("token", Place::Authorization("bearer".into()), None, true);
    let requirement = requirement(&[forwarded, key, token], &[&["held"], &["key"], &["token"]]);
    let fields = [
        ("x-held", "a"),
        ("x-key", "b"),
        ("authorization", "Basic c"),
        ("x_key", "forged"),
        ("x.held", "forged"),
        ("x-keys", "d"),
    ];
    let mut head = head("/", &fields);
    let (limits, revoked) = shared();
    let mut cx = Cx::new(0, 0, "10.0.0.1".parse().unwrap(), &limits, &revoked);
    let admitted = requirement.check(&mut head, &mut cx, &Credentials::default(), &[]);
    assert!(admitted.is_ok(), "{admitted:?}");
    let mut names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["authorization", "x-held", "x-keys"],
        "another scheme's credential stays"
    );
    assert_eq!(cx.lookalikes, 2);
}

#[test]
fn a_revoked_key_is_refused_alone_and_beside_another() {
    let one = keys_in_two_fields(&[&["x-one"]]);
    let both = keys_in_two_fields(&[&["x-one", "x-two"]]);
    let pair = [("x-one", "a1"), ("x-two", "a2")];
    for revoked in ["a1", "a2"] {
        let found = caller_revoking(&both, &pair, &[revoked]);
        assert_eq!(found, Err("credential_invalid"), "{revoked}");
    }
    let found = caller_revoking(&one, &[("x-one", "a1")], &["a1"]);
    assert_eq!(found, Err("credential_invalid"));
    let found = caller_revoking(&one, &[("x-one", "a1")], &["a2"]);
    assert_eq!(found, acme("x-one"));
}

#[test]
fn wrong_key_is_refused_by_an_optional_requirement() {
    let optional = keys_in_two_fields(&[&["x-one"], &[]]);
    assert_eq!(caller(&optional, &[]), Ok(None));
    let wrong = caller(&optional, &[("x-one", "wrong")]);
    assert_eq!(wrong, Err("credential_invalid"));
}

#[test]
fn wrong_key_beside_a_right_one_is_refused() {
    let (one, two): (&[&str], &[&str]) = (&["x-one"], &["x-two"]);
    for alternatives in [[one, two, &[]], [&[], two, one], [two, &[], one]] {
        let optional = keys_in_two_fields(&alternatives);
        for (first, second) in [("a1", "wrong"), ("wrong", "a1"), ("a1", "ended")] {
            let found = caller(&optional, &[("x-one", first), ("x-two", second)]);
            assert_eq!(found, Err("credential_invalid"), "{first} {second}");
        }
        let both = caller(&optional, &[("x-one", "a1"), ("x-two", "a2")]);
        assert!(both.is_ok_and(|caller| caller.is_some()));
        let twice = caller(
            &optional,
            &[("x-one", "a1"), ("x-two", "a2"), ("x-two", "a2")],
        );
        assert_eq!(twice, Err("credential_ambiguous"));
    }
    // Without `{}`, the first satisfied alternative decides.
    let either = keys_in_two_fields(&[one, two]);
    for (first, second, scheme) in [("a1", "wrong", "x-one"), ("wrong", "a1", "x-two")] {
        let found = caller(&either, &[("x-one", first), ("x-two", second)]);
        assert_eq!(found, acme(scheme));
    }
}

#[test]
fn two_keys_in_one_field_are_ambiguous() {
    let either = keys_in_two_fields(&[&["x-one"], &["x-two"], &[]]);
    let twice = [("x-one", "a1"), ("x-one", "a1"), ("x-two", "a2")];
    assert_eq!(caller(&either, &twice), Err("credential_ambiguous"));
}

/// Checks that the satisfied alternative forwards its credential although another scheme strips
/// credentials from the same location.
#[test]
fn credential_of_the_satisfied_alternative_is_kept() {
    let field = || Place::Header("x-key".into());
    let schemes = [
        ("kept", field(), None, false),
        ("stripped", field(), None, true),
        ("other", Place::Header("x-other".into()), None, true),
    ];
    let requirement = requirement(&schemes, &[&["kept"], &["stripped"], &["other"]]);
    let mut head = head("/", &[("x-key", "a"), ("x-other", "b")]);
    let (limits, revoked) = shared();
    let mut cx = Cx::new(0, 0, "10.0.0.1".parse().unwrap(), &limits, &revoked);
    let admitted = requirement.check(&mut head, &mut cx, &Credentials::default(), &[]);
    assert!(admitted.is_ok(), "{admitted:?}");
    assert!(head.headers.contains_key("x-key"));
    assert!(!head.headers.contains_key("x-other"));
}

/// Fields that remain in an admitted request, as `NAME: VALUE`.
fn left(requirement: &Requirement, fields: &[(&'static str, &'static str)]) -> Vec<String> {
    let mut head = head("/", fields);
    let (limits, revoked) = shared();
    let mut cx = Cx::new(0, 0, "10.0.0.1".parse().unwrap(), &limits, &revoked);
    let admitted = requirement.check(&mut head, &mut cx, &Credentials::default(), &[]);
    assert!(admitted.is_ok(), "{admitted:?}");
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let mut fields: Vec<String> = fields.collect();
    fields.sort_unstable();
    fields
}

#[test]
fn credentials_of_public_operations_are_stripped() {
    let schemes = || {
        [
            ("asked", Place::Header("x-asked".into()), None, false),
            ("key", Place::Header("x-key".into()), None, true),
            ("token", Place::Authorization("bearer".into()), None, true),
        ]
    };
    let fields = [
        ("x-asked", "a"),
        ("x-key", "b"),
        ("x-key", "c"),
        ("authorization", "Basic d"),
        ("authorization", "bEARER\te"),
    ];
    let expected = ["authorization: Basic d", "x-asked: a"];
    for alternatives in [&[&["asked"] as &[&str]] as &[&[&str]], &[]] {
        let requirement = requirement(&schemes(), alternatives);
        if alternatives.is_empty() {
            let mut head = head("/", &fields);
            requirement.strip_all(&mut head);
            assert!(!head.headers.contains_key("x-key"));
            assert_eq!(head.headers["authorization"], "Basic d");
        } else {
            assert_eq!(left(&requirement, &fields), expected);
        }
    }
}

#[test]
fn credential_of_an_unsatisfied_part_is_stripped() {
    let schemes = [
        ("one", Place::Header("x-one".into()), None, true),
        ("two", Place::Header("x-two".into()), None, false),
    ];
    let requirement = requirement(&schemes, &[&["one", "two"], &[]]);
    assert_eq!(left(&requirement, &[("x-one", "a")]), [""; 0]);
    assert_eq!(left(&requirement, &[("x-two", "a")]), ["x-two: a"]);
}

#[test]
fn identity_field_holds_no_unverified_credential() {
    let who = || Place::Header("x-who".into());
    let fields = [("x-who", "admin")];
    for alternatives in [&[&["own"] as &[&str]] as &[&[&str]], &[&["own"], &[]]] {
        let schemes = [("own", who(), None, false)];
        let own = requirement_beside(&schemes, alternatives, &["x-who"]);
        assert_eq!(left(&own, &fields), [""; 0]);
        // No other operation writes the field for the upstream.
        let alone = requirement(&schemes, alternatives);
        assert_eq!(left(&alone, &fields), ["x-who: admin"]);
    }
    let whole = [("whole", Place::Authorization("bearer".into()), None, false)];
    let whole = requirement_beside(&whole, &[&["whole"]], &["authorization"]);
    assert_eq!(left(&whole, &[("authorization", "Bearer a")]), [""; 0]);
}

#[test]
fn field_of_the_satisfied_scheme_is_kept_whole() {
    let schemes = [
        ("whole", Place::Header("authorization".into()), None, false),
        ("token", Place::Authorization("bearer".into()), None, true),
        ("jar", Place::Header("cookie".into()), None, false),
        ("sid", Place::Cookie("sid".into()), None, true),
    ];
    let requirement = requirement(&schemes, &[&["whole"], &["jar"]]);
    let both = [("authorization", "Bearer a"), ("cookie", "a=1; sid=2")];
    let expected = ["authorization: Bearer a", "cookie: a=1"];
    assert_eq!(left(&requirement, &both), expected);
    assert_eq!(left(&requirement, &both[1..]), ["cookie: a=1; sid=2"]);
}

#[test]
fn unverified_signature_is_503_and_not_invalid() {
    use policy::auth::{Fault, dpop};
    for (first, unverified) in [
        (
            Fault::Token(Reason::Signature),
            Fault::Token(Reason::Unverified),
        ),
        (
            Fault::Token(Reason::Issuer),
            Fault::Proof(dpop::Reason::Unverified),
        ),
    ] {
        let mut faults = Faults::default();
        faults.add(first);
        faults.add(unverified);
        let reject = faults.reject().unwrap();
        assert_eq!(reject.status, 503);
        assert_eq!(reject.code, "signature_check_unavailable");
    }
}
