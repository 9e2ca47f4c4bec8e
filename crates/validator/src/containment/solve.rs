//! Proof that no value matches some schemas and none of others. The solver examines all
//! alternatives of the schemas. Each step keeps a superset of the possible values, so that a proof
//! is certain.

use std::collections::BTreeSet;
use std::rc::Rc;

use bundle::ir::Value;
use rustc_hash::{FxHashMap, FxHashSet};

use super::kept;
use super::one_way::{Context, OneWay};
use super::question::{Fact, Kind, Leaf, Solve};
use super::value::{Enums, admits};
use super::{leaf, text};
use crate::choices::have_distinct_values;
use crate::lower::{Direction, node_number, resolved};

/// Maximum nesting of schemas in one proof.
const DEPTH_MAX: u32 = 48;
/// Maximum nesting of the cases of one proof.
const NESTED_MAX: u32 = 256;
/// Number of schemas examined for a literal value that count as one step.
const EXAMINED_PER_STEP: u32 = 64;
/// Number of listed values (`enum`) that count as one step. The values of one type in a list of
/// 100,000 values then need a twentieth of the steps of a proof.
const LISTED_PER_STEP: usize = 512;
/// Number of pairs of schemas and reasons in a case that count as one step. A case is copied, and its
/// properties are looked up in each of its schemas.
const CASE_PER_STEP: usize = 1_024;
/// Maximum number of members of `oneOf` whose pairs are compared.
const PAIRS_MAX: usize = 12;

/// Ids of schemas: those that a value matches, and those that the value does not match. True if the
/// value is assumed to have only described properties.
type Key = (Vec<u64>, Vec<u64>, bool);

/// Solver of one table of schemas, with the results and the remaining steps of its proofs.
pub(super) struct Solver<'a> {
    pub(super) nodes: &'a [Value],
    enums: Enums<'a>,
    /// Returns the class of a node. Nodes of one class accept the same values.
    rank: &'a dyn Fn(u32) -> u32,
    /// Properties that messages of this direction do not contain.
    one_way: OneWay<'a>,
    /// True if values are assumed to have only properties that the narrow schema describes
    /// ([`super::described`]).
    pub(super) is_described: bool,
    /// True if values are compared as texts ([`text`]).
    pub(super) is_text: bool,
    /// Pairs of a narrow and a wide schema whose containment is assumed.
    pub(super) assumed: FxHashSet<(u64, u64)>,
    /// Results of finished proofs: true if no value exists. Results that depend on an unfinished
    /// proof are not stored.
    pub(super) known: FxHashMap<Key, bool>,
    /// Results of [`Solve::is_no_object`], by the ids of the schemas.
    pub(super) known_objects: FxHashMap<Vec<u64>, bool>,
    /// Proofs in progress, with their depth. If a proof needs itself for an inner value, its result
    /// is assumed to be "no value", because a finite value cannot contain itself.
    open: FxHashMap<Key, u32>,
    /// Smallest depth of an unfinished proof on which the current result depends.
    low: u32,
    depth: u32,
    /// Current nesting of calls of [`Self::closes`].
    nested: u32,
    /// Remaining steps.
    pub(super) steps: u32,
    /// True if a proof ended at a limit, and not by its own result.
    pub(super) is_cut: bool,
}

/// Set of the values that match and do not match certain schemas, with the alternatives that are
/// not examined yet.
#[derive(Clone, Default)]
struct Branch<'a> {
    /// Schemas that match. Their combining keywords, such as `allOf`, were added to the branch.
    flat: Vec<&'a Value>,
    seen: FxHashSet<u64>,
    /// Lists of alternatives. At least one alternative of each list holds.
    choices: Vec<Choice<'a>>,
    /// Schemas that do not match and were not examined yet.
    neg: Vec<Violated<'a>>,
    /// All schemas that do not match, including examined ones.
    all_neg: Vec<&'a Value>,
    facts: Vec<Fact<'a>>,
    /// True if lists of alternatives were dropped, so that further properties may be described.
    is_partial: bool,
    /// All alternatives of the schemas in `flat`, including alternatives that were not chosen.
    alternatives: Vec<&'a Value>,
    /// Schemas of `not` and `if` in `flat`.
    conditions: Vec<&'a Value>,
}

