//! Containment of schemas with three verdicts: proved, refuted with a value, or undecided.
//!
//! [`solve`] proves that no value matches the narrow schema without matching the wide one. Without
//! a proof, sample values of both schemas are checked with the validators that gwd uses. A value
//! that the narrow schema accepts and the wide one refuses is a refutation. [`crate::compare`] does
//! not use this module, because it needs no sample values.

mod array;
#[cfg(test)]
pub(crate) mod brute;
mod described;
#[cfg(test)]
mod described_brute;
mod doubt;
mod enclose;
mod enclose_same;
mod evaluated;
mod exact;
pub(crate) mod further;
mod kept;
mod leaf;
mod listed;
mod measure;
mod number;
mod object;
mod one_way;
#[cfg(test)]
mod one_way_brute;
mod outside;
mod pool;
mod question;
mod solve;
mod text;
mod types;
mod unexplained;
mod validators;
mod value;
mod violations;

use bundle::ir::Value;
pub use doubt::Doubt;
pub use enclose::Position;
use exact::Witnesses;
pub use exact::{Explained, Form, Reason};
pub use outside::OutsideProperties;
use rustc_hash::FxHashSet;
use serde_json::Value as Json;

use self::question::Solve as _;
use self::solve::Solver;
use self::text::Reader;
use self::validators::{Checker, Patterns, Validators};
use self::value::Enums;
use crate::lower::Direction;
use crate::samples::Search;
use crate::steps;

/// Maximum number of steps of one proof.
const STEPS_MAX: u32 = 4_000;
/// Maximum number of steps of all searches for sample values.
const ALL_SEARCH_STEPS: u32 = 1_000_000;
/// Maximum number of sample values of one pair that are checked.
const VALUES_MAX: usize = 2_000;
/// Maximum number of sample values of one pair that are checked after the first witness.
const FURTHER_MAX: usize = 128;
/// The same for a pair with one reason. The number is proportional to the number of reasons.
const FURTHER_PER_REASON: usize = 32;
/// Maximum number of outer schemas for which a value with an inner value is searched.
const ENCLOSED_MAX: u32 = 256;
/// Maximum cost of all checks of sample values. Checks of this cost take about four seconds.
const COSTS_MAX: u64 = 200_000_000;

/// Relation of a narrow and a wide schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The wide schema accepts all values that the narrow one accepts.
    Contained,
    /// The narrow schema accepts this value, and the wide one refuses it.
    Refuted(Json),
    /// Neither was shown.
    Undecided,
}

/// True if a schema of this table accepts a value. `None` if that is not certain.
#[must_use]
pub fn admits(nodes: &[Value], schema: &Value, value: &Value) -> Option<bool> {
    value::admits((nodes, &Enums::default()), schema, value, &mut 0)
}

/// Comparisons between the schemas of one table. The comparisons share their intermediate results.
pub struct Containment<'a> {
    solver: Solver<'a>,
    /// Remaining steps for all further proofs.
    left: u32,
    /// Remaining number of searches for values, and remaining steps of all of them.
    searches: u32,
    search_steps: u32,
    /// Remaining number of schemas in [`Self::outside_properties`].
    outside_schemas: usize,
    /// Remaining number of outer schemas in [`Self::enclose`].
    enclosed: u32,
    /// Remaining cost of the checks of sample values ([`steps::costs`]).
    costs: u64,
    /// Remaining work of all searches in [`violations::values`].
    violations: violations::Left,
    validators: Validators<'a>,
    /// Handling of patterns in checks of sample values.
    patterns: Patterns,
    /// True if the last proof or the last search ended at a limit.
    is_cut: bool,
}

impl<'a> Containment<'a> {
    /// Creates comparisons for messages of this direction. `class`: returns equal numbers for
    /// schemas that accept the same values. `steps`: maximum number of steps of all proofs.
    /// `searches`: maximum number of searches for values.
    #[must_use]
    pub fn new(
        nodes: &'a [Value],
        class: &'a dyn Fn(u32) -> u32,
        direction: Direction,
        (steps, searches): (u32, u32),
    ) -> Self {
        Self {
            solver: Solver::new(nodes, class, direction),
            left: steps,
            searches,
            search_steps: ALL_SEARCH_STEPS,
            outside_schemas: outside::ALL_SCHEMAS_MAX,
            enclosed: ENCLOSED_MAX,
            costs: COSTS_MAX,
            violations: violations::Left::ALL,
            validators: Validators::new(nodes, direction),
            patterns: Patterns::Enforced,
            is_cut: false,
        }
    }

