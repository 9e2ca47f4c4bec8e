//! Gateway in the form that serves requests: immutable, flat, with integer indices instead of
//! names.

use std::sync::Arc;

use bundle::ir::{Operation, PathReadings, Upstream};
use http::HeaderName;
use policy::auth::{Removals, Windows};
use policy::key_cell::KeyCell;
use policy::logged::{LoggedParameters, RedactedValue};
use policy::store::Store;
use policy::traffic::{circuit_breaker, retry};
use policy::used::Table;
use policy::validation::Mode;
use policy::{Filter, Reject, RequestHead, RouteId, Run as _, StateId};

use crate::api_part::ApiPart;
use crate::authenticate::Requirement;
use crate::consumers::Consumers;
use crate::error_shapes::{ErrorShape, ErrorShapes};
use crate::listener::Listener;
use crate::router::{self, ApiRouter, Contender, HostPattern, HostTable, RejectReason};
use crate::unknown_paths::UnknownPaths;

/// A gateway that is ready to serve. All workers share it behind an `Arc`.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) bundle: Box<str>,
    pub(crate) bundle_short: http::HeaderValue,
    pub(crate) project: Box<str>,
    pub(crate) expose_bundle: bool,
    pub(crate) listeners: Box<[Listener]>,
    pub(crate) upstreams: Box<[Upstream]>,
    pub(crate) consumers: Arc<Consumers>,
    pub(crate) apis: Box<[BuiltApi]>,
    pub(crate) mounts: Box<[Mount]>,
    pub(crate) routes: u32,
    pub(crate) errors: ErrorShapes,
    pub(crate) key_cells: Box<[Arc<KeyCell>]>,
    /// Longest validity windows of the verifiers that accept each credential once.
    pub(crate) windows: Windows,
    /// Stores in which verifiers record used credentials, with their tables.
    pub(crate) used_stores: Box<[(Table, Arc<Store>)]>,
    /// Names of the session cookies of all logins.
    pub(crate) session_cookies: Box<[Box<str>]>,
    /// Rules of the access log for paths that belong to no operation. `None` if no operation hides
    /// or hashes values in the access log.
    pub(crate) unknown_paths: Option<UnknownPaths>,
    /// Operations by the server that receives their requests, for `path_readings: keep`.
    pub(crate) servers: SharedServers,
}

#[derive(Debug)]
pub(crate) struct BuiltApi {
    pub(crate) part: Arc<ApiPart>,
    /// Router of the API part, stored here to save a pointer access on each request.
    pub(crate) router: Arc<ApiRouter>,
    pub(crate) treatments: Arc<[Treatment]>,
}

/// Servers that receive requests of operations with `path_readings: keep`. Empty if there are no
/// such operations.
#[derive(Debug, Default)]
pub(crate) struct SharedServers {
    pub(crate) servers: Box<[Server]>,
    /// For each upstream: its servers, as indices into `servers`, each with the path of the target.
    pub(crate) of_upstream: Box<[Vec<ServerTarget>]>,
    /// For each API and treatment: the upstreams that receive requests or copies of them.
    pub(crate) destinations: Box<[Box<[Vec<u32>]>]>,
    /// For each mount: true if all its listeners require a client certificate.
    pub(crate) certificate_mounts: Box<[bool]>,
    /// For each listener: true if it requires a client certificate.
    pub(crate) certificate_listeners: Box<[bool]>,
}

/// Server, or several servers with the same upstreams and target paths.
#[derive(Debug)]
pub(crate) struct Server {
    /// Upstreams with a target at the server.
    pub(crate) upstreams: Vec<u32>,
    /// Mounts of the operations whose requests the server receives. The base paths are those that
    /// the server receives.
    pub(crate) paths: HostTable,
}

/// Server as an index into [`SharedServers::servers`], and the path of a target at it.
pub(crate) type ServerTarget = (usize, Box<str>);

