//! Example of a difference between two descriptions of responses: a small response that one
//! description accepts and the other refuses. Plans use it as a witness.

use bundle::ir::{Header, ParameterPlace, Value};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use policy::invalid::Part;
use serde_json::{Map, Value as Json};

use crate::compare::Difference;
use crate::example::{
    BYTES_MAX, COSTS_OF_STEP, Examples, NoExample, Side, body_of, further_values, joined,
};
use crate::media;
use crate::operation::Operation;
use crate::parameters::{is_ignored, style_of};
use crate::response::{ResponseUse, Statuses};
use crate::samples::Schema;
use crate::steps;

/// Maximum number of members of a body that a search tries to leave out.
const REMOVALS_MAX: usize = 256;
/// Statuses whose responses have no body (RFC 9110 §15), and 205, whose body must be empty.
const WITHOUT_BODY: [u16; 3] = [204, 205, 304];

/// Final response of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseExample {
    /// Status, from 200 to 599.
    pub status: u16,
    /// Header fields, without `content-type`.
    pub headers: Vec<(String, String)>,
    /// Media type and body. `None`: no body and no `content-type`.
    pub body: Option<(String, String)>,
}

/// Conditions under which both gateways check a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseReading {
    /// True if the response has content: its request does not have the method `HEAD`.
    pub has_content: bool,
    /// True on a side (0: old) if its gateway checks no body as a whole (`stream: true`).
    pub is_endless: [bool; 2],
}

/// Result of checking a response against its description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseCheck {
    /// The response matches, or is not described.
    Passes,
    /// The gateway replaces the response.
    Replaced,
    /// An item of the body does not match. The gateway ends the body there, after the head.
    Interrupted,
}

impl ResponseExample {
    /// Header fields with `content-type`. `None` if a field is not valid in HTTP.
    #[must_use]
    pub fn fields(&self) -> Option<HeaderMap> {
        let mut fields = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            fields.append(name, HeaderValue::try_from(value.as_str()).ok()?);
        }
        if let Some((media_type, _)) = &self.body {
            let value = HeaderValue::try_from(media_type.as_str()).ok()?;
            fields.insert(CONTENT_TYPE, value);
        }
        Some(fields)
    }

    /// Bytes of the body. Empty without a body.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.body.as_ref().map_or(b"", |(_, body)| body.as_bytes())
    }

    /// Length of the header fields and the body, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let pairs = self.headers.iter().chain(&self.body);
        pairs
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum()
    }
}

impl Operation {
    /// Checks a whole response as gwd does. `has_content`: false for a response to `HEAD`.
    /// `is_endless`: true if bodies are not checked as a whole. `is_checked`: as for
    /// [`Self::response`]. `None` if a field of the response is not valid in HTTP.
    #[must_use]
    pub fn check_response(
        &self,
        response: &ResponseExample,
        (has_content, is_endless): (bool, bool),
        is_checked: impl Fn(&HeaderName) -> bool,
    ) -> Option<ResponseCheck> {
        let status = StatusCode::from_u16(response.status).ok()?;
        let has_body =
            has_content && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let used = self.response(status, &response.fields()?, (has_body, is_checked));
        let check = |is_valid: bool, refusal| match is_valid {
            true => ResponseCheck::Passes,
            false => refusal,
        };
        Some(match used {
            Err(_) => ResponseCheck::Replaced,
            Ok(ResponseUse::Read(_)) if is_endless => ResponseCheck::Passes,
            Ok(ResponseUse::Undescribed | ResponseUse::Pass) => ResponseCheck::Passes,
            Ok(ResponseUse::Read(kind)) => {
                let findings = self.body(&kind, response.content());
                check(findings.is_empty(), ResponseCheck::Replaced)
            }
            Ok(ResponseUse::Split(kind)) => {
                let findings = self.sequence(&kind, response.content());
                check(findings.is_empty(), ResponseCheck::Interrupted)
            }
        })
    }
}

