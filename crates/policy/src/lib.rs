//! Policies, one file per kind: their settings in the configuration and in the bundle, and their
//! filters at run time.
//!
//! A policy has up to three types, always used qualified (`rate_limit::Checked`):
//! - `Checked`: settings in the bundle, always valid. The trait [`Policy`] returns their
//!   properties.
//! - `Filter`: run-time form, with precomputed values.
//! - `author::SHAPE` and `author::check` (feature `author`): format and checks of the settings that
//!   users write.
//!
//! Policies are pure functions of heads and a [`Cx`], with a [`Step`] as result. They never block
//! and read neither clocks nor files. gwc runs the same code to show how a gateway would handle a
//! request.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod adaptive;
mod addresses;
pub mod ask;
mod body_limits;
mod calendar;
pub mod changes;
mod cidr;
mod claims;
pub mod conditions;
mod counters;
mod cx;
pub mod declared;
pub mod draw;
pub mod endpoint;
pub mod escapes;
#[cfg(feature = "author")]
pub mod forms;
pub mod generation;
mod head;
pub mod invalid;
mod key;
pub mod key_cell;
mod leases;
#[cfg(feature = "author")]
pub mod limits;
pub mod logged;
pub mod managed;
pub mod mirrored;
pub mod network;
mod no_value;
#[cfg(feature = "author")]
mod origin;
mod parameters;
pub mod password;
pub mod path_text;
mod phase;
pub mod plans;
mod policy;
pub mod processing;
mod protection;
pub mod ranges;
mod rate;
mod read_fields;
mod reject;
mod reply;
pub mod rewritten;
mod route_id;
mod secret;
pub mod signature;
pub mod state;
mod step;
pub mod store;
pub mod threat;
mod unique;
mod unknown_keys;

pub mod auth;
pub mod guard;
pub mod traffic;
pub mod transform;
pub mod upstream;
pub mod used;
pub mod validation;

use std::iter;

pub use adaptive::{AdaptedLimit, Bounds, EstimateId};
pub use addresses::Addresses;
pub use body_limits::BodyLimits;
pub use changes::Changes;
pub use cidr::Cidr;
pub use claims::{Claims, NO_CLAIMS};
pub use counters::Limits;
pub use cx::{
    AdmittingCredentials, Charge, ConcurrencyPermits, Cx, LeaseNotice, LoggedRefusal, Page,
    Principal, QuotaWarning, RateNotice, Revoked,
};
pub use head::{FieldNames, RequestHead, ResponseHead, join_lines};
pub use key::Key;
pub use leases::{AcquireResult, KeySlot, Lease, Leases, PermitQueue, PermitWait};
pub use no_value::NoValue;
pub use phase::Phase;
pub use policy::{Never, Policy};
pub use protection::Protection;
pub use rate::moved::Unmoved;
pub use rate::{Admission, Algorithm, RateTable, Tokens, saved};
pub use reject::Reject;
pub use route_id::RouteId;
pub use secret::{
    Form, SecretCell, SecretRef, SecretRefError, SecretUnavailable, SecretValue, Secrets,
};
pub use step::{Documents, NO_DOCUMENTS, Reply, Run, Setting, StateId, Step};

