//! Samples of every kind of finding: the bad sample has the finding, the good one does not.

use std::collections::BTreeSet;

use sources::project::files::Files;
use sources::syntax::Limits;

use crate::project;

#[test]
fn codes_and_names_are_unique_and_well_formed() {
    let mut seen = BTreeSet::new();
    for lint in openapi::lint::ALL.iter().copied().flatten() {
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
    for lint in openapi::lint::ALL.iter().copied().flatten() {
        if lint.bad[0].0 == "gateway.yaml" {
            continue; // `each_project_has_its_finding_and_loses_it` tests samples of projects
        }
        // Rules that are off by default are switched on, one at a time.
        let off = openapi::lint::is_off_by_default(lint);
        let levels = off.then(|| (lint.name.to_owned(), Some(lint.level)));
        let levels: Vec<_> = levels.into_iter().collect();
        let bad = project::memory_at(lint.bad, &levels);
        let good = project::memory_at(lint.good, &levels);
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

#[test]
fn each_project_has_its_finding_and_loses_it() {
    let mut wrong = Vec::new();
    for lint in openapi::lint::ALL.iter().copied().flatten() {
        if lint.bad[0].0 != "gateway.yaml" {
            continue;
        }
        let compiled = |sample: diag::diagnostic::Sample| {
            let files = Files::in_memory(sample.iter().copied(), Limits::default());
            model::compile::project(files, &Vec::new()).findings
        };
        let bad: BTreeSet<&str> = compiled(lint.bad)
            .iter()
            .map(|found| found.lint.name)
            .collect();
        let good: Vec<String> = compiled(lint.good)
            .iter()
            .filter(|found| found.lint.code == lint.code || found.level == diag::Level::Error)
            .map(|found| format!("{}: {}", found.lint.name, found.message))
            .collect();
        // A bad sample may also cause warnings (an unused definition, an operation without
        // security), but no other error.
        let errors: BTreeSet<&str> = compiled(lint.bad)
            .iter()
            .filter(|found| found.level == diag::Level::Error)
            .map(|found| found.lint.name)
            .collect();
        if !bad.contains(lint.name)
            || errors.iter().any(|name| *name != lint.name)
            || !good.is_empty()
        {
            wrong.push(format!("{}: bad {bad:?}, good {good:?}", lint.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn credentials_are_reported_30_days_before_end() {
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    // Unix time of 2026-01-01T00:00:00Z.
    let now_s = 1_767_225_600;
    for (list, name) in [
        ("keys", format!("sha256: {sha256}")),
        ("basic", format!("sha256: {sha256}")),
        ("certificates", "dns: a.example".to_owned()),
        (
            "tokens",
            "issuer: \"https://idp.example\", subject: s".to_owned(),
        ),
    ] {
        for (end, expected) in [
            // A credential is valid until the end of its last day, so this one ends in more than 30
            // days.
            ("2026-01-31", None),
            ("2026-01-30", Some(("ends in 30 days", diag::Level::Info))),
            ("2026-01-01", Some(("ends in 1 day", diag::Level::Info))),
            ("2025-12-31", Some(("has ended", diag::Level::Warn))),
            ("2020-01-01", Some(("has ended", diag::Level::Warn))),
        ] {
            let gateway = format!(
                "version: 1\nname: s\nconsumers:\n  acme: {{{list}: [{{{name}, not_after: {end}}}]}}\n"
            );
            let texts = [("gateway.yaml", gateway.as_str())];
            let mut files = Files::in_memory(texts, Limits::default());
            files.set_check_time(now_s);
            let findings = model::compile::project(files, &Vec::new()).findings;
            let found = findings
                .iter()
                .find(|finding| finding.lint.name == "credential-ends");
            assert_eq!(
                found.is_some(),
                expected.is_some(),
                "{list} {end}: {findings:?}"
            );
            let (Some(found), Some((expected, level))) = (found, expected) else {
                continue;
            };
            assert!(
                found.message.contains(expected),
                "{list} {end}: {}",
                found.message
            );
            assert_eq!(found.level, level, "{list} {end}");
        }
    }
}

#[test]
fn signing_key_is_reported_30_days_before_end() {
    let gateway = "version: 1\nname: s\n";
    let key = |state: &str, end: &str| {
        format!(
            r#"{{"keys": [{{"id": "5be1aa", "owner": "rita", "state": "{state}", "not_after": "{end}"}}]}}"#
        )
    };
    // Unix time of 2026-01-01T00:00:00Z.
    let now_s = 1_767_225_600;
    for (state, end, expected) in [
        ("active", "2026-02-01T00:00:00Z", None),
        ("active", "2026-01-31T00:00:00Z", Some("expires in 30 days")),
        ("active", "2026-01-02T23:00:00Z", Some("expires in 1 day (")),
        ("active", "2026-01-01T23:00:00Z", Some("expires today")),
        ("active", "2026-01-01T00:00:00Z", Some("has expired")),
        ("retired", "2026-01-01T00:00:00Z", None),
    ] {
        let trust = key(state, end);
        let texts = [("gateway.yaml", gateway), ("trust.json", trust.as_str())];
        let mut files = Files::in_memory(texts, Limits::default());
        files.set_check_time(now_s);
        let findings = model::compile::project(files, &Vec::new()).findings;
        let found: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.lint.name == "signing-key-ends")
            .map(|finding| finding.message.as_str())
            .collect();
        assert_eq!(
            found.len(),
            usize::from(expected.is_some()),
            "{end}: {found:?}"
        );
        assert!(
            found
                .iter()
                .all(|found| found.contains(expected.unwrap_or_default())),
            "{end}: {found:?}"
        );
    }
}
