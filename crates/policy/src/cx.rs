//! Context of an exchange: inputs of policies besides the request head, and results of policies.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::ask::Answers;
use crate::auth::Fault;
use crate::auth::hmac_signature::Content;
use crate::auth::jwt::{Identity, TokenCache};
use crate::auth::mtls::PresentedCertificates;
use crate::auth::oidc::LoginContext;
use crate::body_limits::BodyLimits;
use crate::claims::Claims;
use crate::counters::Limits;
use crate::invalid::Invalid;
use crate::leases::Lease;
use crate::mirrored::Mirror;
use crate::no_value::NoValue;
use crate::rate::Tokens;
use crate::reject::Reject;
use crate::rewritten::Rewritten;
use crate::route_id::RouteId;
use crate::state::StateId;
use crate::store::{Count, StoreOutage};
use crate::threat::Scan;

/// Context of one exchange. It contains the time, because policies read no clock.
pub struct Cx<'a> {
    /// Monotonic time since the start of the process, in nanoseconds.
    pub now_ns: u64,
    /// Wall-clock time (Unix time, seconds).
    pub unix_s: u64,
    /// Address of the peer that opened the connection.
    pub peer: IpAddr,
    /// Address of the client: that of the peer, or the address that a trusted proxy reported.
    pub client: IpAddr,
    /// Counters of limits in this process.
    pub limits: &'a Limits,
    /// Cache of verified tokens. `None`: no token is cached.
    pub tokens: Option<&'a TokenCache>,
    /// Revoked credentials. The list applies to every bundle.
    pub revoked: &'a Revoked,
    /// Id of the route, for limits keyed by route. `None` if the request matches no route.
    pub route: Option<&'a RouteId>,
    /// Tokens that the request takes from rate limits: `cost` of its operation.
    pub cost: u64,
    /// Authenticated caller, set by authentication.
    pub principal: Option<Principal<'a>>,
    /// Client certificates of the TLS handshake and of a trusted proxy. `None` if there are none.
    pub presented: Option<&'a PresentedCertificates>,
    /// Value of `Client-Cert` (RFC 9440) that a trusted proxy sent.
    pub client_cert: Option<HeaderValue>,
    /// `Host` as the client wrote it, with its port. `None` if it is not known.
    pub authority: Option<&'a HeaderValue>,
    /// Path and query as the client sent them. `None` if normalisation did not change them.
    pub received: Option<&'a PathAndQuery>,
    /// Content that the request's signature permits, set by authentication. `None`: any content.
    pub content: Option<Content>,
    /// Scheme of the listener: `http` or `https`.
    pub scheme: &'static str,
    /// Nonce that the client must use in its next DPoP proof. Sent in the response.
    pub nonce: Option<HeaderValue>,
    /// Values of `Set-Cookie` that the gateway itself adds to the response, for logins and
    /// sessions.
    pub cookies: Vec<HeaderValue>,
    /// Reason why a credential was refused, set by authentication.
    pub fault: Option<Fault>,
    /// Reason why the evaluation of the policy's expression failed, if the request was refused for
    /// this. Set by `authorize`.
    pub expression_fault: Option<NoValue>,
    /// Hashes and expiry of the credentials that admitted the request, set by authentication.
    pub admitting_credentials: AdmittingCredentials,
    /// Number of fields that were removed because some servers confuse their names with the names
    /// of fields that decide about access.
    pub lookalikes: u32,
    /// State of the rate limit or quota that refused the request, otherwise of the one with the
    /// fewest remaining tokens. For the `RateLimit` response fields.
    pub rate: Option<RateNotice<'a>>,
    /// Quotas with a warning threshold that this request reached.
    pub warned: Vec<QuotaWarning<'a>>,
    /// State of the limit with the fewest remaining permits, among the concurrency limits of the
    /// request. For the response fields.
    pub concurrency_notice: Option<LeaseNotice<'a>>,
    /// Concurrency permits of the request, released when its response has ended.
    pub permits: ConcurrencyPermits,
    /// CORS access of the page that sent the request, set by `cors`.
    pub page: Page,
    /// True if the request is a CORS preflight. The route is then that of the method in
    /// `Access-Control-Request-Method`.
    pub preflight: bool,
    /// True if a policy may replace the client's method by an unsafe method for the upstream.
    pub sends_unsafe: bool,
    /// Refusals by policies in log-only mode.
    pub noted: Vec<LoggedRefusal<'a>>,
    /// Hash of the request id. A policy that applies to a share of the requests selects them by
    /// this hash.
    pub draw: u64,
    /// Length in bytes of the path prefix (the mount's base path) that is removed for the upstream.
    pub stripped: usize,
    /// Path parameters as byte ranges of the path. Only set if a step of the chain uses them.
    pub parameters: Vec<(&'a str, Range<usize>)>,
    /// Upstream that a `split` policy chose. `None`: the route's default upstream.
    pub upstream: Option<&'a str>,
    /// Mirrors that receive a copy of the request.
    pub mirrors: Vec<Mirror<'a>>,
    /// Parts of the request that are replaced for the upstream.
    pub rewritten: Option<Rewritten>,
    /// Results that the steps of the chain need ([`crate::ask`]): of calls to other services and of
    /// computations.
    pub answers: Answers,
    /// Limits of the chain on the bodies of request and response.
    pub body_limits: BodyLimits,
    /// Scans of the request's body, which gwd runs while the body passes.
    pub scans: Vec<&'a Scan>,
    /// Findings of the validation of the request, for the refusal and the log.
    pub invalid: Option<Arc<Invalid>>,
    /// Outage of a limit's store: the store did not answer. `None` if every store answered.
    pub store_outage: Option<StoreOutage<'a>>,
    /// Kind of the first policy or verifier that decided by an expired answer, because its service
    /// did not answer. `None` if there was no expired answer.
    pub stale_answer: Option<&'static str>,
    /// Tokens to return to stores because a later limit refused the request.
    pub returned: Vec<Count>,
    /// Tokens that limits took from stores. Returned if a later limit refuses the request.
    stored: Vec<Count>,
    /// Tokens that limits took from local counters. Returned if a later limit refuses the request.
    charges: [Option<Charge>; CHARGES_MAX],
}

