//! Holds set by operators: records that a hold blocks, and held bundles that cannot run yet
//! (release.md §6).

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::refused::Refused;
use serde_json::json;

use super::{Control, advice};
use crate::runtime::program_log::{ACTOR_GWD, Audit, Level, OK, event};

impl Control {
    /// True if a hold blocks the activation of this record. A hold has no effect if the held bundle
    /// is revoked or withdrawn. If the node left the candidate, and then the base that served
    /// requests beside it, the hold blocks both bundles.
    pub(super) fn is_blocked_by_hold(&self, accepted: &Accepted) -> bool {
        let hold = self.ran.hold.as_ref();
        hold.is_some_and(|hold| {
            let is_usable = self.banned(&hold.to).is_none();
            let bundle = accepted.bundle();
            let left_both = self.holds_candidate() && hold.to != bundle;
            is_usable && (hold.sticky || hold.from == bundle || left_both)
        })
    }

    /// Held bundle that must run now, because no bundle runs. `None` if there is no hold or a
    /// bundle runs.
    pub(super) fn awaited_hold(&self) -> Option<Digest> {
        let hold = self.ran.hold.as_ref()?;
        self.running.is_none().then_some(hold.to)
    }

    /// Runs the held bundle after a start. A temporary failure (a secret, a port) does not end the
    /// hold, because the operator's reason to leave the channel's bundle may still apply. A
    /// permanent failure ends the hold.
    pub(super) fn run_bundle_on_hold(&mut self) {
        let Some(bundle) = self.awaited_hold() else {
            return;
        };
        let now_ms = self.now_ms();
        if self.refusals.waits(&bundle, now_ms) {
            return;
        }
        let Err(refused) = self.run_kept(bundle) else {
            return event(
                Level::Info,
                "the held bundle runs",
                json!({"bundle": bundle.to_string()}),
            );
        };
        let stays = is_temporary(&refused);
        event(
            Level::Error,
            if stays {
                "the held bundle cannot run yet; the hold stays, and no other bundle is started"
            } else {
                "the held bundle cannot run; the channel's head is tried"
            },
            json!({
                "bundle": bundle.to_string(),
                "reason": refused.reason(),
                "error": refused.to_string(),
                "do": if stays { "gwd tries again; `gwd resume` ends the hold" } else { advice(&refused) },
            }),
        );
        self.count_activation("failed", &refused.reason());
        self.note_error(Some(bundle), &refused);
        if stays {
            self.refusals.add(bundle, None, refused, now_ms);
        } else {
            self.refusals.forget(&bundle);
            self.end_hold(&refused.reason());
        }
    }

    pub(super) fn log_hold(&mut self, accepted: &Accepted) {
        let serial = accepted.pointer().serial;
        if self.logged.blocked_serial == Some(serial) {
            return;
        }
        self.logged.blocked_serial = Some(serial);
        event(
            Level::Warn,
            "the channel's head does not run, because this node is on hold; `gwd resume` ends the \
             hold",
            json!({"head": accepted.bundle().to_string(), "serial": serial}),
        );
    }

    /// Ends the hold, if one is set.
    pub(super) fn end_hold(&mut self, why: &str) {
        let Some(hold) = self.ran.hold.take() else {
            return;
        };
        self.persist_ran();
        Audit {
            what: "hold-ended",
            who: ACTOR_GWD,
            from: Some(hold.to.to_string()),
            to: self.running.map(|running| running.bundle.to_string()),
            why: Some(why),
            result: OK,
        }
        .write("the hold has ended", json!({"durable": self.durable}));
    }
}

/// True if the cause of the refusal can disappear without an operator, so that the held bundle can
/// run later. A damaged or missing copy in the state folder is not such a cause.
fn is_temporary(refused: &Refused) -> bool {
    let damaged = matches!(
        refused,
        Refused::BadDigest { .. } | Refused::BlobMissing { .. } | Refused::ChainIncomplete { .. }
    );
    !refused.permanent() && !damaged
}