/// Mount: listeners, hosts and base path at which an API is reachable.
#[derive(Debug)]
pub struct Mount {
    /// The mount's name.
    pub name: Box<str>,
    /// Base path: empty, or `/…`.
    pub base_path: Box<str>,
    /// True if the base path is removed for the upstream.
    pub strip_base_path: bool,
    pub(crate) api: u32,
    /// Index of the route of the API's first operation at this mount.
    pub(crate) first_route: u32,
    /// Index of the same route in the list of the API's routes.
    pub(crate) first_in_api: u32,
    /// True if a host of the mount has operations with different access rules, or an `internal`
    /// operation.
    pub(crate) has_other_access: bool,
    /// True if a path or base path that a host of the mount describes has an upper-case letter
    /// or an escape. Always false if `has_other_access` is false.
    pub(crate) has_upper_or_escape: bool,
    /// True if a path that a host of the mount describes ends in a slash. Always false if
    /// `has_other_access` is false.
    pub(crate) has_final_slash: bool,
    /// True if an operation on a host of the mount has a condition on the query.
    pub(crate) has_query_conditions: bool,
}

/// Processing of the requests of an operation: security, chain, upstream and limits.
#[derive(Debug)]
pub struct Treatment {
    pub(crate) security: Requirement,
    /// Steps of the chain in order.
    pub chain: Box<[ChainStep]>,
    /// Upstream, as an index into [`Snapshot::upstreams`].
    pub upstream: u32,
    /// Timeout from the end of the request to the response head, in milliseconds.
    pub timeout_ms: u64,
    /// Maximum length of a request body, in bytes. `None`: unlimited.
    pub max_body_bytes: Option<u64>,
    /// Number of tokens that a request takes from each rate limit.
    pub(crate) cost: u64,
    /// True if a request may be retried regardless of its method.
    pub idempotent: bool,
    /// True if a request may be upgraded to a WebSocket.
    pub websocket: bool,
    /// True if responses have no defined end, such as event streams. Pauses in such a response are
    /// not errors.
    pub stream: bool,
    /// True if responses and WebSockets end when a credential of the request expires.
    pub closes_streams: bool,
    /// Declared fields that override path or method (such as `X-HTTP-Method-Override`). The gateway
    /// forwards these fields to the upstream.
    pub(crate) override_fields: Box<[String]>,
    /// Locations of the parameters that the upstream does not receive.
    pub(crate) not_forwarded: Removals,
    /// Parameters that the access log shows in another form than the default: kept, redacted or
    /// hashed.
    pub logged: LoggedParameters,
    /// Locations of redacted values (`redact`) in bodies and parameters. The findings of validation
    /// do not describe these values.
    pub redacted: Box<[RedactedValue]>,
    /// Fields that select the route, or by which a step of the chain decides, if their names can
    /// have lookalikes.
    pub(crate) read_fields: Box<[Box<str>]>,
    /// True if a step of the chain processes every response, refusals included.
    pub(crate) decorates: bool,
    /// Fields in which upstreams of the operation receive the caller's identity. An external
    /// processor must not change these fields. Empty if the chain has no processor.
    pub identity_fields: Box<[HeaderName]>,
    pub(crate) request_fields: Arc<[HeaderName]>,
    pub(crate) response_fields: Arc<[HeaderName]>,
    /// True if a step of the chain may send an unsafe method to the upstream.
    pub(crate) sends_unsafe: bool,
    /// True if a step of the chain uses path parameters.
    pub(crate) reads_path: bool,
    /// True if a step of the chain sends the path to another service.
    pub(crate) sends_path: bool,
    /// True if the decision of a step of the chain depends on the path of the request.
    pub(crate) depends_on_path: bool,
    /// True if the chain refuses requests that do not match their description, or removes
    /// parameters.
    pub(crate) validates: bool,
    /// True if the gateway's decision depends on the query, or the gateway changes the query. The
    /// reason can be a step of the chain other than validation, a credential, or a parameter that
    /// is not forwarded.
    pub(crate) depends_on_query: bool,
    /// True if the decision of a step of the chain depends on the route of the request.
    pub(crate) depends_on_route: bool,
    /// `path_readings`: handling of paths that an upstream may interpret as another path.
    pub(crate) path_readings: PathReadings,
    /// Digest of the access rules: security, chain and validation. Treatments with the same rules
    /// have the same digest, also in other APIs of the snapshot. [`OPEN`]: there are no rules.
    pub(crate) access: u128,
    /// Validation of the operation's responses. `None`: responses are not validated.
    pub response_validation: Option<ResponseValidation>,
    /// Retry settings of the operation or its chain. `None`: the settings of the upstream apply.
    pub retries: Option<retry::Checked>,
    /// Circuit breakers of the chain. They apply in addition to the upstream's breaker.
    pub breakers: Box<[CircuitBreaker]>,
}

