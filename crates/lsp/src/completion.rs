//! Completion of keys, values, names and references.

use std::collections::BTreeSet;

use diag::shape::{NameKeys, Need, Shape};
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, MarkupContent,
    MarkupKind, Range, TextEdit,
};
use openapi::spec::objects::Type;

use crate::names::{Names, Role};
use crate::outline::{Entry, Kind, Outline};
use crate::project::Checked;
use crate::shapes::{self, FileKind, Place, type_text};
use crate::text::{Encoding, Text};

/// Maximum number of items in a response. The client repeats the request after the next character.
const ITEMS_MAX: usize = 1_000;

/// Noncharacters of the same length in UTF-8. A noncharacter that the document does not contain
/// marks the cursor. It is inserted into the text before the outline is read.
const MARKS: [char; 6] = [
    '\u{FFFF}', '\u{FFFE}', '\u{FDD0}', '\u{FDD1}', '\u{FDD2}', '\u{FDD3}',
];

/// Sections that define names only in gateway.yaml, with the kind of the names. [`model::sections`]
/// has the others.
const SECTIONS: [(&str, &str); 3] = [
    ("apis", "an API"),
    ("consumers", "a consumer"),
    ("environments", "an environment"),
];

/// Form of the texts to insert.
#[derive(Clone, Copy)]
enum Form {
    Yaml,
    Json,
    /// JSON, first item of a list. An alternative of `security` is inserted with braces: `{"NAME":
    /// []}`.
    JsonItem,
}

/// Candidate for the text at the cursor.
struct Candidate {
    label: String,
    /// Text to insert.
    insert: String,
    kind: CompletionItemKind,
    detail: String,
    documentation: String,
}

/// Project of a text.
#[derive(Clone, Copy)]
pub(crate) struct Known<'o> {
    pub(crate) file: FileKind,
    /// Outline of gateway.yaml, whose names other files can use.
    pub(crate) gateway: Option<&'o Outline>,
    /// Last compilation, whose names invariants and tests can use.
    pub(crate) checked: Option<&'o Checked>,
}

/// Candidates at a byte offset of a text.
pub(crate) fn complete(
    text: &Text,
    offset: usize,
    known: Known<'_>,
    encoding: Encoding,
) -> Vec<CompletionItem> {
    let mut marked = text.content().to_owned();
    let Some(mark) = MARKS.into_iter().find(|mark| !marked.contains(*mark)) else {
        return Vec::new();
    };
    marked.insert(offset, mark);
    let outline = Outline::of(&marked);
    let has_mark = |range: &std::ops::Range<usize>| marked[range.clone()].contains(mark);
    let entries = outline.entries().iter().enumerate();
    let mut at_cursor = entries.filter(|(_, entry)| has_mark(&entry.at) || has_mark(&entry.value));
    let Some((at, entry)) = at_cursor.next() else {
        return Vec::new();
    };
    let is_value = has_mark(&entry.value);
    let range = if is_value { &entry.value } else { &entry.at };
    let source = Source {
        outline: &outline,
        known,
    };
    let candidates = match is_value {
        true => source.values(at),
        false => source.at_scalar(at, entry),
    };
    let prefix = marked[range.start..offset]
        .trim_start_matches(['"', '\''])
        .to_lowercase();
    let fits = |candidate: &Candidate| candidate.label.to_lowercase().contains(&prefix);
    let end = range.end - mark.len_utf8();
    let before = marked[..range.start].trim_end().chars().next_back();
    let form = match (Outline::is_json(text.content()), before) {
        (false, _) => Form::Yaml,
        (true, Some('[')) => Form::JsonItem,
        (true, _) => Form::Json,
    };
    let range = text.range(range.start, end, encoding);
    let candidates = candidates.into_iter().filter(fits);
    candidates
        .take(ITEMS_MAX)
        .map(|one| one.item(range, form))
        .collect()
}

/// Outline at the cursor, with the sources of names.
struct Source<'o> {
    outline: &'o Outline,
    known: Known<'o>,
}

