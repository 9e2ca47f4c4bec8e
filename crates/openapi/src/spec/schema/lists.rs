//! Keywords for lists (2020-12 validation §6.4, core §10.3.1).

use diag::NodeRef;
use diag::tree::Entry;

use super::evaluate::{Fit, Run};
use super::number;
use crate::spec::Version;

impl<'a> Run<'_, '_, 'a> {
    pub(super) fn list(
        &mut self,
        schema: NodeRef<'a>,
        key: &str,
        entry: &'a Entry,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let modern = self.schemas.version >= Version::V31;
        match key {
            "minItems" | "maxItems" => {
                self.within(entry, argument, value, value.items().len(), "items")
            }
            "uniqueItems" if argument.as_bool() == Some(true) => {
                let twice = self.schemas.first_again(value.items());
                self.check(twice.is_none(), twice.unwrap_or(value), entry, || {
                    "this occurs twice in a list whose items are unique".into()
                })
            }
            "items" => {
                let prefix = schema.get("prefixItems").filter(|_| modern);
                let skipped = prefix.map_or(0, |prefix| prefix.items().len());
                value
                    .items()
                    .skip(skipped)
                    .fold(Fit::Yes, |fit, item| fit.and(self.schema(argument, item)))
            }
            "prefixItems" if modern => {
                let pairs = argument.items().zip(value.items());
                pairs.fold(Fit::Yes, |fit, (schema, item)| {
                    fit.and(self.schema(schema, item))
                })
            }
            "contains" if modern => self.contains(schema, entry, argument, value),
            _ => Fit::Yes,
        }
    }

    fn contains(
        &mut self,
        schema: NodeRef<'a>,
        entry: &'a Entry,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let bound = |key: &str| schema.get(key).and_then(number::count);
        let least = bound("minContains").unwrap_or(1.0);
        let most = bound("maxContains").unwrap_or(f64::INFINITY);
        let (mut found, mut unknown) = (0, 0);
        for item in value.items() {
            match self.quietly(argument, item) {
                Fit::Yes => found += 1,
                Fit::Maybe => unknown += 1,
                Fit::No => {}
            }
        }
        let holds = |found: usize| (least..=most).contains(&number::length(found));
        if unknown > 0 && (holds(found) != holds(found + unknown) || unknown > 1) {
            return Fit::Maybe;
        }
        self.check(holds(found), value, entry, || {
            format!("{found} items match `contains`")
        })
    }
}
