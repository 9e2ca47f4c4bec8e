//! Stores of counters that the gateways of a fleet share: their settings, and questions to them.

use std::fmt;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::ask::{Answer, AskId, Asker, Effect};
use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::rate::{Admission, Tokens};
use crate::secret::{Form, SecretCell, SecretRef, SecretUnavailable};
use crate::state::StateId;
use crate::step::{Reject, Setting};

/// A store, in the bundle: a part of each policy that counts there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Name of the store.
    #[n(0)]
    pub name: String,
    /// URL of the store, with its password.
    #[n(1)]
    pub url: SecretRef,
    /// Prefix of every key.
    #[n(2)]
    pub prefix: String,
    /// Behaviour while the store does not answer.
    #[n(3)]
    pub on_outage: OnOutage,
}

/// Behaviour of limits while their store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum OnOutage {
    /// Each gateway counts for itself.
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
    /// Reference of the URL: stores with the same one have one connection.
    pub reference: SecretRef,
    /// URL of the store, with its password.
    pub url: Arc<SecretCell>,
    /// Prefix of every key.
    pub prefix: Box<str>,
    /// Behaviour while the store does not answer.
    pub on_outage: OnOutage,
}

/// Question to a store: to count a request.
#[derive(Clone, Debug)]
pub struct Count {
    /// The store.
    pub store: Arc<Store>,
    /// Id of the limit's state.
    pub state: StateId,
    /// SHA-256 of the key's value, shortened.
    pub key: [u8; 16],
    /// The limit.
    pub tokens: Tokens,
    /// Tokens of the request. Negative: they are returned.
    pub cost: i64,
}

/// State of a limit while its store does not answer, for the response field and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOutage<'a> {
    /// Name of the store.
    pub store: &'a str,
    /// Behaviour meanwhile.
    pub on_outage: OnOutage,
}

/// Result of a question to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The store decided.
    Decided(Admission),
    /// The store does not answer, and the gateway counts for itself.
    Local,
    /// The store does not answer, and the request is admitted.
    Open,
    /// The store does not answer, and the request is refused.
    Closed,
}

/// Refusal with [`OnOutage::Closed`] while the store does not answer.
pub(crate) static UNAVAILABLE: Reject = Reject {
    status: 503,
    code: "store_unavailable",
    title: "The store of a limit does not answer",
};

// === impl Checked ===

impl Checked {
    /// The store at run time.
    ///
    /// # Errors
    /// The URL cannot be resolved.
    pub(crate) fn store(&self, setting: &Setting<'_>) -> Result<Arc<Store>, SecretUnavailable> {
        Ok(Arc::new(Store {
            name: self.name.as_str().into(),
            reference: self.url.clone(),
            url: setting.secrets.cell(&self.url, Form::FieldValue)?,
            prefix: self.prefix.as_str().into(),
            on_outage: self.on_outage,
        }))
    }

    /// Adds the settings below `store`.
    pub(crate) fn settings(&self, settings: Settings) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
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
    /// Value of the key in the configuration.
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
    /// Asks the store to count a request, or returns its answer.
    ///
    /// # Errors
    /// The question, if it was not asked yet.
    pub(crate) fn count<'a>(
        self: &'a Arc<Self>,
        count: &Count,
        cx: &mut Cx<'a>,
    ) -> Result<Counted, Box<Effect>> {
        let outage = match cx.answers.get(&count.id()) {
            None => return Err(Box::new(Effect::Store(Box::new(count.clone())))),
            Some(Answer::Counted(admission)) => return Ok(Counted::Decided(*admission)),
            Some(_) => StoreOutage {
                store: &self.name,
                on_outage: self.on_outage,
            },
        };
        cx.store_outage = Some(outage);
        Ok(match self.on_outage {
            OnOutage::Local => Counted::Local,
            OnOutage::Open => Counted::Open,
            OnOutage::Closed => Counted::Closed,
        })
    }
}

/// The URL has a password: it is not printed.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

// === impl Count ===

impl Count {
    /// Name of the question within one exchange.
    #[must_use]
    pub fn id(&self) -> AskId {
        AskId::new(Asker::Store, &[&self.state.0.to_le_bytes(), &self.key])
    }

