//! Validators of the body of a message, for requests and responses.

use bundle::ir::{self, Set, Value};
use policy::invalid::{Finding, Part};

use crate::compile::{Uncompilable, ValidatorBuilder};
use crate::form::{self, Encodings};
use crate::items::ItemSchema;
use crate::kinds::Kinds;
use crate::media::{Form, MediaType};
use crate::members::Members;
use crate::steps::Schema;
use crate::style::READINGS;
use crate::{json, multipart, words};

/// Validators of a message's body.
pub(crate) struct Body {
    pub(crate) required: bool,
    pub(crate) types: Vec<TypedBody>,
}

/// Validator of a body of one media type.
pub(crate) struct TypedBody {
    pub(crate) media_type: MediaType,
    pub(crate) form: Form,
    pub(crate) schema: Option<Schema>,
    /// Check of each item of a body that is a sequence. `None` for other bodies, and without an
    /// `itemSchema`.
    pub(crate) items: Option<ItemSchema>,
    pub(crate) kinds: Kinds,
    pub(crate) members: Members,
    encodings: Encodings,
}

/// Media type that describes a received body, and the body's multipart boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyKind {
    /// Index of the response in the operation's description. `None`: the body belongs to a request.
    pub(crate) response: Option<usize>,
    /// Index of the media type in the description of the message.
    pub(crate) index: usize,
    /// Boundary of a multipart body. `None` for other bodies.
    pub(crate) boundary: Option<Box<str>>,
}

impl Body {
    pub(crate) fn new<'a>(
        required: bool,
        media_types: &'a Set<ir::MediaType>,
        compiling: &mut ValidatorBuilder<'a>,
    ) -> Result<Self, Uncompilable> {
        let mut types = Vec::new();
        for one in media_types {
            let Some(media_type) = MediaType::parse(&one.name) else {
                continue;
            };
            for form in media_type.forms() {
                let media_type = media_type.clone();
                let typed = (media_type, *form);
                let typed = TypedBody::of_form(typed, &one.definition, compiling)?;
                // A string that a range describes is the content of a file, of any type.
                if !(typed.media_type.is_range() && typed.kinds.is_text()) {
                    types.push(typed);
                }
            }
        }
        Ok(Self { required, types })
    }

    /// Index of the only described media type. `None`: there are several, or none.
    pub(crate) fn only(&self) -> Option<usize> {
        let (first, rest) = self.types.split_first()?;
        let is_same = |one: &TypedBody| one.media_type == first.media_type;
        rest.iter().all(is_same).then_some(0)
    }

    /// Index of the described media type or range that matches a message's media type best. `None`:
    /// no described type matches.
    pub(crate) fn best(&self, given: &MediaType) -> Option<usize> {
        let types = self.types.iter().enumerate();
        let ranked = types.filter_map(|(index, one)| {
            let rank = one.media_type.rank(given)?;
            // A range has an entry for each form of bodies.
            Some((rank, one.form == given.form(), usize::MAX - index))
        });
        ranked.max().map(|(.., index)| usize::MAX - index)
    }

    /// Text for a finding: the media types that the description names.
    pub(crate) fn expected(&self) -> String {
        let types = self.types.iter();
        let mut types: Vec<&str> = types.map(|one| &*one.media_type.essence).collect();
        types.dedup();
        format!("must be one of {}", types.join(", "))
    }

    /// Checks a complete body against the schema of the media type that `kind` selects.
    pub(crate) fn check(&self, kind: &BodyKind, bytes: &[u8]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Some(one) = self.types.get(kind.index) else {
            return findings;
        };
        // An empty body of a form is a form without fields, so it counts as present.
        if bytes.is_empty() && self.required && one.form != Form::Urlencoded {
            return vec![of_body("must be present")];
        }
        // A response with a described media type always has a body.
        let is_absent = bytes.is_empty() && kind.response.is_none() && !self.required;
        let Some(schema) = one.schema.as_ref().filter(|_| !is_absent) else {
            return findings;
        };
        let part = Part::Body;
        match one.form {
            Form::Json => match json::read(bytes) {
                Ok(value) => words::check((schema, &one.members), &value, &part, &mut findings),
                Err(fault) => return vec![of_body(fault)],
            },
            Form::Text => {
                let Ok(text) = std::str::from_utf8(bytes) else {
                    return vec![of_body("is not UTF-8")];
                };
                // Refuse a byte order mark, because some servers remove it and others keep it.
                if kind.response.is_none() && text.starts_with('\u{feff}') {
                    return vec![of_body(
                        "begins with a byte order mark, which some servers remove",
                    )];
                }
                let values = READINGS.iter();
                let values = values.map(|reading| Some(one.kinds.scalar(text, reading.as_text)));
                words::check_readings((schema, &one.members), values, &part, &mut findings);
            }
            Form::Urlencoded => {
                let Ok(text) = std::str::from_utf8(bytes) else {
                    return vec![of_body("is not UTF-8")];
                };
                one.check_form(schema, text, &part, &mut findings);
            }
            Form::Multipart => {
                let boundary = kind.boundary.as_deref().unwrap_or_default();
                let parts = match multipart::read(bytes, boundary) {
                    Ok(parts) => parts,
                    Err(fault) => return vec![of_body(fault)],
                };
                if let Some(name) = form::mistyped(&parts, &one.encodings) {
                    return vec![words::finding(
                        part,
                        name,
                        "must have a media type that its `contentType` lists",
                    )];
                }
                if let Some(name) = form::byte_order_marked(&parts, &one.kinds) {
                    return vec![words::finding(
                        part,
                        name,
                        "begins with a byte order mark, which some servers remove",
                    )];
                }
                let hidden = form::other_spellings(&parts, &one.kinds);
                if !hidden.is_empty() {
                    return hidden;
                }
                let values = READINGS.iter();
                let values = values
                    .map(|reading| form::multipart(&parts, &one.kinds, &one.encodings, *reading));
                words::check_readings((schema, &one.members), values, &part, &mut findings);
            }
            Form::Other => {}
        }
        findings
    }
}

