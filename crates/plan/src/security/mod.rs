//! Comparison of access (plan.md, *Security order*).
//!
//! Access to a route has several aspects (components), each in its own file. The file compares an
//! old [`Access`] with a new one and reports each difference with its [`Verdict`]. [`COMPONENTS`]
//! lists all components. Each comparison is about one set of requests (cell), which two different
//! operations may handle on the two sides.

mod answers;
mod beside;
mod browser;
mod certificate;
mod claims;
mod covers;
mod credentials;
mod field_names;
mod from;
pub(super) mod gateway;
pub(super) mod handling;
mod identity;
mod inputs;
mod messages;
mod passed;
mod principals;
mod readings;
mod reads;
mod removals;
pub(super) mod schemas;
mod selection;
mod signature;
mod spelling;
mod token;
mod transport;
mod verifier;
mod who;

use std::cell::LazyCell;
use std::collections::BTreeSet;

use bundle::ir;
use policy::Addresses;
use policy::declared::{Scalar, Settings};
use serde_json::Value;

use crate::received_hosts::{Sender, newly_chosen};
use crate::{Class, Section};

pub(crate) use answers::{executed, is_sending};
pub(super) use beside::is_access_setting;
pub use certificate::of_token as certificate_of;
pub(crate) use certificate::{location, source as certificate_source};
pub(crate) use field_names::is_credential;
pub use token::{AT_S, proof_of};
pub(super) use transport::UNSHOWN;
pub use who::{Tokens, Verdict, Who, describe, tokens};

/// Value in JSON for the access to requests that are not served. Text output shows `not served`.
pub(crate) const NOT_SERVED: &str = "nobody";

/// All settings that decide on access to one route on one side.
#[derive(Debug)]
pub struct Access<'a> {
    who: Who,
    route: Option<Route<'a>>,
    /// Route whose policies refuse every request (`respond` with an error status). Then `route` is
    /// `None`.
    refusing: Option<Route<'a>>,
    /// True if clients may send other requests to the two compared routes. Conditions that read the
    /// path, host or method of requests are then compared with these values.
    compares_requests: bool,
}

/// Route at one listener.
#[derive(Clone, Copy, Debug)]
struct Route<'a> {
    gateway: &'a ir::Gateway,
    api: &'a ir::Api,
    mount: &'a ir::Mount,
    operation: &'a ir::Operation,
    treatment: &'a ir::Treatment,
    listener: &'a str,
    /// Fields in which the gateway's upstreams receive the identity of callers.
    identities: &'a ir::IdentityFields,
}

/// Difference between two [`Access`]es.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Name of the component that found the difference: `who`, `from`, …
    pub component: &'static str,
    /// Direction of the difference. Never [`Verdict::Equal`].
    pub verdict: Verdict,
    /// Kebab-case id, as [`crate::Change::id`].
    pub id: &'static str,
    /// Part of the operation that changed.
    pub subject: String,
    /// Value on the old side.
    pub old: Value,
    /// Value on the new side.
    pub new: Value,
    /// Reason why no request can show the difference. `None` if a request can show the difference.
    pub why_none: Option<&'static str>,
    /// Digest of the definitions to which both values refer by name. Part of the fingerprint, never
    /// shown.
    pub bound: String,
    /// Class of a difference in a limit or a destination. `None`: the class follows from `verdict`.
    pub class: Option<Class>,
}

impl Difference {
    /// Class and id of the line about this difference. `None` if there is no difference. `opened`:
    /// `None` if the old side admitted any caller, otherwise true if the new side admits all
    /// callers.
    pub(crate) fn class_and_id(&self, opened: Option<bool>) -> Option<(Class, &'static str)> {
        let (class, id) = match (self.verdict, opened) {
            (Verdict::Equal, _) => return None,
            (Verdict::Weaken, Some(false)) => (Class::Expose, "operation-exposed"),
            (Verdict::Weaken, Some(true)) => (Class::Weaken, "operation-exposed"),
            (Verdict::Weaken, None) => (Class::Weaken, self.id),
            (Verdict::Strengthen, _) => (Class::Strengthen, self.id),
            (Verdict::Incomparable, _) => (Class::Incomparable, self.id),
        };
        Some((self.class.unwrap_or(class), id))
    }

    /// Section of the line about this difference.
    pub(crate) fn section(&self) -> Section {
        match self.class {
            Some(_) => Section::Policy,
            None => Section::Security,
        }
    }
}

/// Aspect of access that a plan compares (callers, validation, transport, …): its name, and the
/// function that compares it between two routes.
type Component = (
    &'static str,
    fn(&Access<'_>, &Access<'_>) -> Vec<Difference>,
);

