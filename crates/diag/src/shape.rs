//! The closed vocabulary as data: which keys a node may have and what their values look like.
//!
//! One [`Shape`] serves three readers: [`check`] finds unknown keys, wrong types, missing units
//! and parts that are not available yet; [`json_schema`] writes the schema that editors use;
//! the book's tables come from the same words. The typed halves read a node only after it was
//! checked, with the same readers ([`crate::read`]).

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Level, Lint};
use crate::read::{self, Wrong, WrongKind};
use crate::sink::Sink;
use crate::suggest;
use crate::tree::{Kind, NodeRef};

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    /// Anything at all.
    Any,
    /// `true` or `false`.
    Bool,
    /// A string.
    Text,
    /// A string that gwd resolves: `${env:NAME}` or `${file:PATH}`.
    Secret,
    /// A literal string or a secret reference.
    TextOrSecret,
    /// The name of something defined elsewhere; the word says what, for the schema's reader.
    Name(&'static str),
    /// A whole number in a range.
    Integer(i64, i64),
    /// See [`read::duration_ms`].
    Duration,
    /// See [`read::rate`].
    Rate,
    /// See [`read::size_bytes`].
    Size,
    /// See [`read::percent_ppm`].
    Percent,
    /// 64 hexadecimal digits.
    Sha256,
    /// A calendar date, `2027-06-30`.
    Date,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these.
    List(&'static Self),
    /// A map from free names (letters, digits, `-`, `_`, `.`) to these.
    Map(&'static Self),
    /// A map from free texts (header names, variables) to these.
    Table(&'static Self),
    /// A map with these keys only.
    Object(&'static Object),
    /// A map whose key `kind` says which object it is.
    Kinds(&'static [Variant]),
    /// The first of these whose type of node fits (told apart by list, map or scalar).
    Either(&'static [Self]),
}

/// A map with a closed set of keys.
#[derive(Debug)]
pub struct Object {
    /// What it is, for messages: `an upstream`.
    pub what: &'static str,
    /// Its keys.
    pub fields: &'static [Field],
}

/// One key of an [`Object`].
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// What its value may be.
    pub shape: Shape,
    /// One sentence for the reader of the schema and the book.
    pub doc: &'static str,
    /// Whether it must be there.
    pub need: Need,
}

/// Whether a key must, may or cannot yet be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It must be there.
    Required,
    /// It may be there.
    Optional,
    /// The schema knows it; this version cannot run it: `not-available`.
    NotAvailable,
}

/// One kind of a tagged object.
#[derive(Debug)]
pub struct Variant {
    /// The value of `kind`.
    pub kind: &'static str,
    /// The other keys; none for a kind that is not available yet.
    pub object: Option<&'static Object>,
    /// One sentence.
    pub doc: &'static str,
}

impl Field {
    /// A key that may be there.
    #[must_use]
    pub const fn optional(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            key,
            shape,
            doc,
            need: Need::Optional,
        }
    }
    /// A key that must be there.
    #[must_use]
    pub const fn required(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            key,
            shape,
            doc,
            need: Need::Required,
        }
    }
    /// A key that the schema knows and this version cannot run.
    #[must_use]
    pub const fn later(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            key,
            shape,
            doc,
            need: Need::NotAvailable,
        }
    }
}

/// A key that the vocabulary does not have.
pub static UNKNOWN_KEY: Lint = Lint {
    code: "GW0101",
    name: "unknown-key",
    level: Level::Error,
    summary: "a key that the vocabulary does not have",
    explain: "gateway.yaml and `x-gateway` have a closed vocabulary: a key that nobody reads would be a \
rule that nobody applies. The message names the nearest known key. Private additions belong in keys that \
begin with `x-gateway-ext-`.",
    bad: &[("gateway.yaml", "version: 1\nname: s\nupstrems: {}\n")],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// A value of another type than the key takes.
pub static WRONG_TYPE: Lint = Lint {
    code: "GW0102",
    name: "wrong-type",
    level: Level::Error,
    summary: "a value of another type than the key takes",
    explain: "The key is known, but its value is of another type: a list where a map belongs, a text where a \
number belongs. The message says what is expected there.",
    bad: &[("gateway.yaml", "version: 1\nname: [s]\n")],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// A key that must be there is not.
pub static MISSING_KEY: Lint = Lint {
    code: "GW0103",
    name: "missing-key",
    level: Level::Error,
    summary: "a key that must be there is not",
    explain: "Something cannot be used without this key; there is no default that would be right for everybody.",
    bad: &[("gateway.yaml", "version: 1\n")],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// The right type, but not a value that can be used.
pub static BAD_VALUE: Lint = Lint {
    code: "GW0104",
    name: "bad-value",
    level: Level::Error,
    summary: "a value that the key does not take",
    explain: "The value has the right type but is not one the key takes: an unknown word, a number out of range, \
an address that is none. The message says which values are known.",
    bad: &[("gateway.yaml", "version: 2\nname: s\n")],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// A bare number where a unit is needed.
pub static UNIT_MISSING: Lint = Lint {
    code: "GW0105",
    name: "unit-missing",
    level: Level::Error,
    summary: "a bare number where a unit is needed",
    explain: "Durations, rates and sizes carry their unit: `250ms`, `10/s`, `1MiB`. A bare `30` could be seconds \
to the writer and milliseconds to the reader, so it is an error that names the units.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\ndefaults: {timeout: 30}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\ndefaults: {timeout: 30s}\n",
    )],
};

/// Part of the vocabulary that this version cannot run.
pub static NOT_AVAILABLE: Lint = Lint {
    code: "GW0106",
    name: "not-available",
    level: Level::Error,
    summary: "part of the vocabulary that this version cannot run yet",
    explain: "The key or kind is part of the vocabulary and its spelling is right, but this version of gwc and gwd \
cannot run it yet. It is never ignored: `gwc lint` says it, `gwc build` and `gwc plan` stop. Remove it, or use a \
version that has it.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\ninvariants: [a.yaml]\n",
    )],
    good: &[("gateway.yaml", "version: 1\nname: s\n")],
};

/// Checks a node against a shape; whether it may be read. All mistakes are found, not only
/// the first.
pub fn check(node: NodeRef<'_>, shape: &Shape, sink: &mut Sink) -> bool {
    let scalar = |result: Result<(), Wrong>, sink: &mut Sink| match result {
        Ok(()) => true,
        Err(wrong) => {
            say_wrong(node, &wrong, sink);
            false
        }
    };
    match shape {
        Shape::Any => true,
        Shape::Bool => node.as_bool().is_some() || wrong_type(node, "`true` or `false`", sink),
        Shape::Text | Shape::Name(_) => check_text(node, sink),
        Shape::Secret => check_secret(node, sink),
        Shape::TextOrSecret => match node.as_str() {
            Some(text) if text.starts_with("${") => check_secret(node, sink),
            _ => check_text(node, sink),
        },
        Shape::Integer(min, max) => scalar(read::integer(node, *min, *max).map(drop), sink),
        Shape::Duration => scalar(read::duration_ms(node).map(drop), sink),
        Shape::Rate => scalar(read::rate(node).map(drop), sink),
        Shape::Size => scalar(read::size_bytes(node).map(drop), sink),
        Shape::Percent => scalar(read::percent_ppm(node).map(drop), sink),
        Shape::Sha256 => scalar(read::sha256_hex(node).map(drop), sink),
        Shape::Date => check_date(node, sink),
        Shape::Word(words) => check_word(node, words, sink),
        Shape::List(item) => {
            if !node.is_list() {
                return wrong_type(node, "a list", sink);
            }
            // Not `all`: every item is checked, also behind a wrong one.
            let wrong = node
                .items()
                .filter(|item_node| !check(*item_node, item, sink));
            wrong.count() == 0
        }
        Shape::Map(value) => check_map(node, value, Keys::Names, sink),
        Shape::Table(value) => check_map(node, value, Keys::Texts, sink),
        Shape::Object(object) => check_object(node, object, &[], sink),
        Shape::Kinds(variants) => check_kinds(node, variants, sink),
        Shape::Either(shapes) => match shapes.iter().find(|shape| fits(node, shape)) {
            Some(shape) => check(node, shape, sink),
            None => {
                let expected: Vec<String> = shapes.iter().map(expectation).collect();
                wrong_type(node, &expected.join(" or "), sink)
            }
        },
    }
}

/// The JSON Schema (draft 2020-12) of a shape.
#[must_use]
pub fn json_schema(shape: &Shape) -> Value {
    let pattern = |pattern: &str| json!({"type": "string", "pattern": pattern});
    match shape {
        Shape::Any => json!({}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Text => json!({"type": ["string", "number", "boolean"]}),
        Shape::Name(what) => {
            json!({"type": "string", "description": format!("the name of {what}")})
        }
        Shape::Secret => pattern(r"^\$\{(env|file):[^}]+\}$"),
        Shape::TextOrSecret => json!({"type": ["string", "number", "boolean"]}),
        Shape::Integer(min, i64::MAX) => json!({"type": "integer", "minimum": min}),
        Shape::Integer(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Shape::Duration => pattern("^[0-9]+(ms|s|m|min|h|d)$"),
        Shape::Rate => pattern("^[0-9]+/(s|m|min|h|d)$"),
        Shape::Size => pattern("^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)$"),
        Shape::Percent => pattern(r"^[0-9]+(\.[0-9]{1,4})?%$"),
        Shape::Sha256 => pattern("^[0-9A-Fa-f]{64}$"),
        Shape::Date => pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
        Shape::Word(words) => json!({"enum": words}),
        Shape::List(item) => json!({"type": "array", "items": json_schema(item)}),
        Shape::Map(value) | Shape::Table(value) => {
            json!({"type": "object", "additionalProperties": json_schema(value)})
        }
        Shape::Object(object) => object_schema(object, None),
        Shape::Kinds(variants) => {
            let kinds: Vec<Value> = variants
                .iter()
                .map(|variant| match variant.object {
                    Some(object) => object_schema(object, Some(variant)),
                    None => {
                        json!({"type": "object", "description": variant.doc, "required": ["kind"],
                                   "properties": {"kind": {"const": variant.kind}}})
                    }
                })
                .collect();
            json!({"oneOf": kinds})
        }
        Shape::Either(shapes) => {
            let shapes: Vec<Value> = shapes.iter().map(json_schema).collect();
            json!({"anyOf": shapes})
        }
    }
}

fn object_schema(object: &Object, variant: Option<&Variant>) -> Value {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    if let Some(variant) = variant {
        properties.insert(
            "kind".into(),
            json!({"const": variant.kind, "description": variant.doc}),
        );
        required.push("kind");
    }
    for field in object.fields {
        let mut schema = json_schema(&field.shape);
        let doc = match field.need {
            Need::NotAvailable => format!("{} (not available yet)", field.doc),
            Need::Required | Need::Optional => field.doc.to_owned(),
        };
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".into(), doc.into());
        }
        // `null` means back to the built-in default.
        let schema = if field.need == Need::Required {
            schema
        } else {
            json!({"anyOf": [schema, {"type": "null"}]})
        };
        properties.insert(field.key.into(), schema);
        if field.need == Need::Required {
            required.push(field.key);
        }
    }
    json!({"type": "object", "description": object.what, "properties": properties, "required": required,
           "patternProperties": {"^x-gateway-ext-": {}}, "additionalProperties": false})
}

fn check_text(node: NodeRef<'_>, sink: &mut Sink) -> bool {
    if node.scalar_text().is_none() {
        return wrong_type(node, "a text", sink);
    }
    let reference = node
        .as_str()
        .is_some_and(|text| text.starts_with("${") && text.ends_with('}'));
    if !reference {
        return true;
    }
    let text = node.as_str().unwrap_or_default();
    if text.starts_with("${var:") {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                "the value of a variable is no variable",
            )
            .help("write the value itself"),
        );
    } else {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                "a secret reference does not belong here",
            )
            .help("only fields marked secret take `${env:NAME}` or `${file:PATH}`"),
        );
    }
    false
}

