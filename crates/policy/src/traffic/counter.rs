//! Counter of a limit: in this process, or in a store that a fleet shares.

use std::sync::Arc;

use http::HeaderName;

use crate::ask::{Answer, AskId, Effect};
use crate::cx::{Charge, Cx, LoggedRefusal, RateNotice};
use crate::head::RequestHead;
use crate::key::Reader;
use crate::no_value::NoValue;
use crate::rate::{Admission, RateTable, Tokens};
use crate::state::StateId;
use crate::step::{Reject, Step};
use crate::store::{Count, LocalCounter, OnOutage, Store, StoreOutage, UNAVAILABLE};
use crate::traffic::cost;

/// Counter of a limit.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) state: StateId,
    pub(super) key: Reader,
    /// Store of the counter. `None`: the counter is in this process.
    pub(super) store: Option<Arc<Store>>,
    /// Time in milliseconds for which the gateway leases tokens from the store in advance. `None`:
    /// each request calls the store.
    pub(super) lease_ms: Option<u64>,
    /// Cost of a request in tokens.
    pub(super) cost: cost::Filter,
    /// True if the counter is in the tables for quotas, false if it is in those for rate limits.
    pub(super) quota: bool,
}

/// Result of counting a request against a limit.
pub(super) enum CountResult {
    /// The request was counted. The first field contains the decision of the limit.
    Counted(Admission, ChargeRecord),
    /// The store does not answer. The request is admitted without being counted.
    Uncounted,
    /// The store does not answer, and the policy refuses requests in this case.
    Refused(&'static Reject),
    /// The cost of the request cannot be computed, so that it is not counted.
    NoCost(NoValue),
    /// The request is not counted yet, because the store has not answered. The filter returns this
    /// step and runs again with the answer.
    Ask(Step),
}

/// Limit that has counted a request: its refusal, and the data of response fields.
pub(super) struct Limit<'a> {
    /// Name of the policy.
    pub(super) policy: &'a str,
    /// Quota and period of the limit.
    pub(super) tokens: Tokens,
    /// Refusal of requests beyond the limit.
    pub(super) reject: &'static Reject,
    /// True if the policy only logs and counts refusals.
    pub(super) logs: bool,
    /// True if responses also have the fields `X-RateLimit-*`.
    pub(super) x_ratelimit: bool,
}

/// Result of a request to a store to count a request of a client.
enum StoreDecision {
    /// The store decided.
    Decided(Admission),
    /// The store does not answer. Contains the configured behaviour for this case.
    Unanswered(OnOutage),
}

/// Record of the tokens that were taken from a counter, for a later refund.
pub(super) enum ChargeRecord {
    Here(Charge),
    Stored(Count),
}

impl Counter {
    /// Takes the tokens of a request. `now_ns` is the time on the clock of the counter's table.
    pub(super) fn take<'a>(
        &'a self,
        tokens: Tokens,
        now_ns: u64,
        head: &mut RequestHead,
        cx: &mut Cx<'a>,
    ) -> CountResult {
        let cost = match self.cost.of(head, cx) {
            Ok(cost) => cost,
            Err(why) => return CountResult::NoCost(why),
        };
        let tables = cx.limits.tables(self.quota);
        let (anonymous, tag) = self.key.read(self.state, tables, head, cx);
        let table = tables[usize::from(anonymous)];
        let local = LocalCounter {
            quota: self.quota,
            anonymous,
            tag,
            client: anonymous.then_some(cx.client),
            now_ns,
        };
        if let Some(store) = &self.store {
            let cost = i64::try_from(cost).unwrap_or(i64::MAX);
            let count = self.count(store, tokens, (cost, local), head, cx);
            match ask(store, &count, cx) {
                Err(effect) => return CountResult::Ask(Step::Ask(effect)),
                Ok(StoreDecision::Decided(admission)) => {
                    return CountResult::Counted(admission, ChargeRecord::Stored(count));
                }
                Ok(StoreDecision::Unanswered(OnOutage::Open)) => return CountResult::Uncounted,
                Ok(StoreDecision::Unanswered(OnOutage::Closed)) => {
                    return CountResult::Refused(&UNAVAILABLE);
                }
                Ok(StoreDecision::Unanswered(OnOutage::Local)) => {}
            }
        } else if let Some(effect) = self.read_former(table, tokens, local, head, cx) {
            return CountResult::Ask(Step::Ask(effect));
        }
        if table.may_adopt_copy(tag, now_ns) {
            table.adopt_copy(local.client, self.state, tag, tokens, now_ns);
        }
        let admission = table.take_of(local.client, self.state, tag, tokens, cost, now_ns);
        let charge = Charge {
            quota: self.quota,
            anonymous,
            state: self.state,
            tag,
            tokens,
            cost,
        };
        CountResult::Counted(admission, ChargeRecord::Here(charge))
    }

    /// Names of the request fields that the key and the cost read.
    pub(super) fn fields(&self) -> Vec<HeaderName> {
        let mut fields = self.key.fields();
        fields.extend_from_slice(self.cost.fields());
        fields
    }

    /// Count of the request in a store.
    fn count(
        &self,
        store: &Arc<Store>,
        tokens: Tokens,
        (cost, local): (i64, LocalCounter),
        head: &RequestHead,
        cx: &Cx<'_>,
    ) -> Count {
        let (_, key) = self.key.digest(head, cx);
        Count {
            store: Arc::clone(store),
            state: self.state,
            key,
            tokens,
            lease_ms: self.lease_ms,
            cost,
            local,
        }
    }

    /// Question to the store in which the limit counted before its counters became local: the state
    /// of the request's counter, with which gwd raises the copy. `None` if there is no such store,
    /// if it was already asked, or if tokens of the local counter are used. Without an answer, the
    /// counter begins as the copy, or at zero.
    fn read_former(
        &self,
        table: &RateTable,
        tokens: Tokens,
        local: LocalCounter,
        head: &RequestHead,
        cx: &Cx<'_>,
    ) -> Option<Box<Effect>> {
        if !table.may_adopt_copy(local.tag, local.now_ns) {
            return None;
        }
        let former = &cx.limits.former_stores;
        let store = former.of(self.state, tokens, local.now_ns)?;
        let count = Count {
            lease_ms: None,
            ..self.count(&store, tokens, (0, local), head, cx)
        };
        let is_asked = cx.answers.get(&AskId::of_count(&count)).is_some();
        (!is_asked).then(|| Box::new(Effect::Store(Box::new(count))))
    }
}

