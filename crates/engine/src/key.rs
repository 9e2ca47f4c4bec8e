//! Cache keys of built parts.

/// SHA-256 of the source of a part, which is the key of the part in a cache.
pub(crate) type Key = [u8; 32];
