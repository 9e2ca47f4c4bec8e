//! Checks of lengths. A Rust file has at most [`LINES_MAX`] lines, because a longer file has more
//! than one purpose. A function of the product has at most [`FUNCTION_LINES_MAX`] lines, unless
//! `tests/long_functions.tsv` lists the function. Functions may be removed from this list, but not
//! added.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 700;

/// Maximum number of lines of a function, from its name to its closing brace.
const FUNCTION_LINES_MAX: usize = 80;

/// Functions that fit on one screen, because readers begin with them: at most 60 lines.
const OF_ONE_SCREEN: [(&str, &str); 1] = [("gwd/src/proxy/exchange.rs", "exchange")];

/// Collects the files of Rust code below a folder, without build products and hidden folders.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && !path.is_symlink() {
                rust_files(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_file_is_longer_than_700_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 500, "only {} files found", files.len());
    let mut long = Vec::new();
    for file in files {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        if lines > LINES_MAX {
            long.push(format!("{}: {lines} lines", file.display()));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// Names and line counts of the functions in a formatted file, without unit tests.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_tests =
            |next: &&str| next.starts_with("mod tests") || next.ends_with(" mod tests {");
        if *line == "#[cfg(test)]" && lines.get(at + 1).is_some_and(is_tests) {
            break;
        }
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let close = format!("{indent}}}");
        let rest = lines[at..].iter();
        // A declaration without a body, or a body on one line, ends at its first line.
        let is_short = line.ends_with(';') || line.ends_with('}');
        let end = rest.clone().position(|line| **line == close);
        let declared = rest.clone().position(|line| line.ends_with(");"));
        let has_body = lines[at..].iter().position(|line| line.ends_with('{'));
        let is_declaration = declared < has_body && declared.is_some();
        let length = match end {
            Some(end) if !is_short && !is_declaration => end + 1,
            _ => 1,
        };
        found.push((name.to_owned(), length));
    }
    found
}

/// Name of the function whose definition begins in a line.
fn function_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let at = match line.strip_prefix("fn ") {
        Some(_) => 0,
        None => line.find(" fn ")? + 1,
    };
    let modifiers = line[..at].split_whitespace();
    let is_modifier = |word: &str| {
        ["async", "const", "unsafe", "extern", "\"C\""].contains(&word) || word.starts_with("pub")
    };
    if !modifiers.into_iter().all(is_modifier) {
        return None;
    }
    let rest = &line[at + 3..];
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    (end > 0).then(|| &rest[..end])
}

/// True for a product file: a file below `src` that is not part of a test.
fn is_product(inside: &str) -> bool {
    let of_crate = inside.starts_with("crates/")
        || inside.starts_with("gwc/src/")
        || inside.starts_with("gwd/src/");
    let is_test = inside.split(['/', '.']).any(|part| part == "tests");
    of_crate && inside.contains("/src/") && !is_test && !inside.contains("/crates/prerequisite/")
}

#[test]
fn functions_longer_than_80_lines_only_shrink() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = root.join("tests/long_functions.tsv");
    let listed = std::fs::read_to_string(&file).unwrap();
    let rows = listed.lines().filter(|line| !line.starts_with('#'));
    let allowed: BTreeMap<&str, usize> = rows
        .filter_map(|row| row.rsplit_once('\t'))
        .map(|(name, lines)| (name, lines.parse().unwrap()))
        .collect();
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    files.sort();
    let mut found = String::from(
        "# Functions of more than 80 lines. The list only shrinks. See tests/lengths.rs.\n",
    );
    let (mut count, mut longer) = (0, Vec::new());
    for path in files {
        let inside = path
            .strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        if !is_product(&inside) {
            continue;
        }
        for (name, lines) in functions(&std::fs::read_to_string(&path).unwrap()) {
            count += 1;
            if lines <= FUNCTION_LINES_MAX {
                continue;
            }
            let row = format!("{inside}\t{name}");
            let allowed = allowed
                .get(row.as_str())
                .copied()
                .unwrap_or(FUNCTION_LINES_MAX);
            if lines > allowed {
                longer.push(format!(
                    "`{name}` in {inside}: {lines} lines, more than {allowed}"
                ));
            }
            let _ = writeln!(found, "{row}\t{lines}");
        }
        assert!(longer.is_empty(), "give their steps names: {longer:#?}");
    }
    assert!(count > 5_000, "only {count} functions found");
    if std::env::var_os("GWC_UPDATE").is_some() {
        std::fs::write(&file, &found).unwrap();
        return;
    }
    assert!(
        listed == found,
        "functions became shorter: write the list anew with GWC_UPDATE=1 cargo test -p e2e --test \
         lengths"
    );
}

#[test]
fn functions_for_first_readers_fit_on_a_screen() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, name) in OF_ONE_SCREEN {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let found = functions(&text).into_iter().find(|one| one.0 == name);
        let (_, lines) = found.unwrap_or_else(|| panic!("no function {name} in {file}"));
        assert!(
            (10..=60).contains(&lines),
            "{file}: {name} has {lines} lines"
        );
    }
}

#[test]
fn length_of_a_function_is_counted_to_its_brace() {
    let text = "impl X {\n    pub(crate) async fn a(\n        self,\n    ) -> u8 {\n        1\n    }\n\
                \n    fn b(&self);\n    fn c(\n        &self,\n    );\n    fn d() {}\n}\n\
                #[cfg(test)]\nmod tests {\n    fn e() {\n    }\n}\n";
    let found = functions(text);
    let found: Vec<(&str, usize)> = found
        .iter()
        .map(|(name, lines)| (&**name, *lines))
        .collect();
    assert_eq!(found, [("a", 5), ("b", 1), ("c", 1), ("d", 1)]);
    assert_eq!(function_name("let x = is fn y(a)"), None);
}
