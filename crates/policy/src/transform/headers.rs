//! Edits of header fields: of the request to the upstream, and of the response.
//!
//! ```yaml
//! policies:
//!   edge:
//!     kind: headers
//!     request: {set: {X-Gateway: gwd, Authorization: "${env:GWS_UPSTREAM_TOKEN}"}, remove: [Cookie]}
//!     response: {add: {Vary: Origin}, remove: [Server]}
//! ```
//! The order of edits is remove, set, add. Response edits also apply to responses by the gateway.
//! Fields for framing and hop-by-hop fields cannot be edited.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::{Moves, Names};
use crate::cx::Cx;
use crate::declared::{self, Scalar, Settings};
use crate::head::{RequestHead, ResponseHead};
use crate::phase::Phase;
use crate::policy::Policy;
use crate::secret::{Form, SecretCell, SecretRef, SecretUnavailable};
use crate::step::{Run, Setting, Step};

/// Edits, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Edits of the request to the upstream.
    #[n(0)]
    request: Edits,
    /// Edits of the response to the client.
    #[n(1)]
    response: Edits,
}

/// Edits of one head. Names are in lower case, each list is sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Edits {
    #[n(0)]
    remove: Vec<String>,
    #[n(1)]
    set: Vec<(String, Value)>,
    #[n(2)]
    add: Vec<(String, Value)>,
}

/// Value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Value {
    /// Literal value, as written.
    #[n(0)]
    Literal(#[n(0)] String),
    /// Secret, which gwd resolves.
    #[n(1)]
    Secret(#[n(0)] SecretRef),
}

/// Edits at run time.
#[derive(Debug)]
pub struct Filter {
    request: Prepared,
    response: Prepared,
}

#[derive(Debug)]
struct Prepared {
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, Source)]>,
    add: Box<[(HeaderName, Source)]>,
}

#[derive(Debug)]
enum Source {
    Literal(HeaderValue),
    Secret(Arc<SecretCell>),
}

/// Edit of a request field by a `headers` policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// The edit gives the field exactly this value.
    Set(&'a str),
    /// The edit removes the field, adds a line to it, or sets it to a secret value.
    Other,
}

// === impl Checked ===

impl Checked {
    /// Edit of the request field with this name, in lower case. `None` if the policy does not edit
    /// the field.
    #[must_use]
    pub fn request_edit(&self, name: &str) -> Option<Edit<'_>> {
        let Edits { remove, set, add } = &self.request;
        let is_named = |(one, _): &&(String, Value)| one == name;
        if add.iter().any(|one| is_named(&one)) {
            return Some(Edit::Other);
        }
        match set.iter().find(is_named) {
            Some((_, Value::Literal(text))) => Some(Edit::Set(text)),
            Some((_, Value::Secret(_))) => Some(Edit::Other),
            None => remove.iter().any(|one| one == name).then_some(Edit::Other),
        }
    }

    /// Secret references in field values, each with the name of its field.
    pub fn secret_fields(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        [&self.request, &self.response]
            .into_iter()
            .flat_map(|edits| edits.set.iter().chain(&edits.add))
            .filter_map(|(name, value)| match value {
                Value::Literal(_) => None,
                Value::Secret(reference) => Some((name.as_str(), reference)),
            })
    }
}

impl Policy for Checked {
    type Filter = Filter;

    // `Location`, `Refresh` and `Alt-Svc` are the fields that redirect clients.
    const CHANGE_IDS: &'static [&'static str] = &["identity-field-", "response-field-"];
    const CHANGES: Changes = Changes::new(change_rows! {
        "response"."remove": Names;
        "response"."set"."location" as "traffic-moved": Moves;
        "response"."add"."location" as "traffic-moved": Moves;
        "response"."set"."refresh" as "traffic-moved": Moves;
        "response"."add"."refresh" as "traffic-moved": Moves;
        "response"."set"."alt-svc" as "traffic-moved": Moves;
        "response"."add"."alt-svc" as "traffic-moved": Moves;
    });

    // Edits run after all steps that may refuse the request.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Transform)
    }

    fn settings(&self) -> Settings {
        let mut all = Vec::new();
        for (side, edits) in [("request", &self.request), ("response", &self.response)] {
            let pairs = [("set", &edits.set), ("add", &edits.add)];
            for (how, (name, value)) in pairs
                .iter()
                .flat_map(|(how, list)| list.iter().map(move |pair| (how, pair)))
            {
                let scalar = match value {
                    Value::Literal(text) => Scalar::Text(text.clone()),
                    Value::Secret(reference) => Scalar::Secret(reference.clone()),
                };
                all.push((vec![side, how, name], declared::Value::One(scalar)));
            }
            if !edits.remove.is_empty() {
                let names = edits.remove.iter().cloned().map(Scalar::Text).collect();
                all.push((vec![side, "remove"], declared::Value::Set(names)));
            }
        }
        let all = all.into_iter().map(|(path, value)| declared::Setting {
            path: path.into_iter().map(str::to_owned).collect(),
            value,
        });
        Settings::new(all.collect())
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(Filter {
            request: self.request.prepare(setting)?,
            response: self.response.prepare(setting)?,
        }))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.secret_fields()
            .map(|(_, reference)| reference)
            .collect()
    }
}

