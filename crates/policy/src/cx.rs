//! Context of an exchange: inputs of the policies beside the request's head, and their results.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use http::HeaderValue;

use crate::auth::jwt::{Identity, Reason, TokenCache};
use crate::claims::Claims;
use crate::leases::{Lease, Leases};
use crate::mirrored::Mirror;
use crate::rate::{RateTable, Tokens};
use crate::reject::Reject;
use crate::rewritten::Rewritten;
use crate::state::StateId;

/// The context of one exchange. Time is passed in, never read.
pub struct Cx<'a> {
    /// Monotonic time in nanoseconds since the process began.
    pub now_ns: u64,
    /// Wall clock in seconds since 1970.
    pub unix_s: u64,
    /// Address of the peer that opened the connection.
    pub peer: IpAddr,
    /// Address of the client: the peer's, or the one that a trusted proxy reported.
    pub client: IpAddr,
    /// The counters of this process.
    pub limits: &'a Limits,
    /// Tokens that were verified before; none: each is verified.
    pub tokens: Option<&'a TokenCache>,
    /// Credentials that must not be admitted, whichever bundle runs.
    pub revoked: &'a Revoked,
    /// The route's stable id, for limits keyed by route; none where nobody owns the request.
    pub route: Option<&'a RouteId>,
    /// The authenticated caller; set by authentication.
    pub principal: Option<Principal<'a>>,
    /// Reason for which a token was refused; set by authentication.
    pub token_fault: Option<Reason>,
    /// The credentials by which it was let in; set by authentication.
    pub shown: Shown,
    /// Fields that were taken out of the head because servers that fold names would read them as
    /// one that decides.
    pub lookalikes: u32,
    /// The last limit that was counted: for the `RateLimit` fields of the response.
    pub rate: Option<RateNotice<'a>>,
    /// The limit of requests in flight with the fewest places left, for the same.
    pub leased: Option<LeaseNotice<'a>>,
    /// The places that the request has until its response has ended.
    pub leases: Held,
    /// The page that sent the request, as `cors` judges it.
    pub page: Page,
    /// True if the request is a preflight for the route that was found: one for the operation of the
    /// method that the page wants to use.
    pub preflight: bool,
    /// True if the upstream gets another method than the client's, and one that changes something.
    pub sends_unsafe: bool,
    /// Refusals of policies that only log.
    pub noted: Vec<Noted<'a>>,
    /// Hash of the request's id, by which policies select a share of the requests.
    pub draw: u64,
    /// Bytes of the path's beginning that the upstream does not get: those of the mount.
    pub stripped: usize,
    /// The path's parameters as ranges of its bytes; only where a step of the chain asks for
    /// them.
    pub parameters: Vec<(&'a str, Range<usize>)>,
    /// The service that gets the request, where a split has chosen one.
    pub upstream: Option<&'a str>,
    /// The services that get a copy.
    pub mirrors: Vec<Mirror<'a>>,
    /// Parts of the request that the upstream gets instead of the client's.
    pub rewritten: Option<Rewritten>,
    /// Tokens that limits took from their counters; given back if a later limit refuses.
    charges: [Option<Charge>; CHARGES_MAX],
}

/// A refusal of a policy that only logs: the request is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted<'a> {
    /// The policy's name.
    pub policy: &'a str,
    /// The refusal.
    pub reject: &'static Reject,
}

/// The page that sent a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// None, or one that may not read the response.
    #[default]
    Foreign,
    /// One of this origin, which may read the response.
    Reads(HeaderValue),
    /// The request is a preflight, whose response is complete.
    Preflight,
}

/// The most limits of one chain whose tokens are given back when a later one refuses.
const CHARGES_MAX: usize = 8;

/// An authenticated caller: a consumer, the bearer of a token, or both.
#[derive(Clone, Debug)]
pub struct Principal<'a> {
    /// The consumer's name; none for a token that belongs to no consumer.
    pub consumer: Option<&'a str>,
    /// The name of the scheme that was satisfied.
    pub scheme: &'a str,
    /// The consumer's claims.
    pub claims: &'a Claims,
    /// The consumer's groups, sorted.
    pub groups: &'a [Box<str>],
    /// The identity of the token that was shown, if one was.
    pub token: Option<Arc<Identity>>,
}

