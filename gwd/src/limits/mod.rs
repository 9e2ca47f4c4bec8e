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
//! **Permits.** The owner of a limited amount holds a permit ([`budget::Share`]); dropping the
//! permit returns the amount. No code path can therefore forget to return it, not even a panic or a
//! cancelled future. Workers take permits of requests in batches ([`budget::LocalQuota`]), so that
//! they rarely write to the same cache line.
//!
//! **Memory** is determined in three ways, because none of them suffices alone:
//!
//! 1. Estimate ([`budget::Memory`]): a connection takes the typical size of its buffers before it
//!    reads. The estimate is known at once, but excludes data of slow peers.
//! 2. Count ([`buffered`]): each owner of buffers reports the bytes that the estimate excludes. An
//!    upload of 1 MiB to an upstream that does not read is an example.
//! 3. Measurement ([`measure`]): the system reports the memory of the process every 100 ms. It
//!    includes everything, but it is late.
//!
//! Used memory is the measurement, or the sum of the other two with the size of the process without
//! connections, whichever is larger.
//!
//! **Thresholds**, in percent of the memory limit:
//!
//! | Above | Effect |
//! |---|---|
//! | 70 % | idle connections release memory if other connections wait for it |
//! | 80 %, or 30 % in buffers alone | no data is read that would have to be buffered |
//! | 95 % | new requests and connections are refused with 503 `overload` |
//!
//! Reading stops before requests are refused: a peer that is not read slows down by itself
//! (backpressure), and a refused request is an error. An active connection without buffered data is
//! not affected. Connections may always use 10 % of the limit: a process that has grown for another
//! reason still serves.
//!
//! **Waiting.** A connection that gets no memory waits in [`waiting`]; its bytes stay in the
//! kernel. Client addresses and networks take turns, so that one client with many connections does
//! not delay the others.
//!
//! **Fairness.** Counts per address ([`addresses`], [`crowding`]) and turns ([`turns`], [`fair`],
//! [`permit_queue`], [`replaceable`]) keep one client from using up a limit. An IPv6 /64 network
//! counts as one address, and wider networks are counted as well.
//!
//! Two related modules are elsewhere, because this folder must not import the layers that use it:
//!
//! - `proxy::backlog` accounts for a client's HTTP/2 connection. It holds the counters of this
//!   folder, but it wraps response bodies and wakes streams, which belong to `proxy`.
//! - `listen::spread` balances connections between workers. It limits nothing: it compares the
//!   loads of the workers and passes sockets on, which belong to `listen`.

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