/// Refusal by a policy in log-only mode. The request is served, and the refusal is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedRefusal<'a> {
    /// Name of the policy.
    pub policy: &'a str,
    /// The refusal.
    pub reject: &'static Reject,
}

/// A quota with a warning threshold that a request reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaWarning<'a> {
    /// Name of the policy.
    pub policy: &'a str,
    /// Threshold: used share of the quota, in parts per million.
    pub share_ppm: u32,
}

/// CORS access to the response, for the page that sent the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The request has no `Origin` field, or its origin may not read the response.
    #[default]
    Foreign,
    /// The origin is allowed and may read the response.
    Reads(HeaderValue),
    /// The request is a preflight. Its response already has all CORS fields.
    Preflight,
}

/// Maximum number of local limits in a chain whose tokens are returned if a later limit refuses the
/// request.
const CHARGES_MAX: usize = 8;

/// Authenticated caller, identified by a consumer, a token, a certificate, or a combination of
/// them.
#[derive(Clone, Debug)]
pub struct Principal<'a> {
    /// Name of the consumer. `None` if the credential belongs to no consumer.
    pub consumer: Option<&'a str>,
    /// Name of the security scheme that the request satisfied.
    pub scheme: &'a str,
    /// Claims of the consumer.
    pub claims: &'a Claims,
    /// Groups of the consumer, sorted.
    pub groups: &'a [Box<str>],
    /// Plan of the consumer (`plans` in gateway.yaml).
    pub plan: Option<&'a str>,
    /// Identity from the token or the client certificate, if the request has one.
    pub token: Option<Arc<Identity>>,
}

impl Principal<'_> {
    /// Value of a claim of the caller. Claims of the consumer take precedence over those of the
    /// token, because the operator wrote them.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        let token = || self.token.as_ref()?.claims.get(name);
        self.claims.get(name).or_else(token)
    }

    /// True if a claim has this value, alone or in a list. A claim of the consumer overrides the
    /// claim of the same name in the token.
    #[must_use]
    pub fn has_claim(&self, name: &str, value: &str) -> bool {
        let token = || {
            self.token
                .as_ref()
                .is_some_and(|token| token.has_claim(name, value))
        };
        self.claims.has(name, value).unwrap_or_else(token)
    }

    /// True if the consumer or the token is in this group.
    #[must_use]
    pub fn is_in_group(&self, group: &str) -> bool {
        let is_in = |groups: &[Box<str>]| groups.binary_search_by(|one| (**one).cmp(group)).is_ok();
        is_in(self.groups)
            || self
                .token
                .as_ref()
                .is_some_and(|token| is_in(&token.groups))
    }

    /// True if the token has all of these scopes. A caller without a token has no scopes.
    #[must_use]
    pub fn has_scopes(&self, wanted: &[Box<str>]) -> bool {
        match &self.token {
            Some(token) => token.has_scopes(wanted),
            None => wanted.is_empty(),
        }
    }

    /// Bytes that identify the caller: the consumer's name, or issuer and subject of the token.
    /// `None` for a token with neither subject nor client.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match self.consumer {
            Some(consumer) => Some(consumer.as_bytes()),
            None => self.token.as_ref()?.key.as_deref(),
        }
    }
}

/// Concurrency permits of one request. The first permit needs no allocation.
#[derive(Debug, Default)]
pub struct ConcurrencyPermits {
    first: Option<Lease>,
    more: Vec<Lease>,
}