/// Components, in the order of their lines in a plan.
const COMPONENTS: &[Component] = &[
    ("who", who::compare),
    ("from", from::compare),
    ("claims", claims::compare),
    ("browser", browser::cors),
    ("csrf", browser::csrf),
    ("validation", messages::validation),
    ("validation", messages::undeclared),
    ("guards", messages::guards),
    ("identity", identity::compare),
    ("identity", passed::compare),
    ("identity", credentials::compare),
    ("inputs", inputs::compare),
    ("answers", answers::compare),
    ("readings", readings::compare),
    ("host", received_host),
    ("transport", transport::compare),
];

/// Differences in the access to a set of requests (cell). Empty if access is equal.
#[must_use]
pub fn differences(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    // If no operation serves the requests on one side, compare only which callers are admitted.
    if old.route.is_none() || new.route.is_none() {
        let mut found = who::compare(old, new);
        found.extend(differences_of_refusals(old, new));
        return found;
    }
    // There can be thousands of differences, for example one for each field.
    let undecidable = LazyCell::new(|| old.undecidable().or_else(|| new.undecidable()));
    let services = LazyCell::new(|| [old, new].map(Access::services).join(" "));
    let found = COMPONENTS.iter().flat_map(|(name, compare)| {
        let mut found = compare(old, new);
        // The other components also compare policies that gwc cannot run. Witnesses of such
        // differences may be impossible.
        for one in found.iter_mut().filter(|one| one.component != "who") {
            let browser = matches!(one.component, "browser" | "csrf");
            let browser = browser.then_some("only a page in a browser would show the change");
            one.why_none = one.why_none.or(*undecidable).or(browser);
            // Authorization services decide about callers and their fields. An acknowledgement must
            // not cover changed definitions of the services' upstreams.
            if matches!(one.component, "claims" | "identity") {
                one.bound.push_str(&services);
            }
        }
        debug_assert!(found.iter().all(|one| one.component == *name));
        found
    });
    found.collect()
}

/// Reason for a missing witness of a `Host` that clients choose.
const VIRTUAL_HOSTS: &str = "no example: gwc cannot know the virtual hosts of the server";

/// Compares the `Host` that servers receive. Reports servers whose virtual host clients newly
/// choose.
fn received_host(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let senders = [old, new].map(|access| {
        let route = access.route?;
        Some(Sender {
            gateway: route.gateway,
            treatment: route.treatment,
            policies: access.chain().map(|policy| &policy.checked).collect(),
        })
    });
    let [Some(was), Some(is)] = &senders else {
        return Vec::new();
    };
    let lines = newly_chosen(was, is)
        .into_iter()
        .flat_map(|(server, fixed)| {
            let values = (fixed, "preserve".to_owned());
            let subject = format!("Host at {server}");
            one(
                "host",
                Verdict::Weaken,
                "host-header-changed",
                &subject,
                values,
            )
        });
    let mut lines: Vec<Difference> = lines.collect();
    for line in &mut lines {
        line.why_none = Some(VIRTUAL_HOSTS);
    }
    lines
}

/// Differences in the responses of a route that refuses every request: their fields, and the
/// origins whose pages may read the responses. Browsers also execute and store the content of a
/// refusal. On the old side, another operation or no operation may have served the requests.
fn differences_of_refusals(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    if new.refusing.is_none() {
        return Vec::new();
    }
    let [was, is] = [old, new].map(|access| Access {
        who: Who::none(),
        route: access.refusing.or(access.route),
        refusing: None,
        compares_requests: access.compares_requests,
    });
    let mut found = answers::compare(&was, &is);
    found.extend(browser::cors(&was, &is));
    for one in &mut found {
        one.why_none = Some("the new version refuses the request; only the response differs");
    }
    found
}

/// Differences in the callers that two routes admit: credentials, client addresses and claims.
pub(super) fn differences_of_callers(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let all = [who::compare, from::compare, claims::compare];
    all.iter().flat_map(|compare| compare(old, new)).collect()
}

/// Differences in the checks of requests that do not depend on the caller: validation, and policies
/// that check content.
pub(super) fn differences_of_checks(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let all = [messages::validation, messages::undeclared, messages::guards];
    all.iter().flat_map(|compare| compare(old, new)).collect()
}

/// Reason for a missing witness, by the result of [`ir::Gateway::undecidable`].
pub(super) fn cannot_run(word: &str) -> &'static str {
    macro_rules! sentences {
        ($($word:literal)*) => {
            match word {
                "tls" => "only a client with a certificate would show the change",
                $($word => concat!("this version cannot run `", $word, "`"),)*
                _ => "gwc cannot run every policy of this operation",
            }
        };
    }
    if let Some(reason) = policy::unknown_decision(word) {
        return reason;
    }
    sentences! {
        "jwt" "oidc" "introspection" "mtls" "hmac_signature" "dpop"
        "concurrency" "body_limit" "validate" "rewrite"
        "redirect" "mock" "cache" "compress" "retry" "circuit_breaker" "split" "mirror"
        "deprecation" "fault" "transform" "grpc_web" "grpc_json" "graphql_guard" "compose"
        "llm" "rate_limit"
    }
}

