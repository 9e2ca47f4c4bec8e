//! Example of a difference between two descriptions: a small request that one description accepts
//! and the other refuses. Plans use it as a witness. [`crate::example_response`] has examples of
//! responses.

use std::cell::{Cell, OnceCell};

use bundle::ir::{ParameterPlace, Value};
use http::header::{CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use policy::invalid::Part;
use serde_json::{Map, Value as Json};

use crate::compare::Difference;
use crate::cone::Cone;
use crate::containment::further;
use crate::media::{self, Form, MediaType, SequenceFormat};
use crate::operation::{BodyUse, Operation};
use crate::parameters::{Head, is_ignored, part_of, whole_query, written_style};
use crate::samples::{Schema, Search};
use crate::steps;
use crate::style::Style;
use crate::text::escaped;

/// Maximum size of an example in bytes.
pub(crate) const BYTES_MAX: usize = 16_384;
/// Boundary of generated multipart bodies.
const BOUNDARY: &str = "b";

/// Parameters and body of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// Values of the path parameters, in the order of the template, percent-encoded.
    pub path: Vec<String>,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Header fields, including `cookie`.
    pub headers: Vec<(String, String)>,
    /// Media type and body. `None`: no body.
    pub body: Option<(String, String)>,
}

/// Reason for a missing example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoExample {
    /// No generated request shows the difference.
    Alike,
    /// The search ended at its limit of steps.
    TooManySteps,
}

/// Maximum cost of checking the generated requests, per step of `steps_max`.
pub(crate) const COSTS_OF_STEP: u64 = 20;
/// Number of comparisons of a parameter with a part of a request that count as one step.
const CHECKS_OF_STEP: u64 = 4;
/// Maximum number of requests with which a caller confirms an example.
const CONFIRMATIONS: u64 = 8;
/// Maximum number of steps of the searches for all differences of an operation together, as a
/// multiple of the limit of one search. Few operations have more than four difficult differences.
const SEARCHES_MAX: u32 = 4;
/// Maximum number of steps of the search for values that violate several keywords of a schema.
const FURTHER_STEPS: u32 = 24_000;
/// Maximum number of steps to generate the values of the parameters and the body that a description
/// requires.
const UNDESCRIBED_STEPS: u32 = 1_000_000;

/// Old or new description in a comparison.
pub(crate) struct Side<'a> {
    pub(crate) cone: &'a Cone,
    pub(crate) search: &'a Search,
    /// True if the gateway refuses query parameters that the description does not contain.
    refuses_undescribed: bool,
    pub(crate) operation: &'a Operation,
}

/// Search for examples of the differences between two descriptions of an operation. Compiles each
/// description once.
pub struct Examples<'a> {
    cones: [&'a Cone; 2],
    /// True if both versions refuse query parameters that they do not describe.
    refuses_undescribed: bool,
    /// Compiled descriptions. `None` if a schema is not valid.
    compiled: OnceCell<Option<[Operation; 2]>>,
    /// Maximum number of steps of one search.
    steps_max: u32,
    /// Remaining steps of all searches.
    left: Cell<u32>,
}

