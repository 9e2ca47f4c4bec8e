//! Tables of names for lookups of a name from a request. A lookup finds all spellings of a name.
//!
//! Clients choose the number of names in a request, and documents the number of parameters. The
//! time to compare each name with each parameter would grow with the product of these numbers. A
//! lookup takes time in proportion to the length of the request's name.

use rustc_hash::FxHashMap;

use super::decode_query;
use super::spelling::{
    compared_forms, compared_in_query, list_name, with_brackets, without_invalid_utf8,
    without_unicode,
};
pub(crate) use super::spelling::{plain, resembling};

/// Names of parameters, with the position of each name in the order in which they were added. A
/// lookup returns the first name that some server treats as equal to the name of the request.
#[derive(Clone, Debug)]
pub(crate) struct NameTable {
    /// Maps bytes that are equal in comparisons to the same byte.
    folded: fn(u8) -> u8,
    /// Characters that separate the parts of a name.
    separators: Separators,
    /// Spellings of the names.
    spellings: Spellings,
    /// Spellings that are only compared with names that have parts: `a[b]` for `a.b`.
    of_parts: Spellings,
    /// Length of the longest spelling, in bytes.
    length_max: usize,
}

/// Folded spellings, each with the position of the first name that has the spelling.
type Spellings = FxHashMap<Box<[u8]>, usize>;

/// Characters that separate the parts of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Separators {
    /// Brackets, in the names of cookies.
    Brackets,
    /// Brackets and dots, in the names of query parameters and form fields.
    BracketsAndDots,
}

impl NameTable {
    /// Creates a table of query parameters. Lookups treat names as equal if `is_read_as` does.
    pub(crate) fn of_parameters<'n>(names: impl Iterator<Item = &'n [u8]>) -> Self {
        Self::new(names, (plain, Separators::BracketsAndDots))
    }

    /// Creates a table of query parameters. Lookups also treat `-` and `_` as equal. Used for
    /// parameters that contain credentials in some APIs.
    pub(crate) fn of_resembling<'n>(names: impl Iterator<Item = &'n [u8]>) -> Self {
        Self::new(names, (resembling, Separators::BracketsAndDots))
    }

    /// Creates a table of cookies. Lookups treat names as equal if `is_cookie_read_as` does.
    pub(super) fn of_cookies<'n>(names: impl Iterator<Item = &'n [u8]>) -> Self {
        Self::new(names, (plain, Separators::Brackets))
    }

    fn new<'n>(
        names: impl Iterator<Item = &'n [u8]>,
        (folded, separators): (fn(u8) -> u8, Separators),
    ) -> Self {
        let mut table = Self {
            folded,
            separators,
            spellings: Spellings::default(),
            of_parts: Spellings::default(),
            length_max: 0,
        };
        for (position, name) in names.enumerate() {
            let spellings = &mut table.spellings;
            let mut length = add(name, position, folded, spellings);
            if separators == Separators::BracketsAndDots
                && let Some(written) = with_brackets(name)
            {
                length = length.max(add(&written, position, folded, &mut table.of_parts));
            }
            table.length_max = table.length_max.max(length);
        }
        table
    }

    /// True if the table has no names.
    pub(crate) fn is_empty(&self) -> bool {
        self.spellings.is_empty()
    }

    /// Position of the first name that some server treats as equal to `name`, which must be
    /// percent-decoded.
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        let has_parts = name.iter().any(|byte| matches!(byte, b'[' | b'.'));
        let mut found: Option<usize> = None;
        let mut form_folded = Vec::new();
        let look_up = |form: &[u8]| -> Option<()> {
            steps::count();
            if form.len() > self.length_max {
                return None;
            }
            form_folded.clear();
            form_folded.extend(form.iter().map(|byte| (self.folded)(*byte)));
            let of_parts = self.of_parts.get(&form_folded[..]).filter(|_| has_parts);
            let all = [found, self.spellings.get(&form_folded[..]).copied()];
            found = all.into_iter().chain([of_parts.copied()]).flatten().min();
            None
        };
        match self.separators {
            Separators::Brackets => compared_forms(name, look_up),
            Separators::BracketsAndDots => compared_in_query(name, look_up),
        };
        found
    }

    /// True if some server treats an encoded name in a query as equal to a name of the table.
    pub(super) fn has_written(&self, written: &str) -> bool {
        let is_known = |name: &[u8]| self.find(name).is_some();
        let decoded = decode_query(written);
        is_known(&decoded)
            || without_unicode(written).is_some_and(|text| is_known(&decode_query(&text)))
            || without_invalid_utf8(&decoded).is_some_and(|name| is_known(&name))
    }
}

