//! Strictness of descriptions of bodies: decides if the description of one media type lacks a check
//! that the description of another media type has.
//!
//! The sender chooses the media type, and an upstream also chooses the status. A description that
//! accepts every object, text or form therefore ends the check of all bodies of a message.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use bundle::ir::{MediaType, Value};
use rustc_hash::FxHashMap;

use crate::cone::Cone;
use crate::contain::{ANY, ContainmentCheck, is_assertion, names};
use crate::lower::{Direction, resolved};
use crate::media::{self, Form};

/// Maximum number of schemas that are visited to find the checks of one property.
const STEPS_MAX: u32 = 10_000;

/// Extent to which a description checks a value, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extent {
    /// Every value is accepted.
    Nothing,
    /// Every object, every array or every string is accepted. Only sizes and required names are
    /// checked.
    Kind,
    /// Values or properties are checked.
    Content,
}

/// Serialization of a value, which limits the values that can occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// Any JSON value.
    Json,
    /// A text: a body of type `text/*`, or a field of a form.
    Text,
    /// An object whose properties are texts.
    Form,
}

impl Place {
    fn of(media_type: &str) -> Self {
        match media::MediaType::parse(media_type).map(|one| one.form()) {
            Some(Form::Text) => Self::Text,
            Some(Form::Urlencoded | Form::Multipart) => Self::Form,
            _ => Self::Json,
        }
    }

    /// Serialization of a property's value.
    fn property(self) -> Self {
        match self {
            Self::Json => Self::Json,
            Self::Text | Self::Form => Self::Text,
        }
    }
}

/// True if gwd reads bodies of this media type to check them.
pub(crate) fn is_read(name: &str, direction: Direction) -> bool {
    match direction {
        Direction::Request => media::is_read(name),
        Direction::Response => media::is_read_in_responses(name),
    }
}

/// Schema by which bodies of a media type are checked.
#[derive(Clone, Copy)]
pub(crate) enum CheckedSchema<'a> {
    /// Schema of the whole body.
    Whole(&'a Value),
    /// Schema of each item of a sequence.
    Items(&'a Value),
}

/// Schema by which bodies of a media type are checked. `None` if they are not checked.
pub(crate) fn checked_schema(one: &MediaType, direction: Direction) -> Option<CheckedSchema<'_>> {
    let items = one.definition.get("itemSchema");
    if let Some(items) = items.filter(|_| media::is_split(&one.name)) {
        return Some(CheckedSchema::Items(items));
    }
    let whole = one.definition.get("schema");
    let whole = whole.filter(|_| is_read(&one.name, direction));
    whole.map(CheckedSchema::Whole)
}

/// Check of bodies of a media type. Comparisons pair thousands of media types, and the name of each
/// is parsed once.
pub(crate) struct BodyCheck<'a> {
    cone: &'a Cone,
    /// Extent of the check.
    pub(crate) extent: Extent,
    schema: &'a Value,
    place: Place,
    /// Properties that the schema checks, once they are known ([`Reader::checked`]).
    properties: OnceCell<BTreeMap<&'a str, Extent>>,
}

impl<'a> BodyCheck<'a> {
    pub(crate) fn of(cone: &'a Cone, one: &'a MediaType, direction: Direction) -> Self {
        let (schema, place) = match checked_schema(one, direction) {
            Some(CheckedSchema::Whole(schema)) => (Some(schema), Place::of(&one.name)),
            Some(CheckedSchema::Items(schema)) => (Some(schema), Place::Json),
            None => (None, Place::of(&one.name)),
        };
        Self {
            cone,
            extent: extent(cone, one, direction),
            schema: schema.unwrap_or(&ANY),
            place,
            properties: OnceCell::new(),
        }
    }

