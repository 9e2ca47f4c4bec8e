//! Line breaks between words, for text that people read on a terminal. A terminal itself breaks a
//! long line inside a word, at its last column.

/// Number of columns by which a continuation line is indented more than the line that it
/// continues. More than the 2 to 4 columns between two levels of a plan, so that the two differ.
const CONTINUATION: usize = 6;

/// Breaks each line of a text that has more than `width` columns. Continuation lines are indented
/// by [`CONTINUATION`] columns more than their line, and at most by half of the width. Commands are
/// not broken, so that people can paste them: lines that begin with one, and text in backticks.
pub(crate) fn lines(text: &str, width: usize) -> String {
    let line = |line: &str| {
        let start = line.len() - line.trim_start_matches(' ').len();
        match columns(line) > width && !is_command(&line[start..]) {
            true => broken(line, width, (start + CONTINUATION).min(width / 2)),
            false => line.to_owned(),
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Breaks a line into lines of at most `width` columns, indented by `indent` columns from the
/// second one. A longer word is a line of its own. Text in backticks is one word if it is a command
/// or fits into a line.
pub(crate) fn broken(line: &str, width: usize, indent: usize) -> String {
    let mut out = String::with_capacity(line.len());
    let (mut column, mut gap) = (0, 0);
    for word in words(line, width.saturating_sub(indent)) {
        if word.is_empty() {
            gap += 1;
            continue;
        }
        let length = columns(word);
        if column > 0 && column + gap + length > width {
            out.push('\n');
            (column, gap) = (0, indent);
        }
        out.push_str(&" ".repeat(gap));
        out.push_str(word);
        column += gap + length;
        gap = 1;
    }
    out
}

/// True if a text begins with a command of the project.
fn is_command(text: &str) -> bool {
    text.starts_with("gwc ") || text.starts_with("gwd ")
}

/// True if a text has a command in backticks.
fn has_command(text: &str) -> bool {
    text.split('`').skip(1).any(is_command)
}

/// Words between single spaces. Spaces in backticks do not end a word if the text is a command or
/// has at most `width` columns.
fn words(line: &str, width: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut spaces = text.match_indices(' ').map(|(at, _)| at);
        let is_open = |word: &str| word.matches('`').count() % 2 == 1;
        let first = text.find(' ').unwrap_or(text.len());
        let end = match is_open(&text[..first]) {
            true => spaces
                .chain([text.len()])
                .find(|at| !is_open(&text[..*at]))
                .filter(|at| columns(&text[..*at]) <= width || has_command(&text[..*at])),
            false => spaces.next(),
        };
        // A backtick that is never closed is text.
        let end = end.or(Some(first)).filter(|at| *at < text.len());
        let word = end.map_or(text, |at| &text[..at]);
        rest = end.map(|at| &text[at + 1..]);
        Some(word)
    })
}

/// Number of columns that a text takes: its characters without the sequences that set a style.
fn columns(text: &str) -> usize {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().chars().count();
    let rest = parts.map(|part| part.split_once('m').map_or(part, |(_, shown)| shown));
    first + rest.map(|shown| shown.chars().count()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_fit_are_unchanged() {
        for text in ["", "\n", "one two", "  one  two \n\n  three\n"] {
            assert_eq!(lines(text, 12), text);
        }
    }

    #[test]
    fn long_lines_break_between_words() {
        let text = "  ! weaken       GET /orders (orders/listOrders)\n  next";
        let expected = "  ! weaken       GET\n        /orders\n        (orders/listOrders)\n  next";
        assert_eq!(lines(text, 20), expected);
        // The indent takes at most half of the width.
        assert_eq!(
            lines("        one two three", 12),
            "        one\n      two\n      three"
        );
    }

    #[test]
    fn broken_lines_keep_gaps_and_lose_final_spaces() {
        assert_eq!(lines("a  b   c  d  ", 8), "a  b   c\n    d");
        assert_eq!(broken("a b c", 3, 0), "a b\nc");
    }

    #[test]
    fn words_longer_than_a_line_stay_whole() {
        let url = "http://gateway/orders/listOrders";
        let text = format!("at {url} now");
        assert_eq!(broken(&text, 10, 2), format!("at\n  {url}\n  now"));
        assert_eq!(broken(&format!("  {url}"), 10, 2), format!("  {url}"));
    }

    #[test]
    fn commands_stay_on_one_line() {
        let command = "gwc apply --env production --yes";
        let text = format!("next: run `{command}`, then wait");
        assert_eq!(
            lines(&text, 12),
            format!("next: run\n      `{command}`,\n      then\n      wait")
        );
        assert_eq!(lines(&format!("  {command}"), 12), format!("  {command}"));
        assert_eq!(broken("a `b c d", 4, 0), "a `b\nc d");
        assert_eq!(broken("a `b: c`, d", 6, 0), "a `b:\nc`, d");
        assert_eq!(broken("a `b: c`, d", 8, 0), "a\n`b: c`,\nd");
    }

    #[test]
    fn styles_take_no_columns() {
        let text = "\u{1b}[31mone two\u{1b}[0m \u{1b}[2mthree\u{1b}[0m";
        assert_eq!(lines(text, 13), text);
        assert_eq!(
            lines(text, 12),
            text.replace(" \u{1b}[2m", "\n      \u{1b}[2m")
        );
        assert_eq!(columns("\u{1b}[31mä\u{1b}[0m"), 1);
    }
}
