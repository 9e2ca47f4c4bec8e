//! Destinations of an operation's requests: host, method and path at its upstream and at the
//! upstreams of a split or mirror.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::Checked;
use policy::declared::{Scalar, Settings, Value};

use super::path::{self, Path};
use super::{Place, Shared, answers, is_unserved};

/// Part of an operation's requests that a destination receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// No request: the gateway answers or refuses all requests, or the destination has the weight
    /// 0.
    Nothing,
    /// Copies of requests, whose responses no client gets.
    Copies,
    /// Requests, whose responses clients get.
    Requests,
}

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
    /// Path of client requests.
    inbound: String,
    /// Base path that the mount removes from a request path, and the text that the target and
    /// rewrites put before the remaining path. `None` if a rewrite replaces the path.
    offset: Option<(String, String)>,
    /// Positions in the client's path of the parameters that rewrites name, in the order of the
    /// rewrites.
    captures: Vec<String>,
    /// Part of the operation's requests that the destination receives.
    pub(super) sent: Sent,
    /// Last day (`YYYY-MM-DD`) on which the operation is served. `None`: no end.
    until: Option<String>,
}

impl End {
    /// True if the destination receives any request or copy.
    pub(super) fn is_sent(&self) -> bool {
        self.sent > Sent::Nothing
    }

    /// True if this destination receives at least the part of the requests that `other` receives,
    /// for at least as long. Compares only the two sunsets, because the current day is not known.
    pub(super) fn is_sent_like(&self, other: &Self) -> bool {
        let is_as_long = |until: &String| other.until.as_ref().is_some_and(|its| its <= until);
        self.sent >= other.sent && self.until.as_ref().is_none_or(is_as_long)
    }

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

    /// True if rewrites put the same parts of the client's path into the paths of both
    /// destinations.
    pub(super) fn has_same_captures(&self, other: &Self) -> bool {
        self.captures == other.captures
    }

    /// Path of the client requests that this destination's operation would send to `other`, if the
    /// router selected the operation for them. `None` if no such path exists or is known.
    pub(super) fn client_path(&self, other: &Self) -> Option<String> {
        let Some((base, before)) = &self.offset else {
            return self.captured_from(other);
        };
        let rest = other.text.strip_prefix(before.as_str())?;
        rest.starts_with('/').then(|| format!("{base}{rest}"))
    }

    /// Path as in [`Self::client_path`], for a rewrite that replaces the path.
    fn captured_from(&self, other: &Self) -> Option<String> {
        let mut path: Vec<&str> = self.inbound.split('/').collect();
        let mut captures = self.captures.iter();
        let mut others = other.text.split('/');
        for segment in self.text.split('/') {
            let value = others.next()?;
            if segment == path::ANY_TEXT {
                *path.get_mut(position(captures.next()?)?)? = value;
            } else if segment != value {
                return None;
            }
        }
        let is_whole = captures.next().is_none() && others.next().is_none();
        is_whole.then(|| path.join("/"))
    }

    /// Destination of the requests that clients send to `path`, which are a part of the operation's
    /// requests. `None` if the destination is unknown. `method`: the method at the upstream.
    pub(super) fn of_client_path(&self, path: &str, method: &str) -> Option<Self> {
        let text = match &self.offset {
            Some((base, before)) => format!("{before}{}", path.strip_prefix(base.as_str())?),
            None => self.text_of_captures(path)?,
        };
        Some(Self {
            raw: path::raw(&text),
            readings: path::readings(&text),
            method: method.to_owned(),
            text,
            ..self.clone()
        })
    }

    /// Path at the host of the requests that clients send to `path`, if a rewrite replaces the
    /// path.
    fn text_of_captures(&self, path: &str) -> Option<String> {
        let path: Vec<&str> = path.split('/').collect();
        let mut captures = self.captures.iter();
        let segments = self.text.split('/').map(|segment| match segment {
            path::ANY_TEXT => path.get(position(captures.next()?)?).copied(),
            literal => path::is_literal(literal).then_some(literal),
        });
        let segments: Option<Vec<&str>> = segments.collect();
        segments.map(|segments| segments.join("/"))
    }

