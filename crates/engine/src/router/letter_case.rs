//! Finds the paths that operations of the host describe and that differ from a request's path only
//! in letter case.
//!
//! Some servers compare paths case-insensitively (Express and ASP.NET Core by default, IIS): they
//! treat `/Admin` as `/admin`. If `/Admin` matches a template such as `/{page}`, such a server
//! would serve the path of another operation, possibly of another API. The router itself compares
//! literals exactly (RFC 3986 §6.2.2.1).

use std::borrow::Cow;
use std::ops::Range;

use bundle::ir::{Pattern, Segment, Template};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::folding::{decoded, folded};

/// Maximum number of other paths (paths that differ from the request's path only in letter case)
/// for one request. If there are more, the search fails.
pub(super) const OTHERS_MAX: usize = 64;

/// Maximum length of a text whose lower case needs no allocation, in bytes.
const SHORT: usize = 64;

/// Literals and patterns of an API's templates, from which paths are built that differ from a
/// request's path only in letter case.
#[derive(Debug, Default)]
pub(super) struct LetterCases {
    /// Literals by their lower case.
    literals: FxHashMap<Box<str>, Vec<Box<str>>>,
    /// Patterns whose literals have several spellings, without duplicates.
    patterns: Vec<SpelledPattern>,
    has_upper_or_escape: bool,
    has_final_slash: bool,
    has_root: bool,
}

/// Pattern of a template, and the same pattern with folded literals ([`folded`]).
#[derive(Debug)]
struct SpelledPattern {
    own: Pattern,
    folded: Pattern,
}

/// Number of steps that are charged for building a path, for each 64 bytes. Building allocates,
/// which costs much more than a step of a look-up.
const BUILT_STEPS: usize = 8;

/// Paths that differ from a given path only in letter case. The work of the search is limited.
#[derive(Debug)]
pub(super) struct Others<'l> {
    /// Paths, each with true if its base path differs from the request's base path.
    paths: Vec<(String, bool)>,
    /// Number of steps that the search may still take.
    left: &'l mut usize,
}

/// Error: there are more than [`OTHERS_MAX`] other paths, or the search takes too many steps.
#[derive(Debug)]
pub(super) struct TooMany;

// === impl LetterCases ===

