//! Limit on the steps that the targets of an overlay take. Without the limit, a short overlay could
//! take hours on a large document. Examples: a filter that reads the whole document for each value,
//! or thousands of actions that visit every value.

use diag::NodeRef;

use super::edit;

/// Maximum number of steps of all targets of an overlay. A step is a value that a target visits.
const STEPS_MAX: usize = 200_000_000;

/// Maximum number of steps of all overlays of a run. A step takes up to 0.2 µs, so all overlays
/// take at most about two minutes.
const RUN_STEPS_MAX: usize = 500_000_000;

/// Maximum number of steps in the paths of the values that one query can select. A step takes up to
/// 32 bytes of memory, and the evaluator keeps all paths at the same time.
const PATH_STEPS_MAX: usize = 100_000_000;

/// Number of steps that one comparison with a regular expression costs. The expression is compiled
/// for each comparison.
const REGEX_STEPS: usize = 200;

/// Maximum length of a regular expression in a target, in bytes.
const REGEX_BYTES_MAX: usize = 200;

/// Search steps for the targets of an overlay.
pub(super) struct Steps {
    most: usize,
    left: usize,
}

/// Error: a target takes more steps than are left, or selects values whose paths are too long in
/// total.
#[derive(Debug)]
pub(super) struct TooMany;

impl Default for Steps {
    fn default() -> Self {
        Self::after(0)
    }
}

impl Steps {
    /// Creates the steps of an overlay. `taken`: number of steps that earlier overlays of the run
    /// have taken.
    pub(super) fn after(taken: usize) -> Self {
        let most = RUN_STEPS_MAX.saturating_sub(taken).min(STEPS_MAX);
        Self { most, left: most }
    }

    /// Number of steps that were taken.
    pub(super) fn taken(&self) -> usize {
        self.most - self.left
    }

    pub(super) fn take(&mut self, steps: usize) -> Result<(), TooMany> {
        self.left = self.left.checked_sub(steps).ok_or(TooMany)?;
        Ok(())
    }

    /// Subtracts an upper bound on the steps of a query from the remaining steps. `visited` is the
    /// number of values that the query would visit without the parts that multiply its steps.
    /// `values` is the number of values in the document, and `depth` their maximum depth.
    pub(super) fn take_query(
        &mut self,
        query: &str,
        visited: usize,
        (values, depth): (usize, usize),
    ) -> Result<(), TooMany> {
        let cost = Cost::of(query);
        let mut steps = visited.max(1);
        // A second `..` visits each value once for every value above it. A value has at most
        // `depth` values above it.
        for _ in 1..cost.descents {
            steps = steps.saturating_mul(depth.max(1));
        }
        // The filter visits the whole document for each value for which it is evaluated.
        for _ in 0..cost.whole {
            steps = steps.saturating_mul(values.max(1));
        }
        self.take(steps.saturating_mul(cost.regex.max(1)))
    }
}

/// Checks that the paths of all values that a query can select have at most [`PATH_STEPS_MAX`]
/// steps together. `begins`: values at which the query begins, each with the length of its path.
/// `visited`: number of values in these values.
pub(super) fn check_paths<'n>(
    query: &str,
    visited: usize,
    begins: impl Iterator<Item = (usize, NodeRef<'n>)>,
) -> Result<(), TooMany> {
    // A second `..` selects a value once for each value above it.
    let repeats = Cost::of(query).descents.saturating_sub(1);
    let repeats = u32::try_from(repeats).unwrap_or(u32::MAX);
    let longest = edit::DEPTH_MAX.saturating_pow(repeats.saturating_add(1));
    if visited.saturating_mul(longest) <= PATH_STEPS_MAX {
        return Ok(());
    }
    let mut left = PATH_STEPS_MAX;
    for (above, node) in begins {
        take_paths(node, (above, 0), repeats, &mut left)?;
    }
    Ok(())
}

/// Subtracts the steps of the paths of a value and of all values in it. `above`: length of its path
/// from the root. `below`: length of its path from the value at which the query begins.
fn take_paths(
    node: NodeRef<'_>,
    (above, below): (usize, usize),
    repeats: u32,
    left: &mut usize,
) -> Result<(), TooMany> {
    let times = below.max(1).saturating_pow(repeats);
    let steps = above.max(1).saturating_mul(times);
    *left = left.checked_sub(steps).ok_or(TooMany)?;
    let mut values = node.entries().map(|(_, value)| value).chain(node.items());
    values.try_for_each(|value| take_paths(value, (above + 1, below + 1), repeats, left))
}

