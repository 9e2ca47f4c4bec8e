//! Validators of the compared schemas, compiled when they are needed first.
//!
//! A description of a stranger can contain thousands of schemas that each contain most of the
//! others. Their validators would take gigabytes and minutes. Both the memory and the sum of all
//! compilations are therefore limited.

use bundle::ir::Value;
use rustc_hash::FxHashMap;

use crate::compile::ValidatorBuilder;
use crate::lower::Direction;
use crate::steps::Schema;

/// Estimated memory of the validators that are kept, in bytes. Two further validators may exceed
/// it.
const KEPT_BYTES_MAX: u64 = 128 << 20;
/// Estimated memory of all validators that are compiled, in bytes.
const COMPILED_BYTES_MAX: u64 = 1 << 30;

/// Compiled validators of the schemas of one table and direction.
pub(super) struct Validators<'a> {
    nodes: &'a [Value],
    direction: Direction,
    /// Builder, and true if all patterns of the table can be enforced. `None` before the first
    /// validator.
    builder: Option<(ValidatorBuilder<'a>, bool)>,
    /// Validators by the number of their schema. `None`: the schema has no validator that enforces
    /// all its keywords.
    kept: FxHashMap<u64, Option<Schema>>,
    /// [`ValidatorBuilder::bytes`] when `kept` was empty.
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

    /// Validators of two schemas with these numbers. `None` if a pattern of the table or a keyword
    /// of these schemas cannot be enforced, because the validator would accept values that the
    /// schema refuses. Also `None` if all validators together have reached their maximum.
    pub(super) fn compiled(
        &mut self,
        schemas: [&'a Value; 2],
        ids: [u64; 2],
    ) -> Option<[&Schema; 2]> {
        let (builder, is_enforced) = self.builder.get_or_insert_with(|| {
            let builder = ValidatorBuilder::new(self.nodes, self.direction);
            let is_enforced = builder.enforces_all();
            (builder, is_enforced)
        });
        if !*is_enforced {
            return None;
        }
        if builder.bytes - self.bytes_before > KEPT_BYTES_MAX {
            self.bytes_before = builder.bytes;
            self.kept.clear();
        }
        for (schema, id) in schemas.into_iter().zip(ids) {
            if self.kept.contains_key(&id) {
                continue;
            }
            if builder.bytes > COMPILED_BYTES_MAX {
                return None;
            }
            let compiled = builder.whole_validator(schema);
            self.kept.insert(id, compiled);
        }
        let [one, other] = ids.map(|id| self.kept.get(&id).and_then(Option::as_ref));
        Some([one?, other?])
    }
}
