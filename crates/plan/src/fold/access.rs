//! Access of many operations in one line. Changes with the same new requirement, or with the same
//! old one, form one line.

use std::collections::BTreeSet;

use crate::report::{Report, Values};
use crate::words;
use crate::{Change, Class, Section};
use diag::count::counted;
use diag::text::printable;

/// Side whose requirement the changes of a line have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Same {
    Old,
    New,
}

/// Maximum number of requirements that a line names.
const REQUIREMENTS_MAX: usize = 3;

/// Properties that the changes of one line have in common: API, environments, review, and the
/// requirement. `None` for a change that is not about the access of operations.
pub(super) fn common(report: &Report<'_>, change: &Change, same: Same) -> Option<Vec<String>> {
    let operation = change.operation.as_ref().filter(|_| is_access(change))?;
    let environments: Vec<&str> = change.environments.iter().map(String::as_str).collect();
    let [old, new] = words::values(change);
    Some(vec![
        operation.api.clone(),
        environments.join(" "),
        report.remark(change).unwrap_or_default(),
        match same {
            Same::Old => old,
            Same::New => new,
        },
    ])
}

fn is_access(change: &Change) -> bool {
    let is_described = matches!(change.section, Section::Security | Section::Policy);
    is_described && change.subject == "security" && change.class != Class::Rules
}

/// Number of operations that at least one of the changes concerns.
pub(super) fn operations(changes: &[&Change]) -> usize {
    let keys = changes.iter().flat_map(|change| &change.operations);
    keys.collect::<BTreeSet<_>>().len()
}

/// Requirements of several changes on both sides. A side with several requirements shows their
/// number and some of them.
pub(super) fn values(changes: &[&Change]) -> Values {
    let all = changes.iter().map(|change| words::values(change));
    let (old, new): (BTreeSet<String>, BTreeSet<String>) = all.map(|[old, new]| (old, new)).unzip();
    let text = |all: &BTreeSet<String>| {
        let named = all.iter().take(REQUIREMENTS_MAX);
        let named = named.map(String::as_str).collect::<Vec<_>>().join("; ");
        match all.len() {
            1 => named,
            ..=REQUIREMENTS_MAX => format!("{} ({named})", counted(all.len(), "requirement")),
            count => format!("{} ({named}; …)", counted(count, "requirement")),
        }
    };
    Values {
        subject: "access: ".to_owned(),
        old: Some(printable(&text(&old))),
        new: printable(&text(&new)),
    }
}
