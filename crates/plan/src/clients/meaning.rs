//! Levels of schema differences. The keyword comparison finds differences; containment decides
//! which of them break clients. The proof for a pair of schemas assumes that the inner pairs are
//! contained, because differences of inner pairs are reported on their own.

use bundle::ir::Value;
use model::contract::joint::Joint;
use serde_json::Value as Json;
use validator::Direction;
use validator::containment::{
    Containment, Doubt, Explained, Form, OutsideProperties, Position, Reason,
};

use super::encoding::JsonFields;
use super::schema::{Child, Finding, Local, Part, RESPELLED, Role, position};
use crate::change::Decision;
use vocab::checks::{self, Level};

/// Maximum number of steps of all proofs about single pairs, for one API and direction.
const STEPS_MAX: u32 = 200_000;
/// Maximum number of steps of all proofs about pairs that include their inner pairs.
const WHOLE_STEPS_MAX: u32 = 60_000;
/// Maximum number of steps of all proofs about pairs of alternatives.
const MEMBERS_STEPS_MAX: u32 = 20_000;
/// Maximum number of searches for witnesses of one API and direction.
const SEARCHES_MAX: u32 = 512;
/// Maximum number of searches for breaks that no difference of level `error` shows, of one API and
/// direction.
const HIDDEN_SEARCHES_MAX: u32 = 256;

/// Maximum number of schemas that are read to find out whether values can be lists or objects.
const SCHEMAS_MAX: u32 = 1_000;

