//! Type check of an expression, and refusal of forbidden constructs.
//!
//! Loops are refused, because nested loops run for seconds even on small lists. Names and types are
//! checked, so that evaluation can fail only because of the values that a request has or lacks.

use cel::ParseErrors;
use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo};

use super::reads::{self, Unnamed};
use super::types::{Form, GLOBALS, MEMBERS, Named, Type, WALKS};
use super::{BadPattern, Fault, Patterns};

/// Converts the errors of the parser to errors of the expression.
pub(super) fn syntax(source: &str, errors: &ParseErrors) -> Vec<Fault> {
    let faults = errors.errors.iter().map(|error| {
        let at = offset(source, error.pos);
        let width = source[at..].chars().next().map_or(0, char::len_utf8);
        let first = error.msg.lines().next().unwrap_or_default();
        let first = first.strip_prefix("Syntax error: ").unwrap_or(first);
        Fault {
            at: (at, at + width),
            message: format!("the expression cannot be parsed: {first}"),
            help: "",
            name: String::new(),
            known: Vec::new(),
        }
    });
    let mut faults: Vec<Fault> = faults.collect();
    // Report only the first error, because one mistake often causes further errors after it.
    faults.truncate(1);
    if faults.is_empty() {
        faults.push(Fault {
            at: (0, source.len()),
            message: "the expression cannot be parsed".to_owned(),
            help: "",
            name: String::new(),
            known: Vec::new(),
        });
    }
    faults
}

/// Converts a line and a column to a byte offset. Both count from 1; the column is in characters.
fn offset(source: &str, (line, column): (isize, isize)) -> usize {
    let skipped = usize::try_from(line - 1).unwrap_or(0);
    let lines = source.split_inclusive('\n');
    let start: usize = lines.take(skipped).map(str::len).sum();
    let column = usize::try_from(column - 1).unwrap_or(0);
    let rest = &source[start..];
    let inside = rest.char_indices().nth(column).map(|(at, _)| at);
    start + inside.unwrap_or(rest.len())
}

/// Finds all errors in a parsed expression, and compiles its patterns.
pub(super) fn check(
    tree: &IdedExpr,
    places: &SourceInfo,
    source: &str,
    form: Form,
) -> (Vec<Fault>, Patterns) {
    let mut checker = Checker {
        form,
        places,
        source,
        faults: Vec::new(),
        patterns: Patterns::default(),
    };
    let wanted = match form {
        Form::Condition => Type::Bool,
        Form::Cost => Type::Int,
    };
    if let Some(found) = checker.type_of(tree)
        && found != wanted
    {
        let help = match (form, found) {
            (Form::Condition, Type::Any) => "compare it: `== true`",
            (Form::Condition, _) => "write a comparison, or combine them with `&&` and `||`",
            (Form::Cost, Type::Bool) => "write a number for each case: `CONDITION ? 5 : 1`",
            (Form::Cost, _) => "convert it: `int(VALUE)`",
        };
        let (found, wanted) = (found.name(), wanted.name());
        let message = format!("the expression is of type {found}, not {wanted}");
        checker.fault(tree, message, help);
    }
    if checker.faults.is_empty() {
        checker.fields(tree);
    }
    (checker.faults, checker.patterns)
}

struct Checker<'c> {
    form: Form,
    places: &'c SourceInfo,
    source: &'c str,
    faults: Vec<Fault>,
    patterns: Patterns,
}

