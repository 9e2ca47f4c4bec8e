//! Checks across upstreams and operations: timeouts that never take effect, upstreams without
//! limits, and upstreams that point at the gateway itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bundle::ir;
use diag::{Diagnostic, NodeRef, Sink, Span};
use policy::auth::Checked;
use policy::endpoint::{self, Endpoint};
use policy::limits::CONTRADICTING_LIMITS;

use super::settings::Upstream;
use super::{Api, Defined, Operation, Origin, Settings, Valued, verifiers};
use sources::project::files::Files;
use vocab::lints::{UNBOUNDED_UPSTREAM, UPSTREAM_LOOP};

/// Checks every upstream against the operations that use it, and against the listeners.
pub fn check(files: &Files, settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let own = apis.iter().flat_map(|api| &api.upstreams);
    for upstream in settings.upstreams.iter().chain(own) {
        let name = &upstream.value.ir.name;
        let operations = apis.iter().flat_map(|api| &api.operations);
        let users = operations.filter(|operation| operation.upstream.value == *name);
        let users: Vec<&Operation> = users.collect();
        let rest = apis.iter().flat_map(|api| &api.rest);
        let rest = rest.filter(|rest| rest.upstream.value == *name);
        let timeouts = users.iter().map(|operation| &operation.timeout_ms);
        let timeouts = timeouts.chain(rest.map(|rest| &rest.timeout_ms));
        let node = upstream.node.map(|id| files.tree.at(id));
        report_unused_timeout(upstream, timeouts, sink);
        if !settings.defaults.timeout_unread {
            report_unbounded(upstream, node, &users, sink);
        }
        if let Some(node) = node {
            report_target_is_listener(upstream, node, settings, sink);
        }
    }
    report_calls_to_self(settings, apis, sink);
}

/// Reports policies (`forward_auth`) and verifiers (`introspection`) whose requests go to this
/// gateway itself. URLs of key sets are left out, because gwd fetches a key set once for many
/// requests.
fn report_calls_to_self(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let own = apis.iter().flat_map(|api| &api.policies);
    let policies = settings.policies.iter().chain(own);
    let calls = policies.flat_map(|policy| {
        let upstreams = policy.value.checked.upstreams().into_iter();
        let origins = upstreams.filter(|name| endpoint::is_origin(name));
        origins.map(|origin| (policy.span, origin.to_owned()))
    });
    let verifiers = verifiers::all(settings, apis);
    let verifiers = verifiers.filter_map(|verifier| match &verifier.value.checked {
        Checked::Introspection(introspection) => {
            Some((verifier.span, introspection.url().to_owned()))
        }
        _ => None,
    });
    for (at, url) in calls.chain(verifiers) {
        let Some(Endpoint { host, port, .. }) = Endpoint::of(&url) else {
            continue;
        };
        if let Some(listener) = listener_at(&host, port, settings) {
            report_loop(at, listener, sink);
        }
    }
}

/// Reports a timeout of an upstream that never takes effect, because the timeouts of all operations
/// that use the upstream are shorter.
fn report_unused_timeout<'m>(
    upstream: &Defined<Upstream>,
    timeouts: impl Iterator<Item = &'m Valued<u64>>,
    sink: &mut Sink,
) {
    let Some(request) = &upstream.value.request_timeout_ms else {
        return;
    };
    let Some(longest) = timeouts.max_by_key(|timeout| timeout.value) else {
        return;
    };
    let Some(at) = longest.span().filter(|_| longest.value < request.value) else {
        return;
    };
    sink.push(
        Diagnostic::new(
            &CONTRADICTING_LIMITS,
            request.span,
            format!(
                "this timeout ({}ms) never expires: no operation waits longer than {}ms",
                request.value, longest.value
            ),
        )
        .related(at, "the longest operation timeout is set here")
        .help("remove it, or write a longer timeout where operations need it"),
    );
}

/// Reports an upstream without health checks that an operation without a configured timeout uses.
fn report_unbounded(
    upstream: &Defined<Upstream>,
    node: Option<NodeRef<'_>>,
    users: &[&Operation],
    sink: &mut Sink,
) {
    let unbounded =
        |operation: &&Operation| matches!(operation.timeout_ms.origin, Origin::Default(_));
    let watched = node.is_some_and(|node| node.get("health").is_some());
    if watched || !users.iter().any(unbounded) {
        return;
    }
    sink.push(
        Diagnostic::new(
            &UNBOUNDED_UPSTREAM,
            upstream.span,
            format!("no timeout is set for `{}`", upstream.value.ir.name),
        )
        .label("the built-in timeout is 15s")
        .help("write `timeouts: {request: 5s}` here, or `defaults: {timeout: 5s}` for all"),
    );
}

