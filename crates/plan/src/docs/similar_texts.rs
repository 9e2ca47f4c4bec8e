//! Pairs of an old and a new text of schemas that are versions of one text.
//!
//! Names of schemas have no meaning, so that a text has no place by which it could be found on the
//! other side. Texts that share most of their words count as versions of one text.

use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of texts that contain a word by which pairs are found. More frequent words, such
/// as `the`, find no pairs, but count for the similarity.
const HOLDERS_MAX: usize = 64;

/// Pairs each old text with the most similar new text. A text without a similar one stands alone.
/// Pairs come first, in the order of the old texts, then the other old texts, then the other new
/// texts.
pub(super) fn paired<'t>(
    old: &[&'t str],
    new: &[&'t str],
) -> Vec<(Option<&'t str>, Option<&'t str>)> {
    let old_words: Vec<BTreeSet<&str>> = old.iter().map(|text| words(text)).collect();
    let new_words: Vec<BTreeSet<&str>> = new.iter().map(|text| words(text)).collect();
    let mut found = similar(&old_words, &new_words);
    // The most similar ones first. Equal ones are ordered by the texts' positions.
    found.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut partner: Vec<Option<usize>> = vec![None; old.len()];
    let mut is_taken = vec![false; new.len()];
    for (_, before, after) in found {
        if partner[before].is_none() && !is_taken[after] {
            partner[before] = Some(after);
            is_taken[after] = true;
        }
    }
    let pairs = old.iter().zip(&partner);
    let pairs = pairs.filter_map(|(text, after)| Some((Some(*text), Some(new[(*after)?]))));
    let gone = old
        .iter()
        .zip(&partner)
        .filter(|(_, after)| after.is_none());
    let gone = gone.map(|(text, _)| (Some(*text), None));
    let come = new.iter().zip(&is_taken).filter(|(_, taken)| !**taken);
    let come = come.map(|(text, _)| (None, Some(*text)));
    pairs.chain(gone).chain(come).collect()
}

/// Pairs of texts of which at least half of all words are in both: the share of these words in
/// thousandths, and the positions of the texts.
fn similar(old: &[BTreeSet<&str>], new: &[BTreeSet<&str>]) -> Vec<(usize, usize, usize)> {
    let mut holders: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (after, words) in new.iter().enumerate() {
        for word in words {
            holders.entry(word).or_default().push(after);
        }
    }
    let mut found = Vec::new();
    for (before, words) in old.iter().enumerate() {
        let own = words.iter().filter_map(|word| holders.get(word));
        let rare = own.filter(|holders| holders.len() <= HOLDERS_MAX);
        let candidates: BTreeSet<usize> = rare.flatten().copied().collect();
        for after in candidates {
            let common = words.intersection(&new[after]).count();
            let all = words.len() + new[after].len() - common;
            if common * 2 >= all {
                found.push((common * 1000 / all, before, after));
            }
        }
    }
    found
}

/// Words of a text, without the punctuation around them.
fn words(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_of_a_text_are_paired() {
        let old = vec![
            "Amount of the refund.",
            "Id of the charge",
            "Time of creation",
        ];
        let new = vec![
            "A list of webhooks",
            "Amount of a refund.",
            "Id of the charge, as text",
        ];
        assert_eq!(
            paired(&old, &new),
            [
                (Some("Amount of the refund."), Some("Amount of a refund.")),
                (Some("Id of the charge"), Some("Id of the charge, as text")),
                (Some("Time of creation"), None),
                (None, Some("A list of webhooks")),
            ]
        );
    }

    #[test]
    fn each_text_has_one_partner() {
        let pairs = paired(&["a b c", "a b c d"], &["a b c d e"]);
        let expected = [(Some("a b c d"), Some("a b c d e")), (Some("a b c"), None)];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn many_texts_with_a_common_word_are_paired_in_time() {
        let texts = |side: &str| -> Vec<String> {
            (0..20_000)
                .map(|number| format!("the {side} number n{number}"))
                .collect()
        };
        let (old, new) = (texts("old"), texts("new"));
        let old: Vec<&str> = old.iter().map(String::as_str).collect();
        let new: Vec<&str> = new.iter().map(String::as_str).collect();
        let pairs = paired(&old, &new);
        assert_eq!(pairs.len(), 20_000);
        assert_eq!(
            pairs[7],
            (Some("the old number n7"), Some("the new number n7"))
        );
    }
}
