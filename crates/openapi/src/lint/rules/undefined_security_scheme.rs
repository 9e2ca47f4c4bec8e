//! Rule for a security requirement that names an undefined scheme.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, suggest};

use crate::lint::Whole;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0328",
    name: "undefined-security-scheme",
    level: Level::Error,
    summary: "a security requirement that names no defined scheme",
    explain: "`security` names schemes of `components.securitySchemes`. If a scheme is missing, \
it is unknown how clients authenticate.",
    bad: v30!("paths: {}\nsecurity: [{key: []}]\n"),
    good: v30!(
        "paths: {}\nsecurity: [{key: []}]\n",
        "components: {securitySchemes: {key: {type: apiKey, in: header, name: k}}}\n"
    ),
};

pub(super) fn check(whole: &Whole<'_, '_>, sink: &mut Sink) {
    let spec = whole.spec;
    // Include schemes with mistakes: they are defined, and another rule reports the mistake.
    let root = whole.resolver.root();
    let components = root
        .get("components")
        .and_then(|node| whole.resolver.resolve(node));
    let schemes = components
        .and_then(|node| node.get("securitySchemes"))
        .and_then(|node| whole.resolver.resolve(node));
    let names: Vec<&str> = schemes
        .into_iter()
        .flat_map(NodeRef::entries)
        .map(|(entry, _)| &*entry.key)
        .collect();
    let operations = spec.paths.iter().flat_map(|path| &path.operations);
    let requirements = operations.filter_map(|operation| operation.security.as_ref());
    let written = spec.security.iter().chain(requirements);
    for requirement in written.flat_map(|security| &security.alternatives) {
        for (name, _) in &requirement.schemes {
            if spec
                .schemes
                .iter()
                .any(|scheme| scheme.name.value == name.value)
            {
                continue;
            }
            // The scheme is defined but has a mistake, and the rule for that mistake may be
            // silenced. Without the scheme, the requirement would admit more callers than written.
            if names.contains(&name.value.as_str()) {
                sink.push(Diagnostic::new(
                    &LINT,
                    name.span,
                    format!(
                        "the security scheme `{}` is defined, but cannot be read",
                        name.value.escape_debug()
                    ),
                ));
                continue;
            }
            let mut finding = Diagnostic::new(
                &LINT,
                name.span,
                format!(
                    "no security scheme `{}` is defined",
                    name.value.escape_debug()
                ),
            );
            finding = match suggest::nearest(&name.value, names.iter().copied()) {
                Some(near) => finding
                    .label(format!("did you mean `{near}`?"))
                    .fix(name.span, near),
                None if names.is_empty() => {
                    finding.help("define it in `components.securitySchemes`")
                }
                None => finding.help(suggest::one_of(names.iter().copied(), 8)),
            };
            sink.push(finding);
        }
    }
}
