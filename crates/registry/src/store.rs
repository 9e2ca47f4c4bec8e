//! Store of bundles and records in a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bundle::digest::Digest;
use bundle::manifest::BLOB_BYTES_MAX;
use bundle::oci::{ImageManifest, MANIFEST_BYTES_MAX};
use bundle::refused::Refused;
use bundle::store::{Batch, Blobs, Chain, Store, WriteError};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};

use crate::address::Address;
use crate::repository::{Kind, Repository, unreachable};
use crate::settings::Settings;
use crate::tags::{self, Tag};
use crate::wire;

/// Maximum size of the contents that are kept in memory: 64 MiB.
const CACHE_BYTES_MAX: usize = 64 << 20;
/// Maximum number of digests of blobs that are kept in memory.
const BLOBS_MAX: usize = 200_000;
/// Maximum time for all lists and links that a command reads: 10 minutes. Without this limit, a
/// registry that answers each request shortly before its deadline would delay the command without
/// end.
const LOOKUPS: Duration = Duration::from_secs(600);

/// Store in a registry. Calls block until the registry has answered.
pub struct Registry {
    pub(crate) runtime: Runtime,
    pub(crate) repository: Repository,
    known: Mutex<Known>,
    /// Deadline of the current update of a copy. `None`: no update is in progress.
    update_ends: Mutex<Option<Instant>>,
    /// Time that is left for lists and links of a command. `None`: they have no common limit.
    lookups_left: Mutex<Option<Duration>>,
}

/// Cache of contents from earlier responses of the registry.
#[derive(Default)]
struct Known {
    /// Contents whose digest was verified.
    contents: BTreeMap<Digest, Vec<u8>>,
    bytes: usize,
    /// Digests that a known manifest lists as config or layer.
    blobs: BTreeSet<Digest>,
}

impl Known {
    /// Adds content. Empties the cache first if it would exceed its limits.
    fn learn(&mut self, kind: Kind, digest: Digest, bytes: Vec<u8>) {
        if kind == Kind::Manifest
            && let Ok(manifest) = ImageManifest::decode("manifest", &bytes)
        {
            let layers = manifest.layers.iter().map(|layer| layer.digest);
            // Writers without a key choose the layers. The maximum length of a manifest limits
            // their number.
            if self.blobs.len() + layers.len() >= BLOBS_MAX {
                self.blobs.clear();
            }
            self.blobs.insert(manifest.config.digest);
            self.blobs.extend(layers);
        }
        if self.bytes + bytes.len() > CACHE_BYTES_MAX {
            self.contents.clear();
            self.bytes = 0;
        }
        if bytes.len() <= CACHE_BYTES_MAX {
            self.bytes += bytes.len();
            if let Some(replaced) = self.contents.insert(digest, bytes) {
                self.bytes -= replaced.len();
            }
        }
    }
}

/// State of a chain at the last poll: the ETag or digest of its head tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainState(Option<String>);