    /// Key of the counter in the store: `PREFIX:STATE:KEY`. The braces are the hash tag of a
    /// cluster.
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

/// Response field while a store does not answer.
pub const OUTAGE: http::HeaderName = http::HeaderName::from_static("store-outage");

/// Writes that a store does not answer into a response: a string (RFC 9651), its name, with the
/// behaviour of its limits.
pub fn write_outage(outage: &StoreOutage<'_>, headers: &mut http::HeaderMap) {
    let text = format!("\"{}\";verdict={}", outage.store, outage.on_outage.word());
    if let Ok(value) = http::HeaderValue::try_from(text) {
        headers.insert(OUTAGE, value);
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Reader of written stores, and of their names in policies.

    use diag::NodeRef;

    use super::{Checked, OnOutage};
    use crate::secret::SecretRef;

    /// Store that a policy names. Its settings are added later ([`crate::Checked::bind_store`]).
    pub(crate) fn read(policy: NodeRef<'_>) -> Option<Checked> {
        let name = policy.get("store").and_then(NodeRef::scalar_text)?;
        (name != "local").then(|| Checked {
            name: name.to_owned(),
            url: SecretRef::Env(String::new()),
            prefix: String::new(),
            on_outage: OnOutage::Local,
        })
    }

    /// Reads a store of gateway.yaml. `project` is the default prefix.
    #[must_use]
    pub fn store(name: &str, node: NodeRef<'_>, project: &str) -> Option<Checked> {
        let text = |key: &str| node.get(key).and_then(NodeRef::scalar_text);
        Some(Checked {
            name: name.to_owned(),
            url: SecretRef::parse(text("url")?).ok()?,
            prefix: text("prefix").unwrap_or(project).to_owned(),
            on_outage: match text("on_outage") {
                Some("open") => OnOutage::Open,
                Some("closed") => OnOutage::Closed,
                _ => OnOutage::Local,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::ask::Outage;
    use crate::cx::tests::head;
    use crate::step::{Run as _, Step};
    use crate::traffic::rate_limit::tests::{cx, in_store, limits, per_hour};
    use crate::{Key, traffic::rate_limit};

    fn store(on_outage: OnOutage) -> Arc<Store> {
        Arc::new(Store {
            name: "shared".into(),
            reference: SecretRef::Env("URL".into()),
            url: SecretCell::new(b"redis://:s3cret@h".to_vec()),
            prefix: "p".into(),
            on_outage,
        })
    }

    fn limit(on_outage: OnOutage) -> rate_limit::Filter {
        in_store(per_hour("limit", 1, 5, &Key::Address), store(on_outage))
    }

    fn admission(admitted: bool) -> Answer {
        Answer::Counted(Admission {
            admitted,
            remaining: 3,
            wait_ticks: 20_000_000,
        })
    }

    #[test]
    fn store_is_asked_and_decides() {
        let shared = limits();
        let limit = limit(OnOutage::Closed);
        for admitted in [true, false] {
            let mut cx = cx(&shared, "10.0.0.1");
            cx.cost = 4;
            let Step::Ask(effect) = limit.on_request(&mut head("/"), &mut cx) else {
                panic!("no question");
            };
            let Effect::Store(count) = &*effect else {
                panic!("{effect:?}");
            };
            assert_eq!((count.cost, count.tokens.count), (4, 5));
            assert!(!format!("{effect:?}").contains("s3cret"));
            cx.answers.add(effect.id(), admission(admitted));
            let step = limit.on_request(&mut head("/"), &mut cx);
            assert_eq!(matches!(step, Step::Continue), admitted);
            let notice = cx.rate.unwrap();
            assert_eq!((notice.remaining, notice.retry_after_ms), (3, 2_000));
            assert_eq!((cx.store_outage, cx.returned.len()), (None, 0));
            // A later refusal returns what the store gave.
            cx.refund();
            let returned: Vec<i64> = cx.returned.iter().map(|count| count.cost).collect();
            assert_eq!(returned, if admitted { vec![4] } else { vec![] });
        }
    }

    #[test]
    fn outage_acts_as_written() {
        for (on_outage, statuses) in [
            (OnOutage::Local, [None, None, Some(429)]),
            (OnOutage::Open, [None, None, None]),
            (OnOutage::Closed, [Some(503), Some(503), Some(503)]),
        ] {
            let shared = limits();
            let limit = limit(on_outage);
            let answered = [(); 3].map(|()| {
                let mut cx = cx(&shared, "10.0.0.1");
                cx.cost = 2;
                let Step::Ask(effect) = limit.on_request(&mut head("/"), &mut cx) else {
                    panic!("no question");
                };
                let outage = Answer::Outage(Outage::Timeout);
                cx.answers.add(effect.id(), outage);
                let step = limit.on_request(&mut head("/"), &mut cx);
                let outage = cx.store_outage.unwrap();
                assert_eq!((outage.store, outage.on_outage), ("shared", on_outage));
                let mut headers = HeaderMap::new();
                write_outage(&outage, &mut headers);
                let told = format!("\"shared\";verdict={}", on_outage.word());
                assert_eq!(headers[OUTAGE], told.as_str());
                match step {
                    Step::Reject(reject) => Some(reject.status),
                    _ => None,
                }
            });
            assert_eq!(answered, statuses, "{on_outage:?}");
        }
    }

    #[test]
    fn keys_of_a_store_differ_by_kind_and_value() {
        let name = |key: Key, client: &str, target: &str| {
            let shared = limits();
            let mut cx = cx(&shared, client);
            let limit = in_store(per_hour("limit", 1, 5, &key), store(OnOutage::Open));
            match limit.on_request(&mut head(target), &mut cx) {
                Step::Ask(effect) => match &*effect {
                    Effect::Store(count) => count.name(),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        };
        let tenant = || Key::Query("tenant".into());
        let names = [
            name(Key::Address, "10.0.0.1", "/"),
            name(Key::Address, "10.0.0.2", "/"),
            name(tenant(), "10.0.0.1", "/?tenant=a"),
            name(tenant(), "10.0.0.1", "/?tenant=b"),
            name(
                Key::All(vec![Key::Address, tenant()]),
                "10.0.0.1",
                "/?tenant=a",
            ),
            name(Key::Route, "10.0.0.1", "/"),
        ];
        for (at, one) in names.iter().enumerate() {
            assert!(!names[..at].contains(one), "{names:?}");
            assert!(one.starts_with("p:{0000000000000001:"), "{one}");
        }
        // An absent value counts by address, and an IPv6 address by its network.
        assert_eq!(name(tenant(), "10.0.0.1", "/"), names[0]);
        let network = name(Key::Address, "2001:db8:1:2::1", "/");
        assert_eq!(name(Key::Address, "2001:db8:1:2::2", "/"), network);
    }
}