    /// Properties that the schema checks, with the extents of the checks.
    fn properties(&self) -> &BTreeMap<&'a str, Extent> {
        let found = || Reader::new(self.cone).checked(self.schema, self.place);
        self.properties.get_or_init(found)
    }

    /// True if this check of an added media type lacks a check of the body that a media type of the
    /// old description has (`was`).
    pub(crate) fn leaves_open(&self, was: &Self, direction: Direction) -> bool {
        let (before, after) = (was.extent, self.extent);
        if before == Extent::Nothing {
            return false;
        }
        let mut reader = Reader::new(self.cone);
        let mut checked = was.properties().iter();
        let is_weaker = after < before
            || checked
                .any(|(name, extent)| reader.property(self.schema, self.place, name) < *extent);
        // Compare the schemas last, because that takes longest.
        let mut containment = ContainmentCheck::in_direction(was.cone, self.cone, direction);
        is_weaker && !(after > Extent::Nothing && containment.holds(was.schema, self.schema))
    }
}

/// Extent of the checks of bodies of a media type.
pub(crate) fn extent(cone: &Cone, media_type: &MediaType, direction: Direction) -> Extent {
    match checked_schema(media_type, direction) {
        Some(CheckedSchema::Whole(schema)) => {
            Reader::new(cone).extent(schema, Place::of(&media_type.name))
        }
        // gwd checks the format of the items in any case, even if the schema accepts everything.
        Some(CheckedSchema::Items(schema)) => {
            let items = Reader::new(cone).extent(schema, Place::Json);
            items.max(Extent::Kind)
        }
        None => Extent::Nothing,
    }
}

/// Computes the extents of the checks of one description's schemas.
struct Reader<'a> {
    table: &'a [Value],
    /// Extents of the visited nodes. [`Extent::Nothing`] while a node is being visited.
    extents: FxHashMap<(u32, Place), Extent>,
    steps: u32,
}

impl<'a> Reader<'a> {
    fn new(cone: &'a Cone) -> Self {
        Self {
            table: &cone.schemas,
            extents: FxHashMap::default(),
            steps: 0,
        }
    }

    fn extent(&mut self, schema: &Value, place: Place) -> Extent {
        let Value::Node(node) = schema else {
            return self.extent_here(schema, place);
        };
        if let Some(known) = self.extents.get(&(*node, place)) {
            return *known;
        }
        self.extents.insert((*node, place), Extent::Nothing);
        let extent = self.extent_here(resolved(self.table, schema), place);
        self.extents.insert((*node, place), extent);
        extent
    }

    fn extent_here(&mut self, schema: &Value, place: Place) -> Extent {
        match schema {
            Value::Bool(true) => Extent::Nothing,
            Value::Map(entries) => {
                let table = self.table;
                let asserted = entries
                    .iter()
                    .filter(|(key, value)| is_assertion(key, resolved(table, value)));
                let each = asserted.map(|(key, value)| self.keyword(key, value, place));
                each.max().unwrap_or(Extent::Nothing)
            }
            _ => Extent::Content,
        }
    }

    /// Extent of the checks of one keyword.
    fn keyword(&mut self, key: &str, value: &Value, place: Place) -> Extent {
        let table = self.table;
        let listed = || resolved(table, value);
        match key {
            "type" => {
                let all = names(table, value);
                let is_whole = match place {
                    Place::Json => false,
                    Place::Text => all.contains("string"),
                    Place::Form => all.contains("object"),
                };
                match ["object", "array", "string"]
                    .iter()
                    .any(|one| all.contains(one))
                {
                    _ if is_whole => Extent::Nothing,
                    true => Extent::Kind,
                    false => Extent::Content,
                }
            }
            "required" | "dependentRequired" | "minProperties" | "maxProperties" | "minItems"
            | "maxItems" | "uniqueItems" | "minLength" | "maxLength" | "minimum" | "maximum"
            | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" | "minContains"
            | "maxContains" => Extent::Kind,
            "items" => match self.extent(value, place.property()) {
                Extent::Content => Extent::Content,
                Extent::Nothing | Extent::Kind => Extent::Kind,
            },
            "properties" => {
                let each = listed().entries().iter();
                let each = each.map(|(_, one)| self.of_property(one, place));
                each.max().unwrap_or(Extent::Nothing)
            }
            "additionalProperties" => self.of_property(value, place),
            "allOf" => {
                let each = listed().items().iter();
                let each = each.map(|one| self.extent(one, place));
                each.max().unwrap_or(Extent::Nothing)
            }
            "anyOf" | "oneOf" => {
                let each = listed().items().iter();
                let each = each.map(|one| self.extent(one, place));
                each.min().unwrap_or(Extent::Content)
            }
            "$ref" => self.extent(value, place),
            _ => Extent::Content,
        }
    }

