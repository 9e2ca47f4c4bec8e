//! Names that some servers read as another, described name. A value under such a name would avoid
//! the check of the described one.
//!
//! Forms, queries and cookies: PHP reads `a.b`, `a b` and `a[b` as `a_b`, trims blanks and ends
//! names at NUL; PHP, Rack and `qs` of Node read `a[]` and `a[0]` as elements of `a`; ASP.NET
//! ignores letter case.

use std::collections::BTreeMap;

use crate::text::{decode, folded};

/// Maximum number of brackets of a name that are looked at.
const BRACKETS_MAX: usize = 8;

/// Finding about a field whose name is another spelling of a described name.
pub(crate) const OTHER_SPELLING: &str =
    "has another spelling of its name, which some servers read as this one";
/// Finding about a described name after a semicolon.
pub(crate) const AFTER_SEMICOLON: &str =
    "follows a semicolon, at which some servers separate fields; write %3B in values";

/// Described names of fields, by the spelling that lenient servers compare.
pub(crate) struct Described<'n>(BTreeMap<String, &'n str>);

impl<'n> Described<'n> {
    pub(crate) fn of(names: impl Iterator<Item = &'n str>) -> Self {
        let keys = |name: &'n str| {
            let bare = name.strip_suffix("[]");
            let keys = [Some(name), bare].into_iter().flatten();
            keys.map(move |key| (plain(key), name))
        };
        Self(names.flat_map(keys).collect())
    }

    /// Described name that a lenient server may read in place of a decoded name.
    pub(crate) fn read_as(&self, name: &str) -> Option<&'n str> {
        let known = |name: &str| self.0.get(&plain(name)).copied();
        let lists = name.match_indices('[').take(BRACKETS_MAX);
        let mut lists = lists.filter(|(at, _)| *at > 0);
        known(name).or_else(|| lists.find_map(|(at, _)| known(&name[..at])))
    }

    /// Described names that some servers, but not all, find in the fields of a query or form:
    /// written in another spelling, or after a semicolon. Each comes with the text of its finding.
    /// `is_own` is true for a decoded name that is exactly a described name.
    pub(crate) fn hidden(
        &self,
        text: &str,
        is_own: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'n str, &'static str)> {
        let fields = text.split('&').filter(|field| !field.is_empty());
        let pieces = fields.flat_map(|field| field.split(';').enumerate());
        pieces.filter_map(move |(index, piece)| {
            let name = decode(piece.split('=').next().unwrap_or_default(), true);
            if index > 0 {
                return Some((self.read_as(&name)?, AFTER_SEMICOLON));
            }
            if is_own(&name) {
                return None;
            }
            Some((self.read_as(&name)?, OTHER_SPELLING))
        })
    }
}

/// Name as lenient servers compare it.
fn plain(name: &str) -> String {
    let end = name.find('\0').unwrap_or(name.len());
    let name = name[..end].trim_ascii();
    let separators = name.replace(['.', ' ', '['], "_");
    folded(&separators).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_described_names_are_found() {
        let names = ["limit", "user_id", "page[size]", "page[number]", "ids[]"];
        let described = Described::of(names.into_iter());
        for (name, expected) in [
            ("LIMIT", Some("limit")),
            (" limit", Some("limit")),
            ("limit\0x", Some("limit")),
            ("limit[]", Some("limit")),
            ("Limit[0][a]", Some("limit")),
            ("user.id", Some("user_id")),
            ("User[id", Some("user_id")),
            ("page[size][]", Some("page[size]")),
            ("PAGE[number]", Some("page[number]")),
            ("ids[0]", Some("ids[]")),
            ("page[other]", None),
            ("limits", None),
            ("user-id", None),
            ("[limit]", None),
            ("", None),
        ] {
            assert_eq!(described.read_as(name), expected, "{name:?}");
        }
    }

    #[test]
    fn fields_behind_semicolons_are_hidden() {
        let described = Described::of(["q", "role"].into_iter());
        for (text, expected) in [
            ("q=1&role=a", &[][..]),
            ("q=1;role=a", &[("role", AFTER_SEMICOLON)]),
            ("x;%72ole=a", &[("role", AFTER_SEMICOLON)]),
            ("q=1%3Brole=a", &[]),
            ("q=1;b;;c=2", &[]),
            (
                "&+role=b&q[]",
                &[("role", OTHER_SPELLING), ("q", OTHER_SPELLING)],
            ),
        ] {
            let found = described.hidden(text, |name| ["q", "role"].contains(&name));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
