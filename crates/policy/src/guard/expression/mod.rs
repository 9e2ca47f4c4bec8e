//! Expressions over a request, its caller and its route, in the Common Expression Language (CEL).
//!
//! ```text
//! auth.claims.tenant == request.headers["x-tenant"] && request.method in ["GET", "HEAD"]
//! ```
//! gwc parses and checks an expression; gwd compiles it again when it loads the bundle. An
//! expression has no loops, so its evaluation time is limited by its length and by the length of
//! the values that it reads. Patterns of `matches` are compiled once. Values of a request are not
//! copied, and are read only if the expression uses them.

mod check;
mod letter_case;
#[cfg(feature = "author")]
mod memo;
#[cfg(feature = "author")]
mod order;
mod reads;
mod source;
mod types;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo};
use cel::common::types::{BOOL_TYPE, CelBool, CelInt, CelString, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, ExecutionError, Value};
use regex::{Regex, RegexBuilder};

use crate::cx::Cx;
use crate::head::RequestHead;
use crate::no_value::NoValue;
pub use source::{Paths, Source};
pub use types::Form;
use types::Type;
use values::{PATTERN, Pattern, Scope};

/// Maximum length of an expression, in bytes.
pub const BYTES_MAX: usize = 4 << 10;
/// Largest cost of a request, in tokens: the largest quota.
pub const COST_MAX: u64 = 1_000_000_000_000;
/// Maximum size of a compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Size limits with which a pattern is compiled in turn, in bytes. The first sufficient limit
/// counts as the size of the pattern, because the regex engine does not report the size.
const PATTERN_BYTES_STEPS: [usize; 5] =
    [8 << 10, 32 << 10, 128 << 10, 512 << 10, PATTERN_BYTES_MAX];
/// Maximum size of all compiled patterns of an expression, in bytes.
const PATTERNS_BYTES_MAX: usize = 16 << 20;

/// Compiled expression.
pub struct Expression {
    tree: IdedExpr,
    excludes_paths: bool,
    patterns: Box<[Pattern]>,
}

/// Error in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Range of the error in the expression, in bytes: start and end.
    pub at: (usize, usize),
    /// Description of the error.
    pub message: String,
    /// Help text. A suggestion of a similar name in `known` replaces it.
    pub help: &'static str,
    /// Unknown name. Empty if the error is not about a name.
    pub name: String,
    /// Valid names at this position, for a suggestion.
    pub known: Vec<&'static str>,
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(environment()));

// === impl Expression ===

impl Expression {
    /// Parses and checks a condition. Its result must be a boolean.
    ///
    /// # Errors
    /// All errors that were found, at least one.
    pub fn compile(source: &str) -> Result<Self, Vec<Fault>> {
        Self::compile_as(source, Form::Condition)
    }

    /// Parses and checks an expression of a form, which decides the type of its result.
    ///
    /// # Errors
    /// All errors that were found, at least one.
    pub fn compile_as(source: &str, form: Form) -> Result<Self, Vec<Fault>> {
        Self::compile_counted(source, form).0
    }

    /// Compiles an expression, or returns the result of an earlier call in this process. The second
    /// value is the size of its compiled patterns, in bytes.
    ///
    /// A project has the same expressions in each environment and on both sides of a plan. Large
    /// patterns take up to 50 ms each to compile.
    #[cfg(feature = "author")]
    pub fn shared(source: &str, form: Form) -> (Result<Arc<Self>, Arc<[Fault]>>, usize) {
        memo::compiled(source, form)
    }

    /// Compiles an expression, and returns the size of all its patterns that were compiled.
    fn compile_counted(source: &str, form: Form) -> (Result<Self, Vec<Fault>>, usize) {
        let (mut tree, places) = match Self::parse(source) {
            Ok(parsed) => parsed,
            Err(faults) => return (Err(faults), 0),
        };
        let (faults, found) = check::check(&tree, &places, source, form);
        if !faults.is_empty() {
            return (Err(faults), found.bytes);
        }
        let excludes_paths = letter_case::excludes_paths(&tree);
        let mut patterns = Vec::new();
        take_patterns(&mut tree, &found, &mut patterns);
        let expression = Self {
            tree,
            excludes_paths,
            patterns: patterns.into(),
        };
        (Ok(expression), found.bytes)
    }

