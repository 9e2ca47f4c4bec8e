//! Check of a node against a shape. Reports all mistakes, not only the first.

use super::lints::{
    BAD_VALUE, EMPTY_KEY, MISSING_KEY, NOT_AVAILABLE, UNIT_MISSING, UNKNOWN_KEY, WRONG_TYPE,
};
use super::{Field, Form, KnownKeys, NameKeys, Need, Object, Rule, Shape, Variant, read_date};
use crate::diagnostic::{Diagnostic, Level};
use crate::read::{self, Wrong, WrongKind};
use crate::sink::Sink;
use crate::span::Span;
use crate::suggest::{self, shown};
use crate::tree::{Entry, NodeRef};

/// Checks a node against a shape. Returns true if the node is well-formed. Well-formed parts that
/// cannot run yet are reported ([`NOT_AVAILABLE`]), but do not make the result `false`.
pub fn check(node: NodeRef<'_>, shape: &Shape, sink: &mut Sink) -> bool {
    Checker {
        sink,
        is_reported: false,
    }
    .check(node, shape)
}

/// Creates the finding for `what`, a well-formed part of the configuration that this version cannot
/// run.
#[must_use]
pub fn not_available(at: Span, what: &str, help: &str) -> Diagnostic {
    Diagnostic::new(&NOT_AVAILABLE, at, format!("{what} is not available yet"))
        .label("this version cannot run it; build, plan and apply stop here")
        .help(help)
}

struct Checker<'s> {
    sink: &'s mut Sink,
    /// True inside a value that was already reported as not available.
    is_reported: bool,
}