    /// Assumes that values have only properties that the narrow schema describes ([`described`]).
    /// Under this assumption, an additional optional property of the wide schema refuses no value.
    #[must_use]
    pub fn described(mut self) -> Self {
        self.solver.is_described = true;
        self
    }

    /// Compares schemas of two contracts. `start`: number of the first node of the second one.
    /// `readOnly` and `writeOnly` in a contract have no effect on the validators of the other one.
    #[must_use]
    pub fn joined(mut self, start: u32) -> Self {
        self.validators.start = start;
        self
    }

    /// Compares the texts of values: a number of the narrow schema may have an exponent, which
    /// servers do not read in integers ([`text`]).
    #[must_use]
    pub fn texts(mut self) -> Self {
        self.solver.is_text = true;
        self
    }

    /// True if the wide schema was shown to accept all values of the narrow one. Containment of
    /// each pair (narrow, wide) in `assumed` is assumed.
    pub fn is_contained(
        &mut self,
        (narrow, wide): (&'a Value, &'a Value),
        assumed: &[(&'a Value, &'a Value)],
    ) -> bool {
        let ids =
            |(one, other): &(&'a Value, &'a Value)| (self.solver.id(one), self.solver.id(other));
        let mut pairs: FxHashSet<(u64, u64)> = assumed.iter().map(ids).collect();
        // `assumed` may contain the compared pair itself. Remove the pair, so that the proof does
        // not assume its own result.
        pairs.remove(&ids(&(narrow, wide)));
        let known = match pairs.is_empty() {
            true => None,
            false => Some((
                std::mem::take(&mut self.solver.known),
                std::mem::take(&mut self.solver.known_objects),
            )),
        };
        self.solver.assumed = pairs;
        let steps = self.left.min(STEPS_MAX);
        self.solver.steps = steps;
        self.solver.is_cut = false;
        let is_contained = self.solver.is_empty(&[narrow], &[wide]);
        self.is_cut = self.solver.is_cut;
        self.left -= steps - self.solver.steps;
        self.solver.assumed.clear();
        if let Some((known, objects)) = known {
            self.solver.known = known;
            self.solver.known_objects = objects;
        }
        is_contained
    }

