//! Structure check: walks a document along the tables of [`crate::spec::objects`] and reports all
//! mismatches, each at its source location.
//!
//! The first pass walks the document and records the type of each node. The second pass resolves
//! the collected references one by one. A target that the first pass visited must have the wanted
//! type. A target not visited yet (in another file, or under an extension) is walked as that type.
//! Each node is walked once per type, so a mistake in a shared component is reported once and
//! circular references end.

use std::collections::HashSet;

use diag::tree::BLOCK;
use diag::{Diagnostic, FileId, Lint, NodeId, NodeRef, Sink, Span, suggest};
use rustc_hash::{FxHashMap, FxHashSet};

mod follow;
mod slip;
mod unknown;

use crate::lint::allow::Holder;
use crate::lint::rules::unchecked_value;
use crate::lint::{Chosen, Place, allow, edit};
use crate::spec::lints::{
    IGNORED_PATH_ITEM, IGNORED_SIBLING, MISSING_FIELD, MISSPELT_EXTENSION, UNKNOWN_VALUE,
    WRONG_FIELD_TYPE,
};
use crate::spec::objects::{
    DOCUMENT, Field, Keys, OPERATION, Object, Others, PATH_ITEM, Reference, SCHEMA, Type,
};
use crate::spec::operation_ids::OperationIds;
use crate::spec::reference::{Resolver, reference};
use crate::spec::schema::Schemas;
use crate::spec::{Extension, Version, first_key};
use sources::syntax::lints::TOO_LARGE;
use vocab::lints::MISPLACED_EXTENSION;

/// Checks the structure and references of the document. Returns every `x-gateway` found.
pub(super) fn check(
    resolver: &Resolver<'_>,
    version: Version,
    chosen: &Chosen,
    sink: &mut Sink,
) -> Vec<Extension> {
    let schemas = Schemas::new(resolver, version);
    let mut walk = Walk {
        resolver,
        version,
        schemas: &schemas,
        operation_ids: &OperationIds::default(),
        chosen,
        under: "",
        is_outgoing: false,
        kinds: Kinds::default(),
        waiting: Vec::new(),
        walked: FxHashSet::default(),
        cycles: HashSet::new(),
        reported: HashSet::from([resolver.document().file]),
        long: false,
        unusual: Vec::new(),
        extensions: Vec::new(),
        sink,
    };
    let root = resolver.root();
    walk.object(root, &DOCUMENT, Span::start_of(resolver.document().file));
    let mut next = 0;
    let references_max = resolver.files().limits().references_max;
    while let Some(waiting) = walk.waiting.get(next).copied() {
        if next == references_max {
            let message = format!("the document has more than {references_max} references");
            let finding = Diagnostic::new(&TOO_LARGE, waiting.reference.span(), message);
            let help = "use fewer, or allow more with `--max-references`";
            walk.sink.push(finding.help(help));
            break;
        }
        walk.under = "";
        walk.follow(waiting);
        next += 1;
    }
    walk.report_unusual();
    let extensions = walk.extensions;
    unchecked_value::report(&schemas, sink);
    extensions
}

/// Object types that each node was checked against. The key is the number of a block of [`BLOCK`]
/// nodes. The value contains one bit mask for each node, with the bit [`Object::bit`] set for each
/// object type. Blocks save memory, because the tree may contain two hundred documents, and the
/// check of one document visits only a part of the tree.
type Kinds = FxHashMap<u32, Box<[u64; BLOCK]>>;

/// Type that the target of a `$dynamicRef` must have: a schema.
static ANY_SCHEMA: Type = Type::BoolOr(&SCHEMA);

/// Type recorded in [`Walk::walked`] for the nodes inside a free value (`default`, `enum`,
/// `example`, …).
static FREE_VALUE: Type = Type::Any;

struct Walk<'r, 'a> {
    resolver: &'r Resolver<'a>,
    version: Version,
    schemas: &'r Schemas<'r, 'a>,
    operation_ids: &'r OperationIds<'a>,
    chosen: &'r Chosen,
    /// Name of the innermost field that is being walked.
    under: &'static str,
    /// True inside `webhooks` and `callbacks`.
    is_outgoing: bool,
    kinds: Kinds,
    waiting: Vec<Waiting<'a>>,
    /// References and non-object values that were already checked, each with the type that it was
    /// checked against.
    walked: FxHashSet<(NodeId, *const Type)>,
    cycles: HashSet<NodeId>,
    reported: HashSet<FileId>,
    /// True if the document has a chain of references that is too long.
    long: bool,
    unusual: Vec<Span>,
    extensions: Vec<Extension>,
    sink: &'r mut Sink,
}

