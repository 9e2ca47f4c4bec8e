//! Cache of built parts, by the digest of their source.
//!
//! The routing table of an API depends only on the API's blob. Its treatments depend on the blob
//! and on the shared definitions named in the blob. A filter depends on its policy. After a change
//! to one API, only this API is built, and the versions in memory share the rest (release.md §1).
//! The cache has only weak references: a part is freed when no snapshot uses it.

use std::sync::{Arc, Weak};

use bundle::ir::{self, Gateway, Set, Shared};
use policy::auth::TokenVerifier;
use policy::{Documents, Filter};
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

use crate::api_part::ApiPart;
use crate::consumers::Consumers;
use crate::error::BuildError;
use crate::key::Key;
use crate::snapshot::Treatment;

/// Cache of the parts of all snapshots in memory. Each kind of part has its own table, so that a
/// digest never returns a part of another kind.
///
/// All builds with one `Parts` must resolve secrets from the same registry, because shared filters
/// contain cells of secrets.
#[derive(Debug, Default)]
pub struct Parts {
    apis: Cache<ApiPart>,
    consumers: Cache<Consumers>,
    pub(crate) treatments: Cache<[Treatment]>,
    pub(crate) filters: Cache<Filter>,
    pub(crate) tokens: Cache<TokenVerifier>,
    documents: Cache<[u8]>,
}

/// Gateway whose APIs are built separately: the input of [`crate::build()`].
#[derive(Clone, Debug)]
pub struct Assembly {
    /// Shared part of the gateway.
    pub shared: Shared,
    /// Consumers with the index of their credentials.
    pub consumers: Arc<Consumers>,
    /// APIs, in the order of [`Shared::apis`].
    pub apis: Vec<Arc<ApiPart>>,
    /// Documents that the gateway serves.
    pub documents: Documents,
}

#[derive(Debug)]
pub(crate) struct Cache<T: ?Sized>(FxHashMap<Key, Weak<T>>);

// === impl Parts ===

impl Parts {
    /// API part that was built from the blob with this SHA-256. `None` if no snapshot uses it.
    #[must_use]
    pub fn api(&self, digest: &[u8; 32]) -> Option<Arc<ApiPart>> {
        self.apis.get(digest)
    }

    /// Builds an API part. `digest` is the SHA-256 of the blob from which `api` was decoded.
    ///
    /// # Errors
    /// [`BuildError::RouteConflict`] if two operations of the API match the same requests;
    /// [`BuildError::BadIndex`] if an index in the blob does not exist.
    pub fn add_api(&mut self, digest: [u8; 32], api: ir::Api) -> Result<Arc<ApiPart>, BuildError> {
        let part = Arc::new(ApiPart::build(digest, api)?);
        self.apis.keep(digest, &part);
        Ok(part)
    }

    /// Consumers, with their index, that were stored under this key. `None` if no snapshot uses
    /// these consumers.
    #[must_use]
    pub fn consumers(&self, key: &[u8; 32]) -> Option<Arc<Consumers>> {
        self.consumers.get(key)
    }

    /// Indexes consumers. `key` is a SHA-256 of all bytes from which the consumers were decoded.
    ///
    /// # Errors
    /// [`BuildError::CredentialConflict`] if two consumers share a credential.
    pub fn add_consumers(
        &mut self,
        key: [u8; 32],
        consumers: &Set<ir::Consumer>,
    ) -> Result<Arc<Consumers>, BuildError> {
        let consumers = Arc::new(Consumers::index(consumers)?);
        self.consumers.keep(key, &consumers);
        Ok(consumers)
    }

    /// Content of the document with this SHA-256. `None` if no snapshot uses it.
    #[must_use]
    pub fn document(&self, digest: &[u8; 32]) -> Option<Arc<[u8]>> {
        self.documents.get(digest)
    }

    /// Adds the content of a document with this SHA-256.
    pub fn add_document(&mut self, digest: [u8; 32], content: Vec<u8>) -> Arc<[u8]> {
        let content = content.into();
        self.documents.keep(digest, &content);
        content
    }

    /// Assembles a gateway that was decoded as a whole. Does not verify the digests in its shared
    /// part. Documents are empty, because decisions do not depend on their content.
    ///
    /// # Errors
    /// [`BuildError::OtherApis`] if the shared part does not list an API. Otherwise the errors of
    /// [`Parts::add_api`] and [`Parts::add_consumers`].
    pub fn assemble(&mut self, gateway: &Gateway) -> Result<Assembly, BuildError> {
        let Gateway { shared, apis } = gateway;
        let mut parts = Vec::with_capacity(apis.len());
        for api in apis {
            let named = shared.apis.get(&api.name).ok_or(BuildError::OtherApis)?;
            parts.push(match self.api(&named.digest) {
                Some(part) => part,
                None => self.add_api(named.digest, api.clone())?,
            });
        }
        let key = Sha256::digest(bundle::codec::encode(&shared.consumers)).into();
        let consumers = match self.consumers(&key) {
            Some(consumers) => consumers,
            None => self.add_consumers(key, &shared.consumers)?,
        };
        Ok(Assembly {
            shared: shared.clone(),
            consumers,
            apis: parts,
            documents: empty_documents(gateway),
        })
    }

    /// Removes entries of parts that no snapshot uses, because a weak reference keeps the
    /// allocation of its part.
    pub fn prune(&mut self) {
        self.apis.prune();
        self.consumers.prune();
        self.treatments.prune();
        self.filters.prune();
        self.tokens.prune();
        self.documents.prune();
    }
}

/// Empty documents with the digests that the policies of a gateway name.
fn empty_documents(gateway: &Gateway) -> Documents {
    let of_apis = gateway.apis.iter().flat_map(|api| &api.policies);
    let policies = gateway.shared.policies.iter().chain(of_apis);
    let digests = policies.filter_map(|policy| match &policy.checked {
        policy::Checked::Respond(respond) => respond.document_digest(),
        _ => None,
    });
    digests.map(|digest| (*digest, Arc::from([]))).collect()
}

// === impl Cache ===

impl<T: ?Sized> Cache<T> {
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.0.get(key)?.upgrade()
    }

    pub(crate) fn keep(&mut self, key: Key, part: &Arc<T>) {
        self.0.insert(key, Arc::downgrade(part));
    }

    fn prune(&mut self) {
        self.0.retain(|_, part| part.strong_count() > 0);
    }
}

impl<T: ?Sized> Default for Cache<T> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}