/// Prover that decides which differences between the schemas of two contracts break clients.
pub(super) struct SchemaComparison<'j> {
    joint: &'j Joint,
    /// Containment of values, by [`index`]: `single` proves a pair without its inner pairs and
    /// searches for values, `whole` proves a pair with its inner pairs.
    single: [Containment<'j>; 4],
    whole: [Containment<'j>; 4],
    /// Proofs about pairs of an old and a new alternative, to find the pairs that belong together.
    members: [Containment<'j>; 4],
    /// Remaining number of searches in [`Self::find_hidden`], for requests and responses.
    hidden_searches: [u32; 2],
}

/// Inner pair of a pair that is being compared.
struct Inner<'c, 'j> {
    child: &'c Child,
    /// Narrow and wide schema.
    sides: (&'j Value, &'j Value),
    /// Properties that the inner pair leaves to other schemas of the outer one.
    outside: OutsideProperties<'j>,
}

/// Inner pairs that show all of their breaks themselves. A proof of the outer pair may assume that
/// they are contained.
fn assumed<'j>(inner: &[Inner<'_, 'j>]) -> Vec<(&'j Value, &'j Value)> {
    let shown = inner.iter().filter(|one| one.outside.is_empty());
    shown.map(|one| one.sides).collect()
}

/// Index of the comparisons for values of a role: values in requests, values in responses, and the
/// same for values that are sent as text.
fn index(role: Role) -> usize {
    usize::from(role.is_response) + 2 * usize::from(role.is_text)
}

impl<'j> SchemaComparison<'j> {
    /// Creates the comparison. `class` is [`Joint::rank`].
    pub(super) fn new(joint: &'j Joint, class: &'j dyn Fn(u32) -> u32) -> Self {
        let of = |direction, steps, searches| {
            Containment::new(joint.nodes(), class, direction, (steps, searches))
                .described()
                .joined(joint.start())
        };
        let all = |steps, searches| {
            let [request, response] = [Direction::Request, Direction::Response];
            let of = |direction| of(direction, steps, searches);
            [
                of(request),
                of(response),
                of(request).texts(),
                of(response).texts(),
            ]
        };
        Self {
            joint,
            single: all(STEPS_MAX, SEARCHES_MAX + HIDDEN_SEARCHES_MAX),
            whole: all(WHOLE_STEPS_MAX, 0),
            members: all(MEMBERS_STEPS_MAX, 0),
            hidden_searches: [HIDDEN_SEARCHES_MAX; 2],
        }
    }

    /// Returns the narrow and the wide schema of a pair. Clients break if the wide schema does not
    /// contain the narrow one.
    fn sides(&self, pair: (u32, u32), role: Role) -> (&'j Value, &'j Value) {
        self.sides_in(pair, role.is_response)
    }

    fn sides_in(&self, (old, new): (u32, u32), is_response: bool) -> (&'j Value, &'j Value) {
        let (old, new) = (self.joint.node(old), self.joint.node(new));
        if is_response { (new, old) } else { (old, new) }
    }

    /// True if no difference of a pair or of its inner pairs breaks clients, as was proved.
    pub(super) fn is_harmless(&mut self, pair: (u32, u32), role: Role) -> bool {
        if role.is_opaque || role.is_absent {
            return false;
        }
        let sides = self.sides(pair, role);
        if self.loses_occurrences(sides, role) {
            return false;
        }
        // Some fields of a form are text, others are JSON.
        let has_json = role.json_fields != JsonFields::None;
        self.whole[index(role)].is_contained(sides, &[])
            && (!has_json || self.whole[usize::from(role.is_response)].is_contained(sides, &[]))
    }

    /// True if an alternative of the new schema was proved to break no client of an alternative of
    /// the old schema.
    pub(super) fn is_contained_member(&mut self, pair: (u32, u32), role: Role) -> bool {
        let sides = self.sides(pair, role);
        self.members[index(role)].is_contained(sides, &[])
    }

    /// Value that shows a break, and that contains `inner` at a position. `pair` describes the
    /// value. `None` if no such value was found.
    pub(super) fn enclose(
        &mut self,
        pair: (u32, u32),
        is_response: bool,
        position: Position<'_>,
        inner: &serde_json::Value,
    ) -> Option<serde_json::Value> {
        let sides = self.sides_in(pair, is_response);
        self.single[usize::from(is_response)].enclose(sides, position, inner)
    }

    /// True if [`Self::enclose`] may search for further values.
    pub(super) fn can_enclose(&self, is_response: bool) -> bool {
        self.single[usize::from(is_response)].can_enclose()
    }

    /// True if a value shows that a pair breaks clients.
    pub(super) fn is_shown(&mut self, pair: (u32, u32), is_response: bool, value: &Json) -> bool {
        let (narrow, wide) = self.sides_in(pair, is_response);
        self.single[usize::from(is_response)].is_witness(narrow, wide, value)
    }

    /// Value that shows the differences of an outer pair and of an inner pair, which apply to the
    /// same value. `value` shows the inner difference. `None` if no such value was found.
    pub(super) fn enclose_same(
        &mut self,
        (outer, inner): ((u32, u32), (u32, u32)),
        role: Role,
        value: &Json,
    ) -> Option<Json> {
        let (outer, inner) = (self.sides(outer, role), self.sides(inner, role));
        self.single[index(role)].enclose_same(outer, inner, (value, form(role)))
    }

    /// Sets the levels of a pair's differences by containment. Adds a difference for a break that
    /// no keyword shows.
    pub(super) fn compare(&mut self, pair: (u32, u32), role: Role, local: &mut Local) {
        if role.is_opaque {
            // The pair is inside `not` or `if`, so the outer pair reports the break.
            for finding in local.findings.iter_mut().filter(|one| is_checked(one)) {
                finding.level = finding.level.min(Level::Info);
            }
            return;
        }
        if role.is_absent {
            return;
        }
        let sides = self.sides(pair, role);
        if self.loses_occurrences(sides, role) {
            let errors = local.findings.iter_mut().filter(|one| is_break(one));
            errors.for_each(|one| one.decision = Some(Decision::Undecided(Doubt::Text)));
            return;
        }
        if role.is_text && self.accepts_texts(sides, role) {
            local.findings.iter_mut().for_each(lower);
            return;
        }
        let children = local.children.iter().filter(|child| !child.role.is_opaque);
        let children: Vec<Child> = children.cloned().collect();
        let of = index(role);
        let inner = self.inner(sides.0, role, &children, |sides| sides);
        if self.single[of].is_contained(sides, &assumed(&inner)) {
            let reversed = self.inner(sides.1, role, &children, |(one, other)| (other, one));
            if self.single[of].is_contained((sides.1, sides.0), &assumed(&reversed)) {
                // Both schemas accept the same values, so no difference of a keyword breaks
                // clients.
                local.findings.retain(|one| {
                    !is_checked(one) || !(one.level == Level::Error || is_vague(one))
                });
            }
            for finding in &mut local.findings {
                lower(finding);
            }
            return;
        }
        match local.findings.iter().any(is_break) {
            true => self.decide(sides, role, local),
            false => self.find_hidden(pair, role, local, &inner),
        }
    }

    /// Inner pairs, with the sides in the order of `order`. `outer`: the narrow schema that contains
    /// them.
    fn inner<'c>(
        &mut self,
        outer: &'j Value,
        role: Role,
        children: &'c [Child],
        order: impl Fn((&'j Value, &'j Value)) -> (&'j Value, &'j Value),
    ) -> Vec<Inner<'c, 'j>> {
        let inner = children.iter().map(|child| {
            let sides = order(self.sides(child.pair, role));
            let outside = match position(&child.at, &child.step) {
                Some(position) => {
                    self.single[index(role)].outside_properties(outer, position, sides)
                }
                None => OutsideProperties::default(),
            };
            Inner {
                child,
                sides,
                outside,
            }
        });
        inner.collect()
    }

    /// True if the values of the narrow schema are written as several occurrences of a name, and gwd
    /// reads several occurrences as no value of the wide schema, which names no type.
    fn loses_occurrences(&self, (narrow, wide): (&'j Value, &'j Value), role: Role) -> bool {
        let may_be_several = |schema| may_be_several(self.joint, schema, &mut { SCHEMAS_MAX });
        let is_exploded = role.part == Part::FormParameter && !role.is_inner;
        let has_type = self.joint.at(wide).get("type").is_some();
        is_exploded && !has_type && may_be_several(narrow) && !may_be_several(wide)
    }

    /// True if the wide schema accepts the text of every value of the narrow schema.
    fn accepts_texts(&mut self, sides: (&'j Value, &'j Value), role: Role) -> bool {
        // An exploded list or object is several texts, and so are those of a form.
        let is_one = role.part != Part::Body && form(role) != Form::ExplodedText
            || !may_be_several(self.joint, sides.0, &mut { SCHEMAS_MAX });
        let is_any = accepts_every_text(self.joint, sides.1);
        let is_field = role.part != Part::Body || role.is_inner;
        is_field && (is_any && is_one || self.single[index(role)].is_read(sides.0, sides.1))
    }

    /// Sets the decisions and witnesses of the differences of level `error`.
    fn decide(&mut self, sides: (&'j Value, &'j Value), role: Role, local: &mut Local) {
        let (witness, own) = self.witnesses(sides, role, local);
        // A value that other keywords refuse is no example of this one.
        let doubt = match witness {
            Some(_) => Doubt::NoExample,
            None => self.doubt(sides, role),
        };
        let errors = local.findings.iter_mut().filter(|one| is_break(one));
        for (finding, own) in errors.zip(own) {
            finding.decision = Some(match own {
                Some(_) => Decision::Refuted,
                None => Decision::Undecided(doubt),
            });
            finding.witness = own;
        }
    }

    /// Reason for which a pair is undecided, after a search without success.
    fn doubt(&self, sides: (&'j Value, &'j Value), role: Role) -> Doubt {
        match self.single[index(role)].doubt(sides.0, sides.1) {
            Doubt::NoExample if role.is_text => Doubt::Text,
            other => other,
        }
    }

    /// Reports a break that no difference of level `error` shows: a value that the wide schema
    /// refuses for a cause other than differences of level `warn` and inner pairs. Without such a
    /// value, reports that the pair is undecided, unless these explain a break.
    fn find_hidden(
        &mut self,
        pair: (u32, u32),
        role: Role,
        local: &mut Local,
        inner: &[Inner<'_, 'j>],
    ) {
        let sides = self.sides(pair, role);
        let explained = self.explained(local, inner);
        let nullable = [pair.0, pair.1].map(|node| self.joint.node(node).get("nullable"));
        let is_left = inner.iter().any(|one| !one.outside.is_empty());
        let may_hide = may_hide(local) || is_left || nullable[0] != nullable[1];
        if !explained.is_empty() && !may_hide {
            return;
        }
        let containment = &mut self.single[index(role)];
        let left = &mut self.hidden_searches[usize::from(role.is_response)];
        let is_searched = *left > 0;
        *left = left.saturating_sub(1);
        let witness = match is_searched {
            true => containment.unexplained(sides, form(role), &explained),
            false => None,
        };
        let may_break = is_searched
            && witness.is_none()
            && !role.is_text
            && containment.may_be_unexplained(sides, &explained);
        let is_explained = !explained.is_empty();
        let decision = match witness {
            Some(_) => Decision::Refuted,
            None if !is_searched && may_hide => Decision::Undecided(Doubt::Limit),
            None if is_explained && !may_break => return,
            // The text of a value can be read as several types, so most of these pairs have no
            // effect, unless a combining keyword differs.
            None if role.is_text
                && !local.findings.iter().any(is_combining)
                && !local.children.iter().any(|one| one.role.is_opaque) =>
            {
                return;
            }
            // No keyword differs in its effect, or the check of the discriminator reports it.
            None if !has_cause(local)
                && !changes_presence(self.joint, pair, role, inner)
                && !may_break =>
            {
                return;
            }
            None => Decision::Undecided(self.doubt(sides, role)),
        };
        let id = match (&witness, role.is_response) {
            (Some(_), false) => "request-schema-narrowed",
            (Some(_), true) => "response-schema-widened",
            (None, false) if may_break => "request-schema-narrowed",
            (None, true) if may_break => "response-schema-widened",
            (None, false) => "request-schema-changed",
            (None, true) => "response-schema-changed",
        };
        if let Some(check) = checks::of(id) {
            self.report(pair, local, check, (decision, witness));
        }
    }

    /// Causes for which values may be refused: differences of level `warn` that refuse more values,
    /// and inner pairs that were not proved to break no client.
    fn explained<'e>(&mut self, local: &Local, inner: &'e [Inner<'_, 'j>]) -> Explained<'e, 'j> {
        let narrower = local.findings.iter();
        let narrower = narrower.filter(|one| is_checked(one) && is_narrower(one));
        let mut explained = Explained {
            reasons: narrower.map(reason).collect(),
            ..Explained::default()
        };
        for Inner {
            child,
            sides,
            outside,
        } in inner
        {
            // Messages do not contain the value of an absent property.
            if child.role.is_absent || self.is_harmless(child.pair, child.role) {
                continue;
            }
            let (keyword, name) = child.at.split_once('/').unwrap_or((&child.at, ""));
            match keyword {
                "properties" => explained.properties.push(name),
                "allOf" | "anyOf" | "oneOf" | "$ref" | "then" | "else" | "dependentSchemas" => {
                    explained.pairs.push((*sides, outside.clone()));
                }
                keyword => {
                    explained.is_inside = true;
                    explained.reasons.push(Reason::new(keyword, None));
                }
            }
        }
        explained
    }

    /// Value that shows that a pair breaks clients, and values that show its breaks, in the order of
    /// the breaks.
    fn witnesses(
        &mut self,
        sides: (&'j Value, &'j Value),
        role: Role,
        local: &Local,
    ) -> (Option<Json>, Vec<Option<Json>>) {
        let breaks = local.findings.iter().filter(|one| is_break(one));
        let reasons: Vec<Reason> = breaks.map(reason).collect();
        self.single[index(role)].witnesses(sides, form(role), &reasons)
    }

    /// Reports a break that no keyword shows. Replaces a difference that reports only a changed
    /// keyword.
    fn report(
        &self,
        (old, new): (u32, u32),
        local: &mut Local,
        check: &'static checks::Check,
        (decision, witness): (Decision, Option<serde_json::Value>),
    ) {
        let mut rows = local.findings.iter_mut();
        let vague = rows.find(|one| is_checked(one) && is_vague(one));
        if let Some(row) = vague {
            row.id = check.id;
            row.level = check.level;
            row.decision = Some(decision);
            row.witness = witness;
            return;
        }
        local.findings.push(Finding {
            id: check.id,
            level: check.level,
            at: String::new(),
            keyword: "schema",
            old: self.joint.json(&Value::Node(old)),
            new: self.joint.json(&Value::Node(new)),
            decision: Some(decision),
            witness,
        });
    }
}

