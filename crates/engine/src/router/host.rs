//! Host and mount selection, before any template is compared.

use std::sync::Arc;

use bundle::ir::{Segment, Template};
use rustc_hash::FxHashMap;

use super::letter_case::{self, OTHERS_MAX, Others, TooMany};
use super::trie::ApiRouter;
use crate::folding;

/// Hosts of one listener. Only the most specific matching host is used.
///
/// The hash needs no secret: the keys come from the bundle, so clients cannot cause collisions.
#[derive(Debug, Default)]
pub struct HostTable {
    exact: FxHashMap<Box<str>, MountTable>,
    /// Mounts of wildcards. `*.example.org` has the key `example.org`; the star matches one label.
    wildcard: FxHashMap<Box<str>, MountTable>,
    any: Option<MountTable>,
}

/// Host pattern that a request's host matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// The exact host.
    Exact(String),
    /// `*.example.org`: one label below the parent domain.
    Wildcard(String),
    /// Any host: mounts without hosts.
    Any,
}

/// The mounts of one host.
#[derive(Debug, Default)]
pub struct MountTable {
    /// Depths of the base paths, in ascending order. The depth is the number of segments.
    depths: Vec<usize>,
    bases: FxHashMap<Box<str>, Vec<MountEntry>>,
    /// Base paths by their lower-case form.
    folded: FxHashMap<Box<str>, Vec<Box<str>>>,
    /// True if a base path or a template has an upper-case letter or an escape.
    has_upper_or_escape: bool,
    /// True if a template ends in a slash.
    has_final_slash: bool,
}

/// One API at one base path.
#[derive(Debug)]
pub struct MountEntry {
    /// Index of the mount in the snapshot.
    pub mount: u32,
    /// Segments of the base path.
    pub base_segments: Box<[Segment]>,
    /// Routing table of the API.
    pub router: Arc<ApiRouter>,
}

impl HostTable {
    /// Adds an API at a host pattern and a base path (empty or `/…`). `None` is any host.
    pub fn add(
        &mut self,
        host: Option<&str>,
        base_path: &str,
        mount: u32,
        router: &Arc<ApiRouter>,
    ) {
        let table = match host {
            None => self.any.get_or_insert_with(MountTable::default),
            Some(host) => match host.strip_prefix("*.") {
                Some(parent) => self.wildcard.entry(parent.into()).or_default(),
                None => self.exact.entry(host.into()).or_default(),
            },
        };
        let segments: Box<[Segment]> = base_path
            .split('/')
            .skip(1)
            .map(|text| Segment::Literal(text.to_owned()))
            .collect();
        if let Err(at) = table.depths.binary_search(&segments.len()) {
            table.depths.insert(at, segments.len());
        }
        let entry = MountEntry {
            mount,
            base_segments: segments,
            router: Arc::clone(router),
        };
        table.has_upper_or_escape |= letter_case::has_upper_or_escape(base_path)
            || router.letter_cases().has_upper_or_escape();
        table.has_final_slash |= router.letter_cases().has_final_slash(base_path);
        let spellings = table.folded.entry(folding::folded(base_path).into());
        let spellings = spellings.or_default();
        if !spellings.iter().any(|known| **known == *base_path) {
            spellings.push(base_path.into());
        }
        table.bases.entry(base_path.into()).or_default().push(entry);
    }

    /// Tables of all host patterns.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &MountTable> {
        let named = self.exact.values().chain(self.wildcard.values());
        named.chain(&self.any)
    }

    /// Mounts for a request's host: those of the exact host, otherwise those of a wildcard,
    /// otherwise mounts without hosts.
    #[must_use]
    pub fn mounts(&self, host: &str) -> Option<&MountTable> {
        if !self.exact.is_empty()
            && let Some(table) = self.exact.get(host)
        {
            return Some(table);
        }
        if !self.wildcard.is_empty()
            && let Some((label, parent)) = host.split_once('.')
            && !label.is_empty()
            && let Some(table) = self.wildcard.get(parent)
        {
            return Some(table);
        }
        self.any.as_ref()
    }

    /// Host pattern that [`Self::mounts`] selects. `None` if no mount serves the host.
    #[must_use]
    pub fn pattern(&self, host: &str) -> Option<HostPattern> {
        if self.exact.contains_key(host) {
            return Some(HostPattern::Exact(host.to_owned()));
        }
        let parent = host.split_once('.').filter(|(label, _)| !label.is_empty());
        match parent {
            Some((_, parent)) if self.wildcard.contains_key(parent) => {
                Some(HostPattern::Wildcard(format!("*.{parent}")))
            }
            _ => self.any.as_ref().map(|_| HostPattern::Any),
        }
    }
}

impl MountTable {
    /// True if a base path or a template has an upper-case letter or an escape.
    pub(crate) fn has_upper_or_escape(&self) -> bool {
        self.has_upper_or_escape
    }

    /// True if a template ends in a slash.
    pub(crate) fn has_final_slash(&self) -> bool {
        self.has_final_slash
    }

