//! Readings of a path: other interpretations of the path by common upstreams (semantics.md §2, step
//! 4).
//!
//! Such upstreams decode `%2F` and `%5C`, read `\` as `/`, merge slashes, or decode twice. Others
//! drop `;parameters`, cut the path at `;`, `%3F` or `%23`, or trim white space and dots of
//! segments. Some accept overlong UTF-8, or drop bytes that are not UTF-8. They then resolve dot
//! segments. Some read what they cut as the query. The path that an upstream serves must pass the
//! same checks as the path that the client sent. [`ambiguity`] therefore matches each reading of an
//! ambiguous path again. [`crate::path::normalise_with`] marks ambiguous paths, so other requests
//! have no additional cost.
//!
//! A server that compares paths case-insensitively may serve `/admin` for `/Admin`. [`ambiguity`]
//! therefore also searches the host for an operation with other access rules whose path differs
//! only in letter case.

mod spellings;

use std::cell::Cell;

use bundle::ir::{PathReadings, Segment};
use policy::RequestHead;

use crate::path;
use crate::router::{self, Found, HostTable};
use crate::snapshot::{OPEN, RouteRef, Server, Snapshot};
use crate::{invalid_utf8, overlong};
use spellings::{Fault, SEPARATORS_MAX, separators, spellings};

/// Maximum number of steps of a search for other paths. A path that needs more steps is refused.
/// [`spellings`] counts the bytes, segments and escapes of each text, and [`router::lookup_steps`]
/// the steps of each look-up. A step takes about 5 ns in an optimised build, and the maximum about a
/// millisecond. A build without optimisation takes about ten times as long.
const SEARCH_MAX: usize = 200_000;

/// Cost of a search for paths in another letter case, as a multiple of the steps for one look-up of
/// the path.
const LETTER_CASE_COST: usize = 4;

/// Reason why an ambiguous path must not be forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    /// An upstream may interpret the path as a path of another route, or of no route.
    Reading {
        /// Path that an upstream may serve.
        path: String,
        /// Route that `path` matches (`KEY@MOUNT`). `None` if no route matches.
        owner: Option<String>,
    },
    /// An upstream may interpret the path as another path of the same route. The chain also sends
    /// the path to another service. The upstream and the service may interpret the path
    /// differently.
    Service {
        /// Interpretation of the request's path by the service or an upstream.
        path: String,
    },
    /// An upstream may interpret the path as another path of the same route, for which a step of
    /// the chain might decide differently.
    Decision {
        /// Path that an upstream may serve.
        path: String,
    },
    /// An upstream may interpret a part of the path as the query, and the gateway's decision
    /// depends on the query.
    Query,
    /// An upstream may interpret the path as a path outside the base path.
    Outside,
    /// The path has too many interpretations, or these have too many bytes or separators
    /// (`spellings`). Or the search for their operations takes more than [`SEARCH_MAX`] steps.
    TooMany,
}

impl From<Fault> for Ambiguity {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Outside => Self::Outside,
            Fault::TooMany => Self::TooMany,
        }
    }
}

/// First reason in a request's path not to forward the request to `route`. `None`: the request may
/// be forwarded. If all operations of the host have the same access rules
/// (`Mount::has_other_access` is false), only ambiguous paths can have a reason.
#[must_use]
pub fn ambiguity(
    snapshot: &Snapshot,
    listener: usize,
    head: &RequestHead,
    route: &RouteRef<'_>,
) -> Option<Ambiguity> {
    counted_ambiguity(snapshot, listener, head, route).0
}

/// Like [`ambiguity`]. Also returns the number of steps of the search.
#[must_use]
pub fn counted_ambiguity(
    snapshot: &Snapshot,
    listener: usize,
    head: &RequestHead,
    route: &RouteRef<'_>,
) -> (Option<Ambiguity>, usize) {
    let search = Search {
        snapshot,
        listener,
        hosts: &snapshot.listeners()[listener].hosts,
        head,
        route,
        left: Cell::new(SEARCH_MAX),
    };
    let found = search.ambiguity().unwrap_or_else(Some);
    (found, SEARCH_MAX - search.left.get())
}

