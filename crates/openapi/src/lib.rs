//! OpenAPI documents: [`overlay`] applies overlays, [`spec`] reads documents, [`lint`] runs the rules.

pub mod lint;
pub mod overlay;
pub mod spec;
