//! Requirements of a verifier on a credential, as facts that can be compared one by one.
//!
//! Verifiers are compared by content, never by name. Settings that are not one of these facts (the
//! origin of keys, the consumer that a credential names) identify the source of the credential.
//! Another source is another credential.

use std::collections::{BTreeMap, BTreeSet};

use super::token;
use bundle::ir;
use policy::auth;
use policy::declared::{Scalar, Settings, Value};

/// Requirements on a credential at one place. Facts of several verifiers at one place all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    /// Sources for which the credential must be valid. Empty: the credential must only be present.
    pub(super) sources: BTreeSet<String>,
    /// Properties with one value, and the allowed values: its issuer, its algorithm.
    pub(super) one_of: BTreeMap<&'static str, BTreeSet<String>>,
    /// Properties with several values, of which one must be allowed: its audiences.
    pub(super) some_of: BTreeSet<(&'static str, BTreeSet<String>)>,
    /// Upper limits on the credential: leeway in milliseconds, lifetime.
    pub(super) at_most: BTreeMap<&'static str, u64>,
    /// Required claims and scopes.
    pub(super) has: BTreeSet<String>,
}

impl Asked {
    /// Adds the checks of a verifier.
    pub(super) fn check(&mut self, checked: &auth::Checked, verifiers: &ir::Set<ir::Verifier>) {
        match checked {
            auth::Checked::ApiKey(_) | auth::Checked::Basic(_) => {
                self.sources.insert(checked.kind().to_owned());
            }
            auth::Checked::Jwt(jwt) => {
                let signings = jwt.signings();
                if !signings.is_empty() {
                    let signings = signings.iter().map(token::describe).collect();
                    self.one_of_values(token::SIGNING, &signings);
                }
                self.declared("jwt", &jwt.settings(), verifiers);
            }
            auth::Checked::Declared(declared) => {
                self.declared(&declared.kind, &declared.settings, verifiers);
            }
        }
    }

    /// Adds a scope that a verifier grants.
    pub(super) fn scope(&mut self, checked: &auth::Checked, scope: &str) {
        let claim = match checked {
            auth::Checked::Declared(declared) => declared.settings.text(&["scope_claim"]),
            auth::Checked::Jwt(jwt) => Some(jwt.scope_claim()),
            auth::Checked::ApiKey(_) | auth::Checked::Basic(_) => None,
        };
        let claim = claim.unwrap_or("scope");
        self.has.insert(token::scope(claim, scope));
        self.has.insert(token::required(claim));
    }

    fn declared(&mut self, kind: &str, settings: &Settings, verifiers: &ir::Set<ir::Verifier>) {
        let settings = &with_defaults(kind, settings);
        let mut known: Vec<&str> = Vec::new();
        let mut facts = Facts {
            asked: self,
            settings,
            known: &mut known,
        };
        match kind {
            "jwt" => {
                facts.one_of("issuer");
                match settings.has(&["jwks_url"]) {
                    true => facts.one_of("algorithms"),
                    // Each key is compared together with its algorithm.
                    false => facts.known.extend(["algorithms", "keys"]),
                }
                facts.one_of("types");
                facts.some_of("audience");
                facts.at_most("leeway", Some(60_000));
                facts.at_most("max_lifetime", None);
                facts.required_claims();
            }
            "oidc" => {
                facts.some_of("audience");
            }
            "introspection" => {
                facts.some_of("audience");
                facts.rank("on_outage", &["closed", "cached"]);
            }
            "mtls" => {
                facts.some_of("sans");
                facts.some_of("spiffe");
            }
            "hmac_signature" => {
                facts.one_of_map("secrets");
                facts.one_of("algorithms");
                facts.has("components");
                facts.flag("content_digest");
                facts.at_most("window", Some(300_000));
            }
            "dpop" => {
                facts.one_of("algorithms");
                facts.at_most("window", Some(60_000));
                facts.flag("nonce");
                // The bound credential is checked as well.
                facts.known.push("token");
            }
            _ => {}
        }
        let source: Vec<String> = settings
            .iter()
            .filter(|one| !known.contains(&one.path[0].as_str()))
            .filter(|one| asks_for(kind, &one.path[0]))
            .map(|one| format!("{}={}", one.path.join("."), told(&one.value)))
            .collect();
        self.sources.insert(format!("{kind} {}", source.join(" ")));
        let token = settings.text(&["token"]).filter(|_| kind == "dpop");
        if let Some(token) = token.and_then(|name| verifiers.get(name)) {
            // A DPoP proof cannot be bound to another DPoP proof.
            let nested =
                matches!(&token.checked, auth::Checked::Declared(inner) if inner.kind == "dpop");
            if !nested {
                self.check(&token.checked, verifiers);
            }
        }
    }
}

/// Reader of facts from settings that records which keys were read.
struct Facts<'f, 's> {
    asked: &'f mut Asked,
    settings: &'s Settings,
    known: &'f mut Vec<&'s str>,
}

impl Facts<'_, '_> {
    fn one_of(&mut self, key: &'static str) {
        self.known.push(key);
        let Some(values) = self.settings.texts(&[key]) else {
            return;
        };
        let values: BTreeSet<String> = values.into_iter().map(str::to_owned).collect();
        self.asked.one_of_values(key, &values);
    }

