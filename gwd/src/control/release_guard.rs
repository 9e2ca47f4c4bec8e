//! Guard of a progressive release on one node of the release's share. The node compares its
//! requests after the switch with those before it. If the base and the candidate serve requests at
//! the same time, the node compares the requests of the candidate with those of the base. If errors,
//! slow requests or refusals have grown, the node returns to the base by itself.
//!
//! A node compares only its own requests, because its share of the traffic differs from that of
//! other nodes. A node that is not reachable must also be able to decide.
//!
//! The node holds the bundle that it left, as after a rollback by an operator. Only a signed record
//! moves the channel.

use std::sync::Arc;

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::statement::predicate::{Guard, Webhook as Settings};
use policy::{Form, SecretRef, Secrets as _};
use serde_json::{Value, json};

use super::Control;
use super::guard::{GuardResult, Guards, Running};
use super::share::NodeRollout;
use super::sprt::Cause;
use super::webhook::{Authorization, Webhook};
use crate::metrics::registry::totals::{ServedTotals, Totals};
use crate::runtime::program_log::{ACTOR_GWD, Audit, Level, OK, event};

impl Control {
    /// Requests of the running bundle, for the guard of the next one.
    pub(super) fn requests_before(&self) -> Totals {
        let now = self.node.registry.totals().without_candidates();
        let oldest = self.guards.kept.front();
        oldest.map_or_else(Totals::default, |(_, oldest)| now.since(oldest))
    }

    /// Drops the guard and the counters of the previous bundle.
    pub(super) fn restart_guards(&mut self) {
        // If the candidate now serves all requests, the guard that compared it with the base ends
        // without a result.
        let current = self.guards.current.as_ref();
        let had_none = current.is_some_and(|it| it.is_beside() && it.result.compares());
        let head = self.head.as_ref();
        if had_none && head.is_some_and(|head| head.record().rollout.is_none()) {
            self.report_guard(GuardResult::Ended);
        }
        self.guards = Guards::default();
        let totals = self.node.registry.totals().without_candidates();
        let now = (self.now_ms(), totals);
        self.guards.kept.push_back(now);
    }

