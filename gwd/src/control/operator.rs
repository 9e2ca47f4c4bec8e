//! What an operator wants of this node, whatever the channel says: another bundle, or no hold
//! any more (release.md §6).

use bundle::channel::{Accepted, Context};
use bundle::digest::Digest;
use bundle::follow;
use bundle::refused::Refused;
use serde_json::json;

use super::state::Hold;
use super::{Control, KEPT_MAX, Target, Trouble, now};
use crate::telemetry::program::audit;

/// An operator's switch.
#[derive(Clone, Copy, Debug)]
struct Switched {
    /// Whether a restart would know of it.
    durable: bool,
    /// From taking the order to the last worker's acknowledgement.
    took_ns: u64,
}

impl Control {
    /// An operator wants a bundle that is here to run, whatever the channel says.
    /// Tells the status, and how long the switch took.
    pub(super) fn break_glass(
        &mut self,
        to: Target,
        sticky: bool,
        who: &str,
    ) -> Result<serde_json::Value, Trouble> {
        let was = self.running.map(|running| running.bundle);
        let result = self.switch(to, sticky);
        let told = match &result {
            Ok(Switched { durable, took_ns }) => {
                json!({"result": "ok", "durable": durable, "switch_us": took_ns / 1_000})
            }
            Err(trouble) => json!({"result": trouble.code, "error": trouble.message}),
        };
        let mut fields = json!({
            "who": who,
            "from": was.map(|id| id.to_string()),
            "to": self.running.map(|running| running.bundle.to_string()),
            "wanted": format!("{to:?}"),
            "sticky": sticky,
        });
        if let (Some(fields), Some(told)) = (fields.as_object_mut(), told.as_object()) {
            fields.extend(told.clone());
        }
        audit("an operator switched bundles", fields);
        self.update_status();
        let Switched { durable, took_ns } = result?;
        let mut status = self.status_json();
        if let Some(status) = status.as_object_mut() {
            status.insert("switch_us".into(), (took_ns / 1_000).into());
            status.insert("durable".into(), durable.into());
        }
        Ok(status)
    }

    fn switch(&mut self, to: Target, sticky: bool) -> Result<Switched, Trouble> {
        let began_ns = self.node.shared.clock.now_ns();
        let target = self.target(to)?;
        if self.memory.revocations.has_bundle(&target) {
            return Err(Trouble::refused(&Refused::Revoked { bundle: target }));
        }
        if let Some(head) = &self.head
            && head.record().withdraw.contains(&target)
        {
            return Err(Trouble::refused(&Refused::Withdrawn { bundle: target }));
        }
        let from = self.running.map(|running| running.bundle);
        let (version, accepted) = match self.resident(&target) {
            Some(known) => (known.version.clone(), known.accepted.clone()),
            None => {
                let accepted = self.kept(&target)?;
                let layout = self.state.layout.clone();
                let version = self
                    .prepare(&layout, &accepted, None)
                    .map_err(|refused| Trouble::refused(&refused))?;
                (version, accepted)
            }
        };
        let serial = accepted.pointer().serial;
        self.node.publish(&version, serial);
        let took_ns = self.node.shared.clock.now_ns().saturating_sub(began_ns);
        let head = self.head.as_ref();
        let at_serial = self.memory.record.map_or(0, |pointer| pointer.serial);
        let is_head = head.is_some_and(|head| head.bundle() == target);
        // Going back twice is still leaving the same bundle.
        let left = self.ran.hold.as_ref().map(|hold| hold.from).or(from);
        self.ran.hold = left.filter(|_| sticky || !is_head).map(|from| Hold {
            from,
            to: target,
            at_serial,
            sticky,
        });
        self.ran.runs(target);
        self.runs(version, accepted);
        let durable = self.persist_ran();
        self.node.registry.bundles().rollbacks += 1;
        self.refusals.forget(&target);
        Ok(Switched { durable, took_ns })
    }

    fn target(&self, to: Target) -> Result<Digest, Trouble> {
        match to {
            Target::Bundle(id) => Ok(id),
            Target::Back(steps) => self.ran.ran.get(steps).copied().ok_or_else(|| {
                Trouble::new(
                    409,
                    "nothing-before",
                    "no bundle ran before this one on this node; name one of `gwd versions`",
                )
            }),
        }
    }

    /// The record that names a bundle which is on disk only.
    fn kept(&self, target: &Digest) -> Result<Accepted, Trouble> {
        let context = Context {
            trust: &self.trust,
            channel: &self.plan.channel,
            now: now(),
        };
        let kept = follow::kept(&self.state.layout, &context, KEPT_MAX)
            .map_err(|refused| Trouble::refused(&refused))?;
        kept.into_iter()
            .filter_map(Result::ok)
            .find(|accepted| accepted.bundle() == *target)
            .ok_or_else(|| {
                Trouble::new(
                    404,
                    "bundle-not-here",
                    &format!(
                        "{target} is not on this node, or no record of this channel names it; see `gwd versions`"
                    ),
                )
            })
    }

    /// Ends the hold; the channel's head runs again.
    pub(super) fn resume(&mut self, who: &str) {
        let held = self.ran.hold.take();
        self.persist_ran();
        audit(
            "an operator ended the hold",
            json!({"who": who, "held": held.map(|hold| hold.to.to_string())}),
        );
        if let Some(head) = &self.head {
            let id = head.bundle();
            self.refusals.forget(&id);
        }
        self.look();
    }
}

impl Trouble {
    pub(super) fn new(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    pub(super) fn refused(refused: &Refused) -> Self {
        Self::new(409, &refused.reason(), &refused.to_string())
    }
}
