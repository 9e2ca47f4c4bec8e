//! Reads the blocks of commands in documentation pages, and compares lines with patterns.

/// Fenced code blocks of a page that follow a comment `<!-- MARK -->`, in page order. Each block is
/// returned with its MARK.
///
/// # Panics
/// If the language of a block is not `text` after the mark `shows`, or is not `sh` after any other
/// mark.
#[must_use]
pub fn marked(text: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mark = line
            .strip_prefix("<!-- ")
            .and_then(|line| line.strip_suffix(" -->"));
        let Some(mark) = mark else { continue };
        let fence = if mark == "shows" { "```text" } else { "```sh" };
        assert_eq!(lines.next(), Some(fence), "after `{line}`");
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push((mark, block.join("\n")));
    }
    blocks
}

/// True if a line matches a pattern. Each `…` in the pattern matches any text.
#[must_use]
pub fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut is_open = false;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        is_open = part.is_empty();
    }
    is_open || rest.is_empty()
}