/// One alternative: schemas that match, schemas that do not match, and facts.
#[derive(Clone, Default)]
struct Part<'a> {
    pos: Vec<&'a Value>,
    neg: Vec<&'a Value>,
    facts: Vec<Fact<'a>>,
    /// Context of the schemas that do not match ([`Violated::context`]).
    context: Option<Rc<Context<'a>>>,
}

/// List of alternatives.
#[derive(Clone)]
struct Choice<'a> {
    parts: Vec<Part<'a>>,
    /// Schema of `if` that selects the alternative.
    condition: Option<&'a Value>,
}

/// Schema that a value does not match.
#[derive(Clone)]
struct Violated<'a> {
    schema: &'a Value,
    /// The schema with those that contain it and apply to the same value. `None` for a schema of
    /// `not` or `if` that is inside a schema that the value matches.
    context: Option<Rc<Context<'a>>>,
}

impl<'a> Solver<'a> {
    pub(super) fn new(
        nodes: &'a [Value],
        rank: &'a dyn Fn(u32) -> u32,
        direction: Direction,
    ) -> Self {
        Self {
            nodes,
            enums: Enums::default(),
            rank,
            one_way: OneWay::new(nodes, direction),
            is_described: false,
            is_text: false,
            assumed: FxHashSet::default(),
            known: FxHashMap::default(),
            known_objects: FxHashMap::default(),
            open: FxHashMap::default(),
            low: u32::MAX,
            depth: 0,
            nested: 0,
            steps: 0,
            is_cut: false,
        }
    }

    /// Id of a schema. Schemas of one class have equal ids.
    pub(super) fn id(&self, schema: &'a Value) -> u64 {
        match node_number(self.nodes, schema) {
            Some(node) => (self.rank)(node).into(),
            None => std::ptr::from_ref(schema) as u64 | 1 << 63,
        }
    }

