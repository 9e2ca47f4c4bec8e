//! Networks whose clients can reach a listening address.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use policy::Cidr;

/// Ranges that are not part of the Internet: private (RFC 1918, RFC 4193), shared (RFC 6598, also
/// used by VPNs), link-local, site-local, and those that IANA's registries of special-purpose
/// addresses call not globally reachable.
const LOCAL: [&str; 19] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "64:ff9b:1::/48",
    "100::/64",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "2001:db8::/32",
];

/// The ranges of [`LOCAL`]. Comparisons of listeners look them up for each pair.
static LOCAL_RANGES: LazyLock<Vec<Cidr>> = LazyLock::new(|| {
    LOCAL
        .iter()
        .filter_map(|range| Cidr::parse(range))
        .collect()
});

/// Networks whose clients can reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Networks {
    /// This machine.
    Machine,
    /// The network of this address, which is not part of the Internet, on the link with this scope
    /// id (RFC 4007). 0: no link is named.
    Local(IpAddr, u32),
    /// The Internet, over the family of this address.
    Internet(IpAddr),
    /// All networks of this machine, over the family of this wildcard address.
    All(IpAddr),
}

impl Networks {
    fn of(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        let is_local = LOCAL_RANGES.iter().any(|range| range.contains(ip));
        match ip {
            ip if ip.is_loopback() => Self::Machine,
            ip if ip.is_unspecified() => Self::All(ip),
            ip if is_local => Self::Local(ip, scope(address)),
            ip => Self::Internet(ip),
        }
    }

    /// True if every client that can reach this address can also reach the other address.
    fn are_within(self, other: Self) -> bool {
        let is_same_family = |one: IpAddr, other: IpAddr| one.is_ipv4() == other.is_ipv4();
        match (self, other) {
            // A machine reaches all of its own addresses.
            (Self::Machine, _) => true,
            (_, Self::Machine) => false,
            (Self::Local(one, link), Self::Local(other, other_link)) => {
                link == other_link && is_same_network(one, other)
            }
            // Networks behind address translation reach the Internet.
            (Self::Local(one, _) | Self::Internet(one), Self::Internet(other))
            | (Self::Local(one, _) | Self::Internet(one) | Self::All(one), Self::All(other)) => {
                is_same_family(one, other)
            }
            (Self::Internet(_) | Self::All(_), Self::Local(..))
            | (Self::All(_), Self::Internet(_)) => false,
        }
    }
}

/// Scope id of an IPv6 address: the index of the interface. Otherwise 0.
fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

/// True if two addresses are in one network, by the usual prefix lengths: 24 bits of an IPv4
/// address, 64 bits of an IPv6 address.
fn is_same_network(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.octets()[..8] == other.octets()[..8],
        _ => false,
    }
}

/// True if clients of more networks can reach the new listening address. Also true for an address
/// that cannot be parsed.
pub(crate) fn is_wider(new: &str, old: &str) -> bool {
    match (new.parse::<SocketAddr>(), old.parse::<SocketAddr>()) {
        (Ok(new), Ok(old)) => {
            let [is, was] = [new, old].map(Networks::of);
            !is.are_within(was)
        }
        _ => new != old,
    }
}

/// True if every client that can reach the old listening address can also reach the new one.
pub(crate) fn covers(new: &str, old: &str) -> bool {
    let (Ok(new), Ok(old)) = (new.parse::<SocketAddr>(), old.parse::<SocketAddr>()) else {
        return false;
    };
    let (is, was) = (new.ip(), old.ip());
    // A wildcard address accepts connections of its own address family only.
    let every = is.is_unspecified() && is.is_ipv4() == was.is_ipv4();
    let is_same = is.to_canonical() == was.to_canonical() && scope(new) == scope(old);
    new.port() == old.port() && (every || is_same)
}

#[cfg(test)]
mod tests {
    use super::is_wider;

    #[test]
    fn networks_of_addresses_are_compared() {
        // Addresses, each of which admits clients of more networks than the one before.
        let chains: [&[&str]; 5] = [
            &["127.0.0.1", "10.0.0.1", "8.8.8.8", "0.0.0.0"],
            &["127.9.9.9", "100.64.0.1", "1.1.1.1", "0.0.0.0"],
            &["127.0.0.1", "240.0.0.1", "1.1.1.1", "0.0.0.0"],
            &["[::1]", "[fd00::1]", "[2a00::1]", "[::]"],
            &["127.0.0.1", "203.0.113.7", "0.0.0.0"],
        ];
        for chain in chains {
            for (at, narrow) in chain.iter().enumerate() {
                for wide in &chain[at + 1..] {
                    let [narrow, wide] = [narrow, wide].map(|ip| format!("{ip}:80"));
                    assert!(is_wider(&wide, &narrow), "{narrow} {wide}");
                    assert!(!is_wider(&narrow, &wide), "{wide} {narrow}");
                }
            }
        }
        // Networks of which neither contains the other.
        for (one, other) in [
            ("10.0.0.1", "192.168.0.1"),
            ("10.0.0.1", "10.0.1.1"),
            ("[fd00::1]", "[fd01::1]"),
            ("[fe80::1%2]", "[fe80::1%3]"),
            ("[fe80::1%2]", "[fe80::1]"),
            ("0.0.0.0", "[::]"),
            ("8.8.8.8", "[2a00::1]"),
        ] {
            let [one, other] = [one, other].map(|ip| format!("{ip}:80"));
            assert!(is_wider(&one, &other) && is_wider(&other, &one), "{one}");
        }
        for (one, other) in [
            ("10.0.0.1", "10.0.0.9"),
            ("8.8.8.8", "9.9.9.9"),
            ("127.0.0.1", "[::1]"),
            ("10.0.0.1", "[::ffff:10.0.0.1]"),
        ] {
            let [one, other] = [one, other].map(|ip| format!("{ip}:80"));
            assert!(!is_wider(&one, &other) && !is_wider(&other, &one), "{one}");
        }
    }
}
