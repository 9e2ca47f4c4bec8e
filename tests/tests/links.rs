//! Checks that links between the Markdown files of the repository resolve: the linked file exists
//! and contains the linked heading.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Collects the Markdown files below a folder, without build products.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let is_hidden = name.starts_with('.') && name != ".github";
            if name != "target" && name != "corpus" && !is_hidden && !path.is_symlink() {
                pages(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// Lines of a page that are not in code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Targets of the links in a page. Leaves out links to other sites.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in prose(text) {
        for (at, _) in line.match_indices("](") {
            let is_in_code = line[..at].matches('`').count() % 2 == 1;
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            if !is_in_code && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target);
            }
        }
    }
    found
}

/// Anchors that GitHub and GitLab create for the headings of a page.
fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut uses: HashMap<String, usize> = HashMap::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim();
        let mut anchor = String::new();
        for c in heading.chars().flat_map(char::to_lowercase) {
            match c {
                ' ' => anchor.push('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => anchor.push(c),
                _ => {}
            }
        }
        let earlier = uses.entry(anchor.clone()).or_default();
        found.push(match *earlier {
            0 => anchor,
            count => format!("{anchor}-{count}"),
        });
        *earlier += 1;
    }
    found
}

#[test]
fn links_of_pages_resolve() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().unwrap();
    let mut all = Vec::new();
    pages(&root, &mut all);
    let mut count = 0;
    let mut broken = Vec::new();
    for page in &all {
        let text = std::fs::read_to_string(page).unwrap();
        for link in links(&text) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                _ => page.parent().unwrap().join(file),
            };
            let is_known = match anchor {
                "" => target.exists(),
                anchor => std::fs::read_to_string(&target)
                    .is_ok_and(|text| anchors(&text).iter().any(|known| known == anchor)),
            };
            if !is_known {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(count > 100, "only {count} links were found");
}

#[test]
fn links_and_anchors_are_found() {
    let text = "# A `b`, c\n## X\n## X\n[one](a.md#x) `[no](b)` [site](https://a.test)\n\
                ```\n# code\n[no](c)\n```\n[two](<d.md>)";
    assert_eq!(anchors(text), ["a-b-c", "x", "x-1"]);
    assert_eq!(links(text), ["a.md#x", "<d.md>"]);
}