impl Edits {
    fn prepare(&self, setting: &Setting<'_>) -> Result<Prepared, SecretUnavailable> {
        let sources = |list: &[(String, Value)]| {
            let pairs = list.iter().filter_map(|(name, value)| {
                let name = HeaderName::try_from(name.as_str()).ok()?;
                let source = match value {
                    Value::Literal(text) => {
                        Source::Literal(HeaderValue::try_from(text.as_str()).ok()?)
                    }
                    Value::Secret(reference) => {
                        match setting.secrets.cell(reference, Form::FieldValue) {
                            Ok(cell) => Source::Secret(cell),
                            Err(unavailable) => return Some(Err(unavailable)),
                        }
                    }
                };
                Some(Ok((name, source)))
            });
            pairs.collect::<Result<Box<[_]>, _>>()
        };
        Ok(Prepared {
            remove: self
                .remove
                .iter()
                .filter_map(|name| HeaderName::try_from(name.as_str()).ok())
                .collect(),
            set: sources(&self.set)?,
            add: sources(&self.add)?,
        })
    }
}

// === impl Filter ===

impl Run for Filter {
    fn edited_fields(&self) -> [Vec<HeaderName>; 2] {
        [&self.request, &self.response].map(|edits| edits.names().cloned().collect())
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, _cx: &mut Cx<'a>) -> Step {
        self.request.remove_lookalikes(&mut head.headers);
        self.request.apply(&mut head.headers);
        Step::Continue
    }

    fn on_response<'a>(&'a self, head: &mut ResponseHead, _cx: &mut Cx<'a>) {
        self.response.apply(&mut head.headers);
    }
}

impl Prepared {
    /// Names of the fields that these edits remove or set.
    fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.remove
            .iter()
            .chain(self.set.iter().map(|(name, _)| name))
    }

    /// Removes fields whose names equal the name of a removed or set field if `_` and `.` are read
    /// as `-`. Some servers do not distinguish these names (CVE-2026-88011).
    fn remove_lookalikes(&self, headers: &mut HeaderMap) {
        let has_folded_byte = |name: &&HeaderName| {
            name.as_str()
                .bytes()
                .any(|byte| matches!(byte, b'_' | b'.'))
        };
        // Return early, because most requests have no such field.
        if !headers.keys().any(|name| has_folded_byte(&name)) {
            return;
        }
        let odd = headers.keys().filter(has_folded_byte);
        let removed_lookalikes =
            odd.filter(|odd| self.names().any(|name| name != *odd && reads_as(odd, name)));
        let removed_lookalikes: Vec<HeaderName> = removed_lookalikes.cloned().collect();
        for name in &removed_lookalikes {
            headers.remove(name);
        }
    }

    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, source) in &self.set {
            match source.value() {
                Some(value) => drop(headers.insert(name.clone(), value)),
                // A secret always has a valid field value. If it had none, remove the field, so
                // that the original value is not forwarded.
                None => drop(headers.remove(name)),
            }
        }
        for (name, source) in &self.add {
            if let Some(value) = source.value() {
                headers.append(name.clone(), value);
            }
        }
    }
}

/// True if two names are equal when `_` and `.` are read as `-`.
fn reads_as(one: &HeaderName, other: &HeaderName) -> bool {
    let folded = |name: &'_ HeaderName| -> Vec<u8> {
        let bytes = name.as_str().bytes();
        bytes
            .map(|byte| {
                if matches!(byte, b'_' | b'.') {
                    b'-'
                } else {
                    byte
                }
            })
            .collect()
    };
    one.as_str().len() == other.as_str().len() && folded(one) == folded(other)
}

