//! Checks that citations of documents in the sources (`release.md §6`, `plan.md, *Classes*`)
//! resolve to pages and headings in `docs/`, `docs/internals/` or the root of the repository.
//! Sources are Rust code, cases, scripts, workflows and the Makefile.

use std::path::{Path, PathBuf};

/// Document names that the test ignores: documents of other projects, and files that programs
/// write.
const ELSEWHERE: [&str; 10] = [
    "comment.md",
    "summary.md",
    "posted.md",
    "load-report.md",
    // Documents of the OCI specifications.
    "spec.md",
    "manifest.md",
    "image-layout.md",
    // Document of the DSSE specification.
    "protocol.md",
    // File names of a public project's template, which a test contains.
    "_Different_requestbody.md",
    "_Different_parameters.md",
];

/// Citation of a document, with an optional section number and heading.
#[derive(Debug, PartialEq, Eq)]
struct Citation {
    page: String,
    section: Option<String>,
    heading: Option<String>,
}

/// Joins the lines of a source into one line. Comment markers and line breaks become spaces.
fn flat(text: &str) -> String {
    let mut flat = String::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.trim_start_matches(['/', '#']).trim_start_matches('!');
        flat.push_str(line.trim_start());
        flat.push(' ');
    }
    flat
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// All citations in the joined text of a source. Ignores a document name after `/` or `.`, which is
/// part of a path.
fn citations(flat: &str) -> Vec<Citation> {
    let mut found = Vec::new();
    for (at, _) in flat.match_indices(".md") {
        let rest = &flat[at + 3..];
        if rest.bytes().next().is_some_and(is_name) {
            continue;
        }
        let head = &flat.as_bytes()[..at];
        let start = at - head.iter().rev().take_while(|byte| is_name(**byte)).count();
        let before = start.checked_sub(1).map(|before| head[before]);
        if start == at || matches!(before, Some(b'/' | b'.' | b'$' | b'{' | b'}')) {
            continue;
        }
        let (section, rest) = match rest.strip_prefix(" §") {
            Some(rest) => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                (Some(rest[..digits].to_owned()), &rest[digits..])
            }
            None => (None, rest),
        };
        let heading = rest
            .strip_prefix(", *")
            .and_then(|rest| rest.split_once('*'))
            .map(|(heading, _)| heading.to_owned());
        found.push(Citation {
            page: flat[start..at + 3].to_owned(),
            section,
            heading,
        });
    }
    found
}

/// True if a page has the cited section and heading. A heading is a Markdown heading, or bold text
/// at the beginning of a paragraph.
fn has(page: &str, citation: &Citation) -> bool {
    let section = citation.section.as_ref().is_none_or(|section| {
        page.lines().any(|line| {
            line.strip_prefix("## ")
                .is_some_and(|line| line.split(' ').next() == Some(section))
        })
    });
    let heading = citation.heading.as_ref().is_none_or(|heading| {
        page.lines().any(|line| {
            line.trim_start_matches('#').trim() == heading
                || line.starts_with(&format!("**{heading}**"))
        })
    });
    section && heading
}

/// Collects the sources below a folder: files with one of the known extensions, and scripts, which
/// have no extension.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy());
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default();
            if name != "target" && name != "corpus" && name != "artifacts" {
                sources(&path, found);
            }
        } else if extension.is_none_or(|known| {
            matches!(&*known, "rs" | "http" | "py" | "sh" | "yml" | "js" | "mjs")
        }) {
            found.push(path);
        }
    }
}

#[test]
fn citations_of_documents_resolve() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in [
        "gwc/src",
        "gwc/tests",
        "gwd/src",
        "gwd/tests",
        "crates",
        "tests/src",
        "tests/tests",
        "tests/cases",
        "tests/mutations",
        "tests/peers",
        "bench",
        "demo",
        "fuzz",
        ".github",
    ] {
        sources(&root.join(folder), &mut files);
    }
    files.extend(["Makefile", "tests/run", "tests/changed"].map(|file| root.join(file)));
    let mut sections = 0;
    let mut broken = Vec::new();
    for file in &files {
        // Skip the tests of references and links, because they contain sample citations.
        if file.ends_with("references.rs") || file.ends_with("links.rs") {
            continue;
        }
        // Files without an extension may be binary.
        let text = flat(&String::from_utf8_lossy(&std::fs::read(file).unwrap()));
        for citation in citations(&text) {
            if ELSEWHERE.contains(&citation.page.as_str()) {
                continue;
            }
            sections += usize::from(citation.section.is_some() || citation.heading.is_some());
            let known = ["docs/internals", "docs", "."].iter().any(|folder| {
                std::fs::read_to_string(root.join(folder).join(&citation.page))
                    .is_ok_and(|page| has(&page, &citation))
            });
            if !known {
                broken.push(format!("{}: {citation:?}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(sections > 80, "only {sections} citations were found");
}

#[test]
fn citation_over_two_lines_is_found() {
    let text =
        "//! Pools (data-plane.md\n//! §7), classes\n/// (plan.md, *Classes*) and `docs/x.md`.";
    let citation = |page: &str, section: Option<&str>, heading: Option<&str>| Citation {
        page: page.to_owned(),
        section: section.map(str::to_owned),
        heading: heading.map(str::to_owned),
    };
    assert_eq!(
        citations(&flat(text)),
        [
            citation("data-plane.md", Some("7"), None),
            citation("plan.md", None, Some("Classes")),
        ]
    );
    assert!(!has(
        "# Page\n## 1 One\n",
        &citation("a.md", Some("7"), None)
    ));
    assert!(has(
        "**Templates** compare",
        &citation("a.md", None, Some("Templates"))
    ));
}
