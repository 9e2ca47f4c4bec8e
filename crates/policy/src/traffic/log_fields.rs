//! Fields that the access log has in addition: request fields, parameters, cookies and claims.
//!
//! ```yaml
//! policies:
//!   tenants:
//!     kind: log_fields
//!     fields: {tenant: "header:x-tenant", org: "claim:org", order: {from: "path:id", form: hash}}
//! ```
//! The log line has the values in its object `fields`, also for a request that a policy refuses. The
//! policy decides nothing. gwd reads the values when the chain has ended, and only if it writes a
//! line.
//!
//! A value of a credential never reaches the log: gwc refuses such sources, and gwd redacts values of
//! security schemes, of parameters with `log: redact`, and of fields that a policy sets to a secret.
//! gwd also redacts a value that contains such a parameter, as a URL does.

use std::borrow::Cow;
use std::ops::Range;

use http::{HeaderName, HeaderValue};
use minicbor::{Decode, Encode};

use crate::auth::decode_query;
use crate::auth::place::{only_cookie, query_values};
use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::Hides;
use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::logged::{
    LogForm, LoggedLocation, LoggedParameters, Message, RedactedParameter, RedactedValue,
    SecretParameters, own_form_in_query, shown_query,
};
use crate::managed::plain;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting};

/// Maximum length of a value in the log, in bytes. The rest is left out.
const VALUE_BYTES_MAX: usize = 256;

/// Fields of the access log, in the bundle, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    #[n(0)]
    fields: Vec<LogField>,
}

/// Field of the access log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LogField {
    /// Name in the log.
    #[n(0)]
    name: String,
    /// Origin of the value.
    #[n(1)]
    source: Source,
    /// Form of the value. `None`: as sent.
    #[n(2)]
    form: Option<LogForm>,
}

/// Origin of a value.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Source {
    /// Request field. The name is in lower case.
    #[n(0)]
    Header(#[n(0)] String),
    /// Claim of the caller.
    #[n(1)]
    Claim(#[n(0)] String),
    /// Cookie.
    #[n(2)]
    Cookie(#[n(0)] String),
    /// Query parameter, decoded.
    #[n(3)]
    Query(#[n(0)] String),
    /// Path parameter, as in the path.
    #[n(4)]
    Path(#[n(0)] String),
}

/// Fields of the access log at run time.
#[derive(Debug)]
pub struct Filter(Box<[Field]>);

#[derive(Debug)]
struct Field {
    name: Box<str>,
    source: Origin,
    form: Option<LogForm>,
}

/// [`Source`], prepared for reading from requests.
#[derive(Debug)]
enum Origin {
    Header(HeaderName),
    Claim(Box<str>),
    Cookie(Box<str>),
    Query(Box<str>),
    Path(Box<str>),
}

/// Field of a log line.
#[derive(Debug, PartialEq, Eq)]
pub struct LoggedField<'f> {
    /// Name of the field.
    pub name: &'f str,
    /// Form in which the log shows the value.
    pub form: LogForm,
    value: Cow<'f, [u8]>,
    /// True if the value is percent-encoded, as in the request.
    is_encoded: bool,
}

/// Values of an operation that logs do not show in the default form. They also apply to fields of
/// this policy.
#[derive(Clone, Copy, Debug)]
pub struct HiddenValues<'h> {
    /// Query parameters of the bundle's security schemes.
    pub secret: &'h SecretParameters,
    /// Parameters of the operation with a form for logs.
    pub parameters: &'h LoggedParameters,
    /// Byte ranges of the path that the log does not show, with their forms.
    pub path: &'h [(Range<usize>, LogForm)],
    /// True if the log does not show the query.
    pub hides_query: bool,
    /// Locations of redacted values in the messages of the operation.
    pub redacted: &'h [RedactedValue],
}

// === impl Checked ===

impl Checked {
    /// Names in the log, with the origins of the values.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        let fields = self.fields.iter();
        fields.map(|field| (field.name.as_str(), &field.source))
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "fields"."*"."form": Hides;
    });

    // The phase has no effect: gwd reads the values when it writes the log line.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Transform)
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        for LogField { name, source, form } in &self.fields {
            let from = Scalar::Text(source.to_string());
            settings = settings.with(&["fields", name, "from"], Value::One(from));
            if let Some(form) = form {
                let form = Scalar::Text(form.word().to_owned());
                settings = settings.with(&["fields", name, "form"], Value::One(form));
            }
        }
        settings
    }

    fn filter(&self, _: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let fields = self.fields.iter().filter_map(|field| {
            Some(Field {
                name: field.name.as_str().into(),
                source: field.source.origin()?,
                form: field.form,
            })
        });
        Ok(Some(Filter(fields.collect())))
    }
}

