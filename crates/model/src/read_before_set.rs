//! Finding about decisions that depend on a request field that the gateway itself writes later. An
//! `authorize` expression or a condition of a route reads the field. A `forward_auth` or `headers`
//! policy or `claims_to_headers` writes the field later. The decision therefore depends on a value
//! that the client can choose freely.

use std::collections::BTreeSet;

use bundle::ir::{self, Condition};
use diag::{Diagnostic, NodeRef, Sink, Span};
use policy::Checked;
use policy::guard::expression::{Expression, Form};

use super::{Api, Defined, Operation, Settings, chain};

use sources::project::files::Files;
use vocab::lints::READ_BEFORE_SET;

/// Reports each field once for each expression or condition that reads the field.
pub(super) fn check(files: &Files, settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut reported: BTreeSet<(Span, String)> = BTreeSet::new();
    for api in apis {
        for operation in &api.operations {
            for found in of_operation(files, (settings, api), operation) {
                if reported.insert((found.at, found.field.clone())) {
                    report(api, &found, sink);
                }
            }
        }
    }
}

/// Request field that one part of the configuration reads before another part writes it.
struct Found {
    at: Span,
    field: String,
    /// Part of the configuration that reads the field, for display.
    reader: String,
    /// Part of the configuration that writes the field, for display.
    writer: String,
}

fn of_operation(
    files: &Files,
    (settings, api): (&Settings, &Api),
    operation: &Operation,
) -> Vec<Found> {
    let steps: Vec<Option<&Defined<ir::Policy>>> = operation
        .chain
        .iter()
        .map(|link| chain::policy(settings, api, &link.value))
        .collect();
    let writer = |from: usize, field: &str| {
        let mut later = steps.iter().skip(from);
        later.find_map(|step| match step {
            None => passes(api, field).then(|| "`claims_to_headers` or `forward_as`".to_owned()),
            Some(policy) => {
                let writes = written(&policy.value.checked);
                let is_written = writes.iter().any(|name| name == field);
                is_written.then(|| format!("`{}`", policy.value.name.escape_debug()))
            }
        })
    };
    let mut found = Vec::new();
    for condition in &operation.conditions {
        let Condition::Header(field, _) = condition else {
            continue;
        };
        if let Some(writer) = writer(0, field) {
            found.push(Found {
                at: operation.span,
                field: field.clone(),
                reader: format!("a condition of `{}`", operation.key.escape_debug()),
                writer,
            });
        }
    }
    for (index, step) in steps.iter().enumerate() {
        let Some(policy) = step else { continue };
        let Checked::Authorize(_) = &policy.value.checked else {
            continue;
        };
        let node = policy.node.and_then(|id| {
            let policy = files.tree.at(id);
            policy.get("expression").or_else(|| policy.get("cost"))
        });
        for field in read(&policy.value.checked) {
            if let Some(writer) = writer(index + 1, &field) {
                found.push(Found {
                    at: node.map_or(policy.span, NodeRef::span),
                    field,
                    reader: format!("`{}`", policy.value.name.escape_debug()),
                    writer,
                });
            }
        }
    }
    found
}

/// Names of the request fields that an expression reads, in lower case.
pub(super) fn read(checked: &Checked) -> BTreeSet<String> {
    let settings = checked.settings();
    let (key, form) = match checked.kind() {
        "rate_limit" | "quota" => ("cost", Form::Cost),
        _ => ("expression", Form::Condition),
    };
    let text = settings.text(&[key]);
    let expression = text.map(|text| Expression::shared(text, form));
    let Some((Ok(expression), _)) = expression else {
        return BTreeSet::new();
    };
    expression.fields()
}

/// Names of the request fields that a policy writes, in lower case.
fn written(checked: &Checked) -> Vec<String> {
    let settings = checked.settings();
    match checked.kind() {
        "forward_auth" => {
            let names = settings.texts(&["response_headers"]).unwrap_or_default();
            names.into_iter().map(str::to_ascii_lowercase).collect()
        }
        "headers" => {
            let written = settings.iter().filter_map(|one| match one.path.as_slice() {
                [side, how, name] if side == "request" && how == "set" => {
                    Some(name.to_ascii_lowercase())
                }
                _ => None,
            });
            written.collect()
        }
        _ => Vec::new(),
    }
}

/// True if authentication writes a field.
fn passes(api: &Api, field: &str) -> bool {
    let mut fields = api.schemes.iter().flat_map(|scheme| scheme.passes.fields());
    fields.any(|name| name == field)
}

fn report(api: &Api, found: &Found, sink: &mut Sink) {
    let Found {
        at,
        field,
        reader,
        writer,
    } = found;
    let field = field.escape_debug();
    let message = format!(
        "{reader} reads the client's `{field}`, which {writer} of `{}` sets later",
        api.name.escape_debug()
    );
    sink.push(
        Diagnostic::new(&READ_BEFORE_SET, *at, message)
            .label("clients can send any value")
            .help("name the policy that sets the field first, or read another value, such as `auth.claims`"),
    );
}
