//! Reasons of errors that the gateway itself returns. A reason is the code in problem documents,
//! logs and metrics, and the key under which `errors` sets the response.
//!
//! The reasons of policies are next to the refusals of each policy, in the crate `policy`.

use std::sync::LazyLock;

use diag::shape::KnownKeys;

/// Reason for which the gateway refuses a request, or fails.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    /// Code, such as `rate_limited`.
    pub code: &'static str,
    /// Status of the response, unless `errors` sets another one.
    pub status: u16,
    /// Meaning, one sentence without a full stop.
    pub means: &'static str,
    /// True if a route is selected when the error occurs, so that a document can set the response
    /// as well.
    pub of_route: bool,
}

macro_rules! reasons {
    (Route { $($route:literal $route_status:literal $route_means:literal;)* }
     Gateway { $($code:literal $status:literal $means:literal;)* }) => {
        /// Reasons of errors that no policy causes alone.
        static OF_GATEWAY: &[Reason] = &[
            $(Reason { code: $route, status: $route_status, means: $route_means, of_route: true },)*
            $(Reason { code: $code, status: $status, means: $means, of_route: false },)*
        ];
    };
}

// Reasons for malformed HTTP messages and for overload are left out, because gwd answers such
// requests before it applies the configuration of a route.
reasons! {
    Route {
        "body_too_large" 413 "the body is larger than `max_body`, a `body_limit` or what `validate` reads";
        "certificate_invalid" 401 "the verifier of the operation does not accept the client certificate";
        "circuit_open" 503 "a circuit breaker is open";
        "condition_ambiguous" 400 "a field or query parameter of a `match` condition has several values, or the parameter's name has another spelling";
        "content_digest_mismatch" 400 "the body is not the one that was signed";
        "credential_ambiguous" 400 "the request has more than one credential at one place";
        "credential_conflict" 401 "the credentials belong to different callers";
        "credential_expired" 401 "a credential of the request ended while its body was sent";
        "credential_invalid" 401 "the credential is not valid";
        "credential_missing" 401 "the operation requires a credential";
        "dns_failed" 503 "the upstream's name has no address";
        "dpop_nonce_required" 401 "the proof of possession needs a nonce of the gateway";
        "dpop_proof_invalid" 401 "the proof of possession is not valid";
        "dpop_proofs_full" 503 "the gateway cannot record another proof of possession";
        "grpc_deadline_exceeded" 504 "the deadline of a gRPC call has passed";
        "insufficient_role" 403 "the caller lacks a role that `security` requires";
        "insufficient_scope" 403 "the credential lacks a scope";
        "introspection_unavailable" 503 "the introspection endpoint does not answer";
        "keys_unavailable" 503 "the keys of the issuer cannot be fetched";
        "login_denied" 403 "the provider denies a login";
        "login_failed" 400 "a login failed; `login_fault` in the access log has the reason";
        "login_unavailable" 503 "the provider of a login does not answer";
        "logout_cross_site" 403 "another site requested a logout";
        "no_healthy_upstream" 503 "no host of the upstream is available for the request";
        "password_check_unavailable" 503 "too many passwords wait for their check";
        "path_ambiguous" 400 "the upstream could interpret the path as another path";
        "replay_check_unavailable" 503 "the store of used proofs and nonces does not answer";
        "request_body_invalid" 400 "the body ended early or is framed wrongly";
        "request_timeout" 408 "the body did not arrive in time";
        "response_invalid" 502 "the response does not match the description of its operation (`validate`)";
        "response_too_large" 502 "the response is larger than a `body_limit` or what `validate` reads";
        "session_invalid" 401 "the session has ended, or its cookie is not valid";
        "signature_check_unavailable" 503 "too many signatures of expensive keys wait for their verification";
        "signature_invalid" 401 "the signature of the request is not valid";
        "signatures_full" 503 "the gateway cannot store another signature";
        "store_unavailable" 503 "the store of a limit does not answer";
        "token_invalid" 401 "the token is not valid";
        "upstream_connect_failed" 502 "no connection to the upstream could be opened";
        "upstream_connect_timeout" 504 "no connection to the upstream was opened in time";
        "upstream_head_too_large" 431 "the header fields or trailers are larger than the upstream accepts (HTTP/2)";
        "upstream_overflow" 503 "the `limits` of the upstream are reached";
        "upstream_protocol_error" 502 "the upstream's response is not valid HTTP";
        "upstream_reset" 502 "the upstream closed the connection before a response";
        "upstream_timeout" 504 "the upstream did not respond in time";
        "upstream_tls_alert" 502 "the upstream refused the TLS connection";
        "upstream_tls_certificate" 502 "the upstream's certificate is not accepted";
        "upstream_tls_failed" 502 "no TLS connection to the upstream could be opened";
        "websocket_invalid" 400 "the WebSocket handshake is not valid";
        "websocket_not_served" 501 "the operation does not serve WebSockets";
        "websocket_version" 426 "only version 13 of WebSocket is supported";
    }
    Gateway {
        "connect_refused" 405 "CONNECT is not served";
        "expectation_failed" 417 "`Expect` has another value than `100-continue`";
        "field_invalid" 400 "a header field is not valid";
        "framing_invalid" 400 "the length of the message is ambiguous";
        "headers_too_large" 431 "the head is larger than the listener's limits";
        "host_invalid" 400 "the request has not exactly one valid `Host`";
        "loop_detected" 508 "the request passed this gateway several times (a loop)";
        "method_not_allowed" 405 "the path exists, but not with this method";
        "misdirected_request" 421 "the certificate of the connection is for another host";
        "no_condition_matched" 404 "the path exists, but no `match` condition is met";
        "no_route" 404 "no operation has this path";
        "path_invalid" 400 "the path is not valid";
        "target_invalid" 400 "the request target is not valid";
        "target_too_long" 414 "the request target is longer than 16KiB";
        "trace_refused" 405 "TRACE is not served";
    }
}

