//! Copy of a channel in a folder. gwd serves from the copy while the registry is unreachable.
//!
//! A link is a numbered entry of a chain of records or of revocation lists. The copy has the links
//! of the channel and of the revocation lists, with their statements. It has the bundle of the
//! newest record, the bundle of its base during a progressive release, and the bundles that gwd
//! requests. Writing does not verify the contents: gwd verifies the copy like any store. Links that
//! the registry no longer has are removed.
//!
//! An interrupted copy continues with the missing blobs. Links are created after all other content,
//! newest first. A reader therefore never takes an older record for the newest one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bundle::channel;
use bundle::digest::Digest;
use bundle::moment::Moment;
use bundle::name::ChannelName;
use bundle::oci::{Descriptor, EMPTY_BLOB, MANIFEST_BYTES_MAX};
use bundle::refused::Refused;
use bundle::source;
use bundle::statement::predicate::RecordKind;
use bundle::statement::stored;
use bundle::store::folder::Folder;
use bundle::store::{self, Batch, Chain, Link, Store as _, WriteError};
use bundle::sweep;
use bundle::verify::Unverified;

use crate::store::{ChainState, Registry};
use crate::tags::Tag;

/// Minimum number of newest records in a copy.
const RECORDS: usize = 50;
/// Maximum number of records that are copied at once.
const RECORDS_MAX: usize = 20_000;
/// Maximum number of records between a rollback or pin and the release of its bundle.
const REPEATED_MAX: usize = 1_000;
/// Number of newest records whose bundles stay in the copy.
const BUNDLES: usize = 3;
/// Minimum age of content before the clean-up removes it from the copy: 1 hour.
const YOUNG_S: u64 = 3_600;
/// Size above which the copy is deleted and created again: 2 GiB. The clean-up keeps the copy far
/// smaller, unless the registry has statements that cannot be read.
const COPY_BYTES_MAX: u64 = 2 << 30;

/// Copy of a channel.
#[derive(Debug)]
pub struct Mirror {
    registry: Registry,
    root: PathBuf,
    channel: ChannelName,
    seen_channel: ChainState,
    seen_revocations: ChainState,
    /// False if the next update must compare all links.
    is_complete: bool,
    /// Records whose bundles were copied because gwd requested them.
    extra: BTreeSet<Digest>,
}

/// Extent of a comparison with the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Compares only the newest links.
    Heads,
    /// Compares all links, including links of writers that were interrupted.
    Links,
}

/// Chains of a registry that are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chains {
    /// Records of the channel, with the bundles.
    pub channel: bool,
    /// Lists of revocations.
    pub revocations: bool,
}

impl Chains {
    /// Chains of records and of revocation lists.
    pub const BOTH: Self = Self {
        channel: true,
        revocations: true,
    };
}

/// Behaviour for a chain that ends before the newest record or list that the reader has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Copy it, for a single registry. The reader then reports a replay.
    Copied,
    /// Leave the copy of this chain as it is, because a different registry may be ahead.
    Skipped,
}

/// Result of an update of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// True if the copy has changed.
    pub changed: bool,
    /// Chains that were skipped, because the registry is behind.
    pub skipped: Chains,
    /// Reason for `skipped`. `None`: no chain was skipped.
    pub why: Option<Refused>,
    /// True if the channel was skipped because it has no record, and the reader has accepted none.
    pub is_empty: bool,
}

/// Content that the reader of the copy needs.
#[derive(Clone, Debug, Default)]
pub struct ReaderNeeds {
    /// Highest serial that the reader has accepted. 0: none. Later records are copied, so that the
    /// reader can verify their chain.
    pub since: u64,
    /// Highest serial of a list of revocations that the reader has accepted. 0: none.
    pub revocations_since: u64,
    /// Records whose bundles are needed in addition to the newest record's bundle.
    pub records: BTreeSet<Digest>,
}

impl Mirror {
    /// Creates a copy of a channel in a folder, or continues an existing copy.
    #[must_use]
    pub fn new(registry: Registry, root: &Path, channel: ChannelName) -> Self {
        Self {
            registry,
            root: root.to_owned(),
            channel,
            seen_channel: ChainState::default(),
            seen_revocations: ChainState::default(),
            is_complete: false,
            extra: BTreeSet::new(),
        }
    }

    /// Makes the next update compare all links, because another writer may have changed the copy.
    pub fn compare_all(&mut self) {
        self.is_complete = false;
    }

