//! Keyed hash that selects the counters of client addresses.

/// Hash function with a random secret key for each instance, so that clients cannot choose their
/// counters.
#[cfg(not(test))]
pub(crate) type KeyedHash = std::hash::RandomState;

/// Hash function with a fixed key. Unit tests compare exact counts. With a random key, addresses
/// of a test sometimes select the same counter, and the test fails.
#[cfg(test)]
pub(crate) type KeyedHash = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
