//! Cases of oasdiff's tests (corpus/oasdiff): `gwc diff` reports the same ids and levels as
//! oasdiff, and no other errors. `vocab::checks::deviations` lists the deliberate differences, and
//! `vocab::checks::further_breaks` the errors beside those of the case's rule, each with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::project::Project;

/// Level and id of a finding.
type Finding = (String, String);

/// Row of the corpus table `cases.tsv`.
struct Case {
    name: String,
    sides: [String; 2],
    /// True if findings of all rules count, not only those of one rule.
    all_rules: bool,
    /// True if there are no other findings.
    exact: bool,
    least: u8,
    expected: BTreeMap<Finding, usize>,
}

fn cases(table: &str) -> Vec<Case> {
    let lines = table.lines().skip(1);
    let case = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let mut expected = BTreeMap::new();
        for finding in cells[7].split("; ") {
            let mut words = finding.split(' ');
            let level = match words.next() {
                Some("ERR") => "error",
                Some("WARN") => "warn",
                Some("INFO") => "info",
                _ => continue,
            };
            let id = words.next().expect("an id");
            *expected
                .entry((level.to_owned(), id.to_owned()))
                .or_insert(0) += 1;
        }
        Case {
            name: cells[0].to_owned(),
            sides: [cells[1].to_owned(), cells[2].to_owned()],
            all_rules: cells[3] == "all rules",
            exact: cells[5] == "exact",
            least: rank(&cells[4].to_ascii_lowercase().replace("err", "error")),
            expected,
        }
    };
    lines.map(case).collect()
}

fn rank(level: &str) -> u8 {
    match level {
        "error" => 2,
        "warn" => 1,
        _ => 0,
    }
}

/// Deliberate differences from oasdiff by case: `-LEVEL ID` for a finding that gwc does not report,
/// and `+LEVEL ID` for a finding that only gwc reports.
fn deliberate() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut all: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for one in vocab::checks::deviations() {
        let known = all.entry(one.case).or_default();
        assert!(known.insert(one.finding.to_owned()), "{one:?}");
    }
    all
}

/// Differences between the expected findings of a case and the reported findings.
fn differences(case: &Case, found: &BTreeMap<Finding, Vec<usize>>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for ((level, id), count) in &case.expected {
        let records = found.get(&(level.clone(), id.clone()));
        // A change of a shared component is one finding. Its number counts all messages that use
        // the component.
        let records = records.map_or(&[][..], |records| records);
        let messages: usize = records.iter().sum();
        if case.exact && records.len() > *count || messages < *count {
            out.insert(format!("-{level} {id}"));
        }
    }
    for (level, id) in found.keys() {
        let expects = |id: &String| case.expected.keys().any(|(_, own)| own == id);
        let is_other = !case.expected.contains_key(&(level.clone(), id.clone()));
        let counts = rank(level) >= case.least && case.exact && (case.all_rules || expects(id));
        if is_other && counts {
            out.insert(format!("+{level} {id}"));
        }
    }
    out
}

/// Ids of the reported errors that neither the case nor `deliberate` names.
fn further(
    case: &Case,
    found: &BTreeMap<Finding, Vec<usize>>,
    deliberate: &BTreeSet<String>,
) -> BTreeSet<String> {
    let errors = found.keys().filter(|(level, _)| level == "error");
    let others = errors.filter(|finding| {
        let is_deliberate = deliberate.contains(&format!("+error {}", finding.1));
        !case.expected.contains_key(*finding) && !is_deliberate
    });
    others.map(|(_, id)| id.clone()).collect()
}

#[test]
fn cases_of_oasdiff_have_their_ids_and_levels() {
    let folder = prerequisite::corpus::folder().join("oasdiff");
    let table = std::fs::read_to_string(folder.join("cases.tsv")).expect("the table is there");
    let cases = cases(&table);
    assert_eq!(cases.len(), 176);
    let known = deliberate();
    let mut kept: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for one in vocab::checks::further_breaks() {
        let ids = kept.entry(one.case).or_default();
        assert!(ids.insert(one.id.to_owned()), "{one:?}");
    }
    let nowhere = Project::empty();
    let (mut wrong, mut equal) = (String::new(), 0);
    for case in &cases {
        let [old, new] = [0, 1].map(|side: usize| {
            let path = folder.join(&case.sides[side]);
            path.to_str().expect("a name").to_owned()
        });
        let ended = nowhere.run(&["diff", &old, &new, "--format", "json"]);
        assert_eq!(ended.code, 0, "{}: {}", case.name, ended.err);
        let plan = ended.json("plan/v1");
        let mut found: BTreeMap<Finding, Vec<usize>> = BTreeMap::new();
        for change in plan["changes"].as_array().expect("a list") {
            if change["section"] == "breaking" {
                let text = |key: &str| change[key].as_str().expect("a text").to_owned();
                let count = change["message"]["count"].as_u64().unwrap_or(1);
                let records = found.entry((text("level"), text("id"))).or_default();
                records.push(usize::try_from(count).expect("a count"));
            }
        }
        let differences = differences(case, &found);
        let none = BTreeSet::new();
        let expected = known.get(&*case.name).unwrap_or(&none);
        if differences != *expected {
            let _ = writeln!(wrong, "{}: {differences:?}, not {expected:?}", case.name);
        }
        let further = further(case, &found, expected);
        let kept = kept.get(&*case.name).unwrap_or(&none);
        if further != *kept {
            let _ = writeln!(wrong, "{}: further {further:?}, not {kept:?}", case.name);
        }
        equal += usize::from(differences.is_empty());
    }
    println!("{equal} of {} cases are equal", cases.len());
    assert!(wrong.is_empty(), "{wrong}");
    let names: BTreeSet<&str> = cases.iter().map(|case| &*case.name).collect();
    assert!(
        known
            .keys()
            .chain(kept.keys())
            .all(|case| names.contains(case))
    );
}

#[test]
fn each_oasdiff_id_has_a_check_or_a_reason() {
    // `oasdiff_checks.tsv` contains the ids and levels of all checks of oasdiff. The corpus contains
    // only the ids that its cases report.
    let folder = prerequisite::corpus::folder().join("oasdiff");
    let table = std::fs::read_to_string(folder.join("cases.tsv")).expect("the table is there");
    let left_out: BTreeSet<&str> = vocab::checks::left_out().map(|(id, _)| id).collect();
    for case in cases(&table) {
        for (level, id) in case.expected.keys() {
            match vocab::checks::of(id) {
                Some(check) => assert_eq!(check.level.name(), level, "{id}"),
                None => assert!(left_out.contains(&**id), "{id}"),
            }
        }
    }
    let rows: Vec<(&str, &str)> = include_str!("oasdiff_checks.tsv")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    assert_eq!(rows.len(), 509);
    for (id, level) in rows {
        match vocab::checks::of(id) {
            Some(check) => assert_eq!(check.level.name(), level, "{id}"),
            None => assert!(left_out.contains(id), "{id} has neither a row nor a reason"),
        }
    }
}

#[test]
fn explain_shows_checks_of_client_contracts() {
    let nowhere = Project::empty();
    for check in ["request-property-removed", "response-body-became-nullable"] {
        let ended = nowhere.run(&["explain", check]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.out.starts_with(check), "{}", ended.out);
        let page = nowhere.run(&["explain", check, "--format", "json"]);
        let level = vocab::checks::of(check).expect("a check").level;
        assert_eq!(page.json("explain/v1")["level"], level.name());
    }
}
