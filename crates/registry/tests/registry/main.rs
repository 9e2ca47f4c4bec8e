//! Tests of stores in registries.

mod docker;
mod fixture;
mod hostile;
mod mirror;
mod server;
