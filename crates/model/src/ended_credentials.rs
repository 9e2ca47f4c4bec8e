//! Credentials of consumers whose `not_after` has passed or is near. gwd refuses a credential from
//! `not_after` on.

use bundle::moment::Moment;
use diag::{Diagnostic, Level, NodeRef, Sink, shape};
use sources::project::files::Files;
use vocab::security_lints::CREDENTIAL_ENDS;

use super::settings::Settings;

const DAY_S: u64 = 86_400;

/// Time before `not_after` from which a credential is reported: 30 days.
const SOON_S: u64 = 30 * DAY_S;

/// Keys of a consumer that contain lists of credentials, each with the noun for one credential in
/// messages.
const LISTS: [(&str, &str); 4] = [
    ("keys", "key"),
    ("basic", "password"),
    ("certificates", "certificate"),
    ("tokens", "token"),
];

/// Reports credentials that have ended, or end within 30 days of [`Files::check_time_s`].
pub(super) fn check(files: &Files, settings: &Settings, sink: &mut Sink) {
    let now_s = files.check_time_s();
    for consumer in &settings.consumers {
        let Some(node) = consumer.node else { continue };
        for (list, noun) in LISTS {
            let items = files.tree.at(node).get(list);
            for item in items.into_iter().flat_map(NodeRef::items) {
                let found = ending(item, (&consumer.value.name, noun), now_s);
                found.into_iter().for_each(|finding| sink.push(finding));
            }
        }
    }
}

fn ending(item: NodeRef<'_>, (consumer, noun): (&str, &str), now_s: u64) -> Option<Diagnostic> {
    let at = item.get("not_after")?;
    let end_s = shape::read_date(at.scalar_text()?)?;
    let remaining = Remaining::of(end_s, now_s)?;
    let consumer = consumer.escape_debug();
    let message = format!("this {noun} of `{consumer}` {remaining}");
    let finding = Diagnostic::new(&CREDENTIAL_ENDS, at.span(), message);
    Some(match remaining {
        Remaining::None => finding
            .label("gwd refuses the credential from this time on")
            .help("remove it"),
        Remaining::Days(_) => finding
            .level(Level::Info)
            .label(format!("{}", Moment::from_unix_s(end_s)))
            .help("add the next one, then remove this one"),
    })
}

/// Time until the end of a credential or key that has ended or ends within 30 days. Displays as the
/// end of a sentence whose subject is the credential or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remaining {
    /// The end has passed.
    None,
    /// Number of whole days that remain.
    Days(u64),
}

impl Remaining {
    /// Returns the time that remains until `end_s`. `None` if more than 30 days remain.
    pub(super) fn of(end_s: u64, now_s: u64) -> Option<Self> {
        let is_near = end_s <= now_s.saturating_add(SOON_S);
        is_near.then(|| match end_s.checked_sub(now_s) {
            None | Some(0) => Self::None,
            Some(left_s) => Self::Days(left_s / DAY_S),
        })
    }
}

impl std::fmt::Display for Remaining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("has ended"),
            Self::Days(0) => f.write_str("ends within a day"),
            Self::Days(1) => f.write_str("ends in 1 day"),
            Self::Days(days) => write!(f, "ends in {days} days"),
        }
    }
}
