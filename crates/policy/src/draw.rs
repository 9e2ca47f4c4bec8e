//! Deterministic pseudo-random numbers, for splits and for the selection of mirrored requests.
//!
//! Policies use no randomness. A number is computed from the policy's name and the caller, or from
//! the policy's name and the request id if there is no caller. Two policies with different names
//! therefore select requests independently of each other.

use crate::cx::{Cx, Principal};

/// Source of pseudo-random numbers for one policy. The same caller or request always gets the same
/// number.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    seed: u64,
}

impl Draw {
    /// Creates the source of the policy with this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self {
            seed: fnv(0xCBF2_9CE4_8422_2325, name.as_bytes()),
        }
    }

    /// Random number below `sum` that is fixed per caller, or per request if there is no caller.
    /// `None` if `sum` is 0.
    #[must_use]
    pub fn below(self, cx: &Cx<'_>, sum: u64) -> Option<u64> {
        match cx.principal.as_ref().and_then(Principal::key) {
            Some(caller) => self.lot(fnv(self.seed, caller), sum),
            None => self.below_by_request(cx, sum),
        }
    }

    /// Random number below `sum` that is fixed per request. `None` if `sum` is 0.
    #[must_use]
    pub fn below_by_request(self, cx: &Cx<'_>, sum: u64) -> Option<u64> {
        self.lot(self.seed ^ cx.draw, sum)
    }

    fn lot(self, hash: u64, sum: u64) -> Option<u64> {
        let point = (u128::from(mix(hash)) * u128::from(sum)) >> 64;
        (sum > 0).then(|| u64::try_from(point).unwrap_or(sum - 1))
    }
}

/// Hash of a request id, for [`Cx::draw`].
#[must_use]
pub fn of_request_id(id: &[u8]) -> u64 {
    fnv(0xCBF2_9CE4_8422_2325, id)
}

/// FNV-1a hash. It is fast for short inputs, has no secret, and is equal in all processes.
fn fnv(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// Mixes the bits with the finalizer of MurmurHash3.
fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}
