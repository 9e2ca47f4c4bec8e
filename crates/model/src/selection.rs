//! Operations that invariants select by names (API, key, tag, owner, listener, upstream, verifier,
//! policy) or by the path and method of clients' requests. A name can change without an effect on
//! any request. A path or method can change while a `rewrite` or base path keeps the requests of
//! upstreams. The invariant then no longer selects the operation, and no other line of the plan
//! shows this.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use serde::{Deserialize, Serialize};

use crate::invariant_file::Invariant;
use crate::outbound;
use crate::subjects::{Subject, servers, subjects};
use crate::{Api, Settings};

/// Operations of a project, by a text that identifies their requests: method, base path of the
/// mount, and path template without the names of parameters.
///
/// For invariants about listeners, ` at ADDRESS` with the address of the listener follows; for
/// invariants about upstreams, ` to SERVER`. For invariants about paths and methods, the text is
/// method, host and path at the upstream, followed by ` at the upstream`.
///
/// Each operation also has a text with its key: `operation KEY`, and for invariants about paths and
/// methods `operation KEY with METHOD PATH at the upstream`. A new path, or a new address of the
/// upstream, therefore cannot hide other changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selection(BTreeMap<String, RequestGroup>);

/// Operations with the same requests at different hosts or listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestGroup {
    /// Number of operations.
    operations: u32,
    /// Number of these operations that an invariant selects, by the name of the invariant. Absent:
    /// none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    invariants: BTreeMap<String, u32>,
}

impl Selection {
    /// Collects the operations of a project. Empty if no invariant selects by names, listeners,
    /// upstreams, paths or methods.
    pub(crate) fn of(settings: &Settings, apis: &[Api]) -> Self {
        let of = |is_one: fn(&Invariant) -> bool| -> Vec<&Invariant> {
            let all = settings.invariants.all.iter();
            all.filter(|one| is_one(one)).collect()
        };
        let by_names = of(Invariant::selects_by_names);
        let by_listeners = of(Invariant::selects_by_listeners);
        let by_upstreams = of(Invariant::selects_by_upstreams);
        let mut all = Self::default();
        let by_requests = of(Invariant::selects_by_requests);
        let is_idle = |all: &Vec<&Invariant>| all.is_empty();
        if [&by_names, &by_listeners, &by_upstreams, &by_requests]
            .into_iter()
            .all(is_idle)
        {
            return all;
        }
        let servers = servers(settings, apis);
        let reached = match by_requests.is_empty() {
            true => BTreeMap::new(),
            false => outbound::lint::reached(settings, apis),
        };
        let apis = apis.iter();
        for subject in apis.flat_map(|api| subjects(settings, api, &servers)) {
            if !by_names.is_empty() {
                for request in requests(&subject, |_| true) {
                    all.add(request, &by_names, |one| one.fits_names(&subject));
                }
                let named = format!("operation {}", subject.key);
                all.add(named, &by_names, |one| one.fits_names(&subject));
            }
            if !by_listeners.is_empty() {
                all.add_listeners(settings, &subject, &by_listeners);
            }
            if !by_upstreams.is_empty() {
                all.add_upstreams(&subject, &by_upstreams);
            }
            for [request, path] in reached.get(subject.key).into_iter().flatten() {
                let selects = |one: &Invariant| one.fits_requests(&subject);
                all.add(format!("{request} at the upstream"), &by_requests, selects);
                let named = format!("operation {} with {path} at the upstream", subject.key);
                all.add(named, &by_requests, selects);
            }
        }
        all
    }

    /// Adds an operation, and counts the invariants that select the operation.
    fn add(&mut self, request: String, of: &[&Invariant], selects: impl Fn(&Invariant) -> bool) {
        let selected = self.0.entry(request).or_default();
        selected.operations += 1;
        for invariant in of.iter().filter(|one| selects(one)) {
            let name = invariant.name.clone();
            *selected.invariants.entry(name).or_default() += 1;
        }
    }

    /// Adds an operation at the addresses of its listeners. Clients reach a listener by its
    /// address, so a new name of the listener has no effect on clients.
    fn add_listeners(&mut self, settings: &Settings, subject: &Subject<'_>, of: &[&Invariant]) {
        for name in subject.listeners() {
            let mut listeners = settings.listeners.iter().map(|one| &one.value);
            let Some(listener) = listeners.find(|one| one.name == name) else {
                continue;
            };
            let at_listener = |mount: &ir::Mount| mount.listeners.iter().any(|one| one == name);
            for request in requests(subject, at_listener) {
                let request = format!("{request} at {}", listener.address);
                let selects = |one: &Invariant| one.fits_names(subject) && one.fits_listener(name);
                self.add(request, of, selects);
            }
        }
    }

