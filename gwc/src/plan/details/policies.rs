//! Policies that both sides have.

use bundle::ir;
use policy::Checked;
use serde_json::{Value, json};

use super::{both, number, push};
use crate::plan::{Class, Plan, Section};

/// Policies whose settings changed.
pub(super) fn policies(
    scope: &str,
    old: &ir::Set<ir::Policy>,
    new: &ir::Set<ir::Policy>,
    plan: &mut Plan,
) {
    for (name, was, is) in both(old, new) {
        let subject = format!("policy {scope}{name}");
        // Coming and going shows in the chains that name it.
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        if was == is {
            continue;
        }
        match (&was.checked, &is.checked) {
            (Checked::RateLimit(a), Checked::RateLimit(b)) if a.key() == b.key() => {
                let (a, b) = (a.tokens(), b.tokens());
                let rate = |tokens: policy::Tokens| {
                    format!("{} per {} ms", tokens.count, tokens.period_ms)
                };
                let faster = u128::from(b.count) * u128::from(a.period_ms)
                    > u128::from(a.count) * u128::from(b.period_ms);
                if (a.count, a.period_ms) != (b.count, b.period_ms) {
                    let class = if faster { Class::Relax } else { Class::Tighten };
                    push(
                        plan,
                        Section::Policy,
                        class,
                        "rate-changed",
                        subject.clone(),
                        rate(a).into(),
                        rate(b).into(),
                    );
                }
                number(
                    plan,
                    Section::Policy,
                    "burst-changed",
                    subject,
                    a.burst,
                    b.burst,
                    "",
                );
            }
            (Checked::Timeout(a), Checked::Timeout(b)) => number(
                plan,
                Section::Policy,
                "timeout-changed",
                subject,
                a.request_ms(),
                b.request_ms(),
                "ms",
            ),
            (a, b) => push(
                plan,
                Section::Policy,
                Class::Changed,
                "policy-changed",
                subject,
                said(a),
                said(b),
            ),
        }
    }
}

/// A policy for people; secrets are references.
fn said(checked: &Checked) -> Value {
    json!({"kind": checked.kind(), "is": format!("{checked:?}")})
}
