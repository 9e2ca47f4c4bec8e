//! Search for redacted values inside a value that has one or more schemas.

use std::collections::{HashMap, HashSet};

use super::graph::{Graph, Step};
use policy::logged::{ANY, segment};

/// Maximum number of redacted values that a search lists. Above this number, the search lists the
/// containing value instead of its inner values. The bundle has a list for each operation: 2,000
/// operations with the maximum add about 10 MB to the bundle.
pub(super) const PLACES_MAX: usize = 100;
/// Maximum number of comparisons in a search.
const STEPS_MAX: usize = 100_000;

/// Redacted values of a message or of a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Places<'a> {
    /// Steps to each value, without [`Step::Same`].
    pub(super) all: Vec<Vec<Step<'a>>>,
    /// True if [`PLACES_MAX`] or the step limit was reached, so that outer values are redacted as a
    /// whole.
    pub(super) is_cut: bool,
    /// Number of comparisons that the search made.
    steps: usize,
}

/// State of a search. Values form a tree, and the first one is the root.
struct Search<'g, 'a> {
    graph: &'g Graph<'a>,
    values: Vec<Value<'a>>,
    /// Indices of inner values, by the index of the containing value and the step.
    inner: HashMap<(usize, Step<'a>), usize>,
    /// Pairs that the search has found: index of a value, and index of one of the value's schemas.
    seen: HashSet<(usize, usize)>,
    /// Pairs of `seen` (value and schema) in the order of the search.
    queue: Vec<(usize, usize)>,
    redacted: usize,
    steps: usize,
    is_cut: bool,
}

struct Value<'a> {
    /// Index of the value that contains this value, and the step between them. `None` for the root.
    within: Option<(usize, Step<'a>)>,
    is_redacted: bool,
}

impl<'a> Places<'a> {
    /// Finds the redacted values inside a value, outer values first. `schemas`: index of each
    /// schema, with the step from the value to the inner value that the schema describes.
    pub(super) fn of(graph: &Graph<'a>, schemas: impl Iterator<Item = (Step<'a>, usize)>) -> Self {
        let root = Value {
            within: None,
            is_redacted: false,
        };
        let mut search = Search {
            graph,
            values: vec![root],
            inner: HashMap::new(),
            seen: HashSet::new(),
            queue: Vec::new(),
            redacted: 0,
            steps: 0,
            is_cut: false,
        };
        for (step, schema) in schemas {
            let value = search.value(0, step);
            search.meet(value, schema);
        }
        let mut at = 0;
        while let Some((value, schema)) = search.queue.get(at).copied() {
            at += 1;
            search.visit(value, schema, at);
        }
        search.places()
    }
}

// === impl Search ===

impl<'a> Search<'_, 'a> {
    /// Adds a schema of a value to the queue, unless the schema is known or leads to no redacted
    /// value.
    fn meet(&mut self, value: usize, schema: usize) {
        if self.graph.schema(schema).reaches && self.seen.insert((value, schema)) {
            self.queue.push((value, schema));
        }
    }

    /// Finds the redacted values inside a value with this schema. A recursive schema is read once:
    /// the next inner value with the same schema is redacted as a whole. `done` is the number of
    /// pairs in the queue that have been visited.
    fn visit(&mut self, value: usize, schema: usize, done: usize) {
        let mut is_repeated = false;
        let mut outer = Some(value);
        while let Some(at) = outer {
            self.steps += 1;
            if self.values[at].is_redacted {
                return;
            }
            is_repeated |= at != value && self.seen.contains(&(at, schema));
            outer = self.values[at].within.map(|(within, _)| within);
        }
        let known = self.graph.schema(schema);
        if known.is_redacted || is_repeated {
            return self.redact(value);
        }
        let places = self.redacted + (self.queue.len() - done) + known.inner.len();
        if places > PLACES_MAX || self.steps > STEPS_MAX {
            self.is_cut = true;
            return self.redact(value);
        }
        for (step, inner) in &known.inner {
            let value = self.value(value, *step);
            self.meet(value, *inner);
        }
    }

    fn redact(&mut self, value: usize) {
        self.values[value].is_redacted = true;
        self.redacted += 1;
    }

    /// Returns the index of the value at a step from another value. Creates the value if needed.
    fn value(&mut self, within: usize, step: Step<'a>) -> usize {
        if step == Step::Same {
            return within;
        }
        *self.inner.entry((within, step)).or_insert_with(|| {
            self.values.push(Value {
                within: Some((within, step)),
                is_redacted: false,
            });
            self.values.len() - 1
        })
    }

    /// Collects the paths of the redacted values that no other redacted value contains.
    fn places(self) -> Places<'a> {
        let redacted = self.values.iter().filter(|value| value.is_redacted);
        let all = redacted.filter_map(|value| {
            let mut steps = Vec::new();
            let mut outer = value.within;
            while let Some((within, step)) = outer {
                if self.values[within].is_redacted {
                    return None;
                }
                steps.push(step);
                outer = self.values[within].within;
            }
            steps.reverse();
            Some(steps)
        });
        Places {
            all: all.collect(),
            is_cut: self.is_cut,
            steps: self.steps,
        }
    }
}

