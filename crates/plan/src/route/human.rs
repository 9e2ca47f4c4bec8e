//! Answer of `gwc route` as text for people.

use diag::text::printable;

use super::effective::Source;
use super::upstream::Upstream;
use super::{Answer, Candidate, Decision, Field, Operation, Outcome, Step};
use crate::words;
use model::source_map::Place;

/// Maximum number of settings shown for a step. `--format json` has all of them.
const SETTINGS_MAX: usize = 4;

/// Writes the answer as text. Escapes control characters. `folder` precedes source locations.
#[must_use]
pub fn render(answer: &Answer, folder: &str) -> String {
    let renderer = Renderer { folder };
    let mut out = String::new();
    for line in renderer.head(answer) {
        push(&mut out, &line);
    }
    section(
        &mut out,
        "chain",
        answer.chain.iter().flat_map(|step| renderer.step(step)),
    );
    if let Some(upstream) = &answer.upstream {
        section(
            &mut out,
            "upstream",
            renderer.upstream(upstream).into_iter(),
        );
    }
    let widest = answer.effective.iter().map(|field| field.field.len()).max();
    let width = widest.unwrap_or(0).min(32);
    let fields = answer.effective.iter();
    section(
        &mut out,
        "in force",
        fields.map(|field| renderer.field(field, width)),
    );
    section(&mut out, "lost", answer.candidates.iter().map(candidate));
    section(&mut out, "near", answer.near.iter().map(candidate));
    if !answer.left_out.is_empty() {
        out.push_str("\nignored, because this version cannot run them\n");
        for name in &answer.left_out {
            push(&mut out, &format!("  {name}"));
        }
    }
    out
}

/// Adds a line. Escapes control characters, so that a name cannot start a line of its own, such as
/// a command of a CI system.
fn push(out: &mut String, line: &str) {
    out.push_str(&printable(line));
    out.push('\n');
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return;
    }
    out.push_str(&format!("\n{title}\n"));
    for line in lines {
        push(out, &format!("  {line}"));
    }
}

struct Renderer<'a> {
    folder: &'a str,
}