// === impl Source ===

impl Source {
    /// Prepares the source. `None` for a name that no field can have; gwc has checked the names.
    fn origin(&self) -> Option<Origin> {
        Some(match self {
            Self::Header(name) => Origin::Header(HeaderName::try_from(name.as_str()).ok()?),
            Self::Claim(name) => Origin::Claim(name.as_str().into()),
            Self::Cookie(name) => Origin::Cookie(name.as_str().into()),
            Self::Query(name) => Origin::Query(name.as_str().into()),
            Self::Path(name) => Origin::Path(name.as_str().into()),
        })
    }
}

/// Writes the source as in the configuration.
impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Path(name) => write!(f, "path:{name}"),
        }
    }
}

// === impl Filter ===

impl Run for Filter {}

impl Filter {
    /// Fields of a request that have a value. `path`: byte ranges of the path parameters.
    pub fn fields<'f>(
        &'f self,
        (head, path): (&'f RequestHead, &[(&str, Range<usize>)]),
        hidden: HiddenValues<'_>,
        cx: &'f Cx<'_>,
    ) -> Vec<LoggedField<'f>> {
        let fields = self.0.iter().filter_map(|field| {
            let value = field.source.value((head, path), cx)?;
            let is_secret = field.source.is_sensitive(head) || has_secret(&value, hidden);
            Some(LoggedField {
                name: &field.name,
                form: match is_secret {
                    true => LogForm::Redact,
                    false => field.form(path, hidden),
                },
                is_encoded: matches!(field.source, Origin::Path(_)),
                value,
            })
        });
        fields.collect()
    }
}

impl LoggedField<'_> {
    /// Value as the log shows it, at most 256 bytes. `hide` returns the replacement of a decoded value
    /// in a form other than [`LogForm::Keep`].
    pub fn shown(&self, hide: impl Fn(LogForm, &[u8]) -> String) -> Cow<'_, [u8]> {
        match (self.form, std::str::from_utf8(&self.value)) {
            (LogForm::Keep, _) => shortened(&self.value).into(),
            (form, Ok(value)) if self.is_encoded => {
                hide(form, &decode_query(value)).into_bytes().into()
            }
            (form, _) => hide(form, &self.value).into_bytes().into(),
        }
    }
}

impl Field {
    /// Form of the value: the stricter one of the field's and the operation's.
    fn form(&self, path: &[(&str, Range<usize>)], hidden: HiddenValues<'_>) -> LogForm {
        let forms = [self.form, self.source.form(path, hidden)];
        if forms.contains(&Some(LogForm::Redact)) {
            LogForm::Redact
        } else if forms.contains(&Some(LogForm::Hash)) {
            LogForm::Hash
        } else {
            LogForm::Keep
        }
    }
}

impl Origin {
    /// Form in which the logs of the operation show the value. `None`: as sent.
    fn form(&self, path: &[(&str, Range<usize>)], hidden: HiddenValues<'_>) -> Option<LogForm> {
        let is_redacted = |is_own: &dyn Fn(&RedactedParameter) -> bool| {
            let requests = hidden.redacted.iter();
            let mut requests = requests.filter(|one| one.message == Message::Request);
            let found = requests.any(|one| one.parameter.as_ref().is_some_and(is_own));
            found.then_some(LogForm::Redact)
        };
        match self {
            Self::Path(name) => {
                let (_, own) = path.iter().find(|(known, _)| *known == &**name)?;
                let mut parts = hidden.path.iter();
                // Another range, such as that of a query in the path, has its own form.
                let part = parts.find(|(range, _)| range.start < own.end && own.start < range.end);
                part.map(|(range, form)| match range == own {
                    true => *form,
                    false => LogForm::Redact,
                })
            }
            Self::Query(_) if hidden.hides_query => Some(LogForm::Redact),
            Self::Query(name) => own_form_in_query(name, (hidden.secret, hidden.parameters)),
            Self::Header(name) if name == http::header::USER_AGENT => {
                let mut own = hidden.parameters.iter();
                let own = own.find(|one| one.place == LoggedLocation::UserAgent);
                own.map(|one| one.form)
            }
            Self::Header(name) => is_redacted(
                &|one| matches!(one, RedactedParameter::Header(own) if plain(own) == plain(name.as_str())),
            ),
            Self::Cookie(name) => {
                is_redacted(&|one| matches!(one, RedactedParameter::Cookie(own) if **own == **name))
            }
            Self::Claim(_) => None,
        }
    }

