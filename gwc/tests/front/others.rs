//! Tests that the table of other linters' rules is complete, and refers only to existing rules of
//! gwc.

use std::collections::BTreeSet;

use openapi::lint::others::SETS;

/// Rule names as the Spectral package lists them.
const SPECTRAL: &str = "\
    operation-success-response oas2-operation-formData-consume-check operation-operationId-unique operation-parameters \
    operation-tag-defined path-params contact-properties duplicated-entry-in-enum \
    info-contact info-description info-license license-url \
    no-eval-in-markdown no-script-tags-in-markdown openapi-tags-alphabetical openapi-tags-uniqueness \
    openapi-tags operation-description operation-operationId operation-operationId-valid-in-url \
    operation-singular-tag operation-tags path-declarations-must-exist path-keys-no-trailing-slash \
    path-not-include-query tag-description no-$ref-siblings array-items \
    typed-enum oas2-api-host oas2-api-schemes oas2-discriminator \
    oas2-host-not-example oas2-host-trailing-slash oas2-parameter-description oas2-operation-security-defined \
    oas2-valid-schema-example oas2-valid-media-example oas2-anyOf oas2-oneOf \
    oas2-schema oas2-unused-definition oas3-api-servers oas3-examples-value-or-externalValue \
    oas3-operation-security-defined oas3-parameter-description oas3-server-not-example.com oas3-server-trailing-slash \
    oas3-valid-media-example oas3-valid-schema-example oas3-schema oas3-unused-component \
    oas3-server-variables oas3-callbacks-in-callbacks oas3_1-servers-in-webhook oas3_1-callbacks-in-webhook \
    oas3_2-no-deprecated-xml-attribute";

/// Rule names as vacuum's `GetAllBuiltInRules` lists them.
const VACUUM: &str = "\
    no-http-verbs-in-path paths-kebab-case no-ambiguous-paths operation-4xx-response \
    operation-success-response operation-operationId-unique operation-operationId operation-parameters \
    operation-singular-tag operation-tag-defined path-params contact-properties \
    info-contact info-description info-license info-license-spdx \
    license-url openapi-tags-alphabetical openapi-tags operation-tags \
    operation-description component-description operation-operationId-valid-in-url path-declarations-must-exist \
    path-keys-no-trailing-slash path-not-include-query tag-description no-$ref-siblings \
    oas3-no-$ref-siblings oas3-unused-component oas2-unused-definition oas2-api-host \
    oas2-api-schemes oas2-discriminator oas2-host-not-example oas3-host-not-example \
    oas2-host-trailing-slash oas3-server-trailing-slash oas2-parameter-description oas3-parameter-description \
    oas3-operation-security-defined oas2-operation-security-defined oas3-valid-schema-example oas3-missing-example \
    oas3-example-external-check typed-enum duplicated-entry-in-enum no-eval-in-markdown \
    no-script-tags-in-markdown description-duplication oas3-api-servers oas2-operation-formData-consume-check \
    oas2-anyOf oas2-oneOf oas2-schema oas3-schema \
    oas-schema-check path-item-refs post-response-success no-request-body";

/// Rules that the Redocly package sets to `warn` or `error`.
const REDOCLY: &str = "\
    struct no-unresolved-refs info-license info-license-strict \
    no-ambiguous-paths no-duplicated-enum-values no-duplicated-tag-names no-enum-type-mismatch \
    no-identical-paths no-invalid-parameter-examples no-invalid-schema-examples no-path-trailing-slash \
    no-required-schema-properties-undefined no-schema-type-mismatch no-unsafe-markdown operation-2xx-response \
    operation-4xx-response operation-operationId operation-operationId-unique operation-operationId-url-safe \
    operation-parameters-unique operation-summary path-declaration-must-exist path-not-include-query \
    path-parameters-defined security-defined security-scopes-defined spec-ref-siblings \
    tag-description no-empty-servers no-example-value-and-externalValue no-illogical-composition-keywords \
    no-invalid-media-type-examples no-server-example.com no-server-trailing-slash no-server-variables-empty-enum \
    no-undefined-server-variable no-unused-components nullable-type-sibling spec-components-invalid-map-name \
    no-mixed-number-range-constraints spec-discriminator-defaultMapping spec-example-values spec-no-invalid-encoding-combinations \
    spec-no-invalid-tag-parents spec-querystring-parameters";

#[test]
fn every_rule_of_other_linters_has_a_row() {
    let lists = [SPECTRAL, VACUUM, REDOCLY];
    assert_eq!(SETS.len(), lists.len());
    for (set, list) in SETS.iter().zip(lists) {
        let theirs: BTreeSet<&str> = list.split_whitespace().collect();
        let mapped: BTreeSet<&str> = set.rows.iter().map(|(rule, _, _)| *rule).collect();
        assert_eq!(mapped, theirs, "{}", set.name);
        assert_eq!(mapped.len(), set.rows.len(), "{}", set.name);
    }
}

#[test]
fn rules_of_other_linters_map_or_have_a_reason() {
    let ours: BTreeSet<&str> = openapi::lint::ALL
        .iter()
        .copied()
        .flatten()
        .map(|lint| lint.name)
        .collect();
    for (rule, names, why) in SETS.iter().flat_map(|set| set.rows) {
        let unknown: Vec<_> = names.iter().filter(|name| !ours.contains(*name)).collect();
        assert!(unknown.is_empty(), "{rule}: {unknown:?}");
        assert!(!(names.is_empty() && why.is_empty()), "{rule}");
    }
}

#[test]
fn ignored_response_header_is_found() {
    let linted = crate::project::text(
        "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\ncomponents:\n  responses:\n    R: {description: r, headers: {content-type: {schema: {}}, X-A: {schema: {}}}}\n",
    );
    assert_eq!(
        linted.names(),
        ["ignored-header-parameter"],
        "{}",
        linted.lines()
    );
}
