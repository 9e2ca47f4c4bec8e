//! Destinations of an operation's requests: host, method and path at its upstream and at the
//! upstreams of a split or mirror.

use std::collections::BTreeSet;

use bundle::ir;
use policy::declared::{Scalar, Settings, Value};

use super::path::{self, Path};
use super::{Place, Shared};

/// Method, host and path with which an upstream receives a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Host and port.
    pub(super) host: String,
    pub(super) method: String,
    /// Path at the host, in which marks replace parameters; see [`path`].
    text: String,
    /// Path at the host without normalisation.
    pub(super) raw: Path,
    /// Forms of the path that upstreams may derive from it, for example by decoding escapes.
    pub(super) readings: Vec<Path>,
    /// Base path that the mount removes from a request path, and path of the target that is put
    /// before the remaining path. `None` if a rewrite replaces the path.
    offset: Option<(String, String)>,
    /// Positions in the client's path of the parameters that rewrites name, in the order of the
    /// rewrites.
    captures: Vec<String>,
}

impl End {
    /// Method, host and path for messages.
    pub(super) fn reached(&self) -> String {
        format!("{} {}{}", self.method, self.host, path::shown(&self.text))
    }

    /// Method and path, without the host.
    pub(super) fn request(&self) -> String {
        format!("{} {}", self.method, path::shown(&self.text))
    }

    /// True if the path has no parameters.
    pub(super) fn is_literal(&self) -> bool {
        path::is_literal(&self.text)
    }

    /// Host, method and path.
    pub(super) fn key(&self) -> [&str; 3] {
        [&self.host, &self.method, &self.text]
    }

    /// True if both destinations are the same host, method and path.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// True if rewrites put the same parts of the client's path into both paths.
    pub(super) fn has_same_captures(&self, other: &Self) -> bool {
        self.captures == other.captures
    }

    /// True if both destinations change request paths in the same way. Different request paths then
    /// stay different at the upstream.
    pub(super) fn has_same_path_mapping(&self, other: &Self) -> bool {
        self.offset.is_some() && self.offset == other.offset
    }
}

/// Returns the destinations of an operation at a mount.
pub(super) fn ends(shared: &Shared<'_>, place: &Place<'_>) -> Vec<End> {
    let whole = place.inbound();
    let stripped = place.mount.strip_base_path;
    let mut rest = match stripped {
        true => path::pattern(place.template),
        false => whole,
    };
    let mut method = place.method.to_owned();
    let mut is_rewritten = false;
    let mut upstreams = BTreeSet::from([place.upstream.to_owned()]);
    let steps = place.policies.iter();
    let mut rewrites: Vec<(Option<String>, Option<String>)> = Vec::new();
    let read = |settings: &Settings, prefix: &[&str]| {
        let text = |key| {
            let path: Vec<&str> = prefix.iter().copied().chain([key]).collect();
            settings.text(&path).map(str::to_owned)
        };
        (text("path"), text("method"))
    };
    for checked in steps {
        let settings = checked.settings();
        match checked.kind() {
            "rewrite" => rewrites.push(read(&settings, &[])),
            "split" | "mirror" => upstreams.extend(named(&settings)),
            _ => {}
        }
    }
    rewrites.push(read(&place.forwarding, &["rewrite"]));
    upstreams.extend(named(&place.forwarding));
    let mut captures = Vec::new();
    for (to, other) in rewrites {
        if let Some(to) = to {
            is_rewritten = true;
            captures.extend(captured(place, &to));
            let filled = path::marked(&to.replace("{path}", "\u{2}"));
            rest = filled.replace('\u{2}', &rest);
            if !rest.starts_with('/') {
                rest.insert(0, '/');
            }
        }
        if let Some(other) = other {
            method = other;
        }
    }
    let base = match stripped {
        true => place.mount.base_path.clone(),
        false => String::new(),
    };
    let upstreams = upstreams.iter();
    let upstreams = upstreams.filter_map(|name| shared.upstreams.get(name.as_str()));
    let mut ends: Vec<End> = Vec::new();
    for (host, before) in upstreams.flat_map(|upstream| upstream.servers_and_paths()) {
        let text = format!("{before}{rest}");
        let end = End {
            raw: path::raw(&text),
            readings: path::readings(&text),
            offset: (!is_rewritten).then(|| (base.clone(), before.to_owned())),
            captures: captures.clone(),
            method: method.clone(),
            host,
            text,
        };
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    ends
}

/// Position in the client's path of each parameter that the path of a rewrite names.
fn captured(place: &Place<'_>, to: &str) -> Vec<String> {
    let base = place.mount.base_path.trim_end_matches('/');
    let before = base.split('/').skip(1).count();
    let position = |name: &str| {
        let segments = place.template.segments().iter().enumerate();
        let mut positions = segments.filter_map(|(at, segment)| match segment {
            ir::Segment::Parameter(own) => (own == name).then(|| (before + at).to_string()),
            ir::Segment::Pattern(pattern) => {
                let inner = pattern.rest.iter().position(|(own, _)| own == name)?;
                Some(format!("{}.{inner}", before + at))
            }
            ir::Segment::Literal(_) | ir::Segment::Folded(_) => None,
        });
        positions.next()
    };
    let names = to
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}'));
    names
        .map(|(name, _)| position(name).unwrap_or_else(|| name.to_owned()))
        .collect()
}

/// Names of the upstreams to which the settings send requests or copies.
fn named(settings: &Settings) -> Vec<String> {
    let all = settings.iter().filter_map(|one| match &one.value {
        Value::One(Scalar::Name(name) | Scalar::Text(name)) => {
            let is_upstream = one.path.last().is_some_and(|key| key == "upstream");
            is_upstream.then(|| name.clone())
        }
        _ => None,
    });
    all.collect()
}
