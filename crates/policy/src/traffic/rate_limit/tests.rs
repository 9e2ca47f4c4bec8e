//! Tests of the policy `rate_limit`.

use std::hash::RandomState;

use super::*;
use crate::counters::Limits;
use crate::cx::tests::head;
use crate::cx::{Principal, Revoked};
use crate::route_id::RouteId;
use crate::state::StateId;

/// Counters of a process. The tables are so large that no key uses an overflow counter.
pub(crate) fn limits() -> (Limits, Revoked) {
    (Limits::new(1_024, RandomState::new), Revoked::default())
}

/// Context of a request from the address `client`, at second 1.
pub(crate) fn cx<'a>((limits, revoked): &'a (Limits, Revoked), client: &str) -> Cx<'a> {
    Cx::new(1_000_000_000, 0, client.parse().unwrap(), limits, revoked)
}

/// Filter of a limit of `count` requests per hour, with a burst of the same size.
pub(crate) fn per_hour(name: &str, state: u64, count: u64, key: &Key) -> Filter {
    Filter {
        name: name.into(),
        tokens: Tokens {
            algorithm: rate::Algorithm::Bucket,
            count,
            period_ms: 3_600_000,
            burst: count,
        },
        counter: Counter {
            lease_ms: None,
            cost: Cost::filter(None),
            state: StateId(state),
            key: key.reader(),
            store: None,
            quota: false,
        },
        logs: false,
        plans: None,
        x_ratelimit: false,
    }
}

/// Token bucket by address.
pub(crate) fn checked(count: u64, period_ms: u64, burst: u64) -> Checked {
    Checked {
        count,
        period_ms,
        burst,
        key: Key::Address,
        algorithm: None,
        mode: None,
        store: None,
        plans: None,
        x_ratelimit: false,
        lease_ms: None,
        cost: None,
    }
}

/// Changes a filter so that its counters are in a store.
pub(crate) fn in_store(mut limit: Filter, store: std::sync::Arc<store::Store>) -> Filter {
    limit.counter.store = Some(store);
    limit
}

fn admits<'a>(limit: &'a Filter, cx: &mut Cx<'a>) -> bool {
    matches!(limit.on_request(&mut head("/"), cx), Step::Continue)
}

#[test]
fn second_limit_refusing_refunds_the_first() {
    let shared = limits();
    let (wide, narrow) = (
        per_hour("wide", 1, 2, &Key::Address),
        per_hour("narrow", 2, 1, &Key::Address),
    );
    let mut admitted = cx(&shared, "10.0.0.1");
    assert!(admits(&wide, &mut admitted) && admits(&narrow, &mut admitted));
    for _ in 0..3 {
        let mut refused = cx(&shared, "10.0.0.1");
        assert!(admits(&wide, &mut refused), "the token came back");
        assert!(!admits(&narrow, &mut refused));
    }
    let mut cx = cx(&shared, "10.0.0.1");
    assert!(admits(&wide, &mut cx));
    assert_eq!(
        cx.rate.unwrap().remaining,
        0,
        "two tokens are gone, not five"
    );
}

#[test]
fn anonymous_callers_have_a_bucket_per_address() {
    let shared = limits();
    let limit = per_hour("limit", 1, 1, &Key::Consumer);
    for (client, admitted) in [
        ("10.0.0.1", true),
        ("10.0.0.2", true),
        ("10.0.0.1", false),
        ("10.0.0.2", false),
        ("2001:db8:1:2::1", true),
        ("2001:db8:1:2::2", false),
        ("2001:db8:1:3::1", true),
    ] {
        assert_eq!(
            admits(&limit, &mut cx(&shared, client)),
            admitted,
            "{client}"
        );
    }
}

#[test]
fn consumers_have_a_bucket_each_wherever_they_are() {
    let shared = limits();
    let limit = per_hour("limit", 1, 1, &Key::Consumer);
    for (consumer, client, admitted) in [
        ("acme", "10.0.0.1", true),
        ("globex", "10.0.0.1", true),
        ("acme", "10.0.0.2", false),
        ("globex", "10.0.0.2", false),
    ] {
        let mut cx = cx(&shared, client);
        cx.principal = Some(Principal {
            consumer: Some(consumer),
            scheme: "key",
            claims: crate::NO_CLAIMS,
            groups: &[],
            plan: None,
            token: None,
        });
        assert_eq!(admits(&limit, &mut cx), admitted, "{consumer} {client}");
    }
}

