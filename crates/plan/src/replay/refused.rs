//! Parameters for which the new contract refuses a logged request that the old one admits.
//!
//! A log contains the path and the query of a request, so that the number of requests that a break
//! of such a parameter concerns is known. Fields and bodies are not in logs.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use engine::RouteRef;
use policy::RequestHead;
use policy::invalid::Part;
use policy::validation::Examined;
use validator::{Cone, Credentials, Described, Operation};

use super::sample::At;
use crate::{Change, Class, Plan, Side};

/// Places of parameters in logs, as the paths of messages begin.
const PLACES: [&str; 2] = ["path ", "query "];

/// Validators of the operations with a break in a parameter of the path or query, by the keys of
/// the operation in the old and the new contract.
pub(super) struct ParameterChecks<'a> {
    sides: [&'a Side; 2],
    /// Keys of the operations in the new contract.
    keys: BTreeSet<String>,
    compiled: RefCell<HashMap<[String; 2], Option<[Described; 2]>>>,
}

/// True if a log shows which requests a change breaks.
pub(super) fn is_in_logs(change: &Change) -> bool {
    let begins = |path: &str| PLACES.iter().any(|place| path.starts_with(place));
    let message = change.message.as_ref();
    change.class == Class::Break && message.is_some_and(|message| begins(&message.path))
}

/// True if a change is about a parameter, named as [`ParameterChecks::refused`] returns it, or about
/// a part of its value.
pub(super) fn concerns(change: &Change, parameter: &str) -> bool {
    let rest = change
        .message
        .as_ref()
        .and_then(|message| message.path.strip_prefix(parameter));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
}

impl<'a> ParameterChecks<'a> {
    /// Finds the operations with a break in a parameter of the path or query.
    pub(super) fn of(sides: [&'a Side; 2], plan: &Plan) -> Self {
        let changes = plan.changes.iter().filter(|change| is_in_logs(change));
        Self {
            sides,
            keys: changes
                .flat_map(|change| change.operations.iter().cloned())
                .collect(),
            compiled: RefCell::default(),
        }
    }

    /// True if an operation of the new version has a break in a parameter of the path or query.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Parameters, such as `query limit`, for which the new contract refuses a request and the old
    /// one does not. `heads`: the request as each side admits it.
    pub(super) fn refused(&self, routes: [&RouteRef<'_>; 2], heads: [&At<'_>; 2]) -> Vec<String> {
        let keys = routes.map(|route| route.operation.key.clone());
        let sides = self.sides;
        let mut compiled = self.compiled.borrow_mut();
        let described = compiled.entry(keys).or_insert_with(|| both(sides, routes));
        let Some([old, new]) = described else {
            return Vec::new();
        };
        let was = parameters(old, routes[0], &heads[0].head);
        let mut is = parameters(new, routes[1], &heads[1].head);
        is.retain(|parameter| !was.contains(parameter));
        is.into_iter().collect()
    }
}

/// Validators of an operation of both contracts. `None` if a contract does not describe it.
fn both(sides: [&Side; 2], routes: [&RouteRef<'_>; 2]) -> Option<[Described; 2]> {
    let [old, new] = [0, 1].map(|side: usize| described(sides[side], routes[side]));
    Some([old?, new?])
}

fn described(side: &Side, route: &RouteRef<'_>) -> Option<Described> {
    let mut contracts = side.lowered.contracts.iter();
    let contract = contracts.find(|contract| contract.name == route.api)?;
    let operation = contract.operations.get(&route.operation.key)?;
    let cone = Cone::of(operation, &contract.schemas);
    let api = side.lowered.gateway.apis.get(route.api)?;
    let own = api.operations.get(&route.operation.key)?;
    let security = &api.treatments.get(own.treatment as usize)?.security;
    Some(Described {
        operation: Arc::new(Operation::compile(&cone).ok()?),
        credentials: Credentials::of(&api.schemes, security),
    })
}

/// Parameters of the path and the query that a description refuses.
fn parameters(described: &Described, route: &RouteRef<'_>, head: &RequestHead) -> BTreeSet<String> {
    let template = (&route.operation.template, route.mount.base_path.len());
    let examined = Examined::default();
    let findings = described.parameters(template, (head, &examined, &[]), |_| true);
    let named = findings.iter().filter_map(|finding| match &finding.part {
        Part::Path(name) => Some(format!("path {name}")),
        Part::Query(name) => Some(format!("query {name}")),
        Part::Header(_) | Part::Cookie(_) | Part::Body | Part::Status => None,
    });
    named.collect()
}