fn check_secret(node: NodeRef<'_>, sink: &mut Sink) -> bool {
    const EXPECTED: &str = "a secret reference: `${env:NAME}` or `${file:PATH}`";
    let Some(text) = node.as_str() else {
        return wrong_type(node, EXPECTED, sink);
    };
    let inner = text
        .strip_prefix("${")
        .and_then(|text| text.strip_suffix('}'));
    let fine = match inner.and_then(|inner| inner.split_once(':')) {
        Some(("env", name)) => {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        }
        Some(("file", path)) => path.starts_with('/') && !path.contains(['\0', '$', '{']),
        _ => false,
    };
    if !fine {
        sink.push(
            Diagnostic::new(&BAD_VALUE, node.span(), "this is not a secret reference")
                .label(format!("expected {EXPECTED}"))
                .help("the value itself stays with the gateway's operator; gwd resolves the reference"),
        );
    }
    fine
}

fn check_date(node: NodeRef<'_>, sink: &mut Sink) -> bool {
    const EXPECTED: &str = "a date such as `2027-06-30`";
    let Some(text) = node.scalar_text() else {
        return wrong_type(node, EXPECTED, sink);
    };
    if read_date(text).is_some() {
        return true;
    }
    sink.push(
        Diagnostic::new(&BAD_VALUE, node.span(), format!("`{text}` is not a date"))
            .label(format!("expected {EXPECTED}")),
    );
    false
}

