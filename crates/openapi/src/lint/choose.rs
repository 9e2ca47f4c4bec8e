//! Selection of rules: all except those that are off, so that a rule that is off costs nothing.

use super::{Check, Levels, OnKey, OnObject, OnSpec, RULES, Rule, TASTE};
use crate::lint::hard::is_hard;
use crate::spec::objects::{Keys, Object};

/// Enabled rules, by the values that they check.
pub struct Chosen {
    /// Checks of objects, by [`Object::bit`].
    objects: [Vec<OnObject>; 64],
    keys: Vec<(Keys, OnKey)>,
    specs: Vec<OnSpec>,
}

impl Chosen {
    /// Selects the rules that these levels enable. Later levels take precedence.
    #[must_use]
    pub fn of(levels: &Levels) -> Self {
        let set = |rule: &&Rule| {
            let mut levels = levels.iter().rev();
            let set = levels.find(|(name, _)| name == rule.lint.name);
            set.map(|(_, level)| *level)
        };
        let on = |rule: &&Rule| is_hard(rule.lint) || set(rule) != Some(None);
        let asked = |rule: &&Rule| matches!(set(rule), Some(Some(_)));
        let mut chosen = Self {
            objects: [const { Vec::new() }; 64],
            keys: Vec::new(),
            specs: Vec::new(),
        };
        let rules = RULES.iter().filter(on);
        for rule in rules.chain(TASTE.iter().filter(asked)) {
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

    /// The checks of an object.
    pub(crate) fn on(&self, object: &Object) -> &[OnObject] {
        &self.objects[usize::from(object.bit)]
    }

    /// The checks of keys of a sort.
    pub(crate) fn on_keys(&self, keys: Keys) -> impl Iterator<Item = OnKey> {
        let all = self.keys.iter();
        all.filter(move |(of, _)| *of == keys)
            .map(|(_, check)| *check)
    }

    /// The checks of whole documents.
    pub(crate) fn specs(&self) -> &[OnSpec] {
        &self.specs
    }
}

impl Default for Chosen {
    fn default() -> Self {
        Self::of(&Levels::new())
    }
}
