//! PROXY protocol header: sends the client's address to an upstream before any other byte of a
//! connection (the HAProxy project's `proxy-protocol.txt`, versions 1 and 2).
//!
//! The header contains the trusted client address (semantics.md §6). Behind a proxy or a load
//! balancer, the client's port is unknown, and 0 is sent. The destination is the address of the
//! gateway to which the client connected. If only one of the two addresses is IPv6, both are sent
//! as IPv6 addresses, because a header has one address family. Health checks are connections of the
//! gateway itself and have no client address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bundle::ir::ProxyVersion;

/// Signature at the start of version 2.
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command LOCAL: the gateway makes the connection for itself.
const LOCAL: u8 = 0x20;
/// Version 2, command PROXY: the gateway makes the connection for a client.
const PROXY: u8 = 0x21;
/// Family and transport: TCP over IPv4, and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Client and destination addresses of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// Encodes the header of a connection. Without `ends`, the gateway makes the connection for itself.
pub(crate) fn header(version: ProxyVersion, ends: Option<Ends>) -> Vec<u8> {
    let ends = ends.map(Ends::of_one_family);
    match version {
        ProxyVersion::V1 => v1(ends).into_bytes(),
        ProxyVersion::V2 => v2(ends),
    }
}

/// Header of version 1: the line `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` (§2.1).
fn v1(ends: Option<Ends>) -> String {
    let Some(Ends {
        client,
        destination,
    }) = ends
    else {
        return "PROXY UNKNOWN\r\n".to_owned();
    };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    format!(
        "PROXY {family} {} {} {} {}\r\n",
        client.ip(),
        destination.ip(),
        client.port(),
        destination.port()
    )
}

/// Header of version 2, in binary form (§2.2).
fn v2(ends: Option<Ends>) -> Vec<u8> {
    let mut header = V2_START.to_vec();
    let Some(Ends {
        client,
        destination,
    }) = ends
    else {
        header.extend_from_slice(&[LOCAL, 0, 0, 0]);
        return header;
    };
    let (family, length) = match client {
        SocketAddr::V4(_) => (TCP4, 12_u16),
        SocketAddr::V6(_) => (TCP6, 36),
    };
    header.extend_from_slice(&[PROXY, family]);
    header.extend_from_slice(&length.to_be_bytes());
    for end in [client, destination] {
        match end.ip() {
            IpAddr::V4(address) => header.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => header.extend_from_slice(&address.octets()),
        }
    }
    for end in [client, destination] {
        header.extend_from_slice(&end.port().to_be_bytes());
    }
    header
}

impl Ends {
    fn of_one_family(self) -> Self {
        let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let (client, destination) = (plain(self.client), plain(self.destination));
        if client.is_ipv4() == destination.is_ipv4() {
            return Self {
                client,
                destination,
            };
        }
        Self {
            client: mapped(client),
            destination: mapped(destination),
        }
    }
}

/// Converts an IPv4 address to an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2).
fn mapped(end: SocketAddr) -> SocketAddr {
    let address: Ipv6Addr = match end.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    SocketAddr::new(address.into(), end.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, destination: &str) -> Option<Ends> {
        Some(Ends {
            client: client.parse().unwrap(),
            destination: destination.parse().unwrap(),
        })
    }

    #[test]
    fn version_1_is_one_line() {
        for (ends, line) in [
            (
                ends("192.0.2.1:56324", "198.51.100.1:443"),
                "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            ),
            (
                ends("[2001:db8::1]:1", "[2001:db8::2]:65535"),
                "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n",
            ),
            (
                ends("192.0.2.1:0", "[::ffff:198.51.100.1]:443"),
                "PROXY TCP4 192.0.2.1 198.51.100.1 0 443\r\n",
            ),
            (
                ends("[2001:db8::1]:0", "198.51.100.1:443"),
                "PROXY TCP6 2001:db8::1 ::ffff:198.51.100.1 0 443\r\n",
            ),
            (None, "PROXY UNKNOWN\r\n"),
        ] {
            let header = header(ProxyVersion::V1, ends);
            assert_eq!(String::from_utf8(header).unwrap(), line);
        }
    }

    #[test]
    fn version_2_has_the_bytes_of_the_specification() {
        const START: &[u8] = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a";
        let v4 = b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb";
        let v6 = b"\x21\x21\x00\x24\
            \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
            \0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x01\
            \x00\x00\x01\xbb";
        for (ends, rest) in [
            (ends("192.0.2.1:56324", "198.51.100.1:443"), &v4[..]),
            (ends("[2001:db8::1]:0", "198.51.100.1:443"), &v6[..]),
            (None, &b"\x20\x00\x00\x00"[..]),
        ] {
            assert_eq!(header(ProxyVersion::V2, ends), [START, rest].concat());
        }
    }

    #[test]
    fn header_is_parsed_by_the_gateways_listeners() {
        use engine::proxy_protocol::{Header, parse};
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            for (ends, client) in [
                (ends("192.0.2.1:5", "198.51.100.1:443"), Some("192.0.2.1")),
                (ends("[2001:db8::1]:5", "1.2.3.4:443"), Some("2001:db8::1")),
                (ends("192.0.2.1:5", "[2001:db8::1]:443"), Some("192.0.2.1")),
                (None, None),
            ] {
                let header = header(version, ends);
                let read = Header::Whole {
                    length: header.len(),
                    client: client.map(|client| client.parse().unwrap()),
                };
                assert_eq!(parse(&header), Ok(read), "{header:?}");
            }
        }
    }
}
