//! Identity of state that outlives a version: counters and circuit breakers.

/// Id of state that outlives a snapshot: a hash of project, kind, operator-given name, key
/// expression and algorithm, but not of limits, positions or the bundle (release.md §7). Computed
/// by gwc.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct StateId(#[n(0)] pub u64);
