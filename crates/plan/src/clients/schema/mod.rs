//! Comparison of two schemas: the differences between two nodes, and the pairs of nodes inside
//! these nodes that are compared next. One file per family of checks.

mod array;
mod binary;
mod bounds;
mod choices;
mod content;
mod discriminator;
mod lifecycle;
mod merged;
mod object;
mod others;
mod position;
mod types;
mod values;
mod view;
mod xml;

use bundle::ir::Value;
use model::contract::joint::Joint;
use serde_json::Value as Json;

use super::encoding::JsonFields;
use crate::change::Decision;
pub(super) use position::position;
pub(super) use view::is_annotation;
use vocab::checks::{self, Level};

/// Part of a message that a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Body,
    Parameter,
    PathParameter,
    /// Parameter whose list items are written as `name=value` each (`form`, exploded).
    FormParameter,
    /// Parameter in a header field.
    HeaderParameter,
    ResponseHeader,
}

/// Check of a property whose name is another spelling of a described name.
pub(super) const RESPELLED: &str = "request-property-respelled";

/// Role of a schema in a message. Decides which checks apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Role {
    pub(super) is_response: bool,
    pub(super) part: Part,
    /// True for a schema inside another schema.
    pub(super) is_inner: bool,
    /// True in a request if clients do not send the value (`readOnly`), and in a response if they
    /// do not receive it (`writeOnly`).
    pub(super) is_absent: bool,
    /// True inside `not` and `if`: a narrower schema there makes the outer schema wider.
    pub(super) is_opaque: bool,
    /// True if the value is sent as text, so that its JSON type is uncertain.
    pub(super) is_text: bool,
    /// True if the value is sent as XML.
    pub(super) is_xml: bool,
    pub(super) json_fields: JsonFields,
}

/// Effect of a difference on the set of matching messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Narrowed,
    Widened,
    Changed,
}

/// Difference between two schemas.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) id: &'static str,
    pub(super) level: Level,
    /// Path from the schema to the value: empty, or `.NAME` for a property.
    pub(super) at: String,
    pub(super) keyword: &'static str,
    pub(super) old: Json,
    pub(super) new: Json,
    /// Result of the proof that the difference breaks no client. `None`: the level of the check
    /// applies.
    pub(super) decision: Option<Decision>,
    /// Value that one side accepts and the other refuses.
    pub(super) witness: Option<Json>,
}

/// Pair of inner schemas at the same position inside an old and a new schema.
#[derive(Clone, Debug)]
pub(super) struct Child {
    /// Path from the outer schema: `.NAME`, `[]`, `.*`, or empty.
    pub(super) step: String,
    /// Keyword and name that lead to the inner schema: `properties/NAME`, `items`.
    pub(super) at: String,
    pub(super) pair: (u32, u32),
    pub(super) role: Role,
}

/// Result of comparing one pair of schemas: its differences, and the inner pairs to compare next.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) role: Role,
    pub(super) findings: Vec<Finding>,
    pub(super) children: Vec<Child>,
}

/// Pair of schemas that is being compared.
pub(super) struct Pair<'a> {
    joint: &'a Joint,
    old: &'a Value,
    new: &'a Value,
    role: Role,
    local: Local,
}

/// Schema of an object without wrappers, and without an `allOf` whose members only describe
/// properties.
pub(super) fn object_of(joint: &Joint, schema: &Value) -> Value {
    let schema = view::of(joint, joint.at(schema));
    let (schema, _) = merged::of(joint, schema, Value::Bool(true));
    schema
}

