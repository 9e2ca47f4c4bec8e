//! Comparison of request fields as an upstream receives them: after the security schemes of the
//! API, `forward_auth` and `headers` have changed the fields. A field has the client's own value,
//! or values that the gateway writes. In two kinds of fields, the comparison assumes that clients
//! cannot send the value of a policy. These are fields that identify the caller, and fields whose
//! absence admits more ([`GUARDS`]). In other fields, a client may have sent the same value, so
//! only fixed values are compared with each other. The query parameters that `rewrite` changes are
//! compared in the same way.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::Phase;
use policy::auth::{self, Place, Verifier as _, mtls};
use policy::declared::{Scalar, Settings, Value};
use policy::managed::{self, Allowed};

use super::field_names::{GUARDS, HARMLESS, is_identity, is_managed};
use super::verifier::value_text;
use super::{Access, Difference, Route, Verdict, gateway, token};

/// Meaning of a field for an upstream, by its name and by the values that the gateway writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The field identifies the caller, or contains a secret.
    Identity,
    /// Field of [`GUARDS`], or a field with a credential that the gateway requires.
    Guards,
    /// Field of [`HARMLESS`]: only the client's own value is compared.
    Harmless,
    /// Any other field.
    Unknown,
}

impl Meaning {
    fn of(name: &str, sides: [&ReceivedField; 2], is_required: bool) -> Self {
        match () {
            () if GUARDS.contains(&name) || name.starts_with("sec-fetch-") => Self::Guards,
            // The upstream has never received a request without the credential. It may serve such a
            // request although it would have refused the credential.
            () if is_required => Self::Guards,
            () if sides.into_iter().any(ReceivedField::is_trusted) || is_identity(name) => {
                Self::Identity
            }
            () if HARMLESS.contains(&name) => Self::Harmless,
            () => Self::Unknown,
        }
    }
}

/// Value that the gateway writes in a request field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WrittenValue {
    /// Value in a `headers` policy.
    Policy(String),
    /// Property of the verified caller: its name or a claim. The second string is an authority that
    /// asserts the property, see [`authorities`].
    Caller(String, String),
    /// Field of the response of a `forward_auth` service, which the string identifies.
    Answer(String),
    /// No value, for the callers of an alternative whose schemes do not write the field.
    Nothing,
}

impl WrittenValue {
    fn shown(&self) -> String {
        match self {
            Self::Policy(value) => value.clone(),
            Self::Caller(property, _) => property.clone(),
            Self::Answer(_) => "the answer of the authorization service".to_owned(),
            Self::Nothing => "no value for some callers".to_owned(),
        }
    }
}

/// Request field as an upstream receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReceivedField {
    /// True if the client's own value reaches the upstream.
    client: bool,
    /// Values that the gateway writes.
    values: BTreeSet<WrittenValue>,
}

impl ReceivedField {
    /// Creates the state of a field that no policy changes. `trusts`: the listener forwards fields
    /// of trusted proxies.
    fn untouched(name: &str, trusts: bool) -> Self {
        let is_removed = match trusts {
            true => is_managed(name) || name.starts_with("x-consumer-"),
            false => managed::is_managed(name, Allowed::default()),
        };
        Self {
            client: !is_removed && !managed::is_hop_lookalike(name),
            values: BTreeSet::new(),
        }
    }

    /// Removes the client's own value and all values written before.
    fn clear(&mut self) {
        self.client = false;
        self.values.clear();
    }

    /// True if every caller who can determine a value of this field can also determine that value
    /// in `other`. A client's own value at the upstream can be any property of a caller. If
    /// `answers` is true, the value can also be any field of a service's response. A policy's value
    /// is the same for all callers. A policy's value counts as a value that clients can send only
    /// if `meaning` is [`Meaning::Unknown`]. If `admitted` does not contain the authority of a
    /// property, only the property is compared. The line about the requirement reports the callers
    /// of that authority.
    fn is_within(
        &self,
        other: &Self,
        admitted: &BTreeSet<String>,
        (meaning, answers): (Meaning, bool),
    ) -> bool {
        let is_open = |value: &WrittenValue| match value {
            WrittenValue::Policy(_) => meaning == Meaning::Unknown,
            WrittenValue::Caller(..) | WrittenValue::Nothing => true,
            WrittenValue::Answer(_) => answers,
        };
        let is_there = |value: &WrittenValue| match value {
            WrittenValue::Caller(property, by) if !admitted.contains(by) => {
                let mut values = other.values.iter();
                values.any(|other| matches!(other, WrittenValue::Caller(its, _) if its == property))
            }
            WrittenValue::Nothing => other.values.contains(value) || other.is_missing(),
            value => other.values.contains(value),
        };
        // A missing field counts as a value: the upstream may treat a request without the field as
        // a request of another caller.
        let lacks_too = match other.client {
            true => meaning != Meaning::Guards,
            false => other.values.is_empty(),
        };
        let mut values = self.values.iter();
        (other.client || !self.client)
            && (!self.is_missing() || other == self || lacks_too)
            && values.all(|value| is_there(value) || other.client && is_open(value))
    }

