//! Values that the wide schema refuses not only for known reasons. A pair of schemas can have a
//! difference of a low level, or a difference inside, beside one that breaks clients.

use bundle::ir::Value;
use jsonschema::ValidationError;
use serde_json::Value as Json;

use super::exact::{Form, Reason};
use super::validators::{Checker, Patterns};
use super::{Containment, Doubt, violations};

/// Causes for which values may be refused without being witnesses.
#[derive(Clone, Debug, Default)]
pub struct Explained<'e, 'a> {
    /// Keywords of the schema itself.
    pub reasons: Vec<Reason>,
    /// Properties whose inner schemas refuse values.
    pub properties: Vec<&'e str>,
    /// True if the schema of any item or property may refuse values.
    pub is_inside: bool,
    /// Pairs of a narrow and a wide schema that apply to the same value. A value that shows the
    /// difference of such a pair is not a witness.
    pub pairs: Vec<(&'a Value, &'a Value)>,
}

impl<'a> Containment<'a> {
    /// Returns the smallest value found that the narrow schema accepts and the wide one refuses,
    /// also for a cause that is not in `explained`.
    pub fn unexplained(
        &mut self,
        (narrow, wide): (&'a Value, &'a Value),
        form: Form,
        explained: &Explained<'_, 'a>,
    ) -> Option<Json> {
        let first = self.samples(narrow, wide)?;
        let found = self.first_unexplained(first, (narrow, wide), form, explained);
        found.or_else(|| {
            let left = &mut self.violation_steps;
            let values = violations::values(self.solver.nodes, (narrow, wide), &[], left);
            let values = super::smallest_first(values);
            self.first_unexplained(values, (narrow, wide), form, explained)
        })
    }

    /// True if a pair has an unexplained value ([`Self::unexplained`]) when patterns that cannot be
    /// enforced are left out. The value shows that the pair may break, but is no witness: the narrow
    /// schema may refuse it because of such a pattern.
    pub fn may_be_unexplained(
        &mut self,
        (narrow, wide): (&'a Value, &'a Value),
        explained: &Explained<'_, 'a>,
    ) -> bool {
        let sides = [narrow, wide].map(|side| self.solver.id(side));
        let mut doubts = sides.into_iter().filter_map(|id| self.validators.doubt(id));
        if !doubts.any(|doubt| doubt == Doubt::Keyword("pattern")) {
            return false;
        }
        self.patterns = Patterns::Omitted;
        let found = self.unexplained((narrow, wide), Form::Json, explained);
        self.patterns = Patterns::Enforced;
        found.is_some()
    }

    /// First of these values that is a witness with an unexplained cause.
    fn first_unexplained(
        &mut self,
        values: Vec<Json>,
        (narrow, wide): (&'a Value, &'a Value),
        form: Form,
        explained: &Explained<'_, 'a>,
    ) -> Option<Json> {
        let mut shown = Vec::new();
        let further = values.len();
        let is_last = |value: Json, wide: &Checker<'_, '_>| {
            let readings = form.readings(&value).unwrap_or_default();
            if readings
                .iter()
                .all(|value| !explained.explains(value, wide))
            {
                shown.push(value);
            }
            // A value that shows a difference of an inner pair is excluded below.
            !shown.is_empty() && explained.pairs.is_empty()
        };
        let readings = |value: &Json| form.readings(value);
        self.each_shown(values, (narrow, wide), readings, (further, is_last));
        let pairs = explained
            .pairs
            .iter()
            .flat_map(|(one, other)| [*one, *other]);
        let pairs: Vec<(&'a Value, u64)> = pairs
            .map(|schema| (schema, self.solver.id(schema)))
            .collect();
        let checkers = self.validators.compiled(&pairs, self.patterns)?;
        let is_of_pair = |value: &Json| {
            let mut pairs = checkers.chunks_exact(2);
            pairs.any(|pair| {
                pair[0].is_valid(value) != Some(false) && pair[1].is_valid(value) != Some(true)
            })
        };
        shown.into_iter().find(|value| !is_of_pair(value))
    }
}

impl Explained<'_, '_> {
    /// True if there is no cause.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
            && self.properties.is_empty()
            && !self.is_inside
            && self.pairs.is_empty()
    }

    /// True if these causes explain each error of a value.
    fn explains(&self, value: &Json, wide: &Checker<'_, '_>) -> bool {
        let explains = wide.checked(|schema| {
            schema.describe(value, |errors| {
                let mut causes = errors.map(|error| self.is_cause(&error));
                Some(causes.all(|is_cause| is_cause))
            })
        });
        explains.unwrap_or(true)
    }

    fn is_cause(&self, error: &ValidationError<'_>) -> bool {
        match Reason::of(error) {
            Some(reason) => self
                .reasons
                .iter()
                .any(|own| (&own.keyword, &own.property) == (&reason.keyword, &reason.property)),
            None => {
                let path = error.instance_path().as_str();
                let name = path.split('/').nth(1).unwrap_or_default();
                let name = name.replace("~1", "/").replace("~0", "~");
                self.is_inside || self.properties.contains(&&*name)
            }
        }
    }
}