    /// True for a request field that a policy has set to a secret of the gateway, or that the
    /// client has marked as sensitive (RFC 7541 §7.1.3).
    fn is_sensitive(&self, head: &RequestHead) -> bool {
        match self {
            Self::Header(name) => {
                let mut lines = head.headers.get_all(name).iter();
                lines.any(HeaderValue::is_sensitive)
            }
            Self::Claim(_) | Self::Cookie(_) | Self::Query(_) | Self::Path(_) => false,
        }
    }

    fn value<'v>(
        &self,
        (head, path): (&'v RequestHead, &[(&str, Range<usize>)]),
        cx: &'v Cx<'_>,
    ) -> Option<Cow<'v, [u8]>> {
        match self {
            Self::Header(name) => {
                let lines = head.headers.get_all(name).iter();
                joined(lines.map(|line| line.as_bytes().into()))
            }
            Self::Claim(name) => Some(cx.claim(name)?.as_bytes().into()),
            Self::Cookie(name) => only_cookie(&head.headers, name),
            Self::Query(name) => joined(query_values(head.query()?, name)),
            Self::Path(name) => {
                let (_, range) = path.iter().find(|(known, _)| *known == &**name)?;
                Some(head.path().get(range.clone())?.as_bytes().into())
            }
        }
    }
}

/// All values, separated by commas. `None`: there is none.
fn joined<'v>(mut values: impl Iterator<Item = Cow<'v, [u8]>>) -> Option<Cow<'v, [u8]>> {
    let first = values.next()?;
    Some(values.fold(first, |mut all, value| {
        all.to_mut().extend_from_slice(b", ");
        all.to_mut().extend_from_slice(&value);
        all
    }))
}

/// True if a value contains a parameter that logs hide, as a query or a URL does. Some servers
/// separate parameters by `;`.
fn has_secret(value: &[u8], hidden: HiddenValues<'_>) -> bool {
    if !value.iter().any(|byte| matches!(byte, b'=' | b'%')) {
        return false;
    }
    let text = String::from_utf8_lossy(value);
    let values = (hidden.secret, hidden.parameters);
    text.split(['?', ';', '#'])
        .any(|part| shown_query(part, values, |_, _| String::new()).is_some())
}

