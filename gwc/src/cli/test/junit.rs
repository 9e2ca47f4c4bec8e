//! Test results as JUnit XML: one suite per file, one case per test.

use std::fmt::Write as _;

use super::{Results, TestResult};
use diag::xml::escaped;

/// Renders the results as a JUnit XML document.
pub(super) fn render(results: &Results<'_>) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"gwc test\" tests=\"{}\" failures=\"{}\" errors=\"0\">\n",
        results.tests.len(),
        results.failed()
    );
    for tests in results
        .tests
        .chunk_by(|one, other| one.case.file == other.case.file)
    {
        let file = tests.first().map(|test| test.case.file.as_str());
        let failed = tests.iter().filter(|test| test.failed()).count();
        let skipped = tests.iter().filter(|test| test.skipped.is_some()).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\">",
            escaped(file.unwrap_or_default()),
            tests.len()
        );
        tests
            .iter()
            .for_each(|test| case(&mut out, test, &results.folder));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, test: &TestResult<'_>, folder: &str) {
    let path = escaped(&format!("{folder}{}", test.place.file));
    let _ = write!(
        out,
        "    <testcase name=\"{}\" classname=\"{path}\" file=\"{path}\" line=\"{}\"",
        escaped(&test.case.name.value),
        test.place.line
    );
    if test.passed() {
        out.push_str("/>\n");
        return;
    }
    if let Some(why) = &test.skipped {
        let why = escaped(why);
        let _ = writeln!(
            out,
            ">\n      <skipped message=\"{why}\"/>\n    </testcase>"
        );
        return;
    }
    out.push_str(">\n");
    let lines = super::lines(test);
    let first = lines.first().map(String::as_str).unwrap_or_default();
    let _ = writeln!(
        out,
        "      <failure type=\"decision\" message=\"{}\">{}</failure>\n    </testcase>",
        escaped(first),
        escaped(&lines.join("\n"))
    );
}
