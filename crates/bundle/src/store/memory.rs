//! Store in memory, for archives, dry runs and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::manifest::Manifest;
use crate::oci::ImageManifest;
use crate::refused::Refused;

use super::{Batch, Blobs, Chain, Store, WriteError};

/// Store in memory: blobs and links in two sorted maps.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Content>);

/// Contents of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Blobs of the store, by digest.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// Links of the store, by chain and serial.
    pub links: BTreeMap<(Chain, u64), Digest>,
}

impl Memory {
    /// Creates a store with this content. The digests of blobs are checked when they are read.
    #[must_use]
    pub const fn new(content: Content) -> Self {
        Self(Mutex::new(content))
    }

    /// Contents of the store.
    #[must_use]
    pub fn into_content(self) -> Content {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs for Memory {
    fn fetch(&self, digest: &Digest, _bytes_max: u64) -> Result<Option<Vec<u8>>, Refused> {
        Ok(self.content().blobs.get(digest).cloned())
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, Refused> {
        let content = self.content();
        Ok(content.blobs.get(digest).map(|bytes| bytes.len() as u64))
    }
}

impl Store for Memory {
    fn commit(&self, batch: &Batch<'_>) -> Result<(), WriteError> {
        let Batch { blobs, links } = batch;
        let mut content = self.content();
        for bytes in blobs {
            content.blobs.insert(Digest::of(bytes), bytes.to_vec());
        }
        for link in links {
            let key = (link.chain.clone(), link.serial);
            if content.links.contains_key(&key) {
                let serial = link.serial;
                return Err(WriteError::Conflict { serial });
            }
            content.links.insert(key, link.digest);
        }
        Ok(())
    }

    fn serials(&self, chain: &Chain) -> Result<Vec<u64>, Refused> {
        let content = self.content();
        let links = content.links.keys().filter(|(name, _)| name == chain);
        Ok(links.map(|(_, serial)| *serial).collect())
    }

    fn link(&self, chain: &Chain, serial: u64) -> Result<Option<Digest>, Refused> {
        Ok(self.content().links.get(&(chain.clone(), serial)).copied())
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Refused> {
        let content = self.content();
        let about = content.blobs.iter().filter(|(_, bytes)| {
            ImageManifest::decode("manifest", bytes)
                .is_ok_and(|manifest| manifest.subject.is_some_and(|s| s.digest == *subject))
        });
        Ok(about.map(|(digest, _)| *digest).collect())
    }

    fn channels(&self) -> Result<Vec<String>, Refused> {
        let content = self.content();
        let names = content.links.keys().filter_map(|(chain, _)| match chain {
            Chain::Channel(name) => Some(name.to_string()),
            Chain::Revocations => None,
        });
        let names: BTreeSet<String> = names.collect();
        Ok(names.into_iter().collect())
    }

    fn bundles(&self) -> Result<Vec<Digest>, Refused> {
        let content = self.content();
        let blobs = content.blobs.iter();
        let bundles = blobs.filter(|(_, bytes)| Manifest::decode(bytes).is_ok());
        Ok(bundles.map(|(digest, _)| *digest).collect())
    }
}
