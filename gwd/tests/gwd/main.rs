//! The gateway over real sockets: everything that a client, an upstream or an operator can see.

mod fixture;
mod world;

mod activation;
mod admin;
mod audit;
mod bounded;
mod bounds;
mod cells;
mod connections;
mod control;
mod failures;
mod forwarding;
mod framing;
mod grpc;
mod handover;
mod health;
mod holds;
mod http2;
mod incremental;
mod judging;
mod parking;
mod promises;
mod refusals;
mod routes;
mod rows;
mod sockets;
mod start;
mod state;
mod stores;
mod switching;
mod telemetry;
mod tls;
mod transports;
mod trust;
mod websocket;
