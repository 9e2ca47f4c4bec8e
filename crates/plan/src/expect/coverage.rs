//! Coverage of tests: the operations, path templates, security alternatives and policies that the
//! requests of the tests reached.

use std::collections::BTreeSet;

use bundle::ir::{Gateway, Link};

use super::compare::ran;
use crate::route::{Answer, Decision, Outcome};

/// Items of one kind that tests reached.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// All items of the kind.
    pub all: BTreeSet<String>,
    /// Items that at least one request reached.
    pub reached: BTreeSet<String>,
}

/// Coverage of a gateway by tests.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// Keys of operations.
    pub operations: Share,
    /// Path templates with the name of their API.
    pub templates: Share,
    /// Alternatives of `security`, as `OPERATION by SCHEME and SCHEME`. Reached: the alternative
    /// admitted a request.
    pub alternatives: Share,
    /// Names of policies that operations use.
    pub policies: Share,
}

/// Name of the alternative without credentials.
const ANONYMOUS: &str = "no credentials";

impl Share {
    /// Items that no request reached.
    pub fn missed(&self) -> impl Iterator<Item = &str> {
        self.all.difference(&self.reached).map(String::as_str)
    }

    /// Reached items in percent, rounded down. 100 if there are no items.
    #[must_use]
    pub fn percent(&self) -> usize {
        match self.all.len() {
            0 => 100,
            all => (all - self.missed().count()) * 100 / all,
        }
    }
}

impl Coverage {
    /// Items of a gateway, none of them reached.
    #[must_use]
    pub fn of(gateway: &Gateway) -> Self {
        let mut coverage = Self {
            operations: Share::default(),
            templates: Share::default(),
            alternatives: Share::default(),
            policies: Share::default(),
        };
        for api in &gateway.apis {
            for operation in &api.operations {
                coverage.operations.all.insert(operation.key.clone());
                let template = template(&api.name, &operation.template.to_string());
                coverage.templates.all.insert(template);
                let Some(treatment) = api.treatments.get(operation.treatment as usize) else {
                    continue;
                };
                let by = treatment.security.0.iter().map(|alternative| {
                    let schemes = alternative.0.iter().map(|one| one.scheme.as_str());
                    alternative_of(&operation.key, &schemes.collect::<Vec<_>>())
                });
                coverage.alternatives.all.extend(by);
                let steps = treatment.chain.iter().filter_map(|link| match link {
                    Link::Authenticate => None,
                    Link::Shared(name) | Link::Own(name) => Some(name.clone()),
                });
                coverage.policies.all.extend(steps);
            }
        }
        coverage
    }

    /// Adds the items that a request reached.
    pub fn add(&mut self, answer: &Answer, gateway: &Gateway) {
        let Some(operation) = &answer.operation else {
            return;
        };
        self.operations.reached.insert(operation.key.clone());
        let api = gateway.apis.get(&operation.api);
        let own = api.and_then(|api| Some((api, api.operations.get(&operation.key)?)));
        let ran = ran(answer).into_iter().map(str::to_owned);
        self.policies.reached.extend(ran);
        let Some((api, own)) = own else { return };
        let template = template(&api.name, &own.template.to_string());
        self.templates.reached.insert(template);
        let authenticated = answer
            .chain
            .iter()
            .any(|step| step.policy == "authenticate" && step.outcome == Outcome::Continue);
        if answer.decision == Decision::None || !authenticated {
            return;
        }
        let treatment = api.treatments.get(own.treatment as usize);
        let alternatives = treatment.map(|one| one.security.0.as_slice());
        let admitted = alternatives.unwrap_or_default().iter().find(|alternative| {
            let mut schemes = alternative.0.iter();
            match &answer.scheme {
                Some(scheme) => schemes.any(|one| one.scheme == *scheme),
                None => alternative.0.is_empty(),
            }
        });
        if let Some(alternative) = admitted {
            let schemes = alternative.0.iter().map(|one| one.scheme.as_str());
            let schemes: Vec<&str> = schemes.collect();
            let name = alternative_of(&operation.key, &schemes);
            self.alternatives.reached.insert(name);
        }
    }

    /// Names of the kinds of items, each with its coverage.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, &Share); 4] {
        [
            ("operations", &self.operations),
            ("templates", &self.templates),
            ("alternatives", &self.alternatives),
            ("policies", &self.policies),
        ]
    }
}

fn template(api: &str, template: &str) -> String {
    format!("{api}:{template}")
}

fn alternative_of(operation: &str, schemes: &[&str]) -> String {
    match schemes {
        [] => format!("{operation} by {ANONYMOUS}"),
        schemes => format!("{operation} by {}", schemes.join(" and ")),
    }
}
