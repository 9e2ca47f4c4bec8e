//! Checks of names and doc comments. Names of tests and titles of cases have at most
//! [`CHARACTERS_MAX`] characters. A paragraph of a doc comment begins with the thing that the
//! paragraph describes.

use std::path::{Path, PathBuf};

const CHARACTERS_MAX: usize = 50;

/// Words that name nothing. No paragraph of a doc comment begins with one of these words.
const EMPTY_WORDS: [&str; 9] = [
    "What", "Whether", "Who", "How", "Why", "It", "They", "Nobody", "Somebody",
];

/// Collects the files with an extension below a folder, without build products and hidden folders.
fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && !path.is_symlink() {
                files(&path, extension, found);
            }
        } else if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
}

/// Reads the files of the repository that have an extension.
fn texts(extension: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    files(&root, extension, &mut found);
    let text = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    };
    found.into_iter().map(text).collect()
}

/// Names of the functions with an attribute `#[test]` or `#[tokio::test…]`.
fn test_names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let line = line.strip_prefix("#[test] ").unwrap_or(line);
        let line = line.strip_prefix("async ").unwrap_or(line);
        if let Some(rest) = line.strip_prefix("fn ") {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            names.extend(is_test.then_some(name));
            is_test = false;
        }
    }
    names
}

/// Line numbers of the paragraphs of doc comments that begin with one of [`EMPTY_WORDS`].
fn empty_beginnings(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or(line.strip_prefix("//!"));
        let words = doc.unwrap_or_default().trim_start_matches([' ', '-', '*']);
        let first = words.split(|c: char| !c.is_alphabetic()).next();
        let begins = doc.is_some() && !is_inside;
        if begins && first.is_some_and(|first| EMPTY_WORDS.contains(&first)) {
            found.push(number);
        }
        is_inside = !words.is_empty();
    }
    found
}

#[test]
fn names_of_tests_are_short() {
    let mut count = 0;
    let mut long = Vec::new();
    for (path, text) in texts("rs") {
        for name in test_names(&text) {
            count += 1;
            if name.len() > CHARACTERS_MAX {
                long.push(format!("{}: {name}: {}", path.display(), name.len()));
            }
        }
    }
    assert!(count > 2_000, "only {count} tests found");
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn titles_of_cases_are_short() {
    let mut count = 0;
    let mut long = Vec::new();
    for (path, text) in texts("http") {
        for title in text.lines().filter_map(|line| line.strip_prefix("### ")) {
            count += 1;
            let length = title.chars().count();
            if length > CHARACTERS_MAX {
                long.push(format!("{}: {title}: {length}", path.display()));
            }
        }
    }
    assert!(count > 500, "only {count} cases found");
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn doc_comments_begin_with_their_thing() {
    let mut empty = Vec::new();
    for (path, text) in texts("rs") {
        let numbers = empty_beginnings(&text);
        empty.extend(
            numbers
                .iter()
                .map(|number| format!("{}:{number}", path.display())),
        );
    }
    assert!(empty.is_empty(), "{}", empty.join("\n"));
}

#[test]
fn beginnings_and_names_are_found() {
    let text = "/// What it is.\n///\n/// A thing. The next line\n/// How is inside.\nfn a() {}\n\
                \x20   //! - Whether\n#[test]\n#[cfg(unix)]\nfn one() {}\nfn two() {}\n#[test] fn three() {}\n\
                #[tokio::test(flavor = \"current_thread\")]\nasync fn four() {}\n";
    assert_eq!(empty_beginnings(text), [1, 6]);
    assert_eq!(test_names(text), ["one", "three", "four"]);
}
