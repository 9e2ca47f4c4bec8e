//! Comparison of custom error responses (`errors`) whose body browsers execute. Media types are
//! compared as for a `respond` policy.

use std::collections::BTreeSet;

use policy::declared::Settings;
use serde_json::Value;

use super::line::Line;
use crate::security::{Verdict, executed};
use crate::{Change, Class, Section};

/// Media type of a body without `content_type`.
const TEXT: &str = "text/plain; charset=utf-8";

/// Reason for the absence of a witness: the difference is visible only in a browser.
const IN_BROWSER: &str = "only a page in a browser would show the change";

/// Media type of the body for a reason. The first settings that name the reason apply, as in the
/// engine. `None` means a problem document.
fn media_type<'a>(nearest_first: &[&'a Settings], reason: &str) -> Option<&'a str> {
    let mut all = nearest_first.iter();
    let own = all.find(|errors| errors.below(&[reason]).next().is_some())?;
    own.text(&[reason, "body"])?;
    Some(own.text(&[reason, "content_type"]).unwrap_or(TEXT))
}

/// Reports error reasons for which browsers newly execute the body, or no longer do. These lines
/// replace the lines about the media types. `old` and `new` contain the error settings in order of
/// precedence: first the settings of the API or gateway itself, then the inherited settings.
pub(super) fn compare(
    subject: &str,
    (old, new): (&[&Settings], &[&Settings]),
    lines: &mut Vec<Line>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let own = [old, new].into_iter().filter_map(<[_]>::first);
    let reasons: BTreeSet<&str> = own
        .flat_map(|errors| errors.iter())
        .filter_map(|one| one.path.first().map(String::as_str))
        .collect();
    for reason in reasons {
        let (was, is) = (media_type(old, reason), media_type(new, reason));
        let class = match executed(was, is) {
            Verdict::Equal => continue,
            Verdict::Weaken => Class::Weaken,
            Verdict::Strengthen => Class::Strengthen,
            Verdict::Incomparable => Class::Incomparable,
        };
        let subject = format!("{subject} errors.{reason}.content_type");
        let subject = subject.trim_start().to_owned();
        lines.retain(|line| line.subject != subject);
        let shown = |media_type: Option<&str>| media_type.map_or(Value::Null, Value::from);
        let (section, id) = (Section::Security, "response-field-changed");
        let mut change = Change::new(section, class, id, subject, shown(was), shown(is));
        change.why_none = Some(IN_BROWSER);
        changes.push(change);
    }
    changes
}
