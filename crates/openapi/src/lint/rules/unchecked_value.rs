//! Rule for values that were not validated because validation needs too many steps.

use diag::{Diagnostic, Level, Lint, Sink};

use sources::v30;

use crate::spec::schema::Schemas;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0351",
    name: "unchecked-value",
    level: Level::Info,
    summary: "examples and defaults that were left unchecked: their schemas take too many steps",
    explain: "Examples, defaults and enum values are checked against their schemas within a limit \
of steps for each document, far above what real documents need. A single value may take at most an \
eighth of them, so that the others are still checked. If each level of schemas refers to the next \
level twice, each level doubles the work, for gwc and for every validator of requests.",
    bad: v30!(
        "paths: {}\ncomponents:\n  schemas:\n    A: {allOf: [{$ref: '#/components/schemas/B'}, {$ref: '#/components/schemas/B'}, {$ref: '#/components/schemas/B'}, {$ref: '#/components/schemas/B'}], example: 1}\n",
        "    B: {allOf: [{$ref: '#/components/schemas/C'}, {$ref: '#/components/schemas/C'}, {$ref: '#/components/schemas/C'}, {$ref: '#/components/schemas/C'}]}\n",
        "    C: {allOf: [{$ref: '#/components/schemas/D'}, {$ref: '#/components/schemas/D'}, {$ref: '#/components/schemas/D'}, {$ref: '#/components/schemas/D'}]}\n",
        "    D: {allOf: [{$ref: '#/components/schemas/E'}, {$ref: '#/components/schemas/E'}, {$ref: '#/components/schemas/E'}, {$ref: '#/components/schemas/E'}]}\n",
        "    E: {allOf: [{$ref: '#/components/schemas/F'}, {$ref: '#/components/schemas/F'}, {$ref: '#/components/schemas/F'}, {$ref: '#/components/schemas/F'}]}\n",
        "    F: {allOf: [{$ref: '#/components/schemas/G'}, {$ref: '#/components/schemas/G'}, {$ref: '#/components/schemas/G'}, {$ref: '#/components/schemas/G'}]}\n",
        "    G: {allOf: [{$ref: '#/components/schemas/H'}, {$ref: '#/components/schemas/H'}, {$ref: '#/components/schemas/H'}, {$ref: '#/components/schemas/H'}]}\n",
        "    H: {allOf: [{$ref: '#/components/schemas/I'}, {$ref: '#/components/schemas/I'}, {$ref: '#/components/schemas/I'}, {$ref: '#/components/schemas/I'}]}\n",
        "    I: {allOf: [{$ref: '#/components/schemas/J'}, {$ref: '#/components/schemas/J'}, {$ref: '#/components/schemas/J'}, {$ref: '#/components/schemas/J'}]}\n",
        "    J: {allOf: [{$ref: '#/components/schemas/K'}, {$ref: '#/components/schemas/K'}, {$ref: '#/components/schemas/K'}, {$ref: '#/components/schemas/K'}]}\n",
        "    K: {allOf: [{$ref: '#/components/schemas/L'}, {$ref: '#/components/schemas/L'}, {$ref: '#/components/schemas/L'}, {$ref: '#/components/schemas/L'}]}\n",
        "    L: {type: integer}\n"
    ),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: integer, example: 1}}}\n"),
};

/// Reports all values that were not validated in one finding, after the document has been walked.
pub(crate) fn report(schemas: &Schemas<'_, '_>, sink: &mut Sink) {
    let Some((count, first)) = schemas.unvalidated() else {
        return;
    };
    let values = match count {
        1 => "this value was".to_owned(),
        _ => format!("this and {} more values were", count - 1),
    };
    sink.push(Diagnostic::new(
        &LINT,
        first,
        format!("{values} not checked: the schema takes too many steps"),
    ));
}
