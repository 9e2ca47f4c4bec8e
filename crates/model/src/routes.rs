//! Comparison of the routes of all operations: decides which operation serves which requests
//! (semantics.md §1).

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{Segment, Template, TrailingSlash};
use diag::{Diagnostic, Level, Sink};
use engine::router::compare_templates;
use policy::validation::Mode;

use super::lookalike_conditions;
use super::overlap::{self, subset, witness};
use super::settings::listeners::TARGET_BYTES_MAX;
use super::surprise::{self, Overlap, Side};
use super::table::{Route, at_one_place, tables};
use super::{Api, Operation, breadth, rest};
use openapi::spec::reference::Resolver;
use openapi::spec::schema::Schemas;
use sources::project::files::Files;
use vocab::lints::{
    AMBIGUOUS_TEMPLATE, CAPTURED_BY_TEMPLATE, IDENTICAL_ROUTE, MOUNT_CONFLICT, NEVER_WINS,
    UNREACHABLE,
};

/// Compares all routes of a project with each other.
pub fn check(files: &Files, apis: &[Api], sink: &mut Sink) {
    let resolvers: Vec<Resolver<'_>> = apis
        .iter()
        .map(|api| Resolver::new(files, &api.document))
        .collect();
    let schemas: Vec<Schemas<'_, '_>> = apis
        .iter()
        .zip(&resolvers)
        .map(|(api, resolver)| Schemas::new(resolver, api.spec.version))
        .collect();
    let table = Tables { apis, schemas };
    let mut meetings = Meetings::default();
    let mut fallen = BTreeSet::new();
    let mut reported: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut overlaps = Sink::default();
    for routes in tables(apis) {
        let templates: Vec<&Template> = routes.iter().map(|route| &route.template).collect();
        let groups = by_method(&routes);
        let found: Vec<overlap::Pairs> = groups
            .iter()
            .map(|group| overlap::within(&templates, group))
            .collect();
        let mut searched = groups.iter().zip(&found);
        let gap = searched.find(|(_, pairs)| !pairs.is_complete);
        if let Some(first) = gap.and_then(|(group, _)| group.first()) {
            not_compared(&routes[*first], sink);
        }
        let pairs = found.iter().flat_map(|pairs| pairs.all.iter());
        for (a, b) in pairs.map(|(a, b)| (*a.min(b), *a.max(b))) {
            let (first, second) = (&routes[a], &routes[b]);
            let names = (first.operation.key.as_str(), second.operation.key.as_str());
            // Compare an operation at two mounts only once; overlapping mounts are reported below.
            // Skip pairs with a trailing-slash variant that cannot conflict.
            let may_conflict = !(first.twin || second.twin) || differ(first, second);
            if names.0 != names.1 && may_conflict && reported.insert(names) {
                lookalike_conditions::of_two(first, second, sink);
                table.compare_routes(first, second, &mut meetings, &mut overlaps);
            }
        }
        surprise::methods_that_fall_through(apis, &routes, &mut fallen, sink);
    }
    meetings.report(apis, sink);
    first_few(overlaps, sink);
    surprise::hidden_mounts(apis, sink);
    rest::clashes(apis, sink);
    crate::served::clashes(apis, sink);
    rest::check_bypasses(apis, sink);
    for api in apis {
        breadth::check(api, sink);
        mounts_at_one_place(api, sink);
        for operation in &api.operations {
            unreachable(api, operation, sink);
            lookalike_conditions::of_one(operation, sink);
        }
    }
}

/// Reports that routes with the method of this route were not all compared, so that conflicts among
/// them can be missing from the findings.
fn not_compared(route: &Route<'_>, sink: &mut Sink) {
    let max = overlap::pairs_max();
    let message = format!(
        "more than {max} pairs of {} operations match common paths; not all were compared",
        route.operation.method
    );
    sink.push(
        Diagnostic::new(&AMBIGUOUS_TEMPLATE, route.operation.span, message)
            .label("this operation is the first of them")
            .help("use literal segments in place of parameters where paths differ"),
    );
}

/// Maximum number of overlaps that are reported for one path. Further overlaps are only counted.
const OVERLAPS_MAX: usize = 5;