    fn parse(source: &str) -> Result<(IdedExpr, SourceInfo), Vec<Fault>> {
        if source.len() > BYTES_MAX {
            return Err(vec![Fault {
                at: (BYTES_MAX.min(source.len()), source.len()),
                message: format!("the expression is longer than {BYTES_MAX} bytes"),
                help: "use `scopes`, `claims`, `groups` or `roles` for lists of values",
                name: String::new(),
                known: Vec::new(),
            }]);
        }
        // The parser is generated code of a library. A panic in it must not end the program.
        let parsed = catch_unwind(AssertUnwindSafe(|| {
            ENV.parser().parse_with_source_info(source)
        }));
        match parsed {
            Ok(Ok(parsed)) => Ok(parsed),
            Ok(Err(errors)) => Err(check::syntax(source, &errors)),
            Err(_) => Err(check::syntax(
                source,
                &cel::ParseErrors { errors: Vec::new() },
            )),
        }
    }

    /// Paths of the values that the expression reads. A path is a variable, a field, and the key of
    /// a map if the key is a literal: `request.headers["x-a"]` is `request`, `headers`, `x-a`.
    #[must_use]
    pub fn reads(&self) -> Paths {
        reads::of(&self.tree)
    }

    /// Names of the request fields that the expression reads, in lower case. The set is complete,
    /// because computed names are refused.
    #[must_use]
    pub fn fields(&self) -> BTreeSet<String> {
        reads::fields(&self.reads())
    }

    /// True if the expression reads the path of the request.
    #[must_use]
    pub fn reads_path(&self) -> bool {
        reads::has_path(&self.reads())
    }

    /// True if the expression reads the query of the request.
    #[must_use]
    pub fn reads_query(&self) -> bool {
        let is_query = |read: &Vec<String>| match &read[..] {
            [variable] => variable == "request",
            [variable, field, ..] => variable == "request" && field == "query",
            [] => false,
        };
        self.reads().iter().any(is_query)
    }

    /// True if the expression reads the route of the request.
    #[must_use]
    pub fn reads_route(&self) -> bool {
        let mut reads = self.reads().into_iter();
        reads.any(|read| read.first().is_some_and(|variable| variable == "route"))
    }

    /// True if the expression excludes paths by a case-sensitive comparison, as
    /// `!request.path.startsWith("/admin")` does. It then admits a path that differs only in letter
    /// case, which some servers treat as the excluded path.
    #[must_use]
    pub fn excludes_paths(&self) -> bool {
        self.excludes_paths
    }

    /// Evaluates a condition for a request and returns its result.
    ///
    /// # Errors
    /// The reason why the evaluation failed.
    pub fn holds(&self, head: &RequestHead, cx: &Cx<'_>) -> Result<bool, NoValue> {
        self.evaluate(head, cx, |value| {
            value.downcast_ref::<CelBool>().map(|value| *value.inner())
        })
    }

    /// Evaluates a cost for a request and returns its result.
    ///
    /// # Errors
    /// The reason why the evaluation failed. [`NoValue::Range`] for a negative result, and for one
    /// above [`COST_MAX`].
    pub fn cost(&self, head: &RequestHead, cx: &Cx<'_>) -> Result<u64, NoValue> {
        let cost = self.evaluate(head, cx, |value| {
            value.downcast_ref::<CelInt>().map(|value| *value.inner())
        })?;
        let cost = u64::try_from(cost).ok();
        cost.filter(|cost| *cost <= COST_MAX).ok_or(NoValue::Range)
    }

    /// Smallest cost that the expression can have, if it has a value.
    #[cfg(feature = "author")]
    #[must_use]
    pub fn least_cost(&self) -> u64 {
        u64::try_from(order::bounds(&self.tree).low).unwrap_or(0)
    }

    /// True if it is proved that no request costs more by this expression than by `other`. A
    /// request whose cost cannot be computed is refused, which counts as more than any cost.
    #[cfg(feature = "author")]
    #[must_use]
    pub fn costs_at_most(&self, other: &Self) -> bool {
        order::at_most(&self.tree, &other.tree)
    }

    fn evaluate<T>(
        &self,
        head: &RequestHead,
        cx: &Cx<'_>,
        result: impl Fn(&dyn Val) -> Option<T>,
    ) -> Result<T, NoValue> {
        let scope = Scope::new(head, cx, &self.patterns);
        let evaluated = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(Arc::clone(&ENV));
            context.set_variable_resolver(&scope);
            let value = Value::resolve_val(&self.tree, &context)?;
            result(&*value).ok_or(ExecutionError::missing_argument_or_target())
        }));
        evaluated
            .map_err(|_| NoValue::Failed)?
            .map_err(|error| reason(&error))
    }
}

/// Omits the source, which may contain confidential values.
impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").finish_non_exhaustive()
    }
}

