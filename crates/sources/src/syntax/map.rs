//! Unique keys of maps, in YAML and JSON.

use std::collections::HashMap;

use diag::tree::Entry;
use diag::{Diagnostic, Sink};

use super::lints::DUPLICATE_MAP_KEY;

/// Maximum number of keys that are compared pairwise. Larger maps use a hash table.
const FEW: usize = 12;

/// Reports duplicate keys. Keeps the first entry of each key.
pub(super) fn unique(entries: Vec<Entry>, sink: &mut Sink) -> Vec<Entry> {
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    let mut again: Vec<(usize, usize)> = Vec::new();
    if entries.len() <= FEW {
        for (index, entry) in entries.iter().enumerate().skip(1) {
            let first = entries[..index]
                .iter()
                .position(|before| before.key == entry.key);
            again.extend(first.map(|first| (first, index)));
        }
    } else {
        for (index, entry) in entries.iter().enumerate() {
            match first_of.get(&*entry.key) {
                Some(first) => again.push((*first, index)),
                None => drop(first_of.insert(&entry.key, index)),
            }
        }
    }
    if again.is_empty() {
        return entries;
    }
    for (first, second) in &again {
        let (first, second) = (&entries[*first], &entries[*second]);
        sink.push(
            Diagnostic::new(
                &DUPLICATE_MAP_KEY,
                second.key_span,
                format!(
                    "the key `{}` occurs twice in one map",
                    diag::suggest::shown(&second.key)
                ),
            )
            .label("again here")
            .related(first.key_span, "first here")
            .help("remove one of the two, or merge them"),
        );
    }
    let mut again = again.into_iter().map(|(_, second)| second).peekable();
    let keep = |(index, entry)| match again.next_if_eq(&index) {
        Some(_) => None,
        None => Some(entry),
    };
    entries.into_iter().enumerate().filter_map(keep).collect()
}
