//! Equality of values of two contracts that are joined in one graph. `rank` contains the class of
//! each node: nodes with the same meaning have the same class.

use std::collections::BTreeMap;

use bundle::ir::Value;

/// True if two values have the same meaning.
pub(super) fn same(rank: &[u32], a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Node(a), Value::Node(b)) => rank[*a as usize] == rank[*b as usize],
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(rank, a, b))
        }
        (Value::Set(a), Value::Set(b)) => {
            let (a, b) = unmatched(rank, a, b);
            a.is_empty() && b.is_empty()
        }
        (Value::Map(a), Value::Map(b)) => {
            let mut pairs = a.iter().zip(b);
            a.len() == b.len() && pairs.all(|(a, b)| a.0 == b.0 && same(rank, &a.1, &b.1))
        }
        _ => a == b,
    }
}

/// Members of each list that are missing in the other list. A member that occurs several times
/// must also occur as often in the other list.
pub(super) fn unmatched<'v>(
    rank: &[u32],
    a: &'v [Value],
    b: &'v [Value],
) -> (Vec<&'v Value>, Vec<&'v Value>) {
    let key = |value: &Value| match value {
        Value::Node(node) => Value::Node(rank[*node as usize]),
        other => other.clone(),
    };
    let mut left: BTreeMap<Value, Vec<&Value>> = BTreeMap::new();
    for value in a {
        left.entry(key(value)).or_default().push(value);
    }
    let mut right = Vec::new();
    for value in b {
        if left.get_mut(&key(value)).and_then(Vec::pop).is_none() {
            right.push(value);
        }
    }
    (left.into_values().flatten().collect(), right)
}
