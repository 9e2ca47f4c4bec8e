//! Calls of the script that counts requests in a store.

use std::time::Duration;

use policy::store::Count;
use policy::used::FirstUse;
use policy::{Admission, Algorithm, Tokens, Unmoved};
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, RedisError, RedisWrite, ToRedisArgs};

use super::leases::StoreAnswer;

/// Script that counts a request in the store.
const SCRIPT: &str = include_str!("count.lua");
/// Tokens of the limit that the test call uses.
const TEST: Tokens = Tokens {
    algorithm: Algorithm::Bucket,
    count: 1_000_000,
    period_ms: 1_000,
    burst: 1_000_000,
};

/// Time for which a state of a local counter stays marked as added after it has no effect any more:
/// 60s.
const MARK_MS: u64 = 60_000;

/// Call of the script, which runs atomically in the store.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// Test call, which counts and writes under this key.
    Test(Box<str>),
    /// Count request.
    Count(Count),
    /// Count request that takes at least `min_tokens` tokens, and at most the request's cost.
    Lease { count: Count, min_tokens: u64 },
    /// Return of the tokens of a lease. `window`: number of the window in which the tokens were
    /// counted.
    Return { count: Count, window: u64 },
    /// Addition of tokens that this gateway counted locally. Answered with a refusal if the store
    /// has added this state of the local counter before.
    Move { count: Count, unmoved: Unmoved },
    /// Record of a used credential. Answered with a refusal if the store has a record already.
    FirstUse(FirstUse),
    /// Announcement of a gateway that uses leases, for a time.
    Gateway(Gateway),
}

/// Gateway that uses leases of a store.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    /// Key of the set of gateways.
    pub(super) key: String,
    /// Random id of the gateway.
    pub(super) id: Box<str>,
    /// Time for which the gateway counts. Zero removes the gateway.
    pub(super) live: Duration,
}

impl Call {
    /// Key in the store that the call uses.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Test(key) => key.to_string(),
            Self::Count(count)
            | Self::Lease { count, .. }
            | Self::Return { count, .. }
            | Self::Move { count, .. } => count.name(),
            Self::FirstUse(used) => used.name(),
            Self::Gateway(gateway) => gateway.key.clone(),
        }
    }

    /// Calls the script. If the server has not loaded the script, loads it first.
    ///
    /// # Errors
    /// If the server refused the call, or the connection failed.
    pub(super) async fn run(
        &self,
        connection: &mut impl ConnectionLike,
        sha: &str,
        slot: Slot,
    ) -> Result<StoreAnswer, RedisError> {
        if let Self::FirstUse(used) = self {
            let is_first = record(used, connection, slot).await?;
            return Ok(StoreAnswer::of_record(is_first));
        }
        let command = self.command(sha);
        let mut answered = send::<Answer>(&command, connection, slot).await;
        if let Err(error) = &answered
            && error.code() == Some("NOSCRIPT")
        {
            load(connection).await?;
            answered = send(&command, connection, slot).await;
        }
        let (admitted, remaining, wait_us, tokens, window) = answered?;
        Ok(StoreAnswer {
            admission: Admission {
                admitted: admitted == 1,
                remaining,
                wait_ticks: wait_us.saturating_mul(10),
            },
            tokens: u64::try_from(tokens).unwrap_or(0),
            window,
        })
    }

    /// Announces a gateway. Returns the number of gateways.
    ///
    /// # Errors
    /// If the server refused the call, or the connection failed.
    pub(super) async fn announce(
        &self,
        connection: &mut impl ConnectionLike,
        sha: &str,
    ) -> Result<u64, RedisError> {
        let (gateways, ..) = self.command(sha).query_async::<Answer>(connection).await?;
        Ok(gateways)
    }

    fn command(&self, sha: &str) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        let keys = 1 + usize::from(matches!(self, Self::Move { .. }));
        call.arg(sha).arg(keys).arg(self.key());
        match self {
            Self::Test(_) => count_args(&mut call, TEST, 1),
            Self::Count(count) => count_args(&mut call, count.tokens, count.cost),
            Self::Lease { count, min_tokens } => {
                count_args(&mut call, count.tokens, count.cost);
                call.arg(*min_tokens);
            }
            Self::Return { count, window } => {
                count_args(&mut call, count.tokens, count.cost);
                call.arg(count.cost).arg(*window);
            }
            Self::Move { count, unmoved } => {
                call.arg(mark(count, *unmoved));
                count_args(&mut call, count.tokens, Milli(unmoved.milli_tokens));
                let marked_ms = unmoved.lasts_ms.saturating_add(MARK_MS);
                call.arg(0).arg("").arg(marked_ms);
            }
            // A record needs no script.
            Self::FirstUse(_) => {}
            Self::Gateway(gateway) => {
                let live_ms = u64::try_from(gateway.live.as_millis()).unwrap_or(u64::MAX);
                call.arg("gateways").arg(&*gateway.id).arg(live_ms);
            }
        }
        call
    }
}

/// Slot of a call's key, in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The server has the slot.
    Stable,
    /// The server is taking the slot over from another one.
    Importing,
}

/// Records a used credential. Returns false if the store has a record of it already.
async fn record(
    used: &FirstUse,
    connection: &mut impl ConnectionLike,
    slot: Slot,
) -> Result<bool, RedisError> {
    let mut set = redis::cmd("SET");
    set.arg(used.name())
        .arg("")
        .arg("NX")
        .arg("PX")
        .arg(used.lasts_ms);
    // The server answers `OK`, or null if the key exists.
    let set: Option<String> = send(&set, connection, slot).await?;
    Ok(set.is_some())
}

async fn send<T: FromRedisValue>(
    command: &Cmd,
    connection: &mut impl ConnectionLike,
    slot: Slot,
) -> Result<T, RedisError> {
    match slot {
        Slot::Stable => command.query_async(connection).await,
        Slot::Importing => {
            let mut both = redis::pipe();
            both.cmd("ASKING").ignore().add_command(command.clone());
            let (answer,): (T,) = both.query_async(connection).await?;
            Ok(answer)
        }
    }
}

/// Result of the script: admitted, tokens left, wait (us), tokens taken, window.
type Answer = (u64, u64, u64, i64, u64);

/// Loads the script. Returns the SHA-1 with which it is called.
pub(super) async fn load(connection: &mut impl ConnectionLike) -> Result<String, RedisError> {
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg(SCRIPT);
    load.query_async(connection).await
}

/// Key that marks a state of a local counter as added. The slot of a cluster is that of the
/// counter.
fn mark(count: &Count, unmoved: Unmoved) -> String {
    let (counter, tag) = (count.name(), count.local.tag);
    format!("{counter}:{tag:016x}{:016x}", unmoved.state)
}

/// Number of tokens in thousandths, as a decimal number.
struct Milli(u64);

impl ToRedisArgs for Milli {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let (whole, part) = (self.0 / 1_000, self.0 % 1_000);
        out.write_arg(format!("{whole}.{part:03}").as_bytes());
    }
}

fn count_args(call: &mut Cmd, tokens: Tokens, cost: impl ToRedisArgs) {
    let (algorithm, end_min) = match tokens.algorithm {
        Algorithm::Bucket => ("bucket", 0),
        Algorithm::Window => ("window", 0),
        Algorithm::Calendar(end_min) => ("calendar", end_min),
    };
    call.arg(algorithm)
        .arg(tokens.count)
        .arg(tokens.period_ms)
        .arg(tokens.burst)
        .arg(cost)
        .arg(end_min);
}
