//! Meaning of differences of schemas: containment decides which rows of the keyword comparison
//! break clients. Rows of a pair of schemas are judged with the containment of the inner pairs taken
//! for granted, because inner pairs have rows of their own.

use bundle::ir::Value;
use model::contract::joint::Joint;
use validator::Direction;
use validator::containment::Containment;

use super::schema::{Child, Finding, Local, Role};
use crate::change::Decision;
use vocab::checks::{self, Level};

/// Steps of all proofs about single pairs of one API and direction.
const STEPS_MAX: u32 = 200_000;
/// Steps of all proofs about pairs with everything inside.
const WHOLE_STEPS_MAX: u32 = 60_000;
/// Maximum number of searches for witnesses of one API and direction.
const SEARCHES_MAX: u32 = 64;

/// Judge of the pairs of schemas of two contracts.
pub(super) struct Judge<'j> {
    joint: &'j Joint,
    /// Containment in requests and responses: of single pairs, and with everything inside.
    single: [Containment<'j>; 2],
    whole: [Containment<'j>; 2],
}

impl<'j> Judge<'j> {
    /// `class` is [`Joint::rank`].
    pub(super) fn new(joint: &'j Joint, class: &'j dyn Fn(u32) -> u32) -> Self {
        let of = |direction, steps, searches| {
            Containment::new(joint.nodes(), class, direction, (steps, searches)).described()
        };
        let both = [Direction::Request, Direction::Response];
        Self {
            joint,
            single: both.map(|direction| of(direction, STEPS_MAX, SEARCHES_MAX)),
            whole: both.map(|direction| of(direction, WHOLE_STEPS_MAX, 0)),
        }
    }

    /// The narrow and the wide schema: clients break if the wide one does not contain the narrow
    /// one.
    fn sides(&self, (old, new): (u32, u32), role: Role) -> (&'j Value, &'j Value) {
        let (old, new) = (self.joint.node(old), self.joint.node(new));
        if role.is_response {
            (new, old)
        } else {
            (old, new)
        }
    }

    /// True if every difference of a pair, also inside, was shown to break no client.
    pub(super) fn is_harmless(&mut self, pair: (u32, u32), role: Role) -> bool {
        if role.is_opaque || role.is_absent {
            return false;
        }
        let sides = self.sides(pair, role);
        self.whole[usize::from(role.is_response)].is_contained(sides, &[])
    }

    /// Sets the levels of the rows of a pair by meaning, and adds a row for a break that no keyword
    /// shows.
    pub(super) fn judge(&mut self, pair: (u32, u32), role: Role, local: &mut Local) {
        if role.is_opaque {
            // The row of the outer pair has the verdict.
            for finding in local.findings.iter_mut().filter(|one| is_checked(one)) {
                finding.level = finding.level.min(Level::Info);
            }
            return;
        }
        if role.is_absent {
            return;
        }
        let sides = self.sides(pair, role);
        let children = local.children.iter().filter(|child| !child.role.is_opaque);
        let children: Vec<&Child> = children.collect();
        let inner = children.iter().map(|child| self.sides(child.pair, role));
        let inner: Vec<(&Value, &Value)> = inner.collect();
        let of = usize::from(role.is_response);
        if self.single[of].is_contained(sides, &inner) {
            let reversed: Vec<(&Value, &Value)> =
                inner.iter().map(|(one, other)| (*other, *one)).collect();
            if self.single[of].is_contained((sides.1, sides.0), &reversed) {
                // The keywords say the same in other words.
                local
                    .findings
                    .retain(|one| !is_checked(one) || one.level != Level::Error);
            }
            for finding in &mut local.findings {
                lower(finding);
            }
            return;
        }
        let is_error = |one: &Finding| is_checked(one) && one.level == Level::Error;
        let has_error = local.findings.iter().any(is_error);
        let explains = |one: &Finding| is_checked(one) && is_narrower(one);
        let is_explained = has_error || local.findings.iter().any(explains);
        let breaks_inside = !is_explained
            && !role.is_text
            && children
                .iter()
                .any(|child| !self.is_harmless(child.pair, child.role));
        if role.is_text || !has_error && (is_explained || breaks_inside) {
            for finding in local.findings.iter_mut().filter(|one| is_error(one)) {
                finding.decision = Some(Decision::Undecided);
            }
            return;
        }
        let witness = self.single[of].witness(sides.0, sides.1);
        let decision = match witness {
            Some(_) => Decision::Refuted,
            None => Decision::Undecided,
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
        for finding in local.findings.iter_mut().filter(|one| is_error(one)) {
            finding.decision = Some(decision);
            finding.witness.clone_from(&witness);
        }
        if let Some(check) = id.and_then(checks::of) {
            self.report(pair, local, check, (decision, witness));
        }
    }

    /// Adds the row of a break that no keyword shows. A row that says only that a keyword differs
    /// becomes this row.
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

/// Lowers a row that breaks no client, because containment was proved.
pub(super) fn lower(finding: &mut Finding) {
    if is_checked(finding) && finding.level == Level::Error {
        finding.level = Level::Info;
        finding.decision = Some(Decision::Proved);
        finding.witness = None;
    }
}

/// True for rows of keywords that refuse values. The others (such as `default`) have an effect that
/// containment does not see.
fn is_checked(finding: &Finding) -> bool {
    !matches!(
        finding.keyword,
        "" | "default"
            | "deprecated"
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

/// True for a row of level `warn` about a keyword that refuses more values. Checks of oasdiff give
/// some of these this level on purpose.
fn is_narrower(finding: &Finding) -> bool {
    let widens = ["-property-removed", "-all-of-removed", "-schema-changed"];
    finding.level == Level::Warn && !widens.iter().any(|end| finding.id.ends_with(end))
}
