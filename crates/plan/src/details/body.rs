//! Comparison of the maximum lengths of request bodies. A limit also determines how much of a body
//! `validate` reads, so that a limit can admit bodies that were too long to be checked.

use bundle::ir;
use policy::Checked;
use policy::Policy as _;
use policy::declared::Scalar;
use policy::validation::{BODY_BYTES_DEFAULT, BODY_BYTES_MAX, Mode};
use serde_json::Value;

use super::operations::{Line, Of, definition, named};
use crate::Class;

/// Reports a change of `max_body`, and a change of the length up to which bodies are checked.
pub(super) fn compare(
    old: (Of<'_>, &ir::Treatment),
    new: (Of<'_>, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    let (was, is) = (old.1.max_body_bytes, new.1.max_body_bytes);
    let amount = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let grows = checks_longer(old, new);
    let told = |limit: Option<u64>| {
        let told = limit.map(|bytes| Scalar::Size(bytes).to_string());
        Value::from(told.unwrap_or_else(|| "no limit".to_owned()))
    };
    let line = |subject: &str, class, was, is| Line {
        class,
        id: "max-body-changed",
        subject: subject.to_owned(),
        old: told(was),
        new: told(is),
    };
    if was != is {
        let class = match grows.is_some() || amount(is) > amount(was) {
            true => Class::Relax,
            false => Class::Tighten,
        };
        lines.push(line("max_body", class, was, is));
    } else if let Some((was, is)) = grows {
        lines.push(line("checked body", Class::Relax, Some(was), Some(is)));
    }
}

/// Lengths in bytes up to which the old and the new side check bodies, if the new one is greater.
/// `None` otherwise. Bodies above the length are refused.
fn checks_longer(
    old: (Of<'_>, &ir::Treatment),
    new: (Of<'_>, &ir::Treatment),
) -> Option<(u64, u64)> {
    let (was, is) = (checked(old)?, checked(new)?);
    (is > was).then_some((was, is))
}

/// Length up to which an operation checks bodies, in bytes. None if it refuses no body for its
/// content.
fn checked((side, treatment): (Of<'_>, &ir::Treatment)) -> Option<u64> {
    let is_block = |mode: Mode| mode == Mode::Block;
    let own = treatment.forwarding.validate.as_ref();
    let mut blocks = own.is_some_and(|checked| is_block(checked.request));
    let mut limit = treatment.max_body_bytes;
    for name in treatment.chain.iter().filter_map(named) {
        match definition(treatment, name, side) {
            Some((_, Checked::Validate(checked))) => blocks |= is_block(checked.request),
            Some((_, Checked::BodyLimit(other))) => {
                let other = other.settings().amount(&["request"]);
                limit = limit.into_iter().chain(other).min();
            }
            _ => {}
        }
    }
    let bytes = limit.map_or(BODY_BYTES_DEFAULT, |limit| limit.min(BODY_BYTES_MAX));
    blocks.then_some(bytes)
}
