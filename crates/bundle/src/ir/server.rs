//! Servers that an upstream reaches: hosts and ports in normalised form. Two upstreams with a
//! common server send requests to the same service, even if the schemes and paths of their URLs
//! differ.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::{Discovery, Target, Upstream};

/// Servers of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// Servers named in the configuration: `host:port`, or the path of a UNIX socket. A source of
    /// discovered servers is `file:PATH` or `srv:NAME`: two upstreams with the same source have the
    /// same servers.
    pub named: BTreeSet<String>,
    /// True if gwd discovers more servers at run time (`file`, SRV records). The discovered servers
    /// can be any servers.
    pub can_be_any: bool,
}

impl Upstream {
    /// Servers that an upstream can reach.
    #[must_use]
    pub fn servers(&self) -> Servers {
        let named = self.targets.iter().map(Target::server);
        let (found, can_be_any) = match &self.discovery {
            None => (None, false),
            Some(Discovery::File(file)) => (Some(format!("file:{}", file.path)), true),
            Some(Discovery::Dns(dns)) => match dns.port {
                Some(port) => (Some(server(dns.host(), port)), false),
                None => {
                    let name = dns.name.trim_end_matches('.').to_ascii_lowercase();
                    (Some(format!("srv:{name}")), true)
                }
            },
        };
        Servers {
            named: named.chain(found).collect(),
            can_be_any,
        }
    }

    /// Servers of the upstream, each with the path that precedes the path of a request. All names
    /// and addresses of this machine are `localhost`.
    #[must_use]
    pub fn servers_and_paths(&self) -> Vec<(String, &str)> {
        let found = match &self.discovery {
            None => {
                let targets = self.targets.iter();
                return targets
                    .map(|target| (target.server(), target.path.as_str()))
                    .collect();
            }
            Some(Discovery::File(file)) => format!("file:{}", file.path),
            Some(Discovery::Dns(dns)) => match dns.port {
                Some(port) => server(dns.host(), port),
                None => dns.host().to_ascii_lowercase(),
            },
        };
        vec![(found, "")]
    }
}

impl Target {
    /// Server of a target: `host:port`, or the path of a UNIX socket.
    #[must_use]
    pub fn server(&self) -> String {
        match self.socket() {
            Some(_) => self.host.clone(),
            None => server(&self.host, self.port),
        }
    }
}

impl Servers {
    /// True if both upstreams can reach the same server.
    #[must_use]
    pub fn meet(&self, other: &Self) -> bool {
        self.can_be_any || other.can_be_any || self.share_named(other)
    }

    /// True if both upstreams name the same server.
    #[must_use]
    pub fn share_named(&self, other: &Self) -> bool {
        !self.named.is_disjoint(&other.named)
    }
}

/// Normalises a server: the name in lower case without the final dot, an IPv4-mapped address as
/// IPv4, and `localhost` for all names and addresses of this machine.
#[must_use]
pub fn server(host: &str, port: u16) -> String {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let address: Option<IpAddr> = bare.unwrap_or(&name).parse().ok();
    let address = address.or_else(|| ipv4(&name).map(IpAddr::V4));
    let address = address.map(|address| address.to_canonical());
    let is_here = name == "localhost"
        || name.ends_with(".localhost")
        || address.is_some_and(|address| address.is_loopback() || address.is_unspecified());
    match (is_here, address) {
        (true, _) => format!("localhost:{port}"),
        (false, Some(address)) => format!("{address}:{port}"),
        (false, None) => format!("{name}:{port}"),
    }
}

/// Parses an IPv4 address in one of the shorter forms that resolvers accept (`inet_aton`): one to
/// four numbers in decimal, octal (`0…`) or hexadecimal (`0x…`) notation. The last number fills the
/// remaining bytes.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match part.strip_prefix('0') {
        None => part
            .parse::<u32>()
            .ok()
            .filter(|_| part.bytes().all(|it| it.is_ascii_digit())),
        Some("") => Some(0),
        Some(rest) => match rest.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => u32::from_str_radix(rest, 8).ok(),
        },
    };
    let parts: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) {
        return None;
    }
    let rest = 32 - 8 * u32::try_from(first.len()).ok()?;
    if u64::from(*last) >= 1 << rest {
        return None;
    }
    let high = first.iter().fold(0u32, |all, part| all << 8 | part);
    Some(Ipv4Addr::from(high.checked_shl(rest).unwrap_or(0) | *last))
}

#[cfg(test)]
mod tests {
    use super::{ipv4, server};

    #[test]
    fn spellings_of_a_server_are_one() {
        for host in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "127.1",
            "0x7f.1",
            "0177.0.0.1",
            "2130706433",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "0",
        ] {
            assert_eq!(server(host, 80), "localhost:80", "{host}");
        }
        assert_eq!(server("::ffff:10.0.0.1", 1), server("10.1", 1));
        assert_eq!(server("Svc.internal.", 1), "svc.internal:1");
        assert_ne!(server("svc", 1), server("svc", 2));
    }

    #[test]
    fn names_are_no_addresses() {
        for name in [
            "",
            "a.1",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.16777216",
            "08",
            "-1",
            "+1",
            "0x",
        ] {
            assert_eq!(ipv4(name), None, "{name}");
        }
    }
}
