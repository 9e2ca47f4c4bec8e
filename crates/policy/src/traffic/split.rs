//! Traffic split: distributes requests among upstreams.
//!
//! ```yaml
//! policies:
//!   canary: {kind: split, among: [{upstream: stable, weight: 95}, {upstream: canary, weight: 5}]}
//! ```
//! Entries with `when` come first: a request that matches the conditions of such an entry goes to
//! its upstream. The other entries share the remaining requests by weight. A caller (consumer, or
//! subject of a token) always gets the same entry. Without a caller, or with `sticky: false`, the
//! request id selects the entry, so that retries with the same id go to the same upstream.

use http::{HeaderMap, HeaderName};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::{Moves, Shares};
use crate::conditions::{self, Condition};
use crate::cx::{Cx, Principal};
use crate::declared::{Scalar, Settings, Value};
use crate::draw::Draw;
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};

/// A split, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Entries in the order of the configuration.
    #[n(0)]
    shares: Vec<Share>,
    /// True (`sticky: false`) if the request id selects the entry also for known callers.
    #[n(1)]
    #[cbor(skip_if = "std::ops::Not::not")]
    per_request: bool,
}

/// Entry of a split: an upstream with its weight or its conditions.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Share {
    /// Name of the upstream.
    #[n(0)]
    pub upstream: String,
    /// Weight among the entries without conditions. 0: the entry gets no requests.
    #[n(1)]
    pub weight: u32,
    /// Conditions: a request that satisfies all of them goes to this entry, regardless of weights.
    /// `None`: the entry has a weight.
    #[n(2)]
    pub when: Option<Vec<Condition>>,
    /// True if the weight is written in the configuration, and not a default.
    #[n(3)]
    weight_written: bool,
}

/// A split at run time.
#[derive(Debug)]
pub struct Filter {
    shares: Box<[Share]>,
    draw: Draw,
    sum: u64,
    per_request: bool,
}

/// Feature that a gateway needs for splits with `sticky: false`.
const PER_REQUEST: &str = "policy:split:sticky";

/// Name of the setting that selects by caller (`true`, the default) or by request id (`false`).
const STICKY: &str = "sticky";

impl Checked {
    /// Creates a split from upstreams and weights.
    #[must_use]
    pub fn by_weight(shares: Vec<(String, u32)>) -> Self {
        let share = |(upstream, weight)| Share {
            upstream,
            weight,
            when: None,
            weight_written: true,
        };
        Self {
            shares: shares.into_iter().map(share).collect(),
            per_request: false,
        }
    }

    /// Entries in the order of the configuration.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// Settings of the entries, for the comparison in plans. The path of an entry's settings begins
    /// with its index.
    #[must_use]
    pub fn list(&self) -> Settings {
        let of_share = |(index, share): (usize, &Share)| {
            let name = Scalar::Name(share.upstream.clone());
            let mut settings = Settings::default().with(&["upstream"], Value::One(name));
            if share.weight_written {
                let weight = Scalar::Number(share.weight.into());
                settings = settings.with(&["weight"], Value::One(weight));
            }
            if let Some(when) = &share.when {
                let when = match when.is_empty() {
                    true => Settings::default().with(&[], Value::Empty),
                    false => conditions::settings(when),
                };
                settings = settings.with_below(&["when"], when);
            }
            Settings::default().with_below(&[&format!("{index:03}")], settings)
        };
        self.shares.iter().enumerate().map(of_share).collect()
    }

    fn prepared(&self, name: &str) -> Filter {
        let weights = self.shares.iter().filter(|share| share.when.is_none());
        Filter {
            shares: self.shares.as_slice().into(),
            draw: Draw::of(name),
            sum: weights.map(|share| u64::from(share.weight)).sum(),
            per_request: self.per_request,
        }
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::of_traffic(change_rows! {
        "among": Shares;
        "sticky": Moves;
    });

    const FEATURES: &'static [&'static str] = &[PER_REQUEST];

    // The split runs last, because other policies may change the request.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Route)
    }

    fn settings(&self) -> Settings {
        let settings = Settings::default().with_below(&["among"], self.list());
        match self.per_request {
            true => settings.with(&[STICKY], Value::One(Scalar::Flag(false))),
            false => settings,
        }
    }

    fn feature(&self) -> Option<&'static str> {
        self.per_request.then_some(PER_REQUEST)
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(self.prepared(setting.name)))
    }

    fn upstreams(&self) -> Vec<&str> {
        self.shares
            .iter()
            .map(|share| share.upstream.as_str())
            .collect()
    }

    fn rename_upstreams(&mut self, name: &dyn Fn(&str) -> String) {
        for share in &mut self.shares {
            share.upstream = name(&share.upstream);
        }
    }
}

