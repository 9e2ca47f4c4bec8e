//! Session affinity: sends a client's requests to the same target, by a hash of a request value or
//! by a cookie.
//!
//! The cookie's value is derived from the names of the upstream and the target. Every gateway of a
//! fleet can therefore use it, before and after a restart. The value does not reveal the target's
//! name. A forged value has no benefit: it either matches a target or is ignored.

use std::hash::{DefaultHasher, Hasher as _};
use std::net::IpAddr;

use http::{HeaderValue, header};
use policy::upstream::HashOn;
use policy::{Cx, Principal, RequestHead};

use crate::runtime::random::Random;
use crate::upstream::hosts::HostSet;

/// Affinity of a request, derived from the request's fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Affinity {
    hash: Option<u64>,
    target: Option<usize>,
    /// True if the gateway sets an affinity cookie.
    sets_cookie: bool,
}

impl Affinity {
    /// Derives the affinity from the request.
    pub(crate) fn of(
        hash_on: Option<&HashOn>,
        head: &RequestHead,
        cx: &Cx<'_>,
        set: &HostSet,
        random: &Random,
    ) -> Self {
        let Some(hash_on) = hash_on else {
            return Self::default();
        };
        let hash = match hash_on {
            HashOn::Consumer => cx.principal.as_ref().and_then(Principal::key).map(hash),
            HashOn::Address => Some(match cx.client.to_canonical() {
                IpAddr::V4(address) => hash(&address.octets()),
                IpAddr::V6(address) => hash(&address.octets()),
            }),
            HashOn::Header(name) => head.headers.get(name).map(|value| hash(value.as_bytes())),
            HashOn::Claim(name) => cx.claim(name).map(|value| hash(value.as_bytes())),
            HashOn::Query(name) => query(head, name).map(|value| hash(value.as_bytes())),
            HashOn::Cookie(name) => {
                let value = cookie(head, name);
                return Self {
                    hash: Some(value.map_or_else(|| random.next(), |value| hash(value.as_bytes()))),
                    target: value.and_then(|value| {
                        let known = set.cookies.iter();
                        known.into_iter().position(|cookie| **cookie == *value)
                    }),
                    sets_cookie: true,
                };
            }
        };
        Self {
            hash,
            ..Self::default()
        }
    }

    pub(crate) fn hash(&self) -> Option<u64> {
        self.hash
    }

    /// Index of the target named by the request's cookie.
    pub(crate) fn target(&self) -> Option<usize> {
        self.target
    }

    /// `Set-Cookie` value that binds the client to the target that served the request. `None` if
    /// the client already has this cookie, or if cookies are not used.
    pub(crate) fn cookie(
        &self,
        name: &str,
        target: usize,
        set: &HostSet,
        encrypted: bool,
    ) -> Option<HeaderValue> {
        if !self.sets_cookie || self.target == Some(target) {
            return None;
        }
        let value = &set.cookies[target];
        let secure = if encrypted { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(text).ok()
    }
}

/// Hash with fixed keys, so that all processes of a gwd version agree. A client that constructs a
/// collision only changes its own target.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Value of a cookie (RFC 6265 §4.2.1), in any of the `Cookie` lines.
fn cookie<'h>(head: &'h RequestHead, name: &str) -> Option<&'h str> {
    let lines = head.headers.get_all(header::COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().ok());
    let mut pairs = pairs.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// First value of a query parameter, without decoding.
fn query<'h>(head: &'h RequestHead, name: &str) -> Option<&'h str> {
    let mut pairs = head.query()?.split('&');
    pairs.find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}