    pub(super) fn take(&mut self) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.steps > 0
    }

    fn is_empty_here(&mut self, pos: &[&'a Value], neg: &[&'a Value]) -> bool {
        static FEW: [Value; 3] = [Value::Null, Value::Bool(true), Value::Bool(false)];
        let mut few = FEW.iter();
        if !few.all(|value| self.is_excluded(pos, neg, value)) {
            return false;
        }
        let kinds = [Kind::Number, Kind::String, Kind::Array, Kind::Object];
        kinds.into_iter().all(|kind| {
            let is_lost = self.is_text
                && match kind {
                    Kind::Number => {
                        text::loses_exponents(self.nodes, pos, neg)
                            || text::loses_scalars(self.nodes, pos, neg)
                    }
                    Kind::String => text::loses_scalars(self.nodes, pos, neg),
                    Kind::Array | Kind::Object => false,
                };
            match is_lost {
                true => self.is_empty_of(kind, pos, &[]),
                false => self.is_empty_of(kind, pos, neg),
            }
        })
    }

    /// True if a schema in `pos` was shown to refuse a value, or a schema in `neg` to accept it.
    /// Examined schemas count as steps.
    fn is_excluded(&mut self, pos: &[&'a Value], neg: &[&'a Value], value: &Value) -> bool {
        let mut count = 0;
        let table = (self.nodes, &self.enums);
        let mut admits = |schema: &&'a Value| admits(table, schema, value, &mut count);
        let is_excluded = self.steps > 0
            && (pos.iter().any(|schema| admits(schema) == Some(false))
                || neg.iter().any(|schema| admits(schema) == Some(true)));
        self.steps = self.steps.saturating_sub(count / EXAMINED_PER_STEP);
        is_excluded
    }

    /// Adds the schemas and facts of an alternative to a branch. False if no value of this type is
    /// left.
    fn add(&mut self, kind: Kind, branch: &mut Branch<'a>, part: Part<'a>) -> bool {
        for schema in part.neg {
            let context = part.context.as_ref();
            let context = context.map(|outer| Context::new(schema, Some(Rc::clone(outer))));
            branch.violate(schema, context);
        }
        branch.facts.extend(part.facts);
        let mut waiting = part.pos;
        while let Some(schema) = waiting.pop() {
            if !branch.seen.insert(self.id(schema)) {
                continue;
            }
            let schema = self.at(schema);
            if *schema == Value::Bool(false) || self.excludes(kind, schema) {
                return false;
            }
            branch.flat.push(schema);
            for (key, value) in schema.entries() {
                match &**key {
                    "allOf" => waiting.extend(self.at(value).items()),
                    "$ref" if matches!(value, Value::Node(_)) => waiting.push(value),
                    "anyOf" | "oneOf" => {
                        let members = self.at(value).items().iter();
                        let members = members.filter(|one| !self.excludes(kind, self.at(one)));
                        let members: Vec<&'a Value> = members.collect();
                        let parts = members.iter().map(|one| Part::of(&[*one], &[]));
                        branch.choices.push(Choice {
                            parts: parts.collect(),
                            condition: None,
                        });
                        branch.alternatives.extend(members);
                    }
                    "not" => {
                        branch.violate(value, None);
                        branch.conditions.push(value);
                    }
                    "if" => {
                        branch.conditions.push(value);
                        let of = |key| schema.get(key).into_iter().collect::<Vec<_>>();
                        let then = Part::of(&[&[value][..], &of("then")].concat(), &[]);
                        branch.choices.push(Choice {
                            parts: vec![then, Part::of(&of("else"), &[value])],
                            condition: Some(value),
                        });
                    }
                    _ => {}
                }
            }
        }
        true
    }

    /// True if a schema accepts no value of this type.
    fn excludes(&self, kind: Kind, schema: &'a Value) -> bool {
        match schema {
            Value::Bool(value) => !value,
            _ => schema.get("type").is_some_and(|types| {
                let names = crate::contain::names(self.nodes, types);
                let has = |name: &str| names.contains(name);
                !match kind {
                    Kind::Number => has("number") || has("integer"),
                    Kind::String => has("string"),
                    Kind::Array => has("array"),
                    Kind::Object => has("object"),
                }
            }),
        }
    }

    /// True if it was shown that the branch contains no value of this type.
    fn closes(&mut self, kind: Kind, branch: Branch<'a>) -> bool {
        if !self.take() || self.nested >= NESTED_MAX {
            self.is_cut = true;
            return false;
        }
        let size = branch.flat.len() + branch.neg.len() + branch.facts.len();
        let steps = u32::try_from(size * size / CASE_PER_STEP).unwrap_or(u32::MAX);
        self.steps = self.steps.saturating_sub(steps);
        self.nested += 1;
        let closes = self.closes_here(kind, branch);
        self.nested -= 1;
        closes
    }

    fn closes_here(&mut self, kind: Kind, mut branch: Branch<'a>) -> bool {
        if let Some(values) = branch.flat.iter().find_map(|schema| self.listed(schema)) {
            let (pos, neg) = (&branch.flat, &branch.all_neg);
            let steps = u32::try_from(values.len() / LISTED_PER_STEP).unwrap_or(u32::MAX);
            self.steps = self.steps.saturating_sub(steps);
            self.is_cut |= self.steps == 0;
            return values
                .into_iter()
                .all(|value| !is_of(kind, self.at(value)) || self.is_excluded(pos, neg, value));
        }
        if let Some(choice) = branch.choices.pop() {
            // Try without this list of alternatives first. If no value remains, the alternatives
            // cannot add one.
            if !branch.neg.is_empty() {
                let partial = Branch {
                    is_partial: true,
                    ..branch.clone()
                };
                if self.closes(kind, partial) {
                    return true;
                }
            }
            if let Some(condition) = choice.condition
                && self.is_loose(&branch, condition)
            {
                branch.is_partial = true;
                return self.closes(kind, branch);
            }
            return choice.parts.into_iter().all(|part| {
                let mut branch = branch.clone();
                !self.add(kind, &mut branch, part) || self.closes(kind, branch)
            });
        }
        if branch.neg.len() > 1 && branch.facts.is_empty() {
            for one in branch.neg.clone() {
                let alone = Branch {
                    neg: vec![one],
                    ..branch.clone()
                };
                if self.closes(kind, alone) {
                    return true;
                }
            }
        }
        if let Some(violated) = branch.neg.pop() {
            if violated.context.is_none() && self.is_loose(&branch, violated.schema) {
                return self.closes(kind, branch);
            }
            return self.is_contradiction(&branch, &violated)
                || self
                    .mismatches(kind, &violated, &branch.flat)
                    .into_iter()
                    .all(|part| {
                        let mut branch = branch.clone();
                        !self.add(kind, &mut branch, part) || self.closes(kind, branch)
                    });
        }
        let leaf = Leaf {
            flat: &branch.flat,
            facts: &branch.facts,
            is_partial: branch.is_partial,
            alternatives: &branch.alternatives,
            conditions: &branch.conditions,
        };
        leaf::is_empty(&leaf, self, kind)
    }

    /// True for a schema of `not` or `if` that requires a property which messages of this direction
    /// may lack. gwd does not enforce such a keyword.
    fn is_loose(&self, branch: &Branch<'a>, condition: &'a Value) -> bool {
        self.one_way.exempts_more(&branch.flat, condition, None)
    }

    /// True if the values of a branch match a schema that they violate.
    fn is_contradiction(&self, branch: &Branch<'a>, violated: &Violated<'a>) -> bool {
        let same = self.id(violated.schema);
        let mut seen = branch.seen.iter();
        let is_matched =
            branch.seen.contains(&same) || seen.any(|one| self.assumed.contains(&(*one, same)));
        is_matched && {
            let context = violated.context.as_deref();
            !self
                .one_way
                .exempts_more(&branch.flat, violated.schema, context)
        }
    }

    /// True if one of several schemas of a value may exempt a property from the `required` of
    /// another one. Equal schemas then do not accept the same values.
    fn exempts_more(&self, pos: &[&'a Value], neg: &[&'a Value]) -> bool {
        pos.len() > 1
            && neg.iter().any(|schema| {
                let context = Context::new(schema, None);
                self.one_way.exempts_more(pos, schema, Some(&context))
            })
    }

    /// Values that `enum` or `const` lists.
    fn listed(&self, schema: &'a Value) -> Option<Vec<&'a Value>> {
        match (schema.get("const"), schema.get("enum")) {
            (Some(value), _) => Some(vec![value]),
            (None, Some(values)) => Some(self.at(values).items().iter().collect()),
            (None, None) => None,
        }
    }

    /// Reasons for which a value of this type does not match a schema. Each such value has at least
    /// one of these reasons. `flat`: schemas that the value matches.
    fn mismatches(
        &mut self,
        kind: Kind,
        violated: &Violated<'a>,
        flat: &[&'a Value],
    ) -> Vec<Part<'a>> {
        let context = violated.context.as_ref();
        let schema = self.at(violated.schema);
        if *schema == Value::Bool(false) || self.excludes(kind, schema) {
            return vec![Part::default()];
        }
        let mut mismatches = Vec::new();
        for (key, value) in schema.entries() {
            // A keyword that a matched schema has, too, refuses no value.
            let keys = kept::matched(self, flat, schema, (key, value));
            let exempts_more = |key: &&str| {
                let value = schema.get(key);
                let context = context.map(|context| &**context);
                value.is_some_and(|value| self.one_way.exempts_more(flat, value, context))
            };
            if keys.is_some_and(|keys| !keys.iter().any(exempts_more)) {
                continue;
            }
            self.add_mismatches(kind, (schema, context), (key, value), &mut mismatches);
        }
        for part in &mut mismatches {
            part.context = context.map(Rc::clone);
        }
        mismatches
    }

    fn add_mismatches(
        &mut self,
        kind: Kind,
        (schema, context): (&'a Value, Option<&Rc<Context<'a>>>),
        (key, value): (&'a str, &'a Value),
        mismatches: &mut Vec<Part<'a>>,
    ) {
        let fact = |fact| Part {
            facts: vec![fact],
            ..Part::default()
        };
        match key {
            "allOf" => {
                let members = self.at(value).items().iter();
                mismatches.extend(members.map(|one| Part::of(&[], &[one])));
            }
            "$ref" if matches!(value, Value::Node(_)) => mismatches.push(Part::of(&[], &[value])),
            "anyOf" | "oneOf" => {
                let members: Vec<&'a Value> = self.at(value).items().iter().collect();
                mismatches.push(Part::of(&[], &members));
                if key == "oneOf" {
                    self.overlaps(schema, value, mismatches);
                }
            }
            "not" => mismatches.push(Part::of(&[value], &[])),
            "if" => {
                if let Some(then) = schema.get("then") {
                    mismatches.push(Part::of(&[value], &[then]));
                }
                if let Some(other) = schema.get("else") {
                    mismatches.push(Part::of(&[], &[value, other]));
                }
            }
            "enum" | "const" if kind == Kind::Number => {
                mismatches.push(fact(Fact::Not(key, self.at(value))));
            }
            "enum" | "const" | "$ref" | "$dynamicRef" | "x-limits" | "dependencies"
            | "additionalItems" => mismatches.push(Part::default()),
            // The value inside the string is not examined.
            "contentSchema" if kind == Kind::String => mismatches.push(Part::default()),
            "required" if kind == Kind::Object => {
                let names = self.at(value).items().iter();
                let names = names.filter_map(|name| match name {
                    Value::Text(name) => Some(&**name),
                    _ => None,
                });
                let is_exempt = |name: &&str| {
                    context.is_some_and(|context| self.one_way.is_exempt(context, name))
                };
                let names = names.filter(|name| !is_exempt(name));
                mismatches.extend(names.map(|name| fact(Fact::Missing(name))));
            }
            "type" if kind == Kind::Number => {
                if !crate::contain::names(self.nodes, value).contains("number") {
                    mismatches.push(fact(Fact::NotInteger));
                }
            }
            _ => {
                let facts = leaf::facts(self, kind, schema, (key, value));
                for one in facts {
                    match one {
                        Some((pos, neg, own)) => {
                            let mut part = Part::of(&pos, &neg);
                            part.facts = own;
                            mismatches.push(part);
                        }
                        None => mismatches.push(Part::default()),
                    }
                }
            }
        }
    }

    /// Adds the case that a value matches two members of `oneOf`, for each pair of members.
    fn overlaps(&self, schema: &'a Value, value: &'a Value, mismatches: &mut Vec<Part<'a>>) {
        let members = self.at(value).items();
        if schema.get("discriminator").is_some() {
            // The value of the discriminator selects the member.
            mismatches.push(Part::default());
        } else if members.len() > PAIRS_MAX {
            let none = FxHashSet::default();
            if !have_distinct_values(self.nodes, members, |_| &none) {
                mismatches.push(Part::default());
            }
        } else {
            for (at, one) in members.iter().enumerate() {
                let others = members[at + 1..].iter();
                mismatches.extend(others.map(|other| Part::of(&[one, other], &[])));
            }
        }
    }
}

