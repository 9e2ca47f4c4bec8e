//! Values that logs do not show as they are: `log` at parameters, `redact` at schemas.

mod form;
mod query;
mod redacted;

pub use form::{HashKey, LogForm, LoggedParameter, LoggedPlace, REDACTED, shown_path};
pub use query::{is_secret_parameter, shown_query};
pub use redacted::{
    ANY, Message, RedactedParameter, RedactedValue, redact_findings, segment, write_byte,
};
