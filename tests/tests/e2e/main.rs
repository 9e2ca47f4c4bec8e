//! The whole way: gwc compiles, gwd serves, and somebody talks to it.

mod arrows;
mod bad_input;
mod cases;
mod real_documents;
mod rollbacks;
mod sameness;
mod switches;
mod trust;
