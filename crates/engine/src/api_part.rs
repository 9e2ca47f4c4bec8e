//! An API that is built only from its blob: routing table, route ids, and the names of shared
//! definitions that it uses.

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle::codec::encode;
use bundle::ir::{self, Link, Set, Verify};
use http::HeaderName;
use policy::RouteId;
use sha2::{Digest as _, Sha256};

use crate::error::{BuildError, refuse_missing};
use crate::error_shapes::ErrorShapes;
use crate::key::Key;
use crate::matched_requests;
use crate::router::ApiRouter;

/// API that was built from its blob. The API refers to nothing outside the blob, so that all
/// snapshots with the same blob share it.
#[derive(Debug)]
pub struct ApiPart {
    pub(crate) digest: Key,
    pub(crate) name: Box<str>,
    pub(crate) mounts: Box<[PartMount]>,
    pub(crate) router: Arc<ApiRouter>,
    /// Ids of the routes (`KEY@MOUNT`), grouped by mount.
    pub(crate) route_ids: Box<[RouteId]>,
    pub(crate) schemes: Set<ir::Scheme>,
    pub(crate) policies: Set<ir::Policy>,
    pub(crate) treatments: Box<[ir::Treatment]>,
    pub(crate) names: Names,
    /// Names of the upstreams of `internal` operations, sorted.
    pub(crate) internal_upstreams: BTreeSet<String>,
    pub(crate) errors: ErrorShapes,
    pub(crate) messages: Option<ir::Messages>,
    /// Digests of the descriptions against which the operations are validated, in the order of the
    /// routing table. A description consists of the body and the parameters except path parameters.
    /// 0 for an operation that validates nothing. Empty if the API validates nothing.
    pub(crate) checks: Box<[u64]>,
}

/// Mount of an API, with the sets of requests that its routes match.
#[derive(Debug)]
pub(crate) struct PartMount {
    pub(crate) mount: ir::Mount,
    /// Sets of requests that the API's operations match at this mount.
    pub(crate) matched_requests: Box<[matched_requests::MatchedRequests]>,
}

/// Names of the shared policies, verifiers and upstreams that an API uses; sorted, without
/// duplicates.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) policies: Box<[Box<str>]>,
    pub(crate) verifiers: Box<[Box<str>]>,
    pub(crate) upstreams: Box<[Box<str>]>,
}

impl ApiPart {
    /// Builds an API from its decoded blob.
    pub(crate) fn build(digest: Key, api: ir::Api) -> Result<Self, BuildError> {
        refuse_missing(api.needs())?;
        let names = Names::of(&api);
        let ir::Api {
            name,
            mounts,
            schemes,
            policies,
            treatments,
            operations,
            declared: _,
            hidden,
            errors,
            messages,
        } = api;
        if messages.as_ref().is_some_and(|one| !one.is_closed()) {
            return Err(BuildError::BadIndex);
        }
        if operations
            .iter()
            .any(|operation| operation.treatment as usize >= treatments.len())
        {
            return Err(BuildError::BadIndex);
        }
        let router = ApiRouter::build(operations, &hidden)
            .map_err(|conflict| BuildError::RouteConflict(conflict.first, conflict.second))?;
        let operations = router.operations();
        let checks = checks(operations, messages.as_ref(), &digest);
        let route_ids = mounts.iter().flat_map(|mount| {
            let ids = operations.iter();
            ids.map(|operation| RouteId::new(&operation.key, &mount.name))
        });
        let internal_upstreams = hidden.into_iter().flat_map(|one| one.upstreams);
        Ok(Self {
            digest,
            name: name.into(),
            internal_upstreams: internal_upstreams.collect(),
            errors: ErrorShapes::of(&errors),
            route_ids: route_ids.collect(),
            mounts: mounts
                .into_vec()
                .into_iter()
                .map(|mount| PartMount {
                    matched_requests: matched_requests::matched_requests(
                        &mount.base_path,
                        operations,
                    ),
                    mount,
                })
                .collect(),
            router: Arc::new(router),
            schemes,
            policies,
            treatments: treatments.into(),
            names,
            messages,
            checks,
        })
    }

    /// Sha256 of the API's blob.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Name of the API.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ids of the routes (`KEY@MOUNT`), grouped by mount. [`crate::RouteRef::index_in_api`] is an
    /// index into this list.
    #[must_use]
    pub fn route_ids(&self) -> &[RouteId] {
        &self.route_ids
    }

    /// Routes in the order of their ids: the id, and the template after the mount's base path.
    pub fn routes(&self) -> impl Iterator<Item = (&RouteId, String)> {
        let operations = self.router.operations();
        let templates = self.mounts.iter().flat_map(move |part| {
            let base = &part.mount.base_path;
            operations
                .iter()
                .map(move |operation| format!("{base}{}", operation.template))
        });
        self.route_ids.iter().zip(templates)
    }

