//! Conversion of forms (`application/x-www-form-urlencoded` and `multipart/form-data`) to objects
//! (OpenAPI 3.1 §4.8.14.4).

use std::borrow::Cow;
use std::collections::BTreeMap;

use bundle::ir::Value;
use policy::invalid::Finding;
use serde_json::{Map, Value as Json};

use crate::json;
use crate::kinds::Kinds;
use crate::media::{Form, MediaType};
use crate::multipart::Part;
use crate::names::{Described, Name, OTHER_SPELLING, has_dotted_member};
use crate::style::{self, Interpretation, Style};
use crate::text::{decode, fields, split};
use crate::words;

/// Decoded name and value of a form field.
type Member<'t> = (Cow<'t, str>, Cow<'t, str>);

/// `encoding` objects of the properties of a form (OpenAPI).
#[derive(Debug, Default)]
pub(crate) struct Encodings(Vec<Encoding>);

#[derive(Debug)]
struct Encoding {
    name: Box<str>,
    style: Style,
    explode: bool,
    /// Media types in `contentType`. Empty if it is not set.
    types: Vec<MediaType>,
}

impl Encodings {
    /// Reads `encoding` of a media type.
    pub(crate) fn of(definition: &Value) -> Self {
        let entries = definition
            .get("encoding")
            .map(Value::entries)
            .unwrap_or_default();
        let all = entries.iter().map(|(name, definition)| {
            let text = |key: &str| match definition.get(key) {
                Some(Value::Text(text)) => Some(&**text),
                _ => None,
            };
            let style = Style::of(text("style"), bundle::ir::ParameterPlace::Query);
            let types = text("contentType").unwrap_or_default().split(',');
            Encoding {
                name: name.clone(),
                style,
                explode: match definition.get("explode") {
                    Some(Value::Bool(explode)) => *explode,
                    _ => style.explodes(),
                },
                types: types.filter_map(MediaType::parse).collect(),
            }
        });
        Self(all.collect())
    }

    fn get(&self, name: &str) -> Option<&Encoding> {
        self.0.iter().find(|one| *one.name == *name)
    }

    /// True if the values of a property are JSON. Either its `contentType` is JSON, or it has no
    /// `contentType` and its schema allows only objects.
    fn is_json(&self, name: &str, kinds: &Kinds) -> bool {
        let encoding = self.get(name);
        let typed = encoding.filter(|one| !one.types.is_empty());
        match typed {
            Some(one) => one.types.iter().all(|one| one.form() == Form::Json),
            None => kinds.has_objects() && !kinds.has_scalars() && !kinds.has_arrays(),
        }
    }
}

/// Converts an urlencoded form to an object. `None` if a field of a non-array property occurs
/// twice, or if a JSON value cannot be parsed.
pub(crate) fn urlencoded(
    text: &str,
    kinds: &Kinds,
    encodings: &Encodings,
    reading: Interpretation,
) -> Option<Json> {
    let mut object = Map::new();
    let mut deep: Vec<(&str, Vec<Member<'_>>)> = Vec::new();
    let mut lists: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in fields(text) {
        let name = decode(name, true);
        let owner = kinds
            .properties
            .iter()
            .find(|(known, kinds)| kinds.has_objects() && style::brackets(&name, known).is_some());
        if let Some((owner, _)) = owner {
            let member = (name, decode(value, reading.plus_is_space));
            match deep.iter_mut().find(|(known, _)| *known == &**owner) {
                Some((_, members)) => members.push(member),
                None => deep.push((owner, vec![member])),
            }
            continue;
        }
        let name = bare(&name, kinds).to_owned();
        lists.entry(name).or_default().push(value);
    }
    for (owner, members) in deep {
        let named: Option<Vec<_>> = members
            .iter()
            .map(|(key, text)| Some((style::brackets(key, owner)?, Cow::Borrowed(&**text))))
            .collect();
        let value = style::deep(&named?, kinds.property(owner), reading)?;
        object.insert(owner.to_owned(), value);
    }
    for (name, values) in lists {
        let own = kinds.property(&name);
        let encoding = encodings.get(&name);
        let (style, explode) = encoding.map_or((Style::Form, true), |one| (one.style, one.explode));
        let decoded = |text: &str| decode(text, reading.plus_is_space).into_owned();
        let value = match &values[..] {
            [one] if encodings.is_json(&name, own) => json::read(decoded(one).as_bytes()).ok()?,
            [one] if own.has_arrays() && !explode => {
                let delimiters = style.delimiters(reading.encoded_delimiters);
                let parts = split(one, delimiters).into_iter();
                style::array(parts.map(decoded), own, reading)
            }
            [one] if own.has_scalars() => own.scalar(&decoded(one), reading.as_text),
            all if own.has_arrays() => {
                style::array(all.iter().map(|one| decoded(one)), own, reading)
            }
            [one] => own.scalar(&decoded(one), reading.as_text),
            _ => return None,
        };
        if object.insert(name, value).is_some() {
            return None;
        }
    }
    Some(Json::Object(object))
}

/// Name of the property to which a field belongs: the field's name, without a final `[]` if the
/// property is an array. Some clients write arrays as `a[]=1&a[]=2`.
fn bare<'t>(name: &'t str, kinds: &Kinds) -> &'t str {
    let bare = name.strip_suffix("[]").filter(|bare| {
        let mut known = kinds.properties.iter();
        known.any(|(known, kinds)| **known == **bare && kinds.has_arrays())
    });
    bare.unwrap_or(name)
}

