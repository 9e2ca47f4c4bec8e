//! Unknown keys of objects: misspelt keys, keys of another OpenAPI version or of Swagger 2.0, and
//! all others.

use diag::shape::{is_alone, with_space};
use diag::{Diagnostic, NodeRef, Span, suggest};

use super::Walk;
use crate::lint::rules::unknown_method;
use crate::spec::Version;
use crate::spec::lints::{MISSPELT_KEYWORD, UNKNOWN_FIELD, UNKNOWN_KEYWORD};
use crate::spec::objects::{
    DOCUMENT, Field, HEADER, OPERATION, Object, Others, PARAMETER, PATH_ITEM, RESPONSE, SCHEMA,
    SECURITY_SCHEME,
};

/// Fields of Swagger 2.0 that moved in OpenAPI 3, by object. The last element is the help.
static OF_SWAGGER: &[(&Object, &[&str], &str)] = &[
    (
        &DOCUMENT,
        &["host", "basePath", "schemes"],
        "write `servers: [{url: https://HOST/BASE_PATH}]`",
    ),
    (
        &DOCUMENT,
        &["definitions"],
        "write them under `components.schemas`",
    ),
    (
        &DOCUMENT,
        &["securityDefinitions"],
        "write them under `components.securitySchemes`",
    ),
    (
        &DOCUMENT,
        &["parameters", "responses"],
        "write them under `components`",
    ),
    (
        &DOCUMENT,
        &["consumes", "produces"],
        "media types are the keys of `content`, of each request body and response",
    ),
    (
        &OPERATION,
        &["consumes"],
        "media types are the keys of `requestBody.content`",
    ),
    (
        &OPERATION,
        &["produces"],
        "media types are the keys of a response's `content`",
    ),
    (
        &OPERATION,
        &["schemes"],
        "the scheme is part of the URL in `servers`",
    ),
    (&PARAMETER, OF_SCHEMAS, "write it under `schema`"),
    (&HEADER, OF_SCHEMAS, "write it under `schema`"),
    (
        &PARAMETER,
        &["collectionFormat"],
        "write `style` and `explode`: `csv` is `style: form` with `explode: false` in a query, `style: simple` elsewhere",
    ),
    (
        &HEADER,
        &["collectionFormat"],
        "remove it: lists in headers are comma-separated, as with `csv`",
    ),
    (
        &RESPONSE,
        &["schema"],
        "write it under the media type: `content: {application/json: {schema: …}}`",
    ),
    (
        &SECURITY_SCHEME,
        &["flow", "authorizationUrl", "tokenUrl", "scopes"],
        "write it under `flows`: `flows: {authorizationCode: {authorizationUrl: …, tokenUrl: …, scopes: …}}`",
    ),
];

/// Schema keywords that Swagger 2.0 wrote directly into parameters and headers.
const OF_SCHEMAS: &[&str] = &[
    "type",
    "format",
    "items",
    "default",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "multipleOf",
];

/// Schema keywords introduced in 3.1, with their replacements for OpenAPI 3.0.
const IN_30: &[(&[&str], &str)] = &[
    (&["const"], "write `enum` with the one value"),
    (&["examples"], "write `example`, one value"),
    (
        &["$defs", "definitions"],
        "write them under `components.schemas`",
    ),
    (
        &["if", "then", "else"],
        "write `oneOf` with a schema for each case",
    ),
    (
        &["patternProperties"],
        "write `additionalProperties`; 3.0 cannot match names by pattern",
    ),
    (
        &["prefixItems"],
        "write `items: {anyOf: …}`; 3.0 cannot describe items by position",
    ),
    (
        &["contentEncoding"],
        "write `format: byte` for base64, `format: binary` for bytes",
    ),
];

/// Reports a key that is not a field of an object.
pub(super) fn report(walk: &mut Walk<'_, '_>, node: NodeRef<'_>, key: &str, object: &Object) {
    let Some((entry, value)) = node.entry(key) else {
        return;
    };
    if object.bit == PATH_ITEM.bit {
        return unknown_method::report(key, entry.key_span, walk.version, walk.sink);
    }
    if let Some(finding) = unsplit(walk, (key, entry.key_span, value), object) {
        return walk.sink.push(finding);
    }
    let finding = finding(walk, key, entry.key_span, object);
    let plain = !(value.is_map() || value.is_list()) && is_inline(walk, value.span());
    let as_enum = key == "const" && object.bit == SCHEMA.bit && node.get("enum").is_none();
    walk.sink.push(if as_enum && plain {
        let span = value.span();
        let end = Span {
            start: span.end,
            ..span
        };
        finding
            .fix(entry.key_span, "enum")
            .fix(span.slice(0, 0), "[")
            .fix(end, "]")
    } else {
        finding
    });
}

