//! Sends a request to an upstream: chooses a target, takes or opens a connection, sends the
//! request, and waits for the response head. Retries if that is configured and safe.
//!
//! Two kinds of retries are always enabled, because they cannot repeat work (semantics.md §3). If
//! no connection to a target can be opened, another target is tried. If a reused connection dies
//! before the first byte of the response, the request is sent once more on another connection, if
//! it can be sent again. All other retries need `retries` and count in its budget.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::message::incoming::Incoming;
use crate::runtime::clock;
use bundle::ir;
use engine::edge::X_GATEWAY_ATTEMPT;
use engine::{RouteRef, forward};
use http::header::{HeaderMap, HeaderValue, SET_COOKIE};
use policy::traffic::circuit_breaker::Scope;
use policy::traffic::retry::Checked;
use policy::upstream::HashOn;
use policy::{Cx, RequestHead};

use crate::message::body::RequestBody;
use crate::message::failure::{Failure, Kind};
use crate::message::transfer::Transfer;
use crate::message::upload::Progress;
use crate::telemetry::process::Shed;
use crate::upstream::affinity::Affinity;
use crate::upstream::call_cx::CallCx;
use crate::upstream::call_record::CallRecord;
use crate::upstream::connect::{Missed, Times, connect, in_time};
use crate::upstream::fuses::{self, Fuses, circuit_open, tell};
use crate::upstream::head_start::{HeadStart, head_start};
use crate::upstream::outlier::Sign;
use crate::upstream::pool::Lease;
use crate::upstream::pool::queue::Acceptable;
use crate::upstream::proxy_header::Ends;
use crate::upstream::retry::{self, Again};
use crate::upstream::sending::{Outcome, Sending};
use crate::upstream::shared::InFlight;
use crate::upstream::slow::{self, SlowShare, UploadCount, UploadShare};
use crate::upstream::source::Source;
use crate::upstream::transport::{self, Call as Send, Refused};
use crate::upstream::{Held, Looking, Service, Tried};

/// Request to be sent, with its context.
pub(crate) struct Outgoing<'a, 's> {
    pub(crate) calls: &'a CallCx,
    pub(crate) transfer: &'a Rc<Transfer>,
    pub(crate) route: &'a RouteRef<'s>,
    pub(crate) upstream: &'s ir::Upstream,
    pub(crate) service: &'s Service,
    pub(crate) origin: &'a forward::Origin,
    pub(crate) cx: &'a Cx<'s>,
    /// Request head. Attempts change only the attempt number in it.
    pub(crate) head: &'a mut RequestHead,
    pub(crate) body: Incoming,
    pub(crate) expects_continue: bool,
    /// Addresses of the client's connection.
    pub(crate) ends: Ends,
}

/// Response head, with everything that its body needs.
pub(crate) struct Answered {
    pub(crate) response: transport::Answer,
    pub(crate) lease: Lease,
    pub(crate) progress: Option<Rc<Progress>>,
}

