//! Validation of a value against a schema: JSON Schema 2020-12 (validation §6, core §10 and §11)
//! and the dialect of OpenAPI 3.0. Formats are not asserted, as 2020-12 specifies.

use std::cmp::Ordering;

use diag::tree::Entry;
use diag::{Kind, NodeRef, suggest};

use super::number;
use super::{Fault, Pattern, Schemas, Verdict};
use crate::spec::Version;
use crate::spec::first_key;
use crate::spec::reference::reference;

/// Maximum depth of nested schemas during a validation. Real schemas stay below this depth. A
/// schema that contains itself in `allOf` would exceed any depth.
const DEPTH_MAX: usize = 160;
/// Maximum number of faults that are recorded. Messages show the first fault and the number of
/// further faults.
const FAULTS_MAX: usize = 100;

/// Validates one value.
pub(super) fn validate<'a>(
    schemas: &Schemas<'_, 'a>,
    schema: NodeRef<'a>,
    value: NodeRef<'a>,
) -> Verdict {
    let mut run = Run {
        schemas,
        faults: Vec::new(),
        quiet: 0,
        depth: 0,
        scope: Vec::new(),
    };
    match run.schema(schema, value) {
        _ if schemas.exhausted() => Verdict::Unknown,
        Fit::Yes => Verdict::Valid,
        Fit::No if !run.faults.is_empty() => Verdict::Invalid(run.faults),
        Fit::No | Fit::Maybe => Verdict::Unknown,
    }
}

/// Result of checking a value against a schema or keyword. `Maybe` if the check cannot decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    No,
    Maybe,
}

impl Fit {
    pub(super) fn of(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Maybe, _) | (_, Self::Maybe) => Self::Maybe,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
        }
    }
}

/// State of one validation.
pub(super) struct Run<'s, 'r, 'a> {
    pub(super) schemas: &'s Schemas<'r, 'a>,
    faults: Vec<Fault>,
    /// Number of enclosing validations that record no faults, such as validations of `anyOf`
    /// branches.
    pub(super) quiet: usize,
    depth: usize,
    /// Schema resources entered so far, outermost first (core §7.1).
    scope: Vec<diag::NodeId>,
}

impl<'a> Run<'_, '_, 'a> {
    pub(super) fn schema(&mut self, schema: NodeRef<'a>, value: NodeRef<'a>) -> Fit {
        if self.depth >= DEPTH_MAX || !self.schemas.take_step() {
            return Fit::Maybe;
        }
        self.depth += 1;
        let entered = self.enter(schema);
        let fit = self.keywords(schema, value);
        if entered {
            self.scope.pop();
        }
        self.depth -= 1;
        fit
    }

    /// Validates without recording faults.
    pub(super) fn quietly(&mut self, schema: NodeRef<'a>, value: NodeRef<'a>) -> Fit {
        self.quiet += 1;
        let fit = self.schema(schema, value);
        self.quiet -= 1;
        fit
    }

    /// Enters the schema resource of a schema. Returns true if this resource differs from the
    /// current one.
    fn enter(&mut self, schema: NodeRef<'a>) -> bool {
        if self.schemas.version < Version::V31 {
            return false;
        }
        let resource = self.schemas.resolver.resource(schema);
        if self.scope.last() == Some(&resource) {
            return false;
        }
        self.scope.push(resource);
        true
    }

    fn keywords(&mut self, schema: NodeRef<'a>, value: NodeRef<'a>) -> Fit {
        if let Some(all) = schema.as_bool() {
            if !all && self.quiet == 0 {
                self.push(
                    value,
                    schema.span(),
                    "the schema allows no value here".into(),
                );
            }
            return Fit::of(all);
        }
        // The value is unknown if it has a `$ref`, because other tools may replace the reference.
        if !schema.is_map() || reference(value).is_some() {
            return Fit::Maybe;
        }
        if self.schemas.version == Version::V30 {
            if reference(schema).is_some() {
                let target = self.schemas.resolver.resolve(schema);
                return target.map_or(Fit::Maybe, |target| self.schema(target, value));
            }
            if value.is_null() && schema.get("nullable").and_then(NodeRef::as_bool) == Some(true) {
                return Fit::Yes;
            }
        }
        let mut fit = Fit::Yes;
        for (entry, argument) in schema.entries() {
            fit = fit.and(self.keyword(schema, entry, argument, value));
        }
        fit
    }

