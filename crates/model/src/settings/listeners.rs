//! Key `listeners` of gateway.yaml.

use std::net::SocketAddr;

use bundle::ir;
use diag::shape::BAD_VALUE;
use diag::shape::Shape;
use diag::{Diagnostic, NodeRef, Sink, Span, read};
use policy::SecretRef;
use policy::declared::{Settings, later};

use super::values::entries;
use crate::Defined;
use vocab::lints::LISTENER_CONFLICT;

/// Maximum size of a request target at every listener, in bytes.
pub(crate) const TARGET_BYTES_MAX: u64 = 16 << 10;

/// Default timeout for reading a PROXY protocol header: 3s (semantics.md §15).
const PROXY_HEADER_TIMEOUT_MS: u64 = 3_000;

pub(super) fn listeners(root: NodeRef<'_>, sink: &mut Sink) -> Vec<Defined<ir::Listener>> {
    let mut found: Vec<Defined<ir::Listener>> =
        entries(root, "listeners", |name, node| listener(name, node, sink))
            .into_iter()
            .map(|(_, entry)| entry)
            .collect();
    if root
        .get("listeners")
        .is_none_or(|node| node.entries().next().is_none())
    {
        let value = ir::Listener {
            merge_slashes: false,
            forward_client_cert: None,
            forwarding_fields: None,
            name: "public".into(),
            address: "127.0.0.1:8080".into(),
            protocol: ir::Protocol::Http,
            limits: listener_limits(None),
            trusted_proxies: Vec::new(),
            http2: false,
            proxy_protocol: None,
            declared: Settings::default(),
        };
        found.push(Defined {
            value,
            span: Span::start_of(root.span().file),
            node: None,
        });
    }
    refuse_colliding(&found, sink);
    found
}

fn refuse_colliding(found: &[Defined<ir::Listener>], sink: &mut Sink) {
    for (at, one) in found.iter().enumerate() {
        let Ok(address) = one.value.address.parse::<SocketAddr>() else {
            continue;
        };
        let other = found[..at].iter().find(|other| {
            let other = other.value.address.parse();
            other.is_ok_and(|other| ir::addresses_collide(other, address))
        });
        if let Some(other) = other {
            let place = |listener: &Defined<ir::Listener>| listener.span;
            sink.push(
                Diagnostic::new(
                    &LISTENER_CONFLICT,
                    place(one),
                    format!(
                        "listeners `{}` ({}) and `{}` ({}) overlap in their addresses",
                        other.value.name, other.value.address, one.value.name, one.value.address
                    ),
                )
                .related(place(other), "the other listener")
                .help("give each listener a port of its own, or addresses of their own (`0.0.0.0` is all of them)"),
            );
        }
    }
}

fn listener(name: String, node: NodeRef<'_>, sink: &mut Sink) -> Option<ir::Listener> {
    let address = node.get("address")?;
    let text = address.scalar_text()?;
    if text.parse::<SocketAddr>().is_err() {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                address.span(),
                format!("`{}` is not an address to listen on", text.escape_debug()),
            )
            .help("write `IP:PORT`, for instance `0.0.0.0:8080`, `127.0.0.1:0` or `[::]:8080`"),
        );
        return None;
    }
    let trusted = ranges(node.get("trusted_proxies"));
    let protocol = protocol(node)?;
    let http2 = node.get("http2").and_then(NodeRef::as_bool);
    Some(ir::Listener {
        merge_slashes: node.get("merge_slashes").and_then(NodeRef::as_bool) == Some(true),
        forward_client_cert: certificate_fields(node),
        forwarding_fields: forwarding_fields(node),
        name,
        address: text.to_owned(),
        http2: http2.unwrap_or(matches!(protocol, ir::Protocol::Https(_))),
        protocol,
        limits: listener_limits(node.get("limits")),
        proxy_protocol: proxy_protocol(node.get("proxy_protocol"), &trusted),
        trusted_proxies: trusted,
        declared: later(node, &Shape::Object(&vocab::listener::LISTENER)),
    })
}

/// Forwarding fields that are accepted from trusted proxies, sorted and without duplicates. `None`
/// if `forwarding_fields` is not set.
fn forwarding_fields(node: NodeRef<'_>) -> Option<Vec<ir::ForwardingField>> {
    let names: Vec<&str> = node
        .get("forwarding_fields")?
        .items()
        .filter_map(NodeRef::scalar_text)
        .collect();
    let mut fields = ir::ForwardingField::ALL.to_vec();
    fields.retain(|field| names.contains(&field.name()));
    Some(fields)
}

