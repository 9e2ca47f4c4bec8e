//! Effective settings for the requests of an operation, with the origin of each value and the
//! values that it overrides.

use bundle::ir;
use policy::declared::{Scalar, Settings, Value};

use super::candidates::conditions;
use super::route_request::Here;
use crate::{details, security};
use model::source_map::{FieldSource, Place};

/// Effective setting.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name of the setting: a key of `x-gateway`, or the kind and name of a definition followed by
    /// a key.
    pub field: String,
    /// Effective value.
    pub value: String,
    /// Location or default from which the value comes.
    pub source: Source,
    /// Source locations of the overridden values, nearest first.
    pub overrides: Vec<Place>,
}

/// Origin of a value.
#[derive(Clone, Debug)]
pub enum Source {
    /// Location in the sources.
    Place(Place),
    /// Built-in default with this name.
    Default(String),
    /// Unknown, because the bundle has no source map.
    Unknown,
}

/// Lists the effective settings of the operation. With `--all`, also lists the settings of the
/// mount, upstream and listener.
pub(super) fn fields(here: Here<'_>) -> Vec<Field> {
    let mut fields = of_operation(here);
    if here.route_request.all {
        fields.extend(of_mount(here));
        let shared = &here.route_request.gateway().shared;
        let upstream = shared.upstreams.get(&here.treatment.upstream);
        let listener = shared.listeners.get(here.route_request.listener());
        let upstream = upstream.map(|one| ("upstream", &one.name, details::upstream(one)));
        let listener = listener.map(|one| ("listener", &one.name, details::listener(one)));
        for (kind, name, settings) in upstream.into_iter().chain(listener) {
            fields.extend(of_thing(kind, name, &settings, here));
        }
    }
    fields
}

fn of_operation(here: Here<'_>) -> Vec<Field> {
    let Here {
        operation,
        treatment,
        route_request,
        ..
    } = here;
    let max_body = treatment
        .max_body_bytes
        .map_or("no limit".to_owned(), |bytes| {
            Scalar::Size(bytes).to_string()
        });
    let slash = match operation.trailing_slash {
        ir::TrailingSlash::Strict => "strict",
        ir::TrailingSlash::Redirect => "redirect",
        ir::TrailingSlash::Ignore => "ignore",
    };
    let readings = match treatment.path_readings {
        ir::PathReadings::Strict => "strict",
        ir::PathReadings::Keep => "keep",
    };
    let matches = match operation.template.is_prefix() {
        true => "prefix",
        false => "template",
    };
    let always = [
        ("security", security::describe(&treatment.security)),
        ("upstream", treatment.upstream.clone()),
        (
            "timeout",
            Scalar::Duration(treatment.timeout_ms).to_string(),
        ),
        ("max_body", max_body),
    ];
    let sometimes = [
        ("path_readings", readings.to_owned(), "strict"),
        ("trailing_slash", slash.to_owned(), "strict"),
        ("priority", operation.priority.to_string(), "0"),
        ("path.match", matches.to_owned(), "template"),
        (
            "case_insensitive",
            operation.template.is_folded().to_string(),
            "false",
        ),
        ("conditions", conditions(&operation.conditions), "none"),
    ];
    let sometimes = sometimes
        .into_iter()
        .filter(|_| operation.owns.is_described())
        .filter(|(name, value, default)| {
            value != default || route_request.all || is_written(here, name)
        });
    let settings = treatment.settings();
    let settings = settings.iter();
    let settings = settings.map(|one| (one.path.join("."), text(&one.value)));
    let all = always
        .into_iter()
        .chain(sometimes.map(|(name, value, _)| (name, value)))
        .map(|(name, value)| (name.to_owned(), value))
        .chain(settings);
    all.map(|(name, value)| field(here, name, value)).collect()
}

fn is_written(here: Here<'_>, name: &str) -> bool {
    here.route_request
        .field(&here.operation.key, name)
        .is_some()
}

fn field(here: Here<'_>, name: String, value: String) -> Field {
    let (source, overrides) = match here.route_request.field(&here.operation.key, &name) {
        Some(FieldSource::Written {
            place, overrides, ..
        }) => (Source::Place(place.clone()), overrides.clone()),
        Some(FieldSource::Default { default }) => (Source::Default(default.clone()), Vec::new()),
        None if here.route_request.source(&here.operation.key).is_some() => {
            (Source::Default(name.clone()), Vec::new())
        }
        None => (Source::Unknown, Vec::new()),
    };
    Field {
        field: name,
        value,
        source,
        overrides,
    }
}

fn of_mount(here: Here<'_>) -> Vec<Field> {
    let Some(mount) = here.api.mounts.get(&here.route.mount.name) else {
        return Vec::new();
    };
    let base_path = match mount.base_path.as_str() {
        "" => "/",
        path => path,
    };
    let hosts = match mount.hosts.as_slice() {
        [] => "any".to_owned(),
        hosts => hosts.join(", "),
    };
    let values = [
        ("hosts", hosts),
        ("base_path", base_path.to_owned()),
        ("strip_base_path", mount.strip_base_path.to_string()),
        ("listeners", mount.listeners.join(", ")),
    ];
    let values = values.into_iter().map(|(key, value)| Field {
        field: format!("mount {} {key}", mount.name),
        value,
        source: defined(
            here,
            &format!("mount {}/{} {key}", here.api.name, mount.name),
        ),
        overrides: Vec::new(),
    });
    values.collect()
}

fn of_thing(kind: &str, name: &str, settings: &Settings, here: Here<'_>) -> Vec<Field> {
    let all = settings.iter().map(|one| {
        let field = format!("{kind} {name} {}", one.path.join("."));
        Field {
            source: defined(here, &field),
            field,
            value: text(&one.value),
            overrides: Vec::new(),
        }
    });
    all.collect()
}

/// Origin of a setting that the definition of a listener, upstream or other object may contain. A
/// setting that the definition does not contain has its built-in default.
fn defined(here: Here<'_>, field: &str) -> Source {
    let key = || field.rsplit(' ').next().unwrap_or(field).to_owned();
    match here.route_request.definition(field) {
        Some(place) => Source::Place(place.clone()),
        None if here.route_request.side.source.is_some() => Source::Default(key()),
        None => Source::Unknown,
    }
}

/// Value of a setting, for display. Secrets are shown as their references.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::One(one) => one.to_string(),
        Value::Set(all) | Value::List(all) => {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            all.join(", ")
        }
        Value::Empty => "nothing".to_owned(),
    }
}
