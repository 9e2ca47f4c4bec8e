//! Messages of external processing, as gRPC frames of protocol buffers.
//!
//! The field numbers are those of Envoy's published API, version 3:
//! `envoy/service/ext_proc/v3/external_processor.proto`, `envoy/config/core/v3/base.proto`
//! (`HeaderMap`, `HeaderValue`, `HeaderValueOption`), `envoy/type/v3/http_status.proto` and
//! `envoy/extensions/filters/http/ext_proc/v3/processing_mode.proto` (`BodySendMode`). Fields that
//! the gateway neither sends nor uses are left out; a decoder skips them. Frames:
//! "gRPC over HTTP2", *Length-Prefixed-Message*.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prost::Message as _;

use super::{Change, How};

/// Path of the gRPC method that gwd calls.
pub const PATH: &str = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
/// Maximum length of a processor's message, without a body in the message: 64KiB.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Maximum number of changed fields in one message.
const CHANGES_MAX: usize = 128;
/// Length of the prefix of a frame: a flag and four bytes of length.
const PREFIX: usize = 5;
/// `BodySendMode.BUFFERED`.
const BUFFERED: i32 = 2;
/// `CommonResponse.ResponseStatus.CONTINUE_AND_REPLACE`.
const CONTINUE_AND_REPLACE: i32 = 1;

/// Part of an exchange that a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Head of the request.
    RequestHeaders,
    /// Body of the request.
    RequestBody,
    /// Head of the response.
    ResponseHeaders,
    /// Body of the response.
    ResponseBody,
}

/// Bodies of an exchange that the processor receives as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferedBodies {
    /// The body of the request.
    pub request: bool,
    /// The body of the response.
    pub response: bool,
}

/// Message of a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The exchange continues.
    Continue(Part, Edit),
    /// The client gets this response.
    Immediate {
        /// Status of the response.
        status: StatusCode,
        /// Fields of the response.
        edit: Edit,
    },
    /// The message contains no decision, but for example a new time limit.
    Nothing,
}

/// Changes of a message's head and body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Changes of fields: removals first.
    pub changes: Vec<Change>,
    /// Number of changes of pseudo-fields (`:path`), which the gateway ignores.
    pub ignored: u32,
    /// New body. `None`: the body stays.
    pub body: Option<Bytes>,
    /// True if the processor gets no more of this message (`CONTINUE_AND_REPLACE`).
    pub replaces: bool,
}

/// A message of a processor that is not valid or longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Frame with the head of a request. `pseudo` are the pseudo-fields. `ends`: the request has no
/// body. `buffered`: bodies that follow in messages of their own.
#[must_use]
pub fn request_headers(
    pseudo: &[(&str, &[u8])],
    headers: &HeaderMap,
    (ends, buffered): (bool, BufferedBodies),
) -> Bytes {
    let mode = |is_buffered| if is_buffered { BUFFERED } else { 0 };
    frame(&ProcessingRequest {
        request: Some(RequestPart::RequestHeaders(HttpHeaders::of(
            pseudo, headers, ends,
        ))),
        protocol_config: Some(ProtocolConfiguration {
            request_body_mode: mode(buffered.request),
            response_body_mode: mode(buffered.response),
        }),
    })
}

/// Frame with the whole body of a request.
#[must_use]
pub fn request_body(body: Bytes) -> Bytes {
    frame(&ProcessingRequest {
        request: Some(RequestPart::RequestBody(HttpBody {
            body,
            end_of_stream: true,
        })),
        protocol_config: None,
    })
}

/// Frame with the head of a response. `ends`: the response has no body.
#[must_use]
pub fn response_headers(status: StatusCode, headers: &HeaderMap, ends: bool) -> Bytes {
    let pseudo = [(":status", status.as_str().as_bytes())];
    frame(&ProcessingRequest {
        request: Some(RequestPart::ResponseHeaders(HttpHeaders::of(
            &pseudo, headers, ends,
        ))),
        protocol_config: None,
    })
}

/// Frame with the whole body of a response.
#[must_use]
pub fn response_body(body: Bytes) -> Bytes {
    frame(&ProcessingRequest {
        request: Some(RequestPart::ResponseBody(HttpBody {
            body,
            end_of_stream: true,
        })),
        protocol_config: None,
    })
}

