//! Retries: outcomes that cause a retry, requests that may be sent again, the retry budget, and the
//! wait before a retry (semantics.md §3).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bundle::ir;
use engine::RouteRef;
use http::header::{HeaderMap, HeaderName, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use policy::RequestHead;
use policy::traffic::retry::{Checked, Condition, Times};

use crate::message::failure::{Failure, Kind};
use crate::runtime::clock::delta_seconds;
use crate::upstream::shared::State;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Upper limit for a `Retry-After` that the gateway respects: 30s.
const RETRY_AFTER_MAX_MS: u64 = 30_000;

/// Retry settings for a request: the settings of the operation, or else of the upstream. `None` if
/// there are no retries.
pub(crate) fn of<'s>(route: &RouteRef<'s>, upstream: &'s ir::Upstream) -> Option<&'s Checked> {
    let own = route.treatment.retries.as_ref();
    let retry = own.or(upstream.retries.as_ref());
    retry.filter(|retry| retry.times.attempts > 0)
}

/// True if the request may be sent again. One of three conditions suffices: its method is
/// idempotent (RFC 9110 §9.2.2), the operation is declared idempotent, or the retry settings accept
/// the request's idempotency key.
pub(crate) fn is_repeatable(
    head: &RequestHead,
    route: &RouteRef<'_>,
    retry: Option<&Checked>,
) -> bool {
    let by_method = matches!(
        head.method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    );
    let by_key = || {
        retry.is_some_and(|retry| retry.idempotency_key)
            && head.headers.contains_key(&IDEMPOTENCY_KEY)
    };
    by_method || route.treatment.idempotent || by_key()
}

/// Reason to retry after a response, or `None` if the response is final. A request that is not
/// repeatable is only retried because of a gRPC status. Every gRPC call is a POST, and a status
/// configured in `on` declares that calls may be repeated after it.
pub(crate) fn after_response<B>(
    retry: &Checked,
    response: &Response<B>,
    repeatable: bool,
) -> Option<&'static str> {
    let (status, headers) = (response.status(), response.headers());
    let meant = |condition: &&Condition| match condition {
        Condition::GatewayError
        | Condition::ServerError
        | Condition::Statuses
        | Condition::Headers
            if !repeatable =>
        {
            false
        }
        Condition::GatewayError => matches!(
            status,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        ),
        Condition::ServerError => status.is_server_error(),
        Condition::Statuses => retry.statuses.contains(&status.as_u16()),
        Condition::Headers => retry.headers.iter().any(|name| headers.contains_key(name)),
        Condition::GrpcCancelled => grpc_status(headers) == Some(b"1"),
        Condition::GrpcDeadlineExceeded => grpc_status(headers) == Some(b"4"),
        Condition::GrpcResourceExhausted => grpc_status(headers) == Some(b"8"),
        Condition::GrpcInternal => grpc_status(headers) == Some(b"13"),
        Condition::GrpcUnavailable => grpc_status(headers) == Some(b"14"),
        Condition::ConnectFailure | Condition::RefusedStream | Condition::Reset => false,
    };
    retry
        .on
        .iter()
        .find(meant)
        .map(|condition| condition.word())
}

/// Reason to retry after a failure, or `None` if the failure is final.
pub(crate) fn after_failure(retry: &Checked, kind: Kind, repeatable: bool) -> Option<&'static str> {
    let meant = |condition: &&Condition| match (condition, kind) {
        (
            Condition::ConnectFailure,
            Kind::ConnectFailed | Kind::ConnectTimeout | Kind::TlsCertificate | Kind::TlsProtocol,
        ) => true,
        // The TLS alert may have arrived after the request was sent: retry only a repeatable
        // request.
        (Condition::ConnectFailure | Condition::Reset, Kind::TlsAlert(_)) => repeatable,
        // The upstream has not processed the request, so that a retry is safe for every method.
        (Condition::RefusedStream | Condition::Reset | Condition::ServerError, Kind::Refused) => {
            true
        }
        (Condition::Reset | Condition::ServerError, Kind::Reset | Kind::Timeout) => repeatable,
        (Condition::GatewayError, Kind::Timeout) => repeatable,
        _ => false,
    };
    retry
        .on
        .iter()
        .find(meant)
        .map(|condition| condition.word())
}

/// Outcome of the attempt before a retry.
pub(super) enum Before {
    Nothing,
    Answered(StatusCode),
    Failed(Failure),
}

