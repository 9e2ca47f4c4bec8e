//! Lets only those through who have what it names; it stands beside `security`, never instead.
//!
//! ```yaml
//! policies:
//!   admins: {kind: authorize, groups: [admin], claims: {department: [sales, support]}}
//! ```
//! Every key that is written must hold; within a list one item is enough, but all `scopes`. Scopes
//! and groups are those of the token, and the groups that gateway.yaml gives to the consumer; roles
//! are the values of the claim `roles`. A claim with several values holds if one of them is listed.
//! A caller without a credential has none of them. Missing scopes are 403 `insufficient_scope`
//! (RFC 6750 §3.1), anything else is 403 `not_authorized`.

use minicbor::{Decode, Encode};

use crate::cx::{Cx, Principal};
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::reject::Reject;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};

/// Requirements on a caller as the bundle carries them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Scopes, all of them, sorted.
    #[n(0)]
    scopes: Vec<String>,
    /// Claims with the values of which one must be there, sorted.
    #[n(1)]
    claims: Vec<(String, Vec<String>)>,
    /// Groups, one of them, sorted.
    #[n(2)]
    groups: Vec<String>,
    /// Roles, one of them, sorted.
    #[n(3)]
    roles: Vec<String>,
}

/// Requirements that run.
#[derive(Debug)]
pub struct Filter {
    scopes: Box<[Box<str>]>,
    claims: Box<[OneOf]>,
    groups: Box<[Box<str>]>,
    roles: Box<[Box<str>]>,
}

/// A claim with the values of which one must be there.
type OneOf = (Box<str>, Box<[Box<str>]>);

/// Claim with the roles of a caller.
const ROLES: &str = "roles";

static INSUFFICIENT_SCOPE: Reject = Reject {
    status: 403,
    code: "insufficient_scope",
    title: "The credential has too few scopes",
};
static NOT_AUTHORIZED: Reject = Reject {
    status: 403,
    code: "not_authorized",
    title: "The caller may not do this",
};

// === impl Checked ===

impl Policy for Checked {
    type Filter = Filter;

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Authorize)
    }

    fn settings(&self) -> Settings {
        let set = |texts: &[String]| Value::Set(texts.iter().cloned().map(Scalar::Text).collect());
        let lists = [
            ("scopes", &self.scopes),
            ("groups", &self.groups),
            ("roles", &self.roles),
        ];
        let mut settings = Settings::default();
        for (key, texts) in lists {
            if !texts.is_empty() {
                settings = settings.with(&[key], set(texts));
            }
        }
        for (name, values) in &self.claims {
            settings = settings.with(&["claims", name], set(values));
        }
        settings
    }

    fn filter(&self, _: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let boxed = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        let claims = self.claims.iter();
        Ok(Some(Filter {
            scopes: boxed(&self.scopes),
            claims: claims
                .map(|(name, values)| (name.as_str().into(), boxed(values)))
                .collect(),
            groups: boxed(&self.groups),
            roles: boxed(&self.roles),
        }))
    }
}

// === impl Filter ===