/// Table of the kinds of policies that this version can run. Columns: CBOR tag (never reused),
/// value of `kind:`, variant, module.
macro_rules! policies {
    ($($tag:literal $key:literal $variant:ident $family:ident::$module:ident;)*) => {
        /// A policy in the bundle.
        #[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
        pub enum Checked {
            $(#[doc = concat!("`kind: ", $key, "`")] #[n($tag)] $variant(#[n(0)] $family::$module::Checked),)*
            /// A policy of a kind that this version knows but cannot run. Gateways refuse bundles
            /// with such a policy.
            #[n(101)] Declared(#[n(0)] declared::Checked),
        }

        /// A policy at run time. Parameters (`timeout`, `retry`) have no filter; their variants are
        /// never constructed.
        #[derive(Debug)]
        pub enum Filter {
            $(#[doc = concat!("`kind: ", $key, "`")]
            $variant(<$family::$module::Checked as Policy>::Filter),)*
        }

        /// Matches a policy: evaluates `$value` with the settings of a kind that can run, or
        /// `$other` with those of a kind that cannot run.
        macro_rules! each {
            ($of:expr, $policy:ident => $value:expr, $declared:ident => $other:expr) => {
                match $of {
                    $(Checked::$variant($policy) => $value,)*
                    Checked::Declared($declared) => $other,
                }
            };
        }

        impl Checked {
            /// Value of `kind:`.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $key,)*
                    Self::Declared(declared) => &declared.kind,
                }
            }

            /// Builds the filter. `None` for a parameter, and for a kind that cannot run; the crate
            /// `engine` has refused bundles with such a kind.
            ///
            /// # Errors
            /// A secret cannot be resolved.
            pub fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
                match self {
                    $(Self::$variant(checked) => Ok(checked.filter(setting)?.map(Filter::$variant)),)*
                    Self::Declared(_) => Ok(None),
                }
            }
        }

        impl Run for Filter {
            fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
                match self { $(Self::$variant(filter) => filter.on_request(head, cx),)* }
            }

            fn on_response<'a>(&'a self, head: &mut ResponseHead, cx: &mut Cx<'a>) {
                match self { $(Self::$variant(filter) => filter.on_response(head, cx),)* }
            }

            fn reads_path(&self) -> bool {
                match self { $(Self::$variant(filter) => filter.reads_path(),)* }
            }

            fn depends_on_path(&self) -> bool {
                match self { $(Self::$variant(filter) => filter.depends_on_path(),)* }
            }

            fn depends_on_query(&self) -> bool {
                match self { $(Self::$variant(filter) => filter.depends_on_query(),)* }
            }

            fn depends_on_route(&self) -> bool {
                match self { $(Self::$variant(filter) => filter.depends_on_route(),)* }
            }

            fn sends_path_to_service(&self) -> bool {
                match self { $(Self::$variant(filter) => filter.sends_path_to_service(),)* }
            }

            fn edited_fields(&self) -> [Vec<http::HeaderName>; 2] {
                match self { $(Self::$variant(filter) => filter.edited_fields(),)* }
            }

            fn read_fields(&self) -> Vec<http::HeaderName> {
                match self { $(Self::$variant(filter) => filter.read_fields(),)* }
            }

            fn sends_unsafe(&self) -> bool {
                match self { $(Self::$variant(filter) => filter.sends_unsafe(),)* }
            }

            fn decorates(&self) -> bool {
                match self { $(Self::$variant(filter) => filter.decorates(),)* }
            }

            fn before<'a>(&'a self, head: &RequestHead, cx: &mut Cx<'a>) {
                match self { $(Self::$variant(filter) => filter.before(head, cx),)* }
            }
        }

        impl Filter {
            /// Value of `kind:`.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $key,)* }
            }
        }

        /// Features of policies that this version can run. The names are those in a bundle's
        /// `needs`.
        pub fn provides() -> impl Iterator<Item = &'static str> {
            let kinds: [(&str, &[&str]); _] = [
                $((concat!("policy:", $key), <$family::$module::Checked as Policy>::FEATURES),)*
            ];
            kinds.into_iter().flat_map(|(kind, more)| iter::once(kind).chain(more.iter().copied()))
        }

        /// Classes of changes, for plans: how differences in the settings of a kind of policy
        /// affect requests.
        #[must_use]
        pub fn changes(kind: &str) -> &'static Changes {
            match kind {
                $($key => &<$family::$module::Checked as Policy>::CHANGES,)*
                _ => declared::changes(kind),
            }
        }

        /// Property of requests for which a kind of policy refuses them. `None` for a kind that
        /// protects nothing.
        #[must_use]
        pub fn protection(kind: &str) -> Option<Protection> {
            match kind {
                $($key => <$family::$module::Checked as Policy>::PROTECTION,)*
                _ => declared::protection(kind),
            }
        }

        /// Refusals of requests by a kind of policy. Empty for a kind that cannot run.
        #[must_use]
        pub fn refusals(kind: &str) -> &'static [&'static Reject] {
            match kind {
                $($key => <$family::$module::Checked as Policy>::REFUSALS,)*
                _ => &[],
            }
        }

        /// Prefixes of the ids of access changes that settings of a kind of policy cause.
        fn change_ids(kind: &str) -> &'static [&'static str] {
            match kind {
                $($key => <$family::$module::Checked as Policy>::CHANGE_IDS,)*
                _ => &[],
            }
        }

        /// Reason why gwc cannot know the decision of a kind of policy about a request. `None` if
        /// gwc evaluates the kind, and for a kind that cannot run.
        #[must_use]
        pub fn unknown_decision(kind: &str) -> Option<&'static str> {
            match kind {
                $($key => <$family::$module::Checked as Policy>::UNKNOWN_DECISION,)*
                _ => None,
            }
        }

        /// Kinds of policies that this version can run.
        const RUNNING: &[&str] = &[$($key),*];

        /// Kinds of policies that run, each with the source text of its module.
        #[cfg(test)]
        const SOURCES: &[(&str, &str)] = &[
            $(($key, include_str!(concat!(stringify!($family), "/", stringify!($module), ".rs"))),)*
        ];

        #[cfg(feature = "author")]
        mod kinds {
            use super::*;

            /// Reads and checks a policy from a node that fits [`KINDS`].
            pub fn check(kind: &str, node: diag::NodeRef<'_>, sink: &mut diag::Sink) -> Option<Checked> {
                match kind {
                    $($key => $family::$module::author::check(node, sink).map(Checked::$variant),)*
                    _ => None,
                }
            }

            /// Samples of policies of all kinds that this version can run. Each sample is a line of
            /// gateway.yaml, `NAME: {kind: …}`. Together they have every key of their kinds, except
            /// keys that upstreams have as well.
            pub fn samples() -> impl Iterator<Item = &'static str> {
                [$($family::$module::author::SAMPLES),*].into_iter().flatten().copied()
            }

            /// Kinds of policies that this version can run.
            pub(super) const RUN: &[diag::shape::Variant] = &[
                $(diag::shape::Variant {
                    kind: $key,
                    object: &$family::$module::author::SHAPE,
                    runs: true,
                },)*
            ];
        }
    };
}

