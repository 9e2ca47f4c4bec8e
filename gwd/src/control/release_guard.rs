//! Guard of a progressive release: a node of the share compares its requests after the switch with
//! those before it. If errors or slow requests have grown, the node returns to the base by itself.
//!
//! The node compares with itself, because its share of the traffic differs from that of other nodes,
//! and a node that is not reachable must be able to decide.
//!
//! The node holds the bundle that it left, as after a rollback by an operator. Only a signed record
//! moves the channel.

use std::sync::Arc;

use bundle::channel::Accepted;
use bundle::digest::Digest;
use serde_json::{Value, json};

use super::Control;
use super::guard::{Cause, GuardResult, Guards, Running};
use crate::metrics::registry::totals::Totals;
use crate::runtime::program_log::{ACTOR_GWD, Audit, Level, OK, event};

impl Control {
    /// Requests of the running bundle, for the guard of the next one.
    pub(super) fn requests_before(&self) -> Totals {
        let now = self.node.registry.totals();
        let oldest = self.guards.kept.front();
        oldest.map_or_else(Totals::default, |(_, oldest)| now.since(oldest))
    }

    /// Forgets the requests of the bundle before the one that runs now.
    pub(super) fn restart_guards(&mut self) {
        self.guards = Guards::default();
        let now = (self.now_ms(), self.node.registry.totals());
        self.guards.kept.push_back(now);
    }

    /// Begins the guard of a bundle that was activated just now. `before`: the bundle before it, and
    /// its requests.
    pub(super) fn begin_guard(&mut self, head: &Accepted, before: (Option<Digest>, &Totals)) {
        let Some(guard) = head
            .record()
            .rollout
            .as_ref()
            .and_then(|it| it.guard.as_ref())
        else {
            return;
        };
        let runs_candidate = self.running.is_some_and(|it| it.bundle == head.bundle());
        if !runs_candidate || before.0.is_none() || before.0 == Some(head.bundle()) {
            return;
        }
        let totals = self.node.registry.totals();
        let running = Running::new(guard, head.bundle(), before.1, totals, self.now_ms());
        if running.result == GuardResult::NoBaseline {
            event(
                Level::Warn,
                "the guard of a progressive release does not judge: this node had too few requests \
                 before the switch",
                json!({"requests": before.1.requests(), "needed": guard.requests}),
            );
        }
        self.count_guard(running.result);
        self.guards.current = Some(running);
    }

    /// Looks at the counters, if a guard runs and its next look is due.
    pub(super) fn check_guard(&mut self) {
        let now_ms = self.now_ms();
        if now_ms < self.guards.due_ms() {
            return;
        }
        let runs = self.running.map(|running| running.bundle);
        let Some(running) = &mut self.guards.current else {
            return;
        };
        if runs != Some(running.candidate) || running.result != GuardResult::Testing {
            return;
        }
        let totals = self.node.registry.totals();
        let Some(result) = running.look(totals, now_ms) else {
            return;
        };
        let details = running.json();
        self.count_guard(result);
        match result {
            GuardResult::Failed(cause) => self.leave_candidate(cause, &details),
            GuardResult::Passed => event(
                Level::Info,
                "the guard of a progressive release has passed",
                json!({"bundle": runs.map(|id| id.to_string()), "guard": details}),
            ),
            GuardResult::Testing | GuardResult::NoBaseline => {}
        }
        self.update_status();
    }

    /// Returns to the base, because the guard failed.
    fn leave_candidate(&mut self, cause: Cause, details: &Value) {
        let was = self.running.map(|running| running.bundle.to_string());
        let base = self
            .rollout
            .as_ref()
            .and_then(|rollout| rollout.base_bundle());
        let switched = base.map(|base| self.switch_for_guard(base, cause));
        let (result, message) = match &switched {
            Some(Ok(())) => (
                OK.to_owned(),
                "the guard of a release failed; this node returned to the base",
            ),
            Some(Err(code)) => (
                code.clone(),
                "the guard of a release failed, but the base cannot run",
            ),
            None => (
                "no-base".to_owned(),
                "the guard of a release failed, but the base cannot run",
            ),
        };
        self.alarm("release-guard-failed", true);
        Audit {
            what: "release-guard",
            who: ACTOR_GWD,
            from: was,
            to: base.map(|base| base.to_string()),
            why: Some(cause.as_str()),
            result: &result,
        }
        .write(message, details.clone());
    }

    /// Keeps counters for the next guard, and ends the alarm of a failed one.
    pub(super) fn tend_guards(&mut self) {
        let registry = Arc::clone(&self.node.registry);
        let now_ms = self.now_ms();
        self.guards.keep(now_ms, &|| registry.totals());
        self.alarm("release-guard-failed", self.failed_guard().is_some());
    }

    /// Cause for which the guard of the channel's head failed on this node, also before a restart.
    fn failed_guard(&self) -> Option<String> {
        let candidate = self.head.as_ref()?.bundle();
        let hold = self.ran.hold.as_ref().filter(|hold| hold.from == candidate);
        if let Some(cause) = hold.and_then(|hold| hold.guard.clone()) {
            return Some(cause);
        }
        let running = self.guards.current.as_ref()?;
        match running.result {
            GuardResult::Failed(cause) if self.running.is_some_and(|it| it.bundle == candidate) => {
                Some(cause.as_str().to_owned())
            }
            _ => None,
        }
    }

    /// Part of the status. `None`: no guard runs or has ended for the head.
    pub(super) fn guard_json(&self) -> Option<Value> {
        let candidate = self.head.as_ref()?.bundle();
        let current = self.guards.current.as_ref();
        if let Some(running) = current.filter(|running| running.candidate == candidate) {
            return Some(running.json());
        }
        let cause = self.failed_guard()?;
        Some(json!({"result": "failed", "by": cause, "errors": null, "slow": null}))
    }

    fn count_guard(&self, result: GuardResult) {
        if result == GuardResult::Testing {
            return;
        }
        let mut bundles = self.node.registry.bundles();
        *bundles.guards.entry(result.as_str()).or_default() += 1;
    }
}
