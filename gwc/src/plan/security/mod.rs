//! Who may do what: the order of access (plan.md, *Security order*).
//!
//! Access to a route is a product of components, one file each. A component compares an old with
//! a new [`Access`] and tells each difference with its [`Verdict`]; [`COMPONENTS`] lists them.
//! The comparison is per cell of requests: the two sides may be two operations.

mod who;

use bundle::ir;
use serde_json::Value;

pub use who::{Atom, Verdict, Who, describe};

/// Everything that decides access to one route of one side.
#[derive(Debug)]
pub struct Access<'a> {
    who: Who,
    route: Option<Route<'a>>,
}

/// A route at one of its listeners.
#[derive(Clone, Copy, Debug)]
struct Route<'a> {
    treatment: &'a ir::Treatment,
}

/// One difference between two [`Access`]es.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The component that found it: `who`, `from`, …
    pub component: &'static str,
    /// Whether more or fewer requests are let in; never [`Verdict::Equal`].
    pub verdict: Verdict,
    /// What it is, kebab-case, as [`crate::plan::Change::id`].
    pub id: &'static str,
    /// What of the operation.
    pub subject: String,
    /// Before.
    pub old: Value,
    /// After.
    pub new: Value,
    /// Why no request can show it; none where one can.
    pub why_none: Option<&'static str>,
}

/// A component: its name, and its comparison of two routes.
type Component = (
    &'static str,
    fn(&Access<'_>, &Access<'_>) -> Vec<Difference>,
);

/// The components in the order in which they are told.
const COMPONENTS: &[Component] = &[("who", who::compare)];

/// How the access to a cell of requests differs; nothing: it is equal.
#[must_use]
pub fn differences(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let found = COMPONENTS.iter().flat_map(|(name, compare)| {
        let found = compare(old, new);
        debug_assert!(found.iter().all(|one| one.component == *name));
        found
    });
    found.collect()
}

impl<'a> Access<'a> {
    /// The access to a treatment of an API. `listener` is the one at which the requests come.
    #[must_use]
    pub fn of(
        gateway: &ir::Gateway,
        api: &ir::Api,
        _mount: &ir::Mount,
        treatment: &'a ir::Treatment,
        _listener: &str,
    ) -> Self {
        Self {
            who: Who::of(&treatment.security, &api.schemes, &gateway.shared.auth),
            route: Some(Route { treatment }),
        }
    }

    /// No operation owns the requests.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            who: Who::nobody(),
            route: None,
        }
    }

    /// Whether anyone at all is let in, or anyone who forges something.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.who.is_open()
    }

    /// The credentials that are asked for.
    #[must_use]
    pub fn who(&self) -> &Who {
        &self.who
    }
}
