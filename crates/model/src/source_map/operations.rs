//! Sources of an API's operations, and the prose of its document.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diag::{NodeRef, Span};
use openapi::lint::allow;
use openapi::spec::In;
use policy::transform::deprecation;
use policy::{Checked, Policy as _};

use super::fields::Setters;
use super::{ApiProse, Fields, Lifecycle, OperationSource, Place, SourceMap};
use crate::compile::Compiled;
use crate::contract::prose::{Prose, Texts, in_place_of_key};
use crate::settings::Settings;
use crate::{Api, Operation, chain};

/// Sources of one API.
pub(super) struct ApiSources {
    name: String,
    operations: Vec<(String, OperationSource)>,
    /// Distinct maps of the operations' fields. [`OperationSource::fields`] is an index into this
    /// list.
    fields: Vec<Fields>,
    prose: ApiProse,
    /// Source locations of titles, summaries and descriptions, by the JSON pointer or the name of
    /// the described object.
    places: Vec<(String, Place)>,
}

impl ApiSources {
    pub(super) fn of(compiled: &Compiled, settings: &Settings, api: &Api) -> Self {
        let place = |span| Place::of(&compiled.files.sources, span);
        let prose = Prose::new(&compiled.files, &api.document);
        let setters = Setters::new(compiled, settings, api);
        let mut known: HashMap<Fields, usize> = HashMap::new();
        let mut number = |fields: Fields| {
            let next = known.len();
            *known.entry(fields).or_insert(next)
        };
        let described = api.operations.iter().map(|operation| {
            let fields = number(setters.of(operation));
            let source = of_operation(compiled, api, operation, &prose);
            (operation.key.clone(), OperationSource { fields, ..source })
        });
        let mut operations: Vec<_> = described.collect();
        operations.extend(api.rest.iter().map(|rest| {
            let source = OperationSource {
                place: place(rest.span),
                path: match &rest.endpoint {
                    Some(endpoint) => endpoint.path.clone(),
                    None => "/".to_owned(),
                },
                owner: rest.owner.clone(),
                fields: number(setters.of_rest(rest)),
                ..OperationSource::default()
            };
            (rest.key.clone(), source)
        }));
        let mut fields: Vec<(Fields, usize)> = known.into_iter().collect();
        fields.sort_unstable_by_key(|(_, index)| *index);
        let lowered = compiled.lowered.as_ref();
        let schemas = lowered.and_then(|lowered| lowered.prose.get(&api.name));
        let document = prose.of_document();
        let places = document.iter().map(|(about, (_, span))| {
            let subject = format!("prose {}: {about}", api.name);
            (subject, place(*span))
        });
        Self {
            name: api.name.clone(),
            operations,
            fields: fields.into_iter().map(|(fields, _)| fields).collect(),
            places: places.collect(),
            prose: ApiProse {
                document: texts(document),
                schemas: schemas.cloned().unwrap_or_default(),
                schemes: api.scheme_names.clone(),
            },
        }
    }

    /// Adds the sources to the source map of the project.
    pub(super) fn add_to(self, map: &mut SourceMap) {
        map.definitions.extend(self.places);
        let offset = map.fields.len();
        map.fields.extend(self.fields);
        let operations = self.operations.into_iter();
        map.operations
            .extend(operations.map(|(key, mut operation)| {
                operation.fields += offset;
                (key, operation)
            }));
        map.apis.insert(self.name, self.prose);
    }
}

/// Source of a described operation, without its fields.
fn of_operation(
    compiled: &Compiled,
    api: &Api,
    operation: &Operation,
    prose: &Prose<'_>,
) -> OperationSource {
    let place = |span| Place::of(&compiled.files.sources, span);
    let item = &api.spec.paths[operation.place.0];
    let written = &item.operations[operation.place.1];
    let text = |text: &Option<diag::Spanned<String>>| {
        let text = text.as_ref()?;
        Some(match compiled.files.is_key(text.span) {
            true => in_place_of_key(&text.value),
            false => text.value.clone(),
        })
    };
    let at = place(operation.span);
    let prose = prose.of_operation(item, written);
    let own = [
        ("summary", &written.summary),
        ("description", &written.description),
    ];
    let own = own.into_iter();
    let own = own.filter_map(|(key, text)| Some((key, text.as_ref()?.span)));
    let own = own.chain(written.tags.first().map(|tag| ("tags", tag.span)));
    let parts = prose.iter();
    let parts = parts.map(|(about, (_, span))| (about.as_str(), *span));
    let path = ("path", item.template.span);
    let parameters = parameters(compiled, written);
    let ending: Vec<(String, Span)> = parameters
        .iter()
        .map(|(name, (_, span))| (format!("parameter {name}"), *span))
        .collect();
    let ending = ending.iter().map(|(about, span)| (about.as_str(), *span));
    let mut lines = BTreeMap::new();
    for (about, span) in own.chain(parts).chain([path]).chain(ending) {
        let own = place(span);
        if own.file == at.file {
            lines.insert(about.to_owned(), own.line);
        }
    }
    OperationSource {
        place: at,
        path: operation.path.clone(),
        id: operation.id.clone(),
        owner: operation.owner.clone(),
        fields: 0,
        summary: text(&written.summary),
        description: text(&written.description),
        tags: written.tags.iter().map(|tag| tag.value.clone()).collect(),
        allowed_checks: allowed_checks(compiled, api, operation),
        lifecycle: lifecycle(compiled, api, operation),
        parameters: parameters
            .into_iter()
            .map(|(name, (lifecycle, _))| (name, lifecycle))
            .collect(),
        prose: texts(prose),
        lines,
    }
}

