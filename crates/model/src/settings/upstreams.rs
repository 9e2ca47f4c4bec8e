//! Key `upstreams` of gateway.yaml, and of the root `x-gateway` of a document.

use std::net::IpAddr;

use bundle::ir;
use diag::shape::{self, BAD_VALUE, MISSING_KEY};
use diag::{Diagnostic, NodeRef, Sink, Span, Spanned, read, suggest};

use policy::declared::{later, whole};
use policy::traffic::{circuit_breaker, retry};
use policy::upstream::{Balance, Health, Limits};
use policy::{SecretRef, forms};

use super::state::state_id;
use super::values::{Upstream, entries, has_dots};
use vocab::lints::UPSTREAM_TLS;

pub(super) fn upstream(
    project: &str,
    name: &str,
    node: NodeRef<'_>,
    sink: &mut Sink,
) -> Option<Upstream> {
    let declared = later(node, &shape::Shape::Object(&vocab::upstream::UPSTREAM));
    let tls = tls(node);
    let sni = tls.as_ref().and_then(|tls| tls.sni.as_deref());
    let targets: Vec<ir::Target> =
        entries(node, "targets", |name, node| target(name, node, sni, sink))
            .into_iter()
            .map(|(_, entry)| entry.value)
            .collect();
    if node
        .get("targets")
        .is_none_or(|targets| targets.entries().next().is_none())
        && node.get("dns").is_none()
        && node.get("file").is_none()
    {
        sink.push(
            Diagnostic::new(
                &MISSING_KEY,
                node.span(),
                format!("the upstream `{name}` has no target"),
            )
            .help("write `targets: {a: {url: \"http://HOST:PORT\"}}`, or `dns: {name: NAME, port: PORT}`"),
        );
        return None;
    }
    let discovery = discovery(node);
    if targets.is_empty() && declared.is_empty() && discovery.is_none() {
        return None;
    }
    if !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                format!("no target of `{name}` has a weight"),
            )
            .help("give one of them a weight above 0"),
        );
    }
    let timeouts = node.get("timeouts");
    let time = |key: &str| {
        let value = timeouts.and_then(|timeouts| timeouts.get(key))?;
        Some(Spanned::new(read::duration_ms(value).ok()?, value.span()))
    };
    let host_header = match node.get("host_header").and_then(NodeRef::scalar_text) {
        None | Some("preserve") => ir::HostHeader::Preserve,
        Some("upstream") => ir::HostHeader::Upstream,
        Some(value) => ir::HostHeader::Value(value.to_owned()),
    };
    if let (ir::HostHeader::Value(value), Some(node)) = (&host_header, node.get("host_header")) {
        check_host_header(value, node.span(), sink);
    }
    let written = whole(node, &shape::Shape::Object(&vocab::upstream::UPSTREAM));
    let group = |key: &str| node.get(key).filter(|value| !value.is_null());
    let tls = effective_tls(tls, &targets, discovery.is_some());
    Some(Upstream {
        ir: ir::Upstream {
            name: name.to_owned(),
            state: state_id(&[project, "upstream", name]),
            targets: ir::Set::new(targets).ok()?,
            connect_timeout_ms: time("connect").map_or(5_000, |time| time.value),
            idle_timeout_ms: time("idle").map_or(60_000, |time| time.value),
            host_header,
            declared,
            balance: Balance::of(&written),
            health: Health::of(&written),
            retries: group("retries").map(retry::author::read),
            circuit_breaker: group("circuit_breaker").map(circuit_breaker::author::read),
            limits: Limits::of(&written.inside(&["limits"])),
            protocol: protocol(node),
            discovery,
            proxy_protocol: proxy_protocol(node),
            rewrite_responses: rewrite_responses(node),
            tls,
        },
        request_timeout_ms: time("request"),
    })
}

/// TLS settings with an effect. Without targets that use TLS, `tls: {}` has none. Discovered hosts
/// use TLS if `tls` is present.
fn effective_tls(
    tls: Option<ir::UpstreamTls>,
    targets: &[ir::Target],
    is_discovered: bool,
) -> Option<ir::UpstreamTls> {
    let is_used = targets.iter().any(|target| target.tls);
    let default = ir::UpstreamTls::default();
    let tls = tls.filter(|tls| is_used || is_discovered || *tls != default);
    tls.or_else(|| is_used.then_some(default))
}

