//! Finding about security requirements that contain both alternatives that gwd checks and
//! alternatives that only the upstream checks. A client can avoid gwd's verifier: it sends any
//! value as the credential of such an alternative.

use std::collections::BTreeMap;

use bundle::ir::{self, Alternative, Security, Verify};
use diag::{Diagnostic, Sink, Span};

use super::Api;
use super::open::named;
use vocab::security_lints::UNCHECKED_ALTERNATIVE;

/// Reports each alternative that only the upstream checks, once, with the operations whose
/// requirement contains it.
pub(super) fn check(apis: &[Api], sink: &mut Sink) {
    for api in apis {
        let mut opened: BTreeMap<&Alternative, Vec<(String, Span)>> = BTreeMap::new();
        let served = api
            .operations
            .iter()
            .filter(|operation| !operation.internal);
        let served = served.map(|one| (&one.key, one.span, &one.security.value));
        let rest = api
            .rest
            .iter()
            .map(|one| (&one.key, one.span, &one.security.value));
        for (key, span, security) in served.chain(rest) {
            for alternative in unchecked(api, security) {
                let operations = opened.entry(alternative).or_default();
                operations.push((key.clone(), span));
            }
        }
        for (alternative, operations) in opened {
            sink.push(finding(api, alternative, &operations));
        }
    }
}

/// Alternatives that only the upstream checks, if gwd checks another alternative of the
/// requirement. Requirements that admit everyone have separate findings.
fn unchecked<'s>(api: &Api, security: &'s Security) -> Vec<&'s Alternative> {
    let is_checked = |alternative: &Alternative| {
        let mut schemes = alternative
            .0
            .iter()
            .filter_map(|it| scheme(api, &it.scheme));
        schemes.any(|scheme| scheme.verify != Verify::Upstream)
    };
    if security.admits_anyone() || !security.0.iter().any(is_checked) {
        return Vec::new();
    }
    let mut all: Vec<&Alternative> = security.0.iter().collect();
    all.retain(|alternative| !is_checked(alternative));
    all
}

fn scheme<'a>(api: &'a Api, name: &str) -> Option<&'a ir::Scheme> {
    api.schemes.iter().find(|scheme| scheme.name == name)
}

/// Creates the finding, at the scheme's definition in the document.
fn finding(api: &Api, alternative: &Alternative, operations: &[(String, Span)]) -> Diagnostic {
    let is_used = |canonical: &String| {
        let mut uses = alternative.0.iter();
        uses.any(|it| it.scheme == *canonical)
    };
    let mut defined = api.spec.schemes.iter();
    let defined = defined.find(|scheme| {
        let canonical = api.scheme_names.get(&scheme.name.value);
        canonical.is_some_and(is_used)
    });
    let (at, name) = match defined {
        Some(scheme) => (scheme.name.span, scheme.name.value.as_str()),
        None => (api.span, "another scheme"),
    };
    let message = match operations {
        [(key, _)] => format!("any value of `{name}` bypasses the verifier of `{key}`"),
        many => format!(
            "any value of `{name}` bypasses the verifiers of {} operations of `{}`",
            many.len(),
            api.name
        ),
    };
    let finding = Diagnostic::new(&UNCHECKED_ALTERNATIVE, at, message)
        .label("the gateway checks only that this credential is present")
        .help(
            "bind a verifier here (`x-gateway: {auth: NAME}`), or leave this alternative out of \
`security`",
        );
    named(finding, operations)
}
