//! Lint for values of `format` in validated messages that gwd does not check. Such a format accepts
//! every value.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{Messages, Value};
use diag::{Diagnostic, NodeRef, Sink, Span, suggest};
use openapi::spec::reference::Resolver;
use sources::project::files::Files;
use validator::{FormatCheck, format_check, registered_formats};
use vocab::limit_lints::UNCHECKED_FORMAT;

use crate::Api;

/// Keys of a document whose values are no schemas.
const LITERALS: [&str; 5] = ["const", "default", "enum", "example", "examples"];

/// Reports each name of a format once per document.
pub(super) fn check(files: &Files, api: &Api, messages: &Messages, sink: &mut Sink) {
    let mut names = BTreeSet::new();
    for schema in &messages.schemas {
        collect(schema, &mut names);
    }
    for operation in messages.operations.iter() {
        let mut operation = operation.clone();
        operation.each_value_mut(&mut |value| collect(value, &mut names));
    }
    let is_unchecked = |name: &&str| match format_check(name) {
        FormatCheck::Enforced | FormatCheck::AllowsAll => false,
        FormatCheck::Ignored | FormatCheck::Unknown => true,
    };
    let names: BTreeSet<&str> = names
        .iter()
        .map(|name| &**name)
        .filter(is_unchecked)
        .collect();
    if names.is_empty() {
        return;
    }
    let resolver = Resolver::new(files, &api.document);
    let mut spans = BTreeMap::new();
    find(resolver.root(), &names, &mut spans);
    for name in names {
        // A format that the document itself does not contain is in a different file: report the
        // format at the root of the document.
        let span = spans.get(name).copied();
        report(name, span.unwrap_or(resolver.root().span()), sink);
    }
}

/// Collects the names of the formats in a value of a contract.
fn collect(value: &Value, names: &mut BTreeSet<Box<str>>) {
    if let Some(Value::Text(name)) = value.get("format") {
        names.insert(name.clone());
    }
    for (key, inner) in value.entries() {
        if !LITERALS.contains(&&**key) {
            collect(inner, names);
        }
    }
    value.items().iter().for_each(|item| collect(item, names));
}

/// Finds the first place of each format in a document.
fn find<'n>(node: NodeRef<'n>, names: &BTreeSet<&str>, spans: &mut BTreeMap<&'n str, Span>) {
    for (entry, value) in node.entries() {
        match (&*entry.key, value.as_str()) {
            ("format", Some(name)) if names.contains(name) => {
                spans.entry(name).or_insert(value.span());
            }
            (key, _) if LITERALS.contains(&key) => {}
            _ => find(value, names, spans),
        }
    }
    node.items().for_each(|item| find(item, names, spans));
}

fn report(name: &str, span: Span, sink: &mut Sink) {
    let name = name.escape_debug().to_string();
    let (message, help) = match format_check(&name) {
        FormatCheck::Unknown => {
            let near = suggest::nearest(&name, registered_formats());
            let help = match near {
                Some(near) => format!("did you mean `{near}`? Otherwise write a `pattern`"),
                None => "write a `pattern`, or let the upstream check the values".to_owned(),
            };
            (
                format!("the format `{name}` is unknown: gwd accepts every value"),
                help,
            )
        }
        _ => (
            format!("gwd does not check values of the format `{name}`"),
            "write a `pattern`, or let the upstream check the values".to_owned(),
        ),
    };
    sink.push(Diagnostic::new(&UNCHECKED_FORMAT, span, message).help(help));
}
