//! What is kept for a restart and for a way back, and what is given up: in the state folder and
//! in memory.

use bundle::channel::Accepted;
use bundle::follow;
use bundle::moment::Moment;
use bundle::refused::Refused;
use bundle::store::folder::Folder;
use bundle::store::{WriteError, sweep};
use serde_json::json;

use super::{Control, now};
use crate::node::Version;
use crate::telemetry::program::{Level, event};

/// Records whose bundles stay on disk.
const ON_DISK: usize = 20;
/// Bundles younger than this stay, too.
const YOUNG_S: u64 = 3_600;
/// How often names and addresses that nobody uses are given up.
const TIDY_MS: u64 = 60_000;

impl Control {
    /// What was accepted is remembered even where its bundle does not run, so that an older
    /// record cannot come back.
    pub(super) fn remember(&mut self, from: &Folder, accepted: &Accepted) {
        self.memory = accepted.memory();
        self.persist_record(from, accepted);
    }

    pub(super) fn persist_record(&self, from: &Folder, accepted: &Accepted) {
        if let Err(error) = follow::keep_record(from, &self.state.layout, accepted) {
            event(
                Level::Error,
                "a record cannot be kept in the state folder; a restart may not know it",
                json!({"serial": accepted.pointer().serial, "error": error.to_string()}),
            );
        }
    }

    pub(super) fn persist_ran(&self) -> bool {
        match self.state.write(&self.ran) {
            Ok(()) => true,
            Err(refused) => {
                event(
                    Level::Error,
                    "the state folder cannot be written; a restart would not know what ran",
                    json!({"reason": refused.reason(), "error": refused.to_string()}),
                );
                false
            }
        }
    }

    /// Drops bundles from the state folder that nobody can want: neither recent nor running nor
    /// resident.
    pub(super) fn clean_up(&self) {
        let layout = &self.state.layout;
        let young_since = Moment::from_unix_s(now().unix_s().saturating_sub(YOUNG_S));
        let dropped = sweep::retained(layout, ON_DISK).and_then(|mut kept| {
            kept.extend(self.ran.ran.iter());
            kept.extend(self.residents.iter().map(|known| known.version.bundle()));
            let garbage = sweep::garbage(layout, &kept, young_since)?;
            sweep::remove(layout, &garbage)?;
            Ok(garbage.len())
        });
        if let Err(refused) = dropped {
            event(
                Level::Warn,
                "the state folder cannot be cleaned up; it grows",
                json!({"error": refused.to_string()}),
            );
        }
    }

    /// Soon after the versions in memory have changed, and now and then.
    pub(super) fn tidy(&mut self) {
        self.node.empty_bin();
        let now_ms = self.now_ms();
        if now_ms < self.tidy_at_ms {
            return;
        }
        self.tidy_at_ms = now_ms + TIDY_MS;
        let versions: Vec<Version> = self
            .residents
            .iter()
            .map(|known| known.version.clone())
            .collect();
        self.node.tidy(&versions);
    }
}

pub(super) fn not_durable(error: WriteError) -> Refused {
    match error {
        WriteError::Refused(Refused::StoreUnreachable { why }) => Refused::StateNotDurable { why },
        WriteError::Refused(refused) => refused,
        WriteError::Conflict { serial } => Refused::Forked { serial },
    }
}
