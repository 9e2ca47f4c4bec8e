//! Texts of the files that a command reads, with conversion of byte offsets to lines and columns.

use std::sync::Arc;

use crate::span::{FileId, Span};

/// All files of one run, in the order in which they were read.
#[derive(Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// Text of one file with an index of its lines.
pub struct SourceFile {
    path: String,
    text: Arc<str>,
    /// Byte offset of the start of each line. The first is 0.
    lines: Vec<u32>,
    /// Number of characters before each block of [`BLOCK`] bytes. With these numbers, the column of
    /// a position in a line of megabytes is found without counting from the start of the line.
    blocks: Vec<u32>,
    /// True if all bytes are ASCII, so that columns equal byte offsets.
    ascii: bool,
}

/// Distance in bytes between two stored character counts.
const BLOCK: usize = 512;

/// Line and column of both ends of a span, from 1. Columns count Unicode scalar values: a tab is
/// one, a byte order mark is not counted. The end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line of the first character, from 1.
    pub line: u32,
    /// Column of the first character, from 1.
    pub column: u32,
    /// Line of the exclusive end, from 1.
    pub end_line: u32,
    /// Column of the exclusive end, from 1.
    pub end_column: u32,
}

impl Sources {
    /// Adds a file. Messages show `path` (relative to the project, with `/`).
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        self.take(SourceFile::new(path.into(), text))
    }

    /// Adds a file whose line index is already built.
    pub fn take(&mut self, file: SourceFile) -> FileId {
        let id = self.next();
        self.files.push(file);
        id
    }

    /// Id that the next added file will have.
    #[must_use]
    pub fn next(&self) -> FileId {
        FileId(u32::try_from(self.files.len()).expect("fewer than 2^32 files"))
    }

    /// File with this id, which [`Sources::add`] or [`Sources::take`] returned.
    #[must_use]
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// Iterates over all files with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0u32..).map(FileId).zip(&self.files)
    }

    /// Returns the lines and columns of a span.
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

    /// Returns the text of a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file)
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }
}

impl SourceFile {
    /// Creates a file. Messages show `path`.
    #[must_use]
    pub fn new(path: String, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut lines = vec![0u32];
        let mut blocks = vec![0u32];
        let mut characters = 0;
        for (index, block) in text.as_bytes().chunks(BLOCK).enumerate() {
            let starts = memchr::memchr_iter(b'\n', block);
            lines.extend(starts.map(|at| number(index * BLOCK + at + 1)));
            characters += scalar_values(block);
            blocks.push(number(characters));
        }
        Self {
            ascii: characters == text.len(),
            path,
            text,
            lines,
            blocks,
        }
    }

    /// Path for messages.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Text of the whole file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Text of the whole file, which other files and threads can share.
    #[must_use]
    pub fn shared_text(&self) -> &Arc<str> {
        &self.text
    }

    /// Number of lines. Text after the last line feed counts as one.
    #[must_use]
    pub fn line_count(&self) -> u32 {
        u32::try_from(self.lines.len()).unwrap_or(u32::MAX)
    }

    /// Byte range of a line, from 1, without its line ending.
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
        let bom = usize::from(index == 0 && offset >= 3 && self.text.starts_with('\u{feff}'));
        let column = self.characters_before(offset as usize) - self.characters_before(start) - bom;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (number(index + 1), number(column + 1))
    }

    fn characters_before(&self, offset: usize) -> usize {
        if self.ascii {
            return offset;
        }
        let block = offset / BLOCK;
        let counted = self.blocks.get(block).copied().unwrap_or(0) as usize;
        let rest = self.text.as_bytes().get(block * BLOCK..offset);
        counted + scalar_values(rest.unwrap_or_default())
    }
}

/// Number of scalar values that begin in these bytes. Continuation bytes (10xxxxxx) are not
/// counted.
fn scalar_values(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
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
    fn columns_of_a_long_line_are_right() {
        let mut sources = Sources::default();
        let text = "äb".repeat(10_000);
        let file = sources.add("long", text.clone());
        for at in [0, 3, 510, 513, 4095, 4098, 8192, 12_288, 29_997, 30_000] {
            let expected = text[..at].chars().count() + 1;
            let place = sources.position(Span::new(file, at, at));
            assert_eq!(place.column as usize, expected, "{at}");
        }
    }

    #[test]
    fn range_of_a_line_excludes_its_ending() {
        let mut sources = Sources::default();
        let file = sources.add("a", "one\r\ntwo\nthree");
        let text = |line| &sources.file(file).text()[sources.file(file).line_range(line)];
        assert_eq!((text(1), text(2), text(3)), ("one", "two", "three"));
        assert_eq!(sources.file(file).line_count(), 3);
    }
}
