//! Reasons why a bundle, statement, record or store is refused: one list for both programs.
//!
//! A reason is a stable kebab-case code, used in logs, metrics and status. A message is for people
//! and never contains unescaped text of the refused input.

use std::borrow::Cow;
use std::fmt;

use crate::digest::Digest;
use crate::malformed::Malformed;
use crate::moment::Moment;
use crate::name::{ChannelName, FeatureName, ProjectName};

/// Reason why a bundle, statement, record or store was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    // --- Reasons about bytes
    /// The artifact is of another kind than expected.
    NotABundle {
        /// Name of the expected artifact, for example `bundle`.
        what: &'static str,
    },
    /// The bundle needs a feature that this program lacks.
    Needs {
        /// The missing feature.
        feature: FeatureName,
    },
    /// A blob, file, list or number exceeds a limit of the format.
    TooLarge {
        /// Name of the thing that exceeds the limit, for example `blob`.
        what: &'static str,
        /// The limit, in bytes or items.
        limit: u64,
    },
    /// The bytes of a blob do not match its digest.
    BadDigest {
        /// Expected digest.
        expected: Digest,
    },
    /// The store does not have this blob.
    BlobMissing {
        /// Digest of the blob.
        digest: Digest,
    },
    /// The store lists the link with this serial, but does not have the link: someone may hide the
    /// record or the revocation list.
    LinkMissing {
        /// Serial of the link.
        serial: u64,
    },
    /// A file, payload or text is malformed. `why` contains no part of the malformed text.
    Malformed {
        /// Name of the malformed thing, for example `trust file`.
        what: &'static str,
        /// Reason why the thing is malformed.
        why: Cow<'static, str>,
    },
    /// A file or payload can be read, but is not in the canonical encoding.
    NotCanonical {
        /// Name of the file or payload.
        what: &'static str,
    },

    // --- Reasons about signatures
    /// No key with the named id made a valid signature of these bytes.
    BadSignature,
    /// The statement or record is unsigned, or signed only by keys that are not in the trust file.
    UnknownKey,
    /// The statement or record is signed by a key that is not trusted for the required role, or the
    /// statement has another role.
    WrongRole {
        /// Required role.
        wanted: &'static str,
    },
    /// The statement or record is signed by a revoked key.
    RevokedKey,
    /// The statement or record is signed by a key that is retired, or past its `not_after`.
    KeyExpired,
    /// The statement or record was signed before the key's `not_before`.
    KeyNotYetValid,
    /// Fewer owners signed than the trust file requires.
    BelowThreshold {
        /// Role of the statement.
        role: &'static str,
        /// Number of owners that signed.
        owners: u32,
        /// Number of owners that the trust file requires.
        needed: u32,
    },
    /// Fewer owners approved the change of the channel than the trust file requires.
    ApprovalsMissing {
        /// Number of owners whose approvals count for this change.
        owners: u32,
        /// Number of owners that the trust file requires.
        needed: u32,
    },
    /// The statement has no signatures, or the bundle has no build statement.
    Unsigned,
    /// The statement is about another manifest than expected.
    WrongSubject,
    /// The bundle, statement or record belongs to another project.
    WrongProject {
        /// Expected project.
        expected: ProjectName,
    },
    /// The record belongs to another channel, or the statement or record is signed by a key that is
    /// not trusted for this channel.
    WrongChannel {
        /// Expected channel.
        expected: ChannelName,
    },

    // --- Reasons about the channel
    /// The record's `expires` is in the past.
    Expired {
        /// Value of `expires`.
        at: Moment,
    },
    /// The record or revocation list is not newer than the accepted one.
    Replayed {
        /// Serial of the refused record or list.
        serial: u64,
        /// Serial of the accepted record or list.
        remembered: u64,
    },
    /// The serial in a record or revocation list differs from the serial in the name of its link.
    Mislinked {
        /// Serial in the record or list.
        serial: u64,
        /// Serial in the link.
        link: u64,
    },
    /// The store no longer has an acceptable record of the channel, although one was accepted
    /// before.
    RecordsGone {
        /// Serial of the newest record that was accepted.
        remembered: u64,
    },
    /// Another record has the same serial, or the chain does not contain the newest accepted
    /// record.
    Forked {
        /// Serial of the refused record or revocation list.
        serial: u64,
    },
    /// A record between the newest accepted record and the refused record cannot be read.
    ChainIncomplete {
        /// Digest of the missing record.
        missing: Digest,
    },
    /// The serial of the record or revocation list is below the minimum in the trust file.
    BelowFloor {
        /// Serial of the refused record or list.
        serial: u64,
        /// Minimum serial in the trust file.
        floor: u64,
    },
    /// The `created` time is more than five minutes ahead of the clock.
    FromTheFuture {
        /// Signing time in the statement.
        created: Moment,
    },
    /// The revocation list that the record names is signed by a revoked key.
    RevocationsUntrusted {
        /// Serial of the list.
        serial: u64,
    },
    /// The revocation list is older than the known list.
    RevocationsWithheld {
        /// Serial of the list named in the record.
        serial: u64,
        /// Serial of the known list.
        known: u64,
    },
    /// The step of a progressive release in the record is not valid.
    BadRollout {
        /// Reason why the step is not valid.
        why: &'static str,
    },
    /// The bundle is on the revocation list, so it must never run.
    Revoked {
        /// Id of the bundle.
        bundle: Digest,
    },
    /// The newest record withdrew the bundle (`withdraw`).
    Withdrawn {
        /// Id of the bundle.
        bundle: Digest,
    },

    /// The newest record of a channel, or the newest revocation list, cannot be used. Names its
    /// link. Has the reason code of `why`.
    AtLink {
        /// Channel of the record. `None`: a revocation list.
        channel: Option<ChannelName>,
        /// Serial of the link.
        serial: u64,
        /// Reason why the record or list cannot be used.
        why: Box<Self>,
    },

    // --- Reasons of activation (reported by `engine` and `gwd`)
    /// Two listeners have overlapping addresses.
    ListenerConflict {
        /// Names of the listeners, with special characters escaped.
        what: String,
    },
    /// Two routes match exactly the same requests.
    RouteConflict {
        /// Ids of the routes.
        what: String,
    },
    /// The value of a secret has a form that its use in the bundle does not allow.
    SecretUnusable {
        /// Reference of the secret, as written in the bundle.
        reference: String,
    },
    /// A certificate, its key, or a certificate authority cannot be used.
    CertificateUnusable {
        /// References of the secrets with the certificate, key or authority, as written in the
        /// bundle.
        what: String,
        /// Description of the fault.
        why: String,
    },
    /// A secret does not exist.
    SecretMissing {
        /// Reference of the secret, as written in the bundle.
        reference: String,
    },
    /// The secret reference is outside the locations that the operator allows.
    SecretNotAllowed {
        /// Reference of the secret, as written in the bundle.
        reference: String,
    },
    /// An address cannot be bound.
    PortBusy {
        /// Address as written in the bundle.
        address: String,
    },
    /// The state folder cannot be written.
    StateNotDurable {
        /// Description of the fault.
        why: String,
    },
    /// The store cannot be reached, read, written or locked, or lacks the records of a channel.
    StoreUnreachable {
        /// Description of the fault.
        why: String,
    },
}

