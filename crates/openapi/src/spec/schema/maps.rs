//! Keywords for maps (2020-12 validation §6.5, core §10.3.2).

use diag::NodeRef;
use diag::tree::Entry;

use super::evaluate::{Fit, Run};
use super::{Pattern, number};
use crate::spec::Version;
use crate::spec::first_key;

impl<'a> Run<'_, '_, 'a> {
    pub(super) fn map(
        &mut self,
        schema: NodeRef<'a>,
        key: &str,
        entry: &'a Entry,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let modern = self.schemas.version >= Version::V31;
        match key {
            "required" => self.required(schema, entry, argument, value),
            "minProperties" | "maxProperties" => {
                self.within(entry, argument, value, value.entries().len(), "properties")
            }
            "properties" => {
                let mut fit = Fit::Yes;
                for (property, schema) in argument.entries() {
                    if let Some(part) = value.get(&property.key) {
                        fit = fit.and(self.schema(schema, part));
                    }
                }
                fit
            }
            "patternProperties" if modern => {
                let mut fit = Fit::Yes;
                for (pattern, schema) in argument.entries() {
                    for (property, part) in value.entries() {
                        fit = fit.and(match self.matches(&pattern.key, &property.key) {
                            Fit::Yes => self.schema(schema, part),
                            Fit::No => Fit::Yes,
                            Fit::Maybe => Fit::Maybe,
                        });
                    }
                }
                fit
            }
            "additionalProperties" => {
                let mut fit = Fit::Yes;
                for (property, part) in value.entries() {
                    fit = fit.and(match self.is_described(schema, &property.key) {
                        Fit::No => self.other_property(argument, entry, property, part),
                        Fit::Yes => Fit::Yes,
                        Fit::Maybe => Fit::Maybe,
                    });
                }
                fit
            }
            "propertyNames" if modern => self.names(entry, argument, value),
            "dependentRequired" if modern => {
                let mut fit = Fit::Yes;
                for (_, names) in present(argument, value) {
                    fit = fit.and(self.required(schema, entry, names, value));
                }
                fit
            }
            "dependentSchemas" if modern => present(argument, value)
                .fold(Fit::Yes, |fit, (_, schema)| {
                    fit.and(self.schema(schema, value))
                }),
            _ => Fit::Yes,
        }
    }

    fn required(
        &mut self,
        schema: NodeRef<'a>,
        entry: &'a Entry,
        names: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let is_of_one_direction = |name: &str| {
            let property = schema.get("properties").and_then(|all| all.get(name));
            let property = property.and_then(|property| self.schemas.resolver.resolve(property));
            let flag = |key| property.and_then(|property| property.get(key)?.as_bool());
            // The property is required only in requests or only in responses (OpenAPI 3.0.3
            // §4.7.24.2). The direction of an example is often unknown.
            flag("readOnly") == Some(true) || flag("writeOnly") == Some(true)
        };
        let missing = names
            .items()
            .filter_map(NodeRef::as_str)
            .find(|name| value.get(name).is_none() && !is_of_one_direction(name));
        let Some(missing) = missing else {
            return Fit::Yes;
        };
        if self.quiet == 0 {
            let why = format!("the property `{}` is missing", missing.escape_debug());
            self.push_at(first_key(value), entry.key_span, why);
        }
        Fit::No
    }

    /// Checks a property that neither `properties` nor `patternProperties` describes.
    pub(super) fn other_property(
        &mut self,
        schema: NodeRef<'a>,
        entry: &'a Entry,
        property: &'a Entry,
        value: NodeRef<'a>,
    ) -> Fit {
        if schema.as_bool() != Some(false) {
            return self.schema(schema, value);
        }
        if self.quiet == 0 {
            let why = format!(
                "the schema has no property `{}`",
                property.key.escape_debug()
            );
            self.push_at(property.key_span, entry.key_span, why);
        }
        Fit::No
    }

    /// `Yes` if `properties` or `patternProperties` of the schema itself describes a name. `Maybe`
    /// if a pattern cannot be evaluated.
    pub(super) fn is_described(&self, schema: NodeRef<'a>, name: &str) -> Fit {
        let properties = schema.get("properties");
        let properties = properties.map(|all| self.schemas.resolver.resolve(all));
        match properties {
            Some(Some(all)) if all.get(name).is_some() => return Fit::Yes,
            Some(None) => return Fit::Maybe,
            Some(Some(_)) | None => {}
        }
        let patterns = schema.get("patternProperties");
        let patterns = patterns.filter(|_| self.schemas.version >= Version::V31);
        let mut fit = Fit::No;
        for (pattern, _) in patterns.into_iter().flat_map(NodeRef::entries) {
            match self.matches(&pattern.key, name) {
                Fit::Yes => return Fit::Yes,
                Fit::Maybe => fit = Fit::Maybe,
                Fit::No => {}
            }
        }
        fit
    }

    fn matches(&self, pattern: &'a str, text: &str) -> Fit {
        match &*self.schemas.pattern(pattern) {
            Pattern::Runs(regex) => Fit::of(regex.is_match(text)),
            Pattern::NotLinear(_) | Pattern::TooLarge | Pattern::Malformed(_) => Fit::Maybe,
        }
    }

    /// Checks `propertyNames`. A name is no separate node of the tree, so only keywords for strings
    /// are checked.
    fn names(&mut self, entry: &'a Entry, schema: NodeRef<'a>, value: NodeRef<'a>) -> Fit {
        let mut fit = Fit::Yes;
        for (property, _) in value.entries() {
            let fits = self.name(schema, &property.key);
            if fits == Fit::No && self.quiet == 0 {
                let why = format!("`propertyNames` refuses `{}`", property.key.escape_debug());
                self.push_at(property.key_span, entry.key_span, why);
            }
            fit = fit.and(fits);
        }
        fit
    }

    fn name(&self, schema: NodeRef<'a>, name: &str) -> Fit {
        if let Some(all) = schema.as_bool() {
            return Fit::of(all);
        }
        let length = || number::length(name.chars().count());
        let mut fit = Fit::Yes;
        for (entry, argument) in schema.entries() {
            fit = fit.and(match &*entry.key {
                "pattern" => argument
                    .as_str()
                    .map_or(Fit::Maybe, |text| self.matches(text, name)),
                "maxLength" => Fit::of(number::count(argument).is_none_or(|most| length() <= most)),
                "minLength" => {
                    Fit::of(number::count(argument).is_none_or(|least| length() >= least))
                }
                "enum" => Fit::of(argument.items().any(|item| item.as_str() == Some(name))),
                "const" => Fit::of(argument.as_str() == Some(name)),
                "type" | "description" | "title" | "format" | "$comment" => Fit::Yes,
                _ => Fit::Maybe,
            });
        }
        fit
    }
}

/// Returns the entries of `argument` whose key is a property of `value`. `argument` is the map of a
/// keyword such as `dependentSchemas`, with property names as keys.
fn present<'a>(
    argument: NodeRef<'a>,
    value: NodeRef<'a>,
) -> impl Iterator<Item = (&'a Entry, NodeRef<'a>)> {
    argument
        .entries()
        .filter(move |(entry, _)| value.get(&entry.key).is_some())
}