impl LetterCases {
    /// Collects the literals and patterns of templates.
    pub(super) fn of<'t>(templates: impl Iterator<Item = &'t Template>) -> Self {
        let mut cases = Self::default();
        let mut known = FxHashSet::default();
        let (mut ends_in_slash, mut has_root) = (false, false);
        let templates = templates.inspect(|template| {
            let last = template.segments().last();
            let is_empty = matches!(last, Some(Segment::Literal(text)) if text.is_empty());
            match template.segments().len() {
                1 => has_root |= is_empty,
                _ => ends_in_slash |= is_empty,
            }
        });
        for segment in templates.flat_map(Template::segments) {
            match segment {
                Segment::Literal(text) | Segment::Folded(text) => cases.add(text),
                Segment::Pattern(pattern) => {
                    let is_spelled = literals(pattern).any(has_spellings);
                    if is_spelled && known.insert((pattern.erased(), pattern.folded)) {
                        cases.has_upper_or_escape |= literals(pattern).any(has_upper_or_escape);
                        cases.patterns.push(SpelledPattern::new(pattern));
                    }
                }
                Segment::Parameter(_) => {}
            }
        }
        cases.has_final_slash = ends_in_slash;
        cases.has_root = has_root;
        cases
    }

    fn add(&mut self, literal: &str) {
        self.has_upper_or_escape |= has_upper_or_escape(literal);
        if !has_letter(literal) {
            return;
        }
        let spellings = self
            .literals
            .entry(literal.to_ascii_lowercase().into())
            .or_default();
        if !spellings.iter().any(|known| **known == *literal) {
            spellings.push(literal.into());
        }
    }

    /// True if a template describes a path that ends in a slash, below this base path. The template
    /// `/` describes such a path below a non-empty base path.
    pub(super) fn has_final_slash(&self, base_path: &str) -> bool {
        self.has_final_slash || self.has_root && !base_path.is_empty()
    }

    /// True if a literal or a pattern has an upper-case letter or an escape.
    pub(super) fn has_upper_or_escape(&self) -> bool {
        self.has_upper_or_escape
    }

    /// Adds to `others` the paths that equal `below` for a server that ignores letter case. Each
    /// segment is replaced by the literals and patterns that differ from the segment only in letter
    /// case. `below` is the path after the base path (empty or `/…`). `base` is the base path;
    /// `is_moved` is true if the request spells the base path differently. `is_other` is true if
    /// `below` is not spelled as in the request. The request's own path is not added.
    pub(super) fn others(
        &self,
        (base, is_moved): (&str, bool),
        (below, is_other): (&str, bool),
        others: &mut Others<'_>,
    ) -> Result<(), TooMany> {
        let is_other = is_other || is_moved;
        let mut segments = below.split('/').skip(1);
        if !is_other && !segments.any(|segment| self.has_other(segment)) {
            return Ok(());
        }
        let mut paths = vec![base.to_owned()];
        for segment in below.split('/').skip(1) {
            let options = self.spellings(segment);
            if paths.len() * options.len() > OTHERS_MAX {
                return Err(TooMany);
            }
            others.spend(paths.len() * options.len(), below)?;
            let begun = std::mem::take(&mut paths);
            for before in begun {
                paths.extend(options.iter().map(|option| format!("{before}/{option}")));
            }
        }
        paths.retain(|path| is_other || &path[base.len()..] != below);
        let paths = paths.into_iter().map(|path| (path, is_moved));
        others.paths.extend(paths);
        Ok(())
    }

    /// Spellings of a segment: the segment itself, which a parameter may match, and the spellings
    /// of the segment in templates.
    fn spellings(&self, segment: &str) -> Vec<String> {
        let literals = self.literals.get(&*segment.to_ascii_lowercase());
        let literals = literals.into_iter().flatten().map(ToString::to_string);
        let mut all = vec![segment.to_owned()];
        all.extend(literals.filter(|literal| *literal != *segment));
        for read in readings(segment) {
            for pattern in &self.patterns {
                if let Some(text) = pattern.spelled(&read)
                    && !all.contains(&text)
                {
                    all.push(text);
                }
            }
        }
        all
    }

    /// True if a literal or a pattern differs from a segment only in letter case or escapes. Does
    /// not allocate unless the segment is long or has escapes.
    fn has_other(&self, segment: &str) -> bool {
        let spelled = |lower: &str| {
            let spellings = self.literals.get(lower);
            spellings.is_some_and(|all| all.iter().any(|one| **one != *segment))
        };
        let matches = |read: Cow<'_, str>| {
            let mut patterns = self.patterns.iter();
            patterns.any(|pattern| pattern.is_other(&read, segment))
        };
        with_lower(segment, spelled) || !self.patterns.is_empty() && readings(segment).any(matches)
    }
}

// === impl SpelledPattern ===

impl SpelledPattern {
    fn new(pattern: &Pattern) -> Self {
        let rest = pattern.rest.iter();
        let folded = Pattern {
            head: folded(&pattern.head),
            rest: rest
                .map(|(name, literal)| (name.clone(), folded(literal)))
                .collect(),
            folded: true,
        };
        Self {
            own: pattern.clone(),
            folded,
        }
    }

    /// Segment with the spelling of the pattern's literals. `None` if the decoded segment `read`
    /// does not match the pattern in any letter case.
    fn spelled(&self, read: &str) -> Option<String> {
        let mut text = String::with_capacity(read.len());
        let mut end = 0;
        let mut own = literals(&self.own);
        let matches = places(&self.folded, read, &mut |range, _| {
            text.push_str(&read[end..range.start]);
            text.push_str(own.next().unwrap_or_default());
            end = range.end;
        });
        matches.then_some(text)
    }

