//! Comparison of how two descriptions read a parameter, a response field or a form.
//!
//! The types of a schema ([`Kinds`]) decide if a text is read as a scalar, an array or an object.
//! They also decide which fields of a query belong to an object. Containment of schemas compares
//! values. It holds for texts only if the wide description also reads the values that the narrow
//! one reads.

use bundle::ir::{ParameterPlace, Value};

use crate::contain::{ContainmentCheck, is_assertion};
use crate::kinds::Kinds;
use crate::parameters::{is_spread, style_of};
use crate::style::Style;

/// Keywords that an object still satisfies after members were removed from it.
const PLAIN: [&str; 4] = ["type", "properties", "required", "additionalProperties"];

impl<'a> ContainmentCheck<'a> {
    /// True if the wide definition of a parameter or response field at `place` reads each value
    /// that the narrow one reads from a text. Both have the same `style` and `explode`.
    pub(crate) fn reads_texts(
        &self,
        place: ParameterPlace,
        wide: &'a Value,
        narrow: &'a Value,
    ) -> bool {
        // Without a schema, no text is refused.
        let Some(schema) = wide.get("schema") else {
            return true;
        };
        let Some(own) = narrow.get("schema") else {
            return false;
        };
        let (style, explode) = style_of(place, wide);
        let (wide, narrow) = self.kinds(schema, own);
        let spreads = [&wide, &narrow].map(|kinds| is_spread(style, explode, kinds));
        match spreads {
            [true, true] => {
                let mut names = wide.properties.iter();
                let owned = names.all(|(name, _)| narrow.describes(name));
                let is_same = wide.properties.len() == narrow.properties.len();
                owned && (is_same || self.is_plain(schema))
            }
            [false, false] if style == Style::DeepObject => wide.is_structured_like(&narrow),
            [false, false] => wide.has_structures_of(&narrow),
            [true, false] | [false, true] => false,
        }
    }

    /// True if the wide schema of a form reads each property as the narrow schema does.
    pub(crate) fn reads_forms(&self, wide: &'a Value, narrow: &'a Value) -> bool {
        let (wide, narrow) = self.kinds(wide, narrow);
        wide.has_members_like(&narrow)
    }

    fn kinds(&self, wide: &'a Value, narrow: &'a Value) -> (Kinds, Kinds) {
        let tables = self.tables();
        (Kinds::of(tables[0], wide), Kinds::of(tables[1], narrow))
    }

    /// True if the wide schema only has keywords of [`PLAIN`] and annotations.
    fn is_plain(&self, schema: &'a Value) -> bool {
        let mut entries = self.wide(schema).entries().iter();
        entries.all(|(key, value)| PLAIN.contains(&&**key) || !is_assertion(key, self.wide(value)))
    }
}
