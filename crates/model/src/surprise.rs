//! Findings about requests that an unexpected operation receives. Causes are overlapping templates
//! with different parameter schemas, methods that only a wider template has, and hosts that hide a
//! mount (semantics.md §1).

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Segment};
use diag::{Diagnostic, NodeRef, Sink};

use super::overlap::{self, subset};
use super::table::Route;
use super::{Api, Defined, Operation};
use openapi::spec::In;
use openapi::spec::schema::Schemas;
use sources::project::files::percent_decoded;
use vocab::lints::{HOST_HIDES_MOUNT, METHOD_FALLS_THROUGH};

/// Maximum number of hosts shown in one message.
const SHOWN_MAX: usize = 5;

/// One of two overlapping routes, with its API and the schemas of its document.
pub(super) struct Side<'s, 'r, 'a> {
    pub(super) route: &'s Route<'s>,
    pub(super) api: &'s Api,
    pub(super) schemas: &'s Schemas<'r, 'a>,
}

/// Routes for which a request that matches both of two templates may be valid, according to the
/// parameter schemas.
pub(super) enum Overlap {
    /// A request that matches both templates may be valid for both routes.
    Ambiguous,
    /// No request is valid for both routes. A request that matches both templates may be valid for
    /// the route of lower precedence.
    Captured,
    /// No request that matches both templates can be valid for the route of lower precedence.
    Silent,
}

/// Classifies the overlap of two routes. The router prefers the route `winner`.
pub(super) fn overlap<'r, 'a>(winner: &Side<'_, 'r, 'a>, loser: &Side<'_, 'r, 'a>) -> Overlap {
    if !loser.takes_the_literals_of(winner) {
        return Overlap::Silent;
    }
    if winner.takes_the_literals_of(loser) && winner.shares_values_with(loser) {
        return Overlap::Ambiguous;
    }
    Overlap::Captured
}

impl Side<'_, '_, '_> {
    fn segments(&self) -> &[Segment] {
        self.route.template.segments()
    }

    /// True if each literal of `other` may be a value of this route's parameter in the same
    /// segment.
    fn takes_the_literals_of(&self, other: &Self) -> bool {
        self.segments()
            .iter()
            .zip(other.segments())
            .all(|pair| match pair {
                (Segment::Parameter(name), Segment::Literal(text)) => {
                    let text = percent_decoded(text).unwrap_or_else(|| text.clone());
                    self.may_be(name, &text)
                }
                _ => true,
            })
    }

    /// True if, in each segment, the parameters of both routes may have a common value.
    fn shares_values_with(&self, other: &Self) -> bool {
        self.segments()
            .iter()
            .zip(other.segments())
            .all(|pair| match pair {
                (Segment::Parameter(mine), Segment::Parameter(theirs)) => {
                    let either = self.values(mine).map(|values| (values, other, theirs));
                    let either =
                        either.or_else(|| other.values(theirs).map(|values| (values, self, mine)));
                    either.is_none_or(|(values, side, name)| {
                        values.iter().any(|value| side.may_be(name, value))
                    })
                }
                _ => true,
            })
    }

    fn may_be(&self, name: &str, text: &str) -> bool {
        let schema = schema_of(self.api, self.route.operation, name);
        schema.is_none_or(|schema| {
            self.schemas
                .may_be(self.schemas.resolver().node(schema), text)
        })
    }

    /// All values that a parameter may have, if its schema lists them in `enum` or `const`.
    /// Otherwise `None`.
    fn values(&self, name: &str) -> Option<Vec<String>> {
        let schema = schema_of(self.api, self.route.operation, name)?;
        let resolver = self.schemas.resolver();
        let schema = resolver.resolve(resolver.node(schema))?;
        let listed = match (schema.get("enum"), schema.get("const")) {
            (Some(list), _) if list.is_list() => list.items().collect(),
            (_, Some(only)) => vec![only],
            _ => return None,
        };
        let texts: Option<Vec<&str>> = listed.into_iter().map(NodeRef::scalar_text).collect();
        let texts = texts?
            .into_iter()
            .filter(|text| self.schemas.may_be(schema, text));
        Some(texts.map(str::to_owned).collect())
    }
}

fn schema_of(api: &Api, operation: &Operation, name: &str) -> Option<diag::NodeId> {
    let (path, index) = operation.place;
    let written = api.spec.paths.get(path)?.operations.get(index)?;
    let is_it = |parameter: &&openapi::spec::Parameter| {
        parameter.place == In::Path && parameter.name.value == name
    };
    written.parameters.iter().find(is_it)?.schema
}

