//! Requests of an operator to this node, independent of the channel: to run another bundle, or to
//! end a hold (release.md §6).

use std::collections::BTreeSet;

use bundle::channel::{self, Accepted};
use bundle::digest::Digest;
use bundle::follow;
use bundle::refused::{Blame, Refused};
use bundle::store::{Chain, Store as _};
use serde_json::json;

use super::rollback_history::Step;
use super::sprt::Cause;
use super::state::Hold;
use super::{
    Control, KEPT_MAX, OperatorError, RequestedSwitch, Resident, Switch, Target, advice, now,
};
use crate::runtime::program_log::{Audit, OK};

/// Result of an operator's switch to another bundle.
#[derive(Clone, Copy, Debug)]
struct Switched {
    /// True if the switch was written to the state folder, so that it survives a restart.
    durable: bool,
    /// Time from the request to the last worker's acknowledgement, in nanoseconds.
    took_ns: u64,
}

impl Control {
    /// Switches to another bundle of this node for an operator, independent of the channel. Returns
    /// the status, with the duration of the switch.
    pub(super) fn break_glass(
        &mut self,
        order: &RequestedSwitch,
        who: &str,
    ) -> Result<serde_json::Value, OperatorError> {
        let was = self.running.map(|running| running.bundle.to_string());
        let target = self.target(&order.to);
        let result = target.clone().and_then(|to| self.switch(to, order.sticky));
        let audit = Audit {
            what: match order.what {
                Switch::Activate => "operator-activate",
                Switch::Rollback => "operator-rollback",
            },
            who,
            from: was,
            to: Some(target.map_or_else(|_| order.to.to_string(), |id| id.to_string())),
            why: order.why.as_deref(),
            result: OK,
        };
        let Switched { durable, took_ns } = match result {
            Ok(switched) => switched,
            Err(error) => {
                let result = &*error.code;
                Audit { result, ..audit }.write(
                    "an operator's command was refused",
                    json!({"sticky": order.sticky, "error": error.message}),
                );
                return Err(error);
            }
        };
        let switch_us = took_ns / 1_000;
        audit.write(
            "an operator switched bundles",
            json!({"sticky": order.sticky, "durable": durable, "switch_us": switch_us}),
        );
        self.update_status();
        let mut status = self.status_json();
        if let Some(status) = status.as_object_mut() {
            status.insert("switch_us".into(), switch_us.into());
            status.insert("durable".into(), durable.into());
        }
        Ok(status)
    }

    fn switch(&mut self, target: Digest, sticky: bool) -> Result<Switched, OperatorError> {
        let began_ns = self.node.shared.clock.now_ns();
        let refused = |refused: Refused| OperatorError::refused(&refused);
        if let Some(banned) = self.banned(&target) {
            return Err(refused(banned));
        }
        let running = self.running.map(|running| running.bundle);
        // A switch to the running base leaves only the candidate that serves requests beside the
        // base.
        let left_candidate = self.node.candidate().filter(|_| running == Some(target));
        let from = left_candidate.or(running);
        let resident = match self.take_resident(&target) {
            Some(resident) => resident,
            None => {
                let accepted = self.stored_record(&target)?;
                let layout = self.state.layout.clone();
                self.prepare(&layout, &accepted, None).map_err(refused)?
            }
        };
        let serial = resident.accepted.pointer().serial;
        self.node.publish(&resident.version, serial);
        let took_ns = self.node.shared.clock.now_ns().saturating_sub(began_ns);
        let at_serial = self.memory.record.map_or(0, |pointer| pointer.serial);
        let is_followed = self.followed_bundle() == Some(target) && left_candidate.is_none();
        self.beside = None;
        // Keep `from` of an existing hold: a second rollback still moves away from the same bundle.
        let left = self.ran.hold.as_ref().map(|hold| hold.from).or(from);
        self.ran.hold = left.filter(|_| sticky || !is_followed).map(|from| Hold {
            from,
            to: target,
            at_serial,
            sticky,
            guard: None,
        });
        self.ran.rollbacks.switch(Step {
            bundle: target,
            serial,
        });
        self.ran.record_run(target, serial, now());
        self.add_running(resident);
        let durable = self.persist_ran();
        self.clean_up_due = true;
        self.logged.blocked_serial = None;
        self.node.registry.bundles().rollbacks += 1;
        Ok(Switched { durable, took_ns })
    }

    /// Switches to the base of a progressive release, because the guard failed. Holds the bundle
    /// that this node leaves. Returns the time until the base served, in microseconds.
    ///
    /// # Errors
    /// The code of the reason why the base cannot run.
    pub(super) fn switch_for_guard(&mut self, base: Digest, cause: Cause) -> Result<u64, String> {
        let switched = self.switch(base, false).map_err(|error| error.code)?;
        if let Some(hold) = &mut self.ran.hold {
            hold.guard = Some(cause.as_str().to_owned());
        }
        self.persist_ran();
        Ok(switched.took_ns / 1_000)
    }

    fn target(&self, to: &Target) -> Result<Digest, OperatorError> {
        match to {
            Target::Bundle(id) => Ok(*id),
            Target::Prefix(prefix) => self.only_one(prefix),
            Target::Back(steps) => self.back(*steps).ok_or_else(|| {
                OperatorError::no_such(
                    409,
                    "nothing-before",
                    "this node has no earlier version to go back to; name one of `gwd versions`",
                )
            }),
        }
    }

