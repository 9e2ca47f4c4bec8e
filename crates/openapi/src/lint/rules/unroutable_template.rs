//! Rule for a valid path template that the router cannot match.

use std::ops::Range;

use diag::{Diagnostic, Level, Lint, Sink};
use policy::escapes::{is_dot_segment, refused};

use crate::lint::template::{self, PARAMETERS_MAX, Part};
use crate::lint::{Place, within};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0391",
    name: "unroutable-template",
    level: Level::Error,
    summary: "a valid path template that cannot be matched",
    explain: "Two parameters with nothing between them cannot be told apart, and a segment may \
have at most 8 parameters. A segment `**` is not a parameter: to match everything below a path, \
set `x-gateway: {match: prefix}`. gwd removes segments `.` and `..` (also `%2e`) before it \
matches a path. It refuses escapes of control characters (`%00` to `%1F`, `%7F`) in every \
path. With a lower level in `lint`, the \
operations of such a path are not served, as with `internal: true`.",
    bad: v30!("paths:\n  /a/{x}{y}: {}\n"),
    good: v30!("paths:\n  /a/{x}-{y}: {}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let mut say = |bytes: Range<usize>, message: &str, help: &str| {
        let span = within(place.resolver.files(), place.at, key, bytes);
        let help = format!(
            "{help}; or set `lint: {{{}: warn}}`, and gwd does not serve the path",
            LINT.name
        );
        sink.push(Diagnostic::new(&LINT, span, message).help(help));
    };
    let mut behind_parameter = false;
    let (mut here, mut is_reported) = (0, false);
    for part in template::parts(key) {
        let is_parameter = matches!(part, Part::Parameter { .. });
        match part {
            Part::Parameter { bytes, .. } => {
                here += 1;
                if behind_parameter {
                    say(
                        bytes,
                        "two parameters with nothing between them cannot be told apart",
                        "put a literal between them, or make them one",
                    );
                } else if here > PARAMETERS_MAX && !std::mem::replace(&mut is_reported, true) {
                    say(
                        bytes,
                        "a segment may have at most 8 parameters",
                        "split the segment, or take some of its parts together as one parameter",
                    );
                }
            }
            Part::Literal { text, start } => {
                if text.contains('/') {
                    (here, is_reported) = (0, false);
                }
                for at in refused(text) {
                    let at = start + at;
                    say(
                        at..at + 3,
                        "requests with a control character in the path are never served",
                        "remove it",
                    );
                }
                let mut at = start;
                for segment in text.split('/') {
                    let bytes = at..at + segment.len();
                    let is_whole = key[..bytes.start].ends_with('/')
                        && (key.len() == bytes.end || key[bytes.end..].starts_with('/'));
                    at = bytes.end + 1;
                    if is_whole && is_dot_segment(segment) {
                        say(
                            bytes,
                            "gwd removes segments `.` and `..` before it matches a path",
                            "write the path without such segments",
                        );
                    } else if segment == "**" && is_whole {
                        say(
                            bytes,
                            "no segment can be `**`",
                            "to match all paths below this one, write `x-gateway: {match: prefix}` in the path item",
                        );
                    }
                }
            }
            Part::Unclosed { .. } | Part::Unopened { .. } => {}
        }
        behind_parameter = is_parameter;
    }
}
