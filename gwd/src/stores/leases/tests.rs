//! Leases with a store that is a counter in the test.

use std::sync::Arc;

use policy::store::{LocalCounter, OnOutage, Store, Topology};
use policy::{SecretCell, SecretRef};

use super::*;

const LEASE: Duration = Duration::from_secs(1);

fn count(cost: i64) -> Count {
    let store = Store {
        name: "shared".into(),
        reference: SecretRef::Env("URL".into()),
        url: SecretCell::new(Vec::new()),
        prefix: "p".into(),
        on_outage: OnOutage::Closed,
        topology: Topology::Single,
    };
    Count {
        store: Arc::new(store),
        state: StateId(1),
        key: [7; 16],
        tokens: Tokens {
            algorithm: Algorithm::Bucket,
            count: 100,
            period_ms: 1_000,
            burst: 100,
        },
        lease_ms: Some(1_000),
        cost,
        local: LocalCounter {
            quota: false,
            anonymous: false,
            tag: 7,
            client: None,
            now_ns: 0,
        },
    }
}

/// Leases of a gateway in a fleet of two. This gateway may take 50 tokens in advance.
fn leases() -> Leases {
    let leases = Leases::new();
    leases.set_gateways(2);
    leases
}

fn granted(admitted: bool, tokens: u64) -> StoreAnswer {
    StoreAnswer {
        admission: Admission {
            admitted,
            remaining: 10,
            wait_ticks: 200_000,
        },
        tokens,
        window: 0,
    }
}

/// Requests tokens from the store for a request, and the store grants them. Returns the maximum
/// number of tokens that the lease requests.
fn ask(leases: &Leases, cost: i64, now: Instant) -> u64 {
    let count = count(cost);
    let TakeResult::Ask(wanted, mut answered) = leases.take(&count, now) else {
        panic!("the lease has tokens");
    };
    let answer = granted(true, wanted.max_tokens);
    let (next, unused) = leases.complete(&CounterId::of(&count), wanted, answer, now);
    assert!(next.is_none() && unused.is_empty());
    assert!(answered.try_recv().expect("an answer").admitted);
    wanted.max_tokens
}

/// Number of requests that the lease admits without a call.
fn admitted(leases: &Leases, now: Instant) -> u64 {
    let decided = std::iter::repeat_with(|| leases.take(&count(1), now));
    let decided =
        decided.take_while(|taken| matches!(taken, TakeResult::Decided(one) if one.admitted));
    decided.fold(0, |sum, _| sum + 1)
}

#[test]
fn lease_grows_with_its_use_up_to_the_share() {
    let (leases, now) = (leases(), Instant::now());
    let mut wanted = Vec::new();
    for _ in 0..8 {
        wanted.push(ask(&leases, 1, now));
        // Count the tokens taken in advance. The last request of this count causes a call to the
        // store, which is not answered.
        let in_advance = admitted(&leases, now);
        leases.fail(&CounterId::of(&count(1)));
        assert_eq!(in_advance + 1, wanted[wanted.len() - 1]);
    }
    assert_eq!(wanted, [1, 2, 4, 8, 16, 32, 51, 51]);
}

#[test]
fn unknown_number_of_gateways_takes_nothing_ahead() {
    let (leases, now) = (Leases::new(), Instant::now());
    for _ in 0..9 {
        assert_eq!(ask(&leases, 3, now), 3);
        assert!(!matches!(
            leases.take(&count(1), now),
            TakeResult::Decided(_)
        ));
        leases.fail(&CounterId::of(&count(1)));
    }
}

