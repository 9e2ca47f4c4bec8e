//! Values that the wide schema refuses for one reason only, such as one keyword.
//!
//! A pair of schemas can differ in several keywords. The smallest value that shows the difference
//! often shows several of them at once, or only one of them.

use bundle::ir::Value;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value as Json;

use super::validators::Checker;
use crate::steps::Schema;

/// Form of the values in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON, as in a body.
    Json,
    /// Text of a scalar: the wide schema must refuse all interpretations of the text.
    Text,
    /// Text of a scalar, a list or an object, in a form or a parameter.
    Fields,
    /// Text of a scalar in a path parameter.
    Path,
    /// Text of a parameter in which a list is several occurrences of the parameter's name.
    ExplodedText,
}

/// Reason for which a schema refuses a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Keyword of the schema. `enum` also stands for `const`, and `type` for `nullable`.
    pub keyword: String,
    /// Property that is missing, for `required`.
    pub property: Option<String>,
    /// The only value that shows the reason, such as a value that `enum` no longer has. `None`: any
    /// value.
    pub value: Option<Json>,
}

impl Reason {
    /// Creates a reason.
    #[must_use]
    pub fn new(keyword: &str, property: Option<&str>) -> Self {
        let keyword = match keyword {
            "const" => "enum",
            "nullable" => "type",
            other => other,
        };
        let property = property.filter(|_| keyword == "required");
        Self {
            keyword: keyword.to_owned(),
            property: property.map(str::to_owned),
            value: None,
        }
    }

    /// Restricts the reason to one value.
    #[must_use]
    pub fn with_value(mut self, value: Option<Json>) -> Self {
        self.value = value;
        self
    }

    /// True if a value that is refused for `only` shows this reason.
    fn is_shown_by(&self, only: &Self, value: &Json) -> bool {
        (&self.keyword, &self.property) == (&only.keyword, &only.property)
            && self.value.as_ref().is_none_or(|own| own == value)
    }

    /// Reason of an error. `None` for an error inside the value.
    pub(super) fn of(error: &ValidationError<'_>) -> Option<Self> {
        if !error.instance_path().as_str().is_empty() {
            return None;
        }
        let property = match error.kind() {
            Kind::Required { property } => property.as_str(),
            _ => None,
        };
        Some(Self::new(error.kind().keyword(), property))
    }
}

/// Witnesses of a pair of schemas that were found so far.
pub(super) struct Witnesses<'r> {
    reasons: &'r [Reason],
    /// Smallest value that the wide schema refuses.
    pub(super) first: Option<Json>,
    /// Smallest value that the wide schema refuses for each reason only.
    pub(super) exact: Vec<Option<Json>>,
}

impl<'r> Witnesses<'r> {
    pub(super) fn new(reasons: &'r [Reason]) -> Self {
        Self {
            reasons,
            first: None,
            exact: vec![None; reasons.len()],
        }
    }

    /// Adds a value that the wide schema refuses. Returns true if each reason has a value.
    pub(super) fn add(&mut self, value: Json, wide: &Checker<'_, '_>) -> bool {
        let has_reasons = !self.reasons.is_empty();
        if has_reasons && let Some(only) = wide.checked(|schema| only_reason(schema, &value)) {
            let places = self.reasons.iter().zip(&mut self.exact);
            for (_, place) in places.filter(|(reason, _)| reason.is_shown_by(&only, &value)) {
                place.get_or_insert_with(|| value.clone());
            }
        }
        self.first.get_or_insert(value);
        self.exact.iter().all(Option::is_some)
    }
}

/// Reason for which a schema refuses a value. `None` if there are several, or if the reason is
/// inside the value.
fn only_reason(schema: &Schema, value: &Json) -> Option<Reason> {
    let reasons: Option<Vec<Reason>> = schema.describe(value, |errors| {
        errors.map(|error| Reason::of(&error)).collect()
    });
    let mut reasons = reasons?;
    let only = reasons.pop()?;
    reasons.iter().all(|one| *one == only).then_some(only)
}

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
    pub(super) fn explains(&self, value: &Json, wide: &Checker<'_, '_>) -> bool {
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
