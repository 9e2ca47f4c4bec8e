//! Signatures of requests (`hmac_signature`): their refusals, their nonces, and the fields that the
//! gateway and the upstream must read in the same way.

use policy::auth::hmac_signature::{Content, Reason, Signed};
use policy::auth::{Checked, Place, Refused};
use policy::{Cx, Reject};

use super::caller::Caller;
use super::refusals::{REPLAY_UNCHECKED, SIGNATURE_INVALID, SIGNATURES_FULL};

/// Refusal for a signature that is not accepted, by its reason.
pub(super) fn refusal(reason: Reason) -> &'static Reject {
    match reason {
        Reason::Full => &SIGNATURES_FULL,
        Reason::StoreUnavailable => &REPLAY_UNCHECKED,
        _ => &SIGNATURE_INVALID,
    }
}

/// Records the reason why a signature is refused. Keeps the first reason, unless that reason only
/// means that the key belongs to another verifier.
pub(super) fn add(known: &mut Option<Reason>, reason: Reason) {
    if known.is_none_or(|known| known == Reason::Key) {
        *known = Some(reason);
    }
}

/// Returns the request content that all signatures permit. `None`: no signature restricts the
/// content. Fails if no content fits all signatures.
pub(super) fn content(caller: &Caller<'_>) -> Result<Option<Content>, Reason> {
    let mut content: Option<Content> = None;
    for signed in &caller.signed {
        content = match (content, signed.content) {
            (known, None) => known,
            (None, one) => one,
            (Some(Content::Empty), Some(Content::Empty)) => Some(Content::Empty),
            (Some(Content::Empty), Some(digests)) | (Some(digests), Some(Content::Empty)) => {
                if !digests.is(b"") {
                    return Err(Reason::Digest);
                }
                Some(Content::Empty)
            }
            // Two signatures of one format cover the same digest field, so the values must be
            // equal.
            (Some(known), Some(other)) => match known == other {
                true => Some(known),
                false => return Err(Reason::Digest),
            },
        };
    }
    Ok(content)
}

/// Stores the nonces of an admitted request. `is_shared`: true if a store has recorded them. Fails
/// if a nonce was used before.
pub(super) fn remember(caller: &Caller<'_>, is_shared: bool, cx: &Cx<'_>) -> Result<(), Reason> {
    for (index, signed) in caller.signed.iter().enumerate() {
        // Two verifiers may have checked the same signature: store its nonce only once.
        let mut before = caller.signed[..index].iter();
        if before.all(|other| other.used != signed.used) {
            remember_one(signed, (caller, is_shared), cx)?;
        }
    }
    Ok(())
}

/// Stores the nonce of a signature. Fails if the nonce was used before.
fn remember_one(
    signed: &Signed,
    (caller, is_shared): (&Caller<'_>, bool),
    cx: &Cx<'_>,
) -> Result<(), Reason> {
    let Some(used) = &signed.used else {
        return Ok(());
    };
    let token = caller.token.as_ref();
    let key = token.and_then(|token| token.key.as_deref());
    let nonces = &cx.limits.nonces;
    let owner = key.unwrap_or_default();
    let kept = nonces.remember_for(used.hash, (owner, is_shared), cx.unix_s, used.life);
    kept.map_err(|full| match full {
        Refused::Replayed => Reason::Replayed,
        Refused::Full => Reason::Full,
    })
}

/// Fields other than the credential that a signature covers or consists of. Their lookalikes must
/// not reach the upstream, which could use a lookalike instead of the real field.
#[must_use]
pub fn places(verifier: Option<&Checked>) -> Vec<Place> {
    let Some(Checked::HmacSignature(signed)) = verifier else {
        return Vec::new();
    };
    let covered = signed.components().iter();
    let covered = covered.filter_map(|one| one.split(';').next());
    let covered = covered.filter(|name| !name.starts_with('@'));
    let all = covered.chain(signed.style().fields().iter().copied());
    all.map(|name| Place::Header(name.to_owned())).collect()
}
