//! Tests of the counter table and of token buckets.

use super::*;

const SECOND: u64 = 1_000_000_000;

/// Table with a fixed seed, so that the groups of the keys are the same in each run.
fn table(keys: usize) -> RateTable {
    table_with_seed(keys, 3)
}

fn table_with_seed(keys: usize, seed: u64) -> RateTable {
    let seed = [seed, 4].map(AtomicU64::new);
    RateTable::with(keys, Hasher::Saved(seed), TICK_NS)
}

fn quota(count: u64, period_ms: u64, burst: u64) -> Tokens {
    Tokens {
        algorithm: Algorithm::Bucket,
        count,
        period_ms,
        burst,
    }
}

#[test]
fn a_burst_then_the_rate() {
    let table = table(64);
    let tag = table.tag(StateId(7), &[b"acme"]);
    let tokens = quota(10, 1_000, 3);
    let left: Vec<u64> = (0..3)
        .map(|_| table.take(StateId(1), tag, tokens, 1, SECOND).remaining)
        .collect();
    assert_eq!(left, [2, 1, 0]);
    let refused = table.take(StateId(1), tag, tokens, 1, SECOND);
    assert!(!refused.admitted);
    assert_eq!(refused.wait_ticks, 1_000_000);
    assert!(
        !table
            .take(StateId(1), tag, tokens, 1, SECOND + 99_999_900)
            .admitted
    );
    assert!(
        table
            .take(StateId(1), tag, tokens, 1, SECOND + 100_000_000)
            .admitted
    );
}

#[test]
fn slow_rates_are_as_slow_as_they_say() {
    const HOUR_MS: u64 = 3_600_000;
    for (count, period_ms, wait_s) in [
        (2, HOUR_MS, 1_800),
        (1, 24 * HOUR_MS, 86_400),
        (1, 365 * 24 * HOUR_MS, 31_536_000),
    ] {
        let table = table(64);
        let tag = table.tag(StateId(1), &[b"x"]);
        let tokens = quota(count, period_ms, 1);
        let first = table.take(StateId(1), tag, tokens, 1, SECOND);
        let wait_ticks = wait_s * 10_000_000;
        assert_eq!((first.admitted, first.wait_ticks), (true, wait_ticks));
        let second = table.take(StateId(1), tag, tokens, 1, SECOND);
        assert_eq!((second.admitted, second.wait_ticks), (false, wait_ticks));
        assert!(
            !table
                .take(StateId(1), tag, tokens, 1, (wait_s + 1) * SECOND - 100)
                .admitted
        );
        assert!(
            table
                .take(StateId(1), tag, tokens, 1, (wait_s + 1) * SECOND)
                .admitted
        );
    }
}

#[test]
fn an_open_loop_at_twice_the_limit_gets_the_limit() {
    let table = table(64);
    let tag = table.tag(StateId(1), &[b"x"]);
    let tokens = quota(100, 1_000, 20);
    let admitted = (0..12_000u64)
        .filter(|i| {
            table
                .take(StateId(1), tag, tokens, 1, SECOND + i * 5_000_000)
                .admitted
        })
        .count();
    assert!((6_000..=6_020).contains(&admitted), "{admitted} in 60 s");
}

/// A leaky bucket (`algorithm: leaky`) is a bucket with a burst of one: it admits requests at equal
/// intervals.
#[test]
fn leaky_bucket_at_twice_the_limit_spaces_requests() {
    const INTERVAL: u64 = SECOND / 100;
    let admitted = |times: &mut dyn Iterator<Item = u64>| -> Vec<u64> {
        let table = table(64);
        let tag = table.tag(StateId(1), &[b"x"]);
        let tokens = quota(100, 1_000, 1);
        times
            .filter(|now| table.take(StateId(1), tag, tokens, 1, *now).admitted)
            .collect()
    };
    let spaced = |times: &[u64]| times.windows(2).all(|two| two[1] - two[0] >= INTERVAL);
    // Send 200 requests per second for a minute, at equal intervals. The admitted number may differ
    // by 1 % and the burst.
    let steady = admitted(&mut (0..12_000).map(|at| SECOND + at * INTERVAL / 2));
    assert!((5_940..=6_061).contains(&steady.len()), "{}", steady.len());
    assert!(spaced(&steady));
    // Send the same number of requests in pairs and in groups of 20. The limit admits at most one
    // request of each group.
    for group in [2, 20] {
        let grouped =
            admitted(&mut (0..12_000).map(|at| SECOND + at / group * group * INTERVAL / 2));
        assert_eq!(grouped.len() as u64, 12_000 / group);
        assert!(spaced(&grouped));
    }
}

