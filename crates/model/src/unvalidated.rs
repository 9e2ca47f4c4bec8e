//! Lint for validated operations: parts that gwd does not check, and descriptions that cannot be
//! compiled.
//!
//! Each description is compiled in the same way as in gwd, so that gwd can compile every
//! description in a bundle.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use diag::{Diagnostic, Level, Sink};
use validator::{Cone, NotEnforced};

use crate::contract::contract;
use crate::lower::validated;
use crate::settings::Settings;
use crate::{Api, Operation, unchecked_formats};
use sources::parallel;
use sources::project::files::Files;
use vocab::lints::NOT_VALIDATED;

/// Reports which parts of the described messages are not checked, and schemas that do not compile,
/// for the operations of all APIs that validate messages. Call this function only for APIs without
/// errors.
pub(super) fn check(files: &Files, settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let checked = parallel::map(apis.iter().collect(), |api: &Api| {
        let mut sink = Sink::default();
        one(files, settings, api, &mut sink);
        sink
    });
    checked.into_iter().for_each(|one| sink.append(one));
}

fn one(files: &Files, settings: &Settings, api: &Api, sink: &mut Sink) {
    let keys = validated(settings, api);
    if keys.is_empty() {
        return;
    }
    // Another lint reports two operations with the same key.
    let Ok((contract, _, _)) = contract(files, api) else {
        return;
    };
    let Some(messages) = ir::Messages::of(&contract, &keys) else {
        return;
    };
    unchecked_formats::check(files, api, &messages, sink);
    let mut compiled: BTreeMap<[u8; 32], Result<BTreeSet<String>, String>> = BTreeMap::new();
    for operation in &api.operations {
        let Some(described) = messages.operations.get(&operation.key) else {
            continue;
        };
        let cone = Cone::of(described, &messages.schemas);
        let outcome = compiled
            .entry(cone.digest)
            .or_insert_with(|| unenforced_keywords(&cone));
        match outcome {
            Ok(keywords) => (keywords.iter()).for_each(|keyword| partial(operation, keyword, sink)),
            Err(why) => broken(operation, why, sink),
        }
        unread(operation, described, sink);
    }
}

/// Keywords and parts of the schemas that are not enforced. Patterns are reported at their own
/// source location.
fn unenforced_keywords(cone: &Cone) -> Result<BTreeSet<String>, String> {
    let operation = validator::Operation::compile(cone).map_err(|error| error.why)?;
    let keywords = operation
        .not_enforced()
        .iter()
        .filter_map(|part| match part {
            NotEnforced::Pattern(_) => None,
            NotEnforced::DynamicRef => Some("a `$dynamicRef`"),
            NotEnforced::Cycle => Some("a schema that contains itself at the same place"),
        });
    Ok(keywords.map(str::to_owned).collect())
}

fn partial(operation: &Operation, keyword: &str, sink: &mut Sink) {
    let message = format!(
        "{keyword} in the schemas of `{}` is not enforced",
        operation.key
    );
    sink.push(
        Diagnostic::new(&NOT_VALIDATED, operation.span, message)
            .help("write the schema without it, or let the upstream check it"),
    );
}

fn broken(operation: &Operation, why: &str, sink: &mut Sink) {
    let message = format!("the schemas of `{}` do not compile: {why}", operation.key);
    sink.push(
        Diagnostic::new(&NOT_VALIDATED, operation.span, message)
            .level(Level::Error)
            .help("correct the schema, or write `validate: {request: off, response: off}` at the operation"),
    );
}

const ITEMS_HELP: &str = "write the schema of each item as `itemSchema` (OpenAPI 3.2)";

/// True if a media type has a schema that gwd does not check. `is_read`: true if gwd checks the
/// `schema` of the type.
fn is_unread(one: &ir::MediaType, is_read: bool) -> bool {
    match one.definition.get("itemSchema") {
        Some(_) => !validator::is_split(&one.name),
        None => one.definition.get("schema").is_some() && !is_read,
    }
}

/// Maximum length of a multipart body that gwd checks, in bytes: 8 MiB.
const CHECKED_BYTES_MAX: u64 = 8 << 20;

/// Reports media types whose bodies gwd forwards without a check.
fn unread(operation: &Operation, described: &ir::ContractOperation, sink: &mut Sink) {
    for response in &described.responses {
        for one in &response.media_types {
            if is_unread(one, validator::is_read_in_responses(&one.name)) {
                let message = format!(
                    "responses {} of the type `{}` of `{}` are not checked",
                    response.status, one.name, operation.key
                );
                sink.push(
                    Diagnostic::new(&NOT_VALIDATED, operation.span, message)
                        .level(Level::Info)
                        .help(match validator::is_split(&one.name) {
                            true => ITEMS_HELP,
                            false => "gwd checks JSON, text and forms; streams and other types pass unchecked",
                        }),
                );
            }
        }
    }
    let types = described.body.iter().flat_map(|body| &body.media_types);
    for one in types {
        unread_part_headers(operation, one, sink);
        let is_streamed = operation
            .max_body_bytes
            .value
            .is_some_and(|length| length > CHECKED_BYTES_MAX);
        if one.definition.get("schema").is_some()
            && one.name == "multipart/form-data"
            && is_streamed
        {
            let message = format!(
                "multipart bodies of `{}` that are longer than 8MiB are not checked",
                operation.key
            );
            sink.push(
                Diagnostic::new(&NOT_VALIDATED, operation.span, message)
                    .level(Level::Info)
                    .help("the upstream must check them; with `max_body: 8MiB` longer ones are refused"),
            );
        }
        if is_unread(one, validator::is_read(&one.name)) {
            let message = format!(
                "bodies of the type `{}` of `{}` are not checked",
                one.name, operation.key
            );
            sink.push(
                Diagnostic::new(&NOT_VALIDATED, operation.span, message)
                    .level(Level::Info)
                    .help(match validator::is_split(&one.name) {
                        true => ITEMS_HELP,
                        false => "gwd checks JSON, text, forms and multipart bodies; the upstream must check others",
                    }),
            );
        }
    }
}

/// Reports header fields that `encoding` describes for the parts of multipart bodies, which gwd
/// does not check. OpenAPI itself ignores `Content-Type` there, because `contentType` describes it.
fn unread_part_headers(operation: &Operation, one: &ir::MediaType, sink: &mut Sink) {
    if !one.name.starts_with("multipart/") {
        return;
    }
    let encodings = one.definition.get("encoding").map(ir::Value::entries);
    for (part, encoding) in encodings.into_iter().flatten() {
        let headers = encoding.get("headers").map(ir::Value::entries);
        let mut headers = headers.into_iter().flatten();
        let is_checked = |name: &str| name.eq_ignore_ascii_case("content-type");
        let Some((header, _)) = headers.find(|(name, _)| !is_checked(name)) else {
            continue;
        };
        let message = format!(
            "the field `{}` of the part `{}` in bodies of `{}` is not checked",
            header.escape_debug(),
            part.escape_debug(),
            operation.key
        );
        sink.push(
            Diagnostic::new(&NOT_VALIDATED, operation.span, message)
                .level(Level::Info)
                .help("parts of forms have only Content-Disposition and Content-Type; receivers ignore other fields (RFC 7578 §4.8)"),
        );
    }
}
