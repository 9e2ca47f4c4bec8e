//! Check of the parameters of a request: path, query, header fields and cookies.

pub(crate) mod field_names;
pub(crate) mod whole_query;

use std::borrow::Cow;
use std::ops::Range;

use bundle::ir::{self, ParameterPlace, Value};
use http::HeaderMap;
use http::header::COOKIE;
use policy::invalid::{Finding, Part};
use serde_json::Value as Json;

use crate::compile::{Uncompilable, ValidatorBuilder};
use crate::cone::Cone;
use crate::kinds::Kinds;
use crate::media::{Form, MediaType};
use crate::members::Members;
use crate::names::{Name, has_dotted_member};
use crate::steps::Schema;
use crate::style::{self, Interpretation, READINGS, Structure, Style};
use crate::text::{decode, fields};
use crate::{json, words};
use whole_query::WholeQuery;

/// Parameter of an operation, with its validator.
pub(crate) struct Parameter {
    pub(crate) place: ParameterPlace,
    pub(crate) name: Box<str>,
    required: bool,
    allows_empty: bool,
    pub(crate) style: Style,
    explode: bool,
    /// Media type format of the value, for a parameter with `content`. `None` for a parameter with
    /// `schema`.
    content: Option<Form>,
    pub(crate) kinds: Kinds,
    members: Members,
    schema: Option<Schema>,
    /// Validator of the whole query. `None` for other parameters, and if the query has a media type
    /// that is not checked.
    whole: Option<WholeQuery>,
}

/// Parts of a request's head that contain parameters.
#[derive(Clone, Copy, Debug)]
pub struct Head<'h> {
    /// Path without the query.
    pub path: &'h str,
    /// Path parameters as byte ranges of the path.
    pub bound: &'h [(&'h str, Range<usize>)],
    /// Query without `?`. `None`: the request has no query.
    pub query: Option<&'h str>,
    /// Header fields.
    pub headers: &'h HeaderMap,
}

/// Field of a query or cookie, with its decoded name.
struct Field<'h> {
    name: Cow<'h, str>,
    value: &'h str,
}

/// Finding about an absent parameter.
pub(crate) const REQUIRED: &str = "is required";

/// Names of header parameters that OpenAPI ignores (3.1 §4.8.12.1).
const IGNORED_HEADERS: [&str; 3] = ["accept", "content-type", "authorization"];

/// Finds a parameter that describes every name of a query: the whole query, or an exploded object
/// that allows additional properties.
#[must_use]
pub fn describes_every_name(cone: &Cone) -> Option<&str> {
    let is_whole = |one: &&ir::Parameter| one.place == ParameterPlace::Querystring;
    if let Some(whole) = cone.operation.parameters.iter().find(is_whole) {
        return Some(&whole.name);
    }
    let mut all = cone.operation.parameters.iter();
    let open = all.find(|one| {
        let own = (one.place, &one.definition);
        let kinds = spread_kinds(&cone.schemas, own).filter(|kinds| !kinds.is_closed);
        one.place == ParameterPlace::Query && kinds.is_some()
    });
    open.map(|one| one.name.as_str())
}

/// Names of the query fields or cookies of a parameter that is an exploded object: those of its
/// properties. `None` for other parameters. `nodes`: schemas to which the definition refers.
#[must_use]
pub fn member_names(nodes: &[Value], parameter: (ParameterPlace, &Value)) -> Option<Vec<String>> {
    let kinds = spread_kinds(nodes, parameter)?;
    let names = kinds.properties.iter().map(|(name, _)| name.to_string());
    Some(names.collect())
}

/// Types of a query parameter or cookie that is an exploded object. `None` for other parameters.
fn spread_kinds(nodes: &[Value], (place, definition): (ParameterPlace, &Value)) -> Option<Kinds> {
    let is_field = matches!(place, ParameterPlace::Query | ParameterPlace::Cookie);
    let is_schema = is_field && definition.get("content").is_none();
    let schema = definition.get("schema").filter(|_| is_schema)?;
    let (style, explode) = style_of(place, definition);
    let kinds = Kinds::of(nodes, schema);
    is_spread(style, explode, &kinds).then_some(kinds)
}

/// Values of `style` and `explode` of a parameter, or their defaults.
pub(crate) fn written_style(written: &ir::Parameter) -> (Style, bool) {
    style_of(written.place, &written.definition)
}

