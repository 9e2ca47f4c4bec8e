//! Credentials of consumers, by hash.

use bundle::ir;
use rustc_hash::FxHashMap;

/// Credentials of all consumers by their hash.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) keys: FxHashMap<[u8; 32], Owner>,
    pub(crate) basic: FxHashMap<[u8; 32], Owner>,
}

/// Consumer of a credential, and the end of its validity in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) consumer: u32,
    pub(crate) not_after: Option<u64>,
}

// === impl Credentials ===

impl Credentials {
    /// Indexes all consumers' credentials; none where two consumers have the same one.
    pub(crate) fn index(consumers: &ir::Set<ir::Consumer>) -> Option<Self> {
        let mut index = Self::default();
        for (number, consumer) in (0u32..).zip(consumers) {
            for (map, list) in [
                (&mut index.keys, &consumer.keys),
                (&mut index.basic, &consumer.basic),
            ] {
                for credential in list {
                    let owner = Owner {
                        consumer: number,
                        not_after: credential.not_after,
                    };
                    if map.insert(credential.sha256, owner).is_some() {
                        return None;
                    }
                }
            }
        }
        Some(index)
    }
}