    /// Extent to which the schema of a property checks an object.
    fn of_property(&mut self, schema: &Value, place: Place) -> Extent {
        match self.extent(schema, place.property()) {
            Extent::Nothing => Extent::Nothing,
            Extent::Kind | Extent::Content => Extent::Content,
        }
    }

    /// Names of the properties that a schema checks, with the extents of the checks. For
    /// alternatives, only names that every alternative checks.
    fn checked(&mut self, schema: &'a Value, place: Place) -> BTreeMap<&'a str, Extent> {
        self.steps += 1;
        let mut found = BTreeMap::new();
        if self.steps > STEPS_MAX {
            return found;
        }
        let table = self.table;
        let mut add = |name: &'a str, extent: Extent| {
            let known = found.entry(name).or_insert(extent);
            *known = extent.max(*known);
        };
        for (key, value) in resolved(table, schema).entries() {
            match &**key {
                "properties" => {
                    for (name, schema) in resolved(table, value).entries() {
                        add(name, self.extent(schema, place.property()));
                    }
                }
                "allOf" => {
                    for part in resolved(table, value).items() {
                        let inner = self.checked(part, place);
                        inner.into_iter().for_each(|(name, one)| add(name, one));
                    }
                }
                "$ref" => {
                    let inner = self.checked(value, place);
                    inner.into_iter().for_each(|(name, one)| add(name, one));
                }
                "anyOf" | "oneOf" => {
                    let parts = resolved(table, value).items().iter();
                    let mut parts: Vec<_> = parts.map(|part| self.checked(part, place)).collect();
                    parts.sort_by_key(|part| Reverse(part.len()));
                    let Some(fewest) = parts.pop() else { continue };
                    for (name, extent) in fewest {
                        let others = parts.iter().map(|part| part.get(name).copied());
                        let least = others.chain([Some(extent)]).min().flatten();
                        least.into_iter().for_each(|one| add(name, one));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Extent to which a schema checks the property `name`. [`Extent::Content`] if the schema
    /// refuses values with this property.
    fn property(&mut self, schema: &Value, place: Place, name: &str) -> Extent {
        self.steps += 1;
        // Every field of a form is a text.
        let least = match place {
            Place::Form => Extent::Kind,
            Place::Json | Place::Text => Extent::Nothing,
        };
        if self.steps > STEPS_MAX {
            return least;
        }
        let table = self.table;
        let schema = resolved(table, schema);
        if let Value::Bool(admits) = schema {
            return if *admits { least } else { Extent::Content };
        }
        let object = schema.get("type").map(|all| names(table, all));
        if place == Place::Text || object.is_some_and(|all| !all.contains("object")) {
            return Extent::Content;
        }
        let own = schema.get("properties");
        let own = own.and_then(|all| resolved(table, all).get(name));
        let mut found = match own.or_else(|| schema.get("additionalProperties")) {
            Some(own) => self.extent(own, place.property()).max(least),
            None => least,
        };
        for (key, value) in schema.entries() {
            let parts = || resolved(table, value).items().iter();
            let inner = match &**key {
                "allOf" => parts().map(|one| self.property(one, place, name)).max(),
                "anyOf" | "oneOf" => parts().map(|one| self.property(one, place, name)).min(),
                "$ref" => Some(self.property(value, place, name)),
                "unevaluatedProperties" if own.is_none() => {
                    Some(self.extent(value, place.property()))
                }
                "enum" | "const" => Some(Extent::Content),
                _ => None,
            };
            found = found.max(inner.unwrap_or(found));
        }
        found
    }
}
