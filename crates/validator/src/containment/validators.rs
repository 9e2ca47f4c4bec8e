//! Validators of the compared schemas, compiled when they are needed first.
//!
//! An untrusted description can contain thousands of schemas that each contain most of the others.
//! Their validators would take gigabytes and minutes. The memory of the stored validators and the
//! sum of all compilations are therefore limited.

use bundle::ir::Value;
use rustc_hash::FxHashMap;

use super::doubt::Doubt;
use crate::compile::ValidatorBuilder;
use crate::lower::Direction;
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
    /// Builder of the validators. `None` before the first validator.
    builder: Option<ValidatorBuilder<'a>>,
    /// Validators by the number of their schema, or the reason for which values of the schema
    /// cannot be checked.
    kept: FxHashMap<u64, Result<Schema, Doubt>>,
    /// Value of [`ValidatorBuilder::bytes`] when `kept` was last empty.
    bytes_before: u64,
}

impl<'a> Validators<'a> {
    pub(super) fn new(nodes: &'a [Value], direction: Direction) -> Self {
        Self {
            nodes,
            direction,
            builder: None,
            kept: FxHashMap::default(),
            bytes_before: 0,
        }
    }

    /// Validators of two schemas with these numbers. `None` if a keyword of these schemas cannot be
    /// enforced, because the validator would accept values that the schema refuses. Also `None` if
    /// all compiled validators together have reached their maximum.
    pub(super) fn compiled(
        &mut self,
        schemas: [&'a Value; 2],
        ids: [u64; 2],
    ) -> Option<[&Schema; 2]> {
        let new = || ValidatorBuilder::new(self.nodes, self.direction);
        let builder = self.builder.get_or_insert_with(new);
        if builder.bytes - self.bytes_before > KEPT_BYTES_MAX {
            self.bytes_before = builder.bytes;
            self.kept.clear();
        }
        for (schema, id) in schemas.into_iter().zip(ids) {
            if self.kept.contains_key(&id) {
                continue;
            }
            let compiled = match builder.not_enforced_in(schema) {
                Some(not_enforced) => Err(Doubt::of(&not_enforced)),
                None if builder.bytes > COMPILED_BYTES_MAX => Err(Doubt::Limit),
                None => builder.validator(schema).map_err(|_| Doubt::NoExample),
            };
            self.kept.insert(id, compiled);
        }
        let [one, other] = ids.map(|id| self.kept.get(&id).and_then(|kept| kept.as_ref().ok()));
        Some([one?, other?])
    }

    /// Reason for which values of a schema cannot be checked. `None` if they can, or if no
    /// validator of the schema was needed.
    pub(super) fn doubt(&self, id: u64) -> Option<Doubt> {
        self.kept.get(&id)?.as_ref().err().copied()
    }
}