/// Sends a request, with retries, and waits for the response head.
pub(crate) async fn send(
    out: Outgoing<'_, '_>,
    record: &mut CallRecord,
) -> Result<Answered, Failure> {
    let retry = retry::of(out.route, out.upstream);
    let repeatable = retry::is_repeatable(out.head, out.route, retry);
    let affinity = affinity(&out);
    let way = Way {
        calls: out.calls,
        transfer: out.transfer,
        ends: out.ends,
        route: out.route,
        upstream: out.upstream,
        service: out.service,
        origin: out.origin,
        cx: out.cx,
        affinity,
        repeatable,
    };
    let source = Source::take(
        out.body,
        out.transfer,
        out.calls,
        retry,
        out.expects_continue,
    );
    let source = source.await?;
    let (source, count) = match source.is_streamed() && out.transfer.awaits_upload() {
        true => begin_upload(source, &way).await?,
        false => (source, UploadCount::default()),
    };
    // Take the permit now, not before: while the client sends a body that is kept, no permit is
    // needed.
    let in_flight = admit_client(out.upstream, out.service, out.cx.client, out.calls)?;
    let seen_ns = match source {
        // No await since the request's head: reuse its time.
        Source::None if out.cx.answers.is_empty() => out.cx.now_ns,
        Source::None | Source::Kept(_) | Source::Teed(_) | Source::Stream { .. } => {
            out.calls.clock.now_ns()
        }
    };
    let mut call = Call {
        sending: Sending {
            calls: out.calls,
            transfer: out.transfer,
            timeout_ms: out.route.treatment.timeout_ms,
            per_try_ms: retry.and_then(|retry| retry.times.per_try_ms),
            until_ms: None,
            hurried: false,
            uploads: source.is_streamed(),
            progress: source.progress(),
            gate: None,
            slow: SlowShare {
                state: &out.service.common.state,
                requests_max: out.upstream.limits.requests,
                addresses: &out.calls.budgets.slow_addresses,
                client: out.cx.client,
            },
            count,
        },
        tried: Tried::default(),
        way,
        head: out.head,
        seen_ns,
        dialled_ns: None,
        replaced: 0,
        may_replace: true,
    };
    // A body that was not kept can be sent only once: there is no loop of attempts.
    let again = retry.filter(|_| !matches!(source, Source::Stream { .. }));
    let Some(retry) = again else {
        let outcome = call.attempt(source, record).await;
        if retry.is_some_and(|retry| wanted(retry, &outcome, repeatable).is_some()) {
            call.cannot_repeat(record);
        }
        return call.finish(outcome, in_flight, record);
    };
    // Only the gateway sets the attempt number: the edge removed the client's, and a policy's is
    // removed here.
    call.head.headers.remove(&X_GATEWAY_ATTEMPT);
    let mut number = 0;
    let mut _place = None;
    let mut before = retry::Before::Nothing;
    loop {
        if number > 0 {
            let number = HeaderValue::from(number + 1);
            call.head.headers.insert(&X_GATEWAY_ATTEMPT, number);
        }
        let outcome = call.attempt(source.again(), record).await;
        // The upstream may have received the request that was sent again: count it as an attempt.
        number += std::mem::take(&mut call.replaced);
        call.may_replace = u64::from(number) + 1 < retry.times.attempts;
        let headers = outcome.as_ref().ok().map(|reply| reply.response.headers());
        let why = wanted(retry, &outcome, repeatable);
        let why = why.filter(|_| u64::from(number) < retry.times.attempts);
        if why.is_some() && !source.is_repeatable() {
            call.cannot_repeat(record);
        }
        let Some(why) = why.filter(|_| source.is_repeatable()) else {
            let outcome = outcome.map_err(|failure| before.instead_of(failure));
            return call.finish(outcome, in_flight, record);
        };
        // If a circuit breaker is open now, the outcome of this attempt is the response.
        if !fuses::admits(&call.way, call.now_ms()) {
            return call.finish(outcome, in_flight, record);
        }
        number += 1;
        let wait_ms = call.wait_ms(retry, number, headers);
        // Release the place of the last retry in the budget, and take the next one before the wait:
        // retries that wait count as well.
        drop(_place.take());
        let state = &call.way.service.common.state;
        let limit = call.way.upstream.limits.retries;
        let place = Again::take(state, &retry.times, limit);
        let Some(wait_ms) = wait_ms.filter(|_| place.is_some()) else {
            return call.finish(outcome, in_flight, record);
        };
        _place = place;
        before = match outcome {
            Ok(reply) => {
                let status = reply.response.status();
                reply.give_up(call.now_ms());
                retry::Before::Answered(status)
            }
            Err(failure) => retry::Before::Failed(failure),
        };
        record.retried(&call.way.calls.shard, why);
        call.wait(wait_ms).await;
        call.look();
    }
}

/// Reason for a retry, or `None` if the outcome is final.
fn wanted(
    retry: &Checked,
    outcome: &Result<Reply, Failure>,
    repeatable: bool,
) -> Option<&'static str> {
    match outcome {
        Ok(reply) => retry::after_response(retry, &reply.response, repeatable),
        Err(failure) => retry::after_failure(retry, failure.kind, repeatable),
    }
}

