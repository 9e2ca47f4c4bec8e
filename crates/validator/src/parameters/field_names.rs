//! Names of fields that belong to the parameters of one place, and names that some servers read as
//! one of them. Checks the names of the fields in a request.

use std::borrow::Cow;

use bundle::ir::ParameterPlace;
use http::HeaderName;
use policy::auth::name_and_value;
use policy::invalid::Finding;

use super::{Head, Parameter, cookie_fields, cookie_pairs, part_of};
use crate::names::{AFTER_COMMA, Described, Name, OTHER_SPELLING};
use crate::text::{decode, decode_unicode, folded};
use crate::words;

/// Names that the parameters of one place describe.
pub(crate) struct FieldNames<'p> {
    own: Vec<&'p Parameter>,
    described: Described<'p>,
}

/// Names of query parameters that an operation does not describe.
pub(crate) struct UndescribedNames<'p> {
    own: Vec<&'p Parameter>,
    /// Further names that count as described.
    known: &'p [String],
    /// True if a parameter describes every name.
    is_open: bool,
    described: Described<'p>,
}

impl<'p> FieldNames<'p> {
    /// Collects the names of the parameters at `place`.
    pub(crate) fn of(parameters: &'p [Parameter], place: ParameterPlace) -> Self {
        let own = parameters.iter().filter(|one| one.place == place);
        let own: Vec<&Parameter> = own.collect();
        let described = Described::of(own.iter().flat_map(|one| one.names()));
        Self { own, described }
    }

    /// True if there is no parameter at the place.
    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Described names that only some servers find in a query. Each name has the text of the
    /// finding to report.
    pub(crate) fn hidden_in_query(
        &self,
        query: &str,
    ) -> impl Iterator<Item = (&'p str, &'static str)> {
        let is_own = |name: &str| self.own.iter().any(|one| one.owns_exactly(name));
        self.described.hidden(query, is_own)
    }

    /// Described cookie that some servers read instead of a cookie with this name. `None` if a
    /// parameter describes the name itself.
    pub(crate) fn read_as_cookie(&self, name: &str) -> Option<&'p str> {
        let is_own = || self.own.iter().any(|one| one.owns(name));
        let described = self.described.read_as(&decode(name, true))?;
        (!is_own()).then_some(described)
    }

    /// Described header fields of which `names` contains a different spelling. Some servers read
    /// `_` and `.` as `-`.
    pub(crate) fn headers_in_other_spelling(&self, names: &[&str]) -> Vec<&'p str> {
        let is_described = |name: &str| {
            let mut own = self.own.iter();
            own.any(|one| one.name.eq_ignore_ascii_case(name))
        };
        let found = self.own.iter().filter(|one| {
            let mut names = names.iter();
            names.any(|name| is_read_as_header(name, &one.name) && !is_described(name))
        });
        found.map(|one| &*one.name).collect()
    }
}

impl<'p> UndescribedNames<'p> {
    /// Collects the names that query parameters describe. `known`: further names that count as
    /// described.
    pub(crate) fn of(parameters: &'p [Parameter], known: &'p [String]) -> Self {
        let own = parameters.iter();
        let own: Vec<&Parameter> = own
            .filter(|one| one.place == ParameterPlace::Query)
            .collect();
        let mut all = parameters.iter();
        let has_whole = all.any(|one| one.place == ParameterPlace::Querystring);
        let names = own.iter().flat_map(|one| one.names());
        let known_names = known.iter().map(|text| Name {
            text,
            has_parts: false,
        });
        Self {
            is_open: has_whole || own.iter().any(|one| one.spreads() && !one.kinds.is_closed),
            described: Described::of(names.chain(known_names)),
            own,
            known,
        }
    }

