//! Tests of gwc's YAML parser against two other parsers, for every document of the corpus and for
//! generated documents. libyaml-safer is a port of libyaml to Rust; saphyr-parser implements YAML
//! 1.2.
//!
//! The other parsers only return events. The tests convert the events to values (core schema, merge
//! keys, repeated keys) with an independent implementation of YAML 1.2 §10.3.2.

mod document;
mod events;

use std::path::{Path, PathBuf};

use crate::random::Random;
use crate::value::{difference, ours};
use events::{libyaml, saphyr, tree};
use prerequisite::corpus;

/// Third-party parser: its name, and the function that returns the events of a text or an error.
type Peer = (&'static str, fn(&str) -> Result<Vec<events::Event>, String>);

const PEERS: [Peer; 2] = [("libyaml", libyaml), ("saphyr", saphyr)];

/// Documents of the corpus that another parser reads wrongly: end of the path, parser, beginning of
/// the reported difference, reason.
const CORPUS: &[(&str, &str, &str, &str)] = &[(
    "mermade-3.0/fail/OAI/api-with-examples.yaml",
    "saphyr",
    ": it refuses the text: invalid indentation",
    "a `}` of a flow map stands in its key's column; libyaml and what people publish allow it",
)];

/// Texts that another parser is known to read wrongly: parser, text, correct value as JSON, and
/// explanation of the error.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &str, &str)] = &[
    ("saphyr", "\"\\ud83d\\ude00\"", "\"😀\"", "refuses an escaped surrogate pair, which JSON writes (RFC 8259 §7) and YAML takes over"),
    ("libyaml", "\"\\ud83d\\ude00\"", "\"😀\"", "the same"),
    ("libyaml", "- \t# c\n- -\t# c\n", "[null, [null]]", "refuses a tab before a comment where a value might come (YAML 1.2 §6.7)"),
    ("saphyr", "a:\tb\n", "{\"a\": \"b\"}", "refuses a tab between key and value, which is white space (YAML 1.2 §6.2)"),
];

#[test]
fn documents_of_the_corpus_agree_with_two_parsers() {
    let root = corpus::folder();
    let full = prerequisite::is_full();
    let mut files = Vec::new();
    for folder in ["specs", "conformance", "broken", "oasdiff", "history"] {
        let history = folder == "history";
        documents(&root.join(folder), &mut files, history && !full);
    }
    files.sort();
    let mut compared = 0;
    let failures = sources::parallel::map(files.clone(), |path| {
        let text = std::fs::read_to_string(&path).ok()?;
        let shown = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string();
        Some(compare(&shown, &text))
    });
    let mut wrong = Vec::new();
    for found in failures.into_iter().flatten() {
        match found {
            Ok(count) => compared += count,
            Err(failures) => wrong.extend(failures),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} documents, {compared} comparisons", files.len());
    assert!(compared > 6_000, "{compared}");
}

/// Compares gwc with each other parser for one text. Returns the number of equal values, or the
/// differences.
fn compare(shown: &str, text: &str) -> Result<usize, Vec<String>> {
    let ours = ours("a.yaml", text);
    let mut failures = Vec::new();
    let mut equal = 0;
    for (name, events) in PEERS {
        let known = |failure: &str| {
            let mut cases = CORPUS.iter();
            cases.any(|(path, peer, begin, _)| {
                shown.ends_with(path) && *peer == name && failure.starts_with(begin)
            })
        };
        let difference = match (&ours, events(text).and_then(|events| tree(&events))) {
            (Ok(ours), Ok(theirs)) => difference(ours, &theirs),
            (Ok(_), Err(error)) => Some(format!(": it refuses the text: {error}")),
            (Err(findings), Ok(_)) => Some(format!(": we find {findings:?}, it finds nothing")),
            (Err(_), Err(_)) => None,
        };
        match difference {
            None => equal += 1,
            Some(difference) if known(&difference) => {}
            Some(difference) => failures.push(format!("{shown}: {name} {difference}")),
        }
    }
    if failures.is_empty() {
        Ok(equal)
    } else {
        Err(failures)
    }
}

/// Collects the YAML and JSON documents of a folder. `few`: true to collect only the first document
/// of each folder.
pub(crate) fn documents(folder: &Path, files: &mut Vec<PathBuf>, few: bool) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder of the corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    let mut taken = 0;
    for path in entries {
        if path.is_dir() {
            documents(&path, files, few);
            continue;
        }
        let extension = path.extension().and_then(|text| text.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) && !(few && taken > 0) {
            taken += 1;
            files.push(path);
        }
    }
}

#[test]
fn generated_documents_agree_with_two_parsers() {
    let count = if prerequisite::is_full() {
        100_000
    } else {
        2_000
    };
    let mut read = 0;
    let mut wrong = Vec::new();
    for seed in 0..count {
        let text = document::generate(&mut Random::new(seed));
        match compare("generated", &text) {
            Ok(_) if ours("a.yaml", &text).is_err() => {
                wrong.push(format!("seed {seed}: nobody reads {text:?}"))
            }
            Ok(equal) => read += equal,
            Err(failures) => wrong.push(format!("seed {seed}: {failures:?}\n{text:?}\n{text}")),
        }
    }
    let shown = wrong.iter().take(3).map(String::as_str);
    let shown: Vec<&str> = shown.collect();
    assert!(
        wrong.is_empty(),
        "{} of {count} differ\n{}",
        wrong.len(),
        shown.join("\n")
    );
    assert!(read > 0);
}

#[test]
fn gwc_is_right_where_another_parser_is_wrong() {
    for (name, text, expected, why) in WRONG {
        let (_, events) = PEERS.iter().find(|(peer, _)| peer == name).expect("a peer");
        let theirs = events(text).and_then(|events| tree(&events));
        let ours = ours("a.yaml", text).expect(text);
        assert_eq!(format!("{ours:?}"), *expected, "{text:?}");
        assert_ne!(
            theirs.as_ref(),
            Ok(&ours),
            "{name} is right by now ({why}): remove the case {text:?}"
        );
    }
}
