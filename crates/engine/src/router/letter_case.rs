//! Paths that differ from a request's path only in letter case and that templates of the API name.
//!
//! Some servers compare paths case-insensitively (Express and ASP.NET Core by default, IIS): to
//! them `/Admin` is `/admin`. A template such as `/{page}` matches `/Admin` as well, so such a
//! server would serve the path of another operation. The router itself compares literals exactly
//! (RFC 3986 §6.2.2.1).

use bundle::ir::{Segment, Template};
use rustc_hash::FxHashMap;

/// Maximum number of paths that [`LetterCases::others`] returns.
const OTHERS_MAX: usize = 64;

/// Maximum length of a segment that is compared without an allocation, in bytes.
const SHORT: usize = 64;

/// Literals of an API's templates, by their lower case.
///
/// Empty if every segment of all templates is a literal: then no template matches another letter
/// case.
#[derive(Debug, Default)]
pub(super) struct LetterCases {
    literals: FxHashMap<Box<str>, Vec<Box<str>>>,
    /// True if a literal or a pattern has an upper-case letter.
    has_upper: bool,
    /// True if a template has a pattern such as `report-{id}`.
    has_patterns: bool,
}

impl LetterCases {
    /// Collects the literals of templates. `is_catch_all` is true if the API also serves paths that
    /// no template matches.
    pub(super) fn of<'t>(
        templates: impl Iterator<Item = &'t Template> + Clone,
        is_catch_all: bool,
    ) -> Self {
        let is_literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
        let is_open = |template: &Template| {
            template.is_prefix() || !template.segments().iter().all(is_literal)
        };
        if !is_catch_all && !templates.clone().any(is_open) {
            return Self::default();
        }
        let mut cases = Self::default();
        for segment in templates.flat_map(Template::segments) {
            match segment {
                Segment::Literal(text) => cases.add(text),
                Segment::Pattern(_) => cases.has_patterns = true,
                Segment::Folded(_) | Segment::Parameter(_) => {}
            }
        }
        cases
    }

    fn add(&mut self, literal: &str) {
        if !literal.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return;
        }
        self.has_upper |= has_upper(literal);
        let spellings = self
            .literals
            .entry(literal.to_ascii_lowercase().into())
            .or_default();
        if !spellings.iter().any(|known| **known == *literal) {
            spellings.push(literal.into());
        }
    }

    /// Returns the paths that a server without letter case could read `below` as: each segment is
    /// replaced by the literals that differ from it only in letter case. Without `below` itself.
    /// `below` is the path after the base path (empty or `/…`). None if there are more than
    /// [`OTHERS_MAX`].
    pub(super) fn others(&self, below: &str) -> Option<Vec<String>> {
        let is_exact = self.literals.is_empty() && !self.has_patterns;
        let has_other = || {
            below
                .split('/')
                .skip(1)
                .any(|segment| self.has_other(segment))
        };
        if is_exact || !self.has_upper && !has_upper(below) || !has_other() {
            return Some(Vec::new());
        }
        let mut paths = vec![String::with_capacity(below.len())];
        for segment in below.split('/').skip(1) {
            let lower = segment.to_ascii_lowercase();
            let spellings = self.literals.get(&*lower).map_or(&[][..], Vec::as_slice);
            let is_other = self.has_patterns && spellings.is_empty();
            let kept = if is_other { &*lower } else { segment };
            let options = match spellings {
                [] => vec![kept],
                some => some.iter().map(|text| &**text).collect(),
            };
            if paths.len() * options.len() > OTHERS_MAX {
                return None;
            }
            let begun = std::mem::take(&mut paths);
            for before in begun {
                paths.extend(options.iter().map(|option| format!("{before}/{option}")));
            }
        }
        paths.retain(|path| path != below);
        Some(paths)
    }

    /// True if a literal differs from a segment only in letter case, or a pattern could. Requests
    /// with upper-case letters pay for it, so it needs no memory unless the segment is long.
    fn has_other(&self, segment: &str) -> bool {
        if self.has_patterns && has_upper(segment) {
            return true;
        }
        let mut short = [0; SHORT];
        let spellings = match short.get_mut(..segment.len()) {
            Some(lower) => {
                lower.copy_from_slice(segment.as_bytes());
                lower.make_ascii_lowercase();
                let lower = std::str::from_utf8(lower).unwrap_or(segment);
                self.literals.get(lower)
            }
            None => self.literals.get(&*segment.to_ascii_lowercase()),
        };
        spellings.is_some_and(|all| all.iter().any(|one| **one != *segment))
    }
}

fn has_upper(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(templates: &[&str]) -> LetterCases {
        let templates: Vec<Template> = templates
            .iter()
            .map(|text| Template::parse(text).expect("a template"))
            .collect();
        LetterCases::of(templates.iter(), false)
    }

    #[test]
    fn segments_are_replaced_by_literals() {
        let cases = cases(&["/{page}", "/admin", "/Users/me", "/users/{id}"]);
        for (path, expected) in [
            ("/admin", &[][..]),
            ("/Admin", &["/admin"]),
            ("/ADMIN/x", &["/admin/x"]),
            ("/USERS/ME", &["/Users/me", "/users/me"]),
            ("/cus_NffrFeUfNV2Hib/Other", &[]),
            // Both spellings of `users` are literals.
            ("/users/Me", &["/Users/me", "/users/me"]),
            ("/users/me", &["/Users/me"]),
            ("/Other", &[]),
            ("/", &[]),
            ("", &[]),
        ] {
            assert_eq!(cases.others(path).expect("few"), expected, "{path}");
        }
    }

    #[test]
    fn apis_of_literals_have_no_other_paths() {
        let exact = cases(&["/admin", "/a/b"]);
        assert_eq!(exact.others("/Admin"), Some(Vec::new()));
        let unmatched = [Template::parse("/admin").expect("a template")];
        let cases = LetterCases::of(unmatched.iter(), true);
        assert_eq!(cases.others("/Admin"), Some(vec!["/admin".to_owned()]));
    }

    #[test]
    fn paths_of_many_spellings_are_bounded() {
        let templates: Vec<String> = (0..10)
            .flat_map(|at| [format!("/a{at}"), format!("/A{at}"), "/{x}".into()])
            .collect();
        let templates: Vec<&str> = templates.iter().map(String::as_str).collect();
        let path = |count: usize| -> String { (0..count).map(|at| format!("/a{at}")).collect() };
        assert_eq!(
            cases(&templates).others(&path(6)).map(|all| all.len()),
            Some(63)
        );
        assert_eq!(cases(&templates).others(&path(7)), None);
    }
}
