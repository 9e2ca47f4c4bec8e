//! DNS resolution of A, AAAA and SRV records (RFC 1035, RFC 2782). The system's resolver is not
//! used, because it reports no TTL and blocks its thread.
//!
//! Name servers come from `/etc/resolv.conf`, and `/etc/hosts` has precedence, as usual. Both are
//! read again when they change. There is no cache here: a [`Source`](super::source::Source) keeps
//! its answer and TTL.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::discovery::share::share_out;
use crate::discovery::source::{Answer, DiscoveredHost, HOSTS_MAX};

/// Maximum time for one query with all its attempts, whatever the system's configuration says: 10s.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Maximum time for one attempt at a name server that `--name-server` sets: 2s.
const TRY_WAIT: Duration = Duration::from_secs(2);
/// Maximum number of SRV records that are used of one answer.
const SERVICES_MAX: usize = 256;
/// Files with the system's settings for name resolution.
const SYSTEM: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// DNS resolver of the discovery thread.
pub(crate) struct Dns {
    /// Name servers to use instead of the system's; empty to use the system's.
    name_servers: Vec<SocketAddr>,
    resolver: RefCell<Option<Rc<TokioResolver>>>,
    system: RefCell<Option<System>>,
}

/// Query for the records of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DnsQuery<'a> {
    /// A or AAAA records of a name, and the port of its hosts.
    Addresses(&'a str, u16),
    /// SRV records of a name.
    Services(&'a str),
}

/// Identity of each file of [`SYSTEM`]: device, inode, and change time in seconds and nanoseconds.
/// `None` if the file does not exist.
type System = [Option<(u64, u64, i64, i64)>; SYSTEM.len()];

/// SRV record: weight, port, and addresses of its target.
type Service<'a> = (u16, u16, &'a [IpAddr]);

/// Addresses with their TTL in milliseconds. The error is the answer to report if there is no
/// address.
type Addresses = Result<(Vec<IpAddr>, u64), Answer>;

// === impl Dns ===

impl Dns {
    pub(crate) fn new(name_servers: Vec<SocketAddr>) -> Self {
        Self {
            name_servers,
            resolver: RefCell::default(),
            system: RefCell::new(Some(system())),
        }
    }

    /// True if the system's settings have changed since the last call. The next query then uses the
    /// new settings.
    pub(crate) fn is_outdated(&self) -> bool {
        let now = Some(system());
        let outdated = *self.system.borrow() != now;
        if outdated {
            *self.system.borrow_mut() = now;
            self.resolver.borrow_mut().take();
        }
        outdated
    }

    /// Sends a query and returns its answer.
    pub(crate) async fn ask(&self, query: DnsQuery<'_>) -> Answer {
        let resolver = match self.resolver() {
            Ok(resolver) => resolver,
            Err(error) => {
                let why = format!("`/etc/resolv.conf` cannot be used: {error}");
                return Answer::Failed { why };
            }
        };
        let answered = async {
            match query {
                DnsQuery::Addresses(name, port) => hosts(&resolver, name, port).await,
                DnsQuery::Services(name) => services(&resolver, name).await,
            }
        };
        let late = |_| Answer::Failed {
            why: format!("no answer within {}s", ANSWER_WAIT.as_secs()),
        };
        tokio::time::timeout(ANSWER_WAIT, answered)
            .await
            .unwrap_or_else(late)
    }

