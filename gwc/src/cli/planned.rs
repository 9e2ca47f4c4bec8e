//! The plan of a move of the channel, with everything that is said about it.

use std::io::IsTerminal as _;

use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::store::Store;
use serde_json::Value;

use super::{plan, say};
use crate::exit::{Exit, Failure};
use crate::plan::json::{self, Base, Verdict};
use crate::plan::{Side, human};
use crate::release::{self, Place};

/// A plan that was made.
pub(super) struct Planned {
    /// `plan/v1`.
    pub(super) json: Value,
    /// For people.
    pub(super) human: String,
    /// Gates that tripped, each with the fingerprints that did it.
    tripped: Vec<(String, Vec<String>)>,
}

impl Planned {
    /// Compares what the channel runs with what it would run.
    pub(super) fn new(
        place: &Place,
        head: Option<&Entry>,
        (old, new): (Option<&Side>, &Side),
        gates: Vec<String>,
        acknowledged: &[String],
    ) -> anyhow::Result<Self> {
        let plan = plan::compare(old, new)?;
        let verdict = Verdict {
            gates,
            acknowledged: acknowledged.to_vec(),
        };
        let base = Base {
            channel: Some(place.channel.to_string()),
            serial: head.map(|head| head.pointer.serial),
            record: head.map(|head| head.pointer.digest.to_string()),
            environment: place.environment.clone(),
        };
        let color = say::look(std::io::stdout().is_terminal()).color;
        Ok(Self {
            json: json::document(&plan, &base, &verdict),
            human: human::render(&plan, &base, &verdict, color),
            tripped: plan.tripped(&verdict.gates, &verdict.acknowledged),
        })
    }

    /// What a record says about the plan that led to it.
    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.json.to_string().as_bytes())
    }

    /// Refuses to go on if a gate tripped.
    pub(super) fn check_gates(&self) -> Result<(), Failure> {
        if self.tripped.is_empty() {
            return Ok(());
        }
        let gates: Vec<String> = self
            .tripped
            .iter()
            .map(|(gate, by)| format!("{gate} ({})", by.join(", ")))
            .collect();
        Err(Failure::new(
            Exit::FINDINGS,
            "gate-tripped",
            format!(
                "nothing was signed or published, because gates tripped: {}; accept what is meant with --ack FINGERPRINT",
                gates.join("; ")
            ),
        ))
    }
}

/// A side of the plan from the store.
pub(super) fn load(
    store: &dyn Store,
    bundle: Digest,
    source: Option<Digest>,
) -> anyhow::Result<Side> {
    let (lowered, source) = release::side(store, bundle, source)?;
    Ok(Side {
        bundle,
        lowered,
        source,
    })
}