    /// True if the upstream never receives the field.
    fn is_missing(&self) -> bool {
        !self.client && self.values.is_empty()
    }

    /// True if the client's own value of this field reaches the upstream, but not in `other`, where
    /// a policy removes it or sets another value.
    fn admits_more_than(&self, other: &Self) -> bool {
        self.client && !other.client
    }

    /// True if the gateway writes a secret or a property of the caller to this field.
    fn is_trusted(&self) -> bool {
        self.values.iter().any(|value| match value {
            WrittenValue::Policy(value) => value.starts_with("${"),
            WrittenValue::Caller(..) | WrittenValue::Answer(_) => true,
            WrittenValue::Nothing => false,
        })
    }

    /// True if the gateway writes only properties of the verified caller to the field. False if an
    /// authority of the other side (`admitted`) asserts one of these properties.
    fn is_of_caller(&self, admitted: &BTreeSet<String>) -> bool {
        let mut values = self.values.iter();
        let is_other = |value: &WrittenValue| match value {
            WrittenValue::Caller(_, by) => !admitted.contains(by),
            WrittenValue::Policy(_) | WrittenValue::Answer(_) | WrittenValue::Nothing => false,
        };
        !self.client && values.all(is_other)
    }

    fn shown(&self) -> String {
        let parts: BTreeSet<String> = self.values.iter().map(WrittenValue::shown).collect();
        let mut parts: Vec<String> = parts.into_iter().collect();
        if self.client {
            parts.push("the client's value".to_owned());
        }
        match parts.is_empty() {
            true => "removed".to_owned(),
            false => parts.join(" and "),
        }
    }

    /// Like [`ReceivedField::shown`], with the authority or service of each value.
    fn shown_with_sources(&self) -> String {
        let parts = self.values.iter().map(|value| match value {
            WrittenValue::Policy(_) | WrittenValue::Nothing => value.shown(),
            WrittenValue::Caller(_, by) | WrittenValue::Answer(by) => {
                format!("{} by {by}", value.shown())
            }
        });
        let client = self.client.then(|| "the client's value".to_owned());
        parts.chain(client).collect::<Vec<_>>().join(" and ")
    }
}

/// Compares the request fields that the chains of both versions send to the upstream. Returns at
/// most one difference per field.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (
        Fields::received(old, new).by_name,
        Fields::received(new, old).by_name,
    );
    let admitted = (admitted(old), admitted(new));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let asks_others = LazyCell::new(|| old.who().verdict(new.who()) != Verdict::Equal);
    let differences = names.into_iter().flat_map(|name| {
        let got = |side: &BTreeMap<String, ReceivedField>, access: &Access<'_>| {
            let known = side.get(name);
            known
                .cloned()
                .unwrap_or_else(|| ReceivedField::untouched(name, trusts(access)))
        };
        let (mut was, mut is) = (got(&was, old), got(&is, new));
        // The line about the requirement reports other alternatives.
        if *asks_others {
            was.values.remove(&WrittenValue::Nothing);
            is.values.remove(&WrittenValue::Nothing);
        }
        // Callers with other credentials also have other properties. The line about the requirement
        // reports this, but not the settings of a scheme that both sides require.
        let is_gained = was.values.is_empty() != is.values.is_empty();
        let is_of_others = || was.is_of_caller(&admitted.1) && is.is_of_caller(&admitted.0);
        if is_gained && is_of_others() && *asks_others && !passes_otherwise(old, new, name) {
            return Vec::new();
        }
        let is_required = [old, new].into_iter().all(|access| requires(access, name));
        let verdict = match Meaning::of(name, [&was, &is], is_required) {
            Meaning::Harmless => {
                Verdict::of(!was.admits_more_than(&is), !is.admits_more_than(&was))
            }
            // A service that newly provides the value is an authority other than the caller's
            // credential.
            meaning => Verdict::of(
                was.is_within(&is, &admitted.1, (meaning, true)),
                is.is_within(&was, &admitted.0, (meaning, false)),
            ),
        };
        let subject = subject(name);
        let shown = match (was.shown(), is.shown()) {
            (before, after) if before == after => {
                (was.shown_with_sources(), is.shown_with_sources())
            }
            shown => shown,
        };
        super::one(
            "identity",
            verdict,
            "identity-field-changed",
            &subject,
            shown,
        )
    });
    differences.chain(parameters(old, new)).collect()
}

