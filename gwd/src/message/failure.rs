//! Failures of an exchange that are not rejections by a policy.

use std::fmt;
use std::io;

use policy::Reject;
use policy::guard::ext_proc;
use policy::invalid::{REQUEST, RESPONSE, UNAVAILABLE};
use policy::threat::REFUSED;

use crate::message::incoming::{Broken, Http1BodyError};
use crate::message::sequence::ItemRefusal;

/// Cause of a failure: the client, the upstream or the gateway (`error_origin` in the access log).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Blame {
    #[default]
    None,
    Client,
    Upstream,
    Gateway,
}

/// Kind of failure of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The upstream has no usable host.
    NoTarget,
    /// The upstream has reached one of its limits, such as the maximum number of requests.
    Overflow,
    /// The client's address or network has used up its share of a limit of the upstream.
    ShareUsed,
    /// The circuit breaker is open. Contains the seconds until a retry may succeed.
    CircuitOpen(u32),
    /// The host name of the target does not resolve.
    NameUnknown,
    /// The target refused the connection or is unreachable.
    ConnectFailed,
    /// The connection was not established in time.
    ConnectTimeout,
    /// The target's certificate is not trusted.
    TlsCertificate,
    /// The target ended the TLS handshake with this alert description (RFC 8446 §6).
    TlsAlert(u8),
    /// The TLS handshake failed for another reason.
    TlsProtocol,
    /// The connection to the upstream ended before the response was complete.
    Reset,
    /// The upstream reported that it had not processed the request (RFC 9113 §8.7).
    Refused,
    /// The response head did not arrive in time.
    Timeout,
    /// The client's gRPC deadline has passed.
    DeadlineExceeded,
    /// The upstream sent something that is not HTTP, or not a response that may be forwarded.
    Protocol,
    /// The response body is larger than the operation allows.
    ResponseTooLarge,
    /// The response does not match its OpenAPI description.
    ResponseInvalid,
    /// An item of the request's body does not match its OpenAPI description.
    RequestInvalid,
    /// The message cannot be validated now: too little memory, no validator, or no result in time.
    ValidatorUnavailable,
    /// An external processor gave no verdict about the response.
    ProcessorUnavailable,
    /// The fields of the request are larger than the upstream accepts.
    HeadTooLarge,
    /// The request body is larger than the operation allows.
    TooLarge,
    /// The client's body did not arrive in time.
    UploadStalled,
    /// The client's body ended early or has invalid framing.
    ClientBody,
    /// The request body is not the one that the client signed.
    ContentDigest,
    /// A scan of the request body (`kind: threat`) refuses it.
    ThreatDetected,
    /// The client cancelled the request or closed its connection; no response is sent.
    ClientGone,
}

/// Failure of an exchange: its kind, and its cause for logs.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// Cause, for logs only; clients do not see it. `None`: the kind describes the cause
    /// completely.
    pub(crate) why: Option<Box<str>>,
}

/// Public description of a failure: status, reason, error type of RFC 9209, title, and party that
/// caused it.
pub(crate) struct FailureInfo {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) proxy_error: &'static str,
    pub(crate) title: &'static str,
    pub(crate) blame: Blame,
}

