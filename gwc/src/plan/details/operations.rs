//! What happens to an operation's requests.

use std::collections::HashMap;

use bundle::ir::{self, Link};
use policy::Checked;
use policy::declared::Scalar;
use serde_json::{Value, json};

use super::{fields, reference, schemes};
use crate::plan::{Change, Class, Plan, Section};

/// A difference, not yet of an operation.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) class: Class,
    pub(super) id: &'static str,
    pub(super) subject: String,
    pub(super) old: Value,
    pub(super) new: Value,
}

/// One side: an API in its gateway.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) api: &'a ir::Api,
    pub(super) shared: &'a ir::Shared,
}

/// Effective values of operations. Each pair of treatments is compared once, however many
/// operations have it.
pub(super) fn operations(old: Of<'_>, new: Of<'_>, plan: &mut Plan) {
    let mut known: HashMap<(u32, u32), (Vec<Line>, String)> = HashMap::new();
    let renamed = Renamed::of(old.api, new.api);
    for operation in &new.api.operations {
        let Some(before) = renamed.before(old.api, operation) else {
            continue;
        };
        let pair = (before.treatment, operation.treatment);
        let (lines, policies) = known.entry(pair).or_insert_with(|| {
            let was = &old.api.treatments[before.treatment as usize];
            let is = &new.api.treatments[operation.treatment as usize];
            let policies = came_and_went((old, was), (new, is));
            (treatments((old, was), (new, is)), policies)
        });
        let mut push = |line: Line| {
            let Line {
                class,
                id,
                subject,
                old: was,
                new: is,
            } = line;
            let mut change = Change::new(Section::Policy, class, id, subject, was, is);
            if id == "policies-changed" {
                change.bound.clone_from(policies);
            }
            plan.changes.push(change.of(reference(new.api, operation)));
        };
        lines.iter().cloned().for_each(&mut push);
        if before.trailing_slash != operation.trailing_slash {
            push(Line {
                class: Class::Changed,
                id: "trailing-slash-changed",
                subject: "trailing_slash".into(),
                old: slash(before.trailing_slash).into(),
                new: slash(operation.trailing_slash).into(),
            });
        }
        if before.priority != operation.priority {
            push(Line {
                class: Class::Changed,
                id: "priority-changed",
                subject: "priority".into(),
                old: before.priority.into(),
                new: operation.priority.into(),
            });
        }
    }
}

/// Operations of the old side whose key is gone, by what tells their requests: a new name must
/// not hide what else changed.
struct Renamed<'a>(HashMap<Requests<'a>, &'a ir::Operation>);

/// What tells an operation's requests within its API.
type Requests<'a> = (&'a str, &'a ir::Template, &'a [ir::Condition], ir::Owns);

impl<'a> Renamed<'a> {
    fn of(old: &'a ir::Api, new: &ir::Api) -> Self {
        let gone = old.operations.iter();
        let gone = gone.filter(|operation| new.operations.get(&operation.key).is_none());
        Self(
            gone.map(|operation| (requests(operation), operation))
                .collect(),
        )
    }

    /// What an operation was before: the one with its key; for a key that is new, the one with
    /// its requests whose key is gone.
    fn before(&self, old: &'a ir::Api, operation: &ir::Operation) -> Option<&'a ir::Operation> {
        let same = old.operations.get(&operation.key);
        same.or_else(|| self.0.get(&requests(operation)).copied())
    }
}

fn requests(operation: &ir::Operation) -> Requests<'_> {
    (
        &operation.method,
        &operation.template,
        &operation.conditions,
        operation.owns,
    )
}

fn slash(slash: ir::TrailingSlash) -> &'static str {
    match slash {
        ir::TrailingSlash::Strict => "strict",
        ir::TrailingSlash::Redirect => "redirect",
        ir::TrailingSlash::Ignore => "ignore",
    }
}