impl Principal<'_> {
    /// The value of a claim. The consumer's claims, which the operator wrote, come before those of
    /// the token.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        let token = || self.token.as_ref()?.claims.get(name);
        self.claims.get(name).or_else(token)
    }

    /// True if a claim has a value, alone or among others. A claim of the consumer hides the token's.
    #[must_use]
    pub fn has_claim(&self, name: &str, value: &str) -> bool {
        let token = || {
            self.token
                .as_ref()
                .is_some_and(|token| token.has_claim(name, value))
        };
        self.claims.has(name, value).unwrap_or_else(token)
    }

    /// True if the consumer or the token is in the group.
    #[must_use]
    pub fn is_in_group(&self, group: &str) -> bool {
        let is_in = |groups: &[Box<str>]| groups.binary_search_by(|one| (**one).cmp(group)).is_ok();
        is_in(self.groups)
            || self
                .token
                .as_ref()
                .is_some_and(|token| is_in(&token.groups))
    }

    /// True if the token has every one of these scopes; without one only if there are none.
    #[must_use]
    pub fn has_scopes(&self, wanted: &[Box<str>]) -> bool {
        match &self.token {
            Some(token) => token.has_scopes(wanted),
            None => wanted.is_empty(),
        }
    }

    /// Bytes that no other caller has: the consumer's name, or issuer and subject of the token.
    /// None for a token that names nobody.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match self.consumer {
            Some(consumer) => Some(consumer.as_bytes()),
            None => self.token.as_ref()?.key.as_deref(),
        }
    }
}

/// A route's stable id, `KEY@MOUNT`. It is handed on as a reference to this and not to its text:
/// where a large table is, who does not read it does not load it into the caches.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteId(Box<str>);

impl RouteId {
    /// The id of an operation's route at a mount.
    #[must_use]
    pub fn new(operation: &str, mount: &str) -> Self {
        Self([operation, "@", mount].concat().into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The counters of a process. Anonymous keys have a table of their own, so that a flood of
/// addresses cannot evict paying consumers.
#[derive(Debug)]
pub struct Limits {
    /// Keys that belong to a consumer or a route.
    pub known: RateTable,
    /// Keys that any client can make up: addresses, header values.
    pub anonymous: RateTable,
    /// Requests in flight.
    pub leases: Arc<Leases>,
}

/// Places of one request. The first costs no allocation.
#[derive(Debug, Default)]
pub struct Held {
    first: Option<Lease>,
    more: Vec<Lease>,
}

/// Hashes of credentials that must not be admitted. Kept outside snapshots, so that no rollback
/// brings one back (release.md §7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(HashSet<[u8; 32]>);

impl Revoked {
    /// The hashes of a revocation list.
    #[must_use]
    pub fn new(hashes: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self(hashes.into_iter().collect())
    }

    /// True if a credential is on the list.
    #[must_use]
    pub fn contains(&self, sha256: &[u8; 32]) -> bool {
        !self.0.is_empty() && self.0.contains(sha256)
    }
}

/// The hashes of the credentials that let a request in: one, or several where several are asked
/// for together. The first costs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    first: Option<[u8; 32]>,
    more: Vec<[u8; 32]>,
}

impl Shown {
    /// One more.
    pub fn add(&mut self, sha256: [u8; 32]) {
        match self.first {
            None => self.first = Some(sha256),
            Some(_) => self.more.push(sha256),
        }
    }

    /// True if no credential was required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// True if one of the credentials is revoked.
    #[must_use]
    pub fn is_revoked(&self, revoked: &Revoked) -> bool {
        let mut all = self.first.iter().chain(&self.more);
        all.any(|sha256| revoked.contains(sha256))
    }
}

/// State of a rate limit for response fields (draft-ietf-httpapi-ratelimit-headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateNotice<'a> {
    /// The policy's name.
    pub policy: &'a str,
    /// The quota and its window.
    pub tokens: Tokens,
    /// Requests left at once.
    pub remaining: u64,
    /// Milliseconds until one more request would be let in; 0 while some are left.
    pub retry_after_ms: u64,
    /// True if this request was refused.
    pub refused: bool,
}

/// State of a concurrency limit for response fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseNotice<'a> {
    /// The policy's name.
    pub policy: &'a str,
    /// Requests that may be in flight.
    pub limit: u64,
    /// Further requests that may be in flight.
    pub remaining: u64,
}

