//! The four statements about a bundle: built, run this, revoked, approved.
//!
//! One struct each, with the roles they belong to. Sets are sorted and without repetition, because
//! a payload has one spelling only. release.md §2.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::keys::KeyId;
use crate::moment::Moment;
use crate::name::{ChannelName, ProjectName};

/// Kind of statement that a key may sign. Each role has one predicate type, and nothing signed in
/// one role counts in another, whatever keys the two share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Says where a bundle came from: [`Build`].
    Build,
    /// Says what a channel should run: [`Record`].
    Release,
    /// Says what must never run or be admitted: [`Revoke`].
    Revoke,
    /// Agrees to one transition: [`Approve`].
    Approve,
}

/// A typed predicate.
pub trait Predicate: Serialize + DeserializeOwned {
    /// The `predicateType`.
    const TYPE: &'static str;
    /// The role whose signatures count for it.
    const ROLE: Role;
}

/// The bundle was built by this program from these sources: the provenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Compiler with its version.
    pub builder: Builder,
    /// The bundle's format version.
    pub format: u32,
    /// Commit, if the sources are in Git.
    pub git: Option<Git>,
    /// The environment it was compiled for, if any.
    pub environment: Option<String>,
    /// Project of the bundle.
    pub project: ProjectName,
    /// The source artifact's manifest, if one was published.
    pub source: Option<Digest>,
}

/// The compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    /// Its version.
    pub gwc: String,
    /// The commit it was built from, if known.
    pub commit: Option<String>,
}

/// The state of the sources in Git.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// The commit's id.
    pub commit: String,
    /// The tree's id.
    pub tree: String,
    /// True if the working folder differed from the commit.
    pub dirty: bool,
}

/// This channel should run this bundle now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Project of the channel.
    pub project: ProjectName,
    /// Name of the channel.
    pub channel: ChannelName,
    /// Grows with each record; the first is 1.
    pub serial: u64,
    /// The record before this one; none for the first.
    pub previous: Option<Digest>,
    /// Records of a fork that this one ends.
    pub merges: BTreeSet<Digest>,
    /// Forward, back, or staying.
    pub kind: RecordKind,
    /// Name of the person or program that released, as the releasing program knew it.
    pub actor: String,
    /// Reason for the release, for people.
    pub reason: String,
    /// Signing time.
    pub created: Moment,
    /// Time from which a gwd that has not seen it before refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    /// The digest of the plan that was agreed to.
    pub plan: Option<Digest>,
    /// The source artifact's manifest.
    pub source: Option<Digest>,
    /// Every statement that this record relies on.
    pub evidence: BTreeSet<Digest>,
    /// The newest revocation list when this was signed; none before the first.
    pub revocations: Option<Pointer>,
    /// Bundles to be dropped from memory and disk.
    pub withdraw: BTreeSet<Digest>,
    /// Handling of open tunnels whose authorisation changed. Default: `Keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
}

/// Kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// A bundle that was not there before.
    Release,
    /// An earlier bundle again.
    Rollback,
    /// The same bundle, under new terms (a longer `expires`, a newer revocation list).
    Pin,
}

/// Handling of open tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Streams {
    /// All tunnels stay open.
    Keep,
    /// Those whose authorisation the change removed are closed.
    Close,
}

/// A link of a chain: the serial it stands under and its statement's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// The statement's manifest.
    pub digest: Digest,
    /// Its serial.
    pub serial: u64,
}

/// Bundles, credentials and keys that must never count: the whole list each time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Project of the list.
    pub project: ProjectName,
    /// Grows with each list; the first is 1.
    pub serial: u64,
    /// The list before this one; none for the first.
    pub previous: Option<Digest>,
    /// Signing time.
    pub created: Moment,
    /// Bundles that must never run, rollback included.
    pub bundles: BTreeSet<Digest>,
    /// The sha256 of credentials that must never be admitted, whichever bundle runs.
    pub credentials: BTreeSet<Digest>,
    /// Keys that no longer count.
    pub keys: BTreeSet<KeyId>,
}

/// Agreement to one transition. The format is reserved: it is read and verified, nothing needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// Project of the channel.
    pub project: ProjectName,
    /// Name of the channel.
    pub channel: ChannelName,
    /// The current record when the plan was made; none before the first record.
    pub base: Option<Base>,
    /// The digest of the plan.
    pub plan: Digest,
    /// Fingerprints of the changes that were agreed to one by one.
    pub acked: BTreeSet<String>,
    /// End of the agreement.
    pub expires: Moment,
}

/// Start of a transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The record's statement manifest.
    pub record: Digest,
    /// Its serial.
    pub serial: u64,
}

// === impl Predicate ===

impl Predicate for Build {
    const TYPE: &'static str = "urn:gwc:build:v1";
    const ROLE: Role = Role::Build;
}

impl Predicate for Record {
    const TYPE: &'static str = "urn:gwc:record:v1";
    const ROLE: Role = Role::Release;
}

impl Predicate for Revoke {
    const TYPE: &'static str = "urn:gwc:revoke:v1";
    const ROLE: Role = Role::Revoke;
}

impl Predicate for Approve {
    const TYPE: &'static str = "urn:gwc:approve:v1";
    const ROLE: Role = Role::Approve;
}

// === impl Role ===

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Build, Self::Release, Self::Revoke, Self::Approve];

    /// As in the trust file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Release => "release",
            Self::Revoke => "revoke",
            Self::Approve => "approve",
        }
    }

    /// The predicate type whose signatures this role covers.
    #[must_use]
    pub const fn predicate_type(self) -> &'static str {
        match self {
            Self::Build => Build::TYPE,
            Self::Release => Record::TYPE,
            Self::Revoke => Revoke::TYPE,
            Self::Approve => Approve::TYPE,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl RecordKind {
    /// As in the payload.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Rollback => "rollback",
            Self::Pin => "pin",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Revoke {
    /// Subject of the statement: the revoked bundles; without any, the list before; without that,
    /// the credentials or keys in it.
    #[must_use]
    pub fn subject(&self) -> Vec<Digest> {
        if !self.bundles.is_empty() {
            return self.bundles.iter().copied().collect();
        }
        if let Some(previous) = self.previous {
            return vec![previous];
        }
        if !self.credentials.is_empty() {
            return self.credentials.iter().copied().collect();
        }
        self.keys
            .iter()
            .map(|key| Digest::from_bytes(*key.as_bytes()))
            .collect()
    }
}
