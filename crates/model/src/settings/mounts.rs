//! Keys `mount` and `mounts`: listeners, hosts and base paths of an API.

use bundle::ir;
use diag::shape::{self, BAD_VALUE};
use diag::{Diagnostic, NodeRef, Sink, Spanned};

use super::values::{has_dots, name_list};
use crate::{AllNames, Defined, Kind};
use vocab::lints::MOUNT_CONFLICT;

/// Mount of an API that sets no mount.
pub(super) fn default(everywhere: &[String]) -> ir::Mount {
    ir::Mount {
        name: "default".into(),
        hosts: Vec::new(),
        base_path: String::new(),
        strip_base_path: false,
        listeners: sorted(everywhere.to_vec()),
    }
}

pub(super) fn mounts(
    api: NodeRef<'_>,
    everywhere: &[String],
    names: &AllNames,
    sink: &mut Sink,
) -> Vec<Defined<ir::Mount>> {
    let nodes: Vec<NodeRef<'_>> = match (api.get("mounts"), api.get("mount")) {
        (Some(list), _) => list.items().collect(),
        (None, Some(one)) => vec![one],
        (None, None) => Vec::new(),
    };
    if nodes.is_empty() {
        return vec![Defined {
            value: default(everywhere),
            span: api.span(),
            node: None,
        }];
    }
    let mut mounts: Vec<Defined<ir::Mount>> = Vec::new();
    for node in nodes {
        let Some(mount) = mount(node, everywhere, names, sink) else {
            continue;
        };
        if let Some(first) = mounts.iter().find(|first| first.value.name == mount.name) {
            let at = node.get("name").map_or(node.span(), NodeRef::span);
            sink.push(
                Diagnostic::new(
                    &MOUNT_CONFLICT,
                    at,
                    format!("two mounts are named `{}`", mount.name),
                )
                .related(first.span, "the other one is here")
                .help("give each mount of an API its own `name`"),
            );
            continue;
        }
        mounts.push(Defined {
            value: mount,
            span: node.get("name").map_or(node.span(), NodeRef::span),
            node: Some(node.id()),
        });
    }
    mounts
}

fn mount(
    node: NodeRef<'_>,
    everywhere: &[String],
    names: &AllNames,
    sink: &mut Sink,
) -> Option<ir::Mount> {
    let name = match node.get("name") {
        Some(name) => {
            let text = name.scalar_text()?;
            if !shape::is_name(text) {
                sink.push(Diagnostic::new(
                    &BAD_VALUE,
                    name.span(),
                    format!("`{}` cannot name a mount", text.escape_debug()),
                ));
                return None;
            }
            text.to_owned()
        }
        None => "default".into(),
    };
    let mut hosts = Vec::new();
    for host in name_list(node.get("hosts")) {
        match read_host(&host.value) {
            Some(host) => hosts.push(host),
            None => sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    host.span,
                    format!("`{}` is not a host", host.value.escape_debug()),
                )
                .help("write `api.example.org` or `*.example.org` (one label), without port"),
            ),
        }
    }
    let base_path = match node.get("base_path").filter(|node| !node.is_null()) {
        None => String::new(),
        Some(base) => read_base_path(base, sink)?,
    };
    let mut listeners: Vec<Spanned<String>> = name_list(node.get("listeners"));
    listeners.retain(|name| names.kind(Kind::Listener).knows(&name.value));
    let listeners = match node.get("listeners") {
        Some(_) => listeners.into_iter().map(|name| name.value).collect(),
        None => everywhere.to_vec(),
    };
    Some(ir::Mount {
        name,
        hosts: sorted(hosts),
        base_path,
        strip_base_path: node
            .get("strip_base_path")
            .and_then(NodeRef::as_bool)
            .unwrap_or(false),
        listeners: sorted(listeners),
    })
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

fn read_host(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (plain, labels_min) = match lower.strip_prefix("*.") {
        Some(plain) => (plain, 2),
        None => (lower.as_str(), 1),
    };
    let plain = plain.strip_suffix('.').unwrap_or(plain);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let ip6 = plain.starts_with('[')
        && plain.ends_with(']')
        && plain[1..plain.len() - 1]
            .parse::<std::net::Ipv6Addr>()
            .is_ok();
    let fine = plain.split('.').all(label) && plain.split('.').count() >= labels_min;
    (fine || ip6).then(|| lower.strip_suffix('.').unwrap_or(&lower).to_owned())
}

fn read_base_path(node: NodeRef<'_>, sink: &mut Sink) -> Option<String> {
    let text = node.scalar_text()?;
    if text == "/" {
        return Some(String::new());
    }
    let normal = engine::path::normalise(text);
    let fine = !text.ends_with('/') && !text.contains(['{', '}', '?', '#']) && !has_dots(text);
    match normal {
        Ok(normal) if fine => Some(normal.into_owned()),
        _ => {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    node.span(),
                    format!("`{}` cannot be a base path", text.escape_debug()),
                )
                .help(
                    "it must begin with `/`, must not end in `/`, and must have no \
parameters and no segments `.` or `..`, for instance `/orders/v2`",
                ),
            );
            None
        }
    }
}