impl<'a> Examples<'a> {
    /// Prepares the search for two descriptions. `refuses_undescribed` is true if both versions
    /// refuse query parameters that they do not describe. `steps_max` limits the generation of
    /// requests for one difference and the cost of their checks. Recursive schemas can exceed the
    /// limit.
    #[must_use]
    pub fn new(cones: [&'a Cone; 2], refuses_undescribed: bool, steps_max: u32) -> Self {
        Self {
            cones,
            refuses_undescribed,
            compiled: OnceCell::new(),
            steps_max,
            left: Cell::new(steps_max.saturating_mul(SEARCHES_MAX)),
        }
    }

    /// Small request that the description with the index `accepts` accepts and the other refuses,
    /// because of the difference `of`.
    ///
    /// # Errors
    /// [`NoExample::Alike`] if no generated request shows the difference.
    /// [`NoExample::TooManySteps`] if the search exceeded its limit, or if the searches for all
    /// differences together did.
    pub fn find(&self, accepts: usize, of: &Difference) -> Result<Example, NoExample> {
        self.search(|sides, steps_max| sides[accepts].shows(&sides[1 - accepts], of, steps_max))
    }

    /// Small request that both descriptions accept. `None` if no such request is found.
    #[must_use]
    pub fn request(&self) -> Option<Example> {
        let found = self.search(|[old, new], steps_max| {
            let both = [new.base(old), old.base(new)].into_iter();
            let mut both = both.filter(|one| one.bytes() <= BYTES_MAX);
            let found = both.find(|one| old.accepts(one) && new.accepts(one));
            let steps = steps_max - new.search.steps_left();
            (found.ok_or(NoExample::Alike), u64::from(steps))
        });
        found.ok()
    }

    /// Runs a search with the compiled descriptions, and subtracts its steps from those that are
    /// left. `run` receives the old and the new description and the maximum number of steps, and
    /// returns the number of steps that it used.
    pub(crate) fn search<T>(
        &self,
        run: impl FnOnce(&[Side<'_>; 2], u32) -> (Result<T, NoExample>, u64),
    ) -> Result<T, NoExample> {
        let steps_max = self.steps_max.min(self.left.get());
        if steps_max == 0 {
            return Err(NoExample::TooManySteps);
        }
        let compile = || {
            let [old, new] = self.cones.map(Operation::compile);
            Some([old.ok()?, new.ok()?])
        };
        let compiled = self.compiled.get_or_init(compile).as_ref();
        let compiled = compiled.ok_or(NoExample::Alike)?;
        let search = Search::new(steps_max);
        let sides = [0, 1].map(|at: usize| Side {
            cone: self.cones[at],
            search: &search,
            operation: &compiled[at],
            refuses_undescribed: self.refuses_undescribed,
        });
        let (found, steps) = run(&sides, steps_max);
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.left.set(self.left.get().saturating_sub(steps));
        found
    }
}

/// Request that matches the description, except for one query parameter that the description does
/// not contain. `None` if no such request is found.
#[must_use]
pub fn undescribed(cone: &Cone) -> Option<Example> {
    let operation = Operation::compile(cone).ok()?;
    let search = Search::new(UNDESCRIBED_STEPS);
    let side = Side {
        cone,
        search: &search,
        operation: &operation,
        refuses_undescribed: false,
    };
    let names = ["x", "y", "undescribed"].into_iter();
    names
        .map(|name| {
            let mut base = side.base(&side);
            base.query.push((name.to_owned(), String::new()));
            base
        })
        .find(|one| {
            let query = one.query();
            side.accepts(one) && !side.operation.undeclared(&query, &[]).is_empty()
        })
}

impl<'a> Side<'a> {
    /// Small request that this description accepts and the other refuses, and the number of steps
    /// of the search. The search ends after `steps_max` steps.
    fn shows(
        &self,
        refuses: &Self,
        of: &Difference,
        steps_max: u32,
    ) -> (Result<Example, NoExample>, u64) {
        let start = steps::costs();
        let all = self.candidates(refuses, of, |own, other| self.search.values(own, other));
        let mut checks = 0;
        let mut found = self.first_shown(refuses, all, (start, steps_max), &mut checks);
        if self.search.is_spent() && found == Err(NoExample::Alike) {
            found = Err(NoExample::TooManySteps);
        }
        if found == Err(NoExample::Alike) {
            let values = |own, other| further_values(self.search, own, other);
            let all = self.candidates(refuses, of, values);
            found = self.first_shown(refuses, all, (start, steps_max), &mut checks);
        }
        let generated = steps_max - self.search.steps_left();
        (found, u64::from(generated) + steps_of_checks(start, checks))
    }

    /// First and smallest of these requests that this description accepts and the other refuses.
    /// `start`: cost of all checks before the search. Adds the number of comparisons to `checks`.
    fn first_shown(
        &self,
        refuses: &Self,
        mut all: Vec<Example>,
        (start, steps_max): (u64, u32),
        checks: &mut u64,
    ) -> Result<Example, NoExample> {
        all.retain(|one| one.bytes() <= BYTES_MAX);
        all.sort_by_cached_key(|one| (one.bytes(), format!("{one:?}")));
        // Each required parameter was looked up in both descriptions.
        *checks += all.first().map_or(0, |one| self.checks(one));
        for one in all {
            let of_one = self.checks(&one);
            *checks += of_one;
            if self.accepts(&one) && !refuses.accepts(&one) {
                *checks += of_one * CONFIRMATIONS;
                return Ok(one);
            }
            if steps_of_checks(start, *checks) > u64::from(steps_max) {
                return Err(NoExample::TooManySteps);
            }
        }
        Err(NoExample::Alike)
    }

    /// Number of comparisons of a described parameter with a part of the request in a check.
    fn checks(&self, example: &Example) -> u64 {
        let headers = example.headers.iter();
        let cookies = headers.filter(|(name, _)| name == COOKIE.as_str());
        let cookies: usize = cookies.map(|(_, line)| line.matches("; ").count()).sum();
        let fields = example.path.len() + example.query.len() + example.headers.len();
        let parts = fields + cookies + 1;
        (self.cone.operation.parameters.len() as u64).saturating_mul(parts as u64)
    }

    /// True if the description accepts the request.
    fn accepts(&self, example: &Example) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in &example.headers {
            let name = HeaderName::try_from(name.as_str());
            let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value.as_str())) else {
                return false;
            };
            headers.append(name, value);
        }
        if let Some((media_type, _)) = &example.body {
            let Ok(value) = HeaderValue::try_from(media_type.as_str()) else {
                return false;
            };
            headers.insert(CONTENT_TYPE, value);
        }
        if example.path.iter().any(String::is_empty) {
            return false;
        }
        let mut path = String::new();
        let mut bound = Vec::new();
        let named = self.cone.operation.parameters.iter();
        let named = named.filter(|one| one.place == ParameterPlace::Path);
        for (parameter, value) in named.zip(&example.path) {
            path.push('/');
            let start = path.len();
            path.push_str(value);
            bound.push((parameter.name.as_str(), start..path.len()));
        }
        let query = example.query();
        let found = self.operation.head(&Head {
            path: &path,
            bound: &bound,
            query: Some(&query),
            headers: &headers,
        });
        let refuses = || !self.operation.undeclared(&query, &[]).is_empty();
        if !found.is_empty() || self.refuses_undescribed && refuses() {
            return false;
        }
        match self.operation.body_use(&headers, example.body.is_none()) {
            Err(_) => false,
            Ok(BodyUse::Pass) => true,
            Ok(BodyUse::Read(kind)) => {
                let body = example.body.as_ref().map_or("", |(_, body)| body);
                self.operation.body(&kind, body.as_bytes()).is_empty()
            }
            Ok(BodyUse::Split(kind)) => {
                let body = example.body.as_ref().map_or("", |(_, body)| body);
                self.operation.sequence(&kind, body.as_bytes()).is_empty()
            }
        }
    }

