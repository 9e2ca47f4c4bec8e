//! Cache keys of built parts.

/// A sha256 digest.
pub(crate) type Key = [u8; 32];