/// [`Treatment::access`] of an operation without access rules.
pub(crate) const OPEN: u128 = 0;

impl Treatment {
    /// Filters that process every response, including those of requests that an earlier step
    /// refused.
    pub(crate) fn decorators(&self) -> impl Iterator<Item = &Filter> {
        let chain: &[ChainStep] = if self.decorates { &self.chain } else { &[] };
        chain.iter().filter_map(ChainStep::decorator)
    }
}

impl ChainStep {
    /// Filter of the step, if the filter processes every response. `None` for other steps.
    pub(crate) fn decorator(&self) -> Option<&Filter> {
        match self {
            Self::Filter(_, filter) if filter.decorates() => Some(filter),
            Self::Filter(..) | Self::Authenticate | Self::Strip | Self::RemoveParameters => None,
        }
    }
}

/// Validation of responses, in the strictest mode of a chain.
#[derive(Debug)]
pub struct ResponseValidation {
    /// Name of the policy with this mode, or `validate` for the operation's own setting.
    pub policy: Arc<str>,
    /// Handling of a response that does not match its description. Never `Off`.
    pub mode: Mode,
}

/// Circuit breaker of a chain.
#[derive(Debug)]
pub struct CircuitBreaker {
    /// Name of the policy.
    pub policy: Box<str>,
    /// Id of the policy's state, which outlives a bundle. This id and the upstream's id identify
    /// the breaker.
    pub state: StateId,
    /// Settings of the breaker.
    pub checked: circuit_breaker::Checked,
}

/// Step of a chain.
#[derive(Debug)]
pub enum ChainStep {
    /// Checks the security requirement.
    Authenticate,
    /// Removes credentials of schemes with `strip_credential`. Used if the operation is public.
    Strip,
    /// Removes the parameters that the upstream does not receive (`forward: false`).
    RemoveParameters,
    /// Runs a policy, given by name and filter. Chains that name the same policy share the filter.
    Filter(Arc<str>, Arc<Filter>),
}

/// A route: an operation at a mount of its API.
#[derive(Clone, Copy, Debug)]
pub struct RouteRef<'s> {
    /// Index of the API in [`Snapshot::apis`].
    pub api_index: u32,
    /// Index of the route among the API's routes, and in [`ApiPart::route_ids`].
    pub index_in_api: u32,
    /// Id of the route: `KEY@MOUNT`.
    pub id: &'s RouteId,
    /// Name of the API.
    pub api: &'s str,
    /// Operation of the route.
    pub operation: &'s Operation,
    /// Digest of the messages that the route validates ([`ApiPart::checks`]).
    pub(crate) checks: u64,
    /// Mount of the route.
    pub mount: &'s Mount,
    /// Settings for processing the route's requests.
    pub treatment: &'s Treatment,
}