/// `style` and `explode` in the definition of a parameter or response field, or their defaults.
pub(crate) fn style_of(place: ParameterPlace, definition: &Value) -> (Style, bool) {
    let text = match definition.get("style") {
        Some(Value::Text(text)) => Some(&**text),
        _ => None,
    };
    let style = Style::of(text, place);
    let explode = match definition.get("explode") {
        Some(Value::Bool(flag)) => *flag,
        _ => style.explodes(),
    };
    (style, explode)
}

/// True if a parameter with these types is an object whose members are separate query fields.
pub(crate) fn is_spread(style: Style, explode: bool, kinds: &Kinds) -> bool {
    let is_object = kinds.has_objects() && !kinds.has_scalars() && !kinds.has_arrays();
    style == Style::Form && explode && is_object
}

/// True if gwd does not check parameters at this location with this name.
pub(crate) fn is_ignored(place: ParameterPlace, name: &str) -> bool {
    match place {
        ParameterPlace::Header => IGNORED_HEADERS
            .iter()
            .any(|one| one.eq_ignore_ascii_case(name)),
        ParameterPlace::Path
        | ParameterPlace::Query
        | ParameterPlace::Cookie
        | ParameterPlace::Querystring => false,
    }
}

/// Part of a request that a parameter describes.
pub(crate) fn part_of(place: ParameterPlace, name: &str) -> Part {
    let name = name.into();
    match place {
        ParameterPlace::Path => Part::Path(name),
        ParameterPlace::Header => Part::Header(name),
        ParameterPlace::Cookie => Part::Cookie(name),
        ParameterPlace::Query | ParameterPlace::Querystring => Part::Query(name),
    }
}

/// Media type format and schema of a parameter: those of `content`, otherwise no format and
/// `schema`.
fn content_of(definition: &Value) -> (Option<Form>, Option<&Value>) {
    let content = definition.get("content").map(Value::entries);
    match content.and_then(|all| all.first()) {
        Some((name, media)) => {
            let form = MediaType::parse(name).map_or(Form::Other, |one| one.form());
            (Some(form), media.get("schema"))
        }
        None => (None, definition.get("schema")),
    }
}

