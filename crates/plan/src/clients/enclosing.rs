//! Whole bodies that contain the value of a break. A value alone is no message: clients send it
//! inside an object, or in a list.

use serde_json::Value as Json;
use validator::containment::Position;

use super::meaning::SchemaComparison;
use super::schema::{Child, Role, position};

/// Outer pair of schemas on the path from a body to a value, and position of the next inner pair.
#[derive(Clone, Debug)]
pub(super) struct Outer {
    pair: (u32, u32),
    /// Keyword and name that lead to the inner pair ([`Child::at`]).
    at: String,
    /// Path of the inner pair ([`Child::step`]).
    step: String,
}

impl Outer {
    pub(super) fn new(pair: (u32, u32), child: &Child) -> Self {
        Self {
            pair,
            at: child.at.clone(),
            step: child.step.clone(),
        }
    }

    fn position(&self) -> Option<Position<'_>> {
        position(&self.at, &self.step)
    }

    /// True if the inner pair is one of several alternatives.
    fn is_alternative(&self) -> bool {
        matches!(&*self.at, "anyOf" | "oneOf")
    }

    /// True if the inner pair applies to the same value or to the name of a property, so that a
    /// value of the inner pair alone is no value of the message.
    fn is_same(&self) -> bool {
        matches!(
            self.position(),
            None | Some(Position::Whole | Position::Name)
        )
    }
}

/// Value at the path of a difference that shows it, and a whole body with this value.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) value: Json,
    /// `None` if no such body was found.
    pub(super) body: Option<Json>,
}

/// Value and body that show a difference. `value` shows the difference of the innermost pair.
/// `None` if no value at the path of the difference was found, or no body with this value: the
/// other schemas of the body may exclude the value before, or another alternative may accept it now.
/// Above the maximum number of searches, a value without alternatives around it shows the difference
/// alone.
pub(super) fn shown(
    schemas: &mut SchemaComparison<'_>,
    outers: &[Outer],
    pair: ((u32, u32), Role),
    value: &Json,
) -> Option<Shown> {
    let (value, outers) = at_path(schemas, outers, pair, value)?;
    let is_response = pair.1.is_response;
    let body = body(schemas, outers, is_response, &value);
    // The text of a value has other forms than its JSON, so that a body may not be found.
    let is_searched = schemas.can_enclose(is_response) && !pair.1.is_text;
    if body.is_none() && (is_searched || outers.iter().any(Outer::is_alternative)) {
        return None;
    }
    Some(Shown { value, body })
}

/// Value at the path of a difference that shows it, and the rest of the outer pairs, which lead to
/// the pair that describes this value. `value` shows the difference of the innermost pair. `None`
/// if no such value was found.
fn at_path<'o>(
    schemas: &mut SchemaComparison<'_>,
    mut outers: &'o [Outer],
    (pair, role): ((u32, u32), Role),
    value: &Json,
) -> Option<(Json, &'o [Outer])> {
    let (mut inner, mut value) = (pair, value.clone());
    while let Some((outer, rest)) = outers.split_last().filter(|(outer, _)| outer.is_same()) {
        value = match outer.position()? {
            Position::Name => {
                schemas.enclose(outer.pair, role.is_response, Position::Name, &value)?
            }
            _ => schemas.enclose_same((outer.pair, inner), role, &value)?,
        };
        (inner, outers) = (outer.pair, rest);
    }
    Some((value, outers))
}

/// Body that contains `value` at the end of a path of outer pairs, and that only one side accepts.
/// `None` if no such body was found.
fn body(
    schemas: &mut SchemaComparison<'_>,
    outers: &[Outer],
    is_response: bool,
    value: &Json,
) -> Option<Json> {
    let mut outwards = outers.iter().rev();
    outwards.try_fold(value.clone(), |inner, outer| {
        schemas.enclose(outer.pair, is_response, outer.position()?, &inner)
    })
}
