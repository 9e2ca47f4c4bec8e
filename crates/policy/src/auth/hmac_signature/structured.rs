//! Structured fields (RFC 9651), parsed with limits. A field with a name that occurs twice is
//! refused: RFC 9651 §3.2 uses the last value, but the upstream may use the first.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use http::HeaderMap;
use sfv::visitor::{
    DictionaryVisitor, EntryVisitor, InnerListVisitor, ItemVisitor, ListVisitor, ParameterVisitor,
};
use sfv::{BareItemFromInput, Dictionary, Item, KeyRef, List, ListEntry, Parser};

use super::Reason;

/// Maximum length of a structured field, in bytes.
pub(super) const BYTES_MAX: usize = 8 << 10;

/// Maximum number of members, items and parameters of a field, counted together.
const PARTS_MAX: usize = 256;

/// Value of a field: its lines, joined by commas (RFC 9110 §5.3). `None` if the field is absent.
pub(super) fn combined<'h>(headers: &'h HeaderMap, name: &str) -> Option<Cow<'h, [u8]>> {
    let mut lines = headers.get_all(name).iter().map(|line| line.as_bytes());
    let first = lines.next()?.trim_ascii();
    let mut all = Cow::Borrowed(first);
    for line in lines {
        let all = all.to_mut();
        all.extend_from_slice(b", ");
        all.extend_from_slice(line.trim_ascii());
    }
    Some(all)
}

/// Parses a dictionary.
///
/// # Errors
/// The value is too large, is not a dictionary, or has a name twice.
pub(super) fn dictionary(value: &[u8]) -> Result<Dictionary, Reason> {
    let written = Counter::default();
    let read = within(value)?.parse_dictionary_with_visitor(Count(&written));
    read.map_err(|_| Reason::Malformed)?;
    let read: Dictionary = Parser::new(value).parse().map_err(|_| Reason::Malformed)?;
    let parts = read.values().map(|one| 1 + parts(one)).sum();
    whole(read, parts, &written)
}

/// Parses a list.
///
/// # Errors
/// The value is too large, is not a list, or has a parameter name twice.
pub(super) fn list(value: &[u8]) -> Result<List, Reason> {
    let written = Counter::default();
    let read = within(value)?.parse_list_with_visitor(Count(&written));
    read.map_err(|_| Reason::Malformed)?;
    let read: List = Parser::new(value).parse().map_err(|_| Reason::Malformed)?;
    let parts = read.iter().map(|one| 1 + parts(one)).sum();
    whole(read, parts, &written)
}

/// Parses an item.
///
/// # Errors
/// The value is too large, is not an item, or has a parameter name twice.
pub(super) fn item(value: &[u8]) -> Result<Item, Reason> {
    let written = Counter::default();
    let read = within(value)?.parse_item_with_visitor(Count(&written));
    read.map_err(|_| Reason::Malformed)?;
    let read: Item = Parser::new(value).parse().map_err(|_| Reason::Malformed)?;
    let parts = read.params.len();
    whole(read, parts, &written)
}

fn within(value: &[u8]) -> Result<Parser<'_>, Reason> {
    match value.len() <= BYTES_MAX {
        true => Ok(Parser::new(value)),
        false => Err(Reason::TooLarge),
    }
}

/// Refuses a field with a duplicate name. `read` is the parsed field, which has `parts` parts;
/// `written` counts the parts in the text. If a name occurs twice, the later part replaces the
/// earlier one, so `parts` is less than `written`.
fn whole<T>(read: T, parts: usize, written: &Counter) -> Result<T, Reason> {
    match parts == written.0.get() {
        true => Ok(read),
        false => Err(Reason::Malformed),
    }
}

/// Number of items and parameters in a member of a dictionary or list.
fn parts(entry: &ListEntry) -> usize {
    match entry {
        ListEntry::Item(item) => item.params.len(),
        ListEntry::InnerList(list) => {
            let items = list.items.iter().map(|item| 1 + item.params.len());
            items.sum::<usize>() + list.params.len()
        }
    }
}

/// Number of members, items and parameters that were parsed.
#[derive(Default)]
struct Counter(Cell<usize>);