/// Reports the first overlaps of each path, and the number of further overlaps, because many
/// overlapping templates give very many pairs. Findings of other rules are not limited.
fn first_few(overlaps: Sink, sink: &mut Sink) {
    let mut counts: BTreeMap<(diag::Span, &'static str), (usize, &'static diag::Lint)> =
        BTreeMap::new();
    for finding in overlaps.into_sorted() {
        let counted = [&AMBIGUOUS_TEMPLATE, &CAPTURED_BY_TEMPLATE];
        if !counted.iter().any(|lint| lint.code == finding.lint.code) {
            sink.push(finding);
            continue;
        }
        let key = (finding.span, finding.lint.code);
        let (count, _) = counts.entry(key).or_insert((0, finding.lint));
        *count += 1;
        if *count <= OVERLAPS_MAX {
            sink.push(finding);
        }
    }
    for ((span, _), (count, lint)) in counts {
        if count > OVERLAPS_MAX {
            let more = count - OVERLAPS_MAX;
            let message = format!("this path overlaps with {more} more paths in the same way");
            let help = "the order is: literal before pattern before parameter, from the left";
            sink.push(Diagnostic::new(lint, span, message).help(help));
        }
    }
}

/// True if a pair of routes with a trailing-slash variant can conflict. False for two variants,
/// because their declared paths are compared. False also for templates that match the same paths,
/// because a declared path takes precedence over a trailing-slash variant.
fn differ(first: &Route<'_>, second: &Route<'_>) -> bool {
    let same =
        subset(&first.template, &second.template) && subset(&second.template, &first.template);
    !(first.twin && second.twin || same)
}

/// Reports mounts of one API with the same listener, host and base path, because such mounts match
/// the same requests.
fn mounts_at_one_place(api: &Api, sink: &mut Sink) {
    for (index, mount) in api.mounts.iter().enumerate() {
        let (a, at) = (&mount.value, mount.span);
        let same = api.mounts[..index]
            .iter()
            .find(|other| a.base_path == other.value.base_path && at_one_place(a, &other.value));
        if let Some(other) = same {
            sink.push(
                Diagnostic::new(
                    &MOUNT_CONFLICT,
                    at,
                    format!(
                        "the mounts `{}` and `{}` have the same listener, host and base path",
                        a.name, other.value.name
                    ),
                )
                .related(other.span, "the other one is here")
                .help("give one of them another host, base path or listener"),
            );
        }
    }
}

fn by_method(routes: &[Route<'_>]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, route) in routes.iter().enumerate() {
        groups
            .entry(&route.operation.method)
            .or_default()
            .push(index);
    }
    groups.into_values().collect()
}

/// Operations of two APIs that match exactly the same requests, by pair of APIs. Each pair of APIs
/// gets one finding, because the cause is in the mounts of the APIs.
#[derive(Default)]
struct Meetings<'m>(BTreeMap<(usize, usize), Vec<Meeting<'m>>>);

/// Maximum number of pairs of operations that a finding lists.
const MEETINGS_NAMED_MAX: usize = 50;

