//! One request that the gateway itself sends to an upstream.
//!
//! Such a request is subject to everything that applies to requests to an upstream: its hosts,
//! health, limits, circuit breaker, connection pools and TLS. If a host is unreachable, another one
//! is tried. If the service has closed a reused connection, a new one is opened. Other failures are
//! not retried.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;

use bundle::ir;
use bytes::{Bytes, BytesMut};
use engine::forward::Outbound;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Body as _;
use policy::RequestHead;
use policy::ask::{Answered, Outage};
use policy::traffic::circuit_breaker::Scope;

use crate::message::body::RequestBody;
use crate::message::failure::{Failure, Kind};
use crate::message::sends::Sends;
use crate::runtime::deadlines::{Slot, in_time};
use crate::telemetry::shard::{CallKey, Label, method_index};
use crate::upstream::admission::{admit, admit_client, charge, report_connect};
use crate::upstream::affinity::Affinity;
use crate::upstream::breaker_permits;
use crate::upstream::call::Call;
use crate::upstream::connect::{Times, connect};
use crate::upstream::outlier::HealthSignal;
use crate::upstream::pool::Lease;
use crate::upstream::proxy_header::Ends;
use crate::upstream::service::{Service, TargetSelection};
use crate::upstream::shared::InFlight;
use crate::upstream::sharing::Acceptable;
use crate::upstream::sharing::{Sharing, is_large};
use crate::upstream::transport::{self, Incoming, Refused};
use crate::upstream::tried_targets::{TriedTargets, is_cut_short};
use crate::worker::{View, Worker};

/// Maximum number of connections that are opened for one request to a service.
const CONNECTS_MAX: usize = 3;

/// True if a response with this status refuses the client's request whatever the body contains:
/// redirects and client errors.
fn refuses(status: StatusCode) -> bool {
    status.is_redirection() || status.is_client_error()
}

/// Destination and time limits of a request that the gateway itself makes.
pub(super) struct To<'a> {
    pub(super) worker: &'a Worker,
    pub(super) view: &'a View,
    /// Index of the upstream that gets the request.
    pub(super) upstream: u32,
    /// Address of the client whose request needs the answer. `None` if the gateway itself needs it.
    pub(super) client: Option<IpAddr>,
    /// Deadline slot of the task that sends the request. The slot wakes the task when the deadline
    /// passes.
    pub(super) deadline: &'a Slot,
    pub(super) ends: Ends,
    /// Time at which the answer must be complete, in milliseconds of the gateway's clock.
    pub(super) until_ms: u64,
    pub(super) body_bytes_max: usize,
}

/// Response whose head has arrived and whose body has not been read.
pub(super) struct Begun {
    pub(super) response: transport::Answer,
    pub(super) lease: Lease,
}

/// Function that creates the body of a request for each attempt to send it.
type NewBody<'a> = &'a dyn Fn() -> RequestBody;