impl RouteRef<'_> {
    /// True if the gateway applies the same access rules to requests of both routes.
    pub(crate) fn has_access_of(&self, other: &Self) -> bool {
        let same = (self.api_index, self.index_in_api) == (other.api_index, other.index_in_api);
        let access = |route: &Self| (route.treatment.access, route.checks);
        same || access(self) == access(other) && !self.treatment.depends_on_route
    }

    /// Index of the operation in [`ApiPart::operations`].
    #[must_use]
    pub fn operation_index(&self) -> usize {
        (self.index_in_api - self.mount.first_in_api) as usize
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The bundle's id, `sha256:…`.
    #[must_use]
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// Short id of the bundle, as sent in `x-gateway-bundle`.
    #[must_use]
    pub fn bundle_short(&self) -> &http::HeaderValue {
        &self.bundle_short
    }

    /// The project's name.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Custom response for an error: from the route's API, otherwise from the gateway. `None`: the
    /// default response.
    #[must_use]
    pub fn error_shape(&self, route: Option<&RouteRef<'_>>, reason: &str) -> Option<&ErrorShape> {
        let api = route.and_then(|route| self.apis.get(route.api_index as usize));
        let own = api.and_then(|api| api.part.errors.get(reason));
        own.or_else(|| self.errors.get(reason))
    }

    /// Status that the client receives for a refusal: the status that the custom response sets,
    /// otherwise the status of `reject`.
    #[must_use]
    pub fn status_of(&self, route: Option<&RouteRef<'_>>, reject: &Reject) -> u16 {
        let shape = self.error_shape(route, reject.code);
        let status = shape.and_then(|shape| shape.status);
        status.map_or(reject.status, |status| status.as_u16())
    }

    /// Key cells (caches of fetched keys) of the snapshot's verifiers.
    #[must_use]
    pub fn key_cells(&self) -> &[Arc<KeyCell>] {
        &self.key_cells
    }

    /// Longest validity windows of the verifiers that accept each credential once.
    #[must_use]
    pub fn windows(&self) -> Windows {
        self.windows
    }

    /// Stores in which verifiers record used credentials, with their tables.
    #[must_use]
    pub fn used_stores(&self) -> &[(Table, Arc<Store>)] {
        &self.used_stores
    }

    /// Listeners, sorted by name.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Upstreams, sorted by name.
    #[must_use]
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// Index of an upstream by its name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<u32> {
        let found = self
            .upstreams
            .binary_search_by(|one| one.name.as_str().cmp(name));
        found.ok().and_then(|index| u32::try_from(index).ok())
    }

    /// All routes in the order of their index.
    pub fn routes(&self) -> impl Iterator<Item = RouteRef<'_>> {
        (0..self.routes).map(|index| self.route(index))
    }

    /// The number of routes.
    #[must_use]
    pub fn route_count(&self) -> usize {
        self.routes as usize
    }

    /// APIs as built from their blobs, sorted by name.
    pub fn apis(&self) -> impl ExactSizeIterator<Item = &Arc<ApiPart>> {
        self.apis.iter().map(|api| &api.part)
    }

    /// Route by its index in the snapshot.
    fn route(&self, index: u32) -> RouteRef<'_> {
        let at = self
            .mounts
            .partition_point(|mount| mount.first_route <= index)
            - 1;
        let mount = &self.mounts[at];
        self.route_at(mount, index - mount.first_route)
    }

    /// All routes whose template matches a request, each with the reason why it is not selected.
    /// The selected route is the first one.
    #[must_use]
    pub fn contenders(
        &self,
        listener: usize,
        head: &RequestHead,
    ) -> Vec<(RouteRef<'_>, Option<RejectReason>)> {
        let all = router::contenders(&self.listeners[listener].hosts, head);
        let route = |one: &Contender| {
            let mount = &self.mounts[one.mount as usize];
            self.route_at(mount, one.operation)
        };
        all.iter()
            .map(|one| (route(one), one.reject_reason))
            .collect()
    }

    /// Host pattern that matches a request's host. `None` if no mount serves the host.
    #[must_use]
    pub fn host_pattern(&self, listener: usize, host: &str) -> Option<HostPattern> {
        self.listeners[listener].hosts.pattern(host)
    }

    pub(crate) fn route_at<'s>(&'s self, mount: &'s Mount, operation: u32) -> RouteRef<'s> {
        let api = &self.apis[mount.api as usize];
        let index_in_api = mount.first_in_api + operation;
        let brief = api.router.brief(operation);
        RouteRef {
            api_index: mount.api,
            index_in_api,
            id: &api.part.route_ids[index_in_api as usize],
            api: &api.part.name,
            operation: &api.router.operations()[operation as usize],
            checks: api
                .part
                .checks
                .get(operation as usize)
                .copied()
                .unwrap_or(0),
            mount,
            treatment: &api.treatments[brief.treatment as usize],
        }
    }
}

impl Treatment {
    /// Fields that are not allowed in request trailers: credential fields, and fields that the
    /// chain removes or sets.
    #[must_use]
    pub fn fields_not_in_trailers(&self) -> &Arc<[HeaderName]> {
        &self.request_fields
    }

    /// Fields that are not allowed in response trailers: fields that the chain removes or sets.
    #[must_use]
    pub fn response_fields_not_in_trailers(&self) -> &Arc<[HeaderName]> {
        &self.response_fields
    }

    /// `WWW-Authenticate` challenges of a refusal by authentication, one per scheme. Empty for
    /// other refusals.
    #[must_use]
    pub fn challenges(&self, reject: &Reject) -> &[http::HeaderValue] {
        self.security.challenges(reject)
    }

    /// Values of `Accept-Signature` (RFC 9421 §5) for a refusal by authentication.
    #[must_use]
    pub fn accepted_signatures(&self, reject: &Reject) -> &[http::HeaderValue] {
        self.security.accepted_signatures(reject)
    }
}