impl CountResult {
    /// Decision of the limit about a request that was counted.
    ///
    /// # Errors
    /// The step of the filter, if the request was not counted. A policy that only logs (`logs`)
    /// does not refuse the request.
    pub(super) fn decision(
        self,
        logs: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(Admission, ChargeRecord), Step> {
        match self {
            Self::Counted(admission, charged) => Ok((admission, charged)),
            Self::Ask(step) => Err(step),
            Self::Refused(reject) if !logs => {
                cx.refund();
                Err(Step::Reject(reject))
            }
            Self::NoCost(why) if !logs => {
                cx.expression_fault = Some(why);
                cx.refund();
                Err(Step::Reject(&cost::INVALID))
            }
            Self::Uncounted | Self::Refused(_) | Self::NoCost(_) => Err(Step::Continue),
        }
    }
}

impl<'a> Limit<'a> {
    /// Step of the filter for a request that was counted. A policy that only logs records the
    /// refusal; the response gets no fields about the limit.
    pub(super) fn step(
        self,
        (admission, charged): (Admission, ChargeRecord),
        cx: &mut Cx<'a>,
    ) -> Step {
        if self.logs {
            if !admission.admitted {
                cx.noted.push(LoggedRefusal {
                    policy: self.policy,
                    reject: self.reject,
                });
            }
            return Step::Continue;
        }
        cx.rate_notice(RateNotice {
            policy: self.policy,
            tokens: self.tokens,
            remaining: admission.remaining,
            retry_after_ms: admission.wait_ticks.div_ceil(10_000),
            refused: !admission.admitted,
            has_x_fields: self.x_ratelimit,
        });
        if admission.admitted {
            charged.record(cx);
            return Step::Continue;
        }
        cx.refund();
        Step::Reject(self.reject)
    }
}

impl ChargeRecord {
    /// Records the tokens in the context, so that they can be returned if a later limit refuses the
    /// request.
    pub(super) fn record(self, cx: &mut Cx<'_>) {
        match self {
            Self::Here(charge) => cx.charged(charge),
            Self::Stored(charge) => cx.stored(charge),
        }
    }
}

/// Answer of the store about a request, from the context.
///
/// # Errors
/// [`Effect::Store`] with the request to the store, if the context has no answer yet.
fn ask<'a>(store: &'a Store, count: &Count, cx: &mut Cx<'a>) -> Result<StoreDecision, Box<Effect>> {
    match cx.answers.get(&AskId::of_count(count)) {
        None => Err(Box::new(Effect::Store(Box::new(count.clone())))),
        Some(Answer::Counted(admission)) => Ok(StoreDecision::Decided(*admission)),
        Some(_) => {
            cx.store_outage = Some(StoreOutage {
                store: &store.name,
                on_outage: store.on_outage,
            });
            Ok(StoreDecision::Unanswered(store.on_outage))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::ask::Outage;
    use crate::cx::tests::head;
    use crate::secret::{SecretCell, SecretRef};
    use crate::step::Run as _;
    use crate::store::{OUTAGE, write_outage};
    use crate::traffic::rate_limit::tests::{cx, in_store, limits, per_hour};
    use crate::{Key, traffic::rate_limit};

    fn store(on_outage: OnOutage) -> Arc<Store> {
        Arc::new(Store {
            name: "shared".into(),
            reference: SecretRef::Env("URL".into()),
            url: SecretCell::new(b"redis://:s3cret@h".to_vec()),
            prefix: "p".into(),
            on_outage,
            topology: crate::store::Topology::Single,
        })
    }

    fn limit(on_outage: OnOutage) -> rate_limit::Filter {
        in_store(per_hour("limit", 1, 5, &Key::Address), store(on_outage))
    }

    fn admission(admitted: bool) -> Answer {
        Answer::Counted(Admission {
            admitted,
            remaining: 3,
            wait_ticks: 20_000_000,
        })
    }

    #[test]
    fn store_is_queried_and_decides() {
        let shared = limits();
        let limit = limit(OnOutage::Closed);
        for admitted in [true, false] {
            let mut cx = cx(&shared, "10.0.0.1");
            cx.cost = 4;
            let Step::Ask(effect) = limit.on_request(&mut head("/"), &mut cx) else {
                panic!("no question");
            };
            let Effect::Store(count) = &*effect else {
                panic!("{effect:?}");
            };
            assert_eq!((count.cost, count.tokens.count), (4, 5));
            assert!(!format!("{effect:?}").contains("s3cret"));
            cx.answers.add(effect.id(), admission(admitted));
            let step = limit.on_request(&mut head("/"), &mut cx);
            assert_eq!(matches!(step, Step::Continue), admitted);
            let notice = cx.rate.unwrap();
            assert_eq!((notice.remaining, notice.retry_after_ms), (3, 2_000));
            assert_eq!((cx.store_outage, cx.returned.len()), (None, 0));
            // If a later limit refuses the request, the tokens are returned to the store.
            cx.refund();
            let returned: Vec<i64> = cx.returned.iter().map(|count| count.cost).collect();
            assert_eq!(returned, if admitted { vec![4] } else { vec![] });
        }
    }

    /// If a step between two limits calls another service, the tokens of the first limit stay
    /// taken, even if the second limit refuses the request.
    #[test]
    fn limits_before_a_question_keep_their_tokens() {
        let shared = limits();
        let wide = per_hour("wide", 1, 2, &Key::Address);
        let narrow = per_hour("narrow", 2, 1, &Key::Address);
        for expected in [[true, true], [true, false], [false, false]] {
            let mut cx = cx(&shared, "10.0.0.1");
            let first = matches!(wide.on_request(&mut head("/"), &mut cx), Step::Continue);
            cx.keep_tokens();
            let second =
                first && matches!(narrow.on_request(&mut head("/"), &mut cx), Step::Continue);
            assert_eq!([first, second], expected);
        }
    }

    #[test]
    fn on_outage_decides_during_an_outage() {
        for (on_outage, statuses) in [
            (OnOutage::Local, [None, None, Some(429)]),
            (OnOutage::Open, [None, None, None]),
            (OnOutage::Closed, [Some(503), Some(503), Some(503)]),
        ] {
            let shared = limits();
            let limit = limit(on_outage);
            let answered = [(); 3].map(|()| {
                let mut cx = cx(&shared, "10.0.0.1");
                cx.cost = 2;
                let Step::Ask(effect) = limit.on_request(&mut head("/"), &mut cx) else {
                    panic!("no question");
                };
                let outage = Answer::Outage(Outage::Timeout);
                cx.answers.add(effect.id(), outage);
                let step = limit.on_request(&mut head("/"), &mut cx);
                let outage = cx.store_outage.unwrap();
                assert_eq!((outage.store, outage.on_outage), ("shared", on_outage));
                let mut headers = HeaderMap::new();
                write_outage(&outage, &mut headers);
                let expected = format!("\"shared\";verdict={}", on_outage.word());
                assert_eq!(headers[OUTAGE], expected.as_str());
                match step {
                    Step::Reject(reject) => Some(reject.status),
                    _ => None,
                }
            });
            assert_eq!(answered, statuses, "{on_outage:?}");
        }
    }

    #[test]
    fn keys_of_a_store_differ_by_kind_and_value() {
        let name = |key: Key, client: &str, target: &str| {
            let shared = limits();
            let mut cx = cx(&shared, client);
            let limit = in_store(per_hour("limit", 1, 5, &key), store(OnOutage::Open));
            match limit.on_request(&mut head(target), &mut cx) {
                Step::Ask(effect) => match &*effect {
                    Effect::Store(count) => count.name(),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        };
        let tenant = || Key::Query("tenant".into());
        let names = [
            name(Key::Address, "10.0.0.1", "/"),
            name(Key::Address, "10.0.0.2", "/"),
            name(tenant(), "10.0.0.1", "/?tenant=a"),
            name(tenant(), "10.0.0.1", "/?tenant=b"),
            name(
                Key::All(vec![Key::Address, tenant()]),
                "10.0.0.1",
                "/?tenant=a",
            ),
            name(Key::Route, "10.0.0.1", "/"),
        ];
        for (at, one) in names.iter().enumerate() {
            assert!(!names[..at].contains(one), "{names:?}");
            assert!(one.starts_with("p:{0000000000000001:"), "{one}");
        }
        // Without the property, the client's address is the key. An IPv6 address counts as its
        // network.
        assert_eq!(name(tenant(), "10.0.0.1", "/"), names[0]);
        let network = name(Key::Address, "2001:db8:1:2::1", "/");
        assert_eq!(name(Key::Address, "2001:db8:1:2::2", "/"), network);
    }
}
