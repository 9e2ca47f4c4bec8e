//! Generator of sample values of schemas, used to find a value that one schema accepts and another
//! refuses.
//!
//! The values are next to the bounds of both schemas. They are only candidates: the validators
//! decide if a value shows the difference.
//! Recursive schemas have an exponential number of values. The search therefore has a budget of
//! steps, and caches the values of each place and nesting. It increases the nesting by one level at
//! a time, so that it finds small values first.

mod number;
mod pattern;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use bundle::ir::Value;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use serde_json::{Map, Value as Json, json};

/// Schema, with the table of schemas to which its references point.
pub(crate) type Schema<'a> = (&'a [Value], &'a Value);

/// Maximum nesting of generated values.
const DEPTH_MAX: u32 = 6;
/// Maximum number of sample values for one place in a message.
const VALUES_MAX: usize = 48;
/// Maximum number of values for a whole message.
const ALL_MAX: usize = 3_000;
/// Maximum length of a generated string in characters.
const LENGTH_MAX: u64 = 8_192;
/// Maximum number of items of a generated array.
const ITEMS_MAX: u64 = 256;
/// Maximum number of JSON values in a generated array, nested values included.
const ARRAY_SIZE_MAX: usize = 65_536;
/// Maximum number of alternatives of `anyOf` and `oneOf`.
const CHOICES_MAX: usize = 8;

/// Number of characters of a generated string that cost one step.
const CHARACTERS_OF_STEP: usize = 64;

/// Search for sample values, with its budget. Steps are visited keywords of schemas, and generated
/// JSON values with the values inside them.
pub(crate) struct Search {
    steps: Cell<u32>,
    known: RefCell<FxHashMap<PlaceKey, Rc<[Json]>>>,
}

/// Key of the cache of sample values: addresses of the schemas of a place, accepting schemas first;
/// number of accepting schemas; nesting of the values.
type PlaceKey = (Vec<usize>, usize, u32);

impl Search {
    pub(crate) fn new(steps: u32) -> Self {
        Self {
            steps: Cell::new(steps),
            known: RefCell::default(),
        }
    }

    /// Returns values next to the bounds of both schemas. The first value is expected to match
    /// `accepts`. The schemas must outlive the search, because its cache uses their addresses.
    pub(crate) fn values(
        &self,
        accepts: Option<Schema<'_>>,
        refuses: Option<Schema<'_>>,
    ) -> Vec<Json> {
        self.values_at(&Place {
            accepts: accepts.into_iter().collect(),
            refuses: refuses.into_iter().collect(),
        })
    }

    /// Returns values that are expected to match all of these schemas. The schemas must outlive the
    /// search.
    pub(crate) fn values_of(&self, accepts: Vec<Schema<'_>>) -> Vec<Json> {
        self.values_at(&Place {
            accepts,
            refuses: Vec::new(),
        })
    }

    fn values_at(&self, place: &Place<'_>) -> Vec<Json> {
        let mut found: Vec<Json> = Vec::new();
        for nesting in 0..=DEPTH_MAX {
            let values = place.values(self, nesting, ALL_MAX);
            if self.is_spent() && nesting > 0 {
                // The values with the deepest nesting are incomplete, so add them to the values
                // with less nesting.
                found.extend(values);
                break;
            }
            let is_last = nesting > 0 && values == found;
            found = values;
            if is_last {
                break;
            }
        }
        found
    }

    /// True if no steps are left. The found values are then incomplete.
    pub(crate) fn is_spent(&self) -> bool {
        self.steps_left() == 0
    }

    /// Number of steps that are left.
    pub(crate) fn steps_left(&self) -> u32 {
        self.steps.get()
    }

    /// Subtracts steps from the budget.
    pub(crate) fn take(&self, steps: usize) {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.steps.set(self.steps.get().saturating_sub(steps));
    }

    /// Subtracts the steps for a generated value from the budget.
    fn take_value(&self, value: &Json) {
        self.take(size(value));
    }
}

