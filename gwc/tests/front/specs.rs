//! Tests that gwc reports no false errors in real documents.

use std::time::Instant;

use gwc::output::human;
use model::compile::{Input, compile};

use prerequisite::corpus;

use crate::project;

#[test]
fn real_documents_are_read() {
    let corpus = corpus::folder();
    // Documents, each with its number of operations, and the kinds of findings that are correct for
    // it.
    let deserved: &[(&str, &str, usize, &[&str])] = &[
        ("specs", "museum.yaml", 8, &[]),
        ("specs", "petstore.yaml", 19, &["weak-flow"]),
        (
            "specs",
            "figma.yaml",
            47,
            &["optional-discriminator", "required-without-property"],
        ),
        (
            "specs",
            "discord.json",
            242,
            &["empty-alternatives", "weak-flow"],
        ),
        (
            "specs",
            "xero_accounting.yaml",
            235,
            &[
                "example-outside-schema",
                "ignored-sibling",
                "keyword-of-other-type",
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
                "key-in-source",
                "keyword-of-other-type",
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

/// Correct errors in real documents: document, rule, count and reason. Documents that are not
/// listed have no errors.
const ERRORS: &[(&str, &str, usize, &str)] = &[(
    "xero_accounting.yaml",
    "identical-route",
    14,
    "`…/Attachments/{AttachmentID}` and `…/Attachments/{FileName}` are one path: templates that \
     differ in names only must not stand side by side (OpenAPI 3.0.3 §4.7.8.1), and no gateway \
     can tell their requests apart",
)];

#[test]
fn real_documents_have_no_undeserved_errors() {
    let corpus = corpus::folder();
    for document in [
        "museum.yaml",
        "petstore.yaml",
        "figma.yaml",
        "discord.json",
        "xero_accounting.yaml",
        "stripe.yaml",
        "digitalocean/specification/DigitalOcean-public.v2.yaml",
    ] {
        let input = Input::Document(corpus.join("specs").join(document));
        let compiled = compile(&input, model::compile::Options::default()).expect("it is there");
        let errors: Vec<&diag::Diagnostic> = compiled
            .findings
            .iter()
            .filter(|finding| finding.level == diag::Level::Error)
            .collect();
        let expected: Vec<_> = ERRORS.iter().filter(|row| row.0 == document).collect();
        let count: usize = expected.iter().map(|(_, _, count, _)| count).sum();
        let line =
            |finding: &&diag::Diagnostic| format!("{}: {}", finding.lint.name, finding.message);
        assert_eq!(
            errors.len(),
            count,
            "{document}: {:#?}",
            errors.iter().map(line).collect::<Vec<_>>()
        );
        for (_, name, count, why) in expected {
            let found = errors.iter().filter(|finding| finding.lint.name == *name);
            assert_eq!(found.count(), *count, "{document}: {name}: {why}");
        }
    }
}

#[test]
fn unreadable_scheme_or_requirement_is_hard() {
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
            .any(|finding| openapi::lint::hard::is_hard(finding.lint));
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
            .any(|finding| openapi::lint::hard::is_hard(finding.lint));
        assert!(hard, "{security}\n{}", linted.lines());
    }
}

#[test]
fn misspelt_x_gateway_is_an_error_at_every_place() {
    let document = |at: &str, key: &str| {
        let at = |here: &str| match at == here {
            true => format!("{key}: {{}}, "),
            false => String::new(),
        };
        format!(
            "{{openapi: 3.1.0, {}info: {{{}title: t, version: '1'}}, paths: {{/a: {{{}get: {{{}responses: {{'200': {{{}description: \
             ok}}}}}}}}}}}}\n",
            at("root"),
            at("info"),
            at("path"),
            at("operation"),
            at("response")
        )
    };
    for at in ["root", "info", "path", "operation", "response"] {
        let linted = project::text(&document(at, "x-gatway"));
        assert_eq!(linted.names(), ["misspelt-extension"], "{at}");
        assert_eq!(linted.findings[0].level, diag::Level::Error, "{at}");
    }
    for (key, meant) in [
        ("x-gatway", "x-gateway"),
        ("x-gatewya", "x-gateway"),
        ("x-gatwey", "x-gateway"),
        ("x-agteway", "x-gateway"),
        ("x-Gateway", "x-gateway"),
        ("x-gatway-lint", "x-gateway-lint"),
        ("x-gatway_lint", "x-gateway-lint"),
        ("x-gatewy-ext-owner", "x-gateway-ext-owner"),
    ] {
        let linted = project::text(&document("operation", key));
        assert_eq!(linted.names(), ["misspelt-extension"], "{key}");
        let edits = &linted.findings[0].fix;
        assert_eq!(edits.len(), 1, "{key}");
        assert_eq!(edits[0].text, meant, "{key}");
    }
    for key in [
        "x-pathway",
        "x-amazon-apigateway-auth",
        "x-google-backend",
        "x-gatsby",
        "x-grey",
    ] {
        let linted = project::text(&document("operation", key));
        assert_eq!(linted.names(), [""; 0], "{key}");
    }
}