impl Checker<'_> {
    /// Type of a subexpression. `None` if the subexpression has errors, which are then recorded.
    fn type_of(&mut self, node: &IdedExpr) -> Option<Type> {
        match &node.expr {
            Expr::Literal(literal) => Some(of_literal(literal)),
            Expr::Ident(name) => {
                let variables = self.form.variables();
                let found = variables.iter().find(|(known, _)| known == name);
                if found.is_none() {
                    let known = variables.iter().map(|(name, _)| *name).collect();
                    let message = format!("there is no variable `{}`", name.escape_debug());
                    self.unknown(node, message, name, known);
                }
                found.map(|(_, one)| *one)
            }
            Expr::Select(select) => self.field(node, select),
            Expr::List(list) => {
                let all = list.elements.iter().map(|one| self.type_of(one));
                let all: Vec<Option<Type>> = all.collect();
                let all: Option<Vec<Type>> = all.into_iter().collect();
                let is_texts = all?.iter().all(|one| *one == Type::Text);
                Some(if is_texts { Type::Texts } else { Type::List })
            }
            Expr::Call(call) => self.call(node, call),
            Expr::Comprehension(_) => self.walk(node),
            Expr::Map(_) | Expr::Struct(_) => self.fault(
                node,
                "objects cannot be written in an expression",
                "compare their values one by one",
            ),
            Expr::Unspecified => self.fault(node, "a part of the expression is missing", ""),
        }
    }

    /// Reports reads of request fields by names that are not literals in the expression. gwd must
    /// know the names, because it removes fields whose names some servers treat as equal to them.
    fn fields(&mut self, tree: &IdedExpr) {
        for read in reads::unnamed(tree) {
            match read {
                Unnamed::Name(node) => self.fault(
                    node,
                    "the name of a request field must be a literal",
                    "write it in quotes: gwd removes lookalikes, such as `x_role`, only of the \
fields that an expression names",
                ),
                Unnamed::Whole(node) => self.fault(
                    node,
                    "the name of a request field is missing here",
                    "write `request.headers[\"NAME\"]`: gwd removes lookalikes only of the fields \
that an expression names",
                ),
            };
        }
    }

    fn walk(&mut self, node: &IdedExpr) -> Option<Type> {
        let at = self.called(node.id);
        let name = &self.source[at.0..at.1];
        self.faults.push(Fault {
            at,
            message: format!("`{name}` is not available: its evaluation time has no limit"),
            help: "write `x in list`, or conditions joined by `&&` and `||`",
            name: String::new(),
            known: Vec::new(),
        });
        None
    }

    /// Checks `operand.field` and `has(operand.field)`.
    fn field(&mut self, node: &IdedExpr, select: &SelectExpr) -> Option<Type> {
        let operand = self.type_of(&select.operand)?;
        let name = &select.field;
        let found = match (operand.fields(), operand.entry()) {
            (Some(fields), _) => {
                let found = fields.iter().find(|(known, _)| known == name);
                if found.is_none() {
                    let operand = operand.name();
                    let message = format!("`{operand}` has no field `{}`", name.escape_debug());
                    self.unknown(node, message, name, names(fields));
                }
                found.map(|(_, one)| *one)?
            }
            (None, Some(entry)) => {
                self.lower_case(node, operand, name)?;
                entry
            }
            (None, None) => {
                let message = format!("a value of type {} has no fields", operand.name());
                return self.fault(node, message, "");
            }
        };
        Some(if select.test { Type::Bool } else { found })
    }

    /// Checks that the name of a request field is in lower case. A name with upper-case letters
    /// never matches.
    fn lower_case(&mut self, node: &IdedExpr, operand: Type, name: &str) -> Option<()> {
        if operand == Type::Headers && name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let message = format!("no field is named `{}`", name.escape_debug());
            let at = self.name(self.token(node.id).0, name);
            self.faults.push(Fault {
                at,
                message,
                help: "write the name in lower case",
                name: String::new(),
                known: Vec::new(),
            });
            return None;
        }
        Some(())
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Option<Type> {
        let name = call.func_name.as_str();
        if WALKS.contains(&name) {
            return self.walk(node);
        }
        if let Some(target) = &call.target {
            return self.member(node, target, call);
        }
        match (name, &call.args[..]) {
            (op::LOGICAL_AND | op::LOGICAL_OR, [left, right]) => {
                let types = [self.boolean(left), self.boolean(right)];
                types.iter().all(Option::is_some).then_some(Type::Bool)
            }
            (op::LOGICAL_NOT, [one]) => self.boolean(one),
            (op::CONDITIONAL, [condition, left, right]) => {
                let condition = self.boolean(condition);
                let (left, right) = (self.type_of(left), self.type_of(right));
                condition?;
                Some(left?.either(right?))
            }
            (op::EQUALS | op::NOT_EQUALS, [left, right]) => {
                self.pair(node, (left, right), |a, b| {
                    a.may_equal(b).then_some(Type::Bool)
                })
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [left, right]) => self
                .pair(node, (left, right), |a, b| {
                    let has_order = |one: Type| {
                        one.is_number() || matches!(one, Type::Text | Type::Bytes | Type::Any)
                    };
                    (has_order(a) && has_order(b) && a.may_equal(b)).then_some(Type::Bool)
                }),
            (op::ADD, [left, right]) => self.pair(node, (left, right), |a, b| {
                let adds = |one: Type| one.is_number() || matches!(one, Type::Text | Type::Any);
                (adds(a) && adds(b) && (a == b || a == Type::Any || b == Type::Any))
                    .then_some(a.either(b))
            }),
            (op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, [left, right]) => {
                self.pair(node, (left, right), |a, b| {
                    let counts = |one: Type| one.is_number() || one == Type::Any;
                    (counts(a) && counts(b) && (a == b || a == Type::Any || b == Type::Any))
                        .then_some(a.either(b))
                })
            }
            (op::NEGATE, [one]) => {
                let found = self.type_of(one)?;
                match found {
                    Type::Int | Type::Double | Type::Any => Some(found),
                    _ => self.fault(node, format!("`-` does not apply to {}", found.name()), ""),
                }
            }
            (op::IN, [one, all]) => self.pair(node, (one, all), |one, all| {
                let fits = match all {
                    Type::Texts | Type::Headers | Type::Query | Type::Claims => {
                        one.may_be(Type::Text)
                    }
                    Type::List => one.may_equal(Type::Any),
                    Type::Any => one.may_equal(Type::Any),
                    _ => false,
                };
                fits.then_some(Type::Bool)
            }),
            (op::INDEX, [operand, index]) => self.index(node, operand, index),
            (_, args) => self.global(node, name, args),
        }
    }

    fn boolean(&mut self, node: &IdedExpr) -> Option<Type> {
        let found = self.type_of(node)?;
        if found.may_be(Type::Bool) {
            return Some(Type::Bool);
        }
        let message = format!("a condition is needed here, not {}", found.name());
        self.fault(node, message, "write a comparison")
    }

    fn pair(
        &mut self,
        node: &IdedExpr,
        (left, right): (&IdedExpr, &IdedExpr),
        result: impl Fn(Type, Type) -> Option<Type>,
    ) -> Option<Type> {
        let (left, right) = (self.type_of(left), self.type_of(right));
        let (left, right) = (left?, right?);
        if let Some(found) = result(left, right) {
            return Some(found);
        }
        let is_plain = !left.is_list() && !right.is_list();
        let help = if is_plain {
            ""
        } else {
            "write `VALUE in LIST`"
        };
        let (left, right) = (left.name(), right.name());
        let message = format!("{left} and {right} cannot be combined here");
        self.fault(node, message, help)
    }

    fn index(&mut self, node: &IdedExpr, operand: &IdedExpr, index: &IdedExpr) -> Option<Type> {
        let (all, at) = (self.type_of(operand), self.type_of(index));
        let (all, at) = (all?, at?);
        if let Expr::Literal(LiteralValue::String(name)) = &index.expr {
            self.lower_case(index, all, name.inner())?;
        }
        match all {
            Type::Texts if at.may_be(Type::Int) => Some(Type::Text),
            Type::List if at.may_be(Type::Int) => Some(Type::Any),
            Type::Any => Some(Type::Any),
            Type::Headers | Type::Query | Type::Claims if at.may_be(Type::Text) => all.entry(),
            _ => {
                let (all, at) = (all.name(), at.name());
                self.fault(node, format!("{all} cannot be indexed by {at}"), "")
            }
        }
    }

    fn global(&mut self, node: &IdedExpr, name: &str, args: &[IdedExpr]) -> Option<Type> {
        let Some(function) = GLOBALS.iter().find(|known| known.name == name) else {
            let known = GLOBALS.iter().map(|known| known.name).chain(["has"]);
            let members = MEMBERS.iter().any(|known| known.name == name);
            if members {
                let message = format!("`{name}` is called on a string: `text.{name}(…)`");
                return self.fault(node, message, "");
            }
            let message = format!("there is no function `{}`", name.escape_debug());
            return self.unknown(node, message, name, known.collect());
        };
        let [one] = args else {
            return self.fault(node, format!("`{name}` takes one value"), "");
        };
        let found = self.type_of(one)?;
        match (function.takes)(found) {
            true => Some(function.gives),
            false => self.fault(node, format!("`{name}` takes no {}", found.name()), ""),
        }
    }

    fn member(&mut self, node: &IdedExpr, target: &IdedExpr, call: &CallExpr) -> Option<Type> {
        let name = call.func_name.as_str();
        let Some(function) = MEMBERS.iter().find(|known| known.name == name) else {
            let known = MEMBERS.iter().map(|known| known.name).collect();
            let message = format!("there is no function `{}`", name.escape_debug());
            return self.unknown(node, message, name, known);
        };
        let operand = self.type_of(target);
        let args: Vec<Option<Type>> = call.args.iter().map(|one| self.type_of(one)).collect();
        let args: Option<Vec<Type>> = args.into_iter().collect();
        let (operand, args) = (operand?, args?);
        let fits = operand.may_be(Type::Text) || name == "size" && operand.has_size();
        if !fits {
            return self.fault(
                node,
                format!("`{name}` is not a function of {}", operand.name()),
                "",
            );
        }
        match (&args[..], function.takes_text) {
            ([], false) => {}
            ([one], true) if one.may_be(Type::Text) => {}
            (_, true) => return self.fault(node, format!("`{name}` takes one string"), ""),
            (_, false) => return self.fault(node, format!("`{name}` takes no value"), ""),
        }
        if name == "matches" {
            self.pattern(&call.args[0])?;
        }
        Some(function.gives)
    }

    /// Checks that the pattern of `matches` is a literal, so that it can be compiled in advance.
    fn pattern(&mut self, node: &IdedExpr) -> Option<()> {
        let Expr::Literal(LiteralValue::String(text)) = &node.expr else {
            self.fault(
                node,
                "the pattern of `matches` must be a literal",
                "write it in quotes",
            );
            return None;
        };
        let (message, help) = match self.patterns.add(text.inner()) {
            Ok(()) => return Some(()),
            Err(BadPattern::Invalid) => (
                "the pattern cannot be read",
                "write a regular expression without look-around and back-references",
            ),
            Err(BadPattern::TooLarge) => (
                "the compiled pattern is larger than 1 MiB",
                "write fewer or shorter counted repetitions, or `[a-z]` in place of `\\w` and `\\p{L}`",
            ),
            Err(BadPattern::TooMany) => (
                "the compiled patterns of the expression are larger than 16 MiB",
                "write fewer patterns, or split the expression into several policies",
            ),
        };
        self.fault(node, message, help);
        None
    }

    fn unknown(
        &mut self,
        node: &IdedExpr,
        message: String,
        name: &str,
        known: Vec<&'static str>,
    ) -> Option<Type> {
        let at = match &node.expr {
            Expr::Call(_) => self.called(node.id),
            _ => self.name(self.token(node.id).0, name),
        };
        self.faults.push(Fault {
            at,
            message,
            help: "",
            name: name.to_owned(),
            known,
        });
        None
    }

    fn fault(
        &mut self,
        node: &IdedExpr,
        message: impl Into<String>,
        help: &'static str,
    ) -> Option<Type> {
        let at = self.span(node);
        self.faults.push(Fault {
            at,
            message: message.into(),
            help,
            name: String::new(),
            known: Vec::new(),
        });
        None
    }

    /// Byte range of a subexpression in the source, including its operands.
    fn span(&self, node: &IdedExpr) -> (usize, usize) {
        let own = self.token(node.id);
        let inside: Vec<&IdedExpr> = match &node.expr {
            Expr::Call(call) => {
                let target = call.target.as_deref();
                target.into_iter().chain(&call.args).collect()
            }
            Expr::Select(select) => vec![&*select.operand],
            Expr::List(list) => list.elements.iter().collect(),
            _ => Vec::new(),
        };
        let spans = inside.into_iter().map(|one| self.span(one));
        let (start, end) = spans.fold(own, |(start, end), (first, last)| {
            (start.min(first), end.max(last))
        });
        let closed = |bracket| self.name(end, bracket).1;
        match &node.expr {
            Expr::Select(select) => (start, end.max(self.name(own.0, &select.field).1)),
            Expr::Call(call) if call.func_name == op::INDEX => (start, closed("]")),
            Expr::List(_) => (start, closed("]")),
            Expr::Call(call) if is_word(&call.func_name) => {
                (start.min(self.called(node.id).0), closed(")"))
            }
            _ => (start, end),
        }
    }

    /// Byte range of the function name before the parenthesis of a call.
    fn called(&self, id: u64) -> (usize, usize) {
        let (bracket, _) = self.token(id);
        let before = self.source[..bracket].trim_end();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let start = before.trim_end_matches(is_part).len();
        (start, before.len())
    }

    /// Byte range of `name` at or after the offset `from`. Range of one character if the name is
    /// not there.
    fn name(&self, from: usize, name: &str) -> (usize, usize) {
        let rest = &self.source[from..];
        let width = rest.chars().next().map_or(0, char::len_utf8);
        let found = rest
            .find(name)
            .map(|at| (from + at, from + at + name.len()));
        found.unwrap_or((from, from + width))
    }

    /// Byte range of the token of a subexpression: an operator, a dot, or a name.
    fn token(&self, id: u64) -> (usize, usize) {
        let Some((first, last)) = self.places.offset_for(id) else {
            return (0, self.source.len());
        };
        let byte = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let start = floor(self.source, byte(first));
        let end = floor(self.source, byte(last).saturating_add(1));
        (start, end.max(start))
    }
}

/// True for a function that is written with its name; false for an operator.
fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Largest offset up to `at` that is a character boundary, or the end of the text.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

fn names(fields: &[Named]) -> Vec<&'static str> {
    fields.iter().map(|(name, _)| *name).collect()
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::UInt(_) => Type::Uint,
    }
}