/// Number of steps that a generated value costs.
fn size(value: &Json) -> usize {
    1 + match value {
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(members) => members.values().map(size).sum(),
        Json::String(text) => text.len() / CHARACTERS_OF_STEP,
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
    }
}

/// Place of a value in a message: the schemas that apply to the value.
struct Place<'a> {
    /// Schemas that the value should match.
    accepts: Vec<Schema<'a>>,
    /// Schemas that the value should not match.
    refuses: Vec<Schema<'a>>,
}

/// Keywords of the schemas that apply to one value. References were followed, and one alternative
/// was chosen.
struct Keywords<'s, 'a> {
    search: &'s Search,
    accepts: Vec<Schema<'a>>,
    refuses: Vec<Schema<'a>>,
    /// All of `accepts` and `refuses`, accepting schemas first.
    all: Vec<Schema<'a>>,
}

/// Sample strings that match a pattern.
pub(crate) fn matching(pattern: &str) -> Vec<String> {
    pattern::matching(pattern, &[1, 2, 3, 4, 5, 6, 7, 8, 0])
}

fn resolved<'a>((table, value): Schema<'a>) -> Schema<'a> {
    match value {
        Value::Node(node) => (table, table.get(*node as usize).unwrap_or(&Value::Null)),
        value => (table, value),
    }
}

/// Collects the schemas that apply to the same value as `schema`: the schema itself, the schemas of
/// `$ref` and `allOf`, and one alternative of each `anyOf` and `oneOf`. `choice`: index of the
/// alternative; `None`: all alternatives.
fn flatten<'a>(schema: Schema<'a>, choice: Option<usize>, depth: u32, out: &mut Vec<Schema<'a>>) {
    let (table, value) = resolved(schema);
    let is_known = |(_, known): &Schema<'a>| std::ptr::eq(*known, value);
    if depth > DEPTH_MAX * 2 || out.len() > 64 || out.iter().any(is_known) {
        return;
    }
    out.push((table, value));
    for (key, value) in value.entries() {
        let (_, value) = match &**key {
            "$ref" => {
                flatten((table, value), choice, depth + 1, out);
                continue;
            }
            "allOf" | "anyOf" | "oneOf" => resolved((table, value)),
            _ => continue,
        };
        let items = value.items();
        let chosen = match (&**key, choice) {
            ("allOf", _) | (_, None) => items,
            (_, Some(choice)) => match items.len() {
                0 => items,
                count => std::slice::from_ref(&items[choice % count]),
            },
        };
        for item in chosen {
            flatten((table, item), choice, depth + 1, out);
        }
    }
}

impl<'a> Place<'a> {
    /// Sample values for this place: at most [`VALUES_MAX`], with at most `nesting` nested levels.
    fn known_values(&self, search: &Search, nesting: u32) -> Rc<[Json]> {
        let addresses = |schemas: &[Schema<'a>]| -> Vec<usize> {
            let schemas = schemas.iter().map(|schema| resolved(*schema).1);
            schemas
                .map(|one| std::ptr::from_ref(one) as usize)
                .collect()
        };
        let mut key = addresses(&self.accepts);
        let accepts = key.len();
        key.extend(addresses(&self.refuses));
        let key = (key, accepts, nesting);
        if let Some(known) = search.known.borrow().get(&key) {
            return Rc::clone(known);
        }
        let values: Rc<[Json]> = self.values(search, nesting, VALUES_MAX).into();
        if !search.is_spent() {
            search.known.borrow_mut().insert(key, Rc::clone(&values));
        }
        values
    }