    fn keyword(
        &mut self,
        schema: NodeRef<'a>,
        entry: &'a Entry,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let modern = self.schemas.version >= Version::V31;
        // OpenAPI does not allow references in these keywords, but such references occur in
        // practice.
        let argument = match &*entry.key {
            "properties" | "required" | "enum" | "allOf" | "anyOf" | "oneOf" => {
                match self.schemas.resolver.resolve(argument) {
                    Some(argument) => argument,
                    None => return Fit::Maybe,
                }
            }
            _ => argument,
        };
        match &*entry.key {
            "type" => self.types(entry, argument, value),
            "enum" => self.one_of_values(entry, argument, value),
            "const" if modern => {
                let same = self.schemas.equal(argument, value);
                self.check(same, value, entry, || {
                    "this value differs from `const`".into()
                })
            }
            "$ref" | "$dynamicRef" if modern => self.referred(entry, argument, value),
            "allOf" => argument
                .items()
                .fold(Fit::Yes, |fit, branch| fit.and(self.schema(branch, value))),
            "anyOf" => self.any_of(entry, argument, value),
            "oneOf" => self.one_of(entry, argument, value),
            "not" => {
                let fit = self.quietly(argument, value).not();
                self.say(fit, value, entry, || "`not` excludes this value".into())
            }
            "if" if modern => self.conditional(schema, argument, value),
            "unevaluatedProperties" if modern && value.is_map() => {
                self.unevaluated_properties(schema, argument, value)
            }
            "unevaluatedItems" if modern && value.is_list() => {
                self.unevaluated_items(schema, argument, value)
            }
            key => match value.kind() {
                Kind::Number(_) => self.number(schema, key, entry, argument, value),
                Kind::String(text) => self.string(key, entry, argument, value, text),
                Kind::List(_) => self.list(schema, key, entry, argument, value),
                Kind::Map(_) => self.map(schema, key, entry, argument, value),
                Kind::Null | Kind::Bool(_) => Fit::Yes,
            },
        }
    }

    fn types(&mut self, entry: &'a Entry, argument: NodeRef<'a>, value: NodeRef<'a>) -> Fit {
        let one = argument.as_str().into_iter();
        let types = || {
            one.clone()
                .chain(argument.items().filter_map(NodeRef::as_str))
        };
        let mut known = true;
        let fits = types().any(|name| match is_of(value, name) {
            Some(fits) => fits,
            None => {
                known = false;
                false
            }
        });
        if !fits && (!known || types().next().is_none()) {
            return Fit::Maybe;
        }
        self.check(fits, value, entry, || {
            let names: Vec<&str> = types().collect();
            format!(
                "this is {}, the schema requires {}",
                value.kind_name(),
                names.join(" or ")
            )
        })
    }

    fn one_of_values(
        &mut self,
        entry: &'a Entry,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        // If the value is an item of this `enum`, no comparison is needed.
        let is_own = argument.items().any(|item| item.id() == value.id());
        let fits = is_own || argument.items().any(|item| self.schemas.equal(item, value));
        self.check(fits, value, entry, || {
            let texts = argument.items().filter_map(NodeRef::scalar_text);
            format!("this is not in the `enum`: {}", suggest::one_of(texts, 8))
        })
    }

    fn referred(&mut self, entry: &'a Entry, argument: NodeRef<'a>, value: NodeRef<'a>) -> Fit {
        let target = self.target(&entry.key, argument);
        target.map_or(Fit::Maybe, |target| self.schema(target, value))
    }