/// Returns a list with one difference, or an empty list if the verdict is [`Verdict::Equal`].
fn one(
    component: &'static str,
    verdict: Verdict,
    id: &'static str,
    subject: &str,
    (old, new): (String, String),
) -> Vec<Difference> {
    if verdict == Verdict::Equal {
        return Vec::new();
    }
    vec![Difference {
        component,
        verdict,
        id,
        subject: subject.to_owned(),
        old: old.into(),
        new: new.into(),
        why_none: None,
        bound: String::new(),
        class: None,
    }]
}

/// Verifiers that check a credential of a scheme: its own verifier, then the token verifier to
/// which that verifier refers (`dpop`).
pub(crate) fn verifiers_of<'a>(
    shared: &'a ir::Shared,
    scheme: &ir::Scheme,
) -> impl Iterator<Item = &'a ir::Verifier> + use<'a> {
    let own = match &scheme.verify {
        ir::Verify::Auth(name) => shared.auth.get(name),
        ir::Verify::Upstream => None,
    };
    let token = own.and_then(|own| shared.auth.get(own.checked.token_verifier()?));
    own.into_iter().chain(token)
}

/// Digest of the definitions of all upstreams to which policies send requests or copies.
pub(crate) fn servers<'p>(
    shared: &ir::Shared,
    policies: impl Iterator<Item = &'p policy::Checked>,
) -> String {
    let names: BTreeSet<&str> = policies.flat_map(policy::Checked::upstreams).collect();
    defined(shared, names)
}

/// Digest of the definitions of upstreams. Empty without any upstream.
pub(crate) fn defined<'n>(shared: &ir::Shared, names: impl IntoIterator<Item = &'n str>) -> String {
    let upstreams = names
        .into_iter()
        .filter_map(|name| shared.upstreams.get(name));
    let bytes: Vec<u8> = upstreams.flat_map(bundle::codec::encode).collect();
    match bytes.is_empty() {
        true => String::new(),
        false => bundle::digest::Digest::of(&bytes).hex(),
    }
}

/// True if an expression in the chain of a treatment may read the name of the operation or mount.
pub(super) fn reads_route(gateway: &ir::Gateway, api: &ir::Api, treatment: &ir::Treatment) -> bool {
    let chain = policies(gateway, api, treatment);
    let mut authorizing = chain.filter(|policy| policy.checked.kind() == "authorize");
    authorizing.any(|policy| {
        let settings = policy.checked.settings();
        let source = settings.text(&["expression"]);
        source.is_some_and(|source| source.contains("route"))
    })
}

/// True if a policy of a treatment may decide about callers by the path, host or method of
/// requests: an expression, or another service.
pub(super) fn reads_request(
    gateway: &ir::Gateway,
    api: &ir::Api,
    treatment: &ir::Treatment,
) -> bool {
    let mut chain = policies(gateway, api, treatment);
    chain.any(|policy| match policy.checked.kind() {
        "forward_auth" | "ext_proc" => true,
        "authorize" => policy.checked.settings().has(&["expression"]),
        _ => false,
    })
}

/// Policies in the chain of a treatment, in order.
pub(super) fn policies<'a>(
    gateway: &'a ir::Gateway,
    api: &'a ir::Api,
    treatment: &'a ir::Treatment,
) -> impl Iterator<Item = &'a ir::Policy> {
    treatment.chain.iter().filter_map(move |link| match link {
        ir::Link::Authenticate => None,
        ir::Link::Shared(name) => gateway.shared.policies.get(name),
        ir::Link::Own(name) => api.policies.get(name),
    })
}

/// Selects the id of a change by the presence of the value on both sides: added, removed or
/// changed.
fn presence_id(
    (was_absent, is_absent): (bool, bool),
    [added, removed, changed]: [&'static str; 3],
) -> &'static str {
    match (was_absent, is_absent) {
        (true, false) => added,
        (false, true) => removed,
        (true, true) | (false, false) => changed,
    }
}