    /// True if the segment, which is `read` after decoding, matches the pattern in another
    /// spelling.
    fn is_other(&self, read: &str, segment: &str) -> bool {
        if *read != *segment {
            return self.spelled(read).is_some_and(|text| text != *segment);
        }
        let mut differs = false;
        let mut own = literals(&self.own);
        let matches = places(&self.folded, read, &mut |range, _| {
            differs |= own.next() != Some(&read[range]);
        });
        matches && differs
    }
}

// === impl Others ===

impl<'l> Others<'l> {
    /// Creates a search that has found no paths yet. The search may take `left` steps, and
    /// subtracts its steps from `left`.
    pub(super) fn new(left: &'l mut usize) -> Self {
        let paths = Vec::new();
        Self { paths, left }
    }

    /// Counts the steps for building `count` paths that are about as long as `path`.
    pub(super) fn spend(&mut self, count: usize, path: &str) -> Result<(), TooMany> {
        let steps = count * BUILT_STEPS * (1 + path.len() / 64);
        let left = self.left.checked_sub(steps);
        *self.left = left.ok_or(TooMany)?;
        Ok(())
    }

    /// Paths that were found, without duplicates, each with true if its base path differs from the
    /// request's base path.
    pub(super) fn into_paths(self) -> Vec<(String, bool)> {
        let mut known = FxHashMap::default();
        for (path, is_moved) in self.paths {
            *known.entry(path).or_default() |= is_moved;
        }
        let mut paths = Vec::from_iter(known);
        paths.sort_unstable();
        paths
    }
}

/// Calls `f` with the lower case of a text. Only long texts allocate.
pub(super) fn with_lower<R>(text: &str, f: impl FnOnce(&str) -> R) -> R {
    let mut short = [0; SHORT];
    let lower = short.get_mut(..text.len()).and_then(|lower| {
        lower.copy_from_slice(text.as_bytes());
        lower.make_ascii_lowercase();
        std::str::from_utf8(lower).ok()
    });
    match lower {
        Some(lower) => f(lower),
        None => f(&text.to_ascii_lowercase()),
    }
}

/// Forms of a segment that are compared with patterns. First the decoded segment, which keeps the
/// letter case of parameters, then the folded segment if it has letters beyond ASCII.
fn readings(segment: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let decoded = decoded(segment);
    let folded = (!decoded.is_ascii()).then(|| Cow::Owned(folded(segment)));
    std::iter::once(decoded).chain(folded)
}

/// True if a text has an upper-case ASCII letter or an escape.
pub(crate) fn has_upper_or_escape(text: &str) -> bool {
    text.bytes()
        .any(|byte| byte.is_ascii_uppercase() || byte == b'%')
}

/// True if requests may spell a literal of a pattern differently, because the literal has letters
/// or characters that requests may escape.
fn has_spellings(literal: &str) -> bool {
    let is_fixed = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !literal.bytes().all(is_fixed)
}