    /// Schema of a parameter of this description.
    fn schema(&self, part: &Part) -> Option<Schema<'a>> {
        let mut all = self.cone.operation.parameters.iter();
        let one = all.find(|one| part_of(one.place, &one.name) == *part)?;
        let definition = match one.definition.get("content").map(Value::entries) {
            Some([(_, media), ..]) => media,
            _ => &one.definition,
        };
        Some((&self.cone.schemas, definition.get("schema")?))
    }

    fn body_schema(&self, media_type: &str) -> Option<Schema<'a>> {
        let body = self.cone.operation.body.as_ref()?;
        let one = body.media_types.get(media_type)?;
        let items = one.definition.get("itemSchema");
        let items = items.filter(|_| media::is_split(media_type));
        let schema = items.or_else(|| one.definition.get("schema"));
        Some((&self.cone.schemas, schema?))
    }

    /// Builds the smallest request that is expected to match this description. Prefers values that
    /// satisfy both versions.
    fn base(&self, other: &Self) -> Example {
        let mut base = Example::default();
        for parameter in &self.cone.operation.parameters {
            if is_ignored(parameter.place, &parameter.name) {
                continue;
            }
            let part = part_of(parameter.place, &parameter.name);
            if !parameter.required && parameter.place != ParameterPlace::Path {
                continue;
            }
            let search = self.search;
            let sample = search.values(self.schema(&part), other.schema(&part));
            let sample = sample.into_iter().next().unwrap_or(Json::Null);
            base.put(parameter, &sample);
        }
        let body = self.cone.operation.body.as_ref();
        let types = body
            .filter(|body| body.required)
            .map(|body| &body.media_types);
        if let Some(first) = types.and_then(|types| types.iter().next()) {
            let sample = self.search.values(
                self.body_schema(&first.name),
                other.body_schema(&first.name),
            );
            let sample = sample.into_iter().next().unwrap_or(Json::Null);
            base.body = body_of(&first.name, &sample);
        }
        base
    }

    /// Requests that this description may accept and the other may refuse. `values` generates
    /// values of the schemas of both descriptions.
    fn candidates(
        &self,
        other: &Self,
        of: &Difference,
        values: impl Fn(Option<Schema<'a>>, Option<Schema<'a>>) -> Vec<Json>,
    ) -> Vec<Example> {
        let base = self.base(other);
        let mut found = vec![base.clone()];
        if of.part == Part::Body {
            found.push(Example {
                body: None,
                ..base.clone()
            });
            let sides = [self, other].into_iter();
            let bodies = sides.filter_map(|side| side.cone.operation.body.as_ref());
            let named = bodies.flat_map(|body| body.media_types.iter().map(|one| &*one.name));
            for name in named.chain(["application/json", "a/a"]) {
                if of.media_type.as_deref().is_some_and(|only| only != name) {
                    continue;
                }
                let samples = values(self.body_schema(name), other.body_schema(name));
                found.extend(samples.iter().map(|sample| Example {
                    body: body_of(name, sample),
                    ..base.clone()
                }));
            }
            return found;
        }
        let position = |side: &Self| {
            let mut parameters = side.cone.operation.parameters.iter();
            parameters.position(|one| part_of(one.place, &one.name) == of.part)
        };
        let own = position(self).map(|at| &self.cone.operation.parameters[at]);
        let their = position(other).map(|at| &other.cone.operation.parameters[at]);
        let Some(parameter) = own.or(their) else {
            return found;
        };
        let mut without = base.clone();
        without.remove(parameter);
        found.push(without.clone());
        found.extend(without.with_other_spellings(parameter));
        let samples = values(self.schema(&of.part), other.schema(&of.part));
        // A path parameter always has a value, so the sample replaces it. `in_path`: index of the
        // path parameter.
        let in_path = (parameter.place == ParameterPlace::Path).then(|| {
            let side = if own.is_some() { self } else { other };
            let all = side.cone.operation.parameters.iter();
            let all = all.filter(|one| one.place == ParameterPlace::Path);
            all.take_while(|one| one.name != parameter.name).count()
        });
        for sample in samples {
            let mut one = without.clone();
            one.put(parameter, &sample);
            if let Some(index) = in_path {
                let Some(value) = one.path.pop().filter(|_| index < one.path.len()) else {
                    continue;
                };
                one.path[index] = value;
            }
            found.push(one);
        }
        found
    }
}