/// Role of the person or system that must act after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Author or builder of the bundle.
    Bundle,
    /// Signer or publisher.
    Signer,
    /// Store, or the network to it.
    Store,
    /// Operator of this gateway: trust file, secrets, addresses, disk.
    Operator,
}

impl From<Malformed> for Refused {
    fn from(Malformed { what, why }: Malformed) -> Self {
        Self::Malformed { what, why }
    }
}

impl Refused {
    pub(crate) const fn malformed(what: &'static str, why: &'static str) -> Self {
        Self::Malformed {
            what,
            why: Cow::Borrowed(why),
        }
    }

    /// Stable reason code. Only `needs:X` has a parameter.
    #[must_use]
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Needs { feature } => format!("needs:{feature}").into(),
            Self::AtLink { why, .. } => why.reason(),
            _ => self.row().0.into(),
        }
    }

    /// Reason code without parameter, for metric labels.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.row().0
    }

    /// Role that must act after this refusal.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.row().1
    }

    /// True if a retry with the same bundle and trust file cannot succeed (release.md §6). Other
    /// refusals may end, for example when a missing blob arrives, and are retried with back-off.
    #[must_use]
    pub fn permanent(&self) -> bool {
        matches!(self.row().2, Retry::Never)
    }

    fn row(&self) -> (&'static str, Blame, Retry) {
        use Retry::{Later, Never};
        match self {
            Self::NotABundle { .. } => ("not-a-bundle", Blame::Bundle, Never),
            Self::Needs { .. } => ("needs", Blame::Operator, Never),
            Self::TooLarge { .. } => ("too-large", Blame::Bundle, Never),
            Self::BadDigest { .. } => ("bad-digest", Blame::Store, Later),
            Self::BlobMissing { .. } => ("blob-missing", Blame::Store, Later),
            Self::LinkMissing { .. } => ("link-missing", Blame::Store, Later),
            Self::Malformed { .. } => ("malformed", Blame::Bundle, Never),
            Self::NotCanonical { .. } => ("not-canonical", Blame::Bundle, Never),
            Self::BadSignature => ("bad-signature", Blame::Signer, Never),
            Self::UnknownKey => ("unknown-key", Blame::Signer, Never),
            Self::WrongRole { .. } => ("wrong-role", Blame::Signer, Never),
            Self::RevokedKey => ("revoked-key", Blame::Signer, Never),
            Self::KeyExpired => ("key-expired", Blame::Signer, Never),
            Self::KeyNotYetValid => ("key-not-yet-valid", Blame::Signer, Later),
            Self::BelowThreshold { .. } => ("below-threshold", Blame::Signer, Never),
            Self::ApprovalsMissing { .. } => ("approvals-missing", Blame::Signer, Never),
            Self::Unsigned => ("unsigned", Blame::Signer, Never),
            Self::WrongSubject => ("wrong-subject", Blame::Signer, Never),
            Self::WrongProject { .. } => ("wrong-project", Blame::Signer, Never),
            Self::WrongChannel { .. } => ("wrong-channel", Blame::Signer, Never),
            Self::Expired { .. } => ("expired", Blame::Signer, Never),
            Self::Replayed { .. } | Self::Mislinked { .. } | Self::RecordsGone { .. } => {
                ("replayed", Blame::Store, Never)
            }
            Self::Forked { .. } => ("forked", Blame::Signer, Never),
            Self::ChainIncomplete { .. } => ("chain-incomplete", Blame::Store, Later),
            Self::BelowFloor { .. } => ("below-floor", Blame::Signer, Never),
            Self::FromTheFuture { .. } => ("from-the-future", Blame::Signer, Later),
            Self::RevocationsUntrusted { .. } => ("revocations-untrusted", Blame::Signer, Never),
            Self::RevocationsWithheld { .. } => ("revocations-withheld", Blame::Store, Never),
            Self::BadRollout { .. } => ("bad-rollout", Blame::Signer, Never),
            Self::Revoked { .. } => ("revoked", Blame::Signer, Never),
            Self::Withdrawn { .. } => ("withdrawn", Blame::Signer, Never),
            Self::AtLink { why, .. } => why.row(),
            Self::ListenerConflict { .. } => ("listener-conflict", Blame::Bundle, Never),
            Self::RouteConflict { .. } => ("route-conflict", Blame::Bundle, Never),
            Self::SecretUnusable { .. } => ("secret-unusable", Blame::Operator, Later),
            Self::CertificateUnusable { .. } => ("certificate-unusable", Blame::Operator, Later),
            Self::SecretMissing { .. } => ("secret-missing", Blame::Operator, Later),
            Self::SecretNotAllowed { .. } => ("secret-not-allowed", Blame::Operator, Never),
            Self::PortBusy { .. } => ("port-busy", Blame::Operator, Later),
            Self::StateNotDurable { .. } => ("state-not-durable", Blame::Operator, Later),
            Self::StoreUnreachable { .. } => ("store-unreachable", Blame::Store, Later),
        }
    }
}

