//! Containment of schemas: decides if one schema accepts all values of another.
//!
//! The comparison is sound and not complete: `true` is certain, and `false` means that containment
//! could not be shown. Schemas are compared keyword by keyword. While a pair of schemas is
//! compared, its containment is assumed (coinduction), so that the comparison of recursive schemas
//! ends. A pair whose containment was not shown is not compared again, even under other
//! assumptions. Other assumptions would not help, because the comparison can prove a true
//! assumption itself.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use bundle::ir::Value;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::choices::{Likenesses, have_distinct_values};
use crate::cone::Cone;
use crate::content;
use crate::format;
use crate::limits;
use crate::lower::{Direction, NotRequired, resolved};
use crate::order::compared;

/// Maximum number of compared pairs of schemas.
const STEPS_MAX: u32 = 100_000;
/// Maximum nesting of compared schemas.
const DEPTH_MAX: u32 = 256;

pub(crate) struct ContainmentCheck<'a> {
    direction: Direction,
    /// Keyword of properties that messages of this direction need not have, although they are
    /// required: `readOnly` in requests, `writeOnly` in responses.
    not_required: &'static str,
    /// Schemas of the wide description, which must accept everything that the narrow description
    /// accepts.
    wide: &'a [Value],
    narrow: &'a [Value],
    /// Properties of the wide description that messages need not have, although they are required.
    /// `narrow_one_way` is the same for the narrow description.
    wide_one_way: OnceCell<NotRequired<'a>>,
    narrow_one_way: OnceCell<NotRequired<'a>>,
    /// Pairs of nodes for which containment is assumed: pairs that are being compared, and pairs
    /// whose containment was shown under such an assumption.
    assumed: FxHashSet<(u32, u32)>,
    /// Members of `assumed`, in the order in which they were added.
    trail: Vec<(u32, u32)>,
    /// Pairs for which containment was not shown, by the addresses of the schemas.
    refuted: FxHashSet<(usize, usize)>,
    /// Results of [`Self::same`] for pairs of nodes.
    equal: FxHashMap<(u32, u32), bool>,
    /// Results of [`Self::are_disjoint`], by the address of the first schema of the list.
    disjoint: FxHashMap<usize, bool>,
    steps: u32,
    depth: u32,
    /// True if JSON inside of strings (`contentSchema`) is compared, as in items of sequences.
    reads_content: bool,
}

/// Schema that accepts everything.
pub(crate) static ANY: Value = Value::Bool(true);

impl<'a> ContainmentCheck<'a> {
    pub(crate) fn new(wide: &'a Cone, narrow: &'a Cone) -> Self {
        Self::in_direction(wide, narrow, Direction::Request)
    }

    /// Creates a comparison of messages of this direction: requests or responses.
    pub(crate) fn in_direction(wide: &'a Cone, narrow: &'a Cone, direction: Direction) -> Self {
        Self::of_tables(direction, &wide.schemas, &narrow.schemas)
    }

    fn of_tables(direction: Direction, wide: &'a [Value], narrow: &'a [Value]) -> Self {
        Self {
            direction,
            not_required: match direction {
                Direction::Request => "readOnly",
                Direction::Response => "writeOnly",
            },
            wide,
            narrow,
            wide_one_way: OnceCell::new(),
            narrow_one_way: OnceCell::new(),
            assumed: FxHashSet::default(),
            trail: Vec::new(),
            refuted: FxHashSet::default(),
            equal: FxHashMap::default(),
            disjoint: FxHashMap::default(),
            steps: 0,
            depth: 0,
            reads_content: false,
        }
    }

    /// Creates a comparison of the same descriptions that also compares the JSON inside of strings.
    pub(crate) fn with_content(&self) -> Self {
        Self {
            reads_content: true,
            ..self.renewed()
        }
    }