/// Classifies the error of a failed evaluation.
fn reason(error: &ExecutionError) -> NoValue {
    match error {
        ExecutionError::NoSuchKey(_) => NoValue::Absent,
        ExecutionError::FunctionError { function, .. } if function == values::READ => {
            NoValue::Ambiguous
        }
        ExecutionError::IndexOutOfBounds(_)
        | ExecutionError::Overflow(..)
        | ExecutionError::DivisionByZero(_)
        | ExecutionError::RemainderByZero(_)
        | ExecutionError::FunctionError { .. } => NoValue::Range,
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::UnsupportedIndex(..)
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::UnsupportedKeyType(_)
        | ExecutionError::NotSupportedAsMethod { .. }
        | ExecutionError::MissingArgumentOrTarget => NoValue::Type,
        _ => NoValue::Failed,
    }
}

/// Environment with the functions of the CEL standard library, and additional string functions.
fn environment() -> Env {
    let mut env = Env::stdlib().with_optional_support(false);
    let declared = [
        env.add_member_overload(
            "matches",
            "string_matches_pattern",
            STRING_TYPE,
            vec![PATTERN.to_owned()],
            |values| {
                let text = values[0].downcast_ref::<CelString<'_>>();
                let pattern = values[1].downcast_ref::<Pattern>();
                let found = text.zip(pattern);
                let found = found.map(|(text, pattern)| pattern.0.is_match(text.inner()));
                let found = found.ok_or(ExecutionError::missing_argument_or_target())?;
                Ok(CowVal::owned(CelBool::from(found)))
            },
        ),
        env.add_member_overload(
            "lowerAscii",
            "string_lower_ascii",
            STRING_TYPE,
            Vec::new(),
            |values| {
                let text = values[0].downcast_ref::<CelString<'_>>();
                let text = text.ok_or(ExecutionError::missing_argument_or_target())?;
                let lower = text.inner().to_ascii_lowercase();
                Ok(CowVal::owned(CelString::from(lower)))
            },
        ),
    ];
    debug_assert!(declared.iter().all(Result::is_ok), "each is declared once");
    debug_assert!(BOOL_TYPE.name() == Type::Bool.name());
    env
}

/// Replaces the literal patterns of `matches` in an expression by names of internal variables, and
/// collects the compiled patterns.
fn take_patterns(node: &mut IdedExpr, found: &Patterns, patterns: &mut Vec<Pattern>) {
    if let Expr::Call(call) = &mut node.expr
        && call.func_name == "matches"
        && let [argument] = &mut call.args[..]
        && let Expr::Literal(LiteralValue::String(text)) = &argument.expr
        && let Some(pattern) = found.compiled.get(text.inner())
    {
        argument.expr = Expr::Ident(values::pattern_name(patterns.len()));
        patterns.push(Pattern(pattern.clone()));
    }
    for child in children(node) {
        take_patterns(child, found, patterns);
    }
}

/// Compiled patterns of an expression.
#[derive(Default)]
struct Patterns {
    compiled: BTreeMap<String, Regex>,
    /// Size of all patterns, including patterns that were refused, in bytes.
    bytes: usize,
}

/// Reason why a pattern of `matches` is refused.
#[derive(Clone, Copy)]
enum BadPattern {
    Invalid,
    /// The compiled pattern has more than [`PATTERN_BYTES_MAX`] bytes.
    TooLarge,
    /// The compiled patterns of the expression have more than [`PATTERNS_BYTES_MAX`] bytes.
    TooMany,
}

impl Patterns {
    /// Compiles a pattern, once for each text.
    fn add(&mut self, text: &str) -> Result<(), BadPattern> {
        if self.compiled.contains_key(text) {
            return Ok(());
        }
        if self.bytes >= PATTERNS_BYTES_MAX {
            return Err(BadPattern::TooMany);
        }
        for bytes in PATTERN_BYTES_STEPS {
            match RegexBuilder::new(text).size_limit(bytes).build() {
                Ok(pattern) => {
                    self.bytes += bytes;
                    self.compiled.insert(text.to_owned(), pattern);
                    return Ok(());
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(_) => return Err(BadPattern::Invalid),
            }
        }
        self.bytes += PATTERN_BYTES_MAX;
        Err(BadPattern::TooLarge)
    }
}

fn children(node: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    match &mut node.expr {
        Expr::Call(call) => {
            let target = call.target.as_deref_mut();
            target.into_iter().chain(&mut call.args).collect()
        }
        Expr::Select(select) => vec![&mut *select.operand],
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Unspecified
        | Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