impl Before {
    /// Failure to report for a retry that ended with `failure`. If the retry found no host or an
    /// open breaker, the result names the outcome of the previous attempt, which is the cause.
    pub(super) fn instead_of(&self, failure: Failure) -> Failure {
        match (failure.kind, self) {
            (Kind::CircuitOpen(_) | Kind::NoTarget, Self::Failed(before)) => before.clone(),
            (Kind::CircuitOpen(_) | Kind::NoTarget, Self::Answered(status)) => {
                let why = format_args!("the previous attempt was answered {}", status.as_u16());
                Failure::because(failure.kind, &why)
            }
            _ => failure,
        }
    }
}

/// gRPC status in a response head (trailers-only response). `None`: no `grpc-status`.
fn grpc_status(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(&GRPC_STATUS).map(http::HeaderValue::as_bytes)
}

/// Milliseconds to wait before a retry: a random time in `[0, (2^N - 1) * base)`, up to the
/// configured maximum (full jitter). If `Retry-After` is respected and valid, the time in that
/// field, at most [`RETRY_AFTER_MAX_MS`]. `number` is N and counts from 1.
pub(crate) fn wait_ms(
    retry: &Checked,
    number: u32,
    headers: Option<&HeaderMap>,
    chance: u64,
    unix_s: u64,
) -> u64 {
    let retry_after = headers.filter(|_| retry.respect_retry_after);
    let retry_after = retry_after.and_then(|headers| headers.get(RETRY_AFTER)?.to_str().ok());
    if let Some(seconds) = retry_after.and_then(|text| seconds_until(text, unix_s)) {
        return seconds.saturating_mul(1_000).min(RETRY_AFTER_MAX_MS);
    }
    let Times {
        backoff_base_ms,
        backoff_max_ms,
        ..
    } = retry.times;
    let span = backoff_base_ms.saturating_mul((1 << number.min(20)) - 1);
    chance % span.min(backoff_max_ms).max(1)
}

/// Seconds until the time in a `Retry-After` value, which is a number of seconds or a date (RFC
/// 9110 §10.2.3). `None` if the value is neither.
fn seconds_until(text: &str, unix_s: u64) -> Option<u64> {
    let date = || {
        let date = httpdate::parse_http_date(text).ok()?;
        let at = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(at.as_secs().saturating_sub(unix_s))
    };
    delta_seconds(text).or_else(date)
}

/// A retry that is counted in the retry budget, from the start of its wait to its end.
#[derive(Debug)]
pub(crate) struct Again(Arc<State>);

impl Again {
    /// Takes a permit of the retry budget. The budget is a fraction of the first attempts in
    /// progress, but at least the configured minimum. Retries do not increase the budget. `None`:
    /// the budget is used up.
    pub(crate) fn take(state: &Arc<State>, times: &Times, limit: Option<u64>) -> Option<Self> {
        let requests = state.requests.0.load(Ordering::Relaxed);
        let first = requests.saturating_sub(state.retries.0.load(Ordering::Relaxed));
        let share = first.saturating_mul(times.budget_ppm) / 1_000_000;
        let most = share.max(times.budget_min).min(limit.unwrap_or(u64::MAX));
        let taken = super::shared::take(&state.retries.0, most);
        if !taken {
            state.exhausted.fetch_add(1, Ordering::Relaxed);
        }
        taken.then(|| Self(Arc::clone(state)))
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        self.0.retries.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(on: &[Condition]) -> Checked {
        let mut retry = Checked::of(&policy::declared::Settings::default());
        retry.on = on.to_vec();
        retry
    }

    fn answer(status: u16, fields: &[(&str, &str)]) -> Response<()> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap()
    }

    #[test]
    fn each_condition_means_its_responses_and_no_others() {
        let mut named = retry(&[Condition::Statuses, Condition::Headers]);
        named.statuses = vec![409];
        named.headers = vec!["x-again".to_owned()];
        let cases = [
            (retry(&[Condition::GatewayError]), 503, [("a", "b")], true),
            (retry(&[Condition::GatewayError]), 500, [("a", "b")], false),
            (retry(&[Condition::ServerError]), 500, [("a", "b")], true),
            (retry(&[Condition::ServerError]), 429, [("a", "b")], false),
            (named.clone(), 409, [("a", "b")], true),
            (named.clone(), 200, [("x-again", "")], true),
            (named, 500, [("a", "b")], false),
            (
                retry(&[Condition::GrpcUnavailable]),
                200,
                [("grpc-status", "14")],
                true,
            ),
            (
                retry(&[Condition::GrpcUnavailable]),
                200,
                [("grpc-status", "1")],
                false,
            ),
            (
                retry(&[Condition::ConnectFailure, Condition::RefusedStream]),
                503,
                [("a", "b")],
                false,
            ),
        ];
        for (retry, status, fields, again) in cases {
            let why = after_response(&retry, &answer(status, &fields), true);
            assert_eq!(why.is_some(), again, "{:?} {status}", retry.on);
        }
    }

