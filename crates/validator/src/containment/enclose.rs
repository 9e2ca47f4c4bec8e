//! Values that contain a given value at the position of an inner schema, for witnesses that are
//! whole messages.

use bundle::ir::Value;
use serde_json::{Map, Value as Json};

use crate::samples::Search;

/// Maximum number of steps of the search for sample values of one pair.
pub(super) const SEARCH_STEPS: u32 = 6_000;
/// Maximum number of items of a generated list.
const ITEMS_MAX: usize = 4;
/// Maximum number of sample values of the outer schema.
const SAMPLES_MAX: usize = 200;
/// Names for a property that has no name of its own, as in `additionalProperties`.
const NAMES: [&str; 4] = ["a", "x", "key", "0"];

/// Values of a property of which only the name is given.
const NAMED: [Json; 3] = [Json::Null, Json::Bool(true), Json::String(String::new())];

/// Position of an inner schema in an outer schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position<'p> {
    /// Property with this name.
    Property(&'p str),
    /// Property without a fixed name: `additionalProperties`, `patternProperties`.
    AnyProperty,
    /// Item of a list, with a fixed index for `prefixItems`.
    Item(Option<usize>),
    /// The inner schema applies to the whole value: `allOf`, `anyOf`, `oneOf`, `$ref`, `then`.
    Whole,
    /// The inner schema applies to the names of properties.
    Name,
}

/// Values that may match the outer schema and contain only `inner`, at this position.
pub(super) fn small(position: Position<'_>, inner: &Json) -> Vec<Json> {
    let object = |name: &str| Json::Object(Map::from_iter([(name.to_owned(), inner.clone())]));
    match position {
        Position::Property(name) => vec![object(name)],
        Position::AnyProperty => NAMES.map(object).to_vec(),
        Position::Item(None | Some(0)) => (1..=ITEMS_MAX)
            .map(|count| Json::Array(vec![inner.clone(); count]))
            .collect(),
        Position::Item(Some(_)) => Vec::new(),
        Position::Whole => vec![inner.clone()],
        Position::Name => match inner {
            Json::String(name) => NAMED
                .map(|value| Json::Object(Map::from_iter([(name.clone(), value)])))
                .to_vec(),
            _ => Vec::new(),
        },
    }
}

/// Sample values of the outer schema, in each of which `inner` is at this position. Smallest first.
/// `left`: remaining steps of all searches.
pub(super) fn samples(
    (nodes, outer): (&[Value], &Value),
    position: Position<'_>,
    inner: &Json,
    left: &mut u32,
) -> Vec<Json> {
    let steps = SEARCH_STEPS.min(*left);
    let search = Search::new(steps);
    let mut samples = search.values(Some((nodes, outer)), None);
    *left -= steps - search.steps_left();
    samples.sort_by_cached_key(|value| {
        let text = value.to_string();
        (text.len(), text)
    });
    samples.truncate(SAMPLES_MAX);
    let all = samples.into_iter();
    all.flat_map(|sample| with(sample, position, inner))
        .collect()
}

/// Copies of a sample value with `inner` at this position. Empty if the type of the sample does not
/// have such a position.
fn with(sample: Json, position: Position<'_>, inner: &Json) -> Vec<Json> {
    match (sample, position, inner) {
        (Json::Object(mut members), Position::Property(name), _) => {
            members.insert(name.to_owned(), inner.clone());
            vec![members.into()]
        }
        (Json::Object(members), Position::AnyProperty, _) => {
            let own = members.keys().map(String::as_str);
            let names = own.chain(NAMES);
            let copies = names.map(|name| {
                let mut copy = members.clone();
                copy.insert(name.to_owned(), inner.clone());
                copy.into()
            });
            copies.collect()
        }
        (Json::Array(mut items), Position::Item(at), _) => {
            let at = at.unwrap_or(0);
            if at > items.len() {
                return Vec::new();
            }
            let rest = items.split_off(at).into_iter().skip(1);
            let items = items.into_iter().chain([inner.clone()]).chain(rest);
            vec![Json::Array(items.collect())]
        }
        (Json::Object(mut members), Position::Name, Json::String(name)) => {
            let values: Vec<Json> = members.values().take(1).cloned().collect();
            let values = values.into_iter().chain([0.into()]);
            let copies = values.map(|value| {
                members.insert(name.clone(), value);
                members.clone().into()
            });
            copies.collect()
        }
        (Json::Object(mut members), Position::Whole, Json::Object(own)) => {
            members.extend(own.clone());
            vec![members.into()]
        }
        _ => Vec::new(),
    }
}
