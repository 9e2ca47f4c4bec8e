//! Time of a decision by a local counter, for docs/performance.md (`bench/limits`). Run with
//! `--nocapture`.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::*;

/// Divisor of the number of decisions and keys in a build with debug assertions. The times of such
/// a build are not meaningful; it only shows that the measurement works.
const DEBUG_DIVISOR: u64 = if cfg!(debug_assertions) { 100 } else { 1 };
/// Number of requests that each thread counts in one round.
const DECISIONS: u64 = 1_000_000 / DEBUG_DIVISOR;
const ROUNDS: usize = 5;
/// Number of keys in the rows with many keys.
const KEYS: u64 = 1_000_000 / DEBUG_DIVISOR;

/// Shortest time of a decision in several rounds.
fn decision(tokens: Tokens, threads: u64, keys: u64) -> Duration {
    let seed = [3, 4].map(AtomicU64::new);
    let table = RateTable::with(2 * KEYS as usize, Hasher::Saved(seed), TICK_NS);
    table.warm();
    let tags: Vec<u64> = (0..keys)
        .map(|key| table.tag(StateId(7), &[&key.to_le_bytes()]))
        .collect();
    let barrier = Barrier::new(threads as usize);
    let run = |thread: u64| {
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            barrier.wait();
            let began = Instant::now();
            for number in 0..DECISIONS {
                // Tags are hashes: keys in order are at random places of the table. A gateway
                // computes the tag from the request and reads it from no array.
                let at = (number + thread * keys / 2) % keys;
                let now_ns = 1_000_000_000 + number;
                let tag = tags[at as usize];
                std::hint::black_box(table.take(StateId(7), tag, tokens, 1, now_ns));
            }
            best = best.min(began.elapsed());
        }
        best / u32::try_from(DECISIONS).expect("few decisions")
    };
    std::thread::scope(|scope| {
        let threads = (0..threads).map(|thread| scope.spawn(move || run(thread)));
        let threads: Vec<_> = threads.collect();
        let times = threads.into_iter().map(|thread| thread.join());
        times
            .map(|time| time.expect("a time"))
            .max()
            .expect("a thread")
    })
}

#[test]
fn time_of_a_decision_is_printed() {
    println!("| limit | threads | keys | decision |");
    for (name, algorithm) in [
        ("token bucket", Algorithm::Bucket),
        ("sliding window", Algorithm::Window),
        ("quota of a calendar period", Algorithm::Calendar(1_000)),
    ] {
        let tokens = Tokens {
            algorithm,
            count: 1 << 20,
            period_ms: 60_000,
            burst: 1 << 20,
        };
        for threads in [1, 2] {
            for keys in [1, KEYS] {
                let time = decision(tokens, threads, keys);
                println!("| {name} | {threads} | {keys} | {time:?} |");
            }
        }
    }
    let table = RateTable::with(
        2 * KEYS as usize,
        Hasher::Saved([3, 4].map(AtomicU64::new)),
        TICK_NS,
    );
    table.warm();
    let memory = table.memory();
    let bytes = size_of_val(&*memory.groups) + size_of_val(&*memory.networks);
    println!(
        "| memory of the counters, KiB | 1 | {KEYS} | {} |",
        bytes >> 10
    );
}