    /// Properties that an inner pair (narrow, wide) leaves to other schemas of the narrow schema
    /// `outer`. If there are any, the pair alone does not show what breaks, and `outer` must be
    /// proved without the pair.
    #[must_use]
    pub fn outside_properties(
        &mut self,
        outer: &'a Value,
        position: Position<'_>,
        pair: (&'a Value, &'a Value),
    ) -> OutsideProperties<'a> {
        let left = &mut self.outside_schemas;
        outside::find(&self.solver, (outer, position), pair, left)
    }

    /// Returns the smallest value found that the narrow schema accepts and the wide one refuses.
    pub fn witness(&mut self, narrow: &'a Value, wide: &'a Value) -> Option<Json> {
        self.exact_witnesses((narrow, wide), Form::Json, &[]).first
    }

    /// Returns the smallest value found that the narrow schema accepts and the wide one refuses.
    /// Also returns a value for each of the reasons: the smallest value found that the wide schema
    /// refuses for this reason only, otherwise the first value if the schema may refuse it for this
    /// reason, among others.
    pub fn witnesses(
        &mut self,
        (narrow, wide): (&'a Value, &'a Value),
        form: Form,
        reasons: &[Reason],
    ) -> (Option<Json>, Vec<Option<Json>>) {
        let found = self.exact_witnesses((narrow, wide), form, reasons);
        let first = &found.first;
        let shared = found.exact.into_iter().zip(found.is_cause);
        let shared = shared.map(|(exact, is_cause)| {
            let is_shared = is_cause || form != Form::Json;
            exact.or_else(|| first.clone().filter(|_| is_shared))
        });
        let shared = shared.collect();
        (found.first, shared)
    }

    /// Witnesses of a pair of schemas, for these reasons.
    fn exact_witnesses<'r>(
        &mut self,
        (narrow, wide): (&'a Value, &'a Value),
        form: Form,
        reasons: &'r [Reason],
    ) -> Witnesses<'r> {
        let mut found = Witnesses::new(reasons, self.solver.at(wide));
        let Some(values) = self.samples((narrow, wide), form) else {
            return found;
        };
        let further = (FURTHER_PER_REASON * reasons.len()).min(FURTHER_MAX);
        let is_last = |value: Json, wide: &Checker<'_, '_>| found.add(value, wide);
        self.each_shown(values, (narrow, wide), form, (further, is_last));
        if found.first.is_none() {
            let left = &mut self.violations;
            let values = violations::values(self.solver.nodes, (narrow, wide), &[], left);
            let is_last = |value: Json, wide: &Checker<'_, '_>| found.add(value, wide);
            let values = smallest_first(values);
            self.each_shown(values, (narrow, wide), form, (further, is_last));
        }
        found
    }

    /// Sample values of two schemas, smallest first. `None` if no further search is allowed.
    fn samples(&mut self, (narrow, wide): (&'a Value, &'a Value), form: Form) -> Option<Vec<Json>> {
        let Some(searches) = self.searches.checked_sub(1) else {
            self.is_cut = true;
            return None;
        };
        self.searches = searches;
        let nodes = self.solver.nodes;
        let steps = enclose::SEARCH_STEPS.min(self.search_steps);
        let search = Search::new(steps);
        let mut values = search.values(Some((nodes, narrow)), Some((nodes, wide)));
        self.search_steps -= steps - search.steps_left();
        self.is_cut |= search.is_spent();
        values.extend(pool::values(nodes, [narrow, wide]));
        if form != Form::Json {
            // The text of this number has an exponent.
            values.push(1e16.into());
        }
        Some(smallest_first(values))
    }

    /// Returns a value that contains `inner` at the position of an inner schema, and that the
    /// narrow schema accepts and the wide one refuses. `None` if no such value was found.
    pub fn enclose(
        &mut self,
        (narrow, wide): (&'a Value, &'a Value),
        position: Position<'_>,
        inner: &Json,
    ) -> Option<Json> {
        self.enclosed = self.enclosed.checked_sub(1)?;
        let sides = (narrow, wide);
        let small = self.shown(enclose::small(position, inner), sides, Form::Json);
        small.or_else(|| {
            let outer = (self.solver.nodes, narrow);
            let values = enclose::samples(outer, position, inner, &mut self.search_steps);
            self.shown(values, sides, Form::Json)
        })
    }

    /// True if the maximum number of searches of [`Self::enclose`] is not reached.
    #[must_use]
    pub fn can_enclose(&self) -> bool {
        self.enclosed > 0 && self.costs > 0
    }

    /// True if the narrow schema accepts a value and the wide one refuses it.
    pub fn is_witness(&mut self, narrow: &'a Value, wide: &'a Value, value: &Json) -> bool {
        self.shown(vec![value.clone()], (narrow, wide), Form::Json)
            .is_some()
    }

    /// First of these values that the narrow schema accepts, and of which the wide schema refuses
    /// all interpretations.
    fn shown(
        &mut self,
        values: Vec<Json>,
        sides: (&'a Value, &'a Value),
        form: Form,
    ) -> Option<Json> {
        let mut found = None;
        let is_last = |value: Json, _: &Checker<'_, '_>| {
            found = Some(value);
            true
        };
        self.each_shown(values, sides, form, (0, is_last));
        found
    }

    /// Calls `is_last` with the values that the narrow schema accepts, and of which the wide one
    /// refuses all readings, until it returns true. Checks at most `further` values after the first
    /// of them. The second argument of `is_last` is the validator of the wide schema. Values without
    /// readings are left out.
    fn each_shown(
        &mut self,
        values: Vec<Json>,
        (narrow, wide): (&'a Value, &'a Value),
        form: Form,
        (further, mut is_last): (usize, impl FnMut(Json, &Checker<'_, '_>) -> bool),
    ) {
        let sides = [narrow, wide];
        let all = sides.map(|schema| (schema, self.solver.id(schema)));
        let Some(checkers) = self.validators.compiled(&all, self.patterns) else {
            return;
        };
        let nodes = self.solver.nodes;
        let reader = Reader::new(nodes, (narrow, wide), form);
        let (narrow, wide) = (&checkers[0], &checkers[1]);
        let absent = self.solver.one_way().inside_of(sides);
        let others = match self.solver.is_described {
            true => pool::names(nodes, sides),
            false => FxHashSet::default(),
        };
        let is_refused = |value: &Json| wide.is_valid(value) == Some(false);
        let shows = |value: &Json| {
            !has_name(value, &absent)
                && !has_name(value, &others)
                && narrow.is_valid(value) == Some(true)
                // Except for numbers, a server may read the value itself.
                && (value.is_number() || is_refused(value))
                && reader
                    .readings(value)
                    .is_some_and(|all| all.iter().all(is_refused))
        };
        // A value that cannot be checked is no witness.
        let before = steps::costs();
        let costs_max = self.costs;
        let spent = || steps::costs().wrapping_sub(before);
        let affordable = values.into_iter().take_while(|_| spent() < costs_max);
        let mut left = None;
        for value in affordable {
            if left == Some(0) {
                break;
            }
            left = left.map(|left| left - 1);
            if shows(&value) {
                left = left.or(Some(further));
                if is_last(value, wide) {
                    break;
                }
            }
        }
        self.costs = costs_max.saturating_sub(spent());
        self.is_cut |= left.is_none() && self.costs == 0;
    }

    /// Compares two schemas.
    pub fn decide(&mut self, narrow: &'a Value, wide: &'a Value) -> Verdict {
        if self.is_contained((narrow, wide), &[]) {
            return Verdict::Contained;
        }
        self.witness(narrow, wide)
            .map_or(Verdict::Undecided, Verdict::Refuted)
    }

    /// Reason for which a pair is undecided, after a proof and a search without success. The last
    /// proof and the last search must be those of this pair.
    #[must_use]
    pub fn doubt(&self, narrow: &'a Value, wide: &'a Value) -> Doubt {
        let sides = [narrow, wide].map(|side| self.solver.id(side));
        match sides.into_iter().find_map(|id| self.validators.doubt(id)) {
            Some(doubt) => doubt,
            None if self.is_cut => Doubt::Limit,
            None => doubt::keyword(self.solver.nodes, narrow, wide)
                .map_or(Doubt::NoExample, Doubt::Keyword),
        }
    }
}

