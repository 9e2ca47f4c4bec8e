//! Effective destinations of a chain: the hosts and paths to which its policies forward requests,
//! send copies of requests, and redirect clients.
//!
//! As in the engine, the order of policies matters. The first policy that responds ends the chain.
//! If there are several splits, the last one selects the upstream. Rewrites are applied one after
//! another. The last policy of a chain edits a response first.

use std::collections::{BTreeMap, BTreeSet};

use policy::declared::{Settings, Value};

use crate::Class;
use crate::security::is_sending;

/// Policy of a chain, as one step.
pub(super) struct Step {
    pub(super) kind: String,
    /// Name of the policy. Empty for a setting of the operation.
    pub(super) name: String,
    pub(super) settings: Settings,
    /// Description for plans. Policies with equal descriptions have the same destination.
    pub(super) description: String,
}

/// Class of a change of a set of response field names: `moved` if it affects a field that redirects
/// clients.
pub(super) fn of_names(old: Option<&Value>, new: Option<&Value>) -> Class {
    let sending = |value: Option<&Value>| -> Vec<String> {
        let words = value.map(text).unwrap_or_default();
        let mut words: Vec<String> = words.split(' ').map(str::to_ascii_lowercase).collect();
        words.retain(|word| is_sending(word));
        words
    };
    class(sending(old) == sending(new))
}

/// Part of a request that clients send again to the `Location` of a response (RFC 9110 §15.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Redirection {
    /// Clients do not follow the response.
    None,
    /// Clients send a request without body, usually with GET.
    Address,
    /// Clients repeat the request with its method and body (307, 308).
    Whole,
}

impl Redirection {
    fn of(status: Option<&Value>) -> Self {
        let status = match status {
            Some(Value::One(status)) => status.amount().map_or(0, |(status, _)| status),
            _ => 0,
        };
        match status {
            307 | 308 => Self::Whole,
            300..400 => Self::Address,
            _ => Self::None,
        }
    }
}

/// Class of a change of status: `moved` if clients send another part of the request to `Location`.
pub(super) fn of_status(old: Option<&Value>, new: Option<&Value>) -> Class {
    class(Redirection::of(old) == Redirection::of(new))
}

fn class(is_same: bool) -> Class {
    match is_same {
        true => Class::Changed,
        false => Class::Moved,
    }
}

/// Returns the effective destinations of a chain as texts. Chains with equal results send traffic
/// to the same destinations.
pub(super) fn in_force(steps: &[Step]) -> Vec<String> {
    let mut fields: BTreeMap<String, Field> = BTreeMap::new();
    let mut texts = Vec::new();
    match steps.iter().position(|step| is_reply(&step.kind)) {
        Some(at) => reply((&steps[..at], &steps[at]), &mut fields, &mut texts),
        None => forwarded(steps, &mut texts),
    }
    let has_reply = steps.iter().any(|step| is_reply(&step.kind));
    for step in steps.iter().rev().filter(|step| step.kind == "headers") {
        edit(&step.settings, has_reply, &mut fields);
    }
    let untouched = Field::untouched(has_reply);
    let fields = fields.into_iter().filter(|(_, field)| *field != untouched);
    texts.extend(fields.map(|(name, field)| format!("response header {name}: {}", field.shown())));
    texts
}

fn is_reply(kind: &str) -> bool {
    matches!(kind, "redirect" | "respond" | "mock")
}

/// Adds the destinations of a chain in which a policy responds itself, as texts. Also adds the
/// redirecting response fields of the policy to `fields`. `before`: the steps before the policy.
fn reply(
    (before, step): (&[Step], &Step),
    fields: &mut BTreeMap<String, Field>,
    texts: &mut Vec<String>,
) {
    if step.kind == "redirect" {
        // The `{path}` of a redirect is the path after the rewrites before it.
        texts.push(step.description.clone());
        texts.extend(rewrites(before));
        return;
    }
    let redirection = Redirection::of(step.settings.get(&["status"]));
    texts.push(match redirection {
        Redirection::None => "the gateway answers".to_owned(),
        Redirection::Address => "the gateway answers with a redirection".to_owned(),
        Redirection::Whole => {
            "the gateway answers with a redirection that repeats method and body".to_owned()
        }
    });
    for one in step.settings.iter() {
        if let [headers, name] = one.path.as_slice()
            && headers == "headers"
            && is_sending(name)
        {
            let field = fields.entry(name.to_ascii_lowercase());
            field.or_insert(Field::untouched(true)).add(&one.value);
        }
    }
}