    #[test]
    fn only_grpc_statuses_retry_unrepeatable_requests() {
        let all = retry(&[Condition::ServerError, Condition::GrpcUnavailable]);
        let unavailable = answer(200, &[("grpc-status", "14")]);
        assert!(after_response(&all, &unavailable, false).is_some());
        assert!(after_response(&all, &answer(503, &[("a", "b")]), false).is_none());
        assert!(after_response(&all, &answer(503, &[("a", "b")]), true).is_some());
    }

    #[test]
    fn possibly_processed_request_is_retried_if_safe() {
        let all = retry(&[
            Condition::ConnectFailure,
            Condition::Reset,
            Condition::ServerError,
        ]);
        assert!(after_failure(&all, Kind::Reset, true).is_some());
        assert!(after_failure(&all, Kind::Reset, false).is_none());
        assert!(after_failure(&all, Kind::Timeout, false).is_none());
        assert!(after_failure(&all, Kind::ConnectFailed, false).is_some());
        assert!(after_failure(&all, Kind::Refused, false).is_some());
        let gateway_error = retry(&[Condition::GatewayError]);
        assert!(after_failure(&gateway_error, Kind::Timeout, true).is_some());
        assert!(after_failure(&gateway_error, Kind::Timeout, false).is_none());
        assert!(after_failure(&gateway_error, Kind::Reset, true).is_none());
        let refused = retry(&[Condition::RefusedStream]);
        assert!(after_failure(&refused, Kind::Refused, false).is_some());
        assert!(after_failure(&refused, Kind::Reset, true).is_none());
        assert!(after_failure(&all, Kind::TooLarge, true).is_none());
        assert!(after_failure(&all, Kind::Overflow, true).is_none());
    }

    #[test]
    fn waits_are_jittered_grow_and_end_at_the_longest() {
        let retry = retry(&[]);
        for (number, span) in [(1, 25), (2, 75), (3, 175), (4, 250), (10, 250)] {
            let waits: Vec<u64> = (0..1_000)
                .map(|chance| wait_ms(&retry, number, None, chance * 7_919, 0))
                .collect();
            assert!(waits.iter().all(|wait| *wait < span));
            assert!(*waits.iter().max().unwrap() >= span - 1);
            assert!(*waits.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn retry_after_counts_if_it_is_configured() {
        let mut retry = retry(&[]);
        let response = answer(503, &[("retry-after", "2")]);
        assert!(wait_ms(&retry, 1, Some(response.headers()), 0, 0) < 25);
        retry.respect_retry_after = true;
        assert_eq!(wait_ms(&retry, 1, Some(response.headers()), 0, 0), 2_000);
        let date = answer(503, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        for (unix_s, wait) in [(784_111_774, 3_000), (784_111_777, 0), (800_000_000, 0)] {
            assert_eq!(wait_ms(&retry, 1, Some(date.headers()), 0, unix_s), wait);
        }
        let long = answer(503, &[("retry-after", "86400")]);
        assert_eq!(wait_ms(&retry, 1, Some(long.headers()), 0, 0), 30_000);
        let beyond = answer(503, &[("retry-after", "18446744073709551616")]);
        assert_eq!(wait_ms(&retry, 1, Some(beyond.headers()), 0, 0), 30_000);
        let signed = answer(503, &[("retry-after", "+20")]);
        assert!(wait_ms(&retry, 1, Some(signed.headers()), 0, 0) < 25);
    }

    #[test]
    fn budget_is_a_floor_plus_a_share_of_requests() {
        let state = Arc::new(State::new("u"));
        let times = Times::default();
        let floor: Vec<_> = (0..5).map(|_| Again::take(&state, &times, None)).collect();
        assert_eq!(floor.iter().flatten().count(), 3);
        drop(floor);
        let _flying: Vec<_> = (0..100).map(|_| state.begin(1_000, 1_000, None)).collect();
        let many: Vec<_> = (0..50).map(|_| Again::take(&state, &times, None)).collect();
        assert_eq!(
            many.iter().flatten().count(),
            16,
            "a fifth of 84 first attempts"
        );
        drop(many);
        let few: Vec<_> = (0..50)
            .map(|_| Again::take(&state, &times, Some(7)))
            .collect();
        assert_eq!(few.iter().flatten().count(), 7);
        drop(few);
        assert_eq!(state.retries.0.load(Ordering::Relaxed), 0);
        assert_eq!(state.exhausted.load(Ordering::Relaxed), 2 + 34 + 43);
    }
}
