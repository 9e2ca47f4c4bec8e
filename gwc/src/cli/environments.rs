//! Environments to compare when `gwc plan` or `gwc diff` runs without `--env`.

use std::collections::BTreeSet;

use super::options::StoreOptions;
use super::say::Context;
use super::side::{self, Which};
use crate::release;
use ::plan::environments::{Pair, channel, compare_each};
use ::plan::report::Compared;
use ::plan::{Plan, Side};
use model::environment::Scope;
use model::exit;

/// Environment to compare, and the versions that have it.
pub(super) struct ComparedEnvironment {
    /// Name of the environment. Empty: the project without an environment.
    pub(super) name: String,
    /// True if the old version has the environment.
    pub(super) old: bool,
    /// True if the new version has the environment.
    pub(super) new: bool,
    /// True if the environment's old version is read only to be compared with another, new
    /// environment. Reports do not list such an environment.
    pub(super) is_beside: bool,
}

impl ComparedEnvironment {
    /// Returns the project without an environment, and every environment of either version. `None`
    /// if both versions have no environments.
    pub(super) fn every(old: &[String], new: &[String]) -> Option<Vec<Self>> {
        let names: BTreeSet<&String> = old.iter().chain(new).collect();
        let bare = Self {
            name: String::new(),
            old: true,
            new: true,
            is_beside: false,
        };
        let named = names.iter().map(|name| Self {
            name: (*name).clone(),
            old: old.contains(name),
            new: new.contains(name),
            is_beside: false,
        });
        (!names.is_empty()).then(|| std::iter::once(bare).chain(named).collect())
    }

    /// Returns an environment that only the new version has, and all environments of the old
    /// version, to be compared with the new one. `None` if the old version has the environment, or
    /// the new version lacks it.
    pub(super) fn of_new(wanted: &str, old: &[String], new: &[String]) -> Option<Vec<Self>> {
        let is_wanted = |name: &String| name == wanted;
        if old.iter().any(is_wanted) || !new.iter().any(is_wanted) {
            return None;
        }
        let all = Self::every(old, &[wanted.to_owned()])?.into_iter();
        let all = all.map(|reading| Self {
            new: reading.name == wanted,
            is_beside: reading.name.is_empty() || reading.old && new.contains(&reading.name),
            ..reading
        });
        Some(all.collect())
    }

    /// Returns the context with this environment. Without an environment, the compilation checks
    /// gateway.yaml in every environment. With one, it checks only this environment.
    pub(super) fn context(&self, context: &Context) -> Context {
        let (name, scope) = match self.name.as_str() {
            "" => (None, Scope::Every),
            name => (Some(name), Scope::Chosen),
        };
        Context {
            scope,
            ..context.in_environment(name)
        }
    }

    /// Converts the result of reading a version. `None` if the project cannot be read without an
    /// environment, because a variable has values only in environments.
    ///
    /// # Errors
    /// Returns all other errors of `read`.
    pub(super) fn side<T>(&self, read: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        match read {
            Ok(side) => Ok(Some(side)),
            Err(error)
                if self.name.is_empty() && exit::of(&error).1 == exit::ENVIRONMENT_NEEDED =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the name of the environment and its bundles, for reports.
    pub(super) fn compared(&self, old: Option<&Side>, new: Option<&Side>) -> Compared {
        Compared {
            name: (!self.name.is_empty()).then(|| self.name.clone()),
            old: old.map(|side| side.bundle),
            new: new.map(|side| side.bundle),
            ..Compared::default()
        }
    }
}

/// Reads the other environments of the old version that have the channel of the new version. A plan
/// with `--env` compares the new version with them, too. `text`: argument that names the old
/// version.
///
/// # Errors
/// Returns an error if an environment of the old version cannot be read.
pub(super) fn replaced_at_channel(
    text: &str,
    (old, new): (&Side, &Side),
    at: &StoreOptions,
    context: &Context,
) -> anyhow::Result<Vec<Pair>> {
    if channel(new).is_none() || channel(old) == channel(new) {
        return Ok(Vec::new());
    }
    let known = side::environments(text, context)?.unwrap_or_default();
    let mut pairs = Vec::new();
    for reading in ComparedEnvironment::every(&known, &[]).unwrap_or_default() {
        let context = &reading.context(context);
        let read = reading.side(side::alone(text, Which::Old, at, context))?;
        let old = read.map(|read| read.side);
        if let Some(old) = old.filter(|old| channel(old) == channel(new)) {
            pairs.push(Pair {
                environment: reading.name,
                old: Some(old),
                new: None,
                is_beside: true,
            });
        }
    }
    Ok(pairs)
}

/// Computes the plan of several environments.
///
/// # Errors
/// Returns the errors of [`super::plan::compare`]. Also fails if the new version has no
/// environment.
pub(super) fn plan(pairs: &[Pair]) -> anyhow::Result<Plan> {
    let today = release::today();
    let plan = compare_each(pairs, Some(&today)).map_err(|error| super::plan::unbuilt(&error))?;
    let plan = plan.ok_or_else(|| anyhow::anyhow!("the new side has no environment"))?;
    super::plan::checked_plan(plan)
}