#[test]
fn a_refund_brings_the_token_back() {
    let table = table(64);
    let tag = table.tag(StateId(1), &[b"x"]);
    let tokens = quota(1, 60_000, 1);
    assert!(table.take(StateId(1), tag, tokens, 1, SECOND).admitted);
    assert!(!table.take(StateId(1), tag, tokens, 1, SECOND).admitted);
    table.refund(tag, tokens, 1);
    assert!(table.take(StateId(1), tag, tokens, 1, SECOND).admitted);
}

#[test]
fn a_changed_limit_keeps_what_was_consumed() {
    let table = table(64);
    let tag = table.tag(StateId(1), &[b"x"]);
    for _ in 0..5 {
        assert!(
            table
                .take(StateId(1), tag, quota(10, 1_000, 10), 1, SECOND)
                .admitted
        );
    }
    let after = table.take(StateId(1), tag, quota(1, 1_000, 10), 1, SECOND);
    assert_eq!((after.admitted, after.remaining), (true, 4));
}

/// Takes two tokens for each of `count` keys of a limit, so that none of these keys can be evicted.
/// Returns the number of keys that got two tokens.
fn fill(table: &RateTable, state: StateId, tokens: Tokens, count: u32) -> usize {
    let admitted = (0..count).filter(|key| {
        let tag = table.tag(state, &[&key.to_le_bytes()]);
        let first = table.take(state, tag, tokens, 1, SECOND).admitted;
        table.take(state, tag, tokens, 1, SECOND).admitted || first
    });
    admitted.count()
}

#[test]
fn keys_without_a_slot_share_one_strict_counter() {
    let table = table(1);
    let tokens = quota(1, 3_600_000, 2);
    let admitted = fill(&table, StateId(1), tokens, 1_000);
    assert!(admitted <= 10, "{admitted} of 8 slots and one overflow");
    assert!(table.overflowed() > 0);
    // Keys of other limits still get their tokens. The table has few overflow counters, selected by
    // a random hash, so this test uses limits that do not share an overflow counter.
    let fast = quota(10, 1_000, 1);
    let mut used = vec![table.overflow_of(StateId(1), tokens)];
    let mut apart = |tokens| {
        let mut states = (2..).map(StateId);
        let own = states.find(|state| {
            let counter = table.overflow_of(*state, tokens);
            !used.iter().any(|other| std::ptr::eq(*other, counter))
        });
        let own = own.expect("there are several counters");
        used.push(table.overflow_of(own, tokens));
        own
    };
    let state = apart(fast);
    let tag = table.tag(state, &[b"acme"]);
    assert!(table.take(state, tag, fast, 1, SECOND).admitted);
    assert!(!table.take(state, tag, fast, 1, SECOND).admitted);
    assert!(table.take(state, tag, fast, 1, 2 * SECOND).admitted);
    // A key of a third limit, with the same rate as the full limit, gets its tokens from a
    // different overflow counter.
    let state = apart(tokens);
    let other = table.tag(state, &[b"other"]);
    assert!(table.take(state, other, tokens, 1, SECOND).admitted);
}

