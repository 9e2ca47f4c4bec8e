//! Rule for a required scope that no flow of its security scheme declares.

use diag::{Diagnostic, Level, Lint, Sink, suggest};

use crate::lint::Whole;
use crate::spec::SchemeKind;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0362",
    name: "undeclared-scope",
    level: Level::Warn,
    summary: "a required scope that no flow of its scheme declares",
    explain: "Scopes are enforced as they are written in `security`. No client can request a scope \
that no flow of the scheme offers. Most often one of the two names is misspelt, and the operation \
refuses every caller.",
    bad: v30!(
        "paths: {}\nsecurity: [{s: [write]}]\n",
        "components: {securitySchemes: {s: {type: oauth2, flows: {clientCredentials: {tokenUrl: 'https://a.test/t', scopes: {read: r}}}}}}\n"
    ),
    good: v30!(
        "paths: {}\nsecurity: [{s: [read]}]\n",
        "components: {securitySchemes: {s: {type: oauth2, flows: {clientCredentials: {tokenUrl: 'https://a.test/t', scopes: {read: r}}}}}}\n"
    ),
};

pub(super) fn check(whole: &Whole<'_, '_>, sink: &mut Sink) {
    let spec = whole.spec;
    let operations = spec.paths.iter().flat_map(|path| &path.operations);
    let own = operations.filter_map(|operation| operation.security.as_ref());
    let written = spec.security.iter().chain(own);
    let requirements = written.flat_map(|security| &security.alternatives);
    for (name, scopes) in requirements.flat_map(|requirement| &requirement.schemes) {
        let mut schemes = spec.schemes.iter();
        let scheme = schemes.find(|scheme| scheme.name.value == name.value);
        let Some(scheme) = scheme else { continue };
        let SchemeKind::OAuth2 { scopes: declared } = &scheme.kind else {
            continue;
        };
        for scope in scopes
            .iter()
            .filter(|scope| declared.binary_search(&scope.value).is_err())
        {
            let message = format!(
                "no flow of `{}` declares the scope `{}`",
                name.value.escape_debug(),
                scope.value.escape_debug()
            );
            let finding = Diagnostic::new(&LINT, scope.span, message)
                .related(scheme.name.span, "this is the scheme");
            let declared = declared.iter().map(String::as_str);
            sink.push(match suggest::nearest(&scope.value, declared) {
                Some(near) => finding
                    .label(format!("did you mean `{near}`?"))
                    .fix(scope.span, near),
                None => finding.help("declare it under `scopes` of a flow"),
            });
        }
    }
}
