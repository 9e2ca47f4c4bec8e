//! Conversion of settings in the configuration to [`Settings`], by one walk over the shapes of all
//! keys.

use diag::shape::{Need, Object, Shape, Variant, fits};
use diag::tree::Kind;
use diag::{NodeRef, read};

use super::{Scalar, Setting, Settings, Value};
use crate::forms;
use crate::secret::SecretRef;

/// Converts the settings in `node`, whose shape is `shape`. Skips `null`, and values that do not
/// fit the shape, which are already reported.
#[must_use]
pub fn whole(node: NodeRef<'_>, shape: &Shape) -> Settings {
    let mut walk = Walk::default();
    walk.value(node, shape);
    Settings::new(walk.found)
}

/// Settings in `node` that gwd cannot run yet: unavailable keys with everything below them, and
/// unavailable values. Skips policies and verifiers that cannot run: [`whole`] encodes them.
#[must_use]
pub fn later(node: NodeRef<'_>, shape: &Shape) -> Settings {
    let mut walk = Walk::default();
    walk.later(node, shape);
    Settings::new(walk.found)
}

#[derive(Default)]
struct Walk {
    path: Vec<String>,
    found: Vec<Setting>,
}

impl Walk {
    fn later(&mut self, node: NodeRef<'_>, shape: &Shape) {
        match shape {
            Shape::Partly(_, words) => {
                if let Some(word) = node.scalar_text().filter(|word| words.contains(word)) {
                    self.one(Scalar::Text(word.to_owned()));
                }
            }
            Shape::List(item) | Shape::Several(item) => {
                for (index, node) in node.items().enumerate() {
                    self.inside(&index.to_string(), |walk| walk.later(node, item));
                }
            }
            Shape::Map(value)
            | Shape::Table(value)
            | Shape::Keyed(_, value)
            | Shape::Known(_, value)
            | Shape::ByName(_, value) => {
                for (entry, node) in node.entries() {
                    self.inside(&entry.key, |walk| walk.later(node, value));
                }
            }
            Shape::Object(object) => self.later_of(node, object),
            Shape::Kinds(variants) => {
                if let Some(variant) = variant(node, variants).filter(|variant| variant.runs) {
                    self.later_of(node, variant.object);
                }
            }
            Shape::Either(shapes) => {
                if let Some(shape) = shapes.iter().find(|shape| fits(node, shape)) {
                    self.later(node, shape);
                }
            }
            Shape::Any
            | Shape::Bool
            | Shape::True
            | Shape::Text
            | Shape::Form(_)
            | Shape::Secret
            | Shape::TextOrSecret
            | Shape::Name(_)
            | Shape::NamePattern(_)
            | Shape::Expression(_)
            | Shape::Integer(..)
            | Shape::Duration
            | Shape::Timeout
            | Shape::Rate
            | Shape::Size
            | Shape::Percent
            | Shape::Sha256
            | Shape::Date
            | Shape::Word(_)
            | Shape::WordOrName(..) => {}
        }
    }

    fn later_of(&mut self, node: NodeRef<'_>, object: &Object) {
        for field in object.fields {
            let Some(value) = node.get(field.key) else {
                continue;
            };
            self.inside(field.key, |walk| match field.need {
                Need::NotAvailable => walk.value(value, &field.shape),
                Need::Required | Need::Optional => walk.later(value, &field.shape),
            });
        }
    }

    fn value(&mut self, node: NodeRef<'_>, shape: &Shape) {
        if node.is_null() {
            return;
        }
        match shape {
            Shape::Any => self.any(node),
            Shape::List(item) | Shape::Several(item) => self.list(node, item),
            Shape::Map(value)
            | Shape::Table(value)
            | Shape::Known(_, value)
            | Shape::ByName(_, value) => {
                self.map(node, |walk, key, node| {
                    walk.inside(key, |walk| walk.value(node, value));
                });
            }
            Shape::Keyed(form, value) => self.map(node, |walk, key, node| {
                walk.inside(&canonical(key, form), |walk| walk.value(node, value));
            }),
            Shape::Object(object) => self.object(node, object),
            Shape::Kinds(variants) => {
                if let Some(variant) = variant(node, variants) {
                    let kind = Scalar::Text(variant.kind.to_owned());
                    self.inside("kind", |walk| walk.one(kind));
                    self.object(node, variant.object);
                }
            }
            Shape::Either(shapes) => {
                if let Some(shape) = shapes.iter().find(|shape| fits(node, shape)) {
                    self.value(node, shape);
                }
            }
            scalar_shape => {
                if let Some(scalar) = scalar(node, scalar_shape) {
                    self.one(scalar);
                }
            }
        }
    }

    fn object(&mut self, node: NodeRef<'_>, object: &Object) {
        let before = self.found.len();
        for field in object.fields {
            if let Some(value) = node.get(field.key) {
                self.inside(field.key, |walk| walk.value(value, &field.shape));
            }
        }
        if self.found.len() == before {
            self.push(Value::Empty);
        }
    }