/// True if a difference can be the cause of an undecided break: a keyword that can refuse values, or
/// an inner schema in `not` or `if`. Checks of their own report a changed discriminator.
fn has_cause(local: &Local) -> bool {
    let is_of = |one: &Finding| one.keyword == "discriminator";
    let has_opaque = local.children.iter().any(|child| child.role.is_opaque);
    (has_opaque || local.findings.iter().any(is_checked)) && !local.findings.iter().any(is_of)
}

/// True if only one side of a pair excludes a property from messages of this direction (`readOnly`,
/// `writeOnly`). Another schema of the same value may require the property.
fn changes_presence(joint: &Joint, pair: (u32, u32), role: Role, inner: &[Inner<'_, '_>]) -> bool {
    let key = ["readOnly", "writeOnly"][usize::from(role.is_response)];
    let entries = |node: u32| {
        let all = joint.node(node).get("properties");
        all.map_or(&[][..], |all| joint.at(all).entries())
    };
    let is_marked = |schema: &Value| joint.at(schema).get(key) == Some(&Value::Bool(true));
    let children = inner.iter().map(|one| one.child);
    let same_value = children.filter(|child| child.step.is_empty());
    let pairs = same_value.map(|child| child.pair).chain([pair]);
    let mut pairs = pairs.filter(|_| role.part == Part::Body);
    pairs.any(|(old, new)| {
        entries(old).iter().any(|(name, was)| {
            let mut all = entries(new).iter();
            let is = all.find(|(other, _)| other == name);
            is.is_some_and(|(_, is)| is_marked(was) != is_marked(is))
        })
    })
}