/// Different values in the order of their length: at most [`VALUES_MAX`].
fn smallest_first(mut values: Vec<Json>) -> Vec<Json> {
    values.sort_by_cached_key(|value| {
        let text = value.to_string();
        (text.len(), text)
    });
    values.dedup();
    values.truncate(VALUES_MAX);
    values
}

/// True if a value contains a property with one of these names.
fn has_name(value: &Json, names: &FxHashSet<&str>) -> bool {
    match value {
        Json::Array(items) => items.iter().any(|item| has_name(item, names)),
        Json::Object(members) => members
            .iter()
            .any(|(name, value)| names.contains(&**name) || has_name(value, names)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::brute::node;
    use super::*;

    fn decide_in(direction: Direction, narrow: &Json, wide: &Json) -> Verdict {
        let mut table = Vec::new();
        let edges = (node(&mut table, narrow), node(&mut table, wide));
        let class = |node: u32| node;
        let mut containment = Containment::new(&table, &class, direction, (100_000, 10));
        containment.decide(&edges.0, &edges.1)
    }

    fn decide(narrow: &Json, wide: &Json) -> Verdict {
        decide_in(Direction::Request, narrow, wide)
    }

    #[test]
    fn literal_against_shared_schemas_takes_linear_steps() {
        // Twenty levels that each refer to the next one eight times: 8^20 paths.
        let map = |key: &str, value: Value| Value::Map(vec![(key.into(), value)]);
        for keyword in ["allOf", "anyOf"] {
            let mut table: Vec<Value> = (1..=20)
                .map(|next| map(keyword, Value::List(vec![Value::Node(next); 8])))
                .collect();
            table.push(map("type", Value::Text("string".into())));
            let literal = map("enum", Value::List(vec![Value::Text("a".into())]));
            let class = |node: u32| node;
            let mut containment =
                Containment::new(&table, &class, Direction::Request, (10_000, 10));
            assert!(containment.is_contained((&literal, &Value::Node(0)), &[]));
            let text = Value::Text("a".into());
            assert_eq!(admits(&table, &Value::Node(0), &text), Some(true));
            assert_eq!(
                admits(&table, &Value::Node(0), &Value::Integer(1)),
                Some(false)
            );
        }
    }

    #[test]
    fn equal_schemas_in_other_words_are_contained() {
        let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
        let object = |name: &str| json!({"type": "object", "properties": {name: text}});
        for (one, other) in [
            (
                json!({"oneOf": [text, number]}),
                json!({"anyOf": [text, number]}),
            ),
            (
                json!({"anyOf": [text, number]}),
                json!({"type": ["string", "integer"]}),
            ),
            (json!({"type": "boolean"}), json!({"enum": [true, false]})),
            (json!({"type": "number", "multipleOf": 1}), number.clone()),
            (
                json!({"type": "integer", "minimum": 1}),
                json!({"type": "integer", "exclusiveMinimum": 0}),
            ),
            (
                json!({"allOf": [object("a"), object("b")]}),
                json!({"type": "object", "properties": {"a": text, "b": text}}),
            ),
            (json!({"not": {"not": text}}), text.clone()),
            (
                json!({"oneOf": [{"const": "x"}, {"const": "y"}]}),
                json!({"enum": ["x", "y"]}),
            ),
            (
                json!({"type": "object", "properties": {"a": text}, "additionalProperties": false}),
                json!({"type": "object", "properties": {"a": text}, "unevaluatedProperties": false}),
            ),
            (
                json!({"type": "object", "required": ["a"], "minProperties": 1}),
                json!({"type": "object", "required": ["a"]}),
            ),
            (
                json!({"type": "integer", "minimum": 1, "maximum": 3}),
                json!({"type": "integer", "enum": [1, 2, 3]}),
            ),
            (
                json!({"allOf": [object("a"), {"allOf": [object("b")]}], "unevaluatedProperties": false}),
                json!({"type": "object", "properties": {"a": text, "b": text}, "additionalProperties": false}),
            ),
            (
                json!({"allOf": [{"type": "object", "patternProperties": {"^x-": text}}], "unevaluatedProperties": number}),
                json!({"type": "object", "patternProperties": {"^x-": text}, "additionalProperties": number}),
            ),
        ] {
            assert_eq!(decide(&one, &other), Verdict::Contained, "{one} in {other}");
            assert_eq!(decide(&other, &one), Verdict::Contained, "{other} in {one}");
        }
    }

    #[test]
    fn refutation_has_the_smallest_value() {
        let object =
            |inner: Json| json!({"type": "object", "required": ["a"], "properties": {"a": inner}});
        for (narrow, wide, value) in [
            (
                json!({"not": {"enum": ["p"]}}),
                json!({"not": {"enum": ["p", "q"]}}),
                json!("q"),
            ),
            (
                object(json!({"type": "integer", "maximum": 9})),
                object(json!({"type": "integer", "maximum": 8})),
                json!({"a": 9}),
            ),
            (json!({"type": "object"}), object(json!({})), json!({})),
        ] {
            assert_eq!(decide(&narrow, &wide), Verdict::Refuted(value), "{narrow}");
        }
    }

    /// Reason for which a pair is undecided, with at most this number of steps and searches.
    fn doubt(narrow: &Json, wide: &Json, limits: (u32, u32)) -> Doubt {
        let mut table = Vec::new();
        let edges = (node(&mut table, narrow), node(&mut table, wide));
        // A pattern that no schema of the pair reaches has no effect.
        node(&mut table, &json!({"pattern": "^(?=a)b"}));
        let class = |node: u32| node;
        let mut containment = Containment::new(&table, &class, Direction::Request, limits);
        let verdict = containment.decide(&edges.0, &edges.1);
        assert_eq!(verdict, Verdict::Undecided, "{narrow} in {wide}");
        containment.doubt(&edges.0, &edges.1)
    }

    #[test]
    fn undecided_pair_has_a_reason() {
        let many = (100_000, 10);
        let pattern = |text: &str| json!({"type": "string", "pattern": text});
        let format = |name: &str| json!({"type": "string", "format": name});
        let of = |kind: &str| json!({"type": kind});
        for (narrow, wide, limits, expected) in [
            (
                format("email"),
                format("uri"),
                many,
                Doubt::Keyword("format"),
            ),
            (
                pattern("^(?=a)b"),
                json!({"type": "string", "maxLength": 9}),
                many,
                Doubt::Keyword("pattern"),
            ),
            (
                pattern("^[b]$"),
                pattern("^b$"),
                many,
                Doubt::Keyword("pattern"),
            ),
            (of("string"), of("integer"), (0, 0), Doubt::Limit),
            (of("string"), of("integer"), (100_000, 0), Doubt::Limit),
        ] {
            assert_eq!(
                doubt(&narrow, &wide, limits),
                expected,
                "{narrow} in {wide}"
            );
        }
    }

    #[test]
    fn formats_without_a_check_prove_nothing() {
        let format = |name: &str| json!({"type": "string", "format": name});
        let other = decide(&format("email"), &format("uri"));
        assert_eq!(other, Verdict::Undecided);
        assert_eq!(
            decide(&format("email"), &format("email")),
            Verdict::Contained
        );
        let number = |name: &str| json!({"type": "integer", "format": name});
        assert_eq!(
            decide(&number("int32"), &number("int64")),
            Verdict::Contained
        );
        assert!(matches!(
            decide(&number("int64"), &number("int32")),
            Verdict::Refuted(_)
        ));
    }

    #[test]
    fn properties_of_the_other_direction_are_absent() {
        let object = |most: u8| {
            let id = json!({"type": "string", "readOnly": true, "maxLength": most});
            json!({"type": "object", "required": ["id"], "properties": {"id": id}})
        };
        let (narrow, wide) = (object(9), object(8));
        assert_eq!(decide(&narrow, &wide), Verdict::Contained);
        let answer = decide_in(Direction::Response, &narrow, &wide);
        assert!(matches!(answer, Verdict::Refuted(_)), "{answer:?}");
    }

    /// Schema of a linked list: each node has a number `v` of at most `most`, and `next` refers to
    /// the schema `at`.
    fn list(at: u32, most: i64) -> Value {
        let map = |entries: Vec<(&str, Value)>| {
            Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.into(), value))
                    .collect(),
            )
        };
        let value = map(vec![
            ("maximum", Value::Integer(most)),
            ("type", Value::Text("integer".into())),
        ]);
        map(vec![
            (
                "properties",
                map(vec![("next", Value::Node(at)), ("v", value)]),
            ),
            ("type", Value::Text("object".into())),
        ])
    }

    #[test]
    fn recursive_schemas_are_decided() {
        let table = [list(0, 5), list(2, 9), list(3, 9), list(1, 9), list(4, 4)];
        let class = |node: u32| node;
        let mut containment = Containment::new(&table, &class, Direction::Request, (100_000, 10));
        // The schemas 1 to 3 form a cycle. Each of them accepts the same values.
        assert_eq!(containment.decide(&table[0], &table[1]), Verdict::Contained);
        assert_eq!(containment.decide(&table[2], &table[1]), Verdict::Contained);
        let wider = containment.decide(&table[0], &table[4]);
        assert_eq!(wider, Verdict::Refuted(json!({"v": 5})));
        // A required `next` makes the list endless, so that no value is valid.
        let endless = |at: u32| {
            let Value::Map(mut entries) = list(at, 1) else {
                unreachable!("a map")
            };
            let required = Value::Set(vec![Value::Text("next".into())]);
            entries.insert(1, ("required".into(), required));
            Value::Map(entries)
        };
        let table = [endless(0), Value::Bool(false)];
        let mut containment = Containment::new(&table, &class, Direction::Request, (100_000, 10));
        assert_eq!(containment.decide(&table[0], &table[1]), Verdict::Contained);
    }

    #[test]
    fn inner_pairs_are_taken_for_granted() {
        let table = [list(0, 5), list(1, 4), Value::Map(Vec::new())];
        let class = |node: u32| node;
        let mut containment = Containment::new(&table, &class, Direction::Request, (100_000, 10));
        let inner = |at: usize| {
            let properties = table[at].get("properties").expect("properties");
            properties.get("v").expect("v")
        };
        let pair = (&table[0], &table[1]);
        assert!(!containment.is_contained(pair, &[]));
        assert!(containment.is_contained(pair, &[(inner(0), inner(1))]));
        assert!(!containment.is_contained(pair, &[(inner(1), inner(0)), pair]));
        assert!(!containment.is_contained(pair, &[]));
    }
}