impl Source {
    fn value(&self) -> Option<HeaderValue> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Secret(cell) => {
                let mut value = HeaderValue::from_bytes(&cell.value()).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
        }
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: headers` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Shape};
    use diag::{Diagnostic, NodeRef, Sink, Span};
    use http::{HeaderName, HeaderValue};

    use super::{Checked, Edits, Value};
    use crate::secret::SecretRef;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        r#"marks: {kind: headers, request: {set: {X-A: "1"}, add: {X-B: "2"}, remove: [X-C]}, response: {set: {X-D: "3"}, add: {X-E: "4"}, remove: [X-F]}}"#,
        r#"must: {kind: headers, request: {set: {X-M: "1"}}}"#,
    ];

    /// The keys of `kind: headers`.
    pub static SHAPE: Object = Object {
        what: "edits of header fields",
        rules: &[],
        fields: &[
            Field::optional(
                "request",
                Shape::Object(&EDITS),
                "Fields of the request to the upstream.",
            ),
            Field::optional(
                "response",
                Shape::Object(&EDITS),
                "Fields of the response to the client.",
            ),
        ],
    };

    static EDITS: Object = Object {
        what: "edits of one head",
        rules: &[],
        fields: &[
            Field::optional(
                "set",
                Shape::Table(&Shape::TextOrSecret),
                "Fields to set; existing ones are replaced.",
            ),
            Field::optional(
                "add",
                Shape::Table(&Shape::TextOrSecret),
                "Fields to add; existing ones stay.",
            ),
            Field::optional("remove", Shape::List(&Shape::Text), "Fields to remove."),
        ],
    };

    /// Framing fields and hop-by-hop fields (RFC 9110 §7.6.1).
    const FRAMING: &[&str] = &[
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];

    /// Reads edits from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let before = sink.findings().len();
        let mut side = |key: &str| {
            node.get(key)
                .map(|node| edits(node, sink))
                .unwrap_or_default()
        };
        let checked = Checked {
            request: side("request"),
            response: side("response"),
        };
        (sink.findings().len() == before).then_some(checked)
    }

    fn edits(node: NodeRef<'_>, sink: &mut Sink) -> Edits {
        let mut remove: Vec<String> = Vec::new();
        for item in node.get("remove").into_iter().flat_map(NodeRef::items) {
            remove.extend(name(
                item.scalar_text().unwrap_or_default(),
                item.span(),
                sink,
            ));
        }
        remove.sort();
        remove.dedup();
        let mut pairs = |key: &str| {
            let mut pairs: Vec<(String, Value)> = Vec::new();
            for (entry, value) in node.get(key).into_iter().flat_map(NodeRef::entries) {
                let name = name(&entry.key, entry.key_span, sink);
                pairs.extend(name.zip(read_value(value, sink)));
            }
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs
        };
        Edits {
            set: pairs("set"),
            add: pairs("add"),
            remove,
        }
    }

    /// Parses the name of a field to lower case. Reports the name of a field that must not be
    /// edited.
    pub fn name(text: &str, span: Span, sink: &mut Sink) -> Option<String> {
        let Ok(name) = HeaderName::try_from(text) else {
            sink.push(Diagnostic::new(
                &BAD_VALUE,
                span,
                format!("`{}` is not a field name", text.escape_debug()),
            ));
            return None;
        };
        if FRAMING.contains(&name.as_str()) {
            sink.push(
                Diagnostic::new(&BAD_VALUE, span, format!("`{text}` cannot be edited"))
                    .label("it frames the message, or is for a single connection"),
            );
            return None;
        }
        Some(name.as_str().to_owned())
    }

    fn read_value(node: NodeRef<'_>, sink: &mut Sink) -> Option<Value> {
        let text = node.scalar_text()?;
        if let Ok(reference) = SecretRef::parse(text) {
            return Some(Value::Secret(reference));
        }
        if HeaderValue::try_from(text).is_ok() && text.is_ascii() {
            return Some(Value::Literal(text.to_owned()));
        }
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                "the value is not valid in a header field",
            )
            .help("use visible ASCII characters, spaces and tabs"),
        );
        None
    }
}