#[derive(Clone, Copy)]
enum Retry {
    Never,
    Later,
}

/// Message of [`Refused::AtLink`]: the record or list, its link in a folder and in a registry, and
/// the reason.
fn at_link(
    f: &mut fmt::Formatter<'_>,
    channel: Option<&ChannelName>,
    serial: u64,
    why: &Refused,
) -> fmt::Result {
    match channel {
        Some(channel) => write!(
            f,
            "record {serial} of channel {channel} cannot be used (link \
             `channels/{channel}/{serial:020}`, in a registry tag `ch-{channel}-{serial:020}`): \
             {why}"
        ),
        None => write!(
            f,
            "revocation list {serial} cannot be used (link `revocations/{serial:020}`, in a \
             registry tag `rev-{serial:020}`): {why}"
        ),
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABundle { what } => write!(f, "this is not a valid {what}"),
            Self::Needs { feature } => write!(
                f,
                "the bundle needs `{feature}`, which this program does not have"
            ),
            Self::TooLarge { what, limit } => write!(f, "{what} is over the limit of {limit}"),
            Self::BadDigest { expected } => write!(
                f,
                "the stored bytes of {expected} differ from the published bytes"
            ),
            Self::BlobMissing { digest } => write!(f, "the store has no blob {digest}"),
            Self::LinkMissing { serial } => write!(f, "serial {serial} is listed, but missing"),
            Self::Malformed { what, why } => write!(f, "{what} cannot be read: {why}"),
            Self::NotCanonical { what } => write!(f, "{what} is not in canonical form"),
            Self::BadSignature => f.write_str("the signature does not match the signed bytes"),
            Self::UnknownKey => f.write_str("no key of the trust file signed the statement"),
            Self::WrongRole { wanted } => write!(
                f,
                "the statement is not signed in the role `{wanted}` by a key trusted for it"
            ),
            Self::RevokedKey => f.write_str("the statement is signed by a key that was revoked"),
            Self::KeyExpired => f.write_str(
                "the statement is signed by a key that is retired or past its `not_after`; sign with \
                 another key of the trust file, or with a new one (`gwc keygen`)",
            ),
            Self::KeyNotYetValid => f.write_str("the statement was created before its key's `not_before`"),
            Self::BelowThreshold {
                role,
                owners,
                needed,
            } => write!(
                f,
                "only {owners} of the {needed} owners that role `{role}` needs have signed"
            ),
            Self::ApprovalsMissing { owners, needed } => write!(
                f,
                "{owners} of the {needed} owners that must approve this change have approved it"
            ),
            Self::Unsigned => f.write_str("a signature or the bundle's build statement is missing"),
            Self::WrongSubject => f.write_str("the statement has another subject"),
            Self::WrongProject { expected } => {
                write!(f, "the bundle or statement does not belong to project `{expected}`")
            }
            Self::WrongChannel { expected } => write!(
                f,
                "the statement is not for channel `{expected}`, or its key is not trusted for this channel"
            ),
            Self::Expired { at } => write!(f, "the record expired at {at}"),
            Self::Replayed { serial, remembered } => write!(
                f,
                "serial {serial} is not newer than the accepted serial {remembered}"
            ),
            Self::Mislinked { serial, link } => write!(
                f,
                "the link of serial {link} leads to the record of serial {serial}"
            ),
            Self::RecordsGone { remembered } => write!(
                f,
                "the store has no acceptable record, but serial {remembered} was accepted"
            ),
            Self::Forked { serial } => write!(
                f,
                "serial {serial} does not continue the accepted chain of records"
            ),
            Self::ChainIncomplete { missing } => {
                write!(f, "record {missing} of the chain cannot be read yet")
            }
            Self::BelowFloor { serial, floor } => write!(
                f,
                "serial {serial} is below the minimum {floor} in the trust file (`floors`)"
            ),
            Self::FromTheFuture { created } => write!(
                f,
                "the statement was created at {created}, more than five minutes ahead of the clock"
            ),
            Self::RevocationsUntrusted { serial } => write!(
                f,
                "the record names revocation list {serial}, which was signed by a revoked key; sign the \
                 list with another key (`gwc revoke`), then release"
            ),
            Self::RevocationsWithheld { serial, known } => write!(
                f,
                "the record names revocation list {serial}, which is older than the known list {known}"
            ),
            Self::BadRollout { why } => {
                write!(f, "the step of a progressive release is not valid: {why}")
            }
            Self::Revoked { bundle } => write!(f, "bundle {bundle} was revoked"),
            Self::Withdrawn { bundle } => write!(f, "bundle {bundle} was withdrawn"),
            Self::AtLink {
                channel,
                serial,
                why,
            } => at_link(f, channel.as_ref(), *serial, why),
            Self::ListenerConflict { what } => write!(
                f,
                "the listeners {what} have overlapping addresses; use different ports"
            ),
            Self::RouteConflict { what } => {
                write!(f, "the routes {what} match exactly the same requests")
            }
            Self::SecretUnusable { reference } => write!(
                f,
                "the value of secret `{reference}` has the wrong format: it must be {}",
                policy::Form::FieldValue.format_description()
            ),
            Self::CertificateUnusable { what, why } => write!(f, "{what}: {why}"),
            Self::SecretMissing { reference } => write!(f, "secret `{reference}` is missing"),
            Self::SecretNotAllowed { reference } => {
                write!(
                    f,
                    "secret `{reference}` is outside what this gwd may read: files must be in the folder of `--secret-dir`, and variable names must begin with `--secret-env-prefix`"
                )
            }
            Self::PortBusy { address } => write!(f, "cannot listen on {address}"),
            Self::StateNotDurable { why } => write!(f, "the state folder cannot be used: {why}"),
            Self::StoreUnreachable { why } => write!(f, "the store cannot be used: {why}"),
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that each message contains the right serials.
    #[test]
    fn replayed_serials_are_the_true_ones() {
        let table = [
            (
                Refused::Replayed {
                    serial: 1,
                    remembered: 2,
                },
                "serial 1 is not newer than the accepted serial 2",
            ),
            (
                Refused::Mislinked { serial: 1, link: 7 },
                "the link of serial 7 leads to the record of serial 1",
            ),
            (
                Refused::RecordsGone { remembered: 2 },
                "the store has no acceptable record, but serial 2 was accepted",
            ),
        ];
        for (refused, text) in table {
            assert_eq!(refused.reason(), "replayed");
            assert_eq!(refused.to_string(), text);
        }
    }

    #[test]
    fn reasons_are_kebab_case_with_blame_and_retry() {
        let digest = Digest::of(b"");
        let table = [
            (Refused::BadSignature, "bad-signature", Blame::Signer, true),
            (
                Refused::Needs {
                    feature: "grpc-web".parse().expect("a name"),
                },
                "needs:grpc-web",
                Blame::Operator,
                true,
            ),
            (
                Refused::BadDigest { expected: digest },
                "bad-digest",
                Blame::Store,
                false,
            ),
            (
                Refused::ChainIncomplete { missing: digest },
                "chain-incomplete",
                Blame::Store,
                false,
            ),
            (
                Refused::ListenerConflict { what: "x".into() },
                "listener-conflict",
                Blame::Bundle,
                true,
            ),
            (
                Refused::RouteConflict { what: "x".into() },
                "route-conflict",
                Blame::Bundle,
                true,
            ),
            (
                Refused::SecretUnusable {
                    reference: "x".into(),
                },
                "secret-unusable",
                Blame::Operator,
                false,
            ),
            (
                Refused::CertificateUnusable {
                    what: "x".into(),
                    why: "x".into(),
                },
                "certificate-unusable",
                Blame::Operator,
                false,
            ),
            (
                Refused::SecretMissing {
                    reference: "x".into(),
                },
                "secret-missing",
                Blame::Operator,
                false,
            ),
            (
                Refused::StoreUnreachable { why: "x".into() },
                "store-unreachable",
                Blame::Store,
                false,
            ),
        ];
        for (refused, reason, blame, permanent) in table {
            assert_eq!(refused.reason(), reason);
            assert_eq!(refused.blame(), blame, "{reason}");
            assert_eq!(refused.permanent(), permanent, "{reason}");
            let message = refused.to_string();
            assert!(
                !message.ends_with('.') && !message.contains('\n'),
                "{message}"
            );
        }
    }
}
