//! Causes of YAML errors. The parser reports where it failed, often after the actual mistake. Each
//! detector recognises one kind of mistake and returns the location of the mistake and a
//! correction.

use granit_parser::ErrorKind;

use super::brackets;

/// Malformed text and the position at which the parser failed.
pub(super) struct Site<'a> {
    pub(super) text: &'a str,
    /// Offset at which the parser failed.
    pub(super) at: usize,
    /// End of the parser's last event. The parser may have read text after it.
    pub(super) read: usize,
    /// Start offsets of the open lists and maps, the innermost first.
    pub(super) open: Vec<usize>,
}

/// Actual mistake, with its location.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Related range and its label.
    pub(super) related: Option<(usize, usize, &'static str)>,
}

/// Line of the text, without its line break.
#[derive(Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a str,
}

type Detector = fn(&Site<'_>, &ErrorKind) -> Option<Cause>;

/// Detectors in order of precedence. The first cause that a detector returns is used.
const DETECTORS: [Detector; 16] = [
    conflict_marker,
    tab_in_indentation,
    template,
    reserved_start,
    unclosed_quote,
    text_behind_quote,
    unclosed_bracket,
    stray_bracket,
    missing_separator,
    comment_without_space,
    unknown_escape,
    colon_in_text,
    missing_colon,
    item_behind_key,
    item_behind_list,
    indentation,
];

/// Returns the cause of a syntax error. `None` if no detector recognises it.
pub(super) fn find(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    DETECTORS.iter().find_map(|detector| detector(site, kind))
}

impl Cause {
    fn new(start: usize, end: usize, message: impl Into<String>) -> Self {
        Self {
            start,
            end,
            message: message.into(),
            help: None,
            related: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn related(mut self, start: usize, end: usize, part: &'static str) -> Self {
        self.related = Some((start, end, part));
        self
    }
}

impl<'a> Site<'a> {
    /// Returns the line that contains a byte.
    fn line(&self, at: usize) -> Line<'a> {
        let at = at.min(self.text.len());
        let start = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let rest = &self.text[start..];
        let end = rest.find('\n').unwrap_or(rest.len());
        Line {
            start,
            text: rest[..end].trim_end_matches('\r'),
        }
    }

    /// Returns the nearest previous line with content.
    fn line_before(&self, line: Line<'a>) -> Option<Line<'a>> {
        let mut start = line.start;
        while start > 0 {
            let before = self.line(start - 1);
            if !before.is_blank() {
                return Some(before);
            }
            start = before.start;
        }
        None
    }

    /// Returns the following line, if any.
    fn line_below(&self, line: Line<'a>) -> Option<Line<'a>> {
        let end = self.text[line.start..].find('\n')?;
        Some(self.line(line.start + end + 1))
    }
}

impl Line<'_> {
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches(' ').len()
    }

    /// Column of the first key, after the dashes of list items.
    fn key_column(&self) -> usize {
        let content = self.text.trim_start_matches(' ');
        let behind = content.trim_start_matches(['-', ' ']);
        match content.starts_with("- ") {
            true => self.text.len() - behind.len(),
            false => self.indent(),
        }
    }

    fn is_blank(&self) -> bool {
        let content = self.text.trim_start();
        content.is_empty() || content.starts_with('#')
    }

    /// Offset of the first character that is not white space.
    fn content_start(&self) -> usize {
        self.start + self.text.len() - self.text.trim_start().len()
    }

    fn end(&self) -> usize {
        self.start + self.text.trim_end().len()
    }
}

/// Part of a line from an offset on, without a trailing comment.
fn rest_of_value(line: Line<'_>, from: usize) -> &str {
    let rest = &line.text[from - line.start..];
    let end = rest.find(" #").unwrap_or(rest.len());
    rest[..end].trim_end()
}

/// Quotes a string for YAML.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        format!("\"{text}\"")
    }
}

/// True if a comment looks like a value, because no space follows `#`.
pub(super) fn is_hash_text(comment: &str) -> bool {
    let behind = comment.strip_prefix('#').unwrap_or_default();
    behind.starts_with(|c: char| c.is_alphanumeric() || c == '/')
}

