//! Names in a node: definitions, references to definitions, and texts that are compared with names.
//!
//! [`names`] finds them by the shape of the node, so the shapes of the vocabulary are the one table
//! of all places in which a name can be.

use super::{NameKeys, Object, Shape, check::fits};
use crate::span::Span;
use crate::tree::NodeRef;

/// Name in a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'t> {
    /// Kinds of the definition, as in [`Shape::Name`]. There is one, except for keys that refer to
    /// names of several kinds.
    pub kinds: &'static [&'static str],
    /// Text of the name.
    pub text: &'t str,
    /// Source location of the text, with its quotes.
    pub span: Span,
    /// Role of the text.
    pub role: Role,
}

/// Role of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The key defines the name.
    Definition,
    /// The text refers to a definition.
    Reference,
    /// The text is compared with names ([`Shape::NamePattern`]).
    Pattern,
    /// The text is an expression ([`Shape::Expression`]). Its strings may contain names of the kind.
    Expression,
}

/// Kind of the names in expressions: `auth.scheme` is compared with `bearer by NAME`.
const IN_EXPRESSIONS: &str = "a verifier";

/// Calls `found` for every name in a node. Values that do not fit `shape` are skipped, because
/// [`super::check`] reports them.
pub fn names<'t>(node: NodeRef<'t>, shape: &'static Shape, found: &mut dyn FnMut(Name<'t>)) {
    Walk { found }.value((node, None), shape);
}

/// Calls `found` for every name in a part of a map with this shape, such as the patch of an
/// environment. `whole` is the value to which the part belongs. Its keys `kind` select the objects
/// of maps that have no `kind` themselves.
pub fn names_in<'t>(
    (part, whole): (NodeRef<'t>, Option<NodeRef<'t>>),
    shape: &'static Shape,
    found: &mut dyn FnMut(Name<'t>),
) {
    Walk { found }.value((part, whole), shape);
}

/// Calls `found` for every name in a map with the keys of `object`.
pub fn names_of<'t>(node: NodeRef<'t>, object: &'static Object, found: &mut dyn FnMut(Name<'t>)) {
    Walk { found }.object((node, None), object);
}

struct Walk<'f, 't> {
    found: &'f mut dyn FnMut(Name<'t>),
}

/// Node, and the node of the whole value to which it belongs.
type Node<'t> = (NodeRef<'t>, Option<NodeRef<'t>>);

impl<'t> Walk<'_, 't> {
    fn value(&mut self, (node, whole): Node<'t>, shape: &'static Shape) {
        match shape {
            Shape::Name(kind) => self.scalar(node, kind, Role::Reference),
            Shape::NamePattern(kind) => self.scalar(node, kind, Role::Pattern),
            Shape::WordOrName(word, kind) => {
                if node.scalar_text() != Some(word) {
                    self.scalar(node, kind, Role::Reference);
                }
            }
            Shape::List(item) | Shape::Several(item) => {
                for node in node.items() {
                    self.value((node, None), item);
                }
            }
            Shape::Map(value)
            | Shape::Table(value)
            | Shape::Keyed(_, value)
            | Shape::Known(_, value) => self.map((node, whole), value),
            Shape::ByName(keys, value) => {
                for (entry, _) in node.entries() {
                    let (kinds, role) = match keys {
                        NameKeys::Define(kind) => (std::slice::from_ref(kind), Role::Definition),
                        NameKeys::Refer(kinds) => (*kinds, Role::Reference),
                    };
                    let (text, span) = (&*entry.key, entry.key_span);
                    (self.found)(Name {
                        kinds,
                        text,
                        span,
                        role,
                    });
                }
                self.map((node, whole), value);
            }
            Shape::Object(object) => self.object((node, whole), object),
            Shape::Kinds(variants) => {
                let kind = |node: NodeRef<'t>| node.get("kind").and_then(NodeRef::scalar_text);
                let kind = kind(node).or_else(|| whole.and_then(kind));
                let variant = variants.iter().find(|variant| Some(variant.kind) == kind);
                if let Some(variant) = variant {
                    self.object((node, whole), variant.object);
                }
            }
            Shape::Either(shapes) => {
                if let Some(shape) = shapes.iter().find(|shape| fits(node, shape)) {
                    self.value((node, whole), shape);
                }
            }
            Shape::Expression(_) => self.scalar(node, &IN_EXPRESSIONS, Role::Expression),
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

    fn scalar(&mut self, node: NodeRef<'t>, kind: &'static &'static str, role: Role) {
        if let Some(text) = node.scalar_text() {
            let (kinds, span) = (std::slice::from_ref(kind), node.span());
            (self.found)(Name {
                kinds,
                text,
                span,
                role,
            });
        }
    }

    fn map(&mut self, (node, whole): Node<'t>, value: &'static Shape) {
        for (entry, node) in node.entries() {
            let whole = whole.and_then(|whole| whole.get(&entry.key));
            self.value((node, whole), value);
        }
    }

    fn object(&mut self, (node, whole): Node<'t>, object: &'static Object) {
        for field in object.fields {
            if let Some(value) = node.get(field.key) {
                let whole = whole.and_then(|whole| whole.get(field.key));
                self.value((value, whole), &field.shape);
            }
        }
    }
}
