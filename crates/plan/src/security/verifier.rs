//! Requirements of a verifier on a credential, which are compared one by one.
//!
//! Verifiers are compared by their content, never by name. All settings that are not requirements
//! (such as the origin of keys, or the consumer that a credential identifies) identify the source
//! of the credential. Credentials of different sources are different.

use std::collections::{BTreeMap, BTreeSet};

use super::beside::is_access_setting;
use super::{certificate, signature, token};
use bundle::ir;
use policy::auth::jwt::{Algorithm, Signing};
use policy::auth::mtls::{self, spiffe};
use policy::auth::{self, Verifier as _, binding, dpop, hmac_signature};
use policy::declared::{Scalar, Settings, Value};

/// Names of the requirements that limit how long fetched keys, fetched introspection responses and
/// sessions are used.
const LASTING: &[&str] = &[
    "stale_for",
    "cache",
    "old answers",
    EARLY,
    SESSION_LIFETIME,
    SESSION_IDLE,
];

/// Settings of verifiers that name the claims from which the principal is read.
const READINGS: &[&str] = &["consumer_claim", "groups_claim", "scope_claim"];

/// Name of the requirement on the maximum lifetime of a browser session.
const SESSION_LIFETIME: &str = "session lifetime";
const SESSION_IDLE: &str = "session idle";

/// Settings of a session that are requirements.
const SESSION_FACTS: &[&str] = &["session.lifetime", "session.idle", "session.same_site"];

/// Name of the requirement that browsers do not send the session's cookie with cross-site requests.
const SAME_SITE: &str = "same-site strict";

/// Prefix of the requirement for a required scope that the login does not request.
const UNREQUESTED: &str = "unrequested ";

/// Prefix of the requirements that refuse answers of an introspection endpoint: answers signed with
/// a certain algorithm, or `unsigned` answers.
const ANSWERS_REFUSED: &str = "no answers ";

/// Name of the requirement on the scopes that a login requests. The requested scopes determine the
/// claims that the login returns.
const REQUESTED: &str = "requested scopes";

/// Name of the requirement about outages in which cached answers admit callers. A shorter `timeout`
/// gives a greater value, because a shorter timeout causes more outages.
const EARLY: &str = "early outages";

/// Requirements on the credential in one field or parameter of a request. If several verifiers
/// check the credential, it must satisfy the requirements of all verifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CredentialRequirements {
    /// Sources for which the credential must be valid. Empty: the credential must only be present.
    pub(super) sources: BTreeSet<String>,
    /// Claims from which verifiers read the principal: kind of the verifier, and its settings of
    /// [`READINGS`].
    pub(super) readings: BTreeSet<String>,
    /// Allowed values of properties that have one value, such as issuer and algorithm.
    pub(super) one_of: BTreeMap<&'static str, BTreeSet<String>>,
    /// Allowed values of properties that have several values, such as audiences. At least one value
    /// must be allowed.
    pub(super) some_of: BTreeSet<(&'static str, BTreeSet<String>)>,
    /// Upper limits, such as leeway and lifetime in milliseconds.
    pub(super) at_most: BTreeMap<&'static str, u64>,
    /// Required claims and scopes.
    pub(super) has: BTreeSet<String>,
}

impl CredentialRequirements {
    /// Adds the requirements that a verifier checks.
    pub(super) fn check(&mut self, checked: &auth::Checked, verifiers: &ir::Set<ir::Verifier>) {
        match checked {
            auth::Checked::ApiKey(_) | auth::Checked::Basic(_) => {
                self.sources.insert(checked.kind().to_owned());
            }
            auth::Checked::Jwt(jwt) => {
                let signings = jwt.signings();
                self.signings(&signings);
                let settings = jwt.settings();
                self.facts(("jwt", &settings), !signings.is_empty(), verifiers);
            }
            auth::Checked::Introspection(introspection) => {
                self.has
                    .insert(token::activity_fact(&introspection.witness_key()));
                self.declared("introspection", &introspection.settings(), verifiers);
            }
            auth::Checked::Mtls(mtls) => self.declared("mtls", &mtls.settings(), verifiers),
            auth::Checked::Dpop(dpop) => self.declared("dpop", &dpop.settings(), verifiers),
            auth::Checked::HmacSignature(signed) => {
                self.declared("hmac_signature", &signed.settings(), verifiers);
            }
            auth::Checked::Oidc(login) => {
                let signings = login.id_tokens().signings();
                self.signings(&signings);
                self.facts(("oidc", &login.settings()), true, verifiers);
            }
            auth::Checked::Declared(declared) => {
                self.declared(&declared.kind, &declared.settings, verifiers);
            }
        }
    }

