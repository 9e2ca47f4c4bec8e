//! Credentials that stand for those of logged callers.
//!
//! A log names the consumer, the security scheme and the scopes of a caller, but contains no
//! credential. Each consumer of the old side therefore gets an additional key and password on both
//! sides, and a token is built with exactly the logged scopes. The engines of both sides check them
//! like other credentials.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::digest::Digest;
use bundle::ir::{self, Gateway};
use policy::auth::{Checked, Place};
use sha2::{Digest as _, Sha256};

use crate::security;
use crate::values::Values;
use crate::witness::AT_S;

/// Consumers whose credentials of one kind are known on the new side.
#[derive(Default)]
pub(super) struct Owners {
    /// Owner of a consumer's credentials on the new side, by the consumer's name on the old side.
    /// `None`: no consumer owns them.
    keys: BTreeMap<String, Option<String>>,
    basic: BTreeMap<String, Option<String>>,
}

impl Owners {
    /// Finds the owners. Leaves out a consumer whose credentials differ in their owner on the new
    /// side: a log does not contain which of them a caller used.
    pub(super) fn of(old: &Gateway, new: &Gateway) -> Self {
        Self {
            keys: owners(old, new, |consumer| &consumer.keys),
            basic: owners(old, new, |consumer| &consumer.basic),
        }
    }

    /// Adds the additional credentials to both sides.
    pub(super) fn add_to(&self, [old, new]: [&mut Gateway; 2]) {
        let all = [(&self.keys, key as fn(&str) -> String), (&self.basic, pair)];
        let mut additions: [BTreeMap<String, Added>; 2] = Default::default();
        for (is_basic, (owners, text)) in all.into_iter().enumerate() {
            for (consumer, owner) in owners {
                let credential = ir::Credential {
                    sha256: Sha256::digest(text(consumer)).into(),
                    not_after: None,
                    password: None,
                };
                let sides = [Some(consumer), owner.as_ref()];
                for (side, name) in additions.iter_mut().zip(sides) {
                    if let Some(name) = name {
                        let added = side.entry(name.clone()).or_default();
                        added[is_basic].push(credential.clone());
                    }
                }
            }
        }
        for (gateway, additions) in [old, new].into_iter().zip(additions) {
            add(gateway, additions);
        }
    }

    /// Credential of a consumer for a scheme with this verifier. `None` if it is not known.
    fn credential(&self, verifier: &Checked, consumer: &str) -> Option<String> {
        match verifier {
            Checked::ApiKey(_) => self.keys.contains_key(consumer).then(|| key(consumer)),
            Checked::Basic(_) => {
                let is_known = self.basic.contains_key(consumer);
                is_known.then(|| STANDARD.encode(pair(consumer)))
            }
            _ => None,
        }
    }

    /// Credential of a logged caller on the old side: an API key or a password of the consumer, or
    /// a token with exactly these scopes. `None` for other credentials.
    pub(super) fn values(
        &self,
        (api, gateway): (&ir::Api, &Gateway),
        scheme: &ir::Scheme,
        (consumer, scope): (Option<&str>, Option<&str>),
    ) -> Option<Values> {
        let ir::Verify::Auth(name) = &scheme.verify else {
            return None;
        };
        let verifier = &gateway.shared.auth.get(name)?.checked;
        let text = match verifier {
            Checked::Jwt(_) | Checked::Introspection(_) => {
                let scopes = scope?.split_ascii_whitespace().map(str::to_owned);
                let wanted = ir::SchemeUse {
                    scheme: scheme.name.clone(),
                    scopes: scopes.collect::<BTreeSet<_>>().into_iter().collect(),
                    roles: Vec::new(),
                };
                let alternative = ir::Alternative(vec![wanted]);
                let auth = &gateway.shared.auth;
                let tokens = security::tokens(&alternative, &api.schemes, auth, AT_S);
                tokens.get(&scheme.place)?.clone()
            }
            _ => self.credential(verifier, consumer?)?,
        };
        at(&scheme.place, text)
    }
}

/// Additional keys and passwords of a consumer.
type Added = [Vec<ir::Credential>; 2];

fn add(gateway: &mut Gateway, mut additions: BTreeMap<String, Added>) {
    let mut consumers: Vec<ir::Consumer> = gateway.shared.consumers.iter().cloned().collect();
    for consumer in &mut consumers {
        if let Some([keys, basic]) = additions.remove(&consumer.name) {
            consumer.keys.extend(keys);
            consumer.basic.extend(basic);
        }
    }
    if let Ok(consumers) = ir::Set::new(consumers) {
        gateway.shared.consumers = consumers;
    }
}

/// Owner on the new side of the credentials of each consumer. A consumer without credentials keeps
/// its name.
fn owners(
    old: &Gateway,
    new: &Gateway,
    credentials: impl Fn(&ir::Consumer) -> &Vec<ir::Credential>,
) -> BTreeMap<String, Option<String>> {
    let mut new_owners: BTreeMap<[u8; 32], &str> = BTreeMap::new();
    for consumer in &new.shared.consumers {
        for credential in credentials(consumer) {
            new_owners.insert(credential.sha256, &consumer.name);
        }
    }
    let found = old.shared.consumers.iter().filter_map(|consumer| {
        let own = credentials(consumer);
        let mut owners: BTreeSet<Option<&str>> = own
            .iter()
            .map(|one| new_owners.get(&one.sha256).copied())
            .collect();
        if own.is_empty() {
            let same = new.shared.consumers.get(&consumer.name);
            owners.insert(same.map(|same| same.name.as_str()));
        }
        let owner = owners.pop_first().filter(|_| owners.is_empty())?;
        Some((consumer.name.clone(), owner.map(str::to_owned)))
    });
    found.collect()
}

/// Additional key of a consumer. Hexadecimal, because names may contain characters that fields of
/// requests exclude.
fn key(consumer: &str) -> String {
    format!("replay-{}", Digest::of(consumer.as_bytes()).hex())
}

/// Additional user name and password of a consumer.
fn pair(consumer: &str) -> String {
    format!("replay:{}", Digest::of(consumer.as_bytes()).hex())
}

/// Places a credential in a request. `None` for a client certificate.
fn at(place: &Place, text: String) -> Option<Values> {
    let mut values = Values::default();
    match place {
        Place::Header(name) => values.headers.push((name.clone(), text)),
        Place::Authorization(kind) => {
            let field = format!("{kind} {text}");
            values.headers.push(("authorization".to_owned(), field));
        }
        Place::Cookie(name) => {
            let field = format!("{name}={text}");
            values.headers.push(("cookie".to_owned(), field));
        }
        Place::Query(name) => values.query.push((name.clone(), text)),
        Place::Certificate => return None,
    }
    Some(values)
}
