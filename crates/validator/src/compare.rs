//! Comparison of two descriptions of messages: decides if one description accepts all messages that
//! the other accepts.
//!
//! The comparison only finds differences. Plans and other callers decide how important a difference
//! is.

use std::collections::BTreeSet;

use bundle::ir::{Body, Header, MediaType, Parameter, ParameterPlace, Set, Value};
use policy::invalid::Part;

use crate::compared_names::{DescribedNames, Owner, owner};
use crate::cone::Cone;
use crate::contain::{ANY, ContainmentCheck};
use crate::lower::Direction;
use crate::media;
use crate::open::{BodyCheck, CheckedSchema, Extent, checked_schema, extent};
use crate::parameters::{is_ignored, part_of, written_style};
use crate::style::Style;

/// True if each request that matches `old` was shown to match `new`.
#[must_use]
pub fn accepts_all(new: &Cone, old: &Cone) -> bool {
    let found = differences([old, new], [None; 2]);
    found.iter().all(|one| one.relation == Relation::Wider)
}

/// Relation between the messages that a part of the new description accepts and those that the part
/// of the old description accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The new description accepts all messages that the old one accepts. The reverse was not
    /// shown.
    Wider,
    /// The old description accepts all messages that the new one accepts. The reverse was not
    /// shown.
    Narrower,
    /// Containment was shown in neither direction.
    Unknown,
}

/// Part of messages that two descriptions restrict differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Key under `responses`, such as `200` or `4xx`. `None`: the part belongs to a request.
    pub status: Option<Box<str>>,
    /// Parameter or body. A path parameter is named as in the new description.
    pub part: Part,
    /// Media type of the body, if only the description of this type differs. Otherwise `None`.
    pub media_type: Option<Box<str>>,
    /// Relation between the messages that the two descriptions accept.
    pub relation: Relation,
    /// True if the new description drops a check of the body: it accepts every body of this media
    /// type, or every object, array or text. If the difference concerns the body as a whole or a
    /// status, one media type that accepts every body is enough. Also true if an added media type
    /// or status lacks a check of the old description.
    pub accepts_every_body: bool,
}

/// Differences between an old and a new description. Empty if both descriptions were shown to
/// accept the same requests. `known`: for each description, the names that count as described if
/// the gateway refuses undescribed query parameters. `None` if the gateway accepts them.
#[must_use]
pub fn differences(sides: [&Cone; 2], known: [Option<&[String]>; 2]) -> Vec<Difference> {
    let [old, new] = sides;
    if old.digest == new.digest && known[0] == known[1] {
        return Vec::new();
    }
    let names = [0, 1].map(|side| DescribedNames::of(sides[side], known[side]));
    // For each side: parameters that it accepts and the other side refuses because of their names.
    let uncovered = [0, 1].map(|side| names[side].uncovered(&names[1 - side]));
    let mut found = Vec::new();
    let mut add = |part, media_type, [wider, narrower]: [bool; 2], accepts_every_body| {
        let relation = match (wider, narrower) {
            (true, true) => return,
            (true, false) => Relation::Wider,
            (false, true) => Relation::Narrower,
            (false, false) => Relation::Unknown,
        };
        found.push(Difference {
            status: None,
            part,
            media_type,
            relation,
            accepts_every_body,
        });
    };
    for [was, is] in paired(&old.operation.parameters, &new.operation.parameters) {
        let Some(one) = is.or(was) else { continue };
        let covers = [0, 1].map(|narrow: usize| {
            let mut comparing = ContainmentCheck::new(sides[1 - narrow], sides[narrow]);
            let both = [was, is];
            let of = (one.place, &names[1 - narrow], one.name.as_str());
            let refuses = one.place == ParameterPlace::Query
                && !names[narrow].shares_name_of(of.0, of.1, of.2);
            comparing.parameter(both[1 - narrow], (both[narrow], refuses))
                && !uncovered[narrow].contains(&owner(one.place, &one.name))
        });
        add(part_of(one.place, &one.name), None, covers, false);
    }
    let bodies = [&old.operation.body, &new.operation.body].map(Option::as_ref);
    let typed = |body: Option<&Body>| -> Option<(bool, Vec<String>)> {
        let names = body?.media_types.iter().map(|one| one.name.clone());
        Some((body?.required, names.collect()))
    };
    match bodies {
        // Both bodies have the same media types, so compare the two descriptions of each media
        // type.
        [Some(was), Some(is)] if typed(Some(was)) == typed(Some(is)) => {
            for (was, is) in was.media_types.iter().zip(&is.media_types) {
                let covers = [
                    ContainmentCheck::new(new, old).media_type(Some(is), was),
                    ContainmentCheck::new(old, new).media_type(Some(was), is),
                ];
                let direction = Direction::Request;
                let every = extent(new, is, direction) < extent(old, was, direction);
                add(Part::Body, Some(is.name.as_str().into()), covers, every);
            }
        }
        [was, is] => {
            let covers = [
                ContainmentCheck::new(new, old).bodies(is.map(content), was.map(content)),
                ContainmentCheck::new(old, new).bodies(was.map(content), is.map(content)),
            ];
            let every = is.is_none_or(|is| {
                let gone = was.is_some_and(|was| {
                    let sides = [(old, &was.media_types), (new, &is.media_types)];
                    lifts_check(sides, Direction::Request)
                });
                gone || is.media_types.iter().next().is_none()
            });
            add(Part::Body, None, covers, every);
        }
    }
    found
}

