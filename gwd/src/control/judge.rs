//! The trust file, read again: what changes about what was accepted (release.md §4, §6).

use bundle::channel::Context;
use bundle::follow;
use bundle::ir::PROVIDES;
use bundle::trust::Trust;
use serde_json::json;

use super::{Control, TrustSource, now};
use crate::telemetry::program::{Level, audit, event};

impl Control {
    /// Reads the trust file again; one that cannot be read changes nothing.
    pub(super) fn reload_trust(&mut self) {
        let TrustSource::File(path) = &self.plan.trust else {
            return;
        };
        let Ok(bytes) = std::fs::read(path) else {
            return self.alarm("trust-unreadable", true);
        };
        if bytes == self.trust_bytes {
            return self.alarm("trust-unreadable", false);
        }
        match Trust::parse(&bytes) {
            Err(refused) => {
                self.alarm("trust-unreadable", true);
                event(
                    Level::Error,
                    "the changed trust file cannot be read; the one before stays in force",
                    json!({"error": refused.to_string()}),
                );
            }
            Ok(trust) => {
                self.alarm("trust-unreadable", false);
                self.trust = trust;
                self.trust_bytes = bytes;
                self.refusals.forget_all();
                self.store_error = None;
                audit("the trust file was read again", json!({}));
                self.judge_anew();
            }
        }
    }

    /// What the changed trust file says about what runs: an alarm, never a stop.
    fn judge_anew(&mut self) {
        let context = Context {
            trust: &self.trust,
            channel: &self.plan.channel,
            now: now(),
        };
        match follow::remember(&self.state.layout, &context) {
            Ok(memory) => self.memory = memory,
            Err(refused) => event(
                Level::Error,
                "the state folder cannot be read again",
                json!({"error": refused.to_string()}),
            ),
        }
        let running = self.residents.first();
        let untrusted = running.is_some_and(|known| {
            follow::bundle(&self.state.layout, &context, &known.accepted, PROVIDES).is_err()
        });
        self.alarm("running-untrusted", untrusted);
    }
}