impl Filter {
    /// Reason for which a caller may not pass; none if it may.
    fn fault(&self, caller: Option<&Principal<'_>>) -> Option<&'static Reject> {
        let Some(caller) = caller else {
            return Some(&NOT_AUTHORIZED);
        };
        let one_of = |claim: &str, values: &[Box<str>]| {
            values.iter().any(|value| caller.has_claim(claim, value))
        };
        let grouped =
            self.groups.is_empty() || self.groups.iter().any(|group| caller.is_in_group(group));
        let in_role = self.roles.is_empty() || one_of(ROLES, &self.roles);
        let claimed = self
            .claims
            .iter()
            .all(|(name, values)| one_of(name, values));
        match (
            caller.has_scopes(&self.scopes),
            grouped && in_role && claimed,
        ) {
            (true, true) => None,
            (_, false) => Some(&NOT_AUTHORIZED),
            (false, true) => Some(&INSUFFICIENT_SCOPE),
        }
    }
}

impl Run for Filter {
    fn on_request<'a>(&'a self, _: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        match self.fault(cx.principal.as_ref()) {
            None => Step::Continue,
            Some(reject) => {
                cx.refund();
                Step::Reject(reject)
            }
        }
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: authorize` settings.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{NodeRef, Sink};

    use super::Checked;
    use crate::forms;

    /// The keys of `kind: authorize`.
    pub static SHAPE: Object = Object {
        what: "what a caller must have",
        fields: &[
            Field::optional("scopes", WORDS, "Scopes, all of them."),
            Field::optional(
                "claims",
                Shape::Table(&Shape::Either(&[WORDS, Shape::Text])),
                "Required claims, each with its allowed values.",
            ),
            Field::optional("groups", WORDS, "Groups, one of them."),
            Field::optional("roles", WORDS, "Roles, one of them."),
            Field::later(
                "expression",
                Shape::Form(&forms::WORDS),
                "CEL expression that must be true.",
            ),
        ],
        rules: &[Rule::AnyOf(&[
            "scopes",
            "claims",
            "groups",
            "roles",
            "expression",
        ])],
    };

    const WORDS: Shape = Shape::Several(&Shape::Form(&forms::WORDS));

    /// Reads a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let texts = |node: NodeRef<'_>| {
            let texts = node.items().filter_map(NodeRef::scalar_text);
            let mut texts: Vec<String> = texts.map(str::to_owned).collect();
            texts.sort();
            texts.dedup();
            texts
        };
        let written = |key: &str| node.get(key).filter(|node| !node.is_null());
        let list = |key| written(key).map(texts).unwrap_or_default();
        let claims = written("claims").map(|claims| {
            let claims = claims.entries();
            let claims = claims.map(|(entry, values)| (entry.key.to_string(), texts(values)));
            let mut claims: Vec<(String, Vec<String>)> = claims.collect();
            claims.sort();
            claims
        });
        Some(Checked {
            scopes: list("scopes"),
            claims: claims.unwrap_or_default(),
            groups: list("groups"),
            roles: list("roles"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use crate::cx::tests::{filter, head, with_cx};

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|&text| text.to_owned()).collect()
    }

    fn checked(
        scopes: &[&str],
        claims: &[(&str, &[&str])],
        groups: &[&str],
        roles: &[&str],
    ) -> Checked {
        let claims = claims.iter();
        Checked {
            scopes: texts(scopes),
            claims: claims
                .map(|(name, values)| ((*name).to_owned(), texts(values)))
                .collect(),
            groups: texts(groups),
            roles: texts(roles),
        }
    }

    /// Refusal of a consumer with these claims and groups; the empty text where it may pass.
    fn refusal(checked: &Checked, consumer: Option<(&Claims, &[Box<str>])>) -> &'static str {
        let filter = filter(checked);
        with_cx(|cx| {
            cx.principal = consumer.map(|(claims, groups)| Principal {
                consumer: Some("acme"),
                scheme: "key",
                claims,
                groups,
                token: None,
            });
            match filter.on_request(&mut head("/"), cx) {
                Step::Continue => "",
                Step::Reject(reject) => reject.code,
                Step::Reply(_) => "reply",
            }
        })
    }

    #[test]
    fn every_key_holds_and_one_item_of_a_list() {
        let text = |text: &str| Scalar::Text(text.into());
        let claims = Settings::default()
            .with(&["department"], Value::One(text("sales")))
            .with(&["roles"], Value::Set(vec![text("editor"), text("reader")]));
        let claims = Claims::of(&claims);
        let groups: [Box<str>; 2] = ["admin".into(), "staff".into()];
        let department: &[(&str, &[&str])] = &[("department", &["sales", "support"])];
        let other: &[(&str, &[&str])] = &[("department", &["support"])];
        let both: &[(&str, &[&str])] = &[("department", &["sales"]), ("tier", &["gold"])];
        for (checked, expected) in [
            (checked(&[], department, &[], &[]), ""),
            (checked(&[], other, &[], &[]), "not_authorized"),
            (checked(&[], both, &[], &[]), "not_authorized"),
            (checked(&[], &[], &["admin", "owner"], &[]), ""),
            (checked(&[], &[], &["owner"], &[]), "not_authorized"),
            (checked(&[], &[], &[], &["editor"]), ""),
            (checked(&[], &[], &[], &["admin"]), "not_authorized"),
            (checked(&[], department, &["staff"], &["reader", "x"]), ""),
            (
                checked(&[], department, &["staff"], &["x"]),
                "not_authorized",
            ),
            (checked(&["read"], &[], &[], &[]), "insufficient_scope"),
            (checked(&["read"], other, &[], &[]), "not_authorized"),
        ] {
            let found = refusal(&checked, Some((&claims, &groups)));
            assert_eq!(found, expected, "{checked:?}");
            assert_eq!(refusal(&checked, None), "not_authorized");
        }
    }
}
