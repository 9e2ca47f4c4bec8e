//! Lowering of the resolved model to the bundle. Lowering makes no decisions. It assigns values to
//! the blobs of the bundle, and stores equal treatments (effective settings of operations) once.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::Checked;
use policy::transform::respond::DocumentDigest;
use policy::validation::Mode;

use crate::called;
use crate::contract::contract;
use crate::contract::sites::Sites;
use crate::rest::{Endpoint, Rest, everything};
use crate::settings::Settings;
use crate::settings::plans::copied;
use crate::{Api, Defined, Model, Operation, Valued, chain};
use sources::parallel;
use sources::project::files::Files;

/// Checked gateway and its contracts.
#[derive(Debug)]
pub struct Lowered {
    /// Configuration that gwd runs.
    pub gateway: ir::Gateway,
    /// Contracts for plans, by API.
    pub contracts: ir::Set<ir::Contract>,
    /// Names of the consumers that are stored in a separate blob. `None`: no separate blob.
    pub consumers_file: Option<BTreeSet<String>>,
    /// Prose of schemas (titles, descriptions), by API and keyword. Part of the source artifact,
    /// never of the bundle.
    pub prose: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// Source locations of schemas, by API. Empty for a bundle that was read from a store.
    pub sites: BTreeMap<String, Sites>,
    /// Documents that gwd serves, by SHA-256.
    pub documents: BTreeMap<[u8; 32], Vec<u8>>,
}

/// Error for a duplicate name. A lint rule reports duplicate names before lowering.
pub type NotASet = ir::NotASet;

/// Lowers a model without errors. `files` are the files from which the model was read.
///
/// # Errors
/// Returns an error if two definitions have the same name.
pub fn lower(files: &Files, model: &Model) -> Result<Lowered, NotASet> {
    lower_parts(files, &model.settings, &model.apis)
}

/// Lowers settings and APIs without errors, as [`lower`] does.
pub(crate) fn lower_parts(
    files: &Files,
    settings: &Settings,
    described_apis: &[Api],
) -> Result<Lowered, NotASet> {
    let mut apis = Vec::new();
    let mut contracts = Vec::new();
    let mut refs = Vec::new();
    let mut prose = BTreeMap::new();
    let mut sites = BTreeMap::new();
    let lowered = parallel::map(described_apis.iter().collect(), |api| {
        let mut lowered = lower_api(api)?;
        let (contract, texts, at) = contract(files, api)?;
        lowered.messages = ir::Messages::of(&contract, &validated(settings, api));
        let digest = digest(&bundle::codec::encode(&lowered));
        Ok((lowered, digest, (contract, texts, at)))
    });
    for one in lowered {
        let (api, digest, (contract, texts, at)) = one?;
        sites.insert(api.name.clone(), at);
        prose.insert(api.name.clone(), texts);
        refs.push(ir::ApiRef {
            name: api.name.clone(),
            digest,
        });
        apis.push(api);
        contracts.push(contract);
    }
    let documents = documents(described_apis);
    let shared = ir::Shared {
        project: settings.name.value.clone(),
        listeners: values(&settings.listeners)?,
        upstreams: ir::Set::new(
            settings
                .upstreams
                .iter()
                .chain(described_apis.iter().flat_map(|api| &api.upstreams))
                .map(|entry| entry.value.ir.clone())
                .chain(called::upstreams(settings, described_apis))
                .collect(),
        )?,
        auth: ir::Set::new(
            settings
                .auth
                .iter()
                .chain(described_apis.iter().flat_map(|api| &api.auth))
                .map(|entry| entry.value.clone())
                .collect(),
        )?,
        consumers: values(&settings.consumers)?,
        policies: ir::Set::new(named_policies(settings, described_apis))?,
        apis: ir::Set::new(refs)?,
        expose_bundle: settings.defaults.expose_bundle,
        required: settings.required.settings(),
        declared: settings.declared.clone(),
        errors: settings.errors.clone(),
        documents: documents.keys().copied().map(DocumentDigest).collect(),
    };
    Ok(Lowered {
        gateway: ir::Gateway {
            shared,
            apis: ir::Set::new(apis)?,
        },
        contracts: ir::Set::new(contracts)?,
        consumers_file: settings.consumers_file.clone(),
        prose,
        sites,
        documents,
    })
}

/// Documents that the APIs serve, by SHA-256.
fn documents(apis: &[Api]) -> BTreeMap<[u8; 32], Vec<u8>> {
    let all = apis.iter().flat_map(|api| &api.documents);
    all.map(|document| (digest(document), document.clone()))
        .collect()
}

/// Converts definitions to the set of their values.
fn values<T: Clone + ir::Named>(all: &[Defined<T>]) -> Result<ir::Set<T>, NotASet> {
    ir::Set::new(all.iter().map(|one| one.value.clone()).collect())
}

/// Policies of gateway.yaml. A policy that only consumer plans name is left out, because the bundle
/// has a copy of it for the plans.
fn named_policies(settings: &Settings, apis: &[Api]) -> Vec<ir::Policy> {
    let operations = apis.iter().flat_map(|api| {
        let operations = api.operations.iter().map(|one| &one.chain);
        operations.chain(api.rest.iter().map(|rest| &rest.chain))
    });
    let links: BTreeSet<&str> = operations
        .flatten()
        .filter_map(|link| match &link.value {
            ir::Link::Shared(name) => Some(name.as_str()),
            ir::Link::Authenticate | ir::Link::Own(_) => None,
        })
        .collect();
    let is_copied = |name: &str| settings.plans.iter().any(|one| one.value == copied(name));
    let all = settings.policies.iter().map(|one| &one.value);
    all.filter(|one| links.contains(one.name.as_str()) || !is_copied(&one.name))
        .cloned()
        .collect()
}

