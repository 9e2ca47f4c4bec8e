//! Trust file: the keys that a gateway's operator trusts, with roles, channels and validity.
//!
//! The trust file belongs to the operator. It is never read from a store, and no bundle or store
//! can change it. Every key must list its roles, channels and validity, so that an omission never
//! disables a check. The default threshold is one owner. release.md §4; the JSON Schema is
//! [`schema::text`].

mod channel;
pub mod schema;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::json::INTEGER_MAX;
use crate::keys::{KeyId, PublicKey};
use crate::moment::Moment;
use crate::name::{ChannelName, ProjectName};
use crate::refused::Refused;
use crate::statement::envelope::{Envelope, Signature};
use crate::statement::predicate::Role;

use channel::ChannelSettings;
pub use channel::{APPROVALS_MAX, ApprovalRule, Floors};

/// Maximum number of keys in a trust file. An envelope has up to 32 signatures, each of which is
/// checked against all keys in the worst case.
pub const KEYS_MAX: usize = 64;

/// A validated trust file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trust {
    project: ProjectName,
    channels: BTreeMap<ChannelName, ChannelSettings>,
    keys: Vec<TrustedKey>,
    thresholds: Thresholds,
    #[serde(skip)]
    checks: Checks,
}

/// A key that the operator trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// SHA-256 of `spki`.
    pub id: KeyId,
    /// Person or machine that holds the key. Thresholds count owners.
    pub owner: String,
    /// Public key that verifies the signatures.
    pub spki: PublicKey,
    /// Roles in which signatures of the key count.
    pub roles: BTreeSet<Role>,
    /// Channels for which signatures of the key count.
    pub channels: BTreeSet<Scope>,
    /// Time from which the key is valid.
    pub not_before: Moment,
    /// Time from which the key is no longer valid.
    pub not_after: Moment,
    /// State of the key: active, retired or revoked.
    pub state: KeyState,
}

/// Channels for which a key is trusted: one, or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All channels.
    All,
    /// Single channel.
    Channel(ChannelName),
}

/// State of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// The key is valid for new and old statements.
    Active,
    /// The key is valid only for statements that were signed during its validity and have already
    /// been accepted.
    Retired,
    /// The key is not valid for any statement, regardless of its date.
    Revoked,
}

/// Minimum number of different owners that must sign a statement, by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Minimum number of owners for build statements. The owners of all build statements in
    /// evidence count together.
    pub build: u32,
    /// Minimum number of owners for release records.
    pub release: u32,
    /// Minimum number of owners for revocation lists.
    pub revoke: u32,
    /// Minimum number of owners for approvals, in channels that need approvals (`approvals`). The
    /// owners of all approvals of a change count together. Has no effect in other channels.
    pub approve: u32,
}

/// Time at which the signing keys must be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A new statement, received at this time: keys must be active and valid at this time.
    First(Moment),
    /// A statement that was signed at this time and accepted before. Signatures of keys that were
    /// retired since are valid.
    Past(Moment),
    /// An accepted statement whose date is not decoded yet. The validity period of keys is not
    /// checked, but revoked keys are refused.
    Ever,
}

/// Owners and keys with accepted signatures on a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers {
    /// Owners of the keys.
    pub owners: BTreeSet<String>,
    /// Ids of the keys.
    pub keys: BTreeSet<KeyId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checks {
    Signatures,
    Nothing,
}

// === impl Trust ===

