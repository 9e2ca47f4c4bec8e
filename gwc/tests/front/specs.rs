//! Real descriptions are read without an error that they do not deserve.

use std::time::Instant;

use gwc::output::human;

use crate::{corpus, project};

#[test]
fn real_documents_are_read() {
    let Some(corpus) = corpus::folder() else {
        return;
    };
    // Each with its operations and the kinds of findings that it deserves.
    let deserved: &[(&str, &str, usize, &[&str])] = &[
        ("specs", "museum.yaml", 8, &[]),
        ("specs", "petstore.yaml", 19, &[]),
        ("specs", "figma.yaml", 47, &["required-without-property"]),
        ("specs", "discord.json", 242, &[]),
        (
            "specs",
            "xero_accounting.yaml",
            235,
            &[
                "example-outside-schema",
                "ignored-sibling",
                "value-of-other-type",
            ],
        ),
        ("specs", "stripe.yaml", 460, &[]),
        (
            "specs/digitalocean/specification",
            "DigitalOcean-public.v2.yaml",
            659,
            &[
                "example-outside-schema",
                "ignored-header-parameter",
                "required-without-property",
                "unknown-link-operation",
                "unusual-reference",
            ],
        ),
    ];
    for (folder, name, operations, kinds) in deserved {
        let start = Instant::now();
        let linted = project::folder(&corpus.join(folder), name);
        eprintln!("{name}: {:?}", start.elapsed());
        let text = human::render(&linted.report(), human::Look::default());
        assert!(!linted.report().blocked(), "{text}");
        let mut found = linted.names();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, *kinds, "{text}");
        let spec = linted.spec.expect("an OpenAPI document");
        let count: usize = spec.paths.iter().map(|path| path.operations.len()).sum();
        assert_eq!(count, *operations, "{name}");
    }
}

#[test]
fn a_requirement_never_loses_a_scheme_unsaid() {
    for scheme in [
        "{in: header, name: k}",
        "{type: apiKey, name: k}",
        "{type: apiKey, in: header, name: 1}",
        "{type: http}",
        "{type: magic}",
        "[]",
        "null",
    ] {
        let linted = project::text(&format!(
            "openapi: 3.0.3\ninfo: {{title: t, version: \"1\"}}\npaths: {{}}\nsecurity: [{{key: []}}]\ncomponents: {{securitySchemes: {{key: {scheme}}}}}\n"
        ));
        let hard = linted
            .findings
            .iter()
            .any(|finding| gwc::compile::is_hard(finding.lint));
        assert!(hard, "{scheme}\n{}", linted.lines());
    }
    for security in [
        "{}",
        "key",
        "[key]",
        "[[]]",
        "[{key: x}]",
        "[{key: [1]}]",
        "[{kay: []}]",
        "null",
    ] {
        let linted = project::text(&format!(
            "openapi: 3.0.3\ninfo: {{title: t, version: \"1\"}}\npaths: {{}}\nsecurity: {security}\ncomponents: {{securitySchemes: {{key: {{type: apiKey, in: header, name: k}}}}}}\n"
        ));
        let hard = linted
            .findings
            .iter()
            .any(|finding| gwc::compile::is_hard(finding.lint));
        assert!(hard, "{security}\n{}", linted.lines());
    }
}
