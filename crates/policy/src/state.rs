//! Identity of state that outlives a version of the configuration: counters and circuit breakers.

/// Id of state that outlives a snapshot, computed by gwc (release.md §7). A hash of project, kind,
/// operator-given name, key expression and algorithm. The numbers of a limit, its position in the
/// chain and the bundle's id do not affect it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct StateId(#[n(0)] pub u64);
