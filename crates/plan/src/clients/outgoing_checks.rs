//! Checks of requests that an API sends: callbacks and webhooks.
//!
//! Clients receive these requests. What a client loses is a break, as it is in a response: a
//! required parameter, the body, one of its media types. So is what a client must newly read or
//! send: a further media type of the body, and a required header field of the response. Other
//! additions are no break.

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
        // Receivers must send a required header field in their response.
        "response-schema-narrowed" => Level::Error,
        "response-header-became-optional"
        | "required-response-header-removed"
        | "optional-response-header-removed" => Level::Info,
        // The API selects the media type.
        "request-body-media-type-added" => Level::Error,
        _ if check.direction == "request" => check.level.min(Level::Warn),
        _ => check.level,
    }
}
