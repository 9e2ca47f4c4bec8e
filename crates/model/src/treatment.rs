//! Inheritance of an operation's settings: upstream, timeout, body limit and chain.
//!
//! The operation takes precedence over the path, then the document, then the gateway. A list
//! replaces inherited lists; `+policies` appends to them. Within a phase, policies run in the order
//! gateway, API, path, operation, then by position. Policies of `required` run before all others of
//! their phase.

use std::collections::BTreeMap;

use bundle::ir::{self, Link};
use diag::{Diagnostic, NodeRef, Sink, Span, Spanned, read};
use policy::{Checked, Phase};

use super::path_item;
use super::servers::{Level, Servers};
use super::settings::{Settings, Upstream, name_in, name_list};
use super::{AllNames, Defined, Kind, Valued};
use vocab::lints::POLICY_TWICE;

/// Error that is already reported to the user.
pub(super) struct Reported;

/// Nodes with settings at each level, from the defaults of the document to the operation.
pub(super) struct Scopes<'a> {
    /// Definitions of the document.
    pub(super) own: &'a Own<'a>,
    pub(super) root_defaults: Option<NodeRef<'a>>,
    pub(super) path: Option<NodeRef<'a>>,
    pub(super) operation: Option<NodeRef<'a>>,
    pub(super) servers: Servers<'a>,
}

/// Upstream of requests, and the source location that names the upstream.
pub(super) struct Destination {
    pub(super) upstream: Valued<String>,
    /// Level of the servers that name the upstream. `None` if a key `upstream` names the upstream.
    pub(super) by_servers: Option<Level>,
}

/// Definitions of an API, and the definitions of gateway.yaml that the API can use.
pub(super) struct Own<'a> {
    pub(super) api: &'a str,
    pub(super) names: &'a AllNames,
    pub(super) upstreams: &'a [Defined<Upstream>],
    pub(super) policies: &'a BTreeMap<String, Checked>,
    pub(super) shared: &'a BTreeMap<String, Checked>,
}

