//! Checks that a sentence in the documentation has at most [`WORDS_MAX`] words, also in tables and
//! lists. Longer sentences are hard to read for people whose second language is English.

use std::path::{Path, PathBuf};

const WORDS_MAX: usize = 30;

/// Collects the Markdown files below a folder.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Removes the prefix of a list item, such as `- ` or `1. `. `None` if the line is no list item.
fn list_item(line: &str) -> Option<&str> {
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let marker = match numbered.len() < line.len() {
        true => numbered.strip_prefix(". "),
        false => line.strip_prefix("- ").or(line.strip_prefix("* ")),
    };
    marker.map(str::trim_start)
}

/// Paragraphs, list items and table cells of a page, each with the number of its first line. Leaves
/// out headings, images, HTML and code blocks.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_code = false;
    let mut is_open = false;
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim().trim_start_matches("> ");
        if line.starts_with("```") {
            is_code ^= true;
            is_open = false;
            continue;
        }
        if is_code || line.is_empty() || line.starts_with(['#', '<', '!']) {
            is_open = false;
        } else if line.starts_with('|') {
            let cells = line.replace("\\|", "/");
            found.extend(
                cells
                    .split('|')
                    .map(|cell| (number, cell.trim().to_owned())),
            );
            is_open = false;
        } else if let Some(item) = list_item(line) {
            found.push((number, item.to_owned()));
            is_open = true;
        } else if is_open && let Some((_, last)) = found.last_mut() {
            last.push(' ');
            last.push_str(line);
        } else {
            found.push((number, line.to_owned()));
            is_open = true;
        }
    }
    found
}

/// Replaces each code span by one word without punctuation.
fn without_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(at, part)| if at % 2 == 1 { "code" } else { part });
    parts.collect()
}

/// Sentences of a paragraph, each with its number of words. A sentence ends at `.`, `?`, `!` or `:`
/// before white space.
fn sentences(paragraph: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    let text = without_code(paragraph);
    for word in text.split_whitespace() {
        words.push(word);
        let end = word.trim_end_matches(['"', ')', '*', '_', '”']);
        if end.ends_with(['.', '?', '!', ':']) {
            found.push(std::mem::take(&mut words));
        }
    }
    found.push(words);
    let count = |words: &[&str]| {
        let is_word = |word: &&&str| word.contains(char::is_alphanumeric);
        words.iter().filter(is_word).count()
    };
    let counted = found.iter().map(|words| (words.join(" "), count(words)));
    counted.collect()
}

#[test]
fn sentences_of_pages_are_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let names = ["README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY"];
    let mut files: Vec<_> = names.map(|name| root.join(format!("{name}.md"))).into();
    for folder in ["docs", "examples", "deploy"] {
        pages(&root.join(folder), &mut files);
    }
    let mut count = 0;
    let mut long = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (line, paragraph) in paragraphs(&text) {
            for (sentence, words) in sentences(&paragraph) {
                count += 1;
                if words > WORDS_MAX {
                    let place = file.strip_prefix(&root).unwrap().display();
                    long.push(format!("{place}:{line}: {words} words: {sentence}"));
                }
            }
        }
    }
    assert!(count > 10_000, "only {count} sentences found");
    assert!(
        long.is_empty(),
        "split these sentences (at most {WORDS_MAX} words):\n{}",
        long.join("\n")
    );
}

#[test]
fn words_of_sentences_are_counted() {
    let text = "# A title\nOne two\nthree. Four `five. six`!\n\n- An item\n  of a list: more\n\
                1. Another\n| a cell. b | c |\n```\ncode here\n```\n![An image](a.svg)\n";
    let found = paragraphs(text);
    let all = found
        .iter()
        .flat_map(|(line, paragraph)| {
            sentences(paragraph)
                .into_iter()
                .map(move |one| (*line, one.1))
        })
        .filter(|(_, words)| *words > 0);
    let expected = [
        (2, 3),
        (2, 2),
        (5, 5),
        (5, 1),
        (7, 1),
        (8, 2),
        (8, 1),
        (8, 1),
    ];
    assert_eq!(all.collect::<Vec<_>>(), expected);
}
