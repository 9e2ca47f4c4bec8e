//! Plan for a channel move, with its notes and warnings.

use bundle::digest::Digest;
use bundle::history::Entry;
use serde_json::{Value, json};

use super::review::{ReviewOptions, report_idle};
use super::{plan, say, terminal};
use crate::release::Place;
use ::plan::report::{Report, Subject};
use ::plan::{self as plans, Class, Review, Side, human};
use model::exit::{Exit, Failure};
use model::rules::Rules;

/// Plan for a channel move, as JSON and as text, with the gates that block the move.
pub(super) struct PlannedMove {
    /// Plan in the format `plan/v1`.
    pub(super) json: Value,
    /// Plan as text for people.
    pub(super) human: String,
    /// True if the release rules differ from those of the old version.
    pub(super) changes_rules: bool,
    /// Gates that block the move, each with the fingerprints of the blocking changes.
    tripped: Vec<(String, Vec<String>)>,
    /// Message about the first witness that does not show its change. `None` for a rollback,
    /// because a failed witness must not block a rollback.
    unconfirmed: Option<String>,
    review: Review,
    folder: String,
}

/// Scope of the gates that can block a channel move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GateScope {
    /// Gates of gateway.yaml and of the command line.
    Every,
    /// Gates of the command line only. Gates of gateway.yaml must not block a rollback.
    Named,
}

impl PlannedMove {
    /// Compares the bundle of the channel's newest record with a new bundle.
    pub(super) fn new(
        place: &Place,
        head: Option<&Entry>,
        (old, new): (Option<&Side>, &Side),
        options: &ReviewOptions,
        stops: GateScope,
    ) -> anyhow::Result<Self> {
        let environment = place.environment.as_deref().unwrap_or_default();
        let mut plan = plan::compare(old, new)?.in_environment(environment);
        plan::note_rules(&mut plan);
        let rules: Vec<&Rules> = plan::rules_of(old).into_iter().collect();
        let review = options.review(&plan, &[place], &rules);
        let (tripped, idle): (Vec<_>, Vec<_>) = review
            .tripped(&plan)
            .into_iter()
            .partition(|(gate, _)| stops == GateScope::Every || options.gate.contains(gate));
        let subject = Subject {
            channel: Some(place.channel.to_string()),
            serial: head.map(|head| head.pointer.serial),
            record: head.map(|head| head.pointer.digest.to_string()),
            environment: place.environment.clone(),
            folder: say::seen_folder(&place.root),
            ..Subject::default()
        };
        let report = Report {
            plan: &plan,
            subject: &subject,
            review: &review,
        };
        let color = terminal::has_color(&std::io::stdout());
        let look = human::Look { color, all: false };
        // Show only the gates that can block this move.
        let mut shown = review.clone();
        shown
            .gates
            .retain(|gate| idle.iter().all(|(idle, _)| idle != gate));
        let mut human = human::render(
            &Report {
                review: &shown,
                ..report
            },
            look,
        );
        if !idle.is_empty() {
            let names: Vec<String> = idle.iter().map(|(gate, _)| format!("`{gate}`")).collect();
            human.push_str(&format!(
                "\nGates of gateway.yaml ({}) would stop this change as a release; a rollback stops only at a gate given by --gate CLASS\n",
                names.join(", ")
            ));
        }
        let unconfirmed = review.unconfirmed(&plan).into_iter();
        let mut unconfirmed = unconfirmed.filter(|_| stops == GateScope::Every);
        Ok(Self {
            unconfirmed: unconfirmed.next().map(str::to_owned),
            json: plans::json::document(&report),
            human,
            changes_rules: plan.count(Class::Rules) > 0,
            tripped,
            folder: subject.folder,
            review,
        })
    }

    /// Reports acknowledgements that have no effect.
    pub(super) fn report_idle(&self) {
        report_idle(&self.review, &self.folder);
    }

    /// Digest of the plan, which the channel record and approvals contain. The digest covers both
    /// sides and the changes. It does not cover acknowledgements, source locations and gates, so
    /// that all checkouts of the same sources have the same digest.
    pub(super) fn digest(&self) -> Digest {
        let changes = self.json["changes"].as_array().into_iter().flatten();
        let changes: Vec<Value> = changes
            .cloned()
            .map(|mut change| {
                if let Some(fields) = change.as_object_mut() {
                    fields.remove("acked");
                    fields.remove("source");
                }
                change
            })
            .collect();
        let part = |name: &str| &self.json[name];
        let plan = json!({"base": part("base"), "target": part("target"),
                          "environment": part("environment"), "changes": changes});
        Digest::of(plan.to_string().as_bytes())
    }

    /// Returns an error if a gate blocks the move.
    pub(super) fn check_gates(&self) -> Result<(), Failure> {
        if let Some(bug) = &self.unconfirmed {
            return Err(plan::unconfirmed(bug));
        }
        let gates: Vec<String> = self
            .tripped
            .iter()
            .map(|(gate, by)| format!("{gate} ({})", named(by)))
            .collect();
        if gates.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::FINDINGS,
            "gate-tripped",
            format!(
                "nothing was signed or published, because gates tripped: {}; accept intended \
changes with --ack FINGERPRINT=REASON, or in the file that `acknowledge` of gateway.yaml names",
                gates.join("; ")
            ),
        ))
    }
}

/// First fingerprints of a list, as text for a message. At most 10.
fn named(by: &[String]) -> String {
    const NAMED_MAX: usize = 10;
    let named = by[..by.len().min(NAMED_MAX)].join(", ");
    match by.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
