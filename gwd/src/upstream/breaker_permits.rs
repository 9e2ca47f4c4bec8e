//! Circuit breakers that an attempt must pass: those of the upstream, of policies, and of the
//! target. Also reports the attempt's result to these breakers.

use bundle::ir;
use policy::traffic::circuit_breaker::{Numbers, Scope};

use crate::message::failure::{Failure, Kind};
use crate::upstream::breaker::{CircuitBreaker, CircuitState, Ended, Open, Permit};
use crate::upstream::call_cx::CallCx;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::outlier::HealthSignal;

/// Result that breakers and outlier detection count for a failure. `None` if the failure is not the
/// upstream's fault.
pub(super) fn health_signal(kind: Kind) -> Option<HealthSignal> {
    match kind {
        Kind::Reset | Kind::Refused | Kind::Protocol => Some(HealthSignal::Broken),
        Kind::ConnectFailed
        | Kind::TlsCertificate
        | Kind::TlsAlert(_)
        | Kind::TlsProtocol
        | Kind::NameUnknown => Some(HealthSignal::Unreachable),
        Kind::Timeout | Kind::ConnectTimeout => Some(HealthSignal::TimedOut),
        _ => None,
    }
}

pub(crate) fn report(
    permit: Permit<'_>,
    numbers: &Numbers,
    signal: HealthSignal,
    took_ns: u64,
    now_ns: u64,
    calls: &CallCx,
) {
    let ended = match signal {
        HealthSignal::Status(status) if status < 500 => Ended::Alive,
        HealthSignal::Status(_)
        | HealthSignal::Unreachable
        | HealthSignal::Broken
        | HealthSignal::TimedOut => Ended::Failed,
    };
    let chance = match ended {
        Ended::Alive => 0,
        Ended::Failed => calls.random.next(),
    };
    let (took_ms, now_ms) = (took_ns / 1_000_000, now_ns / 1_000_000);
    permit.ended(ended, took_ms, numbers, now_ms, chance);
}

pub(super) fn circuit_open(open: Open) -> Failure {
    let seconds = open.wait_ms.div_ceil(1_000).max(1);
    Failure::new(Kind::CircuitOpen(
        u32::try_from(seconds).unwrap_or(u32::MAX),
    ))
}

/// Reports a failed connection attempt to the target's own breaker. Requests take a permit of that
/// breaker only after they have a connection, so a permit is taken here.
pub(super) fn record_connect_failure(
    upstream: &ir::Upstream,
    breaker: &CircuitBreaker,
    calls: &CallCx,
    now_ms: u64,
) {
    let settings = upstream.circuit_breaker.as_ref();
    let Some(settings) = settings.filter(|settings| settings.scope == Scope::Target) else {
        return;
    };
    if let Ok(permit) = breaker.admit(&settings.numbers, now_ms, false) {
        let chance = calls.random.next();
        permit.ended(Ended::Failed, 0, &settings.numbers, now_ms, chance);
    }
}

/// True if another attempt would be admitted now by the policies' breakers and by the breaker of
/// the upstream. If each target has a breaker, one target with a breaker that admits is sufficient.
pub(super) fn admits(out: &Outgoing<'_, '_>, now_ms: u64) -> bool {
    let service = out.service;
    let own = out.upstream.circuit_breaker.as_ref();
    let own = own.is_none_or(|settings| match settings.scope {
        Scope::Upstream => service.breaker().admits(&settings.numbers, now_ms),
        Scope::Target => {
            let mut targets = 0..service.set.hosts.len();
            targets.any(|at| service.breaker_of(at).admits(&settings.numbers, now_ms))
        }
    });
    let mut named = out.route.treatment.breakers.iter();
    own && named.all(|named| {
        let known = service.breaker_of_policy(named.state);
        known.is_none_or(|known| known.admits(&named.checked.numbers, now_ms))
    })
}

/// True if a breaker that the request passes is half open: the request may be a probe.
pub(super) fn may_probe(out: &Outgoing<'_, '_>, now_ms: u64) -> bool {
    let service = out.service;
    let is_half_open =
        |breaker: &CircuitBreaker| breaker.circuit_state(now_ms) == CircuitState::HalfOpen;
    let own = out.upstream.circuit_breaker.as_ref();
    let own = own.is_some_and(|settings| match settings.scope {
        Scope::Upstream => is_half_open(service.breaker()),
        Scope::Target => {
            let mut targets = 0..service.set.hosts.len();
            targets.any(|at| is_half_open(service.breaker_of(at)))
        }
    });
    let mut named = out.route.treatment.breakers.iter();
    own || named.any(|named| {
        let known = service.breaker_of_policy(named.state);
        known.is_some_and(is_half_open)
    })
}

/// Permits for one attempt: from the upstream's breaker and from the policies' breakers. A permit
/// that is dropped without a result only ends its probe.
pub(super) struct BreakerPermits<'s>(Vec<(Permit<'s>, &'s Numbers)>);

impl<'s> BreakerPermits<'s> {
    /// Takes the permits. `sends`: the client is still sending the request's body.
    pub(super) fn admit(out: &Outgoing<'_, 's>, now_ms: u64, sends: bool) -> Result<Self, Failure> {
        let service = out.service;
        // Usually there is no breaker: an empty `Vec` allocates nothing.
        let mut permits = Vec::new();
        let own = out.upstream.circuit_breaker.as_ref();
        let own = own.filter(|settings| settings.scope == Scope::Upstream);
        if let Some(settings) = own {
            let permit = service.breaker().admit(&settings.numbers, now_ms, sends);
            permits.push((permit.map_err(circuit_open)?, &settings.numbers));
        }
        for named in &out.route.treatment.breakers {
            let Some(known) = service.breaker_of_policy(named.state) else {
                continue;
            };
            let numbers = &named.checked.numbers;
            let permit = known.admit(numbers, now_ms, sends);
            permits.push((permit.map_err(circuit_open)?, numbers));
        }
        Ok(Self(permits))
    }

    /// True if the attempt tests whether a breaker can close.
    pub(super) fn is_probe(&self) -> bool {
        self.0.iter().any(|(permit, _)| permit.is_probe())
    }

    pub(super) fn record_result(
        self,
        signal: Option<HealthSignal>,
        took_ns: u64,
        now_ns: u64,
        out: &Outgoing<'_, '_>,
    ) {
        let Some(signal) = signal else { return };
        for (permit, numbers) in self.0 {
            report(permit, numbers, signal, took_ns, now_ns, out.calls);
        }
    }
}
