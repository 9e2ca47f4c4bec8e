//! Field names that some servers read as a different name, which the schema describes. The value of
//! such a field would bypass the check of the described field.
//!
//! In forms, queries and cookies, [`policy::auth::compared_forms`] returns the names that servers
//! may read for a given name, and [`policy::auth::compared_in_query`] those of `qs` with
//! `allowDots`. ASP.NET, Spring and `qs` read `a.b` and `a[b]` as the member `b` of `a`. ASP.NET
//! ignores letter case, and reads `PREFIX.a` and `PREFIX[a]` as `a` if `PREFIX` is the name of the
//! action's parameter. System.Web of ASP.NET decodes `%u0061`. Zope reads `a:list` as `a`.
//! Some servers leave out bytes that are not UTF-8.

use std::collections::BTreeMap;

use policy::auth::{
    compared_forms, compared_in_query, is_malformed, name_and_value, without_converter,
};

use crate::kinds::Kinds;
use crate::text::{decode, decode_unicode, dotted, has_unicode, plain};

/// Maximum number of brackets or dots of a name that are examined.
const PARTS_MAX: usize = 8;

/// Finding about a field whose name is another spelling of a described name.
pub(crate) const OTHER_SPELLING: &str =
    "has a name in another spelling, which some servers read as the described name";
/// Finding about a described name after a semicolon.
pub(crate) const AFTER_SEMICOLON: &str =
    "follows a semicolon, at which some servers separate fields; write %3B in values";
/// Finding about a described name after a comma or white space in a cookie.
pub(crate) const AFTER_COMMA: &str =
    "follows a comma or white space, at which some servers separate cookies; write %2C or %20";
/// Finding about a described field with an escape that is not percent-encoding.
pub(crate) const UNICODE_ESCAPE: &str =
    "has an escape such as %u0061, which some servers decode; write UTF-8, or %25u in values";

/// Finding about a described field with a malformed escape.
pub(crate) const MALFORMED_ESCAPE: &str =
    "has a % without two hexadecimal digits, so that some servers leave it out; write %25";

/// Name of a field as the schema describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'n> {
    pub(crate) text: &'n str,
    /// True if the value can be an object or an array, which can be written as several fields.
    pub(crate) has_parts: bool,
}

/// Described names of fields, indexed by the spellings that lenient servers treat as equal.
pub(crate) struct Described<'n> {
    plain: BTreeMap<String, &'n str>,
    /// Names of described objects and arrays, in the form of [`plain`].
    with_parts: BTreeMap<String, &'n str>,
    /// Names that contain dots or brackets, in the form of [`dotted`].
    dotted: BTreeMap<String, &'n str>,
}

impl<'n> Name<'n> {
    pub(crate) fn of(text: &'n str, kinds: &Kinds) -> Self {
        let has_parts = kinds.has_parts();
        Self { text, has_parts }
    }
}

impl<'n> Described<'n> {
    pub(crate) fn of(names: impl Iterator<Item = Name<'n>>) -> Self {
        let mut described = Self {
            plain: BTreeMap::new(),
            with_parts: BTreeMap::new(),
            dotted: BTreeMap::new(),
        };
        for Name { text, has_parts } in names {
            for key in [Some(text), text.strip_suffix("[]")].into_iter().flatten() {
                described.plain.insert(plain(key), text);
                if has_parts {
                    described.with_parts.insert(plain(key), text);
                }
            }
            if let Some(key) = dotted(text) {
                described.dotted.insert(key, text);
            }
        }
        described
    }

