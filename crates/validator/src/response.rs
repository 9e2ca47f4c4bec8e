//! Validators of an operation's responses: status, header fields and body.

use bundle::ir::{self, ParameterPlace};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, SET_COOKIE};
use policy::invalid::Finding;

use crate::body::{Body, BodyKind, of_header};
use crate::compile::{Uncompilable, ValidatorBuilder};
use crate::media::{Form, MediaType};
use crate::parameters::Parameter;

/// Validators of the responses with one status or class of statuses.
pub(crate) struct Response {
    pub(crate) statuses: Statuses,
    pub(crate) headers: Vec<Parameter>,
    pub(crate) body: Body,
}

/// Statuses to which a response of the description applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statuses {
    /// Single status code.
    One(u16),
    /// All statuses with this first digit, such as `4XX`.
    Class(u16),
    /// All statuses to which no other response applies.
    Default,
}

/// Handling of a response, decided from its status and header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseUse {
    /// The description does not contain this response, or contains nothing about its body that gwd
    /// can check.
    Undescribed,
    /// Status and header fields match; the body is not checked.
    Pass,
    /// Status and header fields match. The whole body is read and checked by `Operation::body`.
    Read(BodyKind),
    /// Status and header fields match. The body is a sequence. `Operation::splitter` finds its
    /// items, and `Operation::item` checks each of them.
    Split(BodyKind),
}

impl Response {
    pub(crate) fn new<'a>(
        written: &'a ir::Response,
        compiling: &mut ValidatorBuilder<'a>,
    ) -> Result<Self, Uncompilable> {
        let mut headers = Vec::new();
        for field in &written.headers {
            // Fields of `Set-Cookie` cannot be combined to one value (RFC 6265 §3).
            if field.name == SET_COOKIE.as_str() {
                continue;
            }
            let place = ParameterPlace::Header;
            let described = (field.name.as_str(), field.required, &field.definition);
            headers.extend(Parameter::described(place, described, compiling)?);
        }
        Ok(Self {
            statuses: Statuses::of(&written.status),
            headers,
            body: Body::new(false, &written.media_types, compiling)?,
        })
    }

    /// Determines how gwd handles the body of a response with these header fields. `response`:
    /// index in the description.
    pub(crate) fn kind(
        &self,
        response: usize,
        headers: &HeaderMap,
    ) -> Result<ResponseUse, Finding> {
        let types = &self.body.types;
        if types.is_empty() {
            return Ok(ResponseUse::Undescribed);
        }
        let fault = |detail: &str| Err(of_header("content-type", detail));
        let mut given = headers.get_all(CONTENT_TYPE).iter();
        let (index, given) = match (given.next(), given.next()) {
            (None, _) => match self.body.only() {
                None => return fault("must be present"),
                Some(index) => (index, None),
            },
            (Some(_), Some(_)) => return fault("must be present once"),
            (Some(value), None) => {
                let parsed = value.to_str().ok().and_then(MediaType::parse);
                let Some(parsed) = parsed else {
                    return fault("must be a media type");
                };
                match self.body.best(&parsed) {
                    None => return fault(&self.body.expected()),
                    Some(index) => (index, Some(parsed)),
                }
            }
        };
        let one = &types[index];
        let given = given.as_ref().unwrap_or(&one.media_type);
        // A range such as `*/*` may describe JSON, but the response's own media type determines how
        // the body is read.
        let is_split = one.items.is_some();
        let is_readable = one.schema.is_some() && one.form == given.form() && !given.is_sequence();
        if !is_readable && !is_split {
            return Ok(ResponseUse::Undescribed);
        }
        if !given.is_utf8() {
            return match one.form {
                Form::Json => fault("must have the charset UTF-8"),
                _ if is_split => fault("must have the charset UTF-8"),
                _ => Ok(ResponseUse::Undescribed),
            };
        }
        let coded = headers.get_all(CONTENT_ENCODING).iter();
        let mut coded = coded.filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
        if coded.next().is_some() {
            return Err(of_header("content-encoding", "must be `identity`"));
        }
        let kind = BodyKind {
            response: Some(response),
            index,
            boundary: given.boundary().map(Box::from),
        };
        Ok(match is_split {
            true => ResponseUse::Split(kind),
            false => ResponseUse::Read(kind),
        })
    }
}

impl Statuses {
    /// Statuses for a key of `responses`, such as `404`, `4xx` or `default`.
    pub(crate) fn of(key: &str) -> Self {
        if let Ok(status) = key.parse() {
            return Self::One(status);
        }
        let digit = key.strip_suffix("xx").or_else(|| key.strip_suffix("XX"));
        match digit.and_then(|digit| digit.parse().ok()) {
            Some(digit) => Self::Class(digit),
            None => Self::Default,
        }
    }

    /// Rank of this response for all statuses of `other`, as in [`Self::rank`]. `None` if this
    /// response does not apply to all of them.
    pub(crate) fn covers(self, other: Self) -> Option<u8> {
        match (self, other) {
            (_, Self::One(status)) => self.rank(status),
            (Self::Class(digit), Self::Class(other)) => (digit == other).then_some(1),
            (Self::Default, Self::Class(_) | Self::Default) => Some(0),
            (Self::One(_), _) | (Self::Class(_), Self::Default) => None,
        }
    }

    /// Rank among the responses that apply to a status. The response with the greatest rank is the
    /// most specific. `None` if this response does not apply.
    pub(crate) fn rank(self, status: u16) -> Option<u8> {
        match self {
            Self::One(own) => (own == status).then_some(2),
            Self::Class(digit) => (digit == status / 100).then_some(1),
            Self::Default => Some(0),
        }
    }
}
