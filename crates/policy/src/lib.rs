//! Every policy, one file each: what is written, what is checked, what runs.
//!
//! A policy has up to three nouns, always used qualified (`rate_limit::Checked`):
//! - `Checked`: what the bundle carries; it cannot be wrong, so nobody checks it again;
//! - `Filter`: what runs, with all that can be prepared prepared;
//! - `author::SHAPE` and `author::check` (feature `author`): what a user writes.
//!
//! Policies are pure: they see heads and a [`Cx`], and answer with a [`Step`]. They never wait,
//! read no clock and no file; gwc runs the same code to answer "what would this request get?".

mod cx;
mod head;
mod phase;
mod rate;
mod secret;
mod step;

pub mod auth;
pub mod traffic;
pub mod transform;

pub use cx::{Charge, Cx, Limits, Principal, RateNotice, Revoked};
pub use head::{RequestHead, ResponseHead};
pub use phase::Phase;
pub use rate::{Admission, RateTable, Tokens};
pub use secret::{Form, SecretCell, SecretRef, SecretRefError, SecretUnavailable, Secrets};
pub use step::{Reject, Reply, Run, Setting, StateId, Step};

use traffic::{rate_limit, timeout};
use transform::{headers, respond};

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
        }

        /// A policy that runs.
        #[derive(Debug)]
        pub enum Filter {
            $(#[doc = concat!("`kind: ", $key, "`")] $variant($module::Filter),)*
        }

        impl Checked {
            /// The word after `kind:`.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $key,)* Self::Timeout(_) => "timeout" }
            }

            /// Where in the chain it runs; none for a parameter.
            #[must_use]
            pub fn phase(&self) -> Option<Phase> {
                match self { $(Self::$variant(checked) => Some(checked.phase()),)* Self::Timeout(_) => None }
            }

            /// Prepares what runs; none for a parameter. Fails only where a secret cannot be
            /// resolved.
            pub fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
                match self {
                    $(Self::$variant(checked) => Ok(Some(Filter::$variant(checked.filter(setting)?))),)*
                    Self::Timeout(_) => Ok(None),
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
                    _ => None,
                }
            }

            /// Every kind of policy: those that run and those that are known but not available.
            pub static KINDS: &[diag::shape::Variant] = &[
                $(diag::shape::Variant { kind: $key, object: Some(&$module::author::SHAPE), doc: $module::author::SHAPE.what },)*
                diag::shape::Variant { kind: "timeout", object: Some(&timeout::author::SHAPE), doc: timeout::author::SHAPE.what },
                later("ip_filter"), later("cors"), later("csrf"), later("forward_auth"), later("authorize"),
                later("quota"), later("concurrency"), later("body_limit"), later("validate"), later("rewrite"),
                later("redirect"), later("mock"), later("cache"), later("compress"), later("retry"),
                later("circuit_breaker"), later("split"), later("mirror"), later("deprecation"), later("fault"),
                later("transform"), later("grpc_web"), later("grpc_json"), later("graphql_guard"), later("compose"),
                later("threat"), later("llm"),
            ];

            const fn later(kind: &'static str) -> diag::shape::Variant {
                diag::shape::Variant { kind, object: None, doc: "not available yet" }
            }
        }
    };
}

policies! {
    1 "rate_limit" RateLimit rate_limit;
    2 "headers"    Headers   headers;
    3 "respond"    Respond   respond;
}

#[cfg(feature = "author")]
pub use kinds::{KINDS, check};