/// Adds the spellings of a name. Returns the length of the longest one.
fn add(name: &[u8], position: usize, folded: fn(u8) -> u8, spellings: &mut Spellings) -> usize {
    let name = name.trim_ascii();
    for spelling in [Some(name), list_name(name)].into_iter().flatten() {
        let spelling = spelling.iter().map(|byte| folded(*byte)).collect();
        spellings.entry(spelling).or_insert(position);
    }
    name.len()
}

/// Number of lookups, which tests compare.
pub(crate) mod steps {
    #[cfg(test)]
    thread_local! {
        static LOOKUPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// Counts a lookup.
    pub(crate) fn count() {
        #[cfg(test)]
        LOOKUPS.set(LOOKUPS.get() + 1);
    }

    /// Number of lookups that `run` performs.
    #[cfg(test)]
    pub(crate) fn of(run: impl FnOnce()) -> usize {
        let before = LOOKUPS.get();
        run();
        LOOKUPS.get() - before
    }
}

#[cfg(test)]
mod tests {
    use super::super::spelling::{is_cookie_read_as, is_read_as, resembles};
    use super::{NameTable, steps};

    type Compared = fn(&[u8], &[u8]) -> bool;

    const NAMES: [&str; 30] = [
        "api_key",
        "API.Key",
        "api key",
        " api-key ",
        "api[key",
        "api_key[]",
        "Api.Key[0]",
        "[api_key][x]",
        "]api_key",
        "!api_key",
        "?[Api_key]",
        ".api_key",
        "api_key.x[y]",
        "\"api_key\"",
        "\u{3000} api_key\u{a0}",
        "filter[key]",
        "filter.key",
        "[filter][KEY][0]",
        ".filter.key.x",
        "filter",
        "ids[]",
        "ids[0]",
        "ids",
        "user.name",
        "user[name].x",
        "[]",
        "[",
        ".",
        "",
        "a\0b",
    ];

    #[test]
    fn lookups_decide_as_comparisons() {
        let bytes = |name: &'static str| name.as_bytes();
        let tables = [
            (
                NameTable::of_parameters(NAMES.map(bytes).into_iter()),
                is_read_as as Compared,
            ),
            (
                NameTable::of_resembling(NAMES.map(bytes).into_iter()),
                resembles as Compared,
            ),
            (
                NameTable::of_cookies(NAMES.map(bytes).into_iter()),
                is_cookie_read_as as Compared,
            ),
        ];
        for (table, is_equal) in &tables {
            for name in NAMES.map(bytes) {
                let first = NAMES
                    .iter()
                    .position(|known| is_equal(name, known.as_bytes()));
                assert_eq!(table.find(name), first, "{name:?}");
            }
        }
        for name in NAMES.map(bytes) {
            for wanted in NAMES.map(bytes) {
                let table = NameTable::of_parameters([wanted].into_iter());
                let is_equal = is_read_as(name, wanted);
                assert_eq!(
                    table.find(name).is_some(),
                    is_equal,
                    "{name:?} as {wanted:?}"
                );
            }
        }
    }

    #[test]
    fn lookups_do_not_grow_with_the_table() {
        let all: Vec<String> = (0..1_000).map(|number| format!("a{number}.b")).collect();
        let lookups = |count: usize| {
            let names = all[..count].iter().map(String::as_bytes);
            let table = NameTable::of_parameters(names);
            steps::of(|| assert_eq!(table.find(b"x.y[z].a1.b"), None))
        };
        assert_eq!(lookups(1_000), lookups(1));
        assert!(lookups(1) <= 10);
    }
}
