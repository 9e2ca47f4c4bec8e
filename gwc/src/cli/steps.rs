//! Progressive releases: texts and JSON about the steps of a channel's newest record, and the
//! bundle that each gateway should run.

use std::collections::BTreeSet;

use bundle::channel;
use bundle::digest::Digest;
use bundle::history::Entry;
use bundle::rollout::{ALL_PPM, percent};
use bundle::statement::predicate::Rollout;
use bundle::store::Blobs;
use bundle::trust::Trust;
use serde_json::{Value, json};

use crate::release::nodes::Status;
use crate::release::{AnyStore, Place, evidence};
use model::exit::{Exit, Failure};

/// Bundles that the gateways of a channel should run.
#[derive(Clone)]
pub(super) struct Wanted {
    bundle: Digest,
    /// Step of the progressive release. `None`: all gateways should run `bundle`.
    step: Option<Step>,
}

/// Step of a progressive release.
#[derive(Clone)]
struct Step {
    rollout: Rollout,
    /// Bundle of the base. `None`: the base cannot be read.
    base: Option<Digest>,
    /// Bundle of the step that gateways must stop running, because it is revoked or withdrawn. All
    /// gateways should run the other bundle of the step. `None`: both bundles may run.
    left: Option<Digest>,
}

impl Wanted {
    /// Determines the bundles for the channel's newest record.
    pub(super) fn of(blobs: &dyn Blobs, head: &Entry) -> Self {
        let step = head.record.rollout.clone().map(|rollout| {
            let base = channel::read(blobs, &rollout.base.digest).ok();
            Step {
                rollout,
                base: base.map(|base| base.bundle),
                left: None,
            }
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
            step: rollout.map(|rollout| Step {
                rollout,
                base: None,
                left: None,
            }),
        }
    }

    /// Takes into account that gateways leave a bundle of a progressive release if it is revoked,
    /// or if the newest record `head` withdraws it. If this applies to both bundles, no gateway
    /// leaves its bundle.
    pub(super) fn without_banned(
        mut self,
        head: &Entry,
        is_revoked: impl Fn(Digest) -> bool,
    ) -> Self {
        let is_banned =
            |bundle: Digest| head.record.withdraw.contains(&bundle) || is_revoked(bundle);
        if let Some(step) = &mut self.step
            && let Some(base) = step.base
        {
            step.left = match (is_banned(self.bundle), is_banned(base)) {
                (true, false) => Some(self.bundle),
                (false, true) => Some(base),
                _ => None,
            };
        }
        self
    }

    /// Bundle of the base. `None`: the newest record is complete, or the base cannot be read.
    pub(super) fn base(&self) -> Option<Digest> {
        self.step.as_ref().and_then(|step| step.base)
    }

    /// Bundle of the progressive release that all gateways must stop running. `None`: there is no
    /// such bundle.
    pub(super) fn left(&self) -> Option<Digest> {
        self.step.as_ref().and_then(|step| step.left)
    }

    /// Bundle of the channel's newest record.
    pub(super) const fn bundle(&self) -> Digest {
        self.bundle
    }

    /// True if a gateway belongs to the share of the current step. `None`: there is no step. A
    /// gateway that reports no name does not belong to it.
    pub(super) fn belongs(&self, status: &Status) -> Option<bool> {
        let step = self.step.as_ref()?;
        let node = status.all["node"].as_str();
        Some(node.is_some_and(|node| step.rollout.includes(node, &self.bundle)))
    }

    /// True if the gateways of the share should serve some of their requests with the bundle of the
    /// newest record, or only compare its decisions, and serve the others with the base.
    pub(super) fn splits_requests(&self) -> bool {
        let step = self.step.as_ref().filter(|step| step.left.is_none());
        step.is_some_and(|step| step.rollout.splits_requests())
    }

    /// True if the gateways of the share should only compare the decisions of the bundle of the
    /// newest record.
    pub(super) fn is_shadow(&self) -> bool {
        let step = self.step.as_ref().filter(|step| step.left.is_none());
        step.is_some_and(|step| step.rollout.is_shadow())
    }

    /// True if a gateway serves some requests with the bundle of the newest record beside the base,
    /// or compares its decisions, as the step requires.
    pub(super) fn is_used_beside_base(&self, status: &Status) -> bool {
        let rollout = &status.all["rollout"];
        let part = match self.is_shadow() {
            true => &rollout["comparison"],
            false => &rollout["requests"],
        };
        part.is_object() && rollout["candidate"] == self.bundle.to_string()
    }

    /// True if a gateway runs the bundle that it should run. A gateway outside of the share may run
    /// any bundle if the base cannot be read.
    pub(super) fn is_run_by(&self, status: &Status) -> bool {
        let belongs = self.belongs(status) != Some(false);
        if belongs && self.splits_requests() {
            return self.is_used_beside_base(status);
        }
        let wanted = match &self.step {
            Some(step) if step.left == Some(self.bundle) => step.base,
            Some(step) if !belongs && step.left.is_none() => step.base,
            _ => Some(self.bundle),
        };
        wanted.is_none_or(|wanted| runs_alone(status, wanted))
    }
}

/// True if a gateway serves all requests with this bundle.
pub(super) fn runs_alone(status: &Status, bundle: Digest) -> bool {
    let serves_two = status.all["rollout"]["requests"].is_object();
    !serves_two && status.bundle.as_deref() == Some(&*bundle.to_string())
}

/// Determines the bundles that the gateways of a channel should run. A revocation list that cannot
/// be read counts as empty, because the state of the gateways matters most then.
pub(super) fn wanted(
    store: &AnyStore,
    trust: Option<&Trust>,
    place: &Place,
    head: &Entry,
) -> Wanted {
    let is_revoked = |bundle: Digest| {
        let revoked = evidence::is_revoked(store, trust, &place.channel, bundle);
        revoked.unwrap_or(false)
    };
    Wanted::of(store, head).without_banned(head, is_revoked)
}

/// Refuses to withdraw the bundle of the base in a step that leaves gateways outside of the share:
/// all of them would change at once. `withdraw`: bundles that the new record withdraws.
pub(super) fn check_withdrawn(
    blobs: &dyn Blobs,
    head: &Entry,
    withdraw: &BTreeSet<Digest>,
) -> anyhow::Result<()> {
    let base = Wanted::of(blobs, head).base();
    let is_new = |base: &Digest| withdraw.contains(base) && !head.record.withdraw.contains(base);
    if !base.as_ref().is_some_and(is_new) {
        return Ok(());
    }
    let message = "--withdraw names the bundle of the gateways outside of the share, which would \
                   all change at once; withdraw it with `gwc promote --to-all --withdraw ID`";
    Err(Failure::usage(message).into())
}

/// Text of a step, such as `step 1 of 3: 5% of the gateways`.
pub(super) fn step_text(rollout: &Rollout) -> String {
    let (nodes, is_shadow) = (rollout.nodes_ppm(), rollout.is_shadow());
    let requests = match is_shadow {
        true => rollout.shadow_ppm(),
        false => rollout.traffic_ppm(),
    };
    let share = match (nodes, requests) {
        (_, ALL_PPM) if !is_shadow => format!("{} of the gateways", percent(nodes)),
        (ALL_PPM, _) => format!("{} of the requests", percent(requests)),
        _ => format!(
            "{} of the requests of {} of the gateways",
            percent(requests),
            percent(nodes)
        ),
    };
    let share = match is_shadow {
        true => format!("compares {share}, serves none"),
        false => share,
    };
    format!("step {} of {}: {share}", rollout.step, rollout.of())
}

/// Step of a record as JSON. Null for a complete record.
pub(super) fn step_json(rollout: Option<&Rollout>) -> Value {
    rollout.map_or(Value::Null, |rollout| {
        json!({"step": rollout.step, "of": rollout.of(), "nodes": percent(rollout.nodes_ppm()),
               "traffic": percent(rollout.traffic_ppm()),
               "shadow": rollout.is_shadow().then(|| percent(rollout.shadow_ppm())),
               "sticky": rollout.sticky.as_ref().map(ToString::to_string),
               "testers": rollout.testers.as_ref().map(ToString::to_string),
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

/// Refuses the release of a bundle while a progressive release of a different bundle is in
/// progress.
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
