//! Fields of operations, for comparing each field of an operation alone.

use std::collections::BTreeSet;

use bundle::ir::{self, Link};

use super::{ChangeIndex, ComparedSide, Part, Sides, digest, edit, messages, replace};
use crate::{Change, Section};
use model::selection::without_names;

/// Field of an operation, or several fields that are compared together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Security requirement.
    Security,
    /// Policies of the chain.
    Chain,
    /// Name of the upstream.
    Upstream,
    /// Timeout.
    Timeout,
    /// Maximum length of a request body.
    MaxBody,
    /// Settings of the operation, including the settings of forwarding and retries.
    Settings,
    /// Setting `path_readings`: handling of ambiguous paths.
    PathReadings,
    /// Behaviour for a final slash.
    TrailingSlash,
    /// Priority.
    Priority,
    /// Method, template, conditions and kind of the requests.
    Requests,
}

const FIELDS: [(Field, &str); 10] = [
    (Field::Security, "security"),
    (Field::Chain, "policies"),
    (Field::Upstream, "upstream"),
    (Field::Timeout, "timeout"),
    (Field::MaxBody, "max_body"),
    (Field::Settings, "settings"),
    (Field::PathReadings, "path_readings"),
    (Field::TrailingSlash, "trailing_slash"),
    (Field::Priority, "priority"),
    (Field::Requests, "requests"),
];

/// Operation with its API.
type ApiOperation<'a> = (&'a ir::Api, &'a ir::Operation);

/// Adds the fields of an API's operations that differ and are named in no change.
pub(super) fn add<'a>(
    sides: &'a Sides<'_>,
    (was, is): (&'a ir::Api, &'a ir::Api),
    index: &ChangeIndex<'_>,
    parts: &mut Vec<Part<'a>>,
) {
    let mut pairs: Vec<(ApiOperation<'a>, ApiOperation<'a>)> = Vec::new();
    for operation in &is.operations {
        let before = was.operations.get(&operation.key);
        let pair = before.map(|before| ((was, before), (is, operation)));
        pairs.extend(pair.filter(|(before, after)| differ(*before, *after)));
    }
    for (field, subject) in FIELDS {
        let differing: Vec<(ApiOperation<'a>, ApiOperation<'a>)> = pairs
            .iter()
            .copied()
            .filter(|(before, after)| field.of(*before) != field.of(*after))
            .filter(|(before, after)| {
                let changes = index.of_operation(&after.1.key);
                !match field {
                    Field::Settings => are_explained(*before, *after, changes),
                    _ => changes.iter().any(|change| field.is_explained_by(change)),
                }
            })
            .collect();
        let Some(first) = differing.first() else {
            continue;
        };
        let digests = [digest(&field.of(first.0)), digest(&field.of(first.1))];
        let operations = differing.iter();
        let operations = operations.map(|(_, (api, one))| (one.key.clone(), *api, *one));
        parts.push(Part {
            subject: subject.to_owned(),
            digests,
            operations: operations.collect(),
            field: Some(field),
            near: None,
            alone: sides.changed(move |half| {
                if field == Field::Settings {
                    messages(half, is, sides.new.contracts.get(&is.name));
                }
                for (_, after) in &differing {
                    field.copy(half, *after);
                }
            }),
        });
    }
    add_one_sided_operations(sides, (was, is), index, parts);
}

/// True if two versions of an operation differ in any field other than the index of the treatment.
fn differ((was, before): ApiOperation<'_>, (is, after): ApiOperation<'_>) -> bool {
    let [a, b] =
        [(was, before), (is, after)].map(|(api, one)| &api.treatments[one.treatment as usize]);
    let treatment = after.treatment;
    let before = ir::Operation {
        treatment,
        ..before.clone()
    };
    a != b || before != *after
}