/// Values of [`FailureInfo`], in the order of its fields.
type Info = (u16, &'static str, &'static str, &'static str, Blame);

/// Description of a refusal that is caused by a service which the gateway itself needs.
const fn internal(reject: &Reject) -> Info {
    let Reject {
        status,
        code,
        title,
        ..
    } = *reject;
    (status, code, "proxy_internal_error", title, Blame::Gateway)
}

/// Description of a reached limit of the upstream.
const fn overflow(blame: Blame) -> Info {
    (
        503,
        "upstream_overflow",
        "connection_limit_reached",
        "The service is overloaded",
        blame,
    )
}

const HEAD_TOO_LARGE: Info = (
    431,
    "upstream_head_too_large",
    "http_request_error",
    "The request's header fields are too large for the service",
    Blame::Client,
);
const UPLOAD_STALLED: Info = (
    408,
    "request_timeout",
    "http_request_error",
    "The request's body did not arrive in time",
    Blame::Client,
);
const REQUEST_INVALID: Info = (
    REQUEST.status,
    REQUEST.code,
    "http_request_denied",
    REQUEST.title,
    Blame::Gateway,
);
const RESPONSE_INVALID: Info = (
    RESPONSE.status,
    RESPONSE.code,
    "http_protocol_error",
    RESPONSE.title,
    Blame::Upstream,
);

impl Kind {
    /// Kind of the failure to read a client's body. An HTTP/1.1 body that ends early is
    /// [`Kind::ClientBody`], because a client that closes only its sending side may still read a
    /// response.
    pub(crate) fn of_client(broken: &Broken) -> Self {
        let error = match broken {
            Broken::Http1(Http1BodyError::Gone) => return Self::ClientGone,
            Broken::Http1(_) => return Self::ClientBody,
            Broken::Content => return Self::ContentDigest,
            Broken::Refused => return Self::ThreatDetected,
            Broken::Item(ItemRefusal::Invalid) => return Self::RequestInvalid,
            Broken::Item(ItemRefusal::TooLong) => return Self::TooLarge,
            Broken::Item(ItemRefusal::Unavailable) => return Self::ValidatorUnavailable,
            Broken::Http2(error) => error,
        };
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                let gone = error.is_io() || error.is_reset() || error.is_go_away();
                return if gone {
                    Self::ClientGone
                } else {
                    Self::ClientBody
                };
            }
            source = error.source();
        }
        Self::ClientBody
    }

    /// Public description of this kind of failure: status, reason and texts for the response, the
    /// log and the metrics (semantics.md §3).
    pub(crate) const fn info(self) -> FailureInfo {
        let (status, reason, proxy_error, title, blame) = match self {
            Self::NoTarget => (
                503,
                "no_healthy_upstream",
                "destination_unavailable",
                "The service is not available",
                Blame::Gateway,
            ),
            Self::Overflow => overflow(Blame::Gateway),
            Self::ShareUsed => overflow(Blame::Client),
            Self::CircuitOpen(_) => (
                503,
                "circuit_open",
                "destination_unavailable",
                "The service is not available",
                Blame::Gateway,
            ),
            Self::NameUnknown => (
                503,
                "dns_failed",
                "dns_error",
                "The service is not available",
                Blame::Gateway,
            ),
            Self::ConnectFailed => (
                502,
                "upstream_connect_failed",
                "connection_refused",
                "The service cannot be reached",
                Blame::Upstream,
            ),
            Self::ConnectTimeout => (
                504,
                "upstream_connect_timeout",
                "connection_timeout",
                "The service cannot be reached in time",
                Blame::Upstream,
            ),
            Self::TlsCertificate => (
                502,
                "upstream_tls_certificate",
                "tls_certificate_error",
                "The service's certificate is not accepted",
                Blame::Upstream,
            ),
            Self::TlsAlert(_) => (
                502,
                "upstream_tls_alert",
                "tls_alert_received",
                "The service refused the encrypted connection",
                Blame::Upstream,
            ),
            Self::TlsProtocol => (
                502,
                "upstream_tls_failed",
                "tls_protocol_error",
                "No encrypted connection to the service could be made",
                Blame::Upstream,
            ),
            Self::Reset | Self::Refused => (
                502,
                "upstream_reset",
                "connection_terminated",
                "The service closed the connection",
                Blame::Upstream,
            ),
            Self::Timeout => (
                504,
                "upstream_timeout",
                "http_response_timeout",
                "The service did not answer in time",
                Blame::Upstream,
            ),
            Self::DeadlineExceeded => (
                504,
                "grpc_deadline_exceeded",
                "http_response_timeout",
                "The call's deadline has passed",
                Blame::Client,
            ),
            Self::Protocol => (
                502,
                "upstream_protocol_error",
                "http_protocol_error",
                "The service's response is not valid",
                Blame::Upstream,
            ),
            Self::ResponseTooLarge => (
                502,
                "response_too_large",
                "http_response_body_size",
                "The service's response is too large",
                Blame::Upstream,
            ),
            Self::RequestInvalid => REQUEST_INVALID,
            Self::ResponseInvalid => RESPONSE_INVALID,
            Self::ValidatorUnavailable => internal(&UNAVAILABLE),
            Self::ProcessorUnavailable => internal(&ext_proc::UNAVAILABLE),
            Self::HeadTooLarge => HEAD_TOO_LARGE,
            Self::TooLarge => (
                413,
                "body_too_large",
                "http_request_denied",
                "The request's body is too large",
                Blame::Gateway,
            ),
            Self::UploadStalled => UPLOAD_STALLED,
            Self::ClientBody => (
                400,
                "request_body_invalid",
                "http_request_error",
                "The request's body ended early or is framed wrongly",
                Blame::Client,
            ),
            Self::ContentDigest => (
                400,
                "content_digest_mismatch",
                "http_request_error",
                "The request's body is not the one that was signed",
                Blame::Client,
            ),
            Self::ThreatDetected => (
                REFUSED.status,
                REFUSED.code,
                "http_request_denied",
                REFUSED.title,
                Blame::Gateway,
            ),
            Self::ClientGone => (
                499,
                "client_closed",
                "http_request_error",
                "The client closed the connection",
                Blame::Client,
            ),
        };
        FailureInfo {
            status,
            reason,
            proxy_error,
            title,
            blame,
        }
    }
}

impl Blame {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// TLS error inside an I/O error, or `None` if TLS was not the cause.
pub(crate) fn tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

impl Failure {
    /// Reason of the failure in logs and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        self.kind.info().reason
    }

    pub(crate) const fn new(kind: Kind) -> Self {
        Self { kind, why: None }
    }

    pub(crate) fn because(kind: Kind, why: &dyn fmt::Display) -> Self {
        Self {
            kind,
            why: Some(why.to_string().into()),
        }
    }

    /// Failure of a TLS handshake with a target.
    pub(crate) fn of_handshake(with: &dyn fmt::Display, error: &io::Error) -> Self {
        let kind = match tls(error) {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::UnsupportedNameType) => {
                Kind::TlsCertificate
            }
            Some(rustls::Error::AlertReceived(alert)) => Kind::TlsAlert((*alert).into()),
            Some(_) => Kind::TlsProtocol,
            // The connection broke during the handshake, without a TLS error.
            None => Kind::ConnectFailed,
        };
        Self::because(kind, &format_args!("TLS with {with}: {error}"))
    }
}
