//! Sets of requests that operations match at a mount, and the hashes of these sets.

use std::hash::{Hash, Hasher};

use bundle::ir::{Condition, Operation, Owns, Segment, Template, TrailingSlash};
use rustc_hash::FxHasher;

/// Segment of a template, without parameter names. Equal values match the same strings.
#[derive(PartialEq, Eq, Hash)]
enum UnnamedSegment<'a> {
    Literal(&'a str),
    Folded(&'a str),
    Parameter,
    Pattern(String, bool),
}

/// Set of requests that an operation matches at a mount.
#[derive(Debug)]
pub(crate) struct MatchedRequests {
    /// Hash of [`Requests`] for this set.
    pub(crate) hash: u64,
    pub(crate) operation: u32,
    /// Index of the operation that declares the template. Differs from `operation` if `operation`
    /// serves the undeclared methods of the template.
    at: u32,
    /// True for the trailing-slash variant of the declared path: the template with its final slash
    /// added or removed.
    twin: bool,
}

/// Sets of requests that an API's operations match at a base path.
pub(crate) fn matched_requests(
    base_path: &str,
    operations: &[Operation],
) -> Box<[MatchedRequests]> {
    let places = (0u32..).zip(operations).flat_map(|(operation, one)| {
        let described = |at: u32, twin: bool| (operation, at, twin);
        match one.owns {
            Owns::Described | Owns::Unmatched => vec![described(operation, false)],
            Owns::Undeclared => {
                let all = (0u32..).zip(operations);
                let all = all.filter(|(_, other)| other.owns.is_described());
                all.flat_map(|(at, other)| {
                    let twin = other.trailing_slash != TrailingSlash::Strict;
                    [Some(false), twin.then_some(true)]
                        .into_iter()
                        .flatten()
                        .map(move |twin| described(at, twin))
                })
                .collect()
            }
        }
    });
    let matched_requests = places.map(|(operation, at, twin)| {
        let mut matched_requests = MatchedRequests {
            hash: 0,
            operation,
            at,
            twin,
        };
        let requests = Requests::of(base_path, operations, &matched_requests);
        let mut hasher = FxHasher::default();
        requests.hash(&mut hasher);
        matched_requests.hash = hasher.finish();
        matched_requests
    });
    matched_requests.collect()
}

/// Description of a set of requests. Equal values describe the same requests. Excludes the
/// trailing-slash variants of described paths, because a declared path takes precedence over them.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Requests<'a> {
    owns: Owns,
    /// Method, conditions and priority. `None` for operations that serve undescribed requests.
    described: Option<(&'a str, &'a [Condition], i32)>,
    is_prefix: bool,
    segments: Vec<UnnamedSegment<'a>>,
}

impl<'a> Requests<'a> {
    pub(crate) fn of(
        base_path: &'a str,
        operations: &'a [Operation],
        matched_requests: &MatchedRequests,
    ) -> Self {
        let Operation {
            method,
            conditions,
            priority,
            owns,
            template: _,
            key: _,
            treatment: _,
            trailing_slash: _,
        } = &operations[matched_requests.operation as usize];
        let described = (method.as_str(), conditions.as_slice(), *priority);
        let template = &operations[matched_requests.at as usize].template;
        Self {
            owns: *owns,
            described: owns.is_described().then_some(described),
            is_prefix: template.is_prefix(),
            segments: erased(base_path, template, matched_requests.twin),
        }
    }
}

fn erased<'a>(base_path: &'a str, template: &'a Template, twin: bool) -> Vec<UnnamedSegment<'a>> {
    let base = base_path.split('/').skip(1).map(UnnamedSegment::Literal);
    let below = template.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => UnnamedSegment::Literal(text),
        Segment::Folded(text) => UnnamedSegment::Folded(text),
        Segment::Parameter(_) => UnnamedSegment::Parameter,
        Segment::Pattern(pattern) => UnnamedSegment::Pattern(pattern.erased(), pattern.folded),
    });
    let mut segments: Vec<UnnamedSegment<'a>> = base.chain(below).collect();
    if twin && !template.is_prefix() {
        match segments.last() {
            Some(UnnamedSegment::Literal("")) => drop(segments.pop()),
            _ => segments.push(UnnamedSegment::Literal("")),
        }
    }
    segments
}