impl Checker<'_> {
    fn check(&mut self, node: NodeRef<'_>, shape: &Shape) -> bool {
        let sink = &mut *self.sink;
        match shape {
            Shape::Any => true,
            Shape::Bool => node.as_bool().is_some() || wrong_type(node, "`true` or `false`", sink),
            Shape::True => node.as_bool() == Some(true) || wrong_type(node, "`true`", sink),
            Shape::Text | Shape::Name(_) | Shape::NamePattern(_) | Shape::WordOrName(..) => {
                check_text(node, sink)
            }
            Shape::Form(form) | Shape::Expression(form) => {
                check_text(node, sink) && check_form(node, form, sink)
            }
            Shape::Secret => check_secret(node, sink),
            Shape::TextOrSecret => match node.as_str() {
                Some(text) if text.starts_with("${") => check_secret(node, sink),
                _ => check_text(node, sink),
            },
            Shape::Integer(min, max) => scalar(node, read::integer(node, *min, *max), sink),
            Shape::Duration => scalar(node, read::duration_ms(node), sink),
            Shape::Timeout => scalar(node, read::timeout_ms(node), sink),
            Shape::Rate => scalar(node, read::rate(node), sink),
            Shape::Size => scalar(node, read::size_bytes(node), sink),
            Shape::Percent => scalar(node, read::percent_ppm(node), sink),
            Shape::Sha256 => scalar(node, read::sha256_hex(node), sink),
            Shape::Date => check_date(node, sink),
            Shape::Word(words) => check_word(node, words, &[], sink),
            Shape::Partly(runs, later) => {
                let fine = check_word(node, runs, later, sink);
                if fine && let Some(word) = node.scalar_text().filter(|word| later.contains(word)) {
                    let help = format!("write {}", suggest::one_of(runs.iter().copied(), 8));
                    self.not_available(node.span(), &format!("`{word}`"), &help);
                }
                fine
            }
            Shape::List(item) => self.list(node, item),
            Shape::Several(item) => {
                if node.is_list() && node.items().next().is_none() {
                    sink.push(
                        Diagnostic::new(&BAD_VALUE, node.span(), "this list is empty")
                            .help("write at least one item"),
                    );
                    return false;
                }
                self.list(node, item)
            }
            Shape::Map(value) | Shape::ByName(NameKeys::Define(_), value) => {
                self.map(node, value, &is_key_name)
            }
            Shape::Table(value) | Shape::ByName(NameKeys::Refer(_), value) => {
                self.map(node, value, &|_, _, _| true)
            }
            Shape::Keyed(form, value) => self.map(node, value, &|key, span, sink| {
                (form.fits)(key) || bad_form(key, span, form, sink)
            }),
            Shape::Known(keys, value) => self.map(node, value, &|key, span, sink| {
                (keys.known)().contains(&key) || unknown_of(keys, (key, span), sink)
            }),
            Shape::Object(object) => self.object(node, object, &[]),
            Shape::Kinds(variants) => self.kinds(node, variants),
            Shape::Either(shapes) => match shapes.iter().find(|shape| fits(node, shape)) {
                Some(shape) => self.check(node, shape),
                None => {
                    let expected: Vec<String> = shapes.iter().map(expectation).collect();
                    let objects = shapes.iter().filter_map(|shape| match shape {
                        Shape::Object(object) => Some(object),
                        _ => None,
                    });
                    let mut wrong = not_a(&expected.join(" or "), node);
                    for object in objects {
                        wrong = wrong.help(keys_of(object));
                    }
                    sink.push(wrong);
                    false
                }
            },
        }
    }

    fn list(&mut self, node: NodeRef<'_>, item: &Shape) -> bool {
        if !node.is_list() {
            let found = not_a("a list", node);
            self.sink.push(match node.scalar_text() {
                Some(text) if !text.is_empty() => found.help(format!("write `[{}]`", shown(text))),
                _ => found,
            });
            return false;
        }
        // Do not use `all`, which would stop at the first wrong item.
        let wrong = node.items().filter(|node| !self.check(*node, item));
        wrong.count() == 0
    }

    fn map(
        &mut self,
        node: NodeRef<'_>,
        value: &Shape,
        key_fits: &dyn Fn(&str, Span, &mut Sink) -> bool,
    ) -> bool {
        if !node.is_map() {
            return wrong_type(node, "a map", self.sink);
        }
        let mut fine = true;
        for (entry, node) in node.entries() {
            fine &= key_fits(&entry.key, entry.key_span, self.sink);
            fine &= self.check(node, value);
        }
        fine
    }

    fn object(&mut self, node: NodeRef<'_>, object: &Object, beside: &[&'static str]) -> bool {
        if !node.is_map() {
            let wrong = not_a(&format!("a map ({})", object.what), node);
            self.sink.push(wrong.help(keys_of(object)));
            return false;
        }
        let mut fine = true;
        for (entry, value) in node.entries() {
            if beside.contains(&&*entry.key) || is_extension(&entry.key) {
                continue;
            }
            let Some(field) = object.fields.iter().find(|field| field.key == &*entry.key) else {
                unknown_key((entry, value), object, beside, self.sink);
                fine = false;
                continue;
            };
            fine &= self.field(field, entry.key_span, value);
        }
        let required = object
            .fields
            .iter()
            .filter(|field| field.need == Need::Required);
        for field in required.filter(|field| node.get(field.key).is_none()) {
            self.sink.push(
                Diagnostic::new(
                    &MISSING_KEY,
                    node.span(),
                    format!("{} needs the key `{}`", object.what, field.key),
                )
                .help(format!("`{}`: {}", field.key, field.doc)),
            );
            fine = false;
        }
        object.rules.iter().fold(fine, |fine, rule| {
            check_rule(node, object, rule, fine, self.sink) && fine
        })
    }

    fn field(&mut self, field: &Field, key: Span, value: NodeRef<'_>) -> bool {
        let inner = match field.need {
            Need::Required => return self.check(value, &field.shape),
            Need::Optional => self.is_reported,
            Need::NotAvailable => {
                let help = "remove it, or use a version of gwc and gwd that has it";
                self.not_available(key, &format!("`{}`", field.key), help);
                true
            }
        };
        // Report only a missing value. A written `null` is allowed: it restores the built-in
        // default.
        if value.is_null() && value.span().start == value.span().end {
            self.sink.push(empty(field, key));
        }
        value.is_null() || self.inside(inner, |checker| checker.check(value, &field.shape))
    }

    fn kinds(&mut self, node: NodeRef<'_>, variants: &'static [Variant]) -> bool {
        if !node.is_map() {
            return wrong_type(node, "a map with a `kind`", self.sink);
        }
        let known = || variants.iter().map(|variant| variant.kind);
        let Some(kind) = node.get("kind") else {
            self.sink.push(
                Diagnostic::new(&MISSING_KEY, node.span(), "the key `kind` is missing").help(
                    kind_as_key(node, known())
                        .unwrap_or_else(|| format!("write {}", suggest::one_of(known(), 40))),
                ),
            );
            return false;
        };
        let text = kind.scalar_text().unwrap_or_default();
        let Some(variant) = variants.iter().find(|variant| variant.kind == text) else {
            let mut finding = Diagnostic::new(
                &BAD_VALUE,
                kind.span(),
                format!("`{}` is an unknown kind", shown(text)),
            );
            finding = match suggest::nearest(text, known()) {
                Some(near) => finding
                    .label(format!("did you mean `{near}`?"))
                    .fix(kind.span(), near),
                None => finding.help(suggest::one_of(known(), 40)),
            };
            self.sink.push(finding);
            return false;
        };
        if !variant.runs {
            let help = "remove it, or use a version of gwc and gwd that has it";
            self.not_available(kind.span(), &format!("the kind `{}`", variant.kind), help);
        }
        let is_reported = self.is_reported || !variant.runs;
        self.inside(is_reported, |checker| {
            checker.object(node, variant.object, &["kind"])
        })
    }

    fn not_available(&mut self, at: Span, what: &str, help: &str) {
        if self.is_reported {
            return;
        }
        self.sink.push(not_available(at, what, help));
    }

    fn inside(&mut self, is_reported: bool, check: impl FnOnce(&mut Self) -> bool) -> bool {
        let before = std::mem::replace(&mut self.is_reported, is_reported);
        let fine = check(self);
        self.is_reported = before;
        fine
    }
}