    /// Updates the chains of the copy. `now`: time from which the age of removable content is
    /// computed.
    ///
    /// # Errors
    /// [`Refused::StoreUnreachable`] and other errors of reading the registry, and the errors of
    /// writing the folder. Also [`Refused::StoreUnreachable`] if all requests together take too
    /// long.
    pub fn update(
        &mut self,
        extent: Extent,
        chains: (Chains, Behind),
        wanted: &ReaderNeeds,
        now: Moment,
    ) -> Result<Updated, WriteError> {
        self.registry.begin_update();
        let updated = self.compare(extent, chains, wanted, now);
        self.registry.end_update();
        updated
    }

    fn compare(
        &mut self,
        extent: Extent,
        chains: (Chains, Behind),
        wanted: &ReaderNeeds,
        now: Moment,
    ) -> Result<Updated, WriteError> {
        let unchanged = Updated {
            changed: false,
            skipped: Chains {
                channel: false,
                revocations: false,
            },
            why: None,
            is_empty: false,
        };
        // After an error, the next update compares all links: the stored states of the chains may
        // be newer than the copy.
        let was_complete = std::mem::take(&mut self.is_complete);
        let channel = Chain::Channel(self.channel.clone());
        let moved = self.registry.changed(&channel, &mut self.seen_channel)?;
        let revoked = self
            .registry
            .changed(&Chain::Revocations, &mut self.seen_revocations)?;
        let needs_records = !wanted.records.is_subset(&self.extra);
        if was_complete && extent == Extent::Heads && !moved && !revoked && !needs_records {
            self.is_complete = true;
            return Ok(unchanged);
        }
        let copy = self.open()?;
        let copied = self.copy(&copy, chains, wanted);
        self.registry.forget();
        let updated = copied?;
        self.is_complete = chains.0 == Chains::BOTH && updated.why.is_none();
        self.extra.clone_from(&wanted.records);
        if updated.changed {
            self.clean_up(&copy, now)?;
        }
        Ok(updated)
    }