/// Parts of a query that multiply the number of its steps.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cost {
    /// Number of `..` in the query.
    descents: usize,
    /// Number of queries in filters that begin at the root (`$`) and can select more than one
    /// value.
    whole: usize,
    /// Steps of all comparisons with regular expressions for one value.
    regex: usize,
}

impl Cost {
    fn of(query: &str) -> Self {
        let mut cost = Self::default();
        let mut rest = query;
        while let Some(c) = rest.chars().next() {
            let behind = &rest[c.len_utf8()..];
            match c {
                '\'' | '"' => {
                    rest = &rest[quoted(rest)..];
                    continue;
                }
                '.' if behind.starts_with('.') => {
                    cost.descents += 1;
                    rest = &behind[1..];
                    continue;
                }
                '$' => cost.whole += usize::from(!is_single(rest)),
                'm' | 's' => {
                    let arguments = ["match(", "search("]
                        .into_iter()
                        .find_map(|name| rest.strip_prefix(name));
                    if let Some(arguments) = arguments {
                        cost.regex = cost.regex.saturating_add(regex(arguments));
                    }
                }
                _ => {}
            }
            rest = behind;
        }
        cost
    }
}

/// Length of the text in quotes at the beginning of a text, with its quotes.
pub(super) fn quoted(text: &str) -> usize {
    let quote = text.chars().next();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if Some(c) == quote {
            return at + 1;
        }
    }
    text.len()
}

/// True if the query at the beginning of a text selects at most one value, by names and indexes.
fn is_single(text: &str) -> bool {
    let Some((selectors, behind)) = super::plain::split(text) else {
        return false;
    };
    let is_one = |one: &super::plain::Selector| matches!(one, super::plain::Selector::One(_));
    selectors.iter().all(is_one) && !behind.starts_with(['.', '['])
}

/// Upper bound on the steps of a comparison with the regular expression in the arguments of `match`
/// or `search`. Counted repetitions such as `{30}` multiply the steps. The bound is `usize::MAX`
/// for an expression that is not a string literal, or is longer than [`REGEX_BYTES_MAX`].
fn regex(arguments: &str) -> usize {
    let mut rest = arguments;
    while let Some(c) = rest.chars().next() {
        match c {
            '\'' | '"' => rest = &rest[quoted(rest)..],
            ',' => break,
            _ => rest = &rest[c.len_utf8()..],
        }
    }
    let pattern = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    if !pattern.starts_with(['\'', '"']) {
        return usize::MAX;
    }
    let pattern = &pattern[..quoted(pattern)];
    if pattern.len() > REGEX_BYTES_MAX {
        return usize::MAX;
    }
    let counts = pattern.split('{').skip(1);
    let counts = counts.map(|behind| {
        let digits = behind.split(|c: char| !c.is_ascii_digit());
        let largest = digits.filter_map(|text| text.parse::<usize>().ok()).max();
        largest.unwrap_or(1).max(1)
    });
    counts.fold(REGEX_STEPS, usize::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlays_of_a_run_share_their_steps() {
        let mut steps = Steps::default();
        assert!(steps.take(STEPS_MAX + 1).is_err());
        assert!(steps.take(STEPS_MAX).is_ok() && steps.take(1).is_err());
        assert_eq!(steps.taken(), STEPS_MAX);
        let mut last = Steps::after(RUN_STEPS_MAX - 3);
        assert!(last.take(4).is_err() && last.take(3).is_ok());
        assert!(Steps::after(RUN_STEPS_MAX + 1).take(1).is_err());
    }

    #[test]
    fn parts_that_multiply_steps_are_counted() {
        for (query, descents, whole, regex) in [
            ("[?@.a == 'x..$']", 0, 0, 0),
            ("..*[?@..b]", 2, 0, 0),
            ("[?@.a == $.info['x'].title]", 0, 0, 0),
            ("[?count($..*) > 3]", 1, 1, 0),
            ("[?$.a[*] || $['b'][?@.c]]", 0, 2, 0),
            ("[?search(@.a, '^x')]", 0, 0, 200),
            ("[?match(@['a, b'], \"a{10}b{2,30}\")]", 0, 0, 200 * 10 * 30),
            ("[?search(@.a, @.b)]", 0, 0, usize::MAX),
        ] {
            let expected = Cost {
                descents,
                whole,
                regex,
            };
            assert_eq!(Cost::of(query), expected, "{query}");
        }
    }
}
