//! Plans: sets of limits for some consumers, or for the members of some groups.
//!
//! gwc copies each policy that `plans` of gateway.yaml name, adds the names of these plans and their
//! groups, and puts the copy into every chain with authentication. A limit without plans applies to
//! all callers.
//!
//! A consumer's own plan replaces those of groups. A caller without an own plan, with or without a
//! consumer, has the plans of all its groups.

use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::cx::{Cx, Principal};
use crate::declared::{Scalar, Settings, Value};

/// Plans with a limit, and the groups that have one of these plans. Never without plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plans {
    /// Names of the plans, sorted.
    names: Vec<String>,
    /// Names of the groups, sorted.
    groups: Vec<String>,
}

/// Encoded form of plans with groups. Plans without groups are encoded as their names.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Grouped {
    #[n(0)]
    names: Vec<String>,
    #[n(1)]
    groups: Vec<String>,
}

impl<C> Encode<C> for Plans {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        if self.groups.is_empty() {
            return self.names.encode(e, context);
        }
        let grouped = Grouped {
            names: self.names.clone(),
            groups: self.groups.clone(),
        };
        grouped.encode(e, context)
    }
}

impl<'b, C> Decode<'b, C> for Plans {
    fn decode(d: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        if d.datatype()? == Type::Array {
            return Ok(Self {
                names: Vec::decode(d, context)?,
                groups: Vec::new(),
            });
        }
        let Grouped { names, groups } = Grouped::decode(d, context)?;
        Ok(Self { names, groups })
    }
}

impl Plans {
    /// Creates a set of plans with their groups. `None` if there are no plans.
    #[must_use]
    pub fn of(mut names: Vec<String>, mut groups: Vec<String>) -> Option<Self> {
        for list in [&mut names, &mut groups] {
            list.sort();
            list.dedup();
        }
        (!names.is_empty()).then_some(Self { names, groups })
    }

    /// True if groups have one of the plans.
    pub(crate) fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// True if a limit with these plans applies to the request's caller.
    pub(crate) fn apply(plans: Option<&Self>, cx: &Cx<'_>) -> bool {
        let Some(plans) = plans else { return true };
        let caller = cx.principal.as_ref();
        caller.is_some_and(|caller| applies(&plans.names, &plans.groups, caller))
    }

    /// Adds the names of the plans and of the groups to the settings of a limit.
    pub(crate) fn setting(plans: Option<&Self>, settings: Settings) -> Settings {
        let Some(plans) = plans else { return settings };
        let set = |names: &[String]| {
            let names = names.iter().cloned().map(Scalar::Text);
            Value::Set(names.collect())
        };
        let settings = settings.with(&["plans"], set(&plans.names));
        match plans.has_groups() {
            true => settings.with(&["groups"], set(&plans.groups)),
            false => settings,
        }
    }
}

/// True if a caller has one of these plans: its own plan is one of them, or it has no own plan and
/// is in one of the groups.
pub fn applies<T: AsRef<str>>(plans: &[T], groups: &[T], caller: &Principal<'_>) -> bool {
    match caller.plan {
        Some(own) => plans.iter().any(|plan| plan.as_ref() == own),
        None => groups
            .iter()
            .any(|group| caller.is_in_group(group.as_ref())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::jwt::Identity;
    use crate::traffic::rate_limit::tests::{cx, limits};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn limit_of_plans_applies_to_their_consumers() {
        assert_eq!(Plans::of(Vec::new(), names(&["a"])), None);
        let plans = Plans::of(names(&["silver", "gold", "gold"]), Vec::new());
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

    /// The own plan of a consumer replaces those of its groups. Groups of the token count, too.
    #[test]
    fn limit_of_groups_applies_without_an_own_plan() {
        let plans = Plans::of(names(&["gold"]), names(&["partners", "trial"]));
        let of = limits();
        let claims = crate::Claims::default();
        let token = |groups: &[&str]| {
            let groups = groups.iter().map(|name| Box::from(*name));
            Arc::new(Identity {
                issuer: "i".into(),
                subject: None,
                client: None,
                consumer: None,
                key: None,
                all: Default::default(),
                bound: None,
                claims: crate::Claims::default(),
                scopes: [].into(),
                groups: groups.collect(),
                ends_s: u64::MAX,
                sha256: [0; 32],
            })
        };
        for (plan, own, in_token, expected) in [
            (None, &["partners"][..], None, true),
            (None, &["a", "trial", "z"], None, true),
            (None, &["a"], Some(&["partners"][..]), true),
            (None, &[], Some(&["trial"]), true),
            (None, &["a"], Some(&["Partners"]), false),
            (None, &["gold"], None, false),
            (Some("silver"), &["partners"], Some(&["trial"]), false),
            (Some("gold"), &[], None, true),
        ] {
            let own: Vec<Box<str>> = own.iter().map(|name| Box::from(*name)).collect();
            let mut cx = cx(&of, "192.0.2.1");
            cx.principal = Some(Principal {
                consumer: Some("acme"),
                scheme: "key",
                claims: &claims,
                groups: &own,
                plan,
                token: in_token.map(token),
            });
            let applies = Plans::apply(plans.as_ref(), &cx);
            assert_eq!(applies, expected, "{plan:?} {own:?} {in_token:?}");
        }
    }

    /// Plans without groups have the form that older gateways read.
    #[test]
    fn plans_without_groups_are_encoded_as_names() {
        for groups in [&[][..], &["partners", "trial"]] {
            let plans = Plans::of(names(&["gold", "silver"]), names(groups)).unwrap();
            let bytes = minicbor::to_vec(&plans).unwrap();
            assert_eq!(decode::<Plans>(&bytes).unwrap(), plans);
            let is_plain = bytes == minicbor::to_vec(names(&["gold", "silver"])).unwrap();
            assert_eq!(is_plain, groups.is_empty());
        }
    }
}
