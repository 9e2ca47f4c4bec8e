//! Candidate of a progressive release that serves a share of the requests, beside the base that
//! this node runs (release.md §6).
//!
//! The base is the running bundle: the history, rollbacks and the last good bundle refer to the
//! base. If the candidate cannot be activated, the base serves all requests, and the candidate is
//! tried again as at an activation.

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::refused::Refused;
use bundle::rollout::percent;
use bundle::store::Blobs as _;
use bundle::store::folder::Folder;
use serde_json::{Value, json};

use super::activate::{KEYS, what};
use super::share::{Beside, NodeRollout};
use super::{Control, Resident};
use crate::metrics::registry::totals::Served;
use crate::runtime::program_log::{Audit, Level, OK, event};

impl Control {
    /// Activates the candidate beside the base, or stops it, as the progressive release of the head
    /// requires. A failure leaves all requests to the base.
    pub(super) fn follow_candidate(&mut self) {
        let head = match self.wanted_candidate() {
            Ok(head) => head,
            Err(why) => return self.stop_candidate(why),
        };
        let candidate = head.bundle();
        let known = self.beside.as_ref();
        let is_current = known.is_some_and(|known| known.head == head.pointer());
        if is_current && self.node.candidate() == Some(candidate) {
            return;
        }
        if self.resident(&candidate).is_none() {
            let record = head.pointer().digest;
            self.refusals.forget_other_record(&candidate, record);
            if self.refusals.waits(&candidate, self.now_ms()) {
                return self.stop_candidate("it cannot be activated");
            }
            match self.load_candidate(&head) {
                Ok(resident) => {
                    let at = self.residents.len().min(1);
                    self.residents.insert(at, resident);
                    self.residents.truncate(self.plan.keep.max(2));
                }
                Err(refused) => {
                    self.refuse(&head, &refused);
                    return self.stop_candidate("it cannot be activated");
                }
            }
        }
        self.serve_candidate(&head);
    }