impl Examples<'_> {
    /// Small response that the description with the index `accepts` accepts and the other refuses,
    /// because of the difference `of`.
    ///
    /// # Errors
    /// [`NoExample::Alike`] if no generated response shows the difference.
    /// [`NoExample::TooManySteps`] if the search exceeded its limit, or if the searches for all
    /// differences together did.
    pub fn find_response(
        &self,
        accepts: usize,
        of: &Difference,
        reading: ResponseReading,
    ) -> Result<ResponseExample, NoExample> {
        self.search(|sides, steps_max| {
            let pair = Pair {
                accepts: &sides[accepts],
                refuses: &sides[1 - accepts],
                has_content: reading.has_content,
                is_endless: [reading.is_endless[accepts], reading.is_endless[1 - accepts]],
            };
            let start = steps::costs();
            let found = pair.shows(of, steps_max);
            let checks = steps::costs().wrapping_sub(start) / COSTS_OF_STEP;
            let generated = steps_max - pair.accepts.search.steps_left();
            (found, u64::from(generated) + checks)
        })
    }
}

/// Generator of values for the schemas of the accepting and the refusing description.
type Values<'v, 'a> = &'v dyn Fn(Option<Schema<'a>>, Option<Schema<'a>>) -> Vec<Json>;

/// Description that must accept a response, and description that must refuse it.
struct Pair<'p, 'a> {
    accepts: &'p Side<'a>,
    refuses: &'p Side<'a>,
    has_content: bool,
    /// True on a side (0: the accepting one) if bodies are not checked as a whole.
    is_endless: [bool; 2],
}

/// Generated response. A body of JSON members keeps its value, so that members can be left out.
#[derive(Clone, Debug)]
struct Candidate {
    response: ResponseExample,
    /// Name of the described media type, and value of the body. `None`: the body has no value.
    value: Option<(String, Json)>,
}

