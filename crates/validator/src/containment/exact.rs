//! Values that the wide schema refuses for one reason only, such as one keyword.
//!
//! A pair of schemas can differ in several keywords. The smallest value that shows the difference
//! often shows several of them at once, or only one of them.

use bundle::ir::Value;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value as Json;

use super::outside::OutsideProperties;
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
        if let Some(keyword) = DEPENDENT.into_iter().find(|key| is_below(error, key)) {
            return Some(Self::new(keyword, None));
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
    /// For each reason: true if each error of the wide schema for this reason names its keyword.
    traced: Vec<bool>,
    /// Smallest value that the wide schema refuses.
    pub(super) first: Option<Json>,
    /// Smallest value that the wide schema refuses for each reason only.
    pub(super) exact: Vec<Option<Json>>,
    /// For each reason: true if the wide schema may refuse `first` for this reason, among others.
    pub(super) is_cause: Vec<bool>,
}

/// Keywords whose errors are those of an inner schema or of `required`.
const DEPENDENT: [&str; 2] = ["dependentRequired", "dependentSchemas"];

/// Keywords that are in the path of each of their errors. Other keywords are converted to different
/// keywords, or their errors are those of inner schemas.
const TRACED: [&str; 17] = [
    "anyOf",
    "dependentRequired",
    "dependentSchemas",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minItems",
    "minLength",
    "minProperties",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "propertyNames",
    "required",
    "uniqueItems",
];

/// True if an error is inside a keyword.
fn is_below(error: &ValidationError<'_>, keyword: &str) -> bool {
    let path = error.evaluation_path().as_str();
    path.split('/').any(|step| step == keyword)
}

impl<'r> Witnesses<'r> {
    /// Creates the list for a wide schema.
    pub(super) fn new(reasons: &'r [Reason], wide: &Value) -> Self {
        let has = |reason: &Reason| wide.get(&reason.keyword).is_some();
        let is_traced = |reason: &Reason| TRACED.contains(&&*reason.keyword) && has(reason);
        Self {
            reasons,
            traced: reasons.iter().map(is_traced).collect(),
            first: None,
            exact: vec![None; reasons.len()],
            is_cause: vec![true; reasons.len()],
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
        if has_reasons && self.first.is_none() {
            let reasons = self.reasons.iter().zip(&self.traced);
            self.is_cause = reasons
                .map(|(reason, is_traced)| !is_traced || may_be_cause(reason, &value, wide))
                .collect();
        }
        self.first.get_or_insert(value);
        self.exact.iter().all(Option::is_some)
    }
}

/// True if a schema may refuse a value for a reason, among others.
fn may_be_cause(reason: &Reason, value: &Json, wide: &Checker<'_, '_>) -> bool {
    // A `oneOf` whose members accept more values than described becomes `anyOf`.
    let alternatives = ["anyOf", "oneOf"];
    let is_cause = |error: &ValidationError<'_>| match &reason.property {
        Some(_) => {
            Reason::of(error).as_ref()
                == Some(&Reason::new(&reason.keyword, reason.property.as_deref()))
        }
        None if alternatives.contains(&&*reason.keyword) => {
            alternatives.iter().any(|key| is_below(error, key))
        }
        None => is_below(error, &reason.keyword),
    };
    let found = wide.checked(|schema| {
        schema.describe(value, |errors| {
            let mut causes = errors.map(|error| is_cause(&error));
            Some(causes.any(|is_cause| is_cause))
        })
    });
    found.unwrap_or(true)
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
    /// Pairs of a narrow and a wide schema that apply to the same value, and the properties that
    /// the pair leaves to others. A value that shows the difference of such a pair without these
    /// properties is not a witness.
    pub pairs: Vec<((&'a Value, &'a Value), OutsideProperties<'a>)>,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Containment;
    use super::super::brute::node;
    use super::*;
    use crate::lower::Direction;

    /// Witness, and the values for these reasons.
    fn witnesses(
        narrow: &Json,
        wide: &Json,
        reasons: &[Reason],
    ) -> (Option<Json>, Vec<Option<Json>>) {
        let mut table = Vec::new();
        let edges = (node(&mut table, narrow), node(&mut table, wide));
        let class = |node: u32| node;
        let mut containment = Containment::new(&table, &class, Direction::Request, (100_000, 10));
        let found = containment.exact_witnesses((&edges.0, &edges.1), Form::Json, reasons);
        (found.first, found.exact)
    }

    #[test]
    fn each_reason_has_a_value_of_its_own() {
        let reason = |keyword: &str| Reason::new(keyword, None);
        let narrow = json!({"type": "string"});
        let wide = json!({"type": "string", "minLength": 2, "maxLength": 4});
        let (first, exact) = witnesses(&narrow, &wide, &[reason("maxLength"), reason("minLength")]);
        assert_eq!(first, Some(json!("")));
        let lengths: Vec<usize> = exact
            .iter()
            .map(|one| one.as_ref().unwrap().as_str().unwrap().len())
            .collect();
        assert!(lengths[0] > 4 && lengths[1] < 2, "{exact:?}");

        let missing = |name: &str| Reason::new("required", Some(name));
        let object = |required: &[&str]| json!({"type": "object", "required": required, "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}});
        let (first, exact) = witnesses(
            &object(&[]),
            &object(&["a", "b"]),
            &[missing("a"), missing("b"), missing("c")],
        );
        assert_eq!(first, Some(json!({})));
        let names: Vec<Option<Vec<String>>> = exact
            .iter()
            .map(|one| Some(one.as_ref()?.as_object()?.keys().cloned().collect()))
            .collect();
        assert_eq!(
            names,
            [Some(vec!["b".to_owned()]), Some(vec!["a".to_owned()]), None]
        );
    }

    #[test]
    fn first_value_belongs_to_the_keywords_that_refuse_it() {
        let need = |name: &str| json!({"required": [name]});
        let narrow = json!({"type": "object", "properties": {"a": {}, "b": {}}});
        let mut wide = narrow.clone();
        wide["oneOf"] = json!([need("a"), need("b")]);
        wide["dependentRequired"] = json!({"b": ["a"]});
        wide["minLength"] = json!(5);
        let reasons = ["oneOf", "dependentRequired", "minLength"];
        let reasons = reasons.map(|keyword| Reason::new(keyword, None));
        let mut table = Vec::new();
        let edges = (node(&mut table, &narrow), node(&mut table, &wide));
        let class = |node: u32| node;
        let mut containment = Containment::new(&table, &class, Direction::Request, (100_000, 10));
        let (first, own) = containment.witnesses((&edges.0, &edges.1), Form::Json, &reasons);
        assert_eq!(first, Some(json!({})));
        assert_eq!(own[0], Some(json!({})));
        // `{"b":0}` has `b` without `a`, and exactly one member of `oneOf` matches.
        let members = own[1]
            .as_ref()
            .and_then(Json::as_object)
            .expect("an object");
        assert!(
            members.contains_key("b") && !members.contains_key("a"),
            "{own:?}"
        );
        assert_eq!(own[2], None);
    }
}
