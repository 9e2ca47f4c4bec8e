//! Sample strings of regular expressions.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Maximum length of a sample in characters.
const LENGTH_MAX: usize = 1_024;
/// Maximum nesting of a regular expression.
const DEPTH_MAX: u32 = 64;
/// Characters that samples prefer, best first.
const PREFERRED: [char; 5] = ['a', 'A', '0', '-', ' '];

/// Strings that match a regular expression of ECMA-262, one for each number of repetitions:
/// repetitions occur this number of times, as far as their limits allow. Anchors and word boundaries
/// count as empty, so a string does not match if they exclude it. Leaves out strings that are too
/// long. Empty if the expression is not valid.
pub(super) fn matching(pattern: &str, repetitions: &[u32]) -> Vec<String> {
    let Some(expression) = parsed(pattern) else {
        return Vec::new();
    };
    let of = |count: &u32| written(&expression, Choice::of(*count));
    repetitions.iter().filter_map(of).collect()
}

/// Different strings that match a regular expression: like [`matching`], also with other
/// alternatives, other ranges of classes, and more repetitions.
pub(super) fn variants(pattern: &str, repetitions: &[u32]) -> Vec<String> {
    let Some(expression) = parsed(pattern) else {
        return Vec::new();
    };
    let more = [2, 3, MORE_REPETITIONS];
    let counts = repetitions
        .iter()
        .chain(&more)
        .map(|count| Choice::of(*count));
    let branches = (1..BRANCHES_MAX).flat_map(|branch| {
        let of = move |repetitions| Choice {
            repetitions,
            branch,
        };
        [0, 1, MORE_REPETITIONS].map(of)
    });
    let mut found: Vec<String> = Vec::new();
    for choice in counts.chain(branches) {
        let text = written(&expression, choice);
        found.extend(text.filter(|text| !found.contains(text)));
    }
    found
}

/// Maximum number of alternatives of a part that [`variants`] writes.
const BRANCHES_MAX: usize = 6;
/// Number of repetitions of longer strings. The limits of a repetition apply.
const MORE_REPETITIONS: u32 = 8;

/// Selection among the strings that match an expression.
#[derive(Clone, Copy)]
struct Choice {
    /// Number of repetitions, within the limits of each repetition.
    repetitions: u32,
    /// Index of the alternative and of the range of characters, modulo their numbers.
    branch: usize,
}

impl Choice {
    const fn of(repetitions: u32) -> Self {
        let branch = 0;
        Self {
            repetitions,
            branch,
        }
    }
}

fn written(expression: &Hir, choice: Choice) -> Option<String> {
    let mut out = String::new();
    write(expression, choice, &mut out)?;
    Some(out)
}

fn parsed(pattern: &str) -> Option<Hir> {
    let translated = jsonschema_regex::to_rust_regex(pattern).ok()?;
    let mut parser = regex_syntax::ParserBuilder::new()
        .nest_limit(DEPTH_MAX)
        .build();
    parser.parse(&translated).ok()
}

/// Appends a match of the expression.
fn write(hir: &Hir, choice: Choice, out: &mut String) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => out.push(character(class, choice.branch)?),
        HirKind::Capture(capture) => write(&capture.sub, choice, out)?,
        HirKind::Concat(all) => all.iter().try_for_each(|one| write(one, choice, out))?,
        HirKind::Alternation(all) => {
            let at = choice.branch.checked_rem(all.len())?;
            write(&all[at], choice, out)?;
        }
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(u32::MAX);
            // Nested repetitions would multiply.
            let inner = Choice {
                repetitions: 1,
                ..choice
            };
            for _ in 0..choice.repetitions.clamp(repetition.min, most) {
                write(&repetition.sub, inner, out)?;
                if out.len() > LENGTH_MAX {
                    return None;
                }
            }
        }
    }
    Some(())
}

/// Character of a class: a preferred one, otherwise the first one. `branch` above 0: an end of a range.
fn character(class: &Class, branch: usize) -> Option<char> {
    match class {
        Class::Unicode(class) if branch > 0 => {
            let ranges = class.ranges();
            let range = ranges[(branch / 2).checked_rem(ranges.len())?];
            let ends = [range.start(), range.end()];
            Some(ends[branch % 2])
        }
        Class::Unicode(class) => {
            let ranges = class.ranges();
            let has = |one: &char| {
                ranges
                    .iter()
                    .any(|range| (range.start()..=range.end()).contains(one))
            };
            let preferred = PREFERRED.into_iter().find(has);
            let printable = || ('!'..='~').find(has);
            preferred
                .or_else(printable)
                .or_else(|| ranges.first().map(|range| range.start()))
        }
        Class::Bytes(class) => class
            .ranges()
            .first()
            .map(|range| char::from(range.start())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_have_other_alternatives_and_lengths() {
        for (pattern, expected) in [
            ("^(foo|bar|baz)$", "baz"),
            ("^[A-Z]{2,3}$", "AAA"),
            ("^#([0-9a-f]{6}|[0-9a-f]{3})$", "#999"),
            ("^[ab]", "b"),
            ("^[a-z_]+$", "aa"),
        ] {
            let found = variants(pattern, &[0]);
            assert!(
                found.iter().any(|one| one == expected),
                "{pattern}: {found:?}"
            );
        }
        assert_eq!(variants("^a$", &[0]), ["a"]);
    }

    #[test]
    fn string_matches_the_expression() {
        for (pattern, repetitions, expected) in [
            ("^[a-z]{2,8}$", 0, "aa"),
            ("^[a-z]{2,8}$", 20, "aaaaaaaa"),
            ("^[b-z]+$", 0, "b"),
            (r"^\d{4}-\d\d$", 0, "0000-00"),
            ("^(cus|acct)_[A-Za-z0-9]+$", 3, "cus_aaa"),
            ("x?", 0, ""),
            ("^(a|b)*c$", 2, "aac"),
            (r"^#[0-9a-f]{6}$", 0, "#aaaaaa"),
            (r"\bid\b", 0, "id"),
        ] {
            assert_eq!(matching(pattern, &[repetitions]), [expected], "{pattern}");
        }
        assert_eq!(matching("(", &[0]), [""; 0]);
        assert_eq!(matching("(a{1000}){1000}", &[0]), [""; 0]);
        assert_eq!(matching("[^\\s\\S]", &[0]), [""; 0]);
    }
}