/// Compares the query parameters that the rewrites of the two versions change. Returns at most one
/// difference per parameter.
fn parameters(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (rewritten(old), rewritten(new));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differences = names.into_iter().flat_map(|name| {
        let got = |side: &BTreeMap<String, ReceivedField>, access: &Access<'_>| {
            let known = side.get(name).cloned();
            known.unwrap_or_else(|| not_rewritten(access, name))
        };
        let (was, is) = (got(&was, old), got(&is, new));
        let is_read = |place: &Place| matches!(place, Place::Query(own) if own == name);
        let mut sides = [old, new].into_iter();
        let is_required = sides.all(|access| requires_at(access, is_read));
        let meaning = match Meaning::of(name, [&was, &is], is_required) {
            // A name that is harmless for a field says nothing about a query parameter.
            Meaning::Harmless => Meaning::Unknown,
            meaning => meaning,
        };
        // No authority asserts these values, because rewrites write no properties of callers.
        let nobody = BTreeSet::new();
        let verdict = Verdict::of(
            was.is_within(&is, &nobody, (meaning, false)),
            is.is_within(&was, &nobody, (meaning, false)),
        );
        super::one(
            "identity",
            verdict,
            "identity-field-changed",
            &format!("query parameter {name}"),
            (was.shown(), is.shown()),
        )
    });
    differences.collect()
}

/// Query parameters that the `rewrite` policies of a chain and the operation's own rewrite change,
/// by name.
fn rewritten(access: &Access<'_>) -> BTreeMap<String, ReceivedField> {
    let policies = access.policies("rewrite").into_iter();
    let policies = policies.map(|(_, settings)| settings);
    let routes = access.route.into_iter();
    let own = routes.flat_map(|route| route.treatment.forwarding.steps());
    let own = own.filter(|(key, _)| *key == "rewrite");
    let mut parameters = Fields {
        by_name: BTreeMap::new(),
        trusts: false,
        is_removed: false,
    };
    for settings in policies.chain(own.map(|(_, checked)| checked.settings())) {
        let removed = settings.texts(&["query", "remove"]).unwrap_or_default();
        let names = written(&settings, "query").into_iter();
        for name in names.map(|(_, name, _)| name).chain(removed) {
            let entry = parameters.by_name.entry(name.to_owned());
            entry.or_insert_with(|| not_rewritten(access, name));
        }
        parameters.edit(&settings, "query");
    }
    parameters.by_name
}

/// Query parameter without any rewrite. The upstream does not receive it if the gateway strips it
/// as a credential, or if its description has `forward: false`.
fn not_rewritten(access: &Access<'_>, name: &str) -> ReceivedField {
    let is_it = |place: &Place| matches!(place, Place::Query(own) if own == name);
    let is_removed = access.route.is_some_and(|route| {
        let mut places = route.treatment.forwarding.not_forwarded.iter();
        let schemes = || route.api.schemes.iter().filter(|one| is_it(&one.place));
        let is_credential = schemes().next().is_some();
        places.any(is_it) || is_credential && schemes().all(|one| one.strip_credential)
    });
    ReceivedField {
        client: !is_removed,
        values: BTreeSet::new(),
    }
}

/// Subject of a difference in a request field.
pub(super) fn subject(name: &str) -> String {
    format!("request header {}", name.to_ascii_lowercase())
}

/// True if both sides require a credential at the same place, and its schemes write different
/// properties of the caller to the field.
fn passes_otherwise(old: &Access<'_>, new: &Access<'_>, name: &str) -> bool {
    let passed = |scheme: &ir::Scheme| {
        let claims = scheme.passes.claims.iter();
        let claims = claims.filter(|(_, field)| field.eq_ignore_ascii_case(name));
        let claims: BTreeSet<String> = claims.map(|(claim, _)| claim.clone()).collect();
        let forward_as = scheme.passes.forward_as.as_deref();
        (
            forward_as.is_some_and(|field| field.eq_ignore_ascii_case(name)),
            claims,
        )
    };
    let was = required_schemes(old);
    required_schemes(new).iter().any(|is| {
        let mut before = was.iter().filter(|was| was.place == is.place);
        before.any(|was| passed(was) != passed(is))
    })
}

