//! Allowed imports between the top-level modules of each crate, listed in `tests/modules.tsv`. To
//! allow a new import, run with `GWC_UPDATE=1`, read the diff, and give the reason in the commit.
//! A cycle of imports fails in every crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

const CRATES: [&str; 15] = [
    "crates/bundle",
    "crates/diag",
    "crates/engine",
    "crates/fault",
    "crates/http1",
    "crates/model",
    "crates/openapi",
    "crates/plan",
    "crates/policy",
    "crates/prerequisite",
    "crates/sources",
    "crates/validator",
    "crates/vocab",
    "gwc",
    "gwd",
];

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Code of a file without comment lines. Paths of `super::` that lead to the crate's root are
/// replaced by `crate::`. `inside` is the path of the file below `src`.
fn from_root(text: &str, inside: &Path) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: String = text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
    let is_mod = inside.ends_with("mod.rs");
    let depth = inside.components().count() - usize::from(is_mod);
    let up = "super::".repeat(depth);
    let mut whole = String::new();
    let mut rest = code.as_str();
    while let Some(at) = rest.find(&up) {
        let (before, after) = (&rest[..at], &rest[at + up.len()..]);
        whole.push_str(before);
        let begins = !whole.ends_with(|last: char| last.is_alphanumeric() || "_:".contains(last));
        let ends = !after.starts_with("super::");
        whole.push_str(if begins && ends { "crate::" } else { &up });
        rest = after;
    }
    whole + rest
}

/// Names of modules after `crate::`.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, found_at) in code.match_indices("crate::") {
        // `$crate::` in a macro refers to another crate.
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + found_at.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            for part in top_level(list) {
                found.extend(word(part));
            }
        } else {
            found.extend(word(rest));
        }
    }
    found
}

/// Parts of `a, b::{c, d}, e}` between commas outside of inner braces.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(list[start..at].trim());
                return parts;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

fn word(text: &str) -> Option<String> {
    let end = text
        .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// Imports between the top-level modules below `src`, without the crate's root.
fn arrows(src: &Path) -> Arrows {
    let mut arrows = Arrows::new();
    let mut folders = vec![src.to_owned()];
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let inside = path.strip_prefix(src).unwrap();
            let first = inside.iter().next().unwrap().to_string_lossy();
            let module = first.trim_end_matches(".rs").to_owned();
            if matches!(module.as_str(), "lib" | "main") {
                continue;
            }
            // Unit tests at the end of a file may import anything.
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
            let code = from_root(text, inside);
            texts.entry(module).or_default().push_str(&code);
        }
    }
    for (module, text) in &texts {
        let mut others = named(text);
        others.retain(|other| other != module && texts.contains_key(other));
        arrows.insert(module.clone(), others);
    }
    arrows
}

/// Sets of modules that import each other, directly or indirectly.
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

fn table(root: &Path) -> String {
    let mut table = String::from(
        "# Top-level modules of each crate and the modules that they name. See tests/modules.rs.\n",
    );
    for name in CRATES {
        let arrows = arrows(&root.join(name).join("src"));
        for (module, others) in &arrows {
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            let _ = writeln!(table, "{name}\t{module}\t{}", others.join(" "));
        }
    }
    table
}

#[test]
fn arrows_between_modules_are_those_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = root.join("tests/modules.tsv");
    let found = table(&root);
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in CRATES {
        let cycles = cycles(&arrows(&root.join(name).join("src")));
        assert!(cycles.is_empty(), "{name}: {cycles:?}");
    }
}

#[test]
fn cycle_of_two_modules_is_found() {
    let text = "use crate::{b::{x, y}, c};\n// crate::d\nfn f() { crate::e::g() }\n\
                use super::{g::h, i};\nuse super::super::j;";
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let found = |file| named(&from_root(text, Path::new(file)));
    let (above, below): (BTreeSet<String>, BTreeSet<String>) = (
        names(&["b", "c", "e", "g", "i"]),
        names(&["b", "c", "e", "j"]),
    );
    assert_eq!(found("a.rs"), above);
    assert_eq!(found("a/mod.rs"), above);
    assert_eq!(found("a/x.rs"), below);
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