    /// Described name that a lenient server may read instead of this decoded name. `None` if there
    /// is none.
    pub(crate) fn read_as(&self, name: &str) -> Option<&'n str> {
        let read = self.read_exactly(name);
        read.or_else(|| self.read_exactly(&readable(name)?))
    }

    /// Like [`Self::read_as`], for servers that do not leave out bytes of the name.
    fn read_exactly(&self, name: &str) -> Option<&'n str> {
        let known = |name: &str| self.plain.get(&plain(name)).copied();
        let with_parts = |name: &str| self.with_parts.get(&plain(name)).copied();
        let in_form = |form: &[u8]| {
            let form = str::from_utf8(form).ok()?;
            known(form).or_else(|| self.dotted.get(&dotted(form)?).copied())
        };
        let before = |mark: char| {
            let marks = name.match_indices(mark).take(PARTS_MAX);
            marks.filter_map(|(at, _)| name.get(..at).filter(|before| !before.is_empty()))
        };
        compared_forms(name.as_bytes(), in_form)
            .or_else(|| before('[').find_map(known))
            .or_else(|| before('.').find_map(with_parts))
    }

    /// Like [`Self::read_as`], for a field of a query or form. Some servers also remove a prefix:
    /// they read `model.a` or `model[a]` as `a`. Some remove a converter: they read `a:int` as
    /// `a`. Some read a dot as a bracket: `a.0` and `a.x` as parts of `a`.
    pub(crate) fn read_in_field(&self, name: &str) -> Option<&'n str> {
        let read = self.read_with_prefix(name);
        let read = read.or_else(|| self.read_with_prefix(&readable(name)?));
        read.or_else(|| self.read_with_prefix(unconverted(name)?))
    }

    /// Like [`Self::read_in_field`], for servers that leave out no bytes of the name and remove no
    /// converter.
    fn read_with_prefix(&self, name: &str) -> Option<&'n str> {
        let known = |name: &str| self.plain.get(&plain(name)).copied();
        let in_query = |form: &[u8]| known(str::from_utf8(form).ok()?);
        let read = self.read_exactly(name);
        let read = read.or_else(|| compared_in_query(name.as_bytes(), in_query));
        read.or_else(|| {
            let name = dotted(name)?;
            let (_, rest) = name.split_once('.')?;
            let before = rest.match_indices('.').take(PARTS_MAX);
            let mut before = before.filter_map(|(at, _)| rest.get(..at));
            known(rest)
                .or_else(|| self.dotted.get(rest).copied())
                .or_else(|| before.find_map(|name| self.with_parts.get(&plain(name)).copied()))
        })
    }

    /// Described names that only some servers find in the fields of a query or form. The field has
    /// a different spelling, follows a semicolon, or has a malformed escape, so that Tomcat and Go
    /// leave it out. Each name has the text of the finding to report. `is_own` returns true for a
    /// decoded name that is exactly a described name.
    pub(crate) fn hidden(
        &self,
        text: &str,
        is_own: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'n str, &'static str)> {
        let fields = text.split('&').filter(|field| !field.is_empty());
        let pieces = fields.flat_map(|field| field.split(';').enumerate());
        pieces.filter_map(move |(index, piece)| {
            let (written, _) = name_and_value(piece);
            let name = decode(written, true);
            if index > 0 {
                return Some((self.read_in_field(&name)?, AFTER_SEMICOLON));
            }
            if has_unicode(piece) {
                let other = decode_unicode(written);
                let read = self.read_in_field(&name);
                let read = read.or_else(|| self.read_in_field(&other));
                return Some((read?, UNICODE_ESCAPE));
            }
            if is_malformed(piece) {
                return Some((self.read_in_field(&name)?, MALFORMED_ESCAPE));
            }
            // `ufo` of Node ignores `=` at the beginning; other servers read an empty name.
            if is_own(&name) && !piece.starts_with('=') {
                return None;
            }
            Some((self.read_in_field(&name)?, OTHER_SPELLING))
        })
    }

    /// Described names that only some servers find in a cookie. Examples: `b` in `a=1, b=2`,
    /// because some servers split at commas, and `b` in `a b=2`.
    pub(crate) fn hidden_in_cookie(&self, pair: &str) -> impl Iterator<Item = &'n str> {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace() || c == '\u{b}';
        let mut words = pair.split(is_separator).filter(|word| !word.is_empty());
        if pair.starts_with(|first| !is_separator(first)) {
            words.next();
        }
        // Use a single pass, because clients choose the length of the cookie.
        let mut before = None;
        let names = words.flat_map(move |word| match word.find('=') {
            None => {
                before = Some(word);
                [None, None]
            }
            Some(0) => [before.take(), Some(name_and_value(word).0)],
            Some(at) => {
                before = None;
                [word.get(..at), None]
            }
        });
        let names = names.flatten();
        names.filter_map(|name| self.read_as(&decode(name, true)))
    }

    /// Described name of a cookie with `=` before its name. Werkzeug before 2.2.3 reads `=a=1` as
    /// the cookie `a`. `None` if the cookie has no such `=`.
    pub(crate) fn read_after_equals(&self, pair: &str) -> Option<&'n str> {
        let name = pair.trim_start().strip_prefix('=').map(name_and_value)?.0;
        self.read_as(&decode(name, true))
    }
}

