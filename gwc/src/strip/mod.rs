//! Public OpenAPI documents of a project, for the command `gwc strip`.

mod read;

pub use openapi::strip::{Stripped, Unfit, strip, write};
pub use read::{SourceDocuments, written};