/// Takes a permit for a request to the upstream. Fails if the upstream has reached its maximum.
pub(crate) fn admit(
    upstream: &ir::Upstream,
    service: &Service,
    client: Option<IpAddr>,
) -> Result<InFlight, Failure> {
    let admitted = service.common.state.begin(upstream.limits.requests, client);
    admitted.ok_or(Failure::new(Kind::Overflow))
}

/// Takes a permit for a client's request. While requests hold more than three quarters of the
/// permits, an address gets none that has its share of them, or its maximum of slow uploads and
/// slowly read responses.
pub(crate) fn admit_client(
    upstream: &ir::Upstream,
    service: &Service,
    client: IpAddr,
    calls: &CallCx,
) -> Result<InFlight, Failure> {
    let in_flight = admit(upstream, service, Some(client))?;
    if !in_flight.is_crowded() {
        return Ok(in_flight);
    }
    if in_flight.exceeds_share() {
        calls.counters.shed(Shed::RequestsPerAddress);
        let why = "the client's address has a quarter of the permits of a crowded upstream";
        return Err(Failure::because(Kind::Overflow, &why));
    }
    let most = slow::most_of_address(upstream.limits.requests);
    if calls.budgets.slow_addresses.has(client, most) {
        calls.counters.shed(Shed::SlowDownloads);
        let why = "the client's address has the maximum of slow requests to the upstream";
        return Err(Failure::because(Kind::Overflow, &why));
    }
    Ok(in_flight)
}

/// Counts an unfinished upload. If the client's address has reached its limit, the beginning of the
/// body is received before it is counted.
async fn begin_upload(source: Source, way: &Way<'_, '_>) -> Result<(Source, UploadCount), Failure> {
    let share = UploadShare {
        state: &way.service.common.state,
        requests_max: way.upstream.limits.requests,
        addresses: &way.calls.budgets.upload_addresses,
        client: way.cx.client,
    };
    if let Some(count) = share.begin() {
        return Ok((source, count));
    }
    // Boxed, because few requests need this future, and all would otherwise be as large.
    let count = match Box::pin(head_start(source, way.transfer, way.calls)).await? {
        HeadStart::Whole(source) => return Ok((source, UploadCount::default())),
        HeadStart::Delivers(source) => share.begin_delivering().map(|count| (source, count)),
        HeadStart::Refused => None,
    };
    count.ok_or_else(|| {
        way.calls.counters.shed(Shed::UploadsPerAddress);
        let why = "the client's address has the maximum of unfinished uploads to the upstream";
        Failure::because(Kind::Overflow, &why)
    })
}

/// Derives the affinity of the request to a target.
pub(crate) fn affinity(out: &Outgoing<'_, '_>) -> Affinity {
    let hash_on = out.upstream.balance.hash_on.as_ref();
    let random = &out.calls.random;
    Affinity::of(hash_on, out.head, out.cx, &out.service.set, random)
}

/// Context that all attempts of a request share.
pub(super) struct Way<'a, 's> {
    pub(super) calls: &'a CallCx,
    transfer: &'a Transfer,
    ends: Ends,
    pub(super) route: &'a RouteRef<'s>,
    pub(super) upstream: &'s ir::Upstream,
    pub(super) service: &'s Service,
    origin: &'a forward::Origin,
    cx: &'a Cx<'s>,
    affinity: Affinity,
    repeatable: bool,
}

impl<'a, 's> Way<'a, 's> {
    /// Parameters for forwarding the request to a target.
    fn relay(&self, target: usize) -> forward::Relay<'a, 's> {
        forward::Relay {
            route: self.route,
            upstream: self.upstream,
            target: &self.service.set.endpoints[target].target,
            origin: self.origin,
            cx: self.cx,
        }
    }
}

