//! Selection of the enabled rules. Disabled rules are not called, so they cost no time.

use super::{Check, Levels, OnKey, OnObject, OnSpec, RULES, Rule, TASTE};
use crate::lint::hard::is_hard;
use crate::spec::objects::{Keys, Object};

/// Enabled rules, grouped by the values that they check.
pub struct Chosen {
    /// Checks of objects, indexed by [`Object::bit`].
    objects: [Vec<OnObject>; 64],
    keys: Vec<(Keys, OnKey)>,
    specs: Vec<OnSpec>,
}

impl Chosen {
    /// Selects the enabled rules: hard rules always, style rules only if a level is set, all others
    /// unless they are off. For each rule, the last entry of `levels` counts.
    #[must_use]
    pub fn of(levels: &Levels) -> Self {
        let set = |rule: &&Rule| {
            let mut levels = levels.iter().rev();
            let set = levels.find(|(name, _)| name == rule.lint.name);
            set.map(|(_, level)| *level)
        };
        let on = |rule: &&Rule| is_hard(rule.lint) || set(rule) != Some(None);
        let is_enabled = |rule: &&Rule| matches!(set(rule), Some(Some(_)));
        let mut chosen = Self {
            objects: [const { Vec::new() }; 64],
            keys: Vec::new(),
            specs: Vec::new(),
        };
        let rules = RULES.iter().filter(on);
        for rule in rules.chain(TASTE.iter().filter(is_enabled)) {
            match rule.check {
                Check::Objects(objects, check) => {
                    for object in objects {
                        chosen.objects[usize::from(object.bit)].push(check);
                    }
                }
                Check::Key(keys, check) => chosen.keys.push((keys, check)),
                Check::Spec(check) => chosen.specs.push(check),
                Check::Walk => {}
            }
        }
        chosen
    }

    /// Returns the enabled checks for objects of this type.
    pub(crate) fn on(&self, object: &Object) -> &[OnObject] {
        &self.objects[usize::from(object.bit)]
    }

    /// Iterates over the enabled checks for keys of this sort.
    pub(crate) fn on_keys(&self, keys: Keys) -> impl Iterator<Item = OnKey> {
        let all = self.keys.iter();
        all.filter(move |(of, _)| *of == keys)
            .map(|(_, check)| *check)
    }

    /// Returns the enabled checks for whole documents.
    pub(crate) fn specs(&self) -> &[OnSpec] {
        &self.specs
    }
}

impl Default for Chosen {
    fn default() -> Self {
        Self::of(&Levels::new())
    }
}
