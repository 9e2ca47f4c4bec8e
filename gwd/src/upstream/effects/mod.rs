//! Effects: requests and computations that a step of the policy chain needs before it can decide.
//!
//! The chain stops at the step that needs an answer. gwd performs the effect here, stores the
//! answer in the context, and continues the chain with the same step. Requests whose chain needs no
//! answer never run this code.

mod http;
mod joined;
mod keys;
mod passwords;
mod store;

use std::rc::Rc;

use ::http::HeaderValue;
use engine::{Decided, Snapshot, Verdict, resume};
use policy::ask::Effect;
use policy::{Cx, RequestHead};

use crate::proxy::stream::Stream;
use crate::worker::View;

pub(crate) use joined::Joined;
pub(crate) use keys::refresh as refresh_keys;
pub(crate) use passwords::Passwords;

/// Request whose chain needs answers.
pub(crate) struct Asking<'a> {
    pub(crate) stream: &'a Rc<Stream>,
    pub(crate) view: &'a View,
    /// Host of the request as the client wrote it.
    pub(crate) authority: &'a HeaderValue,
}

/// Performs the effects that a request's chain needs, until the chain has decided.
pub(crate) async fn answer<'s>(
    asking: Asking<'_>,
    snapshot: &'s Snapshot,
    mut decided: Decided<'s>,
    head: &mut RequestHead,
    cx: &mut Cx<'s>,
) -> Decided<'s> {
    let clock = asking.stream.worker.shared.clock;
    while let Verdict::Ask(effect) = &decided.verdict {
        let route_ms = decided.route.map_or(0, |route| route.treatment.timeout_ms);
        let answer = match &**effect {
            Effect::Http(call) => {
                let until_ms = clock.now_ms() + call.timeout_ms.min(route_ms);
                http::ask(&asking, call, cx.client, until_ms).await
            }
            Effect::Keys(cell) => {
                let until_ms = clock.now_ms() + keys::TIMEOUT_MS.min(route_ms);
                let ends = asking.stream.ends(cx.client);
                keys::ask(&asking, cell, ends, until_ms).await
            }
            Effect::Password(check) => {
                let until_ms = clock.now_ms() + passwords::TIMEOUT_MS.min(route_ms);
                passwords::ask(&asking, check, cx.client, until_ms).await
            }
            Effect::Store(count) => store::ask(&asking, count).await,
        };
        cx.answers.add(effect.id(), answer);
        cx.now_ns = clock.now_ns();
        decided = resume(snapshot, decided, head, cx);
    }
    let shared = &asking.stream.worker.shared;
    for count in std::mem::take(&mut cx.returned) {
        let client = shared.stores.client(&count.store, clock.now_ms());
        client.give_back(&count);
    }
    decided
}