impl To<'_> {
    /// Sends a request and reads the whole response.
    pub(super) async fn send(&self, head: &RequestHead, body: &Bytes) -> Result<Answered, Outage> {
        let body = || match body.is_empty() {
            true => RequestBody::Empty,
            false => RequestBody::Whole(body.clone()),
        };
        let status = |answered: &Answered| answered.status;
        let (answered, _in_flight) = self.admitted(head, &body, Self::whole, status).await?;
        Ok(answered)
    }

    /// Sends a request whose body is not complete, and waits for the head of the response. The
    /// returned permit counts the request until it is dropped.
    pub(super) async fn open(
        &self,
        head: &RequestHead,
        body: NewBody<'_>,
    ) -> Result<(Begun, InFlight), Outage> {
        let status = |begun: &Begun| begun.response.status();
        self.admitted(head, body, Self::begin, status).await
    }

    /// Sends a request within the limits and circuit breakers of the upstream, and counts it.
    async fn admitted<T>(
        &self,
        head: &RequestHead,
        body: NewBody<'_>,
        exchange: impl AsyncFnOnce(
            &Self,
            &RequestHead,
            NewBody<'_>,
            &ir::Upstream,
            &Service,
        ) -> Result<T, Outage>,
        status: impl Fn(&T) -> StatusCode,
    ) -> Result<(T, InFlight), Outage> {
        let loaded = &self.view.current().loaded;
        let upstream = &loaded.snapshot.upstreams()[self.upstream as usize];
        let service = self.view.service(self.worker, self.upstream);
        let began_ns = self.worker.clock.now_ns();
        let in_flight = match self.client {
            Some(client) => admit_client(upstream, &service, client, self.worker),
            None => admit(upstream, &service, None),
        };
        let in_flight = in_flight.map_err(|_| Outage::Overflow)?;
        let settings = upstream.circuit_breaker.as_ref();
        let settings = settings.filter(|settings| settings.scope == Scope::Upstream);
        let breaker = service.breaker();
        let permit = settings
            .map(|settings| breaker.admit(&settings.numbers, began_ns / 1_000_000, false))
            .transpose();
        let permit = permit.map_err(|_| Outage::CircuitOpen)?;
        let outcome = exchange(self, head, body, upstream, &service).await;
        let answered = outcome.as_ref().map(&status).map_err(|outage| *outage);
        let now_ns = self.worker.clock.now_ns();
        let took_ns = now_ns - began_ns;
        if let (Some(permit), Some(settings), Some(signal)) =
            (permit, settings, health_signal(answered))
        {
            breaker_permits::report(
                permit,
                &settings.numbers,
                signal,
                took_ns,
                now_ns,
                self.worker,
            );
        }
        self.worker.shard.call(
            CallKey {
                upstream: loaded.upstream_uids[self.upstream as usize],
                method: method_index(&head.method),
                status: answered.map_or(0, |status| status.as_u16()),
                error: Label(answered.err().map_or("", Outage::label)),
            },
            took_ns,
        );
        outcome.map(|outcome| (outcome, in_flight))
    }

    async fn whole(
        &self,
        head: &RequestHead,
        body: NewBody<'_>,
        upstream: &ir::Upstream,
        service: &Service,
    ) -> Result<Answered, Outage> {
        let Begun {
            mut response,
            lease,
        } = self.begin(head, body, upstream, service).await?;
        let headers = std::mem::take(response.headers_mut());
        let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        let length = length.and_then(|text| text.parse::<usize>().ok());
        let status = response.status();
        if length.is_some_and(|length| length > self.body_bytes_max) {
            return match refuses(status) {
                true => Ok(Answered {
                    status,
                    headers,
                    body: Bytes::new(),
                    unix_s: self.unix_s(),
                }),
                false => Err(Outage::TooLarge),
            };
        }
        let mut incoming = response.into_body();
        self.deadline.set(self.until_ms);
        let read = in_time(self.deadline, collect(&mut incoming, self.body_bytes_max)).await;
        let body = match read.unwrap_or(Err(Outage::Timeout)) {
            Ok(body) => {
                lease.give_back(&mut incoming, self.worker.clock.now_ms());
                body
            }
            // The status alone refuses the client's request. An unreadable body is therefore not an
            // outage (in an outage, a policy might admit the request).
            Err(_) if refuses(status) => Bytes::new(),
            Err(outage) => return Err(outage),
        };
        Ok(Answered {
            status,
            headers,
            body,
            unix_s: self.unix_s(),
        })
    }

    fn unix_s(&self) -> u64 {
        let now_ns = self.worker.clock.now_ns();
        self.worker.unix_ms(now_ns) / 1_000
    }

    /// Chooses a target, sends the request to it and waits for the response's head.
    async fn begin(
        &self,
        head: &RequestHead,
        body: NewBody<'_>,
        upstream: &ir::Upstream,
        service: &Service,
    ) -> Result<Begun, Outage> {
        let since_ms = self.worker.clock.now_ms();
        let mut tried = TriedTargets::default();
        let mut reuse = true;
        let mut last = Outage::Failed;
        for _ in 0..CONNECTS_MAX {
            let now_ms = self.worker.clock.now_ms();
            let Some(target) = service.choose(&TargetSelection {
                upstream,
                affinity: &Affinity::default(),
                tried: &tried,
                random: &self.worker.random,
                now_ms,
            }) else {
                return Err(last);
            };
            let pool = &service.pools[target];
            let sharing = pool.sharing(head, Sends::Nothing, self.client);
            let charge = charge(pool, sharing, self.client, self.worker);
            let charge = charge.map_err(|_| Outage::Overflow)?;
            let idle = reuse
                .then(|| pool.checkout(sharing, true, now_ms))
                .flatten();
            let used = idle.is_some();
            let mut lease = match idle {
                Some(lease) => lease,
                None => match self.connect(upstream, service, target, sharing).await {
                    Ok(lease) => lease,
                    Err(outage @ (Outage::Failed | Outage::Timeout)) => {
                        tried.add(target);
                        last = outage;
                        continue;
                    }
                    Err(outage) => return Err(outage),
                },
            };
            lease.charge = charge;
            let used = used || lease.is_used();
            match self
                .once(head, body, (upstream, service), target, (lease, since_ms))
                .await
            {
                Ok(begun) => return Ok(begun),
                Err(Once::Stale) if used => reuse = false,
                Err(Once::Stale) => return Err(broken(head)),
                Err(Once::Outage(outage)) => return Err(outage),
            }
        }
        Err(last)
    }

    /// Opens a connection to a target within the remaining time.
    async fn connect(
        &self,
        upstream: &ir::Upstream,
        service: &Service,
        target: usize,
        sharing: Sharing,
    ) -> Result<Lease, Outage> {
        let waits = service.common.state.wait(upstream.limits.pending);
        let _waits = waits.ok_or(Outage::Overflow)?;
        let times = Times {
            deadline: self.deadline,
            clock: self.worker.clock,
            until_ms: self.until_ms,
            connect_ms: service.connect_timeout_ms,
            dialled_ns: Cell::default(),
        };
        let pool = &service.pools[target];
        let acceptable = (Acceptable::Any, sharing);
        let opened = Box::pin(connect(pool, acceptable, self.ends, &times)).await;
        report_connect(service, upstream, target, &opened, self.worker);
        opened.map_err(|missed| match Failure::from(missed).kind {
            Kind::Overflow => Outage::Overflow,
            Kind::ConnectTimeout => Outage::Timeout,
            _ => Outage::Failed,
        })
    }

    /// Sends the request on a connection and waits for the response's head.
    async fn once(
        &self,
        head: &RequestHead,
        body: NewBody<'_>,
        (upstream, service): (&ir::Upstream, &Service),
        target: usize,
        (mut lease, since_ms): (Lease, u64),
    ) -> Result<Begun, Once> {
        let clock = self.worker.clock;
        let began_ns = clock.now_ns();
        // `is_late` is true if this attempt begins with three quarters of its time or less. Its
        // timeout then counts as a reached limit of the upstream, not as an outage of the service.
        let left_ms = self.until_ms.saturating_sub(began_ns / 1_000_000);
        let is_late = is_cut_short(left_ms, self.until_ms.saturating_sub(since_ms));
        let host = &service.set.hosts[target];
        let _busy = host.busy();
        let settings = upstream.circuit_breaker.as_ref();
        let settings = settings.filter(|settings| settings.scope == Scope::Target);
        let permit = settings.map(|settings| {
            let breaker = service.breaker_of(target);
            breaker.admit(&settings.numbers, began_ns / 1_000_000, false)
        });
        let permit = permit.transpose();
        let permit = permit.map_err(|_| Once::Outage(Outage::CircuitOpen))?;
        let head = at_target(head, upstream, &service.set.endpoints[target].target);
        let call = Call {
            head: &mut Outbound::whole(&head),
            body: body(),
            fields: HeaderMap::new(),
            client: self.client,
        };
        self.deadline.set(self.until_ms);
        let answered = in_time(self.deadline, lease.begin(call).answer(None)).await;
        let now_ns = clock.now_ns();
        let signal = match &answered {
            Some(Ok(response)) => Some(HealthSignal::Status(response.status().as_u16())),
            Some(Err(_)) => (!is_large(&head)).then_some(HealthSignal::Broken),
            None => (!is_late).then_some(HealthSignal::TimedOut),
        };
        let stale = |refused: &Refused| refused.error.is_stale() && lease.is_used();
        let is_stale = matches!(&answered, Some(Err(refused)) if stale(refused));
        if let Some(signal) = signal.filter(|_| !is_stale) {
            service.saw(upstream, target, signal, self.worker, now_ns / 1_000_000);
            if let (Some(permit), Some(settings)) = (permit, settings) {
                let took_ns = now_ns - began_ns;
                breaker_permits::report(
                    permit,
                    &settings.numbers,
                    signal,
                    took_ns,
                    now_ns,
                    self.worker,
                );
            }
        }
        match answered {
            Some(Ok(response)) => {
                service.observe(target, now_ns - began_ns, now_ns);
                Ok(Begun { response, lease })
            }
            Some(Err(refused)) if refused.error.is_stale() => {
                lease.record_broken(began_ns / 1_000_000, now_ns / 1_000_000);
                Err(Once::Stale)
            }
            Some(Err(_)) => Err(Once::Outage(broken(&head))),
            None if is_late => Err(Once::Outage(Outage::Overflow)),
            None => Err(Once::Outage(Outage::Timeout)),
        }
    }
}

