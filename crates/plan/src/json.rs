//! Plan as JSON in the format `plan/v1`, for programs and for `plan -o`.

use bundle::digest::Digest;
use serde_json::{Value, json};
use validator::example_response::ResponseExample;

use super::ask::OUTSIDER;
use super::report::{Compared, Origin, Report};
use super::{Change, Class, Outcome, Witness};
use model::source_map::Place;

/// Builds the JSON document.
#[must_use]
pub fn document(report: &Report<'_>) -> Value {
    let Report {
        plan,
        subject,
        review,
    } = report;
    let tripped = review.tripped(plan);
    let counts: serde_json::Map<String, Value> = Class::ALL
        .iter()
        .map(|class| (class.name().to_owned(), plan.count(*class).into()))
        .collect();
    let gates: Vec<Value> = review
        .gates
        .iter()
        .map(|gate| {
            let by = tripped
                .iter()
                .find(|(name, _)| name == gate)
                .map(|(_, by)| by.clone())
                .unwrap_or_default();
            json!({"name": gate, "tripped": !by.is_empty(), "by": by})
        })
        .collect();
    let given: Vec<Value> = review
        .given
        .iter()
        .map(|(ack, state)| {
            json!({"fingerprint": ack.fingerprint, "kind": ack.kind, "operation": ack.operation, "state": state.name(), "reason": ack.reason, "by": ack.by,
                   "until": ack.until.as_ref().map(|(_, day)| day),
                   "file": ack.place.as_ref().map(|place| &place.file), "line": ack.place.as_ref().map(|place| place.line)})
        })
        .collect();
    // For several environments, the top-level sides are the sides of the project without an
    // environment, if it is compared.
    let several = !subject.environments.is_empty();
    let bare = subject.environments.iter().find(|one| one.name.is_none());
    let sides = match (several, bare) {
        (true, bare) => (bare.and_then(|one| one.old), bare.and_then(|one| one.new)),
        (false, _) => (plan.old, Some(plan.new)),
    };
    let id = |id: Option<Digest>| id.map(|id| id.to_string());
    let environments: Vec<Value> = subject.environments.iter().map(compared).collect();
    json!({
        "schema": "plan/v1",
        "result": report.result(),
        "tool": {"name": "gwc", "version": env!("CARGO_PKG_VERSION")},
        "environment": subject.environment,
        "no_op": plan.no_op,
        "base": {"channel": subject.channel, "serial": subject.serial, "record": subject.record,
                 "bundle": id(sides.0), "from": origin(&subject.old)},
        "target": {"bundle": id(sides.1), "from": origin(&subject.new)},
        "environments": environments,
        "counts": counts,
        "changes": plan.changes.iter().map(|change| one(change, report)).collect::<Vec<_>>(),
        "schemas": plan.schemas,
        "gates": gates,
        "acknowledgements": given,
        "missing": plan.missing,
        "notes": plan.all_notes().collect::<Vec<_>>(),
    })
}

/// Formats each change as one line with a JSON document, the same as in `changes` of
/// [`document`].
#[must_use]
pub fn lines(report: &Report<'_>) -> String {
    let changes = report.plan.changes.iter();
    changes
        .map(|change| diag::json::line(&one(change, report)) + "\n")
        .collect()
}

fn compared(one: &Compared) -> Value {
    let id = |id: Option<Digest>| id.map(|id| id.to_string());
    json!({"name": one.name, "base": {"channel": one.channel, "serial": one.serial, "record": one.record, "bundle": id(one.old)},
           "target": {"bundle": id(one.new)}})
}

fn origin(origin: &Origin) -> Value {
    json!({"name": origin.name, "commit": origin.commit, "uncommitted": origin.uncommitted})
}

