//! Descriptions of the bundles that ran on this node, for `GET /v1/bundles`.

use std::collections::BTreeMap;

use bundle::channel::Accepted;
use bundle::digest::Digest;
use bundle::follow;
use bundle::moment::Moment;

use super::{Control, KEPT_MAX};

/// Descriptions of the bundles that ran, each from the bundle's newest record.
#[derive(Debug, Default)]
pub(super) struct Described {
    by_bundle: BTreeMap<Digest, About>,
    /// True once the records in the state folder have been read.
    complete: bool,
}

/// Fields of a channel record that describe its bundle.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) serial: u64,
    pub(super) created: Moment,
    pub(super) reason: String,
}

impl About {
    pub(super) fn of(accepted: &Accepted) -> Self {
        Self {
            serial: accepted.pointer().serial,
            created: accepted.record().created,
            reason: accepted.record().reason.clone(),
        }
    }
}

impl Described {
    pub(super) fn get(&self, bundle: &Digest) -> Option<&About> {
        self.by_bundle.get(bundle)
    }
}

impl Control {
    /// Reads the descriptions of the bundles that ran before this start. Does this once, after the
    /// first version runs.
    pub(super) fn describe(&mut self) {
        if self.described.complete {
            return;
        }
        self.described.complete = true;
        let list = &self.memory.revocations;
        let Ok(kept) = follow::stored_records(&self.state.layout, &self.context(), list, KEPT_MAX)
        else {
            return;
        };
        for accepted in kept.accepted {
            let bundle = accepted.bundle();
            if self.ran.ran.contains(&bundle) {
                let known = self.described.by_bundle.entry(bundle);
                known.or_insert_with(|| About::of(&accepted));
            }
        }
    }

    /// Stores the description of a bundle that now runs, from its record `accepted`. Drops the
    /// descriptions of bundles outside the history.
    pub(super) fn describe_running(&mut self, accepted: &Accepted) {
        let described = &mut self.described.by_bundle;
        described.retain(|bundle, _| self.ran.ran.contains(bundle));
        described.insert(accepted.bundle(), About::of(accepted));
    }
}