/// Reference to be resolved by the second pass.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    holder: NodeRef<'a>,
    reference: NodeRef<'a>,
    wanted: &'static Type,
}

impl<'a> Walk<'_, 'a> {
    fn value(&mut self, node: NodeRef<'a>, ty: &'static Type, at: Span) {
        if let Type::Any = ty {
            return self.json_value(node);
        }
        if let Some(text) = reference(node) {
            self.reference(node, text, ty, at);
            return;
        }
        match ty {
            Type::Any => {}
            Type::Text => {
                if node.as_str().is_none() {
                    self.wrong_type(node, "a string");
                }
            }
            Type::Bool => {
                if node.as_bool().is_none() {
                    self.wrong_type(node, "`true` or `false`");
                }
            }
            Type::Number => match node.kind() {
                diag::Kind::Number(text) if is_finite(text) => {}
                diag::Kind::Number(_) => self.wrong_type(node, "a finite number"),
                _ => self.wrong_type(node, "a number"),
            },
            Type::Count => {
                if !is_count(node) {
                    self.wrong_type(node, "a whole number, not negative");
                }
            }
            Type::Positive => {
                if !is_positive(node) {
                    self.wrong_type(node, "a number above zero");
                }
            }
            Type::WordOf30(_) if node.is_list() || node.as_str() == Some("null") => {}
            Type::Word(words) | Type::WordOf30(words) => self.word(node, words),
            Type::Words(words) if node.is_list() => {
                node.items().for_each(|item| self.word(item, words));
            }
            Type::Words(words) => self.word(node, words),
            Type::List(item) => {
                if !node.is_list() {
                    return self.wrong_type(node, "a list");
                }
                for value in node.items() {
                    self.value(value, item, first_key(value));
                }
            }
            Type::Map(keys, ty) => {
                if !node.is_map() {
                    return self.wrong_type(node, "a map");
                }
                for (entry, value) in node.entries() {
                    self.key(&entry.key, entry.key_span, value, *keys);
                    self.value(value, ty, entry.key_span);
                }
            }
            Type::Object(object) => self.object(node, object, at),
            Type::BoolOr(object) => match node.as_bool() {
                Some(_) => self.mark(node, object),
                None => self.object(node, object, at),
            },
        }
    }

    /// Reports numbers in a free value (`default`, `enum`, `example`, …) that JSON does not have.
    fn json_value(&mut self, node: NodeRef<'a>) {
        match node.kind() {
            diag::Kind::Number(text) if !is_finite(text) => {
                self.wrong_type(node, "a finite number");
            }
            _ if !node.is_map() && !node.is_list() => {}
            // Check each value only once, because aliases can repeat a value any number of times.
            _ if !self
                .walked
                .insert((node.id(), std::ptr::from_ref(&FREE_VALUE))) => {}
            _ => {
                node.items().for_each(|item| self.json_value(item));
                node.entries().for_each(|(_, value)| self.json_value(value));
            }
        }
    }

    /// Records a reference that was found instead of a value, and checks the fields beside it.
    fn reference(&mut self, node: NodeRef<'a>, text: NodeRef<'a>, ty: &'static Type, at: Span) {
        let object = match ty {
            Type::Object(object) | Type::BoolOr(object) => Some(*object),
            _ => None,
        };
        // A map with a string in `$ref` is a reference, not a map with a property named `$ref`.
        if !self.walked.insert((node.id(), std::ptr::from_ref(ty))) {
            return;
        }
        self.waiting.push(Waiting {
            holder: node,
            reference: text,
            wanted: ty,
        });
        match object {
            Some(object) if object.bit == PATH_ITEM.bit => {
                self.mark(node, object);
                self.siblings(node, &IGNORED_PATH_ITEM, false);
            }
            Some(object) if object.bit == SCHEMA.bit && self.version >= Version::V31 => {
                self.object(node, object, at);
            }
            Some(object) if object.reference == Reference::Allowed => {
                self.mark(node, object);
                self.siblings(node, &IGNORED_SIBLING, object.bit == SCHEMA.bit);
            }
            Some(_) | None => {
                if let Some(object) = object {
                    self.mark(node, object);
                }
                self.siblings(node, &IGNORED_SIBLING, false);
                self.unusual.push(text.span());
            }
        }
    }

    /// Reports sibling fields of a `$ref`. In a path item this is an error, because operations
    /// beside the reference would be ignored.
    fn siblings(&mut self, node: NodeRef<'a>, lint: &'static Lint, is_schema: bool) {
        let lost = std::ptr::eq(lint, &raw const IGNORED_PATH_ITEM);
        for (entry, _) in node.entries() {
            if &*entry.key == "x-gateway" {
                self.sink.push(
                    Diagnostic::new(
                        &MISPLACED_EXTENSION,
                        entry.key_span,
                        "`x-gateway` has no meaning here",
                    )
                    .label("everything beside `$ref` is ignored")
                    .help("write it at the target of the reference, or write the value here instead of the reference"),
                );
                continue;
            }
            // From 3.1 on, `summary` and `description` beside a `$ref` replace the texts of the
            // target. In a path item they have no effect on the gateway.
            let is_prose = matches!(&*entry.key, "summary" | "description");
            let harmless = is_prose && (lost || self.version >= Version::V31);
            if &*entry.key == "$ref" || harmless || entry.key.starts_with("x-") {
                continue;
            }
            let finding = Diagnostic::new(
                lint,
                entry.key_span,
                format!("`{}` beside `$ref` is ignored", entry.key.escape_debug()),
            )
            .help(match is_schema {
                true => "wrap the reference: `allOf: [{$ref: …}]`",
                false => "remove it, or change the target of the reference",
            });
            // Do not suggest deleting the user's fields. A schema can combine them with the
            // reference in `allOf`; in other objects the user must decide.
            let wrapped = edit::reference_wrapped(self.resolver.files(), node);
            self.sink.push(match wrapped.filter(|_| is_schema) {
                Some([before, behind]) => finding.fix(before.0, before.1).fix(behind.0, behind.1),
                None => finding,
            });
        }
    }

    fn mark(&mut self, node: NodeRef<'a>, object: &Object) {
        let (block, at) = node.id().block();
        let block = self.kinds.entry(block);
        block.or_insert_with(|| Box::new([0; BLOCK]))[at] |= 1 << object.bit;
    }

    fn is(&self, node: NodeRef<'a>) -> u64 {
        let (block, at) = node.id().block();
        self.kinds.get(&block).map_or(0, |block| block[at])
    }

    fn object(&mut self, node: NodeRef<'a>, object: &'static Object, at: Span) {
        if self.is(node) & (1 << object.bit) != 0 {
            return;
        }
        self.mark(node, object);
        if !node.is_map() {
            return self.no_map(node, object);
        }
        let (under, is_outgoing) = (self.under, self.is_outgoing);
        for (entry, value) in node.entries() {
            let key = &*entry.key;
            self.under = "";
            self.is_outgoing = is_outgoing || matches!(key, "webhooks" | "callbacks");
            if key == "$dynamicRef" && object.bit == SCHEMA.bit && value.as_str().is_some() {
                self.waiting.push(Waiting {
                    holder: node,
                    reference: value,
                    wanted: &ANY_SCHEMA,
                });
            } else if key == "$ref" && value.as_str().is_none() && is_referable(object) {
                self.wrong_type(value, "a string");
            } else if let Some(field) = object.field(key, self.version) {
                self.under = field.key;
                self.value(value, &field.ty, entry.key_span);
            } else if key.starts_with("x-")
                && !matches!(object.others, Others::Map(Keys::Free | Keys::Component, _))
            {
                self.extension(key, entry.key_span, object);
                if let Some(object_shape) = object.gateway.filter(|_| key == "x-gateway") {
                    self.extensions.push((value.id(), object_shape));
                }
                if key == allow::KEY {
                    allow::check(value, holder(object, is_outgoing), self.sink);
                }
            } else if let Some(meant) = misspelt_gateway(key)
                && !matches!(object.others, Others::Map(..))
            {
                self.misspelt_extension(key, entry.key_span, &meant);
            } else {
                match &object.others {
                    Others::Map(keys, ty) => {
                        self.key(key, entry.key_span, value, *keys);
                        self.value(value, ty, entry.key_span);
                    }
                    Others::Keywords if self.version >= Version::V31 => {
                        unknown::report_misspelt(self, (key, entry.key_span, value), object);
                    }
                    Others::Keywords | Others::None => {
                        unknown::report(self, node, key, object);
                    }
                }
            }
        }
        self.is_outgoing = is_outgoing;
        for field in object.fields {
            if field.required.has(self.version) && node.get(field.key).is_none() {
                self.missing(field, object, at);
            }
        }
        let place = Place {
            node,
            object: Some(object),
            at,
            under,
            version: self.version,
            resolver: self.resolver,
            schemas: self.schemas,
            operation_ids: self.operation_ids,
        };
        for check in self.chosen.on(object) {
            check(&place, self.sink);
        }
    }

    fn key(&mut self, key: &'a str, span: Span, value: NodeRef<'a>, keys: Keys) {
        if keys == Keys::Free {
            return;
        }
        let place = Place {
            node: value,
            object: None,
            at: span,
            under: "",
            version: self.version,
            resolver: self.resolver,
            schemas: self.schemas,
            operation_ids: self.operation_ids,
        };
        for check in self.chosen.on_keys(keys) {
            check(key, &place, self.sink);
        }
    }

    fn extension(&mut self, key: &str, span: Span, object: &Object) {
        let ours = key.starts_with("x-gateway");
        let fine = match key {
            "x-gateway" => object.gateway.is_some(),
            "x-gateway-lint" => true,
            _ if ours => key.starts_with("x-gateway-ext-"),
            _ => true,
        };
        if fine {
            if let Some(meant) = misspelt_gateway(key).filter(|_| !ours) {
                self.misspelt_extension(key, span, &meant);
            }
            return;
        }
        let finding = if key == "x-gateway" {
            // The message is the same as in the model crate, so that a finding of both crates is
            // reported once.
            Diagnostic::new(&MISPLACED_EXTENSION, span, "`x-gateway` has no meaning here")
                .label(format!("it has no meaning in {}", object.what))
                .help("it belongs at the root, a server, a path, an operation, a parameter, a security scheme, a schema or a response")
        } else if let Some(meant) = misspelt_gateway(key) {
            return self.misspelt_extension(key, span, &meant);
        } else {
            Diagnostic::new(
                &MISSPELT_EXTENSION,
                span,
                format!("`{}` is not a key of the gateway's vocabulary", key.escape_debug()),
            )
            .help("the keys are `x-gateway` and `x-gateway-lint`; private additions begin with `x-gateway-ext-`")
        };
        self.sink.push(finding);
    }

    /// Reports a key that resembles a key of the gateway. `meant` is the probable key.
    fn misspelt_extension(&mut self, key: &str, span: Span, meant: &str) {
        let looks = format!(
            "`{}` looks like `{meant}`, but has no meaning",
            key.escape_debug()
        );
        self.sink.push(
            Diagnostic::new(&MISSPELT_EXTENSION, span, looks)
                .label(format!("did you mean `{meant}`?"))
                .help(format!("write `{meant}`"))
                .fix(span, meant),
        );
    }

    fn missing(&mut self, field: &Field, object: &Object, at: Span) {
        self.sink.push(
            Diagnostic::new(
                &MISSING_FIELD,
                at,
                format!("{} needs the field `{}`", object.what, field.key),
            )
            .label(format!("`{}` is missing", field.key)),
        );
    }

    fn word(&mut self, node: NodeRef<'a>, words: &'static [&'static str]) {
        let Some(text) = node.as_str() else {
            return self.wrong_type(node, &suggest::one_of(words.iter().copied(), 8));
        };
        if words.contains(&text) {
            return;
        }
        let mut finding = Diagnostic::new(
            &UNKNOWN_VALUE,
            node.span(),
            format!("`{}` is an unknown value", text.escape_debug()),
        )
        .label(suggest::one_of(words.iter().copied(), 12));
        if let Some(near) = suggest::nearest(text, words.iter().copied()) {
            finding = finding
                .help(format!("did you mean `{near}`?"))
                .fix(node.span(), near);
        }
        self.sink.push(finding);
    }

    fn no_map(&mut self, node: NodeRef<'a>, object: &Object) {
        let expected = format!("a map ({})", object.what);
        if !(object.bit == SCHEMA.bit && self.under == "items" && node.is_list()) {
            return self.wrong_type(node, &expected);
        }
        let message = format!("expected {expected}, found a list");
        let finding = Diagnostic::new(&WRONG_FIELD_TYPE, node.span(), message);
        let help = match self.version {
            Version::V30 => "write one schema for all items; 3.0 cannot describe items by position",
            Version::V31 | Version::V32 => "write `prefixItems` for schemas by position",
        };
        self.sink
            .push(finding.label(format!("expected {expected}")).help(help));
    }

    fn wrong_type(&mut self, node: NodeRef<'a>, expected: &str) {
        let found = match node.kind() {
            // The value has the right type, but this number is not allowed, so show the number.
            diag::Kind::Number(number) if expected.contains("number") => format!("`{number}`"),
            _ => node.kind_name().to_owned(),
        };
        let mut finding = Diagnostic::new(
            &WRONG_FIELD_TYPE,
            node.span(),
            format!("expected {expected}, found {found}"),
        )
        .label(format!("expected {expected}"));
        if expected == "a string"
            && let Some(text) = node.scalar_text()
        {
            finding = finding
                .help(format!("put it in quotes: `\"{text}\"`"))
                .fix(node.span(), format!("\"{text}\""));
        }
        if node.is_null() && expected.contains("`null`") {
            finding = finding
                .help("the type is a string: write `\"null\"` in quotes")
                .fix(node.span(), "\"null\"");
        }
        self.sink.push(finding);
    }
}

