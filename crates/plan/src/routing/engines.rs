//! Engines of both sides. They decide the requests that the comparison found.

use engine::BuildError;
use engine::path::Slashes;

use super::found::Found;
use super::search::Handling;
use super::table::Place;
use crate::ask::Oracle;
use crate::witness::{Draft, RoleSets, with_witness};
use crate::{Outcome, Side};
use sources::parallel;

/// Engines of both sides, which accept the credentials of witnesses.
pub(super) struct Engines {
    pub(super) old: Option<Oracle>,
    pub(super) new: Oracle,
}

impl Engines {
    pub(super) fn build(old: Option<&Side>, new: &Side) -> Result<Self, BuildError> {
        let sides = || old.into_iter().chain([new]);
        let sets = RoleSets::of(sides().map(|side| &side.lowered.gateway));
        let build = |side: &Side| {
            let gateway = with_witness(&side.lowered.gateway, &sets);
            Oracle::build(&gateway, &side.bundle.to_string())
        };
        let mut built = parallel::map(sides().collect(), build).into_iter().rev();
        let new = built.next().unwrap_or_else(|| build(new))?;
        Ok(Self {
            new,
            old: built.next().transpose()?,
        })
    }

    /// Outcomes of a request at both versions.
    pub(super) fn outcomes(&self, draft: &Draft) -> [Outcome; 2] {
        [self.old.as_ref(), Some(&self.new)].map(|engine| {
            let answer = engine.and_then(|engine| draft.ask(engine));
            answer.map_or(Outcome::Nothing, |(_, outcome)| outcome)
        })
    }

    /// Handling of a request with an ambiguous path by a side: 0 is the old side, 1 the new side.
    pub(super) fn handling(&self, side: usize, place: &Place, found: &Found) -> Handling {
        let draft = found.draft(place);
        let engine = [self.old.as_ref(), Some(&self.new)][side];
        engine.map_or(Handling::Served, |engine| handling(&draft, engine))
    }

    /// True if a side refuses a request because of its path.
    pub(super) fn refuses_path(&self, side: usize, draft: &Draft) -> bool {
        let engine = [self.old.as_ref(), Some(&self.new)][side];
        engine.is_some_and(|engine| handling(draft, engine) == Handling::Refused)
    }
}

/// Handling of the path of a request by an engine.
fn handling(draft: &Draft, engine: &Oracle) -> Handling {
    let listeners = engine.snapshot().listeners().iter();
    let mut own = listeners.filter(|listener| *listener.name == *draft.listener);
    if draft.path.contains("//") && own.any(|listener| listener.slashes == Slashes::Merge) {
        return Handling::Rewritten;
    }
    match draft.is_path_refused(engine) {
        true => Handling::Refused,
        false => Handling::Served,
    }
}