/// Warns about a keyword that differs from a known keyword in one or two letters. From 3.1 on,
/// schemas may contain any keyword, so no other unknown keyword is reported.
pub(super) fn report_misspelt(
    walk: &mut Walk<'_, '_>,
    (key, span, value): (&str, Span, NodeRef<'_>),
    object: &Object,
) {
    if object.fields.iter().any(|field| field.key == key) {
        return;
    }
    if let Some(finding) = unsplit(walk, (key, span, value), object) {
        return walk.sink.push(finding);
    }
    let known = object
        .fields
        .iter()
        .filter(|field| field.versions.has(walk.version));
    let Some(near) = suggest::nearest(key, known.map(|field| field.key)) else {
        return;
    };
    let distance = strsim::damerau_levenshtein(key, near);
    if distance > (key.chars().count() / 4).max(1) {
        return;
    }
    let message = format!("unknown keyword `{}`: it has no effect", key.escape_debug());
    walk.sink.push(
        Diagnostic::new(&MISSPELT_KEYWORD, span, message)
            .label(format!("did you mean `{near}`?"))
            .help(format!(
                "write `{near}`; an addition of your own begins with `x-`"
            ))
            .fix(span, near),
    );
}

/// Creates the finding for `key:value`, which YAML reads as a key without a value. `None` if the
/// part before the colon is not a known key.
fn unsplit(
    walk: &Walk<'_, '_>,
    (key, span, value): (&str, Span, NodeRef<'_>),
    object: &Object,
) -> Option<Diagnostic> {
    let fields = object.fields.iter();
    let known = fields.filter(|field| field.versions.has(walk.version));
    let split = suggest::split(key, known.map(|field| field.key))?;
    if !is_alone(span, value) {
        return None;
    }
    let lint = match object.others {
        Others::Keywords if walk.version >= Version::V31 => &MISSPELT_KEYWORD,
        Others::Keywords => &UNKNOWN_KEYWORD,
        Others::None | Others::Map(..) => &UNKNOWN_FIELD,
    };
    let message = format!("{} has no field `{}`", object.what, key.escape_debug());
    let finding = Diagnostic::new(lint, span, message);
    Some(with_space(finding, (key, span), split))
}

fn finding(walk: &Walk<'_, '_>, key: &str, span: Span, object: &Object) -> Diagnostic {
    let lint = match object.others {
        Others::Keywords => &UNKNOWN_KEYWORD,
        Others::None | Others::Map(..) => &UNKNOWN_FIELD,
    };
    let shown = key.escape_debug();
    let none = format!("{} has no field `{shown}`", object.what);
    if let Some(field) = object.fields.iter().find(|field| field.key == key) {
        return of_other_version(walk, field, span, object);
    }
    let swagger = OF_SWAGGER
        .iter()
        .find(|(of, keys, _)| of.bit == object.bit && keys.contains(&key));
    if let Some((_, _, help)) = swagger {
        return Diagnostic::new(lint, span, none)
            .label("Swagger 2.0 has it")
            .help(*help);
    }
    let known = object
        .fields
        .iter()
        .filter(|field| field.versions.has(walk.version));
    match suggest::nearest(key, known.map(|field| field.key)) {
        Some(near) => Diagnostic::new(lint, span, none)
            .label(format!("did you mean `{near}`?"))
            .help(format!(
                "write `{near}`; an addition of your own begins with `x-`"
            ))
            .fix(span, near),
        None => Diagnostic::new(lint, span, none).help("an addition of your own begins with `x-`"),
    }
}

fn of_other_version(walk: &Walk<'_, '_>, field: &Field, span: Span, object: &Object) -> Diagnostic {
    let lint = match object.others {
        Others::Keywords => &UNKNOWN_KEYWORD,
        Others::None | Others::Map(..) => &UNKNOWN_FIELD,
    };
    let (version, key) = (walk.version.name(), field.key);
    let message = format!("{version} does not know `{key}` in {}", object.what);
    let instead = IN_30
        .iter()
        .find(|(keys, _)| object.bit == SCHEMA.bit && keys.contains(&key));
    let help = match instead {
        Some((_, instead)) => format!("{instead}; or change the version in `openapi`"),
        None => format!("change the version in `openapi`, or remove `{key}`"),
    };
    Diagnostic::new(lint, span, message)
        .label(format!("known to {}", field.versions.name()))
        .help(help)
}

/// True if a value is on one line, so that brackets can be inserted around it.
fn is_inline(walk: &Walk<'_, '_>, span: Span) -> bool {
    let text = walk.resolver.files().sources.text(span);
    !text.is_empty() && !text.contains('\n')
}
