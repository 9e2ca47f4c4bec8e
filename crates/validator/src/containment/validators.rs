//! Validators of the compared schemas, compiled when they are needed first.
//!
//! Each schema is compiled once, without the large schemas of its items and properties. They are
//! compiled when a checked value reaches them ([`crate::deferred`]).
//!
//! An untrusted description can contain thousands of schemas that each apply most of the others to
//! the same value. Their validators would take gigabytes and minutes. The memory of the stored
//! validators and the sum of all compilations are therefore limited.

use std::cell::RefCell;
use std::rc::Rc;

use bundle::ir::Value;
use rustc_hash::FxHashMap;
use serde_json::Value as Json;

use super::doubt::Doubt;
use crate::compile::ValidatorBuilder;
use crate::deferred::Table;
use crate::lower::{Direction, NotEnforced};
use crate::steps::Schema;

/// Maximum estimated memory of the stored validators, in bytes. Two further validators may exceed
/// this maximum.
const KEPT_BYTES_MAX: u64 = 128 << 20;
/// Maximum estimated memory of all validators that are compiled, in bytes.
const COMPILED_BYTES_MAX: u64 = 1 << 30;

/// Compiled validators of the schemas of one table and direction.
pub(super) struct Validators<'a> {
    nodes: &'a [Value],
    direction: Direction,
    /// Number of the first node of the second contract.
    pub(super) start: u32,
    /// Validators that were compiled since the memory was last freed. `None` before the first
    /// validator.
    stored: Option<Stored<'a>>,
    /// Estimated memory of all validators that were freed, in bytes.
    freed_bytes: u64,
}

/// Stored validators.
struct Stored<'a> {
    builder: RefCell<ValidatorBuilder<'a>>,
    /// Validators of deferred schemas.
    deferred: Table,
    /// Validators by the number and the contract of their schema, or the reason for which values of
    /// the schema cannot be checked. `readOnly` in a contract exempts properties from `required` of
    /// this contract only.
    schemas: FxHashMap<Key, Result<Rc<Schema>, Doubt>>,
}

/// Number of a schema, index of its contract, and handling of its patterns.
type Key = (u64, usize, Patterns);

/// Handling of patterns that cannot be enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Patterns {
    /// A schema with such a pattern has no validator.
    Enforced,
    /// The validator leaves out such a pattern.
    Omitted,
}

/// Validator of one schema, with the stored validators to which it refers.
pub(super) struct Checker<'v, 'a> {
    nodes: &'a [Value],
    stored: &'v Stored<'a>,
    schema: Rc<Schema>,
    /// Bytes that may still be compiled.
    bytes_max: u64,
}

// === impl Validators ===

impl<'a> Validators<'a> {
    pub(super) fn new(nodes: &'a [Value], direction: Direction) -> Self {
        Self {
            nodes,
            direction,
            start: u32::MAX,
            stored: None,
            freed_bytes: 0,
        }
    }

    /// Validators of schemas with these numbers. `None` if a keyword of these schemas cannot be
    /// enforced, because the validator would accept values that the schema refuses. Also `None` if
    /// all compiled validators together have reached their maximum.
    pub(super) fn compiled(
        &mut self,
        schemas: &[(&'a Value, u64)],
        patterns: Patterns,
    ) -> Option<Vec<Checker<'_, 'a>>> {
        if let Some(stored) = self
            .stored
            .take_if(|stored| stored.bytes() > KEPT_BYTES_MAX)
        {
            self.freed_bytes += stored.bytes();
        }
        let bytes_max = COMPILED_BYTES_MAX.saturating_sub(self.freed_bytes);
        let new = || Stored::new(self.nodes, self.direction, self.start);
        let stored = self.stored.get_or_insert_with(new);
        let keys = schemas.iter().map(|(schema, id)| {
            let contract = stored.builder.borrow().contract_of(schema);
            (*id, contract, patterns)
        });
        let keys: Vec<Key> = keys.collect();
        for ((schema, _), key) in schemas.iter().zip(&keys) {
            if !stored.schemas.contains_key(key) {
                let compiled = stored.compile(schema, bytes_max, patterns);
                stored.schemas.insert(*key, compiled.map(Rc::new));
            }
        }
        let stored = &*stored;
        let checker = |key: &Key| {
            let schema = stored.schemas.get(key)?.as_ref().ok()?;
            Some(Checker {
                nodes: self.nodes,
                stored,
                schema: Rc::clone(schema),
                bytes_max,
            })
        };
        keys.iter().map(checker).collect()
    }

    /// Reason for which values of a schema cannot be checked. `None` if they can, or if no
    /// validator of the schema was needed.
    pub(super) fn doubt(&self, id: u64) -> Option<Doubt> {
        let schemas = &self.stored.as_ref()?.schemas;
        let known = [0, 1].into_iter();
        let mut known =
            known.filter_map(|contract| schemas.get(&(id, contract, Patterns::Enforced)));
        known.find_map(|known| known.as_ref().err().copied())
    }
}

// === impl Stored ===

impl<'a> Stored<'a> {
    fn new(nodes: &'a [Value], direction: Direction, start: u32) -> Self {
        let builder = ValidatorBuilder::joined(nodes, direction, start);
        let (builder, deferred) = builder.deferring();
        Self {
            builder: RefCell::new(builder),
            deferred,
            schemas: FxHashMap::default(),
        }
    }

    /// Estimated memory of the stored validators, in bytes.
    fn bytes(&self) -> u64 {
        self.builder.borrow().bytes
    }

    /// Compiles a schema, if all schemas to which it refers can be enforced, except for omitted
    /// patterns.
    fn compile(
        &self,
        schema: &'a Value,
        bytes_max: u64,
        patterns: Patterns,
    ) -> Result<Schema, Doubt> {
        let not_enforced = self.builder.borrow().not_enforced_in(schema);
        match not_enforced {
            Some(NotEnforced::Pattern(_)) if patterns == Patterns::Omitted => {
                self.compile_enforced(schema, bytes_max)
            }
            Some(not_enforced) => Err(Doubt::of(&not_enforced)),
            None => self.compile_enforced(schema, bytes_max),
        }
    }

    fn compile_enforced(&self, schema: &'a Value, bytes_max: u64) -> Result<Schema, Doubt> {
        let mut builder = self.builder.borrow_mut();
        match builder.bytes > bytes_max {
            true => Err(Doubt::Limit),
            false => builder.validator(schema).map_err(|_| Doubt::NoExample),
        }
    }
}

// === impl Checker ===

impl Checker<'_, '_> {
    /// True if a value matches. `None` if that cannot be checked.
    pub(super) fn is_valid(&self, value: &Json) -> Option<bool> {
        self.checked(|schema| schema.is_valid(value))
    }

    /// Runs a check of a value by the schema. Repeats it for each set of schemas that the value
    /// reaches and that were not compiled yet.
    pub(super) fn checked<T>(&self, check: impl Fn(&Schema) -> T) -> T {
        let compile = |node: u32| {
            let schema = self.nodes.get(node as usize)?;
            self.stored.compile_enforced(schema, self.bytes_max).ok()
        };
        let check = || check(&self.schema);
        self.stored.deferred.checked(check, compile)
    }
}
