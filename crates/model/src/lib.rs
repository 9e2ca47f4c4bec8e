//! Resolved model of a project. Every default is applied, every name is checked, and every value
//! has the span of the text that set it.
//!
//! [`settings`] reads gateway.yaml. [`api`] resolves one document with these settings (inheritance,
//! names, security). [`routes`] compares the routes of all documents.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod acknowledge;
mod alias;
mod allow_public;
mod any_audience;
pub mod api;
mod bound_schemes;
mod breadth;
mod called;
mod chain;
pub mod compile;
pub mod contract;
mod costs;
mod credential_names;
mod deprecations;
mod described;
mod ended_credentials;
mod ended_keys;
pub mod environment;
pub mod examples;
pub mod exit;
mod expressions;
pub mod freeze;
pub mod globs;
mod hidden_limits;
pub mod invariant_file;
mod invariants;
mod later;
pub mod limits;
mod logged;
mod logged_fields;
mod login_paths;
mod lookalike_conditions;
pub mod lower;
mod media_types;
mod merged_paths;
mod mixed_identity;
mod mounted;
mod names;
mod not_forwarded;
pub mod open;
mod operation;
pub mod outbound;
pub mod overlap;
mod passes;
mod path_item;
pub mod place;
mod preflights;
mod processors;
mod read_before_set;
mod redacted;
mod removed_parameters;
mod requested;
mod required_auth;
pub mod rest;
pub mod routes;
pub mod rules;
mod security;
pub mod segment;
pub mod selection;
pub mod series;
pub mod served;
mod servers;
pub mod settings;
mod signing_keys;
mod small_bodies;
pub mod source_map;
mod stripped_keys;
mod subjects;
mod surprise;
mod table;
pub mod test_file;
mod treatment;
mod unchecked_alternative;
mod unchecked_formats;
mod unknown_issuer;
mod unreachable_alternative;
mod unvalidated;
pub mod verifiers;
pub mod wildcard;
mod withheld_credentials;

use bundle::ir;
use diag::{NodeId, NodeRef, Span};
use policy::validation::Mode;
use std::borrow::Cow;
use std::collections::BTreeMap;

use openapi::spec::Spec;
use sources::project::files::Document;

pub use names::{AllNames, Kind, sections};
pub use settings::{Defaults, SecurityMode, Settings};

/// Resolved project.
#[derive(Debug)]
pub struct Model {
    /// Content of gateway.yaml.
    pub settings: Settings,
    /// APIs of the project.
    pub apis: Vec<Api>,
}

/// Named definition, with its source location.
#[derive(Clone, Debug)]
pub struct Defined<T> {
    /// The defined value.
    pub value: T,
    /// Source location of the name.
    pub span: Span,
    /// Node of the definition in the tree of its file. `None` if no file contains the definition.
    pub node: Option<NodeId>,
}

/// Resolved API.
#[derive(Debug)]
pub struct Api {
    /// Name of the API.
    pub name: String,
    /// Source location in gateway.yaml that names the API.
    pub span: Span,
    /// Document with its overlays applied.
    pub document: Document,
    /// Content of the OpenAPI document.
    pub spec: Spec,
    /// Mounts of the API.
    pub mounts: Vec<Defined<ir::Mount>>,
    /// Policies that the document defines.
    pub policies: Vec<Defined<ir::Policy>>,
    /// Upstreams that the document defines, with their names in the bundle.
    pub upstreams: Vec<Defined<settings::Upstream>>,
    /// Verifiers that the document defines, with their names in the bundle.
    pub auth: Vec<Defined<ir::Verifier>>,
    /// Security schemes that at least one operation uses, by canonical name.
    pub schemes: Vec<ir::Scheme>,
    /// Canonical names of the security schemes, by name in the document.
    pub scheme_names: BTreeMap<String, String>,
    /// Operations in the order of the document.
    pub operations: Vec<Operation>,
    /// Operations for requests that the document does not describe, and endpoints of served
    /// documents.
    pub rest: Vec<rest::Rest>,
    /// Documents that the API serves.
    pub documents: Vec<Vec<u8>>,
    /// Settings of the whole API that gwd does not support yet.
    pub declared: policy::declared::Settings,
    /// Custom error responses of the API's routes, by reason.
    pub errors: policy::declared::Settings,
}

