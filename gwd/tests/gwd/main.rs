//! The gateway over real sockets: everything that a client, an upstream or an operator can see.

mod fixture;

mod forwarding;