    /// Keys of a map, each with its value.
    fn one_of_map(&mut self, key: &'static str) {
        self.known.push(key);
        let below = self.settings.iter().filter(|one| one.path[0] == key);
        let values = below.map(|one| format!("{}={}", one.path.join("."), told(&one.value)));
        let values = values.collect();
        self.asked.one_of_values(key, &values);
    }

    fn some_of(&mut self, key: &'static str) {
        self.known.push(key);
        if let Some(values) = self.settings.texts(&[key]) {
            let values = values.into_iter().map(str::to_owned).collect();
            self.asked.some_of.insert((key, values));
        }
    }

    fn at_most(&mut self, key: &'static str, default_ms: Option<u64>) {
        self.known.push(key);
        let written = match self.settings.get(&[key]) {
            Some(Value::One(Scalar::Duration(ms))) => Some(*ms),
            _ => default_ms,
        };
        if let Some(ms) = written {
            self.asked.bound(key, ms);
        }
    }

    /// Adds the rank of a word. `words` lists the strictest first.
    fn rank(&mut self, key: &'static str, words: &[&str]) {
        self.known.push(key);
        let word = self.settings.text(&[key]);
        let rank = words.iter().position(|known| Some(*known) == word);
        self.asked
            .bound(key, u64::try_from(rank.unwrap_or(0)).unwrap_or(0));
    }

    fn has(&mut self, key: &'static str) {
        self.known.push(key);
        let values = self.settings.texts(&[key]).unwrap_or_default();
        let values = values.into_iter().map(|value| format!("{key} {value}"));
        self.asked.has.extend(values);
    }

    /// Claims of a token beside those that every token has.
    fn required_claims(&mut self) {
        self.known.push("required_claims");
        let written = self.settings.texts(&["required_claims"]);
        let written = written.unwrap_or_default().into_iter();
        let lifetime = self.settings.has(&["max_lifetime"]).then_some("iat");
        let claims = written.chain(lifetime);
        for claim in claims.filter(|claim| !token::ALWAYS.contains(claim)) {
            self.asked.has.insert(token::required(claim));
        }
    }

    fn flag(&mut self, key: &'static str) {
        self.known.push(key);
        if self.settings.flag(&[key]) == Some(true) {
            self.asked.has.insert(key.to_owned());
        }
    }
}

impl Asked {
    fn one_of_values(&mut self, key: &'static str, values: &BTreeSet<String>) {
        let known = self.one_of.entry(key).or_insert_with(|| values.clone());
        known.retain(|value| values.contains(value));
    }

    fn bound(&mut self, key: &'static str, most: u64) {
        let known = self.at_most.entry(key).or_insert(most);
        *known = most.min(*known);
    }
}

/// Returns true if a verifier's setting affects access, so that the order of requirements compares
/// it.
pub(crate) fn asks_for(kind: &str, key: &str) -> bool {
    !beside(kind).contains(&key)
}

/// Adds the defaults of the vocabulary, so that a written default equals an absent setting.
/// Defaults of amounts are applied where the amounts are read.
fn with_defaults(kind: &str, settings: &Settings) -> Settings {
    let absent: &[(&str, &[&str])] = match kind {
        "jwt" => &[
            ("types", auth::jwt::TYPES),
            ("scope_claim", &[auth::jwt::SCOPE_CLAIM]),
            ("groups_claim", &[auth::jwt::GROUPS_CLAIM]),
        ],
        "mtls" => &[("header", &["client-cert"]), ("consumer", &["san"])],
        "hmac_signature" => &[
            ("algorithms", &["hmac-sha256"]),
            ("style", &["rfc9421"]),
            ("components", &["@authority", "@method", "@target-uri"]),
        ],
        "dpop" => &[("algorithms", &["ES256"])],
        _ => &[],
    };
    let text = |text: &str| Scalar::Text(text.to_owned());
    let mut all = settings.clone();
    for (key, values) in absent.iter().filter(|(key, _)| !settings.has(&[*key])) {
        let value = match values {
            [one] => Value::One(text(one)),
            several => Value::Set(several.iter().map(|one| text(one)).collect()),
        };
        all = all.with(&[*key], value);
    }
    // The token of a login is issued to the client; `audience` names further audiences.
    if let (Some(client), "oidc") = (settings.text(&["client_id"]), kind) {
        let others = settings.texts(&["audience"]).unwrap_or_default();
        let audience: BTreeSet<Scalar> = others.into_iter().chain([client]).map(text).collect();
        all = all
            .without(|path| path == ["audience"])
            .with(&["audience"], Value::Set(audience.into_iter().collect()));
    }
    all
}

/// Settings that do not affect access and are reported by themselves.
fn beside(kind: &str) -> &'static [&'static str] {
    match kind {
        "basic" => &["realm"],
        "jwt" => &["token_bytes"],
        "oidc" => &[
            "client_secret",
            "redirect_path",
            "logout_path",
            "scopes",
            "session",
        ],
        "introspection" => &["client_secret", "timeout", "cache", "cache_inactive"],
        "hmac_signature" | "dpop" => &["store"],
        _ => &[],
    }
}

/// Value as text.
pub(super) fn told(value: &Value) -> String {
    let all = |scalars: &[Scalar]| {
        let all: Vec<String> = scalars.iter().map(ToString::to_string).collect();
        format!("[{}]", all.join(", "))
    };
    match value {
        Value::One(scalar) => scalar.to_string(),
        Value::Set(scalars) | Value::List(scalars) => all(scalars),
        Value::Empty => "{}".to_owned(),
    }
}