/// Compares the schemas of two nodes, whose meanings differ.
/// `is_contained`: true if the difference between two inner schemas was proved to break no client.
pub(super) fn compare(
    joint: &Joint,
    (was, is): (u32, u32),
    role: Role,
    is_contained: &mut dyn FnMut((u32, u32)) -> bool,
) -> Local {
    let (old, new) = (
        view::of(joint, joint.node(was)),
        view::of(joint, joint.node(is)),
    );
    let (old, new) = merged::of(joint, old, new);
    let (old, new) = binary::in_one_form(joint, (old, new), role.is_text);
    let mut pair = Pair {
        joint,
        old: &old,
        new: &new,
        role,
        local: Local {
            role,
            findings: Vec::new(),
            children: Vec::new(),
        },
    };
    if let (Value::Bool(_), _) | (_, Value::Bool(_)) = (pair.old, pair.new) {
        others::boolean(&mut pair);
        return pair.local;
    }
    if choices::wrapped(&mut pair, (was, is)) {
        return pair.local;
    }
    types::compare(&mut pair);
    values::compare(&mut pair);
    bounds::compare(&mut pair);
    object::compare(&mut pair);
    array::compare(&mut pair);
    choices::compare(&mut pair, is_contained);
    discriminator::compare(&mut pair, is_contained);
    content::compare(&mut pair);
    others::compare(&mut pair);
    pair.local
}

/// True for objects, and for lists of objects.
fn has_objects(joint: &Joint, schema: &Value) -> bool {
    let schema = object_of(joint, schema);
    let is = |schema: &Value, name: &str| {
        let kind = schema.get("type").map(|kind| joint.at(kind));
        kind == Some(&Value::Text(name.into()))
    };
    let items = schema.get("items").filter(|_| is(&schema, "array"));
    is(&schema, "object") || items.is_some_and(|items| is(&object_of(joint, items), "object"))
}

impl Role {
    /// Prefix of the ids of the checks for this role.
    fn prefix(self) -> &'static str {
        match (self.part, self.is_inner, self.is_response) {
            (Part::Body, false, false) => "request-body",
            (Part::Body, true, false) => "request-property",
            (Part::Body, false, true) => "response-body",
            (Part::Body, true, true) => "response-property",
            (
                Part::Parameter | Part::PathParameter | Part::FormParameter | Part::HeaderParameter,
                false,
                _,
            ) => "request-parameter",
            (Part::Parameter | Part::PathParameter | Part::FormParameter, true, _) => {
                "request-parameter-property"
            }
            (Part::HeaderParameter, true, _) => "request-header-property",
            (Part::ResponseHeader, _, _) => "response-header",
        }
    }

    fn inner(self) -> Self {
        Self {
            is_inner: true,
            ..self
        }
    }

    /// True if the table has a check for `what` in exactly this role.
    fn has_check(self, what: &str) -> bool {
        checks::of(&format!("{}-{what}", self.prefix())).is_some()
    }

    /// Direction of the messages that contain the schema: `request` or `response`.
    pub(super) fn direction(self) -> &'static str {
        if self.is_response {
            "response"
        } else {
            "request"
        }
    }

    /// Check for a difference: the check for `what` in this role, otherwise the general check for
    /// `effect`.
    pub(super) fn check(self, what: &str, effect: Effect) -> &'static checks::Check {
        let inner = match (self.part, self.is_inner) {
            (
                Part::Parameter | Part::PathParameter | Part::FormParameter | Part::HeaderParameter,
                true,
            ) => "request-parameter",
            (_, true) => ["request-property", "response-property"][usize::from(self.is_response)],
            (_, false) => self.prefix(),
        };
        let absent = self.is_absent.then(|| match self.is_response {
            false => format!("request-read-only-property-{what}"),
            true => format!("response-write-only-property-{what}"),
        });
        let own = format!("{}-{what}", self.prefix());
        let found = absent.and_then(|id| checks::of(&id));
        let found = found.or_else(|| checks::of(&own));
        let found = found.or_else(|| checks::of(&format!("{inner}-{what}")));
        let effect = match effect {
            Effect::Narrowed => "narrowed",
            Effect::Widened => "widened",
            Effect::Changed => "changed",
        };
        let general = || checks::of(&format!("{}-schema-{effect}", self.direction()));
        found.or_else(general).expect("the table has these rows")
    }
}

