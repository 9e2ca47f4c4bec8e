//! Stores of counters that the gateways of a fleet share: settings of stores, the [`Count`] of a
//! request in a store, and the stores that limits used before.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use minicbor::{Decode, Encode};

use crate::declared::{Scalar, Settings, Value};
use crate::rate::{Algorithm, Tokens};
use crate::reject::Reject;
use crate::secret::{Form, SecretCell, SecretRef, SecretUnavailable, Secrets};
use crate::state::StateId;

/// Store in the bundle. Each policy that counts in the store contains these settings.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Name of the store.
    #[n(0)]
    pub name: String,
    /// Secret reference of the URL, which contains the password.
    #[n(1)]
    pub url: SecretRef,
    /// Prefix of every key in the store.
    #[n(2)]
    pub prefix: String,
    /// Behaviour while the store does not answer.
    #[n(3)]
    pub on_outage: OnOutage,
    /// Servers of the store. `None`: [`Topology::Single`].
    #[n(4)]
    pub topology: Option<Topology>,
}

/// Servers of a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Topology {
    /// Single server, at the URL.
    #[n(0)]
    Single,
    /// Redis Cluster. The URL names some of its nodes.
    #[n(1)]
    Cluster,
    /// Redis Sentinel. The URL names sentinels, which know the address of this master.
    #[n(2)]
    Sentinel(#[n(0)] String),
}

/// Behaviour of limits, or of a verifier, while their store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum OnOutage {
    /// Each gateway counts locally.
    #[n(0)]
    Local,
    /// Requests are admitted.
    #[n(1)]
    Open,
    /// Requests are refused.
    #[n(2)]
    Closed,
}

/// A store at run time.
pub struct Store {
    /// Name of the store.
    pub name: Arc<str>,
    /// Secret reference of the URL. Stores with the same reference share one connection.
    pub reference: SecretRef,
    /// URL of the store, which contains the password.
    pub url: Arc<SecretCell>,
    /// Prefix of every key in the store.
    pub prefix: Box<str>,
    /// Behaviour while the store does not answer.
    pub on_outage: OnOutage,
    /// Servers of the store.
    pub topology: Topology,
}

/// Count of a request against a limit whose counters are in a store.
#[derive(Clone, Debug)]
pub struct Count {
    /// The store.
    pub store: Arc<Store>,
    /// Id of the limit that counts the request.
    pub state: StateId,
    /// Shortened SHA-256 of the value of the counter key.
    pub key: [u8; 16],
    /// Quota of the limit.
    pub tokens: Tokens,
    /// Time in milliseconds for which a gateway leases tokens from the store in advance. `None`:
    /// each request calls the store.
    pub lease_ms: Option<u64>,
    /// Number of tokens that the request takes. A negative number returns tokens. 0 reads the
    /// counter.
    pub cost: i64,
    /// Counters of the same limit and key in this process.
    pub local: LocalCounter,
}

/// Counters in this process that belong to a counter in a store ([`crate::rate`]).
#[derive(Clone, Copy, Debug)]
pub struct LocalCounter {
    /// True if the limit is a quota, false if it is a rate limit.
    pub quota: bool,
    /// True if clients can invent the counter key, such as an address.
    pub anonymous: bool,
    /// Hash of the counter key in the tables of this process.
    pub tag: u64,
    /// Client that sent the key. `None` if clients cannot invent the key.
    pub client: Option<IpAddr>,
    /// Time of the request on the clock of the counter's table.
    pub now_ns: u64,
}

/// Stores in which limits of this process counted, by limit. After a change of the limit to local
/// counters, the first request of each key reads the counter in the store.
#[derive(Debug, Default)]
pub struct FormerStores {
    /// Replaced as a whole, so that requests read it without a lock.
    stores: ArcSwap<BTreeMap<StateId, Arc<FormerStore>>>,
}

