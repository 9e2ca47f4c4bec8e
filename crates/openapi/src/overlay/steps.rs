//! Limit on the steps that the targets of an overlay take. Without the limit, a short overlay could
//! take hours on a large document. Examples: a filter that reads the whole document for each value,
//! or thousands of actions that visit every value.

/// Maximum number of steps of all targets of an overlay. A step is a value that a target visits.
const STEPS_MAX: usize = 200_000_000;

/// Number of steps that one comparison with a regular expression costs. The expression is compiled
/// for each comparison.
const REGEX_STEPS: usize = 200;

/// Maximum length of a regular expression in a target, in bytes.
const REGEX_BYTES_MAX: usize = 200;

/// Remaining search steps for the targets of an overlay.
pub(super) struct Steps(usize);

/// The targets of an overlay take more than [`STEPS_MAX`] steps.
#[derive(Debug)]
pub(super) struct TooMany;

impl Default for Steps {
    fn default() -> Self {
        Self(STEPS_MAX)
    }
}

impl Steps {
    pub(super) fn take(&mut self, steps: usize) -> Result<(), TooMany> {
        self.0 = self.0.checked_sub(steps).ok_or(TooMany)?;
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
