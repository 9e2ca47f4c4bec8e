//! The running form of a gateway: immutable, flat, small ids.

use std::sync::Arc;

use bundle::ir::{Operation, PathReadings, Upstream};
use http::HeaderName;
use policy::traffic::{circuit_breaker, retry};
use policy::{Filter, Reject, RequestHead, RouteId, Run as _, StateId};

use crate::api_part::ApiPart;
use crate::authenticate::Requirement;
use crate::consumers::Consumers;
use crate::error_shapes::{ErrorShape, ErrorShapes};
use crate::listener::Listener;
use crate::router::{self, ApiRouter, Contender, HostPattern, Lost};

/// A gateway that can decide. Shared by all workers behind an `Arc`.
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
}

#[derive(Debug)]
pub(crate) struct BuiltApi {
    pub(crate) part: Arc<ApiPart>,
    /// The part's own, one step nearer to a request.
    pub(crate) router: Arc<ApiRouter>,
    pub(crate) treatments: Arc<[Treatment]>,
}

/// A place where an API can be reached.
#[derive(Debug)]
pub struct Mount {
    /// The mount's name.
    pub name: Box<str>,
    /// Empty, or `/…`.
    pub base_path: Box<str>,
    /// True if the base path is stripped for the upstream.
    pub strip_base_path: bool,
    pub(crate) api: u32,
    /// The route of the API's first operation at this mount.
    pub(crate) first_route: u32,
    /// The same, among the API's own routes.
    pub(crate) first_in_api: u32,
}

/// Processing of a request whose operation is known: security, chain, upstream and limits.
#[derive(Debug)]
pub struct Treatment {
    pub(crate) security: Requirement,
    /// The chain in order.
    pub chain: Box<[ChainStep]>,
    /// The service, as an index into [`Snapshot::upstreams`].
    pub upstream: u32,
    /// Milliseconds from the end of the request to the head of the response.
    pub timeout_ms: u64,
    /// Bytes of a request's body.
    pub max_body_bytes: Option<u64>,
    /// A request may be repeated, whatever its method is.
    pub idempotent: bool,
    /// A request may be upgraded to a WebSocket.
    pub websocket: bool,
    /// The response has no end: silence in it is no failure.
    pub stream: bool,
    /// The fields that replace path or method and that the upstream gets.
    pub(crate) override_fields: Box<[String]>,
    /// A step of the chain sees every response.
    pub(crate) decorates: bool,
    pub(crate) request_fields: Arc<[HeaderName]>,
    pub(crate) response_fields: Arc<[HeaderName]>,
    /// A step of the chain gives the upstream a method that changes something.
    pub(crate) sends_unsafe: bool,
    /// A step of the chain makes a path of the request's.
    pub(crate) reads_path: bool,
    /// Admitted readings of an ambiguous path.
    pub(crate) path_readings: PathReadings,
    /// Equal for treatments of the API with the same security, chain and upstream.
    pub(crate) access: u32,
    /// Retry settings of the operation or its chain. None: the upstream's apply.
    pub retries: Option<retry::Checked>,
    /// The breakers that its chain names, beside the upstream's.
    pub breakers: Box<[Breaker]>,
}

impl Treatment {
    /// The filters that see every response, also where an earlier step refused the request.
    pub(crate) fn decorators(&self) -> impl Iterator<Item = &Filter> {
        let chain: &[ChainStep] = if self.decorates { &self.chain } else { &[] };
        chain.iter().filter_map(ChainStep::decorator)
    }
}

impl ChainStep {
    /// The filter, if it sees every response.
    pub(crate) fn decorator(&self) -> Option<&Filter> {
        match self {
            Self::Filter(_, filter) if filter.decorates() => Some(filter),
            Self::Filter(..) | Self::Authenticate | Self::Strip => None,
        }
    }
}

/// A breaker of a chain.
#[derive(Debug)]
pub struct Breaker {
    /// The policy's name.
    pub policy: Box<str>,
    /// Names its state across bundles, together with the upstream's.
    pub state: StateId,
    /// Settings of the breaker.
    pub checked: circuit_breaker::Checked,
}

