//! Comparison of the descriptions of messages that a gateway enforces (`validate: {request: block,
//! response: block}`). Finds requests and responses that only one side accepts.

use bundle::ir::{self, ContractOperation, Set};
use engine::edge::reaches_chain;
use policy::auth::Place;
use policy::invalid::Part;
use serde_json::Value;
use validator::compare::{self, Difference, Relation};
use validator::compare_responses;
use validator::example::{Example, Examples, NoExample};
use validator::example_response::{ResponseExample, ResponseReading};
use validator::{Cone, Credentials};

use super::Access;
use super::messages::{EffectiveUndeclared, blocks, blocks_responses, undeclared_of};
use crate::{Class, Section};
use model::contract::difference::Graphs;

/// Maximum number of steps of a search for an example.
const EXAMPLE_STEPS_MAX: usize = 1_000_000;
/// Maximum number of steps of the searches for all operations of an API together.
const EXAMPLES_STEPS_MAX: usize = 20_000_000;
/// Minimum number of steps for the search of each operation, even if the limit of
/// [`EXAMPLES_STEPS_MAX`] divided by the operations is smaller.
const EXAMPLE_STEPS_MIN: usize = 50_000;

/// Id of a line about a query parameter that the upstream newly receives.
pub(crate) const FORWARDED: &str = "parameter-forwarded";

/// Descriptions of messages that the two sides enforce, and the parts in which they differ.
#[derive(Debug)]
pub(crate) struct EnforcedDescriptions {
    sides: [Cone; 2],
    /// True if both sides refuse query parameters that they do not describe.
    refuses_undescribed: bool,
    /// Maximum number of steps of a search for an example.
    steps_max: u32,
    pub(crate) differences: Vec<Difference>,
    /// Query parameters that the gateway removed as undescribed, and that the new side describes.
    forwarded: Vec<Difference>,
    /// Differences between the sets of responses that the old side and the new side accept.
    responses: Vec<Difference>,
    /// True if a side refuses requests that do not match their description.
    pub(crate) checks_requests: bool,
    /// True on a side (0: old) if its gateway checks no body of a response as a whole.
    pub(crate) is_endless: [bool; 2],
}

/// Line of a plan about one part of the enforced description.
pub(crate) struct EnforcedLine {
    pub(crate) section: Section,
    pub(crate) class: Class,
    pub(crate) id: &'static str,
    pub(crate) subject: String,
    pub(crate) old: Value,
    pub(crate) new: Value,
}

/// Description of the requests that the gateway checks for an operation. `None` if the gateway
/// checks no requests of the operation.
pub(super) fn described(access: &Access<'_>) -> Option<Cone> {
    let route = access.route?;
    let messages = route.api.messages.as_ref()?;
    let operation = messages.operations.get(&route.operation.key)?;
    Some(Cone::of(operation, &messages.schemas))
}

/// Description without parts to check, for a side without a description.
pub(crate) fn nothing_described() -> Cone {
    let operation = ContractOperation {
        key: String::new(),
        deprecated: false,
        parameters: Vec::new(),
        body: None,
        responses: Vec::new(),
        security: None,
    };
    Cone::of(&operation, &[])
}

