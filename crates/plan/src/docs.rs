//! Comparison of prose. Changes of prose never block a release.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

mod similar_texts;

use super::{Change, Class, OperationRef, Plan, Section};
use model::contract::prose::{SERVERS, shortened};
use model::source_map::{ApiProse, OperationSource, SourceMap};

use similar_texts::paired;

/// Compares the prose of APIs, and of operations that both sides have. [`crate::servers`] compares
/// the lists of servers.
pub(super) fn compare(old: &SourceMap, new: &SourceMap, plan: &mut Plan) {
    let moved = added_or_removed_parts(plan);
    for (key, after) in &new.operations {
        let Some(before) = old.operations.get(key) else {
            continue;
        };
        let operation = || OperationRef {
            key: key.clone(),
            id: after.id.clone(),
            method: String::new(),
            path: after.path.clone(),
            mount: String::new(),
            host: String::new(),
            api: String::new(),
        };
        let of_new_part = |subject: &str| {
            let parts = moved.get(key).into_iter().flatten();
            let mut within = parts.filter_map(|part| subject.strip_prefix(&**part));
            within.any(|rest| rest.starts_with(' '))
        };
        for (subject, old, new) in of_operation(before, after) {
            if subject == SERVERS || of_new_part(&subject) {
                continue;
            }
            plan.changes.push(line(subject, old, new).of(operation()));
        }
    }
    // The prose of schemas is not assigned to operations. If operations were added or removed, a
    // text that only one side has may come from the schemas of these operations.
    let same_operations = old.operations.keys().eq(new.operations.keys());
    for (name, after) in &new.apis {
        let Some(before) = old.apis.get(name) else {
            continue;
        };
        for (subject, old, new) in of_api(before, after) {
            let is_one_sided = old.is_null() || new.is_null();
            if subject == SERVERS || (!same_operations && is_one_sided) {
                continue;
            }
            let change = match subject.strip_prefix("oauth ") {
                Some(part) => of_tokens(name, part, old, new),
                None => line(format!("{name}: {subject}"), old, new),
            };
            plan.changes.push(change);
        }
    }
}

/// Creates a change of the URLs from which clients get OAuth tokens, or of the scopes that clients
/// request. The gateway behaves as before, but clients send their secrets and codes to a new URL.
fn of_tokens(api: &str, part: &str, old: Value, new: Value) -> Change {
    let is_url = !part.ends_with(" scopes");
    let class = match is_url && !new.is_null() && !words(&new).is_subset(&words(&old)) {
        true => Class::Moved,
        false => Class::Doc,
    };
    let subject = format!("{api}: oauth {part}");
    Change::new(
        Section::Breaking,
        class,
        "oauth-flow-changed",
        subject,
        old,
        new,
    )
}

/// Words of a text that spaces separate.
fn words(value: &Value) -> BTreeSet<String> {
    let text = value.as_str().unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Parts that were added to or removed from operations, by operation key. Changes of their prose
/// are not reported.
fn added_or_removed_parts(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let mut moved: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for change in &plan.changes {
        if change.section == Section::Breaking && (change.old.is_null() || change.new.is_null()) {
            for key in &change.operations {
                let of = moved.entry(key.clone()).or_default();
                of.push(change.subject.clone());
                if change.message.is_some() {
                    // In the subjects of prose, parameters begin with `parameter`, and media types
                    // lack `body`. Add these subjects, too.
                    of.push(format!("parameter {}", change.subject));
                    of.push(change.subject.replace(" body ", " "));
                }
            }
        }
    }
    moved
}

/// Line of a plan: its subject, old value and new value.
type Line = (String, Value, Value);

fn line(subject: String, old: Value, new: Value) -> Change {
    Change::new(
        Section::Docs,
        Class::Doc,
        "prose-changed",
        subject,
        old,
        new,
    )
}

fn of_operation(before: &OperationSource, after: &OperationSource) -> Vec<Line> {
    let text = |text: &Option<String>| json!(text.as_deref().map(shortened));
    let tags = |side: &OperationSource| -> Value {
        let sorted: BTreeSet<&String> = side.tags.iter().collect();
        json!(sorted)
    };
    let own = [
        ("owner", json!(before.owner), json!(after.owner)),
        ("summary", text(&before.summary), text(&after.summary)),
        (
            "description",
            text(&before.description),
            text(&after.description),
        ),
        ("tags", tags(before), tags(after)),
    ];
    let own = own.into_iter().filter(|(_, old, new)| old != new);
    own.map(|(subject, old, new)| (subject.to_owned(), old, new))
        .chain(by_subject(&before.prose, &after.prose))
        .collect()
}

fn of_api(before: &ApiProse, after: &ApiProse) -> Vec<Line> {
    let mut lines: Vec<Line> = by_subject(&before.document, &after.document).collect();
    let none = BTreeSet::new();
    let keywords: BTreeSet<&String> = before.schemas.keys().chain(after.schemas.keys()).collect();
    for keyword in keywords {
        let was = before.schemas.get(keyword).unwrap_or(&none);
        let is = after.schemas.get(keyword).unwrap_or(&none);
        let gone: Vec<&str> = was.difference(is).map(String::as_str).collect();
        let come: Vec<&str> = is.difference(was).map(String::as_str).collect();
        for (old, new) in paired(&gone, &come) {
            lines.push((format!("schema {keyword}"), json!(old), json!(new)));
        }
    }
    lines
}

/// Texts that differ between the two sides, by subject.
fn by_subject<'s>(
    before: &'s BTreeMap<String, String>,
    after: &'s BTreeMap<String, String>,
) -> impl Iterator<Item = Line> + 's {
    let subjects: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    subjects.into_iter().filter_map(|subject| {
        let (old, new) = (before.get(subject), after.get(subject));
        (old != new).then(|| (subject.clone(), json!(old), json!(new)))
    })
}