/// Store in which a limit counts, or counted before its counters became local.
#[derive(Debug)]
struct FormerStore {
    store: Arc<Store>,
    /// Time after which the counters in the store have no effect, on the clock of the limit's
    /// table. `u64::MAX` while the limit counts in the store.
    ends_ns: AtomicU64,
}

/// State of a limit while its store does not answer, for the response field and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOutage<'a> {
    /// Name of the store.
    pub store: &'a str,
    /// Behaviour of limits while the store does not answer.
    pub on_outage: OnOutage,
}

/// Refusal of a request because the store does not answer ([`OnOutage::Closed`]).
pub(crate) static UNAVAILABLE: Reject = Reject::new(
    503,
    "store_unavailable",
    "The store of a limit does not answer",
);

// === impl Checked ===

impl Checked {
    /// Creates the store at run time.
    ///
    /// # Errors
    /// The secret reference of the URL cannot be resolved.
    pub(crate) fn store(&self, secrets: &dyn Secrets) -> Result<Arc<Store>, SecretUnavailable> {
        Ok(Arc::new(Store {
            name: self.name.as_str().into(),
            reference: self.url.clone(),
            url: secrets.cell(&self.url, Form::FieldValue)?,
            prefix: self.prefix.as_str().into(),
            on_outage: self.on_outage,
            topology: self.topology.clone().unwrap_or(Topology::Single),
        }))
    }

    /// True if the store has several servers.
    pub(crate) fn is_distributed(&self) -> bool {
        matches!(
            self.topology,
            Some(Topology::Cluster | Topology::Sentinel(_))
        )
    }

    /// Adds the store to the settings of a policy, below `store`.
    pub(crate) fn settings(&self, settings: Settings) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let settings = match &self.topology {
            None | Some(Topology::Single) => settings,
            Some(Topology::Cluster) => {
                settings.with(&["store", "cluster"], Value::One(Scalar::Flag(true)))
            }
            Some(Topology::Sentinel(master)) => settings.with(&["store", "sentinel"], text(master)),
        };
        settings
            .with(&["store"], Value::One(Scalar::Name(self.name.clone())))
            .with(
                &["store", "url"],
                Value::One(Scalar::Secret(self.url.clone())),
            )
            .with(&["store", "prefix"], text(&self.prefix))
            .with(&["store", "on_outage"], text(self.on_outage.word()))
    }
}

impl OnOutage {
    /// Value of `on_outage` in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

// === impl Store ===

impl Store {
    /// True if both stores have the same connection and the same keys.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let parts = |store: &Self| (store.reference.clone(), store.prefix.clone());
        parts(self) == parts(other) && self.topology == other.topology
    }
}

/// Omits the URL, because it contains a password.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

// === impl FormerStores ===

impl FormerStores {
    /// Records that a limit counts in a store.
    pub fn record(&self, state: StateId, store: &Arc<Store>) {
        let known = self.stores.load();
        let is_current = |known: &Arc<FormerStore>| {
            known.ends_ns.load(Ordering::Relaxed) == u64::MAX && Arc::ptr_eq(&known.store, store)
        };
        if known.get(&state).is_some_and(is_current) {
            return;
        }
        let former = Arc::new(FormerStore {
            store: Arc::clone(store),
            ends_ns: AtomicU64::new(u64::MAX),
        });
        self.edit(|stores| drop(stores.insert(state, Arc::clone(&former))));
    }

    /// Store in which a limit with local counters counted before. `None` if it did not count in a
    /// store, or if the counters there are older than the limit remembers.
    pub(crate) fn of(&self, state: StateId, tokens: Tokens, now_ns: u64) -> Option<Arc<Store>> {
        let stores = self.stores.load();
        let former = stores.get(&state)?;
        let lasts_ns = || now_ns.saturating_add(memory_ns(tokens, now_ns));
        let (order, ends_ns) = (Ordering::Relaxed, &former.ends_ns);
        if ends_ns.load(order) == u64::MAX {
            let _first = ends_ns.compare_exchange(u64::MAX, lasts_ns(), order, order);
        }
        if now_ns < ends_ns.load(order) {
            return Some(Arc::clone(&former.store));
        }
        // Another thread may have recorded a store meanwhile.
        let is_same = |known: &Arc<FormerStore>| Arc::ptr_eq(known, former);
        self.edit(|stores| {
            if stores.get(&state).is_some_and(is_same) {
                stores.remove(&state);
            }
        });
        None
    }