impl Parameter {
    /// Compiles a parameter of a contract. `None` if OpenAPI ignores the parameter.
    pub(crate) fn new<'a>(
        written: &'a ir::Parameter,
        compiling: &mut ValidatorBuilder<'a>,
    ) -> Result<Option<Self>, Uncompilable> {
        let described = (written.name.as_str(), written.required, &written.definition);
        Self::described(written.place, described, compiling)
    }

    /// Compiles a parameter, or a header field of a response, from its name, `required` and its
    /// other keys. `None` if OpenAPI ignores it.
    pub(crate) fn described<'a>(
        place: ParameterPlace,
        (name, required, definition): (&'a str, bool, &'a Value),
        compiling: &mut ValidatorBuilder<'a>,
    ) -> Result<Option<Self>, Uncompilable> {
        if is_ignored(place, name) {
            return Ok(None);
        }
        if place == ParameterPlace::Querystring {
            return Ok(Some(Self {
                whole: WholeQuery::new(definition, compiling)?,
                ..Self::unchecked(place, (name, required, definition), |_| Kinds::default())
            }));
        }
        let (_, schema) = content_of(definition);
        Ok(Some(Self {
            members: schema
                .map(|schema| compiling.members(schema))
                .unwrap_or_default(),
            schema: schema
                .map(|schema| compiling.validator(schema))
                .transpose()?,
            ..Self::unchecked(place, (name, required, definition), |schema| {
                compiling.kinds(schema)
            })
        }))
    }

    /// Parameter without a validator of its value, to compare names. `kinds` returns the types of a
    /// schema.
    pub(crate) fn unchecked<'a>(
        place: ParameterPlace,
        (name, required, definition): (&str, bool, &'a Value),
        kinds: impl FnOnce(&'a Value) -> Kinds,
    ) -> Self {
        let flag = |key: &str| match definition.get(key) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        };
        let (style, explode) = style_of(place, definition);
        let (content, schema) = content_of(definition);
        Self {
            place,
            name: name.into(),
            required,
            allows_empty: flag("allowEmptyValue") == Some(true),
            style,
            explode,
            content,
            kinds: schema.map(kinds).unwrap_or_default(),
            members: Members::default(),
            schema: None,
            whole: None,
        }
    }

    fn part(&self) -> Part {
        part_of(self.place, &self.name)
    }

    /// True if the parameter is an object whose members are separate query fields.
    pub(crate) fn spreads(&self) -> bool {
        self.content.is_none() && is_spread(self.style, self.explode, &self.kinds)
    }

    /// True if a field of the query belongs to the parameter.
    pub(crate) fn owns(&self, name: &str) -> bool {
        match () {
            () if self.style == Style::DeepObject => {
                self.is_plain(name) || style::brackets(name, &self.name).is_some()
            }
            () if self.spreads() => {
                let mut named = self.kinds.properties.iter();
                named.any(|(known, _)| **known == *name)
            }
            () => *name == *self.name || self.is_list(name),
        }
    }

    /// True if a field with this name is a scalar value of the parameter. `deepObject` does not
    /// describe scalars, but clients write them without brackets if the schema allows them.
    fn is_plain(&self, name: &str) -> bool {
        self.kinds.has_scalars() && *name == *self.name
    }

    /// True if a field with this name is an item of the parameter's array. Some clients write
    /// arrays as `a[]=1&a[]=2`.
    pub(crate) fn is_list(&self, name: &str) -> bool {
        let bare = name.strip_suffix("[]");
        self.style == Style::Form && self.kinds.has_arrays() && bare == Some(&*self.name)
    }

    /// Names that the parameter describes: its own name, or those of its members if they are
    /// separate fields.
    pub(crate) fn names(&self) -> Vec<Name<'_>> {
        match self.spreads() {
            true => {
                let properties = self.kinds.properties.iter();
                properties
                    .map(|(name, kinds)| Name::of(name, kinds))
                    .collect()
            }
            false => vec![Name::of(&self.name, &self.kinds)],
        }
    }

    /// True if a query field belongs to the parameter, and no server reads the field's name as
    /// another member.
    pub(crate) fn owns_exactly(&self, name: &str) -> bool {
        let is_deep = self.style == Style::DeepObject;
        let names = style::brackets(name, &self.name).filter(|_| is_deep);
        self.owns(name) && names.is_none_or(|names| !has_dotted_member(&names, &self.kinds))
    }

    /// True if a field with this name is described. Unlike [`Self::owns`], members of a closed
    /// `deepObject` count only if its schema has them.
    pub(crate) fn describes(&self, name: &str) -> bool {
        if self.style != Style::DeepObject {
            return self.owns(name) && !self.is_list(name);
        }
        if self.is_plain(name) {
            return true;
        }
        let Some(names) = style::brackets(name, &self.name) else {
            return false;
        };
        let mut kinds = &self.kinds;
        for name in names {
            // `a[b][]` is an item of an array.
            if name.is_empty() && kinds.has_arrays() {
                kinds = kinds.item();
                continue;
            }
            let mut known = kinds.properties.iter();
            if kinds.is_closed && !known.any(|(known, _)| **known == *name) {
                return false;
            }
            kinds = kinds.property(name);
        }
        true
    }

    /// Checks the complete value of the parameter, given as one text.
    fn check_text(&self, text: &str, findings: &mut Vec<Finding>) {
        if let Some(form) = self.content {
            return self.check_content(text, form, findings);
        }
        let style = (self.style, self.explode);
        self.check(findings, |structure, reading| {
            let kinds = (structure, &self.kinds);
            style::whole(text, style, &self.name, kinds, reading)
        });
    }

    fn check_content(&self, text: &str, form: Form, findings: &mut Vec<Finding>) {
        let text = match self.place {
            ParameterPlace::Header => Cow::Borrowed(text),
            _ => decode(text, self.place == ParameterPlace::Query),
        };
        let value = match form {
            Form::Json => match json::read(text.as_bytes()) {
                Ok(value) => value,
                Err(fault) => return findings.push(words::finding(self.part(), "", fault)),
            },
            Form::Text => Json::String(text.into_owned()),
            Form::Urlencoded | Form::Multipart | Form::Other => return,
        };
        if let Some(schema) = &self.schema {
            words::check((schema, &self.members), &value, &self.part(), findings);
        }
    }

    /// Checks a value in all its possible interpretations. `value` converts the value in one
    /// interpretation.
    fn check(
        &self,
        findings: &mut Vec<Finding>,
        value: impl Fn(Structure, Interpretation) -> Option<Json>,
    ) {
        let Some(schema) = &self.schema else { return };
        let structures = Structure::of(&self.kinds);
        let readings = structures.flat_map(|structure| {
            READINGS
                .into_iter()
                .map(move |reading| (structure, reading))
        });
        let values = readings.map(|(structure, reading)| value(structure, reading));
        words::check_readings((schema, &self.members), values, &self.part(), findings);
    }

    /// Checks a scalar value of a parameter in the style `deepObject`.
    fn check_scalar(&self, values: &[&str], findings: &mut Vec<Finding>) {
        self.check(findings, |structure, reading| match (structure, values) {
            (Structure::Scalar, [value]) => {
                let kinds = (structure, &self.kinds);
                style::whole(value, (Style::Form, true), &self.name, kinds, reading)
            }
            _ => None,
        });
    }

    /// Checks the query fields or the cookies that belong to the parameter.
    fn check_fields(&self, all: &[Field<'_>], findings: &mut Vec<Finding>) {
        let own = || all.iter().filter(|field| self.owns(&field.name));
        if own().count() == 0 {
            // If the parameter is an object that allows additional properties, fields with any name
            // may be its members, so it may be present.
            let is_hidden = self.spreads() && !self.kinds.is_closed && !all.is_empty();
            if self.required && !is_hidden {
                findings.push(words::finding(self.part(), "", REQUIRED));
            }
            return;
        }
        if self.allows_empty && own().all(|field| field.value.is_empty()) {
            return;
        }
        if let Some(form) = self.content {
            let mut values = own();
            return match (values.next(), values.next()) {
                (Some(field), None) => self.check_content(field.value, form, findings),
                _ => findings.push(words::finding(self.part(), "", "must be present once")),
            };
        }
        if self.style == Style::DeepObject && own().any(|field| self.is_plain(&field.name)) {
            let values: Vec<&str> = own().map(|field| field.value).collect();
            return self.check_scalar(&values, findings);
        }
        if self.style == Style::DeepObject {
            return self.check(findings, |structure, reading| {
                let members: Option<Vec<_>> = own()
                    .map(|field| {
                        let names = style::brackets(&field.name, &self.name)?;
                        Some((names, decode(field.value, reading.plus_is_space)))
                    })
                    .collect();
                match structure {
                    Structure::Object => style::deep(&members?, &self.kinds, reading),
                    Structure::Scalar | Structure::Array => None,
                }
            });
        }
        if self.spreads() {
            return self.check(findings, |_, reading| {
                let members = own().map(|field| {
                    let value = decode(field.value, reading.plus_is_space);
                    (field.name.to_string(), value.into_owned())
                });
                style::object(members.collect(), &self.kinds, reading)
            });
        }
        self.check(findings, |structure, reading| {
            let mut values = own().map(|field| field.value);
            let decoded = |text: &str| decode(text, reading.plus_is_space).into_owned();
            match structure {
                Structure::Array if self.explode => {
                    Some(style::array(values.map(decoded), &self.kinds, reading))
                }
                _ => match (values.next(), values.next()) {
                    (Some(value), None) => {
                        let kinds = (structure, &self.kinds);
                        style::whole(
                            value,
                            (self.style, self.explode),
                            &self.name,
                            kinds,
                            reading,
                        )
                    }
                    // Servers differ in which of several values they use, so no value can be
                    // checked.
                    _ => None,
                },
            }
        });
    }
}