fn one(change: &Change, report: &Report<'_>) -> Value {
    let operation = change.operation.as_ref().map(|operation| {
        json!({"key": operation.key, "id": operation.id, "method": operation.method, "path": operation.path,
               "mount": operation.mount, "host": operation.host, "api": operation.api})
    });
    let acked = report.review.acknowledgement(&change.fingerprint).map(|ack| {
        json!({"reason": ack.reason, "by": ack.by, "file": ack.place.as_ref().map(|place| &place.file),
               "line": ack.place.as_ref().map(|place| place.line)})
    });
    json!({
        "section": change.section.name(),
        "class": change.class.name(),
        "id": change.id,
        "level": change.level(),
        "operation": operation,
        "message": change.message.as_ref().map(|message| json!({
            "direction": message.direction, "path": message.path, "keyword": message.keyword, "count": message.messages,
            "verdict": message.decision.map(super::Decision::name), "witness": message.witness,
            "body": message.body, "why_undecided": message.decision.and_then(super::Decision::reason),
        })),
        "operations": change.operations,
        "reaches": change.reaches.as_ref().map(|reach| json!({"count": reach.count, "operations": reach.operations})),
        "subject": change.subject,
        "old": change.old,
        "new": change.new,
        "cause": change.cause,
        "source": {"old": place(change.source_old.as_ref()), "new": place(change.source_new.as_ref())},
        "environments": change.environments.iter().filter(|name| !name.is_empty()).collect::<Vec<_>>(),
        "count": change.count(),
        "templates": change.paths().len(),
        "paths": change.paths(),
        "listeners": change.places.iter().map(|place| &place.listener).collect::<std::collections::BTreeSet<_>>(),
        "witness": change.witness.as_ref().map(witness),
        "log": change.met.as_ref().map(|met| json!({"requests": met.requests, "consumers": met.consumers, "others": met.others, "at_most": met.is_upper_bound, "estimated": met.is_estimate})),
        "why_none": change.why_none,
        "fingerprint": change.fingerprint,
        "acked": acked,
    })
}

fn place(place: Option<&Place>) -> Value {
    place.map_or(
        Value::Null,
        |place| json!({"file": place.file, "line": place.line, "column": place.column}),
    )
}

fn witness(witness: &Witness) -> Value {
    let headers: serde_json::Map<String, Value> = witness
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let credentials = witness.credentials.iter().map(|credential| {
        let mut one = json!({"scheme": credential.scheme, "state": credential.state, "scopes": credential.scopes});
        if !credential.roles.is_empty() {
            one["roles"] = json!(credential.roles);
        }
        if let Some((source, names)) = &credential.certificate {
            let names: Vec<&str> = names.lines().collect();
            one["certificate"] = json!({"from": source.name(), "names": names});
        }
        one
    });
    let credentials: Vec<Value> = credentials.collect();
    let mut facts = json!({"listener": witness.listener, "peer": witness.peer.unwrap_or(OUTSIDER), "credentials": credentials});
    if let Some(body) = &witness.body {
        facts["body"] = body.as_str().into();
    }
    if let Some(one) = &witness.response {
        facts["response"] = response(one);
    }
    json!({
        "method": witness.method,
        "url": witness.url,
        "headers": headers,
        "facts": facts,
        "expect": {"old": outcome(&witness.old), "new": outcome(&witness.new)},
    })
}

/// Response of the upstream, with the media type of its body as `content-type`.
fn response(response: &ResponseExample) -> Value {
    let fields = response.headers.iter();
    let fields = fields.map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    let mut fields: serde_json::Map<String, Value> = fields.collect();
    let (media_type, body) = response.body.clone().unzip();
    if let Some(media_type) = media_type {
        fields.insert("content-type".to_owned(), media_type.into());
    }
    json!({"status": response.status, "headers": fields, "body": body})
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Interrupted { operation } => {
            json!({"operation": operation, "body": "interrupted"})
        }
        Outcome::Nothing => json!({"status": null}),
        Outcome::Closed => json!({"connection": "closed"}),
        Outcome::Served {
            operation,
            upstream,
        } => json!({"operation": operation, "upstream": upstream}),
        Outcome::Refused { status } => json!({"status": status}),
    }
}