impl<'a> Pair<'_, 'a> {
    fn shows(&self, of: &Difference, steps_max: u32) -> Result<ResponseExample, NoExample> {
        let start = steps::costs();
        let search = self.accepts.search;
        let values = |own: Option<Schema<'a>>, other| search.values(own, other);
        let found = self.first_shown(of, (start, steps_max), &values);
        if search.is_spent() && found == Err(NoExample::Alike) {
            return Err(NoExample::TooManySteps);
        }
        if found != Err(NoExample::Alike) {
            return found;
        }
        let values = |own: Option<Schema<'a>>, other| further_values(search, own, other);
        self.first_shown(of, (start, steps_max), &values)
    }

    /// Small response that only the accepting description accepts. `start`: cost of all checks
    /// before the search. `values` generates bodies of both descriptions.
    fn first_shown(
        &self,
        of: &Difference,
        (start, steps_max): (u64, u32),
        values: Values<'_, 'a>,
    ) -> Result<ResponseExample, NoExample> {
        let is_spent = || {
            let costs = steps::costs().wrapping_sub(start) / COSTS_OF_STEP;
            costs > u64::from(steps_max)
        };
        let mut all: Vec<Candidate> = Vec::new();
        for status in self.statuses(of.status.as_deref().unwrap_or_default()) {
            all.extend(self.candidates(status, of, values));
        }
        all.retain(|one| one.response.bytes() <= BYTES_MAX);
        all.sort_by_cached_key(|one| (one.response.bytes(), format!("{:?}", one.response)));
        for one in all {
            if self.is_example(&one.response) {
                return Ok(self.shrunk(one).response);
            }
            if is_spent() {
                return Err(NoExample::TooManySteps);
            }
        }
        Err(NoExample::Alike)
    }

    /// True if the accepting description accepts the response, and `is_checked` selects the checked
    /// fields.
    fn fits(&self, one: &ResponseExample, is_checked: impl Fn(&HeaderName) -> bool) -> bool {
        let conditions = (self.has_content && one.body.is_some(), self.is_endless[0]);
        let check = self.accepts.operation;
        check.check_response(one, conditions, is_checked) == Some(ResponseCheck::Passes)
    }

    /// True if only the accepting description accepts the response.
    fn is_example(&self, one: &ResponseExample) -> bool {
        let check = |at: usize, side: &Side<'_>| {
            let conditions = (self.has_content, self.is_endless[at]);
            side.operation.check_response(one, conditions, |_| true)
        };
        check(0, self.accepts) == Some(ResponseCheck::Passes)
            && check(1, self.refuses).is_some_and(|check| check != ResponseCheck::Passes)
    }

    /// Statuses for a key of `responses`, whose responses no more specific key describes: the
    /// status itself, or one of each class.
    fn statuses(&self, key: &str) -> Vec<u16> {
        let sides = [self.accepts, self.refuses].into_iter();
        let keys = sides.flat_map(|side| &side.cone.operation.responses);
        let known: Vec<Statuses> = keys.map(|one| Statuses::of(&one.status)).collect();
        let first = |digit: u16| {
            let mut all = digit * 100..=digit * 100 + 99;
            all.find(|status| {
                !WITHOUT_BODY.contains(status) && !known.contains(&Statuses::One(*status))
            })
        };
        match Statuses::of(key) {
            Statuses::One(status) => vec![status],
            Statuses::Class(digit) => first(digit).into_iter().collect(),
            Statuses::Default => {
                let classes = [2, 4, 5, 3].into_iter();
                let free = classes.filter(|digit| !known.contains(&Statuses::Class(*digit)));
                free.filter_map(first).collect()
            }
        }
        .into_iter()
        .filter(|status| (200..=599).contains(status))
        .collect()
    }

    /// Responses with a status that the one description may accept and the other may refuse.
    fn candidates(&self, status: u16, of: &Difference, values: Values<'_, 'a>) -> Vec<Candidate> {
        let bare = Candidate {
            response: ResponseExample {
                status,
                headers: Vec::new(),
                body: None,
            },
            value: None,
        };
        let mut base = bare.clone();
        for field in self.fields(status).filter(|field| field.required) {
            let values = self.field_values(status, field).into_iter();
            let fitting = values
                .map(|value| {
                    let mut one = base.response.clone();
                    one.put(field, &value);
                    one
                })
                .find(|one| self.fits(one, |name| name.as_str() == field.name));
            if let Some(one) = fitting {
                base.response = one;
            }
        }
        let mut with_body = vec![base.clone()];
        if self.has_content && !WITHOUT_BODY.contains(&status) {
            let names = self.media_types(status).into_iter();
            let names = names.chain(["application/json", "a/a"]);
            for name in names {
                let is_other = of.media_type.as_deref().is_some_and(|only| only != name);
                if is_other && matches!(of.part, Part::Body) {
                    continue;
                }
                let values = self.body_values(status, name, values).into_iter();
                let mut bodies = values.map(|value| base.with_body(name, value));
                match of.part {
                    // One body is enough if the difference concerns a field.
                    Part::Header(_) => {
                        with_body.extend(bodies.find(|one| self.fits(&one.response, |_| false)));
                    }
                    _ => with_body.extend(bodies),
                }
            }
        }
        let mut found = vec![bare];
        for one in with_body {
            if let Part::Header(name) = &of.part {
                found.extend(self.with_field(status, name, &one));
            }
            // A response of the other description lacks the fields that this one requires.
            if one.response.headers.is_empty() || of.part != Part::Status {
                found.push(one);
                continue;
            }
            let mut without = one.clone();
            without.response.headers.clear();
            found.extend([one, without]);
        }
        found
    }

    /// Responses like `one` without the field `name`, with other values of the field, or with a
    /// name that some servers read as its name.
    fn with_field(&self, status: u16, name: &str, one: &Candidate) -> Vec<Candidate> {
        let mut without = one.clone();
        without.response.headers.retain(|(other, _)| other != name);
        let spellings = [name.replace('-', "_"), name.replace('_', "-")].into_iter();
        let spellings = spellings.filter(|other| other != name).map(|other| {
            let mut one = without.clone();
            one.response.headers.push((other, "x".to_owned()));
            one
        });
        let mut found: Vec<Candidate> = spellings.collect();
        let described = [self.accepts, self.refuses].into_iter();
        let mut described = described.flat_map(|side| side.response(status));
        if let Some(field) = described.find_map(|response| response.headers.get(name)) {
            let values = self.field_values(status, field);
            found.extend(values.iter().map(|value| {
                let mut one = without.clone();
                one.response.put(field, value);
                one
            }));
        }
        found.push(without);
        found
    }

    /// Described header fields of the accepting description, without the ignored ones.
    fn fields(&self, status: u16) -> impl Iterator<Item = &'a Header> {
        let response = self.accepts.response(status);
        let fields = response.into_iter().flat_map(|one| &one.headers);
        fields.filter(|one| !is_ignored(ParameterPlace::Header, &one.name))
    }

    fn field_values(&self, status: u16, field: &Header) -> Vec<Json> {
        let schema = |side: &Side<'a>| -> Option<Schema<'a>> {
            let definition = &side.response(status)?.headers.get(&field.name)?.definition;
            let definition = match definition.get("content").map(Value::entries) {
                Some([(_, media), ..]) => media,
                _ => definition,
            };
            Some((&side.cone.schemas, definition.get("schema")?))
        };
        let search = self.accepts.search;
        let mut values = search.values(schema(self.accepts), schema(self.refuses));
        if values.is_empty() {
            values.push(Json::String("x".to_owned()));
        }
        values
    }

    fn media_types(&self, status: u16) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for side in [self.accepts, self.refuses] {
            let types = side.response(status).into_iter();
            for one in types.flat_map(|one| &one.media_types) {
                if !names.contains(&&*one.name) {
                    names.push(&one.name);
                }
            }
        }
        names
    }

    fn body_values(&self, status: u16, name: &str, values: Values<'_, 'a>) -> Vec<Json> {
        let schema = |side: &Side<'a>| -> Option<Schema<'a>> {
            let definition = &side.response(status)?.media_types.get(name)?.definition;
            let items = definition.get("itemSchema");
            let items = items.filter(|_| media::is_split(name));
            Some((
                &side.cone.schemas,
                items.or_else(|| definition.get("schema"))?,
            ))
        };
        values(schema(self.accepts), schema(self.refuses))
    }

    /// Leaves out the members of the body that the example does not need.
    fn shrunk(&self, found: Candidate) -> Candidate {
        let mut best = found;
        let mut removals = 0;
        let mut at = 0;
        while let Some((name, value)) = &best.value {
            let mut smaller = value.clone();
            removals += 1;
            if removals > REMOVALS_MAX || !remove_member(&mut smaller, &mut at.clone()) {
                break;
            }
            let smaller = best.with_body(&name.clone(), smaller);
            match self.is_example(&smaller.response) {
                true => best = smaller,
                false => at += 1,
            }
        }
        best
    }
}