/// Detects an unresolved Git merge conflict.
fn conflict_marker(site: &Site<'_>, _: &ErrorKind) -> Option<Cause> {
    const MARKERS: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
    let until = site.line(site.at).end();
    let mut start = 0;
    for line in site.text.split_inclusive('\n') {
        let bare = line.trim_end();
        let is_marker = MARKERS.iter().any(|marker| {
            let rest = bare.strip_prefix(marker);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        if is_marker && start <= until {
            let help =
                "keep one side, and remove the lines with `<<<<<<<`, `=======` and `>>>>>>>`";
            let cause = Cause::new(
                start,
                start + bare.len(),
                "unresolved merge conflict of Git",
            );
            return Some(cause.help(help));
        }
        start += line.len();
        if start > until {
            break;
        }
    }
    None
}

fn tab_in_indentation(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    let line = site.line(site.at);
    // For these errors, the parser may point at the line before the line with the tab.
    let below = matches!(
        kind,
        ErrorKind::TabInPlainScalar | ErrorKind::TabInIndentation
    );
    let below = below.then(|| site.line_below(line)).flatten();
    [Some(line), below].into_iter().flatten().find_map(|line| {
        let content = line.text.trim_start();
        let space = &line.text[..line.text.len() - content.len()];
        let tab = line.start + space.find('\t')?;
        let end = line.start + space.len();
        (!content.is_empty())
            .then(|| Cause::new(tab, end, "a tab indents this line").help("indent with spaces"))
    })
}

/// Detects `{{ value }}` of a template language. YAML parses this text as a map whose key is a map.
fn template(site: &Site<'_>, _: &ErrorKind) -> Option<Cause> {
    let line = site.line(site.at);
    let open = line.text.find("{{")?;
    let before = line.text[..open].trim_end();
    let begins = before.is_empty() || before.ends_with([':', '-']);
    begins.then(|| template_in(line, line.start + open))
}

/// Detects a template in text that YAML parsed as a map whose key is a map. `start` is the offset
/// of the inner `{`.
pub(super) fn template_at(text: &str, start: usize) -> Option<Cause> {
    let start = start.checked_sub(1)?;
    let begins = text.get(start..)?.starts_with("{{");
    let site = Site {
        text,
        at: start,
        read: start,
        open: Vec::new(),
    };
    begins.then(|| template_in(site.line(start), start))
}

fn template_in(line: Line<'_>, start: usize) -> Cause {
    let value = rest_of_value(line, start);
    let cause = Cause::new(
        start,
        start + value.len(),
        format!("`{value}` is not in quotes"),
    );
    cause.help(format!(
        "a value that begins with `{{` is a map; write {}",
        quoted(value)
    ))
}

/// Detects a value without quotes that begins with a character reserved by YAML.
fn reserved_start(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    // For an anchor or alias without a name, the error is after its `&` or `*`.
    let start = match kind {
        ErrorKind::MissingAnchorOrAliasName if !site.text[site.at..].starts_with(['*', '&']) => {
            site.text[..site.at].rfind(['*', '&'])?
        }
        _ => site.at,
    };
    let first = site.text[start..].chars().next()?;
    let reserved = match kind {
        ErrorKind::UnexpectedCharacter { .. } => matches!(first, '@' | '`' | '%'),
        ErrorKind::InvalidBlockScalarHeader => matches!(first, '|' | '>'),
        ErrorKind::InvalidTagTerminator => first == '!',
        ErrorKind::MissingAnchorOrAliasName => true,
        _ => false,
    };
    if !reserved {
        return None;
    }
    let line = site.line(start);
    let value = rest_of_value(line, start);
    let shown = match first {
        '`' => "a backtick".to_owned(),
        other => format!("`{other}`"),
    };
    let message = format!("a string without quotes cannot begin with {shown}");
    let cause = Cause::new(start, start + value.len(), message);
    Some(cause.help(format!("write {}", quoted(value))))
}

/// Detects a quote without a closing quote on the same line.
fn unclosed_quote(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    let concerns = matches!(
        kind,
        ErrorKind::InvalidQuotedScalarIndent
            | ErrorKind::UnclosedQuotedScalar
            | ErrorKind::DocumentIndicatorInQuotedScalar
            | ErrorKind::InvalidTrailingSingleQuotedScalar
            | ErrorKind::InvalidTrailingDoubleQuotedScalar
            | ErrorKind::TabInIndentation
            | ErrorKind::UnknownQuotedScalarEscape
    );
    if !concerns {
        return None;
    }
    let quote = last_quote(site)?;
    let line = site.line(quote);
    let mark = site.text[quote..].chars().next()?;
    let inside = &line.text[quote + 1 - line.start..];
    let failed = site.line(site.at);
    let ends_here = failed.start == line.start && !matches!(kind, ErrorKind::UnclosedQuotedScalar);
    if closing(inside, mark).is_some() || ends_here {
        return None;
    }
    let value = rest_of_value(line, quote + 1);
    let cause = Cause::new(quote, quote + 1, format!("this `{mark}` is not closed"))
        .help(format!("write {mark}{value}{mark}"));
    Some(match failed.start > line.start {
        true => cause.related(site.at, site.at, "noticed here"),
        false => cause,
    })
}

/// Offset of the opening quote of the string in which the parser failed.
fn last_quote(site: &Site<'_>) -> Option<usize> {
    let from = site.read.min(site.at);
    let from = site.text.floor_char_boundary(from);
    let mut before = None;
    let mut open: Option<(usize, char)> = None;
    let mut escaped = false;
    for (at, c) in site.text[from..].char_indices() {
        let at = from + at;
        if at > site.at {
            break;
        }
        match open {
            Some((_, mark)) if c == mark && !escaped => open = None,
            Some((_, '"')) => escaped = c == '\\' && !escaped,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => {
                let begins = before.is_none_or(|b: char| b.is_whitespace() || "[{,:".contains(b));
                if begins {
                    open = Some((at, c));
                    escaped = false;
                }
            }
            None => {}
        }
        before = Some(c);
    }
    let still_open = open.map(|(at, _)| at);
    // If the string is unclosed to the end of the file, the parser points at the opening quote.
    still_open.or_else(|| {
        site.text[site.at..]
            .starts_with(['"', '\''])
            .then_some(site.at)
    })
}

/// Returns the offset of the quote that closes a string.
fn closing(inside: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    let mut chars = inside.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if escaped => escaped = false,
            '\\' if mark == '"' => escaped = true,
            '\'' if mark == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                chars.next();
            }
            c if c == mark => return Some(at),
            _ => {}
        }
    }
    None
}

