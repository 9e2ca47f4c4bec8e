//! Ids of state that survives a reload, such as counters.

use policy::StateId;
use sha2::{Digest as _, Sha256};

/// Id of state that survives a reload (release.md §7): a hash of names. A changed limit or position
/// in a list does not change the id.
pub(crate) fn state_id(parts: &[&str]) -> StateId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    StateId(u64::from_be_bytes(
        digest[..8].try_into().expect("eight of 32 bytes"),
    ))
}