impl<'a> Scopes<'a> {
    fn nearest_last(&self) -> impl Iterator<Item = NodeRef<'a>> {
        [self.root_defaults, self.path, self.operation]
            .into_iter()
            .flatten()
    }

    /// Effective value of a key: the value of the nearest level that sets it. `null` restores the
    /// default.
    fn inherit<T: Clone>(
        &self,
        key: &str,
        start: Valued<T>,
        default: &Valued<T>,
        read: impl Fn(NodeRef<'a>) -> Option<T>,
    ) -> Valued<T> {
        let mut value = start;
        for node in self.nearest_last() {
            match node.get(key) {
                Some(set) if set.is_null() => value = default.clone(),
                Some(set) => {
                    if let Some(read) = read(set) {
                        value = value.overridden(read, set.span());
                    }
                }
                None => {}
            }
        }
        value
    }

    /// Upstream of the operation's requests. `None` if no level names one. At each level,
    /// `upstream` in `x-gateway` and the servers are considered.
    ///
    /// # Errors
    /// Returns an error if the named upstream does not exist, which is reported.
    pub(super) fn upstream(&self, settings: &Settings) -> Result<Option<Destination>, Reported> {
        let mut value = settings
            .defaults
            .upstream
            .clone()
            .map(|name| Valued::written(name.value, name.span));
        let mut by_servers = None;
        let places = [
            (Level::Document, self.root_defaults),
            (Level::Path, self.path),
            (Level::Operation, self.operation),
        ];
        for (level, extension) in places {
            let own = extension.and_then(|node| node.get("upstream"));
            let of_servers = self.servers.upstream_at(level);
            let Some(node) = own.or(of_servers) else {
                continue;
            };
            let Some(name) = node.scalar_text() else {
                continue;
            };
            let name = self.own.upstream(name, settings).ok_or(Reported)?;
            value = Some(match value {
                Some(before) => before.overridden(name, node.span()),
                None => Valued::written(name, node.span()),
            });
            by_servers = own.is_none().then_some(level);
        }
        Ok(value.map(|upstream| Destination {
            upstream,
            by_servers,
        }))
    }

    /// Timeout for the response head, in milliseconds. Order of precedence: `timeout` of the
    /// operation, a `timeout` policy in the chain, the defaults of the document, the upstream, the
    /// defaults of gateway.yaml. Default: 15s.
    pub(super) fn timeout(
        &self,
        settings: &Settings,
        upstream: &str,
        chain: &[Valued<Link>],
    ) -> Valued<u64> {
        let own = self.own;
        let mut value = Valued::default(15_000, "timeout");
        let mut upstreams = own.upstreams.iter().chain(&settings.upstreams);
        let of_upstream = upstreams.find(|entry| entry.value.ir.name == upstream);
        let mut set = |timeout: Option<Spanned<u64>>| {
            if let Some(timeout) = timeout.filter(|timeout| timeout.value > 0) {
                value = value.clone().overridden(timeout.value, timeout.span);
            }
        };
        let field = |node: Option<NodeRef<'_>>| {
            let node = node?.get("timeout")?;
            Some(Spanned::new(read::duration_ms(node).ok()?, node.span()))
        };
        set(settings.defaults.timeout_ms.clone());
        // The upstream takes precedence over `defaults` of gateway.yaml.
        set(of_upstream.and_then(|entry| entry.value.request_timeout_ms.clone()));
        set(field(self.root_defaults));
        for link in chain {
            let timeout = match own.checked(&link.value) {
                Some(Checked::Timeout(timeout)) => Some(timeout.request_ms()),
                Some(_) | None => None,
            };
            set(timeout
                .zip(link.span())
                .map(|(timeout, span)| Spanned::new(timeout, span)));
        }
        set(field(self.operation));
        value
    }

    /// Maximum size of a request body, in bytes.
    pub(super) fn max_body(&self, settings: &Settings) -> Valued<Option<u64>> {
        let default = Valued::default(None, "max_body");
        self.inherit(
            "max_body",
            settings.defaults.max_body_bytes.clone(),
            &default,
            |node| read::size_bytes(node).ok().map(Some),
        )
    }

    /// Handling of paths that an upstream may understand as another path. Default: `strict`. A
    /// path that can itself be understood as another path has `keep`, unless its path item sets
    /// `path_readings`.
    pub(super) fn path_readings(
        &self,
        settings: &Settings,
        template: &ir::Template,
    ) -> Valued<ir::PathReadings> {
        let own = self.path.and_then(|path| path.get("path_readings"));
        if own.is_none() && path_item::is_ambiguous(template) {
            return Valued::default(ir::PathReadings::Keep, "path_readings");
        }
        let default = Valued::default(ir::PathReadings::Strict, "path_readings");
        let start = settings.defaults.path_readings.clone();
        self.inherit("path_readings", start, &default, path_item::path_readings)
    }

    /// True if open streams are closed when a credential of their request expires.
    pub(super) fn closes_streams(&self, settings: &Settings) -> Valued<bool> {
        let default = Valued::default(false, "streams");
        let start = settings.defaults.closes_streams.clone();
        self.inherit("streams", start, &default, path_item::closes_streams)
    }

    /// Builds the chain in phase order, without `authenticate`. Policies that run in no phase
    /// (`timeout`) come last.
    pub(super) fn chain(&self, settings: &Settings, sink: &mut Sink) -> Vec<Valued<Link>> {
        let own = self.own;
        let mut names: Vec<Spanned<String>> = settings.defaults.policies.clone();
        for node in self.nearest_last() {
            let (replace, append) = (node.entry("policies"), node.entry("+policies"));
            if let Some((_, list)) = replace {
                names = if list.is_null() {
                    settings.defaults.policies.clone()
                } else {
                    name_list(Some(list))
                };
            }
            names.extend(name_list(append.map(|(_, list)| list)));
        }
        let required = settings.required.policies.iter().cloned();
        let mut chain: Vec<Valued<Link>> = Vec::new();
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for (index, name) in required.chain(names).enumerate() {
            let is_required = index < settings.required.policies.len();
            let Some(link) = own.link(&name, settings) else {
                continue;
            };
            if let Some(first) = seen.get(&name.value) {
                // A document may repeat a required policy. Any other name that occurs twice in a
                // chain is a mistake.
                let by_operator = settings
                    .required
                    .policies
                    .iter()
                    .any(|required| required.value == name.value);
                if !by_operator && !is_required {
                    sink.push(
                        Diagnostic::new(
                            &POLICY_TWICE,
                            name.span,
                            format!("the policy `{}` occurs twice in this chain", name.value),
                        )
                        .related(*first, "the first one is here")
                        .help("remove one of the two"),
                    );
                }
                continue;
            }
            seen.insert(name.value.clone(), name.span);
            chain.push(Valued::written(link, name.span));
        }
        chain.sort_by_key(|link| {
            let checked = own.checked(&link.value);
            // Within a phase, `threat` policies run before the steps that read the body.
            let is_scan = matches!(checked, Some(Checked::Threat(_)));
            let phase = checked.and_then(Checked::phase);
            phase.map_or((1, Phase::Route, false), |phase| (0, phase, !is_scan))
        });
        chain
    }
}

impl Own<'_> {
    /// Settings of the policy in a chain link. `None` for authentication and unknown policies.
    pub(super) fn checked(&self, link: &Link) -> Option<&Checked> {
        match link {
            Link::Authenticate => None,
            Link::Shared(name) => self.shared.get(name),
            Link::Own(name) => self.policies.get(name),
        }
    }

    /// Name in the bundle of an upstream that the document refers to. `None` if the upstream is not
    /// defined.
    pub(super) fn upstream(&self, name: &str, settings: &Settings) -> Option<String> {
        let named = self.name_of_upstream(name);
        // A definition of the document takes precedence. Mark the definition that is found as used.
        let own = named != name;
        (own || settings.names.kind(Kind::Upstream).knows(name)).then_some(named)
    }

    /// Name in the bundle of an upstream, without checking that it is defined.
    pub(super) fn name_of_upstream(&self, name: &str) -> String {
        match self.names.kind(Kind::Upstream).knows(name) {
            true => name_in(self.api, name),
            false => name.to_owned(),
        }
    }

    fn link(&self, name: &Spanned<String>, settings: &Settings) -> Option<Link> {
        if self.names.kind(Kind::Policy).knows(&name.value) {
            return Some(Link::Own(name.value.clone()));
        }
        let known = settings.names.kind(Kind::Policy).knows(&name.value);
        known.then(|| Link::Shared(name.value.clone()))
    }
}
