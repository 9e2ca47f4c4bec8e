//! The whole way: gwc compiles, gwd serves, and somebody talks to it.

mod cases;
mod real_documents;
