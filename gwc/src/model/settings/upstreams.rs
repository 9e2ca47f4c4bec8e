//! `upstreams`: the services behind.

use bundle::ir;
use diag::shape::{self, BAD_VALUE, MISSING_KEY};
use diag::{Diagnostic, NodeRef, Sink, Span, Spanned, read, suggest};

use policy::declared::{Scalar, Settings, Value, later, whole};
use policy::traffic::{circuit_breaker, retry};
use policy::upstream::{Balance, Health, Limits};

use super::{Upstream, entries, has_dots, state_id};

pub(super) fn upstream(
    project: &str,
    name: &str,
    node: NodeRef<'_>,
    sink: &mut Sink,
) -> Option<Upstream> {
    let mut declared = later(
        node,
        &shape::Shape::Object(&crate::vocab::upstream::UPSTREAM),
    );
    let targets: Vec<ir::Target> = entries(node, "targets", |name, node| {
        target(name, node, &mut declared, sink)
    })
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
    let written = whole(
        node,
        &shape::Shape::Object(&crate::vocab::upstream::UPSTREAM),
    );
    refuse_claims(node, &mut declared, sink);
    let group = |key: &str| node.get(key).filter(|value| !value.is_null());
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
        },
        request_timeout_ms: time("request"),
    })
}

/// Where its hosts are found; none where targets name them.
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

/// What is spoken to it. A word that cannot run yet is in `declared`.
fn protocol(node: NodeRef<'_>) -> ir::UpstreamProtocol {
    match node.get("protocol").and_then(NodeRef::scalar_text) {
        Some("h2c") => ir::UpstreamProtocol::H2c,
        _ => ir::UpstreamProtocol::H1,
    }
}

/// A hash of a claim needs a verifier that has claims, and none runs yet.
fn refuse_claims(node: NodeRef<'_>, declared: &mut Settings, sink: &mut Sink) {
    let Some(hash_on) = node.get("hash_on") else {
        return;
    };
    let Some(text) = hash_on
        .scalar_text()
        .filter(|text| text.starts_with("claim:"))
    else {
        return;
    };
    sink.push(shape::not_available(
        hash_on.span(),
        "a hash of a claim",
        "write `consumer`, `address`, `header:NAME`, `cookie:NAME` or `query:NAME`",
    ));
    let text = Value::One(Scalar::Text(text.to_owned()));
    *declared = std::mem::take(declared).with(&["hash_on"], text);
}

/// A value that is no host, or looks like a slip of one of the two words.
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
                        .help(format!("did you mean `{near}`? A host that is called so is written with its port"))
                        .fix(at, near),
                );
            }
        }
    }
}

/// The host in lower case, without brackets, and the port if one is written; else why it is none.
fn read_authority(text: &str) -> Result<(String, Option<u16>), &'static str> {
    let authority = text.parse::<http::uri::Authority>();
    let authority = authority.map_err(|_| "it has no host")?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err("it has no host");
    }
    // `Authority::port` leaves out what is no port.
    let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && !port.starts_with('+') => Some(number),
            _ => return Err("a port is 1 to 65535"),
        },
    };
    let host = authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_ascii_lowercase(), port))
}

/// A target. What of it cannot run yet is added to `declared`.
fn target(
    name: String,
    node: NodeRef<'_>,
    declared: &mut Settings,
    sink: &mut Sink,
) -> Option<ir::Target> {
    let url = node.get("url")?;
    let text = url.scalar_text()?;
    let refuse = |why: &str, sink: &mut Sink| {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                url.span(),
                format!("`{}` cannot be a target: {why}", text.escape_debug()),
            )
            .help("write `http://HOST:PORT` or `http://HOST:PORT/PATH`"),
        );
        None
    };
    let Ok(uri) = text.parse::<http::Uri>() else {
        return refuse("it is not a URL", sink);
    };
    let mut default_port = 80;
    let scheme = uri.scheme_str();
    if let Some("https" | "unix") = scheme {
        sink.push(shape::not_available(
            url.span(),
            "an upstream over TLS or a UNIX socket",
            "write an `http://` URL",
        ));
    }
    match scheme {
        Some("http") => {}
        Some("https") => {
            default_port = 443;
            let path = ["targets", name.as_str(), "tls"];
            *declared = std::mem::take(declared).with(&path, Value::One(Scalar::Flag(true)));
        }
        Some("unix") => {
            let path = ["targets", name.as_str(), "url"];
            let text = Value::One(Scalar::Text(text.to_owned()));
            *declared = std::mem::take(declared).with(&path, text);
            return None;
        }
        _ => return refuse("its scheme is not `http`", sink),
    }
    let (host, port) = match uri.authority().map(|it| read_authority(it.as_str())) {
        None => return refuse("it has no host", sink),
        Some(Err(why)) => return refuse(why, sink),
        Some(Ok((host, port))) => (host, port.unwrap_or(default_port)),
    };
    if uri.query().is_some() || text.contains('#') {
        return refuse(
            "a query or fragment cannot stand before a request's path",
            sink,
        );
    }
    if uri.path().contains(['{', '}']) {
        return refuse("its path has no parameters", sink);
    }
    let path = match engine::path::normalise(uri.path()) {
        Ok(path) if has_dots(uri.path()) => {
            return refuse(&format!("its path would become `{path}`"), sink);
        }
        Ok(path) => path.trim_end_matches('/').to_owned(),
        Err(_) => return refuse("its path is not valid", sink),
    };
    let weight = match node.get("weight").filter(|weight| !weight.is_null()) {
        Some(weight) => u32::try_from(read::integer(weight, 0, 1_000_000).ok()?).ok()?,
        None => 1,
    };
    Some(ir::Target {
        name,
        host,
        port,
        path,
        weight,
        zone: node
            .get("zone")
            .and_then(NodeRef::scalar_text)
            .map(str::to_owned),
    })
}
