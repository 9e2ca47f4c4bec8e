//! One file for each rule.

use diag::Lint;

use super::{Check, Rule};

mod duplicate_operation_id;

/// The rules, in the order of their codes.
pub const RULES: &[Rule] = &[Rule {
    lint: &duplicate_operation_id::LINT,
    check: Check::Spec(duplicate_operation_id::check),
}];

/// Their kinds of findings.
pub const LINTS: &[&Lint] = {
    const LINTS: [&Lint; RULES.len()] = {
        let mut lints = [RULES[0].lint; RULES.len()];
        let mut index = 0;
        while index < RULES.len() {
            lints[index] = RULES[index].lint;
            index += 1;
        }
        lints
    };
    &LINTS
};
