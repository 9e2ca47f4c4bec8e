//! Rule for a path template parameter that an operation does not declare.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::{Whole, template, within};
use crate::spec::{In, Operation};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0325",
    name: "undeclared-path-parameter",
    level: Level::Error,
    summary: "a template's parameter that an operation does not declare",
    explain: "Each name in a path's braces needs a parameter with `in: path`, at the operation or \
at the path item; without such a parameter, the type of its values is unknown.",
    bad: v30!("paths:\n  /a/{id}:\n    get: {responses: {'200': {description: ok}}}\n"),
    good: v30!(
        "paths:\n  /a/{id}:\n    parameters: [{name: id, in: path, required: true, schema: {type: string}}]\n",
        "    get: {responses: {'200': {description: ok}}}\n"
    ),
};

pub(super) fn check(whole: &Whole<'_, '_>, sink: &mut Sink) {
    for path in &whole.spec.paths {
        let key = &path.template;
        for (name, bytes) in template::parameters(&key.value) {
            let declares = |operation: &&Operation| {
                let mut parameters = operation.parameters.iter();
                parameters.any(|p| p.place == In::Path && p.name.value == name)
            };
            let missing: Vec<&Operation> = path
                .operations
                .iter()
                .filter(|operation| !declares(operation))
                .collect();
            let Some(first) = missing.first() else {
                continue;
            };
            let methods: Vec<&str> = missing
                .iter()
                .map(|operation| &*operation.method.0)
                .collect();
            let span = within(whole.resolver.files(), key.span, &key.value, bytes);
            sink.push(
                Diagnostic::new(
                    &LINT,
                    span,
                    format!(
                        "the path parameter `{}` is not declared by {}",
                        name.escape_debug(),
                        methods.join(", ")
                    ),
                )
                .related(first.key_span, "needs a parameter with `in: path`")
                .help(format!(
                    "add `{{name: {}, in: path, required: true, schema: …}}` to its `parameters`",
                    name.escape_debug()
                )),
            );
        }
    }
}