/// Checks the values of the parameters of a request. [`field_names::check`] checks the names.
pub(crate) fn check(parameters: &[Parameter], head: &Head<'_>, findings: &mut Vec<Finding>) {
    let mut query: Option<Vec<Field<'_>>> = None;
    let mut cookies: Option<Vec<Field<'_>>> = None;
    for parameter in parameters {
        if findings.len() >= words::FINDINGS_MAX {
            return;
        }
        match parameter.place {
            ParameterPlace::Path => {
                let mut bound = head.bound.iter();
                let bound = bound.find(|(name, _)| **name == *parameter.name);
                let text = bound.and_then(|(_, range)| head.path.get(range.clone()));
                let Some(text) = text else { continue };
                match parameter.style {
                    // The path template contains the prefix of the value (`.` or `;name=`), so add
                    // the prefix again.
                    Style::Label => parameter.check_text(&format!(".{text}"), findings),
                    Style::Matrix => {
                        let text = format!(";{}={text}", parameter.name);
                        parameter.check_text(&text, findings);
                    }
                    _ => parameter.check_text(text, findings),
                }
            }
            ParameterPlace::Query => {
                let fields = query.get_or_insert_with(|| query_fields(head.query));
                parameter.check_fields(fields, findings);
            }
            ParameterPlace::Cookie => {
                let fields = cookies.get_or_insert_with(|| cookie_fields(head.headers));
                parameter.check_fields(fields, findings);
            }
            ParameterPlace::Header => {
                let lines = head.headers.get_all(&*parameter.name).iter();
                let lines: Option<Vec<&str>> = lines.map(|line| line.to_str().ok()).collect();
                match lines.as_deref() {
                    Some([]) if parameter.required => {
                        findings.push(words::finding(parameter.part(), "", REQUIRED));
                    }
                    Some([]) => {}
                    Some([line]) => parameter.check_header(line, findings),
                    // Several lines of a field form one list (RFC 9110 §5.3).
                    Some(lines) => parameter.check_header(&lines.join(","), findings),
                    None => findings.push(words::finding(
                        parameter.part(),
                        "",
                        "must be visible ASCII",
                    )),
                }
            }
            ParameterPlace::Querystring => {
                // Servers do not distinguish an empty query from an absent one.
                match (head.query.filter(|text| !text.is_empty()), &parameter.whole) {
                    (Some(text), Some(whole)) => whole.check(text, &parameter.part(), findings),
                    (None, _) if parameter.required => {
                        findings.push(words::finding(parameter.part(), "", REQUIRED));
                    }
                    (Some(_), None) | (None, _) => {}
                }
            }
        }
    }
}