    fn resolver(&self) -> Result<Rc<TokioResolver>, NetError> {
        let mut known = self.resolver.borrow_mut();
        if let Some(resolver) = &*known {
            return Ok(Rc::clone(resolver));
        }
        let mut builder = match self.name_servers.is_empty() {
            true => TokioResolver::builder_tokio()?,
            false => {
                let servers = self.name_servers.iter().map(name_server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                let provider = TokioRuntimeProvider::default();
                let mut builder = TokioResolver::builder_with_config(config, provider);
                builder.options_mut().timeout = TRY_WAIT;
                builder
            }
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.cache_size = 0;
        // Do not retry over TCP if a server answers with an error over UDP.
        options.try_tcp_on_error = false;
        let resolver = Rc::new(builder.build()?);
        *known = Some(Rc::clone(&resolver));
        Ok(resolver)
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connection = |protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = address.port();
        connection
    };
    // Configure TCP as well: truncated responses are queried again over TCP (RFC 7766).
    let connections = vec![
        connection(ProtocolConfig::Udp),
        connection(ProtocolConfig::Tcp),
    ];
    NameServerConfig::new(address.ip(), true, connections)
}

fn system() -> System {
    SYSTEM.map(|path| {
        let file = std::fs::metadata(Path::new(path)).ok()?;
        Some((file.dev(), file.ino(), file.ctime(), file.ctime_nsec()))
    })
}

/// Addresses of a name, as hosts of equal weight and priority.
async fn hosts(resolver: &TokioResolver, name: &str, port: u16) -> Answer {
    match addresses(resolver, name).await {
        Err(answer) => answer,
        Ok((addresses, ttl_ms)) => {
            let place = |address| DiscoveredHost {
                priority: 0,
                address: SocketAddr::new(address, port),
                weight: 1,
                zone: None,
            };
            Answer::Found {
                places: addresses.into_iter().map(place).collect(),
                ttl_ms,
            }
        }
    }
}

/// Looks up the A records of a name, and its AAAA records only if it has no A record. A name with
/// both kinds usually has the same hosts in both.
async fn addresses(resolver: &TokioResolver, name: &str) -> Addresses {
    let mut absent = None;
    for kind in [RecordType::A, RecordType::AAAA] {
        match records(resolver, name, kind).await {
            Err(answer @ Answer::Failed { .. }) => return Err(answer),
            Err(answer) => absent = absent.or(Some(answer)),
            Ok(lookup) => {
                let all = lookup.answers().iter();
                let all: Vec<IpAddr> = all.filter_map(|one| one.data.ip_addr()).collect();
                if !all.is_empty() {
                    return Ok((all, ttl_ms(&lookup)));
                }
            }
        }
    }
    Err(absent.unwrap_or_else(|| Answer::Absent {
        why: format!("`{}` has no address", name.escape_debug()),
    }))
}

/// Looks up the SRV records of a name and returns their hosts.
async fn services(resolver: &TokioResolver, name: &str) -> Answer {
    let lookup = match records(resolver, name, RecordType::SRV).await {
        Ok(lookup) => lookup,
        Err(answer) => return answer,
    };
    let records = lookup.answers().iter();
    let records = records.filter_map(|record| match &record.data {
        // A target `.` means that the service is not available at this name (RFC 2782).
        RData::SRV(srv) if !srv.target.is_root() => Some(srv),
        _ => None,
    });
    let records: Vec<_> = records.take(SERVICES_MAX).collect();
    if records.is_empty() {
        let why = format!(
            "`{}` has no usable SRV record (all targets are `.`)",
            name.escape_debug()
        );
        return Answer::Absent { why };
    }
    let mut ttl_ms = ttl_ms(&lookup);
    let mut found: BTreeMap<&Name, Vec<IpAddr>> = BTreeMap::new();
    for srv in &records {
        if found.contains_key(&srv.target) {
            continue;
        }
        // Use the addresses of SRV targets that the server added to its response.
        let added = lookup.additionals().iter();
        let added = added.filter(|record| record.name == srv.target);
        let mut all: Vec<IpAddr> = added.filter_map(|record| record.data.ip_addr()).collect();
        if all.iter().any(IpAddr::is_ipv4) {
            all.retain(IpAddr::is_ipv4);
        }
        if all.is_empty() {
            match addresses(resolver, &srv.target.to_utf8()).await {
                Ok((addresses, for_ms)) => {
                    all = addresses;
                    ttl_ms = ttl_ms.min(for_ms);
                }
                Err(Answer::Absent { .. }) => {}
                // Stop at the first failed query: without its addresses, the set of hosts would be
                // incomplete.
                Err(answer) => return answer,
            }
        }
        found.insert(&srv.target, all);
    }
    let mut by_priority: BTreeMap<u16, Vec<Service<'_>>> = BTreeMap::new();
    for srv in &records {
        let group = by_priority.entry(srv.priority).or_default();
        group.push((srv.weight, srv.port, &found[&srv.target]));
    }
    let mut places = Vec::new();
    for (priority, group) in by_priority {
        let counts = group.iter().map(|(_, _, addresses)| addresses.len());
        let weights = weights(group.iter().map(|(weight, ..)| *weight));
        let shares: Vec<(u32, usize)> = weights.into_iter().zip(counts).collect();
        for (weight, (_, port, addresses)) in share_out(&shares).into_iter().zip(&group) {
            places.extend(addresses.iter().map(|address| DiscoveredHost {
                priority,
                address: SocketAddr::new(*address, *port),
                weight,
                zone: None,
            }));
        }
    }
    if places.is_empty() {
        let why = format!("no SRV target of `{}` has an address", name.escape_debug());
        return Answer::Absent { why };
    }
    places.truncate(HOSTS_MAX);
    Answer::Found { places, ttl_ms }
}

/// Converts SRV weights to target weights. An SRV weight of 0 beside larger ones means a very small
/// share (RFC 2782), but a target weight of 0 means no requests. If all SRV weights are 0, the
/// results are equal.
fn weights(written: impl Iterator<Item = u16> + Clone) -> Vec<u32> {
    let scale = match (written.clone().any(|one| one == 0), written.clone().max()) {
        (true, Some(1..)) => 100,
        _ => 1,
    };
    written.map(|one| (u32::from(one) * scale).max(1)).collect()
}

/// Queries the records of a name.
async fn records(resolver: &TokioResolver, name: &str, kind: RecordType) -> Result<Lookup, Answer> {
    resolver.lookup(name, kind).await.map_err(|error| {
        let shown = name.escape_debug();
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => Answer::Absent {
                why: match none.response_code {
                    ResponseCode::NXDomain => format!("there is no `{shown}` (NXDOMAIN)"),
                    _ => format!("`{shown}` has no {kind} record"),
                },
            },
            NetError::Dns(DnsError::ResponseCode(code)) => Answer::Failed {
                why: format!("the name server answered the query for `{shown}` with {code}"),
            },
            error => Answer::Failed {
                why: format!("lookup of `{shown}` failed: {error}"),
            },
        }
    })
}

/// Minimum TTL of all records in a response, in milliseconds.
fn ttl_ms(lookup: &Lookup) -> u64 {
    let seconds = lookup.answers().iter().map(|record| record.ttl).min();
    u64::from(seconds.unwrap_or(0)) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srv_weight_0_is_a_small_share_unless_all_are_0() {
        for (written, expected) in [
            (&[10, 30][..], &[10, 30][..]),
            (&[10, 0], &[1_000, 1]),
            (&[0, 0], &[1, 1]),
            (&[65_535, 0], &[6_553_500, 1]),
            (&[], &[]),
        ] {
            assert_eq!(weights(written.iter().copied()), expected);
        }
    }
}
