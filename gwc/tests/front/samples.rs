//! Tests of the samples of every rule: the bad sample must have the finding, and the good sample
//! must not.

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
            // A credential is valid until the end of its last day, so this credential is valid for
            // more than 30 days.
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

/// Self-signed certificate with an Ed25519 key. Its validity ends at [`CERTIFICATE_END_S`].
const CERTIFICATE: &str = "MIIBLDCB36ADAgECAhQVR9V0IxtPo1AkU7KM084js/p6BTAFBgMrZXAwDDEKMAgGA1UEAwwBYTAeFw0yNjExMjYwOTAwMzdaFw0yNjEyMjYwOTAwMzdaMAwxCjAIBgNVBAMMAWEwKjAFBgMrZXADIQALgFu6rCL0ftqR9kgSuOpxIiGE9AtUqwSK100lnabh7qNTMFEwHQYDVR0OBBYEFMZmrg67QHpgeZrdHOeslOEny81+MB8GA1UdIwQYMBaAFMZmrg67QHpgeZrdHOeslOEny81+MA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EAf5QutjBhDfcuK7G38tCRuqmsPiNPsNbzg3ghfqayzBAbTZ0ozp6F4GPxJu00J2dQpckYqomv7Vlw9CzBOi4xCw==";
const CERTIFICATE_END_S: u64 = 1798275637;

#[test]
fn keys_of_key_sets_are_reported_before_end() {
    let members = "kty: OKP, crv: Ed25519, x: C4Bbuqwi9H7akfZIErjqcSIhhPQLVKsEitdNJZ2m4e4";
    let by_certificate = format!("x5c: [\"{CERTIFICATE}\"]");
    let day_s = 86_400;
    for (end, now_s, expected) in [
        ("exp: 5000000", 5_000_000 - 31 * day_s, None),
        (
            "exp: 5000000",
            5_000_000 - 30 * day_s,
            Some(("ends in 30 days", diag::Level::Info)),
        ),
        (
            "exp: 5000000",
            5_000_000 - 1,
            Some(("ends within a day", diag::Level::Info)),
        ),
        (
            "exp: 5000000",
            5_000_000,
            Some(("has ended", diag::Level::Warn)),
        ),
        (&by_certificate, CERTIFICATE_END_S - 31 * day_s, None),
        (
            &by_certificate,
            CERTIFICATE_END_S,
            Some(("has ended", diag::Level::Warn)),
        ),
        // The earlier of the two end times counts.
        (
            &format!("exp: 9, {by_certificate}"),
            10,
            Some(("has ended", diag::Level::Warn)),
        ),
        ("x5c: [AAAA]", 5_000_000, None),
    ] {
        let set = format!("{{keys: [{{{members}, {end}}}]}}");
        let settings = "kind: jwt, issuer: a, audience: [b], algorithms: [EdDSA]";
        let inline = format!("version: 1\nname: s\nauth: {{idp: {{{settings}, jwks: {set}}}}}\n");
        let in_file =
            format!("version: 1\nname: s\nauth: {{idp: {{{settings}, jwks_file: k.yaml}}}}\n");
        for gateway in [inline, in_file] {
            let texts = [("gateway.yaml", gateway.as_str()), ("k.yaml", &set)];
            let mut files = Files::in_memory(texts, Limits::default());
            files.set_check_time(now_s);
            let findings = model::compile::project(files, &Vec::new()).findings;
            let mut found = findings
                .iter()
                .filter(|found| found.lint.name == "key-ends");
            let first = found.next();
            assert!(found.next().is_none(), "{end}");
            let first = first.map(|found| (found.message.as_str(), found.level));
            let expected = expected.map(|(end, level)| (format!("this key {end}"), level));
            let expected = expected
                .as_ref()
                .map(|(text, level)| (text.as_str(), *level));
            assert_eq!(first, expected, "{end} at {now_s}: {findings:?}");
        }
    }
}

#[test]
fn verifiers_need_an_audience_and_a_source_of_keys() {
    for (settings, expected) in [
        ("issuer: \"https://a.example\"", "`audience`"),
        (
            "issuer: a.example, audience: [b]",
            "the keys of `a.example` cannot be found",
        ),
        (
            "issuer: \"http://a.example\", audience: [b]",
            "cannot be found: `issuer` must be an `https` URL",
        ),
        (
            "issuer: \"https://a.example/?t=1\", audience: [b]",
            "must be an `https` URL without a query",
        ),
    ] {
        let text = format!(
            "version: 1\nname: s\nauth: {{idp: {{kind: jwt, {settings}, algorithms: [ES256]}}}}\n"
        );
        let files = Files::in_memory([("gateway.yaml", text.as_str())], Limits::default());
        let findings = model::compile::project(files, &Vec::new()).findings;
        let mut errors = findings
            .iter()
            .filter(|found| found.level == diag::Level::Error);
        let error = errors.next().expect("an error");
        assert!(
            error.message.contains(expected),
            "{settings}: {}",
            error.message
        );
        assert_eq!(error.lint.name, "missing-key", "{settings}");
        assert!(errors.next().is_none(), "{settings}: {findings:?}");
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
