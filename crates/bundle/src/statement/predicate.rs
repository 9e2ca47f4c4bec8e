//! Predicates of the four kinds of statements: build, release record, revocation list, approval.
//!
//! Sets in predicates are sorted and without duplicates, so that a payload has exactly one
//! encoding. release.md §2.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::keys::KeyId;
use crate::moment::Moment;
use crate::name::{ChannelName, ProjectName};

/// All nodes or all requests, in parts per million.
pub(crate) const ALL_PPM: u32 = 1_000_000;

/// Role in which a key signs. Each role has one predicate type. A signature in one role never
/// counts in another, even by the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// States the origin of a bundle: [`Build`].
    Build,
    /// States the bundle that a channel should run: [`Record`].
    Release,
    /// States the bundles, credentials and keys that must never be accepted: [`Revoke`].
    Revoke,
    /// Approves one change of a channel: [`Approve`].
    Approve,
}

/// A typed predicate.
pub trait Predicate: Serialize + DeserializeOwned {
    /// `predicateType` of the statement.
    const TYPE: &'static str;
    /// Role in which the statement must be signed.
    const ROLE: Role;
}

/// Provenance of a bundle: the sources and the compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Compiler with its version.
    pub builder: Builder,
    /// Format version of the bundle.
    pub format: u32,
    /// Commit of the sources. `None`: the sources are not in Git.
    pub git: Option<Git>,
    /// Environment for which the bundle was compiled. `None`: no environment.
    pub environment: Option<String>,
    /// Project of the bundle.
    pub project: ProjectName,
    /// Digest of the source artifact's manifest. `None`: no source artifact was published.
    pub source: Option<Digest>,
}

/// Compiler that built the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    /// Version of gwc.
    pub gwc: String,
    /// Commit from which gwc was built. `None`: unknown.
    pub commit: Option<String>,
}

/// State of the sources in Git.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// Id of the commit.
    pub commit: String,
    /// Id of the tree.
    pub tree: String,
    /// True if the working tree differed from the commit.
    pub dirty: bool,
}

/// Release record: the bundle that a channel should run from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Project of the channel.
    pub project: ProjectName,
    /// Name of the channel.
    pub channel: ChannelName,
    /// Serial, which increases with each record. The first is 1.
    pub serial: u64,
    /// Digest of the record before this one. `None` for the first.
    pub previous: Option<Digest>,
    /// Digests of the records of a fork that this record ends.
    pub merges: BTreeSet<Digest>,
    /// Kind of the record: release, rollback or pin.
    pub kind: RecordKind,
    /// Name of the person or program that released the bundle, as the signing program reported it.
    pub actor: String,
    /// Reason for the release, for people.
    pub reason: String,
    /// Signing time of the record.
    pub created: Moment,
    /// Reason for which the record was signed in a freeze window of the project. `None`: there was
    /// no such window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_freeze: Option<String>,
    /// Time from which gwd refuses the record, unless gwd accepted it before. `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    /// Digest of the approved plan. `None`: no plan.
    pub plan: Option<Digest>,
    /// Digest of the source artifact's manifest. `None`: no source artifact.
    pub source: Option<Digest>,
    /// Digests of the statements on which this record relies.
    pub evidence: BTreeSet<Digest>,
    /// Newest revocation list at the time of signing. `None` before the first.
    pub revocations: Option<Pointer>,
    /// Step of a progressive release. `None`: the record is complete, and all gateways run its
    /// bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Bundles to remove from the memory and disk of gateways.
    pub withdraw: BTreeSet<Digest>,
    /// Handling of open tunnels whose authorisation the bundle changes. Default: `Keep`. Reserved:
    /// gwc does not write this field, and gwd does not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
}

/// Step of a progressive release, in a record. A record without it is complete: all nodes run its
/// bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Newest complete record of the channel. Nodes outside of the share run its bundle.
    pub base: Pointer,
    /// Conditions under which a node of the share returns to the base by itself. `None`: no node
    /// returns by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Number of the current step, from 1.
    pub step: u32,
    /// Steps with increasing shares. The last step, all nodes and requests, is not listed.
    pub steps: Vec<Step>,
    /// Property of a request that decides which version serves it in a step with a share of the
    /// requests. `None`: the client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Field by which a request selects its version itself. `None`: no request can select its
    /// version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub testers: Option<Testers>,
}

/// Step of a progressive release. Contains the share of the nodes that run the record's bundle, and
/// the share of their requests that the bundle serves. In a shadow step, the bundle serves no
/// request: it only decides a share of them too. All shares are in parts per million.
///
/// A step without a share of the requests is written as the number of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenStep", into = "WrittenStep")]
pub struct Step {
    /// Share of the nodes.
    pub nodes_ppm: u32,
    /// Share of the requests of these nodes. 0 in a shadow step.
    pub traffic_ppm: u32,
    /// Share of the requests of these nodes that both versions decide. 0: not a shadow step.
    pub shadow_ppm: u32,
}

/// Serialized form of [`Step`].
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenStep {
    Nodes(u32),
    Traffic(WrittenTraffic),
    Shadow(WrittenShadow),
}

/// Serialized form of a [`Step`] with a share of the requests.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTraffic {
    /// Share of the nodes that run the bundle. `None`: all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes: Option<u32>,
    traffic: u32,
}

/// Serialized form of a shadow [`Step`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenShadow {
    /// Share of the nodes that compare the decisions. `None`: all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes: Option<u32>,
    shadow: u32,
}

/// Property of a request that decides which of two versions serves it. A request without the
/// property, or with several values of it, is decided by the client's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sticky {
    /// Value of the request field with this name, in lower case.
    Header(String),
    /// Value of the cookie with this name.
    Cookie(String),
}