/// Adds the destinations of a chain that forwards requests, as texts.
fn forwarded(steps: &[Step], texts: &mut Vec<String>) {
    let mut splits = steps.iter().filter(|step| step.kind == "split");
    let drawn = |step: &Step| match draws(&step.settings) && !step.name.is_empty() {
        true => format!("{}, shares of {}", step.description, step.name),
        false => step.description.clone(),
    };
    texts.extend(splits.next_back().map(drawn));
    let mirrors = steps.iter().filter(|step| step.kind == "mirror");
    let mut mirrors: Vec<String> = mirrors.map(|step| step.description.clone()).collect();
    mirrors.sort();
    texts.append(&mut mirrors);
    texts.extend(rewrites(steps));
}

/// True if the upstream of a caller depends on the name of the split: the split has several
/// upstreams, and each caller always gets the same upstream.
fn draws(split: &Settings) -> bool {
    let entries = || split.below(&["among"]);
    let has_conditions = |index: &str| {
        entries().any(
            |one| matches!(one.path.as_slice(), [_, own, key, ..] if own == index && key == "when"),
        )
    };
    let upstreams = entries().filter_map(|one| match one.path.as_slice() {
        [_, index, key] if key == "upstream" && !has_conditions(index) => Some(text(&one.value)),
        _ => None,
    });
    let upstreams: BTreeSet<String> = upstreams.collect();
    split.flag(&["sticky"]) != Some(false) && upstreams.len() > 1
}

/// Effect of the rewrites among these policies, as texts.
fn rewrites(steps: &[Step]) -> Vec<String> {
    let mut texts = Vec::new();
    for part in ["host", "method", "path", "query"] {
        let mut values: Vec<String> = Vec::new();
        for step in steps.iter().filter(|step| step.kind == "rewrite") {
            let own: Vec<String> = step
                .settings
                .below(&[part])
                .map(|one| match &one.path[1..] {
                    [] => text(&one.value),
                    below => format!("{} {}", below.join("."), text(&one.value)),
                })
                .collect();
            // Host, method, and a path without `{path}` replace the results of earlier rewrites.
            let replaces = match part {
                "query" => false,
                "path" => own.iter().all(|path| !path.contains("{path}")),
                _ => true,
            };
            if replaces && !own.is_empty() {
                values.clear();
            }
            values.extend(own);
        }
        if !values.is_empty() {
            texts.push(format!("rewrite {part} {}", values.join(", then ")));
        }
    }
    texts
}

/// Response field that clients receive.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    /// True if clients receive the upstream's value.
    upstream: bool,
    /// Values that the gateway writes.
    values: Vec<String>,
}

impl Field {
    fn untouched(has_reply: bool) -> Self {
        Self {
            upstream: !has_reply,
            values: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.upstream = false;
        self.values.clear();
    }

    fn add(&mut self, value: &Value) {
        self.values.push(text(value));
        self.values.sort();
    }

    fn shown(&self) -> String {
        let mut parts = self.values.clone();
        parts.extend(self.upstream.then(|| "the upstream's value".to_owned()));
        match parts.is_empty() {
            true => "removed".to_owned(),
            false => parts.join(" and "),
        }
    }
}

/// Applies a `headers` policy to the fields of a response: removals, then replacements, then
/// additions.
fn edit(settings: &Settings, has_reply: bool, fields: &mut BTreeMap<String, Field>) {
    let mut field = |name: &str, edit: &dyn Fn(&mut Field)| {
        if is_sending(name) {
            let field = fields.entry(name.to_ascii_lowercase());
            edit(field.or_insert(Field::untouched(has_reply)));
        }
    };
    for name in settings.texts(&["response", "remove"]).unwrap_or_default() {
        field(name, &Field::clear);
    }
    for how in ["set", "add"] {
        for one in settings.below(&["response", how]) {
            let [_, _, name] = one.path.as_slice() else {
                continue;
            };
            field(name, &|field| {
                if how == "set" {
                    field.clear();
                }
                field.add(&one.value);
            });
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::One(one) => one.to_string(),
        Value::Set(all) | Value::List(all) => {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            all.join(" ")
        }
        Value::Empty => String::new(),
    }
}
