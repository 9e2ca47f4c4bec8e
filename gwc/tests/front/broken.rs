//! Documents with one fault each: it is found at its place, and nothing else is an error.

use gwc::compile::{Input, compile};
use gwc::output::{Report, concise};

use crate::corpus;

#[test]
fn each_fault_is_found_at_its_place() {
    let Some(corpus) = corpus::folder() else {
        return;
    };
    let table = std::fs::read_to_string(corpus.join("broken/expected.tsv")).expect("the table");
    let mut faults = Vec::new();
    let mut judged = 0;
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let (document, line, column, level) = (cells[0], cells[2], cells[3], cells[4]);
        let input = Input::Document(corpus.join("broken").join(document));
        let linted =
            compile(&input, gwc::compile::Options::default()).expect("the folder is there");
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
        } else if !linted.findings.iter().any(|finding| fits(&finding)) {
            faults.push(format!(
                "{document}: not {places:?} {level}\n{}",
                concise::render(&report)
            ));
        }
        judged += 1;
    }
    assert_eq!(faults, Vec::<String>::new(), "{}", faults.join("\n"));
    assert!(judged >= 59, "only {judged} documents");
}