/// Decoded name without the bytes that are not UTF-8. `None` if all bytes are UTF-8.
fn readable(name: &str) -> Option<String> {
    let has_invalid = name.contains(char::REPLACEMENT_CHARACTER);
    has_invalid.then(|| name.replace(char::REPLACEMENT_CHARACTER, ""))
}

/// Name without the converters of Zope at its end. `None` if it has none.
fn unconverted(name: &str) -> Option<&str> {
    name.get(..without_converter(name.as_bytes())?.len())
}

/// True if a member's name begins with the name of a described object or array and a dot. Some
/// servers read such a name as a member of that object: `a[b.c]` as `a[b][c]`. Also true for a name
/// with a bracket: `a[[b]`. `names`: names in the brackets.
pub(crate) fn has_dotted_member(names: &[&str], kinds: &Kinds) -> bool {
    let mut kinds = kinds;
    for name in names {
        if name.is_empty() && kinds.has_arrays() {
            kinds = kinds.item();
            continue;
        }
        // Rack 2 reads `a[[b]` as `a[b]`.
        if name.contains('[') && !kinds.describes(name) {
            return true;
        }
        if name.contains('.') && !kinds.describes(name) {
            let parts = kinds.with_parts();
            let before = |mark: char| {
                let marks = name.match_indices(mark).take(PARTS_MAX);
                marks.filter_map(|(at, _)| name.get(..at))
            };
            let mut prefixes = before('[').chain(before('.')).chain([*name]);
            let is_part =
                prefixes.any(|prefix| !prefix.is_empty() && parts.plain.contains(&plain(prefix)));
            if is_part || dotted(name).is_some_and(|name| parts.dotted.contains(&name)) {
                return true;
            }
        }
        kinds = kinds.property(name);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'n>(all: &[&'n str]) -> impl Iterator<Item = Name<'n>> {
        let name = |text: &&'n str| Name {
            text: text.trim_end_matches('{'),
            has_parts: text.ends_with('{'),
        };
        all.iter().map(name)
    }

    #[test]
    fn spellings_of_described_names_are_found() {
        let all = [
            "limit",
            "user_id",
            "page[size]",
            "page[number]",
            "ids[]{",
            "f{",
            "a.b",
        ];
        let described = Described::of(names(&all));
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
            ("f.role", Some("f")),
            ("F.role[0].x", Some("f")),
            ("f[x].role", Some("f")),
            ("page.size", Some("page[size]")),
            ("Page.Number", Some("page[number]")),
            ("a[b]", Some("a.b")),
            ("[limit]", Some("limit")),
            ("[limit][x]", Some("limit")),
            ("[[limit]]", Some("limit")),
            ("]limit", Some("limit")),
            ("[]Limit", Some("limit")),
            ("limit]", Some("limit")),
            ("limit[", Some("limit")),
            ("[user.id]", Some("user_id")),
            ("[page][size]", Some("page[size]")),
            ("?limit", Some("limit")),
            ("?[limit]", Some("limit")),
            ("!limit", Some("limit")),
            ("\u{feff}limit", Some("limit")),
            ("li\u{fffd}mit", Some("limit")),
            ("Li\u{fffd}\u{fffd}mit[0]", Some("limit")),
            ("li\u{fffd}mits", None),
            ("limit.x", None),
            ("page.other", None),
            ("page[other]", None),
            ("limits", None),
            ("user-id", None),
            ("_limit", None),
            ("[other]", None),
            ("[][]", None),
            ("?", None),
            ("", None),
        ] {
            assert_eq!(described.read_as(name), expected, "{name:?}");
        }
        for (name, expected) in [
            ("model.limit", Some("limit")),
            ("Model[Limit]", Some("limit")),
            (".limit", Some("limit")),
            ("[page].size", Some("page[size]")),
            ("model.user_id", Some("user_id")),
            ("model.page.size", Some("page[size]")),
            ("model.f.role", Some("f")),
            ("model.ids[0]", Some("ids[]")),
            ("limit.0", Some("limit")),
            ("limit.x", Some("limit")),
            ("Limit.x[y]", Some("limit")),
            ("..limit", Some("limit")),
            ("limit:list", Some("limit")),
            ("limit:x:int", Some("limit")),
            ("model.limit:int", Some("limit")),
            ("model.li\u{fffd}mit", Some("limit")),
            ("_limit", None),
            ("limit:exact", None),
            ("limit:", None),
            (":list", None),
            ("limits:list", None),
            ("limits.x", None),
            ("a.model.limit", None),
            ("model.limits", None),
            ("model.limit.x", None),
            ("model.", None),
        ] {
            assert_eq!(described.read_as(name), None, "{name:?}");
            assert_eq!(described.read_in_field(name), expected, "{name:?}");
        }
    }

    #[test]
    fn cookies_behind_commas_are_hidden() {
        let described = Described::of(names(&["ck"]));
        for (pair, expected) in [
            ("ck=admin", false),
            (" ck = admin", false),
            ("a=1, ck=admin", true),
            ("a=1,ck=admin", true),
            ("a=1\tck=admin", true),
            ("a=1 CK =admin", true),
            ("x ck=admin", true),
            ("a=\"1, ck=admin\"", true),
            ("a=1, b=2", false),
            ("a=1, ck", false),
            ("a=1=ck=2", false),
        ] {
            let found = described.hidden_in_cookie(pair.trim()).next().is_some();
            assert_eq!(found, expected, "{pair}");
        }
    }

    #[test]
    fn fields_behind_semicolons_are_hidden() {
        let described = Described::of(names(&["q", "role"]));
        for (text, expected) in [
            ("q=1&role=a", &[][..]),
            ("q=1;role=a", &[("role", AFTER_SEMICOLON)]),
            ("x;%72ole=a", &[("role", AFTER_SEMICOLON)]),
            ("q=1%3Brole=a", &[]),
            ("%u0072ole=a", &[("role", UNICODE_ESCAPE)]),
            ("%u0052ol%65=a", &[("role", UNICODE_ESCAPE)]),
            ("role=%u0061", &[("role", UNICODE_ESCAPE)]),
            ("x=%u0061&y=%u00&role=100%u", &[("role", MALFORMED_ESCAPE)]),
            (
                "q=1%zz&role=%4",
                &[("q", MALFORMED_ESCAPE), ("role", MALFORMED_ESCAPE)],
            ),
            ("x=1%zz&q%=1&role=%25zz%C3", &[]),
            ("q=1;b;;c=2", &[]),
            (
                "[q]=1&%5Brole%5D[x]=1",
                &[("q", OTHER_SPELLING), ("role", OTHER_SPELLING)],
            ),
            (
                "?q=1&model.role=1",
                &[("q", OTHER_SPELLING), ("role", OTHER_SPELLING)],
            ),
            (
                "%EF%BB%BFq=1&!role=1",
                &[("q", OTHER_SPELLING), ("role", OTHER_SPELLING)],
            ),
            (
                "=q=1&==model.role=1&=&=x=q",
                &[("q", OTHER_SPELLING), ("role", OTHER_SPELLING)],
            ),
            ("a=1;=role=1", &[("role", AFTER_SEMICOLON)]),
            (
                "a=1;model.%u0072ole=1&%u006Dodel.q=1",
                &[("q", UNICODE_ESCAPE)],
            ),
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