/// Beginning of a value, at most [`VALUE_BYTES_MAX`] bytes.
fn shortened(value: &[u8]) -> &[u8] {
    if value.len() <= VALUE_BYTES_MAX {
        return value;
    }
    let end = match std::str::from_utf8(value) {
        Ok(text) => text.floor_char_boundary(VALUE_BYTES_MAX),
        Err(_) => VALUE_BYTES_MAX,
    };
    &value[..end]
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: log_fields` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Shape};
    use diag::{Diagnostic, NodeRef, Sink};

    use super::{Checked, LogField, Source};
    use crate::forms;
    use crate::logged::{LogForm, is_secret_parameter};

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        r#"tenants: {kind: log_fields, fields: {tenant: "header:x-tenant", order: {from: "path:id", form: hash}}}"#,
    ];

    /// Maximum number of fields of a policy.
    const FIELDS_MAX: usize = 16;

    /// Request fields that contain credentials. The query of a referer can contain them, and the log
    /// has the referer without its query.
    const CREDENTIALS: [&str; 6] = [
        "authorization",
        "cookie",
        "dpop",
        "proxy-authorization",
        "referer",
        "signature",
    ];

    /// Parts of the names of fields, cookies and claims that usually contain credentials.
    const USUAL_PARTS: [&str; 10] = [
        "auth",
        "cred",
        "csrf",
        "jwt",
        "passw",
        "secret",
        "sess",
        "signature",
        "token",
        "xsrf",
    ];

    /// The keys of `kind: log_fields`.
    pub static SHAPE: Object = Object {
        what: "fields of the access log",
        fields: &[Field::required(
            "fields",
            Shape::Keyed(
                &forms::LOG_FIELD,
                &Shape::Either(&[Shape::Form(&forms::LOG_SOURCE), Shape::Object(&FIELD)]),
            ),
            "Fields by their name in the object `fields` of a log line, at most 16. A value is a source, or an object with the source and its form.",
        )],
        rules: &[],
    };

    static FIELD: Object = Object {
        what: "a field of the access log",
        fields: &[
            Field::required(
                "from",
                Shape::Form(&forms::LOG_SOURCE),
                "Source: a request field, query parameter (decoded), cookie, path parameter, or claim of the caller. The log has no field for an absent value, and at most 256 bytes of a value.",
            ),
            Field::optional(
                "form",
                Shape::Word(&["keep", "hash"]),
                "Form of the value: `keep` (as sent, although the name is usual for credentials) or `hash` (a keyed hash; equal values have equal hashes until gwd restarts). `log` of a parameter also applies. Default: as sent.",
            ),
        ],
        rules: &[],
    };

    /// Reads settings from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let node = node.get("fields")?;
        let mut fields: Vec<LogField> = Vec::new();
        for (entry, value) in node.entries() {
            let from = value.get("from").unwrap_or(value);
            let source = source(from.scalar_text()?)?;
            let form = value.get("form").and_then(|form| form.scalar_text());
            let form = match form {
                Some("keep") => Some(LogForm::Keep),
                Some("hash") => Some(LogForm::Hash),
                _ => None,
            };
            if is_credential(&source) || form != Some(LogForm::Keep) && is_usual(&source) {
                report(from, &source, sink);
            }
            fields.push(LogField {
                name: entry.key.to_string(),
                source,
                form,
            });
        }
        if fields.len() > FIELDS_MAX {
            let message = format!("{} fields are more than {FIELDS_MAX}", fields.len());
            let finding = Diagnostic::new(&BAD_VALUE, node.span(), message);
            sink.push(finding.help("remove fields that no search of the log needs"));
        }
        fields.sort_by(|one, other| one.name.cmp(&other.name));
        Some(Checked { fields })
    }

    /// Source in the configuration.
    fn source(text: &str) -> Option<Source> {
        let (kind, name) = text.split_once(':')?;
        let name = name.to_owned();
        Some(match kind {
            "header" => Source::Header(name.to_ascii_lowercase()),
            "claim" => Source::Claim(name),
            "cookie" => Source::Cookie(name),
            "query" => Source::Query(name),
            "path" => Source::Path(name),
            _ => return None,
        })
    }

    /// True for a request field or cookie that always contains credentials. The session cookies of
    /// logins begin with `__Host-`.
    fn is_credential(source: &Source) -> bool {
        match source {
            Source::Header(name) => CREDENTIALS.contains(&name.as_str()),
            Source::Cookie(name) => name.to_ascii_lowercase().starts_with("__host-"),
            Source::Query(_) | Source::Path(_) | Source::Claim(_) => false,
        }
    }

    /// True for a name that is usual for credentials. The log has the path anyway.
    fn is_usual(source: &Source) -> bool {
        let (Source::Header(name)
        | Source::Cookie(name)
        | Source::Query(name)
        | Source::Claim(name)
        | Source::Path(name)) = source;
        let lower = name.to_ascii_lowercase();
        let has_part = || USUAL_PARTS.iter().any(|part| lower.contains(part));
        let bare = lower.strip_prefix("x-").unwrap_or(&lower);
        let is_known = is_secret_parameter(&lower) || is_secret_parameter(bare) || bare == "sid";
        match source {
            Source::Header(_) | Source::Cookie(_) | Source::Claim(_) => is_known || has_part(),
            Source::Query(_) => is_known,
            Source::Path(_) => false,
        }
    }

    fn report(from: NodeRef<'_>, source: &Source, sink: &mut Sink) {
        let shown = source.to_string();
        let (message, help) = match is_credential(source) {
            true => (
                format!(
                    "`{}` contains credentials, and logs do not show them",
                    shown.escape_debug()
                ),
                "remove the field; the log has `consumer_id`, `subject`, `auth_method`, and `referer` without its query",
            ),
            false => (
                format!(
                    "`{}` has a usual name of a credential, and logs do not show its values",
                    shown.escape_debug()
                ),
                "remove the field, or write `form: keep` if it is no credential",
            ),
        };
        sink.push(Diagnostic::new(&BAD_VALUE, from.span(), message).help(help));
    }
}

#[cfg(test)]
mod tests;
