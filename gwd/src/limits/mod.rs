//! Limits of the process on memory, connections, requests and file descriptors (data-plane.md §10).
//!
//! | Module | Limit |
//! |---|---|
//! | [`budget`] | connections in all, requests in flight, memory by estimates |
//! | [`addresses`] | connections and slow requests per client address and network |
//! | [`buffered`] | buffered bytes that no estimate includes, as their owners report them |
//! | [`inbox`] | unread bytes inside HTTP/2 connections, a part of [`buffered`] |
//! | [`turns`] | order of the entries of client addresses, by network |
//! | [`waiting`] | order in which connections get memory when it is free again, fair by client address |
//! | [`fair`] | concurrent TLS handshakes, computations of requests; client addresses take turns |
//! | [`permit_queue`] | requests that wait for a permit of a `concurrency` policy; callers take turns |
//! | [`replaceable`] | full queue: a new entry replaces one of the network with the most entries |
//! | [`crowding`] | requests in flight of one address or network while most permits are used |
//! | [`hashing`] | keyed hash that selects the counters of addresses |
//! | [`descriptors`] | file descriptors that connections leave to logs, store and administration |
//! | [`measure`] | memory use and memory limit, as the system reports them |
//! | [`memory`] | return of freed pages to the system |
//!
//! The owner of a limited amount holds a permit; dropping the permit returns the amount. Memory has
//! three thresholds, in percent of its limit. Above 80 % (or if buffers alone use 30 %), nothing is
//! read that would have to be buffered. An active connection without buffered data is not affected.
//! Above 95 %, new requests and connections are refused. Above 70 %, idle connections release
//! memory if other connections wait for it.

pub(crate) mod addresses;
pub(crate) mod budget;
pub(crate) mod buffered;
pub(crate) mod crowding;
pub(crate) mod descriptors;
pub(crate) mod fair;
pub(crate) mod hashing;
pub(crate) mod inbox;
#[expect(clippy::disallowed_methods, reason = "reads the memory of the process")]
pub(crate) mod measure;
pub(crate) mod memory;
pub(crate) mod permit_queue;
pub(crate) mod replaceable;
pub(crate) mod turns;
pub(crate) mod waiting;