/// Two operations that match the same requests, with the base paths of their mounts.
struct Meeting<'m> {
    operations: [&'m Operation; 2],
    base_paths: [&'m str; 2],
}

impl<'m> Meetings<'m> {
    fn add(&mut self, first: &Route<'m>, second: &Route<'m>) {
        let meeting = Meeting {
            operations: [first.operation, second.operation],
            base_paths: [first.base_path, second.base_path],
        };
        let both = (first.api, second.api);
        self.0.entry(both).or_default().push(meeting);
    }

    fn report(self, apis: &[Api], sink: &mut Sink) {
        let shown = |path: &'m str| if path.is_empty() { "/" } else { path };
        for ((a, b), mut meetings) in self.0 {
            meetings.sort_by_key(|meeting| meeting.operations[1].path_span);
            let (a, b) = (&apis[a], &apis[b]);
            let Some(first) = meetings.first() else {
                continue;
            };
            let [_, other] = first.operations;
            let more = match meetings.len() - 1 {
                0 => String::new(),
                count => format!(", and {count} more"),
            };
            let places = match first.base_paths.map(shown) {
                [one, same] if one == same => format!("both are mounted at `{one}`"),
                [one, two] => format!("they are mounted at `{one}` and `{two}`"),
            };
            let mut finding = Diagnostic::new(
                &IDENTICAL_ROUTE,
                b.span,
                format!(
                    "`{}` and `{}` match exactly the same requests: `{} {}`{more}",
                    a.name, b.name, other.method, other.path
                ),
            )
            .label(places.clone())
            .related(a.span, format!("`{}` is mounted here", a.name))
            .help(format!(
                "{places}: change the `base_path` or the `hosts` of a `mount`"
            ));
            for meeting in meetings.iter().take(MEETINGS_NAMED_MAX) {
                for operation in meeting.operations {
                    finding = finding.related(operation.path_span, format!("`{}`", operation.key));
                }
            }
            sink.push(finding);
        }
    }
}

/// Data for comparing pairs of routes.
struct Tables<'r, 'a> {
    apis: &'r [Api],
    /// Schemas of the document of each API.
    schemas: Vec<Schemas<'r, 'a>>,
}

impl<'r, 'a> Tables<'r, 'a> {
    fn side<'s>(&'s self, route: &'s Route<'_>) -> Side<'s, 'r, 'a> {
        Side {
            route,
            api: &self.apis[route.api],
            schemas: &self.schemas[route.api],
        }
    }

    fn compare_routes<'m>(
        &self,
        first: &Route<'m>,
        second: &Route<'m>,
        meetings: &mut Meetings<'m>,
        sink: &mut Sink,
    ) {
        let (a, b) = (first.operation, second.operation);
        let (below, above) = (
            subset(&first.template, &second.template),
            subset(&second.template, &first.template),
        );
        if below && above {
            if a.conditions == b.conditions && a.priority == b.priority {
                if first.api != second.api {
                    return meetings.add(first, second);
                }
                sink.push(
                Diagnostic::new(&IDENTICAL_ROUTE, b.path_span, format!("`{} {}` and `{} {}` match exactly the same requests", b.method, b.path, a.method, a.path))
                    .label("the paths differ only in the names of parameters")
                    .related(a.path_span, format!("`{} {}` is here", a.method, a.path))
                    .help("give one operation a different path, method or condition, describe both as one operation, or let one path only document the other (`x-gateway: {alias_of: PATH}`)"),
            );
                return;
            }
        } else if !below
            && !above
            && a.priority == b.priority
            && a.conditions.is_empty()
            && b.conditions.is_empty()
        {
            let Some(witness) = witness(&first.template, &second.template) else {
                return;
            };
            let (winner, loser) = if compare_templates(&first.template, &second.template).is_gt() {
                (first, second)
            } else {
                (second, first)
            };
            let sides = (self.side(winner), self.side(loser));
            match surprise::overlap(&sides.0, &sides.1) {
                Overlap::Silent => return,
                Overlap::Captured => return self.captured(winner, loser, sink),
                Overlap::Ambiguous => {}
            }
            let winner = winner.operation;
            sink.push(
                Diagnostic::new(
                    &AMBIGUOUS_TEMPLATE,
                    b.path_span,
                    format!(
                        "`{}` and {} match some of the same requests",
                        b.path,
                        self.shown(first, second)
                    ),
                )
                .label(format!(
                    "`{} {witness}` matches both; `{}` gets it",
                    a.method, winner.key
                ))
                .related(a.path_span, format!("`{}` is here", a.path))
                .help("the order is: literal before pattern before parameter, from the left"),
            );
            return;
        }
        for (lesser, greater) in [(first, second), (second, first)] {
            if never_wins(lesser, greater) {
                let (lesser, greater) = (lesser.operation, greater.operation);
                sink.push(
                    Diagnostic::new(
                        &NEVER_WINS,
                        lesser.path_span,
                        format!("`{}` never receives a request", lesser.key),
                    )
                    .label(format!("`{}` receives all its requests", greater.key))
                    .related(
                        greater.path_span,
                        format!("its priority is {}", greater.priority),
                    )
                    .help("give this path the same priority, or remove it"),
                );
            }
        }
    }

    /// Path of a route for messages. Contains the name of the API if the other route belongs to
    /// another API, so that equal paths of two APIs give two findings.
    fn shown(&self, route: &Route<'_>, other: &Route<'_>) -> String {
        let path = &route.operation.path;
        match route.api == other.api {
            true => format!("`{path}`"),
            false => format!("`{path}` of `{}`", self.apis[route.api].name),
        }
    }

    /// Reports two overlapping routes if the winner gets requests that its parameter schemas
    /// refuse, but that are valid for the loser.
    fn captured(&self, winner_route: &Route<'_>, loser_route: &Route<'_>, sink: &mut Sink) {
        let (winner, loser) = (winner_route.operation, loser_route.operation);
        // With blocking validation, the route that takes precedence refuses these requests. The
        // other route never receives them.
        let level = match winner.validation {
            Mode::Block => Level::Error,
            Mode::Off | Mode::Log => CAPTURED_BY_TEMPLATE.level,
        };
        sink.push(
            Diagnostic::new(
                &CAPTURED_BY_TEMPLATE,
                loser.path_span,
                format!(
                    "requests that are valid only for `{}` go to {}",
                    loser.path,
                    self.shown(winner_route, loser_route)
                ),
            )
            .label(format!(
                "`{}` receives these requests, and its parameters refuse them",
                winner.key
            ))
            .related(winner.path_span, format!("`{}` is here", winner.path))
            .help(
                "give one of them another path, or this one a `priority`: schemas do not affect \
                routing",
            )
            .level(level),
        );
    }
}