    /// Creates a comparison of the same descriptions, without earlier results and with all steps
    /// unused.
    pub(crate) fn renewed(&self) -> Self {
        Self::of_tables(self.direction, self.wide, self.narrow)
    }

    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }

    /// Tables of the schemas of the wide and the narrow description.
    pub(crate) fn tables(&self) -> [&'a [Value]; 2] {
        [self.wide, self.narrow]
    }

    pub(crate) fn wide(&self, value: &'a Value) -> &'a Value {
        resolved(self.wide, value)
    }

    pub(crate) fn narrow(&self, value: &'a Value) -> &'a Value {
        resolved(self.narrow, value)
    }

    /// True if a schema of the wide description accepts every value.
    pub(crate) fn is_any(&self, schema: &'a Value) -> bool {
        match self.wide(schema) {
            Value::Bool(value) => *value,
            Value::Map(entries) => {
                let entries = entries.iter();
                let mut asserted =
                    entries.filter(|(key, value)| is_assertion(key, self.wide(value)));
                asserted.next().is_none() && self.content(self.wide, schema).is_none()
            }
            _ => false,
        }
    }

    /// Schema of the JSON inside of a string (`contentSchema`). `None` if this comparison ignores
    /// such JSON.
    fn content(&self, table: &'a [Value], schema: &'a Value) -> Option<&'a Value> {
        let schema = resolved(table, schema);
        content::schema(table, schema).filter(|_| self.reads_content)
    }

    /// True if `wide` was shown to accept all values of `narrow`.
    pub(crate) fn holds(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        if self.is_any(wide) || *self.narrow(narrow) == Value::Bool(false) {
            return true;
        }
        self.steps += 1;
        if self.steps > STEPS_MAX || self.depth > DEPTH_MAX {
            return false;
        }
        let address = |value: &Value| std::ptr::from_ref(value) as usize;
        let pair = (address(self.wide(wide)), address(self.narrow(narrow)));
        if self.refuted.contains(&pair) {
            return false;
        }
        if let (Value::Node(one), Value::Node(other)) = (wide, narrow) {
            if !self.assumed.insert((*one, *other)) {
                return true;
            }
            self.trail.push((*one, *other));
        }
        self.depth += 1;
        let holds = self.holds_here(wide, narrow);
        self.depth -= 1;
        if !holds {
            self.refuted.insert(pair);
        }
        holds
    }

    /// Tries one of several proofs of containment with [`Self::holds`]. If it fails, removes the
    /// assumptions that it added.
    fn tries(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        let before = self.trail.len();
        let is_contained = self.holds(wide, narrow);
        if !is_contained {
            for pair in self.trail.drain(before..) {
                self.assumed.remove(&pair);
            }
        }
        is_contained
    }

    fn holds_here(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        let (wide_map, narrow_map) = (self.wide(wide), self.narrow(narrow));
        // The caller has handled wide schemas that accept everything, so a wide schema without
        // keywords is `false`. A narrow schema without keywords accepts every value.
        if wide_map.entries().is_empty() {
            return false;
        }
        if is_nullable(narrow_map) && !is_nullable(wide_map) && !self.accepts_null(wide_map) {
            return false;
        }
        if !self.selects_all(wide_map, narrow_map) {
            return false;
        }
        for (key, value) in wide_map.entries() {
            if is_assertion(key, self.wide(value))
                && !self.implied(key, value, wide_map, narrow_map)
            {
                return false;
            }
        }
        match (
            self.content(self.wide, wide),
            self.content(self.narrow, narrow),
        ) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wide), Some(narrow)) => self.holds(wide, narrow),
        }
    }

    /// True if the wide schema's alternative for each `discriminator` value accepts everything that
    /// the narrow schema's alternative for the same value accepts.
    fn selects_all(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        let Some(selector) = wide.get("discriminator").map(|value| self.wide(value)) else {
            return true;
        };
        if wide.get("oneOf").is_none() {
            return true;
        }
        let Some(own) = narrow.get("discriminator").map(|value| self.narrow(value)) else {
            return false;
        };
        if selector.get("propertyName") != own.get("propertyName") {
            return false;
        }
        let targets = selector.get("mapping").map(|value| self.wide(value));
        let own = own.get("mapping").map(|value| self.narrow(value));
        let targets = targets.map(Value::entries).unwrap_or_default();
        targets.iter().all(|(value, target)| {
            let other = own.and_then(|own| own.get(value));
            other.is_some_and(|other| self.holds(target, other))
        })
    }

    /// True if a keyword of the narrow schema is at least as strict as the same keyword of the wide
    /// schema: the values are equal, or the narrow limits are within the wide ones.
    fn is_as_narrow(&mut self, key: &str, wide: &'a Value, narrow: &'a Value) -> bool {
        match key {
            "x-limits" => limits::contain(self.wide(wide), self.narrow(narrow)),
            _ => self.same(wide, narrow),
        }
    }

    /// True if every value that the narrow schema accepts satisfies this keyword of the wide
    /// schema. Keywords that depend on all other keywords (`unevaluated…`) need equal schemas.
    fn implied(&mut self, key: &str, value: &'a Value, wide: &'a Value, narrow: &'a Value) -> bool {
        let own = narrow.get(key);
        match key {
            "type" => {
                let allowed = names(self.wide, value);
                let fits = |name: &&str| {
                    allowed.contains(name)
                        || *name == "integer" && allowed.contains("number")
                        || *name == "null" && is_nullable(wide)
                };
                match own {
                    Some(own) => names(self.narrow, own).iter().all(fits),
                    None => self
                        .listed(narrow)
                        .is_some_and(|own| own.iter().all(|one| fits(&type_of(one)))),
                }
            }
            "enum" | "const" => {
                let allowed = match key {
                    "enum" => self.wide(value).items().iter().collect(),
                    _ => vec![value],
                };
                let Some(own) = self.listed(narrow) else {
                    return false;
                };
                own.into_iter().all(|own| {
                    *own == Value::Null && is_nullable(wide)
                        || allowed.iter().any(|one| self.same(one, own))
                })
            }
            "required" => self.requires_all((wide, value), (narrow, own)),
            "minimum" | "exclusiveMinimum" => self.is_bounded(
                [wide, narrow],
                ["minimum", "exclusiveMinimum"],
                Ordering::Greater,
            ),
            "maximum" | "exclusiveMaximum" => self.is_bounded(
                [wide, narrow],
                ["maximum", "exclusiveMaximum"],
                Ordering::Less,
            ),
            "minLength" | "minItems" | "minProperties" => own
                .and_then(|own| compared(self.narrow(own), self.wide(value)))
                .is_some_and(Ordering::is_ge),
            "maxLength" | "maxItems" | "maxProperties" => own
                .and_then(|own| compared(self.narrow(own), self.wide(value)))
                .is_some_and(Ordering::is_le),
            "format" => own.is_some_and(|own| {
                let (own, value) = (self.narrow(own), self.wide(value));
                let text = |value: &Value| matches!(value, Value::Text(name) if **name == *"int32");
                own == value
                    || text(own) && matches!(value, Value::Text(name) if **name == *"int64")
            }),
            "contains" | "minContains" | "maxContains" => self.counts_alike(key, wide, narrow),
            "unevaluatedProperties" | "unevaluatedItems" => self.same(wide, narrow),
            "items" => {
                let both = |value: &Value| value.items().is_empty();
                let own = own.unwrap_or(&ANY);
                let same_start = match (wide.get("prefixItems"), narrow.get("prefixItems")) {
                    (_, None) => true,
                    (Some(wide), Some(narrow)) => self.same(wide, narrow),
                    (None, Some(_)) => false,
                };
                same_start
                    && both(self.wide(value))
                    && both(self.narrow(own))
                    && self.holds(value, own)
            }
            "properties" => {
                let rest = narrow.get("additionalProperties").unwrap_or(&ANY);
                let patterned = narrow.get("patternProperties").is_some();
                let all = own.map(|own| self.narrow(own));
                let entries = self.wide(value).entries();
                entries
                    .iter()
                    .all(|(name, schema)| match all.and_then(|all| all.get(name)) {
                        Some(own) => {
                            self.is_not_required(schema) == self.is_not_required_narrow(own)
                                && self.holds(schema, own)
                        }
                        None => {
                            !patterned && !self.is_not_required(schema) && self.holds(schema, rest)
                        }
                    })
            }
            "additionalProperties" => {
                let patterns = |value: &Value| value.get("patternProperties").is_some();
                if patterns(wide) || patterns(narrow) {
                    return false;
                }
                let known = wide.get("properties").map(|all| self.wide(all));
                let rest = own.unwrap_or(&ANY);
                let named = narrow
                    .get("properties")
                    .map(|all| self.narrow(all).entries());
                let mut named = named.unwrap_or_default().iter();
                self.holds(value, rest)
                    && named.all(|(name, own)| {
                        known.is_some_and(|known| known.get(name).is_some())
                            || self.holds(value, own)
                    })
            }
            "allOf" => {
                let parts = self.wide(value).items();
                parts.iter().all(|part| self.some_part_holds(part, narrow))
            }
            "$ref" => self.some_part_holds(value, narrow),
            "anyOf" | "oneOf" => {
                let choices = self.wide(value).items();
                // A discriminator selects the alternative, so that `oneOf` is enforced as `anyOf`.
                let is_exclusive = key == "oneOf" && wide.get("discriminator").is_none();
                if is_exclusive && !self.are_disjoint(choices) {
                    return own.is_some_and(|own| self.chooses_alike(value, (narrow, own)));
                }
                let alternatives = ["anyOf", "oneOf"].into_iter();
                let mut alternatives = alternatives.filter_map(|key| narrow.get(key));
                alternatives.any(|own| self.each_is_chosen(choices, self.narrow(own).items()))
                    || choices.iter().any(|choice| self.tries(choice, narrow))
            }
            // Any other keyword must be equal, or have narrower limits in the narrow schema.
            _ => own.is_some_and(|own| self.is_as_narrow(key, value, own)),
        }
    }

    /// True if the narrow schema has the same `oneOf` (`own`), and refuses values of several
    /// alternatives.
    fn chooses_alike(&mut self, value: &'a Value, (narrow, own): (&'a Value, &'a Value)) -> bool {
        narrow.get("discriminator").is_none() && self.same(value, own)
    }

    /// True if each alternative of the narrow schema is contained in an alternative of the wide
    /// schema. Tries the alternatives with equal hashes first.
    fn each_is_chosen(&mut self, choices: &'a [Value], own: &'a [Value]) -> bool {
        let alike = Likenesses::of(self.wide, choices);
        own.iter().all(|own| {
            let first: Vec<usize> = alike.like(self.narrow, own).collect();
            first.iter().any(|index| self.tries(&choices[*index], own))
                || choices.iter().enumerate().any(|(index, choice)| {
                    !first.contains(&index) && self.steps <= STEPS_MAX && self.tries(choice, own)
                })
        })
    }

    /// True if `wide` was shown to accept all values of `narrow`, of a single member of its
    /// `allOf`, or of its `$ref`.
    fn some_part_holds(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        if self.tries(wide, narrow) {
            return true;
        }
        let parts = ["allOf", "$ref"]
            .into_iter()
            .filter_map(|key| narrow.get(key));
        let parts: Vec<&'a Value> = parts
            .flat_map(|part| match part {
                Value::List(items) | Value::Set(items) => items.iter().collect(),
                part => vec![part],
            })
            .collect();
        parts.into_iter().any(|part| self.tries(wide, part))
    }

    /// Values that a narrow schema lists in `enum` or `const`.
    fn listed(&self, narrow: &'a Value) -> Option<Vec<&'a Value>> {
        match (narrow.get("enum"), narrow.get("const")) {
            (Some(values), _) => Some(self.narrow(values).items().iter().collect()),
            (None, Some(value)) => Some(vec![value]),
            (None, None) => None,
        }
    }

    /// True if the numbers of the narrow schema are within the bound of the wide one. `keys`: names
    /// of the inclusive and the exclusive bound. `inside`: order of a stricter bound relative to a
    /// looser one.
    fn is_bounded(
        &self,
        [wide, narrow]: [&'a Value; 2],
        keys: [&str; 2],
        inside: Ordering,
    ) -> bool {
        let bounds = |schema: &'a Value, table: &'a [Value]| -> Vec<(&'a Value, bool)> {
            let [inclusive, exclusive] = keys.map(|key| schema.get(key));
            let exclusive = exclusive.map(|value| resolved(table, value));
            // In OpenAPI 3.0, the exclusive bound is a boolean that makes the inclusive bound
            // exclusive.
            let flag = exclusive == Some(&Value::Bool(true));
            let inclusive = inclusive.map(|value| (resolved(table, value), flag));
            let exclusive = exclusive.filter(|value| !matches!(value, Value::Bool(_)));
            inclusive
                .into_iter()
                .chain(exclusive.map(|value| (value, true)))
                .collect()
        };
        let own = bounds(narrow, self.narrow);
        bounds(wide, self.wide)
            .into_iter()
            .all(|(bound, excluded)| {
                own.iter()
                    .any(|(own, own_excluded)| match compared(own, bound) {
                        Some(Ordering::Equal) => *own_excluded || !excluded,
                        order => order == Some(inside),
                    })
            })
    }

    /// True if no value matches two of these alternatives of the wide schema: their types differ,
    /// or a required property has different values in each.
    fn are_disjoint(&mut self, choices: &'a [Value]) -> bool {
        let address = choices.as_ptr() as usize;
        if let Some(known) = self.disjoint.get(&address) {
            return *known;
        }
        let are_disjoint = have_distinct_values(self.wide, choices, |schema| self.omitted(schema))
            || choices.iter().enumerate().all(|(index, one)| {
                let mut others = choices[index + 1..].iter();
                others.all(|other| {
                    self.steps += 1;
                    self.steps <= STEPS_MAX && self.is_disjoint(self.wide(one), self.wide(other))
                })
            });
        self.disjoint.insert(address, are_disjoint);
        are_disjoint
    }

    fn is_disjoint(&self, one: &'a Value, other: &'a Value) -> bool {
        if is_nullable(one) || is_nullable(other) {
            return false;
        }
        let types = |schema: &'a Value| schema.get("type").map(|value| names(self.wide, value));
        let (Some(types), Some(others)) = (types(one), types(other)) else {
            return false;
        };
        let number = |name: &str| name == "number" || name == "integer";
        let is_allowed = |name: &&str| {
            others.contains(name) || number(name) && others.iter().any(|one| number(one))
        };
        if !types.iter().any(is_allowed) {
            return true;
        }
        let object = BTreeSet::from(["object"]);
        if types != object || others != object {
            return false;
        }
        let required = |schema: &'a Value| {
            schema
                .get("required")
                .map(|value| self.required(schema, value))
                .unwrap_or_default()
        };
        let values = |schema: &'a Value, name: &str| -> Option<Vec<&'a Value>> {
            let property = self.wide(self.wide(schema.get("properties")?).get(name)?);
            if is_nullable(property) {
                return None;
            }
            match (property.get("enum"), property.get("const")) {
                (Some(values), _) => Some(self.wide(values).items().iter().collect()),
                (None, value) => Some(vec![value?]),
            }
        };
        required(one).intersection(&required(other)).any(|name| {
            match (values(one, name), values(other, name)) {
                (Some(ours), Some(theirs)) => !ours.iter().any(|value| theirs.contains(value)),
                _ => false,
            }
        })
    }

    /// Properties of a schema of the wide description that messages of this direction need not
    /// have.
    fn omitted(&self, schema: &'a Value) -> &FxHashSet<&'a str> {
        let all = self
            .wide_one_way
            .get_or_init(|| NotRequired::of_table(self.wide, self.not_required));
        all.names(schema)
    }

    /// Names of `required` of a schema that a message in this direction must have.
    fn required(&self, schema: &'a Value, value: &'a Value) -> BTreeSet<&'a str> {
        let mut all = names(self.wide, value);
        all.retain(|name| !self.omitted(schema).contains(name));
        all
    }

    /// True if the narrow schema requires each property that the wide one requires.
    fn requires_all(
        &self,
        (wide, value): (&'a Value, &'a Value),
        (narrow, own): (&'a Value, Option<&'a Value>),
    ) -> bool {
        let own = own.map(|own| self.required_narrow(narrow, own));
        self.required(wide, value)
            .is_subset(&own.unwrap_or_default())
    }

    fn required_narrow(&self, schema: &'a Value, value: &'a Value) -> BTreeSet<&'a str> {
        let optional = self
            .narrow_one_way
            .get_or_init(|| NotRequired::of_table(self.narrow, self.not_required));
        let optional = optional.names(schema);
        let mut all = names(self.narrow, value);
        all.retain(|name| !optional.contains(name));
        all
    }

    fn is_not_required(&self, schema: &'a Value) -> bool {
        self.wide(schema).get(self.not_required) == Some(&Value::Bool(true))
    }

    fn is_not_required_narrow(&self, schema: &'a Value) -> bool {
        self.narrow(schema).get(self.not_required) == Some(&Value::Bool(true))
    }

    /// True if two values and all schemas that they reference are equal. Repeated pairs of
    /// references are assumed to be equal, so that the comparison of recursive schemas ends.
    /// Assumed containment of a pair is not used, because containment does not imply equality.
    pub(crate) fn same(&mut self, wide: &'a Value, narrow: &'a Value) -> bool {
        if let (Value::Node(one), Value::Node(other)) = (wide, narrow)
            && let Some(known) = self.equal.get(&(*one, *other))
        {
            return *known;
        }
        let mut assumed: FxHashSet<(u32, u32)> = FxHashSet::default();
        let mut waiting = vec![(wide, narrow)];
        let mut are_equal = true;
        while let Some((one, other)) = waiting.pop() {
            self.steps += 1;
            are_equal = self.steps <= STEPS_MAX
                && match (one, other) {
                    (Value::Node(a), Value::Node(b)) => match self.equal.get(&(*a, *b)) {
                        Some(known) => *known,
                        None => {
                            if assumed.insert((*a, *b)) {
                                waiting.push((self.wide(one), self.narrow(other)));
                            }
                            true
                        }
                    },
                    (Value::List(a), Value::List(b)) | (Value::Set(a), Value::Set(b)) => {
                        waiting.extend(a.iter().zip(b));
                        a.len() == b.len()
                    }
                    (Value::Map(a), Value::Map(b)) => {
                        let pairs = a.iter().zip(b);
                        waiting.extend(pairs.clone().map(|((_, a), (_, b))| (a, b)));
                        a.len() == b.len() && pairs.into_iter().all(|((a, _), (b, _))| a == b)
                    }
                    (a, b) => a == b,
                };
            if !are_equal {
                break;
            }
        }
        match (wide, narrow) {
            _ if are_equal => self
                .equal
                .extend(assumed.into_iter().map(|pair| (pair, true))),
            (Value::Node(one), Value::Node(other)) => {
                self.equal.insert((*one, *other), false);
            }
            _ => {}
        }
        are_equal
    }
}

