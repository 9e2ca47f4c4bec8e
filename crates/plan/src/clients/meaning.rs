//! Levels of schema differences. The keyword comparison finds differences; containment decides
//! which of them break clients. The proof for a pair of schemas assumes that the inner pairs are
//! contained, because differences of inner pairs are reported on their own.

use bundle::ir::Value;
use model::contract::joint::Joint;
use serde_json::Value as Json;
use validator::Direction;
use validator::containment::{Containment, Doubt, Form, Position, Reason};

use super::schema::{Child, Finding, Local, Part, Role};
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

/// Prover that decides which differences between the schemas of two contracts break clients.
pub(super) struct SchemaComparison<'j> {
    joint: &'j Joint,
    /// Containment in requests (index 0) and responses (index 1): `single` proves a pair without
    /// its inner pairs, `whole` with its inner pairs.
    single: [Containment<'j>; 2],
    whole: [Containment<'j>; 2],
    /// Proofs about pairs of an old and a new alternative, to find the pairs that belong together.
    members: [Containment<'j>; 2],
    /// Searches for values that are sent as text.
    text: [Containment<'j>; 2],
}

impl<'j> SchemaComparison<'j> {
    /// Creates the comparison. `class` is [`Joint::rank`].
    pub(super) fn new(joint: &'j Joint, class: &'j dyn Fn(u32) -> u32) -> Self {
        let of = |direction, steps, searches| {
            Containment::new(joint.nodes(), class, direction, (steps, searches)).described()
        };
        let both = [Direction::Request, Direction::Response];
        Self {
            joint,
            single: both.map(|direction| of(direction, STEPS_MAX, SEARCHES_MAX)),
            whole: both.map(|direction| of(direction, WHOLE_STEPS_MAX, 0)),
            members: both.map(|direction| of(direction, MEMBERS_STEPS_MAX, 0)),
            text: both.map(|direction| of(direction, 0, SEARCHES_MAX)),
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
        self.whole[usize::from(role.is_response)].is_contained(sides, &[])
    }

    /// True if an alternative of the new schema was proved to break no client of an alternative of
    /// the old schema.
    pub(super) fn is_contained_member(&mut self, pair: (u32, u32), role: Role) -> bool {
        let sides = self.sides(pair, role);
        self.members[usize::from(role.is_response)].is_contained(sides, &[])
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
        if role.is_text && role.part != Part::Body && accepts_every_text(self.joint, sides.1) {
            local.findings.iter_mut().for_each(lower);
            return;
        }
        let children = local.children.iter().filter(|child| !child.role.is_opaque);
        let children: Vec<&Child> = children.collect();
        let inner = children.iter().map(|child| self.sides(child.pair, role));
        let inner: Vec<(&Value, &Value)> = inner.collect();
        let of = usize::from(role.is_response);
        if self.single[of].is_contained(sides, &inner) {
            let reversed: Vec<(&Value, &Value)> =
                inner.iter().map(|(one, other)| (*other, *one)).collect();
            if self.single[of].is_contained((sides.1, sides.0), &reversed) {
                // Both schemas accept the same values, so no difference of a keyword breaks
                // clients.
                local
                    .findings
                    .retain(|one| !is_checked(one) || one.level != Level::Error);
            }
            for finding in &mut local.findings {
                lower(finding);
            }
            return;
        }
        let has_error = local.findings.iter().any(is_break);
        let explains = |one: &Finding| is_checked(one) && is_narrower(one);
        let is_explained = has_error || local.findings.iter().any(explains);
        let breaks_inside = !is_explained
            && !role.is_text
            && children
                .iter()
                .any(|child| !self.is_harmless(child.pair, child.role));
        if !has_error && (role.is_text || is_explained || breaks_inside) {
            return;
        }
        let (witness, exact) = self.witnesses(sides, role, local);
        let doubt = match role.is_text {
            true => match self.text[of].doubt(sides.0, sides.1) {
                Doubt::NoExample => Doubt::Text,
                other => other,
            },
            false => self.single[of].doubt(sides.0, sides.1),
        };
        let decision = match witness {
            Some(_) => Decision::Refuted,
            None => Decision::Undecided(doubt),
        };
        let has_opaque = local.children.iter().any(|child| child.role.is_opaque);
        let id = match (&witness, role.is_response) {
            _ if has_error => None,
            (Some(_), false) => Some("request-schema-narrowed"),
            (Some(_), true) => Some("response-schema-widened"),
            (None, false) if has_opaque => Some("request-schema-changed"),
            (None, true) if has_opaque => Some("response-schema-changed"),
            (None, _) => None,
        };
        let errors = local.findings.iter_mut().filter(|one| is_break(one));
        for (finding, own) in errors.zip(exact) {
            finding.decision = Some(decision);
            finding.witness = own.or_else(|| witness.clone());
        }
        if let Some(check) = id.and_then(checks::of) {
            self.report(pair, local, check, (decision, witness));
        }
    }

    /// Value that shows that a pair breaks clients, and values that show one of its breaks only, in
    /// the order of the breaks.
    fn witnesses(
        &mut self,
        sides: (&'j Value, &'j Value),
        role: Role,
        local: &Local,
    ) -> (Option<Json>, Vec<Option<Json>>) {
        let breaks = local.findings.iter().filter(|one| is_break(one));
        let reasons: Vec<Reason> = breaks.map(reason).collect();
        let of = usize::from(role.is_response);
        match role.is_text {
            true => self.text[of].witnesses(sides, Form::Text, &reasons),
            false => self.single[of].witnesses(sides, Form::Json, &reasons),
        }
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
        let vague = rows.find(|one| is_checked(one) && one.id.ends_with("-schema-changed"));
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
    if is_checked(finding) && finding.level == Level::Error {
        finding.level = Level::Info;
        finding.decision = Some(Decision::Proved);
        finding.witness = None;
    }
}

/// True for a difference of a keyword that can refuse values. Other keywords, such as `default`,
/// have effects that containment does not cover.
fn is_checked(finding: &Finding) -> bool {
    !matches!(
        finding.keyword,
        "" | "default"
            | "deprecated"
            | "x-sunset"
            | "x-stability-level"
            | "readOnly"
            | "writeOnly"
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
    Reason::new(finding.keyword, finding.at.strip_prefix('.')).with_value(value)
}

/// True for a difference of level `error` in a keyword that can refuse values.
fn is_break(finding: &Finding) -> bool {
    is_checked(finding) && finding.level == Level::Error
}

/// True for a difference of level `warn` in a keyword that refuses more values than before. Some
/// checks of oasdiff have this level on purpose.
fn is_narrower(finding: &Finding) -> bool {
    let widens = ["-property-removed", "-all-of-removed", "-schema-changed"];
    finding.level == Level::Warn && !widens.iter().any(|end| finding.id.ends_with(end))
}
