//! Checks of client contracts: one row of `checks.tsv` per id.
//!
//! Ids and default levels are the same as in oasdiff, so that users of oasdiff recognise them.
//! `left_out.tsv` lists the ids of oasdiff that have no row, each with the reason. `deviations.tsv`
//! lists the cases of oasdiff's own tests for which gwc reports other findings, `further.tsv` the breaks
//! that gwc reports beside the findings of one rule.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Severity of a difference for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// No effect on clients that follow the old contract.
    Info,
    /// Some clients may be affected.
    Warn,
    /// Clients that follow the old contract fail.
    Error,
}

/// Kind of difference between two contracts.
#[derive(Debug)]
pub struct Check {
    /// Id of the change in plans.
    pub id: &'static str,
    /// Default level.
    pub level: Level,
    /// Direction of the messages that the difference affects: `request`, `response` or `none`.
    pub direction: &'static str,
    /// Explanation for the reader of a plan.
    pub means: &'static str,
}

/// All checks, in the order of the table.
pub static ALL: LazyLock<Vec<Check>> = LazyLock::new(|| rows().collect());

static BY_ID: LazyLock<BTreeMap<&'static str, &'static Check>> =
    LazyLock::new(|| ALL.iter().map(|check| (check.id, check)).collect());

/// Returns the check with an id.
#[must_use]
pub fn of(id: &str) -> Option<&'static Check> {
    BY_ID.get(id).copied()
}

/// Ids of oasdiff for which there is no check here, each with the reason.
pub fn left_out() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("left_out.tsv").lines();
    lines.filter_map(|line| line.split_once('\t'))
}

/// Case of oasdiff's tests for which gwc deliberately reports something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Name of oasdiff's test.
    pub case: &'static str,
    /// `-LEVEL ID` for a finding that only oasdiff reports, `+LEVEL ID` for one that only gwc
    /// reports.
    pub finding: &'static str,
    /// Reason for the difference.
    pub why: &'static str,
}

/// Deliberate differences from oasdiff, by the cases of its tests.
pub fn deviations() -> impl Iterator<Item = Deviation> {
    let rows = triples(include_str!("deviations.tsv"));
    rows.map(|(case, finding, why)| Deviation { case, finding, why })
}

/// Break that gwc reports in a case of oasdiff's tests, beside the findings that the case expects.
/// Such a case runs the checks of one rule only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FurtherBreak {
    /// Name of oasdiff's test.
    pub case: &'static str,
    /// Check of level `error` that gwc reports.
    pub id: &'static str,
    /// Cause of the break in the documents of the case.
    pub why: &'static str,
}

/// Further breaks in the cases of oasdiff's tests.
pub fn further_breaks() -> impl Iterator<Item = FurtherBreak> {
    let rows = triples(include_str!("further.tsv"));
    rows.map(|(case, id, why)| FurtherBreak { case, id, why })
}

/// Rows of a table with three columns.
fn triples(
    table: &'static str,
) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    table.lines().filter_map(|line| {
        let (first, rest) = line.split_once('\t')?;
        let (second, third) = rest.split_once('\t')?;
        Some((first, second, third))
    })
}

fn rows() -> impl Iterator<Item = Check> {
    include_str!("checks.tsv").lines().map(|line| {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        Check {
            id: next(),
            level: Level::named(next()),
            direction: next(),
            means: next(),
        }
    })
}

impl Level {
    /// Names of all levels, as in gateway.yaml.
    pub const NAMES: &[&str] = &["info", "warn", "error"];

    /// Returns the level with a name. [`Self::Info`] for any other text.
    #[must_use]
    pub fn named(text: &str) -> Self {
        match text {
            "error" => Self::Error,
            "warn" => Self::Warn,
            _ => Self::Info,
        }
    }

    /// Name of the level in JSON: `error`, `warn` or `info`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_four_columns_and_its_own_id() {
        for line in include_str!("checks.tsv").lines() {
            assert_eq!(line.split('\t').count(), 4, "{line}");
        }
        assert_eq!(BY_ID.len(), ALL.len());
        assert!(left_out().all(|(id, why)| of(id).is_none() && !why.is_empty()));
        let lines = include_str!("deviations.tsv").lines().count();
        let with_reason = deviations().filter(|one| !one.why.is_empty());
        assert_eq!(with_reason.count(), lines);
        let lines = include_str!("further.tsv").lines().count();
        let with_reason = further_breaks().filter(|one| !one.why.is_empty());
        assert_eq!(with_reason.count(), lines);
    }
}