impl Source<'_> {
    /// Candidates for a key, or for a scalar without a key: an incomplete key, the value of a list
    /// item, or a value on a separate line.
    fn at_scalar(&self, at: usize, entry: &Entry) -> Vec<Candidate> {
        let path = self.path_to(entry.parent);
        let places = shapes::at(self.known.file, self.outline, &path);
        let known = self
            .outline
            .keys(entry.parent)
            .filter(|(key, _)| *key != at);
        let known: BTreeSet<&str> = known.map(|(_, key)| key).collect();
        let kind = shapes::kind_beside(self.outline, entry.parent);
        let mut all = self.scheme_names(&path);
        for place in places {
            all.extend(keys(place, kind.as_deref(), &known));
            all.extend(self.key_names(place, &known));
            if matches!(entry.kind, Kind::Scalar(_)) {
                all.extend(self.of_place(place));
            }
        }
        all
    }

    /// Candidates for the value of a key.
    fn values(&self, at: usize) -> Vec<Candidate> {
        let path = self.path_to(Some(at));
        if matches!(&self.outline.entries()[at].kind, Kind::Key(key) if key == "$ref") {
            return self.components();
        }
        let places = shapes::at(self.known.file, self.outline, &path).into_iter();
        places.flat_map(|place| self.of_place(place)).collect()
    }

    fn path_to(&self, entry: Option<usize>) -> Vec<usize> {
        entry.map_or_else(Vec::new, |entry| self.outline.path(entry))
    }

    /// Candidates for a scalar with this vocabulary.
    fn of_place(&self, place: Place) -> Vec<Candidate> {
        match place {
            Place::Shape(shape) => self.of_shape(shape),
            Place::KindOf(variants) => {
                let all = variants.iter();
                all.map(|variant| word(variant.kind, variant.object.what))
                    .collect()
            }
            Place::Openapi(Type::Bool) => words(&["true", "false"]),
            Place::Openapi(Type::Word(all) | Type::WordOf30(all) | Type::Words(all)) => words(all),
            Place::Object(_) | Place::Openapi(_) | Place::OpenapiObject(_) => Vec::new(),
        }
    }

    fn of_shape(&self, shape: &'static Shape) -> Vec<Candidate> {
        match shape {
            Shape::Bool => words(&["true", "false"]),
            Shape::True => words(&["true"]),
            Shape::Word(all) | Shape::Partly(all, _) => words(all),
            Shape::Name(kind) | Shape::NamePattern(kind) => self.names(kind),
            Shape::WordOrName(own, kind) => {
                let mut all = words(&[own]);
                all.extend(self.names(kind));
                all
            }
            Shape::Either(shapes) => shapes.iter().flat_map(|one| self.of_shape(one)).collect(),
            _ => Vec::new(),
        }
    }

    /// Names of a kind that the document, gateway.yaml or the project defines.
    fn names(&self, kind: &str) -> Vec<Candidate> {
        let kind = kind.split(" or ").next().unwrap_or(kind);
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut sections = model::sections().chain(SECTIONS);
        if let Some((section, _)) = sections.find(|(_, known)| *known == kind) {
            let own = match self.known.file {
                FileKind::Gateway => self.outline.find(&[section]),
                _ => self.outline.find(&["x-gateway", section]),
            };
            let own = own.map(|entry| (self.outline, entry));
            let shared = self
                .known
                .gateway
                .and_then(|outline| Some((outline, outline.find(&[section])?)));
            for (outline, entry) in [own, shared].into_iter().flatten() {
                names.extend(outline.keys(Some(entry)).map(|(_, key)| key.to_owned()));
            }
        }
        if matches!(self.known.file, FileKind::Invariants | FileKind::Tests) {
            let checked = self.known.checked.into_iter();
            names.extend(checked.flat_map(|checked| of_project(checked, kind)));
        }
        names.retain(|name| !name.contains(MARKS));
        let candidates = names.into_iter().map(|name| Candidate {
            insert: name.clone(),
            label: name,
            kind: CompletionItemKind::REFERENCE,
            detail: kind.to_owned(),
            documentation: String::new(),
        });
        candidates.collect()
    }

    /// Names that can be keys of a map.
    fn key_names(&self, place: Place, known: &BTreeSet<&str>) -> Vec<Candidate> {
        let Place::Shape(Shape::ByName(NameKeys::Refer(kinds), _)) = place else {
            return Vec::new();
        };
        let names = kinds.iter().flat_map(|kind| self.names(kind));
        let free = names.filter(|name| !known.contains(&*name.label));
        let keys = free.map(|name| Candidate {
            insert: format!("{}: ", name.label),
            kind: CompletionItemKind::PROPERTY,
            ..name
        });
        keys.collect()
    }

    /// Security schemes of the document, if the path leads to an alternative of `security`.
    fn scheme_names(&self, path: &[usize]) -> Vec<Candidate> {
        let kinds = path
            .iter()
            .rev()
            .map(|at| &self.outline.entries()[*at].kind);
        let kinds: Vec<&Kind> = kinds.take(2).collect();
        let is_alternative = self.known.file == FileKind::Document
            && matches!(&kinds[..], [Kind::Item, Kind::Key(key)] if key == "security");
        let schemes = self.outline.find(&["components", "securitySchemes"]);
        let Some(schemes) = schemes.filter(|_| is_alternative) else {
            return Vec::new();
        };
        let names = self.outline.keys(Some(schemes));
        let candidates = names.map(|(_, name)| Candidate {
            label: name.to_owned(),
            insert: format!("{name}: []"),
            kind: CompletionItemKind::REFERENCE,
            detail: "a security scheme".to_owned(),
            documentation: String::new(),
        });
        candidates.collect()
    }

    /// References to the components of the document.
    fn components(&self) -> Vec<Candidate> {
        let Some(components) = self.outline.find(&["components"]) else {
            return Vec::new();
        };
        let sections = self.outline.keys(Some(components));
        let all = sections.flat_map(|(section, name)| {
            let members = self.outline.keys(Some(section));
            members.map(move |(_, member)| format!("#/components/{name}/{member}"))
        });
        let candidates = all.map(|pointer| Candidate {
            insert: format!("'{pointer}'"),
            label: pointer,
            kind: CompletionItemKind::REFERENCE,
            detail: String::new(),
            documentation: String::new(),
        });
        candidates.collect()
    }
}

