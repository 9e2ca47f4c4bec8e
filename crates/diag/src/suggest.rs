//! Suggestions for misspelt words.

/// Maximum length of a word whose distance is computed, in characters. Longer words are only
/// compared for equality.
const CHARS_MAX: usize = 128;
/// Maximum work of one call of [`nearest`], in pairs of characters of compared words. Words that
/// cannot be near are not compared, so a list of thousands of names needs only a part of this work.
const CHAR_PAIRS_MAX: usize = 1 << 18;

/// Returns the word of `known` that is nearest to `word`, if it is near enough.
///
/// The distance is Damerau–Levenshtein. Up to a third of the longer word may differ, at least one
/// character, but never the whole word: `b` does not suggest `a`. Letter case and the choice of `-`
/// or `_` are ignored. Returns `None` if two words are equally near, because an edit may use the
/// result. A word with a colon never suggests a word without a colon, because a value may follow
/// the colon. Also returns `None` if very many long words are similar to `word`, to limit the work.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let mut pairs_left = CHAR_PAIRS_MAX;
    nearest_within(word, known, &mut pairs_left)
}

/// Searches as [`nearest`] does, with a limit of the work. Subtracts the work from `pairs_left`.
fn nearest_within<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
    pairs_left: &mut usize,
) -> Option<&'k str> {
    let word = Folded::of(word);
    let known = known.into_iter();
    let known = known.filter(|candidate| !word.text.contains(':') || candidate.contains(':'));
    let mut best: Option<(usize, &str)> = None;
    let mut tied = false;
    for candidate in known.filter(|candidate| word.has_length_near(candidate)) {
        let Some(distance) = word.distance(&Folded::of(candidate), pairs_left)? else {
            continue;
        };
        match best {
            Some((least, _)) if distance > least => {}
            Some((least, known)) if distance == least => tied |= known != candidate,
            Some(_) | None => (best, tied) = (Some((distance, candidate)), false),
        }
    }
    best.filter(|_| !tied).map(|(_, candidate)| candidate)
}

/// Word in lower case, with `_` for `-`.
struct Folded {
    text: String,
    /// Characters of `text`, sorted.
    sorted: Vec<char>,
}

impl Folded {
    fn of(text: &str) -> Self {
        let text = text.to_lowercase().replace('-', "_");
        let mut sorted: Vec<char> = text.chars().collect();
        sorted.sort_unstable();
        Self { text, sorted }
    }

    /// False if the lengths of two words alone show that the words are not near enough.
    fn has_length_near(&self, candidate: &str) -> bool {
        // The lower case of non-ASCII characters may have a different length.
        let is_exact = self.text.is_ascii() && candidate.is_ascii();
        let (own, other) = (self.sorted.len(), candidate.len());
        !is_exact || own.abs_diff(other) <= allowed(own.max(other))
    }

    /// Distance of two words. The inner `None`: the words are not near enough. The outer `None`: no
    /// work is left.
    fn distance(&self, other: &Self, pairs_left: &mut usize) -> Option<Option<usize>> {
        let (own, others) = (self.sorted.len(), other.sorted.len());
        let length = own.max(others);
        if self.text == other.text {
            return Some((length > 0).then_some(0));
        }
        let allowed = allowed(length);
        if length > CHARS_MAX || self.differing(other) > allowed {
            return Some(None);
        }
        *pairs_left = pairs_left.checked_sub(own * others)?;
        let distance = strsim::damerau_levenshtein(&self.text, &other.text);
        Some((distance <= allowed && distance < length).then_some(distance))
    }

    /// Lower bound of the distance: number of characters that only one of the two words has.
    fn differing(&self, other: &Self) -> usize {
        let (mut own, mut others) = (self.sorted.iter(), other.sorted.iter());
        let (mut one, mut two) = (own.next(), others.next());
        let (mut only_own, mut only_other) = (0usize, 0usize);
        loop {
            match (one, two) {
                (Some(a), Some(b)) if a == b => (one, two) = (own.next(), others.next()),
                (Some(a), Some(b)) if a > b => {
                    only_other += 1;
                    two = others.next();
                }
                (Some(_), _) => {
                    only_own += 1;
                    one = own.next();
                }
                (None, Some(_)) => {
                    only_other += 1;
                    two = others.next();
                }
                (None, None) => return only_own.max(only_other),
            }
        }
    }
}

/// Number of characters of a word of this length that may differ.
fn allowed(length: usize) -> usize {
    (length / 3).max(1)
}

/// Splits `key:value` into a known key and a value. YAML reads such a string as a key without a
/// value, because no space follows the colon.
pub fn split<'w, 'k>(
    word: &'w str,
    known: impl IntoIterator<Item = &'k str> + Clone,
) -> Option<(&'k str, &'w str)> {
    let (name, value) = word
        .split_once(':')
        .filter(|(_, value)| !value.is_empty())?;
    let mut exact = known.clone().into_iter();
    let key = exact.find(|candidate| *candidate == name);
    Some((key.or_else(|| nearest(name, known))?, value))
}

