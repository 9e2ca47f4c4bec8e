//! Detection of expressions that exclude paths by a case-sensitive comparison.

use cel::common::ast::operators as op;
use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::reads;

/// Effect of a subexpression on the result of the whole expression, if the subexpression is true.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Admits,
    Refuses,
    /// The subexpression does not determine the result: if it is true, the result may be true or
    /// false, as for the condition of `?:`.
    Either,
}

/// True if the expression excludes paths by a case-sensitive comparison of `request.path`.
pub(super) fn excludes_paths(tree: &IdedExpr) -> bool {
    excludes(tree, Effect::Admits)
}

fn excludes(node: &IdedExpr, effect: Effect) -> bool {
    let Expr::Call(call) = &node.expr else {
        return effect != Effect::Admits && compares_path(node);
    };
    let opposite = match effect {
        Effect::Admits => Effect::Refuses,
        Effect::Refuses => Effect::Admits,
        Effect::Either => Effect::Either,
    };
    let mut operands = call.args.iter();
    match call.func_name.as_str() {
        op::LOGICAL_NOT => operands.any(|one| excludes(one, opposite)),
        op::LOGICAL_AND | op::LOGICAL_OR => operands.any(|one| excludes(one, effect)),
        op::CONDITIONAL => operands.enumerate().any(|(index, one)| {
            let effect = if index == 0 { Effect::Either } else { effect };
            excludes(one, effect)
        }),
        op::NOT_EQUALS => opposite != Effect::Admits && compares_path(node),
        // Handle `request.path.startsWith("/a") == false`, which compares a condition with a
        // literal.
        op::EQUALS if operands.clone().any(is_bool) => {
            operands.any(|one| excludes(one, Effect::Either))
        }
        _ => effect != Effect::Admits && compares_path(node),
    }
}

/// True for the literals `true` and `false`, which are compared only with conditions.
fn is_bool(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Literal(LiteralValue::Boolean(_)))
}

/// True if a comparison reads the path and is case-sensitive.
fn compares_path(node: &IdedExpr) -> bool {
    if let Expr::Call(call) = &node.expr {
        let is_insensitive = match (call.func_name.as_str(), &call.args[..]) {
            ("lowerAscii", _) => true,
            ("matches", [pattern]) => matches!(&pattern.expr,
                Expr::Literal(LiteralValue::String(text)) if text.inner().starts_with("(?i)")),
            _ => false,
        };
        if is_insensitive {
            return false;
        }
        if !is_selection(call.func_name.as_str()) {
            let target = call.target.as_deref().into_iter();
            return target.chain(&call.args).any(compares_path);
        }
    }
    let reads = reads::of(node);
    reads.iter().any(|path| match &path[..] {
        [variable, field, ..] => variable == "request" && field == "path",
        _ => false,
    })
}

/// True for the functions that select a field or an item of a value.
fn is_selection(function: &str) -> bool {
    matches!(function, op::INDEX | op::IN)
}

#[cfg(test)]
mod tests {
    use super::super::Expression;

    #[test]
    fn excluded_paths_are_found_behind_every_operator() {
        for (source, expected) in [
            ("!request.path.startsWith('/a')", true),
            (
                "!request.path.startsWith('/a') || 'adm' in auth.groups",
                true,
            ),
            ("request.path != '/a'", true),
            ("!(request.path in ['/a', '/b'])", true),
            ("!request.path.matches('^/a')", true),
            (
                "request.path.startsWith('/a') ? 'adm' in auth.groups : true",
                true,
            ),
            ("request.path.startsWith('/a') == false", true),
            (
                "!(request.method == 'GET' && request.path.startsWith('/a'))",
                true,
            ),
            ("request.path.startsWith('/a')", false),
            ("request.path == '/a' || request.path in ['/b']", false),
            ("!(request.path != '/a')", false),
            ("!request.path.lowerAscii().startsWith('/a')", false),
            ("request.path.lowerAscii() != '/a'", false),
            ("!request.path.matches('(?i)^/a')", false),
            ("!(auth.subject == 'a') && request.path == '/a'", false),
            (
                "request.method == 'GET' ? request.path == '/a' : false",
                false,
            ),
        ] {
            let expression = Expression::compile(source).unwrap();
            assert_eq!(expression.excludes_paths(), expected, "{source}");
        }
    }
}
