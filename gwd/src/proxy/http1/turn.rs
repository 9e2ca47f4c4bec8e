//! Fairness between the connections of a worker: a connection with many pipelined requests lets
//! other connections run between its requests.

use std::cell::Cell;

/// Maximum number of requests that a connection answers in one turn, without waiting for anything.
/// Other connections of the worker then run first. A refusal takes up to a millisecond, so that a
/// turn of 16 requests delays others by at most 16 ms. Most turns end earlier, because a request
/// waits for its upstream.
const REQUESTS_PER_TURN: u32 = 16;

/// Turn of a connection: the requests that it answers while the runtime polls its task once.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Number of requests that were answered in this turn.
    answered: Cell<u32>,
    /// True if the connection has ended its turn although it could answer more requests.
    has_ended: Cell<bool>,
}

impl Turn {
    /// Begins a turn: the connection may answer [`REQUESTS_PER_TURN`] requests again. Must be called
    /// at each poll of the task of the connection.
    pub(super) fn begin(&self) {
        self.answered.set(0);
        self.has_ended.set(false);
    }

    /// True if the connection has ended its turn although it could answer more requests.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Counts an answered request. Waits for the next turn after [`REQUESTS_PER_TURN`] requests.
    pub(super) async fn answered(&self) {
        self.answered.set(self.answered.get() + 1);
        if self.answered.get() >= REQUESTS_PER_TURN {
            self.has_ended.set(true);
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::pin::pin;
    use std::rc::Rc;

    use super::*;

    /// Answers requests like a connection, until `count` are answered. Calls `each` after each
    /// request, with the number of answered requests.
    async fn answer(count: u32, each: impl Fn(u32)) {
        let turn = Turn::default();
        let mut serving = pin!(async {
            for number in 1..=count {
                each(number);
                turn.answered().await;
            }
        });
        poll_fn(|cx| {
            turn.begin();
            let polled = serving.as_mut().poll(cx);
            assert_eq!(polled.is_pending(), turn.has_ended());
            polled
        })
        .await;
    }

    #[test]
    fn other_connection_runs_between_pipelined_requests() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        let answered = Rc::new(Cell::new(0));
        let (ours, theirs) = (Rc::clone(&answered), Rc::clone(&answered));
        let seen = local.block_on(&runtime, async move {
            let many = tokio::task::spawn_local(answer(200, move |number| ours.set(number)));
            let one = tokio::task::spawn_local(async move {
                let seen = Cell::new(0);
                answer(1, |_| seen.set(theirs.get())).await;
                seen.get()
            });
            many.await.unwrap();
            one.await.unwrap()
        });
        assert_eq!(answered.get(), 200);
        assert_eq!(seen, REQUESTS_PER_TURN);
    }

    #[test]
    fn waiting_begins_a_new_turn() {
        let turn = Turn::default();
        let mut count = 0;
        let mut serving = pin!(async {
            for number in 1..=3 * REQUESTS_PER_TURN {
                turn.answered().await;
                // Every third request waits for something else.
                if number % 3 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(poll_fn(|cx| {
            turn.begin();
            count += 1;
            let polled = serving.as_mut().poll(cx);
            assert!(!turn.has_ended());
            polled
        }));
        assert_eq!(count, 1 + REQUESTS_PER_TURN);
    }
}