    /// Adds an operation with the servers of its upstreams.
    fn add_upstreams(&mut self, subject: &Subject<'_>, of: &[&Invariant]) {
        let own = subject.upstreams.iter();
        let own = own.filter_map(|name| subject.servers.get(name.as_ref()));
        let servers: BTreeSet<&String> = own.flat_map(|servers| &servers.named).collect();
        for request in requests(subject, |_| true) {
            for server in &servers {
                let request = format!("{request} to {server}");
                let selects =
                    |one: &Invariant| one.fits_names(subject) && one.fits_upstreams(subject);
                self.add(request, of, selects);
            }
        }
    }

    /// Requests of operations that an invariant selects in this version and no longer selects in
    /// `new`, although `new` still serves them.
    #[must_use]
    pub fn lost<'a>(&'a self, new: &Self, invariant: &str) -> BTreeSet<&'a str> {
        let count = |selected: &RequestGroup| {
            let within = selected.invariants.get(invariant).copied();
            let within = within.unwrap_or_default();
            (within, selected.operations.saturating_sub(within))
        };
        let lost = self.0.iter().filter(|(request, was)| {
            let ((was_in, was_out), is) = (count(was), new.0.get(*request).map(count));
            // If no invariant of the new version selects by names, the selection of the new version
            // is empty. The invariant itself has then changed, which another change of the plan
            // reports.
            is.is_some_and(|(is_in, is_out)| is_in < was_in && is_out > was_out)
        });
        lost.map(|(request, _)| request.as_str()).collect()
    }
}

/// Requests of an operation at each mount: method, base path and template with `{}` for parameters.
fn requests(subject: &Subject<'_>, is_one: impl Fn(&ir::Mount) -> bool) -> BTreeSet<String> {
    let method = subject.method.unwrap_or("*");
    let template = subject.template.map_or_else(
        || "/**".to_owned(),
        |template| without_names(&template.to_string()),
    );
    let mounts = subject.api.mounts.iter().map(|mount| &mount.value);
    mounts
        .filter(|mount| is_one(mount))
        .map(|mount| format!("{method} {}{template}", mount.base_path))
        .collect()
}

/// Text of a template without the names of its parameters: `/a/{}` for `/a/{id}`.
#[must_use]
pub fn without_names(template: &str) -> String {
    let mut kept = String::with_capacity(template.len());
    let mut inside = false;
    for letter in template.chars() {
        match letter {
            '{' => {
                inside = true;
                kept.push('{');
            }
            '}' => {
                inside = false;
                kept.push('}');
            }
            _ if inside => {}
            _ => kept.push(letter),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(text: &str) -> Selection {
        serde_json::from_str(text).expect("a selection")
    }

    #[test]
    fn operation_is_lost_if_it_is_served_and_not_selected() {
        let old = selection(
            r#"{"GET /a": {"operations": 2, "invariants": {"one": 1, "two": 2}},
                "GET /b": {"operations": 1, "invariants": {"one": 1}}}"#,
        );
        for (new, lost) in [
            // The invariant `one` still selects one of the two operations of `/a`.
            (
                r#"{"GET /a": {"operations": 2, "invariants": {"one": 1}}, "GET /b": {"operations": 1, "invariants": {"one": 1}}}"#,
                vec![],
            ),
            // The invariant no longer selects an operation of `/a`; `/b` is not served any more.
            (r#"{"GET /a": {"operations": 2}}"#, vec!["GET /a"]),
            // The new version no longer serves the selected operation of `/a`, but serves the other
            // operation.
            (r#"{"GET /a": {"operations": 1}}"#, vec![]),
            // `/a` has a new operation that the invariant does not select.
            (
                r#"{"GET /a": {"operations": 3, "invariants": {"one": 1}}}"#,
                vec![],
            ),
            (
                r#"{"GET /a": {"operations": 4}, "GET /b": {"operations": 1, "invariants": {"two": 1}}}"#,
                vec!["GET /a", "GET /b"],
            ),
            ("{}", vec![]),
        ] {
            let found: Vec<&str> = old.lost(&selection(new), "one").into_iter().collect();
            assert_eq!(found, lost, "{new}");
        }
    }

    #[test]
    fn names_of_parameters_do_not_count() {
        for (template, kept) in [
            ("/a/{id}", "/a/{}"),
            ("/a/{id}.{type}/b", "/a/{}.{}/b"),
            ("/", "/"),
        ] {
            assert_eq!(without_names(template), kept);
        }
    }
}