/// Request with the state of all its attempts.
struct Call<'a, 's> {
    way: Way<'a, 's>,
    head: &'a mut RequestHead,
    sending: Sending<'a>,
    tried: Tried,
    /// Last time that was read from the clock. Nothing is awaited between the start of an attempt
    /// and the sending of its request, nor after the response head, so that this time is still
    /// right there.
    seen_ns: u64,
    /// Time at which opening a connection began last, or `None` if no connection was opened.
    dialled_ns: Option<u64>,
    /// Number of times that the request was sent again because a reused connection had died.
    replaced: u32,
    /// True if the request may once more be sent again for this reason.
    may_replace: bool,
}

/// Idle connections that may be used.
#[derive(Clone, Copy)]
enum Reuse {
    /// Any idle connection, because the request can be sent again.
    Any,
    /// Only connections that were used recently.
    Fresh,
    /// No idle connection.
    No,
}

/// Response to one attempt.
pub(super) struct Reply {
    pub(super) response: transport::Answer,
    lease: Lease,
    target: usize,
}

impl Reply {
    /// Discards the response before a retry. Returns the connection to its pool if nothing is left
    /// to read.
    fn give_up(mut self, now_ms: u64) {
        self.lease.give_back(self.response.body_mut(), now_ms);
    }
}

impl Call<'_, '_> {
    fn now_ms(&self) -> u64 {
        self.way.calls.clock.now_ms()
    }

    /// Reads the clock, in nanoseconds.
    fn look(&mut self) -> u64 {
        self.seen_ns = self.way.calls.clock.now_ns();
        self.seen_ns
    }

    /// Performs one attempt, if the circuit breakers admit it, and reports its outcome to them.
    async fn attempt(&mut self, source: Source, record: &mut CallRecord) -> Result<Reply, Failure> {
        let began_ns = self.seen_ns;
        let fuses = Fuses::admit(&self.way, began_ns / 1_000_000)?;
        let outcome = self.at_a_target(source, record).await;
        let now_ns = match &outcome {
            Ok(_) => self.seen_ns,
            Err(_) => self.look(),
        };
        let sign = self.sending.sign(&outcome);
        fuses.told(sign, now_ns - began_ns, now_ns, &self.way);
        outcome
    }

    /// Gets a connection, sends the request and waits for the response head.
    async fn at_a_target(
        &mut self,
        source: Source,
        record: &mut CallRecord,
    ) -> Result<Reply, Failure> {
        let again = self.way.repeatable && self.may_replace;
        let again = again && !matches!(source, Source::Stream { .. });
        let reuse = if again { Reuse::Any } else { Reuse::Fresh };
        let (mut lease, reused, mut target) = self.take_connection(reuse, record).await?;
        let reused = reused || lease.is_used();
        let Way {
            upstream, service, ..
        } = self.way;
        let calls = self.way.calls;
        let host = &service.set.hosts[target];
        let fuse = upstream.circuit_breaker.as_ref();
        let fuse = fuse.filter(|fuse| fuse.scope == Scope::Target);
        let mut permit = match fuse.map(|fuse| host.breaker.admit(&fuse.numbers, self.now_ms())) {
            Some(Err(open)) => return Err(circuit_open(open)),
            Some(Ok(permit)) => Some(permit),
            None => None,
        };
        let mut busy = host.busy();
        self.tried.add(target);
        // If an HTTP/2 upstream has not processed the request, it may be sent again, whatever its
        // method.
        let spare = reused && !matches!(source, Source::Stream { .. });
        let spare = spare && (again || lease.is_shared());
        let spare = spare.then(|| source.again());
        let body = self.sending.body(source);
        let began_ms = record.begins(self.way.calls.clock.now_ns());
        self.sending.begin(began_ms);
        let mut sent = self.once(target, &mut lease, body).await;
        if let Ok(Err(refused)) = sent {
            // No byte was sent, or the request is repeatable: send it once more, on another
            // connection.
            let Refused { error, unsent } = *refused;
            let died = error.is_stale();
            if died {
                lease.died(began_ms, self.now_ms());
            }
            let body = match (spare, unsent) {
                (Some(spare), _)
                    if spare.is_repeatable() && (error.is_unprocessed() || died && again) =>
                {
                    Some(self.sending.body(spare.again()))
                }
                (None, unsent) if reused && died => unsent,
                _ => None,
            };
            sent = match body {
                None => Ok(Err(Box::new(Refused {
                    error,
                    unsent: None,
                }))),
                Some(body) => {
                    record.retried(&calls.shard, "reused_conn_reset");
                    self.replaced += 1;
                    record.tried(&service.set.endpoints[target]);
                    lease = match Box::pin(self.connect(target, error.wish())).await {
                        Ok(lease) => lease,
                        // The target cannot be reached: try another one.
                        Err(_) => {
                            let other = Box::pin(self.take_connection(Reuse::No, record));
                            let (lease, _, other) = other.await?;
                            permit = permit.filter(|_| other == target);
                            busy = service.set.hosts[other].busy();
                            target = other;
                            lease
                        }
                    };
                    self.sending.begin(self.now_ms());
                    Box::pin(self.once(target, &mut lease, body)).await
                }
            };
        }
        let outcome = match sent {
            Ok(Ok(response)) => {
                lease.held = Some(Held::busy(busy));
                Ok(Reply {
                    response,
                    lease,
                    target,
                })
            }
            Ok(Err(refused)) => Err(self.sending.judged(&refused.error)),
            Err(failure) => Err(failure),
        };
        let sign = self.sending.sign(&outcome);
        let now_ns = self.look();
        let took_ns = now_ns.saturating_sub(began_ms * 1_000_000);
        if let Some(sign) = sign {
            service.saw(upstream, target, sign, calls, now_ns / 1_000_000);
            service.observe(target, took_ns, now_ns);
        }
        if let (Some(permit), Some(fuse), Some(sign)) = (permit, fuse, sign) {
            tell(permit, &fuse.numbers, sign, took_ns, now_ns, calls);
        }
        outcome
    }

