//! Evidence of a bundle's origin, and verification of bundles with the trust file.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::history::{self, Entry};
use bundle::lists;
use bundle::name::ChannelName;
use bundle::publish;
use bundle::refused::Refused;
use bundle::revocation::Revocations;
use bundle::store::Store;
use bundle::trust::{Trust, When};
use bundle::verify::{EVIDENCE_MAX, Unverified, VerificationCriteria, Verified};

use super::clock;

/// Store, trust file and channel for verifying bundles.
#[derive(Clone, Copy)]
pub struct BundleVerifier<'a> {
    /// Store that contains the statements.
    pub store: &'a dyn Store,
    /// Trust file with the operator's keys.
    pub trust: &'a Trust,
    /// Channel of the statements.
    pub channel: &'a ChannelName,
}

impl BundleVerifier<'_> {
    /// Reads the revocation lists in force in the channel.
    ///
    /// # Errors
    /// Returns [`Refused::AtLink`] if a list cannot be read or verified.
    pub fn revocations(&self) -> Result<Revocations, Refused> {
        lists::in_force(self.store, Some(self.trust), self.channel, clock::now())
    }

    /// Returns the trust file without the keys that the newest revocation list revokes.
    ///
    /// # Errors
    /// Returns the errors of [`BundleVerifier::revocations`].
    pub fn without_revoked_keys(&self) -> Result<Trust, Refused> {
        let revoked = self.revocations()?.keys();
        Ok(self.trust.clone().with_revoked(&revoked))
    }

    /// Verifies a bundle with its evidence (statements), as gwd does.
    ///
    /// # Errors
    /// Returns the reason if verification fails.
    pub fn bundle(
        &self,
        bundle: Digest,
        evidence: &BTreeSet<Digest>,
        when: When,
    ) -> Result<Verified, Refused> {
        let criteria = VerificationCriteria {
            trust: self.trust,
            channel: Some(self.channel),
            evidence,
            revocations: &self.revocations()?,
            when,
        };
        Unverified::open(self.store, bundle)?.verify(self.store, &criteria)
    }
}

/// Returns the evidence for a bundle, and the time at which its build keys must be valid. The
/// evidence consists of the statements in the channel's newest record of the bundle, and of the
/// build statements in the store's index. At most [`EVIDENCE_MAX`] statements.
///
/// # Errors
/// Returns an error if the store cannot be read.
pub fn known(
    store: &dyn Store,
    bundle: &Digest,
    entries: &[Entry],
) -> Result<(BTreeSet<Digest>, When), Refused> {
    let mut named = entries.iter().filter(|entry| entry.bundle == *bundle);
    let newest = named.next();
    let oldest = named.next_back().or(newest);
    let when = oldest.map_or(When::First(clock::now()), |entry| {
        When::Past(entry.record.created)
    });
    let mut evidence: BTreeSet<Digest> = newest
        .map(|entry| entry.record.evidence.clone())
        .unwrap_or_default();
    for digest in publish::build_statements(store, bundle)? {
        if evidence.len() < EVIDENCE_MAX {
            evidence.insert(digest);
        }
    }
    Ok((evidence, when))
}

/// Selects the valid build statements for a new record. A statement counts even if the signatures
/// of further owners are missing. All other statements are left out.
#[must_use]
pub fn counting(
    verifier: &BundleVerifier<'_>,
    bundle: Digest,
    known: &BTreeSet<Digest>,
    when: When,
) -> BTreeSet<Digest> {
    let alone = known.iter().filter(|digest| {
        match verifier.bundle(bundle, &BTreeSet::from([**digest]), when) {
            Ok(_) | Err(Refused::BelowThreshold { .. }) => true,
            Err(_) => false,
        }
    });
    alone.copied().collect()
}

/// True if a bundle is on the newest valid revocation list. False without a trust file.
///
/// # Errors
/// Returns the errors of [`BundleVerifier::revocations`].
pub fn is_revoked(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
    bundle: Digest,
) -> Result<bool, Refused> {
    let Some(trust) = trust else {
        return Ok(false);
    };
    let verifier = BundleVerifier {
        store,
        trust,
        channel,
    };
    Ok(verifier.revocations()?.has_bundle(&bundle))
}

/// Returns every readable record of a channel, newest first. Empty if the channel has no record.
///
/// # Errors
/// Returns an error if the newest record cannot be read or verified.
pub fn entries(
    store: &dyn Store,
    trust: Option<&Trust>,
    channel: &ChannelName,
) -> Result<Vec<Entry>, Refused> {
    Ok(history::walk(store, trust, channel, usize::MAX)?.entries)
}