/// True if a schema can refuse values for a cause that its differences of level `warn` and its inner
/// pairs do not explain: a difference of level `info` in a keyword that has no order, or an inner
/// schema that a wider version can refuse.
fn may_hide(local: &Local) -> bool {
    let is_unordered = |one: &Finding| {
        is_checked(one) && one.level == Level::Info && !ORDERED.contains(&one.keyword)
    };
    let is_exclusive = |child: &Child| {
        let keyword = child.at.split('/').next().unwrap_or_default();
        EXCLUSIVE.contains(&keyword)
    };
    local.findings.iter().any(is_unordered) || local.children.iter().any(is_exclusive)
}

/// True for a difference of a keyword with alternatives or conditions, or with inner schemas.
fn is_combining(finding: &Finding) -> bool {
    let is_scalar = SCALAR.contains(&finding.keyword) || ORDERED.contains(&finding.keyword);
    is_checked(finding) && !is_scalar
}

/// Keywords about the text and the type of a value.
const SCALAR: [&str; 6] = ["const", "enum", "format", "nullable", "pattern", "type"];

/// Keywords whose values are ordered: one of two values refuses no value that the other accepts.
const ORDERED: [&str; 13] = [
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "properties",
    "required",
    "uniqueItems",
];

/// Keywords with inner schemas that can refuse more values when an inner schema accepts more.
const EXCLUSIVE: [&str; 6] = [
    "contains",
    "dependentSchemas",
    "if",
    "not",
    "oneOf",
    "propertyNames",
];