fn has_letter(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Literals of a segment from left to right. Empty for a parameter.
pub(crate) fn literals_of(segment: &Segment) -> impl Iterator<Item = &str> {
    let (literal, pattern) = match segment {
        Segment::Literal(literal) | Segment::Folded(literal) => (Some(literal.as_str()), None),
        Segment::Parameter(_) => (None, None),
        Segment::Pattern(pattern) => (None, Some(pattern)),
    };
    let parts = pattern.into_iter().flat_map(literals);
    literal.into_iter().chain(parts)
}

/// Literals of a pattern from left to right.
fn literals(pattern: &Pattern) -> impl Iterator<Item = &str> {
    let rest = pattern.rest.iter().map(|(_, literal)| literal.as_str());
    std::iter::once(pattern.head.as_str()).chain(rest)
}

/// Matches a segment with a pattern, ignoring letter case. Calls `each` with the byte range of each
/// literal in the segment. Ignore the calls if the result is false. As in [`Pattern::matches`],
/// each parameter takes the shortest possible text of at least one character.
fn places(pattern: &Pattern, segment: &str, each: &mut dyn FnMut(Range<usize>, &str)) -> bool {
    let is_at = |at: usize, literal: &str| {
        let text = segment.get(at..at + literal.len());
        text.is_some_and(|text| text.eq_ignore_ascii_case(literal))
    };
    let head = pattern.head.as_str();
    if !is_at(0, head) {
        return false;
    }
    each(0..head.len(), head);
    let mut at = head.len();
    let Some(((_, tail), middle)) = pattern.rest.split_last() else {
        return at == segment.len();
    };
    for (_, literal) in middle {
        let mut starts = segment[at..].char_indices().skip(1);
        let found = starts.find(|(start, _)| is_at(at + start, literal));
        let Some((start, _)) = found else {
            return false;
        };
        each(at + start..at + start + literal.len(), literal);
        at += start + literal.len();
    }
    let from = segment.len().checked_sub(tail.len());
    let Some(from) = from.filter(|from| *from > at && is_at(*from, tail)) else {
        return false;
    };
    each(from..segment.len(), tail);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(templates: &[&str]) -> LetterCases {
        let templates: Vec<Template> = templates
            .iter()
            .map(|text| Template::parse(text).expect("a template"))
            .collect();
        LetterCases::of(templates.iter())
    }

    fn others(cases: &LetterCases, path: &str) -> Option<Vec<String>> {
        let mut left = 10_000;
        let mut others = Others::new(&mut left);
        cases.others(("", false), (path, false), &mut others).ok()?;
        Some(
            others
                .into_paths()
                .into_iter()
                .map(|(path, _)| path)
                .collect(),
        )
    }

    #[test]
    fn segments_are_replaced_by_literals() {
        let cases = cases(&[
            "/{page}",
            "/admin",
            "/Users/me",
            "/users/{id}",
            "/a/{x}-Of-{y}:End",
        ]);
        for (path, expected) in [
            ("/admin", &[][..]),
            ("/Admin", &["/admin"]),
            ("/ADMIN/x", &["/admin/x"]),
            (
                "/USERS/ME",
                &[
                    "/USERS/me",
                    "/Users/ME",
                    "/Users/me",
                    "/users/ME",
                    "/users/me",
                ],
            ),
            ("/cus_NffrFeUfNV2Hib/Other", &[]),
            // Two templates spell `users` differently.
            ("/users/Me", &["/Users/Me", "/Users/me", "/users/me"]),
            ("/users/me", &["/Users/me"]),
            ("/Other", &[]),
            ("/", &[]),
            ("", &[]),
            ("/a/Q-of-R:end", &["/a/Q-Of-R:End"]),
            ("/a/Q-Of-R:End", &[]),
            ("/a/-of-R:end", &[]),
            ("/a/Q-of-:end", &[]),
        ] {
            assert_eq!(others(&cases, path).expect("few"), expected, "{path}");
        }
    }

    #[test]
    fn another_spelling_of_the_base_path_is_another_path() {
        let cases = cases(&["/admin", "/{x}"]);
        for (below, expected) in [
            ("/Admin", &["/b/Admin", "/b/admin"][..]),
            ("/x", &["/b/x"]),
            ("", &["/b"]),
        ] {
            let mut left = 10_000;
            let mut others = Others::new(&mut left);
            cases
                .others(("/b", true), (below, false), &mut others)
                .expect("few");
            let expected = expected.iter().map(|path| ((*path).to_owned(), true));
            assert_eq!(others.into_paths(), Vec::from_iter(expected), "{below}");
        }
    }

    #[test]
    fn paths_of_many_spellings_are_bounded() {
        let templates: Vec<String> = (0..10)
            .flat_map(|at| [format!("/a{at}"), format!("/A{at}"), "/{x}".into()])
            .collect();
        let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
        let path = |count: usize| -> String { (0..count).map(|at| format!("/a{at}")).collect() };
        let cases = cases(&templates);
        assert_eq!(others(&cases, &path(6)).map(|all| all.len()), Some(63));
        assert_eq!(others(&cases, &path(7)), None);
        // 63 paths of 14 KB take too many steps.
        let long = format!("{}/{}", path(6), "y".repeat(14_000));
        assert_eq!(others(&cases, &long), None);
    }
}
