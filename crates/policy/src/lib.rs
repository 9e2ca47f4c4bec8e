//! Every policy, one file each: what is written, what is checked, what runs.
//!
//! A policy has up to three nouns, always used qualified (`rate_limit::Checked`):
//! - `Checked`: what the bundle carries; it cannot be wrong, so nobody checks it again;
//! - `Filter`: what runs, with all that can be prepared prepared;
//! - `author::SHAPE` and `author::check` (feature `author`): what a user writes.
//!
//! Policies are pure: they see heads and a [`Cx`], and answer with a [`Step`]. They never wait,
//! read no clock and no file; gwc runs the same code to answer "what would this request get?".

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod claims;
pub mod conditions;
mod cx;
pub mod declared;
pub mod draw;
#[cfg(feature = "author")]
pub mod forms;
mod head;
mod key;
mod leases;
#[cfg(feature = "author")]
pub mod limits;
pub mod mirrored;
mod parameters;
mod phase;
mod rate;
pub mod rewritten;
mod secret;
pub mod state;
mod step;

pub mod auth;
pub mod guard;
pub mod traffic;
pub mod transform;
pub mod upstream;

pub use claims::{Claims, NO_CLAIMS};
pub use cx::{
    Charge, Cx, Held, LeaseNotice, Limits, Principal, RateNotice, Revoked, RouteId, Shown,
};
pub use head::{RequestHead, ResponseHead};
pub use key::Key;
pub use leases::{Lease, Leases};
pub use phase::Phase;
pub use rate::{Admission, RateTable, Tokens};
pub use secret::{
    Form, SecretCell, SecretRef, SecretRefError, SecretUnavailable, SecretValue, Secrets,
};
pub use step::{Reject, Reply, Run, Setting, StateId, Step};

use traffic::{circuit_breaker, concurrency, mirror, rate_limit, retry, split, timeout};
use transform::{deprecation, headers, redirect, respond, rewrite};

/// One row per policy that runs as a step:
/// tag (never used again), key in `kind:`, variant, module.
macro_rules! policies {
    ($($tag:literal $key:literal $variant:ident $module:ident;)*) => {
        /// A policy as the bundle carries it.
        #[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
        pub enum Checked {
            $(#[doc = concat!("`kind: ", $key, "`")] #[n($tag)] $variant(#[n(0)] $module::Checked),)*
            /// `kind: timeout`: a parameter, not a step.
            #[n(100)] Timeout(#[n(0)] timeout::Checked),
            /// A kind that this version knows and cannot run; no gateway takes it.
            #[n(101)] Declared(#[n(0)] declared::Checked),
            /// `kind: retry`: a parameter of the attempt, which has its place in the chain.
            #[n(102)] Retry(#[n(0)] retry::Checked),
            /// `kind: circuit_breaker`: the same.
            #[n(103)] CircuitBreaker(#[n(0)] circuit_breaker::Checked),
        }

        /// A policy that runs.
        #[derive(Debug)]
        pub enum Filter {
            $(#[doc = concat!("`kind: ", $key, "`")] $variant($module::Filter),)*
        }

        impl Checked {
            /// The word after `kind:`.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self { $(Self::$variant(_) => $key,)*
                    Self::Timeout(_) => "timeout",
                    Self::Retry(_) => "retry",
                    Self::CircuitBreaker(_) => "circuit_breaker",
                    Self::Declared(declared) => &declared.kind,
                }
            }

            /// Where in the chain it runs; none for a parameter.
            #[must_use]
            pub fn phase(&self) -> Option<Phase> {
                match self {
                    $(Self::$variant(checked) => Some(checked.phase()),)*
                    Self::Timeout(_) => None,
                    Self::Retry(_) | Self::CircuitBreaker(_) => Some(Phase::Attempt),
                    Self::Declared(declared) => Some(declared.phase()),
                }
            }

            /// Its settings, in the form in which all kinds are compared.
            #[must_use]
            pub fn settings(&self) -> declared::Settings {
                match self {
                    $(Self::$variant(checked) => checked.settings(),)*
                    Self::Timeout(checked) => checked.settings(),
                    Self::Retry(checked) => checked.settings(),
                    Self::CircuitBreaker(checked) => checked.settings(),
                    Self::Declared(declared) => declared.settings.clone(),
                }
            }

            /// Prepares what runs; none for a parameter, and for what cannot run, which the
            /// engine has refused. Fails only where a secret cannot be resolved.
            pub fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
                match self {
                    $(Self::$variant(checked) => Ok(Some(Filter::$variant(checked.filter(setting)?))),)*
                    Self::Timeout(_) | Self::Retry(_) | Self::CircuitBreaker(_) | Self::Declared(_) => Ok(None),
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
        }

        impl Filter {
            /// The word after `kind:`.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $key,)* }
            }
        }

        #[cfg(feature = "author")]
        mod kinds {
            use super::*;

            /// Reads and checks one policy whose node fits [`KINDS`].
            pub fn check(kind: &str, node: diag::NodeRef<'_>, sink: &mut diag::Sink) -> Option<Checked> {
                match kind {
                    $($key => $module::author::check(node, sink).map(Checked::$variant),)*
                    "timeout" => timeout::author::check(node, sink).map(Checked::Timeout),
                    "retry" => retry::author::check(node, sink).map(Checked::Retry),
                    "circuit_breaker" => {
                        circuit_breaker::author::check(node, sink).map(Checked::CircuitBreaker)
                    }
                    _ => None,
                }
            }

            /// Every kind of policy that runs.
            pub(super) const RUN: &[diag::shape::Variant] = &[
                $(diag::shape::Variant { kind: $key, object: &$module::author::SHAPE, runs: true },)*
                diag::shape::Variant { kind: "timeout", object: &timeout::author::SHAPE, runs: true },
                diag::shape::Variant { kind: "retry", object: &retry::author::SHAPE, runs: true },
                diag::shape::Variant {
                    kind: "circuit_breaker",
                    object: &circuit_breaker::author::SHAPE,
                    runs: true,
                },
            ];
        }
    };
}