/// Names of the properties of a form, to find fields that some servers read as one of the
/// properties. The values of such fields are not checked against the schema of the property.
pub(crate) struct FormNames<'k> {
    kinds: &'k Kinds,
    described: Described<'k>,
}

impl<'k> FormNames<'k> {
    pub(crate) fn of(kinds: &'k Kinds) -> Self {
        let properties = kinds.properties.iter();
        let names = properties.map(|(name, kinds)| Name::of(name, kinds));
        let described = Described::of(names);
        Self { kinds, described }
    }

    /// Properties that only some servers find in the text of an urlencoded form. Each property has
    /// the text of the finding to report.
    pub(crate) fn hidden(&self, text: &str) -> impl Iterator<Item = (&'k str, &'static str)> {
        let is_own = |name: &str| {
            let mut known = self.kinds.properties.iter();
            let bare = bare(name, self.kinds);
            known.any(|(known, kinds)| {
                let is_member = |names: Vec<&str>| !has_dotted_member(&names, kinds);
                **known == *bare
                    || kinds.has_objects() && style::brackets(name, known).is_some_and(is_member)
            })
        };
        self.described.hidden(text, is_own)
    }

    /// Property that some servers read instead of `name`, the name of a part of a multipart form.
    /// `None` if the form describes `name` itself, or if there is no such property.
    pub(crate) fn read_as_part(&self, name: &str) -> Option<&'k str> {
        let bare = bare(name, self.kinds);
        let is_own = || self.kinds.describes(bare);
        let described = self.described.read_in_field(bare)?;
        (!is_own()).then_some(described)
    }
}

/// Findings about fields of an urlencoded form that some servers read as a described property.
/// `part`: part of the message that contains the form.
pub(crate) fn hidden(text: &str, kinds: &Kinds, part: &policy::invalid::Part) -> Vec<Finding> {
    findings(part, FormNames::of(kinds).hidden(text))
}

/// Findings about parts of a multipart form whose names are other spellings of a property. Some
/// servers read such a part as the property.
pub(crate) fn other_spellings(parts: &[Part<'_>], kinds: &Kinds) -> Vec<Finding> {
    let names = FormNames::of(kinds);
    let others = parts
        .iter()
        .filter_map(|part| Some((names.read_as_part(&part.name)?, OTHER_SPELLING)));
    findings(&policy::invalid::Part::Body, others)
}

fn findings<'n>(
    part: &policy::invalid::Part,
    found: impl Iterator<Item = (&'n str, &'static str)>,
) -> Vec<Finding> {
    let findings = found.map(|(name, detail)| words::finding(part.clone(), name, detail));
    findings.take(words::FINDINGS_MAX).collect()
}

/// Converts a multipart form to an object. `None` if a part of a non-array property occurs twice,
/// or if a JSON part cannot be parsed.
pub(crate) fn multipart(
    parts: &[Part<'_>],
    kinds: &Kinds,
    encodings: &Encodings,
    reading: Interpretation,
) -> Option<Json> {
    let mut object: Map<String, Json> = Map::new();
    for part in parts {
        let name = bare(&part.name, kinds);
        let own = kinds.property(name);
        let is_list = own.has_arrays();
        let kinds = if is_list { own.item() } else { own };
        let typed_json = part.media_type.as_ref().map(MediaType::form) == Some(Form::Json);
        let whole = encodings.is_json(name, own);
        let value = match () {
            // An array is sent either as one JSON part or as several parts.
            () if typed_json && (is_list || !own.has_scalars()) || whole => {
                json::read(part.body).ok()?
            }
            () if encodings.is_json(name, kinds) => json::read(part.body).ok()?,
            () => kinds.scalar(&String::from_utf8_lossy(part.body), reading.as_text),
        };
        match object.get_mut(name) {
            None if is_list && !value.is_array() => {
                object.insert(name.to_owned(), Json::Array(vec![value]));
            }
            None => {
                object.insert(name.to_owned(), value);
            }
            Some(Json::Array(items)) if is_list => items.push(value),
            Some(_) => return None,
        }
    }
    Some(Json::Object(object))
}

/// Name of the first part whose media type the `contentType` of its property does not allow.
pub(crate) fn mistyped<'p>(parts: &'p [Part<'_>], encodings: &Encodings) -> Option<&'p str> {
    let is_wrong = |part: &&Part<'_>| {
        let types = encodings.get(&part.name).map(|one| &one.types[..]);
        let types = types.filter(|types| !types.is_empty());
        match (types, &part.media_type) {
            (Some(types), Some(own)) => !types.iter().any(|one| one.rank(own).is_some()),
            _ => false,
        }
    };
    parts.iter().find(is_wrong).map(|part| &*part.name)
}

/// Name of the first described part whose text begins with a byte order mark.
pub(crate) fn byte_order_marked<'p>(parts: &'p [Part<'_>], kinds: &Kinds) -> Option<&'p str> {
    let is_marked = |part: &&Part<'_>| {
        !part.has_file_name
            && part.body.starts_with("\u{feff}".as_bytes())
            && kinds.describes(bare(&part.name, kinds))
    };
    parts.iter().find(is_marked).map(|part| &*part.name)
}
