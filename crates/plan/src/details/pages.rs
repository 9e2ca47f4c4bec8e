//! Error responses (`errors`) that browsers run. The media type of a body is judged like that of a
//! `respond` policy.

use std::collections::BTreeSet;

use policy::declared::Settings;
use serde_json::Value;

use super::operations::Line;
use crate::security::{Verdict, executed};
use crate::{Change, Class, Section};

/// Media type of a body without `content_type`.
const TEXT: &str = "text/plain; charset=utf-8";

/// Reason for the absence of a witness.
const IN_BROWSER: &str = "a page in a browser shows it";

/// Media type of the body for a reason. The first settings that name the reason count, as in the
/// engine. `None`: a problem document.
fn media_type<'a>(nearest_first: &[&'a Settings], reason: &str) -> Option<&'a str> {
    let mut all = nearest_first.iter();
    let own = all.find(|errors| errors.below(&[reason]).next().is_some())?;
    own.text(&[reason, "body"])?;
    Some(own.text(&[reason, "content_type"]).unwrap_or(TEXT))
}

/// Changes of reasons whose body browsers newly run, or no longer run. They replace the lines about
/// these media types. `old` and `new` are the error responses of the API or gateway itself, followed
/// by those that apply where it has none.
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
        let told = |media_type: Option<&str>| media_type.map_or(Value::Null, Value::from);
        let (section, id) = (Section::Security, "response-field-changed");
        let mut change = Change::new(section, class, id, subject, told(was), told(is));
        change.why_none = Some(IN_BROWSER);
        changes.push(change);
    }
    changes
}
