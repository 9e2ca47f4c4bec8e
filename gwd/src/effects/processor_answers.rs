//! Answers of external processors (`kind: ext_proc`): the changes that a processor may make, its
//! immediate responses, and the count of outcomes.

use bytes::Bytes;
use engine::edge;
use http::{HeaderMap, StatusCode};
use policy::Reply;
use policy::ask::CallKind;
use policy::guard::ext_proc::DENIED;
use policy::processing::wire::Edit;
use policy::processing::{Change, apply, may_change_response};

use crate::worker::Worker;

/// Label in `gwd_policy_calls_total` for changes that a processor requests but must not make.
pub(super) const IGNORED: &str = "ignored_change";

/// Counts an outcome of a conversation with a processor.
pub(super) fn count(worker: &Worker, outcome: &'static str) {
    let kind = CallKind::ExtProc.label();
    worker.shard.count_policy_call(kind, outcome);
}

/// Returns the changes that a processor may make. Counts the other changes as ignored.
pub(super) fn allowed(
    worker: &Worker,
    ignored: u32,
    changes: Vec<Change>,
    may_change: impl Fn(&Change) -> bool,
) -> Vec<Change> {
    let all = changes.len();
    let allowed: Vec<Change> = changes.into_iter().filter(may_change).collect();
    for _ in 0..ignored as usize + all - allowed.len() {
        count(worker, IGNORED);
    }
    allowed
}

/// Converts the immediate response of a processor to a reply for the client.
pub(super) fn reply(worker: &Worker, status: StatusCode, edit: Edit) -> Reply {
    let mut headers = HeaderMap::new();
    let changes = allowed(worker, edit.ignored, edit.changes, may_change_of_response);
    apply(&changes, &mut headers);
    let mut body = edit.body.unwrap_or_default();
    if !has_content(status) && !body.is_empty() {
        count(worker, IGNORED);
        body = Bytes::new();
    }
    Reply {
        status,
        headers,
        body,
        refusal: (!status.is_success()).then_some(&DENIED),
    }
}

/// False for a status whose responses have no content (RFC 9110 §15).
pub(super) fn has_content(status: StatusCode) -> bool {
    !matches!(status.as_u16(), 204 | 205 | 304)
}

pub(super) fn may_change_of_response(change: &Change) -> bool {
    let name = change.name();
    may_change_response(name) && !edge::is_reserved_for_gateway(name.as_str())
}