    /// Begins the guard of a bundle that was activated just now. `before`: the bundle before it,
    /// and its requests.
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
        // A node that left a revoked or withdrawn base cannot return to it.
        let base = self.rollout.as_ref().and_then(NodeRollout::base_bundle);
        if base.is_some_and(|base| self.banned(&base).is_some()) {
            return;
        }
        let totals = self.node.registry.totals().all();
        let now_ms = self.now_ms();
        let mut running = Running::new(guard, head.bundle(), before.1, totals, now_ms);
        running.webhook = self.webhook(head, guard);
        if running.result == GuardResult::NoBaseline {
            event(
                Level::Warn,
                "the guard of a progressive release makes no decision: this node had too few requests \
                 before the switch",
                json!({"requests": before.1.requests(), "needed": guard.requests}),
            );
        }
        self.count_guard(running.result);
        self.guards.current = Some(running);
    }

    /// Begins the guard of a candidate that serves requests beside the base. Each step has a guard
    /// of its own. `totals`: counters at the beginning.
    pub(super) fn begin_guard_beside(&mut self, head: &Accepted, totals: &ServedTotals) {
        let rollout = head.record().rollout.as_ref();
        // In a shadow step, no request of the candidate could be compared.
        let rollout = rollout.filter(|rollout| !rollout.is_shadow());
        let guard = rollout.and_then(|rollout| rollout.guard.as_ref());
        let now_ms = self.now_ms();
        self.guards.current = guard.map(|guard| {
            let mut running = Running::beside(guard, head.bundle(), totals, now_ms);
            running.webhook = self.webhook(head, guard);
            running
        });
    }

    /// Starts the webhook of a guard. `None`: the guard has no webhook.
    fn webhook(&self, head: &Accepted, guard: &Guard) -> Option<Webhook> {
        let settings = guard.webhook.as_ref()?;
        let rollout = head.record().rollout.as_ref()?;
        let authorization = self.webhook_authorization(settings);
        if let Err(error) = &authorization {
            event(
                Level::Error,
                "the webhook of a guard gets no requests, because its secret is not available",
                json!({"url": settings.url, "error": error}),
            );
        }
        let base = self.rollout.as_ref().and_then(NodeRollout::base_bundle);
        let body = json!({
            "name": self.trust.project().as_str(),
            "namespace": self.plan.channel.as_str(),
            "phase": "Progressing",
            "metadata": {
                "node": &*self.node.shared.node,
                "bundle": head.bundle().to_string(),
                "base": base.map(|base| base.to_string()),
                "serial": head.record().serial.to_string(),
                "step": format!("{} of {}", rollout.step, rollout.of()),
            },
        });
        Some(Webhook::start(settings, authorization, &body))
    }

    /// Value of `Authorization` in requests of a webhook.
    fn webhook_authorization(&self, settings: &Settings) -> Authorization {
        let secret = settings.authorization.as_deref();
        let cell = secret.map(|secret| {
            let reference = SecretRef::parse(secret).map_err(|_| "secret-unusable".to_owned())?;
            let cell = self.secrets.cell(&reference, Form::FieldValue);
            cell.map_err(|unavailable| format!("{}: {reference}", unavailable.reason))
        });
        cell.transpose()
    }

    /// Evaluates the counters, or tries again to return to the base, when this is due. Ends a guard
    /// whose release has ended.
    pub(super) fn check_guard(&mut self) {
        let now_ms = self.now_ms();
        if now_ms < self.guards.due_ms() {
            return;
        }
        let Some(running) = &mut self.guards.current else {
            return;
        };
        let is_failed = matches!(running.result, GuardResult::Failed(_));
        if running.is_beside() && !is_failed && self.node.candidate() != Some(running.candidate) {
            // The candidate serves no requests any more, so that there is nothing to compare.
            self.guards.current = None;
            return self.update_status();
        }
        // Without a readable head, the release may still be in progress.
        let is_over = self.head.as_ref().is_some_and(|head| {
            head.bundle() != running.candidate || head.record().rollout.is_none()
        });
        if is_over {
            running.end();
            self.report_guard(GuardResult::Ended);
        } else if let GuardResult::Failed(cause) = running.result {
            self.leave_candidate(cause);
        } else if let Some(result) = running.look(&self.node.registry.totals(), now_ms) {
            self.report_guard(result);
            if let GuardResult::Failed(cause) = result {
                self.leave_candidate(cause);
            }
        } else {
            return;
        }
        self.update_status();
    }

    /// Counts a new result of the guard, and logs it. The return to the base is logged separately.
    fn report_guard(&mut self, result: GuardResult) {
        self.count_guard(result);
        let (level, message) = match result {
            GuardResult::Passed => (Level::Info, "the guard of a progressive release has passed"),
            GuardResult::TooFewRequests => (
                Level::Warn,
                "the guard of a progressive release had too few requests within its time; the \
                 guard continues",
            ),
            GuardResult::NoAnswer => (
                Level::Warn,
                "the webhook of a guard has not accepted the release within the time of the \
                 guard; the guard continues",
            ),
            GuardResult::Ended => (
                Level::Info,
                "the guard of a progressive release has ended, because the release reaches all \
                 gateways",
            ),
            GuardResult::Testing | GuardResult::NoBaseline | GuardResult::Failed(_) => return,
        };
        let current = self.guards.current.as_ref();
        event(
            level,
            message,
            json!({
                "bundle": current.map(|running| running.candidate.to_string()),
                "guard": current.map(Running::json),
            }),
        );
    }

    /// Returns to the base, because the guard failed. If the base cannot run now, tries again
    /// later.
    fn leave_candidate(&mut self, cause: Cause) {
        let details = self.guards.current.as_ref().map(Running::json);
        let running = self.running.map(|running| running.bundle);
        let was = self.node.candidate().or(running);
        let was = was.map(|bundle| bundle.to_string());
        let base = self.rollout.as_ref().and_then(NodeRollout::base_bundle);
        let switched = match base {
            Some(base) => self.switch_for_guard(base, cause),
            None => Err("no-base".to_owned()),
        };
        self.alarm("release-guard-failed", true);
        if switched.is_ok() {
            self.guards.current = None;
        }
        let now_ms = self.now_ms();
        let mut details = details.unwrap_or_default();
        let (result, message) = match &switched {
            Ok(switch_us) => {
                details["switch_us"] = (*switch_us).into();
                (
                    OK,
                    "the guard of a release failed; this node returned to the base",
                )
            }
            Err(code) => {
                let current = self.guards.current.as_mut();
                if current.is_some_and(|running| !running.return_refused(code, now_ms)) {
                    return;
                }
                (
                    code.as_str(),
                    "the guard of a release failed, but the base cannot run; gwd tries again",
                )
            }
        };
        Audit {
            what: "release-guard",
            who: ACTOR_GWD,
            from: was,
            to: base.map(|base| base.to_string()),
            why: Some(cause.as_str()),
            result,
        }
        .write(message, details);
    }

    /// Stores the counters for the next guard, and ends the alarm of a failed guard.
    pub(super) fn tend_guards(&mut self) {
        let registry = Arc::clone(&self.node.registry);
        let now_ms = self.now_ms();
        self.guards
            .keep(now_ms, &|| registry.totals().without_candidates());
        self.alarm("release-guard-failed", self.failed_guard().is_some());
        self.authorize_webhook();
    }

    /// Reads the secret of a webhook again, if it was not available.
    fn authorize_webhook(&self) {
        let Some(rollout) = self
            .head
            .as_ref()
            .and_then(|head| head.record().rollout.as_ref())
        else {
            return;
        };
        let settings = rollout
            .guard
            .as_ref()
            .and_then(|guard| guard.webhook.as_ref());
        let current = self.guards.current.as_ref();
        let webhook = current.and_then(|current| current.webhook.as_ref());
        if let (Some(settings), Some(webhook)) = (settings, webhook.filter(|it| it.lacks_secret()))
        {
            webhook.authorize(self.webhook_authorization(settings));
        }
    }

    /// Comparison for which the guard of the channel's head failed on this node, also before a
    /// restart.
    fn failed_guard(&self) -> Option<String> {
        let candidate = self.head.as_ref()?.bundle();
        let hold = self.ran.hold.as_ref().filter(|hold| hold.from == candidate);
        if let Some(cause) = hold.and_then(|hold| hold.guard.clone()) {
            return Some(cause);
        }
        let running = self.guards.current.as_ref()?;
        match running.result {
            GuardResult::Failed(cause) if running.candidate == candidate => {
                Some(cause.as_str().to_owned())
            }
            _ => None,
        }
    }

    /// Guard as JSON, for the status of this node. `None`: no guard runs or has ended for the head.
    pub(super) fn guard_json(&self) -> Option<Value> {
        let candidate = self.head.as_ref()?.bundle();
        let current = self.guards.current.as_ref();
        if let Some(running) = current.filter(|running| running.candidate == candidate) {
            return Some(running.json());
        }
        let cause = self.failed_guard()?;
        Some(
            json!({"result": "failed", "by": cause, "return_refused": null, "left_s": null,
                    "requests": null, "errors": null, "slow": null, "refusals": null,
                    "webhook": null}),
        )
    }

    fn count_guard(&self, result: GuardResult) {
        if result == GuardResult::Testing {
            return;
        }
        let mut bundles = self.node.registry.bundles();
        *bundles.guards.entry(result.as_str()).or_default() += 1;
    }
}