/// Security schemes that a route requires.
fn required_schemes<'a>(access: &Access<'a>) -> Vec<&'a ir::Scheme> {
    let Some(route) = access.route else {
        return Vec::new();
    };
    let uses = route.treatment.security.uses();
    uses.filter_map(|wanted| route.api.schemes.get(&wanted.scheme))
        .collect()
}

/// True if a security scheme that the route requires reads its credential from this field.
fn requires(access: &Access<'_>, name: &str) -> bool {
    requires_at(access, |place| match place {
        Place::Header(field) => field.eq_ignore_ascii_case(name),
        Place::Authorization(_) => name == "authorization",
        Place::Cookie(_) | Place::Query(_) | Place::Certificate => false,
    })
}

/// True if a security scheme that the route requires reads its credential from such a place.
fn requires_at(access: &Access<'_>, is_read: impl Fn(&Place) -> bool) -> bool {
    let is_optional = |route: &Route<'_>| route.treatment.security.admits_anyone();
    let mut schemes = required_schemes(access).into_iter();
    !access.route.as_ref().is_some_and(is_optional) && schemes.any(|one| is_read(&one.place))
}

/// Authorities of the credentials that a route requires.
fn admitted(access: &Access<'_>) -> BTreeSet<String> {
    let Some(route) = access.route else {
        return BTreeSet::new();
    };
    let wanted = route.treatment.security.0.iter();
    let wanted = wanted.flat_map(|alternative| &alternative.0);
    let schemes = wanted.filter_map(|wanted| route.api.schemes.get(&wanted.scheme));
    schemes
        .flat_map(|scheme| authorities(route, scheme))
        .collect()
}

/// Authorities that assert the properties of callers with a security scheme's credential: each
/// issuer, endpoint or key of its verifier. For other verifiers: the verifier's kind. The result
/// contains no names and no other settings of the verifier, so that a change of these cannot hide
/// another authority.
fn authorities(route: Route<'_>, scheme: &ir::Scheme) -> BTreeSet<String> {
    let checked = match &scheme.verify {
        ir::Verify::Auth(name) => route.gateway.shared.auth.get(name).map(|one| &one.checked),
        ir::Verify::Upstream => None,
    };
    let Some(checked) = checked else {
        return ["anyone".to_owned()].into();
    };
    if let auth::Checked::Mtls(mtls) = checked {
        return [certified(route, mtls)].into();
    }
    let settings = checked.settings();
    let keys = match checked.kind() {
        "introspection" => ["url", "issuer"],
        _ => ["issuer", "jwks_url"],
    };
    let mut written = keys.iter().filter_map(|key| settings.texts(&[*key]));
    let written: BTreeSet<String> = match written.next() {
        Some(values) => values.into_iter().map(str::to_owned).collect(),
        None => match checked {
            auth::Checked::Jwt(jwt) => jwt.signings().iter().map(token::describe).collect(),
            _ => BTreeSet::new(),
        },
    };
    match written.is_empty() {
        true => [checked.kind().to_owned()].into(),
        false => written,
    }
}

/// Authority that asserts the names in client certificates: the certificate authorities of the
/// listener, or the proxies that the listener trusts. Includes the names that the verifier accepts.
fn certified(route: Route<'_>, verifier: &mtls::Checked) -> String {
    let listener = route.gateway.shared.listeners.get(route.listener);
    let by = match verifier.source() {
        mtls::Source::Connection => {
            let tls = listener.and_then(ir::Listener::tls);
            let client_auth = tls.and_then(|tls| tls.client_auth.as_ref());
            client_auth.map(|client_auth| Scalar::Secret(client_auth.ca.clone()).to_string())
        }
        mtls::Source::Field => {
            let proxies = listener.map(|one| one.trusted_proxies.iter());
            let proxies = proxies.map(|all| all.map(ToString::to_string));
            proxies.map(|all| format!("proxies {}", all.collect::<Vec<_>>().join(" ")))
        }
    };
    let names = verifier.settings();
    let names = names.iter();
    let names = names.map(|one| format!(" {} {}", one.path.join("."), value_text(&one.value)));
    format!(
        "mtls {}{}",
        by.unwrap_or_default(),
        names.collect::<String>()
    )
}

