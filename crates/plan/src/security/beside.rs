//! Settings of verifiers that do not affect which callers are admitted, so that the access
//! comparison omits them.
//!
//! The access comparison covers every other setting of a verifier. Each of those settings is either
//! a requirement on callers, or identifies the source of credentials. With another source, the
//! versions are incomparable.

/// Setting that the access comparison omits.
struct OmittedSetting {
    kind: &'static str,
    path: &'static [&'static str],
    /// Reason for the omission. Read by people who add a key.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "only people and the test read these reasons")
    )]
    reason: &'static str,
}

/// Shortens the rows of [`OMITTED`].
const fn row(
    kind: &'static str,
    path: &'static [&'static str],
    reason: &'static str,
) -> OmittedSetting {
    OmittedSetting { kind, path, reason }
}

static OMITTED: &[OmittedSetting] = &[
    row("basic", &["realm"], "shown to clients only"),
    row("jwt", &["token_bytes"], "a limit: `relax` or `tighten`"),
    row(
        "jwt",
        &["resource_metadata"],
        "tells clients where to get tokens: `moved`",
    ),
    row(
        "introspection",
        &["resource_metadata"],
        "tells clients where to get tokens: `moved`",
    ),
    row(
        "introspection",
        &["token_bytes"],
        "a limit: `relax` or `tighten`",
    ),
    row(
        "introspection",
        &["timeout"],
        "a limit; with `on_outage: cached` also a fact (`EARLY`)",
    ),
    row(
        "introspection",
        &["cache_inactive"],
        "a time for which tokens stay refused",
    ),
    row(
        "introspection",
        &["client_secret"],
        "sent to the endpoint: compared as a secret that leaves the gateway",
    ),
    row(
        "oidc",
        &["client_secret"],
        "sent to the provider: compared as a secret that leaves the gateway",
    ),
    row(
        "oidc",
        &["redirect_path"],
        "a path of the gateway: compared as routing",
    ),
    row(
        "oidc",
        &["logout_path"],
        "a path of the gateway: compared as routing",
    ),
    row(
        "oidc",
        &["after_logout"],
        "a path of the same host, for browsers without a session",
    ),
    row(
        "oidc",
        &["scopes"],
        "a fact where scopes or claims decide; requests to the provider otherwise",
    ),
    row("oidc", &["timeout"], "a limit; also a fact (`EARLY`)"),
    row("hmac_signature", &["store"], STORE),
    row("hmac_signature", &["on_outage"], STORE),
    row("dpop", &["store"], STORE),
    row("dpop", &["on_outage"], STORE),
];

/// Reason to omit the store of used credentials.
const STORE: &str = "decides about a second use only: `relax` or `tighten`";

/// True if a setting of a verifier affects access, so that the access comparison covers it.
pub(crate) fn is_access_setting(kind: &str, path: &[String]) -> bool {
    let is_store = |beside: &OmittedSetting| {
        beside.path == ["store"] && path.first().is_some_and(|key| key == "store")
    };
    !OMITTED
        .iter()
        .any(|beside| beside.kind == kind && (path == beside.path || is_store(beside)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bundle::ir;
    use diag::shape::{Need, Object, Shape};
    use policy::SecretRef;
    use policy::auth::{Checked, KINDS};
    use policy::declared::{self, Scalar, Settings, Value};

    use super::super::verifier::CredentialRequirements;
    use super::{OMITTED, is_access_setting};

    /// Settings that another setting needs in order to have an effect: kind of the verifier, key,
    /// and value.
    const CONTEXT: &[(&str, &str, &str)] = &[
        ("jwt", "jwks_url", "https://idp.example/keys"),
        ("jwt", "certificate_binding", "required"),
        ("introspection", "on_outage", "cached"),
        ("introspection", "certificate_binding", "required"),
    ];

    /// Paths of all keys of an object. Maps have the key `x`.
    fn paths(object: &Object, above: &[&str], all: &mut BTreeSet<Vec<String>>) {
        for field in object.fields {
            assert_ne!(field.need, Need::NotAvailable, "decide about {}", field.key);
            let mut path = above.to_vec();
            path.push(field.key);
            match &field.shape {
                Shape::Object(inner) => {
                    paths(inner, &path, all);
                    continue;
                }
                Shape::Map(_) | Shape::ByName(..) | Shape::Table(_) | Shape::Keyed(..) => {
                    path.push("x")
                }
                _ => {}
            }
            all.insert(path.into_iter().map(str::to_owned).collect());
        }
    }

    /// Values that differ from every default, one of each type that a key may have.
    fn values(shape: &Shape) -> Vec<Value> {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let words: &[&str] = match shape {
            Shape::Word(words) => words,
            _ => &["a", "b"],
        };
        let secret = SecretRef::parse("${env:OTHER}").unwrap();
        let ones = words.iter().map(|word| text(word)).chain([
            Scalar::Flag(true),
            Scalar::Flag(false),
            Scalar::Duration(1_234),
            Scalar::Secret(secret),
        ]);
        let ones = ones.map(Value::One);
        ones.chain([Value::Set(vec![text("a")])]).collect()
    }

    fn shape_of<'s>(object: &'s Object, path: &[String]) -> &'s Shape {
        let field = object.fields.iter().find(|one| one.key == path[0]);
        match &field.unwrap().shape {
            Shape::Object(inner) => shape_of(inner, &path[1..]),
            shape => shape,
        }
    }

    fn requirements(kind: &str, settings: Settings) -> CredentialRequirements {
        let token = |name: &str| {
            let issuer = Value::One(Scalar::Text(format!("https://{name}.example")));
            ir::Verifier {
                name: name.to_owned(),
                checked: Checked::Declared(declared::Checked {
                    kind: "jwt".to_owned(),
                    settings: Settings::default().with(&["issuer"], issuer),
                }),
            }
        };
        let tokens = ir::Set::new(vec![token("a"), token("b")]).unwrap();
        let checked = Checked::Declared(declared::Checked {
            kind: kind.to_owned(),
            settings,
        });
        let mut requirements = CredentialRequirements::default();
        requirements.check(&checked, &tokens);
        requirements
    }

    #[test]
    fn each_key_of_a_verifier_is_a_fact_or_listed() {
        let mut wrong = Vec::new();
        for variant in KINDS {
            let kind = variant.kind;
            let mut all = BTreeSet::new();
            paths(variant.object, &[], &mut all);
            for path in &all {
                let keys: Vec<&str> = path.iter().map(String::as_str).collect();
                let context = CONTEXT.iter().filter(|one| one.0 == kind);
                let base = context.fold(Settings::default(), |all, (_, key, value)| {
                    let value = Value::One(Scalar::Text((*value).to_owned()));
                    all.with(&[*key], value)
                });
                let base = base.without(|own| own == path);
                let mut seen = vec![requirements(kind, base.clone())];
                for value in values(shape_of(variant.object, path)) {
                    let found = requirements(kind, base.clone().with(&keys, value));
                    if !seen.contains(&found) {
                        seen.push(found);
                    }
                }
                let is_compared = seen.len() > 1;
                if !is_compared && is_access_setting(kind, path) {
                    wrong.push(format!("{kind} {}: decides nothing", path.join(".")));
                }
            }
            for beside in OMITTED.iter().filter(|one| one.kind == kind) {
                let is_there = all.iter().any(|path| path == beside.path);
                if !is_there || beside.reason.is_empty() {
                    wrong.push(format!("{kind} {}: no such key", beside.path.join(".")));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
