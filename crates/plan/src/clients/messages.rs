//! Parts of the messages of one operation: parameters, bodies, responses, media types and headers.

mod responses;

use std::collections::BTreeMap;

use bundle::ir::{self, ParameterPlace, Value};
use model::contract::joint::Joint;
use model::contract::outgoing::is_sent_by_api;
use serde_json::Value as Json;
use validator::containment::Doubt;

use super::encoding::{self, JsonFields};
use super::fields::{FieldPair, Fields};
use super::meaning;
use super::media_types::{is_xml, may_be_json, nearest};
use super::operations::OperationPair;
use super::outgoing_checks;
use super::path_parameters::{PathParameters, Slot, admits};
use super::schema::{Finding, Part, Role};
use super::schema_path::OuterObject;
use super::sent_credentials::{self, Effect};
use super::serialization;
use crate::change::Decision;
use crate::pairs::both;
use vocab::checks::{self, Level};

/// Differences between two versions of an operation outside schemas, and the pairs of schemas to
/// compare next.
#[derive(Default)]
pub(super) struct Parts {
    /// Differences: path in the message, name of the part in the source locations, and finding.
    pub(super) findings: Vec<(String, String, Finding)>,
    pub(super) schemas: Vec<Root>,
    /// Objects of which a part is a property, by the name of the part.
    pub(super) objects: BTreeMap<String, [Option<OuterObject>; 2]>,
}

/// Old and new schema of the same part of a message (parameter, body or header), to be compared.
pub(super) struct Root {
    /// Path in the message.
    pub(super) path: String,
    /// Name of the message's part, as in the source locations (such as `body application/json`).
    pub(super) part: String,
    pub(super) pair: (u32, u32),
    pub(super) role: Role,
    /// True for a parameter or header without `style`, `explode` and `content`.
    pub(super) is_plain: bool,
}

struct Messages<'j> {
    joint: &'j Joint,
    parts: Parts,
    /// True for a webhook or callback: the API sends the request, and clients answer the request.
    is_outgoing: bool,
    /// True if the messages have no bodies: the operations have only `HEAD` requests in common.
    is_head: bool,
    /// Name of the part that is being compared, as in the source locations (such as `body
    /// application/json`).
    part: String,
    /// True if the part is a parameter or header without `style`, `explode` and `content`.
    is_plain: bool,
}

/// Compares an old and a new operation that clients call. The result is empty if no request that is
/// valid under the old contract reaches the new operation.
pub(super) fn of_operation(
    joint: &Joint,
    (old, new): (&ir::ContractOperation, &ir::ContractOperation),
    pair: &OperationPair<'_>,
) -> Parts {
    let mut messages = Messages::new(joint, pair.is_head, false);
    let paths = PathParameters::new((&old.parameters, &new.parameters), pair.templates);
    if !paths.are_apart(joint) {
        messages.all((old, new), &paths);
    }
    messages.parts
}

/// Compares the old and the new version of a webhook or callback: a request that the API sends, or
/// that clients send to a callback inside such a request.
pub(super) fn of_outgoing(
    joint: &Joint,
    old: &ir::ContractOperation,
    new: &ir::ContractOperation,
) -> Parts {
    let mut messages = Messages::new(joint, false, is_sent_by_api(&new.key));
    let paths = PathParameters::new((&old.parameters, &new.parameters), None);
    messages.all((old, new), &paths);
    messages.parts
}

impl<'j> Messages<'j> {
    fn new(joint: &'j Joint, is_head: bool, is_outgoing: bool) -> Self {
        Self {
            joint,
            parts: Parts::default(),
            is_outgoing,
            is_head,
            part: String::new(),
            is_plain: false,
        }
    }

    fn all(
        &mut self,
        (old, new): (&ir::ContractOperation, &ir::ContractOperation),
        paths: &PathParameters,
    ) {
        if old.deprecated != new.deprecated {
            let id = ["endpoint-deprecated", "endpoint-reactivated"][usize::from(old.deprecated)];
            let values = (old.deprecated.into(), new.deprecated.into());
            self.push(id, "operation", "deprecated", values);
        }
        self.credentials(old.security.as_ref(), new.security.as_ref());
        self.path_parameters(paths);
        self.parameters(&old.parameters, &new.parameters);
        if !self.is_head {
            self.body(old.body.as_ref(), new.body.as_ref());
        }
        self.responses(&old.responses, &new.responses);
    }

