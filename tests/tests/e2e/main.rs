//! The whole way: gwc compiles, gwd serves, and somebody talks to it.

mod arrows;
mod bad_input;
mod balancers;
mod cases;
mod client_certificates;
mod discovery;
mod examples;
mod faults;
mod grpc_peers;
mod judging;
mod kills;
mod origins;
mod own_upstreams;
mod peers;
mod readings;
mod real_documents;
mod rest;
mod returned;
mod rollbacks;
mod routes;
mod sameness;
mod skopeo;
mod switches;
mod tls_peers;
mod trust;
mod witnesses;
