//! Parts of a request that the access log hides if the request matches no operation.

use std::collections::BTreeSet;
use std::ops::Range;

use bundle::ir::{Segment, Template};
use policy::logged::{LogForm, LoggedLocation, LoggedParameter, LoggedParameters};

/// Rules for requests that no operation describes. The path may still contain hidden values,
/// because it may be another spelling of an operation's path (`/Users/a`, `//users/a`,
/// `/users/a/x`), or be on another host.
#[derive(Debug)]
pub(crate) struct UnknownPaths {
    /// Literal segments of all paths. The log shows these and hides all other segments. `None`: no
    /// operation hides a value in its path, so the log shows the path.
    literals: Option<BTreeSet<Box<str>>>,
    /// True if an operation hides a query parameter. The log then hides the whole query.
    pub(crate) hides_query: bool,
    /// Hidden parameters that are neither in the path nor in the query, such as header fields.
    pub(crate) others: LoggedParameters,
}

impl UnknownPaths {
    /// Collects the rules from the logged parameters of all operations, their templates and the
    /// base paths of the mounts. `None` if no operation hides a value.
    pub(crate) fn of<'a>(
        logged: impl Iterator<Item = &'a LoggedParameter>,
        templates: impl Iterator<Item = &'a Template>,
        base_paths: impl Iterator<Item = &'a str>,
    ) -> Option<Self> {
        let hidden: BTreeSet<&LoggedParameter> =
            logged.filter(|one| one.form != LogForm::Keep).collect();
        if hidden.is_empty() {
            return None;
        }
        let at = |place: LoggedLocation| hidden.iter().any(|one| one.place == place);
        let literals = || {
            let segments = templates.flat_map(Template::segments);
            let own = segments.filter_map(|segment| match segment {
                Segment::Literal(text) | Segment::Folded(text) => Some(text.as_str()),
                Segment::Parameter(_) | Segment::Pattern(_) => None,
            });
            let bases = base_paths.flat_map(|path| path.split('/'));
            own.chain(bases).map(Box::from).collect()
        };
        let others = hidden
            .iter()
            .filter(|one| !matches!(one.place, LoggedLocation::Path | LoggedLocation::Query));
        let others: Vec<LoggedParameter> = others.map(|one| (*one).clone()).collect();
        Some(Self {
            hides_query: at(LoggedLocation::Query),
            others: LoggedParameters::new(&others),
            literals: at(LoggedLocation::Path).then(literals),
        })
    }

    /// True if an operation hides a value of its path.
    pub(crate) fn hides_paths(&self) -> bool {
        self.literals.is_some()
    }

    /// Byte ranges of the segments of a path that the log does not show.
    pub(crate) fn hidden_segments(&self, path: &str) -> Vec<(Range<usize>, LogForm)> {
        let mut start = 0;
        let segments = path.split('/').map(|segment| {
            let range = start..start + segment.len();
            start = range.end + 1;
            (segment, range)
        });
        let hidden = segments.filter(|(segment, _)| {
            let literals = self.literals.as_ref();
            literals.is_some_and(|all| !segment.is_empty() && !all.contains(*segment))
        });
        hidden.map(|(_, range)| (range, LogForm::Redact)).collect()
    }
}