impl Trust {
    /// Parses a trust file: strict JSON, in which unknown and duplicate keys are refused.
    ///
    /// # Errors
    /// [`Refused::Malformed`] with the position and the reason if the text is not a valid trust
    /// file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            project: ProjectName,
            #[serde(deserialize_with = "unique")]
            channels: BTreeMap<ChannelName, ChannelSettings>,
            keys: Vec<TrustedKey>,
            #[serde(default)]
            thresholds: Thresholds,
            #[serde(default, rename = "$schema")]
            _schema: Option<String>,
        }
        let file: File =
            serde_json::from_slice(bytes).map_err(|error| wrong(&error.to_string()))?;
        Self {
            project: file.project,
            channels: file.channels,
            keys: file.keys,
            thresholds: file.thresholds,
            checks: Checks::Signatures,
        }
        .checked()
    }

    /// Creates a trust file without keys, which accepts no statement. [`Trust::add_key`] adds keys.
    #[must_use]
    pub const fn new(project: ProjectName) -> Self {
        Self {
            project,
            channels: BTreeMap::new(),
            keys: Vec::new(),
            thresholds: Thresholds::ONE,
            checks: Checks::Signatures,
        }
    }

    /// Creates a trust file that accepts all bundles of this project, even unsigned ones. Digests,
    /// formats, serials and chains are still checked. Only for `--insecure-allow-unsigned`. A
    /// program that uses this function must print a warning.
    #[must_use]
    pub fn insecure_allow_unsigned(project: ProjectName) -> Self {
        Self {
            checks: Checks::Nothing,
            ..Self::new(project)
        }
    }

    /// True if the trust file was created by [`Trust::insecure_allow_unsigned`].
    #[must_use]
    pub const fn is_insecure(&self) -> bool {
        matches!(self.checks, Checks::Nothing)
    }

    /// Encodes the trust file as indented JSON with a final line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("a trust file has a JSON form");
        text + "\n"
    }

    /// Project whose bundles are trusted.
    #[must_use]
    pub const fn project(&self) -> &ProjectName {
        &self.project
    }

    /// Keys of the trust file.
    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// Trusted key with this id. `None` if the trust file does not have the key.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<&TrustedKey> {
        self.keys.iter().find(|key| key.id == *id)
    }

    /// Minimum serials of a channel. Default: zero.
    #[must_use]
    pub fn floors(&self, channel: &ChannelName) -> Floors {
        let settings = self.channels.get(channel);
        settings.map_or_else(Floors::default, ChannelSettings::floors)
    }

    /// Approvals that a new bundle of a channel needs. `None`: a new bundle needs no approvals.
    #[must_use]
    pub fn approvals(&self, channel: &ChannelName) -> Option<ApprovalRule> {
        let settings = self.channels.get(channel)?;
        let is_set = settings.approvals > 0 && !self.is_insecure();
        is_set.then(|| ApprovalRule {
            owners: settings.approvals.max(self.thresholds.approve),
            after: settings.approvals_after,
        })
    }

    /// Newest record of a channel that an operator accepted with all records before it
    /// (`accepted_until`), although gateways without state refuse these records. Only gwc reads
    /// this setting. `None`: there is no such record.
    #[must_use]
    pub fn accepted_until(&self, channel: &ChannelName) -> Option<Digest> {
        self.channels.get(channel)?.accepted_until
    }

    /// Owners of keys that can approve changes of a channel at this time.
    #[must_use]
    pub fn approvers(&self, channel: &ChannelName, now: Moment) -> BTreeSet<&str> {
        let when = When::First(now);
        let keys = self.keys.iter();
        keys.filter(|key| key.counts(Role::Approve, Some(channel), when).is_ok())
            .map(|key| key.owner.as_str())
            .collect()
    }

    /// True if the trust file lists minimum serials for a channel, even if they are 0.
    #[must_use]
    pub fn has_floors(&self, channel: &ChannelName) -> bool {
        let settings = self.channels.get(channel);
        settings.is_some_and(ChannelSettings::has_floors)
    }

    /// Minimum number of owners that must sign in a role.
    #[must_use]
    pub const fn threshold(&self, role: Role) -> u32 {
        match role {
            Role::Build => self.thresholds.build,
            Role::Release => self.thresholds.release,
            Role::Revoke => self.thresholds.revoke,
            Role::Approve => self.thresholds.approve,
        }
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`Refused::Malformed`] if the trust file with the key is not valid (see [`Trust::parse`]).
    pub fn add_key(mut self, key: TrustedKey) -> Result<Self, Refused> {
        self.keys.push(key);
        self.checked()
    }

    /// Sets the minimum serials of a channel.
    ///
    /// # Errors
    /// [`Refused::Malformed`] for a serial of 2^53 or more.
    pub fn with_floors(mut self, channel: ChannelName, floors: Floors) -> Result<Self, Refused> {
        let settings = self.channels.entry(channel).or_default();
        settings.min_serial = Some(floors.min_serial);
        settings.min_revocations = Some(floors.min_revocations);
        self.checked()
    }

    /// Sets the number of owners that must approve each new bundle of a channel, and the newest
    /// record that needs no approvals. 0 owners: no approvals are needed.
    ///
    /// # Errors
    /// [`Refused::Malformed`] for more than [`APPROVALS_MAX`] owners, or for `after` with 0 owners.
    pub fn with_approvals(
        mut self,
        channel: ChannelName,
        owners: u32,
        after: Option<Digest>,
    ) -> Result<Self, Refused> {
        let settings = self.channels.entry(channel).or_default();
        settings.approvals = owners;
        settings.approvals_after = after;
        self.checked()
    }

    /// Sets [`Self::accepted_until`].
    ///
    /// # Errors
    /// [`Refused::Malformed`] if the trust file is not valid (see [`Trust::parse`]).
    pub fn with_accepted_until(
        mut self,
        channel: ChannelName,
        record: Digest,
    ) -> Result<Self, Refused> {
        let settings = self.channels.entry(channel).or_default();
        settings.accepted_until = Some(record);
        self.checked()
    }

    /// Sets the thresholds.
    ///
    /// # Errors
    /// [`Refused::Malformed`] for a threshold of zero.
    pub fn with_thresholds(mut self, thresholds: Thresholds) -> Result<Self, Refused> {
        self.thresholds = thresholds;
        self.checked()
    }

    /// Marks the trusted keys that are in a revocation list as revoked.
    #[must_use]
    pub fn with_revoked(mut self, revoked: &BTreeSet<KeyId>) -> Self {
        for key in &mut self.keys {
            if revoked.contains(&key.id) {
                key.state = KeyState::Revoked;
            }
        }
        self
    }

    /// Marks all keys as active, to read statements by keys that were revoked later.
    #[must_use]
    pub fn with_all_active(mut self) -> Self {
        for key in &mut self.keys {
            key.state = KeyState::Active;
        }
        self
    }

    /// Owners and keys with accepted signatures on this envelope, for the role, channel and time.
    /// Fails if there are fewer owners than the threshold. Does not decode the payload.
    ///
    /// # Errors
    /// [`Refused::Unsigned`] without signatures; [`Refused::BelowThreshold`] if too few owners
    /// signed. If no signature is accepted, the most specific reason: [`Refused::BadSignature`],
    /// [`Refused::UnknownKey`], [`Refused::WrongRole`], [`Refused::WrongChannel`],
    /// [`Refused::RevokedKey`], [`Refused::KeyExpired`] or [`Refused::KeyNotYetValid`].
    pub fn authorized_signers(
        &self,
        envelope: &Envelope,
        role: Role,
        channel: Option<&ChannelName>,
        when: When,
    ) -> Result<Signers, Refused> {
        let signers = self.signers(envelope, role, channel, when)?;
        self.enough(role, &signers)?;
        Ok(signers)
    }

    /// Like [`Trust::authorized_signers`], but without the threshold: one accepted signature is
    /// sufficient.
    ///
    /// # Errors
    /// As [`Trust::authorized_signers`], except [`Refused::BelowThreshold`].
    pub fn signers(
        &self,
        envelope: &Envelope,
        role: Role,
        channel: Option<&ChannelName>,
        when: When,
    ) -> Result<Signers, Refused> {
        if self.is_insecure() {
            return Ok(Signers::default());
        }
        let bytes = envelope.signed_bytes();
        let mut signers = Signers::default();
        let mut worst: Option<Refused> = None;
        for signature in envelope.signatures() {
            match self.signer(&bytes, signature) {
                Err(refused) => note(&mut worst, refused),
                Ok(key) => match key.counts(role, channel, when) {
                    Err(refused) => note(&mut worst, refused),
                    Ok(()) => {
                        signers.owners.insert(key.owner.clone());
                        signers.keys.insert(key.id);
                    }
                },
            }
        }
        if signers.keys.is_empty() {
            return Err(worst.unwrap_or(Refused::Unsigned));
        }
        Ok(signers)
    }

    /// Checks the number of owners against the threshold of a role.
    ///
    /// # Errors
    /// [`Refused::BelowThreshold`] if there are fewer owners than the threshold.
    pub fn enough(&self, role: Role, signers: &Signers) -> Result<(), Refused> {
        let owners = u32::try_from(signers.owners.len()).unwrap_or(u32::MAX);
        let needed = self.threshold(role);
        if owners >= needed || self.is_insecure() {
            return Ok(());
        }
        Err(Refused::BelowThreshold {
            role: role.as_str(),
            owners,
            needed,
        })
    }

    /// Trusted key that made a signature. Tries every key, because the signature's `keyid` is not
    /// trusted.
    fn signer(&self, bytes: &[u8], signature: &Signature) -> Result<&TrustedKey, Refused> {
        let hinted = self.key(&signature.keyid);
        let others = self.keys.iter().filter(|key| key.id != signature.keyid);
        let mut candidates = hinted.into_iter().chain(others);
        candidates
            .find(|key| key.spki.verifies(bytes, &signature.der))
            .ok_or(match hinted {
                Some(_) => Refused::BadSignature,
                None => Refused::UnknownKey,
            })
    }

    fn checked(self) -> Result<Self, Refused> {
        let Thresholds {
            build,
            release,
            revoke,
            approve,
        } = self.thresholds;
        if [build, release, revoke, approve].contains(&0) {
            return Err(wrong("a threshold must be at least 1"));
        }
        if self.keys.len() > KEYS_MAX {
            return Err(wrong("more than 64 keys"));
        }
        if let Some(fault) = self.channels.values().find_map(ChannelSettings::fault) {
            return Err(wrong(fault));
        }
        let mut floors = self.channels.values().map(ChannelSettings::floors);
        if floors.any(|floors| floors.min_serial.max(floors.min_revocations) > INTEGER_MAX) {
            return Err(wrong("a floor must be below 2^53"));
        }
        let mut ids = BTreeSet::new();
        for key in &self.keys {
            let id = key.id;
            if id != key.spki.id() {
                return Err(wrong(&format!(
                    "key `{id}`: the id is not the sha256 of spki"
                )));
            }
            if !ids.insert(id) {
                return Err(wrong(&format!("key `{id}` occurs twice")));
            }
            if key.owner.trim() != key.owner || key.owner.is_empty() {
                return Err(wrong(&format!(
                    "key `{id}`: the owner is empty, or begins or ends with \
                    a space"
                )));
            }
            if key.roles.is_empty() || key.channels.is_empty() {
                return Err(wrong(&format!("key `{id}` has no roles or no channels")));
            }
            if key.not_before >= key.not_after {
                return Err(wrong(&format!(
                    "key `{id}`: not_before must be before not_after"
                )));
            }
        }
        Ok(self)
    }
}

