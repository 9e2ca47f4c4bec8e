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
    let of = |count: &u32| {
        let mut out = String::new();
        write(&expression, *count, &mut out)?;
        Some(out)
    };
    repetitions.iter().filter_map(of).collect()
}

fn parsed(pattern: &str) -> Option<Hir> {
    let translated = jsonschema_regex::to_rust_regex(pattern).ok()?;
    let mut parser = regex_syntax::ParserBuilder::new()
        .nest_limit(DEPTH_MAX)
        .build();
    parser.parse(&translated).ok()
}

/// Appends a match of the expression.
fn write(hir: &Hir, repetitions: u32, out: &mut String) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => out.push(character(class)?),
        HirKind::Capture(capture) => write(&capture.sub, repetitions, out)?,
        HirKind::Concat(all) => all
            .iter()
            .try_for_each(|one| write(one, repetitions, out))?,
        HirKind::Alternation(all) => write(all.first()?, repetitions, out)?,
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(u32::MAX);
            for _ in 0..repetitions.clamp(repetition.min, most) {
                // Nested repetitions would multiply.
                write(&repetition.sub, 1, out)?;
                if out.len() > LENGTH_MAX {
                    return None;
                }
            }
        }
    }
    Some(())
}

/// Character of a class: a preferred one, otherwise the first one.
fn character(class: &Class) -> Option<char> {
    match class {
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
