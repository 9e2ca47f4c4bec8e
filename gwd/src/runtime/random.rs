//! Random numbers of one worker, for request ids, jitter and the choice of hosts. Not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

use http::HeaderValue;

/// Random number generator of a worker (wyrand), seeded by the operating system.
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new() -> Self {
        Self(Cell::new(RandomState::new().build_hasher().finish()))
    }

    /// Sixteen random bytes.
    pub(crate) fn bytes(&self) -> [u8; 16] {
        let [high, low] = [self.next(), self.next()];
        (u128::from(high) << 64 | u128::from(low)).to_ne_bytes()
    }

    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x2d35_8dcc_aa6c_78a5);
        self.0.set(state);
        let product = u128::from(state) * u128::from(state ^ 0x8bb8_4b93_962e_acc9);
        let folded = (product >> 64) ^ product;
        u64::try_from(folded & u128::from(u64::MAX)).unwrap_or_default()
    }

    /// New request id: UUIDv7 (RFC 9562 §5.7).
    pub(crate) fn request_id(&self, unix_ms: u64) -> HeaderValue {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next().to_le_bytes()[..2]);
        let id = uuid::Builder::from_unix_timestamp_millis(unix_ms, &bytes).into_uuid();
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = id.hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).expect("hex digits and dashes")
    }
}