/// All reasons: first the reasons of errors after a route was selected, then the reasons of earlier
/// errors. Both parts are sorted by code.
pub static ALL: LazyLock<Vec<Reason>> = LazyLock::new(|| {
    let of_policies = policy::all_refusals().filter_map(|reject| {
        Some(Reason {
            code: reject.code,
            status: reject.status,
            means: reject.means?,
            of_route: true,
        })
    });
    let mut all: Vec<Reason> = OF_GATEWAY.iter().copied().chain(of_policies).collect();
    all.sort_by_key(|reason| (!reason.of_route, reason.code));
    // Several kinds of policy can share a refusal.
    all.dedup_by_key(|reason| reason.code);
    all
});

static CODES: LazyLock<Vec<&str>> = LazyLock::new(|| ALL.iter().map(|one| one.code).collect());

static CODES_OF_ROUTES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let of_routes = ALL.iter().filter(|reason| reason.of_route);
    of_routes.map(|one| one.code).collect()
});

/// Keys of `errors` in gateway.yaml.
pub(crate) static OF_GATEWAY_YAML: KnownKeys = KnownKeys {
    what: "reason",
    known: || &CODES,
    elsewhere: |_| None,
    help: "`gwc explain errors` lists the reasons",
};

/// Keys of `errors` in a document.
pub(crate) static OF_DOCUMENTS: KnownKeys = KnownKeys {
    what: "reason",
    known: || &CODES_OF_ROUTES,
    elsewhere: |code| {
        let is_early = find(code).is_some_and(|reason| !reason.of_route);
        is_early.then_some("under `errors` of gateway.yaml: it occurs before a route is selected")
    },
    help: "`gwc explain errors` lists the reasons",
};

/// Returns the reason with a code.
#[must_use]
pub fn find(code: &str) -> Option<&'static Reason> {
    ALL.iter().find(|reason| reason.code == code)
}
