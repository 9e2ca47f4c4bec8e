//! Report on the signatures of one statement. The report contains the files and shell commands that
//! an operator needs to check each signature with `openssl` alone.
//!
//! `gwc verify` writes the files and prints the commands; a test runs the commands.

use crate::digest::Digest;
use crate::keys::KeyId;
use crate::name::ChannelName;
use crate::refused::Refused;
use crate::statement::envelope::{Envelope, PAYLOAD};
use crate::statement::predicate::Role;
use crate::statement::{claimed_role, stored};
use crate::store::Blobs;
use crate::trust::{Signers, Trust, When};

/// Report on the signatures of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Digest of the statement.
    pub digest: Digest,
    /// Role that the type of the statement requires of its signers. `None` for an unknown type.
    pub role: Option<Role>,
    /// Envelope of the statement.
    pub envelope: Envelope,
    /// Result of the check of each signature.
    pub signatures: Vec<SignatureReport>,
    /// Owners and keys with accepted signatures. Error: the reason why the signatures are not
    /// sufficient.
    pub signers: Result<Signers, Refused>,
}

/// Result of checking one signature: its key, the key's owner, and the check with openssl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureReport {
    /// Id of the signing key, as the signature states it.
    pub keyid: KeyId,
    /// Owner of the signing key. `None` if the trust file does not have the key.
    pub owner: Option<String>,
    /// True if the signing key made the signature. `None` if the trust file does not have the key.
    pub fits: Option<bool>,
    /// Files and command that check the signature. `None` if the trust file does not have the key.
    pub by_hand: Option<ByHand>,
}

/// Files to write into one folder, and the shell command that checks the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// Name and content of the payload, the public key and the signature.
    pub files: [(String, Vec<u8>); 3],
    /// Shell command that checks the signature. It prints `Verified OK` and exits with 0, or exits
    /// with 1 if the signature is invalid.
    pub line: String,
}

/// Reads a statement and checks its signatures for the role that its type requires.
///
/// # Errors
/// The statement cannot be read.
pub fn report(
    blobs: &dyn Blobs,
    trust: &Trust,
    channel: Option<&ChannelName>,
    digest: Digest,
    when: When,
) -> Result<Report, Refused> {
    let envelope = stored::open(blobs, &digest)?;
    let role = claimed_role(envelope.payload())?;
    let signers = match role {
        // The approvals of a change count together, so each approval needs the signature of one
        // owner only.
        Some(Role::Approve) => trust.signers(&envelope, Role::Approve, channel, when),
        Some(role) => trust.authorized_signers(&envelope, role, channel, when),
        None => Err(Refused::malformed("statement", "unknown statement type")),
    };
    let signed = envelope.signed_bytes();
    let signatures = envelope.signatures().iter().map(|signature| {
        let key = trust.key(&signature.keyid);
        SignatureReport {
            keyid: signature.keyid,
            owner: key.map(|key| key.owner.clone()),
            fits: key.map(|key| key.spki.verifies(&signed, &signature.der)),
            by_hand: key.map(|key| {
                let statement = digest.short();
                let keyid = &signature.keyid.to_string()[..12];
                by_hand([
                    (format!("{statement}.json"), envelope.payload().to_vec()),
                    (format!("{keyid}.pem"), key.spki.to_pem().into_bytes()),
                    (format!("{statement}-{keyid}.sig"), signature.der.clone()),
                ])
            }),
        }
    });
    Ok(Report {
        digest,
        role,
        signatures: signatures.collect(),
        signers,
        envelope,
    })
}

fn by_hand(files: [(String, Vec<u8>); 3]) -> ByHand {
    let [(payload, _), (key, _), (signature, _)] = &files;
    let line = format!(
        "(printf 'DSSEv1 {} {PAYLOAD} %d ' $(wc -c <{payload}); cat {payload}) \
         | openssl dgst -sha256 -verify {key} -signature {signature}",
        PAYLOAD.len()
    );
    ByHand { files, line }
}
