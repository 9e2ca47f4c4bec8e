//! Checks of the imports between the modules of each crate. `tests/modules.tsv` lists the imports
//! between top-level modules. The list includes imports through the crate's root (`crate::Item` for
//! an item that `lib.rs` re-exports). To allow a new import, run with `GWC_UPDATE=1`, read the
//! diff, and give the reason in the commit. A cycle of top-level modules fails in every crate.
//!
//! `tests/cycles.tsv` lists the cycles one level deeper (`upstream::pool`). Cycles may be removed
//! from that list, but not added.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const CRATES: [&str; 17] = [
    "crates/bundle",
    "crates/diag",
    "crates/engine",
    "crates/fault",
    "crates/http1",
    "crates/lsp",
    "crates/model",
    "crates/openapi",
    "crates/plan",
    "crates/policy",
    "crates/prerequisite",
    "crates/registry",
    "crates/sources",
    "crates/validator",
    "crates/vocab",
    "gwc",
    "gwd",
];

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Path of a module or an item: `["upstream", "pool", "Pool"]`.
type Segments = Vec<String>;

/// Source file of a crate, without comments and unit tests.
struct SourceFile {
    /// Path of the file's module, without the crate name.
    module: Segments,
    /// Paths that the file names, from the crate's root. Only modules and items of the same crate.
    names: BTreeSet<Segments>,
    /// Re-exported names, each with the path of the original item.
    exports: BTreeMap<String, Segments>,
}

/// Finds the source files of a crate, with `lib.rs` and `main.rs` as the root.
fn source_files(src: &Path) -> Vec<SourceFile> {
    let mut texts: Vec<(Segments, String)> = Vec::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let is_tests = path.file_stem().is_some_and(|name| name == "tests");
            if path.is_dir() && !is_tests {
                folders.push(path);
            } else if path.extension().is_some_and(|name| name == "rs") && !is_tests {
                let module = module_of(path.strip_prefix(src).unwrap());
                texts.push((module, code(&std::fs::read_to_string(&path).unwrap())));
            }
        }
    }
    let modules: BTreeSet<Segments> = texts.iter().map(|(module, _)| module.clone()).collect();
    let file = |(module, text): (Segments, String)| source_file(module, &text, &modules);
    texts.into_iter().map(file).collect()
}