/// Parser callback that counts the parts of a field.
#[derive(Clone, Copy)]
struct Count<'c>(&'c Counter);

/// Error: the field has too many parts.
#[derive(Debug)]
struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many parts")
    }
}

impl std::error::Error for TooMany {}

impl Count<'_> {
    fn add(self) -> Result<Self, TooMany> {
        let number = self.0.0.get() + 1;
        self.0.0.set(number);
        if number > PARTS_MAX {
            return Err(TooMany);
        }
        Ok(self)
    }
}

impl<'de> DictionaryVisitor<'de> for Count<'_> {
    type Out = ();
    type Error = TooMany;

    fn entry(&mut self, _: &'de KeyRef) -> Result<impl EntryVisitor<'de>, TooMany> {
        self.add()
    }

    fn finish(self) -> Result<(), TooMany> {
        Ok(())
    }
}

impl<'de> ListVisitor<'de> for Count<'_> {
    type Out = ();
    type Error = TooMany;

    fn entry(&mut self) -> Result<impl EntryVisitor<'de>, TooMany> {
        self.add()
    }

    fn finish(self) -> Result<(), TooMany> {
        Ok(())
    }
}

impl<'de> EntryVisitor<'de> for Count<'_> {
    type Error = TooMany;

    fn item(self) -> Result<impl ItemVisitor<'de>, TooMany> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, TooMany> {
        Ok(self)
    }
}

impl<'de> ItemVisitor<'de> for Count<'_> {
    type Out = ();
    type Error = TooMany;

    fn bare_item(
        self,
        _: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, TooMany> {
        Ok(self)
    }
}

impl<'de> InnerListVisitor<'de> for Count<'_> {
    type Error = TooMany;

    fn item(&mut self) -> Result<impl ItemVisitor<'de>, TooMany> {
        self.add()
    }

    fn finish(self) -> Result<impl ParameterVisitor<'de>, TooMany> {
        Ok(self)
    }
}

impl<'de> ParameterVisitor<'de> for Count<'_> {
    type Out = ();
    type Error = TooMany;

    fn parameter(&mut self, _: &'de KeyRef, _: BareItemFromInput<'de>) -> Result<(), TooMany> {
        self.add().map(|_| ())
    }

    fn finish(self) -> Result<(), TooMany> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sfv::FieldType as _;

    use super::*;

    #[test]
    fn names_that_occur_twice_are_refused() {
        let read = |text: &str| dictionary(text.as_bytes()).map(|read| read.serialize());
        for text in [
            "a=1, a=2",
            "a;x=1;x=1",
            "a=(\"b\";sf;sf)",
            "a=(b);created=1;created=2",
        ] {
            assert_eq!(read(text), Err(Reason::Malformed), "{text}");
        }
        let text = "a=(\"b\";sf \"b\");created=1, b=:AA==:";
        assert_eq!(read(text), Ok(Some(text.to_owned())));
        assert_eq!(list(b"a;x;x"), Err(Reason::Malformed));
        assert_eq!(item(b"a;x;x"), Err(Reason::Malformed));
        assert!(list(b"a, a").is_ok() && item(b"a;x;y").is_ok());
    }

    #[test]
    fn large_fields_are_refused_before_they_are_read() {
        let long = format!("a=\"{}\"", "x".repeat(BYTES_MAX));
        assert_eq!(dictionary(long.as_bytes()), Err(Reason::TooLarge));
        let many: Vec<String> = (0..=PARTS_MAX).map(|number| format!("a{number}")).collect();
        assert_eq!(
            dictionary(many[1..].join(",").as_bytes()).map(|it| it.len()),
            Ok(PARTS_MAX)
        );
        assert_eq!(
            dictionary(many.join(",").as_bytes()),
            Err(Reason::Malformed)
        );
    }

    #[test]
    fn lines_of_a_field_are_joined_in_order() {
        let mut headers = HeaderMap::new();
        assert_eq!(combined(&headers, "a"), None);
        for line in ["  x ", "y\t", ""] {
            headers.append("a", line.parse().unwrap());
        }
        assert_eq!(combined(&headers, "a").as_deref(), Some(&b"x, y, "[..]));
    }
}
