//! Rule for a schema that no finite value satisfies.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0354",
    name: "endless-schema",
    level: Level::Warn,
    summary: "a schema that no finite value satisfies",
    explain: "Each valid value would have to contain another valid value of the same schema, \
without end, so every value is refused. A schema may contain itself if the recursion can end: in a \
property that is not required, a list that may be empty, an alternative of `oneOf`, or null.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, required: [next], properties: {next: {$ref: '#/components/schemas/A'}}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, properties: {next: {$ref: '#/components/schemas/A'}}}}}\n"
    ),
};

/// Maximum number of schemas of a cycle shown in a message.
const SHOWN_MAX: usize = 8;

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(cycle) = place.schemas.endless(place.node) else {
        return;
    };
    let Some((first, rest)) = cycle.split_first() else {
        return;
    };
    let mut finding = Diagnostic::new(
        &LINT,
        *first,
        "no finite value is valid: each would have to contain another one of the same schema",
    )
    .label("required of every value")
    .help("make the property optional or nullable, let the list be empty, or offer an alternative");
    for span in rest.iter().take(SHOWN_MAX) {
        finding = finding.related(*span, "which requires this");
    }
    sink.push(finding);
}

#[cfg(test)]
mod tests {
    use crate::lint::Chosen;
    use diag::Sink;

    use sources::project::files::{Document, Files};
    use sources::syntax::Limits;

    fn is_endless(version: &str, schemas: &str) -> bool {
        let text = format!(
            "openapi: {version}\ninfo: {{title: t, version: \"1\"}}\npaths: {{}}\ncomponents: {{schemas: {{{schemas}}}}}\n"
        );
        let mut files = Files::in_memory([("a.yaml", text.as_str())], Limits::default());
        let file = files.read("a.yaml").expect("it is there");
        let root = files.root(file).expect("it is well-formed");
        let document = Document {
            file,
            root,
            overlays: Vec::new(),
        };
        files.follow(&document);
        let mut sink = Sink::default();
        crate::check::document(&files, &document, &Chosen::default(), &mut sink);
        let count = |name| {
            sink.findings()
                .iter()
                .filter(|found| found.lint.name == name)
                .count()
        };
        let found = count("endless-schema");
        assert!(found < 2, "a cycle is reported once: {schemas}");
        found == 1
    }

    #[test]
    fn schema_cycle_of_required_steps_is_endless() {
        let a = "$ref: '#/components/schemas/A'";
        let b = "$ref: '#/components/schemas/B'";
        let object = |name: &str, property: &str| {
            format!("{name}: {{type: object, required: [x], properties: {{x: {{{property}}}}}}}")
        };
        let two = format!("{}, {}", object("A", b), object("B", a));
        for (schemas, endless) in [
            (object("A", a), true),
            (two, true),
            (
                format!("A: {{type: array, minItems: 1, items: {{{a}}}}}"),
                true,
            ),
            (format!("A: {{type: array, items: {{{a}}}}}"), false),
            (
                object("A", &format!("oneOf: [{{{a}}}, {{type: string}}]")),
                false,
            ),
            (
                object("A", &format!("oneOf: [{{{a}}}, {{allOf: [{{{a}}}]}}]")),
                true,
            ),
            (object("A", "type: string"), false),
            (
                format!("A: {{type: [object, 'null'], required: [x], properties: {{x: {{{a}}}}}}}"),
                false,
            ),
            (
                format!("A: {{required: [x], properties: {{x: {{{a}}}}}}}"),
                false,
            ),
            (format!("{}, {}", object("C", a), object("A", a)), true),
        ] {
            assert_eq!(is_endless("3.1.0", &schemas), endless, "{schemas}");
        }
    }

    #[test]
    fn only_keywords_of_the_version_end_a_cycle() {
        let with = |keyword: &str| {
            format!(
                "A: {{type: object, required: [x], {keyword}, properties: {{x: {{$ref: '#/components/schemas/A'}}}}}}"
            )
        };
        for (keyword, endless) in [
            ("nullable: true", [false, true]),
            ("const: a", [true, false]),
        ] {
            let found = ["3.0.3", "3.1.0"].map(|version| is_endless(version, &with(keyword)));
            assert_eq!(found, endless, "{keyword}");
        }
    }
}
