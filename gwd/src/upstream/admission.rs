//! Permits for a request to an upstream and for its connection, and reports of connection attempts.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use bundle::ir;

use crate::limits::addresses::Most;
use crate::message::failure::{Failure, Kind};
use crate::telemetry::process::LimitedResource;
use crate::upstream::call_cx::CallCx;
use crate::upstream::connect::NoConnection;
use crate::upstream::connection_shares::ConnectionCharge;
use crate::upstream::outlier::HealthSignal;
use crate::upstream::pool::Pool;
use crate::upstream::service::Service;
use crate::upstream::shared::InFlight;
use crate::upstream::sharing::Sharing;
use crate::upstream::{breaker_permits, slow};

/// Maximum number of requests that the upstream receives at the same time.
pub(super) fn concurrent_requests(upstream: &ir::Upstream, service: &Service) -> u64 {
    let streams = service.common.state.streams.load(Ordering::Relaxed);
    upstream.concurrent_requests(streams)
}

/// Takes a permit for a request to the upstream. Fails if the upstream has reached its maximum.
pub(crate) fn admit(
    upstream: &ir::Upstream,
    service: &Service,
    client: Option<IpAddr>,
) -> Result<InFlight, Failure> {
    let admitted = service.common.state.begin(
        upstream.limits.requests,
        concurrent_requests(upstream, service),
        client,
    );
    admitted.ok_or(Failure::new(Kind::Overflow))
}

/// Takes a permit for a client's request. Shares apply while more than three quarters of the
/// permits are in use. An address then gets no permit if its share, or that of one of its networks,
/// is used up. An address with its maximum of slow uploads and slowly read responses also gets no
/// permit.
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
        calls
            .shard
            .process
            .shed(LimitedResource::RequestsPerAddress);
        let why = "the client's address or network has used up its share of the upstream's permits";
        return Err(Failure::because(Kind::ShareUsed, &why));
    }
    let most = Most::of_address(slow::most_of_address(concurrent_requests(
        upstream, service,
    )));
    if calls.budgets.slow_addresses.has(client, most) {
        calls.shard.process.shed(LimitedResource::SlowDownloads);
        let why = "the client's address has reached the maximum of slow requests to the upstream";
        return Err(Failure::because(Kind::ShareUsed, &why));
    }
    Ok(in_flight)
}

/// Counts the connection for a client whose exchange uses it exclusively ([`Pool::charge`]).
pub(crate) fn charge(
    pool: &Pool,
    sharing: Sharing,
    client: Option<IpAddr>,
    calls: &CallCx,
) -> Result<Option<ConnectionCharge>, Failure> {
    pool.charge(sharing, client).map_err(|_used| {
        calls
            .shard
            .process
            .shed(LimitedResource::RequestsPerAddress);
        let why =
            "the client's address or network has used up its share of the upstream's connections";
        Failure::because(Kind::ShareUsed, &why)
    })
}

/// Reports the result of a connection attempt to the health tracking of the target. A failure
/// because of missing resources in the gateway, or of waiting for other requests, does not count
/// against the target.
pub(crate) fn report_connect<T>(
    service: &Service,
    upstream: &ir::Upstream,
    target: usize,
    opened: &Result<T, NoConnection>,
    calls: &CallCx,
) {
    let now_ms = calls.clock.now_ms();
    match opened {
        Ok(_) => service.reached(target),
        Err(NoConnection::Failed(failure) | NoConnection::Expired(failure)) => {
            service.record_connect_failure(target, failure, now_ms);
            service.saw(upstream, target, HealthSignal::Unreachable, calls, now_ms);
            breaker_permits::record_connect_failure(
                upstream,
                service.breaker_of(target),
                calls,
                now_ms,
            );
        }
        Err(NoConnection::NotAttempted(_)) => {}
    }
}
