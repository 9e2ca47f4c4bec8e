//! Request that `gwc route` explains, and the operation that handles it.

use bundle::ir;
use engine::RouteRef;
use engine::router::HostPattern;

use crate::Side;
use crate::ask::{Assumption, Oracle, Question};
use model::source_map::{FieldSource, OperationSource, Place};

/// Request to explain, with the version of the gateway that decides it.
#[derive(Clone, Copy)]
pub struct RouteRequest<'a> {
    /// Version of the gateway, with its source map.
    pub side: &'a Side,
    /// Engine of the version in `side`, which decides the request.
    pub oracle: &'a Oracle,
    /// Request to explain.
    pub question: &'a Question,
    /// Assumed answers of the services that policies and verifiers call while gwd runs.
    pub assumptions: &'a [Assumption],
    /// True to list all settings, and to list operations with similar paths even if an operation
    /// handles the request.
    pub all: bool,
}

/// Operation at a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Key of the operation.
    pub key: String,
    /// `operationId` of the operation. `None`: the document sets none.
    pub id: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Path template, without the base path of the mount.
    pub path: String,
    /// Name of the mount.
    pub mount: String,
    /// Host pattern of the mount that matches the request. Empty if the mount names no hosts.
    pub host: String,
    /// Name of the API.
    pub api: String,
    /// Source location of the operation's method. `None` without a source map.
    pub place: Option<Place>,
}

/// Operation that handles the request, in its compiled form and with its definitions.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    pub(super) route_request: RouteRequest<'a>,
    pub(super) route: &'a RouteRef<'a>,
    pub(super) api: &'a ir::Api,
    pub(super) operation: &'a ir::Operation,
    pub(super) treatment: &'a ir::Treatment,
}

impl<'a> RouteRequest<'a> {
    /// Checked gateway of the version.
    pub(super) fn gateway(self) -> &'a ir::Gateway {
        &self.side.lowered.gateway
    }

    /// Name of the listener.
    pub(super) fn listener(self) -> &'a str {
        &self.oracle.snapshot().listeners()[self.question.listener].name
    }

    /// Source of an operation. `None` without a source map.
    pub(super) fn source(self, key: &str) -> Option<&'a OperationSource> {
        self.side.source.as_ref()?.operations.get(key)
    }

    /// Source of an operation's field. `None` without a source map.
    pub(super) fn field(self, key: &str, name: &str) -> Option<&'a FieldSource> {
        let source = self.side.source.as_ref()?;
        source.field(source.operations.get(key)?, name)
    }

    /// Source location of a definition: `listener NAME`, `upstream NAME` or `api NAME`.
    pub(super) fn definition(self, name: &str) -> Option<&'a Place> {
        self.side.source.as_ref()?.definitions.get(name)
    }

    /// Finds the definitions of a compiled route, including settings that gwd does not support yet.
    pub(super) fn meaning(
        self,
        route: &RouteRef<'_>,
    ) -> Option<(&'a ir::Api, &'a ir::Operation, &'a ir::Treatment)> {
        let api = self.gateway().apis.get(route.api)?;
        let operation = api.operations.get(&route.operation.key)?;
        let treatment = api.treatments.get(operation.treatment as usize)?;
        Some((api, operation, treatment))
    }

    /// Operation of a route, as answers show it.
    pub(super) fn operation(self, route: &RouteRef<'_>) -> Operation {
        let key = &route.operation.key;
        let api = self.gateway().apis.get(route.api);
        let mount = api.and_then(|api| api.mounts.get(&route.mount.name));
        let hosts = mount.map_or(&[][..], |mount| &mount.hosts);
        let route_request = self.host();
        let host = hosts.iter().find(|host| names(host, &route_request));
        Operation {
            key: key.clone(),
            id: key
                .strip_prefix(&format!("{}/", route.api))
                .map(str::to_owned),
            method: route.operation.method.clone(),
            path: format!("{}{}", route.mount.base_path, route.operation.template),
            mount: route.mount.name.to_string(),
            host: host.or(hosts.first()).cloned().unwrap_or_default(),
            api: route.api.to_owned(),
            place: self.source(key).map(|source| source.place.clone()),
        }
    }

    /// Host of the request as the client wrote it, in lower case and without its port.
    pub(super) fn host(self) -> String {
        let field = self.question.request.headers.get(http::header::HOST);
        let field = field
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let authority: Option<http::uri::Authority> = field.parse().ok();
        let host = authority.map_or_else(|| field.to_owned(), |it| it.host().to_owned());
        host.to_ascii_lowercase().trim_end_matches('.').to_owned()
    }
}

/// True if a host pattern matches a host. `*.` matches exactly one label.
pub(super) fn names(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => pattern == host,
    }
}

/// Host pattern as written in gateway.yaml.
pub(super) fn pattern_text(pattern: &HostPattern) -> Option<&str> {
    match pattern {
        HostPattern::Exact(host) | HostPattern::Wildcard(host) => Some(host),
        HostPattern::Any => None,
    }
}
