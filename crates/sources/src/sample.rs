//! Short forms for the samples of the OpenAPI rules.

/// One OpenAPI 3.0 document: the two lines that each needs, then what is given.
#[macro_export]
macro_rules! v30 {
    ($($rest:literal),+ $(,)?) => {
        &[("openapi.yaml", concat!("openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\n", $($rest),+))]
    };
}

/// The same as OpenAPI 3.1.
#[macro_export]
macro_rules! v31 {
    ($($rest:literal),+ $(,)?) => {
        &[("openapi.yaml", concat!("openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n", $($rest),+))]
    };
}
