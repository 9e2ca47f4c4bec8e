//! A project, resolved: no option that has a default is open, no name is unchecked, and every
//! value knows the place that set it.
//!
//! [`settings`] reads gateway.yaml, [`api`] resolves one document against it (inheritance,
//! names, security), [`routes`] compares all of them with each other.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod acknowledge;
mod alias;
pub mod api;
mod breadth;
pub mod compile;
pub mod contract;
pub mod environment;
pub mod exit;
pub mod globs;
mod later;
pub mod limits;
pub mod lower;
mod names;
pub mod open;
pub mod outbound;
pub mod overlap;
mod path_item;
pub mod place;
pub mod rest;
pub mod routes;
pub mod rules;
mod security;
pub mod segment;
pub mod series;
mod servers;
pub mod settings;
mod signing_keys;
pub mod source_map;
mod surprise;
mod treatment;

use bundle::ir;
use diag::{NodeId, NodeRef, Span};
use std::borrow::Cow;
use std::collections::BTreeMap;

use openapi::spec::Spec;
use sources::project::files::Document;

pub use names::{AllNames, Kind};
pub use settings::{Defaults, SecurityMode, Settings};

/// The whole project.
#[derive(Debug)]
pub struct Model {
    /// gateway.yaml.
    pub settings: Settings,
    /// The APIs, by name.
    pub apis: Vec<Api>,
}

/// A thing with a name and the place that defines it.
#[derive(Clone, Debug)]
pub struct Defined<T> {
    /// The thing itself.
    pub value: T,
    /// Place of its name.
    pub span: Span,
    /// Its definition.
    pub node: Option<NodeId>,
}

/// One API.
#[derive(Debug)]
pub struct Api {
    /// Its name.
    pub name: String,
    /// Place in gateway.yaml that names it.
    pub span: Span,
    /// Its document with overlays applied.
    pub document: Document,
    /// The document.
    pub spec: Spec,
    /// Mounts at which it is served.
    pub mounts: Vec<Defined<ir::Mount>>,
    /// Its own policies.
    pub policies: Vec<Defined<ir::Policy>>,
    /// Its own services, as the bundle calls them.
    pub upstreams: Vec<Defined<settings::Upstream>>,
    /// Its security schemes that an operation uses, by their canonical name.
    pub schemes: Vec<ir::Scheme>,
    /// Canonical names of the security schemes, by their names in the document.
    pub scheme_names: BTreeMap<String, String>,
    /// Its operations in the order of the document.
    pub operations: Vec<Operation>,
    /// Those for what it does not describe.
    pub rest: Vec<rest::Rest>,
    /// Settings for the whole API that cannot run yet.
    pub declared: policy::declared::Settings,
    /// Form of errors of its routes, by reason.
    pub errors: policy::declared::Settings,
}

/// One operation, resolved.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its key (vocabulary.md: `API/operationId`, or `METHOD API:/template`).
    pub key: String,
    /// Its id.
    pub id: Option<String>,
    /// Owner: that of the operation, the document or the project.
    pub owner: Option<String>,
    /// Its method in upper case.
    pub method: Cow<'static, str>,
    /// The path as the document writes it.
    pub path: String,
    /// Place of the path.
    pub path_span: Span,
    /// Place of the method.
    pub span: Span,
    /// Its template, normalised.
    pub template: ir::Template,
    /// Conditions beside path and method.
    pub conditions: Vec<ir::Condition>,
    /// Greater wins.
    pub priority: i32,
    /// Treatment of the path that differs from the template only by a final slash.
    pub trailing_slash: ir::TrailingSlash,
    /// True for an internal operation: compiled, not served.
    pub internal: bool,
    /// Validation of requests against the contract.
    pub validation: Validation,
    /// Credentials that callers need.
    pub security: Valued<ir::Security>,
    /// `public: true`, and where.
    pub public: Option<Span>,
    /// The chain in order.
    pub chain: Vec<Valued<ir::Link>>,
    /// Upstream of requests.
    pub upstream: Valued<String>,
    /// Milliseconds to the head of the response.
    pub timeout_ms: Valued<u64>,
    /// Bytes of a request's body.
    pub max_body_bytes: Valued<Option<u64>>,
    /// Admitted readings of ambiguous paths.
    pub path_readings: Valued<ir::PathReadings>,
    /// Forwarding settings.
    pub forwarding: ir::Forwarding,
    /// Retry settings; None if the operation writes none.
    pub retries: Option<policy::traffic::retry::Checked>,
    /// Settings for the operation that cannot run yet.
    pub declared: policy::declared::Settings,
    /// Its place in [`Spec::paths`] and there in `operations`.
    pub place: (usize, usize),
}

impl Operation {
    /// Settings other than access, chain, upstream and limits, in the form in which they are
    /// compared.
    #[must_use]
    pub fn settings(&self) -> policy::declared::Settings {
        self.declared
            .clone()
            .with_below(&[], self.forwarding.settings())
    }
}

/// Validation of requests against the contract (`validate.request`). Default: [`Validation::Off`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Validation {
    /// Requests are not checked.
    #[default]
    Off,
    /// Requests that break the contract are logged and forwarded.
    Log,
    /// Requests that break the contract are refused.
    Block,
}

impl Validation {
    /// Reads the mode for requests from a `validate`.
    #[must_use]
    pub fn of_requests(validate: NodeRef<'_>) -> Self {
        match validate.get("request").and_then(NodeRef::scalar_text) {
            Some("log") => Self::Log,
            Some("block") => Self::Block,
            _ => Self::Off,
        }
    }
}

/// A value with the place that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valued<T> {
    /// The value in force.
    pub value: T,
    /// Source of the value.
    pub origin: Origin,
}

/// Source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in a file, with the places that it overrides, nearest first.
    Written {
        /// The place.
        span: Span,
        /// Places of the values that it overrides, nearest first.
        overrides: Vec<Span>,
    },
    /// The built-in default of this name.
    Default(&'static str),
}

impl<T> Valued<T> {
    /// A built-in default.
    pub fn default(value: T, name: &'static str) -> Self {
        Self {
            value,
            origin: Origin::Default(name),
        }
    }

    /// A written value that overrides nothing.
    pub fn written(value: T, span: Span) -> Self {
        Self {
            value,
            origin: Origin::Written {
                span,
                overrides: Vec::new(),
            },
        }
    }

    /// A nearer place sets another value.
    #[must_use]
    pub fn overridden(self, value: T, span: Span) -> Self {
        let overrides = match self.origin {
            Origin::Default(_) => Vec::new(),
            Origin::Written {
                span: before,
                mut overrides,
            } => {
                overrides.insert(0, before);
                overrides
            }
        };
        Self {
            value,
            origin: Origin::Written { span, overrides },
        }
    }

    /// The place, where there is one.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match &self.origin {
            Origin::Written { span, .. } => Some(*span),
            Origin::Default(_) => None,
        }
    }
}
