//! Path parameters of two operations, by their position in the path. A parameter of one operation
//! may be at the position of a literal of the other one: `/users/{id}` and `/users/me`.

use std::sync::Arc;

use bundle::ir::{self, ParameterPlace, Segment, Template, Value};
use model::contract::joint::Joint;
use percent_encoding::percent_decode_str;
use validator::containment;

/// Content of a path at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Index of a path parameter in [`PathParameters::was`] or [`PathParameters::is`].
    Parameter(usize),
    /// Literal text of the template.
    Literal(String),
}

/// Contents of the paths of two operations at the same position: old, new.
pub(super) type Slots = Vec<[Option<Slot>; 2]>;

/// Path parameters of an old and a new operation.
pub(super) struct PathParameters {
    pub(super) was: Vec<ir::Parameter>,
    pub(super) is: Vec<ir::Parameter>,
    pub(super) slots: Slots,
    /// True if the templates match the same paths, so that all positions are parameters.
    pub(super) is_same: bool,
}

impl PathParameters {
    /// Pairs the path parameters of two operations. `templates`: path templates of the operations,
    /// if they match different paths.
    pub(super) fn new(
        (old, new): (&[ir::Parameter], &[ir::Parameter]),
        templates: Option<&[Arc<Template>; 2]>,
    ) -> Self {
        let in_path = |all: &[ir::Parameter]| -> Vec<ir::Parameter> {
            let all = all.iter();
            all.filter(|one| one.place == ParameterPlace::Path)
                .cloned()
                .collect()
        };
        let (was, is) = (in_path(old), in_path(new));
        let slots = match templates {
            Some(templates) => slots(templates, [&was, &is]),
            None => {
                let slot =
                    |all: &[ir::Parameter], at| (at < all.len()).then_some(Slot::Parameter(at));
                let positions = 0..was.len().max(is.len());
                positions
                    .map(|at| [slot(&was, at), slot(&is, at)])
                    .collect()
            }
        };
        Self {
            was,
            is,
            slots,
            is_same: templates.is_none(),
        }
    }

    /// True if no request that is valid under the old contract reaches the new operation: a literal
    /// of the new path is no value of the old parameter at its position.
    pub(super) fn are_apart(&self, joint: &Joint) -> bool {
        self.slots.iter().any(|slots| match slots {
            [Some(Slot::Parameter(at)), Some(Slot::Literal(text))] => {
                let was = self.was.get(*at);
                was.is_some_and(|was| admits(joint, &was.definition, text) == Some(false))
            }
            _ => false,
        })
    }
}

/// Positions of two path templates at which at least one of them has a parameter.
fn slots(templates: &[Arc<Template>; 2], parameters: [&[ir::Parameter]; 2]) -> Slots {
    let [old, new] = templates.each_ref().map(|template| template.segments());
    let index = |side: usize, name: &str| {
        let at = parameters[side].iter().position(|one| one.name == name)?;
        Some(Slot::Parameter(at))
    };
    let names = |segment: &Segment| -> Vec<String> {
        match segment {
            Segment::Literal(_) | Segment::Folded(_) => Vec::new(),
            Segment::Parameter(name) => vec![name.clone()],
            Segment::Pattern(pattern) => {
                pattern.rest.iter().map(|(name, _)| name.clone()).collect()
            }
        }
    };
    // Parameters of a segment, with their values if the segment is the literal `text`.
    let bound = |side: usize, segment: &Segment, text: &str| -> Vec<[Option<Slot>; 2]> {
        let mut values = Vec::new();
        match segment {
            Segment::Parameter(name) => values.push((name.as_str(), text.to_owned())),
            Segment::Pattern(pattern) => {
                let matches = pattern.bind(text, &mut |name, range| {
                    values.push((name, text.get(range).unwrap_or_default().to_owned()));
                });
                if !matches {
                    values.clear();
                }
            }
            Segment::Literal(_) | Segment::Folded(_) => {}
        }
        let slots = values.into_iter().map(|(name, text)| {
            let pair = [index(side, name), Some(Slot::Literal(text))];
            let [parameter, literal] = pair;
            match side {
                0 => [parameter, literal],
                _ => [literal, parameter],
            }
        });
        slots.collect()
    };
    let mut all = Vec::new();
    for at in 0..old.len().max(new.len()) {
        match (old.get(at), new.get(at)) {
            // Skip case-insensitive literals: clients may write them in any letter case.
            (Some(one), Some(other)) if has_letter_cases(one) || has_letter_cases(other) => {}
            (Some(Segment::Literal(text) | Segment::Folded(text)), Some(segment)) => {
                all.extend(bound(1, segment, text));
            }
            (Some(segment), Some(Segment::Literal(text) | Segment::Folded(text))) => {
                all.extend(bound(0, segment, text));
            }
            // The values of one segment are no values of the other one.
            (Some(was), Some(is)) if literals(was) != literals(is) => {
                let gone = names(was).into_iter();
                all.extend(gone.map(|name| [index(0, &name), None]));
                all.extend(names(is).into_iter().map(|name| [None, index(1, &name)]));
            }
            (was, is) => {
                let (was, is) = (was.map(names), is.map(names));
                let (was, is) = (was.unwrap_or_default(), is.unwrap_or_default());
                let positions = 0..was.len().max(is.len());
                all.extend(positions.map(|at| {
                    let slot = |side, names: &[String]| index(side, names.get(at)?);
                    [slot(0, &was), slot(1, &is)]
                }));
            }
        }
    }
    all.retain(|slots| {
        slots
            .iter()
            .any(|slot| matches!(slot, Some(Slot::Parameter(_))))
    });
    all
}

/// Literals before, between and after the parameters of a segment.
fn literals(segment: &Segment) -> Vec<&str> {
    match segment {
        Segment::Literal(text) | Segment::Folded(text) => vec![text],
        Segment::Parameter(_) => vec!["", ""],
        Segment::Pattern(pattern) => {
            let rest = pattern.rest.iter().map(|(_, text)| &**text);
            [&*pattern.head].into_iter().chain(rest).collect()
        }
    }
}

/// True if a segment is a literal that requests may contain in several letter cases.
fn has_letter_cases(segment: &Segment) -> bool {
    let Segment::Folded(text) = segment else {
        return false;
    };
    text.chars().any(char::is_alphabetic)
}

/// True if a path parameter may have a text as its value. `None` if this is uncertain.
pub(super) fn admits(joint: &Joint, definition: &Value, text: &str) -> Option<bool> {
    let schema = definition.get("schema")?;
    let text = &*percent_decode_str(text).decode_utf8().ok()?;
    // The text may be a list, an object or a number.
    if text.contains([',', '=', ';', '.', '%'])
        || text.parse::<i64>().is_err() && text.parse::<f64>().is_ok()
    {
        return None;
    }
    let mut readings = vec![Value::Text(text.into())];
    readings.extend(text.parse().ok().map(Value::Integer));
    readings.extend(text.parse().ok().map(Value::Bool));
    let items = readings.iter().map(|one| Value::List(vec![one.clone()]));
    let items: Vec<Value> = items.collect();
    readings.extend(items);
    let answers: Vec<Option<bool>> = readings
        .iter()
        .map(|reading| containment::admits(joint.nodes(), schema, reading))
        .collect();
    match answers.contains(&Some(true)) {
        true => Some(true),
        false => answers.iter().all(Option::is_some).then_some(false),
    }
}