    fn map(&mut self, node: NodeRef<'_>, mut each: impl FnMut(&mut Self, &str, NodeRef<'_>)) {
        let before = self.found.len();
        for (entry, node) in node.entries() {
            each(self, &entry.key, node);
        }
        if self.found.len() == before {
            self.push(Value::Empty);
        }
    }

    /// Reads a list. Scalars become a set, because their order has no meaning. Names (such as those
    /// of a chain) and maps keep their order.
    fn list(&mut self, node: NodeRef<'_>, item: &Shape) {
        let scalars: Option<Vec<Scalar>> = node.items().map(|node| scalar(node, item)).collect();
        match scalars {
            Some(scalars) if scalars.is_empty() => self.push(Value::Empty),
            Some(scalars) if matches!(item, Shape::Name(_)) => self.push(Value::List(scalars)),
            Some(mut scalars) => {
                scalars.sort();
                scalars.dedup();
                self.push(Value::Set(scalars));
            }
            None => {
                for (index, node) in node.items().enumerate() {
                    // The index has three digits, so that `010` sorts after `009`.
                    self.inside(&format!("{index:03}"), |walk| walk.value(node, item));
                }
            }
        }
    }

    /// Reads a value whose shape is not restricted.
    fn any(&mut self, node: NodeRef<'_>) {
        match node.kind() {
            Kind::Null => self.one(Scalar::Text("null".to_owned())),
            Kind::Bool(flag) => self.one(Scalar::Flag(*flag)),
            Kind::Number(text) => self.one(match text.parse() {
                Ok(number) => Scalar::Number(number),
                Err(_) => Scalar::Text(text.to_string()),
            }),
            Kind::String(text) => self.one(Scalar::Text(text.to_string())),
            Kind::List(_) => {
                for (index, node) in node.items().enumerate() {
                    self.inside(&format!("{index:03}"), |walk| walk.any(node));
                }
                if node.items().len() == 0 {
                    self.push(Value::Empty);
                }
            }
            Kind::Map(_) => self.map(node, |walk, key, node| {
                walk.inside(key, |walk| walk.any(node));
            }),
        }
    }

    fn one(&mut self, scalar: Scalar) {
        self.push(Value::One(scalar));
    }

    fn push(&mut self, value: Value) {
        let path = self.path.clone();
        self.found.push(Setting { path, value });
    }

    fn inside(&mut self, key: &str, walk: impl FnOnce(&mut Self)) {
        self.path.push(key.to_owned());
        walk(self);
        self.path.pop();
    }
}

/// Scalar in a node, interpreted by its shape. `None` if the node is not a scalar or does not fit.
fn scalar(node: NodeRef<'_>, shape: &Shape) -> Option<Scalar> {
    Some(match shape {
        Shape::Bool | Shape::True => Scalar::Flag(node.as_bool()?),
        Shape::Integer(min, max) => Scalar::Number(read::integer(node, *min, *max).ok()?),
        Shape::Duration | Shape::Timeout => Scalar::Duration(read::duration_ms(node).ok()?),
        Shape::Rate => {
            let rate = read::rate(node).ok()?;
            Scalar::rate(rate.count, rate.period_ms)
        }
        Shape::Size => Scalar::Size(read::size_bytes(node).ok()?),
        Shape::Percent => Scalar::Share(read::percent_ppm(node).ok()?),
        Shape::Secret => Scalar::Secret(SecretRef::parse(node.as_str()?).ok()?),
        Shape::TextOrSecret => match SecretRef::parse(node.scalar_text()?) {
            Ok(reference) => Scalar::Secret(reference),
            Err(_) => Scalar::Text(node.scalar_text()?.to_owned()),
        },
        Shape::Name(_) => Scalar::Name(node.scalar_text()?.to_owned()),
        Shape::Form(form) | Shape::Expression(form) => {
            Scalar::Text(canonical(node.scalar_text()?, form))
        }
        Shape::Sha256 => Scalar::Text(node.scalar_text()?.to_ascii_lowercase()),
        Shape::Text
        | Shape::Date
        | Shape::Word(_)
        | Shape::Partly(..)
        | Shape::NamePattern(_)
        | Shape::WordOrName(..) => Scalar::Text(node.scalar_text()?.to_owned()),
        Shape::Any
        | Shape::List(_)
        | Shape::Several(_)
        | Shape::Map(_)
        | Shape::Table(_)
        | Shape::Keyed(..)
        | Shape::Known(..)
        | Shape::ByName(..)
        | Shape::Object(_)
        | Shape::Kinds(_)
        | Shape::Either(_) => return None,
    })
}

/// Converts strings that are compared case-insensitively to lower case: field and host names,
/// origins (RFC 9110 §5.1, §4.2.3).
fn canonical(text: &str, form: &diag::shape::Form) -> String {
    let caseless = [
        &raw const forms::FIELD,
        &raw const forms::FIELD_OR_ANY,
        &raw const forms::HOST,
        &raw const forms::HOST_NAME,
        &raw const forms::MEDIA_TYPE,
        &raw const forms::ORIGIN,
        &raw const forms::PLAIN_ORIGIN,
    ];
    if caseless.contains(&&raw const *form) {
        text.to_ascii_lowercase()
    } else {
        text.to_owned()
    }
}

fn variant(node: NodeRef<'_>, variants: &'static [Variant]) -> Option<&'static Variant> {
    let kind = node.get("kind").and_then(NodeRef::scalar_text)?;
    variants.iter().find(|variant| variant.kind == kind)
}