/// Help for a map whose only key is a kind, or is similar to one, such as
/// `{rate_limit: {limit: 10/s}}`. `None` for other maps.
fn kind_as_key(node: NodeRef<'_>, known: impl IntoIterator<Item = &'static str>) -> Option<String> {
    let mut entries = node.entries();
    let (entry, value) = entries.next()?;
    if entries.next().is_some() || !value.is_map() {
        return None;
    }
    let kind = suggest::nearest(&entry.key, known)?;
    let key = shown(&entry.key);
    Some(format!(
        "write `kind: {kind}`, and the keys of `{key}` beside it"
    ))
}

fn scalar<T>(node: NodeRef<'_>, result: Result<T, Wrong>, sink: &mut Sink) -> bool {
    match result {
        Ok(_) => true,
        Err(wrong) => {
            report_wrong(node, &wrong, sink);
            false
        }
    }
}

fn check_rule(
    node: NodeRef<'_>,
    object: &Object,
    rule: &Rule,
    fits: bool,
    sink: &mut Sink,
) -> bool {
    let there = |keys: &'static [&'static str]| {
        let entries = keys.iter().filter_map(|key| node.entry(key));
        entries
            .filter(|(_, value)| !value.is_null())
            .collect::<Vec<_>>()
    };
    let (keys, least, most, lint) = match rule {
        Rule::One(keys) => (*keys, 1, 1, &BAD_VALUE),
        Rule::AnyOf(keys) => (*keys, 1, keys.len(), &BAD_VALUE),
        Rule::Apart(keys, lint) => (*keys, 0, 1, *lint),
        Rule::Elsewhere(_) => return true,
        Rule::Holds(check) => {
            let before = sink.findings().len();
            if fits {
                check(node, sink);
            }
            let found = sink.findings()[before..].iter();
            return !found
                .into_iter()
                .any(|finding| finding.level == Level::Error);
        }
    };
    let present = there(keys);
    let known = || suggest::one_of(keys.iter().copied(), keys.len());
    if present.len() < least {
        let finding = Diagnostic::new(
            &MISSING_KEY,
            node.span(),
            format!("{} needs {}", object.what, known()),
        );
        sink.push(finding.label("no such key is present"));
        return false;
    }
    if let [(first, _), .., (last, _)] = present[..]
        && present.len() > most
    {
        sink.push(
            Diagnostic::new(
                lint,
                last.key_span,
                format!("`{}` and `{}` cannot be combined", first.key, last.key),
            )
            .related(first.key_span, format!("`{}` is here", first.key))
            .help(format!("keep {}", known())),
        );
        return false;
    }
    true
}

fn check_form(node: NodeRef<'_>, form: &Form, sink: &mut Sink) -> bool {
    let text = node.scalar_text().unwrap_or_default();
    (form.fits)(text) || bad_form(text, node.span(), form, sink)
}

fn bad_form(text: &str, at: Span, form: &Form, sink: &mut Sink) -> bool {
    sink.push(
        Diagnostic::new(
            &BAD_VALUE,
            at,
            format!("`{}` cannot be used here", shown(text)),
        )
        .label(format!("expected {}", form.what))
        .help(format!("write {}", form.what)),
    );
    false
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
    let secret = ["${env:", "${file:"]
        .iter()
        .any(|start| text.starts_with(start));
    let finding = if secret {
        Diagnostic::new(&BAD_VALUE, node.span(), "a secret reference does not belong here").help(
            "only secret fields accept `${env:NAME}` or `${file:PATH}`; for a value that differs between environments write `${var:NAME}`",
        )
    } else {
        Diagnostic::new(&BAD_VALUE, node.span(), "unknown placeholder").help(REFERENCES)
    };
    sink.push(finding);
    false
}