/// Compares the descriptions of two sides. There are three checks: of requests, of undeclared query
/// parameters and of responses. The descriptions are compared for a check only if both sides
/// enforce the check. The comparison of modes reports a check that only one side enforces. `None`
/// if no difference is found.
pub(crate) fn enforced(old: &Access<'_>, new: &Access<'_>) -> Option<EnforcedDescriptions> {
    let (was, is) = (old.route?, new.route?);
    let sides = [old, new];
    if was.api.messages.is_none() && is.api.messages.is_none() {
        return None;
    }
    let all = sides.iter().all(|side| blocks(side));
    let undeclared = sides.map(undeclared_of);
    let are_limited = undeclared.iter().all(EffectiveUndeclared::is_limited);
    let blocks_responses = sides.iter().all(|side| blocks_responses(side));
    if !all && !are_limited && !blocks_responses {
        return None;
    }
    let cones = sides.map(|side| described(side).unwrap_or_else(nothing_described));
    let [before, after] = &cones;
    let credentials =
        [was, is].map(|route| Credentials::of(&route.api.schemes, &route.treatment.security));
    let known = credentials.each_ref().map(Credentials::query);
    // The setting for undescribed parameters is compared separately, so assume the same setting on
    // both sides.
    let refuses_both = undeclared.iter().all(EffectiveUndeclared::refuses);
    let known_if_refused = known.map(|known| refuses_both.then_some(known));
    let mut differences = match all {
        true => compare::differences([before, after], known_if_refused),
        false => Vec::new(),
    };
    let mut forwarded = match are_limited {
        true => described_parameters([before, after], known, &undeclared),
        false => Vec::new(),
    };
    if !undeclared.iter().any(EffectiveUndeclared::removes) {
        // Neither side removes undescribed parameters, so both sides refuse them. They do so in any
        // mode of validation.
        let refused = std::mem::take(&mut forwarded);
        if !all {
            differences = refused;
        }
    }
    let responses = match blocks_responses {
        true => compare_responses::differences(before, after),
        false => Vec::new(),
    };
    // The gateway removes or sets these parameters, so it does not check the client's values.
    let is_replaced = |part: &Part| credentials.iter().any(|all| all.replaces(part));
    differences.retain(|one| {
        let hidden = matches!(&one.part, Part::Header(name) if !reaches_chain(name));
        !hidden && !is_replaced(&one.part)
    });
    let checks_requests = sides.iter().any(|side| blocks(side))
        || undeclared.iter().any(EffectiveUndeclared::refuses);
    let is_removed = |part: &Part| {
        let mut all = is.treatment.forwarding.not_forwarded.iter();
        all.any(
            |one| matches!((one, part), (Place::Query(one), Part::Query(name)) if **one == **name),
        )
    };
    forwarded.retain(|one| {
        let is_wider = one.relation != Relation::Narrower;
        is_wider && !is_replaced(&one.part) && !is_removed(&one.part)
    });
    let operations = [was, is].map(|route| route.api.operations.iter().count());
    let share = EXAMPLES_STEPS_MAX / operations[0].max(operations[1]).max(1);
    let steps_max = share.clamp(EXAMPLE_STEPS_MIN, EXAMPLE_STEPS_MAX);
    let differs = !differences.is_empty() || !forwarded.is_empty() || !responses.is_empty();
    differs.then_some(EnforcedDescriptions {
        steps_max: u32::try_from(steps_max).unwrap_or(u32::MAX),
        sides: cones,
        refuses_undescribed: refuses_both,
        differences,
        forwarded,
        responses,
        checks_requests,
        is_endless: [was, is].map(|route| route.treatment.forwarding.stream),
    })
}

/// Differences between the query parameters that the two sides describe, if both sides refuse or
/// remove other parameters. The comparison of the setting reports that only one side describes
/// every name.
fn described_parameters(
    cones: [&Cone; 2],
    known: [&[String]; 2],
    undeclared: &[EffectiveUndeclared; 2],
) -> Vec<Difference> {
    let mut found = compare::described_parameters(cones, known);
    match undeclared.each_ref().map(EffectiveUndeclared::is_open) {
        [false, true] => found.clear(),
        [true, false] => found.retain(|one| one.relation != Relation::Narrower),
        [true, true] | [false, false] => {}
    }
    found
}

/// Example request with an undescribed query parameter, if only one side refuses such parameters.
/// The flag is true if the new side accepts the request. `None` if no such request is found.
pub(crate) fn undescribed(old: &Access<'_>, new: &Access<'_>) -> Option<(Example, bool)> {
    let (was, is) = (undeclared_of(old).refuses(), undeclared_of(new).refuses());
    let (refusing, opens) = match (was, is) {
        (true, false) => (old, true),
        (false, true) => (new, false),
        (true, true) | (false, false) => return None,
    };
    let example = validator::example::undescribed(&described(refusing)?)?;
    Some((example, opens))
}

