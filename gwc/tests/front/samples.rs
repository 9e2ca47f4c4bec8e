//! Every kind of finding is shown by its own samples.

use std::collections::BTreeSet;

use crate::project;

#[test]
fn codes_and_names_are_unique_and_well_formed() {
    let mut seen = BTreeSet::new();
    for lint in gwc::lint::ALL.iter().copied().flatten() {
        assert!(seen.insert(lint.code), "{} is there twice", lint.code);
        assert!(seen.insert(lint.name), "{} is there twice", lint.name);
        let digits = lint.code.strip_prefix("GW").unwrap_or_default();
        assert!(
            digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()),
            "{}",
            lint.code
        );
        let kebab = |b: u8| b.is_ascii_lowercase() || b == b'-' || b.is_ascii_digit();
        assert!(lint.name.bytes().all(kebab), "{}", lint.name);
        assert!(
            lint.explain.len() > lint.summary.len(),
            "{} explains little",
            lint.name
        );
        assert!(!lint.summary.ends_with('.'), "{}", lint.name);
    }
}

#[test]
fn each_sample_has_its_finding_and_loses_it() {
    let mut shown = 0;
    for lint in gwc::lint::ALL.iter().copied().flatten() {
        if lint.bad[0].0 == "gateway.yaml" {
            continue; // the gateway's own vocabulary has its own test
        }
        let bad = project::memory(lint.bad);
        let good = project::memory(lint.good);
        let names: BTreeSet<&str> = bad.names().into_iter().collect();
        assert_eq!(
            names,
            BTreeSet::from([lint.name]),
            "{}\n{}",
            lint.name,
            bad.lines()
        );
        let finding = bad
            .findings
            .iter()
            .find(|finding| finding.lint.code == lint.code);
        let level = finding.map(|finding| finding.level);
        assert_eq!(level, Some(lint.level), "{}", lint.name);
        assert_eq!(good.lines(), "", "{}", lint.name);
        shown += 1;
    }
    assert!(shown >= 50, "only {shown}");
}