    /// True if both destinations change request paths in the same way. Different request paths then
    /// stay different at the upstream.
    pub(super) fn has_same_path_mapping(&self, other: &Self) -> bool {
        self.offset.is_some() && self.offset == other.offset
    }
}

/// Returns the destinations of an operation at a mount, each with the part of the requests that it
/// receives.
pub(super) fn ends(shared: &Shared<'_>, place: &Place<'_>) -> Vec<End> {
    let stripped = place.mount.strip_base_path;
    let mut rest = match stripped {
        true => path::pattern(place.template),
        false => place.inbound(),
    };
    let mut method = place.method.to_owned();
    // Text that rewrites put before the path. `None` if a rewrite replaces the path.
    let mut added = Some(String::new());
    let mut captures = Vec::new();
    for (to, other) in rewrites(place) {
        if let Some(to) = to {
            added = added.and_then(|added| put_before(&to, &added));
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
    let until = until(place);
    let mut ends: Vec<End> = Vec::new();
    let mut receivers = receivers(&place.policies, &place.forwarding, place.upstream);
    if is_unserved(place.method) {
        stop(&mut receivers);
    }
    for (name, sent) in receivers {
        let Some(upstream) = shared.upstreams.get(name.as_str()) else {
            continue;
        };
        for (index, (host, before)) in upstream.servers_and_paths().into_iter().enumerate() {
            let text = format!("{before}{rest}");
            let end = End {
                raw: path::raw(&text),
                readings: path::readings(&text),
                inbound: place.inbound(),
                offset: added
                    .as_ref()
                    .map(|added| (base.clone(), format!("{before}{added}"))),
                captures: captures.clone(),
                sent: match has_weight(upstream, index) {
                    true => sent,
                    false => Sent::Nothing,
                },
                until: until.clone(),
                method: method.clone(),
                host,
                text,
            };
            match ends.iter_mut().find(|known| known.is_same(&end)) {
                Some(known) => known.sent = known.sent.max(end.sent),
                None => ends.push(end),
            }
        }
    }
    ends
}

/// Text that a rewrite puts before the path and the text `added` of earlier rewrites. `None` if the
/// rewrite does more than this.
fn put_before(rewrite: &str, added: &str) -> Option<String> {
    let text = rewrite.strip_suffix("{path}")?;
    let slash = match text.is_empty() || text.starts_with('/') {
        true => "",
        false => "/",
    };
    (!text.contains('{')).then(|| format!("{slash}{text}{added}"))
}

/// Index in the client's path, split at slashes, of a parameter in [`End::captures`]. `None` if the
/// parameter is not a whole segment.
fn position(captured: &str) -> Option<usize> {
    let segment: usize = captured.parse().ok()?;
    Some(segment + 1)
}

/// Paths and methods of the rewrites of an operation, in order.
fn rewrites(place: &Place<'_>) -> Vec<(Option<String>, Option<String>)> {
    let read = |settings: &Settings, path: &[&str], method: &[&str]| {
        let text = |key: &[&str]| settings.text(key).map(str::to_owned);
        (text(path), text(method))
    };
    let policies = place.policies.iter();
    let policies = policies.filter(|checked| checked.kind() == "rewrite");
    let rewrites = policies.map(|checked| read(&checked.settings(), &["path"], &["method"]));
    let own = read(
        &place.forwarding,
        &["rewrite", "path"],
        &["rewrite", "method"],
    );
    rewrites.chain([own]).collect()
}

/// Upstreams of an operation, each with the part of the requests that the upstream receives.
/// `policies`: policies of the chain in order. `forwarding`: settings of the operation itself.
#[must_use]
pub fn receivers(
    policies: &[&Checked],
    forwarding: &Settings,
    upstream: &str,
) -> BTreeMap<String, Sent> {
    let (mut splits, mut mirrors) = (Vec::new(), Vec::new());
    for checked in policies {
        match checked.kind() {
            "split" => splits.push(shares(&checked.settings(), "among")),
            "mirror" => mirrors.extend(mirrored(&checked.settings(), &["upstream"], &["percent"])),
            _ => {}
        }
    }
    splits.push(shares(forwarding, "split"));
    let own = [["mirror", "upstream"], ["mirror", "percent"]];
    mirrors.extend(mirrored(forwarding, &own[0], &own[1]));
    let mut receivers = BTreeMap::from([(upstream.to_owned(), Sent::Requests)]);
    let add = |receivers: &mut BTreeMap<String, Sent>, (name, sent): (String, Sent)| {
        let known = receivers.entry(name).or_insert(sent);
        *known = sent.max(*known);
    };
    for split in splits.into_iter().filter(|split| !split.is_empty()) {
        // The last split selects the upstream.
        stop(&mut receivers);
        for share in split {
            add(&mut receivers, share);
        }
    }
    for one in mirrors.into_iter().chain(others(forwarding)) {
        add(&mut receivers, one);
    }
    if policies.iter().any(|checked| answers(checked)) {
        stop(&mut receivers);
    }
    receivers
}

/// Sets that no upstream receives a request.
fn stop(receivers: &mut BTreeMap<String, Sent>) {
    for known in receivers.values_mut() {
        *known = Sent::Nothing;
    }
}

/// Servers of an upstream that receive requests, in the form of
/// [`ir::Upstream::servers_and_paths`]. Leaves out targets with the weight 0.
pub fn receiving_servers(upstream: &ir::Upstream) -> impl Iterator<Item = String> {
    let servers = upstream.servers_and_paths().into_iter().enumerate();
    let receiving = servers.filter(|(index, _)| has_weight(upstream, *index));
    receiving.map(|(_, (server, _))| server)
}

/// Upstreams of a split: a share with a weight or with conditions gets requests.
fn shares(settings: &Settings, list: &str) -> Vec<(String, Sent)> {
    let path = [list];
    let indices = settings.below(&path).filter_map(|one| one.path.get(1));
    let indices: BTreeSet<&str> = indices.map(String::as_str).collect();
    let share = |index: &str| {
        let name = settings.text(&[list, index, "upstream"])?;
        let has_conditions = settings.has(&[list, index, "when"]);
        let is_idle = settings.amount(&[list, index, "weight"]) == Some(0);
        let sent = match is_idle && !has_conditions {
            true => Sent::Nothing,
            false => Sent::Requests,
        };
        Some((name.to_owned(), sent))
    };
    indices.into_iter().filter_map(share).collect()
}

/// Upstream of a mirror. `upstream` and `percent`: paths of its settings.
fn mirrored(settings: &Settings, upstream: &[&str], percent: &[&str]) -> Option<(String, Sent)> {
    let name = settings.text(upstream)?;
    let sent = match settings.amount(percent) {
        Some(0) => Sent::Nothing,
        _ => Sent::Copies,
    };
    Some((name.to_owned(), sent))
}

/// Upstreams that settings other than `split` and `mirror` name.
fn others(settings: &Settings) -> Vec<(String, Sent)> {
    let all = settings.iter().filter_map(|one| match &one.value {
        Value::One(Scalar::Name(name) | Scalar::Text(name)) => {
            let first = one.path.first().map(String::as_str);
            let is_upstream = one.path.last().is_some_and(|key| key == "upstream");
            let is_other = is_upstream && !matches!(first, Some("split" | "mirror"));
            is_other.then(|| (name.clone(), Sent::Requests))
        }
        _ => None,
    });
    all.collect()
}

/// False if the server at this index of [`ir::Upstream::servers_and_paths`] is a target with the
/// weight 0.
fn has_weight(upstream: &ir::Upstream, index: usize) -> bool {
    let target = upstream.targets.iter().nth(index);
    upstream.discovery.is_some() || target.is_none_or(|target| target.weight > 0)
}

/// Earliest sunset of an operation and its policies.
fn until(place: &Place<'_>) -> Option<String> {
    let policies = place.policies.iter();
    let policies = policies.filter(|checked| checked.kind() == "deprecation");
    let sunsets = policies.filter_map(|checked| {
        let settings = checked.settings();
        settings.text(&["sunset"]).map(str::to_owned)
    });
    let own = place.forwarding.text(&["deprecated", "sunset"]);
    sunsets.chain(own.map(str::to_owned)).min()
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