    /// Adds a required scope.
    pub(super) fn scope(
        &mut self,
        checked: &auth::Checked,
        scope: &str,
        verifiers: &ir::Set<ir::Verifier>,
    ) {
        let named = checked.token_verifier();
        let named = named.and_then(|name| verifiers.get(name));
        let checked = named.map_or(checked, |named| &named.checked);
        let claim = match checked {
            auth::Checked::Declared(declared) => declared.settings.text(&["scope_claim"]),
            auth::Checked::Jwt(jwt) => Some(jwt.scope_claim()),
            auth::Checked::Introspection(introspection) => Some(introspection.scope_claim()),
            auth::Checked::Oidc(_) => None,
            auth::Checked::ApiKey(_)
            | auth::Checked::Basic(_)
            | auth::Checked::Mtls(_)
            | auth::Checked::Dpop(_)
            | auth::Checked::HmacSignature(_) => None,
        };
        if checked.kind() == "oidc" && !requested(&checked.settings()).contains(scope) {
            self.has.insert(format!("{UNREQUESTED}{scope}"));
        }
        let claim = claim.unwrap_or("scope");
        self.has.insert(token::scope(claim, scope));
        self.has.insert(token::required(claim));
    }

    /// Adds a required role of the credential's owner.
    pub(super) fn role(&mut self, role: &str) {
        self.has.insert(token::role(role));
    }

    /// Adds the combinations of algorithm and key that may sign a token.
    fn signings(&mut self, signings: &[Signing]) {
        if !signings.is_empty() {
            let signings = signings.iter().map(token::describe).collect();
            self.one_of_values(token::SIGNING, &signings);
        }
    }

    fn declared(&mut self, kind: &str, settings: &Settings, verifiers: &ir::Set<ir::Verifier>) {
        self.facts((kind, settings), false, verifiers);
    }

    /// Adds the requirements in the settings of a verifier. `knows_signings` is true if
    /// [`Self::signings`] has added each algorithm together with its key. `algorithms` is then not
    /// a separate requirement, which would allow an algorithm with the key of another algorithm.
    fn facts(
        &mut self,
        (kind, settings): (&str, &Settings),
        knows_signings: bool,
        verifiers: &ir::Set<ir::Verifier>,
    ) {
        let settings = &with_defaults(kind, settings);
        let mut known: Vec<&str> = Vec::new();
        let mut facts = Facts {
            requirements: self,
            settings,
            known: &mut known,
        };
        match kind {
            "jwt" => {
                facts.one_of("issuer");
                match settings.has(&["jwks_url"]) || settings.has(&["discovery"]) {
                    true => {
                        facts.algorithms(knows_signings);
                        facts.at_most("stale_for", Some(auth::jwt::STALE_FOR_MS));
                    }
                    // Each key is compared together with its algorithm.
                    false => facts.known.extend(["algorithms", "keys"]),
                }
                facts.one_of("types");
                facts.some_of("audience");
                facts.at_most("leeway", Some(60_000));
                facts.at_most("max_lifetime", None);
                facts.required_claims();
                facts.binding();
            }
            "oidc" => {
                facts.one_of("issuer");
                facts.algorithms(knows_signings);
                facts.some_of("audience");
                facts.required_claims();
                facts.session();
                self.some_of.insert((REQUESTED, requested(settings)));
            }
            "introspection" => {
                facts.one_of("issuer");
                facts.some_of("audience");
                facts.required_claims();
                facts.binding();
                facts.answers();
            }
            "mtls" => {
                facts.some_of("sans");
                facts.one_of("subjects");
                facts.patterns(certificate::SPIFFE);
            }
            "hmac_signature" => {
                facts.one_of_map(signature::SECRETS);
                facts.one_of_as("algorithms", signature::ALGORITHMS);
                facts.has("components");
                facts.unless("content_digest", signature::DIGEST);
                facts.unless("nonce", signature::NONCE);
                let window_ms = Some(hmac_signature::WINDOW_MS);
                facts.at_most_as("window", signature::WINDOW, window_ms);
            }
            "dpop" => {
                // Rename this requirement, because the token's verifier adds a requirement with the
                // name `algorithms` below.
                facts.one_of_as("algorithms", token::PROOF_ALGORITHMS);
                facts.at_most_as("window", token::PROOF_WINDOW, Some(dpop::WINDOW_MS));
                facts.flag_as("nonce", token::PROOF_NONCE);
                facts.known.push("token");
            }
            _ => {}
        }
        self.sources.insert(source(kind, settings, &known));
        self.readings.extend(reading(kind, settings));
        let token = settings.text(&["token"]).filter(|_| kind == "dpop");
        if let Some(token) = token.and_then(|name| verifiers.get(name)) {
            // A DPoP proof cannot be bound to another DPoP proof, so do not recurse a second time.
            let nested = token.checked.kind() == "dpop";
            if !nested {
                self.check(&token.checked, verifiers);
            }
        }
    }
}

