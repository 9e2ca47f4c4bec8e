//! Attempt to send a request: chooses a target, takes or opens a connection, sends the request, and
//! waits for the response head. [`send`](super::send) repeats attempts.

use std::cell::Cell;

use engine::forward;
use policy::RequestHead;
use policy::traffic::circuit_breaker::{self, Scope};

use crate::message::body::RequestBody;
use crate::message::failure::{Failure, Kind};
use crate::message::sends::Sends;
use crate::upstream::admission::{charge, report_connect};
use crate::upstream::affinity::Affinity;
use crate::upstream::breaker::Permit;
use crate::upstream::breaker_permits::{BreakerPermits, circuit_open, report};
use crate::upstream::call::Call as Send;
use crate::upstream::call_record::CallRecord;
use crate::upstream::call_trace::CallTrace;
use crate::upstream::connect::{Times, connect};
use crate::upstream::outgoing::Outgoing;
use crate::upstream::outlier::HealthSignal;
use crate::upstream::permits::ExchangePermits;
use crate::upstream::pool::Lease;
use crate::upstream::reply::Reply;
use crate::upstream::sending::{Outcome, Sending};
use crate::upstream::service::TargetSelection;
use crate::upstream::shared::Busy;
use crate::upstream::sharing::{Acceptable, Sharing, is_large};
use crate::upstream::source::Source;
use crate::upstream::transport::{CallError, Refused};
use crate::upstream::tried_targets::TriedTargets;

/// Request with the state of all its attempts.
pub(super) struct Call<'a, 's> {
    pub(super) out: &'a Outgoing<'a, 's>,
    pub(super) affinity: Affinity,
    /// True if the request may be sent again although the upstream may have received it.
    pub(super) repeatable: bool,
    pub(super) head: &'a mut RequestHead,
    pub(super) sending: Sending<'a>,
    pub(super) tried: TriedTargets,
    /// Last reading of the clock, in nanoseconds. The clock is read at the start of an attempt, at
    /// its end, and after each failed connection attempt. The code reuses the reading until the
    /// next await.
    pub(super) seen_ns: u64,
    /// Start time of the last attempt to open a connection, or `None` if no connection was opened.
    pub(super) dialled_ns: Option<u64>,
    /// Number of times that the request was sent again because a reused connection had died.
    pub(super) replaced: u32,
    /// True if the request may be sent once more because a reused connection has died.
    pub(super) may_replace: bool,
    /// True if the last attempt had an HTTP/2 connection for itself.
    pub(super) is_exclusive: bool,
}

/// Idle connections that an attempt may use.
#[derive(Clone, Copy)]
enum Reuse {
    /// Any idle connection, because the request can be sent again.
    Any,
    /// Only connections that were used recently.
    Fresh,
    /// No idle connection.
    No,
}

/// Connection to a target during an attempt, with the permits that the attempt holds.
struct At<'s> {
    lease: Lease,
    target: usize,
    busy: Busy,
    /// Permit of the target's own circuit breaker. `None`: targets have no breakers.
    permit: Option<Permit<'s>>,
}