    /// Indices of the mounts in the snapshot.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> {
        self.bases.values().flatten().map(|entry| entry.mount)
    }

    /// Paths that operations of the host describe and that differ from `path` only in letter case.
    /// Also paths whose base path differs from the base path of `path` in letter case. Allocates
    /// only if there are such paths, or if a part of `path` is long.
    ///
    /// # Errors
    /// Returns an error if there are too many such paths, or if the search takes more than `left`
    /// steps. The search subtracts its steps from `left`.
    pub(super) fn other_letter_cases(
        &self,
        path: &str,
        left: &mut usize,
    ) -> Result<Vec<String>, TooMany> {
        let mut others = Others::new(left);
        for depth in &self.depths {
            let Some((base, below)) = split_after(path, *depth) else {
                continue;
            };
            let spellings = folding::with_folded(base, |folded| self.folded.get(folded));
            for spelling in spellings.into_iter().flatten() {
                let base = (&**spelling, **spelling != *base);
                for entry in &self.bases[spelling] {
                    let cases = entry.router.letter_cases();
                    cases.others(base, (below, false), &mut others)?;
                    let unicode = entry.router.unicode_cases();
                    for below in unicode.others(below, &mut others)? {
                        cases.others(base, (&below, true), &mut others)?;
                    }
                }
            }
        }
        let mut found = Vec::new();
        for (other, is_moved) in others.into_paths() {
            *left = left.checked_sub(self.lookup_steps(&other)).ok_or(TooMany)?;
            if is_moved || self.is_spelled(&other, path) {
                found.push(other);
            }
        }
        match found.len() > OTHERS_MAX {
            true => Err(TooMany),
            false => Ok(found),
        }
    }

    /// True if the template of an operation matches `path`, and has a literal or a pattern at each
    /// segment in which `path` differs from `own`. The operation may have any method and
    /// conditions, and may be `internal`.
    fn is_spelled(&self, path: &str, own: &str) -> bool {
        let depth = |text: &str| memchr::memchr_iter(b'/', text.as_bytes()).count();
        self.matches_any(path, |template, below| {
            let own = own.split('/').skip(1 + depth(path) - depth(below));
            let mut segments = template.segments().iter();
            let mut pairs = below.split('/').skip(1).zip(own);
            pairs.all(|(text, own)| {
                let segment = segments.next();
                let is_value = matches!(segment, None | Some(Segment::Parameter(_)));
                text == own || !is_value
            })
        })
    }

    /// True if the template of an operation matches a path and ends in a slash. The operation may
    /// have any method and conditions, and may be `internal`.
    pub(super) fn ends_in_slash(&self, path: &str) -> bool {
        self.matches_any(path, |template, _| {
            let last = template.segments().last();
            matches!(last, Some(Segment::Literal(text)) if text.is_empty())
        })
    }

    /// True if an operation's template matches a path and passes the test. The test receives the
    /// part of the path below the base path.
    fn matches_any(&self, path: &str, passes: impl Fn(&Template, &str) -> bool) -> bool {
        let mut found = false;
        for (entry, below) in self.below(path) {
            let routers = [Some(&*entry.router), entry.router.hidden()];
            for router in routers.into_iter().flatten() {
                router.matching(below, &mut |seen| {
                    found |= passes(&seen.operation.template, below);
                });
            }
        }
        found
    }

    /// Upper bound of the steps of a look-up of a path. For each mount whose base path is a prefix
    /// of the path, ignoring letter case: one step per segment, and one per 64 bytes of the path.
    pub(super) fn lookup_steps(&self, path: &str) -> usize {
        let segments = memchr::memchr_iter(b'/', path.as_bytes()).count();
        (self.mounts_around(path) + 1) * (segments + path.len() / 64 + 1)
    }

    /// Number of mounts whose base path is a prefix of `path`, ignoring letter case.
    fn mounts_around(&self, path: &str) -> usize {
        let bases = self.depths.iter().filter_map(|depth| {
            let (base, _) = split_after(path, *depth)?;
            folding::with_folded(base, |folded| self.folded.get(folded))
        });
        let mounts = bases.flatten().filter_map(|base| self.bases.get(base));
        mounts.map(Vec::len).sum()
    }

    /// Mounts whose base path is a prefix of `path`, each with the rest of the path after the base
    /// path (empty or `/…`).
    pub fn below<'t, 'p>(
        &'t self,
        path: &'p str,
    ) -> impl Iterator<Item = (&'t MountEntry, &'p str)> + use<'t, 'p> {
        self.depths.iter().flat_map(move |depth| {
            let found = split_after(path, *depth)
                .and_then(|(base, below)| Some((self.bases.get(base)?, below)));
            found
                .into_iter()
                .flat_map(|(entries, below)| entries.iter().map(move |entry| (entry, below)))
        })
    }
}

/// Splits a path after its first `depth` segments. `None` if the path has fewer segments.
fn split_after(path: &str, depth: usize) -> Option<(&str, &str)> {
    if depth == 0 {
        return Some(path.split_at(0));
    }
    let mut slashes = memchr::memchr_iter(b'/', path.as_bytes()).skip(1);
    match slashes.nth(depth - 1) {
        Some(at) => Some(path.split_at(at)),
        None => (memchr::memchr_iter(b'/', path.as_bytes()).count() == depth)
            .then(|| path.split_at(path.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_end_at_a_slash() {
        assert_eq!(split_after("/a/b/c", 0), Some(("", "/a/b/c")));
        assert_eq!(split_after("/a/b/c", 2), Some(("/a/b", "/c")));
        assert_eq!(split_after("/a/b", 2), Some(("/a/b", "")));
        assert_eq!(split_after("/a/b/", 2), Some(("/a/b", "/")));
        assert_eq!(split_after("/a", 2), None);
    }
}