#[test]
fn waiting_requests_share_one_call() {
    let (leases, now) = (leases(), Instant::now());
    let id = CounterId::of(&count(1));
    let TakeResult::Ask(wanted, mut first) = leases.take(&count(2), now) else {
        panic!("no call");
    };
    let mut joined: Vec<_> = [3, 1, 5]
        .map(|cost| match leases.take(&count(cost), now) {
            TakeResult::Joined(answered) => answered,
            _ => panic!("a second call"),
        })
        .into();
    assert_eq!(
        wanted,
        TokenRange {
            min_tokens: 2,
            max_tokens: 2
        }
    );
    let (next, _) = leases.complete(&id, wanted, granted(true, 2), now);
    assert!(first.try_recv().expect("an answer").admitted);
    let (_, wanted) = next.expect("the others wait");
    assert_eq!(
        wanted,
        TokenRange {
            min_tokens: 1,
            max_tokens: 11
        }
    );
    // The store grants only a part of the tokens: admit requests in order while the tokens are
    // sufficient.
    let (next, _) = leases.complete(&id, wanted, granted(true, 4), now);
    assert!(joined[0].try_recv().expect("an answer").admitted);
    assert!(joined[1].try_recv().expect("an answer").admitted);
    let (_, wanted) = next.expect("one waits");
    let (next, _) = leases.complete(&id, wanted, granted(false, 0), now);
    assert!(next.is_none());
    assert!(!joined[2].try_recv().expect("an answer").admitted);
}

#[test]
fn refusal_holds_for_its_time_and_cost() {
    let (leases, now) = (leases(), Instant::now());
    let id = CounterId::of(&count(1));
    let TakeResult::Ask(wanted, _answered) = leases.take(&count(4), now) else {
        panic!("no call");
    };
    leases.complete(&id, wanted, granted(false, 0), now);
    let taken = |cost, after_ms| {
        let taken = leases.take(&count(cost), now + Duration::from_millis(after_ms));
        leases.fail(&id);
        match taken {
            TakeResult::Decided(admission) => Some(admission.admitted),
            _ => None,
        }
    };
    // The bucket regains the tokens of all leases within 1 s. After a refusal, the gateway calls
    // the store again after half of this time.
    assert_eq!([taken(4, 0), taken(9, 499)], [Some(false), Some(false)]);
    assert_eq!([taken(3, 0), taken(4, 500)], [None, None]);
}

#[test]
fn unused_tokens_are_returned_once() {
    let (leases, now) = (leases(), Instant::now());
    for cost in [1, 20] {
        ask(&leases, cost, now);
    }
    assert!(leases.put_back(&count(5), now));
    assert!(leases.sweep(now).is_empty());
    let returned = |unused: Vec<Unused>| {
        let costs = unused.into_iter().map(|unused| unused.count.cost);
        costs.collect::<Vec<_>>()
    };
    let later = now + LEASE;
    assert!(matches!(leases.take(&count(1), later), TakeResult::Ask(..)));
    leases.fail(&CounterId::of(&count(1)));
    assert!(!leases.put_back(&count(5), later));
    assert_eq!(returned(leases.sweep(later)), [-6]);
    assert!(leases.sweep(later).is_empty());
    // The first call of the next lease takes as many tokens in advance as the previous lease used.
    assert_eq!(ask(&leases, 1, later), 17);
    assert_eq!(returned(leases.close()), [-16]);
    assert!(matches!(leases.take(&count(1), later), TakeResult::NoLease));
}

#[test]
fn unused_counters_leave_the_table() {
    let (leases, now) = (leases(), Instant::now());
    ask(&leases, 1, now);
    leases.sweep(now + LEASE);
    assert_eq!(leases.len(), 1);
    leases.sweep(now + 2 * LEASE);
    assert_eq!(leases.len(), 0);
}

#[test]
fn full_table_counts_exactly() {
    let (leases, now) = (leases(), Instant::now());
    for state in 0..=(LEASES_MAX / SHARDS) as u64 {
        let mut count = count(1);
        count.state = StateId(state);
        let taken = leases.take(&count, now);
        let is_full = state == (LEASES_MAX / SHARDS) as u64;
        assert_eq!(matches!(taken, TakeResult::NoLease), is_full, "{state}");
    }
}

#[test]
fn requests_that_wait_for_a_lease_are_bounded() {
    let (leases, now) = (leases(), Instant::now());
    let count = count(1);
    assert!(matches!(leases.take(&count, now), TakeResult::Ask(..)));
    for _ in 1..WAITING_MAX {
        assert!(matches!(leases.take(&count, now), TakeResult::Joined(_)));
    }
    assert!(matches!(leases.take(&count, now), TakeResult::Overflow));
}