/// Identity of the source of a verifier's credentials: its kind, and the settings that affect
/// access and are neither requirements (`known`) nor names of claims.
fn source(kind: &str, settings: &Settings, known: &[&str]) -> String {
    let source: Vec<String> = settings
        .iter()
        .filter(|one| !known.contains(&one.key()) && !READINGS.contains(&one.key()))
        .filter(|one| kind != "oidc" || !SESSION_FACTS.contains(&one.path.join(".").as_str()))
        .filter(|one| is_access_setting(kind, &one.path))
        .map(|one| format!("{}={}", one.path.join("."), value_text(&one.value)))
        .collect();
    format!("{kind} {}", source.join(" "))
}

/// Claims from which a verifier reads the principal: its kind and its settings of [`READINGS`].
/// `None` for a verifier that reads no claims.
fn reading(kind: &str, settings: &Settings) -> Option<String> {
    let reads = matches!(kind, "jwt" | "oidc" | "introspection");
    reads.then(|| {
        let claims = settings.iter().filter(|one| READINGS.contains(&one.key()));
        let claims =
            claims.map(|one| format!(" {}={}", one.path.join("."), value_text(&one.value)));
        format!("{kind}{}", claims.collect::<String>())
    })
}

/// Text of the scopes that a login requests. The provider issues claims by scope (OpenID Connect
/// Core 1.0 §5.4), so that other scopes lead to another principal. Empty for other verifiers.
pub(super) fn claims_by_scope(checked: &auth::Checked) -> String {
    match checked {
        auth::Checked::Oidc(login) => {
            let scopes: Vec<String> = requested(&login.settings()).into_iter().collect();
            format!(" scopes={}", scopes.join(" "))
        }
        _ => String::new(),
    }
}

/// Reader of the requirements in a verifier's settings. Records which keys were read.
struct Facts<'f, 's> {
    requirements: &'f mut CredentialRequirements,
    settings: &'s Settings,
    known: &'f mut Vec<&'s str>,
}

impl Facts<'_, '_> {
    fn one_of(&mut self, key: &'static str) {
        self.one_of_as(key, key);
    }

    fn one_of_as(&mut self, key: &'static str, fact: &'static str) {
        self.known.push(key);
        let Some(values) = self.settings.texts(&[key]) else {
            return;
        };
        let values: BTreeSet<String> = values.into_iter().map(str::to_owned).collect();
        self.requirements.one_of_values(fact, &values);
    }

    /// Adds the algorithms, unless each is compared together with its key.
    fn algorithms(&mut self, knows_signings: bool) {
        match knows_signings {
            true => self.known.push("algorithms"),
            false => self.one_of("algorithms"),
        }
    }