/// True if changes of the operation describe each key of the settings that differs.
fn are_explained(
    (was, before): ApiOperation<'_>,
    (is, after): ApiOperation<'_>,
    changes: &[&Change],
) -> bool {
    let [a, b] = [(was, before), (is, after)].map(|(api, one)| {
        let treatment = &api.treatments[one.treatment as usize];
        let settings = treatment.settings();
        let all = settings.iter();
        let all = all.map(|one| (one.path.clone(), format!("{:?}", one.value)));
        all.collect::<BTreeSet<_>>()
    });
    let mut differing = a.symmetric_difference(&b).peekable();
    let subjects = changes.iter().map(|change| change.subject.as_str());
    let described: BTreeSet<&str> = subjects
        .filter_map(|subject| subject.split([' ', '.']).next())
        .collect();
    let is_described = |path: &[String]| {
        let key = path.first();
        key.is_some_and(|key| described.contains(key.as_str()))
    };
    differing.peek().is_some() && differing.all(|(path, _)| is_described(path))
}

/// Adds the operations that exist in one version only and are named in no change.
fn add_one_sided_operations<'a>(
    sides: &'a Sides<'_>,
    (was, is): (&'a ir::Api, &'a ir::Api),
    index: &ChangeIndex<'_>,
    parts: &mut Vec<Part<'a>>,
) {
    for (api, other, is_added) in [(is, was, true), (was, is, false)] {
        let alone: Vec<&ir::Operation> = api
            .operations
            .iter()
            .filter(|one| other.operations.get(&one.key).is_none() && !index.names(&one.key))
            .collect();
        if alone.is_empty() {
            continue;
        }
        let digests = [digest(&(is_added, 0)), digest(&alone)];
        let operations = alone.iter();
        let operations = operations.map(|one| (one.key.clone(), api, *one)).collect();
        let whole = if is_added { sides.new } else { sides.old };
        parts.push(Part {
            subject: "operation".to_owned(),
            digests,
            operations,
            field: None,
            near: None,
            alone: sides.alone(is_added, move |half| {
                let schemes = &mut half.gateway.apis;
                edit(schemes, &api.name, |target| {
                    super::add_new(&mut target.schemes, &api.schemes)
                });
                for one in &alone {
                    put(
                        half,
                        (api, one),
                        (api.treatments[one.treatment as usize]).clone(),
                    );
                }
                messages(half, api, whole.contracts.get(&api.name));
            }),
        });
    }
}

/// Adds an operation with this treatment to its API.
fn put(half: &mut ComparedSide, (api, operation): ApiOperation<'_>, treatment: ir::Treatment) {
    edit(&mut half.gateway.apis, &api.name, |target| {
        let index = u32::try_from(target.treatments.len()).unwrap_or(u32::MAX);
        target.treatments.push(treatment);
        let operation = ir::Operation {
            treatment: index,
            ..operation.clone()
        };
        let key = operation.key.clone();
        replace(&mut target.operations, &key, Some(operation));
    });
}

impl Field {
    /// Value of the field, for comparison.
    fn of(self, (api, operation): ApiOperation<'_>) -> String {
        let ir::Treatment {
            security,
            chain,
            upstream,
            timeout_ms,
            max_body_bytes,
            declared,
            forwarding,
            retries,
            path_readings,
        } = &api.treatments[operation.treatment as usize];
        let ir::Operation {
            key: _,
            method,
            template,
            conditions,
            priority,
            treatment: _,
            trailing_slash,
            owns,
        } = operation;
        match self {
            Self::Security => format!("{security:?}"),
            Self::Chain => format!("{:?}", policies(chain)),
            Self::Upstream => upstream.clone(),
            Self::Timeout => timeout_ms.to_string(),
            Self::MaxBody => format!("{max_body_bytes:?}"),
            Self::Settings => format!("{declared:?} {forwarding:?} {retries:?}"),
            Self::PathReadings => format!("{path_readings:?}"),
            Self::TrailingSlash => format!("{trailing_slash:?}"),
            Self::Priority => priority.to_string(),
            Self::Requests => {
                // Leave out the names of path parameters, because the comparison of contracts
                // covers them.
                let template = without_names(&template.to_string());
                format!("{method} {template} {conditions:?} {owns:?}")
            }
        }
    }

