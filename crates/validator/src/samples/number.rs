//! Sample number of schemas: a number near zero within their bounds.

use serde_json::{Map, Value as Json, json};

/// Keywords that bound a number.
pub(super) const KEYWORDS: [&str; 5] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];

/// Bounds of the numbers that all schemas accept.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    least: f64,
    greatest: f64,
    /// Open intervals do not contain their bound (`exclusiveMinimum`, `exclusiveMaximum`).
    is_open: [bool; 2],
    /// Greatest `multipleOf`, if there is one.
    step: Option<f64>,
}

/// Number near zero that matches `minimum`, `maximum`, their exclusive forms and one `multipleOf`
/// of schemas. `schemas`: the [`KEYWORDS`] of each of them. An integer if one is within the bounds. `None` if no number is.
pub(super) fn within(schemas: &[Map<String, Json>]) -> Option<Json> {
    let bounds = Bounds::of(schemas);
    let step = bounds.step.unwrap_or(1.0);
    let nearest = 0.0_f64.clamp(bounds.least, bounds.greatest.max(bounds.least));
    let multiple = match nearest >= 0.0 {
        true => (nearest / step).ceil() * step,
        false => (nearest / step).floor() * step,
    };
    let found = [multiple, multiple + step, multiple - step]
        .into_iter()
        .find(|one| bounds.contain(*one));
    let found = found.or_else(|| {
        let middle = f64::midpoint(bounds.least, bounds.greatest);
        Some(middle).filter(|one| bounds.step.is_none() && bounds.contain(*one))
    })?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is an integer in the range of i64"
    )]
    let number = match found.fract() == 0.0 && found.abs() < 9e18 {
        true => json!(found as i64),
        false => json!(found),
    };
    Some(number)
}

impl Bounds {
    fn of(schemas: &[Map<String, Json>]) -> Self {
        let mut bounds = Self {
            least: f64::NEG_INFINITY,
            greatest: f64::INFINITY,
            is_open: [false; 2],
            step: None,
        };
        for schema in schemas {
            let number = |key: &str| schema.get(key)?.as_f64();
            // OpenAPI 3.0 has `exclusiveMinimum: true` beside `minimum`.
            let flag = |key: &str| schema.get(key) == Some(&Json::Bool(true));
            let lower = [
                (number("minimum"), flag("exclusiveMinimum")),
                (number("exclusiveMinimum"), true),
            ];
            for (bound, is_open) in lower {
                if let Some(bound) = bound.filter(|bound| *bound >= bounds.least) {
                    bounds.is_open[0] = is_open || bound == bounds.least && bounds.is_open[0];
                    bounds.least = bound;
                }
            }
            let upper = [
                (number("maximum"), flag("exclusiveMaximum")),
                (number("exclusiveMaximum"), true),
            ];
            for (bound, is_open) in upper {
                if let Some(bound) = bound.filter(|bound| *bound <= bounds.greatest) {
                    bounds.is_open[1] = is_open || bound == bounds.greatest && bounds.is_open[1];
                    bounds.greatest = bound;
                }
            }
            if let Some(step) = number("multipleOf").filter(|step| *step > 0.0) {
                bounds.step = Some(bounds.step.map_or(step, |other| other.max(step)));
            }
        }
        bounds
    }

    fn contain(&self, number: f64) -> bool {
        let [above, below] = self.is_open;
        let fits_least = number > self.least || !above && number == self.least;
        let fits_greatest = number < self.greatest || !below && number == self.greatest;
        fits_least && fits_greatest && number.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_within_the_bounds() {
        for (schema, expected) in [
            (json!({}), json!(0)),
            (json!({"minimum": -5, "maximum": 5}), json!(0)),
            (json!({"minimum": 7}), json!(7)),
            (json!({"exclusiveMinimum": 7}), json!(8)),
            (json!({"minimum": 7, "exclusiveMinimum": true}), json!(8)),
            (json!({"maximum": -3}), json!(-3)),
            (json!({"maximum": -3, "exclusiveMaximum": true}), json!(-4)),
            (json!({"exclusiveMaximum": -3}), json!(-4)),
            (json!({"minimum": 7, "multipleOf": 5}), json!(10)),
            (json!({"maximum": -7, "multipleOf": 5}), json!(-10)),
            (json!({"minimum": 0.25, "maximum": 0.75}), json!(0.5)),
            (json!({"exclusiveMinimum": 0, "maximum": 1}), json!(1)),
            (json!({"minimum": 1.5}), json!(2)),
        ] {
            let keywords = schema.as_object().cloned().unwrap_or_default();
            assert_eq!(within(&[keywords]), Some(expected), "{schema}");
        }
        let of = |schema: Json| schema.as_object().cloned().unwrap_or_default();
        let both = [
            of(json!({"minimum": 3})),
            of(json!({"minimum": 5, "maximum": 9})),
        ];
        assert_eq!(within(&both), Some(json!(5)));
        assert_eq!(within(&[of(json!({"minimum": 3, "maximum": 2}))]), None);
    }
}
