//! Collection of the values that an expression reads.

use std::collections::BTreeSet;

use cel::common::ast::operators as op;
use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::source::Paths;
use super::types::VARIABLES;

/// Paths of all values that a subexpression reads. See [`super::Expression::reads`].
pub(super) fn of(node: &IdedExpr) -> Paths {
    let mut all = Paths::new();
    add(node, &mut all);
    all
}

/// Names of the request fields among the paths that an expression reads, in lower case.
pub(super) fn fields(paths: &Paths) -> BTreeSet<String> {
    let fields = paths.iter().filter_map(|path| match path.as_slice() {
        [request, headers, name, ..] if request == "request" && headers == "headers" => {
            Some(name.to_ascii_lowercase())
        }
        _ => None,
    });
    fields.collect()
}

/// True if the path of the request is among the paths that an expression reads.
pub(super) fn has_path(paths: &Paths) -> bool {
    let is_path = |read: &Vec<String>| match &read[..] {
        [variable] => variable == "request",
        [variable, field, ..] => variable == "request" && field == "path",
        [] => false,
    };
    paths.iter().any(is_path)
}

fn add(node: &IdedExpr, all: &mut Paths) {
    if let Some(path) = path(node) {
        all.insert(path);
        return;
    }
    operands(node).into_iter().for_each(|child| add(child, all));
}

/// Subexpressions of a node.
fn operands(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Unspecified
        | Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_) => Vec::new(),
    }
}

/// Path of the value that a subexpression selects from a variable. `None` for any other
/// subexpression. `"x" in map` selects the entry `x` of the map.
fn path(node: &IdedExpr) -> Option<Vec<String>> {
    let below = |operand: &IdedExpr, key: &str| {
        let mut path = path(operand)?;
        path.push(key.to_owned());
        Some(path)
    };
    match &node.expr {
        Expr::Ident(name) => {
            let is_variable = VARIABLES.iter().any(|(known, _)| known == name);
            is_variable.then(|| vec![name.clone()])
        }
        Expr::Select(select) => below(&select.operand, &select.field),
        Expr::Call(call) => match (&*call.func_name, &call.args[..]) {
            (op::INDEX, [operand, key]) => below(operand, literal(key)?),
            (op::IN, [key, operand]) => below(operand, literal(key)?),
            _ => None,
        },
        _ => None,
    }
}

/// Read of request fields whose names the expression does not contain.
pub(super) enum Unnamed<'t> {
    /// Computed name, as in `request.headers["x-" + auth.subject]`.
    Name(&'t IdedExpr),
    /// `request.headers` or `request` as a value, as in `[request.headers][0]["x-a"]`.
    Whole(&'t IdedExpr),
}

/// Reads of request fields whose names the expression does not contain. Excludes
/// `size(request.headers)` and `has(request.headers)`, which read no field.
pub(super) fn unnamed(tree: &IdedExpr) -> Vec<Unnamed<'_>> {
    let mut all = Vec::new();
    add_unnamed(tree, &mut all);
    all
}

fn add_unnamed<'t>(node: &'t IdedExpr, all: &mut Vec<Unnamed<'t>>) {
    if let Some(path) = path(node) {
        let is_presence = matches!(&node.expr, Expr::Select(select) if select.test);
        if !is_presence && is_whole(&path) {
            all.push(Unnamed::Whole(node));
        }
        return;
    }
    let is_headers = |node: &IdedExpr| path(node).is_some_and(|path| path == HEADERS);
    if let Expr::Call(call) = &node.expr {
        match (&*call.func_name, call.target.as_deref(), &call.args[..]) {
            (op::INDEX, None, [map, name]) | (op::IN, None, [name, map]) if is_headers(map) => {
                all.push(Unnamed::Name(name));
                add_unnamed(name, all);
                return;
            }
            ("size", Some(map), []) | ("size", None, [map]) if is_headers(map) => return,
            _ => {}
        }
    }
    operands(node)
        .into_iter()
        .for_each(|child| add_unnamed(child, all));
}

/// Path of the map of request fields.
const HEADERS: [&str; 2] = ["request", "headers"];

/// True for `request` and `request.headers`.
fn is_whole(path: &[String]) -> bool {
    path == &HEADERS[..1] || path == HEADERS
}

fn literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Expression;

    #[test]
    fn paths_of_all_values_are_listed() {
        let table = [
            ("auth.scheme != 'x'", "auth.scheme"),
            (
                "request.headers['x-a'] == 'b' || has(request.headers.cookie)",
                "request.headers.cookie request.headers.x-a",
            ),
            (
                "!('x-a' in request.headers) && size(request.query) < 2",
                "request.headers.x-a request.query",
            ),
            (
                "request.query[route.operation].lowerAscii() in [auth.subject, route.mount]",
                "auth.subject request.query route.mount route.operation",
            ),
            ("auth.claims.org['id'] == 'o'", "auth.claims.org.id"),
            ("'a' in auth.groups", "auth.groups.a"),
            ("request.path.matches('^/a')", "request.path"),
            ("true", ""),
        ];
        for (source, expected) in table {
            let reads = Expression::compile(source).unwrap().reads();
            let paths: Vec<String> = reads.iter().map(|path| path.join(".")).collect();
            assert_eq!(paths.join(" "), expected, "{source}");
        }
    }
}