fn frame(message: &ProcessingRequest) -> Bytes {
    let length = message.encoded_len();
    let mut frame = Vec::with_capacity(PREFIX + length);
    frame.push(0);
    // The length fits into 32 bits: heads are limited to some KiB and bodies to 16MiB.
    frame.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    message
        .encode(&mut frame)
        .expect("a vector has room for every message");
    frame.into()
}

/// Takes the next whole message from the received bytes. `None`: more bytes are needed.
///
/// # Errors
/// The message is compressed or longer than `bytes_max`.
pub fn take_message(received: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, Malformed> {
    let Some((prefix, rest)) = received.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let [flag, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| Malformed)?;
    if flag != 0 || length > bytes_max {
        return Err(Malformed);
    }
    if rest.len() < length {
        return Ok(None);
    }
    received.advance(PREFIX);
    Ok(Some(received.split_to(length).freeze()))
}

/// Reads a message of a processor.
///
/// # Errors
/// The message is no `ProcessingResponse`, or has a field with an invalid name or value, a status
/// that no response can have, or too many changes.
pub fn answer(message: Bytes) -> Result<Answer, Malformed> {
    let message = ProcessingResponse::decode(message).map_err(|_| Malformed)?;
    let (part, response) = match message.response {
        None => return Ok(Answer::Nothing),
        Some(ResponsePart::RequestHeaders(one)) => (Part::RequestHeaders, one.response),
        Some(ResponsePart::RequestBody(one)) => (Part::RequestBody, one.response),
        Some(ResponsePart::ResponseHeaders(one)) => (Part::ResponseHeaders, one.response),
        Some(ResponsePart::ResponseBody(one)) => (Part::ResponseBody, one.response),
        Some(ResponsePart::Immediate(one)) => {
            let code = one.status.map_or(0, |status| status.code);
            let code = u16::try_from(code).map_err(|_| Malformed)?;
            if !(200..=599).contains(&code) {
                return Err(Malformed);
            }
            let mut edit = Edit::of(one.headers)?;
            edit.body = Some(one.body);
            return Ok(Answer::Immediate {
                status: StatusCode::from_u16(code).map_err(|_| Malformed)?,
                edit,
            });
        }
    };
    let response = response.unwrap_or_default();
    let mut edit = Edit::of(response.header_mutation)?;
    edit.replaces = response.status == CONTINUE_AND_REPLACE;
    edit.body = match response.body_mutation.and_then(|one| one.mutation) {
        Some(Mutation::Body(body)) => Some(body),
        Some(Mutation::ClearBody(true)) => Some(Bytes::new()),
        Some(Mutation::ClearBody(false)) | None => None,
    };
    Ok(Answer::Continue(part, edit))
}

// === impl Edit ===

impl Edit {
    fn of(mutation: Option<HeaderMutation>) -> Result<Self, Malformed> {
        let HeaderMutation {
            set_headers,
            remove_headers,
        } = mutation.unwrap_or_default();
        let mut edit = Self::default();
        if set_headers.len() + remove_headers.len() > CHANGES_MAX {
            return Err(Malformed);
        }
        for name in remove_headers {
            if let Some(name) = edit.name(&name)? {
                edit.changes.push(Change::Remove(name));
            }
        }
        for option in set_headers {
            let how = option.how()?;
            let Some(HeaderField {
                key,
                value,
                raw_value,
            }) = option.header
            else {
                continue;
            };
            // At most one of the two forms of a value is set.
            let value = match (value.is_empty(), raw_value.is_empty()) {
                (_, true) => Bytes::from(value),
                (true, false) => raw_value,
                (false, false) => return Err(Malformed),
            };
            let value = HeaderValue::from_maybe_shared(value).map_err(|_| Malformed)?;
            if let Some(name) = edit.name(&key)? {
                edit.changes.push(Change::Set(name, value, how));
            }
        }
        Ok(edit)
    }

    /// Parses a name. `None` for a pseudo-field, which is counted as ignored.
    fn name(&mut self, text: &str) -> Result<Option<HeaderName>, Malformed> {
        if text.starts_with(':') {
            self.ignored += 1;
            return Ok(None);
        }
        let name = HeaderName::from_bytes(text.as_bytes());
        name.map(Some).map_err(|_| Malformed)
    }
}

// === Messages of the protocol ===

#[derive(Clone, PartialEq, prost::Message)]
struct ProcessingRequest {
    #[prost(oneof = "RequestPart", tags = "2, 3, 4, 5")]
    request: Option<RequestPart>,
    #[prost(message, optional, tag = "11")]
    protocol_config: Option<ProtocolConfiguration>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum RequestPart {
    #[prost(message, tag = "2")]
    RequestHeaders(HttpHeaders),
    #[prost(message, tag = "3")]
    ResponseHeaders(HttpHeaders),
    #[prost(message, tag = "4")]
    RequestBody(HttpBody),
    #[prost(message, tag = "5")]
    ResponseBody(HttpBody),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProtocolConfiguration {
    #[prost(int32, tag = "1")]
    request_body_mode: i32,
    #[prost(int32, tag = "2")]
    response_body_mode: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpHeaders {
    #[prost(message, optional, tag = "1")]
    headers: Option<FieldList>,
    #[prost(bool, tag = "3")]
    end_of_stream: bool,
}

/// `envoy.config.core.v3.HeaderMap`.
#[derive(Clone, PartialEq, prost::Message)]
struct FieldList {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<HeaderField>,
}

/// `envoy.config.core.v3.HeaderValue`.
#[derive(Clone, PartialEq, prost::Message)]
struct HeaderField {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "bytes", tag = "3")]
    raw_value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpBody {
    #[prost(bytes = "bytes", tag = "1")]
    body: Bytes,
    #[prost(bool, tag = "2")]
    end_of_stream: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProcessingResponse {
    #[prost(oneof = "ResponsePart", tags = "1, 2, 3, 4, 7")]
    response: Option<ResponsePart>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ResponsePart {
    #[prost(message, tag = "1")]
    RequestHeaders(PartResponse),
    #[prost(message, tag = "2")]
    ResponseHeaders(PartResponse),
    #[prost(message, tag = "3")]
    RequestBody(PartResponse),
    #[prost(message, tag = "4")]
    ResponseBody(PartResponse),
    #[prost(message, tag = "7")]
    Immediate(ImmediateResponse),
}

/// `HeadersResponse` and `BodyResponse`, which have the same fields.
#[derive(Clone, PartialEq, prost::Message)]
struct PartResponse {
    #[prost(message, optional, tag = "1")]
    response: Option<CommonResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CommonResponse {
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(message, optional, tag = "2")]
    header_mutation: Option<HeaderMutation>,
    #[prost(message, optional, tag = "3")]
    body_mutation: Option<BodyMutation>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HeaderMutation {
    #[prost(message, repeated, tag = "1")]
    set_headers: Vec<HeaderValueOption>,
    #[prost(string, repeated, tag = "2")]
    remove_headers: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    header: Option<HeaderField>,
    /// `google.protobuf.BoolValue`.
    #[prost(message, optional, tag = "2")]
    append: Option<bool>,
    #[prost(int32, tag = "3")]
    append_action: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BodyMutation {
    #[prost(oneof = "Mutation", tags = "1, 2")]
    mutation: Option<Mutation>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Mutation {
    #[prost(bytes = "bytes", tag = "1")]
    Body(Bytes),
    #[prost(bool, tag = "2")]
    ClearBody(bool),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImmediateResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<HttpStatus>,
    #[prost(message, optional, tag = "2")]
    headers: Option<HeaderMutation>,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

/// `envoy.type.v3.HttpStatus`.
#[derive(Clone, PartialEq, prost::Message)]
struct HttpStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

// === impl HttpHeaders ===

impl HttpHeaders {
    fn of(pseudo: &[(&str, &[u8])], headers: &HeaderMap, end_of_stream: bool) -> Self {
        let field = |key: &str, value: &[u8]| HeaderField {
            key: key.to_owned(),
            value: String::new(),
            raw_value: Bytes::copy_from_slice(value),
        };
        let pseudo = pseudo.iter().map(|(name, value)| field(name, value));
        let fields = headers.iter();
        let fields = fields.map(|(name, value)| field(name.as_str(), value.as_bytes()));
        Self {
            headers: Some(FieldList {
                headers: pseudo.chain(fields).collect(),
            }),
            end_of_stream,
        }
    }
}

// === impl HeaderValueOption ===

impl HeaderValueOption {
    /// Effect on existing values. Like Envoy, an option without an action replaces them unless
    /// `append` is true.
    fn how(&self) -> Result<How, Malformed> {
        match self.append_action {
            0 if self.append == Some(true) => Ok(How::Append),
            0 => Ok(How::Replace),
            1 => Ok(How::AddIfAbsent),
            2 => Ok(How::Replace),
            3 => Ok(How::ReplaceIfPresent),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests;
