//! Check before a channel moves that a rollback will be possible: gateways must be able to activate
//! the running version again.
//!
//! The store must contain this version completely, signed as gateways require, and not revoked.
//! Each gateway of `--node` must have the version in memory (resident), with all secrets that it
//! needs. Switching between resident versions does no I/O and cannot fail (release.md §7).

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::name::ChannelName;
use bundle::refused::Refused;
use bundle::store::Store;
use bundle::trust::{Trust, When};
use bundle::verify::Unverified;
use serde_json::{Value, json};

use super::advice::Advice;
use super::movement;
use crate::release::evidence::BundleVerifier;
use crate::release::nodes::Nodes;
use model::exit::{Exit, Failure};

/// Result of the rollback check.
pub(super) enum RollbackCheck {
    /// The running bundle can be activated again: its id, and the number of gateways that confirmed
    /// this.
    Ready(Digest, usize),
    /// No check is needed: the channel has no bundle yet, or already has the new bundle.
    Nothing,
    /// The running bundle cannot be activated again: its id, and the reason.
    Broken(Digest, String),
}

impl RollbackCheck {
    /// Checks in the store and at the gateways if the bundle of the channel's newest record could
    /// be activated again after `new`.
    pub(super) fn rehearse(
        store: &dyn Store,
        trust: Option<&Trust>,
        channel: &ChannelName,
        head: Option<&Entry>,
        new: Digest,
        nodes: &Nodes,
    ) -> anyhow::Result<Self> {
        let Some(head) = head.filter(|head| head.bundle != new) else {
            return Ok(Self::Nothing);
        };
        let verifier = trust.map(|trust| BundleVerifier {
            store,
            trust,
            channel,
        });
        if let Err(refused) = whole(store, verifier, head) {
            return Ok(Self::Broken(head.bundle, refused.to_string()));
        }
        let wanted = head.bundle.to_string();
        let mut ready = 0;
        for (name, bundles) in nodes.bundles() {
            let bundles = bundles.map_err(|error| movement::unreachable(&name, &error))?;
            let known = bundles.all.iter().find(|known| known.bundle == wanted);
            let why = match known {
                None => Some("the gateway does not have this bundle".to_owned()),
                Some(known) if known.ready => None,
                Some(known) => Some(known.not_ready.clone().unwrap_or_default()),
            };
            if let Some(why) = why {
                let why = format!("the gateway {name} could not switch to it: {why}");
                return Ok(Self::Broken(head.bundle, why));
            }
            ready += 1;
        }
        Ok(Self::Ready(head.bundle, ready))
    }

    /// Returns an error if a rollback to the running version would be impossible.
    pub(super) fn require(&self, advice: &Advice) -> anyhow::Result<()> {
        match self {
            Self::Ready(..) => Ok(()),
            Self::Nothing | Self::Broken(..) => Err(Failure::new(
                Exit::ROLLOUT,
                "no-rollback",
                format!("--require-rollback: {}", self.line(advice)),
            )
            .into()),
        }
    }

    /// Describes the result in one line.
    pub(super) fn line(&self, advice: &Advice) -> String {
        match self {
            Self::Ready(bundle, ready) => {
                let readiness = match ready {
                    0 => String::new(),
                    1 => ", and the gateway is ready for it".to_owned(),
                    n => format!(", and all {n} gateways are ready for it"),
                };
                let command = advice.command(&["rollback"]);
                format!(
                    "rollback ready: {command}   (to {}{readiness})",
                    bundle.short()
                )
            }
            Self::Nothing => "rollback: there is no earlier version to go back to".to_owned(),
            Self::Broken(bundle, why) => format!(
                "rollback NOT ready: {} cannot run again: {why}",
                bundle.short()
            ),
        }
    }

    /// Returns the id of the bundle for a rollback as JSON. Null if a rollback is not possible.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Ready(bundle, _) => json!(bundle),
            Self::Nothing | Self::Broken(..) => Value::Null,
        }
    }
}

/// Checks that the store contains the bundle of a record completely, and that gateways would accept
/// it. An expired build key is not an error. Without `verifier` (no trust file), checks only that
/// all blobs exist.
fn whole(
    store: &dyn Store,
    verifier: Option<BundleVerifier<'_>>,
    head: &Entry,
) -> Result<(), Refused> {
    Unverified::open(store, head.bundle)?.load_full(store)?;
    match verifier {
        None => Ok(()),
        Some(verifier) => {
            let when = When::Past(head.record.created);
            let verified = verifier.bundle(head.bundle, &head.record.evidence, when);
            match verified {
                // A build key may have expired in the meantime. Gateways check its validity at the
                // time of the first record that names the bundle.
                Err(Refused::KeyExpired) | Ok(_) => Ok(()),
                Err(refused) => Err(refused),
            }
        }
    }
}
