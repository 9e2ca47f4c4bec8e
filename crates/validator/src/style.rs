//! Serialisation of parameter values: `style` and `explode` of OpenAPI (3.1 §4.8.12).

use std::borrow::Cow;

use bundle::ir::ParameterPlace;
use serde_json::{Map, Value as Json};

use crate::json::DEPTH_MAX;
use crate::kinds::Kinds;
use crate::text::{decode, split};

/// Serialization style of a parameter (`style` of OpenAPI).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
}

/// Interpretation of a text, for the cases in which an API description is ambiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interpretation {
    /// True to read a text as a string if the schema allows both a string and another type.
    pub(crate) as_text: bool,
    /// True to read `+` as a space.
    pub(crate) plus_is_space: bool,
    /// True to also split at percent-encoded delimiters, because some clients encode all
    /// delimiters.
    pub(crate) encoded_delimiters: bool,
}

/// All eight interpretations of a text. The first is the interpretation that most programs use.
pub(crate) const READINGS: [Interpretation; 8] = {
    let mut all = [Interpretation {
        as_text: false,
        plus_is_space: true,
        encoded_delimiters: false,
    }; 8];
    let mut index = 0;
    while index < 8 {
        all[index] = Interpretation {
            as_text: index & 1 != 0,
            plus_is_space: index & 2 == 0,
            encoded_delimiters: index & 4 != 0,
        };
        index += 1;
    }
    all
};

/// Structure of a value that is written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Structure {
    Scalar,
    Array,
    Object,
}

impl Structure {
    /// Structures that values with these types can have.
    pub(crate) fn of(kinds: &Kinds) -> impl Iterator<Item = Self> {
        let all = [
            (Self::Scalar, kinds.has_scalars()),
            (Self::Array, kinds.has_arrays()),
            (Self::Object, kinds.has_objects()),
        ];
        all.into_iter()
            .filter_map(|(structure, allowed)| allowed.then_some(structure))
    }
}

impl Style {
    /// Style with this name. Default: the default style of parameters at `place`.
    pub(crate) fn of(name: Option<&str>, place: ParameterPlace) -> Self {
        match (name, place) {
            (Some("label"), _) => Self::Label,
            (Some("matrix"), _) => Self::Matrix,
            (Some("spaceDelimited"), _) => Self::SpaceDelimited,
            (Some("pipeDelimited"), _) => Self::PipeDelimited,
            (Some("deepObject"), _) => Self::DeepObject,
            (Some("simple"), _) => Self::Simple,
            (Some(_), _) => Self::Form,
            (None, ParameterPlace::Path | ParameterPlace::Header) => Self::Simple,
            (None, _) => Self::Form,
        }
    }

    /// Default of `explode` for this style.
    pub(crate) fn explodes(self) -> bool {
        self == Self::Form
    }

    /// Spellings of the delimiter between items. With `encoded`, these include percent-encoded
    /// commas.
    pub(crate) fn delimiters(self, encoded: bool) -> &'static [&'static str] {
        match (self, encoded) {
            (Self::SpaceDelimited, _) => &["%20", "+", " "],
            (Self::PipeDelimited, _) => &["|", "%7C"],
            (_, true) => &[",", "%2C"],
            (_, false) => &[","],
        }
    }
}

/// Converts the text of a complete value: a scalar, all items of an array, or all members of an
/// object. `None` if the text does not have the form of the style.
pub(crate) fn whole(
    text: &str,
    (style, explode): (Style, bool),
    name: &str,
    (structure, kinds): (Structure, &Kinds),
    reading: Interpretation,
) -> Option<Json> {
    let decoded = |text: &'_ str| decode(text, reading.plus_is_space).into_owned();
    let commas = style.delimiters(reading.encoded_delimiters);
    let text = match style {
        Style::Label => text.strip_prefix('.')?,
        Style::Matrix => return matrix(text, explode, name, (structure, kinds), reading),
        _ => text,
    };
    let parts = || match style {
        // The separator of parts is `.` in OpenAPI 3.0 and `,` in later versions.
        Style::Label if explode || !text.contains(',') => text.split('.').collect(),
        _ if text.is_empty() => Vec::new(),
        _ => split(text, commas),
    };
    Some(match structure {
        Structure::Scalar => kinds.scalar(&decoded(text), reading.as_text),
        Structure::Array => array(parts().into_iter().map(decoded), kinds, reading),
        Structure::Object if explode => {
            let members = parts().into_iter().map(|part| {
                let (name, value) = part.split_once('=')?;
                Some((decoded(name), decoded(value)))
            });
            object(members.collect::<Option<Vec<_>>>()?, kinds, reading)?
        }
        Structure::Object => alternating(&parts(), decoded, kinds, reading)?,
    })
}

