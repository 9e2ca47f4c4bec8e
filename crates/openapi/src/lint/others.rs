//! Rules of other linters and the corresponding rules of gwc, for users who migrate. A rule without
//! a corresponding rule has a remark with the reason.

/// Rule of another linter: its name, the corresponding gwc rules, and a remark. If there are no
/// corresponding rules, the remark is the reason.
pub type Row = (&'static str, &'static [&'static str], &'static str);

/// Rule set of a linter.
pub struct Set {
    /// Heading of the set.
    pub name: &'static str,
    /// Source of the rule names: a package with its version, or a function that returns them.
    pub from: &'static str,
    /// Rules of the set in its own order.
    pub rows: &'static [Row],
}

/// All rule sets.
pub const SETS: &[Set] = &[
    Set {
        name: "Spectral, `spectral:oas`",
        from: "the package @stoplight/spectral-rulesets 1.23.1",
        rows: SPECTRAL,
    },
    Set {
        name: "vacuum, all built-in rules",
        from: "`GetAllBuiltInRules` of vacuum; `recommended` is a part of it",
        rows: VACUUM,
    },
    Set {
        name: "Redocly CLI, `recommended`",
        from: "the package @redocly/openapi-core 2.64.0 (level `warn` or `error`, for 2.0 to 3.2)",
        rows: REDOCLY,
    },
];

const SPECTRAL: &[Row] = &[
    (
        "operation-success-response",
        &["missing-success-response"],
        "",
    ),
    (
        "oas2-operation-formData-consume-check",
        &[],
        "2.0 is converted to 3.0: a form without `consumes` gets the default media type of forms, `application/x-www-form-urlencoded`, or `multipart/form-data` with files",
    ),
    (
        "operation-operationId-unique",
        &["duplicate-operation-id"],
        "",
    ),
    ("operation-parameters", &["duplicate-parameter"], ""),
    ("operation-tag-defined", &["undeclared-tag"], ""),
    (
        "path-params",
        &[
            "undeclared-path-parameter",
            "unused-path-parameter",
            "optional-path-parameter",
            "repeated-template-parameter",
            "identical-route",
        ],
        "",
    ),
    ("contact-properties", &["incomplete-contact"], ""),
    ("duplicated-entry-in-enum", &["duplicate-enum-value"], ""),
    ("info-contact", &["missing-contact"], ""),
    ("info-description", &["missing-info-description"], ""),
    ("info-license", &["missing-license"], ""),
    (
        "license-url",
        &["incomplete-license"],
        "an SPDX `identifier` is accepted as well",
    ),
    ("no-eval-in-markdown", &["unsafe-markdown"], ""),
    (
        "no-script-tags-in-markdown",
        &["unsafe-markdown"],
        "also attributes such as `onclick` and `javascript:` links",
    ),
    ("openapi-tags-alphabetical", &["unsorted-tags"], ""),
    ("openapi-tags-uniqueness", &["duplicate-tag"], ""),
    ("openapi-tags", &["missing-tags"], ""),
    (
        "operation-description",
        &["missing-operation-description"],
        "",
    ),
    ("operation-operationId", &["missing-operation-id"], ""),
    (
        "operation-operationId-valid-in-url",
        &["unsafe-operation-id"],
        "",
    ),
    ("operation-singular-tag", &["several-operation-tags"], ""),
    ("operation-tags", &["missing-operation-tags"], ""),
    (
        "path-declarations-must-exist",
        &["malformed-path-template"],
        "",
    ),
    ("path-keys-no-trailing-slash", &["trailing-slash"], ""),
    (
        "path-not-include-query",
        &["query-in-path"],
        "the query becomes a condition of the route",
    ),
    ("tag-description", &["missing-tag-description"], ""),
    (
        "no-$ref-siblings",
        &["ignored-sibling"],
        "in 3.1 only where OpenAPI ignores them",
    ),
    ("array-items", &["array-without-items"], ""),
    ("typed-enum", &["value-of-other-type"], ""),
    (
        "oas2-api-host",
        &["missing-servers"],
        "2.0 is converted to 3.0: `host` becomes a server",
    ),
    (
        "oas2-api-schemes",
        &["missing-servers"],
        "2.0 is converted to 3.0: `schemes` become servers",
    ),
    ("oas2-discriminator", &["optional-discriminator"], ""),
    ("oas2-host-not-example", &["example-server"], ""),
    ("oas2-host-trailing-slash", &["server-trailing-slash"], ""),
    (
        "oas2-parameter-description",
        &["missing-parameter-description"],
        "",
    ),
    (
        "oas2-operation-security-defined",
        &["undefined-security-scheme"],
        "",
    ),
    (
        "oas2-valid-schema-example",
        &["example-outside-schema", "value-outside-schema"],
        "",
    ),
    ("oas2-valid-media-example", &["example-outside-schema"], ""),
    (
        "oas2-anyOf",
        &[],
        "2.0 is converted to 3.0, which has `anyOf`; gwc gives it the same meaning",
    ),
    (
        "oas2-oneOf",
        &[],
        "2.0 is converted to 3.0, which has `oneOf`; gwc gives it the same meaning",
    ),
    (
        "oas2-schema",
        &[
            "unknown-field",
            "missing-field",
            "wrong-field-type",
            "unknown-value",
        ],
        "and every other rule about structure",
    ),
    ("oas2-unused-definition", &["unused-component"], ""),
    ("oas3-api-servers", &["missing-servers"], ""),
    (
        "oas3-examples-value-or-externalValue",
        &["exclusive-fields"],
        "",
    ),
    (
        "oas3-operation-security-defined",
        &["undefined-security-scheme"],
        "",
    ),
    (
        "oas3-parameter-description",
        &["missing-parameter-description"],
        "",
    ),
    ("oas3-server-not-example.com", &["example-server"], ""),
    ("oas3-server-trailing-slash", &["server-trailing-slash"], ""),
    ("oas3-valid-media-example", &["example-outside-schema"], ""),
    (
        "oas3-valid-schema-example",
        &["example-outside-schema", "value-outside-schema"],
        "",
    ),
    (
        "oas3-schema",
        &[
            "unknown-field",
            "missing-field",
            "wrong-field-type",
            "unknown-value",
        ],
        "and every other rule about structure",
    ),
    (
        "oas3-unused-component",
        &["unused-component"],
        "also components that only unused components use",
    ),
    (
        "oas3-server-variables",
        &["undefined-server-variable", "unused-server-variable"],
        "",
    ),
    ("oas3-callbacks-in-callbacks", &["callback-in-callback"], ""),
    ("oas3_1-servers-in-webhook", &["unused-webhook-field"], ""),
    ("oas3_1-callbacks-in-webhook", &["unused-webhook-field"], ""),
    (
        "oas3_2-no-deprecated-xml-attribute",
        &["deprecated-field"],
        "",
    ),
];

const VACUUM: &[Row] = &[
    (
        "operation-success-response",
        &["missing-success-response"],
        "",
    ),
    (
        "operation-operationId-unique",
        &["duplicate-operation-id"],
        "",
    ),
    ("operation-operationId", &["missing-operation-id"], ""),
    ("operation-parameters", &["duplicate-parameter"], ""),
    ("operation-singular-tag", &["several-operation-tags"], ""),
    ("operation-tag-defined", &["undeclared-tag"], ""),
    (
        "path-params",
        &[
            "undeclared-path-parameter",
            "unused-path-parameter",
            "optional-path-parameter",
            "repeated-template-parameter",
            "identical-route",
        ],
        "",
    ),
    ("contact-properties", &["incomplete-contact"], ""),
    ("info-contact", &["missing-contact"], ""),
    ("info-description", &["missing-info-description"], ""),
    ("info-license", &["missing-license"], ""),
    (
        "license-url",
        &["incomplete-license"],
        "an SPDX `identifier` is accepted as well",
    ),
    ("openapi-tags-alphabetical", &["unsorted-tags"], ""),
    ("openapi-tags", &["missing-tags"], ""),
    ("operation-tags", &["missing-operation-tags"], ""),
    (
        "operation-description",
        &["missing-operation-description"],
        "",
    ),
    (
        "operation-operationId-valid-in-url",
        &["unsafe-operation-id"],
        "",
    ),
    (
        "path-declarations-must-exist",
        &["malformed-path-template"],
        "",
    ),
    ("path-keys-no-trailing-slash", &["trailing-slash"], ""),
    (
        "path-not-include-query",
        &["query-in-path"],
        "the query becomes a condition of the route",
    ),
    ("tag-description", &["missing-tag-description"], ""),
    (
        "no-$ref-siblings",
        &["ignored-sibling"],
        "in 3.1 only where OpenAPI ignores them",
    ),
    (
        "oas3-unused-component",
        &["unused-component"],
        "also components that only unused components use",
    ),
    ("oas2-unused-definition", &["unused-component"], ""),
    (
        "oas2-api-host",
        &["missing-servers"],
        "2.0 is converted to 3.0: `host` becomes a server",
    ),
    (
        "oas2-api-schemes",
        &["missing-servers"],
        "2.0 is converted to 3.0: `schemes` become servers",
    ),
    ("oas2-discriminator", &["optional-discriminator"], ""),
    ("oas2-host-not-example", &["example-server"], ""),
    (
        "oas2-parameter-description",
        &["missing-parameter-description"],
        "",
    ),
    (
        "oas3-parameter-description",
        &["missing-parameter-description"],
        "",
    ),
    (
        "oas3-operation-security-defined",
        &["undefined-security-scheme"],
        "",
    ),
    (
        "oas2-operation-security-defined",
        &["undefined-security-scheme"],
        "",
    ),
    ("typed-enum", &["value-of-other-type"], ""),
    ("duplicated-entry-in-enum", &["duplicate-enum-value"], ""),
    ("no-eval-in-markdown", &["unsafe-markdown"], ""),
    (
        "no-script-tags-in-markdown",
        &["unsafe-markdown"],
        "also attributes such as `onclick` and `javascript:` links",
    ),
    ("oas3-api-servers", &["missing-servers"], ""),
    (
        "oas2-operation-formData-consume-check",
        &[],
        "2.0 is converted to 3.0: a form without `consumes` gets the default media type of forms, `application/x-www-form-urlencoded`, or `multipart/form-data` with files",
    ),
    (
        "oas2-anyOf",
        &[],
        "2.0 is converted to 3.0, which has `anyOf`; gwc gives it the same meaning",
    ),
    (
        "oas2-oneOf",
        &[],
        "2.0 is converted to 3.0, which has `oneOf`; gwc gives it the same meaning",
    ),
    (
        "oas2-schema",
        &[
            "unknown-field",
            "missing-field",
            "wrong-field-type",
            "unknown-value",
        ],
        "and every other rule about structure",
    ),
    (
        "oas3-schema",
        &[
            "unknown-field",
            "missing-field",
            "wrong-field-type",
            "unknown-value",
        ],
        "and every other rule about structure",
    ),
    (
        "oas3-valid-schema-example",
        &["example-outside-schema", "value-outside-schema"],
        "",
    ),
    ("oas3-server-trailing-slash", &["server-trailing-slash"], ""),
    ("oas2-host-trailing-slash", &["server-trailing-slash"], ""),
    (
        "info-license-spdx",
        &[],
        "the list of SPDX licenses grows; a linter with an old list would reject new licenses",
    ),
    (
        "component-description",
        &["missing-component-description"],
        "",
    ),
    (
        "oas3-no-$ref-siblings",
        &["ignored-sibling"],
        "in 3.1 only where OpenAPI ignores them",
    ),
    ("oas3-host-not-example", &["example-server"], ""),
    ("description-duplication", &["description-twice"], ""),
    (
        "no-ambiguous-paths",
        &["ambiguous-template", "captured-by-template"],
        "shows a request that both match, and which of them wins",
    ),
    ("no-http-verbs-in-path", &["verb-in-path"], ""),
    ("paths-kebab-case", &["path-not-in-kebab-case"], ""),
    (
        "operation-4xx-response",
        &["missing-client-error-response"],
        "",
    ),
    ("oas3-missing-example", &["missing-example"], ""),
    ("oas3-example-external-check", &["exclusive-fields"], ""),
    (
        "oas-schema-check",
        &[
            "unknown-value",
            "empty-range",
            "malformed-pattern",
            "required-without-property",
            "keyword-of-other-type",
        ],
        "",
    ),
    (
        "post-response-success",
        &["missing-success-response"],
        "gwc checks every method",
    ),
    ("no-request-body", &["unexpected-body"], ""),
    ("path-item-refs", &["path-item-reference"], ""),
];

const REDOCLY: &[Row] = &[
    (
        "struct",
        &[
            "unknown-field",
            "missing-field",
            "wrong-field-type",
            "unknown-value",
        ],
        "and every other rule about structure",
    ),
    (
        "no-unresolved-refs",
        &[
            "unresolved-reference",
            "missing-file",
            "reference-cycle",
            "wrong-reference-kind",
        ],
        "",
    ),
    ("info-license", &["missing-license"], ""),
    ("info-license-strict", &["incomplete-license"], ""),
    (
        "no-ambiguous-paths",
        &["ambiguous-template", "captured-by-template"],
        "shows a request that both match, and which of them wins",
    ),
    ("no-duplicated-enum-values", &["duplicate-enum-value"], ""),
    ("no-duplicated-tag-names", &["duplicate-tag"], ""),
    ("no-empty-servers", &["missing-servers"], ""),
    ("no-enum-type-mismatch", &["value-of-other-type"], ""),
    (
        "no-example-value-and-externalValue",
        &["exclusive-fields"],
        "",
    ),
    ("no-identical-paths", &["identical-route"], ""),
    (
        "no-illogical-composition-keywords",
        &["empty-alternatives"],
        "gwc does not report a list with one entry: generators write such lists, and their meaning is clear",
    ),
    (
        "no-invalid-media-type-examples",
        &["example-outside-schema"],
        "",
    ),
    (
        "no-invalid-parameter-examples",
        &["example-outside-schema"],
        "",
    ),
    (
        "no-invalid-schema-examples",
        &["example-outside-schema"],
        "",
    ),
    ("no-mixed-number-range-constraints", &["doubled-limit"], ""),
    ("no-path-trailing-slash", &["trailing-slash"], ""),
    (
        "no-required-schema-properties-undefined",
        &["required-without-property"],
        "",
    ),
    (
        "no-schema-type-mismatch",
        &["keyword-of-other-type"],
        "all keywords, not only `items` and `properties`",
    ),
    ("no-server-example.com", &["example-server"], ""),
    ("no-server-trailing-slash", &["server-trailing-slash"], ""),
    (
        "no-server-variables-empty-enum",
        &["undefined-server-variable"],
        "",
    ),
    (
        "no-undefined-server-variable",
        &["undefined-server-variable"],
        "",
    ),
    ("no-unsafe-markdown", &["unsafe-markdown"], ""),
    (
        "no-unused-components",
        &["unused-component"],
        "also components that only unused components use",
    ),
    ("nullable-type-sibling", &["nullable-without-type"], ""),
    (
        "operation-2xx-response",
        &["missing-success-response"],
        "gwc also counts 3xx as a success",
    ),
    (
        "operation-4xx-response",
        &["missing-client-error-response"],
        "",
    ),
    ("operation-operationId", &["missing-operation-id"], ""),
    (
        "operation-operationId-unique",
        &["duplicate-operation-id"],
        "",
    ),
    (
        "operation-operationId-url-safe",
        &["unsafe-operation-id"],
        "",
    ),
    ("operation-parameters-unique", &["duplicate-parameter"], ""),
    ("operation-summary", &["missing-operation-summary"], ""),
    (
        "path-declaration-must-exist",
        &["malformed-path-template"],
        "",
    ),
    (
        "path-not-include-query",
        &["query-in-path"],
        "the query becomes a condition of the route",
    ),
    (
        "path-parameters-defined",
        &["undeclared-path-parameter", "unused-path-parameter"],
        "",
    ),
    (
        "security-defined",
        &["undefined-security-scheme", "open-operations"],
        "",
    ),
    ("security-scopes-defined", &["undeclared-scope"], ""),
    (
        "spec-components-invalid-map-name",
        &["malformed-component-name"],
        "",
    ),
    (
        "spec-discriminator-defaultMapping",
        &["optional-discriminator", "unresolved-discriminator"],
        "",
    ),
    ("spec-example-values", &["exclusive-fields"], ""),
    (
        "spec-no-invalid-encoding-combinations",
        &["exclusive-fields"],
        "",
    ),
    ("spec-no-invalid-tag-parents", &["unknown-tag-parent"], ""),
    (
        "spec-querystring-parameters",
        &["querystring-beside-query", "misplaced-style"],
        "",
    ),
    ("spec-ref-siblings", &["ignored-sibling"], ""),
    ("tag-description", &["missing-tag-description"], ""),
];