    fn edit(&self, edit: impl Fn(&mut BTreeMap<StateId, Arc<FormerStore>>)) {
        self.stores.rcu(|stores| {
            let mut stores = BTreeMap::clone(stores);
            edit(&mut stores);
            stores
        });
    }
}

/// Longest time for which a request affects later decisions of a limit, in nanoseconds.
fn memory_ns(tokens: Tokens, now_ns: u64) -> u64 {
    const MS: u64 = 1_000_000;
    match tokens.algorithm {
        Algorithm::Bucket => {
            let period_ns = tokens.period_ms.saturating_mul(MS);
            (period_ns / tokens.count.max(1)).saturating_mul(tokens.burst.max(1))
        }
        Algorithm::Window => tokens.period_ms.saturating_mul(2 * MS),
        Algorithm::Calendar(end_min) => (u64::from(end_min) * 60_000 * MS).saturating_sub(now_ns),
    }
}

// === impl Count ===

impl Count {
    /// Key of the counter in the store: `PREFIX:{STATE:KEY}`. The braces are a hash tag of Redis
    /// Cluster.
    #[must_use]
    pub fn name(&self) -> String {
        use fmt::Write as _;
        let mut name = format!("{}:{{{:016x}:", self.store.prefix, self.state.0);
        for byte in self.key {
            // Writing into a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name.push('}');
        name
    }
}

/// Name of the response field that reports a store that does not answer.
pub const OUTAGE: http::HeaderName = http::HeaderName::from_static("store-outage");

/// Writes the response field about a store that does not answer. The value is the store's name as a
/// string (RFC 9651), with the configured behaviour as a parameter.
pub fn write_outage(outage: &StoreOutage<'_>, headers: &mut http::HeaderMap) {
    let text = format!("\"{}\";verdict={}", outage.store, outage.on_outage.word());
    if let Ok(value) = http::HeaderValue::try_from(text) {
        headers.insert(OUTAGE, value);
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Parser of stores in gateway.yaml, and of their names in policies.

    use diag::NodeRef;

    use super::{Checked, OnOutage, Topology};
    use crate::secret::SecretRef;

    /// Reads the name of the store that a policy uses. [`crate::Checked::bind_store`] adds the
    /// settings of the store later.
    pub(crate) fn read(policy: NodeRef<'_>) -> Option<Checked> {
        let name = policy.get("store").and_then(NodeRef::scalar_text)?;
        (name != "local").then(|| Checked {
            name: name.to_owned(),
            url: SecretRef::Env(String::new()),
            prefix: String::new(),
            on_outage: OnOutage::Local,
            topology: None,
        })
    }

    /// Reads the settings of a store in gateway.yaml. `project` is the default of `prefix`.
    #[must_use]
    pub fn store(name: &str, node: NodeRef<'_>, project: &str) -> Option<Checked> {
        let text = |key: &str| node.get(key).and_then(NodeRef::scalar_text);
        let is_cluster = node.get("cluster").and_then(NodeRef::as_bool) == Some(true);
        Some(Checked {
            name: name.to_owned(),
            url: SecretRef::parse(text("url")?).ok()?,
            prefix: text("prefix").unwrap_or(project).to_owned(),
            on_outage: match text("on_outage") {
                Some("open") => OnOutage::Open,
                Some("closed") => OnOutage::Closed,
                _ => OnOutage::Local,
            },
            topology: match text("sentinel") {
                Some(master) => Some(Topology::Sentinel(master.to_owned())),
                None => is_cluster.then_some(Topology::Cluster),
            },
        })
    }
}
