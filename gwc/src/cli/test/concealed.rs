//! Results of tests in files whose text is never shown, because Git does not track them.

use std::borrow::Cow;

use super::TestResult;

/// Text in place of a text of the file.
const HIDDEN: &str = "(not shown: Git does not track the test file)";

/// Replaces all texts that come from the test file in a result. The source locations and the
/// decisions remain.
pub(super) fn without_text(mut result: TestResult<'_>) -> TestResult<'_> {
    let mut case = result.case.into_owned();
    HIDDEN.clone_into(&mut case.name.value);
    result.case = Cow::Owned(case);
    for outcome in &mut result.outcomes {
        HIDDEN.clone_into(&mut outcome.request);
        for failure in &mut outcome.failures {
            failure.what.clear();
            failure.expected.clear();
            HIDDEN.clone_into(&mut failure.actual);
            failure.help = None;
        }
    }
    if let Some(why) = &mut result.skipped {
        HIDDEN.clone_into(why);
    }
    result
}
