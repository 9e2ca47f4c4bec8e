//! Counter of a limit: in this process, or in a store that a fleet shares.

use std::sync::Arc;

use crate::cx::{Charge, Cx};
use crate::head::RequestHead;
use crate::key::Reader;
use crate::rate::{Admission, Tokens};
use crate::state::StateId;
use crate::step::{Reject, Step};
use crate::store::{Count, Counted, Store, UNAVAILABLE};

/// Counter of a limit.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) state: StateId,
    pub(super) key: Reader,
    /// Store of the counter. None: this process.
    pub(super) store: Option<Arc<Store>>,
    /// True for the tables of quotas.
    pub(super) quota: bool,
}

/// Result of counting a request.
pub(super) enum Taken {
    /// The limit decided.
    Counted(Admission, Charged),
    /// The store does not answer, and the request is admitted uncounted.
    Uncounted,
    /// The store does not answer, and the request is refused.
    Refused(&'static Reject),
    /// The store must be asked first.
    Ask(Step),
}

/// Place of the tokens that were taken.
pub(super) enum Charged {
    Here(Charge),
    Stored(Count),
}

impl Counter {
    /// Takes the tokens of a request at `now_ns`, the time of the counter's tables.
    pub(super) fn take<'a>(
        &'a self,
        tokens: Tokens,
        now_ns: u64,
        head: &RequestHead,
        cx: &mut Cx<'a>,
    ) -> Taken {
        if let Some(store) = &self.store {
            let count = Count {
                store: Arc::clone(store),
                state: self.state,
                key: self.key.digest(head, cx).1,
                tokens,
                cost: i64::try_from(cx.cost).unwrap_or(i64::MAX),
            };
            match store.count(&count, cx) {
                Err(effect) => return Taken::Ask(Step::Ask(effect)),
                Ok(Counted::Decided(admission)) => {
                    return Taken::Counted(admission, Charged::Stored(count));
                }
                Ok(Counted::Open) => return Taken::Uncounted,
                Ok(Counted::Closed) => return Taken::Refused(&UNAVAILABLE),
                Ok(Counted::Local) => {}
            }
        }
        let tables = cx.limits.tables(self.quota);
        let (anonymous, tag) = self.key.read(self.state, tables, head, cx);
        let table = tables[usize::from(anonymous)];
        let admission = table.take(self.state, tag, tokens, cx.cost, now_ns);
        let charge = Charge {
            quota: self.quota,
            anonymous,
            state: self.state,
            tag,
            tokens,
            cost: cx.cost,
        };
        Taken::Counted(admission, Charged::Here(charge))
    }
}

impl Charged {
    /// Records the tokens, which are returned if a later limit refuses the request.
    pub(super) fn record(self, cx: &mut Cx<'_>) {
        match self {
            Self::Here(charge) => cx.charged(charge),
            Self::Stored(count) => cx.stored(count),
        }
    }
}