    /// Sample values for this place: at most `most`, with at most `nesting` nested levels.
    fn values(&self, search: &Search, nesting: u32, most: usize) -> Vec<Json> {
        let mut found: Vec<Json> = Vec::new();
        let mut known: FxHashSet<u64> = FxHashSet::default();
        if search.is_spent() {
            return found;
        }
        let flat = |schemas: &[Schema<'a>], choice| {
            let mut out = Vec::new();
            schemas
                .iter()
                .for_each(|schema| flatten(*schema, choice, 0, &mut out));
            search.take(out.iter().map(|(_, one)| 1 + one.entries().len()).sum());
            out
        };
        let refuses = flat(&self.refuses, None);
        let mut lists: Vec<std::vec::IntoIter<Json>> = Vec::new();
        for choice in 0..choices(&flat(&self.accepts, None)) {
            let accepts = flat(&self.accepts, Some(choice));
            let all = [&accepts[..], &refuses[..]].concat();
            let keywords = Keywords {
                search,
                accepts,
                refuses: refuses.clone(),
                all,
            };
            lists.push(keywords.values(nesting, most).into_iter());
        }
        // Take values of the choices in turn, so that one choice does not use up the limit.
        while !lists.is_empty() {
            lists.retain_mut(|list| {
                let Some(value) = list.next().filter(|_| found.len() < most) else {
                    return false;
                };
                let mut hasher = FxHasher::default();
                value.hash(&mut hasher);
                if known.insert(hasher.finish()) {
                    found.push(value);
                }
                true
            });
        }
        found
    }
}

