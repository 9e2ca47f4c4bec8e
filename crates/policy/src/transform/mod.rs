//! Policies that change requests and responses, or answer requests themselves.

pub mod bodies;
pub mod compose;
pub mod deprecation;
pub mod grpc_json;
pub mod grpc_web;
pub mod headers;
pub mod mock;
pub mod redirect;
pub mod respond;
pub mod rewrite;