/// Values that violate several keywords of the refusing schema. The steps count as steps of the
/// search.
pub(crate) fn further_values(
    search: &Search,
    accepts: Option<Schema<'_>>,
    refuses: Option<Schema<'_>>,
) -> Vec<Json> {
    let steps = FURTHER_STEPS.min(search.steps_left());
    let mut left = steps;
    let values = further::values(accepts, refuses, &mut left);
    search.take((steps - left) as usize);
    values
}

/// Number of steps of checks. `start`: cost of all checks before the search.
fn steps_of_checks(start: u64, checks: u64) -> u64 {
    let costs = steps::costs().wrapping_sub(start);
    costs / COSTS_OF_STEP + checks / CHECKS_OF_STEP
}

impl Example {
    fn bytes(&self) -> usize {
        let pairs = self.query.iter().chain(&self.headers).chain(&self.body);
        let pairs: usize = pairs
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum();
        self.path.iter().map(String::len).sum::<usize>() + pairs
    }

    fn query(&self) -> String {
        let pairs = self.query.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
            .collect();
        pairs.join("&")
    }

    /// Removes a parameter from the example.
    fn remove(&mut self, parameter: &bundle::ir::Parameter) {
        let name = &parameter.name;
        match parameter.place {
            ParameterPlace::Query => self.query.retain(|(other, _)| other != name),
            ParameterPlace::Header => {
                self.headers
                    .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            }
            ParameterPlace::Cookie => {
                let start = format!("{name}=");
                for (_, value) in self
                    .headers
                    .iter_mut()
                    .filter(|(name, _)| name == COOKIE.as_str())
                {
                    let kept: Vec<&str> = value
                        .split("; ")
                        .filter(|one| !one.starts_with(&start))
                        .collect();
                    *value = kept.join("; ");
                }
                self.headers
                    .retain(|(name, value)| name != COOKIE.as_str() || !value.is_empty());
            }
            // A path parameter always has exactly one value, so it cannot be removed.
            ParameterPlace::Path => {}
            // No other parameter describes a part of the query.
            ParameterPlace::Querystring => self.query.clear(),
        }
    }

