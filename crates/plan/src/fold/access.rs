//! Lines about the access of many operations. Changes with the same new requirement, or with the
//! same old one, form one line.

use std::collections::BTreeSet;

use super::{Cause, NAMED_MAX, Unit, counted, name};
use crate::report::{Report, Values};
use crate::words;
use crate::{Change, Class, Section};
use diag::text::printable;

/// Side whose requirement the changes of a line have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Same {
    Old,
    New,
}

/// Maximum number of requirements that a line names.
const REQUIREMENTS_MAX: usize = 3;

/// Properties that the changes of one line have in common. `None` for changes that are not about
/// the access of operations.
pub(super) fn cause(report: &Report<'_>, unit: &Unit<'_>, same: Same) -> Option<Cause> {
    let first = unit.changes[0];
    let operation = first.operation.as_ref().filter(|_| is_access(first))?;
    let environments: Vec<&str> = first.environments.iter().map(String::as_str).collect();
    let [old, new] = words::values(first);
    let parts = vec![
        operation.api.clone(),
        environments.join(" "),
        report.remark(first).unwrap_or_default(),
        match same {
            Same::Old => old,
            Same::New => new,
        },
    ];
    Some((first.class, vec![first.id], first.subject.clone(), parts))
}

fn is_access(change: &Change) -> bool {
    let is_described = matches!(change.section, Section::Security | Section::Policy);
    is_described && change.subject == "security" && change.class != Class::Rules
}

/// Operations of several changes: their number, and the names of some of them.
pub(super) fn operations(units: &[Unit<'_>]) -> (usize, String) {
    let changes = || units.iter().map(|unit| unit.changes[0]);
    let keys: BTreeSet<&String> = changes().flat_map(|change| &change.operations).collect();
    let named: Vec<String> = changes().take(NAMED_MAX).map(name).collect();
    let mut text = named.join(", ");
    if let more @ 1.. = keys.len().saturating_sub(named.len()) {
        text.push_str(&format!(" and {more} more"));
    }
    (keys.len(), text)
}

/// Requirements of several changes on both sides. A side with several requirements shows their
/// number and some of them.
pub(super) fn values(units: &[Unit<'_>]) -> Values {
    let of = |side: usize| -> String {
        let all = units.iter().map(|unit| {
            let values = words::values(unit.changes[0]);
            values.into_iter().nth(side).unwrap_or_default()
        });
        let all: BTreeSet<String> = all.collect();
        let named = all.iter().take(REQUIREMENTS_MAX);
        let named = named.map(String::as_str).collect::<Vec<_>>().join("; ");
        match all.len() {
            1 => named,
            count if count <= REQUIREMENTS_MAX => format!("{count} requirements ({named})"),
            count => format!("{} ({named}; …)", counted(count, "requirement")),
        }
    };
    Values {
        subject: "access: ".to_owned(),
        old: Some(printable(&of(0))),
        new: printable(&of(1)),
    }
}