/// Compares the query parameters that two descriptions describe, for gateways that refuse or remove
/// other parameters. `known`: further names that count as described, for each side. Returns
/// [`Relation::Wider`] for a parameter with a name that only the new description has.
#[must_use]
pub fn described_parameters(sides: [&Cone; 2], known: [&[String]; 2]) -> Vec<Difference> {
    let [old, new] = [0, 1].map(|side| DescribedNames::of_queries(sides[side], known[side]));
    let (removed, added) = (old.uncovered(&new), new.uncovered(&old));
    let owners: BTreeSet<&Owner> = added.union(&removed).collect();
    let differences = owners.into_iter().map(|owner| Difference {
        status: None,
        part: part_of(owner.0, &owner.1),
        media_type: None,
        relation: match (added.contains(owner), removed.contains(owner)) {
            (true, true) => Relation::Unknown,
            (true, false) => Relation::Wider,
            (false, _) => Relation::Narrower,
        },
        accepts_every_body: false,
    });
    differences.collect()
}

/// True if the new list of media types drops a check of the old list. Either the check of a media
/// type is weaker, or an added media type lacks a check. The sender chooses the media type, so it
/// can send every body with the weaker type.
pub(crate) fn lifts_check(
    [(old, was), (new, is)]: [(&Cone, &Set<MediaType>); 2],
    direction: Direction,
) -> bool {
    let before = was.iter().map(|one| BodyCheck::of(old, one, direction));
    let before: Vec<BodyCheck<'_>> = before.filter(|one| one.extent > Extent::Nothing).collect();
    is.iter().any(|is| match was.get(&is.name) {
        Some(was) => extent(new, is, direction) < extent(old, was, direction),
        None => {
            let added = BodyCheck::of(new, is, direction);
            let mut all = before.iter();
            all.any(|was| added.leaves_open(was, direction))
        }
    })
}

/// Pairs of an old and a new parameter with the same place and name. Path parameters are paired by
/// position, because their names have no meaning.
fn paired<'a>(old: &'a [Parameter], new: &'a [Parameter]) -> Vec<[Option<&'a Parameter>; 2]> {
    let counts = |one: &&Parameter| !is_ignored(one.place, &one.name);
    let in_path = |one: &&Parameter| one.place == ParameterPlace::Path;
    let of = |all: &'a [Parameter], path: bool| {
        all.iter()
            .filter(counts)
            .filter(move |one| in_path(one) == path)
    };
    let (mut was, mut is) = (of(old, true), of(new, true));
    let mut pairs = Vec::new();
    loop {
        match (was.next(), is.next()) {
            (None, None) => break,
            (was, is) => pairs.push([was, is]),
        }
    }
    let is_same = |one: &Parameter, other: &Parameter| {
        let fold = one.place == ParameterPlace::Header;
        one.place == other.place
            && (one.name == other.name || fold && one.name.eq_ignore_ascii_case(&other.name))
    };
    for one in of(new, false) {
        pairs.push([of(old, false).find(|other| is_same(one, other)), Some(one)]);
    }
    let gone = of(old, false).filter(|one| !of(new, false).any(|other| is_same(one, other)));
    pairs.extend(gone.map(|one| [Some(one), None]));
    pairs
}

/// Body content: true if the body is required, and its media types.
type Content<'a> = (bool, &'a Set<MediaType>);

fn content(body: &Body) -> Content<'_> {
    (body.required, &body.media_types)
}

