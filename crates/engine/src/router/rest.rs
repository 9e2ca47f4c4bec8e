//! Results for requests that no operation describes (semantics.md §1): 404, 405, or the operations
//! `API#undeclared` and `API#unmatched`.
//!
//! If templates match the path but not the method, the API whose template takes precedence decides
//! (order of [`order::compare_paths`]). If no template matches, the mount with the longest base
//! path decides. `API#undeclared` and `API#unmatched` serve no request that fails only the
//! conditions of a described operation, and no request of an `internal` operation.

use std::cmp::Ordering;

use http::Method;
use policy::RequestHead;

use super::host::{MountEntry, MountTable};
use super::trie::{Candidate, Seen};
use super::{Found, order};

/// Templates of a host that match a path.
#[derive(Default)]
struct Described<'t> {
    /// Methods of the operations whose templates match the path.
    methods: Vec<Method>,
    /// Template of highest precedence that matches the path, with its mount and the API's operation
    /// `API#undeclared`.
    best: Option<(&'t MountEntry, Candidate<'t>, Option<u32>)>,
    /// True if the request belongs to an `internal` operation.
    hidden: bool,
}

/// Result for a request that no described operation matches.
#[cold]
pub(super) fn of(table: &MountTable, path: &str, head: &RequestHead) -> Found {
    let mut there = Described::default();
    for (entry, below) in table.below(path) {
        entry.router.matching(below, &mut |seen| {
            there.methods.push(seen.method.clone());
            there.see(entry, seen, entry.router.undeclared());
        });
        if let Some(hidden) = entry.router.hidden() {
            hidden.matching(below, &mut |seen| {
                there.hidden |= takes_in_any_case(seen.method, &head.method);
                there.see(entry, seen, None);
            });
        }
    }
    let Described {
        methods,
        best,
        hidden,
    } = there;
    let Some((entry, _, undeclared)) = best else {
        return unmatched(table, path);
    };
    if methods.iter().any(|method| takes(method, &head.method)) {
        return Found::NoConditionMatched;
    }
    // Compare methods case-insensitively, because some upstreams do. Otherwise `get` could avoid
    // the checks of `GET`.
    let is_declared = methods
        .iter()
        .any(|method| takes_in_any_case(method, &head.method));
    if let Some(operation) = undeclared.filter(|_| !hidden && !is_declared) {
        return to(entry, operation);
    }
    if methods.is_empty() {
        return Found::Nothing;
    }
    Found::MethodNotAllowed(listed(methods))
}

/// Methods of the operations whose templates match a path, sorted.
pub(super) fn methods(table: &MountTable, path: &str) -> Vec<Method> {
    let mut methods = Vec::new();
    for (entry, below) in table.below(path) {
        entry
            .router
            .matching(below, &mut |seen| methods.push(seen.method.clone()));
    }
    listed(methods)
}

/// Sorted methods for the field `Allow`. Adds HEAD if the methods contain GET.
fn listed(mut methods: Vec<Method>) -> Vec<Method> {
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    methods
}

/// True if an `internal` operation of an API matches the request.
pub(super) fn is_withheld(table: &MountTable, path: &str, head: &RequestHead) -> bool {
    let mut hidden = false;
    for (entry, below) in table.below(path) {
        if let Some(table) = entry.router.hidden() {
            table.matching(below, &mut |seen| {
                let conditions = &seen.operation.conditions;
                hidden |= takes(seen.method, &head.method)
                    && policy::conditions::may_hold(conditions, &head.headers, head.query());
            });
        }
    }
    hidden
}

/// Operation `API#unmatched` for a path, from the mount with the longest base path. If several
/// mounts have this base path, a mount with such an operation takes precedence.
fn unmatched(table: &MountTable, path: &str) -> Found {
    let mut nearest: Option<(&MountEntry, Option<u32>)> = None;
    for (entry, _) in table.below(path) {
        let own = entry.router.unmatched();
        let wins = nearest.is_none_or(|(other, serves)| {
            match entry.base_segments.len().cmp(&other.base_segments.len()) {
                Ordering::Greater => true,
                Ordering::Equal => serves.is_none(),
                Ordering::Less => false,
            }
        });
        if wins {
            nearest = Some((entry, own));
        }
    }
    match nearest {
        Some((entry, Some(operation))) => to(entry, operation),
        Some((_, None)) | None => Found::Nothing,
    }
}

fn to(entry: &MountEntry, operation: u32) -> Found {
    Found::Operation {
        mount: entry.mount,
        operation,
        twin: false,
        conditional: false,
    }
}

/// True if an operation with the method `own` serves the method `requested`. GET also serves HEAD.
fn takes(own: &Method, requested: &Method) -> bool {
    own == requested || *requested == Method::HEAD && *own == Method::GET
}

/// True if an operation's method serves the requested method, ignoring letter case.
fn takes_in_any_case(own: &Method, requested: &Method) -> bool {
    let requested = requested.as_str();
    requested.eq_ignore_ascii_case(own.as_str())
        || *own == Method::GET && requested.eq_ignore_ascii_case("HEAD")
}

impl<'t> Described<'t> {
    /// Records a matching template, and the operation of its API for undeclared methods.
    fn see(&mut self, entry: &'t MountEntry, seen: &Seen<'t>, undeclared: Option<u32>) {
        let candidate = Candidate {
            index: seen.index,
            operation: seen.operation,
            priority: 0,
            twin: seen.twin,
            explicit: true,
            conditional: false,
        };
        let wins = self
            .best
            .as_ref()
            .is_none_or(|(other, other_candidate, known)| {
                let ours = (&entry.base_segments[..], &candidate);
                let theirs = (&other.base_segments[..], other_candidate);
                match order::compare_paths(ours, theirs) {
                    Ordering::Greater => true,
                    // If two documents describe the same path, prefer the one with an operation for
                    // undeclared methods.
                    Ordering::Equal => known.is_none() && undeclared.is_some(),
                    Ordering::Less => false,
                }
            });
        if wins {
            self.best = Some((entry, candidate, undeclared));
        }
    }
}