/// Removes the member with the index `left`, counted depth first. Returns false, and the number of
/// members that are left to count in `left`, if the value has too few members.
fn remove_member(value: &mut Json, left: &mut usize) -> bool {
    match value {
        Json::Object(members) => {
            if *left < members.len() {
                let name = members.keys().nth(*left).cloned().unwrap_or_default();
                let kept = std::mem::take(members).into_iter();
                *members = kept.filter(|(key, _)| *key != name).collect::<Map<_, _>>();
                return true;
            }
            *left -= members.len();
            members.values_mut().any(|one| remove_member(one, left))
        }
        Json::Array(items) => items.iter_mut().any(|one| remove_member(one, left)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

impl Candidate {
    /// The same response with this value as its body. A media type that cannot express the value
    /// gives a response without a body.
    fn with_body(&self, name: &str, value: Json) -> Self {
        let mut one = self.clone();
        one.response.body = body_of(name, &value);
        one.value = Some((name.to_owned(), value));
        one
    }
}

impl ResponseExample {
    /// Adds a field with this value, in its described form.
    fn put(&mut self, field: &Header, value: &Json) {
        let (style, explode) = style_of(ParameterPlace::Header, &field.definition);
        let text = match field.definition.get("content") {
            Some(_) => value.to_string(),
            None => joined(value, style, explode),
        };
        self.headers.push((field.name.clone(), text));
    }
}

impl<'a> Side<'a> {
    /// Most specific description of responses with this status.
    fn response(&self, status: u16) -> Option<&'a bundle::ir::Response> {
        let all = self.cone.operation.responses.iter();
        let ranked = all.filter_map(|one| Some((Statuses::of(&one.status).rank(status)?, one)));
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, one)| one)
    }
}