/// Text that identifies the service of a `forward_auth` policy: its path and its upstream. If the
/// other side has no upstream with that name, the text contains the upstream's hosts instead of its
/// name.
fn service(access: &Access<'_>, other: &Access<'_>, settings: &Settings) -> String {
    let text = |key: &str| settings.text(&[key]).unwrap_or_default().to_owned();
    let named = |access: &Access<'_>, name: &str| {
        let route = access.route?;
        route.gateway.shared.upstreams.get(name).map(gateway::hosts)
    };
    let upstream = match (
        named(access, &text("upstream")),
        named(other, &text("upstream")),
    ) {
        (Some(hosts), None) => hosts.join(" "),
        _ => text("upstream"),
    };
    format!("{}{upstream}{}", text("url"), text("path"))
}

/// True for a policy that runs after the parameters with `forward: false` have been removed.
fn is_after_removals(policy: &ir::Policy) -> bool {
    policy.checked.phase() >= Some(Phase::Transform)
}

/// Request fields that differ from the fields that the client sent, by name.
pub(super) struct Fields {
    by_name: BTreeMap<String, ReceivedField>,
    /// True if the listener forwards fields of trusted proxies.
    trusts: bool,
    /// True if the parameters with `forward: false` are removed.
    is_removed: bool,
}

/// True if the listener of a route has trusted proxies, and therefore forwards fields that proxies
/// set.
fn trusts(access: &Access<'_>) -> bool {
    let listener = access.route.and_then(|route| {
        let listeners = &route.gateway.shared.listeners;
        listeners.get(route.listener)
    });
    listener.is_some_and(|listener| !listener.trusted_proxies.is_empty())
}

impl Fields {
    /// Creates the fields as they are after authentication, before the policies of the chain.
    pub(super) fn authenticated(access: &Access<'_>) -> Self {
        let mut fields = Self {
            by_name: BTreeMap::new(),
            trusts: trusts(access),
            is_removed: false,
        };
        fields.authenticate(access);
        fields
    }

    /// Creates the fields as the upstream receives them.
    pub(super) fn received(access: &Access<'_>, other: &Access<'_>) -> Self {
        let mut fields = Self::authenticated(access);
        for policy in access.chain() {
            fields.reach(Some(policy), access);
            fields.apply(policy, (access, other));
        }
        fields.reach(None, access);
        fields
    }

    /// Removes the parameters with `forward: false` if `policy`, or the upstream (`None`), reads
    /// the request after their removal. Returns true if it removed them.
    pub(super) fn reach(&mut self, policy: Option<&ir::Policy>, access: &Access<'_>) -> bool {
        if self.is_removed || !policy.is_none_or(is_after_removals) {
            return false;
        }
        self.remove_parameters(access);
        self.is_removed = true;
        true
    }

    /// Applies a policy. Returns true if it can change fields.
    pub(super) fn apply(
        &mut self,
        policy: &ir::Policy,
        (access, other): (&Access<'_>, &Access<'_>),
    ) -> bool {
        match policy.checked.kind() {
            "forward_auth" => {
                let settings = policy.checked.settings();
                self.ask(&settings, &service(access, other, &settings));
                true
            }
            "headers" => {
                self.edit(&policy.checked.settings(), "request");
                true
            }
            _ => false,
        }
    }

    /// Descriptions of the changed fields, by name, with the authority or service of each value.
    pub(super) fn described(&self) -> BTreeMap<String, String> {
        let changed = self.by_name.iter();
        let changed =
            changed.filter(|(name, got)| **got != ReceivedField::untouched(name, self.trusts));
        changed
            .map(|(name, got)| (name.clone(), got.shown_with_sources()))
            .collect()
    }

    /// True if the receiver gets the client's own value of a field.
    pub(super) fn is_chosen_by_clients(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let untouched = || ReceivedField::untouched(&name, self.trusts).client;
        let known = self.by_name.get(&name);
        known.map_or_else(untouched, |field| field.client)
    }

    /// True if the receiver gets properties of the caller in this field.
    pub(super) fn is_written_by_schemes(&self, name: &str) -> bool {
        let is_of_caller = |value: &WrittenValue| matches!(value, WrittenValue::Caller(..));
        let field = self.by_name.get(name.to_ascii_lowercase().as_str());
        field.is_some_and(|field| field.values.iter().any(is_of_caller))
    }

