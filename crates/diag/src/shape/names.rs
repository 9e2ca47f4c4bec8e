//! Names in a node that refer to other definitions.

use super::{Object, Shape, check::fits};
use crate::tree::NodeRef;

/// Calls `found` for every name in a node that refers to another definition. The first argument is
/// the kind of the definition (the string in [`Shape::Name`]). Values that do not fit `shape` are
/// skipped, because [`super::check`] reports them.
pub fn names<'t>(
    node: NodeRef<'t>,
    shape: &Shape,
    found: &mut dyn FnMut(&'static str, NodeRef<'t>),
) {
    match shape {
        Shape::Name(what) => {
            if node.scalar_text().is_some() {
                found(what, node);
            }
        }
        Shape::WordOrName(word, what) => {
            if node.scalar_text().is_some_and(|text| text != *word) {
                found(what, node);
            }
        }
        Shape::List(item) | Shape::Several(item) => {
            for node in node.items() {
                names(node, item, found);
            }
        }
        Shape::Map(value)
        | Shape::Table(value)
        | Shape::Keyed(_, value)
        | Shape::Known(_, value) => {
            for (_, node) in node.entries() {
                names(node, value, found);
            }
        }
        Shape::Object(object) => in_object(node, object, found),
        Shape::Kinds(variants) => {
            let kind = node.get("kind").and_then(NodeRef::scalar_text);
            let variant = variants.iter().find(|variant| Some(variant.kind) == kind);
            if let Some(variant) = variant {
                in_object(node, variant.object, found);
            }
        }
        Shape::Either(shapes) => {
            if let Some(shape) = shapes.iter().find(|shape| fits(node, shape)) {
                names(node, shape, found);
            }
        }
        Shape::Any
        | Shape::Bool
        | Shape::True
        | Shape::Text
        | Shape::Form(_)
        | Shape::Secret
        | Shape::TextOrSecret
        | Shape::Integer(..)
        | Shape::Duration
        | Shape::Timeout
        | Shape::Rate
        | Shape::Size
        | Shape::Percent
        | Shape::Sha256
        | Shape::Date
        | Shape::Word(_)
        | Shape::Partly(..) => {}
    }
}

fn in_object<'t>(
    node: NodeRef<'t>,
    object: &Object,
    found: &mut dyn FnMut(&'static str, NodeRef<'t>),
) {
    for field in object.fields {
        if let Some(value) = node.get(field.key) {
            names(value, &field.shape, found);
        }
    }
}
