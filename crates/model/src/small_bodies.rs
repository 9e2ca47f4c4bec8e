//! Lint for a `max_body` that is smaller than each JSON body that the operation describes.

use bundle::ir::{MediaType, Value};
use diag::{Diagnostic, Sink};
use sources::parallel;
use sources::project::files::Files;
use vocab::limit_lints::MAX_BODY_BELOW_SCHEMA;

use crate::contract::contract;
use crate::contract::least_bytes::least_bytes;
use crate::{Api, Operation};

/// Reports each operation once. Call this function only for APIs without errors.
pub(super) fn check(files: &Files, apis: &[Api], sink: &mut Sink) {
    let found = parallel::map(apis.iter().collect(), |api| refusing(files, api));
    for (operation, name, max, least) in found.into_iter().flatten() {
        report(operation, (&name, max, least), sink);
    }
}

/// Operations whose `max_body` is smaller than each JSON body of a media type, with the name of
/// this media type, `max_body`, and the smallest body in bytes.
fn refusing<'a>(files: &Files, api: &'a Api) -> Vec<(&'a Operation, Box<str>, u64, u64)> {
    let is_limited = |operation: &Operation| operation.max_body_bytes.value.is_some();
    if !api.operations.iter().any(is_limited) {
        return Vec::new();
    }
    // Another lint reports two operations with the same key.
    let Ok((contract, ..)) = contract(files, api) else {
        return Vec::new();
    };
    let refusing = api.operations.iter().filter_map(|operation| {
        let max = operation.max_body_bytes.value?;
        let described = contract.operations.get(&operation.key)?;
        let types = described.body.iter().flat_map(|body| &body.media_types);
        let mut least = types.filter_map(|one| Some((one, least_of(one, &contract.schemas)?)));
        let (one, least) = least.find(|(_, least)| *least > max)?;
        Some((operation, one.name.as_str().into(), max, least))
    });
    refusing.collect()
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
