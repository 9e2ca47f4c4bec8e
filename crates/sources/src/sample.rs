//! Macros for sample documents of the OpenAPI rules.

/// OpenAPI 3.0 document: the required first two lines, then the given lines.
#[macro_export]
macro_rules! v30 {
    ($($rest:literal),+ $(,)?) => {
        &[("openapi.yaml", concat!("openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\n", $($rest),+))]
    };
}

/// OpenAPI 3.1 document, otherwise like `v30!`.
#[macro_export]
macro_rules! v31 {
    ($($rest:literal),+ $(,)?) => {
        &[("openapi.yaml", concat!("openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n", $($rest),+))]
    };
}