/// Form of the values of a message's part. OpenAPI does not define the text of lists and objects
/// inside a parameter.
fn form(role: Role) -> Form {
    match role.part {
        _ if !role.is_text => Form::Json,
        Part::Body => Form::Fields,
        Part::PathParameter => Form::Path,
        _ if role.is_inner => Form::Text,
        Part::FormParameter => Form::ExplodedText,
        Part::Parameter | Part::HeaderParameter | Part::ResponseHeader => Form::Fields,
    }
}

/// True for a schema whose values can be lists or objects. `left`: number of schemas that are still
/// read. Above it, the values can be anything.
fn may_be_several(joint: &Joint, schema: &Value, left: &mut u32) -> bool {
    let Some(rest) = left.checked_sub(1) else {
        return true;
    };
    *left = rest;
    let is_several =
        |value: &Value| matches!(value, Value::Text(name) if matches!(&**name, "array" | "object"));
    let schema = joint.at(schema);
    if let Some(kind) = schema.get("type").map(|kind| joint.at(kind)) {
        return is_several(kind) || kind.items().iter().any(is_several);
    }
    let has = |key: &&str| schema.get(key).is_some();
    let structured = ["additionalProperties", "items", "prefixItems", "properties"];
    let members = ["allOf", "anyOf", "oneOf"].into_iter();
    let members = members.filter_map(|key| schema.get(key));
    let members = members.flat_map(|list| joint.at(list).items());
    structured.iter().any(has)
        || members
            .chain(schema.get("$ref"))
            .any(|member| may_be_several(joint, member, left))
}