    /// Sends the request on a connection to a target, within the time limit of the attempt.
    fn once(
        &mut self,
        target: usize,
        lease: &mut Lease,
        body: RequestBody,
    ) -> impl Future<Output = Result<Outcome, Failure>> {
        let Self {
            way, head, sending, ..
        } = self;
        let mut outbound = forward::outbound(head, way.relay(target));
        let call = Send {
            head: &mut outbound,
            body,
            fields: way.calls.spare_maps.take(),
        };
        let begun = lease.begin(call);
        sending.in_time(sending.gate.clone(), begun)
    }

    /// Gets an idle or a new connection to a target. Targets that cannot be reached are skipped.
    /// Also returns whether the connection was idle, and the target.
    async fn take_connection(
        &mut self,
        reuse: Reuse,
        record: &mut CallRecord,
    ) -> Result<(Lease, bool, usize), Failure> {
        let service = self.way.service;
        let mut last = None;
        let mut afresh = self.tried.is_empty();
        loop {
            let looking = Looking {
                upstream: self.way.upstream,
                affinity: &self.way.affinity,
                tried: &self.tried,
                random: &self.way.calls.random,
                now_ms: self.seen_ns / 1_000_000,
            };
            let Some(target) = service.choose(&looking) else {
                // All targets were tried: a retry may try each of them again.
                if std::mem::replace(&mut afresh, true) {
                    return Err(last.unwrap_or_else(|| service.nobody()));
                }
                self.tried = Tried::default();
                continue;
            };
            let pool = &service.pools[target];
            record.tried(&service.set.endpoints[target]);
            let idle = match reuse {
                Reuse::Any => pool.checkout(true, looking.now_ms),
                Reuse::Fresh => pool.checkout(false, looking.now_ms),
                Reuse::No => None,
            };
            if let Some(lease) = idle {
                return Ok((lease, true, target));
            }
            record.connect_begins(self.way.calls.clock.now_ns());
            let opened = self.connect(target, Acceptable::Any).await;
            record.connect_ends(self.way.calls.clock.now_ns(), self.dialled_ns);
            self.look();
            match opened {
                Ok(lease) => return Ok((lease, false, target)),
                Err(failure) if failure.kind == Kind::Overflow => return Err(failure),
                Err(failure) if self.tried.is_last() => return Err(failure),
                Err(failure) => last = Some(failure),
            }
            self.tried.add(target);
        }
    }