impl Filter {
    /// Entries in the order of the configuration.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// True if the request id selects the entry, because of `sticky: false` or because the caller
    /// is unknown. Applies to requests that match no entry's conditions.
    #[must_use]
    pub fn is_by_request(&self, cx: &Cx<'_>) -> bool {
        self.per_request || cx.principal.as_ref().and_then(Principal::key).is_none()
    }

    /// Selects the entry for a request. `None` if no conditions match and all weights are 0.
    fn share(&self, headers: &HeaderMap, query: Option<&str>, cx: &Cx<'_>) -> Option<&Share> {
        let fits = |share: &&Share| {
            let when = share.when.as_deref();
            when.is_some_and(|when| conditions::hold(when, headers, query))
        };
        if let Some(share) = self.shares.iter().find(fits) {
            return Some(share);
        }
        let mut point = match self.per_request {
            true => self.draw.below_by_request(cx, self.sum)?,
            false => self.draw.below(cx, self.sum)?,
        };
        let weighted = self.shares.iter().filter(|share| share.when.is_none());
        for share in weighted {
            match point.checked_sub(u64::from(share.weight)) {
                None => return Some(share),
                Some(rest) => point = rest,
            }
        }
        None
    }
}

impl Run for Filter {
    fn read_fields(&self) -> Vec<HeaderName> {
        let conditions = self
            .shares
            .iter()
            .flat_map(|share| share.when.iter().flatten());
        let names = conditions.filter_map(|condition| match condition {
            Condition::Header(name, _) => HeaderName::try_from(name.as_str()).ok(),
            Condition::Query(..) => None,
        });
        names.collect()
    }

    fn depends_on_query(&self) -> bool {
        let conditions = self.shares.iter();
        let mut conditions = conditions.flat_map(|share| share.when.iter().flatten());
        conditions.any(|condition| matches!(condition, Condition::Query(..)))
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        if let Some(share) = self.share(&head.headers, head.query(), cx) {
            cx.upstream = Some(&share.upstream);
        }
        Step::Continue
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape, checks and reader of `kind: split` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use std::collections::BTreeMap;

    use diag::{Diagnostic, NodeRef, Sink, read};

    use super::{Checked, STICKY, Share};

    use crate::conditions;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        "canary: {kind: split, sticky: false, among: [{upstream: u, weight: 95}, {upstream: v, weight: 5}, {upstream: v, when: {headers: {X-Beta: {present: true}}}}]}",
    ];

    /// The keys of `kind: split`.
    pub static SHAPE: Object = Object {
        what: "shares of requests",
        fields: &[
            Field::required(
                "among",
                Shape::Several(&ENTRY),
                "Upstreams with their shares. For an unknown caller, the share is selected per request.",
            ),
            Field::optional(
                STICKY,
                Shape::Bool,
                "`true`: all requests of a consumer, or of a token's subject, go to the same entry. `false`: shares are per request. Default: `true`.",
            ),
        ],
        rules: &[Rule::Holds(check_among)],
    };

    /// Entry of a policy `split`, or of an operation's field `split`.
    pub static ENTRY: Shape = Shape::Object(&Object {
        what: "a share of the requests",
        fields: &[
            Field::required(
                "upstream",
                Shape::Name("an upstream"),
                "Upstream of the share.",
            ),
            Field::optional(
                "weight",
                Shape::Integer(0, 1_000_000),
                "Weight of the share among callers, or among requests if `sticky` is `false` or the caller is unknown. Default: 1.",
            ),
            Field::optional(
                "when",
                Shape::Object(&conditions::SHAPE),
                "Conditions; requests that meet them go to this share, whatever the weights are.",
            ),
        ],
        rules: &[],
    });

    fn check_among(node: NodeRef<'_>, sink: &mut Sink) {
        if let Some(list) = node.get("among") {
            check_list(list, sink);
        }
    }