policies! {
    1 "rate_limit"        RateLimit      traffic::rate_limit;
    2 "headers"           Headers        transform::headers;
    3 "respond"           Respond        transform::respond;
    4 "split"             Split          traffic::split;
    5 "mirror"            Mirror         traffic::mirror;
    6 "rewrite"           Rewrite        transform::rewrite;
    7 "redirect"          Redirect       transform::redirect;
    8 "deprecation"       Deprecation    transform::deprecation;
    9 "concurrency"       Concurrency    traffic::concurrency;
    10 "ip_filter"        IpFilter       guard::ip_filter;
    11 "cors"             Cors           guard::cors;
    12 "csrf"             Csrf           guard::csrf;
    13 "authorize"        Authorize      guard::authorize;
    14 "forward_auth"     ForwardAuth    guard::forward_auth;
    15 "quota"            Quota          traffic::quota;
    16 "validate"         Validate       guard::validate;
    17 "body_limit"       BodyLimit      traffic::body_limit;
    18 "threat"           Threat         guard::threat;
    19 "ext_proc"         ExtProc        guard::ext_proc;
    20 "log_fields"       LogFields      traffic::log_fields;
    100 "timeout"         Timeout        traffic::timeout;
    102 "retry"           Retry          traffic::retry;
    103 "circuit_breaker" CircuitBreaker traffic::circuit_breaker;
}

/// Kinds of policies with this protection: those that run, then those that cannot run yet.
pub fn protecting(protection: Protection) -> impl Iterator<Item = &'static str> {
    let kinds = RUNNING.iter().chain(declared::PROTECTING).copied();
    kinds.filter(move |kind| self::protection(kind) == Some(protection))
}