    /// Target of a `$ref` or `$dynamicRef`, given the resources entered so far.
    pub(super) fn target(&self, key: &str, reference: NodeRef<'a>) -> Option<NodeRef<'a>> {
        let resolver = self.schemas.resolver;
        match key {
            "$ref" => resolver.target(reference).ok(),
            _ => resolver.dynamic_target(reference, &self.scope),
        }
    }

    fn any_of(&mut self, entry: &'a Entry, argument: NodeRef<'a>, value: NodeRef<'a>) -> Fit {
        let mut fit = Fit::No;
        for branch in argument.items() {
            match self.quietly(branch, value) {
                Fit::Yes => return Fit::Yes,
                Fit::Maybe => fit = Fit::Maybe,
                Fit::No => {}
            }
        }
        self.none_fits(fit, entry, argument, value)
    }

    fn one_of(&mut self, entry: &'a Entry, argument: NodeRef<'a>, value: NodeRef<'a>) -> Fit {
        let (mut fitting, mut unknown) = (0, false);
        for branch in argument.items() {
            match self.quietly(branch, value) {
                Fit::Yes => fitting += 1,
                Fit::Maybe => unknown = true,
                Fit::No => {}
            }
        }
        match fitting {
            0 if unknown => Fit::Maybe,
            0 => self.none_fits(Fit::No, entry, argument, value),
            1 if unknown => Fit::Maybe,
            1 => Fit::Yes,
            several => self.say(Fit::No, value, entry, || {
                format!(
                    "this value matches {several} schemas of `oneOf`, but exactly one must \
                    match"
                )
            }),
        }
    }

    /// Reports that no branch is valid. If there is only one branch, reports the faults in that
    /// branch, because these are more precise.
    fn none_fits(
        &mut self,
        fit: Fit,
        entry: &'a Entry,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let mut branches = argument.items();
        if let (Fit::No, 1, Some(only)) = (fit, branches.len(), branches.next()) {
            return self.schema(only, value);
        }
        self.say(fit, value, entry, || {
            format!("this value matches none of the schemas of `{}`", entry.key)
        })
    }

    fn conditional(
        &mut self,
        schema: NodeRef<'a>,
        condition: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let branch = match self.quietly(condition, value) {
            Fit::Yes => schema.get("then"),
            Fit::No => schema.get("else"),
            Fit::Maybe => return Fit::Maybe,
        };
        branch.map_or(Fit::Yes, |branch| self.schema(branch, value))
    }

    fn number(
        &mut self,
        schema: NodeRef<'a>,
        key: &str,
        entry: &'a Entry,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
    ) -> Fit {
        let exclusive = |key: &str| schema.get(key).and_then(NodeRef::as_bool) == Some(true);
        let modern = self.schemas.version >= Version::V31;
        let fits = match key {
            "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" => {
                let strict = match key {
                    "minimum" => !modern && exclusive("exclusiveMinimum"),
                    "maximum" => !modern && exclusive("exclusiveMaximum"),
                    _ if !modern => return Fit::Yes,
                    _ => true,
                };
                let Some(order) = number::compare(value, argument) else {
                    return Fit::Maybe;
                };
                let outside = if key.ends_with("inimum") {
                    Ordering::Less
                } else {
                    Ordering::Greater
                };
                order != outside && !(strict && order.is_eq())
            }
            "multipleOf" => match number::is_multiple(value, argument) {
                Some(fits) => fits,
                None => return Fit::Maybe,
            },
            _ => return Fit::Yes,
        };
        self.check(fits, value, entry, || {
            let bound = argument.scalar_text().unwrap_or_default();
            let number = value.scalar_text().unwrap_or_default();
            format!("`{number}` violates `{key}: {bound}`")
        })
    }

    fn string(
        &mut self,
        key: &str,
        entry: &'a Entry,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
        text: &str,
    ) -> Fit {
        match key {
            "minLength" | "maxLength" => {
                self.within(entry, argument, value, text.chars().count(), "characters")
            }
            "pattern" => match argument.as_str().map(|text| self.schemas.pattern(text)) {
                Some(pattern) => match &*pattern {
                    Pattern::Runs(regex) => self.check(regex.is_match(text), value, entry, || {
                        "this does not match the `pattern`".into()
                    }),
                    Pattern::NotLinear(_) | Pattern::TooLarge | Pattern::Malformed(_) => Fit::Maybe,
                },
                None => Fit::Maybe,
            },
            _ => Fit::Yes,
        }
    }

    /// Checks a length or count against the limit of `minX` or `maxX`.
    pub(super) fn within(
        &mut self,
        entry: &'a Entry,
        argument: NodeRef<'a>,
        value: NodeRef<'a>,
        count: usize,
        what: &str,
    ) -> Fit {
        let Some(bound) = number::count(argument) else {
            return Fit::Maybe;
        };
        let fits = if entry.key.starts_with("min") {
            number::length(count) >= bound
        } else {
            number::length(count) <= bound
        };
        self.check(fits, value, entry, || {
            format!(
                "this has {count} {what}, the schema requires `{}: {bound}`",
                entry.key
            )
        })
    }

    pub(super) fn check(
        &mut self,
        fits: bool,
        value: NodeRef<'a>,
        entry: &'a Entry,
        why: impl FnOnce() -> String,
    ) -> Fit {
        self.say(Fit::of(fits), value, entry, why)
    }

    pub(super) fn say(
        &mut self,
        fit: Fit,
        value: NodeRef<'a>,
        entry: &'a Entry,
        why: impl FnOnce() -> String,
    ) -> Fit {
        if fit == Fit::No && self.quiet == 0 {
            self.push(value, entry.key_span, why());
        }
        fit
    }

    fn push(&mut self, value: NodeRef<'a>, keyword: diag::Span, why: String) {
        let place = if value.is_map() {
            first_key(value)
        } else {
            value.span()
        };
        self.push_at(place, keyword, why);
    }

    pub(super) fn push_at(&mut self, value: diag::Span, keyword: diag::Span, why: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault {
                value,
                keyword,
                why,
            });
        }
    }
}

/// True if a value has this type. `None` for an unknown type.
fn is_of(value: NodeRef<'_>, name: &str) -> Option<bool> {
    Some(match name {
        "string" => value.as_str().is_some(),
        "boolean" => value.as_bool().is_some(),
        "number" => matches!(value.kind(), Kind::Number(_)),
        "integer" => number::is_whole(value),
        "array" => value.is_list(),
        "object" => value.is_map(),
        "null" => value.is_null(),
        _ => return None,
    })
}