impl Pair<'_> {
    /// Value of a keyword on both sides.
    fn both(&self, key: &str) -> (Option<&Value>, Option<&Value>) {
        (self.old.get(key), self.new.get(key))
    }

    /// True if the values of a keyword have the same meaning.
    fn is_same(&self, key: &str) -> bool {
        match self.both(key) {
            (None, None) => true,
            (Some(old), Some(new)) => self.joint.same(old, new),
            _ => false,
        }
    }

    fn json(&self, value: Option<&Value>) -> Json {
        value.map_or(Json::Null, |value| self.joint.json(value))
    }

    /// Adds a difference of a keyword with its values on both sides.
    fn keyword(&mut self, keyword: &'static str, what: &str, effect: Effect) {
        let (old, new) = self.both(keyword);
        let (old, new) = (self.json(old), self.json(new));
        self.push(keyword, what, effect, String::new(), (old, new));
    }

    /// Adds a difference.
    fn push(
        &mut self,
        keyword: &'static str,
        what: &str,
        effect: Effect,
        at: String,
        values: (Json, Json),
    ) {
        self.push_check(self.role.check(what, effect), keyword, at, values);
    }

    /// Adds a difference that a check reports.
    fn push_check(
        &mut self,
        check: &'static checks::Check,
        keyword: &'static str,
        at: String,
        (old, new): (Json, Json),
    ) {
        // A difference in a value that messages of this direction do not contain breaks no client.
        let level = if self.role.is_absent {
            Level::Info
        } else {
            check.level
        };
        self.local.findings.push(Finding {
            id: check.id,
            level,
            at,
            keyword,
            old,
            new,
            decision: None,
            witness: None,
        });
    }

    /// Lowers the level of the last added difference to at most `level`.
    fn at_most(&mut self, level: Level) {
        if let Some(last) = self.local.findings.last_mut() {
            last.level = last.level.min(level);
        }
    }

    /// Adds a pair of inner schemas, unless both have the same meaning. `at` is the keyword and
    /// name that lead to the inner schemas.
    fn child(&mut self, at: String, step: String, (old, new): (&Value, &Value), role: Role) {
        let role = self.field_role(&step, (old, new), role);
        if let (Value::Node(old), Value::Node(new)) = (old, new)
            && self.joint.rank(*old) != self.joint.rank(*new)
        {
            self.local.children.push(Child {
                step,
                at,
                pair: (*old, *new),
                role,
            });
        }
    }

    /// Role of an inner schema: a field of a form can be JSON.
    fn field_role(&self, step: &str, (old, new): (&Value, &Value), role: Role) -> Role {
        let is_json = match role.json_fields {
            _ if step.is_empty() => return role,
            JsonFields::None => false,
            JsonFields::Objects => [old, new].iter().all(|one| has_objects(self.joint, one)),
            JsonFields::All => true,
        };
        Role {
            is_text: role.is_text && !is_json,
            json_fields: JsonFields::None,
            ..role
        }
    }

    /// Adds the pair of inner schemas of a keyword that both sides have.
    fn inner(&mut self, keyword: &str, step: &str) {
        let (old, new) = (self.old, self.new);
        if let (Some(old), Some(new)) = (old.get(keyword), new.get(keyword)) {
            let mut role = self.role.inner();
            role.is_opaque |= matches!(keyword, "not" | "if");
            // The content of a string is JSON, also in a message that is text.
            role.is_text &= keyword != "contentSchema";
            self.child(keyword.to_owned(), step.to_owned(), (old, new), role);
        }
    }

    /// Compares a keyword whose value is one schema. Adding the keyword narrows the set of
    /// messages, and removing it widens the set.
    fn single(&mut self, keyword: &'static str, what: &str, step: &str) {
        match self.both(keyword) {
            (None, None) => {}
            (Some(_), Some(_)) => self.inner(keyword, step),
            (None, Some(_)) => self.keyword(keyword, &format!("{what}-added"), Effect::Narrowed),
            (Some(_), None) => self.keyword(keyword, &format!("{what}-removed"), Effect::Widened),
        }
    }
}
