//! Comparison of costs: proof that one expression is never above another one, for plans.
//!
//! The proof uses bounds of the values, and the structure that both expressions share. It is not
//! complete: expressions without a proof can be ordered nevertheless.

use cel::common::ast::operators as op;
use cel::common::ast::{Expr, IdedExpr, LiteralValue};

/// Smallest and largest `cost` of an operation.
const OPERATION: Bounds = Bounds {
    low: 1,
    high: 1 << 24,
    is_total: true,
};

/// Bounds of the value of a subexpression, if it has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: i128,
    pub(super) high: i128,
    /// True if the subexpression has a value for every request.
    is_total: bool,
}

impl Bounds {
    /// Any integer, or no value.
    const UNKNOWN: Self = Self {
        low: i64::MIN as i128,
        high: i64::MAX as i128,
        is_total: false,
    };

    const fn exactly(value: i64) -> Self {
        Self {
            low: value as i128,
            high: value as i128,
            is_total: true,
        }
    }

    /// Bounds of a result. It has no value where it exceeds 64 bits.
    fn of(values: &[i128], is_total: bool) -> Self {
        let low = values.iter().copied().min().unwrap_or(Self::UNKNOWN.low);
        let high = values.iter().copied().max().unwrap_or(Self::UNKNOWN.high);
        let fits = low >= Self::UNKNOWN.low && high <= Self::UNKNOWN.high;
        Self {
            low: low.clamp(Self::UNKNOWN.low, Self::UNKNOWN.high),
            high: high.clamp(Self::UNKNOWN.low, Self::UNKNOWN.high),
            is_total: is_total && fits,
        }
    }
}

/// Bounds of a subexpression that is an integer.
pub(super) fn bounds(node: &IdedExpr) -> Bounds {
    match &node.expr {
        Expr::Literal(LiteralValue::Int(value)) => Bounds::exactly(*value.inner()),
        Expr::Ident(name) if name == "cost" => OPERATION,
        Expr::Call(call) => match (&*call.func_name, call.target.as_deref(), &call.args[..]) {
            ("size", Some(value), []) | ("size", None, [value]) => Bounds {
                low: 0,
                is_total: is_total(value),
                ..Bounds::UNKNOWN
            },
            (op::CONDITIONAL, None, [condition, left, right]) => {
                let (left, right) = (bounds(left), bounds(right));
                Bounds {
                    low: left.low.min(right.low),
                    high: left.high.max(right.high),
                    is_total: is_total(condition) && left.is_total && right.is_total,
                }
            }
            (op::NEGATE, None, [value]) => {
                let Bounds {
                    low,
                    high,
                    is_total,
                } = bounds(value);
                Bounds::of(&[-low, -high], is_total)
            }
            (name, None, [left, right]) => binary(name, bounds(left), bounds(right)),
            _ => Bounds::UNKNOWN,
        },
        _ => Bounds::UNKNOWN,
    }
}

/// Bounds of the result of an operator with two integers.
fn binary(operator: &str, left: Bounds, right: Bounds) -> Bounds {
    let is_total = left.is_total && right.is_total;
    let corners = |apply: fn(i128, i128) -> i128| {
        [
            apply(left.low, right.low),
            apply(left.low, right.high),
            apply(left.high, right.low),
            apply(left.high, right.high),
        ]
    };
    match operator {
        op::ADD => Bounds::of(&corners(|a, b| a + b), is_total),
        op::SUBSTRACT => Bounds::of(&corners(|a, b| a - b), is_total),
        op::MULTIPLY => Bounds::of(&corners(|a, b| a * b), is_total),
        // A divisor that is never 0 and has one sign: the quotient is monotone in both values.
        op::DIVIDE if right.low > 0 => Bounds::of(&corners(|a, b| a / b), is_total),
        op::MODULO if right.low > 0 && left.low >= 0 => {
            Bounds::of(&[0, left.high.min(right.high - 1)], is_total)
        }
        _ => Bounds::UNKNOWN,
    }
}