/// Service discovery of an upstream. `None` if the upstream lists targets.
fn discovery(node: NodeRef<'_>) -> Option<ir::Discovery> {
    if let Some(path) = node.get("file").and_then(|file| file.get("path")) {
        let path = path.scalar_text()?.to_owned();
        return Some(ir::Discovery::File(ir::HostFile { path }));
    }
    let dns = node.get("dns")?;
    let name = dns.get("name")?.scalar_text()?.to_ascii_lowercase();
    let port = dns.get("port").filter(|port| !port.is_null());
    let port = port.map(|port| read::integer(port, 1, 65_535));
    let refresh = dns.get("refresh").filter(|refresh| !refresh.is_null());
    Some(ir::Discovery::Dns(ir::Dns {
        name,
        port: match port {
            Some(port) => Some(u16::try_from(port.ok()?).ok()?),
            None => None,
        },
        refresh_ms: refresh.and_then(|refresh| read::duration_ms(refresh).ok()),
    }))
}

/// TLS settings towards an upstream. `None` if `tls` is not set.
fn tls(node: NodeRef<'_>) -> Option<ir::UpstreamTls> {
    let tls = node.get("tls").filter(|tls| !tls.is_null())?;
    let text = |node: NodeRef<'_>, key: &str| {
        let value = node.get(key)?;
        value.scalar_text().map(str::to_owned)
    };
    // The shape check reports an invalid secret reference or an incomplete certificate.
    let secret = |node: NodeRef<'_>, key: &str| SecretRef::parse(&text(node, key)?).ok();
    let client_cert = tls.get("client_cert").and_then(|own| {
        Some(ir::ClientCertificate {
            cert: secret(own, "cert")?,
            key: secret(own, "key")?,
        })
    });
    Some(ir::UpstreamTls {
        // A server name in TLS has no final dot (RFC 6066 §3).
        sni: text(tls, "sni").map(|name| name.trim_end_matches('.').to_ascii_lowercase()),
        ca: secret(tls, "ca"),
        client_cert,
        verify: tls.get("verify").and_then(NodeRef::as_bool).unwrap_or(true),
    })
}

/// Protocol used towards an upstream. Default: HTTP/1.1.
fn protocol(node: NodeRef<'_>) -> ir::UpstreamProtocol {
    match node.get("protocol").and_then(NodeRef::scalar_text) {
        Some("h2") => ir::UpstreamProtocol::H2,
        Some("h2c") => ir::UpstreamProtocol::H2c,
        Some("auto") => ir::UpstreamProtocol::Auto,
        _ => ir::UpstreamProtocol::H1,
    }
}

/// Response fields in which upstream URLs are rewritten to URLs of the gateway. `None`: no field is
/// rewritten.
fn rewrite_responses(node: NodeRef<'_>) -> Option<ir::RewriteResponses> {
    let words = node.get("rewrite_responses")?;
    let lists = |word: &str| words.items().any(|item| item.scalar_text() == Some(word));
    let rewrites = ir::RewriteResponses {
        location: lists("location"),
        cookies: lists("cookies"),
    };
    (rewrites.location || rewrites.cookies).then_some(rewrites)
}

/// Version of the PROXY protocol header sent to an upstream. `None` if none is sent.
fn proxy_protocol(node: NodeRef<'_>) -> Option<ir::ProxyVersion> {
    match node.get("proxy_protocol")?.scalar_text()? {
        "v1" => Some(ir::ProxyVersion::V1),
        "v2" => Some(ir::ProxyVersion::V2),
        _ => None,
    }
}

/// Reports a value that is not a host, or that looks like a misspelt keyword.
fn check_host_header(value: &str, at: Span, sink: &mut Sink) {
    let message = format!("`{}` is not a host", value.escape_debug());
    match read_authority(value) {
        Err(why) => sink.push(
            Diagnostic::new(&BAD_VALUE, at, message)
                .label(why)
                .help("write `preserve`, `upstream` or `HOST[:PORT]`"),
        ),
        Ok(_) => {
            if let Some(near) = suggest::nearest(value, ["preserve", "upstream"]) {
                sink.push(
                    Diagnostic::new(&BAD_VALUE, at, message)
                        .help(format!(
                            "did you mean `{near}`? To use a host of this name, write it \
with its port"
                        ))
                        .fix(at, near),
                );
            }
        }
    }
}