/// Tokens taken from a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// True for the table of requests without the key.
    pub anonymous: bool,
    /// The limiter.
    pub state: StateId,
    /// The key's hash in that table.
    pub tag: u64,
    /// The quota that was charged.
    pub tokens: Tokens,
}

impl Held {
    /// One more.
    pub fn add(&mut self, lease: Lease) {
        match self.first {
            None => self.first = Some(lease),
            Some(_) => self.more.push(lease),
        }
    }
}

impl<'a> Cx<'a> {
    /// A context before the first step.
    #[must_use]
    pub fn new(
        now_ns: u64,
        unix_s: u64,
        peer: IpAddr,
        limits: &'a Limits,
        revoked: &'a Revoked,
    ) -> Self {
        Self {
            revoked,
            now_ns,
            unix_s,
            peer,
            client: peer,
            limits,
            route: None,
            principal: None,
            tokens: None,
            token_fault: None,
            shown: Shown::default(),
            lookalikes: 0,
            rate: None,
            leased: None,
            leases: Held::default(),
            page: Page::Foreign,
            preflight: false,
            sends_unsafe: false,
            noted: Vec::new(),
            draw: 0,
            stripped: 0,
            parameters: Vec::new(),
            upstream: None,
            mirrors: Vec::new(),
            rewritten: None,
            charges: [None; CHARGES_MAX],
        }
    }

    /// A claim of the caller, if it is known.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.principal.as_ref()?.claim(name)
    }

    /// Remembers what a limit took.
    pub fn charged(&mut self, charge: Charge) {
        if let Some(free) = self.charges.iter_mut().find(|charge| charge.is_none()) {
            *free = Some(charge);
        }
    }

    /// Gives everything back that limits took from this request.
    pub fn refund(&mut self) {
        for charge in self.charges.iter_mut().filter_map(Option::take) {
            let table = if charge.anonymous {
                &self.limits.anonymous
            } else {
                &self.limits.known
            };
            table.refund(charge.tag, charge.tokens);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! Contexts for the tests of policies.

    use std::sync::LazyLock;

    use http::uri::PathAndQuery;
    use http::{HeaderMap, Method};

    use super::*;
    use crate::head::RequestHead;

    #[test]
    fn any_revoked_credential_of_several_counts() {
        let [one, two, three] = [[1; 32], [2; 32], [3; 32]];
        let mut shown = Shown::default();
        assert!(!shown.is_revoked(&Revoked::new([one])), "nothing was shown");
        for sha256 in [one, two, three] {
            shown.add(sha256);
        }
        for sha256 in [one, two, three] {
            assert!(shown.is_revoked(&Revoked::new([sha256])), "{sha256:?}");
        }
        assert!(!shown.is_revoked(&Revoked::new([[4; 32]])));
        assert!(!shown.is_revoked(&Revoked::default()));
    }

    /// A GET of a path.
    pub(crate) fn head(target: &str) -> RequestHead {
        RequestHead {
            is_ambiguous: false,
            method: Method::GET,
            target: PathAndQuery::try_from(target).unwrap(),
            host: "shop.example".into(),
            headers: HeaderMap::new(),
        }
    }

    /// The filter of a policy without secrets.
    pub(crate) fn filter<P: crate::Policy>(checked: &P) -> P::Filter {
        struct None;
        impl crate::Secrets for None {
            fn cell(
                &self,
                reference: &crate::SecretRef,
                _: crate::Form,
            ) -> Result<Arc<crate::SecretCell>, crate::SecretUnavailable> {
                panic!("{reference} is asked for")
            }
        }
        let setting = crate::Setting {
            name: "it",
            state: StateId(7),
            secrets: &None,
        };
        checked.filter(&setting).unwrap().unwrap()
    }

    /// Something in the context of a request that nobody has looked at.
    pub(crate) fn with_cx<'a, T>(run: impl FnOnce(&mut Cx<'a>) -> T) -> T {
        static SHARED: LazyLock<(Limits, Revoked)> = LazyLock::new(|| {
            let table = || RateTable::new(1, std::hash::RandomState::new());
            let limits = Limits {
                known: table(),
                anonymous: table(),
                leases: Arc::default(),
            };
            (limits, Revoked::default())
        });
        let (limits, revoked) = &*SHARED;
        let peer = "10.0.0.1".parse().unwrap();
        run(&mut Cx::new(0, 0, peer, limits, revoked))
    }
}
