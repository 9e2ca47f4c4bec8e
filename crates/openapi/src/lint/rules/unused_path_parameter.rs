//! Rule for a path parameter that does not occur in its template.

use diag::{Diagnostic, Level, Lint, Sink, Span, suggest};

use crate::lint::{Whole, template};
use crate::spec::In;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0326",
    name: "unused-path-parameter",
    level: Level::Error,
    summary: "a path parameter that its template does not have",
    explain: "The parameter says `in: path`, but no braces of the path have its name, so it never has a value. Letter case counts.",
    bad: v30!(
        "paths:\n  /a/b:\n    get:\n      parameters: [{name: id, in: path, required: true, schema: {type: string}}]\n",
        "      responses: {'200': {description: ok}}\n"
    ),
    good: v30!(
        "paths:\n  /a/{id}:\n    get:\n      parameters: [{name: id, in: path, required: true, schema: {type: string}}]\n",
        "      responses: {'200': {description: ok}}\n"
    ),
};

pub(super) fn check(whole: &Whole<'_, '_>, sink: &mut Sink) {
    for path in &whole.spec.paths {
        let key = &path.template;
        let names: Vec<&str> = template::parameters(&key.value)
            .map(|(name, _)| name)
            .collect();
        let mut reported: Vec<Span> = Vec::new();
        for parameter in path
            .operations
            .iter()
            .flat_map(|operation| &operation.parameters)
        {
            let name = parameter.name.value.as_str();
            if parameter.place != In::Path
                || names.contains(&name)
                || reported.contains(&parameter.span)
            {
                continue;
            }
            reported.push(parameter.span);
            // A shared parameter may be used in other paths, so report the reference in this path
            // item.
            let here = whole.resolver.node(parameter.node).span() == parameter.span;
            let span = if here {
                parameter.name.span
            } else {
                parameter.span
            };
            let mut finding = Diagnostic::new(
                &LINT,
                span,
                format!("the path has no `{{{}}}`", name.escape_debug()),
            )
            .related(key.span, "this is the path");
            if let Some(near) = suggest::nearest(name, names.iter().copied()) {
                finding = finding.help(format!("did you mean `{near}`?"));
            }
            sink.push(finding);
        }
    }
}