/// Checks that keys which cannot be evicted all get a slot of their own if they use two fifths of
/// the slots. The table is empty before, or a flood of keys has filled it. Repeated with 100 seeds.
#[test]
fn new_keys_have_slots_in_a_table_with_room() {
    let tokens = quota(5, 3_600_000, 5);
    for seed in 0..100 {
        for flood in [0, 20_000u32] {
            let table = table_with_seed(1_024, seed);
            for key in 0..flood {
                let tag = table.tag(StateId(1), &[b"flood", &key.to_le_bytes()]);
                let _ = table.take(StateId(1), tag, tokens, 1, SECOND);
            }
            fill(&table, StateId(1), tokens, 200);
            fill(&table, StateId(2), tokens, 200);
            assert_eq!(table.overflowed(), 0, "seed {seed}, {flood} keys before");
        }
    }
}

#[test]
fn flood_of_new_keys_evicts_no_other_limit() {
    let table = table(1_024);
    let tokens = quota(5, 3_600_000, 5);
    let (flooded, other) = (StateId(1), StateId(2));
    // Before the test fills the table, both limits have keys with two used tokens each.
    for state in [flooded, other] {
        assert_eq!(fill(&table, state, tokens, 50), 50);
    }
    let flood = |from: u32| {
        (from..from + 100_000)
            .filter(|key| {
                let tag = table.tag(flooded, &[b"flood", &key.to_le_bytes()]);
                table.take(flooded, tag, tokens, 1, SECOND).admitted
            })
            .count()
    };
    flood(0);
    assert!(table.evicted() > 90_000, "{}", table.evicted());
    // After the test has filled the table, new clients of both limits get the full quota.
    for state in [flooded, other] {
        for key in 0..50u32 {
            let tag = table.tag(state, &[b"new", &key.to_le_bytes()]);
            let admitted = (0..10)
                .filter(|_| table.take(state, tag, tokens, 1, SECOND).admitted)
                .count();
            assert_eq!(admitted, 5, "{state:?} {key}");
        }
    }
    flood(200_000);
    // The keys with used tokens still have their counters.
    for state in [flooded, other] {
        for key in 0..50u32 {
            let tag = table.tag(state, &[&key.to_le_bytes()]);
            let left = table.take(state, tag, tokens, 1, SECOND).remaining;
            assert_eq!(left, 2, "{state:?} {key}");
        }
    }
}

/// Checks that a flood of keys with two used tokens each takes no slots from the keys of other
/// limits. The flooded keys are of one limit or of several. New clients of the other limits get
/// their own counters.
#[test]
fn flood_of_used_keys_takes_no_slots_of_other_limits() {
    for flooded in [1, 4] {
        let table = table(4_096);
        let tokens = quota(5, 3_600_000, 5);
        let end_min = 60;
        let calendar = Tokens {
            algorithm: Algorithm::Calendar(end_min),
            ..tokens
        };
        for limit in 0..flooded {
            let tokens = if limit % 2 == 0 { tokens } else { calendar };
            fill(&table, StateId(limit), tokens, 40_000);
        }
        let victim = StateId(99);
        for key in 0..200u32 {
            let tag = table.tag(victim, &[b"new", &key.to_le_bytes()]);
            let admitted = (0..10).filter(|_| table.take(victim, tag, tokens, 1, SECOND).admitted);
            assert_eq!(admitted.count(), 5, "{flooded} limits, key {key}");
        }
    }
}

/// Table with a fixed seed, so that networks share no counters by chance.
fn seeded() -> RateTable {
    RateTable::saved(4_096, [3, 4])
}

/// Takes `count` tokens of each /64 network of an IPv6 /48, for several limits by address.
fn fill_network(table: &RateTable, limits: u64, tokens: Tokens, count: usize) {
    for number in 0..=u16::MAX {
        let client = IpAddr::from([0x2001, 0xdb8, 7, number, 0, 0, 0, 1]);
        for limit in 0..limits {
            let tag = table.tag(StateId(limit), &[b"address", &number.to_le_bytes()]);
            for _ in 0..count {
                let _ = table.take_of(Some(client), StateId(limit), tag, tokens, 1, SECOND);
            }
        }
    }
}

