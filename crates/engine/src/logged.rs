//! Parts of requests that the access log hides or hashes (setting `log` of parameters).

use std::borrow::Cow;
use std::ops::Range;

use bundle::ir::Owns;
use http::uri::PathAndQuery;
use policy::RequestHead;
use policy::logged::{
    LogForm, LoggedLocation, LoggedParameters, SecretParameters, query_in_path, shown_path,
    user_information,
};

use crate::{RouteRef, Snapshot};

/// Parts of one request that the access log does not show in the default form.
#[derive(Debug, Default)]
pub struct LoggedForms<'s> {
    /// Parameters with a setting `log`.
    pub parameters: &'s LoggedParameters,
    /// Byte ranges of the path that are not shown, with their forms.
    pub path: Vec<(Range<usize>, LogForm)>,
    /// True if the log does not show the query.
    pub hides_query: bool,
}

impl LoggedForms<'_> {
    /// Path as the log shows it. `hide` returns the replacement for a hidden part, given the log
    /// form and the text of the part.
    pub fn shown_path<'p>(
        &self,
        path: &'p str,
        hide: impl Fn(LogForm, &str) -> String,
    ) -> Cow<'p, str> {
        match self.path.is_empty() {
            true => Cow::Borrowed(path),
            false => Cow::Owned(shown_path(path, self.path.clone(), hide)),
        }
    }
}

impl<'s> RouteRef<'s> {
    /// Path parameters of a request, with their byte ranges in the path.
    #[must_use]
    pub fn path_parameters(&self, path: &str) -> Vec<(&'s str, Range<usize>)> {
        match self.operation.owns {
            Owns::Described => {
                let bound = self
                    .operation
                    .template
                    .bind(path, self.mount.base_path.len());
                bound.into_iter().collect()
            }
            Owns::Undeclared | Owns::Unmatched => Vec::new(),
        }
    }

    /// Byte ranges of the path that the access log does not show in plain text, each with the form
    /// that the log shows instead.
    fn hidden_parts(&self, path: &str) -> impl Iterator<Item = (Range<usize>, LogForm)> {
        let template = &self.operation.template;
        let bound = template.bind(path, self.mount.base_path.len()).into_iter();
        bound.filter_map(|(name, range)| {
            let mut parameters = self.treatment.logged.iter();
            let own =
                parameters.find(|one| one.place == LoggedLocation::Path && one.name == name)?;
            (own.form != LogForm::Keep).then_some((range, own.form))
        })
    }
}

impl Snapshot {
    /// True if an operation has values that the access log hides or hashes.
    #[must_use]
    pub fn hides_values(&self) -> bool {
        self.unknown_paths.is_some()
    }

    /// Forms in which the log shows the values of a request. If no operation describes the request,
    /// its path may be a different spelling of a path with hidden values. If any operation hides
    /// path values, the log then shows only segments that are literals of an operation's path. A
    /// value is also hidden if an operation whose template matches the path hides it. `secret`:
    /// query parameters of the bundle's security schemes. A path may contain such parameters behind
    /// `;`.
    #[must_use]
    pub fn logged_forms<'s>(
        &'s self,
        listener: usize,
        route: Option<&RouteRef<'s>>,
        (head, secret): (&RequestHead, &SecretParameters),
    ) -> LoggedForms<'s> {
        let mut forms = self.forms(listener, route, head);
        let query = query_in_path(head.path(), (secret, forms.parameters));
        forms.path.extend(query);
        forms
    }

    fn forms<'s>(
        &'s self,
        listener: usize,
        route: Option<&RouteRef<'s>>,
        head: &RequestHead,
    ) -> LoggedForms<'s> {
        if let Some(route) = route.filter(|route| route.operation.owns == Owns::Described) {
            let logged = &route.treatment.logged;
            let in_path = logged.iter().any(|one| one.place == LoggedLocation::Path);
            return LoggedForms {
                parameters: logged,
                path: match in_path {
                    true => route.hidden_parts(head.path()).collect(),
                    false => Vec::new(),
                },
                hides_query: false,
            };
        }
        let mut path: Vec<_> = user_information(head.path()).collect();
        let Some(unknown) = &self.unknown_paths else {
            return LoggedForms {
                path,
                ..LoggedForms::default()
            };
        };
        path.extend(unknown.hidden_segments(head.path()));
        if unknown.hides_paths() {
            let mut all = self.contenders(listener, head);
            if let Some(head) = without_final_slashes(head) {
                all.append(&mut self.contenders(listener, &head));
            }
            let parts = all
                .iter()
                .flat_map(|(route, _)| route.hidden_parts(head.path()).collect::<Vec<_>>());
            path.extend(parts);
        }
        LoggedForms {
            parameters: &unknown.others,
            path,
            hides_query: unknown.hides_query,
        }
    }
}

/// Head of the same request, with the final slashes of the path removed. `None` if the path has no
/// final slash.
fn without_final_slashes(head: &RequestHead) -> Option<RequestHead> {
    let path = head.path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() || trimmed.len() == path.len() {
        return None;
    }
    let mut head = head.clone();
    head.target = PathAndQuery::try_from(trimmed).ok()?;
    Some(head)
}
