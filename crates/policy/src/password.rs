//! Passwords as argon2id hashes (RFC 9106), in the PHC string format.
//!
//! ```yaml
//! consumers: {alice: {basic: [{user: alice, argon2id: "$argon2id$v=19$m=19456,t=2,p=1$…"}]}}
//! ```
//! The hash is slow on purpose, so that guessing a password from its hash is expensive. gwd
//! therefore checks passwords on computation threads, never on a worker.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier, Version};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Allowed memory of a hash, in KiB. Minimum: 7 MiB (OWASP). Maximum: 64 MiB, which a thread
/// allocates while it computes.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 7_168..=65_536;
/// Maximum number of passes over the memory.
const PASSES_MAX: u32 = 10;
/// Maximum number of lanes. gwd computes them one after the other.
const LANES_MAX: u32 = 4;
/// Minimum length of the salt and of the hash value, in bytes.
const SALT_BYTES_MIN: usize = 8;
const OUTPUT_BYTES_MIN: usize = 16;
/// Maximum length of a hash in text form, in characters.
const TEXT_MAX: usize = 256;
/// Maximum length of a password, in bytes.
pub const PASSWORD_MAX: usize = 1_024;

/// Hash of a password in the PHC string format. Always valid.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash(Arc<str>);

/// Check of a password against a hash.
#[derive(Clone)]
pub struct Check {
    /// SHA-256 of the password and the user's stored hash, which identifies this check.
    pub(crate) name: [u8; 32],
    hash: Hash,
    password: Arc<Zeroizing<Vec<u8>>>,
    /// True if the user does not have this password. The check then fails after the same
    /// computation as for an existing password.
    is_decoy: bool,
}

// === impl Hash ===

impl Hash {
    /// Parses a hash. `None` if it is not argon2id version 19, or its parameters are out of range.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let hash = PasswordHash::new(text)
            .ok()
            .filter(|_| text.len() <= TEXT_MAX)?;
        let params = Params::try_from(&hash).ok()?;
        let mut salt = [0; 64];
        let salt = hash.salt?.decode_b64(&mut salt).ok()?.len();
        let fits = hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into())
            && MEMORY_KIB.contains(&params.m_cost())
            && params.t_cost() <= PASSES_MAX
            && params.p_cost() <= LANES_MAX
            && salt >= SALT_BYTES_MIN
            && hash.hash?.len() >= OUTPUT_BYTES_MIN;
        fits.then(|| Self(text.into()))
    }

    /// True if the password has this hash. Takes tens of milliseconds.
    fn is_of(&self, password: &[u8]) -> bool {
        let read = PasswordHash::new(&self.0);
        read.is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
    }
}

/// Omits the hash, because with it the password could be guessed.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

// === impl Check ===

impl Check {
    /// Creates a check. `credential` identifies the hash and its user.
    #[must_use]
    pub fn new(credential: &[u8; 32], hash: &Hash, password: &[u8]) -> Self {
        Self {
            name: name(&[b"own", credential, password]),
            hash: hash.clone(),
            password: Arc::new(Zeroizing::new(password.to_vec())),
            is_decoy: false,
        }
    }

    /// Creates a check in place of a password that the user does not have. It takes as long as the
    /// check of a password, so that the time of a refusal does not reveal which users exist.
    /// `index` distinguishes the checks of one user.
    #[must_use]
    pub fn decoy(user: &[u8], index: usize, hash: &Hash, password: &[u8]) -> Self {
        let index = index.to_le_bytes();
        Self {
            name: name(&[b"decoy", user, &index, password]),
            hash: hash.clone(),
            password: Arc::new(Zeroizing::new(password.to_vec())),
            is_decoy: true,
        }
    }

    /// Computes the hash of the password. True if the password is right. Takes tens of
    /// milliseconds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.hash.is_of(&self.password) && !self.is_decoy
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").finish_non_exhaustive()
    }
}

/// SHA-256 of several parts. The input includes the length of each part, so that different parts
/// never give the same input.
fn name(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hash of a password with this memory, one pass and one lane.
    fn hashed(password: &str, memory_kib: u32) -> String {
        use argon2::PasswordHasher;
        use argon2::password_hash::SaltString;
        let params = Params::new(memory_kib, 1, 1, None).unwrap();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = SaltString::encode_b64(b"somesalt").unwrap();
        let hash = argon.hash_password(password.as_bytes(), &salt).unwrap();
        hash.to_string()
    }

    fn check(text: &str, password: &str) -> bool {
        let hash = Hash::read(text).unwrap();
        Check::new(&[1; 32], &hash, password.as_bytes()).holds()
    }

    /// The test vector is from the reference implementation (phc-winner-argon2, `test.c`):
    /// `password`, `somesalt`. The vector of RFC 9106 §5.3 needs a secret and associated data,
    /// which the PHC format does not have.
    #[test]
    fn hash_of_the_reference_implementation_is_read() {
        const REFERENCE: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(check(REFERENCE, "password"));
        assert!(!check(REFERENCE, "Password"));
        assert!(!check(REFERENCE, ""));
    }

    #[test]
    fn weak_and_huge_hashes_are_refused() {
        let good = hashed("a", 7_168);
        assert!(Hash::read(&good).is_some());
        for (from, to) in [
            ("argon2id", "argon2i"),
            ("argon2id", "argon2d"),
            ("argon2id", "scrypt"),
            ("v=19", "v=16"),
            ("$v=19", ""),
            ("m=7168", "m=7167"),
            ("m=7168", "m=65537"),
            ("m=7168", "m=4294967295"),
            ("t=1", "t=0"),
            ("t=1", "t=11"),
            ("p=1", "p=5"),
            ("p=1", "p=0"),
            ("c29tZXNhbHQ", "c29tZXM"),
            ("c29tZXNhbHQ$", ""),
            ("$argon2id", "argon2id"),
        ] {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good);
            assert!(Hash::read(&text).is_none(), "{text}");
        }
        let (front, _) = good.rsplit_once('$').unwrap();
        for text in [
            "",
            "$",
            "$$",
            front,
            &format!("{front}$YWJj"),
            &format!("{good} "),
        ] {
            assert!(Hash::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn decoy_never_holds() {
        let hash = Hash::read(&hashed("open sesame", 7_168)).unwrap();
        assert!(Check::new(&[1; 32], &hash, b"open sesame").holds());
        assert!(!Check::decoy(b"nobody", 0, &hash, b"open sesame").holds());
    }

    #[test]
    fn questions_differ_by_credential_and_password() {
        let hash = Hash::read(&hashed("a", 7_168)).unwrap();
        let one = Check::new(&[1; 32], &hash, b"a");
        assert_eq!(one.name, Check::new(&[1; 32], &hash, b"a").name);
        assert_ne!(one.name, Check::new(&[2; 32], &hash, b"a").name);
        assert_ne!(one.name, Check::new(&[1; 32], &hash, b"b").name);
        let decoy = |index| Check::decoy(b"u", index, &hash, b"a").name;
        assert_ne!(one.name, decoy(0));
        assert_ne!(decoy(0), decoy(1));
    }

    #[test]
    fn debug_output_has_no_password_and_hash() {
        let hash = Hash::read(&hashed("hunter2", 7_168)).unwrap();
        let debug = format!("{:?} {hash:?}", Check::new(&[1; 32], &hash, b"hunter2"));
        assert!(
            !debug.contains("hunter2") && !debug.contains("argon2"),
            "{debug}"
        );
    }
}