    /// Adds SPIFFE ids and patterns of SPIFFE ids as allowed values.
    fn patterns(&mut self, key: &'static str) {
        self.known.push(key);
        let Some(written) = self.settings.texts(&[key]) else {
            return;
        };
        let patterns: BTreeSet<String> = written.into_iter().flat_map(spiffe::expanded).collect();
        let known = self.requirements.one_of.get(key);
        let patterns = known.map_or_else(
            || patterns.clone(),
            |known| {
                let pairs = known
                    .iter()
                    .flat_map(|one| patterns.iter().map(move |it| (one, it)));
                pairs
                    .filter_map(|(one, other)| spiffe::both(one, other))
                    .collect()
            },
        );
        self.requirements.one_of.insert(key, patterns);
    }

    /// Adds the entries of a map as allowed values.
    fn one_of_map(&mut self, key: &'static str) {
        self.known.push(key);
        let below = self.settings.iter().filter(|one| one.key() == key);
        let values = below.map(|one| format!("{}={}", one.path.join("."), value_text(&one.value)));
        let values = values.collect();
        self.requirements.one_of_values(key, &values);
    }

    fn some_of(&mut self, key: &'static str) {
        self.known.push(key);
        if let Some(values) = self.settings.texts(&[key]) {
            let values = values.into_iter().map(str::to_owned).collect();
            self.requirements.some_of.insert((key, values));
        }
    }

    fn at_most(&mut self, key: &'static str, default_ms: Option<u64>) {
        self.at_most_as(key, key, default_ms);
    }

    fn at_most_as(&mut self, key: &'static str, fact: &'static str, default_ms: Option<u64>) {
        self.known.push(key);
        let written = match self.settings.get(&[key]) {
            Some(Value::One(Scalar::Duration(ms))) => Some(*ms),
            _ => default_ms,
        };
        if let Some(ms) = written {
            self.requirements.bound(fact, ms);
        }
    }

    /// Adds the requirements about the answers of an introspection endpoint.
    fn answers(&mut self) {
        self.at_most("cache", Some(auth::introspection::CACHE_MS));
        self.old_answers();
        self.signed_answers();
    }

    /// Adds the maximum age of answers that are used during an outage. 0 if the verifier uses none.
    fn old_answers(&mut self) {
        let is_cached = self.settings.text(&["on_outage"]) == Some("cached");
        let time_ms = match self.settings.get(&["stale_for"]) {
            _ if !is_cached => 0,
            Some(Value::One(Scalar::Duration(ms))) => *ms,
            _ => auth::introspection::STALE_FOR_MS,
        };
        self.requirements.bound("old answers", time_ms);
        // A shorter timeout causes more outages, and each outage admits old answers.
        let timeout_ms = match self.settings.get(&["timeout"]) {
            Some(Value::One(Scalar::Duration(ms))) => *ms,
            _ => auth::introspection::TIMEOUT_MS,
        };
        let early = if is_cached { u64::MAX - timeout_ms } else { 0 };
        self.requirements.bound(EARLY, early);
        self.known.extend(["on_outage", "stale_for"]);
    }

    /// Adds the refused signatures of answers: no signature, and signatures with other algorithms.
    fn signed_answers(&mut self) {
        self.known.push("signed");
        let Some(allowed) = self.settings.texts(&["signed"]) else {
            return;
        };
        let all = Algorithm::NAMES.iter().chain(&["unsigned"]);
        let refused = all.filter(|name| !allowed.contains(name));
        let refused = refused.map(|name| format!("{ANSWERS_REFUSED}{name}"));
        self.requirements.has.extend(refused);
    }

    /// Adds the claims that every ID token contains, and the times of a session.
    fn session(&mut self) {
        for claim in ["iat", "sub"] {
            self.requirements.has.insert(token::required(claim));
        }
        self.requirements.bound("leeway", auth::jwt::LEEWAY_MS);
        let time = |key| match self.settings.get(&["session", key]) {
            Some(Value::One(Scalar::Duration(ms))) => Some(*ms),
            _ => None,
        };
        let lifetime_ms = time("lifetime").unwrap_or(auth::oidc::LIFETIME_MS);
        self.requirements.bound(SESSION_LIFETIME, lifetime_ms);
        self.requirements
            .bound(SESSION_IDLE, time("idle").unwrap_or(lifetime_ms));
        if self.settings.text(&["session", "same_site"]) == Some("strict") {
            self.requirements.has.insert(SAME_SITE.to_owned());
        }
        // A session continues if the provider does not answer a refresh in time. With a shorter
        // timeout, more answers that would end the session come too late.
        let timeout_ms = match self.settings.get(&["timeout"]) {
            Some(Value::One(Scalar::Duration(ms))) => *ms,
            _ => auth::oidc::TIMEOUT_MS,
        };
        self.requirements.bound(EARLY, u64::MAX - timeout_ms);
    }