/// True if validators enforce a keyword with this value.
pub(crate) fn is_assertion(key: &str, value: &Value) -> bool {
    match key {
        "format" => match value {
            Value::Text(name) => format::of_strings(name) || format::bounds(name).is_some(),
            _ => false,
        },
        "type"
        | "enum"
        | "const"
        | "required"
        | "properties"
        | "additionalProperties"
        | "patternProperties"
        | "propertyNames"
        | "minProperties"
        | "maxProperties"
        | "dependentRequired"
        | "dependentSchemas"
        | "unevaluatedProperties"
        | "items"
        | "prefixItems"
        | "contains"
        | "minContains"
        | "maxContains"
        | "minItems"
        | "maxItems"
        | "uniqueItems"
        | "unevaluatedItems"
        | "minimum"
        | "maximum"
        | "exclusiveMinimum"
        | "exclusiveMaximum"
        | "multipleOf"
        | "minLength"
        | "maxLength"
        | "pattern"
        | "allOf"
        | "anyOf"
        | "oneOf"
        | "not"
        | "if"
        | "then"
        | "else"
        | "x-limits"
        | "$ref" => true,
        _ => false,
    }
}

fn is_nullable(schema: &Value) -> bool {
    schema.get("nullable") == Some(&Value::Bool(true))
}

/// Name of the type of a literal value.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Integer(_) => "integer",
        Value::Decimal(_) => "number",
        Value::Text(_) => "string",
        Value::List(_) | Value::Set(_) => "array",
        Value::Map(_) | Value::Node(_) => "object",
    }
}

/// Names in a keyword's value: a string, or the strings of a list.
pub(crate) fn names<'a>(table: &'a [Value], value: &'a Value) -> BTreeSet<&'a str> {
    let text = |value: &'a Value| match resolved(table, value) {
        Value::Text(text) => Some(&**text),
        _ => None,
    };
    match resolved(table, value) {
        Value::List(items) | Value::Set(items) => items.iter().filter_map(text).collect(),
        value => text(value).into_iter().collect(),
    }
}
