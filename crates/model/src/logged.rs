//! Form in which logs show parameters: `log` of a parameter, and `redact` of its schema.

use std::collections::BTreeSet;

use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeRef, Sink, Span, Tree};
use openapi::spec::reference::Resolver;
use openapi::spec::{self, In, Parameter};
use policy::logged::{LogForm, LoggedLocation, LoggedParameter, is_secret_parameter};
use sources::project::files::Files;

use super::redacted::Redacted;
use super::{Api, not_forwarded};

/// Parameters of an operation whose form in the access log (kept, redacted or hashed) differs from
/// the default, sorted. Leaves out those that [`check`] reports.
pub(super) fn parameters(
    operation: &spec::Operation,
    tree: &Tree,
    redacted: &Redacted<'_>,
) -> Vec<LoggedParameter> {
    let all = operation.parameters.iter().flat_map(|parameter| {
        let own = match written(parameter, tree) {
            Some((form, _)) => vec![(form, parameter.name.value.as_str())],
            None => {
                let names = redacted.names(parameter).into_iter();
                names.map(|name| (LogForm::Redact, name)).collect()
            }
        };
        let place = place(parameter);
        own.into_iter()
            .filter_map(move |(form, name)| Some((place?, form, name)))
    });
    let all = all.filter_map(|(place, form, name)| {
        let is_hidden = place == LoggedLocation::Query && is_secret_parameter(name);
        let is_usual = match form {
            LogForm::Keep => !is_hidden,
            LogForm::Redact => is_hidden,
            LogForm::Hash => false,
        };
        let name = match place {
            LoggedLocation::UserAgent => name.to_ascii_lowercase(),
            LoggedLocation::Path | LoggedLocation::Query => name.to_owned(),
        };
        (!is_usual).then_some(LoggedParameter { place, name, form })
    });
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Place of a parameter in the access log. `None` if the log does not contain the parameter.
fn place(parameter: &Parameter) -> Option<LoggedLocation> {
    match parameter.place {
        In::Path => Some(LoggedLocation::Path),
        In::Query => Some(LoggedLocation::Query),
        In::Header if parameter.name.value.eq_ignore_ascii_case("user-agent") => {
            Some(LoggedLocation::UserAgent)
        }
        In::Header | In::Cookie | In::Querystring => None,
    }
}

/// Form that the key `log` of a parameter sets, with the node of the key. `None` if the key is
/// absent or invalid.
fn written<'t>(parameter: &Parameter, tree: &'t Tree) -> Option<(LogForm, NodeRef<'t>)> {
    let log = tree.at(parameter.x_gateway?).get("log")?;
    let form = match log.as_str()? {
        "keep" => LogForm::Keep,
        "redact" => LogForm::Redact,
        "hash" => LogForm::Hash,
        _ => return None,
    };
    Some((form, log))
}

/// Reports `log` at parameters that the access log does not contain, at objects whose members are
/// separate parameters, and with hashes of credentials.
pub(super) fn check(files: &Files, apis: &[Api], sink: &mut Sink) {
    let mut reported: BTreeSet<Span> = BTreeSet::new();
    for api in apis {
        let resolver = Resolver::new(files, &api.document);
        let operations = api.spec.paths.iter().flat_map(|item| &item.operations);
        for parameter in operations.flat_map(|operation| &operation.parameters) {
            let Some((form, node)) = written(parameter, &files.tree) else {
                continue;
            };
            if reported.insert(node.span()) {
                report(parameter, (form, node.span()), &resolver, sink);
            }
        }
    }
}

/// Reports a `log` setting that has no effect, or hides less than its value says.
fn report(
    parameter: &Parameter,
    (form, at): (LogForm, Span),
    resolver: &Resolver<'_>,
    sink: &mut Sink,
) {
    let name = parameter.name.value.escape_debug();
    let (message, help) = match place(parameter) {
        None if parameter.place == In::Querystring => (
            format!("`{name}` is the whole query, which the log shows field by field"),
            "remove `log`, or describe the fields with `in: query`",
        ),
        None => (
            format!("the log does not contain `{name}`"),
            "remove `log`: the log has the path, the query and `User-Agent`, no other field and no cookie",
        ),
        Some(LoggedLocation::Query)
            if not_forwarded::members_are_parameters(parameter, resolver) =>
        {
            (
                format!(
                    "`log` does not cover the members of `{name}`, which can be sent as separate \
query parameters"
                ),
                not_forwarded::MEMBERS_HELP,
            )
        }
        Some(LoggedLocation::Query)
            if form == LogForm::Hash && is_secret_parameter(&parameter.name.value) =>
        {
            (
                format!(
                    "`{name}` is a usual name of a credential, and logs do not show its values"
                ),
                "remove `log`, or write `log: keep` if it is no credential",
            )
        }
        Some(LoggedLocation::Path | LoggedLocation::Query | LoggedLocation::UserAgent) => return,
    };
    sink.push(Diagnostic::new(&BAD_VALUE, at, message).help(help));
}
