//! Limits how often somebody may call: a token bucket per key, shared by all workers.
//!
//! ```yaml
//! policies:
//!   per_client: {kind: rate_limit, limit: 100/s, burst: 20, key: consumer, anonymous: address}
//! ```
//! A refused request gets 429 with `Retry-After` (RFC 9110 §10.2.3) and the fields of
//! draft-ietf-httpapi-ratelimit-headers; the request is counted before it is forwarded, and what
//! one limit of a chain counted is given back when a later limit refuses.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use minicbor::{Decode, Encode};

use crate::cx::{Charge, Cx, RateNotice};
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::rate::Tokens;
use crate::secret::SecretUnavailable;
use crate::step::{Reject, Run, Setting, StateId, Step};

/// A limit as the bundle carries it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Tokens per period.
    #[n(0)]
    count: u64,
    /// The period in milliseconds.
    #[n(1)]
    period_ms: u64,
    /// The most tokens at once.
    #[n(2)]
    burst: u64,
    /// Who shares a bucket.
    #[n(3)]
    key: Key,
}

/// Who shares a bucket. Where the named thing is absent, the client's address stands in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Key {
    /// The consumer that was authenticated.
    #[n(0)]
    Consumer,
    /// The client's address; IPv6 by its /64.
    #[n(1)]
    Address,
    /// The operation.
    #[n(2)]
    Route,
    /// A request field's value.
    #[n(3)]
    Header(#[n(0)] String),
}

/// A limit that runs.
#[derive(Debug)]
pub struct Filter {
    name: Box<str>,
    state: StateId,
    tokens: Tokens,
    key: FilterKey,
}

#[derive(Debug)]
enum FilterKey {
    Consumer,
    Address,
    Route,
    Header(HeaderName),
}

static LIMITED: Reject = Reject {
    status: 429,
    code: "rate_limited",
    title: "Too many requests",
};

// === impl Checked ===

impl Checked {
    /// Its place in the chain: address limits protect authentication, the others need it.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.key {
            Key::Address => Phase::Address,
            Key::Consumer | Key::Route | Key::Header(_) => Phase::Limit,
        }
    }

    /// Who shares a bucket.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Its settings, for comparison.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let key = match &self.key {
            Key::Consumer => "consumer".to_owned(),
            Key::Address => "address".to_owned(),
            Key::Route => "route".to_owned(),
            Key::Header(name) => format!("header:{name}"),
        };
        let burst = i64::try_from(self.burst).unwrap_or(i64::MAX);
        Settings::default()
            .with(
                &["limit"],
                Value::One(Scalar::rate(self.count, self.period_ms)),
            )
            .with(&["burst"], Value::One(Scalar::Number(burst)))
            .with(&["key"], Value::One(Scalar::Text(key)))
    }

    /// The quota.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens {
            count: self.count,
            period_ms: self.period_ms,
            burst: self.burst,
        }
    }

    /// Prepares what runs.
    pub fn filter(&self, setting: &Setting<'_>) -> Result<Filter, SecretUnavailable> {
        let key = match &self.key {
            Key::Consumer => FilterKey::Consumer,
            Key::Address => FilterKey::Address,
            Key::Route => FilterKey::Route,
            // gwc checked the name; one that is none could only ever be absent.
            Key::Header(name) => {
                HeaderName::try_from(name.as_str()).map_or(FilterKey::Address, FilterKey::Header)
            }
        };
        Ok(Filter {
            name: setting.name.into(),
            state: setting.state,
            tokens: self.tokens(),
            key,
        })
    }
}

// === impl Filter ===

impl Run for Filter {
    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let (anonymous, tag) = self.bucket(head, cx);
        let table = if anonymous {
            &cx.limits.anonymous
        } else {
            &cx.limits.known
        };
        let admission = table.take(tag, self.tokens, cx.now_ns);
        let notice = RateNotice {
            policy: &self.name,
            tokens: self.tokens,
            remaining: admission.remaining,
            retry_after_ms: admission.wait_ticks.div_ceil(10_000),
            refused: !admission.admitted,
        };
        if cx
            .rate
            .is_none_or(|told| notice.refused || notice.remaining < told.remaining)
        {
            cx.rate = Some(notice);
        }
        if admission.admitted {
            cx.charged(Charge {
                anonymous,
                state: self.state,
                tag,
                tokens: self.tokens,
            });
            return Step::Continue;
        }
        cx.refund();
        Step::Reject(&LIMITED)
    }
}

impl Filter {
    /// Which table, and the key's hash in it.
    fn bucket(&self, head: &RequestHead, cx: &Cx<'_>) -> (bool, u64) {
        let by_address = || {
            let (bytes, length) = address_key(cx.client);
            (
                true,
                cx.limits
                    .anonymous
                    .tag(self.state, &[b"address", &bytes[..length]]),
            )
        };
        match &self.key {
            FilterKey::Consumer => match cx.principal {
                Some(principal) => (
                    false,
                    cx.limits
                        .known
                        .tag(self.state, &[b"consumer", principal.consumer.as_bytes()]),
                ),
                None => by_address(),
            },
            FilterKey::Route => (
                false,
                cx.limits
                    .known
                    .tag(self.state, &[b"route", cx.route.as_bytes()]),
            ),
            FilterKey::Header(name) => match head.headers.get(name) {
                Some(value) => (
                    true,
                    cx.limits
                        .anonymous
                        .tag(self.state, &[b"header", value.as_bytes()]),
                ),
                None => by_address(),
            },
            FilterKey::Address => by_address(),
        }
    }
}