/// Hashes of revoked credentials. The set is kept outside snapshots, so that a rollback does not
/// restore a credential (release.md §7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(HashSet<[u8; 32]>);

impl Revoked {
    /// Creates the set from the hashes of a revocation list.
    #[must_use]
    pub fn new(hashes: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self(hashes.into_iter().collect())
    }

    /// True if a credential is revoked.
    #[must_use]
    pub fn contains(&self, sha256: &[u8; 32]) -> bool {
        !self.0.is_empty() && self.0.contains(sha256)
    }
}

/// Hashes of the credentials that admitted a request, and their earliest expiry. A security
/// requirement can require several credentials. The first hash needs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmittingCredentials {
    first: Option<[u8; 32]>,
    more: Vec<[u8; 32]>,
    /// Earliest expiry of the credentials (Unix time, seconds). `None` if none of them expires.
    ends_s: Option<u64>,
}

impl AdmittingCredentials {
    /// Adds the expiry of one credential (Unix time, seconds). `u64::MAX`: the credential does not
    /// expire.
    pub fn ends(&mut self, at_s: u64) {
        let earlier = self.ends_s.is_none_or(|known| at_s < known);
        if at_s != u64::MAX && earlier {
            self.ends_s = Some(at_s);
        }
    }

    /// Earliest time at which one of the credentials expires (Unix time, seconds). `None` if none
    /// of them expires.
    #[must_use]
    pub fn ends_s(&self) -> Option<u64> {
        self.ends_s
    }

    /// Adds the hash of a credential.
    pub fn add(&mut self, sha256: [u8; 32]) {
        match self.first {
            None => self.first = Some(sha256),
            Some(_) => self.more.push(sha256),
        }
    }

    /// True if the request needed no credential.
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
    /// Name of the policy.
    pub policy: &'a str,
    /// Quota and period of the limit.
    pub tokens: Tokens,
    /// Number of further requests that the limit allows now.
    pub remaining: u64,
    /// Time until the limit allows the next request, in milliseconds. 0: now.
    pub retry_after_ms: u64,
    /// True if this request was refused.
    pub refused: bool,
    /// True if the response also has the older fields `X-RateLimit-*`.
    pub has_x_fields: bool,
}

/// State of a concurrency limit for response fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseNotice<'a> {
    /// Name of the policy.
    pub policy: &'a str,
    /// Maximum number of concurrent requests.
    pub limit: u64,
    /// Number of further concurrent requests that are allowed.
    pub remaining: u64,
}

/// Tokens that a limit took from a local counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// True if the counter is in a table of quotas.
    pub quota: bool,
    /// True if the counter is in a table for keys that clients can invent.
    pub anonymous: bool,
    /// Id of the limit's state.
    pub state: StateId,
    /// Hash of the key in the table.
    pub tag: u64,
    /// Limit that took the tokens.
    pub tokens: Tokens,
    /// Number of tokens.
    pub cost: u64,
}

impl ConcurrencyPermits {
    /// Adds a permit.
    pub fn add(&mut self, lease: Lease) {
        match self.first {
            None => self.first = Some(lease),
            Some(_) => self.more.push(lease),
        }
    }

    /// True if the request holds no permits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Counts the permits of this request as permits of a slow client ([`Lease::becomes_slow`]).
    /// Returns false if slow clients already hold their maximum share of one of the limits.
    #[must_use]
    pub fn become_slow(&self) -> bool {
        self.all().all(Lease::becomes_slow)
    }

    /// Stops counting the permits as permits of a slow client.
    pub fn become_fast(&self) {
        self.all().for_each(Lease::becomes_fast);
    }

    /// True if one of the limits is 1, so that a slow client must give up the permit as soon as
    /// another request needs it. The caller then polls [`Self::are_wanted`].
    #[must_use]
    pub fn may_be_wanted(&self) -> bool {
        self.all().any(Lease::is_only)
    }

    /// True if the client is slow and holds the only permit, and another request was refused
    /// because of this or waits for the permit.
    #[must_use]
    pub fn are_wanted(&self) -> bool {
        self.all().any(Lease::is_wanted)
    }

    /// Reports the time that the upstream took for the request, in nanoseconds, to adaptive limits.
    pub fn observe(&self, took_ns: u64, now_ns: u64) {
        self.all().for_each(|lease| lease.observe(took_ns, now_ns));
    }

    fn all(&self) -> impl Iterator<Item = &Lease> {
        self.first.iter().chain(&self.more)
    }
}