    /// First decoded name in a query field that is not described. `None` if all names of the field
    /// are described.
    ///
    /// Some servers separate fields at `;`. A field therefore counts as described only if each
    /// part between semicolons has a described name. An object that allows additional properties
    /// describes every name, except names that lenient servers read as a different, described name.
    pub(crate) fn name_in<'q>(&self, field: &'q str) -> Option<Cow<'q, str>> {
        let mut parts = field.split(';').filter(|part| !part.is_empty());
        parts.find_map(|part| {
            let (written, _) = name_and_value(part);
            let name = decode(written, true);
            let is_read = |name: &str| self.described.read_in_field(name).is_some();
            let is_lookalike = || is_read(&name) || is_read(&decode_unicode(written));
            let is_own = self.describes(&name) && !part.starts_with('=');
            let is_undescribed = !is_own && (!self.is_open || is_lookalike());
            is_undescribed.then_some(name)
        })
    }

    fn describes(&self, name: &str) -> bool {
        self.known.iter().any(|one| one == name) || self.own.iter().any(|one| one.describes(name))
    }
}

/// Adds findings about fields that some servers read as a described parameter. The values of these
/// fields are not checked as values of the parameter.
pub(crate) fn check(parameters: &[Parameter], head: &Head<'_>, findings: &mut Vec<Finding>) {
    let mut add = |place: ParameterPlace, (name, detail): (&str, &str)| {
        if findings.len() < words::FINDINGS_MAX {
            findings.push(words::finding(part_of(place, name), "", detail));
        }
    };
    let own = FieldNames::of(parameters, ParameterPlace::Query);
    if let (Some(query), false) = (head.query, own.is_empty()) {
        let found = own.hidden_in_query(query);
        found.for_each(|one| add(ParameterPlace::Query, one));
    }
    let own = FieldNames::of(parameters, ParameterPlace::Cookie);
    if !own.is_empty() {
        for field in cookie_fields(head.headers) {
            if let Some(name) = own.read_as_cookie(&field.name) {
                add(ParameterPlace::Cookie, (name, OTHER_SPELLING));
            }
        }
        for pair in cookie_pairs(head.headers) {
            let pair = String::from_utf8_lossy(pair);
            if let Some(name) = own.described.read_after_equals(&pair) {
                add(ParameterPlace::Cookie, (name, OTHER_SPELLING));
            }
            let found = own.described.hidden_in_cookie(pair.trim());
            found.for_each(|name| add(ParameterPlace::Cookie, (name, AFTER_COMMA)));
        }
    }
    let own = FieldNames::of(parameters, ParameterPlace::Header);
    if !own.is_empty() {
        let names = head.headers.keys().map(HeaderName::as_str);
        let names: Vec<&str> = names.collect();
        for name in own.headers_in_other_spelling(&names) {
            add(ParameterPlace::Header, (name, OTHER_SPELLING));
        }
    }
}

/// Fields of a query that no parameter describes: the decoded name, and the field as written.
/// `known`: further names that count as described.
pub(crate) fn undeclared<'q>(
    parameters: &[Parameter],
    query: &'q str,
    known: &[String],
) -> Vec<(Cow<'q, str>, &'q str)> {
    let undescribed = UndescribedNames::of(parameters, known);
    let fields = query.split('&').filter(|field| !field.is_empty());
    fields
        .filter_map(|field| Some((undescribed.name_in(field)?, field)))
        .collect()
}

/// True if a description of `described` refuses `name`, because some servers read it as the described
/// name. `place`: that of parameters with these names; `None` for members of JSON objects.
#[must_use]
pub fn is_other_spelling(name: &str, described: &str, place: Option<ParameterPlace>) -> bool {
    let text = described;
    let has_parts = false;
    let described = || Described::of(std::iter::once(Name { text, has_parts }));
    let is_read = match place {
        None => folded(name) == folded(text),
        Some(ParameterPlace::Query) => described().read_in_field(name).is_some(),
        Some(ParameterPlace::Cookie) => described().read_as(name).is_some(),
        Some(ParameterPlace::Header) => is_read_as_header(name, text),
        Some(ParameterPlace::Path | ParameterPlace::Querystring) => false,
    };
    is_read && name != text
}

/// True if some servers read the header field `name` as the field `wanted`, and the names differ.
fn is_read_as_header(name: &str, wanted: &str) -> bool {
    let plain = |byte: u8| match byte {
        b'_' | b'.' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    let mut pairs = name.bytes().zip(wanted.bytes());
    name.len() == wanted.len()
        && !name.eq_ignore_ascii_case(wanted)
        && pairs.all(|(one, other)| plain(one) == plain(other))
}