    /// Checks the entries of a split. The entries without conditions must have different upstreams,
    /// and weights with a positive sum.
    pub fn check_list(list: NodeRef<'_>, sink: &mut Sink) {
        let mut first = BTreeMap::new();
        let mut sum = 0;
        for item in list
            .items()
            .filter(|item| item.get("when").is_none_or(NodeRef::is_null))
        {
            sum += item.get("weight").and_then(NodeRef::as_i64).unwrap_or(1);
            let Some(name) = item.get("upstream") else {
                continue;
            };
            let Some(text) = name.scalar_text() else {
                continue;
            };
            if let Some(before) = first.insert(text, name.span()) {
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        name.span(),
                        format!("`{}` has two shares", text.escape_debug()),
                    )
                    .related(before, "its other share is here")
                    .help("write one share with the sum of both weights"),
                );
            }
        }
        if sum == 0 && list.items().next().is_some() {
            sink.push(
                Diagnostic::new(&BAD_VALUE, list.span(), "no share has a weight above zero")
                    .label("requests that match no `when` would have no upstream")
                    .help("give an entry without `when` a weight above 0"),
            );
        }
    }

    /// Reads a split from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let checked = read(node.get("among")?, &mut Sink::default())?;
        Some(Checked {
            per_request: node.get(STICKY).and_then(NodeRef::as_bool) == Some(false),
            ..checked
        })
    }

    /// Reads the entries of a split from a list that fits the shape of `among` in [`SHAPE`].
    pub fn read(list: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let share = |item: NodeRef<'_>, sink: &mut Sink| {
            let written = |key: &str| item.get(key).filter(|value| !value.is_null());
            let weight = written("weight").map(|weight| read::integer(weight, 0, 1_000_000));
            let weight = weight.transpose().ok()?;
            Some(Share {
                upstream: item.get("upstream")?.scalar_text()?.to_owned(),
                weight: weight.map_or(Some(1), |weight| u32::try_from(weight).ok())?,
                when: written("when").map(|when| conditions::author::read(when, sink)),
                weight_written: weight.is_some(),
            })
        };
        let shares = list.items().map(|item| share(item, sink));
        Some(Checked {
            shares: shares.collect::<Option<_>>()?,
            per_request: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Test;
    use crate::cx::tests::{head, with_cx};

    fn share(upstream: &str, weight: u32) -> Share {
        Share {
            upstream: upstream.to_owned(),
            weight,
            when: None,
            weight_written: true,
        }
    }

    fn split(name: &str, shares: Vec<Share>) -> Filter {
        let per_request = false;
        Checked {
            shares,
            per_request,
        }
        .prepared(name)
    }

    fn goes_to(filter: &Filter, draw: u64, consumer: Option<&str>) -> String {
        with_cx(|cx| {
            cx.draw = draw;
            cx.principal = consumer.map(|consumer| Principal {
                consumer: Some(consumer),
                scheme: "key",
                claims: crate::NO_CLAIMS,
                groups: &[],
                plan: None,
                token: None,
            });
            let mut head = head("/a?beta=yes");
            assert!(matches!(filter.on_request(&mut head, cx), Step::Continue));
            cx.upstream.unwrap_or("nowhere").to_owned()
        })
    }

    #[test]
    fn requests_are_distributed_by_weight() {
        let filter = split("canary", vec![share("stable", 95), share("canary", 5)]);
        let mut canary = 0;
        for request in 0..20_000u64 {
            // Numbers as random as the request hashes of gwd.
            let draw = request.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            canary += u32::from(goes_to(&filter, draw, None) == "canary");
        }
        assert!(
            (850..1_150).contains(&canary),
            "{canary} of 20,000, not 5 %"
        );
    }

    #[test]
    fn consumer_always_gets_the_same_entry() {
        let filter = split("canary", vec![share("stable", 50), share("canary", 50)]);
        let first = goes_to(&filter, 1, Some("acme"));
        assert!((0..100).all(|draw| goes_to(&filter, draw << 57, Some("acme")) == first));
        let others = (0..100).map(|n| goes_to(&filter, 1, Some(&format!("consumer-{n}"))));
        assert!(others.filter(|one| *one == "canary").count() > 25);
    }

    #[test]
    fn shares_per_request_do_not_follow_the_caller() {
        let sticky = split("canary", vec![share("stable", 50), share("canary", 50)]);
        let filter = Filter {
            per_request: true,
            ..split("canary", sticky.shares().to_vec())
        };
        let draw = |request: u64| request.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let of = |caller| (0..2_000).map(move |request| (draw(request), caller));
        let canary =
            of(Some("acme")).filter(|(draw, caller)| goes_to(&filter, *draw, *caller) == "canary");
        let canary = canary.count();
        assert!(
            (850..1_150).contains(&canary),
            "{canary} of 2,000, not 50 %"
        );
        // Without a caller, `sticky` does not affect which share is selected.
        assert!(
            of(None).all(|(draw, _)| goes_to(&filter, draw, None) == goes_to(&sticky, draw, None))
        );
    }

    #[test]
    fn growing_canary_keeps_its_consumers() {
        let small = split("canary", vec![share("stable", 95), share("canary", 5)]);
        let large = split("canary", vec![share("stable", 80), share("canary", 20)]);
        for n in 0..500 {
            let consumer = format!("consumer-{n}");
            if goes_to(&small, 0, Some(&consumer)) == "canary" {
                assert_eq!(goes_to(&large, 0, Some(&consumer)), "canary");
            }
        }
    }

    #[test]
    fn conditions_take_precedence_over_weights() {
        let when = vec![Condition::Query("beta".into(), Test::Exact("yes".into()))];
        let beta = Share {
            when: Some(when),
            ..share("beta", 1)
        };
        let filter = split("s", vec![share("stable", 1), beta]);
        assert_eq!(goes_to(&filter, 7, None), "beta");
    }

    #[test]
    fn entry_with_weight_0_gets_no_request() {
        let filter = split(
            "s",
            vec![share("none", 0), share("all", 3), share("last", 0)],
        );
        for draw in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(goes_to(&filter, draw, None), "all");
        }
    }
}