/// Names of a kind in the last compilation of the project, as invariants and tests write them.
fn of_project(checked: &Checked, kind: &str) -> Vec<String> {
    let model = checked.compiled.model.as_ref();
    let operations = || {
        let apis = model.into_iter().flat_map(|model| &model.apis);
        apis.flat_map(|api| api.operations.iter().map(move |operation| (api, operation)))
    };
    match kind {
        "an operation" => {
            let keys = operations().map(|(_, operation)| operation.key.clone());
            keys.collect()
        }
        "an owner" => {
            let owners = operations().filter_map(|(_, operation)| operation.owner.clone());
            owners.collect()
        }
        "a tag" => {
            let tags = operations().flat_map(|(api, operation)| {
                let (path, index) = operation.place;
                let item = api.spec.paths.get(path);
                let written = item.and_then(|item| item.operations.get(index));
                written.into_iter().flat_map(|written| &written.tags)
            });
            tags.map(|tag| tag.value.clone()).collect()
        }
        "a mount" => {
            let apis = model.into_iter().flat_map(|model| &model.apis);
            let mounts = apis.flat_map(|api| &api.mounts);
            mounts.map(|mount| mount.value.name.clone()).collect()
        }
        _ => {
            let names = Names::of(checked, false);
            let definitions = names.all.iter();
            let definitions =
                definitions.filter(|name| name.role == Role::Definition && name.kind == kind);
            let written = definitions.map(|name| name.own_target().in_project());
            written.collect()
        }
    }
}

