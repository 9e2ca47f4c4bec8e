//! OpenAPI documents: [`overlay`] applies overlays, [`spec`] reads documents, [`lint`] holds the
//! rules, [`check`] runs them.

pub mod check;
pub mod lint;
pub mod overlay;
pub mod spec;
