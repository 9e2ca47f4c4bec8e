//! Containment of the keywords that count the items of an array: `contains`, `minContains` and
//! `maxContains` (JSON Schema 2020-12, core §10.3.1.3 and validation §6.4.4, §6.4.5).

use bundle::ir::Value;

use crate::contain::ContainmentCheck;
use crate::order::compared;

/// Default of `minContains`.
static ONE: Value = Value::Integer(1);
static ZERO: Value = Value::Integer(0);

impl<'a> ContainmentCheck<'a> {
    /// True if every array that the narrow schema accepts satisfies one of these keywords (`key`)
    /// of the wide schema. `minContains` and `maxContains` have an effect only beside `contains`.
    pub(crate) fn counts_alike(&mut self, key: &str, wide: &'a Value, narrow: &'a Value) -> bool {
        let Some(contains) = wide.get("contains") else {
            return true;
        };
        let own = narrow.get("contains");
        let at_least =
            |one: &Value, other: &Value| compared(one, other).is_some_and(|it| it.is_ge());
        let least = |schema: &'a Value| schema.get("minContains").unwrap_or(&ONE);
        let (wide_least, narrow_least) = (self.wide(least(wide)), self.narrow(least(narrow)));
        match key {
            "contains" if at_least(&ZERO, wide_least) => true,
            "contains" => {
                own.is_some_and(|own| self.same(contains, own))
                    && at_least(narrow_least, wide_least)
            }
            // The arm for `contains` has compared the numbers.
            "minContains" => true,
            _ => {
                let most = |schema: &'a Value| schema.get("maxContains");
                let (Some(wide_most), Some(narrow_most)) = (most(wide), most(narrow)) else {
                    return false;
                };
                let (wide_most, narrow_most) = (self.wide(wide_most), self.narrow(narrow_most));
                own.is_some_and(|own| self.same(contains, own)) && at_least(wide_most, narrow_most)
            }
        }
    }
}