/// Parses a host (to lower case, without brackets) and its port, if any. Fails with the reason if
/// the text is not a host.
fn read_authority(text: &str) -> Result<(String, Option<u16>), &'static str> {
    let authority = text.parse::<http::uri::Authority>();
    let authority = authority.map_err(|_| "it has no host")?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err("it has no host");
    }
    // `Authority::port` returns none for an invalid port, so parse the port here.
    let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && !port.starts_with('+') => Some(number),
            _ => return Err("a port must be 1 to 65535"),
        },
    };
    let host = authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_ascii_lowercase(), port))
}

/// Reads one target.
fn target(
    name: String,
    node: NodeRef<'_>,
    sni: Option<&str>,
    sink: &mut Sink,
) -> Option<ir::Target> {
    let url = node.get("url")?;
    let text = url.scalar_text()?;
    let refuse = |why: &str, sink: &mut Sink| -> Option<ir::Target> {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                url.span(),
                format!("`{}` cannot be a target: {why}", text.escape_debug()),
            )
            .help(
                "write `http://HOST:PORT` or `https://HOST:PORT`, with a path if needed; or \
`unix:/PATH`",
            ),
        );
        None
    };
    let weight = match node.get("weight").filter(|weight| !weight.is_null()) {
        Some(weight) => u32::try_from(read::integer(weight, 0, 1_000_000).ok()?).ok()?,
        None => 1,
    };
    let zone = node.get("zone").and_then(NodeRef::scalar_text);
    let zone = zone.map(str::to_owned);
    if let Some(path) = text.strip_prefix("unix:") {
        return match socket(path) {
            Ok(path) => Some(ir::Target {
                name,
                host: path.to_owned(),
                port: 0,
                path: String::new(),
                weight,
                zone,
                tls: false,
            }),
            Err(why) => refuse(why, sink),
        };
    }
    let Ok(uri) = text.parse::<http::Uri>() else {
        return refuse("it is not a URL", sink);
    };
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return refuse("its scheme is not `http`, `https` or `unix`", sink),
    };
    let default_port = if tls { 443 } else { 80 };
    let (host, port) = match uri.authority().map(|it| read_authority(it.as_str())) {
        None => return refuse("it has no host", sink),
        Some(Err(why)) => return refuse(why, sink),
        Some(Ok((host, port))) => (host, port.unwrap_or(default_port)),
    };
    if tls && sni.is_none() && host.parse::<IpAddr>().is_err() && !(forms::HOST_NAME.fits)(&host) {
        sink.push(
            Diagnostic::new(
                &UPSTREAM_TLS,
                url.span(),
                format!(
                    "no certificate can carry the name `{}`",
                    host.escape_debug()
                ),
            )
            .help("write the name that the upstream's certificate carries: `tls: {sni: NAME}`"),
        );
    }
    if uri.query().is_some() || text.contains('#') {
        return refuse(
            "it must not have a query or a fragment, because a request's path is appended to it",
            sink,
        );
    }
    if uri.path().contains(['{', '}']) {
        return refuse("its path must not have parameters", sink);
    }
    let path = match engine::path::normalise(uri.path()) {
        Ok(path) if has_dots(uri.path()) => {
            return refuse(&format!("its path would become `{path}`"), sink);
        }
        Ok(path) => path.trim_end_matches('/').to_owned(),
        Err(_) => return refuse("its path is not valid", sink),
    };
    Some(ir::Target {
        name,
        host,
        port,
        path,
        weight,
        zone,
        tls,
    })
}

/// Returns the path of a UNIX socket from `unix:/PATH` or `unix:///PATH`. Fails with the reason if
/// the path is invalid.
fn socket(path: &str) -> Result<&str, &'static str> {
    let path = path.strip_prefix("//").unwrap_or(path);
    match path.strip_prefix('/') {
        None => Err("the path of a socket must begin with `/`"),
        Some(below) if !forms::has_plain_parts(below) => {
            Err("the path of a socket must not have empty parts, `.` or `..`")
        }
        // `sockaddr_un` has 108 bytes, including the final NUL.
        Some(_) if path.len() > 107 => Err("the path of a socket must be at most 107 bytes long"),
        Some(_) if path.chars().any(char::is_control) => {
            Err("the path of a socket must not contain control characters")
        }
        Some(_) => Ok(path),
    }
}
