//! Steps of the chain for a request, with their phases and outcomes.

use std::collections::BTreeMap;

use bundle::ir::{self, Link};
use engine::{ChainStep, Decided, Snapshot, Verdict};
use policy::declared::Settings;
use policy::guard::validate;
use policy::validation::Undeclared;
use policy::{Checked, Phase, Policy as _, Principal, plans};

use super::route_request::{Here, RouteRequest};
use crate::security;
use model::source_map::{FieldSource, From, Place};

/// Step of the chain.
#[derive(Clone, Debug)]
pub struct Step {
    /// Phase of the step.
    pub phase: &'static str,
    /// Name of the policy.
    pub policy: String,
    /// Kind of the policy.
    pub kind: String,
    /// Level of the configuration that adds the step: `required`, `defaults`, `document`, `path` or
    /// `operation`. `None` if the level is unknown or the step is built in.
    pub from: Option<&'static str>,
    /// Source location that adds the step. `None` if the location is unknown or the step is built
    /// in.
    pub place: Option<Place>,
    /// Settings by path. Secrets are shown as references.
    pub settings: BTreeMap<String, String>,
    /// Outcome of the step.
    pub outcome: Outcome,
}

/// Outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The step allowed the request, and the next step runs.
    Continue,
    /// The step refused the request.
    Reject {
        /// HTTP status of the refusal.
        status: u16,
        /// Machine-readable reason of the refusal.
        reason: &'static str,
    },
    /// The outcome depends on the answer of another service. gwc does not call the service.
    Depends,
    /// The step responded to the request.
    Reply {
        /// HTTP status of the response.
        status: u16,
    },
    /// The step did not run: an earlier step ended the chain, or the step is a limit of a plan that
    /// the caller does not have.
    NotRun,
    /// gwd does not support the step yet, so the decision of `gwc route` ignores it.
    LeftOut,
}

impl Outcome {
    /// Names of all outcomes, for the schema.
    pub const ALL: [&str; 6] = [
        "continue", "reject", "reply", "depends", "not run", "left out",
    ];

    /// Name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Reject { .. } => "reject",
            Self::Reply { .. } => "reply",
            Self::Depends => "depends",
            Self::NotRun => "not run",
            Self::LeftOut => "left out",
        }
    }
}

/// Step of the listener, which checks the request head before routing.
pub(super) fn admission(route_request: RouteRequest<'_>, outcome: Outcome) -> Step {
    let name = route_request.listener();
    let listener = route_request.gateway().shared.listeners.get(name);
    let settings = listener.map(crate::details::listener);
    let limits =
        settings.map(|all| all.without(|path| path.first().is_none_or(|key| key != "limits")));
    Step {
        phase: "admission",
        policy: name.to_owned(),
        kind: "listener".to_owned(),
        from: None,
        place: route_request
            .definition(&format!("listener {name}"))
            .cloned(),
        settings: limits.map(|all| settings_text(&all)).unwrap_or_default(),
        outcome,
    }
}

/// Steps of the compiled chain, including those that gwd does not support yet.
pub(super) fn steps(here: Here<'_>, decided: &Decided<'_>) -> Vec<Step> {
    // Outcomes of the engine are numbered by step. A step that removes credentials or parameters
    // does not belong to a policy.
    let run = here.route.treatment.chain.iter().zip(1..);
    let mut run =
        run.filter(|(step, _)| !matches!(step, ChainStep::Strip | ChainStep::RemoveParameters));
    let mut number = || run.next().map_or(usize::MAX, |(_, number)| number);
    let snapshot = here.route_request.oracle.snapshot();
    let is_cors =
        |link: &Link| policy(here, link).is_some_and(|one| matches!(one.checked, Checked::Cors(_)));
    let nearest_cors = here.treatment.chain.iter().rposition(is_cors);
    let mut steps: Vec<Step> = Vec::new();
    let mut validates = here.treatment.forwarding.validate.as_ref();
    for (at, link) in here.treatment.chain.iter().enumerate() {
        let policy = policy(here, link);
        let phase = policy.and_then(|one| one.checked.phase());
        if phase >= Some(Phase::Transform)
            && let Some(checked) = validates.take()
        {
            steps.push(validation(
                here,
                checked,
                outcome(snapshot, decided, number()),
            ));
        }
        steps.push({
            let declared = policy.is_some_and(|one| matches!(one.checked, Checked::Declared(_)));
            let parameter = policy.is_some_and(|one| match &one.checked {
                Checked::Retry(_) | Checked::CircuitBreaker(_) => true,
                Checked::Validate(checked) => checked.is_off(),
                _ => false,
            });
            let outcome = if declared {
                Outcome::LeftOut
            } else if is_cors(link) && nearest_cors != Some(at) {
                // The engine runs only the last `cors` of the chain.
                Outcome::NotRun
            } else if parameter {
                // `retry` and `circuit_breaker` control the attempts at the upstream, which follow
                // the last step. A `validate` policy that is off checks nothing.
                match decided.verdict {
                    Verdict::Forward => Outcome::Continue,
                    Verdict::Reply(_) | Verdict::Reject(_) | Verdict::Ask(_) => Outcome::NotRun,
                }
            } else {
                outcome(snapshot, decided, number())
            };
            match policy {
                None => authenticate(here, outcome),
                Some(policy) => step(here, policy, outcome),
            }
        });
    }
    if let Some(checked) = validates {
        steps.push(validation(
            here,
            checked,
            outcome(snapshot, decided, number()),
        ));
    }
    // Forwarding settings of the operation itself run after its policies.
    for (key, checked) in here.treatment.forwarding.steps() {
        let number = number();
        let (_, place, _) = source(here, key);
        steps.push(Step {
            phase: checked.phase().map_or("parameter", Phase::name),
            policy: key.to_owned(),
            kind: checked.kind().to_owned(),
            from: Some("operation"),
            place,
            settings: settings_text(&checked.settings()),
            outcome: outcome(snapshot, decided, number),
        });
    }
    steps
}