/// Search for other interpretations of a request's path by upstreams, and for the operations of the
/// resulting paths. The work of the search is limited.
struct Search<'a> {
    snapshot: &'a Snapshot,
    /// Listener of the request, as an index into the snapshot's listeners.
    listener: usize,
    hosts: &'a HostTable,
    head: &'a RequestHead,
    route: &'a RouteRef<'a>,
    /// Remaining steps of the search, at first [`SEARCH_MAX`].
    left: Cell<usize>,
}

/// Access to a path of a server, compared with the access of a route.
enum Access {
    /// No operation with access rules that differ from the route's has the path.
    Same,
    /// An operation with different access rules, or an `internal` operation, has the path. Contains
    /// the id of the first operation (`KEY@MOUNT`), and `None` for an `internal` operation.
    Other(Option<String>),
}

/// Result of a search: the reason that was found. `None`: there is no reason. The error is
/// [`Ambiguity::TooMany`].
type SearchResult<T = Option<Ambiguity>> = Result<T, Ambiguity>;

impl Search<'_> {
    fn ambiguity(&self) -> SearchResult {
        let (head, route) = (self.head, self.route);
        if head.is_ambiguous && separators(head.path()) > SEPARATORS_MAX {
            return Err(Ambiguity::TooMany);
        }
        let found = self.other_spelling(head.path())?;
        if found.is_some() || !head.is_ambiguous {
            return Ok(found);
        }
        let base = match route.mount.strip_base_path {
            true => &*route.mount.base_path,
            false => "",
        };
        let below = head.path().strip_prefix(base).unwrap_or(head.path());
        // The whole path is the base path, which is removed. The upstream therefore receives no
        // ambiguous path.
        if below.is_empty() {
            return Ok(None);
        }
        let mut left = self.left.get();
        let readings = readings_within(below, &mut left);
        self.left.set(left);
        let readings = readings?;
        let mut all = readings.iter().map(String::as_str).chain([below]);
        let by_query = route.treatment.depends_on_query || route.mount.has_query_conditions;
        let has_query = match by_query {
            true => all.any(|path| may_have_query(path, route)),
            // The value of a described path parameter may contain any escape. Only `;` shows that a
            // server may take the rest of the path for a query.
            false => {
                route.treatment.validates && below.contains(';') && may_have_query(below, route)
            }
        };
        if has_query {
            return Ok(Some(Ambiguity::Query));
        }
        for reading in &readings {
            let found = self.reading(format!("{base}{reading}"))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Reason not to forward the request if an upstream interprets its path as `path`. `None`:
    /// there is no reason.
    fn reading(&self, path: String) -> SearchResult {
        let route = self.route;
        let owner = match self.find(&path)? {
            Found::Operation {
                mount, operation, ..
            } => {
                let mount = &self.snapshot.mounts[mount as usize];
                let other = self.snapshot.route_at(mount, operation);
                if is_same(route, &other) {
                    return match route.treatment.depends_on_path {
                        true => Ok(Some(Ambiguity::Decision { path })),
                        false if forbids_others(route) => Ok(Some(Ambiguity::Service { path })),
                        false => self.other_spelling(&path),
                    };
                }
                if is_equivalent(route, &other) {
                    return self.other_spelling(&path);
                }
                Some(other.id.as_str().to_owned())
            }
            // An operation describes the path, but its conditions fail. Refuse even with
            // `path_readings: keep`.
            Found::NoConditionMatched => None,
            Found::Nothing | Found::MethodNotAllowed(_) => {
                if keeps_others(route)
                    && is_below(&path, &route.mount.base_path)
                    && !self.is_withheld(&path)?
                {
                    let found = self.at_shared_servers(&path)?;
                    return match found.is_some() {
                        true => Ok(found),
                        false => self.other_spelling(&path),
                    };
                }
                None
            }
        };
        Ok(Some(Ambiguity::Reading { path, owner }))
    }

    /// Reason not to forward a request with this path: a path of another operation that differs
    /// only in letter case or final slashes. `None`: there is no reason.
    fn other_spelling(&self, path: &str) -> SearchResult {
        match self.letter_case(path)? {
            None => self.final_slash(path),
            found => Ok(found),
        }
    }

    /// Searches the operations of the host for a path that differs from `path` only in letter case.
    /// The operation must have other access rules or be `internal`. An upstream that compares paths
    /// case-insensitively could serve that path. Returns [`Ambiguity::Reading`] with that path, or
    /// `None`.
    fn letter_case(&self, path: &str) -> SearchResult {
        for path in self.other_letter_cases(path)? {
            let found = self.other_access(path)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Paths that operations of the host describe and that differ from `path` only in letter case.
    /// Empty on hosts whose operations have the same access rules.
    fn other_letter_cases(&self, path: &str) -> SearchResult<Vec<String>> {
        // Search only if the path or a template has upper-case letters or escapes.
        let mount = self.route.mount;
        let has_upper_or_escape = || mount.has_upper_or_escape || router::has_upper_or_escape(path);
        if !mount.has_other_access || !has_upper_or_escape() {
            return Ok(Vec::new());
        }
        self.letter_cases_in(self.hosts, path)
    }

    /// Paths that operations in `hosts` describe and that differ from `path` only in letter case.
    fn letter_cases_in(&self, hosts: &HostTable, path: &str) -> SearchResult<Vec<String>> {
        self.spend_at(hosts, path, LETTER_CASE_COST)?;
        let mut left = self.left.get();
        let others = router::other_letter_cases(hosts, path, self.head, &mut left);
        self.left.set(left);
        others.ok_or(Ambiguity::TooMany)
    }

    /// Checks `path` without its final slashes, or with a final slash if `path` has none. An
    /// upstream that ignores final slashes could serve this other path. Returns
    /// [`Ambiguity::Reading`] if the other path belongs to an operation of the host with other
    /// access rules or to an `internal` operation. Also returns [`Ambiguity::Reading`] if
    /// operations describe the other path but do not serve the request there, and no described
    /// operation serves the request at `path`. Returns `None` in any other case. If the template of
    /// the route consists of literals, its author described exactly this path: only other letter
    /// cases of the other path count.
    fn final_slash(&self, path: &str) -> SearchResult {
        let (route, mount) = (self.route, self.route.mount);
        let bare = path.trim_end_matches('/');
        let has_slash = bare.len() < path.len();
        if !mount.has_other_access || bare.is_empty() || !(has_slash || mount.has_final_slash) {
            return Ok(None);
        }
        let other = match has_slash {
            true => bare.to_owned(),
            false => format!("{path}/"),
        };
        // A prefix also matches the path with a final slash, but does not describe it.
        let is_described = |path: &str| -> SearchResult<bool> {
            self.spend(path, 1)?;
            Ok(has_slash || router::ends_in_slash(self.hosts, path, self.head))
        };
        for path in self.other_letter_cases(&other)? {
            if is_described(&path)? {
                let found = self.other_access(path)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        if has_one_path(route) || !is_described(&other)? {
            return Ok(None);
        }
        match self.find(&other)? {
            // Operations describe the new path, but may not serve this request.
            Found::Operation { .. } | Found::NoConditionMatched | Found::MethodNotAllowed(_) => {
                self.other_access(other)
            }
            Found::Nothing if self.is_withheld(&other)? => Ok(Some(Ambiguity::Reading {
                path: other,
                owner: None,
            })),
            Found::Nothing => Ok(None),
        }
    }

    /// Returns [`Ambiguity::Reading`] if `path` belongs to an operation with other access rules or
    /// to an `internal` operation, or if no operation serves `path` and none describes the request.
    fn other_access(&self, path: String) -> SearchResult {
        let route = self.route;
        let owner = match self.find(&path)? {
            Found::Operation {
                mount, operation, ..
            } => {
                let mount = &self.snapshot.mounts[mount as usize];
                let other = self.snapshot.route_at(mount, operation);
                if !has_other_access(route, &other) {
                    return self.at_other_upstreams(path, &other);
                }
                Some(other.id.as_str().to_owned())
            }
            _ if self.is_withheld(&path)? => None,
            // No operation serves this spelling of the path. An operation that describes the
            // request serves the spelling that the client sent.
            _ if route.operation.owns.is_described() => return Ok(None),
            _ if keeps_others(route) && is_below(&path, &route.mount.base_path) => {
                return self.at_shared_servers(&path);
            }
            _ => None,
        };
        Ok(Some(Ambiguity::Reading { path, owner }))
    }

    /// Compares the operations of each upstream separately. Returns [`Ambiguity::Reading`] if the
    /// operation that one of these groups selects for `path` has other access rules. An upstream
    /// that receives the request does not know the operations of other upstreams and may serve its
    /// own. Also returns [`Ambiguity::Reading`] for an `internal` operation if `selected`, which
    /// the gateway selects for `path`, has another upstream than the request.
    fn at_other_upstreams(&self, path: String, selected: &RouteRef<'_>) -> SearchResult {
        self.spend(&path, LETTER_CASE_COST)?;
        let route_at = |mount: u32, operation| {
            let mount = &self.snapshot.mounts[mount as usize];
            self.snapshot.route_at(mount, operation)
        };
        let upstream = |mount, operation| route_at(mount, operation).treatment.upstream;
        let own = router::selected_by_group(self.hosts, &path, self.head, &upstream);
        let mut own = own
            .into_iter()
            .map(|(mount, operation)| route_at(mount, operation));
        let other = own.find(|other| has_other_access(self.route, other));
        let owner = other.map(|other| other.id.as_str().to_owned());
        let is_elsewhere = selected.treatment.upstream != self.route.treatment.upstream;
        match owner.is_some() || is_elsewhere && self.is_withheld(&path)? {
            true => Ok(Some(Ambiguity::Reading { path, owner })),
            false => Ok(None),
        }
    }

    /// Searches all hosts and listeners for an operation that an upstream of the route may serve.
    /// The upstream may serve it if it interprets the path of the request as `path`. The operation
    /// sends its requests to the same server, and has other access rules or is `internal`. The
    /// server receives neither the listener nor a base path that the gateway removes. Returns
    /// [`Ambiguity::Reading`] with that operation, or `None`.
    fn at_shared_servers(&self, path: &str) -> SearchResult {
        let base = match self.route.mount.strip_base_path {
            true => &*self.route.mount.base_path,
            false => "",
        };
        let sent = match path.strip_prefix(base).unwrap_or(path) {
            "" => "/",
            sent => sent,
        };
        for (server, before) in self.snapshot.servers.of_route(self.snapshot, self.route) {
            let whole = format!("{before}{sent}");
            let owner = match self.at_server(server, &whole)? {
                Access::Same => continue,
                Access::Other(owner) => owner,
            };
            let path = path.to_owned();
            return Ok(Some(Ambiguity::Reading { path, owner }));
        }
        Ok(None)
    }

    /// Access to a path of a server, compared with the access of the route. Also compares the paths
    /// that differ from `path` in letter case or in the final slash.
    fn at_server(&self, server: &Server, path: &str) -> SearchResult<Access> {
        let hosts = server.paths();
        let bare = path.trim_end_matches('/');
        let mut paths = vec![path.to_owned()];
        if !has_one_path(self.route) && !bare.is_empty() {
            paths.push(match bare.len() < path.len() {
                true => bare.to_owned(),
                false => format!("{path}/"),
            });
        }
        let mut others = Vec::new();
        for path in &paths {
            if server.has_upper_or_escape() || router::has_upper_or_escape(path) {
                others.extend(self.letter_cases_in(hosts, path)?);
            }
        }
        paths.extend(others);
        for path in paths {
            self.spend_at(hosts, &path, LETTER_CASE_COST)?;
            if router::is_withheld(hosts, &path, self.head) {
                return Ok(Access::Other(None));
            }
            for (mount, other) in server.operations(self.snapshot, &path, self.head) {
                let servers = &self.snapshot.servers;
                let needs_certificate = servers.needs_certificate(mount)
                    && !servers.requires_certificate(self.listener);
                if needs_certificate || has_other_access(self.route, &other) {
                    return Ok(Access::Other(Some(other.id.as_str().to_owned())));
                }
            }
        }
        Ok(Access::Same)
    }

    /// Finds the operation of a path.
    fn find(&self, path: &str) -> SearchResult<Found> {
        self.spend(path, 1)?;
        Ok(router::find_path(self.hosts, path, self.head))
    }

    /// True if an `internal` operation matches the path.
    fn is_withheld(&self, path: &str) -> SearchResult<bool> {
        self.spend(path, 1)?;
        Ok(router::is_withheld(self.hosts, path, self.head))
    }

    /// Subtracts the steps for `factor` look-ups of a path from the remaining steps.
    fn spend(&self, path: &str, factor: usize) -> SearchResult<()> {
        self.spend_at(self.hosts, path, factor)
    }

    /// Like [`Self::spend`], for look-ups in `hosts`.
    fn spend_at(&self, hosts: &HostTable, path: &str, factor: usize) -> SearchResult<()> {
        let steps = factor * router::lookup_steps(hosts, path, self.head);
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.ok_or(Ambiguity::TooMany)?);
        Ok(())
    }
}

/// True if the author of the document described exactly the path of a route: the template consists
/// of literals.
fn has_one_path(route: &RouteRef<'_>) -> bool {
    let template = &route.operation.template;
    let mut segments = template.segments().iter();
    let is_literal =
        segments.all(|segment| matches!(segment, Segment::Literal(_) | Segment::Folded(_)));
    is_literal && route.operation.owns.is_described() && !template.is_prefix()
}

/// True if a path is a base path or is below it.
fn is_below(path: &str, base: &str) -> bool {
    let rest = path.strip_prefix(base);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_same(route: &RouteRef<'_>, other: &RouteRef<'_>) -> bool {
    route.api_index == other.api_index && route.index_in_api == other.index_in_api
}

/// True if the gateway refuses a path of a route that differs from a path of `other` only in letter
/// case or in the final slash: callers of the route may lack access to `other`.
#[must_use]
pub fn has_other_access(route: &RouteRef<'_>, other: &RouteRef<'_>) -> bool {
    other.treatment.access != OPEN && !route.has_access_of(other)
}

/// True if the gateway may refuse a path of a route because it differs from a path of another
/// operation only in letter case, escapes or the final slash. False if all operations of the host
/// have the same access rules.
#[must_use]
pub fn compares_spellings(route: &RouteRef<'_>) -> bool {
    route.mount.has_other_access
}

/// True if the gateway permits that an upstream interprets a path of `route` as a path of `other`.
/// Requires `path_readings: keep`, and that both routes have the same API, upstream and access
/// rules.
#[must_use]
pub fn is_equivalent(route: &RouteRef<'_>, other: &RouteRef<'_>) -> bool {
    let (own, others) = (route.treatment, other.treatment);
    let same_access = route.has_access_of(other) && own.upstream == others.upstream;
    keeps_others(route) && route.api_index == other.api_index && same_access
}

/// True with `path_readings: keep`, unless the chain sends the path to another service or a step of
/// the chain decides by the path. The decision of the service or step would not apply to the path
/// of another route.
#[must_use]
pub fn keeps_others(route: &RouteRef<'_>) -> bool {
    let treatment = route.treatment;
    let is_decisive = treatment.sends_path || treatment.depends_on_path;
    treatment.path_readings == PathReadings::Keep && !is_decisive
}

/// True if an upstream must not interpret the path differently, even as a path of the same route,
/// because the chain sends the path to another service. False with `path_readings: keep`: the
/// service is then assumed to interpret paths like the upstream.
fn forbids_others(route: &RouteRef<'_>) -> bool {
    route.treatment.sends_path && route.treatment.path_readings.is_strict()
}

/// True if an upstream may interpret a rewritten path as a path that the rewrite never produces.
/// `original` is the path before the rewrite. All interpretations of `original` belong to the same
/// route.
///
/// A rewrite that only adds a prefix to `original` keeps its interpretations. After any other
/// rewrite, every interpretation must begin and end with the segments of `path` around the
/// ambiguous segments. It must also contain the unambiguous segments between them. If `strict`, an
/// interpretation must also have as many segments as `path`. No interpretation may have dot
/// segments, which could lead out of the path.
#[must_use]
pub fn can_deviate(path: &str, original: &str, strict: bool) -> bool {
    let mut left = SEARCH_MAX;
    let Ok(texts) = spellings(path, &mut left) else {
        return true;
    };
    if texts.iter().any(|text| has_dots(text)) {
        return true;
    }
    let is_extended = path.strip_suffix(original);
    if is_extended.is_some_and(|before| !path::is_ambiguous(before)) {
        return false;
    }
    let segments: Vec<&str> = path.split('/').collect();
    let is_plain = |segment: &&&str| !segment.is_empty() && !path::is_ambiguous(segment);
    let before = 1 + segments[1..].iter().take_while(is_plain).count();
    let after = segments[before..].iter().rev().take_while(is_plain).count();
    texts.iter().any(|text| {
        let read: Vec<&str> = text.split('/').collect();
        let shape = read.len() >= before + after
            && read[..before] == segments[..before]
            && read[read.len() - after..] == segments[segments.len() - after..];
        let is_filled = || {
            let between = &read[before..read.len() - after];
            let own = &segments[before..segments.len() - after];
            let mut rest = between.iter();
            let has_plain = own
                .iter()
                .filter(is_plain)
                .all(|one| rest.any(|it| it == one));
            !between.is_empty() && !between.contains(&"") && has_plain
        };
        !shape || !is_filled() || strict && read.len() != segments.len()
    })
}

/// Other interpretations of a normalised path by upstreams, without duplicates. Their number and
/// their length are limited (`spellings`).
///
/// # Errors
/// [`Ambiguity::Outside`] if an interpretation leads above the root; [`Ambiguity::TooMany`] if the
/// limits are exceeded.
pub fn readings(path: &str) -> Result<Vec<String>, Ambiguity> {
    let mut left = SEARCH_MAX;
    readings_within(path, &mut left)
}

/// Like [`readings`]. Subtracts the steps of the search from `left`.
fn readings_within(path: &str, left: &mut usize) -> Result<Vec<String>, Ambiguity> {
    let mut texts = spellings(path, left)?;
    // Drop paths with dot segments. The list also contains these paths with resolved dot segments.
    texts.retain(|text| text != path && !has_dots(text));
    texts.sort_unstable();
    Ok(texts)
}

/// Paths that upstreams may read instead of a path with escapes that are not UTF-8. These paths
/// match the route's path template with different parameter values. Empty for other paths: the
/// value of a described parameter may contain any character, also `;` or `%`.
#[must_use]
pub fn of_route(head: &RequestHead, route: &RouteRef<'_>) -> Vec<String> {
    if !head.is_ambiguous {
        return Vec::new();
    }
    let matches = |other: &String| {
        let below = other.strip_prefix(&*route.mount.base_path);
        below.is_some_and(|below| route.operation.template.matches(below))
    };
    let steps = [overlong::shortened, invalid_utf8::dropped].into_iter();
    let others = steps.filter_map(|step| step(head.path()));
    others.filter(matches).collect()
}

fn has_dots(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// True if servers may read a part of this path as the query. Fastify 4 and restify read the part
/// behind `;`. Servers behind a proxy that decodes paths read the part behind `%3F` or `%23`. These
/// marks have no effect if the path of the operation contains the same mark, for example in a
/// parameter of the style `matrix`. The upstream then reads such paths as a whole.
fn may_have_query(path: &str, route: &RouteRef<'_>) -> bool {
    const MARKS: [&[&str]; 3] = [&[";", "%3B"], &["%3F"], &["%23"]];
    let has = |text: &str, marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
    let is_described = |marks: &[&str]| {
        let segments = route.operation.template.segments().iter();
        let mut literals = segments.flat_map(router::literals_of);
        has(&route.mount.base_path, marks) || literals.any(|literal| has(literal, marks))
    };
    let mut marks = MARKS.iter();
    marks.any(|marks| has(path, marks) && !is_described(marks))
}

#[cfg(test)]
mod tests;
