//! Parameter that describes the whole query (`in: querystring` of OpenAPI 3.2, §4.12.1).

use bundle::ir::Value;
use policy::invalid::{Finding, Part};

use crate::body::TypedBody;
use crate::compile::{Uncompilable, ValidatorBuilder};
use crate::media::Form;
use crate::style::READINGS;
use crate::text::decode;
use crate::{json, words};

/// Validator of a whole query.
pub(crate) struct WholeQuery(TypedBody);

/// Media type in `content` of a parameter, with its definition. `None` for a parameter with
/// `schema`.
pub(crate) fn media_type(definition: &Value) -> Option<(&str, &Value)> {
    let (name, media) = definition.get("content")?.entries().first()?;
    Some((name, media))
}

impl WholeQuery {
    /// Compiles the parameter. `None` if its media type cannot be checked.
    pub(crate) fn new<'a>(
        definition: &'a Value,
        compiling: &mut ValidatorBuilder<'a>,
    ) -> Result<Option<Self>, Uncompilable> {
        let Some((name, media)) = media_type(definition) else {
            return Ok(None);
        };
        Ok(TypedBody::new(name, media, compiling)?.map(Self))
    }

    /// Checks the query of a request, which is not empty.
    pub(crate) fn check(&self, text: &str, part: &Part, findings: &mut Vec<Finding>) {
        let Self(one) = self;
        let Some(schema) = &one.schema else { return };
        match one.form {
            Form::Urlencoded => one.check_form(schema, text, part, findings),
            Form::Json | Form::Text => {
                let values = READINGS.iter().map(|reading| {
                    let text = decode(text, reading.plus_is_space);
                    match one.form {
                        Form::Json => json::read(text.as_bytes()).ok(),
                        _ => Some(one.kinds.scalar(&text, reading.as_text)),
                    }
                });
                words::check_readings((schema, &one.members), values, part, findings);
            }
            Form::Multipart | Form::Other => {}
        }
    }
}
