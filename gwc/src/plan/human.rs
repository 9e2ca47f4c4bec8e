//! The plan for people: counts first, then one line per change.

use super::json::{Base, Verdict};
use super::{Change, Class, Outcome, Plan, Section, Witness};
use crate::output::printable;

/// Writes a plan.
#[must_use]
pub fn render(plan: &Plan, base: &Base, verdict: &Verdict, color: bool) -> String {
    let paint = Paint { color };
    let mut out = String::new();
    let against = match (&base.channel, base.serial, plan.old) {
        (Some(channel), Some(serial), Some(old)) => format!(
            "channel {channel}, serial {serial} (bundle {})",
            old.short()
        ),
        (Some(channel), _, None) => format!("channel {channel}, which is empty"),
        (_, _, Some(old)) => format!("bundle {}", old.short()),
        (None, _, None) => "nothing".to_owned(),
    };
    out.push_str(&format!(
        "Plan: bundle {} against {against}\n",
        plan.new.short()
    ));
    if plan.no_op {
        out.push_str("No changes: the meaning is the same.\n");
        return out;
    }
    let counts: Vec<String> = Class::ALL
        .iter()
        .filter(|class| plan.count(**class) > 0)
        .map(|class| format!("{} {}", plan.count(*class), class.name()))
        .collect();
    out.push_str(&format!("  {}\n", counts.join(", ")));
    for section in Section::ALL {
        let changes: Vec<&Change> = plan
            .changes
            .iter()
            .filter(|change| change.section == section)
            .collect();
        if changes.is_empty() {
            continue;
        }
        out.push_str(&format!(
            "\n{}\n",
            paint.bold(&section.name().to_uppercase())
        ));
        for change in changes {
            line(&mut out, change, verdict, paint);
        }
    }
    if plan.missing.contains(&"source") {
        out.push_str("\nDOCS are unavailable: the old side's sources cannot be read\n");
    }
    let tripped = plan.tripped(&verdict.gates, &verdict.acknowledged);
    if !tripped.is_empty() {
        out.push('\n');
    }
    for (gate, by) in tripped {
        out.push_str(&paint.red(&format!("gate `{gate}` is tripped by {}; acknowledge with --ack FINGERPRINT once it was reviewed\n", by.join(", "))));
    }
    out
}

/// How many operations of a group are named.
const NAMED_MAX: usize = 3;

fn line(out: &mut String, change: &Change, verdict: &Verdict, paint: Paint) {
    let symbol = match change.class {
        Class::Added | Class::Expose | Class::Grant => "+",
        Class::Removed => "-",
        Class::Weaken | Class::Incomparable => "!",
        Class::Strengthen
        | Class::Moved
        | Class::Relax
        | Class::Tighten
        | Class::Changed
        | Class::Doc => "~",
    };
    let what = match (&change.operation, change.operations.len()) {
        (Some(operation), 0 | 1) if operation.method.is_empty() => {
            format!("{} ({})", operation.path, operation.key)
        }
        (Some(operation), 0 | 1) => format!(
            "{} {} ({})",
            operation.method, operation.path, operation.key
        ),
        (Some(_), count) => {
            let named = change
                .operations
                .iter()
                .take(NAMED_MAX)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            if count > NAMED_MAX {
                format!("{count} operations: {named}, …")
            } else {
                format!("{count} operations: {named}")
            }
        }
        (None, _) => change.subject.clone(),
    };
    let acked = if verdict.acknowledged.contains(&change.fingerprint) {
        " (acknowledged)"
    } else {
        ""
    };
    let head = format!(
        "{symbol} {:<12} {}  {}{acked}",
        change.class.name(),
        printable(&what),
        paint.dim(&change.fingerprint)
    );
    out.push_str("  ");
    out.push_str(&if symbol == "!" {
        paint.red(&head)
    } else {
        head
    });
    out.push('\n');
    let arrow = format!(
        "{}: {} → {}",
        change.subject,
        value(&change.old),
        value(&change.new)
    );
    if change.section != Section::Routing
        || change.class == Class::Moved
        || change.operation.is_none()
    {
        out.push_str(&format!("      {}\n", printable(&arrow)));
    }
    let places: Vec<String> = [("was", &change.source_old), ("now", &change.source_new)]
        .iter()
        .filter_map(|(word, place)| {
            place
                .as_ref()
                .map(|place| format!("{word} {}:{}:{}", place.file, place.line, place.column))
        })
        .collect();
    if !places.is_empty() {
        out.push_str(&format!(
            "      {}\n",
            paint.dim(&printable(&places.join(", ")))
        ));
    }
    if let Some(witness) = change
        .witness
        .as_ref()
        .filter(|_| change.section == Section::Security || change.class == Class::Moved)
    {
        out.push_str(&format!(
            "      witness: {}\n",
            printable(&request(witness))
        ));
    }
}

fn request(witness: &Witness) -> String {
    let mut text = format!("{} {}", witness.method, witness.url);
    for credential in &witness.credentials {
        text.push_str(&format!(
            " with a {} credential ({})",
            credential.state, credential.scheme
        ));
    }
    if witness.credentials.is_empty() {
        text.push_str(" without a credential");
    }
    format!(
        "{text}: {} before, {} after",
        outcome(&witness.old),
        outcome(&witness.new)
    )
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Nothing => "nothing".into(),
        Outcome::Served { operation } => format!("served by {operation}"),
        Outcome::Refused { status } => format!("{status}"),
    }
}

fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "nothing".into(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
    fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }
    fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
    fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }
}