/// Formats a source text for messages. Invisible characters are escaped; quotes are not.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// Formats "one of `a`, `b` or `c`", or "only `a` is known". Lists at most `most` words, and the
/// number of further words.
pub fn one_of<'k>(known: impl IntoIterator<Item = &'k str>, most: usize) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match known.as_slice() {
        [] => "none is defined".into(),
        [only] => format!("only `{only}` is known"),
        _ => choice(known, most),
    }
}

/// Formats the words that a user can write: one word in backticks, or as [`one_of`] does if there
/// are several.
pub fn choice<'k>(known: impl IntoIterator<Item = &'k str>, most: usize) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let quoted: Vec<String> = known
        .iter()
        .take(most)
        .map(|word| format!("`{word}`"))
        .collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        _ if known.len() > most => format!(
            "one of {} and {} more",
            quoted.join(", "),
            known.len() - most
        ),
        [head @ .., last] => format!("one of {} or {last}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_names_a_single_word_alone() {
        assert_eq!(choice(["a"], 8), "`a`");
        assert_eq!(choice(["a", "b"], 8), "one of `a` or `b`");
        assert_eq!(one_of(["a"], 8), "only `a` is known");
        assert_eq!(one_of(["a", "b", "c"], 2), "one of `a`, `b` and 1 more");
        assert_eq!(one_of([], 8), "none is defined");
    }

    #[test]
    fn quotes_are_shown_as_they_are() {
        assert_eq!(shown("$.paths['/a'].\"b\""), "$.paths['/a'].\"b\"");
        assert_eq!(shown("a\n\u{1b}[31m\u{202e}"), "a\\n\\u{1b}[31m\\u{202e}");
    }

    #[test]
    fn key_and_value_are_split_at_the_first_colon() {
        let known = ["connect", "url"];
        assert_eq!(split("connect:1s", known), Some(("connect", "1s")));
        assert_eq!(split("conect:1s", known), Some(("connect", "1s")));
        assert_eq!(split("url:http://a", known), Some(("url", "http://a")));
        for word in ["connect", "connect:", ":1s", "x:1s"] {
            assert_eq!(split(word, known), None, "{word}");
        }
    }

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        let known = ["rate_limit", "respond", "headers"];
        assert_eq!(nearest("rate-limt", known), Some("rate_limit"));
        assert_eq!(nearest("Headers", known), Some("headers"));
        assert_eq!(nearest("cors", known), None);
        assert_eq!(nearest("b", ["a"]), None);
        assert_eq!(nearest("A", ["a"]), Some("a"));
        assert_eq!(nearest("ab", ["a"]), Some("a"));
        assert_eq!(nearest("pats", ["path", "part", "pats"]), Some("pats"));
        assert_eq!(nearest("pat", ["path", "part"]), None);
        assert_eq!(nearest("pat", ["path", "path"]), Some("path"));
    }
    #[test]
    fn work_of_one_search_is_limited() {
        // Permutations of one long word: only their distances show that they differ.
        let long = |shift: usize| -> String {
            let chars = (0..CHARS_MAX).map(|at| char::from(b'a' + ((at + shift) % 26) as u8));
            chars.collect()
        };
        let known: Vec<String> = (1..25).map(long).cycle().take(10_000).collect();
        let words = || known.iter().map(String::as_str);
        let mut pairs_left = CHAR_PAIRS_MAX;
        let word = long(0).replace('a', "b");
        assert_eq!(nearest_within(&word, words(), &mut pairs_left), None);
        assert!(pairs_left < CHARS_MAX * CHARS_MAX, "{pairs_left}");
        // Longer words, and words of other lengths or letters, need no distance.
        let mut pairs_left = 0;
        let longer = format!("{}x", long(0));
        let known = [longer.as_str(), "ab", "xyz"];
        assert_eq!(
            nearest_within(&longer.to_uppercase(), known, &mut pairs_left),
            Some(&*longer)
        );
        assert_eq!(
            nearest_within(&format!("{longer}y"), known, &mut pairs_left),
            None
        );
        assert_eq!(nearest_within("abcdefgh", known, &mut pairs_left), None);
    }

    #[test]
    fn letters_bound_the_distance_from_below() {
        let words = [
            "",
            "a",
            "ab",
            "ba",
            "abc",
            "rate_limit",
            "limit_rate",
            "rate",
            "éa",
            "aaa",
        ];
        for one in words {
            for other in words {
                let bound = Folded::of(one).differing(&Folded::of(other));
                let distance = strsim::damerau_levenshtein(one, other);
                assert!(bound <= distance, "{one} {other}: {bound} {distance}");
            }
        }
    }
}