/// Resolved operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Key of the operation (vocabulary.md: `API/operationId`, or `METHOD API:/template`).
    pub key: String,
    /// `operationId` of the operation. `None`: the document sets none.
    pub id: Option<String>,
    /// Owner of the operation. Set by the operation, else by the document, else by the project.
    /// `None`: no owner is set.
    pub owner: Option<String>,
    /// HTTP method in upper case.
    pub method: Cow<'static, str>,
    /// Path as written in the document.
    pub path: String,
    /// Source location of the path.
    pub path_span: Span,
    /// Source location of the method.
    pub span: Span,
    /// Normalised path template.
    pub template: ir::Template,
    /// Conditions of the route on header fields and query parameters, besides path and method.
    pub conditions: Vec<ir::Condition>,
    /// Priority of the route. A greater number takes precedence.
    pub priority: i32,
    /// Handling of a path that differs from the template only in the final slash.
    pub trailing_slash: ir::TrailingSlash,
    /// True for an internal operation, which is compiled but not served.
    pub internal: bool,
    /// Validation of requests against the contract.
    pub validation: Mode,
    /// Validation of responses against the contract.
    pub response_validation: Mode,
    /// Credentials required from callers.
    pub security: Valued<ir::Security>,
    /// Source location of `public: true`. `None` if the key is not set.
    pub public: Option<Span>,
    /// Policies in the order in which they run.
    pub chain: Vec<Valued<ir::Link>>,
    /// Upstream that receives the requests.
    pub upstream: Valued<String>,
    /// Timeout for the response head, in milliseconds.
    pub timeout_ms: Valued<u64>,
    /// Maximum size of a request body, in bytes. `None`: the operation has no limit.
    pub max_body_bytes: Valued<Option<u64>>,
    /// Handling of paths that an upstream may read as another path.
    pub path_readings: Valued<ir::PathReadings>,
    /// True if open streams are closed when a credential of their request expires.
    pub closes_streams: Valued<bool>,
    /// Settings that affect how requests are forwarded.
    pub forwarding: ir::Forwarding,
    /// Retry settings. `None` if the operation sets none.
    pub retries: Option<policy::traffic::retry::Checked>,
    /// Settings of the operation that gwd does not support yet.
    pub declared: policy::declared::Settings,
    /// Index in [`Spec::paths`], and index in that path's `operations`.
    pub place: (usize, usize),
}

impl Operation {
    /// Settings except access, chain, upstream and limits, in the form that plans compare.
    #[must_use]
    pub fn settings(&self) -> policy::declared::Settings {
        self.declared
            .clone()
            .with_below(&[], self.forwarding.settings())
    }

    /// True if messages of the operation are validated.
    pub(crate) fn validates(&self) -> bool {
        self.validation != Mode::Off || self.response_validation != Mode::Off
    }
}

/// Value with the source location that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valued<T> {
    /// Value in effect.
    pub value: T,
    /// Source of the value.
    pub origin: Origin,
}

/// Source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Value set in a file.
    Written {
        /// Source location of the value.
        span: Span,
        /// Source locations of the values that this value overrides, nearest first.
        overrides: Vec<Span>,
    },
    /// Built-in default with this name.
    Default(&'static str),
}

impl<T> Valued<T> {
    /// Reads the value of a key. Returns the default if the key is absent or its value is invalid.
    /// Invalid values were already reported.
    fn read<'a>(
        node: Option<NodeRef<'a>>,
        (key, default): (&'static str, T),
        read: impl Fn(NodeRef<'a>) -> Option<T>,
    ) -> Self {
        let written = node.and_then(|node| Some((read(node)?, node.span())));
        match written {
            Some((value, span)) => Self::written(value, span),
            None => Self::default(default, key),
        }
    }

    /// Creates a value that is a built-in default.
    pub fn default(value: T, name: &'static str) -> Self {
        Self {
            value,
            origin: Origin::Default(name),
        }
    }

    /// Creates a value that is set in a file and overrides no other.
    pub fn written(value: T, span: Span) -> Self {
        Self {
            value,
            origin: Origin::Written {
                span,
                overrides: Vec::new(),
            },
        }
    }

    /// Overrides this value with a value from a nearer level.
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

    /// Source location of the value. `None` for a built-in default.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match &self.origin {
            Origin::Written { span, .. } => Some(*span),
            Origin::Default(_) => None,
        }
    }
}
