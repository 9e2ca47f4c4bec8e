//! Findings about fields of the access log (policies of the kind `log_fields`): credentials of the
//! project's security schemes, path parameters that no operation has, and names that an operation
//! gets twice.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link};
use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeRef, Sink, Span};
use policy::Checked;
use policy::auth::Place;
use policy::managed::plain;
use policy::traffic::log_fields::{self, Source};
use sources::project::files::Files;

use super::{Api, Defined, Settings, chain};

/// Reports each field once.
pub(super) fn check(files: &Files, settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let own = apis.iter().flat_map(|api| &api.policies);
    for policy in settings.policies.iter().chain(own) {
        let Some(fields) = fields_of(policy) else {
            continue;
        };
        for (name, source) in fields.sources() {
            let at = || place(files, policy, name);
            if let Some(scheme) = apis.iter().find_map(|api| credential(api, source)) {
                report_credential(source, scheme, at(), sink);
            }
            if let Source::Path(parameter) = source
                && is_unknown(parameter, policy.span, (settings, apis))
            {
                report_unknown(parameter, at(), sink);
            }
        }
    }
    check_names(files, settings, apis, sink);
}

/// Fields of a policy. `None` for a policy of another kind.
fn fields_of(policy: &Defined<ir::Policy>) -> Option<&log_fields::Checked> {
    match &policy.value.checked {
        Checked::LogFields(fields) => Some(fields),
        _ => None,
    }
}

/// Location of a field's source in the configuration.
fn place(files: &Files, policy: &Defined<ir::Policy>, name: &str) -> Span {
    let fields = policy.node.and_then(|id| files.tree.at(id).get("fields"));
    let field = fields.and_then(|fields| fields.get(name));
    let field = field.map(|field| field.get("from").unwrap_or(field));
    field.map_or(policy.span, NodeRef::span)
}

/// Name of the security scheme whose credential is at the source. Servers do not distinguish some
/// names of fields, so that lookalikes count, too.
fn credential<'m>(api: &'m Api, source: &Source) -> Option<&'m str> {
    let is_own = |place: &Place| match (place, source) {
        (Place::Header(own), Source::Header(name)) => plain(own) == plain(name),
        (Place::Cookie(own), Source::Cookie(name)) | (Place::Query(own), Source::Query(name)) => {
            own.eq_ignore_ascii_case(name)
        }
        _ => false,
    };
    let scheme = api.schemes.iter().find(|scheme| is_own(&scheme.place))?;
    Some(&scheme.name)
}

/// True if an operation has the policy, and no operation with the policy has the path parameter.
fn is_unknown(parameter: &str, policy: Span, (settings, apis): (&Settings, &[Api])) -> bool {
    let mut is_used = false;
    for api in apis {
        for operation in &api.operations {
            let has = |link: &Link| {
                chain::policy(settings, api, link).is_some_and(|one| one.span == policy)
            };
            if operation.chain.iter().any(|link| has(&link.value)) {
                is_used = true;
                if operation
                    .template
                    .parameters()
                    .any(|name| name == parameter)
                {
                    return false;
                }
            }
        }
    }
    is_used
}

/// Reports each field whose name another policy of the same operation also has.
fn check_names(files: &Files, settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut reported: BTreeSet<Span> = BTreeSet::new();
    for api in apis {
        let described = api.operations.iter().map(|one| (&one.key, &one.chain));
        let rest = api.rest.iter().map(|one| (&one.key, &one.chain));
        for (key, chain) in described.chain(rest) {
            let mut names: BTreeMap<&str, &str> = BTreeMap::new();
            let links = chain.iter();
            let policies = links.filter_map(|link| chain::policy(settings, api, &link.value));
            for policy in policies {
                let Some(fields) = fields_of(policy) else {
                    continue;
                };
                for (name, _) in fields.sources() {
                    let own = policy.value.name.as_str();
                    let Some(other) = names.insert(name, own) else {
                        continue;
                    };
                    let at = place(files, policy, name);
                    if reported.insert(at) {
                        report_name((name, other, key), at, sink);
                    }
                }
            }
        }
    }
}

fn report_credential(source: &Source, scheme: &str, at: Span, sink: &mut Sink) {
    let message = format!(
        "`{}` is the credential of the security scheme `{}`, and logs do not show credentials",
        source.to_string().escape_debug(),
        scheme.escape_debug(),
    );
    sink.push(
        Diagnostic::new(&BAD_VALUE, at, message)
            .help("remove the field; `consumer_id` and `auth_method` of the log name the caller"),
    );
}

fn report_unknown(parameter: &str, at: Span, sink: &mut Sink) {
    let message = format!(
        "no operation with this policy has a path parameter `{}`",
        parameter.escape_debug()
    );
    sink.push(
        Diagnostic::new(&BAD_VALUE, at, message)
            .help("write the name of a parameter in the path template of an operation"),
    );
}

fn report_name((name, other, key): (&str, &str, &str), at: Span, sink: &mut Sink) {
    let message = format!(
        "`{}` already gets a log field `{name}` from the policy `{}`",
        key.escape_debug(),
        other.escape_debug()
    );
    sink.push(Diagnostic::new(&BAD_VALUE, at, message).help("give this field another name"));
}