impl<'a> Cx<'a> {
    /// Creates the context of an exchange.
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
            cost: 1,
            principal: None,
            tokens: None,
            presented: None,
            client_cert: None,
            authority: None,
            received: None,
            content: None,
            scheme: "http",
            nonce: None,
            cookies: Vec::new(),
            fault: None,
            expression_fault: None,
            admitting_credentials: AdmittingCredentials::default(),
            lookalikes: 0,
            rate: None,
            warned: Vec::new(),
            concurrency_notice: None,
            permits: ConcurrencyPermits::default(),
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
            answers: Answers::default(),
            body_limits: BodyLimits::default(),
            scans: Vec::new(),
            invalid: None,
            store_outage: None,
            stale_answer: None,
            returned: Vec::new(),
            stored: Vec::new(),
            charges: [None; CHARGES_MAX],
        }
    }

    /// Context for one step of a browser's login (OpenID Connect).
    pub fn login_context(&mut self) -> LoginContext<'_> {
        LoginContext {
            unix_s: self.unix_s,
            client: self.client,
            received: self.received,
            answers: &self.answers,
            logins: &self.limits.logins,
            ended: &self.limits.ended,
            unique: &self.limits.unique,
            cookies: &mut self.cookies,
        }
    }

    /// Claim of the authenticated caller. `None` without a caller or without the claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.principal.as_ref()?.claim(name)
    }

    /// Stores the state of a rate limit for the response fields. The limit that refused the request
    /// takes precedence, then the limit with the fewest remaining tokens.
    pub fn rate_notice(&mut self, notice: RateNotice<'a>) {
        let replaces =
            |current: RateNotice<'_>| notice.refused || notice.remaining < current.remaining;
        if self.rate.is_none_or(replaces) {
            self.rate = Some(notice);
        }
    }

    /// Records tokens that a limit took from a local counter.
    pub fn charged(&mut self, charge: Charge) {
        if let Some(free) = self.charges.iter_mut().find(|charge| charge.is_none()) {
            *free = Some(charge);
        }
    }

    /// Records tokens that a limit took from a store.
    pub fn stored(&mut self, count: Count) {
        self.stored.push(count);
    }

    /// Returns all tokens that limits took for this request, because another limit refuses it.
    pub fn refund(&mut self) {
        self.refund_where(|_| true);
    }

    /// Returns the tokens that quotas took for this request, because a check refuses it. Rate
    /// limits keep their tokens, so that they limit a client's attempts to guess a value that the
    /// check compares.
    pub fn refund_quotas(&mut self) {
        self.refund_where(|is_quota| is_quota);
    }

    /// Keeps the tokens that limits took so far, even if a later limit refuses the request. Applies
    /// to rate limits, and to quotas with keys that clients can invent (addresses). Called after a
    /// request to another service or a password check. Without this call, a client could cause an
    /// unlimited number of calls and checks with requests that a later limit refuses. Quotas of
    /// callers count served requests only.
    pub fn keep_tokens(&mut self) {
        self.stored
            .retain(|one| one.local.quota && !one.local.anonymous);
        for slot in &mut self.charges {
            slot.take_if(|charge| !charge.quota || charge.anonymous);
        }
    }

    fn refund_where(&mut self, is_returned: impl Fn(bool) -> bool) {
        let stored = &mut self.stored;
        self.returned
            .extend(stored.extract_if(.., |one| is_returned(one.local.quota)));
        let charges = self.charges.iter_mut();
        let charges = charges.filter_map(|slot| slot.take_if(|one| is_returned(one.quota)));
        for charge in charges {
            let table = self.limits.tables(charge.quota)[usize::from(charge.anonymous)];
            table.refund(charge.tag, charge.tokens, charge.cost);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! Contexts for the tests of policies.

    use std::hash::RandomState;
    use std::sync::LazyLock;

    use http::uri::PathAndQuery;
    use http::{HeaderMap, Method};

    use super::*;
    use crate::head::RequestHead;

    #[test]
    fn any_revoked_credential_of_several_counts() {
        let [one, two, three] = [[1; 32], [2; 32], [3; 32]];
        let mut shown = AdmittingCredentials::default();
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

    /// Head of a GET request for this path.
    pub(crate) fn head(target: &str) -> RequestHead {
        RequestHead {
            is_ambiguous: false,
            method: Method::GET,
            target: PathAndQuery::try_from(target).unwrap(),
            host: "shop.example".into(),
            headers: HeaderMap::new(),
        }
    }

    /// Builds the filter of a policy without secrets.
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
            documents: &crate::NO_DOCUMENTS,
        };
        checked.filter(&setting).unwrap().unwrap()
    }

    /// Calls `run` with the context of a new request.
    pub(crate) fn with_cx<'a, T>(run: impl FnOnce(&mut Cx<'a>) -> T) -> T {
        static SHARED: LazyLock<(Limits, Revoked)> =
            LazyLock::new(|| (Limits::new(1, RandomState::new), Revoked::default()));
        let (limits, revoked) = &*SHARED;
        let peer = "10.0.0.1".parse().unwrap();
        run(&mut Cx::new(0, 0, peer, limits, revoked))
    }
}
