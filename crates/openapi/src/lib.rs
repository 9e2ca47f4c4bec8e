//! OpenAPI documents: [`overlay`] applies overlays, [`spec`] reads documents, [`lint`] defines the
//! rules, and [`check`] runs them.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod check;
pub mod lint;
pub mod overlay;
pub mod spec;
