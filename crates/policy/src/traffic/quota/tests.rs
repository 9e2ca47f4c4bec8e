//! Tests of quotas: periods, windows, refunds and warnings.

use super::*;
use crate::cx::tests::head;
use crate::traffic::rate_limit::tests::{cx, limits, per_hour};

fn quota(limit: u64, span: Span, warn: &[u32]) -> Filter {
    let checked = Checked {
        limit,
        span,
        key: Key::Address,
        mode: None,
        warn: warn.to_vec(),
        x_ratelimit: false,
        store: None,
        plans: None,
        lease_ms: None,
        cost: None,
    };
    crate::cx::tests::filter(&checked)
}

fn monthly(limit: u64) -> Filter {
    let zone = Zone::new("Europe/Berlin").unwrap();
    quota(limit, Span::Calendar(Unit::Month, zone), &[])
}

fn admits<'a>(quota: &'a Filter, cx: &mut Cx<'a>) -> bool {
    matches!(quota.on_request(&mut head("/"), cx), Step::Continue)
}

/// A quota by address also counts a request for which the gateway has called a service, even if a
/// later limit refuses the request.
#[test]
fn quota_of_addresses_keeps_tokens_of_questions() {
    let quota = quota(2, Span::Calendar(Unit::Month, Zone::utc()), &[]);
    let shared = limits();
    let later = per_hour("later", 2, 1, &Key::Address);
    for expected in [[true, true], [true, false], [false, false]] {
        let mut cx = cx(&shared, "10.0.0.1");
        let first = admits(&quota, &mut cx);
        cx.keep_tokens();
        let second = first && matches!(later.on_request(&mut head("/"), &mut cx), Step::Continue);
        assert_eq!([first, second], expected);
    }
}

/// Unix time of 2026-03-31T21:59:00Z, one minute before the end of March in Berlin (summer
/// time).
const LAST_MINUTE: u64 = 1_774_994_340;

#[test]
fn month_ends_at_midnight_of_the_zone() {
    let shared = limits();
    let quota = monthly(2);
    for (unix_s, admitted, wait_s) in [
        (LAST_MINUTE, true, 60),
        (LAST_MINUTE + 10, true, 50),
        (LAST_MINUTE + 20, false, 40),
        (LAST_MINUTE + 59, false, 1),
        (LAST_MINUTE + 60, true, 30 * 86_400),
    ] {
        let mut cx = cx(&shared, "10.0.0.1");
        cx.unix_s = unix_s;
        assert_eq!(admits(&quota, &mut cx), admitted, "{unix_s}");
        let notice = cx.rate.unwrap();
        assert_eq!(notice.retry_after_ms, wait_s * 1_000, "{unix_s}");
        assert_eq!(notice.refused, !admitted);
    }
}

#[test]
fn rolling_quota_frees_as_time_passes() {
    let shared = limits();
    let quota = quota(10, Span::Rolling(86_400_000), &[]);
    let day = 20_000 * 86_400;
    let count = |unix_s: u64| {
        let takes = (0..20).filter(|_| {
            let mut cx = cx(&shared, "10.0.0.1");
            cx.unix_s = unix_s;
            admits(&quota, &mut cx)
        });
        takes.count()
    };
    assert_eq!(count(day + 86_399), 10);
    assert_eq!(count(day + 86_400), 0, "no new allowance at midnight");
    assert_eq!(count(day + 86_400 + 43_200), 5);
    // The clock is set back by five and a half days. The counts are kept.
    assert_eq!(count(day - 4 * 86_400), 0);
    assert_eq!(count(day + 4 * 86_400), 10);
}

#[test]
fn later_refusal_is_not_counted() {
    let shared = limits();
    let (month, hour) = (monthly(3), per_hour("hour", 9, 1, &Key::Address));
    for admitted in [true, false, false, false] {
        let mut cx = cx(&shared, "10.0.0.1");
        cx.unix_s = LAST_MINUTE;
        assert!(admits(&month, &mut cx));
        let step = hour.on_request(&mut head("/"), &mut cx);
        assert_eq!(matches!(step, Step::Continue), admitted);
    }
    let mut cx = cx(&shared, "10.0.0.1");
    cx.unix_s = LAST_MINUTE;
    assert!(admits(&month, &mut cx));
    assert_eq!(cx.rate.unwrap().remaining, 1, "two were counted");
}

#[test]
fn highest_reached_threshold_is_reported() {
    let shared = limits();
    let zone = Zone::utc();
    let quota = quota(10, Span::Calendar(Unit::Day, zone), &[500_000, 905_000]);
    let thresholds: Vec<Option<u32>> = (0..11)
        .map(|_| {
            let mut cx = cx(&shared, "10.0.0.1");
            admits(&quota, &mut cx);
            cx.warned.first().map(|warned| warned.share_ppm)
        })
        .collect();
    let (half, most) = (Some(500_000), Some(905_000));
    assert_eq!(thresholds[..5], [None, None, None, None, half]);
    assert_eq!(thresholds[5..], [half, half, half, half, most, most]);
    let warned = [("a", 500_000), ("b", 905_000)]
        .map(|(policy, share_ppm)| QuotaWarning { policy, share_ppm });
    let mut headers = HeaderMap::new();
    write_warnings(&warned, &mut headers);
    assert_eq!(headers[WARNING], "\"a\";used=50, \"b\";used=90.5");
}

#[test]
fn cost_is_counted_and_other_addresses_are_not() {
    let shared = limits();
    let quota = monthly(5);
    for (client, cost, admitted) in [
        ("10.0.0.1", 3, true),
        ("10.0.0.1", 3, false),
        ("10.0.0.1", 2, true),
        ("10.0.0.2", 5, true),
        ("10.0.0.2", 1, false),
    ] {
        let mut cx = cx(&shared, client);
        (cx.unix_s, cx.cost) = (LAST_MINUTE, cost);
        assert_eq!(admits(&quota, &mut cx), admitted, "{client} {cost}");
    }
}

/// A quota hides a rate limit that can never refuse a request which the quota admits.
#[test]
fn quota_hides_rate_limits_without_effect() {
    const DAY_MS: u64 = 86_400_000;
    let checked = |limit: u64, span: Span| Checked {
        limit,
        span,
        key: Key::Address,
        mode: None,
        warn: Vec::new(),
        x_ratelimit: false,
        store: None,
        plans: None,
        lease_ms: None,
        cost: None,
    };
    let day = || Span::Calendar(Unit::Day, Zone::utc());
    let rate = rate_limit::tests::checked;
    let rows = [
        (5, day(), rate(100, 1_000, 100), true),
        (100, day(), rate(100, 1_000, 100), true),
        (101, day(), rate(100, 1_000, 100), false),
        // The burst is smaller: the rate limit spaces requests.
        (5, day(), rate(100, 1_000, 1), false),
        // The quota regains its tokens faster.
        (5, Span::Rolling(60_000), rate(100, DAY_MS, 100), false),
        (5, Span::Rolling(DAY_MS), rate(5, DAY_MS, 5), true),
    ];
    for (limit, span, rate, hides) in rows {
        assert_eq!(checked(limit, span).hides(&rate), hides, "{limit} {rate:?}");
    }
    let (quota, rate) = (checked(5, day()), rate(100, 1_000, 100));
    let logs = Checked {
        mode: Some(Mode::Log),
        ..quota.clone()
    };
    let by_route = Checked {
        key: Key::Route,
        ..quota.clone()
    };
    assert!(quota.hides(&rate) && !logs.hides(&rate) && !by_route.hides(&rate));
}