    /// Compares the credentials in a request that the API sends.
    fn credentials(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let sides = if self.is_outgoing {
            (old, new)
        } else {
            (new, old)
        };
        let Some(effect) = sent_credentials::effect(sides) else {
            return;
        };
        let values = (self.json(old), self.json(new));
        self.push("outgoing-security-changed", "operation", "security", values);
        match (effect, self.parts.findings.last_mut()) {
            (Effect::OfRoot, Some((_, _, finding))) => finding.level = Level::Info,
            (Effect::Proved, _) => self.last_is_harmless(),
            (Effect::OfRoot | Effect::Break, _) => {}
        }
    }

    fn push(&mut self, id: &str, path: &str, keyword: &'static str, (old, new): (Json, Json)) {
        let check = checks::of(id).expect("the table has this id");
        let level = match self.is_outgoing {
            true => outgoing_checks::level(check),
            false => check.level,
        };
        let finding = Finding {
            id: check.id,
            level,
            at: String::new(),
            keyword,
            old,
            new,
            decision: None,
            witness: None,
        };
        let part = self.part.clone();
        self.parts.findings.push((path.to_owned(), part, finding));
    }

    /// Id of the check of a part that the new request lacks, or has only sometimes.
    fn lost<'i>(&self, id: &'i str, was_required: bool) -> &'i str {
        match self.is_outgoing {
            true => outgoing_checks::id(id, was_required),
            false => id,
        }
    }

    fn role(&self, part: Part) -> Role {
        let is_answer = part == Part::ResponseHeader;
        Role {
            is_response: is_answer != self.is_outgoing,
            part,
            is_inner: false,
            is_absent: false,
            is_opaque: false,
            is_text: part != Part::Body,
            is_xml: false,
            json_fields: JsonFields::None,
        }
    }

    /// Compares the path parameters of two operations.
    fn path_parameters(&mut self, paths: &PathParameters) {
        let PathParameters { was, is, slots, .. } = paths;
        let names = |all: &[ir::Parameter]| -> Vec<String> {
            all.iter().map(|one| one.name.clone()).collect()
        };
        let sorted = |all: &[ir::Parameter]| {
            let mut names = names(all);
            names.sort();
            names
        };
        let same_names = sorted(was) == sorted(is);
        // The path parameters have another order: a client that fills in parameters by position
        // requests another path.
        if paths.is_same && same_names && names(was) != names(is) {
            let values = (names(was).into(), names(is).into());
            self.push("path-parameters-reordered", "parameters path", "", values);
        }
        for slots in slots {
            let of = |side: usize, all: &[ir::Parameter]| match &slots[side] {
                Some(Slot::Parameter(at)) => all.get(*at).map(|one| (*at, one.clone())),
                Some(Slot::Literal(_)) | None => None,
            };
            let (old, new) = (of(0, was), of(1, is));
            let at = new.as_ref().or(old.as_ref()).map_or(0, |(at, _)| *at);
            self.part = format!("path #{at}");
            match (&old, &new, slots) {
                (Some((_, was)), Some((_, is)), _) => {
                    let path = format!("path {}", is.name);
                    if paths.is_same && was.name != is.name && !same_names {
                        let values = (was.name.clone().into(), is.name.clone().into());
                        self.push("path-parameter-renamed", &path, "name", values);
                    }
                    self.parameter(&path, was, is);
                }
                (None, Some((_, is)), [Some(Slot::Literal(text)), _]) => self.literal(text, is),
                (None, Some((_, is)), _) => {
                    let path = format!("path {}", is.name);
                    let new = self.joint.json(&self.joint.of_new(&is.definition));
                    self.push("new-request-path-parameter", &path, "", (Json::Null, new));
                }
                // Only requests whose path has this literal as the parameter's value reach the new
                // operation.
                (Some(_), None, [_, Some(Slot::Literal(_))]) | (None, None, _) => {}
                (Some((_, was)), None, _) => {
                    let path = format!("path {}", was.name);
                    let old = self.joint.json(&was.definition);
                    self.push("request-parameter-removed", &path, "", (old, Json::Null));
                }
            }
        }
    }

    /// Compares a literal of the old path with the new parameter at its position: clients send the
    /// literal as the value of the parameter.
    fn literal(&mut self, text: &str, is: &ir::Parameter) {
        let definition = self.joint.of_new(&is.definition);
        let (level, decision) = match admits(self.joint, &definition, text) {
            Some(true) => return,
            Some(false) => (Level::Error, Decision::Refuted),
            None if definition.get("schema").is_none() => return,
            None => (Level::Warn, Decision::Undecided(Doubt::Text)),
        };
        let path = format!("path {}", is.name);
        let values = (text.into(), self.joint.json(&definition));
        self.push("request-schema-narrowed", &path, "schema", values);
        if let Some((_, _, finding)) = self.parts.findings.last_mut() {
            finding.level = level;
            finding.decision = Some(decision);
            finding.witness = (decision == Decision::Refuted).then(|| text.into());
        }
    }

    /// Compares the parameters outside the path, by place and name.
    fn parameters(&mut self, old: &[ir::Parameter], new: &[ir::Parameter]) {
        let mut others: BTreeMap<_, (Option<&ir::Parameter>, Option<&ir::Parameter>)> =
            BTreeMap::new();
        // An operation has at most one `querystring`. Its name has no effect on requests.
        let key = |one: &ir::Parameter| match one.place {
            ParameterPlace::Querystring => (one.place, String::new()),
            place => (place, one.name.clone()),
        };
        let fields = Fields::of(self.joint, (old, new), self.is_outgoing);
        let is_other = |side, one: &ir::Parameter| {
            one.place != ParameterPlace::Path && !fields.splits(side, one)
        };
        for one in old.iter().filter(|one| is_other(0, one)) {
            others.entry(key(one)).or_default().0.get_or_insert(one);
        }
        for one in new.iter().filter(|one| is_other(1, one)) {
            others.entry(key(one)).or_default().1.get_or_insert(one);
        }
        self.query(old, new);
        for pair in others.into_values() {
            match pair {
                (Some(was), None) if !self.is_outgoing && is_respelled(was, new) => {
                    self.lost_parameter(was, "request-parameter-respelled");
                }
                _ => self.parameter_pair(pair),
            }
        }
        self.fields(fields);
    }

    /// Compares parameters by the fields that they describe.
    fn fields(&mut self, fields: Fields) {
        for FieldPair {
            sides,
            is_respelled,
            objects,
        } in &fields.pairs
        {
            let [old, new] = sides.each_ref().map(Option::as_ref);
            self.parameter_pair((old, new));
            let part = self.part.clone();
            let known = self.parts.objects.entry(part);
            known.or_insert_with(|| objects.clone());
            if let (Some(old), Some(new), true) = (old, new, is_respelled) {
                let path = self.part.clone();
                let new = self.joint.of_new(&new.definition);
                let values = (self.joint.json(&old.definition), self.joint.json(&new));
                self.push("request-serialization-changed", &path, "schema", values);
            }
        }
        for one in fields.restricted {
            let path = format!("{} {}", one.place.name(), one.name);
            self.part.clone_from(&path);
            let definition = match self.is_outgoing {
                true => one.definition,
                false => self.joint.of_new(&one.definition),
            };
            let schema = self.json(definition.get("schema"));
            let (id, values) = match self.is_outgoing {
                true => ("response-schema-widened", (schema, Json::Null)),
                false => ("request-schema-narrowed", (Json::Null, schema)),
            };
            self.push(id, &path, "schema", values);
            if let Some((_, _, finding)) = self.parts.findings.last_mut() {
                finding.decision = Some(Decision::Undecided(Doubt::NoExample));
            }
        }
    }

    /// Compares the old and the new version of a parameter outside the path.
    fn parameter_pair(&mut self, pair: (Option<&ir::Parameter>, Option<&ir::Parameter>)) {
        let Some(named) = pair.1.or(pair.0) else {
            return;
        };
        let path = format!("{} {}", named.place.name(), named.name);
        self.part.clone_from(&path);
        match pair {
            (Some(was), Some(is)) => self.parameter(&path, was, is),
            (None, Some(is)) => {
                let id = match is.required {
                    true => "new-required-request-parameter",
                    false => "new-optional-request-parameter",
                };
                let new = self.joint.json(&self.joint.of_new(&is.definition));
                self.push(id, &path, "", (Json::Null, new));
            }
            (Some(was), None) => {
                let id = self.lost("request-parameter-removed", was.required);
                self.lost_parameter(was, id);
            }
            (None, None) => {}
        }
    }

    /// Adds the difference `id` of a parameter that only the old version has.
    fn lost_parameter(&mut self, was: &ir::Parameter, id: &str) {
        let path = format!("{} {}", was.place.name(), was.name);
        self.part.clone_from(&path);
        let old = self.joint.json(&was.definition);
        self.push(id, &path, "", (old, Json::Null));
    }

    /// Compares how the parameters describe the query: one by one, or as a whole (`querystring`).
    fn query(&mut self, old: &[ir::Parameter], new: &[ir::Parameter]) {
        let has = |all: &[ir::Parameter], place| all.iter().any(|one| one.place == place);
        let of = |all: &[ir::Parameter]| {
            let places = [ParameterPlace::Query, ParameterPlace::Querystring];
            places.into_iter().find(|place| has(all, *place))
        };
        let (Some(was), Some(is)) = (of(old), of(new)) else {
            return;
        };
        if was == is {
            return;
        }
        let of_new = |one: &&ir::Parameter| one.place == is;
        let whole = new.iter().find(of_new).map_or("", |one| &*one.name);
        let path = format!("{} {whole}", is.name());
        self.part.clone_from(&path);
        let values = (was.name().into(), is.name().into());
        self.push("request-serialization-changed", &path, "in", values);
    }

    fn parameter(&mut self, path: &str, old: &ir::Parameter, new: &ir::Parameter) {
        if old.required != new.required {
            let id = match new.required {
                true => "request-parameter-became-required",
                false => "request-parameter-became-optional",
            };
            let values = (old.required.into(), new.required.into());
            self.push(self.lost(id, old.required), path, "required", values);
        }
        let flag = |one: &ir::Parameter| one.definition.get("deprecated").is_some();
        if flag(old) != flag(new) {
            let id = [
                "request-parameter-deprecated",
                "request-parameter-reactivated",
            ];
            let values = (flag(old).into(), flag(new).into());
            self.push(id[usize::from(flag(old))], path, "deprecated", values);
        }
        let is = |key, expected| new.definition.get(key) == Some(&expected);
        let one_by_one =
            !is("explode", Value::Bool(false)) && new.definition.get("style").is_none();
        let part = match new.place {
            ParameterPlace::Header => Part::HeaderParameter,
            ParameterPlace::Query | ParameterPlace::Cookie if one_by_one => Part::FormParameter,
            ParameterPlace::Path => Part::PathParameter,
            ParameterPlace::Query | ParameterPlace::Cookie | ParameterPlace::Querystring => {
                Part::Parameter
            }
        };
        self.field(path, (&old.definition, &new.definition), self.role(part));
    }

    /// Compares the values of a parameter or header.
    fn field(&mut self, path: &str, (old, new): (&Value, &Value), role: Role) {
        let new = &self.joint.of_new(new);
        self.keys(path, (old, new), role, &["schema", "content", "deprecated"]);
        let is_default = |side: &Value| {
            let mut keys = ["style", "explode", "collectionFormat", "content"].into_iter();
            keys.all(|key| side.get(key).is_none())
        };
        self.is_plain = is_default(old) && is_default(new);
        self.schemas(path, (old, new), role);
        let content = |value: &Value| -> Vec<(Box<str>, Value)> {
            let all = value.get("content").map(|all| self.joint.at(all).entries());
            all.unwrap_or_default().to_vec()
        };
        let (was, is) = (content(old), content(new));
        let same = was.len() == is.len() && was.iter().zip(&is).all(|(a, b)| a.0 == b.0);
        if !same {
            let values = (self.json(old.get("content")), self.json(new.get("content")));
            let id = format!("{}-serialization-changed", role.direction());
            self.push(&id, path, "content", values);
            return;
        }
        for ((name, old), (_, new)) in was.iter().zip(&is) {
            let (old, new) = (self.joint.at(old).clone(), self.joint.at(new).clone());
            let role = Role {
                is_text: !may_be_json(name),
                ..role
            };
            self.schemas(path, (&old, &new), role);
        }
    }

    /// Compares the keys of a parameter, header or media type that determine how values are
    /// serialised, except the keys in `without`.
    fn keys(&mut self, path: &str, (old, new): (&Value, &Value), role: Role, without: &[&str]) {
        const KEYS: [&str; 8] = [
            "style",
            "explode",
            "collectionFormat",
            "allowReserved",
            "allowEmptyValue",
            "encoding",
            "prefixEncoding",
            "itemEncoding",
        ];
        for key in KEYS.into_iter().filter(|key| !without.contains(key)) {
            let (was, is) = (old.get(key), new.get(key));
            let mut is_harmless = serialization::is_harmless(self.joint, key, (old, new), role);
            let same = match (was, is) {
                (None, None) => true,
                (was, is) if key == "encoding" => {
                    let (sent, received) = match role.is_response {
                        true => ((new, is), (old, was)),
                        false => ((old, was), (new, is)),
                    };
                    let found = encoding::is_break(self.joint, &self.part, sent, received);
                    is_harmless = found == Some(false);
                    found.is_none()
                }
                (Some(old), Some(new)) => self.joint.same(old, new),
                _ => false,
            };
            if !same {
                let values = (self.json(was), self.json(is));
                let id = format!("{}-serialization-changed", role.direction());
                self.push(&id, path, key, values);
                if is_harmless {
                    self.last_is_harmless();
                }
            }
        }
    }

    /// Lowers the last difference: it has a check, but no client breaks.
    fn last_is_harmless(&mut self) {
        if let Some((_, _, finding)) = self.parts.findings.last_mut() {
            finding.level = Level::Info;
            finding.decision = Some(Decision::Proved);
        }
    }

    /// Raises the last difference to a warning.
    fn last_may_break(&mut self) {
        if let Some((_, _, finding)) = self.parts.findings.last_mut() {
            finding.level = finding.level.max(Level::Warn);
        }
    }

    /// Media types of a body of one side, with their definitions.
    fn contents(&self, all: &ir::Set<ir::MediaType>, is_new: bool) -> Json {
        let all = all.iter().map(|one| {
            let definition = match is_new {
                true => self.joint.json(&self.joint.of_new(&one.definition)),
                false => self.joint.json(&one.definition),
            };
            (one.name.clone(), definition)
        });
        Json::Object(all.collect())
    }

    fn json(&self, value: Option<&Value>) -> Json {
        value.map_or(Json::Null, |value| self.joint.json(value))
    }

    /// Adds the pair of schemas of a parameter, header or media type.
    fn schemas(&mut self, path: &str, (old, new): (&Value, &Value), role: Role) {
        for key in ["schema", "itemSchema"] {
            match (old.get(key), new.get(key)) {
                (Some(Value::Node(was)), Some(Value::Node(is)))
                    if self.joint.rank(*was) != self.joint.rank(*is) =>
                {
                    self.parts.schemas.push(Root {
                        path: path.to_owned(),
                        part: self.part.clone(),
                        pair: (*was, *is),
                        role,
                        is_plain: self.is_plain,
                    });
                }
                (None, None) => {}
                (None, Some(schema)) | (Some(schema), None)
                    if role.part != Part::Body
                        && meaning::accepts_every_text(self.joint, schema) => {}
                (was, is) if was.is_none() != is.is_none() => {
                    let what = if was.is_none() { "added" } else { "removed" };
                    let body = format!("{}-body-media-type-schema-{what}", role.direction());
                    let effect = match (was.is_none(), role.is_response) {
                        (true, false) | (false, true) => "narrowed",
                        _ => "widened",
                    };
                    let other = format!("{}-schema-{effect}", role.direction());
                    let id = if role.part == Part::Body { body } else { other };
                    let values = (self.json(was), self.json(is));
                    self.push(&id, path, "schema", values);
                }
                _ => {}
            }
        }
    }

    fn body(&mut self, old: Option<&ir::Body>, new: Option<&ir::Body>) {
        self.part = "body".to_owned();
        let (old, new) = match (old, new) {
            (None, None) => return,
            (None, Some(new)) => {
                let id = match new.required {
                    true => "request-body-added-required",
                    false => "request-body-added-optional",
                };
                let new = self.contents(&new.media_types, true);
                return self.push(id, "body", "", (Json::Null, new));
            }
            (Some(old), None) => {
                let old = self.contents(&old.media_types, false);
                return self.push("request-body-removed", "body", "", (old, Json::Null));
            }
            (Some(old), Some(new)) => (old, new),
        };
        if old.required != new.required {
            let id = match new.required {
                true => "request-body-became-required",
                false => "request-body-became-optional",
            };
            let values = (old.required.into(), new.required.into());
            self.push(self.lost(id, old.required), "body", "required", values);
        }
        let role = self.role(Part::Body);
        for (name, was, is) in both(&old.media_types, &new.media_types) {
            self.media_type("body", name, (was, is), "request-body-media-type", role);
            match (was, is) {
                (None, Some(is)) => {
                    if let Some(was) = nearest(&old.media_types, name) {
                        self.described("body", name, (was, is), role);
                    }
                }
                (Some(was), None) => {
                    let is = nearest(&new.media_types, name);
                    if let Some(is) = is.filter(|_| !self.is_outgoing) {
                        self.still_described(name, (was, is), role);
                    }
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
    }

    /// Compares the descriptions of a media type. `start`: begin of the id if only one side has the
    /// type.
    fn media_type(
        &mut self,
        path: &str,
        name: &str,
        (old, new): (Option<&ir::MediaType>, Option<&ir::MediaType>),
        start: &str,
        role: Role,
    ) {
        self.part = format!("{path} {name}");
        let typed = format!("{path} {name}");
        match (old, new) {
            (None, None) => {}
            (None, Some(_)) => {
                let values = (Json::Null, name.into());
                self.push(&format!("{start}-added"), &typed, "", values);
            }
            (Some(_), None) => {
                let values = (name.into(), Json::Null);
                self.push(&format!("{start}-removed"), &typed, "", values);
            }
            (Some(old), Some(new)) => self.described(path, name, (old, new), role),
        }
    }

    /// Compares the descriptions of a request's media type that is gone, but that another type or
    /// range of the new side describes. The last difference is the one about the gone type: servers
    /// still accept the type itself.
    fn still_described(
        &mut self,
        name: &str,
        (old, new): (&ir::MediaType, &ir::MediaType),
        role: Role,
    ) {
        self.last_is_harmless();
        self.described("body", name, (old, new), role);
    }

    /// Compares two descriptions of messages of a media type. One of them can be another type or a
    /// range.
    fn described(
        &mut self,
        path: &str,
        name: &str,
        (old, new): (&ir::MediaType, &ir::MediaType),
        role: Role,
    ) {
        let role = Role {
            is_text: !may_be_json(name),
            is_xml: is_xml(name),
            ..role
        };
        let (old, new) = (&old.definition, &self.joint.of_new(&new.definition));
        let role = Role {
            json_fields: encoding::json_fields(self.joint, name, (old, new)),
            ..role
        };
        self.keys(&format!("{path} {name}"), (old, new), role, &[]);
        self.schemas(path, (old, new), role);
    }
}

/// True if gwd refuses the name of a parameter that is gone, because it is another spelling of a new
/// parameter's name. A deprecated parameter may go.
fn is_respelled(was: &ir::Parameter, new: &[ir::Parameter]) -> bool {
    let place = Some(was.place);
    if was.definition.get("deprecated").is_some() {
        return false;
    }
    // A member of a new object, such as `a[b]` of `a`, is not checked.
    let is_member = |one: &str| was.name.starts_with(one) && was.name.contains('[');
    let mut new = new
        .iter()
        .filter(|one| one.place == was.place && !is_member(&one.name));
    new.any(|one| validator::is_other_spelling(&was.name, &one.name, place))
}