    /// Examples with a further field, whose name some servers read as the parameter.
    fn with_other_spellings(&self, parameter: &bundle::ir::Parameter) -> Vec<Self> {
        let name = &parameter.name;
        let names = match parameter.place {
            ParameterPlace::Header => vec![name.replace('-', "_"), name.replace('_', "-")],
            _ => vec![name.to_uppercase(), name.to_lowercase()],
        };
        let others = names.into_iter().filter(|other| other != name);
        let examples = others.map(|name| {
            let mut one = self.clone();
            let other = bundle::ir::Parameter {
                name,
                definition: Value::Map(Vec::new()),
                ..parameter.clone()
            };
            one.put(&other, &Json::String("x".to_owned()));
            one
        });
        let has_spellings = matches!(
            parameter.place,
            ParameterPlace::Query | ParameterPlace::Header | ParameterPlace::Cookie
        );
        examples.filter(|_| has_spellings).collect()
    }

    /// Adds a parameter with this value to the example.
    fn put(&mut self, parameter: &bundle::ir::Parameter, value: &Json) {
        let name = parameter.name.as_str();
        let (style, explode) = written_style(parameter);
        let is_content = parameter.definition.get("content").is_some();
        let whole = || match (is_content, value) {
            (true, value) => value.to_string(),
            (false, value) => joined(value, style, explode),
        };
        match parameter.place {
            ParameterPlace::Path => self.path.push(escaped(&whole())),
            ParameterPlace::Header => self.headers.push((name.to_ascii_lowercase(), whole())),
            ParameterPlace::Cookie => {
                let pair = format!("{name}={}", whole());
                let mut lines = self.headers.iter_mut();
                match lines.find(|(name, _)| name == COOKIE.as_str()) {
                    Some((_, line)) => *line = format!("{line}; {pair}"),
                    None => self.headers.push((COOKIE.as_str().to_owned(), pair)),
                }
            }
            ParameterPlace::Querystring => {
                let named = whole_query::media_type(&parameter.definition);
                let form = named.and_then(|(name, _)| Some(MediaType::parse(name)?.form()));
                // An example has pairs of names and values, so it cannot have another query.
                if let (Some(Form::Urlencoded), Json::Object(members)) = (form, value) {
                    let members = members.iter();
                    self.query
                        .extend(members.map(|(key, one)| (key.clone(), scalar(one))));
                }
            }
            ParameterPlace::Query => match value {
                Json::Array(items) if explode && !is_content => {
                    let items = items.iter().map(|item| (name.to_owned(), scalar(item)));
                    self.query.extend(items);
                }
                Json::Object(members) if !is_content && style == Style::DeepObject => {
                    let members = members.iter();
                    let pairs = members.map(|(key, one)| (format!("{name}[{key}]"), scalar(one)));
                    self.query.extend(pairs);
                }
                Json::Object(members) if !is_content && explode => {
                    let members = members.iter();
                    self.query
                        .extend(members.map(|(key, one)| (key.clone(), scalar(one))));
                }
                _ => self.query.push((name.to_owned(), whole())),
            },
        }
    }
}