/// True if, at one mount, a route with a greater priority matches all requests of another route.
fn never_wins(lesser: &Route<'_>, greater: &Route<'_>) -> bool {
    let (a, b) = (lesser.operation, greater.operation);
    let wider = b
        .conditions
        .iter()
        .all(|condition| a.conditions.contains(condition));
    if a.priority >= b.priority || !wider {
        return false;
    }
    let templates = |route: &Route<'_>| -> Vec<(Template, bool)> {
        let loose = route.operation.trailing_slash != TrailingSlash::Strict;
        let twin = route.template.twin().filter(|_| loose);
        let twin = twin.map(|twin| (twin, !route.twin));
        std::iter::once((route.template.clone(), route.twin))
            .chain(twin)
            .collect()
    };
    let greater = templates(greater);
    templates(lesser).iter().all(|(own, own_twin)| {
        greater.iter().any(|(other, twin)| {
            // A declared path takes precedence over the trailing-slash variant of another path,
            // regardless of priorities.
            let is_other_preferred = *twin && !own_twin && subset(other, own);
            subset(own, other) && !is_other_preferred
        })
    })
}

/// Length of the shortest path that a template matches, in bytes.
fn shortest(template: &Template) -> usize {
    let each = template.segments().iter().map(|segment| match segment {
        Segment::Literal(text) | Segment::Folded(text) => text.len(),
        Segment::Parameter(_) => 1,
        Segment::Pattern(pattern) => {
            let rest = pattern.rest.iter().map(|(_, literal)| 1 + literal.len());
            pattern.head.len() + rest.sum::<usize>()
        }
    });
    each.map(|bytes| 1 + bytes).sum()
}

fn unreachable(api: &Api, operation: &Operation, sink: &mut Sink) {
    let bases = api.mounts.iter().map(|mount| mount.value.base_path.len());
    let shortest = bases.min().unwrap_or(0) + shortest(&operation.template);
    let why = if matches!(&*operation.method, "TRACE" | "CONNECT") {
        "TRACE and CONNECT are never served".to_owned()
    } else if shortest as u64 > TARGET_BYTES_MAX {
        format!(
            "its path has at least {shortest} bytes, and a request's target may have at most \
{TARGET_BYTES_MAX}"
        )
    } else {
        return;
    };
    sink.push(
        Diagnostic::new(
            &UNREACHABLE,
            operation.span,
            format!("no URL reaches `{}`: {why}", operation.key),
        )
        .help("change its path or method, or remove it"),
    );
}
