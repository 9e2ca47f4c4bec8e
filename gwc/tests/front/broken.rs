//! Tests of documents with one mistake each: gwc reports the mistake at its location, and no other
//! error.

use gwc::output::{Report, concise};
use model::compile::{Input, compile};

use prerequisite::corpus;

/// Kinds of mistakes in the corpus table, each with the rule that reports it.
const KINDS: &[(&str, &str)] = &[
    (
        "additionalOperations holds a method that has its own field",
        "redundant-additional-operation",
    ),
    ("array schema without items (3.0)", "array-without-items"),
    ("runtime expression is malformed", "malformed-expression"),
    ("keyword that 3.0 does not know", "unknown-keyword"),
    ("default does not satisfy its schema", "value-of-other-type"),
    ("enum value given twice", "duplicate-enum-value"),
    (
        "enum value is not of the declared type",
        "value-of-other-type",
    ),
    (
        "example does not satisfy its schema",
        "example-outside-schema",
    ),
    (
        "exclusiveMinimum is a number in 3.1",
        "limit-of-other-version",
    ),
    (
        "exclusiveMinimum is a boolean in 3.0",
        "limit-of-other-version",
    ),
    ("required field is missing (title)", "missing-field"),
    (
        "not well-formed JSON (comma before a closing bracket)",
        "malformed-json",
    ),
    (
        "link names an operation that does not exist",
        "unknown-link-operation",
    ),
    ("media type key is malformed", "malformed-media-type"),
    ("path item key is not a method", "unknown-method"),
    (
        "path item key is not a method (methods are lower case)",
        "unknown-method",
    ),
    ("minLength is above maxLength", "empty-range"),
    ("operationId used twice", "duplicate-operation-id"),
    (
        "header parameter Content-Type is ignored",
        "ignored-header-parameter",
    ),
    (
        "parameter place is not one of the known ones",
        "unknown-value",
    ),
    (
        "parameter has both schema and content",
        "parameter-without-schema",
    ),
    (
        "two paths that can match the same URL and neither is more concrete",
        "ambiguous-template",
    ),
    (
        "path template has an unclosed brace",
        "malformed-path-template",
    ),
    (
        "two templated paths that are the same but for parameter names",
        "identical-route",
    ),
    (
        "path does not begin with a slash",
        "malformed-path-template",
    ),
    (
        "declared path parameter is not in the template",
        "unused-path-parameter",
    ),
    ("path parameter must be required", "optional-path-parameter"),
    (
        "path template names one parameter twice",
        "repeated-template-parameter",
    ),
    (
        "pattern is not a valid regular expression",
        "malformed-pattern",
    ),
    ("method that this version does not know", "unknown-method"),
    (
        "querystring parameter beside query parameters",
        "querystring-beside-query",
    ),
    (
        "references that go round in a circle and never reach a value",
        "reference-cycle",
    ),
    ("reference to a file that does not exist", "missing-file"),
    (
        "reference to a place that does not exist in another file",
        "unresolved-reference",
    ),
    (
        "JSON pointer with a malformed escape",
        "unresolved-reference",
    ),
    (
        "JSON pointer with an unescaped slash finds nothing",
        "unresolved-reference",
    ),
    ("keyword beside $ref is ignored in 3.0", "ignored-sibling"),
    (
        "reference to a component that does not exist",
        "unresolved-reference",
    ),
    (
        "reference to a component of the wrong kind",
        "wrong-reference-kind",
    ),
    (
        "wrong kind of value (required is a list in a schema)",
        "wrong-field-type",
    ),
    (
        "required names a property that is not described",
        "required-without-property",
    ),
    ("response has no description", "missing-field"),
    (
        "a schema no finite value can satisfy (required property of its own type)",
        "endless-schema",
    ),
    ("OAuth flow lacks its token URL", "missing-field"),
    (
        "security requirement names a scheme that is not defined",
        "undefined-security-scheme",
    ),
    (
        "security scheme type is not one of the known ones",
        "unknown-value",
    ),
    ("server variable has no default", "missing-field"),
    ("response key is not a status code", "malformed-status"),
    ("tag declared twice", "duplicate-tag"),
    ("type as a list is not 3.0", "type-of-other-version"),
    (
        "field that is not known here and has no x- prefix",
        "unknown-field",
    ),
    ("the same key twice in one mapping", "duplicate-map-key"),
    (
        "not well-formed (flow sequence is not closed)",
        "malformed-yaml",
    ),
    ("alias without an anchor", "unknown-anchor"),
];

#[test]
fn each_fault_is_found_at_its_place() {
    let corpus = corpus::folder();
    let table = std::fs::read_to_string(corpus.join("broken/expected.tsv")).expect("the table");
    let mut faults = Vec::new();
    let mut checked = 0;
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let (document, line, column, level) = (cells[0], cells[2], cells[3], cells[4]);
        let kind = KINDS.iter().find(|(kind, _)| *kind == cells[5]);
        let (_, rule) = kind.unwrap_or_else(|| panic!("no rule is known for `{}`", cells[5]));
        let input = Input::Document(corpus.join("broken").join(document));
        let linted =
            compile(&input, model::compile::Options::default()).expect("the folder is there");
        let report = Report {
            files: &linted.files,
            folder: "",
            findings: &linted.findings,
            environment: None,
            cost: None,
            fail_on: diag::Level::Error,
        };
        let mut places: Vec<String> = vec![format!("{line}:{column}")];
        places.extend(
            cells
                .get(6)
                .iter()
                .flat_map(|also| also.split(' '))
                .map(str::to_owned),
        );
        let place = |finding: &diag::Diagnostic| {
            let place = linted.files.sources.position(finding.span);
            format!("{}:{}", place.line, place.column)
        };
        let fits = |finding: &&diag::Diagnostic| {
            let level_fits = match level {
                "error" => finding.level == diag::Level::Error,
                "warning" => finding.level == diag::Level::Warn,
                _ => finding.level >= diag::Level::Warn,
            };
            level_fits && places.contains(&place(finding))
        };
        let others = linted.findings.iter().filter(|finding| !fits(finding));
        let others = others
            .filter(|finding| finding.level == diag::Level::Error)
            .count();
        if others > 0 {
            faults.push(format!(
                "{document}: more than {places:?} {level}\n{}",
                concise::render(&report)
            ));
        } else if !linted
            .findings
            .iter()
            .any(|finding| fits(&finding) && finding.lint.name == *rule)
        {
            faults.push(format!(
                "{document}: not {places:?} {level} {rule}\n{}",
                concise::render(&report)
            ));
        }
        checked += 1;
    }
    assert_eq!(faults, Vec::<String>::new(), "{}", faults.join("\n"));
    assert!(checked >= 59, "only {checked} documents");
}