/// SHA-256 of bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// Lowers one API. Internal operations are included as [`ir::Hidden`], so that no other operation
/// serves their requests.
fn lower_api(api: &Api) -> Result<ir::Api, NotASet> {
    let (internal, served): (Vec<&Operation>, Vec<&Operation>) = api
        .operations
        .iter()
        .partition(|operation| operation.internal);
    let described = served.into_iter().map(described);
    let mut served: Vec<(ir::Operation, ir::Treatment)> =
        described.chain(api.rest.iter().map(rest)).collect();
    served.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    let mut treatments: Vec<ir::Treatment> = Vec::new();
    // Look up treatments by their encoding, so that the time is linear even for ten thousand
    // operations.
    let mut known: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut operations = Vec::with_capacity(served.len());
    for (operation, treatment) in served {
        let next = u32::try_from(treatments.len()).unwrap_or(u32::MAX);
        let index = *known
            .entry(bundle::codec::encode(&treatment))
            .or_insert(next);
        if index == next {
            treatments.push(treatment);
        }
        operations.push(ir::Operation {
            treatment: index,
            ..operation
        });
    }
    let hidden: BTreeSet<ir::Hidden> = internal
        .into_iter()
        .map(|operation| ir::Hidden {
            method: operation.method.to_string(),
            template: operation.template.clone(),
            conditions: operation.conditions.clone(),
            priority: operation.priority,
            upstreams: upstreams(operation),
        })
        .collect();
    Ok(ir::Api {
        name: api.name.clone(),
        mounts: ir::Set::new(api.mounts.iter().map(|mount| mount.value.clone()).collect())?,
        schemes: ir::Set::new(api.schemes.clone())?,
        policies: ir::Set::new(
            api.policies
                .iter()
                .map(|policy| policy.value.clone())
                .collect(),
        )?,
        treatments,
        operations: ir::Set::new(operations)?,
        declared: api.declared.clone(),
        errors: api.errors.clone(),
        hidden: hidden.into_iter().collect(),
        messages: None,
    })
}

/// Names of the upstreams to which an operation sends requests, sorted.
fn upstreams(operation: &Operation) -> Vec<String> {
    let own = std::iter::once(operation.upstream.value.as_str());
    let names = own.chain(operation.forwarding.upstreams());
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Operations of an API whose messages are checked against their description, by key.
pub(crate) fn validated<'a>(
    settings: &'a Settings,
    api: &'a Api,
) -> BTreeMap<&'a str, ir::ValidatedMessages> {
    let in_link = |link: &ir::Link| {
        let policy = chain::policy(settings, api, link);
        policy.and_then(|policy| match &policy.value.checked {
            Checked::Validate(checked) => Some(checked),
            _ => None,
        })
    };
    let operations = api.operations.iter().filter(|one| !one.internal);
    let operations = operations.filter_map(|one| {
        let in_chain = one.chain.iter().filter_map(|link| in_link(&link.value));
        let mut validated = ir::ValidatedMessages::default();
        for checked in in_chain.chain(&one.forwarding.validate) {
            validated.requests |= checked.checks_requests();
            validated.responses |= checked.response != Mode::Off;
        }
        let is_any = validated.requests || validated.responses;
        is_any.then_some((one.key.as_str(), validated))
    });
    operations.collect()
}

/// Lowers an operation of the document. The index of its treatment is set later.
fn described(operation: &Operation) -> (ir::Operation, ir::Treatment) {
    let treatment = ir::Treatment {
        security: operation.security.value.clone(),
        chain: links(&operation.chain),
        upstream: operation.upstream.value.clone(),
        timeout_ms: operation.timeout_ms.value,
        max_body_bytes: operation.max_body_bytes.value,
        declared: operation.declared.clone(),
        forwarding: operation.forwarding.clone(),
        retries: operation.retries.clone(),
        path_readings: operation.path_readings.value,
    };
    let operation = ir::Operation {
        key: operation.key.clone(),
        method: operation.method.to_string(),
        template: operation.template.clone(),
        conditions: operation.conditions.clone(),
        priority: operation.priority,
        treatment: 0,
        trailing_slash: operation.trailing_slash,
        owns: ir::Owns::Described,
    };
    (operation, treatment)
}

/// Lowers an operation that the document does not describe.
fn rest(rest: &Rest) -> (ir::Operation, ir::Treatment) {
    let treatment = ir::Treatment {
        security: rest.security.value.clone(),
        chain: links(&rest.chain),
        upstream: rest.upstream.value.clone(),
        timeout_ms: rest.timeout_ms.value,
        max_body_bytes: rest.max_body_bytes.value,
        declared: policy::declared::Settings::default(),
        forwarding: ir::Forwarding {
            split: rest.split.clone(),
            closes_streams: rest.closes_streams.value,
            ..ir::Forwarding::default()
        },
        retries: None,
        path_readings: rest.path_readings.value,
    };
    let (method, template) = match &rest.endpoint {
        Some(endpoint) => (Endpoint::METHOD, endpoint.template.clone()),
        None => (ir::Owns::ANY_METHOD, everything()),
    };
    let operation = ir::Operation {
        key: rest.key.clone(),
        method: method.to_owned(),
        template,
        conditions: Vec::new(),
        priority: 0,
        treatment: 0,
        trailing_slash: ir::TrailingSlash::Strict,
        owns: rest.owns,
    };
    (operation, treatment)
}

fn links(chain: &[Valued<ir::Link>]) -> Vec<ir::Link> {
    chain.iter().map(|link| link.value.clone()).collect()
}