/// Checks that `x-gateway-lint` allows at an operation, its path item or its document.
fn allowed_checks(compiled: &Compiled, api: &Api, operation: &Operation) -> BTreeSet<String> {
    let path = &api.spec.paths[operation.place.0];
    let written = &path.operations[operation.place.1];
    [api.spec.root, path.node, written.node]
        .into_iter()
        .flat_map(|node| allow::checks(compiled.files.tree.at(node)))
        .map(|check| check.id.to_owned())
        .collect()
}

/// Lifecycle of an operation. The gateway ends an operation at the earliest `sunset` of its
/// `deprecation` policies and of `x-gateway`, also without `deprecated: true`.
fn lifecycle(compiled: &Compiled, api: &Api, operation: &Operation) -> Lifecycle {
    let written = &api.spec.paths[operation.place.0].operations[operation.place.1];
    let node = compiled.files.tree.at(written.node);
    let text = |key| node.get(key)?.scalar_text().map(str::to_owned);
    let enforced = enforced_sunset(compiled, api, operation);
    Lifecycle {
        deprecated: written.deprecated || enforced.is_some(),
        sunset: earlier(text("x-sunset"), enforced),
        stability: text("x-stability-level"),
    }
}

/// Lifecycle of the parameters outside the path that are deprecated or have a sunset, by place and
/// name (`query limit`), with their source locations.
fn parameters(
    compiled: &Compiled,
    written: &openapi::spec::Operation,
) -> BTreeMap<String, (Lifecycle, Span)> {
    let outside = written.parameters.iter();
    let outside = outside.filter(|parameter| parameter.place != In::Path);
    let ending = outside.filter_map(|parameter| {
        let node = compiled.files.tree.at(parameter.node);
        let lifecycle = Lifecycle {
            deprecated: node.get("deprecated").and_then(NodeRef::as_bool) == Some(true),
            sunset: node
                .get("x-sunset")
                .and_then(NodeRef::scalar_text)
                .map(str::to_owned),
            stability: None,
        };
        let name = match parameter.place {
            In::Header => parameter.name.value.to_ascii_lowercase(),
            In::Path | In::Query | In::Cookie | In::Querystring => parameter.name.value.clone(),
        };
        let name = format!("{} {name}", parameter.place.name());
        (!lifecycle.is_default()).then_some((name, (lifecycle, parameter.span)))
    });
    ending.collect()
}

/// Earlier one of the day that a document states and the day that the gateway enforces. A text that
/// is no date is kept: the comparison reports it.
fn earlier(documented: Option<String>, enforced: Option<String>) -> Option<String> {
    match (documented, enforced) {
        (Some(documented), Some(enforced)) => {
            let is_date = documented.starts_with(|first: char| first.is_ascii_digit());
            Some(if is_date && enforced < documented {
                enforced
            } else {
                documented
            })
        }
        (documented, enforced) => documented.or(enforced),
    }
}

/// Earliest `sunset` (`YYYY-MM-DD`) after which the gateway refuses the requests of an operation.
fn enforced_sunset(compiled: &Compiled, api: &Api, operation: &Operation) -> Option<String> {
    let settings = &compiled.model.as_ref()?.settings;
    let sunset = |checked: &deprecation::Checked| {
        let settings = checked.settings();
        settings.text(&["sunset"]).map(str::to_owned)
    };
    let links = operation.chain.iter();
    let policies = links.filter_map(|link| {
        let policy = chain::policy(settings, api, &link.value)?;
        match &policy.value.checked {
            Checked::Deprecation(checked) => sunset(checked),
            _ => None,
        }
    });
    let own = operation.forwarding.deprecated.as_ref().and_then(sunset);
    policies.chain(own).min()
}

/// Prose without the source locations.
fn texts(prose: Texts) -> BTreeMap<String, String> {
    let prose = prose.into_iter();
    prose.map(|(about, (text, _))| (about, text)).collect()
}