#[test]
fn the_tightest_of_two_limits_is_reported() {
    for (first, second) in [(5, 2), (2, 5)] {
        let shared = limits();
        let (one, two) = (
            per_hour("one", 1, first, &Key::Address),
            per_hour("two", 2, second, &Key::Address),
        );
        let mut cx = cx(&shared, "10.0.0.1");
        assert!(admits(&one, &mut cx) && admits(&two, &mut cx));
        let notice = cx.rate.unwrap();
        let tightest = if first < second { "one" } else { "two" };
        assert_eq!((notice.policy, notice.remaining), (tightest, 1));
    }
}

#[test]
fn each_combination_of_values_has_a_counter() {
    let shared = limits();
    let key = Key::All(vec![
        Key::Route,
        Key::Cookie("sid".into()),
        Key::Query("tenant".into()),
    ]);
    let limit = per_hour("limit", 1, 1, &key);
    let routes = [RouteId::new("api/a", "m"), RouteId::new("api/b", "m")];
    for (route, target, cookie, admitted) in [
        (0, "/?tenant=x", "sid=1", true),
        (0, "/?tenant=x", "sid=1", false),
        (0, "/?tenant=%78&more", "other=2; sid=1", false),
        (1, "/?tenant=x", "sid=1", true),
        (0, "/?tenant=y", "sid=1", true),
        (0, "/?tenant=x", "sid=2", true),
        (0, "/", "sid=1", true),
        (0, "/?more", "sid=1", false),
    ] {
        let mut cx = cx(&shared, "10.0.0.1");
        cx.route = Some(&routes[route]);
        let mut head = head(target);
        head.headers.insert("cookie", cookie.parse().unwrap());
        let step = limit.on_request(&mut head, &mut cx);
        assert_eq!(
            matches!(step, Step::Continue),
            admitted,
            "{route} {target} {cookie}"
        );
    }
}

#[test]
fn log_mode_counts_and_refuses_no_request() {
    let shared = limits();
    let limit = Filter {
        logs: true,
        ..per_hour("limit", 1, 2, &Key::Address)
    };
    let noted: Vec<usize> = (0..4)
        .map(|_| {
            let mut cx = cx(&shared, "10.0.0.1");
            assert!(admits(&limit, &mut cx));
            assert_eq!(cx.rate, None, "the client gets no rate-limit fields");
            cx.noted.len()
        })
        .collect();
    assert_eq!(noted, [0, 0, 1, 1]);
}

#[test]
fn operation_takes_as_many_tokens_as_it_costs() {
    for algorithm in [rate::Algorithm::Bucket, rate::Algorithm::Window] {
        let shared = limits();
        let mut limit = per_hour("limit", 1, 10, &Key::Address);
        limit.tokens.algorithm = algorithm;
        let narrow = per_hour("narrow", 2, 7, &Key::Address);
        let mut costly = cx(&shared, "10.0.0.1");
        costly.cost = 7;
        assert!(admits(&limit, &mut costly) && admits(&narrow, &mut costly));
        assert_eq!(costly.rate.unwrap().remaining, 0);
        // The second limit refuses the request, so all three tokens return to the first limit.
        for _ in 0..3 {
            let mut refused = cx(&shared, "10.0.0.1");
            refused.cost = 3;
            assert!(admits(&limit, &mut refused), "{algorithm:?}");
            assert!(!admits(&narrow, &mut refused));
        }
    }
}

#[test]
fn fields_have_the_time_of_the_next_request() {
    let tokens = Tokens {
        algorithm: rate::Algorithm::Bucket,
        count: 5,
        period_ms: 60_000,
        burst: 5,
    };
    let notice = RateNotice {
        policy: "p",
        tokens,
        remaining: 0,
        retry_after_ms: 11_200,
        refused: true,
        has_x_fields: false,
    };
    let mut headers = HeaderMap::new();
    write_fields(&notice, &mut headers);
    assert_eq!(headers.len(), 3);
    assert_eq!(headers["ratelimit-policy"], "\"p\";q=5;w=60");
    assert_eq!(headers["ratelimit"], "\"p\";r=0;t=12");
    assert_eq!(headers["retry-after"], "12");
    let notice = RateNotice {
        has_x_fields: true,
        ..notice
    };
    write_fields(&notice, &mut headers);
    assert_eq!(headers["x-ratelimit-limit"], "5");
    assert_eq!(headers["x-ratelimit-remaining"], "0");
    assert_eq!(headers["x-ratelimit-reset"], "12");
}