/// Help on references to variables and secrets.
const REFERENCES: &str = "for a value that differs between environments write `${var:NAME}`, with \
its values under `environments.ENVIRONMENT.vars`; for a secret write `${env:NAME}` or \
`${file:PATH}`";

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
                .help("gwd resolves the reference; only the gateway's operator has the value"),
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

fn check_word(
    node: NodeRef<'_>,
    words: &[&'static str],
    later: &[&'static str],
    sink: &mut Sink,
) -> bool {
    let known = || words.iter().chain(later).copied();
    let Some(text) = node.scalar_text() else {
        return wrong_type(node, &suggest::one_of(known(), 8), sink);
    };
    if known().any(|word| word == text) {
        return true;
    }
    let mut finding = Diagnostic::new(
        &BAD_VALUE,
        node.span(),
        format!("`{}` is an unknown value", shown(text)),
    )
    .label(suggest::one_of(known(), 12));
    // Suggest `warn` for `warning`, for example: the difference is too large for a typo, but the
    // meaning is clear.
    let longer = || known().find(|word| word.len() > 3 && text.starts_with(word));
    if let Some(near) = suggest::nearest(text, known()).or_else(longer) {
        finding = finding
            .label(format!("did you mean `{near}`?"))
            .help(format!("write `{near}`"))
            .fix(node.span(), near);
    }
    sink.push(finding);
    false
}

/// Creates the finding for a key without a value. The finding is an error if the key is a guard
/// (see [`Field::is_guard`]).
fn empty(field: &Field, key: Span) -> Diagnostic {
    let message = format!("`{}` has no value", field.key);
    let finding = Diagnostic::new(&EMPTY_KEY, key, message);
    let finding = finding.help("write a value, or `null` for the default, or remove the key");
    match field.is_guard {
        true => finding.level(Level::Error),
        false => finding,
    }
}

/// Reports a key that is not one of the known keys. Always returns false.
fn unknown_of(keys: &KnownKeys, (key, span): (&str, Span), sink: &mut Sink) -> bool {
    let message = format!("unknown {} `{}`", keys.what, shown(key));
    let finding = Diagnostic::new(&UNKNOWN_KEY, span, message);
    let near = || suggest::nearest(key, (keys.known)().iter().copied());
    sink.push(match ((keys.elsewhere)(key), near()) {
        (Some(place), _) => finding.help(format!("it belongs {place}")),
        (None, Some(near)) => finding
            .label(format!("did you mean `{near}`?"))
            .help(format!("write `{near}`"))
            .fix(span, near),
        (None, None) => finding.help(keys.help),
    });
    false
}

fn is_key_name(key: &str, span: Span, sink: &mut Sink) -> bool {
    if is_name(key) {
        return true;
    }
    sink.push(
        Diagnostic::new(&BAD_VALUE, span, format!("`{}` cannot be a name", shown(key)))
            .help("a name has 1 to 128 letters, digits, `-`, `_` or `.` and begins with a letter or digit"),
    );
    false
}

/// True for a key that every object may have: private extensions, and `x-gateway-lint`.
fn is_extension(key: &str) -> bool {
    key == "x-gateway-lint" || key.starts_with("x-gateway-ext-")
}

/// True if a string is a valid name, for example of an API, an upstream or a policy.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn unknown_key(
    (entry, value): (&Entry, NodeRef<'_>),
    object: &Object,
    beside: &[&'static str],
    sink: &mut Sink,
) {
    let (key, span) = (&*entry.key, entry.key_span);
    let known = object.fields.iter().map(|field| field.key);
    let known = || known.clone().chain(beside.iter().copied());
    let mut finding = Diagnostic::new(
        &UNKNOWN_KEY,
        span,
        format!("unknown key `{}` in {}", shown(key), object.what),
    );
    let mut elsewhere = object.rules.iter().filter_map(|rule| match rule {
        Rule::Elsewhere(place) => place(key),
        Rule::One(_) | Rule::AnyOf(_) | Rule::Apart(..) | Rule::Holds(_) => None,
    });
    let split = suggest::split(key, known()).filter(|_| is_alone(span, value));
    finding = match (elsewhere.next(), split, suggest::nearest(key, known())) {
        (Some(place), _, _) => finding.help(format!("it belongs {place}")),
        (None, Some(split), _) => with_space(finding, (key, span), split),
        (None, None, Some(near)) => finding
            .label(format!("did you mean `{near}`?"))
            .help(format!("write `{near}`"))
            .fix(span, near),
        (None, None, None) => finding.help(format!("known here: {}", suggest::one_of(known(), 40))),
    };
    sink.push(finding);
}

/// Completes the finding for `key:value` with the known key and the value that were probably meant
/// ([`suggest::split`]).
#[must_use]
pub fn with_space(
    finding: Diagnostic,
    (key, span): (&str, Span),
    split: (&str, &str),
) -> Diagnostic {
    let (known, value) = split;
    let finding = finding
        .label("no space follows the colon")
        .help(format!("write `{known}: {}`", shown(value)));
    let colon = key.len() - value.len();
    let is_plain = (span.end - span.start) as usize == key.len();
    match (is_plain, key[..colon - 1] == *known) {
        (false, _) => finding,
        (true, true) => finding.fix(span.slice(colon, colon), " "),
        (true, false) => finding
            .fix(span.slice(0, colon - 1), known)
            .fix(span.slice(colon, colon), " "),
    }
}

/// True if nothing follows a key, not even a colon.
#[must_use]
pub fn is_alone(key: Span, value: NodeRef<'_>) -> bool {
    let span = value.span();
    value.is_null() && span.start == span.end && span.start <= key.end
}

/// True if a node has the type that a shape requires: list, map or scalar.
#[must_use]
pub fn fits(node: NodeRef<'_>, shape: &Shape) -> bool {
    match shape {
        Shape::Any => true,
        Shape::List(_) | Shape::Several(_) => node.is_list(),
        Shape::Map(_)
        | Shape::Table(_)
        | Shape::Keyed(..)
        | Shape::Known(..)
        | Shape::ByName(..)
        | Shape::Object(_)
        | Shape::Kinds(_) => node.is_map(),
        Shape::Bool | Shape::True => node.as_bool().is_some(),
        _ => node.scalar_text().is_some(),
    }
}

fn expectation(shape: &Shape) -> String {
    match shape {
        Shape::List(_) | Shape::Several(_) => "a list".into(),
        Shape::Map(_)
        | Shape::Table(_)
        | Shape::Keyed(..)
        | Shape::Known(..)
        | Shape::ByName(..)
        | Shape::Kinds(_) => "a map".into(),
        Shape::Object(object) => format!("a map ({})", object.what),
        Shape::Bool => "`true` or `false`".into(),
        Shape::True => "`true`".into(),
        Shape::Form(form) | Shape::Expression(form) => form.what.into(),
        Shape::Word(words) => suggest::one_of(words.iter().copied(), 8),
        _ => "a text".into(),
    }
}

fn report_wrong(node: NodeRef<'_>, wrong: &Wrong, sink: &mut Sink) {
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
        (WrongKind::Value, Some(text)) => format!("`{}` cannot be used here", shown(text)),
    };
    let mut finding =
        Diagnostic::new(lint, node.span(), message).label(format!("expected {}", wrong.expected));
    let reference = node.as_str().is_some_and(|text| text.starts_with('$'));
    if reference {
        finding = finding.help(REFERENCES);
    } else if let Some(help) = &wrong.help {
        finding = finding.help(help.clone());
    }
    sink.push(finding);
}

fn wrong_type(node: NodeRef<'_>, expected: &str, sink: &mut Sink) -> bool {
    sink.push(not_a(expected, node));
    false
}

/// Help for a value that must be an object: its required and its optional keys.
fn keys_of(object: &Object) -> String {
    let keys = |need: Need| {
        let keys = object.fields.iter().filter(move |field| field.need == need);
        let keys: Vec<String> = keys.map(|field| format!("`{}`", field.key)).collect();
        keys.join(", ")
    };
    let (must, may) = (keys(Need::Required), keys(Need::Optional));
    match (must.is_empty(), may.is_empty()) {
        (true, _) => format!("write a map; it may have the keys {may}"),
        (false, true) => format!("write a map with the keys {must}"),
        (false, false) => format!("write a map with the keys {must}; it may also have {may}"),
    }
}

fn not_a(expected: &str, node: NodeRef<'_>) -> Diagnostic {
    Diagnostic::new(
        &WRONG_TYPE,
        node.span(),
        format!("expected {expected}, found {}", node.kind_name()),
    )
    .label(format!("expected {expected}"))
}
