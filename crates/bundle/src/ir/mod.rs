//! Intermediate representation of a gateway, resolved and checked: the output of gwc and the input
//! of gwd.
//!
//! The blobs of APIs refer to listeners, upstreams, verifiers and policies by name; `engine::build`
//! converts the names to indices. There are no defaults: gwc writes every limit and timeout.

mod api;
mod contract;
mod declared;
mod discovery;
mod forwarding;
mod identity;
mod messages;
mod proxy_protocol;
mod security;
mod server;
mod set;
mod shared;
mod template;
mod tls;
mod upstream;
mod value;

pub use api::{
    Api, Condition, Hidden, Link, Mount, Operation, Owns, PathReadings, Test, TrailingSlash,
    Treatment,
};
pub use contract::{
    Body, Contract, ContractOperation, Header, MediaType, Parameter, ParameterPlace, Response,
};
pub use discovery::{Discovery, Dns, HostFile};
pub use forwarding::{Forwarding, OVERRIDE_FIELDS};
pub use identity::{IdentityFields, IdentityParts, written_identity};
pub use messages::{Messages, ValidatedMessages};
pub use policy::Cidr;
pub use proxy_protocol::ProxyProtocol;
pub use security::{Alternative, Passes, Scheme, SchemeUse, Security, Verify};
pub use server::{Servers, server};
pub use set::{Named, NotASet, Set};
pub use shared::{
    ApiRef, CertificateFields, Consumer, ConsumerCertificate, Credential, ForwardingField, Holder,
    HolderName, Listener, ListenerLimits, Password, Policy, Protocol, Shared, Verifier,
    addresses_collide,
};
pub use template::{Pattern, Segment, Template, TemplateFault, TemplateFaultKind};
pub use tls::{
    Certificate, ClientAuth, ClientAuthMode, ClientCertificate, ListenerTls, TlsVersion,
    UpstreamTls,
};
pub use upstream::{
    HostHeader, ProxyVersion, RewriteResponses, Target, Upstream, UpstreamProtocol,
    shared_connections,
};
pub use value::{VALUE_DEPTH_MAX, Value};

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A complete gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Definitions that do not belong to a single API: listeners, upstreams, verifiers, consumers,
    /// policies.
    pub shared: Shared,
    /// Routing and processing of the requests of each API.
    pub apis: Set<Api>,
}

impl Gateway {
    /// Features that a gwd must have to run the gateway, for `needs` of the config blob.
    #[must_use]
    pub fn needs(&self) -> Vec<String> {
        let mut needs: BTreeSet<String> = self.shared.needs().collect();
        needs.extend(self.apis.iter().flat_map(Api::needs));
        needs.into_iter().collect()
    }
}

/// Features that this version can run, sorted. The names are those in `needs`.
#[must_use]
pub fn provides() -> &'static [&'static str] {
    static ALL: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let mut all: Vec<&str> = OWN.to_vec();
        all.extend(policy::auth::provides());
        all.extend(policy::provides());
        all.sort_unstable();
        all
    });
    &ALL
}

/// Features that this version can run, except those of policies and verifiers.
const OWN: &[&str] = &[
    "api:errors",
    "api:undeclared_methods",
    "api:unmatched",
    "consumer:argon2id",
    "consumer:certificates",
    "consumer:claims",
    "consumer:groups",
    "consumer:metadata",
    "consumer:plan",
    "consumer:tokens",
    "gateway:errors",
    "listener:forward_client_cert",
    "listener:forwarding_fields",
    "listener:http2",
    "listener:merge_slashes",
    "listener:proxy_protocol",
    "listener:tls",
    "media_type:item_schema",
    "operation:cost",
    "operation:deprecated",
    "operation:idempotent",
    "operation:log",
    "operation:mirror",
    "operation:not_forwarded",
    "operation:override_fields",
    "operation:path_readings",
    "operation:redact",
    "operation:rewrite",
    "operation:roles",
    "operation:split",
    "operation:stream",
    "operation:streams",
    "operation:undeclared_params",
    "operation:validate",
    "operation:validate_response",
    "operation:websocket",
    "operation:retries",
    "schema:limits",
    "scheme:claims_to_headers",
    "scheme:forward_as",
    "upstream:bounded_load",
    "upstream:circuit_breaker",
    "upstream:dns",
    "upstream:file",
    "upstream:hash_on",
    "upstream:hash_on:claim",
    "upstream:health",
    "upstream:health:active",
    "upstream:lb",
    "upstream:limits",
    "upstream:limits:connections",
    "upstream:limits:response_header_bytes",
    "upstream:protocol",
    "upstream:protocol:alpn",
    "upstream:proxy_protocol",
    "upstream:retries",
    "upstream:rewrite_responses",
    "upstream:slow_start",
    "upstream:tls",
    "upstream:unix",
    "upstream:zone",
];

/// First feature of `needs` that this version cannot run. `None` if this version can run all
/// features.
#[must_use]
pub fn missing(needs: &[String]) -> Option<&str> {
    needs
        .iter()
        .map(String::as_str)
        .find(|need| !provides().contains(need))
}
