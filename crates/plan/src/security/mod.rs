//! The order of access (plan.md, *Security order*).
//!
//! Access to a route is a product of components, one file each. A component compares an old with a
//! new [`Access`] and reports each difference with its [`Verdict`]. [`COMPONENTS`] lists them. The
//! comparison is per cell of requests, so the two sides may be different operations.

mod answers;
mod browser;
mod claims;
mod from;
pub(super) mod gateway;
mod identity;
mod messages;
mod readings;
pub(super) mod round;
mod token;
mod transport;
mod verifier;
mod who;

use std::collections::BTreeSet;

use bundle::ir;
use policy::Addresses;
use policy::declared::Settings;
use serde_json::Value;

pub use token::AT_S;
pub(super) use transport::UNSHOWN;
pub(super) use verifier::asks_for;
pub use who::{Tokens, Verdict, Who, describe, tokens};

/// All settings that decide access to one route of one side.
#[derive(Debug)]
pub struct Access<'a> {
    who: Who,
    route: Option<Route<'a>>,
}

/// Route at one of its listeners.
#[derive(Clone, Copy, Debug)]
struct Route<'a> {
    gateway: &'a ir::Gateway,
    api: &'a ir::Api,
    treatment: &'a ir::Treatment,
    listener: &'a str,
}

/// One difference between two [`Access`]es.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Component that found the difference: `who`, `from`, …
    pub component: &'static str,
    /// Direction of the difference; never [`Verdict::Equal`].
    pub verdict: Verdict,
    /// Kebab-case id, as [`crate::Change::id`].
    pub id: &'static str,
    /// Part of the operation that changed.
    pub subject: String,
    /// Value on the old side.
    pub old: Value,
    /// Value on the new side.
    pub new: Value,
    /// Reason why no request can show it; none if one can.
    pub why_none: Option<&'static str>,
}

/// Name of a component, and its comparison of two routes.
type Component = (
    &'static str,
    fn(&Access<'_>, &Access<'_>) -> Vec<Difference>,
);

/// Components in the order of their lines.
const COMPONENTS: &[Component] = &[
    ("who", who::compare),
    ("from", from::compare),
    ("claims", claims::compare),
    ("browser", browser::cors),
    ("csrf", browser::csrf),
    ("validation", messages::validation),
    ("guards", messages::guards),
    ("identity", identity::compare),
    ("answers", answers::compare),
    ("readings", readings::compare),
    ("transport", transport::compare),
];

/// Differences in the access to a cell of requests; empty if it is equal.
#[must_use]
pub fn differences(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    // A route without an owner on one side is one difference.
    if old.route.is_none() || new.route.is_none() {
        return who::compare(old, new);
    }
    let found = COMPONENTS.iter().flat_map(|(name, compare)| {
        let mut found = compare(old, new);
        // The other components also compare policies that this version cannot run or show.
        for one in found.iter_mut().filter(|one| one.component != "who") {
            let why = old.undecidable().or_else(|| new.undecidable());
            let browser = matches!(one.component, "browser" | "csrf");
            let browser = browser.then_some("a page in a browser shows it");
            one.why_none = one.why_none.or(why).or(browser);
        }
        debug_assert!(found.iter().all(|one| one.component == *name));
        found
    });
    found.collect()
}

/// Reason why there is no witness with this policy, as [`ir::Gateway::undecidable`] names it.
pub(super) fn cannot_run(word: &str) -> &'static str {
    macro_rules! sentences {
        ($($word:literal)*) => {
            match word {
                "authorize" => "a caller with these claims, groups or scopes shows it",
                $($word => concat!("this version cannot run `", $word, "`"),)*
                _ => "this version cannot run all of it",
            }
        };
    }
    sentences! {
        "jwt" "oidc" "introspection" "mtls" "hmac_signature" "dpop"
        "forward_auth" "quota" "concurrency" "body_limit" "validate" "rewrite"
        "redirect" "mock" "cache" "compress" "retry" "circuit_breaker" "split" "mirror"
        "deprecation" "fault" "transform" "grpc_web" "grpc_json" "graphql_guard" "compose"
        "threat" "llm" "rate_limit" "tls"
    }
}

/// Returns the difference that a component found, if any.
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
    }]
}

/// Selects the id of a change: added, removed or changed.
fn comes_or_goes(
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
    /// Creates the access to a treatment of an API. `listener` is the one that receives the
    /// requests.
    #[must_use]
    pub fn of(
        gateway: &'a ir::Gateway,
        api: &'a ir::Api,
        _mount: &'a ir::Mount,
        treatment: &'a ir::Treatment,
        listener: &'a str,
    ) -> Self {
        Self {
            who: Who::of(&treatment.security, &api.schemes, &gateway.shared.auth),
            route: Some(Route {
                gateway,
                api,
                treatment,
                listener,
            }),
        }
    }

    /// Creates the access to requests that no operation owns.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            who: Who::nobody(),
            route: None,
        }
    }

    /// Returns true if anyone is admitted, also with a forged value.
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
        } = route;
        gateway
            .undecidable(api, treatment, listener)
            .map(cannot_run)
    }

    /// Addresses that the filters of the chain admit. None without a filter.
    fn filtered(&self) -> Option<Addresses> {
        let filters = self.policies("ip_filter");
        (!filters.is_empty()).then(|| from::addresses(&filters))
    }

    /// The addresses that may call: all, or those that the filters of the chain let through.
    pub(super) fn addresses(&self) -> Addresses {
        self.filtered().unwrap_or_else(Addresses::all)
    }

    /// Policies of one kind, by name, in the order of the chain.
    fn policies(&self, kind: &str) -> Vec<(&'a str, Settings)> {
        let Some(route) = self.route else {
            return Vec::new();
        };
        let policies = route.treatment.chain.iter().filter_map(|link| match link {
            ir::Link::Authenticate => None,
            ir::Link::Shared(name) => route.gateway.shared.policies.get(name),
            ir::Link::Own(name) => route.api.policies.get(name),
        });
        policies
            .filter(|policy| policy.checked.kind() == kind)
            .map(|policy| (policy.name.as_str(), policy.checked.settings()))
            .collect()
    }

    /// Verifiers of the requirement, for display.
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
                ir::Verify::Upstream | ir::Verify::Inline(_) => None,
            })
            .collect();
        let named = names.into_iter().filter_map(|name| {
            let checked = &route.gateway.shared.auth.get(name)?.checked;
            let settings = checked.settings();
            let settings = settings
                .iter()
                .map(|one| format!(" {}: {}", one.path.join("."), verifier::told(&one.value)));
            Some(format!(
                "{name} {}{}",
                checked.kind(),
                settings.collect::<String>()
            ))
        });
        named.collect::<Vec<_>>().join("; ")
    }

    /// Returns true if nobody is admitted.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.route.is_none()
    }

    /// Required credentials.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.who
    }
}