/// Detects text after a closing quote, as in `'it's'` and `"a" b`.
fn text_behind_quote(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    let mark = match kind {
        ErrorKind::InvalidTrailingSingleQuotedScalar => '\'',
        ErrorKind::InvalidTrailingDoubleQuotedScalar => '"',
        _ => return None,
    };
    let line = site.line(site.at);
    let content = rest_of_value(line, line.start);
    let open = content.find(mark)?;
    let whole = &content[open..];
    let closed = site.at.min(line.start + content.len());
    let inside = whole.strip_prefix(mark)?;
    let inside = inside.strip_suffix(mark).unwrap_or(inside);
    let inside = inside.replace(mark, if mark == '\'' { "''" } else { "\\\"" });
    let end = (line.start + content.len()).max(closed);
    let message = format!("there is text after the closing `{mark}`");
    let help = match mark {
        '\'' => format!("write `''` for a quote in the string: '{inside}'"),
        _ => format!("write `\\\"` for a quote in the string: \"{inside}\""),
    };
    let start = site.text[..closed].rfind(mark).map_or(closed, |at| at + 1);
    Some(Cause::new(start.min(end), end, message).help(help))
}

fn unclosed_bracket(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    let bracket = match kind {
        ErrorKind::UnclosedFlowCollection { .. } => Some(site.at),
        ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::BlockEntryInFlowCollection => {
            brackets::unclosed(site.text, site.read, site.at, site.open.iter().copied())
        }
        _ => None,
    }?;
    let written = site.text.get(bracket..=bracket)?;
    let close = if written == "[" { "]" } else { "}" };
    let cause = Cause::new(
        bracket,
        bracket + 1,
        format!("this `{written}` is not closed"),
    );
    let cause = cause.help(format!("add `{close}`"));
    Some(match site.at > bracket {
        true => cause.related(site.at, site.at, "noticed here"),
        false => cause,
    })
}