fn treatments(
    (old, was): (Of<'_>, &ir::Treatment),
    (new, is): (Of<'_>, &ir::Treatment),
) -> Vec<Line> {
    let mut lines = Vec::new();
    if was.timeout_ms != is.timeout_ms {
        let told = |ms: u64| Value::from(Scalar::Duration(ms).to_string());
        lines.push(Line {
            class: if is.timeout_ms > was.timeout_ms {
                Class::Relax
            } else {
                Class::Tighten
            },
            id: "timeout-changed",
            subject: "timeout".into(),
            old: told(was.timeout_ms),
            new: told(is.timeout_ms),
        });
    }
    if was.max_body_bytes != is.max_body_bytes {
        let told = |limit: Option<u64>| {
            let told = limit.map(|bytes| Scalar::Size(bytes).to_string());
            Value::from(told.unwrap_or_else(|| "no limit".to_owned()))
        };
        let amount = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        lines.push(Line {
            class: if amount(is.max_body_bytes) > amount(was.max_body_bytes) {
                Class::Relax
            } else {
                Class::Tighten
            },
            id: "max-body-changed",
            subject: "max_body".into(),
            old: told(was.max_body_bytes),
            new: told(is.max_body_bytes),
        });
    }
    chain((old, was), (new, is), &mut lines);
    schemes::schemes((old.api, was), (new.api, is), &mut lines);
    fields::settings(
        &fields::OPERATION,
        "",
        &was.settings(),
        &is.settings(),
        &mut lines,
    );
    lines
}

/// Policies that come, go or stand elsewhere.
fn chain(
    (old, was): (Of<'_>, &ir::Treatment),
    (new, is): (Of<'_>, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    let names = |treatment: &ir::Treatment| -> Vec<String> {
        treatment
            .chain
            .iter()
            .filter_map(named)
            .map(str::to_owned)
            .collect()
    };
    let (a, b) = (names(was), names(is));
    if a != b {
        let removed: Vec<&String> = a.iter().filter(|name| !b.contains(name)).collect();
        let added: Vec<&String> = b.iter().filter(|name| !a.contains(name)).collect();
        let (removed, added) = renamed((&removed, (old, was)), (&added, (new, is)), lines);
        let limits = |names: &[&String], side: Of<'_>| {
            !names.is_empty() && names.iter().all(|name| is_limit(name, side))
        };
        let class = match (removed.is_empty(), added.is_empty()) {
            (false, true) if limits(&removed, old) => Class::Relax,
            (true, false) if limits(&added, new) => Class::Tighten,
            _ => Class::Changed,
        };
        lines.push(Line {
            class,
            id: "policies-changed",
            subject: "policies".into(),
            old: a.into(),
            new: b.into(),
        });
    }
    // The same name, defined elsewhere: gateway.yaml's gave way to the document's, or the other
    // way round. Where both stand in one place the definition is compared there.
    for name in was.chain.iter().filter_map(named) {
        let (before, after) = (definition(was, name, old), definition(is, name, new));
        if let (Some((moved_from, before)), Some((moved_to, after))) = (before, after)
            && moved_from != moved_to
            && before != after
        {
            let subject = format!("policies {name}");
            settings(&subject, before, after, lines);
            lines.push(Line {
                class: Class::Changed,
                id: "policy-redefined",
                subject,
                old: json!({"in": moved_from, "is": said(before)}),
                new: json!({"in": moved_to, "is": said(after)}),
            });
        }
    }
}

/// The definitions of the policies that come to a chain or leave it: its lists are of names.
fn came_and_went(
    (old, was): (Of<'_>, &ir::Treatment),
    (new, is): (Of<'_>, &ir::Treatment),
) -> String {
    let only = |(own, side): (&ir::Treatment, Of<'_>), other: &ir::Treatment| {
        let names = own.chain.iter().filter_map(named);
        let alone = names.filter(|name| !other.chain.iter().any(|link| named(link) == Some(name)));
        let defined = alone.filter_map(|name| {
            let (_, checked) = definition(own, name, side)?;
            Some(format!("{name} {}", said(checked)))
        });
        defined.collect::<Vec<_>>().join("\n")
    };
    match was.chain == is.chain {
        true => String::new(),
        false => format!("{}\n\n{}", only((was, old), is), only((is, new), was)),
    }
}

/// Policies that left a chain and policies of their kind that came are told setting by setting, as
/// if the name alone had changed; gives back those without such a pair.
fn renamed<'n>(
    (removed, (old, was)): (&[&'n String], (Of<'_>, &ir::Treatment)),
    (added, (new, is)): (&[&'n String], (Of<'_>, &ir::Treatment)),
    lines: &mut Vec<Line>,
) -> (Vec<&'n String>, Vec<&'n String>) {
    let mut added = added.to_vec();
    let mut alone = Vec::new();
    for name in removed {
        let before = definition(was, name, old).map(|(_, checked)| checked);
        let pair = added.iter().enumerate().find_map(|(index, other)| {
            let (_, after) = definition(is, other, new)?;
            let before = before.filter(|before| before.kind() == after.kind())?;
            Some((index, before, after))
        });
        let Some((index, before, after)) = pair else {
            alone.push(*name);
            continue;
        };
        let other = added.remove(index);
        settings(&format!("policies {name} -> {other}"), before, after, lines);
    }
    (alone, added)
}

/// The settings of two policies of one kind.
fn settings(subject: &str, before: &Checked, after: &Checked, lines: &mut Vec<Line>) {
    let kind = after.kind();
    if before.kind() == kind {
        let (was, is) = (before.settings(), after.settings());
        fields::settings(fields::of_policy(kind), subject, &was, &is, lines);
    }
}

/// A policy for people; secrets are references.
pub(super) fn said(checked: &Checked) -> Value {
    let settings = checked.settings();
    let kind = ("kind".to_owned(), Value::from(checked.kind()));
    let settings = settings
        .iter()
        .map(|one| (one.path.join("."), fields::shown(Some(&one.value))));
    std::iter::once(kind)
        .chain(settings)
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(super) fn named(link: &Link) -> Option<&str> {
    match link {
        Link::Authenticate => None,
        Link::Shared(name) | Link::Own(name) => Some(name),
    }
}

/// Where a chain's policy is defined, and as what.
fn definition<'s>(
    treatment: &ir::Treatment,
    name: &str,
    side: Of<'s>,
) -> Option<(&'static str, &'s Checked)> {
    let mut chain = treatment.chain.iter();
    let link = chain.find(|link| named(link) == Some(name))?;
    let (place, policies) = match link {
        Link::Authenticate => return None,
        Link::Shared(_) => ("gateway.yaml", &side.shared.policies),
        Link::Own(_) => ("the document", &side.api.policies),
    };
    policies.get(name).map(|policy| (place, &policy.checked))
}

/// Whether a policy only says how often, how much or how many.
fn is_limit(name: &str, side: Of<'_>) -> bool {
    let own = side.api.policies.get(name);
    let policy = own.or_else(|| side.shared.policies.get(name));
    let limits = ["rate_limit", "quota", "concurrency", "body_limit"];
    policy.is_some_and(|policy| limits.contains(&policy.checked.kind()))
}
