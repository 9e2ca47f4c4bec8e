//! Compiled validators of one operation's messages.
//!
//! This module checks requests. [`crate::responses`] checks responses.

use std::fmt;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use policy::Reject;
use policy::invalid::{Finding, MEDIA_TYPE, Part, REQUEST};

use crate::body::{Body, BodyKind, of_body, of_header};
use crate::compile::{Uncompilable, ValidatorBuilder};
use crate::cone::Cone;
use crate::lower::{Direction, NotEnforced};
use crate::media::{Form, MediaType};
use crate::parameters::{self, Head, Parameter, field_names};
use crate::response::Response;
use crate::words;

/// Maximum length of a client's parameter name in a finding, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Compiled validators of an operation's messages.
pub struct Operation {
    parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    pub(crate) responses: Vec<Response>,
    bytes: u64,
    not_enforced: Vec<NotEnforced>,
}

/// Action for the body of a message, known after its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyUse {
    /// The body is not read.
    Pass,
    /// The whole body is read and checked by [`Operation::body`].
    Read(BodyKind),
    /// The body is a sequence. [`Operation::splitter`] finds its items, and [`Operation::item`]
    /// checks each of them.
    Split(BodyKind),
}

impl Operation {
    /// Compiles the validators of an operation's parameters, request body and responses.
    ///
    /// # Errors
    /// Returns an error if a schema is not valid.
    pub fn compile(cone: &Cone) -> Result<Self, Uncompilable> {
        let Cone {
            operation, schemas, ..
        } = cone;
        let mut compiling = ValidatorBuilder::new(schemas, Direction::Request);
        let mut parameters = Vec::new();
        for written in &operation.parameters {
            parameters.extend(Parameter::new(written, &mut compiling)?);
        }
        let body = match &operation.body {
            Some(body) => Some(Body::new(body.required, &body.media_types, &mut compiling)?),
            None => None,
        };
        let mut of_responses = ValidatorBuilder::new(schemas, Direction::Response);
        let responses = operation.responses.iter();
        let responses = responses.map(|written| Response::new(written, &mut of_responses));
        let responses = responses.collect::<Result<Vec<_>, _>>()?;
        let bytes = compiling.bytes + of_responses.bytes;
        let mut not_enforced = compiling.not_enforced();
        not_enforced.extend(of_responses.not_enforced());
        not_enforced.sort();
        not_enforced.dedup();
        Ok(Self {
            parameters,
            body,
            responses,
            bytes,
            not_enforced,
        })
    }

    /// Estimated memory of the compiled validators, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Parts of the schemas that are not enforced.
    #[must_use]
    pub fn not_enforced(&self) -> &[NotEnforced] {
        &self.not_enforced
    }

    /// Checks the parameters of a request.
    #[must_use]
    pub fn head(&self, head: &Head<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        parameters::check(&self.parameters, head, &mut findings);
        field_names::check(&self.parameters, head, &mut findings);
        findings
    }

    /// Findings about the query parameters that the operation does not describe. Names in
    /// `credentials` count as described.
    #[must_use]
    pub fn undeclared(&self, query: &str, credentials: &[String]) -> Vec<Finding> {
        let fields = field_names::undeclared(&self.parameters, query, credentials);
        let findings = fields.into_iter().map(|(name, _)| {
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            words::finding(Part::Query(name.into()), "", "is not described")
        });
        findings.take(words::FINDINGS_MAX).collect()
    }

    /// Query without the parameters that the operation does not describe. `None` if the operation
    /// describes all parameters.
    #[must_use]
    pub fn stripped(&self, query: &str, credentials: &[String]) -> Option<String> {
        let gone = field_names::undeclared(&self.parameters, query, credentials);
        if gone.is_empty() {
            return None;
        }
        // The slices in `gone` point into `query`, so equal addresses mean the same field.
        let is_gone = |field: &str| gone.iter().any(|(_, one)| std::ptr::eq(*one, field));
        let kept: Vec<&str> = query.split('&').filter(|field| !is_gone(field)).collect();
        Some(kept.join("&"))
    }

