//! Documents with one fault each: it is found at its place, and nothing else is an error.

use std::collections::BTreeSet;

use crate::{corpus, project};

/// Faults that are not looked for yet: examples against schemas, regular expressions, what only
/// a router can judge.
const NOT_YET: &[&str] = &[
    "example-media-violates-schema.yaml",
    "example-violates-schema.yaml",
    "path-ambiguous.yaml",
    "path-identical-templates.yaml",
    "pattern-invalid.yaml",
    "required-not-a-property.yaml",
    "schema-infinite-required.yaml",
];

#[test]
fn each_fault_is_found_at_its_place() {
    let Some(corpus) = corpus::folder() else {
        return;
    };
    let table = std::fs::read_to_string(corpus.join("broken/expected.tsv")).expect("the table");
    let mut missed: BTreeSet<String> = BTreeSet::new();
    let mut faults = Vec::new();
    let mut found = 0;
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let (document, line, column, level) = (cells[0], cells[2], cells[3], cells[4]);
        let (folder, name) = document
            .rsplit_once('/')
            .map_or(("", document), |split| split);
        let linted = project::folder(&corpus.join("broken").join(folder), name);
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
                linted.lines()
            ));
        } else if linted.findings.iter().any(|finding| fits(&finding)) {
            found += 1;
        } else {
            missed.insert(document.to_owned());
        }
    }
    assert_eq!(faults, Vec::<String>::new(), "{}", faults.join("\n"));
    let expected: BTreeSet<String> = NOT_YET.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(missed, expected, "found {found}");
}