/// Module path of a source file below `src`.
fn module_of(inside: &Path) -> Segments {
    let mut parts: Segments = inside
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let root = parts.len() == 1 && ["lib", "main"].contains(&parts[0].as_str());
    if root || parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// Code of a file, without comment lines and without the unit tests at the end. Unit tests may
/// import anything.
fn code(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let mut out = String::new();
    let mut lines = text.lines().filter(is_code).peekable();
    while let Some(line) = lines.next() {
        let is_tests = lines.peek().is_some_and(|next| {
            let next = next.strip_prefix("pub").map_or(*next, |rest| {
                let after = rest.find(" mod ").map(|at| &rest[at + 1..]);
                after.unwrap_or(rest)
            });
            next == "mod tests {"
        });
        if line == "#[cfg(test)]" && is_tests {
            break;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

fn source_file(module: Segments, text: &str, modules: &BTreeSet<Segments>) -> SourceFile {
    let mut names = BTreeSet::new();
    let mut exports = BTreeMap::new();
    let is_module = |name: &str| {
        let mut child = module.clone();
        child.push(name.to_owned());
        modules.contains(&child)
    };
    for (at, word) in words(text) {
        let before = text[..at].trim_end();
        // `$crate::` in a macro refers to another crate, and `a::b` continues a path.
        if before.ends_with('$') || before.ends_with("::") {
            continue;
        }
        let rest = &text[at + word.len()..];
        if !rest.starts_with("::") || !(is_keyword(word) || is_module(word)) {
            continue;
        }
        let is_export = exported(before);
        let mut paths = Vec::new();
        tree(&text[at..], &[], &mut paths);
        for (path, alias) in paths {
            let Some(path) = from_root(&module, &path) else {
                continue;
            };
            if is_export && let Some(last) = alias.as_ref().or(path.last()) {
                exports.insert(last.clone(), path.clone());
            }
            names.insert(path);
        }
    }
    SourceFile {
        module,
        names,
        exports,
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "crate" | "super" | "self")
}

/// True if the text before a path ends with `pub use` or `pub(…) use`.
fn exported(before: &str) -> bool {
    let Some(before) = before.strip_suffix("use") else {
        return false;
    };
    let line = before.rsplit(['\n', ';', '}']).next().unwrap_or_default();
    line.trim().starts_with("pub")
}

/// Identifiers in a text, with their byte offsets.
fn words(text: &str) -> Vec<(usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, is_part(c)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push((from, &text[from..at]));
                start = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    found
}

/// Parses a use tree or a path expression at the start of `text`. Adds each path to `found`, with
/// its alias. Returns the text after the tree.
fn tree<'t>(
    text: &'t str,
    before: &[String],
    found: &mut Vec<(Segments, Option<String>)>,
) -> &'t str {
    let mut path = before.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(list) = rest.strip_prefix('{') {
            rest = list.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                let length = rest.len();
                rest = tree(rest, &path, found).trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
                if rest.len() == length {
                    return rest;
                }
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let word = &rest[..end.unwrap_or(rest.len())];
        if word.is_empty() {
            break;
        }
        if word != "self" || path.is_empty() {
            path.push(word.to_owned());
        }
        rest = &rest[word.len()..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => break,
        }
    }
    let alias = rest.trim_start().strip_prefix("as ").map(|after| {
        let (_, name) = words(after)[0];
        rest = &after[after.find(name).unwrap() + name.len()..];
        name.to_owned()
    });
    found.push((path, alias));
    rest
}

/// Converts a path in `module` to a path from the crate's root. `None` if the path leads out of the
/// crate.
fn from_root(module: &[String], path: &[String]) -> Option<Segments> {
    let (first, mut rest) = path.split_first()?;
    let mut base = module.to_vec();
    match first.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            base.pop()?;
            while let Some(("super", after)) = rest.split_first().map(|(a, b)| (a.as_str(), b)) {
                base.pop()?;
                rest = after;
            }
        }
        child => base.push(child.to_owned()),
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

/// Imports between modules whose paths have at most `depth` segments. A deeper module counts as its
/// ancestor at this depth. The crate's root is not a module.
fn arrows(src: &Path, depth: usize) -> Arrows {
    let files = source_files(src);
    let modules: BTreeSet<&Segments> = files.iter().map(|file| &file.module).collect();
    let exports: BTreeMap<&Segments, &BTreeMap<String, Segments>> = files
        .iter()
        .map(|file| (&file.module, &file.exports))
        .collect();
    let mut arrows = Arrows::new();
    for file in files.iter().filter(|file| !file.module.is_empty()) {
        let own = node(&file.module, depth);
        let others = arrows.entry(own.clone()).or_default();
        let owners = file
            .names
            .iter()
            .map(|path| node(&owner(path, &modules, &exports), depth));
        others.extend(owners.filter(|other| !other.is_empty() && *other != own));
    }
    arrows
}

fn node(module: &[String], depth: usize) -> String {
    module[..module.len().min(depth)].join("::")
}

/// Module that defines an item: the longest prefix of the item's path that is a module. For a
/// re-exported item, the module of the original item.
fn owner(
    path: &[String],
    modules: &BTreeSet<&Segments>,
    exports: &BTreeMap<&Segments, &BTreeMap<String, Segments>>,
) -> Segments {
    let mut path = path.to_vec();
    // The original of a re-export may itself be a re-export.
    for _ in 0..8 {
        let length = (0..=path.len())
            .rev()
            .find(|length| modules.contains(&path[..*length].to_vec()));
        let (module, item) = path.split_at(length.unwrap_or_default());
        let export = item.first().and_then(|item| {
            let of_module = exports.get(&module.to_vec())?;
            of_module.get(item)
        });
        match export {
            Some(target) if target[..] != path[..] => path = target.clone(),
            _ => return module.to_vec(),
        }
    }
    path
}

/// Sets of modules that import each other, directly or indirectly. Each set is a cycle.
fn cycles(arrows: &Arrows) -> Vec<BTreeSet<String>> {
    let reach = |start: &String| {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<&String> = arrows[start].iter().collect();
        while let Some(module) = waiting.pop() {
            if seen.insert(module.clone()) {
                waiting.extend(&arrows[module]);
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = arrows
        .keys()
        .map(|module| (module, reach(module)))
        .collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (module, seen) in &reached {
        let cycle: BTreeSet<String> = seen
            .iter()
            .filter(|other| reached[other].contains(*module))
            .cloned()
            .collect();
        if !cycle.is_empty() && !found.contains(&cycle) {
            found.push(cycle);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn table() -> String {
    let mut table = String::from(
        "# Top-level modules of each crate and the modules that they name. See tests/modules.rs.\n",
    );
    for name in CRATES {
        for (module, others) in &arrows(&root().join(name).join("src"), 1) {
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            let _ = writeln!(table, "{name}\t{module}\t{}", others.join(" "));
        }
    }
    table
}

#[test]
fn arrows_between_modules_are_those_listed() {
    let file = root().join("tests/modules.tsv");
    let found = table();
    if std::env::var_os("GWC_UPDATE").is_some() {
        std::fs::write(&file, &found).unwrap();
        return;
    }
    let listed = std::fs::read_to_string(&file).unwrap();
    let (listed, found): (BTreeSet<&str>, BTreeSet<&str>) =
        (listed.lines().collect(), found.lines().collect());
    let more: Vec<_> = found.difference(&listed).collect();
    let less: Vec<_> = listed.difference(&found).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "found but not listed: {more:#?}\nlisted but not found: {less:#?}\n\
         write the list anew with GWC_UPDATE=1 cargo test -p e2e --test modules"
    );
}

#[test]
fn no_crate_has_a_cycle_of_imports() {
    for name in CRATES {
        let cycles = cycles(&arrows(&root().join(name).join("src"), 1));
        assert!(cycles.is_empty(), "{name}: {cycles:?}");
    }
}

/// First lines of `tests/cycles.tsv`.
const CYCLES_HEAD: &str = "# Modules of the second level that import each other, a cycle per line. \
The list only shrinks. See tests/modules.rs.\n";

#[test]
fn cycles_of_the_second_level_only_shrink() {
    let file = root().join("tests/cycles.tsv");
    let listed = std::fs::read_to_string(&file).unwrap();
    let rows = listed.lines().filter(|line| !line.starts_with('#'));
    let allowed: Vec<(&str, BTreeSet<String>)> = rows
        .filter_map(|row| row.split_once('\t'))
        .map(|(name, cycle)| (name, cycle.split(' ').map(str::to_owned).collect()))
        .collect();
    let mut found = String::from(CYCLES_HEAD);
    for name in CRATES {
        for cycle in cycles(&arrows(&root().join(name).join("src"), 2)) {
            let mut of_crate = allowed.iter().filter(|(of, _)| *of == name);
            assert!(
                of_crate.any(|(_, allowed)| cycle.is_subset(allowed)),
                "{name} has a new or larger cycle of imports: {cycle:?}"
            );
            let cycle: Vec<&str> = cycle.iter().map(String::as_str).collect();
            let _ = writeln!(found, "{name}\t{}", cycle.join(" "));
        }
    }
    if std::env::var_os("GWC_UPDATE").is_some() {
        std::fs::write(&file, &found).unwrap();
        return;
    }
    assert!(
        listed == found,
        "cycles became smaller: update the list with GWC_UPDATE=1 cargo test -p e2e --test modules"
    );
}

/// Modules that define the names in a source text. The text belongs to `module`, in a test crate
/// with the modules `a`, `a::x`, `b` and others.
fn owners_of(module: &[&str], text: &str) -> BTreeSet<String> {
    let path = |text: &str| -> Segments { text.split("::").map(str::to_owned).collect() };
    let mut modules: BTreeSet<Segments> =
        ["a", "a::x", "b", "c", "e", "g", "i", "j"].map(path).into();
    modules.insert(Segments::new());
    let own: Segments = module.iter().map(|&part| part.to_owned()).collect();
    let root = source_file(
        Segments::new(),
        "pub use i::{self, Item, Old as New};\npub(crate) use a::Deep;\n",
        &modules,
    );
    let parent = source_file(path("a"), "pub use x::Deep;\n", &modules);
    let file = source_file(own, &code(text), &modules);
    let known: BTreeSet<&Segments> = modules.iter().collect();
    let exports = BTreeMap::from([
        (&root.module, &root.exports),
        (&parent.module, &parent.exports),
    ]);
    let names = file.names.iter();
    let owners = names.map(|path| owner(path, &known, &exports).join("::"));
    owners.filter(|owner| !owner.is_empty()).collect()
}

#[test]
fn imports_through_the_root_are_found() {
    for (module, text, expected) in [
        (
            &["a"][..],
            "use crate::{b::{x, y}, c};\n// crate::d",
            &["b", "c"][..],
        ),
        (&["a"], "fn f() { crate::e::g() }", &["e"]),
        (
            &["a"],
            "use super::{g::h, i};\nuse super::super::j;",
            &["g", "i"],
        ),
        (
            &["a", "x"],
            "use super::{g::h};\nuse super::super::j;",
            &["a", "j"],
        ),
        (&["b"], "use crate::{Item, New};", &["i"]),
        (&["b"], "use super::Item as Other;", &["i"]),
        (&["b"], "use crate::Deep;", &["a::x"]),
        (&["b"], "use crate::a::Deep;", &["a::x"]),
        (&["b"], "use crate::Unknown;", &[]),
        (&["a"], "fn f() { x::g(); self::x::h() }", &["a::x"]),
        (
            &["b"],
            "#[cfg(test)]\npub(crate) mod tests {\nuse crate::c;",
            &[],
        ),
    ] {
        let expected: BTreeSet<String> = expected.iter().map(|&one| one.to_owned()).collect();
        assert_eq!(owners_of(module, text), expected, "{module:?} {text}");
    }
}

#[test]
fn cycle_of_two_modules_is_found() {
    let arrows = Arrows::from([
        ("a".to_owned(), BTreeSet::from(["b".to_owned()])),
        (
            "b".to_owned(),
            BTreeSet::from(["a".to_owned(), "c".to_owned()]),
        ),
        ("c".to_owned(), BTreeSet::new()),
    ]);
    let both: BTreeSet<String> = ["a", "b"].map(str::to_owned).into();
    assert_eq!(cycles(&arrows), [both]);
}