impl Renderer<'_> {
    fn head(&self, answer: &Answer) -> Vec<String> {
        let mut out = Vec::new();
        let reason = answer.reason.unwrap_or_default();
        let status = answer.status.unwrap_or_default();
        if let Some(operation) = &answer.operation {
            let place = self.at(operation.place.as_ref());
            out.push(format!("{}{place}", named(operation)));
        }
        out.push(match (answer.decision, &answer.upstream) {
            (Decision::None, _) => {
                format!("no operation matches this request: {status} {reason}")
            }
            (Decision::Reject, _) => format!("→ refused: {status} {reason}"),
            (Decision::Respond, _) => format!("→ answered by the gateway: {status}"),
            (Decision::Depends, _) => "→ not decided here".to_owned(),
            (Decision::Forward, None) => "→ forwarded".to_owned(),
            (Decision::Forward, Some(upstream)) => match &upstream.request {
                Some(head) => format!(
                    "→ forwarded to `{}` as {} {}",
                    upstream.name, head.method, head.path
                ),
                None => format!("→ forwarded to `{}`", upstream.name),
            },
        });
        if !answer.left_out.is_empty() {
            out.push(
                "  decided without the parts that this version cannot run; they are \
                listed below"
                    .to_owned(),
            );
        }
        if let Some(why) = &answer.why {
            out.push(format!("  {why}"));
        }
        for (name, value) in answer
            .response
            .iter()
            .flat_map(|response| &response.headers)
        {
            out.push(format!("  {name}: {value}"));
        }
        if let Some(owner) = &answer.owner {
            out.push(format!("owner: {owner}"));
        }
        if let Some(consumer) = &answer.consumer {
            out.push(format!("consumer: {consumer}"));
        }
        out
    }

    fn step(&self, step: &Step) -> Vec<String> {
        let outcome = match step.outcome {
            Outcome::Reject { status, reason } => format!("reject {status} {reason}"),
            Outcome::Reply { status } => format!("reply {status}"),
            other => other.name().to_owned(),
        };
        let named = match step.kind.as_str() {
            "security" => step.policy.clone(),
            kind => format!("{} ({kind})", step.policy),
        };
        let mut about: Vec<String> = Vec::new();
        // The limits of a listener are shown only if it refuses the request.
        let passed = step.kind == "listener" && step.outcome == Outcome::Continue;
        let most = if passed { 0 } else { SETTINGS_MAX };
        let settings = step.settings.iter().take(most);
        about.extend(settings.map(|(key, value)| match key.as_str() {
            "security" => words::access(value).to_owned(),
            key => format!("{} {value}", words::with_indexes(key)),
        }));
        let more = step.settings.len().saturating_sub(SETTINGS_MAX);
        if more > 0 && !passed {
            about.push(format!("and {more} more"));
        }
        let mut lines = vec![format!("{:<13} {named:<26} {outcome}", step.phase)];
        let place = step.place.as_ref().map(|place| self.place(place));
        let from = match (step.from, place) {
            (Some(from), Some(place)) => Some(format!("from {from}, {place}")),
            (None, place) => place,
            (Some(from), None) => Some(format!("from {from}")),
        };
        let about = about.join(", ");
        let below: Vec<String> = [Some(about).filter(|about| !about.is_empty()), from]
            .into_iter()
            .flatten()
            .collect();
        if !below.is_empty() {
            lines.push(format!("                {}", below.join("; ")));
        }
        lines
    }

    fn upstream(&self, upstream: &Upstream) -> Vec<String> {
        let mut lines = Vec::new();
        let one = upstream.targets.len() == 1;
        for target in &upstream.targets {
            let share = match one {
                true => String::new(),
                false => format!(" (weight {})", target.weight),
            };
            lines.push(format!(
                "{}: {}{share}, Host: {}",
                target.name, target.url, target.host
            ));
        }
        match upstream.targets.len() {
            0 => lines.push("hosts are discovered at run time".to_owned()),
            1 => {}
            _ => lines.push(
                "one of these targets receives the request; gwd selects it at run time".to_owned(),
            ),
        }
        if let Some(place) = &upstream.place {
            lines.push(format!("defined at {}", self.place(place)));
        }
        lines.extend(shares(upstream));
        let mirrors = upstream.mirrors.iter();
        lines.extend(
            mirrors.map(|name| format!("`{name}` receives a copy; its response is discarded")),
        );
        let added = upstream.added.iter();
        lines.extend(added.map(|(name, value)| format!("+ {name}: {value}")));
        let changed = upstream.changed.iter();
        lines.extend(changed.map(|(name, old, new)| format!("~ {name}: {old} → {new}")));
        lines.extend(upstream.removed.iter().map(|name| format!("- {name}")));
        lines
    }

    fn field(&self, field: &Field, width: usize) -> String {
        let mut source = match &field.source {
            Source::Place(place) => self.place(place),
            Source::Default(default) => format!("built-in default `{default}`"),
            Source::Unknown => "unknown place".to_owned(),
        };
        let mut overrides = field.overrides.iter();
        if let Some(first) = overrides.next() {
            source.push_str(&format!(" over {}", self.place(first)));
            for next in overrides {
                source.push_str(&format!(", {}", self.place(next)));
            }
        }
        let value = match field.field.as_str() {
            "security" => words::access(&field.value),
            _ => field.value.as_str(),
        };
        let name = words::with_indexes(&field.field);
        format!("{name:<width$}  {value}  ({source})")
    }

    fn at(&self, place: Option<&Place>) -> String {
        place.map_or_else(String::new, |place| format!(" {}", self.place(place)))
    }

    fn place(&self, place: &Place) -> String {
        format!(
            "{}{}:{}:{}",
            self.folder, place.file, place.line, place.column
        )
    }
}

fn candidate(candidate: &Candidate) -> String {
    format!(
        "{}: {}",
        named(&candidate.operation),
        candidate.reject_reason
    )
}

fn named(operation: &Operation) -> String {
    let host = match operation.host.as_str() {
        "" => String::new(),
        host => format!(" on {host}"),
    };
    format!(
        "{} {} ({}, mount {}{host})",
        operation.method, operation.path, operation.key, operation.mount
    )
}

/// Describes the upstreams of a split with their weights, and the property of the request that
/// selects one upstream. `None` without a split.
fn shares(upstream: &Upstream) -> Option<String> {
    if upstream.shares.is_empty() {
        return None;
    }
    let renderer = upstream.shares.iter().map(|share| match share.weight {
        Some(weight) => format!("{} (weight {weight})", share.upstream),
        None => format!("{} (by its condition)", share.upstream),
    });
    let renderer = renderer.collect::<Vec<_>>().join(", ");
    let stays = match upstream.by_request {
        true => {
            "each request is distributed on its own, by its id: another request may go to another upstream"
        }
        false => "other such requests of this caller go to the same upstream",
    };
    Some(format!("one of {renderer}: {stays}"))
}