/// True if a subexpression of any type has a value for every request. False if this is not proved.
fn is_total(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(_) => true,
        Expr::Ident(name) => name == "cost",
        Expr::List(list) => list.elements.iter().all(is_total),
        // Fields that every request has.
        Expr::Select(select) => {
            let is_request = matches!(&select.operand.expr, Expr::Ident(name) if name == "request");
            is_request && !select.test
        }
        Expr::Call(call) => match (&*call.func_name, call.target.as_deref(), &call.args[..]) {
            (
                "contains" | "startsWith" | "endsWith" | "matches" | "lowerAscii",
                Some(text),
                args,
            ) => is_total(text) && args.iter().all(is_total),
            (
                op::EQUALS
                | op::NOT_EQUALS
                | op::LESS
                | op::LESS_EQUALS
                | op::GREATER
                | op::GREATER_EQUALS
                | op::LOGICAL_AND
                | op::LOGICAL_OR
                | op::LOGICAL_NOT,
                None,
                args,
            ) => args.iter().all(is_total),
            (op::IN, None, [value, all]) => {
                is_total(value) && matches!(all.expr, Expr::List(_)) && is_total(all)
            }
            ("string", None, [value]) => is_total(value),
            _ => bounds(node).is_total,
        },
        _ => false,
    }
}

/// True if it is proved that the cost `low` is at most the cost `high` for every request. A cost
/// that cannot be computed, is negative or above [`super::COST_MAX`] is refused, which is above all
/// others.
pub(super) fn at_most(low: &IdedExpr, high: &IdedExpr) -> bool {
    bounds(low).low >= 0 && is_below(low, high)
}

/// True if it is proved for every request: either both have a value, and that of `low` is not
/// greater. Or both have no value for the same reason. Or `high` exceeds 64 bits.
fn is_below(low: &IdedExpr, high: &IdedExpr) -> bool {
    let (low_bounds, high_bounds) = (bounds(low), bounds(high));
    if is_same(low, high)
        || low_bounds.is_total && high_bounds.is_total && low_bounds.high <= high_bounds.low
    {
        return true;
    }
    let (one, other) = (operands(low), operands(high));
    if let (Some((name, a)), Some((same, b))) = (&one, &other)
        && name == same
    {
        let is_pairwise =
            |pairs: &[(&IdedExpr, &IdedExpr)]| pairs.iter().all(|(low, high)| is_below(low, high));
        let are_positive = || a.iter().chain(*b).all(|one| bounds(one).low >= 0);
        let is_proved = match (*name, &a[..], &b[..]) {
            (op::ADD | op::MULTIPLY, [a, b], [c, d]) => {
                are_positive() && is_pairwise(&[(a, c), (b, d)])
            }
            (op::CONDITIONAL, [a, b, c], [d, e, f]) => {
                is_same(a, d) && is_pairwise(&[(b, e), (c, f)])
            }
            _ => false,
        };
        if is_proved {
            return true;
        }
    }
    // Each case of the lower one is below the higher one.
    if let Some((op::CONDITIONAL, [condition, a, b])) = &one
        && is_total(condition)
        && is_below(a, high)
        && is_below(b, high)
    {
        return true;
    }
    match &other {
        Some((op::CONDITIONAL, [condition, a, b])) => {
            is_total(condition) && is_below(low, a) && is_below(low, b)
        }
        // A sum or product is not below one of its parts, if the other part is large enough.
        Some((name @ (op::ADD | op::MULTIPLY), [a, b])) => {
            let least = i128::from(*name == op::MULTIPLY);
            let is_above = |part: &IdedExpr, more: &IdedExpr| {
                let more = bounds(more);
                let is_large = more.is_total && more.low >= least && bounds(part).low >= 0;
                is_large && is_below(low, part)
            };
            is_above(a, b) || is_above(b, a)
        }
        _ => false,
    }
}

