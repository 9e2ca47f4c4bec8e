//! Compilation of schemas to validators.

use bundle::ir::Value;
use jsonschema::Draft;
use serde_json::Value as Json;

use crate::content::{self, Content, Contents};
use crate::deferred::{Table, TableRef};
use crate::format;
use crate::kinds::Kinds;
use crate::limits::{self, Limits};
use crate::lower::{Direction, Lowering, NotEnforced, patterns};
use crate::members::Members;
use crate::steps::{self, Schema};

/// Error: the schemas of an operation are not valid JSON Schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncompilable {
    /// Error message of the JSON Schema library.
    pub why: String,
}

/// Validators under construction.
pub(crate) struct ValidatorBuilder<'a> {
    lowering: Lowering<'a>,
    /// Estimated memory of the validators, in bytes.
    pub(crate) bytes: u64,
    /// Validators to which the new validators refer. `None`: validators are complete.
    table: Option<TableRef>,
}

impl<'a> ValidatorBuilder<'a> {
    pub(crate) fn new(schemas: &'a [Value], direction: Direction) -> Self {
        Self::of(Lowering::new(schemas, direction))
    }

    /// Creates the builder for a table of two contracts. `start`: number of the first node of the
    /// second one.
    pub(crate) fn joined(schemas: &'a [Value], direction: Direction, start: u32) -> Self {
        Self::of(Lowering::joined(schemas, direction, start))
    }

    fn of(lowering: Lowering<'a>) -> Self {
        Self {
            lowering,
            bytes: 0,
            table: None,
        }
    }

    /// Index of the contract that contains a schema.
    pub(crate) fn contract_of(&self, schema: &'a Value) -> usize {
        self.lowering.contract_of(schema)
    }

    /// Compiles validators that contain only the schemas of the value itself, and refer to the
    /// validators of other schemas in the table.
    pub(crate) fn deferring(mut self) -> (Self, Table) {
        let table = Table::new(self.lowering.nodes().len());
        self.lowering.defer();
        self.table = Some(table.reference());
        (self, table)
    }

    /// Types of the values that a schema allows.
    pub(crate) fn kinds(&self, schema: &'a Value) -> Kinds {
        Kinds::of(self.lowering.nodes(), schema)
    }

    /// Names of members that a schema describes.
    pub(crate) fn members(&self, schema: &'a Value) -> Members {
        Members::of(&self.lowering, schema)
    }

    /// Parts of the schemas that are not enforced.
    pub(crate) fn not_enforced(self) -> Vec<NotEnforced> {
        self.lowering.not_enforced.into_iter().collect()
    }

    /// First part that is not enforced, of a schema or of the schemas that it references.
    pub(crate) fn not_enforced_in(&self, schema: &'a Value) -> Option<NotEnforced> {
        self.lowering.not_enforced_in(schema)
    }

    /// Compiles the validator of a schema.
    pub(crate) fn validator(&mut self, schema: &'a Value) -> Result<Schema, Uncompilable> {
        let document = self.lowering.document(schema);
        self.compiled(&document, Contents::default())
    }

    /// Compiles the validator of a schema whose strings can contain JSON (`contentSchema`).
    /// `describe` converts an error in this JSON to a pointer and a text. The boolean is true if
    /// the schema describes such strings.
    pub(crate) fn validator_with_content(
        &mut self,
        schema: &'a Value,
        describe: content::Describe,
    ) -> Result<(Schema, bool), Uncompilable> {
        let (document, inner) = self.lowering.document_with_content(schema);
        let inner = inner.into_iter().map(|schema| self.validator(schema));
        let inner: Vec<Schema> = inner.collect::<Result<_, _>>()?;
        let has_content = !inner.is_empty();
        let schema = self.compiled(&document, Contents::new(inner, describe))?;
        Ok((schema, has_content))
    }

    fn compiled(&mut self, document: &Json, contents: Contents) -> Result<Schema, Uncompilable> {
        // This is an estimate: compiled keywords and the texts in errors need several times the
        // memory of the schema's text.
        self.bytes += 6 * document.to_string().len() as u64;
        let mut options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .with_pattern_options(patterns())
            .with_keyword(steps::KEYWORD, |_, _, _| Ok(Box::new(steps::Step)))
            .with_keyword(limits::KEYWORD, |_, limits, _| {
                Ok(Box::new(Limits::of(limits)))
            })
            .with_keyword(content::KEYWORD, move |_, index, _| {
                Ok(Box::new(Content::of(index, &contents)))
            })
            .with_keyword(steps::COST, |_, cost, _| {
                Ok(Box::new(steps::Cost::of(cost)))
            });
        if let Some(table) = self.table.clone() {
            options = options.with_keyword(steps::DEFERRED, move |_, node, _| {
                Ok(Box::new(table.keyword(node)))
            });
        }
        for one in format::FORMATS {
            if let Some(check) = one.check {
                options = options.with_format(one.name, check);
            }
        }
        let built = options.build(document);
        let built = built.map_err(|error| Uncompilable {
            why: format!("{}: {error}", error.schema_path()),
        })?;
        Ok(Schema::new(built))
    }
}