impl Registry {
    /// Opens a store. Sends no request.
    ///
    /// [`Refused::StoreUnreachable`] if the CA certificates are invalid or unreadable, or if the
    /// runtime cannot be created.
    pub fn open(address: Address, settings: &Settings) -> Result<Self, Refused> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Refused::StoreUnreachable {
                why: error.to_string(),
            })?;
        Ok(Self {
            runtime,
            repository: Repository::new(address, settings)?,
            known: Mutex::default(),
            update_ends: Mutex::default(),
            lookups_left: Mutex::default(),
        })
    }

    /// Limits the time in which a command waits for lists and links to 10 minutes in total. The time
    /// in which the command waits for people or gateways does not count.
    #[must_use]
    pub fn for_command(self) -> Self {
        *self.lookups_left() = Some(LOOKUPS);
        self
    }

    /// Begins an update of a copy: all requests until [`Self::end_update`] have a common deadline.
    /// Without it, a registry that answers each request shortly before the request's deadline would
    /// delay the update without end.
    pub(crate) fn begin_update(&self) {
        *self.update_ends() = Some(Instant::now() + self.repository.client.patience.update);
    }

    /// Ends the update of a copy. Later requests have only their own deadlines.
    pub(crate) fn end_update(&self) {
        *self.update_ends() = None;
    }

    /// Waits for requests, at most until the end of the current update.
    fn wait<T>(&self, requests: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
        let ends = *self.update_ends();
        let limit = self.repository.client.patience.update;
        match ends.map(|ends| ends.saturating_duration_since(Instant::now())) {
            None => self.runtime.block_on(requests),
            Some(left) => {
                let requests = self.within((left, limit), "an update of the copy", requests);
                self.runtime.block_on(requests)
            }
        }
    }

    /// Waits for the requests of a list or link.
    fn look_up<T>(&self, requests: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
        let left = *self.lookups_left();
        let Some(left) = left else {
            return self.wait(requests);
        };
        let begin = Instant::now();
        let name = "reading the lists and links of the store";
        let found = self.wait(self.within((left, LOOKUPS), name, requests));
        *self.lookups_left() = Some(left.saturating_sub(begin.elapsed()));
        found
    }

    /// Waits for requests for the time that is `left` of a limit.
    async fn within<T>(
        &self,
        (left, limit): (Duration, Duration),
        name: &str,
        requests: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Refused> {
        let late = || {
            let why = format!("{name} took more than {} s", limit.as_secs());
            Err(unreachable(self.address(), &why))
        };
        if left.is_zero() {
            return late();
        }
        let ended = timeout(left, requests).await;
        ended.unwrap_or_else(|_| late())
    }

    fn update_ends(&self) -> MutexGuard<'_, Option<Instant>> {
        self.update_ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lookups_left(&self) -> MutexGuard<'_, Option<Duration>> {
        self.lookups_left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Address of the store.
    #[must_use]
    pub const fn address(&self) -> &Address {
        self.repository.address()
    }

    /// True if the newest link of a chain has changed since the last call with this `seen`. Sends
    /// one short request.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the request fails.
    pub fn changed(&self, chain: &Chain, seen: &mut ChainState) -> Result<bool, Refused> {
        let tag = tags::head(chain)?;
        self.look_up(self.repository.changed(&tag, &mut seen.0))
    }

    /// Parses all tags of the repository. Leaves out tags that are not of gwc.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] if the tags cannot be read.
    pub fn tags(&self) -> Result<Vec<Tag>, Refused> {
        let limit = self.repository.client.patience.list;
        let listed = self.within((limit, limit), "the list of tags", self.repository.tags());
        let all = self.look_up(listed)?;
        Ok(all.iter().filter_map(|tag| tags::parse(tag)).collect())
    }

    /// Empties the cache of contents.
    pub fn forget(&self) {
        *self.known() = Known::default();
    }

    /// Returns the digest of the manifest with this tag. `None` if the tag does not exist.
    pub(crate) async fn tagged(&self, tag: &str) -> Result<Option<Digest>, Refused> {
        let bytes = self.repository.manifest(tag, MANIFEST_BYTES_MAX).await?;
        Ok(bytes.map(|bytes| {
            let digest = Digest::of(&bytes);
            self.learn(Kind::Manifest, digest, bytes);
            digest
        }))
    }

    /// Adds content whose digest was verified to the cache.
    pub(crate) fn learn(&self, kind: Kind, digest: Digest, bytes: Vec<u8>) {
        self.known().learn(kind, digest, bytes);
    }

    /// Cached content with this digest.
    pub(crate) fn remembered(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.known().contents.get(digest).cloned()
    }

    /// Kinds under which the content of a digest may be stored, the more likely kind first.
    fn kinds(&self, digest: &Digest) -> [Kind; 2] {
        match self.known().blobs.contains(digest) {
            true => [Kind::Blob, Kind::Manifest],
            false => [Kind::Manifest, Kind::Blob],
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn content(&self, digest: &Digest, max: u64) -> Result<Option<Vec<u8>>, Refused> {
        for kind in self.kinds(digest) {
            let max = match kind {
                Kind::Manifest => max.min(MANIFEST_BYTES_MAX),
                Kind::Blob => max.min(BLOB_BYTES_MAX),
            };
            if let Some(bytes) = self.repository.content(kind, digest, max).await? {
                if Digest::of(&bytes) == *digest {
                    self.learn(kind, *digest, bytes.clone());
                }
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Size of a content. The registry may answer 500 to a request for a manifest with the digest
    /// of a blob. An error for one kind (manifest or blob) therefore counts only if the content is
    /// not found as the other kind.
    async fn content_size(&self, digest: &Digest) -> Result<Option<u64>, Refused> {
        let mut failure = None;
        for kind in self.kinds(digest) {
            match self.repository.size(kind, digest).await {
                Ok(Some(size)) => return Ok(Some(size)),
                Ok(None) => {}
                Err(refused) => failure = failure.or(Some(refused)),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    async fn referrers_of(&self, subject: &Digest) -> Result<Vec<Digest>, Refused> {
        if let Some(listed) = self.repository.listed_referrers(subject).await? {
            return Ok(wire::digests(&listed));
        }
        let tag = tags::referrers(subject);
        let index = self.repository.tagged_index(&tag).await?;
        Ok(wire::digests(&index.unwrap_or_default()))
    }
}

impl Blobs for Registry {
    fn fetch(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, Refused> {
        if let Some(bytes) = self.remembered(digest) {
            return Ok(Some(bytes));
        }
        self.wait(self.content(digest, bytes_max))
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, Refused> {
        if let Some(bytes) = self.remembered(digest) {
            return Ok(Some(bytes.len() as u64));
        }
        self.wait(self.content_size(digest))
    }
}

impl Store for Registry {
    fn commit(&self, batch: &Batch<'_>) -> Result<(), WriteError> {
        self.runtime.block_on(self.write(batch))
    }

    fn serials(&self, chain: &Chain) -> Result<Vec<u64>, Refused> {
        tags::head(chain)?;
        let links = self.tags()?.into_iter().filter_map(|tag| match tag {
            Tag::Link(of, serial) if of == *chain => Some(serial),
            _ => None,
        });
        let serials: BTreeSet<u64> = links.collect();
        Ok(serials.into_iter().collect())
    }

    fn link(&self, chain: &Chain, serial: u64) -> Result<Option<Digest>, Refused> {
        let tag = tags::link(chain, serial)?;
        self.look_up(self.tagged(&tag))
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Refused> {
        self.look_up(self.referrers_of(subject))
    }

    fn channels(&self) -> Result<Vec<String>, Refused> {
        let names = self.tags()?.into_iter().filter_map(|tag| match tag {
            Tag::Link(Chain::Channel(name), _) => Some(name.to_string()),
            _ => None,
        });
        let names: BTreeSet<String> = names.collect();
        Ok(names.into_iter().collect())
    }

    fn bundles(&self) -> Result<Vec<Digest>, Refused> {
        let bundles = self.tags()?.into_iter().filter_map(|tag| match tag {
            Tag::Bundle(id) => Some(id),
            _ => None,
        });
        Ok(bundles.collect())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(self.address()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{SocketAddr, TcpListener};

    use bundle::oci::Descriptor;

    use super::*;

    /// Stand-in for a registry that answers each request at once with a small page of tags, and a
    /// link to the next one.
    fn endless_pages() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (number, stream) in (0u64..).zip(listener.incoming().map_while(Result::ok)) {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                if lines.any(|line| line.is_empty()) {
                    let body = format!("{{\"name\": \"r\", \"tags\": [\"ch-prod-{number:020}\"]}}");
                    let _gone = (&stream).write_all(
                        format!(
                            "HTTP/1.1 200 OK\r\nlink: </v2/r/tags/list>; rel=\"next\"\r\n\
                             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                            body.len()
                        )
                        .as_bytes(),
                    );
                }
            }
        });
        address
    }

    fn registry() -> Registry {
        let settings = Settings {
            plain_http: true,
            is_replaceable: true,
            ..Settings::default()
        };
        let address = format!("oci://{}/r", endless_pages()).parse().unwrap();
        Registry::open(address, &settings).unwrap()
    }

    fn why<T>(result: Result<T, Refused>) -> String {
        match result {
            Err(refused) => refused.to_string(),
            Ok(_) => panic!("the registry was not too slow"),
        }
    }

    #[test]
    fn known_blobs_have_a_maximum() {
        let mut known = Known::default();
        let descriptor = |text: String| Descriptor {
            media_type: "a/b".to_owned(),
            digest: Digest::of(text.as_bytes()),
            size: 1,
        };
        for manifest in 0..60 {
            let layers = (0..5_000).map(|layer| descriptor(format!("{manifest} {layer}")));
            let config = descriptor(format!("{manifest}"));
            let manifest = ImageManifest::new("a/b", config, layers.collect());
            let bytes = manifest.encode();
            let last = manifest.layers.last().map(|layer| layer.digest);
            known.learn(Kind::Manifest, Digest::of(&bytes), bytes);
            assert!(known.blobs.len() <= BLOBS_MAX);
            assert!(last.is_some_and(|digest| known.blobs.contains(&digest)));
        }
    }

    #[test]
    fn list_of_tags_has_a_deadline_for_all_pages() {
        let mut registry = registry();
        registry.repository.client.patience.list = Duration::from_millis(20);
        let why = why(registry.tags());
        assert!(why.contains("the list of tags took more than"), "{why}");
    }

    #[test]
    fn list_of_tags_has_a_maximum_of_pages() {
        let mut registry = registry();
        registry.repository.client.patience.list = Duration::from_secs(600);
        let why = why(registry.tags());
        assert!(why.contains("has more than 2000 pages"), "{why}");
    }

    #[test]
    fn lists_and_links_of_a_command_share_a_limit() {
        let registry = registry().for_command();
        let chain = Chain::Channel("prod".parse().unwrap());
        let _answer = registry.link(&chain, 1);
        let left = *registry.lookups_left();
        assert!(left.is_some_and(|left| left < LOOKUPS), "{left:?}");
        *registry.lookups_left() = Some(Duration::ZERO);
        for late in [why(registry.tags()), why(registry.link(&chain, 1))] {
            let expected = "reading the lists and links of the store took more than 600 s";
            assert!(late.contains(expected), "{late}");
        }
    }

    #[test]
    fn requests_of_an_update_share_a_deadline() {
        let mut registry = registry();
        registry.repository.client.patience.update = Duration::ZERO;
        registry.begin_update();
        let chain = Chain::Channel("prod".parse().unwrap());
        let late = why(registry.link(&chain, 1));
        assert!(
            late.contains("an update of the copy took more than"),
            "{late}"
        );
        let late = why(registry.tags());
        assert!(late.contains("an update of the copy"), "{late}");
        registry.end_update();
        let later = registry.link(&chain, 1);
        assert!(!format!("{later:?}").contains("an update"), "{later:?}");
    }
}
