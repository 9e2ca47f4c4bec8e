//! Verifiers.

use bundle::ir;
use serde_json::Value;

use super::{both, push};
use crate::plan::{Class, Plan, Section};

/// Verifiers that come, go, or check differently.
pub(super) fn verifiers(old: &ir::Shared, new: &ir::Shared, plan: &mut Plan) {
    for (name, was, is) in both(&old.auth, &new.auth) {
        if was != is {
            let said = |verifier: Option<&ir::Verifier>| {
                verifier.map_or(Value::Null, |verifier| {
                    format!("{:?}", verifier.checked).into()
                })
            };
            push(
                plan,
                Section::Policy,
                Class::Changed,
                "verifier-changed",
                format!("auth {name}"),
                said(was),
                said(is),
            );
        }
    }
}