fn stray_bracket(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    let written = site.text[site.at..].chars().next()?;
    let cause = |message: String, help: String| {
        Some(Cause::new(site.at, site.at + written.len_utf8(), message).help(help))
    };
    match kind {
        ErrorKind::MisplacedFlowCollectionEnd if matches!(written, ']' | '}') => {
            let open = if written == ']' { '[' } else { '{' };
            let message = format!("this `{written}` has no matching `{open}`");
            cause(message, "remove it, or put the string in quotes".to_owned())
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let right = if *open == '[' { ']' } else { '}' };
            let message = format!("this `{close}` closes a `{open}`");
            cause(message, format!("write `{right}`"))
        }
        _ => None,
    }
}

fn missing_separator(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    let close = match kind {
        ErrorKind::ExpectedFlowMappingSeparator => '}',
        ErrorKind::ExpectedFlowSequenceSeparator => ']',
        _ => return None,
    };
    let message = format!("a `,` or `{close}` is missing in front of this");
    let width = site.text[site.at..]
        .chars()
        .next()
        .map_or(0, char::len_utf8);
    Some(Cause::new(site.at, site.at + width, message))
}

fn comment_without_space(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    if !matches!(
        kind,
        ErrorKind::CommentNotSeparated | ErrorKind::CommentInterceptedScalar
    ) {
        return None;
    }
    let line = site.line(site.at);
    let from = site.text[line.start..]
        .find('#')
        .map(|at| line.start + at)?;
    let from = if site.text[site.at..].starts_with('#') {
        site.at
    } else {
        from
    };
    let cause = Cause::new(from, line.end(), "`#` begins a comment only after a space");
    Some(cause.help("write a space in front of `#`, or put the whole string in quotes"))
}

/// Detects a backslash in double quotes that does not begin a YAML escape.
fn unknown_escape(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    const KNOWN: &str = "0abt\tnvfre \"/\\N_LPxuU\n\r";
    if !matches!(kind, ErrorKind::UnknownQuotedScalarEscape) {
        return None;
    }
    let start = site.text[site.at..].find('"').map(|at| site.at + at)?;
    let mut chars = site.text[start..].char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '\\' {
            continue;
        }
        let (_, escape) = chars.next()?;
        if !KNOWN.contains(escape) {
            let at = start + at;
            let message = format!("`\\{escape}` is not an escape of a string in double quotes");
            let cause = Cause::new(at, at + 1 + escape.len_utf8(), message);
            let help = format!("write `\\\\{escape}`, or put the string in single quotes");
            return Some(cause.help(help));
        }
    }
    None
}

/// Detects a value without quotes that contains `: `, as in `summary: Note: this`.
fn colon_in_text(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    if !matches!(kind, ErrorKind::MappingValueNotAllowed) {
        return None;
    }
    let line = site.line(site.at);
    let before = &line.text[..(site.at - line.start).min(line.text.len())];
    let colon = before.find(": ")?;
    let start = line.start + colon + 1;
    let start = start + site.text[start..].len() - site.text[start..].trim_start_matches(' ').len();
    let value = rest_of_value(line, start);
    if value.starts_with(['[', '{', '"', '\'']) {
        return None;
    }
    let cause = Cause::new(
        start,
        start + value.len(),
        format!("`{value}` contains `: ` and is not in quotes"),
    );
    Some(cause.help(format!("write {}", quoted(value))))
}

/// Detects a key without a colon, or a colon without a space after it.
fn missing_colon(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    let line = match kind {
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => site.line(site.at),
        // The previous line has no colon, so YAML parses this line as its continuation.
        ErrorKind::MappingValueNotAllowed => {
            let line = site.line(site.at);
            let before = site.line_before(line)?;
            let content = rest_of_value(before, before.content_start());
            let is_item = content.starts_with("- ");
            if before.indent() != line.indent()
                || is_item
                || content.contains(": ")
                || content.ends_with(':')
            {
                return None;
            }
            before
        }
        _ => return None,
    };
    let start = line.content_start();
    let content = rest_of_value(line, start);
    let end = start + content.len();
    match content.split_once(':') {
        Some((key, value)) if !value.is_empty() && !value.starts_with(' ') => {
            let message = format!("there is no space after the colon of `{content}`");
            Some(Cause::new(start, end, message).help(format!("write `{key}: {value}`")))
        }
        Some(_) => None,
        None => {
            let message = format!("`{content}` is a key without a colon");
            Some(Cause::new(start, end, message).help(format!(
                "write `{content}:`, or indent it as a part of the text above"
            )))
        }
    }
}

