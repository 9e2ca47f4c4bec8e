//! Test results for people: failed tests with their differences, then the counts.

use std::fmt::Write as _;

use super::{Results, TestResult};
use ::plan::expect::coverage::Coverage;
use diag::text::printable;

/// Maximum number of items without a test that are listed for each kind of coverage.
const MISSED_MAX: usize = 100;

/// Renders the results. `with_missed`: true to list the items that no test reached.
pub(super) fn render(results: &Results<'_>, with_missed: bool) -> String {
    let mut out = String::new();
    for test in results.tests.iter().filter(|test| test.failed()) {
        failed(&mut out, test, &results.folder);
    }
    if let Some(coverage) = &results.coverage {
        reached(&mut out, coverage, with_missed);
    }
    skipped(&mut out, results);
    let _ = write!(
        out,
        "{} passed, {} failed",
        results.passed(),
        results.failed()
    );
    if results.coverage.is_none() {
        let _ = write!(out, ", {} not sent", results.skipped());
    }
    out.push('\n');
    out
}

/// Lists the tests that were not sent to the running gateway. Prints the number of expectations
/// that were not compared.
fn skipped(out: &mut String, results: &Results<'_>) {
    for test in &results.tests {
        if let Some(why) = &test.skipped {
            let name = printable(&test.case.name.value);
            let _ = writeln!(out, "not sent: {name}: {}", printable(why));
        }
    }
    if let Some(line) = results.not_compared() {
        let _ = writeln!(out, "{line}");
    }
}

/// Prints the coverage of the tests. `with_missed`: true to list the items that no test reached.
fn reached(out: &mut String, coverage: &Coverage, with_missed: bool) {
    if with_missed {
        for (kind, share) in coverage.kinds() {
            let missed: Vec<&str> = share.missed().collect();
            if missed.is_empty() {
                continue;
            }
            let _ = writeln!(out, "{kind} that no test reached:");
            for one in missed.iter().take(MISSED_MAX) {
                let _ = writeln!(out, "  {}", printable(one));
            }
            if let Some(more) = missed
                .len()
                .checked_sub(MISSED_MAX)
                .filter(|more| *more > 0)
            {
                let _ = writeln!(out, "  and {more} more (--format json lists all)");
            }
        }
    }
    let shares = coverage.kinds().map(|(kind, share)| {
        let all = share.all.len();
        format!("{kind} {} of {all}", all - share.missed().count())
    });
    let _ = writeln!(out, "reached: {}", shares.join(", "));
}

fn failed(out: &mut String, test: &TestResult<'_>, folder: &str) {
    let place = &test.place;
    let _ = writeln!(
        out,
        "failed: {}\n  --> {folder}{}:{}:{}",
        printable(&test.case.name.value),
        printable(&place.file),
        place.line,
        place.column
    );
    let mut places = test.failures.iter();
    for outcome in test.outcomes.iter().filter(|one| !one.failures.is_empty()) {
        let _ = writeln!(out, "  {}", printable(&outcome.request));
        for failure in &outcome.failures {
            let line = places.next().map_or(0, |place| place.line);
            let actual = printable(&failure.actual);
            let _ = match failure.what.is_empty() {
                true => writeln!(out, "    line {line}: {actual}"),
                false => writeln!(
                    out,
                    "    line {line}: {}\n      expected: {}\n      actual:   {actual}",
                    printable(&failure.what),
                    printable(&failure.expected)
                ),
            };
            if let Some(help) = &failure.help {
                let _ = writeln!(out, "      note: {}", printable(help));
            }
        }
    }
    out.push('\n');
}