/// Location of a value: a JSON pointer as a URI fragment, with [`ANY`] for any name or index.
pub(super) fn pointer(steps: &[Step<'_>]) -> String {
    let mut place = "#".to_owned();
    for step in steps {
        let segment = match step {
            Step::Same => continue,
            Step::Member(name) => segment(name),
            Step::Any => ANY.to_owned(),
        };
        place.push('/');
        place.push_str(&segment);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

    fn places(graph: &Graph<'_>, schemas: &[usize]) -> Vec<String> {
        let places = Places::of(graph, schemas.iter().map(|one| (Step::Same, *one)));
        assert!(!places.is_cut);
        places.all.iter().map(|steps| pointer(steps)).collect()
    }

    #[test]
    fn recursive_schema_is_redacted_at_its_repetition() {
        let graph = Graph::with(vec![
            (
                false,
                vec![
                    (Step::Member("about"), 1),
                    (Step::Member("parts"), 2),
                    (Step::Member("other"), 3),
                    (Step::Same, 0),
                ],
            ),
            (true, vec![]),
            (false, vec![(Step::Any, 0)]),
            (false, vec![(Step::Any, 3)]),
        ]);
        assert_eq!(places(&graph, &[0]), ["#/about", "#/parts/*"]);
        assert_eq!(
            places(&graph, &[2]),
            ["#/*/about", "#/*/parts"],
            "the list repeats"
        );
        assert_eq!(places(&graph, &[0, 1]), ["#"]);
        assert!(places(&graph, &[3]).is_empty());
    }

    #[test]
    fn steps_of_mutually_recursive_schemas_are_bounded() {
        let count = 300;
        let names: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
        let members = |except: usize| {
            let all = names.iter().enumerate();
            let all = all.filter(move |(number, _)| *number != except);
            all.map(|(number, name)| (Step::Member(name), number))
        };
        let mut schemas: Vec<_> = (0..count)
            .map(|number| (false, members(number).collect::<Vec<_>>()))
            .collect();
        schemas[count - 1].0 = true;
        let graph = Graph::with(schemas);
        let mut steps = 0;
        for root in 0..50 {
            let places = Places::of(&graph, std::iter::once((Step::Same, root)));
            assert!(places.is_cut);
            assert!(places.all.len() <= PLACES_MAX, "{}", places.all.len());
            steps += places.steps;
        }
        assert!(steps < 50 * 3 * PLACES_MAX, "{steps}");
    }

    #[test]
    fn long_chain_of_schemas_is_bounded() {
        let count = 100_000;
        let mut schemas: Vec<_> = (1..=count)
            .map(|next| (false, vec![(Step::Member("a"), next)]))
            .collect();
        schemas.push((true, vec![]));
        let root = std::iter::once((Step::Same, 0));
        let places = Places::of(&Graph::with(schemas), root);
        assert!(places.is_cut);
        assert!(places.steps < STEPS_MAX + count, "{}", places.steps);
        assert_eq!(places.all.len(), 1);
    }

    #[test]
    fn shared_schemas_of_one_value_are_read_once() {
        // Each schema has two alternatives with the same next schema.
        let mut schemas = Vec::new();
        for level in 0..40 {
            let next = 3 * (level + 1);
            let own = 3 * level;
            schemas.push((false, vec![(Step::Same, own + 1), (Step::Same, own + 2)]));
            schemas.push((false, vec![(Step::Same, next)]));
            schemas.push((false, vec![(Step::Same, next)]));
        }
        schemas.push((
            false,
            MEMBERS.map(|name| (Step::Member(name), 121)).to_vec(),
        ));
        schemas.push((true, vec![]));
        let expected = MEMBERS.map(|name| format!("#/{name}"));
        assert_eq!(places(&Graph::with(schemas), &[0]), expected);
    }
}