impl<'s> Call<'_, 's> {
    /// Reads the clock, in milliseconds.
    pub(super) fn now_ms(&self) -> u64 {
        self.out.calls.clock.now_ms()
    }

    /// Reads the clock, in nanoseconds.
    pub(super) fn read_clock(&mut self) -> u64 {
        self.seen_ns = self.out.calls.clock.now_ns();
        self.seen_ns
    }

    /// Performs one attempt, if the circuit breakers admit it, and reports the outcome to the
    /// breakers.
    pub(super) async fn attempt(
        &mut self,
        source: Source,
        record: &mut CallRecord,
    ) -> Result<Reply, Failure> {
        let began_ns = self.seen_ns;
        let sends = source.is_streamed();
        let breaker_permits = BreakerPermits::admit(self.out, began_ns / 1_000_000, sends);
        let is_probe = breaker_permits.as_ref().map(BreakerPermits::is_probe);
        record.breakers_asked(is_probe.ok());
        let breaker_permits = breaker_permits?;
        let outcome = self.at_a_target(source, record).await;
        let now_ns = match &outcome {
            Ok(_) => self.seen_ns,
            Err(_) => self.read_clock(),
        };
        let status = outcome.as_ref().map(|reply| reply.response.status());
        record.attempt_ended(status.map_err(Failure::reason), || now_ns);
        let signal = self.health_signal(&outcome, now_ns.saturating_sub(began_ns), now_ns);
        let took_ns = self.sending.awaited_upstream_ns(began_ns, now_ns);
        breaker_permits.record_result(signal, took_ns, now_ns, self.out);
        outcome
    }

    /// Outcome of an attempt for outlier detection and circuit breakers, from
    /// [`Sending::health_signal`]. Also `None` if the connection broke after a large request
    /// head was sent, or while the connection carried only this exchange. Clients can cause this
    /// failure, because servers close a connection whose client exceeds a limit.
    fn health_signal(
        &self,
        outcome: &Result<Reply, Failure>,
        took_ns: u64,
        now_ns: u64,
    ) -> Option<HealthSignal> {
        let signal = self.sending.health_signal(outcome, took_ns, now_ns)?;
        let is_of_client =
            signal == HealthSignal::Broken && (self.is_exclusive || is_large(self.head));
        (!is_of_client).then_some(signal)
    }

    /// Gets a connection, sends the request and waits for the response head.
    async fn at_a_target(
        &mut self,
        source: Source,
        record: &mut CallRecord,
    ) -> Result<Reply, Failure> {
        let again = self.repeatable && self.may_replace;
        let again = again && !matches!(source, Source::Stream { .. });
        let reuse = if again { Reuse::Any } else { Reuse::Fresh };
        let sends = source.sends(self.out.transfer);
        let (lease, reused, target) = self.take_connection(reuse, sends, record).await?;
        let sharing = self.sharing(target, sends);
        self.is_exclusive = lease.is_shared() && sharing == Sharing::Exclusive;
        let reused = reused || lease.is_used();
        let permit = self.admit(target, source.is_streamed());
        let is_probe = permit
            .as_ref()
            .map(|it| it.as_ref().is_some_and(Permit::is_probe));
        record.breakers_asked(is_probe.ok());
        let permit = permit?;
        let mut at = At {
            lease,
            target,
            busy: self.out.service.set.hosts[target].busy(),
            permit,
        };
        self.tried.add(target);
        // A request that an HTTP/2 upstream has not processed may be sent again, whatever its
        // method.
        let spare = reused && self.may_replace && !matches!(source, Source::Stream { .. });
        let spare = spare && (again || at.lease.is_shared());
        let spare = spare.then(|| source.again());
        let body = self.sending.body(source);
        let began_ms = record.begins(self.out.calls.clock.now_ns());
        self.sending.begin(began_ms);
        let mut sent = self
            .once(target, &mut at.lease, body, record.trace.as_ref())
            .await;
        if let Ok(Err(refused)) = sent {
            let Refused { error, unsent } = *refused;
            let is_stale = error.is_stale();
            if is_stale {
                at.lease.record_broken(began_ms, self.now_ms());
            }
            // No byte was sent, or the request is repeatable: send it once more, on another
            // connection.
            let body = match (spare, unsent) {
                (Some(spare), _)
                    if spare.is_repeatable() && (error.is_unprocessed() || is_stale && again) =>
                {
                    Some(self.sending.body(spare.again()))
                }
                (None, unsent) if reused && is_stale => unsent,
                _ => None,
            };
            sent = match body {
                None => Ok(Err(Box::new(Refused {
                    error,
                    unsent: None,
                }))),
                Some(body) => Box::pin(self.replace(body, &error, &mut at, record)).await?,
            };
        }
        self.ended(sent, at, began_ms)
    }

    /// Sharing mode of a connection to a target for this request.
    fn sharing(&self, target: usize, sends: Sends) -> Sharing {
        let pool = &self.out.service.pools[target];
        pool.sharing(self.head, sends, Some(self.out.cx.client))
    }

    /// Takes a permit of the target's own circuit breaker, if it has one. `sends`: the client is
    /// still sending the request's body.
    fn admit(&self, target: usize, sends: bool) -> Result<Option<Permit<'s>>, Failure> {
        let Some(settings) = self.breaker_settings() else {
            return Ok(None);
        };
        let breaker = self.out.service.breaker_of(target);
        let permit = breaker.admit(&settings.numbers, self.now_ms(), sends);
        permit.map(Some).map_err(circuit_open)
    }

    /// Settings of the circuit breakers that belong to single targets. `None` if targets have no
    /// breakers.
    fn breaker_settings(&self) -> Option<&'s circuit_breaker::Checked> {
        let settings = self.out.upstream.circuit_breaker.as_ref();
        settings.filter(|settings| settings.scope == Scope::Target)
    }

    /// Sends the request once more on a different connection, because the upstream had closed the
    /// reused connection or had not processed the request.
    async fn replace(
        &mut self,
        body: RequestBody,
        error: &CallError,
        at: &mut At<'_>,
        record: &mut CallRecord,
    ) -> Result<Result<Outcome, Failure>, Failure> {
        let service = self.out.service;
        record.retried(self.out.calls, "reused_conn_reset");
        self.replaced += 1;
        record.tried(&service.set.endpoints[at.target], self.out.calls);
        let sends = body.sends();
        let sharing = self.sharing(at.target, sends);
        let charge = at.lease.charge.take();
        at.lease = match self.connect(at.target, (error.acceptable(), sharing)).await {
            Ok(mut lease) => {
                lease.charge = charge;
                lease
            }
            // The target cannot be reached: try another one.
            Err(_) => {
                let (lease, _, other) = self.take_connection(Reuse::No, sends, record).await?;
                at.permit = at.permit.take().filter(|_| other == at.target);
                at.busy = service.set.hosts[other].busy();
                at.target = other;
                lease
            }
        };
        self.sending.begin(self.now_ms());
        let trace = record.trace.as_ref();
        let sent = self.once(at.target, &mut at.lease, body, trace);
        Ok(sent.await)
    }

    /// Reports the outcome of an attempt to outlier detection, load balancing and the target's
    /// circuit breaker.
    fn ended(
        &mut self,
        sent: Result<Outcome, Failure>,
        at: At<'_>,
        began_ms: u64,
    ) -> Result<Reply, Failure> {
        let At {
            mut lease,
            target,
            busy,
            permit,
        } = at;
        let outcome = match sent {
            Ok(Ok(response)) => {
                lease.permits = Some(ExchangePermits::busy(busy));
                Ok(Reply {
                    response,
                    lease,
                    target,
                })
            }
            Ok(Err(refused)) => Err(self.sending.failure_of(&refused.error)),
            Err(failure) => Err(failure),
        };
        let now_ns = self.read_clock();
        let lasted_ns = now_ns.saturating_sub(began_ms * 1_000_000);
        let signal = self.health_signal(&outcome, lasted_ns, now_ns);
        let took_ns = self
            .sending
            .awaited_upstream_ns(began_ms * 1_000_000, now_ns);
        let Some(signal) = signal else { return outcome };
        let (service, upstream, calls) = (self.out.service, self.out.upstream, self.out.calls);
        service.saw(upstream, target, signal, calls, now_ns / 1_000_000);
        service.observe(target, took_ns, now_ns);
        let is_timeout = |failure: &Failure| matches!(failure.kind, Kind::Timeout);
        if outcome.as_ref().err().is_none_or(is_timeout) {
            self.out.leases.observe(took_ns, now_ns);
        }
        if let (Some(permit), Some(settings)) = (permit, self.breaker_settings()) {
            report(permit, &settings.numbers, signal, took_ns, now_ns, calls);
        }
        outcome
    }

    /// Sends the request on a connection to a target, within the time limit of the attempt.
    fn once(
        &mut self,
        target: usize,
        lease: &mut Lease,
        body: RequestBody,
        trace: Option<&CallTrace>,
    ) -> impl Future<Output = Result<Outcome, Failure>> {
        let Self {
            out, head, sending, ..
        } = self;
        if let Some(trace) = trace {
            trace.insert_b3(head);
        }
        let mut outbound = forward::outbound(head, out.relay(target));
        if let Some(trace) = trace {
            outbound.trace(trace.traceparent());
        }
        let call = Send {
            head: &mut outbound,
            body,
            fields: out.calls.spare_maps.take(),
            client: Some(out.cx.client),
        };
        let begun = lease.begin(call);
        sending.in_time(sending.gate.clone(), begun)
    }

    /// Gets an idle or a new connection to a target. Targets that cannot be reached are skipped.
    /// Returns the connection, true if it was idle, and the target.
    async fn take_connection(
        &mut self,
        reuse: Reuse,
        sends: Sends,
        record: &mut CallRecord,
    ) -> Result<(Lease, bool, usize), Failure> {
        let service = self.out.service;
        let mut last = None;
        let mut afresh = self.tried.is_empty();
        loop {
            let looking = TargetSelection {
                upstream: self.out.upstream,
                affinity: &self.affinity,
                tried: &self.tried,
                random: &self.out.calls.random,
                now_ms: self.seen_ns / 1_000_000,
            };
            let Some(target) = service.choose(&looking) else {
                if self.tried.stop_avoiding() {
                    continue;
                }
                // All targets were tried: start again, so that a retry may use a target a second
                // time.
                if std::mem::replace(&mut afresh, true) {
                    return Err(last.unwrap_or_else(|| service.no_target_failure()));
                }
                self.tried.begin_round();
                continue;
            };
            let pool = &service.pools[target];
            record.tried(&service.set.endpoints[target], self.out.calls);
            let sharing = self.sharing(target, sends);
            let charge = charge(pool, sharing, Some(self.out.cx.client), self.out.calls)?;
            let idle = match reuse {
                Reuse::Any => pool.checkout(sharing, true, looking.now_ms),
                Reuse::Fresh => pool.checkout(sharing, false, looking.now_ms),
                Reuse::No => None,
            };
            if let Some(mut lease) = idle {
                lease.charge = charge;
                return Ok((lease, true, target));
            }
            record.connect_begins(self.out.calls.clock.now_ns());
            let opened = self.connect(target, (Acceptable::Any, sharing)).await;
            record.connect_ends(self.out.calls.clock.now_ns(), self.dialled_ns);
            let now_ns = self.read_clock();
            if let Err(failure) = &opened {
                record.attempt_ended(Err(failure.reason()), || now_ns);
            }
            match opened {
                Ok(mut lease) => {
                    lease.charge = charge;
                    return Ok((lease, false, target));
                }
                Err(failure) if failure.kind == Kind::Overflow => return Err(failure),
                Err(failure) if self.tried.is_last() => return Err(failure),
                Err(failure) => last = Some(failure),
            }
            self.tried.add(target);
        }
    }

    /// Opens a connection within the time limit, or takes a connection that becomes usable
    /// meanwhile.
    async fn connect(
        &mut self,
        target: usize,
        acceptable: (Acceptable, Sharing),
    ) -> Result<Lease, Failure> {
        let now_ms = self.now_ms();
        let until_ms = self.sending.ends_ms(now_ms);
        let Outgoing {
            calls,
            service,
            upstream,
            ..
        } = self.out;
        let state = &service.common.state;
        let waits = state.wait(upstream.limits.pending);
        let _waits = waits.ok_or(Failure::new(Kind::Overflow))?;
        let times = Times {
            deadline: &self.out.transfer.deadline,
            clock: calls.clock,
            until_ms,
            connect_ms: service.connect_timeout_ms,
            dialled_ns: Cell::default(),
        };
        // The call is boxed, as are all rare calls in this file. Otherwise the future of every
        // exchange would reserve space for them.
        let ends = self.out.ends;
        let opened = Box::pin(connect(&service.pools[target], acceptable, ends, &times)).await;
        self.dialled_ns = times.dialled_ns.get();
        report_connect(service, upstream, target, &opened, calls);
        Ok(opened?)
    }
}
