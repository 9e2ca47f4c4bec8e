//! Access control by client address, before all other policies.
//!
//! ```yaml
//! policies:
//!   office: {kind: ip_filter, allow: [10.0.0.0/8]}
//! ```
//! `deny` takes precedence over `allow`. With `allow`, all other addresses are refused (403
//! `ip_denied`). The address is that of the client: the peer's, or the one that a trusted proxy
//! reported.

use minicbor::{Decode, Encode};

use crate::addresses::Addresses;
use crate::cidr::Cidr;
use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::secret::SecretUnavailable;
use crate::step::{Reject, Run, Setting, Step};

/// Address filter, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Allowed ranges, sorted. None: all.
    #[n(0)]
    allow: Option<Vec<Cidr>>,
    /// Denied ranges, sorted.
    #[n(1)]
    deny: Vec<Cidr>,
}

/// Address filter at run time: the allowed addresses.
#[derive(Debug)]
pub struct Filter(Addresses);

static DENIED: Reject = Reject {
    status: 403,
    code: "ip_denied",
    title: "Not from this address",
};

impl Policy for Checked {
    type Filter = Filter;

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Address)
    }

    fn settings(&self) -> Settings {
        let set = |ranges: &[Cidr]| {
            let mut texts: Vec<Scalar> = ranges
                .iter()
                .map(|one| Scalar::Text(written(one)))
                .collect();
            texts.sort();
            match texts.is_empty() {
                true => Value::Empty,
                false => Value::Set(texts),
            }
        };
        let mut settings = Settings::default();
        if let Some(allow) = &self.allow {
            settings = settings.with(&["allow"], set(allow));
        }
        if !self.deny.is_empty() {
            settings = settings.with(&["deny"], set(&self.deny));
        }
        settings
    }

    fn filter(&self, _: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let allowed = self
            .allow
            .as_ref()
            .map_or_else(Addresses::all, Addresses::of);
        Ok(Some(Filter(allowed.without(&Addresses::of(&self.deny)))))
    }
}

impl Run for Filter {
    fn on_request<'a>(&'a self, _: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        match self.0.contains(cx.client) {
            true => Step::Continue,
            false => Step::Reject(&DENIED),
        }
    }
}

/// Formats a range; a single address without prefix length.
fn written(range: &Cidr) -> String {
    let (first, last) = range.ends();
    match first == last {
        true => first.to_string(),
        false => range.to_string(),
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: ip_filter` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink};

    use super::Checked;
    use crate::cidr::Cidr;
    use crate::forms;

    /// The keys of `kind: ip_filter`.
    pub static SHAPE: Object = Object {
        what: "a filter of addresses",
        fields: &[
            Field::optional(
                "allow",
                Shape::Several(&RANGE),
                "Ranges of addresses that may call; gwd refuses all others.",
            ),
            Field::optional(
                "deny",
                Shape::Several(&RANGE),
                "Ranges of addresses that may not call, even if `allow` lists them.",
            ),
        ],
        rules: &[Rule::AnyOf(&["allow", "deny"]), Rule::Holds(apart)],
    };

    static RANGE: Shape = Shape::Form(&forms::RANGE);

    /// Reports a range that is in both lists, which must be a mistake.
    fn apart(node: NodeRef<'_>, sink: &mut Sink) {
        let items = |key: &str| {
            node.get(key)
                .into_iter()
                .flat_map(NodeRef::items)
                .collect::<Vec<_>>()
        };
        let allowed = items("allow");
        for denied in items("deny") {
            let same = allowed
                .iter()
                .find(|allowed| allowed.scalar_text() == denied.scalar_text());
            if let Some(allowed) = same {
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        denied.span(),
                        "this range is allowed and denied",
                    )
                    .related(allowed.span(), "it is allowed here")
                    .help("`deny` wins; remove one of the two"),
                );
            }
        }
    }

    /// Reads a filter from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let ranges = |key: &str| {
            let node = node.get(key).filter(|node| !node.is_null())?;
            let texts = node.items().filter_map(NodeRef::scalar_text);
            let mut ranges: Vec<Cidr> = texts.filter_map(Cidr::parse).collect();
            ranges.sort();
            ranges.dedup();
            Some(ranges)
        };
        Some(Checked {
            allow: ranges("allow"),
            deny: ranges("deny").unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::{filter, head, with_cx};

    fn refused(allow: Option<&[&str]>, deny: &[&str], client: &str) -> bool {
        let ranges = |texts: &[&str]| {
            let ranges = texts.iter().map(|text| Cidr::parse(text).unwrap());
            ranges.collect::<Vec<Cidr>>()
        };
        let filter = filter(&Checked {
            allow: allow.map(ranges),
            deny: ranges(deny),
        });
        with_cx(|cx| {
            cx.client = client.parse().unwrap();
            matches!(filter.on_request(&mut head("/"), cx), Step::Reject(_))
        })
    }

    #[test]
    fn deny_wins_over_allow() {
        let office: Option<&[&str]> = Some(&["10.0.0.0/8", "2001:db8::/32"]);
        for (client, expected) in [
            ("10.1.2.3", false),
            ("10.9.0.1", true),
            ("::ffff:10.9.0.1", true),
            ("::ffff:10.1.2.3", false),
            ("192.0.2.1", true),
            ("2001:db8::1", false),
            ("2001:db9::1", true),
        ] {
            assert_eq!(
                refused(office, &["10.9.0.0/16"], client),
                expected,
                "{client}"
            );
        }
    }

    #[test]
    fn deny_alone_lets_all_others_through() {
        assert!(refused(None, &["192.0.2.0/24"], "192.0.2.7"));
        assert!(!refused(None, &["192.0.2.0/24"], "192.0.3.7"));
        assert!(!refused(None, &["192.0.2.0/24"], "::1"));
    }

    #[test]
    fn empty_allow_refuses_everybody() {
        assert!(refused(Some(&[]), &[], "10.0.0.1"));
    }
}