    /// Opens a connection within the time limit, or takes one that becomes usable in the meantime.
    async fn connect(&mut self, target: usize, wish: Acceptable) -> Result<Lease, Failure> {
        let now_ms = self.now_ms();
        let until_ms = self.sending.ends_ms(now_ms);
        let Way {
            calls,
            service,
            upstream,
            ..
        } = self.way;
        let state = &service.common.state;
        let waits = state.wait(upstream.limits.pending);
        let _waits = waits.ok_or(Failure::new(Kind::Overflow))?;
        let times = Times {
            deadline: &self.way.transfer.deadline,
            clock: calls.clock,
            until_ms,
            connect_ms: service.connect_timeout_ms,
            dialled_ns: Cell::default(),
        };
        // Boxed, like all rare paths here: otherwise the future of every exchange would reserve
        // space for them.
        let ends = self.way.ends;
        let opened = Box::pin(connect(&service.pools[target], wish, ends, &times)).await;
        self.dialled_ns = times.dialled_ns.get();
        judge_connect(service, upstream, target, &opened, calls);
        Ok(opened?)
    }

    /// Milliseconds to wait before a retry, or `None` if no time would be left for the retry.
    fn wait_ms(&self, retry: &Checked, number: u32, headers: Option<&HeaderMap>) -> Option<u64> {
        let chance = self.way.calls.random.next();
        let wait_ms = retry::wait_ms(retry, number, headers, chance, clock::unix_ms() / 1_000);
        let until_ms = self.sending.until_ms.unwrap_or(u64::MAX);
        (self.now_ms() + wait_ms < until_ms).then_some(wait_ms)
    }

    async fn wait(&self, wait_ms: u64) {
        if wait_ms > 0 {
            let deadline = &self.way.transfer.deadline;
            deadline.set(self.now_ms() + wait_ms);
            let _over = in_time(deadline, std::future::pending::<()>()).await;
        }
    }

    /// Records that a retry was wanted, but the body cannot be sent again.
    #[cold]
    fn cannot_repeat(&self, record: &mut CallRecord) {
        let state = &self.way.service.common.state;
        state.unrepeatable.fetch_add(1, Ordering::Relaxed);
        record.retry_given_up("max_body");
    }

    /// Completes the outcome of the last attempt: attaches the request permit, rewrites fields of
    /// the response, and sets the affinity cookie.
    fn finish(
        self,
        outcome: Result<Reply, Failure>,
        in_flight: InFlight,
        record: &mut CallRecord,
    ) -> Result<Answered, Failure> {
        self.sending.count.finished();
        let Reply {
            mut response,
            mut lease,
            target,
        } = outcome?;
        if let Some(held) = &mut lease.held {
            held.in_flight = Some(in_flight);
        }
        record.head(response.status(), self.seen_ns);
        let relay = self.way.relay(target);
        forward::returned(response.headers_mut(), self.head, relay);
        let Way {
            upstream,
            service,
            affinity,
            origin,
            ..
        } = self.way;
        if let Some(HashOn::Cookie(name)) = &upstream.balance.hash_on {
            let encrypted = forward::is_encrypted(self.head, origin);
            if let Some(cookie) = affinity.cookie(name, target, &service.set, encrypted) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
        }
        Ok(Answered {
            response,
            lease,
            progress: self.sending.progress,
        })
    }
}

/// Reports the result of a connection attempt to the health tracking of the target. A lack of
/// resources in the gateway, or waiting for other requests, does not count against the target.
pub(crate) fn judge_connect<T>(
    service: &Service,
    upstream: &ir::Upstream,
    target: usize,
    opened: &Result<T, Missed>,
    calls: &CallCx,
) {
    let now_ms = calls.clock.now_ms();
    match opened {
        Ok(_) => service.reached(target),
        Err(Missed::Failed(failure)) => {
            service.missed(target, failure, now_ms);
            service.saw(upstream, target, Sign::Unreachable, calls, now_ms);
            fuses::missed(upstream, &service.set.hosts[target], calls, now_ms);
        }
        Err(Missed::Unasked(_)) => {}
    }
}