    fn has(&mut self, key: &'static str) {
        self.known.push(key);
        let values = self.settings.texts(&[key]).unwrap_or_default();
        let values = values.into_iter().map(|value| format!("{key} {value}"));
        self.requirements.has.extend(values);
    }

    /// Adds the required claims, except those that every token contains.
    fn required_claims(&mut self) {
        self.known.push("required_claims");
        let written = self.settings.texts(&["required_claims"]);
        let written = written.unwrap_or_default().into_iter();
        let lifetime = self.settings.has(&["max_lifetime"]).then_some("iat");
        let claims = written.chain(lifetime);
        for claim in claims.filter(|claim| !token::ALWAYS.contains(claim)) {
            self.requirements.has.insert(token::required(claim));
        }
    }

    /// Adds the accepted bindings of tokens: none, or to a certificate from the configured source.
    fn binding(&mut self) {
        let by_certificate = || match self.settings.has(&[binding::CERTIFICATE_HEADER]) {
            true => mtls::Source::Field.name(),
            false => mtls::Source::Connection.name(),
        };
        let accepted = match self.settings.text(&[binding::CERTIFICATE_BINDING]) {
            None => vec![token::UNBOUND],
            Some("required") => vec![by_certificate()],
            Some(_) => vec![token::UNBOUND, by_certificate()],
        };
        let accepted = accepted.into_iter().map(str::to_owned).collect();
        self.requirements.one_of_values(token::BOUND, &accepted);
        self.known
            .extend([binding::CERTIFICATE_BINDING, binding::CERTIFICATE_HEADER]);
    }

    /// Adds a requirement unless the setting is explicitly `false` or `optional`.
    fn unless(&mut self, key: &'static str, fact: &'static str) {
        self.known.push(key);
        let is_off = self.settings.flag(&[key]) == Some(false);
        if !is_off && self.settings.text(&[key]) != Some("optional") {
            self.requirements.has.insert(fact.to_owned());
        }
    }

    fn flag_as(&mut self, key: &'static str, fact: &'static str) {
        self.known.push(key);
        if self.settings.flag(&[key]) == Some(true) {
            self.requirements.has.insert(fact.to_owned());
        }
    }
}

impl CredentialRequirements {
    /// Applies the timeout of the operation. The timeout also limits the requests of verifiers to
    /// other services.
    pub(super) fn end(&mut self, timeout_ms: u64) {
        if let Some(early) = self.at_most.get_mut(EARLY).filter(|early| **early > 0) {
            *early = (*early).max(u64::MAX - timeout_ms);
        }
    }

    /// Drops the requirement about requested scopes if no check reads the claims that the scopes
    /// lead to.
    pub(super) fn drop_requested(&mut self) {
        let is_read = |fact: &&String| {
            let claim = fact.strip_prefix("claim ");
            fact.starts_with("role ")
                || claim.is_some_and(|claim| !matches!(claim, "iat" | "sub" | "scope"))
        };
        if !self.has.iter().any(|fact| is_read(&fact)) {
            self.some_of.retain(|(fact, _)| *fact != REQUESTED);
        }
    }

    /// Facts that no witness can show, as text.
    pub(super) fn unshown(&self) -> impl Iterator<Item = String> {
        let lasting = self.at_most.iter();
        let lasting = lasting.filter(|(fact, _)| LASTING.contains(fact));
        let has = self.has.iter();
        let has = has.filter(|fact| {
            let is_of = |prefix| fact.starts_with(prefix);
            *fact == SAME_SITE || is_of(UNREQUESTED) || is_of(ANSWERS_REFUSED)
        });
        let requested = self.some_of.iter().filter(|(fact, _)| *fact == REQUESTED);
        lasting
            .map(|(fact, ms)| format!("{fact} {ms}"))
            .chain(has.cloned())
            .chain(requested.map(|(fact, scopes)| format!("{fact} {scopes:?}")))
    }

