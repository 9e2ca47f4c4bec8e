//! Suggestions for misspelt words.

/// Returns the word of `known` that is nearest to `word`, if it is near enough.
///
/// The distance is Damerau–Levenshtein. Up to a third of the longer word may differ, at least one
/// character, but never the whole word: `b` does not suggest `a`. Letter case and the choice of `-`
/// or `_` are ignored. Returns `None` if two words are equally near, because an edit may use the
/// result. A word with a colon never suggests a word without a colon, because a value may follow
/// the colon.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    let word = fold(word);
    let known = known.into_iter();
    let known = known.filter(|candidate| !word.contains(':') || candidate.contains(':'));
    let near = known.filter_map(|candidate| {
        let folded = fold(candidate);
        let distance = strsim::damerau_levenshtein(&word, &folded);
        let length = word.chars().count().max(folded.chars().count());
        let allowed = (length / 3).max(1);
        (distance <= allowed && distance < length).then_some((distance, candidate))
    });
    let mut best: Option<(usize, &str)> = None;
    let mut tied = false;
    for (distance, candidate) in near {
        match best {
            Some((least, _)) if distance > least => {}
            Some((least, known)) if distance == least => tied |= known != candidate,
            Some(_) | None => (best, tied) = (Some((distance, candidate)), false),
        }
    }
    best.filter(|_| !tied).map(|(_, candidate)| candidate)
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
}