/// Request fields that carry the client certificate to upstreams. `None` if `forward_client_cert`
/// is not set.
fn certificate_fields(node: NodeRef<'_>) -> Option<ir::CertificateFields> {
    match node.get("forward_client_cert")?.scalar_text()? {
        "client_cert" => Some(ir::CertificateFields::ClientCert),
        "xfcc" => Some(ir::CertificateFields::Xfcc),
        "pass" => Some(ir::CertificateFields::Pass),
        _ => None,
    }
}

/// Reads address ranges, sorted and without duplicates. Invalid ranges are reported by the shape
/// check.
fn ranges(list: Option<NodeRef<'_>>) -> Vec<ir::Cidr> {
    let items = list.into_iter().flat_map(NodeRef::items);
    let mut ranges: Vec<ir::Cidr> = items
        .filter_map(|range| ir::Cidr::parse(range.scalar_text()?))
        .collect();
    ranges.sort();
    ranges.dedup();
    ranges
}

/// PROXY protocol settings of a listener. `true` accepts headers from the trusted proxies.
fn proxy_protocol(node: Option<NodeRef<'_>>, trusted: &[ir::Cidr]) -> Option<ir::ProxyProtocol> {
    let node = node.filter(|node| !node.is_null())?;
    let from = match node.as_bool() {
        Some(false) => return None,
        Some(true) => trusted.to_vec(),
        None => ranges(node.get("from")),
    };
    let timeout = node.get("timeout").filter(|value| !value.is_null());
    let timeout_ms = timeout.and_then(|value| read::timeout_ms(value).ok());
    Some(ir::ProxyProtocol {
        from,
        timeout_ms: timeout_ms.unwrap_or(PROXY_HEADER_TIMEOUT_MS),
    })
}

/// Protocol of a listener. Default: HTTP. `None` if its certificates are invalid, which the shape
/// check reports.
fn protocol(node: NodeRef<'_>) -> Option<ir::Protocol> {
    let text_of = |node: NodeRef<'_>, key: &str| {
        let value = node.get(key)?;
        value.scalar_text().map(str::to_owned)
    };
    if text_of(node, "protocol").as_deref() != Some("https") {
        return Some(ir::Protocol::Http);
    }
    let secret = |node: NodeRef<'_>, key: &str| SecretRef::parse(&text_of(node, key)?).ok();
    let tls = node.get("tls")?;
    let certificates = tls.get("certificates")?.entries();
    let certificates = certificates.map(|(entry, node)| {
        Some(ir::Certificate {
            name: entry.key.to_string(),
            cert: secret(node, "cert")?,
            key: secret(node, "key")?,
        })
    });
    let client_auth = match tls.get("client_auth").filter(|node| !node.is_null()) {
        None => None,
        Some(client) => Some(ir::ClientAuth {
            ca: secret(client, "ca")?,
            crl: secret(client, "crl"),
            mode: match text_of(client, "mode").as_deref() {
                Some("off") => ir::ClientAuthMode::Off,
                Some("optional") => ir::ClientAuthMode::Optional,
                _ => ir::ClientAuthMode::Required,
            },
        }),
    };
    Some(ir::Protocol::Https(ir::ListenerTls {
        certificates: ir::Set::new(certificates.collect::<Option<_>>()?).ok()?,
        min_version: match text_of(tls, "min_version").as_deref() {
            Some("1.3") => ir::TlsVersion::V1_3,
            _ => ir::TlsVersion::V1_2,
        },
        client_auth,
    }))
}

fn listener_limits(node: Option<NodeRef<'_>>) -> ir::ListenerLimits {
    let get = |key: &str| {
        node.and_then(|node| node.get(key))
            .filter(|value| !value.is_null())
    };
    let count = |key: &str, default: u64| {
        get(key)
            .and_then(NodeRef::as_i64)
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(default)
    };
    let time = |key: &str, default: u64| {
        get(key)
            .and_then(|value| read::duration_ms(value).ok())
            .unwrap_or(default)
    };
    ir::ListenerLimits {
        connections: count("connections", 10_000),
        header_bytes: get("header_bytes")
            .and_then(|value| read::size_bytes(value).ok())
            .unwrap_or(64 << 10)
            // The shape check refuses a smaller value. Old versions of a project may have one,
            // which gwd treated as 8 KiB.
            .max(8 << 10),
        headers: count("headers", 100),
        header_timeout_ms: time("header_timeout", 10_000),
        idle_timeout_ms: time("idle_timeout", 60_000),
        target_bytes: TARGET_BYTES_MAX,
        body_timeout_ms: time("body_timeout", 60_000),
        min_rate_bytes: get("min_rate")
            .and_then(|value| read::size_bytes(value).ok())
            .unwrap_or(240),
        stream_idle_timeout_ms: time("stream_idle_timeout", 300_000),
    }
}
