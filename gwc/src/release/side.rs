//! Reader of bundles in a store, with their sources, for comparisons.

use bundle::digest::Digest;
use bundle::history::{self, Entry};
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::source;
use bundle::statement::predicate::RecordKind;
use bundle::store::{Blobs, Store};
use bundle::trust::Trust;
use bundle::verify::Unverified;

use super::evidence;
use super::refusals::{Accepted, accepted};
use crate::assemble::disassemble;
use model::lower::Lowered;
use model::source_map::SourceMap;

/// Returns the newest record of a channel. `None` if the channel has no record yet.
///
/// # Errors
/// Returns an error if the newest record cannot be read or, with a trust file, verified.
pub fn head(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
) -> Result<Option<Entry>, Refused> {
    history::head(store, trust, channel)
}

/// Reads a bundle of a store for a comparison. `source`: digest of its source artifact. If the
/// artifact is missing or damaged, the result has no source locations and no descriptions.
///
/// # Errors
/// Returns an error if the bundle is missing, damaged, or in an unsupported format.
pub fn side(
    blobs: &dyn Blobs,
    bundle: Digest,
    source: Option<Digest>,
) -> Result<(Lowered, Option<SourceMap>), Refused> {
    let full = Unverified::open(blobs, bundle)?.load_full(blobs)?;
    let lowered = disassemble(&full)?;
    let map = source.and_then(|source| read_map(blobs, &source));
    Ok((lowered, map))
}

/// Reads the bundle of a channel's newest record as [`side`] does. A rollback changes the bundle
/// and not the rules. The release rules are therefore those of the newest record that is no
/// rollback and that gateways accept.
///
/// # Errors
/// Returns an error if the bundle is missing, damaged, or in an unsupported format. After a
/// rollback, also returns an error if an earlier record cannot be read or verified.
pub fn side_of_head(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    head: &Entry,
) -> Result<(Lowered, Option<SourceMap>), Refused> {
    let (lowered, map) = side(store, head.bundle, head.record.source)?;
    if head.record.kind != RecordKind::Rollback {
        return Ok((lowered, map));
    }
    let entries = evidence::entries(store, trust, channel)?;
    let mut applied = accepted(store, trust, channel, &entries, Accepted::Alone);
    let applied = applied.find(|entry| entry.record.kind != RecordKind::Rollback);
    let applied = applied.and_then(|entry| read_map(store, &entry.record.source?));
    let map = SourceMap {
        rules: applied.and_then(|applied| applied.rules),
        ..map.unwrap_or_default()
    };
    Ok((lowered, Some(map)))
}

fn read_map(blobs: &dyn Blobs, source: &Digest) -> Option<SourceMap> {
    SourceMap::decode(&source::read(blobs, source).ok()?)
}

/// Returns the source artifact of a bundle from the store's index, for a bundle without a record in
/// the channel. The artifact is not verified. `None` if there is no artifact.
///
/// # Errors
/// Returns an error if the store cannot be read.
pub fn source_of(store: &dyn Store, bundle: &Digest) -> Result<Option<Digest>, Refused> {
    let mut referrers = store.referrers(bundle)?;
    referrers.sort_unstable();
    Ok(referrers
        .into_iter()
        .find(|digest| source::read(store, digest).is_ok()))
}
