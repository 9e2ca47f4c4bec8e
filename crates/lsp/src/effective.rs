//! Effective settings of an operation, with the places that set them.

use bundle::ir::Link;
use diag::Span;
use model::{Operation, Origin, Valued};
use plan::security::describe;
use policy::declared::Scalar;

use crate::project::Checked;

/// Summary of an operation on one line: access, upstream and policies.
pub(crate) fn summary(operation: &Operation) -> String {
    let links = operation.chain.iter().map(|link| &link.value);
    let policies: Vec<&str> = links.filter_map(policy).collect();
    let policies = match policies.is_empty() {
        true => String::new(),
        false => format!(" · policies: {}", policies.join(" → ")),
    };
    let internal = if operation.internal {
        "internal · "
    } else {
        ""
    };
    format!(
        "{internal}access: {} · upstream: {}{policies}",
        describe(&operation.security.value),
        operation.upstream.value
    )
}

/// Name of the policy that a step of the chain runs. `None` for authentication.
fn policy(link: &Link) -> Option<&str> {
    match link {
        Link::Authenticate => None,
        Link::Shared(name) | Link::Own(name) => Some(name),
    }
}

/// Table of the effective settings of an operation, in Markdown.
pub(crate) fn table(checked: &Checked, operation: &Operation) -> String {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    let mut row = |name: &str, value: String, origin: &Origin| {
        rows.push((name.to_owned(), value, set_by(checked, origin)));
    };
    let Operation {
        security,
        upstream,
        timeout_ms,
        max_body_bytes,
        ..
    } = operation;
    row("access", describe(&security.value), &security.origin);
    row("upstream", upstream.value.clone(), &upstream.origin);
    for link in &operation.chain {
        if let Some(name) = policy(&link.value) {
            row("policy", name.to_owned(), &link.origin);
        }
    }
    row(
        "timeout",
        Scalar::Duration(timeout_ms.value).to_string(),
        &timeout_ms.origin,
    );
    let size = |bytes| Scalar::Size(bytes).to_string();
    let max_body = max_body_bytes
        .value
        .map_or_else(|| "no limit".to_owned(), size);
    row("max_body", max_body, &max_body_bytes.origin);
    let Valued { value, origin } = &operation.closes_streams;
    let streams = if *value { "close" } else { "keep" };
    row("streams", streams.to_owned(), origin);
    let mut text = format!(
        "`{}`\n\n| Setting | Value | Set by |\n|---|---|---|\n",
        cell(&operation.key)
    );
    for (name, value, origin) in rows {
        text.push_str(&format!(
            "| {name} | `{}` | {} |\n",
            cell(&value),
            cell(&origin)
        ));
    }
    text
}

/// Place that sets a value: `gateway.yaml:12`, or the name of a default.
fn set_by(checked: &Checked, origin: &Origin) -> String {
    let place = |span: &Span| {
        let sources = &checked.compiled.files.sources;
        let line = sources.position(*span).line;
        format!("{}:{line}", sources.file(span.file).path())
    };
    match origin {
        Origin::Written { span, overrides } if overrides.is_empty() => place(span),
        Origin::Written { span, overrides } => {
            let overrides: Vec<String> = overrides.iter().map(place).collect();
            format!("{}, overrides {}", place(span), overrides.join(", "))
        }
        Origin::Default(_) => "default".to_owned(),
    }
}

/// Text that can stand in a cell of a table and in a code span.
fn cell(text: &str) -> String {
    let plain = diag::text::printable(text);
    plain.replace('|', "\\|").replace('`', "'")
}

/// Operations of a project whose method is in a file.
pub(crate) fn operations<'c>(checked: &'c Checked, path: &std::path::Path) -> Vec<&'c Operation> {
    let apis = checked.compiled.model.iter().flat_map(|model| &model.apis);
    let operations = apis.flat_map(|api| &api.operations);
    let Some(file) = checked.file_at(path) else {
        return Vec::new();
    };
    operations.filter(|one| one.span.file == file).collect()
}