/// IPv4 whole, IPv6 by its /64: a client owns the rest of its network.
fn address_key(address: IpAddr) -> ([u8; 8], usize) {
    let mut key = [0; 8];
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            key[..4].copy_from_slice(&v4.octets());
            (key, 4)
        }
        IpAddr::V6(v6) => {
            key.copy_from_slice(&v6.octets()[..8]);
            (key, 8)
        }
    }
}

/// Writes what a limit left to say into a response: `RateLimit-Policy`, `RateLimit`, and
/// `Retry-After` after a refusal.
pub fn write_fields(notice: &RateNotice<'_>, headers: &mut HeaderMap) {
    let RateNotice {
        policy,
        tokens,
        remaining,
        retry_after_ms,
        refused,
    } = *notice;
    let seconds = |ms: u64| ms.div_ceil(1_000);
    let said = format!(
        "\"{policy}\";q={};w={}",
        tokens.count,
        seconds(tokens.period_ms).max(1)
    );
    let left = format!("\"{policy}\";r={remaining};t={}", seconds(retry_after_ms));
    for (name, text) in [("ratelimit-policy", said), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if refused {
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(seconds(retry_after_ms).max(1)),
        );
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! What a user writes.

    use diag::shape::{self, Field, Object, Shape};
    use diag::{NodeRef, Sink, read};

    use super::{Checked, Key};
    use crate::forms;

    /// The keys of `kind: rate_limit`.
    pub static SHAPE: Object = Object {
        what: "a rate limit",
        rules: &[],
        fields: &[
            Field::required(
                "limit",
                Shape::Rate,
                "Requests per period, for instance `100/s`.",
            ),
            Field::optional(
                "burst",
                Shape::Integer(1, 1 << 24),
                "The most requests at once; as many as the limit counts where nothing is said.",
            ),
            Field::optional(
                "key",
                Shape::Form(&forms::COUNTER_KEY),
                "Who shares a limit: `consumer` (default), `address`, `route`, `header:NAME`, or later `claim:NAME`.",
            ),
            Field::optional(
                "anonymous",
                Shape::Word(&["address"]),
                "What stands in for a key that is absent: the client's address.",
            ),
            Field::optional(
                "algorithm",
                Shape::Partly(&["token_bucket"], &["sliding_window", "leaky"]),
                "How requests are counted: `token_bucket`.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Where requests are counted: `local`, or later a store that a fleet shares.",
            ),
        ],
    };

    /// Reads a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let before = sink.findings().len();
        let store = node.get("store").filter(|store| !store.is_null());
        if let Some(store) = store.filter(|store| store.scalar_text() != Some("local")) {
            sink.push(shape::not_available(
                store.span(),
                "a limit that a fleet shares",
                "write `local`",
            ));
        }
        let key = match node.get("key").filter(|key| !key.is_null()) {
            None => Some(Key::Consumer),
            Some(key) => read_key(key, sink),
        };
        let rate = read::rate(node.get("limit")?).ok()?;
        let burst = match node.get("burst").filter(|burst| !burst.is_null()) {
            Some(burst) => u64::try_from(read::integer(burst, 1, 1 << 24).ok()?).ok()?,
            None => rate.count.min(1 << 24),
        };
        let fine = sink.findings().len() == before;
        let key = key.filter(|_| fine)?;
        Some(Checked {
            count: rate.count,
            period_ms: rate.period_ms,
            burst,
            key,
        })
    }

    fn read_key(node: NodeRef<'_>, sink: &mut Sink) -> Option<Key> {
        let text = node.scalar_text().unwrap_or_default();
        match (text, text.split_once(':')) {
            ("consumer", _) => return Some(Key::Consumer),
            ("address", _) => return Some(Key::Address),
            ("route", _) => return Some(Key::Route),
            (_, Some(("header", name))) if http::HeaderName::try_from(name).is_ok() => {
                return Some(Key::Header(name.to_ascii_lowercase()));
            }
            (_, Some(("claim", _))) => sink.push(shape::not_available(
                node.span(),
                "a limit keyed by a claim",
                "write `consumer`, `address`, `route` or `header:NAME`",
            )),
            // The shape has refused it.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn ipv6_clients_share_their_network() {
        let key = |text: &str| address_key(IpAddr::V6(text.parse::<Ipv6Addr>().unwrap()));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1").1, 4);
    }

    #[test]
    fn fields_say_when_to_come_back() {
        let tokens = Tokens {
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
        };
        let mut headers = HeaderMap::new();
        write_fields(&notice, &mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"p\";q=5;w=60");
        assert_eq!(headers["ratelimit"], "\"p\";r=0;t=12");
        assert_eq!(headers["retry-after"], "12");
    }
}