/// Reports paths that lack a method that a wider template has, because requests with that method go
/// to the wider template. One finding per API.
pub(super) fn methods_that_fall_through(
    apis: &[Api],
    routes: &[Route<'_>],
    reported: &mut BTreeSet<String>,
    sink: &mut Sink,
) {
    // Use one route for all methods of a template.
    let mut by_template: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, route) in routes.iter().enumerate() {
        if route.operation.conditions.is_empty() && !route.twin {
            let prefix = if route.template.is_prefix() {
                "/**"
            } else {
                ""
            };
            let case = if route.template.is_folded() { "~" } else { "" };
            let text = format!("{case}{}{prefix}", route.template);
            by_template.entry(text).or_default().push(index);
        }
    }
    let firsts: Vec<usize> = by_template.values().map(|all| all[0]).collect();
    let all_of: BTreeMap<usize, &Vec<usize>> =
        by_template.values().map(|all| (all[0], all)).collect();
    let methods = |first: usize| -> BTreeSet<&str> {
        let all = all_of.get(&first).into_iter().flat_map(|all| all.iter());
        all.map(|index| &*routes[*index].operation.method).collect()
    };
    let templates: Vec<_> = routes.iter().map(|route| &route.template).collect();
    // Routes to report, by API, in source order.
    let mut found: BTreeMap<usize, Vec<(usize, usize, String)>> = BTreeMap::new();
    for (a, b) in overlap::within(&templates, &firsts).all {
        for (narrow, wide) in [(a, b), (b, a)] {
            let is_narrower = subset(templates[narrow], templates[wide])
                && !subset(templates[wide], templates[narrow]);
            if !is_narrower {
                continue;
            }
            let own = methods(narrow);
            for method in methods(wide).difference(&own) {
                let derived = *method == "HEAD" && own.contains("GET");
                if !derived && *method != "TRACE" {
                    let entry = found.entry(routes[narrow].api).or_default();
                    entry.push((narrow, wide, (*method).to_owned()));
                }
            }
        }
    }
    for (api, mut all) in found {
        if !reported.insert(apis[api].name.clone()) {
            continue;
        }
        all.sort_by_key(|(narrow, wide, method)| {
            let span = |index: usize| routes[index].operation.path_span;
            (span(*narrow), span(*wide), method.clone())
        });
        let (narrow, wide, method) = &all[0];
        let (narrow, wide) = (routes[*narrow].operation, routes[*wide].operation);
        let more = match all.len() {
            1 => String::new(),
            count => format!(
                ", and {} more such requests of `{}`",
                count - 1,
                apis[api].name
            ),
        };
        sink.push(
            Diagnostic::new(
                &METHOD_FALLS_THROUGH,
                narrow.path_span,
                format!("`{method}` on this path goes to `{}`{more}", wide.path),
            )
            .label(format!("`{}` has no `{method}`", narrow.path))
            .related(wide.path_span, format!("`{}` matches it", wide.path)),
        );
    }
}

/// Hosts named in the mounts, by listener.
fn named<'m>(
    mounts: &mut dyn Iterator<Item = &'m Defined<ir::Mount>>,
) -> BTreeMap<&'m str, BTreeSet<&'m str>> {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for mount in mounts {
        for listener in &mount.value.listeners {
            let hosts = mount.value.hosts.iter().map(String::as_str);
            named.entry(listener).or_default().extend(hosts);
        }
    }
    named
}

/// Reports mounts without hosts that receive no requests for hosts named in other APIs.
pub(super) fn hidden_mounts(apis: &[Api], sink: &mut Sink) {
    let mounts = || {
        apis.iter()
            .flat_map(|api| api.mounts.iter().map(move |mount| (api, mount)))
    };
    let everywhere = named(&mut mounts().map(|(_, mount)| mount));
    for (api, mount) in mounts().filter(|(_, mount)| mount.value.hosts.is_empty()) {
        // For each listener of the mount, collect the hosts that other APIs name but this API does
        // not.
        let own = named(&mut api.mounts.iter());
        let mut hosts: BTreeSet<&str> = BTreeSet::new();
        for listener in &mount.value.listeners {
            let all = everywhere.get(listener.as_str());
            let own = own.get(listener.as_str());
            let foreign = all.into_iter().flatten();
            hosts.extend(foreign.filter(|host| !own.is_some_and(|own| own.contains(*host))));
        }
        let shares = |listeners: &[String]| {
            listeners
                .iter()
                .any(|name| mount.value.listeners.contains(name))
        };
        let Some(first) = hosts.first() else { continue };
        let setter = mounts().find(|(_, other)| {
            shares(&other.value.listeners) && other.value.hosts.iter().any(|host| host == first)
        });
        let names: Vec<String> = hosts
            .iter()
            .take(SHOWN_MAX)
            .map(|host| format!("`{host}`"))
            .collect();
        let more = match hosts.len().saturating_sub(SHOWN_MAX) {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let mut finding = Diagnostic::new(
            &HOST_HIDES_MOUNT,
            mount.span,
            format!(
                "requests to {}{more} never reach `{}`",
                names.join(", "),
                api.name
            ),
        )
        .help(
            "a mount that names a host receives all requests to that host; add the host to this \
API's mount to serve the API there",
        );
        if let Some((_, other)) = setter {
            finding = finding.related(other.span, format!("this mount names `{first}`"));
        }
        sink.push(finding);
    }
}