    /// Parts of the API that determine in which fields upstreams receive the caller's identity.
    pub(crate) fn identity_parts(&self) -> ir::IdentityParts<'_> {
        ir::IdentityParts {
            schemes: &self.schemes,
            policies: &self.policies,
            treatments: &self.treatments,
        }
    }

    /// Request fields in the conditions of the API's routes. A condition of one API can decide
    /// about requests of another API, because a request can match routes of several APIs.
    pub(crate) fn conditional_fields(&self) -> Vec<HeaderName> {
        let operations = self.router.operations().iter();
        let conditions = operations.flat_map(|operation| &operation.conditions);
        let names = conditions.filter_map(|condition| match condition {
            ir::Condition::Header(name, _) => HeaderName::try_from(name.as_str()).ok(),
            ir::Condition::Query(..) => None,
        });
        names.collect()
    }

    /// True if a condition of the API's routes tests a query parameter.
    pub(crate) fn has_query_conditions(&self) -> bool {
        let operations = self.router.operations().iter();
        let mut conditions = operations.flat_map(|operation| &operation.conditions);
        conditions.any(|condition| matches!(condition, ir::Condition::Query(..)))
    }

    /// Request fields that the descriptions of validated operations name. Trailers must not contain
    /// these fields, because the gateway does not validate trailers.
    pub(crate) fn described_fields(&self) -> Vec<HeaderName> {
        let operations = self.messages.iter().flat_map(|all| &all.operations);
        let parameters = operations.flat_map(|operation| &operation.parameters);
        let fields = parameters.filter(|one| one.place == ir::ParameterPlace::Header);
        let names = fields.filter_map(|one| HeaderName::try_from(one.name.as_str()).ok());
        let names: BTreeSet<String> = names.map(|name| name.as_str().to_owned()).collect();
        let names = names.iter().map(|name| HeaderName::try_from(name.as_str()));
        names.filter_map(Result::ok).collect()
    }

    /// Security schemes of the API.
    #[must_use]
    pub fn schemes(&self) -> &Set<ir::Scheme> {
        &self.schemes
    }

    /// Descriptions of the messages that the API's operations validate.
    #[must_use]
    pub fn messages(&self) -> Option<&ir::Messages> {
        self.messages.as_ref()
    }

    /// Operations of the API, in the order of the routing table.
    #[must_use]
    pub fn operations(&self) -> &[ir::Operation] {
        self.router.operations()
    }

    /// Security requirement of the operation with this index.
    #[must_use]
    pub fn security(&self, index: usize) -> Option<&ir::Security> {
        let treatment = self.operations().get(index)?.treatment;
        let treatment = self.treatments.get(treatment as usize)?;
        Some(&treatment.security)
    }

    /// Policies that the API's own document defines.
    #[must_use]
    pub fn policies(&self) -> &Set<ir::Policy> {
        &self.policies
    }
}

/// Computes [`ApiPart::checks`]. Each of these digests covers the digest of the API's blob, because
/// the indices of schemas differ between APIs.
fn checks(
    operations: &[ir::Operation],
    messages: Option<&ir::Messages>,
    digest: &Key,
) -> Box<[u64]> {
    let Some(messages) = messages else {
        return Box::default();
    };
    let digest_of = |operation: &ir::Operation| {
        let described = messages.operations.get(&operation.key)?;
        let parameters = described.parameters.iter();
        let beside_path = |one: &&ir::Parameter| one.place != ir::ParameterPlace::Path;
        let parameters: Vec<_> = parameters.filter(beside_path).collect();
        let hash =
            Sha256::new_with_prefix(digest).chain_update(encode(&(parameters, &described.body)));
        let mut first = [0; size_of::<u64>()];
        first.copy_from_slice(&hash.finalize()[..size_of::<u64>()]);
        Some(u64::from_be_bytes(first))
    };
    let digests = operations
        .iter()
        .map(|operation| digest_of(operation).unwrap_or(0));
    digests.collect()
}

impl Names {
    fn of(api: &ir::Api) -> Self {
        let links = api.treatments.iter().flat_map(|treatment| &treatment.chain);
        let policies = links.filter_map(|link| match link {
            Link::Shared(name) => Some(name.as_str()),
            Link::Authenticate | Link::Own(_) => None,
        });
        let verifiers = api
            .schemes
            .iter()
            .filter_map(|scheme| match &scheme.verify {
                Verify::Auth(name) => Some(name.as_str()),
                Verify::Upstream => None,
            });
        let own = api.policies.iter();
        let named = own.flat_map(|policy| policy.checked.upstreams());
        let treatments = api.treatments.iter();
        let upstreams = treatments.flat_map(|treatment| {
            std::iter::once(treatment.upstream.as_str()).chain(treatment.forwarding.upstreams())
        });
        let upstreams = upstreams.chain(named);
        Self {
            policies: sorted(policies),
            verifiers: sorted(verifiers),
            upstreams: sorted(upstreams),
        }
    }
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Box<[Box<str>]> {
    let once: BTreeSet<&str> = names.collect();
    once.into_iter().map(Box::from).collect()
}
