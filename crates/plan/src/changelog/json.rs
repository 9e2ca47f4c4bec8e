//! Changelog as JSON in the format `changelog/v1`.

use serde_json::{Value, json};

use super::{Changelog, Entry};

/// Builds the JSON document. `environment` is the environment that was compared.
#[must_use]
pub fn document(changelog: &Changelog, environment: Option<&str>) -> Value {
    let result = match changelog.apis.is_empty() {
        true => "ok",
        false => "changes",
    };
    let apis = changelog.apis.iter().map(|api| {
        let groups = api.groups.iter();
        let entries = groups.flat_map(|(kind, entries)| {
            let entries = entries.iter();
            entries.map(|one| entry(kind.name(), kind.level(), one))
        });
        json!({"name": api.name, "changes": entries.collect::<Vec<_>>()})
    });
    json!({
        "schema": "changelog/v1",
        "result": result,
        "tool": {"name": "gwc", "version": env!("CARGO_PKG_VERSION")},
        "environment": environment,
        "apis": apis.collect::<Vec<_>>(),
    })
}

fn entry(kind: &str, level: &str, entry: &Entry) -> Value {
    let values = entry.values.as_ref();
    json!({
        "kind": kind,
        "level": level,
        "id": entry.id,
        "operations": entry.operations,
        "count": entry.count,
        "path": entry.path,
        "text": entry.text,
        "old": values.and_then(|values| values.old.as_deref()),
        "new": values.map(|values| &*values.new),
        "environments": entry.environments,
    })
}