impl EnforcedDescriptions {
    /// Lines of the plan about changed descriptions, each with the difference that it describes.
    pub(crate) fn lines(&self) -> Vec<(EnforcedLine, &Difference)> {
        let contract = |cone: &Cone| ir::Contract {
            name: String::new(),
            operations: Set::new(vec![cone.operation.clone()]).unwrap_or_default(),
            outgoing: Set::default(),
            schemas: cone.schemas.clone(),
            names_only: false,
        };
        let contracts = self.sides.each_ref().map(contract);
        let graphs = Graphs::new(&contracts[0], &contracts[1]);
        let lines = self.differences.iter().chain(&self.responses);
        let lines = lines.map(|one| (self.line(one, &graphs), one));
        let forwarded = self.forwarded.iter().map(|one| {
            let line = EnforcedLine {
                section: Section::Security,
                class: Class::Weaken,
                id: FORWARDED,
                ..self.line(one, &graphs)
            };
            (line, one)
        });
        lines.chain(forwarded).collect()
    }

    fn line(&self, difference: &Difference, graphs: &Graphs) -> EnforcedLine {
        let definition = self
            .sides
            .each_ref()
            .map(|cone| describe_part(cone, difference));
        let [was, is] = &definition;
        let texts = graphs.texts(
            was.as_ref().map(|(_, definition)| definition),
            is.as_ref().map(|(_, definition)| definition),
        );
        let shown = |side: &Option<(bool, ir::Value)>, text: Option<String>| match side {
            None => Value::Null,
            Some((required, _)) => {
                let need = if *required { "required" } else { "optional" };
                match text {
                    Some(text) => format!("{need}, {text}").into(),
                    None => need.into(),
                }
            }
        };
        let (old, new) = (shown(was, texts.0), shown(is, texts.1));
        let is_response = difference.status.is_some();
        let of = |request: &'static str, response: &'static str| match is_response {
            true => response,
            false => request,
        };
        let (section, class, id) = match difference.relation {
            Relation::Wider if difference.accepts_every_body => (
                Section::Security,
                Class::Weaken,
                of("request-body-unchecked", "response-unchecked"),
            ),
            Relation::Wider => (
                Section::Breaking,
                Class::Relax,
                of("request-check-widened", "response-check-widened"),
            ),
            Relation::Narrower => (
                Section::Breaking,
                Class::Tighten,
                of("request-check-narrowed", "response-check-narrowed"),
            ),
            Relation::Unknown => (
                Section::Breaking,
                Class::Incomparable,
                of("request-check-changed", "response-check-changed"),
            ),
        };
        EnforcedLine {
            section,
            class,
            id,
            subject: subject(difference),
            old,
            new,
        }
    }

    /// Search for examples of the differences.
    pub(crate) fn examples(&self) -> Examples<'_> {
        let sides = self.sides.each_ref();
        Examples::new(sides, self.refuses_undescribed, self.steps_max)
    }
}

/// Example request that only one side accepts. The flag is true if the new side accepts the
/// request.
///
/// # Errors
/// Returns an error if no such request was found.
pub(crate) fn example(
    examples: &Examples<'_>,
    difference: &Difference,
) -> Result<(Example, bool), NoExample> {
    let is_new = opens(difference);
    let found = examples.find(usize::from(is_new), difference)?;
    Ok((found, is_new))
}

/// Example response that only one side accepts. The flag is true if the new side accepts the
/// response.
///
/// # Errors
/// Returns an error if no such response was found.
pub(crate) fn example_response(
    examples: &Examples<'_>,
    difference: &Difference,
    reading: ResponseReading,
) -> Result<(ResponseExample, bool), NoExample> {
    let is_new = opens(difference);
    let found = examples.find_response(usize::from(is_new), difference, reading)?;
    Ok((found, is_new))
}