/// Reason why an attempt to send the request got no response.
enum Once {
    /// The service closed the reused connection, as it may do at any time. The request is sent
    /// again.
    Stale,
    Outage(Outage),
}

/// Result that the upstream's circuit breaker counts for a request to a service. `None` if the
/// breaker does not count the request.
fn health_signal(outcome: Result<StatusCode, Outage>) -> Option<HealthSignal> {
    match outcome {
        Ok(status) => Some(HealthSignal::Status(status.as_u16())),
        Err(Outage::Timeout) => Some(HealthSignal::TimedOut),
        Err(Outage::Failed | Outage::TooLarge) => Some(HealthSignal::Broken),
        Err(Outage::Overflow | Outage::CircuitOpen | Outage::LargeHead) => None,
    }
}

/// Outage to report if the service closed the connection without a response to a request with this
/// head.
fn broken(head: &RequestHead) -> Outage {
    match is_large(head) {
        true => Outage::LargeHead,
        false => Outage::Failed,
    }
}

/// Builds the head of the request to a target: adds path and `Host`.
fn at_target(head: &RequestHead, upstream: &ir::Upstream, target: &ir::Target) -> RequestHead {
    let mut head = head.clone();
    if !target.path.is_empty()
        && let Ok(path) = PathAndQuery::try_from(format!("{}{}", target.path, head.target))
    {
        head.target = path;
    }
    let written = match &upstream.host_header {
        ir::HostHeader::Preserve => None,
        ir::HostHeader::Upstream => Some(target.authority()),
        ir::HostHeader::Value(text) => Some(text.clone()),
    };
    let has_host = head.headers.contains_key(HOST);
    let host = written.or_else(|| (!has_host).then(|| target.authority()));
    if let Some(Ok(host)) = host.map(HeaderValue::try_from) {
        head.headers.insert(HOST, host);
    }
    head
}

/// Reads the whole body of a response. A body longer than `bytes_max` is an outage.
async fn collect(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, Outage> {
    let mut all = BytesMut::new();
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(all.freeze()),
            Some(Err(_)) => return Err(Outage::Failed),
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else {
                    continue;
                };
                if all.len() + data.len() > bytes_max {
                    return Err(Outage::TooLarge);
                }
                all.extend_from_slice(data);
            }
        }
    }
}