    /// Determines how gwd handles the body of a request. `is_empty` is true if the request has no
    /// body.
    ///
    /// # Errors
    /// Returns the refusal if the body is missing, or if the media type is missing or not
    /// described.
    pub fn body_use(
        &self,
        headers: &HeaderMap,
        is_empty: bool,
    ) -> Result<BodyUse, (&'static Reject, Finding)> {
        let Some(body) = &self.body else {
            return Ok(BodyUse::Pass);
        };
        if is_empty {
            match body.required {
                // An empty body of a form is a form without fields.
                true if is_form(headers) => {}
                true => return Err((&REQUEST, of_body("must be present"))),
                false => return Ok(BodyUse::Pass),
            }
        }
        let refused = |detail: &str| Err((&MEDIA_TYPE, of_header("content-type", detail)));
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let (mut boundary, mut is_utf8) = (None, true);
        let index = match (types.next(), types.next()) {
            (None, _) if body.types.is_empty() => return Ok(BodyUse::Pass),
            (None, _) => match body.only() {
                None => return refused("must be present"),
                Some(index) => index,
            },
            (Some(_), Some(_)) => return refused("must be present once"),
            (Some(value), None) => {
                let parsed = value.to_str().ok().and_then(MediaType::parse);
                let Some(parsed) = parsed else {
                    return refused("must be a media type");
                };
                if body.types.is_empty() {
                    return Ok(BodyUse::Pass);
                }
                let is_form = matches!(
                    parsed.form(),
                    Form::Json | Form::Urlencoded | Form::Multipart
                );
                is_utf8 = parsed.is_utf8();
                if is_form && !is_utf8 {
                    return refused("must have the charset UTF-8");
                }
                boundary = parsed.boundary().map(Box::from);
                match body.best(&parsed) {
                    None => return refused(&body.expected()),
                    Some(index) => index,
                }
            }
        };
        let is_split = body.types[index].items.is_some();
        if body.types[index].schema.is_none() && !is_split {
            return Ok(BodyUse::Pass);
        }
        // Servers decode a text with its charset, so that its schema would not be checked.
        if !is_utf8 {
            return refused("must have the charset UTF-8");
        }
        let coded = headers.get_all(CONTENT_ENCODING).iter();
        let mut coded = coded.filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
        if coded.next().is_some() {
            let finding = of_header("content-encoding", "must be `identity`");
            return Err((&MEDIA_TYPE, finding));
        }
        let kind = BodyKind {
            response: None,
            index,
            boundary,
        };
        Ok(match is_split {
            true => BodyUse::Split(kind),
            false => BodyUse::Read(kind),
        })
    }

    /// True if gwd may stream a body of this kind when it is too long to be checked. True for
    /// multipart bodies.
    #[must_use]
    pub fn may_stream(&self, kind: &BodyKind) -> bool {
        let types = self.body.as_ref().map(|body| &body.types);
        let one = types.and_then(|types| types.get(kind.index));
        one.is_some_and(|one| one.form == Form::Multipart)
    }

    /// Estimated memory of the check of a body, in bytes. A body of small objects needs several
    /// hundred times its length.
    #[must_use]
    pub fn memory(bytes: &[u8]) -> u64 {
        let each = bytes.iter().map(|byte| match byte {
            b'{' => 700,
            b'&' => 250,
            b'[' => 150,
            b',' => 100,
            _ => 2,
        });
        each.sum()
    }

    /// Checks a whole body. `kind` is the value in [`BodyUse::Read`].
    #[must_use]
    pub fn body(&self, kind: &BodyKind, bytes: &[u8]) -> Vec<Finding> {
        let body = match kind.response {
            None => self.body.as_ref(),
            Some(response) => self.responses.get(response).map(|one| &one.body),
        };
        match body {
            Some(body) => body.check(kind, bytes),
            None => Vec::new(),
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// True if a request's media type is `application/x-www-form-urlencoded`.
fn is_form(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = value.and_then(MediaType::parse);
    media_type.is_some_and(|media_type| media_type.form() == Form::Urlencoded)
}
