//! Vocabulary at a place of an outline: the keys and values that a file may have there.

use diag::shape::{Field, NameKeys, Object, Shape, Variant};
use openapi::spec::objects::{self, DOCUMENT, Others, Type};
use vocab::{gateway, invariant_file, test_file};

use crate::outline::{Kind, Outline};

/// Key of the gateway's settings in an OpenAPI document.
const EXTENSION: &str = "x-gateway";

/// Kind of a file, which defines its vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Gateway,
    Document,
    Consumers,
    Acknowledgements,
    Invariants,
    Tests,
}

/// Vocabulary of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// A value of gateway.yaml or `x-gateway`.
    Shape(&'static Shape),
    /// An object of gateway.yaml or `x-gateway`.
    Object(&'static Object),
    /// The value of `kind`.
    KindOf(&'static [Variant]),
    /// A value of OpenAPI.
    Openapi(&'static Type),
    /// An object of OpenAPI.
    OpenapiObject(&'static objects::Object),
}

impl FileKind {
    /// Vocabulary of the whole file.
    fn root(self) -> Place {
        match self {
            Self::Gateway => Place::Shape(&gateway::SHAPE),
            Self::Document => Place::OpenapiObject(&DOCUMENT),
            Self::Consumers => Place::Shape(&gateway::CONSUMERS),
            Self::Acknowledgements => Place::Shape(&gateway::ACKNOWLEDGEMENTS),
            Self::Invariants => Place::Shape(&invariant_file::INVARIANTS),
            Self::Tests => Place::Shape(&test_file::TESTS),
        }
    }
}

/// Vocabulary of the value of the last entry of `path`. Several if the type of the value selects
/// one of them. Empty if the place has no vocabulary, such as inside an example.
pub(crate) fn at(file: FileKind, outline: &Outline, path: &[usize]) -> Vec<Place> {
    let mut places = vec![file.root()];
    for entry in path {
        let step = &outline.entries()[*entry];
        places = match &step.kind {
            Kind::Scalar(_) => places,
            Kind::Item => places.into_iter().flat_map(items).collect(),
            Kind::Key(key) => {
                let kind = kind_beside(outline, step.parent);
                let below = |place| below(place, key, kind.as_deref());
                places.into_iter().flat_map(below).collect()
            }
        };
    }
    places
}

/// Value of the key `kind` in the map of the entry at index `parent`. `None` as `parent`: the map
/// at the root.
pub(crate) fn kind_beside(outline: &Outline, parent: Option<usize>) -> Option<String> {
    let (at, _) = outline.keys(parent).find(|(_, key)| *key == "kind")?;
    outline.scalar(at).map(str::to_owned)
}

/// Fields of a map with this vocabulary. `kind` is the value of the key `kind` in that map.
pub(crate) fn fields(place: Place, kind: Option<&str>) -> Vec<&'static Field> {
    let of_kind = |variants: &'static [Variant]| {
        let variant = variants.iter().find(|variant| Some(variant.kind) == kind);
        variant.map(|variant| variant.object)
    };
    match place {
        Place::Object(object) => object.fields.iter().collect(),
        Place::Shape(Shape::Object(object)) => object.fields.iter().collect(),
        Place::Shape(Shape::Kinds(variants)) => {
            let object = of_kind(variants);
            object.map_or_else(Vec::new, |object| object.fields.iter().collect())
        }
        Place::Shape(Shape::Either(shapes)) => {
            let all = shapes.iter().map(Place::Shape);
            all.flat_map(|place| fields(place, kind)).collect()
        }
        Place::Shape(_) | Place::KindOf(_) | Place::Openapi(_) | Place::OpenapiObject(_) => {
            Vec::new()
        }
    }
}

/// Vocabulary of the value of `key` in a map.
pub(crate) fn below(place: Place, key: &str, kind: Option<&str>) -> Vec<Place> {
    match place {
        Place::Shape(Shape::Kinds(variants)) if key == "kind" => vec![Place::KindOf(variants)],
        Place::Shape(
            Shape::Map(value)
            | Shape::Table(value)
            | Shape::Keyed(_, value)
            | Shape::Known(_, value)
            | Shape::ByName(_, value),
        ) => vec![Place::Shape(value)],
        Place::Shape(Shape::Either(shapes)) => {
            let all = shapes.iter().map(Place::Shape);
            all.flat_map(|place| below(place, key, kind)).collect()
        }
        Place::Shape(_) | Place::Object(_) => {
            let fields = fields(place, kind).into_iter();
            let own = fields.filter(|field| field.key == key);
            own.map(|field| Place::Shape(&field.shape)).collect()
        }
        Place::KindOf(_) => Vec::new(),
        Place::Openapi(Type::Map(_, value)) => vec![of_type(value)],
        Place::Openapi(Type::Object(object) | Type::BoolOr(object)) => in_object(object, key),
        Place::Openapi(_) => Vec::new(),
        Place::OpenapiObject(object) => in_object(object, key),
    }
}

fn in_object(object: &'static objects::Object, key: &str) -> Vec<Place> {
    if key == EXTENSION {
        return object.gateway.map(Place::Object).into_iter().collect();
    }
    let field = object.fields.iter().find(|field| field.key == key);
    let others = match &object.others {
        Others::Map(_, value) => Some(*value),
        Others::None | Others::Keywords => None,
    };
    let ty = field.map(|field| &field.ty).or(others);
    ty.map(of_type).into_iter().collect()
}

fn of_type(ty: &'static Type) -> Place {
    match ty {
        Type::Object(object) => Place::OpenapiObject(object),
        other => Place::Openapi(other),
    }
}

/// Vocabulary of the items of a list.
pub(crate) fn items(place: Place) -> Vec<Place> {
    match place {
        Place::Shape(Shape::List(item) | Shape::Several(item)) => vec![Place::Shape(item)],
        Place::Shape(Shape::Either(shapes)) => {
            shapes.iter().map(Place::Shape).flat_map(items).collect()
        }
        Place::Openapi(Type::List(item)) => vec![of_type(item)],
        Place::Shape(_)
        | Place::Object(_)
        | Place::KindOf(_)
        | Place::Openapi(_)
        | Place::OpenapiObject(_) => Vec::new(),
    }
}

/// Vocabularies of the members or items of a value, whatever their keys are.
pub(crate) fn children(place: Place) -> Vec<Place> {
    let keys: Vec<&str> = match place {
        Place::OpenapiObject(object) => {
            let fields = object.fields.iter().map(|field| field.key);
            // The empty key stands for the keys beside the fields.
            fields.chain([EXTENSION, ""]).collect()
        }
        Place::Openapi(_) => vec![""],
        Place::Shape(Shape::Kinds(variants)) => {
            let fields = variants.iter().flat_map(|variant| variant.object.fields);
            return fields.map(|field| Place::Shape(&field.shape)).collect();
        }
        Place::Shape(_) | Place::Object(_) => {
            let fields = fields(place, None).into_iter();
            fields.map(|field| field.key).chain([""]).collect()
        }
        Place::KindOf(_) => Vec::new(),
    };
    let members = keys.into_iter().flat_map(|key| below(place, key, None));
    members.chain(items(place)).collect()
}

/// Type of a value in a few words, with an example of its form.
pub(crate) fn type_text(shape: &Shape) -> String {
    match shape {
        Shape::Any => "any value".to_owned(),
        Shape::Bool => "true or false".to_owned(),
        Shape::True => "true".to_owned(),
        Shape::Text | Shape::NamePattern(_) => "string".to_owned(),
        Shape::Form(form) | Shape::Expression(form) => form.what.to_owned(),
        Shape::Secret => "${env:NAME} or ${file:PATH}".to_owned(),
        Shape::TextOrSecret => "string, ${env:NAME} or ${file:PATH}".to_owned(),
        Shape::Name(what) => format!("name of {what}"),
        Shape::WordOrName(word, what) => format!("`{word}`, or the name of {what}"),
        Shape::Integer(min, i64::MAX) => format!("integer, at least {min}"),
        Shape::Integer(min, max) => format!("integer, {min} to {max}"),
        Shape::Duration => "duration, such as 500ms".to_owned(),
        Shape::Timeout => "duration above 0, such as 5s".to_owned(),
        Shape::Rate => "rate, such as 100/s".to_owned(),
        Shape::Size => "size, such as 1MiB".to_owned(),
        Shape::Percent => "percentage, such as 10%".to_owned(),
        Shape::Sha256 => "SHA-256 in hexadecimal".to_owned(),
        Shape::Date => "date, such as 2027-06-30".to_owned(),
        Shape::Word(words) => words.join(" | "),
        Shape::Partly(runs, later) => [*runs, *later].concat().join(" | "),
        Shape::List(item) | Shape::Several(item) => format!("list: {}", type_text(item)),
        Shape::Map(value) | Shape::ByName(NameKeys::Define(_), value) => {
            format!("map of names: {}", type_text(value))
        }
        Shape::Table(value)
        | Shape::ByName(NameKeys::Refer(_), value)
        | Shape::Keyed(_, value)
        | Shape::Known(_, value) => {
            format!("map: {}", type_text(value))
        }
        Shape::Object(object) => object.what.to_owned(),
        Shape::Kinds(variants) => {
            let kinds: Vec<&str> = variants.iter().map(|variant| variant.kind).collect();
            format!("kind: {}", kinds.join(" | "))
        }
        Shape::Either(shapes) => {
            let all: Vec<String> = shapes.iter().map(type_text).collect();
            all.join(", or ")
        }
    }
}
