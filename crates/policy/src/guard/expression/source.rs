//! Text of an expression in the bundle. Plans build many gateways with the same expressions, and
//! often query the values that an expression reads. The text is therefore compiled only once.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use http::HeaderName;
use minicbor::{Decode, Decoder, Encode, Encoder};

use super::{Expression, Form, reads};

/// Paths of the values that an expression reads ([`Expression::reads`]).
pub type Paths = BTreeSet<Vec<String>>;

/// Text of an expression. Copies share the compiled expression.
#[derive(Clone)]
pub struct Source {
    text: String,
    form: Form,
    /// Compiled expression, once it was needed. `None`: this version cannot compile the text.
    compiled: Arc<OnceLock<Option<Compiled>>>,
}

/// Compiled expression and the values that it reads.
struct Compiled {
    expression: Arc<Expression>,
    reads: Paths,
}

impl Source {
    /// Expression of this form, with this text.
    #[must_use]
    pub fn new(text: &str, form: Form) -> Self {
        Self {
            text: text.to_owned(),
            form,
            compiled: Arc::default(),
        }
    }

    /// Text of the expression.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Paths of the values that the expression reads. `None` if this version cannot compile it.
    #[must_use]
    pub fn reads(&self) -> Option<&Paths> {
        self.compiled().map(|compiled| &compiled.reads)
    }

    /// Compiled expression. `None` if this version cannot compile it.
    pub(crate) fn expression(&self) -> Option<Arc<Expression>> {
        let compiled = self.compiled()?;
        Some(Arc::clone(&compiled.expression))
    }

    /// Compiles the expression at the first call.
    fn compiled(&self) -> Option<&Compiled> {
        let compiled = || {
            let expression = compile(&self.text, self.form)?;
            Some(Compiled {
                reads: expression.reads(),
                expression,
            })
        };
        self.compiled.get_or_init(compiled).as_ref()
    }

    /// Names of the request fields that the expression reads.
    pub(crate) fn fields(&self) -> Vec<HeaderName> {
        let names = self.reads().map(reads::fields).unwrap_or_default();
        let names = names.into_iter();
        names
            .filter_map(|name| HeaderName::try_from(name).ok())
            .collect()
    }

    /// True if the expression reads the path of the request.
    pub(crate) fn reads_path(&self) -> bool {
        self.reads().is_some_and(reads::has_path)
    }
}

/// Compiles an expression. A process that checks a project compiles each text once.
#[cfg(feature = "author")]
fn compile(text: &str, form: Form) -> Option<Arc<Expression>> {
    Expression::shared(text, form).0.ok()
}

/// Compiles an expression.
#[cfg(not(feature = "author"))]
fn compile(text: &str, form: Form) -> Option<Arc<Expression>> {
    Expression::compile_as(text, form).ok().map(Arc::new)
}

/// Condition with this text.
impl From<&str> for Source {
    fn from(text: &str) -> Self {
        Self::new(text, Form::Condition)
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        (self.form, &self.text) == (other.form, &other.text)
    }
}

impl Eq for Source {}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<C> Encode<C> for Source {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        cx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.text.encode(e, cx)
    }
}

/// Decodes a condition.
impl<'b, C> Decode<'b, C> for Source {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self::from(d.str()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_compiled_once() {
        let source = Source::from("request.headers['x-a'] == 'a' && request.path == '/a'");
        let copies = [source.clone(), source.clone()];
        let paths = source.reads().unwrap();
        for copy in &copies {
            assert!(std::ptr::eq(copy.reads().unwrap(), paths));
        }
        let expressions = copies.map(|copy| copy.expression().unwrap());
        assert!(Arc::ptr_eq(&expressions[0], &expressions[1]));
        assert_eq!(paths.len(), 2);
        assert_eq!(source.fields(), ["x-a"]);
        assert!(source.reads_path());
        let unreadable = Source::from("auth.none == 1");
        assert!(unreadable.reads().is_none() && unreadable.fields().is_empty());
        assert!(!unreadable.reads_path());
    }

    #[test]
    fn bundles_contain_the_text_alone() {
        let text = "request.path == '/a'";
        let source = Source::from(text);
        assert!(source.reads().is_some());
        let bytes = minicbor::to_vec(&source).unwrap();
        assert_eq!(bytes, minicbor::to_vec(text).unwrap());
        assert_eq!(minicbor::decode::<Source>(&bytes).unwrap(), source);
        assert_eq!(format!("{source:?}"), format!("{text:?}"));
    }
}