/// True for a schema that accepts every text of a parameter or header field, such as
/// `type: string`.
pub(super) fn accepts_every_text(joint: &Joint, schema: &Value) -> bool {
    let is_string = |value: &Value| match joint.at(value) {
        Value::Text(name) => &**name == "string",
        other => {
            let mut names = other.items().iter();
            names.any(|one| matches!(one, Value::Text(name) if &**name == "string"))
        }
    };
    match joint.at(schema) {
        Value::Bool(accepts) => *accepts,
        schema => schema.entries().iter().all(|(key, value)| match &**key {
            "type" => is_string(value),
            "default" | "deprecated" | "nullable" | "x-sunset" | "x-stability-level" => true,
            _ => false,
        }),
    }
}

/// Lowers the level of a difference that was proved to break no client.
pub(super) fn lower(finding: &mut Finding) {
    let is_open = finding.level == Level::Error || is_vague(finding);
    if is_checked(finding) && is_open {
        finding.level = finding.level.min(Level::Info);
        finding.decision = Some(Decision::Proved);
        finding.witness = None;
    }
}

/// True for a difference that does not tell if a schema accepts more or fewer values.
fn is_vague(finding: &Finding) -> bool {
    finding.level == Level::Warn && finding.id.ends_with("-schema-changed")
}

/// True for a difference of a keyword that can refuse values. Other keywords, such as `default`,
/// have effects that containment does not cover.
fn is_checked(finding: &Finding) -> bool {
    if finding.id == RESPELLED {
        // gwd refuses the name, not its value.
        return false;
    }
    if matches!(finding.keyword, "readOnly" | "writeOnly") {
        // These keywords refuse values of a required property, which has a check of level `error`.
        return finding.level == Level::Error;
    }
    !matches!(
        finding.keyword,
        "" | "default"
            | "deprecated"
            | "x-sunset"
            | "x-stability-level"
            | "discriminator"
            | "xml"
            | "contentSchema"
            | "contentMediaType"
            | "contentEncoding"
            | "$dynamicRef"
    )
}

/// Reason for which a value shows a difference: its keyword, the property that is missing, or the
/// value that `enum` no longer has or newly has.
fn reason(finding: &Finding) -> Reason {
    let value = match (finding.keyword, &finding.old, &finding.new) {
        ("enum", value, Json::Null) | ("enum", Json::Null, value) if !value.is_array() => {
            Some(value.clone())
        }
        _ => None,
    };
    let keyword = match finding.keyword {
        "readOnly" | "writeOnly" => "required",
        other => other,
    };
    Reason::new(keyword, finding.at.strip_prefix('.')).with_value(value)
}

/// True for a difference of level `error` in a keyword that can refuse values.
pub(super) fn is_break(finding: &Finding) -> bool {
    is_checked(finding) && finding.level == Level::Error
}

/// True for a difference of level `warn` in a keyword that refuses more values than before. Some
/// checks of oasdiff have this level on purpose.
fn is_narrower(finding: &Finding) -> bool {
    let widens = ["-property-removed", "-all-of-removed", "-schema-changed"];
    finding.level == Level::Warn && !widens.iter().any(|end| finding.id.ends_with(end))
}