/// Serializes the value of a parameter as one text.
pub(crate) fn joined(value: &Json, style: Style, explode: bool) -> String {
    let delimiter = match style {
        Style::SpaceDelimited => " ",
        Style::PipeDelimited => "|",
        _ => ",",
    };
    let pair = |(name, value): (&String, &Json)| match explode {
        true => format!("{name}={}", scalar(value)),
        false => format!("{name}{delimiter}{}", scalar(value)),
    };
    let parts: Vec<String> = match value {
        Json::Array(items) => items.iter().map(scalar).collect(),
        Json::Object(members) => members.iter().map(pair).collect(),
        value => vec![scalar(value)],
    };
    parts.join(delimiter)
}

fn scalar(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        value => value.to_string(),
    }
}

/// Writes a value as a body: the media type and the body. `None` if the media type cannot express
/// the value.
pub(crate) fn body_of(name: &str, value: &Json) -> Option<(String, String)> {
    let named = name.replace('*', "x");
    let none = Map::new();
    let members = value.as_object().unwrap_or(&none);
    let media_type = MediaType::parse(name)?;
    match media_type.sequence() {
        Some(SequenceFormat::Lines) => return Some((named, format!("{value}\n"))),
        Some(SequenceFormat::Records) => return Some((named, format!("\x1e{value}\n"))),
        Some(SequenceFormat::Events) if value.is_object() => {
            let lines = members.iter().flat_map(|(name, value)| {
                let text = scalar(value);
                let lines = text.split('\n').map(|line| format!("{name}: {line}\n"));
                lines.collect::<Vec<_>>()
            });
            return Some((named, lines.collect::<String>() + "\n"));
        }
        Some(SequenceFormat::Events) | None => {}
    }
    Some(match media_type.form() {
        Form::Json => (named, value.to_string()),
        Form::Text => (named, scalar(value)),
        Form::Urlencoded => {
            let fields: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}={}", escaped(name), escaped(&scalar(value))))
                .collect();
            (named, fields.join("&"))
        }
        Form::Multipart => {
            let parts = members.iter().map(|(name, value)| {
                format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{}\r\n",
                    scalar(value)
                )
            });
            let body = parts.collect::<String>() + &format!("--{BOUNDARY}--\r\n");
            (format!("{named}; boundary={BOUNDARY}"), body)
        }
        Form::Other => (named, "x".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use bundle::ir::{ContractOperation, Parameter};

    use super::*;
    use crate::compare::differences;

    /// Description of an operation with `count` query parameters of at most `length` characters.
    fn described(count: usize, length: i64) -> Cone {
        let schema = Value::Map(vec![
            ("maxLength".into(), Value::Integer(length)),
            ("type".into(), Value::Text("string".into())),
        ]);
        let parameters = (0..count).map(|index| Parameter {
            place: ParameterPlace::Query,
            name: format!("q{index}"),
            required: true,
            definition: Value::Map(vec![("schema".into(), Value::Node(0))]),
        });
        let operation = ContractOperation {
            key: String::new(),
            deprecated: false,
            parameters: parameters.collect(),
            body: None,
            responses: Vec::new(),
            security: None,
        };
        Cone::of(&operation, &[schema])
    }

    #[test]
    fn all_differences_of_operation_share_steps() {
        for (count, steps_max, is_spent) in [(4, 50_000, false), (100, 500, true)] {
            let [old, new] = [described(count, 4), described(count, 3)];
            let all = differences([&old, &new], [None, None]);
            assert_eq!(all.len(), count);
            let examples = Examples::new([&old, &new], false, steps_max);
            let found = all.iter().filter(|of| examples.find(0, of).is_ok()).count();
            assert_eq!(examples.left.get() == 0, is_spent, "{count}");
            // With many required parameters, the first search uses up the steps that all searches share.
            assert!(
                if is_spent { found <= 1 } else { found == count },
                "{found}"
            );
        }
    }
}