fn matrix(
    text: &str,
    explode: bool,
    name: &str,
    (structure, kinds): (Structure, &Kinds),
    reading: Interpretation,
) -> Option<Json> {
    let decoded = |text: &'_ str| decode(text, reading.plus_is_space).into_owned();
    let fields = text.strip_prefix(';')?.split(';');
    let fields: Vec<(&str, &str)> = fields
        .map(|field| field.split_once('=').unwrap_or((field, "")))
        .collect();
    let own = || -> Option<Vec<&str>> {
        let own = fields.iter();
        own.map(|(key, value)| (*key == name).then_some(*value))
            .collect()
    };
    let one = || match own()?[..] {
        [value] => Some(value),
        _ => None,
    };
    let commas = Style::Simple.delimiters(reading.encoded_delimiters);
    Some(match (structure, explode) {
        (Structure::Scalar, _) => kinds.scalar(&decoded(one()?), reading.as_text),
        (Structure::Array, true) => array(own()?.into_iter().map(decoded), kinds, reading),
        (Structure::Array, false) => array(
            split(one()?, commas).into_iter().map(decoded),
            kinds,
            reading,
        ),
        (Structure::Object, true) => {
            let members = fields.into_iter();
            let members = members.map(|(name, value)| (decoded(name), decoded(value)));
            object(members.collect(), kinds, reading)?
        }
        (Structure::Object, false) => alternating(&split(one()?, commas), decoded, kinds, reading)?,
    })
}

/// Converts texts in the order name, value, name, value to an object. `None` if their number is odd
/// or a name occurs twice.
fn alternating(
    parts: &[&str],
    decoded: impl Fn(&str) -> String,
    kinds: &Kinds,
    reading: Interpretation,
) -> Option<Json> {
    if !parts.len().is_multiple_of(2) {
        return None;
    }
    let members = parts
        .chunks_exact(2)
        .map(|pair| (decoded(pair[0]), decoded(pair[1])));
    object(members.collect(), kinds, reading)
}

/// Converts texts to an array of scalars.
pub(crate) fn array(
    items: impl Iterator<Item = String>,
    kinds: &Kinds,
    reading: Interpretation,
) -> Json {
    let item = kinds.item();
    items
        .map(|text| item.scalar(&text, reading.as_text))
        .collect()
}

/// Converts pairs of name and text to an object. `None` if a name occurs twice.
pub(crate) fn object(
    members: Vec<(String, String)>,
    kinds: &Kinds,
    reading: Interpretation,
) -> Option<Json> {
    let mut object = Map::new();
    for (name, text) in members {
        let value = kinds.property(&name).scalar(&text, reading.as_text);
        if object.insert(name, value).is_some() {
            return None;
        }
    }
    Some(Json::Object(object))
}

/// Names in the brackets after a parameter's name: `b` and `c` in `a[b][c]`. `None` if the key has
/// no such brackets.
pub(crate) fn brackets<'k>(key: &'k str, name: &str) -> Option<Vec<&'k str>> {
    let mut rest = key.strip_prefix(name)?;
    let mut names = Vec::new();
    // `deep` refuses more names; stop to keep the check short.
    while !rest.is_empty() && names.len() <= DEPTH_MAX {
        let (inner, behind) = rest.strip_prefix('[')?.split_once(']')?;
        names.push(inner);
        rest = behind;
    }
    (!names.is_empty()).then_some(names)
}

/// Converts `a[b]=1&a[c][d]=2` to an object. Repeated names and `a[b][]=1` become arrays. OpenAPI
/// describes only one level; deeper levels are read as clients write them.
pub(crate) fn deep(
    members: &[(Vec<&str>, Cow<'_, str>)],
    kinds: &Kinds,
    reading: Interpretation,
) -> Option<Json> {
    let mut object = Map::new();
    for (names, text) in members {
        // Each name in brackets adds a level to the object.
        if names.len() > DEPTH_MAX {
            return None;
        }
        let (names, is_list) = match names.split_last() {
            Some((last, before)) if last.is_empty() && !before.is_empty() => (before, true),
            _ => (&names[..], false),
        };
        insert(&mut object, names, (text, is_list), kinds, reading)?;
    }
    Some(Json::Object(object))
}

fn insert(
    object: &mut Map<String, Json>,
    names: &[&str],
    (text, is_list): (&str, bool),
    kinds: &Kinds,
    reading: Interpretation,
) -> Option<()> {
    let (first, rest) = names.split_first()?;
    let kinds = kinds.property(first);
    if !rest.is_empty() {
        let inner = object
            .entry(*first)
            .or_insert_with(|| Json::Object(Map::new()));
        return insert(
            inner.as_object_mut()?,
            rest,
            (text, is_list),
            kinds,
            reading,
        );
    }
    if is_list || kinds.has_arrays() && !kinds.has_scalars() {
        let items = object
            .entry(*first)
            .or_insert_with(|| Json::Array(Vec::new()));
        items
            .as_array_mut()?
            .push(kinds.item().scalar(text, reading.as_text));
        return Some(());
    }
    let value = kinds.scalar(text, reading.as_text);
    match object.insert((*first).to_owned(), value) {
        None => Some(()),
        // The name occurs twice, but its value is not an array.
        Some(_) => None,
    }
}
