//! Listener of a snapshot, with its routing table.

use std::sync::Arc;

use bundle::ir::{CertificateFields, Cidr, ForwardingField, ListenerLimits, ProxyProtocol};

use policy::RequestHead;

use crate::logins::OwnPath;
use crate::path::Slashes;
use crate::router::HostTable;

/// Listener with its routing table.
#[derive(Debug)]
pub struct Listener {
    /// Name of the listener.
    pub name: Box<str>,
    /// Address of the listener: `IP:PORT`.
    pub address: std::net::SocketAddr,
    /// Limits and timeouts of connections, request heads and bodies.
    pub limits: ListenerLimits,
    /// Address ranges of the proxies whose forwarding fields are trusted.
    pub trusted_proxies: Box<[Cidr]>,
    /// Forwarding fields that the trusted proxies write. The gateway ignores all others.
    pub forwarding_fields: Box<[ForwardingField]>,
    /// Protocol of the clients' connections: `http` or `https`.
    pub scheme: &'static str,
    /// True if the listener accepts HTTP/2 in addition to HTTP/1.1.
    pub http2: bool,
    /// PROXY protocol settings. `None`: the peer is the client.
    pub proxy_protocol: Option<Arc<ProxyProtocol>>,
    /// Handling of repeated slashes in paths.
    pub slashes: Slashes,
    /// Fields that carry the client's certificate to upstreams. `None`: the certificate is not
    /// forwarded.
    pub certificate_fields: Option<CertificateFields>,
    pub(crate) hosts: HostTable,
    /// Paths that the gateway answers itself, such as the paths of logins.
    pub(crate) own_paths: Vec<OwnPath>,
}

impl Listener {
    /// Entry of `own_paths` for a request. `None` if the gateway does not answer the request
    /// itself.
    pub(crate) fn own_path(&self, head: &RequestHead) -> Option<&OwnPath> {
        match self.own_paths.is_empty() {
            true => None,
            false => OwnPath::find(&self.own_paths, &self.hosts, head),
        }
    }
}
