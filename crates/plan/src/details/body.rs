//! Comparison of the maximum lengths of request bodies. The limits also determine the length up to
//! which `validate` checks bodies. A greater limit can therefore admit bodies that were too long to
//! be checked.

use bundle::ir;
use policy::Checked;
use policy::Policy as _;
use policy::declared::Scalar;
use policy::validation::{BODY_BYTES_DEFAULT, BODY_BYTES_MAX, Mode};
use serde_json::Value;

use super::line::{ApiSide, Line, definition, named};
use crate::Class;

/// Reports a change of `max_body`, and a change of the length up to which bodies are checked.
pub(super) fn compare(
    old: (ApiSide<'_>, &ir::Treatment),
    new: (ApiSide<'_>, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    let (was, is) = (old.1.max_body_bytes, new.1.max_body_bytes);
    let amount = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let grows = checks_longer(old, new);
    let shown = |limit: Option<u64>| {
        let text = limit.map(|bytes| Scalar::Size(bytes).to_string());
        Value::from(text.unwrap_or_else(|| "no limit".to_owned()))
    };
    let line = |subject: &str, class, was, is| Line {
        class,
        id: "max-body-changed",
        subject: subject.to_owned(),
        old: shown(was),
        new: shown(is),
    };
    let (before, after) = (streams_unchecked(old), streams_unchecked(new));
    if before != after && checked(old).is_some() && checked(new).is_some() {
        let shown = |streams: bool| match streams {
            true => "multipart bodies above 8MiB are forwarded unchecked",
            false => "multipart bodies above 8MiB are refused",
        };
        lines.push(Line {
            class: if after {
                Class::Weaken
            } else {
                Class::Strengthen
            },
            id: "request-body-unchecked",
            subject: "checked body".to_owned(),
            old: shown(before).into(),
            new: shown(after).into(),
        });
    }
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

/// Lengths in bytes up to which the old and the new side check bodies, if the new length is
/// greater. `None` otherwise. Each side refuses longer bodies, except multipart bodies that it
/// forwards unchecked ([`streams_unchecked`]).
fn checks_longer(
    old: (ApiSide<'_>, &ir::Treatment),
    new: (ApiSide<'_>, &ir::Treatment),
) -> Option<(u64, u64)> {
    let (was, is) = (checked(old)?, checked(new)?);
    (is > was).then_some((was, is))
}

/// True if multipart bodies that are too long to be checked are forwarded: `max_body` allows such
/// bodies, and an operation with the treatment describes a multipart body.
fn streams_unchecked((side, treatment): (ApiSide<'_>, &ir::Treatment)) -> bool {
    let api = side.api;
    let has_multipart = |operation: &ir::Operation| {
        let messages = api.messages.as_ref();
        let described = messages.and_then(|all| all.operations.get(&operation.key));
        let body = described.and_then(|one| one.body.as_ref());
        let mut types = body.into_iter().flat_map(|body| &body.media_types);
        types.any(|media_type| media_type.name.starts_with("multipart/"))
    };
    let mut operations = api.operations.iter().filter(|operation| {
        let own = api.treatments.get(operation.treatment as usize);
        own.is_some_and(|own| std::ptr::eq(own, treatment))
    });
    treatment
        .max_body_bytes
        .is_some_and(|bytes| bytes > BODY_BYTES_MAX)
        && operations.any(has_multipart)
}

/// Length up to which an operation checks bodies, in bytes. `None` if the operation refuses no body
/// because of its content.
fn checked((side, treatment): (ApiSide<'_>, &ir::Treatment)) -> Option<u64> {
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