policies! {
    1 "rate_limit" RateLimit rate_limit;
    2 "headers"    Headers   headers;
    3 "respond"    Respond   respond;
    4 "split"       Split       split;
    5 "mirror"      Mirror      mirror;
    6 "rewrite"     Rewrite     rewrite;
    7 "redirect"    Redirect    redirect;
    8 "deprecation" Deprecation deprecation;
    9 "concurrency" Concurrency concurrency;
}

impl Checked {
    /// The services that it sends requests or copies to.
    pub fn upstreams(&self) -> Vec<&str> {
        match self {
            Self::Split(split) => split.upstreams().collect(),
            Self::Mirror(mirror) => vec![mirror.upstream()],
            Self::RateLimit(_)
            | Self::Headers(_)
            | Self::Respond(_)
            | Self::Rewrite(_)
            | Self::Redirect(_)
            | Self::Deprecation(_)
            | Self::Concurrency(_)
            | Self::Timeout(_)
            | Self::Retry(_)
            | Self::CircuitBreaker(_)
            | Self::Declared(_) => Vec::new(),
        }
    }

    /// Calls the services that it names as somebody else does.
    pub fn rename_upstreams(&mut self, name: &dyn Fn(&str) -> String) {
        match self {
            Self::Split(split) => split.rename_upstreams(name),
            Self::Mirror(mirror) => mirror.rename_upstream(name),
            Self::RateLimit(_)
            | Self::Headers(_)
            | Self::Respond(_)
            | Self::Rewrite(_)
            | Self::Redirect(_)
            | Self::Deprecation(_)
            | Self::Concurrency(_)
            | Self::Timeout(_)
            | Self::Retry(_)
            | Self::CircuitBreaker(_)
            | Self::Declared(_) => {}
        }
    }

    /// The path that it makes of a request's.
    #[must_use]
    pub fn path_text(&self) -> Option<&transform::path_text::PathText> {
        match self {
            Self::Rewrite(rewrite) => rewrite.path(),
            Self::Redirect(redirect) => redirect.path(),
            Self::RateLimit(_)
            | Self::Headers(_)
            | Self::Respond(_)
            | Self::Split(_)
            | Self::Mirror(_)
            | Self::Deprecation(_)
            | Self::Concurrency(_)
            | Self::Timeout(_)
            | Self::Retry(_)
            | Self::CircuitBreaker(_)
            | Self::Declared(_) => None,
        }
    }
}

impl Filter {
    /// True if the filter makes a path of the request's path: an escaped separator in that could
    /// then become a separator (semantics.md §2).
    #[must_use]
    pub fn reads_path(&self) -> bool {
        match self {
            Self::Rewrite(rewrite) => rewrite.reads_path(),
            Self::Redirect(redirect) => redirect.reads_path(),
            Self::RateLimit(_)
            | Self::Headers(_)
            | Self::Respond(_)
            | Self::Split(_)
            | Self::Mirror(_)
            | Self::Deprecation(_)
            | Self::Concurrency(_) => false,
        }
    }
}

#[cfg(feature = "author")]
pub use author::{KINDS, LINTS};
#[cfg(feature = "author")]
pub use kinds::check;

#[cfg(feature = "author")]
mod author {
    //! Kinds of policies and their findings, for kinds that run and kinds that do not run yet.

    use diag::Lint;
    use diag::shape::Variant;

    use crate::{guard, limits, traffic, transform};

    /// Findings of policies and verifiers.
    pub const LINTS: &[&Lint] = &[
        &guard::cors::author::WILDCARD_WITH_CREDENTIALS,
        &limits::CONTRADICTING_LIMITS,
        &crate::auth::jwt::author::ALGORITHM_MISMATCH,
    ];

    macro_rules! later {
        ($($key:literal $family:ident $module:ident;)*) => {
            /// Every kind of policy that is known and cannot run yet.
            const LATER: &[Variant] = &[
                $(Variant { kind: $key, object: &$family::$module::author::SHAPE, runs: false },)*
            ];
        };
    }

    later! {
        "ip_filter"       guard ip_filter;
        "cors"            guard cors;
        "csrf"            guard csrf;
        "forward_auth"    guard forward_auth;
        "authorize"       guard authorize;
        "quota"           traffic quota;
        "body_limit"      traffic body_limit;
        "validate"        guard validate;
        "mock"            transform mock;
        "cache"           traffic cache;
        "compress"        traffic compress;
        "fault"           traffic fault;
        "transform"       transform bodies;
        "grpc_web"        transform grpc_web;
        "grpc_json"       transform grpc_json;
        "graphql_guard"   guard graphql_guard;
        "compose"         transform compose;
        "threat"          guard threat;
        "llm"             traffic llm;
    }

    /// Every kind of policy: those that run, then those that cannot run yet.
    pub static KINDS: &[Variant] = &join();

    const fn join() -> [Variant; crate::kinds::RUN.len() + LATER.len()] {
        let mut all = [crate::kinds::RUN[0]; crate::kinds::RUN.len() + LATER.len()];
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
