//! Checks that the rows of `tests/mutations/faults.tsv` apply to the sources: each old text occurs
//! exactly once in its file. `tests/mutations/run` stops at a row that does not apply.

use std::path::PathBuf;

fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Rows of the table with their line numbers, without comments.
fn rows(table: &str) -> impl Iterator<Item = (usize, Vec<String>)> {
    let lines = table.lines().enumerate();
    let rows = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    rows.map(|(index, line)| {
        let cells = line.split('\t').map(|cell| cell.replace("\\n", "\n"));
        (index + 1, cells.collect())
    })
}

#[test]
fn every_fault_applies_to_the_sources() {
    let table = workspace().join("tests/mutations/faults.tsv");
    let table = std::fs::read_to_string(table).expect("the table is there");
    let mut mistakes = Vec::new();
    let mut count = 0;
    for (number, cells) in rows(&table) {
        let [_crate, _tests, file, old, new] = &cells[..] else {
            mistakes.push(format!("{number}: {} cells instead of 5", cells.len()));
            continue;
        };
        count += 1;
        let text = std::fs::read_to_string(workspace().join(file)).unwrap_or_default();
        let found = text.matches(&**old).count();
        if old == new || found != 1 {
            mistakes.push(format!(
                "{number}: {file}: the old text occurs {found} times"
            ));
        }
    }
    assert!(count > 100, "{count} rows");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}