/// Keeps the more important of two reasons, and the first of two equally important ones. Readers
/// skip statements that revoked keys or keys of other channels signed, whatever other signatures
/// they have.
fn note(worst: &mut Option<Refused>, refused: Refused) {
    let importance = |refused: &Refused| match refused {
        Refused::UnknownKey => 0,
        Refused::RevokedKey => 3,
        Refused::WrongChannel { .. } => 2,
        _ => 1,
    };
    if worst
        .as_ref()
        .is_none_or(|known| importance(known) < importance(&refused))
    {
        *worst = Some(refused);
    }
}

fn wrong(why: &str) -> Refused {
    Refused::Malformed {
        what: "trust file",
        why: why.escape_default().to_string().into(),
    }
}

// === impl TrustedKey ===

impl TrustedKey {
    /// Checks if signatures of the key count in a role. `channel`: `None` accepts any channel.
    ///
    /// # Errors
    /// The reason why they do not count: state, role, channel or time.
    pub fn counts(
        &self,
        role: Role,
        channel: Option<&ChannelName>,
        when: When,
    ) -> Result<(), Refused> {
        if self.state == KeyState::Revoked {
            return Err(Refused::RevokedKey);
        }
        if !self.roles.contains(&role) {
            return Err(Refused::WrongRole {
                wanted: role.as_str(),
            });
        }
        if let Some(channel) = channel
            && !self.may_speak_for(channel)
        {
            return Err(Refused::WrongChannel {
                expected: channel.clone(),
            });
        }
        let (at, retired_counts) = match when {
            When::First(now) => (now, false),
            When::Past(then) => (then, true),
            When::Ever => return Ok(()),
        };
        if at < self.not_before {
            return Err(Refused::KeyNotYetValid);
        }
        let retired = self.state == KeyState::Retired && !retired_counts;
        if at >= self.not_after || retired {
            return Err(Refused::KeyExpired);
        }
        Ok(())
    }

    fn may_speak_for(&self, channel: &ChannelName) -> bool {
        self.channels.iter().any(|scope| match scope {
            Scope::All => true,
            Scope::Channel(name) => name == channel,
        })
    }
}

// === impl Thresholds ===

impl Thresholds {
    /// Thresholds that require one owner for each role.
    pub const ONE: Self = Self {
        build: 1,
        release: 1,
        revoke: 1,
        approve: 1,
    };
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::ONE
    }
}

// === impl Scope ===

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("*"),
            Self::Channel(name) => name.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        if text == "*" {
            return Ok(Self::All);
        }
        text.parse()
            .map(Self::Channel)
            .map_err(|_| serde::de::Error::custom("neither a channel name nor `*`"))
    }
}

/// Deserialises a map and refuses duplicate keys, for which serde's maps keep the last value.
fn unique<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<ChannelName, ChannelSettings>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = BTreeMap<ChannelName, ChannelSettings>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of channels")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut access: A,
        ) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, settings)) = access.next_entry()? {
                if map.insert(name, settings).is_some() {
                    return Err(serde::de::Error::custom("a channel occurs twice"));
                }
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Visitor)
}