/// Reports a target whose address is a listener of this gateway: the gateway would send requests to
/// itself.
fn report_target_is_listener(
    upstream: &Defined<Upstream>,
    node: NodeRef<'_>,
    settings: &Settings,
    sink: &mut Sink,
) {
    for target in upstream.value.ir.targets.iter() {
        let Some(listener) = listener_at(&target.host, target.port, settings) else {
            continue;
        };
        let written = node
            .get("targets")
            .and_then(|targets| targets.get(&target.name));
        let at: Span = written
            .and_then(|target| target.get("url"))
            .map_or(upstream.span, NodeRef::span);
        report_loop(at, listener, sink);
    }
}

/// Listener that a connection from this machine to `host` and `port` would reach.
fn listener_at<'s>(
    host: &str,
    port: u16,
    settings: &'s Settings,
) -> Option<&'s Defined<ir::Listener>> {
    settings.listeners.iter().find(|listener| {
        let address = listener.value.address.parse();
        address.is_ok_and(|address| is_there(host, port, address))
    })
}

fn report_loop(at: Span, listener: &Defined<ir::Listener>, sink: &mut Sink) {
    let mut finding = Diagnostic::new(
        &UPSTREAM_LOOP,
        at,
        format!(
            "requests to this address return to the listener `{}`",
            listener.value.name
        ),
    )
    .label("the gateway would call itself")
    .help("write the address of the service behind the gateway");
    if listener.node.is_some() {
        finding = finding.related(
            listener.span,
            format!("it listens at {}", listener.value.address),
        );
    }
    sink.push(finding);
}

/// True if a connection from this machine to `host` and `port` would reach the listener.
fn is_there(host: &str, port: u16, listener: SocketAddr) -> bool {
    if port != listener.port() {
        return false;
    }
    let everywhere = listener.ip().is_unspecified();
    match address_of(host) {
        Some(address) => {
            // A connection to an unspecified address (`0.0.0.0`) reaches this machine.
            let address = match address {
                IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                one => one,
            };
            address == listener.ip().to_canonical() || everywhere && address.is_loopback()
        }
        None => {
            let name = host.strip_suffix('.').unwrap_or(host);
            name == "localhost" && (everywhere || listener.ip().to_canonical().is_loopback())
        }
    }
}

/// IP address in the text `host`. An IPv4 address inside IPv6 (`::ffff:127.0.0.1`) is the IPv4
/// address. `None` if `host` is a name.
fn address_of(host: &str) -> Option<IpAddr> {
    let address = host.parse().map(|address: IpAddr| address.to_canonical());
    address.ok().or_else(|| of_numbers(host).map(IpAddr::V4))
}

/// IPv4 address of one to four numbers, as resolvers of operating systems read it (`inet_aton`):
/// `127.1`, `2130706433`, `0x7f.1`. The last number fills the remaining bytes.
fn of_numbers(host: &str) -> Option<Ipv4Addr> {
    let number = |text: &str| {
        let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
            Some(digits) => (digits, 16),
            None if text.len() > 1 && text.starts_with('0') => (text, 8),
            None => (text, 10),
        };
        let is_number = digits.chars().all(|digit| digit.is_digit(radix));
        is_number.then(|| u32::from_str_radix(digits, radix).ok())?
    };
    let numbers = host.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, before) = numbers
        .split_last()
        .filter(|(_, before)| before.len() < 4)?;
    let mut address = u64::from(*last);
    if address >> (8 * (4 - before.len())) != 0 || before.iter().any(|byte| *byte > 255) {
        return None;
    }
    for (byte, shift) in before.iter().zip([24, 16, 8]) {
        address |= u64::from(*byte) << shift;
    }
    u32::try_from(address).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::is_there;

    #[test]
    fn spellings_of_loopback_are_the_listener() {
        for listener in [
            "127.0.0.1:80",
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            let listener = listener.parse().unwrap();
            for host in [
                "127.0.0.1",
                "::ffff:127.0.0.1",
                "::ffff:7f00:1",
                "127.1",
                "127.0.1",
                "2130706433",
                "0x7f000001",
                "0X7F.0.0.1",
                "017700000001",
                "0177.0.0.01",
                "0",
                "0.0.0.0",
                "localhost",
                "localhost.",
            ] {
                assert!(is_there(host, 80, listener), "{host} {listener}");
                assert!(!is_there(host, 81, listener), "{host} {listener}");
            }
            for host in [
                "127.0.0.1.example",
                "128.1",
                "4294967296",
                "127.16777216",
                "127.0.0.1.1",
                "127.256.1",
                "08.1",
                "0x",
                "",
                "local.host",
            ] {
                assert!(!is_there(host, 80, listener), "{host} {listener}");
            }
        }
        assert!(!is_there("127.2", 80, "127.0.0.1:80".parse().unwrap()));
    }
}
