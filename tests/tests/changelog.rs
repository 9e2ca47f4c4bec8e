//! Form of CHANGELOG.md: versions with the newest first, the sections of Keep a Changelog in their
//! order, and entries of one line.

use std::path::Path;

const SECTIONS: [&str; 4] = ["Added", "Changed", "Fixed", "Security"];

/// Parses the heading of a version: its number, and its date. The date is `None` for an unreleased
/// version. Returns `None` if the heading has another form.
fn version(heading: &str) -> Option<([u32; 3], Option<&str>)> {
    let (number, date) = heading.strip_suffix(')')?.split_once(" (")?;
    let parts: Vec<u32> = number
        .split('.')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let is_date = |text: &str| {
        let mut parts = text.split('-').map(|part| (part.len(), part));
        let widths = [4, 2, 2].iter().all(|width| {
            let part = parts.next();
            part.is_some_and(|(length, part)| {
                length == *width && part.bytes().all(|byte| byte.is_ascii_digit())
            })
        });
        widths && parts.next().is_none()
    };
    let date = match date {
        "unreleased" => None,
        date if is_date(date) => Some(date),
        _ => return None,
    };
    Some((parts.try_into().ok()?, date))
}

/// Mistakes in the form of a changelog, each with its line.
fn mistakes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut versions: Vec<([u32; 3], Option<&str>)> = Vec::new();
    let mut sections: Vec<&str> = Vec::new();
    // Number of entries of the current section, and true if the last one is the title of a group.
    let (mut entries, mut is_group) = (1, false);
    for (line, number) in text.lines().zip(1..).skip(1) {
        let mut wrong = |why: &str| found.push(format!("{number}: {why}: {line}"));
        let is_heading = line.starts_with('#');
        if is_heading && entries == 0 {
            wrong("the section above has no entry");
        }
        if is_group && !line.starts_with("  - ") {
            wrong("the group above has no entry");
            is_group = false;
        }
        if let Some(section) = line.strip_prefix("### ") {
            let place = |name: &str| SECTIONS.iter().position(|section| *section == name);
            match (place(section), sections.last()) {
                (None, _) => wrong("not one of the sections"),
                (Some(_), _) if versions.is_empty() => wrong("a section outside of a version"),
                (at, Some(last)) if at <= place(last) => wrong("sections are not in their order"),
                (Some(_), _) => sections.push(section),
            }
            entries = 0;
        } else if let Some(heading) = line.strip_prefix("## ") {
            match (version(heading), versions.last()) {
                (None, _) => wrong("not `## NUMBER (DATE)` or `## NUMBER (unreleased)`"),
                (Some((_, None)), Some(_)) => wrong("only the first version is unreleased"),
                (Some((number, _)), Some((last, _))) if number >= *last => {
                    wrong("versions are not in their order");
                }
                (Some(version), _) => versions.push(version),
            }
            sections.clear();
            entries = 1;
        } else if is_heading {
            wrong("another heading");
        } else if line.starts_with("- ") || line.starts_with("  - ") {
            if sections.is_empty() {
                wrong("an entry outside of a section");
            }
            entries += 1;
            is_group = line.starts_with("- **");
        } else if !line.is_empty() && !sections.is_empty() && entries > 0 {
            wrong("an entry is one line");
        }
    }
    if entries == 0 {
        found.push("the last section has no entry".to_owned());
    }
    if versions.is_empty() {
        found.push("no version".to_owned());
    }
    found
}

#[test]
fn changelog_has_versions_sections_and_entries() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../CHANGELOG.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("# Changelog\n"));
    let mistakes = mistakes(&text);
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn mistakes_in_a_changelog_are_found() {
    const GOOD: &str = "# Changelog\n\nA text.\n\n## 0.2.0 (unreleased)\n\n### Added\n\n- One.\n\n\
### Fixed\n\nA text.\n\n- **Group**\n  - Two.\n\n## 0.1.0 (2027-01-31)\n\n### Security\n\n- Three.\n";
    assert_eq!(mistakes(GOOD), [""; 0]);
    for (old, new, why) in [
        (
            "0.2.0 (unreleased)",
            "0.2 (unreleased)",
            "5: not `## NUMBER",
        ),
        ("2027-01-31", "31.1.2027", "18: not `## NUMBER"),
        ("2027-01-31", "unreleased", "18: only the first version"),
        ("## 0.1.0", "## 0.10.0", "18: versions are not"),
        ("### Fixed", "### Mended", "11: not one of the sections"),
        ("### Fixed", "### Added", "11: sections are not"),
        ("- One.\n", "", "10: the section above has no entry"),
        (
            "- One.\n",
            "- One\n  and a half.\n",
            "10: an entry is one line",
        ),
        ("  - Two.\n", "", "16: the group above has no entry"),
        ("- Three.\n", "", "the last section has no entry"),
        ("### Security\n\n", "", "20: an entry outside of a section"),
        ("### Security", "#### Security", "20: another heading"),
    ] {
        let changed = GOOD.replacen(old, new, 1);
        assert_ne!(changed, GOOD, "{old}");
        let found = mistakes(&changed);
        let first = found.first().map_or("nothing", String::as_str);
        assert!(first.starts_with(why), "{old} -> {new}: {found:?}");
    }
}