    fn one_of_values(&mut self, key: &'static str, values: &BTreeSet<String>) {
        let known = self.one_of.entry(key).or_insert_with(|| values.clone());
        known.retain(|value| values.contains(value));
    }

    fn bound(&mut self, key: &'static str, most: u64) {
        let known = self.at_most.entry(key).or_insert(most);
        *known = most.min(*known);
    }
}

/// Scopes that a login requests. Logins with other scopes do not accept each other's sessions.
fn requested(login: &Settings) -> BTreeSet<String> {
    let scopes = login.texts(&["scopes"]);
    let scopes = scopes.unwrap_or_else(|| auth::oidc::SCOPES.to_vec());
    scopes.into_iter().map(str::to_owned).collect()
}

/// Adds the defaults of the vocabulary, so that a setting with its default value equals an absent
/// setting. Defaults of amounts are added where the amounts are read.
fn with_defaults(kind: &str, settings: &Settings) -> Settings {
    let absent: &[(&str, &[&str])] = match kind {
        "jwt" => &[
            ("types", auth::jwt::TYPES),
            ("scope_claim", &[auth::jwt::SCOPE_CLAIM]),
            ("groups_claim", &[auth::jwt::GROUPS_CLAIM]),
        ],
        "introspection" => &[
            ("scope_claim", &[auth::jwt::SCOPE_CLAIM]),
            ("groups_claim", &[auth::jwt::GROUPS_CLAIM]),
        ],
        "hmac_signature" => &[
            ("algorithms", &["hmac-sha256"]),
            ("style", &["rfc9421"]),
            ("components", hmac_signature::COMPONENTS),
        ],
        "dpop" => &[("algorithms", &["ES256"])],
        "oidc" => &[
            ("algorithms", &["RS256"]),
            ("groups_claim", &[auth::jwt::GROUPS_CLAIM]),
        ],
        _ => &[],
    };
    let text = |text: &str| Scalar::Text(text.to_owned());
    let mut all = settings.clone();
    if let ("hmac_signature", Some(style)) = (kind, settings.text(&["style"]))
        && let Some(style) = hmac_signature::Style::of(style)
        && !settings.has(&["components"])
    {
        let names = style.components().iter().map(|name| text(name));
        all = all.with(&["components"], Value::Set(names.collect()));
    }
    for (key, values) in absent {
        if all.has(&[*key]) {
            continue;
        }
        let value = match values {
            [one] => Value::One(text(one)),
            several => Value::Set(several.iter().map(|one| text(one)).collect()),
        };
        all = all.with(&[*key], value);
    }
    // A token from a login is issued to the client itself; `audience` names additional audiences.
    if let (Some(client), "oidc") = (settings.text(&["client_id"]), kind) {
        let others = settings.texts(&["audience"]).unwrap_or_default();
        let audience: BTreeSet<Scalar> = others.into_iter().chain([client]).map(text).collect();
        all = all
            .without(|path| path == ["audience"])
            .with(&["audience"], Value::Set(audience.into_iter().collect()));
    }
    all
}

/// True if the timeout of an operation ends the requests of a verifier early, and cached answers or
/// sessions admit callers during an outage.
pub(super) fn is_ended_by(checked: &auth::Checked, timeout_ms: u64) -> bool {
    let settings = checked.settings();
    let (goes_on, default_ms) = match checked.kind() {
        "introspection" => (
            settings.text(&["on_outage"]) == Some("cached"),
            auth::introspection::TIMEOUT_MS,
        ),
        "oidc" => (true, auth::oidc::TIMEOUT_MS),
        _ => (false, 0),
    };
    let own_ms = match settings.get(&["timeout"]) {
        Some(Value::One(Scalar::Duration(ms))) => *ms,
        _ => default_ms,
    };
    goes_on && timeout_ms < own_ms
}

/// Value as text, for display and comparison.
pub(super) fn value_text(value: &Value) -> String {
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
