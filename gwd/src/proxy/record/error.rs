//! Errors and refusals that the guard of a progressive release counts. Errors are those for which
//! the gateway or an upstream is to blame. An error that one client can cause alone does not count. Otherwise one
//! client could end a release on a node.

use super::Record;
use crate::message::failure::Blame;

/// Reasons of responses with status 5xx that clients cause: invalid requests, and limits that a
/// client reaches by itself. Refusals of a client that has used up its share of a limit are not in
/// this list. They have the reason of the whole limit, and [`Blame::Client`] distinguishes them.
const CAUSED_BY_CLIENTS: [&str; 7] = [
    "concurrency_wait_ended",
    "dpop_proofs_full",
    "loop_detected",
    "password_check_unavailable",
    "signature_check_unavailable",
    "signatures_full",
    "websocket_not_served",
];

/// Reasons for which the gateway ends a response that had begun. The request was not refused.
const ENDED_LATER: [&str; 3] = ["credential_expired", "credential_revoked", "idle_timeout"];

/// gRPC status codes that correspond to HTTP statuses 5xx.
const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
const DATA_LOSS: u32 = 15;

impl Record {
    /// True if the request failed because of the gateway or an upstream.
    pub(super) fn is_error(&self) -> bool {
        let is_success = self.status < 500 && matches!(self.grpc_status, None | Some(0));
        !is_success && is_error(self)
    }

    /// True if the gateway refused the request by its own rules: status 4xx, or a gRPC status that
    /// is no error of the gateway. A request that the client broke off, or whose body is broken, is
    /// no refusal.
    pub(super) fn is_refusal(&self) -> bool {
        self.blame == Blame::Gateway && is_refusal(self)
    }
}

#[cold]
fn is_refusal(record: &Record) -> bool {
    let status = record.status;
    let is_call_refused = status < 400 && !matches!(record.grpc_status, None | Some(0));
    let is_refused = (400..500).contains(&status) || is_call_refused;
    is_refused && !record.is_error() && !ENDED_LATER.contains(&record.reason)
}

#[cold]
fn is_error(record: &Record) -> bool {
    // A 5xx status of the upstream counts even if the client did not read the whole response.
    let upstream = record.upstream.as_ref();
    if record.status >= 500 && upstream.is_some_and(|call| call.status == record.status) {
        return true;
    }
    if record.blame == Blame::Client || CAUSED_BY_CLIENTS.contains(&record.reason) {
        return false;
    }
    let (blame, has_deadline) = (record.blame, record.has_client_deadline);
    let grpc_status = record.grpc_status;
    record.status >= 500 || grpc_status.is_some_and(|code| is_grpc_error(code, blame, has_deadline))
}

/// True if a gRPC status is an error of the gateway or an upstream. `blame` is [`Blame::None`] for
/// a status that the upstream itself has sent.
const fn is_grpc_error(code: u32, blame: Blame, has_client_deadline: bool) -> bool {
    let is_upstream_status = matches!(blame, Blame::None);
    match code {
        INTERNAL | UNAVAILABLE => true,
        // The gateway also sends these codes for 4xx errors, so only those of an upstream count.
        UNKNOWN | UNIMPLEMENTED | DATA_LOSS => is_upstream_status,
        // An upstream knows the deadline of the client, which may be arbitrarily short.
        DEADLINE_EXCEEDED => !(is_upstream_status && has_client_deadline),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_codes_count_by_their_origin() {
        use Blame::{Gateway, None, Upstream};
        for (code, blame, has_client_deadline, expected) in [
            (0, None, false, false),
            (5, None, false, false),
            (2, None, true, true),
            (2, Gateway, false, false),
            (4, None, false, true),
            (4, None, true, false),
            (4, Upstream, true, true),
            (12, None, false, true),
            (12, Gateway, false, false),
            (13, None, true, true),
            (13, Gateway, false, true),
            (14, Upstream, true, true),
            (16, Gateway, false, false),
        ] {
            let is_error = is_grpc_error(code, blame, has_client_deadline);
            assert_eq!(is_error, expected, "{code} {blame:?} {has_client_deadline}");
        }
    }
}