/// True if JSON can represent the number. False for YAML's `.inf` and `.nan`.
fn is_finite(number: &str) -> bool {
    let text = number.to_ascii_lowercase();
    !(text.ends_with(".inf") || text.ends_with(".nan"))
}

/// Effect of an `x-gateway-lint` in this object on checks of client contracts. `is_outgoing`: true
/// inside `webhooks` and `callbacks`.
fn holder(object: &Object, is_outgoing: bool) -> Holder {
    let all = [&DOCUMENT, &PATH_ITEM, &OPERATION];
    match all.iter().any(|one| one.bit == object.bit) {
        true if is_outgoing => Holder::Outgoing,
        true => Holder::Operations,
        false => Holder::Other,
    }
}

/// True if a `$ref` with a string is always a reference in this object, and never a field with a
/// free name.
fn is_referable(object: &Object) -> bool {
    object.reference == Reference::Allowed
}

/// Returns the key of the gateway that a misspelt key probably means (`x-gatway`, `x_gateway`,
/// `xgateway`, `x-gatway-lint`, `x-gatway-ext-…`). Allows two wrong letters if the word begins with
/// `g` after `x-`, otherwise one, because `x-pathway` is another tool's extension.
fn misspelt_gateway(key: &str) -> Option<String> {
    let folded = key.to_lowercase().replace('_', "-");
    let rest = folded.strip_prefix('x')?;
    let (rest, is_extension) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let (word, rest) = rest.split_at(rest.find('-').unwrap_or(rest.len()));
    let letters = if is_extension && word.starts_with('g') {
        2
    } else {
        1
    };
    let near = strsim::damerau_levenshtein(word, "gateway") <= letters;
    let meant = near.then(|| format!("x-gateway{rest}"))?;
    if meant.starts_with("x-gateway-ext-") {
        return (meant != key).then_some(meant);
    }
    let known = ["x-gateway", "x-gateway-lint"];
    let nearest = suggest::nearest(&meant, known)?;
    (nearest != key).then(|| nearest.to_owned())
}

fn is_positive(node: NodeRef<'_>) -> bool {
    let diag::Kind::Number(text) = node.kind() else {
        return false;
    };
    text.parse::<f64>().map_or(true, |number| number > 0.0)
}

fn is_count(node: NodeRef<'_>) -> bool {
    let diag::Kind::Number(text) = node.kind() else {
        return false;
    };
    // JSON Schema counts `1.0` and `1e3` as integers, and numbers beyond 2^63 as well.
    text.parse::<f64>()
        .is_ok_and(|number| number >= 0.0 && number.fract() == 0.0)
}