/// Detects a list item on the same line as its key, as in `tags: - a`.
fn item_behind_key(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    if !matches!(kind, ErrorKind::BlockSequenceEntryNotAllowed) {
        return None;
    }
    let line = site.line(site.at);
    let before = line.text.get(..site.at - line.start)?.trim_end();
    if !before.ends_with(':') {
        return None;
    }
    let cause = Cause::new(
        site.at,
        site.at + 1,
        "a list item cannot be on the line of its key",
    );
    Some(cause.help("begin a new line in front of `-`, or put the string in quotes"))
}

/// Detects a list item on the line below an empty list `[]`.
fn item_behind_list(site: &Site<'_>, _: &ErrorKind) -> Option<Cause> {
    let line = site.line(site.at);
    let before = site.line_before(line)?;
    let is_behind = line.text.starts_with("- ") && before.text.trim_end() == "[]";
    is_behind.then(|| {
        let cause = Cause::new(
            before.start,
            before.end(),
            "`[]` is an empty list, and items follow it",
        );
        cause.help("replace `[]` by the list")
    })
}

/// Detects a line whose indentation matches no open list or map.
fn indentation(site: &Site<'_>, kind: &ErrorKind) -> Option<Cause> {
    let concerns = matches!(
        kind,
        ErrorKind::MappingValueNotAllowed
            | ErrorKind::ExpectedBlockMappingKey
            | ErrorKind::ExpectedBlockSequenceEntry
            | ErrorKind::InvalidIndentation
            | ErrorKind::BlockSequenceEntryNotAllowed
            | ErrorKind::ExpectedDocumentStart
            | ErrorKind::MappingKeyNotAllowed
    );
    if !concerns {
        return None;
    }
    let line = site.line(site.at);
    let indent = line.indent();
    let before = site.line_before(line)?;
    // Columns of the entries of each open list and map, with the line of the first entry.
    let columns: Vec<(usize, Line<'_>)> = site
        .open
        .iter()
        .map(|start| {
            let first = site.line(*start);
            (start - first.start, first)
        })
        .collect();
    if columns.iter().any(|(column, _)| *column == indent)
        && !matches!(kind, ErrorKind::MappingValueNotAllowed)
    {
        return None;
    }
    let fits = |columns: &[(usize, Line<'_>)]| {
        let mut fits: Vec<usize> = columns.iter().map(|(column, _)| *column).collect();
        fits.push(before.indent());
        fits.push(before.key_column());
        fits.sort_unstable();
        fits.dedup();
        fits.retain(|column| *column != indent);
        // Keep the two columns that are nearest to the current indentation.
        fits.sort_by_key(|column| column.abs_diff(indent));
        fits.truncate(2);
        fits.sort_unstable();
        fits
    };
    let fits: Vec<String> = fits(&columns).iter().map(ToString::to_string).collect();
    let spaces = |count: usize| {
        if count == 1 {
            "1 space".to_owned()
        } else {
            format!("{count} spaces")
        }
    };
    let content = line.content_start();
    let deeper = indent > before.indent();
    let (related, part) = if deeper {
        (before, "the line above already has its value")
    } else {
        let begun = columns.iter().find(|(column, _)| *column > indent);
        (
            begun.map_or(before, |(_, first)| *first),
            "this line begins the list or map",
        )
    };
    let cause = Cause::new(
        content,
        line.end().max(content),
        format!("the indentation ({}) matches no line above", spaces(indent)),
    );
    let cause = cause.help(format!("indent it by {}", fits.join(" or by ")));
    Some(cause.related(related.content_start(), related.end(), part))
}