/// Kinds of policies whose settings cause changes of access with this id.
pub fn changing(id: &str) -> impl Iterator<Item = &'static str> {
    let kinds = RUNNING.iter().copied();
    kinds.filter(move |kind| change_ids(kind).iter().any(|start| id.starts_with(start)))
}

/// Refusals of requests by all kinds of policies that run.
pub fn all_refusals() -> impl Iterator<Item = &'static Reject> {
    let kinds = RUNNING.iter().copied();
    kinds.flat_map(refusals).copied()
}

/// Kinds of policies whose decision about a request gwc cannot know.
pub fn undecidable() -> impl Iterator<Item = &'static str> {
    let kinds = RUNNING.iter().copied();
    kinds.filter(|kind| unknown_decision(kind).is_some())
}

/// True for a kind of policy that only sets a limit.
#[must_use]
pub fn is_limit(kind: &str) -> bool {
    protection(kind) == Some(Protection::Limit)
}

impl Checked {
    /// Phase in the chain. `None` for a parameter (`timeout`, `retry`), which applies to the whole
    /// exchange.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        each!(self, policy => policy.phase(), declared => Some(declared.phase()))
    }

    /// Settings in the form of [`declared::Settings`], for the comparison in plans.
    #[must_use]
    pub fn settings(&self) -> declared::Settings {
        each!(self, policy => policy.settings(), declared => declared.settings.clone())
    }

    /// Feature that a gateway must have to run the policy, as named in a bundle's `needs`.
    #[must_use]
    pub fn need(&self) -> String {
        let kind = self.kind();
        let feature = each!(self, policy => policy.feature(), _declared => None);
        match (feature, self) {
            (Some(feature), _) => feature.to_owned(),
            // This version can run the kind, but does not support one of its settings.
            (None, Self::Declared(_)) if provides().any(|one| one == format!("policy:{kind}")) => {
                format!("policy:{kind}:later")
            }
            (None, _) => format!("policy:{kind}"),
        }
    }

    /// Names of the upstreams to which the policy sends requests or copies.
    #[must_use]
    pub fn upstreams(&self) -> Vec<&str> {
        each!(self, policy => policy.upstreams(), _declared => Vec::new())
    }

    /// Replaces the name of each upstream by the result of `name`.
    pub fn rename_upstreams(&mut self, name: &dyn Fn(&str) -> String) {
        each!(self, policy => policy.rename_upstreams(name), _declared => ());
    }

    /// Path template with which the policy replaces a request's path. `None` if the policy replaces
    /// no path.
    #[must_use]
    pub fn path_text(&self) -> Option<&path_text::PathText> {
        each!(self, policy => policy.path_text(), _declared => None)
    }

    /// Store of the counters. `None` if the counters are local.
    #[must_use]
    pub fn store(&self) -> Option<&store::Checked> {
        each!(self, policy => policy.store(), _declared => None)
    }

    /// Calls `bind` with the policy's store, if the policy uses a store. `bind` adds the settings
    /// of the store, because users write only its name in a policy.
    pub fn bind_store(&mut self, bind: &dyn Fn(&mut store::Checked)) {
        each!(self, policy => policy.store_mut().map_or((), bind), _declared => ());
    }

    /// Limits the policy to consumers with one of these plans. Returns false if the policy cannot
    /// be limited to plans: it does not limit requests, or it runs before the caller is known.
    pub fn limit_to(&mut self, plans: plans::Plans) -> bool {
        if self.phase() < Some(Phase::Limit) {
            return false;
        }
        let place = each!(self, policy => policy.plans_mut(), _declared => None);
        place.map(|place| *place = Some(plans)).is_some()
    }

    /// Secret references in the settings.
    #[must_use]
    pub fn secrets(&self) -> Vec<&SecretRef> {
        each!(self, policy => policy.secrets(), _declared => Vec::new())
    }

    /// Time in which a caller that has used up the limit gets the whole limit again, in
    /// milliseconds ([`Policy::recovery_ms`]).
    #[must_use]
    pub fn recovery_ms(&self) -> u64 {
        each!(self, policy => policy.recovery_ms(), _declared => 0)
    }

    /// True for a policy that counts requests ([`Policy::key`]).
    #[must_use]
    pub fn has_counters(&self) -> bool {
        each!(self, policy => policy.key().is_some(), _declared => false)
    }

    /// Text that identifies the policy's counters: algorithm and key. Policies with different texts
    /// have separate counters. Empty for a policy without counters.
    #[must_use]
    pub fn counter(&self) -> String {
        each!(self, policy => policy.counter(), _declared => String::new())
    }
}

