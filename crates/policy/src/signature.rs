//! Signature checks that are too expensive for a worker: RSA keys of 3,072 bits or more, and P-384.
//!
//! Such a check takes 50 µs to 300 µs. A client chooses how many of its tokens are invalid. gwd
//! therefore verifies these signatures on computation threads, and limits the number of waiting
//! checks.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// Check of a signature with an expensive key.
#[derive(Clone)]
pub struct Check {
    /// SHA-256 of the key, the signed bytes and the signature, which identifies this check.
    pub(crate) name: [u8; 32],
    verify: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Check {
    /// Creates a check. `identity` are the values on which the result depends. `verify` verifies
    /// the signature.
    pub(crate) fn new(
        identity: &[&[u8]],
        verify: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let mut hash = Sha256::new();
        for part in identity {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self {
            name: hash.finalize().into(),
            verify: Arc::new(verify),
        }
    }

    /// Verifies the signature. Takes up to 300 µs.
    #[must_use]
    pub fn holds(&self) -> bool {
        (self.verify)()
    }
}

/// Omits the signed bytes, because they can be a token.
impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_with_different_parts_have_other_names() {
        let name = |parts: &[&[u8]]| Check::new(parts, || true).name;
        assert_eq!(name(&[b"ab", b"c"]), name(&[b"ab", b"c"]));
        assert_ne!(name(&[b"ab", b"c"]), name(&[b"a", b"bc"]));
        assert_eq!(
            format!("{:?}", Check::new(&[b"ab"], || true)),
            "Check { .. }"
        );
    }
}