    fn field(&mut self, name: &str) -> &mut ReceivedField {
        let entry = self.by_name.entry(name.to_owned());
        entry.or_insert_with(|| ReceivedField::untouched(name, self.trusts))
    }

    /// Applies `forward_as` and `claims_to_headers`. Removes the client's values of these fields
    /// for every scheme of the API. Also removes the identity fields that other operations write
    /// for the same upstreams. The schemes that the operation requires then write new values.
    fn authenticate(&mut self, access: &Access<'_>) {
        let Some(route) = access.route else {
            return;
        };
        for scheme in &route.api.schemes {
            for name in scheme.passes.fields() {
                self.field(name).clear();
            }
        }
        let parts = ir::IdentityParts {
            schemes: &route.api.schemes,
            policies: &route.api.policies,
            treatments: &route.api.treatments,
        };
        let shared = &route.gateway.shared;
        for name in route.identities.withheld(shared, parts, route.treatment) {
            self.field(&name).clear();
        }
        let mut written: Vec<BTreeSet<&str>> = Vec::new();
        for alternative in &route.treatment.security.0 {
            let schemes = alternative.0.iter();
            let schemes = schemes.filter_map(|wanted| route.api.schemes.get(&wanted.scheme));
            let schemes: Vec<&ir::Scheme> = schemes.collect();
            for scheme in &schemes {
                self.pass(route, scheme);
            }
            if schemes.iter().any(|one| one.verify != ir::Verify::Upstream) {
                let fields = schemes.iter().flat_map(|scheme| scheme.passes.fields());
                written.push(fields.collect());
            }
        }
        let names: BTreeSet<&str> = written.iter().flatten().copied().collect();
        for name in names {
            if written.iter().any(|fields| !fields.contains(name)) {
                self.field(name).values.insert(WrittenValue::Nothing);
            }
        }
    }

    /// Applies `forward_as` and `claims_to_headers` of a scheme that admits the caller.
    fn pass(&mut self, route: Route<'_>, scheme: &ir::Scheme) {
        if scheme.passes.is_empty() {
            return;
        }
        let by = authorities(route, scheme);
        let mut write = |name: &String, property: &str| {
            let by = by.iter().cloned();
            let values = by.map(|by| WrittenValue::Caller(property.to_owned(), by));
            self.field(name).values.extend(values);
        };
        if let Some(name) = &scheme.passes.forward_as {
            write(name, "the caller's name");
        }
        for (claim, name) in &scheme.passes.claims {
            write(name, &format!("the caller's claim `{claim}`"));
        }
    }

    /// Applies `response_headers` of a `forward_auth` policy: copies fields of the service's
    /// response.
    fn ask(&mut self, settings: &Settings, service: &str) {
        for name in settings.texts(&["response_headers"]).unwrap_or_default() {
            let field = self.field(name);
            field.clear();
            field
                .values
                .insert(WrittenValue::Answer(service.to_owned()));
        }
    }

    /// Removes header parameters with `forward: false`.
    fn remove_parameters(&mut self, access: &Access<'_>) {
        let routes = access.route.into_iter();
        let places = routes.flat_map(|route| &route.treatment.forwarding.not_forwarded);
        for place in places {
            if let Place::Header(name) = place {
                self.field(name).clear();
            }
        }
    }

    /// Applies a `headers` policy (`part`: `request`) or a rewrite (`part`: `query`).
    fn edit(&mut self, settings: &Settings, part: &str) {
        for name in settings.texts(&[part, "remove"]).unwrap_or_default() {
            self.field(name).clear();
        }
        for (is_set, name, value) in written(settings, part) {
            let field = self.field(name);
            if is_set {
                field.clear();
            }
            field.values.insert(WrittenValue::Policy(value_text(value)));
        }
    }
}

/// Names and values of the fields or parameters that a policy sets (true), then of those that it
/// adds (false).
fn written<'s>(settings: &'s Settings, part: &str) -> Vec<(bool, &'s str, &'s Value)> {
    let of = |how: &'static str| {
        let all = settings.iter();
        all.filter_map(move |one| match one.path.as_slice() {
            [above, own, name] if above == part && own == how => {
                Some((how == "set", name.as_str(), &one.value))
            }
            _ => None,
        })
    };
    of("set").chain(of("add")).collect()
}
