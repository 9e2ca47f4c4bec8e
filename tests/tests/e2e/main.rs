//! The whole way: gwc compiles, gwd serves, and somebody talks to it.

mod real_documents;
