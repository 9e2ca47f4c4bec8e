//! Discovery of an upstream's hosts while the gateway runs.

use minicbor::{Decode, Encode};
use policy::declared::{Scalar, Settings, Value};

use super::upstream::Target;

/// Source of the hosts of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Discovery {
    /// A DNS name that gwd resolves.
    #[n(0)]
    Dns(#[n(0)] Dns),
    /// A file on the gateway's machine that another program writes.
    #[n(1)]
    File(#[n(0)] HostFile),
}

/// A file that lists hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct HostFile {
    /// Absolute path of the file.
    #[n(0)]
    pub path: String,
}

/// DNS name that gwd resolves repeatedly.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Dns {
    /// DNS name.
    #[n(0)]
    pub name: String,
    /// Port of the addresses in A and AAAA records. `None`: the name has SRV records (RFC 2782),
    /// which contain ports, weights and priorities.
    #[n(1)]
    pub port: Option<u16>,
    /// Maximum time until the next lookup in milliseconds. A longer TTL has no effect.
    #[n(2)]
    pub refresh_ms: Option<u64>,
}

// === impl Discovery ===

impl Discovery {
    /// Settings as written, under their keys in gateway.yaml.
    #[must_use]
    pub fn settings(&self) -> Settings {
        match self {
            Self::Dns(Dns {
                name,
                port,
                refresh_ms,
            }) => {
                let name = Value::One(Scalar::Text(name.clone()));
                let mut settings = Settings::default().with(&["dns", "name"], name);
                if let Some(port) = port {
                    let port = Value::One(Scalar::Number((*port).into()));
                    settings = settings.with(&["dns", "port"], port);
                }
                if let Some(ms) = refresh_ms {
                    let refresh = Value::One(Scalar::Duration(*ms));
                    settings = settings.with(&["dns", "refresh"], refresh);
                }
                settings
            }
            Self::File(HostFile { path }) => {
                let path = Value::One(Scalar::Text(path.clone()));
                Settings::default().with(&["file", "path"], path)
            }
        }
    }

    /// Template for the targets that discovery finds. The host is empty if each target has its own
    /// host name; the port is 0 if each target has its own port.
    #[must_use]
    pub fn target(&self) -> Target {
        let (name, host, port) = match self {
            Self::Dns(dns) => ("dns", dns.host(), dns.port.unwrap_or(0)),
            Self::File(_) => ("file", "", 0),
        };
        Target {
            name: name.to_owned(),
            host: host.to_owned(),
            port,
            path: String::new(),
            weight: 1,
            zone: None,
            tls: false,
        }
    }
}

// === impl Dns ===

impl Dns {
    /// Host name for `Host` and TLS: the configured name without its final dot and without the
    /// service labels of an SRV name. Names in DNS answers are not used, because they are not
    /// authenticated (RFC 6125 §6.2.1).
    #[must_use]
    pub fn host(&self) -> &str {
        let name = self.name.trim_end_matches('.');
        if self.port.is_some() {
            return name;
        }
        let mut labels = name.splitn(3, '.');
        match (labels.next(), labels.next(), labels.next()) {
            (Some(service), Some(protocol), Some(host))
                if service.starts_with('_') && protocol.starts_with('_') =>
            {
                host
            }
            _ => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_of_a_service_is_its_name_without_srv_labels() {
        for (name, port, host) in [
            ("orders.internal", Some(80), "orders.internal"),
            ("orders.internal.", Some(80), "orders.internal"),
            ("_http._tcp.orders.internal", None, "orders.internal"),
            ("_http.orders.internal", None, "_http.orders.internal"),
            ("orders.service.consul", None, "orders.service.consul"),
        ] {
            let dns = Dns {
                name: name.to_owned(),
                port,
                refresh_ms: None,
            };
            assert_eq!(dns.host(), host);
        }
    }
}
