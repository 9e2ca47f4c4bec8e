//! Status of the node for people and programs (command-line.md, status/v1): running and refused
//! bundles, alarms, and the hold.

use std::sync::Arc;

use bundle::digest::Digest;
use bundle::ir::provides;
use bundle::moment::Moment;
use policy::key_cell::KeyCell;
use serde_json::{Value, json};

use super::describe::About;
use super::share::NodeRollout;
use super::{Control, Replica, TrustSource};
use crate::runtime::clock;
use crate::runtime::program_log;

/// Documents and flags that the admin interface serves.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// Document `status/v1`.
    pub(crate) status: Value,
    /// Document `bundles/v1`.
    pub(crate) bundles: Value,
    /// True if a bundle runs and its listeners are bound.
    pub(crate) ready: bool,
    /// False while the store could withhold a revocation list unnoticed.
    pub(crate) revocations_protected: bool,
    /// False while a verifier of the running version has no keys.
    pub(crate) has_keys: bool,
}

/// Last error of an activation or of a read of the channel.
#[derive(Clone, Debug)]
pub(crate) struct LastError {
    pub(crate) bundle: Option<Digest>,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) at: Moment,
}

/// Value of `tool` in every JSON document.
pub(crate) fn tool() -> Value {
    json!({"name": "gwd", "version": env!("CARGO_PKG_VERSION")})
}

impl Control {
    /// Publishes the current status to the admin interface and the metrics.
    pub(super) fn update_status(&self) {
        {
            let mut bundles = self.node.registry.bundles();
            bundles.insecure = self.trust.is_insecure();
            bundles.replay_unprotected = !self.replay_protected;
            bundles.revocations_unprotected = !self.revocations_protected;
            bundles.rollout = self.rollout.as_ref().map(NodeRollout::metric);
            bundles.alarms.clone_from(&self.alarms);
            let replica = self.replica.as_ref();
            bundles.registry_updated_unix_s = replica.map(Replica::updated_unix_s);
            bundles.registry_polls = replica.map(Replica::polls);
        }
        self.status.store(Arc::new(Status {
            status: self.status_json(),
            bundles: self.bundles_json(),
            ready: self.running.is_some(),
            revocations_protected: self.revocations_protected,
            has_keys: self.key_sets().iter().all(|set| set.report().keys > 0),
        }));
    }

    pub(super) fn status_json(&self) -> Value {
        let running = self.running.as_ref();
        let hold = self.ran.hold.as_ref().map(|hold| {
            json!({
                "from": hold.from.to_string(),
                "to": hold.to.to_string(),
                "at_serial": hold.at_serial,
                "sticky": hold.sticky,
                "guard": hold.guard,
            })
        });
        let last_error = self.last_error.as_ref().map(|error| {
            json!({
                "bundle": error.bundle.map(|id| id.to_string()),
                "reason": error.reason,
                "message": error.message,
                "at": error.at.to_string(),
            })
        });
        let refused = self.refusals.iter().map(|(id, entry)| {
            json!({
                "bundle": id.to_string(),
                "reason": entry.refused.reason(),
                "permanent": entry.refused.permanent(),
                "tries": entry.tries,
            })
        });
        let listeners = self.node.listeners();
        let residents = self.residents.iter();
        let previous = running.and_then(|running| self.ran.rollbacks.back(&running.bundle, 1));
        let rollback_to = running.and_then(|_| self.back(1));
        let stale = self.secrets.stale();
        json!({
            "schema": "status/v1",
            "result": "ok",
            "tool": tool(),
            "environment": Value::Null,
            "node": &*self.node.shared.node,
            "project": self.trust.project().as_str(),
            "bundle": running.map(|running| running.bundle.to_string()),
            "serial": running.map(|running| running.serial),
            "channel": self.plan.channel.as_str(),
            "since": running.map(|running| running.since.to_string()),
            "previous": previous.map(|id| id.to_string()),
            "previous_ready": previous.map(|id| self.not_ready(&id).is_none()),
            "rollback_to": rollback_to.map(|id| id.to_string()),
            "head": self.head.as_ref().map(|head| {
                json!({"bundle": head.bundle().to_string(), "serial": head.pointer().serial})
            }),
            "rollout": self.rollout_json(),
            "accepted": self.memory.record.map(|pointer| {
                json!({"serial": pointer.serial, "record": pointer.digest.to_string()})
            }),
            "resident": residents
                .map(|known| known.version.bundle().to_string())
                .collect::<Vec<_>>(),
            "hold": hold,
            "replay_protected": self.replay_protected,
            "revocations_protected": self.revocations_protected,
            "insecure_allow_unsigned": matches!(self.plan.trust, TrustSource::Disabled),
            "revocations": self.memory.revocations.serial(),
            "provides": provides(),
            "needs": self.needs(),
            "alarms": self.alarms,
            "durable": self.durable,
            "broken_certificates": self.node.tls.broken(),
            "key_sets": self.key_sets().iter().map(|set| key_set(set)).collect::<Vec<_>>(),
            "stores": self.stores(),
            "registry": self.replica.as_ref().map(Replica::status),
            "stale_secrets": stale.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "refused": refused.collect::<Vec<_>>(),
            "last_error": last_error,
            "listeners": listeners
                .iter()
                .map(|(name, address)| (name.clone(), Value::from(address.to_string())))
                .collect::<serde_json::Map<_, _>>(),
            "log_level": program_log::level().as_str(),
            "ready": self.running.is_some(),
        })
    }