/// True if the example of a difference is a message that the new side accepts.
fn opens(difference: &Difference) -> bool {
    match difference.relation {
        Relation::Narrower => false,
        Relation::Wider | Relation::Unknown => true,
    }
}

/// Name of the part as plans show it: `parameter query limit`, `body application/json`, `response
/// 200 body application/json`.
fn subject(difference: &Difference) -> String {
    let Some(status) = &difference.status else {
        return request_part(difference);
    };
    match &difference.part {
        Part::Header(name) => format!("response {status} header {name}"),
        Part::Body => format!("response {status} {}", request_part(difference)),
        _ => format!("response {status}"),
    }
}

/// Name of a part of a request.
fn request_part(difference: &Difference) -> String {
    let name = match &difference.part {
        Part::Path(name) => format!("path {name}"),
        Part::Query(name) => format!("query {name}"),
        Part::Header(name) => format!("header {}", name.to_ascii_lowercase()),
        Part::Cookie(name) => format!("cookie {name}"),
        Part::Body => {
            let media_type = difference.media_type.as_deref();
            return media_type.map_or_else(|| "body".to_owned(), |name| format!("body {name}"));
        }
        Part::Status => return "status".to_owned(),
    };
    format!("parameter {name}")
}

/// Description of a part, and true if the part is required. `None` if the part is not described.
fn describe_part(cone: &Cone, difference: &Difference) -> Option<(bool, ir::Value)> {
    use ir::ParameterPlace as Place;
    if let Some(status) = &difference.status {
        return describe_response(cone, status, difference);
    }
    let (place, name) = match &difference.part {
        Part::Path(name) => (Place::Path, name),
        Part::Query(name) => (Place::Query, name),
        Part::Header(name) => (Place::Header, name),
        Part::Cookie(name) => (Place::Cookie, name),
        Part::Body => {
            let body = cone.operation.body.as_ref()?;
            let definition = match &difference.media_type {
                Some(name) => body.media_types.get(name)?.definition.clone(),
                None => ir::Value::Map(
                    body.media_types
                        .iter()
                        .map(|one| (one.name.as_str().into(), one.definition.clone()))
                        .collect(),
                ),
            };
            return Some((body.required, definition));
        }
        Part::Status => return None,
    };
    // A parameter of the whole query is shown as a query parameter.
    let is_there = |one: &&ir::Parameter| match one.place {
        Place::Querystring => place == Place::Query,
        other => other == place,
    };
    let mut all = cone.operation.parameters.iter().filter(is_there);
    let found = match place {
        // If no path parameter of this side has the name, use its first path parameter.
        Place::Path => {
            let named = all.clone().find(|one| *one.name == **name);
            named.or_else(|| all.next())
        }
        _ => all.find(|one| one.name.eq_ignore_ascii_case(name)),
    };
    found.map(|one| (one.required, one.definition.clone()))
}

/// Description of a part of a response, and true if the part is required. `None` if the part is not
/// described.
fn describe_response(
    cone: &Cone,
    status: &str,
    difference: &Difference,
) -> Option<(bool, ir::Value)> {
    let mut all = cone.operation.responses.iter();
    let response = all.find(|one| one.status == status)?;
    let types = || {
        let types = response.media_types.iter();
        let types = types.map(|one| (one.name.as_str().into(), one.definition.clone()));
        ir::Value::Map(types.collect())
    };
    match (&difference.part, &difference.media_type) {
        (Part::Header(name), _) => {
            let field = response.headers.get(name)?;
            Some((field.required, field.definition.clone()))
        }
        (Part::Body, Some(name)) => {
            let media_type = response.media_types.get(name)?;
            Some((true, media_type.definition.clone()))
        }
        _ => Some((true, types())),
    }
}
