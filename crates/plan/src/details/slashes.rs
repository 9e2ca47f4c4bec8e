//! Comparison of the final slash of paths. With `trailing_slash: ignore`, an operation receives the
//! same requests whether its path is written with a final slash or without.

use std::borrow::Cow;

use bundle::ir::{Operation, Template, TrailingSlash};

use super::line::Line;
use crate::Class;

/// Path template of an operation. With `trailing_slash: ignore`, one template stands for the path
/// with and without a final slash.
pub(super) fn template(operation: &Operation) -> Cow<'_, Template> {
    let own = &operation.template;
    if operation.trailing_slash != TrailingSlash::Ignore {
        return Cow::Borrowed(own);
    }
    match own.twin() {
        Some(twin) if twin < *own => Cow::Owned(twin),
        _ => Cow::Borrowed(own),
    }
}

/// Line about another `trailing_slash`, or about a path that is written with another final slash.
pub(super) fn compare(old: &Operation, new: &Operation) -> Option<Line> {
    let line = |class: Class, subject: &str, old: String, new: String| Line {
        class,
        id: "trailing-slash-changed",
        subject: subject.into(),
        old: old.into(),
        new: new.into(),
    };
    if old.trailing_slash != new.trailing_slash {
        let shown = |operation: &Operation| name(operation.trailing_slash).to_owned();
        let class = match (old.trailing_slash, new.trailing_slash) {
            // The old side redirected requests whose final slash differs from the declared path.
            (TrailingSlash::Redirect, TrailingSlash::Ignore) => Class::Moved,
            (TrailingSlash::Redirect, TrailingSlash::Strict) => Class::Removed,
            _ => Class::Changed,
        };
        return Some(line(class, "trailing_slash", shown(old), shown(new)));
    }
    let is_rewritten = old.template != new.template && template(old) == template(new);
    let (was, is) = (old.template.to_string(), new.template.to_string());
    is_rewritten.then(|| line(Class::Changed, "path", was, is))
}

fn name(slash: TrailingSlash) -> &'static str {
    match slash {
        TrailingSlash::Strict => "strict",
        TrailingSlash::Redirect => "redirect",
        TrailingSlash::Ignore => "ignore",
    }
}
