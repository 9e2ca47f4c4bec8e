//! Plans: groups of consumers to which a limit applies.
//!
//! gwc copies each policy that `plans` of gateway.yaml name, adds the names of these plans, and
//! puts the copy into every chain with authentication. A limit without plans applies to all
//! callers.

use minicbor::{Decode, Encode};

use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};

/// Names of plans, sorted. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Plans(#[n(0)] Vec<String>);

impl Plans {
    /// Creates a set of plans. `None` if there are no names.
    #[must_use]
    pub fn of(mut names: Vec<String>) -> Option<Self> {
        names.sort();
        names.dedup();
        (!names.is_empty()).then_some(Self(names))
    }

    /// True if a limit with these plans applies to the request's caller.
    pub(crate) fn apply(plans: Option<&Self>, cx: &Cx<'_>) -> bool {
        let Some(plans) = plans else { return true };
        let plan = cx.principal.as_ref().and_then(|caller| caller.plan);
        plan.is_some_and(|plan| plans.0.iter().any(|one| one == plan))
    }

    /// Adds the names to the settings of a limit.
    pub(crate) fn setting(plans: Option<&Self>, settings: Settings) -> Settings {
        let Some(plans) = plans else { return settings };
        let names = plans.0.iter().cloned().map(Scalar::Text);
        settings.with(&["plans"], Value::Set(names.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::Principal;
    use crate::traffic::rate_limit::tests::{cx, limits};

    #[test]
    fn limit_of_plans_applies_to_their_consumers() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(Plans::of(Vec::new()), None);
        let plans = Plans::of(names(&["silver", "gold", "gold"]));
        let of = limits();
        let mut cx = cx(&of, "192.0.2.1");
        let applies = |cx: &Cx<'_>| Plans::apply(plans.as_ref(), cx);
        assert!(!applies(&cx), "no caller");
        assert!(Plans::apply(None, &cx), "all callers");
        let claims = crate::Claims::default();
        for (plan, expected) in [
            (None, false),
            (Some("gold"), true),
            (Some("silver"), true),
            (Some("Gold"), false),
            (Some("bronze"), false),
        ] {
            cx.principal = Some(Principal {
                consumer: Some("acme"),
                scheme: "key",
                claims: &claims,
                groups: &[],
                plan,
                token: None,
            });
            assert_eq!(applies(&cx), expected, "{plan:?}");
        }
    }
}