/// Number of different choices among the alternatives of these schemas, at most [`CHOICES_MAX`]. A
/// choice is an index. In each `anyOf` and `oneOf`, the choice modulo the number of alternatives
/// selects the alternative.
fn choices(schemas: &[Schema<'_>]) -> usize {
    let lists = schemas.iter().flat_map(|(table, schema)| {
        let lists = ["anyOf", "oneOf"].into_iter();
        lists.filter_map(|key| Some(resolved((table, schema.get(key)?)).1.items().len()))
    });
    let counts: BTreeSet<usize> = lists.filter(|count| *count > 1).collect();
    let mut counts = counts.into_iter();
    match (counts.next(), counts.next()) {
        (None, _) => 1,
        (Some(count), None) => count.min(CHOICES_MAX),
        (Some(_), Some(_)) => CHOICES_MAX,
    }
}

impl<'a> Keywords<'_, 'a> {
    /// Values of a keyword in all schemas. The values of accepting schemas come first.
    fn all(&self, key: &str) -> impl Iterator<Item = Schema<'a>> {
        let found: Vec<Schema<'a>> = self
            .all
            .iter()
            .filter_map(|(table, value)| Some(resolved((table, value.get(key)?))))
            .collect();
        found.into_iter()
    }

    fn integers(&self, key: &str) -> impl Iterator<Item = u64> {
        self.all(key).filter_map(|(_, value)| match value {
            Value::Integer(value) => u64::try_from(*value).ok(),
            _ => None,
        })
    }

    fn types(schemas: &[Schema<'a>]) -> Vec<&'a str> {
        let mut types = Vec::new();
        let mut add = |name: &'a str| {
            if !types.contains(&name) {
                types.push(name);
            }
        };
        for (table, schema) in schemas {
            if let Some(value) = schema.get("type") {
                let (_, value) = resolved((table, value));
                match value {
                    Value::Text(name) => add(name),
                    value => value.items().iter().for_each(|one| {
                        if let (_, Value::Text(name)) = resolved((table, one)) {
                            add(name);
                        }
                    }),
                }
            }
            if schema.get("properties").is_some() || schema.get("required").is_some() {
                add("object");
            }
            if schema.get("items").is_some() {
                add("array");
            }
        }
        types
    }

    fn values(&self, nesting: u32, most: usize) -> Vec<Json> {
        let mut found: Vec<Json> = Vec::new();
        for key in ["const", "enum"] {
            for (table, value) in self.all(key).take(4) {
                match (key, value) {
                    ("enum", value) => {
                        let items = value.items().iter().take(VALUES_MAX);
                        found.extend(items.map(|one| literal((table, one))));
                    }
                    (_, value) => found.push(literal((table, value))),
                }
            }
        }
        let mut types = Self::types(&self.accepts);
        if types.is_empty() {
            types = Self::types(&self.all);
        }
        for name in Self::types(&self.all) {
            if !types.contains(&name) {
                types.push(name);
            }
        }
        let nullable = self.all("nullable").next().is_some();
        for name in ["string", "integer", "null", "boolean", "object", "array"] {
            // Without a type, add all types. With one type, add another type that neither schema
            // names.
            if !types.contains(&name) && (types.len() < 2 || name == "null" && nullable) {
                types.push(name);
            }
        }
        for name in types {
            match name {
                "string" => self.add(&mut found, self.strings()),
                "integer" | "number" => self.add(&mut found, self.numbers()),
                "boolean" => found.extend([json!(true), json!(false)]),
                "null" => found.push(Json::Null),
                "array" => found.extend(self.arrays(nesting)),
                "object" => found.extend(self.objects(nesting, most)),
                _ => {}
            }
        }
        found
    }

    /// Adds values while steps are left. Subtracts the steps that each value costs.
    fn add(&self, found: &mut Vec<Json>, values: impl IntoIterator<Item = Json>) {
        for value in values {
            if self.search.is_spent() {
                return;
            }
            self.search.take_value(&value);
            found.push(value);
        }
    }

    fn strings(&self) -> Vec<Json> {
        let mut found = Vec::new();
        let least = self.integers("minLength").max().unwrap_or(1);
        for (_, value) in self.all("pattern") {
            let Value::Text(text) = value else { continue };
            let repetitions = [0, 1, u32::try_from(least).unwrap_or(u32::MAX)];
            let samples = pattern::variants(text, &repetitions).into_iter();
            // The sample that has the minimum length comes first.
            let (fitting, short): (Vec<String>, Vec<String>) =
                samples.partition(|one| one.chars().count() as u64 >= least);
            found.extend(fitting.into_iter().chain(short).map(Json::from));
        }
        for (_, value) in self.all("format") {
            if let Value::Text(name) = value {
                let example = match &**name {
                    "date" => "2000-01-01",
                    "date-time" => "2000-01-01T00:00:00Z",
                    "uuid" => "00000000-0000-0000-0000-000000000000",
                    "ipv4" => "1.1.1.1",
                    "ipv6" => "::",
                    _ => continue,
                };
                found.push(json!(example));
            }
        }
        let bounds = ["minLength", "maxLength"].into_iter();
        let bounds = bounds.flat_map(|key| self.integers(key));
        let lengths: BTreeSet<u64> = bounds
            .flat_map(|bound| [bound.saturating_sub(1), bound, bound.saturating_add(1)])
            .filter(|length| *length <= LENGTH_MAX)
            .collect();
        for length in std::iter::once(least.clamp(1, LENGTH_MAX)).chain(lengths) {
            let length = usize::try_from(length).unwrap_or(0);
            for letter in ["a", "A", "0"] {
                found.push(json!(letter.repeat(length)));
            }
        }
        found.extend(["", "-", "a b", "a0", "A-0", "a@b"].map(Json::from));
        let is_time = |(_, name): Schema<'_>| *name == Value::Text("date-time".into());
        if self.all("format").any(is_time) {
            found.push(json!("2000-12-31T00:00:00.5+01:00"));
        }
        found
    }

    fn numbers(&self) -> Vec<Json> {
        let keywords = |schema: &Schema<'a>| -> Map<String, Json> {
            let (table, schema) = *schema;
            let keywords = number::KEYWORDS.into_iter();
            let keywords = keywords.filter_map(|key| {
                let value = literal((table, schema.get(key)?));
                Some((key.to_owned(), value))
            });
            keywords.collect()
        };
        let accepts: Vec<Map<String, Json>> = self.accepts.iter().map(keywords).collect();
        let fitting = number::within(&accepts);
        let mut found: Vec<Json> = fitting.into_iter().chain([json!(0), json!(1)]).collect();
        for key in number::KEYWORDS {
            for (table, value) in self.all(key) {
                match value {
                    Value::Integer(value) => {
                        let near = [*value, value.saturating_sub(1), value.saturating_add(1)];
                        found.extend(near.map(Json::from));
                    }
                    Value::Decimal(_) => {
                        let value = literal((table, value));
                        let more = value.as_f64().map(|value| [value - 1.0, value + 1.0]);
                        found.push(value);
                        found.extend(more.into_iter().flatten().map(Json::from));
                    }
                    _ => {}
                }
            }
        }
        for (_, value) in self.all("format") {
            match value {
                Value::Text(name) if **name == *"int32" => found.push(json!(2_147_483_648_u64)),
                Value::Text(name) if **name == *"int64" => {
                    found.push(json!(9_223_372_036_854_775_808_u64));
                }
                _ => {}
            }
        }
        found.extend([json!(-1), json!(0.5)]);
        found
    }

    /// Sample values for an inner place, with at most `nesting` nested levels. Empty if `nesting`
    /// is 0.
    fn below(&self, place: &Place<'a>, nesting: u32) -> Rc<[Json]> {
        match nesting.checked_sub(1) {
            Some(nesting) => place.known_values(self.search, nesting),
            None => Rc::default(),
        }
    }

    fn arrays(&self, nesting: u32) -> Vec<Json> {
        let place = self.inner(|schema| schema.get("items"));
        let items = self.below(&place, nesting);
        let first = items.first().cloned().unwrap_or(Json::Null);
        let unique = self
            .all("uniqueItems")
            .any(|(_, one)| *one == Value::Bool(true));
        // Skip arrays of large items, which would use up the steps.
        let fits = |count: u64| {
            let all = size(&first).saturating_mul(usize::try_from(count).unwrap_or(usize::MAX));
            all <= ARRAY_SIZE_MAX
        };
        let fill = |count: u64| -> Vec<Json> {
            (0..count)
                .map(|index| match (unique, &first) {
                    (false, first) => first.clone(),
                    (true, Json::String(text)) => json!(format!("{text}{index}")),
                    (true, _) => json!(index),
                })
                .collect()
        };
        let bounds = ["minItems", "maxItems"].into_iter();
        let bounds = bounds.flat_map(|key| self.integers(key));
        let lengths: BTreeSet<u64> = bounds
            .flat_map(|bound| [bound.saturating_sub(1), bound, bound.saturating_add(1)])
            .chain([0, 1])
            .filter(|length| *length <= ITEMS_MAX && fits(*length))
            .collect();
        let least = self.integers("minItems").max().unwrap_or(0).min(ITEMS_MAX);
        let mut found = Vec::new();
        // If no value has the minimum length, the schema accepts no longer value either.
        let least = if fits(least) { least } else { 0 };
        let lengths = std::iter::once(least).chain(lengths);
        self.add(&mut found, lengths.map(|count| fill(count).into()));
        let with_item = |item: &Json| -> Json {
            let mut all = fill(least.max(1));
            all[0] = item.clone();
            all.into()
        };
        self.add(&mut found, items.iter().map(with_item));
        if unique {
            self.add(&mut found, [json!([first, first])]);
        }
        found
    }

    fn objects(&self, nesting: u32, most: usize) -> Vec<Json> {
        let required = |schemas: &[Schema<'a>]| -> BTreeSet<&'a str> {
            let lists = schemas.iter().filter_map(|(table, schema)| {
                Some((*table, resolved((table, schema.get("required")?)).1))
            });
            let names = lists.flat_map(|(table, list)| {
                let items = list.items().iter();
                items.filter_map(move |one| match resolved((table, one)).1 {
                    Value::Text(name) => Some(&**name),
                    _ => None,
                })
            });
            names.collect()
        };
        let (must, every) = (required(&self.accepts), required(&self.all));
        let names = self.all("properties").flat_map(|(_, all)| {
            let entries = all.entries().iter();
            entries.map(|(name, _)| &**name)
        });
        let names: BTreeSet<&str> = names.chain(every.iter().copied()).collect();
        let property = |name: &str| {
            self.inner(|schema| {
                let own = schema.get("properties")?;
                match own {
                    Value::Node(_) => None,
                    own => own.get(name),
                }
            })
        };
        let base = |names: &BTreeSet<&str>| -> Map<String, Json> {
            let members = names.iter().map(|name| {
                let values = self.below(&property(name), nesting);
                let value = values.first().cloned().unwrap_or(Json::Null);
                self.search.take_value(&value);
                ((*name).to_owned(), value)
            });
            members.take_while(|_| !self.search.is_spent()).collect()
        };
        let mut bases = vec![base(&must)];
        if every != must {
            bases.push(base(&every));
        }
        let mut found: Vec<Json> = Vec::new();
        let with = |base: &Map<String, Json>, name: &str, value: &Json| -> Json {
            let mut one = base.clone();
            one.insert(name.to_owned(), value.clone());
            one.into()
        };
        let without = |base: &Map<String, Json>, name: &str| -> Json {
            let mut one = base.clone();
            one.remove(name);
            one.into()
        };
        self.add(&mut found, bases.iter().cloned().map(Json::Object));
        let share = (most / names.len().max(1)).clamp(8, VALUES_MAX);
        let places = names.into_iter().map(|name| (name, property(name)));
        let places = places.filter(|(_, place)| !place.is_equal());
        let (leaves, others): (Vec<_>, Vec<_>) = places.partition(|(_, place)| place.is_leaf());
        let vary = |found: &mut Vec<Json>, places: &[(&str, Place<'a>)]| {
            for (name, place) in places {
                let values = self.below(place, nesting);
                for base in &bases {
                    let values = values.iter().take(share);
                    self.add(found, values.map(|value| with(base, name, value)));
                }
            }
        };
        // Vary properties without inner schemas first: small values show differences in them.
        vary(&mut found, &leaves);
        for base in &bases {
            self.add(&mut found, base.keys().map(|name| without(base, name)));
            self.add(&mut found, [with(base, "x", &json!(0))]);
        }
        vary(&mut found, &others);
        let place = self.inner(|schema| schema.get("additionalProperties"));
        let rest = self.below(&place, nesting);
        let rest = rest.iter().take(8);
        self.add(&mut found, rest.map(|value| with(&bases[0], "x", value)));
        found
    }

    /// Place of an inner value. `get` returns the schema of the inner value from an outer schema.
    fn inner(&self, get: impl Fn(&'a Value) -> Option<&'a Value>) -> Place<'a> {
        let of = |schemas: &[Schema<'a>]| -> Vec<Schema<'a>> {
            let schemas = schemas.iter();
            schemas
                .filter_map(|(table, schema)| Some((*table, get(schema)?)))
                .collect()
        };
        Place {
            accepts: of(&self.accepts),
            refuses: of(&self.refuses),
        }
    }
}

impl Place<'_> {
    /// True if the schemas contain no references to other schemas.
    fn is_leaf(&self) -> bool {
        let mut is_leaf = true;
        for schema in self.accepts.iter().chain(&self.refuses) {
            resolved(*schema).1.each_node(&mut |_| is_leaf = false);
        }
        is_leaf
    }

    /// True if both versions have an equal schema without references, so that no value can show a
    /// difference.
    fn is_equal(&self) -> bool {
        let sides = [&self.accepts, &self.refuses].map(|schemas| {
            let mut schemas = schemas.iter();
            let one = schemas.next().map(|schema| resolved(*schema).1);
            one.filter(|_| schemas.next().is_none())
        });
        let [Some(one), Some(other)] = sides else {
            return false;
        };
        self.is_leaf() && one == other
    }
}

/// Literal value of a schema as JSON.
pub(crate) fn literal(schema: Schema<'_>) -> Json {
    nested_literal(schema, 0)
}

fn nested_literal(schema: Schema<'_>, depth: u32) -> Json {
    let (table, value) = resolved(schema);
    if depth > DEPTH_MAX {
        return Json::Null;
    }
    match value {
        Value::Null | Value::Node(_) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Integer(value) => Json::from(*value),
        Value::Decimal(text) => {
            let number = text.parse::<f64>();
            number.map_or(Json::Null, Json::from)
        }
        Value::Text(text) => Json::from(&**text),
        Value::List(items) | Value::Set(items) => items
            .iter()
            .map(|item| nested_literal((table, item), depth + 1))
            .collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.to_string(), nested_literal((table, value), depth + 1)))
            .collect(),
    }
}
