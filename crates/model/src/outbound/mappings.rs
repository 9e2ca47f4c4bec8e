//! Operations of one version by the client requests that they receive. The router selects one
//! operation for each request. No other operation whose path also matches receives that request.

use bundle::ir;

use super::path::{self, Path};
use super::path_index::PathIndex;

/// Client requests that an operation of one mount receives.
#[derive(Clone, Debug)]
pub(super) struct Mapping<'a> {
    pub(super) mount: &'a ir::Mount,
    pub(super) method: &'a str,
    /// Path with the mount's base path, in which marks replace parameters.
    pub(super) path: String,
    /// Segments of `path`.
    pub(super) pattern: Path,
    /// True if the operation has conditions (`match`), so that it can refuse requests at its path.
    pub(super) is_conditional: bool,
    /// Priority of the operation. The router prefers a greater one.
    pub(super) priority: i32,
}

impl<'a> Mapping<'a> {
    /// Creates the mapping of an operation. `path`: path with the mount's base path and marks.
    /// `is_conditional`: true if the operation has conditions.
    pub(super) fn new(
        mount: &'a ir::Mount,
        (method, path): (&'a str, String),
        (is_conditional, priority): (bool, i32),
    ) -> Self {
        Self {
            mount,
            method,
            pattern: path::raw(&path),
            path,
            is_conditional,
            priority,
        }
    }
}

/// Mappings of all operations of one version, also of its internal operations.
#[derive(Debug)]
pub(super) struct Mappings<'a> {
    all: Vec<Mapping<'a>>,
    /// Indices into `all`, by path.
    by_path: PathIndex<usize>,
}

impl<'a> Mappings<'a> {
    pub(super) fn of(all: Vec<Mapping<'a>>) -> Self {
        let mut by_path = PathIndex::new();
        for (at, mapping) in all.iter().enumerate() {
            by_path.insert(&mapping.pattern, at);
        }
        Self { all, by_path }
    }

    pub(super) fn get(&self, at: usize) -> &Mapping<'a> {
        &self.all[at]
    }

    /// Indices of the mappings with the path and method of another version's mapping.
    pub(super) fn like(&self, mapping: &Mapping<'_>) -> impl Iterator<Item = usize> {
        let found = self.by_path.at(&mapping.pattern).iter().copied();
        found.filter(|at| self.all[*at].method == mapping.method)
    }

    /// Indices of the mappings whose paths contain the path of another version's mapping, but are
    /// not the same path.
    pub(super) fn wider(&self, mapping: &Mapping<'_>) -> Vec<usize> {
        let found = self.by_path.containing(&mapping.pattern).into_iter();
        let found = found.copied();
        found
            .filter(|at| self.all[*at].path != mapping.path)
            .collect()
    }

    /// True if other operations receive all client requests to `path` with `method` that match the
    /// mapping at index `at`. The router then selects the operation of that mapping for none of
    /// them. `listener`: only the requests of this listener. `None`: of all listeners of the
    /// operation.
    ///
    /// An operation with conditions or a lower priority does not receive all of these requests.
    pub(super) fn is_separated(
        &self,
        at: usize,
        (path, method): (&str, &str),
        listener: Option<&str>,
    ) -> bool {
        let own = &self.all[at];
        // A GET operation also receives HEAD requests that no other operation receives.
        let is_method = |other: &str| other == method || (method, other) == ("HEAD", "GET");
        let others = self.by_path.containing(&path::raw(path));
        others.into_iter().any(|other| {
            let one = &self.all[*other];
            let is_at = |name: &str| one.mount.listeners.iter().any(|its| its == name);
            is_method(one.method)
                && is_preferred(one, own)
                && covers_hosts(own.mount, one.mount)
                && match listener {
                    Some(listener) => is_at(listener),
                    None => own.mount.listeners.iter().all(|name| is_at(name)),
                }
        })
    }

    /// Mappings of the version `old` without an equal mapping in this version, so that another
    /// operation of this version can receive their requests. Leaves out mappings that do not
    /// receive all requests to their path.
    pub(super) fn removed<'o, 'b>(&self, old: &'o Mappings<'b>) -> Vec<&'o Mapping<'b>> {
        let is_equal = |one: &Mapping<'_>, was: &Mapping<'_>| {
            let is_at = |name: &String| one.mount.listeners.contains(name);
            !one.is_conditional
                && one.priority >= was.priority
                && covers_hosts(was.mount, one.mount)
                && was.mount.listeners.iter().all(is_at)
        };
        let is_removed = |was: &&Mapping<'_>| {
            let mut like = self.like(was);
            !was.is_conditional && !like.any(|at| is_equal(&self.all[at], was))
        };
        old.all.iter().filter(is_removed).collect()
    }
}

/// True if the router selects the operation of the mapping `one` for requests that match both
/// mappings.
fn is_preferred(one: &Mapping<'_>, own: &Mapping<'_>) -> bool {
    !one.is_conditional
        && one.priority >= own.priority
        && one.path != own.path
        && own.pattern.contains(&one.pattern)
}

/// True if the mount `other` has all hosts of `mount`.
pub(super) fn covers_hosts(mount: &ir::Mount, other: &ir::Mount) -> bool {
    match mount.hosts.is_empty() {
        true => other.hosts.is_empty(),
        false => mount.hosts.iter().all(|host| other.hosts.contains(host)),
    }
}
