//! The texts that were read, and how byte offsets become lines and columns.

use crate::span::{FileId, Span};

/// All files of one run, in the order in which they were read.
#[derive(Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// One file's text with an index of its lines.
pub struct SourceFile {
    path: String,
    text: String,
    /// Byte offset at which each line begins; the first is 0.
    lines: Vec<u32>,
}

/// Line and column of a span's two ends: 1-based, columns count Unicode scalar values, a tab
/// is one, a byte order mark is not counted, the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// 1-based line of the first character.
    pub line: u32,
    /// 1-based column of the first character.
    pub column: u32,
    /// 1-based line of the exclusive end.
    pub end_line: u32,
    /// 1-based column of the exclusive end.
    pub end_column: u32,
}

impl Sources {
    /// Adds a file under the path that messages shall show (relative to the project, `/`).
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("fewer than 2^32 files"));
        self.files.push(SourceFile::new(path.into(), text.into()));
        id
    }

    /// The file of an id that [`Sources::add`] gave.
    #[must_use]
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All files with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0u32..).map(FileId).zip(&self.files)
    }

    /// Lines and columns of a span.
    #[must_use]
    pub fn position(&self, span: Span) -> Position {
        let file = self.file(span.file);
        let (line, column) = file.line_column(span.start);
        let (end_line, end_column) = file.line_column(span.end.max(span.start));
        Position {
            line,
            column,
            end_line,
            end_column,
        }
    }

    /// The text of a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file)
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }
}

impl SourceFile {
    fn new(path: String, text: String) -> Self {
        let mut lines = vec![0u32];
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        lines.extend(starts.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)));
        Self { path, text, lines }
    }

    /// The path that messages show.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The number of lines; text after the last line feed counts as one.
    #[must_use]
    pub fn line_count(&self) -> u32 {
        u32::try_from(self.lines.len()).unwrap_or(u32::MAX)
    }

    /// The bytes `start..end` of a 1-based line, without its line ending.
    #[must_use]
    pub fn line_range(&self, line: u32) -> std::ops::Range<usize> {
        let index = (line.max(1) as usize - 1).min(self.lines.len() - 1);
        let start = self.lines[index] as usize;
        let end = self
            .lines
            .get(index + 1)
            .map_or(self.text.len(), |next| *next as usize);
        let line = &self.text[start..end];
        start..start + line.trim_end_matches(['\n', '\r']).len()
    }

    fn line_column(&self, offset: u32) -> (u32, u32) {
        let offset = offset.min(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        let index = self.lines.partition_point(|start| *start <= offset) - 1;
        let start = self.lines[index] as usize;
        let before = self
            .text
            .as_bytes()
            .get(start..offset as usize)
            .unwrap_or_default();
        let bom = usize::from(index == 0 && before.starts_with("\u{feff}".as_bytes()));
        // A scalar value is counted at its first byte; continuation bytes are 10xxxxxx.
        let column = before.iter().filter(|byte| (**byte & 0xC0) != 0x80).count() - bom;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (number(index + 1), number(column + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_skip_the_mark() {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", "\u{feff}ä: \tx\r\nzwei: 漢字\n");
        let at = |start, end| sources.position(Span::new(file, start, end));
        let first = at(3, 5);
        assert_eq!(
            (first.line, first.column, first.end_line, first.end_column),
            (1, 1, 1, 2)
        );
        let tab = at(8, 9);
        assert_eq!((tab.column, tab.end_column), (5, 6));
        let wide = at(17, 23);
        assert_eq!((wide.line, wide.column, wide.end_column), (2, 7, 9));
        assert_eq!(sources.text(Span::new(file, 17, 23)), "漢字");
    }

    #[test]
    fn lines_end_before_their_ending() {
        let mut sources = Sources::default();
        let file = sources.add("a", "one\r\ntwo\nthree");
        let text = |line| &sources.file(file).text()[sources.file(file).line_range(line)];
        assert_eq!((text(1), text(2), text(3)), ("one", "two", "three"));
        assert_eq!(sources.file(file).line_count(), 3);
    }
}