/// Seconds since 1970 at which a date (`2027-06-30`, UTC) ends.
#[must_use]
pub fn read_date(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        let digits = &text.get(range)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse::<i64>().ok())
            .flatten()
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let in_month = *days.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if year < 1970 || !(1..=in_month).contains(&day) {
        return None;
    }
    // Days from civil (Howard Hinnant): eras of 400 years, years that begin in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    u64::try_from((days + 1) * 86_400).ok()
}

fn check_word(node: NodeRef<'_>, words: &'static [&'static str], sink: &mut Sink) -> bool {
    let Some(text) = node.scalar_text() else {
        return wrong_type(node, &suggest::one_of(words.iter().copied(), 8), sink);
    };
    if words.contains(&text) {
        return true;
    }
    let mut finding = Diagnostic::new(
        &BAD_VALUE,
        node.span(),
        format!("`{text}` is not known here"),
    )
    .label(suggest::one_of(words.iter().copied(), 12));
    if let Some(near) = suggest::nearest(text, words.iter().copied()) {
        finding = finding
            .help(format!("did you mean `{near}`?"))
            .fix(node.span(), near);
    }
    sink.push(finding);
    false
}

#[derive(Clone, Copy)]
enum Keys {
    Names,
    Texts,
}

fn check_map(node: NodeRef<'_>, value: &Shape, keys: Keys, sink: &mut Sink) -> bool {
    if !node.is_map() {
        return wrong_type(node, "a map", sink);
    }
    node.entries().fold(true, |fine, (entry, node)| {
        let name_fine = match keys {
            Keys::Texts => true,
            Keys::Names => is_name(&entry.key),
        };
        if !name_fine {
            sink.push(
                Diagnostic::new(&BAD_VALUE, entry.key_span, format!("`{}` cannot be a name", entry.key.escape_debug()))
                    .help("a name has 1 to 128 letters, digits, `-`, `_` or `.` and begins with a letter or digit"),
            );
        }
        check(node, value, sink) && name_fine && fine
    })
}

/// Whether a text can name an API, an upstream, a policy, …
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn check_object(
    node: NodeRef<'_>,
    object: &Object,
    beside: &[&'static str],
    sink: &mut Sink,
) -> bool {
    if !node.is_map() {
        return wrong_type(node, &format!("a map ({})", object.what), sink);
    }
    let mut fine = true;
    for (entry, value) in node.entries() {
        if beside.contains(&&*entry.key) || entry.key.starts_with("x-gateway-ext-") {
            continue;
        }
        let Some(field) = object.fields.iter().find(|field| field.key == &*entry.key) else {
            unknown_key(&entry.key, entry.key_span, object, beside, sink);
            fine = false;
            continue;
        };
        if field.need == Need::NotAvailable {
            sink.push(
                Diagnostic::new(
                    &NOT_AVAILABLE,
                    entry.key_span,
                    format!("`{}` is not available yet", field.key),
                )
                .label("known to the vocabulary, but this version cannot run it")
                .help("remove it, or use a version of gwc and gwd that has it"),
            );
            fine = false;
            continue;
        }
        let default = value.is_null() && field.need == Need::Optional;
        fine &= default || check(value, &field.shape, sink);
    }
    for field in object
        .fields
        .iter()
        .filter(|field| field.need == Need::Required)
    {
        if node.get(field.key).is_none() {
            sink.push(
                Diagnostic::new(
                    &MISSING_KEY,
                    node.span(),
                    format!("{} needs the key `{}`", object.what, field.key),
                )
                .help(format!("`{}`: {}", field.key, field.doc)),
            );
            fine = false;
        }
    }
    fine
}

fn unknown_key(
    key: &str,
    span: crate::Span,
    object: &Object,
    beside: &[&'static str],
    sink: &mut Sink,
) {
    let known = || {
        object
            .fields
            .iter()
            .map(|field| field.key)
            .chain(beside.iter().copied())
    };
    let mut finding = Diagnostic::new(
        &UNKNOWN_KEY,
        span,
        format!("unknown key `{}` in {}", key.escape_debug(), object.what),
    );
    finding = match suggest::nearest(key, known()) {
        Some(near) => finding
            .label(format!("did you mean `{near}`?"))
            .help(format!("write `{near}`"))
            .fix(span, near),
        None => finding.help(format!("known here: {}", suggest::one_of(known(), 40))),
    };
    sink.push(finding);
}

fn check_kinds(node: NodeRef<'_>, variants: &'static [Variant], sink: &mut Sink) -> bool {
    if !node.is_map() {
        return wrong_type(node, "a map with a `kind`", sink);
    }
    let known = || variants.iter().map(|variant| variant.kind);
    let Some(kind) = node.get("kind") else {
        sink.push(
            Diagnostic::new(&MISSING_KEY, node.span(), "the key `kind` is missing")
                .help(format!("write {}", suggest::one_of(known(), 40))),
        );
        return false;
    };
    let text = kind.scalar_text().unwrap_or_default();
    let Some(variant) = variants.iter().find(|variant| variant.kind == text) else {
        let mut finding = Diagnostic::new(
            &BAD_VALUE,
            kind.span(),
            format!("`{}` is not a kind that is known here", text.escape_debug()),
        );
        finding = match suggest::nearest(text, known()) {
            Some(near) => finding
                .label(format!("did you mean `{near}`?"))
                .fix(kind.span(), near),
            None => finding.help(suggest::one_of(known(), 40)),
        };
        sink.push(finding);
        return false;
    };
    match variant.object {
        Some(object) => check_object(node, object, &["kind"], sink),
        None => {
            sink.push(
                Diagnostic::new(
                    &NOT_AVAILABLE,
                    kind.span(),
                    format!("the kind `{}` is not available yet", variant.kind),
                )
                .label("known to the vocabulary, but this version cannot run it")
                .help("remove it, or use a version of gwc and gwd that has it"),
            );
            false
        }
    }
}

fn fits(node: NodeRef<'_>, shape: &Shape) -> bool {
    match shape {
        Shape::Any => true,
        Shape::List(_) => node.is_list(),
        Shape::Map(_) | Shape::Table(_) | Shape::Object(_) | Shape::Kinds(_) => node.is_map(),
        Shape::Bool => node.as_bool().is_some(),
        _ => node.scalar_text().is_some(),
    }
}

fn expectation(shape: &Shape) -> String {
    match shape {
        Shape::List(_) => "a list".into(),
        Shape::Map(_) | Shape::Table(_) | Shape::Kinds(_) => "a map".into(),
        Shape::Object(object) => format!("a map ({})", object.what),
        Shape::Bool => "`true` or `false`".into(),
        Shape::Word(words) => suggest::one_of(words.iter().copied(), 8),
        _ => "a text".into(),
    }
}

fn say_wrong(node: NodeRef<'_>, wrong: &Wrong, sink: &mut Sink) {
    let lint = match wrong.kind {
        WrongKind::Type => &WRONG_TYPE,
        WrongKind::UnitMissing => &UNIT_MISSING,
        WrongKind::Value => &BAD_VALUE,
    };
    let message = match (wrong.kind, node.scalar_text()) {
        (WrongKind::Type, _) | (_, None) => {
            format!("expected {}, found {}", wrong.expected, node.kind_name())
        }
        (WrongKind::UnitMissing, Some(text)) => format!("`{text}` has no unit"),
        (WrongKind::Value, Some(text)) => format!("`{}` cannot be used here", text.escape_debug()),
    };
    let mut finding =
        Diagnostic::new(lint, node.span(), message).label(format!("expected {}", wrong.expected));
    if let Some(help) = &wrong.help {
        finding = finding.help(help.clone());
    }
    sink.push(finding);
}

fn wrong_type(node: NodeRef<'_>, expected: &str, sink: &mut Sink) -> bool {
    let found = match node.kind() {
        Kind::String(_)
        | Kind::Number(_)
        | Kind::Bool(_)
        | Kind::Null
        | Kind::List(_)
        | Kind::Map(_) => node.kind_name(),
    };
    sink.push(
        Diagnostic::new(
            &WRONG_TYPE,
            node.span(),
            format!("expected {expected}, found {found}"),
        )
        .label(format!("expected {expected}")),
    );
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_end_at_midnight_utc() {
        assert_eq!(read_date("1970-01-01"), Some(86_400));
        assert_eq!(read_date("2024-02-29"), Some(1_709_251_200));
        assert_eq!(read_date("2027-06-30"), Some(1_814_400_000));
        for bad in [
            "2023-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-6-30",
            "27-06-30",
            "2027-06-31",
            "２０27-06-30",
        ] {
            assert_eq!(read_date(bad), None, "{bad}");
        }
    }
}