impl Filter {
    /// False if the policy is a limit for consumers of some plans, and the caller has none of these
    /// plans. The step then continues without counting the request.
    #[must_use]
    pub fn applies(&self, cx: &Cx<'_>) -> bool {
        match self {
            Self::RateLimit(limit) => limit.applies(cx),
            Self::Quota(quota) => quota.applies(cx),
            Self::Concurrency(limit) => limit.applies(cx),
            _ => true,
        }
    }
}

#[cfg(feature = "author")]
pub use author::{KIND_NAMES, KINDS, LINTS};
#[cfg(feature = "author")]
pub use kinds::{check, samples};

#[cfg(feature = "author")]
mod author {
    //! Kinds of policies and their lints, for kinds that this version can run and kinds that it
    //! cannot run yet.

    use diag::Lint;
    use diag::shape::Variant;

    use crate::{guard, limits, traffic, transform};

    /// Lints of policies and verifiers.
    pub const LINTS: &[&Lint] = &[
        &guard::cors::author::WILDCARD_WITH_CREDENTIALS,
        &guard::authorize::author::BAD_EXPRESSION,
        &guard::ext_proc::author::WITHOUT_HTTP2,
        &guard::ext_proc::author::BUFFERED_STREAM,
        &limits::CONTRADICTING_LIMITS,
        &crate::auth::jwt::author::ALGORITHM_MISMATCH,
        &crate::auth::jwt::author::ALGORITHM_WITHOUT_KEY,
        &crate::auth::jwt::author::BAD_KEY,
        &crate::auth::jwt::author::UNUSED_KEY,
    ];

    macro_rules! later {
        ($($key:literal $family:ident $module:ident;)*) => {
            /// Kinds of policies that this version knows but cannot run yet.
            const LATER: &[Variant] = &[
                $(Variant { kind: $key, object: &$family::$module::author::SHAPE, runs: false },)*
            ];
        };
    }

    later! {
        "mock"            transform mock;
        "cache"           traffic cache;
        "compress"        traffic compress;
        "fault"           traffic fault;
        "transform"       transform bodies;
        "grpc_web"        transform grpc_web;
        "grpc_json"       transform grpc_json;
        "graphql_guard"   guard graphql_guard;
        "compose"         transform compose;
        "llm"             traffic llm;
    }

    /// All kinds of policies: those that run, then those that cannot run yet.
    pub static KINDS: &[Variant] = &join();

    /// Names of all kinds of policies.
    pub static KIND_NAMES: &[&str] = &names();

    const COUNT: usize = crate::kinds::RUN.len() + LATER.len();

    const fn names() -> [&'static str; COUNT] {
        let all = join();
        let mut names = [""; COUNT];
        let mut at = 0;
        while at < COUNT {
            names[at] = all[at].kind;
            at += 1;
        }
        names
    }

    const fn join() -> [Variant; COUNT] {
        let mut all = [crate::kinds::RUN[0]; COUNT];
        let (mut at, mut next) = (0, 0);
        while at < crate::kinds::RUN.len() {
            all[at] = crate::kinds::RUN[at];
            at += 1;
        }
        while next < LATER.len() {
            all[at + next] = LATER[next];
            next += 1;
        }
        all
    }
}
