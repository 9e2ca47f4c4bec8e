//! Texts of documents, with conversion between byte offsets and positions of the protocol.

use std::sync::Arc;

use lsp_types::{Position, PositionEncodingKind, Range, TextDocumentContentChangeEvent};

/// Unit of the columns in positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Bytes of UTF-8.
    Utf8,
    /// Code units of UTF-16, the default of the protocol.
    Utf16,
}

/// Text of a document with an index of its lines. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    content: Arc<str>,
    /// Byte offset of the start of each line. The first is 0.
    lines: Arc<Vec<usize>>,
    /// Version of the document in the editor. `None` for a file on disk.
    version: Option<i32>,
}

impl Encoding {
    /// Selects UTF-8 if the client offers it, else UTF-16.
    pub(crate) fn of(offered: Option<&[PositionEncodingKind]>) -> Self {
        let has_utf8 = offered.is_some_and(|all| all.contains(&PositionEncodingKind::UTF8));
        if has_utf8 { Self::Utf8 } else { Self::Utf16 }
    }

    /// Name in the protocol.
    pub(crate) fn kind(self) -> PositionEncodingKind {
        match self {
            Self::Utf8 => PositionEncodingKind::UTF8,
            Self::Utf16 => PositionEncodingKind::UTF16,
        }
    }

    /// Length of a text in columns.
    fn columns(self, text: &str) -> usize {
        match self {
            Self::Utf8 => text.len(),
            Self::Utf16 => text.chars().map(char::len_utf16).sum(),
        }
    }
}

impl Text {
    pub(crate) fn new(content: impl Into<Arc<str>>) -> Self {
        let content = content.into();
        let lines = std::iter::once(0)
            .chain(starts_of_lines(&content))
            .collect();
        Self {
            lines: Arc::new(lines),
            content,
            version: None,
        }
    }

    /// Sets the version of the document in the editor.
    pub(crate) fn set_version(&mut self, version: i32) {
        self.version = Some(version);
    }

    /// Version of the document in the editor. `None` for a file on disk.
    pub(crate) fn version(&self) -> Option<i32> {
        self.version
    }

    /// The whole text, for other threads.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.content)
    }

    /// The whole text.
    pub(crate) fn content(&self) -> &str {
        &self.content
    }

    /// Byte offset of a position. A position after the end of its line is the end of the line.
    pub(crate) fn offset(&self, position: Position, encoding: Encoding) -> usize {
        let Some(start) = self.lines.get(position.line as usize).copied() else {
            return self.content.len();
        };
        let next = self.lines.get(position.line as usize + 1);
        let line = &self.content[start..next.copied().unwrap_or(self.content.len())];
        let line = line.trim_end_matches(['\n', '\r']);
        let mut column = 0;
        for (at, character) in line.char_indices() {
            if column >= position.character as usize {
                return start + at;
            }
            column += encoding.columns(&line[at..at + character.len_utf8()]);
        }
        start + line.len()
    }

    /// Position of a byte offset. An offset after the end of the text is the end of the text.
    pub(crate) fn position(&self, offset: usize, encoding: Encoding) -> Position {
        let mut offset = offset.min(self.content.len());
        while !self.content.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.lines.partition_point(|start| *start <= offset) - 1;
        let column = encoding.columns(&self.content[self.lines[line]..offset]);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Position::new(number(line), number(column))
    }

    /// Range of two byte offsets.
    pub(crate) fn range(&self, start: usize, end: usize, encoding: Encoding) -> Range {
        Range::new(self.position(start, encoding), self.position(end, encoding))
    }

    /// Applies a change of the editor.
    pub(crate) fn change(&mut self, change: TextDocumentContentChangeEvent, encoding: Encoding) {
        let Some(range) = change.range else {
            let version = self.version;
            *self = Self::new(change.text);
            self.version = version;
            return;
        };
        let start = self.offset(range.start, encoding);
        let end = self.offset(range.end, encoding).max(start);
        let (before, after) = (&self.content[..start], &self.content[end..]);
        let content: Arc<str> = [before, &change.text, after].concat().into();
        let lines = Arc::make_mut(&mut self.lines);
        // Lines that begin in the replaced range are replaced. Later lines move.
        let first = lines.partition_point(|line| *line <= start);
        let last = lines.partition_point(|line| *line <= end);
        for line in &mut lines[last..] {
            *line = *line - end + start + change.text.len();
        }
        let new = starts_of_lines(&change.text).map(|line| start + line);
        lines.splice(first..last, new);
        self.content = content;
    }
}

/// Starts of all lines but the first.
fn starts_of_lines(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices('\n').map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_units_of_the_encoding() {
        let text = Text::new("a: é\r\nb: 😀x\n".to_owned());
        let x = text.content().find('x').unwrap();
        for (encoding, column) in [(Encoding::Utf8, 7), (Encoding::Utf16, 5)] {
            let position = text.position(x, encoding);
            assert_eq!(position, Position::new(1, column));
            assert_eq!(text.offset(position, encoding), x);
        }
        let end = text.offset(Position::new(0, 99), Encoding::Utf16);
        assert_eq!(&text.content()[..end], "a: é");
        let after = text.offset(Position::new(9, 0), Encoding::Utf16);
        assert_eq!(after, text.content().len());
    }

    #[test]
    fn changes_replace_ranges_or_the_whole_text() {
        let mut text = Text::new("one\ntwo\n".to_owned());
        let mut change = |range: Option<Range>, new: &str| {
            let change = TextDocumentContentChangeEvent {
                range,
                range_length: None,
                text: new.to_owned(),
            };
            text.change(change, Encoding::Utf16);
            assert_eq!(text.lines, Text::new(text.content()).lines);
            text.content().to_owned()
        };
        let range = Range::new(Position::new(0, 1), Position::new(1, 1));
        assert_eq!(change(Some(range), "X\n"), "oX\nwo\n");
        let range = Range::new(Position::new(1, 1), Position::new(1, 2));
        assert_eq!(change(Some(range), "1\n2\r\n3"), "oX\nw1\n2\r\n3\n");
        let range = Range::new(Position::new(2, 0), Position::new(4, 0));
        assert_eq!(change(Some(range), ""), "oX\nw1\n");
        let range = Range::new(Position::new(2, 0), Position::new(2, 0));
        assert_eq!(change(Some(range), "4\n"), "oX\nw1\n4\n");
        assert_eq!(change(None, "new"), "new");
    }
}
