//! The compiler's integration tests, one binary.

mod corpus;
mod specs;
