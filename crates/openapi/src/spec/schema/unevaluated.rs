//! Keywords `unevaluatedProperties` and `unevaluatedItems` (core §11). Both keywords apply to parts
//! of a value that no adjacent keyword or subschema evaluates.

use std::collections::HashSet;

use diag::NodeRef;

use super::evaluate::{Fit, Run};

/// Parts of a value that have been evaluated.
#[derive(Default)]
struct EvaluatedParts<'a> {
    names: HashSet<&'a str>,
    items: HashSet<usize>,
    /// True if all parts of the value are evaluated.
    all: bool,
    /// True if the evaluation of some part could not be decided.
    unknown: bool,
}

impl<'a> Run<'_, '_, 'a> {
    pub(super) fn unevaluated_properties(
        &mut self,
        schema: NodeRef<'a>,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let Some((entry, _)) = schema.entry("unevaluatedProperties") else {
            return Fit::Yes;
        };
        let mut seen = EvaluatedParts::default();
        self.look(schema, value, &mut seen, true);
        let mut fit = Fit::Yes;
        for (property, part) in value.entries() {
            if seen.all || seen.names.contains(&*property.key) {
                continue;
            }
            fit = fit.and(if seen.unknown {
                Fit::Maybe
            } else {
                self.other_property(argument, entry, property, part)
            });
        }
        fit
    }

    pub(super) fn unevaluated_items(
        &mut self,
        schema: NodeRef<'a>,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let mut seen = EvaluatedParts::default();
        self.look(schema, value, &mut seen, true);
        let mut fit = Fit::Yes;
        for (index, item) in value.items().enumerate() {
            if seen.all || seen.items.contains(&index) {
                continue;
            }
            fit = fit.and(if seen.unknown {
                Fit::Maybe
            } else {
                self.schema(argument, item)
            });
        }
        fit
    }

    /// Collects the parts of a value that a schema evaluates. `outermost` is true for the schema
    /// whose `unevaluated…` keyword is being checked.
    fn look(
        &mut self,
        schema: NodeRef<'a>,
        value: NodeRef<'a>,
        seen: &mut EvaluatedParts<'a>,
        outermost: bool,
    ) {
        if !self.schemas.take_step() || seen.all {
            return;
        }
        let (has_items, has_entries) = (value.is_list(), value.is_map());
        for (entry, argument) in schema.entries() {
            match &*entry.key {
                "properties" | "patternProperties" if has_entries => {
                    for (property, _) in value.entries() {
                        match self.is_described(schema, &property.key) {
                            Fit::Yes => drop(seen.names.insert(&property.key)),
                            Fit::Maybe => seen.unknown = true,
                            Fit::No => {}
                        }
                    }
                }
                "additionalProperties" if has_entries => seen.all = true,
                "unevaluatedProperties" if has_entries && !outermost => seen.all = true,
                "items" if has_items => seen.all = true,
                "unevaluatedItems" if has_items && !outermost => seen.all = true,
                "prefixItems" if has_items => seen.items.extend(0..argument.items().len()),
                "contains" if has_items => {
                    for (index, item) in value.items().enumerate() {
                        match self.quietly(argument, item) {
                            Fit::Yes => drop(seen.items.insert(index)),
                            Fit::Maybe => seen.unknown = true,
                            Fit::No => {}
                        }
                    }
                }
                "$ref" | "$dynamicRef" => match self.target(&entry.key, argument) {
                    Some(target) => self.look_if_valid(target, value, seen),
                    None => seen.unknown = true,
                },
                "allOf" | "anyOf" | "oneOf" => {
                    for branch in argument.items() {
                        self.look_if_valid(branch, value, seen);
                    }
                }
                "if" => {
                    let branch = match self.quietly(argument, value) {
                        Fit::Yes => {
                            self.look(argument, value, seen, false);
                            schema.get("then")
                        }
                        Fit::No => schema.get("else"),
                        Fit::Maybe => {
                            seen.unknown = true;
                            None
                        }
                    };
                    if let Some(branch) = branch {
                        self.look_if_valid(branch, value, seen);
                    }
                }
                "dependentSchemas" if has_entries => {
                    for (property, branch) in argument.entries() {
                        if value.get(&property.key).is_some() {
                            self.look_if_valid(branch, value, seen);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Collects the evaluated parts if the schema is valid for the value. A failed schema evaluates
    /// nothing.
    fn look_if_valid(
        &mut self,
        schema: NodeRef<'a>,
        value: NodeRef<'a>,
        seen: &mut EvaluatedParts<'a>,
    ) {
        match self.quietly(schema, value) {
            Fit::Yes => self.look(schema, value, seen, false),
            Fit::Maybe => seen.unknown = true,
            Fit::No => {}
        }
    }
}