impl<'a> Solve<'a> for Solver<'a> {
    fn nodes(&self) -> &'a [Value] {
        self.nodes
    }

    fn enums(&self) -> &Enums<'a> {
        &self.enums
    }

    fn one_way(&self) -> &OneWay<'a> {
        &self.one_way
    }

    fn id(&self, schema: &'a Value) -> u64 {
        Solver::id(self, schema)
    }

    fn is_described(&self) -> bool {
        self.is_described
    }

    fn at(&self, value: &'a Value) -> &'a Value {
        resolved(self.nodes, value)
    }

    fn is_empty(&mut self, pos: &[&'a Value], neg: &[&'a Value]) -> bool {
        let ids = |solver: &Self, all: &[&'a Value]| -> Vec<u64> {
            let ids: BTreeSet<u64> = all.iter().map(|one| solver.id(one)).collect();
            ids.into_iter().collect()
        };
        let key = (ids(self, pos), ids(self, neg), self.is_described);
        let is_assumed =
            |(one, other): (&u64, &u64)| one == other || self.assumed.contains(&(*one, *other));
        let mut pairs = key
            .0
            .iter()
            .flat_map(|one| key.1.iter().map(move |other| (one, other)));
        if pairs.any(is_assumed) && !self.exempts_more(pos, neg) {
            return true;
        }
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        if let Some(depth) = self.open.get(&key) {
            self.low = self.low.min(*depth);
            return true;
        }
        if !self.take() || self.depth >= DEPTH_MAX {
            self.is_cut = true;
            return false;
        }
        self.open.insert(key.clone(), self.depth);
        let before = std::mem::replace(&mut self.low, u32::MAX);
        self.depth += 1;
        let is_empty = self.is_empty_here(pos, neg);
        self.depth -= 1;
        self.open.remove(&key);
        let depends = self.low < self.depth;
        if !(is_empty && depends) {
            self.known.insert(key, is_empty);
        }
        let own = if depends { self.low } else { u32::MAX };
        self.low = before.min(own);
        is_empty
    }

    fn is_empty_of_any(&mut self, pos: &[&'a Value], neg: &[&'a Value]) -> bool {
        let is_described = std::mem::replace(&mut self.is_described, false);
        let is_empty = self.is_empty(pos, neg);
        self.is_described = is_described;
        is_empty
    }

    fn is_no_object(&mut self, schemas: &[&'a Value]) -> bool {
        let key: BTreeSet<u64> = schemas.iter().map(|one| self.id(one)).collect();
        let key: Vec<u64> = key.into_iter().collect();
        if let Some(known) = self.known_objects.get(&key) {
            return *known;
        }
        let before = std::mem::replace(&mut self.low, u32::MAX);
        let is_described = std::mem::replace(&mut self.is_described, false);
        let is_empty = self.is_empty_of(Kind::Object, schemas, &[]);
        self.is_described = is_described;
        if !is_empty || self.low == u32::MAX {
            self.known_objects.insert(key, is_empty);
        }
        self.low = before.min(self.low);
        is_empty
    }

    fn is_empty_of(&mut self, kind: Kind, pos: &[&'a Value], neg: &[&'a Value]) -> bool {
        let mut branch = Branch::default();
        for schema in neg {
            branch.violate(schema, Some(Context::new(schema, None)));
        }
        let part = Part::of(pos, &[]);
        !self.add(kind, &mut branch, part) || self.closes(kind, branch)
    }
}

impl<'a> Part<'a> {
    fn of(pos: &[&'a Value], neg: &[&'a Value]) -> Self {
        Self {
            pos: pos.to_vec(),
            neg: neg.to_vec(),
            ..Self::default()
        }
    }
}

impl<'a> Branch<'a> {
    /// Adds a schema that does not match.
    fn violate(&mut self, schema: &'a Value, context: Option<Rc<Context<'a>>>) {
        self.neg.push(Violated { schema, context });
        self.all_neg.push(schema);
    }
}

/// True if a literal has this type.
fn is_of(kind: Kind, value: &Value) -> bool {
    match value {
        Value::Integer(_) | Value::Decimal(_) => kind == Kind::Number,
        Value::Text(_) => kind == Kind::String,
        Value::List(_) | Value::Set(_) => kind == Kind::Array,
        Value::Map(_) => kind == Kind::Object,
        Value::Null | Value::Bool(_) | Value::Node(_) => false,
    }
}
