//! OpenAPI documents: [`overlay`] applies overlays, [`spec`] reads documents, [`lint`] defines the
//! rules, [`check`] runs the rules, [`strip`] makes documents public, and [`page`] shows public
//! documents.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod check;
pub mod lint;
pub mod overlay;
pub mod page;
pub mod spec;
pub mod strip;
