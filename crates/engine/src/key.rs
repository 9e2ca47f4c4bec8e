//! Keys of built parts.

/// A sha256.
pub(crate) type Key = [u8; 32];