/// Field by which a request selects the version that serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Testers {
    /// Name of the field, in lower case.
    pub header: String,
}

/// Conditions under which a node of the share returns to the base by itself. The node compares its
/// requests after the switch with those before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Allowed increase of the share of errors of the gateway or an upstream, in parts per million
    /// of the requests. `None`: errors are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_ppm: Option<u32>,
    /// Time after an activation in which the node compares the new bundle with the previous one, in
    /// milliseconds.
    pub for_ms: u64,
    /// Allowed increase of the 99th percentile of the durations, in parts per million of the
    /// percentile. `None`: durations are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ppm: Option<u32>,
    /// Allowed increase of the share of requests that the gateway refuses by itself, in parts per
    /// million of the requests. `None`: refusals are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusals_ppm: Option<u32>,
    /// Minimum number of requests before the switch, and after it.
    pub requests: u64,
    /// Service that judges the release. `None`: no service does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// Service that judges a release. A node of the share sends it requests at an interval, in the form
/// of Flagger's webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Reference of the secret with the value of `Authorization`. `None`: requests have no
    /// `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// Number of failing responses in succession at which the node returns to the base.
    pub failures: u32,
    /// Time between two requests, in milliseconds.
    pub interval_ms: u64,
    /// Effect of a request without a response.
    pub on_outage: OnOutage,
    /// Maximum time until the response, in milliseconds.
    pub timeout_ms: u64,
    /// URL of the service: `https`, or `http` on the node's own machine.
    pub url: String,
}

/// Effect of a request to a webhook that gets no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnOutage {
    /// The request does not count.
    Ignore,
    /// The request counts like a failing response.
    Fail,
}

/// Kind of a record: the relation of its bundle to the bundle of the previous record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// The bundle is new.
    Release,
    /// The bundle is that of an earlier record.
    Rollback,
    /// The bundle is the same. Only other fields change, for example to a later `expires` or a
    /// newer revocation list.
    Pin,
}

/// Handling of open tunnels whose authorisation a new bundle changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Streams {
    /// All tunnels stay open.
    Keep,
    /// Tunnels that are no longer authorised are closed.
    Close,
}

/// Position of a statement in a chain: its serial and the digest of its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// Digest of the statement's manifest.
    pub digest: Digest,
    /// Serial in the chain.
    pub serial: u64,
}

/// Revocation list: all revoked bundles, credentials and keys of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Project of the list.
    pub project: ProjectName,
    /// Serial, which increases with each list. The first is 1.
    pub serial: u64,
    /// Digest of the list before this one. `None` for the first.
    pub previous: Option<Digest>,
    /// Signing time of the list.
    pub created: Moment,
    /// Bundles that must never run, not even by rollback.
    pub bundles: BTreeSet<Digest>,
    /// SHA-256 of credentials that are never admitted, with any bundle.
    pub credentials: BTreeSet<Digest>,
    /// Revoked keys. Their signatures are refused.
    pub keys: BTreeSet<KeyId>,
}

/// Approval of one change of a channel. gwd requires approvals in channels with `approvals` in the
/// trust file (`crate::approval`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// Project of the channel.
    pub project: ProjectName,
    /// Name of the channel.
    pub channel: ChannelName,
    /// Newest record of the channel when the plan was made. `None` for a channel without records.
    pub base: Option<Base>,
    /// Digest of the plan.
    pub plan: Digest,
    /// Fingerprints of the changes that were approved individually.
    pub acked: BTreeSet<String>,
    /// Time until which the approval is valid.
    pub expires: Moment,
}

/// Record of the channel before an approved change. An approval is valid only for a change of this
/// record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Digest of the record's statement manifest.
    pub record: Digest,
    /// Serial of the record.
    pub serial: u64,
}

// === impl Step ===

impl From<WrittenStep> for Step {
    fn from(written: WrittenStep) -> Self {
        match written {
            WrittenStep::Nodes(nodes_ppm) => nodes_ppm.into(),
            WrittenStep::Traffic(WrittenTraffic { nodes, traffic }) => Self {
                nodes_ppm: nodes.unwrap_or(ALL_PPM),
                traffic_ppm: traffic,
                shadow_ppm: 0,
            },
            WrittenStep::Shadow(WrittenShadow { nodes, shadow }) => Self {
                nodes_ppm: nodes.unwrap_or(ALL_PPM),
                traffic_ppm: 0,
                shadow_ppm: shadow,
            },
        }
    }
}

impl From<Step> for WrittenStep {
    fn from(step: Step) -> Self {
        let nodes = (step.nodes_ppm != ALL_PPM).then_some(step.nodes_ppm);
        match (step.traffic_ppm, step.shadow_ppm) {
            (ALL_PPM, 0) => Self::Nodes(step.nodes_ppm),
            (traffic, 0) => Self::Traffic(WrittenTraffic { nodes, traffic }),
            (_, shadow) => Self::Shadow(WrittenShadow { nodes, shadow }),
        }
    }
}

impl From<u32> for Step {
    /// Step of a share of the nodes, which serve all their requests with the record's bundle.
    fn from(nodes_ppm: u32) -> Self {
        Self {
            nodes_ppm,
            traffic_ppm: ALL_PPM,
            shadow_ppm: 0,
        }
    }
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
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Build, Self::Release, Self::Revoke, Self::Approve];

    /// Name of the role in the trust file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Release => "release",
            Self::Revoke => "revoke",
            Self::Approve => "approve",
        }
    }

    /// Predicate type of the statements that must be signed in this role.
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
    /// Value of `kind` in the payload of a record.
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
    /// Subjects of the statement: the revoked bundles. Without revoked bundles, the previous list,
    /// or else the credentials, or else the keys.
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
