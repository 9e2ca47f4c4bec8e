//! The gateway over real sockets: everything that a client, an upstream or an operator can see.

mod fixture;

mod connections;
mod failures;
mod forwarding;
mod framing;
mod refusals;
mod switching;
mod telemetry;