impl TypedBody {
    /// Compiles the description of a media type. `None` if `name` is not a media type.
    pub(crate) fn new<'a>(
        name: &str,
        definition: &'a Value,
        compiling: &mut ValidatorBuilder<'a>,
    ) -> Result<Option<Self>, Uncompilable> {
        let Some(media_type) = MediaType::parse(name) else {
            return Ok(None);
        };
        let form = media_type.form();
        Self::of_form((media_type, form), definition, compiling).map(Some)
    }

    /// Compiles the description of a media type or range, for bodies of this form.
    fn of_form<'a>(
        (media_type, form): (MediaType, Form),
        definition: &'a Value,
        compiling: &mut ValidatorBuilder<'a>,
    ) -> Result<Self, Uncompilable> {
        let items = ItemSchema::of(&media_type, definition, compiling)?;
        let is_whole = form != Form::Other && items.is_none();
        let schema = definition.get("schema").filter(|_| is_whole);
        Ok(Self {
            schema: schema
                .map(|schema| compiling.validator(schema))
                .transpose()?,
            kinds: schema
                .map(|schema| compiling.kinds(schema))
                .unwrap_or_default(),
            members: schema
                .map(|schema| compiling.members(schema))
                .unwrap_or_default(),
            encodings: Encodings::of(definition),
            items,
            media_type,
            form,
        })
    }

    /// Checks the text of an urlencoded form.
    pub(crate) fn check_form(
        &self,
        schema: &Schema,
        text: &str,
        part: &Part,
        findings: &mut Vec<Finding>,
    ) {
        let hidden = form::hidden(text, &self.kinds, part);
        if !hidden.is_empty() {
            return findings.extend(hidden);
        }
        let values = READINGS.iter();
        let values =
            values.map(|reading| form::urlencoded(text, &self.kinds, &self.encodings, *reading));
        words::check_readings((schema, &self.members), values, part, findings);
    }
}

pub(crate) fn of_body(detail: &str) -> Finding {
    words::finding(Part::Body, "", detail)
}

pub(crate) fn of_header(name: &str, detail: &str) -> Finding {
    words::finding(Part::Header(name.into()), "", detail)
}
