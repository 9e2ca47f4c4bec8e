//! Checks of requests that an API sends: callbacks and webhooks.
//!
//! Clients receive these requests. What a client loses is a break, as it is in a response: a
//! required parameter, the body, one of its media types. What is new or required now is no break.

use vocab::checks::{Check, Level};

/// Id of the check for a part of a request that an API sends. `id`: check of the same difference
/// in a request that clients send. `was_required`: the old request always has the part.
pub(super) fn id(id: &str, was_required: bool) -> &str {
    match id {
        "request-parameter-removed" if was_required => "outgoing-required-parameter-removed",
        "request-parameter-became-optional" => "outgoing-parameter-became-optional",
        "request-body-became-optional" => "outgoing-body-became-optional",
        _ => id,
    }
}

/// Level of a check for a request that an API sends.
pub(super) fn level(check: &Check) -> Level {
    match check.id {
        "new-required-request-parameter"
        | "request-parameter-became-required"
        | "request-body-added-required"
        | "request-body-became-required" => Level::Info,
        "request-body-removed"
        | "request-body-media-type-removed"
        | "request-serialization-changed" => check.level,
        _ if check.direction == "request" => check.level.min(Level::Warn),
        _ => check.level,
    }
}
