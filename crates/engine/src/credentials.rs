//! Index of the consumers' credentials, by hash.

use bundle::ir;
use policy::password::Hash;
use rustc_hash::FxHashMap;

/// Credentials of all consumers. API keys and fast password hashes are found by SHA-256.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) keys: FxHashMap<[u8; 32], Owner>,
    pub(crate) basic: FxHashMap<[u8; 32], Owner>,
    pub(crate) certificates: FxHashMap<Box<str>, Owner>,
    /// Owners of tokens, by issuer.
    pub(crate) holders: FxHashMap<Box<str>, Holders>,
    pub(crate) passwords: Passwords,
}

/// Consumers that own tokens of one issuer, by subject and by client.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    pub(crate) subjects: FxHashMap<Box<str>, Owner>,
    pub(crate) clients: FxHashMap<Box<str>, Owner>,
}

/// Passwords with slow hashes, by user name.
#[derive(Debug, Default)]
pub(crate) struct Passwords {
    pub(crate) users: FxHashMap<Box<str>, Vec<Password>>,
    /// Hashes that are computed in place of missing passwords, as many as the user with the most
    /// passwords has. Each wrong password therefore takes the same number of hashes, whoever the
    /// user is. Empty if no consumer has a password.
    pub(crate) decoys: Vec<Hash>,
}

/// Password of a user.
#[derive(Debug)]
pub(crate) struct Password {
    pub(crate) hash: Hash,
    /// SHA-256 of user name and hash. Identifies the password.
    pub(crate) sha256: [u8; 32],
    pub(crate) owner: Owner,
}

/// Consumer that owns a credential, and the expiry of the entry (Unix time, seconds).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) consumer: u32,
    pub(crate) not_after: Option<u64>,
}

// === impl Credentials ===

impl Credentials {
    /// Creates the index of all consumers' credentials. `None` if two consumers share a credential.
    pub(crate) fn index(consumers: &ir::Set<ir::Consumer>) -> Option<Self> {
        let mut index = Self::default();
        for (number, consumer) in (0u32..).zip(consumers) {
            for (map, list) in [
                (&mut index.keys, &consumer.keys),
                (&mut index.basic, &consumer.basic),
            ] {
                for credential in list.iter().filter(|one| one.password.is_none()) {
                    let owner = Owner::of(number, credential);
                    if map.insert(credential.sha256, owner).is_some() {
                        return None;
                    }
                }
            }
            for one in &consumer.certificates {
                let owner = Owner {
                    consumer: number,
                    not_after: one.not_after,
                };
                let name = one.name.as_str().into();
                if index.certificates.insert(name, owner).is_some() {
                    return None;
                }
            }
            for one in &consumer.tokens {
                let owner = Owner {
                    consumer: number,
                    not_after: one.not_after,
                };
                let holders = index.holders.entry(one.issuer.as_str().into());
                let holders = holders.or_default();
                let (map, name) = match &one.name {
                    ir::HolderName::Subject(name) => (&mut holders.subjects, name),
                    ir::HolderName::Client(name) => (&mut holders.clients, name),
                };
                if map.insert(name.as_str().into(), owner).is_some() {
                    return None;
                }
            }
            for credential in &consumer.basic {
                if let Some(password) = &credential.password {
                    let owner = Owner::of(number, credential);
                    index.passwords.add(password, owner)?;
                }
            }
        }
        Some(index)
    }
}

impl Passwords {
    /// Adds a password. `None` if another consumer owns this user name, or if the user already has
    /// this password.
    fn add(&mut self, password: &ir::Password, owner: Owner) -> Option<()> {
        // gwc writes only valid hashes. Ignore an invalid hash, so that no password matches it.
        let Some(hash) = Hash::read(&password.argon2id) else {
            return Some(());
        };
        let known = self.users.entry(password.user.as_str().into()).or_default();
        let sha256 = password.sha256();
        let is_taken =
            |one: &Password| one.owner.consumer != owner.consumer || one.sha256 == sha256;
        if known.iter().any(is_taken) {
            return None;
        }
        if known.len() == self.decoys.len() {
            self.decoys.push(hash.clone());
        }
        known.push(Password {
            hash,
            sha256,
            owner,
        });
        Some(())
    }
}

impl Owner {
    fn of(consumer: u32, credential: &ir::Credential) -> Self {
        Self {
            consumer,
            not_after: credential.not_after,
        }
    }
}