/// Number of admitted requests of 10 that a new client sends to a limit.
fn of_new_client(table: &RateTable, limit: u64, tokens: Tokens, client: IpAddr) -> usize {
    let tag = table.tag(StateId(limit), &[b"new", client.to_string().as_bytes()]);
    let takes =
        (0..10).map(|_| table.take_of(Some(client), StateId(limit), tag, tokens, 1, SECOND));
    takes.filter(|admission| admission.admitted).count()
}

#[test]
fn ipv6_network_takes_no_slots_of_others() {
    let tokens = quota(5, 3_600_000, 5);
    let table = seeded();
    // Clients of many networks use two tokens each before the flood.
    let early = |number: u8| IpAddr::from([198, 51, number, 1]);
    let of_early = |number: u8| {
        let tag = table.tag(StateId(0), &[b"early", &[number]]);
        let client = Some(early(number));
        table
            .take_of(client, StateId(0), tag, tokens, 2, SECOND)
            .remaining
    };
    assert!((0..100).all(|number| of_early(number) == 3));
    fill_network(&table, 2, tokens, 2);
    for number in 0..100u8 {
        for limit in [0, 1, 99] {
            let client = IpAddr::from([203, number, 113, 9]);
            assert_eq!(
                of_new_client(&table, limit, tokens, client),
                5,
                "{limit} {client}"
            );
        }
        let client = IpAddr::from([0x2001, 0xdb8, 8 + u16::from(number), 0, 0, 0, 0, 1]);
        assert_eq!(of_new_client(&table, 0, tokens, client), 5, "{client}");
    }
    // The counters of other clients are kept.
    let kept = (0..100).filter(|number| of_early(*number) == 1).count();
    assert_eq!(kept, 100);
}

/// If one client invents many keys, the new keys evict only its own keys, although all keys are of
/// one limit.
#[test]
fn client_with_invented_keys_takes_no_slots() {
    let tokens = quota(5, 3_600_000, 5);
    let table = seeded();
    let client = IpAddr::from([198, 51, 100, 66]);
    for number in 0..40_000u32 {
        let tag = table.tag(StateId(1), &[b"flood", &number.to_le_bytes()]);
        let _ = table.take_of(Some(client), StateId(1), tag, tokens, 2, SECOND);
    }
    for number in 67..=u8::MAX {
        // Half of these clients are in the /24 network of the client that invents keys.
        let client = IpAddr::from([198, 51, 100 + number % 2, number]);
        assert_eq!(of_new_client(&table, 1, tokens, client), 5, "{client}");
    }
}

#[test]
fn restored_network_loses_slots_to_others() {
    let tokens = quota(5, 3_600_000, 5);
    let before = seeded();
    fill_network(&before, 2, tokens, 2);
    let restored = seeded();
    restored.restore(&before.save(SECOND).unwrap());
    for number in 0..100u8 {
        let client = IpAddr::from([203, number, 113, 9]);
        assert_eq!(of_new_client(&restored, 0, tokens, client), 5, "{client}");
    }
}

#[test]
fn slots_come_free_when_their_bucket_is_full_again() {
    let table = table(1);
    let tokens = quota(1, 1_000, 1);
    for round in 0..1_000u64 {
        let tag = table.tag(StateId(1), &[&round.to_le_bytes()]);
        assert!(
            table
                .take(StateId(1), tag, tokens, 1, (round + 1) * 2 * SECOND)
                .admitted,
            "round {round}"
        );
    }
}

#[test]
fn threads_together_get_no_more_than_the_burst() {
    let table = table(1_024);
    let tokens = quota(1, 3_600_000, 1_000);
    let tag = table.tag(StateId(1), &[b"hot"]);
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..1_000)
                        .filter(|_| table.take(StateId(1), tag, tokens, 1, SECOND).admitted)
                        .count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(admitted, 1_000);
}

#[test]
fn keys_with_other_parts_are_other_keys() {
    let table = table(64);
    assert_ne!(
        table.tag(StateId(1), &[b"ab", b"c"]),
        table.tag(StateId(1), &[b"a", b"bc"])
    );
    assert_ne!(
        table.tag(StateId(1), &[b"a"]),
        table.tag(StateId(2), &[b"a"])
    );
}
