//! Finds the described paths that differ from a request's path in escapes or in the case of
//! non-ASCII letters. The module `letter_case` finds the paths that differ in ASCII letters only.

use bundle::ir::{Segment, Template};
use rustc_hash::FxHashMap;

use super::letter_case::{Others, TooMany};
use crate::folding::{folded, has_escapes, with_folded};

/// Maximum number of paths that one search returns.
const PATHS_MAX: usize = 64;

/// Literals of an API's templates, by their case-folded text. Includes case-insensitive literals,
/// because the router ignores only the case of ASCII letters.
#[derive(Debug, Default)]
pub(super) struct UnicodeCases {
    literals: FxHashMap<Box<str>, Vec<Box<str>>>,
    /// True if a literal has escapes.
    has_escaped: bool,
}

impl UnicodeCases {
    /// Collects the literals of templates.
    pub(super) fn of<'t>(templates: impl Iterator<Item = &'t Template>) -> Self {
        let mut cases = Self::default();
        for segment in templates.flat_map(Template::segments) {
            let (Segment::Literal(text) | Segment::Folded(text)) = segment else {
                continue;
            };
            cases.has_escaped |= has_escapes(text);
            let spellings = cases.literals.entry(folded(text).into()).or_default();
            if !spellings.iter().any(|known| **known == **text) {
                spellings.push(text.as_str().into());
            }
        }
        cases
    }

    /// Paths below the base path that differ from `below` in escapes or letter case. Empty if
    /// neither the path nor a literal has escapes.
    ///
    /// # Errors
    /// Returns an error if there are more than [`PATHS_MAX`] paths, or if the search has no steps
    /// left.
    pub(super) fn others(
        &self,
        below: &str,
        others: &mut Others<'_>,
    ) -> Result<Vec<String>, TooMany> {
        if !self.has_escaped && !has_escapes(below) {
            return Ok(Vec::new());
        }
        let mut paths = vec![String::new()];
        for segment in below.split('/').skip(1) {
            let known = with_folded(segment, |folded| self.literals.get(folded));
            let known = known.into_iter().flatten().map(|known| &**known);
            let other = known.filter(|known| *known != segment);
            let options: Vec<&str> = other.chain([segment]).collect();
            if paths.len() * options.len() > PATHS_MAX {
                return Err(TooMany);
            }
            others.spend(paths.len() * options.len(), below)?;
            let begun = std::mem::take(&mut paths);
            for before in begun {
                paths.extend(options.iter().map(|option| format!("{before}/{option}")));
            }
        }
        paths.retain(|path| path != below);
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_letters_have_other_spellings() {
        let templates = [
            "/{page}",
            "/%C3%A9t%C3%A9",
            "/keys",
            "/Stra%C3%9Fe/{x}",
            "/@me",
            "/a%22b",
        ];
        let templates = templates.map(|text| Template::parse(text).expect("a template"));
        let cases = UnicodeCases::of(templates.iter());
        for (path, expected) in [
            ("/%C3%89t%C3%A9", &["/%C3%A9t%C3%A9"][..]),
            ("/%C3%A9t%C3%A9", &[]),
            ("/%E2%84%AAeys", &["/keys"]),
            ("/STRASSE/%C3%89", &["/Stra%C3%9Fe/%C3%89"]),
            ("/%C3%A0t%C3%A9", &[]),
            ("/keys", &[]),
            ("/%40me", &["/@me"]),
            ("/@me", &[]),
            ("/A%22b", &["/a%22b"]),
            ("/a%2Fb", &[]),
            ("/", &[]),
        ] {
            let found = cases.others(path, &mut Others::new(&mut 10_000));
            assert_eq!(found.expect("few"), expected, "{path}");
        }
    }
}