/// Operator of a subexpression, and its operands.
fn operands(node: &IdedExpr) -> Option<(&str, &[IdedExpr])> {
    match &node.expr {
        Expr::Call(call) if call.target.is_none() => Some((&call.func_name, &call.args)),
        _ => None,
    }
}

/// True if two subexpressions are equal, except for their places.
fn is_same(one: &IdedExpr, other: &IdedExpr) -> bool {
    let all_same = |a: &[IdedExpr], b: &[IdedExpr]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
    };
    match (&one.expr, &other.expr) {
        (Expr::Literal(a), Expr::Literal(b)) => a == b,
        (Expr::Ident(a), Expr::Ident(b)) => a == b,
        (Expr::Select(a), Expr::Select(b)) => {
            (&a.field, a.test) == (&b.field, b.test) && is_same(&a.operand, &b.operand)
        }
        (Expr::List(a), Expr::List(b)) => all_same(&a.elements, &b.elements),
        (Expr::Call(a), Expr::Call(b)) => {
            let targets = match (&a.target, &b.target) {
                (None, None) => true,
                (Some(a), Some(b)) => is_same(a, b),
                _ => false,
            };
            a.func_name == b.func_name && targets && all_same(&a.args, &b.args)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expression, Form};

    fn at_most(low: &str, high: &str) -> bool {
        let cost = |source| Expression::compile_as(source, Form::Cost).unwrap();
        cost(low).costs_at_most(&cost(high))
    }

    #[test]
    fn costs_with_a_proof_are_ordered() {
        for (low, high) in [
            ("1", "2"),
            ("1", "cost"),
            ("cost", "cost + 1"),
            ("cost", "cost * 3"),
            ("cost * 2", "cost * 3"),
            ("size(request.path)", "size(request.path) + 7"),
            ("size(request.path) / 10", "size(request.path) / 10 * 2"),
            (
                "request.method == 'POST' ? 2 : 1",
                "request.method == 'POST' ? 5 : 1",
            ),
            ("1", "request.method == 'POST' ? 5 : 1"),
            ("request.method == 'POST' ? 5 : 1", "5"),
            (
                "'x' in request.headers ? 1 : 2",
                "'x' in request.headers ? 1 : size(request.path) + 2",
            ),
            ("size(request.headers.x)", "size(request.headers.x) * 2"),
        ] {
            assert!(at_most(low, high), "{low} <= {high}");
            assert!(!at_most(high, low), "{high} <= {low}");
        }
    }

    #[test]
    fn costs_without_a_proof_are_not_ordered() {
        for (one, other) in [
            ("2", "cost"),
            ("size(request.path)", "size(request.host)"),
            // A field that is absent has no value: the cost of the operation applies.
            ("1", "size(request.headers.x) + 1"),
            ("'x' in request.headers ? 1 : 2", "3"),
            // A negative cost is refused.
            ("size(request.path) - 10", "size(request.path)"),
            ("int(request.headers.x)", "int(request.headers.x) * 2"),
            ("7 % size(request.path)", "7"),
        ] {
            assert!(!at_most(one, other), "{one} <= {other}");
            assert!(!at_most(other, one), "{other} <= {one}");
        }
    }

    #[test]
    fn equal_costs_are_at_most_each_other() {
        for (one, other) in [("2", "1 + 1"), ("cost", "(cost)"), ("4 - 2", "2")] {
            assert!(at_most(one, other) && at_most(other, one), "{one} {other}");
        }
    }

    #[test]
    fn least_costs_are_bounds() {
        for (source, least) in [
            ("5", 5),
            ("cost + 4", 5),
            ("request.method == 'POST' ? 9 : 7", 7),
            ("size(request.path)", 0),
            ("int(request.headers.x)", 0),
            ("100 / 7", 14),
            ("-3", 0),
        ] {
            let cost = Expression::compile_as(source, Form::Cost).unwrap();
            assert_eq!(cost.least_cost(), least, "{source}");
        }
    }
}