impl Parameter {
    fn check_header(&self, text: &str, findings: &mut Vec<Finding>) {
        if let Some(form) = self.content {
            return self.check_content(text, form, findings);
        }
        let parts = || text.split(',').map(str::trim);
        self.check(findings, |structure, reading| match structure {
            Structure::Scalar => Some(self.kinds.scalar(text.trim(), reading.as_text)),
            Structure::Array => {
                let parts = parts().filter(|part| !part.is_empty());
                Some(style::array(parts.map(str::to_owned), &self.kinds, reading))
            }
            Structure::Object if self.explode => {
                let members = parts().map(|part| {
                    let (name, value) = part.split_once('=')?;
                    Some((name.to_owned(), value.to_owned()))
                });
                let members: Option<Vec<_>> = members.collect();
                style::object(members?, &self.kinds, reading)
            }
            Structure::Object => {
                let all: Vec<&str> = parts().collect();
                if !all.len().is_multiple_of(2) {
                    return None;
                }
                let members = all
                    .chunks_exact(2)
                    .map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
                style::object(members.collect(), &self.kinds, reading)
            }
        });
    }
}

fn query_fields(query: Option<&str>) -> Vec<Field<'_>> {
    let all = fields(query.unwrap_or_default());
    all.map(|(name, value)| Field {
        name: decode(name, true),
        value,
    })
    .collect()
}

/// Replacement for a cookie value that is not UTF-8.
const NOT_TEXT: &str = "\u{fffd}";

/// Raw cookie pairs (`name=value`) of all `Cookie` fields of a request.
fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
}

/// Cookies in all `Cookie` fields of a request (RFC 6265 §4.2.1).
fn cookie_fields(headers: &HeaderMap) -> Vec<Field<'_>> {
    cookie_pairs(headers)
        .filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            // Remove ASCII white space around names, as servers do. Some servers also remove the
            // byte 0xA0. It is not UTF-8, so the name becomes one that no schema describes.
            let name = String::from_utf8_lossy(pair[..at].trim_ascii());
            let value = std::str::from_utf8(&pair[at + 1..]);
            Some(Field {
                name,
                value: value.map_or(NOT_TEXT, |value| value.trim().trim_matches('"')),
            })
        })
        .collect()
}
