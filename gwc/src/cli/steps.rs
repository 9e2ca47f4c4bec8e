//! Progressive releases: texts and JSON about the steps of a channel's newest record, and the bundle
//! that each gateway should run.

use bundle::channel;
use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::rollout::percent;
use bundle::statement::predicate::Rollout;
use bundle::store::Blobs;
use serde_json::{Value, json};

use crate::release::Place;
use crate::release::nodes::Status;
use model::exit::{Exit, Failure};

/// Bundles that the gateways of a channel should run.
#[derive(Clone)]
pub(super) struct Wanted {
    bundle: Digest,
    /// Step of the progressive release, and the bundle of its base. `None` as the bundle: the base
    /// cannot be read. `None` as a whole: all gateways should run `bundle`.
    step: Option<(Rollout, Option<Digest>)>,
}

impl Wanted {
    /// Determines the bundles for the channel's newest record.
    pub(super) fn of(blobs: &dyn Blobs, head: &Entry) -> Self {
        let step = head.record.rollout.clone().map(|rollout| {
            let base = channel::read(blobs, &rollout.base.digest).ok();
            (rollout, base.map(|base| base.bundle))
        });
        Self {
            bundle: head.bundle,
            step,
        }
    }

    /// Creates the value for a record with this bundle and step. The bundle of the base is unknown.
    pub(super) fn new(bundle: Digest, rollout: Option<Rollout>) -> Self {
        Self {
            bundle,
            step: rollout.map(|rollout| (rollout, None)),
        }
    }

    /// Bundle of the base. `None`: the newest record is complete, or the base cannot be read.
    pub(super) fn base(&self) -> Option<Digest> {
        self.step.as_ref().and_then(|(_, base)| *base)
    }

    /// Bundle of the channel's newest record.
    pub(super) const fn bundle(&self) -> Digest {
        self.bundle
    }

    /// True if a gateway belongs to the share of the current step. `None`: there is no step. A
    /// gateway that reports no name does not belong to it.
    pub(super) fn belongs(&self, status: &Status) -> Option<bool> {
        let (rollout, _) = self.step.as_ref()?;
        let node = status.all["node"].as_str();
        Some(node.is_some_and(|node| rollout.includes(node, &self.bundle)))
    }

    /// True if a gateway runs the bundle that it should run. A gateway outside of the share may run
    /// any bundle if the base cannot be read.
    pub(super) fn is_run_by(&self, status: &Status) -> bool {
        let wanted = match (self.belongs(status), &self.step) {
            (Some(false), Some((_, base))) => *base,
            _ => Some(self.bundle),
        };
        wanted.is_none_or(|wanted| status.bundle.as_deref() == Some(&*wanted.to_string()))
    }
}

/// Text of a step, such as `step 1 of 3: 5% of the gateways`.
pub(super) fn step_text(rollout: &Rollout) -> String {
    format!(
        "step {} of {}: {} of the gateways",
        rollout.step,
        rollout.of(),
        percent(rollout.nodes_ppm())
    )
}

/// Step of a record as JSON. Null for a complete record.
pub(super) fn step_json(rollout: Option<&Rollout>) -> Value {
    rollout.map_or(Value::Null, |rollout| {
        json!({"step": rollout.step, "of": rollout.of(), "nodes": percent(rollout.nodes_ppm()),
               "guard": rollout.guard.as_ref().map(ToString::to_string),
               "base": {"serial": rollout.base.serial, "record": rollout.base.digest}})
    })
}

/// Text for a gateway's place in a step.
pub(super) const fn place_text(belongs: bool) -> &'static str {
    match belongs {
        true => "belongs to the share",
        false => "is outside of the share",
    }
}

/// Error of a command that needs a progressive release in progress.
pub(super) fn no_release(place: &Place, head: Option<&Entry>) -> anyhow::Error {
    let at = match head {
        None => "has no record yet".to_owned(),
        Some(head) => format!(
            "has no progressive release in progress: serial {} is for all gateways",
            head.pointer.serial
        ),
    };
    let message = format!(
        "channel {} {at}; `gwc apply` begins one if gateway.yaml has `release.steps`",
        place.channel
    );
    Failure::new(Exit::INPUT, "no-progressive-release", message).into()
}

/// Refuses the release of a bundle while a progressive release of another one is in progress.
pub(super) fn check_idle(
    place: &Place,
    head: Option<&Entry>,
    bundle: Digest,
) -> anyhow::Result<()> {
    let Some(head) = head.filter(|head| head.bundle != bundle) else {
        return Ok(());
    };
    let Some(rollout) = &head.record.rollout else {
        return Ok(());
    };
    Err(Failure::new(
        Exit::ROLLOUT,
        "release-in-progress",
        format!(
            "channel {} is in a progressive release of {} ({}); finish it with `gwc promote`, or \
             end it with `gwc abort`, then release again",
            place.channel,
            head.bundle.short(),
            step_text(rollout)
        ),
    )
    .into())
}