    /// Bundle `steps` steps before the running bundle. If no bundle runs, counts from the last
    /// bundle that ran. While a candidate serves a share of the requests, counts from the
    /// candidate: one step back is the running base. `None` if the history is shorter.
    pub(super) fn back(&self, steps: usize) -> Option<Digest> {
        let running = self.running.map(|running| running.bundle);
        if self.node.candidate().is_some() {
            return match steps {
                1 => running,
                _ => self.ran.rollbacks.back(&running?, steps.checked_sub(1)?),
            };
        }
        self.ran
            .rollbacks
            .back(&running.or_else(|| self.ran.last())?, steps)
    }

    /// Finds the bundle on this node whose id begins with the prefix. Fails if no bundle or more
    /// than one bundle matches.
    fn only_one(&self, prefix: &str) -> Result<Digest, OperatorError> {
        let list = &self.memory.revocations;
        let kept = follow::stored_records(&self.state.layout, &self.context(), list, KEPT_MAX)
            .unwrap_or_default()
            .accepted;
        let here: BTreeSet<Digest> = self
            .residents
            .iter()
            .map(|known| known.version.bundle())
            .chain(self.ran.ran.iter().copied())
            .chain(kept.iter().map(Accepted::bundle))
            .filter(|id| id.hex().starts_with(prefix))
            .collect();
        let mut found = here.iter();
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(*only),
            (None, _) => Err(OperatorError::no_such(
                404,
                "bundle-not-here",
                &format!("no bundle on this node begins with `{prefix}`; see `gwd versions`"),
            )),
            (Some(_), Some(_)) => {
                let ids: Vec<String> = here.iter().map(Digest::to_string).collect();
                Err(OperatorError::no_such(
                    409,
                    "ambiguous",
                    &format!(
                        "`{prefix}` matches several bundles; give more digits of one of: {}",
                        ids.join(", ")
                    ),
                ))
            }
        }
    }

    /// Reads the newest valid record for a bundle that is in the state folder but not in memory.
    fn stored_record(&self, target: &Digest) -> Result<Accepted, OperatorError> {
        let refused = |refused: Refused| OperatorError::refused(&refused);
        if let Some(accepted) = self.kept_record(target).map_err(refused)? {
            return Ok(accepted);
        }
        if let Some(why) = self.why_not_kept(target) {
            return Err(refused(why));
        }
        Err(OperatorError::no_such(
            404,
            "bundle-not-here",
            &format!(
                "{target} is not on this node, or no record of this channel names it; see `gwd versions`"
            ),
        ))
    }

    /// Reason why the newest record that names a bundle was refused, or `None` if no refused record
    /// names it.
    fn why_not_kept(&self, bundle: &Digest) -> Option<Refused> {
        let layout = &self.state.layout;
        let list = &self.memory.revocations;
        let kept = follow::stored_records(layout, &self.context(), list, KEPT_MAX).ok()?;
        let chain = Chain::Channel(self.plan.channel.clone());
        let names_it = |serial: u64| {
            let digest = layout.link(&chain, serial).ok().flatten();
            let linked = digest.and_then(|digest| channel::read(layout, &digest).ok());
            linked.is_some_and(|linked| linked.bundle == *bundle)
        };
        let mut refused = kept.refused.into_iter();
        refused.find_map(|(serial, refused)| names_it(serial).then_some(refused))
    }

    /// Newest valid record in the state folder that names the bundle. `None`: there is no such
    /// record.
    pub(super) fn kept_record(&self, bundle: &Digest) -> Result<Option<Accepted>, Refused> {
        let list = &self.memory.revocations;
        let kept = follow::stored_records(&self.state.layout, &self.context(), list, KEPT_MAX)?;
        let mut kept = kept.accepted.into_iter();
        Ok(kept.find(|accepted| accepted.bundle() == *bundle))
    }

    /// Removes a version from those in memory and returns it. The caller must run it or drop it.
    /// `None`: the version is not in memory.
    pub(super) fn take_resident(&mut self, bundle: &Digest) -> Option<Resident> {
        let mut residents = self.residents.iter();
        let at = residents.position(|known| known.version.bundle() == *bundle)?;
        Some(self.residents.remove(at))
    }

    /// Ends the hold and follows the channel at once.
    pub(super) fn resume(&mut self, who: &str) {
        let hold = self.ran.hold.take();
        self.logged.blocked_serial = None;
        self.persist_ran();
        let awaited = [self.followed_bundle(), self.awaited_candidate()];
        for id in awaited.into_iter().flatten() {
            self.refusals.forget(&id);
        }
        Audit {
            what: "resume",
            who,
            from: hold.map(|hold| hold.to.to_string()),
            to: self.followed_bundle().map(|id| id.to_string()),
            why: None,
            result: OK,
        }
        .write(
            "an operator ended the hold",
            json!({"durable": self.durable}),
        );
        self.poll_store();
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bundle(id) => id.fmt(f),
            Self::Prefix(prefix) => f.write_str(prefix),
            Self::Back(steps) => write!(f, "-{steps}"),
        }
    }
}

impl OperatorError {
    /// Error for a bundle that is not on this node.
    fn no_such(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            exit: 65,
        }
    }

    pub(super) fn refused(refused: &Refused) -> Self {
        let exit = match (refused, refused.blame()) {
            (Refused::BadDigest { .. }, _) => 4,
            (_, Blame::Store) => 69,
            (_, Blame::Operator) => 5,
            (_, Blame::Bundle | Blame::Signer) => 4,
        };
        Self {
            status: 409,
            code: refused.reason().into_owned(),
            message: format!("{refused}; {}", advice(refused)),
            exit,
        }
    }
}
