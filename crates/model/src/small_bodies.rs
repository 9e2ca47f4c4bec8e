//! Lint for a `max_body` that is smaller than each JSON body that the operation describes.

use bundle::ir::{MediaType, Value};
use diag::{Diagnostic, Sink};
use sources::project::files::Files;
use vocab::limit_lints::MAX_BODY_BELOW_SCHEMA;

use crate::contract::contract;
use crate::contract::least_bytes::least_bytes;
use crate::{Api, Operation};

/// Reports each operation once. Call this function only for APIs without errors.
pub(super) fn check(files: &Files, apis: &[Api], sink: &mut Sink) {
    for api in apis {
        let is_limited = |operation: &Operation| operation.max_body_bytes.value.is_some();
        if !api.operations.iter().any(is_limited) {
            continue;
        }
        // Another lint reports two operations with the same key.
        let Ok((contract, ..)) = contract(files, api) else {
            continue;
        };
        for operation in &api.operations {
            let (Some(max), Some(described)) = (
                operation.max_body_bytes.value,
                contract.operations.get(&operation.key),
            ) else {
                continue;
            };
            let types = described.body.iter().flat_map(|body| &body.media_types);
            let small = types
                .filter_map(|one| Some((one, least_of(one, &contract.schemas)?)))
                .find(|(_, least)| *least > max);
            if let Some((one, least)) = small {
                report(operation, (&one.name, max, least), sink);
            }
        }
    }
}

/// Lower bound of the length of a body of a JSON media type, in bytes. `None` for other types.
fn least_of(one: &MediaType, schemas: &[Value]) -> Option<u64> {
    let name = one.name.to_ascii_lowercase();
    let is_json = name == "application/json" || name.ends_with("+json");
    let schema = one.definition.get("schema").filter(|_| is_json)?;
    Some(least_bytes(schema, schemas))
}

fn report(operation: &Operation, (name, max, least): (&str, u64, u64), sink: &mut Sink) {
    let span = operation.max_body_bytes.span().unwrap_or(operation.span);
    let message = format!(
        "`max_body` ({max} bytes) refuses each valid body of the type `{name}` of `{}`",
        operation.key
    );
    sink.push(
        Diagnostic::new(&MAX_BODY_BELOW_SCHEMA, span, message)
            .label(format!(
                "the schema requires at least {least} bytes of JSON"
            ))
            .help(format!(
                "write at least `max_body: {least}B`, or correct the schema"
            )),
    );
}