impl<'a> Access<'a> {
    /// Access to an operation of an API at one of its mounts, for requests at one listener.
    /// `identities` are the identity fields of the gateway's upstreams.
    #[must_use]
    pub fn of(
        gateway: &'a ir::Gateway,
        (api, mount): (&'a ir::Api, &'a ir::Mount),
        operation: &'a ir::Operation,
        listener: &'a str,
        identities: &'a ir::IdentityFields,
    ) -> Self {
        let treatment = &api.treatments[operation.treatment as usize];
        let mut chain = policies(gateway, api, treatment);
        let reads_claims = chain.any(|policy| policy.checked.kind() == "authorize");
        Self {
            who: Who::of(&treatment.security, &api.schemes, &gateway.shared.auth)
                .within_ms(treatment.timeout_ms)
                .reading_claims(reads_claims),
            route: Some(Route {
                gateway,
                api,
                mount,
                operation,
                treatment,
                listener,
                identities,
            }),
            refusing: None,
            compares_requests: false,
        }
    }

    /// Copy of this access for a comparison with a route that gets other requests of clients: a
    /// different path, host or method.
    #[must_use]
    pub(super) fn with_requests(self) -> Self {
        Self {
            compares_requests: true,
            ..self
        }
    }

    /// Access to a route whose policies refuse every request.
    #[must_use]
    pub fn refused(self) -> Self {
        Self {
            who: Who::none(),
            route: None,
            refusing: self.route,
            compares_requests: self.compares_requests,
        }
    }

    /// Access that admits no caller, for requests that no operation serves.
    #[must_use]
    pub fn none() -> Self {
        Self {
            who: Who::none(),
            route: None,
            refusing: None,
            compares_requests: false,
        }
    }

    /// True if every caller is admitted, even with a forged credential.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.who.is_open()
    }

    fn undecidable(&self) -> Option<&'static str> {
        let route = self.route?;
        let Route {
            gateway,
            api,
            treatment,
            listener,
            ..
        } = route;
        gateway
            .undecidable(api, treatment, listener)
            .map(cannot_run)
    }

    /// Timeout of the operation in milliseconds. It also limits requests of the chain to other
    /// services.
    fn deadline_ms(&self) -> u64 {
        self.route
            .map_or(u64::MAX, |route| route.treatment.timeout_ms)
    }

    /// Addresses that the filters of the chain admit. `None` without a filter.
    fn filtered(&self) -> Option<Addresses> {
        let filters = self.policies("ip_filter");
        (!filters.is_empty()).then(|| from::addresses(&filters))
    }

    /// Client addresses that the chain admits. All addresses if the chain has no filter.
    pub(super) fn addresses(&self) -> Addresses {
        self.filtered().unwrap_or_else(Addresses::all)
    }

    /// Policies of the chain in order.
    fn chain(&self) -> impl Iterator<Item = &'a ir::Policy> + use<'a> {
        let routes = self.route.into_iter();
        routes.flat_map(|route| policies(route.gateway, route.api, route.treatment))
    }

    /// Policies of one kind in the chain, with their names and settings.
    fn policies(&self, kind: &str) -> Vec<(&'a str, Settings)> {
        let policies = self.chain().filter(|one| one.checked.kind() == kind);
        policies
            .map(|policy| (policy.name.as_str(), policy.checked.settings()))
            .collect()
    }

    /// Digest of the upstreams to which the policies of the chain send requests. Names alone would
    /// not detect changed definitions.
    fn services(&self) -> String {
        self.route.map_or_else(String::new, |route| {
            let policies = self.chain().map(|policy| &policy.checked);
            servers(&route.gateway.shared, policies)
        })
    }

    /// Names of the verifiers that the security requirement uses, for display.
    fn verifiers(&self) -> String {
        let Some(route) = self.route else {
            return String::new();
        };
        let uses = route.treatment.security.0.iter();
        let names: BTreeSet<&str> = uses
            .flat_map(|alternative| &alternative.0)
            .filter_map(|wanted| route.api.schemes.get(&wanted.scheme))
            .filter_map(|scheme| match &scheme.verify {
                ir::Verify::Auth(name) => Some(name.as_str()),
                ir::Verify::Upstream => None,
            })
            .collect();
        let named = names.into_iter().filter_map(|name| {
            let checked = &route.gateway.shared.auth.get(name)?.checked;
            let settings = checked.settings();
            let settings = settings.iter().map(|one| {
                format!(
                    " {}: {}",
                    one.path.join("."),
                    verifier::value_text(&one.value)
                )
            });
            let ends = verifier::is_ended_by(checked, route.treatment.timeout_ms);
            let ends = ends.then_some(Scalar::Duration(route.treatment.timeout_ms));
            let ends = ends.map(|timeout| format!(" within the operation's timeout: {timeout}"));
            Some(format!(
                "{name} {}{}{}",
                checked.kind(),
                settings.collect::<String>(),
                ends.unwrap_or_default()
            ))
        });
        named.collect::<Vec<_>>().join("; ")
    }

    /// True if no caller is admitted.
    #[must_use]
    pub fn is_unserved(&self) -> bool {
        self.route.is_none()
    }

    /// Set of callers that the security requirement admits.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.who
    }
}