    /// True if a change of the operation describes a difference of this field.
    fn is_explained_by(self, change: &Change) -> bool {
        match self {
            Self::Security => {
                change.id.starts_with("security-") || change.id == "operation-exposed"
            }
            Self::Chain => change.id == "policies-changed",
            Self::Upstream => change.id == "upstream-changed",
            Self::Timeout => change.id == "timeout-changed" && change.subject == "timeout",
            Self::MaxBody => change.id == "max-body-changed",
            Self::PathReadings => change.id == "path-readings-changed",
            Self::TrailingSlash => change.id == "trailing-slash-changed",
            Self::Priority => change.id == "priority-changed",
            Self::Requests => {
                change.section == Section::Routing || change.id == "operation-renamed"
            }
            // Several settings can differ, and each needs a change.
            Self::Settings => false,
        }
    }

    /// True if changes of the operation, in a comparison of this field alone, describe the field.
    pub(super) fn is_described_alone(self, changes: &[&Change]) -> bool {
        match self {
            // Require a line about the field itself: other lines may be about its effect on access.
            Self::Chain | Self::Timeout | Self::MaxBody | Self::TrailingSlash | Self::Priority => {
                changes.iter().any(|change| self.is_explained_by(change))
            }
            Self::Security
            | Self::Upstream
            | Self::Settings
            | Self::PathReadings
            | Self::Requests => !changes.is_empty(),
        }
    }

    /// Copies the field of an operation to the operation with the same key.
    fn copy(self, half: &mut ComparedSide, (api, operation): ApiOperation<'_>) {
        let after = &api.treatments[operation.treatment as usize];
        let Some(target) = half.gateway.apis.get(&api.name) else {
            return;
        };
        let Some(before) = target.operations.get(&operation.key) else {
            return;
        };
        let mut own = before.clone();
        let mut treatment = target.treatments[before.treatment as usize].clone();
        match self {
            Self::Security => {
                treatment.security.clone_from(&after.security);
                treatment.chain = with_authentication(&treatment.chain, &after.security);
            }
            Self::Chain => {
                treatment.chain = with_authentication(&after.chain, &treatment.security);
            }
            Self::Upstream => treatment.upstream.clone_from(&after.upstream),
            Self::Timeout => treatment.timeout_ms = after.timeout_ms,
            Self::MaxBody => treatment.max_body_bytes = after.max_body_bytes,
            Self::Settings => {
                treatment.declared.clone_from(&after.declared);
                treatment.forwarding.clone_from(&after.forwarding);
                treatment.retries.clone_from(&after.retries);
            }
            Self::PathReadings => treatment.path_readings = after.path_readings,
            Self::TrailingSlash => own.trailing_slash = operation.trailing_slash,
            Self::Priority => own.priority = operation.priority,
            Self::Requests => {
                own.method.clone_from(&operation.method);
                own.template.clone_from(&operation.template);
                own.conditions.clone_from(&operation.conditions);
                own.owns = operation.owns;
            }
        }
        put(half, (api, &own), treatment);
    }
}

/// Links of a chain, except authentication.
fn policies(chain: &[Link]) -> Vec<&Link> {
    let links = chain.iter();
    links.filter(|link| **link != Link::Authenticate).collect()
}

/// Chain with authentication if the requirement has an alternative, and without it otherwise.
fn with_authentication(chain: &[Link], security: &ir::Security) -> Vec<Link> {
    let has = chain.contains(&Link::Authenticate);
    if security.0.is_empty() {
        return policies(chain).into_iter().cloned().collect();
    }
    let first = (!has).then_some(Link::Authenticate);
    first.into_iter().chain(chain.iter().cloned()).collect()
}