/// Sets the outcome of limits to "not run" if they belong to plans that the caller does not have.
pub(super) fn leave_other_plans(
    route_request: RouteRequest<'_>,
    caller: Option<&Principal<'_>>,
    steps: &mut [Step],
) {
    for step in steps.iter_mut() {
        let policy = route_request.gateway().shared.policies.get(&step.policy);
        let settings = policy.map(|policy| policy.checked.settings());
        let texts = |key| settings.as_ref().and_then(|all| all.texts(&[key]));
        let Some(plans) = texts("plans") else {
            continue;
        };
        let groups = texts("groups").unwrap_or_default();
        let applies = caller.is_some_and(|caller| plans::applies(&plans, &groups, caller));
        if !applies && step.outcome == Outcome::Continue {
            step.outcome = Outcome::NotRun;
        }
    }
}

/// Outcome of the step with this number. The first step has the number 1.
fn outcome(snapshot: &Snapshot, decided: &Decided<'_>, number: usize) -> Outcome {
    match number.cmp(&decided.ran) {
        std::cmp::Ordering::Less => Outcome::Continue,
        std::cmp::Ordering::Greater => Outcome::NotRun,
        std::cmp::Ordering::Equal => match &decided.verdict {
            Verdict::Forward => Outcome::Continue,
            Verdict::Ask(_) => Outcome::Depends,
            Verdict::Reply(reply) => Outcome::Reply {
                status: reply.status.as_u16(),
            },
            Verdict::Reject(refusal) => Outcome::Reject {
                status: snapshot.status_of(decided.route.as_ref(), refusal.reject),
                reason: refusal.reject.code,
            },
        },
    }
}

fn authenticate(here: Here<'_>, outcome: Outcome) -> Step {
    let (_, place, _) = source(here, "security");
    let who = security::describe(&here.treatment.security);
    Step {
        phase: "authenticate",
        policy: "authenticate".to_owned(),
        kind: "security".to_owned(),
        from: None,
        place,
        settings: [("security".to_owned(), who)].into(),
        outcome,
    }
}

/// Step for the field `validate`.
fn validation(here: Here<'_>, checked: &validate::Checked, outcome: Outcome) -> Step {
    let (from, place, _) = source(here, "validate.request");
    let mut settings = settings_text(&checked.settings());
    if checked.undeclared != Undeclared::Allow {
        let word = checked.undeclared.word().to_owned();
        settings.insert("undeclared_params".to_owned(), word);
    }
    Step {
        phase: Phase::Validate.name(),
        policy: "validate".to_owned(),
        kind: "validate".to_owned(),
        from,
        place,
        settings,
        outcome,
    }
}

fn step(here: Here<'_>, policy: &ir::Policy, outcome: Outcome) -> Step {
    let (from, place, _) = source(here, &format!("policies/{}", policy.name));
    Step {
        phase: policy.checked.phase().map_or("parameter", Phase::name),
        policy: policy.name.clone(),
        kind: policy.checked.kind().to_owned(),
        from,
        place,
        settings: settings_text(&policy.checked.settings()),
        outcome,
    }
}

pub(super) fn policy<'a>(here: Here<'a>, link: &Link) -> Option<&'a ir::Policy> {
    match link {
        Link::Authenticate => None,
        Link::Shared(name) => here.route_request.gateway().shared.policies.get(name),
        Link::Own(name) => here.api.policies.get(name),
    }
}

/// Level and source location of a field's value, and source locations of the values that it
/// overrides.
fn source(here: Here<'_>, field: &str) -> (Option<&'static str>, Option<Place>, Vec<Place>) {
    match here.route_request.field(&here.operation.key, field) {
        Some(FieldSource::Written {
            place,
            overrides,
            from,
        }) => {
            let from = from.map(|from| match from {
                From::Required => "required",
                From::Defaults => "defaults",
                From::Document => "document",
                From::Path => "path",
                From::Operation => "operation",
            });
            (from, Some(place.clone()), overrides.clone())
        }
        Some(FieldSource::Default { .. }) | None => (None, None, Vec::new()),
    }
}

/// Settings by path, as text for display.
pub(super) fn settings_text(settings: &Settings) -> BTreeMap<String, String> {
    let all = settings.iter();
    all.map(|one| (one.path.join("."), super::effective::text(&one.value)))
        .collect()
}
