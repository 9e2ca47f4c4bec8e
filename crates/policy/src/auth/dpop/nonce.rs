//! DPoP nonces that the gateway issues (RFC 9449 §8, §9). A nonce is a time with its keyed hash:
//! the gateway stores no nonces, and clients cannot create one in advance.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Length of a nonce in bytes: 8 for the time (Unix time, seconds), and the first 16 of the hash.
const BYTES: usize = 24;

/// Prefix of the hash input, which separates the hash from other uses of the secret.
const LABEL: &[u8] = b"gwd dpop nonce v1\0";

/// Creates and verifies DPoP nonces with a keyed hash.
pub(super) struct Nonces(hmac::Key);

/// Result of verifying a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// The nonce is in the first half of its lifetime.
    Fresh,
    /// The nonce is valid, and in the second half of its lifetime: the client should get a new one.
    Ageing,
    /// The nonce is too old, or its hash does not match the secret.
    Invalid,
}

impl Nonces {
    /// Creates the key of the hash from a secret.
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Creates a nonce for a time (Unix time, seconds).
    pub(super) fn make(&self, unix_s: u64) -> String {
        let time = unix_s.to_be_bytes();
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&time);
        bytes[8..].copy_from_slice(&self.hash(time)[..BYTES - 8]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies a nonce that is valid for `lifetime_s` seconds.
    pub(super) fn verify(&self, nonce: &str, unix_s: u64, lifetime_s: u64) -> Age {
        let Some((time, hash)) = decoded(nonce) else {
            return Age::Invalid;
        };
        let own = &self.hash(time)[..BYTES - 8];
        match aws_lc_rs::constant_time::verify_slices_are_equal(&hash, own) {
            Ok(()) => age(time, unix_s, lifetime_s),
            Err(_) => Age::Invalid,
        }
    }

    fn hash(&self, time: [u8; 8]) -> [u8; 32] {
        let mut hash = [0; 32];
        let mut context = hmac::Context::with_key(&self.0);
        context.update(LABEL);
        context.update(&time);
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }
}

/// Age of a nonce according to the time in it. Does not check the hash of the nonce.
#[cfg(feature = "author")]
pub(super) fn stated_age(nonce: &str, unix_s: u64, lifetime_s: u64) -> Age {
    decoded(nonce).map_or(Age::Invalid, |(time, _)| age(time, unix_s, lifetime_s))
}

/// Time and hash of a nonce. `None` if the text does not have the form of a nonce.
fn decoded(nonce: &str) -> Option<([u8; 8], [u8; BYTES - 8])> {
    let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
    let (time, hash) = bytes.split_first_chunk()?;
    Some((*time, hash.try_into().ok()?))
}

/// Age of a nonce that was issued at `time`. Accepts times in the future: this node's clock may
/// have gone back, or a different node may have issued the nonce.
fn age(time: [u8; 8], unix_s: u64, lifetime_s: u64) -> Age {
    let made_s = u64::from_be_bytes(time);
    let age_s = unix_s.saturating_sub(made_s);
    match made_s <= unix_s.saturating_add(lifetime_s) {
        true if age_s <= lifetime_s / 2 => Age::Fresh,
        true if age_s <= lifetime_s => Age::Ageing,
        _ => Age::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    #[test]
    fn nonce_is_valid_for_its_lifetime_and_secret() {
        let (own, other) = (Nonces::new(&[1; 32]), Nonces::new(&[2; 32]));
        let nonce = own.make(NOW_S);
        for (at_s, expected) in [
            (NOW_S, Age::Fresh),
            (NOW_S + 30, Age::Fresh),
            (NOW_S + 31, Age::Ageing),
            (NOW_S + 60, Age::Ageing),
            (NOW_S + 61, Age::Invalid),
            (NOW_S - 60, Age::Fresh),
            (NOW_S - 61, Age::Invalid),
        ] {
            assert_eq!(own.verify(&nonce, at_s, 60), expected, "{at_s}");
        }
        assert_eq!(other.verify(&nonce, NOW_S, 60), Age::Invalid);
        assert_ne!(own.make(NOW_S + 1), nonce);
    }

    #[test]
    fn changed_nonce_is_not_accepted() {
        let own = Nonces::new(&[1; 32]);
        let bytes = URL_SAFE_NO_PAD.decode(own.make(NOW_S)).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(own.verify(&changed, NOW_S, 60), Age::Invalid, "{at}");
        }
        for other in ["", "x", "é", &own.make(NOW_S)[1..]] {
            assert_eq!(own.verify(other, NOW_S, 60), Age::Invalid, "{other}");
        }
    }
}
