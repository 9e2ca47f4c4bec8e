//! Source locations: a file and a byte range.

/// Id of a file in [`crate::Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// Half-open byte range in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Id of the file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset of the first byte after the range.
    pub end: u32,
}

impl Span {
    /// Creates a byte range in `file`.
    #[must_use]
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            file,
            start: clamp(start),
            end: clamp(end),
        }
    }

    /// Creates the empty range at the start of `file`.
    #[must_use]
    pub fn start_of(file: FileId) -> Self {
        Self {
            file,
            start: 0,
            end: 0,
        }
    }

    /// Returns the part from byte `start` to byte `end` of this span. Meaningful only for scalars
    /// whose source text has no escapes.
    #[must_use]
    pub fn slice(self, start: usize, end: usize) -> Self {
        let at = |n: usize| {
            self.start
                .saturating_add(u32::try_from(n).unwrap_or(u32::MAX))
        };
        Self {
            file: self.file,
            start: at(start).min(self.end),
            end: at(end).min(self.end),
        }
    }
}

/// Value with the source location that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Source location of the value.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Creates a value with its source location.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}