/// One step of a chain.
#[derive(Debug)]
pub enum ChainStep {
    /// The security requirement.
    Authenticate,
    /// Removal of credentials with `strip_credential`, where nothing authenticates.
    Strip,
    /// A policy with its name; one filter serves every chain that names it.
    Filter(Arc<str>, Arc<Filter>),
}

/// A route: an operation at a mount.
#[derive(Clone, Copy, Debug)]
pub struct RouteRef<'s> {
    /// The API's place in [`Snapshot::apis`].
    pub api_index: u32,
    /// Dense index among the API's routes: its place in [`ApiPart::route_ids`].
    pub index_in_api: u32,
    /// `KEY@MOUNT`.
    pub id: &'s RouteId,
    /// The API's name.
    pub api: &'s str,
    /// The operation.
    pub operation: &'s Operation,
    /// The mount.
    pub mount: &'s Mount,
    /// Processing of the route's requests.
    pub treatment: &'s Treatment,
}

// === impl Snapshot ===

impl Snapshot {
    /// The bundle's id, `sha256:…`.
    #[must_use]
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// The bundle's short id, as `x-gateway-bundle` shows it.
    #[must_use]
    pub fn bundle_short(&self) -> &http::HeaderValue {
        &self.bundle_short
    }

    /// The project's name.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Form of an error of a route, or of a request that no route owns: the API's own, else the
    /// gateway's.
    #[must_use]
    pub fn error_shape(&self, route: Option<&RouteRef<'_>>, reason: &str) -> Option<&ErrorShape> {
        let api = route.and_then(|route| self.apis.get(route.api_index as usize));
        let own = api.and_then(|api| api.part.errors.get(reason));
        own.or_else(|| self.errors.get(reason))
    }

    /// Status with which a refusal reaches the client.
    #[must_use]
    pub fn status_of(&self, route: Option<&RouteRef<'_>>, reject: &Reject) -> u16 {
        let shape = self.error_shape(route, reject.code);
        let status = shape.and_then(|shape| shape.status);
        status.map_or(reject.status, |status| status.as_u16())
    }

    /// The listeners by name.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The services behind, by name.
    #[must_use]
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// The place of a service by its name.
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

    /// The APIs by name, as far as their blobs alone tell.
    pub fn apis(&self) -> impl ExactSizeIterator<Item = &Arc<ApiPart>> {
        self.apis.iter().map(|api| &api.part)
    }

    /// A route by its dense index in the snapshot.
    fn route(&self, index: u32) -> RouteRef<'_> {
        let at = self
            .mounts
            .partition_point(|mount| mount.first_route <= index)
            - 1;
        let mount = &self.mounts[at];
        self.route_at(mount, index - mount.first_route)
    }

    /// Every route whose template matches a request, the owner first, and why the others are not.
    #[must_use]
    pub fn contenders(
        &self,
        listener: usize,
        head: &RequestHead,
    ) -> Vec<(RouteRef<'_>, Option<Lost>)> {
        let all = router::contenders(&self.listeners[listener].hosts, head);
        let route = |one: &Contender| {
            let mount = &self.mounts[one.mount as usize];
            self.route_at(mount, one.operation)
        };
        all.iter().map(|one| (route(one), one.lost)).collect()
    }

    /// The pattern that a request's host matches. None if no mount serves it.
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
            mount,
            treatment: &api.treatments[brief.treatment as usize],
        }
    }
}

impl Treatment {
    /// Fields that may not come in the trailers of a request: those that hold credentials, and
    /// those that the chain removes or sets.
    #[must_use]
    pub fn fields_not_in_trailers(&self) -> &Arc<[HeaderName]> {
        &self.request_fields
    }

    /// Fields that may not come in the trailers of a response: those that the chain removes or sets.
    #[must_use]
    pub fn response_fields_not_in_trailers(&self) -> &Arc<[HeaderName]> {
        &self.response_fields
    }

    /// Challenges of a refusal by authentication, one per scheme; none for another refusal.
    #[must_use]
    pub fn challenges(&self, reject: &Reject) -> &[http::HeaderValue] {
        self.security.challenges(reject)
    }
}
