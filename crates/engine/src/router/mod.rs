//! Request routing by one total order of routes (semantics.md §1).
//!
//! The router selects the listener, the host, and the mounts whose base path is a prefix of the
//! path. Then it searches the trie of each mounted API. The trie of an API depends only on its
//! blob, so snapshots can share it. If several mounts have a candidate, the total order decides.

mod builder;
mod contender;
mod host;
mod letter_case;
mod nodes;
mod order;
mod rest;
mod trie;
mod unicode_case;

pub use contender::{Contender, RejectReason, contenders, selected_by_group};
pub use host::{HostPattern, HostTable, MountEntry};
pub(crate) use letter_case::{has_upper_or_escape, literals_of};
pub use order::{
    Step, compare_conditions, compare_letter_case, compare_segments, compare_templates,
};
pub use trie::{ApiRouter, Brief, Candidate, Seen};

use http::Method;

use policy::RequestHead;

/// Result of a look-up in the routing table.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// An operation matches the request.
    Operation {
        /// The mount, as an index into the snapshot's mounts.
        mount: u32,
        /// The operation, as an index into the API's operations.
        operation: u32,
        /// True if the path differs from the template only by the final slash.
        twin: bool,
        /// True if the operation has conditions.
        conditional: bool,
    },
    /// No mount serves the host, no template matches the path, or an `internal` operation takes
    /// precedence over all operations that match the request.
    Nothing,
    /// A template and its method match, but the conditions fail.
    NoConditionMatched,
    /// Templates match, but with other methods. Contains these methods, sorted.
    MethodNotAllowed(Vec<Method>),
}

/// Finds the operation for a request.
#[must_use]
pub fn find(hosts: &HostTable, head: &RequestHead) -> Found {
    find_path(hosts, head.path(), head)
}

/// Like [`find`], but with another path for the request.
#[must_use]
pub fn find_path(hosts: &HostTable, path: &str, head: &RequestHead) -> Found {
    let Some(table) = hosts.mounts(&head.host) else {
        return Found::Nothing;
    };
    let mut best: Option<MountedCandidate<'_>> = None;
    let mut internal: Option<MountedCandidate<'_>> = None;
    // Use `for_each`: with `next` of two nested iterators, a request takes 150 more instructions.
    table.below(path).for_each(|(entry, below)| {
        if let Some(hidden) = entry.router.hidden() {
            keep_best(&mut internal, entry, hidden.find(below, head));
        }
        keep_best(&mut best, entry, entry.router.find(below, head));
    });
    match best {
        Some(served) if internal.is_some_and(|one| precedes(&one, &served)) => Found::Nothing,
        Some((entry, candidate)) => Found::Operation {
            mount: entry.mount,
            operation: candidate.index,
            twin: candidate.twin,
            conditional: candidate.conditional,
        },
        None => rest::of(table, path, head),
    }
}

/// Candidate of a mount.
type MountedCandidate<'t> = (&'t MountEntry, Candidate<'t>);

/// Replaces `best` by a candidate of higher precedence.
fn keep_best<'t>(
    best: &mut Option<MountedCandidate<'t>>,
    entry: &'t MountEntry,
    candidate: Option<Candidate<'t>>,
) {
    let Some(candidate) = candidate else { return };
    let placed = (entry, candidate);
    if best.as_ref().is_none_or(|other| precedes(&placed, other)) {
        *best = Some(placed);
    }
}

/// True if the first candidate takes precedence over the second candidate.
fn precedes(
    (entry, candidate): &MountedCandidate<'_>,
    (other, other_candidate): &MountedCandidate<'_>,
) -> bool {
    let ours = (&entry.base_segments[..], candidate);
    let theirs = (&other.base_segments[..], other_candidate);
    order::compare_owners(ours, theirs).is_gt()
}

/// Methods of the operations that describe the request's path, sorted.
#[must_use]
pub fn methods(hosts: &HostTable, head: &RequestHead) -> Vec<Method> {
    let table = hosts.mounts(&head.host);
    table.map_or_else(Vec::new, |table| rest::methods(table, head.path()))
}

/// Paths that operations of the host describe and that differ from `path` only in letter case.
/// `None` if there are too many such paths, or if the search takes more than `left` steps. The
/// search subtracts its steps from `left`.
#[must_use]
pub fn other_letter_cases(
    hosts: &HostTable,
    path: &str,
    head: &RequestHead,
    left: &mut usize,
) -> Option<Vec<String>> {
    let table = hosts.mounts(&head.host);
    table.map_or(Some(Vec::new()), |table| {
        table.other_letter_cases(path, left).ok()
    })
}

/// True if the template of an operation of the host matches a path and ends in a slash. The
/// operation may have any method and conditions, and may be `internal`.
#[must_use]
pub fn ends_in_slash(hosts: &HostTable, path: &str, head: &RequestHead) -> bool {
    let table = hosts.mounts(&head.host);
    table.is_some_and(|table| table.ends_in_slash(path))
}

/// Upper bound of the steps of a look-up of a path.
#[must_use]
pub fn lookup_steps(hosts: &HostTable, path: &str, head: &RequestHead) -> usize {
    let table = hosts.mounts(&head.host);
    table.map_or(1, |table| table.lookup_steps(path))
}

/// True if an `internal` operation matches the path and the method of the request.
#[must_use]
pub fn is_withheld(hosts: &HostTable, path: &str, head: &RequestHead) -> bool {
    let table = hosts.mounts(&head.host);
    table.is_some_and(|table| rest::is_withheld(table, path, head))
}