    /// Record of the candidate that should serve a share of the requests now.
    ///
    /// # Errors
    /// The reason why the running bundle should serve all requests.
    fn wanted_candidate(&self) -> Result<Accepted, &'static str> {
        let head = self.head.as_ref();
        let node = self.rollout.as_ref().filter(|node| node.serves_two());
        let (Some(node), Some(head)) = (node, head) else {
            let is_head = head.map(Accepted::bundle) == self.node.candidate();
            return Err(match is_head {
                true => "the release requires it for all requests, and it does not run yet",
                false => "the release no longer requires it on this node",
            });
        };
        if head.pointer() != node.head {
            return Err("the head of the channel changed");
        }
        if self.running.map(|running| running.bundle) != node.follows {
            return Err("this node does not run the base");
        }
        if self.banned(&node.candidate).is_some() {
            return Err("it is revoked or withdrawn");
        }
        if self.is_blocked_by_hold(head) {
            return Err("a hold keeps this node from serving it");
        }
        Ok(head.clone())
    }

    /// Bundle of the candidate that is tried again if it was refused. `None`: this node does not
    /// serve two versions.
    pub(super) fn awaited_candidate(&self) -> Option<Digest> {
        let node = self.rollout.as_ref().filter(|node| node.serves_two())?;
        Some(node.candidate)
    }

    /// True if a hold keeps this node from serving requests with the candidate beside the base.
    pub(super) fn holds_candidate(&self) -> bool {
        let held = self.ran.hold.as_ref().map(|hold| hold.from);
        held.is_some() && held == self.awaited_candidate()
    }

    /// Verifies, builds and binds the candidate. Reads the candidate from the state folder if it is
    /// there, so that a restart needs no store.
    fn load_candidate(&mut self, head: &Accepted) -> Result<Resident, Refused> {
        let kept = self.state.layout.clone();
        if kept.size(&head.bundle()).is_ok_and(|size| size.is_some())
            && let Ok(resident) = self.prepare(&kept, head, None)
        {
            // Until the candidate's keys are fetched, the base serves all requests.
            self.node.fetch_keys(&resident.version, KEYS);
            return Ok(resident);
        }
        let store = Folder::open(&self.plan.store)?;
        let ran = self.ran.clone();
        self.prepare(&store, head, Some(&ran))
    }

    /// Publishes the running base and the candidate, which is in memory.
    fn serve_candidate(&mut self, head: &Accepted) {
        let candidate = head.bundle();
        let (Some(running), Some(rollout)) = (self.running, head.record().rollout.clone()) else {
            return;
        };
        let base = self.resident(&running.bundle);
        let base = base.map(|resident| resident.version.clone());
        let mut residents = self.residents.iter_mut();
        let own = residents.find(|known| known.version.bundle() == candidate);
        let (Some(base), Some(own)) = (base, own) else {
            return;
        };
        own.accepted = head.clone();
        let version = own.version.clone();
        let serial = head.pointer().serial;
        let known = self.beside.take();
        let known = known.filter(|known| known.candidate == candidate);
        let is_new_step = known
            .as_ref()
            .is_none_or(|known| known.head != head.pointer());
        if is_new_step {
            self.node.shared.shadow.restart();
        }
        self.node
            .publish_beside((&base, running.serial), (&version, serial), &rollout);
        self.refusals.forget(&candidate);
        let failed = self.last_error.as_ref().and_then(|error| error.bundle);
        if failed == Some(candidate) {
            self.last_error = None;
        }
        let totals = self.node.registry.totals();
        if is_new_step {
            self.begin_guard_beside(head, &totals);
        }
        self.beside = Some(Beside {
            candidate,
            head: head.pointer(),
            before: known.map_or(totals, |known| known.before),
        });
        self.sources_due.push(head.clone());
        self.tidy_at_ms = 0;
        self.count_activation("ok", "");
        let record = head.record();
        Audit {
            what: what(record.kind),
            who: &record.actor,
            from: Some(running.bundle.to_string()),
            to: Some(candidate.to_string()),
            why: Some(&record.reason),
            result: OK,
        }
        .write(
            match rollout.is_shadow() {
                true => "a bundle decides a share of the requests beside the running one",
                false => "a bundle serves a share of the requests beside the running one",
            },
            json!({
                "serial": serial,
                "channel": self.plan.channel.as_str(),
                "traffic": percent(rollout.traffic_ppm()),
                "shadow": rollout.is_shadow().then(|| percent(rollout.shadow_ppm())),
            }),
        );
    }

    /// Serves all requests with the running bundle, if a candidate serves some of them. `why`:
    /// reason for the program log.
    pub(super) fn stop_candidate(&mut self, why: &str) {
        self.beside = None;
        let Some(candidate) = self.node.candidate() else {
            return;
        };
        let running = self.running.and_then(|running| {
            let resident = self.resident(&running.bundle)?;
            Some((resident.version.clone(), running.serial))
        });
        let Some((version, serial)) = running else {
            return;
        };
        self.node.publish(&version, serial);
        self.tidy_at_ms = 0;
        event(
            Level::Warn,
            "the candidate of a progressive release serves or decides no more requests; the base \
             serves all of them",
            json!({
                "candidate": candidate.to_string(),
                "bundle": version.bundle().to_string(),
                "why": why,
            }),
        );
    }

    /// Parts of the status about the candidate: why it was refused, the requests of both versions,
    /// and the decisions of a shadow step. The requests are `null` if the node does not serve two
    /// versions; the decisions if it compares none.
    pub(super) fn candidate_json(&self, node: &NodeRollout) -> [Value; 3] {
        let mut refusals = self.refusals.iter();
        let refused = refusals.find(|(bundle, _)| **bundle == node.candidate);
        let refused = refused.map(|(_, entry)| entry.refused.reason());
        let is_shadow = node.rollout.is_shadow();
        let shadow = self.beside.as_ref().filter(|_| is_shadow);
        let comparison = shadow.map(|_| self.node.shared.shadow.json());
        let beside = self.beside.as_ref().filter(|_| !is_shadow);
        let requests = beside.map(|beside| {
            let now = self.node.registry.totals();
            let count = |served| now.of(served).since(beside.before.of(served)).requests();
            let sum = |versions: [Served; 2]| versions.map(count).iter().sum::<u64>();
            json!({"base": sum(Served::OF_BASE), "candidate": sum(Served::OF_CANDIDATE)})
        });
        [json!(refused), json!(requests), json!(comparison)]
    }
}
