//! Values that logs hide or hash: the settings `log` of parameters and `redact` of schemas.

mod form;
mod names;
mod query;
mod redacted;

pub use form::{
    HashKey, LogForm, LoggedLocation, LoggedParameter, REDACTED, shown_path, user_information,
};
pub use names::{LoggedParameters, SecretParameters};
pub(crate) use query::own_form_in_query;
pub use query::{HiddenParameters, is_secret_parameter, query_in_path, shown_query, shown_target};
pub use redacted::{
    ANY, Message, RedactedParameter, RedactedValue, redact_findings, segment, write_byte,
};