    /// Opens the folder of the copy. Deletes and creates it again if it is not a store or is too
    /// large.
    fn open(&self) -> Result<Folder, Refused> {
        let opened = Folder::create(&self.root);
        if let Ok(copy) = &opened
            && copy.bytes()? <= COPY_BYTES_MAX
        {
            return opened;
        }
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Refused::StoreUnreachable {
                    why: format!("`{}`: {error}", self.root.display()),
                })
            }
            _ => Folder::create(&self.root),
        }
    }

    fn copy(
        &self,
        copy: &Folder,
        (chains, behind): (Chains, Behind),
        wanted: &ReaderNeeds,
    ) -> Result<Updated, WriteError> {
        let channel = Chain::Channel(self.channel.clone());
        let tags = self.registry.tags()?;
        let serials = |chain: &Chain| -> BTreeSet<u64> {
            let links = tags.iter().filter_map(|tag| match tag {
                Tag::Link(of, serial) if of == chain => Some(*serial),
                _ => None,
            });
            links.collect()
        };
        let is_behind = |serials: &BTreeSet<u64>, accepted: u64| {
            behind == Behind::Skipped && serials.last().copied().unwrap_or(0) < accepted
        };
        let (lists, records) = (serials(&Chain::Revocations), serials(&channel));
        // A pull-through cache without its registry has an empty list of tags, which must count as
        // behind.
        let since = match behind {
            Behind::Skipped => wanted.since.max(1),
            Behind::Copied => wanted.since,
        };
        let skipped = Chains {
            channel: chains.channel && is_behind(&records, since),
            revocations: chains.revocations && is_behind(&lists, wanted.revocations_since),
        };
        let mut changed = false;
        // Copy revocations first, so that they take effect even if a bundle cannot be copied.
        if chains.revocations && !skipped.revocations {
            let missing = self.missing(copy, &Chain::Revocations, &lists)?;
            changed |= self.copy_links(copy, &Chain::Revocations, &lists, &missing)?;
        }
        if chains.channel && !skipped.channel {
            changed |= self.copy_channel(copy, &channel, &records, wanted)?;
        }
        let why = match (skipped.channel, skipped.revocations) {
            (true, _) => Some(("channel", &records, wanted.since)),
            (false, true) => Some(("lists of revocations", &lists, wanted.revocations_since)),
            (false, false) => None,
        };
        let why = why.map(|(name, serials, accepted)| Refused::StoreUnreachable {
            why: format!(
                "its {name} is behind: the newest serial is {}, this node has accepted {accepted}",
                serials.last().copied().unwrap_or(0),
            ),
        });
        Ok(Updated {
            changed,
            skipped,
            why,
            is_empty: skipped.channel && records.is_empty() && wanted.since == 0,
        })
    }

    /// Copies the records of a channel with these serials, and the bundles that the reader needs.
    fn copy_channel(
        &self,
        copy: &Folder,
        channel: &Chain,
        records: &BTreeSet<u64>,
        wanted: &ReaderNeeds,
    ) -> Result<bool, WriteError> {
        let newest = records.iter().rev().nth(RECORDS - 1).copied().unwrap_or(0);
        let from = newest.min(wanted.since.max(1));
        let shown: BTreeSet<u64> = records
            .range(from..)
            .rev()
            .take(RECORDS_MAX)
            .copied()
            .collect();
        let missing = self.missing(copy, channel, &shown)?;
        let mut changed = false;
        for (_, digest) in &missing {
            self.copy_record(copy, digest)?;
        }
        let head = match missing
            .first()
            .filter(|(serial, _)| shown.last() == Some(serial))
        {
            Some((_, digest)) => Some(*digest),
            None => match shown.last() {
                Some(serial) => copy.link(channel, *serial)?,
                None => None,
            },
        };
        let base = head.and_then(|head| channel::read(copy, &head).ok()?.record.rollout);
        let base = base.map(|rollout| rollout.base.digest);
        if let Some(record) = &base {
            self.copy_base(copy, record)?;
        }
        if let Some(head) = &head {
            self.copy_repeated(copy, head)?;
        }
        for record in head.iter().chain(&base).chain(&wanted.records) {
            changed |= self.copy_bundle(copy, record)?;
        }
        changed |= self.copy_links(copy, channel, records, &missing)?;
        Ok(changed)
    }

    /// Links of the registry that the copy lacks, newest first. The newest link is always compared,
    /// because the registry can move a tag.
    fn missing(
        &self,
        copy: &Folder,
        chain: &Chain,
        serials: &BTreeSet<u64>,
    ) -> Result<Vec<(u64, Digest)>, Refused> {
        let known: BTreeSet<u64> = copy.serials(chain)?.into_iter().collect();
        let mut missing = Vec::new();
        for serial in serials.iter().rev() {
            let is_newest = serials.last() == Some(serial);
            if known.contains(serial) && !is_newest {
                continue;
            }
            // Skip an older tag that the registry has removed meanwhile. The next list lacks it. If
            // the newest tag is missing, the registry counts as failed, so that the next registry
            // is queried.
            let link = match is_newest {
                true => Some(self.registry.listed_link(chain, *serial)?),
                false => self.registry.link(chain, *serial)?,
            };
            if let Some(digest) = link
                && !copy
                    .link(chain, *serial)
                    .is_ok_and(|there| there == Some(digest))
            {
                missing.push((*serial, digest));
            }
        }
        Ok(missing)
    }

    /// Creates the missing links with their statements, and removes links that the registry does
    /// not have.
    fn copy_links(
        &self,
        copy: &Folder,
        chain: &Chain,
        serials: &BTreeSet<u64>,
        missing: &[(u64, Digest)],
    ) -> Result<bool, WriteError> {
        let mut changed = false;
        for (serial, digest) in missing {
            self.copy_statement(copy, digest)?;
            copy.unlink(chain, *serial)?;
            let link = Link {
                chain: chain.clone(),
                serial: *serial,
                digest: *digest,
            };
            copy.commit(&Batch {
                blobs: Vec::new(),
                links: vec![link],
            })?;
            changed = true;
        }
        for serial in copy.serials(chain)? {
            if !serials.contains(&serial) {
                copy.unlink(chain, serial)?;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Copies a record and the statements that it uses as evidence.
    fn copy_record(&self, copy: &Folder, record: &Digest) -> Result<(), WriteError> {
        self.copy_statement(copy, record)?;
        // Skip the evidence of an unreadable record: the reader of the copy refuses the record.
        let Ok(read) = channel::read(copy, record) else {
            return Ok(());
        };
        for statement in &read.record.evidence {
            self.copy_statement(copy, statement)?;
        }
        Ok(())
    }

    /// Copies the base of the newest record, which can be older than the records that are copied.
    /// Ignores a base that the registry does not have: the reader of the copy reports it.
    fn copy_base(&self, copy: &Folder, record: &Digest) -> Result<(), WriteError> {
        self.copy_record(copy, record).or_else(ignore_refused)
    }

    /// Copies the records between the newest record, a rollback or pin, and the release of its
    /// bundle. They can be older than the records that are copied. The reader of the copy needs
    /// them to find the release that was approved.
    fn copy_repeated(&self, copy: &Folder, head: &Digest) -> Result<(), WriteError> {
        let Ok(newest) = channel::read(copy, head) else {
            return Ok(());
        };
        let mut read = newest.clone();
        for _ in 0..REPEATED_MAX {
            let is_release = read.record.kind == RecordKind::Release;
            if is_release && read.bundle == newest.bundle {
                break;
            }
            let Some(previous) = read.record.previous else {
                break;
            };
            self.copy_statement(copy, &previous)
                .or_else(ignore_refused)?;
            let Ok(earlier) = channel::read(copy, &previous) else {
                break;
            };
            read = earlier;
        }
        Ok(())
    }

    /// Copies the manifest of a statement and its envelope. Content that is not a statement is
    /// copied without its layers, and the reader of the copy refuses it.
    fn copy_statement(&self, copy: &Folder, digest: &Digest) -> Result<(), WriteError> {
        if stored::open(copy, digest).is_ok() {
            return Ok(());
        }
        let manifest = store::read(&self.registry, digest, MANIFEST_BYTES_MAX)?;
        if let Ok(layer) = stored::layer(&manifest) {
            self.copy_blob(copy, &layer)?;
        }
        copy.commit(&Batch::of([EMPTY_BLOB, &manifest]))
    }

    /// Copies the bundle of a record and its source artifact. Returns true if the copy lacked a
    /// part of the bundle.
    fn copy_bundle(&self, copy: &Folder, record: &Digest) -> Result<bool, WriteError> {
        let Ok(read) = channel::read(copy, record) else {
            return Ok(false);
        };
        let bundle = match Unverified::open(&self.registry, read.bundle) {
            // Ignore the error, because the reader of the copy reports it.
            Err(refused) if !matches!(refused, Refused::StoreUnreachable { .. }) => {
                return Ok(false);
            }
            result => result?,
        };
        let mut changed = false;
        let config = std::iter::once(bundle.config_blob());
        for layer in bundle.layers().runtime().chain(config) {
            changed |= self.copy_blob(copy, layer)?;
        }
        if store::read(copy, &read.bundle, MANIFEST_BYTES_MAX).is_err() {
            copy.commit(&Batch::of([bundle.manifest()]))?;
            changed = true;
        }
        if let Some(source) = read.record.source {
            let copied = self.copy_source(copy, &source);
            // Continue if the source is missing, because only explanations need it.
            if let Err(WriteError::Refused(refused @ Refused::StoreUnreachable { .. })) = copied {
                return Err(refused.into());
            }
        }
        Ok(changed)
    }

    fn copy_source(&self, copy: &Folder, digest: &Digest) -> Result<(), WriteError> {
        let manifest = store::read(&self.registry, digest, MANIFEST_BYTES_MAX)?;
        self.copy_blob(copy, &source::layer(&manifest)?)?;
        copy.commit(&Batch::of([EMPTY_BLOB, &manifest]))
    }

    /// Copies a blob unless the copy has an undamaged one. Returns true if the blob was copied.
    fn copy_blob(&self, copy: &Folder, descriptor: &Descriptor) -> Result<bool, WriteError> {
        if store::read_exact(copy, descriptor).is_ok() {
            return Ok(false);
        }
        let bytes = store::read_exact(&self.registry, descriptor)?;
        copy.commit(&Batch::of([&bytes[..]]))?;
        Ok(true)
    }

    /// Removes bundles of older records from the copy. A statement that cannot be read prevents the
    /// clean-up; the size of the copy is limited anyway.
    fn clean_up(&self, copy: &Folder, now: Moment) -> Result<(), Refused> {
        let young_since = Moment::from_unix_s(now.unix_s().saturating_sub(YOUNG_S));
        let _alone = copy.lock_exclusive()?;
        let found = sweep::retained(copy, BUNDLES).and_then(|mut kept| {
            for record in &self.extra {
                kept.extend(channel::read(copy, record).map(|read| read.bundle));
            }
            sweep::garbage(copy, &kept, young_since)
        });
        match found {
            Ok(garbage) => sweep::remove(copy, &garbage),
            Err(_) => Ok(()),
        }
    }
}

/// Ignores all errors except those of reaching the registry and of conflicts.
fn ignore_refused(error: WriteError) -> Result<(), WriteError> {
    match error {
        WriteError::Refused(Refused::StoreUnreachable { .. }) | WriteError::Conflict { .. } => {
            Err(error)
        }
        WriteError::Refused(_) => Ok(()),
    }
}