    /// Progressive release of the channel's head, with the guard on this node. `None`: the head is
    /// complete.
    fn rollout_json(&self) -> Option<Value> {
        let node = self.rollout.as_ref()?;
        let mut rollout = node.json();
        let [refused, requests, comparison] = self.candidate_json(node);
        rollout["candidate_refused"] = refused;
        rollout["requests"] = requests;
        rollout["comparison"] = comparison;
        rollout["guard"] = self.guard_json().into();
        Some(rollout)
    }

    /// States of the stores whose counters limits use, as JSON.
    fn stores(&self) -> Vec<Value> {
        let states = self.node.shared.stores.states().into_iter();
        let mut states: Vec<_> = states.collect();
        states.sort_by(|a, b| a.name.cmp(&b.name));
        let values = states.iter().map(|state| {
            json!({
                "name": &*state.name,
                "up": state.is_up,
                "gateways": state.gateways,
                "leases": state.leases,
            })
        });
        values.collect()
    }

    /// Key sets that the verifiers of the running versions fetch.
    fn key_sets(&self) -> Vec<Arc<KeyCell>> {
        let current = self.node.shared.current();
        let versions = current.iter().flat_map(|current| current.versions());
        let mut cells: Vec<Arc<KeyCell>> = Vec::new();
        for cell in versions.flat_map(|loaded| loaded.snapshot.key_cells()) {
            if !cells.iter().any(|known| Arc::ptr_eq(known, cell)) {
                cells.push(Arc::clone(cell));
            }
        }
        cells
    }

    /// Features that the channel's newest bundle requires and this gwd does not have.
    fn needs(&self) -> Vec<String> {
        let head = self.head.as_ref().map(|head| head.bundle());
        self.refusals
            .iter()
            .filter(|(bundle, _)| Some(**bundle) == head)
            .filter_map(|(_, entry)| {
                let reason = entry.refused.reason();
                reason.strip_prefix("needs:").map(str::to_owned)
            })
            .collect()
    }

    /// Reason why a switch to this bundle would be refused, may fail, or must read the bundle from
    /// disk. `None` if the bundle is ready in memory.
    fn not_ready(&self, bundle: &Digest) -> Option<String> {
        if let Some(banned) = self.banned(bundle) {
            return Some(banned.reason().into_owned());
        }
        let Some(resident) = self.resident(bundle) else {
            return Some("on-disk".to_owned());
        };
        let stale = !resident.secrets.is_disjoint(&self.secrets.stale());
        stale.then(|| "secret-stale".to_owned())
    }

    fn bundles_json(&self) -> Value {
        let running = self.running.map(|running| running.bundle);
        let mut bundles: Vec<Value> = self
            .residents
            .iter()
            .map(|known| {
                let id = known.version.bundle();
                self.bundle_json(
                    &id,
                    Some(&About::of(&known.accepted)),
                    json!({
                        "routes": known.version.routes(),
                        "resident": true,
                        "running": Some(id) == running,
                    }),
                )
            })
            .collect();
        let on_disk = self.ran.ran.iter().filter(|id| {
            let dropped = self.dropped.contains(id);
            !dropped && self.resident(id).is_none()
        });
        bundles.extend(on_disk.map(|id| {
            let more = json!({"routes": Value::Null, "resident": false, "running": false});
            self.bundle_json(id, self.described.get(id), more)
        }));
        let ran = self.ran.runs.iter().map(|run| {
            json!({
                "bundle": run.bundle.to_string(),
                "serial": run.serial,
                "since": run.since.to_string(),
            })
        });
        json!({
            "schema": "bundles/v1",
            "result": "ok",
            "tool": tool(),
            "environment": Value::Null,
            "node": &*self.node.shared.node,
            "bundles": bundles,
            "ran": ran.collect::<Vec<_>>(),
        })
    }

    fn bundle_json(&self, id: &Digest, about: Option<&About>, more: Value) -> Value {
        let not_ready = self.not_ready(id);
        let mut bundle = json!({
            "bundle": id.to_string(),
            "serial": about.map(|about| about.serial),
            "created": about.map(|about| about.created.to_string()),
            "reason": about.map(|about| about.reason.clone()),
            "ready": not_ready.is_none(),
            "not_ready": not_ready,
        });
        if let (Some(bundle), Value::Object(more)) = (bundle.as_object_mut(), more) {
            bundle.extend(more);
        }
        bundle
    }
}

/// Status of one key set, as an element of `key_sets`.
fn key_set(set: &KeyCell) -> Value {
    let report = set.report();
    let now_s = clock::unix_ms() / 1_000;
    json!({
        "source": set.source().url(),
        "keys": report.keys,
        "age_s": report.fetched_s.map(|fetched_s| now_s.saturating_sub(fetched_s)),
        "fetches": report.fetches,
        "failures": report.failures,
        "failure": report.failure,
    })
}