/// Keys that can be added to a map. `known` contains the keys that the map already has.
fn keys(place: Place, kind: Option<&str>, known: &BTreeSet<&str>) -> Vec<Candidate> {
    let key = |label: &str, insert: String, detail: String, documentation: &str| Candidate {
        label: label.to_owned(),
        insert,
        kind: CompletionItemKind::PROPERTY,
        detail,
        documentation: documentation.to_owned(),
    };
    let of_openapi = match place {
        Place::OpenapiObject(object) => Some(object),
        Place::Openapi(Type::Object(object) | Type::BoolOr(object)) => Some(*object),
        Place::Openapi(_) | Place::Shape(_) | Place::Object(_) | Place::KindOf(_) => None,
    };
    let mut all: Vec<Candidate> = Vec::new();
    if let Some(object) = of_openapi {
        let fields = object.fields.iter();
        all.extend(
            fields.map(|field| key(field.key, format!("{}:", field.key), String::new(), "")),
        );
        if let Some(gateway) = object.gateway {
            let detail = gateway.what.to_owned();
            all.push(key("x-gateway", "x-gateway:".to_owned(), detail, ""));
        }
    }
    if let Place::Shape(Shape::Kinds(variants)) = place {
        let kinds: Vec<&str> = variants.iter().map(|variant| variant.kind).collect();
        all.push(key("kind", "kind: ".to_owned(), kinds.join(" | "), ""));
    }
    for field in shapes::fields(place, kind) {
        let insert = match is_collection(&field.shape) {
            true => format!("{}:", field.key),
            false => format!("{}: ", field.key),
        };
        let doc = match field.need {
            Need::NotAvailable => format!("{} Not available in this version.", field.doc),
            Need::Required | Need::Optional => field.doc.to_owned(),
        };
        all.push(key(field.key, insert, type_text(&field.shape), &doc));
    }
    all.retain(|candidate| !known.contains(&*candidate.label));
    all
}

/// True if values of a shape are maps or lists.
fn is_collection(shape: &Shape) -> bool {
    matches!(
        shape,
        Shape::List(_)
            | Shape::Several(_)
            | Shape::Map(_)
            | Shape::Table(_)
            | Shape::Keyed(..)
            | Shape::Known(..)
            | Shape::ByName(..)
            | Shape::Object(_)
            | Shape::Kinds(_)
    )
}

fn words(all: &[&str]) -> Vec<Candidate> {
    all.iter().map(|text| word(text, "")).collect()
}

fn word(text: &str, detail: &str) -> Candidate {
    Candidate {
        label: text.to_owned(),
        insert: text.to_owned(),
        kind: CompletionItemKind::VALUE,
        detail: detail.to_owned(),
        documentation: String::new(),
    }
}

impl Candidate {
    /// Text to insert in this form.
    fn text(&self, form: Form) -> String {
        let quoted = || serde_json::Value::from(self.label.as_str()).to_string();
        match (form, self.kind) {
            (Form::Yaml, _) => self.insert.clone(),
            (_, CompletionItemKind::PROPERTY) => format!("{}: ", quoted()),
            (_, CompletionItemKind::VALUE) if ["true", "false"].contains(&&*self.label) => {
                self.label.clone()
            }
            (Form::Json, _) if self.insert.ends_with(": []") => format!("{}: []", quoted()),
            (Form::JsonItem, _) if self.insert.ends_with(": []") => {
                format!("{{{}: []}}", quoted())
            }
            _ => quoted(),
        }
    }

    fn item(self, range: Range, form: Form) -> CompletionItem {
        let insert = self.text(form);
        let documentation = (!self.documentation.is_empty()).then_some(self.documentation);
        CompletionItem {
            label: self.label.clone(),
            kind: Some(self.kind),
            detail: (!self.detail.is_empty()).then_some(self.detail),
            documentation: documentation.map(|value| {
                Documentation::MarkupContent(MarkupContent {
                    kind: MarkupKind::Markdown,
                    value,
                })
            }),
            filter_text: Some(self.label),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit::new(range, insert))),
            ..CompletionItem::default()
        }
    }
}