impl<'a> ContainmentCheck<'a> {
    /// True if the wide description of a parameter accepts all values that the narrow one accepts.
    /// Names are compared elsewhere. `narrow_refuses` is true if the narrow description refuses all
    /// names of the wide parameter.
    fn parameter(
        &mut self,
        wide: Option<&'a Parameter>,
        (narrow, narrow_refuses): (Option<&'a Parameter>, bool),
    ) -> bool {
        match (wide, narrow) {
            (None, _) => true,
            (Some(wide), None) if narrow_refuses => !wide.required,
            (Some(wide), None) => {
                let schema = wide.definition.get("schema");
                !wide.required
                    && schema.is_none_or(|schema| self.is_any(schema))
                    && wide.definition.get("content").is_none()
            }
            (Some(wide), Some(narrow)) => {
                let same = |key: &str| wide.definition.get(key) == narrow.definition.get(key);
                let schema = |definition: &'a Value| definition.get("schema").unwrap_or(&ANY);
                let is_deep = written_style(wide).0 == Style::DeepObject;
                (!wide.required || narrow.required)
                    && same("style")
                    && (same("explode") || is_deep)
                    && (same("allowEmptyValue") || wide.definition.get("allowEmptyValue").is_some())
                    && match (
                        wide.definition.get("content"),
                        narrow.definition.get("content"),
                    ) {
                        (None, None) => {
                            let (wide_text, narrow_text) = (&wide.definition, &narrow.definition);
                            let (wide_schema, own) = (schema(wide_text), schema(narrow_text));
                            self.reads_texts(wide.place, wide_text, narrow_text)
                                && self.holds(wide_schema, own)
                                && self.accepts_members(wide_schema, own)
                        }
                        (Some(wide), Some(narrow)) => self.same(wide, narrow),
                        _ => false,
                    }
            }
        }
    }

    /// True if the wide description of a response field accepts everything that the narrow one
    /// accepts. A field without a description is not checked.
    pub(crate) fn field(&mut self, wide: Option<&'a Header>, narrow: Option<&'a Header>) -> bool {
        let Some(wide) = wide else { return true };
        let schema = |one: &'a Header| one.definition.get("schema").unwrap_or(&ANY);
        let content = |one: &'a Header| one.definition.get("content");
        let Some(narrow) = narrow else {
            return !wide.required && content(wide).is_none() && self.is_any(schema(wide));
        };
        let is_same = wide.definition.get("explode") == narrow.definition.get("explode");
        (!wide.required || narrow.required)
            && is_same
            && match (content(wide), content(narrow)) {
                (None, None) => {
                    let place = ParameterPlace::Header;
                    self.reads_texts(place, &wide.definition, &narrow.definition)
                        && self.holds(schema(wide), schema(narrow))
                        && self.accepts_members(schema(wide), schema(narrow))
                }
                (Some(wide), Some(narrow)) => self.same(wide, narrow),
                _ => false,
            }
    }

    pub(crate) fn bodies(
        &mut self,
        wide: Option<Content<'a>>,
        narrow: Option<Content<'a>>,
    ) -> bool {
        let Some((required, wide)) = wide else {
            return true;
        };
        let mut types = wide.iter();
        let Some((narrow_required, narrow)) = narrow else {
            return !required && types.next().is_none();
        };
        if required && !narrow_required {
            return false;
        }
        let names = |types: &'a Set<MediaType>| types.iter().map(|one| &one.name);
        // A body without media types accepts all media types.
        if types.next().is_none() {
            return true;
        }
        if names(narrow).next().is_none() {
            return false;
        }
        // A media type that only the narrow description has may match a range of the wide one.
        // Ranges are not compared, so containment is not proved.
        if !names(narrow).all(|name| wide.get(name).is_some()) {
            return false;
        }
        let added = names(wide).any(|name| narrow.get(name).is_none());
        if added && names(wide).any(|name| name.contains('*') || name.contains(';')) {
            return false;
        }
        let mut each = narrow.iter();
        each.all(|one| self.media_type(wide.get(&one.name), one))
    }

    /// True if the wide description of a media type accepts all bodies of the narrow one.
    pub(crate) fn media_type(
        &mut self,
        wide: Option<&'a MediaType>,
        narrow: &'a MediaType,
    ) -> bool {
        let direction = self.direction();
        let Some((wide, schema)) =
            wide.and_then(|wide| Some((wide, checked_schema(wide, direction)?)))
        else {
            return true;
        };
        let holds = match (schema, checked_schema(narrow, direction)) {
            (CheckedSchema::Whole(schema), None) => self.is_any(schema),
            (CheckedSchema::Whole(schema), Some(CheckedSchema::Whole(own))) => {
                let name = &narrow.name;
                let accepts_form =
                    || self.reads_forms(schema, own) && self.accepts_fields(name, schema, own);
                (!media::is_form(name) || accepts_form())
                    && self.holds(schema, own)
                    && self.accepts_members(schema, own)
            }
            (CheckedSchema::Items(wide), Some(CheckedSchema::Items(narrow))) => {
                return self.with_content().holds(wide, narrow)
                    && self.accepts_members(wide, narrow);
            }
            _ => return false,
        };
        let wide = &wide.definition;
        holds
            && match (wide.get("encoding"), narrow.definition.get("encoding")) {
                (None, None) => true,
                (Some(wide), Some(narrow)) => self.same(wide, narrow),
                _ => !media::is_form(&narrow.name),
            }
    }
}
